/*
 * Second factors from what somebody typed to what is stored: enrolled, proven, used once, refused, removed, reset; recovery
 * codes; codes that are sent; many at once.
 */
#include "world.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <oath.h>

#include <rolebridge/auth/code.h>
#include <rolebridge/auth/factor.h>
#include <rolebridge/auth/hasher.h>
#include <rolebridge/auth/throttle.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>
#include <rolebridge/change/enforce.h>
#include <rolebridge/change/login.h>
#include <rolebridge/store/credential.h>
#include <rolebridge/store/invite.h>

#define THREADS 8

static const struct passwords_settings cheap = {
	.memory = INT64_C(8) << 20, .operations = 1, .workers = 2, .waiting = 100
};
static const struct throttle_settings strict = {
	.attempts = 3, .delay_s = 600, .delay_max_s = 3600, .address_attempts = 1000
};
static const struct actor root = { .name = "unix:root", .request = "", .is_person = true };

struct bench {
	struct world *w;
	struct factor_parts parts;
	char seal_path[128], ticket_path[128];
	struct actor actor;
	struct factor_asker asker; /* bob */
	int64_t now_s;		   /* stands still: no code grows old while a test runs */
	unsigned tokens;
	bool by_link;	     /* of sessions that are opened next */
	int64_t proof_age_s; /* of these: the second factor was proven so long before the first */
};

#define refused(b, call, reason_text) \
	do { \
		err_clear(&(b)->w->err); \
		assert_int_equal((call), -1); \
		assert_string_equal(err_reason(&(b)->w->err), (reason_text)); \
	} while (0)

/* --- the world --- */

static struct hash256 next_token(struct bench *b)
{
	char text[32];

	snprintf(text, sizeof(text), "token %u", ++b->tokens);
	return digest256(text, strlen(text));
}

/* Somebody's session in a stage, their first factor given so long ago, and in a full one the second, if they have any. */
static int64_t open_session(struct bench *b, const char *user, enum session_stage stage,
			    int64_t age_s)
{
	int64_t now_s = clock_now_s();
	struct session session = { .uuid = uuid_create(now_s * 1000),
				   .user_id = world_user(b->w, user),
				   .source = "",
				   .name_id = "",
				   .name_id_format = "",
				   .session_index = "",
				   .address = "127.0.0.1",
				   .agent = "test",
				   .created_s = now_s - age_s,
				   .seen_s = now_s,
				   .until_s = now_s + 600,
				   .stage = stage,
				   .full_until_s = stage == SESSION_FULL ? 0 : now_s + 36000,
				   .signed_in_s = now_s - age_s,
				   .by_link = b->by_link };
	unsigned enrolled;

	ok(b->w, store_factor_methods(b->w->store, session.user_id, &enrolled, &b->w->err));
	if (stage == SESSION_FULL && enrolled) {
		session.factor = FACTOR_TOTP;
		session.second_factor_s = now_s - age_s - b->proof_age_s;
	}
	ok(b->w, store_begin(b->w->store, &b->w->err));
	ok(b->w, store_session_insert(b->w->store, &session, &b->w->err));
	ok(b->w, store_commit(b->w->store, &b->w->err));
	return session.id;
}

static void ask(struct bench *b, const char *user, enum session_stage stage, int64_t age_s)
{
	b->actor = (struct actor){ .name = arena_printf(b->w->arena, "user:%s", user),
				   .request = "request",
				   .is_person = true,
				   .user_id = world_user(b->w, user) };
	b->asker = (struct factor_asker){ .actor = &b->actor,
					  .user_id = b->actor.user_id,
					  .session_id = open_session(b, user, stage, age_s),
					  .address = "192.0.2.7",
					  .token = next_token(b),
					  .now_s = b->now_s };
}

static int set_up(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	void *world;

	assert_non_null(b);
	if (world_set_up(&world) < 0)
		return -1;
	b->w = world;
	snprintf(b->seal_path, sizeof(b->seal_path), "%s/seal.key", b->w->folder);
	snprintf(b->ticket_path, sizeof(b->ticket_path), "%s/web.key", b->w->folder);
	b->parts = (struct factor_parts){
		.changer = b->w->changer,
		.seal = seal_create(b->seal_path, true, &b->w->err),
		.tickets = tickets_create(b->ticket_path, &b->w->err),
		.hasher = hasher_create(&cheap, &b->w->err),
	};
	assert_non_null(b->parts.seal);
	assert_non_null(b->parts.tickets);
	assert_non_null(b->parts.hasher);
	b->now_s = clock_now_s();
	ask(b, "bob", SESSION_FULL, 0);
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *b = *state;
	void *world = b->w;

	seal_destroy(b->parts.seal);
	tickets_destroy(b->parts.tickets);
	hasher_destroy(b->parts.hasher);
	throttle_destroy(b->parts.throttle);
	free(b);
	return world_tear_down(&world);
}

/* --- short ways --- */

/* What the person's app shows at a time. */
static const char *code_at(struct bench *b, const char *secret, int64_t at_s)
{
	char *code = arena_alloc(b->w->arena, 7), *raw;
	size_t size;

	assert_int_equal(oath_base32_decode(secret, strlen(secret), &raw, &size), OATH_OK);
	assert_int_equal(oath_totp_generate(raw, size, at_s, 30, 0, 6, code), OATH_OK);
	free(raw);
	return code;
}

static struct totp_enrolment begin_totp(struct bench *b, const char *name)
{
	struct totp_enrolment enrolment;

	ok(b->w, factor_enrol_totp(&b->parts, &b->asker, name, "rolebridge", "bob", b->w->arena,
				   &enrolment, &b->w->err));
	return enrolment;
}

static int confirm(struct bench *b, const struct uuid *factor, const char *code,
		   struct session *ret_session)
{
	return factor_confirm(&b->parts, &b->asker, b->w->store, factor, code, b->w->arena,
			      ret_session, NULL, &b->w->err);
}

/* Theirs, by a code of the step before: that of now is still good. Returns the secret. */
static const char *have_totp(struct bench *b, const char *name, struct uuid *ret_uuid)
{
	struct totp_enrolment enrolment = begin_totp(b, name);
	struct session session;

	ok(b->w, confirm(b, &enrolment.uuid, code_at(b, enrolment.secret, b->asker.now_s - 30),
			 &session));
	if (ret_uuid)
		*ret_uuid = enrolment.uuid;
	return enrolment.secret;
}

static int prove_totp(struct bench *b, const char *code, struct session *ret_session)
{
	return factor_prove_totp(&b->parts, &b->asker, b->w->store, code, b->w->arena, ret_session,
				 NULL, &b->w->err);
}

static int prove_recovery(struct bench *b, const char *code, struct session *ret_session)
{
	return factor_prove_recovery(&b->parts, &b->asker, b->w->store, code, b->w->arena,
				     ret_session, NULL, &b->w->err);
}

static unsigned methods(struct bench *b, const char *user)
{
	unsigned found;

	ok(b->w, store_factor_methods(b->w->store, world_user(b->w, user), &found, &b->w->err));
	return found;
}

static struct session session_of(struct bench *b, int64_t id)
{
	struct session session;

	ok(b->w, store_session_get(b->w->store, id, b->w->arena, &session, &b->w->err));
	return session;
}

static int count_audit(struct bench *b, const char *action, const char *text)
{
	struct audit_query query = { .action = action };
	struct store_audit_cursor *cursor = store_audit_open(b->w->store, &query, &b->w->err);
	struct audit_iterator iterator = store_audit_iterator(cursor);
	struct audit_row row;
	int count = 0;

	assert_non_null(cursor);
	while (iterator.next(iterator.context, &row, &b->w->err) > 0)
		count += strstr(row.detail, text) != NULL;
	store_audit_close(cursor);
	return count;
}

/* --- apps --- */

static void test_enrol_and_prove(void **state)
{
	struct bench *b = *state;
	struct totp_enrolment begun = begin_totp(b, ""), again;
	struct session session;
	struct factor_row *rows;
	const char *now;
	size_t count;

	assert_non_null(strstr(begun.uri, "otpauth://totp/rolebridge:bob?secret="));
	assert_int_equal(strncmp(begun.svg, "<svg", 4), 0);
	assert_int_equal(methods(b, "bob"), 0);
	/* The page is shown again: the same secret. */
	ok(b->w, factor_pending_totp(&b->parts, &b->asker, b->w->store, &begun.uuid, "rolebridge",
				     "bob", b->w->arena, &again, &b->w->err));
	assert_string_equal(again.secret, begun.secret);
	now = code_at(b, begun.secret, b->asker.now_s);
	ok(b->w, confirm(b, &begun.uuid, now, &session));
	/* They had none: this session has proven one now. */
	assert_int_equal(session.id, b->asker.session_id);
	assert_int_equal(session.factor, FACTOR_TOTP);
	assert_int_equal(methods(b, "bob"), FACTOR_BIT(FACTOR_TOTP));
	ok(b->w, store_factor_list(b->w->store, b->asker.user_id, true, b->w->arena, &rows, &count,
				   &b->w->err));
	assert_int_equal(count, 1);
	assert_string_equal(rows[0].name, "Authenticator app");
	/* Nothing of the secret can be read there. */
	assert_int_equal(rows[0].sealed_size, TOTP_SECRET_BYTES + SEAL_OVERHEAD);
	/* Shown to nobody any more, and the code that confirmed it is used. */
	refused(b,
		factor_pending_totp(&b->parts, &b->asker, b->w->store, &begun.uuid, "rolebridge",
				    "bob", b->w->arena, &again, &b->w->err),
		"not-found");
	ask(b, "bob", SESSION_FACTOR, 0);
	refused(b, prove_totp(b, now, &session), "code-used");
	ok(b->w, prove_totp(b, code_at(b, begun.secret, b->asker.now_s + 30), &session));
	assert_int_equal(session.stage, SESSION_FULL);
	assert_int_equal(session_of(b, b->asker.session_id).stage, SESSION_FULL);
	assert_int_equal(count_audit(b, "factor.enrol", "totp"), 1);
	assert_int_equal(count_audit(b, "factor.prove", "totp"), 1);
	assert_int_equal(count_audit(b, "factor.refused", "code-used"), 1);
	/* Neither secret nor code is told to anybody. */
	assert_int_equal(count_audit(b, "factor.enrol", begun.secret), 0);
	assert_int_equal(count_audit(b, "factor.prove", now), 0);
}

static void test_wrong_codes(void **state)
{
	static const struct {
		const char *name;
		int64_t of_s;
		const char *code, *reason;
	} cases[] = {
		{ "used", -30, NULL, "code-used" },
		{ "too old", -90, NULL, "code-wrong" },
		{ "of the future", 90, NULL, "code-wrong" },
		{ "letters", 0, "abcdef", "code-wrong" },
		{ "empty", 0, "", "code-wrong" },
		{ "long", 0, "1234567", "code-wrong" },
	};
	struct bench *b = *state;
	const char *secret = have_totp(b, "phone", NULL);
	struct session session;

	ask(b, "bob", SESSION_FACTOR, 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *code = cases[i].code
					   ? cases[i].code
					   : code_at(b, secret, b->asker.now_s + cases[i].of_s);

		err_clear(&b->w->err);
		if (prove_totp(b, code, &session) == 0 ||
		    strcmp(err_reason(&b->w->err), cases[i].reason) != 0)
			fail_msg("%s: %s", cases[i].name, err_reason(&b->w->err));
	}
	assert_int_equal(session_of(b, b->asker.session_id).stage, SESSION_FACTOR);
	/* The right one is good all the same, with blanks. */
	const char *right = code_at(b, secret, b->asker.now_s);

	ok(b->w, prove_totp(b, arena_printf(b->w->arena, " %.3s %s", right, right + 3), &session));
}

static void test_several_apps(void **state)
{
	struct bench *b = *state;
	const char *first = have_totp(b, "phone", NULL), *second = have_totp(b, "tablet", NULL);
	struct session session;

	ask(b, "bob", SESSION_FACTOR, 0);
	ok(b->w, prove_totp(b, code_at(b, second, b->asker.now_s), &session));
	ask(b, "bob", SESSION_FACTOR, 0);
	ok(b->w, prove_totp(b, code_at(b, first, b->asker.now_s), &session));
	ask(b, "anna", SESSION_FACTOR, 0);
	refused(b, prove_totp(b, code_at(b, first, b->asker.now_s), &session), "not-found");
}

/* Somebody else's factor, session, or one that was begun elsewhere, is not there. */
static void test_others(void **state)
{
	struct bench *b = *state;
	struct totp_enrolment his = begin_totp(b, "phone");
	struct session session;

	ask(b, "bob", SESSION_FULL, 0);
	refused(b, confirm(b, &his.uuid, code_at(b, his.secret, b->asker.now_s), &session),
		"not-found");
	ask(b, "anna", SESSION_FULL, 0);
	refused(b, confirm(b, &his.uuid, code_at(b, his.secret, b->asker.now_s), &session),
		"not-found");
	refused(b,
		change_factor_remove(b->w->changer, &b->actor, b->asker.user_id,
				     b->asker.session_id, &his.uuid, &b->w->err),
		"not-found");
	refused(b,
		change_factor_rename(b->w->changer, &b->actor, b->asker.user_id, &his.uuid, "mine",
				     &b->w->err),
		"not-found");
	/* Anna's name with Bob's session. */
	b->asker.session_id = open_session(b, "bob", SESSION_FULL, 0);
	refused(b,
		factor_enrol_totp(&b->parts, &b->asker, "", "x", "y", b->w->arena, &his,
				  &b->w->err),
		"sign-in-ended");
}

static void test_fresh_sign_in(void **state)
{
	static const struct {
		enum session_stage stage;
		int64_t age_s;
		const char *reason; /* NULL: may enrol */
	} cases[] = {
		{ SESSION_FULL, 0, NULL },
		{ SESSION_FULL, 290, NULL },
		{ SESSION_FULL, 310, "fresh-sign-in-required" },
		{ SESSION_FULL, -100, "fresh-sign-in-required" },
		{ SESSION_FACTOR, 0, "sign-in-ended" },
		{ SESSION_ENROL, 0, NULL },
		{ SESSION_ENROL, 500, NULL },
	};
	struct bench *b = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct totp_enrolment enrolment;
		int result;

		ask(b, "bob", cases[i].stage, cases[i].age_s);
		err_clear(&b->w->err);
		result = factor_enrol_totp(&b->parts, &b->asker, "", "x", "y", b->w->arena,
					   &enrolment, &b->w->err);
		if ((result == 0) != (cases[i].reason == NULL) ||
		    (cases[i].reason && strcmp(err_reason(&b->w->err), cases[i].reason) != 0))
			fail_msg("case %zu: %s", i, err_reason(&b->w->err));
	}
}

static void test_names_and_limit(void **state)
{
	struct bench *b = *state;
	struct totp_enrolment enrolment;
	struct uuid first, second;
	char name[80];

	have_totp(b, "phone", &first);
	refused(b,
		factor_enrol_totp(&b->parts, &b->asker, "PHONE", "x", "y", b->w->arena, &enrolment,
				  &b->w->err),
		"name-taken");
	memset(name, 'x', sizeof(name));
	name[FACTOR_NAME_MAX + 1] = '\0';
	refused(b,
		factor_enrol_totp(&b->parts, &b->asker, name, "x", "y", b->w->arena, &enrolment,
				  &b->w->err),
		"invalid-request");
	have_totp(b, "", &second);
	refused(b,
		change_factor_rename(b->w->changer, &b->actor, b->asker.user_id, &second, "phone",
				     &b->w->err),
		"name-taken");
	refused(b,
		change_factor_rename(b->w->changer, &b->actor, b->asker.user_id, &second, "a\nb",
				     &b->w->err),
		"invalid-request");
	ok(b->w, change_factor_rename(b->w->changer, &b->actor, b->asker.user_id, &second, "tablet",
				      &b->w->err));
	assert_int_equal(count_audit(b, "factor.rename", "tablet"), 1);
	for (int i = 2; i < FACTORS_MAX; i++)
		have_totp(b, "", NULL);
	refused(b,
		factor_enrol_totp(&b->parts, &b->asker, "", "x", "y", b->w->arena, &enrolment,
				  &b->w->err),
		"factor-limit");
}

/* --- codes by mail and SMS --- */

static struct uuid begin_address(struct bench *b, enum factor_method method, const char *address)
{
	struct uuid uuid = { { 0 } };
	int64_t until_s;

	/* Nobody delivers: it is begun all the same. */
	refused(b,
		factor_enrol_address(&b->parts, &b->asker, b->w->store, method, "", address, &uuid,
				     &until_s, NULL, &b->w->err),
		method == FACTOR_EMAIL ? "mail-unavailable" : "sms-unavailable");
	return uuid;
}

/* As if the courier had brought it. */
static const char *send_code(struct bench *b, const struct uuid *factor)
{
	struct challenge_row sent;
	char *code = arena_alloc(b->w->arena, CODE_TEXT);

	ok(b->w, change_challenge_send(b->w->changer, &b->actor, b->asker.user_id,
				       b->asker.session_id, factor, &sent, NULL, &b->w->err));
	code_make(b->parts.tickets,
		  &(struct code_subject){ sent.session_id, *factor, sent.generation, sent.until_s },
		  code);
	return code;
}

/* Time for the next code has come, also in a session in which none was sent. */
static void forget_sending(struct bench *b, const struct uuid *factor)
{
	struct challenge_row row;
	struct factor_row stored;

	ok(b->w, store_factor_get(b->w->store, factor, b->w->arena, &stored, &b->w->err));
	ok(b->w, store_begin(b->w->store, &b->w->err));
	if (store_challenge_get(b->w->store, stored.id, b->asker.session_id, &row, &b->w->err) ==
	    0) {
		row.sent_s -= 4000;
		ok(b->w, store_challenge_put(b->w->store, &row, &b->w->err));
	}
	ok(b->w, store_commit(b->w->store, &b->w->err));
}

static int prove_sent(struct bench *b, const struct uuid *factor, const char *code,
		      struct session *ret_session)
{
	return factor_prove_sent(&b->parts, &b->asker, b->w->store, factor, code, b->w->arena,
				 ret_session, NULL, &b->w->err);
}

static struct uuid have_address(struct bench *b, enum factor_method method, const char *address)
{
	struct uuid uuid = begin_address(b, method, address);
	struct session session;

	ok(b->w, confirm(b, &uuid, send_code(b, &uuid), &session));
	return uuid;
}

static void test_sent_codes(void **state)
{
	struct bench *b = *state;
	struct uuid mail = have_address(b, FACTOR_EMAIL, "Bob@Acme.example");
	struct factor_row row;
	struct challenge_row challenge;
	struct session session;
	const char *first, *second;
	int64_t wait_s;

	ok(b->w, store_factor_get(b->w->store, &mail, b->w->arena, &row, &b->w->err));
	assert_string_equal(row.hint, "b…@acme.example");
	assert_string_equal(row.name, "E-mail");
	ask(b, "bob", SESSION_FACTOR, 0);
	/* A code that nobody asked for in this session. */
	refused(b, prove_sent(b, &mail, "123456", &session), "no-code-sent");
	first = send_code(b, &mail);
	refused(b,
		change_challenge_send(b->w->changer, &b->actor, b->asker.user_id,
				      b->asker.session_id, &mail, &challenge, &wait_s, &b->w->err),
		"rate-limited");
	assert_in_range(wait_s, 1, 30);
	forget_sending(b, &mail);
	second = send_code(b, &mail);
	/* A million to one: then both are right. */
	if (strcmp(first, second) != 0)
		refused(b, prove_sent(b, &mail, first, &session), "code-wrong");
	ok(b->w, prove_sent(b, &mail, second, &session));
	assert_int_equal(session.stage, SESSION_FULL);
	assert_int_equal(session.factor, FACTOR_EMAIL);
	refused(b, prove_sent(b, &mail, second, &session), "code-used");
	/* Another session's code is nobody's here. */
	ask(b, "bob", SESSION_FACTOR, 0);
	refused(b, prove_sent(b, &mail, second, &session), "no-code-sent");
}

/* A code that is right when it is looked at, and void when it is to be used up: the next was asked for between. */
static void test_sent_code_is_superseded(void **state)
{
	struct bench *b = *state;
	struct uuid mail = have_address(b, FACTOR_EMAIL, "bob@acme.example");
	struct factor_row row;
	struct challenge_row sent[2];
	struct session session;

	ok(b->w, store_factor_get(b->w->store, &mail, b->w->arena, &row, &b->w->err));
	ask(b, "bob", SESSION_FACTOR, 0);
	for (size_t i = 0; i < ARRAY_LEN(sent); i++) {
		send_code(b, &mail);
		ok(b->w, store_challenge_get(b->w->store, row.id, b->asker.session_id, &sent[i],
					     &b->w->err));
		forget_sending(b, &mail);
	}
	for (size_t i = 0; i < ARRAY_LEN(sent); i++) {
		const struct factor_proof proof = { .method = FACTOR_EMAIL,
						    .user_id = b->asker.user_id,
						    .session_id = b->asker.session_id,
						    .factor = mail,
						    .version = row.version,
						    .generation = sent[i].generation,
						    .token = next_token(b) };

		if (i + 1 < ARRAY_LEN(sent))
			refused(b,
				change_factor_prove(b->w->changer, &b->actor, &proof, b->w->arena,
						    &session, &b->w->err),
				"code-superseded");
		else
			ok(b->w, change_factor_prove(b->w->changer, &b->actor, &proof, b->w->arena,
						     &session, &b->w->err));
	}
	assert_int_equal(session.stage, SESSION_FULL);
}

/* Who knows somebody's password has codes sent, and uses up tries, in sessions of their own: the person's code waits for none. */
static void test_sent_in_two_sessions(void **state)
{
	struct bench *b = *state;
	struct uuid mail = have_address(b, FACTOR_EMAIL, "bob@acme.example");
	struct factor_asker other;
	struct session session;
	const char *code;

	ask(b, "bob", SESSION_FACTOR, 0);
	other = b->asker;
	send_code(b, &mail);
	ask(b, "bob", SESSION_FACTOR, 0);
	code = send_code(b, &mail);
	b->asker = other;
	for (int i = 0; i < CHALLENGE_TRIES; i++)
		if (strcmp(code, "000000") != 0)
			refused(b, prove_sent(b, &mail, "000000", &session), "code-wrong");
	forget_sending(b, &mail);
	send_code(b, &mail);
	ask(b, "bob", SESSION_FACTOR, 0);
	refused(b, prove_sent(b, &mail, code, &session), "no-code-sent");
	b->asker.session_id = other.session_id + 1;
	ok(b->w, prove_sent(b, &mail, code, &session));
	assert_int_equal(session.stage, SESSION_FULL);
}

static void test_sent_tries(void **state)
{
	struct bench *b = *state;
	struct uuid phone = have_address(b, FACTOR_SMS, "+49 170 1234567");
	struct session session;
	const char *code, *wrong;

	ask(b, "bob", SESSION_FACTOR, 0);
	code = send_code(b, &phone);
	wrong = strcmp(code, "000000") == 0 ? "000001" : "000000";
	for (int i = 0; i < CHALLENGE_TRIES; i++)
		refused(b, prove_sent(b, &phone, wrong, &session), "code-wrong");
	refused(b, prove_sent(b, &phone, code, &session), "code-tries");
	/* Another one is good. */
	forget_sending(b, &phone);
	ok(b->w, prove_sent(b, &phone, send_code(b, &phone), &session));
	assert_int_equal(count_audit(b, "factor.refused", "code-wrong"), CHALLENGE_TRIES);
	assert_int_equal(count_audit(b, "factor.refused", "code-tries"), 1);
}

static void test_sent_expires(void **state)
{
	struct bench *b = *state;
	struct uuid mail = have_address(b, FACTOR_EMAIL, "bob@acme.example");
	struct challenge_row row;
	struct factor_row stored;
	struct session session;
	const char *code;

	ask(b, "bob", SESSION_FACTOR, 0);
	code = send_code(b, &mail);
	ok(b->w, store_factor_get(b->w->store, &mail, b->w->arena, &stored, &b->w->err));
	ok(b->w, store_begin(b->w->store, &b->w->err));
	ok(b->w,
	   store_challenge_get(b->w->store, stored.id, b->asker.session_id, &row, &b->w->err));
	row.until_s = clock_now_s() - 1;
	ok(b->w, store_challenge_put(b->w->store, &row, &b->w->err));
	ok(b->w, store_commit(b->w->store, &b->w->err));
	refused(b, prove_sent(b, &mail, code, &session), "code-expired");
}

/* The pause between codes grows, and is no lock. */
static void test_sending_pauses(void **state)
{
	static const int64_t pauses[] = { 30, 60, 120, 240, 480, 900, 900 };
	struct bench *b = *state;
	struct uuid mail = have_address(b, FACTOR_EMAIL, "bob@acme.example");
	struct factor_row stored;
	struct challenge_row row;

	ok(b->w, store_factor_get(b->w->store, &mail, b->w->arena, &stored, &b->w->err));
	for (size_t i = 0; i < ARRAY_LEN(pauses); i++) {
		struct challenge_row sent;
		int64_t wait_s = 0;

		send_code(b, &mail);
		refused(b,
			change_challenge_send(b->w->changer, &b->actor, b->asker.user_id,
					      b->asker.session_id, &mail, &sent, &wait_s,
					      &b->w->err),
			"rate-limited");
		/* However slow the machine is: longer than the one before. */
		assert_in_range(wait_s, pauses[i] / 2 + 1, pauses[i]);
		ok(b->w, store_begin(b->w->store, &b->w->err));
		ok(b->w, store_challenge_get(b->w->store, stored.id, b->asker.session_id, &row,
					     &b->w->err));
		row.sent_s -= pauses[i];
		ok(b->w, store_challenge_put(b->w->store, &row, &b->w->err));
		ok(b->w, store_commit(b->w->store, &b->w->err));
	}
}

static void test_addresses(void **state)
{
	static const struct {
		enum factor_method method;
		const char *address;
	} cases[] = {
		{ FACTOR_EMAIL, "" },	      { FACTOR_EMAIL, "bob" },
		{ FACTOR_EMAIL, "bob@" },     { FACTOR_EMAIL, "a@b.example\r\nBcc: x@y.example" },
		{ FACTOR_SMS, "" },	      { FACTOR_SMS, "12345" },
		{ FACTOR_SMS, "+49170x123" }, { FACTOR_SMS, "bob@acme.example" },
	};
	struct bench *b = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct uuid uuid;
		int64_t until_s;

		refused(b,
			factor_enrol_address(&b->parts, &b->asker, b->w->store, cases[i].method, "",
					     cases[i].address, &uuid, &until_s, NULL, &b->w->err),
			"invalid-request");
	}
}

/* Whose first password came by mail, and who has no other factor than the mailbox, gets in by both. */
static void test_mail_as_the_first_factor(void **state)
{
	static const enum session_stage stages[] = { SESSION_FULL, SESSION_ENROL };
	struct bench *b = *state;
	struct password_row password = { .hash = "$argon2id$", .by_mail = true };

	password.user_id = b->asker.user_id;
	for (size_t i = 0; i < ARRAY_LEN(stages); i++) {
		struct session session;
		struct uuid mail;

		password.version++;
		ok(b->w, store_begin(b->w->store, &b->w->err));
		ok(b->w, store_password_put(b->w->store, &password, &b->w->err));
		ok(b->w, store_factors_drop(b->w->store, password.user_id, &b->w->err));
		ok(b->w, store_commit(b->w->store, &b->w->err));
		ask(b, "bob", stages[i], 0);
		mail = have_address(b, FACTOR_EMAIL, "bob@acme.example");
		ask(b, "bob", SESSION_FACTOR, 0);
		forget_sending(b, &mail);
		ok(b->w, prove_sent(b, &mail, send_code(b, &mail), &session));
		assert_int_equal(session.stage, SESSION_FULL);
		/* Beside it a second mailbox makes nothing good that was reset since. */
		password.version++;
		ok(b->w, store_begin(b->w->store, &b->w->err));
		ok(b->w, store_password_put(b->w->store, &password, &b->w->err));
		ok(b->w, store_commit(b->w->store, &b->w->err));
		ask(b, "bob", SESSION_FULL, 0);
		have_address(b, FACTOR_EMAIL, "other@acme.example");
		ask(b, "bob", SESSION_FACTOR, 0);
		forget_sending(b, &mail);
		refused(b,
			change_challenge_send(b->w->changer, &b->actor, b->asker.user_id,
					      b->asker.session_id, &mail,
					      &(struct challenge_row){ 0 }, NULL, &b->w->err),
			"email-after-reset");
	}
}

/* A password that came by mail and a code that came by mail are one proof. */
static void test_mail_after_reset(void **state)
{
	struct bench *b = *state;
	struct uuid mail = have_address(b, FACTOR_EMAIL, "bob@acme.example");
	const char *secret = have_totp(b, "phone", NULL);
	struct password_row password = {
		.user_id = b->asker.user_id, .hash = "$argon2id$", .version = 1, .by_mail = true
	};
	struct challenge_row sent;
	struct session session;
	const char *code;

	ask(b, "bob", SESSION_FACTOR, 0);
	code = send_code(b, &mail);
	ok(b->w, store_begin(b->w->store, &b->w->err));
	ok(b->w, store_password_put(b->w->store, &password, &b->w->err));
	ok(b->w, store_commit(b->w->store, &b->w->err));
	refused(b, prove_sent(b, &mail, code, &session), "email-after-reset");
	forget_sending(b, &mail);
	refused(b,
		change_challenge_send(b->w->changer, &b->actor, b->asker.user_id,
				      b->asker.session_id, &mail, &sent, NULL, &b->w->err),
		"email-after-reset");
	/* Whoever came by root's link came by no password. */
	b->by_link = true;
	ask(b, "bob", SESSION_FACTOR, 0);
	b->by_link = false;
	ok(b->w, prove_sent(b, &mail, send_code(b, &mail), &session));
	/* Another factor ends that. */
	ask(b, "bob", SESSION_FACTOR, 0);
	ok(b->w, prove_totp(b, code_at(b, secret, b->asker.now_s), &session));
	ask(b, "bob", SESSION_FACTOR, 0);
	forget_sending(b, &mail);
	ok(b->w, prove_sent(b, &mail, send_code(b, &mail), &session));
}

/* --- recovery codes --- */

static void test_recovery_codes(void **state)
{
	struct bench *b = *state;
	struct hasher_counts before, after;
	struct recovery_codes codes, newer;
	struct session session;
	char stored[200];

	refused(b, factor_make_codes(&b->parts, &b->asker, &codes, NULL, &b->w->err), "no-factor");
	have_totp(b, "phone", NULL);
	ok(b->w, factor_make_codes(&b->parts, &b->asker, &codes, NULL, &b->w->err));
	assert_int_equal(methods(b, "bob"), FACTOR_BIT(FACTOR_TOTP) | FACTOR_BIT(FACTOR_RECOVERY));
	snprintf(stored, sizeof(stored), "%.12s", codes.text[3]);
	ask(b, "bob", SESSION_FACTOR, 0);
	refused(b, prove_recovery(b, "0000-0000-0000", &session), "code-wrong");
	refused(b, prove_recovery(b, "nonsense", &session), "code-wrong");
	ok(b->w, prove_recovery(b, codes.text[3], &session));
	assert_int_equal(session.stage, SESSION_FULL);
	assert_int_equal(session.factor, FACTOR_RECOVERY);
	ask(b, "bob", SESSION_FACTOR, 0);
	refused(b, prove_recovery(b, codes.text[3], &session), "code-used");
	ok(b->w, prove_recovery(b, codes.text[4], &session));
	/* New ones: the old are void. */
	ask(b, "bob", SESSION_FULL, 0);
	ok(b->w, factor_make_codes(&b->parts, &b->asker, &newer, NULL, &b->w->err));
	ask(b, "bob", SESSION_FACTOR, 0);
	refused(b, prove_recovery(b, codes.text[5], &session), "code-wrong");
	ok(b->w, prove_recovery(b, newer.text[5], &session));
	/* Not fresh: none are made, and nothing is hashed. */
	hasher_counts(b->parts.hasher, &before);
	ask(b, "bob", SESSION_FULL, 400);
	refused(b, factor_make_codes(&b->parts, &b->asker, &codes, NULL, &b->w->err),
		"fresh-sign-in-required");
	ask(b, "bob", SESSION_ENROL, 0);
	refused(b, factor_make_codes(&b->parts, &b->asker, &codes, NULL, &b->w->err),
		"sign-in-ended");
	hasher_counts(b->parts.hasher, &after);
	assert_int_equal(after.hashes, before.hashes);
}

static int issue(struct bench *b, const struct actor *actor, const char *user, int64_t life_s,
		 char ret_code[RECOVERY_TEXT])
{
	struct uuid uuid;
	int64_t until_s;

	return factor_issue_code(&b->parts, actor, b->w->store, user, life_s, ret_code, &uuid,
				 &until_s, &b->w->err);
}

static void test_issued_code(void **state)
{
	struct bench *b = *state;
	struct actor anna = { .name = "user:anna",
			      .request = "",
			      .is_person = true,
			      .limited = true,
			      .user_id = world_user(b->w, "anna") };
	struct actor bob = anna;
	char first[RECOVERY_TEXT], second[RECOVERY_TEXT];
	struct session session;

	bob.name = "user:bob";
	bob.user_id = world_user(b->w, "bob");
	refused(b, issue(b, &anna, "anna", 0, first), "self-recovery");
	refused(b, issue(b, &bob, "anna", 0, first), "not-allowed");
	refused(b, issue(b, &anna, "nobody", 0, first), "not-found");
	refused(b, issue(b, &anna, "bob", RECOVERY_MIN_S - 1, first), "invalid-request");
	refused(b, issue(b, &anna, "bob", RECOVERY_MAX_S + 1, first), "invalid-request");
	ok(b->w, issue(b, &anna, "bob", RECOVERY_MIN_S, first));
	ok(b->w, issue(b, &anna, "bob", 0, second));
	ask(b, "bob", SESSION_FACTOR, 0);
	refused(b, prove_recovery(b, first, &session), "code-wrong");
	ok(b->w, prove_recovery(b, second, &session));
	/* It can only enrol. */
	assert_int_equal(session.stage, SESSION_ENROL);
	assert_int_equal(session_of(b, b->asker.session_id).stage, SESSION_ENROL);
	ask(b, "bob", SESSION_FACTOR, 0);
	refused(b, prove_recovery(b, second, &session), "code-used");
	assert_int_equal(count_audit(b, "recovery-code.issue", "until"), 2);
	assert_int_equal(count_audit(b, "factor.prove", "issued"), 1);
	assert_int_equal(count_audit(b, "recovery-code.issue", second), 0);
}

static void test_issued_code_expires(void **state)
{
	struct bench *b = *state;
	struct recovery_row row;
	struct session session;
	char code[RECOVERY_TEXT];

	ok(b->w, issue(b, &root, "bob", 0, code));
	ask(b, "bob", SESSION_FACTOR, 0);
	ok(b->w, store_begin(b->w->store, &b->w->err));
	ok(b->w, store_recovery_get(b->w->store, b->asker.user_id, RECOVERY_SLOT_ISSUED,
				    b->w->arena, &row, &b->w->err));
	row.until_s = clock_now_s() - 1;
	ok(b->w, store_recovery_put(b->w->store, &row, &b->w->err));
	ok(b->w, store_commit(b->w->store, &b->w->err));
	refused(b, prove_recovery(b, code, &session), "code-expired");
}

/* From the code of an administrator to a session that is complete. */
static void test_recovery_to_the_end(void **state)
{
	struct bench *b = *state;
	struct totp_enrolment enrolment;
	struct session session;
	char code[RECOVERY_TEXT];

	have_totp(b, "lost", NULL);
	ok(b->w, issue(b, &root, "bob", 0, code));
	ask(b, "bob", SESSION_FACTOR, 0);
	ok(b->w, prove_recovery(b, code, &session));
	b->asker.token = next_token(b);
	enrolment = begin_totp(b, "new phone");
	assert_int_equal(session_of(b, b->asker.session_id).stage, SESSION_ENROL);
	ok(b->w,
	   confirm(b, &enrolment.uuid, code_at(b, enrolment.secret, b->asker.now_s), &session));
	assert_int_equal(session.stage, SESSION_FULL);
	assert_int_equal(session.id, b->asker.session_id);
}

/* --- security keys: what a verified answer is worth in the transaction --- */

static int add_key(struct bench *b, const char *credential, const char *challenge,
		   struct uuid *ret_uuid, struct session *ret_session)
{
	struct new_factor factor = { .user_id = b->asker.user_id,
				     .session_id = b->asker.session_id,
				     .uuid = uuid_create(clock_now_s() * 1000),
				     .method = FACTOR_WEBAUTHN,
				     .name = "",
				     .hint = "",
				     .credential = credential,
				     .credential_size = strlen(credential),
				     .public_key = "public",
				     .public_key_size = 6,
				     .counter = 5,
				     .challenge = challenge,
				     .challenge_until_s = clock_now_s() + 60,
				     .token = b->asker.token };

	*ret_uuid = factor.uuid;
	return change_factor_add(b->w->changer, &b->actor, &factor, b->w->arena, ret_session,
				 &b->w->err);
}

static int prove_key(struct bench *b, const struct uuid *factor, int64_t counter,
		     const char *challenge)
{
	const struct factor_proof proof = { .method = FACTOR_WEBAUTHN,
					    .user_id = b->asker.user_id,
					    .session_id = b->asker.session_id,
					    .factor = *factor,
					    .version = 1,
					    .counter = counter,
					    .challenge = challenge,
					    .challenge_until_s = clock_now_s() + 60,
					    .token = next_token(b) };
	struct session session;

	return change_factor_prove(b->w->changer, &b->actor, &proof, b->w->arena, &session,
				   &b->w->err);
}

static void test_security_keys(void **state)
{
	struct bench *b = *state;
	struct session session;
	struct uuid first, second;

	ok(b->w, add_key(b, "one", "challenge 1", &first, &session));
	assert_int_equal(session.factor, FACTOR_WEBAUTHN);
	refused(b, add_key(b, "two", "challenge 1", &second, &session), "replayed");
	refused(b, add_key(b, "one", "challenge 2", &second, &session), "credential-taken");
	/* Refused, so that its challenge was not used up. */
	b->asker.token = next_token(b);
	ok(b->w, add_key(b, "two", "challenge 2", &second, &session));
	/* They had one: the session stays as it is. */
	assert_int_equal(session.id, 0);
	ask(b, "anna", SESSION_FULL, 0);
	refused(b, add_key(b, "one", "challenge 3", &second, &session), "credential-taken");
	refused(b, prove_key(b, &first, 6, "challenge 4"), "factor-changed");
	ask(b, "bob", SESSION_FACTOR, 0);
	refused(b, prove_key(b, &first, 5, "challenge 5"), "webauthn-counter");
	refused(b, prove_key(b, &first, 0, "challenge 5"), "webauthn-counter");
	ok(b->w, prove_key(b, &first, 6, "challenge 5"));
	refused(b, prove_key(b, &first, 7, "challenge 5"), "replayed");
	assert_int_equal(count_audit(b, "factor.enrol", "Security key 2"), 1);
}

/* --- removed, reset, disabled --- */

static void enforce(struct bench *b, enum factor_required required)
{
	struct enforce_change change = { .organization = "default", .policy = factor_policy_none };
	struct enforce_state after;

	change.policy.required = required;
	change.policy.grace_sign_ins = 1;
	ok(b->w,
	   change_enforce_set(b->w->changer, &root, &change, b->w->arena, &after, &b->w->err));
}

static int remove_factor(struct bench *b, const struct uuid *factor)
{
	return change_factor_remove(b->w->changer, &b->actor, b->asker.user_id, b->asker.session_id,
				    factor, &b->w->err);
}

/* Whoever has one must have proven it just now; whoever has none need not. */
static void test_old_proof(void **state)
{
	struct bench *b = *state;
	struct totp_enrolment enrolment;
	struct recovery_codes codes;
	struct uuid factor;

	b->proof_age_s = 400;
	ask(b, "bob", SESSION_FULL, 0);
	have_totp(b, "phone", &factor);
	ask(b, "bob", SESSION_FULL, 0);
	refused(b,
		factor_enrol_totp(&b->parts, &b->asker, "", "x", "y", b->w->arena, &enrolment,
				  &b->w->err),
		"second-factor-required");
	refused(b, factor_make_codes(&b->parts, &b->asker, &codes, NULL, &b->w->err),
		"second-factor-required");
	refused(b, remove_factor(b, &factor), "second-factor-required");
	ask(b, "bob", SESSION_ENROL, 0);
	ok(b->w, factor_enrol_totp(&b->parts, &b->asker, "", "x", "y", b->w->arena, &enrolment,
				   &b->w->err));
	b->proof_age_s = 0;
	ask(b, "bob", SESSION_FULL, 0);
	ok(b->w, remove_factor(b, &factor));
}

static void test_remove(void **state)
{
	struct bench *b = *state;
	struct uuid first, second;
	struct recovery_codes codes;
	struct session session;
	const char *secret = have_totp(b, "phone", &first);

	have_totp(b, "tablet", &second);
	ok(b->w, factor_make_codes(&b->parts, &b->asker, &codes, NULL, &b->w->err));
	enforce(b, FACTOR_FOR_ALL);
	ask(b, "bob", SESSION_FULL, 400);
	refused(b, remove_factor(b, &first), "fresh-sign-in-required");
	ask(b, "bob", SESSION_ENROL, 0);
	refused(b, remove_factor(b, &first), "sign-in-ended");
	ask(b, "bob", SESSION_FULL, 0);
	ok(b->w, remove_factor(b, &first));
	refused(b, remove_factor(b, &first), "not-found");
	refused(b, remove_factor(b, &second), "last-factor");
	assert_int_equal(methods(b, "bob"), FACTOR_BIT(FACTOR_TOTP) | FACTOR_BIT(FACTOR_RECOVERY));
	enforce(b, FACTOR_FOR_NOBODY);
	ok(b->w, remove_factor(b, &second));
	/* Codes on paper stood for it. */
	assert_int_equal(methods(b, "bob"), 0);
	ask(b, "bob", SESSION_FACTOR, 0);
	refused(b, prove_recovery(b, codes.text[0], &session), "code-wrong");
	refused(b, prove_totp(b, code_at(b, secret, b->asker.now_s), &session), "not-found");
}

/* What a remembered browser could replace by something of its own would prove nothing any more. */
static void test_remembered_browser(void **state)
{
	struct bench *b = *state;
	struct uuid phone;
	const char *secret = have_totp(b, "phone", &phone);
	struct recovery_codes codes;
	struct totp_enrolment enrolment;
	struct session session;

	ask(b, "bob", SESSION_FULL, 0);
	session = session_of(b, b->asker.session_id);
	session.factor = FACTOR_DEVICE;
	session.second_factor_s = b->now_s;
	ok(b->w, store_begin(b->w->store, &b->w->err));
	ok(b->w, store_session_update(b->w->store, &session, &b->w->err));
	ok(b->w, store_commit(b->w->store, &b->w->err));
	refused(b,
		factor_enrol_totp(&b->parts, &b->asker, "mine", "x", "y", b->w->arena, &enrolment,
				  &b->w->err),
		"second-factor-required");
	refused(b, remove_factor(b, &phone), "second-factor-required");
	refused(b, factor_make_codes(&b->parts, &b->asker, &codes, NULL, &b->w->err),
		"second-factor-required");
	ok(b->w, prove_totp(b, code_at(b, secret, b->asker.now_s), &session));
	begin_totp(b, "tablet");
	ok(b->w, factor_make_codes(&b->parts, &b->asker, &codes, NULL, &b->w->err));
	ok(b->w, remove_factor(b, &phone));
}

static void test_reset(void **state)
{
	struct bench *b = *state;
	struct actor anna = { .name = "user:anna",
			      .request = "",
			      .is_person = true,
			      .limited = true,
			      .user_id = world_user(b->w, "anna") };
	struct actor bob = anna;
	struct uuid phone, tablet, whose;
	int64_t session;
	size_t count;

	bob.user_id = world_user(b->w, "bob");
	have_totp(b, "phone", &phone);
	have_totp(b, "tablet", &tablet);
	session = b->asker.session_id;
	refused(b,
		change_factor_reset(b->w->changer, &bob, "anna", NULL, &whose, &count, &b->w->err),
		"not-allowed");
	refused(b,
		change_factor_reset(b->w->changer, &anna, "anna", NULL, &whose, &count, &b->w->err),
		"self-reset");
	refused(b,
		change_factor_reset(b->w->changer, &root, "anna", &phone, &whose, &count,
				    &b->w->err),
		"not-found");
	ok(b->w,
	   change_factor_reset(b->w->changer, &anna, "bob", &phone, &whose, &count, &b->w->err));
	assert_int_equal(count, 1);
	assert_int_equal(methods(b, "bob"), FACTOR_BIT(FACTOR_TOTP));
	ok(b->w,
	   change_factor_reset(b->w->changer, &anna, "bob", NULL, &whose, &count, &b->w->err));
	assert_int_equal(count, 1);
	assert_int_equal(methods(b, "bob"), 0);
	/* Nobody is thrown out by it. */
	assert_int_equal(session_of(b, session).stage, SESSION_FULL);
	assert_int_equal(count_audit(b, "factor.reset", ""), 2);
}

static void test_deleted(void **state)
{
	struct bench *b = *state;
	struct uuid uuid;

	have_totp(b, "phone", NULL);
	ok(b->w, change_user_disable(b->w->changer, &root, "bob", "", &b->w->err));
	assert_int_equal(methods(b, "bob"), FACTOR_BIT(FACTOR_TOTP));
	ok(b->w, change_user_delete(b->w->changer, &root, "bob", 0, &uuid, &b->w->err));
	ok(b->w, store_factor_methods(b->w->store, b->asker.user_id, &b->tokens, &b->w->err));
	assert_int_equal(b->tokens, 0);
}

static void test_disabled(void **state)
{
	struct bench *b = *state;
	const char *secret = have_totp(b, "phone", NULL);
	struct session session;
	char code[RECOVERY_TEXT];

	ask(b, "bob", SESSION_FACTOR, 0);
	ok(b->w, change_user_disable(b->w->changer, &root, "bob", "", &b->w->err));
	refused(b, prove_totp(b, code_at(b, secret, b->asker.now_s), &session), "user-disabled");
	refused(b, issue(b, &root, "bob", 0, code), "user-disabled");
}

/* --- letters --- */

static void test_letters(void **state)
{
	struct bench *b = *state;
	struct outbox_counts counts;
	struct outbox_row row;
	struct uuid uuid;
	const char *field;
	int method;

	/* Without an address there is none. */
	have_totp(b, "phone", NULL);
	ok(b->w, store_outbox_counts(b->w->store, &counts, &b->w->err));
	assert_int_equal(counts.waiting, 0);
	ok(b->w, change_user_set(b->w->changer, &root, "bob", 0,
				 &(struct user_fields){ .email = "bob@acme.example" }, &uuid,
				 &field, &b->w->err));
	have_totp(b, "tablet", NULL);
	assert_int_equal(
		store_outbox_next(b->w->store, clock_now_s() + 5, b->w->arena, &row, &b->w->err),
		1);
	assert_string_equal(row.kind, OUTBOX_FACTOR);
	assert_int_equal(factor_event_of(row.number, &method), FACTOR_ENROLLED);
	assert_int_equal(method, FACTOR_TOTP);
	assert_true(uuid_parse(row.subject, &uuid));
}

/* --- many at once --- */

struct racer {
	struct bench *b;
	pthread_barrier_t *start;
	struct factor_asker asker;
	const struct uuid *factor;
	const char *code;
	struct store *store;
	bool won;
	char reason[40];
};

static void *race(void *context)
{
	struct racer *racer = context;
	struct arena *arena = arena_create(1u << 24);
	struct session session;
	struct err err = { 0 };
	int result;

	pthread_barrier_wait(racer->start);
	result =
		racer->factor
			? factor_prove_sent(&racer->b->parts, &racer->asker, racer->store,
					    racer->factor, racer->code, arena, &session, NULL, &err)
			: (strlen(racer->code) > 6 ? factor_prove_recovery : factor_prove_totp)(
				  &racer->b->parts, &racer->asker, racer->store, racer->code, arena,
				  &session, NULL, &err);
	racer->won = result == 0;
	snprintf(racer->reason, sizeof(racer->reason), "%s", result < 0 ? err_reason(&err) : "");
	arena_destroy(arena);
	return NULL;
}

/* In the same session, each with a token of its own; how many won. */
static int run_race(struct bench *b, const struct uuid *factor, const char *code,
		    struct racer racers[static THREADS])
{
	pthread_t threads[THREADS];
	pthread_barrier_t start;
	int won = 0;

	pthread_barrier_init(&start, NULL, THREADS);
	for (int i = 0; i < THREADS; i++) {
		racers[i] = (struct racer){
			.b = b, .start = &start, .asker = b->asker, .factor = factor, .code = code
		};
		racers[i].asker.token = next_token(b);
		racers[i].store = store_open(b->w->path, STORE_READ, &b->w->err);
		assert_non_null(racers[i].store);
		assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		store_close(racers[i].store);
		won += racers[i].won;
	}
	pthread_barrier_destroy(&start);
	return won;
}

static void test_one_code_many_requests(void **state)
{
	struct bench *b = *state;
	const char *secret = have_totp(b, "phone", NULL);
	struct racer racers[THREADS];
	struct recovery_codes codes;

	ok(b->w, factor_make_codes(&b->parts, &b->asker, &codes, NULL, &b->w->err));
	ask(b, "bob", SESSION_FACTOR, 0);
	assert_int_equal(run_race(b, NULL, code_at(b, secret, b->asker.now_s), racers), 1);
	for (int i = 0; i < THREADS; i++)
		if (!racers[i].won)
			assert_string_equal(racers[i].reason, "code-used");
	ask(b, "bob", SESSION_FACTOR, 0);
	assert_int_equal(run_race(b, NULL, codes.text[7], racers), 1);
	for (int i = 0; i < THREADS; i++)
		if (!racers[i].won)
			assert_string_equal(racers[i].reason, "code-used");
}

static void test_many_guesses_at_once(void **state)
{
	struct bench *b = *state;
	struct uuid mail = have_address(b, FACTOR_EMAIL, "bob@acme.example");
	struct racer racers[THREADS];
	const char *code;
	int wrong = 0;

	ask(b, "bob", SESSION_FACTOR, 0);
	code = send_code(b, &mail);
	assert_int_equal(
		run_race(b, &mail, strcmp(code, "000000") == 0 ? "000001" : "000000", racers), 0);
	for (int i = 0; i < THREADS; i++) {
		wrong += strcmp(racers[i].reason, "code-wrong") == 0;
		if (strcmp(racers[i].reason, "code-wrong") != 0)
			assert_string_equal(racers[i].reason, "code-tries");
	}
	assert_int_equal(wrong, CHALLENGE_TRIES);
}

/* Ten hashes each: not without end, and nothing is hashed when it is too much. */
static void test_recovery_codes_are_throttled(void **state)
{
	struct bench *b = *state;
	struct hasher_counts before, after;
	struct recovery_codes codes;
	int64_t wait_s = 0;

	have_totp(b, "phone", NULL);
	b->parts.throttle = throttle_create(&strict, &b->w->err);
	assert_non_null(b->parts.throttle);
	for (int64_t i = 0; i < strict.attempts; i++)
		ok(b->w, factor_make_codes(&b->parts, &b->asker, &codes, &wait_s, &b->w->err));
	assert_int_equal(wait_s, 0);
	hasher_counts(b->parts.hasher, &before);
	refused(b, factor_make_codes(&b->parts, &b->asker, &codes, &wait_s, &b->w->err),
		"rate-limited");
	hasher_counts(b->parts.hasher, &after);
	assert_int_equal(after.hashes, before.hashes);
	assert_true(wait_s > 0);
	assert_int_equal(count_audit(b, "factor.refused", "rate-limited"), 1);
	/* Somebody else's are another's. */
	ask(b, "anna", SESSION_FULL, 0);
	have_totp(b, "tablet", NULL);
	ok(b->w, factor_make_codes(&b->parts, &b->asker, &codes, &wait_s, &b->w->err));
	throttle_destroy(b->parts.throttle);
	b->parts.throttle = NULL;
}

/* Guesses are throttled before anything is looked at; the right code is good afterwards. */
static void test_throttled(void **state)
{
	struct bench *b = *state;
	const char *secret = have_totp(b, "phone", NULL);
	struct session session;
	int64_t wait_s = 0;
	int told;

	b->parts.throttle = throttle_create(&strict, &b->w->err);
	assert_non_null(b->parts.throttle);
	ask(b, "bob", SESSION_FACTOR, 0);
	for (int i = 0; i < 1000; i++) {
		err_clear(&b->w->err);
		assert_int_equal(factor_prove_totp(&b->parts, &b->asker, b->w->store, "abcdef",
						   b->w->arena, &session, &wait_s, &b->w->err),
				 -1);
	}
	assert_string_equal(err_reason(&b->w->err), "rate-limited");
	assert_in_range(wait_s, 1, 600);
	told = count_audit(b, "factor.refused", "");
	assert_in_range(told, 1, 50);
	assert_true(count_audit(b, "factor.refused", "rate-limited") > 0);
	/* Recovery codes are another account of guesses. */
	refused(b, prove_recovery(b, "0000-0000-0000", &session), "code-wrong");
	throttle_destroy(b->parts.throttle);
	b->parts.throttle = NULL;
	ok(b->w, prove_totp(b, code_at(b, secret, b->asker.now_s), &session));
}

/* Many share an address, and each is sent a code in the morning: those that come back are no burden to the next. */
static void test_sending_at_an_address(void **state)
{
	static const struct throttle_settings few = {
		.attempts = 100, .delay_s = 600, .delay_max_s = 3600, .address_attempts = 3
	};
	struct bench *b = *state;
	struct uuid mail = have_address(b, FACTOR_EMAIL, "bob@acme.example");
	struct throttle_attempt sending = { .kind = THROTTLE_SEND, .account = "x" };
	struct throttle_refusal refusal;
	struct address address;
	struct session session;

	b->parts.throttle = throttle_create(&few, &b->w->err);
	assert_non_null(b->parts.throttle);
	ok(b->w, address_parse("192.0.2.7", &address, &b->w->err));
	sending.address = &address;
	for (int i = 0; i < 5; i++) {
		ask(b, "bob", SESSION_FACTOR, 0);
		forget_sending(b, &mail);
		ok(b->w, throttle_take(b->parts.throttle, &sending, clock_monotonic_us(), &refusal,
				       &b->w->err));
		ok(b->w, prove_sent(b, &mail, send_code(b, &mail), &session));
	}
}

/* Its key is not there: other methods are, and nothing is enrolled in vain. */
static void test_key_missing(void **state)
{
	struct bench *b = *state;
	const char *secret = have_totp(b, "phone", NULL);
	struct session session;

	assert_int_equal(unlink(b->seal_path), 0);
	ok(b->w, seal_reload(b->parts.seal, b->seal_path, true, &b->w->err));
	ask(b, "bob", SESSION_FACTOR, 0);
	refused(b, prove_totp(b, code_at(b, secret, b->asker.now_s), &session),
		"sealing-key-missing");
	/* Whoever types no code is told nothing else than always. */
	refused(b, prove_totp(b, "abc", &session), "code-wrong");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_enrol_and_prove),
		TEST(test_wrong_codes),
		TEST(test_several_apps),
		TEST(test_others),
		TEST(test_fresh_sign_in),
		TEST(test_names_and_limit),
		TEST(test_sent_codes),
		TEST(test_sent_code_is_superseded),
		TEST(test_sent_in_two_sessions),
		TEST(test_sent_tries),
		TEST(test_sent_expires),
		TEST(test_sending_pauses),
		TEST(test_addresses),
		TEST(test_mail_as_the_first_factor),
		TEST(test_mail_after_reset),
		TEST(test_recovery_codes),
		TEST(test_issued_code),
		TEST(test_issued_code_expires),
		TEST(test_recovery_to_the_end),
		TEST(test_security_keys),
		TEST(test_old_proof),
		TEST(test_remove),
		TEST(test_remembered_browser),
		TEST(test_reset),
		TEST(test_deleted),
		TEST(test_disabled),
		TEST(test_letters),
		TEST(test_one_code_many_requests),
		TEST(test_many_guesses_at_once),
		TEST(test_recovery_codes_are_throttled),
		TEST(test_throttled),
		TEST(test_sending_at_an_address),
		TEST(test_key_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
