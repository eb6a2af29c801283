/*
 * Backups by hand, and a backup in the store's place. Enters: a configuration, which need not be without errors, and a
 * file. Leaves: a file; a store. Whoever calls it as root becomes the owner of the store's folder before anything
 * of a backup is looked at, and for good: it may be hostile, and what is made must be the daemon's.
 */
#include "restore.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/file.h>
#include <rolebridge/base/json.h>
#include <rolebridge/base/util.h>
#include <rolebridge/change/restore.h>

#include "configuration.h"
#include "owner.h"
#include "upgrade.h"

#define ARENA_MAX ((size_t)256 * 1024 * 1024)
#define TEXT_MAX ((size_t)64 * 1024)

/* --- paths --- */

static char *beside(const char *store_path, const char *name)
{
	char *copy = strdup(store_path), *path = NULL;

	if (copy && asprintf(&path, "%s/%s", dirname(copy), name) < 0)
		path = NULL;
	free(copy);
	return path;
}

static int find_store(const struct restore_options *options, struct arena *arena,
		      const char **ret_store, struct err *err)
{
	const char *store;

	if (!arena)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (access(options->config, R_OK) < 0)
		return err_set_errno(err, ERR_NOT_FOUND, errno, "cannot read configuration '%s'",
				     options->config);
	store = configuration_store(options->config, arena);
	if (!store || !store[0])
		return err_set(err, ERR_INVALID, "configuration '%s' names no store",
			       options->config);
	*ret_store = store;
	return 0;
}

/* --- who works --- */

/* As the control socket would call them. */
static void name_caller(struct strbuf *out)
{
	const struct passwd *caller = getpwuid(getuid());

	if (caller)
		strbuf_printf(out, "unix:%s", caller->pw_name);
	else
		strbuf_printf(out, "unix:%u", (unsigned)getuid());
}

/* --- what came of it --- */

static void show_about(struct json *json, const struct store_about *about)
{
	char head[96], hex[65];

	hash256_hex(&about->audit.head, hex);
	snprintf(head, sizeof(head), "%lld:%s", (long long)about->audit.last_seq, hex);
	json_time(json, "made", about->made_s);
	json_int(json, "size", about->size);
	json_int(json, "schema", about->schema);
	json_int(json, "users", about->users);
	json_int(json, "audit_rows", about->audit.rows);
	json_string(json, "head", about->audit.intact ? head : NULL);
}

static void print_about(const struct store_about *about)
{
	char made[CLOCK_TEXT_SIZE] = "an unknown time", hex[65];

	if (about->made_s != 0)
		clock_format(about->made_s, made);
	hash256_hex(&about->audit.head, hex);
	printf("backup of %s: %lld bytes, schema version %lld, %lld users\n", made,
	       (long long)about->size, (long long)about->schema, (long long)about->users);
	if (about->audit.intact)
		printf("%lld rows of the audit log verify, head %lld:%s\n",
		       (long long)about->audit.rows, (long long)about->audit.last_seq, hex);
	else
		printf("its audit log can be verified once it has this version's schema\n");
}

static int complain(const struct restore_options *options, const struct err *err)
{
	AUTO(strbuf) struct strbuf text = STRBUF(TEXT_MAX);
	struct json json = JSON(&text);

	if (options->json) {
		json_object(&json);
		json_string(&json, "code", err_reason(err));
		json_string(&json, "message", err->text);
		json_end(&json);
		puts(strbuf_text(&text));
	} else {
		fprintf(stderr, "rolebridged: %s (%s)\n", err->text, err_reason(err));
	}
	return 1;
}

/* --- a backup --- */

/* Whole and examined, and without a name. */
static int make_copy(const char *store, struct store_about *about, int *ret_fd, struct err *err)
{
	AUTO(strbuf) struct strbuf copy = STRBUF(TEXT_MAX);
	struct stat status;
	int fd = -1;

	strbuf_printf(&copy, "%s.copy", store);
	if (strbuf_failed(&copy))
		return err_set(err, ERR_MEMORY, "out of memory");
	if (unlink(strbuf_text(&copy)) < 0 && errno != ENOENT)
		return err_set_errno(err, ERR_IO, errno, "cannot remove '%s'", strbuf_text(&copy));
	if (store_copy(store, strbuf_text(&copy), clock_now_s(), NULL, err) < 0)
		return -1;
	if (store_examine(strbuf_text(&copy), NULL, NULL, about, err) == 0)
		fd = file_open(strbuf_text(&copy), &status, err);
	unlink(strbuf_text(&copy));
	*ret_fd = fd;
	return fd < 0 ? -1 : 0;
}

static int copy_store(const char *store, int to, struct store_about *about, struct err *err)
{
	AUTO(fd) int lock = -1;
	AUTO(fd) int copy = -1;

	if (owner_become(store, err) < 0)
		return -1;
	if (access(store, F_OK) < 0)
		return err_set_errno(err, ERR_NOT_FOUND, errno, "cannot read store '%s'", store);
	if (upgrade_lock(store, &lock, err) < 0)
		return strcmp(err_reason(err), "in-use") == 0
			       ? err_wrap(err, "rolebridged runs; 'rolebridgectl backup' asks it")
			       : -1;
	if (make_copy(store, about, &copy, err) < 0)
		return -1;
	return file_copy(copy, to, NULL, err);
}

/* What the process that copied says; who gets it takes it for text and numbers, nothing else. */
struct copied {
	int result;
	struct store_about about;
	char reason[64], text[ERR_TEXT_MAX];
};

static _Noreturn void copy_and_tell(const char *store, int to, int tell_fd)
{
	struct copied copied = { .result = -1 };
	struct err err = { 0 };

	copied.result = copy_store(store, to, &copied.about, &err);
	if (copied.result < 0) {
		snprintf(copied.reason, sizeof(copied.reason), "%s", err_reason(&err));
		snprintf(copied.text, sizeof(copied.text), "%s", err.text);
	}
	_exit(file_write_all(tell_fd, &copied, sizeof(copied)) < 0);
}

static int hear(int fd, struct copied *ret_copied, struct err *err)
{
	size_t size = 0;
	ssize_t more = 1;

	while (size < sizeof(*ret_copied) && more > 0) {
		more = read(fd, (char *)ret_copied + size, sizeof(*ret_copied) - size);
		if (more < 0 && errno == EINTR)
			more = 1;
		else if (more > 0)
			size += (size_t)more;
	}
	if (size < sizeof(*ret_copied))
		return err_set(err, ERR_INTERNAL, "the process that copies the store was ended");
	ret_copied->reason[sizeof(ret_copied->reason) - 1] = '\0';
	ret_copied->text[sizeof(ret_copied->text) - 1] = '\0';
	return 0;
}

/* Of what another process told. Static: a reason is. */
static int refuse_as_told(const struct copied *copied, struct err *err)
{
	static char reason[sizeof(copied->reason)];

	memcpy(reason, copied->reason, sizeof(reason));
	return err_refuse(err, ERR_IO, reason, "%s", copied->text);
}

/*
 * By a process of its own, which is the store's owner from its beginning to its end: root, who goes on afterwards, opens
 * nothing of what is theirs.
 */
static int copy_as_owner(const char *store, int to, struct store_about *about, struct err *err)
{
	struct copied copied;
	int ends[2], result;
	pid_t child;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_set_errno(err, ERR_IO, errno, "cannot make a pipe");
	child = fork();
	if (child == 0)
		copy_and_tell(store, to, ends[1]);
	close(ends[1]);
	result = child < 0 ? err_set_errno(err, ERR_IO, errno, "cannot make a process")
			   : hear(ends[0], &copied, err);
	close(ends[0]);
	while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	if (result == 0 && copied.result < 0)
		result = refuse_as_told(&copied, err);
	if (result == 0)
		*about = copied.about;
	return result;
}

/* The file may lie where only root writes. */
static int backup(const struct restore_options *options, const char *store,
		  struct store_about *about, struct err *err)
{
	struct new_file new_file;
	int result;

	if (file_new_open(&new_file, options->file, 0600, err) < 0)
		return -1;
	result = copy_as_owner(store, new_file.fd, about, err);
	if (result == 0)
		result = file_new_commit(&new_file, err);
	file_new_drop(&new_file);
	return result;
}

int command_backup(const struct restore_options *options)
{
	AUTO(arena) struct arena *arena = arena_create(ARENA_MAX);
	AUTO(strbuf) struct strbuf text = STRBUF(TEXT_MAX);
	struct json json = JSON(&text);
	struct store_about about = { 0 };
	struct err err = { 0 };
	const char *store;

	if (find_store(options, arena, &store, &err) < 0 ||
	    backup(options, store, &about, &err) < 0)
		return complain(options, &err);
	if (!options->json) {
		print_about(&about);
		return 0;
	}
	json_object(&json);
	json_string(&json, "file", options->file);
	show_about(&json, &about);
	json_end(&json);
	puts(strbuf_text(&text));
	return 0;
}

/* --- a restore --- */

int restore_finish(const char *store_path, struct strbuf *aside, struct err *err)
{
	int coming = store_is_coming(store_path, err);
	char *key;

	if (coming < 0)
		return -1;
	/* All links, codes and answers that were given out by the store that was are void with it. */
	if (coming > 0) {
		key = beside(store_path, "web.key");
		if (!key)
			return err_set(err, ERR_MEMORY, "out of memory");
		if (unlink(key) < 0 && errno != ENOENT)
			coming = err_set_errno(err, ERR_IO, errno, "cannot remove '%s'", key);
		free(key);
	}
	return coming < 0 ? -1 : store_put_in_place(store_path, aside, err);
}

/* A store that was not closed: what was written last lies beside it, and would be lost. */
static int check_alone(const char *path, struct err *err)
{
	struct stat status;
	char *wal;
	int result;

	if (asprintf(&wal, "%s-wal", path) < 0)
		return err_set(err, ERR_MEMORY, "out of memory");
	result = stat(wal, &status) < 0 || status.st_size == 0
			 ? 0
			 : err_refuse(err, ERR_INVALID, "backup-damaged",
				      "'%s' is not whole: '%s' is a part of it", path, wal);
	free(wal);
	return result;
}

static int restore(const struct restore_options *options, const char *store,
		   struct restore_outcome *outcome, struct strbuf *aside, struct err *err)
{
	AUTO(strbuf) struct strbuf caller = STRBUF(256);
	struct stat status;
	AUTO(fd) int fd = file_open(options->file, &status, err);
	AUTO(fd) int lock = -1;
	struct restore_request request = { .store_path = store,
					   .fd = fd,
					   .head = options->head,
					   .keep_tokens = options->keep_tokens,
					   .dry_run = options->dry_run };

	if (fd < 0 || check_alone(options->file, err) < 0)
		return -1;
	name_caller(&caller);
	request.actor = strbuf_text(&caller);
	if (owner_become(store, err) < 0)
		return -1;
	if (upgrade_lock(store, &lock, err) < 0)
		return strcmp(err_reason(err), "in-use") == 0
			       ? err_wrap(err, "rolebridged runs; stop it first")
			       : -1;
	/* One that was cut off is done, before this one takes its place. */
	if ((!options->dry_run && restore_finish(store, NULL, err) < 0) ||
	    change_restore(&request, outcome, err) < 0)
		return -1;
	return options->dry_run ? 0 : restore_finish(store, aside, err);
}

static void show_outcome(const struct restore_options *options,
			 const struct restore_outcome *outcome, const struct strbuf *aside)
{
	AUTO(strbuf) struct strbuf text = STRBUF(TEXT_MAX);
	struct json json = JSON(&text);

	json_object(&json);
	json_bool(&json, "restored", !options->dry_run);
	show_about(&json, &outcome->about);
	if (!options->dry_run) {
		json_string(&json, "aside", aside->size > 0 ? aside->data : NULL);
		json_int(&json, "sessions", outcome->ended.sessions);
		json_int(&json, "devices", outcome->ended.devices);
		json_int(&json, "recovery_codes", outcome->ended.recovery_codes);
		json_int(&json, "invites", outcome->ended.invites);
		json_int(&json, "tokens", outcome->ended.tokens);
		json_int(&json, "tokens_kept", outcome->tokens_kept);
	}
	json_end(&json);
	puts(strbuf_text(&text));
}

static void print_outcome(const struct restore_options *options,
			  const struct restore_outcome *outcome, const struct strbuf *aside)
{
	print_about(&outcome->about);
	if (options->dry_run) {
		puts("it can be restored; nothing was changed");
		return;
	}
	if (aside->size > 0)
		printf("the store that was: %s\n", aside->data);
	printf("ended: %lld sessions, %lld remembered browsers, %lld recovery codes, %lld invites, "
	       "%lld tokens; %lld tokens go on\n",
	       (long long)outcome->ended.sessions, (long long)outcome->ended.devices,
	       (long long)outcome->ended.recovery_codes, (long long)outcome->ended.invites,
	       (long long)outcome->ended.tokens, (long long)outcome->tokens_kept);
	puts("Start rolebridged now. People sign in once each source was read whole; mail and\n"
	     "targets wait until you have looked: 'rolebridgectl restored show' and 'release'.");
}

int command_restore(const struct restore_options *options)
{
	AUTO(arena) struct arena *arena = arena_create(ARENA_MAX);
	AUTO(strbuf) struct strbuf aside = STRBUF(TEXT_MAX);
	struct restore_outcome outcome = { .tokens_kept = 0 };
	struct err err = { 0 };
	const char *store;

	if (find_store(options, arena, &store, &err) < 0 ||
	    restore(options, store, &outcome, &aside, &err) < 0)
		return complain(options, &err);
	if (options->json)
		show_outcome(options, &outcome, &aside);
	else
		print_outcome(options, &outcome, &aside);
	return 0;
}
