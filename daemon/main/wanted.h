/* People of a followed source whose whole record has to come. The follower's thread alone uses it. */
#ifndef MAIN_WANTED_H
#define MAIN_WANTED_H

#include <stdbool.h>
#include <stddef.h>

struct hash_table;

struct wanted_people {
	struct wanted_person *items;
	size_t count, capacity, next, told;
	struct hash_table *places; /* of items, by key */
};

/* More than this are found sooner by reading everybody. */
#define WANTED_PEOPLE_MAX 10000

/* -1: too many, or no memory. */
int wanted_add(struct wanted_people *wanted, const char *key, size_t size);
/* Their record came, or what else is to be said of them. */
void wanted_told(struct wanted_people *wanted, const char *key, size_t size);
/* Who is to be asked for next; NULL: nobody. */
const char *wanted_next(struct wanted_people *wanted);
/* Answers may have been lost: those who were not told are asked for once more. */
void wanted_again(struct wanted_people *wanted);
void wanted_clear(struct wanted_people *wanted);

#endif
