/*
 * What applications tell of their things: resources in trees, and references. Each change is audited; whoever
 * is responsible for anything is not disabled by hand, and what somebody left who was disabled by
 * their directory waits for somebody else (references that are orphaned, and an alarm).
 */
#ifndef ROLEBRIDGE_CHANGE_OWNERSHIP_H
#define ROLEBRIDGE_CHANGE_OWNERSHIP_H

#include <rolebridge/change/changer.h>
#include <rolebridge/model/resource.h>

/* How a resource shall be, as a whole: what is not said is not so. */
struct resource_wish {
	const char *type, *id;
	const char *parent_type, *parent_id; /* both NULL or "": a root */
	const char *owner;		     /* uuid, username or e-mail; NULL or "": nobody */
	const char *title;		     /* NULL: "" */
	const char
		*organization; /* NULL: the parent's, or what it is, or the owner's, or one's own */
};

enum ownership_outcome { OWNERSHIP_CREATED, OWNERSHIP_UPDATED, OWNERSHIP_UNCHANGED };
extern const char *const ownership_outcome_names[];

/*
 * ERR_INVALID with a field: names and texts that cannot be, "not-found" (parent, owner), "resource-cycle",
 * "resource-depth", "other-organization"; ERR_CONFLICT "user-disabled". version: as in change_user_set.
 */
int change_resource_put(struct changer *changer, const struct actor *actor, const char *application,
			const struct resource_wish *wish, int64_t version,
			enum ownership_outcome *ret_outcome, const char **ret_field,
			struct err *err);

struct resource_result {
	enum ownership_outcome outcome;
	/* NULL: well. Else what it was refused for; nothing was changed for it. Of the arena. */
	const char *code, *message, *field;
};
/*
 * Each stands for itself; parents may stand anywhere in the list. Some hundred at a time are one transaction: -1 is
 * a failure of the store, before which some may have been written.
 */
int change_resources_put(struct changer *changer, const struct actor *actor,
			 const char *application, const struct resource_wish *wishes, size_t count,
			 struct arena *arena, struct resource_result *results, struct err *err);

/* How many are removed at most with all that is below. */
#define RESOURCE_REMOVE_MAX 10000
/* ERR_CONFLICT "resource-has-children" unless recursive; "too-many-children". */
int change_resource_remove(struct changer *changer, const struct actor *actor,
			   const struct resource_key *key, int64_t version, bool recursive,
			   size_t *ret_removed, struct err *err);

struct reference_wish {
	const char *application, *kind, *id;
	const char *user, *label;
};
int change_reference_put(struct changer *changer, const struct actor *actor,
			 const struct reference_wish *wish, int64_t version,
			 enum ownership_outcome *ret_outcome, const char **ret_field,
			 struct err *err);
int change_reference_remove(struct changer *changer, const struct actor *actor,
			    const char *application, const char *kind, const char *id,
			    int64_t version, struct err *err);

/*
 * All that a user is responsible for becomes somebody else's, in pieces of at most 500, each one transaction with its audit
 * rows: where it is cut off, or refused on the way, each thing is still or already somebody's, and the same again passes on
 * the rest. application: only of this one; NULL: of all. The other one must be active and of the same organization.
 */
int change_reassign(struct changer *changer, const struct actor *actor, const char *user,
		    const char *to, const char *application, int64_t *ret_moved,
		    const char **ret_field, struct err *err);

/* Can it be the id of a resource or reference? UTF-8, 1 to 256 bytes, no control characters, not "." or "..". */
bool resource_id_is_valid(const char *id);

#endif
