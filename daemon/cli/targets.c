/* Commands about targets: how they do, what waits for them, dead letters, drift. */
#include "cli.h"

#include <string.h>

#include <rolebridge/base/util.h>

static enum colour state_colour(const char *state)
{
	if (strcmp(state, "ok") == 0)
		return GREEN;
	if (strcmp(state, "failing") == 0 || strcmp(state, "dead") == 0)
		return RED;
	return YELLOW;
}

void print_targets(struct cli *cli, const json_t *targets)
{
	static const char *const headers[] = { "TARGET", "TYPE",   "STATE",    "WAITING", "FAILING",
					       "DEAD",	 "OLDEST", "<PROBLEM", NULL };
	struct table *table = table_create(cli, headers);
	json_t *target;
	size_t i;

	json_array_foreach(targets, i, target) {
		const char *state = member(target, "state");

		table_row(table);
		table_cell(table, BOLD, member(target, "name"));
		table_cell(table, PLAIN, member(target, "type"));
		table_cell(table, state_colour(state), state);
		table_number(table, member_int(target, "waiting"));
		table_number(table, member_int(target, "failing"));
		table_number(table, member_int(target, "dead"));
		table_cell(table, PLAIN, member(target, "oldest"));
		table_cell(table, PLAIN, member(target, "problem"));
	}
	table_print(table);
	json_array_foreach(targets, i, target)
		if (member(target, "type")[0] && !member(target, "reconciled")[0])
			put(cli, YELLOW,
			    "%s may not know of people who were there before it: "
			    "rolebridgectl targets plan %s\n",
			    shown(cli, member(target, "name")), shown(cli, member(target, "name")));
}

int run_targets_list(struct cli *cli)
{
	AUTO(json) json_t *answer = ask(cli, "GET", "/api/v1/targets", NULL, true);

	if (answer && !cli->json)
		print_targets(cli, json_object_get(answer, "targets"));
	return answer ? CLI_OK : CLI_FAILED;
}

static void put_deliveries(struct cli *cli, const json_t *answer)
{
	static const char *const headers[] = { "ID",   "EVENT", "<USER",    "STATE", "ATTEMPTS",
					       "NEXT", "CODE",	"<PROBLEM", NULL };
	struct table *table = table_create(cli, headers);
	json_t *row;
	size_t i;

	json_array_foreach(json_object_get(answer, "deliveries"), i, row) {
		const char *state = member(row, "state");

		table_row(table);
		table_cell(table, PLAIN, member(row, "id"));
		table_cell(table, PLAIN, member(row, "event"));
		table_cell(table, BOLD, member(row, "username"));
		table_cell(table, state_colour(state), state);
		table_number(table, member_int(row, "attempts"));
		table_cell(table, PLAIN, member(row, "next"));
		table_cell(table, PLAIN, member(row, "code"));
		table_cell(table, PLAIN, member(row, "problem"));
	}
	table_print(table);
}

int run_targets_show(struct cli *cli)
{
	const char *path = api_path(cli, "/targets/%s", cli->arguments[0]);
	AUTO(json) json_t *answer = NULL;

	path = path_query(cli, path, "state", cli_value(cli, "state"));
	path = path_query(cli, path, "limit", cli_value(cli, "limit"));
	path = path_query(cli, path, "after", cli_value(cli, "after"));
	answer = ask(cli, "GET", path, NULL, true);
	if (!answer || cli->json)
		return answer ? CLI_OK : CLI_FAILED;
	print_fact(cli, "target", member(answer, "name"));
	print_fact(cli, "type", member(answer, "type"));
	print_fact(cli, "state", member(answer, "state"));
	print_fact(cli, "problem", member(answer, "problem"));
	print_fact(cli, "failing since", member(answer, "failing_since"));
	print_fact(cli, "next try", member(answer, "next_try"));
	print_fact(cli, "delivered last", member(answer, "delivered"));
	print_fact(cli, "reconciled", member(answer, "reconciled"));
	put(cli, PLAIN, "%lld waiting, of them %lld failing; %lld dead\n\n",
	    (long long)member_int(answer, "waiting"), (long long)member_int(answer, "failing"),
	    (long long)member_int(answer, "dead"));
	put_deliveries(cli, answer);
	say_more(answer);
	return CLI_OK;
}

/* --- dead letters --- */

static int ask_letters(struct cli *cli, const char *verb, const char *key, const char *said)
{
	const char *path = api_path(cli, "/targets/%s/", cli->arguments[0]);
	AUTO(json) json_t *answer = NULL;
	json_t *body = json_object();

	if (!body_text(body, "delivery", cli->arguments[1])) {
		json_decref(body);
		return CLI_USAGE;
	}
	answer = ask(cli, "POST", arena_printf(cli->arena, "%s%s", path, verb), body, true);
	if (answer && !cli->json)
		put(cli, PLAIN, "%s: %lld\n", said, (long long)member_int(answer, key));
	return answer ? CLI_OK : CLI_FAILED;
}

int run_targets_retry(struct cli *cli)
{
	return ask_letters(cli, "retry", "retried", "Tried again");
}

int run_targets_drop(struct cli *cli)
{
	return ask_letters(cli, "drop", "dropped", "Dropped");
}

/* --- drift --- */

/* "shell: /bin/sh → /bin/bash; …" */
static const char *differences(struct cli *cli, const json_t *drift)
{
	AUTO(strbuf) struct strbuf text = STRBUF(1u << 20);
	const char *name;
	json_t *pair;

	strbuf_puts(&text, member(drift, "problem"));
	json_object_foreach(json_object_get(drift, "fields"), name, pair) {
		const char *have = json_string_value(json_array_get(pair, 0));
		const char *want = json_string_value(json_array_get(pair, 1));

		strbuf_printf(&text, "%s%s: %s -> %s", text.size ? "; " : "", name,
			      have ? have : "none", want ? want : "none");
	}
	return arena_strdup(cli->arena, strbuf_text(&text));
}

static void put_drift(struct cli *cli, const json_t *result)
{
	static const char *const headers[] = { "<NAME", "DRIFT", "CODE", "<WHAT", NULL };
	struct table *table = table_create(cli, headers);
	json_t *drift;
	size_t i;

	json_array_foreach(json_object_get(result, "drift"), i, drift) {
		table_row(table);
		table_cell(table, BOLD, member(drift, "name"));
		table_cell(table, member_bool(drift, "takes_away") ? RED : PLAIN,
			   member(drift, "kind"));
		table_cell(table, PLAIN, member(drift, "code"));
		table_cell(table, PLAIN, differences(cli, drift));
	}
	table_print(table);
}

static void put_counts(struct cli *cli, const json_t *result)
{
	const char *name;
	json_t *count;
	bool any = false;

	json_object_foreach(json_object_get(result, "counts"), name, count) {
		if (json_integer_value(count) == 0)
			continue;
		put(cli, PLAIN, "%s%lld %s", any ? ", " : "", (long long)json_integer_value(count),
		    shown(cli, name));
		any = true;
	}
	put(cli, PLAIN, "%s\n", any ? "" : "Nothing differs.");
	if (!member_bool(result, "complete"))
		put(cli, YELLOW, "Not all of it is shown.\n");
}

static void put_plan(struct cli *cli, const json_t *result)
{
	if (!member_bool(result, "comparable")) {
		put(cli, PLAIN,
		    "This target cannot say what it has. `reconcile` tells it of %lld people.\n",
		    (long long)member_int(result, "people"));
		return;
	}
	put_drift(cli, result);
	put_counts(cli, result);
	if (member_int(result, "takes_away") > 0)
		put(cli, YELLOW, "Of %lld active there, %lld would be taken away.\n",
		    (long long)member_int(result, "active"),
		    (long long)member_int(result, "takes_away"));
	if (member_int(result, "people") > 0)
		put(cli, PLAIN,
		    "Repair it with:  rolebridgectl targets reconcile %s --plan %.12s\n",
		    shown(cli, member(result, "target")), shown(cli, member(result, "plan")));
}

int run_targets_plan(struct cli *cli)
{
	const char *path = api_path(cli, "/targets/%s/plan", cli->arguments[0]);
	AUTO(json) json_t *run = run_to_end(cli, path, NULL);

	if (run && !cli->json)
		put_plan(cli, json_object_get(run, "result"));
	return run ? CLI_OK : CLI_FAILED;
}

int run_targets_reconcile(struct cli *cli)
{
	const char *path = api_path(cli, "/targets/%s/reconcile", cli->arguments[0]);
	json_t *body = json_object();
	AUTO(json) json_t *run = NULL;

	if (!body_text(body, "plan", cli_value(cli, "plan"))) {
		json_decref(body);
		return CLI_USAGE;
	}
	run = run_to_end(cli, path, body);
	if (run && !cli->json)
		put(cli, PLAIN,
		    "Told anew of %lld people; see what becomes of it with 'targets list'.\n",
		    (long long)member_int(json_object_get(run, "result"), "people"));
	return run ? CLI_OK : CLI_FAILED;
}
