/*
 * Searches and lists of users: in which order, each once, from page to page while others come; and what a page costs,
 * counted in steps of SQLite's machine, which does not depend on how many users there are.
 */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 64

static int64_t new_user(struct fixture *f, const char *username, const char *email,
			const char *display, const char *organization, const char *profile,
			uint32_t disabled)
{
	struct user user = make_user(username, email);

	user.display_name = display;
	user.organization = organization;
	user.profile = profile;
	user.disabled = disabled;
	ok(f, store_user_insert(f->store, &user, &f->err));
	return user.id;
}

static void tidy(struct fixture *f)
{
	int left = 1;

	while (left > 0) {
		left = store_tidy(f->store, &f->err);
		ok(f, left);
	}
}

/* --- order --- */

static const struct {
	const char *username, *email, *display;
	uint32_t disabled;
} people[] = {
	{ "zora", "anna.z@x.example", "Zora", 0 },
	{ "anna", "anna@x.example", "Anna", 0 },
	{ "annb", "", "Zed", 0 },
	{ "yan", "", "Anna Yan", 0 },
	{ "xen", "xen@x.example", "ANNA Xen", 0 },
	{ "anton", "", "Anton", 0 },
	{ "gone", "", "Anna Gone", DISABLED_DELETED | DISABLED_BY_HAND },
	{ "away", "annaway@x.example", "Away", DISABLED_BY_HAND },
	{ "wim", "", "Anna Yan", 0 },
};
#define EXPECTED "anna,zora,away,annb,xen,yan,wim"

static void add_people(struct fixture *f, size_t from, size_t to)
{
	ok(f, store_begin(f->store, &f->err));
	for (size_t i = from; i < to; i++)
		new_user(f, people[i].username, people[i].email, people[i].display, "default",
			 "staff", people[i].disabled);
	ok(f, store_commit(f->store, &f->err));
}

/* "a,b,c" of all pages. */
static void search_all(struct fixture *f, struct user_query query, struct strbuf *out)
{
	struct user *users;
	int64_t next;
	size_t count;

	do {
		ok(f,
		   store_user_search(f->store, &query, f->arena, &users, &count, &next, &f->err));
		assert_true(count <= query.limit);
		for (size_t i = 0; i < count; i++)
			strbuf_printf(out, "%s%s", out->size ? "," : "", users[i].username);
		query.after_id = next;
	} while (next != 0);
}

/* In the indexes, not in them, and one after the other; with pages of every size. */
static void test_order(void **state)
{
	struct fixture *f = *state;

	store_set_tidy_piece(f->store, 2);
	for (size_t split = 0; split < 2; split++) {
		if (split == 0) {
			add_people(f, 0, 4);
			tidy(f);
			add_people(f, 4, ARRAY_LEN(people));
		} else {
			tidy(f);
		}
		for (size_t limit = 1; limit <= 9; limit++) {
			AUTO(strbuf) struct strbuf found = STRBUF(4096);

			search_all(f,
				   (struct user_query){
					   .prefix = "AnN", .active = -1, .limit = limit },
				   &found);
			assert_string_equal(strbuf_text(&found), EXPECTED);
		}
	}
}

static const struct {
	const char *name;
	struct user_query query;
	const char *expected;
} cases[] = {
	{ "active", { .prefix = "ann", .active = 1 }, "anna,zora,annb,xen,yan,wim" },
	{ "disabled", { .prefix = "ann", .active = 0 }, "away" },
	{ "one name", { .prefix = "anton", .active = -1 }, "anton" },
	{ "by address", { .prefix = "anna.z@", .active = -1 }, "zora" },
	{ "nobody", { .prefix = "annz", .active = -1 }, "" },
	{ "no wildcard", { .prefix = "a%", .active = -1 }, "" },
	{ "organization", { .prefix = "ann", .active = -1, .organization = "default" }, EXPECTED },
	{ "another organization", { .prefix = "ann", .active = -1, .organization = "none" }, "" },
	{ "profile", { .prefix = "ann", .active = -1, .profile = "staff" }, EXPECTED },
	{ "another profile", { .prefix = "ann", .active = -1, .profile = "boss" }, "" },
	{ "nobody holds it",
	  { .prefix = "ann", .active = -1, .grant_kind = GRANT_ROLE, .grant_name = "r" },
	  "" },
};

static void test_conditions(void **state)
{
	struct fixture *f = *state;

	add_people(f, 0, ARRAY_LEN(people));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(strbuf) struct strbuf found = STRBUF(4096);
		struct user_query query = cases[i].query;

		query.limit = 2;
		search_all(f, query, &found);
		if (strcmp(strbuf_text(&found), cases[i].expected) != 0)
			fail_msg("%s: %s", cases[i].name, strbuf_text(&found));
	}
}

static void test_who_comes_and_is_renamed_meanwhile(void **state)
{
	struct fixture *f = *state;
	struct user_query query = { .prefix = "ann", .active = -1, .limit = 2 };
	AUTO(strbuf) struct strbuf rest = STRBUF(4096);
	struct user *users, user;
	int64_t next, more;
	size_t count;

	add_people(f, 0, ARRAY_LEN(people));
	ok(f, store_user_search(f->store, &query, f->arena, &users, &count, &next, &f->err));
	assert_int_equal(count, 2);
	ok(f, store_begin(f->store, &f->err));
	new_user(f, "ann", "", "First of all", "default", "staff", 0);
	new_user(f, "annzz", "", "Behind", "default", "staff", 0);
	ok(f, store_commit(f->store, &f->err));
	tidy(f);
	query.after_id = next;
	search_all(f, query, &rest);
	assert_string_equal(strbuf_text(&rest), "away,annb,annzz,xen,yan,wim");
	/* zora, at whose address the page ended, has another one now. */
	user = users[1];
	user.email = "zora@x.example";
	user.version++;
	ok(f, store_begin(f->store, &f->err));
	ok(f, store_user_update(f->store, &user, &f->err));
	ok(f, store_commit(f->store, &f->err));
	refused(f, store_user_search(f->store, &query, f->arena, &users, &count, &more, &f->err),
		ERR_CONFLICT, "stale-cursor");
	query.after_id = 4 * 1000;
	refused(f, store_user_search(f->store, &query, f->arena, &users, &count, &more, &f->err),
		ERR_CONFLICT, "stale-cursor");
	query.after_id = INT64_MAX;
	refused(f, store_user_search(f->store, &query, f->arena, &users, &count, &more, &f->err),
		ERR_CONFLICT, "stale-cursor");
}

/* Whoever sees one organization learns by no cursor how names of another one begin. */
static void test_cursors_are_of_one_search(void **state)
{
	struct fixture *f = *state;
	struct user_query query = {
		.prefix = "ann", .active = -1, .limit = 1, .organization = "acme"
	};
	struct user *users;
	int64_t next, more;
	size_t count;

	add_people(f, 0, ARRAY_LEN(people));
	ok(f, store_begin(f->store, &f->err));
	ok(f, store_organization_ensure(f->store, "acme", &f->err));
	new_user(f, "anna-lena", "", "Lena", "acme", "staff", 0);
	new_user(f, "annegret", "", "Annegret", "acme", "staff", 0);
	ok(f, store_commit(f->store, &f->err));
	/* Numbers of users are no secret. */
	for (int64_t place = 1; place < 4 * 20; place++) {
		query.after_id = place;
		refused(f,
			store_user_search(f->store, &query, f->arena, &users, &count, &more,
					  &f->err),
			ERR_CONFLICT, "stale-cursor");
	}
	query.after_id = 0;
	ok(f, store_user_search(f->store, &query, f->arena, &users, &count, &next, &f->err));
	assert_int_equal(count, 1);
	query.after_id = next;
	ok(f, store_user_search(f->store, &query, f->arena, &users, &count, &more, &f->err));
	assert_string_equal(users[0].username, "annegret");
	for (int other = 0; other < 2; other++) {
		query.prefix = other ? "ann" : "an";
		query.organization = other ? NULL : "acme";
		refused(f,
			store_user_search(f->store, &query, f->arena, &users, &count, &more,
					  &f->err),
			ERR_CONFLICT, "stale-cursor");
	}
}

static void test_nothing_to_search_for(void **state)
{
	struct fixture *f = *state;
	struct user_query query = { .prefix = "", .active = -1, .limit = 2 };
	struct user *users;
	int64_t next;
	size_t count;

	refused(f, store_user_search(f->store, &query, f->arena, &users, &count, &next, &f->err),
		ERR_INVALID, "invalid");
}

/* --- what a page costs --- */

#define FEW 2000
#define MANY 30000

/*
 * Of every thousand one is in another organization, one has another profile, one is disabled, one holds a role; half of
 * all names begin alike.
 */
static void fill(struct fixture *f, int64_t from, int64_t to)
{
	const struct grant role = make_grant(GRANT_ROLE, "sales", "rule-1");
	const struct grant all = make_grant(GRANT_ROLE, "everybody", "rule-1");

	for (int64_t i = from; i < to;) {
		ok(f, store_begin(f->store, &f->err));
		ok(f, store_organization_ensure(f->store, "acme", &f->err));
		for (int64_t end = i + 500; i < end && i < to; i++) {
			char name[TEXT_MAX], display[TEXT_MAX];
			int64_t id;

			snprintf(name, sizeof(name), "%c%06ld", i % 2 ? 'a' : 'b',
				 (long)(i * 7919 % 1000003));
			snprintf(display, sizeof(display), "%c Name %ld", i % 3 ? 'C' : 'D',
				 (long)(i * 31 % 5003));
			id = new_user(f, name, "", display, i % 1000 == 1 ? "acme" : "default",
				      i % 1000 == 2 ? "boss" : "staff",
				      i % 1000 == 3 ? DISABLED_BY_HAND : 0);
			ok(f, store_grant_add(f->store, id, &all, &f->err));
			if (i % 1000 == 4)
				ok(f, store_grant_add(f->store, id, &role, &f->err));
		}
		ok(f, store_commit(f->store, &f->err));
	}
	tidy(f);
}

static const struct {
	const char *name;
	struct user_query query;
	/* A page is found at once; else it may end after SCAN_MAX users who were looked at in vain. */
	bool direct;
} costs[] = {
	{ "all", { .active = -1 }, true },
	{ "active", { .active = 1 }, true },
	{ "disabled", { .active = 0 }, true },
	{ "disabled of an organization", { .active = 0, .organization = "default" }, true },
	{ "organization", { .active = -1, .organization = "acme" }, true },
	{ "profile", { .active = -1, .profile = "boss" }, true },
	{ "profile of an organization",
	  { .active = -1, .profile = "boss", .organization = "default" },
	  true },
	{ "active with profile",
	  { .active = 1, .profile = "boss", .organization = "default" },
	  true },
	{ "holders", { .active = -1, .grant_kind = GRANT_ROLE, .grant_name = "sales" }, true },
	{ "holders of what everybody has",
	  { .active = -1, .grant_kind = GRANT_ROLE, .grant_name = "everybody" },
	  true },
	{ "nobody of an organization has it",
	  { .active = -1, .organization = "acme", .grant_kind = GRANT_ROLE, .grant_name = "sales" },
	  true },
	{ "disabled holders of what everybody has",
	  { .active = 0, .grant_kind = GRANT_ROLE, .grant_name = "everybody" },
	  false },
	{ "of an organization, what everybody has",
	  { .active = -1,
	    .organization = "acme",
	    .grant_kind = GRANT_ROLE,
	    .grant_name = "everybody" },
	  false },
	{ "a frequent prefix", { .active = -1, .prefix = "a" }, true },
	{ "a prefix of display names", { .active = -1, .prefix = "c n" }, true },
	{ "a prefix of one", { .active = -1, .prefix = "a000" }, true },
	{ "frequent, disabled", { .active = 0, .prefix = "a" }, false },
	{ "frequent, of an organization",
	  { .active = -1, .prefix = "b", .organization = "acme" },
	  false },
	{ "frequent, with a profile", { .active = -1, .prefix = "b", .profile = "boss" }, false },
	{ "frequent, with a role",
	  { .active = -1, .prefix = "b", .grant_kind = GRANT_ROLE, .grant_name = "sales" },
	  false },
};

/* Of the first page, of one in the middle, and of one more, each of ten. */
static int64_t cost_of(struct fixture *f, struct user_query query)
{
	int64_t most = 0;

	query.limit = 10;
	for (int page = 0; page < 3; page++) {
		int64_t before = store_steps(f->store), next, steps;
		struct user *users;
		size_t count;

		arena_reset(f->arena);
		ok(f, (query.prefix ? store_user_search : store_user_scan)(
			      f->store, &query, f->arena, &users, &count, &next, &f->err));
		steps = store_steps(f->store) - before;
		most = steps > most ? steps : most;
		if (next == 0)
			break;
		query.after_id = next;
	}
	return most;
}

static void test_a_page_costs_what_it_holds(void **state)
{
	struct fixture *f = *state;
	int64_t few[ARRAY_LEN(costs)];

	fill(f, 0, FEW);
	for (size_t i = 0; i < ARRAY_LEN(costs); i++)
		few[i] = cost_of(f, costs[i].query);
	fill(f, FEW, MANY);
	for (size_t i = 0; i < ARRAY_LEN(costs); i++) {
		int64_t many = cost_of(f, costs[i].query);
		/* Ten rows of at most some hundred steps; or SCAN_MAX of them. */
		int64_t most = costs[i].direct ? 3000 : 1000000;

		if (many > most || (costs[i].direct && many > 2 * few[i] + 1000))
			fail_msg("%s: %ld steps with %d users, %ld with %d", costs[i].name,
				 (long)few[i], FEW, (long)many, MANY);
	}
}

/* All pages together are all of them, each once, however little each one may look at. */
static void test_pages_are_all(void **state)
{
	struct fixture *f = *state;

	fill(f, 0, FEW);
	for (size_t i = 0; i < ARRAY_LEN(costs); i++) {
		struct user_query query = costs[i].query;
		struct user *users, *all;
		size_t count, expected, found = 0;
		int64_t next;

		if (query.organization && strcmp(query.organization, "acme") == 0)
			continue;
		query.limit = 10000;
		arena_reset(f->arena);
		ok(f, store_user_list(f->store, &query, f->arena, &all, &expected, &f->err));
		query.limit = 7;
		do {
			ok(f, (query.prefix ? store_user_search : store_user_scan)(
				      f->store, &query, f->arena, &users, &count, &next, &f->err));
			found += count;
			for (size_t j = 0; j + 1 < count && !query.prefix; j++)
				assert_true(users[j].id < users[j + 1].id);
			query.after_id = next;
		} while (next != 0);
		if (found != expected)
			fail_msg("%s: %zu of %zu", costs[i].name, found, expected);
	}
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_set_up, fixture_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_order),
		TEST(test_conditions),
		TEST(test_who_comes_and_is_renamed_meanwhile),
		TEST(test_cursors_are_of_one_search),
		TEST(test_nothing_to_search_for),
		TEST(test_a_page_costs_what_it_holds),
		TEST(test_pages_are_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
