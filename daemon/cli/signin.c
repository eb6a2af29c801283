/* Commands about signing in: links of root's, sessions, and SAML sources. Enter: the daemon's answers. Leave: tables, XML. */
#include "cli.h"

#include <string.h>

#include <rolebridge/base/util.h>

int run_sessions_list(struct cli *cli)
{
	static const char *const headers[] = { "<SESSION", "<USER", "SOURCE", "<ADDRESS",
					       "SINCE",	   "SEEN",  "UNTIL",  NULL };
	static const char *const options[] = { "user", "source", "after", "limit" };
	const char *path = "/api/v1/sessions";
	AUTO(json) json_t *answer = NULL;
	struct table *table;
	json_t *session;
	size_t i;

	for (i = 0; i < ARRAY_LEN(options); i++)
		path = path_query(cli, path, options[i], cli_value(cli, options[i]));
	answer = ask(cli, "GET", path, NULL, true);
	if (!answer || cli->json)
		return answer ? CLI_OK : CLI_FAILED;
	table = table_create(cli, headers);
	json_array_foreach(json_object_get(answer, "sessions"), i, session) {
		table_row(table);
		table_cell(table, PLAIN, member(session, "id"));
		table_cell(table, BOLD, member(session, "username"));
		table_cell(table, PLAIN, member(session, "source"));
		table_cell(table, PLAIN, member(session, "address"));
		table_cell(table, PLAIN, member(session, "created"));
		table_cell(table, PLAIN, member(session, "seen"));
		table_cell(table, PLAIN, member(session, "until"));
	}
	table_print(table);
	if (i == 0)
		put(cli, PLAIN, "Nobody is signed in.\n");
	if (member_int(answer, "next") > 0)
		put(cli, PLAIN, "… more: --after %lld\n", (long long)member_int(answer, "next"));
	return CLI_OK;
}

int run_sessions_end(struct cli *cli)
{
	const char *user = cli_value(cli, "user");
	const char *path =
		user ? api_path(cli, "/users/%s/sessions", user)
		     : api_path(cli, "/sessions/%s", cli->arguments[0] ? cli->arguments[0] : "");
	AUTO(json) json_t *answer = NULL;

	if (!user == !cli->arguments[0]) {
		fputs("rolebridgectl: name one session, or a user with --user\n", stderr);
		return CLI_USAGE;
	}
	answer = ask(cli, "DELETE", path, NULL, true);
	if (!answer || cli->json)
		return answer ? CLI_OK : CLI_FAILED;
	put(cli, PLAIN, "%lld session(s) ended.\n", (long long)member_int(answer, "ended"));
	return CLI_OK;
}

static void endpoints(struct cli *cli, const char *title, const json_t *list)
{
	const json_t *endpoint;
	size_t i;

	json_array_foreach(list, i, endpoint) {
		put(cli, PLAIN, "  %-14s %-8s %s\n", i == 0 ? title : "",
		    shown(cli, member(endpoint, "binding")),
		    shown(cli, member(endpoint, "location")));
	}
}

void print_fact(struct cli *cli, const char *name, const char *value)
{
	if (value[0])
		put(cli, PLAIN, "  %-14s %s\n", name, shown(cli, value));
}

void print_idp(struct cli *cli, const json_t *saml)
{
	print_fact(cli, "problem", member(saml, "problem"));
	print_fact(cli, "IdP", member(saml, "idp"));
	put(cli, PLAIN, "  %-14s %lld\n", "signing keys",
	    (long long)member_int(saml, "signing_keys"));
	print_fact(cli, "valid until", member(saml, "valid_until"));
	print_fact(cli, "refreshed", member(saml, "refreshed"));
	endpoints(cli, "sign-in", json_object_get(saml, "sign_in"));
	endpoints(cli, "logout", json_object_get(saml, "logout"));
	print_fact(cli, "our metadata", member(saml, "metadata_url"));
	print_fact(cli, "test login", member(saml, "test_url"));
}

int run_idp_test(struct cli *cli)
{
	AUTO(json)
	json_t *answer =
		ask(cli, "GET", api_path(cli, "/sources/%s", cli->arguments[0]), NULL, false);
	json_t *saml = json_object_get(answer, "saml");
	bool ready = member_bool(saml, "ready");

	if (!answer)
		return CLI_FAILED;
	if (!saml) {
		complain("source '%s' is no identity provider", cli->arguments[0]);
		return CLI_FAILED;
	}
	if (cli->json) {
		json_object_set(saml, "name", json_object_get(answer, "name"));
		json_print(cli, saml);
		return ready ? CLI_OK : CLI_FAILED;
	}
	put(cli, BOLD, "%s", shown(cli, member(answer, "name")));
	put(cli, ready ? GREEN : RED, "  %s\n", ready ? "ready" : "not ready");
	print_idp(cli, saml);
	return ready ? CLI_OK : CLI_FAILED;
}

int run_saml_metadata(struct cli *cli)
{
	const char *path = api_path(cli, "/sources/%s/metadata", cli->arguments[0]);
	AUTO(json) json_t *answer = ask(cli, "GET", path, NULL, true);

	if (!answer || cli->json)
		return answer ? CLI_OK : CLI_FAILED;
	fputs(member(answer, "metadata"), cli->out);
	return CLI_OK;
}

/* "127.0.0.1:8443" of "http://127.0.0.1:8443/…". */
static const char *authority_of(struct cli *cli, const char *url)
{
	const char *at = strstr(url, "://");
	const char *text = at ? arena_strndup(cli->arena, at + 3, strcspn(at + 3, "/")) : NULL;

	return text ? text : "";
}

/* From another machine: both ends have the same port, so that the address is the same. */
static void say_tunnel(struct cli *cli, const char *authority)
{
	const char *port = strrchr(authority, ':');

	fprintf(stderr,
		"It is served on this machine alone. From another one: ssh -L %s:%s "
		"root@THIS-MACHINE\n",
		shown(cli, port ? port + 1 : ""), shown(cli, authority));
}

/* The link alone goes to standard output. */
static void say_link(struct cli *cli, const json_t *link)
{
	const char *url = member(link, "url");

	put(cli, PLAIN, "%s\n", shown(cli, url));
	fprintf(stderr, "It signs %s in, once, until %s.\n",
		shown(cli, member(json_object_get(link, "user"), "username")),
		shown(cli, member(link, "expires")));
	if (member_bool(link, "local"))
		say_tunnel(cli, authority_of(cli, url));
	else
		fprintf(stderr, "Where that address does not answer: rolebridgectl login-link "
				"--local USER\n");
}

int run_login_link(struct cli *cli)
{
	json_t *body = json_object();
	AUTO(json) json_t *answer = NULL;

	if (!body_text(body, "user", cli->arguments[0]) ||
	    !body_text(body, "listen", cli_value(cli, "listen"))) {
		json_decref(body);
		return CLI_FAILED;
	}
	if (cli_value(cli, "local"))
		json_object_set_new(body, "local", json_true());
	answer = ask(cli, "POST", "/api/v1/login-links", body, true);
	if (answer && !cli->json)
		say_link(cli, answer);
	return answer ? CLI_OK : CLI_FAILED;
}
