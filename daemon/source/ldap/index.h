/*
 * Who is known of a directory that is followed: by the entry's id, by key, and by every name that
 * groups use. Attributes are not kept. Some 150 bytes a person; nothing of it is O(people)
 * but what says so.
 *
 * Numbers of people begin with 1, 0 is nobody; a number may be used again after index_remove.
 */
#ifndef SOURCE_LDAP_INDEX_H
#define SOURCE_LDAP_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rolebridge/base/hash.h>

struct index;

enum index_flag {
	INDEX_QUARANTINED = 1, /* frozen: its groups are as last told */
	INDEX_DUPLICATE = 2,   /* another entry had this key first; not found by key */
	INDEX_FETCHED = 4,     /* read by itself just now: older news of it may be on the way */
};

struct index *index_create(void); /* NULL: out of memory */
void index_destroy(struct index *index);
size_t index_count(const struct index *index);
size_t index_bytes(const struct index *index);

uint32_t index_find(const struct index *index, struct hash128 id);
uint32_t index_find_key(const struct index *index, const char *key, size_t size);

/*
 * The person of this id; new when there is none. key may be empty (quarantined). Groups stay as
 * they were. Without INDEX_DUPLICATE the key must be nobody else's. 0: out of memory, and nothing changed.
 */
uint32_t index_put(struct index *index, struct hash128 id, const char *key, size_t key_size,
		   const struct hash128 *names, size_t name_count, unsigned flags);
void index_remove(struct index *index, uint32_t person);

struct hash128 index_id(const struct index *index, uint32_t person);
/* Borrowed until the next call of index_key, and until this person changes. */
const char *index_key(struct index *index, uint32_t person, size_t *ret_size);
unsigned index_flags(const struct index *index, uint32_t person);
void index_set_flags(struct index *index, uint32_t person, unsigned flags);
/* The groups told last, ascending; borrowed until the next call of index_groups. -1: out of memory. */
int index_groups(struct index *index, uint32_t person, const uint32_t **ret_ids, size_t *ret_count);
int index_set_groups(struct index *index, uint32_t person, const uint32_t *ids, size_t count);
/* Borrowed until the next call of index_names. -1: out of memory. */
int index_names(struct index *index, uint32_t person, const struct hash128 **ret_names,
		size_t *ret_count);

/* Everybody of this name: begin with {0}; 0 at the end. Nothing may change in between. */
struct index_cursor {
	uint32_t next;
	bool begun;
};
uint32_t index_named(const struct index *index, struct hash128 name, struct index_cursor *cursor);

/* The next person after this one; begin with 0, 0 at the end. */
uint32_t index_next(const struct index *index, uint32_t person);

/* --- marks: who was seen since index_unmark, which costs the same however many there are --- */
void index_unmark(struct index *index);
void index_mark(struct index *index, uint32_t person);
/* The next person after this one that is not marked; begin with 0, 0 at the end. */
uint32_t index_next_unmarked(const struct index *index, uint32_t person);
/* Does somebody with INDEX_DUPLICATE have this key? */
bool index_has_duplicate(const struct index *index, const char *key, size_t size);

#endif
