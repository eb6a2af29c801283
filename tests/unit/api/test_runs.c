/* Runs: progress, waiting, reports, cancelling, forgetting. Work is held by a gate, not by sleeping. */
#include <rolebridge/api/runs.h>

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include <rolebridge/base/log.h>
#include <rolebridge/base/util.h>

struct gate {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool open;
	int finished;
	int result;
	enum err_code code;
};

#define GATE \
	{ \
		.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER \
	}

static void gate_open(struct gate *gate)
{
	pthread_mutex_lock(&gate->lock);
	gate->open = true;
	pthread_cond_broadcast(&gate->changed);
	pthread_mutex_unlock(&gate->lock);
}

static void gate_finish(void *context)
{
	struct gate *gate = context;

	pthread_mutex_lock(&gate->lock);
	gate->finished++;
	pthread_cond_broadcast(&gate->changed);
	pthread_mutex_unlock(&gate->lock);
}

static void gate_wait(struct gate *gate)
{
	pthread_mutex_lock(&gate->lock);
	while (!gate->open)
		pthread_cond_wait(&gate->changed, &gate->lock);
	pthread_mutex_unlock(&gate->lock);
}

static int work(struct run *run, void *context, struct err *err)
{
	struct gate *gate = context;
	struct run_report report = {
		.problem = "", .server = "ldap1", .plan_id = "", .entries = 7
	};

	run_progress(run, "reading", 3, 10);
	gate_wait(gate);
	if (gate->result < 0)
		return err_refuse(err, gate->code, "sync-running", "it is being read");
	return run_add_report(run, "corp", &report, err);
}

static json_t *fetch(struct runs *runs, const char *id, int64_t wait_ms)
{
	AUTO(strbuf) struct strbuf text = STRBUF((size_t)1024 * 1024);
	struct err err = { 0 };
	json_t *run;

	assert_int_equal(0, runs_json(runs, id, wait_ms, &text, &err));
	run = json_loads(strbuf_text(&text), JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(run);
	return run;
}

static void assert_text(const json_t *run, const char *key, const char *value)
{
	assert_string_equal(value, json_string_value(json_object_get(run, key)));
}

static void test_report(void **state)
{
	struct runs *runs = runs_create();
	struct gate gate = GATE;
	char id[UUID_TEXT_SIZE];
	struct err err = { 0 };
	json_t *run, *report;

	(void)state;
	assert_int_equal(0, runs_start(runs, "sync", "corp", "unix:anna", work, &gate, gate_finish,
				       id, &err));
	run = fetch(runs, id, 0);
	assert_text(run, "state", "running");
	assert_text(run, "actor", "unix:anna");
	json_decref(run);
	gate_open(&gate);
	run = fetch(runs, id, 30000);
	assert_text(run, "state", "done");
	assert_text(run, "phase", "reading");
	assert_int_equal(10, json_integer_value(json_object_get(run, "total")));
	assert_null(json_object_get(run, "error"));
	report = json_array_get(json_object_get(run, "reports"), 0);
	assert_text(report, "subject", "corp");
	assert_int_equal(7, json_integer_value(json_object_get(report, "entries")));
	json_decref(run);
	assert_int_equal(1, gate.finished);
	runs_destroy(runs);
}

static void test_failure(void **state)
{
	struct runs *runs = runs_create();
	struct gate gate = GATE;
	char id[UUID_TEXT_SIZE];
	struct err err = { 0 };
	json_t *run;

	(void)state;
	gate.result = -1;
	gate.code = ERR_CONFLICT;
	gate.open = true;
	assert_int_equal(0, runs_start(runs, "sync", "corp", "unix:anna", work, &gate, gate_finish,
				       id, &err));
	run = fetch(runs, id, 30000);
	assert_text(run, "state", "failed");
	assert_text(json_object_get(run, "error"), "code", "sync-running");
	assert_int_equal(0, json_array_size(json_object_get(run, "reports")));
	json_decref(run);
	runs_destroy(runs);
}

static void test_unknown(void **state)
{
	AUTO(strbuf) struct strbuf text = STRBUF(1024);
	struct runs *runs = runs_create();
	struct err err = { 0 };

	(void)state;
	assert_int_equal(-1, runs_json(runs, "x", 1000, &text, &err));
	assert_int_equal(ERR_NOT_FOUND, err.code);
	runs_destroy(runs);
}

static void test_bound(void **state)
{
	struct runs *runs = runs_create();
	struct gate gate = GATE;
	char id[UUID_TEXT_SIZE], last[UUID_TEXT_SIZE];
	struct err err = { 0 };

	(void)state;
	for (int i = 0; i < RUNS_ACTIVE_MAX; i++)
		assert_int_equal(0, runs_start(runs, "sync", "", "timer", work, &gate, gate_finish,
					       last, &err));
	assert_int_equal(-1,
			 runs_start(runs, "sync", "", "timer", work, &gate, gate_finish, id, &err));
	assert_string_equal("busy", err.reason);
	assert_int_equal(1, gate.finished); /* its context was given back */
	gate_open(&gate);
	runs_destroy(runs);
	assert_int_equal(RUNS_ACTIVE_MAX + 1, gate.finished);
}

static void test_forgets(void **state)
{
	struct runs *runs = runs_create();
	struct gate gate = GATE;
	char first[UUID_TEXT_SIZE] = "", id[UUID_TEXT_SIZE];
	AUTO(strbuf) struct strbuf text = STRBUF((size_t)1024 * 1024);
	struct err err = { 0 };
	json_t *list;

	(void)state;
	gate.open = true;
	for (int i = 0; i < RUNS_KEPT + 10; i++) {
		assert_int_equal(
			0, runs_start(runs, "sync", "", "timer", work, &gate, NULL, id, &err));
		json_decref(fetch(runs, id, 30000));
		if (i == 0)
			memcpy(first, id, sizeof(first));
	}
	assert_int_equal(-1, runs_json(runs, first, 0, &text, &err));
	strbuf_clear(&text);
	runs_list_json(runs, &text);
	list = json_loads(strbuf_text(&text), 0, NULL);
	assert_in_range(json_array_size(list), RUNS_KEPT, RUNS_KEPT + 1);
	assert_text(json_array_get(list, 0), "id", id);
	json_decref(list);
	runs_destroy(runs);
}

static int until_cancelled(struct run *run, void *context, struct err *err)
{
	gate_wait(context);
	return run_cancelled(run) ? err_set(err, ERR_CANCELLED, "stopping") : 0;
}

static void *wait_for(void *argument)
{
	void **arguments = argument;

	return fetch(arguments[0], arguments[1], 30000);
}

static void test_cancel(void **state)
{
	struct runs *runs = runs_create();
	struct gate gate = GATE;
	char id[UUID_TEXT_SIZE];
	struct err err = { 0 };
	void *arguments[2] = { runs, id };
	pthread_t waiter;
	void *seen;
	json_t *run;

	(void)state;
	assert_int_equal(
		0, runs_start(runs, "sync", "", "timer", until_cancelled, &gate, NULL, id, &err));
	assert_int_equal(0, pthread_create(&waiter, NULL, wait_for, arguments));
	runs_cancel(runs);
	/* Whoever waits is answered at once, so that the server can end. */
	pthread_join(waiter, &seen);
	json_decref(seen);
	gate_open(&gate);
	while (true) {
		run = fetch(runs, id, 0);
		if (strcmp(json_string_value(json_object_get(run, "state")), "running") != 0)
			break;
		json_decref(run);
	}
	assert_text(run, "state", "cancelled");
	json_decref(run);
	assert_int_equal(-1, runs_start(runs, "sync", "", "timer", work, &gate, NULL, id, &err));
	assert_int_equal(ERR_UNAVAILABLE, err.code);
	runs_destroy(runs);
}

static int setup(void **state)
{
	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_report),	cmocka_unit_test(test_failure),
		cmocka_unit_test(test_unknown), cmocka_unit_test(test_bound),
		cmocka_unit_test(test_forgets), cmocka_unit_test(test_cancel),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
