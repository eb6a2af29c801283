/* Commands that bring people in from files, and out. */
#include "cli.h"

#include <string.h>

#include <rolebridge/base/file.h>
#include <rolebridge/base/util.h>

#define FILE_MAX ((size_t)64 * 1024 * 1024)

static bool ends_in(const char *text, const char *end)
{
	size_t size = strlen(text), end_size = strlen(end);

	return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

static void print_rows(struct cli *cli, const json_t *rows)
{
	static const char *const headers[] = { "ROW", "RESULT", "<FIELD", "<WHY", NULL };
	struct table *table = table_create(cli, headers);
	json_t *row;
	size_t i;

	json_array_foreach(rows, i, row) {
		bool failed = strcmp(member(row, "status"), "failed") == 0;

		table_row(table);
		table_number(table, member_int(row, "row"));
		table_cell(table, failed ? RED : GREEN,
			   failed ? member(row, "code") : member(row, "status"));
		table_cell(table, PLAIN, member(row, "field"));
		table_cell(table, PLAIN, failed ? member(row, "message") : member(row, "user"));
	}
	table_print(table);
}

static void print_result(struct cli *cli, const json_t *result)
{
	const json_t *rows = json_object_get(result, "rows");

	if (json_array_size(rows) > 0)
		print_rows(cli, rows);
	put(cli, BOLD, "%s%lld created, %lld updated, %lld unchanged, %lld failed.\n",
	    member_bool(result, "dry_run") ? "Nothing was written. It would be: " : "",
	    (long long)member_int(result, "created"), (long long)member_int(result, "updated"),
	    (long long)member_int(result, "unchanged"), (long long)member_int(result, "failed"));
	if (member_bool(result, "cut"))
		fprintf(stderr, "There are more rows than could be listed.\n");
}

int run_import_users(struct cli *cli)
{
	AUTO(strbuf) struct strbuf file = STRBUF(FILE_MAX);
	const char *path = "/api/v1/import/users";
	const char *type = ends_in(cli->arguments[0], ".json") ? "application/json" : "text/csv";
	AUTO(json) json_t *started = NULL;
	AUTO(json) json_t *run = NULL;
	const json_t *result;
	struct err err = { 0 };

	if (file_read(cli->arguments[0], FILE_MAX, &file, &err) < 0) {
		complain("%s", shown(cli, err.text));
		return CLI_FAILED;
	}
	path = path_query(cli, path, "dry_run", cli_value(cli, "dry-run") ? "true" : NULL);
	path = path_query(cli, path, "results", cli_value(cli, "all") ? "all" : "failed");
	started = ask_file(cli, path, type, &file);
	run = started ? run_follow(cli, started) : NULL;
	if (!run)
		return CLI_FAILED;
	result = json_object_get(run, "result");
	if (!cli->json)
		print_result(cli, result);
	return member_int(result, "failed") > 0 ? CLI_FAILED : CLI_OK;
}

int run_import_sample(struct cli *cli)
{
	return ask_stream(cli, "/api/v1/import/users/sample.csv");
}

static int export(struct cli *cli, const char *segment)
{
	const char *format = cli_value(cli, "format");
	const char *path = "/api/v1/export/users.csv";

	if (format && strcmp(format, "json") == 0) {
		path = "/api/v1/export/users.json";
	} else if (format && strcmp(format, "csv") != 0) {
		complain("--format must be csv or json");
		return CLI_USAGE;
	}
	path = path_query(cli, path, "segment", segment);
	path = path_query(cli, path, "filter", cli_value(cli, "filter"));
	return ask_stream(cli,
			  path_query(cli, path, "organization", cli_value(cli, "organization")));
}

int run_export_users(struct cli *cli)
{
	return export(cli, cli_value(cli, "segment"));
}

int run_segments_export(struct cli *cli)
{
	return export(cli, cli->arguments[0]);
}

/* Piece by piece, so that nobody waits for it. */
int run_segments_count(struct cli *cli)
{
	const char *path = api_path(cli, "/segments/%s/count", cli->arguments[0]);
	json_int_t people = 0, active = 0, looked_at = 0;
	AUTO(json) json_t *total = NULL;
	char next[24] = "";

	do {
		AUTO(json)
		json_t *answer =
			ask(cli, "GET", path_query(cli, path, "after", next[0] ? next : NULL), NULL,
			    false);

		if (!answer)
			return CLI_FAILED;
		people += member_int(answer, "people");
		active += member_int(answer, "active");
		looked_at += member_int(answer, "looked_at");
		next[0] = '\0';
		if (json_is_integer(json_object_get(answer, "next")))
			snprintf(next, sizeof(next), "%lld", (long long)member_int(answer, "next"));
	} while (next[0]);
	total = json_pack("{s:I,s:I,s:I}", "people", people, "active", active, "looked_at",
			  looked_at);
	if (cli->json && total)
		json_print(cli, total);
	else
		put(cli, PLAIN, "%lld of %lld, %lld of them active\n", (long long)people,
		    (long long)looked_at, (long long)active);
	return CLI_OK;
}
