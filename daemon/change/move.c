/*
 * From one organization to another.
 *
 * Enters: who asks, whom it concerns, the version they saw, where to. Leaves: the user there, without the sessions
 * and tokens they had, audit row "user.move". Refused: who may not act in both, people of whom a source of
 * another organization speaks, who is responsible for anything, the last administrator of the organization
 * that is left, an external id that is somebody else's there, the loss of the only profile. Fails: store, memory.
 *
 * What belongs to the organization that is left does not come along: grants of its own definitions, identities that
 * a person promised and nobody has read, the service that made the user. A dry run asks the same on a handle that can
 * only read.
 */
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>
#include <rolebridge/store/invite.h>
#include <rolebridge/store/token.h>

#include "ceiling.h"
#include "edit.h"
#include "foresee.h"

struct moving {
	const struct user_move *move;
	struct arena *arena; /* of who waits */
	struct move_outcome outcome;
	const char *refused;
};

static int find_target(const struct editing *editing, struct changer *changer, struct arena *arena,
		       struct err *err)
{
	struct moving *moving = editing->context;
	const struct setup *setup = &editing->setup->setup;
	const char *organization = moving->move->organization;
	struct authority authority;

	moving->refused = "organization";
	if (authority_of_actor(changer->store, setup, editing->actor, change_now_s(), arena,
			       &authority, err) < 0 ||
	    authority_require_organization(&authority, organization, "such organization", err) <
		    0 ||
	    change_check_organization(setup, organization, err) < 0 ||
	    (!moving->move->dry_run &&
	     store_organization_ensure(changer->store, organization, err) < 0))
		return -1;
	moving->refused = NULL;
	return 0;
}

/* What a source said of them would go on being said, in the organization of the source. */
static int check_identities(const struct editing *editing, struct store *store,
			    const struct user *user, struct arena *arena, struct err *err)
{
	const struct moving *moving = editing->context;
	struct identity_row *rows;
	size_t count;

	if (store_identities_of(store, user->id, arena, &rows, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		const struct source_settings *source =
			setup_find_source(&editing->setup->setup, rows[i].source);

		if (!source || strcmp(source_organization(source), moving->move->organization) != 0)
			return err_refuse(err, ERR_CONFLICT, "managed-by-idp",
					  "'%s' has an identity of source '%s', which is not of "
					  "that organization: unlink it first",
					  user->username, rows[i].source);
	}
	return 0;
}

static bool is_there(const struct setup *setup, const struct grant *grant, const char *organization)
{
	struct catalogue_item item;

	return !setup->catalogue ||
	       !catalogue_find(setup->catalogue, grant->kind, grant->name, &item) ||
	       catalogue_is_for(item.organization, organization);
}

static int drop_grants(const struct editing *editing, struct store *store,
		       struct person_change *change, struct arena *arena, struct err *err)
{
	struct grant *grants, *dropped;
	size_t count, gone = 0;
	bool lost = false;

	if (store_grants_of(store, change->before.id, arena, &grants, &count, err) < 0)
		return -1;
	dropped = arena_alloc_array(arena, count + 1, sizeof(*dropped));
	if (!dropped)
		return err_set(err, ERR_MEMORY, "no memory for grants");
	for (size_t i = 0; i < count; i++)
		if (!is_there(&editing->setup->setup, &grants[i], change->after.organization)) {
			lost |= grants[i].kind == GRANT_PROFILE &&
				strcmp(grants[i].name, change->before.profile) == 0;
			dropped[gone++] = grants[i];
		}
	if (lost)
		return err_refuse(
			err, ERR_CONFLICT, "profile-required",
			"organization '%s' has no profile '%s': give '%s' another one first",
			change->after.organization, change->before.profile,
			change->before.username);
	change->removed = dropped;
	change->removed_count = change->lost_count = gone;
	return 0;
}

static int move_external(struct store *store, const struct person_change *change,
			 struct arena *arena, struct err *err)
{
	const char *id;

	if (store_external_of(store, change->before.id, arena, &id, err) < 0)
		return -1;
	return id[0] ? store_external_put(store, change->after.organization, id, change->before.id,
					  err)
		     : 0;
}

static int carry_out(struct changer *changer, struct editing *editing, struct person_change *change,
		     struct arena *arena, struct err *err)
{
	struct moving *moving = editing->context;
	const struct user *before = &change->before;

	if (edit_apply(changer, editing, change, arena, NULL, err) < 0 ||
	    move_external(changer->store, change, arena, err) < 0 ||
	    store_links_drop(changer->store, before->id, err) < 0 ||
	    store_service_forget(changer->store, before->id, err) < 0)
		return -1;
	return tokens_end_of(changer, editing->actor, before, arena, &moving->outcome.tokens, err);
}

static int check_external(struct store *store, const struct person_change *change,
			  struct arena *arena, struct err *err)
{
	int64_t owner = 0;
	const char *id;

	if (store_external_of(store, change->before.id, arena, &id, err) < 0 ||
	    (id[0] && store_external_find(store, change->after.organization, id, &owner, err) < 0))
		return -1;
	if (owner == 0 || owner == change->before.id)
		return 0;
	return err_refuse(err, ERR_CONFLICT, "external-id-taken",
			  "external id '%s' is somebody else's", id);
}

/* The same asked, and nothing done. */
static int foresee(struct changer *changer, struct editing *editing, struct person_change *change,
		   struct arena *arena, struct err *err)
{
	struct moving *moving = editing->context;
	AUTO(hash_table) struct hash_table *claims = hash_table_create(4, 4);
	struct foresight foresight = { .store = changer->store,
				       .setup = editing->setup,
				       .actor = editing->actor,
				       .arena = arena,
				       .claims = claims,
				       .now_s = change_now_s() };

	if (!claims)
		return err_set(err, ERR_MEMORY, "no memory to look ahead");
	if (foresee_change(&foresight, change, err) < 0 ||
	    check_external(changer->store, change, arena, err) < 0)
		return -1;
	return tokens_count_of(changer, &change->before, arena, &moving->outcome.tokens, err);
}

static int keep_outcome(struct moving *moving, const struct person_change *change, struct err *err)
{
	struct grant *dropped =
		arena_alloc_array(moving->arena, change->removed_count + 1, sizeof(*dropped));

	for (size_t i = 0; dropped && i < change->removed_count; i++) {
		dropped[i] = change->removed[i];
		dropped[i].name = arena_strdup(moving->arena, dropped[i].name);
		dropped[i].origin_id = arena_strdup(moving->arena, dropped[i].origin_id);
		dropped[i].origin_source = arena_strdup(moving->arena, dropped[i].origin_source);
	}
	moving->outcome.dropped = dropped;
	moving->outcome.dropped_count = change->removed_count;
	moving->outcome.uuid = change->after.uuid;
	moving->outcome.organization = arena_strdup(moving->arena, change->after.organization);
	moving->outcome.profile = arena_strdup(moving->arena, change->after.profile);
	moving->outcome.moved = person_change_moves(change);
	return arena_failed(moving->arena) ? err_set(err, ERR_MEMORY, "no memory for a request")
					   : 0;
}

static int move_job(struct changer *changer, struct job *job, struct err *err)
{
	struct editing *editing = job->context;
	struct moving *moving = editing->context;
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	struct person_change change = { .cause = "hand" };

	moving->outcome = (struct move_outcome){ 0 };
	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory for a request");
	if (edit_find_subject(changer, editing, arena, &change.before, err) < 0 ||
	    find_target(editing, changer, arena, err) < 0)
		return -1;
	change.after = change.before;
	change.after.organization = moving->move->organization;
	if (person_change_moves(&change) &&
	    (check_identities(editing, changer->store, &change.before, arena, err) < 0 ||
	     drop_grants(editing, changer->store, &change, arena, err) < 0 ||
	     (moving->move->dry_run ? foresee(changer, editing, &change, arena, err)
				    : carry_out(changer, editing, &change, arena, err)) < 0))
		return -1;
	return keep_outcome(moving, &change, err);
}

/* Reads alone. */
static int look(struct changer *changer, struct editing *editing, struct err *err)
{
	AUTO(store) struct store *store = store_open(changer->path, STORE_READ, err);
	struct changer reader = { .path = changer->path, .store = store };
	struct live_setup *setup;
	struct job job = { .context = editing };
	int result;

	if (!store || store_begin(store, err) < 0)
		return -1;
	setup = changer_live_setup(changer, NULL);
	editing->setup = setup;
	result = move_job(&reader, &job, err);
	setup_release(&setup->setup);
	store_rollback(store);
	return result;
}

int change_user_move(struct changer *changer, const struct actor *actor,
		     const struct user_move *move, struct arena *arena,
		     struct move_outcome *ret_outcome, const char **ret_field, struct err *err)
{
	struct moving moving = { .move = move, .arena = arena };
	struct editing editing = {
		.actor = actor, .user = move->user, .version = move->version, .context = &moving
	};
	struct uuid uuid;
	int result = move->dry_run ? look(changer, &editing, err)
				   : edit_send(changer, &editing, move_job, &uuid, err);

	*ret_field = result < 0 ? moving.refused : NULL;
	if (result == 0)
		*ret_outcome = moving.outcome;
	return result;
}
