/* Sealing: round trips, what was moved or changed, key files, new keys, everything sealed anew. */
#include "world.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rolebridge/auth/seal.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/file.h>
#include <rolebridge/base/util.h>
#include <rolebridge/change/factor.h>
#include <rolebridge/store/factor.h>

#define KEY_A "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define KEY_B "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="

static const struct actor root = { .name = "unix:root", .request = "", .is_person = true };
static const struct uuid one = { { 1 } }, other = { { 2 } };

struct bench {
	struct world *w;
	char path[128];
};

#define refused(b, call, reason_text) \
	do { \
		err_clear(&(b)->w->err); \
		assert_int_equal((call), -1); \
		assert_string_equal(err_reason(&(b)->w->err), (reason_text)); \
	} while (0)

static int set_up(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	void *world;

	assert_non_null(b);
	if (world_set_up(&world) < 0)
		return -1;
	b->w = world;
	snprintf(b->path, sizeof(b->path), "%s/seal.key", b->w->folder);
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *b = *state;
	void *world = b->w;

	free(b);
	return world_tear_down(&world);
}

static void write_keys(struct bench *b, const char *text)
{
	ok(b->w, file_write_atomic(b->path, text, strlen(text), 0600, &b->w->err));
}

static struct seal *open_seal(struct bench *b, bool own)
{
	struct seal *seal = seal_create(b->path, own, &b->w->err);

	if (!seal)
		fail_msg("%s", b->w->err.text);
	return seal;
}

struct sealed {
	const void *data;
	size_t size;
	int64_t key_id;
};

static struct sealed close_text(struct bench *b, struct seal *seal, const char *text)
{
	struct sealed sealed;

	ok(b->w, seal_close(seal, "totp", &one, text, strlen(text), b->w->arena, &sealed.data,
			    &sealed.size, &sealed.key_id, &b->w->err));
	return sealed;
}

static int open_text(struct bench *b, struct seal *seal, const char *purpose,
		     const struct uuid *uuid, const struct sealed *sealed)
{
	struct secret secret = { 0 };
	int result =
		seal_open(seal, purpose, uuid, sealed->data, sealed->size, &secret, &b->w->err);

	if (result == 0)
		assert_string_equal(secret.data, "secret");
	secret_finish(&secret);
	return result;
}

static void test_round_trip(void **state)
{
	struct bench *b = *state;
	struct seal *seal = open_seal(b, true);
	struct sealed sealed = close_text(b, seal, "secret"), again = close_text(b, seal, "secret");
	struct sealed part;
	struct stat info;

	assert_int_equal(stat(b->path, &info), 0);
	assert_int_equal(info.st_mode & 07777, 0600);
	assert_int_equal(sealed.size, 6 + SEAL_OVERHEAD);
	assert_int_equal(sealed.key_id, seal_key_id(seal));
	assert_true(sealed.key_id > 0);
	assert_memory_not_equal(sealed.data, again.data, sealed.size);
	ok(b->w, open_text(b, seal, "totp", &one, &sealed));
	/* Of another row, or for something else. */
	refused(b, open_text(b, seal, "totp", &other, &sealed), "sealed-damaged");
	refused(b, open_text(b, seal, "email", &one, &sealed), "sealed-damaged");
	/* Any bit. */
	for (size_t i = 0; i < sealed.size; i++) {
		unsigned char *copy = arena_memdup(b->w->arena, sealed.data, sealed.size);
		struct sealed changed = { copy, sealed.size, 0 };

		copy[i] ^= 1;
		assert_int_equal(open_text(b, seal, "totp", &one, &changed), -1);
	}
	for (size_t size = 0; size < sealed.size; size++) {
		part = (struct sealed){ sealed.data, size, 0 };
		refused(b, open_text(b, seal, "totp", &one, &part), "sealed-damaged");
	}
	/* After a restart. */
	seal_destroy(seal);
	seal = open_seal(b, true);
	ok(b->w, open_text(b, seal, "totp", &one, &sealed));
	seal_destroy(seal);
}

static void test_key_files(void **state)
{
	static const struct {
		const char *name, *text;
		size_t keys; /* 0: refused */
	} cases[] = {
		{ "one", KEY_A "\n", 1 },
		{ "no line break", KEY_A, 1 },
		{ "two", KEY_A "\n" KEY_B "\n", 2 },
		{ "comments, blanks, Windows", "# first\r\n" KEY_A "\r\n\n#x\n" KEY_B "  \n", 2 },
		{ "twice the same", KEY_A "\n" KEY_A "\n", 0 },
		{ "short", "AAAA\n", 0 },
		{ "long", "AAAA" KEY_A "\n", 0 },
		{ "not base64", "!AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", 0 },
		{ "a damaged letter",
		  "\xc1"
		  "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
		  0 },
		{ "nothing but comments", "# nothing\n", 0 },
		{ "empty", "\n", 0 },
		{ "one good, one not", KEY_A "\nx\n", 0 },
	};
	struct bench *b = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct seal_key keys[SEAL_KEYS_MAX];
		struct seal *seal;
		size_t count = 0;

		write_keys(b, cases[i].text);
		err_clear(&b->w->err);
		seal = seal_create(b->path, false, &b->w->err);
		if (seal)
			count = seal_keys(seal, keys);
		if (count != cases[i].keys)
			fail_msg("%s: %zu keys, %s", cases[i].name, count, b->w->err.text);
		/* No byte of it is told. */
		assert_null(strstr(b->w->err.text, "AAAA"));
		if (seal) {
			assert_true(keys[0].seals);
			assert_false(count > 1 && keys[1].seals);
		}
		seal_destroy(seal);
	}
	write_keys(b, KEY_A "\n");
	assert_int_equal(chmod(b->path, 0604), 0);
	assert_null(seal_create(b->path, false, &b->w->err));
	assert_int_equal(b->w->err.code, ERR_DENIED);
	assert_int_equal(unlink(b->path), 0);
	assert_null(seal_create(b->path, false, &b->w->err));
	assert_int_equal(b->w->err.code, ERR_NOT_FOUND);
	assert_int_equal(access(b->path, F_OK), -1);
}

/* A credential of the service, by its name. */
static void test_credential(void **state)
{
	struct bench *b = *state;
	struct seal *seal;

	write_keys(b, KEY_B "\n");
	assert_int_equal(setenv("CREDENTIALS_DIRECTORY", b->w->folder, 1), 0);
	seal = seal_create("seal.key", false, &b->w->err);
	assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
	assert_non_null(seal);
	seal_destroy(seal);
}

static void test_reload(void **state)
{
	struct bench *b = *state;
	struct seal *seal;
	struct sealed old, new;

	write_keys(b, KEY_A "\n");
	seal = open_seal(b, false);
	old = close_text(b, seal, "secret");
	/* No good: the keys stay. */
	write_keys(b, "nonsense\n");
	assert_int_equal(seal_reload(seal, b->path, false, &b->w->err), -1);
	ok(b->w, open_text(b, seal, "totp", &one, &old));
	write_keys(b, KEY_B "\n" KEY_A "\n");
	ok(b->w, seal_reload(seal, b->path, false, &b->w->err));
	new = close_text(b, seal, "secret");
	assert_int_not_equal(new.key_id, old.key_id);
	ok(b->w, open_text(b, seal, "totp", &one, &old));
	write_keys(b, KEY_B "\n");
	ok(b->w, seal_reload(seal, b->path, false, &b->w->err));
	ok(b->w, open_text(b, seal, "totp", &one, &new));
	refused(b, open_text(b, seal, "totp", &one, &old), "sealing-key-missing");
	seal_destroy(seal);
}

/* --- with rows --- */

static void put_row(struct bench *b, struct seal *seal, unsigned number)
{
	struct factor_row row = { .uuid = { { (unsigned char)number,
					      (unsigned char)(number >> 8) } },
				  .user_id = world_user(b->w, "bob"),
				  .method = FACTOR_TOTP,
				  .name = "app",
				  .version = 1,
				  .confirmed_s = 5,
				  .created_s = 5 };

	ok(b->w, seal_close(seal, "totp", &row.uuid, "secret", 6, b->w->arena, &row.sealed,
			    &row.sealed_size, &row.key_id, &b->w->err));
	ok(b->w, store_begin(b->w->store, &b->w->err));
	ok(b->w, store_factor_insert(b->w->store, &row, &b->w->err));
	ok(b->w, store_commit(b->w->store, &b->w->err));
}

static void check_rows(struct bench *b, struct seal *seal, unsigned char count, int64_t key_id)
{
	for (unsigned char i = 1; i <= count; i++) {
		const struct uuid uuid = { { i } };
		struct factor_row row;

		ok(b->w, store_factor_get(b->w->store, &uuid, b->w->arena, &row, &b->w->err));
		assert_int_equal(row.key_id, key_id);
		assert_int_equal(row.version, 1);
		ok(b->w, open_text(b, seal, "totp", &uuid,
				   &(struct sealed){ row.sealed, row.sealed_size, 0 }));
	}
}

static void test_rotate(void **state)
{
	struct bench *b = *state;
	struct seal *seal = open_seal(b, true), *fresh;
	struct seal_key keys[SEAL_KEYS_MAX];
	struct reseal_outcome outcome;
	int64_t before = seal_key_id(seal), after;
	size_t forgotten;

	/* More than one batch. */
	for (unsigned char i = 1; i <= 250; i++)
		put_row(b, seal, i);
	ok(b->w, seal_rotate(seal, b->w->changer, &root, &after, &b->w->err));
	assert_int_not_equal(after, before);
	assert_int_equal(seal_key_id(seal), after);
	check_rows(b, seal, 250, before);
	/* Used: it stays. */
	ok(b->w, seal_forget_unused(seal, b->w->changer, &root, &forgotten, &b->w->err));
	assert_int_equal(forgotten, 0);
	ok(b->w, seal_reseal(seal, b->w->changer, &root, NULL, &outcome, &b->w->err));
	assert_int_equal(outcome.resealed, 250);
	assert_int_equal(outcome.unreadable, 0);
	assert_int_equal(outcome.key_id, after);
	check_rows(b, seal, 250, after);
	ok(b->w, seal_reseal(seal, b->w->changer, &root, NULL, &outcome, &b->w->err));
	assert_int_equal(outcome.resealed, 0);
	ok(b->w, seal_forget_unused(seal, b->w->changer, &root, &forgotten, &b->w->err));
	assert_int_equal(forgotten, 1);
	fresh = open_seal(b, true);
	assert_int_equal(seal_keys(fresh, keys), 1);
	assert_int_equal(keys[0].id, after);
	check_rows(b, fresh, 250, after);
	seal_destroy(fresh);
	seal_destroy(seal);
}

static void test_rotate_bounds(void **state)
{
	struct bench *b = *state;
	struct seal *seal = open_seal(b, true);
	int64_t key;
	size_t forgotten;

	for (int i = 1; i < SEAL_KEYS_MAX; i++)
		ok(b->w, seal_rotate(seal, b->w->changer, &root, &key, &b->w->err));
	assert_int_equal(seal_rotate(seal, b->w->changer, &root, &key, &b->w->err), -1);
	assert_int_equal(b->w->err.code, ERR_TOO_LARGE);
	ok(b->w, seal_forget_unused(seal, b->w->changer, &root, &forgotten, &b->w->err));
	assert_int_equal(forgotten, SEAL_KEYS_MAX - 1);
	seal_destroy(seal);
	/* A file of somebody else is not written. */
	seal = open_seal(b, false);
	refused(b, seal_rotate(seal, b->w->changer, &root, &key, &b->w->err),
		"sealing-key-not-ours");
	refused(b, seal_forget_unused(seal, b->w->changer, &root, &forgotten, &b->w->err),
		"sealing-key-not-ours");
	assert_false(seal_is_own(seal));
	seal_destroy(seal);
}

/* What cannot be opened stays, and keeps nothing else from being sealed anew. */
static void test_reseal_unreadable(void **state)
{
	struct bench *b = *state;
	struct reseal_outcome outcome;
	struct seal *seal;

	write_keys(b, KEY_A "\n");
	seal = open_seal(b, true);
	put_row(b, seal, 1);
	write_keys(b, KEY_B "\n");
	ok(b->w, seal_reload(seal, b->path, true, &b->w->err));
	put_row(b, seal, 2);
	ok(b->w, seal_rotate(seal, b->w->changer, &root, &outcome.key_id, &b->w->err));
	ok(b->w, seal_reseal(seal, b->w->changer, &root, NULL, &outcome, &b->w->err));
	assert_int_equal(outcome.resealed, 1);
	assert_int_equal(outcome.unreadable, 1);
	seal_destroy(seal);
}

struct rotating {
	struct bench *b;
	struct seal *seal;
	struct err err;
	unsigned rotated;
};

/* A new key after the first batch. */
static void rotate_once(void *context, size_t resealed)
{
	struct rotating *rotating = context;
	struct changer *changer = rotating->b->w->changer;
	int64_t key;

	assert_in_range(resealed, 1, 250 + 200);
	if (rotating->rotated++ == 0)
		ok(rotating->b->w,
		   seal_rotate(rotating->seal, changer, &root, &key, &rotating->b->w->err));
}

static void test_key_between_batches(void **state)
{
	struct bench *b = *state;
	struct seal *seal = open_seal(b, true);
	struct rotating rotating = { .b = b, .seal = seal };
	const struct reseal_progress progress = { .resealed = rotate_once, .context = &rotating };
	struct reseal_outcome outcome;
	size_t forgotten;
	int64_t key;

	for (unsigned char i = 1; i <= 250; i++)
		put_row(b, seal, i);
	ok(b->w, seal_rotate(seal, b->w->changer, &root, &key, &b->w->err));
	ok(b->w, seal_reseal(seal, b->w->changer, &root, &progress, &outcome, &b->w->err));
	assert_true(rotating.rotated > 1);
	assert_int_equal(outcome.key_id, seal_key_id(seal));
	assert_int_equal(outcome.unreadable, 0);
	/* Those of the first batch twice. */
	assert_int_equal(outcome.resealed, 250 + 200);
	check_rows(b, seal, 250, seal_key_id(seal));
	ok(b->w, seal_forget_unused(seal, b->w->changer, &root, &forgotten, &b->w->err));
	assert_int_equal(forgotten, 2);
	seal_destroy(seal);
}

static void *rotate_often(void *context)
{
	struct rotating *rotating = context;
	struct changer *changer = rotating->b->w->changer;

	for (int i = 0; i < 12; i++) {
		size_t forgotten;
		int64_t key;

		if (seal_rotate(rotating->seal, changer, &root, &key, &rotating->err) < 0 ||
		    seal_forget_unused(rotating->seal, changer, &root, &forgotten, &rotating->err) <
			    0)
			break;
	}
	return NULL;
}

/* Keys that come meanwhile make nothing unreadable; nothing is left under one of before. */
static void test_reseal_while_keys_come(void **state)
{
	struct bench *b = *state;
	struct seal *seal = open_seal(b, true);
	struct rotating rotating = { .b = b, .seal = seal };
	struct reseal_outcome outcome;
	pthread_t thread;

	for (unsigned i = 1; i <= 600; i++)
		put_row(b, seal, i);
	assert_int_equal(pthread_create(&thread, NULL, rotate_often, &rotating), 0);
	for (int i = 0; i < 12; i++) {
		ok(b->w, seal_reseal(seal, b->w->changer, &root, NULL, &outcome, &b->w->err));
		assert_int_equal(outcome.unreadable, 0);
	}
	pthread_join(thread, NULL);
	if (rotating.err.code != ERR_NONE)
		fail_msg("%s", rotating.err.text);
	ok(b->w, seal_reseal(seal, b->w->changer, &root, NULL, &outcome, &b->w->err));
	assert_int_equal(outcome.key_id, seal_key_id(seal));
	assert_int_equal(outcome.unreadable, 0);
	seal_destroy(seal);
}

static void test_who_may(void **state)
{
	struct bench *b = *state;
	struct seal *seal = open_seal(b, true);
	struct actor bob = { .name = "user:bob",
			     .request = "",
			     .is_person = true,
			     .limited = true,
			     .user_id = world_user(b->w, "bob") };
	struct reseal_outcome outcome;
	int64_t key, before = seal_key_id(seal);
	size_t forgotten;

	refused(b, seal_rotate(seal, b->w->changer, &bob, &key, &b->w->err), "not-allowed");
	refused(b, seal_forget_unused(seal, b->w->changer, &bob, &forgotten, &b->w->err),
		"not-allowed");
	refused(b, seal_reseal(seal, b->w->changer, &bob, NULL, &outcome, &b->w->err),
		"not-allowed");
	assert_int_equal(seal_key_id(seal), before);
	seal_destroy(seal);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_round_trip),
		TEST(test_key_files),
		TEST(test_credential),
		TEST(test_reload),
		TEST(test_rotate),
		TEST(test_rotate_bounds),
		TEST(test_who_may),
		TEST(test_reseal_unreadable),
		TEST(test_key_between_batches),
		TEST(test_reseal_while_keys_come),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
