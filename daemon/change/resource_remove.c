/*
 * Resources that go: one, or all of a tree.
 *
 * Enters: who asks, which, the version they saw. Leaves: no row of it, audit rows, notes for those who decide
 * in memory. Refused: what has resources below it, unless all are to go; too many at once. Fails: store, memory.
 */
#include "ownership.h"

#include <string.h>

#include <rolebridge/base/util.h>

#include "accounts.h"

struct removal {
	struct owning owning;
	const struct resource_key *key;
	int64_t version;
	bool recursive, ties_left;
	size_t removed, untied;
};

/* *ret_people: who belonged to it. */
static int untie_people(struct removal *removal, const struct resource *resource,
			int64_t *ret_people, struct err *err)
{
	struct store *store = removal->owning.changer->store;
	size_t limit;
	int left;

	*ret_people = 0;
	if (strcmp(resource->key.type, RESOURCE_ACCOUNTS) != 0)
		return 0;
	if (store_account_people_count(store, resource->row, ret_people, err) < 0)
		return -1;
	if (*ret_people == 0)
		return 0;
	limit = ACCOUNT_TIES_AT_ONCE - removal->untied;
	left = store_account_clear(store, resource->row, limit, err);
	removal->untied += (size_t)*ret_people < limit ? (size_t)*ret_people : limit;
	removal->ties_left |= left > 0;
	return left < 0 ? -1 : 0;
}

static int remove_row(struct removal *removal, int64_t row, struct err *err)
{
	struct owning *owning = &removal->owning;
	struct resource resource;
	int64_t people;

	if (store_resource_get(owning->changer->store, row, owning->arena, &resource, err) < 0 ||
	    untie_people(removal, &resource, &people, err) < 0 ||
	    store_resource_remove(owning->changer->store, row, err) < 0 ||
	    resource_audit(owning, "resource.delete", &resource, NULL, people, err) < 0)
		return -1;
	notice_resource(owning->changer, &resource, true);
	removal->removed++;
	return resource.owner ? owning_follow(owning, resource.owner, err) : 0;
}

static int remove_job(struct changer *changer, struct job *job, struct err *err)
{
	struct removal *removal = job->context;
	struct owning *owning = &removal->owning;
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	struct resource resource;
	int64_t *rows;
	size_t count;

	owning->changer = changer;
	owning->arena = arena;
	removal->removed = removal->untied = 0;
	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory for a request");
	if (owning_begin(owning, "resources:write@all", err) < 0 ||
	    owning_check_application(owning, removal->key->application, err) < 0 ||
	    store_resource_find(changer->store, removal->key, arena, &resource, err) < 0 ||
	    authority_require_organization(&owning->authority, resource.organization,
					   "such resource", err) < 0 ||
	    owning_check_version(removal->version, resource.version, err) < 0 ||
	    store_resource_subtree(changer->store, resource.row,
				   removal->recursive ? RESOURCE_REMOVE_MAX : 1, arena, &rows,
				   &count, err) < 0)
		return -1;
	if (count > 1 && !removal->recursive)
		return err_refuse(err, ERR_CONFLICT, "resource-has-children",
				  "there are resources below it");
	if (count > RESOURCE_REMOVE_MAX)
		return err_refuse(err, ERR_CONFLICT, "too-many-children",
				  "more than 10,000 resources would be removed at once");
	while (count > 0)
		if (remove_row(removal, rows[--count], err) < 0)
			return -1;
	return 0;
}

int change_resource_remove(struct changer *changer, const struct actor *actor,
			   const struct resource_key *key, int64_t version, bool recursive,
			   size_t *ret_removed, struct err *err)
{
	struct live_setup *setup = changer_live_setup(changer, NULL);
	struct removal removal = { .owning = { .setup = setup, .actor = actor },
				   .key = key,
				   .version = version,
				   .recursive = recursive };
	int result = recursive ? writer_bulk(changer, remove_job, &removal, err)
			       : writer_request(changer, remove_job, &removal, err);

	setup_release(&setup->setup);
	if (result < 0)
		return -1;
	*ret_removed = removal.removed;
	/* Nobody sees them any more: what is cut off here goes with the next one, or the next start. */
	if (removal.ties_left)
		change_accounts_prune(changer, NULL);
	return 0;
}
