/*
 * What the handlers of second factors share: who asks about their own, what it all stands on, and how factors are
 * shown. A secret or a code is in the answer to its making and nowhere else.
 */
#ifndef API_FACTORS_H
#define API_FACTORS_H

#include <rolebridge/auth/factor.h>

#include "access.h"
#include "reader.h"
#include "site.h"

#define METHOD_MAX_BYTES 16
#define CODE_MAX_BYTES 64

struct factor_parts factor_parts_of(const struct web *web);

/* Somebody in a session of theirs, at the daemon's own pages. */
struct own {
	struct site *site;
	const struct caller *caller;
	struct actor actor;
	struct factor_parts parts;
	struct factor_asker asker;
	char token[SESSION_TOKEN_TEXT]; /* for the session, when its token becomes another one */
};
/* ERR_DENIED "session-required": a token, a service, the control socket. Always own_finish. */
int own_begin(struct http_request *request, struct own *ret_own, struct err *err);
void own_finish(struct own *own);
/* change/ gave the session the token that own holds: to the browser. */
int own_rotate(struct http_request *request, struct http_response *response, const struct own *own,
	       struct err *err);
/*
 * Of a person's own: a person by session or token, not a service and not the control socket. ERR_DENIED
 * "session-required".
 */
int own_user(const struct http_request *request, int64_t *ret_user_id, struct err *err);

/* The {factor} of the path. ERR_NOT_FOUND. */
int factor_parameter(const struct http_request *request, struct uuid *ret_factor, struct err *err);
/* Never waits longer than it is told. */
void factor_wait(struct http_request *request, int64_t wait_s);

/* FACTOR_BIT of each as an array of names. */
void show_methods(struct json *json, const char *key, unsigned methods);
/* {factors, recovery_codes, …}: all that somebody has; of an administrator's code when it ends. */
int show_factors(const struct reading_view *view, struct json *json, int64_t user_id,
		 struct err *err);
/* One of theirs, as an object. */
int show_own_factor(struct http_request *request, struct json *json, const struct uuid *factor,
		    struct err *err);

#endif
