/*
 * Reports of who signs in and uses what, by what people hold. Grouped by what they hold now, whatever they held then;
 * who holds several counts in each. Tombstones are nobody.
 *
 * All of it comes from one snapshot, person by person: memory grows with groups and periods, not with people.
 */
#ifndef ROLEBRIDGE_CHANGE_USAGE_H
#define ROLEBRIDGE_CHANGE_USAGE_H

#include <rolebridge/change/changer.h>

enum usage_kind {
	USAGE_SIGN_INS,	 /* people and sign-ins of each period, disabled people too */
	USAGE_FEATURES,	 /* people and uses of each period, likewise */
	USAGE_ADOPTION,	 /* of the active people who hold it: who signed in, who used something */
	USAGE_LAST_SEEN, /* of them: how many, and when one of them signed in last */
};

enum usage_by {
	USAGE_BY_PROFILE,
	USAGE_BY_ROLE,
	USAGE_BY_PERSONA,
	USAGE_BY_CLASSIFICATION, /* of roles */
	USAGE_BY_SEGMENT,	 /* of roles, and saved filters */
	USAGE_BY_APPLICATION,	 /* USAGE_FEATURES */
	USAGE_BY_FEATURE,	 /* the same: "crm/export" */
	USAGE_BYS
};
const char *usage_by_name(enum usage_by by);

/* Of weeks (from Monday) and months, those at the ends may be cut by the window. */
enum usage_every { USAGE_WHOLE, USAGE_DAY, USAGE_WEEK, USAGE_MONTH };

#define USAGE_DAYS_MAX 3660
#define USAGE_PERIODS_MAX 400

struct usage_query {
	enum usage_kind kind;
	unsigned by;		  /* 1 << enum usage_by, several for USAGE_LAST_SEEN */
	int64_t from_day, to_day; /* days since 1970, UTC; to_day is not of it */
	enum usage_every every;	  /* of sign-ins and features */
	const char *application;  /* events of this one, NULL: of all … */
	const char *feature;	  /* … and of this name */
	const char *organization; /* people of this one alone; NULL: all */
	int64_t now_s;
	bool sensitive; /* segments whose filter reads what is sensitive are told of, too */
	const char *accounts_of; /* whose accounts filters see; NULL: of any application */
};

struct usage_cell {
	int64_t people, count; /* none twice; sign-ins, uses */
	int64_t last_user;     /* while it is counted */
};

struct usage_group {
	enum usage_by by;
	const char *name;
	struct usage_cell total;
	struct usage_cell *cells;	   /* by period */
	int64_t holders, signed_in, users; /* USAGE_ADOPTION: people; users: who used something */
	int64_t last_s;			   /* USAGE_LAST_SEEN; 0: nobody ever */
	int64_t last_user;
};

struct usage_period {
	int64_t from_day, to_day;
};

struct usage_report {
	struct usage_period *periods;
	size_t period_count;
	struct usage_group
		*groups; /* by kind and name; those that are declared are there, also with nobody */
	size_t group_count;
	struct usage_group all; /* everybody, once */
};

/*
 * store: in a snapshot. ERR_INVALID: too many days or periods. ERR_TOO_LARGE: more groups and periods than fit in
 * some ten MB. The report lives in the arena.
 */
int usage_run(const struct usage_query *query, struct store *store, struct setup *setup,
	      struct arena *arena, struct usage_report *ret_report, struct err *err);

/* --- people who have not signed in --- */
struct inactive_query {
	const char *organization; /* NULL: all */
	int64_t before_s;	  /* whose last sign-in was before, or never was */
	bool with_disabled;
	int64_t after_id;
	size_t limit;	  /* so many are told … */
	size_t looked_at; /* … of so many at most */
};
struct inactive {
	struct user user;
	int64_t last_s; /* 0: never */
};
/* In order of id. *ret_next: where to go on; 0: there is nobody behind. */
int usage_inactive(const struct inactive_query *query, struct store *store, struct arena *arena,
		   struct inactive **ret_people, size_t *ret_count, int64_t *ret_next,
		   struct err *err);

#endif
