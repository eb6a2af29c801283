/* Stages of signing in: how far a first factor leads, what leads on from there and gives a new token, and grace. */
#include "stages.h"

#include <string.h>

#include <rolebridge/change/device.h>
#include <rolebridge/change/login_link.h>
#include <rolebridge/store/factor.h>
#include <rolebridge/store/session.h>

/* --- who is told --- */

static struct session told;
static struct hash256 told_token;
static int told_times;

static void tell_rotated(void *context UNUSED, const struct session *session,
			 const struct hash256 *token)
{
	told = *session;
	told_token = *token;
	told_times++;
}

static void open_told(struct world *w, const char *yaml)
{
	const struct change_observer observer = { .rotated = tell_rotated };

	people_open(w, yaml);
	changer_observe(w->changer, &observer);
	told_times = 0;
}

/* --- what came of it --- */

static struct session stored(struct world *w, int64_t id)
{
	AUTO(store) struct store *store = world_read(w);
	struct session session;

	ok(w, store_session_get(store, id, w->arena, &session, &w->err));
	return session;
}

struct tokens {
	int64_t session_id;
	size_t count;
	struct hash256 last;
};

static int count_token(void *context, const struct session_token *token)
{
	struct tokens *tokens = context;

	if (token->session_id == tokens->session_id) {
		tokens->count++;
		tokens->last = token->hash;
	}
	return 0;
}

static struct tokens tokens_of(struct world *w, int64_t session_id)
{
	AUTO(store) struct store *store = world_read(w);
	struct tokens tokens = { .session_id = session_id };

	ok(w, store_session_tokens_each(store, count_token, &tokens, &w->err));
	return tokens;
}

/* --- signing in --- */

static void test_not_required(void **state)
{
	struct world *w = *state;
	struct login_outcome in;

	people_open(w, BASE);
	in = HERE(w, "n2 ben");
	assert_string_equal(in.refused, "");
	assert_int_equal(in.session.stage, SESSION_FULL);
	assert_int_equal(in.session.factor, FACTOR_NONE);
	assert_int_equal(in.session.until_s, NOW + 3600);
	in = sign_in(w, "n2 ben", (struct way){ .idp_s = NOW - 3 });
	assert_int_equal(in.session.stage, SESSION_FULL);
	assert_int_equal(in.session.factor, FACTOR_IDP);
	assert_int_equal(in.session.second_factor_s, NOW - 3);
	assert_int_equal(world_audited(w, "login", "\"factor\":\"idp\""), 1);
	/* Whoever enrolled one is asked. */
	enrol(w, 2, FACTOR_TOTP);
	in = HERE(w, "n2 ben");
	assert_int_equal(in.session.stage, SESSION_FACTOR);
	in = HERE(w, "n1 anna");
	assert_int_equal(in.session.stage, SESSION_FULL);
	world_check_audit(w);
}

static void test_asked(void **state)
{
	struct world *w = *state;
	struct login_outcome in;
	struct session session, full;
	struct hash256 expected;
	struct tokens tokens;

	open_told(w, BASE ALL);
	enrol(w, 2, FACTOR_TOTP);
	in = sign_in(w, "n2 ben", (struct way){ .session_until_s = NOW + 1800 });
	session = stored(w, in.session.id);
	assert_int_equal(session.stage, SESSION_FACTOR);
	assert_int_equal(session.second_factor_s, 0);
	assert_int_equal(session.until_s, NOW + SESSION_STAGE_S);
	assert_int_equal(session.full_until_s, NOW + 1800);
	assert_int_equal(world_audited(w, "login", "\"stage\":\"factor\""), 1);
	ok(w, complete(w, session.id, FACTOR_TOTP, NOW + 60, "new", &full));
	assert_int_equal(full.stage, SESSION_FULL);
	session = stored(w, in.session.id);
	assert_int_equal(session.stage, SESSION_FULL);
	assert_int_equal(session.factor, FACTOR_TOTP);
	assert_int_equal(session.second_factor_s, NOW + 60);
	assert_int_equal(session.until_s, NOW + 1800);
	assert_int_equal(session.full_until_s, 0);
	/* One token, the new one, and sessions were told of it. */
	tokens = tokens_of(w, session.id);
	assert_int_equal(tokens.count, 1);
	expected = digest256("new", 3);
	assert_memory_equal(&tokens.last, &expected, sizeof(expected));
	assert_int_equal(told_times, 1);
	assert_int_equal(told.id, session.id);
	assert_int_equal(told.stage, SESSION_FULL);
	assert_int_equal(told.until_s, NOW + 1800);
	assert_memory_equal(&told_token, &tokens.last, sizeof(told_token));
	world_check_audit(w);
}

static void test_too_late(void **state)
{
	struct world *w = *state;
	struct login_outcome in;
	struct session session;

	open_told(w, BASE ALL);
	enrol(w, 2, FACTOR_TOTP);
	in = HERE(w, "n2 ben");
	refused(w, complete(w, in.session.id, FACTOR_TOTP, NOW + SESSION_STAGE_S, "a", &session),
		"sign-in-ended");
	refused(w, complete(w, 77, FACTOR_TOTP, NOW, "a", &session), "sign-in-ended");
	assert_int_equal(stored(w, in.session.id).stage, SESSION_FACTOR);
	ok(w, change_user_disable(w->changer, &test_person, "ben", "", &w->err));
	refused(w, complete(w, in.session.id, FACTOR_TOTP, NOW, "a", &session), "sign-in-ended");
	assert_int_equal(told_times, 0);
}

static void test_step_up(void **state)
{
	struct world *w = *state;
	struct session session;
	struct session_token host = { .host = "app.example", .created_s = NOW };
	struct login_outcome in;

	people_open(w, BASE ALL);
	enrol(w, 2, FACTOR_TOTP);
	in = sign_in(w, "n2 ben", (struct way){ .idp_s = NOW - 600 });
	assert_int_equal(in.session.stage, SESSION_FULL);
	host.session_id = in.session.id;
	ok(w, change_session_token_add(w->changer, &host, &w->err));
	assert_int_equal(tokens_of(w, in.session.id).count, 2);
	ok(w, complete(w, in.session.id, FACTOR_TOTP, NOW + 9, "b", &session));
	assert_int_equal(session.stage, SESSION_FULL);
	assert_int_equal(session.factor, FACTOR_TOTP);
	assert_int_equal(session.second_factor_s, NOW + 9);
	assert_int_equal(session.until_s, in.session.until_s);
	/* What was taken from an application before is no good after it. */
	assert_int_equal(tokens_of(w, in.session.id).count, 1);
	/* A code of an administrator is no step up. */
	refused(w, complete(w, in.session.id, FACTOR_ISSUED, NOW + 9, "c", &session),
		"not-allowed");
	refused(w, complete(w, in.session.id, FACTOR_IDP, NOW + 9, "c", &session),
		"factor-not-allowed");
	refused(w, complete(w, in.session.id, FACTOR_DEVICE, NOW + 9, "c", &session),
		"factor-not-allowed");
}

static void test_not_configured(void **state)
{
	struct world *w = *state;
	struct login_outcome in;
	struct session session;

	people_open(w, BASE ALL);
	in = HERE(w, "n2 ben title=ops");
	assert_string_equal(in.refused, "2fa-not-configured");
	assert_int_equal(in.user.id, 2);
	assert_int_equal(in.session.id, 0);
	assert_int_equal(world_audited(w, "login.refused", "2fa-not-configured"), 1);
	assert_int_equal(world_audited(w, "login", ""), 0);
	/* What the IdP said of them is known, so that somebody can help. */
	assert_non_null(strstr(world_user(w, "ben"), "ops"));
	/* Printed codes alone are no method. */
	give_code(w, 2, 0, 0);
	in = HERE(w, "n2 ben");
	assert_string_equal(in.refused, "2fa-not-configured");
	/* A code that an administrator gave leads to enrolling, and to nothing else. */
	give_code(w, 2, RECOVERY_SLOT_ISSUED, NOW + 600);
	in = HERE(w, "n2 ben");
	assert_string_equal(in.refused, "");
	assert_int_equal(in.session.stage, SESSION_FACTOR);
	refused(w, complete(w, in.session.id, FACTOR_RECOVERY, NOW, "a", &session),
		"factor-not-allowed");
	ok(w, complete(w, in.session.id, FACTOR_ISSUED, NOW + 60, "b", &session));
	assert_int_equal(session.stage, SESSION_ENROL);
	assert_int_equal(session.factor, FACTOR_ISSUED);
	assert_int_equal(session.second_factor_s, 0);
	assert_int_equal(session.until_s, NOW + 60 + SESSION_STAGE_S);
	refused(w,
		change_enrol_later(w->changer, &test_person, session.id, &(struct hash256){ { 9 } },
				   NOW + 60, w->arena, &session, &w->err),
		"2fa-not-configured");
	enrol(w, 2, FACTOR_TOTP);
	ok(w, complete(w, session.id, FACTOR_TOTP, NOW + 90, "c", &session));
	assert_int_equal(session.stage, SESSION_FULL);
	assert_int_equal(session.until_s, NOW + 3600);
	/* One that is too old leads nowhere. */
	in = HERE(w, "n1 anna");
	assert_string_equal(in.refused, "2fa-not-configured");
	give_code(w, 1, RECOVERY_SLOT_ISSUED, NOW);
	in = HERE(w, "n1 anna");
	assert_string_equal(in.refused, "2fa-not-configured");
	world_check_audit(w);
}

static void test_idp(void **state)
{
	struct world *w = *state;
	struct login_outcome in;

	people_open(w, BASE ALL);
	in = sign_in(w, "n2 ben", (struct way){ .idp_s = NOW - 3 });
	assert_int_equal(in.session.stage, SESSION_FULL);
	assert_int_equal(in.session.factor, FACTOR_IDP);
	world_close(w);
	world_open(w, BASE);
	/* Asked for, and answered less. */
	in = sign_in(w, "n2 ben", (struct way){ .idp_asked = true });
	assert_string_equal(in.refused, "2fa-not-configured");
	enrol(w, 2, FACTOR_SMS);
	in = sign_in(w, "n2 ben", (struct way){ .idp_asked = true });
	assert_int_equal(in.session.stage, SESSION_FACTOR);
	in = sign_in(w, "n2 ben", (struct way){ .idp_asked = true, .idp_s = NOW });
	assert_int_equal(in.session.stage, SESSION_FULL);
}

/* The IdP's request obliges, no policy does: what policy does not take is not taken then either. */
static void test_methods_of_the_asked(void **state)
{
	struct world *w = *state;
	struct login_outcome in;
	struct session session;

	people_open(w, BASE "second_factor: {required: nobody, methods: [totp]}\n");
	enrol(w, 2, FACTOR_TOTP);
	enrol(w, 2, FACTOR_SMS);
	in = sign_in(w, "n2 ben", (struct way){ .idp_asked = true });
	assert_int_equal(in.session.stage, SESSION_FACTOR);
	assert_true(stored(w, in.session.id).idp_asked);
	refused(w, complete(w, in.session.id, FACTOR_SMS, NOW, "a", &session),
		"factor-not-allowed");
	ok(w, complete(w, in.session.id, FACTOR_TOTP, NOW, "b", &session));
	assert_int_equal(session.stage, SESSION_FULL);
	/* Who was not asked for it there is asked here for whatever they have. */
	in = HERE(w, "n2 ben");
	assert_int_equal(in.session.stage, SESSION_FACTOR);
	ok(w, complete(w, in.session.id, FACTOR_SMS, NOW, "c", &session));
}

static void test_administrators_keys(void **state)
{
	struct world *w = *state;
	struct session session;
	struct login_outcome in;

	people_open(w, BASE "second_factor: {required: all, administrator_methods: [webauthn], "
			    "grace: {sign_ins: 1}}\n");
	enrol(w, 1, FACTOR_TOTP);
	enrol(w, 2, FACTOR_TOTP);
	in = sign_in(w, "n2 ben", (struct way){ .idp_s = NOW });
	assert_int_equal(in.session.stage, SESSION_FULL);
	/* In grace what they have is asked; after it there is no way in. */
	in = sign_in(w, "n1 anna", (struct way){ .idp_s = NOW });
	assert_int_equal(in.session.stage, SESSION_FACTOR);
	assert_int_equal(in.session.second_factor_s, 0);
	ok(w, complete(w, in.session.id, FACTOR_TOTP, NOW, "a", &session));
	assert_int_equal(session.stage, SESSION_FULL);
	in = sign_in(w, "n1 anna", (struct way){ .idp_s = NOW });
	assert_string_equal(in.refused, "2fa-not-configured");
	/* What does not count does not lead on from enrolling either. */
	give_code(w, 1, RECOVERY_SLOT_ISSUED, NOW + 600);
	in = HERE(w, "n1 anna");
	/* The code does not make grace last longer. */
	refused(w, complete(w, in.session.id, FACTOR_TOTP, NOW, "g", &session),
		"factor-not-allowed");
	ok(w, complete(w, in.session.id, FACTOR_ISSUED, NOW, "b", &session));
	ok(w, complete(w, session.id, FACTOR_TOTP, NOW, "c", &session));
	assert_int_equal(session.stage, SESSION_ENROL);
	enrol(w, 1, FACTOR_WEBAUTHN);
	ok(w, complete(w, session.id, FACTOR_WEBAUTHN, NOW, "d", &session));
	assert_int_equal(session.stage, SESSION_FULL);
	in = HERE(w, "n1 anna");
	refused(w, complete(w, in.session.id, FACTOR_TOTP, NOW, "e", &session),
		"factor-not-allowed");
	ok(w, complete(w, in.session.id, FACTOR_WEBAUTHN, NOW, "f", &session));
}

/* --- by root's link --- */

static struct session by_link(struct world *w, const char *name, unsigned char token)
{
	struct login_link_use use = { .token = { { token } }, .address = "", .agent = "" };
	struct login_outcome outcome;
	struct login_link_row link;
	struct user user;

	ok(w,
	   change_login_link_make(w->changer, &test_person, name, w->arena, &link, &user, &w->err));
	use.link = link.uuid;
	use.now_s = link.until_s - LOGIN_LINK_LIFETIME_S;
	use.until_s = use.now_s + 3600;
	ok(w, change_login_link_use(w->changer, "request", &use, w->arena, &outcome, &w->err));
	assert_string_equal(outcome.refused, "");
	return outcome.session;
}

static void test_link_and_keys(void **state)
{
	struct world *w = *state;
	struct session in, session;

	people_open(w, BASE "second_factor: {required: all, administrator_methods: [webauthn], "
			    "grace: {sign_ins: 1}}\n");
	enrol(w, 1, FACTOR_TOTP);
	in = by_link(w, "anna", 1);
	assert_int_equal(in.stage, SESSION_FACTOR);
	ok(w, complete(w, in.id, FACTOR_TOTP, in.created_s, "a", &session));
	assert_int_equal(session.stage, SESSION_FULL);
	/* After grace what they have is asked for, too: then they enrol what counts. */
	in = by_link(w, "anna", 2);
	assert_int_equal(in.stage, SESSION_FACTOR);
	ok(w, complete(w, in.id, FACTOR_TOTP, in.created_s, "b", &session));
	assert_int_equal(session.stage, SESSION_ENROL);
	assert_int_equal(session.second_factor_s, 0);
	assert_int_equal(session.until_s, in.created_s + SESSION_STAGE_S);
	ok(w, complete(w, in.id, FACTOR_TOTP, in.created_s, "c", &session));
	assert_int_equal(session.stage, SESSION_ENROL);
	enrol(w, 1, FACTOR_WEBAUTHN);
	ok(w, complete(w, in.id, FACTOR_WEBAUTHN, in.created_s, "d", &session));
	assert_int_equal(session.stage, SESSION_FULL);
	/* From then on that, and nothing less. */
	in = by_link(w, "anna", 3);
	assert_int_equal(in.stage, SESSION_FACTOR);
	refused(w, complete(w, in.id, FACTOR_TOTP, in.created_s, "e", &session),
		"factor-not-allowed");
	world_check_audit(w);
}

/* --- grace --- */

static int go_on(struct world *w, const struct session *session, const char *token,
		 struct session *ret_session)
{
	const struct hash256 hash = digest256(token, strlen(token));

	return change_enrol_later(w->changer, &test_person, session->id, &hash, NOW, w->arena,
				  ret_session, &w->err);
}

static void test_grace(void **state)
{
	struct world *w = *state;
	struct login_outcome in;
	struct session session;

	open_told(w, BASE "second_factor: {required: all, grace: {sign_ins: 2}}\n");
	in = HERE(w, "n2 ben");
	assert_int_equal(in.session.stage, SESSION_ENROL);
	assert_int_equal(in.session.until_s, NOW + SESSION_STAGE_S);
	/* Not gone on with: not counted. */
	in = HERE(w, "n2 ben");
	ok(w, go_on(w, &in.session, "a", &session));
	assert_int_equal(session.stage, SESSION_FULL);
	assert_int_equal(session.second_factor_s, 0);
	assert_int_equal(session.until_s, NOW + 3600);
	assert_int_equal(told_times, 1);
	assert_int_equal(world_audited(w, "login.enrol-later", "session"), 1);
	refused(w, go_on(w, &session, "b", &session), "2fa-not-configured");
	in = HERE(w, "n2 ben");
	ok(w, go_on(w, &in.session, "c", &session));
	in = HERE(w, "n2 ben");
	assert_string_equal(in.refused, "2fa-not-configured");
	/* Two that wait at once are two sign-ins. */
	in = HERE(w, "n1 anna");
	session = HERE(w, "n1 anna").session;
	ok(w, go_on(w, &in.session, "d", &in.session));
	ok(w, go_on(w, &session, "e", &session));
	refused(w, go_on(w, &session, "f", &session), "2fa-not-configured");
	in = HERE(w, "n1 anna");
	assert_string_equal(in.refused, "2fa-not-configured");
	world_check_audit(w);
}

/* Asked for at the IdP, and not proven: that grace ends, too, also of whom no policy names. */
static void test_grace_of_the_asked(void **state)
{
	struct world *w = *state;
	struct login_outcome in;
	struct session session;

	people_open(w, BASE "second_factor: {required: administrators, grace: {sign_ins: 1}}\n");
	in = sign_in(w, "n2 ben", (struct way){ .idp_asked = true });
	assert_int_equal(in.session.stage, SESSION_ENROL);
	ok(w, go_on(w, &in.session, "a", &session));
	assert_int_equal(session.stage, SESSION_FULL);
	in = sign_in(w, "n2 ben", (struct way){ .idp_asked = true });
	assert_string_equal(in.refused, "2fa-not-configured");
}

static void test_grace_by_date(void **state)
{
	struct world *w = *state;
	struct login_outcome in;
	struct session session;

	/* TEST_NOW is 2033-05-18. */
	people_open(w, BASE "second_factor: {required: all, grace: {until: 2033-05-18}}\n");
	in = HERE(w, "n2 ben");
	assert_int_equal(in.session.stage, SESSION_ENROL);
	ok(w, go_on(w, &in.session, "a", &session));
	in = sign_in(w, "n2 ben", (struct way){ .now_s = 2000073599 });
	assert_int_equal(in.session.stage, SESSION_ENROL);
	in = sign_in(w, "n2 ben", (struct way){ .now_s = 2000073600 });
	assert_string_equal(in.refused, "2fa-not-configured");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, world_set_up, world_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_not_required),
		TEST(test_asked),
		TEST(test_too_late),
		TEST(test_step_up),
		TEST(test_not_configured),
		TEST(test_idp),
		TEST(test_methods_of_the_asked),
		TEST(test_administrators_keys),
		TEST(test_link_and_keys),
		TEST(test_grace),
		TEST(test_grace_of_the_asked),
		TEST(test_grace_by_date),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
