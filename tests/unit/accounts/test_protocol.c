/* The messages of the accounts helper: both ways, every cut, every bound; names and texts. */
#include <rolebridge/accounts/protocol.h>

#include <string.h>

#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

#include "../base/cmocka_all.h"

static const struct uuid user = { { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 } };
static const char *const groups[] = { "staff", "sales" };

static struct accounts_ensure sample(void)
{
	return (struct accounts_ensure){
		.user = user,
		.name = "anna",
		.uid = 70001,
		.gecos = "Änna",
		.shell = "/bin/sh",
		.home = "",
		.primary = "users",
		.groups = groups,
		.group_count = ARRAY_LEN(groups),
		.enabled = true,
	};
}

/* The one frame in out, as a stream would give it. */
static struct message only_frame(const struct strbuf *out)
{
	struct reader in = reader_init(out->data, out->size);
	uint32_t size = get_u32(&in);
	uint16_t type = get_u16(&in);

	assert_false(strbuf_failed(out));
	assert_int_equal(size, reader_left(&in) + 2);
	return (struct message){ .type = type, .body = in };
}

static void test_ensure(void **state)
{
	AUTO(strbuf) struct strbuf out = STRBUF(ACCOUNTS_REQUEST_MAX);
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	struct accounts_ensure ensure = sample(), got = { 0 };
	struct err err;

	(void)state;
	accounts_put_ensure(&out, &ensure);

	struct message message = only_frame(&out);

	assert_int_equal(accounts_get_ensure(&message, arena, &got, &err), 0);
	assert_memory_equal(got.user.byte, user.byte, sizeof(user.byte));
	assert_string_equal(got.name, "anna");
	assert_int_equal(got.uid, 70001);
	assert_string_equal(got.gecos, "Änna");
	assert_string_equal(got.shell, "/bin/sh");
	assert_string_equal(got.home, "");
	assert_string_equal(got.primary, "users");
	assert_int_equal(got.group_count, 2);
	assert_string_equal(got.groups[1], "sales");
	assert_true(got.enabled);
}

/* Every cut and one byte more is refused and leaves the result alone. */
static void check_cuts(const struct strbuf *out,
		       int (*get)(const struct message *message, struct arena *arena))
{
	struct message whole = only_frame(out);
	size_t size = reader_left(&whole.body);
	unsigned char more[4096];

	assert_true(size < sizeof(more));
	memcpy(more, whole.body.at, size);
	more[size] = 0;
	for (size_t cut = 0; cut <= size + 1; cut++) {
		AUTO(arena) struct arena *arena = arena_create(1 << 20);
		struct message message = { .type = whole.type, .body = reader_init(more, cut) };

		assert_int_equal(get(&message, arena), cut == size ? 0 : -1);
	}
	whole.type++;

	AUTO(arena) struct arena *arena = arena_create(1 << 20);

	assert_int_equal(get(&whole, arena), -1);
}

static int get_ensure(const struct message *message, struct arena *arena)
{
	struct accounts_ensure got = { .name = "untouched" };
	int result = accounts_get_ensure(message, arena, &got, NULL);

	assert_true(result == 0 || strcmp(got.name, "untouched") == 0);
	return result;
}

static int get_hello(const struct message *message, struct arena *arena)
{
	uint32_t version;

	(void)arena;
	return accounts_get_hello(message, &version, NULL);
}

static int get_delete(const struct message *message, struct arena *arena)
{
	struct uuid got;

	(void)arena;
	return accounts_get_user(message, &got, NULL);
}

static int get_list(const struct message *message, struct arena *arena)
{
	struct accounts_list list;

	(void)arena;
	return accounts_get_list(message, &list, NULL);
}

static int get_welcome(const struct message *message, struct arena *arena)
{
	struct accounts_welcome welcome;

	(void)arena;
	return accounts_get_welcome(message, &welcome, NULL);
}

static int get_result(const struct message *message, struct arena *arena)
{
	struct accounts_result got;

	return accounts_get_result(message, arena, &got, NULL);
}

static int get_page(const struct message *message, struct arena *arena)
{
	struct accounts_page got;

	return accounts_get_page(message, arena, &got, NULL);
}

static void put_sample_page(struct strbuf *out)
{
	const struct accounts_entry entries[] = {
		{ .user = user,
		  .name = "anna",
		  .uid = 1,
		  .state = ACCOUNTS_LOCKED,
		  .gecos = "A",
		  .shell = "/bin/sh",
		  .home = "/home/anna",
		  .primary = "",
		  .groups = groups,
		  .group_count = 2 },
		{ .user = user,
		  .name = "bea",
		  .uid = 2,
		  .state = ACCOUNTS_MISSING,
		  .gecos = "",
		  .shell = "",
		  .home = "",
		  .primary = "" },
	};

	accounts_put_page(out, &(struct accounts_page){ entries, ARRAY_LEN(entries), true });
}

static void test_cuts(void **state)
{
	struct accounts_ensure ensure = sample();

	(void)state;
	for (unsigned i = 0; i < 7; i++) {
		AUTO(strbuf) struct strbuf out = STRBUF(4096);
		static int (*const gets[])(const struct message *message, struct arena *arena) = {
			get_ensure,  get_hello,	 get_delete, get_list,
			get_welcome, get_result, get_page
		};

		switch (i) {
		case 0: accounts_put_ensure(&out, &ensure); break;
		case 1: accounts_put_hello(&out, 1); break;
		case 2: accounts_put_user(&out, ACCOUNTS_DELETE, &user); break;
		case 3: accounts_put_list(&out, &(struct accounts_list){ user, 256 }); break;
		case 4: accounts_put_welcome(&out, &(struct accounts_welcome){ 1, 2, 3, 4 }); break;
		case 5:
			accounts_put_result(&out, &(struct accounts_result){ ACCOUNTS_AGAIN, false,
									     7, "busy", "later" });
			break;
		default: put_sample_page(&out);
		}
		check_cuts(&out, gets[i]);
	}
}

static void test_answers(void **state)
{
	AUTO(strbuf) struct strbuf out = STRBUF(ACCOUNTS_ANSWER_MAX);
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	struct accounts_page page;
	struct accounts_result result;

	(void)state;
	put_sample_page(&out);

	struct message message = only_frame(&out);

	assert_int_equal(accounts_get_page(&message, arena, &page, NULL), 0);
	assert_int_equal(page.count, 2);
	assert_true(page.more);
	assert_int_equal(page.entries[0].state, ACCOUNTS_LOCKED);
	assert_string_equal(page.entries[0].groups[0], "staff");
	assert_string_equal(page.entries[1].name, "bea");
	strbuf_clear(&out);
	accounts_put_result(
		&out, &(struct accounts_result){ ACCOUNTS_REFUSED, false, 0, "name-taken", "no" });
	message = only_frame(&out);
	assert_int_equal(accounts_get_result(&message, arena, &result, NULL), 0);
	assert_int_equal(result.status, ACCOUNTS_REFUSED);
	assert_string_equal(result.code, "name-taken");
}

/* Done with a code, or refused without one, is no result. */
static void test_result_says_one_thing(void **state)
{
	static const struct accounts_result wrong[] = {
		{ ACCOUNTS_DONE, true, 1, "busy", "" },
		{ ACCOUNTS_REFUSED, false, 1, "", "because" },
		{ (enum accounts_status)3, false, 1, "busy", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		AUTO(strbuf) struct strbuf out = STRBUF(4096);
		AUTO(arena) struct arena *arena = arena_create(1 << 20);

		accounts_put_result(&out, &wrong[i]);

		struct message message = only_frame(&out);

		assert_int_equal(get_result(&message, arena), -1);
	}
}

static const struct {
	const char *name;
	bool valid;
} names[] = {
	{ "a", true },
	{ "anna", true },
	{ "anna.b-c_d9", true },
	{ "a.b", true },
	{ "", false },
	{ "Anna", false },
	{ "9a", false },
	{ "_a", false },
	{ "-a", false },
	{ ".", false },
	{ "..", false },
	{ "a..b", false },
	{ "a.", false },
	{ "a-", false },
	{ "a/b", false },
	{ "a:b", false },
	{ "a b", false },
	{ "a\n", false },
	{ "a,b", false },
	{ "a$", false },
	{ "\xc3\xa4", false },
	{ "a\xff", false },
	{ "a\\", false },
	{ "a@b", false },
	{ "abcdefghijklmnopqrstuvwxyz012345", true },
	{ "abcdefghijklmnopqrstuvwxyz0123456", false },
};

static void test_names(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (accounts_name_is_valid(names[i].name) != names[i].valid)
			fail_msg("name '%s'", names[i].name);
}

static const struct {
	const char *path;
	bool valid;
} paths[] = {
	{ "/bin/sh", true },	{ "/home", true },    { "/a.b/c-d/e_f/+g", true },
	{ "", false },		{ "/", false },	      { "bin/sh", false },
	{ "/bin/", false },	{ "//bin", false },   { "/bin//sh", false },
	{ "/./bin", false },	{ "/../bin", false }, { "/bin/..", false },
	{ "/bin/.", false },	{ "/a b", false },    { "/a\n", false },
	{ "/a:b", false },	{ "/...", true },     { "/a/..b", true },
	{ "/\xc3\xa4", false },
};

static void test_paths(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		if (accounts_path_is_valid(paths[i].path) != paths[i].valid)
			fail_msg("path '%s'", paths[i].path);
}

static void test_texts(void **state)
{
	(void)state;
	assert_true(accounts_text_is_valid("", 10));
	assert_true(accounts_text_is_valid("Änna Ölm, room 7", 255));
	assert_true(accounts_text_is_valid("0123456789", 10));
	assert_false(accounts_text_is_valid("0123456789a", 10));
	assert_false(accounts_text_is_valid("a:b", 10));
	assert_false(accounts_text_is_valid("a,pri=-20", 10));
	assert_false(accounts_text_is_valid("a\nb", 10));
	assert_false(accounts_text_is_valid("a\x7f", 10));
	assert_false(accounts_text_is_valid("a\xc2\x85", 10));	   /* next line */
	assert_false(accounts_text_is_valid("a\xe2\x80\xa8", 10)); /* line separator */
	assert_false(accounts_text_is_valid("a\xff", 10));
}

static void test_codes(void **state)
{
	size_t count = 0;

	(void)state;
	for (const struct accounts_code *row = accounts_codes; row->code; row++, count++) {
		assert_int_not_equal(row->status, ACCOUNTS_DONE);
		assert_true(*row->what);
		assert_true(row == accounts_codes || strcmp(row[-1].code, row->code) < 0);
		assert_ptr_equal(accounts_code_find(row->code), row);
	}
	assert_true(count > 20);
	assert_null(accounts_code_find("nothing"));
	assert_string_equal(accounts_state_name(ACCOUNTS_FOREIGN), "foreign");
	assert_string_equal(accounts_state_name((enum accounts_state)99), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ensure),	cmocka_unit_test(test_cuts),
		cmocka_unit_test(test_answers), cmocka_unit_test(test_result_says_one_thing),
		cmocka_unit_test(test_names),	cmocka_unit_test(test_paths),
		cmocka_unit_test(test_texts),	cmocka_unit_test(test_codes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
