/*
 * One person's change: the difference between what stands and what is decided, and its bytes.
 *
 * Enters: input and outcome of decide, the fields that sources say, the identities as they will
 * be. Leaves: a person_change, or its encoding. Fails: out of memory; stored bytes that
 * encoding would not have written.
 */
#include <rolebridge/decision/plan.h>

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>

#define CHANGE_VERSION 1
#define ITEMS_MAX (1u << 24)

/* --- computing --- */

static bool text_differs(const char *a, const char *b)
{
	return strcmp(a, b) != 0;
}

bool person_change_is_visible(const struct person_change *change)
{
	const struct user *before = &change->before, *after = &change->after;

	/* Someone new: nothing stood there before. */
	if (before->id == 0 && before->username[0] == '\0')
		return after->username[0] != '\0';
	return change->added_count > 0 || change->removed_count > 0 ||
	       before->disabled != after->disabled || before->is_protected != after->is_protected ||
	       text_differs(before->profile, after->profile) ||
	       text_differs(before->username, after->username) ||
	       text_differs(before->email, after->email) ||
	       text_differs(before->display_name, after->display_name) ||
	       text_differs(before->organization, after->organization);
}

bool person_change_is_empty(const struct person_change *change)
{
	return change->identity_count == 0 && !person_change_is_visible(change);
}

bool person_change_takes_away(const struct person_change *change)
{
	const struct user *before = &change->before, *after = &change->after;

	if (before->id == 0)
		return false;
	return change->lost_count > 0 || (after->disabled & ~before->disabled) != 0 ||
	       (before->profile[0] != '\0' && text_differs(before->profile, after->profile));
}

static bool has_name(const struct grant *grants, size_t count, const struct grant *wanted)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = (int)grants[middle].kind - (int)wanted->kind;

		if (order == 0)
			order = strcmp(grants[middle].name, wanted->name);
		if (order == 0)
			return true;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

static const struct grant *find_grant(const struct grant *grants, size_t count,
				      const struct grant *wanted)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = grant_compare(&grants[middle], wanted);

		if (order == 0)
			return &grants[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/*
 * Those of `from` that `other` has not (or has with other times), those first whose kind and name `other`
 * has not at all. Both ordered.
 */
static int differing(const struct grant *from, size_t from_count, const struct grant *other,
		     size_t other_count, bool times, struct arena *arena,
		     const struct grant **ret_grants, size_t *ret_count, size_t *ret_new)
{
	struct grant *grants = NULL;
	size_t count = 0;

	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < from_count; i++) {
			const struct grant *same = find_grant(other, other_count, &from[i]);

			if (same && (!times || same->expires_s == from[i].expires_s))
				continue;
			if (has_name(other, other_count, &from[i]) != (pass == 1))
				continue;
			if (!grants)
				grants = arena_alloc_array(arena, from_count, sizeof(*grants));
			if (!grants)
				return -1;
			grants[count++] = from[i];
		}
		if (pass == 0)
			*ret_new = count;
	}
	*ret_grants = grants;
	*ret_count = count;
	return 0;
}

static int compare_grants(const void *a, const void *b)
{
	return grant_compare(a, b);
}

/* The store gives them ordered; others need not. */
static const struct grant *ordered(const struct grant *grants, size_t count, struct arena *arena)
{
	struct grant *copy;
	size_t i = 1;

	while (i < count && grant_compare(&grants[i - 1], &grants[i]) <= 0)
		i++;
	if (i >= count)
		return grants;
	copy = arena_memdup(arena, grants, count * sizeof(*grants));
	if (copy)
		qsort(copy, count, sizeof(*copy), compare_grants);
	return copy;
}

static void fill_user(const struct decide_input *input, const struct decision *decision,
		      const struct person_fields *fields, const char *organization,
		      struct person_change *change)
{
	struct user *after = &change->after;

	if (input->user) {
		change->before = *input->user;
		*after = *input->user;
	} else {
		change->before = (struct user){ .organization = organization,
						.username = "",
						.email = "",
						.display_name = "",
						.profile = "" };
		*after = change->before;
		after->created_s = input->now_s;
	}
	if (fields->username[0] != '\0')
		after->username = fields->username;
	if (fields->email[0] != '\0')
		after->email = fields->email;
	if (fields->display_name[0] != '\0')
		after->display_name = fields->display_name;
	else if (after->display_name[0] == '\0')
		after->display_name = after->username;
	after->profile = decision->profile;
	after->disabled = decision->disabled;
	after->version = change->before.version + 1;
	after->updated_s = input->now_s;
}

int plan_person(const struct decision_setup *setup UNUSED, const struct decide_input *input,
		const struct decision *decision, const struct person_fields *fields,
		const struct identity_change *identities, size_t identity_count,
		const char *organization, const char *cause, struct arena *arena,
		struct person_change *ret_change, struct err *err)
{
	struct person_change change = {
		.identities = identities,
		.identity_count = identity_count,
		.cause = cause,
	};
	const struct grant *present = ordered(input->grants, input->grant_count, arena);

	fill_user(input, decision, fields, organization, &change);
	if ((input->grant_count > 0 && !present) ||
	    differing(decision->grants, decision->grant_count, present, input->grant_count, true,
		      arena, &change.added, &change.added_count, &change.gained_count) < 0 ||
	    differing(present, input->grant_count, decision->grants, decision->grant_count, false,
		      arena, &change.removed, &change.removed_count, &change.lost_count) < 0)
		return err_set(err, ERR_MEMORY, "no memory to plan a person's change");
	*ret_change = change;
	return 0;
}

/* --- encoding --- */

static void put_user(struct strbuf *out, const struct user *user)
{
	put_text(out, user->organization);
	put_text(out, user->username);
	put_text(out, user->email);
	put_text(out, user->display_name);
	put_text(out, user->profile);
	put_varint(out, user->disabled);
	put_u8(out, user->is_protected);
	put_varint(out, (uint64_t)user->version);
	put_varint(out, (uint64_t)user->created_s);
	put_varint(out, (uint64_t)user->updated_s);
}

static void put_grants(struct strbuf *out, const struct grant *grants, size_t count, size_t first)
{
	put_varint(out, count);
	put_varint(out, first);
	for (size_t i = 0; i < count; i++) {
		put_u8(out, (uint8_t)grants[i].kind);
		put_u8(out, (uint8_t)grants[i].origin);
		put_text(out, grants[i].name);
		put_text(out, grants[i].origin_id);
		put_text(out, grants[i].origin_source);
		put_varint(out, (uint64_t)grants[i].given_s);
		put_varint(out, (uint64_t)grants[i].expires_s);
	}
}

static void put_identities(struct strbuf *out, const struct identity_change *identities,
			   size_t count)
{
	put_varint(out, count);
	for (size_t i = 0; i < count; i++) {
		const struct identity_change *identity = &identities[i];

		put_text(out, identity->source);
		put_text(out, identity->key);
		put_u8(out, identity->record != NULL);
		if (identity->record)
			put_bytes(out, identity->record, identity->record_size);
		put_u64(out, identity->digest.word[0]);
		put_u64(out, identity->digest.word[1]);
		put_varint(out, (uint64_t)identity->read_s);
		put_varint(out, (uint64_t)identity->missing_s);
		put_varint(out, identity->missing_runs);
	}
}

void person_change_encode(const struct person_change *change, struct strbuf *out)
{
	put_u8(out, CHANGE_VERSION);
	put_varint(out, (uint64_t)change->before.id);
	strbuf_append(out, change->after.uuid.byte, sizeof(change->after.uuid.byte));
	put_user(out, &change->before);
	put_user(out, &change->after);
	put_grants(out, change->added, change->added_count, change->gained_count);
	put_grants(out, change->removed, change->removed_count, change->lost_count);
	put_identities(out, change->identities, change->identity_count);
	put_varint(out, change->groups_lost_count);
	for (size_t i = 0; i < change->groups_lost_count; i++)
		put_varint(out, change->groups_lost[i]);
	put_text(out, change->cause);
}

/* --- decoding --- */

static int64_t get_number(struct reader *in)
{
	return (int64_t)get_count(in, INT64_MAX);
}

static void get_user(struct reader *in, struct arena *arena, struct user *user)
{
	user->organization = get_utf8(in, arena);
	user->username = get_utf8(in, arena);
	user->email = get_utf8(in, arena);
	user->display_name = get_utf8(in, arena);
	user->profile = get_utf8(in, arena);
	user->disabled = (uint32_t)get_count(in, UINT32_MAX);
	user->is_protected = get_u8(in) != 0;
	user->version = get_number(in);
	user->created_s = get_number(in);
	user->updated_s = get_number(in);
}

/* A count of items of at least `size` bytes each: never more than could be there. */
static size_t get_items(struct reader *in, size_t size)
{
	size_t left = reader_left(in) / size;

	return (size_t)get_count(in, left < ITEMS_MAX ? left : ITEMS_MAX);
}

static const struct grant *get_grants(struct reader *in, struct arena *arena, size_t *ret_count,
				      size_t *ret_first)
{
	size_t count = get_items(in, 7);
	struct grant *grants = count ? arena_alloc_array(arena, count, sizeof(*grants)) : NULL;

	*ret_count = 0;
	*ret_first = (size_t)get_count(in, count);
	if (count && !grants) {
		reader_fail(in);
		return NULL;
	}
	for (size_t i = 0; i < count && !in->failed; i++) {
		unsigned kind = get_u8(in), origin = get_u8(in);

		if (kind >= GRANT_KINDS || origin < ORIGIN_HAND || origin > ORIGIN_DEFAULT)
			reader_fail(in);
		grants[i].kind = (enum grant_kind)kind;
		grants[i].origin = (enum origin_kind)origin;
		grants[i].name = get_utf8(in, arena);
		grants[i].origin_id = get_utf8(in, arena);
		grants[i].origin_source = get_utf8(in, arena);
		grants[i].given_s = get_number(in);
		grants[i].expires_s = get_number(in);
	}
	*ret_count = count;
	return grants;
}

static void get_identity(struct reader *in, struct arena *arena, struct identity_change *identity)
{
	identity->source = get_utf8(in, arena);
	identity->key = get_utf8(in, arena);
	if (get_u8(in) != 0)
		identity->record = get_bytes(in, &identity->record_size);
	identity->digest.word[0] = get_u64(in);
	identity->digest.word[1] = get_u64(in);
	identity->read_s = get_number(in);
	identity->missing_s = get_number(in);
	identity->missing_runs = (uint32_t)get_count(in, UINT32_MAX);
}

static void get_identities(struct reader *in, struct arena *arena, struct person_change *change)
{
	size_t count = get_items(in, 22);
	struct identity_change *identities =
		count ? arena_alloc_array(arena, count, sizeof(*identities)) : NULL;

	if (count && !identities) {
		reader_fail(in);
		return;
	}
	for (size_t i = 0; i < count && !in->failed; i++)
		get_identity(in, arena, &identities[i]);
	change->identities = identities;
	change->identity_count = count;
}

static void get_groups(struct reader *in, struct arena *arena, struct person_change *change)
{
	size_t count = get_items(in, 1);
	uint32_t *groups = count ? arena_alloc_array(arena, count, sizeof(*groups)) : NULL;

	if (count && !groups) {
		reader_fail(in);
		return;
	}
	for (size_t i = 0; i < count; i++)
		groups[i] = (uint32_t)get_count(in, UINT32_MAX);
	change->groups_lost = groups;
	change->groups_lost_count = count;
}

int person_change_decode(struct reader *in, struct arena *arena, struct person_change *ret_change,
			 struct err *err)
{
	struct person_change change = { 0 };

	if (get_u8(in) != CHANGE_VERSION)
		reader_fail(in);
	change.before.id = get_number(in);
	reader_copy(in, change.after.uuid.byte, sizeof(change.after.uuid.byte));
	change.before.uuid = change.after.uuid;
	get_user(in, arena, &change.before);
	get_user(in, arena, &change.after);
	change.after.id = change.before.id;
	change.added = get_grants(in, arena, &change.added_count, &change.gained_count);
	change.removed = get_grants(in, arena, &change.removed_count, &change.lost_count);
	get_identities(in, arena, &change);
	get_groups(in, arena, &change);
	change.cause = get_utf8(in, arena);
	if (arena_failed(arena))
		return err_set(err, ERR_MEMORY, "no memory to read a stored change");
	if (in->failed)
		return err_set(err, ERR_PROTOCOL, "stored change of a person is malformed");
	*ret_change = change;
	return 0;
}

/* --- digest --- */

static int compare_digest_grants(const void *a, const void *b)
{
	return grant_compare(a, b);
}

/* Without times: they differ from run to run. Ordered, whatever the split made of the list. */
static void digest_grants(struct strbuf *out, const struct grant *grants, size_t count)
{
	struct grant *sorted = count ? reallocarray(NULL, count, sizeof(*sorted)) : NULL;

	if (count && !sorted) {
		strbuf_fail(out);
		return;
	}
	if (count) {
		memcpy(sorted, grants, count * sizeof(*sorted));
		qsort(sorted, count, sizeof(*sorted), compare_digest_grants);
	}
	put_varint(out, count);
	for (size_t i = 0; i < count; i++) {
		put_u8(out, (uint8_t)sorted[i].kind);
		put_u8(out, (uint8_t)sorted[i].origin);
		put_text(out, sorted[i].name);
		put_text(out, sorted[i].origin_id);
		put_text(out, sorted[i].origin_source);
	}
	free(sorted);
}

int person_change_digest(const struct person_change *held, struct hash256 *ret_digest,
			 struct err *err)
{
	AUTO(strbuf) struct strbuf bytes = STRBUF(1u << 30);

	/* The username is one person's for good, also for someone who has no user yet. */
	put_text(&bytes, held->after.username);
	put_text(&bytes, held->before.profile);
	put_varint(&bytes, held->before.disabled);
	put_text(&bytes, held->after.profile);
	put_varint(&bytes, held->after.disabled);
	digest_grants(&bytes, held->added, held->added_count);
	digest_grants(&bytes, held->removed, held->removed_count);
	if (strbuf_failed(&bytes))
		return err_set(err, ERR_MEMORY, "no memory for the digest of a change");
	*ret_digest = digest256(strbuf_text(&bytes), bytes.size);
	return 0;
}
