/* What was told last of entries of a directory (told.h): which content is news, of which entry. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ldap.h>
#include <openldap.h>

#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/util.h>

#include "../../../daemon/source/ldap/told.h"

#define DN "uid=a,dc=example"
#define ID "11111111-0000-0000-0000-000000000000"

/* --- entries of a peer that says anything --- */

static LDAP *ld;
static int peer;

static void put(struct strbuf *out, unsigned char tag, const void *data, size_t size)
{
	assert_true(size < 0x10000);
	strbuf_putc(out, (char)tag);
	strbuf_putc(out, (char)0x82);
	strbuf_putc(out, (char)(size >> 8));
	strbuf_putc(out, (char)(size & 0xff));
	strbuf_append(out, data, size);
}

static void put_in(struct strbuf *out, unsigned char tag, const struct strbuf *content)
{
	put(out, tag, content->data, content->size);
}

/* attributes: "name:value", "name:value|value", several of them; "!" is no attribute. */
static LDAPMessage *entry(const char *dn, const char *const *attributes)
{
	AUTO(strbuf) struct strbuf list = STRBUF(1 << 16), body = STRBUF(1 << 16);
	AUTO(strbuf) struct strbuf message = STRBUF(1 << 16), wire = STRBUF(1 << 16);
	LDAPMessage *result = NULL;
	unsigned char id;
	int message_id = 0;

	for (; *attributes; attributes++) {
		AUTO(strbuf) struct strbuf one = STRBUF(1 << 16), values = STRBUF(1 << 16);
		const char *at = strchr(*attributes, ':');

		if (!at) {
			put(&list, 0x04, *attributes, 1);
			continue;
		}
		put(&one, 0x04, *attributes, (size_t)(at - *attributes));
		do {
			size_t size = strcspn(++at, "|");
			put(&values, 0x04, at, size);
			at += size;
		} while (*at);
		put_in(&one, 0x31, &values);
		put_in(&list, 0x30, &one);
	}
	put(&body, 0x04, dn, strlen(dn));
	put_in(&body, 0x30, &list);
	assert_int_equal(ldap_search_ext(ld, "", LDAP_SCOPE_BASE, NULL, NULL, 0, NULL, NULL, NULL,
					 0, &message_id),
			 LDAP_SUCCESS);
	assert_in_range(message_id, 1, 127);
	id = (unsigned char)message_id;
	put(&message, 0x02, &id, 1);
	put_in(&message, 0x64, &body);
	put_in(&wire, 0x30, &message);
	assert_int_equal(write(peer, wire.data, wire.size), (ssize_t)wire.size);
	assert_int_equal(ldap_result(ld, message_id, LDAP_MSG_ONE, NULL, &result),
			 LDAP_RES_SEARCH_ENTRY);
	return result;
}

#define ENTRY(dn, ...) entry(dn, (const char *const[]){ __VA_ARGS__, NULL })

static int set_up(void **state)
{
	struct told *told = told_create("entryUUID");
	int sockets[2];

	assert_non_null(told);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
	assert_int_equal(ldap_init_fd(sockets[0], LDAP_PROTO_IPC, "ldapi://", &ld), LDAP_SUCCESS);
	peer = sockets[1];
	*state = told;
	return 0;
}

static int tear_down(void **state)
{
	ldap_unbind_ext(ld, NULL, NULL);
	close(peer);
	told_destroy(*state);
	return 0;
}

static void note(struct told *told, enum entry_kind kind, LDAPMessage *message)
{
	told_note(told, kind, ld, message);
	ldap_msgfree(message);
}

static bool again(struct told *told, enum entry_kind kind, LDAPMessage *message)
{
	bool known = told_again(told, kind, ld, message);

	ldap_msgfree(message);
	return known;
}

/* --- contents --- */

static const struct {
	const char *name;
	const char *first_dn, *first[6];
	const char *second_dn, *second[6];
	bool again;
} contents[] = {
	{ "the same", DN, { "entryUUID:" ID, "cn:a" }, DN, { "entryUUID:" ID, "cn:a" }, true },
	{ "attributes turned",
	  DN,
	  { "entryUUID:" ID, "cn:a", "sn:b" },
	  DN,
	  { "sn:b", "cn:a", "entryUUID:" ID },
	  true },
	{ "another value",
	  DN,
	  { "entryUUID:" ID, "cn:a" },
	  DN,
	  { "entryUUID:" ID, "cn:b" },
	  false },
	{ "one value more",
	  DN,
	  { "entryUUID:" ID, "cn:a" },
	  DN,
	  { "entryUUID:" ID, "cn:a|b" },
	  false },
	{ "values turned",
	  DN,
	  { "entryUUID:" ID, "cn:a|b" },
	  DN,
	  { "entryUUID:" ID, "cn:b|a" },
	  false },
	{ "values changed hands",
	  DN,
	  { "entryUUID:" ID, "cn:a", "sn:b" },
	  DN,
	  { "entryUUID:" ID, "cn:b", "sn:a" },
	  false },
	{ "an attribute less",
	  DN,
	  { "entryUUID:" ID, "cn:a", "sn:b" },
	  DN,
	  { "entryUUID:" ID, "cn:a" },
	  false },
	{ "an attribute twice",
	  DN,
	  { "entryUUID:" ID, "cn:a" },
	  DN,
	  { "entryUUID:" ID, "cn:a", "cn:a" },
	  false },
	{ "another name",
	  DN,
	  { "entryUUID:" ID, "cn:a" },
	  "uid=b,dc=example",
	  { "entryUUID:" ID, "cn:a" },
	  false },
	{ "another spelling of the name",
	  DN,
	  { "entryUUID:" ID, "cn:a" },
	  "UID=a,dc=example",
	  { "entryUUID:" ID, "cn:a" },
	  false },
	{ "another entry", DN, { "entryUUID:" ID, "cn:a" }, DN, { "entryUUID:2", "cn:a" }, false },
	{ "no id", DN, { "cn:a" }, DN, { "cn:a" }, true },
	{ "no id, changed", DN, { "cn:a" }, DN, { "cn:b" }, false },
	{ "no id, and no name", "what is this", { "cn:a" }, "what is this", { "cn:a" }, true },
	{ "no name at all", "", { "cn:a" }, "", { "cn:a" }, true },
	{ "two ids", DN, { "entryUUID:1|2", "cn:a" }, DN, { "entryUUID:1|2", "cn:a" }, true },
	{ "no attributes", DN, { NULL }, DN, { NULL }, false },
	{ "garbage at the end",
	  DN,
	  { "entryUUID:" ID, "cn:a", "!" },
	  DN,
	  { "entryUUID:" ID, "cn:a", "!" },
	  false },
	{ "garbage, then none",
	  DN,
	  { "entryUUID:" ID, "cn:a", "!" },
	  DN,
	  { "entryUUID:" ID, "cn:a" },
	  false },
	{ "none, then garbage",
	  DN,
	  { "entryUUID:" ID, "cn:a" },
	  DN,
	  { "entryUUID:" ID, "cn:a", "!" },
	  false },
	{ "garbage alone", DN, { "!" }, DN, { "!" }, false },
	{ "a piece of a list",
	  DN,
	  { "entryUUID:" ID, "member;range=0-1:a|b" },
	  DN,
	  { "entryUUID:" ID, "member;range=0-1:a|b" },
	  false },
	{ "the last piece",
	  DN,
	  { "entryUUID:" ID, "member;range=2-*:c" },
	  DN,
	  { "entryUUID:" ID, "member;range=2-*:c" },
	  false },
};

static void test_contents(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(contents); i++) {
		struct told *told = told_create("entryUUID");
		bool is;

		note(told, KIND_PERSON, entry(contents[i].first_dn, contents[i].first));
		is = again(told, KIND_PERSON, entry(contents[i].second_dn, contents[i].second));
		if (is != contents[i].again)
			fail_msg("%s: %d", contents[i].name, is);
		told_destroy(told);
	}
}

/* --- what was told last --- */

#define A ENTRY(DN, "entryUUID:" ID, "cn:a")
#define B ENTRY(DN, "entryUUID:" ID, "cn:b")

static void test_the_last_one_counts(void **state)
{
	struct told *told = *state;

	assert_false(again(told, KIND_PERSON, A));
	note(told, KIND_PERSON, A);
	note(told, KIND_PERSON, B);
	assert_false(again(told, KIND_PERSON, A));
	assert_true(again(told, KIND_PERSON, B));
	note(told, KIND_PERSON, ENTRY(DN, "entryUUID:" ID, "cn:b", "!"));
	assert_false(again(told, KIND_PERSON, B));
	note(told, KIND_PERSON, B);
	assert_true(again(told, KIND_PERSON, B));
}

static void test_kinds(void **state)
{
	struct told *told = *state;

	note(told, KIND_PERSON, A);
	assert_false(again(told, KIND_GROUP, A));
	note(told, KIND_GROUP, B);
	assert_true(again(told, KIND_PERSON, A));
	assert_true(again(told, KIND_GROUP, B));
}

static void test_gone(void **state)
{
	struct told *told = *state;
	LDAPMessage *message = A;

	note(told, KIND_PERSON, A);
	told_forget(told, KIND_GROUP, fingerprint128(ID, strlen(ID)));
	assert_true(again(told, KIND_PERSON, A));
	told_forget(told, KIND_PERSON, fingerprint128(ID, strlen(ID)));
	assert_false(again(told, KIND_PERSON, A));
	note(told, KIND_PERSON, A);
	assert_true(again(told, KIND_PERSON, A));
	told_doubt(told, KIND_PERSON, ld, message);
	assert_false(again(told, KIND_PERSON, message));
	told_forget(told, KIND_PERSON, fingerprint128("nobody", 6));
}

/* A look keeps what it found as it was told; what it did not find is forgotten; one that failed changes nothing. */
static void test_looks(void **state)
{
	struct told *told = *state;

	note(told, KIND_PERSON, A);
	note(told, KIND_PERSON, ENTRY("uid=b,dc=example", "cn:b"));
	note(told, KIND_GROUP, A);
	told_look_begin(told);
	assert_true(again(told, KIND_PERSON, A));
	told_look_begin(told);
	assert_true(again(told, KIND_PERSON, A));
	assert_true(again(told, KIND_PERSON, A));
	assert_true(again(told, KIND_PERSON, ENTRY("uid=b,dc=example", "cn:b")));
	told_look_begin(told);
	assert_true(again(told, KIND_PERSON, A));
	assert_false(again(told, KIND_PERSON, B));
	told_look_end(told);
	assert_false(again(told, KIND_PERSON, ENTRY("uid=b,dc=example", "cn:b")));
	assert_false(again(told, KIND_GROUP, A));
	assert_true(again(told, KIND_PERSON, A));
	note(told, KIND_PERSON, B);
	told_look_begin(told);
	told_look_end(told);
	assert_false(again(told, KIND_PERSON, B));
}

/* --- times --- */

/* Looks go back to 2026-01-02T03:04:05Z. */
static const struct {
	const char *text;
	bool late;
} times[] = {
	{ "20260102030405Z", true },
	{ "20260102030404Z", false },
	{ "20260102030406Z", true },
	{ "20260102030405.0Z", true },
	{ "20260102030404.999Z", false },
	{ "20250101000000Z", false },
	{ "99991231235959Z", true },
	{ "20260102050404+0200", false },
	{ "20260102050405+0200", true },
	{ "202601020305Z", true },
	{ "202601020304Z", false },
	{ "", true },
	{ "never", true },
	{ "20260102030404", true },
	{ "99999999999999Z", true },
};

static void test_times(void **state)
{
	struct told *told = *state;

	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		struct berval value = { strlen(times[i].text), (char *)times[i].text };

		told_set_from(told, 0);
		assert_true(told_is_late(told, &value));
		told_set_from(told, 1767323045);
		if (told_is_late(told, &value) != times[i].late)
			fail_msg("'%s'", times[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_contents, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_last_one_counts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_kinds, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_gone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_looks, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_times, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
