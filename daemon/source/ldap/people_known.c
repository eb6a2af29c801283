/*
 * Who is known of a directory that is followed (see people.h): whose an entry is, what is told when a key or
 * groups change, and who is gone. Enters: the entry at hand, or a number of the index. Leaves:
 * GROUPS and GONE. Fails: out of memory only.
 */
#include "people_state.h"

#include <string.h>

#include <rolebridge/base/util.h>

/* --- whose an entry is --- */

/* Is the entry at hand known to be this person's? One whose name is not known is. */
static bool is_known_as(struct people *people, uint32_t person)
{
	const struct hash128 *names;
	size_t count;

	if (index_names(people->index, person, &names, &count) < 0)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (hash128_equal(names[i], people->names[0]))
			return true;
	}
	return count == 0 || people->name_count == 0;
}

/*
 * What came of a search by key and does not say its id. Two entries may have that key, and then
 * it may be the one that does not count; it may also have been renamed, which the feed has yet to tell.
 */
static void take_id_by_key(struct people *people, uint32_t person)
{
	people->id = index_id(people->index, person);
	people->stranger = !is_known_as(people, person);
	if (people->stranger &&
	    !index_has_duplicate(people->index, people->key.data, people->key.size))
		people->conflict = true;
}

/*
 * Who this entry is: as the feed says, or by its own attribute. One that came without it is
 * known by key or name.
 */
void people_identify(struct people *people, const struct hash128 *id)
{
	const struct slot *slot = &people->slots[people->id_slot];
	uint32_t person = index_find_key(people->index, people->key.data, people->key.size);

	if (id)
		people->id = *id;
	else if (people->has_id && slot->count == 1)
		people->id = fingerprint128(slot->values[0].bv_val, slot->values[0].bv_len);
	else if (person)
		take_id_by_key(people, person);
	else if (people->key.size > 0)
		people->id = fingerprint128(people->key.data, people->key.size);
	else
		people->id = people->names[0];
	people->known = index_find(people->index, people->id);
	people->again = people->known != 0;
}

/*
 * Of two entries with one key the first counts. Whose it is when that changes only a full read
 * can tell.
 */
bool people_key_is_taken(struct people *people)
{
	uint32_t owner = index_find_key(people->index, people->key.data, people->key.size);
	bool taken = owner != 0 && owner != people->known;
	unsigned flags = people->known ? index_flags(people->index, people->known) : 0;

	if (taken != ((flags & INDEX_DUPLICATE) != 0))
		people->conflict = true;
	return taken;
}

/* An entry whose key cannot be read is the person it was: frozen, not gone. */
int people_keep_old_key(struct people *people)
{
	size_t size;
	const char *key;

	if (people->key.size > 0 || !people->known)
		return 0;
	key = index_key(people->index, people->known, &size);
	strbuf_append(&people->key, key, size);
	return strbuf_failed(&people->key) ? people_out_of_memory(people) : 0;
}

/* --- who is known --- */

static bool same_groups(const uint32_t *before, size_t before_count,
			const struct closure_answer *after)
{
	return before_count == after->count &&
	       (after->count == 0 ||
		memcmp(before, after->ids, after->count * sizeof(*after->ids)) == 0);
}

/* 1: these are other groups than those told last, and are told from now on. */
static int change_groups(struct people *people, uint32_t person, const struct closure_answer *after)
{
	const uint32_t *before;
	size_t count;

	if (index_groups(people->index, person, &before, &count) < 0)
		return people_out_of_memory(people);
	if (same_groups(before, count, after))
		return 0;
	if (groupings_count(people->groupings, before, count, after->ids, after->count) < 0 ||
	    index_set_groups(people->index, person, after->ids, after->count) < 0)
		return people_out_of_memory(people);
	return 1;
}

/* A known person has another key now: to the core that is another person. */
int people_leave_key(struct people *people)
{
	struct output *out = people->session->out;
	size_t size;
	const char *key;

	if (!people->known || people->key.size == 0 ||
	    (index_flags(people->index, people->known) & INDEX_DUPLICATE))
		return 0;
	key = index_key(people->index, people->known, &size);
	if (size == 0 || (size == people->key.size && memcmp(key, people->key.data, size) == 0))
		return 0;
	if (index_has_duplicate(people->index, key, size))
		people->conflict = true;
	key_encode(PROTOCOL_GONE, key, size, &out->frames);
	out->changes++;
	return strbuf_failed(&out->frames) ? people_out_of_memory(people) : 0;
}

int people_remember(struct people *people, unsigned flags, const struct closure_answer *groups)
{
	people->known = index_put(people->index, people->id, people->key.data, people->key.size,
				  people->names, people->name_count, flags);
	if (!people->known)
		return people_out_of_memory(people);
	return groups && change_groups(people, people->known, groups) < 0 ? -1 : 0;
}

/* --- one by one --- */

void people_follow(struct people *people)
{
	people->following = true;
	search_finish(&people->search);
}

int people_take(struct people *people, const struct hash128 *id, LDAPMessage *message)
{
	if (people_take_message(people, id, message) < 0)
		return -1;
	return people->following && people->conflict ? 1 : 0;
}

uint32_t people_last(const struct people *people)
{
	return people->known;
}

int people_tell_groups(struct people *people, uint32_t person)
{
	struct output *out = people->session->out;
	struct closure_answer answer;
	struct protocol_groups groups;
	const struct hash128 *names;
	size_t count;
	int changed;

	if (index_flags(people->index, person) & (INDEX_QUARANTINED | INDEX_DUPLICATE))
		return 0;
	if (index_names(people->index, person, &names, &count) < 0)
		return people_out_of_memory(people);
	if (people_effective_groups(people, names, count, &answer) < 0)
		return -1;
	changed = change_groups(people, person, &answer);
	if (changed <= 0)
		return changed;
	groups = (struct protocol_groups){ .complete = answer.complete,
					   .ids = answer.ids,
					   .count = answer.count };
	groups.key = index_key(people->index, person, &groups.key_size);
	output_make_room(out, KEY_MAX + answer.count * TEXT_OVERHEAD + HEAD_OVERHEAD);
	groups_encode(&groups, &out->frames);
	out->changes++;
	output_pulse(out);
	return strbuf_failed(&out->frames) ? people_out_of_memory(people) : 0;
}

bool people_is_canary(struct people *people, uint32_t person)
{
	const struct hash128 *names;
	size_t count, size;
	const char *key = index_key(people->index, person, &size);

	if (canaries_have(people->canaries, fingerprint128(key, size)))
		return true;
	if (index_names(people->index, person, &names, &count) < 0)
		return true;
	for (size_t i = 0; i < count; i++) {
		if (canaries_have(people->canaries, names[i]))
			return true;
	}
	return false;
}

/* Who comes back as they were is news. */
static void forget_told(struct people *people, uint32_t person)
{
	const struct hash128 *names;
	size_t count;

	told_forget(people->told, KIND_PERSON, index_id(people->index, person));
	if (index_names(people->index, person, &names, &count) < 0)
		return;
	for (size_t i = 0; i < count; i++)
		told_forget(people->told, KIND_PERSON, names[i]);
}

int people_gone(struct people *people, uint32_t person)
{
	static const struct closure_answer none = { .complete = true };
	struct output *out = people->session->out;
	bool duplicate = index_flags(people->index, person) & INDEX_DUPLICATE;
	size_t size;
	const char *key = index_key(people->index, person, &size);

	if (!duplicate && index_has_duplicate(people->index, key, size))
		return 1;
	if (size > 0 && !duplicate) {
		output_make_room(out, KEY_MAX + HEAD_OVERHEAD);
		key_encode(PROTOCOL_GONE, key, size, &out->frames);
		out->changes++;
		output_pulse(out);
	}
	/* Moves the key. */
	if (change_groups(people, person, &none) < 0)
		return -1;
	if (people->told)
		forget_told(people, person);
	index_remove(people->index, person);
	return strbuf_failed(&out->frames) ? people_out_of_memory(people) : 0;
}
