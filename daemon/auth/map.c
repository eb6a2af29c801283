/* Buckets that double when full and halve when nearly empty. In: links. Fails for lack of memory only. */
#include "map.h"

#include <stdlib.h>

#include <rolebridge/base/alloc.h>

#define SIZE_MIN 64

static struct map_link **bucket(struct map *map, uint64_t hash)
{
	return &map->buckets[hash & (map->size - 1)];
}

/* Without memory the old size stays: slower, never wrong. */
static void resize(struct map *map, size_t size)
{
	struct map resized = { .size = size, .count = map->count };

	resized.buckets = alloc_zeroed(size, sizeof(*resized.buckets));
	if (!resized.buckets)
		return;
	for (size_t i = 0; i < map->size; i++) {
		struct map_link *link = map->buckets[i];

		while (link) {
			struct map_link *next = link->next;
			struct map_link **head = bucket(&resized, link->hash);

			link->next = *head;
			*head = link;
			link = next;
		}
	}
	free(map->buckets);
	*map = resized;
}

int map_add(struct map *map, struct map_link *link, uint64_t hash)
{
	struct map_link **head;

	if (map->size == 0 || (map->count >= map->size && map->size <= SIZE_MAX / 4))
		resize(map, map->size ? map->size * 2 : SIZE_MIN);
	if (map->size == 0)
		return -1;
	head = bucket(map, hash);
	*link = (struct map_link){ *head, hash };
	*head = link;
	map->count++;
	return 0;
}

void map_remove(struct map *map, struct map_link *link)
{
	struct map_link **at = bucket(map, link->hash);

	while (*at != link)
		at = &(*at)->next;
	*at = link->next;
	map->count--;
	if (map->size > SIZE_MIN && map->count < map->size / 8)
		resize(map, map->size / 2);
}

void map_finish(struct map *map)
{
	free(map->buckets);
	*map = (struct map){ 0 };
}
