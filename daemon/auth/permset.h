/* Permissions of a profile with roles, made for asking: in what scopes is this granted? */
#ifndef ROLEBRIDGE_AUTH_PERMSET_H
#define ROLEBRIDGE_AUTH_PERMSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rolebridge/base/err.h>
#include <rolebridge/base/hash.h>

#include "map.h"
#include "word.h"

enum { SCOPE_OWN = 1, SCOPE_UNASSIGNED = 2, SCOPE_ALL = 4 };
extern const char *const scope_names[3]; /* by bit */

struct permset_item {
	uint64_t hash; /* of both words */
	struct word resource, verb;
	unsigned scopes;
};

struct permset {
	struct map_link by_print;
	struct hash128 print;
	size_t users;
	size_t count;
	struct permset_item *items; /* ordered by hash; each permission once */
};

/* What is not well-formed grants nothing. NULL: out of memory. */
struct permset *permset_create(const char *const *permissions, size_t count);
void permset_destroy(struct permset *set);
/* The scopes of all that cover it. NULL: none. */
unsigned permset_scopes(const struct permset *set, struct word resource, struct word verb);
/* One that covers it with one of these scopes; NULL. */
const struct permset_item *permset_which(const struct permset *set, struct word resource,
					 struct word verb, unsigned scopes);

/* "tasks:read" or "tasks:read@own". scopes: the one that is named, or 0. ERR_INVALID. */
struct asked {
	struct word resource, verb;
	unsigned scope;
};
int asked_parse(const char *text, struct asked *ret_asked, struct err *err);

#endif
