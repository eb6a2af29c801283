/* Commands about who belongs to which account of an application. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>

/* ------------------------------------------------------------------ tying -- */

static int tie(struct cli *cli, const char *method)
{
	const char *path = api_path(cli, "/users/%s/accounts/%s/%s", cli->arguments[0],
				    cli->arguments[1], cli->arguments[2]);
	AUTO(json) json_t *answer = ask(cli, method, path, NULL, true);

	if (!answer || cli->json)
		return answer ? CLI_OK : CLI_FAILED;
	put(cli, PLAIN, "%s %s to account %s/%s%s.\n", shown(cli, cli->arguments[0]),
	    member_bool(answer, "tied") ? "belongs" : "does not belong",
	    shown(cli, member(answer, "application")), shown(cli, member(answer, "id")),
	    member_bool(answer, "changed") ? " now" : ", as before");
	return CLI_OK;
}

int run_users_tie(struct cli *cli)
{
	return tie(cli, "PUT");
}

int run_users_untie(struct cli *cli)
{
	return tie(cli, "DELETE");
}

void print_accounts(struct cli *cli, const json_t *accounts)
{
	static const char *const headers[] = { "<ACCOUNT", "<TITLE", "SINCE", NULL };
	struct table *table = table_create(cli, headers);
	json_t *account;
	size_t i;

	json_array_foreach(accounts, i, account) {
		table_row(table);
		table_cell(table, BOLD,
			   arena_printf(cli->arena, "%s/%s", member(account, "application"),
					member(account, "id")));
		table_cell(table, PLAIN, member(account, "title"));
		table_cell(table, PLAIN, member(account, "since"));
	}
	if (i > 0)
		put(cli, PLAIN, "\n");
	table_print(table);
}

/* ----------------------------------------------------------------- people -- */

static const char *join(struct cli *cli, const json_t *names)
{
	const char *text = "";
	json_t *name;
	size_t i;

	json_array_foreach(names, i, name)
		text = arena_printf(cli->arena, "%s%s%s", text ? text : "", i ? ", " : "",
				    json_string_value(name));
	return text ? text : "";
}

int run_accounts_users(struct cli *cli)
{
	static const char *const headers[] = { "USERNAME",  "<NAME", "PROFILE", "<ROLES",
					       "<PERSONAS", "STATE", NULL };
	const char *path = api_path(cli, "/resources/%s/accounts/%s/users", cli->arguments[0],
				    cli->arguments[1]);
	struct table *table;
	json_t *user;
	size_t i;

	path = path_query(cli, path, "limit", cli_value(cli, "limit"));
	path = path_query(cli, path, "after", cli_value(cli, "after"));

	AUTO(json) json_t *answer = ask(cli, "GET", path, NULL, true);

	if (!answer || cli->json)
		return answer ? CLI_OK : CLI_FAILED;
	table = table_create(cli, headers);
	json_array_foreach(json_object_get(answer, "users"), i, user) {
		bool active = member_bool(user, "active");

		table_row(table);
		table_cell(table, BOLD, member(user, "username"));
		table_cell(table, PLAIN, member(user, "display_name"));
		table_cell(table, PLAIN, member(user, "profile"));
		table_cell(table, PLAIN, join(cli, json_object_get(user, "roles")));
		table_cell(table, PLAIN, join(cli, json_object_get(user, "personas")));
		table_cell(table, active ? GREEN : RED, active ? "active" : "disabled");
	}
	table_print(table);
	if (i == 0)
		put(cli, PLAIN, "Nobody belongs to this account.\n");
	say_more(answer);
	return CLI_OK;
}

/* --------------------------------------------------------------- personas -- */

/* What a page counted, onto what the pages before did. */
static void add_counts(json_t *totals, const json_t *page)
{
	json_t *row;
	size_t i;

	json_array_foreach(json_object_get(page, "personas"), i, row)
		json_object_set_new(totals, member(row, "name"),
				    json_integer(member_int(totals, member(row, "name")) +
						 member_int(row, "users")));
}

/* {"account", "users", "personas": {name: users}}; NULL after a message. */
static json_t *count_account(struct cli *cli, const char *id)
{
	json_t *totals = json_object();
	json_int_t users = 0;
	const char *after = NULL;
	bool more = true;

	while (more) {
		const char *path =
			api_path(cli, "/resources/%s/accounts/%s/personas", cli->arguments[0], id);
		AUTO(json)
		json_t *page = ask(cli, "GET", path_query(cli, path, "after", after), NULL, false);

		if (!page) {
			json_decref(totals);
			return NULL;
		}
		add_counts(totals, page);
		users += member_int(page, "users");
		more = json_is_integer(json_object_get(page, "next"));
		after = arena_printf(cli->arena, "%lld", (long long)member_int(page, "next"));
	}
	return json_pack("{s:s, s:I, s:o}", "account", id, "users", users, "personas", totals);
}

static void print_counts(struct cli *cli, const json_t *accounts)
{
	static const char *const headers[] = { "<ACCOUNT", "<PERSONA", "USERS", NULL };
	struct table *table = table_create(cli, headers);
	json_t *account, *users;
	const char *name;
	size_t i;

	json_array_foreach(accounts, i, account) {
		bool any = false;

		json_object_foreach(json_object_get(account, "personas"), name, users) {
			table_row(table);
			table_cell(table, BOLD, member(account, "account"));
			table_cell(table, PLAIN, name);
			table_number(table, json_integer_value(users));
			any = true;
		}
		if (!any) {
			table_row(table);
			table_cell(table, BOLD, member(account, "account"));
			table_cell(table, DIM, "none");
			table_number(table, 0);
		}
	}
	table_print(table);
}

/* One page of the application's accounts, each counted. */
static json_t *count_page(struct cli *cli)
{
	const char *path = path_query(cli, "/api/v1/resources", "application", cli->arguments[0]);
	json_t *accounts = json_array(), *resource;
	size_t i;

	path = path_query(cli, path, "type", "accounts");
	path = path_query(cli, path, "limit", cli_value(cli, "limit"));
	path = path_query(cli, path, "after", cli_value(cli, "after"));

	AUTO(json) json_t *page = ask(cli, "GET", path, NULL, false);

	json_array_foreach(json_object_get(page, "resources"), i, resource) {
		json_t *counted = count_account(cli, member(resource, "id"));

		if (!counted) {
			json_decref(accounts);
			return NULL;
		}
		json_array_append_new(accounts, counted);
	}
	if (!page) {
		json_decref(accounts);
		return NULL;
	}
	return json_pack("{s:o, s:O}", "accounts", accounts, "next", json_object_get(page, "next"));
}

int run_accounts_personas(struct cli *cli)
{
	json_t *one = NULL;

	if (cli->arguments[1]) {
		one = count_account(cli, cli->arguments[1]);
		if (!one)
			return CLI_FAILED;
	}

	AUTO(json)
	json_t *answer = one ? json_pack("{s:[o], s:n}", "accounts", one, "next") : count_page(cli);

	if (!answer)
		return CLI_FAILED;
	if (cli->json) {
		json_print(cli, answer);
		return CLI_OK;
	}
	print_counts(cli, json_object_get(answer, "accounts"));
	say_more(answer);
	return CLI_OK;
}
