/*
 * The group phase: every group entry goes into the closure, with the
 * fingerprints of its members and the wanted ids it answers to. Long member
 * lists that Active Directory cuts (member;range=) are fetched to their end.
 */
#ifndef SOURCE_LDAP_GROUPINGS_H
#define SOURCE_LDAP_GROUPINGS_H

#include <rolebridge/source/closure.h>

#include "canary.h"
#include "search.h"

struct groupings {
	struct closure *closure;
	/* Every group was seen: a user's absence from one means something. */
	bool complete;
	/* Followed: wanted ids whose members counts have changed since they were told. */
	bool following;
	uint32_t *moved;
	size_t moved_count, moved_capacity;
};

struct group_reader;
struct told;

/*
 * For job->wanted_count > 0. keeps: groups will be followed by their ids; the closure is dynamic.
 * id_attribute, told: as for people. NULL: outcome says why. groupings_finish also then.
 */
struct group_reader *group_reader_create(struct session *session, struct canaries *canaries,
					 struct groupings *groupings, bool keeps,
					 const char *id_attribute, struct told *told);
void group_reader_destroy(struct group_reader *reader);
/* The attributes to ask for; NULL-terminated. */
char **group_reader_request(struct group_reader *reader);
/* Before the read: not further than this, as a search's. */
void group_reader_bound(struct group_reader *reader, size_t most, int64_t until_us);

/*
 * The paged search of all groups; `then` starts when its last page is in. 0 also when the search
 * ended early (outcome says so); -1 when nothing more can be asked of this connection or memory is out: the
 * closure is no good then.
 */
int group_reader_read(struct group_reader *reader, struct search *then);
/* The same in pieces, where entries come otherwise: each entry (consumed), then the end. */
int group_reader_take(struct group_reader *reader, const struct hash128 *id, LDAPMessage *message);
int group_reader_end(struct group_reader *reader, bool partial);

/* --- followed, after the end; the closure has to be updated afterwards --- */

void group_reader_follow(struct group_reader *reader);
/*
 * Called with each name that comes onto a list or leaves it, also when its group gets another name: for those
 * who read from a person's entry what groups list. -1 of it is passed on.
 */
typedef int group_moved_fn(void *context, struct hash128 member);
void group_reader_watch(struct group_reader *reader, group_moved_fn *moved, void *context);
/*
 * An entry that was added or changed (consumed), or is gone. 1: only a full read helps, *ret_reason says
 * why in a stable word. -1: as above.
 */
int group_reader_change(struct group_reader *reader, const struct hash128 *id, LDAPMessage *message,
			const char **ret_reason);
int group_reader_gone(struct group_reader *reader, struct hash128 id, const char **ret_reason);
bool group_reader_knows(const struct group_reader *reader, struct hash128 id);
/* Marks, as in index.h: those that were not marked since are gone. */
void group_reader_unmark(struct group_reader *reader);
void group_reader_mark(struct group_reader *reader, struct hash128 id);
int group_reader_drop_unmarked(struct group_reader *reader, const char **ret_reason);

/* closure_count; what moved is told later. -1: out of memory. */
int groupings_count(struct groupings *groupings, const uint32_t *before, size_t before_count,
		    const uint32_t *after, size_t after_count);
/* GROUP messages for all that moved. */
void groupings_tell_moved(struct groupings *groupings, struct output *out);
void groupings_finish(struct groupings *groupings);

#endif
