/*
 * What needs no request: clearing up at start, and the list of what is there. Enters: the ledger. Leaves:
 * beginnings completed or taken back; what is really there, for the core to compare.
 */
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

#include "account.h"
#include "judge.h"

#define DAY_S 86400
#define RECOVER_ARENA_MAX (4u << 20)
#define DISABLED_ARENA_MAX (256u << 20)
/* An entry of the page at its largest, so that a page never passes ACCOUNTS_ANSWER_MAX. */
#define ENTRY_SPACE (ACCOUNTS_ANSWER_MAX / 2)

/* --- at start --- */

static int recover_one(struct helper *helper, struct arena *arena, struct account *account,
		       struct err *err)
{
	const struct present *present;
	enum standing standing;

	if (account_look(helper, arena, account, &present, &standing, err) < 0)
		return -1;
	if (standing == STANDING_THERE)
		return ledger_made(helper->ledger, account, err);
	if (standing == STANDING_FOREIGN)
		return 0;
	return account_undo(helper, arena, account, err);
}

static int compare_uids(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

	return (left > right) - (left < right);
}

static int compare_accounts(const void *a, const void *b)
{
	return strcmp((*(const struct account *const *)a)->name,
		      (*(const struct account *const *)b)->name);
}

/*
 * A helper that died between opening an account and noting it, or between noting a disabling and carrying it out: closed
 * it is until the core asks again. *ret_failed: those that could not be.
 */
static void close_open(struct helper *helper, struct arena *arena, struct account **accounts,
		       const struct present *present, size_t count, size_t *ret_failed)
{
	for (size_t i = 0; i < count; i++) {
		bool changed;

		if (accounts[i]->made && present[i].in_passwd &&
		    present[i].uid == accounts[i]->uid && !account_is_closed(&present[i]) &&
		    account_close(helper, arena, accounts[i], &present[i], &changed, NULL) < 0)
			++*ret_failed;
	}
}

/* What the helper before was to close, and whose processes it was to end. Of accounts that still are ours. */
static int complete_disabled(struct helper *helper, struct account *accounts, size_t count,
			     size_t *ret_failed, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(DISABLED_ARENA_MAX);
	struct account **by_name;
	const char **names;
	uint32_t *uids;
	struct present *present;
	size_t disabled = 0, ours = 0;

	if (!arena)
		return err_set(err, ERR_MEMORY, "no room for the disabled accounts");
	by_name = arena_alloc_array(arena, count + 1, sizeof(*by_name));
	names = arena_alloc_array(arena, count + 1, sizeof(*names));
	uids = arena_alloc_array(arena, count + 1, sizeof(*uids));
	if (!by_name || !names || !uids)
		return err_set(err, ERR_MEMORY, "no room for the disabled accounts");
	for (size_t i = 0; i < count; i++)
		if (accounts[i].disabled && !accounts[i].gone)
			by_name[disabled++] = &accounts[i];
	qsort(by_name, disabled, sizeof(*by_name), compare_accounts);
	for (size_t i = 0; i < disabled; i++)
		names[i] = by_name[i]->name;
	if (present_read(names, disabled, arena, &present, err) < 0)
		return -1;
	close_open(helper, arena, by_name, present, disabled, ret_failed);
	if (!helper->settings->end_sessions)
		return 0;
	for (size_t i = 0; i < disabled; i++)
		if (present[i].in_passwd && present[i].uid == by_name[i]->uid)
			uids[ours++] = by_name[i]->uid;
	qsort(uids, ours, sizeof(*uids), compare_uids);
	return endings_add_running(&helper->endings, uids, ours, err);
}

int accounts_recover(struct helper *helper, size_t *ret_failed, struct err *err)
{
	size_t count, failed = 0;
	struct account *accounts = ledger_accounts(helper->ledger, &count);

	for (size_t i = 0; i < count; i++) {
		AUTO(arena) struct arena *arena = NULL;

		if (accounts[i].gone || accounts[i].made)
			continue;
		arena = arena_create(RECOVER_ARENA_MAX);
		failed += !arena || recover_one(helper, arena, &accounts[i], err) < 0;
	}
	if (complete_disabled(helper, accounts, count, &failed, err) < 0)
		return -1;
	*ret_failed = failed;
	return 0;
}

/* --- the list --- */

/* Anybody may have written into the databases: bytes that are no text become '?'. */
static const char *clean(struct arena *arena, const char *text)
{
	size_t size = strnlen(text, ACCOUNTS_PATH_MAX);
	char *copy = arena_strndup(arena, text, size);

	if (!copy || text_is_utf8(copy, size))
		return copy ? copy : "";
	for (char *at = copy; *at; at++)
		if ((unsigned char)*at >= 0x80)
			*at = '?';
	return copy;
}

static enum accounts_state state_of(const struct account *account, const struct present *present,
				    int64_t now_s)
{
	if (!present->in_passwd)
		return ACCOUNTS_MISSING;
	if (present->uid != account->uid)
		return ACCOUNTS_FOREIGN;
	if (present->expire_days < 0 || present->expire_days > now_s / DAY_S)
		return ACCOUNTS_ENABLED;
	if (account->delete_s)
		return ACCOUNTS_DELETING;
	return account->disabled ? ACCOUNTS_DISABLED : ACCOUNTS_LOCKED;
}

static void fill_groups(const struct settings *settings, const struct present *present,
			struct arena *arena, struct accounts_entry *entry)
{
	const char **groups = arena_alloc_array(arena, present->group_count + 1, sizeof(*groups));
	size_t count = 0;

	for (size_t i = 0; groups && i < present->group_count && count < ACCOUNTS_GROUPS_MAX; i++)
		if (accounts_name_is_valid(present->groups[i]) &&
		    judge_has_membership(settings, present->groups[i], present->gids[i]))
			groups[count++] = present->groups[i];
	entry->groups = groups;
	entry->group_count = count;
}

static struct accounts_entry fill_entry(const struct settings *settings,
					const struct account *account,
					const struct present *present, struct arena *arena)
{
	struct accounts_entry entry = {
		.user = account->user,
		.name = arena_strdup(arena, account->name),
		.uid = account->uid,
		.state = state_of(account, present, clock_now_s()),
		.gecos = "",
		.shell = "",
		.home = "",
		.primary = "",
	};

	if (entry.state == ACCOUNTS_MISSING || entry.state == ACCOUNTS_FOREIGN)
		return entry;
	entry.gecos = clean(arena, present->gecos);
	entry.shell = clean(arena, present->shell);
	entry.home = clean(arena, present->home);
	if (strcmp(present->primary, account->name) != 0 &&
	    strlen(present->primary) <= ACCOUNTS_NAME_MAX)
		entry.primary = clean(arena, present->primary);
	fill_groups(settings, present, arena, &entry);
	return entry;
}

/* Those behind 'after', at most max; whether there are more. */
static size_t choose(struct helper *helper, const struct accounts_list *list,
		     const struct account **chosen, bool *ret_more)
{
	size_t count, found = 0;
	const struct account *accounts = ledger_accounts(helper->ledger, &count);

	*ret_more = false;
	for (size_t i = 0; i < count; i++) {
		if (accounts[i].gone ||
		    memcmp(accounts[i].user.byte, list->after.byte, sizeof(list->after.byte)) <= 0)
			continue;
		if (found == list->max) {
			*ret_more = true;
			break;
		}
		chosen[found++] = &accounts[i];
	}
	return found;
}

/* present: as by_name. */
static const struct present *find_present(const struct present *present,
					  const struct account *const *by_name, size_t count,
					  const struct account *account)
{
	const struct account *const *found =
		bsearch(&account, by_name, count, sizeof(*by_name), compare_accounts);

	return &present[found - by_name];
}

static size_t entry_size(const struct accounts_entry *entry)
{
	size_t size = sizeof(struct uuid) + 32 + 2 * strlen(entry->gecos) + strlen(entry->shell) +
		      strlen(entry->home) + 2 * ACCOUNTS_NAME_MAX;

	for (size_t i = 0; i < entry->group_count; i++)
		size += strlen(entry->groups[i]) + 2;
	return size;
}

int account_list(struct helper *helper, struct arena *arena, const struct accounts_list *list,
		 struct accounts_page *ret_page, struct err *err)
{
	const struct account *chosen[ACCOUNTS_PAGE_MAX], *by_name[ACCOUNTS_PAGE_MAX];
	const char *names[ACCOUNTS_PAGE_MAX];
	struct present *present;
	struct accounts_entry *entries;
	size_t size = 0, i;
	bool more;
	size_t count = choose(helper, list, chosen, &more);

	memcpy(by_name, chosen, count * sizeof(*chosen));
	qsort(by_name, count, sizeof(*by_name), compare_accounts);
	for (i = 0; i < count; i++)
		names[i] = by_name[i]->name;
	entries = arena_alloc_array(arena, count + 1, sizeof(*entries));
	if (!entries || present_read(names, count, arena, &present, err) < 0)
		return entries ? -1 : err_set(err, ERR_MEMORY, "no room for a page");
	for (i = 0; i < count && size < ENTRY_SPACE; i++) {
		entries[i] = fill_entry(helper->settings, chosen[i],
					find_present(present, by_name, count, chosen[i]), arena);
		size += entry_size(&entries[i]);
	}
	if (arena_failed(arena))
		return err_set(err, ERR_MEMORY, "no room for a page");
	*ret_page =
		(struct accounts_page){ .entries = entries, .count = i, .more = more || i < count };
	return 0;
}
