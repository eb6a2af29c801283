/*
 * Canaries: entries that must be seen for a read to count as complete. A
 * directory that hides entries after a change of its access rules answers
 * with success (RFC 4511 4.5.1.5 lets it); only the missing canary tells.
 */
#ifndef SOURCE_LDAP_CANARY_H
#define SOURCE_LDAP_CANARY_H

#include <stdbool.h>
#include <stddef.h>

#include <rolebridge/base/hash.h>

#include "protocol.h"

struct canaries {
	const struct job_texts *texts;
	struct hash_table *table; /* fingerprint of key or DN → index + 1 */
	bool *seen;
};

/* groups_read: the group phase runs too; without it a canary among the groups only is let be. */
int canaries_init(struct canaries *canaries, const struct job *job, bool groups_read,
		  struct err *err);
bool canaries_have(const struct canaries *canaries, struct hash128 name);
void canaries_see(struct canaries *canaries, struct hash128 name);
/* The first one that was not seen; NULL when all were. */
const char *canaries_missing(const struct canaries *canaries);
void canaries_finish(struct canaries *canaries);

#endif
