/*
 * Following changes of groups without reading all of them again.
 *
 * Enters: new member lists, groups that come and go. Leaves: the names of those
 * who may have something else now. Fails: out of memory, nesting that explodes past a cap; then
 * the closure is unusable, for what was half changed must answer nobody.
 *
 * A dynamic closure keeps all memberships in both directions, by name (whose answer is the union of
 * its groups) and by group (whom to tell). Nested groups are names as well: the groups that
 * list a group's name are its parents, so that the graph needs no memory of its own.
 *
 * In force is, for each group, the list of wanted ids its members get: S(group) = own ids and
 * those of its parents, the least solution of that. Between updates S stays as it was and is what a
 * change is judged by:
 *
 *   - somebody joins or leaves: whoever it is must be told if S of the group is not empty,
 *     before or after the update;
 *   - a group c joins p: if S(p) lies within S(c) already, S satisfies the new graph, too, and more
 *     joining never makes the least solution smaller: nothing to solve;
 *   - c leaves p: if S(p) is empty, no id came to anybody through p: nothing to solve.
 *
 * These hold for all changes since the last update together, because each of them
 * keeps S a solution and takes no id's way away. Anything else solves the whole graph of groups again
 * (cheap: groups and their nesting, not people), and the members of each group whose list is another
 * are told. As rules want few groups, most lists are empty and most changes solve nothing.
 */
#include "closure_state.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>

#define PREFETCHED 32

void closure_set_dynamic(struct closure *closure)
{
	closure->dynamic = true;
}

void closure_change_finish(struct closure *closure)
{
	struct change_state *change = &closure->change;

	free(change->names);
	row_lists_finish(&change->groups_of);
	row_lists_finish(&change->members_of);
	free(change->in_force);
	free(change->free_groups);
	free(change->changed);
	free(change->touched);
	free(change->old.words);
	free(change->seen.words);
}

/* Nobody may trust it any more. Returns -1 for the caller to pass on. */
static int give_up(struct closure *closure)
{
	closure->usable = false;
	closure->broken = true;
	return -1;
}

static int out_of_memory(struct closure *closure, struct err *err)
{
	closure_no_memory(err);
	return give_up(closure);
}

/* May it be changed; group: one that must be there. */
static int check_change(const struct closure *closure, uint32_t group, struct err *err)
{
	if (!closure->dynamic || !closure->usable || closure->change.telling)
		return err_set(err, ERR_INTERNAL, "this closure cannot be changed");
	if (group >= closure->group_count || closure->groups[group].name == 0)
		return err_set(err, ERR_INTERNAL, "change of a group that is not there");
	return 0;
}

/* --- names --- */

static int grow_marks(struct marks *marks, size_t names)
{
	size_t count = names / 64 + 1;
	uint64_t *words;

	if (count <= marks->count)
		return 0;
	words = alloc_resize(marks->words, count * sizeof(*words));
	if (!words)
		return -1;
	memset(words + marks->count, 0, (count - marks->count) * sizeof(*words));
	marks->words = words;
	marks->count = count;
	return 0;
}

static bool is_marked(const struct marks *marks, uint32_t number)
{
	return marks->words[number / 64] >> (number % 64) & 1;
}

static void mark(struct marks *marks, uint32_t number)
{
	marks->words[number / 64] |= UINT64_C(1) << (number % 64);
}

static void unmark(struct marks *marks, uint32_t number)
{
	marks->words[number / 64] &= ~(UINT64_C(1) << (number % 64));
}

/* All that is kept by name has room for this number. */
static int reserve_name(struct change_state *change, uint32_t number)
{
	if (row_lists_reserve(&change->groups_of, (size_t)number + 1) < 0 ||
	    grow_marks(&change->old, change->groups_of.row_count) < 0 ||
	    grow_marks(&change->seen, change->groups_of.row_count) < 0)
		return -1;
	return 0;
}

int closure_note_name(struct closure *closure, uint32_t number, struct hash128 name)
{
	struct change_state *change = &closure->change;

	if (number >= change->name_capacity) {
		size_t capacity = number + number / 8 + (size_t)1024;
		struct hash128 *names = alloc_resize(change->names, capacity * sizeof(*names));

		if (!names)
			return give_up(closure);
		change->names = names;
		change->name_capacity = capacity;
	}
	change->names[number] = name;
	change->name_count = number;
	if (closure->finished && reserve_name(change, number) < 0)
		return give_up(closure);
	return 0;
}

/* --- the first solution --- */

static int reserve_groups(struct closure *closure)
{
	struct change_state *change = &closure->change;
	size_t count = closure->group_capacity;
	struct list *in_force;

	if (row_lists_reserve(&change->members_of, closure->group_count + 1) < 0)
		return -1;
	if (change->in_force && count <= change->in_force_count)
		return 0;
	in_force = alloc_resize(change->in_force, (count + 1) * sizeof(*in_force));
	if (!in_force)
		return -1;
	memset(in_force + change->in_force_count, 0,
	       (count + 1 - change->in_force_count) * sizeof(*in_force));
	change->in_force = in_force;
	change->in_force_count = count;
	return 0;
}

static int rows_of_blocks(struct closure *closure)
{
	struct row_lists *groups_of = &closure->change.groups_of;

	for (const struct block *block = closure->blocks; block; block = block->next)
		for (size_t i = 0; i < block->count; i++)
			row_lists_expect(groups_of, block->items[i].member);
	if (row_lists_lay(groups_of) < 0)
		return -1;
	for (const struct block *block = closure->blocks; block; block = block->next)
		for (size_t i = 0; i < block->count; i++)
			row_lists_put(groups_of, block->items[i].member, block->items[i].group);
	closure_free_blocks(closure);
	return 0;
}

/* A membership said twice is one. said: by group, zeroed: the last name that had it. */
static void drop_repeated(struct closure *closure, uint32_t *said)
{
	struct row_lists *groups_of = &closure->change.groups_of;

	for (uint32_t n = 1; n <= hash_table_count(closure->names); n++) {
		uint32_t *items = groups_of->items + groups_of->rows[n].at;
		uint32_t kept = 0;

		for (uint32_t i = 0; i < groups_of->rows[n].count; i++) {
			uint32_t group = items[i];

			if (said[group] == n)
				continue;
			said[group] = n;
			items[kept++] = group;
			row_lists_expect(&closure->change.members_of, group);
		}
		row_lists_cut(groups_of, n, kept);
	}
}

static int turn_rows(struct closure *closure)
{
	struct change_state *change = &closure->change;
	uint32_t *said = alloc_zeroed(closure->group_count + 1, sizeof(*said));

	if (!said)
		return -1;
	drop_repeated(closure, said);
	free(said);
	if (row_lists_lay(&change->members_of) < 0)
		return -1;
	for (uint32_t n = 1; n <= hash_table_count(closure->names); n++) {
		const uint32_t *groups = row_lists_items(&change->groups_of, n);

		for (uint32_t i = 0; i < change->groups_of.rows[n].count; i++)
			row_lists_put(&change->members_of, groups[i], n);
	}
	return 0;
}

static const struct row *parents_of(const struct closure *closure, uint32_t group)
{
	return &closure->change.groups_of.rows[closure->groups[group].name];
}

/* Parents by group; of dropped groups, whose name is 0, none. */
static int graph_of_rows(const struct closure *closure, struct graph *graph)
{
	const struct row_lists *rows = &closure->change.groups_of;
	size_t total = 0;

	for (uint32_t g = 0; g < closure->group_count; g++)
		total += parents_of(closure, g)->count;
	graph->first = alloc_resize(NULL, (closure->group_count + 1) * sizeof(*graph->first));
	graph->parents = alloc_resize(NULL, (total + 1) * sizeof(*graph->parents));
	if (!graph->first || !graph->parents)
		return -1;
	total = 0;
	for (uint32_t g = 0; g < closure->group_count; g++) {
		const struct row *row = parents_of(closure, g);

		graph->first[g] = (uint32_t)total;
		if (row->count > 0)
			memcpy(graph->parents + total, rows->items + row->at,
			       row->count * sizeof(*graph->parents));
		total += row->count;
	}
	graph->first[closure->group_count] = (uint32_t)total;
	return 0;
}

static int solve(struct closure *closure, struct err *err)
{
	struct graph graph = { NULL, NULL };
	int result = graph_of_rows(closure, &graph) < 0 ? closure_no_memory(err)
							: closure_solve(closure, &graph, err);

	graph_finish(&graph);
	return result;
}

/* What closure_solve found. */
static struct list solved(const struct closure *closure, uint32_t group)
{
	return closure->of_component[closure->groups[group].component];
}

int closure_begin_changes(struct closure *closure, struct err *err)
{
	uint32_t names = (uint32_t)hash_table_count(closure->names);

	if (reserve_name(&closure->change, names) < 0 || reserve_groups(closure) < 0 ||
	    rows_of_blocks(closure) < 0 || turn_rows(closure) < 0)
		return out_of_memory(closure, err);
	if (solve(closure, err) < 0)
		return give_up(closure);
	for (uint32_t g = 0; g < closure->group_count; g++)
		closure->change.in_force[g] = solved(closure, g);
	closure->change.judge = false;
	return 0;
}

/* --- changes --- */

/* Both ascending. */
static bool lies_within(const struct closure *closure, struct list part, struct list whole)
{
	uint32_t at = 0;

	if (part.count > whole.count)
		return false;
	if (part.at == whole.at)
		return true;
	for (uint32_t i = 0; i < part.count; i++, at++) {
		while (at < whole.count &&
		       closure->lists[whole.at + at] < closure->lists[part.at + i])
			at++;
		if (at == whole.count ||
		    closure->lists[whole.at + at] != closure->lists[part.at + i])
			return false;
	}
	return true;
}

/* A membership came or went: remember whom it concerns, and whether the graph is to be solved. */
static int note_change(struct closure *closure, uint32_t group, uint32_t number, bool came)
{
	struct change_state *change = &closure->change;
	uint32_t child = closure_group_named(closure, number);
	struct list list = change->in_force[group];

	if (closure_reserve_one((void **)&change->changed, change->changed_count,
				&change->changed_capacity, sizeof(*change->changed)) < 0)
		return -1;
	change->changed[change->changed_count++] = (struct membership){ number, group };
	if (child == NONE || child == group)
		return 0;
	if (came ? !lies_within(closure, list, change->in_force[child]) : list.count > 0)
		change->solve = true;
	return 0;
}

static int member_came(struct closure *closure, uint32_t group, uint32_t number)
{
	if (closure->change.members_of.live >= UINT32_MAX - 1 ||
	    row_lists_add(&closure->change.groups_of, number, group) < 0)
		return -1;
	return note_change(closure, group, number, true);
}

static int member_left(struct closure *closure, uint32_t group, uint32_t number)
{
	row_lists_remove(&closure->change.groups_of, number, group);
	return note_change(closure, group, number, false);
}

/* Numbers of names, new ones given; each once and marked as seen. */
static int number_members(struct closure *closure, const struct hash128 *members, size_t count,
			  uint32_t *numbers, size_t *ret_count)
{
	struct change_state *change = &closure->change;
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		uint32_t number;

		if (i % PREFETCHED == 0)
			for (size_t k = i; k < count && k < i + PREFETCHED; k++)
				hash_table_prefetch(closure->names, members[k]);
		number = closure_number_of(closure, members[i]);
		if (number == 0)
			return -1;
		if (is_marked(&change->seen, number))
			continue;
		mark(&change->seen, number);
		numbers[kept++] = number;
	}
	*ret_count = kept;
	return 0;
}

/* numbers: the new list, all of them marked as seen. */
static int replace_members(struct closure *closure, uint32_t group, const uint32_t *numbers,
			   size_t count)
{
	struct change_state *change = &closure->change;
	const uint32_t *before = row_lists_items(&change->members_of, group);
	uint32_t before_count = change->members_of.rows[group].count;

	for (uint32_t i = 0; i < before_count; i++) {
		if (is_marked(&change->seen, before[i]))
			mark(&change->old, before[i]);
		else if (member_left(closure, group, before[i]) < 0)
			return -1;
	}
	for (size_t i = 0; i < count; i++) {
		if (!is_marked(&change->old, numbers[i]) &&
		    member_came(closure, group, numbers[i]) < 0)
			return -1;
		unmark(&change->old, numbers[i]);
		unmark(&change->seen, numbers[i]);
	}
	return row_lists_set(&change->members_of, group, numbers, count);
}

int closure_change_members(struct closure *closure, uint32_t group, const struct hash128 *members,
			   size_t count, struct err *err)
{
	uint32_t *numbers;
	size_t kept;

	if (check_change(closure, group, err) < 0)
		return -1;
	if (closure->groups[group].incomplete) {
		closure->groups[group].incomplete = false;
		closure->change.judge = true;
	}
	numbers = alloc_zeroed(count + 1, sizeof(*numbers));
	if (!numbers || number_members(closure, members, count, numbers, &kept) < 0 ||
	    replace_members(closure, group, numbers, kept) < 0) {
		free(numbers);
		return out_of_memory(closure, err);
	}
	free(numbers);
	return 0;
}

static bool is_member(const struct closure *closure, uint32_t group, uint32_t number)
{
	const struct row_lists *rows = &closure->change.groups_of;
	const uint32_t *groups = row_lists_items(rows, number);

	for (uint32_t i = 0; i < rows->rows[number].count; i++)
		if (groups[i] == group)
			return true;
	return false;
}

int closure_change_add(struct closure *closure, uint32_t group, const struct hash128 *members,
		       size_t count, struct err *err)
{
	if (check_change(closure, group, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		uint32_t number = closure_number_of(closure, members[i]);

		if (number == 0)
			return out_of_memory(closure, err);
		if (is_member(closure, group, number))
			continue;
		if (member_came(closure, group, number) < 0 ||
		    row_lists_add(&closure->change.members_of, group, number) < 0)
			return out_of_memory(closure, err);
	}
	return 0;
}

int closure_remove_member(struct closure *closure, uint32_t group, struct hash128 member,
			  struct err *err)
{
	uint32_t number;

	if (check_change(closure, group, err) < 0)
		return -1;
	if (!hash_table_get(closure->names, member, &number) ||
	    !row_lists_remove(&closure->change.members_of, group, number))
		return 0;
	return member_left(closure, group, number) < 0 ? out_of_memory(closure, err) : 0;
}

/* --- groups that come and go --- */

/* A group's own number, or one that a dropped group had before the last update. */
static int take_number(struct closure *closure, uint32_t name, uint32_t *ret_group)
{
	struct change_state *change = &closure->change;
	size_t usable = change->free_count - change->dropped_count;
	uint32_t group;

	if (usable == 0) {
		*ret_group = (uint32_t)closure->group_count;
		return closure->group_count >= NONE - 1 || closure_append_group(closure, name) < 0
			       ? -1
			       : reserve_groups(closure);
	}
	group = change->free_groups[usable - 1];
	if (closure_note_group(closure, name, group) < 0)
		return -1;
	/* The newest of those dropped since takes its place: their order means nothing. */
	change->free_groups[usable - 1] = change->free_groups[--change->free_count];
	closure->groups[group] = (struct group_node){ .name = name };
	*ret_group = group;
	return 0;
}

int closure_change_add_group(struct closure *closure, struct hash128 name, uint32_t *ret_group,
			     struct err *err)
{
	const struct row_lists *rows = &closure->change.groups_of;
	uint32_t number, group;

	if (!closure->usable || closure->change.telling)
		return err_set(err, ERR_INTERNAL, "this closure cannot be changed");
	number = closure_number_of(closure, name);
	if (number == 0)
		return out_of_memory(closure, err);
	if (closure_group_named(closure, number) != NONE)
		return err_set(err, ERR_CONFLICT, "group known already");
	if (take_number(closure, number, &group) < 0)
		return out_of_memory(closure, err);
	/* Lists that named it before it was a group. */
	for (uint32_t i = 0; i < rows->rows[number].count; i++)
		if (closure->change.in_force[row_lists_items(rows, number)[i]].count > 0)
			closure->change.solve = true;
	*ret_group = group;
	return 0;
}

/* They came to nobody but its members, who are gone: nothing to solve by that. */
static void forget_wants(struct closure *closure, uint32_t group)
{
	size_t kept = 0;

	for (size_t i = 0; i < closure->want_count; i++) {
		if (closure->wants[i].group == group)
			closure->wanted[closure->wants[i].id].groups--;
		else
			closure->wants[kept++] = closure->wants[i];
	}
	closure->want_count = kept;
}

int closure_drop_group(struct closure *closure, uint32_t group, struct err *err)
{
	struct change_state *change = &closure->change;

	if (closure_change_members(closure, group, NULL, 0, err) < 0)
		return -1;
	if (closure_reserve_one((void **)&change->free_groups, change->free_count,
				&change->free_capacity, sizeof(*change->free_groups)) < 0)
		return out_of_memory(closure, err);
	forget_wants(closure, group);
	change->free_groups[change->free_count++] = group;
	change->dropped_count++;
	closure->group_of[closure->groups[group].name] = NONE;
	closure->groups[group].name = 0;
	return 0;
}

/* Lists and wants number the wanted ids in their order: who comes after moves up. */
static int insert_wanted(struct closure *closure, size_t place, uint32_t id)
{
	size_t count = closure->wanted_count;
	struct wanted_id *wanted =
		alloc_resize(closure->wanted, (count + 2) * sizeof(*closure->wanted));
	uint32_t *answer;

	if (!wanted)
		return -1;
	closure->wanted = wanted;
	answer = alloc_resize(closure->answer, (count + 2) * sizeof(*closure->answer));
	if (!answer)
		return -1;
	closure->answer = answer;
	memmove(wanted + place + 1, wanted + place, (count - place) * sizeof(*wanted));
	wanted[place] = (struct wanted_id){ .id = id };
	closure->wanted_count++;
	for (size_t i = 0; i < closure->lists_count; i++)
		closure->lists[i] += closure->lists[i] >= place;
	for (size_t i = 0; i < closure->want_count; i++)
		closure->wants[i].id += closure->wants[i].id >= place;
	return 0;
}

int closure_change_want(struct closure *closure, uint32_t group, uint32_t wanted_id,
			struct err *err)
{
	size_t place = closure_place_wanted(closure, wanted_id);

	if (check_change(closure, group, err) < 0)
		return -1;
	if (wanted_id == 0)
		return err_set(err, ERR_INTERNAL, "wanted id 0");
	if (closure_reserve_one((void **)&closure->wants, closure->want_count,
				&closure->want_capacity, sizeof(*closure->wants)) < 0 ||
	    (!closure_find_wanted(closure, wanted_id) &&
	     insert_wanted(closure, place, wanted_id) < 0))
		return out_of_memory(closure, err);
	closure->wants[closure->want_count++] = (struct want){ (uint32_t)place, group };
	closure->wanted[place].groups++;
	closure->change.solve = true;
	return 0;
}

/* --- the update --- */

static int touch(struct change_state *change, uint32_t number)
{
	if (is_marked(&change->seen, number))
		return 0;
	if (closure_reserve_one((void **)&change->touched, change->touched_count,
				&change->touched_capacity, sizeof(*change->touched)) < 0)
		return -1;
	mark(&change->seen, number);
	change->touched[change->touched_count++] = number;
	return 0;
}

static int touch_members(struct change_state *change, uint32_t group)
{
	const uint32_t *members = row_lists_items(&change->members_of, group);

	for (uint32_t i = 0; i < change->members_of.rows[group].count; i++)
		if (touch(change, members[i]) < 0)
			return -1;
	return 0;
}

/* Lists of before are in `before`, those of now in closure->lists. */
static bool same_list(const struct closure *closure, const uint32_t *before, struct list old,
		      struct list now)
{
	return old.count == now.count &&
	       (now.count == 0 ||
		memcmp(before + old.at, closure->lists + now.at, now.count * sizeof(*before)) == 0);
}

/*
 * The new solution comes in force, and the members of every group that it changed are touched. Groups one
 * after the other often share both lists: a comparison is made once for them.
 */
static int take_solution(struct closure *closure, const uint32_t *before)
{
	struct change_state *change = &closure->change;
	struct list last_old = { 0, 0 }, last_now = { 0, 0 };
	bool last_same = true;

	for (uint32_t g = 0; g < closure->group_count; g++) {
		struct list old = change->in_force[g], now = solved(closure, g);

		if (memcmp(&old, &last_old, sizeof(old)) != 0 ||
		    memcmp(&now, &last_now, sizeof(now)) != 0) {
			last_same = same_list(closure, before, old, now);
			last_old = old;
			last_now = now;
		}
		change->in_force[g] = now;
		if (last_same)
			continue;
		closure->groups[g].changed = true;
		change->any_changed = true;
		if (touch_members(change, g) < 0)
			return -1;
	}
	return 0;
}

static int solve_again(struct closure *closure, struct err *err)
{
	uint32_t *before = closure->lists;
	int result;

	closure->lists = NULL;
	closure->lists_count = closure->lists_capacity = 0;
	result = solve(closure, err);
	if (result == 0 && take_solution(closure, before) < 0)
		result = closure_no_memory(err);
	free(before);
	return result;
}

/* Whoever joined or left a group that gives something, now or before. */
static int touch_changed(struct change_state *change, bool *gave)
{
	for (size_t i = 0; i < change->changed_count; i++)
		if ((gave[i] || change->in_force[change->changed[i].group].count > 0) &&
		    touch(change, change->changed[i].member) < 0)
			return -1;
	return 0;
}

/* Does another set of ids hang on incomplete lists now? */
static bool judge(struct closure *closure)
{
	bool other = false;

	for (size_t i = 0; i < closure->wanted_count; i++) {
		closure->wanted[i].was_in_doubt = closure->wanted[i].in_doubt;
		closure->wanted[i].in_doubt = false;
	}
	closure->in_doubt_count = 0;
	closure_mark_doubts(closure);
	for (size_t i = 0; i < closure->wanted_count; i++)
		other |= closure->wanted[i].was_in_doubt != closure->wanted[i].in_doubt;
	return other;
}

static void forget_changed(struct closure *closure)
{
	if (closure->change.any_changed)
		for (size_t g = 0; g < closure->group_count; g++)
			closure->groups[g].changed = false;
	closure->change.any_changed = false;
}

/* The graph is in force; numbers of dropped groups are free. */
static int settle(struct closure *closure, bool *ret_other_doubts, struct err *err)
{
	struct change_state *change = &closure->change;
	bool *gave = alloc_zeroed(change->changed_count + 1, sizeof(*gave));
	int result = 0;

	if (!gave)
		return closure_no_memory(err);
	for (size_t i = 0; i < change->changed_count; i++)
		gave[i] = change->in_force[change->changed[i].group].count > 0;
	forget_changed(closure);
	if (change->solve)
		result = solve_again(closure, err);
	if (result == 0 && touch_changed(change, gave) < 0)
		result = closure_no_memory(err);
	free(gave);
	if (result < 0)
		return -1;
	*ret_other_doubts = (change->solve || change->judge) && judge(closure);
	for (size_t i = 0; i < change->dropped_count; i++)
		change->in_force[change->free_groups[change->free_count - 1 - i]] =
			(struct list){ 0, 0 };
	change->dropped_count = 0;
	change->solve = change->judge = false;
	change->changed_count = 0;
	return 0;
}

static int tell(struct closure *closure, closure_touched_fn *each, void *context, struct err *err)
{
	struct change_state *change = &closure->change;
	int result = 0;

	change->telling = true;
	for (size_t i = 0; i < change->touched_count; i++) {
		unmark(&change->seen, change->touched[i]);
		if (result == 0 && each(context, change->names[change->touched[i]], err) < 0)
			result = -1;
	}
	change->telling = false;
	return result;
}

/* A large change must not hold its memory until the next one. */
static void forget_work(struct change_state *change)
{
	free(change->touched);
	change->touched = NULL;
	change->touched_count = change->touched_capacity = 0;
	free(change->changed);
	change->changed = NULL;
	change->changed_capacity = 0;
}

int closure_update(struct closure *closure, closure_touched_fn *each, void *context,
		   struct err *err)
{
	bool other_doubts = false;

	if (!closure->dynamic || !closure->usable || closure->change.telling)
		return err_set(err, ERR_INTERNAL, "this closure cannot be updated");
	if (settle(closure, &other_doubts, err) < 0 || tell(closure, each, context, err) < 0)
		return give_up(closure);
	forget_work(&closure->change);
	return other_doubts;
}

bool closure_group_changed(const struct closure *closure, uint32_t group)
{
	return group < closure->group_count && closure->groups[group].changed;
}

static void count_ids(struct closure *closure, const uint32_t *ids, size_t count, bool more)
{
	for (size_t i = 0; i < count; i++) {
		struct wanted_id *wanted = closure_find_wanted(closure, ids[i]);

		if (wanted && more)
			wanted->members++;
		else if (wanted && wanted->members > 0)
			wanted->members--;
	}
}

int closure_members(struct closure *closure, uint32_t group, closure_touched_fn *each,
		    void *context, struct err *err)
{
	const struct change_state *change = &closure->change;
	const uint32_t *members;

	if (check_change(closure, group, err) < 0)
		return -1;
	members = row_lists_items(&change->members_of, group);
	for (uint32_t i = 0; i < change->members_of.rows[group].count; i++) {
		if (each(context, change->names[members[i]], err) < 0)
			return -1;
	}
	return 0;
}

void closure_count(struct closure *closure, const uint32_t *before, size_t before_count,
		   const uint32_t *after, size_t after_count)
{
	count_ids(closure, before, before_count, false);
	count_ids(closure, after, after_count, true);
}
