/*
 * Targets of a kind that is only here: order for each person, pauses, dead letters, a target that is down beside one that
 * is not, what changes while it is delivered, drift.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>
#include <rolebridge/target/target.h>

#include "../change/setup.h"

#define WAIT_US (INT64_C(60) * 1000000)
#define YAML \
	"profiles: [{name: administrator}, {name: staff}, {name: manager}]\n" \
	"policy: {default_profile: staff, limits: {disables_min: 1, disables_percent: 0}}\n"
#define ok(call) \
	do { \
		if ((call) < 0) \
			fail_msg("%s: %s", #call, world.err.text); \
	} while (0)

/* --- the clock of this program: as far ahead of the machine's as the test has it --- */

/* Of both clocks, and of that on the wall alone. */
static _Atomic int64_t ahead_s, wall_ahead_s;

static void real_time(clockid_t clock, struct timespec *ret_time)
{
	if (syscall(SYS_clock_gettime, clock, ret_time) < 0)
		abort();
}

static int64_t real_us(void)
{
	struct timespec now;

	real_time(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int clock_gettime(clockid_t clock, struct timespec *ret_time)
{
	real_time(clock, ret_time);
	ret_time->tv_sec += atomic_load(&ahead_s);
	if (clock == CLOCK_REALTIME)
		ret_time->tv_sec += atomic_load(&wall_ahead_s);
	return 0;
}

/* For a moment only: meanwhile the test may move the clock. Whoever waits looks why they woke. */
int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
			   const struct timespec *until)
{
	int64_t end_us = real_us() + 10000;
	const struct timespec end = { .tv_sec = end_us / 1000000,
				      .tv_nsec = end_us % 1000000 * 1000 };
	int result = pthread_cond_clockwait(condition, mutex, CLOCK_MONOTONIC, &end);
	struct timespec now;

	if (result != ETIMEDOUT)
		return result;
	/* Times of the wall clock are those of after 2001. */
	clock_gettime(until->tv_sec > 1000000000 ? CLOCK_REALTIME : CLOCK_MONOTONIC, &now);
	return now.tv_sec > until->tv_sec ||
			       (now.tv_sec == until->tv_sec && now.tv_nsec >= until->tv_nsec)
		       ? ETIMEDOUT
		       : 0;
}

static bool pass(int64_t seconds)
{
	atomic_fetch_add(&ahead_s, seconds);
	return true;
}

/* --- the kind: keeps what it was told, and does as the test says --- */

struct told {
	char target[32];
	int64_t user_id, id;
	enum delivery_event event;
	size_t batch; /* of how many it was one */
};

static struct world {
	char folder[64], path[96];
	struct changer *changer;
	struct targets *targets;
	struct err err;
	const struct target_settings *configured[4];
	struct target_setup queued[4];
	size_t configured_count;
	pthread_mutex_t lock;
	struct told told[4096];
	size_t told_count;
	int64_t calls;
	const char *down;     /* the target that fails as a whole */
	const char *shut;     /* the one whose failure needs a person */
	const char *failing;  /* the one whose rows all fail by themselves */
	const char *hangs;    /* the one that hangs until it is given up */
	int64_t poison;	      /* this user's rows fail */
	int64_t refused;      /* this user's are refused */
	int64_t later;	      /* this user's are put off once */
	int64_t unwanted;     /* this user's are of no concern */
	void (*within)(void); /* once, while it delivers */
	struct target_item has[8];
	size_t has_count;
} world;

static void note(const char *target, const struct delivery_row *row, size_t count)
{
	struct told *told = &world.told[world.told_count++ % ARRAY_LEN(world.told)];

	snprintf(told->target, sizeof(told->target), "%s", target);
	told->user_id = row->user_id;
	told->id = row->id;
	told->event = row->event;
	told->batch = count;
}

static struct delivery_result judge(const char *target, const struct delivery_row *row)
{
	if (world.failing && strcmp(world.failing, target) == 0)
		return (struct delivery_result){ .outcome = DELIVERY_RETRY,
						 .problem = "status 500" };
	if (row->user_id == world.poison)
		return (struct delivery_result){ .outcome = DELIVERY_RETRY, .problem = "poison" };
	if (row->user_id == world.refused)
		return (struct delivery_result){ .outcome = DELIVERY_REFUSED,
						 .code = "invalid-name",
						 .problem = "no such letter" };
	if (row->user_id == world.later) {
		world.later = 0;
		return (struct delivery_result){ .outcome = DELIVERY_LATER, .after_s = 1 };
	}
	return (struct delivery_result){ .outcome = DELIVERY_SENT,
					 .unasked = row->user_id == world.unwanted };
}

static int fake_deliver(void *instance UNUSED, const struct target_call *call,
			const struct delivery_row *rows, size_t count,
			struct delivery_result *results, struct err *err)
{
	const char *name = call->settings->name.text;
	void (*within)(void);
	bool down, shut;

	pthread_mutex_lock(&world.lock);
	world.calls++;
	within = world.within;
	world.within = NULL;
	shut = world.shut && strcmp(world.shut, name) == 0;
	down = shut || (world.down && strcmp(world.down, name) == 0);
	for (size_t i = 0; i < count; i++)
		note(name, &rows[i], count);
	for (size_t i = 0; i < count && !down; i++)
		results[i] = judge(name, &rows[i]);
	pthread_mutex_unlock(&world.lock);
	if (within)
		within();
	while (world.hangs && strcmp(world.hangs, name) == 0) {
		if (call->cancelled(call->context))
			return err_set(err, ERR_CANCELLED, "given up");
		usleep(1000);
	}
	if (shut)
		return err_refuse(err, ERR_UNAVAILABLE, "gone", "it wants no more");
	return down ? err_set(err, ERR_UNAVAILABLE, "nobody is there") : 0;
}

static int fake_want(void *instance UNUSED, const struct target_call *call, const struct user *user,
		     struct target_item *ret_item, struct err *err UNUSED)
{
	struct target_field *fields = arena_alloc_array(call->arena, 1, sizeof(*fields));

	if (user->disabled & DISABLED_DELETED)
		return 0;
	fields[0] = (struct target_field){ "shell", "/bin/sh" };
	*ret_item = (struct target_item){ .user = user->uuid,
					  .name = user->username,
					  .active = user_is_active(user),
					  .fields = fields,
					  .field_count = 1 };
	if (strcmp(user->username, "bad") == 0) {
		ret_item->code = "invalid-name";
		ret_item->problem = "no such letter";
	}
	return strcmp(user->username, "nobody") != 0;
}

/* Two pages. */
static int fake_has(void *instance UNUSED, const struct target_call *call UNUSED,
		    const char *cursor, const struct target_item **ret_items, size_t *ret_count,
		    const char **ret_cursor, struct err *err UNUSED)
{
	bool first = cursor[0] == '\0';
	size_t half = world.has_count / 2;

	*ret_items = world.has + (first ? 0 : half);
	*ret_count = first ? half : world.has_count - half;
	*ret_cursor = first ? "more" : NULL;
	return 0;
}

static const struct target_kind event_kind = { .name = "events",
					       .batch_max = 100,
					       .deliver = fake_deliver };
static const struct target_kind state_kind = { .name = "state",
					       .keeps_state = true,
					       .batch_max = 100,
					       .deliver = fake_deliver,
					       .want = fake_want,
					       .has = fake_has };
static const struct target_kind *const kinds[] = { &event_kind, &state_kind, NULL };

#define SETTINGS(target_name, kind) \
	{ \
		.name = { .text = (target_name) }, .type = { .text = (kind) }, .enabled = true, \
		.retry_min_s = 1, .retry_max_s = 1, .give_up_s = 0, .alarm_after_s = 3600 \
	}
static const struct target_settings hook = SETTINGS("hook", "events"),
				    other = SETTINGS("other", "events"),
				    accounts = SETTINGS("accounts", "state");

/* --- the world --- */

static void list_configured(void *context UNUSED, struct setup *setup UNUSED,
			    const struct target_settings *const **ret_targets, size_t *ret_count)
{
	*ret_targets = world.configured;
	*ret_count = world.configured_count;
}

static void configure(struct setup *setup)
{
	setup->targets = world.queued;
	setup->target_count = world.configured_count;
}

static void add_target(const struct target_settings *settings)
{
	world.configured[world.configured_count] = settings;
	world.queued[world.configured_count++] =
		(struct target_setup){ .name = settings->name.text,
				       .keeps_state = settings == &accounts };
}

static void open_world(void)
{
	const struct targets_ports ports = { .settings = list_configured, .kinds = kinds };
	struct setup *setup = test_setup_create(world.path, YAML);

	configure(setup);
	world.changer = changer_open(world.path, setup, &world.err);
	setup_release(setup);
	assert_non_null(world.changer);
	world.targets = targets_create(world.changer, &ports);
	assert_non_null(world.targets);
	ok(targets_start(world.targets, &world.err));
}

static int set_up(void **state UNUSED)
{
	memset(&world, 0, sizeof(world));
	atomic_store(&ahead_s, 0);
	atomic_store(&wall_ahead_s, 0);
	pthread_mutex_init(&world.lock, NULL);
	snprintf(world.folder, sizeof(world.folder), "/tmp/rolebridge-targets-XXXXXX");
	if (!mkdtemp(world.folder))
		return -1;
	snprintf(world.path, sizeof(world.path), "%s/store.db", world.folder);
	return 0;
}

static void close_world(void)
{
	targets_stop(world.targets);
	changer_close(world.changer);
	targets_destroy(world.targets);
	world.changer = NULL;
	world.targets = NULL;
}

static int tear_down(void **state UNUSED)
{
	if (world.changer)
		close_world();
	test_folder_remove(world.folder);
	pthread_mutex_destroy(&world.lock);
	return 0;
}

static int64_t create(const char *username)
{
	const struct new_user user = { .username = username, .profile = "staff" };
	AUTO(arena) struct arena *arena = arena_create(1u << 20);
	AUTO(store) struct store *store = store_open(world.path, STORE_READ, &world.err);
	struct uuid uuid;
	struct user found;

	ok(change_user_create(world.changer, &test_person, &user, &uuid, &world.err));
	ok(user_resolve(store, username, arena, &found, &world.err));
	return found.id;
}

static void rename_to(const char *username, const char *display_name)
{
	const struct user_fields fields = { .display_name = display_name };
	const char *field;
	struct uuid uuid;

	ok(change_user_set(world.changer, &test_person, username, 0, &fields, &uuid, &field,
			   &world.err));
}

static struct delivery_counts counts(const char *target)
{
	AUTO(store) struct store *store = store_open(world.path, STORE_READ, &world.err);
	struct delivery_counts counts;

	ok(store_delivery_counts(store, target, clock_now_s(), &counts, &world.err));
	return counts;
}

static size_t told_of(const char *target, int64_t user_id)
{
	size_t count = 0;

	pthread_mutex_lock(&world.lock);
	for (size_t i = 0; i < world.told_count; i++)
		count += strcmp(world.told[i].target, target) == 0 &&
			 (user_id == 0 || world.told[i].user_id == user_id);
	pthread_mutex_unlock(&world.lock);
	return count;
}

#define wait_for(condition) \
	do { \
		int64_t wait_end_us = real_us() + WAIT_US; \
		while (!(condition)) { \
			if (real_us() > wait_end_us) \
				fail_msg("it did not come to: %s", #condition); \
			usleep(2000); \
		} \
	} while (0)

static void state_of(const char *name, struct arena *arena, struct target_state *ret_state)
{
	AUTO(store) struct store *store = store_open(world.path, STORE_READ, &world.err);
	struct target_state *states;
	size_t count;

	ok(targets_list(world.targets, store, arena, &states, &count, &world.err));
	for (size_t i = 0; i < count; i++)
		if (strcmp(states[i].name, name) == 0) {
			*ret_state = states[i];
			return;
		}
	fail_msg("no target '%s'", name);
}

/* Of the first that waits. */
static int64_t attempts_of(const char *target)
{
	const struct delivery_query query = { .target = target, .limit = 1 };
	AUTO(arena) struct arena *arena = arena_create(1u << 20);
	AUTO(store) struct store *store = store_open(world.path, STORE_READ, &world.err);
	struct delivery_row *rows;
	size_t count;

	ok(store_delivery_list(store, &query, arena, &rows, &count, &world.err));
	return count ? rows[0].attempts : 0;
}

static bool is_failing(const char *name)
{
	AUTO(arena) struct arena *arena = arena_create(1u << 20);
	struct target_state state;

	state_of(name, arena, &state);
	return state.failing;
}

static bool has_alarm(const char *kind)
{
	AUTO(arena) struct arena *arena = arena_create(1u << 20);
	AUTO(store) struct store *store = store_open(world.path, STORE_READ, &world.err);
	struct alarm_row *rows;
	bool found = false;
	size_t count;

	ok(store_alarm_list(store, true, arena, &rows, &count, &world.err));
	for (size_t i = 0; i < count; i++)
		found |= strcmp(rows[i].kind, kind) == 0;
	return found;
}

/* --- tests --- */

static void test_order(void **state UNUSED)
{
	int64_t ada, bob;

	add_target(&hook);
	open_world();
	ada = create("ada");
	bob = create("bob");
	for (int i = 0; i < 10; i++) {
		rename_to("ada", i % 2 ? "A" : "B");
		rename_to("bob", i % 2 ? "A" : "B");
	}
	wait_for(counts("hook").waiting == 0);
	assert_int_equal(told_of("hook", ada), 11);
	assert_int_equal(told_of("hook", bob), 11);
	for (int64_t user = 0; user < 2; user++) {
		int64_t last = 0;

		for (size_t i = 0; i < world.told_count; i++) {
			if (world.told[i].user_id != (user ? ada : bob))
				continue;
			assert_true(world.told[i].id > last);
			last = world.told[i].id;
		}
	}
	assert_int_equal(world.told[0].event, DELIVERY_PROVISIONED);
}

static void test_one_persons_failure_is_theirs(void **state UNUSED)
{
	int64_t ada, bob;

	add_target(&hook);
	open_world();
	ada = create("ada");
	wait_for(counts("hook").waiting == 0);
	world.poison = ada;
	rename_to("ada", "Ada");
	wait_for(told_of("hook", ada) >= 2);
	bob = create("bob");
	for (int i = 0; i < 5; i++)
		rename_to("bob", i % 2 ? "A" : "B");
	wait_for(told_of("hook", bob) == 6);
	rename_to("ada", "Ada B");
	wait_for(counts("hook").waiting == 2);
	world.poison = 0;
	wait_for(counts("hook").waiting == 0);
	assert_int_equal(counts("hook").dead, 0);
}

/* However often they failed, and alone: whoever comes then does not wait as long as they do. */
static void test_pause_of_one_is_theirs(void **state UNUSED)
{
	static struct target_settings patient;
	AUTO(arena) struct arena *arena = arena_create(1u << 20);
	struct target_state now;
	int64_t ada, bob;

	patient = hook;
	patient.retry_max_s = 3600;
	add_target(&patient);
	open_world();
	ada = create("ada");
	wait_for(counts("hook").waiting == 0);
	world.poison = ada;
	rename_to("ada", "Ada");
	wait_for(attempts_of("hook") >= 4);
	state_of("hook", arena, &now);
	assert_true(now.next_try_s <= clock_now_s() + patient.retry_min_s);
	bob = create("bob");
	wait_for(told_of("hook", bob) == 1);
	wait_for(counts("hook").waiting == 1);
}

/* What a target does not want to hear is no sign of life. */
static void test_unwanted(void **state UNUSED)
{
	AUTO(strbuf) struct strbuf metrics = STRBUF(1u << 20);
	int64_t ada, bob;

	add_target(&hook);
	open_world();
	ada = create("ada");
	bob = create("bob");
	wait_for(counts("hook").waiting == 0);
	world.poison = ada;
	world.unwanted = bob;
	rename_to("ada", "Ada");
	wait_for(is_failing("hook"));
	rename_to("bob", "Bob");
	wait_for(counts("hook").waiting == 1);
	assert_true(is_failing("hook"));
	targets_metrics(world.targets, NULL, &metrics);
	assert_non_null(strstr(strbuf_text(&metrics), "outcome=\"delivered\"} 2\n"));
}

static void test_target_that_is_down(void **state UNUSED)
{
	AUTO(arena) struct arena *arena = arena_create(1u << 20);
	struct target_state state_now;
	size_t before, batches = 0;
	char name[16];

	add_target(&hook);
	add_target(&other);
	world.down = "hook";
	open_world();
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "u%d", i);
		create(name);
	}
	wait_for(counts("other").waiting == 0);
	assert_int_equal(told_of("other", 0), 40);
	state_of("hook", arena, &state_now);
	assert_true(state_now.failing);
	assert_string_equal(state_now.problem, "nobody is there");
	assert_int_equal(state_now.counts.waiting, 40);
	/* Its rows are none the worse for it, and it is asked with one at a time. */
	assert_int_equal(state_now.counts.failing, 0);
	pthread_mutex_lock(&world.lock);
	before = world.told_count;
	pthread_mutex_unlock(&world.lock);
	wait_for(told_of("hook", 0) + told_of("other", 0) >= before + 2);
	pthread_mutex_lock(&world.lock);
	for (size_t i = before; i < world.told_count; i++)
		batches += world.told[i].batch > 1;
	world.down = NULL;
	pthread_mutex_unlock(&world.lock);
	assert_int_equal(batches, 0);
	wait_for(counts("hook").waiting == 0);
	wait_for(!is_failing("hook"));
}

/* What a target was told of a person: again and again perhaps, but nothing of before, and nothing is left out. */
static void assert_told_in_order(const char *target, int64_t user_id, int64_t expected)
{
	int64_t last = 0, different = 0;

	assert_true(world.told_count <= ARRAY_LEN(world.told));
	for (size_t i = 0; i < world.told_count; i++) {
		const struct told *told = &world.told[i];

		if (strcmp(told->target, target) != 0 || told->user_id != user_id)
			continue;
		assert_true(told->id >= last);
		different += told->id > last;
		last = told->id;
	}
	assert_int_equal(different, expected);
}

/* One fails as a whole, of another all rows by themselves, as endpoints do that answer 500 to everything. */
static void test_an_hour_of_failures(void **state UNUSED)
{
	static struct target_settings down, failing;
	static const char *const names[] = { "hook", "rows", "other" };
	AUTO(arena) struct arena *arena = arena_create(1u << 20);
	int64_t users[2], changes = 1;
	struct target_state now;

	down = hook;
	down.retry_max_s = 300;
	down.give_up_s = 86400;
	down.alarm_after_s = 900;
	failing = down;
	failing.name.text = "rows";
	add_target(&down);
	add_target(&failing);
	add_target(&other);
	world.down = "hook";
	world.failing = "rows";
	open_world();
	users[0] = create("ada");
	users[1] = create("bob");
	while (atomic_load(&ahead_s) < 3600) {
		size_t asked = told_of("hook", 0), tried = told_of("rows", 0);
		char name[32];

		snprintf(name, sizeof(name), "Name %lld", (long long)changes++);
		rename_to("ada", name);
		rename_to("bob", name);
		wait_for(counts("other").waiting == 0);
		wait_for(pass(1) && told_of("hook", 0) > asked && told_of("rows", 0) > tried);
	}
	/* Three quarters of five minutes at least, but for the first few. */
	assert_in_range(told_of("hook", 0), 8, 30);
	assert_int_equal(counts("hook").waiting, 2 * changes);
	assert_int_equal(counts("rows").waiting, 2 * changes);
	wait_for(pass(1) && has_alarm("target-behind"));
	pthread_mutex_lock(&world.lock);
	world.down = world.failing = NULL;
	pthread_mutex_unlock(&world.lock);
	wait_for(pass(1) && counts("hook").waiting == 0 && counts("rows").waiting == 0);
	wait_for(pass(1) && !has_alarm("target-behind"));
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		assert_told_in_order(names[i], users[0], changes);
		assert_told_in_order(names[i], users[1], changes);
		state_of(names[i], arena, &now);
		assert_int_equal(now.counts.dead, 0);
		assert_false(now.failing);
	}
}

/* What was put off while the clock was days ahead is not left for days. */
static void test_clock_that_is_set_back(void **state UNUSED)
{
	int64_t ada, bob;

	atomic_store(&wall_ahead_s, 30 * 86400);
	add_target(&hook);
	open_world();
	ada = create("ada");
	wait_for(counts("hook").waiting == 0);
	world.poison = ada;
	rename_to("ada", "Ada");
	wait_for(attempts_of("hook") > 0);
	world.poison = 0;
	atomic_store(&wall_ahead_s, 0);
	bob = create("bob");
	wait_for(told_of("hook", bob) == 1);
	wait_for(counts("hook").waiting == 0);
}

/* What needs a person is told at once, once, and costs no row. */
static void test_shut(void **state UNUSED)
{
	add_target(&hook);
	world.shut = "hook";
	open_world();
	create("ada");
	create("bob");
	wait_for(has_alarm("target-behind"));
	wait_for(told_of("hook", 0) >= 3);
	assert_int_equal(counts("hook").waiting, 2);
	assert_int_equal(counts("hook").dead, 0);
	world.shut = NULL;
	wait_for(pass(1) && counts("hook").waiting == 0);
	wait_for(pass(1) && !has_alarm("target-behind"));
}

static void test_hanging_target(void **state UNUSED)
{
	add_target(&hook);
	add_target(&other);
	world.hangs = "hook";
	open_world();
	create("ada");
	wait_for(told_of("hook", 0) == 1);
	create("bob");
	wait_for(told_of("other", 0) == 2);
	/* Given up with the daemon, delivered by the next one. */
	close_world();
	world.hangs = NULL;
	open_world();
	wait_for(counts("hook").waiting == 0);
	assert_int_equal(told_of("other", 0), 2);
}

static void test_dead_letters(void **state UNUSED)
{
	int64_t ada, retried;

	add_target(&hook);
	world.refused = 1;
	open_world();
	ada = create("ada");
	world.refused = ada;
	rename_to("ada", "Ada");
	wait_for(counts("hook").dead >= 1);
	wait_for(has_alarm("target-dead-letters"));
	world.refused = 0;
	rename_to("ada", "Ada B");
	wait_for(counts("hook").waiting == 0);
	ok(change_deliveries_retry(world.changer, &test_person, "hook", NULL, &retried,
				   &world.err));
	assert_true(retried >= 1);
	wait_for(counts("hook").dead == 0 && counts("hook").waiting == 0);
	wait_for(!has_alarm("target-dead-letters"));
}

static void test_dropping(void **state UNUSED)
{
	int64_t dropped;

	add_target(&hook);
	world.refused = 1;
	open_world();
	create("ada");
	wait_for(counts("hook").dead == 1);
	ok(change_deliveries_drop(world.changer, &test_person, "hook", NULL, &dropped, &world.err));
	assert_int_equal(dropped, 1);
	assert_int_equal(counts("hook").dead, 0);
	assert_false(has_alarm("target-dead-letters"));
}

/* Its eighth failure, when it is old enough; being left alone with its target is none. */
static void test_giving_up(void **state UNUSED)
{
	static struct target_settings brief;
	AUTO(arena) struct arena *arena = arena_create(1u << 20);
	const struct delivery_query query = { .target = "hook", .limit = 10 };
	struct delivery_note failed = { .outcome = DELIVERY_RETRY,
					.next_s = 1,
					.problem = "poison" };
	AUTO(store) struct store *store = NULL;
	struct delivery_row *rows;
	size_t count;
	int64_t ada;

	brief = hook;
	brief.give_up_s = 1;
	add_target(&brief);
	world.down = "hook";
	open_world();
	ada = create("ada");
	wait_for(told_of("hook", ada) >= 3);
	store = store_open(world.path, STORE_READ, &world.err);
	for (int64_t i = 0; i < 7; i++) {
		wait_for(attempts_of("hook") == i);
		ok(store_delivery_list(store, &query, arena, &rows, &count, &world.err));
		assert_int_equal(count, 1);
		assert_int_equal(rows[0].dead_s, 0);
		failed.row = &rows[0];
		ok(change_deliveries_note(world.changer, &failed, 1, &world.err));
	}
	pthread_mutex_lock(&world.lock);
	world.poison = ada;
	world.down = NULL;
	pthread_mutex_unlock(&world.lock);
	wait_for(counts("hook").dead == 1);
	ok(store_delivery_list(store, &query, arena, &rows, &count, &world.err));
	assert_string_equal(rows[0].code, "given-up");
	assert_in_range(rows[0].attempts, 8, 20);
	wait_for(has_alarm("target-dead-letters"));
}

static void test_later(void **state UNUSED)
{
	AUTO(arena) struct arena *arena = arena_create(1u << 20);
	struct target_state state_now;

	add_target(&hook);
	world.later = 1;
	open_world();
	assert_int_equal(create("ada"), 1);
	wait_for(told_of("hook", 1) >= 1);
	state_of("hook", arena, &state_now);
	assert_false(state_now.failing);
	wait_for(told_of("hook", 1) == 2);
	wait_for(counts("hook").waiting == 0);
}

static void change_within(void)
{
	rename_to("ada", "Changed meanwhile");
}

/* What comes while a state is being told is told, too; and what came before is told once. */
static void test_changes_meanwhile(void **state UNUSED)
{
	int64_t ada;

	add_target(&accounts);
	world.down = "accounts";
	open_world();
	ada = create("ada");
	for (int i = 0; i < 5; i++)
		rename_to("ada", i % 2 ? "A" : "B");
	assert_int_equal(counts("accounts").waiting, 1);
	wait_for(is_failing("accounts"));
	pthread_mutex_lock(&world.lock);
	world.told_count = 0;
	world.within = change_within;
	world.down = NULL;
	pthread_mutex_unlock(&world.lock);
	wait_for(counts("accounts").waiting == 0);
	assert_int_equal(told_of("accounts", ada), 2);
}

/* A disable goes before everything else, and does not wait for the end of a pause. */
static void test_urgent(void **state UNUSED)
{
	static struct target_settings slow;
	int64_t begun_us;

	slow = hook;
	slow.retry_min_s = slow.retry_max_s = 3600;
	add_target(&slow);
	world.down = "hook";
	open_world();
	create("ada");
	wait_for(is_failing("hook"));
	world.down = NULL;
	create("bob");
	begun_us = clock_monotonic_us();
	ok(change_user_disable(world.changer, &test_person, "bob", "left", &world.err));
	wait_for(counts("hook").waiting == 0);
	assert_true(clock_monotonic_us() - begun_us < 3600 * INT64_C(1000000));
}

static void test_reload(void **state UNUSED)
{
	add_target(&hook);
	open_world();
	create("ada");
	wait_for(counts("hook").waiting == 0);
	/* hook goes, other comes. */
	world.configured[0] = &other;
	world.queued[0].name = "other";
	ok(targets_reload(world.targets, &world.err));
	create("bob");
	wait_for(told_of("other", 0) == 1);
	assert_int_equal(told_of("hook", 0), 1);
}

/* It was taken out of the configuration while no daemon ran. */
static void test_alarm_of_one_that_went(void **state UNUSED)
{
	add_target(&hook);
	open_world();
	ok(change_alarm_raise(world.changer, "target-behind", "other", "x", &world.err));
	ok(change_alarm_raise(world.changer, "target-dead-letters", "other", "x", &world.err));
	close_world();
	open_world();
	assert_false(has_alarm("target-behind"));
	assert_true(has_alarm("target-dead-letters"));
}

/* A reload may be under way when the daemon ends: what it would begin nobody would end before the store is closed. */
static void test_reload_after_the_end(void **state UNUSED)
{
	add_target(&hook);
	open_world();
	targets_stop(world.targets);
	ok(targets_reload(world.targets, &world.err));
	create("ada");
	changer_close(world.changer);
	world.changer = NULL;
	targets_destroy(world.targets);
	assert_int_equal(told_of("hook", 0), 0);
	assert_int_equal(counts("hook").waiting, 1);
}

/* --- drift --- */

static struct uuid uuid_of(const char *username)
{
	AUTO(arena) struct arena *arena = arena_create(1u << 20);
	AUTO(store) struct store *store = store_open(world.path, STORE_READ, &world.err);
	struct user user;

	ok(user_resolve(store, username, arena, &user, &world.err));
	return user.uuid;
}

static const struct target_field sh[] = { { "shell", "/bin/sh" } };
static const struct target_field bash[] = { { "shell", "/bin/bash" } };

static void have(const char *username, struct uuid uuid, const struct target_field *fields)
{
	world.has[world.has_count++] = (struct target_item){
		.user = uuid, .name = username, .active = true, .fields = fields, .field_count = 1
	};
}

static void plan(struct arena *arena, struct target_plan *ret_plan)
{
	AUTO(store) struct store *store = store_open(world.path, STORE_READ, &world.err);

	ok(targets_plan(world.targets, "accounts", store, arena, ret_plan, &world.err));
}

static void fill_drift(void)
{
	static const char *const names[] = { "same", "gone", "shell", "off", "nobody", "bad" };

	add_target(&accounts);
	open_world();
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		create(names[i]);
	ok(change_user_disable(world.changer, &test_person, "off", "left", &world.err));
	wait_for(counts("accounts").waiting == 0);
	have("same", uuid_of("same"), sh);
	have("shell", uuid_of("shell"), bash);
	have("off", uuid_of("off"), sh);
	have("nobody", uuid_of("nobody"), sh);
	have("stranger", uuid_create(1), sh);
}

static void test_drift(void **state UNUSED)
{
	AUTO(arena) struct arena *arena = arena_create(1u << 24);
	struct target_plan first, again;

	fill_drift();
	plan(arena, &first);
	assert_true(first.comparable);
	assert_int_equal(first.drift_count, 6);
	assert_string_equal(first.drifts[0].name, "bad");
	assert_int_equal(first.drifts[0].kind, DRIFT_REFUSED);
	assert_string_equal(first.drifts[0].code, "invalid-name");
	assert_int_equal(first.drifts[1].kind, DRIFT_MISSING);
	assert_int_equal(first.drifts[2].kind, DRIFT_EXTRA);
	assert_string_equal(first.drifts[2].name, "nobody");
	assert_int_equal(first.drifts[3].kind, DRIFT_DIFFERING);
	assert_true(first.drifts[3].takes_away);
	assert_int_equal(first.drifts[4].kind, DRIFT_DIFFERING);
	assert_int_equal(first.drifts[4].field_count, 1);
	assert_string_equal(first.drifts[4].have[0].value, "/bin/bash");
	assert_string_equal(first.drifts[4].want[0].value, "/bin/sh");
	assert_int_equal(first.drifts[5].kind, DRIFT_UNKNOWN);
	assert_int_equal(first.takes_away, 2);
	assert_int_equal(first.active, 5);
	assert_int_equal(first.people, 4);
	plan(arena, &again);
	assert_string_equal(first.id, again.id);
	world.has[1].fields = sh;
	plan(arena, &again);
	assert_string_not_equal(first.id, again.id);
}

static void test_reconcile(void **state UNUSED)
{
	AUTO(arena) struct arena *arena = arena_create(1u << 24);
	AUTO(store) struct store *store = NULL;
	struct target_plan seen, done;
	struct target_state now;

	fill_drift();
	store = store_open(world.path, STORE_READ, &world.err);
	plan(arena, &seen);
	world.told_count = 0;
	assert_int_equal(targets_reconcile(world.targets, "accounts", NULL, &test_person, store,
					   arena, &done, &world.err),
			 -1);
	assert_string_equal(err_reason(&world.err), "target-limit");
	assert_int_equal(targets_reconcile(world.targets, "accounts", "0123456789abcdef",
					   &test_person, store, arena, &done, &world.err),
			 -1);
	assert_string_equal(err_reason(&world.err), "plan-superseded");
	assert_int_equal(told_of("accounts", 0), 0);
	ok(targets_reconcile(world.targets, "accounts", seen.id, &test_person, store, arena, &done,
			     &world.err));
	wait_for(counts("accounts").waiting == 0);
	assert_int_equal(told_of("accounts", 0), 4);
	assert_int_equal(world.told[0].event, DELIVERY_RECONCILE);
	state_of("accounts", arena, &now);
	assert_true(now.reconciled_s > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_order),
		TEST(test_one_persons_failure_is_theirs),
		TEST(test_pause_of_one_is_theirs),
		TEST(test_unwanted),
		TEST(test_target_that_is_down),
		TEST(test_an_hour_of_failures),
		TEST(test_clock_that_is_set_back),
		TEST(test_shut),
		TEST(test_hanging_target),
		TEST(test_dead_letters),
		TEST(test_dropping),
		TEST(test_giving_up),
		TEST(test_later),
		TEST(test_changes_meanwhile),
		TEST(test_urgent),
		TEST(test_reload),
		TEST(test_alarm_of_one_that_went),
		TEST(test_reload_after_the_end),
		TEST(test_drift),
		TEST(test_reconcile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
