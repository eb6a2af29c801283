/*
 * The requests of the core. Enters: well-formed messages. Leaves: accounts as they are wanted, the ledger
 * one step ahead of them. Fails with a code; nothing is half done then, or the ledger knows.
 */
#include "account.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/file.h>
#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

#include "command.h"
#include "grace.h"
#include "judge.h"

#define USERMOD "/usr/sbin/usermod"
#define GROUPADD "/usr/sbin/groupadd"
#define NUMBER_SIZE 32
#define DAY_S 86400
/* usermod(8): an account that expired on the second day of 1970 */
#define EXPIRED_DAY 1
#define SUBORDINATE_MAX (64u << 20)

void uuid_text(const struct uuid *user, char ret_text[static UUID_TEXT_SIZE])
{
	uuid_format(user, ret_text);
}

static bool uuid_equal(const struct uuid *a, const struct uuid *b)
{
	return memcmp(a->byte, b->byte, sizeof(a->byte)) == 0;
}

static bool same_words(const char *const *a, size_t a_count, const char *const *b, size_t b_count)
{
	if (a_count != b_count)
		return false;
	for (size_t i = 0; i < a_count; i++)
		if (strcmp(a[i], b[i]) != 0)
			return false;
	return true;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* --- a claim --- */

/* A number that was never anybody's: not in the ledger, the name service, or a subordinate range. */
static int uid_is_free(const struct helper *helper, uint32_t uid, struct err *err)
{
	int user, group;

	if (ledger_find_uid(helper->ledger, uid))
		return 0;
	user = name_service_has_uid(uid, err);
	group = user ? user : name_service_has_gid(uid, err);
	return group < 0 ? -1 : !group;
}

/*
 * Upwards from the last one given; at the end once more from the beginning, for numbers that were skipped
 * because somebody had them.
 */
static int choose_uid(const struct helper *helper, const char *subordinate, uint32_t *ret_uid,
		      struct err *err)
{
	uint32_t min = (uint32_t)helper->settings->uid_min,
		 max = (uint32_t)helper->settings->uid_max;
	uint32_t last = ledger_last_uid(helper->ledger, min, max);
	uint32_t begins[] = { last && last < max ? last + 1 : min, min };

	for (size_t i = 0; i < ARRAY_LEN(begins); i++) {
		uint32_t uid = begins[i];

		while (uid && uid <= max && (uid = subordinate_skip(subordinate, uid, max))) {
			int is_free = uid_is_free(helper, uid, err);

			if (is_free < 0)
				return -1;
			if (is_free) {
				*ret_uid = uid;
				return 0;
			}
			uid++;
		}
	}
	return refuse(err, "uid-range-exhausted", "no free uid is left between %u and %u", min,
		      max);
}

static int check_uid(const struct helper *helper, const char *subordinate, uint32_t uid,
		     struct err *err)
{
	int is_free = uid_is_free(helper, uid, err);

	if (is_free < 0)
		return -1;
	if (!is_free || subordinate_skip(subordinate, uid, uid) != uid)
		return refuse(err, "uid-taken", "uid %u is or was somebody else's", uid);
	return 0;
}

static int read_subordinates(struct strbuf *out, struct err *err)
{
	static const char *const files[] = { "/etc/subuid", "/etc/subgid" };

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		struct err problem = { 0 };

		if (file_read(files[i], SUBORDINATE_MAX, out, &problem) < 0 &&
		    problem.code != ERR_NOT_FOUND) {
			if (err)
				*err = problem;
			return -1;
		}
		strbuf_putc(out, '\n');
	}
	return strbuf_failed(out) ? err_set(err, ERR_MEMORY, "no room for subordinate ids") : 0;
}

/* Nothing of that name is there, of whomever. */
static int check_name(const struct helper *helper, const struct accounts_ensure *wanted,
		      struct err *err)
{
	int there = ledger_find_name(helper->ledger, wanted->name) != NULL;

	if (there)
		return refuse(err, "name-used", "'%s' is or was another user's account",
			      wanted->name);
	there = name_service_has_user(wanted->name, err);
	if (there)
		return there < 0 ? -1
				 : refuse(err, "name-taken", "an account '%s' exists already",
					  wanted->name);
	there = name_service_has_group(wanted->name, NULL, err);
	if (there)
		return there < 0 ? -1
				 : refuse(err, "group-taken", "a group '%s' exists already",
					  wanted->name);
	if (ledger_find_home(helper->ledger, wanted->home) ||
	    (helper->settings->create_home && home_is_there(wanted->home)))
		return refuse(err, "home-taken", "'%s' exists already", wanted->home);
	return 0;
}

static int claim(struct helper *helper, const struct accounts_ensure *wanted,
		 struct account **ret_account, struct err *err)
{
	AUTO(strbuf) struct strbuf subordinate = STRBUF(2 * SUBORDINATE_MAX);
	uint32_t uid = wanted->uid;

	if (check_name(helper, wanted, err) < 0 || read_subordinates(&subordinate, err) < 0)
		return -1;
	if (uid ? check_uid(helper, strbuf_text(&subordinate), uid, err) < 0
		: choose_uid(helper, strbuf_text(&subordinate), &uid, err) < 0)
		return -1;
	return ledger_claim(helper->ledger, &wanted->user, wanted->name, uid, wanted->home,
			    ret_account, err);
}

/* --- groups --- */

static int make_group(const struct settings *settings, const char *group, struct err *err)
{
	struct command command = { 0 };
	char gid_min[NUMBER_SIZE], gid_max[NUMBER_SIZE];

	snprintf(gid_min, sizeof(gid_min), "GID_MIN=%" PRId64, settings->gid_min);
	snprintf(gid_max, sizeof(gid_max), "GID_MAX=%" PRId64, settings->gid_max);
	command_add(&command, GROUPADD);
	command_add(&command, "--key");
	command_add(&command, gid_min);
	command_add(&command, "--key");
	command_add(&command, gid_max);
	command_add(&command, group);
	return command_run(&command, settings->command_timeout_s, err);
}

static int check_group(const struct helper *helper, const char *group, bool *ret_missing,
		       struct err *err)
{
	uint32_t gid;
	int there = name_service_has_group(group, &gid, err);

	if (there < 0)
		return -1;
	*ret_missing = !there;
	if (there)
		return judge_group(helper->settings, group, gid, err);
	if (!helper->settings->create_groups)
		return refuse(err, "group-missing", "there is no group '%s'", group);
	return 0;
}

/* All are looked at before the first one is made. */
static int check_groups(const struct helper *helper, const struct accounts_ensure *wanted,
			bool make, struct err *err)
{
	bool missing;

	for (size_t i = 0; i <= wanted->group_count; i++) {
		const char *group = i < wanted->group_count ? wanted->groups[i] : wanted->primary;

		if (!*group)
			continue;
		if (check_group(helper, group, &missing, err) < 0 ||
		    (make && missing && make_group(helper->settings, group, err) < 0))
			return -1;
	}
	return 0;
}

/* --- what differs --- */

struct usermod {
	struct command command;
	struct strbuf groups;
	char expire[NUMBER_SIZE];
	bool closes, opens;
};

static void add_pair(struct usermod *usermod, const char *option, const char *value)
{
	command_add(&usermod->command, option);
	command_add(&usermod->command, value);
}

bool account_is_closed(const struct present *present)
{
	return present->locked && present->expire_days == EXPIRED_DAY;
}

static void close_it(struct usermod *usermod, const struct present *present)
{
	if (!present->locked)
		command_add(&usermod->command, "--lock");
	if (present->expire_days != EXPIRED_DAY)
		add_pair(usermod, "--expiredate", "1");
	usermod->closes = true;
}

/* Only what the helper did: another date, or a lock that was there before, is root's. */
static void open_it(struct usermod *usermod, const struct account *account,
		    const struct present *present)
{
	if (present->expire_days == EXPIRED_DAY && account->expire_before != EXPIRED_DAY) {
		if (account->expire_before != EXPIRE_NONE)
			snprintf(usermod->expire, sizeof(usermod->expire), "%" PRId64,
				 account->expire_before);
		add_pair(usermod, "--expiredate", usermod->expire);
	}
	if (present->locked && !account->locked_before && present->has_password)
		command_add(&usermod->command, "--unlock");
	usermod->opens = true;
}

/* Those that are ours to give as wanted, all others as they are. */
static void compare_groups(const struct settings *settings, struct arena *arena,
			   const struct present *present, const struct accounts_ensure *wanted,
			   struct usermod *usermod)
{
	size_t max = present->group_count + wanted->group_count + 1, count = 0;
	const char **groups = arena_alloc_array(arena, max, sizeof(*groups));
	const char **there = arena_alloc_array(arena, max, sizeof(*there));

	if (!groups || !there) {
		strbuf_fail(&usermod->groups);
		return;
	}
	for (size_t i = 0; i < present->group_count; i++) {
		there[i] = present->groups[i];
		if (!judge_has_membership(settings, there[i], present->gids[i]))
			groups[count++] = there[i];
	}
	for (size_t i = 0; i < wanted->group_count; i++)
		groups[count++] = wanted->groups[i];
	qsort(groups, count, sizeof(*groups), compare_names);
	qsort(there, present->group_count, sizeof(*there), compare_names);
	if (same_words(groups, count, there, present->group_count))
		return;
	text_join(&usermod->groups, groups, count, ",");
	add_pair(usermod, "--groups", strbuf_text(&usermod->groups));
}

static int compare_primary(struct helper *helper, const struct account *account,
			   const struct present *present, const struct accounts_ensure *wanted,
			   struct usermod *usermod, struct err *err)
{
	const char *primary = *wanted->primary ? wanted->primary : account->name;

	if (strcmp(present->primary, primary) == 0)
		return 0;
	if (!*wanted->primary && account_own_group(helper, account, present, err) < 0)
		return -1;
	add_pair(usermod, "--gid", primary);
	return 0;
}

static int compare_all(struct helper *helper, struct arena *arena, const struct account *account,
		       const struct present *present, const struct accounts_ensure *wanted,
		       struct usermod *usermod, struct err *err)
{
	if (strcmp(present->gecos, wanted->gecos) != 0)
		add_pair(usermod, "--comment", wanted->gecos);
	if (strcmp(present->shell, wanted->shell) != 0)
		add_pair(usermod, "--shell", wanted->shell);
	if (compare_primary(helper, account, present, wanted, usermod, err) < 0)
		return -1;
	compare_groups(helper->settings, arena, present, wanted, usermod);
	if (!wanted->enabled && !account_is_closed(present))
		close_it(usermod, present);
	else if (wanted->enabled && account->disabled)
		open_it(usermod, account, present);
	return strbuf_failed(&usermod->groups) ? err_set(err, ERR_MEMORY, "no room for groups") : 0;
}

/* What is to become of an account that is there. */
enum purpose { PURPOSE_ENSURE, PURPOSE_CLOSE, PURPOSE_OPEN };

static int compare(struct helper *helper, struct arena *arena, const struct account *account,
		   const struct present *present, enum purpose purpose,
		   const struct accounts_ensure *wanted, struct usermod *usermod, struct err *err)
{
	strbuf_clear(&usermod->groups);
	usermod->command = (struct command){ 0 };
	usermod->opens = usermod->closes = false;
	command_add(&usermod->command, USERMOD);
	if (purpose == PURPOSE_ENSURE)
		return compare_all(helper, arena, account, present, wanted, usermod, err);
	if (purpose == PURPOSE_OPEN)
		open_it(usermod, account, present);
	else if (!account_is_closed(present))
		close_it(usermod, present);
	return 0;
}

static bool differs(const struct usermod *usermod)
{
	return usermod->command.count > 1;
}

/* usermod says that all is well also when it changed a file that nobody looks at. */
static int run_usermod(struct helper *helper, struct arena *arena, const struct account *account,
		       enum purpose purpose, const struct accounts_ensure *wanted,
		       struct usermod *usermod, struct err *err)
{
	const struct present *present;
	enum standing standing;

	command_add(&usermod->command, account->name);
	if (command_run(&usermod->command, helper->settings->command_timeout_s, err) < 0 ||
	    account_look(helper, arena, account, &present, &standing, err) < 0 ||
	    compare(helper, arena, account, present, purpose, wanted, usermod, err) < 0)
		return -1;
	if (standing != STANDING_THERE || differs(usermod))
		return err_refuse(err, ERR_IO, "command-failed",
				  "usermod did not change all of the account '%s'", account->name);
	return 0;
}

/* The ledger learns of a disabling before it is carried out, of an end of it afterwards. */
static int carry_out(struct helper *helper, struct arena *arena, struct account *account,
		     const struct present *present, enum purpose purpose,
		     const struct accounts_ensure *wanted, struct usermod *usermod, bool *ret_ran,
		     struct err *err)
{
	bool opens, ran;

	if (compare(helper, arena, account, present, purpose, wanted, usermod, err) < 0)
		return -1;
	opens = usermod->opens;
	ran = differs(usermod);
	/* Closed by somebody else already: noted all the same, so that they are asked before it is opened. */
	if ((usermod->closes || purpose == PURPOSE_CLOSE) && !account->disabled &&
	    ledger_disable(helper->ledger, account, present->expire_days, present->locked, err) < 0)
		return -1;
	if (ran && run_usermod(helper, arena, account, purpose, wanted, usermod, err) < 0)
		return -1;
	*ret_ran = ran;
	if (!opens)
		return 0;
	endings_forget(&helper->endings, account->uid);
	return ledger_enable(helper->ledger, account, err);
}

static int change(struct helper *helper, struct arena *arena, struct account *account,
		  const struct present *present, enum purpose purpose,
		  const struct accounts_ensure *wanted, bool *ret_ran, struct err *err)
{
	struct usermod usermod = { .groups = STRBUF(ACCOUNTS_REQUEST_MAX) };
	int result =
		carry_out(helper, arena, account, present, purpose, wanted, &usermod, ret_ran, err);

	strbuf_finish(&usermod.groups);
	return result;
}

/* --- the requests --- */

static int end_processes(struct helper *helper, const struct account *account, struct err *err)
{
	if (!helper->settings->end_sessions)
		return 0;
	return endings_add(&helper->endings, account->uid, err);
}

int account_close(struct helper *helper, struct arena *arena, struct account *account,
		  const struct present *present, bool *ret_changed, struct err *err)
{
	bool ran = false;

	if (change(helper, arena, account, present, PURPOSE_CLOSE, NULL, &ran, err) < 0)
		return -1;
	*ret_changed = ran;
	return end_processes(helper, account, err);
}

/* What belongs to a user for ever. */
static int check_same(const struct account *account, const struct accounts_ensure *wanted,
		      bool home_named, struct err *err)
{
	if (account->gone)
		return refuse(err, "account-deleted", "the account '%s' of this user was deleted",
			      account->name);
	if (strcmp(account->name, wanted->name) != 0)
		return refuse(err, "name-changed", "the account of this user is '%s'",
			      account->name);
	if (wanted->uid && account->uid != wanted->uid)
		return refuse(err, "uid-changed", "the account '%s' has uid %u", account->name,
			      account->uid);
	if (home_named && strcmp(account->home, wanted->home) != 0)
		return refuse(err, "home-changed", "the home of '%s' is '%s'", account->name,
			      account->home);
	return 0;
}

static int create(struct helper *helper, struct arena *arena, struct account *account,
		  const struct accounts_ensure *wanted, struct done *ret_done, struct err *err)
{
	if (!wanted->enabled && !account->disabled &&
	    ledger_disable(helper->ledger, account, EXPIRE_NONE, true, err) < 0)
		return -1;
	if (account_create(helper, arena, account, wanted, err) < 0)
		return -1;
	ret_done->what = "created";
	return wanted->enabled && account->disabled ? ledger_enable(helper->ledger, account, err)
						    : 0;
}

/* Made by the helper once and removed by somebody since: what took its place is not touched. */
static int check_place(const struct account *account, const struct accounts_ensure *wanted,
		       struct err *err)
{
	uint32_t gid;
	int user = name_service_has_user(account->name, err);
	int uid = user ? user : name_service_has_uid(account->uid, err);
	int group;

	if (uid)
		return uid < 0 ? -1
			       : refuse(err, user ? "name-taken" : "uid-taken",
					"%s '%s' (%u) belongs to another account",
					user ? "name" : "uid of", account->name, account->uid);
	group = *wanted->primary ? 0 : name_service_has_group(account->name, &gid, err);
	if (group < 0)
		return -1;
	if (group && gid != account->uid)
		return refuse(err, "group-taken", "group '%s' exists with gid %u", account->name,
			      gid);
	if (home_is_there(account->home) && !home_belongs_to(account->home, account->uid))
		return refuse(err, "home-taken", "'%s' is not the account's", account->home);
	return 0;
}

static int ensure_known(struct helper *helper, struct arena *arena, struct account *account,
			const struct accounts_ensure *wanted, struct done *ret_done,
			struct err *err)
{
	const struct present *present;
	enum standing standing;
	bool ran = false, was_closed;

	if (account_look(helper, arena, account, &present, &standing, err) < 0)
		return -1;
	if (standing == STANDING_FOREIGN)
		return refuse(err, "account-foreign", "'%s' belongs to uid %u now", account->name,
			      present->uid);
	/* A beginning of ours, of which passwd may hold nothing yet. */
	if (!account->made && standing != STANDING_THERE &&
	    account_undo(helper, arena, account, err) < 0)
		return -1;
	if (standing != STANDING_THERE) {
		if (check_place(account, wanted, err) < 0)
			return -1;
		return create(helper, arena, account, wanted, ret_done, err);
	}
	if (!account->made && ledger_made(helper->ledger, account, err) < 0)
		return -1;
	was_closed = account_is_closed(present);
	if (change(helper, arena, account, present, PURPOSE_ENSURE, wanted, &ran, err) < 0)
		return -1;
	ret_done->what = !ran		   ? NULL
			 : wanted->enabled ? "changed"
			 : was_closed	   ? "changed"
					   : "disabled";
	return wanted->enabled ? 0 : end_processes(helper, account, err);
}

int account_ensure(struct helper *helper, struct arena *arena, struct accounts_ensure *wanted,
		   struct done *ret_done, struct err *err)
{
	bool home_named = *wanted->home != 0;
	struct account *account = ledger_find(helper->ledger, &wanted->user);
	bool fresh = !account;

	if (judge_account(helper->settings, arena, wanted, err) < 0 ||
	    judge_shell(wanted->shell, err) < 0 || check_groups(helper, wanted, false, err) < 0)
		return -1;
	if (account && uuid_equal(&helper->removing, &account->user))
		return err_refuse(err, ERR_UNAVAILABLE, "busy", "the account '%s' is being removed",
				  account->name);
	if (account && check_same(account, wanted, home_named, err) < 0)
		return -1;
	if (fresh && claim(helper, wanted, &account, err) < 0)
		return -1;
	ret_done->uid = account->uid;
	ret_done->name = wanted->name;
	if (account->delete_s && ledger_keep(helper->ledger, account, err) < 0)
		return -1;
	if (helper->settings->create_groups && check_groups(helper, wanted, true, err) < 0)
		return -1;
	/* Of a claim made just now it is known that nothing is there. */
	if (fresh)
		return create(helper, arena, account, wanted, ret_done, err);
	return ensure_known(helper, arena, account, wanted, ret_done, err);
}

/* The account of a user as it is there. 1: it is; 0: there is nothing to do anything to. */
static int find_there(struct helper *helper, struct arena *arena, const struct uuid *user,
		      struct account **ret_account, const struct present **ret_present,
		      struct done *ret_done, struct err *err)
{
	struct account *account = ledger_find(helper->ledger, user);
	enum standing standing;

	if (!account || account->gone)
		return 0;
	*ret_account = account;
	ret_done->uid = account->uid;
	ret_done->name = arena_strdup(arena, account->name);
	if (account_look(helper, arena, account, ret_present, &standing, err) < 0)
		return -1;
	if (standing == STANDING_FOREIGN)
		return refuse(err, "account-foreign", "'%s' belongs to uid %u now", account->name,
			      (*ret_present)->uid);
	return standing != STANDING_MISSING;
}

int account_disable(struct helper *helper, struct arena *arena, const struct uuid *user,
		    struct done *ret_done, struct err *err)
{
	struct account *account = NULL;
	const struct present *present;
	bool changed = false;
	int there = find_there(helper, arena, user, &account, &present, ret_done, err);

	if (there <= 0)
		return there;
	if (account_close(helper, arena, account, present, &changed, err) < 0)
		return -1;
	ret_done->what = changed ? "disabled" : NULL;
	return 0;
}

int account_enable(struct helper *helper, struct arena *arena, const struct uuid *user,
		   struct done *ret_done, struct err *err)
{
	struct account *account = NULL;
	const struct present *present;
	bool ran = false;
	int there = find_there(helper, arena, user, &account, &present, ret_done, err);

	if (there < 0)
		return -1;
	if (!there)
		return refuse(err, "unknown-account", "there is no account of this user");
	if (account->delete_s)
		return refuse(err, "account-deleted", "the account '%s' is being deleted",
			      account->name);
	if (!account->disabled)
		return 0;
	if (change(helper, arena, account, present, PURPOSE_OPEN, NULL, &ran, err) < 0)
		return -1;
	ret_done->what = ran ? "enabled" : NULL;
	return 0;
}

int account_delete(struct helper *helper, struct arena *arena, const struct uuid *user,
		   const struct clocks *now, struct done *ret_done, struct err *err)
{
	struct account *account = ledger_find(helper->ledger, user);
	int64_t when_s = now->real_s + helper->settings->delete_grace_s, shift_s = 0;

	if (!account || account->gone)
		return 0;

	bool first = account->delete_s == 0;

	if (first && grace_look(helper->ledger, now, &shift_s, err) < 0)
		return -1;
	helper->shift_s += shift_s;
	if (first && ledger_delete(helper->ledger, account, when_s > 0 ? when_s : 1, err) < 0)
		return -1;
	if (account_disable(helper, arena, user, ret_done, err) < 0)
		return -1;
	ret_done->what = first ? "deleted" : ret_done->what;
	return 0;
}
