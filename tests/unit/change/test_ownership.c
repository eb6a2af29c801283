/* Resources and references through change/: trees stay trees, whoever is responsible stays, what is left is known. */
#include <rolebridge/change/ownership.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/store/ownership.h>

#include "../../../daemon/change/ownership.h"
#include "support.h"

#define CONFIG RULES WIDE SOURCES

static void create(struct world *w, const char *name)
{
	const struct new_user user = { .username = name };
	struct uuid uuid;

	ok(w, change_user_create(w->changer, &test_person, &user, &uuid, &w->err));
}

static int put(struct world *w, const char *id, const char *parent, const char *owner)
{
	const struct resource_wish wish = { .type = "things",
					    .id = id,
					    .parent_type = parent ? "things" : NULL,
					    .parent_id = parent,
					    .owner = owner };
	enum ownership_outcome outcome;
	const char *field;

	err_clear(&w->err);
	return change_resource_put(w->changer, &test_person, "crm", &wish, 0, &outcome, &field,
				   &w->err);
}

static int take(struct world *w, const char *id, bool recursive, size_t *ret_removed)
{
	const struct resource_key key = { "crm", "things", id };

	err_clear(&w->err);
	return change_resource_remove(w->changer, &test_person, &key, 0, recursive, ret_removed,
				      &w->err);
}

static struct store *reading(struct world *w)
{
	struct store *store = store_open(w->path, STORE_READ, &w->err);

	if (!store)
		fail_msg("%s", w->err.text);
	return store;
}

static int set_up(void **state)
{
	if (world_set_up(state) < 0)
		return -1;
	world_open(*state, CONFIG);
	create(*state, "anna");
	create(*state, "ben");
	return 0;
}

/* ------------------------------------------------------------ random trees */

#define THINGS 24

struct model {
	bool there[THINGS];
	int parent[THINGS]; /* -1 */
};

static bool is_below(const struct model *model, int at, int above)
{
	for (; at >= 0; at = model->parent[at])
		if (at == above)
			return true;
	return false;
}

static int depth_of(const struct model *model, int at)
{
	int depth = 0;

	for (; at >= 0; at = model->parent[at])
		depth++;
	return depth;
}

static int height_of(const struct model *model, int at)
{
	int height = 0;

	for (int i = 0; i < THINGS; i++)
		if (model->there[i] && is_below(model, i, at)) {
			int below = depth_of(model, i) - depth_of(model, at) + 1;

			height = below > height ? below : height;
		}
	return height;
}

static void name_of(int at, char text[static 16])
{
	snprintf(text, 16, "t%d", at);
}

/* What must happen, said by the model. */
static void step_put(struct world *w, struct model *model, int at, int parent)
{
	char id[16], above[16];
	const char *want = "";
	int result;

	name_of(at, id);
	name_of(parent, above);
	if (parent >= 0 && !model->there[parent])
		want = "not-found";
	else if (parent >= 0 && model->there[at] && is_below(model, parent, at))
		want = "resource-cycle";
	else if (parent >= 0 &&
		 depth_of(model, parent) + (model->there[at] ? height_of(model, at) : 1) >
			 RESOURCE_DEPTH_MAX)
		want = "resource-depth";
	result = put(w, id, parent >= 0 ? above : NULL, NULL);
	if (strcmp(result < 0 ? err_reason(&w->err) : "", want) != 0)
		fail_msg("%s below %s: '%s', not '%s'", id, above, result < 0 ? w->err.text : "",
			 want);
	if (result == 0) {
		model->there[at] = true;
		model->parent[at] = parent;
	}
}

static void step_take(struct world *w, struct model *model, int at, bool recursive)
{
	size_t below = 0, removed = 0;
	char id[16];
	int result;

	name_of(at, id);
	for (int i = 0; i < THINGS; i++)
		below += model->there[i] && model->there[at] && is_below(model, i, at);
	result = take(w, id, recursive, &removed);
	if (!model->there[at]) {
		assert_int_equal(result, -1);
		assert_string_equal(err_reason(&w->err), "not-found");
	} else if (below > 1 && !recursive) {
		assert_int_equal(result, -1);
		assert_string_equal(err_reason(&w->err), "resource-has-children");
	} else {
		ok(w, result);
		assert_int_equal(removed, below);
		for (int i = THINGS - 1; i >= 0; i--)
			if (model->there[i] && i != at && is_below(model, i, at))
				model->there[i] = false;
		model->there[at] = false;
		/* Those below are gone: nothing hangs on them any more. */
		for (int i = 0; i < THINGS; i++)
			if (!model->there[i])
				model->parent[i] = -1;
	}
}

static void compare(struct world *w, const struct model *model)
{
	AUTO(store) struct store *store = reading(w);
	AUTO(arena) struct arena *arena = arena_create(1 << 22);
	const struct resource_query query = { .application = "crm", .limit = 1000 };
	struct resource *resources;
	size_t count, there = 0;

	ok(w, store_resource_list(store, &query, arena, &resources, &count, &w->err));
	for (int i = 0; i < THINGS; i++)
		there += model->there[i];
	assert_int_equal(count, there);
	for (size_t i = 0; i < count; i++) {
		int at = (int)strtol(resources[i].key.id + 1, NULL, 10);
		char above[16] = "";

		assert_true(model->there[at]);
		if (model->parent[at] >= 0)
			name_of(model->parent[at], above);
		assert_string_equal(resources[i].parent_id, above);
	}
}

static void test_random_trees(void **state)
{
	struct world *w = *state;
	struct model model = { 0 };
	unsigned number = 12345;

	for (int i = 0; i < THINGS; i++)
		model.parent[i] = -1;
	for (int step = 0; step < 1500; step++) {
		number = number * 1664525u + 1013904223u;
		int at = (int)(number >> 8) % THINGS;

		number = number * 1664525u + 1013904223u;
		int parent = (int)(number >> 8) % (THINGS + 1) - 1;

		if ((number >> 28) == 0)
			step_take(w, &model, at, (number >> 27) & 1);
		else
			step_put(w, &model, at, parent);
		if (step % 100 == 0)
			compare(w, &model);
	}
	compare(w, &model);
}

/* ------------------------------------------------------------------- lists */

/* Every way to order a chain, parents first or last, is the same. */
static void test_list_order(void **state)
{
	struct world *w = *state;
	struct resource_wish wishes[30];
	struct resource_result results[30];
	char ids[30][24];

	for (size_t i = 0; i < ARRAY_LEN(wishes); i++) {
		size_t place = i * 7 % ARRAY_LEN(wishes);

		snprintf(ids[i], sizeof(ids[i]), "c%zu", i);
		wishes[place] = (struct resource_wish){ .type = "things", .id = ids[i] };
		if (i > 0) {
			wishes[place].parent_type = "things";
			wishes[place].parent_id = ids[i - 1];
		}
	}
	for (size_t round = 0; round < 2; round++) {
		ok(w, change_resources_put(w->changer, &test_person, "crm", wishes,
					   ARRAY_LEN(wishes), w->arena, results, &w->err));
		for (size_t i = 0; i < ARRAY_LEN(results); i++) {
			assert_null(results[i].code);
			assert_int_equal(results[i].outcome,
					 round ? OWNERSHIP_UNCHANGED : OWNERSHIP_CREATED);
		}
	}
}

/* More than one transaction's worth, with bad rows in each. */
static void test_bad_rows(void **state)
{
	struct world *w = *state;
	size_t count = 1200, refused = 0;
	struct resource_wish *wishes = arena_alloc_array(w->arena, count, sizeof(*wishes));
	struct resource_result *results = arena_alloc_array(w->arena, count, sizeof(*results));
	AUTO(store) struct store *store = NULL;
	int64_t stored;

	for (size_t i = 0; i < count; i++)
		wishes[i] = (struct resource_wish){ .type = "things",
						    .id = arena_printf(w->arena, "r%zu", i),
						    .owner = i % 100 == 7 ? "nobody" : "anna" };
	ok(w, change_resources_put(w->changer, &test_person, "crm", wishes, count, w->arena,
				   results, &w->err));
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(results[i].code != NULL, i % 100 == 7);
		refused += results[i].code != NULL;
		if (results[i].code)
			assert_string_equal(results[i].field, "owner");
	}
	store = reading(w);
	ok(w, store_resource_count(store, &stored, &w->err));
	assert_int_equal(stored, count - refused);
	ok(w,
	   change_resources_put(w->changer, &test_person, "crm", NULL, 0, w->arena, NULL, &w->err));
}

/* -------------------------------------------------------------- who leaves */

static void test_passed_on_whole(void **state)
{
	struct world *w = *state;
	const struct reference_wish wish = { "crm", "task", "1", "anna", "One" };
	enum ownership_outcome outcome;
	const char *field;
	int64_t moved;

	ok(w, change_reference_put(w->changer, &test_person, &wish, 0, &outcome, &field, &w->err));
	for (int i = 0; i < 2500; i++) {
		char id[16];

		snprintf(id, sizeof(id), "own%d", i);
		ok(w, put(w, id, NULL, "anna"));
	}
	refused(w, change_user_disable(w->changer, &test_person, "anna", "", &w->err),
		"user-has-references");
	ok(w, change_reassign(w->changer, &test_person, "anna", "ben", "shop", &moved, &field,
			      &w->err));
	assert_int_equal(moved, 0);
	ok(w,
	   change_reassign(w->changer, &test_person, "anna", "ben", NULL, &moved, &field, &w->err));
	assert_int_equal(moved, 2501);
	ok(w, change_user_disable(w->changer, &test_person, "anna", "", &w->err));
	ok(w,
	   change_reassign(w->changer, &test_person, "anna", "ben", NULL, &moved, &field, &w->err));
	assert_int_equal(moved, 0);
}

/* A lack of memory somewhere leaves all as it was, or all done. */
static void test_without_memory(void **state)
{
	struct world *w = *state;
	bool done = false;
	long n;

	ok(w, put(w, "above", NULL, "anna"));
	for (n = 0; !done && n < 2000; n++) {
		int result;

		alloc_fail_after(n);
		result = put(w, "below", "above", "ben");
		done = alloc_fail_after(-1) >= 0;
		/* A name that could not be normalised is nobody's. */
		if (result < 0)
			assert_true(w->err.code == ERR_MEMORY ||
				    strcmp(err_reason(&w->err), "not-found") == 0);
		else if (!done)
			ok(w, take(w, "below", false, &(size_t){ 0 }));
	}
	assert_true(done);
}

/* A parent of another organization looks like one that is not there. */
static void test_a_parent_elsewhere(void **state)
{
	static const char *const scope[] = { "resources:write@all" };
	static const char *const parents[] = { "theirs", "none" };
	struct world *w = *state;
	const struct actor service = { .name = "service:crm",
				       .request = "",
				       .is_person = true,
				       .limited = true,
				       .organization = "default",
				       .scope = scope,
				       .scope_count = 1 };
	const struct resource_wish theirs = { .type = "things",
					      .id = "theirs",
					      .organization = "other" };
	enum ownership_outcome outcome;
	const char *field;

	world_open(w, RULES WIDE "sources: [{name: far, type: ldif, organization: other}]\n");
	ok(w, change_resource_put(w->changer, &test_person, "crm", &theirs, 0, &outcome, &field,
				  &w->err));
	for (size_t i = 0; i < ARRAY_LEN(parents); i++) {
		const struct resource_wish wish = { .type = "things",
						    .id = "child",
						    .parent_type = "things",
						    .parent_id = parents[i] };

		refused(w,
			change_resource_put(w->changer, &service, "crm", &wish, 0, &outcome, &field,
					    &w->err),
			"not-found");
		assert_int_equal(w->err.code, ERR_INVALID);
		assert_string_equal(field, "parent");
	}
}

/* The root of a tree of many is moved: what all wait for looks at a few. */
static void test_a_large_tree(void **state)
{
	enum { NODES = 200, SMALL = 10 };
	struct world *w = *state;
	uint64_t before;
	char id[16], parent[16];

	world_open(w, RULES WIDE SOURCES);
	ownership_small_tree = SMALL;
	ok(w, put(w, "top", NULL, NULL));
	ok(w, put(w, "root", NULL, NULL));
	for (int i = 0; i < NODES; i++) {
		snprintf(id, sizeof(id), "n%d", i);
		snprintf(parent, sizeof(parent), i < 10 ? "root" : "n%d", i / 10);
		ok(w, put(w, id, parent, NULL));
	}
	before = ownership_looked_at;
	/* Deeper than before: measured outside, once. */
	ok(w, put(w, "root", "top", NULL));
	assert_in_range(ownership_looked_at - before, 1, SMALL);
	/* Back, or to the side: not measured at all. */
	before = ownership_looked_at;
	ok(w, put(w, "root", NULL, NULL));
	ok(w, put(w, "other", NULL, NULL));
	ok(w, put(w, "root", "top", NULL));
	before = ownership_looked_at;
	ok(w, put(w, "root", "other", NULL));
	assert_int_equal(ownership_looked_at, before);
	/* And too deep is too deep: three levels of it below thirty. */
	snprintf(parent, sizeof(parent), "other");
	for (int i = 0; i < 29; i++) {
		snprintf(id, sizeof(id), "d%d", i);
		ok(w, put(w, id, parent, NULL));
		snprintf(parent, sizeof(parent), "d%d", i);
	}
	refused(w, put(w, "root", "d28", NULL), "resource-depth");
	refused(w, put(w, "root", "d27", NULL), "resource-depth");
	ok(w, put(w, "root", "d26", NULL));
	refused(w, put(w, "other", "n150", NULL), "resource-cycle");
	ownership_small_tree = 2000;
}

/* The same random trees, where almost each is a large one. */
static void test_random_large_trees(void **state)
{
	ownership_small_tree = 2;
	test_random_trees(state);
	ownership_small_tree = 2000;
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, world_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_random_trees),   TEST(test_list_order),
		TEST(test_bad_rows),	   TEST(test_passed_on_whole),
		TEST(test_without_memory), TEST(test_a_parent_elsewhere),
		TEST(test_a_large_tree),   TEST(test_random_large_trees),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
