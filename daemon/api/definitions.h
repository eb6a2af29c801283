/* What the handlers of definitions share: bodies as they come, and the answer to a change. */
#ifndef API_DEFINITIONS_H
#define API_DEFINITIONS_H

#include <rolebridge/store/definition.h>

#include "internal.h"
#include "reader.h"

/* Fields of the body as JSON, in the order of the table; what was not given is left out. */
void fields_write(struct json *json, const struct field *fields, size_t count, const void *body);

/* Asks main; fills error_field. Finish the result's report in any case. */
int definitions_change(struct http_request *request, const struct definition_change *changes,
		       size_t count, bool dry_run, const char *plan,
		       struct define_result *ret_result, struct err *err);

/*
 * One change, and the whole answer to it: show writes member "definition", and what else the kind has. plural: of its
 * address.
 */
struct definition_answer {
	const char *plural;
	int (*show)(struct http_request *request, struct http_response *response, struct json *json,
		    const struct definition_change *change, const void *context, struct err *err);
	const void *context;
};
int definition_carry_out(struct http_request *request, struct http_response *response,
			 const struct definition_change *change,
			 const struct definition_answer *answer, struct err *err);

/* Members of the answer that every change has: dry_run, people, plan, warnings, report. */
void show_define_members(struct json *json, const struct define_result *result, bool dry_run);

/* `dry_run` of the query. */
int query_dry_run(struct http_request *request, bool *ret_dry_run, struct err *err);

/* ETag of a version. */
void etag_set(struct http_request *request, struct http_response *response, int64_t version);

/* Members that say where a definition stands, by whom and since when. row NULL: in a file. */
void show_origin_members(const struct http_request *request, const struct reading_view *view,
			 struct json *json, struct position at, const struct definition *row);

/* rules.c: members that the store adds to a rule in force: its body, and the draft that may take its place. */
int show_rule_definition(const struct http_request *request, const struct reading_view *view,
			 struct json *json, const char *id, struct position at,
			 int64_t *ret_version, struct err *err);
/* The whole answer of a rule that is a draft alone; ERR_NOT_FOUND. */
int show_draft_alone(const struct http_request *request, const struct reading_view *view,
		     struct json *json, const char *id, int64_t *ret_version, struct err *err);
/* Member "drafts". */
int show_drafts(const struct http_request *request, const struct reading_view *view,
		struct json *json, struct err *err);
/*
 * Whose rules the caller sees: people of "default" those that everybody has and their own, people of other
 * organizations their own alone, for what files say names others' groups.
 */
bool rule_is_seen(const struct http_request *request, const char *owner);

#endif
