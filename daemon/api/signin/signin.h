/*
 * What the pages of signing in share: where people want to go, forms of whoever is not signed in, and how a session
 * comes to its browser.
 */
#ifndef API_SIGNIN_SIGNIN_H
#define API_SIGNIN_SIGNIN_H

#include "../site.h"

/* ------------------------------------------------------------ where it leads to -- */

/* What came with /login and travels through all pages until somebody is signed in; NULL where not given. */
struct landing {
	const char *return_url; /* allowed, and short enough to travel */
	const char *nonce;	/* of a hand-off that waits */
};
/* Of the query, or of a form's fields "return" and "nonce". ERR_INVALID "return-not-allowed". */
int landing_read(struct http_request *request, const struct site *site, const char *return_url,
		 const char *nonce, struct landing *ret_landing, struct err *err);
/* As fields of a form. */
void landing_hidden(struct http_response *response, const struct landing *landing);
/* path?return=…&nonce=…; NULL: out of memory. */
const char *landing_path(struct arena *arena, const char *path, const struct landing *landing);
/* Signed in: on to where they wanted to go, by hand-off where that is an application's. */
int landing_go(struct http_request *request, struct http_response *response, struct site *site,
	       const struct session_view *view, const struct landing *landing, struct err *err);

/* ---------------------------------------------------------------------- forms -- */

/*
 * A form that anybody may be shown: its token for page_form_begin is in a cookie of the browser, too, so no other
 * site can post it. NULL with err.
 */
const char *form_token(struct http_request *request, struct http_response *response,
		       const struct site *site, struct err *err);
/*
 * Was it posted from a page of ours that this browser was shown? ERR_DENIED "csrf"; then show the form again.
 */
int form_check(struct http_request *request, const struct site *site, const struct http_form *form,
	       struct err *err);
/* The browser's word alone, where it gives it: for forms whose address is a secret. ERR_DENIED "csrf". */
int form_is_own(const struct http_request *request, const struct site *site, struct err *err);
/* Of a form that holds secrets: its values and the body they came in, when nobody reads them any more. */
void form_wipe(struct http_request *request, struct http_form *form);

/* ------------------------------------------------------------------- sessions -- */

/* User-Agent, cut. */
const char *agent_of(const struct http_request *request);
/*
 * The session is in the store: known to memory, and its token on its way to the browser, which goes to url (a path or
 * an address that was checked). On failure end the session: nobody has it.
 */
int session_give(struct http_request *request, struct http_response *response,
		 const struct site *site, const struct session *session, const struct hash256 *hash,
		 const char *token, const char *url, struct err *err);

/* Send the browser to the IdP of a source; signin.c of the folder above. */
int idp_begin(struct http_request *request, struct http_response *response, const struct site *site,
	      const char *source, const struct landing *landing, struct err *err);

#endif
