/* Commands about invites. */
#include "cli.h"

#include <string.h>

#include <rolebridge/base/util.h>

static void put_invite(struct cli *cli, const json_t *invite)
{
	put(cli, PLAIN, "%s is invited to be %s, as %s; the link is good until %s.\n",
	    shown(cli, member(invite, "email")), shown(cli, member(invite, "profile")),
	    shown(cli, member(invite, "username")), shown(cli, member(invite, "expires")));
}

static int run_change(struct cli *cli, const char *method, const char *path, json_t *body,
		      void (*say)(struct cli *cli, const json_t *invite))
{
	AUTO(json) json_t *answer = ask(cli, method, path, body, true);

	if (answer && !cli->json)
		say(cli, answer);
	return answer ? CLI_OK : CLI_FAILED;
}

/* "a,b" as a list. */
static void set_list(json_t *body, const char *name, const char *text)
{
	json_t *list = text ? json_array() : NULL;

	while (list && *text) {
		size_t size = strcspn(text, ",");

		if (size > 0)
			json_array_append_new(list, json_stringn(text, size));
		text += size + (text[size] == ',');
	}
	if (list)
		json_object_set_new(body, name, list);
}

static void set_text(json_t *body, const char *name, const char *text)
{
	if (text)
		json_object_set_new(body, name, json_string(text));
}

int run_invites_create(struct cli *cli)
{
	json_t *body = json_object();

	set_text(body, "email", cli->arguments[0]);
	set_text(body, "profile", cli_value(cli, "profile"));
	set_text(body, "display_name", cli_value(cli, "name"));
	set_text(body, "username", cli_value(cli, "username"));
	set_text(body, "organization", cli_value(cli, "organization"));
	set_list(body, "roles", cli_value(cli, "roles"));
	set_list(body, "personas", cli_value(cli, "personas"));
	set_list(body, "groups", cli_value(cli, "groups"));
	return run_change(cli, "POST", "/api/v1/invites", body, put_invite);
}

int run_invites_resend(struct cli *cli)
{
	const char *path = api_path(cli, "/invites/%s/resend", cli->arguments[0]);

	return run_change(cli, "POST", path, NULL, put_invite);
}

static void put_revoked(struct cli *cli, const json_t *invite)
{
	put(cli, PLAIN, "%s is not invited any more.\n", shown(cli, member(invite, "email")));
}

int run_invites_revoke(struct cli *cli)
{
	return run_change(cli, "DELETE", api_path(cli, "/invites/%s", cli->arguments[0]), NULL,
			  put_revoked);
}

static enum colour colour_of(const char *state)
{
	if (strcmp(state, "accepted") == 0)
		return GREEN;
	return strcmp(state, "pending") == 0 ? YELLOW : DIM;
}

static const char *mail_state(const json_t *invite)
{
	if (member(invite, "mail_problem")[0])
		return member(invite, "mail_problem");
	return member(invite, "mailed")[0] ? "sent" : "waits";
}

int run_invites_list(struct cli *cli)
{
	static const char *const headers[] = { "ID",	  "<E-MAIL", "PROFILE", "STATE",
					       "EXPIRES", "<MAIL",   NULL };
	static const char *const options[] = { "state", "email", "organization", "limit", "after" };
	const char *path = "/api/v1/invites";
	struct table *table;
	json_t *answer, *invite;
	size_t i;

	for (size_t j = 0; j < ARRAY_LEN(options); j++)
		path = path_query(cli, path, options[j], cli_value(cli, options[j]));
	answer = ask(cli, "GET", path, NULL, true);
	if (!answer || cli->json) {
		json_decref(answer);
		return answer ? CLI_OK : CLI_FAILED;
	}
	table = table_create(cli, headers);
	json_array_foreach(json_object_get(answer, "invites"), i, invite) {
		table_row(table);
		table_cell(table, PLAIN, member(invite, "id"));
		table_cell(table, BOLD, member(invite, "email"));
		table_cell(table, PLAIN, member(invite, "profile"));
		table_cell(table, colour_of(member(invite, "state")), member(invite, "state"));
		table_cell(table, PLAIN, member(invite, "expires"));
		table_cell(table, PLAIN, mail_state(invite));
	}
	table_print(table);
	if (i == 0)
		put(cli, PLAIN, "There are no such invites.\n");
	say_more(answer);
	json_decref(answer);
	return CLI_OK;
}

static void put_line(struct cli *cli, const char *what, const char *text)
{
	if (text[0])
		put(cli, PLAIN, "  %-14s %s\n", what, shown(cli, text));
}

static void put_names(struct cli *cli, const json_t *invite, const char *member_name)
{
	AUTO(strbuf) struct strbuf text = STRBUF((size_t)1024 * 1024);
	const json_t *name;
	size_t i;

	json_array_foreach(json_object_get(invite, member_name), i, name)
		strbuf_printf(&text, "%s%s", i ? ", " : "", json_string_value(name));
	put_line(cli, member_name, strbuf_text(&text));
}

int run_invites_show(struct cli *cli)
{
	static const char *const texts[] = { "id",	"organization", "username", "display_name",
					     "profile", "invited_by",	"created",  "sent",
					     "expires", "ended" };
	static const char *const names[] = { "roles", "personas", "groups" };
	AUTO(json)
	json_t *invite =
		ask(cli, "GET", api_path(cli, "/invites/%s", cli->arguments[0]), NULL, true);

	if (!invite || cli->json)
		return invite ? CLI_OK : CLI_FAILED;
	put(cli, BOLD, "%s", shown(cli, member(invite, "email")));
	put(cli, colour_of(member(invite, "state")), "  %s\n", member(invite, "state"));
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		put_line(cli, texts[i], member(invite, texts[i]));
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		put_names(cli, invite, names[i]);
	put_line(cli, "mail", mail_state(invite));
	return CLI_OK;
}
