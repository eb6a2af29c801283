/*
 * Removal of deleted accounts. Enters: accounts whose grace is over. Leaves: no account, no home (or its
 * archive), and name and uid in the ledger for ever.
 */
#include "purge.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rolebridge/base/file.h>
#include <rolebridge/base/util.h>

#include "command.h"
#include "grace.h"
#include "judge.h"

#define TAR "/usr/bin/tar"
#define RM "/bin/rm"
#define USERDEL "/usr/sbin/userdel"
#define GROUPDEL "/usr/sbin/groupdel"
#define MAIL_FOLDER "/var/mail"
#define NUMBER_SIZE 16
/* Of one account: each deletion that was taken back, and each crash at the wrong moment, leaves one. */
#define ARCHIVES_MAX 1000

static bool is_due(const struct account *account, int64_t now_s)
{
	return account->delete_s && !account->gone && account->delete_s <= now_s;
}

/* Behind the one begun last, and around. */
static struct account *find_due(const struct purge *purge, struct helper *helper, int64_t now_s)
{
	struct account *first = NULL;
	size_t count;
	struct account *accounts = ledger_accounts(helper->ledger, &count);

	for (size_t i = 0; i < count; i++) {
		if (!is_due(&accounts[i], now_s))
			continue;
		if (memcmp(accounts[i].user.byte, purge->last.byte, sizeof(purge->last.byte)) > 0)
			return &accounts[i];
		first = first ? first : &accounts[i];
	}
	return first;
}

bool purge_waits(struct helper *helper, int64_t *ret_next_s)
{
	size_t count;
	const struct account *accounts = ledger_accounts(helper->ledger, &count);
	bool waits = false;

	for (size_t i = 0; i < count; i++) {
		if (!accounts[i].delete_s || accounts[i].gone)
			continue;
		if (!waits || accounts[i].delete_s < *ret_next_s)
			*ret_next_s = accounts[i].delete_s;
		waits = true;
	}
	return waits;
}

/* --- the archive --- */

/* number: from 1; the first has none in its name. */
static char *archive_path(const struct helper *helper, struct arena *arena,
			  const struct account *account, unsigned number, const char *ending)
{
	char id[UUID_TEXT_SIZE], which[NUMBER_SIZE] = "";

	uuid_text(&account->user, id);
	if (number > 1)
		snprintf(which, sizeof(which), "-%u", number);
	return arena_printf(arena, "%s/%s-%s%s.tar.gz%s", helper->settings->archive_directory,
			    account->name, id, which, ending);
}

/* Root's alone from the first byte on: what tar opens exists already. */
static int make_partial(const char *path, struct err *err)
{
	int fd;

	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set_errno(err, ERR_IO, errno, "cannot make '%s'", path);
	close(fd);
	return 0;
}

static int start_archive(struct purge *purge, struct helper *helper, struct arena *arena,
			 const struct account *account, struct err *err)
{
	const char *partial = archive_path(helper, arena, account, 1, ".partial");
	struct command command = { 0 };

	if (!partial)
		return err_set(err, ERR_MEMORY, "no room for the path of an archive");
	if (make_partial(partial, err) < 0)
		return -1;
	command_add(&command, TAR);
	command_add(&command, "--create");
	command_add(&command, "--gzip");
	command_add(&command, "--one-file-system");
	/* A hole costs its owner nothing; written out it would fill the disk. */
	command_add(&command, "--sparse");
	command_add(&command, "--numeric-owner");
	command_add(&command, "--file");
	command_add(&command, partial);
	command_add(&command, "--directory");
	command_add(&command, helper->settings->home_base);
	command_add(&command, "--");
	command_add(&command, strrchr(account->home, '/') + 1);
	if (command_start(&command, &purge->pid, &purge->pidfd, err) < 0)
		return -1;
	purge->step = PURGE_ARCHIVING;
	return 0;
}

static int sync_path(const char *path, int flags)
{
	AUTO(fd) int fd = open(path, flags | O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? -1 : fsync(fd);
}

/* Beside what is there: an archive is never overwritten, so that the first whole one stays whatever comes. */
static int name_archive(const struct helper *helper, struct arena *arena,
			const struct account *account, const char *partial, struct err *err)
{
	for (unsigned number = 1; number <= ARCHIVES_MAX; number++) {
		const char *path = archive_path(helper, arena, account, number, "");

		if (!path)
			return err_set(err, ERR_MEMORY, "no room for the path of an archive");
		if (link(partial, path) == 0)
			return 0;
		if (errno != EEXIST)
			return err_set_errno(err, ERR_IO, errno, "cannot keep '%s'", path);
	}
	return err_set(err, ERR_IO, "there are %d archives of '%s' already", ARCHIVES_MAX,
		       account->name);
}

/* It counts from its line in the ledger on, and only once it is on the disk: until then the home is whole. */
static int note_archive(struct helper *helper, struct account *account, const char *partial,
			struct err *err)
{
	if ((unlink(partial) < 0 && errno != ENOENT) ||
	    sync_path(helper->settings->archive_directory, O_DIRECTORY) < 0)
		return err_set_errno(err, ERR_IO, errno, "cannot keep what '%s' was", partial);
	return ledger_archived(helper->ledger, account, err);
}

/* One that has its name and could not be noted, for want of room, is not made again with each try. */
static int finish_archive(struct helper *helper, struct arena *arena, struct account *account,
			  struct err *err)
{
	const char *partial = archive_path(helper, arena, account, 1, ".partial");

	if (!partial)
		return err_set(err, ERR_MEMORY, "no room for the path of an archive");
	if (!account->unnoted) {
		if (sync_path(partial, 0) < 0)
			return err_set_errno(err, ERR_IO, errno, "cannot keep '%s'", partial);
		if (name_archive(helper, arena, account, partial, err) < 0)
			return -1;
		account->unnoted = true;
	}
	return note_archive(helper, account, partial, err);
}

/* --- account and home --- */

static int run_for(const struct helper *helper, const char *program, const char *name,
		   struct err *err)
{
	struct command command = { 0 };

	command_add(&command, program);
	command_add(&command, name);
	return command_run(&command, helper->settings->command_timeout_s, err);
}

/*
 * userdel looks for processes too, but cannot see whose they are without CAP_SYS_PTRACE. What was killed needs a moment to
 * be gone: the next try finds it so.
 */
static int end_all(const struct helper *helper, const struct account *account, struct err *err)
{
	int running;

	if (helper->settings->end_sessions)
		processes_end(account->uid);
	running = processes_signal(account->uid, 0);
	if (running < 0)
		return err_set(err, ERR_UNAVAILABLE,
			       "/proc does not show whether processes of '%s' run", account->name);
	if (running > 0)
		return err_set(err, ERR_UNAVAILABLE, "processes of '%s' still run", account->name);
	return 0;
}

static int remove_account(struct helper *helper, struct arena *arena, const struct account *account,
			  struct err *err)
{
	const struct present *present;
	enum standing standing;

	if (account_look(helper, arena, account, &present, &standing, err) < 0)
		return -1;
	if (standing != STANDING_MISSING && standing != STANDING_FOREIGN) {
		if (end_all(helper, account, err) < 0 ||
		    run_for(helper, USERDEL, account->name, err) < 0 ||
		    account_look(helper, arena, account, &present, &standing, err) < 0)
			return -1;
	}
	if (present->own_group && present->own_gid == account->uid)
		return run_for(helper, GROUPDEL, account->name, err);
	return 0;
}

static int start_removal(struct purge *purge, struct helper *helper, struct arena *arena,
			 const struct account *account, struct err *err)
{
	const char *mail = arena_printf(arena, "%s/%s", MAIL_FOLDER, account->name);
	struct command command = { 0 };

	if (!mail)
		return err_set(err, ERR_MEMORY, "no room for a path");
	command_add(&command, RM);
	command_add(&command, "--recursive");
	command_add(&command, "--force");
	command_add(&command, "--one-file-system");
	command_add(&command, "--");
	if (home_belongs_to(account->home, account->uid))
		command_add(&command, account->home);
	command_add(&command, mail);
	if (command_start(&command, &purge->pid, &purge->pidfd, err) < 0)
		return -1;
	purge->step = PURGE_REMOVING;
	(void)helper;
	return 0;
}

static int note_gone(struct helper *helper, struct arena *arena, struct account *account,
		     const char **ret_name, struct err *err)
{
	const char *name = arena_strdup(arena, account->name);

	if (ledger_gone(helper->ledger, account, err) < 0)
		return -1;
	endings_forget(&helper->endings, account->uid);
	*ret_name = name ? name : "";
	return 0;
}

static int after_archive(struct purge *purge, struct helper *helper, struct arena *arena,
			 struct account *account, const char **ret_name, struct err *err)
{
	if (remove_account(helper, arena, account, err) < 0)
		return -1;
	if (helper->settings->home_on_delete == HOME_KEEP)
		return note_gone(helper, arena, account, ret_name, err);
	return start_removal(purge, helper, arena, account, err);
}

static int begin(struct purge *purge, struct helper *helper, struct arena *arena,
		 struct account *account, const char **ret_name, struct err *err)
{
	const struct present *present;
	enum standing standing;
	int renamed = 0;

	if (account_look(helper, arena, account, &present, &standing, err) < 0)
		return -1;
	if (standing == STANDING_MISSING)
		renamed = name_service_has_uid(account->uid, err);
	if (renamed < 0)
		return -1;
	/* Somebody put another account in its place, or gave it another name: that, and its home, are theirs. */
	if (standing == STANDING_FOREIGN || renamed)
		return note_gone(helper, arena, account, ret_name, err);
	helper->removing = account->user;
	/* What still runs would write behind the archive's back. */
	if (standing != STANDING_MISSING && end_all(helper, account, err) < 0)
		return -1;
	if (helper->settings->home_on_delete == HOME_ARCHIVE &&
	    home_belongs_to(account->home, account->uid) && !account->archived) {
		if (!account->unnoted)
			return start_archive(purge, helper, arena, account, err);
		if (finish_archive(helper, arena, account, err) < 0)
			return -1;
	}
	return after_archive(purge, helper, arena, account, ret_name, err);
}

static int go_on(struct purge *purge, struct helper *helper, struct arena *arena,
		 const char **ret_name, struct err *err)
{
	struct account *account = ledger_find(helper->ledger, &helper->removing);
	enum purge_step step = purge->step;
	int result =
		command_finish(purge->pid, purge->pidfd, step == PURGE_ARCHIVING ? TAR : RM, err);

	purge->step = PURGE_IDLE;
	purge->pidfd = -1;
	if (result < 0 || !account)
		return account ? -1
			       : err_set(err, ERR_INTERNAL, "the account being removed is lost");
	if (step == PURGE_REMOVING)
		return note_gone(helper, arena, account, ret_name, err);
	if (finish_archive(helper, arena, account, err) < 0)
		return -1;
	return after_archive(purge, helper, arena, account, ret_name, err);
}

/* The next one that is due. */
static int begin_next(struct purge *purge, struct helper *helper, struct arena *arena,
		      const struct clocks *now, const char **ret_name, struct err *err)
{
	struct account *account;
	int64_t shift_s;

	if (!ledger_waits(helper->ledger))
		return 0;
	if (grace_look(helper->ledger, now, &shift_s, err) < 0)
		return -1;
	helper->shift_s += shift_s;
	account = find_due(purge, helper, now->real_s);
	if (!account)
		return 0;
	purge->last = account->user;
	return begin(purge, helper, arena, account, ret_name, err);
}

int purge_tick(struct purge *purge, struct helper *helper, struct arena *arena,
	       const struct clocks *now, const char **ret_name, struct err *err)
{
	int result;

	if (purge->step != PURGE_IDLE)
		result = go_on(purge, helper, arena, ret_name, err);
	else if (now->boot_s < purge->pause_until_s)
		return 0;
	else
		result = begin_next(purge, helper, arena, now, ret_name, err);
	if (purge->step == PURGE_IDLE)
		helper->removing = (struct uuid){ 0 };
	if (result < 0)
		purge->pause_until_s = now->boot_s + PURGE_PAUSE_S;
	return result;
}

void purge_stop(struct purge *purge)
{
	if (purge->step != PURGE_IDLE)
		command_kill(purge->pid, purge->pidfd);
	*purge = PURGE_INIT;
}
