/*
 * Groups that are followed (see groupings.h): by their ids, after a full read.
 *
 * A group's entry that comes again replaces its list. Whatever would change which groups
 * answer to which wanted ids, or how far answers can be trusted, is left to a full read.
 */
#include "groupings_state.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/util.h>

/* --- by their ids --- */

static struct known_group *find_known(struct group_reader *reading)
{
	uint32_t found;

	return hash_table_get(reading->ids, reading->id, &found) ? &reading->known[found - 1]
								 : NULL;
}

/* A place for the group at hand; one that came back has its old one. NULL: out of memory. */
static struct known_group *make_known(struct group_reader *reading)
{
	struct known_group *known = find_known(reading);
	uint32_t *slot;

	if (known)
		return known;
	if (reading->known_count == reading->known_capacity) {
		size_t capacity = 2 * reading->known_capacity + 64;
		void *larger = alloc_resize(reading->known, capacity * sizeof(*reading->known));
		if (!larger)
			return NULL;
		reading->known = larger;
		reading->known_capacity = capacity;
	}
	if (hash_table_put(reading->ids, reading->id, &slot) < 0)
		return NULL;
	reading->known[reading->known_count] = (struct known_group){ .id = reading->id };
	*slot = (uint32_t)++reading->known_count;
	return &reading->known[reading->known_count - 1];
}

/* Which ids the group at hand answers to. */
static int keep_wants(struct group_reader *reading, struct known_group *known)
{
	known->wants = (uint32_t)reading->want_ids.count;
	known->want_count = (uint32_t)reading->wants.count;
	for (size_t i = 0; i < reading->wants.count; i++) {
		if (group_numbers_add(&reading->want_ids, reading->wants.items[i]) < 0)
			return group_reader_out_of_memory(reading);
	}
	return 0;
}

int group_reader_keep(struct group_reader *reading, struct hash128 name, uint32_t group)
{
	bool again = find_known(reading) != NULL;
	struct known_group *known = make_known(reading);

	if (!known)
		return group_reader_out_of_memory(reading);
	/* Under another name, or it would be a group that came twice: what it was stays in the closure. */
	if (again && !reading->bad)
		outcome_note(reading->session->outcome, "directory-changed",
			     "a group was renamed while groups were read");
	*known = (struct known_group){ .id = reading->id,
				       .name = name,
				       .group = group,
				       .group_is_set = !reading->bad,
				       .bad = reading->bad };
	return keep_wants(reading, known);
}

/* --- changes --- */

void group_reader_follow(struct group_reader *reading)
{
	reading->following = true;
	reading->groupings->following = true;
}

void group_reader_watch(struct group_reader *reading, group_moved_fn *moved, void *context)
{
	reading->moved = moved;
	reading->moved_context = context;
}

static int keep_before(void *context, struct hash128 name, struct err *err)
{
	struct group_reader *reading = context;

	if (reading->before_count == reading->before_capacity) {
		size_t capacity = 2 * reading->before_capacity + 64;
		void *larger = alloc_resize(reading->before, capacity * sizeof(*reading->before));
		if (!larger)
			return err_set(err, ERR_MEMORY, "no memory for a member list");
		reading->before = larger;
		reading->before_capacity = capacity;
	}
	reading->before[reading->before_count++] = name;
	return 0;
}

/* Who is on the list before it changes. */
static int look_before(struct group_reader *reading, const struct known_group *known)
{
	reading->before_count = 0;
	if (!reading->moved || !known || known->gone || !known->group_is_set)
		return 0;
	if (closure_members(reading->groupings->closure, known->group, keep_before, reading, NULL) <
	    0)
		return group_reader_out_of_memory(reading);
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	const struct hash128 *left = a, *right = b;

	if (left->word[0] != right->word[0])
		return left->word[0] < right->word[0] ? -1 : 1;
	return (left->word[1] > right->word[1]) - (left->word[1] < right->word[1]);
}

static void sort_names(struct hash128 *names, size_t count)
{
	if (count > 1)
		qsort(names, count, sizeof(*names), compare_names);
}

/* Those on one list only; on either one when the group itself has another name now. */
static int tell_moved(struct group_reader *reading, bool all)
{
	size_t b = 0, a = 0;

	if (!reading->moved)
		return 0;
	sort_names(reading->before, reading->before_count);
	sort_names(reading->gathered, reading->gathered_count);
	while (b < reading->before_count || a < reading->gathered_count) {
		const struct hash128 *before =
			b < reading->before_count ? reading->before + b : NULL;
		const struct hash128 *after =
			a < reading->gathered_count ? reading->gathered + a : NULL;
		int order = !before ? 1 : !after ? -1 : compare_names(before, after);
		b += order <= 0;
		a += order >= 0;
		if ((order != 0 || all) &&
		    reading->moved(reading->moved_context, order <= 0 ? *before : *after) < 0)
			return -1;
	}
	return 0;
}

static bool same_wants(const struct group_reader *reading, const struct known_group *known)
{
	size_t count = known && !known->gone ? known->want_count : 0;

	return count == reading->wants.count &&
	       (count == 0 || memcmp(reading->want_ids.items + known->wants, reading->wants.items,
				     count * sizeof(*reading->wants.items)) == 0);
}

/* Wanted ids change hands, or answers change their worth. NULL: neither. */
static const char *full_read_for(const struct group_reader *reading,
				 const struct known_group *known)
{
	bool was_there = known && !known->gone;

	if (reading->bad && was_there && known->bad)
		return NULL;
	if (reading->bad || (was_there && known->bad))
		return "malformed-group";
	if (reading->cut)
		return "range-cut";
	if (same_wants(reading, known))
		return NULL;
	return was_there ? "group-renamed" : "group-appeared";
}

/* The group under its present name. 1: another one has that name. */
static int name_group(struct group_reader *reading, struct hash128 name, struct known_group *known)
{
	struct closure *closure = reading->groupings->closure;
	bool was_there = known->group_is_set && !known->gone;
	struct err err = { 0 };
	uint32_t group;

	if (was_there && hash128_equal(known->name, name))
		return 0;
	if (was_there && closure_drop_group(closure, known->group, NULL) < 0)
		return group_reader_out_of_memory(reading);
	if (closure_add_group(closure, name, &group, &err) < 0)
		return err.code == ERR_CONFLICT ? 1 : group_reader_out_of_memory(reading);
	for (size_t i = 0; i < reading->wants.count; i++) {
		if (closure_want(closure, group, reading->wants.items[i], NULL) < 0)
			return group_reader_out_of_memory(reading);
	}
	known->name = name;
	known->group = group;
	known->group_is_set = true;
	known->gone = false;
	return 0;
}

int group_reader_change(struct group_reader *reading, const struct hash128 *id,
			LDAPMessage *message, const char **ret_reason)
{
	struct known_group *known;
	struct hash128 name;
	uint32_t group;
	bool renamed;
	int status;

	group_reader_begin(reading, id);
	if (group_reader_take_message(reading, message, &name, &group) < 0)
		return -1;
	group_reader_fetch_rest(reading);
	if (reading->session->broken)
		return -1;
	*ret_reason = full_read_for(reading, find_known(reading));
	if (*ret_reason)
		return 1;
	if (reading->bad)
		return 0;
	known = make_known(reading);
	if (!known || look_before(reading, known) < 0)
		return group_reader_out_of_memory(reading);
	renamed = !hash128_equal(known->name, name);
	status = name_group(reading, name, known);
	if (status == 1)
		*ret_reason = "group-conflict";
	if (status == 0 && tell_moved(reading, renamed) < 0)
		return -1;
	if (status == 0 &&
	    closure_change_members(reading->groupings->closure, known->group, reading->gathered,
				   reading->gathered_count, NULL) < 0)
		return group_reader_out_of_memory(reading);
	return status;
}

int group_reader_gone(struct group_reader *reading, struct hash128 id, const char **ret_reason)
{
	struct known_group *known;

	reading->id = id;
	known = find_known(reading);
	if (!known || known->gone)
		return 0;
	*ret_reason = known->bad ? "malformed-group" : "group-vanished";
	if (known->bad || known->want_count > 0 || canaries_have(reading->canaries, known->name))
		return 1;
	reading->gathered_count = 0;
	if (look_before(reading, known) < 0 ||
	    closure_drop_group(reading->groupings->closure, known->group, NULL) < 0)
		return group_reader_out_of_memory(reading);
	known->gone = true;
	/* One that comes back as it was is news. */
	if (reading->told) {
		told_forget(reading->told, KIND_GROUP, known->id);
		told_forget(reading->told, KIND_GROUP, known->name);
	}
	return tell_moved(reading, true);
}

bool group_reader_knows(const struct group_reader *reading, struct hash128 id)
{
	uint32_t found;

	return hash_table_get(reading->ids, id, &found) && !reading->known[found - 1].gone;
}

void group_reader_unmark(struct group_reader *reading)
{
	if (++reading->round != 0)
		return;
	/* As index_unmark. */
	for (size_t i = 0; i < reading->known_count; i++)
		reading->known[i].round = 0;
	reading->round = 1;
}

void group_reader_mark(struct group_reader *reading, struct hash128 id)
{
	uint32_t found;

	if (hash_table_get(reading->ids, id, &found))
		reading->known[found - 1].round = reading->round;
}

int group_reader_drop_unmarked(struct group_reader *reading, const char **ret_reason)
{
	for (size_t i = 0; i < reading->known_count; i++) {
		struct known_group *known = &reading->known[i];
		int status = 0;

		if (!known->gone && known->round != reading->round)
			status = group_reader_gone(reading, known->id, ret_reason);
		if (status != 0)
			return status;
	}
	return 0;
}

/* The same few ids again and again: they are put together before room is made. */
static int moved_reserve(struct groupings *groupings)
{
	struct numbers list = { groupings->moved, groupings->moved_count, 0 };
	size_t capacity = 2 * groupings->moved_capacity + 256;
	void *larger;

	group_numbers_sort(&list);
	groupings->moved_count = list.count;
	if (list.count < groupings->moved_capacity / 2)
		return 0;
	larger = alloc_resize(groupings->moved, capacity * sizeof(*groupings->moved));
	if (!larger)
		return -1;
	groupings->moved = larger;
	groupings->moved_capacity = capacity;
	return 0;
}

int groupings_count(struct groupings *groupings, const uint32_t *before, size_t before_count,
		    const uint32_t *after, size_t after_count)
{
	size_t b = 0, a = 0;

	closure_count(groupings->closure, before, before_count, after, after_count);
	if (!groupings->following)
		return 0;
	while (b < before_count || a < after_count) {
		uint32_t id;
		if (b < before_count && a < after_count && before[b] == after[a]) {
			b++;
			a++;
			continue;
		}
		if (a == after_count || (b < before_count && before[b] < after[a]))
			id = before[b++];
		else
			id = after[a++];
		if (groupings->moved_count == groupings->moved_capacity &&
		    moved_reserve(groupings) < 0)
			return -1;
		groupings->moved[groupings->moved_count++] = id;
	}
	return 0;
}

void groupings_tell_moved(struct groupings *groupings, struct output *out)
{
	struct numbers list = { groupings->moved, groupings->moved_count, 0 };

	group_numbers_sort(&list);
	groupings->moved_count = 0;
	if (list.count > 0)
		output_begin_batch(out);
	for (size_t i = 0; i < list.count; i++) {
		struct protocol_group group = { .id = list.items[i] };
		group.found = closure_wanted(groupings->closure, group.id, &group.members);
		if (!group.found)
			group.members = 0;
		group_encode(&group, &out->frames);
		output_pulse(out);
	}
}
