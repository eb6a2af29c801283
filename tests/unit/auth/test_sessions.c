/*
 * Sessions against a real store and changer: found by their token at their host only, ended by time
 * and by change/, persons read anew after each change, nobody let in on failures, memory given back.
 */
#include "world.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>
#include <rolebridge/change/enforce.h>
#include <rolebridge/change/login.h>

#include "../../../daemon/auth/table.h"

#define BOB "bob staff [] [] []"
#define MISSING "not-found"

/* ------------------------------------------------------------------- tokens */

static void test_tokens(void **state)
{
	char text[SESSION_TOKEN_TEXT], other[SESSION_TOKEN_TEXT];
	struct hash256 hash, again;

	(void)state;
	session_token_make(text, &hash);
	session_token_make(other, &again);
	assert_int_equal(strlen(text), 43);
	assert_string_not_equal(text, other);
	assert_true(session_token_hash(text, &again));
	assert_memory_equal(&hash, &again, sizeof(hash));
	text[42] = 0;
	assert_false(session_token_hash(text, &again));
	memcpy(text, other, sizeof(text));
	text[5] = '=';
	assert_false(session_token_hash(text, &again));
	assert_false(session_token_hash("", &again));
}

/* ------------------------------------------------------------------ finding */

static void test_find(void **state)
{
	struct world *world = *state;
	char token[SESSION_TOKEN_TEXT], anna[SESSION_TOKEN_TEXT], none[SESSION_TOKEN_TEXT];
	struct session session = world_sign_in(world, "bob", NOW, token);
	struct session_view view;
	struct hash256 hash;

	world_sign_in(world, "anna", NOW, anna);
	session_token_make(none, &hash);
	assert_string_equal(world_find(world, token, "", NOW + 1), BOB);
	assert_string_equal(world_find(world, anna, "", NOW + 1), "anna administrator! [] [] []");
	assert_string_equal(world_find(world, none, "", NOW), MISSING);
	assert_string_equal(world_find(world, "", "", NOW), MISSING);
	assert_string_equal(world_find(world, token, "a.example", NOW), MISSING);
	ok(world, sessions_find(world->sessions, token, "", NOW + 1, &view, &world->err));
	assert_int_equal(view.session_id, session.id);
	assert_memory_equal(&view.uuid, &session.uuid, sizeof(view.uuid));
	assert_string_equal(view.source, "");
	assert_int_equal(view.created_s, NOW);
	assert_int_equal(view.until_s, NOW + 36000);
	assert_int_equal(view.second_factor_s, 17);
	assert_int_equal(view.principal->user_id, session.user_id);
	assert_string_equal(view.principal->organization, "default");
	assert_int_equal(strlen(view.principal->uuid), 36);
	session_view_release(&view);
	assert_null(view.principal);
	session_view_release(&view);
}

static void count_end(void *thing)
{
	++*(int *)thing;
}

/* What is kept with a principal: the first one stays, and goes with the last who holds it. */
static void test_kept(void **state)
{
	struct world *world = *state;
	char token[SESSION_TOKEN_TEXT];
	struct session session = world_sign_in(world, "bob", NOW, token);
	struct session_view view, other;
	int ends[3] = { 0 };

	ok(world, sessions_find(world->sessions, token, "", NOW, &view, &world->err));
	ok(world, sessions_find(world->sessions, token, "", NOW, &other, &world->err));
	assert_null(principal_kept(view.principal, 0));
	assert_ptr_equal(principal_keep(view.principal, 0, &ends[0], count_end), &ends[0]);
	assert_ptr_equal(principal_keep(other.principal, 0, &ends[1], count_end), &ends[0]);
	assert_int_equal(ends[1], 1);
	assert_null(principal_kept(view.principal, 1));
	assert_ptr_equal(principal_keep(view.principal, 1, &ends[2], count_end), &ends[2]);
	assert_ptr_equal(principal_kept(other.principal, 0), &ends[0]);
	session_view_release(&view);
	/* Read anew, it is another one. */
	table_observer(world->sessions).changed(world->sessions, session.user_id);
	ok(world, sessions_find(world->sessions, token, "", NOW, &view, &world->err));
	assert_null(principal_kept(view.principal, 0));
	session_view_release(&view);
	assert_int_equal(ends[0] + ends[2], 0);
	session_view_release(&other);
	assert_int_equal(ends[0], 1);
	assert_int_equal(ends[1], 1);
	assert_int_equal(ends[2], 1);
}

static void test_hosts(void **state)
{
	struct world *world = *state;
	char own[SESSION_TOKEN_TEXT], text[SESSION_TOKEN_TEXT];
	struct session session = world_sign_in(world, "bob", NOW, own);
	struct session_token token = { .session_id = session.id, .host = "a.example" };
	struct sessions_counts counts;

	session_token_make(text, &token.hash);
	ok(world, sessions_add_token(world->sessions, &token, &world->err));
	assert_int_equal(sessions_add_token(world->sessions, &token, &world->err), -1);
	assert_int_equal(world->err.code, ERR_CONFLICT);
	assert_string_equal(world_find(world, text, "a.example", NOW), BOB);
	assert_string_equal(world_find(world, text, "b.example", NOW), MISSING);
	assert_string_equal(world_find(world, text, "", NOW), MISSING);
	assert_string_equal(world_find(world, own, "a.example", NOW), MISSING);
	sessions_counts(world->sessions, &counts);
	assert_int_equal(counts.sessions, 1);
	assert_int_equal(counts.tokens, 2);
	assert_int_equal(counts.principals, 1);
	ok(world, change_sessions_end(world->changer, &test_person, &session.id, 1, "logout", NULL,
				      &world->err));
	assert_string_equal(world_find(world, text, "a.example", NOW), MISSING);
	assert_string_equal(world_find(world, own, "", NOW), MISSING);
	session_token_make(text, &token.hash);
	assert_int_equal(sessions_add_token(world->sessions, &token, &world->err), -1);
	assert_int_equal(world->err.code, ERR_NOT_FOUND);
}

/* In whichever stage: its number, or the reason why not. */
static const char *find_any(struct world *world, const char *token, int64_t now_s)
{
	struct session_view view;
	const char *text;

	err_clear(&world->err);
	if (sessions_find_any(world->sessions, token, "", now_s, &view, &world->err) < 0)
		return err_reason(&world->err);
	text = arena_printf(world->arena, "%s %s %s", view.principal->username,
			    session_stage_name(view.stage), factor_method_name(view.factor));
	session_view_release(&view);
	return text;
}

/* What is not full is nobody's, but for the pages that lead on from it. */
static void test_stages(void **state)
{
	static const struct {
		enum session_stage stage;
		const char *any;
	} stages[] = { { SESSION_FACTOR, "bob factor " }, { SESSION_ENROL, "bob enrol " } };
	struct world *world = *state;
	char token[SESSION_TOKEN_TEXT], bob[SESSION_TOKEN_TEXT];

	world_sign_in(world, "bob", NOW, bob);
	assert_string_equal(find_any(world, bob, NOW), "bob full ");
	for (size_t i = 0; i < ARRAY_LEN(stages); i++) {
		struct session session;
		struct hash256 hash;

		session_token_make(token, &hash);
		session = world_store_session(world, "bob", NOW, &hash);
		session.stage = stages[i].stage;
		session.until_s = NOW + SESSION_STAGE_S;
		session.full_until_s = NOW + 36000;
		ok(world, store_begin(world->store, &world->err));
		ok(world, store_session_update(world->store, &session, &world->err));
		ok(world, store_commit(world->store, &world->err));
		ok(world, sessions_add(world->sessions, &session, &hash, &world->err));
		assert_string_equal(world_find(world, token, "", NOW), MISSING);
		assert_string_equal(find_any(world, token, NOW), stages[i].any);
		assert_string_equal(find_any(world, token, NOW + SESSION_STAGE_S), MISSING);
		/* A start reads it as it was. */
		world_restart(world);
		assert_string_equal(world_find(world, token, "", NOW), MISSING);
		assert_string_equal(find_any(world, token, NOW), stages[i].any);
	}
	assert_string_equal(world_find(world, bob, "", NOW), BOB);
}

static void require(struct world *world, enum factor_required required)
{
	struct enforce_change change = { .organization = "default", .policy = factor_policy_none };
	struct enforce_state state;

	change.policy.required = required;
	ok(world, change_enforce_set(world->changer, &test_person, &change, world->arena, &state,
				     &world->err));
}

static struct session stored(struct world *world, int64_t id)
{
	struct session session;

	ok(world, store_session_get(world->store, id, world->arena, &session, &world->err));
	return session;
}

/* Policy is stricter than it was when they signed in: nothing is open to them, until a page puts them back. */
static void test_unproven(void **state)
{
	struct world *world = *state;
	char bob[SESSION_TOKEN_TEXT], host[SESSION_TOKEN_TEXT], anna[SESSION_TOKEN_TEXT];
	int64_t now_s = clock_now_s();
	struct session session = world_sign_in(world, "bob", now_s, bob);
	struct session_token token = { .session_id = session.id, .host = "a.example" };

	world_sign_in(world, "anna", now_s, anna);
	session_token_make(host, &token.hash);
	ok(world, change_session_token_add(world->changer, &token, &world->err));
	ok(world, sessions_add_token(world->sessions, &token, &world->err));
	assert_string_equal(world_find(world, host, "a.example", now_s), BOB);
	require(world, FACTOR_FOR_ADMINISTRATORS);
	assert_string_equal(world_find(world, host, "a.example", now_s), BOB);
	assert_string_equal(world_find(world, anna, "", now_s), MISSING);
	require(world, FACTOR_FOR_ALL);
	assert_string_equal(world_find(world, host, "a.example", now_s), MISSING);
	assert_string_equal(world_find(world, bob, "", now_s), MISSING);
	assert_int_equal(stored(world, session.id).stage, SESSION_FULL);
	/* It is none of what they have: an administrator's code alone leads on. */
	assert_string_equal(find_any(world, bob, now_s), "bob factor issued");
	session = stored(world, session.id);
	assert_int_equal(session.stage, SESSION_FACTOR);
	assert_int_equal(session.second_factor_s, 0);
	assert_true(session.full_until_s >= now_s + 36000);
	assert_true(session.until_s <= now_s + 2 * SESSION_STAGE_S);
	/* What went back does not come forward by a milder policy; what nobody looked at is as it was. */
	require(world, FACTOR_FOR_NOBODY);
	assert_string_equal(world_find(world, bob, "", now_s), MISSING);
	assert_string_equal(world_find(world, anna, "", now_s), "anna administrator! [] [] []");
}

/* The tokens of before are void, also those of applications; what the session may do is what was told. */
static void test_rotated(void **state)
{
	struct world *world = *state;
	const struct change_observer observer = table_observer(world->sessions);
	char old[SESSION_TOKEN_TEXT], host[SESSION_TOKEN_TEXT], fresh[SESSION_TOKEN_TEXT];
	struct session session = world_sign_in(world, "bob", NOW, old);
	struct session_token token = { .session_id = session.id, .host = "a.example" };
	struct sessions_counts counts;
	struct session_view view;
	struct hash256 hash;

	session_token_make(host, &token.hash);
	ok(world, sessions_add_token(world->sessions, &token, &world->err));
	session.factor = FACTOR_TOTP;
	session.second_factor_s = NOW + 5;
	session.until_s = NOW + 50;
	session.signed_in_s = NOW + 4;
	session_token_make(fresh, &hash);
	observer.rotated(observer.context, &session, &hash);
	assert_string_equal(world_find(world, old, "", NOW), MISSING);
	assert_string_equal(world_find(world, host, "a.example", NOW), MISSING);
	ok(world, sessions_find(world->sessions, fresh, "", NOW + 6, &view, &world->err));
	assert_int_equal(view.session_id, session.id);
	assert_int_equal(view.factor, FACTOR_TOTP);
	assert_int_equal(view.second_factor_s, NOW + 5);
	assert_int_equal(view.signed_in_s, NOW + 4);
	assert_int_equal(view.until_s, NOW + 50);
	session_view_release(&view);
	sessions_counts(world->sessions, &counts);
	assert_int_equal(counts.sessions, 1);
	assert_int_equal(counts.tokens, 1);
	/* One that ended is not there again. */
	observer.ended(observer.context, session.id);
	observer.rotated(observer.context, &session, &hash);
	assert_string_equal(world_find(world, fresh, "", NOW + 6), MISSING);
}

static void test_time(void **state)
{
	struct world *world = *state;
	char token[SESSION_TOKEN_TEXT];
	struct sessions_settings settings = { .idle_s = 100, .absolute_s = 1000 };

	sessions_configure(world->sessions, &settings);
	world_sign_in(world, "bob", NOW, token);
	assert_string_equal(world_find(world, token, "", NOW + 99), BOB);
	assert_string_equal(world_find(world, token, "", NOW + 198), BOB);
	assert_string_equal(world_find(world, token, "", NOW + 298), MISSING);
	/* Refused is not seen. */
	assert_string_equal(world_find(world, token, "", NOW + 297), BOB);
	for (int64_t at = NOW + 300; at < NOW + 1000; at += 90)
		assert_string_equal(world_find(world, token, "", at), BOB);
	assert_string_equal(world_find(world, token, "", NOW + 999), BOB);
	assert_string_equal(world_find(world, token, "", NOW + 1000), MISSING);
	/* A clock that was set back by hours does not make it younger. */
	assert_string_equal(world_find(world, token, "", NOW - 299), BOB);
	assert_string_equal(world_find(world, token, "", NOW - 301), MISSING);
	settings = (struct sessions_settings){ .idle_s = 100000, .absolute_s = 100000 };
	sessions_configure(world->sessions, &settings);
	assert_string_equal(world_find(world, token, "", NOW + 35999), BOB);
	assert_string_equal(world_find(world, token, "", NOW + 36000), MISSING);
}

/* ------------------------------------------------------------------ changes */

static void test_grants(void **state)
{
	struct world *world = *state;
	char token[SESSION_TOKEN_TEXT];
	const int64_t now_s = time(NULL);
	struct session_view view;

	world_sign_in(world, "bob", now_s, token);
	assert_string_equal(world_find(world, token, "", now_s), BOB);
	ok(world, sessions_find(world->sessions, token, "", now_s, &view, &world->err));
	ok(world, change_grant_add(world->changer, &test_person, "bob", GRANT_ROLE, "sales", 0,
				   &world->err));
	ok(world, change_grant_add(world->changer, &test_person, "bob", GRANT_ROLE, "ops", 0,
				   &world->err));
	ok(world, change_grant_add(world->changer, &test_person, "bob", GRANT_PERSONA, "lead", 0,
				   &world->err));
	assert_string_equal(world_find(world, token, "", now_s), "bob staff [ops,sales] [lead] []");
	/* Who holds the old one still has it whole. */
	assert_string_equal(view.principal->roles_text, "");
	assert_int_equal(view.principal->role_count, 0);
	session_view_release(&view);
	ok(world, sessions_find(world->sessions, token, "", now_s, &view, &world->err));
	assert_int_equal(view.principal->role_count, 2);
	assert_string_equal(view.principal->roles[0], "ops");
	assert_string_equal(view.principal->roles[1], "sales");
	assert_string_equal(view.principal->personas[0], "lead");
	session_view_release(&view);
	ok(world, change_grant_remove(world->changer, &test_person, "bob", GRANT_ROLE, "ops",
				      &world->err));
	assert_string_equal(world_find(world, token, "", now_s), "bob staff [sales] [lead] []");
	ok(world, change_grant_add(world->changer, &test_person, "bob", GRANT_PROFILE,
				   "administrator", 0, &world->err));
	assert_string_equal(world_find(world, token, "", now_s),
			    "bob administrator! [sales] [lead] []");
}

/* A grant ends when its time has come, also before the timer has taken it away. */
static void test_expiring_grant(void **state)
{
	struct world *world = *state;
	char token[SESSION_TOKEN_TEXT];
	const int64_t now_s = time(NULL);

	world_sign_in(world, "bob", now_s, token);
	ok(world, change_grant_add(world->changer, &test_person, "bob", GRANT_ROLE, "sales",
				   now_s + 1000, &world->err));
	assert_string_equal(world_find(world, token, "", now_s + 999), "bob staff [sales] [] []");
	assert_string_equal(world_find(world, token, "", now_s + 1000), BOB);
}

static void test_disable(void **state)
{
	struct world *world = *state;
	char token[SESSION_TOKEN_TEXT], later[SESSION_TOKEN_TEXT];
	struct session_view view;

	world_sign_in(world, "bob", NOW, token);
	ok(world, sessions_find(world->sessions, token, "", NOW, &view, &world->err));
	ok(world, change_user_disable(world->changer, &test_person, "bob", "test", &world->err));
	assert_string_equal(world_find(world, token, "", NOW), MISSING);
	/* One that was opened just before is none, either. */
	world_sign_in(world, "bob", NOW, later);
	assert_string_equal(world_find(world, later, "", NOW), MISSING);
	assert_string_equal(view.principal->username, "bob");
	session_view_release(&view);
	ok(world, change_user_enable(world->changer, &test_person, "bob", &world->err));
	assert_string_equal(world_find(world, later, "", NOW), BOB);
}

/* The order in which the writer thread tells, without the writer thread. */
static void test_disabling_whatever_the_commit(void **state)
{
	struct world *world = *state;
	struct change_observer tell = table_observer(world->sessions);
	char token[SESSION_TOKEN_TEXT], other[SESSION_TOKEN_TEXT];
	struct session session = world_sign_in(world, "bob", NOW, token);

	assert_string_equal(world_find(world, token, "", NOW), BOB);
	tell.disabling(tell.context, session.user_id);
	assert_string_equal(world_find(world, token, "", NOW), MISSING);
	/* The commit failed; the refusal stands, for a session of that moment too, and when the old one goes. */
	world_sign_in(world, "bob", NOW, other);
	assert_string_equal(world_find(world, other, "", NOW), MISSING);
	tell.ended(tell.context, session.id);
	assert_string_equal(world_find(world, other, "", NOW), MISSING);
	/* Until the store has another word. */
	tell.changed(tell.context, session.user_id);
	assert_string_equal(world_find(world, other, "", NOW), BOB);
	assert_string_equal(world_find(world, token, "", NOW), MISSING);
}

static void test_disabling_before_the_session_is_added(void **state)
{
	struct world *world = *state;
	struct change_observer tell = table_observer(world->sessions);
	char token[SESSION_TOKEN_TEXT];

	tell.disabling(tell.context, world_user(world, "bob"));
	world_sign_in(world, "bob", NOW, token);
	assert_string_equal(world_find(world, token, "", NOW), MISSING);
	tell.changed(tell.context, 0);
	assert_string_equal(world_find(world, token, "", NOW), BOB);
}

static void test_ended_before_added(void **state)
{
	struct world *world = *state;
	struct change_observer tell = table_observer(world->sessions);
	char token[SESSION_TOKEN_TEXT];
	struct hash256 hash;
	struct session session;

	session_token_make(token, &hash);
	session = world_store_session(world, "bob", NOW, &hash);
	ok(world, change_sessions_end(world->changer, &test_person, &session.id, 1, "test", NULL,
				      &world->err));
	assert_int_equal(sessions_add(world->sessions, &session, &hash, &world->err), -1);
	assert_int_equal(world->err.code, ERR_NOT_FOUND);
	assert_string_equal(world_find(world, token, "", NOW), MISSING);
	/* So many have ended meanwhile that nobody remembers. */
	session = world_store_session(world, "bob", time(NULL), &hash);
	for (int64_t i = 0; i < 3000; i++)
		tell.ended(tell.context, session.id + 1000 + i);
	ok(world, sessions_add(world->sessions, &session, &hash, &world->err));
	session = world_store_session(world, "bob", time(NULL), &(struct hash256){ { 1 } });
	ok(world, change_sessions_end(world->changer, &test_person, &session.id, 1, "test", NULL,
				      &world->err));
	for (int64_t i = 0; i < 3000; i++)
		tell.ended(tell.context, session.id + 1000 + i);
	assert_int_equal(
		sessions_add(world->sessions, &session, &(struct hash256){ { 1 } }, &world->err),
		-1);
	assert_int_equal(world->err.code, ERR_NOT_FOUND);
}

static void test_twice(void **state)
{
	struct world *world = *state;
	char token[SESSION_TOKEN_TEXT];
	struct session session = world_sign_in(world, "bob", NOW, token);
	struct session other = session;
	struct hash256 hash;

	session_token_hash(token, &hash);
	assert_int_equal(sessions_add(world->sessions, &session, &hash, &world->err), -1);
	assert_int_equal(world->err.code, ERR_CONFLICT);
	/* The same token for another session takes nothing from the first. */
	other.id += 1000;
	assert_int_equal(sessions_add(world->sessions, &other, &hash, &world->err), -1);
	assert_string_equal(world_find(world, token, "", NOW), BOB);
}

/* What cannot be read lets nobody in, and works again by itself. */
static void test_store_fails(void **state)
{
	struct world *world = *state;
	char token[SESSION_TOKEN_TEXT], hidden[128];
	struct change_observer tell = table_observer(world->sessions);

	world_sign_in(world, "bob", NOW, token);
	snprintf(hidden, sizeof(hidden), "%s.hidden", world->path);
	assert_int_equal(rename(world->path, hidden), 0);
	/* The handle that is open still reads; one that must be opened does not. */
	store_close(world->sessions->store);
	world->sessions->store = NULL;
	tell.changed(tell.context, 0);
	assert_string_equal(world_find(world, token, "", NOW), "unavailable");
	assert_string_equal(world_find(world, token, "", NOW), "unavailable");
	assert_int_equal(rename(hidden, world->path), 0);
	assert_string_equal(world_find(world, token, "", NOW), BOB);
}

static void test_out_of_memory(void **state)
{
	struct world *world = *state;
	char token[SESSION_TOKEN_TEXT];
	struct hash256 hash;
	struct session session;
	bool added = false, found = false;

	session_token_make(token, &hash);
	session = world_store_session(world, "bob", NOW, &hash);
	for (long n = 0; !added; n++) {
		alloc_fail_after(n);
		added = sessions_add(world->sessions, &session, &hash, &world->err) == 0;
		if (alloc_fail_after(-1) < 0)
			assert_false(added);
	}
	for (long n = 0; !found; n++) {
		const char *text;
		struct session_view view;

		alloc_fail_after(n);
		found = sessions_find(world->sessions, token, "", NOW, &view, &world->err) == 0;
		alloc_fail_after(-1);
		text = found ? "" : err_reason(&world->err);
		if (!found)
			assert_string_equal(text, "unavailable");
		else
			session_view_release(&view);
	}
	assert_string_equal(world_find(world, token, "", NOW), BOB);
}

/* ------------------------------------------------------------ start and timer */

static void test_restart(void **state)
{
	struct world *world = *state;
	char token[SESSION_TOKEN_TEXT], app[SESSION_TOKEN_TEXT];
	struct session session = world_sign_in(world, "bob", NOW, token);
	struct session_token row = { .session_id = session.id, .host = "a.example" };

	session_token_make(app, &row.hash);
	ok(world, change_session_token_add(world->changer, &row, &world->err));
	world_restart(world);
	assert_string_equal(world_find(world, token, "", NOW), BOB);
	assert_string_equal(world_find(world, app, "a.example", NOW), BOB);
	assert_string_equal(world_find(world, app, "", NOW), MISSING);
	ok(world, change_sessions_end(world->changer, &test_person, &session.id, 1, "test", NULL,
				      &world->err));
	world_restart(world);
	assert_string_equal(world_find(world, token, "", NOW), MISSING);
}

static int64_t stored_seen(struct world *world, int64_t id)
{
	struct session session;

	ok(world, store_session_get(world->store, id, world->arena, &session, &world->err));
	assert_string_equal(session.address, "127.0.0.1");
	assert_int_equal(session.second_factor_s, 17);
	return session.seen_s;
}

static void test_seen_is_written(void **state)
{
	struct world *world = *state;
	char token[SESSION_TOKEN_TEXT];
	struct session session = world_sign_in(world, "bob", NOW, token);

	ok(world, sessions_tick(world->sessions, NOW + 5, &world->err));
	assert_string_equal(world_find(world, token, "", NOW + 6), BOB);
	/* Not before a minute has passed. */
	ok(world, sessions_tick(world->sessions, NOW + 10, &world->err));
	assert_int_equal(stored_seen(world, session.id), NOW);
	ok(world, sessions_tick(world->sessions, NOW + 65, &world->err));
	assert_int_equal(stored_seen(world, session.id), NOW + 6);
	assert_string_equal(world_find(world, token, "", NOW + 100), BOB);
	ok(world, sessions_tick(world->sessions, NOW + 130, &world->err));
	assert_int_equal(stored_seen(world, session.id), NOW + 100);
}

static void test_over_is_dropped(void **state)
{
	struct world *world = *state;
	char used[SESSION_TOKEN_TEXT], idle[SESSION_TOKEN_TEXT], young[SESSION_TOKEN_TEXT];
	struct sessions_counts counts;
	struct session kept = world_sign_in(world, "bob", NOW, used);
	struct session gone = world_sign_in(world, "bob", NOW, idle);
	struct session row;

	world_sign_in(world, "anna", NOW + 10000, young);
	assert_string_equal(world_find(world, used, "", NOW + 3000), BOB);
	ok(world, sessions_tick(world->sessions, NOW + 5000, &world->err));
	sessions_counts(world->sessions, &counts);
	assert_int_equal(counts.sessions, 2); /* the one of the future is kept, and refused */
	assert_string_equal(world_find(world, idle, "", NOW + 3000), MISSING);
	assert_string_equal(world_find(world, used, "", NOW + 5000), BOB);
	assert_int_equal(stored_seen(world, kept.id), NOW + 3000);
	/* In the store, too, where it was seen later than here at most. */
	assert_int_equal(store_session_get(world->store, gone.id, world->arena, &row, NULL), -1);
}

/* The store hears of use a minute late; a session in use outlives an idle limit shorter than that. */
static void test_short_idle(void **state)
{
	struct world *world = *state;
	struct sessions_settings settings = { .idle_s = 20, .absolute_s = 43200 };
	char token[SESSION_TOKEN_TEXT];

	sessions_configure(world->sessions, &settings);
	world_sign_in(world, "bob", NOW, token);
	for (int64_t at = NOW; at < NOW + 600; at += 5) {
		assert_string_equal(world_find(world, token, "", at), BOB);
		ok(world, sessions_tick(world->sessions, at, &world->err));
	}
}

/* 100,000 people who come and go leave nothing behind. */
static void test_memory(void **state)
{
	enum { COUNT = 100000 };
	struct world *world = *state;
	struct change_observer tell = table_observer(world->sessions);
	struct session session = { .source = "corp", .created_s = NOW, .until_s = NOW + 1000 };
	struct sessions_counts counts;
	struct mallinfo2 before, full, after;

	/* Under valgrind, as under sanitizers, the allocator's own figures say nothing. */
	if (getenv("ROLEBRIDGE_VALGRIND"))
		skip();
	malloc_trim(0);
	before = mallinfo2();
	for (int64_t i = 1; i <= COUNT; i++) {
		struct hash256 hash = digest256(&i, sizeof(i));

		session.id = 1000 + i;
		session.user_id = 1000 + i;
		session.seen_s = NOW;
		ok(world, sessions_add(world->sessions, &session, &hash, &world->err));
	}
	sessions_counts(world->sessions, &counts);
	assert_int_equal(counts.sessions, COUNT);
	full = mallinfo2();
	for (int64_t i = 1; i <= COUNT; i++)
		tell.ended(tell.context, 1000 + i);
	ok(world, sessions_tick(world->sessions, NOW, &world->err));
	sessions_counts(world->sessions, &counts);
	assert_int_equal(counts.sessions, 0);
	assert_int_equal(counts.tokens, 0);
	assert_int_equal(world->sessions->persons.count, 0);
#ifndef RB_SANITIZE
	assert_in_range((full.uordblks - before.uordblks) / COUNT, 100, 400);
	after = mallinfo2();
	assert_true(after.uordblks + after.hblkhd < before.uordblks + before.hblkhd + (1 << 20));
#else
	(void)before, (void)full, (void)after;
#endif
}

/* ------------------------------------------------------------------ threads */

struct crowd {
	struct world *world;
	char tokens[8][SESSION_TOKEN_TEXT];
	atomic_bool stop;
	atomic_int wrong;
	atomic_int found;
};

/* Whoever is found is whole: bob has both roles or none. */
static void *look(void *context)
{
	struct crowd *crowd = context;
	unsigned n = 0;

	while (!atomic_load(&crowd->stop)) {
		struct session_view view;
		struct err err = { 0 };

		if (sessions_find(crowd->world->sessions, crowd->tokens[n++ % 8], "", NOW, &view,
				  &err) == 0) {
			atomic_fetch_add(&crowd->found, 1);
			if (strcmp(view.principal->username, "bob") != 0)
				atomic_fetch_add(&crowd->wrong, 1);
			session_view_release(&view);
		} else if (err.code != ERR_NOT_FOUND && err.code != ERR_UNAVAILABLE) {
			atomic_fetch_add(&crowd->wrong, 1);
		}
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct world *world = *state;
	struct change_observer tell = table_observer(world->sessions);
	struct crowd crowd = { .world = world };
	pthread_t threads[3];
	int64_t bob = world_user(world, "bob");

	for (size_t i = 0; i < 8; i++)
		world_sign_in(world, "bob", NOW, crowd.tokens[i]);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, look, &crowd), 0);
	for (int64_t i = 0; i < 300; i++) {
		struct session session = { .id = 5000 + i,
					   .user_id = bob,
					   .source = "x",
					   .created_s = NOW,
					   .seen_s = NOW,
					   .until_s = NOW + 10 };
		struct hash256 hash = digest256(&i, sizeof(i));

		ok(world, sessions_add(world->sessions, &session, &hash, &world->err));
		tell.changed(tell.context, i % 3 ? bob : 0);
		if (i % 10 == 0) {
			tell.disabling(tell.context, bob);
			assert_string_equal(world_find(world, crowd.tokens[0], "", NOW), MISSING);
			tell.changed(tell.context, bob);
		}
		tell.ended(tell.context, session.id);
		usleep(200);
	}
	atomic_store(&crowd.stop, true);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&crowd.wrong), 0);
	assert_true(atomic_load(&crowd.found) > 0);
	assert_string_equal(world_find(world, crowd.tokens[7], "", NOW), BOB);
}

/* However many there are at the end: the table gets smaller while they go. */
static void test_many_at_the_end(void **state)
{
	struct world *world = *state;
	char token[SESSION_TOKEN_TEXT];
	struct session session = world_sign_in(world, "bob", NOW, token);
	struct hash256 hash;

	for (int64_t n = 10; n < 20000; n *= 3) {
		for (int64_t i = 0; i < n; i++) {
			struct session other = session;

			other.id = 1000 + i;
			other.user_id = 1000 + i;
			session_token_make(token, &hash);
			ok(world, sessions_add(world->sessions, &other, &hash, &world->err));
		}
		world_restart(world);
	}
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, world_set_up, world_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tokens),
		TEST(test_find),
		TEST(test_kept),
		TEST(test_hosts),
		TEST(test_stages),
		TEST(test_rotated),
		TEST(test_unproven),
		TEST(test_time),
		TEST(test_grants),
		TEST(test_expiring_grant),
		TEST(test_disable),
		TEST(test_disabling_whatever_the_commit),
		TEST(test_disabling_before_the_session_is_added),
		TEST(test_ended_before_added),
		TEST(test_twice),
		TEST(test_store_fails),
		TEST(test_out_of_memory),
		TEST(test_restart),
		TEST(test_seen_is_written),
		TEST(test_over_is_dropped),
		TEST(test_short_idle),
		TEST(test_memory),
		TEST(test_threads),
		TEST(test_many_at_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
