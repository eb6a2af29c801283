/*
 * Signing in and out: one transaction that uses up the request and the assertion, merges what the IdP
 * said with what is known, evaluates the rules, asks policy, provisions, opens the session and
 * writes the audit row. Logins that wait together share one commit.
 */
#ifndef ROLEBRIDGE_CHANGE_LOGIN_H
#define ROLEBRIDGE_CHANGE_LOGIN_H

#include <rolebridge/change/changer.h>
#include <rolebridge/identity/person.h>
#include <rolebridge/model/resource.h>
#include <rolebridge/model/saml.h>
#include <rolebridge/model/session.h>

struct login {
	const char *source;
	const struct saml_assertion *assertion;
	bool just_in_time;	 /* the source may make users */
	const char *request_id;	 /* of ours, used up here; "": unsolicited */
	int64_t request_until_s; /* it could be answered until */
	struct hash256 token;	 /* of the session to open, for the daemon's own pages */
	const char *address, *agent;
	int64_t until_s; /* absolute end of the session at the latest */
	int64_t now_s;
	/*
	 * The configuration that the record was made under, held by the caller; NULL: the one in force. After a
	 * reload in between, groups that are not in the record count as unknown.
	 */
	const struct setup *setup;
	struct uuid
		device; /* this browser is remembered as (change/device.h); all zero: it is not */
	/* A test by an administrator: request and assertion are used up and audited, no user, no session. */
	bool test;
};

struct login_outcome {
	struct user user; /* as it is after the login, or stays; all zero when nobody was found */
	struct session session;
	bool created; /* just in time */
	/*
	 * "" when signed in; else why not: replayed, request-used, source-disabled, invalid-record,
	 * not-provisioned (nobody known, and not just in time), no-profile, disabled, deleted, suspended,
	 * quarantined, no-username, username-conflict, email-conflict, email-in-other-organization,
	 * name-reserved, ambiguous-link, duplicate-link, other-organization; nothing but the audit row and what
	 * was used up is written then. And 2fa-not-configured: the person is written, and has no session. Otherwise the
	 * session's stage tells how far they are.
	 */
	char refused[48];
	char detail[256]; /* for administrators */
};

/* 0 also when refused: see outcome. -1: store, memory; nothing is written. */
int change_login(struct changer *changer, const struct actor *actor, const struct login *login,
		 struct arena *arena, struct login_outcome *ret_outcome, struct err *err);

/*
 * For a test login's page: the person as this login would make them, to be decided and
 * explained as `why` does. Reads only. *ret_user_id 0: somebody new.
 */
int change_login_preview(struct setup *setup, struct store *store, const struct login *login,
			 struct arena *arena, int64_t *ret_user_id, struct person *ret_person,
			 const char **ret_refused, struct err *err);

/* A login that never came so far: one audit row "login.refused" on "source:NAME". */
int change_login_refused(struct changer *changer, const struct actor *actor, const char *source,
			 const char *reason, const char *detail, const char *address,
			 struct err *err);
/* The same for a logout message of an IdP that was not accepted: "logout.refused". */
int change_logout_refused(struct changer *changer, const struct actor *actor, const char *source,
			  const char *reason, const char *detail, const char *address,
			  struct err *err);

/* Another token of a session (an application host). ERR_NOT_FOUND: it has ended. */
int change_session_token_add(struct changer *changer, const struct session_token *token,
			     struct err *err);
/*
 * End sessions: audited, one row each. why: "logout", "idp-logout", "disabled", "by-administrator" …
 * Those that have ended already are passed over. *ret_ended (may be NULL) counts.
 */
int change_sessions_end(struct changer *changer, const struct actor *actor, const int64_t *ids,
			size_t count, const char *why, size_t *ret_ended, struct err *err);
/* The same, for a logout request of an IdP: its id is used up in the same transaction ("replayed" otherwise). */
int change_sessions_end_by_idp(struct changer *changer, const struct actor *actor,
			       const char *source, const struct saml_logout *logout,
			       size_t *ret_ended, struct err *err);
/* Write when sessions were last seen, many in one commit. Not audited. */
int change_sessions_seen(struct changer *changer, const struct session *sessions, size_t count,
			 struct err *err);
/*
 * Timer: drop what has expired (sessions, used identifiers), a bounded number a call. Idle is what was
 * written by change_sessions_seen last: write first. ended is told of each.
 */
int change_sessions_prune(struct changer *changer, int64_t now_s, int64_t idle_before_s,
			  struct err *err);

/*
 * Timer, now and then: who is known by sign-in alone and has not signed in for policy.stale_after is
 * disabled, within the limits. A person's hand brings them back (change_user_enable).
 */
int change_stale(struct changer *changer, int64_t now_s, struct err *err);

struct resource_note;
struct token_row;

/* Told of changes; called in the writer thread, so they must be short and may not call change/. */
struct change_observer {
	void *context;
	/* Before the commit: refuse this user from now on, whatever becomes of the commit. */
	void (*disabling)(void *context, int64_t user_id);
	/* After the commit: the user's row or grants are other ones. user_id 0: anybody's. */
	void (*changed)(void *context, int64_t user_id);
	void (*ended)(void *context, int64_t session_id);
	/*
	 * After the commit: its stage, times and factor are other ones, and this is its only token; NULL: those that it
	 * has stay.
	 */
	void (*rotated)(void *context, const struct session *session, const struct hash256 *token);
	/* After the commit: resources as they are now, in the order of the changes. NULL: any may be another. */
	void (*resources)(void *context, const struct resource_note *notes);
	/*
	 * Before the commit: a token of the API that will be there, which nobody knows the text of until it is; and
	 * one to refuse from now on, whatever becomes of the commit.
	 */
	void (*token)(void *context, const struct token_row *row);
	void (*token_ended)(void *context, int64_t token_id);
};
/* A resource that was written, or removed. */
struct resource_note {
	const struct resource_note *next;
	struct resource resource;
	bool removed;
};
/* One observer of each kind; set it before other threads use the changer. */
enum observer_kind { OBSERVER_SESSIONS, OBSERVER_DECISIONS, OBSERVER_TOKENS, OBSERVERS };
void changer_observe_as(struct changer *changer, enum observer_kind kind,
			const struct change_observer *observer);
static inline void changer_observe(struct changer *changer, const struct change_observer *observer)
{
	changer_observe_as(changer, OBSERVER_SESSIONS, observer);
}

/* Sign-ins that were refused since the start. */
uint64_t change_sign_ins_refused(const struct changer *changer);

#endif
