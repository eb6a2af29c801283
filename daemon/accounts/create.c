/*
 * Making an account, and taking back what did not become whole. Enters: a claim of the ledger. Leaves: an
 * account with everything that belongs to it, or nothing but the claim.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

#include "account.h"
#include "command.h"
#include "judge.h"

#define USERADD "/usr/sbin/useradd"
#define USERDEL "/usr/sbin/userdel"
#define GROUPADD "/usr/sbin/groupadd"
#define GROUPDEL "/usr/sbin/groupdel"
#define NUMBER_SIZE 32
/* Below this the disk is taken to be what stopped a program that did not say why. */
#define SPACE_MIN (64 * 1024)

static bool is_whole(const struct settings *settings, const struct account *account,
		     const struct present *present)
{
	if (!present->in_shadow || !*present->primary)
		return false;
	if (!settings->create_home)
		return true;
	/* A person may have removed what the skeleton gave them. */
	return account->made ? home_belongs_to(account->home, account->uid)
			     : home_is_whole(account->home, settings->skeleton, account->uid);
}

int account_look(struct helper *helper, struct arena *arena, const struct account *account,
		 const struct present **ret_present, enum standing *ret_standing, struct err *err)
{
	const char *name = account->name;
	struct present *present;

	if (present_read(&name, 1, arena, &present, err) < 0)
		return -1;
	*ret_present = present;
	if (!present->in_passwd)
		*ret_standing = STANDING_MISSING;
	else if (present->uid != account->uid)
		*ret_standing = STANDING_FOREIGN;
	else if (!account->made && !is_whole(helper->settings, account, present))
		*ret_standing = STANDING_PARTIAL;
	else
		*ret_standing = STANDING_THERE;
	return 0;
}

/* --- back --- */

static int run_for(const struct settings *settings, const char *program, const char *name,
		   struct err *err)
{
	struct command command = { 0 };

	command_add(&command, program);
	command_add(&command, name);
	return command_run(&command, settings->command_timeout_s, err);
}

/* Only what useradd can have made: of the new uid, or of root's and still empty. */
static int undo_home(const struct settings *settings, const struct account *account,
		     struct err *err)
{
	if (home_belongs_to(account->home, account->uid))
		return home_remove(settings, account->home, err);
	if (rmdir(account->home) < 0 && errno != ENOENT)
		return err_set_errno(err, ERR_IO, errno, "cannot remove '%s'", account->home);
	return 0;
}

int account_undo(struct helper *helper, struct arena *arena, const struct account *account,
		 struct err *err)
{
	const struct present *present;
	enum standing standing;

	if (account_look(helper, arena, account, &present, &standing, err) < 0)
		return -1;
	if (standing == STANDING_FOREIGN)
		return refuse(err, "account-foreign", "'%s' belongs to uid %u now", account->name,
			      present->uid);
	if (standing != STANDING_MISSING &&
	    run_for(helper->settings, USERDEL, account->name, err) < 0)
		return -1;
	/* userdel takes the group along where the system is set up so. */
	if (account_look(helper, arena, account, &present, &standing, err) < 0)
		return -1;
	if (present->own_group && present->own_gid == account->uid &&
	    run_for(helper->settings, GROUPDEL, account->name, err) < 0)
		return -1;
	if (account->made || !helper->settings->create_home)
		return 0;
	return undo_home(helper->settings, account, err);
}

/* --- forth --- */

int account_own_group(struct helper *helper, const struct account *account,
		      const struct present *present, struct err *err)
{
	struct command command = { 0 };
	char gid[NUMBER_SIZE];

	if (present->own_group && present->own_gid == account->uid)
		return 0;
	if (present->own_group)
		return refuse(err, "group-taken", "group '%s' has gid %u, not %u", account->name,
			      present->own_gid, account->uid);
	snprintf(gid, sizeof(gid), "%u", account->uid);
	command_add(&command, GROUPADD);
	command_add(&command, "--gid");
	command_add(&command, gid);
	command_add(&command, account->name);
	return command_run(&command, helper->settings->command_timeout_s, err);
}

struct useradd {
	char uid[NUMBER_SIZE], mode[NUMBER_SIZE], gid_min[NUMBER_SIZE], gid_max[NUMBER_SIZE];
	struct strbuf groups;
	struct command command;
};

static void add_pair(struct command *command, const char *option, const char *value)
{
	command_add(command, option);
	command_add(command, value);
}

/* The own group by useradd itself, in the same step; the one number left to it is the uid. */
static void add_groups(struct useradd *useradd, const struct present *present, uint32_t uid,
		       const char *primary)
{
	struct command *command = &useradd->command;

	if (*primary) {
		add_pair(command, "--gid", primary);
		command_add(command, "--no-user-group");
	} else if (present->own_group) {
		add_pair(command, "--gid", useradd->uid);
	} else {
		snprintf(useradd->gid_min, sizeof(useradd->gid_min), "GID_MIN=%u", uid);
		snprintf(useradd->gid_max, sizeof(useradd->gid_max), "GID_MAX=%u", uid);
		command_add(command, "--user-group");
		add_pair(command, "--key", useradd->gid_min);
		add_pair(command, "--key", useradd->gid_max);
	}
	if (useradd->groups.size)
		add_pair(command, "--groups", strbuf_text(&useradd->groups));
}

static void add_home(struct useradd *useradd, const struct settings *settings, const char *home)
{
	struct command *command = &useradd->command;

	add_pair(command, "--home-dir", home);
	if (!settings->create_home || home_is_there(home)) {
		command_add(command, "--no-create-home");
		return;
	}
	snprintf(useradd->mode, sizeof(useradd->mode), "HOME_MODE=%04o",
		 (unsigned)settings->home_mode);
	command_add(command, "--create-home");
	add_pair(command, "--skel", settings->skeleton);
	add_pair(command, "--key", useradd->mode);
}

static int run_useradd(struct helper *helper, const struct account *account,
		       const struct present *present, const struct accounts_ensure *wanted,
		       struct err *err)
{
	struct useradd useradd = { .groups = STRBUF(ACCOUNTS_REQUEST_MAX) };
	struct command *command = &useradd.command;
	int result;

	snprintf(useradd.uid, sizeof(useradd.uid), "%u", account->uid);
	text_join(&useradd.groups, wanted->groups, wanted->group_count, ",");
	command_add(command, USERADD);
	add_pair(command, "--uid", useradd.uid);
	add_groups(&useradd, present, account->uid, wanted->primary);
	add_home(&useradd, helper->settings, account->home);
	/* lastlog is as large as the largest uid in it. */
	command_add(command, "--no-log-init");
	add_pair(command, "--shell", wanted->shell);
	add_pair(command, "--comment", wanted->gecos);
	if (!wanted->enabled)
		add_pair(command, "--expiredate", "1");
	command_add(command, account->name);
	if (strbuf_failed(&useradd.groups))
		result = err_set(err, ERR_MEMORY, "no room for groups");
	else
		result = command_run(command, helper->settings->command_timeout_s, err);
	strbuf_finish(&useradd.groups);
	return result;
}

static bool is_full(const char *path)
{
	struct statvfs space;

	return statvfs(path, &space) == 0 && (uint64_t)space.f_bavail * space.f_frsize < SPACE_MIN;
}

/* A program that failed, or said that it did not: the disk is asked, since they seldom name it. */
static int creation_failed(const struct settings *settings, struct err *err)
{
	if (err && (!err->reason || strcmp(err->reason, "command-failed") == 0) &&
	    (is_full("/etc") || is_full(settings->home_base)))
		err->reason = "disk-full";
	return -1;
}

int account_create(struct helper *helper, struct arena *arena, struct account *account,
		   const struct accounts_ensure *wanted, struct err *err)
{
	const struct present *present;
	enum standing standing;
	struct err problem = { 0 };

	/* A group of ours that was left behind is taken up again, any other was refused before. */
	if (account_look(helper, arena, account, &present, &standing, err) < 0)
		return -1;
	if (!*wanted->primary && present->own_group && present->own_gid != account->uid)
		return refuse(err, "group-taken", "group '%s' exists with gid %u", account->name,
			      present->own_gid);
	if (run_useradd(helper, account, present, wanted, &problem) == 0) {
		if (account_look(helper, arena, account, &present, &standing, err) < 0)
			return -1;
		if (standing == STANDING_THERE && is_whole(helper->settings, account, present))
			return account->made ? 0 : ledger_made(helper->ledger, account, err);
		err_refuse(&problem, ERR_IO, "command-failed",
			   "useradd did not make all of the account '%s'", account->name);
	}
	creation_failed(helper->settings, &problem);
	if (account_undo(helper, arena, account, err) < 0)
		return err_wrap(err, "%s; taking it back", problem.text);
	if (err)
		*err = problem;
	return -1;
}
