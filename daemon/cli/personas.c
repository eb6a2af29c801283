/* Commands about what is known of personas: research, answers, reviews, links. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>

/* ---------------------------------------------------------------- assigning -- */

/* As users bulk does, which each of its users stands for alone. */
static int assign(struct cli *cli, const char *action)
{
	cli->arguments[2] = cli->arguments[0];
	cli->arguments[1] = "persona";
	cli->arguments[0] = action;
	return run_users_bulk(cli);
}

int run_personas_assign(struct cli *cli)
{
	return assign(cli, "grant");
}

int run_personas_unassign(struct cli *cli)
{
	return assign(cli, "revoke");
}

/* ------------------------------------------------------------------- lists -- */

struct record_list {
	const char *name;			     /* of the API, and of the list in its answer */
	const char *filter;			     /* an option; NULL */
	const char *const *headers, *const *members; /* behind the number */
};

static const char *const research_headers[] = { "ID",	 "DAY",	  "KIND",   "COUNT",
						"<NOTE", "<LINK", "<ACTOR", NULL };
static const char *const research_members[] = {
	"at", "kind", "count", "note", "link", "actor", NULL
};
static const char *const validation_headers[] = { "ID",	  "ANSWERED", "ANSWER",
						  "<WHO", "<COMMENT", NULL };
static const char *const validation_members[] = { "at", "answer", "who", "comment", NULL };
static const char *const review_headers[] = { "ID", "REVIEWED", "<BY", "NEXT DUE", "<NOTE", NULL };
static const char *const review_members[] = { "at", "actor", "next_due", "note", NULL };
static const char *const link_headers[] = { "ID", "KIND", "<TITLE", "<ADDRESS", NULL };
static const char *const link_members[] = { "kind", "title", "url", NULL };

static const struct record_list research = { "research", "kind", research_headers,
					     research_members };
static const struct record_list validations = { "validations", "answer", validation_headers,
						validation_members };
static const struct record_list reviews = { "reviews", NULL, review_headers, review_members };
static const struct record_list links = { "links", "kind", link_headers, link_members };

/* A user, or somebody else. */
static const char *who(struct cli *cli, const json_t *record)
{
	const char *user = member(json_object_get(record, "user"), "username");
	const char *text =
		user[0] ? user
			: arena_printf(cli->arena, "%s (no user)", member(record, "respondent"));

	return text ? text : "";
}

static void print_record(struct cli *cli, struct table *table, const struct record_list *list,
			 const json_t *record)
{
	table_row(table);
	table_number(table, member_int(record, "id"));
	for (size_t i = 0; list->members[i]; i++) {
		const char *name = list->members[i];

		if (json_is_integer(json_object_get(record, name)))
			table_number(table, member_int(record, name));
		else
			table_cell(table, PLAIN,
				   strcmp(name, "who") == 0 ? who(cli, record)
							    : member(record, name));
	}
}

static int run_list(struct cli *cli, const struct record_list *list)
{
	const char *path = api_path(cli, "/personas/%s/%s", cli->arguments[0], list->name);
	AUTO(json) json_t *answer = NULL;
	struct table *table;
	json_t *record;
	size_t i;

	if (list->filter)
		path = path_query(cli, path, list->filter, cli_value(cli, list->filter));
	path = path_query(cli, path, "limit", cli_value(cli, "limit"));
	path = path_query(cli, path, "after", cli_value(cli, "after"));
	answer = ask(cli, "GET", path, NULL, true);
	if (!answer || cli->json)
		return answer ? CLI_OK : CLI_FAILED;
	table = table_create(cli, list->headers);
	json_array_foreach(json_object_get(answer, list->name), i, record)
		print_record(cli, table, list, record);
	table_print(table);
	say_more(answer);
	return CLI_OK;
}

int run_personas_research_list(struct cli *cli)
{
	return run_list(cli, &research);
}

int run_personas_validations_list(struct cli *cli)
{
	return run_list(cli, &validations);
}

int run_personas_reviews(struct cli *cli)
{
	return run_list(cli, &reviews);
}

int run_personas_links_list(struct cli *cli)
{
	return run_list(cli, &links);
}

/* ------------------------------------------------------------------ noting -- */

/* Options into members of their name; false after a message. */
static bool set_count(json_t *body, const char *text)
{
	char *end;
	long long count;

	if (!text)
		return true;
	count = strtoll(text, &end, 10);
	if (*end || end == text || count < 1 || count > 1000000) {
		complain("--count must be a number from 1 to 1000000");
		return false;
	}
	return json_object_set_new(body, "count", json_integer(count)) == 0;
}

/* Takes the body; NULL: it could not be made. */
static int note(struct cli *cli, const struct record_list *list, json_t *body)
{
	AUTO(json) json_t *answer = NULL;

	if (!body)
		return CLI_USAGE;
	answer = ask(cli, "POST", api_path(cli, "/personas/%s/%s", cli->arguments[0], list->name),
		     body, true);
	if (!answer || cli->json)
		return answer ? CLI_OK : CLI_FAILED;
	put(cli, PLAIN, "Noted as %lld.\n", (long long)member_int(answer, "id"));
	return CLI_OK;
}

static json_t *checked(json_t *body, bool good)
{
	if (good)
		return body;
	json_decref(body);
	return NULL;
}

int run_personas_research_add(struct cli *cli)
{
	json_t *body = json_object();

	return note(cli, &research,
		    checked(body, body_text(body, "kind", cli->arguments[1]) &&
					  body_text(body, "at", cli_value(cli, "at")) &&
					  set_count(body, cli_value(cli, "count")) &&
					  body_text(body, "note", cli_value(cli, "note")) &&
					  body_text(body, "link", cli_value(cli, "link"))));
}

int run_personas_validations_add(struct cli *cli)
{
	json_t *body = json_object();

	return note(
		cli, &validations,
		checked(body, body_text(body, "answer", cli->arguments[1]) &&
				      body_text(body, "user", cli_value(cli, "user")) &&
				      body_text(body, "respondent", cli_value(cli, "respondent")) &&
				      body_text(body, "comment", cli_value(cli, "comment"))));
}

int run_personas_links_add(struct cli *cli)
{
	json_t *body = json_object();

	return note(cli, &links,
		    checked(body, body_text(body, "kind", cli->arguments[1]) &&
					  body_text(body, "url", cli->arguments[2]) &&
					  body_text(body, "title", cli->arguments[3])));
}

int run_personas_review(struct cli *cli)
{
	const char *path = api_path(cli, "/personas/%s/reviews", cli->arguments[0]);
	AUTO(json) json_t *answer = NULL;
	json_t *body = json_object();

	if (!body_text(body, "note", cli_value(cli, "note")) ||
	    !body_text(body, "next_due", cli_value(cli, "next-due"))) {
		json_decref(body);
		return CLI_USAGE;
	}
	answer = ask(cli, "POST", path, body, true);
	if (!answer || cli->json)
		return answer ? CLI_OK : CLI_FAILED;
	put(cli, PLAIN, "Reviewed; the next review is due by %s.\n",
	    shown(cli, member(answer, "next_due")));
	return CLI_OK;
}

static int drop(struct cli *cli, const struct record_list *list)
{
	const char *path = api_path(cli, "/personas/%s/%s/%s", cli->arguments[0], list->name,
				    cli->arguments[1]);
	int status = ask_done(cli, "DELETE", path, NULL);

	if (status == CLI_OK && !cli->json)
		put(cli, PLAIN, "It is gone.\n");
	return status;
}

int run_personas_research_remove(struct cli *cli)
{
	return drop(cli, &research);
}

int run_personas_validations_remove(struct cli *cli)
{
	return drop(cli, &validations);
}

int run_personas_links_remove(struct cli *cli)
{
	return drop(cli, &links);
}
