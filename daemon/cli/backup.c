/*
 * Backups. Enters: a path. Leaves: a file of mode 0600 under that name, whole, or none; what waits since a restore. The
 * store itself is the daemon's, so a restore is rolebridged's work, too.
 */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rolebridge/base/file.h>
#include <rolebridge/base/util.h>
#include <rolebridge/client/client.h>

#define REFUSAL_MAX ((size_t)1024 * 1024)
#define RESTORE_WORDS_MAX 12

/* --------------------------------------------------------------- backup -- */

struct taking {
	struct new_file file;
	struct err err;
};

static int take_piece(void *context, const void *data, size_t size)
{
	struct taking *taking = context;

	return file_new_write(&taking->file, data, size, &taking->err);
}

/* Is it what the daemon examined? */
static int check_digest(const struct taking *taking, const json_t *result, struct err *err)
{
	struct hash256 hash;
	char hex[65];

	if (file_digest(taking->file.fd, &hash, err) < 0)
		return -1;
	hash256_hex(&hash, hex);
	return strcmp(hex, member(result, "digest")) == 0
		       ? 0
		       : err_set(err, ERR_PROTOCOL, "the backup is not what the daemon sent");
}

static int fetch(struct cli *cli, const json_t *run, struct taking *taking, struct err *err)
{
	const json_t *result = json_object_get(run, "result");
	AUTO(strbuf) struct strbuf refusal = STRBUF(REFUSAL_MAX);
	int status = 0;

	if (client_stream(cli->client, api_path(cli, "/backups/%s", member(run, "id")), take_piece,
			  taking, &status, &refusal, err) < 0) {
		if (taking->err.code != ERR_NONE)
			*err = taking->err;
		return -1;
	}
	if (status != 200)
		return err_set(err, ERR_UNAVAILABLE, "the daemon gives no backup: status %d",
			       status);
	return check_digest(taking, result, err) < 0 ? -1 : file_new_commit(&taking->file, err);
}

static void print_backup(struct cli *cli, const char *path, const json_t *result)
{
	put(cli, GREEN, "%s: backup of %s, %lld bytes\n", shown(cli, path),
	    shown(cli, member(result, "made")), (long long)member_int(result, "size"));
	put(cli, PLAIN, "%lld rows of the audit log verify, head %s\n",
	    (long long)member_int(result, "audit_rows"), shown(cli, member(result, "head")));
	put(cli, DIM, "Neither the sealing key nor archives of the audit log are in it.\n");
}

static int back_up(struct cli *cli, const char *path)
{
	struct taking taking = { .file = { .fd = -1 } };
	AUTO(json) json_t *run = NULL;
	struct err err = { 0 };
	int result;

	/* First: nothing is copied for a file that cannot be written. */
	if (file_new_open(&taking.file, path, 0600, &err) < 0) {
		complain("%s", shown(cli, err.text));
		return CLI_FAILED;
	}
	run = run_to_end(cli, api_path(cli, "/backups"), NULL);
	result = run ? fetch(cli, run, &taking, &err) : -1;
	file_new_drop(&taking.file);
	if (run && result < 0)
		complain("%s", shown(cli, err.text));
	if (result == 0 && !cli->json)
		print_backup(cli, path, json_object_get(run, "result"));
	return result == 0 ? CLI_OK : CLI_FAILED;
}

/* The older ones go when the new one is there. */
static int back_up_and_keep(struct cli *cli, const char *folder, size_t keep)
{
	struct err err = { 0 };
	const char *path = kept_next(cli, folder, &err);
	size_t removed;

	if (!path) {
		complain("%s", shown(cli, err.text));
		return CLI_FAILED;
	}
	if (back_up(cli, path) != CLI_OK)
		return CLI_FAILED;
	if (kept_prune(folder, path, keep, &removed, &err) < 0) {
		complain("the backup is made, but older ones stay: %s", shown(cli, err.text));
		return CLI_FAILED;
	}
	if (!cli->json && removed > 0)
		put(cli, DIM, "%zu older removed, %zu kept.\n", removed, keep);
	return CLI_OK;
}

int run_backup(struct cli *cli)
{
	const char *text = cli_value(cli, "keep");
	size_t keep;

	if (!text)
		return back_up(cli, cli->arguments[0]);
	return kept_count(text, &keep) ? back_up_and_keep(cli, cli->arguments[0], keep) : CLI_USAGE;
}

/* -------------------------------------------------------------- restore -- */

/* Beside us where both were built, else as both were installed. */
static char *find_daemon(void)
{
	static const char *const places[] = { "%.*s/rolebridged", "%.*s/../sbin/rolebridged" };
	char *self = realpath("/proc/self/exe", NULL), *path = NULL;
	const char *slash = self ? strrchr(self, '/') : NULL;

	for (size_t i = 0; slash && i < ARRAY_LEN(places); i++) {
		if (asprintf(&path, places[i], (int)(slash - self), self) < 0)
			path = NULL;
		if (path && access(path, X_OK) == 0)
			break;
		free(path);
		path = NULL;
	}
	free(self);
	return path;
}

int run_restore(struct cli *cli)
{
	char *daemon = find_daemon();
	const char *words[RESTORE_WORDS_MAX] = { "rolebridged" };
	size_t count = 1;

	if (!daemon) {
		complain("rolebridged, which restores, is not where it was installed");
		return CLI_FAILED;
	}
	if (cli->config) {
		words[count++] = "--config";
		words[count++] = cli->config;
	}
	words[count++] = "--restore";
	words[count++] = cli->arguments[0];
	if (cli_value(cli, "head")) {
		words[count++] = "--head";
		words[count++] = cli_value(cli, "head");
	}
	if (cli_value(cli, "keep-tokens"))
		words[count++] = "--keep-tokens";
	if (cli_value(cli, "dry-run"))
		words[count++] = "--dry-run";
	if (cli->json)
		words[count++] = "--json";
	execv(daemon, (char *const *)(uintptr_t)words);
	complain("cannot run '%s': %s", daemon, strerror(errno));
	free(daemon);
	return CLI_FAILED;
}

/* ------------------------------------------------------------- restored -- */

static const char *hold_text(struct cli *cli, const json_t *hold)
{
	if (member_bool(hold, "held"))
		return "held";
	return member(hold, "released")[0]
		       ? arena_printf(cli->arena, "released %s", member(hold, "released"))
		       : "";
}

static int show_restored(struct cli *cli, json_t *answer)
{
	const json_t *waits = json_object_get(answer, "waits_for");
	json_t *source;
	size_t i;

	if (!answer)
		return CLI_FAILED;
	if (!cli->json && !member(answer, "at")[0]) {
		put(cli, PLAIN, "The store was never restored from a backup.\n");
	} else if (!cli->json) {
		print_fact(cli, "restored", member(answer, "at"));
		print_fact(cli, "backup of", member(answer, "made"));
		print_fact(cli, "signing in", hold_text(cli, json_object_get(answer, "sign_in")));
		json_array_foreach(waits, i, source)
			print_fact(cli, "to be read", json_string_value(source));
		print_fact(cli, "mail, targets",
			   hold_text(cli, json_object_get(answer, "delivery")));
	}
	json_decref(answer);
	return CLI_OK;
}

int run_restored_show(struct cli *cli)
{
	return show_restored(cli, ask(cli, "GET", api_path(cli, "/restored"), NULL, true));
}

int run_restored_release(struct cli *cli)
{
	bool sign_in = cli_value(cli, "sign-in") != NULL;
	json_t *body = json_pack("{s:b, s:b}", "sign_in", sign_in, "delivery", !sign_in);

	return show_restored(cli, ask(cli, "POST", api_path(cli, "/restored/release"), body, true));
}
