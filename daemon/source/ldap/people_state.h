/*
 * What the two parts of the user phase share: entries become records (people.c), and who is known
 * of those who are followed (people_known.c).
 */
#ifndef SOURCE_LDAP_PEOPLE_STATE_H
#define SOURCE_LDAP_PEOPLE_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rolebridge/identity/dn.h>

#include "../disabled.h"
#include "index.h"
#include "people.h"
#include "told.h"

#define KEY_MAX 1024u
/* Upper bounds of what a record adds to the bytes of its texts: head, and per text or list. */
#define HEAD_OVERHEAD 64
#define TEXT_OVERHEAD 10

struct slot {
	const char *name;
	size_t size;
	enum { VALUE_TEXT, VALUE_GUID, VALUE_SID } form;
	bool wanted;	       /* goes into the record, so its values must be text */
	bool present;	       /* in this entry */
	size_t first;	       /* of its values in people.gathered */
	struct berval *values; /* these, once all are gathered */
	size_t count;
};

struct marker {
	struct disabled_marker rule;
	size_t slot;
};

struct people {
	struct session *session;
	struct canaries *canaries;
	struct groupings *groupings; /* NULL: no groups wanted */
	struct search search;
	char **request;
	struct slot *slots;
	size_t slot_count,
		next_slot; /* servers send attributes in the same order again and again */
	size_t key_slot, uid_slot, id_slot, sid_slot, primary_slot, time_slot;
	bool uses_uid;	     /* memberUid may name users */
	bool uses_primary;   /* primaryGroupID may name a group */
	bool has_id;	     /* id_slot is asked for */
	struct index *index; /* who is known; NULL: nobody asks later */
	const char *id_attribute;
	struct told *told;	/* NULL: of no interest */
	bool following;		/* the read is over: entries come one by one */
	size_t *attribute_slot; /* for each of job->attributes */
	struct marker *markers;
	size_t marker_count;
	struct hash_table *keys; /* seen in this read */
	struct dn_parents *parents;
	struct strbuf scratch, dn, key, guids;
	size_t names_bound;	 /* what the names of attributes add to a record at most */
	struct berval *gathered; /* the values of the entry at hand */
	size_t gathered_count, gathered_capacity;
	/* Grown to the longest list met. */
	const char **values;
	size_t *sizes, list_capacity;
	struct hash128 *names; /* the entry's, as members' lists have them */
	size_t name_count, name_capacity;
	struct hash128 id; /* the entry's, when there is an index */
	uint32_t known;	   /* in the index */
	bool again;	   /* was known before */
	bool taken;	   /* another entry had its key first */
	bool conflict;	   /* more than one entry has a say about a key: see people_take */
	bool stranger;	   /* not the entry that is known by its key: nothing is told of it */
};

/* Why an entry is quarantined; reason NULL: it is fine. */
struct problem {
	const char *reason;
	char detail[256];
};

/* --- people.c --- */

/* -1, and the outcome says so. */
int people_out_of_memory(struct people *people);
int people_effective_groups(struct people *people, const struct hash128 *names, size_t count,
			    struct closure_answer *ret_answer);
/* One entry, told or quarantined; the message is consumed. */
int people_take_message(struct people *people, const struct hash128 *id, LDAPMessage *message);

/* --- people_known.c: with an index --- */

/* Sets id, known and stranger of the entry at hand, whose key and names are read. */
void people_identify(struct people *people, const struct hash128 *id);
bool people_key_is_taken(struct people *people);
/* Before the entry at hand is told or quarantined under its key. */
int people_leave_key(struct people *people);
/* groups NULL: as they were. */
int people_remember(struct people *people, unsigned flags, const struct closure_answer *groups);
int people_keep_old_key(struct people *people);

#endif
