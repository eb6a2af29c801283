/*
 * Totals: what limits count over the changes of one run, and the stored form of
 * what is held back.
 *
 * Enters: changes, one after the other. Leaves: counts by kind and subject; bytes.
 * Fails: out of memory; bytes that encoding would not have written.
 */
#include <rolebridge/decision/plan.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>

#include "holds.h"

#define SUBJECTS_MAX (1u << 24)
#define SUBJECT_BYTES_MAX (1u << 30)
#define HOLDS_VERSION 2
#define WAITING_ONLY 0x80u

const char *limit_kind_name(enum limit_kind kind)
{
	static const char *const names[] = {
		[LIMIT_DISABLES] = "disables",
		[LIMIT_REMOVALS] = "removals",
		[LIMIT_GROUP] = "group",
		[LIMIT_ADMINISTRATORS_NEW] = "administrators-new",
		[LIMIT_ADMINISTRATORS_LOST] = "administrators-lost",
	};

	return (size_t)kind < ARRAY_LEN(names) ? names[kind] : "unknown";
}

struct plan_totals {
	struct arena *arena;
	struct hash_table *index;
	struct plan_total *totals;
	size_t count, capacity;
	struct strbuf scratch;
};

struct plan_totals *plan_totals_create(void)
{
	struct plan_totals *totals = calloc(1, sizeof(*totals));

	if (!totals)
		return NULL;
	totals->scratch = STRBUF(64 * 1024);
	totals->arena = arena_create(SUBJECT_BYTES_MAX);
	totals->index = hash_table_create(64, SUBJECTS_MAX);
	if (!totals->arena || !totals->index) {
		plan_totals_destroy(totals);
		return NULL;
	}
	return totals;
}

void plan_totals_destroy(struct plan_totals *totals)
{
	if (!totals)
		return;
	hash_table_destroy(totals->index);
	arena_destroy(totals->arena);
	strbuf_finish(&totals->scratch);
	free(totals->totals);
	free(totals);
}

size_t plan_totals_size(const struct plan_totals *totals)
{
	return totals->count;
}

struct plan_total *plan_totals_at(struct plan_totals *totals, size_t index)
{
	return index < totals->count ? &totals->totals[index] : NULL;
}

int64_t plan_totals_get(struct plan_totals *totals, enum limit_kind kind, const char *subject)
{
	for (size_t i = 0; i < totals->count; i++)
		if (totals->totals[i].kind == kind &&
		    strcmp(totals->totals[i].subject, subject) == 0)
			return totals->totals[i].count;
	return 0;
}

static int compare_totals(const void *a, const void *b)
{
	const struct plan_total *left = a, *right = b;

	if (left->kind != right->kind)
		return left->kind < right->kind ? -1 : 1;
	return strcmp(left->subject, right->subject);
}

void plan_totals_sort(struct plan_totals *totals)
{
	struct hash_table *index = hash_table_create(totals->count + 1, SUBJECTS_MAX);

	/* The index speaks of places: without a new one nothing may move. */
	if (!index)
		return;
	if (totals->count > 1)
		qsort(totals->totals, totals->count, sizeof(*totals->totals), compare_totals);
	hash_table_destroy(totals->index);
	totals->index = index;
	for (size_t i = 0; i < totals->count; i++) {
		uint32_t *slot;

		strbuf_clear(&totals->scratch);
		strbuf_putc(&totals->scratch, (char)('0' + totals->totals[i].kind));
		strbuf_puts(&totals->scratch, totals->totals[i].subject);
		if (hash_table_put(index,
				   fingerprint128(totals->scratch.data, totals->scratch.size),
				   &slot) >= 0)
			*slot = (uint32_t)i;
	}
}

/* scratch holds kind and subject. */
static int find(struct plan_totals *totals, enum limit_kind kind, struct plan_total **ret_total,
		struct err *err)
{
	uint32_t *slot;
	int fresh;

	if (strbuf_failed(&totals->scratch))
		return err_set(err, ERR_MEMORY, "no memory to count changes");
	fresh = hash_table_put(totals->index,
			       fingerprint128(totals->scratch.data, totals->scratch.size), &slot);
	if (fresh < 0)
		return err_set(err, ERR_MEMORY, "no memory to count changes");
	if (fresh == 1) {
		if (totals->count == totals->capacity) {
			size_t capacity = totals->capacity ? totals->capacity * 2 : 16;
			struct plan_total *grown =
				reallocarray(totals->totals, capacity, sizeof(*grown));

			if (!grown)
				return err_set(err, ERR_MEMORY, "no memory to count changes");
			totals->totals = grown;
			totals->capacity = capacity;
		}
		totals->totals[totals->count] =
			(struct plan_total){ .kind = kind,
					     .subject = arena_strdup(totals->arena,
								     totals->scratch.data + 1) };
		if (!totals->totals[totals->count].subject)
			return err_set(err, ERR_MEMORY, "no memory to count changes");
		*slot = (uint32_t)totals->count++;
	}
	*ret_total = &totals->totals[*slot];
	return 0;
}

int plan_totals_hold(struct plan_totals *totals, enum limit_kind kind, const char *subject,
		     struct err *err)
{
	struct plan_total *total;

	strbuf_clear(&totals->scratch);
	strbuf_putc(&totals->scratch, (char)('0' + kind));
	strbuf_puts(&totals->scratch, subject);
	if (find(totals, kind, &total, err) < 0)
		return -1;
	total->held = true;
	return 0;
}

static int count_one(struct plan_totals *totals, enum limit_kind kind, const char *first,
		     const char *second, int64_t explicit_count, struct err *err)
{
	struct plan_total *total;

	strbuf_clear(&totals->scratch);
	strbuf_putc(&totals->scratch, (char)('0' + kind));
	strbuf_puts(&totals->scratch, first);
	if (second) {
		strbuf_putc(&totals->scratch, ':');
		strbuf_puts(&totals->scratch, second);
	}
	if (find(totals, kind, &total, err) < 0)
		return -1;
	total->count++;
	total->explicit_count += explicit_count;
	return 0;
}

static bool is_administrator(const struct decision_setup *setup, const struct user *user)
{
	return user_is_active(user) && strcmp(user->profile, setup->administrator_profile) == 0;
}

/* Lost grants stand first and together by kind and name: count each name once. */
static int count_removals(struct plan_totals *totals, const struct person_change *change,
			  struct err *err)
{
	const struct user *before = &change->before, *after = &change->after;

	if (before->profile[0] != '\0' && strcmp(before->profile, after->profile) != 0 &&
	    count_one(totals, LIMIT_REMOVALS, grant_kind_name(GRANT_PROFILE), before->profile, 0,
		      err) < 0)
		return -1;
	for (size_t i = 0; i < change->lost_count; i++) {
		const struct grant *grant = &change->removed[i];

		if (grant->kind == GRANT_PROFILE)
			continue;
		if (i > 0 && grant[-1].kind == grant->kind &&
		    strcmp(grant[-1].name, grant->name) == 0)
			continue;
		if (count_one(totals, LIMIT_REMOVALS, grant_kind_name(grant->kind), grant->name, 0,
			      err) < 0)
			return -1;
	}
	return 0;
}

int plan_totals_count(struct plan_totals *totals, const struct decision_setup *setup,
		      const char *source, const struct person_change *change, struct err *err)
{
	const struct user *before = &change->before, *after = &change->after;
	bool was = before->id != 0 && is_administrator(setup, before);
	bool is = is_administrator(setup, after);

	for (size_t i = 0; i < change->groups_lost_count; i++) {
		char id[16];

		snprintf(id, sizeof(id), "%u", change->groups_lost[i]);
		if (count_one(totals, LIMIT_GROUP, id, NULL, 0, err) < 0)
			return -1;
	}
	if (!was && is &&
	    count_one(totals, LIMIT_ADMINISTRATORS_NEW, after->organization, NULL, 0, err) < 0)
		return -1;
	/* Whoever was not active loses nothing that counts: a grant's holders are active users. */
	if (before->id == 0 || !user_is_active(before))
		return 0;
	if (was && !is) {
		bool by_source = (after->disabled & DISABLED_BY_SOURCE) != 0;

		if (count_one(totals, LIMIT_ADMINISTRATORS_LOST, before->organization, NULL,
			      by_source ? 1 : 0, err) < 0)
			return -1;
	}
	if (!user_is_active(after) && count_one(totals, LIMIT_DISABLES, source, NULL, 0, err) < 0)
		return -1;
	return count_removals(totals, change, err);
}

/* --- holds --- */

void plan_holds_encode(const struct plan_totals *totals, struct plan_waiting waiting,
		       const struct hash128 *conflicts, size_t conflict_count, unsigned flags,
		       struct strbuf *out)
{
	size_t held = 0;

	for (size_t i = 0; totals && i < totals->count; i++)
		held += totals->totals[i].held ? 1 : 0;
	put_u8(out, HOLDS_VERSION);
	put_u8(out, (uint8_t)flags);
	put_varint(out, held);
	for (size_t i = 0; totals && i < totals->count; i++) {
		if (!totals->totals[i].held)
			continue;
		put_u8(out, (uint8_t)((unsigned)totals->totals[i].kind |
				      (totals->totals[i].waiting_only ? WAITING_ONLY : 0)));
		put_text(out, totals->totals[i].subject);
	}
	put_varint(out, conflict_count);
	for (size_t i = 0; i < conflict_count; i++) {
		put_u64(out, conflicts[i].word[0]);
		put_u64(out, conflicts[i].word[1]);
	}
	put_varint(out, waiting.count);
	for (size_t i = 0; i < waiting.count; i++)
		put_varint(out, (uint64_t)waiting.ids[i]);
}

void plan_holds_destroy(struct plan_holds *holds)
{
	if (!holds)
		return;
	arena_destroy(holds->arena);
	free(holds);
}

static void read_holds(struct reader *in, struct plan_holds *holds)
{
	if (get_u8(in) != HOLDS_VERSION)
		reader_fail(in);
	holds->flags = get_u8(in);
	if (holds->flags > PLAN_FLAGS)
		reader_fail(in);
	holds->count = (size_t)get_count(in, reader_left(in) / 2);
	holds->items = arena_alloc_array(holds->arena, holds->count + 1, sizeof(*holds->items));
	for (size_t i = 0; holds->items && i < holds->count && !in->failed; i++) {
		unsigned byte = get_u8(in), kind = byte & ~WAITING_ONLY;

		if (kind >= LIMIT_KINDS) {
			reader_fail(in);
			return;
		}
		holds->items[i].kind = (enum limit_kind)kind;
		holds->items[i].waiting_only = (byte & WAITING_ONLY) != 0;
		holds->items[i].subject = get_utf8(in, holds->arena);
		holds->kinds |= 1u << kind;
	}
	holds->conflict_count = (size_t)get_count(in, reader_left(in) / 16);
	holds->conflicts = arena_alloc_array(holds->arena, holds->conflict_count + 1,
					     sizeof(*holds->conflicts));
	for (size_t i = 0; holds->conflicts && i < holds->conflict_count; i++) {
		holds->conflicts[i].word[0] = get_u64(in);
		holds->conflicts[i].word[1] = get_u64(in);
	}
	holds->waiting_count = (size_t)get_count(in, reader_left(in));
	holds->waiting =
		arena_alloc_array(holds->arena, holds->waiting_count + 1, sizeof(*holds->waiting));
	for (size_t i = 0; holds->waiting && i < holds->waiting_count; i++)
		holds->waiting[i] = (int64_t)get_count(in, INT64_MAX);
}

static int compare_items(const void *a, const void *b)
{
	const struct hold_item *left = a, *right = b;

	if (left->kind != right->kind)
		return left->kind < right->kind ? -1 : 1;
	return strcmp(left->subject, right->subject);
}

static int compare_ids(const void *a, const void *b)
{
	const int64_t *left = a, *right = b;

	return (*left > *right) - (*left < *right);
}

static int compare_conflicts(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct hash128));
}

int plan_holds_decode(const void *data, size_t size, struct plan_holds **ret_holds, struct err *err)
{
	struct plan_holds *holds = calloc(1, sizeof(*holds));
	struct reader in = reader_init(data, size);

	if (holds)
		holds->arena = arena_create(SUBJECT_BYTES_MAX);
	if (!holds || !holds->arena) {
		free(holds);
		return err_set(err, ERR_MEMORY, "no memory to read what a plan holds back");
	}
	read_holds(&in, holds);
	if (arena_failed(holds->arena) || !reader_done(&in)) {
		int failed =
			arena_failed(holds->arena)
				? err_set(err, ERR_MEMORY, "no memory to read a plan's holds")
				: err_set(err, ERR_PROTOCOL, "a stored plan's holds are malformed");

		plan_holds_destroy(holds);
		return failed;
	}
	qsort(holds->items, holds->count, sizeof(*holds->items), compare_items);
	qsort(holds->conflicts, holds->conflict_count, sizeof(*holds->conflicts),
	      compare_conflicts);
	qsort(holds->waiting, holds->waiting_count, sizeof(*holds->waiting), compare_ids);
	*ret_holds = holds;
	return 0;
}

bool plan_holds_at(const struct plan_holds *holds, size_t index, enum limit_kind *ret_kind,
		   const char **ret_subject)
{
	if (index >= holds->count)
		return false;
	*ret_kind = holds->items[index].kind;
	*ret_subject = holds->items[index].subject;
	return true;
}

bool plan_holds_any(const struct plan_holds *holds)
{
	return holds && holds->count > 0;
}

unsigned plan_holds_flags(const struct plan_holds *holds)
{
	return holds ? holds->flags : 0;
}

bool plan_holds_conflicts(const struct plan_holds *holds)
{
	return holds && holds->conflict_count > 0;
}

bool plan_holds_conflict(const struct plan_holds *holds, struct hash128 name)
{
	return plan_holds_conflicts(holds) &&
	       bsearch(&name, holds->conflicts, holds->conflict_count, sizeof(name),
		       compare_conflicts) != NULL;
}

bool plan_holds_has(const struct plan_holds *holds, enum limit_kind kind, const char *subject)
{
	struct hold_item item = { .kind = kind, .subject = subject };
	const struct hold_item *found = NULL;

	if (holds && (holds->kinds & 1u << kind) != 0)
		found = bsearch(&item, holds->items, holds->count, sizeof(item), compare_items);
	return found && (!found->waiting_only || holds->waits);
}

bool plan_holds_waits(const struct plan_holds *holds, int64_t user_id)
{
	return user_id != 0 && holds->waiting_count > 0 &&
	       bsearch(&user_id, holds->waiting, holds->waiting_count, sizeof(user_id),
		       compare_ids) != NULL;
}

struct hash128 plan_name_digest(char what, const char *name)
{
	/* Names are at most 254 bytes; a longer one still has one digest. */
	char text[512];
	int size = snprintf(text, sizeof(text), "%c%s", what, name);

	return digest128(text, (size_t)size < sizeof(text) ? (size_t)size : sizeof(text) - 1);
}
