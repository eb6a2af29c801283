/*
 * Sessions in memory: who stands behind a token, and what they may do now.
 *
 * The store is the truth at start-up; afterwards change/ tells of every change (its observer is
 * set here) so that a disabled person is refused before the commit has ended. The hot
 * path (find) takes a shared lock, one hash and one look-up. Safe from any thread.
 */
#ifndef ROLEBRIDGE_AUTH_SESSIONS_H
#define ROLEBRIDGE_AUTH_SESSIONS_H

#include <rolebridge/change/login.h>

#include <rolebridge/auth/settings.h>

#define SESSION_TOKEN_BYTES 32
#define SESSION_TOKEN_TEXT 44 /* base64url without padding, and NUL */

/* A fresh token for the browser and its hash for everybody else. Wipe the text after use. */
void session_token_make(char ret_text[static SESSION_TOKEN_TEXT], struct hash256 *ret_hash);
/* false: not shaped like a token of ours. */
bool session_token_hash(const char *text, struct hash256 *ret_hash);

struct sessions;

/*
 * Loads all sessions; sets the changer's observer, before other threads use the changer. Borrows the
 * changer: destroy the sessions before changer_close, when nobody asks for changes any more.
 */
struct sessions *sessions_create(struct changer *changer, const struct sessions_settings *settings,
				 struct err *err);
void sessions_destroy(struct sessions *sessions);
/* After a reload of the configuration. */
void sessions_configure(struct sessions *sessions, const struct sessions_settings *settings);

/* A person as applications see them; immutable, shared, counted. */
struct principal {
	int64_t user_id;
	char uuid[UUID_TEXT_SIZE];
	const char *username, *email, *display_name, *organization;
	const char *profile;
	const char *const *roles, *const *personas,
					  *const *groups; /* sorted slugs; groups: local ones */
	size_t role_count, persona_count, group_count;
	bool is_administrator;
	/* Lists joined by ",", ready for headers. */
	const char *roles_text, *personas_text, *groups_text;
};

/*
 * What somebody makes of a principal and wants to find with it again, one thing for each slot. It is never
 * changed, and destroyed with the principal.
 */
#define PRINCIPAL_SLOTS 2
/* NULL: nothing yet. As long as the caller holds the principal. */
void *principal_kept(const struct principal *principal, unsigned slot);
/* Takes thing over; returns what is kept: another thread's, when that one was first. */
void *principal_keep(const struct principal *principal, unsigned slot, void *thing,
		     void (*destroy)(void *thing));

struct session_view {
	const struct principal *principal; /* until session_view_release */
	int64_t session_id;
	struct uuid uuid;
	const char *source; /* interned: lives as long as sessions */
	int64_t created_s, until_s, second_factor_s;
	int64_t signed_in_s;	   /* the first factor was last given */
	enum session_stage stage;  /* SESSION_FULL, but from sessions_find_any */
	enum factor_method factor; /* that proved the second one, or FACTOR_NONE */
	bool by_link;		   /* root's: the person's sign-in may be suspended */
};

/*
 * Who holds this token at host ("": own pages)? Counts as being seen. ERR_NOT_FOUND: nobody, ended,
 * idle for too long, disabled, not yet through all stages of signing in, through them by less than is asked for by now;
 * these look alike. ERR_UNAVAILABLE: the
 * person must be read anew, and the store does not answer; nobody is let in then.
 */
int sessions_find(struct sessions *sessions, const char *token, const char *host, int64_t now_s,
		  struct session_view *ret_view, struct err *err);
/*
 * The same, in whichever stage: for the pages of signing in alone, which look at view->stage. A full session that was
 * proven by too little is put back first (change_session_judge), which takes a transaction. What they change goes
 * through change/, whose transaction reads the stage anew.
 */
int sessions_find_any(struct sessions *sessions, const char *token, const char *host, int64_t now_s,
		      struct session_view *ret_view, struct err *err);
void session_view_release(struct session_view *view);
/*
 * A person as they are now, signed in or not; give it back with principal_release. ERR_NOT_FOUND: nobody, or somebody
 * who may not sign in, also when the commit of that failed. ERR_UNAVAILABLE as above.
 */
int sessions_principal(struct sessions *sessions, int64_t user_id, int64_t now_s,
		       const struct principal **ret_principal, struct err *err);
const struct principal *principal_acquire(const struct principal *principal);
void principal_release(const struct principal *principal); /* NULL is fine */

/*
 * Known from now on; called after change_login and change_session_token_add succeeded. ERR_NOT_FOUND:
 * it has ended meanwhile (disabled, ended by somebody), give no cookie. ERR_CONFLICT: known already.
 */
int sessions_add(struct sessions *sessions, const struct session *session,
		 const struct hash256 *token, struct err *err);
int sessions_add_token(struct sessions *sessions, const struct session_token *token,
		       struct err *err);
/*
 * A stage that is reached and a step-up give a session a new token and end all of its old ones: in the transaction,
 * and here when change/ tells of its commit, before whoever asked is answered. So nobody calls anything for it: send
 * the cookie with the token whose hash was given to change/.
 */

/*
 * Timer, every few seconds; works once a minute: writes when sessions were seen, drops those past their
 * end, then calls change_sessions_prune with the slack that a minute's delay of the store needs. So
 * nobody else calls that one.
 */
int sessions_tick(struct sessions *sessions, int64_t now_s, struct err *err);

struct sessions_counts {
	uint64_t sessions, tokens, principals;
};
void sessions_counts(struct sessions *sessions, struct sessions_counts *ret_counts);

#endif
