/*
 * What somebody may do, and the ceiling that follows from it: nobody makes, changes or takes over somebody
 * with more than their own permissions. Read from the store inside the transaction of the change
 * that it guards; the API asks the same function before it lets a request in.
 */
#ifndef ROLEBRIDGE_CHANGE_AUTHORITY_H
#define ROLEBRIDGE_CHANGE_AUTHORITY_H

#include <rolebridge/change/changer.h>

/*
 * An administrator's profile that lists no permissions, or is declared nowhere, has all of them; any other
 * that is not known has none.
 */
struct authority {
	bool unlimited;
	bool is_administrator;	  /* by profile */
	const char *organization; /* NULL: every one */
	const char *const
		*permissions; /* of profile and roles, well-formed; borrowed from setup and arena */
	size_t permission_count;
	/* What a token leaves of these; NULL: all. A permission counts when both cover it. */
	const char *const *scope;
	size_t scope_count;
};

/*
 * Of the actor, as it is in this snapshot. ERR_DENIED "not-allowed": a person who is not active any more, or whoever
 * lacks the permission that is asked for (actor->permission).
 */
int authority_of_actor(struct store *store, const struct setup *setup, const struct actor *actor,
		       int64_t now_s, struct arena *arena, struct authority *ret_authority,
		       struct err *err);
/*
 * Of a user, active or not: what they have, and what they would have when enabled, or when a profile that
 * overrides another one ends.
 */
int authority_of_user(struct store *store, const struct setup *setup, const struct user *user,
		      int64_t now_s, struct arena *arena, struct authority *ret_authority,
		      struct err *err);
/* Of a set of grants that is to be given; unknown names have no permissions. */
int authority_of_grant(const struct setup *setup, enum grant_kind kind, const char *name,
		       struct arena *arena, struct authority *ret_authority, struct err *err);

/* The same of grants that are at hand: of somebody new, or as they will be after a change. */
int authority_of_grants(const struct setup *setup, const struct user *user,
			const struct grant *grants, size_t count, int64_t now_s,
			struct arena *arena, struct authority *ret_authority, struct err *err);
/* Of a profile and roles that are in force (auth's principals). Borrows organization. */
int authority_of_names(const struct setup *setup, const char *organization, const char *profile,
		       const char *const *roles, size_t role_count, struct arena *arena,
		       struct authority *ret_authority, struct err *err);

/* Do both allow the very same? */
bool authority_same(const struct authority *a, const struct authority *b);
/* permission: "users:create@all" */
bool authority_allows(const struct authority *authority, const char *permission);
/* ERR_DENIED "not-allowed" when it does not. */
int authority_require(const struct authority *authority, const char *permission, struct err *err);
/*
 * The ceiling: is everything in `other` within `authority`? Administrators only by administrators. ERR_DENIED
 * "not-allowed", without a word of what is lacking.
 */
int authority_require_within(const struct authority *authority, const struct authority *other,
			     struct err *err);
/* The same for a list of permissions as they stand in a definition or a token. */
int authority_require_covers(const struct authority *authority, const char *const *permissions,
			     size_t count, struct err *err);
/* May this be given? Personas and local groups may by everybody who may give at all. */
int authority_require_grant(const struct authority *authority, const struct setup *setup,
			    enum grant_kind kind, const char *name, struct arena *arena,
			    struct err *err);
/*
 * `@all` ends at the organization: ERR_NOT_FOUND "no WHAT", as for what is not there. organization NULL:
 * what belongs to none.
 */
int authority_require_organization(const struct authority *authority, const char *organization,
				   const char *what, struct err *err);
/* May this user be touched at all? Of the own organization (ERR_NOT_FOUND), and within. */
int authority_require_user(const struct authority *authority, struct store *store,
			   const struct setup *setup, const struct user *user, int64_t now_s,
			   struct arena *arena, struct err *err);

#endif
