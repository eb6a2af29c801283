/* What reports share. */
#ifndef API_REPORTS_H
#define API_REPORTS_H

#include "internal.h"

/* As "format" says, else as Accept does. */
int report_format(struct http_request *request, bool *ret_csv, struct err *err);
/* Whose people: the caller's, unless they see all; NULL: everybody's. ERR_NOT_FOUND: another one was asked for. */
int report_organization(struct http_request *request, const char **ret_organization,
			struct err *err);
/* A cell with a comma before it; empty for 0. */
void report_put_time(struct strbuf *out, int64_t time_s);

#endif
