/*
 * What the pages of second factors share: a person with a session in some stage, the form they sent, and where they
 * go on. The road through them is told at the head of factor.c.
 */
#ifndef API_SIGNIN_STEP_H
#define API_SIGNIN_STEP_H

#include <rolebridge/auth/factor.h>
#include <rolebridge/policy/factor.h>

#include "signin.h"

/* One request of somebody with a session. */
struct step {
	struct site *site;
	struct session_view view;
	bool found; /* view holds a principal */
	bool posted;
	struct http_form form; /* of a POST */
	struct landing landing;
	struct actor actor; /* the person */
	char csrf[44];
	char token[SESSION_TOKEN_TEXT]; /* for the session, when its stage is another one */
	struct factor_asker asker;	/* with that token's hash */
	struct factor_parts parts;
	struct store *store; /* step_store */
};

#define STAGE_BIT(stage) (1u << (stage))
#define STAGES_ALL (STAGE_BIT(SESSION_FULL) | STAGE_BIT(SESSION_FACTOR) | STAGE_BIT(SESSION_ENROL))

/*
 * Who asks, and may they be here in the stage they are in? 1: go on, with what they sent checked against their
 * session's CSRF token; 0: the response sends them to where they belong, or tells what is wrong; -1. Always step_finish.
 * A form's values are wiped by that.
 */
int step_begin(struct http_request *request, struct http_response *response, unsigned stages,
	       struct step *ret_step, struct err *err);
void step_finish(struct http_request *request, struct step *step);

/* A handle to read with, outside of any snapshot: what was written meanwhile is seen. NULL with err. */
struct store *step_store(const struct http_request *request, struct step *step, struct err *err);
/* A value of the form or, of a GET, of the query. NULL: not given. */
const char *step_value(const struct http_request *request, const struct step *step,
		       const char *name);
/* What they want to call a factor, without spaces around it; "": nothing. */
const char *step_name(const struct http_request *request, const struct step *step);
/* path with where they want to go, for links and redirects. NULL: out of memory. */
const char *step_path(const struct http_request *request, const struct step *step,
		      const char *path);
/* The same for a form that others write. Returns how many. */
#define STEP_FIELDS 2
size_t step_fields(const struct step *step, struct http_pair ret_fields[static STEP_FIELDS]);
/* A form of this page, with the CSRF token and where they want to go. */
void step_form_begin(struct http_response *response, const struct step *step, const char *action);

/* To another page of ours, after a form. */
int step_to(const struct http_request *request, struct http_response *response,
	    const struct step *step, const char *path, struct err *err);
/*
 * Nothing more is asked of them: on to where they wanted to go, "/" where that is nowhere in particular. After a form,
 * too: then by a page that goes on by itself, for browsers hold what follows a form to that form's policy.
 */
int step_leave(struct http_request *request, struct http_response *response, struct step *step,
	       struct err *err);
/* To the page that their stage belongs to; FULL: step_leave. */
int step_elsewhere(struct http_request *request, struct http_response *response, struct step *step,
		   struct err *err);
#define REMEMBER_LABEL "Do not ask again on this device for a while"
/* This browser is remembered, as they asked; where policy does not want that it is not. */
int step_remember(struct http_request *request, struct http_response *response, struct step *step,
		  struct err *err);
/*
 * change/ may have given the session another token and stage: then the token goes to the browser, and view tells what
 * they are now.
 */
int step_rotate(struct http_request *request, struct http_response *response, struct step *step,
		struct err *err);

/*
 * What a person is told of a refusal, in their words; from the arena. NULL: it is none that a person can do
 * anything about, and goes the way of all errors.
 */
const char *step_problem(struct http_request *request, struct http_response *response,
			 const struct err *problem, int64_t wait_s);
/* The status of a page that tells it. */
int step_status(const struct err *problem);
/* Did they sign in through an IdP? */
bool step_by_idp(struct http_request *request, const struct step *step);
/* Where they give their first factor again, the way they gave it, and then go on to landing. NULL: out of memory. */
const char *step_again_url(struct http_request *request, const struct step *step,
			   const struct landing *landing);
/* Was it refused since their sign-in is too old, or a remembered browser proved their second factor? */
bool step_wants_more(const struct err *problem);
/* Then: a page that leads to where they give it, and back to path. */
int step_not_fresh(struct http_request *request, struct http_response *response,
		   const struct step *step, const char *path, struct err *err);
/* The session has ended meanwhile: a page that leads to the beginning. */
int step_ended(struct http_request *request, struct http_response *response,
	       const struct step *step, struct err *err);

/* What they are called. */
const char *step_person(const struct step *step);
/* "22 November 2026, 16:20 UTC" in the arena; NULL: out of memory. */
const char *time_shown(struct arena *arena, int64_t time_s);
/* "an authenticator app" …: a method in the middle of a sentence. */
const char *method_shown(enum factor_method method);

/* --- factor.c: the code of a method is asked for --- */
/* What was asked for was proven: the new token to the browser, which goes on to where its stage belongs. */
int factor_proven(struct http_request *request, struct http_response *response, struct step *step,
		  struct err *err);
/* The page of /login/factor or /step-up, by the request's path; problem: what was wrong, or NULL. */
int factor_show(struct http_request *request, struct http_response *response, struct step *step,
		const char *problem, struct err *err);
int factor_get(struct http_request *, struct http_response *, struct err *);
int factor_post(struct http_request *, struct http_response *, struct err *);
int factor_send_post(struct http_request *, struct http_response *, struct err *);
int factor_cancel_post(struct http_request *, struct http_response *, struct err *);
int step_up_get(struct http_request *, struct http_response *, struct err *);
/* --- enrol.c --- */
int enrol_get(struct http_request *, struct http_response *, struct err *);
int enrol_later_post(struct http_request *, struct http_response *, struct err *);
/* The page on which a method is added, with what was wrong, or NULL. */
int factor_add_show(struct http_request *request, struct http_response *response, struct step *step,
		    enum factor_method method, const char *problem, struct err *err);
int factor_add_get(struct http_request *, struct http_response *, struct err *);
int factor_add_post(struct http_request *, struct http_response *, struct err *);
int factor_confirm_get(struct http_request *, struct http_response *, struct err *);
int factor_confirm_post(struct http_request *, struct http_response *, struct err *);
int factor_confirm_send_post(struct http_request *, struct http_response *, struct err *);
/* Does this method count (counting: FACTOR_BIT of each that does), and can it be used here? */
bool method_offered(struct http_request *request, const struct site *site, unsigned counting,
		    enum factor_method method);
/* FACTOR_BIT of those that count for them. */
int methods_counting(struct http_request *request, const struct step *step, unsigned *ret_methods,
		     struct err *err);
/* The list of methods that can be added, with a way to each. Returns how many. */
size_t offers_show(struct http_request *request, struct http_response *response,
		   const struct step *step, unsigned counting);
/* May they do what needs a fresh sign-in? A guess: change/ decides. */
bool step_is_fresh(const struct step *step);
/* After a factor was enrolled: recovery codes are offered to whoever has none, then on to where they wanted to go. */
int enrol_done(struct http_request *request, struct http_response *response, struct step *step,
	       struct err *err);
/* --- security.c --- */
int security_get(struct http_request *, struct http_response *, struct err *);
int own_factor_get(struct http_request *, struct http_response *, struct err *);
int factor_rename_post(struct http_request *, struct http_response *, struct err *);
int factor_remove_post(struct http_request *, struct http_response *, struct err *);
int recovery_codes_get(struct http_request *, struct http_response *, struct err *);
int recovery_codes_post(struct http_request *, struct http_response *, struct err *);
int device_forget_post(struct http_request *, struct http_response *, struct err *);
int session_end_post(struct http_request *, struct http_response *, struct err *);
/* --- own_password.c --- */
/* Is there a password of theirs here, or could there be one? */
int own_password_is_theirs(struct http_request *request, const struct step *step, bool *ret_theirs,
			   struct err *err);
int own_password_get(struct http_request *, struct http_response *, struct err *);
int own_password_post(struct http_request *, struct http_response *, struct err *);

#endif
