/* Tickets: round trips, what is not ours, each kind for itself, hand-offs once. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rolebridge/base/util.h>

#include "ticket_world.h"

#define NOW 1800000000

#define refused(world, call, wanted) \
	do { \
		err_clear(&(world)->err); \
		assert_int_equal((call), -1); \
		assert_string_equal(err_reason(&(world)->err), (wanted)); \
	} while (0)

static struct pending_login a_login(void)
{
	return (struct pending_login){ .request_id = "_0123456789abcdef",
				       .source = "corp",
				       .return_url = "https://a.example/x?y",
				       .test = true,
				       .test_session_id = 77,
				       .session_id = 78,
				       .created_s = NOW,
				       .until_s = NOW + 600 };
}

static const char *sealed_login(struct ticket_world *world)
{
	AUTO(strbuf) struct strbuf out = STRBUF(4096);
	struct pending_login login = a_login();

	assert_int_equal(ticket_seal_login(world->tickets, &login, &out, &world->err), 0);
	return arena_strdup(world->arena, strbuf_text(&out));
}

static const char *sealed_logout(struct ticket_world *world)
{
	AUTO(strbuf) struct strbuf out = STRBUF(4096);
	struct pending_logout logout = { "_1", "corp", "", NOW + 600 };

	assert_int_equal(ticket_seal_logout(world->tickets, &logout, &out, &world->err), 0);
	return arena_strdup(world->arena, strbuf_text(&out));
}

static const char *sealed_handoff(struct ticket_world *world, int64_t until_s)
{
	AUTO(strbuf) struct strbuf out = STRBUF(4096);
	struct handoff handoff = { 5, "a.example", "https://a.example/x", "00ff", until_s };

	assert_int_equal(ticket_seal_handoff(world->tickets, &handoff, &out, &world->err), 0);
	return arena_strdup(world->arena, strbuf_text(&out));
}

static int open_login(struct ticket_world *world, const char *text, int64_t now_s,
		      struct pending_login *ret_login)
{
	return ticket_open_login(world->tickets, text, now_s, world->arena, ret_login, &world->err);
}

static int open_handoff(struct ticket_world *world, const char *text, int64_t now_s)
{
	struct handoff handoff;

	return ticket_open_handoff(world->tickets, text, now_s, world->arena, &handoff,
				   &world->err);
}

static void test_login(void **state)
{
	struct ticket_world *world = *state;
	const char *text = sealed_login(world);
	struct pending_login login;

	assert_int_equal(open_login(world, text, NOW + 599, &login), 0);
	assert_string_equal(login.request_id, "_0123456789abcdef");
	assert_string_equal(login.source, "corp");
	assert_string_equal(login.return_url, "https://a.example/x?y");
	assert_true(login.test);
	assert_int_equal(login.test_session_id, 77);
	assert_int_equal(login.session_id, 78);
	assert_int_equal(login.created_s, NOW);
	assert_int_equal(login.until_s, NOW + 600);
	refused(world, open_login(world, text, NOW + 600, &login), "expired");
	assert_int_equal(world->err.code, ERR_DENIED);
	/* Two of the same are not alike. */
	assert_string_not_equal(text, sealed_login(world));
}

static void test_logout(void **state)
{
	struct ticket_world *world = *state;
	const char *text = sealed_logout(world);
	struct pending_logout logout;

	assert_int_equal(
		ticket_open_logout(world->tickets, text, NOW, world->arena, &logout, &world->err),
		0);
	assert_string_equal(logout.request_id, "_1");
	assert_string_equal(logout.source, "corp");
	assert_string_equal(logout.return_url, "");
	refused(world,
		ticket_open_logout(world->tickets, text, NOW + 600, world->arena, &logout,
				   &world->err),
		"expired");
}

static void test_kinds_are_apart(void **state)
{
	struct ticket_world *world = *state;
	struct pending_login login;
	struct pending_logout logout;
	const char *texts[] = { sealed_login(world), sealed_logout(world),
				sealed_handoff(world, NOW + 30) };

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		if (i != 0)
			refused(world, open_login(world, texts[i], NOW, &login), "invalid");
		if (i != 1)
			refused(world,
				ticket_open_logout(world->tickets, texts[i], NOW, world->arena,
						   &logout, &world->err),
				"invalid");
		if (i != 2)
			refused(world, open_handoff(world, texts[i], NOW), "invalid");
	}
}

/* Any other character anywhere, any cut, anything added. */
static void test_changed(void **state)
{
	struct ticket_world *world = *state;
	const char *text = sealed_login(world);
	size_t size = strlen(text);
	char *copy = arena_strndup(world->arena, text, size + 1);
	struct pending_login login;

	for (size_t i = 0; i < size; i++) {
		copy[i] = text[i] == 'A' ? 'B' : 'A';
		refused(world, open_login(world, copy, NOW, &login), "invalid");
		copy[i] = text[i];
	}
	/* Some decoders look at seven bits only, or fold what is not in the alphabet into it. */
	for (size_t i = 0; i < size; i++)
		for (int c = 1; c < 256; c++)
			if ((char)c != text[i]) {
				copy[i] = (char)c;
				if (open_login(world, copy, NOW, &login) == 0)
					fail_msg("byte %d at %zu is taken for '%c'", c, i, text[i]);
				copy[i] = text[i];
			}
	for (size_t i = 0; i < size; i++) {
		copy[i] = 0;
		refused(world, open_login(world, copy, NOW, &login), "invalid");
		copy[i] = text[i];
	}
	for (const char *c = "A=\n %"; *c; c++) {
		copy[size] = *c;
		copy[size + 1] = 0;
		refused(world, open_login(world, copy, NOW, &login), "invalid");
	}
	copy[size] = 0;
	assert_int_equal(open_login(world, copy, NOW, &login), 0);
}

static void test_not_tickets(void **state)
{
	struct ticket_world *world = *state;
	struct pending_login login;
	static char large[100000];
	const char *texts[] = { "", "A", "AAAA", "=", "....", large };

	memset(large, 'A', sizeof(large) - 1);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		refused(world, open_login(world, texts[i], NOW, &login), "invalid");
}

static void test_too_large(void **state)
{
	struct ticket_world *world = *state;
	AUTO(strbuf) struct strbuf out = STRBUF(8192);
	struct pending_login login = a_login(), back;
	char url[3001];
	size_t fits = 0;

	strbuf_puts(&out, "before");
	for (size_t size = 0; size < sizeof(url); size += 100) {
		memset(url, 'x', size);
		url[size] = 0;
		login.return_url = url;
		err_clear(&world->err);
		strbuf_truncate(&out, 6);
		if (ticket_seal_login(world->tickets, &login, &out, &world->err) == 0) {
			fits = size;
			assert_true(out.size - 6 <= 3072);
			assert_int_equal(open_login(world, strbuf_text(&out) + 6, NOW, &back), 0);
			assert_string_equal(back.return_url, url);
			continue;
		}
		assert_int_equal(world->err.code, ERR_TOO_LARGE);
		assert_string_equal(strbuf_text(&out), "before");
	}
	assert_in_range(fits, 2048, 2300);
}

/* ----------------------------------------------------------------- hand-off */

static void test_handoff(void **state)
{
	struct ticket_world *world = *state;
	const char *text = sealed_handoff(world, NOW + 30);
	struct handoff handoff;

	assert_int_equal(
		ticket_open_handoff(world->tickets, text, NOW, world->arena, &handoff, &world->err),
		0);
	assert_int_equal(handoff.session_id, 5);
	assert_string_equal(handoff.host, "a.example");
	assert_string_equal(handoff.return_url, "https://a.example/x");
	assert_string_equal(handoff.nonce_hash, "00ff");
	for (int64_t after = 0; after < 30; after++)
		refused(world, open_handoff(world, text, NOW + after), "used");
	assert_int_equal(world->err.code, ERR_CONFLICT);
	refused(world, open_handoff(world, text, NOW + 30), "expired");
}

/* Used codes are forgotten some day, but never while they could be opened. */
static void test_handoff_never_twice(void **state)
{
	struct ticket_world *world = *state;
	const char *texts[200];
	int64_t used_s[200];

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		used_s[i] = NOW + (int64_t)i * 3;
		texts[i] = sealed_handoff(world, used_s[i] + 30);
		assert_int_equal(open_handoff(world, texts[i], used_s[i]), 0);
		for (size_t j = 0; j <= i; j++)
			assert_int_equal(open_handoff(world, texts[j], used_s[i]), -1);
	}
}

static void test_handoff_after_a_pause(void **state)
{
	struct ticket_world *world = *state;

	for (int64_t pause = 1; pause < 200; pause += 7) {
		int64_t now_s = NOW + pause * 1000;
		const char *first = sealed_handoff(world, now_s + 30);
		const char *second = sealed_handoff(world, now_s + pause + 30);

		assert_int_equal(open_handoff(world, first, now_s), 0);
		assert_int_equal(open_handoff(world, second, now_s + pause), 0);
		assert_int_equal(open_handoff(world, first, now_s + pause), -1);
		refused(world, open_handoff(world, second, now_s + pause), "used");
	}
}

static void test_handoff_too_far_ahead(void **state)
{
	struct ticket_world *world = *state;

	refused(world, open_handoff(world, sealed_handoff(world, NOW + 3600), NOW), "expired");
}

/* A clock that steps back does not make a forgotten code good again. */
static void test_handoff_clock_back(void **state)
{
	struct ticket_world *world = *state;
	const char *text = sealed_handoff(world, NOW + 30);
	const char *later;

	assert_int_equal(open_handoff(world, text, NOW), 0);
	assert_int_equal(open_handoff(world, sealed_handoff(world, NOW + 1030), NOW + 1000), 0);
	refused(world, open_handoff(world, text, NOW), "invalid");
	later = sealed_handoff(world, NOW + 30);
	assert_int_equal(open_handoff(world, later, NOW), 0);
	refused(world, open_handoff(world, later, NOW), "used");
	/* Threads that asked the clock a moment before are not taken for that. */
	assert_int_equal(open_handoff(world, sealed_handoff(world, NOW + 28), NOW - 2), 0);
}

static void test_handoff_of_an_earlier_process(void **state)
{
	struct ticket_world *world = *state;
	const char *code = sealed_handoff(world, NOW + 30), *login = sealed_login(world);
	struct pending_login back;

	tickets_destroy(world->tickets);
	world->tickets = tickets_create(world->path, &world->err);
	assert_non_null(world->tickets);
	refused(world, open_handoff(world, code, NOW), "invalid");
	/* What may be used once by the store lives on. */
	assert_int_equal(open_login(world, login, NOW, &back), 0);
}

static void test_handoff_flood(void **state)
{
	struct ticket_world *world = *state;
	size_t opened = 0;

	for (size_t i = 0; i < 70000; i++) {
		arena_reset(world->arena);
		if (open_handoff(world, sealed_handoff(world, NOW + 30), NOW) == 0)
			opened++;
	}
	assert_int_equal(opened, 65536);
	assert_string_equal(err_reason(&world->err), "rate-limited");
	assert_int_equal(world->err.code, ERR_UNAVAILABLE);
	/* It ends by itself. */
	assert_int_equal(open_handoff(world, sealed_handoff(world, NOW + 130), NOW + 100), 0);
}

struct race {
	struct ticket_world *world;
	const char *text;
	atomic_int opened;
};

static void *race_open(void *context)
{
	struct race *race = context;
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	struct handoff handoff;

	if (ticket_open_handoff(race->world->tickets, race->text, NOW, arena, &handoff, NULL) == 0)
		atomic_fetch_add(&race->opened, 1);
	return NULL;
}

static void test_handoff_race(void **state)
{
	for (int round = 0; round < 50; round++) {
		struct race race = { .world = *state, .text = sealed_handoff(*state, NOW + 30) };
		pthread_t threads[4];

		for (size_t i = 0; i < ARRAY_LEN(threads); i++)
			assert_int_equal(pthread_create(&threads[i], NULL, race_open, &race), 0);
		for (size_t i = 0; i < ARRAY_LEN(threads); i++)
			pthread_join(threads[i], NULL);
		assert_int_equal(atomic_load(&race.opened), 1);
	}
}

/* --------------------------------------------------------------------- CSRF */

static void test_csrf(void **state)
{
	struct ticket_world *world = *state;
	char one[44], two[44];

	ticket_csrf(world->tickets, 1, one);
	ticket_csrf(world->tickets, 2, two);
	assert_int_equal(strlen(one), 43);
	assert_string_not_equal(one, two);
	assert_true(ticket_csrf_check(world->tickets, 1, one));
	assert_false(ticket_csrf_check(world->tickets, 2, one));
	assert_false(ticket_csrf_check(world->tickets, 1, ""));
	one[42] = one[42] == 'A' ? 'B' : 'A';
	assert_false(ticket_csrf_check(world->tickets, 1, one));
	one[42] = 0;
	assert_false(ticket_csrf_check(world->tickets, 1, one));
}

/* ------------------------------------------------------------------ key file */

static void write_key(struct ticket_world *world, size_t size, mode_t mode)
{
	static const char bytes[100] = "k";
	int fd;

	unlink(world->path);
	fd = open(world->path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, size), (ssize_t)size);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void test_key_file(void **state)
{
	struct ticket_world *world = *state;
	struct tickets *again;
	struct stat info;

	assert_int_equal(stat(world->path, &info), 0);
	assert_int_equal(info.st_mode & 07777, 0600);
	assert_int_equal(info.st_size, 32);
	static const struct {
		size_t size;
		mode_t mode;
	} bad[] = { { 31, 0600 }, { 33, 0600 }, { 0, 0600 }, { 32, 0640 }, { 32, 0604 } };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		write_key(world, bad[i].size, bad[i].mode);
		err_clear(&world->err);
		assert_null(tickets_create(world->path, &world->err));
		assert_int_equal(world->err.code, ERR_INVALID);
	}
	write_key(world, 32, 0400);
	again = tickets_create(world->path, &world->err);
	assert_non_null(again);
	tickets_destroy(again);
	if (geteuid() == 0) {
		assert_int_equal(chown(world->path, 12345, (gid_t)-1), 0);
		err_clear(&world->err);
		assert_null(tickets_create(world->path, &world->err));
		assert_int_equal(world->err.code, ERR_INVALID);
	}
	unlink(world->path);
	assert_null(tickets_create(world->folder, &world->err));
	assert_null(tickets_create("/nonexistent/folder/key", &world->err));
}

/* A key that was lost makes all before it void; another key is another daemon. */
static void test_new_key(void **state)
{
	struct ticket_world *world = *state;
	const char *text = sealed_login(world);
	struct pending_login login;

	tickets_destroy(world->tickets);
	unlink(world->path);
	world->tickets = tickets_create(world->path, &world->err);
	assert_non_null(world->tickets);
	refused(world, open_login(world, text, NOW, &login), "invalid");
}

/* A link of an invite holds which one and which sending, and nobody else makes one. */
static void test_invite(void **state)
{
	struct ticket_world *world = *state;
	const struct uuid invite = { { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 } };
	char first[TICKET_INVITE_SIZE], second[TICKET_INVITE_SIZE], bad[TICKET_INVITE_SIZE + 1];
	struct tickets *again;
	struct uuid opened;
	int64_t generation;

	ticket_invite(world->tickets, &invite, 1, first);
	ticket_invite(world->tickets, &invite, 0x01020304, second);
	assert_int_equal(strlen(first), TICKET_INVITE_SIZE - 1);
	assert_string_not_equal(first, second);
	assert_true(ticket_invite_open(world->tickets, second, &opened, &generation));
	assert_memory_equal(&opened, &invite, sizeof(invite));
	assert_int_equal(generation, 0x01020304);
	/* The same after a start: it is kept nowhere. */
	again = tickets_create(world->path, &world->err);
	assert_non_null(again);
	assert_true(ticket_invite_open(again, first, &opened, &generation));
	assert_int_equal(generation, 1);
	tickets_destroy(again);
	for (size_t i = 0; i < strlen(first); i++) {
		memcpy(bad, first, sizeof(first));
		bad[i] = bad[i] == 'A' ? 'B' : 'A';
		assert_false(ticket_invite_open(world->tickets, bad, &opened, &generation));
		bad[i] = (char)(first[i] | 0x80);
		assert_false(ticket_invite_open(world->tickets, bad, &opened, &generation));
		memcpy(bad, first, i);
		bad[i] = 0;
		assert_false(ticket_invite_open(world->tickets, bad, &opened, &generation));
	}
	snprintf(bad, sizeof(bad), "%sA", first);
	assert_false(ticket_invite_open(world->tickets, bad, &opened, &generation));
}

/* Links of resets look the same, and are never taken for those of invites. */
static void test_reset(void **state)
{
	struct ticket_world *world = *state;
	const struct uuid reset = { { 1, 2, 3 } };
	char invite[TICKET_INVITE_SIZE], text[TICKET_INVITE_SIZE];
	struct uuid opened;
	int64_t generation;

	ticket_invite(world->tickets, &reset, 1, invite);
	ticket_reset(world->tickets, &reset, 1, text);
	assert_true(ticket_reset_open(world->tickets, text, &opened, &generation));
	assert_memory_equal(&opened, &reset, sizeof(reset));
	assert_int_equal(generation, 1);
	assert_false(ticket_reset_open(world->tickets, invite, &opened, &generation));
	assert_false(ticket_invite_open(world->tickets, text, &opened, &generation));
	assert_false(ticket_login_link_open(world->tickets, text, &opened));
	assert_false(ticket_device_open(world->tickets, text, &opened));
	ticket_device(world->tickets, &reset, invite);
	assert_true(ticket_device_open(world->tickets, invite, &opened));
	assert_memory_equal(&opened, &reset, sizeof(reset));
	assert_false(ticket_login_link_open(world->tickets, invite, &opened));
	ticket_login_link(world->tickets, &reset, invite);
	assert_true(ticket_login_link_open(world->tickets, invite, &opened));
	assert_memory_equal(&opened, &reset, sizeof(reset));
	assert_false(ticket_invite_open(world->tickets, invite, &opened, &generation));
	assert_false(ticket_reset_open(world->tickets, invite, &opened, &generation));
	assert_false(ticket_device_open(world->tickets, invite, &opened));
	invite[30] = invite[30] == 'A' ? 'B' : 'A';
	assert_false(ticket_login_link_open(world->tickets, invite, &opened));
	text[20] = text[20] == 'A' ? 'B' : 'A';
	assert_false(ticket_reset_open(world->tickets, text, &opened, &generation));
}

#define TEST(function) \
	cmocka_unit_test_setup_teardown(function, ticket_world_set_up, ticket_world_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_login),
		TEST(test_invite),
		TEST(test_reset),
		TEST(test_logout),
		TEST(test_kinds_are_apart),
		TEST(test_changed),
		TEST(test_not_tickets),
		TEST(test_too_large),
		TEST(test_handoff),
		TEST(test_handoff_never_twice),
		TEST(test_handoff_after_a_pause),
		TEST(test_handoff_too_far_ahead),
		TEST(test_handoff_clock_back),
		TEST(test_handoff_of_an_earlier_process),
		TEST(test_handoff_flood),
		TEST(test_handoff_race),
		TEST(test_csrf),
		TEST(test_key_file),
		TEST(test_new_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
