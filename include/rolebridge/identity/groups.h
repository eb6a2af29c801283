/*
 * Group registry: every group that rules name gets a number that stays the
 * same as long as some rule names it. Records, stored identities and compiled
 * rules speak of groups by this number.
 *
 * Canonical names:
 *   "cn=sales,ou=groups,dc=acme"          a DN: any directory source (normal form)
 *   "7d5a…-uuid"                          an immutable id: any directory source
 *   "SOURCE:name"                         belongs to that source; name folded; for a directory it is a DN or uuid
 * Numbers are never reused: a group that left the rules and comes back gets a
 * new one, so that old memberships are not mistaken for known ones.
 */
#ifndef ROLEBRIDGE_IDENTITY_GROUPS_H
#define ROLEBRIDGE_IDENTITY_GROUPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rolebridge/base/err.h>
#include <rolebridge/base/strbuf.h>

struct group {
	uint32_t id;	    /* from 1 */
	const char *name;   /* canonical */
	const char *source; /* "" for any directory, else the source's name */
	const char *local;  /* the name without "SOURCE:" */
	bool found;	    /* seen in a complete read at least once */
	bool vanished;	    /* was found, and the last complete read did not have it */
	bool released;	    /* an administrator accepted that it is gone: absence is "no" again */
};

struct group_registry;

struct group_registry *group_registry_create(void);
void group_registry_destroy(struct group_registry *registry);
/*
 * Canonical name of what a rule says; `sources` by name decide what "SOURCE:" means.
 * ERR_INVALID with a cause otherwise.
 */
int group_name_normalize(const char *text, const char *const *sources, size_t source_count,
			 struct strbuf *out, struct err *err);
/*
 * The name without "SOURCE:", as rules write it and as sources look it up: a DN in normal
 * form, a uuid in lower case, else folded. ERR_INVALID: malformed DN, empty.
 */
int group_local_normalize(const char *text, size_t size, struct strbuf *out, struct err *err);
/* Load one known group (from the store), in any order. */
int group_registry_load(struct group_registry *registry, const struct group *group,
			struct err *err);
/* The id of a canonical name, added with the next free id when new. 0 on failure. */
uint32_t group_registry_add(struct group_registry *registry, const char *canonical_name,
			    struct err *err);
/* NULL when absent. Valid until the next add or load. */
const struct group *group_registry_find(const struct group_registry *registry, const char *name);
const struct group *group_registry_get(const struct group_registry *registry, uint32_t id);
/* Ascending by id; index from 0. */
size_t group_registry_count(const struct group_registry *registry);
const struct group *group_registry_at(const struct group_registry *registry, size_t index);
/* First id never given out; persisted, so that numbers are not reused. */
uint32_t group_registry_next_id(const struct group_registry *registry);
void group_registry_set_next_id(struct group_registry *registry, uint32_t next);
struct group_registry *group_registry_copy(const struct group_registry *registry);
/* Forget a group that no rule names any more. */
void group_registry_remove(struct group_registry *registry, uint32_t id);
void group_registry_set_state(struct group_registry *registry, uint32_t id, bool found,
			      bool vanished, bool released);

#endif
