/* The group closure against a model that searches, on random graphs with cycles. */
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

static struct hash128 name_of(const char *kind, unsigned number)
{
	char text[64];
	int size = snprintf(text, sizeof(text), "%s-%u", kind, number);

	return fingerprint128(text, (size_t)size);
}

static void assert_answer(struct closure *closure, struct hash128 user, const uint32_t *ids,
			  size_t count, bool complete)
{
	struct closure_answer answer;

	assert_int_equal(closure_user(closure, &user, 1, NULL, 0, &answer, NULL), 0);
	assert_int_equal(answer.count, count);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(answer.ids[i], ids[i]);
	assert_int_equal(answer.complete, complete);
}

static void test_nothing(void **state)
{
	AUTO(closure) struct closure *closure = closure_create();

	(void)state;
	assert_int_equal(closure_finish(closure, NULL), 0);
	assert_answer(closure, name_of("u", 1), NULL, 0, true);
	assert_false(closure_wanted(closure, 1, NULL));
}

static void test_small(void **state)
{
	static const uint32_t staff_and_all[] = { 7, 40 };
	static const uint32_t all[] = { 40 };
	AUTO(closure) struct closure *closure = closure_create();
	uint32_t staff, everyone, other, again;
	uint64_t members;
	struct err err;

	(void)state;
	/* The member comes before the group it names. */
	assert_int_equal(closure_add_group(closure, name_of("g", 1), &everyone, &err), 0);
	assert_int_equal(closure_add_member(closure, everyone, name_of("g", 2), &err), 0);
	assert_int_equal(closure_add_member(closure, everyone, name_of("u", 2), &err), 0);
	assert_int_equal(closure_add_group(closure, name_of("g", 2), &staff, &err), 0);
	assert_int_equal(closure_add_member(closure, staff, name_of("u", 1), &err), 0);
	assert_int_equal(closure_add_member(closure, staff, name_of("u", 1), &err), 0);
	assert_int_equal(closure_add_group(closure, name_of("g", 3), &other, &err), 0);
	assert_int_equal(closure_add_member(closure, other, name_of("u", 3), &err), 0);
	assert_int_equal(closure_add_group(closure, name_of("g", 2), &again, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_int_equal(closure_want(closure, staff, 40, &err), 0);
	assert_int_equal(closure_want(closure, everyone, 40, &err), 0);
	assert_int_equal(closure_want(closure, staff, 7, &err), 0);
	assert_true(closure_find_group(closure, name_of("g", 3), &again));
	assert_int_equal(again, other);
	assert_false(closure_find_group(closure, name_of("u", 1), &again));
	assert_int_equal(closure_finish(closure, &err), 0);
	assert_answer(closure, name_of("u", 1), staff_and_all, 2, true);
	assert_answer(closure, name_of("u", 2), all, 1, true);
	assert_answer(closure, name_of("u", 3), NULL, 0, true);
	assert_answer(closure, name_of("u", 4), NULL, 0, true);
	assert_true(closure_wanted(closure, 40, &members));
	assert_int_equal(members, 2);
	assert_true(closure_wanted(closure, 7, &members));
	assert_int_equal(members, 1);
	assert_int_equal(closure_add_member(closure, staff, name_of("u", 9), &err), -1);
	assert_int_equal(closure_finish(closure, &err), -1);
}

static void test_told_otherwise(void **state)
{
	static const uint32_t one[] = { 1 };
	AUTO(closure) struct closure *closure = closure_create();
	AUTO(strbuf) struct strbuf scratch = STRBUF(1024);
	uint32_t primary, posix;
	struct hash128 names[2], upper;
	struct closure_answer answer;

	(void)state;
	assert_int_equal(closure_uid_name("anna", 4, &scratch, &names[1], NULL), 0);
	assert_int_equal(closure_uid_name("ANNA", 4, &scratch, &upper, NULL), 0);
	assert_true(hash128_equal(names[1], upper));
	names[0] = fingerprint128("anna", 4);
	assert_false(hash128_equal(names[0], names[1]));
	assert_int_equal(closure_add_group(closure, name_of("g", 1), &primary, NULL), 0);
	assert_int_equal(closure_want(closure, primary, 1, NULL), 0);
	assert_int_equal(closure_add_group(closure, name_of("g", 2), &posix, NULL), 0);
	assert_int_equal(closure_add_member(closure, primary, name_of("g", 2), NULL), 0);
	assert_int_equal(closure_add_member(closure, posix, names[1], NULL), 0);
	assert_int_equal(closure_finish(closure, NULL), 0);
	assert_int_equal(closure_user(closure, NULL, 0, &primary, 1, &answer, NULL), 0);
	assert_int_equal(answer.count, 1);
	assert_int_equal(answer.ids[0], one[0]);
	assert_int_equal(closure_user(closure, names, 2, NULL, 0, &answer, NULL), 0);
	assert_int_equal(answer.count, 1);
	assert_int_equal(closure_user(closure, names, 1, NULL, 0, &answer, NULL), 0);
	assert_int_equal(answer.count, 0);
}

static void test_chain_is_not_recursion(void **state)
{
	enum { DEPTH = 200000 };
	static const uint32_t one[] = { 1 };
	AUTO(closure) struct closure *closure = closure_create();
	uint32_t group;

	(void)state;
	for (unsigned i = 0; i < DEPTH; i++) {
		assert_int_equal(closure_add_group(closure, name_of("g", i), &group, NULL), 0);
		assert_int_equal(closure_add_member(closure, group, name_of("g", i + 1), NULL), 0);
		if (i == 0)
			assert_int_equal(closure_want(closure, group, 1, NULL), 0);
	}
	assert_int_equal(closure_finish(closure, NULL), 0);
	assert_answer(closure, name_of("g", DEPTH), one, 1, true);
}

/* --- the model --- */

enum { GROUPS = 24, USERS = 30 };

struct model {
	bool member[GROUPS][USERS + GROUPS]; /* [group][user, or USERS + group] */
	uint32_t wanted[GROUPS];	     /* 0: none */
	bool incomplete[GROUPS];
};

/* reach[a][b]: whoever is in a is in b. */
static void model_close(const struct model *model, bool reach[GROUPS][GROUPS])
{
	for (int a = 0; a < GROUPS; a++)
		for (int b = 0; b < GROUPS; b++)
			reach[a][b] = a == b || model->member[b][USERS + a];
	for (int k = 0; k < GROUPS; k++)
		for (int a = 0; a < GROUPS; a++)
			for (int b = 0; b < GROUPS; b++)
				reach[a][b] |= reach[a][k] && reach[k][b];
}

static struct closure *build(const struct model *model, const unsigned *permutation)
{
	struct closure *closure = closure_create();
	uint32_t group;

	for (int i = 0; i < GROUPS; i++) {
		unsigned g = permutation[i];

		assert_int_equal(closure_add_group(closure, name_of("g", g), &group, NULL), 0);
		for (unsigned m = 0; m < USERS + GROUPS; m++)
			if (model->member[g][m])
				assert_int_equal(
					closure_add_member(closure, group,
							   m < USERS ? name_of("u", m)
								     : name_of("g", m - USERS),
							   NULL),
					0);
		if (model->wanted[g])
			assert_int_equal(closure_want(closure, group, model->wanted[g], NULL), 0);
		if (model->incomplete[g])
			closure_set_incomplete(closure, group);
	}
	assert_int_equal(closure_finish(closure, NULL), 0);
	return closure;
}

static void check_model(const struct model *model, struct closure *closure)
{
	bool reach[GROUPS][GROUPS];
	uint64_t members[GROUPS + 1] = { 0 };

	model_close(model, reach);
	for (unsigned u = 0; u < USERS; u++) {
		bool has[GROUPS + 1] = { false }, doubt[GROUPS + 1] = { false };
		uint32_t ids[GROUPS];
		size_t count = 0;
		bool complete = true;

		for (int a = 0; a < GROUPS; a++)
			for (int b = 0; b < GROUPS; b++) {
				has[model->wanted[b]] |= model->member[a][u] && reach[a][b];
				doubt[model->wanted[b]] |= model->incomplete[a] && reach[a][b];
			}
		for (uint32_t id = 1; id <= GROUPS; id++) {
			if (has[id]) {
				ids[count++] = id;
				members[id]++;
			} else if (doubt[id]) {
				complete = false;
			}
		}
		assert_answer(closure, name_of("u", u), ids, count, complete);
	}
	for (uint32_t id = 1; id <= GROUPS; id++) {
		uint64_t counted = 0;
		bool expected = false;

		for (int g = 0; g < GROUPS; g++)
			expected |= model->wanted[g] == id;
		assert_int_equal(closure_wanted(closure, id, &counted), expected);
		assert_int_equal(counted, members[id]);
	}
}

static unsigned random_state = 1;

static unsigned random_below(unsigned bound)
{
	random_state = random_state * 1664525u + 1013904223u;
	return (random_state >> 8) % bound;
}

static void make_model(struct model *model, unsigned *permutation)
{
	unsigned density = 1 + random_below(60), nesting = 1 + random_below(60);

	memset(model, 0, sizeof(*model));
	for (int g = 0; g < GROUPS; g++) {
		for (int m = 0; m < USERS + GROUPS; m++)
			model->member[g][m] = random_below(400) < (m < USERS ? density : nesting);
		/* Some ids stand for several groups. */
		model->wanted[g] = random_below(2) ? 1 + random_below(GROUPS) : 0;
		model->incomplete[g] = random_below(40) == 0;
		permutation[g] = (unsigned)g;
	}
	for (unsigned g = GROUPS - 1; g > 0; g--) {
		unsigned other = random_below(g + 1), kept = permutation[g];

		permutation[g] = permutation[other];
		permutation[other] = kept;
	}
}

static void test_random_graphs(void **state)
{
	struct model model;
	unsigned permutation[GROUPS];

	(void)state;
	for (int round = 0; round < 600; round++) {
		make_model(&model, permutation);
		AUTO(closure) struct closure *closure = build(&model, permutation);

		check_model(&model, closure);
	}
}

static int build_failing(void)
{
	AUTO(closure) struct closure *closure = closure_create();
	struct closure_answer answer;
	struct hash128 user = name_of("u", 1);
	uint32_t group;

	if (!closure)
		return -1;
	for (unsigned g = 0; g < 100; g++)
		if (closure_add_group(closure, name_of("g", g), &group, NULL) < 0 ||
		    closure_want(closure, group, g + 1, NULL) < 0 ||
		    closure_add_member(closure, group, name_of("g", g + 1), NULL) < 0 ||
		    closure_add_member(closure, group, user, NULL) < 0)
			return -1;
	if (closure_finish(closure, NULL) < 0 ||
	    closure_user(closure, &user, 1, NULL, 0, &answer, NULL) < 0)
		return -1;
	assert_int_equal(answer.count, 100);
	return 0;
}

static void test_every_allocation_may_fail(void **state)
{
	long n = 0;

	(void)state;
	for (;; n++) {
		int result;

		alloc_fail_after(n);
		result = build_failing();
		if (alloc_fail_after(-1) >= 0) {
			assert_int_equal(result, 0);
			break;
		}
		assert_int_equal(result, -1);
	}
	assert_true(n > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_small),
		cmocka_unit_test(test_told_otherwise),
		cmocka_unit_test(test_chain_is_not_recursion),
		cmocka_unit_test(test_random_graphs),
		cmocka_unit_test(test_every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
