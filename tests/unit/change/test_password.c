/* Passwords of our own: who has one, who signs in with it, what sets it, and what each of these ends. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <sqlite3.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/change/factor.h>
#include <rolebridge/change/invite.h>
#include <rolebridge/change/password.h>
#include <rolebridge/store/device.h>
#include <rolebridge/store/session.h>

#include "support.h"

#define CONFIG RULES WIDE SOURCES
#define THREADS 4
#define ROUNDS 50

extern struct change_test_clock {
	int64_t step_s, passed_s;
	const char *boot;
} change_test_clock;

static const struct actor local = { .name = "local", .request = "request-2", .is_person = true };

/* --- what is there --- */

static struct uuid create(struct world *w, const char *name, const char *profile)
{
	char email[128];
	const struct new_user asked = { .username = name, .email = email, .profile = profile };
	struct uuid uuid;

	snprintf(email, sizeof(email), "%s@x.example", name);
	ok(w, change_user_create(w->changer, &test_person, &asked, &uuid, &w->err));
	return uuid;
}

static struct password_candidate find(struct world *w, const char *name)
{
	AUTO(store) struct store *store = world_read(w);
	struct password_candidate candidate;

	ok(w, change_password_find(w->changer, store, name, w->arena, &candidate, &w->err));
	return candidate;
}

static struct password_row password_of(struct world *w, const char *name)
{
	AUTO(store) struct store *store = world_read(w);
	struct password_row row;

	ok(w, store_password_get(store, world_find(w, name).id, w->arena, &row, &w->err));
	return row;
}

static struct reset_row reset_of(struct world *w, const char *name)
{
	AUTO(store) struct store *store = world_read(w);
	struct reset_row row;

	ok(w, store_reset_of(store, world_find(w, name).id, w->arena, &row, &w->err));
	return row;
}

/* Letters of a kind that wait, and the number of the newest. */
static int outbox_of(struct world *w, const char *kind, int64_t *ret_number)
{
	sqlite3_stmt *query;
	sqlite3 *db;
	int count;

	assert_int_equal(sqlite3_open(w->path, &db), SQLITE_OK);
	assert_int_equal(
		sqlite3_prepare_v2(db, "SELECT count(*), max(number) FROM outbox WHERE kind = ?1",
				   -1, &query, NULL),
		SQLITE_OK);
	sqlite3_bind_text(query, 1, kind, -1, SQLITE_STATIC);
	assert_int_equal(sqlite3_step(query), SQLITE_ROW);
	count = sqlite3_column_int(query, 0);
	*ret_number = sqlite3_column_int64(query, 1);
	sqlite3_finalize(query);
	sqlite3_close(db);
	return count;
}

/* How many letters wait, and the number of the last. */
static int letters(struct world *w, int64_t *ret_number)
{
	return outbox_of(w, OUTBOX_RESET, ret_number);
}

/* That a password was set. */
static int told(struct world *w)
{
	int64_t number;
	int count = outbox_of(w, OUTBOX_FACTOR, &number);

	if (count > 0)
		assert_int_equal(number, factor_event_number(FACTOR_PASSWORD_SET, FACTOR_NONE));
	return count;
}

static struct reset_row send_reset(struct world *w, const char *name)
{
	struct reset_row row;

	ok(w, change_password_reset_send(w->changer, &test_person, name, w->arena, &row, &w->err));
	return row;
}

static int use(struct world *w, const struct reset_row *row, int64_t generation, const char *hash)
{
	return change_password_reset_use(w->changer, "request-3", &row->uuid, generation, hash,
					 &w->err);
}

static void give(struct world *w, const char *name, const char *hash)
{
	struct reset_row row = send_reset(w, name);

	ok(w, use(w, &row, row.generation, hash));
}

/* --- signing in --- */

static unsigned char next_token;

static struct local_login prepare(struct world *w, const char *name)
{
	const struct password_candidate candidate = find(w, name);
	struct local_login login = { .user_id = world_find(w, name).id,
				     .version = candidate.version,
				     .address = "192.0.2.1",
				     .agent = "browser",
				     .now_s = clock_now_s(),
				     .until_s = clock_now_s() + 3600 };

	login.token.byte[0] = ++next_token;
	return login;
}

static struct login_outcome sign_in_as(struct world *w, const struct local_login *login)
{
	struct login_outcome outcome;

	ok(w, change_login_local(w->changer, &local, login, w->arena, &outcome, &w->err));
	return outcome;
}

static struct login_outcome sign_in(struct world *w, const char *name)
{
	const struct local_login login = prepare(w, name);

	return sign_in_as(w, &login);
}

static void test_signs_in(void **state)
{
	struct world *w = *state;
	struct login_outcome outcome;
	struct local_login login;

	world_open(w, CONFIG);
	create(w, "ada", "manager");
	assert_null(find(w, "ada").hash);
	assert_true(find(w, "ada").user_id != 0);
	give(w, "ada", "$hash-1");
	assert_string_equal(find(w, " ADA@x.example").hash, "$hash-1");
	outcome = sign_in(w, "ada");
	assert_string_equal(outcome.refused, "");
	assert_string_equal(outcome.user.username, "ada");
	assert_string_equal(outcome.session.source, "");
	assert_string_equal(outcome.session.agent, "browser");
	assert_int_equal(world_sessions(w), 1);
	assert_true(world_audited(w, "login", "local user {\"session\":\"") > 0);
	assert_true(world_audited(w, "login", "\"by\":\"password\",\"address\":\"192.0.2.1\"") > 0);
	/* The same password under other parameters is not another password. */
	login = prepare(w, "ada");
	login.rehash = "$hash-1-dearer";
	assert_string_equal(sign_in_as(w, &login).refused, "");
	assert_string_equal(password_of(w, "ada").hash, "$hash-1-dearer");
	assert_int_equal(password_of(w, "ada").version, login.version);
	world_check_audit(w);
}

/* Rules are asked at each sign-in, as by every other way. */
static void test_rules_are_asked(void **state)
{
	struct world *w = *state;

	world_open(w, "profiles: [{name: administrator}, {name: staff}]\n" WIDE
		      "sources: [{name: corp, type: ldif}]\n");
	world_sync(w, "corp", "k1 ben title=ops\n", 0, NULL);
	give(w, "ben", "$hash");
	/* Other rules by now, and nobody was read since. */
	world_open(w, RULES WIDE "sources: [{name: corp, type: ldif}]\n");
	assert_string_equal(world_user(w, "ben"), "staff active");
	assert_string_equal(sign_in(w, "ben").refused, "");
	assert_string_equal(world_user(w, "ben"), "staff active ops:rule");
	/* Somebody without an identity has what was given by hand. */
	create(w, "ada", "manager");
	give(w, "ada", "$hash");
	assert_string_equal(sign_in(w, "ada").refused, "");
	assert_string_equal(world_user(w, "ada"), "manager active");
	world_check_audit(w);
}

static void change_meanwhile(struct world *w)
{
	give(w, "ada", "$hash-2");
}

static void disable(struct world *w)
{
	ok(w, change_user_disable(w->changer, &test_person, "ada", "", &w->err));
}

static void test_who_does_not(void **state)
{
	static const struct {
		const char *name;
		void (*meanwhile)(struct world *w);
		const char *refused;
	} cases[] = {
		{ "another password since", change_meanwhile, "password-changed" },
		{ "disabled", disable, "disabled" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct local_login login;
		struct login_outcome outcome;
		void *other;
		struct world *w;

		world_set_up(&other);
		w = other;
		world_open(w, CONFIG);
		create(w, "ada", "manager");
		give(w, "ada", "$hash");
		login = prepare(w, "ada");
		login.rehash = "$never";
		cases[i].meanwhile(w);
		outcome = sign_in_as(w, &login);
		if (strcmp(outcome.refused, cases[i].refused) != 0)
			fail_msg("%s: '%s'", cases[i].name, outcome.refused);
		assert_int_equal(world_sessions(w), 0);
		assert_string_not_equal(password_of(w, "ada").hash, "$never");
		assert_int_equal(world_audited(w, "login", ""), 0);
		assert_int_equal(world_audited(w, "login.refused", ""), 1);
		assert_string_equal(outcome.user.username, "ada");
		world_check_audit(w);
		world_tear_down(&other);
	}
	(void)state;
}

/* --- who signs in elsewhere --- */

static void test_managed(void **state)
{
	static const struct {
		const char *name, *sources;
		bool managed;
	} cases[] = {
		{ "a file", "{name: corp, type: ldif}", false },
		{ "a directory", "{name: corp, type: ldap}", true },
		{ "a directory, switched off", "{name: corp, type: ldap, enabled: false}", true },
		{ "a file that an IdP's people are linked to",
		  "{name: corp, type: ldif}, {name: idp, type: saml, link: {attribute: uid, "
		  "source: corp, other: uid}}",
		  true },
		{ "a file, and an IdP of others",
		  "{name: corp, type: ldif}, {name: idp, type: saml}", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(store) struct store *store = NULL;
		const char *source;
		void *other;
		struct world *w;
		struct reset_row row;
		char yaml[8192];

		world_set_up(&other);
		w = other;
		snprintf(yaml, sizeof(yaml), "%s%ssources: [%s]\n", RULES, WIDE, cases[i].sources);
		world_open(w, yaml);
		world_sync(w, "corp", "k1 ben\n", 0, NULL);
		store = world_read(w);
		ok(w, change_user_managed(w->changer, store, world_find(w, "ben").id, w->arena,
					  &source, &w->err));
		if ((source != NULL) != cases[i].managed)
			fail_msg("%s: %s", cases[i].name, source ? source : "no");
		if (cases[i].managed)
			refused(w,
				change_password_reset_send(w->changer, &test_person, "ben",
							   w->arena, &row, &w->err),
				"managed-by-idp");
		else
			send_reset(w, "ben");
		world_tear_down(&other);
	}
	(void)state;
}

/* Who comes to sign in elsewhere keeps no door here; when they leave that source for good, it is theirs again. */
static void test_managed_later(void **state)
{
	struct world *w = *state;
	struct login_outcome outcome;
	struct local_login login;
	struct reset_row row;

	world_open(w, RULES WIDE "sources: [{name: hr, type: ldif}]\n");
	world_sync(w, "hr", "k1 ben\n", 0, NULL);
	give(w, "ben", "$hash");
	row = send_reset(w, "ben");
	login = prepare(w, "ben");
	world_open(w, RULES WIDE "sources: [{name: hr, type: ldif}, {name: idp, type: saml, link: "
				 "{attribute: uid, source: hr, other: uid}}]\n");
	assert_null(find(w, "ben").hash);
	outcome = sign_in_as(w, &login);
	assert_string_equal(outcome.refused, "managed-by-idp");
	refused(w, use(w, &row, row.generation, "$new"), "managed-by-idp");
	assert_int_equal(world_sessions(w), 0);
	world_check_audit(w);
}

/* --- a directory that takes passwords --- */

static void test_directory(void **state)
{
	static const struct {
		const char *name, *source, *key, *refused;
	} cases[] = {
		{ "theirs", "corp", "k1", "" },
		{ "another entry", "corp", "k2", "unlinked" },
		{ "no entry", "corp", "k9", "unlinked" },
		{ "a source that takes none", "far", "k1", "source-disabled" },
		{ "no source", "none", "k1", "source-disabled" },
	};
	struct world *w = *state;

	world_open(w, RULES WIDE "sources: [{name: corp, type: ldap, login: true}, "
				 "{name: far, type: ldap}]\n");
	world_sync(w, "corp", "k1 ben title=ops\nk2 anna\n", 0, NULL);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct local_login login = prepare(w, "ben");
		struct login_outcome outcome;

		login.source = cases[i].source;
		login.key = cases[i].key;
		outcome = sign_in_as(w, &login);
		if (strcmp(outcome.refused, cases[i].refused) != 0)
			fail_msg("%s: '%s'", cases[i].name, outcome.refused);
		if (!cases[i].refused[0])
			assert_string_equal(outcome.session.source, cases[i].source);
	}
	assert_int_equal(world_sessions(w), 1);
	assert_true(world_audited(w, "login", "\"by\":\"password\",\"source\":\"corp\"") > 0);
	world_check_audit(w);
}

/* --- within --- */

static void test_sets_their_own(void **state)
{
	struct world *w = *state;
	struct login_outcome here;
	struct password_change change;
	struct reset_row row;
	size_t ended = 99;
	int64_t number;
	int had_told;

	world_open(w, CONFIG);
	create(w, "ada", "manager");
	create(w, "ben", "manager");
	give(w, "ada", "$hash");
	give(w, "ben", "$hash");
	here = sign_in(w, "ada");
	sign_in(w, "ada");
	sign_in(w, "ben");
	row = send_reset(w, "ada");
	change = (struct password_change){
		.user_id = here.user.id, .session_id = here.session.id, .version = 1, .hash = "$new"
	};
	had_told = told(w);
	ok(w, change_password_set(w->changer, &local, &change, &ended, &w->err));
	assert_int_equal(ended, 1);
	assert_int_equal(world_sessions(w), 2);
	assert_string_equal(password_of(w, "ada").hash, "$new");
	assert_int_equal(password_of(w, "ada").version, 2);
	/* What was mailed before is void, and not sent any more. */
	refused(w, use(w, &row, row.generation, "$mail"), "reset-superseded");
	assert_int_equal(letters(w, &number), 0);
	assert_int_equal(told(w), had_told + 1);
	assert_true(world_audited(w, "password.set", "{\"by\":\"self\",\"first\":false}") > 0);
	assert_true(world_audited(w, "session.end", "\"why\":\"password-changed\"") > 0);
	/* It was verified against the one before. */
	refused(w, change_password_set(w->changer, &local, &change, NULL, &w->err),
		"stale-version");
	/* In somebody else's session, or one that ended. */
	change.version = 2;
	change.session_id++;
	err_clear(&w->err);
	assert_int_equal(change_password_set(w->changer, &local, &change, NULL, &w->err), -1);
	assert_int_equal(w->err.code, ERR_NOT_FOUND);
	change.session_id += 1;
	err_clear(&w->err);
	assert_int_equal(change_password_set(w->changer, &local, &change, NULL, &w->err), -1);
	assert_int_equal(w->err.code, ERR_NOT_FOUND);
	assert_string_equal(password_of(w, "ada").hash, "$new");
	world_check_audit(w);
}

/* Somebody told these browsers to remember them. */
static void remember(struct world *w, const char *const *names, size_t count)
{
	struct store *store;

	world_close(w);
	store = store_open(w->path, STORE_WRITE, &w->err);
	assert_non_null(store);
	ok(w, store_begin(store, &w->err));
	for (size_t i = 0; i < count; i++) {
		struct user user;
		struct device_row row = { .uuid = uuid_create(clock_now_s() * 1000),
					  .method = FACTOR_TOTP,
					  .proven_s = clock_now_s(),
					  .agent = "browser",
					  .address = "192.0.2.1",
					  .created_s = clock_now_s(),
					  .seen_s = clock_now_s(),
					  .until_s = clock_now_s() + 86400 };

		ok(w, user_resolve(store, names[i], w->arena, &user, &w->err));
		row.user_id = user.id;
		ok(w, store_device_insert(store, &row, &w->err));
	}
	ok(w, store_commit(store, &w->err));
	store_close(store);
	world_open(w, CONFIG);
}

static size_t remembered(struct world *w, const char *name)
{
	AUTO(store) struct store *store = world_read(w);
	struct device_row *rows;
	size_t count;

	ok(w, store_device_list(store, world_find(w, name).id, w->arena, &rows, &count, &w->err));
	return count;
}

/* Whoever had the password before had perhaps a browser remembered, too. */
static void test_browsers_are_forgotten(void **state)
{
	static const char *const names[] = { "ada", "ben", "ada" };
	struct world *w = *state;
	struct login_outcome here;
	struct password_change change;
	struct reset_row row;

	world_open(w, CONFIG);
	create(w, "ada", "manager");
	create(w, "ben", "manager");
	give(w, "ada", "$hash");
	here = sign_in(w, "ada");
	remember(w, names, ARRAY_LEN(names));
	assert_int_equal(remembered(w, "ada"), 2);
	change = (struct password_change){
		.user_id = here.user.id, .session_id = here.session.id, .version = 1, .hash = "$new"
	};
	ok(w, change_password_set(w->changer, &local, &change, NULL, &w->err));
	assert_int_equal(remembered(w, "ada"), 0);
	assert_int_equal(remembered(w, "ben"), 1);
	assert_true(world_audited(w, "password.set",
				  "{\"by\":\"self\",\"first\":false,\"devices\":2}") > 0);
	row = send_reset(w, "ben");
	assert_int_equal(remembered(w, "ben"), 1);
	ok(w, use(w, &row, row.generation, "$mail"));
	assert_int_equal(remembered(w, "ben"), 0);
	world_check_audit(w);
}

/* Only who is all the way in sets it. */
static void test_half_a_session(void **state)
{
	struct world *w = *state;
	struct login_outcome here;
	struct password_change change;
	struct store *store;

	world_open(w, CONFIG);
	create(w, "ada", "manager");
	give(w, "ada", "$hash");
	here = sign_in(w, "ada");
	world_close(w);
	store = store_open(w->path, STORE_WRITE, &w->err);
	assert_non_null(store);
	here.session.stage = SESSION_FACTOR;
	ok(w, store_begin(store, &w->err));
	ok(w, store_session_update(store, &here.session, &w->err));
	ok(w, store_commit(store, &w->err));
	store_close(store);
	world_open(w, CONFIG);
	change = (struct password_change){
		.user_id = here.user.id, .session_id = here.session.id, .version = 1, .hash = "$new"
	};
	err_clear(&w->err);
	assert_int_equal(change_password_set(w->changer, &local, &change, NULL, &w->err), -1);
	assert_int_equal(w->err.code, ERR_NOT_FOUND);
}

/* --- by mail --- */

static void test_resets(void **state)
{
	struct world *w = *state;
	struct reset_row first, second;
	int64_t number;

	world_open(w, CONFIG);
	create(w, "ada", "manager");
	first = send_reset(w, "ada");
	assert_string_equal(first.email, "ada@x.example");
	assert_int_equal(letters(w, &number), 1);
	assert_int_equal(number, 1);
	/* A newer one: the letter before is not sent any more, its link is void. */
	second = send_reset(w, "ada@x.example");
	assert_int_equal(letters(w, &number), 1);
	assert_int_equal(number, 2);
	refused(w, use(w, &first, first.generation, "$old"), "reset-superseded");
	refused(w, use(w, &first, 3, "$never"), "reset-superseded");
	ok(w, use(w, &second, second.generation, "$new"));
	assert_int_equal(letters(w, &number), 0);
	assert_true(password_of(w, "ada").by_mail);
	assert_int_equal(password_of(w, "ada").version, 1);
	refused(w, use(w, &second, second.generation, "$twice"), "reset-used");
	refused(w, use(w, &first, first.generation, "$old"), "reset-superseded");
	assert_string_equal(password_of(w, "ada").hash, "$new");
	/* Of the same user: the next ones go on counting. */
	assert_int_equal(send_reset(w, "ada").generation, 3);
	assert_true(world_audited(w, "password.set", "{\"by\":\"reset\",\"first\":true}") > 0);
	assert_true(world_audited(w, "password.set", " user {") > 0);
	assert_int_equal(world_audited(w, "password.reset", ""), 3);
	assert_true(world_audited(w, "password.reset", "\"by\":\"administrator\"") > 0);
	world_check_audit(w);
}

static void test_a_reset_ends_sessions(void **state)
{
	struct world *w = *state;
	struct reset_row row;

	world_open(w, CONFIG);
	create(w, "ada", "manager");
	create(w, "ben", "manager");
	give(w, "ada", "$hash");
	give(w, "ben", "$hash");
	sign_in(w, "ada");
	sign_in(w, "ada");
	sign_in(w, "ben");
	row = send_reset(w, "ada");
	assert_int_equal(world_sessions(w), 3);
	ok(w, use(w, &row, row.generation, "$new"));
	assert_int_equal(world_sessions(w), 1);
	assert_true(world_audited(w, "session.end", "\"why\":\"password-reset\"") > 0);
	world_check_audit(w);
}

static void pass(struct world *w)
{
	(void)w;
	change_test_clock.passed_s += PASSWORD_RESET_LIFETIME_S;
}

static void turn_back(struct world *w)
{
	(void)w;
	change_test_clock.passed_s -= 2;
}

static void move_mailbox(struct world *w)
{
	const struct user_fields edit = { .email = "new@x.example" };
	const char *field;
	struct uuid uuid;

	ok(w, change_user_set(w->changer, &test_person, "ada", 0, &edit, &uuid, &field, &w->err));
}

static void delete (struct world *w)
{
	struct uuid uuid;

	disable(w);
	change_test_clock.passed_s += 86400 * 40;
	ok(w, change_user_delete(w->changer, &test_person, "ada", 0, &uuid, &w->err));
	change_test_clock.passed_s -= 86400 * 40;
}

static void test_links_that_are_void(void **state)
{
	static const struct {
		const char *name;
		void (*meanwhile)(struct world *w);
		const char *refused;
	} cases[] = {
		{ "an hour", pass, "reset-expired" },
		{ "the clock is set back", turn_back, "reset-expired" },
		{ "another address", move_mailbox, "reset-superseded" },
		{ "disabled", disable, "user-disabled" },
		{ "deleted", delete, "not-found" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(store) struct store *store = NULL;
		struct reset_row row;
		struct user user;
		void *other;
		struct world *w;

		world_set_up(&other);
		w = other;
		world_open(w, CONFIG);
		create(w, "ada", "manager");
		create(w, "rest", "administrator");
		row = send_reset(w, "ada");
		store = world_read(w);
		ok(w, change_password_reset_check(w->changer, store, &row.uuid, row.generation,
						  row.sent_s, w->arena, &user, &w->err));
		assert_string_equal(user.username, "ada");
		cases[i].meanwhile(w);
		err_clear(&w->err);
		assert_int_equal(use(w, &row, row.generation, "$new"), -1);
		if (w->err.code != ERR_NOT_FOUND &&
		    strcmp(err_reason(&w->err), cases[i].refused) != 0)
			fail_msg("%s: %s", cases[i].name, w->err.text);
		assert_int_equal(w->err.code == ERR_NOT_FOUND,
				 strcmp(cases[i].refused, "not-found") == 0);
		change_test_clock.passed_s = 0;
		world_check_audit(w);
		world_tear_down(&other);
	}
	(void)state;
}

struct comer {
	struct changer *changer;
	struct reset_row row;
	pthread_barrier_t *barrier;
	int result;
	struct err err;
};

static void *come(void *context)
{
	struct comer *comer = context;

	pthread_barrier_wait(comer->barrier);
	comer->result = change_password_reset_use(comer->changer, "", &comer->row.uuid,
						  comer->row.generation, "$hash", &comer->err);
	return NULL;
}

/* Whoever comes with the same link at the same moment: one of them. */
static void test_one_of_many(void **state)
{
	struct world *w = *state;

	world_open(w, CONFIG);
	create(w, "ada", "manager");
	for (int round = 0; round < ROUNDS; round++) {
		const struct reset_row row = send_reset(w, "ada");
		struct comer comers[THREADS];
		pthread_t threads[THREADS];
		pthread_barrier_t barrier;
		int won = 0;

		pthread_barrier_init(&barrier, NULL, THREADS);
		for (int i = 0; i < THREADS; i++) {
			comers[i] = (struct comer){ w->changer, row, &barrier, 0, { 0 } };
			assert_int_equal(pthread_create(&threads[i], NULL, come, &comers[i]), 0);
		}
		for (int i = 0; i < THREADS; i++) {
			pthread_join(threads[i], NULL);
			won += comers[i].result == 0;
			if (comers[i].result < 0)
				assert_string_equal(err_reason(&comers[i].err), "reset-used");
		}
		pthread_barrier_destroy(&barrier);
		assert_int_equal(won, 1);
	}
	assert_int_equal(password_of(w, "ada").version, ROUNDS);
	world_check_audit(w);
}

/* --- by whoever forgot it --- */

static void test_forgotten(void **state)
{
	static const struct {
		const char *typed, *reason;
	} nothing[] = {
		{ "nobody", "unknown" },     { "", "unknown" },	       { "my secret", "unknown" },
		{ "carl", "user-disabled" }, { "silent", "no-email" }, { "ben", "managed-by-idp" },
	};
	const struct new_user silent = { .username = "silent", .profile = "staff" };
	struct world *w = *state;
	struct uuid uuid;
	int64_t number;

	world_open(w, RULES WIDE "sources: [{name: corp, type: ldap}]\n");
	world_sync(w, "corp", "k1 ben\n", 0, NULL);
	create(w, "ada", "manager");
	create(w, "carl", "manager");
	ok(w, change_user_create(w->changer, &test_person, &silent, &uuid, &w->err));
	ok(w, change_user_disable(w->changer, &test_person, "carl", "", &w->err));
	for (size_t i = 0; i < ARRAY_LEN(nothing); i++) {
		const char *rows;

		ok(w, change_password_forgotten(w->changer, "r", nothing[i].typed, "192.0.2.9",
						&w->err));
		rows = world_audit(w, "password.reset.refused");
		assert_int_equal(world_audited(w, "password.reset.refused", ""), i + 1);
		assert_non_null(strstr(rows, nothing[i].reason));
		assert_null(strstr(rows, "my secret"));
		assert_int_equal(letters(w, &number), 0);
	}
	ok(w, change_password_forgotten(w->changer, "r", "Ada@X.example", "192.0.2.9", &w->err));
	assert_int_equal(letters(w, &number), 1);
	assert_int_equal(reset_of(w, "ada").generation, 1);
	assert_true(world_audited(w, "password.reset",
				  "local user {\"by\":\"forgotten\",\"address\":\"192.0.2.9\"") >
		    0);
	world_check_audit(w);
}

/* --- who may send one --- */

#define DESK \
	"profiles:\n" \
	"  - {name: administrator}\n" \
	"  - {name: desk, permissions: ['users:*@all']}\n" \
	"  - {name: reader, permissions: ['users:read@all']}\n" \
	"  - {name: staff}\n" \
	"policy: {default_profile: staff}\n" \
	"sources: [{name: far, type: ldif, organization: other}]\n"

static void test_who_may_send(void **state)
{
	static const struct {
		const char *by, *whom, *reason;
	} cases[] = {
		{ "desk", "ada", "" },
		{ "desk", "desk", "" },
		{ "desk", "root", "not-allowed" },
		{ "desk", "away", "not-found" },
		{ "desk", "nobody", "not-found" },
		{ "reader", "ada", "not-allowed" },
		{ "root", "desk", "" },
	};
	const struct new_user away = { .username = "away",
				       .email = "away@y.example",
				       .profile = "staff",
				       .organization = "other" };
	struct world *w = *state;
	struct uuid uuid;

	world_open(w, DESK);
	create(w, "root", "administrator");
	create(w, "desk", "desk");
	create(w, "reader", "reader");
	create(w, "ada", "staff");
	ok(w, change_user_create(w->changer, &test_person, &away, &uuid, &w->err));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct actor actor = { .name = "user:x",
					     .request = "",
					     .is_person = true,
					     .limited = true,
					     .user_id = world_find(w, cases[i].by).id };
		struct reset_row row;
		int result;

		err_clear(&w->err);
		result = change_password_reset_send(w->changer, &actor, cases[i].whom, w->arena,
						    &row, &w->err);
		if ((result == 0) != (cases[i].reason[0] == '\0') ||
		    (result < 0 && strcmp(err_reason(&w->err), cases[i].reason) != 0))
			fail_msg("%s to %s: %d %s", cases[i].by, cases[i].whom, result,
				 w->err.text);
	}
	world_check_audit(w);
}

/* --- delivery --- */

static void test_delivery_is_noted(void **state)
{
	AUTO(store) struct store *store = NULL;
	struct world *w = *state;
	struct reset_row row;
	struct outbox_row letter;

	world_open(w, CONFIG);
	create(w, "ada", "manager");
	send_reset(w, "ada");
	store = world_read(w);
	assert_int_equal(store_outbox_next(store, INT64_C(1) << 40, w->arena, &letter, &w->err), 1);
	ok(w, change_outbox_failed(w->changer, &letter, "no route", 5, false, &w->err));
	row = reset_of(w, "ada");
	assert_string_equal(row.mail_problem, "no route");
	assert_int_equal(row.mailed_s, 0);
	ok(w, change_outbox_done(w->changer, &letter, true, &w->err));
	row = reset_of(w, "ada");
	assert_string_equal(row.mail_problem, "");
	assert_true(row.mailed_s > 0);
	/* One that was overtaken says nothing of the one that is good. */
	send_reset(w, "ada");
	ok(w, change_outbox_failed(w->changer, &letter, "too late", 5, true, &w->err));
	assert_string_equal(reset_of(w, "ada").mail_problem, "");
}

/* --- an invite brings one --- */

static void test_invite(void **state)
{
	const struct new_invite asked = { .email = "ada@x.example",
					  .profile = "staff",
					  .lifetime_s = 1000 };
	struct world *w = *state;
	struct uuid invite, user;
	const char *field;

	world_open(w, CONFIG);
	ok(w, change_invite_create(w->changer, &test_person, &asked, &invite, &field, &w->err));
	ok(w, change_invite_accept(w->changer, "", &invite, 1, "$hash", &user, &w->err));
	assert_string_equal(find(w, "ada@x.example").hash, "$hash");
	assert_false(password_of(w, "ada@x.example").by_mail);
	assert_string_equal(sign_in(w, "ada@x.example").refused, "");
	assert_true(world_audited(w, "password.set", "{\"by\":\"invite\",\"first\":true}") > 0);
	world_check_audit(w);
}

/* --- a full disk --- */

#define ROOM_STEP 2048

/* A link in little room: the password is set, sessions ended and all of it told, or nothing is; then it does with room. */
static void test_full(void **state)
{
	struct world *w = *state;
	int refusals = 0, successes = 0;

	signal(SIGXFSZ, SIG_IGN);
	world_open(w, CONFIG);
	create(w, "ada", "manager");
	give(w, "ada", "$first");
	for (rlim_t room = 0; successes < 2; room += ROOM_STEP) {
		struct reset_row row;
		size_t opened, told;
		int result;

		assert_string_equal(sign_in(w, "ada").refused, "");
		row = send_reset(w, "ada");
		opened = world_sessions(w);
		told = world_audited(w, "password.set", "");
		/* First in none at all: whether the log begins anew, with room, is a matter of chance. */
		test_limit_files(refusals == 0 ? 0 : test_largest_file(w->path) + room);
		err_clear(&w->err);
		result = use(w, &row, row.generation, "$mail");
		test_limit_files(RLIM_INFINITY);
		successes += result == 0;
		if (result < 0) {
			refusals++;
			assert_int_equal(w->err.code, ERR_IO);
			assert_int_equal(world_sessions(w), opened);
			assert_int_equal(world_audited(w, "password.set", ""), told);
			assert_int_equal(reset_of(w, "ada").ended, RESET_OPEN);
			ok(w, use(w, &row, row.generation, "$mail"));
		}
		assert_int_equal(world_sessions(w), 0);
		assert_int_equal(world_audited(w, "password.set", ""), told + 1);
		assert_int_equal(reset_of(w, "ada").ended, RESET_USED);
	}
	print_message("%d refusals\n", refusals);
	assert_true(refusals > 0);
	world_check_audit(w);
}

/* --- refused, told --- */

static void test_refusals_are_told(void **state)
{
	struct world *w = *state;
	const char *rows;

	world_open(w, CONFIG);
	create(w, "ada", "manager");
	ok(w, change_login_local_refused(w->changer, &local, world_find(w, "ada").id,
					 "wrong-password", "192.0.2.1", &w->err));
	ok(w, change_login_local_refused(w->changer, &local, 0, "wrong-password", "192.0.2.1",
					 &w->err));
	rows = world_audit(w, "login.refused");
	assert_non_null(strstr(rows,
			       "local user {\"reason\":\"wrong-password\",\"by\":\"password\","
			       "\"address\":\"192.0.2.1\"}"));
	assert_non_null(strstr(rows, "local local {\"reason\""));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_set_up, world_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_signs_in),
		TEST(test_rules_are_asked),
		cmocka_unit_test(test_who_does_not),
		cmocka_unit_test(test_managed),
		TEST(test_managed_later),
		TEST(test_directory),
		TEST(test_sets_their_own),
		TEST(test_browsers_are_forgotten),
		TEST(test_half_a_session),
		TEST(test_resets),
		TEST(test_a_reset_ends_sessions),
		cmocka_unit_test(test_links_that_are_void),
		TEST(test_one_of_many),
		TEST(test_forgotten),
		TEST(test_who_may_send),
		TEST(test_delivery_is_noted),
		TEST(test_invite),
		TEST(test_full),
		TEST(test_refusals_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
