/* Commands about people, and why they have what they have. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>

/* ------------------------------------------------------------------ lists -- */

static void join_texts(const json_t *list, struct strbuf *out)
{
	json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
		strbuf_printf(out, "%s%s", i ? ", " : "", json_string_value(item));
}

static bool is_deleted(const json_t *user)
{
	json_t *reason;
	size_t i;

	json_array_foreach(json_object_get(user, "disabled"), i, reason)
		if (strcmp(json_string_value(reason), "deleted") == 0)
			return true;
	return false;
}

static void user_state(const json_t *user, struct strbuf *out)
{
	/* What was before does not matter any more. */
	if (is_deleted(user)) {
		strbuf_puts(out, "deleted");
		return;
	}
	strbuf_puts(out, member_bool(user, "active") ? "active" : "disabled");
	if (json_array_size(json_object_get(user, "disabled")) > 0) {
		strbuf_puts(out, " (");
		join_texts(json_object_get(user, "disabled"), out);
		strbuf_putc(out, ')');
	}
}

#define LIMIT_USUAL 100

/* As many as were asked for: a page ends earlier where the daemon had looked at many others. NULL after a message. */
static json_t *gather_users(struct cli *cli, const char *path)
{
	const char *limit = cli_value(cli, "limit"), *after = cli_value(cli, "after");
	json_int_t left = limit ? strtoll(limit, NULL, 10) : LIMIT_USUAL;
	json_t *users = json_array(), *next = NULL;

	do {
		const char *asked = path_query(cli, path, "limit", limit);
		AUTO(json)
		json_t *page = ask(cli, "GET", path_query(cli, asked, "after", after), NULL, false);

		if (!page) {
			json_decref(users);
			json_decref(next);
			return NULL;
		}
		json_array_extend(users, json_object_get(page, "users"));
		left -= (json_int_t)json_array_size(json_object_get(page, "users"));
		json_decref(next);
		next = json_incref(json_object_get(page, "next"));
		limit = arena_printf(cli->arena, "%lld", (long long)left);
		after = arena_printf(cli->arena, "%lld", (long long)json_integer_value(next));
	} while (left > 0 && json_is_integer(next));
	return json_pack("{s:o, s:o}", "users", users, "next", next);
}

static int print_users(struct cli *cli, const char *path)
{
	static const char *const headers[] = { "USERNAME", "<NAME", "<E-MAIL",
					       "PROFILE",  "STATE", NULL };
	AUTO(json) json_t *answer = gather_users(cli, path);
	struct table *table;
	json_t *user;
	size_t i;

	if (!answer)
		return CLI_FAILED;
	if (cli->json) {
		json_print(cli, answer);
		return CLI_OK;
	}
	table = table_create(cli, headers);
	json_array_foreach(json_object_get(answer, "users"), i, user) {
		AUTO(strbuf) struct strbuf state = STRBUF(1024);

		user_state(user, &state);
		table_row(table);
		table_cell(table, BOLD, member(user, "username"));
		table_cell(table, PLAIN, member(user, "display_name"));
		table_cell(table, PLAIN, member(user, "email"));
		table_cell(table, PLAIN, member(user, "profile"));
		table_cell(table, member_bool(user, "active") ? GREEN : RED, strbuf_text(&state));
	}
	table_print(table);
	if (i == 0)
		put(cli, PLAIN, "There are no such users.\n");
	say_more(answer);
	return CLI_OK;
}

int run_segments_users(struct cli *cli)
{
	return print_users(cli, api_path(cli, "/segments/%s/users", cli->arguments[0]));
}

int run_users_list(struct cli *cli)
{
	static const char *const options[] = { "organization", "profile", "grant", "state" };
	const char *path = "/api/v1/users";

	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		path = path_query(cli, path, options[i], cli_value(cli, options[i]));
	return print_users(cli, path);
}

int run_users_search(struct cli *cli)
{
	static const char *const options[] = { "filter",  "segment", "organization",
					       "profile", "grant",   "state" };
	const char *path = path_query(cli, "/api/v1/users", "q", cli->arguments[0]);

	if (!cli->arguments[0] && !cli_value(cli, "filter") && !cli_value(cli, "segment")) {
		complain("say whom: the beginning of a name, --filter or --segment");
		return CLI_USAGE;
	}
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		path = path_query(cli, path, options[i], cli_value(cli, options[i]));
	return print_users(cli, path);
}

/* ------------------------------------------------------------------- show -- */

static void line(struct cli *cli, const char *name, const char *value)
{
	if (value[0])
		put(cli, PLAIN, "  %-14s %s\n", name, shown(cli, value));
}

static void print_user(struct cli *cli, const json_t *user)
{
	AUTO(strbuf) struct strbuf state = STRBUF(1024);

	user_state(user, &state);
	put(cli, BOLD, "%s", shown(cli, member(user, "username")));
	put(cli, PLAIN, "  %s\n", shown(cli, member(user, "display_name")));
	line(cli, "e-mail", member(user, "email"));
	line(cli, "organization", member(user, "organization"));
	line(cli, "profile", member(user, "profile"));
	line(cli, "state", strbuf_text(&state));
	if (member_bool(user, "protected"))
		line(cli, "protected", "yes");
	line(cli, "id", member(user, "id"));
	put(cli, PLAIN, "  %-14s %lld\n", "version", (long long)member_int(user, "version"));
	line(cli, "created", member(user, "created"));
	line(cli, "updated", member(user, "updated"));
}

/* "rule sales (corp)", "hand unix:root" */
static void origin_text(const json_t *grant, struct strbuf *out)
{
	const json_t *origin = json_object_get(grant, "origin");
	const char *source = member(origin, "source");

	strbuf_printf(out, "%s%s%s", member(origin, "kind"), member(origin, "id")[0] ? " " : "",
		      member(origin, "id"));
	if (source[0])
		strbuf_printf(out, " (%s)", source);
}

static void print_grants(struct cli *cli, const json_t *grants)
{
	static const char *const headers[] = {
		"KIND", "<NAME", "<ORIGIN", "GIVEN", "EXPIRES", NULL
	};
	struct table *table = table_create(cli, headers);
	json_t *grant;
	size_t i;

	json_array_foreach(grants, i, grant) {
		AUTO(strbuf) struct strbuf origin = STRBUF(4096);

		origin_text(grant, &origin);
		table_row(table);
		table_cell(table, PLAIN, member(grant, "kind"));
		table_cell(table, BOLD, member(grant, "name"));
		table_cell(table, PLAIN, strbuf_text(&origin));
		table_cell(table, PLAIN, member(grant, "given"));
		table_cell(table, PLAIN, member(grant, "expires"));
	}
	if (i > 0)
		put(cli, PLAIN, "\n");
	table_print(table);
}

static void print_identities(struct cli *cli, const json_t *identities)
{
	static const char *const headers[] = { "SOURCE", "<KEY", "READ", "MISSING SINCE", NULL };
	struct table *table = table_create(cli, headers);
	json_t *identity;
	size_t i;

	json_array_foreach(identities, i, identity) {
		table_row(table);
		table_cell(table, BOLD, member(identity, "source"));
		table_cell(table, PLAIN, member(identity, "key"));
		table_cell(table, PLAIN,
			   member(identity, "read")[0] ? member(identity, "read") : "not yet");
		table_cell(table, YELLOW, member(identity, "missing"));
	}
	if (i > 0)
		put(cli, PLAIN, "\n");
	table_print(table);
}

int run_users_show(struct cli *cli)
{
	AUTO(json)
	json_t *user = ask(cli, "GET", api_path(cli, "/users/%s", cli->arguments[0]), NULL, true);

	if (!user || cli->json)
		return user ? CLI_OK : CLI_FAILED;
	print_user(cli, user);
	print_grants(cli, json_object_get(user, "grants"));
	print_identities(cli, json_object_get(user, "identities"));
	print_accounts(cli, json_object_get(user, "accounts"));
	return CLI_OK;
}

/* ---------------------------------------------------------------- changes -- */

static int change(struct cli *cli, const char *method, const char *path, json_t *body)
{
	AUTO(json) json_t *user = ask(cli, method, path, body, true);
	AUTO(strbuf) struct strbuf state = STRBUF(1024);

	if (!user || cli->json)
		return user ? CLI_OK : CLI_FAILED;
	user_state(user, &state);
	if (is_deleted(user)) {
		put(cli, PLAIN, "%s is deleted; what is left of them is shown by: users show %s\n",
		    shown(cli, member(user, "username")), shown(cli, member(user, "id")));
		return CLI_OK;
	}
	put(cli, PLAIN, "%s is %s, profile %s.\n", shown(cli, member(user, "username")),
	    shown(cli, strbuf_text(&state)),
	    member(user, "profile")[0] ? shown(cli, member(user, "profile")) : "none");
	return CLI_OK;
}

static void body_set(json_t *body, const char *name, const char *value)
{
	if (value)
		json_object_set_new(body, name, json_string(value));
}

/* An argument that is not UTF-8 would be left out silently by jansson. */
static json_t *body_check(json_t *body, size_t expected)
{
	if (body && json_object_size(body) == expected)
		return body;
	json_decref(body);
	complain("an argument is not valid UTF-8");
	return NULL;
}

int run_users_create(struct cli *cli)
{
	static const char *const names[][2] = { { "email", "email" },
						{ "name", "display_name" },
						{ "organization", "organization" },
						{ "profile", "profile" } };
	json_t *body = json_object();
	size_t expected = 1;

	body_set(body, "username", cli->arguments[0]);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		body_set(body, names[i][1], cli_value(cli, names[i][0]));
		expected += cli_value(cli, names[i][0]) != NULL;
	}
	body = body_check(body, expected);
	return body ? change(cli, "POST", "/api/v1/users", body) : CLI_USAGE;
}

int run_users_set(struct cli *cli)
{
	static const char *const names[][2] = { { "username", "username" },
						{ "email", "email" },
						{ "name", "display_name" } };
	json_t *body = json_object();
	size_t expected = 0;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		body_set(body, names[i][1], cli_value(cli, names[i][0]));
		expected += cli_value(cli, names[i][0]) != NULL;
	}
	body = body_check(body, expected);
	if (!body || !cli_read_version(cli) || expected == 0) {
		if (body && expected == 0)
			complain("say what to set: --username, --email, --name");
		json_decref(body);
		return CLI_USAGE;
	}
	return change(cli, "PATCH", api_path(cli, "/users/%s", cli->arguments[0]), body);
}

int run_users_grant(struct cli *cli)
{
	const char *expires = cli_value(cli, "expires");
	json_t *body;

	if (!cli_read_version(cli))
		return CLI_USAGE;
	body = json_object();
	body_set(body, "kind", cli->arguments[1]);
	body_set(body, "name", cli->arguments[2]);
	body_set(body, "expires", expires);
	body = body_check(body, expires ? 3 : 2);
	return body ? change(cli, "POST", api_path(cli, "/users/%s/grants", cli->arguments[0]),
			     body)
		    : CLI_USAGE;
}

int run_users_revoke(struct cli *cli)
{
	if (!cli_read_version(cli))
		return CLI_USAGE;
	return change(cli, "DELETE",
		      api_path(cli, "/users/%s/grants/%s/%s", cli->arguments[0], cli->arguments[1],
			       cli->arguments[2]),
		      NULL);
}

int run_users_disable(struct cli *cli)
{
	const char *reason = cli_value(cli, "reason");
	json_t *body;

	if (!cli_read_version(cli))
		return CLI_USAGE;
	body = json_object();
	body_set(body, "reason", reason);
	body = body_check(body, reason ? 1 : 0);
	return body ? change(cli, "POST", api_path(cli, "/users/%s/disable", cli->arguments[0]),
			     body)
		    : CLI_USAGE;
}

int run_users_enable(struct cli *cli)
{
	if (!cli_read_version(cli))
		return CLI_USAGE;
	return change(cli, "POST", api_path(cli, "/users/%s/enable", cli->arguments[0]), NULL);
}

int run_users_delete(struct cli *cli)
{
	if (!cli_read_version(cli))
		return CLI_USAGE;
	return change(cli, "DELETE", api_path(cli, "/users/%s", cli->arguments[0]), NULL);
}

static void print_move(struct cli *cli, const json_t *answer)
{
	const json_t *grant;
	size_t i;

	put(cli, PLAIN, "%s %s %s.\n", shown(cli, cli->arguments[0]),
	    !member_bool(answer, "moved")    ? "is already of"
	    : member_bool(answer, "dry_run") ? "would move to"
					     : "moved to",
	    shown(cli, member(answer, "organization")));
	json_array_foreach(json_object_get(answer, "dropped"), i, grant)
		put(cli, YELLOW, "  %s %s does not come along\n", shown(cli, member(grant, "kind")),
		    shown(cli, member(grant, "name")));
	if (member_int(answer, "tokens") > 0)
		put(cli, PLAIN, "  %lld tokens end\n", (long long)member_int(answer, "tokens"));
}

int run_users_move(struct cli *cli)
{
	const char *path = api_path(
		cli, cli_value(cli, "dry-run") ? "/users/%s/move?dry_run=true" : "/users/%s/move",
		cli->arguments[0]);
	json_t *body = json_object();
	AUTO(json) json_t *answer = NULL;

	body_set(body, "organization", cli->arguments[1]);
	body = body_check(body, 1);
	if (!body || !cli_read_version(cli)) {
		json_decref(body);
		return CLI_USAGE;
	}
	answer = ask(cli, "POST", path, body, true);
	if (answer && !cli->json)
		print_move(cli, answer);
	return answer ? CLI_OK : CLI_FAILED;
}

static int change_identity(struct cli *cli, const char *method)
{
	if (!cli_read_version(cli))
		return CLI_USAGE;
	return change(cli, method,
		      api_path(cli, "/users/%s/identities/%s/%s", cli->arguments[0],
			       cli->arguments[1], cli->arguments[2]),
		      NULL);
}

int run_users_link(struct cli *cli)
{
	int status = change_identity(cli, "PUT");

	if (status == CLI_OK && !cli->json)
		put(cli, PLAIN, "The identity counts from its next read on.\n");
	return status;
}

int run_users_unlink(struct cli *cli)
{
	return change_identity(cli, "DELETE");
}

/* -------------------------------------------------------------------- why -- */

static void put_mark(struct cli *cli, const char *match)
{
	bool yes = strcmp(match, "yes") == 0, no = strcmp(match, "no") == 0;

	put(cli,
	    yes	 ? GREEN
	    : no ? RED
		 : YELLOW,
	    "%s ",
	    yes	 ? cli->utf8 ? "✓" : "+"
	    : no ? cli->utf8 ? "✗" : "-"
		 : "?");
}

static void print_condition(struct cli *cli, const json_t *condition)
{
	json_t *node;
	size_t i;

	json_array_foreach(condition, i, node) {
		json_int_t depth = member_int(node, "depth");
		const char *because = shown(cli, member(node, "because"));

		put(cli, PLAIN, "%*s", (int)(6 + 2 * (depth > 40 ? 40 : depth)), "");
		put_mark(cli, member(node, "match"));
		put(cli, PLAIN, "%s", shown(cli, member(node, "text")));
		if (because[0])
			put(cli, DIM, "  %s", because);
		put(cli, PLAIN, "\n");
	}
}

static void print_rule(struct cli *cli, const json_t *rule, const char *what)
{
	put(cli, PLAIN, "    ");
	put_mark(cli, member(rule, "match"));
	put(cli, PLAIN, "%s%s", what, shown(cli, member(rule, "id")));
	if (member_bool(rule, "trial"))
		put(cli, YELLOW, " (trial: not applied)");
	if (member(rule, "expires")[0])
		put(cli, PLAIN, " (until %s)", shown(cli, member(rule, "expires")));
	if (member(rule, "description")[0])
		put(cli, DIM, "  %s", shown(cli, member(rule, "description")));
	if (member(rule, "file")[0])
		put(cli, DIM, "  %s:%lld", shown(cli, member(rule, "file")),
		    (long long)member_int(rule, "line"));
	put(cli, PLAIN, "\n");
	print_condition(cli, json_object_get(rule, "condition"));
}

static void print_why_grant(struct cli *cli, const json_t *grant)
{
	AUTO(strbuf) struct strbuf origin = STRBUF(4096);
	const char *state = member(grant, "state");
	const json_t *rule = json_object_get(grant, "rule"), *effective;
	bool held = strcmp(state, "held") == 0;

	origin_text(grant, &origin);
	put(cli, BOLD, "  %s %s", shown(cli, member(grant, "kind")),
	    shown(cli, member(grant, "name")));
	put(cli, PLAIN, "  by %s", shown(cli, strbuf_text(&origin)));
	if (member(grant, "given")[0])
		put(cli, PLAIN, ", since %s", shown(cli, member(grant, "given")));
	if (member(grant, "expires")[0])
		put(cli, PLAIN, ", until %s", shown(cli, member(grant, "expires")));
	if (!held)
		put(cli, YELLOW, "  %s",
		    strcmp(state, "pending") == 0 ? "not yet: the next sync gives it"
						  : "leaving: no longer wanted");
	effective = json_object_get(grant, "effective");
	if (effective && json_is_false(effective))
		put(cli, DIM, "  (another profile goes before it)");
	put(cli, PLAIN, "\n");
	if (rule)
		print_rule(cli, rule, "rule ");
}

static void print_why_identity(struct cli *cli, const json_t *identity)
{
	AUTO(strbuf) struct strbuf groups = STRBUF((size_t)1024 * 1024);

	put(cli, BOLD, "  %s", shown(cli, member(identity, "source")));
	put(cli, PLAIN, "  %s",
	    shown(cli, member(identity, member(identity, "dn")[0] ? "dn" : "key")));
	put(cli, PLAIN, "  read %s", shown(cli, member(identity, "read")));
	if (member(identity, "missing")[0])
		put(cli, YELLOW, "  missing since %s", shown(cli, member(identity, "missing")));
	if (member_bool(identity, "disabled"))
		put(cli, RED, "  disabled by %s", shown(cli, member(identity, "disabled_by")));
	if (!member_bool(identity, "groups_complete"))
		put(cli, YELLOW, "  groups incomplete");
	put(cli, PLAIN, "\n");
	join_texts(json_object_get(identity, "groups"), &groups);
	if (groups.size > 0)
		put(cli, DIM, "    groups that rules name: %s\n", shown(cli, strbuf_text(&groups)));
}

static const struct {
	const char *code, *text;
} note_texts[] = {
	{ "denied", "denied" },
	{ "unknown-denied", "perhaps denied: what the rule asks for was not delivered" },
	{ "unknown-kept", "kept: what the rule asks for was not delivered" },
	{ "expired", "expired" },
	{ "trial", "would be given, but the rule is on trial" },
	{ "not-trusted", "the source may not cause it" },
	{ "overridden", "another origin goes before it" },
};

static void print_note(struct cli *cli, const json_t *note)
{
	const char *text = member(note, "code");

	for (size_t i = 0; i < ARRAY_LEN(note_texts); i++) {
		if (strcmp(note_texts[i].code, text) == 0)
			text = note_texts[i].text;
	}
	put(cli, PLAIN, "  %s %s: %s", shown(cli, member(note, "kind")),
	    shown(cli, member(note, "name")), shown(cli, text));
	if (member(note, "rule")[0])
		put(cli, PLAIN, " (rule %s)", shown(cli, member(note, "rule")));
	put(cli, PLAIN, "\n");
}

static void print_list(struct cli *cli, const json_t *answer, const char *key, const char *title,
		       void (*print)(struct cli *cli, const json_t *item))
{
	const json_t *list = json_object_get(answer, key);
	json_t *item;
	size_t i;

	if (json_array_size(list) == 0)
		return;
	put(cli, BOLD, "\n%s\n", title);
	json_array_foreach(list, i, item)
		print(cli, item);
}

static void print_candidate(struct cli *cli, const json_t *rule)
{
	print_rule(cli, rule, member_bool(rule, "denies") ? "denied by rule " : "rule ");
}

int run_why(struct cli *cli)
{
	const char *path = api_path(cli, "/users/%s/why", cli->arguments[0]);
	AUTO(json) json_t *answer = NULL;

	path = path_query(cli, path, "grant", cli->arguments[1]);
	path = path_query(cli, path, "sensitive", cli_value(cli, "sensitive") ? "true" : NULL);
	answer = ask(cli, "GET", path, NULL, true);
	if (!answer || cli->json)
		return answer ? CLI_OK : CLI_FAILED;
	print_user(cli, json_object_get(answer, "user"));
	print_list(cli, answer, "identities", "Identities", print_why_identity);
	print_list(cli, answer, "grants", "Grants", print_why_grant);
	print_list(cli, answer, "candidates", "Rules about it", print_candidate);
	print_list(cli, answer, "notes", "Notes", print_note);
	if (cli->arguments[1] && json_array_size(json_object_get(answer, "grants")) == 0)
		put(cli, YELLOW, "\n%s does not have it.\n",
		    shown(cli, member(json_object_get(answer, "user"), "username")));
	return CLI_OK;
}

/* ------------------------------------------------------------------ rules -- */

static void grants_text(const json_t *rule, const char *key, struct strbuf *out)
{
	json_t *grant;
	size_t i;

	json_array_foreach(json_object_get(rule, key), i, grant)
		strbuf_printf(out, "%s%s %s", i ? ", " : "", member(grant, "kind"),
			      member(grant, "name"));
}

/* The same of a body as it is written: {profile: …, roles: […]}. */
static void body_grants_text(const json_t *grants, struct strbuf *out)
{
	static const char *const kinds[][2] = { { "roles", "role" },
						{ "personas", "persona" },
						{ "groups", "group" } };
	const char *profile = member(grants, "profile");
	json_t *name;
	size_t i;

	if (profile[0])
		strbuf_printf(out, "profile %s", profile);
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
		json_array_foreach(json_object_get(grants, kinds[k][0]), i, name)
			strbuf_printf(out, "%s%s %s", out->size ? ", " : "", kinds[k][1],
				      json_string_value(name));
}

static const char *rule_state(const json_t *rule)
{
	if (member_bool(rule, "expired"))
		return "expired";
	if (member_bool(rule, "trial"))
		return "trial";
	return member_bool(rule, "frozen") ? "frozen" : "in force";
}

int run_rules_list(struct cli *cli)
{
	static const char *const headers[] = { "RULE",	"<GRANTS",	"<DENIES",
					       "STATE", "<DESCRIPTION", NULL };
	AUTO(json) json_t *answer = ask(cli, "GET", "/api/v1/rules", NULL, true);
	struct table *table;
	json_t *rule;
	size_t i;

	if (!answer || cli->json)
		return answer ? CLI_OK : CLI_FAILED;
	table = table_create(cli, headers);
	json_array_foreach(json_object_get(answer, "rules"), i, rule) {
		AUTO(strbuf) struct strbuf grants = STRBUF(65536);
		AUTO(strbuf) struct strbuf denies = STRBUF(65536);
		const char *state = rule_state(rule);

		grants_text(rule, "grants", &grants);
		grants_text(rule, "denies", &denies);
		table_row(table);
		table_cell(table, BOLD, member(rule, "id"));
		table_cell(table, PLAIN, strbuf_text(&grants));
		table_cell(table, PLAIN, strbuf_text(&denies));
		table_cell(table, strcmp(state, "in force") == 0 ? PLAIN : YELLOW, state);
		table_cell(table, PLAIN, member(rule, "description"));
	}
	json_array_foreach(json_object_get(answer, "drafts"), i, rule) {
		AUTO(strbuf) struct strbuf grants = STRBUF(65536);
		AUTO(strbuf) struct strbuf denies = STRBUF(65536);
		const json_t *body = json_object_get(rule, "body");

		body_grants_text(json_object_get(body, "grant"), &grants);
		body_grants_text(json_object_get(body, "deny"), &denies);
		table_row(table);
		table_cell(table, BOLD, member(rule, "id"));
		table_cell(table, PLAIN, strbuf_text(&grants));
		table_cell(table, PLAIN, strbuf_text(&denies));
		table_cell(table, YELLOW, "draft");
		table_cell(table, PLAIN, member(body, "description"));
	}
	table_print(table);
	return CLI_OK;
}

/* What waits to take its place, or is all there is of it. */
static void print_draft(struct cli *cli, const json_t *draft)
{
	AUTO(strbuf) struct strbuf grants = STRBUF(65536);
	AUTO(strbuf) struct strbuf denies = STRBUF(65536);
	const json_t *body = json_object_get(draft, "body"), *group;
	size_t i;

	if (!json_is_object(draft))
		return;
	body_grants_text(json_object_get(body, "grant"), &grants);
	body_grants_text(json_object_get(body, "deny"), &denies);
	put(cli, YELLOW, "  draft, version %lld, by %s\n", (long long)member_int(draft, "version"),
	    shown(cli, member(draft, "actor")));
	line(cli, "description", member(body, "description"));
	json_array_foreach(json_object_get(body, "groups"), i, group)
		put(cli, PLAIN, "  %-14s %s\n", i ? "" : "groups",
		    shown(cli, json_string_value(group)));
	line(cli, "when", member(body, "when"));
	line(cli, "grants", strbuf_text(&grants));
	line(cli, "denies", strbuf_text(&denies));
	line(cli, "expires", member(body, "expires"));
	if (member_bool(body, "trial"))
		line(cli, "trial", "yes");
}

int run_rules_show(struct cli *cli)
{
	AUTO(json)
	json_t *rule = ask(cli, "GET", api_path(cli, "/rules/%s", cli->arguments[0]), NULL, true);
	AUTO(strbuf) struct strbuf grants = STRBUF(65536);
	AUTO(strbuf) struct strbuf denies = STRBUF(65536);
	const json_t *group;
	size_t i;

	if (!rule || cli->json)
		return rule ? CLI_OK : CLI_FAILED;
	put(cli, BOLD, "%s", shown(cli, member(rule, "id")));
	put(cli, PLAIN, "  %s\n", shown(cli, member(rule, "description")));
	if (strcmp(member(rule, "state"), "draft") == 0) {
		print_draft(cli, json_object_get(rule, "draft"));
		return CLI_OK;
	}
	grants_text(rule, "grants", &grants);
	grants_text(rule, "denies", &denies);
	line(cli, "state", rule_state(rule));
	json_array_foreach(json_object_get(rule, "groups"), i, group)
		put(cli, PLAIN, "  %-14s %s (%s)\n", i ? "" : "groups",
		    shown(cli, member(group, "name")), shown(cli, member(group, "state")));
	line(cli, "when", member(rule, "when"));
	line(cli, "grants", strbuf_text(&grants));
	line(cli, "denies", strbuf_text(&denies));
	line(cli, "expires", member(rule, "expires"));
	put(cli, PLAIN, "  %-14s %lld%s\n", "holders", (long long)member_int(rule, "holders"),
	    member_bool(rule, "holders_more") ? " or more" : "");
	if (member(rule, "file")[0])
		put(cli, PLAIN, "  %-14s %s:%lld\n", "file", shown(cli, member(rule, "file")),
		    (long long)member_int(rule, "line"));
	if (member_int(rule, "version") > 0)
		put(cli, PLAIN, "  %-14s %lld, by %s\n", "version",
		    (long long)member_int(rule, "version"), shown(cli, member(rule, "actor")));
	print_draft(cli, json_object_get(rule, "draft"));
	return CLI_OK;
}
