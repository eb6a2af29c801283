/*
 * kill -9 at every step of a write. A child carries out one change and dies at its nth step; whoever
 * opens the store afterwards finds it as before or as after, nobody half changed, the audit
 * chain whole.
 */
#include "support.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rolebridge/base/file.h>
#include <rolebridge/change/targets.h>
#include <rolebridge/store/session.h>

extern void (*change_test_hook)(const char *step);
extern size_t change_batch_people;

#define SIGN_IN \
	"sources: [{name: corp, type: ldif}, " \
	"{name: idp, type: saml, link: {attribute: uid, source: corp, other: uid}}]\n"
#define BEFORE \
	"k1 anna @admins\nk2 ben @admins\nk3 cleo @sales\nk4 dora @managers @sales\n" \
	"k5 eve title=ops\nk6 finn @sales\n"
#define AFTER \
	"k1 anna @admins\nk2 ben @admins\nk3 cleo @managers\nk4 dora @sales !\n" \
	"k5 eve title=ops_lead mail=new@x.example\nk7 gina @sales title=lead\nk8 hugo @managers\n"

static const struct target_setup targets[] = {
	{ .name = "hook" },
	{ .name = "accounts", .keeps_state = true, .follows_records = true },
};

static int steps_left;

static void die_in_time(const char *step UNUSED)
{
	if (steps_left-- == 0)
		raise(SIGKILL);
}

typedef void change_fn(struct world *world);

static void change_sync(struct world *world)
{
	world_sync(world, "corp", AFTER, 0, NULL);
}

static void change_hand(struct world *world)
{
	ok(world, change_user_disable(world->changer, &test_person, "cleo", "", &world->err));
}

static void change_rules(struct world *world)
{
	world_reload(
		world,
		"profiles: [{name: administrator}, {name: staff}]\n"
		"rules:\n"
		"  - {id: admins, groups: ['cn=admins,dc=x'], grant: {profile: administrator}}\n" WIDE
			SOURCES,
		NULL);
}

static void change_apply(struct world *world)
{
	AUTO(store) struct store *store = world_read(world);
	struct plan_row *plans;
	size_t count;

	ok(world, store_plan_list(store, PLAN_HELD, world->arena, &plans, &count, &world->err));
	assert_int_equal(count, 1);
	ok(world, plan_apply(world->changer, &test_person, plans[0].id, NULL, NULL, &world->err));
}

static void sign_in(struct world *world, const char *line, const char *id)
{
	struct login_outcome outcome;
	struct sent sent;

	world_send(world, &sent, line, id);
	sent.login.assertion = &sent.assertion;
	sent.login.just_in_time = true;
	ok(world, change_login(world->changer, &test_sync, &sent.login, world->arena, &outcome,
			       &world->err));
	strbuf_finish(&sent.record);
}

static void change_login_known(struct world *world)
{
	sign_in(world, "n1 cleo title=ops", "_known");
}

static void change_login_new(struct world *world)
{
	sign_in(world, "n2 ida title=ops", "_new");
}

static void change_login_refused_one(struct world *world)
{
	sign_in(world, "n4 - title=ops", "_refused");
}

/* With a session, if somebody has signed in before. */
static void change_disable_signed_in(struct world *world)
{
	AUTO(store) struct store *store = world_read(world);
	struct session_query query = { .limit = 10 };
	struct session *sessions;
	size_t count;

	ok(world, store_session_list(store, &query, world->arena, &sessions, &count, &world->err));
	assert_int_equal(count, 1);
	change_hand(world);
}

static void prepare_signed_in(struct world *world)
{
	sign_in(world, "n1 cleo", "_before");
}

/* One batch of a followed directory: one transaction. */
static void change_told(struct world *world)
{
	world_changes(world, "corp", "k4 dora @sales !\n~k3 @sales\n#k5\n", NULL);
}

static void change_told_gone(struct world *world)
{
	world_changes(world, "corp", "-k6\n", NULL);
}

static void change_told_some_wait(struct world *world)
{
	world_changes(world, "corp", "k7 gina @sales\n~k3 @managers\n-k6\n#k5\n", NULL);
}

/* Several, each of them whole or not at all. */
static void change_told_large(struct world *world)
{
	world_changes(world, "corp",
		      "k7 gina @sales\n~k3 @managers\nk4 dora @sales !\n-k6\nk5 eve title=x\n"
		      "k8 hugo @managers\n",
		      NULL);
}

static void change_due(struct world *world)
{
	ok(world, change_expire(world->changer, 4102444800, &world->err));
}

static void prepare_gone(struct world *world)
{
	sign_in(world, "n1 finn", "_before");
}

struct scenario {
	const char *name, *yaml, *first, *second;
	change_fn *change;
	change_fn *prepare; /* more before it; may be NULL */
};

static const struct scenario scenarios[] = {
	{ "sync", RULES WIDE SOURCES, BEFORE, NULL, change_sync, NULL },
	{ "hand", RULES WIDE SOURCES, BEFORE, NULL, change_hand, NULL },
	{ "reload", RULES WIDE SOURCES, BEFORE, NULL, change_rules, NULL },
	{ "held", RULES POLICY SOURCES, BEFORE, NULL, change_apply, NULL },
	/* Something is held while the rest applies. */
	{ "hold",
	  RULES "policy: {default_profile: staff, limits: {removals_min: 0, removals_percent: 0, "
		"first_sync_administrators: true}}\n" SOURCES,
	  BEFORE, NULL, change_sync, NULL },
	{ "told", RULES WIDE SOURCES, BEFORE, NULL, change_told, NULL },
	{ "told, gone", RULES WIDE SIGN_IN, BEFORE, NULL, change_told_gone, prepare_gone },
	/* Batches are of two people here: what is more than one of them is stored first. */
	{ "told, large", RULES WIDE SOURCES, BEFORE, NULL, change_told_large, NULL },
	{ "told, and some wait",
	  RULES "policy: {default_profile: staff, limits: {removals_min: 0, removals_percent: 0, "
		"disables_min: 0, disables_percent: 0, first_sync_administrators: true}}\n" SOURCES,
	  BEFORE, NULL, change_told_some_wait, NULL },
	{ "due", RULES WIDE SOURCES, "k1 anna @admins\nk2 ben ^4102444800 @sales\n", NULL,
	  change_due, NULL },
	{ "due, large", RULES WIDE SOURCES,
	  "k1 anna @admins\nk2 ben ^4102444800 @sales\nk3 cleo ^4102444700\n"
	  "k4 dora ^4102444600\n",
	  NULL, change_due, NULL },
	{ "login", RULES WIDE SIGN_IN, BEFORE, NULL, change_login_known, NULL },
	{ "login of somebody new", RULES WIDE SIGN_IN, BEFORE, NULL, change_login_new, NULL },
	{ "refused login", RULES WIDE SIGN_IN, BEFORE, NULL, change_login_refused_one, NULL },
	{ "disable who signed in", RULES WIDE SIGN_IN, BEFORE, NULL, change_disable_signed_in,
	  prepare_signed_in },
};

static int count_token(void *context, const struct session_token *token UNUSED)
{
	++*(int *)context;
	return 0;
}

/* Sessions, tokens and their audit rows come and go together. */
static void put_sessions(struct world *world, struct store *store, struct strbuf *out)
{
	struct session_query query = { .limit = 10 };
	struct session *sessions;
	size_t count;
	int tokens = 0;

	ok(world, store_session_list(store, &query, world->arena, &sessions, &count, &world->err));
	for (size_t i = 0; i < count; i++)
		strbuf_printf(out, "session of %lld by %s\n", (long long)sessions[i].user_id,
			      sessions[i].source);
	ok(world, store_session_tokens_each(store, count_token, &tokens, &world->err));
	strbuf_printf(out, "tokens %d, in %d, refused %d, ended %d\n", tokens,
		      (int)world_audited(world, "login", ""),
		      (int)world_audited(world, "login.refused", ""),
		      (int)world_audited(world, "session.end", ""));
}

/* What targets are to be told comes and goes with what it tells of. */
static void put_deliveries(struct world *world, struct store *store, struct strbuf *out)
{
	const struct delivery_query query = { .limit = 1000 };
	struct delivery_row *rows;
	size_t count;

	ok(world, store_delivery_list(store, &query, world->arena, &rows, &count, &world->err));
	for (size_t i = 0; i < count; i++) {
		/* Without the id, which is another one in each run. */
		const char *said = strstr(rows[i].detail, "\"username\"");

		strbuf_printf(out, "%s of %lld to %s, version %lld: %s\n",
			      delivery_event_name(rows[i].event), (long long)rows[i].user_id,
			      rows[i].target, (long long)rows[i].version, said ? said : "");
	}
}

/* Users and what waits; a plan's own id is that of its content. */
static const char *state_of(struct world *world)
{
	AUTO(store) struct store *store = world_read(world);
	AUTO(strbuf) struct strbuf out = STRBUF(1 << 26);
	struct plan_row *plans;
	size_t count;

	strbuf_puts(&out, world_dump(world));
	ok(world, store_plan_list(store, PLAN_HELD, world->arena, &plans, &count, &world->err));
	for (size_t i = 0; i < count; i++)
		strbuf_printf(&out, "held %s %s\n", plans[i].source, plans[i].id);
	ok(world, store_plan_list(store, PLAN_READY, world->arena, &plans, &count, &world->err));
	assert_int_equal(count, 0);
	ok(world, store_plan_list(store, PLAN_DRAFT, world->arena, &plans, &count, &world->err));
	assert_int_equal(count, 0);
	put_sessions(world, store, &out);
	put_deliveries(world, store, &out);
	strbuf_printf(&out, "alarms %lld", (long long)world_alarms(world, "plan-held"));
	return arena_strdup(world->arena, strbuf_text(&out));
}

static void copy_store(const struct world *world, const char *to)
{
	AUTO(strbuf) struct strbuf content = STRBUF(1 << 28);
	struct err err;
	char path[128];

	if (file_read(world->path, 1 << 28, &content, &err) < 0 ||
	    file_write_atomic(to, content.data, content.size, 0600, &err) < 0)
		fail_msg("%s", err.text);
	for (size_t i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s%s", to, i ? "-wal" : "-shm");
		unlink(path);
	}
}

/* In the child: never returns to cmocka. */
static void child(struct world *world, const struct scenario *scenario, int step)
{
	change_test_hook = NULL;
	world_open(world, scenario->yaml);
	steps_left = step;
	change_test_hook = die_in_time;
	scenario->change(world);
	_exit(7);
}

/* true: the child lived to the end. */
static bool run_child(struct world *world, const struct scenario *scenario, int step)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		/* A failed assertion in the child must not run the parent's other tests. */
		child(world, scenario, step);
		_exit(8);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status)) {
		assert_int_equal(WEXITSTATUS(status), 7);
		return true;
	}
	assert_int_equal(WTERMSIG(status), SIGKILL);
	return false;
}

static void run_scenario(struct world *world, const struct scenario *scenario)
{
	char kept[128], path[sizeof(world->path)];
	const char *before, *after;
	int step, rolled = 0, undone = 0;

	snprintf(kept, sizeof(kept), "%s/kept.db", world->folder);
	world_open(world, scenario->yaml);
	world_sync(world, "corp", scenario->first, 0, NULL);
	if (scenario->prepare)
		scenario->prepare(world);
	before = state_of(world);
	world_close(world);
	copy_store(world, kept);
	world_open(world, scenario->yaml);
	scenario->change(world);
	after = state_of(world);
	assert_string_not_equal(before, after);
	world_close(world);
	memcpy(path, world->path, sizeof(path));
	for (step = 0;; step++) {
		const char *found;
		bool lived;

		memcpy(world->path, kept, strlen(kept) + 1);
		snprintf(path, sizeof(path), "%s/run.db", world->folder);
		copy_store(world, path);
		memcpy(world->path, path, sizeof(path));
		lived = run_child(world, scenario, step);
		world_open(world, scenario->yaml);
		found = state_of(world);
		if (strcmp(found, before) != 0 && strcmp(found, after) != 0)
			fail_msg(
				"%s: killed at step %d, neither before nor after:\n%s\nbefore:\n%s\nafter:\n%s",
				scenario->name, step, found, before, after);
		rolled += strcmp(found, after) == 0;
		undone += strcmp(found, before) == 0;
		world_check_audit(world);
		world_check_sane(world, false);
		world_close(world);
		if (lived)
			break;
	}
	print_message("%s: %d steps, %d before, %d after\n", scenario->name, step, undone, rolled);
	assert_true(undone > 0);
	assert_true(rolled > 1);
}

static void test_kill(void **state)
{
	struct world *world = *state;
	char path[sizeof(world->path)];

	/* A process killed in mid-work holds memory, which valgrind reports in place of its status. */
	if (getenv("ROLEBRIDGE_VALGRIND")) {
		print_message("not under valgrind\n");
		return;
	}
	change_batch_people = 2;
	world->targets = targets;
	world->target_count = ARRAY_LEN(targets);
	memcpy(path, world->path, sizeof(path));
	for (size_t i = 0; i < ARRAY_LEN(scenarios); i++) {
		snprintf(world->path, sizeof(world->path), "%.80s.%zu", path, i);
		run_scenario(world, &scenarios[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_kill, world_set_up, world_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
