/*
 * A look at what changed in a directory since a cursor, for the polling feeds (poll.c).
 */
#ifndef SOURCE_LDAP_LOOK_H
#define SOURCE_LDAP_LOOK_H

#include <stdbool.h>
#include <stdint.h>

#include <rolebridge/base/hash.h>
#include <rolebridge/base/strbuf.h>
#include <rolebridge/identity/dn.h>

#include "follow.h"

#define USN_ATTRIBUTE "uSNChanged"

/* What a polling feed remembers: follow->feed. */
struct poll {
	char identity[sizeof(((struct root *)0)->identity)];
	const char *id_attribute;
	bool by_usn;
	bool shows_times; /* modifyTimestamp was seen */
	uint64_t usn, next_usn;
	int64_t newest_s, next_newest_s; /* modifyTimestamp; 0: none yet */
	int64_t due_us;
	bool catching_up; /* since the connection was lost */
	/* Containers: those known, and those known by this name. */
	struct hash_table *containers, *container_names;
	struct dn_parents *parents;
	struct strbuf scratch;
};

/* Before the full read: containers as they are. -1: the session's outcome says why. */
int look_learn_containers(struct follow *follow);
/* Before the full read: the newest modifyTimestamp, or that none is shown. -1 as above. */
int look_find_newest(struct follow *follow);
/*
 * Tell what changed, and commit. -1 as a feed's functions: follow_lost, when a search failed and nothing was
 * told; follow_restart, when changes do not tell everything.
 */
int look_at_changes(struct follow *follow);

#endif
