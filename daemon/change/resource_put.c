/*
 * Resources as applications tell of them: one, or a list of many.
 *
 * Enters: who asks, how they shall be. Leaves: each row (resource_wish.c), or why it was refused; a list in
 * some hundred rows a transaction, parents before children. Fails: store, memory.
 */
#include "ownership.h"

#include <string.h>

#include <rolebridge/base/hash.h>
#include <rolebridge/base/util.h>

#include "refusal.h"

/* Rows of a list in one transaction. */
#define ROWS_AT_ONCE 500
/* Times that a large tree is measured before it is moved. */
#define MEASURES 3

/* --- one --- */

struct put_job {
	struct owning owning;
	const char *application;
	const struct resource_wish *wish;
	int64_t version;
	enum ownership_outcome outcome;
};

static int put_job(struct changer *changer, struct job *job, struct err *err)
{
	struct put_job *put = job->context;
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);

	put->owning.changer = changer;
	put->owning.arena = arena;
	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory for a request");
	if (owning_begin(&put->owning, "resources:write@all", err) < 0)
		return -1;
	return resource_put_one(&put->owning, put->application, put->wish, put->version,
				&put->outcome, err);
}

/* A large tree, as it is in a snapshot that nobody waits for. */
static int measure(struct changer *changer, struct owning *owning, struct err *err)
{
	uint64_t changes = __atomic_load_n(&changer->tree_changes, __ATOMIC_ACQUIRE);
	AUTO(store) struct store *store = store_open(changer->path, STORE_READ, err);
	int64_t height, count;

	if (!store || store_resource_height(store, owning->unmeasured, RESOURCE_DEPTH_MAX, -1,
					    &height, &count, err) < 0)
		return -1;
	owning->measured = (struct measured){ owning->unmeasured, height, changes };
	owning->unmeasured = 0;
	return 0;
}

/* Where trees change without pause it is measured by the writer after all. */
static int put_measured(struct changer *changer, struct put_job *put, struct err *err)
{
	int result = -1;

	for (int attempt = 0; attempt < MEASURES; attempt++) {
		put->owning.measures_all = attempt + 1 == MEASURES;
		result = writer_request(changer, put_job, put, err);
		if (result == 0 || !put->owning.unmeasured)
			break;
		err_clear(err);
		if (measure(changer, &put->owning, err) < 0)
			return -1;
	}
	return result;
}

int change_resource_put(struct changer *changer, const struct actor *actor, const char *application,
			const struct resource_wish *wish, int64_t version,
			enum ownership_outcome *ret_outcome, const char **ret_field,
			struct err *err)
{
	struct live_setup *setup = changer_live_setup(changer, NULL);
	struct put_job put = { .owning = { .setup = setup, .actor = actor },
			       .application = application,
			       .wish = wish,
			       .version = version };
	int result = put_measured(changer, &put, err);

	setup_release(&setup->setup);
	*ret_field = result < 0 ? put.owning.refused : NULL;
	if (result == 0)
		*ret_outcome = put.outcome;
	return result;
}

/* --- many --- */

struct listing {
	struct owning owning;
	const char *application;
	const struct resource_wish *wishes;
	const size_t *order; /* of those of this transaction */
	size_t count;
	struct arena *results_arena;
	struct resource_result *results;
};

static int note_refusal(struct listing *listing, struct resource_result *result,
			const struct err *problem, struct err *err)
{
	result->code = refusal_code(problem);
	result->message = arena_strdup(listing->results_arena, problem->text);
	result->field = listing->owning.refused;
	return result->message ? 0 : err_set(err, ERR_MEMORY, "no memory for results");
}

static int list_job(struct changer *changer, struct job *job, struct err *err)
{
	struct listing *listing = job->context;
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	struct err problem;

	listing->owning.changer = changer;
	listing->owning.arena = arena;
	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory for a request");
	if (owning_begin(&listing->owning, "resources:write@all", err) < 0)
		return -1;
	for (size_t i = 0; i < listing->count; i++) {
		size_t place = listing->order[i];
		struct resource_result *result = &listing->results[place];

		err_clear(&problem);
		*result = (struct resource_result){ .code = NULL };
		if (resource_put_one(&listing->owning, listing->application,
				     &listing->wishes[place], 0, &result->outcome, &problem) == 0)
			continue;
		/* What is not the row's own fault ends the list. */
		if (!is_refusal(&problem)) {
			if (err)
				*err = problem;
			return -1;
		}
		if (note_refusal(listing, result, &problem, err) < 0)
			return -1;
	}
	return 0;
}

static struct hash128 wish_print(const char *type, const char *id)
{
	struct fingerprint_prefix prefix;

	fingerprint_start(type ? type : "", type ? strlen(type) : 0, &prefix);
	return fingerprint_finish(&prefix, id ? id : "", id ? strlen(id) : 0);
}

enum { ORDER_NEW, ORDER_WAITS, ORDER_DONE };

/* Parents come before children; in a circle somebody has to begin, and is refused for it. */
static int order_wishes(const struct resource_wish *wishes, size_t count, struct arena *arena,
			size_t **ret_order, struct err *err)
{
	AUTO(hash_table) struct hash_table *places = hash_table_create(count, count + 1);
	size_t *order = arena_alloc_array(arena, count + 1, sizeof(*order));
	size_t *stack = arena_alloc_array(arena, count + 1, sizeof(*stack));
	unsigned char *states = arena_alloc_array(arena, count + 1, 1);
	size_t done = 0;
	uint32_t *slot, parent;

	if (!places || !order || !stack || !states)
		return err_set(err, ERR_MEMORY, "no memory for a list");
	for (size_t i = 0; i < count; i++) {
		if (hash_table_put(places, wish_print(wishes[i].type, wishes[i].id), &slot) < 0)
			return err_set(err, ERR_MEMORY, "no memory for a list");
		*slot = (uint32_t)i;
	}
	for (size_t i = 0; i < count; i++) {
		size_t depth = 0, at = i;

		while (states[at] == ORDER_NEW) {
			states[at] = ORDER_WAITS;
			stack[depth++] = at;
			if (owning_is_given(wishes[at].parent_id) &&
			    hash_table_get(places,
					   wish_print(wishes[at].parent_type, wishes[at].parent_id),
					   &parent))
				at = parent;
		}
		while (depth > 0) {
			states[stack[depth - 1]] = ORDER_DONE;
			order[done++] = stack[--depth];
		}
	}
	*ret_order = order;
	return 0;
}

int change_resources_put(struct changer *changer, const struct actor *actor,
			 const char *application, const struct resource_wish *wishes, size_t count,
			 struct arena *arena, struct resource_result *results, struct err *err)
{
	struct live_setup *setup;
	size_t *order = NULL;
	int result = 0;

	if (order_wishes(wishes, count, arena, &order, err) < 0)
		return -1;
	setup = changer_live_setup(changer, NULL);
	for (size_t i = 0; result == 0 && i < count; i += ROWS_AT_ONCE) {
		struct listing listing = {
			.owning = { .setup = setup, .actor = actor, .measures_all = true },
			.application = application,
			.wishes = wishes,
			.order = order + i,
			.count = count - i < ROWS_AT_ONCE ? count - i : ROWS_AT_ONCE,
			.results_arena = arena,
			.results = results,
		};

		result = writer_bulk(changer, list_job, &listing, err);
	}
	setup_release(&setup->setup);
	return result;
}
