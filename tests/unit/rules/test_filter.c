/* Filters: what they match, and what they are refused for. */
#include "support.h"

#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/util.h>

struct state {
	struct schema *schema;
	struct group_registry *registry;
	struct arena *arena;
};

static int set_up(void **state)
{
	static struct state made;

	made = (struct state){ support_schema(), group_registry_create(), arena_create(64 << 20) };
	*state = &made;
	return 0;
}

static int tear_down(void **state)
{
	struct state *made = *state;

	schema_destroy(made->schema);
	group_registry_destroy(made->registry);
	arena_destroy(made->arena);
	return 0;
}

static const char intern[] = "hr title=Summer  Intern\n"
			     "hr department=Sales\nhr department=Marketing EMEA\n"
			     "hr code=AbC\n"
			     "hr level=42\nhr level=x7\n"
			     "hr active=TRUE\n"
			     "hr boss=CN=Doe\\, Jane,OU=People,DC=acme\n"
			     "hr hired=20260131120000Z\n"
			     "hr userAccountControl=514\n"
			     "hr sn=Müßig\n"
			     "hr l=R&D (old)*\\\n"
			     "hr dn=uid=ann+cn=Ann Lee,ou=Night Shift,dc=acme\n"
			     "corp department=Finance\n"
			     "corp employeeType=contractor\n";

static const struct match_case {
	const char *filter;
	enum match expected;
} match_cases[] = {
	{ "(title=summer intern)", MATCH_YES },
	{ "(TITLE= SUMMER  INTERN )", MATCH_YES },
	{ "(title=summerintern)", MATCH_NO },
	{ "(title~=summer intern)", MATCH_YES },
	{ "(title=*)", MATCH_YES },
	{ "(mail=*)", MATCH_NO },
	{ "(title=*inter*)", MATCH_YES },
	{ "(title=sum*n)", MATCH_YES },
	{ "(title=sum*intern*n)", MATCH_NO },
	{ "(title=*r i*)", MATCH_YES },
	{ "(title=*r  i*)", MATCH_YES },
	{ "(title=summer *)", MATCH_YES },
	{ "(title=summe *)", MATCH_NO },
	{ "(title=* intern)", MATCH_YES },
	{ "(title=* ntern)", MATCH_NO },
	{ "(title=summer * intern)", MATCH_NO },
	{ "(title=summer*intern)", MATCH_YES },
	{ "(title=* *)", MATCH_YES },
	{ "(code=* *)", MATCH_NO },
	{ "(code= *)", MATCH_NO },
	{ "(code= AbC*)", MATCH_YES },
	{ "(title=*intern *)", MATCH_NO },
	{ "(title=summer intern*summer intern)", MATCH_NO },
	{ "(department=sales)", MATCH_YES },
	{ "(department=marketing emea)", MATCH_YES },
	{ "(department=finance)", MATCH_NO }, /* hr goes first */
	{ "(department;x-corp=finance)", MATCH_YES },
	{ "(department;x-corp=sales)", MATCH_NO },
	{ "(employeeType=contractor)", MATCH_YES },
	{ "(employeeType;x-hr=contractor)", MATCH_NO },
	{ "(code=AbC)", MATCH_YES },
	{ "(code=abc)", MATCH_NO },
	{ "(code=A*C)", MATCH_YES },
	{ "(code=a*C)", MATCH_NO },
	{ "(code:caseIgnoreMatch:=abc)", MATCH_YES },
	{ "(title:caseExactMatch:=summer intern)", MATCH_NO },
	{ "(title:2.5.13.5:=Summer Intern)", MATCH_YES },
	{ "(level=42)", MATCH_YES },
	{ "(level=042)", MATCH_YES },
	{ "(level>=42)", MATCH_YES },
	{ "(level>=43)", MATCH_NO },
	{ "(level<=-9223372036854775808)", MATCH_NO },
	{ "(level<=9223372036854775807)", MATCH_YES },
	{ "(!(level<=41))", MATCH_YES },
	{ "(userAccountControl:1.2.840.113556.1.4.803:=2)", MATCH_YES },
	{ "(userAccountControl:1.2.840.113556.1.4.803:=3)", MATCH_NO },
	{ "(userAccountControl:1.2.840.113556.1.4.804:=3)", MATCH_YES },
	{ "(userAccountControl:1.2.840.113556.1.4.804:=32)", MATCH_NO },
	{ "(active=TRUE)", MATCH_YES },
	{ "(active=false)", MATCH_NO },
	{ "(boss=cn=doe\\5c, jane, ou=people, dc=ACME)", MATCH_YES },
	{ "(boss=cn=doe\\5c2C jane,ou=people,dc=acme)", MATCH_YES },
	{ "(hired=20260131130000+0100)", MATCH_YES },
	{ "(hired>=20260131115959Z)", MATCH_YES },
	{ "(hired<=2026013111Z)", MATCH_NO },
	{ "(sn=MÜSSIG)", MATCH_YES },
	{ "(sn=m\\c3\\bc\\c3\\9fig)", MATCH_YES },
	{ "(sn=mu\\cc\\88*)", MATCH_YES }, /* u and a combining diaeresis */
	{ "(sn=*SSI*)", MATCH_YES },
	{ "(l=R&D \\28old\\29\\2a\\5c)", MATCH_YES },
	{ "(ou:dn:=night shift)", MATCH_YES },
	{ "(ou=night shift)", MATCH_NO },
	{ "(cn:dn:caseIgnoreMatch:=ann lee)", MATCH_YES },
	{ "(cn;x-corp:dn:=ann lee)", MATCH_NO },
	{ "(&)", MATCH_YES },
	{ "(|)", MATCH_NO },
	{ "(!(|))", MATCH_YES },
	{ " ( & (title=*) \n (! (department=Finance) ) ) ", MATCH_YES },
	{ "(|(title=x)(level=42))", MATCH_YES },
	{ "(title>=summer)", MATCH_YES },
	{ "(title>=summer intern)", MATCH_YES },
	{ "(title<=SUMMER)", MATCH_NO },
	{ "(title>=t)", MATCH_NO },
	{ "(clearance=secret)", MATCH_UNKNOWN },
	{ "(!(clearance=secret))", MATCH_UNKNOWN },
	{ "(clearance=*)", MATCH_UNKNOWN },
	{ "(clearance;x-corp=*)", MATCH_NO },
	{ "(clearance;x-hr=*)", MATCH_UNKNOWN },
	{ "(&(clearance=secret)(title=nobody))", MATCH_NO },
	{ "(&(clearance=secret)(title=*))", MATCH_UNKNOWN },
	{ "(|(clearance=secret)(title=*))", MATCH_YES },
	{ "(|(clearance=secret)(title=nobody))", MATCH_UNKNOWN },
	{ "(!(&(clearance=secret)(title=nobody)))", MATCH_YES },
};

static struct filter *compile(struct state *made, const char *text, struct diagnostics *list)
{
	struct located located = support_located(text);

	return filter_compile(&located, made->schema, list);
}

static void test_matches(void **state)
{
	struct state *made = *state;
	struct person person;

	support_person(made->schema, made->registry, intern, made->arena, &person);
	for (size_t i = 0; i < ARRAY_LEN(match_cases); i++) {
		AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
		struct filter *filter = compile(made, match_cases[i].filter, list);

		support_print(list);
		assert_non_null(filter);
		if (filter_match(filter, &person) != match_cases[i].expected)
			fail_msg("%s: %d, expected %d", match_cases[i].filter,
				 filter_match(filter, &person), match_cases[i].expected);
		filter_destroy(filter);
	}
}

/* --- over people --- */

#define NOW INT64_C(1769860800) /* 20260131120000Z */

static const struct people_case {
	const char *filter;
	enum match expected;
	bool is_refused, in_rules; /* over people; does a rule take it? */
} people_cases[] = {
	{ "(hired>=-1s)", MATCH_YES, false, false },
	{ "(hired<=-0d)", MATCH_YES, false, false },
	{ "(hired>=+1s)", MATCH_NO, false, false },
	{ "(hired>=-2w)", MATCH_YES, false, false },
	{ "(hired<=-1m)", MATCH_NO, false, false },
	{ "(hired<=+1h)", MATCH_YES, false, false },
	{ "(hired=-0s)", MATCH_YES, false, false },
	{ "(hired>=-1)", MATCH_NO, true, false },
	{ "(hired>=-d)", MATCH_NO, true, false },
	{ "(hired>=-1y)", MATCH_NO, true, false },
	{ "(hired>=1d)", MATCH_NO, true, false },
	{ "(hired>=-1d1h)", MATCH_NO, true, false },
	{ "(hired>=-1234567890d)", MATCH_NO, true, false },
	{ "(hired>=-999999999w)", MATCH_YES, false, false },
	{ "(level>=-30d)", MATCH_NO, true, false },
	{ "(groups=cn=sales,dc=acme)", MATCH_YES, false, false },
	{ "(groups=CN=Sales, DC=acme)", MATCH_YES, false, false },
	{ "(!(groups=cn=other,dc=acme))", MATCH_UNKNOWN, false, false },
	{ "(groups=*)", MATCH_NO, true, false },
	{ "(groups>=a)", MATCH_NO, true, false },
	{ "(groups;x-nowhere=a)", MATCH_NO, true, false },
	{ "(level=42)", MATCH_YES, false, true },
};

/* What a rule could not mean for good, it does not take. */
static void test_people(void **state)
{
	struct state *made = *state;
	struct group_states states = { 0 };
	struct person person;

	assert_true(group_registry_add(made->registry, "cn=sales,dc=acme", NULL) > 0);
	support_person(made->schema, made->registry,
		       "hr hired=20260131120000Z\nhr level=42\nhr group=cn=sales,dc=acme\n",
		       made->arena, &person);
	for (size_t i = 0; i < ARRAY_LEN(people_cases); i++) {
		const struct people_case *given = &people_cases[i];
		AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
		AUTO(diagnostics) struct diagnostics *unheard = diagnostics_create();
		struct located located = support_located(given->filter);
		struct filter *filter =
			filter_compile_people(&located, made->schema, made->registry, NOW, list);
		struct filter *rule = compile(made, given->filter, unheard);

		if ((filter == NULL) != given->is_refused || (rule != NULL) != given->in_rules)
			fail_msg("%s: %s, and in rules %s", given->filter,
				 filter ? "taken" : "refused", rule ? "taken" : "refused");
		if (filter && filter_match_people(filter, &person, &states) != given->expected)
			fail_msg("%s: %d, expected %d", given->filter,
				 filter_match_people(filter, &person, &states), given->expected);
		filter_destroy(filter);
		filter_destroy(rule);
	}
}

/* hr owes clearance; what corp says comes after it in precedence. */
static const struct {
	const char *name, *person, *filter;
	enum match expected;
} unknown_cases[] = {
	{ "owed by the first, given by the second", "hr nothing=1\ncorp clearance=secret",
	  "(clearance=secret)", MATCH_UNKNOWN },
	{ "owed, asked of the second only", "hr nothing=1\ncorp clearance=secret",
	  "(clearance;x-corp=secret)", MATCH_YES },
	{ "given by the first", "hr clearance=secret\ncorp clearance=none", "(clearance=secret)",
	  MATCH_YES },
	{ "given by the first, another value", "hr clearance=none", "(clearance=secret)",
	  MATCH_NO },
	{ "no identity from who owes it", "corp title=x", "(clearance=secret)", MATCH_NO },
	{ "no identity from who owes it, asked by name", "corp title=x", "(clearance;x-hr=secret)",
	  MATCH_UNKNOWN },
	{ "no identity from the source", "hr title=x", "(title;x-corp=x)", MATCH_NO },
	{ "nobody at all", "", "(title=x)", MATCH_NO },
	{ "nobody at all, negated", "", "(!(title=x))", MATCH_YES },
};

static void test_unknown(void **state)
{
	struct state *made = *state;

	for (size_t i = 0; i < ARRAY_LEN(unknown_cases); i++) {
		AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
		struct filter *filter = compile(made, unknown_cases[i].filter, list);
		struct person person;

		support_person(made->schema, made->registry, unknown_cases[i].person, made->arena,
			       &person);
		assert_non_null(filter);
		if (filter_match(filter, &person) != unknown_cases[i].expected)
			fail_msg("%s", unknown_cases[i].name);
		filter_destroy(filter);
	}
}

static const struct refusal {
	const char *filter, *code;
	unsigned column;
	const char *words; /* in the message or the hint */
} refusals[] = {
	{ "", "filter-syntax", 1, "empty" },
	{ "   ", "filter-syntax", 1, "(&)" },
	{ "title=x", "filter-syntax", 1, "A filter stands in parentheses" },
	{ "(title=x", "filter-syntax", 1, "never closed" },
	{ "(&(title=x)(level=1)", "filter-syntax", 1, "never closed" },
	{ "(&(title=x)(level=1", "filter-syntax", 12, "never closed" },
	{ "(title=x))", "filter-syntax", 10, "too many" },
	{ "(title=x)(title=y)", "filter-syntax", 10, "after the end" },
	{ "(title=x) y", "filter-syntax", 11, "after the end" },
	{ "(&(title=x)y)", "filter-syntax", 12, "')' expected" },
	{ "(!)", "filter-syntax", 3, "'!' needs one filter" },
	{ "(!(title=x)(title=y))", "filter-syntax", 12, "')' expected" },
	{ "()", "filter-syntax", 2, "attribute name expected" },
	{ "(=x)", "filter-syntax", 2, "attribute name expected" },
	{ "(title)", "filter-syntax", 7, "expected" },
	{ "(title>x)", "filter-syntax", 7, "'>=' expected" },
	{ "(title~x)", "filter-syntax", 7, "'~=' expected" },
	{ "(title:x)", "filter-syntax", 9, "':=' expected" },
	{ "(title:caseIgnoreMatch:caseExactMatch:=x)", "filter-syntax", 24, "only one" },
	{ "(title=a\\zz)", "filter-syntax", 9, "bad escape" },
	{ "(title=a\\2)", "filter-syntax", 9, "bad escape" },
	{ "(title=a\\", "filter-syntax", 9, "bad escape" },
	{ "(title=a\\(b)", "filter-syntax", 9, "\\28" },
	{ "(title=a(b)", "filter-syntax", 9, "\\28" },
	{ "(title>=a*)", "filter-syntax", 10, "\\2a" },
	{ "(title=a**b)", "filter-syntax", 9, "nothing stands between" },
	{ "(title=a\\00b)", "filter-syntax", 8, "without NUL" },
	{ "(title=\\ff)", "filter-syntax", 8, "UTF-8" },
	{ "(departement=x)", "unknown-attribute", 2, "Did you mean 'department'? Attributes are" },
	{ "(&(title=x)(frobnicate=x))", "unknown-attribute", 13,
	  "Attributes are declared in sources[].attributes." },
	{ "(department;x-crop=x)", "unknown-source", 13, "Did you mean 'corp'?" },
	{ "(department;lang-de=x)", "filter-unsupported", 13, "attribute;x-SOURCE" },
	{ "(department;x-corp;x-hr=x)", "filter-unsupported", 13, "option" },
	{ "(level=abc)", "filter-value", 8, "not an integer" },
	{ "(level=)", "filter-value", 8, "not an integer" },
	{ "(level=9223372036854775808)", "filter-value", 8, "64 bits" },
	{ "(level=1*)", "filter-unsupported", 2, "cannot be matched by parts" },
	{ "(active=yes)", "filter-value", 9, "TRUE or FALSE" },
	{ "(active>=TRUE)", "filter-unsupported", 2, "no order" },
	{ "(boss=nonsense)", "filter-value", 7, "not a DN" },
	{ "(boss=cn=doe\\2C jane,dc=acme)", "filter-value", 7, "not a DN" },
	{ "(boss>=cn=x)", "filter-unsupported", 2, "no order" },
	{ "(hired=yesterday)", "filter-value", 8, "generalized time" },
	{ "(title:caseIgnoreMach:=x)", "filter-unsupported", 8, "caseIgnoreMatch" },
	{ "(title:9.9.9:=x)", "filter-unsupported", 8, "Known are" },
	{ "(level:caseExactMatch:=1)", "filter-unsupported", 8, "does not apply" },
	{ "(:caseIgnoreMatch:=x)", "filter-unsupported", 3, "without an attribute" },
	{ "(:dn:=x)", "filter-unsupported", 1, "without an attribute" },
	{ "(code:dn:=x)", "filter-unsupported", 2, "':dn' is not supported" },
	{ "(title:1.2.840.113556.1.4.1941:=cn=x)", "filter-unsupported", 2, "membership" },
	{ "(memberOf:1.2.840.113556.1.4.1941:=cn=x)", "filter-unsupported", 11, "in rules" },
};

static void check_refusal(struct state *made, const struct refusal *expected)
{
	AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
	struct filter *filter = compile(made, expected->filter, list);
	const struct diagnostic *found;

	assert_null(filter);
	assert_int_equal(diagnostics_errors(list), 1);
	found = diagnostics_get(list, 0);
	if (strcmp(found->code, expected->code) != 0 || found->at.column != expected->column ||
	    (strstr(found->message, expected->words) == NULL &&
	     (found->hint == NULL || strstr(found->hint, expected->words) == NULL)))
		fail_msg("%s: %s at %u: %s (%s)", expected->filter, found->code, found->at.column,
			 found->message, found->hint ? found->hint : "");
}

static void test_refusals(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++)
		check_refusal(*state, &refusals[i]);
}

static void test_all_findings_at_once(void **state)
{
	AUTO(diagnostics) struct diagnostics *list = diagnostics_create();

	assert_null(compile(*state, "(&(aaaaaaa=1)(level=x)(|(bbbbbbbb=2)(active=maybe)))", list));
	assert_int_equal(diagnostics_errors(list), 4);
}

/* Text of count times a part, between head and tail. */
static char *repeated(struct arena *arena, const char *head, const char *part, size_t count,
		      const char *tail)
{
	struct strbuf text = STRBUF(1 << 20);
	char *copy;

	strbuf_puts(&text, head);
	for (size_t i = 0; i < count; i++)
		strbuf_puts(&text, part);
	strbuf_puts(&text, tail);
	copy = arena_strdup(arena, strbuf_text(&text));
	strbuf_finish(&text);
	return copy;
}

static const struct {
	const char *name, *head, *part;
	size_t count;
	const char *tail;
	bool allowed;
} limits[] = {
	{ "10,000 parts", "(|", "(l=)", 9999, ")", true },
	{ "10,001 parts", "(|", "(l=)", 10000, ")", false },
	{ "64 KiB", "(title=", "x", 65536 - 8, ")", true },
	{ "64 KiB and one", "(title=", "x", 65536 - 7, ")", false },
	{ "value of 60,000 stars' parts", "(title=", "a*", 20000, ")", true },
};

static void test_limits(void **state)
{
	struct state *made = *state;

	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
		struct filter *filter =
			compile(made,
				repeated(made->arena, limits[i].head, limits[i].part,
					 limits[i].count, limits[i].tail),
				list);

		if ((filter != NULL) != limits[i].allowed)
			fail_msg("%s", limits[i].name);
		filter_destroy(filter);
	}
}

static void test_depth(void **state)
{
	struct state *made = *state;

	for (size_t depth = 62; depth <= 65; depth++) {
		AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
		char *head = repeated(made->arena, "", "(!", depth, "(title=x)");
		struct filter *filter =
			compile(made, repeated(made->arena, head, ")", depth, ""), list);

		assert_int_equal(filter != NULL, depth <= 63);
		filter_destroy(filter);
	}
}

static void test_out_of_memory(void **state)
{
	static const char text[] = "(|(title=*a*)(!(sn=MÜSSIG))(boss=cn=x)(ou:dn:=Night Shift))";
	struct state *made = *state;
	struct person person;
	long n = 0;

	support_person(made->schema, made->registry, intern, made->arena, &person);
	for (;; n++) {
		struct diagnostics *list = diagnostics_create();
		struct filter *filter;
		enum match match = MATCH_UNKNOWN;
		bool failed;

		assert_non_null(list);
		alloc_fail_after(n);
		filter = compile(made, text, list);
		if (filter != NULL)
			match = filter_match(filter, &person);
		failed = alloc_fail_after(-1) < 0;
		assert_true(filter != NULL || diagnostics_errors(list) > 0);
		assert_true(filter == NULL || match == MATCH_YES || failed);
		assert_true(match != MATCH_NO);
		filter_destroy(filter);
		diagnostics_destroy(list);
		if (!failed)
			break;
	}
	assert_true(n > 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_matches),	      cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_refusals),      cmocka_unit_test(test_all_findings_at_once),
		cmocka_unit_test(test_limits),	      cmocka_unit_test(test_depth),
		cmocka_unit_test(test_out_of_memory), cmocka_unit_test(test_people),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
