/*
 * May this user do that? Resources and who asks about whom are held in memory: the store is the truth
 * at start-up, afterwards change/ tells of every change (its second observer is set here). Whoever is
 * disabled is refused before the commit has ended. A decision takes a shared lock and some look-ups. Safe from any thread.
 *
 * Scopes are judged at the account: the nearest resource of type "accounts" above, itself included, or the
 * root where there is none. A permission for the account's type covers what stands below it. Nothing is
 * allowed below an account that the user may not read.
 */
#ifndef ROLEBRIDGE_AUTH_DECISIONS_H
#define ROLEBRIDGE_AUTH_DECISIONS_H

#include <rolebridge/auth/settings.h>
#include <rolebridge/change/login.h>
#include <rolebridge/model/resource.h>

struct decisions;

/* Loads all resources. Borrows the changer: destroy before changer_close, when nobody asks for changes any more. */
struct decisions *decisions_create(struct changer *changer, const struct web_settings *web,
				   struct err *err);
void decisions_destroy(struct decisions *decisions);
/* After a reload: which applications want a second factor. ERR_MEMORY: the old ones stay. */
int decisions_configure(struct decisions *decisions, const struct web_settings *web,
			struct err *err);

struct question {
	const char *user;	/* uuid, username or e-mail */
	const char *permission; /* "tasks:read", "tasks:read@own" */
	/* id NULL: about no resource. */
	struct resource_key resource;
	/* What the caller may ask about; NULL: any. */
	const char *application, *organization;
};

enum decision_reason {
	DECISION_GRANTED,
	DECISION_UNKNOWN_USER,
	DECISION_UNKNOWN_RESOURCE,
	DECISION_USER_DISABLED,
	DECISION_OTHER_ORGANIZATION,
	DECISION_SECOND_FACTOR,
	DECISION_ACCOUNT_NOT_READABLE,
	DECISION_NOT_GRANTED,
	DECISION_SCOPE, /* granted, but not for this one */
};
extern const char *const decision_reason_names[];

#define DECISION_BY_MAX 160
struct verdict {
	bool allowed;
	enum decision_reason reason;
	char by[DECISION_BY_MAX]; /* the permission that was decisive; "" */
};

/*
 * ERR_INVALID "invalid-request": no permission. ERR_UNAVAILABLE: the store does not answer; nothing is allowed then.
 * explain: also fill by.
 */
int decisions_ask(struct decisions *decisions, const struct question *question, bool explain,
		  int64_t now_s, struct verdict *ret_verdict, struct err *err);

struct listing_question {
	struct question
		question; /* its resource: application and type that are listed; id: unused */
	const char *parent_type, *parent_id; /* NULL: anywhere */
	int64_t after;
	size_t limit;
};
/*
 * What the user may do that with, in order of registration. each must be short: the resources are locked. *ret_next: to go
 * on after; 0: that was all. Of millions that are not for them a page stops after a while, with fewer
 * than limit, and is not the last.
 */
int decisions_list(struct decisions *decisions, const struct listing_question *question,
		   int64_t now_s, void (*each)(void *context, const char *type, const char *id),
		   void *context, int64_t *ret_next, struct err *err);

/* Resources that a list looks at before others have their turn: about a millisecond; how often. Smaller only in tests. */
extern size_t decisions_look_max, decisions_pieces_max;

struct decisions_counts {
	uint64_t resources, people;
};
void decisions_counts(struct decisions *decisions, struct decisions_counts *ret_counts);

#endif
