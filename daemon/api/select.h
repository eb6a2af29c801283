/* What handlers that choose people by filter share. */
#ifndef API_SELECT_H
#define API_SELECT_H

#include <rolebridge/change/select.h>

#include "internal.h"

/*
 * By `filter` or `segment` (names of the query); neither: NULL. What is wrong with a filter comes with
 * error_field, and details: {"position", "width", "hint"}, bytes of the filter from 0.
 */
int query_selection(struct http_request *request, const struct reading_view *view,
		    struct selection **ret_selection, struct err *err);
/* Of this segment. */
int segment_selection(struct http_request *request, const struct reading_view *view,
		      const char *segment, struct selection **ret_selection, struct err *err);
/* Could it be the filter of a segment, of whoever asks? */
int segment_check(struct http_request *request, const char *filter, struct err *err);
/* A condition was refused with this error: details as above, where a filter of people would be for the same reason. */
void filter_explain(struct http_request *request, const char *filter, const struct err *err);

/* Whoever is not shown a segment's filter is told of no fault of it: ERR_DENIED. What is not there is for others to say. */
int segment_require_shown(struct http_request *request, const char *name, struct err *err);

/* Members of a segment with a filter, as definitions show it; the filter is null to whoever may not see what it names. */
int show_segment(const struct reading_view *view, struct json *json, const void *item,
		 struct err *err);

/* Member "count": who is chosen by a filter that may not be in force, of an organization or (NULL) of all. */
int show_filter_count(struct http_request *request, const struct reading_view *view,
		      struct json *json, const char *filter, const char *organization,
		      struct err *err);

/* Users as a page of {"users", "next"}; selection NULL: all of the query. */
int show_users(const struct reading_view *view, struct json *json, const struct user_query *query,
	       const struct selection *selection, struct err *err);

#endif
