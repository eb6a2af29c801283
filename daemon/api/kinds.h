/* The kinds of definitions with a body of fields: profiles, roles, personas, segments. What their handlers share. */
#ifndef API_KINDS_H
#define API_KINDS_H

#include "definitions.h"

/* One body for all of them; each has its table. */
struct definition_body {
	const char *name, *title, *description;
	const char *organization; /* "*": everybody's */
	bool primary;
	struct field_list permissions, classifications, segments;
	struct field_list objectives, frustrations, watering_holes;
	const char *technical_sophistication, *review_due;
	const char *filter;
};

struct definition_type {
	const char *kind, *plural;
	enum grant_kind grant; /* GRANT_KINDS: nobody holds it */
	const struct field *fields;
	size_t field_count;			     /* without the last */
	bool is_described;			     /* every required field says something */
	size_t items, item_size, name, organization; /* in the catalogue */
	int (*show)(const struct reading_view *view, struct json *json, const void *item,
		    struct err *err);
	/* Of lists: `overdue`; NULL: there is no such thing. */
	int (*is_overdue)(const struct reading_view *view, const void *item, bool *ret_overdue,
			  struct err *err);
};

extern const struct definition_type *const profile_type,
	*const role_type, *const persona_type, *const segment_type;

/* --- kinds.c: what is in force --- */
/* NULL: absent, also for people of another organization than its own. */
const void *definition_find(const struct http_request *request, const struct reading_view *view,
			    const struct definition_type *type, const char *name);
/* Whose it is; NULL: all share it. */
const char *definition_owner(const struct definition_type *type, const void *item);
/* Members of one. */
int definition_show(const struct http_request *request, const struct reading_view *view,
		    struct json *json, const struct definition_type *type, const void *item,
		    int64_t *ret_version, struct err *err);

/* --- definitions.c: how it changes --- */
#define DEFINITION_BODY_BYTES ((size_t)220 * 1024) /* below what a line of a configuration may be */
#define DEFINITION_WARNINGS_BYTES ((size_t)1024 * 1024)
/* One line of JSON for the store; NULL with err. */
const char *definition_body_write(struct http_request *request, const struct definition_type *type,
				  const struct definition_body *body, struct err *err);
/* The row of the store. "managed-by-config" where a file declares it. */
int definition_load(struct http_request *request, const struct definition_type *type,
		    const char *name, struct definition *ret_row, struct err *err);
/* Asks main, and answers. filter: of a segment, counted in the answer; NULL. */
int definition_change_one(struct http_request *request, struct http_response *response,
			  const struct definition_type *type,
			  const struct definition_change *change, const char *filter,
			  struct err *err);
int refuse_empty_field(struct http_request *request, const char *field, struct err *err);

#define DEFINITION_HANDLER(name, work, type) \
	int name(struct http_request *request, struct http_response *response, struct err *err) \
	{ \
		return work(request, response, type, err); \
	}

#endif
