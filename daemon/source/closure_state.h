/*
 * What the three parts of the closure share: reading and answering (closure.c), solving the graph of
 * groups (closure_solve.c), following changes (closure_change.c).
 */
#ifndef SOURCE_CLOSURE_STATE_H
#define SOURCE_CLOSURE_STATE_H

#include <rolebridge/source/closure.h>

#include "closure_rows.h"

#define NONE UINT32_MAX
#define BLOCK_MEMBERSHIPS 16384

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
	uint32_t name;	    /* number of its name; 0: dropped */
	uint32_t component; /* after closure_solve */
	bool incomplete;
	bool changed; /* by the last update */
};

struct want {
	uint32_t id; /* after closure_finish: index into wanted */
	uint32_t group;
};

struct wanted_id {
	uint32_t id;
	bool in_doubt, was_in_doubt;
	uint32_t stamp;	 /* the last answer that had it */
	uint32_t groups; /* that answer to it */
	uint64_t members;
};

/* A slice of closure.lists: indexes into wanted, ascending. */
struct list {
	uint32_t at, count;
};

/* One bit a name. */
struct marks {
	uint64_t *words;
	size_t count; /* of words */
};

/* A dynamic closure's own. */
struct change_state {
	struct hash128 *names; /* by number */
	size_t name_count, name_capacity;
	struct row_lists groups_of;  /* by name: the groups that list it */
	struct row_lists members_of; /* by group: the names it lists */
	struct list *in_force;	     /* by group: what its members get */
	size_t in_force_count;
	uint32_t *free_groups; /* numbers to use again */
	size_t free_count, free_capacity;
	size_t dropped_count;	    /* the last of free_groups, dropped since the last update */
	struct membership *changed; /* memberships that came or went since the last update */
	size_t changed_count, changed_capacity;
	uint32_t *touched; /* names to tell */
	size_t touched_count, touched_capacity;
	struct marks old, seen;
	bool solve, judge; /* what the next update has to do: the graph, the doubts */
	bool any_changed;  /* some group has `changed` */
	bool telling;
};

struct closure {
	struct hash_table *names;
	uint64_t membership_count;
	struct block *blocks;
	struct group_node *groups;
	size_t group_count, group_capacity;
	struct want *wants;
	size_t want_count, want_capacity;
	uint32_t *group_of; /* by name: the group of that name, or NONE */
	size_t name_count;
	bool finished;
	bool usable; /* finished without a failure, and none since */
	bool dynamic;
	bool broken; /* a dynamic one that failed */

	/* after closure_solve */
	struct wanted_id *wanted;
	size_t wanted_count, in_doubt_count;
	struct list *of_component;
	size_t component_count;
	uint32_t *lists;
	size_t lists_count, lists_capacity;

	/* static: by name, its memberships are direct[first[n]] up to first[n + 1], components */
	uint32_t *first;
	uint32_t *direct;
	struct change_state change;

	uint32_t stamp;
	uint32_t *answer; /* wanted_count entries */
};

/* --- closure.c --- */

int closure_no_memory(struct err *err);
/* Room for one more element; doubles. */
int closure_reserve_one(void **items, size_t count, size_t *capacity, size_t size);
/* The number of a name, from 1; 0 out of memory. */
uint32_t closure_number_of(struct closure *closure, struct hash128 name);
/* A stamp that no wanted id carries. */
void closure_next_stamp(struct closure *closure);
/* The place of a wanted id, or where it would be. */
size_t closure_place_wanted(const struct closure *closure, uint32_t wanted_id);
struct wanted_id *closure_find_wanted(const struct closure *closure, uint32_t wanted_id);
void closure_free_blocks(struct closure *closure);
int closure_note_group(struct closure *closure, uint32_t number, uint32_t group);
int closure_append_group(struct closure *closure, uint32_t number);
/* Which wanted ids some incomplete list may hide. */
void closure_mark_doubts(struct closure *closure);

static inline int closure_compare_numbers(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

	return (left > right) - (left < right);
}

static inline uint32_t closure_group_named(const struct closure *closure, uint32_t number)
{
	return number <= closure->name_count ? closure->group_of[number] : NONE;
}

/* --- closure_solve.c --- */

/* Groups by number, each with the groups that list it: parents[first[g]] up to first[g + 1]. */
struct graph {
	uint32_t *first;
	uint32_t *parents;
};

void graph_finish(struct graph *graph);
/* Numbers the wanted ids; once, before the first closure_solve. */
int closure_number_wanted(struct closure *closure, struct err *err);
/* Components and their lists, anew: of_component, lists (which are overwritten) and groups[].component. */
int closure_solve(struct closure *closure, const struct graph *graph, struct err *err);
/* What the members of a group get. */
static inline const struct list *closure_list_of(const struct closure *closure, uint32_t group)
{
	return closure->dynamic ? &closure->change.in_force[group]
				: &closure->of_component[closure->groups[group].component];
}

/* --- closure_change.c: of a dynamic closure --- */

/* A name got a number while all is read. */
int closure_note_name(struct closure *closure, uint32_t number, struct hash128 name);
/* Memberships out of the blocks, which are empty then; the first solution. */
int closure_begin_changes(struct closure *closure, struct err *err);
int closure_change_add_group(struct closure *closure, struct hash128 name, uint32_t *ret_group,
			     struct err *err);
int closure_change_want(struct closure *closure, uint32_t group, uint32_t wanted_id,
			struct err *err);
int closure_change_add(struct closure *closure, uint32_t group, const struct hash128 *members,
		       size_t count, struct err *err);
void closure_change_finish(struct closure *closure);

#endif
