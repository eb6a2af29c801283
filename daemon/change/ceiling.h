/*
 * The ceiling inside of changes: nobody makes, changes or takes over somebody with more than their own
 * permissions, in another organization, or, being a service, whom they did not make. Nothing is asked of
 * actors that are not limited. All inside the writer's transaction.
 */
#ifndef CHANGE_CEILING_H
#define CHANGE_CEILING_H

#include <rolebridge/change/authority.h>

#include "internal.h"

/* Before anything is said of this user: may they be touched? "not-found" for those of other organizations. */
int ceiling_user(struct changer *changer, const struct setup *setup, const struct actor *actor,
		 const struct user *user, struct arena *arena, struct err *err);
/* Of a change of a person as a whole: they before it, and what it makes of them. */
int ceiling_change(struct apply_context *context, const struct person_change *change,
		   struct err *err);
/* Parts of these, which a dry run asks too, of a handle that can only read. */
int ceiling_service(struct store *store, const struct actor *actor, const struct user *user,
		    struct arena *arena, struct err *err);
int ceiling_protection(const struct authority *authority, const struct person_change *change,
		       struct err *err);
int ceiling_own_grants(const struct actor *actor, const struct person_change *change,
		       struct err *err);
/*
 * The same of a change that waits, before it is planned for good: whoever applies it answers for it. In the
 * snapshot of this store; "not-allowed" also for people of other organizations.
 */
int ceiling_planned(struct store *store, const struct setup *setup,
		    const struct authority *authority, const struct person_change *change,
		    int64_t now_s, struct arena *arena, struct err *err);
/* Whatever this source may come to say of somebody: may the actor give all of it? */
int ceiling_source(struct changer *changer, const struct setup *setup, const struct actor *actor,
		   const char *source, struct arena *arena, struct err *err);
int ceiling_of_source(const struct authority *authority, const struct setup *setup,
		      const char *source, struct arena *arena, struct err *err);
/* What one does to oneself: "self-disable", "self-downgrade". After what is refused to anybody. */
int ceiling_self(const struct apply_context *context, const struct person_change *change,
		 struct err *err);

/* Is this user whom the actor is? Also by name, on the control socket; but root may do anything to anybody. */
bool actor_is_user(const struct actor *actor, const struct user *user);
static inline bool actor_is_service(const struct actor *actor)
{
	return actor->limited && actor->user_id == 0;
}

#endif
