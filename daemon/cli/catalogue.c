/*
 * Commands about what administrators define: profiles, roles, personas, and rules of the store. Whatever
 * options cannot say well comes from a file, as the API takes it.
 */
#include "cli.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>

/* How an option becomes a member of the body. */
enum part { PART_TEXT, PART_NAMES, PART_TEXTS, PART_YES_NO };

static const struct part_of_body {
	const char *option, *member;
	enum part part;
} parts[] = {
	{ "description", "description", PART_TEXT },
	{ "permissions", "permissions", PART_NAMES },
	{ "classifications", "classifications", PART_NAMES },
	{ "segments", "segments", PART_NAMES },
	{ "title", "title", PART_TEXT },
	{ "primary", "primary", PART_YES_NO },
	{ "objectives", "objectives", PART_TEXTS },
	{ "frustrations", "frustrations", PART_TEXTS },
	{ "watering-holes", "watering_holes", PART_TEXTS },
	{ "technical-sophistication", "technical_sophistication", PART_TEXT },
	{ "review-due", "review_due", PART_TEXT },
	{ "filter", "filter", PART_TEXT },
	{ "organization", "organization", PART_TEXT },
};

/* ------------------------------------------------------------------ bodies */

json_t *split_texts(const char *text, char separator)
{
	json_t *list = json_array();
	const char *end;

	for (; list && *text; text = *end ? end + 1 : end) {
		size_t size;

		end = strchr(text, separator);
		end = end ? end : text + strlen(text);
		text += strspn(text, " ");
		size = text < end ? (size_t)(end - text) : 0;
		while (size > 0 && text[size - 1] == ' ')
			size--;
		if (size > 0)
			json_array_append_new(list, json_stringn(text, size));
	}
	return list;
}

static json_t *part_value(const struct part_of_body *part, const char *text)
{
	switch (part->part) {
	case PART_TEXT: return json_string(text);
	case PART_NAMES: return split_texts(text, ',');
	case PART_TEXTS: return split_texts(text, ';');
	case PART_YES_NO: return json_boolean(strcmp(text, "yes") == 0);
	}
	return NULL;
}

static bool is_answer(const struct part_of_body *part, const char *text)
{
	if (part->part != PART_YES_NO || strcmp(text, "yes") == 0 || strcmp(text, "no") == 0)
		return true;
	complain("--%s is yes or no", part->option);
	return false;
}

static bool add_options(struct cli *cli, json_t *body)
{
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		const char *text = cli_value(cli, parts[i].option);

		if (!text)
			continue;
		if (!is_answer(&parts[i], text))
			return false;
		if (json_object_set_new(body, parts[i].member, part_value(&parts[i], text)) < 0) {
			complain("--%s is not valid UTF-8", parts[i].option);
			return false;
		}
	}
	return true;
}

json_t *read_object(const char *path)
{
	json_error_t problem;
	json_t *object = strcmp(path, "-") == 0
				 ? json_loadf(stdin, JSON_REJECT_DUPLICATES, &problem)
				 : json_load_file(path, JSON_REJECT_DUPLICATES, &problem);

	if (json_is_object(object))
		return object;
	if (object)
		complain("%s: must hold a JSON object", path);
	else
		complain("%s:%d:%d: %s", path, problem.line, problem.column, problem.text);
	json_decref(object);
	return NULL;
}

/* From --file, then options over it. NULL after a message. */
static json_t *read_body(struct cli *cli)
{
	const char *path = cli_value(cli, "file");
	json_t *body = path ? read_object(path) : json_object();

	if (body && add_options(cli, body))
		return body;
	json_decref(body);
	return NULL;
}

static const char *with_dry_run(struct cli *cli, const char *path)
{
	return path_query(cli, path, "dry_run", cli_value(cli, "dry-run") ? "true" : NULL);
}

/* ------------------------------------------------------------------ answers */

static void print_warnings(const struct cli *cli, const json_t *answer)
{
	json_t *warning;
	size_t i;

	json_array_foreach(json_object_get(answer, "warnings"), i, warning) {
		fprintf(stderr, "warning: %s (%s)\n", shown(cli, member(warning, "message")),
			shown(cli, member(warning, "code")));
		if (member(warning, "hint")[0])
			fprintf(stderr, "  hint: %s\n", shown(cli, member(warning, "hint")));
	}
}

/* A source of SAML that is defined well need not be in force: for lack of a key of ours, say. */
static void print_problem(const struct cli *cli, const json_t *answer)
{
	const json_t *saml = json_object_get(json_object_get(answer, "definition"), "saml");

	if (member(saml, "problem")[0])
		fprintf(stderr, "warning: %s\n", shown(cli, member(saml, "problem")));
}

static const char *people_text(json_int_t people)
{
	return people == 1 ? "person" : "people";
}

/* Who it concerns, and what became of their grants. */
static void print_outcome(struct cli *cli, const json_t *answer, const char *what, const char *name)
{
	const json_t *report = json_object_get(answer, "report");
	bool many = json_array_size(json_object_get(answer, "roles")) > 1;
	json_int_t people = member_int(answer, "people");

	put(cli, BOLD, "%s", shown(cli, name));
	put(cli, PLAIN, " %s %s: %lld %s\n",
	    member_bool(answer, "dry_run") ? "would be"
	    : many			   ? "are"
					   : "is",
	    what, (long long)people, people_text(people));
	if (json_is_object(report))
		print_report(cli, report, false);
}

/* Of a segment: who is in it, or would be. */
static void print_count(struct cli *cli, const json_t *answer, const char *what, const char *name)
{
	const json_t *count = json_object_get(answer, "count");
	bool all = !json_is_integer(json_object_get(count, "next"));

	put(cli, BOLD, "%s", shown(cli, name));
	put(cli, PLAIN, "%s%s", member_bool(answer, "dry_run") ? " would be " : " is ", what);
	if (json_is_object(count))
		put(cli, PLAIN, ": %lld %s%s in it", (long long)member_int(count, "people"),
		    people_text(member_int(count, "people")), all ? "" : " at least");
	put(cli, PLAIN, "\n");
}

int change_definition(struct cli *cli, const char *method, const char *path, json_t *body,
		      const char *what)
{
	AUTO(json) json_t *answer = ask(cli, method, with_dry_run(cli, path), body, true);
	const char *name;

	if (!answer || cli->json)
		return answer ? CLI_OK : CLI_FAILED;
	name = member(json_object_get(answer, "definition"), "name");
	if (json_object_get(answer, "count"))
		print_count(cli, answer, what, name[0] ? name : cli->arguments[0]);
	else
		print_outcome(cli, answer, what, name[0] ? name : cli->arguments[0]);
	print_warnings(cli, answer);
	print_problem(cli, answer);
	return CLI_OK;
}

/* --------------------------------------------------------- the three kinds */

struct kind {
	const char *plural, *number;
	const char *const *headers; /* behind name and number */
	const char *const *members; /* a list is joined */
};

static const char *const profile_headers[] = { "NAME", "HOLDERS", "<PERMISSIONS", "<DESCRIPTION",
					       NULL };
static const char *const profile_members[] = { "permissions", "description", NULL };
static const char *const role_headers[] = { "NAME",	 "HOLDERS",	 "<CLASSIFICATIONS",
					    "<SEGMENTS", "<PERMISSIONS", NULL };
static const char *const role_members[] = { "classifications", "segments", "permissions", NULL };
static const char *const persona_headers[] = { "NAME",	     "HOLDERS",	  "PRIMARY",
					       "INTERVIEWS", "VALIDATED", "REVIEW DUE",
					       "OVERDUE",    "<TITLE",	  NULL };
static const char *const persona_members[] = { "primary",    "research.interviews", "validated",
					       "review_due", "review_overdue",	    "title",
					       NULL };

static const char *const segment_headers[] = { "NAME", "ROLES", "<FILTER", "<DESCRIPTION", NULL };
static const char *const segment_members[] = { "filter", "description", NULL };

static const struct kind profiles = { "profiles", "holders", profile_headers, profile_members };
static const struct kind roles = { "roles", "holders", role_headers, role_members };
static const struct kind personas = { "personas", "holders", persona_headers, persona_members };
static const struct kind segments = { "segments", "roles", segment_headers, segment_members };

static void value_text(const json_t *value, struct strbuf *out)
{
	const json_t *item;
	const char *name;
	json_t *inner;
	size_t i;

	if (json_is_array(value))
		json_array_foreach(value, i, item)
			strbuf_printf(out, "%s%s", i ? ", " : "",
				      json_is_string(item) ? json_string_value(item)
							   : member(item, "code"));
	else if (json_is_object(value))
		json_object_foreach((json_t *)(uintptr_t)value, name, inner)
			strbuf_printf(out, "%s%s %lld", out->size ? ", " : "", name,
				      (long long)json_integer_value(inner));
	else if (json_is_boolean(value))
		strbuf_puts(out, json_is_true(value) ? "yes" : "no");
	else if (json_is_integer(value))
		strbuf_printf(out, "%lld", (long long)json_integer_value(value));
	else if (json_is_string(value))
		strbuf_puts(out, json_string_value(value));
}

/* "title", "research.interviews" */
static const json_t *find_value(const json_t *item, const char *path)
{
	size_t size = strcspn(path, ".");
	const json_t *value = json_object_getn(item, path, size);

	return path[size] ? json_object_get(value, path + size + 1) : value;
}

static void print_rows(struct cli *cli, const struct kind *kind, const json_t *list)
{
	struct table *table = table_create(cli, kind->headers);
	json_t *item;
	size_t i;

	json_array_foreach(list, i, item) {
		table_row(table);
		table_cell(table, BOLD, member(item, "name"));
		table_number(table, member_int(item, kind->number));
		for (size_t k = 0; kind->members[k]; k++) {
			AUTO(strbuf) struct strbuf text = STRBUF(1024 * 1024);

			value_text(find_value(item, kind->members[k]), &text);
			table_cell(table, PLAIN, strbuf_text(&text));
		}
	}
	table_print(table);
}

static int run_list(struct cli *cli, const struct kind *kind)
{
	const char *path = api_path(cli, "/%s", kind->plural);
	AUTO(json) json_t *answer = NULL;

	path = path_query(cli, path, "overdue", cli_value(cli, "overdue") ? "true" : NULL);
	path = path_query(cli, path, "limit", cli_value(cli, "limit"));
	path = path_query(cli, path, "after", cli_value(cli, "after"));
	answer = ask(cli, "GET", path, NULL, true);
	if (!answer || cli->json)
		return answer ? CLI_OK : CLI_FAILED;
	print_rows(cli, kind, json_object_get(answer, kind->plural));
	if (member(answer, "next")[0])
		fprintf(stderr, "There may be more: --limit N, or --after %s.\n",
			shown(cli, member(answer, "next")));
	return CLI_OK;
}

static int run_show(struct cli *cli, const struct kind *kind)
{
	AUTO(json)
	json_t *answer = ask(cli, "GET", api_path(cli, "/%s/%s", kind->plural, cli->arguments[0]),
			     NULL, true);
	const char *name;
	json_t *value;

	if (!answer || cli->json)
		return answer ? CLI_OK : CLI_FAILED;
	put(cli, BOLD, "%s\n", shown(cli, member(answer, "name")));
	json_object_foreach(answer, name, value) {
		AUTO(strbuf) struct strbuf text = STRBUF(1024 * 1024);

		value_text(value, &text);
		if (strcmp(name, "name") != 0 && text.size > 0)
			put(cli, PLAIN, "  %-26s %s\n", shown(cli, name),
			    shown(cli, strbuf_text(&text)));
	}
	return CLI_OK;
}

static int run_create(struct cli *cli, const struct kind *kind)
{
	json_t *body = read_body(cli);

	if (!body)
		return CLI_USAGE;
	if (json_object_set_new(body, "name", json_string(cli->arguments[0])) < 0) {
		complain("the name is not valid UTF-8");
		json_decref(body);
		return CLI_USAGE;
	}
	return change_definition(cli, "POST", api_path(cli, "/%s", kind->plural), body, "defined");
}

static int run_update(struct cli *cli, const struct kind *kind)
{
	json_t *body = cli_read_version(cli) ? read_body(cli) : NULL;

	if (!body)
		return CLI_USAGE;
	if (json_object_size(body) == 0) {
		complain("say what to change: an option, or --file FILE");
		json_decref(body);
		return CLI_USAGE;
	}
	return change_definition(cli, "PATCH",
				 api_path(cli, "/%s/%s", kind->plural, cli->arguments[0]), body,
				 "changed");
}

static int run_delete(struct cli *cli, const struct kind *kind)
{
	if (!cli_read_version(cli))
		return CLI_USAGE;
	return change_definition(cli, "DELETE",
				 api_path(cli, "/%s/%s", kind->plural, cli->arguments[0]), NULL,
				 "deleted");
}

#define COMMANDS(kind) \
	int run_##kind##_list(struct cli *cli) \
	{ \
		return run_list(cli, &kind); \
	} \
	int run_##kind##_show(struct cli *cli) \
	{ \
		return run_show(cli, &kind); \
	} \
	int run_##kind##_create(struct cli *cli) \
	{ \
		return run_create(cli, &kind); \
	} \
	int run_##kind##_update(struct cli *cli) \
	{ \
		return run_update(cli, &kind); \
	} \
	int run_##kind##_delete(struct cli *cli) \
	{ \
		return run_delete(cli, &kind); \
	}

COMMANDS(profiles)
COMMANDS(roles)
COMMANDS(personas)
COMMANDS(segments)

/* ------------------------------------------------------------------- roles */

int run_roles_copy(struct cli *cli)
{
	json_t *body = read_body(cli);

	if (!body)
		return CLI_USAGE;
	if (json_object_set_new(body, "name", json_string(cli->arguments[1])) < 0) {
		complain("the name is not valid UTF-8");
		json_decref(body);
		return CLI_USAGE;
	}
	return change_definition(cli, "POST", api_path(cli, "/roles/%s/copy", cli->arguments[0]),
				 body, "defined");
}

/* A list alone will do. */
static json_t *read_bulk(const char *path)
{
	json_error_t problem;
	json_t *value = strcmp(path, "-") == 0
				? json_loadf(stdin, JSON_REJECT_DUPLICATES, &problem)
				: json_load_file(path, JSON_REJECT_DUPLICATES, &problem);

	if (!value) {
		complain("%s:%d:%d: %s", path, problem.line, problem.column, problem.text);
		return NULL;
	}
	return json_is_array(value) ? json_pack("{s:o}", "roles", value) : value;
}

int run_roles_bulk_update(struct cli *cli)
{
	json_t *body = read_bulk(cli->arguments[0]);
	AUTO(json) json_t *answer = NULL;
	AUTO(strbuf) struct strbuf names = STRBUF(1024 * 1024);

	if (!body)
		return CLI_USAGE;
	answer = ask(cli, "POST", with_dry_run(cli, "/api/v1/roles/bulk-update"), body, true);
	if (!answer || cli->json)
		return answer ? CLI_OK : CLI_FAILED;
	value_text(json_object_get(answer, "roles"), &names);
	print_outcome(cli, answer, "changed", strbuf_text(&names));
	print_warnings(cli, answer);
	return CLI_OK;
}

/* ------------------------------------------------------------------- rules */

static int rule_outcome(struct cli *cli, json_t *answer, const char *what)
{
	AUTO(json) json_t *owned = answer;

	if (!answer || cli->json)
		return owned ? CLI_OK : CLI_FAILED;
	print_outcome(cli, answer, what, member(answer, "id"));
	print_warnings(cli, answer);
	return CLI_OK;
}

/* A new one, or another draft of one that is there. */
int run_rules_draft(struct cli *cli)
{
	json_t *body = cli_read_version(cli) ? read_object(cli->arguments[0]) : NULL;
	const char *id = member(body, "id");
	const char *path = api_path(cli, "/rules/%s", id);

	if (body && !add_options(cli, body)) {
		json_decref(body);
		body = NULL;
	}
	if (!body)
		return CLI_USAGE;
	if (!cli_value(cli, "change"))
		return rule_outcome(
			cli, ask(cli, "POST", with_dry_run(cli, "/api/v1/rules"), body, true),
			"drafted");
	return rule_outcome(cli, ask(cli, "PUT", with_dry_run(cli, path), body, true), "drafted");
}

int run_rules_preview(struct cli *cli)
{
	const char *path = api_path(cli, "/rules/%s/activate", cli->arguments[0]);
	AUTO(json)
	json_t *answer = ask(cli, "POST", path_query(cli, path, "dry_run", "true"), NULL, true);

	if (!answer || cli->json)
		return answer ? CLI_OK : CLI_FAILED;
	print_outcome(cli, answer, "in force", member(answer, "id"));
	print_warnings(cli, answer);
	put(cli, PLAIN, "Put it in force with:\n  rolebridgectl rules activate %s %s\n",
	    shown(cli, member(answer, "id")), shown(cli, member(answer, "plan")));
	return CLI_OK;
}

int run_rules_activate(struct cli *cli)
{
	const char *path = api_path(cli, "/rules/%s/activate", cli->arguments[0]);
	json_t *body = json_pack("{s:s}", "plan", cli->arguments[1]);

	if (!body) {
		complain("the plan is not valid UTF-8");
		return CLI_USAGE;
	}
	return rule_outcome(cli, ask(cli, "POST", path, body, true), "in force");
}

int run_rules_delete(struct cli *cli)
{
	const char *path = api_path(cli, "/rules/%s", cli->arguments[0]);

	if (!cli_read_version(cli))
		return CLI_USAGE;
	path = path_query(cli, path, "draft", cli_value(cli, "draft") ? "true" : NULL);
	return rule_outcome(cli, ask(cli, "DELETE", with_dry_run(cli, path), NULL, true),
			    "deleted");
}

int run_rules_order(struct cli *cli)
{
	json_t *body = json_pack("{s:o}", "rules", split_texts(cli->arguments[0], ','));

	if (!body) {
		complain("an argument is not valid UTF-8");
		return CLI_USAGE;
	}
	return rule_outcome(cli,
			    ask(cli, "POST", with_dry_run(cli, "/api/v1/rules/order"), body, true),
			    "at its place");
}
