/*
 * Who must prove a second factor: a table over profile, methods, an identity provider's proof and its age, grace, what the
 * organization says, and remembered devices. And the policy as options and as text.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include <rolebridge/base/util.h>
#include <rolebridge/policy/factor.h>

#define NOW INT64_C(2000000000)
#define DAY INT64_C(86400)
#define TOTP FACTOR_BIT(FACTOR_TOTP)
#define KEY FACTOR_BIT(FACTOR_WEBAUTHN)
#define SMS FACTOR_BIT(FACTOR_SMS)
#define PAPER FACTOR_BIT(FACTOR_RECOVERY)
#define BROWSER FACTOR_BIT(FACTOR_DEVICE)

static const char *const staff[] = { "staff" };
static const char *const sales[] = { "sales" };
static const char *const desk[] = { "desk" };

/* --- what the organization says --- */

static const struct factor_policy policies[] = {
	{ .required = FACTOR_FOR_NOBODY, .methods = FACTOR_ALL_METHODS, .device_s = 30 * DAY },
	{ .required = FACTOR_FOR_ADMINISTRATORS, .methods = FACTOR_ALL_METHODS },
	{ .required = FACTOR_FOR_CHOSEN, .methods = FACTOR_ALL_METHODS, .profiles = { staff, 1 } },
	{ .required = FACTOR_FOR_CHOSEN, .methods = FACTOR_ALL_METHODS, .roles = { sales, 1 } },
	{ .required = FACTOR_FOR_CHOSEN, .methods = FACTOR_ALL_METHODS, .groups = { desk, 1 } },
	{ .required = FACTOR_FOR_ALL, .methods = FACTOR_ALL_METHODS, .device_s = 30 * DAY },
	{ .required = FACTOR_FOR_ALL, .methods = TOTP | KEY, .administrator_methods = KEY },
	{ .required = FACTOR_FOR_ALL,
	  .methods = FACTOR_ALL_METHODS,
	  .administrator_methods = KEY | FACTOR_BIT(FACTOR_IDP) | PAPER },
	{ .required = FACTOR_FOR_ALL, .methods = KEY, .grace_until_s = NOW + DAY },
	{ .required = FACTOR_FOR_ALL, .methods = KEY, .grace_sign_ins = 3 },
	{ .required = FACTOR_FOR_ALL,
	  .methods = KEY,
	  .grace_until_s = NOW + DAY,
	  .grace_sign_ins = 3 },
	{ .required = FACTOR_FOR_ALL, .methods = KEY, .grace_until_s = NOW },
};
enum policy {
	NOBODY,
	ADMINISTRATORS,
	STAFF,
	SALES,
	DESK,
	ALL,
	KEY_FOR_ADMINISTRATORS,
	KEY_IDP_FOR_ADMINISTRATORS,
	GRACE_DATE,
	GRACE_NUMBER,
	GRACE_BOTH,
	GRACE_OVER,
	POLICIES,
};

/* --- rows by hand --- */

struct row {
	const char *name;
	enum policy policy;
	bool administrator, in_sales, in_desk;
	unsigned enrolled;
	int64_t idp_age_s; /* 0: no proof; else so long ago */
	bool idp_asked;
	int64_t device_age_s;
	enum factor_method device_by;
	int64_t sign_ins;
	/* Expected. */
	enum factor_kind kind;
	unsigned methods; /* of FACTOR_ASK */
	enum factor_method by;
	bool counts;
};

static const struct row rows[] = {
	{ .name = "nobody required, none enrolled", .kind = FACTOR_NOT_NEEDED },
	{ .name = "nobody required, one enrolled",
	  .enrolled = TOTP,
	  .kind = FACTOR_ASK,
	  .methods = TOTP },
	{ .name = "nobody required, codes are a spare",
	  .enrolled = TOTP | PAPER,
	  .kind = FACTOR_ASK,
	  .methods = TOTP | PAPER },
	{ .name = "codes alone are no method", .enrolled = PAPER, .kind = FACTOR_NOT_NEEDED },
	{ .name = "enrolled and proven by the IdP",
	  .enrolled = TOTP,
	  .idp_age_s = 60,
	  .kind = FACTOR_PROVEN,
	  .by = FACTOR_IDP },
	{ .name = "enrolled, remembered",
	  .enrolled = TOTP,
	  .device_age_s = DAY,
	  .device_by = FACTOR_TOTP,
	  .kind = FACTOR_PROVEN,
	  .by = FACTOR_DEVICE },
	{ .name = "remembered by what is not theirs any more",
	  .enrolled = TOTP,
	  .device_age_s = DAY,
	  .device_by = FACTOR_SMS,
	  .kind = FACTOR_ASK,
	  .methods = TOTP },
	{ .name = "remembered for too long",
	  .enrolled = TOTP,
	  .device_age_s = 30 * DAY + 1,
	  .device_by = FACTOR_TOTP,
	  .kind = FACTOR_ASK,
	  .methods = TOTP },
	{ .name = "remembered to the last second",
	  .enrolled = TOTP,
	  .device_age_s = 30 * DAY,
	  .device_by = FACTOR_TOTP,
	  .kind = FACTOR_PROVEN,
	  .by = FACTOR_DEVICE },
	{ .name = "the IdP was asked and answered less, none enrolled",
	  .idp_asked = true,
	  .kind = FACTOR_REFUSED },
	{ .name = "the IdP was asked and answered less, one enrolled",
	  .idp_asked = true,
	  .enrolled = SMS,
	  .kind = FACTOR_ASK,
	  .methods = SMS },
	{ .name = "the IdP was asked and proved it",
	  .idp_asked = true,
	  .enrolled = SMS,
	  .idp_age_s = 60,
	  .kind = FACTOR_PROVEN,
	  .by = FACTOR_IDP },

	{ .name = "administrators: staff", .policy = ADMINISTRATORS, .kind = FACTOR_NOT_NEEDED },
	{ .name = "administrators: one without",
	  .policy = ADMINISTRATORS,
	  .administrator = true,
	  .kind = FACTOR_REFUSED },
	{ .name = "administrators: one with",
	  .policy = ADMINISTRATORS,
	  .administrator = true,
	  .enrolled = SMS,
	  .kind = FACTOR_ASK,
	  .methods = SMS },
	{ .name = "administrators: staff with one",
	  .policy = ADMINISTRATORS,
	  .enrolled = SMS,
	  .kind = FACTOR_ASK,
	  .methods = SMS },

	{ .name = "chosen profile", .policy = STAFF, .kind = FACTOR_REFUSED },
	{ .name = "another profile",
	  .policy = STAFF,
	  .administrator = true,
	  .kind = FACTOR_NOT_NEEDED },
	{ .name = "chosen role", .policy = SALES, .in_sales = true, .kind = FACTOR_REFUSED },
	{ .name = "without the chosen role",
	  .policy = SALES,
	  .in_desk = true,
	  .kind = FACTOR_NOT_NEEDED },
	{ .name = "chosen group", .policy = DESK, .in_desk = true, .kind = FACTOR_REFUSED },
	{ .name = "a role of a group's name is no group",
	  .policy = DESK,
	  .in_sales = true,
	  .kind = FACTOR_NOT_NEEDED },

	{ .name = "all: none enrolled", .policy = ALL, .kind = FACTOR_REFUSED },
	{ .name = "all: codes alone", .policy = ALL, .enrolled = PAPER, .kind = FACTOR_REFUSED },
	{ .name = "all: one enrolled",
	  .policy = ALL,
	  .enrolled = KEY | PAPER,
	  .kind = FACTOR_ASK,
	  .methods = KEY | PAPER },
	{ .name = "all: by the IdP",
	  .policy = ALL,
	  .idp_age_s = 3600,
	  .kind = FACTOR_PROVEN,
	  .by = FACTOR_IDP },
	{ .name = "all: by an IdP's clock ahead of ours",
	  .policy = ALL,
	  .idp_age_s = -300,
	  .kind = FACTOR_PROVEN,
	  .by = FACTOR_IDP },
	{ .name = "all: by an IdP of the future",
	  .policy = ALL,
	  .idp_age_s = -301,
	  .kind = FACTOR_REFUSED },
	{ .name = "all: IdP before a device",
	  .policy = ALL,
	  .enrolled = KEY,
	  .idp_age_s = 9,
	  .device_age_s = DAY,
	  .device_by = FACTOR_WEBAUTHN,
	  .kind = FACTOR_PROVEN,
	  .by = FACTOR_IDP },
	{ .name = "all: remembered",
	  .policy = ALL,
	  .enrolled = KEY,
	  .device_age_s = DAY,
	  .device_by = FACTOR_WEBAUTHN,
	  .kind = FACTOR_PROVEN,
	  .by = FACTOR_DEVICE },
	{ .name = "no devices by policy",
	  .policy = GRACE_OVER,
	  .enrolled = KEY,
	  .device_age_s = DAY,
	  .device_by = FACTOR_WEBAUTHN,
	  .kind = FACTOR_ASK,
	  .methods = KEY },

	{ .name = "a method that does not count",
	  .policy = KEY_FOR_ADMINISTRATORS,
	  .enrolled = SMS,
	  .kind = FACTOR_REFUSED },
	{ .name = "one of two counts",
	  .policy = KEY_FOR_ADMINISTRATORS,
	  .enrolled = SMS | TOTP,
	  .kind = FACTOR_ASK,
	  .methods = TOTP },
	{ .name = "keys alone: an administrator's app",
	  .policy = KEY_FOR_ADMINISTRATORS,
	  .administrator = true,
	  .enrolled = TOTP,
	  .kind = FACTOR_REFUSED },
	{ .name = "keys alone: an administrator's key",
	  .policy = KEY_FOR_ADMINISTRATORS,
	  .administrator = true,
	  .enrolled = TOTP | KEY,
	  .kind = FACTOR_ASK,
	  .methods = KEY },
	{ .name = "keys alone: paper is no key",
	  .policy = KEY_FOR_ADMINISTRATORS,
	  .administrator = true,
	  .enrolled = PAPER | KEY,
	  .kind = FACTOR_ASK,
	  .methods = KEY },
	{ .name = "keys alone: nor is the IdP",
	  .policy = KEY_FOR_ADMINISTRATORS,
	  .administrator = true,
	  .enrolled = KEY,
	  .idp_age_s = 9,
	  .kind = FACTOR_ASK,
	  .methods = KEY },
	{ .name = "keys alone: staff by the IdP",
	  .policy = KEY_FOR_ADMINISTRATORS,
	  .idp_age_s = 9,
	  .kind = FACTOR_PROVEN,
	  .by = FACTOR_IDP },
	{ .name = "keys, IdP and paper named",
	  .policy = KEY_IDP_FOR_ADMINISTRATORS,
	  .administrator = true,
	  .idp_age_s = 9,
	  .kind = FACTOR_PROVEN,
	  .by = FACTOR_IDP },
	{ .name = "keys and paper named",
	  .policy = KEY_IDP_FOR_ADMINISTRATORS,
	  .administrator = true,
	  .enrolled = KEY | SMS | PAPER,
	  .kind = FACTOR_ASK,
	  .methods = KEY | PAPER },

	{ .name = "grace until tomorrow",
	  .policy = GRACE_DATE,
	  .sign_ins = 99,
	  .kind = FACTOR_GRACE,
	  .counts = true },
	{ .name = "grace until now", .policy = GRACE_OVER, .kind = FACTOR_REFUSED },
	{ .name = "the first of three",
	  .policy = GRACE_NUMBER,
	  .kind = FACTOR_GRACE,
	  .counts = true },
	{ .name = "the last of three",
	  .policy = GRACE_NUMBER,
	  .sign_ins = 2,
	  .kind = FACTOR_GRACE,
	  .counts = true },
	{ .name = "one after three",
	  .policy = GRACE_NUMBER,
	  .sign_ins = 3,
	  .kind = FACTOR_REFUSED },
	{ .name = "both bounds hold",
	  .policy = GRACE_BOTH,
	  .sign_ins = 2,
	  .kind = FACTOR_GRACE,
	  .counts = true },
	{ .name = "one of both is over",
	  .policy = GRACE_BOTH,
	  .sign_ins = 3,
	  .kind = FACTOR_REFUSED },
	{ .name = "grace does not spare who is ready",
	  .policy = GRACE_DATE,
	  .enrolled = KEY,
	  .kind = FACTOR_ASK,
	  .methods = KEY },
	{ .name = "in grace, what does not count is asked all the same",
	  .policy = GRACE_DATE,
	  .enrolled = TOTP | PAPER,
	  .kind = FACTOR_ASK,
	  .methods = TOTP | PAPER,
	  .counts = true },
	{ .name = "after grace, what does not count is no way in",
	  .policy = GRACE_OVER,
	  .enrolled = TOTP | PAPER,
	  .kind = FACTOR_REFUSED },
};

static struct factor_question ask(const struct row *row)
{
	struct factor_question question = { .is_administrator = row->administrator,
					    .profile =
						    row->administrator ? "administrator" : "staff",
					    .enrolled = row->enrolled,
					    .idp_asked = row->idp_asked,
					    .device_by = row->device_by,
					    .sign_ins = row->sign_ins,
					    .now_s = NOW };

	if (row->in_sales)
		question.roles = (struct factor_names){ sales, 1 };
	if (row->in_desk)
		question.groups = (struct factor_names){ desk, 1 };
	if (row->idp_age_s)
		question.idp_s = NOW - row->idp_age_s;
	if (row->device_age_s)
		question.device_s = NOW - row->device_age_s;
	return question;
}

static void test_rows(void **state UNUSED)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *row = &rows[i];
		struct factor_question question = ask(row);
		struct factor_answer answer;

		factor_judge(&policies[row->policy], &question, &answer);
		if (answer.kind != row->kind || answer.by != row->by ||
		    answer.counts_sign_in != row->counts ||
		    (row->kind == FACTOR_ASK && answer.methods != row->methods))
			fail_msg("%s: kind %d by %d methods %#x counts %d", row->name, answer.kind,
				 answer.by, answer.methods, answer.counts_sign_in);
	}
}

/* --- all combinations, held to what must be true of each --- */

struct totals {
	size_t rows, by_kind[FACTOR_REFUSED + 1];
};

static void check_combination(const struct row *row, struct totals *totals)
{
	const struct factor_policy *policy = &policies[row->policy];
	struct factor_question question = ask(row);
	unsigned counting = factor_methods_that_count(policy, row->administrator);
	struct factor_answer answer, again;
	bool required = row->idp_asked || factor_is_required(policy, &question);
	unsigned own = row->enrolled & FACTOR_ALL_METHODS;

	factor_judge(policy, &question, &answer);
	totals->rows++;
	totals->by_kind[answer.kind]++;
	assert_int_equal(answer.required, required);
	switch (answer.kind) {
	case FACTOR_NOT_NEEDED:
		assert_false(required);
		assert_int_equal(own, 0);
		break;
	case FACTOR_PROVEN:
		assert_true(answer.proven_s > 0 && answer.proven_s <= NOW + 300);
		if (answer.by == FACTOR_IDP)
			assert_true(row->idp_age_s && (counting & FACTOR_BIT(FACTOR_IDP)));
		else
			assert_true(answer.by == FACTOR_DEVICE && policy->device_s > 0 &&
				    row->device_age_s <= policy->device_s);
		break;
	case FACTOR_ASK:
		/* Never one that they do not have, and a method among them. */
		assert_int_equal(answer.methods & ~row->enrolled, 0);
		assert_true(answer.methods & FACTOR_ALL_METHODS);
		if (required && !answer.counts_sign_in)
			assert_int_equal(answer.methods & ~counting, 0);
		break;
	case FACTOR_GRACE:
		assert_true(required && own == 0 && answer.counts_sign_in);
		assert_true(policy->grace_until_s > NOW || policy->grace_sign_ins > row->sign_ins);
		break;
	case FACTOR_REFUSED:
		assert_true(required);
		assert_int_equal(own & counting, 0);
		break;
	}
	/* A method more never makes it worse, nor does a proof. */
	question.enrolled |= KEY;
	factor_judge(policy, &question, &again);
	assert_int_not_equal(again.kind, FACTOR_REFUSED);
}

static void test_combinations(void **state UNUSED)
{
	static const unsigned enrolled[] = { 0, PAPER, TOTP, KEY, SMS | PAPER, TOTP | KEY | PAPER };
	static const int64_t ages[] = { 0, -400, -100, 60, 13 * 3600 };
	static const int64_t devices[] = { 0, DAY, 31 * DAY };
	static const int64_t sign_ins[] = { 0, 2, 3 };
	struct totals totals = { 0 };
	struct row row = { .name = "combination" };

	for (unsigned i = 0; i < POLICIES * 2 * 2 * 6 * 5 * 2 * 3 * 3; i++) {
		unsigned at = i;

		row.policy = at % POLICIES, at /= POLICIES;
		row.administrator = at % 2, at /= 2;
		row.in_sales = row.in_desk = at % 2, at /= 2;
		row.enrolled = enrolled[at % 6], at /= 6;
		row.idp_age_s = ages[at % 5], at /= 5;
		row.idp_asked = at % 2, at /= 2;
		row.device_age_s = devices[at % 3], at /= 3;
		row.device_by = row.enrolled & TOTP ? FACTOR_TOTP : FACTOR_WEBAUTHN;
		row.sign_ins = sign_ins[at % 3];
		check_combination(&row, &totals);
	}
	assert_int_equal(totals.rows, POLICIES * 2 * 2 * 6 * 5 * 2 * 3 * 3);
	for (size_t i = 0; i < ARRAY_LEN(totals.by_kind); i++)
		assert_true(totals.by_kind[i] > 0);
}

static void test_fresh(void **state UNUSED)
{
	assert_false(factor_is_fresh(0, 0, NOW));
	assert_true(factor_is_fresh(1, 0, NOW));
	assert_true(factor_is_fresh(NOW - 60, 60, NOW));
	assert_false(factor_is_fresh(NOW - 61, 60, NOW));
	assert_true(factor_is_fresh(NOW + 300, 60, NOW));
	assert_false(factor_is_fresh(NOW + 301, 60, NOW));
}

/* --- as text --- */

static const char *round_trip(struct arena *arena, const char *text)
{
	AUTO(strbuf) struct strbuf out = STRBUF(1 << 16);
	struct json json = JSON(&out);
	struct factor_policy policy;
	struct err err = { 0 };

	if (factor_policy_read(text, strlen(text), arena, &policy, &err) < 0)
		return arena_printf(arena, "%s: %s", err_reason(&err), err.text);
	json_object(&json);
	factor_policy_write(&policy, &json);
	json_end(&json);
	return arena_strdup(arena, strbuf_text(&out));
}

#define TAIL ",\"remember\":{\"time\":0,\"devices\":5}}"
#define EVERY "[\"totp\",\"webauthn\",\"email\",\"sms\"]"
static const struct {
	const char *name, *text, *out;
} texts[] = {
	{ "least", "{\"required\":\"all\"}",
	  "{\"required\":\"all\",\"profiles\":[],\"roles\":[],\"groups\":[],\"methods\":" EVERY
	  ",\"administrator_methods\":[],\"grace\":{\"until\":null,\"sign_ins\":0}" TAIL },
	{ "most",
	  "{\"required\":\"chosen\",\"profiles\":[\"a\"],\"roles\":[\"b\",\"c\"],\"groups\":[\"d\"],"
	  "\"methods\":[\"totp\",\"webauthn\"],\"administrator_methods\":[\"webauthn\",\"idp\"],"
	  "\"grace\":{\"until\":\"2033-05-18\",\"sign_ins\":7},\"remember\":{\"time\":60,\"devices\":2}}",
	  "{\"required\":\"chosen\",\"profiles\":[\"a\"],\"roles\":[\"b\",\"c\"],\"groups\":[\"d\"],"
	  "\"methods\":[\"totp\",\"webauthn\"],\"administrator_methods\":[\"webauthn\",\"idp\"],"
	  "\"grace\":{\"until\":\"2033-05-18\",\"sign_ins\":7},\"remember\":{\"time\":60,\"devices\":2}}" },
	{ "a time without a number", "{\"required\":\"nobody\",\"remember\":{\"devices\":9}}",
	  "{\"required\":\"nobody\",\"profiles\":[],\"roles\":[],\"groups\":[],\"methods\":" EVERY
	  ",\"administrator_methods\":[],\"grace\":{\"until\":null,\"sign_ins\":0},"
	  "\"remember\":{\"time\":2592000,\"devices\":9}}" },
	{ "nothing", "{}", "invalid-request: 'required' is missing" },
	{ "nobody that could be meant", "{\"required\":\"some\"}",
	  "invalid-request: 'some' is nobody that could be meant" },
	{ "chosen without anybody", "{\"required\":\"chosen\"}",
	  "invalid-request: 'chosen' without anybody" },
	{ "names that are not looked at", "{\"required\":\"all\",\"roles\":[\"a\"]}",
	  "invalid-request: who is named here would make no difference" },
	{ "a method that is none", "{\"required\":\"all\",\"methods\":[\"fax\"]}",
	  "invalid-request: 'fax' is no method that can be named here" },
	{ "an IdP is no method of all", "{\"required\":\"all\",\"methods\":[\"idp\"]}",
	  "invalid-request: 'idp' is no method that can be named here" },
	{ "nor is a device one of administrators",
	  "{\"required\":\"all\",\"administrator_methods\":[\"device\"]}",
	  "invalid-request: 'device' is no method that can be named here" },
	{ "not only names", "{\"methods\":[\"totp\"]}", "invalid-request: 'required' is missing" },
};

static void test_texts(void **state UNUSED)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 20);

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		const char *out = round_trip(arena, texts[i].text);

		if (strcmp(out, texts[i].out) != 0)
			fail_msg("%s: %s", texts[i].name, out);
		if (out[0] == '{')
			assert_string_equal(round_trip(arena, out), out);
	}
}

static void test_bad_texts(void **state UNUSED)
{
	static const char *const bad[] = { "",
					   "[]",
					   "1",
					   "{\"required\":\"all\",\"x\":1}",
					   "{\"required\":\"all\",\"grace\":{\"sign_ins\":-1}}",
					   "{\"required\":\"all\",\"grace\":{\"until\":\"soon\"}}",
					   "{\"required\":\"all\",\"methods\":[]}",
					   "{\"required\":\"all\",\"remember\":{\"devices\":0}}" };
	AUTO(arena) struct arena *arena = arena_create(1 << 20);

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (strncmp(round_trip(arena, bad[i]), "invalid-request: ", 17) != 0)
			fail_msg("%s: %s", bad[i], round_trip(arena, bad[i]));
}

/* The last day of grace is good to its end. */
static void test_grace_ends_with_the_day(void **state UNUSED)
{
	static const char text[] = "{\"required\":\"all\",\"grace\":{\"until\":\"2033-05-18\"}}";
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	struct factor_policy policy;
	struct err err = { 0 };

	assert_int_equal(factor_policy_read(text, strlen(text), arena, &policy, &err), 0);
	/* 2033-05-19T00:00:00Z */
	assert_int_equal(policy.grace_until_s, 2000073600);
}

/* --- what a session that is there must have been proven by --- */

static void test_demand(void **state)
{
	static const struct {
		const char *name;
		enum policy policy;
		bool administrator;
		unsigned enrolled;
		int64_t sign_ins;
		unsigned demand;
		int64_t until_s;
	} cases[] = {
		{ "nobody", NOBODY, true, TOTP, 0, 0, INT64_MAX },
		{ "administrators, no administrator", ADMINISTRATORS, false, 0, 0, 0, INT64_MAX },
		{ "administrators", ADMINISTRATORS, true, 0, 0,
		  FACTOR_ALL_METHODS | PAPER | FACTOR_BIT(FACTOR_IDP), INT64_MAX },
		{ "whatever they have", ADMINISTRATORS, true, TOTP, 0,
		  FACTOR_ALL_METHODS | PAPER | FACTOR_BIT(FACTOR_IDP), INT64_MAX },
		{ "administrators' own", KEY_FOR_ADMINISTRATORS, true, TOTP, 0, KEY, INT64_MAX },
		{ "others'", KEY_FOR_ADMINISTRATORS, false, TOTP, 0,
		  TOTP | KEY | PAPER | FACTOR_BIT(FACTOR_IDP), INT64_MAX },
		{ "grace by date", GRACE_DATE, false, 0, 0, 0, NOW + DAY },
		{ "grace is over", GRACE_OVER, false, 0, 0, KEY | PAPER | FACTOR_BIT(FACTOR_IDP),
		  INT64_MAX },
		{ "grace by number", GRACE_NUMBER, false, 0, 0, 0, INT64_MAX },
		{ "the last of them", GRACE_NUMBER, false, 0, 3, 0, INT64_MAX },
		{ "more than there are now", GRACE_NUMBER, false, 0, 4,
		  KEY | PAPER | FACTOR_BIT(FACTOR_IDP), INT64_MAX },
		{ "both", GRACE_BOTH, false, 0, 3, 0, NOW + DAY },
		{ "browsers are remembered", ALL, false, TOTP, 0,
		  FACTOR_ALL_METHODS | PAPER | FACTOR_BIT(FACTOR_IDP) | BROWSER, INT64_MAX },
		{ "and those of whom none is required, too", NOBODY, false, TOTP, 0, 0, INT64_MAX },
		{ "no more, of whom none is required", ADMINISTRATORS, false, TOTP, 0, ~BROWSER,
		  INT64_MAX },
		{ "no more, while grace lasts", GRACE_DATE, false, TOTP, 0, ~BROWSER, NOW + DAY },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct factor_question question = {
			.is_administrator = cases[i].administrator,
			.profile = "staff",
			.enrolled = cases[i].enrolled,
			.sign_ins = cases[i].sign_ins,
			.now_s = NOW,
		};
		int64_t until_s;
		unsigned demand = factor_demand(&policies[cases[i].policy], &question, &until_s);

		if (demand != cases[i].demand || until_s != cases[i].until_s)
			fail_msg("%s: %x until %lld", cases[i].name, demand, (long long)until_s);
	}
}

/* What stands in for another proof does so only where that is good enough by itself. */
static void test_meets(void **state)
{
	static const struct {
		const char *name;
		unsigned demand;
		enum factor_method factor, proven_by;
		bool meets;
	} cases[] = {
		{ "nothing is asked", 0, FACTOR_NONE, FACTOR_NONE, true },
		{ "nothing was proven", TOTP, FACTOR_NONE, FACTOR_NONE, false },
		{ "what is asked", TOTP | KEY, FACTOR_WEBAUTHN, FACTOR_WEBAUTHN, true },
		{ "something else", KEY, FACTOR_TOTP, FACTOR_TOTP, false },
		{ "remembered for it", TOTP | BROWSER, FACTOR_DEVICE, FACTOR_TOTP, true },
		{ "remembered for something else", KEY | BROWSER, FACTOR_DEVICE, FACTOR_TOTP,
		  false },
		{ "no browser is remembered", TOTP, FACTOR_DEVICE, FACTOR_TOTP, false },
		{ "anything but a browser: nothing", ~BROWSER, FACTOR_NONE, FACTOR_NONE, true },
		{ "anything but a browser: a proof", ~BROWSER, FACTOR_TOTP, FACTOR_TOTP, true },
		{ "anything but a browser: one", ~BROWSER, FACTOR_DEVICE, FACTOR_TOTP, false },
		{ "anything but a browser: one of before", ~BROWSER, FACTOR_DEVICE, FACTOR_NONE,
		  false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (factor_meets(cases[i].demand, cases[i].factor, cases[i].proven_by) !=
		    cases[i].meets)
			fail_msg("%s", cases[i].name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),	  cmocka_unit_test(test_combinations),
		cmocka_unit_test(test_fresh),	  cmocka_unit_test(test_texts),
		cmocka_unit_test(test_bad_texts), cmocka_unit_test(test_grace_ends_with_the_day),
		cmocka_unit_test(test_demand),	  cmocka_unit_test(test_meets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
