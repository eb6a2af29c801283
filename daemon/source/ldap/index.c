/*
 * People by id, key and names (see index.h). Enters: what an entry told.
 * Leaves: who is meant by an id, a key or a member's name. Fails: out of memory only.
 *
 * Three tables with chains through 32-bit numbers; people and names lie in blocks that never
 * move, so that growing costs no second copy. A person's key and groups are one piece of memory: a
 * key that is a UUID takes 16 bytes, groups are differences as varints.
 */
#include "index.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/ids.h>

#define BLOCK_BITS 12
#define BLOCK_ITEMS (1u << BLOCK_BITS)
#define ITEMS_MAX (1u << 28)
#define BUCKETS_FIRST 1024

struct text {
	uint32_t groups_size; /* bytes */
	uint16_t key_size;    /* as stored */
	bool key_is_uuid;
	bool no_key;
	unsigned char data[]; /* key, groups */
};

struct person {
	struct hash128 id;
	struct text *text; /* NULL: free */
	uint32_t first_name;
	uint32_t next_by_id;  /* or the next free one */
	uint32_t next_by_key; /* or of those whose key was another's first */
	uint8_t flags;
	bool by_key;	/* is in one of these tables */
	uint16_t round; /* in which they were marked last; 0: never */
};

struct name {
	struct hash128 name;
	uint32_t person;
	uint32_t next_of_person; /* or the next free one */
	uint32_t next_by_name;
};

/* Items of one size; number 0 is never given out. */
struct pool {
	size_t item_size;
	unsigned char **blocks;
	size_t block_count, block_capacity;
	uint32_t used; /* highest number given out */
	uint32_t free; /* first of those given back */
};

struct table {
	uint32_t *buckets;
	size_t count, size; /* size: a power of two */
};

struct index {
	struct pool people, names;
	struct table by_id, by_key, by_name;
	struct table duplicates; /* by key, of those with INDEX_DUPLICATE */
	uint16_t round;		 /* of marks, from 1 */
	size_t count;
	size_t text_bytes;
	char key[UUID_TEXT_SIZE];
	uint32_t *groups;
	size_t group_capacity;
	struct hash128 *name_list;
	size_t name_capacity;
};

/* --- blocks --- */

static void *item_at(const struct pool *pool, uint32_t number)
{
	return pool->blocks[number >> BLOCK_BITS] +
	       (size_t)(number & (BLOCK_ITEMS - 1)) * pool->item_size;
}

static struct person *person_at(const struct index *index, uint32_t number)
{
	return item_at(&index->people, number);
}

static struct name *name_at(const struct index *index, uint32_t number)
{
	return item_at(&index->names, number);
}

static int pool_add_block(struct pool *pool)
{
	unsigned char *block;

	if (pool->block_count == pool->block_capacity) {
		size_t capacity = pool->block_capacity ? 2 * pool->block_capacity : 16;
		void *blocks = alloc_resize(pool->blocks, capacity * sizeof(*pool->blocks));

		if (!blocks)
			return -1;
		pool->blocks = blocks;
		pool->block_capacity = capacity;
	}
	block = alloc_zeroed(BLOCK_ITEMS, pool->item_size);
	if (!block)
		return -1;
	pool->blocks[pool->block_count++] = block;
	return 0;
}

/* A number never used before; 0: out of memory. */
static uint32_t pool_take_new(struct pool *pool)
{
	uint32_t number = pool->used + 1;

	if (number >= ITEMS_MAX)
		return 0;
	if ((number >> BLOCK_BITS) >= pool->block_count && pool_add_block(pool) < 0)
		return 0;
	pool->used = number;
	return number;
}

static void pool_finish(struct pool *pool)
{
	for (size_t i = 0; i < pool->block_count; i++)
		free(pool->blocks[i]);
	free(pool->blocks);
}

static uint32_t take_person(struct index *index)
{
	uint32_t number = index->people.free;

	if (number == 0)
		return pool_take_new(&index->people);
	index->people.free = person_at(index, number)->next_by_id;
	return number;
}

static uint32_t take_name(struct index *index)
{
	uint32_t number = index->names.free;

	if (number == 0)
		return pool_take_new(&index->names);
	index->names.free = name_at(index, number)->next_of_person;
	return number;
}

/* --- keys --- */

static const char *key_of(const struct person *person, char *room, size_t *ret_size)
{
	const struct text *text = person->text;

	if (!text->key_is_uuid) {
		*ret_size = text->key_size;
		return (const char *)text->data;
	}
	uuid_format((const struct uuid *)(const void *)text->data, room);
	*ret_size = UUID_TEXT_SIZE - 1;
	return room;
}

static uint64_t hash_of_key(const char *key, size_t size)
{
	return fingerprint128(key, size).word[0];
}

static bool key_is(const struct person *person, const char *key, size_t size)
{
	char room[UUID_TEXT_SIZE];
	size_t own_size;
	const char *own = key_of(person, room, &own_size);

	return own_size == size && memcmp(own, key, size) == 0;
}

/* Only the spelling that uuid_format gives can be made again. */
static bool key_as_uuid(const char *key, size_t size, struct uuid *ret_uuid)
{
	char copy[UUID_TEXT_SIZE], again[UUID_TEXT_SIZE];

	if (size != UUID_TEXT_SIZE - 1)
		return false;
	memcpy(copy, key, size);
	copy[size] = '\0';
	if (!uuid_parse(copy, ret_uuid))
		return false;
	uuid_format(ret_uuid, again);
	return memcmp(copy, again, sizeof(copy)) == 0;
}

static struct text *make_text(const char *key, size_t key_size, const void *groups,
			      size_t groups_size)
{
	struct uuid uuid;
	bool is_uuid = key_as_uuid(key, key_size, &uuid);
	size_t stored = is_uuid ? sizeof(uuid) : key_size;
	struct text *text;

	if (stored > UINT16_MAX || groups_size > UINT32_MAX)
		return NULL;
	text = alloc_resize(NULL, sizeof(*text) + stored + groups_size);
	if (!text)
		return NULL;
	*text = (struct text){ .groups_size = (uint32_t)groups_size,
			       .key_size = (uint16_t)stored,
			       .key_is_uuid = is_uuid,
			       .no_key = key_size == 0 };
	if (stored > 0)
		memcpy(text->data, is_uuid ? (const void *)&uuid : key, stored);
	if (groups_size > 0)
		memcpy(text->data + stored, groups, groups_size);
	return text;
}

static size_t text_bytes(const struct text *text)
{
	return sizeof(*text) + text->key_size + text->groups_size;
}

/* --- tables --- */

static uint32_t *bucket_of(const struct table *table, uint64_t hash)
{
	return &table->buckets[hash & (table->size - 1)];
}

enum which { BY_ID, BY_KEY, BY_NAME };

static uint32_t *next_of(const struct index *index, enum which which, uint32_t number)
{
	if (which == BY_NAME)
		return &name_at(index, number)->next_by_name;
	return which == BY_ID ? &person_at(index, number)->next_by_id
			      : &person_at(index, number)->next_by_key;
}

static uint64_t hash_of(const struct index *index, enum which which, uint32_t number)
{
	char room[UUID_TEXT_SIZE];
	size_t size;
	const char *key;

	if (which == BY_NAME)
		return name_at(index, number)->name.word[0];
	if (which == BY_ID)
		return person_at(index, number)->id.word[0];
	key = key_of(person_at(index, number), room, &size);
	return hash_of_key(key, size);
}

/* Room for one more; doubles. */
static int table_reserve(const struct index *index, struct table *table, enum which which)
{
	size_t size = table->size ? 2 * table->size : BUCKETS_FIRST;
	struct table larger = { .count = table->count, .size = size };

	if (table->count < table->size)
		return 0;
	larger.buckets = alloc_zeroed(size, sizeof(*larger.buckets));
	if (!larger.buckets)
		return -1;
	for (size_t b = 0; b < table->size; b++) {
		uint32_t number = table->buckets[b];

		while (number != 0) {
			uint32_t *next = next_of(index, which, number);
			uint32_t following = *next;
			uint32_t *bucket = bucket_of(&larger, hash_of(index, which, number));

			*next = *bucket;
			*bucket = number;
			number = following;
		}
	}
	free(table->buckets);
	*table = larger;
	return 0;
}

static void table_add(struct index *index, struct table *table, enum which which, uint32_t number)
{
	uint32_t *bucket = bucket_of(table, hash_of(index, which, number));

	*next_of(index, which, number) = *bucket;
	*bucket = number;
	table->count++;
}

static void table_remove(struct index *index, struct table *table, enum which which,
			 uint32_t number)
{
	uint32_t *at = bucket_of(table, hash_of(index, which, number));

	while (*at != number)
		at = next_of(index, which, *at);
	*at = *next_of(index, which, number);
	table->count--;
}

/* --- life --- */

struct index *index_create(void)
{
	struct index *index = alloc_zeroed(1, sizeof(*index));

	if (!index)
		return NULL;
	index->round = 1;
	index->people.item_size = sizeof(struct person);
	index->names.item_size = sizeof(struct name);
	if (table_reserve(index, &index->by_id, BY_ID) < 0 ||
	    table_reserve(index, &index->by_key, BY_KEY) < 0 ||
	    table_reserve(index, &index->by_name, BY_NAME) < 0 ||
	    table_reserve(index, &index->duplicates, BY_KEY) < 0) {
		index_destroy(index);
		return NULL;
	}
	return index;
}

void index_destroy(struct index *index)
{
	if (!index)
		return;
	for (uint32_t i = 1; i <= index->people.used; i++)
		free(person_at(index, i)->text);
	pool_finish(&index->people);
	pool_finish(&index->names);
	free(index->by_id.buckets);
	free(index->by_key.buckets);
	free(index->by_name.buckets);
	free(index->duplicates.buckets);
	free(index->groups);
	free(index->name_list);
	free(index);
}

size_t index_count(const struct index *index)
{
	return index->count;
}

size_t index_bytes(const struct index *index)
{
	return sizeof(*index) +
	       BLOCK_ITEMS * (index->people.block_count * sizeof(struct person) +
			      index->names.block_count * sizeof(struct name)) +
	       sizeof(uint32_t) * (index->by_id.size + index->by_key.size + index->by_name.size +
				   index->duplicates.size) +
	       index->text_bytes;
}

/* --- finding --- */

uint32_t index_find(const struct index *index, struct hash128 id)
{
	uint32_t number = *bucket_of(&index->by_id, id.word[0]);

	while (number != 0 && !hash128_equal(person_at(index, number)->id, id))
		number = person_at(index, number)->next_by_id;
	return number;
}

static uint32_t find_key(const struct index *index, const struct table *table, const char *key,
			 size_t size)
{
	uint32_t number;

	if (size == 0 || table->count == 0)
		return 0;
	number = *bucket_of(table, hash_of_key(key, size));
	while (number != 0 && !key_is(person_at(index, number), key, size))
		number = person_at(index, number)->next_by_key;
	return number;
}

uint32_t index_find_key(const struct index *index, const char *key, size_t size)
{
	return find_key(index, &index->by_key, key, size);
}

bool index_has_duplicate(const struct index *index, const char *key, size_t size)
{
	return find_key(index, &index->duplicates, key, size) != 0;
}

uint32_t index_named(const struct index *index, struct hash128 name, struct index_cursor *cursor)
{
	uint32_t at = cursor->begun ? cursor->next : *bucket_of(&index->by_name, name.word[0]);

	cursor->begun = true;
	while (at != 0 && !hash128_equal(name_at(index, at)->name, name))
		at = name_at(index, at)->next_by_name;
	cursor->next = at ? name_at(index, at)->next_by_name : 0;
	return at ? name_at(index, at)->person : 0;
}

/* --- changing --- */

static void drop_names(struct index *index, struct person *person)
{
	while (person->first_name != 0) {
		uint32_t number = person->first_name;
		struct name *name = name_at(index, number);

		table_remove(index, &index->by_name, BY_NAME, number);
		person->first_name = name->next_of_person;
		name->next_of_person = index->names.free;
		index->names.free = number;
	}
}

/* Are these its names already, in this order? Nearly always. */
static bool same_names(const struct index *index, const struct person *person,
		       const struct hash128 *names, size_t count)
{
	uint32_t at = person->first_name;

	for (size_t i = 0; i < count; i++) {
		if (at == 0 || !hash128_equal(name_at(index, at)->name, names[i]))
			return false;
		at = name_at(index, at)->next_of_person;
	}
	return at == 0;
}

/* Names that are in no table. */
static void give_back_names(struct index *index, uint32_t first)
{
	while (first != 0) {
		struct name *name = name_at(index, first);
		uint32_t next = name->next_of_person;

		name->next_of_person = index->names.free;
		index->names.free = first;
		first = next;
	}
}

/* New names, not in the table yet, in order. 0 with count > 0: out of memory. */
static uint32_t make_names(struct index *index, const struct hash128 *names, size_t count)
{
	uint32_t first = 0;

	for (size_t i = count; i > 0; i--) {
		uint32_t number =
			table_reserve(index, &index->by_name, BY_NAME) < 0 ? 0 : take_name(index);
		struct name *name;

		if (number == 0) {
			give_back_names(index, first);
			return 0;
		}
		name = name_at(index, number);
		*name = (struct name){ .name = names[i - 1], .next_of_person = first };
		first = number;
	}
	return first;
}

static void give_names(struct index *index, uint32_t number, uint32_t first)
{
	struct person *person = person_at(index, number);

	drop_names(index, person);
	person->first_name = first;
	for (uint32_t at = first; at != 0; at = name_at(index, at)->next_of_person) {
		name_at(index, at)->person = number;
		table_add(index, &index->by_name, BY_NAME, at);
	}
}

static struct table *keys_for(struct index *index, unsigned flags)
{
	return flags & INDEX_DUPLICATE ? &index->duplicates : &index->by_key;
}

static void leave_key(struct index *index, uint32_t number)
{
	struct person *person = person_at(index, number);

	if (person->by_key)
		table_remove(index, keys_for(index, person->flags), BY_KEY, number);
	person->by_key = false;
}

/* Its key is in force, with these flags. */
static void enter_key(struct index *index, uint32_t number, unsigned flags)
{
	struct person *person = person_at(index, number);

	person->flags = (uint8_t)flags;
	person->by_key = !person->text->no_key;
	if (person->by_key)
		table_add(index, keys_for(index, flags), BY_KEY, number);
}

static void take_text(struct index *index, struct person *person, struct text *text)
{
	if (person->text)
		index->text_bytes -= text_bytes(person->text);
	free(person->text);
	person->text = text;
	if (text)
		index->text_bytes += text_bytes(text);
}

static uint32_t put_new(struct index *index, struct hash128 id, struct text *text)
{
	uint32_t number = take_person(index);

	if (number == 0)
		return 0;
	*person_at(index, number) = (struct person){ .id = id };
	take_text(index, person_at(index, number), text);
	table_add(index, &index->by_id, BY_ID, number);
	index->count++;
	return number;
}

/* What the person has in groups, to be put under another key. */
static struct text *text_with_key(const struct index *index, uint32_t number, const char *key,
				  size_t key_size)
{
	const struct text *old = number ? person_at(index, number)->text : NULL;

	return make_text(key, key_size, old ? old->data + old->key_size : NULL,
			 old ? old->groups_size : 0);
}

uint32_t index_put(struct index *index, struct hash128 id, const char *key, size_t key_size,
		   const struct hash128 *names, size_t name_count, unsigned flags)
{
	uint32_t number = index_find(index, id), first = 0;
	bool renamed = !number || !same_names(index, person_at(index, number), names, name_count);
	struct text *text = NULL;

	if (table_reserve(index, &index->by_id, BY_ID) < 0 ||
	    table_reserve(index, keys_for(index, flags), BY_KEY) < 0)
		return 0;
	if (renamed && name_count > 0) {
		first = make_names(index, names, name_count);
		if (first == 0)
			return 0;
	}
	if (!number || !key_is(person_at(index, number), key, key_size)) {
		text = text_with_key(index, number, key, key_size);
		if (text && !number)
			number = put_new(index, id, text);
		else if (text) {
			leave_key(index, number);
			take_text(index, person_at(index, number), text);
		}
		if (!text || number == 0) {
			free(text);
			give_back_names(index, first);
			return 0;
		}
	}
	leave_key(index, number);
	enter_key(index, number, flags);
	if (renamed)
		give_names(index, number, first);
	return number;
}

void index_remove(struct index *index, uint32_t number)
{
	struct person *person = person_at(index, number);

	table_remove(index, &index->by_id, BY_ID, number);
	leave_key(index, number);
	drop_names(index, person);
	take_text(index, person, NULL);
	*person = (struct person){ .next_by_id = index->people.free };
	index->people.free = number;
	index->count--;
}

/* --- one person --- */

struct hash128 index_id(const struct index *index, uint32_t number)
{
	return person_at(index, number)->id;
}

const char *index_key(struct index *index, uint32_t number, size_t *ret_size)
{
	return key_of(person_at(index, number), index->key, ret_size);
}

unsigned index_flags(const struct index *index, uint32_t number)
{
	return person_at(index, number)->flags;
}

void index_set_flags(struct index *index, uint32_t number, unsigned flags)
{
	leave_key(index, number);
	enter_key(index, number, flags);
}

static int groups_reserve(struct index *index, size_t count)
{
	void *larger;

	if (count <= index->group_capacity)
		return 0;
	larger = alloc_resize(index->groups, 2 * count * sizeof(*index->groups));
	if (!larger)
		return -1;
	index->groups = larger;
	index->group_capacity = 2 * count;
	return 0;
}

int index_groups(struct index *index, uint32_t number, const uint32_t **ret_ids, size_t *ret_count)
{
	const struct text *text = person_at(index, number)->text;
	const unsigned char *at = text->data + text->key_size, *end = at + text->groups_size;
	uint32_t last = 0;
	size_t count = 0;

	if (groups_reserve(index, text->groups_size + 1) < 0)
		return -1;
	while (at < end) {
		uint32_t delta = 0;
		unsigned shift = 0;

		for (; *at & 0x80; at++, shift += 7)
			delta |= (uint32_t)(*at & 0x7f) << shift;
		delta |= (uint32_t)*at++ << shift;
		last += delta;
		index->groups[count++] = last;
	}
	*ret_ids = index->groups;
	*ret_count = count;
	return 0;
}

int index_set_groups(struct index *index, uint32_t number, const uint32_t *ids, size_t count)
{
	struct person *person = person_at(index, number);
	const struct text *old = person->text;
	unsigned char *bytes, *at;
	uint32_t last = 0;
	struct text *text;

	if (count > SIZE_MAX / 5 || count > UINT32_MAX / 5)
		return -1;
	/* The longest varint of 32 bits has five bytes. */
	text = alloc_resize(NULL, sizeof(*text) + old->key_size + 5 * count);
	if (!text)
		return -1;
	memcpy(text, old, sizeof(*text) + old->key_size);
	bytes = at = text->data + old->key_size;
	for (size_t i = 0; i < count; i++) {
		uint32_t delta = ids[i] - last;

		last = ids[i];
		for (; delta >= 0x80; delta >>= 7)
			*at++ = (unsigned char)(delta | 0x80);
		*at++ = (unsigned char)delta;
	}
	text->groups_size = (uint32_t)(at - bytes);
	/* Shrinking in place; where that fails the larger piece serves. */
	struct text *smaller = alloc_resize(text, text_bytes(text));
	take_text(index, person, smaller ? smaller : text);
	return 0;
}

int index_names(struct index *index, uint32_t number, const struct hash128 **ret_names,
		size_t *ret_count)
{
	size_t count = 0;

	for (uint32_t at = person_at(index, number)->first_name; at != 0;
	     at = name_at(index, at)->next_of_person) {
		if (count == index->name_capacity) {
			size_t capacity = 2 * count + 8;
			void *larger = alloc_resize(index->name_list,
						    capacity * sizeof(*index->name_list));

			if (!larger)
				return -1;
			index->name_list = larger;
			index->name_capacity = capacity;
		}
		index->name_list[count++] = name_at(index, at)->name;
	}
	*ret_names = index->name_list;
	*ret_count = count;
	return 0;
}

/* --- marks --- */

void index_unmark(struct index *index)
{
	if (++index->round != 0)
		return;
	/* Marks of 65,536 rounds ago would count again. */
	for (uint32_t i = 1; i <= index->people.used; i++)
		person_at(index, i)->round = 0;
	index->round = 1;
}

void index_mark(struct index *index, uint32_t number)
{
	person_at(index, number)->round = index->round;
}

uint32_t index_next(const struct index *index, uint32_t number)
{
	for (uint32_t i = number + 1; i <= index->people.used; i++) {
		if (person_at(index, i)->text)
			return i;
	}
	return 0;
}

uint32_t index_next_unmarked(const struct index *index, uint32_t number)
{
	for (uint32_t i = number + 1; i <= index->people.used; i++) {
		const struct person *person = person_at(index, i);

		if (person->text && person->round != index->round)
			return i;
	}
	return 0;
}
