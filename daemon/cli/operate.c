/* Commands for operators: status, check, audit, alarms, quarantine. */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rolebridge/base/util.h>
#include <rolebridge/client/client.h>

#define DAEMON "rolebridged"

/* ----------------------------------------------------------------- status -- */

static void print_sources(struct cli *cli, const json_t *sources)
{
	static const char *const headers[] = { "SOURCE",    "TYPE", "ENTRIES", "ACTIVE",
					       "LAST READ", "NEXT", "<STATE",  NULL };
	struct table *table = table_create(cli, headers);
	json_t *source;
	size_t i;

	json_array_foreach(sources, i, source) {
		const char *problem = member(source, "problem");
		bool never = member(source, "last_read")[0] == 0;

		table_row(table);
		table_cell(table, BOLD, member(source, "name"));
		table_cell(table, PLAIN, member(source, "type"));
		table_number(table, member_int(source, "entries"));
		table_number(table, member_int(source, "active_users"));
		table_cell(table, PLAIN, never ? "never" : member(source, "last_read"));
		table_cell(table, PLAIN, member(source, "next"));
		if (!member_bool(source, "enabled"))
			table_cell(table, DIM, "not enabled");
		else if (problem[0])
			table_cell(table, RED, problem);
		else
			table_cell(table, never ? PLAIN : GREEN, never ? "" : "whole");
	}
	table_print(table);
}

/* Where it is followed: by what, from whom, how far behind. */
static void print_following(struct cli *cli, const json_t *sources)
{
	json_t *source;
	size_t i;

	json_array_foreach(sources, i, source) {
		const json_t *follow = json_object_get(source, "follow");
		bool connected = member_bool(follow, "connected");
		const char *change = member(follow, "change");

		if (!json_is_object(follow))
			continue;
		put(cli, BOLD, "%s", shown(cli, member(source, "name")));
		put(cli, PLAIN, " follows %s", shown(cli, member(follow, "server")));
		if (member(follow, "mode")[0])
			put(cli, PLAIN, " by %s", shown(cli, member(follow, "mode")));
		if (connected)
			put(cli, GREEN, ": connected");
		else
			put(cli, RED, ": not connected");
		if (member(follow, "problem")[0])
			put(cli, RED, ", %s", shown(cli, member(follow, "problem")));
		put(cli, PLAIN, "; last full read %s, last change %s",
		    member(follow, "full")[0] ? shown(cli, member(follow, "full")) : "never",
		    change[0] ? shown(cli, change) : "never");
		if (change[0])
			put(cli, PLAIN, ", %lld ms behind it",
			    (long long)member_int(follow, "lag_ms"));
		put(cli, PLAIN, "\n");
	}
}

/* Whose review is overdue waits for somebody; what rests on little does not. */
static bool print_personas(struct cli *cli, const json_t *personas)
{
	json_int_t overdue = member_int(personas, "overdue");
	json_int_t unresearched = member_int(personas, "insufficient_research");

	if (overdue > 0)
		put(cli, YELLOW,
		    "%lld persona(s) overdue for review: rolebridgectl personas list --overdue\n",
		    (long long)overdue);
	if (unresearched > 0)
		put(cli, PLAIN, "%lld primary persona(s) rest on too few interviews\n",
		    (long long)unresearched);
	return overdue > 0;
}

static void print_orphaned(struct cli *cli, const json_t *orphaned)
{
	if (member_int(orphaned, "users") > 0)
		put(cli, YELLOW,
		    "%lld disabled user(s) are responsible for %lld thing(s): references list "
		    "--orphaned\n",
		    (long long)member_int(orphaned, "users"),
		    (long long)member_int(orphaned, "references"));
}

static void print_quarantined(struct cli *cli, const json_t *sources)
{
	json_t *source, *reason;
	size_t i, j;

	json_array_foreach(sources, i, source) {
		if (member_int(source, "quarantined") == 0)
			continue;
		put(cli, BOLD, "%s", shown(cli, member(source, "name")));
		put(cli, YELLOW, ": %lld entries in quarantine",
		    (long long)member_int(source, "quarantined"));
		json_array_foreach(json_object_get(source, "quarantine_reasons"), j, reason)
			put(cli, PLAIN, "%s %lld %s", j == 0 ? ":" : ",",
			    (long long)member_int(reason, "count"),
			    shown(cli, member(reason, "reason")));
		put(cli, PLAIN, "; see rolebridgectl quarantine list\n");
	}
}

static void print_open_alarms(struct cli *cli, const json_t *alarms)
{
	json_t *alarm;
	size_t i;

	json_array_foreach(alarms, i, alarm)
		put(cli, RED, "Alarm %lld: %s\n", (long long)member_int(alarm, "id"),
		    shown(cli, member(alarm, "text")));
}

int run_status(struct cli *cli)
{
	AUTO(json) json_t *status = ask(cli, "GET", "/api/v1/status", NULL, true);
	const json_t *users = json_object_get(status, "users");
	bool overdue;
	json_t *plan;
	size_t i;

	if (!status || cli->json)
		return status ? CLI_OK : CLI_FAILED;
	put(cli, BOLD, "rolebridged %s", shown(cli, member(status, "version")));
	put(cli, PLAIN, ", up since %s, %s\n", shown(cli, member(status, "started")),
	    shown(cli, member(status, "config")));
	put(cli, PLAIN, "%lld users, %lld active; %lld entries in quarantine; %lld audit rows\n\n",
	    (long long)member_int(users, "total"), (long long)member_int(users, "active"),
	    (long long)member_int(status, "quarantined"),
	    (long long)member_int(json_object_get(status, "audit"), "rows"));
	print_sources(cli, json_object_get(status, "sources"));
	put(cli, PLAIN, "\n");
	if (json_array_size(json_object_get(status, "targets")) > 0) {
		print_targets(cli, json_object_get(status, "targets"));
		put(cli, PLAIN, "\n");
	}
	print_following(cli, json_object_get(status, "sources"));
	print_quarantined(cli, json_object_get(status, "sources"));
	print_orphaned(cli, json_object_get(status, "orphaned"));
	overdue = print_personas(cli, json_object_get(status, "personas"));
	json_array_foreach(json_object_get(status, "held_plans"), i, plan)
		put(cli, YELLOW,
		    "Plan %.12s of %s waits since %s: rolebridgectl plans show %.12s\n",
		    shown(cli, member(plan, "id")), shown(cli, member(plan, "source")),
		    shown(cli, member(plan, "created")), shown(cli, member(plan, "id")));
	print_open_alarms(cli, json_object_get(status, "alarms"));
	if (i == 0 && !overdue && json_array_size(json_object_get(status, "alarms")) == 0)
		put(cli, GREEN, "Nothing waits for a person.\n");
	return CLI_OK;
}

/* ------------------------------------------------------------------ check -- */

/* Beside us in a build tree, in the system's folders when installed, else wherever PATH finds it. */
static void check_exec(struct cli *cli, char *const *words)
{
	static const char *const folders[] = { "", "../sbin/", "../libexec/rolebridge/",
					       "../lib/rolebridge/" };
	char own[4096];
	ssize_t size = readlink("/proc/self/exe", own, sizeof(own) - 1);

	if (size > 0) {
		own[size] = 0;

		char *slash = strrchr(own, '/');

		if (slash)
			slash[1] = 0;
		for (size_t i = 0; slash && i < ARRAY_LEN(folders); i++) {
			const char *path = arena_printf(cli->arena, "%s%s" DAEMON, own, folders[i]);

			if (path)
				execv(path, words);
		}
	}
	execvp(DAEMON, words);
}

static int check_by_daemon(struct cli *cli, const char *config)
{
	json_t *files = config_files(config);
	json_t *body = files ? json_pack("{s:o}", "files", files) : NULL;
	AUTO(json) json_t *answer = body ? ask(cli, "POST", "/api/v1/check", body, true) : NULL;

	return answer && member_bool(answer, "valid") ? CLI_OK : CLI_FAILED;
}

/* One implementation: the daemon's own. With --json the running daemon is asked, so that the findings are JSON. */
int run_check(struct cli *cli)
{
	const char *config = cli->arguments[0] ? cli->arguments[0]
			     : cli->config     ? cli->config
					       : CLI_DEFAULT_CONFIG;
	char daemon[] = DAEMON, option[] = "--config", check[] = "--check";
	char *copy = arena_strdup(cli->arena, config);
	char *const words[] = { daemon, option, copy, check, NULL };

	if (cli->json)
		return check_by_daemon(cli, config);
	if (!copy) {
		complain("out of memory");
		return CLI_FAILED;
	}
	fflush(cli->out);
	check_exec(cli, words);
	complain("cannot start " DAEMON ": %s", strerror(errno));
	return CLI_FAILED;
}

/* ------------------------------------------------------ alarms, quarantine -- */

int run_alarms_list(struct cli *cli)
{
	static const char *const headers[] = { "ID",	"SINCE",    "KIND", "<SUBJECT",
					       "<TEXT", "<CLEARED", NULL };
	const char *path =
		path_query(cli, "/api/v1/alarms", "all", cli_value(cli, "all") ? "true" : NULL);
	AUTO(json) json_t *answer = ask(cli, "GET", path, NULL, true);
	struct table *table;
	json_t *alarm;
	size_t i;

	if (!answer || cli->json)
		return answer ? CLI_OK : CLI_FAILED;
	table = table_create(cli, headers);
	json_array_foreach(json_object_get(answer, "alarms"), i, alarm) {
		bool cleared = member(alarm, "cleared")[0] != 0;

		table_row(table);
		table_number(table, member_int(alarm, "id"));
		table_cell(table, PLAIN, member(alarm, "since"));
		table_cell(table, cleared ? PLAIN : RED, member(alarm, "kind"));
		table_cell(table, PLAIN, member(alarm, "subject"));
		table_cell(table, PLAIN, member(alarm, "text"));
		table_cell(table, PLAIN, member(alarm, "cleared"));
	}
	table_print(table);
	if (i == 0)
		put(cli, PLAIN, "There are no alarms.\n");
	return CLI_OK;
}

int run_alarms_clear(struct cli *cli)
{
	return ask_done(cli, "POST", api_path(cli, "/alarms/%s/clear", cli->arguments[0]), NULL);
}

int run_quarantine_list(struct cli *cli)
{
	static const char *const headers[] = { "SOURCE",  "<LOCATOR", "REASON",
					       "<DETAIL", "SINCE",    NULL };
	const char *path =
		path_query(cli, "/api/v1/quarantine", "source", cli_value(cli, "source"));
	AUTO(json) json_t *answer = NULL;
	struct table *table;
	json_t *entry;
	size_t i;

	path = path_query(cli, path, "limit", cli_value(cli, "limit"));
	answer = ask(cli, "GET", path, NULL, true);
	if (!answer || cli->json)
		return answer ? CLI_OK : CLI_FAILED;
	table = table_create(cli, headers);
	json_array_foreach(json_object_get(answer, "entries"), i, entry) {
		table_row(table);
		table_cell(table, BOLD, member(entry, "source"));
		table_cell(table, PLAIN, member(entry, "locator"));
		table_cell(table, YELLOW, member(entry, "reason"));
		table_cell(table, PLAIN, member(entry, "detail"));
		table_cell(table, PLAIN, member(entry, "since"));
	}
	table_print(table);
	if (member_int(answer, "total") > (json_int_t)i)
		put(cli, PLAIN, "… of %lld entries\n", (long long)member_int(answer, "total"));
	if (i == 0)
		put(cli, PLAIN, "The quarantine is empty.\n");
	return CLI_OK;
}

static void print_entry(struct cli *cli, const json_t *entry)
{
	static const struct {
		const char *label, *name;
	} lines[] = {
		{ "Entry", "locator" },	 { "Source", "source" }, { "Key", "key" },
		{ "Reason", "reason" },	 { "Detail", "detail" }, { "Since", "since" },
		{ "Last seen", "seen" },
	};
	const char *user = member(entry, "user");

	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		put(cli, PLAIN, "%-10s %s\n", lines[i].label,
		    shown(cli, member(entry, lines[i].name)));
	if (user[0])
		put(cli, PLAIN, "%-10s %s keeps what they have until it can be processed\n", "User",
		    shown(cli, user));
	else
		put(cli, PLAIN, "%-10s nobody known yet\n", "User");
}

int run_quarantine_show(struct cli *cli)
{
	const char *path = path_query(cli, "/api/v1/quarantine", "entry", cli->arguments[0]);
	AUTO(json) json_t *answer = NULL;
	json_t *entry;
	size_t i;

	path = path_query(cli, path, "source", cli_value(cli, "source"));
	answer = ask(cli, "GET", path, NULL, true);
	if (!answer)
		return CLI_FAILED;
	if (member_int(answer, "total") == 0) {
		complain("there is no entry '%s' in quarantine", shown(cli, cli->arguments[0]));
		return CLI_FAILED;
	}
	if (cli->json)
		return CLI_OK;
	json_array_foreach(json_object_get(answer, "entries"), i, entry) {
		if (i > 0)
			put(cli, PLAIN, "\n");
		print_entry(cli, entry);
	}
	return CLI_OK;
}
