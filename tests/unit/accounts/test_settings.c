/* accounts.conf: what is read, what is refused and how it is said; and what the helper judges by it. */
#include "../../../daemon/accounts/settings.h"

#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/util.h>

#include "../../../daemon/accounts/judge.h"
#include "../base/cmocka_all.h"

static void test_defaults(void **state)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	struct settings s;

	(void)state;
	assert_int_equal(settings_parse("conf", "", arena, &s, NULL), 0);
	assert_string_equal(s.core_user, "rolebridge");
	assert_int_equal(s.uid_min, 70000);
	assert_int_equal(s.home_mode, 0700);
	assert_true(s.create_home && s.end_sessions && !s.create_groups);
	assert_int_equal(s.allowed_groups.count, 0);
	assert_int_equal(s.delete_grace_s, 30 * 86400);
	assert_int_equal(s.home_on_delete, HOME_KEEP);
}

/* What it prints is what it reads. */
static void test_printed(void **state)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	AUTO(strbuf) struct strbuf text = STRBUF(1 << 16);
	AUTO(strbuf) struct strbuf bare = STRBUF(1 << 16);
	struct settings s;

	(void)state;
	settings_print(&text);
	for (const char *at = strbuf_text(&text); *at; at += strcspn(at, "\n") + 1) {
		bool key = at[0] == '#' && at[1] != ' ';

		strbuf_printf(&bare, "%.*s\n", (int)strcspn(at + key, "\n"), at + key);
	}
	assert_int_equal(settings_parse("conf", strbuf_text(&text), arena, &s, NULL), 0);
	assert_int_equal(settings_parse("conf", strbuf_text(&bare), arena, &s, NULL), 0);
	assert_int_equal(s.command_timeout_s, 120);
}

static void test_all_kinds(void **state)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	struct settings s;
	bool by_name;

	(void)state;
	assert_int_equal(settings_parse("conf",
					"# comment\n\n  core_user=1001 \r\n\tuid_min = 80000\n"
					"uid_max=80010\nhome_mode = 0750\nend_sessions = no\n"
					"allowed_groups =  app-*   sudo\ndelete_grace = 2h\n"
					"home_on_delete = archive\nprotected_names = boss",
					arena, &s, NULL),
			 0);
	assert_string_equal(s.core_user, "1001");
	assert_int_equal(s.uid_max, 80010);
	assert_int_equal(s.home_mode, 0750);
	assert_false(s.end_sessions);
	assert_int_equal(s.delete_grace_s, 7200);
	assert_int_equal(s.home_on_delete, HOME_ARCHIVE);
	assert_true(settings_allow_group(&s, "sudo", &by_name) && by_name);
	assert_true(settings_allow_group(&s, "app-x", &by_name) && !by_name);
	assert_true(settings_allow_group(&s, "app-", &by_name));
	assert_false(settings_allow_group(&s, "app", &by_name));
	assert_false(settings_allow_group(&s, "adm", &by_name));
	assert_true(settings_protect_name(&s, "boss"));
	assert_true(settings_protect_name(&s, "root"));
	assert_true(settings_protect_name(&s, "systemd-x"));
	assert_false(settings_protect_name(&s, "bosses"));
}

static const struct {
	const char *name, *text, *says;
} wrong[] = {
	{ "unknown key", "\nuid_mim = 5",
	  "conf:2: unknown key 'uid_mim', did you mean 'uid_min'?" },
	{ "no value", "uid_min", "conf:1: 'key = value' expected" },
	{ "twice", "create_home = yes\ncreate_home = no", "conf:2: 'create_home' is given twice" },
	{ "not a number", "uid_min = x", "conf:1: uid_min: 'x' is not a number" },
	{ "number with a rest", "uid_min = 70000x", "'70000x' is not a number" },
	{ "negative", "uid_min = -1", "'-1' is not a number" },
	{ "system uid", "uid_min = 999", "'999' is not within 1000 and 2147483646" },
	{ "huge", "uid_max = 99999999999999999999", "is not a number" },
	{ "range upside down", "uid_min = 80000\nuid_max = 79999", "uid_min is above uid_max" },
	{ "nobody in range", "uid_min = 60000\nuid_max = 70000", "belong to the system" },
	{ "ranges meet", "gid_min = 65600\ngid_max = 70000", "meets the range of uids" },
	{ "neither yes nor no", "create_home = true", "'true' is neither yes nor no" },
	{ "mode", "home_mode = 0788", "is not a mode" },
	{ "mode of others", "home_mode = 0600", "is not within 0700 and 0777" },
	{ "time", "delete_grace = 5w", "is not a time" },
	{ "time too long", "delete_grace = 99999999999999999d", "is not a time" },
	{ "word", "home_on_delete = burn", "none of keep, archive, remove" },
	{ "relative path", "home_base = home", "not an absolute, plain path" },
	{ "path with dots", "home_base = /home/../etc", "not an absolute, plain path" },
	{ "empty path", "home_base =", "not an absolute, plain path" },
	{ "empty text", "core_user =", "a value is missing" },
	{ "default shell not allowed", "default_shell = /bin/zsh", "is not in allowed_shells" },
	{ "relative shell", "allowed_shells = bash /bin/bash", "not an absolute, plain path" },
	{ "group", "allowed_groups = a:b", "cannot be a group's name" },
	{ "any group", "allowed_groups = *", "cannot be a group's name" },
	{ "star in the middle", "allowed_groups = a*b", "cannot be a group's name" },
	{ "long group", "allowed_groups = abcdefghijklmnopqrstuvwxyz0123456789abcdefghij",
	  "cannot be a group" },
};

static void test_wrong(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		AUTO(arena) struct arena *arena = arena_create(1 << 20);
		struct settings s = { .core_user = "untouched" };
		struct err err = { 0 };

		if (settings_parse("conf", wrong[i].text, arena, &s, &err) == 0)
			fail_msg("%s", wrong[i].name);
		if (!strstr(err.text, wrong[i].says))
			fail_msg("%s: %s", wrong[i].name, err.text);
		assert_string_equal(s.core_user, "untouched");
	}
}

static void test_no_memory(void **state)
{
	bool failed = true;

	(void)state;
	for (long n = 0; failed; n++) {
		AUTO(arena) struct arena *arena = arena_create(1 << 20);
		struct settings s;

		alloc_fail_after(n);
		failed = settings_parse("conf", "allowed_groups = a b c\n", arena, &s, NULL) < 0;
		alloc_fail_after(-1);
		assert_true(n < 1000);
	}
}

static void test_judged(void **state)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	static const char *const groups[] = { "app-b", "app-a", "app-b" };
	struct accounts_ensure wanted = { .name = "anna",
					  .gecos = "",
					  .shell = "",
					  .home = "",
					  .primary = "",
					  .groups = groups,
					  .group_count = 3 };
	struct settings s;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(settings_parse("conf", "allowed_groups = app-*", arena, &s, NULL), 0);
	assert_int_equal(judge_account(&s, arena, &wanted, &err), 0);
	assert_string_equal(wanted.shell, "/bin/bash");
	assert_string_equal(wanted.home, "/home/anna");
	assert_int_equal(wanted.group_count, 2);
	assert_string_equal(wanted.groups[0], "app-a");
	assert_int_equal(judge_group(&s, "app-a", 999, &err), -1);
	assert_string_equal(err.reason, "group-not-allowed");
	assert_int_equal(judge_group(&s, "app-a", 1000, &err), 0);
	wanted.uid = 100000;
	assert_int_equal(judge_account(&s, arena, &wanted, &err), -1);
	assert_string_equal(err.reason, "uid-outside-range");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),  cmocka_unit_test(test_printed),
		cmocka_unit_test(test_all_kinds), cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_no_memory), cmocka_unit_test(test_judged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
