/*
 * The thread that delivers. Enters: rows of the outbox that are due. Leaves: mail at the server, the rows gone or put off.
 *
 * A server that fails is asked again after 30 s, then after twice as long each time, up to an hour, for each
 * message by itself; one failure ends the round, so that a server that hangs costs one timeout a round and not
 * one for each message. Nobody waits for this thread; the clock says when something is due, so that it looks once a second.
 */
#include <rolebridge/target/outbox.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include <sodium.h>

#include <rolebridge/base/backoff.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/log.h>
#include <rolebridge/base/util.h>
#include <rolebridge/change/invite.h>
#include <rolebridge/change/restore.h>

/* The alarms of an hour may be very many. */
#define ARENA_MAX ((size_t)32 * 1024 * 1024)
#define MESSAGE_MAX ((size_t)1024 * 1024)
#define LOOK_S 1
#define RETRY_MIN_S 30
#define RETRY_MAX_S 3600

/* What became of a row. In an arena of its own. */
struct outcome {
	struct arena *arena;
	struct outbox_row row;
	bool sent;
	const char *problem; /* NULL: sent, or not wanted */
	bool permanent;
	int64_t next_s;
};

struct outbox {
	struct changer *changer;
	struct outbox_ports ports;
	struct store *store; /* the thread's */
	struct outcome
		*unnoted; /* the thread's: what the store could not be told yet; NULL: nothing */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_t thread;
	bool started;
	atomic_bool stopping;
	atomic_uint_fast64_t sent, failed, refused;
};

struct outbox *outbox_create(struct changer *changer, const struct outbox_ports *ports)
{
	struct outbox *outbox = calloc(1, sizeof(*outbox));
	pthread_condattr_t attributes;

	if (!outbox)
		return NULL;
	outbox->changer = changer;
	outbox->ports = *ports;
	pthread_mutex_init(&outbox->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&outbox->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	return outbox;
}

static void outcome_forget(struct outbox *outbox)
{
	if (outbox->unnoted)
		arena_destroy(outbox->unnoted->arena);
	outbox->unnoted = NULL;
}

void outbox_destroy(struct outbox *outbox)
{
	if (!outbox)
		return;
	outbox_stop(outbox);
	outcome_forget(outbox);
	store_close(outbox->store);
	pthread_cond_destroy(&outbox->wake);
	pthread_mutex_destroy(&outbox->lock);
	free(outbox);
}

/* --- one row --- */

static bool is_stopping(void *context)
{
	struct outbox *outbox = context;

	return atomic_load(&outbox->stopping);
}

static int64_t next_try_s(const struct outbox_row *row)
{
	return clock_now_s() +
	       backoff_after(row->attempts + 1, RETRY_MIN_S, RETRY_MAX_S, randombytes_random());
}

/* The message holds a secret: nothing of it stays in memory that is given back. */
static void wipe(struct strbuf *text)
{
	if (text->data)
		sodium_memzero(text->data, text->capacity);
}

/* 1 delivered, 0 not wanted any more, -1. */
static int send_row(struct outbox *outbox, const struct outbox_row *row,
		    const struct mail_settings *server, struct arena *arena, struct err *err)
{
	AUTO(strbuf) struct strbuf subject = STRBUF(4096);
	AUTO(strbuf) struct strbuf body = STRBUF(MESSAGE_MAX);
	AUTO(strbuf) struct strbuf text = STRBUF(MESSAGE_MAX);
	struct mail_message message = { .from = server->from.text,
					.from_name = server->from_name.text,
					.message_id = row->message_id,
					.date_s = row->created_s };
	struct mail_delivery delivery = { .server = server,
					  .from = server->from.text,
					  .message = &text,
					  .cancelled = is_stopping,
					  .context = outbox };
	int wanted;

	/* What grows is copied, and the copy before would stay behind. */
	strbuf_reserve(&body, 16 * 1024);
	strbuf_reserve(&text, 64 * 1024);
	wanted = outbox->ports.compose(outbox->ports.context, outbox->store, row, arena, &message,
				       &subject, &body, err);
	if (wanted > 0) {
		message.subject = strbuf_text(&subject);
		message.body = strbuf_text(&body);
		delivery.to = message.to;
		if (strbuf_failed(&subject) || strbuf_failed(&body))
			wanted = err_set(err, ERR_MEMORY, "no memory for a message");
		else if (mail_compose(&message, &text, err) < 0 || mail_send(&delivery, err) < 0)
			wanted = -1;
	}
	wipe(&body);
	wipe(&text);
	return wanted;
}

/* What is wrong with the message itself will be wrong the next time. */
static bool is_permanent(const struct err *problem)
{
	return problem->code == ERR_DENIED || problem->code == ERR_INVALID ||
	       problem->code == ERR_TOO_LARGE;
}

static void tell_outcome(struct outbox *outbox, const struct outcome *outcome,
			 const struct err *problem)
{
	const struct outbox_row *row = &outcome->row;

	if (outcome->sent) {
		atomic_fetch_add(&outbox->sent, 1);
		log_info("mail.sent", F_STR("kind", row->kind), F_STR("subject", row->subject),
			 F_STR("message", row->message_id));
	}
	if (!outcome->problem)
		return;
	atomic_fetch_add(outcome->permanent ? &outbox->refused : &outbox->failed, 1);
	log_error("mail.failed", F_STR("kind", row->kind), F_STR("subject", row->subject),
		  F_INT("attempt", row->attempts + 1),
		  F_STR("permanent", outcome->permanent ? "yes" : "no"), F_ERR(problem));
}

/* While the store cannot be told of the last one nothing else is done: nobody gets the same again and again. */
static int note_outcome(struct outbox *outbox, struct err *err)
{
	const struct outcome *outcome = outbox->unnoted;
	int result;

	if (!outcome)
		return 0;
	result = outcome->problem
			 ? change_outbox_failed(outbox->changer, &outcome->row, outcome->problem,
						outcome->next_s, outcome->permanent, err)
			 : change_outbox_done(outbox->changer, &outcome->row, outcome->sent, err);
	if (result == 0)
		outcome_forget(outbox);
	return result;
}

/* Takes the arena over: the row lives in it. */
static struct outcome *make_outcome(struct arena *arena, const struct outbox_row *row, int sent,
				    const struct err *problem)
{
	struct outcome *outcome = arena_alloc(arena, sizeof(*outcome));

	if (!outcome)
		return NULL;
	*outcome = (struct outcome){ .arena = arena, .row = *row, .sent = sent > 0 };
	if (sent < 0) {
		outcome->problem = arena_strdup(arena, problem->text);
		outcome->permanent = is_permanent(problem);
		outcome->next_s = next_try_s(row);
	}
	return arena_failed(arena) ? NULL : outcome;
}

/* 1: go on with the next; 0: not now; -1. The arena is the outcome's, or given back. */
static int deliver(struct outbox *outbox, const struct outbox_row *row,
		   const struct mail_settings *server, struct arena *arena, struct err *err)
{
	struct err problem = { 0 };
	struct outcome *outcome;
	int sent = send_row(outbox, row, server, arena, &problem);

	if (sent < 0 && problem.code == ERR_CANCELLED) {
		arena_destroy(arena);
		return 0;
	}
	outcome = make_outcome(arena, row, sent, &problem);
	if (!outcome) {
		arena_destroy(arena);
		return err_set(err, ERR_MEMORY, "out of memory");
	}
	tell_outcome(outbox, outcome, &problem);
	outbox->unnoted = outcome;
	/* A failure that is not the message's own ends the round. */
	sent = outcome->problem && !outcome->permanent ? 0 : 1;
	return note_outcome(outbox, err) < 0 ? -1 : sent;
}

/* --- rounds --- */

/* Called with an arena, which is the outcome's afterwards, or given back. */
static int deliver_due(struct outbox *outbox, struct arena *arena, struct err *err)
{
	const struct mail_settings *server;
	struct outbox_row row;
	struct setup *setup;
	bool held = change_restore_holds(outbox->changer) & RESTORE_HOLDS_DELIVERY;
	int more = held ? 0 : store_outbox_next(outbox->store, clock_now_s(), arena, &row, err);

	if (more <= 0 || !outbox->ports.server(outbox->ports.context, &server, &setup)) {
		arena_destroy(arena);
		return more < 0 ? -1 : 0;
	}
	more = deliver(outbox, &row, server, arena, err);
	setup_release(setup);
	return more;
}

static int deliver_next(struct outbox *outbox, struct err *err)
{
	struct arena *arena;

	if (!outbox->store) {
		outbox->store = store_open(changer_store_path(outbox->changer), STORE_READ, err);
		if (!outbox->store)
			return -1;
	}
	if (note_outcome(outbox, err) < 0 ||
	    (outbox->ports.collect &&
	     outbox->ports.collect(outbox->ports.context, outbox->store, err) < 0))
		return -1;
	arena = arena_create(ARENA_MAX);
	return arena ? deliver_due(outbox, arena, err) : err_set(err, ERR_MEMORY, "out of memory");
}

static void *outbox_main(void *context)
{
	struct outbox *outbox = context;
	struct timespec until;

	pthread_setname_np(pthread_self(), "outbox");
	pthread_mutex_lock(&outbox->lock);
	while (!atomic_load(&outbox->stopping)) {
		struct err err = { 0 };
		int more;

		pthread_mutex_unlock(&outbox->lock);
		more = deliver_next(outbox, &err);
		if (more < 0)
			log_error("outbox.failed", F_ERR(&err));
		pthread_mutex_lock(&outbox->lock);
		if (more > 0)
			continue;
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += LOOK_S;
		if (!atomic_load(&outbox->stopping))
			pthread_cond_timedwait(&outbox->wake, &outbox->lock, &until);
	}
	pthread_mutex_unlock(&outbox->lock);
	return NULL;
}

int outbox_start(struct outbox *outbox, struct err *err)
{
	int failed = pthread_create(&outbox->thread, NULL, outbox_main, outbox);

	outbox->started = failed == 0;
	return failed ? err_set_errno(err, ERR_IO, failed, "cannot start the outbox") : 0;
}

void outbox_stop(struct outbox *outbox)
{
	if (!outbox)
		return;
	pthread_mutex_lock(&outbox->lock);
	atomic_store(&outbox->stopping, true);
	pthread_cond_signal(&outbox->wake);
	pthread_mutex_unlock(&outbox->lock);
	if (outbox->started)
		pthread_join(outbox->thread, NULL);
	outbox->started = false;
}

static void counter(struct strbuf *out, const char *name, const char *help, uint64_t value)
{
	strbuf_printf(out, "# HELP %s %s\n# TYPE %s counter\n%s %llu\n", name, help, name, name,
		      (unsigned long long)value);
}

void outbox_metrics(struct outbox *outbox, struct strbuf *out)
{
	counter(out, "rolebridge_mail_sent_total", "Messages that the mail server took.",
		atomic_load(&outbox->sent));
	counter(out, "rolebridge_mail_failures_total", "Attempts to send mail that failed.",
		atomic_load(&outbox->failed));
	counter(out, "rolebridge_mail_refused_total",
		"Messages that the mail server refused for good.", atomic_load(&outbox->refused));
}
