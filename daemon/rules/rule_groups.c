/*
 * Which groups does one rule name? For releasing a rule whose group vanished.
 * Enters: a compiled rule. Leaves: registry ids from the arena. Fails: out of memory.
 */
#include <stdlib.h>

#include "program.h"

static int compare_ids(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

	return (left > right) - (left < right);
}

int rule_groups(const struct ruleset *rules, const struct rule *rule, struct arena *arena,
		const uint32_t **ret_ids, size_t *ret_count, struct err *err)
{
	const struct program *program = &rules->program;
	uint32_t root = rules->entries[rule->order].root;
	uint32_t end = program->nodes[root].end;
	uint32_t *ids = arena_alloc_array(arena, end - root, sizeof(*ids));
	size_t count = 0, kept = 0;

	if (ids == NULL)
		return err_set(err, ERR_MEMORY, "out of memory for the groups of a rule");
	for (uint32_t at = root; at < end; at++) {
		const struct node *node = &program->nodes[at];

		if (node->kind == NODE_ATOM && program->atoms[node->atom].test == TEST_GROUP)
			ids[count++] = program->atoms[node->atom].group;
	}
	if (count > 1)
		qsort(ids, count, sizeof(*ids), compare_ids);
	for (size_t i = 0; i < count; i++)
		if (kept == 0 || ids[kept - 1] != ids[i])
			ids[kept++] = ids[i];
	*ret_ids = ids;
	*ret_count = kept;
	return 0;
}
