/*
 * What people note of personas: research, answers to "does this sound like you", reviews, links. One audit row
 * each.
 *
 * By hand: personas:update@all, by people of the organization whose persona it is, of 'default' where all share
 * it. One's own answer: personas:validate@own, of those who hold the persona or may read all of them.
 */
#ifndef ROLEBRIDGE_CHANGE_PERSONA_H
#define ROLEBRIDGE_CHANGE_PERSONA_H

#include <rolebridge/change/changer.h>
#include <rolebridge/store/persona.h>

/* Of one persona; more are refused: ERR_CONFLICT "too-many-records". */
#define PERSONA_RESEARCH_MAX 10000
#define PERSONA_VALIDATIONS_MAX 10000
#define PERSONA_REVIEWS_MAX 1000
#define PERSONA_LINKS_MAX 1000

struct persona_wish {
	/* at_s 0: now; number of research 0: one, of a review 0: a year on. user_id, actor and id are not read. */
	struct persona_record record;
	const char *user; /* who answered: uuid, username or e-mail; NULL */
	bool own;	  /* the actor answers */
};

struct persona_outcome {
	struct persona_record
		record; /* as it was noted; its texts are the wish's and the actor's */
	bool replaced;	/* an earlier answer of the same person */
};

/*
 * ERR_NOT_FOUND: no such persona, no such user; ERR_CONFLICT "name-taken", "too-many-records"; ERR_INVALID with
 * *ret_field (also on failure; NULL: none).
 */
int change_persona_add(struct changer *changer, const struct actor *actor, const char *persona,
		       const struct persona_wish *wish, struct persona_outcome *ret_outcome,
		       const char **ret_field, struct err *err);
/* ERR_NOT_FOUND. Of validations id 0: the actor's own. */
int change_persona_remove(struct changer *changer, const struct actor *actor, const char *persona,
			  enum persona_record_type type, int64_t id, struct err *err);

/*
 * Timer: notes since when there are personas that nothing is known of, and removes records of deleted ones, a
 * bounded number at a time. Not audited.
 */
int change_personas_upkeep(struct changer *changer, struct err *err);

#endif
