/*
 * Security keys and passkeys on the pages and in the API: parts of pages, and what they post to.
 *
 * The two forms need a page with .script = "webauthn.js": without JavaScript a browser gives no credential. Their
 * buttons stay hidden until the script runs; a line for those who have none is shown in their place.
 */
#ifndef API_SIGNIN_WEBAUTHN_H
#define API_SIGNIN_WEBAUTHN_H

#include "../site.h"

/* Do browsers give credentials to public_url at all? false for an address instead of a name. */
bool webauthn_usable(struct http_request *request, const struct site *site);

/*
 * The form that asks for a key of the person, at /login/factor and /step-up; it posts to a path below the page's. fields: what
 * the page wants sent along as it is. remember: they may tick that this browser is to be remembered.
 * 1: written; 0: nothing to ask for, nothing written.
 */
int webauthn_prove_form(struct http_request *request, struct http_response *response,
			const struct site *site, const struct session_view *view, const char *csrf,
			const struct http_pair *fields, size_t count, bool remember,
			struct err *err);

/*
 * The form that enrols one: a name and a button, at /security and /login/enrol; it posts to /security/webauthn. fields as
 * above. 1, or 0: not usable here.
 */
int webauthn_enrol_form(struct http_request *request, struct http_response *response,
			const struct site *site, const struct session_view *view, const char *csrf,
			const struct http_pair *fields, size_t count, struct err *err);

/* --- handlers --- */
int factor_webauthn_post(struct http_request *, struct http_response *, struct err *);
int step_up_webauthn_post(struct http_request *, struct http_response *, struct err *);
int security_webauthn_get(struct http_request *, struct http_response *, struct err *);
int security_webauthn_post(struct http_request *, struct http_response *, struct err *);
/* JSON, of whoever is signed in by a session: what the browser is to be asked; its answer. */
int me_webauthn_options_post(struct http_request *, struct http_response *, struct err *);
int me_webauthn_post(struct http_request *, struct http_response *, struct err *);

#endif
