/*
 * A person: the identities of one user seen together, as rules see them.
 * Attributes come from the first source, in that attribute's precedence, that
 * delivers a value; `attr;x-SOURCE` reads one source only. Groups are the union.
 */
#ifndef ROLEBRIDGE_IDENTITY_PERSON_H
#define ROLEBRIDGE_IDENTITY_PERSON_H

#include <rolebridge/base/arena.h>
#include <rolebridge/identity/schema.h>
#include <rolebridge/model/identity.h>

struct person {
	const struct schema *schema;
	const struct identity *identities; /* at most one per source, ascending by source */
	size_t identity_count;
	const char *
		organization; /* theirs; NULL: none, so that rules of organizations are not for them */
	source_mask sources;		  /* sources that have an identity here */
	source_mask groups_incomplete;	  /* of those, whose group lists may lack some */
	const uint32_t *groups;		  /* union, ascending */
	const source_mask *group_sources; /* parallel: which sources say so */
	size_t group_count;
};

/* Borrows identities (sorted in place by source); the rest comes from the arena. */
int person_merge(const struct schema *schema, struct identity *identities, size_t count,
		 struct arena *arena, struct person *ret_person, struct err *err);

/*
 * The attribute's values by precedence; NULL when no source delivers it.
 * *ret_source: who delivered it (may be NULL).
 */
const struct attribute *person_attribute(const struct person *person, uint16_t id,
					 uint16_t *ret_source);
/* From one source only. */
const struct attribute *person_attribute_of(const struct person *person, uint16_t id,
					    uint16_t source);

/* The fields of the user that the identities say; "" where they say nothing or nothing usable. */
struct person_fields {
	const char *username, *email, *display_name;
	/* Why username or email could not be used; "" when fine. */
	const char *username_problem, *email_problem;
};
int person_fields(const struct person *person, struct arena *arena,
		  struct person_fields *ret_fields, struct err *err);

#endif
