/*
 * The same change of many users.
 *
 * Enters: who asks, what, whose names. Leaves: what a change by hand of each would, with its audit row; what became of
 * each. Refused: of each what a change by hand would be. Fails: store, memory; then nothing of one piece was done.
 *
 * Each runs in its savepoint, as a request does. A piece ends after BATCH_PEOPLE of them, or when the writer was held for
 * long enough, so that whoever waits for it does not wait for all of them.
 */
#include <rolebridge/change/bulk.h>

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/util.h>

#include "edit.h"
#include "foresee.h"
#include "person.h"
#include "refusal.h"

#define HELD_MAX_US 20000

static const struct {
	const char *name, *permission;
} actions[BULK_ACTIONS] = {
	[BULK_DISABLE] = { "disable", "users:disable@all" },
	[BULK_ENABLE] = { "enable", "users:enable@all" },
	[BULK_GRANT] = { "grant", "users:grant@all" },
	[BULK_REVOKE] = { "revoke", "users:grant@all" },
	[BULK_DELETE] = { "delete", "users:delete@all" },
};

static const char *const status_names[BULK_STATUSES] = { "done", "unchanged", "failed" };

const char *bulk_action_name(enum bulk_action action)
{
	return actions[action].name;
}

const char *bulk_action_permission(enum bulk_action action)
{
	return actions[action].permission;
}

enum bulk_action bulk_action_find(const char *name)
{
	int action = 0;

	while (action < BULK_ACTIONS && strcmp(actions[action].name, name) != 0)
		action++;
	return (enum bulk_action)action;
}

const char *bulk_status_name(enum bulk_status status)
{
	return status_names[status];
}

struct bulk {
	struct changer *changer;
	const struct actor *actor;
	const struct bulk_wish *wish;
	struct store *reader;	   /* of a dry run */
	struct hash_table *claims; /* of a dry run */
};

/* What is to be done, of nobody yet. */
static int make_change(const struct bulk *bulk, const struct setup *setup,
		       struct hand_change *ret_change, struct err *err)
{
	const struct bulk_wish *wish = bulk->wish;

	switch (wish->action) {
	case BULK_DISABLE: *ret_change = hand_disable(bulk->actor, wish->reason); return 0;
	case BULK_ENABLE: *ret_change = hand_enable(bulk->actor); return 0;
	case BULK_REVOKE: *ret_change = hand_revoke(bulk->actor, wish->kind, wish->name); return 0;
	case BULK_GRANT:
		return hand_grant(bulk->actor, setup, wish->kind, wish->name, wish->expires_s,
				  ret_change, err);
	default: *ret_change = (struct hand_change){ .actor = bulk->actor }; return 0;
	}
}

struct bulk *bulk_begin(struct changer *changer, const struct actor *actor,
			const struct bulk_wish *wish, struct err *err)
{
	struct bulk *bulk = alloc_zeroed(1, sizeof(*bulk));
	struct live_setup *setup = changer_live_setup(changer, NULL);
	struct hand_change change;
	int result = 0;

	if (bulk) {
		*bulk = (struct bulk){ .changer = changer, .actor = actor, .wish = wish };
		result = make_change(bulk, &setup->setup, &change, err);
	} else {
		result = err_set(err, ERR_MEMORY, "no memory for a bulk change");
	}
	setup_release(&setup->setup);
	if (result == 0 && wish->dry_run) {
		bulk->claims = hash_table_create(64, FORESIGHT_MAX);
		bulk->reader = store_open(changer->path, STORE_READ, err);
		if (!bulk->claims)
			err_set(err, ERR_MEMORY, "no memory for a bulk change");
		result = bulk->claims && bulk->reader ? 0 : -1;
	}
	if (result == 0)
		return bulk;
	bulk_end(bulk);
	return NULL;
}

void bulk_end(struct bulk *bulk)
{
	if (!bulk)
		return;
	store_close(bulk->reader);
	hash_table_destroy(bulk->claims);
	free(bulk);
}

/* --- pieces --- */

struct piece {
	struct bulk *bulk;
	const struct live_setup *setup;
	const char *const *users;
	size_t count, done;
	struct arena *arena; /* of messages */
	struct bulk_result *results;
};

static int note(struct piece *piece, int result, bool changed, const struct err *problem,
		struct err *err)
{
	struct bulk_result *place = &piece->results[piece->done];

	*place = (struct bulk_result){ .status = changed ? BULK_DONE : BULK_UNCHANGED };
	if (result < 0) {
		if (!is_refusal(problem)) {
			*err = *problem;
			return -1;
		}
		place->status = BULK_FAILED;
		place->code = refusal_code(problem);
		place->message = arena_strdup(piece->arena, problem->text);
		if (!place->message)
			return err_set(err, ERR_MEMORY, "no memory for results");
	}
	piece->done++;
	return 0;
}

/* --- for good --- */

static int change_one(struct changer *changer, struct piece *piece, const char *user,
		      bool *ret_changed, struct job *job, struct err *err)
{
	struct hand_change change;
	struct editing editing = { .actor = piece->bulk->actor,
				   .user = user,
				   .setup = piece->setup };
	bool deletes = piece->bulk->wish->action == BULK_DELETE;

	err_clear(&job->err);
	job->result = make_change(piece->bulk, &piece->setup->setup, &change, &job->err);
	if (job->result < 0)
		return 0;
	hand_begin(&change, piece->setup, user);
	job->run = deletes ? edit_delete_job : hand_job;
	job->context = deletes ? (void *)&editing : &change;
	if (writer_run_nested(changer, job, err) < 0)
		return -1;
	*ret_changed = deletes || change.changed;
	return 0;
}

static bool is_enough(const struct piece *piece, int64_t began_us)
{
	return piece->done == piece->count || piece->done == change_batch_people ||
	       clock_monotonic_us() - began_us >= HELD_MAX_US;
}

static int piece_job(struct changer *changer, struct job *job, struct err *err)
{
	struct piece *piece = job->context;
	int64_t began_us = clock_monotonic_us();

	do {
		struct job one = { 0 };
		bool changed = false;

		if (change_one(changer, piece, piece->users[piece->done], &changed, &one, err) <
			    0 ||
		    note(piece, one.result, changed, &one.err, err) < 0)
			return -1;
	} while (!is_enough(piece, began_us));
	return 0;
}

/* --- as a dry run --- */

/* Deleted is deleted: they are nobody. */
static int find_user(struct foresight *foresight, const char *name, struct user *ret_user,
		     struct err *err)
{
	if (user_resolve(foresight->store, name, foresight->arena, ret_user, err) < 0)
		return -1;
	if (ret_user->disabled & DISABLED_DELETED)
		return no_such_user(err);
	return foresee_user(foresight, ret_user, err);
}

static int foresee_change_of(struct piece *piece, struct foresight *foresight,
			     const struct user *user, bool *ret_changed, struct err *err)
{
	struct person_change after;
	struct hand_change change;

	if (piece->bulk->wish->action == BULK_DELETE) {
		if (edit_deletion(foresight->store, foresight->arena, user, &after, err) < 0)
			return -1;
	} else {
		if (make_change(piece->bulk, &piece->setup->setup, &change, err) < 0)
			return -1;
		hand_begin(&change, piece->setup, user->username);
		if (hand_evaluate(&change, foresight->store, foresight->arena, user,
				  foresight->now_s, &after, err) < 0)
			return -1;
	}
	*ret_changed = person_change_is_visible(&after);
	return *ret_changed ? foresee_change(foresight, &after, err) : 0;
}

/* Who stands there twice is changed once, and who would be deleted is not there any more. */
static int foresee_one(struct piece *piece, struct foresight *foresight, const char *name,
		       bool *ret_changed, struct err *err)
{
	char uuid[UUID_TEXT_SIZE];
	struct user user;

	if (find_user(foresight, name, &user, err) < 0)
		return -1;
	uuid_format(&user.uuid, uuid);
	if (foresight_claimed(foresight, 'i', uuid))
		return piece->bulk->wish->action == BULK_DELETE ? no_such_user(err) : 0;
	if (foresee_change_of(piece, foresight, &user, ret_changed, err) < 0)
		return -1;
	return *ret_changed ? foresight_claim(foresight, 'i', uuid, err) : 0;
}

static int dry_piece(struct piece *piece, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	struct store *store = piece->bulk->reader;
	struct foresight foresight = { .store = store,
				       .setup = piece->setup,
				       .actor = piece->bulk->actor,
				       .arena = arena,
				       .claims = piece->bulk->claims,
				       .now_s = change_now_s() };
	int result = 0;

	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory for a bulk change");
	if (store_begin(store, err) < 0)
		return -1;
	while (result == 0 && piece->done < piece->count && piece->done < change_batch_people) {
		bool changed = false;
		struct err problem;

		arena_reset(arena);
		err_clear(&problem);
		result = foresee_one(piece, &foresight, piece->users[piece->done], &changed,
				     &problem);
		result = note(piece, result, changed, &problem, err);
	}
	store_rollback(store);
	return result;
}

int bulk_users(struct bulk *bulk, const char *const *users, size_t count, struct arena *arena,
	       struct bulk_result *results, size_t *ret_done, struct err *err)
{
	struct live_setup *setup = changer_live_setup(bulk->changer, NULL);
	struct piece piece = { .bulk = bulk,
			       .setup = setup,
			       .users = users,
			       .count = count,
			       .arena = arena,
			       .results = results };
	int result = 0;

	if (count > 0)
		result = bulk->wish->dry_run ? dry_piece(&piece, err)
					     : writer_bulk(bulk->changer, piece_job, &piece, err);
	setup_release(&setup->setup);
	if (result == 0)
		*ret_done = piece.done;
	return result;
}
