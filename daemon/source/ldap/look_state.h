/*
 * What the parts of a look share: the look itself (look.c), its searches (look_ask.c), entries (look_facts.c),
 * containers (look_containers.c), who is gone or has another name (look_doubts.c).
 */
#ifndef SOURCE_LDAP_LOOK_STATE_H
#define SOURCE_LDAP_LOOK_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ldap.h>

#include <rolebridge/base/hash.h>
#include <rolebridge/base/strbuf.h>

#include "follow.h"
#include "look.h"
#include "search.h"

#define LOOK_NO_REFERENCES "1.2.840.113556.1.4.1339" /* MS-ADTS 3.1.1.3.4.1.7 */
#define LOOK_FILTER_MAX (256u * 1024)
#define LOOK_VALUE_MAX (1024u * 1024)
/* More doubts at once are read anew as fast. */
#define LOOK_DOUBTS_MAX 1000
#define LOOK_OVERLAP_S 60

struct doubt {
	enum entry_kind kind;
	struct hash128 id;
	char *value; /* of the id attribute, as a filter writes it */
};

/* Somebody, or a group, that has another name now. */
struct renamed {
	char *dn; /* as a filter writes it */
};

struct messages {
	LDAPMessage **items;
	size_t count, capacity;
};

/* One look at the directory. */
struct look {
	size_t bytes; /* of the messages held */
	struct follow *follow;
	struct poll *poll;
	struct outcome outcome;
	int64_t now_s;		/* ours */
	int64_t alive_until_us; /* while answers come the core hears of it; 0: it does not listen yet */
	struct messages found[KINDS];
	struct hash_table *ids[KINDS]; /* of these, told or not */
	struct hash_table *again;      /* ids of groups read once more */
	struct hash_table *any;	       /* ids of what changed, whatever it is */
	struct doubt *doubts;
	size_t doubt_count, doubt_capacity;
	struct renamed *renamed;
	size_t renamed_count, renamed_capacity;
	const char *restart; /* why only a full read helps */
};

/* What one entry says of itself. */
struct facts {
	struct hash128 id;
	struct berval id_value; /* points into the message */
	bool has_id, is_container, is_deleted, has_name;
	struct hash128 name;
	struct berval dn; /* points into the message */
	uint64_t created_usn;
	int64_t created_s, modified_s;
	size_t size; /* about, in bytes */
};

typedef int look_take_fn(struct look *look, LDAPMessage *message, void *context);

struct question {
	const char *name, *base, *filter;
	uint8_t scope;
	char **attributes;
	const char *controls[SEARCH_CONTROLS_MAX];
	look_take_fn *take;
	void *context;
};

/* Functions return -1 when a search failed or memory is out: look.outcome says why. */

/* --- look_ask.c --- */

int look_out_of_memory(struct look *look);
/* 1: was not in it; -1: out of memory. */
int look_set_add(struct hash_table *set, struct hash128 key);
const char *look_name_of(enum entry_kind kind);
const struct job_search *look_where(const struct look *look, enum entry_kind kind);
char **look_attributes_of(const struct look *look, enum entry_kind kind);
/* From when on changes are asked for. */
int64_t look_from_s(const struct poll *poll);
/* What changed since the cursor. */
void look_put_since(const struct poll *poll, struct strbuf *out);
/* filter may be without parentheses, as libldap takes it. */
void look_put_filter(struct strbuf *out, const char *filter);
/* As a filter writes it; NULL: out of memory. */
char *look_escaped(const struct berval *value);
/* Every entry goes to `take`, which consumes it. The outcome is the look's own. */
int look_ask(struct look *look, const struct question *question);
/* The same question below each base there is. */
int look_ask_all_bases(struct look *look, int (*question)(struct look *look, const char *base));
/* The message is consumed. */
int look_messages_add(struct look *look, struct messages *list, LDAPMessage *message, size_t size);
void look_messages_finish(struct messages *list);

/* --- look_facts.c --- */

/* An entry that does not decode has no id: whoever takes it tells. */
struct facts look_facts_of(struct look *look, LDAPMessage *message);

/* --- look_containers.c --- */

/* What there is below a base is known from now on. */
int look_ask_containers(struct look *look, const char *base);
/* An entry that is a container changed: is that a reason to read anew? */
int look_container_changed(struct look *look, const struct facts *facts);

/* --- look_doubts.c --- */

/* Everything that changed below a base, whatever it is: containers, and doubts. */
int look_ask_any(struct look *look, const char *base);
/* Was it found by no filter because it changed only after those searches? It stays a doubt when it is not there. */
int look_settle_doubt(struct look *look, struct doubt *doubt);
/* An entry to tell, and whether it has another name now. The message is consumed. */
int look_add_entry(struct look *look, const struct facts *facts, LDAPMessage *message,
		   struct messages *list);
/* All groups whose lists name this one: they have the new name, we know the old one. */
int look_ask_groups_of(struct look *look, const struct renamed *renamed);

#endif
