/*
 * Who is responsible for what: references, their passing on, and what is left behind.
 *
 * Enters: who asks, what an application says of somebody, to whom it shall go. Leaves: rows, audit rows. Refused:
 * users who are not there or not active; disabling somebody by hand who is responsible for anything.
 * Fails: store, memory.
 *
 * A directory that disables somebody is not refused: what they leave is listed (orphaning) until it is
 * somebody else's, gone, or they are back, and an alarm says so as long as there is any of it.
 */
#include "ownership.h"

#include <string.h>

#include <rolebridge/base/util.h>

#define DETAIL_MAX (1u << 20)
/* What one piece passes on, and how long it holds the writer for. */
#define PIECE 500
#define PIECE_US 20000
#define ALARM_KIND "references-orphaned"
#define ALARM_SUBJECT "references"

/* --- what is left behind --- */

static int follow(struct changer *changer, int64_t user_id, bool active, int64_t now_s,
		  struct err *err)
{
	struct store *store = changer->store;
	int any = active ? 0 : store_reference_any(store, user_id, err);
	int changed;

	if (any < 0)
		return -1;
	changed = any ? store_orphaning_set(store, user_id, now_s, err)
		      : store_orphaning_clear(store, user_id, err);
	if (changed <= 0)
		return changed;
	if (any)
		return store_alarm_raise(
			       store, ALARM_KIND, ALARM_SUBJECT,
			       "people who are disabled are still responsible for things: "
			       "rolebridgectl references list --orphaned",
			       now_s, err) < 0
			       ? -1
			       : 0;
	any = store_orphaning_any(store, err);
	if (any == 0 &&
	    store_alarm_clear(store, ALARM_KIND, ALARM_SUBJECT, "nothing is left", now_s, err) < 0)
		return -1;
	return any < 0 ? -1 : 0;
}

int owning_follow(struct owning *owning, int64_t user_id, struct err *err)
{
	struct user user;

	if (store_user_get(owning->changer->store, user_id, owning->arena, &user, err) < 0)
		return -1;
	return follow(owning->changer, user_id, user_is_active(&user), owning->now_s, err);
}

int orphaning_follow(struct apply_context *context, const struct person_change *change,
		     struct err *err)
{
	bool was = user_is_active(&change->before), is = user_is_active(&change->after);

	if (change->before.id == 0 || was == is)
		return 0;
	return follow(context->changer, change->after.id, is, context->now_s, err);
}

int orphaning_check(struct apply_context *context, const struct person_change *change,
		    struct err *err)
{
	uint32_t gained = change->after.disabled & ~change->before.disabled;
	bool ends = user_is_active(&change->before) && gained & DISABLED_BY_HAND;
	bool moves = person_change_moves(change);
	int64_t count;
	int any;

	/* What they have stays in its organization, so they leave nothing behind there either. */
	if (!context->refuse || change->before.id == 0 ||
	    !(ends || moves || gained & DISABLED_DELETED))
		return 0;
	any = store_reference_any(context->changer->store, change->before.id, err);
	if (any <= 0)
		return any;
	if (store_reference_count(context->changer->store, change->before.id, NULL, &count, err) <
	    0)
		return -1;
	return err_refuse(err, ERR_CONFLICT, "user-has-references",
			  "'%s' is responsible for %lld thing(s), which must be reassigned first",
			  change->before.username, (long long)count);
}

/* --- references --- */

static void write_side(struct json *json, const char *name, const struct reference *reference)
{
	char uuid[UUID_TEXT_SIZE];

	uuid_format(&reference->user_uuid, uuid);
	json_object_key(json, name);
	json_string(json, "user", uuid);
	json_string(json, "label", reference->label);
	json_end(json);
}

static int write_audit(struct owning *owning, const char *action, const struct reference *before,
		       const struct reference *after, struct err *err)
{
	AUTO(strbuf) struct strbuf detail = STRBUF(DETAIL_MAX);
	const struct reference *any = after ? after : before;
	const struct resource_key key = { any->application, any->kind, any->id };
	struct json json = JSON(&detail);

	json_object(&json);
	if (before)
		write_side(&json, "before", before);
	if (after)
		write_side(&json, "after", after);
	json_end(&json);
	return owning_audit(owning, action, "reference", &key, &detail, err);
}

static int reference_write(struct owning *owning, struct reference *after,
			   const struct reference *before, struct err *err)
{
	after->version = before ? before->version + 1 : 1;
	after->updated_s = owning->now_s;
	after->created_s = before ? before->created_s : owning->now_s;
	if (store_reference_put(owning->changer->store, after, err) < 0 ||
	    write_audit(owning, before ? "reference.update" : "reference.create", before, after,
			err) < 0)
		return -1;
	return before && before->user != after->user ? owning_follow(owning, before->user, err) : 0;
}

/* *ret_before row 0: there is none. */
static int find_reference(struct owning *owning, const struct reference *key,
			  struct reference *ret_before, struct err *err)
{
	const char *own = owning->authority.organization;
	struct err missing;
	struct user user;

	err_clear(&missing);
	*ret_before = (struct reference){ 0 };
	if (store_reference_find(owning->changer->store, key, owning->arena, ret_before, &missing) <
	    0) {
		if (missing.code == ERR_NOT_FOUND)
			return 0;
		if (err)
			*err = missing;
		return -1;
	}
	if (!own)
		return 0;
	if (store_user_get(owning->changer->store, ret_before->user, owning->arena, &user, err) < 0)
		return -1;
	return authority_require_organization(&owning->authority, user.organization,
					      "such reference", err);
}

struct reference_job {
	struct owning owning;
	const struct reference_wish *wish;
	int64_t version;
	enum ownership_outcome outcome;
};

static int job_begin(struct reference_job *put, struct changer *changer, struct arena *arena,
		     struct err *err)
{
	put->owning.changer = changer;
	put->owning.arena = arena;
	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory for a request");
	if (owning_begin(&put->owning, "references:write@all", err) < 0 ||
	    owning_check_application(&put->owning, put->wish->application, err) < 0)
		return -1;
	return 0;
}

static int check_wish(struct owning *owning, const struct reference_wish *wish, struct err *err)
{
	if (owning_check_key(owning, wish->application, "kind", wish->kind, wish->id, err) < 0 ||
	    owning_check_text(owning, "label", wish->label ? wish->label : "", err) < 0)
		return -1;
	if (strcmp(wish->kind, REFERENCE_OWNER) == 0)
		return owning_refuse(owning, "kind", "invalid-request",
				     "'owner' is what owners of resources are", err);
	return 0;
}

static int put_reference_job(struct changer *changer, struct job *job, struct err *err)
{
	struct reference_job *put = job->context;
	const struct reference_wish *wish = put->wish;
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	struct reference before, after = { .application = wish->application,
					   .kind = wish->kind,
					   .id = wish->id,
					   .label = wish->label ? wish->label : "" };
	struct user user;

	if (job_begin(put, changer, arena, err) < 0 || check_wish(&put->owning, wish, err) < 0 ||
	    find_reference(&put->owning, &after, &before, err) < 0 ||
	    owning_check_version(put->version, before.version, err) < 0 ||
	    owning_find_user(&put->owning, "user", wish->user, NULL, before.user, &user, err) < 0)
		return -1;
	put->outcome = OWNERSHIP_UNCHANGED;
	if (before.row && before.user == user.id && strcmp(before.label, after.label) == 0)
		return 0;
	put->outcome = before.row ? OWNERSHIP_UPDATED : OWNERSHIP_CREATED;
	after.row = before.row;
	after.user = user.id;
	after.user_uuid = user.uuid;
	return reference_write(&put->owning, &after, before.row ? &before : NULL, err);
}

int change_reference_put(struct changer *changer, const struct actor *actor,
			 const struct reference_wish *wish, int64_t version,
			 enum ownership_outcome *ret_outcome, const char **ret_field,
			 struct err *err)
{
	struct live_setup *setup = changer_live_setup(changer, NULL);
	struct reference_job put = { .owning = { .setup = setup, .actor = actor },
				     .wish = wish,
				     .version = version };
	int result = writer_request(changer, put_reference_job, &put, err);

	setup_release(&setup->setup);
	*ret_field = result < 0 ? put.owning.refused : NULL;
	if (result == 0)
		*ret_outcome = put.outcome;
	return result;
}

static int remove_reference_job(struct changer *changer, struct job *job, struct err *err)
{
	struct reference_job *put = job->context;
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	const struct reference key = { .application = put->wish->application,
				       .kind = put->wish->kind,
				       .id = put->wish->id };
	struct reference before;

	if (job_begin(put, changer, arena, err) < 0 ||
	    find_reference(&put->owning, &key, &before, err) < 0)
		return -1;
	if (!before.row)
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such reference");
	if (owning_check_version(put->version, before.version, err) < 0 ||
	    store_reference_remove(changer->store, before.row, err) < 0 ||
	    write_audit(&put->owning, "reference.delete", &before, NULL, err) < 0)
		return -1;
	return owning_follow(&put->owning, before.user, err);
}

int change_reference_remove(struct changer *changer, const struct actor *actor,
			    const char *application, const char *kind, const char *id,
			    int64_t version, struct err *err)
{
	const struct reference_wish wish = { .application = application, .kind = kind, .id = id };
	struct live_setup *setup = changer_live_setup(changer, NULL);
	struct reference_job put = { .owning = { .setup = setup, .actor = actor },
				     .wish = &wish,
				     .version = version };
	int result = writer_request(changer, remove_reference_job, &put, err);

	setup_release(&setup->setup);
	return result;
}

/* --- passing on --- */

struct passing {
	struct owning owning;
	const char *user, *to, *application;
	struct user from, target;
	int64_t moved; /* by this piece */
	bool ended;
};

static int pass_resource(struct passing *passing, const struct reference *owned, struct err *err)
{
	struct owning *owning = &passing->owning;
	struct resource before, after;

	if (store_resource_get(owning->changer->store, owned->row, owning->arena, &before, err) < 0)
		return -1;
	after = before;
	after.owner = passing->target.id;
	after.owner_uuid = passing->target.uuid;
	after.owner_name = passing->target.username;
	return resource_write(owning, &after, &before, err);
}

static int pass_reference(struct passing *passing, const struct reference *before, struct err *err)
{
	struct reference after = *before;

	after.user = passing->target.id;
	after.user_uuid = passing->target.uuid;
	return reference_write(&passing->owning, &after, before, err);
}

/* What was passed on is not found again: each piece begins at the start. */
static int pass_piece(struct passing *passing, struct err *err)
{
	const struct reference_query query = { .application = passing->application,
					       .user = passing->from.id,
					       .limit = PIECE };
	int64_t until_us = clock_monotonic_us() + PIECE_US;
	struct reference *rows;
	size_t count, i = 0;

	if (store_reference_list(passing->owning.changer->store, &query, passing->owning.arena,
				 &rows, &count, err) < 0)
		return -1;
	for (; i < count && (i == 0 || clock_monotonic_us() < until_us); i++) {
		bool owned = strcmp(rows[i].kind, REFERENCE_OWNER) == 0;

		if ((owned ? pass_resource(passing, &rows[i], err)
			   : pass_reference(passing, &rows[i], err)) < 0)
			return -1;
	}
	passing->moved = (int64_t)i;
	passing->ended = i == count && count < PIECE;
	return 0;
}

static int write_summary(struct passing *passing, struct err *err)
{
	AUTO(strbuf) struct strbuf detail = STRBUF(DETAIL_MAX);
	char object[UUID_TEXT_SIZE + 5] = "user:", to[UUID_TEXT_SIZE];
	struct json json = JSON(&detail);

	uuid_format(&passing->from.uuid, object + 5);
	uuid_format(&passing->target.uuid, to);
	json_object(&json);
	json_string(&json, "to", to);
	if (passing->application)
		json_string(&json, "application", passing->application);
	json_int(&json, "moved", passing->moved);
	json_end(&json);
	if (strbuf_failed(&detail))
		return err_set(err, ERR_MEMORY, "no memory for an audit row");
	return audit_write(passing->owning.changer->store, passing->owning.now_s,
			   passing->owning.actor, "user.reassign", object, strbuf_text(&detail),
			   err);
}

static int find_both(struct passing *passing, struct err *err)
{
	struct owning *owning = &passing->owning;

	if (user_resolve(owning->changer->store, passing->user, owning->arena, &passing->from,
			 err) < 0)
		return -1;
	if (passing->from.disabled & DISABLED_DELETED)
		return no_such_user(err);
	if (authority_require_organization(&owning->authority, passing->from.organization,
					   "such user", err) < 0 ||
	    owning_find_user(owning, "to", passing->to, passing->from.organization, 0,
			     &passing->target, err) < 0)
		return -1;
	if (passing->target.id == passing->from.id)
		return owning_refuse(owning, "to", "invalid-request", "it is the same person", err);
	return 0;
}

static int pass_job(struct changer *changer, struct job *job, struct err *err)
{
	struct passing *passing = job->context;
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	const char *bound = passing->owning.actor->application;

	passing->owning.changer = changer;
	passing->owning.arena = arena;
	passing->moved = 0;
	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory for a request");
	if (owning_begin(&passing->owning, "references:reassign@all", err) < 0)
		return -1;
	/* A token of one application passes on what is this one's. */
	if (bound && !passing->application)
		passing->application = bound;
	if (passing->application &&
	    owning_check_application(&passing->owning, passing->application, err) < 0)
		return -1;
	if (find_both(passing, err) < 0 || pass_piece(passing, err) < 0)
		return -1;
	return passing->moved ? write_summary(passing, err) : 0;
}

int change_reassign(struct changer *changer, const struct actor *actor, const char *user,
		    const char *to, const char *application, int64_t *ret_moved,
		    const char **ret_field, struct err *err)
{
	struct live_setup *setup = changer_live_setup(changer, NULL);
	struct passing passing = { .owning = { .setup = setup, .actor = actor },
				   .user = user,
				   .to = to,
				   .application = application };
	int64_t moved = 0;
	int result;

	do {
		result = writer_bulk(changer, pass_job, &passing, err);
		moved += result == 0 ? passing.moved : 0;
	} while (result == 0 && !passing.ended);
	setup_release(&setup->setup);
	*ret_field = result < 0 ? passing.owning.refused : NULL;
	if (result == 0)
		*ret_moved = moved;
	return result;
}
