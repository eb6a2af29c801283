/*
 * Who asks. On the control socket the kernel says so, unless a token is sent; on web listeners a token, or the
 * session cookie of the daemon's own pages. What a route needs is asked before its handler runs.
 */
#ifndef API_ACCESS_H
#define API_ACCESS_H

#include <rolebridge/auth/bearers.h>
#include <rolebridge/change/authority.h>

#include "internal.h"

/* request->caller; texts in the request's arena. */
struct caller {
	struct actor actor;	 /* without the request's id */
	bool by_session;	 /* a cookie: what changes anything needs the CSRF token */
	int64_t session_id;	 /* by_session */
	int64_t signed_in_s;	 /* the same: the first factor was last given */
	int64_t second_factor_s; /* the same: 0: none was proven */
	int64_t expires_s;	 /* a token's, a session's; 0: never */
	const char *token;	 /* its name; NULL */
	const char *service;	 /* a service's name; NULL */
	bool explains;		 /* where decisions are asked for: may know why, too */
	bool sees_all; /* where resources are read: all, not only what decisions let them read */
};

int control_before(struct http_request *request, struct err *err);
int web_before(struct http_request *request, struct err *err);
/* Of a caller by session; to be sent in X-CSRF-Token. */
#define CSRF_TEXT 44
void caller_csrf(const struct http_request *request, char ret_text[static CSRF_TEXT]);
static inline const struct caller *api_caller(const struct http_request *request)
{
	return request->caller;
}
/*
 * Where the route names no permission, and the handler asks for it: some are only used with a fresh second factor. Of a
 * session alone; ERR_DENIED "second-factor-required" with where to prove one.
 */
int api_step_up(struct http_request *request, const char *permission, struct err *err);
/* The same of what is to have all these permissions. */
int api_step_up_within(struct http_request *request, const char *const *permissions, size_t count,
		       struct err *err);
/* As the caller is in this view. */
int api_authority(const struct http_request *request, const struct reading_view *view,
		  struct authority *ret_authority, struct err *err);

#endif
