/*
 * The graph of groups, solved: what the members of each group get.
 *
 * Enters: for each group the groups that list it, and who answers to which wanted id. Leaves: components
 * and their ascending lists of wanted ids. Fails: out of memory, nesting that explodes past a cap.
 */
#include "closure_state.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>

#define LISTS_MAX (64u * 1024 * 1024) /* entries of all ancestor lists together */

void graph_finish(struct graph *graph)
{
	free(graph->first);
	free(graph->parents);
}

/* --- components --- */

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

/* Wanted ids in ascending order, each once; wants[].id becomes the index among them. */
int closure_number_wanted(struct closure *closure, struct err *err)
{
	closure->wanted = alloc_zeroed(closure->want_count + 1, sizeof(*closure->wanted));
	closure->answer = alloc_zeroed(closure->want_count + 1, sizeof(*closure->answer));
	if (!closure->wanted || !closure->answer)
		return closure_no_memory(err);
	if (closure->want_count > 0)
		qsort(closure->wants, closure->want_count, sizeof(*closure->wants), compare_wants);
	for (size_t i = 0; i < closure->want_count; i++) {
		uint32_t id = closure->wants[i].id;

		if (closure->wanted_count == 0 ||
		    closure->wanted[closure->wanted_count - 1].id != id)
			closure->wanted[closure->wanted_count++].id = id;
		closure->wants[i].id = (uint32_t)closure->wanted_count - 1;
		closure->wanted[closure->wanted_count - 1].groups++;
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
		if (closure_reserve_one((void **)&closure->lists, closure->lists_capacity,
					&closure->lists_capacity, sizeof(*closure->lists)) < 0)
			return closure_no_memory(err);
	qsort(l->found, l->count, sizeof(*l->found), closure_compare_numbers);
	memcpy(closure->lists + closure->lists_count, l->found, l->count * sizeof(*l->found));
	*list = (struct list){ (uint32_t)closure->lists_count, (uint32_t)l->count };
	closure->lists_count += l->count;
	return 0;
}

/* Parents' components have smaller numbers: their lists are there already. */
static int list_component(struct lister *l, uint32_t component, struct err *err)
{
	struct closure *closure = l->closure;

	closure_next_stamp(closure);
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

	free(closure->of_component);
	closure->of_component =
		alloc_zeroed(closure->component_count + 1, sizeof(*closure->of_component));
	l.found = alloc_zeroed(closure->wanted_count + 1, sizeof(*l.found));
	if (!closure->of_component || !l.found ||
	    sort_by_component(closure, false, &l.groups) < 0 ||
	    sort_by_component(closure, true, &l.wants) < 0) {
		closure_no_memory(err);
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

int closure_solve(struct closure *closure, const struct graph *graph, struct err *err)
{
	if (find_components(closure, graph) < 0)
		return closure_no_memory(err);
	return list_all(closure, graph, err);
}
