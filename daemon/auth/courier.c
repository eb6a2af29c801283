/*
 * One-time codes on their way. Enter: a code and whom it is for. Leaves: a letter or an SMS, handed to a server that has
 * taken it over. Fails with ERR_UNAVAILABLE and one reason for each way, so that pages can offer another.
 *
 * The configuration is held for as long as somebody sends by it. What was written is wiped; the server's answer says
 * whether it was taken over, and nothing else of it is told to people.
 */
#include <rolebridge/auth/courier.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/ids.h>
#include <rolebridge/base/util.h>

#define TEXT_MAX ((size_t)4096)
#define MESSAGE_MAX ((size_t)32 * 1024)

static const char *const reasons[COURIER_WAYS] = { "mail-unavailable", "sms-unavailable" };
static const char *const way_names[COURIER_WAYS] = { "mail", "sms" };

int64_t courier_timeout_s = 10;

struct courier {
	pthread_mutex_t lock;
	struct setup *setup; /* a reference; NULL: not configured yet */
	const struct web_settings *web;
	bool stopping;
	unsigned running[COURIER_WAYS];
	uint64_t sent[COURIER_WAYS], failed[COURIER_WAYS];
};

/* --- begin and end --- */

struct courier *courier_create(struct err *err)
{
	struct courier *courier = alloc_zeroed(1, sizeof(*courier));

	if (!courier) {
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	pthread_mutex_init(&courier->lock, NULL);
	return courier;
}

void courier_destroy(struct courier *courier)
{
	if (!courier)
		return;
	if (courier->setup)
		setup_release(courier->setup);
	pthread_mutex_destroy(&courier->lock);
	free(courier);
}

void courier_configure(struct courier *courier, struct setup *setup, const struct web_settings *web)
{
	struct setup *old;

	pthread_mutex_lock(&courier->lock);
	old = courier->setup;
	courier->setup = setup_acquire(setup);
	courier->web = web;
	pthread_mutex_unlock(&courier->lock);
	if (old)
		setup_release(old);
}

void courier_stop(struct courier *courier)
{
	pthread_mutex_lock(&courier->lock);
	courier->stopping = true;
	pthread_mutex_unlock(&courier->lock);
}

static bool is_configured(const struct courier *courier, enum courier_way way)
{
	const struct web_settings *web = courier->web;

	return web && web->public_url.text &&
	       (way == COURIER_MAIL ? web->mail.url.text : web->sms.url.text);
}

bool courier_has(struct courier *courier, enum courier_way way)
{
	bool has;

	pthread_mutex_lock(&courier->lock);
	has = is_configured(courier, way);
	pthread_mutex_unlock(&courier->lock);
	return has;
}

/* --- one message --- */

struct sending {
	struct courier *courier;
	struct setup *setup;
	const struct web_settings *web;
	const struct courier_code *code;
};

static bool is_cancelled(void *context)
{
	struct courier *courier = context;
	bool stopping;

	pthread_mutex_lock(&courier->lock);
	stopping = courier->stopping;
	pthread_mutex_unlock(&courier->lock);
	return stopping;
}

static int64_t short_time(int64_t configured_s)
{
	return configured_s > 0 && configured_s < courier_timeout_s ? configured_s
								    : courier_timeout_s;
}

static void wipe(struct strbuf *buf)
{
	if (buf->data)
		sodium_memzero(buf->data, buf->capacity);
	strbuf_finish(buf);
}

/* "login.example.com" of public_url. */
static void put_host(const struct sending *sending, struct strbuf *out)
{
	const char *url = sending->web->public_url.text, *host = strstr(url, "://");

	host = host ? host + 3 : url;
	strbuf_append(out, host, strcspn(host, "/"));
}

static void put_letter(const struct sending *sending, struct strbuf *subject, struct strbuf *body)
{
	const struct courier_code *code = sending->code;
	const char *name = code->to_name ? code->to_name : "";
	int64_t minutes = code->valid_s / 60;

	strbuf_puts(subject, "Your code for ");
	put_host(sending, subject);
	strbuf_printf(body, name[0] ? "Hello %s,\n\n" : "Hello%s,\n\n", name);
	strbuf_printf(body, "%s is your code for ", code->code);
	put_host(sending, body);
	strbuf_printf(
		body,
		".\n\nIt is good once, for %lld minute%s, on the page that asked for it. Nobody "
		"else will ask you for it: please tell it to no one.\n\nIf you are not signing "
		"in just now, somebody else may know your password: please change it.\n",
		(long long)minutes, minutes == 1 ? "" : "s");
}

static int compose(const struct sending *sending, struct strbuf *message, struct err *err)
{
	const struct mail_settings *server = &sending->web->mail;
	AUTO(strbuf) struct strbuf subject = STRBUF(TEXT_MAX);
	struct strbuf body = STRBUF(TEXT_MAX);
	struct uuid id = uuid_create(clock_now_s() * 1000);
	char id_text[UUID_TEXT_SIZE];
	struct mail_message mail = { .from = server->from.text,
				     .from_name = server->from_name.text,
				     .to = sending->code->to,
				     .to_name = sending->code->to_name,
				     .message_id = id_text,
				     .date_s = clock_now_s() };
	int status;

	uuid_format(&id, id_text);
	(void)strbuf_reserve(&body, TEXT_MAX - 1);
	(void)strbuf_reserve(message, MESSAGE_MAX - 1);
	put_letter(sending, &subject, &body);
	mail.subject = strbuf_text(&subject);
	mail.body = strbuf_text(&body);
	status = strbuf_failed(&subject) || strbuf_failed(&body)
			 ? err_set(err, ERR_MEMORY, "no room for a letter")
			 : mail_compose(&mail, message, err);
	wipe(&body);
	return status;
}

static int send_mail(const struct sending *sending, struct err *err)
{
	struct mail_settings server = sending->web->mail;
	struct strbuf message = STRBUF(MESSAGE_MAX);
	struct mail_delivery delivery = { .server = &server,
					  .from = server.from.text,
					  .to = sending->code->to,
					  .message = &message,
					  .cancelled = is_cancelled,
					  .context = sending->courier };
	int status;

	server.timeout_s = short_time(server.timeout_s);
	status = mail_check_address(sending->code->to, err) < 0 ||
				 compose(sending, &message, err) < 0
			 ? -1
			 : mail_send(&delivery, err);
	wipe(&message);
	return status;
}

static int send_sms(const struct sending *sending, struct err *err)
{
	struct sms_settings gateway = sending->web->sms;
	struct strbuf text = STRBUF(TEXT_MAX);
	struct sms_delivery delivery = { .gateway = &gateway,
					 .allowed_networks =
						 &sending->web->outgoing.allowed_networks,
					 .number = sending->code->to,
					 .cancelled = is_cancelled,
					 .context = sending->courier };
	int status;

	gateway.timeout_s = short_time(gateway.timeout_s);
	(void)strbuf_reserve(&text, TEXT_MAX - 1);
	strbuf_printf(&text, "%s is your code for ", sending->code->code);
	put_host(sending, &text);
	strbuf_puts(&text, ". Please tell it to no one.");
	delivery.text = strbuf_text(&text);
	status = strbuf_failed(&text) ? err_set(err, ERR_MEMORY, "no room for an SMS")
				      : sms_send(&delivery, err);
	wipe(&text);
	return status;
}

/* --- sending --- */

static int begin(struct courier *courier, const struct courier_code *code,
		 struct sending *ret_sending, struct err *err)
{
	const char *problem = NULL;

	pthread_mutex_lock(&courier->lock);
	if (!is_configured(courier, code->way))
		problem = "it is not configured";
	else if (courier->stopping)
		problem = "the daemon is stopping";
	else if (courier->running[code->way] >= COURIER_AT_ONCE)
		problem = "as many as may be are being sent";
	if (problem) {
		courier->failed[code->way]++;
		pthread_mutex_unlock(&courier->lock);
		return err_refuse(err, ERR_UNAVAILABLE, reasons[code->way],
				  "no code can be sent by %s: %s", way_names[code->way], problem);
	}
	courier->running[code->way]++;
	*ret_sending = (struct sending){ .courier = courier,
					 .setup = setup_acquire(courier->setup),
					 .web = courier->web,
					 .code = code };
	pthread_mutex_unlock(&courier->lock);
	return 0;
}

static void end(struct sending *sending, int status)
{
	struct courier *courier = sending->courier;
	enum courier_way way = sending->code->way;

	pthread_mutex_lock(&courier->lock);
	courier->running[way]--;
	(status == 0 ? courier->sent : courier->failed)[way]++;
	pthread_mutex_unlock(&courier->lock);
	setup_release(sending->setup);
}

int courier_send(struct courier *courier, const struct courier_code *code, struct err *err)
{
	struct sending sending = { 0 };
	struct err problem = { 0 };
	int status;

	if (begin(courier, code, &sending, err) < 0)
		return -1;
	status = code->way == COURIER_MAIL ? send_mail(&sending, &problem)
					   : send_sms(&sending, &problem);
	end(&sending, status);
	if (status == 0)
		return 0;
	if (problem.code == ERR_INVALID || problem.code == ERR_MEMORY)
		return err ? (*err = problem, -1) : -1;
	return err_refuse(err, ERR_UNAVAILABLE, reasons[code->way], "no code can be sent by %s: %s",
			  way_names[code->way], problem.text);
}

/* --- counts --- */

void courier_counts(struct courier *courier, struct courier_counts *ret_counts)
{
	pthread_mutex_lock(&courier->lock);
	for (size_t way = 0; way < COURIER_WAYS; way++) {
		ret_counts->sent[way] = courier->sent[way];
		ret_counts->failed[way] = courier->failed[way];
		ret_counts->running[way] = courier->running[way];
	}
	pthread_mutex_unlock(&courier->lock);
}

void courier_metrics(struct courier *courier, struct strbuf *out)
{
	struct courier_counts counts;

	courier_counts(courier, &counts);
	strbuf_puts(out, "# HELP rolebridge_codes_sent_total Codes that were sent, by way.\n"
			 "# TYPE rolebridge_codes_sent_total counter\n");
	for (size_t way = 0; way < COURIER_WAYS; way++)
		strbuf_printf(out, "rolebridge_codes_sent_total{by=\"%s\"} %llu\n", way_names[way],
			      (unsigned long long)counts.sent[way]);
	strbuf_puts(out,
		    "# HELP rolebridge_codes_failed_total Codes that could not be sent, by way.\n"
		    "# TYPE rolebridge_codes_failed_total counter\n");
	for (size_t way = 0; way < COURIER_WAYS; way++)
		strbuf_printf(out, "rolebridge_codes_failed_total{by=\"%s\"} %llu\n",
			      way_names[way], (unsigned long long)counts.failed[way]);
}
