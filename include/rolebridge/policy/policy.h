/*
 * Policy: may this happen? Pure functions over counts taken inside the write
 * transaction. Options under `policy:` in the configuration.
 */
#ifndef ROLEBRIDGE_POLICY_POLICY_H
#define ROLEBRIDGE_POLICY_POLICY_H

#include <rolebridge/config/options.h>
#include <rolebridge/decision/plan.h>

struct limits_settings {
	struct position at;
	int64_t disables_max;		/* 500 */
	int64_t disables_min;		/* 3 */
	int64_t disables_percent;	/* 5 */
	int64_t removals_min;		/* 10 */
	int64_t removals_percent;	/* 5 */
	int64_t group_loss_percent;	/* 30 */
	int64_t group_size_min;		/* 10 */
	int64_t new_administrators;	/* 3 */
	bool first_sync_administrators; /* false: held */
	int64_t window_s;		/* 24 h */
};

struct policy_settings {
	struct position at;
	struct located administrator_profile; /* "administrator" */
	struct located default_profile;	      /* "" */
	struct located_list protected_users;  /* usernames syncs never disable or strip */
	int64_t missing_runs;		      /* 2 */
	int64_t missing_grace_s;	      /* 24 h */
	int64_t stale_after_s;		      /* 90 d */
	struct limits_settings limits;
};
extern const struct option_table policy_table;

struct reports_settings {
	struct position at;
	int64_t retention_s; /* 400 d */
};
extern const struct option_table reports_table;

/* Is a total over its limit, together with what the window already holds? */
struct limit_question {
	enum limit_kind kind;
	int64_t count;		/* in this plan */
	int64_t explicit_count; /* of those, LIMIT_ADMINISTRATORS_LOST: disabled explicitly by the source */
	int64_t in_window; /* applied in the last window, not counting what a person applied */
	/*
	 * Before the plan and the window: active users of the source; holders of the grant; members
	 * the group had. LIMIT_ADMINISTRATORS_LOST: active administrators before the plan.
	 */
	int64_t population;
	bool first_sync; /* of the source */
};
bool policy_over_limit(const struct limits_settings *limits, const struct limit_question *question);
/* The largest count that is not over the limit. */
int64_t policy_limit(const struct limits_settings *limits, const struct limit_question *question);
/* "65 disables of 'corp' are over the limit of 5" for people. */
void policy_limit_text(const struct limits_settings *limits, const struct limit_question *question,
		       const char *subject, struct strbuf *out);

/* --- the last administrator --- */
enum administrator_verdict {
	ADMINISTRATOR_ALLOWED,
	ADMINISTRATOR_CLAMPED, /* keep as administrator on record; sign-in suspended when a source disabled them */
};
struct administrator_question {
	bool before, after; /* active administrator before and after this change */
	int64_t others; /* other active administrators of the organization, in this transaction */
	bool by_person; /* a hand change: refused with "last-administrator" instead of clamped */
};
/* For a person's change: -1 with ERR_CONFLICT, reason "last-administrator". For a sync: the verdict. */
int policy_last_administrator(const struct administrator_question *question,
			      enum administrator_verdict *ret_verdict, struct err *err);

/* A sync may not disable or strip protected users. */
bool policy_is_protected(const struct policy_settings *policy, const char *username);

/* When does a missing identity disable its user? missing_runs as stored. */
bool policy_missing_disables(const struct policy_settings *policy, uint32_t missing_runs,
			     int64_t missing_s, int64_t now_s);

#endif
