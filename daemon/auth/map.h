/*
 * A table of things that hold their own link, so that adding one allocates nothing but room for
 * the buckets, and removing them gives the memory back. Keys are 64-bit hashes made by the
 * caller, who compares the things themselves. Not locked.
 *
 *	for (struct map_link *at = map_first(&map, hash); at; at = map_next(at))
 *		if (THING(at)->id == id) …
 */
#ifndef ROLEBRIDGE_AUTH_MAP_H
#define ROLEBRIDGE_AUTH_MAP_H

#include <stddef.h>
#include <stdint.h>

struct map_link {
	struct map_link *next;
	uint64_t hash;
};

struct map {
	struct map_link **buckets;
	size_t size; /* a power of two, or 0 */
	size_t count;
};

#define MAP_THING(link, type, member) ((type *)((char *)(link)-offsetof(type, member)))

/* -1: out of memory, nothing was added. */
int map_add(struct map *map, struct map_link *link, uint64_t hash);
void map_remove(struct map *map, struct map_link *link);
void map_finish(struct map *map); /* frees the buckets, not what hangs in them */

static inline struct map_link *map_next(const struct map_link *link)
{
	uint64_t hash = link->hash;

	for (link = link->next; link && link->hash != hash; link = link->next)
		;
	return (struct map_link *)link;
}

static inline struct map_link *map_first(const struct map *map, uint64_t hash)
{
	struct map_link *link = map->size ? map->buckets[hash & (map->size - 1)] : NULL;

	return !link || link->hash == hash ? link : map_next(&(struct map_link){ link, hash });
}

#endif
