/*
 * Limits of a draft, and the name of what is held.
 *
 * Enters: totals of a draft; sums and populations from the planning thread's handle. Leaves:
 * which categories are held, with a sentence each, and their stored form. Fails: store, memory.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>

#define POPULATIONS_MAX 4096
#define POPULATION_US (60 * (int64_t)1000000)

/* "role:sales" → kind and name. */
static bool split_subject(const char *subject, enum grant_kind *ret_kind, const char **ret_name)
{
	for (unsigned kind = 0; kind < GRANT_KINDS; kind++) {
		const char *word = grant_kind_name((enum grant_kind)kind);
		size_t size = strlen(word);

		if (strncmp(subject, word, size) == 0 && subject[size] == ':') {
			*ret_kind = (enum grant_kind)kind;
			*ret_name = subject + size + 1;
			return true;
		}
	}
	return false;
}

static int group_members(struct draft *draft, uint32_t id, int64_t *ret_members, struct err *err)
{
	int64_t members;

	if (store_group_members(draft->store, id, &members, err) < 0)
		return -1;
	*ret_members = members > 0 ? members : 0;
	return 0;
}

static int population(struct draft *draft, const struct plan_total *total, int64_t *ret_population,
		      struct err *err)
{
	const char *administrator = draft->setup->setup.decision.administrator_profile;
	struct user_counts counts;
	enum grant_kind kind;
	const char *name;

	switch (total->kind) {
	case LIMIT_DISABLES:
		if (strcmp(draft->source, "rules") != 0)
			return store_active_of_source(draft->store, draft->source, ret_population,
						      err);
		if (store_user_counts(draft->store, NULL, &counts, err) < 0)
			return -1;
		*ret_population = counts.active;
		return 0;
	case LIMIT_REMOVALS:
		if (!split_subject(total->subject, &kind, &name))
			return err_set(err, ERR_INTERNAL, "odd subject '%s'", total->subject);
		return store_grant_holders(draft->store, kind, name, ret_population, err);
	case LIMIT_GROUP:
		return group_members(draft, (uint32_t)strtoul(total->subject, NULL, 10),
				     ret_population, err);
	case LIMIT_ADMINISTRATORS_NEW:
	case LIMIT_ADMINISTRATORS_LOST:
		return store_active_with_profile(draft->store, total->subject, administrator, 0,
						 ret_population, err);
	case LIMIT_KINDS: break;
	}
	return err_set(err, ERR_INTERNAL, "odd limit");
}

/*
 * The same, or 0 where it does not matter: a limit that grows with it is not reached by so few in the
 * smallest population either. Counting holders is dear, and each sign-in may ask.
 */
static int population_if_needed(struct draft *draft, const struct plan_total *total,
				struct limit_question *question, struct err *err)
{
	bool grows = total->kind == LIMIT_DISABLES || total->kind == LIMIT_REMOVALS;

	if (grows && !policy_over_limit(&draft->setup->setup.policy->limits, question))
		return 0;
	return population(draft, total, &question->population, err);
}

/* --- populations that runs of changes keep --- */

void populations_forget(struct source_slot *slot)
{
	for (size_t i = 0; i < slot->population_count; i++)
		free(slot->populations[i].subject);
	slot->population_count = 0;
}

static bool recall(struct source_slot *slot, const struct plan_total *total, int64_t *ret_count)
{
	int64_t now_us = clock_monotonic_us();

	for (size_t i = 0; i < slot->population_count; i++) {
		const struct population *population = &slot->populations[i];

		if (population->kind == total->kind && population->until_us > now_us &&
		    strcmp(population->subject, total->subject) == 0) {
			*ret_count = population->count;
			return true;
		}
	}
	return false;
}

static struct population *place_for(struct source_slot *slot, const struct plan_total *total)
{
	for (size_t i = 0; i < slot->population_count; i++)
		if (slot->populations[i].kind == total->kind &&
		    strcmp(slot->populations[i].subject, total->subject) == 0)
			return &slot->populations[i];
	if (slot->population_count >= POPULATIONS_MAX)
		populations_forget(slot);
	if (slot->population_count == slot->population_capacity) {
		size_t capacity = slot->population_capacity ? slot->population_capacity * 2 : 8;
		struct population *grown =
			reallocarray(slot->populations, capacity, sizeof(*grown));

		if (!grown)
			return NULL;
		slot->populations = grown;
		slot->population_capacity = capacity;
	}
	slot->populations[slot->population_count] =
		(struct population){ .kind = total->kind, .subject = strdup(total->subject) };
	return slot->populations[slot->population_count].subject
		       ? &slot->populations[slot->population_count++]
		       : NULL;
}

/* What cannot be kept is counted again the next time. */
static void remember(struct source_slot *slot, const struct plan_total *total, int64_t count)
{
	struct population *population = place_for(slot, total);

	if (!population)
		return;
	population->count = count;
	population->until_us = clock_monotonic_us() + POPULATION_US;
}

/*
 * Before the plan and before what the window holds. Each change of a busy day would else count all
 * holders anew; nobody decides by a minute's change of a percentage.
 */
static int population_before(struct draft *draft, const struct plan_total *total,
			     struct limit_question *question, struct err *err)
{
	bool administrators =
		total->kind == LIMIT_ADMINISTRATORS_NEW || total->kind == LIMIT_ADMINISTRATORS_LOST;
	bool keeps =
		draft->slot && (total->kind == LIMIT_DISABLES || total->kind == LIMIT_REMOVALS);

	if (keeps && recall(draft->slot, total, &question->population))
		return 0;
	if (population_if_needed(draft, total, question, err) < 0)
		return -1;
	/* Not needed is not counted. */
	keeps &= question->population > 0;
	/* What the window holds was there when it began. */
	if (!administrators)
		question->population += question->in_window;
	if (keeps)
		remember(draft->slot, total, question->population);
	return 0;
}

static const char *subject_for_people(const struct draft *draft, const struct plan_total *total)
{
	const struct group *group;

	if (total->kind != LIMIT_GROUP)
		return total->subject;
	group = group_registry_get(draft->setup->setup.registry,
				   (uint32_t)strtoul(total->subject, NULL, 10));
	return group ? group->name : total->subject;
}

/* Held before, and some of it is still there: only a person ends that. */
static bool waits_on(struct draft *draft, const struct plan_total *total)
{
	return draft->waiting && draft->still_waiting &&
	       held_users_category(draft->waiting, total->kind, total->subject) &&
	       plan_totals_get(draft->still_waiting, total->kind, total->subject) > 0;
}

static void text_waits_on(int64_t count, const struct plan_total *total, const char *subject,
			  struct strbuf *out)
{
	strbuf_printf(out, "%lld %s of '%s' wait on: they were over the limit when they were held",
		      (long long)count, limit_kind_name(total->kind), subject);
}

static int ask_one(struct draft *draft, struct plan_total *total, struct run_report *report,
		   struct err *err)
{
	const struct limits_settings *limits = &draft->setup->setup.policy->limits;
	struct limit_question question = { .kind = total->kind,
					   .count = total->count,
					   .explicit_count = total->explicit_count,
					   .first_sync = draft->first_sync };
	AUTO(strbuf) struct strbuf text = STRBUF(64 * 1024);
	int64_t count = total->count;

	if (store_window_sum(draft->store, limit_kind_name(total->kind), total->subject,
			     setup_steady_s(&draft->setup->setup, draft->now_s) - limits->window_s,
			     &question.in_window, err) < 0 ||
	    population_before(draft, total, &question, err) < 0)
		return -1;
	total->held = policy_over_limit(limits, &question);
	if (total->held) {
		policy_limit_text(limits, &question, subject_for_people(draft, total), &text);
	} else if (waits_on(draft, total)) {
		total->held = total->waiting_only = true;
		count = plan_totals_get(draft->still_waiting, total->kind, total->subject);
		text_waits_on(count, total, subject_for_people(draft, total), &text);
	} else {
		return 0;
	}
	return report_hold(report, limit_kind_name(total->kind), subject_for_people(draft, total),
			   strbuf_text(&text), count, err);
}

int limits_ask(struct draft *draft, struct run_report *report, struct plan_holds **ret_holds,
	       struct strbuf *holds_bytes, struct err *err)
{
	if (draft->totals)
		plan_totals_sort(draft->totals);
	for (size_t i = 0;
	     draft->totals && !draft->by_person && i < plan_totals_size(draft->totals); i++)
		if (ask_one(draft, plan_totals_at(draft->totals, i), report, err) < 0)
			return err_wrap(err, "cannot judge the limits");
	plan_holds_encode(draft->totals,
			  (struct plan_waiting){ draft->waiting_ids, draft->waiting_count },
			  draft->conflicts, draft->conflict_count,
			  (draft->by_person ? PLAN_BY_PERSON : 0u) |
				  (draft->forget_held ? PLAN_FORGET_HELD : 0u),
			  holds_bytes);
	if (strbuf_failed(holds_bytes))
		return err_set(err, ERR_MEMORY, "no memory for what is held");
	return plan_holds_decode(holds_bytes->data, holds_bytes->size, ret_holds, err);
}

/* --- the id of what is held --- */

int held_digests_add(struct held_digests *digests, const struct person_change *held,
		     struct err *err)
{
	if (digests->count == digests->capacity) {
		size_t capacity = digests->capacity ? digests->capacity * 2 : 64;
		struct hash256 *grown = reallocarray(digests->items, capacity, sizeof(*grown));

		if (!grown)
			return err_set(err, ERR_MEMORY, "no memory for what is held");
		digests->items = grown;
		digests->capacity = capacity;
	}
	if (person_change_digest(held, &digests->items[digests->count], err) < 0)
		return -1;
	digests->count++;
	return 0;
}

static int compare_digests(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct hash256));
}

void held_digests_id(struct held_digests *digests, char ret_id[65])
{
	struct hash256 id;

	if (digests->count > 1)
		qsort(digests->items, digests->count, sizeof(*digests->items), compare_digests);
	id = digest256(digests->items, digests->count * sizeof(*digests->items));
	hash256_hex(&id, ret_id);
}
