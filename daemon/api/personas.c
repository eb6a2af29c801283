/*
 * What is known of personas: research, answers to "does this sound like you", reviews, links; and one's own
 * answers. Enters: requests. Leaves: JSON. Who answered, and in which words, is for those who may read personas,
 * and ends at the organization.
 */
#include "personas.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/change/persona.h>

#include "access.h"
#include "reader.h"

#define LIST_MAX 1000
#define TEXT_MAX 4096
#define TITLE_MAX 256
#define URL_MAX 2048
#define NAME_MAX_BYTES 320
#define COUNT_MAX 1000000
#define DATE_TEXT 10

/* ----------------------------------------------------------------- personas */

/* Those of the caller's organization, and shared ones. */
static const struct persona_settings *find_persona(const struct http_request *request,
						   const struct reading_view *view)
{
	const char *name = http_parameter(request, "name");
	const struct catalogue_settings *catalogue = view->setup->catalogue;
	const struct persona_settings *personas = catalogue->personas.items;

	for (size_t i = 0; i < catalogue->personas.count; i++)
		if (strcmp(personas[i].name.text, name) == 0 &&
		    catalogue_is_for(personas[i].organization, api_organization(request)))
			return &personas[i];
	return NULL;
}

/* What people of 'default' noted of a persona that all share is theirs. */
static bool is_outsider(const struct http_request *request, const struct persona_settings *persona)
{
	const char *organization = api_organization(request);

	return organization && !persona->organization && strcmp(organization, "default") != 0;
}

static int absent(const char *name, struct err *err)
{
	return err_set(err, ERR_NOT_FOUND, "there is no persona '%s'", name);
}

/* A day, as it is given. */
static void show_day(struct json *json, const char *key, int64_t day_s)
{
	char text[CLOCK_TEXT_SIZE];

	if (day_s == 0) {
		json_null(json, key);
		return;
	}
	clock_format(day_s, text);
	text[DATE_TEXT] = '\0';
	json_string(json, key, text);
}

static void show_located(struct json *json, const char *key, const struct located *text)
{
	json_string(json, key, text->text ? text->text : "");
}

static void show_texts(struct json *json, const char *key, const struct located_list *texts)
{
	json_array_key(json, key);
	for (size_t i = 0; i < texts->count; i++)
		json_string(json, NULL, texts->items[i].text);
	json_end(json);
}

static void show_definition(struct json *json, const struct persona_settings *persona)
{
	show_located(json, "title", &persona->title);
	json_bool(json, "primary", persona->primary);
	show_texts(json, "objectives", &persona->objectives);
	show_texts(json, "frustrations", &persona->frustrations);
	show_texts(json, "watering_holes", &persona->watering_holes);
	show_located(json, "technical_sophistication", &persona->technical_sophistication);
}

static void show_counts(struct json *json, const struct persona_facts *facts)
{
	static const struct {
		enum persona_count count;
		const char *name;
	} research[] = {
		{ PERSONA_ENTRIES, "entries" }, { PERSONA_INTERVIEWS, "interviews" },
		{ PERSONA_TICKETS, "tickets" }, { PERSONA_USAGE, "usage" },
		{ PERSONA_CRM, "crm" },
	}, answers[] = {
		{ PERSONA_YES, "yes" }, { PERSONA_PARTLY, "partly" }, { PERSONA_NO, "no" }
	};

	json_object_key(json, "research");
	for (size_t i = 0; i < ARRAY_LEN(research); i++)
		json_int(json, research[i].name, facts->counts[research[i].count]);
	json_end(json);
	json_object_key(json, "validations");
	for (size_t i = 0; i < ARRAY_LEN(answers); i++)
		json_int(json, answers[i].name, facts->counts[answers[i].count]);
	json_end(json);
	json_bool(json, "validated", persona_is_validated(facts));
	json_int(json, "links", facts->counts[PERSONA_LINKS]);
}

static void show_warning(struct json *json, const char *code, const char *message)
{
	json_object(json);
	json_string(json, "code", code);
	json_string(json, "message", message);
	json_end(json);
}

static void show_warnings(struct json *json, const struct persona_settings *persona,
			  const struct persona_facts *facts, bool overdue)
{
	AUTO(strbuf) struct strbuf text = STRBUF(256);

	strbuf_printf(&text, "a primary persona rests on %lld interviews, not on %d or more",
		      (long long)facts->counts[PERSONA_INTERVIEWS], PERSONA_INTERVIEWS_NEEDED);
	json_array_key(json, "warnings");
	if (persona_lacks_research(persona->primary, facts))
		show_warning(json, "insufficient-research", strbuf_text(&text));
	if (overdue)
		show_warning(json, "persona-review-overdue", "its review is overdue");
	json_end(json);
}

int show_persona(const struct reading_view *view, struct json *json, const void *item,
		 struct err *err)
{
	const struct persona_settings *persona = item;
	bool told = !is_outsider(view->request, persona);
	struct persona_facts facts;
	int64_t due_s;
	bool overdue;

	if (store_persona_get(view->store, persona->name.text, view->arena, &facts, err) < 0)
		return -1;
	due_s = persona_review_due(persona->review_due_s, &facts);
	overdue = persona_is_overdue(due_s, clock_now_s());
	show_definition(json, persona);
	show_day(json, "review_due", due_s);
	json_bool(json, "review_overdue", overdue);
	json_time(json, "reviewed", facts.reviewed_s);
	json_string(json, "reviewed_by", facts.reviewed_s && told ? facts.reviewed_by : NULL);
	show_counts(json, &facts);
	show_warnings(json, persona, &facts, overdue);
	return 0;
}

int persona_overdue(const struct reading_view *view, const void *item, bool *ret_overdue,
		    struct err *err)
{
	const struct persona_settings *persona = item;
	struct persona_facts facts;

	if (store_persona_get(view->store, persona->name.text, view->arena, &facts, err) < 0)
		return -1;
	*ret_overdue = persona_is_overdue(persona_review_due(persona->review_due_s, &facts),
					  clock_now_s());
	return 0;
}

int personas_count(const struct reading_view *view, struct persona_figures *ret_figures,
		   struct err *err)
{
	const struct catalogue_settings *catalogue = view->setup->catalogue;
	const struct persona_settings *personas = catalogue->personas.items;
	const char *organization = view->request ? api_organization(view->request) : NULL;
	struct persona_figures figures = { 0 };
	int64_t now_s = clock_now_s();
	struct persona_facts *facts;
	size_t count;

	if (store_personas_load(view->store, view->arena, &facts, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < catalogue->personas.count; i++) {
		const struct persona_settings *persona = &personas[i];
		const struct persona_facts *known =
			persona_facts_find(facts, count, persona->name.text);

		if (!catalogue_is_for(persona->organization, organization))
			continue;
		figures.total++;
		figures.primary += persona->primary;
		figures.overdue +=
			persona_is_overdue(persona_review_due(persona->review_due_s, known), now_s);
		figures.unresearched += persona_lacks_research(persona->primary, known);
		figures.validated += persona_is_validated(known);
	}
	*ret_figures = figures;
	return 0;
}

int show_persona_figures(const struct reading_view *view, struct json *json, struct err *err)
{
	struct persona_figures figures;

	if (personas_count(view, &figures, err) < 0)
		return -1;
	json_object_key(json, "personas");
	json_int(json, "total", figures.total);
	json_int(json, "primary", figures.primary);
	json_int(json, "overdue", figures.overdue);
	json_int(json, "insufficient_research", figures.unresearched);
	json_int(json, "validated", figures.validated);
	json_end(json);
	return 0;
}

/* ------------------------------------------------------------------ records */

struct record_body {
	const char *kind, *answer; /* by what persona_kind_find knows */
	const char *at, *next_due; /* days */
	const char *note, *comment;
	const char *link, *url;
	const char *title, *respondent, *user;
	int64_t count;
};

#define PLACE(member) offsetof(struct record_body, member)

static const struct field research_fields[] = {
	{ "kind", FIELD_TEXT, FIELD_REQUIRED, PLACE(kind), 16, NULL, 0 },
	{ "at", FIELD_TEXT, 0, PLACE(at), DATE_TEXT, NULL, 0 },
	{ "count", FIELD_INT, 0, PLACE(count), COUNT_MAX, NULL, 0 },
	{ "note", FIELD_TEXT, 0, PLACE(note), TEXT_MAX, NULL, 0 },
	{ "link", FIELD_TEXT, 0, PLACE(link), URL_MAX, NULL, 0 },
};

static const struct field validation_fields[] = {
	{ "user", FIELD_TEXT, 0, PLACE(user), NAME_MAX_BYTES, NULL, 0 },
	{ "respondent", FIELD_TEXT, 0, PLACE(respondent), TITLE_MAX, NULL, 0 },
	{ "answer", FIELD_TEXT, FIELD_REQUIRED, PLACE(answer), 16, NULL, 0 },
	{ "comment", FIELD_TEXT, 0, PLACE(comment), TEXT_MAX, NULL, 0 },
};

static const struct field review_fields[] = {
	{ "note", FIELD_TEXT, 0, PLACE(note), TEXT_MAX, NULL, 0 },
	{ "next_due", FIELD_TEXT, 0, PLACE(next_due), DATE_TEXT, NULL, 0 },
};

static const struct field link_fields[] = {
	{ "kind", FIELD_TEXT, FIELD_REQUIRED, PLACE(kind), 16, NULL, 0 },
	{ "title", FIELD_TEXT, FIELD_REQUIRED, PLACE(title), TITLE_MAX, NULL, 0 },
	{ "url", FIELD_TEXT, FIELD_REQUIRED, PLACE(url), URL_MAX, NULL, 0 },
};

static const struct field own_fields[] = {
	{ "answer", FIELD_TEXT, FIELD_REQUIRED, PLACE(answer), 16, NULL, 0 },
	{ "comment", FIELD_TEXT, 0, PLACE(comment), TEXT_MAX, NULL, 0 },
};

static void show_research(struct json *json, const struct persona_record *record)
{
	json_string(json, "kind", persona_kind_name(record->type, record->kind));
	show_day(json, "at", record->at_s);
	json_int(json, "count", record->number);
	json_string(json, "note", record->text);
	json_string(json, "link", record->url[0] ? record->url : NULL);
}

static void show_validation(struct json *json, const struct persona_record *record)
{
	json_string(json, "answer", persona_kind_name(record->type, record->kind));
	json_time(json, "at", record->at_s);
	json_string(json, "comment", record->text);
	json_string(json, "respondent", record->user_id ? NULL : record->title);
}

static void show_review(struct json *json, const struct persona_record *record)
{
	json_time(json, "at", record->at_s);
	show_day(json, "next_due", record->number);
	json_string(json, "note", record->text);
}

static void show_link(struct json *json, const struct persona_record *record)
{
	json_string(json, "kind", persona_kind_name(record->type, record->kind));
	json_time(json, "at", record->at_s);
	json_string(json, "title", record->title);
	json_string(json, "url", record->url);
}

static const struct record_type {
	const char *plural;
	const struct field *fields;
	size_t field_count;
	void (*show)(struct json *json, const struct persona_record *record);
} types[PERSONA_RECORD_TYPES] = {
	[PERSONA_RESEARCH] = { "research", research_fields, ARRAY_LEN(research_fields),
			       show_research },
	[PERSONA_VALIDATION] = { "validations", validation_fields, ARRAY_LEN(validation_fields),
				 show_validation },
	[PERSONA_REVIEW] = { "reviews", review_fields, ARRAY_LEN(review_fields), show_review },
	[PERSONA_LINK] = { "links", link_fields, ARRAY_LEN(link_fields), show_link },
};

static int show_respondent(const struct reading_view *view, struct json *json, int64_t user_id,
			   struct err *err)
{
	char uuid[UUID_TEXT_SIZE];
	struct user user;

	if (user_id == 0) {
		json_null(json, "user");
		return 0;
	}
	if (store_user_get(view->store, user_id, view->arena, &user, err) < 0)
		return -1;
	uuid_format(&user.uuid, uuid);
	json_object_key(json, "user");
	json_string(json, "id", uuid);
	json_string(json, "username", user.username);
	json_end(json);
	return 0;
}

static int show_record(const struct reading_view *view, struct json *json,
		       const struct persona_record *record, struct err *err)
{
	json_int(json, "id", record->id);
	types[record->type].show(json, record);
	if (record->type == PERSONA_VALIDATION &&
	    show_respondent(view, json, record->user_id, err) < 0)
		return -1;
	json_string(json, "actor", record->actor);
	return 0;
}

/* ------------------------------------------------------------------ reading */

/* "kind", or "answer" of validations. */
static int read_kind(struct http_request *request, enum persona_record_type type, const char *field,
		     const char *text, int *ret_kind, struct err *err)
{
	AUTO(strbuf) struct strbuf known = STRBUF(256);

	*ret_kind = text ? persona_kind_find(type, text) : 0;
	if (!text || *ret_kind)
		return 0;
	for (int kind = 1; kind <= persona_kind_count(type); kind++)
		strbuf_printf(&known, "%s%s", kind > 1 ? ", " : "", persona_kind_name(type, kind));
	request->error_field = field;
	return err_set(err, ERR_INVALID, "'%s' is none of %s", text, strbuf_text(&known));
}

static int read_day(struct http_request *request, const char *field, const char *text,
		    int64_t *ret_day_s, struct err *err)
{
	*ret_day_s = 0;
	if (!text)
		return 0;
	if (clock_parse_date(text, ret_day_s, err) == 0 && *ret_day_s != 0)
		return 0;
	request->error_field = field;
	return err_set(err, ERR_INVALID, "field '%s' must be a day, like 2027-01-31", field);
}

static const char *text_or_empty(const char *text)
{
	return text ? text : "";
}

static int read_wish(struct http_request *request, enum persona_record_type type,
		     const struct field *fields, size_t field_count, struct persona_wish *ret_wish,
		     struct err *err)
{
	struct record_body body = { .count = 1 };
	struct persona_record *record = &ret_wish->record;
	int64_t next_due_s;

	if (request_read(request, fields, field_count, &body, err) < 0)
		return -1;
	*ret_wish = (struct persona_wish){ .user = body.user };
	*record = (struct persona_record){
		.type = type,
		.number = type == PERSONA_RESEARCH ? body.count : 0,
		.title = text_or_empty(body.title ? body.title : body.respondent),
		.text = text_or_empty(body.note ? body.note : body.comment),
		.url = text_or_empty(body.url ? body.url : body.link),
	};
	if (body.count == 0) {
		request->error_field = "count";
		return err_set(err, ERR_INVALID, "field 'count' must be 1 or more");
	}
	if (read_kind(request, type, body.answer ? "answer" : "kind",
		      body.answer ? body.answer : body.kind, &record->kind, err) < 0 ||
	    read_day(request, "at", body.at, &record->at_s, err) < 0 ||
	    read_day(request, "next_due", body.next_due, &next_due_s, err) < 0)
		return -1;
	if (type == PERSONA_REVIEW)
		record->number = next_due_s;
	return 0;
}

/* A record's number; 0: none that ever was. */
static int64_t read_id(const struct http_request *request)
{
	const char *text = http_parameter(request, "id");
	long long id;
	char *end;

	errno = 0;
	id = strtoll(text, &end, 10);
	return errno != 0 || *end || end == text || id <= 0 ? 0 : id;
}

static int read_query(struct http_request *request, enum persona_record_type type,
		      struct persona_query *ret_query, struct err *err)
{
	static const char *const names[] = { "after", "limit", "kind", NULL };
	static const char *const answers[] = { "after", "limit", "answer", NULL };
	static const char *const plain[] = { "after", "limit", NULL };
	const char *filter = type == PERSONA_VALIDATION ? "answer" : "kind";
	struct persona_query query = { .type = type };
	int64_t limit;

	if (http_query_allow(request,
			     type == PERSONA_REVIEW	  ? plain
			     : type == PERSONA_VALIDATION ? answers
							  : names,
			     err) < 0 ||
	    http_query_int(request, "after", 0, INT64_MAX, 0, &query.after_id, err) < 0 ||
	    http_query_int(request, "limit", 1, LIST_MAX, 100, &limit, err) < 0 ||
	    read_kind(request, type, filter, http_query(request, filter), &query.kind, err) < 0)
		return -1;
	query.limit = (size_t)limit;
	if (type == PERSONA_VALIDATION)
		query.organization = api_organization(request);
	*ret_query = query;
	return 0;
}

/* ----------------------------------------------------------------- handlers */

static int records_get(struct http_request *request, struct http_response *response,
		       enum persona_record_type type, struct err *err)
{
	AUTO(reading_view) struct reading_view view = { 0 };
	const char *name = http_parameter(request, "name");
	struct json json = api_json(response);
	const struct persona_settings *persona;
	struct persona_query query;
	struct persona_facts facts;
	struct persona_record *records;
	size_t count;

	if (read_query(request, type, &query, err) < 0 || view_open(request, &view, err) < 0)
		return -1;
	persona = find_persona(request, &view);
	if (!persona)
		return absent(name, err);
	if (type != PERSONA_VALIDATION && is_outsider(request, persona))
		return err_refuse(err, ERR_DENIED, "not-allowed",
				  "what is noted of a persona that all organizations share is for "
				  "people of 'default'");
	if (store_persona_get(view.store, name, view.arena, &facts, err) < 0)
		return -1;
	query.persona = facts.id;
	query.owner = persona->organization;
	if (store_persona_list(view.store, &query, view.arena, &records, &count, err) < 0)
		return -1;
	json_object(&json);
	json_array_key(&json, types[type].plural);
	for (size_t i = 0; i < count; i++) {
		json_object(&json);
		if (show_record(&view, &json, &records[i], err) < 0)
			return -1;
		json_end(&json);
	}
	json_end(&json);
	show_next(&json, count == query.limit ? records[count - 1].id : 0);
	json_end(&json);
	return 0;
}

/* As it was noted: somebody may have replaced it since. */
static int answer_record(struct http_request *request, struct http_response *response,
			 const struct persona_outcome *outcome, struct err *err)
{
	AUTO(reading_view) struct reading_view view = { 0 };
	struct json json = api_json(response);

	if (view_open(request, &view, err) < 0)
		return -1;
	response->status = outcome->replaced ? 200 : 201;
	json_object(&json);
	if (show_record(&view, &json, &outcome->record, err) < 0)
		return -1;
	json_end(&json);
	return 0;
}

static int add(struct http_request *request, struct http_response *response,
	       const struct persona_wish *wish, struct err *err)
{
	const struct api *api = request->context;
	const struct actor actor = api_actor(request);
	struct persona_outcome outcome;

	if (change_persona_add(api->settings.changer, &actor, http_parameter(request, "name"), wish,
			       &outcome, &request->error_field, err) < 0)
		return -1;
	return answer_record(request, response, &outcome, err);
}

static int records_post(struct http_request *request, struct http_response *response,
			enum persona_record_type type, struct err *err)
{
	struct persona_wish wish;

	if (read_wish(request, type, types[type].fields, types[type].field_count, &wish, err) < 0)
		return -1;
	return add(request, response, &wish, err);
}

static int remove_by_id(struct http_request *request, struct http_response *response,
			enum persona_record_type type, int64_t id, struct err *err)
{
	const struct api *api = request->context;
	const struct actor actor = api_actor(request);
	struct json json = api_json(response);

	if (change_persona_remove(api->settings.changer, &actor, http_parameter(request, "name"),
				  type, id, err) < 0)
		return -1;
	json_object(&json);
	json_bool(&json, "removed", true);
	json_end(&json);
	return 0;
}

static int record_delete(struct http_request *request, struct http_response *response,
			 enum persona_record_type type, struct err *err)
{
	int64_t id = read_id(request);

	if (id == 0)
		return err_set(err, ERR_NOT_FOUND, "there is no such record");
	return remove_by_id(request, response, type, id, err);
}

#define HANDLER(name, work, type) \
	int name(struct http_request *request, struct http_response *response, struct err *err) \
	{ \
		return work(request, response, type, err); \
	}

HANDLER(persona_research_get, records_get, PERSONA_RESEARCH)
HANDLER(persona_research_post, records_post, PERSONA_RESEARCH)
HANDLER(persona_research_delete, record_delete, PERSONA_RESEARCH)
HANDLER(persona_validations_get, records_get, PERSONA_VALIDATION)
HANDLER(persona_validations_post, records_post, PERSONA_VALIDATION)
HANDLER(persona_validation_delete, record_delete, PERSONA_VALIDATION)
HANDLER(persona_reviews_get, records_get, PERSONA_REVIEW)
HANDLER(persona_reviews_post, records_post, PERSONA_REVIEW)
HANDLER(persona_links_get, records_get, PERSONA_LINK)
HANDLER(persona_links_post, records_post, PERSONA_LINK)
HANDLER(persona_link_delete, record_delete, PERSONA_LINK)

/* ------------------------------------------------------------------ oneself */

static int show_own(const struct reading_view *view, struct json *json, int64_t user_id,
		    const struct persona_settings *persona, struct err *err)
{
	struct persona_record record;
	struct persona_facts facts;
	int found;

	if (store_persona_get(view->store, persona->name.text, view->arena, &facts, err) < 0)
		return -1;
	found = store_persona_answer(view->store, facts.id, user_id, "", view->arena, &record, err);
	if (found < 0)
		return -1;
	json_object(json);
	json_string(json, "name", persona->name.text);
	show_definition(json, persona);
	json_string(json, "answer", found ? persona_kind_name(record.type, record.kind) : NULL);
	json_string(json, "comment", found ? record.text : NULL);
	json_time(json, "answered", found ? record.at_s : 0);
	json_end(json);
	return 0;
}

/* Those that one holds, once each. */
static int show_held(const struct reading_view *view, struct json *json, int64_t user_id,
		     struct err *err)
{
	const struct catalogue_settings *catalogue = view->setup->catalogue;
	const struct persona_settings *personas = catalogue->personas.items;
	int64_t now_s = clock_now_s();
	struct grant *grants;
	size_t count;

	if (store_grants_of(view->store, user_id, view->arena, &grants, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < catalogue->personas.count; i++) {
		bool holds = false;

		for (size_t k = 0; k < count; k++)
			holds = holds ||
				(grants[k].kind == GRANT_PERSONA &&
				 (grants[k].expires_s == 0 || grants[k].expires_s > now_s) &&
				 strcmp(grants[k].name, personas[i].name.text) == 0);
		if (holds && show_own(view, json, user_id, &personas[i], err) < 0)
			return -1;
	}
	return 0;
}

int my_personas_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { NULL };
	AUTO(reading_view) struct reading_view view = { 0 };
	const struct actor actor = api_actor(request);
	struct json json = api_json(response);

	if (http_query_allow(request, names, err) < 0 || view_open(request, &view, err) < 0)
		return -1;
	if (actor.user_id == 0)
		return err_refuse(err, ERR_DENIED, "not-allowed",
				  "only people answer for themselves");
	json_object(&json);
	json_array_key(&json, "personas");
	if (show_held(&view, &json, actor.user_id, err) < 0)
		return -1;
	json_end(&json);
	json_end(&json);
	return 0;
}

int my_validation_put(struct http_request *request, struct http_response *response, struct err *err)
{
	struct persona_wish wish;

	if (read_wish(request, PERSONA_VALIDATION, own_fields, ARRAY_LEN(own_fields), &wish, err) <
	    0)
		return -1;
	wish.own = true;
	return add(request, response, &wish, err);
}

int my_validation_delete(struct http_request *request, struct http_response *response,
			 struct err *err)
{
	return remove_by_id(request, response, PERSONA_VALIDATION, 0, err);
}
