/* Reports: who signs in and uses what. Tables for people, else what the API says. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>

#define ROWS_DEFAULT 100
#define ROWS_OF_PAGE 1000

enum format { FORMAT_TABLE, FORMAT_CSV, FORMAT_JSON, FORMAT_UNKNOWN };

static enum format format_of(struct cli *cli)
{
	static const char *const words[] = { "table", "csv", "json" };
	const char *text = cli_value(cli, "format");

	if (!text)
		return cli->json ? FORMAT_JSON : FORMAT_TABLE;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcmp(text, words[i]) == 0)
			return (enum format)i;
	complain("--format is table, csv or json");
	return FORMAT_UNKNOWN;
}

static const char *with_options(struct cli *cli, const char *path, const char *const *options)
{
	for (; *options; options++)
		path = path_query(cli, path, *options, cli_value(cli, *options));
	return path;
}

/* Prints what is no table; *ret_answer is the answer of a table. */
static int ask_report(struct cli *cli, const char *path, json_t **ret_answer)
{
	enum format format = format_of(cli);

	*ret_answer = NULL;
	if (format == FORMAT_UNKNOWN)
		return CLI_USAGE;
	if (format == FORMAT_CSV)
		return ask_stream(cli, path_query(cli, path, "format", "csv"));
	cli->json = format == FORMAT_JSON;
	*ret_answer = ask(cli, "GET", path, NULL, true);
	return *ret_answer ? CLI_OK : CLI_FAILED;
}

/* ------------------------------------------------------------------- groups -- */

static void print_counts(struct table *table, const json_t *group, const char *name,
			 const char *count)
{
	json_t *period, *periods = json_object_get(group, "periods");
	size_t i;

	if (!periods) {
		table_row(table);
		table_cell(table, BOLD, name);
		table_number(table, member_int(group, "people"));
		table_number(table, member_int(group, count));
		return;
	}
	json_array_foreach(periods, i, period) {
		table_row(table);
		table_cell(table, BOLD, name);
		table_cell(table, PLAIN, member(period, "from"));
		table_cell(table, PLAIN, member(period, "to"));
		table_number(table, member_int(period, "people"));
		table_number(table, member_int(period, count));
	}
}

/* "44 %" */
static void table_share(struct cli *cli, struct table *table, const json_t *group, const char *name)
{
	const json_t *share = json_object_get(group, name);
	const char *text = json_is_number(share) ? arena_printf(cli->arena, "%.0f %%",
								json_number_value(share) * 100)
						 : "-";

	table_cell(table, PLAIN, text ? text : "");
}

static void print_adoption(struct cli *cli, struct table *table, const json_t *group,
			   const char *name)
{
	table_row(table);
	table_cell(table, BOLD, name);
	table_number(table, member_int(group, "holders"));
	table_number(table, member_int(group, "signed_in"));
	table_share(cli, table, group, "signed_in_share");
	table_number(table, member_int(group, "used"));
	table_share(cli, table, group, "used_share");
}

static void say_window(struct cli *cli, const json_t *answer)
{
	put(cli, DIM, "%s to %s, by %s as held now\n", shown(cli, member(answer, "from")),
	    shown(cli, member(answer, "to")), shown(cli, member(answer, "by")));
}

static const char *by_path(struct cli *cli, const char *path, const char *const *options)
{
	const char *by = cli_value(cli, "by");

	return with_options(cli, path_query(cli, path, "by", by ? by : "role"), options);
}

static int print_use(struct cli *cli, const char *path, const char *count, const char *title)
{
	const char *const over_time[] = { "<NAME", "FROM", "TO", "PEOPLE", title, NULL };
	const char *const at_once[] = { "<NAME", "PEOPLE", title, NULL };
	AUTO(json) json_t *answer = NULL;
	int result = ask_report(cli, path, &answer);
	struct table *table;
	json_t *group;
	size_t i;

	if (!answer || cli->json)
		return result;
	say_window(cli, answer);
	table = table_create(cli, cli_value(cli, "every") ? over_time : at_once);
	json_array_foreach(json_object_get(answer, "groups"), i, group)
		print_counts(table, group, member(group, "name"), count);
	print_counts(table, json_object_get(answer, "all"), "(everybody)", count);
	table_print(table);
	return CLI_OK;
}

int run_report_sign_ins(struct cli *cli)
{
	static const char *const options[] = { "from", "to", "every", "organization", NULL };

	return print_use(cli, by_path(cli, "/api/v1/reports/sign-ins", options), "sign_ins",
			 "SIGN-INS");
}

int run_report_feature_use(struct cli *cli)
{
	static const char *const options[] = { "from",	  "to",		  "every", "application",
					       "feature", "organization", NULL };

	return print_use(cli, by_path(cli, "/api/v1/reports/feature-use", options), "uses", "USES");
}

int run_report_adoption(struct cli *cli)
{
	static const char *const options[] = { "from",	  "to",		  "application",
					       "feature", "organization", NULL };
	static const char *const headers[] = {
		"<NAME", "HOLDERS", "SIGNED IN", "", "USED", "", NULL
	};
	AUTO(json) json_t *answer = NULL;
	int result = ask_report(cli, by_path(cli, "/api/v1/reports/adoption", options), &answer);
	struct table *table;
	json_t *group;
	size_t i;

	if (!answer || cli->json)
		return result;
	say_window(cli, answer);
	table = table_create(cli, headers);
	json_array_foreach(json_object_get(answer, "groups"), i, group)
		print_adoption(cli, table, group, member(group, "name"));
	print_adoption(cli, table, json_object_get(answer, "all"), "(everybody)");
	table_print(table);
	return CLI_OK;
}

/* ------------------------------------------------------------------- unused -- */

static const char *last_sign_in(const json_t *of)
{
	const char *text = member(of, "last_sign_in");

	return text[0] ? text : "never";
}

static const char *reason_text(const char *reason)
{
	if (strcmp(reason, "nobody-holds-it") == 0)
		return "nobody holds it";
	return strcmp(reason, "nobody-signed-in") == 0 ? "no holder signed in" : reason;
}

int run_report_unused(struct cli *cli)
{
	static const char *const options[] = { "days", "organization", NULL };
	static const char *const headers[] = { "KIND",	  "<NAME",	  "WHY",
					       "HOLDERS", "LAST SIGN-IN", NULL };
	AUTO(json) json_t *answer = NULL;
	int result = ask_report(cli, with_options(cli, "/api/v1/reports/unused", options), &answer);
	struct table *table;
	json_t *unused;
	size_t i;

	if (!answer || cli->json)
		return result;
	table = table_create(cli, headers);
	json_array_foreach(json_object_get(answer, "unused"), i, unused) {
		table_row(table);
		table_cell(table, PLAIN, member(unused, "kind"));
		table_cell(table, BOLD, member(unused, "name"));
		table_cell(table, PLAIN, reason_text(member(unused, "reason")));
		table_number(table, member_int(unused, "holders"));
		table_cell(table, PLAIN, last_sign_in(unused));
	}
	table_print(table);
	if (i == 0)
		put(cli, PLAIN, "Every role and persona is used.\n");
	return CLI_OK;
}

/* ----------------------------------------------------------------- inactive -- */

static size_t print_people(struct table *table, const json_t *answer, size_t most)
{
	json_t *user;
	size_t i;

	json_array_foreach(json_object_get(answer, "users"), i, user) {
		if (i == most)
			break;
		table_row(table);
		table_cell(table, BOLD, member(user, "username"));
		table_cell(table, PLAIN, member(user, "display_name"));
		table_cell(table, PLAIN, member(user, "profile"));
		table_cell(table, PLAIN, member(user, "state"));
		table_cell(table, PLAIN, member(user, "created"));
		table_cell(table, PLAIN, last_sign_in(user));
	}
	return i;
}

/* A page may hold nobody, and more follow. Returns how many were printed; -1 after a message. */
static long print_pages(struct cli *cli, const char *path, struct table *table, size_t most,
			const char **ret_more)
{
	const char *after = cli_value(cli, "after");
	size_t rows = 0;

	for (;;) {
		size_t left = most - rows;
		const char *limit =
			arena_printf(cli->arena, "%zu", left < ROWS_OF_PAGE ? left : ROWS_OF_PAGE);
		const char *page =
			path_query(cli, path_query(cli, path, "limit", limit), "after", after);
		AUTO(json) json_t *answer = ask(cli, "GET", page, NULL, false);

		*ret_more = NULL;
		if (!answer)
			return -1;
		rows += print_people(table, answer, left);
		if (!json_is_integer(json_object_get(answer, "next")))
			return (long)rows;
		after = arena_printf(cli->arena, "%lld", (long long)member_int(answer, "next"));
		*ret_more = after;
		if (rows >= most)
			return (long)rows;
	}
}

static bool read_limit(struct cli *cli, size_t *ret_limit)
{
	const char *text = cli_value(cli, "limit");
	char *end;
	long limit = text ? strtol(text, &end, 10) : ROWS_DEFAULT;

	if (text && (*end || end == text || limit < 1 || limit > 1000000)) {
		complain("--limit is a number from 1 to 1000000");
		return false;
	}
	*ret_limit = (size_t)limit;
	return true;
}

static int print_inactive(struct cli *cli, const char *path)
{
	static const char *const headers[] = { "<USER NAME", "<NAME",	     "PROFILE", "STATE",
					       "CREATED",    "LAST SIGN-IN", NULL };
	struct table *table;
	const char *more;
	size_t most;
	long rows;

	if (!read_limit(cli, &most))
		return CLI_USAGE;
	table = table_create(cli, headers);
	rows = print_pages(cli, path, table, most, &more);
	table_print(table);
	if (rows == 0)
		put(cli, PLAIN, "Everybody has signed in.\n");
	if (rows > 0 && more)
		fprintf(stderr, "There may be more: --limit N, --after %s, or --format csv.\n",
			more);
	return rows < 0 ? CLI_FAILED : CLI_OK;
}

int run_report_inactive(struct cli *cli)
{
	static const char *const options[] = { "days", "organization", NULL };
	static const char *const paging[] = { "limit", "after", NULL };
	const char *path = with_options(cli, "/api/v1/reports/inactive", options);
	AUTO(json) json_t *answer = NULL;

	if (cli_value(cli, "include-disabled"))
		path = path_query(cli, path, "include_disabled", "true");
	switch (format_of(cli)) {
	case FORMAT_TABLE: cli->json = false; return print_inactive(cli, path);
	case FORMAT_JSON: return ask_report(cli, with_options(cli, path, paging), &answer);
	default: return ask_report(cli, path, &answer);
	}
}
