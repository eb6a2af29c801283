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
#define FORM_TOO_OLD "This form was too old, or your browser keeps no cookies. Please try again."
/* The browser's word alone, where it gives it: for forms whose address is a secret. ERR_DENIED "csrf". */
int form_is_own(const struct http_request *request, const struct site *site, struct err *err);
/* Of a form that holds a secret: that field and the body it came in, when nobody reads them any more. */
void form_wipe(struct http_request *request, const struct http_form *form, const char *name);
/* A secret in memory of the request; NULL is fine. And the whole body it came in. */
void text_wipe(const char *text);
void body_wipe(struct http_request *request);

/* ------------------------------------------------------------------- sessions -- */

/* The browser is remembered as; all zero: it is not. For struct login. device.c. */
struct uuid browser_device(struct http_request *request, const struct site *site);
/* User-Agent, cut. */
const char *agent_of(const struct http_request *request);
/*
 * The session is in the store: known to memory, and its token on its way to the browser, which goes to url (a path or
 * an address that was checked). On failure end the session: nobody has it. The one that this browser had before ends; before:
 * where its cookie does not come along (session_before); 0: it comes, or there was none.
 */
int session_give(struct http_request *request, struct http_response *response,
		 const struct site *site, const struct session *session, const struct hash256 *hash,
		 const char *token, int64_t before, const char *url, struct err *err);
/* In whichever stage; 0: none. */
int64_t session_before(struct http_request *request, const struct site *site);

/* The same, to where they wanted to go, or to the page of the stage that comes first. */
int session_give_landing(struct http_request *request, struct http_response *response,
			 const struct site *site, const struct session *session,
			 const struct hash256 *hash, const char *token,
			 const struct landing *landing, struct err *err);
/* The page for whoever proved to be who they are, and may not sign in: reason as in struct login_outcome. */
void login_no_access(struct http_request *request, struct http_response *response,
		     const char *reason);

/* ------------------------------------------------------------- choosing a password -- */

/* Two fields, "new-password" and "repeat-password". wrong: what new_password_read said; NULL: nothing yet. */
void new_password_fields(struct http_request *request, struct http_response *response,
			 struct password_policy *policy, const char *username,
			 const struct err *wrong);
/*
 * Their hash. ERR_INVALID: show the form again. ERR_UNAVAILABLE: the hasher is busy (retry_after_s is set).
 */
int new_password_read(struct http_request *request, const struct http_form *form,
		      const struct password_owner *owner, char ret_hash[static HASH_TEXT],
		      struct err *err);
/* The same of a password that came otherwise: policy, then hash. */
int password_hash(struct web *web, struct http_request *request, const char *password,
		  const struct password_owner *owner, char ret_hash[static HASH_TEXT],
		  struct err *err);
void new_password_wipe(struct http_request *request, const struct http_form *form);

/* ---------------------------------------------------------------- the door (login.c) -- */

/* Do people sign in with passwords kept here? */
bool passwords_on(const struct web *web, const struct site *site);
/* Does any directory take its people's? */
bool directories_on(const struct web *web);
/* Is there a form for a name and a password, whoever judges it? */
bool login_form_on(const struct web *web, const struct site *site);
struct login_form {
	const char *username; /* as typed before; NULL */
	const char *problem;  /* NULL: the first time */
};
/* The page of /login: the form, where passwords are on, and the IdPs. */
int login_show(struct http_request *request, struct http_response *response,
	       const struct site *site, const struct landing *landing,
	       const struct login_form *form, struct err *err);

/* "WHAT Please try again in 5 seconds.", and Retry-After to the response. NULL: out of memory, which fails it. */
const char *wait_shown(struct http_request *request, struct http_response *response,
		       const char *what, unsigned wait_s);
/* The page that a session of this stage belongs to: "/login/factor" …; NULL: it is full. */
const char *stage_page(enum session_stage stage);

/* Send the browser to the IdP of a source; signin.c of the folder above. */
int idp_begin(struct http_request *request, struct http_response *response, const struct site *site,
	      const char *source, const struct landing *landing, struct err *err);

#endif
