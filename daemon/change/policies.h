/* Which policy on second factors is in force for an organization, and what is known of a person that it asks about. */
#ifndef CHANGE_POLICIES_H
#define CHANGE_POLICIES_H

#include <rolebridge/change/enforce.h>

#include "internal.h"

/* As the files say, else the store, else the default. Any handle; texts live in the arena, or the setup. */
int policies_read(const struct setup *setup, struct store *store, const char *organization,
		  struct arena *arena, struct enforce_state *ret_state, struct err *err);
/* The same in the writer, where it is kept: texts are good for the job. */
int policies_get(struct changer *changer, const struct live_setup *setup, const char *organization,
		 struct arena *arena, struct enforce_state *ret_state, struct err *err);
/* Do files say the same of everybody's, and of who is an administrator? Without memory to tell: no. */
bool policies_same(const struct setup *before, const struct setup *after);
/* In the writer, inside the transaction: one is another now. */
void policies_changed(struct changer *changer);
/* After the commit, and at the end. */
void policies_forget(struct changer *changer);

/*
 * Who it is about, as far as the policy asks: profile, roles, groups, methods; sign-ins that were counted. Any handle.
 */
int policies_question(const struct enforce_state *state, const struct setup *setup,
		      struct store *store, const struct user *user, int64_t now_s,
		      struct arena *arena, struct factor_question *ret_question, struct err *err);

#endif
