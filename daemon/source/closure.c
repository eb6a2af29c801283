/*
 * Nested groups, by graph and not by searches.
 *
 * Enters: groups, the wanted ids they answer to, and direct memberships by
 * fingerprint. Leaves: for each user the wanted ids it has, through any nesting.
 * Fails: out of memory, on a name added twice, when nesting explodes past a cap.
 *
 * While reading, every name gets a number (a table from fingerprint to number), and a
 * membership is two numbers: eight bytes, in blocks that never move. closure_finish then
 *
 *   1. links each group to the groups that list it (its parents);
 *   2. finds the strongly connected components of that graph (Tarjan, without recursion: the depth
 *      of nesting is the directory's choice). A cycle of groups is one component: whoever is
 *      in one is in all. Components come out parents first;
 *   3. gives each component the ascending list of wanted ids it reaches: its own and
 *      its parents'. A component that adds nothing to its only giving parent shares its list;
 *   4. keeps, for each name, the memberships in groups with a list that is not empty, and
 *      drops all others.
 *
 * A user's answer is the union of the lists of its groups. Ancestor lists beat bit
 * sets here because users have few groups and rules want few of them.
 *
 * Completeness: an incomplete list of members may hide any user, so the ids its group
 * reaches are in doubt for everyone who does not have them anyway.
 */
#include <rolebridge/source/closure.h>

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

#include "closure_state.h"

#define NAMES_MAX (1u << 30)
#define UID_BYTES_MAX 1024 /* four times the bound of RFC 4519 2.39 */

int closure_no_memory(struct err *err)
{
	return err_set(err, ERR_MEMORY, "no memory for the group closure");
}

struct closure *closure_create(void)
{
	struct closure *closure = alloc_zeroed(1, sizeof(*closure));

	if (!closure)
		return NULL;
	closure->names = hash_table_create(1024, NAMES_MAX);
	if (!closure->names) {
		free(closure);
		return NULL;
	}
	return closure;
}

void closure_free_blocks(struct closure *closure)
{
	while (closure->blocks) {
		struct block *next = closure->blocks->next;

		free(closure->blocks);
		closure->blocks = next;
	}
}

void closure_destroy(struct closure *closure)
{
	if (!closure)
		return;
	closure_free_blocks(closure);
	hash_table_destroy(closure->names);
	free(closure->groups);
	free(closure->wants);
	free(closure->group_of);
	free(closure->first);
	free(closure->direct);
	free(closure->wanted);
	free(closure->of_component);
	free(closure->lists);
	free(closure->answer);
	closure_change_finish(closure);
	free(closure);
}

/* --- reading --- */

/* Room for one more element; doubles. */
int closure_reserve_one(void **items, size_t count, size_t *capacity, size_t size)
{
	size_t larger = *capacity ? *capacity * 2 : 64;
	void *moved;

	if (count < *capacity)
		return 0;
	if (larger > SIZE_MAX / size)
		return -1;
	moved = alloc_resize(*items, larger * size);
	if (!moved)
		return -1;
	*items = moved;
	*capacity = larger;
	return 0;
}

/* The number of a name, from 1; 0 out of memory. */
static inline uint32_t number_of(struct closure *closure, struct hash128 name)
{
	uint32_t *slot;

	if (hash_table_put(closure->names, name, &slot) < 0)
		return 0;
	if (*slot == 0)
		*slot = (uint32_t)hash_table_count(closure->names);
	return *slot;
}

uint32_t closure_number_of(struct closure *closure, struct hash128 name)
{
	uint32_t number = number_of(closure, name);

	if (closure->dynamic && number > closure->change.name_count &&
	    closure_note_name(closure, number, name) < 0)
		return 0;
	return number;
}

bool closure_find_group(const struct closure *closure, struct hash128 name, uint32_t *ret_group)
{
	uint32_t number;

	if (!hash_table_get(closure->names, name, &number))
		return false;
	if (closure_group_named(closure, number) == NONE)
		return false;
	*ret_group = closure->group_of[number];
	return true;
}

/* group_of grows with the names while groups come in. */
int closure_note_group(struct closure *closure, uint32_t number, uint32_t group)
{
	size_t needed = hash_table_count(closure->names) + 1;

	if (number > closure->name_count || !closure->group_of) {
		size_t capacity = needed + needed / 2;
		uint32_t *larger =
			alloc_resize(closure->group_of, (capacity + 1) * sizeof(*larger));

		if (!larger)
			return -1;
		for (size_t i = closure->group_of ? closure->name_count + 1 : 0; i <= capacity; i++)
			larger[i] = NONE;
		closure->group_of = larger;
		closure->name_count = capacity;
	}
	closure->group_of[number] = group;
	return 0;
}

int closure_append_group(struct closure *closure, uint32_t number)
{
	if (closure_reserve_one((void **)&closure->groups, closure->group_count,
				&closure->group_capacity, sizeof(*closure->groups)) < 0 ||
	    closure_note_group(closure, number, (uint32_t)closure->group_count) < 0)
		return -1;
	closure->groups[closure->group_count++] = (struct group_node){ .name = number };
	return 0;
}

int closure_add_group(struct closure *closure, struct hash128 name, uint32_t *ret_group,
		      struct err *err)
{
	uint32_t group = (uint32_t)closure->group_count;
	uint32_t number;

	if (closure->finished)
		return closure->dynamic
			       ? closure_change_add_group(closure, name, ret_group, err)
			       : err_set(err, ERR_INTERNAL, "group added to a finished closure");
	number = closure_number_of(closure, name);
	if (number == 0)
		return closure_no_memory(err);
	if (closure_group_named(closure, number) != NONE)
		return err_set(err, ERR_CONFLICT, "group known already");
	if (closure_append_group(closure, number) < 0)
		return closure_no_memory(err);
	*ret_group = group;
	return 0;
}

int closure_want(struct closure *closure, uint32_t group, uint32_t wanted_id, struct err *err)
{
	if (closure->finished && closure->dynamic)
		return closure_change_want(closure, group, wanted_id, err);
	if (closure->finished || group >= closure->group_count || wanted_id == 0)
		return err_set(err, ERR_INTERNAL, "wanted id for a group that is not there");
	if (closure_reserve_one((void **)&closure->wants, closure->want_count,
				&closure->want_capacity, sizeof(*closure->wants)) < 0)
		return closure_no_memory(err);
	closure->wants[closure->want_count++] = (struct want){ wanted_id, group };
	return 0;
}

/* Room for one more membership; NULL out of memory. */
static struct block *block_for_one(struct closure *closure)
{
	struct block *block = closure->blocks;

	if (block && block->count < BLOCK_MEMBERSHIPS)
		return block;
	block = alloc_resize(NULL, sizeof(*block));
	if (!block)
		return NULL;
	block->next = closure->blocks;
	block->count = 0;
	closure->blocks = block;
	return block;
}

/* Compiled once for static closures, whose full reads spend their time here, and once for dynamic ones. */
static inline __attribute__((always_inline)) int add_members(struct closure *closure,
							     uint32_t group,
							     const struct hash128 *members,
							     size_t count, bool dynamic,
							     struct err *err)
{
	for (size_t i = 0; i < count; i++) {
		uint32_t number = dynamic ? closure_number_of(closure, members[i])
					  : number_of(closure, members[i]);
		struct block *block = number ? block_for_one(closure) : NULL;

		if (!block)
			return closure_no_memory(err);
		/* Offsets of the finished table are 32 bits wide. */
		if (closure->membership_count == UINT32_MAX - 1)
			return err_set(err, ERR_TOO_LARGE, "too many group memberships");
		block->items[block->count++] = (struct membership){ number, group };
		closure->membership_count++;
	}
	return 0;
}

int closure_add_members(struct closure *closure, uint32_t group, const struct hash128 *members,
			size_t count, struct err *err)
{
	if (closure->finished && closure->dynamic)
		return closure_change_add(closure, group, members, count, err);
	if (closure->finished || group >= closure->group_count)
		return err_set(err, ERR_INTERNAL, "member of a group that is not there");
	for (size_t i = 0; i < count; i++)
		hash_table_prefetch(closure->names, members[i]);
	return closure->dynamic ? add_members(closure, group, members, count, true, err)
				: add_members(closure, group, members, count, false, err);
}

int closure_add_member(struct closure *closure, uint32_t group, struct hash128 member,
		       struct err *err)
{
	return closure_add_members(closure, group, &member, 1, err);
}

void closure_set_incomplete(struct closure *closure, uint32_t group)
{
	if (group >= closure->group_count || closure->groups[group].name == 0 ||
	    closure->groups[group].incomplete)
		return;
	closure->groups[group].incomplete = true;
	closure->change.judge = true;
}

/* --- what was read, put in order --- */

/* Counting sort of the memberships whose member is a group, by that group. */
static int graph_of_blocks(const struct closure *closure, struct graph *graph)
{
	size_t groups = closure->group_count;
	size_t total = 0;

	graph->first = alloc_zeroed(groups + 2, sizeof(*graph->first));
	if (!graph->first)
		return -1;
	for (const struct block *block = closure->blocks; block; block = block->next)
		for (size_t i = 0; i < block->count; i++) {
			uint32_t child = closure_group_named(closure, block->items[i].member);

			if (child == NONE)
				continue;
			graph->first[child + 2]++;
			total++;
		}
	graph->parents = alloc_zeroed(total + 1, sizeof(*graph->parents));
	if (!graph->parents)
		return -1;
	for (size_t g = 0; g < groups; g++)
		graph->first[g + 2] += graph->first[g + 1];
	for (const struct block *block = closure->blocks; block; block = block->next)
		for (size_t i = 0; i < block->count; i++) {
			uint32_t child = closure_group_named(closure, block->items[i].member);

			if (child != NONE)
				graph->parents[graph->first[child + 1]++] = block->items[i].group;
		}
	return 0;
}

void closure_mark_doubts(struct closure *closure)
{
	for (uint32_t g = 0; g < closure->group_count; g++) {
		const struct list *list = closure_list_of(closure, g);

		if (!closure->groups[g].incomplete)
			continue;
		for (uint32_t i = 0; i < list->count; i++) {
			struct wanted_id *wanted = &closure->wanted[closure->lists[list->at + i]];

			closure->in_doubt_count += !wanted->in_doubt;
			wanted->in_doubt = true;
		}
	}
}

/* --- direct memberships that matter, by name --- */

static int keep_memberships(struct closure *closure)
{
	size_t names = hash_table_count(closure->names);
	size_t total = 0;

	closure->first = alloc_zeroed(names + 3, sizeof(*closure->first));
	if (!closure->first)
		return -1;
	for (const struct block *block = closure->blocks; block; block = block->next)
		for (size_t i = 0; i < block->count; i++) {
			uint32_t component = closure->groups[block->items[i].group].component;

			if (closure->of_component[component].count == 0)
				continue;
			closure->first[block->items[i].member + 2]++;
			total++;
		}
	closure->direct = alloc_zeroed(total + 1, sizeof(*closure->direct));
	if (!closure->direct)
		return -1;
	for (size_t n = 0; n <= names; n++)
		closure->first[n + 2] += closure->first[n + 1];
	for (const struct block *block = closure->blocks; block; block = block->next)
		for (size_t i = 0; i < block->count; i++) {
			uint32_t component = closure->groups[block->items[i].group].component;

			if (closure->of_component[component].count > 0)
				closure->direct[closure->first[block->items[i].member + 1]++] =
					component;
		}
	closure_free_blocks(closure);
	return 0;
}

int closure_finish(struct closure *closure, struct err *err)
{
	struct graph graph = { NULL, NULL };
	int result;

	if (closure->finished || closure->broken)
		return err_set(err, ERR_INTERNAL, "closure finished twice, or after a failure");
	closure->finished = true;
	if (closure_number_wanted(closure, err) < 0)
		return -1;
	if (closure->dynamic) {
		result = closure_begin_changes(closure, err);
	} else {
		result = graph_of_blocks(closure, &graph) < 0 ? closure_no_memory(err)
							      : closure_solve(closure, &graph, err);
		graph_finish(&graph);
		if (result == 0 && keep_memberships(closure) < 0)
			result = closure_no_memory(err);
	}
	if (result < 0)
		return -1;
	closure_mark_doubts(closure);
	closure->usable = true;
	return 0;
}

/* --- users --- */

static void add_list(struct closure *closure, const struct list *list, size_t *count)
{
	for (uint32_t i = 0; i < list->count; i++) {
		uint32_t wanted = closure->lists[list->at + i];

		if (closure->wanted[wanted].stamp == closure->stamp)
			continue;
		closure->wanted[wanted].stamp = closure->stamp;
		closure->answer[(*count)++] = wanted;
	}
}

static void add_components(struct closure *closure, uint32_t number, size_t *count)
{
	for (uint32_t d = closure->first[number]; d < closure->first[number + 1]; d++)
		add_list(closure, &closure->of_component[closure->direct[d]], count);
}

static void add_groups(struct closure *closure, uint32_t number, size_t *count)
{
	const struct change_state *change = &closure->change;
	const uint32_t *groups = row_lists_items(&change->groups_of, number);

	for (uint32_t i = 0; i < change->groups_of.rows[number].count; i++)
		add_list(closure, &change->in_force[groups[i]], count);
}

/* After 4 billion answers stamps are wiped. */
void closure_next_stamp(struct closure *closure)
{
	if (++closure->stamp != 0)
		return;
	for (size_t i = 0; i < closure->wanted_count; i++)
		closure->wanted[i].stamp = 0;
	closure->stamp = 1;
}

/* Few as a rule: insertion sort; many: qsort. */
static void sort_answer(uint32_t *answer, size_t count)
{
	if (count > 32) {
		qsort(answer, count, sizeof(*answer), closure_compare_numbers);
		return;
	}
	for (size_t i = 1; i < count; i++) {
		uint32_t moving = answer[i];
		size_t j = i;

		for (; j > 0 && answer[j - 1] > moving; j--)
			answer[j] = answer[j - 1];
		answer[j] = moving;
	}
}

int closure_user(struct closure *closure, const struct hash128 *names, size_t name_count,
		 const uint32_t *groups, size_t group_count, struct closure_answer *ret_answer,
		 struct err *err)
{
	size_t count = 0, doubts = 0;

	if (!closure->usable)
		return err_set(err, ERR_INTERNAL,
			       "closure asked before it was finished, or after a failure");
	closure_next_stamp(closure);
	for (size_t i = 0; i < name_count; i++) {
		uint32_t number;

		if (!hash_table_get(closure->names, names[i], &number))
			continue;
		if (closure->dynamic)
			add_groups(closure, number, &count);
		else
			add_components(closure, number, &count);
	}
	for (size_t i = 0; i < group_count; i++)
		if (groups[i] < closure->group_count)
			add_list(closure, closure_list_of(closure, groups[i]), &count);
	sort_answer(closure->answer, count);
	for (size_t i = 0; i < count; i++) {
		struct wanted_id *wanted = &closure->wanted[closure->answer[i]];

		wanted->members += !closure->dynamic;
		doubts += wanted->in_doubt;
		closure->answer[i] = wanted->id;
	}
	ret_answer->ids = closure->answer;
	ret_answer->count = count;
	ret_answer->complete = doubts == closure->in_doubt_count;
	return 0;
}

size_t closure_place_wanted(const struct closure *closure, uint32_t wanted_id)
{
	size_t low = 0, high = closure->wanted_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (closure->wanted[middle].id < wanted_id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct wanted_id *closure_find_wanted(const struct closure *closure, uint32_t wanted_id)
{
	size_t place = closure_place_wanted(closure, wanted_id);

	return place < closure->wanted_count && closure->wanted[place].id == wanted_id
		       ? &closure->wanted[place]
		       : NULL;
}

bool closure_wanted(const struct closure *closure, uint32_t wanted_id, uint64_t *ret_members)
{
	const struct wanted_id *wanted = closure_find_wanted(closure, wanted_id);

	/* Of a dynamic one, all groups that answered to it may have been dropped. */
	if (!wanted || wanted->groups == 0)
		return false;
	if (ret_members)
		*ret_members = wanted->members;
	return true;
}

size_t closure_group_count(const struct closure *closure)
{
	return closure->group_count - closure->change.free_count;
}

uint64_t closure_membership_count(const struct closure *closure)
{
	return closure->finished && closure->dynamic ? closure->change.members_of.live
						     : closure->membership_count;
}

int closure_uid_name(const char *uid, size_t size, struct strbuf *scratch, struct hash128 *ret_name,
		     struct err *err)
{
	if (size > UID_BYTES_MAX || !text_is_utf8(uid, size))
		return err_set(err, ERR_INVALID, "not a login name");
	strbuf_clear(scratch);
	/* No DN in normal form begins with a NUL byte. */
	strbuf_append(scratch, "\0uid", 4);
	text_fold(scratch, uid, size);
	if (strbuf_failed(scratch))
		return err_set(err, ERR_MEMORY, "no room for a uid of %zu bytes", size);
	*ret_name = fingerprint128(strbuf_text(scratch), scratch->size);
	return 0;
}
