/*
 * To which accounts a file says that people belong: what a row gives is all of them. Enters: "APPLICATION/ID" of each.
 * Leaves: ties, one audit row for those that are new and one for those that end. Refused, before anything of
 * the row is written: an account that is not there where the person is. Fails: store, memory.
 *
 * An actor bound to one application says nothing of accounts of others.
 */
#include "importing.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>

#include "accounts.h"

static int by_row(const void *a, const void *b)
{
	int64_t first = ((const struct account_row *)a)->row;
	int64_t second = ((const struct account_row *)b)->row;

	return (first > second) - (first < second);
}

/* In order of row, each once. */
static int find_wanted(struct importing *importing, const char *organization,
		       struct account_row **ret_rows, size_t *ret_count, struct err *err)
{
	const struct prepared *prepared = importing->prepared;
	struct account_row *rows =
		arena_alloc_array(importing->arena, prepared->account_count + 1, sizeof(*rows));
	size_t count = 0;

	if (!rows)
		return import_no_memory(err);
	for (size_t i = 0; i < prepared->account_count; i++) {
		rows[i] = prepared->accounts[i];
		if (account_find(importing->store, importing->import->actor, organization,
				 rows[i].application, rows[i].id, importing->arena, &rows[i].row,
				 err) < 0)
			return err_wrap(err, "'%.64s/%.100s'", rows[i].application, rows[i].id);
	}
	if (prepared->account_count > 0)
		qsort(rows, prepared->account_count, sizeof(*rows), by_row);
	for (size_t i = 0; i < prepared->account_count; i++)
		if (count == 0 || rows[count - 1].row != rows[i].row)
			rows[count++] = rows[i];
	*ret_rows = rows;
	*ret_count = count;
	return 0;
}

/* Both in order of row. */
static int compare(struct arena *arena, const struct account_row *before, size_t before_count,
		   const struct account_row *after, size_t after_count,
		   struct import_ties *ret_ties, struct err *err)
{
	struct account_row *added = arena_alloc_array(arena, after_count + 1, sizeof(*added));
	struct account_row *removed = arena_alloc_array(arena, before_count + 1, sizeof(*removed));
	struct import_ties ties = { .added = added, .removed = removed };
	size_t i = 0, j = 0;

	if (!added || !removed)
		return import_no_memory(err);
	while (i < before_count || j < after_count) {
		if (j == after_count || (i < before_count && before[i].row < after[j].row))
			removed[ties.removed_count++] = before[i++];
		else if (i == before_count || after[j].row < before[i].row)
			added[ties.added_count++] = after[j++];
		else
			i++, j++;
	}
	*ret_ties = ties;
	return 0;
}

/* What those of other applications leave of it, for an actor who does not see them. */
static int check_room(const struct importing *importing, int64_t user_id,
		      const struct import_ties *ties, struct err *err)
{
	int64_t present;

	if (ties->added_count == 0 || user_id == 0)
		return 0;
	if (store_account_count(importing->store, user_id, &present, err) < 0)
		return -1;
	if (present + (int64_t)ties->added_count - (int64_t)ties->removed_count <=
	    ACCOUNTS_OF_USER_MAX)
		return 0;
	return err_refuse(err, ERR_CONFLICT, "too-many-accounts",
			  "a user belongs to at most %d accounts", ACCOUNTS_OF_USER_MAX);
}

int import_check_accounts(struct importing *importing, const char *organization, int64_t user_id,
			  struct import_ties *ret_ties, struct err *err)
{
	const struct import *import = importing->import;
	struct account_row *before = NULL, *after = NULL;
	size_t before_count = 0, after_count = 0;

	*ret_ties = (struct import_ties){ 0 };
	if (!importing->prepared->row.accounts.given)
		return 0;
	importing->refused = "accounts";
	if (find_wanted(importing, organization, &after, &after_count, err) < 0 ||
	    (user_id != 0 &&
	     store_accounts_of(importing->store, user_id, import->actor->application, 0,
			       ACCOUNTS_OF_USER_MAX, importing->arena, &before, &before_count,
			       err) < 0) ||
	    compare(importing->arena, before, before_count, after, after_count, ret_ties, err) <
		    0 ||
	    check_room(importing, user_id, ret_ties, err) < 0)
		return -1;
	importing->refused = NULL;
	return 0;
}

int import_write_accounts(struct importing *importing, const struct import_ties *ties,
			  int64_t user_id, const struct uuid *uuid, struct err *err)
{
	struct changer *changer = importing->import->changer;
	const struct actor *actor = importing->import->actor;

	for (size_t i = 0; i < ties->removed_count; i++)
		if (store_account_untie(importing->store, ties->removed[i].row, user_id, err) < 0)
			return -1;
	for (size_t i = 0; i < ties->added_count; i++)
		if (store_account_tie(importing->store, ties->added[i].row, user_id,
				      importing->now_s, err) < 0)
			return -1;
	if (ties->removed_count > 0 &&
	    account_audit(changer, actor, "user.untie", uuid, ties->removed, ties->removed_count,
			  importing->now_s, err) < 0)
		return -1;
	if (ties->added_count == 0)
		return 0;
	return account_audit(changer, actor, "user.tie", uuid, ties->added, ties->added_count,
			     importing->now_s, err);
}
