/* Commands about the audit log: list, export, verify. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/audit/archive.h>
#include <rolebridge/base/util.h>

#define LIMIT_DEFAULT 100
/* At archive and store, while rows go from the one to the other. */
#define LOOKS 5

static const char *audit_path(struct cli *cli, const char *path)
{
	static const char *const options[] = { "person", "actor", "action", "object", "request",
					       "from",	 "to",	  "after",  "format" };

	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		path = path_query(cli, path, options[i], cli_value(cli, options[i]));
	return path;
}

/* ------------------------------------------------------------------- list -- */

static const char *number_text(struct cli *cli, int64_t number)
{
	return arena_printf(cli->arena, "%lld", (long long)number);
}

/* A filter that matches little is answered in pieces, until there are enough rows or no more. */
static json_t *ask_rows(struct cli *cli, size_t limit)
{
	const char *base = audit_path(cli, "/api/v1/audit"), *before = cli_value(cli, "before");
	json_t *all = json_pack("{s:[]}", "rows");
	json_t *rows = json_object_get(all, "rows");

	for (;;) {
		const char *path =
			path_query(cli, base, "limit",
				   number_text(cli, (int64_t)(limit - json_array_size(rows))));
		json_t *page =
			ask(cli, "GET", path_query(cli, path, "before", before), NULL, false);

		if (!page) {
			json_decref(all);
			return NULL;
		}
		json_array_extend(rows, json_object_get(page, "rows"));
		json_object_set(all, "next", json_object_get(page, "next"));
		json_decref(page);
		if (!json_is_integer(json_object_get(all, "next")) ||
		    json_array_size(rows) >= limit)
			return all;
		before = number_text(cli, member_int(all, "next"));
	}
}

static void print_rows(struct cli *cli, const json_t *rows)
{
	static const char *const headers[] = { "SEQ",	  "TIME",    "ACTOR", "ACTION",
					       "<OBJECT", "<DETAIL", NULL };
	struct table *table = table_create(cli, headers);

	for (size_t i = json_array_size(rows); i > 0; i--) {
		const json_t *row = json_array_get(rows, i - 1);
		const json_t *detail = json_object_get(row, "detail");
		char *text = json_is_string(detail) ? NULL : json_dumps(detail, JSON_COMPACT);

		table_row(table);
		table_number(table, member_int(row, "seq"));
		table_cell(table, PLAIN, member(row, "at"));
		table_cell(table, PLAIN, member(row, "actor"));
		table_cell(table, BOLD, member(row, "action"));
		table_cell(table, PLAIN, member(row, "object"));
		table_cell(table, DIM, text ? text : member(row, "detail"));
		free(text);
	}
	table_print(table);
}

int run_audit_list(struct cli *cli)
{
	const char *given = cli_value(cli, "limit");
	char *end = NULL;
	long limit = given ? strtol(given, &end, 10) : LIMIT_DEFAULT;
	json_t *all;

	if (given && (*end || !*given || limit < 1 || limit > 10000)) {
		complain("--limit must be a number from 1 to 10000");
		return CLI_USAGE;
	}
	all = ask_rows(cli, (size_t)limit);
	if (!all)
		return CLI_FAILED;
	if (cli->json)
		json_print(cli, all);
	else
		print_rows(cli, json_object_get(all, "rows"));
	json_decref(all);
	return CLI_OK;
}

int run_audit_export(struct cli *cli)
{
	const char *path = audit_path(cli, "/api/v1/audit/export");

	return ask_stream(cli, path_query(cli, path, "before", cli_value(cli, "before")));
}

/* ----------------------------------------------------------------- verify -- */

static json_t *ask_verdict(struct cli *cli, const char *head)
{
	return ask(cli, "GET", path_query(cli, "/api/v1/audit/verify", "head", head), NULL, false);
}

/* What is wrong of the archive is a verdict, too; NULL: it cannot be read. */
struct archived {
	struct audit_anchor begin;
	struct audit_archive_file last;
	size_t files;
	struct audit_verdict verdict;
};

static int walk_archive(struct audit_archive *archive, const char *head, struct archived *archived,
			struct err *err)
{
	struct audit_check check = { .anchor = audit_archive_begin(archive),
				     .head = head,
				     .is_archive = true };
	struct audit_iterator rows = audit_archive_iterator(archive);
	int result;

	archived->begin = check.anchor;
	archived->last = audit_archive_last(archive);
	archived->files = audit_archive_count(archive);
	result = audit_verify(&rows, &check, &archived->verdict, err);
	if (result == 0 || err->code != ERR_PROTOCOL)
		return result;
	archived->verdict = (struct audit_verdict){ .intact = false };
	snprintf(archived->verdict.problem, sizeof(archived->verdict.problem), "%.199s", err->text);
	return 0;
}

static int verify_archive(const char *folder, const char *head, struct archived *ret_archived,
			  struct err *err)
{
	struct audit_archive *archive = audit_archive_open(folder, err);
	int result;

	if (!archive)
		return -1;
	result = walk_archive(archive, head, ret_archived, err);
	audit_archive_close(archive);
	return result;
}

static void say_verdict(struct cli *cli, const json_t *answer)
{
	bool intact = member_bool(answer, "intact");

	if (intact)
		put(cli, GREEN, "The chain is intact: %lld rows.\n",
		    (long long)member_int(answer, "rows"));
	else
		put(cli, RED, "The chain is broken at row %lld: %s\n",
		    (long long)member_int(answer, "broken_seq"),
		    shown(cli, member(answer, "problem")));
	if (intact && member(answer, "problem")[0])
		put(cli, YELLOW, "But %s\n", shown(cli, member(answer, "problem")));
	put(cli, PLAIN, "head %lld:%s\n", (long long)member_int(answer, "head_seq"),
	    shown(cli, member(answer, "head")));
}

/* A head that nobody can find is not confirmed, though nothing is broken. */
static bool is_confirmed(const json_t *answer)
{
	const char *head = member(answer, "asked_head");

	return member_bool(answer, "intact") &&
	       (strcmp(head, "met") == 0 || strcmp(head, "not-asked") == 0);
}

static int verify_store(struct cli *cli)
{
	AUTO(json) json_t *answer = ask_verdict(cli, cli_value(cli, "head"));

	if (!answer)
		return CLI_FAILED;
	if (cli->json)
		json_print(cli, answer);
	else
		say_verdict(cli, answer);
	return is_confirmed(answer) ? CLI_OK : CLI_FAILED;
}

/* --- archive and store as one chain --- */

static const char *head_text(struct cli *cli, int64_t seq, const struct hash256 *hash)
{
	char hex[65];

	hash256_hex(hash, hex);
	return arena_printf(cli->arena, "%lld:%s", (long long)seq, hex);
}

/* Where the store begins, as its anchor says. */
static const char *anchor_text(struct cli *cli, const json_t *store)
{
	const json_t *anchor = json_object_get(store, "anchor");

	return member_int(anchor, "seq") == 0
		       ? NULL
		       : arena_printf(cli->arena, "%lld:%s", (long long)member_int(anchor, "seq"),
				      member(anchor, "hash"));
}

/* NULL: the two are one chain; else what is wrong. */
static const char *judge_link(struct cli *cli, const json_t *store, const struct archived *archived)
{
	int64_t anchor = member_int(json_object_get(store, "anchor"), "seq");
	AUTO(json) json_t *overlap = NULL;

	if (!member_bool(store, "intact"))
		return member(store, "problem");
	if (archived->last.to < anchor)
		return arena_printf(cli->arena,
				    "the archive ends with row %lld, and the store begins with row "
				    "%lld",
				    (long long)archived->last.to, (long long)anchor + 1);
	if (!archived->verdict.intact)
		return archived->verdict.problem;
	if (anchor && archived->verdict.head_state != AUDIT_HEAD_MET)
		return "the store does not follow a row of the archive";
	overlap = ask_verdict(cli, head_text(cli, archived->last.to, &archived->last.hash));
	if (!overlap)
		exit(CLI_FAILED);
	return strcmp(member(overlap, "asked_head"), "met") == 0
		       ? NULL
		       : "the archive does not end with a row of the store";
}

/* Of a head asked for: is it in the store, or in the archive? */
static const char *find_head(struct cli *cli, const json_t *store, const char *folder,
			     struct err *err)
{
	struct archived archived = { 0 };

	if (!cli_value(cli, "head") || strcmp(member(store, "asked_head"), "met") == 0)
		return member(store, "asked_head");
	if (verify_archive(folder, cli_value(cli, "head"), &archived, err) < 0)
		return NULL;
	return audit_head_state_name(archived.verdict.head_state);
}

static void say_whole(struct cli *cli, const json_t *store, const struct archived *archived,
		      const char *head, const char *problem)
{
	int64_t anchor = member_int(json_object_get(store, "anchor"), "seq");
	int64_t rows = member_int(store, "rows") + anchor - archived->begin.seq;

	if (cli->json) {
		json_t *answer =
			json_pack("{s:b,s:I,s:s,s:s,s:{s:i,s:I,s:I},s:O}", "intact",
				  problem == NULL, "rows", (json_int_t)rows, "asked_head", head,
				  "problem", problem ? problem : "", "archive", "files",
				  (int)archived->files, "from", (json_int_t)archived->begin.seq + 1,
				  "to", (json_int_t)archived->last.to, "store", store);

		json_print(cli, answer);
		json_decref(answer);
		return;
	}
	if (problem)
		put(cli, RED, "The chain is broken: %s\n", shown(cli, problem));
	else
		put(cli, GREEN,
		    "The chain is intact: %lld rows, from row %lld on, in %zu files and the store.\n",
		    (long long)rows, (long long)archived->begin.seq + 1, archived->files);
	if (cli_value(cli, "head") && !problem && strcmp(head, "met") != 0)
		put(cli, YELLOW, "But the head noted earlier is in neither.\n");
	put(cli, PLAIN, "head %lld:%s\n", (long long)member_int(store, "head_seq"),
	    shown(cli, member(store, "head")));
}

/* Retention let rows go while the two were read, one after the other: they are to be looked at again. */
static bool has_moved(struct cli *cli, json_t **store)
{
	json_t *now = ask_verdict(cli, cli_value(cli, "head"));
	bool moved;

	if (!now)
		exit(CLI_FAILED);
	moved = !json_equal(json_object_get(now, "anchor"), json_object_get(*store, "anchor"));
	if (!moved) {
		json_decref(now);
		return false;
	}
	json_decref(*store);
	*store = now;
	return true;
}

static int verify_whole(struct cli *cli, const char *folder)
{
	AUTO(json) json_t *store = ask_verdict(cli, cli_value(cli, "head"));
	const char *problem = NULL, *head = NULL;
	struct archived archived;
	struct err err = { 0 };
	int looks = 0;

	if (!store)
		return CLI_FAILED;
	do {
		archived = (struct archived){ .files = 0 };
		if (verify_archive(folder, anchor_text(cli, store), &archived, &err) < 0 ||
		    (head = find_head(cli, store, folder, &err)) == NULL) {
			complain("%s", shown(cli, err.text));
			return CLI_FAILED;
		}
		problem = judge_link(cli, store, &archived);
	} while (problem && ++looks < LOOKS && has_moved(cli, &store));
	say_whole(cli, store, &archived, head, problem);
	return !problem && (!cli_value(cli, "head") || strcmp(head, "met") == 0) ? CLI_OK
										 : CLI_FAILED;
}

int run_audit_verify(struct cli *cli)
{
	const char *folder = cli_value(cli, "archive");

	return folder ? verify_whole(cli, folder) : verify_store(cli);
}
