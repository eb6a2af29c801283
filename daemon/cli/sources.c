/*
 * Commands about sources: how they are, and SAML sources of the store. Enter: options, files with metadata. Leave: bodies
 * as the API takes them, tables.
 */
#include "cli.h"

#include <string.h>

#include <rolebridge/base/file.h>
#include <rolebridge/base/util.h>

/* What the daemon takes, and a little: it says so itself. */
#define METADATA_MAX ((size_t)1100 * 1024)
#define SIGNER_MAX ((size_t)64 * 1024)

/* ------------------------------------------------------------------ bodies */

/* The member as an object; made when it is not there. */
static json_t *inner(json_t *body, const char *name)
{
	json_t *object = json_object_get(body, name);

	if (json_is_object(object))
		return object;
	object = json_object();
	json_object_set_new(body, name, object);
	return object;
}

static bool set_text(json_t *object, const char *member, const char *option, const char *text)
{
	if (json_object_set_new(object, member, json_string(text)) == 0)
		return true;
	complain("--%s is not valid UTF-8", option);
	return false;
}

static bool read_input(struct strbuf *out)
{
	char piece[8192];
	size_t size;

	while ((size = fread(piece, 1, sizeof(piece), stdin)) > 0)
		strbuf_append(out, piece, size);
	if (!strbuf_failed(out))
		return true;
	complain("standard input has too much for one document");
	return false;
}

/* "-" is standard input. */
static bool read_text(const char *path, size_t max, struct strbuf *out)
{
	struct err err = { 0 };

	if (strcmp(path, "-") == 0)
		return read_input(out);
	if (file_read(path, max, out, &err) == 0)
		return true;
	complain("%s", err.text);
	return false;
}

/* The new place of metadata takes that of the other. */
static bool add_metadata(struct cli *cli, json_t *body)
{
	const char *path = cli_value(cli, "metadata"), *url = cli_value(cli, "metadata-url");
	AUTO(strbuf) struct strbuf text = STRBUF(METADATA_MAX);
	bool changing = strcmp(cli->command->words, "sources update") == 0;

	if (path && url) {
		complain("give --metadata or --metadata-url");
		return false;
	}
	if (changing && (path || url))
		json_object_set_new(inner(body, "idp"), path ? "metadata_url" : "metadata",
				    json_null());
	if (url)
		return set_text(inner(body, "idp"), "metadata_url", "metadata-url", url);
	return !path || (read_text(path, METADATA_MAX, &text) &&
			 set_text(inner(body, "idp"), "metadata", "metadata", strbuf_text(&text)));
}

static bool add_signer(struct cli *cli, json_t *body)
{
	const char *path = cli_value(cli, "metadata-signer");
	AUTO(strbuf) struct strbuf text = STRBUF(SIGNER_MAX);

	return !path || (read_text(path, SIGNER_MAX, &text) &&
			 set_text(inner(body, "idp"), "metadata_signer", "metadata-signer",
				  strbuf_text(&text)));
}

/* ATTRIBUTE=SOURCE:ATTRIBUTE, the last one may be left out. */
static bool add_link(struct cli *cli, json_t *body)
{
	const char *text = cli_value(cli, "link");
	const char *source = text ? strchr(text, '=') : NULL;
	const char *other = source ? strchr(source, ':') : NULL;
	json_t *link;

	if (!text)
		return true;
	if (strcmp(text, "none") == 0)
		return json_object_set_new(body, "link", json_null()) == 0;
	if (!source || source == text || source[1] == '\0' || (other && !other[1])) {
		complain("--link is ATTRIBUTE=SOURCE:ATTRIBUTE");
		return false;
	}
	link = inner(body, "link");
	source++;
	json_object_set_new(link, "attribute", json_stringn(text, (size_t)(source - 1 - text)));
	json_object_set_new(link, "source",
			    other ? json_stringn(source, (size_t)(other - source))
				  : json_string(source));
	if (other)
		json_object_set_new(link, "other", json_string(other + 1));
	return true;
}

/* "role:sales,profile:member" */
static bool add_may_grant(struct cli *cli, json_t *body)
{
	static const char *const kinds[][2] = { { "profile:", "profiles" },
						{ "role:", "roles" },
						{ "persona:", "personas" },
						{ "group:", "groups" } };
	const char *text = cli_value(cli, "may-grant");
	AUTO(json) json_t *names = text ? split_texts(text, ',') : NULL;
	json_t *may, *name;
	size_t i;

	if (!text)
		return true;
	may = json_object();
	json_object_set_new(body, "may_grant", may);
	json_array_foreach(names, i, name) {
		const char *item = json_string_value(name);
		size_t k = 0;

		while (k < ARRAY_LEN(kinds) && strncmp(item, kinds[k][0], strlen(kinds[k][0])) != 0)
			k++;
		if (k == ARRAY_LEN(kinds)) {
			complain("--may-grant: '%s' is not profile:NAME, role:NAME, persona:NAME "
				 "or group:NAME",
				 shown(cli, item));
			return false;
		}
		if (!json_object_get(may, kinds[k][1]))
			json_object_set_new(may, kinds[k][1], json_array());
		json_array_append_new(json_object_get(may, kinds[k][1]),
				      json_string(item + strlen(kinds[k][0])));
	}
	return true;
}

static bool add_rest(struct cli *cli, json_t *body)
{
	const char *entity_id = cli_value(cli, "entity-id");
	const char *organization = cli_value(cli, "organization");
	const char *domains = cli_value(cli, "allowed-domains");
	const char *just_in_time = cli_value(cli, "just-in-time");

	if (just_in_time && strcmp(just_in_time, "yes") != 0 && strcmp(just_in_time, "no") != 0) {
		complain("--just-in-time is yes or no");
		return false;
	}
	if (just_in_time)
		json_object_set_new(body, "just_in_time",
				    json_boolean(strcmp(just_in_time, "yes") == 0));
	if (domains)
		json_object_set_new(body, "allowed_domains", split_texts(domains, ','));
	if (entity_id && !set_text(inner(body, "idp"), "entity_id", "entity-id", entity_id))
		return false;
	return !organization || set_text(body, "organization", "organization", organization);
}

/* From --file, then options over it. NULL after a message. */
static json_t *read_body(struct cli *cli)
{
	const char *path = cli_value(cli, "file");
	json_t *body = path ? read_object(path) : json_object();

	if (body && add_metadata(cli, body) && add_signer(cli, body) && add_link(cli, body) &&
	    add_may_grant(cli, body) && add_rest(cli, body))
		return body;
	json_decref(body);
	return NULL;
}

/* ----------------------------------------------------------------- showing */

/* What a person has to know of it in a word. */
static const char *state_of(const json_t *source)
{
	const json_t *saml = json_object_get(source, "saml");

	if (!member_bool(source, "enabled"))
		return "disabled";
	if (saml)
		return member_bool(saml, "ready") ? "ready" : "not ready";
	return member(source, "problem")[0] ? "problem" : "ok";
}

static enum colour state_colour(const char *state)
{
	return strcmp(state, "disabled") == 0				 ? DIM
	       : strcmp(state, "ready") == 0 || strcmp(state, "ok") == 0 ? GREEN
									 : RED;
}

int run_sources_list(struct cli *cli)
{
	static const char *const headers[] = { "NAME",	"TYPE",	    "ORIGIN", "PEOPLE",
					       "STATE", "<PROBLEM", NULL };
	const char *path = "/api/v1/sources";
	AUTO(json) json_t *answer = NULL;
	struct table *table;
	json_t *source;
	size_t i;

	path = path_query(cli, path, "limit", cli_value(cli, "limit"));
	path = path_query(cli, path, "after", cli_value(cli, "after"));
	answer = ask(cli, "GET", path, NULL, true);
	if (!answer || cli->json)
		return answer ? CLI_OK : CLI_FAILED;
	table = table_create(cli, headers);
	json_array_foreach(json_object_get(answer, "sources"), i, source) {
		const json_t *saml = json_object_get(source, "saml");
		const char *state = state_of(source);

		table_row(table);
		table_cell(table, BOLD, member(source, "name"));
		table_cell(table, PLAIN, member(source, "type"));
		table_cell(table, PLAIN, member(source, "origin"));
		table_number(table, member_int(source, "people"));
		table_cell(table, state_colour(state), state);
		table_cell(table, PLAIN, member(saml ? saml : source, "problem"));
	}
	table_print(table);
	if (member(answer, "next")[0])
		fprintf(stderr, "There may be more: --limit N, or --after %s.\n",
			shown(cli, member(answer, "next")));
	return CLI_OK;
}

static void print_source(struct cli *cli, const json_t *source)
{
	const json_t *saml = json_object_get(source, "saml");
	const char *state = state_of(source);

	put(cli, BOLD, "%s", shown(cli, member(source, "name")));
	put(cli, state_colour(state), "  %s\n", state);
	print_fact(cli, "type", member(source, "type"));
	print_fact(cli, "origin", member(source, "origin"));
	print_fact(cli, "file", member(source, "file"));
	print_fact(cli, "organization", member(source, "organization"));
	put(cli, PLAIN, "  %-14s %lld\n", "people", (long long)member_int(source, "people"));
	if (saml) {
		print_idp(cli, saml);
		return;
	}
	print_fact(cli, "last read", member(source, "last_complete"));
	print_fact(cli, "problem", member(source, "problem"));
}

int run_sources_show(struct cli *cli)
{
	AUTO(json)
	json_t *answer =
		ask(cli, "GET", api_path(cli, "/sources/%s", cli->arguments[0]), NULL, true);

	if (!answer || cli->json)
		return answer ? CLI_OK : CLI_FAILED;
	print_source(cli, answer);
	return CLI_OK;
}

/* ---------------------------------------------------------------- changing */

int run_sources_create(struct cli *cli)
{
	json_t *body = read_body(cli);
	int status;

	if (!body)
		return CLI_USAGE;
	if (!set_text(body, "name", "name", cli->arguments[0])) {
		json_decref(body);
		return CLI_USAGE;
	}
	status = change_definition(cli, "POST", "/api/v1/sources", body, "defined, and disabled");
	if (status == CLI_OK && !cli->json && !cli_value(cli, "dry-run"))
		put(cli, PLAIN,
		    "Give the identity provider our metadata and test a login, then enable it:\n"
		    "  rolebridgectl saml metadata %s\n  rolebridgectl idp test %s\n"
		    "  rolebridgectl sources enable %s\n",
		    shown(cli, cli->arguments[0]), shown(cli, cli->arguments[0]),
		    shown(cli, cli->arguments[0]));
	return status;
}

int run_sources_update(struct cli *cli)
{
	json_t *body = cli_read_version(cli) ? read_body(cli) : NULL;

	if (!body)
		return CLI_USAGE;
	if (json_object_size(body) == 0) {
		complain("say what to change: an option, or --file FILE");
		json_decref(body);
		return CLI_USAGE;
	}
	return change_definition(cli, "PATCH", api_path(cli, "/sources/%s", cli->arguments[0]),
				 body, "changed");
}

static int ask_plainly(struct cli *cli, const char *method, const char *path, const char *what)
{
	if (!cli_read_version(cli))
		return CLI_USAGE;
	return change_definition(cli, method, path, NULL, what);
}

int run_sources_enable(struct cli *cli)
{
	return ask_plainly(cli, "POST", api_path(cli, "/sources/%s/enable", cli->arguments[0]),
			   "enabled");
}

int run_sources_disable(struct cli *cli)
{
	return ask_plainly(cli, "POST", api_path(cli, "/sources/%s/disable", cli->arguments[0]),
			   "disabled");
}

int run_sources_delete(struct cli *cli)
{
	return ask_plainly(cli, "DELETE", api_path(cli, "/sources/%s", cli->arguments[0]),
			   "deleted");
}
