/*
 * Who is told of alarms by mail. Enters: alarms after the one noted last (value "alarm-mailed"). Leaves: rows of the
 * outbox, in the transaction that moves that on; from such a row, what the letter says. Fails: store, memory.
 *
 * A row's subject is "AFTER-TO user:UUID" or "AFTER-TO mail:ADDRESS": alarms after one up to another, and who. Who was an
 * administrator then is asked again when the letter is written.
 */
#include <rolebridge/change/alarm_mail.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <rolebridge/base/util.h>

#include "internal.h"

#define NOTED "alarm-mailed"
#define BYTES_MAX (32u << 20)
/* Nobody has so many; more of them are not told. */
#define RECIPIENTS_MAX 100
#define RANGE_MAX 5000
/* A letter of old alarms helps nobody. */
#define LETTER_AGE_S (3 * 86400)
#define HOME "default"
#define KIND_MAIL "mail-failing"

static const char *const of_organization[] = { "administrator-lost", "last-administrator" };

static int read_noted(struct store *store, struct arena *arena, int64_t *ret_id, struct err *err)
{
	const char *value;

	if (store_meta_get(store, NOTED, arena, &value, err) < 0)
		return -1;
	*ret_id = value ? strtoll(value, NULL, 10) : 0;
	return 0;
}

static int no_memory(struct err *err)
{
	return err_set(err, ERR_MEMORY, "no memory for alarms");
}

int change_alarms_new(struct store *store, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(1u << 16);
	int64_t noted, last;

	if (!arena)
		return no_memory(err);
	if (read_noted(store, arena, &noted, err) < 0 || store_alarm_last(store, &last, err) < 0)
		return -1;
	return last > noted;
}

/* --- noting --- */

struct noting {
	const struct alarm_recipients *recipients;
	struct changer *changer;
	struct arena *arena;
	struct setup *setup;
	int64_t after, to;
	size_t letters;
};

static bool is_told(const struct alarm_row *alarm)
{
	return strcmp(alarm->kind, KIND_MAIL) != 0;
}

static int post(struct noting *noting, const char *who, struct err *err)
{
	char message[UUID_TEXT_SIZE];
	int64_t now_s = change_now_s();
	const char *subject = arena_printf(noting->arena, "%" PRId64 "-%" PRId64 " %s",
					   noting->after, noting->to, who);
	struct outbox_row row = { .kind = OUTBOX_ALARMS,
				  .subject = subject,
				  .message_id = message,
				  .created_s = now_s,
				  .next_s = now_s };
	struct uuid uuid = uuid_create(now_s * 1000);

	if (!subject)
		return no_memory(err);
	uuid_format(&uuid, message);
	noting->letters++;
	return store_outbox_add(noting->changer->store, &row, err);
}

static int post_administrators(struct noting *noting, const char *organization, struct err *err)
{
	const struct user_query query = {
		.organization = organization,
		.active = 1,
		.profile = noting->setup->decision.administrator_profile,
		.limit = RECIPIENTS_MAX,
	};
	struct user *users;
	size_t count;

	if (store_user_list(noting->changer->store, &query, noting->arena, &users, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		char who[UUID_TEXT_SIZE + 5] = "user:";

		uuid_format(&users[i].uuid, who + 5);
		if (users[i].email[0] && post(noting, who, err) < 0)
			return -1;
	}
	return 0;
}

/* Whose administrators it concerns besides those of HOME; NULL: nobody's. */
static int organization_of(struct store *store, const struct alarm_row *alarm, struct arena *arena,
			   const char **ret_organization, struct err *err)
{
	struct err missing = { 0 };
	bool concerns = false;
	struct user user;

	*ret_organization = NULL;
	for (size_t i = 0; i < ARRAY_LEN(of_organization); i++)
		concerns |= strcmp(alarm->kind, of_organization[i]) == 0;
	if (!concerns)
		return 0;
	if (store_user_find(store, USER_BY_UUID, alarm->subject, arena, &user, &missing) == 0) {
		if (strcmp(user.organization, HOME) != 0)
			*ret_organization = user.organization;
		return 0;
	}
	if (missing.code == ERR_NOT_FOUND)
		return 0;
	*err = missing;
	return -1;
}

static int post_organizations(struct noting *noting, const struct alarm_row *alarms, size_t count,
			      struct err *err)
{
	const char *done[RECIPIENTS_MAX];
	size_t done_count = 0;

	for (size_t i = 0; i < count && done_count < ARRAY_LEN(done); i++) {
		const char *organization;
		bool known = false;

		if (organization_of(noting->changer->store, &alarms[i], noting->arena,
				    &organization, err) < 0)
			return -1;
		for (size_t j = 0; organization && j < done_count; j++)
			known |= strcmp(done[j], organization) == 0;
		if (!organization || known)
			continue;
		done[done_count++] = organization;
		if (post_administrators(noting, organization, err) < 0)
			return -1;
	}
	return 0;
}

static int post_all(struct noting *noting, const struct alarm_row *alarms, size_t count,
		    struct err *err)
{
	const struct alarm_recipients *recipients = noting->recipients;
	bool any = false;

	for (size_t i = 0; i < count; i++)
		any |= is_told(&alarms[i]);
	if (!any)
		return 0;
	if (recipients->administrators && (post_administrators(noting, HOME, err) < 0 ||
					   post_organizations(noting, alarms, count, err) < 0))
		return -1;
	for (size_t i = 0; i < recipients->address_count; i++) {
		const char *who = arena_printf(noting->arena, "mail:%s", recipients->addresses[i]);

		if (!who)
			return no_memory(err);
		if (post(noting, who, err) < 0)
			return -1;
	}
	return 0;
}

static int note(struct noting *noting, struct err *err)
{
	struct store *store = noting->changer->store;
	struct alarm_row *alarms;
	char value[24];
	size_t count;

	if (read_noted(store, noting->arena, &noting->after, err) < 0 ||
	    store_alarm_last(store, &noting->to, err) < 0)
		return -1;
	if (noting->to <= noting->after)
		return 0;
	snprintf(value, sizeof(value), "%" PRId64, noting->to);
	if (store_alarm_range(store, noting->after, noting->to, RANGE_MAX, noting->arena, &alarms,
			      &count, err) < 0 ||
	    post_all(noting, alarms, count, err) < 0)
		return -1;
	return store_meta_set(store, NOTED, value, err);
}

static int note_job(struct changer *changer, struct job *job, struct err *err)
{
	struct noting *noting = job->context;
	AUTO(arena) struct arena *arena = arena_create(BYTES_MAX);
	int result;

	if (!arena)
		return no_memory(err);
	noting->arena = arena;
	noting->changer = changer;
	result = note(noting, err);
	noting->arena = NULL;
	return result;
}

int change_alarms_note(struct changer *changer, const struct alarm_recipients *recipients,
		       size_t *ret_letters, struct err *err)
{
	struct noting noting = { .recipients = recipients, .setup = changer_setup(changer) };
	int result = writer_request(changer, note_job, &noting, err);

	setup_release(noting.setup);
	if (result == 0)
		*ret_letters = noting.letters;
	return result;
}

/* --- how often --- */

#define US_PER_S INT64_C(1000000)
#define PAUSE_US (60 * US_PER_S)
#define HOUR_US (3600 * US_PER_S)

bool alarm_pace_allows(const struct alarm_pace *pace, int64_t now_us)
{
	size_t last = (pace->next + ALARM_LETTERS_AN_HOUR - 1) % ALARM_LETTERS_AN_HOUR;
	int64_t last_us = pace->noted_us[last], oldest_us = pace->noted_us[pace->next];

	return (last_us == 0 || now_us - last_us >= PAUSE_US) &&
	       (oldest_us == 0 || now_us - oldest_us >= HOUR_US);
}

void alarm_pace_note(struct alarm_pace *pace, int64_t now_us)
{
	pace->noted_us[pace->next] = now_us;
	pace->next = (pace->next + 1) % ALARM_LETTERS_AN_HOUR;
}

/* --- the letter --- */

/* 1 with who it is for, 0, -1. *ret_organization: whose alarms alone they see; NULL: all. */
static int find_recipient(struct changer *changer, struct store *store, const char *who,
			  struct arena *arena, struct alarm_letter *letter,
			  const char **ret_organization, struct err *err)
{
	struct err missing = { 0 };
	struct setup *setup;
	struct user user;
	bool fits;

	*ret_organization = NULL;
	if (strncmp(who, "mail:", 5) == 0) {
		letter->address = who + 5;
		letter->name = "";
		return 1;
	}
	if (strncmp(who, "user:", 5) != 0)
		return 0;
	if (store_user_find(store, USER_BY_UUID, who + 5, arena, &user, &missing) < 0) {
		if (missing.code == ERR_NOT_FOUND)
			return 0;
		*err = missing;
		return -1;
	}
	setup = changer_setup(changer);
	fits = user_is_active(&user) && user.email[0] &&
	       strcmp(user.profile, setup->decision.administrator_profile) == 0;
	setup_release(setup);
	letter->address = user.email;
	letter->name = user.display_name;
	if (strcmp(user.organization, HOME) != 0)
		*ret_organization = user.organization;
	return fits;
}

static int pick_alarms(struct store *store, const char *organization, struct arena *arena,
		       struct alarm_row *alarms, size_t count, struct alarm_letter *letter,
		       struct err *err)
{
	size_t picked = 0;

	for (size_t i = 0; i < count; i++) {
		const char *whose = NULL;

		if (!is_told(&alarms[i]))
			continue;
		if (organization && organization_of(store, &alarms[i], arena, &whose, err) < 0)
			return -1;
		if (organization && (!whose || strcmp(whose, organization) != 0))
			continue;
		alarms[picked++] = alarms[i];
	}
	letter->alarms = alarms;
	letter->count = picked < ALARMS_TOLD_MAX ? picked : ALARMS_TOLD_MAX;
	letter->more = picked - letter->count;
	return picked > 0;
}

int change_alarms_letter(struct changer *changer, struct store *store, const struct outbox_row *row,
			 struct arena *arena, struct alarm_letter *ret_letter, struct err *err)
{
	struct alarm_letter letter = { 0 };
	struct alarm_row *alarms;
	const char *organization;
	int64_t after, to;
	size_t count;
	int end = 0, found;

	if (sscanf(row->subject, "%" SCNd64 "-%" SCNd64 " %n", &after, &to, &end) < 2 || end == 0 ||
	    change_now_s() - row->created_s > LETTER_AGE_S)
		return 0;
	found = find_recipient(changer, store, row->subject + end, arena, &letter, &organization,
			       err);
	if (found <= 0)
		return found;
	if (store_alarm_range(store, after, to, RANGE_MAX, arena, &alarms, &count, err) < 0)
		return -1;
	found = pick_alarms(store, organization, arena, alarms, count, &letter, err);
	if (found > 0)
		*ret_letter = letter;
	return found;
}
