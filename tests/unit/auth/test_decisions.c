/* Decisions in memory beside a changer: what is told of, what is read, what may be asked about. */
#include <rolebridge/auth/decisions.h>

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>
#include <rolebridge/change/ownership.h>
#include <rolebridge/change/sync.h>
#include <rolebridge/store/session.h>

#include "../../../daemon/auth/askers.h"
#include "../change/setup.h"

#define PERMISSIONS "['accounts:*@own', 'accounts:*@unassigned']"
#define CONFIG(csm) \
	"profiles:\n" \
	"  - {name: administrator}\n" \
	"  - {name: csm, permissions: " csm "}\n" \
	"  - {name: staff, permissions: []}\n" \
	"segments: [Core]\n" \
	"roles:\n" \
	"  - {name: closer, classifications: [Sales], segments: [Core], permissions: " \
	"['tasks:close@all', 'accounts:read@all']}\n" \
	"policy: {default_profile: staff}\n" \
	"sources: [{name: far, type: ldif, organization: other}]\n"

struct fixture {
	char folder[64], path[96];
	struct changer *changer;
	struct decisions *decisions;
	struct err err;
};

#define ok(f, call) \
	do { \
		if ((call) < 0) \
			fail_msg("%s: %s", #call, (f)->err.text); \
	} while (0)

static const struct web_settings no_web;

static void open_decisions(struct fixture *f)
{
	decisions_destroy(f->decisions);
	f->decisions = decisions_create(f->changer, &no_web, &f->err);
	if (!f->decisions)
		fail_msg("%s", f->err.text);
}

static void make_user(struct fixture *f, const char *name, const char *profile,
		      const char *organization)
{
	char mail[80];
	struct new_user user = {
		.username = name, .email = mail, .profile = profile, .organization = organization
	};
	struct uuid uuid;

	snprintf(mail, sizeof(mail), "%s@x.example", name);
	ok(f, change_user_create(f->changer, &test_person, &user, &uuid, &f->err));
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct setup *setup;

	assert_non_null(f);
	snprintf(f->folder, sizeof(f->folder), "/tmp/rolebridge-auth-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	snprintf(f->path, sizeof(f->path), "%s/store.db", f->folder);
	setup = test_setup_create(f->path, CONFIG(PERMISSIONS));
	f->changer = changer_open(f->path, setup, &f->err);
	setup_release(setup);
	if (!f->changer)
		fail_msg("%s", f->err.text);
	make_user(f, "root", "administrator", "default");
	make_user(f, "anna", "csm", "default");
	make_user(f, "ben", "csm", "default");
	make_user(f, "stan", "staff", "default");
	make_user(f, "far", "csm", "other");
	open_decisions(f);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	decisions_destroy(f->decisions);
	changer_close(f->changer);
	test_folder_remove(f->folder);
	free(f);
	return 0;
}

static void put(struct fixture *f, const char *type, const char *id, const char *parent,
		const char *owner)
{
	const struct resource_wish wish = { .type = type,
					    .id = id,
					    .parent_type = parent ? "accounts" : NULL,
					    .parent_id = parent,
					    .owner = owner };
	enum ownership_outcome outcome;
	const char *field;

	ok(f, change_resource_put(f->changer, &test_person, "crm", &wish, 0, &outcome, &field,
				  &f->err));
}

static void take(struct fixture *f, const char *type, const char *id)
{
	const struct resource_key key = { "crm", type, id };
	size_t removed;

	ok(f, change_resource_remove(f->changer, &test_person, &key, 0, true, &removed, &f->err));
}

static const char *ask_as(struct fixture *f, const struct question *question)
{
	struct verdict verdict;

	ok(f, decisions_ask(f->decisions, question, true, clock_now_s(), &verdict, &f->err));
	assert_int_equal(verdict.allowed, verdict.reason == DECISION_GRANTED);
	return decision_reason_names[verdict.reason];
}

static const char *ask(struct fixture *f, const char *user, const char *permission,
		       const char *type, const char *id)
{
	return ask_as(f, &(struct question){ .user = user,
					     .permission = permission,
					     .resource = { "crm", type, id } });
}

#define EXPECT(want, ...) assert_string_equal(ask(__VA_ARGS__), want)

static void test_told(void **state)
{
	struct fixture *f = *state;

	EXPECT("unknown-resource", f, "anna", "accounts:read", "accounts", "a");
	put(f, "accounts", "a", NULL, "anna");
	put(f, "tasks", "t", "a", NULL);
	EXPECT("granted", f, "anna", "accounts:read", "accounts", "a");
	EXPECT("granted", f, "anna", "tasks:close", "tasks", "t");
	EXPECT("account-not-readable", f, "ben", "tasks:close", "tasks", "t");
	put(f, "accounts", "a", NULL, "ben");
	EXPECT("scope", f, "anna", "accounts:read", "accounts", "a");
	EXPECT("granted", f, "ben", "tasks:close", "tasks", "t");
	put(f, "accounts", "a", NULL, NULL);
	EXPECT("granted", f, "anna", "tasks:close", "tasks", "t");
	take(f, "accounts", "a");
	EXPECT("unknown-resource", f, "anna", "tasks:close", "tasks", "t");
	put(f, "tasks", "t", NULL, NULL);
	/* Without an account it is its own: nobody granted anything for tasks. */
	EXPECT("not-granted", f, "anna", "tasks:close", "tasks", "t");
}

static void test_people(void **state)
{
	struct fixture *f = *state;
	const struct user_fields renamed = { .username = "hanna", .email = "hanna@x.example" };
	struct uuid uuid;
	const char *field;

	put(f, "accounts", "a", NULL, "anna");
	EXPECT("granted", f, "anna", "accounts:read", "accounts", "a");
	EXPECT("granted", f, "ANNA@x.example", "accounts:read", "accounts", "a");
	EXPECT("unknown-user", f, "hanna", "accounts:read", "accounts", "a");
	ok(f,
	   change_user_set(f->changer, &test_person, "anna", 0, &renamed, &uuid, &field, &f->err));
	EXPECT("granted", f, "hanna", "accounts:read", "accounts", "a");
	EXPECT("unknown-user", f, "anna", "accounts:read", "accounts", "a");
	make_user(f, "anna", "csm", "default");
	EXPECT("scope", f, "anna", "accounts:read", "accounts", "a");
	EXPECT("not-granted", f, "stan", "accounts:read", "accounts", "a");
	ok(f, change_grant_add(f->changer, &test_person, "stan", GRANT_ROLE, "closer", 0, &f->err));
	EXPECT("granted", f, "stan", "accounts:read", "accounts", "a");
	ok(f, change_grant_remove(f->changer, &test_person, "stan", GRANT_ROLE, "closer", &f->err));
	EXPECT("not-granted", f, "stan", "accounts:read", "accounts", "a");
	/* Administrators whose profile lists nothing may everything. */
	EXPECT("granted", f, "root", "accounts:delete", "accounts", "a");
}

static void test_disabled(void **state)
{
	struct fixture *f = *state;

	put(f, "accounts", "a", NULL, NULL);
	EXPECT("granted", f, "anna", "accounts:read", "accounts", "a");
	ok(f, change_user_disable(f->changer, &test_person, "anna", "", &f->err));
	EXPECT("user-disabled", f, "anna", "accounts:read", "accounts", "a");
	EXPECT("user-disabled", f, "anna@x.example", "accounts:read", "accounts", "a");
	ok(f, change_user_enable(f->changer, &test_person, "anna", &f->err));
	EXPECT("granted", f, "anna", "accounts:read", "accounts", "a");
}

static void test_organizations(void **state)
{
	struct fixture *f = *state;
	struct question question = { .user = "anna",
				     .permission = "accounts:read",
				     .resource = { "crm", "accounts", "a" } };

	put(f, "accounts", "a", NULL, NULL);
	EXPECT("other-organization", f, "far", "accounts:read", "accounts", "a");
	assert_string_equal(ask_as(f, &question), "granted");
	question.organization = "other";
	assert_string_equal(ask_as(f, &question), "unknown-user");
	question.organization = "default";
	question.application = "shop";
	assert_string_equal(ask_as(f, &question), "unknown-user");
	question.application = "crm";
	assert_string_equal(ask_as(f, &question), "granted");
	/* What others have is not told, to those who may know why either. */
	put(f, "accounts", "b", NULL, "far");
	question.resource.id = "b";
	assert_string_equal(ask_as(f, &question), "unknown-resource");
	EXPECT("other-organization", f, "anna", "accounts:read", "accounts", "b");
	take(f, "accounts", "b");
	ok(f, change_user_disable(f->changer, &test_person, "far", "", &f->err));
	question.user = "far";
	assert_string_equal(ask_as(f, &question), "unknown-user");
	question.organization = "other";
	assert_string_equal(ask_as(f, &question), "user-disabled");
}

static void test_reload(void **state)
{
	struct fixture *f = *state;
	struct setup *setup = test_setup_create(f->path, CONFIG("['accounts:read@own']"));
	struct run_report report;

	put(f, "accounts", "a", NULL, NULL);
	EXPECT("granted", f, "anna", "accounts:read", "accounts", "a");
	run_report_init(&report);
	ok(f, changer_reload(f->changer, setup, &test_person, &report, &f->err));
	run_report_finish(&report);
	setup_release(setup);
	EXPECT("scope", f, "anna", "accounts:read", "accounts", "a");
}

struct late {
	struct fixture *f;
	const char *user;
	pthread_t thread;
	atomic_int id;
};

static void *ask_late(void *context)
{
	struct late *late = context;
	const struct question question = { .user = late->user,
					   .permission = "accounts:read",
					   .resource = { "crm", "accounts", "a" } };
	struct verdict verdict;
	struct err err;

	atomic_store(&late->id, gettid());
	decisions_ask(late->f->decisions, &question, false, clock_now_s(), &verdict, &err);
	return NULL;
}

static bool is_asleep(int thread)
{
	char path[64], text[1024] = "";
	const char *behind;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", thread);
	file = fopen(path, "r");
	assert_non_null(file);
	assert_non_null(fgets(text, sizeof(text), file));
	fclose(file);
	behind = strrchr(text, ')');
	return behind && behind[1] == ' ' && behind[2] == 'S';
}

/* Returns when it waits for its turn to read. */
static void start_late(struct late *late)
{
	assert_int_equal(0, pthread_create(&late->thread, NULL, ask_late, late));
	while (!atomic_load(&late->id) || !is_asleep(atomic_load(&late->id)))
		sched_yield();
}

/* Whoever began to read under the configuration before keeps nothing of it. */
static void test_reload_while_reading(void **state)
{
	struct fixture *f = *state;
	struct setup *setup = test_setup_create(f->path, CONFIG("['accounts:read@own']"));
	struct late before = { .f = f, .user = "anna" }, after = { .f = f, .user = "ben" };
	struct run_report report;

	put(f, "accounts", "a", NULL, NULL);
	pthread_mutex_lock(&f->decisions->reading);
	start_late(&before);
	run_report_init(&report);
	ok(f, changer_reload(f->changer, setup, &test_person, &report, &f->err));
	run_report_finish(&report);
	setup_release(setup);
	start_late(&after);
	pthread_mutex_unlock(&f->decisions->reading);
	pthread_join(before.thread, NULL);
	pthread_join(after.thread, NULL);
	EXPECT("scope", f, "anna", "accounts:read", "accounts", "a");
	EXPECT("scope", f, "ben", "accounts:read", "accounts", "a");
}

static void test_expiry(void **state)
{
	struct fixture *f = *state;
	const struct question question = { .user = "stan",
					   .permission = "accounts:read",
					   .resource = { "crm", "accounts", "a" } };
	int64_t until_s = clock_now_s() + 1000;
	struct verdict verdict;

	put(f, "accounts", "a", NULL, NULL);
	ok(f, change_grant_add(f->changer, &test_person, "stan", GRANT_ROLE, "closer", until_s,
			       &f->err));
	ok(f, decisions_ask(f->decisions, &question, false, until_s - 1, &verdict, &f->err));
	assert_true(verdict.allowed);
	ok(f, decisions_ask(f->decisions, &question, false, until_s + 1, &verdict, &f->err));
	assert_false(verdict.allowed);
}

/* --- lists --- */

struct listed {
	char text[4096];
};

static void list_one(void *context, const char *type, const char *id)
{
	struct listed *listed = context;
	size_t size = strlen(listed->text);

	snprintf(listed->text + size, sizeof(listed->text) - size, "%s/%s ", type, id);
}

static const char *list(struct fixture *f, const char *user, const char *type, const char *parent,
			size_t limit)
{
	static struct listed listed;
	struct listing_question question = { .question = { .user = user,
							   .permission = "tasks:read",
							   .resource = { "crm", type, NULL } },
					     .parent_type = parent ? "accounts" : NULL,
					     .parent_id = parent,
					     .limit = limit };

	listed.text[0] = 0;
	do {
		ok(f, decisions_list(f->decisions, &question, clock_now_s(), list_one, &listed,
				     &question.after, &f->err));
		if (question.after)
			list_one(&listed, "", "");
	} while (question.after);
	return listed.text;
}

static void test_lists(void **state)
{
	struct fixture *f = *state;

	put(f, "accounts", "mine", NULL, "anna");
	put(f, "accounts", "theirs", NULL, "ben");
	put(f, "tasks", "1", "mine", NULL);
	put(f, "tasks", "2", "theirs", NULL);
	put(f, "tasks", "3", "mine", NULL);
	put(f, "tasks", "4", "theirs", NULL);
	assert_string_equal(list(f, "anna", "tasks", NULL, 100), "tasks/1 tasks/3 ");
	assert_string_equal(list(f, "ben", "tasks", NULL, 100), "tasks/2 tasks/4 ");
	assert_string_equal(list(f, "anna", "tasks", "mine", 100), "tasks/1 tasks/3 ");
	assert_string_equal(list(f, "anna", "tasks", "theirs", 100), "");
	assert_string_equal(list(f, "anna", "tasks", "none", 100), "");
	assert_string_equal(list(f, "nobody", "tasks", NULL, 100), "");
	assert_string_equal(list(f, "stan", "tasks", NULL, 100), "");
	/* Pages: full ones say that there may be more. */
	assert_string_equal(list(f, "anna", "tasks", NULL, 1), "tasks/1 / tasks/3 / ");
	put(f, "tasks", "2", "mine", NULL);
	assert_string_equal(list(f, "anna", "tasks", "mine", 2), "tasks/1 tasks/2 / tasks/3 ");
}

/* Of many that are not for them a page looks at some, says where it stopped, and the next goes on there. */
static void test_long_lists(void **state)
{
	struct fixture *f = *state;
	size_t usual = decisions_look_max, pieces = decisions_pieces_max;
	char id[16];

	put(f, "accounts", "mine", NULL, "anna");
	put(f, "accounts", "theirs", NULL, "ben");
	for (int i = 0; i < 20; i++) {
		snprintf(id, sizeof(id), "%d", i);
		put(f, "tasks", id, i == 2 || i == 17 ? "mine" : "theirs", NULL);
	}
	decisions_look_max = 6;
	assert_string_equal(list(f, "anna", "tasks", NULL, 100), "tasks/2 tasks/17 ");
	assert_string_equal(list(f, "anna", "tasks", NULL, 1), "tasks/2 / tasks/17 / ");
	decisions_pieces_max = 1;
	/* Two accounts and twenty tasks: six, six, six and the rest. */
	assert_string_equal(list(f, "anna", "tasks", NULL, 100), "tasks/2 / / / tasks/17 ");
	assert_string_equal(list(f, "anna", "tasks", "theirs", 100), "/ / ");
	assert_string_equal(list(f, "ben", "tasks", "theirs", 4),
			    "tasks/0 tasks/1 tasks/3 tasks/4 / tasks/5 tasks/6 tasks/7 tasks/8 / "
			    "tasks/9 tasks/10 tasks/11 tasks/12 / tasks/13 tasks/14 tasks/15 "
			    "tasks/16 / tasks/18 tasks/19 ");
	decisions_look_max = usual;
	decisions_pieces_max = pieces;
}

/* --- what was told is what is read --- */

static void test_same_after_start(void **state)
{
	static const char *const owners[] = { NULL, "anna", "ben", "root" };
	static const char *const people[] = { "anna", "ben", "root", "stan", "far" };
	struct fixture *f = *state;
	char before[12][ARRAY_LEN(people)][24], id[8], parent[8];
	unsigned number = 1;

	for (int step = 0; step < 200; step++) {
		number = number * 1664525u + 1013904223u;
		snprintf(id, sizeof(id), "r%u", (number >> 8) % 12);
		snprintf(parent, sizeof(parent), "r%u", (number >> 8) % 12 / 2);
		/* Accounts have no parents, so that none is below itself. */
		if ((number >> 20) % 9 == 0 && step > 50)
			change_resource_remove(f->changer, &test_person,
					       &(struct resource_key){ "crm", "tasks", id }, 0,
					       false, &(size_t){ 0 }, NULL);
		else if ((number >> 16) % 3)
			put(f, "accounts", id, NULL, owners[(number >> 12) % 4]);
		else
			change_resource_put(f->changer, &test_person, "crm",
					    &(struct resource_wish){ .type = "tasks",
								     .id = id,
								     .parent_type = "accounts",
								     .parent_id = parent },
					    0, &(enum ownership_outcome){ 0 },
					    &(const char *){ NULL }, NULL);
	}
	for (size_t round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 12; i++)
			for (size_t j = 0; j < ARRAY_LEN(people); j++) {
				snprintf(id, sizeof(id), "r%u", i);
				const char *said = ask(f, people[j], "tasks:read", "tasks", id);

				if (round == 0)
					snprintf(before[i][j], sizeof(before[i][j]), "%s", said);
				else
					assert_string_equal(before[i][j], said);
			}
		open_decisions(f);
	}
}

/* --- many ask while it changes --- */

struct crowd {
	struct fixture *f;
	atomic_bool stop;
	atomic_ulong asked;
};

static void *keep_asking(void *context)
{
	static const char *const people[] = { "anna", "ben", "stan", "nobody" };
	struct crowd *crowd = context;
	unsigned number = 0;

	for (; !atomic_load(&crowd->stop); number++) {
		const struct question question = {
			.user = people[number % 4],
			.permission = "tasks:close",
			.resource = { "crm", "tasks", number % 3 ? "t" : "u" },
		};
		struct verdict verdict;
		struct err err;

		/* Nothing but "changes too often" may go wrong. */
		if (decisions_ask(crowd->f->decisions, &question, true, clock_now_s(), &verdict,
				  &err) < 0)
			assert_int_equal(err.code, ERR_UNAVAILABLE);
		atomic_fetch_add(&crowd->asked, 1);
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct fixture *f = *state;
	struct crowd crowd = { .f = f };
	pthread_t threads[3];

	put(f, "accounts", "a", NULL, NULL);
	put(f, "tasks", "t", "a", NULL);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(0, pthread_create(&threads[i], NULL, keep_asking, &crowd));
	for (int i = 0; i < 60; i++) {
		put(f, "accounts", "a", NULL, i % 2 ? "ben" : NULL);
		EXPECT(i % 2 ? "account-not-readable" : "granted", f, "anna", "tasks:close",
		       "tasks", "t");
		ok(f, change_user_disable(f->changer, &test_person, "anna", "", &f->err));
		EXPECT("user-disabled", f, "anna", "tasks:close", "tasks", "t");
		ok(f, change_user_enable(f->changer, &test_person, "anna", &f->err));
		put(f, "tasks", "u", "a", NULL);
		take(f, "tasks", "u");
	}
	while (atomic_load(&crowd.asked) < 1000)
		sched_yield();
	atomic_store(&crowd.stop, true);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(0, pthread_join(threads[i], NULL));
}

/* --- a second factor --- */

static void add_session(struct fixture *f, const char *user, int64_t second_factor_s)
{
	struct store *store = store_open(f->path, STORE_WRITE, &f->err);
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	struct user found;
	struct session session = { .uuid = uuid_create(1),
				   .source = "",
				   .name_id = "",
				   .name_id_format = "",
				   .session_index = "",
				   .address = "",
				   .agent = "",
				   .created_s = clock_now_s(),
				   .seen_s = clock_now_s(),
				   .until_s = clock_now_s() + 1000,
				   .second_factor_s = second_factor_s };

	assert_non_null(store);
	ok(f, store_user_find(store, USER_BY_USERNAME, user, arena, &found, &f->err));
	session.user_id = found.id;
	ok(f, store_begin(store, &f->err));
	ok(f, store_session_insert(store, &session, &f->err));
	ok(f, store_commit(store, &f->err));
	store_close(store);
}

static void test_second_factor(void **state)
{
	struct fixture *f = *state;
	struct application_settings application = {
		.name = { .text = "crm" },
		.require = { .second_factor = true, .second_factor_max_age_s = 600 },
	};
	const struct web_settings web = { .applications = { .items = &application, .count = 1 } };

	put(f, "accounts", "a", NULL, NULL);
	ok(f, decisions_configure(f->decisions, &web, &f->err));
	EXPECT("second-factor", f, "anna", "accounts:read", "accounts", "a");
	EXPECT("not-granted", f, "stan", "accounts:read", "accounts", "a");
	assert_string_equal(list(f, "anna", "accounts", NULL, 10), "");
	add_session(f, "anna", 0);
	EXPECT("second-factor", f, "anna", "accounts:read", "accounts", "a");
	add_session(f, "anna", clock_now_s() - 5000);
	EXPECT("second-factor", f, "anna", "accounts:read", "accounts", "a");
	add_session(f, "anna", clock_now_s() - 5);
	EXPECT("granted", f, "anna", "accounts:read", "accounts", "a");
	EXPECT("second-factor", f, "ben", "accounts:read", "accounts", "a");
	ok(f, decisions_configure(f->decisions, &no_web, &f->err));
	EXPECT("granted", f, "ben", "accounts:read", "accounts", "a");
}

/* Some permissions want a fresher one than others, wherever they are asked about. */
static void test_step_up(void **state)
{
	struct fixture *f = *state;
	struct setup *setup = test_setup_create(
		f->path,
		CONFIG(PERMISSIONS) "second_factor: {step_up: [{permissions: "
				    "['accounts:update@all', 'tasks:read@all'], max_age: 10m}]}\n");
	struct run_report report;
	char tasks[64];

	put(f, "accounts", "a", NULL, "anna");
	put(f, "tasks", "t", "a", NULL);
	EXPECT("granted", f, "anna", "accounts:update", "accounts", "a");
	snprintf(tasks, sizeof(tasks), "%s", list(f, "anna", "tasks", NULL, 10));
	assert_string_not_equal(tasks, "");
	run_report_init(&report);
	ok(f, changer_reload(f->changer, setup, &test_person, &report, &f->err));
	setup_release(setup);
	run_report_finish(&report);
	EXPECT("granted", f, "anna", "accounts:read", "accounts", "a");
	EXPECT("second-factor", f, "anna", "accounts:update", "accounts", "a");
	EXPECT("second-factor", f, "anna", "accounts:update@own", "accounts", "a");
	assert_string_equal(list(f, "anna", "tasks", NULL, 10), "");
	EXPECT("not-granted", f, "stan", "accounts:update", "accounts", "a");
	add_session(f, "anna", clock_now_s() - 700);
	EXPECT("second-factor", f, "anna", "accounts:update", "accounts", "a");
	add_session(f, "anna", clock_now_s() - 5);
	EXPECT("granted", f, "anna", "accounts:update", "accounts", "a");
	assert_string_equal(list(f, "anna", "tasks", NULL, 10), tasks);
	/* Also when it is the first configuration that says so. */
	open_decisions(f);
	EXPECT("granted", f, "anna", "accounts:update", "accounts", "a");
	EXPECT("second-factor", f, "root", "accounts:update", "accounts", "a");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_told),       TEST(test_people),
		TEST(test_disabled),   TEST(test_organizations),
		TEST(test_reload),     TEST(test_reload_while_reading),
		TEST(test_expiry),     TEST(test_lists),
		TEST(test_long_lists), TEST(test_same_after_start),
		TEST(test_threads),    TEST(test_second_factor),
		TEST(test_step_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
