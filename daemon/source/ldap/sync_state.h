/*
 * What the two parts of the feed of RFC 4533 share: messages (sync.c), branches (sync_branch.c).
 */
#ifndef SOURCE_LDAP_SYNC_STATE_H
#define SOURCE_LDAP_SYNC_STATE_H

#include <rolebridge/base/hash.h>
#include <rolebridge/base/strbuf.h>

#include "follow.h"

enum search_phase { SEARCH_OFF, SEARCH_REFRESH, SEARCH_PERSIST };

enum search_kind { OF_BRANCHES, OF_GROUPS, OF_PEOPLE };

struct sync_search {
	enum search_kind kind;
	struct job_search what;
	const char *name; /* for messages */
	char **attributes;
	int message_id;
	enum search_phase phase;
	bool heard;	    /* something came of it */
	bool partial;	    /* of a full read: ended early */
	bool refused;	    /* the server cannot do it here */
	bool present_phase; /* of this refresh: who was not named is gone */
	struct strbuf cookie, next_cookie;
	bool has_cookie, has_next;
};

struct waiting {
	LDAPMessage *message;
	bool of_refresh;
};

struct branch {
	struct hash128 name;
	bool marked; /* seen in this refresh */
};

/* Branches of both bases, where they are not the same; groups, if anybody asks for them; people. */
#define SEARCHES_MAX 4

struct sync {
	struct sync_search searches[SEARCHES_MAX];
	size_t search_count;
	struct hash_table *branch_ids; /* → index into branches + 1 */
	struct branch *branches;
	size_t branch_count, branch_capacity;
	struct strbuf scratch;
	bool begun;	 /* the full read is over */
	bool refreshing; /* after a lost connection */
	bool resumed;	 /* on this connection the searches began with cookies */
	struct waiting *items;
	size_t count, capacity, bytes;
};

static inline struct sync *sync_of(const struct follow *follow)
{
	return follow->feed;
}

/* --- sync.c --- */

void sync_add_search(struct sync *sync, enum search_kind kind, const struct job_search *what,
		     const char *name, char **attributes);

/* --- sync_branch.c --- */

/* The searches for branches, where this server needs them. */
void sync_add_branches(const struct follow *follow, struct sync *sync);
/* message is consumed. A new branch in which somebody lives already was not made here, but moved. */
int sync_take_branch(struct follow *follow, struct hash128 id, LDAPMessage *message);
/* -1 */
int sync_branch_is_gone(struct follow *follow);
/* Was one not marked in this refresh? */
bool sync_branch_is_missing(const struct sync *sync);

#endif
