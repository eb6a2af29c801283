/* Who is known while a directory is followed, against a model as plain as can be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/util.h>

#include "../../../daemon/source/ldap/index.h"

static struct hash128 name_of(const char *text)
{
	return fingerprint128(text, strlen(text));
}

static uint32_t put(struct index *index, const char *id, const char *key, const char *name,
		    unsigned flags)
{
	struct hash128 names[] = { name_of(name), name_of("shared") };

	return index_put(index, name_of(id), key, strlen(key), names, ARRAY_LEN(names), flags);
}

static void assert_key(struct index *index, uint32_t person, const char *key)
{
	size_t size;
	const char *found = index_key(index, person, &size);

	assert_int_equal(size, strlen(key));
	assert_memory_equal(found, key, size);
}

static size_t named(struct index *index, const char *name, uint32_t person)
{
	struct index_cursor cursor = { 0 };
	size_t count = 0;
	uint32_t found;

	while ((found = index_named(index, name_of(name), &cursor)) != 0)
		count += person == 0 || found == person;
	return count;
}

static void test_found_by_all_names(void **state)
{
	static const char *const keys[] = { "k", "065dc27c-7a8d-1041-8366-57a09441adb8",
					    "065DC27C-7A8D-1041-8366-57A09441ADB8", "" };
	struct index *index = index_create();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		char id[8], dn[8];
		snprintf(id, sizeof(id), "i%zu", i);
		snprintf(dn, sizeof(dn), "d%zu", i);
		uint32_t person = put(index, id, keys[i], dn, 0);
		assert_int_equal(index_find(index, name_of(id)), person);
		assert_int_equal(index_find_key(index, keys[i], strlen(keys[i])),
				 keys[i][0] ? person : 0);
		assert_key(index, person, keys[i]);
		assert_int_equal(named(index, dn, person), 1);
		assert_int_equal(named(index, "shared", person), 1);
	}
	assert_int_equal(index_count(index), ARRAY_LEN(keys));
	assert_int_equal(named(index, "shared", 0), ARRAY_LEN(keys));
	assert_int_equal(named(index, "nobody", 0), 0);
	index_destroy(index);
}

static void test_changed(void **state)
{
	static const uint32_t groups[] = { 1, 127, 128, 16384, UINT32_MAX };
	struct index *index = index_create();
	uint32_t person = put(index, "id", "old", "old-name", 0);
	const uint32_t *found;
	size_t count;

	(void)state;
	assert_int_equal(index_set_groups(index, person, groups, ARRAY_LEN(groups)), 0);
	assert_int_equal(put(index, "id", "new", "new-name", INDEX_QUARANTINED), person);
	assert_int_equal(index_find_key(index, "old", 3), 0);
	assert_int_equal(index_find_key(index, "new", 3), person);
	assert_int_equal(named(index, "old-name", 0), 0);
	assert_int_equal(named(index, "new-name", person), 1);
	assert_int_equal(index_flags(index, person), INDEX_QUARANTINED);
	assert_int_equal(index_groups(index, person, &found, &count), 0);
	assert_int_equal(count, ARRAY_LEN(groups));
	assert_memory_equal(found, groups, sizeof(groups));
	assert_int_equal(index_set_groups(index, person, NULL, 0), 0);
	assert_int_equal(index_groups(index, person, &found, &count), 0);
	assert_int_equal(count, 0);
	assert_key(index, person, "new");
	index_remove(index, person);
	assert_int_equal(index_count(index), 0);
	assert_int_equal(index_find(index, name_of("id")), 0);
	assert_int_equal(index_find_key(index, "new", 3), 0);
	assert_int_equal(named(index, "shared", 0), 0);
	/* Its place is used again. */
	assert_int_equal(put(index, "another", "key", "name", 0), person);
	index_destroy(index);
}

static void test_duplicates(void **state)
{
	struct index *index = index_create();
	uint32_t first = put(index, "1", "key", "a", 0);
	uint32_t second = put(index, "2", "key", "b", INDEX_QUARANTINED | INDEX_DUPLICATE);

	(void)state;
	assert_int_equal(index_find_key(index, "key", 3), first);
	assert_true(index_has_duplicate(index, "key", 3));
	assert_false(index_has_duplicate(index, "kex", 3));
	index_remove(index, first);
	assert_int_equal(index_find_key(index, "key", 3), 0);
	index_set_flags(index, second, 0);
	assert_int_equal(index_find_key(index, "key", 3), second);
	assert_false(index_has_duplicate(index, "key", 3));
	index_destroy(index);
}

static void test_marks(void **state)
{
	struct index *index = index_create();
	uint32_t a = put(index, "a", "a", "a", 0), b = put(index, "b", "b", "b", 0);
	uint32_t c = put(index, "c", "c", "c", 0);

	(void)state;
	index_unmark(index);
	index_mark(index, b);
	assert_int_equal(index_next_unmarked(index, 0), a);
	assert_int_equal(index_next_unmarked(index, a), c);
	assert_int_equal(index_next_unmarked(index, c), 0);
	index_remove(index, a);
	assert_int_equal(index_next_unmarked(index, 0), c);
	/* However often: rounds are numbered in 16 bits. */
	for (int i = 0; i < 70000; i++) {
		index_unmark(index);
		assert_int_equal(index_next_unmarked(index, 0), b);
	}
	index_destroy(index);
}

/* --- many, at random --- */

#define PEOPLE 3000
#define STEPS 60000

struct model {
	bool there;
	uint32_t person;
	unsigned key, name;
	uint32_t groups[4];
	size_t group_count;
};

static uint64_t chance(uint64_t *seed, uint64_t below)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (*seed >> 33) % below;
}

static void key_text(size_t who, unsigned key, char *ret_text, size_t size)
{
	if (key % 2)
		snprintf(ret_text, size, "%08zx-%04x-4000-8000-000000000000", who, key);
	else
		snprintf(ret_text, size, "user %zu, key %u", who, key);
}

static void check(struct index *index, size_t who, const struct model *model)
{
	char id[32], key[64];
	const uint32_t *groups;
	size_t count;

	snprintf(id, sizeof(id), "id %zu", who);
	key_text(who, model->key, key, sizeof(key));
	if (!model->there) {
		assert_int_equal(index_find(index, name_of(id)), 0);
		assert_int_equal(index_find_key(index, key, strlen(key)), 0);
		return;
	}
	assert_int_equal(index_find(index, name_of(id)), model->person);
	assert_int_equal(index_find_key(index, key, strlen(key)), model->person);
	assert_key(index, model->person, key);
	snprintf(id, sizeof(id), "name %u", model->name);
	assert_int_equal(named(index, id, model->person), 1);
	assert_int_equal(index_groups(index, model->person, &groups, &count), 0);
	assert_int_equal(count, model->group_count);
	if (count > 0)
		assert_memory_equal(groups, model->groups, count * sizeof(*groups));
}

static void step(struct index *index, struct model *models, uint64_t *seed)
{
	size_t who = chance(seed, PEOPLE);
	struct model *model = &models[who];
	char id[32], key[64], name[32];

	check(index, who, model);
	if (model->there && chance(seed, 4) == 0) {
		index_remove(index, model->person);
		model->there = false;
		model->group_count = 0;
		return;
	}
	model->key = (unsigned)chance(seed, 3);
	model->name = (unsigned)chance(seed, 500);
	snprintf(id, sizeof(id), "id %zu", who);
	key_text(who, model->key, key, sizeof(key));
	snprintf(name, sizeof(name), "name %u", model->name);
	model->person = put(index, id, key, name, 0);
	model->there = true;
	assert_int_not_equal(model->person, 0);
	if (chance(seed, 2) == 0) {
		model->group_count = chance(seed, ARRAY_LEN(model->groups) + 1);
		for (size_t i = 0; i < model->group_count; i++)
			model->groups[i] = (uint32_t)(i * 1000 + chance(seed, 1000));
		assert_int_equal(
			index_set_groups(index, model->person, model->groups, model->group_count),
			0);
	}
}

static void test_like_the_model(void **state)
{
	struct model *models = alloc_zeroed(PEOPLE, sizeof(*models));
	struct index *index = index_create();
	uint64_t seed = 4533;
	size_t there = 0;

	(void)state;
	for (size_t i = 0; i < STEPS; i++)
		step(index, models, &seed);
	for (size_t i = 0; i < PEOPLE; i++) {
		check(index, i, &models[i]);
		there += models[i].there;
	}
	assert_int_equal(index_count(index), there);
	assert_int_equal(named(index, "shared", 0), there);
	index_destroy(index);
	free(models);
}

/* What is promised of a person with a UUID for a key, two names and a dozen groups. */
static void test_memory(void **state)
{
	struct index *index = index_create();
	size_t count = 100000;
	uint32_t groups[12];

	(void)state;
	for (size_t i = 0; i < count; i++) {
		char id[32], key[64];
		snprintf(id, sizeof(id), "id %zu", i);
		snprintf(key, sizeof(key), "%08zx-0000-4000-8000-000000000000", i);
		uint32_t person = put(index, id, key, id, 0);
		for (size_t g = 0; g < ARRAY_LEN(groups); g++)
			groups[g] = (uint32_t)(g * 20 + i % 20);
		assert_int_equal(index_set_groups(index, person, groups, ARRAY_LEN(groups)), 0);
	}
	/* malloc adds up to 24 bytes to a piece. */
	assert_true(index_bytes(index) / count + 24 <= 200);
	index_destroy(index);
}

/* Nothing has happened when memory is out: then it is done again. */
static void test_out_of_memory(void **state)
{
	struct index *index = NULL;

	(void)state;
	for (long n = 0; !index; n++) {
		alloc_fail_after(n);
		index = index_create();
		alloc_fail_after(-1);
	}
	for (unsigned i = 0; i < 3000; i++) {
		char id[32], key[32];
		uint32_t person = 0;
		snprintf(id, sizeof(id), "id %u", i % 1000);
		snprintf(key, sizeof(key), "key %u", i);
		for (long n = 0; person == 0; n++) {
			alloc_fail_after(n);
			person = put(index, id, key, key, 0);
			if (alloc_fail_after(-1) < 0 && person == 0)
				assert_int_equal(index_find_key(index, key, strlen(key)), 0);
		}
		assert_int_equal(index_find_key(index, key, strlen(key)), person);
		assert_int_equal(named(index, key, person), 1);
		assert_int_equal(index_count(index), i < 1000 ? i + 1 : 1000);
	}
	index_destroy(index);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found_by_all_names), cmocka_unit_test(test_changed),
		cmocka_unit_test(test_duplicates),	   cmocka_unit_test(test_marks),
		cmocka_unit_test(test_like_the_model),	   cmocka_unit_test(test_memory),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
