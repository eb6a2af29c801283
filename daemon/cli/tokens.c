/* Commands about tokens of the API. The text of a new one is all that goes to standard output. */
#include "cli.h"

#include <string.h>

#include <rolebridge/base/util.h>

static void set_text(json_t *body, const char *name, const char *text)
{
	if (text)
		json_object_set_new(body, name, json_string(text));
}

/* "a,b" as a list. */
static json_t *split(const char *text)
{
	json_t *list = json_array();

	while (*text) {
		size_t size = strcspn(text, ",");

		if (size > 0)
			json_array_append_new(list, json_stringn(text, size));
		text += size + (text[size] == ',');
	}
	return list;
}

int run_tokens_create(struct cli *cli)
{
	static const char *const names[] = { "user", "service", "organization", "application",
					     "expires" };
	const char *scope = cli_value(cli, "scope");
	json_t *body = json_object(), *answer;

	set_text(body, "name", cli->arguments[0]);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		set_text(body, names[i], cli_value(cli, names[i]));
	if (scope)
		json_object_set_new(body, "scope", split(scope));
	answer = ask(cli, "POST", "/api/v1/tokens", body, true);
	if (answer && !cli->json) {
		put(cli, PLAIN, "%s\n", shown(cli, member(answer, "token")));
		fprintf(stderr,
			"It is shown this once, and good until %s. Send it as "
			"'Authorization: Bearer TOKEN'.\n",
			shown(cli, member(answer, "expires")));
	}
	json_decref(answer);
	return answer ? CLI_OK : CLI_FAILED;
}

static const char *owner_of(struct cli *cli, const json_t *token)
{
	const char *service = member(token, "service");
	const char *text = service[0] ? arena_printf(cli->arena, "service %s", service)
				      : member(json_object_get(token, "user"), "username");

	return text ? text : "";
}

static const char *scope_of(struct cli *cli, const json_t *token)
{
	AUTO(strbuf) struct strbuf out = STRBUF(64 * 1024);
	const json_t *scope = json_object_get(token, "scope"), *item;
	const char *text;
	size_t i;

	if (!json_is_array(scope))
		return "all of theirs";
	json_array_foreach(scope, i, item)
		strbuf_printf(&out, "%s%s", i ? " " : "", json_string_value(item));
	text = strbuf_failed(&out) ? NULL : arena_strdup(cli->arena, strbuf_text(&out));
	return text ? text : "";
}

static void put_state(struct table *table, const json_t *token)
{
	if (member(token, "revoked")[0])
		table_cell(table, RED, "revoked");
	else
		table_cell(table, PLAIN, member(token, "expires"));
}

int run_tokens_list(struct cli *cli)
{
	static const char *const headers[] = { "ID",	"<NAME", "<OWNER", "<SCOPE",
					       "UNTIL", "<USED", NULL };
	static const char *const options[] = { "user", "service", "limit", "after" };
	const char *path = "/api/v1/tokens";
	struct table *table;
	json_t *answer, *token;
	size_t i;

	for (size_t j = 0; j < ARRAY_LEN(options); j++)
		path = path_query(cli, path, options[j], cli_value(cli, options[j]));
	path = path_query(cli, path, "all", cli_value(cli, "all") ? "true" : NULL);
	answer = ask(cli, "GET", path, NULL, true);
	if (!answer || cli->json) {
		json_decref(answer);
		return answer ? CLI_OK : CLI_FAILED;
	}
	table = table_create(cli, headers);
	json_array_foreach(json_object_get(answer, "tokens"), i, token) {
		table_row(table);
		table_cell(table, PLAIN, member(token, "id"));
		table_cell(table, BOLD, member(token, "name"));
		table_cell(table, PLAIN, owner_of(cli, token));
		table_cell(table, PLAIN, scope_of(cli, token));
		put_state(table, token);
		table_cell(table, PLAIN,
			   member(token, "used")[0] ? member(token, "used") : "never");
	}
	table_print(table);
	if (i == 0)
		put(cli, PLAIN, "There are no such tokens.\n");
	say_more(answer);
	json_decref(answer);
	return CLI_OK;
}

int run_tokens_revoke(struct cli *cli)
{
	int status = ask_done(cli, "DELETE", api_path(cli, "/tokens/%s", cli->arguments[0]), NULL);

	if (status == CLI_OK && !cli->json)
		put(cli, PLAIN, "The token is refused from now on.\n");
	return status;
}
