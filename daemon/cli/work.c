/* Commands of long work: sync, plan, apply, reload, and the plans and runs they leave. */
#include "cli.h"

#include <string.h>

#include <rolebridge/base/util.h>

static const char *const change_headers[] = { "<WHO", "CHANGE", "<FROM", "<TO", "<WHY", NULL };

static enum colour change_colour(const json_t *change)
{
	const char *what = member(change, "what");

	if (member_bool(change, "held"))
		return YELLOW;
	if (strcmp(what, "disable") == 0 || strcmp(what, "revoke") == 0)
		return RED;
	if (strcmp(what, "create") == 0 || strcmp(what, "enable") == 0 ||
	    strcmp(what, "grant") == 0)
		return GREEN;
	return PLAIN;
}

/* On a terminal a name stands once for all its lines; elsewhere each line speaks for itself. */
static const char *who(const struct cli *cli, const json_t *change, const json_t *previous)
{
	bool same = cli->width > 0 && previous &&
		    strcmp(member(change, "id"), member(previous, "id")) == 0;

	return same ? "" : member(change, "user");
}

static void change_row(struct cli *cli, struct table *table, const json_t *change,
		       const json_t *previous)
{
	const char *what = member(change, "what"), *kind = member(change, "kind");
	/* "profile profile" and "update email" say it once, "grant role" needs both. */
	bool both = kind[0] && strcmp(what, kind) != 0;
	enum colour colour = change_colour(change);
	char text[128];

	snprintf(text, sizeof(text), "%s%s%s%s", what, both ? " " : "", both ? kind : "",
		 member_bool(change, "held") ? " (held)" : "");
	table_row(table);
	table_cell(table, BOLD, who(cli, change, previous));
	table_cell(table, colour, text);
	table_cell(table, colour, member(change, "before"));
	table_cell(table, colour, member(change, "after"));
	table_cell(table, PLAIN, member(change, "why"));
}

static void print_changes(struct cli *cli, const json_t *report)
{
	const json_t *changes = json_object_get(report, "changes");
	json_int_t more =
		member_int(report, "changes_total") - (json_int_t)json_array_size(changes);
	struct table *table = table_create(cli, change_headers);
	json_t *change;
	size_t i;

	json_array_foreach(changes, i, change)
		change_row(cli, table, change, i > 0 ? json_array_get(changes, i - 1) : NULL);
	table_print(table);
	if (more > 0)
		put(cli, PLAIN, "… and %lld more changes\n", (long long)more);
	if (json_array_size(changes) > 0)
		put(cli, PLAIN, "\n");
}

static void print_read(struct cli *cli, const json_t *report)
{
	const char *server = shown(cli, member(report, "server"));

	put(cli, BOLD, "%s", shown(cli, member(report, "subject")));
	put(cli, PLAIN, ": %lld entries read%s%s, %lld unchanged",
	    (long long)member_int(report, "entries"), server[0] ? " from " : "", server,
	    (long long)member_int(report, "unchanged"));
	if (member_int(report, "missing") > 0)
		put(cli, PLAIN, ", %lld missing", (long long)member_int(report, "missing"));
	if (member_int(report, "quarantined") > 0)
		put(cli, YELLOW, ", %lld quarantined",
		    (long long)member_int(report, "quarantined"));
	put(cli, PLAIN, "\n");
	if (!member_bool(report, "complete") && member(report, "problem")[0])
		put(cli, RED, "The read was not whole, so nothing is taken away: %s\n",
		    shown(cli, member(report, "problem")));
}

static void print_counts(struct cli *cli, const json_t *report)
{
	static const char *const names[] = { "created", "updated", "disabled",
					     "enabled", "granted", "revoked" };
	bool any = false;

	put(cli, PLAIN, "%s:", member_bool(report, "dry_run") ? "Would be" : "Applied");
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		json_int_t count = member_int(report, names[i]);

		if (count > 0)
			put(cli, PLAIN, "%s %lld %s", any ? "," : "", (long long)count, names[i]);
		any = any || count > 0;
	}
	put(cli, PLAIN, "%s\n", any ? "" : " nothing changes");
}

/* plan: its id, where it can be applied. is_shown: as it is looked at, now or when it waits no more. */
static void print_holds(struct cli *cli, const json_t *report, const char *plan, bool is_shown)
{
	const json_t *holds = json_object_get(report, "holds");
	json_int_t held = member_int(report, "held");
	json_t *hold;
	size_t i;

	if (held == 0 && json_array_size(holds) == 0)
		return;
	if (is_shown && !plan[0])
		put(cli, PLAIN, "Held were %lld changes:\n", (long long)held);
	else
		put(cli, YELLOW, "%s: %lld changes wait for a person\n",
		    member_bool(report, "dry_run") ? "Would be held" : "Held", (long long)held);
	json_array_foreach(holds, i, hold)
		put(cli, PLAIN, "  - %s\n", shown(cli, member(hold, "text")));
	if (plan[0] && !is_shown)
		put(cli, PLAIN, "  See it with:    rolebridgectl plans show %.12s\n",
		    shown(cli, plan));
	if (plan[0])
		put(cli, PLAIN,
		    "  Apply it with:  rolebridgectl apply %.12s  (one person: --only USER)\n",
		    shown(cli, plan));
}

void print_report(struct cli *cli, const json_t *report, bool with_read)
{
	if (member_bool(report, "dry_run"))
		print_changes(cli, report);
	if (with_read)
		print_read(cli, report);
	print_counts(cli, report);
	print_holds(cli, report, member_bool(report, "dry_run") ? "" : member(report, "plan"),
		    false);
}

/*
 * Takes the run over. A read that was not whole is a failure to say, though what could be
 * applied was.
 */
static int print_run(struct cli *cli, json_t *taken, bool with_read)
{
	AUTO(json) json_t *run = taken;
	const json_t *reports = json_object_get(run, "reports");
	int status = CLI_OK;
	json_t *report;
	size_t i;

	if (!run)
		return CLI_FAILED;
	json_array_foreach(reports, i, report) {
		if (with_read && !member_bool(report, "complete"))
			status = CLI_FAILED;
		if (cli->json)
			continue;
		if (i > 0)
			put(cli, PLAIN, "\n");
		print_report(cli, report, with_read);
	}
	return status;
}

/* json_pack without the members that are not given. */
static json_t *body_with(const char *name, const char *value)
{
	json_t *body = json_object();

	if (value)
		json_object_set_new(body, name, json_string(value));
	return body;
}

int run_sync(struct cli *cli)
{
	json_t *body = body_with("source", cli->arguments[0]);

	if (cli_value(cli, "full"))
		json_object_set_new(body, "full", json_true());
	if (cli_value(cli, "user"))
		json_object_set_new(body, "user", json_string(cli_value(cli, "user")));
	return print_run(cli, run_to_end(cli, "/api/v1/sync", body), true);
}

int run_plan(struct cli *cli)
{
	json_t *body = body_with("source", cli->arguments[0]);
	const char *config = cli_value(cli, "config");
	const char *rule = cli_value(cli, "rule");

	if (rule && json_object_set_new(body, "rule", json_string(rule)) < 0) {
		complain("--rule is not valid UTF-8");
		json_decref(body);
		return CLI_USAGE;
	}
	if (config) {
		json_t *files = config_files(config);

		if (!files) {
			json_decref(body);
			return CLI_FAILED;
		}
		json_object_set_new(body, "files", files);
	}
	return print_run(cli, run_to_end(cli, "/api/v1/plan", body), true);
}

int run_apply(struct cli *cli)
{
	json_t *body = body_with("user", cli_value(cli, "only"));

	return print_run(cli,
			 run_to_end(cli, api_path(cli, "/plans/%s/apply", cli->arguments[0]), body),
			 false);
}

int run_rules_release(struct cli *cli)
{
	const char *path = api_path(cli, "/rules/%s/release", cli->arguments[0]);

	return print_run(cli, run_to_end(cli, path, NULL), false);
}

int run_reload(struct cli *cli)
{
	int status = print_run(cli, run_to_end(cli, "/api/v1/reload", NULL), false);

	if (status == CLI_OK && !cli->json)
		put(cli, PLAIN, "The configuration is in force.\n");
	return status;
}

/* ----------------------------------------------------------------- plans -- */

int run_plans_list(struct cli *cli)
{
	static const char *const headers[] = {
		"PLAN", "STATE", "SOURCE", "CREATED", "<ACTOR", NULL
	};
	const char *path = path_query(cli, "/api/v1/plans", "state", cli_value(cli, "state"));
	AUTO(json) json_t *answer = ask(cli, "GET", path, NULL, true);
	struct table *table;
	json_t *plan;
	size_t i;

	if (!answer || cli->json)
		return answer ? CLI_OK : CLI_FAILED;
	table = table_create(cli, headers);
	json_array_foreach(json_object_get(answer, "plans"), i, plan) {
		char id[13];

		snprintf(id, sizeof(id), "%s", member(plan, "id"));
		table_row(table);
		table_cell(table, BOLD, id);
		table_cell(table, PLAIN, member(plan, "state"));
		table_cell(table, PLAIN, member(plan, "source"));
		table_cell(table, PLAIN, member(plan, "created"));
		table_cell(table, PLAIN, member(plan, "actor"));
	}
	table_print(table);
	if (i == 0)
		put(cli, PLAIN, "There are no such plans.\n");
	return CLI_OK;
}

int run_plans_show(struct cli *cli)
{
	const char *path = api_path(cli, "/plans/%s", cli->arguments[0]);
	AUTO(json) json_t *plan = ask(cli, "GET", path, NULL, true);
	const json_t *summary = json_object_get(plan, "summary");

	if (!plan || cli->json)
		return plan ? CLI_OK : CLI_FAILED;
	print_changes(cli, plan);
	put(cli, BOLD, "Plan %s\n", shown(cli, member(plan, "id")));
	put(cli, PLAIN, "%s, of %s, by %s at %s\n", shown(cli, member(plan, "state")),
	    shown(cli, member(plan, "source")), shown(cli, member(plan, "actor")),
	    shown(cli, member(plan, "created")));
	print_holds(cli, summary,
		    strcmp(member(plan, "state"), "held") == 0 ? member(plan, "id") : "", true);
	return CLI_OK;
}

int run_runs_list(struct cli *cli)
{
	static const char *const headers[] = { "STARTED", "KIND",     "<SUBJECT", "STATE",
					       "<ACTOR",  "<MESSAGE", NULL };
	AUTO(json) json_t *answer = ask(cli, "GET", "/api/v1/runs", NULL, true);
	struct table *table;
	json_t *run;
	size_t i;

	if (!answer || cli->json)
		return answer ? CLI_OK : CLI_FAILED;
	table = table_create(cli, headers);
	json_array_foreach(json_object_get(answer, "runs"), i, run) {
		bool failed = strcmp(member(run, "state"), "failed") == 0;

		table_row(table);
		table_cell(table, PLAIN, member(run, "started"));
		table_cell(table, PLAIN, member(run, "kind"));
		table_cell(table, PLAIN, member(run, "subject"));
		table_cell(table, failed ? RED : PLAIN, member(run, "state"));
		table_cell(table, PLAIN, member(run, "actor"));
		table_cell(table, PLAIN, member(json_object_get(run, "error"), "message"));
	}
	table_print(table);
	return CLI_OK;
}
