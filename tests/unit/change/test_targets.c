/* What targets are to be told of changes of people: which events, in the same transaction, and what they say. */
#include "support.h"

#include <string.h>

#include <rolebridge/change/targets.h>

static const struct target_setup told[] = {
	{ .name = "hook" },
	{ .name = "state", .keeps_state = true },
	{ .name = "keys", .keeps_state = true, .follows_records = true },
	{ .name = "off", .is_off = true },
	{ .name = "off-keys", .keeps_state = true, .follows_records = true, .is_off = true },
};

static void open_told(struct world *world, const char *yaml)
{
	world->targets = told;
	world->target_count = ARRAY_LEN(told);
	world_open(world, yaml);
}

static size_t rows_of(struct world *world, const char *target, struct delivery_row **ret_rows)
{
	const struct delivery_query query = { .target = target, .limit = 1000 };
	AUTO(store) struct store *store = world_read(world);
	size_t count;

	ok(world, store_delivery_list(store, &query, world->arena, ret_rows, &count, &world->err));
	return count;
}

/* "user.provisioned grants.changed": of one user, oldest first. */
static const char *events(struct world *world, const char *target)
{
	struct strbuf text = STRBUF(1u << 16);
	struct delivery_row *rows;
	size_t count = rows_of(world, target, &rows);
	const char *copy;

	for (size_t i = 0; i < count; i++)
		strbuf_printf(&text, "%s%s", i ? " " : "", delivery_event_name(rows[i].event));
	copy = arena_strdup(world->arena, strbuf_text(&text));
	strbuf_finish(&text);
	return copy;
}

static const char *detail(struct world *world, size_t place)
{
	struct delivery_row *rows;
	size_t count = rows_of(world, "hook", &rows);

	assert_true(place < count);
	return rows[place].detail;
}

#define assert_has(text, part) \
	do { \
		if (!strstr((text), (part))) \
			fail_msg("'%s' is not in %s", (part), (text)); \
	} while (0)

static void rename_to(struct world *world, const char *username, const char *email)
{
	const struct user_fields fields = { .email = email };
	const char *field;
	struct uuid uuid;

	ok(world, change_user_set(world->changer, &test_person, username, 0, &fields, &uuid, &field,
				  &world->err));
}

static void test_by_hand(void **state)
{
	struct world *world = *state;
	struct delivery_row *rows;

	open_told(world, RULES POLICY);
	world_create(world, "ada", "staff");
	rename_to(world, "ada", "ada@x.example");
	ok(world, change_grant_add(world->changer, &test_person, "ada", GRANT_ROLE, "sales", 0,
				   &world->err));
	ok(world, change_user_disable(world->changer, &test_person, "ada", "left", &world->err));
	ok(world, change_user_enable(world->changer, &test_person, "ada", &world->err));
	assert_string_equal(events(world, "hook"),
			    "user.provisioned user.updated grants.changed user.disabled "
			    "user.enabled");
	assert_has(detail(world, 0), "\"username\":\"ada\"");
	assert_has(detail(world, 0), "\"active\":true");
	assert_has(detail(world, 1), "\"changed\":{\"email\":[\"\",\"ada@x.example\"]}");
	assert_has(detail(world, 2), "\"gained\":[{\"kind\":\"role\",\"name\":\"sales\"}]");
	assert_has(detail(world, 2), "\"roles\":[\"sales\"]");
	assert_has(detail(world, 3), "\"disabled\":[\"hand\"]");
	assert_has(detail(world, 3), "\"active\":false");
	/* A state is told once, and at once, for somebody was disabled. */
	assert_int_equal(rows_of(world, "state", &rows), 1);
	assert_int_equal(rows[0].next_s, 0);
	assert_int_equal(rows[0].version, 5);
	assert_string_equal(rows[0].detail, "");
}

static void test_by_a_sync(void **state)
{
	struct world *world = *state;

	open_told(world, RULES WIDE SOURCES);
	world_create(world, "root", "administrator");
	world_sync(world, "corp", "1 ada title=x @sales\n2 bob title=x\n", 0, NULL);
	assert_string_equal(events(world, "hook"),
			    "user.provisioned user.provisioned user.provisioned");
	assert_has(detail(world, 1), "\"cause\":\"sync corp\"");
	world_sync(world, "corp", "1 ada title=ops @sales\n2 bob title=x !disabled\n", 0, NULL);
	assert_string_equal(events(world, "hook"),
			    "user.provisioned user.provisioned user.provisioned grants.changed "
			    "user.disabled");
}

/* Nobody sees anything of it, but whoever reads what sources say does. */
static void test_records(void **state)
{
	struct world *world = *state;
	struct delivery_row *rows;

	open_told(world, RULES WIDE SOURCES);
	world_sync(world, "corp", "1 ada title=x\n", 0, NULL);
	world_sync(world, "corp", "1 ada title=y\n", 0, NULL);
	assert_string_equal(events(world, "hook"), "user.provisioned");
	assert_int_equal(rows_of(world, "state", &rows), 1);
	assert_int_equal(rows[0].version, 1);
	assert_int_equal(rows_of(world, "keys", &rows), 1);
	assert_true(rows[0].version > 1);
	assert_int_equal(rows_of(world, "off", &rows), 0);
	assert_int_equal(rows_of(world, "off-keys", &rows), 0);
}

/* What is refused, or comes to nothing, is told nobody. */
static void test_nothing_happened(void **state)
{
	struct world *world = *state;
	struct delivery_row *rows;

	open_told(world, RULES POLICY);
	world_create(world, "root", "administrator");
	refused(world,
		change_user_disable(world->changer, &test_person, "root", "left", &world->err),
		"last-administrator");
	rename_to(world, "root", "root@x.example");
	rename_to(world, "root", "root@x.example");
	assert_int_equal(rows_of(world, "hook", &rows), 2);
}

static void test_deleted(void **state)
{
	struct world *world = *state;
	struct delivery_row *rows;
	struct uuid uuid;
	size_t count;

	open_told(world, RULES POLICY);
	world_create(world, "ada", "staff");
	ok(world, change_user_disable(world->changer, &test_person, "ada", "left", &world->err));
	ok(world, change_user_delete(world->changer, &test_person, "ada", 0, &uuid, &world->err));
	assert_string_equal(events(world, "hook"), "user.provisioned user.disabled user.deleted");
	count = rows_of(world, "state", &rows);
	assert_int_equal(count, 1);
	assert_int_equal(rows[0].event, DELIVERY_DELETED);
}

static void test_without_targets(void **state)
{
	struct world *world = *state;
	struct delivery_row *rows;

	world_open(world, RULES POLICY);
	world_create(world, "ada", "staff");
	assert_int_equal(rows_of(world, "hook", &rows), 0);
}

/* --- people's word --- */

static const struct actor nobody = {
	.name = "user:nobody", .request = "", .is_person = true, .limited = true, .user_id = 99999
};

static void test_only_by_whoever_may(void **state)
{
	struct world *world = *state;
	int64_t count;

	open_told(world, RULES POLICY);
	world_create(world, "ada", "staff");
	refused(world,
		change_deliveries_retry(world->changer, &nobody, "hook", NULL, &count, &world->err),
		"not-allowed");
	refused(world,
		change_deliveries_drop(world->changer, &nobody, "hook", NULL, &count, &world->err),
		"not-allowed");
	refused(world,
		change_deliveries_reconcile(world->changer, &nobody, "hook", "x", (int64_t[]){ 1 },
					    1, &world->err),
		"not-allowed");
	/* What a target that is told is still to hear of stays. */
	ok(world,
	   change_deliveries_drop(world->changer, &test_person, "hook", NULL, &count, &world->err));
	assert_int_equal(count, 0);
	world_close(world);
	world->target_count = 0;
	world_open(world, RULES POLICY);
	ok(world,
	   change_deliveries_drop(world->changer, &test_person, "hook", NULL, &count, &world->err));
	assert_int_equal(count, 1);
	assert_int_equal(world_audited(world, "target.drop", "\"count\":1"), 1);
}

static void test_told_anew(void **state)
{
	struct world *world = *state;
	struct delivery_row *rows;

	open_told(world, RULES POLICY);
	world_create(world, "ada", "staff");
	ok(world, change_deliveries_reconcile(world->changer, &test_person, "hook", "plan",
					      (int64_t[]){ 1, 77 }, 2, &world->err));
	assert_int_equal(rows_of(world, "hook", &rows), 2);
	assert_int_equal(rows[1].event, DELIVERY_RECONCILE);
	assert_int_equal(rows[1].next_s, -1);
	assert_has(rows[1].detail, "\"cause\":\"reconcile\"");
	assert_int_equal(world_audited(world, "target.reconcile", "\"plan\":\"plan\""), 1);
	refused(world,
		change_deliveries_reconcile(world->changer, &test_person, "never", "plan",
					    (int64_t[]){ 1 }, 1, &world->err),
		"not-found");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_set_up, world_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_by_hand),
		TEST(test_by_a_sync),
		TEST(test_records),
		TEST(test_nothing_happened),
		TEST(test_deleted),
		TEST(test_without_targets),
		TEST(test_only_by_whoever_may),
		TEST(test_told_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
