/* Commands about resources, references and who may do what to them. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/file.h>
#include <rolebridge/base/util.h>

#define IMPORT_MAX ((size_t)32 * 1024 * 1024)

/* ------------------------------------------------------------------ bodies -- */

static bool set_option(struct cli *cli, json_t *body, const char *option)
{
	return body_text(body, option, cli_value(cli, option));
}

/* "accounts/42": the first '/' parts them, for an id may hold others. */
static bool set_key(json_t *body, const char *name, const char *text)
{
	const char *slash = text ? strchr(text, '/') : NULL;
	json_t *key;

	if (!text)
		return true;
	if (!slash || slash == text || !slash[1]) {
		complain("'%s' is not like TYPE/ID", text);
		return false;
	}
	key = json_pack("{s:s#, s:s}", "type", text, (int)(slash - text), "id", slash + 1);
	if (key && json_object_set_new(body, name, key) == 0)
		return true;
	complain("an argument is not valid UTF-8");
	return false;
}

/* ------------------------------------------------------------------- tables -- */

static const char *key_text(struct cli *cli, const json_t *key)
{
	const char *text =
		json_is_object(key)
			? arena_printf(cli->arena, "%s/%s", member(key, "type"), member(key, "id"))
			: "";

	return text ? text : "";
}

static void say_end(const json_t *answer, bool none, struct cli *cli, const char *what)
{
	if (none)
		put(cli, PLAIN, "There are no such %s.\n", what);
	say_more(answer);
}

static int print_resources(struct cli *cli, const char *path)
{
	static const char *const headers[] = { "APPLICATION", "TYPE",	 "<ID", "<TITLE",
					       "<OWNER",      "<PARENT", NULL };
	AUTO(json) json_t *answer = ask(cli, "GET", path, NULL, true);
	struct table *table;
	json_t *resource;
	size_t i;

	if (!answer || cli->json)
		return answer ? CLI_OK : CLI_FAILED;
	table = table_create(cli, headers);
	json_array_foreach(json_object_get(answer, "resources"), i, resource) {
		table_row(table);
		table_cell(table, PLAIN, member(resource, "application"));
		table_cell(table, PLAIN, member(resource, "type"));
		table_cell(table, BOLD, member(resource, "id"));
		table_cell(table, PLAIN, member(resource, "title"));
		table_cell(table, PLAIN, member(json_object_get(resource, "owner"), "username"));
		table_cell(table, PLAIN, key_text(cli, json_object_get(resource, "parent")));
	}
	table_print(table);
	say_end(answer, i == 0, cli, "resources");
	return CLI_OK;
}

static const char *path_options(struct cli *cli, const char *path, const char *const *options,
				size_t count)
{
	for (size_t i = 0; i < count; i++)
		path = path_query(cli, path, options[i], cli_value(cli, options[i]));
	return path;
}

int run_resources_list(struct cli *cli)
{
	static const char *const options[] = { "application", "type", "owner", "limit", "after" };
	const char *path = path_options(cli, "/api/v1/resources", options, ARRAY_LEN(options));

	if (cli_value(cli, "unassigned"))
		path = path_query(cli, path, "unassigned", "true");
	return print_resources(cli, path);
}

int run_resources_children(struct cli *cli)
{
	static const char *const options[] = { "type", "limit", "after" };
	const char *path = api_path(cli, "/resources/%s/%s/%s/children", cli->arguments[0],
				    cli->arguments[1], cli->arguments[2]);

	return print_resources(cli, path_options(cli, path, options, ARRAY_LEN(options)));
}

static void line(struct cli *cli, const char *name, const char *value)
{
	if (value[0])
		put(cli, PLAIN, "  %-14s %s\n", name, shown(cli, value));
}

static void print_resource(struct cli *cli, const json_t *resource)
{
	const json_t *owner = json_object_get(resource, "owner");

	put(cli, BOLD, "%s/%s/%s", shown(cli, member(resource, "application")),
	    shown(cli, member(resource, "type")), shown(cli, member(resource, "id")));
	put(cli, PLAIN, "  %s\n", shown(cli, member(resource, "title")));
	line(cli, "owner", json_is_object(owner) ? member(owner, "username") : "nobody");
	line(cli, "parent", key_text(cli, json_object_get(resource, "parent")));
	line(cli, "organization", member(resource, "organization"));
	put(cli, PLAIN, "  %-14s %lld\n", "version", (long long)member_int(resource, "version"));
	line(cli, "created", member(resource, "created"));
	line(cli, "updated", member(resource, "updated"));
}

static const char *resource_path(struct cli *cli)
{
	return api_path(cli, "/resources/%s/%s/%s", cli->arguments[0], cli->arguments[1],
			cli->arguments[2]);
}

static int one_resource(struct cli *cli, const char *method, json_t *body)
{
	AUTO(json) json_t *resource = ask(cli, method, resource_path(cli), body, true);

	if (resource && !cli->json)
		print_resource(cli, resource);
	return resource ? CLI_OK : CLI_FAILED;
}

int run_resources_show(struct cli *cli)
{
	return one_resource(cli, "GET", NULL);
}

int run_resources_put(struct cli *cli)
{
	json_t *body = json_object();

	if (!cli_read_version(cli) || !set_option(cli, body, "owner") ||
	    !set_option(cli, body, "title") || !set_option(cli, body, "organization") ||
	    !set_key(body, "parent", cli_value(cli, "parent"))) {
		json_decref(body);
		return CLI_USAGE;
	}
	return one_resource(cli, "PUT", body);
}

int run_resources_delete(struct cli *cli)
{
	const char *path = resource_path(cli);
	AUTO(json) json_t *answer = NULL;

	if (!cli_read_version(cli))
		return CLI_USAGE;
	if (cli_value(cli, "recursive"))
		path = path_query(cli, path, "recursive", "true");
	answer = ask(cli, "DELETE", path, NULL, true);
	if (answer && !cli->json)
		put(cli, PLAIN, "%lld removed.\n", (long long)member_int(answer, "removed"));
	return answer ? CLI_OK : CLI_FAILED;
}

/* ------------------------------------------------------------------- import -- */

/* {"resources": [...]}, or the list alone. */
static json_t *read_import(const char *path)
{
	AUTO(strbuf) struct strbuf text = STRBUF(IMPORT_MAX);
	struct err err = { 0 };
	json_error_t problem;
	json_t *root;

	if (file_read(path, IMPORT_MAX, &text, &err) < 0) {
		complain("%s", err.text);
		return NULL;
	}
	root = json_loadb(strbuf_text(&text), text.size, JSON_REJECT_DUPLICATES, &problem);
	if (!root)
		complain("'%s' is not JSON: line %d, column %d: %s", path, problem.line,
			 problem.column, problem.text);
	return json_is_array(root) ? json_pack("{s:o}", "resources", root) : root;
}

static void print_refused(struct cli *cli, const json_t *answer)
{
	static const char *const headers[] = { "TYPE", "<ID", "CODE", "FIELD", "<MESSAGE", NULL };
	struct table *table = table_create(cli, headers);
	json_t *result;
	size_t i;

	json_array_foreach(json_object_get(answer, "results"), i, result) {
		if (!member(result, "code")[0])
			continue;
		table_row(table);
		table_cell(table, PLAIN, member(result, "type"));
		table_cell(table, BOLD, member(result, "id"));
		table_cell(table, RED, member(result, "code"));
		table_cell(table, PLAIN, member(result, "field"));
		table_cell(table, PLAIN, member(result, "message"));
	}
	if (member_int(answer, "refused") > 0)
		table_print(table);
}

int run_resources_import(struct cli *cli)
{
	json_t *body = read_import(cli->arguments[1]);
	AUTO(json) json_t *answer = NULL;

	if (!body)
		return CLI_FAILED;
	answer = ask(cli, "POST", api_path(cli, "/resources/%s", cli->arguments[0]), body, true);
	if (!answer)
		return CLI_FAILED;
	if (!cli->json) {
		print_refused(cli, answer);
		put(cli, PLAIN, "%lld created, %lld updated, %lld unchanged, %lld refused.\n",
		    (long long)member_int(answer, "created"),
		    (long long)member_int(answer, "updated"),
		    (long long)member_int(answer, "unchanged"),
		    (long long)member_int(answer, "refused"));
	}
	return member_int(answer, "refused") > 0 ? CLI_FAILED : CLI_OK;
}

/* --------------------------------------------------------------- references -- */

int run_references_list(struct cli *cli)
{
	static const char *const headers[] = { "APPLICATION", "KIND",  "<ID", "<LABEL",
					       "<USER",	      "STATE", NULL };
	static const char *const options[] = { "application", "kind", "user", "limit", "after" };
	const char *path = path_options(cli, "/api/v1/references", options, ARRAY_LEN(options));
	AUTO(json) json_t *answer = NULL;
	struct table *table;
	json_t *reference;
	size_t i;

	if (cli_value(cli, "orphaned"))
		path = path_query(cli, path, "orphaned", "true");
	answer = ask(cli, "GET", path, NULL, true);
	if (!answer || cli->json)
		return answer ? CLI_OK : CLI_FAILED;
	table = table_create(cli, headers);
	json_array_foreach(json_object_get(answer, "references"), i, reference) {
		bool orphaned = member_bool(reference, "orphaned");

		table_row(table);
		table_cell(table, PLAIN, member(reference, "application"));
		table_cell(table, PLAIN, member(reference, "kind"));
		table_cell(table, BOLD,
			   member(reference, "type")[0] ? key_text(cli, reference)
							: member(reference, "id"));
		table_cell(table, PLAIN, member(reference, "label"));
		table_cell(table, PLAIN, member(json_object_get(reference, "user"), "username"));
		table_cell(table, orphaned ? RED : GREEN, orphaned ? "disabled" : "active");
	}
	table_print(table);
	say_end(answer, i == 0, cli, "references");
	return CLI_OK;
}

static int one_reference(struct cli *cli, const char *method, json_t *body)
{
	const char *path = api_path(cli, "/references/%s/%s/%s", cli->arguments[0],
				    cli->arguments[1], cli->arguments[2]);
	AUTO(json) json_t *answer = ask(cli, method, path, body, true);

	if (!answer || cli->json)
		return answer ? CLI_OK : CLI_FAILED;
	if (strcmp(method, "DELETE") == 0) {
		put(cli, PLAIN, "It is gone.\n");
		return CLI_OK;
	}
	put(cli, BOLD, "%s/%s/%s", shown(cli, member(answer, "application")),
	    shown(cli, member(answer, "kind")), shown(cli, member(answer, "id")));
	put(cli, PLAIN, "  %s\n", shown(cli, member(answer, "label")));
	line(cli, "user", member(json_object_get(answer, "user"), "username"));
	line(cli, "state", member_bool(answer, "orphaned") ? "the user is disabled" : "active");
	line(cli, "updated", member(answer, "updated"));
	return CLI_OK;
}

int run_references_show(struct cli *cli)
{
	return one_reference(cli, "GET", NULL);
}

int run_references_put(struct cli *cli)
{
	json_t *body = json_object();

	if (!cli_read_version(cli) || !body_text(body, "user", cli->arguments[3]) ||
	    !set_option(cli, body, "label")) {
		json_decref(body);
		return CLI_USAGE;
	}
	return one_reference(cli, "PUT", body);
}

int run_references_delete(struct cli *cli)
{
	return cli_read_version(cli) ? one_reference(cli, "DELETE", NULL) : CLI_USAGE;
}

int run_users_reassign(struct cli *cli)
{
	json_t *body = json_object();
	AUTO(json) json_t *answer = NULL;

	if (!body_text(body, "to", cli->arguments[1]) || !set_option(cli, body, "application")) {
		json_decref(body);
		return CLI_USAGE;
	}
	answer = ask(cli, "POST", api_path(cli, "/users/%s/reassign", cli->arguments[0]), body,
		     true);
	if (answer && !cli->json)
		put(cli, PLAIN, "%lld moved to %s.\n", (long long)member_int(answer, "moved"),
		    shown(cli, cli->arguments[1]));
	return answer ? CLI_OK : CLI_FAILED;
}

/* ---------------------------------------------------------------- decisions -- */

/* "crm/accounts/42" */
static bool set_resource(json_t *body, const char *text)
{
	const char *first = text ? strchr(text, '/') : NULL;
	const char *second = first ? strchr(first + 1, '/') : NULL;
	json_t *key;

	if (!text)
		return true;
	if (!second || first == text || second == first + 1 || !second[1]) {
		complain("'%s' is not like APPLICATION/TYPE/ID", text);
		return false;
	}
	key = json_pack("{s:s#, s:s#, s:s}", "application", text, (int)(first - text), "type",
			first + 1, (int)(second - first - 1), "id", second + 1);
	if (key && json_object_set_new(body, "resource", key) == 0)
		return true;
	complain("an argument is not valid UTF-8");
	return false;
}

int run_decide(struct cli *cli)
{
	json_t *body = json_object();
	AUTO(json) json_t *answer = NULL;
	bool allowed;

	if (!body_text(body, "user", cli->arguments[0]) ||
	    !body_text(body, "permission", cli->arguments[1]) ||
	    !set_resource(body, cli->arguments[2])) {
		json_decref(body);
		return CLI_USAGE;
	}
	answer = ask(cli, "POST", "/api/v1/decide", body, true);
	if (!answer)
		return CLI_FAILED;
	allowed = strcmp(member(answer, "decision"), "allow") == 0;
	if (!cli->json) {
		put(cli, allowed ? GREEN : RED, "%s", shown(cli, member(answer, "decision")));
		put(cli, PLAIN, "  %s%s%s\n", shown(cli, member(answer, "reason")),
		    member(answer, "by")[0] ? " by " : "", shown(cli, member(answer, "by")));
	}
	return allowed ? CLI_OK : CLI_FAILED;
}

static bool set_number(struct cli *cli, json_t *body, const char *option)
{
	const char *text = cli_value(cli, option);
	char *end;
	long long number = text ? strtoll(text, &end, 10) : 0;

	if (!text)
		return true;
	if (*end == '\0' && text[0] >= '0' && text[0] <= '9')
		return json_object_set_new(body, option, json_integer(number)) == 0;
	complain("--%s takes a number", option);
	return false;
}

int run_resources_visible(struct cli *cli)
{
	static const char *const headers[] = { "TYPE", "<ID", NULL };
	static const char *const names[] = { "user", "permission", "application", "type" };
	json_t *body = json_object(), *resource;
	AUTO(json) json_t *answer = NULL;
	struct table *table;
	bool fine = set_key(body, "parent", cli_value(cli, "parent")) &&
		    set_number(cli, body, "limit") && set_number(cli, body, "after");
	size_t i;

	for (i = 0; i < ARRAY_LEN(names); i++)
		fine = fine && body_text(body, names[i], cli->arguments[i]);
	if (!fine) {
		json_decref(body);
		return CLI_USAGE;
	}
	answer = ask(cli, "POST", "/api/v1/decide/list", body, true);
	if (!answer || cli->json)
		return answer ? CLI_OK : CLI_FAILED;
	table = table_create(cli, headers);
	json_array_foreach(json_object_get(answer, "resources"), i, resource) {
		table_row(table);
		table_cell(table, PLAIN, member(resource, "type"));
		table_cell(table, BOLD, member(resource, "id"));
	}
	table_print(table);
	say_end(answer, i == 0, cli, "resources");
	return CLI_OK;
}
