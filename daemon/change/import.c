/*
 * People out of a file.
 *
 * Enters: rows, who asks. Leaves: users, grants, audit rows, in transactions of at most 500 people each; what became of
 * each row. Refused, row by row: names that are taken, what a source says, what lies beyond the actor's
 * permissions, the last administrator, whatever else a person's hand is refused. Fails: store, memory.
 *
 * Texts are normalised in the thread that asks, before the transaction. In the writer a refusal is told before anything
 * of its row is written (apply_person), so that no row needs a savepoint. Commits but the last may be undone by
 * a power cut: whoever was not told "done" begins again, and finds part of it done.
 *
 * A dry run goes the same way up to the writing, on a handle that can only read. What others of the same file would
 * take is remembered; so is foreseen what apply_person would ask of the store.
 */
#include <rolebridge/change/import.h>

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/util.h>
#include <rolebridge/identity/names.h>
#include <rolebridge/store/invite.h>
#include <rolebridge/store/ownership.h>

#include "ceiling.h"
#include "edit.h"

#define EXTERNAL_ID_MAX 255
#define TEXTS_MAX ((size_t)64 * 1024 * 1024)
#define CLAIMS_MAX 50000000u

static const char *const status_names[IMPORT_STATUSES] = { "created", "updated", "unchanged",
							   "failed" };
/* In the order of enum grant_kind. */
static const char *const kind_fields[GRANT_KINDS] = { "profile", "roles", "personas", "groups" };

const char *import_status_name(enum import_status status)
{
	return status_names[status];
}

struct import {
	struct changer *changer;
	const struct actor *actor;
	bool dry_run;
	struct live_setup *setup;
	struct store *reader;	   /* of a dry run */
	struct hash_table *claims; /* of a dry run: names that the file has taken so far */
	struct arena *texts;	   /* of the present rows */
	struct strbuf text;
	int64_t counts[IMPORT_STATUSES];
};

/* A row in the form the store has. */
struct prepared {
	struct import_row row;
	bool has_id;
	struct uuid id;
	struct grant *wanted;
	size_t wanted_count;
};

/* What is at work on one row. */
struct importing {
	struct import *import;
	struct store *store;
	const struct prepared *prepared;
	struct apply_context *context; /* NULL: a dry run */
	struct arena *arena;
	int64_t now_s;
	const char *refused; /* the field that a refusal is about */
	struct import_result *result;
};

static int no_memory(struct err *err)
{
	return err_set(err, ERR_MEMORY, "no memory to import people");
}

/* --- begin and end --- */

struct import *import_begin(struct changer *changer, const struct actor *actor, bool dry_run,
			    struct err *err)
{
	struct import *import = alloc_zeroed(1, sizeof(*import));

	if (!import) {
		no_memory(err);
		return NULL;
	}
	import->changer = changer;
	import->actor = actor;
	import->dry_run = dry_run;
	import->setup = changer_live_setup(changer, NULL);
	import->texts = arena_create(TEXTS_MAX);
	import->text = STRBUF(64 * 1024);
	if (dry_run) {
		import->claims = hash_table_create(1024, CLAIMS_MAX);
		import->reader = store_open(changer->path, STORE_READ, err);
	}
	if (dry_run && !import->reader) {
		import_destroy(import);
		return NULL;
	}
	if (!import->texts || (dry_run && !import->claims)) {
		import_destroy(import);
		no_memory(err);
		return NULL;
	}
	return import;
}

void import_destroy(struct import *import)
{
	if (!import)
		return;
	setup_release(&import->setup->setup);
	store_close(import->reader);
	hash_table_destroy(import->claims);
	arena_destroy(import->texts);
	strbuf_finish(&import->text);
	free(import);
}

/* --- a row as the store has it --- */

static int normal(struct import *import,
		  int (*normalize)(const char *text, struct strbuf *out, struct err *err),
		  const char **text, struct err *err)
{
	if (!*text || (*text)[0] == '\0')
		return 0;
	strbuf_clear(&import->text);
	if (normalize(*text, &import->text, err) < 0)
		return err_wrap(err, "'%s'", *text);
	*text = arena_strndup(import->texts, import->text.data, import->text.size);
	return *text ? 0 : no_memory(err);
}

static int check_external_id(const char *text, struct strbuf *out, struct err *err)
{
	size_t size = strlen(text);

	for (size_t i = 0; i < size; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return err_set(err, ERR_INVALID, "holds a control character");
	if (size > EXTERNAL_ID_MAX)
		return err_set(err, ERR_INVALID, "longer than %d bytes", EXTERNAL_ID_MAX);
	strbuf_puts(out, text);
	return 0;
}

static int prepare_texts(struct import *import, struct prepared *prepared, const char **refused,
			 struct err *err)
{
	struct import_row *row = &prepared->row;
	const char *state = row->state;

	*refused = "user_id";
	if (row->user_id && row->user_id[0] && !uuid_parse(row->user_id, &prepared->id))
		return err_set(err, ERR_INVALID, "'%s' is not a user's id", row->user_id);
	prepared->has_id = row->user_id && row->user_id[0];
	*refused = "external_id";
	if (normal(import, check_external_id, &row->external_id, err) < 0)
		return -1;
	*refused = "username";
	if (normal(import, username_normalize, &row->username, err) < 0)
		return -1;
	*refused = "email";
	if (normal(import, email_normalize, &row->email, err) < 0)
		return -1;
	*refused = "display_name";
	if (normal(import, display_name_normalize, &row->display_name, err) < 0)
		return -1;
	*refused = "state";
	if (state && state[0] && strcmp(state, "active") != 0 && strcmp(state, "disabled") != 0)
		return err_set(err, ERR_INVALID, "state '%s' is neither active nor disabled",
			       state);
	return 0;
}

static int add_wanted(struct import *import, struct prepared *prepared, enum grant_kind kind,
		      const char *name, const char **refused, struct err *err)
{
	*refused = kind_fields[kind];
	if (change_check_grant(&import->setup->setup, kind, name, err) < 0)
		return -1;
	prepared->wanted[prepared->wanted_count++] =
		(struct grant){ .kind = kind,
				.name = name,
				.origin = ORIGIN_IMPORT,
				.origin_id = import->actor->name,
				.origin_source = "",
				.given_s = change_now_s() };
	return 0;
}

static bool is_wanted(const struct prepared *prepared, enum grant_kind kind, const char *name)
{
	for (size_t i = 0; i < prepared->wanted_count; i++)
		if (prepared->wanted[i].kind == kind && strcmp(prepared->wanted[i].name, name) == 0)
			return true;
	return false;
}

static int prepare_grants(struct import *import, struct prepared *prepared, const char **refused,
			  struct err *err)
{
	const struct import_row *row = &prepared->row;
	size_t room = 1;

	for (int kind = 0; kind < GRANT_KINDS; kind++)
		room += row->names[kind].count;
	prepared->wanted = arena_alloc_array(import->texts, room, sizeof(*prepared->wanted));
	if (!prepared->wanted)
		return no_memory(err);
	if (row->profile && row->profile[0] &&
	    add_wanted(import, prepared, GRANT_PROFILE, row->profile, refused, err) < 0)
		return -1;
	for (int kind = GRANT_ROLE; kind < GRANT_KINDS; kind++)
		for (size_t i = 0; i < row->names[kind].count; i++) {
			const char *name = row->names[kind].names[i];

			if (!is_wanted(prepared, (enum grant_kind)kind, name) &&
			    add_wanted(import, prepared, (enum grant_kind)kind, name, refused,
				       err) < 0)
				return -1;
		}
	return 0;
}

/* --- what a row that is refused says --- */

/* Ours, or the row's? */
static bool is_ours(const struct err *err)
{
	switch (err->code) {
	case ERR_INVALID:
	case ERR_DENIED:
	case ERR_NOT_FOUND:
	case ERR_CONFLICT: return false;
	default: return true;
	}
}

static const char *code_of(const struct err *problem)
{
	if (problem->reason)
		return problem->reason;
	switch (problem->code) {
	case ERR_DENIED: return "not-allowed";
	case ERR_NOT_FOUND: return "not-found";
	case ERR_CONFLICT: return "conflict";
	default: return "invalid-request";
	}
}

static int tell_refused(struct import_result *result, const struct err *problem,
			const char *refused, struct arena *arena, struct err *err)
{
	const char *field = edit_refused_name(problem);

	if (is_ours(problem)) {
		*err = *problem;
		return -1;
	}
	if (problem->reason && strcmp(problem->reason, "profile-required") == 0)
		field = "profile";
	if (problem->reason && strcmp(problem->reason, "external-id-taken") == 0)
		field = "external_id";
	result->status = IMPORT_FAILED;
	result->code = code_of(problem);
	result->field = refused ? refused : field;
	result->message = arena_strdup(arena, problem->text);
	return result->message ? 0 : no_memory(err);
}

/* --- whom it is about --- */

/* 1 found, 0 nobody, -1. Whoever was deleted is nobody, but their names are taken. */
static int look(const struct importing *importing, enum user_key key, const char *value,
		struct user *ret_user, struct err *err)
{
	struct err missing;

	err_clear(&missing);
	if (store_user_find(importing->store, key, value, importing->arena, ret_user, &missing) ==
	    0)
		return (ret_user->disabled & DISABLED_DELETED) == 0;
	if (missing.code == ERR_NOT_FOUND)
		return 0;
	*err = missing;
	return -1;
}

static int look_external(const struct importing *importing, const char *organization,
			 struct user *ret_user, struct err *err)
{
	const char *id = importing->prepared->row.external_id;
	int64_t user_id;

	if (store_external_find(importing->store, organization, id, &user_id, err) < 0)
		return -1;
	if (user_id == 0)
		return 0;
	if (store_user_get(importing->store, user_id, importing->arena, ret_user, err) < 0)
		return -1;
	return (ret_user->disabled & DISABLED_DELETED) == 0;
}

static const char *organization_of(const struct importing *importing)
{
	const struct import_row *row = &importing->prepared->row;
	const char *own = importing->import->actor->organization;

	if (row->organization && row->organization[0])
		return row->organization;
	return own ? own : "default";
}

static int find_user(const struct importing *importing, struct user *ret_user, struct err *err)
{
	const struct prepared *prepared = importing->prepared;
	const struct import_row *row = &prepared->row;
	char id[UUID_TEXT_SIZE];
	int found = 0;

	if (prepared->has_id) {
		uuid_format(&prepared->id, id);
		found = look(importing, USER_BY_UUID, id, ret_user, err);
	}
	if (found == 0 && row->external_id && row->external_id[0])
		found = look_external(importing, organization_of(importing), ret_user, err);
	if (found == 0 && row->username && row->username[0])
		return look(importing, USER_BY_USERNAME, row->username, ret_user, err);
	if (found == 0 && !prepared->has_id && !(row->external_id && row->external_id[0]) &&
	    row->email && row->email[0])
		return look(importing, USER_BY_EMAIL, row->email, ret_user, err);
	return found;
}

/* --- foreseeing what the store would refuse --- */

static int claim(struct importing *importing, char what, const char *text, struct err *err)
{
	struct strbuf *key = &importing->import->text;
	uint32_t *place;

	strbuf_clear(key);
	strbuf_printf(key, "%c%s", what, text);
	if (strbuf_failed(key) || hash_table_put(importing->import->claims,
						 fingerprint128(key->data, key->size), &place) < 0)
		return no_memory(err);
	return 0;
}

static bool is_claimed(struct importing *importing, char what, const char *text)
{
	struct strbuf *key = &importing->import->text;

	strbuf_clear(key);
	strbuf_printf(key, "%c%s", what, text);
	return !strbuf_failed(key) && hash_table_get(importing->import->claims,
						     fingerprint128(key->data, key->size), NULL);
}

static int foresee_name(struct importing *importing, const struct person_change *change,
			enum user_key key, const char *text, struct err *err)
{
	bool is_email = key == USER_BY_EMAIL;
	struct user user;
	struct err missing;

	importing->refused = is_email ? "email" : "username";
	err_clear(&missing);
	if (store_user_find(importing->store, key, text, importing->arena, &user, &missing) == 0) {
		if (user.id == change->before.id) {
			importing->refused = NULL;
			return 0;
		}
		if (is_email && strcmp(user.organization, change->after.organization) != 0)
			return err_refuse(err, ERR_CONFLICT, "email-in-other-organization",
					  "'%s' belongs to somebody elsewhere", text);
		return err_refuse(err, ERR_CONFLICT,
				  is_email			     ? "email-taken"
				  : user.disabled & DISABLED_DELETED ? "name-reserved"
								     : "username-taken",
				  "'%s' is somebody else's", text);
	}
	if (missing.code != ERR_NOT_FOUND) {
		*err = missing;
		return -1;
	}
	if (!is_claimed(importing, is_email ? 'e' : 'u', text)) {
		importing->refused = NULL;
		return 0;
	}
	return err_refuse(err, ERR_CONFLICT, is_email ? "email-taken" : "username-taken",
			  "'%s' is in the file before", text);
}

static bool is_administrator(const struct importing *importing, const struct user *user)
{
	return user->id != 0 && user_is_active(user) &&
	       strcmp(user->profile,
		      importing->import->setup->setup.decision.administrator_profile) == 0;
}

static int foresee_administrator(const struct importing *importing,
				 const struct person_change *change, struct err *err)
{
	struct administrator_question question = {
		.before = is_administrator(importing, &change->before),
		.after = is_administrator(importing, &change->after),
		.by_person = true,
	};
	enum administrator_verdict verdict;

	if (!question.before || question.after)
		return 0;
	if (store_active_with_profile(
		    importing->store, change->before.organization,
		    importing->import->setup->setup.decision.administrator_profile,
		    change->before.id, &question.others, err) < 0)
		return -1;
	return policy_last_administrator(&question, &verdict, err);
}

static int foresee_authority(const struct importing *importing, const struct person_change *change,
			     struct err *err)
{
	const struct setup *setup = &importing->import->setup->setup;
	const struct actor *actor = importing->import->actor;
	struct authority authority;

	if (!actor->limited)
		return 0;
	if (authority_of_actor(importing->store, setup, actor, importing->now_s, importing->arena,
			       &authority, err) < 0 ||
	    authority_require_organization(&authority, change->after.organization,
					   "such organization", err) < 0 ||
	    (change->before.id != 0 &&
	     authority_require_user(&authority, importing->store, setup, &change->before,
				    importing->now_s, importing->arena, err) < 0))
		return -1;
	for (size_t i = 0; i < change->added_count; i++)
		if (authority_require_grant(&authority, setup, change->added[i].kind,
					    change->added[i].name, importing->arena, err) < 0)
			return -1;
	return 0;
}

static int foresee_disabling(const struct importing *importing, const struct person_change *change,
			     struct err *err)
{
	const struct apply_context asking = { .setup = importing->import->setup,
					      .actor = importing->import->actor,
					      .refuse = true };
	int any;

	if (ceiling_self(&asking, change, err) < 0)
		return -1;
	if (change->before.id == 0 || !user_is_active(&change->before) ||
	    user_is_active(&change->after))
		return 0;
	any = store_reference_any(importing->store, change->before.id, err);
	if (any <= 0)
		return any;
	return err_refuse(err, ERR_CONFLICT, "user-has-references",
			  "'%s' is responsible for something, which must be reassigned first",
			  change->before.username);
}

/* What apply_person would ask, in its order. What is refused takes no name from those who come later. */
static int foresee(struct importing *importing, const struct person_change *change, struct err *err)
{
	const struct user *before = &change->before, *after = &change->after;
	bool renamed = strcmp(before->username, after->username) != 0;
	bool readdressed = after->email[0] && strcmp(before->email, after->email) != 0;

	if (foresee_authority(importing, change, err) < 0 ||
	    foresee_administrator(importing, change, err) < 0 ||
	    foresee_disabling(importing, change, err) < 0 ||
	    (renamed &&
	     foresee_name(importing, change, USER_BY_USERNAME, after->username, err) < 0) ||
	    (readdressed && foresee_name(importing, change, USER_BY_EMAIL, after->email, err) < 0))
		return -1;
	if (renamed && claim(importing, 'u', after->username, err) < 0)
		return -1;
	return readdressed ? claim(importing, 'e', after->email, err) : 0;
}

/* --- writing --- */

static int carry_out(struct importing *importing, const struct person_change *change,
		     int64_t *ret_user_id, struct err *err)
{
	if (!importing->context) {
		*ret_user_id = change->before.id;
		return foresee(importing, change, err);
	}
	if (apply_person(importing->context, change, NULL, err) < 0)
		return -1;
	*ret_user_id = importing->context->user_id;
	return 0;
}

static int write_external(struct importing *importing, const struct user *user, int64_t user_id,
			  struct err *err)
{
	const char *id = importing->prepared->row.external_id;
	int64_t owner;

	if (!id || id[0] == '\0')
		return 0;
	if (importing->context)
		return store_external_put(importing->store, user->organization, id, user_id, err);
	if (store_external_find(importing->store, user->organization, id, &owner, err) < 0)
		return -1;
	if (owner != 0 && owner != user_id)
		return err_refuse(err, ERR_CONFLICT, "external-id-taken",
				  "external id '%s' is somebody else's", id);
	return 0;
}

/* Asked first: a row that is refused leaves nothing. */
static int check_external(struct importing *importing, const char *organization, int64_t user_id,
			  bool *ret_changes, struct err *err)
{
	const char *id = importing->prepared->row.external_id;
	int64_t owner = 0;

	*ret_changes = false;
	if (!id || id[0] == '\0')
		return 0;
	if (store_external_find(importing->store, organization, id, &owner, err) < 0)
		return -1;
	*ret_changes = owner != user_id || user_id == 0;
	if (owner != 0 && owner != user_id)
		return err_refuse(err, ERR_CONFLICT, "external-id-taken",
				  "external id '%s' is somebody else's", id);
	return 0;
}

static const char *cause_of(const struct importing *importing)
{
	const char *id = importing->prepared->row.external_id;

	return id && id[0] ? arena_printf(importing->arena, "import %s", id) : "import";
}

/* --- somebody new --- */

static int fill_new(struct importing *importing, struct person_change *change, struct err *err)
{
	const struct prepared *prepared = importing->prepared;
	const struct import_row *row = &prepared->row;
	const struct setup *setup = &importing->import->setup->setup;
	const char *email = row->email ? row->email : "";
	const char *username = row->username && row->username[0] ? row->username : email;
	const char *name = row->display_name ? row->display_name : "";
	const char *profile =
		row->profile && row->profile[0] ? row->profile : setup->decision.default_profile;
	bool is_disabled = row->state && strcmp(row->state, "disabled") == 0;

	importing->refused = "username";
	if (username[0] == '\0')
		return err_set(err, ERR_INVALID, "somebody new needs a user name or an address");
	if (username == email && normal(importing->import, username_normalize, &username, err) < 0)
		return err_wrap(err, "the address cannot be the user name");
	importing->refused = "organization";
	if (change_check_organization(setup, organization_of(importing), err) < 0)
		return -1;
	importing->refused = NULL;
	if (!profile || profile[0] == '\0')
		return err_refuse(err, ERR_INVALID, "profile-required",
				  "somebody new needs a profile, and there is no default one");
	change->after = (struct user){
		.uuid = prepared->has_id ? prepared->id : uuid_create(importing->now_s * 1000),
		.organization = organization_of(importing),
		.username = username,
		.email = email,
		.display_name = name[0] ? name : username,
		.profile = profile,
		.disabled = is_disabled ? DISABLED_BY_HAND : 0,
		.is_protected = policy_is_protected(setup->policy, username),
		.version = 1,
		.created_s = importing->now_s,
		.updated_s = importing->now_s,
	};
	change->before = (struct user){ .uuid = change->after.uuid,
					.organization = change->after.organization,
					.username = "",
					.email = "",
					.display_name = "",
					.profile = "" };
	return 0;
}

static int create(struct importing *importing, struct err *err)
{
	const struct prepared *prepared = importing->prepared;
	struct person_change change = { .cause = cause_of(importing) };
	struct grant *grants =
		arena_alloc_array(importing->arena, prepared->wanted_count + 1, sizeof(*grants));
	bool by_default = !prepared->row.profile || prepared->row.profile[0] == '\0';
	int64_t user_id;
	bool external;

	if (!grants || !change.cause)
		return no_memory(err);
	if (fill_new(importing, &change, err) < 0 ||
	    check_external(importing, change.after.organization, 0, &external, err) < 0)
		return -1;
	if (by_default)
		grants[change.added_count++] = (struct grant){ .kind = GRANT_PROFILE,
							       .name = change.after.profile,
							       .origin = ORIGIN_DEFAULT,
							       .origin_id = "",
							       .origin_source = "",
							       .given_s = importing->now_s };
	memcpy(grants + change.added_count, prepared->wanted,
	       prepared->wanted_count * sizeof(*grants));
	change.added_count += prepared->wanted_count;
	change.gained_count = change.added_count;
	change.added = grants;
	if (carry_out(importing, &change, &user_id, err) < 0 ||
	    (importing->context && write_external(importing, &change.after, user_id, err) < 0))
		return -1;
	importing->result->status = IMPORT_CREATED;
	importing->result->user = change.after.uuid;
	importing->result->has_user = importing->context != NULL;
	return 0;
}

/* --- somebody known --- */

static void fill_edit(const struct prepared *prepared, const struct user *user,
		      struct import_edit *ret_import, struct edit *ret_edit)
{
	const struct import_row *row = &prepared->row;
	bool is_active = user_is_active(user);

	*ret_import =
		(struct import_edit){ .wanted = prepared->wanted, .count = prepared->wanted_count };
	ret_import->given[GRANT_PROFILE] = row->profile && row->profile[0];
	for (int kind = GRANT_ROLE; kind < GRANT_KINDS; kind++)
		ret_import->given[kind] = row->names[kind].given;
	*ret_edit = (struct edit){ .import = ret_import };
	if (row->state && strcmp(row->state, "disabled") == 0 && is_active)
		ret_edit->disable_set = DISABLED_BY_HAND;
	if (row->state && strcmp(row->state, "active") == 0 && !is_active)
		ret_edit->disable_clear = DISABLED_BY_HAND | DISABLED_STALE;
}

/* Of what would be new, nothing may be denied by a rule. */
static int check_denied(const struct evaluation *e, const struct importing *importing,
			const struct person_change *change, struct err *err)
{
	struct person person;

	if (importing->prepared->wanted_count == 0)
		return 0;
	if (evaluate_person(e, change->before.id, &person, err) < 0)
		return -1;
	for (size_t i = 0; person.identity_count > 0 && i < importing->prepared->wanted_count;
	     i++) {
		const struct grant *grant = &importing->prepared->wanted[i];
		enum match match;

		if (decide_denied(&e->setup->setup.decision, &person, grant->kind, grant->name,
				  e->now_s, e->arena, &match, err) < 0)
			return -1;
		if (match != MATCH_NO)
			return err_refuse(err, ERR_DENIED, "not-allowed",
					  "a rule %s %s '%s' to this person",
					  match == MATCH_YES ? "denies" : "may deny",
					  grant_kind_name(grant->kind), grant->name);
	}
	return 0;
}

static int set_fields(struct importing *importing, const struct evaluation *e,
		      struct person_change *change, struct err *err)
{
	const struct import_row *row = &importing->prepared->row;
	const struct user *before = &change->before;
	struct user *after = &change->after;
	bool changed[EDIT_FIELDS];

	if (row->username && row->username[0])
		after->username = row->username;
	if (row->email && row->email[0])
		after->email = row->email;
	if (row->display_name && row->display_name[0])
		after->display_name = row->display_name;
	changed[0] = strcmp(before->username, after->username) != 0;
	changed[1] = strcmp(before->email, after->email) != 0;
	changed[2] = strcmp(before->display_name, after->display_name) != 0;
	after->is_protected = policy_is_protected(e->setup->setup.policy, after->username);
	if (!changed[0] && !changed[1] && !changed[2])
		return 0;
	return edit_check_owners(e, before, changed, &importing->refused, err);
}

/* Before anything is said of them, in a dry run as well. */
static int check_touchable(struct importing *importing, const struct user *user, struct err *err)
{
	const struct setup *setup = &importing->import->setup->setup;
	const struct actor *actor = importing->import->actor;
	struct authority authority;

	if (importing->context)
		return ceiling_user(importing->import->changer, setup, actor, user,
				    importing->arena, err);
	if (!actor->limited)
		return 0;
	if (authority_of_actor(importing->store, setup, actor, importing->now_s, importing->arena,
			       &authority, err) < 0)
		return -1;
	return authority_require_user(&authority, importing->store, setup, user, importing->now_s,
				      importing->arena, err);
}

static int check_known(struct importing *importing, const struct user *user, struct err *err)
{
	const struct import_row *row = &importing->prepared->row;

	importing->refused = "organization";
	if (row->organization && row->organization[0] &&
	    strcmp(row->organization, user->organization) != 0)
		return err_set(err, ERR_CONFLICT, "'%s' belongs to another organization",
			       user->username);
	importing->refused = NULL;
	return 0;
}

static int check_after(struct importing *importing, const struct person_change *change,
		       struct err *err)
{
	const struct import_row *row = &importing->prepared->row;

	if (change->after.profile[0] == '\0' && change->before.profile[0] != '\0')
		return err_refuse(err, ERR_CONFLICT, "profile-required",
				  "'%s' would be left without a profile", change->before.username);
	if (!row->state || strcmp(row->state, "active") != 0 || user_is_active(&change->after))
		return 0;
	importing->refused = "state";
	return err_refuse(err, ERR_CONFLICT, "managed-by-idp",
			  "'%s' was not disabled by a person, and no person enables them",
			  change->before.username);
}

static int write_known(struct importing *importing, struct person_change *change, bool external,
		       struct err *err)
{
	bool visible = person_change_is_visible(change);
	int64_t user_id = change->before.id;

	if (visible && importing->context &&
	    change->before.disabled & ~change->after.disabled & DISABLED_STALE &&
	    stale_refresh(importing->context, user_id, err) < 0)
		return -1;
	if (visible && carry_out(importing, change, &user_id, err) < 0) {
		/* Whoever was refused in memory already, before their new name was, is let in again. */
		if (importing->context)
			notice_changed(importing->import->changer, change->before.id);
		return -1;
	}
	if (external && write_external(importing, &change->before, change->before.id, err) < 0)
		return -1;
	if (external && !visible && importing->context) {
		char object[sizeof("user:") + UUID_TEXT_SIZE] = "user:";

		uuid_format(&change->before.uuid, object + strlen(object));
		if (audit_write(importing->store, importing->now_s, importing->import->actor,
				"user.external-id", object, "{}", err) < 0)
			return -1;
	}
	importing->result->status = visible || external ? IMPORT_UPDATED : IMPORT_UNCHANGED;
	return 0;
}

static int update(struct importing *importing, const struct user *user, struct err *err)
{
	struct import_edit import;
	struct edit edit;
	struct evaluation evaluation = { .setup = importing->import->setup,
					 .store = importing->store,
					 .arena = importing->arena,
					 .now_s = importing->now_s,
					 .cause = cause_of(importing),
					 .edit = &edit };
	struct person_change change;
	enum evaluated outcome;
	const char *problem;
	bool external;

	if (!evaluation.cause)
		return no_memory(err);
	if (check_touchable(importing, user, err) < 0)
		return -1;
	importing->result->user = user->uuid;
	importing->result->has_user = true;
	fill_edit(importing->prepared, user, &import, &edit);
	if (check_known(importing, user, err) < 0 ||
	    check_external(importing, user->organization, user->id, &external, err) < 0 ||
	    evaluate_user(&evaluation, user->id, NULL, &change, &outcome, &problem, err) < 0 ||
	    (change.added_count > 0 && check_denied(&evaluation, importing, &change, err) < 0) ||
	    set_fields(importing, &evaluation, &change, err) < 0 ||
	    check_after(importing, &change, err) < 0)
		return -1;
	change.after.version = change.before.version + 1;
	change.after.updated_s = importing->now_s;
	return write_known(importing, &change, external, err);
}

/* --- rows --- */

/* In a dry run: was somebody made before, in this file, whom this row is about? As find_user looks. */
static bool foresee_again(struct importing *importing)
{
	const struct prepared *prepared = importing->prepared;
	const struct import_row *row = &prepared->row;
	bool has_external = row->external_id && row->external_id[0];
	bool has_username = row->username && row->username[0];
	char id[UUID_TEXT_SIZE];

	if (importing->context)
		return false;
	if (prepared->has_id) {
		uuid_format(&prepared->id, id);
		if (is_claimed(importing, 'i', id))
			return true;
	}
	if (has_external && is_claimed(importing, 'x', row->external_id))
		return true;
	if (has_username)
		return is_claimed(importing, 'u', row->username);
	return !prepared->has_id && !has_external && row->email && row->email[0] &&
	       is_claimed(importing, 'e', row->email);
}

/* Those by which a later row may be about somebody whom this one would make; names are claimed by then. */
static int claim_keys(struct importing *importing, struct err *err)
{
	const struct prepared *prepared = importing->prepared;
	const char *external = prepared->row.external_id;
	char id[UUID_TEXT_SIZE];

	if (importing->context)
		return 0;
	uuid_format(&prepared->id, id);
	if (prepared->has_id && claim(importing, 'i', id, err) < 0)
		return -1;
	return external && external[0] ? claim(importing, 'x', external, err) : 0;
}

static int do_row(struct importing *importing, struct err *err)
{
	struct user user;
	int found = find_user(importing, &user, err);

	if (found < 0)
		return -1;
	if (found > 0)
		return update(importing, &user, err);
	if (!foresee_again(importing))
		return create(importing, err) < 0 ? -1 : claim_keys(importing, err);
	importing->result->status = IMPORT_UPDATED;
	return 0;
}

struct batch {
	struct import *import;
	const struct prepared *prepared;
	size_t count;
	struct arena *arena; /* of messages */
	struct import_result *results;
};

static int do_rows(struct batch *batch, struct store *store, struct apply_context *context,
		   struct arena *arena, struct err *err)
{
	for (size_t i = 0; i < batch->count; i++) {
		struct importing importing = { .import = batch->import,
					       .store = store,
					       .prepared = &batch->prepared[i],
					       .context = context,
					       .arena = arena,
					       .now_s = change_now_s(),
					       .result = &batch->results[i] };
		struct err problem;

		if (importing.result->code)
			continue;
		arena_reset(arena);
		err_clear(&problem);
		if (do_row(&importing, &problem) < 0 &&
		    tell_refused(importing.result, &problem, importing.refused, batch->arena, err) <
			    0)
			return -1;
	}
	return 0;
}

static int batch_job(struct changer *changer, struct job *job, struct err *err)
{
	struct batch *batch = job->context;
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	struct applied applied = { 0 };
	struct apply_context context = { .changer = changer,
					 .setup = batch->import->setup,
					 .arena = arena,
					 .actor = batch->import->actor,
					 .source = "",
					 .refuse = true,
					 .now_s = change_now_s(),
					 .applied = &applied };

	if (!arena)
		return no_memory(err);
	return do_rows(batch, changer->store, &context, arena, err);
}

static int dry_batch(struct batch *batch, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	struct store *store = batch->import->reader;
	int result;

	if (!arena)
		return no_memory(err);
	if (store_begin(store, err) < 0)
		return -1;
	result = do_rows(batch, store, NULL, arena, err);
	store_rollback(store);
	return result;
}

static int prepare(struct import *import, const struct import_row *row, struct prepared *prepared,
		   struct import_result *result, struct arena *arena, struct err *err)
{
	const char *refused = NULL;
	struct err problem;

	*prepared = (struct prepared){ .row = *row };
	/* Whoever read the row found it wrong. */
	if (result->code)
		return 0;
	err_clear(&problem);
	if (prepare_texts(import, prepared, &refused, &problem) < 0 ||
	    prepare_grants(import, prepared, &refused, &problem) < 0)
		return tell_refused(result, &problem, refused, arena, err);
	return 0;
}

int import_rows(struct import *import, const struct import_row *rows, size_t count,
		struct arena *arena, struct import_result *results, struct err *err)
{
	struct batch batch = {
		.import = import, .count = count, .arena = arena, .results = results
	};
	struct prepared *prepared;
	int result = 0;

	arena_reset(import->texts);
	/* What is in force may have changed since the rows before. */
	setup_release(&import->setup->setup);
	import->setup = changer_live_setup(import->changer, NULL);
	prepared = arena_alloc_array(import->texts, count ? count : 1, sizeof(*prepared));
	if (!prepared)
		return no_memory(err);
	batch.prepared = prepared;
	for (size_t i = 0; result == 0 && i < count; i++)
		result = prepare(import, &rows[i], &prepared[i], &results[i], arena, err);
	if (result == 0)
		result = import->dry_run
				 ? dry_batch(&batch, err)
				 : writer_bulk_redoable(import->changer, batch_job, &batch, err);
	for (size_t i = 0; result == 0 && i < count; i++)
		import->counts[results[i].status]++;
	return result;
}

/* The row that a durable commit needs: without anything written nothing is waited for. */
static int finish_job(struct changer *changer, struct job *job, struct err *err)
{
	const struct import *import = job->context;
	AUTO(strbuf) struct strbuf object = STRBUF(256), detail = STRBUF(4096);
	struct json json = JSON(&detail);

	json_object(&json);
	for (int i = 0; i < IMPORT_STATUSES; i++)
		json_int(&json, status_names[i], import->counts[i]);
	json_end(&json);
	strbuf_printf(&object, "import:%s", import->actor->request);
	if (strbuf_failed(&object) || strbuf_failed(&detail))
		return no_memory(err);
	return audit_write(changer->store, change_now_s(), import->actor, "users.import",
			   strbuf_text(&object), strbuf_text(&detail), err);
}

int import_finish(struct import *import, struct err *err)
{
	return import->dry_run ? 0 : writer_bulk(import->changer, finish_job, import, err);
}
