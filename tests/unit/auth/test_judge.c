/*
 * Decisions over trees in memory, held against a naive implementation on random trees, owners, permissions and questions;
 * and the tree itself: parents that come later, that go, that are others.
 */
#include "../../../daemon/auth/judge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <rolebridge/base/util.h>
#include <rolebridge/rules/permission.h>

static const char *const types[] = { "accounts", "tasks", "subscriptions", "regions" };
static const char *const verbs[] = { "read", "update", "close" };
static const char *const organizations[] = { "default", "partners" };

/* ------------------------------------------------------------------- model */

#define THINGS 40
#define HELD 6
#define PEOPLE 4

struct thing {
	bool there;
	int64_t row, owner;
	const char *type, *organization;
	int parent; /* -1: a root */
	char id[16];
};

struct model {
	struct thing things[THINGS];
	int64_t next_row;
};

struct somebody {
	int64_t id;
	const char *organization;
	char texts[HELD][64];
	const char *permissions[HELD];
	size_t count;
};

static unsigned state;
static unsigned outcomes[2];

static unsigned draw(unsigned limit)
{
	state = state * 1664525u + 1013904223u;
	return (state >> 8) % limit;
}

static bool held(const struct somebody *person, const char *type, const char *verb,
		 const char *scope)
{
	char asked[160];

	snprintf(asked, sizeof(asked), "%s:%s@%s", type, verb, scope);
	for (size_t i = 0; i < person->count; i++)
		if (permission_covers(person->permissions[i], asked))
			return true;
	return false;
}

static int naive_account(const struct model *model, int at)
{
	while (strcmp(model->things[at].type, "accounts") != 0 && model->things[at].parent >= 0)
		at = model->things[at].parent;
	return at;
}

static bool naive_in_scope(const struct somebody *person, const struct thing *account,
			   const char *scope)
{
	if (strcmp(scope, "all") == 0)
		return true;
	if (strcmp(scope, "own") == 0)
		return account->owner == person->id;
	return account->owner == 0;
}

static bool naive_may(const struct somebody *person, const struct thing *account, const char *type,
		      const char *verb, const char *scope)
{
	static const char *const scopes[] = { "own", "unassigned", "all" };

	for (size_t i = 0; i < ARRAY_LEN(scopes); i++)
		if ((!scope || strcmp(scope, scopes[i]) == 0) &&
		    naive_in_scope(person, account, scopes[i]) &&
		    held(person, type, verb, scopes[i]))
			return true;
	return false;
}

static bool naive(const struct model *model, const struct somebody *person, int at,
		  const char *type, const char *verb, const char *scope)
{
	const struct thing *thing = &model->things[at];
	int account = naive_account(model, at);
	const struct thing *judged = &model->things[account];

	if (strcmp(thing->organization, person->organization) != 0)
		return false;
	for (int above = thing->parent; above >= 0; above = model->things[above].parent)
		if ((above == account || strcmp(model->things[above].type, "accounts") == 0) &&
		    !naive_may(person, &model->things[above], model->things[above].type, "read",
			       NULL))
			return false;
	return naive_may(person, judged, type, verb, scope) ||
	       (account != at && strcmp(type, thing->type) == 0 &&
		naive_may(person, judged, judged->type, verb, scope));
}

/* ---------------------------------------------------------------- the same */

static struct resource as_resource(const struct model *model, int at)
{
	const struct thing *thing = &model->things[at];
	const struct thing *parent = thing->parent >= 0 ? &model->things[thing->parent] : NULL;

	return (struct resource){ .row = thing->row,
				  .key = { "crm", thing->type, thing->id },
				  .parent_row = parent ? parent->row : 0,
				  .parent_type = parent ? parent->type : "",
				  .parent_id = parent ? parent->id : "",
				  .owner = thing->owner,
				  .organization = thing->organization };
}

static void put(struct tree *tree, const struct model *model, int at)
{
	const struct resource resource = as_resource(model, at);

	assert_int_equal(0, tree_put(tree, &resource));
}

static bool is_below(const struct model *model, int at, int above)
{
	for (; at >= 0; at = model->things[at].parent)
		if (at == above)
			return true;
	return false;
}

static bool has_children(const struct model *model, int at)
{
	for (int i = 0; i < THINGS; i++)
		if (model->things[i].there && model->things[i].parent == at)
			return true;
	return false;
}

static int draw_thing(const struct model *model)
{
	for (int tries = 0; tries < 50; tries++) {
		int at = (int)draw(THINGS);

		if (model->things[at].there)
			return at;
	}
	return -1;
}

static void draw_parent(struct model *model, int at)
{
	struct thing *thing = &model->things[at];
	int parent = draw(4) ? draw_thing(model) : -1;

	if (parent >= 0 && (is_below(model, parent, at) ||
			    strcmp(model->things[parent].organization, thing->organization) != 0))
		parent = -1;
	thing->parent = parent;
}

static void change(struct model *model, struct tree *tree)
{
	int at = (int)draw(THINGS);
	struct thing *thing = &model->things[at];

	if (thing->there && draw(4) == 0 && !has_children(model, at)) {
		const struct resource resource = as_resource(model, at);

		tree_remove(tree, &resource.key);
		thing->there = false;
		return;
	}
	if (!thing->there) {
		*thing = (struct thing){ .there = true,
					 .row = ++model->next_row,
					 .type = types[draw(ARRAY_LEN(types))],
					 .organization = organizations[draw(5) == 0] };
		snprintf(thing->id, sizeof(thing->id), "t%d", at);
		thing->parent = -1;
	}
	thing->owner = draw(PEOPLE);
	draw_parent(model, at);
	put(tree, model, at);
}

static void draw_person(struct somebody *person)
{
	static const char *const scopes[] = { "own", "unassigned", "all" };

	person->id = 1 + draw(PEOPLE - 1);
	person->organization = organizations[draw(5) == 0];
	person->count = draw(HELD + 1);
	for (size_t i = 0; i < person->count; i++) {
		snprintf(person->texts[i], sizeof(person->texts[i]), "%s:%s@%s",
			 draw(8) ? types[draw(ARRAY_LEN(types))] : "*",
			 draw(4) ? verbs[draw(ARRAY_LEN(verbs))] : "*",
			 scopes[draw(ARRAY_LEN(scopes))]);
		person->permissions[i] = person->texts[i];
	}
}

static void compare(const struct model *model, const struct tree *tree)
{
	static const char *const scopes[] = { NULL, "own", "unassigned", "all" };
	const char *scope = scopes[draw(8) < 5 ? 0 : draw(ARRAY_LEN(scopes))];
	int at = draw_thing(model);
	const char *type, *verb = verbs[draw(ARRAY_LEN(verbs))];
	const struct tree_node *node;
	struct somebody person;
	struct permset *set;
	struct holder holder;
	struct asked asked;
	struct err err;
	char text[160];
	bool want, have;

	if (at < 0)
		return;
	type = draw(3) ? model->things[at].type : types[draw(ARRAY_LEN(types))];
	draw_person(&person);
	set = permset_create(person.permissions, person.count);
	assert_non_null(set);
	holder = (struct holder){ person.id, person.organization, set };
	snprintf(text, sizeof(text), "%s:%s%s%s", type, verb, scope ? "@" : "", scope ? scope : "");
	assert_int_equal(0, asked_parse(text, &asked, &err));
	node = tree_find(tree, &(struct resource_key){ "crm", model->things[at].type,
						       model->things[at].id });
	assert_non_null(node);
	have = judge_resource(&holder, &asked, node, NULL) == DECISION_GRANTED;
	want = naive(model, &person, at, type, verb, scope);
	if (have != want)
		fail_msg("seed state %u: %s on %s is %d, not %d", state, text, model->things[at].id,
			 have, want);
	outcomes[want]++;
	permset_destroy(set);
}

static void check_order(const struct model *model, const struct tree *tree)
{
	size_t there = 0, listed = 0;
	int64_t last = 0;

	for (int i = 0; i < THINGS; i++)
		there += model->things[i].there;
	for (size_t i = 0; i < tree->places; i++) {
		if (!tree->order[i].node)
			continue;
		assert_true(tree->order[i].row > last);
		assert_int_equal(tree->order[i].node->row, tree->order[i].row);
		last = tree->order[i].row;
		listed++;
	}
	assert_int_equal(listed, there);
	assert_int_equal(tree->count, there);
}

static void test_model(void **unused)
{
	(void)unused;
	for (unsigned seed = 1; seed <= 20; seed++) {
		struct model model = { .next_row = 0 };
		struct tree tree = { 0 };

		state = seed;
		for (int step = 0; step < 1500; step++) {
			change(&model, &tree);
			for (int i = 0; i < 8; i++)
				compare(&model, &tree);
		}
		check_order(&model, &tree);
		tree_finish(&tree);
	}
	assert_true(outcomes[0] > 10000 && outcomes[1] > 10000);
}

/* Read in any order, it is the same tree. */
static void test_any_order(void **unused)
{
	struct model model = { .next_row = 0 };
	struct tree grown = { 0 }, loaded = { 0 };

	(void)unused;
	state = 7;
	for (int step = 0; step < 500; step++)
		change(&model, &grown);
	for (int i = THINGS - 1; i >= 0; i--)
		if (model.things[i].there)
			put(&loaded, &model, i);
	check_order(&model, &loaded);
	for (int i = 0; i < 500; i++)
		compare(&model, &loaded);
	tree_finish(&grown);
	tree_finish(&loaded);
}

/* ------------------------------------------------------------------- single */

static void test_lost_parent(void **unused)
{
	const char *const all[] = { "*:*@all" };
	struct permset *set = permset_create(all, 1);
	const struct holder holder = { 1, "default", set };
	const struct resource account = { .row = 1,
					  .key = { "crm", "accounts", "a" },
					  .parent_type = "",
					  .parent_id = "",
					  .organization = "default" };
	const struct resource task = { .row = 2,
				       .key = { "crm", "tasks", "t" },
				       .parent_row = 1,
				       .parent_type = "accounts",
				       .parent_id = "a",
				       .organization = "default" };
	struct tree tree = { 0 };
	struct asked asked;

	(void)unused;
	assert_int_equal(0, asked_parse("tasks:read", &asked, NULL));
	/* Nothing is known of what it stands below: nobody may. */
	assert_int_equal(0, tree_put(&tree, &task));
	assert_null(tree_find(&tree, &account.key));
	assert_int_not_equal(judge_resource(&holder, &asked, tree_find(&tree, &task.key), NULL),
			     DECISION_GRANTED);
	assert_int_equal(0, tree_put(&tree, &account));
	assert_int_equal(judge_resource(&holder, &asked, tree_find(&tree, &task.key), NULL),
			 DECISION_GRANTED);
	tree_remove(&tree, &account.key);
	assert_int_not_equal(judge_resource(&holder, &asked, tree_find(&tree, &task.key), NULL),
			     DECISION_GRANTED);
	tree_remove(&tree, &task.key);
	assert_int_equal(tree.nodes.count, 0);
	tree_remove(&tree, &task.key);
	tree_finish(&tree);
	permset_destroy(set);
}

/* Keys whose parts run into each other are others. */
static void test_keys(void **unused)
{
	static const struct resource_key keys[] = {
		{ "a", "b", "c" },  { "a", "bc", "c" }, { "a", "b", "cc" }, { "ab", "c", "c" },
		{ "a", "b", "/c" }, { "a", "b", "C" },	{ "a", "b", "c/" }, { "a", "b", "c " },
	};
	struct tree tree = { 0 };

	(void)unused;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const struct resource resource = { .row = (int64_t)i + 1,
						   .key = keys[i],
						   .parent_type = "",
						   .parent_id = "",
						   .organization = "default" };

		assert_null(tree_find(&tree, &keys[i]));
		assert_int_equal(0, tree_put(&tree, &resource));
	}
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		assert_int_equal(tree_find(&tree, &keys[i])->row, i + 1);
	tree_finish(&tree);
}

static void test_questions(void **unused)
{
	static const char *const wrong[] = { "",
					     "read",
					     "tasks:",
					     "tasks:*",
					     "*:read",
					     "tasks:read@",
					     "tasks:read@mine",
					     "Tasks:read",
					     "tasks:read@own@own",
					     "tasks read" };
	char longest[300];
	struct asked asked;
	struct err err;

	(void)unused;
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = 0;
	longest[5] = ':';
	assert_int_equal(-1, asked_parse(longest, &asked, &err));
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		err_clear(&err);
		if (asked_parse(wrong[i], &asked, &err) == 0)
			fail_msg("'%s' is a question", wrong[i]);
		assert_int_equal(err.code, ERR_INVALID);
	}
	assert_int_equal(0, asked_parse("tasks:read@own", &asked, &err));
	assert_int_equal(asked.scope, SCOPE_OWN);
	assert_int_equal(0, asked_parse("tasks:read", &asked, &err));
	assert_int_equal(asked.scope, 0);
}

static void test_general(void **unused)
{
	const char *const some[] = { "metrics:read@all", "quotes:read@own", "bad" };
	struct permset *set = permset_create(some, 3);
	const struct holder holder = { 1, "default", set };
	const struct {
		const char *text;
		enum decision_reason want;
	} rows[] = {
		{ "metrics:read", DECISION_GRANTED },	   { "metrics:read@own", DECISION_GRANTED },
		{ "quotes:read", DECISION_SCOPE },	   { "quotes:read@own", DECISION_GRANTED },
		{ "quotes:update", DECISION_NOT_GRANTED },
	};
	struct asked asked;

	(void)unused;
	assert_int_equal(set->count, 2);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(0, asked_parse(rows[i].text, &asked, NULL));
		if (judge_general(&holder, &asked, NULL) != rows[i].want)
			fail_msg("%s", rows[i].text);
	}
	permset_destroy(set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),	    cmocka_unit_test(test_any_order),
		cmocka_unit_test(test_lost_parent), cmocka_unit_test(test_keys),
		cmocka_unit_test(test_questions),   cmocka_unit_test(test_general),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
