/*
 * A person's hand on somebody's record: the fields of a user, and the end of one.
 *
 * Enters: who asks, whom it concerns, the version they saw, what shall be. Leaves: the change, its audit
 * row. Refused: unknown and deleted users, a version that is not the present one, fields that a source
 * says, names that somebody has or had, the deletion of somebody active. Fails: store, memory.
 *
 * A field is a source's when an identity that still speaks delivers it in a form that can be used:
 * exactly then the next read would write it again. What no source says stays as a person set it.
 */
#include "edit.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>
#include <rolebridge/identity/names.h>

#include "ceiling.h"

struct setting {
	const struct user_fields *wanted;
	const char *refused;	   /* the field that a refusal is about */
	struct strbuf texts[3];	   /* normalised, as below */
	const char *normalised[3]; /* NULL: as it is */
};

enum { FIELD_USERNAME, FIELD_EMAIL, FIELD_DISPLAY_NAME, FIELDS = EDIT_FIELDS };

static const struct {
	const char *name;
	bool is_optional;
	int (*normalize)(const char *text, struct strbuf *out, struct err *err);
} fields[FIELDS] = {
	[FIELD_USERNAME] = { "username", false, username_normalize },
	[FIELD_EMAIL] = { "email", true, email_normalize },
	[FIELD_DISPLAY_NAME] = { "display_name", true, display_name_normalize },
};

/* --- what both begin with --- */

int edit_check_version(const struct user *user, int64_t version, struct err *err)
{
	if (version == 0 || version == user->version)
		return 0;
	return err_refuse(err, ERR_CONFLICT, "stale-version",
			  "'%s' was changed meanwhile and has version %lld", user->username,
			  (long long)user->version);
}

int edit_find_subject(struct changer *changer, struct editing *editing, struct arena *arena,
		      struct user *ret_user, struct err *err)
{
	struct user user;

	if (user_resolve(changer->store, editing->user, arena, &user, err) < 0)
		return -1;
	if (user.disabled & DISABLED_DELETED)
		return no_such_user(err);
	if (ceiling_user(changer, &editing->setup->setup, editing->actor, &user, arena, err) < 0 ||
	    edit_check_version(&user, editing->version, err) < 0)
		return -1;
	editing->uuid = user.uuid;
	*ret_user = user;
	return 0;
}

int edit_apply(struct changer *changer, const struct editing *editing, struct person_change *change,
	       struct arena *arena, bool *ret_written, struct err *err)
{
	struct applied applied = { 0 };
	struct apply_context context = { .changer = changer,
					 .setup = editing->setup,
					 .arena = arena,
					 .actor = editing->actor,
					 .source = "",
					 .refuse = true,
					 .now_s = change_now_s(),
					 .applied = &applied };

	change->after.version = change->before.version + 1;
	change->after.updated_s = context.now_s;
	if (apply_person(&context, change, NULL, err) < 0)
		return -1;
	if (ret_written)
		*ret_written = context.written;
	return 0;
}

int edit_send(struct changer *changer, struct editing *editing, job_run *run, struct uuid *ret_uuid,
	      struct err *err)
{
	struct live_setup *setup = changer_live_setup(changer, NULL);
	int result;

	editing->setup = setup;
	result = writer_request(changer, run, editing, err);
	setup_release(&setup->setup);
	if (result == 0)
		*ret_uuid = editing->uuid;
	return result;
}

/* --- fields --- */

static int normalise(struct setting *setting, struct err *err)
{
	const char *const given[FIELDS] = {
		[FIELD_USERNAME] = setting->wanted->username,
		[FIELD_EMAIL] = setting->wanted->email,
		[FIELD_DISPLAY_NAME] = setting->wanted->display_name,
	};

	for (size_t i = 0; i < FIELDS; i++) {
		bool removed = given[i] && given[i][0] == '\0' && fields[i].is_optional;

		if (!given[i])
			continue;
		setting->refused = fields[i].name;
		if (!removed && fields[i].normalize(given[i], &setting->texts[i], err) < 0)
			return err_wrap(err, "%s '%s'", fields[i].name, given[i]);
		setting->normalised[i] = strbuf_text(&setting->texts[i]);
	}
	setting->refused = NULL;
	return 0;
}

/* The source whose word on the field counts; -1: none has any. */
static int owner_of(const struct person *person, const struct person_fields *said, size_t field)
{
	const char *const texts[FIELDS] = { [FIELD_USERNAME] = said->username,
					    [FIELD_EMAIL] = said->email,
					    [FIELD_DISPLAY_NAME] = said->display_name };
	int named[2] = { schema_username(person->schema), schema_email(person->schema) };
	const uint16_t *names;
	uint16_t source = 0;
	size_t count;

	if (texts[field][0] == '\0')
		return -1;
	if (field != FIELD_DISPLAY_NAME) {
		person_attribute(person, (uint16_t)named[field], &source);
		return source;
	}
	names = schema_display_name(person->schema, &count);
	for (size_t i = 0; i < count; i++)
		if (person_attribute(person, names[i], &source))
			break;
	return source;
}

int edit_check_owners(const struct evaluation *evaluation, const struct user *user,
		      const bool changed[static EDIT_FIELDS], const char **ret_refused,
		      struct err *err)
{
	struct person_fields said;
	struct person person;

	if (evaluate_person(evaluation, user->id, &person, err) < 0 ||
	    person_fields(&person, evaluation->arena, &said, err) < 0)
		return -1;
	for (size_t i = 0; i < FIELDS; i++) {
		int owner = changed[i] ? owner_of(&person, &said, i) : -1;

		if (owner < 0)
			continue;
		*ret_refused = fields[i].name;
		return err_refuse(err, ERR_CONFLICT, "managed-by-idp",
				  "'%s' of '%s' is what source '%s' says", fields[i].name,
				  user->username,
				  schema_source_name(person.schema, (uint16_t)owner));
	}
	return 0;
}

static int check_owners(struct changer *changer, const struct editing *editing,
			const struct user *user, const bool changed[FIELDS], struct arena *arena,
			struct err *err)
{
	const struct evaluation evaluation = { .setup = editing->setup,
					       .store = changer->store,
					       .arena = arena,
					       .now_s = change_now_s(),
					       .cause = "hand" };
	struct setting *setting = editing->context;

	return edit_check_owners(&evaluation, user, changed, &setting->refused, err);
}

/* Whose name it is, is the store's to say, and it says no more than its reason. */
const char *edit_refused_name(const struct err *err)
{
	const char *reason = err_reason(err);

	if (strcmp(reason, "username-taken") == 0 || strcmp(reason, "name-reserved") == 0)
		return fields[FIELD_USERNAME].name;
	return strncmp(reason, "email-", 6) == 0 ? fields[FIELD_EMAIL].name : NULL;
}

static void fill_after(const struct editing *editing, struct user *after)
{
	const struct setting *setting = editing->context;

	if (setting->normalised[FIELD_USERNAME])
		after->username = setting->normalised[FIELD_USERNAME];
	if (setting->normalised[FIELD_EMAIL])
		after->email = setting->normalised[FIELD_EMAIL];
	if (setting->normalised[FIELD_DISPLAY_NAME])
		after->display_name = setting->normalised[FIELD_DISPLAY_NAME];
	/* As for someone new: whoever has no name for display goes by the other one. */
	if (after->display_name[0] == '\0')
		after->display_name = after->username;
	/* Protection goes by name, and this is a person who says so. */
	after->is_protected = policy_is_protected(editing->setup->setup.policy, after->username);
}

static int set_job(struct changer *changer, struct job *job, struct err *err)
{
	struct editing *editing = job->context;
	struct setting *setting = editing->context;
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	struct person_change change = { .cause = "hand" };
	bool changed[FIELDS];
	struct err problem;

	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory for a request");
	if (edit_find_subject(changer, editing, arena, &change.before, err) < 0)
		return -1;
	change.after = change.before;
	fill_after(editing, &change.after);
	changed[FIELD_USERNAME] = strcmp(change.before.username, change.after.username) != 0;
	changed[FIELD_EMAIL] = strcmp(change.before.email, change.after.email) != 0;
	changed[FIELD_DISPLAY_NAME] =
		strcmp(change.before.display_name, change.after.display_name) != 0;
	if (!changed[FIELD_USERNAME] && !changed[FIELD_EMAIL] && !changed[FIELD_DISPLAY_NAME])
		return 0;
	if (check_owners(changer, editing, &change.before, changed, arena, err) < 0)
		return -1;
	err_clear(&problem);
	if (edit_apply(changer, editing, &change, arena, NULL, &problem) == 0)
		return 0;
	setting->refused = edit_refused_name(&problem);
	if (err)
		*err = problem;
	return -1;
}

int change_user_set(struct changer *changer, const struct actor *actor, const char *user,
		    int64_t version, const struct user_fields *wanted, struct uuid *ret_uuid,
		    const char **ret_field, struct err *err)
{
	struct setting setting = {
		.wanted = wanted,
		.texts = { STRBUF(4096), STRBUF(4096), STRBUF(64 * 1024) },
	};
	struct editing editing = {
		.actor = actor, .user = user, .version = version, .context = &setting
	};
	int result = normalise(&setting, err);

	if (result == 0)
		result = edit_send(changer, &editing, set_job, ret_uuid, err);
	for (size_t i = 0; i < FIELDS; i++)
		strbuf_finish(&setting.texts[i]);
	*ret_field = result < 0 ? setting.refused : NULL;
	return result;
}

/* --- the end --- */

/*
 * What stays is a tombstone: its user name, its identities and its UUID are nobody else's ever again, so that
 * a source that still has the entry neither brings it back nor makes a second user of it.
 */
int edit_deletion(struct store *store, struct arena *arena, const struct user *user,
		  struct person_change *ret_change, struct err *err)
{
	struct person_change change = { .before = *user, .after = *user, .cause = "hand" };
	struct grant *grants;
	size_t count;

	if (user_is_active(user))
		return err_set(err, ERR_CONFLICT,
			       "'%s' is active: only who is disabled can be deleted",
			       user->username);
	if (store_grants_of(store, user->id, arena, &grants, &count, err) < 0)
		return -1;
	change.after.disabled |= DISABLED_DELETED;
	change.after.profile = "";
	change.removed = grants;
	change.removed_count = change.lost_count = count;
	*ret_change = change;
	return 0;
}

int edit_delete_job(struct changer *changer, struct job *job, struct err *err)
{
	struct editing *editing = job->context;
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	struct person_change change;
	struct user user;
	int64_t tokens;

	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory for a request");
	if (edit_find_subject(changer, editing, arena, &user, err) < 0 ||
	    edit_deletion(changer->store, arena, &user, &change, err) < 0)
		return -1;
	/* What was never read is not theirs, and may be somebody else's. */
	if (store_links_drop(changer->store, user.id, err) < 0 ||
	    edit_apply(changer, editing, &change, arena, NULL, err) < 0)
		return -1;
	return tokens_end_of(changer, editing->actor, &user, arena, &tokens, err);
}

int change_user_delete(struct changer *changer, const struct actor *actor, const char *user,
		       int64_t version, struct uuid *ret_uuid, struct err *err)
{
	struct editing editing = { .actor = actor, .user = user, .version = version };

	return edit_send(changer, &editing, edit_delete_job, ret_uuid, err);
}
