/*
 * The user phase: every entry becomes a canonical identity record, or goes to
 * quarantine with its reason.
 */
#ifndef SOURCE_LDAP_PEOPLE_H
#define SOURCE_LDAP_PEOPLE_H

#include "canary.h"
#include "groupings.h"
#include "search.h"

struct index;
struct people;
struct told;

/*
 * Prepared before the first search, because the users' may start while groups are still
 * worked on. NULL: outcome says why.
 *
 * index: keeps who was told or quarantined, for those who follow; NULL: nobody asks later.
 * id_attribute: its value's fingerprint identifies an entry there; NULL: ids come with the entries.
 * told: is kept up with what is told, and modifyTimestamp is asked for; NULL: neither. Needs an index.
 */
struct people *people_create(struct session *session, struct canaries *canaries,
			     struct index *index, const char *id_attribute, struct told *told);
struct search *people_search(struct people *people);
/* NULL, or never called: no group was asked for; then nothing is missing. Borrowed for good. */
void people_use_groups(struct people *people, struct groupings *groupings);
/*
 * Stream all users. 0 also when the search ended early (outcome says so); -1 when the core or the memory
 * is gone.
 */
int people_read(struct people *people);
void people_destroy(struct people *people);

/* --- with an index --- */

/*
 * One entry, told or quarantined; the message is consumed. -1 as people_read. After people_follow also 1:
 * another entry has, or had, a say about the same key, so that only a full read knows whose it is;
 * what was told of it must not count.
 */
int people_take(struct people *people, const struct hash128 *id, LDAPMessage *message);
/* Who that was, in the index; 0: not known. */
uint32_t people_last(const struct people *people);
/* From now on entries come one by one, and again. */
void people_follow(struct people *people);
/* Tell somebody's groups when they are others than those told last. */
int people_tell_groups(struct people *people, uint32_t person);
/* Tell that somebody is gone, and forget them. 1 as in people_take. */
int people_gone(struct people *people, uint32_t person);
/* Is this somebody without whom no read counts as complete? */
bool people_is_canary(struct people *people, uint32_t person);

#endif
