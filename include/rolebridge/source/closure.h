/*
 * Nested groups: from direct member lists to what each user effectively has.
 *
 *	closure = closure_create();
 *	for every group entry of the directory, wanted or not:
 *		closure_add_group(closure, name, &group, err)     name: dn_fingerprint of its DN
 *		closure_want(closure, group, id, err)             for each wanted id it answers to (DN, uuid)
 *		closure_add_member(closure, group, member, err)   for each value of member …
 *		closure_set_incomplete(closure, group)            when the list may be cut
 *	closure_finish(closure, err)
 *	for every user:
 *		closure_user(closure, names, n, NULL, 0, &answer, err)
 *	for every wanted id:
 *		found = closure_wanted(closure, id, &members)
 *
 * Names are fingerprints (hash.h), so that a membership costs a few bytes and
 * nobody outside can forge a collision. Members may come before the group
 * they name; cycles are fine; a membership said twice counts once. Groups
 * that cannot reach a wanted one are dropped in closure_finish. One thread.
 */
#ifndef ROLEBRIDGE_SOURCE_CLOSURE_H
#define ROLEBRIDGE_SOURCE_CLOSURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rolebridge/base/err.h>
#include <rolebridge/base/hash.h>
#include <rolebridge/base/strbuf.h>

struct closure;

struct closure *closure_create(void); /* NULL: out of memory */
void closure_destroy(struct closure *closure);

/* A group. ERR_CONFLICT when the name was added before (the first one stays; a duplicate entry). */
int closure_add_group(struct closure *closure, struct hash128 name, uint32_t *ret_group,
		      struct err *err);
/* The group answers to this wanted id. Several ids for a group and several groups for an id are fine. */
int closure_want(struct closure *closure, uint32_t group, uint32_t wanted_id, struct err *err);
/* member: a user's or a group's name; names that turn out to be neither do no harm. */
int closure_add_member(struct closure *closure, uint32_t group, struct hash128 member,
		       struct err *err);
/* Some dozens at once wait for memory together: faster by half where there are many names. */
int closure_add_members(struct closure *closure, uint32_t group, const struct hash128 *members,
			size_t count, struct err *err);
/* The group's member list may lack some. */
void closure_set_incomplete(struct closure *closure, uint32_t group);

/* No more groups or members after this (unless dynamic). Cost: linear in memberships and nesting. */
int closure_finish(struct closure *closure, struct err *err);

struct closure_answer {
	const uint32_t
		*ids; /* effective wanted ids, ascending, each once; valid until the next call */
	size_t count;
	/* false: some incomplete list could have given a wanted group the user does not have here. */
	bool complete;
};

/*
 * names: all fingerprints the user is known by in member lists (DN, closure_uid_name).
 * groups: direct memberships told elsewhere (AD primary group, memberOf), as returned by
 * closure_add_group; may be NULL. Counts the user as a member of each group it answers (unless the
 * closure is dynamic).
 */
int closure_user(struct closure *closure, const struct hash128 *names, size_t name_count,
		 const uint32_t *groups, size_t group_count, struct closure_answer *ret_answer,
		 struct err *err);

/* Was a group found for this wanted id; how many closure_user calls got it (may be NULL). */
bool closure_wanted(const struct closure *closure, uint32_t wanted_id, uint64_t *ret_members);
/* The index of a group by its name; false when no such group was added. */
bool closure_find_group(const struct closure *closure, struct hash128 name, uint32_t *ret_group);
size_t closure_group_count(const struct closure *closure);
uint64_t closure_membership_count(const struct closure *closure);

/*
 * memberUid (RFC 2307) names users by uid, not by DN: its fingerprint, folded, in a space of
 * names that no DN can enter. scratch is cleared and reused. -1 with ERR_INVALID: not UTF-8, or
 * longer than any login name (1 KiB): nobody is known by it; else out of memory.
 */
int closure_uid_name(const char *uid, size_t size, struct strbuf *scratch, struct hash128 *ret_name,
		     struct err *err);

/*
 * Dynamic: groups may change after closure_finish, for a closure that was told so before:
 *
 *	closure_set_dynamic(closure)				before anything is added
 *	… add, want, finish as above; closure_user for everybody, closure_count(NULL, 0, ids, n)
 *	for every change that was seen:
 *		closure_change_members(closure, group, members, n)	the whole new list
 *		closure_add_group / closure_want / closure_drop_group	groups come and go
 *		closure_add_member(s) / closure_remove_member		one by one
 *		closure_set_incomplete					after the new list
 *	closure_update(closure, each, context)			the graph is in force again
 *	for every person told: closure_user, compare, closure_count(before, after)
 *
 * Between a change and the next update closure_user still answers from the graph in force for what
 * is inherited; ask it after the update. What a dynamic closure costs beside a static one: all
 * memberships in both directions (8 bytes each, and up to a quarter more where they changed), 28
 * bytes a name. Names are never forgotten: a long-lived one is rebuilt by the next full read.
 *
 * Any failure but ERR_CONFLICT and ERR_INTERNAL (out of memory, too many, `each` refused) leaves a dynamic
 * closure in a state that nobody may trust: every later call fails with ERR_INTERNAL, until closure_destroy.
 */
void closure_set_dynamic(struct closure *closure);
/*
 * The group's member list is this now, in any order; a name said twice counts once. The list counts as
 * complete again. Cost: linear in the old and the new list, and in the memberships of those who left.
 */
int closure_change_members(struct closure *closure, uint32_t group, const struct hash128 *members,
			   size_t count, struct err *err);
/* 0 also when it was no member. */
int closure_remove_member(struct closure *closure, uint32_t group, struct hash128 member,
			  struct err *err);
/*
 * Its memberships are gone; the wanted ids it answered to have one group less. The number is not
 * reused before the next update. Lists that name it keep its name: it may come back.
 */
int closure_drop_group(struct closure *closure, uint32_t group, struct err *err);
/*
 * name: a person's, a group's (an entry may be both) or nobody's. May call closure_user and
 * closure_count, and nothing that changes the closure. Negative: closure_update fails with its err.
 */
typedef int closure_touched_fn(void *context, struct hash128 name, struct err *err);
/*
 * Calls `each` with every name whose effective wanted groups may have changed since the last update,
 * each once. Returns 1 when beyond that the doubt about lists that may be cut changed: then
 * closure_answer.complete may be another for anybody, told or not. Else 0; -1 on failure.
 *
 * Cost: linear in the names told; when the nesting or a wanted group changed in a way that can
 * matter, also in groups and their nesting. Never in all memberships.
 */
int closure_update(struct closure *closure, closure_touched_fn *each, void *context,
		   struct err *err);
/*
 * Did closure_update change what the members of this group get? For those who are members by
 * what is told elsewhere (the `groups` of closure_user): no list names them, so no update does.
 */
bool closure_group_changed(const struct closure *closure, uint32_t group);
/* The names on the group's list as it is now, in any order. `each` changes nothing of the closure. */
int closure_members(struct closure *closure, uint32_t group, closure_touched_fn *each,
		    void *context, struct err *err);
/*
 * Members counts of closure_wanted: a dynamic closure does not count in closure_user, which is asked
 * many times for a person, but here: one less for each id before, one more for each after.
 */
void closure_count(struct closure *closure, const uint32_t *before, size_t before_count,
		   const uint32_t *after, size_t after_count);

static inline void closure_auto(struct closure **closure)
{
	closure_destroy(*closure);
}

#endif
