/* A closure that follows changes, held against a fresh one after every update. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/util.h>
#include <rolebridge/source/closure.h>

enum { GROUPS = 24, USERS = 30, NAMES = USERS + GROUPS };

static struct hash128 name_of(const char *kind, unsigned number)
{
	char text[32];
	int size = snprintf(text, sizeof(text), "%s%u", kind, number);

	return fingerprint128(text, (size_t)size);
}

/* Users, then groups. */
static struct hash128 name_at(unsigned number)
{
	return number < USERS ? name_of("u", number) : name_of("g", number - USERS);
}

static unsigned random_state = 1;

static unsigned random_below(unsigned bound)
{
	random_state = random_state * 1664525u + 1013904223u;
	return (random_state >> 8) % bound;
}

/* --- small cases --- */

struct told {
	struct hash128 names[NAMES];
	size_t count;
};

static int note_told(void *context, struct hash128 name, struct err *err)
{
	struct told *told = context;

	(void)err;
	assert_true(told->count < NAMES);
	told->names[told->count++] = name;
	return 0;
}

static bool was_told(const struct told *told, struct hash128 name)
{
	for (size_t i = 0; i < told->count; i++)
		if (hash128_equal(told->names[i], name))
			return true;
	return false;
}

static int update(struct closure *closure, struct told *told)
{
	told->count = 0;
	return closure_update(closure, note_told, told, NULL);
}

static bool has(struct closure *closure, struct hash128 name, uint32_t id)
{
	struct closure_answer answer;

	assert_int_equal(closure_user(closure, &name, 1, NULL, 0, &answer, NULL), 0);
	for (size_t i = 0; i < answer.count; i++)
		if (answer.ids[i] == id)
			return true;
	return false;
}

static uint32_t add_group(struct closure *closure, unsigned number)
{
	uint32_t group;

	assert_int_equal(closure_add_group(closure, name_of("g", number), &group, NULL), 0);
	return group;
}

static void add_member(struct closure *closure, uint32_t group, struct hash128 member)
{
	assert_int_equal(closure_add_member(closure, group, member, NULL), 0);
}

static struct closure *create_dynamic(void)
{
	struct closure *closure = closure_create();

	assert_non_null(closure);
	closure_set_dynamic(closure);
	return closure;
}

static void test_somebody_below_a_subgroup(void **state)
{
	AUTO(closure) struct closure *closure = create_dynamic();
	uint32_t top = add_group(closure, 1), middle = add_group(closure, 2);
	uint32_t low = add_group(closure, 3);
	struct hash128 below[] = { name_of("g", 3), name_of("u", 2) };
	struct told told;

	(void)state;
	assert_int_equal(closure_want(closure, top, 5, NULL), 0);
	add_member(closure, top, name_of("g", 2));
	add_member(closure, middle, name_of("u", 2));
	add_member(closure, low, name_of("u", 3));
	assert_int_equal(closure_finish(closure, NULL), 0);
	assert_false(has(closure, name_of("u", 3), 5));

	assert_int_equal(closure_change_members(closure, middle, below, 2, NULL), 0);
	assert_int_equal(update(closure, &told), 0);
	assert_true(has(closure, name_of("u", 3), 5));
	assert_true(was_told(&told, name_of("u", 3)));
	assert_false(was_told(&told, name_of("u", 2)));
	assert_true(closure_group_changed(closure, low));
	assert_false(closure_group_changed(closure, middle));

	assert_int_equal(closure_remove_member(closure, top, name_of("g", 2), NULL), 0);
	assert_int_equal(update(closure, &told), 0);
	assert_false(has(closure, name_of("u", 2), 5));
	assert_false(has(closure, name_of("u", 3), 5));
	assert_true(was_told(&told, name_of("u", 2)) && was_told(&told, name_of("u", 3)));

	assert_int_equal(update(closure, &told), 0);
	assert_int_equal(told.count, 0);
	assert_false(closure_group_changed(closure, low));
}

/* A name that lists know becomes a group, and is one no more. */
static void test_member_that_becomes_a_group(void **state)
{
	AUTO(closure) struct closure *closure = create_dynamic();
	uint32_t top = add_group(closure, 1), late, again;
	uint64_t members = 7;
	struct told told;

	(void)state;
	assert_int_equal(closure_want(closure, top, 5, NULL), 0);
	add_member(closure, top, name_of("g", 2));
	assert_int_equal(closure_finish(closure, NULL), 0);
	late = add_group(closure, 2);
	assert_int_equal(closure_add_group(closure, name_of("g", 2), &again, NULL), -1);
	add_member(closure, late, name_of("u", 1));
	assert_int_equal(update(closure, &told), 0);
	assert_true(has(closure, name_of("u", 1), 5));
	assert_true(was_told(&told, name_of("u", 1)));
	assert_int_equal(closure_group_count(closure), 2);

	assert_int_equal(closure_drop_group(closure, late, NULL), 0);
	assert_int_not_equal(add_group(closure, 3), late);
	assert_int_equal(closure_drop_group(closure, late, NULL), -1);
	assert_int_equal(update(closure, &told), 0);
	assert_false(has(closure, name_of("u", 1), 5));
	assert_true(was_told(&told, name_of("u", 1)));
	assert_int_equal(add_group(closure, 2), late);

	assert_int_equal(closure_drop_group(closure, top, NULL), 0);
	assert_false(closure_wanted(closure, 5, &members));
	assert_int_equal(members, 7);
	assert_int_equal(update(closure, &told), 0);
}

static int refuse(void *context, struct hash128 name, struct err *err)
{
	(void)context, (void)name;
	return err_set(err, ERR_DENIED, "refused");
}

struct meddler {
	struct closure *closure;
	int answered, changed;
};

static int meddle(void *context, struct hash128 name, struct err *err)
{
	struct meddler *meddler = context;
	struct closure_answer answer;

	(void)err;
	meddler->answered = closure_user(meddler->closure, &name, 1, NULL, 0, &answer, NULL) == 0;
	meddler->changed = closure_add_member(meddler->closure, 0, name, NULL) == 0;
	return 0;
}

static void test_what_is_refused(void **state)
{
	AUTO(closure) struct closure *fixed = closure_create();
	AUTO(closure) struct closure *closure = create_dynamic();
	struct hash128 user = name_of("u", 1);
	struct meddler meddler = { closure, -1, -1 };
	uint32_t group = add_group(closure, 1);
	struct closure_answer answer;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(closure_finish(fixed, NULL), 0);
	assert_int_equal(closure_change_members(fixed, 0, &user, 1, NULL), -1);
	assert_int_equal(closure_update(fixed, refuse, NULL, NULL), -1);
	assert_int_equal(closure_change_members(closure, group, &user, 1, NULL), -1);
	assert_int_equal(closure_want(closure, group, 1, NULL), 0);
	assert_int_equal(closure_finish(closure, NULL), 0);
	assert_int_equal(closure_change_members(closure, 9, &user, 1, NULL), -1);
	assert_int_equal(closure_want(closure, group, 0, NULL), -1);

	assert_int_equal(closure_change_members(closure, group, &user, 1, NULL), 0);
	assert_int_equal(closure_update(closure, meddle, &meddler, NULL), 0);
	assert_int_equal(meddler.answered, 1);
	assert_int_equal(meddler.changed, 0);

	assert_int_equal(closure_change_members(closure, group, NULL, 0, NULL), 0);
	assert_int_equal(closure_update(closure, refuse, NULL, &err), -1);
	assert_int_equal(err.code, ERR_DENIED);
	/* Nobody knows who was told. */
	assert_int_equal(closure_user(closure, &user, 1, NULL, 0, &answer, NULL), -1);
	assert_int_equal(closure_update(closure, meddle, &meddler, NULL), -1);
}

/* --- the model --- */

struct model {
	bool there[GROUPS];
	bool member[GROUPS][NAMES];
	bool wanted[GROUPS][GROUPS + 1]; /* [group][id] */
	bool incomplete[GROUPS];
};

struct answers {
	bool has[NAMES][GROUPS + 1];
	bool complete[NAMES];
	bool gives[GROUPS][GROUPS + 1]; /* what the members of a group get */
};

/* The model, the closure that follows it and what was told. */
struct world {
	struct model model, in_force; /* in_force: at the last update */
	struct closure *closure;
	uint32_t group[GROUPS]; /* in the closure */
	struct answers answers;
	uint32_t ids[USERS][GROUPS]; /* as counted */
	size_t id_count[USERS];
};

static void read_answer(struct closure *closure, const struct hash128 *name, const uint32_t *group,
			bool ret_has[GROUPS + 1], bool *ret_complete)
{
	struct closure_answer answer;

	memset(ret_has, 0, (GROUPS + 1) * sizeof(*ret_has));
	assert_int_equal(
		closure_user(closure, name, name ? 1 : 0, group, group ? 1 : 0, &answer, NULL), 0);
	for (size_t i = 0; i < answer.count; i++) {
		assert_true(i == 0 || answer.ids[i] > answer.ids[i - 1]);
		ret_has[answer.ids[i]] = true;
	}
	if (ret_complete)
		*ret_complete = answer.complete;
}

static void fill(struct closure *closure, const struct model *model, uint32_t numbers[GROUPS])
{
	for (unsigned g = 0; g < GROUPS; g++) {
		if (!model->there[g])
			continue;
		numbers[g] = add_group(closure, g);
		for (unsigned m = 0; m < NAMES; m++)
			for (unsigned i = 0; model->member[g][m] && i < 1 + m % 2; i++)
				add_member(closure, numbers[g], name_at(m));
		for (uint32_t id = 1; id <= GROUPS; id++)
			if (model->wanted[g][id])
				assert_int_equal(closure_want(closure, numbers[g], id, NULL), 0);
		if (model->incomplete[g])
			closure_set_incomplete(closure, numbers[g]);
	}
	assert_int_equal(closure_finish(closure, NULL), 0);
}

static void ask_everything(struct closure *closure, const struct model *model,
			   const uint32_t numbers[GROUPS], struct answers *ret_answers)
{
	memset(ret_answers, 0, sizeof(*ret_answers));
	for (unsigned n = 0; n < NAMES; n++) {
		struct hash128 name = name_at(n);

		read_answer(closure, &name, NULL, ret_answers->has[n], &ret_answers->complete[n]);
	}
	for (unsigned g = 0; g < GROUPS; g++)
		if (model->there[g])
			read_answer(closure, NULL, &numbers[g], ret_answers->gives[g], NULL);
}

static bool gives_something(const struct answers *answers, unsigned group)
{
	for (unsigned id = 1; id <= GROUPS; id++)
		if (answers->gives[group][id])
			return true;
	return false;
}

/* Has the name a reason to be told: a group that gives it something else, or a membership that came or went. */
static bool may_be_told(const struct world *world, const struct answers *now, unsigned name)
{
	const struct model *before = &world->in_force, *after = &world->model;

	for (unsigned g = 0; g < GROUPS; g++) {
		bool other =
			memcmp(world->answers.gives[g], now->gives[g], sizeof(now->gives[g])) != 0;

		if ((before->member[g][name] || after->member[g][name]) && other)
			return true;
	}
	return false;
}

/* Members who came and went again between two updates are told for nothing: allowed. */
static void check_told(const struct world *world, const struct answers *now,
		       const struct told *told, int other_doubts, bool exact)
{
	for (unsigned n = 0; n < NAMES; n++) {
		bool another = memcmp(world->answers.has[n], now->has[n], sizeof(now->has[n])) != 0;
		bool in_lists = false, was = was_told(told, name_at(n));

		if (another)
			assert_true(was);
		if (world->answers.complete[n] != now->complete[n])
			assert_true(was || other_doubts);
		for (unsigned g = 0; g < GROUPS; g++)
			in_lists |=
				world->in_force.member[g][n] != world->model.member[g][n] &&
				(gives_something(&world->answers, g) || gives_something(now, g));
		if (exact && was && !in_lists)
			assert_true(may_be_told(world, now, n));
	}
	for (size_t i = 0; i < told->count; i++)
		for (size_t k = 0; k < i; k++)
			assert_false(hash128_equal(told->names[i], told->names[k]));
}

static void count_told(struct world *world, const struct told *told)
{
	for (unsigned u = 0; u < USERS; u++) {
		struct hash128 name = name_at(u);
		struct closure_answer answer;

		if (told && !was_told(told, name))
			continue;
		assert_int_equal(closure_user(world->closure, &name, 1, NULL, 0, &answer, NULL), 0);
		closure_count(world->closure, world->ids[u], world->id_count[u], answer.ids,
			      answer.count);
		world->id_count[u] = answer.count;
		if (answer.count > 0)
			memcpy(world->ids[u], answer.ids, answer.count * sizeof(*answer.ids));
	}
}

static void check_counts(const struct world *world, const struct answers *now)
{
	for (uint32_t id = 1; id <= GROUPS; id++) {
		uint64_t members = 0, expected = 0;
		bool found = false;

		for (unsigned g = 0; g < GROUPS; g++)
			found |= world->model.there[g] && world->model.wanted[g][id];
		for (unsigned u = 0; u < USERS; u++)
			expected += now->has[u][id];
		assert_int_equal(closure_wanted(world->closure, id, &members), found);
		if (found)
			assert_int_equal(members, expected);
	}
}

static void check_world(struct world *world, const struct told *told, int other_doubts, bool exact)
{
	AUTO(closure) struct closure *fresh = closure_create();
	uint32_t numbers[GROUPS] = { 0 };
	struct answers expected, now;
	size_t groups = 0, memberships = 0;

	fill(fresh, &world->model, numbers);
	ask_everything(fresh, &world->model, numbers, &expected);
	ask_everything(world->closure, &world->model, world->group, &now);
	assert_memory_equal(&now, &expected, sizeof(now));
	if (told)
		check_told(world, &now, told, other_doubts, exact);
	count_told(world, told);
	check_counts(world, &now);
	for (unsigned g = 0; g < GROUPS; g++) {
		groups += world->model.there[g];
		for (unsigned m = 0; m < NAMES; m++)
			memberships += world->model.member[g][m];
		if (told && world->model.there[g] && world->in_force.there[g] && exact)
			assert_int_equal(closure_group_changed(world->closure, world->group[g]),
					 memcmp(world->answers.gives[g], now.gives[g],
						sizeof(now.gives[g])) != 0);
	}
	assert_int_equal(closure_group_count(world->closure), groups);
	assert_int_equal(closure_membership_count(world->closure), memberships);
	world->answers = now;
	world->in_force = world->model;
}

static void make_world(struct world *world, unsigned density, unsigned nesting)
{
	struct model *model = &world->model;

	memset(world, 0, sizeof(*world));
	for (unsigned g = 0; g < GROUPS; g++) {
		model->there[g] = random_below(4) > 0;
		for (unsigned m = 0; m < NAMES && model->there[g]; m++)
			model->member[g][m] = random_below(400) < (m < USERS ? density : nesting);
		if (model->there[g] && random_below(3) == 0)
			model->wanted[g][1 + random_below(GROUPS)] = true;
		model->incomplete[g] = model->there[g] && random_below(40) == 0;
	}
	world->closure = create_dynamic();
	fill(world->closure, model, world->group);
	check_world(world, NULL, 0, false);
}

/* --- random changes --- */

static void change_members(struct world *world, unsigned g, unsigned density, unsigned nesting)
{
	struct hash128 members[2 * NAMES];
	size_t count = 0;

	for (unsigned m = 0; m < NAMES; m++) {
		bool *member = &world->model.member[g][m];

		if (random_below(4) == 0)
			*member = random_below(400) < (m < USERS ? density : nesting);
		for (unsigned i = 0; *member && i < 1 + random_below(2); i++)
			members[count++] = name_at(m);
	}
	for (size_t i = count; i > 1; i--) {
		size_t other = random_below((unsigned)i);
		struct hash128 kept = members[i - 1];

		members[i - 1] = members[other];
		members[other] = kept;
	}
	assert_int_equal(
		closure_change_members(world->closure, world->group[g], members, count, NULL), 0);
	world->model.incomplete[g] = false;
	if (random_below(20) == 0) {
		closure_set_incomplete(world->closure, world->group[g]);
		world->model.incomplete[g] = true;
	}
}

static void change_one(struct world *world, unsigned g)
{
	unsigned m = random_below(NAMES);
	bool *member = &world->model.member[g][m];

	if (*member)
		assert_int_equal(
			closure_remove_member(world->closure, world->group[g], name_at(m), NULL),
			0);
	else
		add_member(world->closure, world->group[g], name_at(m));
	/* Twice is once. */
	if (!*member)
		add_member(world->closure, world->group[g], name_at(m));
	*member = !*member;
}

static void change_group(struct world *world, unsigned g)
{
	struct model *model = &world->model;

	if (model->there[g]) {
		assert_int_equal(closure_drop_group(world->closure, world->group[g], NULL), 0);
		memset(model->member[g], 0, sizeof(model->member[g]));
		memset(model->wanted[g], 0, sizeof(model->wanted[g]));
		model->incomplete[g] = false;
	} else {
		world->group[g] = add_group(world->closure, g);
	}
	model->there[g] = !model->there[g];
}

static void change_something(struct world *world, unsigned density, unsigned nesting)
{
	unsigned g = random_below(GROUPS), kind = random_below(100);
	uint32_t id = 1 + random_below(GROUPS);

	if (!world->model.there[g] || kind < 12) {
		change_group(world, g);
	} else if (kind < 20) {
		assert_int_equal(closure_want(world->closure, world->group[g], id, NULL), 0);
		world->model.wanted[g][id] = true;
	} else if (kind < 60) {
		change_one(world, g);
	} else {
		change_members(world, g, density, nesting);
	}
}

static void run_world(unsigned density, unsigned nesting)
{
	struct world world;
	struct told told;

	make_world(&world, density, nesting);
	for (int step = 0; step < 25; step++) {
		unsigned changes = random_below(3) ? 1 : random_below(12);
		int other_doubts;

		for (unsigned i = 0; i < changes; i++)
			change_something(&world, density, nesting);
		other_doubts = update(world.closure, &told);
		assert_true(other_doubts >= 0);
		check_world(&world, &told, other_doubts, changes <= 1);
	}
	closure_destroy(world.closure);
}

static void test_random_changes(void **state)
{
	(void)state;
	for (int round = 0; round < 400; round++)
		run_world(1 + random_below(60), 1 + random_below(60));
}

/* --- large lists that change, so that memory is put in order again and again --- */

enum { LARGE_USERS = 3000, LARGE_GROUPS = 12 };

static int count_one(void *context, struct hash128 name, struct err *err)
{
	(void)name, (void)err;
	++*(size_t *)context;
	return 0;
}

static void test_large_lists(void **state)
{
	static bool member[LARGE_GROUPS][LARGE_USERS];
	static struct hash128 members[LARGE_USERS];
	AUTO(closure) struct closure *closure = create_dynamic();

	(void)state;
	for (uint32_t g = 0; g < LARGE_GROUPS; g++) {
		uint32_t group = add_group(closure, g);

		assert_int_equal(closure_want(closure, group, g + 1, NULL), 0);
	}
	assert_int_equal(closure_finish(closure, NULL), 0);
	memset(member, 0, sizeof(member));
	for (int round = 0; round < 150; round++) {
		unsigned g = random_below(LARGE_GROUPS), part = 1 + random_below(100);
		size_t count = 0, changed = 0, told = 0;

		for (unsigned u = 0; u < LARGE_USERS; u++) {
			bool now = random_below(100) < part;

			changed += member[g][u] != now;
			member[g][u] = now;
			if (now)
				members[count++] = name_of("u", u);
		}
		assert_int_equal(closure_change_members(closure, g, members, count, NULL), 0);
		assert_int_equal(closure_update(closure, count_one, &told, NULL), 0);
		assert_int_equal(told, changed);
	}
	for (unsigned u = 0; u < LARGE_USERS; u++)
		for (unsigned g = 0; g < LARGE_GROUPS; g++)
			assert_int_equal(has(closure, name_of("u", u), g + 1), member[g][u]);
}

/* A long chain changes without recursion. */
static void test_chain(void **state)
{
	enum { DEPTH = 100000 };
	AUTO(closure) struct closure *closure = create_dynamic();
	struct hash128 last = name_of("u", 1);
	uint32_t group = 0;
	size_t told = 0;

	(void)state;
	for (unsigned g = 0; g < DEPTH; g++) {
		group = add_group(closure, g);
		add_member(closure, group, name_of("g", g + 1));
	}
	assert_int_equal(closure_finish(closure, NULL), 0);
	assert_int_equal(closure_want(closure, 0, 1, NULL), 0);
	assert_int_equal(closure_change_members(closure, group, &last, 1, NULL), 0);
	assert_int_equal(closure_update(closure, count_one, &told, NULL), 0);
	/* The names of the groups below the first, the one that left and the last one's member. */
	assert_int_equal(told, DEPTH + 1);
	assert_true(has(closure, last, 1));
}

/* --- memory --- */

static int ignore(void *context, struct hash128 name, struct err *err)
{
	(void)context, (void)name, (void)err;
	return 0;
}

static int change_failing(struct closure *closure)
{
	struct hash128 members[200];
	uint32_t group;

	for (unsigned i = 0; i < ARRAY_LEN(members); i++)
		members[i] = i % 2 ? name_of("u", i) : name_of("g", i);
	for (unsigned g = 0; g < 100; g++)
		if (closure_add_group(closure, name_of("g", g), &group, NULL) < 0 ||
		    closure_want(closure, group, g + 1, NULL) < 0 ||
		    closure_add_members(closure, group, members, g, NULL) < 0)
			return -1;
	if (closure_finish(closure, NULL) < 0 ||
	    closure_add_group(closure, name_of("g", 100), &group, NULL) < 0 ||
	    closure_want(closure, group, 500, NULL) < 0 ||
	    closure_change_members(closure, group, members, ARRAY_LEN(members), NULL) < 0 ||
	    closure_change_members(closure, 3, members, ARRAY_LEN(members), NULL) < 0 ||
	    closure_update(closure, ignore, NULL, NULL) < 0 ||
	    closure_drop_group(closure, 50, NULL) < 0 ||
	    closure_remove_member(closure, 70, name_of("u", 1), NULL) < 0 ||
	    closure_add_member(closure, 70, name_of("u", 1000), NULL) < 0 ||
	    closure_update(closure, ignore, NULL, NULL) < 0)
		return -1;
	return 0;
}

static void test_every_allocation_may_fail(void **state)
{
	long n = 0;

	(void)state;
	for (;; n++) {
		AUTO(closure) struct closure *closure = create_dynamic();
		struct hash128 user = name_of("u", 1);
		struct closure_answer answer;
		int result;

		alloc_fail_after(n);
		result = change_failing(closure);
		if (alloc_fail_after(-1) >= 0) {
			assert_int_equal(result, 0);
			assert_true(has(closure, user, 500));
			break;
		}
		assert_int_equal(result, -1);
		/* Unusable, and safe. */
		assert_int_equal(closure_user(closure, &user, 1, NULL, 0, &answer, NULL), -1);
		assert_int_equal(closure_change_members(closure, 0, &user, 1, NULL), -1);
		assert_int_equal(closure_drop_group(closure, 0, NULL), -1);
		assert_int_equal(closure_update(closure, ignore, NULL, NULL), -1);
	}
	assert_true(n > 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_somebody_below_a_subgroup),
		cmocka_unit_test(test_member_that_becomes_a_group),
		cmocka_unit_test(test_what_is_refused),
		cmocka_unit_test(test_random_changes),
		cmocka_unit_test(test_large_lists),
		cmocka_unit_test(test_chain),
		cmocka_unit_test(test_every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
