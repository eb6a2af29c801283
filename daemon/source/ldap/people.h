/*
 * The user phase: every entry becomes a canonical identity record, or goes to
 * quarantine with its reason.
 */
#ifndef SOURCE_LDAP_PEOPLE_H
#define SOURCE_LDAP_PEOPLE_H

#include "canary.h"
#include "groupings.h"
#include "search.h"

struct people;

/*
 * Prepared before the first search, because the users' may start while groups are still
 * worked on. NULL: outcome says why.
 */
struct people *people_create(struct session *session, struct canaries *canaries);
struct search *people_search(struct people *people);
/*
 * Stream all users. groupings: NULL when no group was asked for; then nothing is missing.
 * 0 also when the search ended early (outcome says so); -1 when the core or the memory is gone.
 */
int people_read(struct people *people, const struct groupings *groupings);
void people_destroy(struct people *people);

#endif
