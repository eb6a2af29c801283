/* Records: canonical bytes, strict decoding, at every cut and every changed byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/message.h>
#include <rolebridge/base/util.h>
#include <rolebridge/identity/record.h>

#include "support.h"

#define ARENA_MAX (64u * 1024 * 1024)

static const char *const key = "7d5a0e5c-0000-4000-8000-0123456789ab";
static const char *const dn = "uid=anna,ou=people,dc=acme";

static void write_example(struct strbuf *out)
{
	const char *classes[] = { "person", "inetOrgPerson", "top", "person" };
	const char *mail[] = { "anna@acme.example" };
	const char *uid[] = { "anna", "anna.m" };
	const size_t uid_sizes[] = { 4, 6 };
	const uint32_t groups[] = { 3, 4, 200, 70000 };

	record_write_head(out, key, dn, true, true, "nsAccountLock", 0, 3);
	record_write_attribute(out, "mail", mail, NULL, 1);
	record_write_attribute(out, "objectClass", classes, NULL, 4);
	record_write_attribute(out, "uid", uid, uid_sizes, 2);
	record_write_groups(out, groups, ARRAY_LEN(groups));
	assert_false(strbuf_failed(out));
}

static const char *value_of(const struct identity *identity, const struct schema *schema,
			    const char *name, uint32_t index)
{
	int id = schema_find(schema, name, strlen(name));

	for (size_t i = 0; i < identity->attribute_count; i++)
		if (identity->attributes[i].id == id)
			return index < identity->attributes[i].count
				       ? identity->attributes[i].values[index]
				       : NULL;
	return NULL;
}

static void test_round_trip(void **state)
{
	struct schema *schema = support_schema();
	AUTO(arena) struct arena *arena = arena_create(ARENA_MAX);
	AUTO(strbuf) struct strbuf out = STRBUF(RECORD_MAX), again = STRBUF(RECORD_MAX);
	struct identity identity;
	const char *found_key;
	size_t found_size;

	(void)state;
	write_example(&out);
	assert_int_equal(record_decode(out.data, out.size, schema, 2, arena, &identity, NULL), 0);
	assert_int_equal(identity.source, 2);
	assert_string_equal(identity.key, key);
	assert_string_equal(identity.dn, dn);
	assert_true(identity.groups_complete);
	assert_true(identity.disabled);
	assert_string_equal(identity.disabled_by, "nsAccountLock");
	assert_int_equal(identity.attribute_count, 3);
	assert_string_equal(value_of(&identity, schema, "mail", 0), "anna@acme.example");
	assert_string_equal(value_of(&identity, schema, "objectClass", 0), "inetOrgPerson");
	assert_string_equal(value_of(&identity, schema, "objectClass", 1), "person");
	assert_string_equal(value_of(&identity, schema, "objectClass", 2), "top");
	assert_null(value_of(&identity, schema, "objectClass", 3));
	assert_string_equal(value_of(&identity, schema, "uid", 1), "anna.m");
	assert_int_equal(identity.group_count, 4);
	assert_int_equal(identity.groups[0], 3);
	assert_int_equal(identity.groups[3], 70000);
	record_encode(&identity, schema, &again);
	assert_int_equal(again.size, out.size);
	assert_memory_equal(again.data, out.data, out.size);
	assert_int_equal(record_key(out.data, out.size, &found_key, &found_size, NULL), 0);
	assert_int_equal(found_size, strlen(key));
	assert_memory_equal(found_key, key, found_size);
	schema_destroy(schema);
}

static void write_timed(struct strbuf *out, bool disabled, const char *by, int64_t from_s,
			const uint32_t *groups, size_t count, bool complete)
{
	const char *mail[] = { "anna@acme.example" };

	record_write_head(out, key, dn, complete, disabled, by, from_s, 1);
	record_write_attribute(out, "mail", mail, NULL, 1);
	record_write_groups(out, groups, count);
	assert_false(strbuf_failed(out));
}

static void test_disabled_from(void **state)
{
	static const struct {
		const char *name;
		bool disabled;
		const char *by;
		int64_t from_s, expect_s;
		bool before, at;
	} cases[] = {
		{ "never", false, "", 0, 0, false, false },
		{ "later", false, "accountExpires", 1000, 1000, false, true },
		{ "disabled, and later too", true, "nsAccountLock", 1000, 1000, true, true },
		{ "before the epoch is long ago", false, "shadowExpire", -86400, 1, true, true },
		{ "as late as can be", false, "accountExpires", INT64_MAX, INT64_MAX, false,
		  false },
	};
	struct schema *schema = support_schema();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(arena) struct arena *arena = arena_create(ARENA_MAX);
		AUTO(strbuf) struct strbuf out = STRBUF(RECORD_MAX), again = STRBUF(RECORD_MAX);
		struct identity identity;

		write_timed(&out, cases[i].disabled, cases[i].by, cases[i].from_s, NULL, 0, true);
		if (record_decode(out.data, out.size, schema, 0, arena, &identity, NULL) < 0)
			fail_msg("%s: not decoded", cases[i].name);
		assert_int_equal(identity.disabled_from_s, cases[i].expect_s);
		assert_int_equal(record_disabled_from(out.data, out.size), cases[i].expect_s);
		assert_string_equal(identity.disabled_by, cases[i].by);
		if (identity_is_disabled(&identity, 999) != cases[i].before ||
		    identity_is_disabled(&identity, 1000) != cases[i].at)
			fail_msg("%s: wrong at its time", cases[i].name);
		record_encode(&identity, schema, &again);
		assert_int_equal(again.size, out.size);
		assert_memory_equal(again.data, out.data, out.size);
	}
	schema_destroy(schema);
}

/* What was stored before there was such a time is read, and written, as it was. */
static void test_old_bytes(void **state)
{
	static const unsigned char old[] = { 1, 1, 1, 'k', 0, 0, 0, 1, 5 };
	AUTO(strbuf) struct strbuf out = STRBUF(RECORD_MAX);
	const uint32_t group = 5;

	(void)state;
	record_write_head(&out, "k", "", true, false, "", 0, 0);
	record_write_groups(&out, &group, 1);
	assert_int_equal(out.size, sizeof(old));
	assert_memory_equal(out.data, old, sizeof(old));
}

static void test_replace_groups(void **state)
{
	static const uint32_t few[] = { 2, 9 }, many[] = { 1, 2, 70000, 70001 };
	static const struct {
		const char *name;
		bool disabled;
		int64_t from_s;
		const uint32_t *before, *after;
		size_t before_count, after_count;
		bool complete_before, complete_after;
	} cases[] = {
		{ "more", false, 0, few, many, 2, 4, true, true },
		{ "none left", false, 0, many, few, 4, 0, true, true },
		{ "the first", true, 0, few, many, 0, 4, true, true },
		{ "with a time", false, 1000, few, many, 2, 4, true, true },
		{ "cut now", true, 1000, few, many, 2, 4, true, false },
		{ "whole now", false, 0, few, many, 2, 4, false, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(strbuf)
		struct strbuf before = STRBUF(RECORD_MAX), out = STRBUF(RECORD_MAX),
			      fresh = STRBUF(RECORD_MAX);
		const char *by = cases[i].disabled ? "x" : cases[i].from_s ? "y" : "";

		write_timed(&before, cases[i].disabled, by, cases[i].from_s, cases[i].before,
			    cases[i].before_count, cases[i].complete_before);
		write_timed(&fresh, cases[i].disabled, by, cases[i].from_s, cases[i].after,
			    cases[i].after_count, cases[i].complete_after);
		if (record_replace_groups(before.data, before.size, cases[i].after,
					  cases[i].after_count, cases[i].complete_after, &out,
					  NULL) < 0)
			fail_msg("%s: refused", cases[i].name);
		if (out.size != fresh.size || memcmp(out.data, fresh.data, out.size) != 0)
			fail_msg("%s: not what a source would send", cases[i].name);
		assert_int_equal(record_groups_complete(out.data, out.size),
				 cases[i].complete_after);
		/* Cut anywhere before the groups: refused, and not read on. */
		for (size_t size = 0; size + cases[i].before_count * 3 + 1 < before.size; size++) {
			char *copy = malloc(size + 1);

			memcpy(copy, before.data, size);
			strbuf_clear(&out);
			record_replace_groups(copy, size, NULL, 0, true, &out, NULL);
			free(copy);
		}
	}
}

static void test_order_does_not_matter(void **state)
{
	enum { VALUES = 100 };
	static char texts[VALUES][8];
	const char *values[VALUES];
	AUTO(strbuf) struct strbuf first = STRBUF(RECORD_MAX), out = STRBUF(RECORD_MAX);
	unsigned seed = 1;

	(void)state;
	for (size_t count = 1; count <= VALUES; count += count < 5 ? 1 : 31) {
		strbuf_clear(&first);
		for (size_t i = 0; i < VALUES; i++) {
			texts[i][0] = (char)('a' + i % 26);
			texts[i][1] = (char)('a' + i / 26);
			values[i] = texts[i];
		}
		record_write_attribute(&first, "cn", values, NULL, count);
		for (int round = 0; round < 50; round++) {
			for (size_t i = count - 1; i > 0; i--) {
				size_t other;
				const char *kept = values[i];

				seed = seed * 1664525u + 1013904223u;
				other = (seed >> 8) % (i + 1);
				values[i] = values[other];
				values[other] = kept;
			}
			strbuf_clear(&out);
			record_write_attribute(&out, "cn", values, NULL, count);
			assert_int_equal(out.size, first.size);
			assert_memory_equal(out.data, first.data, out.size);
		}
	}
}

static void test_every_cut(void **state)
{
	struct schema *schema = support_schema();
	AUTO(arena) struct arena *arena = arena_create(ARENA_MAX);
	AUTO(strbuf) struct strbuf out = STRBUF(RECORD_MAX);
	struct identity identity;

	(void)state;
	write_example(&out);
	for (size_t size = 0; size < out.size; size++) {
		/* Exactly as large as it claims, so that reading on would be seen. */
		char *copy = malloc(size + 1);
		struct err err;

		memcpy(copy, out.data, size);
		assert_int_equal(record_decode(copy, size, schema, 0, arena, &identity, &err), -1);
		assert_int_equal(err.code, ERR_PROTOCOL);
		free(copy);
	}
	strbuf_putc(&out, '\0');
	assert_int_equal(record_decode(out.data, out.size, schema, 0, arena, &identity, NULL), -1);
	schema_destroy(schema);
}

/* Whatever is accepted is canonical: it encodes to the same bytes. */
static void test_every_changed_byte(void **state)
{
	struct schema *schema = support_schema();
	AUTO(strbuf) struct strbuf out = STRBUF(RECORD_MAX), again = STRBUF(RECORD_MAX);

	(void)state;
	write_example(&out);
	for (size_t at = 0; at < out.size; at++) {
		char kept = out.data[at];

		for (int value = 0; value < 256; value++) {
			AUTO(arena) struct arena *arena = arena_create(ARENA_MAX);
			struct identity identity;

			out.data[at] = (char)value;
			if (record_decode(out.data, out.size, schema, 0, arena, &identity, NULL) <
			    0)
				continue;
			strbuf_clear(&again);
			record_encode(&identity, schema, &again);
			/* A changed name is not known, and left out. */
			if (identity.attribute_count < 3)
				continue;
			assert_int_equal(again.size, out.size);
			assert_memory_equal(again.data, out.data, out.size);
		}
		out.data[at] = kept;
	}
	schema_destroy(schema);
}

static void put_head(struct strbuf *out, unsigned version, unsigned flags)
{
	put_u8(out, (uint8_t)version);
	put_u8(out, (uint8_t)flags);
	put_text(out, "k");
	put_text(out, "");
	put_text(out, "");
}

static void put_pair(struct strbuf *out, const char *name, const char *one, const char *two)
{
	put_text(out, name);
	put_varint(out, two ? 2 : 1);
	put_text(out, one);
	if (two)
		put_text(out, two);
}

static void wrong_version(struct strbuf *out)
{
	put_head(out, 2, 1);
	put_varint(out, 0);
	put_varint(out, 0);
}

static void wrong_flags(struct strbuf *out)
{
	put_head(out, 1, 8);
	put_varint(out, 0);
	put_varint(out, 0);
}

static void wrong_attribute_order(struct strbuf *out)
{
	put_head(out, 1, 1);
	put_varint(out, 2);
	put_pair(out, "mail", "a", NULL);
	put_pair(out, "cn", "a", NULL);
	put_varint(out, 0);
}

static void wrong_attribute_twice(struct strbuf *out)
{
	put_head(out, 1, 1);
	put_varint(out, 2);
	put_pair(out, "cn", "a", NULL);
	put_pair(out, "cn", "b", NULL);
	put_varint(out, 0);
}

static void wrong_value_order(struct strbuf *out)
{
	put_head(out, 1, 1);
	put_varint(out, 1);
	put_pair(out, "cn", "b", "a");
	put_varint(out, 0);
}

static void wrong_value_twice(struct strbuf *out)
{
	put_head(out, 1, 1);
	put_varint(out, 1);
	put_pair(out, "cn", "a", "a");
	put_varint(out, 0);
}

static void wrong_value_utf8(struct strbuf *out)
{
	put_head(out, 1, 1);
	put_varint(out, 1);
	put_pair(out, "unknownAttribute", "\xff", NULL);
	put_varint(out, 0);
}

static void wrong_no_values(struct strbuf *out)
{
	put_head(out, 1, 1);
	put_varint(out, 1);
	put_text(out, "cn");
	put_varint(out, 0);
	put_varint(out, 0);
}

static void wrong_group_zero(struct strbuf *out)
{
	put_head(out, 1, 1);
	put_varint(out, 0);
	put_varint(out, 1);
	put_varint(out, 0);
}

static void wrong_group_overflow(struct strbuf *out)
{
	put_head(out, 1, 1);
	put_varint(out, 0);
	put_varint(out, 2);
	put_varint(out, UINT32_MAX);
	put_varint(out, 1);
}

static void wrong_count(struct strbuf *out)
{
	put_head(out, 1, 1);
	put_varint(out, UINT64_MAX / 2);
}

static void wrong_empty_key(struct strbuf *out)
{
	put_u8(out, 1);
	put_u8(out, 1);
	for (int i = 0; i < 5; i++)
		put_varint(out, 0);
}

static void wrong_disabled_by(struct strbuf *out)
{
	put_u8(out, 1);
	put_u8(out, 1);
	put_text(out, "k");
	put_text(out, "");
	put_text(out, "why");
	put_varint(out, 0);
	put_varint(out, 0);
}

static void wrong_time_zero(struct strbuf *out)
{
	put_u8(out, 1);
	put_u8(out, 5);
	put_text(out, "k");
	put_text(out, "");
	put_text(out, "why");
	put_varint(out, 0);
	put_varint(out, 0);
	put_varint(out, 0);
}

static void wrong_time_overflow(struct strbuf *out)
{
	put_u8(out, 1);
	put_u8(out, 5);
	put_text(out, "k");
	put_text(out, "");
	put_text(out, "why");
	put_varint(out, (uint64_t)INT64_MAX + 1);
	put_varint(out, 0);
	put_varint(out, 0);
}

static void test_malformed(void **state)
{
	static const struct {
		const char *name;
		void (*write)(struct strbuf *out);
	} rows[] = {
		{ "version", wrong_version },
		{ "flags", wrong_flags },
		{ "attribute order", wrong_attribute_order },
		{ "attribute twice", wrong_attribute_twice },
		{ "value order", wrong_value_order },
		{ "value twice", wrong_value_twice },
		{ "value not UTF-8, name unknown", wrong_value_utf8 },
		{ "no values", wrong_no_values },
		{ "group zero", wrong_group_zero },
		{ "group overflow", wrong_group_overflow },
		{ "count without bytes", wrong_count },
		{ "empty key", wrong_empty_key },
		{ "reason without being disabled", wrong_disabled_by },
		{ "disabled from time zero", wrong_time_zero },
		{ "disabled from a time beyond all", wrong_time_overflow },
	};
	struct schema *schema = support_schema();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(arena) struct arena *arena = arena_create(ARENA_MAX);
		AUTO(strbuf) struct strbuf out = STRBUF(RECORD_MAX);
		struct identity identity;
		struct err err;

		rows[i].write(&out);
		if (record_decode(out.data, out.size, schema, 0, arena, &identity, &err) == 0)
			fail_msg("%s: accepted", rows[i].name);
		assert_int_equal(err.code, ERR_PROTOCOL);
	}
	schema_destroy(schema);
}

static void test_unknown_attributes_are_skipped(void **state)
{
	struct schema *schema = support_schema();
	AUTO(arena) struct arena *arena = arena_create(ARENA_MAX);
	AUTO(strbuf) struct strbuf out = STRBUF(RECORD_MAX);
	struct identity identity;

	(void)state;
	put_head(&out, 1, 0);
	put_varint(&out, 4);
	put_pair(&out, "aaa", "1", "2");
	put_pair(&out, "cn", "a", NULL);
	put_pair(&out, "cnx", "a", NULL);
	put_pair(&out, "mail", "a", NULL);
	put_varint(&out, 0);
	assert_int_equal(record_decode(out.data, out.size, schema, 0, arena, &identity, NULL), 0);
	assert_int_equal(identity.attribute_count, 2);
	assert_false(identity.groups_complete);
	assert_string_equal(value_of(&identity, schema, "mail", 0), "a");
	schema_destroy(schema);
}

static void test_writer_refuses(void **state)
{
	static const uint32_t twice[] = { 1, 1 }, zero[] = { 0 };
	AUTO(strbuf) struct strbuf out = STRBUF(1024);

	(void)state;
	record_write_groups(&out, twice, 2);
	assert_true(strbuf_failed(&out));
	strbuf_clear(&out);
	record_write_groups(&out, zero, 1);
	assert_true(strbuf_failed(&out));
	strbuf_clear(&out);
	record_write_attribute(&out, "cn", NULL, NULL, 0);
	assert_true(strbuf_failed(&out));
}

static void test_no_memory(void **state)
{
	struct schema *schema = support_schema();
	AUTO(strbuf) struct strbuf out = STRBUF(RECORD_MAX);

	(void)state;
	write_example(&out);
	for (size_t max = 0;; max += 8) {
		AUTO(arena) struct arena *arena = arena_create(max);
		struct identity identity;

		if (arena &&
		    record_decode(out.data, out.size, schema, 0, arena, &identity, NULL) == 0)
			break;
		assert_true(max < 4096);
	}
	schema_destroy(schema);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_disabled_from),
		cmocka_unit_test(test_old_bytes),
		cmocka_unit_test(test_replace_groups),
		cmocka_unit_test(test_order_does_not_matter),
		cmocka_unit_test(test_every_cut),
		cmocka_unit_test(test_every_changed_byte),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_unknown_attributes_are_skipped),
		cmocka_unit_test(test_writer_refuses),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
