/* SRV records: what DNS answers is read or refused, and asked in the order of RFC 2782. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/util.h>

#include "../../../daemon/source/ldap/srv.h"

static void put16(struct strbuf *out, unsigned value)
{
	strbuf_putc(out, (char)(value >> 8));
	strbuf_putc(out, (char)value);
}

/* "a.b" as labels. */
static void put_name(struct strbuf *out, const char *name)
{
	while (*name) {
		size_t size = strcspn(name, ".");
		strbuf_putc(out, (char)size);
		strbuf_append(out, name, size);
		name += size + (name[size] == '.');
	}
	strbuf_putc(out, 0);
}

static void put_head(struct strbuf *out, unsigned answers)
{
	put16(out, 7);
	put16(out, 0x8180);
	put16(out, 1);
	put16(out, answers);
	put16(out, 0);
	put16(out, 0);
	put_name(out, "_ldap._tcp.example.org");
	put16(out, 33);
	put16(out, 1);
}

static void put_record(struct strbuf *out, unsigned type, unsigned priority, unsigned weight,
		       unsigned port, const char *host)
{
	AUTO(strbuf) struct strbuf name = STRBUF(1024);

	put_name(&name, host);
	put16(out, 0xc00c);
	put16(out, type);
	put16(out, 1);
	put16(out, 0);
	put16(out, 60);
	put16(out, (unsigned)(6 + name.size));
	put16(out, priority);
	put16(out, weight);
	put16(out, port);
	strbuf_append(out, name.data, name.size);
}

static void test_answer(void **state)
{
	AUTO(strbuf) struct strbuf answer = STRBUF(4096);
	struct srv_target targets[SRV_TARGETS_MAX];
	size_t count;

	(void)state;
	put_head(&answer, 5);
	put_record(&answer, 33, 10, 5, 389, "a.example.org");
	put_record(&answer, 33, 20, 0, 1389, "b.example.org");
	put_record(&answer, 33, 0, 0, 389, "");		       /* "." */
	put_record(&answer, 33, 0, 0, 0, "c.example.org");     /* no port */
	put_record(&answer, 33, 0, 0, 389, "c/d.example.org"); /* no host */
	assert_int_equal(srv_decode(answer.data, answer.size, targets, &count, NULL), 0);
	assert_int_equal(count, 2);
	assert_string_equal(targets[0].host, "a.example.org");
	assert_int_equal(targets[0].priority, 10);
	assert_int_equal(targets[0].weight, 5);
	assert_int_equal(targets[0].port, 389);
	assert_string_equal(targets[1].host, "b.example.org");
	assert_int_equal(targets[1].port, 1389);
}

static void test_cut_answers(void **state)
{
	AUTO(strbuf) struct strbuf answer = STRBUF(4096);
	struct srv_target targets[SRV_TARGETS_MAX];
	size_t count = 4711;

	(void)state;
	put_head(&answer, 1);
	put_record(&answer, 33, 10, 5, 389, "a.example.org");
	for (size_t size = 0; size < answer.size; size++)
		assert_int_equal(srv_decode(answer.data, size, targets, &count, NULL), -1);
	assert_int_equal(count, 4711);
}

static void test_more_than_are_asked(void **state)
{
	AUTO(strbuf) struct strbuf answer = STRBUF(8192);
	struct srv_target targets[SRV_TARGETS_MAX];
	size_t count;

	(void)state;
	put_head(&answer, 100);
	for (int i = 0; i < 100; i++)
		put_record(&answer, 33, 1, 1, 389, "a.example.org");
	assert_int_equal(srv_decode(answer.data, answer.size, targets, &count, NULL), 0);
	assert_int_equal(count, SRV_TARGETS_MAX);
}

static uint32_t drawn[8], bounds[8];
static size_t draws;

static uint32_t chance(uint32_t below)
{
	bounds[draws] = below;
	return drawn[draws++];
}

static void test_order(void **state)
{
	static const struct {
		const char *name;
		uint32_t drawn[4];
		const char *expected;
	} cases[] = {
		{ "least", { 0, 0, 0, 0 }, "zabc" },
		{ "in the middle", { 1, 0, 0, 0 }, "azbc" },
		{ "most", { 40, 10, 0, 0 }, "bazc" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct srv_target targets[] = { { 20, 1, 389, "c" },
						{ 10, 10, 389, "a" },
						{ 10, 30, 389, "b" },
						{ 10, 0, 389, "z" } };
		char got[5] = "";
		draws = 0;
		memcpy(drawn, cases[i].drawn, sizeof(cases[i].drawn));
		srv_order(targets, ARRAY_LEN(targets), chance);
		for (size_t j = 0; j < ARRAY_LEN(targets); j++)
			got[j] = targets[j].host[0];
		if (strcmp(got, cases[i].expected) != 0)
			fail_msg("%s: %s", cases[i].name, got);
		assert_int_equal(bounds[0], 41);
	}
}

static void test_list_of_named_servers(void **state)
{
	static const struct located urls[] = { { .text = "ldap://a" },
					       { .text = "ldaps://b:1636" } };
	static const struct located wrong[] = { { .text = "ldap://a" }, { .text = "http://b" } };
	struct server_list list;

	(void)state;
	assert_int_equal(server_list(&(struct located_list){ 2, urls }, &list, NULL), 0);
	assert_int_equal(list.count, 2);
	assert_string_equal(list.items[1].host, "b");
	assert_int_equal(list.items[1].port, 1636);
	server_list_finish(&list);
	assert_int_equal(server_list(&(struct located_list){ 2, wrong }, &list, NULL), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answer),
		cmocka_unit_test(test_cut_answers),
		cmocka_unit_test(test_more_than_are_asked),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_list_of_named_servers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
