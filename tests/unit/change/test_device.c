/* Remembered browsers: what they stand for, how many there are, when they end. */
#include "stages.h"

#include <rolebridge/change/device.h>

#define DAY INT64_C(86400)

static void test_devices(void **state)
{
	struct world *w = *state;
	struct device_row first, row;
	struct login_outcome in;
	struct session session;
	const struct actor ben = {
		.name = "user:ben", .request = "", .is_person = true, .user_id = 2
	};
	size_t count;

	people_open(w, BASE "second_factor: {required: all, remember: {time: 1d, devices: 2}}\n");
	enrol(w, 1, FACTOR_TOTP);
	enrol(w, 2, FACTOR_TOTP);
	in = HERE(w, "n2 ben");
	refused(w,
		change_device_remember(w->changer, &ben, in.session.id, NOW, w->arena, &first,
				       &w->err),
		"not-allowed");
	ok(w, complete(w, in.session.id, FACTOR_TOTP, NOW, "a", &session));
	refused(w,
		change_device_remember(w->changer, &ben, session.id, NOW + SESSION_FRESH_S + 1,
				       w->arena, &first, &w->err),
		"not-allowed");
	ok(w, change_device_remember(w->changer, &ben, session.id, NOW + 9, w->arena, &first,
				     &w->err));
	assert_int_equal(first.user_id, 2);
	assert_int_equal(first.method, FACTOR_TOTP);
	assert_int_equal(first.until_s, NOW + DAY);
	assert_string_equal(first.agent, "agent");
	assert_int_equal(world_audited(w, "device.remember", "totp"), 1);
	/* It stands for the proof of then. */
	in = sign_in(w, "n2 ben", (struct way){ .device = first.uuid, .now_s = NOW + 500 });
	assert_int_equal(in.session.stage, SESSION_FULL);
	assert_int_equal(in.session.factor, FACTOR_DEVICE);
	assert_int_equal(in.session.second_factor_s, NOW);
	/* Nor is it remembered further by what it stands for. */
	refused(w,
		change_device_remember(w->changer, &ben, in.session.id, NOW + 9, w->arena, &row,
				       &w->err),
		"not-allowed");
	/* Nobody else's, not later, not one that never was. */
	in = sign_in(w, "n1 anna", (struct way){ .device = first.uuid });
	assert_int_equal(in.session.stage, SESSION_FACTOR);
	in = sign_in(w, "n2 ben", (struct way){ .device = first.uuid, .now_s = NOW + DAY });
	assert_int_equal(in.session.stage, SESSION_FACTOR);
	in = sign_in(w, "n2 ben", (struct way){ .device = { { 7 } } });
	assert_int_equal(in.session.stage, SESSION_FACTOR);
	/* The oldest of three goes. */
	ok(w, change_device_remember(w->changer, &ben, session.id, NOW, w->arena, &row, &w->err));
	ok(w, change_device_remember(w->changer, &ben, session.id, NOW, w->arena, &row, &w->err));
	in = sign_in(w, "n2 ben", (struct way){ .device = first.uuid });
	assert_int_equal(in.session.stage, SESSION_FACTOR);
	in = sign_in(w, "n2 ben", (struct way){ .device = row.uuid });
	assert_int_equal(in.session.stage, SESSION_FULL);
	refused(w, change_device_forget(w->changer, &ben, 1, &row.uuid, NULL, &w->err),
		"not-found");
	refused(w, change_device_forget(w->changer, &ben, 2, &first.uuid, NULL, &w->err),
		"not-found");
	ok(w, change_device_forget(w->changer, &ben, 2, &row.uuid, &count, &w->err));
	assert_int_equal(count, 1);
	in = sign_in(w, "n2 ben", (struct way){ .device = row.uuid });
	assert_int_equal(in.session.stage, SESSION_FACTOR);
	ok(w, change_device_forget(w->changer, &ben, 2, NULL, &count, &w->err));
	assert_int_equal(count, 1);
	ok(w, change_device_forget(w->changer, &ben, 2, NULL, &count, &w->err));
	assert_int_equal(count, 0);
	assert_int_equal(world_audited(w, "device.forget", ""), 2);
	world_check_audit(w);
}

static size_t devices_of(struct world *w, int64_t user_id)
{
	AUTO(store) struct store *store = world_read(w);
	struct device_row *rows;
	size_t count;

	ok(w, store_device_list(store, user_id, w->arena, &rows, &count, &w->err));
	return count;
}

/* Past their end they go by the timer; of whoever may not sign in, at once. */
static void test_devices_end(void **state)
{
	struct world *w = *state;
	struct device_row row;
	struct login_outcome in;
	struct session session;

	people_open(w, BASE "second_factor: {required: all, remember: {time: 1d}}\n");
	enrol(w, 2, FACTOR_TOTP);
	in = HERE(w, "n2 ben");
	ok(w, complete(w, in.session.id, FACTOR_TOTP, NOW, "a", &session));
	ok(w, change_device_remember(w->changer, &test_person, session.id, NOW, w->arena, &row,
				     &w->err));
	ok(w, change_device_remember(w->changer, &test_person, session.id, NOW, w->arena, &row,
				     &w->err));
	assert_int_equal(devices_of(w, 2), 2);
	ok(w, change_sessions_prune(w->changer, NOW + DAY - 1, 0, &w->err));
	assert_int_equal(devices_of(w, 2), 2);
	ok(w, change_sessions_prune(w->changer, NOW + DAY, 0, &w->err));
	assert_int_equal(devices_of(w, 2), 0);
	in = HERE(w, "n2 ben");
	ok(w, complete(w, in.session.id, FACTOR_TOTP, NOW, "a", &session));
	ok(w, change_device_remember(w->changer, &test_person, session.id, NOW, w->arena, &row,
				     &w->err));
	ok(w, change_user_disable(w->changer, &test_person, "ben", "", &w->err));
	assert_int_equal(devices_of(w, 2), 0);
}

static void test_no_devices_by_policy(void **state)
{
	struct world *w = *state;
	struct device_row row;
	struct login_outcome in;
	struct session session;

	people_open(w, BASE ALL);
	enrol(w, 2, FACTOR_TOTP);
	in = HERE(w, "n2 ben");
	ok(w, complete(w, in.session.id, FACTOR_TOTP, NOW, "a", &session));
	refused(w,
		change_device_remember(w->changer, &test_person, session.id, NOW, w->arena, &row,
				       &w->err),
		"not-allowed");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, world_set_up, world_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_devices),
		TEST(test_devices_end),
		TEST(test_no_devices_by_policy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
