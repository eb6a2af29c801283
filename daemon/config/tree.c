/*
 * Helpers over nodes. Enters: children as the parser found them. Leaves:
 * mappings with each key once. May fail: only by findings.
 */
#include "tree.h"

#include <stdio.h>
#include <string.h>

#include <rolebridge/base/hash.h>
#include <rolebridge/base/util.h>

#define FEW_PAIRS 8 /* up to here comparing each with each is cheaper than hashing */

static bool key_is_text(const struct node *key, struct diagnostics *list)
{
	if (key->type == NODE_SCALAR)
		return true;
	if (key->type != NODE_BAD)
		diagnostics_add(list, SEVERITY_ERROR, "wrong-type", key->at,
				key->type == NODE_NULL
					? "Write the name of an option before the colon."
					: NULL,
				"a key must be a text, not %s", node_kind(key));
	return false;
}

static void report_duplicate(const struct node *key, const struct node *first,
			     struct diagnostics *list)
{
	char hint[96];

	snprintf(hint, sizeof(hint),
		 first->at.file == key->at.file
			 ? "It was first given in line %u."
			 : "It was first given in line %u of an earlier file.",
		 first->at.line);
	diagnostics_add(list, SEVERITY_ERROR, "duplicate-key", key->at, hint, "duplicate key '%s'",
			key->text);
}

static const struct node *find_key(const struct node *nodes, uint32_t pairs, const struct node *key)
{
	for (uint32_t i = 0; i < pairs; i++) {
		const struct node *other = &nodes[2 * (size_t)i];

		if (other->count == key->count && memcmp(other->text, key->text, key->count) == 0)
			return other;
	}
	return NULL;
}

/* The first place of the key among those kept; it is entered there when it is new. */
static const struct node *hash_key(struct hash_table *table, const struct node *nodes,
				   uint32_t kept, const struct node *key)
{
	uint32_t *slot;
	int added = hash_table_put(table, fingerprint128(key->text, key->count), &slot);

	if (added < 0) /* no memory: slow, never wrong */
		return find_key(nodes, kept, key);
	if (added == 0)
		return &nodes[2 * (size_t)*slot];
	*slot = kept;
	return NULL;
}

uint32_t mapping_settle(struct node *nodes, uint32_t pairs, struct diagnostics *list)
{
	AUTO(hash_table)
	struct hash_table *table = pairs > FEW_PAIRS ? hash_table_create(pairs, pairs) : NULL;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < pairs; i++) {
		const struct node *key = &nodes[2 * (size_t)i];

		if (!key_is_text(key, list))
			continue;

		const struct node *first =
			table ? hash_key(table, nodes, kept, key) : find_key(nodes, kept, key);

		if (first) {
			report_duplicate(key, first, list);
			continue;
		}
		memmove(&nodes[2 * (size_t)kept], key, 2 * sizeof(*key));
		kept++;
	}
	return kept;
}

const struct node *mapping_get(const struct node *mapping, const char *key)
{
	for (uint32_t i = 0; i < mapping->count; i++)
		if (strcmp(mapping->items[2 * (size_t)i].text, key) == 0)
			return &mapping->items[2 * (size_t)i + 1];
	return NULL;
}

const char *node_kind(const struct node *node)
{
	switch (node->type) {
	case NODE_NULL: return "nothing";
	case NODE_SEQUENCE: return "a list";
	case NODE_MAPPING: return "a mapping";
	default: return "a text";
	}
}
