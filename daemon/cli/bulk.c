/* The same change of many users: who they are, and what became of each. */
#include "cli.h"

#include <string.h>

#include <rolebridge/base/file.h>
#include <rolebridge/base/util.h>

#define FILE_MAX ((size_t)8 * 1024 * 1024)

static bool takes_grant(const char *action)
{
	return strcmp(action, "grant") == 0 || strcmp(action, "revoke") == 0;
}

/* Between any of the separators, without blanks around; what is empty is left out. */
static json_t *split(struct cli *cli, const char *text, const char *separators)
{
	json_t *list = json_array();

	while (*text) {
		size_t size = strcspn(text, separators);
		size_t blank = strspn(text, " \t\r"), end = size;

		while (end > blank && strchr(" \t\r", text[end - 1]))
			end--;
		if (end > blank &&
		    json_array_append_new(list, json_string(arena_strndup(cli->arena, text + blank,
									  end - blank))) < 0) {
			complain("a name is not valid UTF-8");
			json_decref(list);
			return NULL;
		}
		text += size + (text[size] != '\0');
	}
	return list;
}

static json_t *read_users(struct cli *cli, const char *path)
{
	AUTO(strbuf) struct strbuf file = STRBUF(FILE_MAX);
	struct err err = { 0 };

	if (file_read(path, FILE_MAX, &file, &err) < 0) {
		complain("%s", shown(cli, err.text));
		return NULL;
	}
	return split(cli, strbuf_text(&file), "\n");
}

/* Exactly one of the four says whom. */
static bool set_whom(struct cli *cli, json_t *body)
{
	static const char *const names[] = { "users", "file", "segment", "filter" };
	const char *users = cli_value(cli, "users"), *file = cli_value(cli, "file");
	size_t said = 0;
	json_t *list;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		said += cli_value(cli, names[i]) != NULL;
	if (said != 1) {
		complain("say whom: one of --users, --file, --segment and --filter");
		return false;
	}
	if (!users && !file)
		return body_text(body, "segment", cli_value(cli, "segment")) &&
		       body_text(body, "filter", cli_value(cli, "filter"));
	list = users ? split(cli, users, ",") : read_users(cli, file);
	return list && json_object_set_new(body, "users", list) == 0;
}

static json_t *make_body(struct cli *cli)
{
	const char *action = cli->arguments[0];
	bool complete = cli->arguments[1] && cli->arguments[2];
	json_t *body;

	if (takes_grant(action) ? !complete : cli->arguments[1] != NULL) {
		complain(takes_grant(action) ? "%s needs KIND and NAME"
					     : "%s takes no KIND and NAME",
			 shown(cli, action));
		return NULL;
	}
	body = json_object();
	if (!body_text(body, "action", action) || !body_text(body, "kind", cli->arguments[1]) ||
	    !body_text(body, "name", cli->arguments[2]) ||
	    !body_text(body, "expires", cli_value(cli, "expires")) ||
	    !body_text(body, "reason", cli_value(cli, "reason")) || !set_whom(cli, body)) {
		json_decref(body);
		return NULL;
	}
	if (cli_value(cli, "dry-run"))
		json_object_set_new(body, "dry_run", json_true());
	return body;
}

static void print_result(struct cli *cli, const json_t *result)
{
	static const char *const headers[] = { "<USER", "RESULT", "<WHY", NULL };
	struct table *table = table_create(cli, headers);
	json_t *user;
	size_t i;

	json_array_foreach(json_object_get(result, "users"), i, user) {
		const char *status = member(user, "status");
		bool failed = strcmp(status, "failed") == 0;

		table_row(table);
		table_cell(table, BOLD, member(user, "user"));
		table_cell(table,
			   failed			 ? RED
			   : strcmp(status, "done") == 0 ? GREEN
							 : PLAIN,
			   failed ? member(user, "code") : status);
		table_cell(table, PLAIN, member(user, "message"));
	}
	table_print(table);
	put(cli, BOLD, "%s%lld done, %lld unchanged, %lld failed.\n",
	    member_bool(result, "dry_run") ? "Nothing was changed. It would be: " : "",
	    (long long)member_int(result, "done"), (long long)member_int(result, "unchanged"),
	    (long long)member_int(result, "failed"));
}

int run_users_bulk(struct cli *cli)
{
	json_t *body = make_body(cli);
	const json_t *result;

	if (!body)
		return CLI_USAGE;

	AUTO(json) json_t *run = run_to_end(cli, "/api/v1/users/bulk", body);

	if (!run)
		return CLI_FAILED;
	result = json_object_get(run, "result");
	if (!cli->json)
		print_result(cli, result);
	return member_int(result, "failed") > 0 ? CLI_FAILED : CLI_OK;
}
