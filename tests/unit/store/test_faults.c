/*
 * All or nothing: one transaction that uses every write of the store, with
 * each write to disk, each sync and each allocation failing in its turn, and
 * with the process killed in its middle. Afterwards the store must be as
 * before or as after, whole and verifiable; a commit that was acknowledged must be there.
 */
#include "support.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/store/activity.h>
#include <rolebridge/store/delivery.h>
#include <rolebridge/store/factor.h>
#include <rolebridge/store/invite.h>
#include <rolebridge/store/persona.h>
#include <rolebridge/store/session.h>

/* --- the transaction --- */

#define TRY(call) \
	do { \
		if ((call) < 0) \
			return -1; \
	} while (0)

static int write_user(struct store *store, int64_t i, int64_t *ret_id, struct err *err)
{
	struct user user;
	char username[32], email[64];

	snprintf(username, sizeof(username), "person-%lld", (long long)i);
	snprintf(email, sizeof(email), "%s@acme.example", username);
	user = make_user(username, email);
	for (size_t b = 0; b < 16; b++)
		user.uuid.byte[b] = (unsigned char)(i >> (8 * (b % 4)));
	TRY(store_user_insert(store, &user, err));
	user.version++;
	user.display_name = "Changed";
	TRY(store_user_update(store, &user, err));
	*ret_id = user.id;
	return 0;
}

static int write_person(struct store *store, int64_t i, struct err *err)
{
	struct grant grant = make_grant(GRANT_ROLE, "sales", "rule-1");
	struct identity_row row = { .source = "corp", .record = "record", .record_size = 6 };
	struct audit_row audit = { .at_s = 5, .actor = "sync:corp", .action = "user.create" };
	struct hash128 digest = { { 1, 2 } };
	char key[32];

	TRY(write_user(store, i, &row.user_id, err));
	snprintf(key, sizeof(key), "key-%lld", (long long)i);
	row.key = key;
	audit.object = key;
	TRY(store_identity_put(store, &row, &digest, err));
	TRY(store_grant_add(store, row.user_id, &grant, err));
	grant.name = "support";
	TRY(store_grant_add(store, row.user_id, &grant, err));
	TRY(store_grant_remove(store, row.user_id, &grant, err));
	return store_audit_append(store, &audit, err);
}

static int write_plan(struct store *store, struct err *err)
{
	struct plan_row plan = { .state = PLAN_READY, .id = "0123456789", .summary = "{}" };
	char *data = calloc(1, 20000);
	int result = data ? 0 : -1;

	assert_non_null(data);
	result = store_plan_create(store, "corp", "sync:corp", 5, &plan.row, err);
	if (result == 0)
		result = store_plan_add_batch(store, plan.row, 0, data, 20000, err);
	if (result == 0)
		result = store_plan_add_batch(store, plan.row, 1, data, 20000, err);
	free(data);
	TRY(result);
	TRY(store_plan_update(store, &plan, err));
	TRY(store_plan_batch_done(store, plan.row, 0, err));
	TRY(store_plan_create(store, "corp", "sync:corp", 6, &plan.row, err));
	return store_plan_discard(store, plan.row, err);
}

static int write_events(struct store *store, int64_t user_id, struct err *err)
{
	struct event_batch batch = { .done = 1 };
	int64_t feature, after;

	TRY(store_feature_ensure(store, "crm", "export", 10, &feature, err));
	TRY(store_feature_use_add(store, user_id, 3, feature, 2, err));
	TRY(store_feature_use_add(store, user_id, 9, feature, 2, err));
	TRY(store_event_batch_put(store, "crm", "batch", 5, 10, &batch, err));
	batch.done = 2;
	TRY(store_event_batch_put(store, "crm", "batch", 5, 10, &batch, err));
	TRY(store_events_count(store, 2, 1, err));
	TRY(store_activity_prune(store, 5, 0, 10, &after, err));
	return store_event_batch_prune(store, 1, err) < 0 ? -1 : 0;
}

static int write_session(struct store *store, int64_t user_id, struct arena *arena, struct err *err)
{
	struct session session = { .uuid = { { 1 } },
				   .user_id = user_id,
				   .source = "corp",
				   .name_id = "name",
				   .name_id_format = "format",
				   .session_index = "index",
				   .address = "",
				   .agent = "",
				   .created_s = 5,
				   .seen_s = 5,
				   .until_s = 10 };
	struct session_token token = { .hash = digest256(&user_id, sizeof(user_id)), .host = "" };
	int64_t *ids;
	size_t count;

	TRY(store_used_add(store, "assertion", "corp", "_1", 5, err));
	TRY(store_used_add(store, "assertion", "corp", "_2", 50, err));
	TRY(store_session_insert(store, &session, err));
	session.uuid.byte[0] = 2;
	session.until_s = 100;
	TRY(store_session_insert(store, &session, err));
	token.session_id = session.id;
	TRY(store_session_token_add(store, &token, err));
	session.seen_s = 6;
	TRY(store_session_update(store, &session, err));
	TRY(store_session_prune(store, 10, 0, 10, arena, &ids, &count, err));
	assert_int_equal(count, 1);
	TRY(store_identity_confirm(store, "corp", "key-100", 7, err));
	return store_used_prune(store, 10, 10, err) < 0 ? -1 : 0;
}

static int write_factors(struct store *store, int64_t user_id, struct err *err)
{
	struct factor_row app = { .uuid = { { 1 } },
				  .user_id = user_id,
				  .method = FACTOR_TOTP,
				  .name = "app",
				  .version = 1,
				  .sealed = "sealed",
				  .sealed_size = 6,
				  .key_id = 7,
				  .until_s = 5 };
	struct factor_row key = { .uuid = { { 2 } },
				  .user_id = user_id,
				  .method = FACTOR_WEBAUTHN,
				  .name = "key",
				  .version = 1,
				  .confirmed_s = 5,
				  .credential = "id",
				  .credential_size = 2,
				  .public_key = "key",
				  .public_key_size = 3 };
	struct challenge_row sent = { .session_id = 1, .generation = 1 };
	struct recovery_row code = { .user_id = user_id, .hash = "hash", .issuer = "user:x" };

	TRY(store_factor_insert(store, &app, err));
	TRY(store_factor_insert(store, &key, err));
	key.counter = 6;
	TRY(store_factor_update(store, &key, err));
	sent.factor_id = app.id;
	TRY(store_challenge_put(store, &sent, err));
	sent.tries = 1;
	TRY(store_challenge_put(store, &sent, err));
	TRY(store_challenge_use(store, "name", 100, err));
	TRY(store_recovery_put(store, &code, err));
	TRY(store_recovery_use(store, code.id, 5, err));
	TRY(store_recovery_put(store, &code, err));
	TRY(store_factor_reseal(store, app.id, "sealed", 6, "anew", 4, 8, err));
	TRY(store_factor_prune(store, 10, 10, err));
	return store_recovery_drop(store, user_id, 5, 10, err);
}

static int write_sign_in(struct store *store, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	struct user user;

	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory for a test");
	TRY(store_user_find(store, USER_BY_USERNAME, "person-100", arena, &user, err));
	TRY(write_session(store, user.id, arena, err));
	TRY(write_factors(store, user.id, err));
	return write_events(store, user.id, err);
}

static int write_invite(struct store *store, struct err *err)
{
	static const struct invite_grant grants[] = { { GRANT_PROFILE, "staff" },
						      { GRANT_ROLE, "sales" } };
	static const char *const scope[] = { "users:invite@all" };
	struct invite_row invite = { .uuid = { { 7 } },
				     .organization = "default",
				     .email = "ada@acme.example",
				     .username = "ada",
				     .display_name = "",
				     .grants = grants,
				     .grant_count = 2,
				     .generation = 1,
				     .actor = "user:x",
				     .limited = true,
				     .scope = scope,
				     .scope_count = 1,
				     .expires_s = 10,
				     .mail_problem = "" };
	struct outbox_row row = {
		.kind = "invite", .subject = "x", .message_id = "y", .next_s = 5
	};

	TRY(store_invite_insert(store, &invite, err));
	invite.generation = 2;
	TRY(store_invite_update(store, &invite, err));
	TRY(store_outbox_add(store, &row, err));
	row.id = 1;
	row.problem = "451";
	TRY(store_outbox_update(store, &row, err));
	row.subject = "z";
	TRY(store_outbox_add(store, &row, err));
	TRY(store_outbox_remove(store, 2, err));
	TRY(store_outbox_drop(store, "invite", "x", err));
	TRY(store_external_put(store, "default", "4711", 1, err));
	return store_external_put(store, "default", "4712", 1, err);
}

static int write_deliveries(struct store *store, struct err *err)
{
	struct delivery_row first = { .target = "hook",
				      .uuid = { { 1 } },
				      .user_id = 1,
				      .event = DELIVERY_UPDATED,
				      .detail = "{}",
				      .created_s = 5,
				      .next_s = 5,
				      .version = 1,
				      .code = "x",
				      .problem = "500" };
	struct delivery_row second = first, state = first;

	second.uuid.byte[0] = 2;
	state.uuid.byte[0] = 3;
	state.target = "state";
	TRY(store_delivery_add(store, &first, err));
	TRY(store_delivery_add(store, &second, err));
	TRY(store_delivery_fold(store, &state, err));
	TRY(store_delivery_fold(store, &state, err));
	first.attempts = 1;
	first.next_s = 9;
	TRY(store_delivery_put_off(store, &first, err));
	first.dead_s = 10;
	TRY(store_delivery_bury(store, &first, err));
	TRY(store_delivery_remove(store, &second, 11, err));
	TRY(store_delivery_revive(store, &first, 12, err));
	return store_delivery_drop(store, "state", false, 10, err) < 0 ? -1 : 0;
}

static int write_persona(struct store *store, struct err *err)
{
	struct persona_record record = { .type = PERSONA_RESEARCH,
					 .kind = 1,
					 .at_s = 5,
					 .number = 3,
					 .title = "",
					 .text = "note",
					 .url = "",
					 .actor = "user:x" };
	int64_t id;

	TRY(store_persona_note(store, "gone", 5, &id, err));
	TRY(store_persona_add(store, id, &record, err));
	TRY(store_persona_forget(store, "gone", err));
	TRY(store_persona_prune(store, 10, err));
	TRY(store_persona_note(store, "lead", 5, &id, err));
	TRY(store_persona_add(store, id, &record, err));
	TRY(store_persona_remove(store, id, &record, err));
	record.type = PERSONA_REVIEW;
	record.kind = 0;
	TRY(store_persona_add(store, id, &record, err));
	return store_persona_due(store, "lead", 7, err);
}

static int write_rest(struct store *store, struct err *err)
{
	struct source_state source = { .name = "corp", .last_read_s = 5, .entries = 3 };
	struct group_registry_row group = { .id = 7, .name = "cn=sales" };
	struct quarantine_row entry = { .source = "corp",
					.locator = "cn=x",
					.key = "",
					.reason = "r",
					.detail = "d",
					.since_s = 5,
					.seen_s = 5 };

	TRY(store_source_set(store, &source, err));
	TRY(store_group_put(store, &group, err));
	group.id = 8;
	group.name = "cn=ops";
	TRY(store_group_put(store, &group, err));
	TRY(store_group_remove(store, 8, err));
	TRY(store_window_add(store, "disables", "corp", 5, 1, err));
	TRY(store_window_prune(store, 1, err));
	TRY(store_quarantine_put(store, &entry, err));
	TRY(store_quarantine_age(store, "corp", 5, err));
	TRY(store_quarantine_prune(store, "corp", 5, err));
	TRY(store_alarm_raise(store, "kind", "subject", "text", 5, err));
	TRY(store_alarm_clear(store, "kind", "subject", "root", 6, err));
	return store_meta_set(store, "rules", "digest", err);
}

static int write_all(struct store *store, struct err *err)
{
	TRY(store_organization_ensure(store, "acme", err));
	TRY(store_source_ensure(store, "corp", err));
	TRY(store_savepoint(store, err));
	TRY(write_person(store, 100, err));
	TRY(write_sign_in(store, err));
	TRY(write_invite(store, err));
	TRY(write_persona(store, err));
	TRY(write_deliveries(store, err));
	TRY(store_release(store, err));
	for (int64_t i = 101; i < 110; i++)
		TRY(write_person(store, i, err));
	TRY(store_identity_set_missing(store, "corp", "key-100", 9, 1, err));
	TRY(store_identity_delete(store, "corp", "key-101", err));
	TRY(write_plan(store, err));
	return write_rest(store, err);
}

/* What a caller sees: 1 committed, 0 refused before the commit, -1 commit failed. */
static int run_transaction(const char *path, struct err *err)
{
	struct store *store = store_open(path, STORE_WRITE, err);
	int outcome = 0;

	if (!store)
		return 0;
	if (store_begin(store, err) == 0) {
		if (write_all(store, err) < 0)
			store_rollback(store);
		else
			outcome = store_commit(store, err) < 0 ? -1 : 1;
	}
	store_checkpoint(store, NULL);
	store_close(store);
	return outcome;
}

/* --- the state before and after --- */

struct states {
	char template[160]; /* a file with some users in it */
	struct hash256 before, after;
};

static void copy_file(const char *from, const char *to)
{
	char buffer[65536];
	FILE *in = fopen(from, "r"), *out = fopen(to, "w");
	size_t size;

	assert_non_null(in);
	assert_non_null(out);
	while ((size = fread(buffer, 1, sizeof(buffer), in)) > 0)
		assert_int_equal(fwrite(buffer, 1, size, out), size);
	fclose(in);
	fclose(out);
}

static void start_from(const struct fixture *fixture, const struct states *states)
{
	static const char *const suffixes[] = { "-wal", "-shm" };
	char path[128];

	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		snprintf(path, sizeof(path), "%s%s", fixture->path, suffixes[i]);
		unlink(path);
	}
	copy_file(states->template, fixture->path);
}

static struct states prepare(struct fixture *fixture)
{
	struct states states;

	ok(fixture, store_begin(fixture->store, &fixture->err));
	ok(fixture, store_source_ensure(fixture->store, "corp", &fixture->err));
	for (int64_t i = 0; i < 20; i++)
		ok(fixture, write_person(fixture->store, i, &fixture->err));
	ok(fixture, store_commit(fixture->store, &fixture->err));
	assert_int_equal(store_tidy(fixture->store, &fixture->err), 0);
	store_close(fixture->store);
	fixture->store = NULL;
	snprintf(states.template, sizeof(states.template), "%s/template.db", fixture->folder);
	copy_file(fixture->path, states.template);
	states.before = content_digest(fixture->path);
	assert_int_equal(run_transaction(fixture->path, &fixture->err), 1);
	states.after = content_digest(fixture->path);
	assert_memory_not_equal(&states.before, &states.after, sizeof(states.before));
	return states;
}

static bool same(const struct hash256 *a, const struct hash256 *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/* Opens the store as the next start would, and judges what is there. */
static void judge(struct fixture *fixture, const struct states *states, int outcome,
		  const char *what, long n)
{
	struct hash256 now = content_digest(fixture->path);
	bool before = same(&now, &states->before), after = same(&now, &states->after);

	if (!before && !after)
		fail_msg("%s %ld: half a change is left", what, n);
	if (outcome == 1 && !after)
		fail_msg("%s %ld: an acknowledged commit is lost", what, n);
	if (outcome == 0 && !before)
		fail_msg("%s %ld: a refused change is there", what, n);
	fixture->store = store_open(fixture->path, STORE_WRITE, &fixture->err);
	if (!fixture->store)
		fail_msg("%s %ld: %s", what, n, fixture->err.text);
	assert_audit_intact(fixture, before ? 20 : 30);
	store_close(fixture->store);
	fixture->store = NULL;
}

static const struct {
	const char *name;
	struct fault fault;
	const char *reason;
} disk_faults[] = {
	{ "disk full for good, write", { FAULT_WRITE, SQLITE_FULL, true }, "store-full" },
	{ "disk full once, write", { FAULT_WRITE, SQLITE_FULL, false }, "store-full" },
	{ "disk broken for good, write", { FAULT_WRITE, SQLITE_IOERR_WRITE, true }, "store-io" },
	{ "disk broken once, write", { FAULT_WRITE, SQLITE_IOERR_WRITE, false }, "store-io" },
	{ "disk broken for good, sync", { FAULT_SYNC, SQLITE_IOERR_FSYNC, true }, "store-io" },
	{ "disk broken once, sync", { FAULT_SYNC, SQLITE_IOERR_FSYNC, false }, "store-io" },
};

static void test_disk_faults(void **state)
{
	struct fixture *fixture = *state;
	struct states states = prepare(fixture);

	for (size_t i = 0; i < ARRAY_LEN(disk_faults); i++) {
		bool met = true;
		long n;

		for (n = 0; met; n++) {
			int outcome;

			assert_true(n < 5000);
			start_from(fixture, &states);
			err_clear(&fixture->err);
			fault_arm(&disk_faults[i].fault, n);
			outcome = run_transaction(fixture->path, &fixture->err);
			met = fault_disarm();
			/* Only the copying of the WAL after the commit may fail unseen. */
			assert_true(outcome == 1 || met);
			if (outcome != 1) {
				assert_int_equal(fixture->err.code, ERR_IO);
				assert_string_equal(err_reason(&fixture->err),
						    disk_faults[i].reason);
			}
			judge(fixture, &states, outcome, disk_faults[i].name, n);
		}
		print_message("%s: %ld places\n", disk_faults[i].name, n - 1);
		assert_true(n > 2);
	}
}

static void test_memory_of_sqlite(void **state)
{
	struct fixture *fixture = *state;
	struct states states = prepare(fixture);
	long step = getenv("ROLEBRIDGE_VALGRIND") ? 97 : 3, n;
	bool met = true;

	for (n = 0; met; n += n < 300 ? 1 : step) {
		int outcome;

		start_from(fixture, &states);
		err_clear(&fixture->err);
		memory_fault_arm(n);
		outcome = run_transaction(fixture->path, &fixture->err);
		met = memory_fault_disarm();
		assert_true(outcome == 1 || met);
		if (outcome != 1 && fixture->err.code != ERR_MEMORY)
			fail_msg("allocation %ld: %s", n, fixture->err.text);
		judge(fixture, &states, outcome, "allocation of SQLite", n);
	}
	print_message("%ld allocations of SQLite\n", n);
}

static void test_memory_of_ours(void **state)
{
	struct fixture *fixture = *state;
	struct states states = prepare(fixture);
	bool met = true;
	long n;

	for (n = 0; met; n++) {
		int outcome;

		start_from(fixture, &states);
		err_clear(&fixture->err);
		alloc_fail_after(n);
		outcome = run_transaction(fixture->path, &fixture->err);
		met = alloc_fail_after(-1) < 0;
		if (outcome != 1)
			assert_true(met);
		judge(fixture, &states, outcome, "allocation", n);
	}
	print_message("%ld allocations\n", n);
	assert_true(n > 10);
}

/* The savepoint of one request on a full disk: the others of the commit are told, not lost in silence. */
static void test_disk_full_in_a_savepoint(void **state)
{
	struct fixture *fixture = *state;
	struct states states = prepare(fixture);
	static const struct fault full = { FAULT_WRITE, SQLITE_FULL, true };
	char *big = calloc(1, 60 * 1024 * 1024);
	int64_t row;

	assert_non_null(big);
	start_from(fixture, &states);
	fixture->store = store_open(fixture->path, STORE_WRITE, &fixture->err);
	ok(fixture, store_begin(fixture->store, &fixture->err));
	ok(fixture, write_person(fixture->store, 200, &fixture->err));
	ok(fixture, store_savepoint(fixture->store, &fixture->err));
	ok(fixture, store_plan_create(fixture->store, "corp", "x", 1, &row, &fixture->err));
	/* More than the cache holds: it goes to disk before the commit. */
	fault_arm(&full, 0);
	refused(fixture,
		store_plan_add_batch(fixture->store, row, 0, big, 60 * 1024 * 1024, &fixture->err),
		ERR_IO, "store-full");
	assert_true(fault_disarm());
	store_rollback_to(fixture->store);
	if (write_person(fixture->store, 201, &fixture->err) == 0) {
		ok(fixture, store_commit(fixture->store, &fixture->err));
		assert_audit_intact(fixture, 22);
	} else {
		refused(fixture, store_commit(fixture->store, &fixture->err), ERR_IO, "store-full");
		assert_audit_intact(fixture, 20);
	}
	ok(fixture, store_begin(fixture->store, &fixture->err));
	ok(fixture, write_person(fixture->store, 202, &fixture->err));
	ok(fixture, store_commit(fixture->store, &fixture->err));
	free(big);
}

/* --- kill -9 --- */

/* Commits one person after another, says so after each. */
static void child_writes(const char *path, int pipe_fd)
{
	struct err err = { 0 };
	struct store *store = store_open(path, STORE_WRITE, &err);

	for (int64_t i = 1000; store; i++) {
		if (store_begin(store, &err) < 0 || write_person(store, i, &err) < 0 ||
		    write_person(store, i + 1000000, &err) < 0 || store_commit(store, &err) < 0 ||
		    write(pipe_fd, &i, sizeof(i)) != sizeof(i))
			break;
		if (i % 7 == 0)
			store_checkpoint(store, NULL);
	}
	_exit(1);
}

static void check_after_kill(struct fixture *fixture, int64_t acknowledged)
{
	struct user_counts counts;
	struct user_query query = { .active = -1, .limit = 10000 };
	struct user *users;
	size_t count, grant_count, identity_count;
	struct identity_row *identities;
	struct grant *grants;

	content_digest(fixture->path);
	reopen(fixture);
	arena_reset(fixture->arena);
	ok(fixture, store_user_counts(fixture->store, NULL, &counts, &fixture->err));
	/* Those acknowledged, and at most one transaction of two people more. */
	assert_int_equal(counts.total % 2, 0);
	assert_true(counts.total == 2 * acknowledged || counts.total == 2 * acknowledged + 2);
	assert_audit_intact(fixture, counts.total);
	ok(fixture,
	   store_user_list(fixture->store, &query, fixture->arena, &users, &count, &fixture->err));
	assert_int_equal(count, counts.total);
	for (size_t i = 0; i < count; i++) {
		ok(fixture, store_grants_of(fixture->store, users[i].id, fixture->arena, &grants,
					    &grant_count, &fixture->err));
		ok(fixture, store_identities_of(fixture->store, users[i].id, fixture->arena,
						&identities, &identity_count, &fixture->err));
		assert_int_equal(grant_count, 1);
		assert_int_equal(identity_count, 1);
		assert_int_equal(users[i].version, 2);
	}
}

static void kill_once(struct fixture *fixture, unsigned round)
{
	int64_t i, acknowledged = 0;
	int fds[2], status;
	pid_t child;

	store_close(fixture->store);
	fixture->store = NULL;
	assert_int_equal(pipe(fds), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		close(fds[0]);
		child_writes(fixture->path, fds[1]);
	}
	close(fds[1]);
	while (acknowledged < (int64_t)round + 1 && read(fds[0], &i, sizeof(i)) == sizeof(i))
		acknowledged++;
	/* Somewhere in the transactions that follow. */
	for (volatile unsigned spin = 0; spin < round * 9973; spin++)
		;
	kill(child, SIGKILL);
	while (read(fds[0], &i, sizeof(i)) == sizeof(i))
		acknowledged++;
	close(fds[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	check_after_kill(fixture, acknowledged);
}

static void test_kill(void **state)
{
	struct fixture *fixture;

	for (unsigned round = 0; round < 25; round++) {
		fixture_tear_down(state);
		fixture_set_up(state);
		fixture = *state;
		ok(fixture, store_begin(fixture->store, &fixture->err));
		ok(fixture, store_source_ensure(fixture->store, "corp", &fixture->err));
		ok(fixture, store_commit(fixture->store, &fixture->err));
		kill_once(fixture, round);
	}
}

static int set_up_faults(void **state)
{
	faults_install();
	return fixture_set_up(state);
}

/* A sync that fails is met only by a commit that waits for the disk. */
static bool commit_meets_sync(struct fixture *fixture, bool durable, const char *username)
{
	const struct fault fault = { FAULT_SYNC, SQLITE_IOERR_FSYNC, false };

	ok(fixture, store_set_durable(fixture->store, durable, &fixture->err));
	ok(fixture, store_begin(fixture->store, &fixture->err));
	add_user(fixture, username);
	fault_arm(&fault, 0);
	if (store_commit(fixture->store, &fixture->err) < 0)
		store_rollback(fixture->store);
	return fault_disarm();
}

static void test_durable_commits_wait_for_the_disk(void **state)
{
	struct fixture *fixture = *state;

	assert_true(commit_meets_sync(fixture, true, "anna"));
	assert_false(commit_meets_sync(fixture, false, "ben"));
	assert_false(commit_meets_sync(fixture, false, "carla"));
	assert_true(commit_meets_sync(fixture, true, "david"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_faults, fixture_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_disk_faults),	   TEST(test_memory_of_sqlite),
		TEST(test_memory_of_ours), TEST(test_disk_full_in_a_savepoint),
		TEST(test_kill),	   TEST(test_durable_commits_wait_for_the_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
