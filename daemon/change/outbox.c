/*
 * What becomes of what was to be delivered. Enters: the outcome of an attempt. Leaves: the row gone, or its next
 * time; the invite it was about says how it went; an alarm while the server fails. Fails: store, memory.
 *
 * At least once: whoever dies between the server's yes and this sends it again, under the same message id.
 */
#include <rolebridge/change/invite.h>

#include <string.h>

#include <rolebridge/base/util.h>

#include "internal.h"
#include "password.h"

#define ROW_BYTES_MAX (1u << 20)
#define ALARM_KIND "mail-failing"
#define ALARM_SUBJECT "mail"

struct delivery {
	const struct outbox_row *row; /* as it was when it was taken */
	int64_t next_s;
	bool sent, permanent;
	const char *problem; /* NULL: done */
};

/* The invite that the row is about, unless a newer one was sent since. */
static int note_invite(struct changer *changer, const struct outbox_row *row,
		       const struct delivery *delivery, struct arena *arena, struct err *err)
{
	struct invite_row invite;
	struct err missing;
	struct uuid uuid;

	if (strcmp(row->kind, "invite") != 0 || !uuid_parse(row->subject, &uuid))
		return 0;
	err_clear(&missing);
	if (store_invite_get(changer->store, &uuid, arena, &invite, &missing) < 0) {
		if (missing.code == ERR_NOT_FOUND)
			return 0;
		if (err)
			*err = missing;
		return -1;
	}
	if (invite.generation != row->number)
		return 0;
	invite.mailed_s = delivery->sent ? change_now_s() : 0;
	invite.mail_problem = delivery->problem ? delivery->problem : "";
	return store_invite_update(changer->store, &invite, err);
}

static int note_reset(struct changer *changer, const struct delivery *delivery, struct arena *arena,
		      struct err *err)
{
	if (strcmp(delivery->row->kind, OUTBOX_RESET) != 0)
		return 0;
	return reset_note(changer, delivery->row, delivery->sent ? change_now_s() : 0,
			  delivery->problem ? delivery->problem : "", arena, err);
}

static int note_alarm(struct changer *changer, const struct delivery *delivery, struct err *err)
{
	int64_t now_s = change_now_s();

	if (delivery->sent)
		return store_alarm_clear(changer->store, ALARM_KIND, ALARM_SUBJECT, "outbox", now_s,
					 err) < 0
			       ? -1
			       : 0;
	if (!delivery->problem || delivery->permanent)
		return 0;
	return store_alarm_raise(changer->store, ALARM_KIND, ALARM_SUBJECT, delivery->problem,
				 now_s, err) < 0
		       ? -1
		       : 0;
}

/* The row, if it is still there. */
static int note_row(struct changer *changer, const struct delivery *delivery, struct arena *arena,
		    struct err *err)
{
	struct outbox_row row;
	int found = store_outbox_get(changer->store, delivery->row->id, arena, &row, err);

	if (found <= 0)
		return found;
	if (!delivery->problem || delivery->permanent)
		return store_outbox_remove(changer->store, row.id, err);
	row.attempts++;
	row.next_s = delivery->next_s;
	row.problem = delivery->problem;
	return store_outbox_update(changer->store, &row, err);
}

static int delivery_job(struct changer *changer, struct job *job, struct err *err)
{
	const struct delivery *delivery = job->context;
	AUTO(arena) struct arena *arena = arena_create(ROW_BYTES_MAX);

	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory for a delivery");
	if (note_row(changer, delivery, arena, err) < 0)
		return -1;
	if (!delivery->sent && !delivery->problem)
		return 0;
	return note_invite(changer, delivery->row, delivery, arena, err) < 0 ||
			       note_reset(changer, delivery, arena, err) < 0 ||
			       note_alarm(changer, delivery, err) < 0
		       ? -1
		       : 0;
}

int change_outbox_done(struct changer *changer, const struct outbox_row *row, bool sent,
		       struct err *err)
{
	struct delivery delivery = { .row = row, .sent = sent };

	return writer_request(changer, delivery_job, &delivery, err);
}

int change_outbox_failed(struct changer *changer, const struct outbox_row *row, const char *problem,
			 int64_t next_s, bool permanent, struct err *err)
{
	struct delivery delivery = {
		.row = row, .next_s = next_s, .permanent = permanent, .problem = problem
	};

	return writer_request(changer, delivery_job, &delivery, err);
}
