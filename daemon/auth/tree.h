/*
 * Resources in memory, as trees. In: rows, in any order. Out: nodes by key, by parent, in order of row. Fails for
 * lack of memory only. Not locked.
 */
#ifndef ROLEBRIDGE_AUTH_TREE_H
#define ROLEBRIDGE_AUTH_TREE_H

#include <stdbool.h>

#include <rolebridge/base/intern.h>
#include <rolebridge/model/resource.h>

#include "map.h"
#include "word.h"

/* One application's type. */
struct tree_kind {
	struct map_link link;
	bool is_account;
	const char *application, *type;
	struct word word; /* the type */
	char texts[];
};

struct tree_node {
	struct map_link by_key;
	const struct tree_kind *kind;
	const char *organization;
	struct tree_node *parent;
	/* Children by row: a treap, whose root is the parent's, so that none of many is far. */
	struct tree_node *children, *left, *right;
	uint64_t weight; /* by chance: none is above that of the node it hangs from */
	int64_t row; /* 0: a parent that was not told of so far, or is gone: nothing below it is anybody's */
	int64_t owner;
	char id[];
};

struct tree_place {
	int64_t row;
	struct tree_node *node; /* NULL: gone */
};

struct tree {
	struct map nodes, kinds;
	struct interned *names;	  /* of organizations */
	struct tree_place *order; /* ascending */
	size_t places, capacity;
	size_t count;
	uint64_t steps; /* nodes that were met on the way to their places, for tests */
};

/* -1: out of memory; what is in the tree is not what it should be then. */
int tree_put(struct tree *tree, const struct resource *resource);
void tree_remove(struct tree *tree, const struct resource_key *key);
/* NULL: none, or nothing is known of it. */
const struct tree_node *tree_find(const struct tree *tree, const struct resource_key *key);
/* The next child by row; NULL: none. Adds the nodes that it met to *steps, which may be NULL. */
const struct tree_node *tree_child_after(const struct tree_node *parent, int64_t row,
					 uint64_t *steps);
/* Where those with larger rows begin in order. */
size_t tree_place_after(const struct tree *tree, int64_t row);
void tree_finish(struct tree *tree);

#endif
