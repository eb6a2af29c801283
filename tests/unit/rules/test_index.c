/*
 * The candidate index against looking at every rule: random rules and random
 * persons, incomplete ones, owed attributes and frozen groups included, must
 * give the same matches with the same support.
 */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/util.h>

#include "../../../daemon/rules/program.h"

#define ROUNDS 60
#define RULES 150
#define PERSONS 60
#define GROUPS 12

static uint64_t random_state;

static unsigned random_below(unsigned limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (unsigned)(random_state >> 33) % limit;
}

static const char *const attributes[] = { "title", "department", "code",   "level",
					  "boss",  "clearance",	 "active", "cn" };
static const char *const values[][3] = {
	{ "lead", "Summer Intern", "Büro" },
	{ "sales", "ops", "SALES" },
	{ "a", "A", "b" },
	{ "1", "2", "03" },
	{ "cn=x,dc=y", "CN=Z, DC=Y", "cn=x\\,y,dc=y" },
	{ "secret", "none", "top" },
	{ "TRUE", "FALSE", "true" },
	{ "ann", "Bob", "ann" },
};

static void put_escaped(struct strbuf *out, const char *value)
{
	for (; *value != '\0'; value++)
		if (*value == '\\')
			strbuf_puts(out, "\\5c");
		else
			strbuf_putc(out, *value);
}

static void put_atom(struct strbuf *out)
{
	static const char *const options[] = { "", "", "", ";x-hr", ";x-corp" };
	unsigned attribute = random_below(ARRAY_LEN(attributes));
	const char *option = options[random_below(ARRAY_LEN(options))];

	if (random_below(8) == 0) {
		strbuf_printf(out, "(%s%s=*)", attributes[attribute], option);
		return;
	}
	if (attribute == 7 && random_below(3) == 0) {
		strbuf_printf(out, "(cn%s:dn:=", option);
	} else if (attribute == 0 && random_below(4) == 0) {
		strbuf_printf(out, "(title%s=*e*)", option);
		return;
	} else if (attribute == 3 && random_below(2) == 0) {
		strbuf_printf(out, "(level%s>=", option);
	} else {
		strbuf_printf(out, "(%s%s=", attributes[attribute], option);
	}
	put_escaped(out, values[attribute][random_below(3)]);
	strbuf_putc(out, ')');
}

static void put_filter(struct strbuf *out, unsigned depth)
{
	unsigned shape = random_below(10);

	if (depth == 0 || shape < 4) {
		if (shape == 0)
			strbuf_printf(out, "(memberOf:1.2.840.113556.1.4.1941:=cn=g%u)",
				      random_below(GROUPS));
		else
			put_atom(out);
		return;
	}
	if (shape == 9) {
		strbuf_puts(out, "(!");
		put_filter(out, depth - 1);
	} else {
		strbuf_puts(out, shape < 8 ? "(&" : "(|");
		for (unsigned i = random_below(4); i > 0; i--)
			put_filter(out, depth - 1);
	}
	strbuf_putc(out, ')');
}

static void put_rule(struct strbuf *out, unsigned number)
{
	unsigned groups = random_below(3);

	strbuf_printf(out, "  - {id: r%u, grant: {roles: [ops]}", number);
	if (groups > 0) {
		strbuf_puts(out, ", groups: [");
		for (unsigned i = 0; i < groups; i++)
			strbuf_printf(out, "'%scn=g%u',", random_below(5) == 0 ? "corp:" : "",
				      random_below(GROUPS));
		strbuf_puts(out, "]");
	}
	if (groups == 0 || random_below(2) == 0) {
		strbuf_puts(out, ", when: '");
		put_filter(out, 3);
		strbuf_puts(out, "'");
	}
	strbuf_puts(out, "}\n");
}

static void put_person(struct strbuf *out)
{
	static const char *const sources[] = { "hr", "corp" };

	for (unsigned s = random_below(4) == 0; s < 2; s++) {
		strbuf_printf(out, "%s nothing=1\n", sources[s]);
		if (random_below(5) == 0)
			strbuf_printf(out, "%s incomplete=1\n", sources[s]);
		if (random_below(3) == 0)
			strbuf_printf(out, "%s dn=cn=%s,dc=y\n", sources[s],
				      values[7][random_below(3)]);
		for (unsigned i = random_below(6); i > 0; i--) {
			unsigned attribute = random_below(ARRAY_LEN(attributes));

			strbuf_printf(out, "%s %s=%s\n", sources[s], attributes[attribute],
				      values[attribute][random_below(3)]);
		}
		for (unsigned i = 0; i < GROUPS; i++)
			if (random_below(6) == 0)
				strbuf_printf(out, "%s group=%scn=g%u\n", sources[s],
					      s == 1 && random_below(4) == 0 ? "corp:" : "", i);
	}
}

/* Every rule by itself. */
static size_t evaluate_all(const struct support_rules *made, const struct person *person,
			   struct rule_match *out)
{
	struct scratch scratch;
	struct evaluation evaluation = { .program = &made->rules->program,
					 .person = person,
					 .groups = &made->states,
					 .scratch = &scratch };
	size_t count = 0;

	scratch_init(&scratch);
	for (uint32_t i = 0; i < made->rules->count; i++) {
		struct truth truth = evaluate_condition(&evaluation, made->rules->entries[i].root);

		if (truth.match != MATCH_NO)
			out[count++] = (struct rule_match){ &made->rules->rules[i], truth.match,
							    truth.support };
	}
	assert_false(scratch.failed);
	scratch_finish(&scratch);
	return count;
}

static void compare(const struct support_rules *made, const char *lines, unsigned *matched)
{
	AUTO(arena) struct arena *arena = arena_create(16 << 20);
	struct rule_match expected[RULES];
	const struct rule_match *matches;
	struct person person;
	size_t count, expected_count;

	support_person(made->schema, made->registry, lines, arena, &person);
	expected_count = evaluate_all(made, &person, expected);
	assert_int_equal(ruleset_evaluate(made->rules, &person, &made->states, 0, arena, &matches,
					  &count, NULL),
			 0);
	for (size_t i = 0; i < expected_count; i++)
		if (i >= count || matches[i].rule != expected[i].rule)
			fail_msg("rule %s is no candidate for\n%s", expected[i].rule->id, lines);
	assert_int_equal(count, expected_count);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(matches[i].match, expected[i].match);
		assert_int_equal(matches[i].support, expected[i].support);
		matched[matches[i].match]++;
	}
}

/* All known, some frozen, some beyond what was read; listed and not. */
static void vary_states(struct support_rules *made, uint32_t *listed)
{
	uint32_t count = group_registry_next_id(made->registry);

	memset(made->unknown, 0, count);
	made->states.count = random_below(3) == 0 ? random_below(count) : count;
	made->states.unknown_ids = listed;
	made->states.unknown_id_count = 0;
	made->states.listed = random_below(2) == 0;
	if (random_below(2) == 0)
		return;
	for (uint32_t id = 1; id < made->states.count; id++)
		if (random_below(4) == 0) {
			made->unknown[id] = 1;
			listed[made->states.unknown_id_count++] = id;
		}
}

static void test_same_as_all(void **state)
{
	unsigned matched[3] = { 0 };

	(void)state;
	random_state = UINT64_C(0x5eed5eed5eed);
	for (unsigned round = 0; round < ROUNDS; round++) {
		AUTO(strbuf) struct strbuf yaml = STRBUF(1 << 20);
		struct support_rules made;
		uint32_t listed[4 * GROUPS];

		strbuf_puts(&yaml, CATALOGUE "rules:\n");
		for (unsigned i = 0; i < RULES; i++)
			put_rule(&yaml, i);
		support_rules_init(&made, strbuf_text(&yaml));
		if (made.rules == NULL)
			support_print(made.list);
		assert_non_null(made.rules);
		for (unsigned i = 0; i < PERSONS; i++) {
			AUTO(strbuf) struct strbuf person = STRBUF(1 << 16);

			put_person(&person);
			vary_states(&made, listed);
			compare(&made, strbuf_text(&person), matched);
		}
		support_rules_finish(&made);
	}
	/* The test means something: all outcomes occur in numbers. */
	assert_true(matched[MATCH_YES] > 10000);
	assert_true(matched[MATCH_UNKNOWN] > 10000);
}

/* Without this the property would hold for an index that files nothing. */
static void test_candidates_are_few(void **state)
{
	AUTO(strbuf) struct strbuf yaml = STRBUF(1 << 20);
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	struct support_rules made;
	struct scratch scratch;
	struct person person;
	uint64_t words[16] = { 0 }, summary[1] = { 0 };
	const struct candidates candidates = { words, summary };
	int count = 0;

	(void)state;
	strbuf_puts(&yaml, CATALOGUE "rules:\n");
	for (unsigned i = 0; i < 500; i++)
		strbuf_printf(&yaml,
			      "  - {id: g%u, groups: 'cn=g%u', when: '(title=*)',"
			      " grant: {roles: [ops]}}\n"
			      "  - {id: w%u, groups: 'cn=everybody',"
			      " when: '(&(title=*)(|(department=d%u)(department=e%u)))',"
			      " grant: {roles: [ops]}}\n",
			      i, i, i, i, i);
	support_rules_init(&made, strbuf_text(&yaml));
	assert_non_null(made.rules);
	support_person(made.schema, made.registry,
		       "hr group=cn=g7\nhr group=cn=g9\nhr group=cn=everybody\n"
		       "hr department=D11\nhr department=e12\nhr title=x",
		       arena, &person);
	scratch_init(&scratch);
	assert_int_equal(rule_index_words(made.rules->index), ARRAY_LEN(words));
	rule_index_candidates(made.rules->index, &person, &made.states, &scratch, &candidates);
	for (size_t i = 0; i < rule_index_words(made.rules->index); i++)
		count += __builtin_popcountll(words[i]);
	scratch_finish(&scratch);
	assert_int_equal(count, 4);
	support_rules_finish(&made);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_same_as_all),
					    cmocka_unit_test(test_candidates_are_few) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
