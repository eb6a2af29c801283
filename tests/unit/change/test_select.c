/* Choosing people by filter: walks in pieces, times from now on, sign-ins, groups nobody was asked for, what is hidden. */
#include "support.h"

#include <stdio.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/change/select.h>
#include <rolebridge/change/usage.h>
#include <rolebridge/config/document.h>
#include <rolebridge/store/session.h>

#define NOW INT64_C(1700000000)
#define DAY INT64_C(86400)

static const char config[] = RULES POLICY
	"segment_filters: [{name: desk, filter: '(title=ops*)'}]\n"
	"sources: [{name: corp, type: ldif, attributes: [{name: salary, syntax: integer, sensitive: "
	"true}]}, {name: hr, type: ldif, link: {attribute: uid, source: corp, other: uid}}]\n";

static const char people[] = "1 anna title=ops_one @sales salary=7\n"
			     "2 ben title=clerk\n"
			     "3 cora title=ops_two @sales ?incomplete\n"
			     "4 dora ?incomplete\n";

static void open_with(struct world *w)
{
	world_open(w, config);
	world_sync(w, "corp", people, 0, NULL);
}

static const struct selection_options all = { .now_s = NOW, .sensitive = true };

/* --- names of who is chosen --- */

struct names {
	char text[512];
	size_t count, enough;
};

static int note_name(void *context, const struct user *user, struct arena *arena UNUSED,
		     struct err *err UNUSED)
{
	struct names *names = context;
	size_t used = strlen(names->text);

	snprintf(names->text + used, sizeof(names->text) - used, "%s%s", used ? " " : "",
		 user->username);
	return ++names->count == names->enough;
}

static struct selection *compiled(struct world *w, struct store *store, const char *filter)
{
	struct setup *setup = changer_setup(w->changer);
	struct selection *selection;

	ok(w, selection_compile(setup, store, filter, &all, &selection, NULL, &w->err));
	setup_release(setup);
	return selection;
}

static void chooses(struct world *w, const char *filter, const char *expected)
{
	AUTO(store) struct store *store = world_read(w);
	AUTO(selection) struct selection *selection = NULL;
	struct selection_walk walk = { .query = { .active = -1 }, .scan_max = 100 };
	struct names names = { .enough = 0 };

	ok(w, store_begin(store, &w->err));
	selection = compiled(w, store, filter);
	ok(w, selection_walk(selection, store, &walk, note_name, &names, &w->err));
	if (strcmp(names.text, expected) != 0)
		fail_msg("%s chooses '%s', not '%s'", filter, names.text, expected);
	assert_int_equal(walk.next_after, 0);
	selection_end(selection);
	store_rollback(store);
}

static void test_unknown_is_not_chosen(void **state)
{
	struct world *w = *state;

	open_with(w);
	chooses(w, "(groups=cn=sales,dc=x)", "anna cora");
	/* Whose list may lack it is not said to be outside. */
	chooses(w, "(!(groups=cn=sales,dc=x))", "ben");
	chooses(w, "(&(title=*)(role=sales))", "anna cora");
	chooses(w, "(title=ops*)", "anna cora");
	chooses(w, "(!(title=*))", "dora");
}

/* --- pieces --- */

static void test_walks_in_pieces(void **state)
{
	struct world *w = *state;

	open_with(w);
	for (size_t scan = 1; scan <= 6; scan++) {
		AUTO(store) struct store *store = world_read(w);
		AUTO(selection) struct selection *selection = NULL;
		struct selection_walk walk = { .query = { .active = -1 }, .scan_max = scan };
		struct names names = { .enough = 0 };
		size_t looked_at = 0, pieces = 0;

		ok(w, store_begin(store, &w->err));
		selection = compiled(w, store, "(title=ops*)");
		do {
			ok(w, selection_walk(selection, store, &walk, note_name, &names, &w->err));
			assert_true(walk.looked_at <= scan);
			assert_true(walk.next_after == 0 || walk.next_after > walk.query.after_id);
			looked_at += walk.looked_at;
			walk.query.after_id = walk.next_after;
			pieces++;
		} while (walk.next_after != 0);
		assert_string_equal(names.text, "anna cora");
		assert_int_equal(looked_at, 4);
		assert_true(pieces >= 4 / scan);
		store_rollback(store);
	}
}

static void test_stops_when_it_is_enough(void **state)
{
	struct world *w = *state;
	AUTO(store) struct store *store = NULL;
	AUTO(selection) struct selection *selection = NULL;
	struct selection_walk walk = { .query = { .active = -1 }, .scan_max = 100 };
	struct names names = { .enough = 1 };

	open_with(w);
	store = world_read(w);
	ok(w, store_begin(store, &w->err));
	selection = compiled(w, store, "(title=ops*)");
	ok(w, selection_walk(selection, store, &walk, note_name, &names, &w->err));
	assert_string_equal(names.text, "anna");
	walk.query.after_id = walk.next_after;
	names = (struct names){ .enough = 1 };
	ok(w, selection_walk(selection, store, &walk, note_name, &names, &w->err));
	assert_string_equal(names.text, "cora");
	/* Other conditions of the walk. */
	walk = (struct selection_walk){ .query = { .active = 0 }, .scan_max = 100 };
	names = (struct names){ .enough = 0 };
	ok(w, selection_walk(selection, store, &walk, note_name, &names, &w->err));
	assert_string_equal(names.text, "");
	assert_int_equal(selection_fair(selection, 20000), 20000);
	store_rollback(store);
}

static void test_a_long_filter_looks_at_few(void **state)
{
	struct world *w = *state;
	AUTO(store) struct store *store = NULL;
	AUTO(selection) struct selection *selection = NULL;
	AUTO(strbuf) struct strbuf text = STRBUF(1 << 16);

	open_with(w);
	store = world_read(w);
	strbuf_puts(&text, "(|");
	for (int i = 0; i < 8000; i++)
		strbuf_puts(&text, "(cn=a)");
	strbuf_puts(&text, ")");
	selection = compiled(w, store, strbuf_text(&text));
	assert_int_equal(selection_fair(selection, 100000), 400);
	assert_int_equal(selection_fair(selection, 100), 1);
	/* Parts that compare nothing are walked, too. */
	strbuf_clear(&text);
	strbuf_puts(&text, "(&");
	for (int i = 0; i < 7999; i++)
		strbuf_puts(&text, "(&)");
	strbuf_puts(&text, ")");
	selection_free(selection);
	selection = compiled(w, store, strbuf_text(&text));
	assert_int_equal(selection_fair(selection, 100000), 800);
}

/* --- sign-ins --- */

static void signed_in(struct world *w, struct store *store, const char *username, int64_t at_s)
{
	static uint8_t number;
	struct user user;
	struct session session = { .source = "",
				   .name_id = "",
				   .name_id_format = "",
				   .session_index = "",
				   .address = "",
				   .agent = "",
				   .created_s = at_s,
				   .seen_s = at_s,
				   .until_s = at_s + 3600 };

	ok(w, store_user_find(store, USER_BY_USERNAME, username, w->arena, &user, &w->err));
	session.user_id = user.id;
	session.uuid.byte[0] = ++number;
	ok(w, store_session_insert(store, &session, &w->err));
}

static void test_sign_ins(void **state)
{
	struct world *w = *state;
	struct store *store;

	open_with(w);
	world_close(w);
	store = store_open(w->path, STORE_WRITE, &w->err);
	assert_non_null(store);
	ok(w, store_begin(store, &w->err));
	signed_in(w, store, "anna", NOW - 30 * DAY);
	signed_in(w, store, "anna", NOW - 3 * DAY);
	signed_in(w, store, "anna", NOW - 3 * DAY + 1);
	signed_in(w, store, "ben", NOW - 30 * DAY - 1);
	signed_in(w, store, "cora", NOW - 80 * DAY);
	ok(w, store_commit(store, &w->err));
	store_close(store);
	world_open(w, config);
	chooses(w, "(lastSignIn=*)", "anna ben cora");
	chooses(w, "(lastSignIn>=-30d)", "anna");
	chooses(w, "(lastSignIn>=-2592001s)", "anna ben");
	chooses(w, "(!(lastSignIn>=-30d))", "ben cora dora");
	chooses(w, "(lastSignIn<=-60d)", "cora");
	chooses(w, "(lastSignIn<=+1w)", "anna ben cora");
	chooses(w, "(signIns7d>=2)", "anna");
	chooses(w, "(signIns30d=0)", "ben cora dora");
	chooses(w, "(signIns90d>=1)", "anna ben cora");
	chooses(w, "(&(signIns90d<=0)(username=*))", "dora");
}

/* Who signed in on many days costs as little as who did on one. */
static void test_inactive_looks_at_last_days(void **state)
{
	const struct inactive_query query = { .before_s = NOW - DAY,
					      .limit = 10,
					      .looked_at = 100 };
	struct world *w = *state;
	int64_t steps[2], next;

	open_with(w);
	world_close(w);
	for (int many = 0; many < 2; many++) {
		struct store *store = store_open(w->path, STORE_WRITE, &w->err);
		struct inactive *found;
		size_t count;
		int left = 1;

		assert_non_null(store);
		store_set_tidy_piece(store, 1000);
		ok(w, store_begin(store, &w->err));
		for (int i = 0; i < (many ? 100 : 1); i++)
			signed_in(w, store, "anna", NOW - (2 + many + i) * DAY);
		ok(w, store_commit(store, &w->err));
		while (left > 0)
			ok(w, left = store_tidy(store, &w->err));
		steps[many] = store_steps(store);
		ok(w, usage_inactive(&query, store, w->arena, &found, &count, &next, &w->err));
		steps[many] = store_steps(store) - steps[many];
		assert_int_equal(count, 4);
		assert_int_equal(found[0].last_s, NOW - 2 * DAY);
		assert_int_equal(next, 0);
		store_close(store);
	}
	if (steps[1] > steps[0] + 50)
		fail_msg("%ld steps, then %ld", (long)steps[0], (long)steps[1]);
}

static void test_one_by_one(void **state)
{
	struct world *w = *state;
	AUTO(store) struct store *store = NULL;
	AUTO(selection) struct selection *selection = NULL;
	struct user anna, ben;
	bool chosen;

	open_with(w);
	anna = world_find(w, "anna");
	ben = world_find(w, "ben");
	store = world_read(w);
	ok(w, store_begin(store, &w->err));
	selection = compiled(w, store, "(&(signIns30d=0)(title=ops*))");
	for (int round = 0; round < 2; round++) {
		ok(w, selection_matches(selection, store, &anna, w->arena, &chosen, &w->err));
		assert_true(chosen);
		ok(w, selection_matches(selection, store, &ben, w->arena, &chosen, &w->err));
		assert_false(chosen);
		ok(w, selection_begin(selection, store, &w->err));
	}
	selection_end(selection);
	store_rollback(store);
}

/* --- what is refused --- */

static const struct refused_case {
	const char *filter, *code;
	size_t offset, width;
	const char *hint; /* part of it */
	bool sensitive;
} refused_cases[] = {
	{ "(&(titel=x)(cn=a))", "unknown-attribute", 3, 5, "'title'", true },
	{ "(salery=1)", "unknown-attribute", 1, 6, "'salary'", true },
	{ "(salary>=1)", "unknown-attribute", 1, 6, "", false },
	{ "(salary;x-corp>=1)", "unknown-attribute", 1, 6, "", false },
	{ "(username;x-corp=a)", "filter-unsupported", 10, 6, "", true },
	{ "(cn;x-crop=a)", "unknown-source", 4, 6, "'corp'", true },
	{ "(created>=-30d )", "filter-value", 10, 5, "", true },
	{ "(title>=-30d)", NULL, 0, 0, "", true }, /* a text, and that is its order */
	{ "(groups=cn=staff", "filter-syntax", 0, 1, "", true },
	{ "(groups~=x)", "filter-unsupported", 1, 6, "(groups=NAME)", true },
	{ "(groups=cn=new,dc=x)", "group-unread", 0, 1, "", true },
	{ "(=x)", "filter-syntax", 1, 1, "", true },
};

static void test_refused(void **state)
{
	struct world *w = *state;
	AUTO(store) struct store *store = NULL;
	struct setup *setup;

	open_with(w);
	store = world_read(w);
	setup = changer_setup(w->changer);
	for (size_t i = 0; i < ARRAY_LEN(refused_cases); i++) {
		const struct refused_case *given = &refused_cases[i];
		const struct selection_options options = { .now_s = NOW,
							   .sensitive = given->sensitive };
		struct selection *selection = NULL;
		struct selection_fault fault;
		int result = selection_compile(setup, store, given->filter, &options, &selection,
					       &fault, &w->err);

		selection_free(selection);
		assert_int_equal(result, given->code ? -1 : 0);
		if (!given->code)
			continue;
		if (strcmp(fault.code, given->code) != 0 || fault.offset != given->offset ||
		    !strstr(fault.hint, given->hint) ||
		    (!given->sensitive && strstr(fault.hint, "salary")))
			fail_msg("%s: %s at %zu: %s (%s)", given->filter, fault.code, fault.offset,
				 fault.message, fault.hint);
		assert_string_equal(err_reason(&w->err), given->code);
	}
	setup_release(setup);
}

static void test_what_nobody_reads(void **state)
{
	struct world *w = *state;
	AUTO(store) struct store *store = NULL;
	struct setup *setup;
	struct selection *selection;
	struct selection_options options = { .now_s = NOW };
	bool delivered[1000] = { false };

	open_with(w);
	store = world_read(w);
	setup = changer_setup(w->changer);
	setup->delivered = delivered;
	refused(w,
		selection_compile(setup, store, "(title=x)", &options, &selection, NULL, &w->err),
		"attribute-unread");
	/* Fields of users always are. */
	ok(w, selection_compile(setup, store, "(&(mail=a)(uid=b)(cn=c))", &options, &selection,
				NULL, &w->err));
	selection_free(selection);
	options.may_unread = true;
	ok(w, selection_compile(setup, store, "(&(title=x)(groups=cn=new,dc=x))", &options,
				&selection, NULL, &w->err));
	selection_free(selection);
	setup->delivered = NULL;
	setup_release(setup);
}

/* What a filter names that does not compile any more is not known: it is shown to those who may see all. */
static void test_broken_segments_are_hidden(void **state)
{
	struct segment_settings segments[] = {
		{ .name = { .text = "clear" }, .filter = { .text = "(title=ops)" } },
		{ .name = { .text = "hidden" }, .filter = { .text = "(salary>=5)" } },
		{ .name = { .text = "broken" }, .filter = { .text = "(&(salary>=5)(gone=x))" } },
	};
	const struct catalogue_settings catalogue = { .segment_filters = { ARRAY_LEN(segments),
									   segments } };
	AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	struct world *w = *state;
	struct segments_needs needs;
	struct setup *setup;

	open_with(w);
	setup = changer_setup(w->changer);
	for (size_t i = 0; i < ARRAY_LEN(segments); i++)
		segments[i].lenient = true;
	assert_int_equal(segments_compile(&catalogue, setup->decision.schema, setup->registry,
					  arena, &needs, list),
			 0);
	assert_false(segments[0].sensitive);
	assert_true(segments[1].sensitive);
	assert_true(segments[2].sensitive);
	setup_release(setup);
}

static void test_segments(void **state)
{
	struct world *w = *state;
	AUTO(store) struct store *store = NULL;
	AUTO(selection) struct selection *selection = NULL;
	struct selection_options options = { .now_s = NOW };
	struct setup *setup;
	struct selection *other;
	struct user user;
	bool chosen;

	open_with(w);
	user = world_find(w, "anna");
	store = world_read(w);
	setup = changer_setup(w->changer);
	ok(w, selection_of_segment(setup, store, NULL, "desk", &options, &selection, &w->err));
	refused(w, selection_of_segment(setup, store, NULL, "none", &options, &other, &w->err),
		"not-found");
	ok(w, selection_matches(selection, store, &user, w->arena, &chosen, &w->err));
	assert_true(chosen);
	setup_release(setup);
}

/* Of what is one organization's alone, its roles: others may have the same name in their lists. */
static void test_segment_roles(void **state)
{
	struct located gold = { .text = "gold" }, core = { .text = "Core" };
	struct role_settings roles[] = {
		{ .segments = { 1, &gold }, .organization = "a" },
		{ .segments = { 1, &gold }, .organization = "b" },
		{ .segments = { 1, &gold } },
		{ .segments = { 1, &core }, .organization = "a" },
	};
	struct segment_settings filter = { .name = gold, .organization = "a" };
	const struct catalogue_settings catalogue = {
		.roles = { .items = roles, .count = ARRAY_LEN(roles) },
		.segment_filters = { .items = &filter, .count = 1 },
	};

	(void)state;
	assert_int_equal(segment_roles(&catalogue, "gold"), 1);
	filter.organization = NULL;
	assert_int_equal(segment_roles(&catalogue, "gold"), 3);
}

/* Whichever allocation fails: an error, or the right people. */
static void test_out_of_memory(void **state)
{
	struct world *w = *state;
	AUTO(store) struct store *store = NULL;
	struct setup *setup;
	bool failed = true;
	int n = 0;

	open_with(w);
	/* No other thread may take the failure. */
	world_close(w);
	setup = world_setup(w, config);
	store = store_open(w->path, STORE_READ, &w->err);
	assert_non_null(store);
	ok(w, store_begin(store, &w->err));
	for (; failed; n++) {
		struct selection *selection = NULL;
		struct selection_walk walk = { .query = { .active = -1 }, .scan_max = 100 };
		struct names names = { .enough = 0 };
		int result;

		alloc_fail_after(n);
		result = selection_compile(setup, store,
					   "(&(role=sales)(groups=cn=sales,dc=x)(title=ops*))",
					   &all, &selection, NULL, &w->err);
		if (result == 0)
			result =
				selection_walk(selection, store, &walk, note_name, &names, &w->err);
		failed = alloc_fail_after(-1) < 0;
		if (result == 0)
			assert_string_equal(names.text, "anna cora");
		else
			assert_true(failed);
		selection_free(selection);
	}
	assert_true(n > 20);
	store_rollback(store);
	setup_release(setup);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_unknown_is_not_chosen, world_set_up,
						world_tear_down),
		cmocka_unit_test_setup_teardown(test_walks_in_pieces, world_set_up,
						world_tear_down),
		cmocka_unit_test_setup_teardown(test_stops_when_it_is_enough, world_set_up,
						world_tear_down),
		cmocka_unit_test_setup_teardown(test_a_long_filter_looks_at_few, world_set_up,
						world_tear_down),
		cmocka_unit_test_setup_teardown(test_sign_ins, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_inactive_looks_at_last_days, world_set_up,
						world_tear_down),
		cmocka_unit_test_setup_teardown(test_one_by_one, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_refused, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_what_nobody_reads, world_set_up,
						world_tear_down),
		cmocka_unit_test_setup_teardown(test_out_of_memory, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_broken_segments_are_hidden, world_set_up,
						world_tear_down),
		cmocka_unit_test_setup_teardown(test_segments, world_set_up, world_tear_down),
		cmocka_unit_test(test_segment_roles),
	};

	return cmocka_run_group_tests_name("select", tests, NULL, NULL);
}
