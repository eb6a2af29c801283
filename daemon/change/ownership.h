/* What changes of resources and of references share (ownership.c, resource_*.c, responsible.c). */
#ifndef CHANGE_OWNERSHIP_H
#define CHANGE_OWNERSHIP_H

#include <rolebridge/change/authority.h>
#include <rolebridge/change/ownership.h>
#include <rolebridge/store/ownership.h>

#include "internal.h"

/* One change, or some hundred rows of one, inside the writer's transaction. */
struct owning {
	struct changer *changer;
	const struct live_setup *setup;
	const struct actor *actor;
	struct arena *arena;
	struct authority authority;
	int64_t now_s;
	const char *refused; /* the field that a refusal is about */
	/* Of a large tree that is moved: measured outside of the writer, good as long as no tree has changed since. */
	struct measured {
		int64_t row, height;
		uint64_t tree_changes;
	} measured;
	bool measures_all; /* however large a tree is: nobody else does */
	int64_t unmeasured; /* row of one that was too large: refused, to be asked again with its measure; 0: none */
};
/* Trees of so many are measured inside of the writer; smaller only in tests. What was looked at there is counted. */
extern int64_t ownership_small_tree;
extern uint64_t ownership_looked_at;
/* Reads who asks; refuses who may not do this any more. */
int owning_begin(struct owning *owning, const char *permission, struct err *err);
/* ERR_NOT_FOUND: a token of another application sees none of this one. */
int owning_check_application(const struct owning *owning, const char *application, struct err *err);
/* 422 about a field, with its code. */
int owning_refuse(struct owning *owning, const char *field, const char *reason, const char *text,
		  struct err *err);
/* The version that the caller saw; 0: whichever. */
int owning_check_version(int64_t wanted, int64_t present, struct err *err);
/*
 * Who shall be responsible, of this organization (NULL: any that the caller may see): known, and active unless
 * it is who it was before (user number).
 */
int owning_find_user(struct owning *owning, const char *field, const char *name,
		     const char *organization, int64_t before, struct user *ret_user,
		     struct err *err);
/* One audit row "resource:crm/accounts/42"; detail is filled by the caller. */
int owning_audit(struct owning *owning, const char *action, const char *what,
		 const struct resource_key *key, const struct strbuf *detail, struct err *err);
/* Names and texts that a key may have. */
int owning_check_key(struct owning *owning, const char *application, const char *second_name,
		     const char *second, const char *id, struct err *err);
int owning_check_text(struct owning *owning, const char *field, const char *text, struct err *err);
/* Somebody has less, or more, than before: is what they have orphaned? */
int owning_follow(struct owning *owning, int64_t user_id, struct err *err);
/* resource_write.c: the row, its audit row and the note; before: NULL when it is new. */
int resource_write(struct owning *owning, struct resource *after, const struct resource *before,
		   struct err *err);
/* people: how many belonged to an account that is removed; their ties end with it. */
int resource_audit(struct owning *owning, const char *action, const struct resource *before,
		   const struct resource *after, int64_t people, struct err *err);
/* resource_wish.c: one wish of an application, into the store. */
int resource_put_one(struct owning *owning, const char *application,
		     const struct resource_wish *wish, int64_t version,
		     enum ownership_outcome *ret_outcome, struct err *err);
/* Not NULL, and not empty. */
static inline bool owning_is_given(const char *text)
{
	return text && text[0] != '\0';
}

#endif
