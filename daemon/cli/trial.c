/* sources test: each step as it went, counts, a few people; exit status 1 when a step failed. */
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>

#include "cli.h"

static const char *value_text(const struct cli *cli, const json_t *value)
{
	if (json_is_string(value))
		return shown(cli, json_string_value(value));
	if (json_is_integer(value))
		return arena_printf(cli->arena, "%lld", (long long)json_integer_value(value));
	return json_is_true(value) ? "yes" : "no";
}

/* Everything that a step says beside how it went. */
static void print_facts(struct cli *cli, json_t *step)
{
	static const char *const usual[] = { "step",   "server",      "ok",	  "reason",
					     "detail", "duration_us", "at_least", "count" };
	const char *key;
	json_t *value;

	json_object_foreach(step, key, value) {
		bool known = false;

		for (size_t i = 0; i < ARRAY_LEN(usual); i++)
			known |= strcmp(usual[i], key) == 0;
		if (!known && !json_is_array(value) && !json_is_object(value) &&
		    !json_is_null(value))
			put(cli, PLAIN, "             %s: %s\n", shown(cli, key),
			    value_text(cli, value));
	}
}

static void print_step(struct cli *cli, json_t *step)
{
	bool ok = member_bool(step, "ok");
	const char *reason = member(step, "reason"), *detail = member(step, "detail");

	put(cli, ok ? GREEN : RED, "  %-7s", ok ? "ok" : "failed");
	put(cli, PLAIN, " %-9s %7.1f ms", shown(cli, member(step, "step")),
	    (double)member_int(step, "duration_us") / 1000);
	if (json_object_get(step, "count"))
		put(cli, BOLD, "  %s%lld", member_bool(step, "at_least") ? "at least " : "",
		    (long long)member_int(step, "count"));
	if (reason[0])
		put(cli, RED, "  %s", shown(cli, reason));
	put(cli, PLAIN, "%s%s\n", detail[0] ? "  " : "", shown(cli, detail));
	print_facts(cli, step);
}

static void print_steps(struct cli *cli, const json_t *steps)
{
	const char *server = "";
	json_t *step;
	size_t i;

	json_array_foreach(steps, i, step) {
		if (strcmp(member(step, "server"), server) != 0) {
			server = member(step, "server");
			put(cli, BOLD, "%s\n", shown(cli, server));
		}
		print_step(cli, step);
	}
}

static void print_texts(struct cli *cli, const char *name, const json_t *texts)
{
	const json_t *text;
	size_t i;

	if (json_array_size(texts) == 0)
		return;
	put(cli, PLAIN, "    %s:", shown(cli, name));
	json_array_foreach(texts, i, text)
		put(cli, PLAIN, "%s %s", i ? "," : "", shown(cli, json_string_value(text)));
	put(cli, PLAIN, "\n");
}

static void print_person(struct cli *cli, const json_t *person)
{
	const char *key, *by = member(person, "disabled_by");
	json_t *values;

	put(cli, BOLD, "  %s", shown(cli, member(person, "key")));
	put(cli, DIM, "  %s", shown(cli, member(person, "dn")));
	if (member_bool(person, "disabled"))
		put(cli, RED, "  disabled%s%s", by[0] ? " by " : "", shown(cli, by));
	put(cli, PLAIN, "\n");
	json_object_foreach(json_object_get(person, "attributes"), key, values)
		print_texts(cli, key, values);
	print_texts(cli, "groups", json_object_get(person, "groups"));
	if (!member_bool(person, "groups_complete"))
		put(cli, YELLOW, "    groups may be missing\n");
}

static void print_quarantine(struct cli *cli, const json_t *result)
{
	const char *reason;
	json_t *value;
	size_t i;

	json_object_foreach(json_object_get(result, "quarantine"), reason, value)
		put(cli, YELLOW, "Cannot be processed: %lld with %s\n",
		    (long long)json_integer_value(value), shown(cli, reason));
	json_array_foreach(json_object_get(result, "quarantined"), i, value)
		put(cli, PLAIN, "  %s: %s (%s)\n", shown(cli, member(value, "locator")),
		    shown(cli, member(value, "detail")), shown(cli, member(value, "reason")));
}

static void print_result(struct cli *cli, const json_t *result)
{
	const json_t *bind = json_object_get(result, "bind"), *person;
	size_t i;

	put(cli, BOLD, "%s", shown(cli, member(result, "source")));
	put(cli, PLAIN, "  %s%s", shown(cli, member(result, "type")),
	    member_bool(result, "enabled") ? "" : ", not enabled");
	if (bind)
		put(cli, PLAIN, ", bind %s %s, follow %s", shown(cli, member(bind, "method")),
		    shown(cli, member(bind, "dn")), shown(cli, member(result, "follow")));
	put(cli, PLAIN, "\n");
	print_steps(cli, json_object_get(result, "steps"));
	if (json_array_size(json_object_get(result, "sample")) > 0)
		put(cli, PLAIN, "\nSome of its people, as rules see them:\n");
	json_array_foreach(json_object_get(result, "sample"), i, person)
		print_person(cli, person);
	print_quarantine(cli, result);
}

int run_sources_test(struct cli *cli)
{
	const char *sample = cli_value(cli, "sample");
	json_t *body = json_object();
	char *end = NULL;
	long count = sample ? strtol(sample, &end, 10) : 0;

	if (sample && (end == sample || *end != '\0' || count < 0 || count > 100)) {
		complain("--sample is a number from 0 to 100");
		json_decref(body);
		return CLI_USAGE;
	}
	if (sample)
		json_object_set_new(body, "sample", json_integer(count));

	AUTO(json)
	json_t *run = run_to_end(cli, api_path(cli, "/sources/%s/test", cli->arguments[0]), body);
	const json_t *result = json_object_get(run, "result");

	if (!run)
		return CLI_FAILED;
	if (!cli->json)
		print_result(cli, result);
	return member_bool(result, "ok") ? CLI_OK : CLI_FAILED;
}
