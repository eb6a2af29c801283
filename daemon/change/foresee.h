/*
 * Dry runs of changes of people: what apply_person would refuse, and nothing written (foresee.c). One of a run for all its
 * people, so that what one of them takes is gone for the next.
 */
#ifndef CHANGE_FORESEE_H
#define CHANGE_FORESEE_H

#include "internal.h"

/* Names that one run can take. */
#define FORESIGHT_MAX 50000000u

struct foresight {
	struct store *store; /* reads alone */
	const struct live_setup *setup;
	const struct actor *actor;
	struct arena *arena;
	struct hash_table *claims; /* of the run */
	int64_t now_s;
	const char *refused; /* the field that a refusal is about */
	bool loses_administrator;
};

/* May they be touched at all? As ceiling_user. */
int foresee_user(struct foresight *foresight, const struct user *user, struct err *err);
/* As apply_person; what is refused takes no name from those who come later. */
int foresee_change(struct foresight *foresight, const struct person_change *change,
		   struct err *err);
/* 'u' a user name, 'e' an address; others are the caller's. */
int foresight_claim(struct foresight *foresight, char what, const char *text, struct err *err);
/* How often. */
uint32_t foresight_claimed(const struct foresight *foresight, char what, const char *text);

#endif
