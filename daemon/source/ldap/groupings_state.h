/*
 * What the parts of the group phase share: reading entries (groupings.c), the rest of long lists
 * (groupings_range.c), groups that are followed (groupings_change.c).
 */
#ifndef SOURCE_LDAP_GROUPINGS_STATE_H
#define SOURCE_LDAP_GROUPINGS_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rolebridge/identity/dn.h>

#include "entry.h"
#include "groupings.h"
#include "told.h"

/* Enough for their places in memory to be on the way together. */
#define MEMBERS_AT_ONCE 64

enum member_kind { MEMBER_DN, MEMBER_UNIQUE, MEMBER_UID };

struct member_attribute {
	const char *name;
	size_t size;
	enum member_kind kind;
};

/* A member list that goes on. */
struct unfinished {
	uint32_t group;
	char *dn;
	size_t member; /* index of the attribute */
	unsigned long next;
};

/* Groups of a read that is followed, by their ids. */
struct known_group {
	struct hash128 id, name;
	uint32_t group;
	uint32_t wants; /* its wanted ids: from here in group_reader.want_ids */
	uint32_t want_count;
	bool group_is_set;
	bool gone;
	bool bad;	/* could not be taken in: the answers of this read are doubtful for it */
	uint16_t round; /* in which it was marked last; 0: never */
};

struct numbers {
	uint32_t *items;
	size_t count, capacity;
};

struct group_reader {
	struct session *session;
	size_t most; /* groups that are read; 0: all */
	int64_t until_us;
	struct groupings *groupings;
	struct canaries *canaries;
	struct hash_table *wanted; /* fingerprint of the name → index into job->wanted + 1 */
	uint32_t *same_name;	   /* parallel to job->wanted: the next of that name + 1; 0: none */
	struct member_attribute members[PROTOCOL_LIST_MAX];
	size_t member_count;
	struct dn_parents *parents;
	struct strbuf scratch;
	struct hash128 waiting[MEMBERS_AT_ONCE];
	size_t waiting_count;
	struct unfinished *unfinished;
	size_t unfinished_count, unfinished_capacity;
	uint64_t bad_members, all_members; /* of the group at hand */
	char **request;
	const char *id_attribute;
	struct told *told; /* NULL: of no interest */

	/* when it is followed */
	bool keeps;		/* ids */
	bool following;		/* the read is over: lists are gathered whole */
	struct hash_table *ids; /* → index into known + 1 */
	struct known_group *known;
	size_t known_count, known_capacity;
	uint16_t round; /* of marks, from 1 */
	struct numbers want_ids;
	/* of the group at hand */
	struct hash128 id;
	bool has_id, bad, cut;
	bool late; /* a look may find it */
	struct numbers wants;
	struct hash128 *gathered;
	size_t gathered_count, gathered_capacity;
	/* who wants to know of joining and leaving */
	group_moved_fn *moved;
	void *moved_context;
	struct hash128 *before;
	size_t before_count, before_capacity;
};

/* --- groupings.c --- */

/* -1, and the outcome says so. */
int group_reader_out_of_memory(struct group_reader *reading);
int group_numbers_add(struct numbers *list, uint32_t number);
/* Ascending, each once. */
void group_numbers_sort(struct numbers *list);
int group_reader_add_members(struct group_reader *reading, uint32_t group, enum member_kind kind,
			     struct attribute_values *values);
/* Not all of this group's list could be had. */
void group_reader_cut(struct group_reader *reading, uint32_t group, const struct berval *dn);
/* One entry: begin, take (the message is consumed). id NULL: by attribute, else by name. */
void group_reader_begin(struct group_reader *reading, const struct hash128 *id);
int group_reader_take_message(struct group_reader *reading, LDAPMessage *message,
			      struct hash128 *ret_name, uint32_t *ret_group);

/* --- groupings_range.c --- */

int group_reader_remember_rest(struct group_reader *reading, uint32_t group,
			       const struct berval *dn, size_t member, unsigned long next);
/* Whatever was remembered. */
void group_reader_fetch_rest(struct group_reader *reading);

/* --- groupings_change.c --- */

/* The group just taken in the full read, by its id. */
int group_reader_keep(struct group_reader *reading, struct hash128 name, uint32_t group);

#endif
