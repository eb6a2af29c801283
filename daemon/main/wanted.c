/*
 * Whom to ask for (see wanted.h). Enters: keys that a run of changes does not know well enough, keys that
 * are told. Leaves: keys, each once for each connection. Fails: memory, or too many; the answer to both is a full
 * read.
 */
#include "wanted.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/hash.h>

struct wanted_person {
	char *key; /* NULL: told */
};

void wanted_clear(struct wanted_people *wanted)
{
	for (size_t i = 0; i < wanted->count; i++)
		free(wanted->items[i].key);
	free(wanted->items);
	hash_table_destroy(wanted->places);
	*wanted = (struct wanted_people){ 0 };
}

static int make_room(struct wanted_people *wanted)
{
	size_t capacity = wanted->capacity ? wanted->capacity * 2 : 64;
	struct wanted_person *grown;

	if (wanted->count < wanted->capacity)
		return 0;
	grown = reallocarray(wanted->items, capacity, sizeof(*grown));
	if (!grown)
		return -1;
	wanted->items = grown;
	wanted->capacity = capacity;
	return 0;
}

int wanted_add(struct wanted_people *wanted, const char *key, size_t size)
{
	uint32_t *place;
	int fresh;

	if (!wanted->places)
		wanted->places = hash_table_create(64, WANTED_PEOPLE_MAX);
	if (!wanted->places || wanted->count >= WANTED_PEOPLE_MAX || make_room(wanted) < 0)
		return -1;
	fresh = hash_table_put(wanted->places, fingerprint128(key, size), &place);
	if (fresh < 0)
		return -1;
	/* Asked for already, perhaps before this change of theirs: once more, at the end. */
	if (fresh == 0 && wanted->items[*place].key && *place >= wanted->next)
		return 0;
	if (fresh == 0) {
		wanted->told += wanted->items[*place].key != NULL;
		free(wanted->items[*place].key);
		wanted->items[*place].key = NULL;
	}
	*place = (uint32_t)wanted->count;
	wanted->items[wanted->count].key = strndup(key, size);
	return wanted->items[wanted->count++].key ? 0 : -1;
}

void wanted_told(struct wanted_people *wanted, const char *key, size_t size)
{
	uint32_t place;

	if (!wanted->places || !hash_table_get(wanted->places, fingerprint128(key, size), &place) ||
	    !wanted->items[place].key)
		return;
	free(wanted->items[place].key);
	wanted->items[place].key = NULL;
	if (++wanted->told == wanted->count)
		wanted_clear(wanted);
}

const char *wanted_next(struct wanted_people *wanted)
{
	while (wanted->next < wanted->count) {
		const char *key = wanted->items[wanted->next++].key;

		if (key)
			return key;
	}
	return NULL;
}

void wanted_again(struct wanted_people *wanted)
{
	wanted->next = 0;
}
