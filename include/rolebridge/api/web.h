/*
 * The web side: sign-in through SAML, forward-auth, logout, metadata, health.
 * Everything that reaches beyond (the IdPs' workers) it asks of main through
 * struct saml_ports. Reads go through own read-only handles, writes through change/.
 *
 *	web_create → web_configure (again at each reload) → web_add_routes → … → web_destroy
 */
#ifndef ROLEBRIDGE_API_WEB_H
#define ROLEBRIDGE_API_WEB_H

#include <rolebridge/auth/courier.h>
#include <rolebridge/auth/factor.h>
#include <rolebridge/auth/forward.h>
#include <rolebridge/auth/hasher.h>
#include <rolebridge/auth/password.h>
#include <rolebridge/auth/sessions.h>
#include <rolebridge/auth/throttle.h>
#include <rolebridge/auth/ticket.h>
#include <rolebridge/base/json.h>
#include <rolebridge/http/router.h>

/* What the web side has to know of one source of type saml. Borrowed from the setup in force. */
struct saml_source_view {
	const char *name;
	bool ready;   /* metadata is there */
	bool enabled; /* false: an administrator may test it, nobody signs in */
	bool idp_initiated, just_in_time;
};

/*
 * Filled by main. Any thread; all block for at most a few seconds. Every function: ERR_NOT_FOUND for a
 * source that is not there, ERR_UNAVAILABLE when its workers or its metadata are not.
 * Results live in the arena.
 */
struct saml_ports {
	void *context;
	/* Number i of the sources in force; false: no more. */
	bool (*source)(void *context, size_t i, struct arena *arena,
		       struct saml_source_view *ret_view);
	/*
	 * 0 verified, 1 refused, -1 own side failed; as saml_pool_verify. waiting: the login of this browser
	 * that it may answer, or NULL; a test is explained. *ret_setup (unless -1): the configuration that the
	 * record was made under; release it.
	 */
	int (*verify)(void *context, const char *source, const struct pending_login *waiting,
		      const struct saml_message *message, struct arena *arena,
		      struct saml_assertion *ret_assertion, struct saml_refusal *ret_refusal,
		      struct setup **ret_setup, struct err *err);
	int (*login)(void *context, const char *source, const char *id, const char *relay_state,
		     bool force, struct arena *arena, struct saml_outgoing *ret_outgoing,
		     struct err *err);
	/* ERR_NOT_FOUND "no-logout-endpoint". */
	int (*logout_start)(void *context, const struct session *session, const char *id,
			    struct arena *arena, struct saml_outgoing *ret_outgoing,
			    struct err *err);
	int (*logout_receive)(void *context, const char *source, const char *const *request_ids,
			      size_t request_count, const struct saml_message *message,
			      struct arena *arena, struct saml_logout *ret_logout,
			      struct saml_refusal *ret_refusal, struct err *err);
	int (*logout_answer)(void *context, const char *source, const char *id,
			     const struct saml_logout *request, bool success, struct arena *arena,
			     struct saml_outgoing *ret_outgoing, struct err *err);
	int (*metadata)(void *context, const char *source, struct arena *arena,
			const char **ret_xml, struct err *err);
	/* Members of one source's object: entity id, keys, validity, endpoints, last refresh. */
	void (*status)(void *context, const char *source, struct json *json);
	/*
	 * Why sources are not in force as the configuration has them, from the arena; NULL: they are. It names files
	 * and keys: for administrators, never for a page that everybody sees.
	 */
	const char *(*problem)(void *context, struct arena *arena);
	/* Lines of /metrics in the text format of Prometheus. */
	void (*metrics)(void *context, struct strbuf *out);
};

/* Whose password, as the store knows them (change/password.h). */
struct directory_question {
	const char *source, *key; /* source NULL: nobody's; it takes as long */
	const char *password;
};
struct directory_answer {
	bool right;
	bool limited; /* too many wrong ones lately: nobody was asked about them */
};
/* Directories that take passwords. Filled by main; any thread. */
struct directory_ports {
	void *context;
	bool (*any)(void *context); /* NULL: never */
	/* Blocks for up to 20 s. ERR_UNAVAILABLE "directory-unavailable", "busy". */
	int (*sign_in)(void *context, const struct directory_question *question,
		       struct directory_answer *ret_answer, struct err *err);
	void (*metrics)(void *context, struct strbuf *out);
};

struct web_settings_in {
	struct changer *changer;
	struct sessions *sessions;
	struct tickets *tickets;
	struct hasher *hasher; /* these three may be NULL on a door: no passwords there */
	struct throttle *throttle;
	struct password_policy *policy;
	struct seal *seal;
	struct courier *courier; /* NULL: no codes are sent */
	struct saml_ports saml;
	struct directory_ports directory;
	/* Is everything up that answers need? For /readyz. */
	bool (*ready)(void *context);
	/* More lines of /metrics; may be NULL. */
	void (*metrics)(void *context, struct strbuf *out);
	void *context;
	/*
	 * A door: the pages of somebody who is signed in, and the way in by a link of root's, at an address of its
	 * own on loopback ("http://127.0.0.1:PORT") whatever public_url says; with cookies of its own. NULL: the web side.
	 */
	const char *door_url;
};

struct web;

/* Borrows what settings point at. */
struct web *web_create(const struct web_settings_in *settings, struct err *err);
void web_destroy(struct web *web);
/*
 * Put options in force; they live in the setup, of which a reference is kept until the next
 * call. Without public_url the web side answers nothing but health and metrics.
 */
int web_configure(struct web *web, struct setup *setup, const struct web_settings *options,
		  const struct catalogue_settings *catalogue, struct err *err);
int web_add_routes(struct web *web, struct http_router *router, struct err *err);
/* Of a door: is nobody signed in who came through it? Also when nobody did so far. */
bool web_door_is_idle(struct web *web, int64_t now_s);
/* Timer, every few seconds: end sessions whose people lost what their application requires. */
int web_tick(struct web *web, struct err *err);
/* The page of an error for people, with the reference id: http_settings.error_page. */
bool web_error_page(struct http_request *request, const struct err *err,
		    struct http_response *response);

/* --- for the control socket's handlers --- */
const struct saml_ports *web_saml(const struct web *web);
struct sessions *web_sessions(const struct web *web);
struct tickets *web_tickets(const struct web *web);
/* What second factors stand on. */
struct factor_parts web_factor_parts(const struct web *web);
/* How long a token of the API is good when nothing is said, and at most. */
void web_token_lifetimes(struct web *web, int64_t *ret_default_s, int64_t *ret_max_s);
/* Can people be invited? And how long is a link good? */
bool web_invites(struct web *web, int64_t *ret_lifetime_s);
/* Append "PUBLIC_URL" + path; false when there is no public_url. */
bool web_url(struct web *web, const char *path, struct strbuf *out);

#endif
