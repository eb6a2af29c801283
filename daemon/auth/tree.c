/* Trees of resources. In: rows. Out: nodes that point at each other. Fails for lack of memory only. */
#include "tree.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/hash.h>
#include <rolebridge/base/util.h>

/* Lengths tell the parts apart: ids may hold anything. The hash is keyed, so that nobody makes them collide. */
static uint64_t key_hash(const char *application, const char *type, const char *id)
{
	char prefix[2 * 64 + 2];
	size_t first = strlen(application), second = strlen(type);
	struct fingerprint_prefix start;

	if (first > 64 || second > 64)
		return 0;
	memcpy(prefix, application, first);
	prefix[first] = '/';
	memcpy(prefix + first + 1, type, second);
	fingerprint_start(prefix, first + 1 + second, &start);
	return fingerprint_finish(&start, id, strlen(id)).word[0];
}

/* ------------------------------------------------------------------- names */

static const struct tree_kind *kind_of(struct tree *tree, const char *application, const char *type)
{
	uint64_t hash = key_hash(application, type, "");
	size_t first = strlen(application) + 1, second = strlen(type) + 1;
	struct tree_kind *kind;

	for (struct map_link *at = map_first(&tree->kinds, hash); at; at = map_next(at)) {
		kind = MAP_THING(at, struct tree_kind, link);
		if (strcmp(kind->application, application) == 0 && strcmp(kind->type, type) == 0)
			return kind;
	}
	kind = alloc_zeroed(1, sizeof(*kind) + first + second);
	if (!kind || map_add(&tree->kinds, &kind->link, hash) < 0) {
		free(kind);
		return NULL;
	}
	memcpy(kind->texts, application, first);
	memcpy(kind->texts + first, type, second);
	kind->application = kind->texts;
	kind->type = kind->texts + first;
	kind->word = word_make(kind->type, second - 1);
	kind->is_account = strcmp(type, RESOURCE_ACCOUNTS) == 0;
	return kind;
}

/* ------------------------------------------------------------------- nodes */

static struct tree_node *find_node(const struct tree *tree, const struct resource_key *key)
{
	struct map_link *at =
		map_first(&tree->nodes, key_hash(key->application, key->type, key->id));

	for (; at; at = map_next(at)) {
		struct tree_node *node = MAP_THING(at, struct tree_node, by_key);

		if (strcmp(node->id, key->id) == 0 && strcmp(node->kind->type, key->type) == 0 &&
		    strcmp(node->kind->application, key->application) == 0)
			return node;
	}
	return NULL;
}

const struct tree_node *tree_find(const struct tree *tree, const struct resource_key *key)
{
	const struct tree_node *node = find_node(tree, key);

	return node && node->row ? node : NULL;
}

static struct tree_node *ensure_node(struct tree *tree, const struct resource_key *key)
{
	struct tree_node *node = find_node(tree, key);
	size_t size = strlen(key->id) + 1;

	if (node)
		return node;
	node = alloc_zeroed(1, sizeof(*node) + size);
	if (!node)
		return NULL;
	memcpy(node->id, key->id, size);
	node->organization = "";
	node->weight = key_hash(key->application, key->type, key->id);
	node->kind = kind_of(tree, key->application, key->type);
	if (node->kind && map_add(&tree->nodes, &node->by_key,
				  key_hash(key->application, key->type, key->id)) == 0)
		return node;
	free(node);
	return NULL;
}

/* ---------------------------------------------------------------- children */

/* By row, which are all different as long as what is told is sound; by place in memory where it is not. */
static bool comes_before(const struct tree_node *a, const struct tree_node *b)
{
	return a->row != b->row ? a->row < b->row : (uintptr_t)a < (uintptr_t)b;
}

/* Those before a node that is not among them, and those behind it. */
static void split(struct tree *tree, struct tree_node *root, struct tree_node *node)
{
	struct tree_node **low = &node->left, **high = &node->right;

	while (root) {
		tree->steps++;
		if (comes_before(root, node)) {
			*low = root;
			low = &root->right;
			root = root->right;
		} else {
			*high = root;
			high = &root->left;
			root = root->left;
		}
	}
	*low = *high = NULL;
}

/* All of low come before all of high. */
static struct tree_node *merge(struct tree *tree, struct tree_node *low, struct tree_node *high)
{
	struct tree_node *root = NULL, **place = &root;

	while (low && high) {
		tree->steps++;
		if (low->weight >= high->weight) {
			*place = low;
			place = &low->right;
			low = low->right;
		} else {
			*place = high;
			place = &high->left;
			high = high->left;
		}
	}
	*place = low ? low : high;
	return root;
}

/* Before its row changes. */
static void detach(struct tree *tree, struct tree_node *node)
{
	struct tree_node **place;

	if (!node->parent)
		return;
	place = &node->parent->children;
	while (*place != node) {
		tree->steps++;
		place = comes_before(node, *place) ? &(*place)->left : &(*place)->right;
	}
	*place = merge(tree, node->left, node->right);
	node->parent = node->left = node->right = NULL;
}

static void attach(struct tree *tree, struct tree_node *node, struct tree_node *parent)
{
	struct tree_node **place = &parent->children;

	while (*place && (*place)->weight > node->weight) {
		tree->steps++;
		place = comes_before(node, *place) ? &(*place)->left : &(*place)->right;
	}
	split(tree, *place, node);
	*place = node;
	node->parent = parent;
}

const struct tree_node *tree_child_after(const struct tree_node *parent, int64_t row,
					 uint64_t *steps)
{
	const struct tree_node *found = NULL;

	for (const struct tree_node *at = parent->children; at;) {
		if (steps)
			++*steps;
		if (at->row > row) {
			found = at;
			at = at->left;
		} else {
			at = at->right;
		}
	}
	return found;
}

/* ------------------------------------------------------------------- order */

size_t tree_place_after(const struct tree *tree, int64_t row)
{
	size_t low = 0, high = tree->places;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (tree->order[middle].row <= row)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void compact(struct tree *tree)
{
	size_t used = 0;

	for (size_t i = 0; i < tree->places; i++)
		if (tree->order[i].node)
			tree->order[used++] = tree->order[i];
	tree->places = used;
}

static int order_add(struct tree *tree, struct tree_node *node)
{
	size_t at;

	if (tree->places == tree->capacity && tree->count < tree->places / 2)
		compact(tree);
	if (tree->places == tree->capacity) {
		size_t capacity = tree->capacity ? tree->capacity * 2 : 64;
		struct tree_place *grown =
			capacity > SIZE_MAX / sizeof(*grown)
				? NULL
				: alloc_resize(tree->order, capacity * sizeof(*grown));

		if (!grown)
			return -1;
		tree->order = grown;
		tree->capacity = capacity;
	}
	at = tree_place_after(tree, node->row);
	/* Back at its place: of each row there is one, or the other would keep what is gone. */
	if (at > 0 && tree->order[at - 1].row == node->row && !tree->order[at - 1].node) {
		tree->order[at - 1].node = node;
		tree->count++;
		return 0;
	}
	memmove(tree->order + at + 1, tree->order + at, (tree->places - at) * sizeof(*tree->order));
	tree->order[at] = (struct tree_place){ node->row, node };
	tree->places++;
	tree->count++;
	return 0;
}

static void order_remove(struct tree *tree, int64_t row)
{
	size_t at = tree_place_after(tree, row - 1);

	if (at == tree->places || tree->order[at].row != row || !tree->order[at].node)
		return;
	tree->order[at].node = NULL;
	tree->count--;
	if (at + 1 == tree->places)
		tree->places--;
}

/* ------------------------------------------------------------------ changes */

static void drop_if_unknown(struct tree *tree, struct tree_node *node)
{
	if (node->row || node->children)
		return;
	detach(tree, node);
	map_remove(&tree->nodes, &node->by_key);
	free(node);
}

static int place_node(struct tree *tree, struct tree_node *node, const struct resource *resource)
{
	const struct resource_key above = { resource->key.application, resource->parent_type,
					    resource->parent_id };
	struct tree_node *parent = NULL, *old = node->parent;

	if (resource->parent_row && !(parent = ensure_node(tree, &above)))
		return -1;
	if (node->row != resource->row) {
		/* Its place among the others may be another. */
		detach(tree, node);
		if (node->row)
			order_remove(tree, node->row);
		node->row = resource->row;
		if (order_add(tree, node) < 0) {
			node->row = 0;
			return -1;
		}
	}
	if (node->parent != parent) {
		detach(tree, node);
		if (parent)
			attach(tree, node, parent);
	}
	if (old && old != parent)
		drop_if_unknown(tree, old);
	return 0;
}

int tree_put(struct tree *tree, const struct resource *resource)
{
	struct tree_node *node = ensure_node(tree, &resource->key);
	const char *organization = intern(&tree->names, resource->organization);

	if (!node || !organization)
		return -1;
	node->owner = resource->owner;
	node->organization = organization;
	return place_node(tree, node, resource);
}

void tree_remove(struct tree *tree, const struct resource_key *key)
{
	struct tree_node *node = find_node(tree, key);
	struct tree_node *parent = node ? node->parent : NULL;

	if (!node)
		return;
	if (node->row)
		order_remove(tree, node->row);
	detach(tree, node);
	node->row = node->owner = 0;
	drop_if_unknown(tree, node);
	if (parent)
		drop_if_unknown(tree, parent);
}

void tree_finish(struct tree *tree)
{
	for (size_t i = 0; i < tree->nodes.size; i++)
		for (struct map_link *at = tree->nodes.buckets[i], *next; at; at = next) {
			next = at->next;
			free(MAP_THING(at, struct tree_node, by_key));
		}
	for (size_t i = 0; i < tree->kinds.size; i++)
		for (struct map_link *at = tree->kinds.buckets[i], *next; at; at = next) {
			next = at->next;
			free(MAP_THING(at, struct tree_kind, link));
		}
	intern_finish(&tree->names);
	map_finish(&tree->nodes);
	map_finish(&tree->kinds);
	free(tree->order);
	*tree = (struct tree){ 0 };
}
