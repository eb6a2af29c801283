/* What the handlers of the web side share. */
#ifndef API_SITE_H
#define API_SITE_H

#include <pthread.h>
#include <stdatomic.h>

#include <rolebridge/api/web.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>
#include <rolebridge/http/limit.h>

#include "internal.h"
#include "page.h"

/* The options in force; immutable, counted: a request keeps the one it began with. */
struct site {
	atomic_uint references;
	struct setup *setup;
	const struct web_settings *options;
	struct applications *applications;
	const char *url; /* public_url without a slash at its end; NULL: no web side */
	bool secure;	 /* it is https, for the browser at least */
};

/* Of those that were opened through a door, so many are known; it is few people's. */
#define DOOR_SESSIONS 16
/* Those that do not fit are noticed again at their next request. */
#define LOST_MAX 256

struct web {
	struct web_settings_in settings;
	struct store_pool *pool;
	pthread_rwlock_t lock;
	struct site *site; /* by lock */
	/* By address: logins begun; messages of IdPs that a login of the browser waits for, and all others. */
	struct http_limit *login_limit, *awaited_limit, *answer_limit;
	struct http_limit *invite_limit; /* links of invites that are opened */
	char *door_url;			 /* NULL: no door */
	struct http_route *door_routes;	 /* those that are behind it */
	/* Of a door, by lock: until when somebody may be at work there, and the sessions that were opened last. */
	int64_t door_until_s;
	int64_t door_sessions[DOOR_SESSIONS];
	size_t door_session_next;
	pthread_mutex_t lost_lock;
	int64_t lost[LOST_MAX]; /* sessions to be ended by web_tick; by lost_lock */
	size_t lost_count;
};

/* Until site_give. NULL with ERR_UNAVAILABLE when there is no web side. */
struct site *site_take(struct web *web, struct err *err);
void site_give(struct site *site);
static inline void site_auto(struct site **site)
{
	site_give(*site);
}

/* --- cookies --- */
enum cookie {
	COOKIE_SESSION,	    /* of the daemon's own pages */
	COOKIE_APPLICATION, /* of an application's host, for /auth alone */
	COOKIE_LOGIN,	    /* a login that waits for the IdP; named after the request */
	COOKIE_LOGOUT,	    /* a logout that waits for the IdP */
	COOKIE_NONCE,	    /* of an application's host, while a hand-off is under way */
	COOKIE_FORM,	    /* of a page with a form, shown to whoever is not signed in */
	COOKIE_DEVICE,	    /* of a browser that is remembered; answers of IdPs bring it, too */
};
/* suffix: of COOKIE_LOGIN, else "". */
const char *cookie_get(const struct http_request *request, bool secure, enum cookie cookie,
		       const char *suffix);
int cookie_set(struct http_request *request, struct http_response *response, bool secure,
	       enum cookie cookie, const char *suffix, const char *value, int64_t max_age_s,
	       struct err *err);
int cookie_remove(struct http_request *request, struct http_response *response, bool secure,
		  enum cookie cookie, const char *suffix, struct err *err);
/* Suffixes of the cookies of this kind that came, at most max; arena. Returns how many. */
size_t cookie_suffixes(const struct http_request *request, bool secure, enum cookie cookie,
		       const char **ret_suffixes, size_t max);

/* Who is signed in at the daemon's own pages: 1, release the view; 0: nobody; -1: that cannot be told now. */
int site_session(struct http_request *request, const struct site *site,
		 struct session_view *ret_view, struct err *err);
/* The same in whichever stage of signing in: for the pages of signing in alone, which look at view->stage. */
int site_session_any(struct http_request *request, const struct site *site,
		     struct session_view *ret_view, struct err *err);

/* "saml:SOURCE", who acts in the audit log when an IdP speaks. */
struct actor source_actor(const struct http_request *request, const char *source);
/*
 * A worker ended or hung over this message, which limit had let pass: that counts as many messages, so that
 * whoever does it again has to wait. false: it was something else.
 */
bool worker_was_lost(struct http_request *request, struct http_limit *limit, const struct err *err);
/*
 * End this session soon: its person lost what the application requires. For handlers that may not wait. false: it
 * was known already, or there is no room.
 */
bool session_lost(struct web *web, int64_t session_id);

/* --- doors: see web.h --- */
bool web_is_door(const struct web *web);
/* A session was opened through it; nothing happens where there is no door. */
void web_door_used(struct web *web, int64_t session_id, int64_t until_s);

/* --- addresses --- */
#define REQUEST_ID_SIZE 34 /* "_", 32 hex digits, NUL */
void request_id_make(char ret_id[static REQUEST_ID_SIZE]);
/* The part of it that names its cookie and travels as RelayState. */
#define REQUEST_NAME_SIZE 17
void request_name(const char *id, char ret_name[static REQUEST_NAME_SIZE]);

/* base?name=value&… from pairs of names and values, escaped; pairs with value NULL or "" are left out. */
const char *url_with(struct arena *arena, const char *base, const struct http_pair *pairs,
		     size_t count);

/*
 * What to come back to, short enough to travel in cookies and headers: the URL, else without its query, else its
 * origin; only if applications_allow_return. NULL: neither.
 */
const char *return_shorten(struct arena *arena, const struct site *site, const char *url);

/* --- messages through the browser (signin/send.c) --- */
/* A message to the IdP or an application: a redirect, or a form that posts itself. */
int page_send(struct http_request *request, struct http_response *response,
	      const struct saml_outgoing *outgoing, struct err *err);
int page_send_after_form(struct http_request *request, struct http_response *response,
			 const struct saml_outgoing *outgoing, struct err *err);

/* --- handlers, by file --- */
int start_page(struct http_request *, struct http_response *, struct err *);
int asset_get(struct http_request *, struct http_response *, struct err *);
int login_get(struct http_request *, struct http_response *, struct err *);
int login_post(struct http_request *, struct http_response *, struct err *);
int password_forgot_get(struct http_request *, struct http_response *, struct err *);
int password_forgot_post(struct http_request *, struct http_response *, struct err *);
int password_reset_get(struct http_request *, struct http_response *, struct err *);
int password_reset_post(struct http_request *, struct http_response *, struct err *);
/* URL of saml_login that makes the IdP ask anew; NULL: out of memory. */
const char *sign_in_anew(struct http_request *request, const char *source, const char *return_url);
int saml_login(struct http_request *, struct http_response *, struct err *);
int saml_acs(struct http_request *, struct http_response *, struct err *);
int saml_metadata(struct http_request *, struct http_response *, struct err *);
int saml_test(struct http_request *, struct http_response *, struct err *);
int slo_get(struct http_request *, struct http_response *, struct err *);
int slo_post(struct http_request *, struct http_response *, struct err *);
int logout_get(struct http_request *, struct http_response *, struct err *);
int logout_post(struct http_request *, struct http_response *, struct err *);
int invitation_get(struct http_request *, struct http_response *, struct err *);
int invitation_post(struct http_request *, struct http_response *, struct err *);
int invitation_accept_post(struct http_request *, struct http_response *, struct err *);
int login_link_get(struct http_request *, struct http_response *, struct err *);
int login_link_post(struct http_request *, struct http_response *, struct err *);
int handoff_start(struct http_request *, struct http_response *, struct err *);
int handoff_finish(struct http_request *, struct http_response *, struct err *);
int forward_auth(struct http_request *, struct http_response *, struct err *);
int health_get(struct http_request *, struct http_response *, struct err *);
int ready_get(struct http_request *, struct http_response *, struct err *);
int metrics_get(struct http_request *, struct http_response *, struct err *);

/* handoff.c: the application of a URL; NULL: none. */
const struct application *application_at(struct arena *arena, const struct site *site,
					 const char *url);
/* handoff.c: send somebody who is signed in to an application's URL. 1 sent or refused, 0: not an application's. */
int handoff_send(struct http_request *request, struct http_response *response, struct site *site,
		 const struct session_view *view, const char *return_url, const char *nonce,
		 struct err *err);
/* testlogin.c: the page of a test login that has come back. */
struct test_answer {
	const char *source, *relay_state;
	bool just_in_time;
	bool again; /* posted a second time, from here */
	const struct saml_message *message;
	const struct pending_login *pending;
	const struct saml_assertion *assertion;
	const struct saml_refusal *refusal; /* NULL: verified */
	const struct setup *setup;	    /* that the record was made under */
};
int testlogin_show(struct http_request *request, struct http_response *response, struct site *site,
		   const struct test_answer *answer, struct err *err);

#endif
