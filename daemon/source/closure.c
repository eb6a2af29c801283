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

#define NAMES_MAX (1u << 30)
#define LISTS_MAX (64u * 1024 * 1024) /* entries of all ancestor lists together */
#define BLOCK_MEMBERSHIPS 16384
#define NONE UINT32_MAX
#define UID_BYTES_MAX 1024 /* four times the bound of RFC 4519 2.39 */

struct membership {
	uint32_t member; /* number of the name */
	uint32_t group;
};

struct block {
	struct block *next;
	size_t count;
	struct membership items[BLOCK_MEMBERSHIPS];
};

struct group_node {
	uint32_t name;	    /* number of its name */
	uint32_t component; /* after finish */
	bool incomplete;
};

struct want {
	uint32_t id;
	uint32_t group;
};

struct wanted_id {
	uint32_t id;
	bool in_doubt;
	uint32_t stamp; /* the last answer that had it */
	uint64_t members;
};

/* A slice of closure.lists: indexes into wanted, ascending. */
struct list {
	uint32_t at, count;
};

struct closure {
	struct hash_table *names;
	uint64_t membership_count;
	struct block *blocks;
	struct group_node *groups;
	size_t group_count, group_capacity;
	struct want *wants;
	size_t want_count, want_capacity;
	bool finished;

	/* after finish */
	uint32_t *group_of; /* by name: the group of that name, or NONE */
	size_t name_count;
	uint32_t *first;  /* by name: its memberships are direct[first[n]] up to first[n + 1] */
	uint32_t *direct; /* components */
	struct wanted_id *wanted;
	size_t wanted_count, in_doubt_count;
	struct list *of_component;
	size_t component_count;
	uint32_t *lists;
	size_t lists_count, lists_capacity;

	uint32_t stamp;
	uint32_t *answer; /* wanted_count entries */
};

static int no_memory(struct err *err)
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

static void free_blocks(struct closure *closure)
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
	free_blocks(closure);
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
	free(closure);
}

/* --- reading --- */

/* Room for one more element; doubles. */
static int reserve_one(void **items, size_t count, size_t *capacity, size_t size)
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
static uint32_t number_of(struct closure *closure, struct hash128 name)
{
	uint32_t *slot;

	if (hash_table_put(closure->names, name, &slot) < 0)
		return 0;
	if (*slot == 0)
		*slot = (uint32_t)hash_table_count(closure->names);
	return *slot;
}

bool closure_find_group(const struct closure *closure, struct hash128 name, uint32_t *ret_group)
{
	uint32_t number;

	if (!hash_table_get(closure->names, name, &number))
		return false;
	if (number > closure->name_count || closure->group_of[number] == NONE)
		return false;
	*ret_group = closure->group_of[number];
	return true;
}

/* group_of grows with the names while groups come in. */
static int note_group(struct closure *closure, uint32_t number, uint32_t group)
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

int closure_add_group(struct closure *closure, struct hash128 name, uint32_t *ret_group,
		      struct err *err)
{
	uint32_t number = number_of(closure, name);
	uint32_t group = (uint32_t)closure->group_count;

	if (closure->finished)
		return err_set(err, ERR_INTERNAL, "group added to a finished closure");
	if (number == 0)
		return no_memory(err);
	if (number <= closure->name_count && closure->group_of[number] != NONE)
		return err_set(err, ERR_CONFLICT, "group known already");
	if (reserve_one((void **)&closure->groups, closure->group_count, &closure->group_capacity,
			sizeof(*closure->groups)) < 0 ||
	    note_group(closure, number, group) < 0)
		return no_memory(err);
	closure->groups[closure->group_count++] = (struct group_node){ .name = number };
	*ret_group = group;
	return 0;
}

int closure_want(struct closure *closure, uint32_t group, uint32_t wanted_id, struct err *err)
{
	if (closure->finished || group >= closure->group_count || wanted_id == 0)
		return err_set(err, ERR_INTERNAL, "wanted id for a group that is not there");
	if (reserve_one((void **)&closure->wants, closure->want_count, &closure->want_capacity,
			sizeof(*closure->wants)) < 0)
		return no_memory(err);
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

int closure_add_members(struct closure *closure, uint32_t group, const struct hash128 *members,
			size_t count, struct err *err)
{
	if (closure->finished || group >= closure->group_count)
		return err_set(err, ERR_INTERNAL, "member of a group that is not there");
	for (size_t i = 0; i < count; i++)
		hash_table_prefetch(closure->names, members[i]);
	for (size_t i = 0; i < count; i++) {
		uint32_t number = number_of(closure, members[i]);
		struct block *block = number ? block_for_one(closure) : NULL;

		if (!block)
			return no_memory(err);
		/* Offsets of the finished table are 32 bits wide. */
		if (closure->membership_count == UINT32_MAX - 1)
			return err_set(err, ERR_TOO_LARGE, "too many group memberships");
		block->items[block->count++] = (struct membership){ number, group };
		closure->membership_count++;
	}
	return 0;
}

int closure_add_member(struct closure *closure, uint32_t group, struct hash128 member,
		       struct err *err)
{
	return closure_add_members(closure, group, &member, 1, err);
}

void closure_set_incomplete(struct closure *closure, uint32_t group)
{
	if (group < closure->group_count)
		closure->groups[group].incomplete = true;
}

/* --- the graph of groups --- */

/* Groups by number, each with the groups that list it: parents[first[g]] up to first[g + 1]. */
struct graph {
	uint32_t *first;
	uint32_t *parents;
};

static void graph_finish(struct graph *graph)
{
	free(graph->first);
	free(graph->parents);
}

static uint32_t group_named(const struct closure *closure, uint32_t number)
{
	return number <= closure->name_count ? closure->group_of[number] : NONE;
}

/* Counting sort of the memberships whose member is a group, by that group. */
static int graph_build(const struct closure *closure, struct graph *graph)
{
	size_t groups = closure->group_count;
	size_t total = 0;

	graph->first = alloc_zeroed(groups + 2, sizeof(*graph->first));
	if (!graph->first)
		return -1;
	for (const struct block *block = closure->blocks; block; block = block->next)
		for (size_t i = 0; i < block->count; i++) {
			uint32_t child = group_named(closure, block->items[i].member);

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
			uint32_t child = group_named(closure, block->items[i].member);

			if (child != NONE)
				graph->parents[graph->first[child + 1]++] = block->items[i].group;
		}
	return 0;
}

/* Tarjan's algorithm with an explicit stack. */
struct tarjan {
	const struct graph *graph;
	struct closure *closure;
	uint32_t *order; /* 0: not visited */
	uint32_t *low;
	uint32_t *edge;	 /* next parent to look at */
	uint32_t *path;	 /* the recursion */
	uint32_t *stack; /* groups of components not closed yet */
	size_t path_size, stack_size;
	uint32_t visited;
	uint32_t components;
};

static void visit(struct tarjan *t, uint32_t group)
{
	t->order[group] = t->low[group] = ++t->visited;
	t->edge[group] = t->graph->first[group];
	t->path[t->path_size++] = group;
	t->stack[t->stack_size++] = group;
}

/* All parents were seen: close the component when the group is its root; tell the caller's low. */
static void leave(struct tarjan *t, uint32_t group)
{
	t->path_size--;
	if (t->low[group] == t->order[group]) {
		uint32_t member;

		do {
			member = t->stack[--t->stack_size];
			t->closure->groups[member].component = t->components;
		} while (member != group);
		t->components++;
	}
	if (t->path_size > 0) {
		uint32_t caller = t->path[t->path_size - 1];

		if (t->low[group] < t->low[caller])
			t->low[caller] = t->low[group];
	}
}

static void walk_from(struct tarjan *t, uint32_t root)
{
	visit(t, root);
	while (t->path_size > 0) {
		uint32_t group = t->path[t->path_size - 1];
		uint32_t parent;

		if (t->edge[group] == t->graph->first[group + 1]) {
			leave(t, group);
			continue;
		}
		parent = t->graph->parents[t->edge[group]++];
		if (t->order[parent] == 0)
			visit(t, parent);
		else if (t->closure->groups[parent].component == NONE &&
			 t->order[parent] < t->low[group])
			t->low[group] = t->order[parent];
	}
}

static int find_components(struct closure *closure, const struct graph *graph)
{
	size_t groups = closure->group_count;
	uint32_t *memory = alloc_zeroed(groups * 5 + 1, sizeof(*memory));
	struct tarjan t = { .graph = graph, .closure = closure };

	if (!memory)
		return -1;
	t.order = memory;
	t.low = memory + groups;
	t.edge = memory + groups * 2;
	t.path = memory + groups * 3;
	t.stack = memory + groups * 4;
	for (size_t g = 0; g < groups; g++)
		closure->groups[g].component = NONE;
	for (uint32_t g = 0; g < groups; g++)
		if (t.order[g] == 0)
			walk_from(&t, g);
	closure->component_count = t.components;
	free(memory);
	return 0;
}

/* --- lists of wanted ids --- */

static int compare_wants(const void *a, const void *b)
{
	const struct want *left = a, *right = b;

	return (left->id > right->id) - (left->id < right->id);
}

static int compare_numbers(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

	return (left > right) - (left < right);
}

/* Wanted ids in ascending order, each once; wants[].id becomes the index among them. */
static int number_wanted(struct closure *closure)
{
	closure->wanted = alloc_zeroed(closure->want_count + 1, sizeof(*closure->wanted));
	closure->answer = alloc_zeroed(closure->want_count + 1, sizeof(*closure->answer));
	if (!closure->wanted || !closure->answer)
		return -1;
	if (closure->want_count > 0)
		qsort(closure->wants, closure->want_count, sizeof(*closure->wants), compare_wants);
	for (size_t i = 0; i < closure->want_count; i++) {
		uint32_t id = closure->wants[i].id;

		if (closure->wanted_count == 0 ||
		    closure->wanted[closure->wanted_count - 1].id != id)
			closure->wanted[closure->wanted_count++].id = id;
		closure->wants[i].id = (uint32_t)closure->wanted_count - 1;
	}
	return 0;
}

/* Groups, or wants, sorted by component: items[first[c]] up to items[first[c + 1]]. */
struct sorted {
	uint32_t *first;
	uint32_t *items;
};

static void sorted_finish(struct sorted *sorted)
{
	free(sorted->first);
	free(sorted->items);
}

static uint32_t component_of_item(const struct closure *closure, bool wants, size_t i)
{
	return closure->groups[wants ? closure->wants[i].group : i].component;
}

static int sort_by_component(const struct closure *closure, bool wants, struct sorted *sorted)
{
	size_t count = wants ? closure->want_count : closure->group_count;

	sorted->first = alloc_zeroed(closure->component_count + 2, sizeof(*sorted->first));
	sorted->items = alloc_zeroed(count + 1, sizeof(*sorted->items));
	if (!sorted->first || !sorted->items)
		return -1;
	for (size_t i = 0; i < count; i++)
		sorted->first[component_of_item(closure, wants, i) + 2]++;
	for (size_t c = 0; c < closure->component_count; c++)
		sorted->first[c + 2] += sorted->first[c + 1];
	for (size_t i = 0; i < count; i++)
		sorted->items[sorted->first[component_of_item(closure, wants, i) + 1]++] =
			(uint32_t)i;
	return 0;
}

struct lister {
	struct closure *closure;
	const struct graph *graph;
	struct sorted groups, wants;
	uint32_t *found; /* wanted indexes of the present component */
	size_t count;
	const struct list *shared; /* the only list that gave something */
	bool alone;		   /* nothing but `shared` gave something */
};

static void find_one(struct lister *l, uint32_t wanted)
{
	struct wanted_id *entry = &l->closure->wanted[wanted];

	if (entry->stamp == l->closure->stamp)
		return;
	entry->stamp = l->closure->stamp;
	l->found[l->count++] = wanted;
}

static void find_parents(struct lister *l, uint32_t component, uint32_t group)
{
	struct closure *closure = l->closure;

	for (uint32_t e = l->graph->first[group]; e < l->graph->first[group + 1]; e++) {
		uint32_t parent = closure->groups[l->graph->parents[e]].component;
		const struct list *list = &closure->of_component[parent];
		size_t before = l->count;

		if (parent == component || list->count == 0)
			continue;
		for (uint32_t i = 0; i < list->count; i++)
			find_one(l, closure->lists[list->at + i]);
		if (before == 0)
			l->shared = list;
		else if (l->count > before)
			l->alone = false;
	}
}

static int store_list(struct lister *l, uint32_t component, struct err *err)
{
	struct closure *closure = l->closure;
	struct list *list = &closure->of_component[component];

	if (l->count == 0)
		return 0;
	if (l->alone && l->shared && l->shared->count == l->count) {
		*list = *l->shared;
		return 0;
	}
	if (closure->lists_count + l->count > LISTS_MAX)
		return err_set(err, ERR_TOO_LARGE, "groups are nested too widely to be resolved");
	while (closure->lists_count + l->count > closure->lists_capacity)
		if (reserve_one((void **)&closure->lists, closure->lists_capacity,
				&closure->lists_capacity, sizeof(*closure->lists)) < 0)
			return no_memory(err);
	qsort(l->found, l->count, sizeof(*l->found), compare_numbers);
	memcpy(closure->lists + closure->lists_count, l->found, l->count * sizeof(*l->found));
	*list = (struct list){ (uint32_t)closure->lists_count, (uint32_t)l->count };
	closure->lists_count += l->count;
	return 0;
}

/* Parents' components have smaller numbers: their lists are there already. */
static int list_component(struct lister *l, uint32_t component, struct err *err)
{
	struct closure *closure = l->closure;

	closure->stamp++;
	l->count = 0;
	l->shared = NULL;
	l->alone = true;
	for (uint32_t i = l->wants.first[component]; i < l->wants.first[component + 1]; i++) {
		find_one(l, closure->wants[l->wants.items[i]].id);
		l->alone = false;
	}
	for (uint32_t i = l->groups.first[component]; i < l->groups.first[component + 1]; i++)
		find_parents(l, component, l->groups.items[i]);
	return store_list(l, component, err);
}

static int list_all(struct closure *closure, const struct graph *graph, struct err *err)
{
	struct lister l = { .closure = closure, .graph = graph };
	int result = -1;

	closure->of_component =
		alloc_zeroed(closure->component_count + 1, sizeof(*closure->of_component));
	l.found = alloc_zeroed(closure->wanted_count + 1, sizeof(*l.found));
	if (!closure->of_component || !l.found ||
	    sort_by_component(closure, false, &l.groups) < 0 ||
	    sort_by_component(closure, true, &l.wants) < 0) {
		no_memory(err);
	} else {
		result = 0;
		for (uint32_t c = 0; c < closure->component_count && result == 0; c++)
			result = list_component(&l, c, err);
	}
	sorted_finish(&l.groups);
	sorted_finish(&l.wants);
	free(l.found);
	return result;
}

static void mark_doubts(struct closure *closure)
{
	for (size_t g = 0; g < closure->group_count; g++) {
		const struct list *list = &closure->of_component[closure->groups[g].component];

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
	free_blocks(closure);
	return 0;
}

int closure_finish(struct closure *closure, struct err *err)
{
	struct graph graph = { NULL, NULL };
	int result;

	if (closure->finished)
		return err_set(err, ERR_INTERNAL, "closure finished twice");
	closure->finished = true;
	if (graph_build(closure, &graph) < 0 || find_components(closure, &graph) < 0 ||
	    number_wanted(closure) < 0) {
		graph_finish(&graph);
		return no_memory(err);
	}
	result = list_all(closure, &graph, err);
	graph_finish(&graph);
	if (result < 0)
		return -1;
	mark_doubts(closure);
	return keep_memberships(closure) < 0 ? no_memory(err) : 0;
}

/* --- users --- */

static void add_component(struct closure *closure, uint32_t component, size_t *count)
{
	const struct list *list = &closure->of_component[component];

	for (uint32_t i = 0; i < list->count; i++) {
		uint32_t wanted = closure->lists[list->at + i];

		if (closure->wanted[wanted].stamp == closure->stamp)
			continue;
		closure->wanted[wanted].stamp = closure->stamp;
		closure->answer[(*count)++] = wanted;
	}
}

/* A stamp that no entry carries; after 4 billion answers they are wiped. */
static void next_stamp(struct closure *closure)
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
		qsort(answer, count, sizeof(*answer), compare_numbers);
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

	if (!closure->first || !closure->direct)
		return err_set(err, ERR_INTERNAL, "closure asked before it was finished");
	next_stamp(closure);
	for (size_t i = 0; i < name_count; i++) {
		uint32_t number;

		if (!hash_table_get(closure->names, names[i], &number))
			continue;
		for (uint32_t d = closure->first[number]; d < closure->first[number + 1]; d++)
			add_component(closure, closure->direct[d], &count);
	}
	for (size_t i = 0; i < group_count; i++)
		if (groups[i] < closure->group_count)
			add_component(closure, closure->groups[groups[i]].component, &count);
	sort_answer(closure->answer, count);
	for (size_t i = 0; i < count; i++) {
		struct wanted_id *wanted = &closure->wanted[closure->answer[i]];

		wanted->members++;
		doubts += wanted->in_doubt;
		closure->answer[i] = wanted->id;
	}
	ret_answer->ids = closure->answer;
	ret_answer->count = count;
	ret_answer->complete = doubts == closure->in_doubt_count;
	return 0;
}

bool closure_wanted(const struct closure *closure, uint32_t wanted_id, uint64_t *ret_members)
{
	size_t low = 0, high = closure->wanted_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (closure->wanted[middle].id < wanted_id)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == closure->wanted_count || closure->wanted[low].id != wanted_id)
		return false;
	if (ret_members)
		*ret_members = closure->wanted[low].members;
	return true;
}

size_t closure_group_count(const struct closure *closure)
{
	return closure->group_count;
}

uint64_t closure_membership_count(const struct closure *closure)
{
	return closure->membership_count;
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
