/*
 * Stages of signing in: how far a first factor leads, what leads on from there and gives a new token, remembered browsers,
 * grace, and who sets who must prove a second factor.
 */
#include "../../../daemon/change/stage.h"

#include "support.h"

#include <stdio.h>
#include <string.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/change/device.h>
#include <rolebridge/change/enforce.h>
#include <rolebridge/change/login_link.h>
#include <rolebridge/store/factor.h>
#include <rolebridge/store/session.h>

#define NOW TEST_NOW
#define DAY INT64_C(86400)
#define TOTP FACTOR_BIT(FACTOR_TOTP)

#define BASE \
	RULES WIDE "sources: [{name: corp, type: ldif}, {name: idp, type: saml, " \
		   "link: {attribute: uid, source: corp, other: uid}}]\n"
#define ALL "second_factor: {required: all}\n"
#define PEOPLE "k1 anna @admins\nk2 ben @sales\n"

/* --- what a writer's job does for a test --- */

struct put {
	struct factor_row factor;
	struct recovery_row code;
	int64_t drop_user;
};

static int put_job(struct changer *changer, struct job *job, struct err *err)
{
	struct put *put = job->context;

	if (put->factor.user_id && store_factor_insert(changer->store, &put->factor, err) < 0)
		return -1;
	if (put->code.user_id && store_recovery_put(changer->store, &put->code, err) < 0)
		return -1;
	return put->drop_user ? store_factors_drop(changer->store, put->drop_user, err) : 0;
}

static void put(struct world *w, struct put *put)
{
	ok(w, writer_request(w->changer, put_job, put, &w->err));
}

static void enrol(struct world *w, int64_t user_id, enum factor_method method)
{
	static unsigned char last;
	const unsigned char number = ++last;
	struct put it = { .factor = { .uuid = { { number } },
				      .user_id = user_id,
				      .method = method,
				      .name = arena_printf(w->arena, "factor %u", number),
				      .version = 1,
				      .confirmed_s = NOW,
				      .hint = "",
				      .created_s = NOW } };

	if (method == FACTOR_WEBAUTHN) {
		it.factor.credential = &number;
		it.factor.credential_size = 1;
		it.factor.public_key = "key";
		it.factor.public_key_size = 3;
	} else {
		it.factor.sealed = "sealed";
		it.factor.sealed_size = 6;
		it.factor.key_id = 1;
	}
	put(w, &it);
}

static void give_code(struct world *w, int64_t user_id, int slot, int64_t until_s)
{
	struct put it = { .code = { .user_id = user_id,
				    .slot = slot,
				    .hash = "hash",
				    .created_s = NOW,
				    .until_s = until_s,
				    .issuer = "" } };

	put(w, &it);
}

struct stepping {
	struct stage_step step;
	struct arena *arena;
	struct session session;
};

static int step_job(struct changer *changer, struct job *job, struct err *err)
{
	struct stepping *stepping = job->context;

	return stage_complete(changer, &stepping->step, stepping->arena, &stepping->session, err);
}

static int complete(struct world *w, int64_t session_id, enum factor_method method, int64_t now_s,
		    const char *token, struct session *ret_session)
{
	struct stepping stepping = { .step = { .session_id = session_id,
					       .method = method,
					       .token = digest256(token, strlen(token)),
					       .now_s = now_s },
				     .arena = w->arena };
	int result = writer_request(w->changer, step_job, &stepping, &w->err);

	if (result == 0)
		*ret_session = stepping.session;
	return result;
}

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

static void open_world(struct world *w, const char *yaml)
{
	const struct change_observer observer = { .rotated = tell_rotated };

	world_open(w, yaml);
	changer_observe(w->changer, &observer);
	told_times = 0;
}

/* --- signing in --- */

static unsigned next_id;

struct way {
	int64_t idp_s; /* 0: no proof */
	bool idp_asked;
	struct uuid device;
	int64_t now_s; /* 0: NOW */
	int64_t session_until_s;
};

static struct login_outcome sign_in(struct world *w, const char *line, struct way way)
{
	struct login_outcome outcome;
	struct sent sent;

	world_send(w, &sent, line, arena_printf(w->arena, "_a%u", ++next_id));
	sent.assertion.second_factor_s = way.idp_s;
	sent.assertion.second_factor_asked = way.idp_asked;
	sent.assertion.session_until_s = way.session_until_s;
	sent.login.device = way.device;
	if (way.now_s) {
		sent.login.now_s = way.now_s;
		sent.login.until_s = way.now_s + 3600;
	}
	ok(w, change_login(w->changer, &test_sync, &sent.login, w->arena, &outcome, &w->err));
	strbuf_finish(&sent.record);
	return outcome;
}

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

static size_t audited(struct world *w, const char *action, const char *part)
{
	AUTO(store) struct store *store = world_read(w);
	struct audit_query query = { .action = action };
	struct store_audit_cursor *cursor = store_audit_open(store, &query, &w->err);
	struct audit_iterator iterator = store_audit_iterator(cursor);
	struct audit_row row;
	size_t count = 0;

	assert_non_null(cursor);
	while (iterator.next(iterator.context, &row, &w->err) > 0)
		count += strstr(row.detail, part) != NULL;
	store_audit_close(cursor);
	return count;
}

#define HERE(w, line) sign_in(w, line, (struct way){ .now_s = 0 })

static void test_not_required(void **state)
{
	struct world *w = *state;
	struct login_outcome in;

	open_world(w, BASE);
	world_sync(w, "corp", PEOPLE, 0, NULL);
	in = HERE(w, "n2 ben");
	assert_string_equal(in.refused, "");
	assert_int_equal(in.session.stage, SESSION_FULL);
	assert_int_equal(in.session.factor, FACTOR_NONE);
	assert_int_equal(in.session.until_s, NOW + 3600);
	in = sign_in(w, "n2 ben", (struct way){ .idp_s = NOW - 3 });
	assert_int_equal(in.session.stage, SESSION_FULL);
	assert_int_equal(in.session.factor, FACTOR_IDP);
	assert_int_equal(in.session.second_factor_s, NOW - 3);
	assert_int_equal(audited(w, "login", "\"factor\":\"idp\""), 1);
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

	open_world(w, BASE ALL);
	world_sync(w, "corp", PEOPLE, 0, NULL);
	enrol(w, 2, FACTOR_TOTP);
	in = sign_in(w, "n2 ben", (struct way){ .session_until_s = NOW + 1800 });
	session = stored(w, in.session.id);
	assert_int_equal(session.stage, SESSION_FACTOR);
	assert_int_equal(session.second_factor_s, 0);
	assert_int_equal(session.until_s, NOW + SESSION_STAGE_S);
	assert_int_equal(session.full_until_s, NOW + 1800);
	assert_int_equal(audited(w, "login", "\"stage\":\"factor\""), 1);
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

	open_world(w, BASE ALL);
	world_sync(w, "corp", PEOPLE, 0, NULL);
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

	open_world(w, BASE ALL);
	world_sync(w, "corp", PEOPLE, 0, NULL);
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
		"method-not-allowed");
	refused(w, complete(w, in.session.id, FACTOR_DEVICE, NOW + 9, "c", &session),
		"method-not-allowed");
}

static void test_not_configured(void **state)
{
	struct world *w = *state;
	struct login_outcome in;
	struct session session;

	open_world(w, BASE ALL);
	world_sync(w, "corp", PEOPLE, 0, NULL);
	in = HERE(w, "n2 ben title=ops");
	assert_string_equal(in.refused, "2fa-not-configured");
	assert_int_equal(in.user.id, 2);
	assert_int_equal(in.session.id, 0);
	assert_int_equal(audited(w, "login.refused", "2fa-not-configured"), 1);
	assert_int_equal(audited(w, "login", ""), 0);
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
		"method-not-allowed");
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

	open_world(w, BASE ALL);
	world_sync(w, "corp", PEOPLE, 0, NULL);
	in = sign_in(w, "n2 ben", (struct way){ .idp_s = NOW - 3 });
	assert_int_equal(in.session.stage, SESSION_FULL);
	assert_int_equal(in.session.factor, FACTOR_IDP);
	world_close(w);
	open_world(w, BASE);
	/* Asked for, and answered less. */
	in = sign_in(w, "n2 ben", (struct way){ .idp_asked = true });
	assert_string_equal(in.refused, "2fa-not-configured");
	enrol(w, 2, FACTOR_SMS);
	in = sign_in(w, "n2 ben", (struct way){ .idp_asked = true });
	assert_int_equal(in.session.stage, SESSION_FACTOR);
	in = sign_in(w, "n2 ben", (struct way){ .idp_asked = true, .idp_s = NOW });
	assert_int_equal(in.session.stage, SESSION_FULL);
}

static void test_administrators_keys(void **state)
{
	struct world *w = *state;
	struct session session;
	struct login_outcome in;

	open_world(w, BASE "second_factor: {required: all, administrator_methods: [webauthn], "
			   "grace: {sign_ins: 1}}\n");
	world_sync(w, "corp", PEOPLE, 0, NULL);
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
		"method-not-allowed");
	ok(w, complete(w, in.session.id, FACTOR_ISSUED, NOW, "b", &session));
	ok(w, complete(w, session.id, FACTOR_TOTP, NOW, "c", &session));
	assert_int_equal(session.stage, SESSION_ENROL);
	enrol(w, 1, FACTOR_WEBAUTHN);
	ok(w, complete(w, session.id, FACTOR_WEBAUTHN, NOW, "d", &session));
	assert_int_equal(session.stage, SESSION_FULL);
	in = HERE(w, "n1 anna");
	refused(w, complete(w, in.session.id, FACTOR_TOTP, NOW, "e", &session),
		"method-not-allowed");
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

	open_world(w, BASE "second_factor: {required: all, administrator_methods: [webauthn], "
			   "grace: {sign_ins: 1}}\n");
	world_sync(w, "corp", PEOPLE, 0, NULL);
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
		"method-not-allowed");
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

	open_world(w, BASE "second_factor: {required: all, grace: {sign_ins: 2}}\n");
	world_sync(w, "corp", PEOPLE, 0, NULL);
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
	assert_int_equal(audited(w, "login.enrol-later", "session"), 1);
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

	open_world(w, BASE "second_factor: {required: administrators, grace: {sign_ins: 1}}\n");
	world_sync(w, "corp", PEOPLE, 0, NULL);
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
	open_world(w, BASE "second_factor: {required: all, grace: {until: 2033-05-18}}\n");
	world_sync(w, "corp", PEOPLE, 0, NULL);
	in = HERE(w, "n2 ben");
	assert_int_equal(in.session.stage, SESSION_ENROL);
	ok(w, go_on(w, &in.session, "a", &session));
	in = sign_in(w, "n2 ben", (struct way){ .now_s = 2000073599 });
	assert_int_equal(in.session.stage, SESSION_ENROL);
	in = sign_in(w, "n2 ben", (struct way){ .now_s = 2000073600 });
	assert_string_equal(in.refused, "2fa-not-configured");
}

/* --- remembered browsers --- */

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

	open_world(w, BASE "second_factor: {required: all, remember: {time: 1d, devices: 2}}\n");
	world_sync(w, "corp", PEOPLE, 0, NULL);
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
	assert_int_equal(audited(w, "device.remember", "totp"), 1);
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
	assert_int_equal(audited(w, "device.forget", ""), 2);
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

	open_world(w, BASE "second_factor: {required: all, remember: {time: 1d}}\n");
	world_sync(w, "corp", PEOPLE, 0, NULL);
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

	open_world(w, BASE ALL);
	world_sync(w, "corp", PEOPLE, 0, NULL);
	enrol(w, 2, FACTOR_TOTP);
	in = HERE(w, "n2 ben");
	ok(w, complete(w, in.session.id, FACTOR_TOTP, NOW, "a", &session));
	refused(w,
		change_device_remember(w->changer, &test_person, session.id, NOW, w->arena, &row,
				       &w->err),
		"not-allowed");
}

/* --- who sets it --- */

static struct enforce_state get(struct world *w, const char *organization)
{
	AUTO(store) struct store *store = world_read(w);
	struct setup *setup = changer_setup(w->changer);
	struct enforce_state state;
	int result = change_enforce_get(setup, store, organization, w->arena, &state, &w->err);

	setup_release(setup);
	ok(w, result);
	return state;
}

static int set(struct world *w, const struct actor *actor, const char *body, int64_t version,
	       struct enforce_state *ret_state)
{
	struct enforce_change change = { .organization = "default", .version = version };

	ok(w, factor_policy_read(body, strlen(body), w->arena, &change.policy, &w->err));
	return change_enforce_set(w->changer, actor, &change, w->arena, ret_state, &w->err);
}

static void test_set(void **state)
{
	struct world *w = *state;
	const struct actor root = { .name = "unix:root", .request = "", .is_person = true };
	const struct actor anna = { .name = "user:anna",
				    .request = "",
				    .is_person = true,
				    .limited = true,
				    .permission = "second-factor:update@all",
				    .user_id = 1 };
	const struct actor local = { .name = "unix:anna", .request = "", .is_person = true };
	const struct actor ben = { .name = "user:ben",
				   .request = "",
				   .is_person = true,
				   .limited = true,
				   .permission = "second-factor:update@all",
				   .user_id = 2 };
	struct enforce_state after;
	struct login_outcome in;

	open_world(w, BASE);
	world_sync(w, "corp", PEOPLE, 0, NULL);
	assert_int_equal(get(w, "default").from, ENFORCE_DEFAULT);
	in = HERE(w, "n2 ben");
	assert_int_equal(in.session.stage, SESSION_FULL);
	refused(w, set(w, &ben, "{\"required\":\"nobody\"}", 0, &after), "not-allowed");
	refused(w, set(w, &anna, "{\"required\":\"all\"}", 0, &after), "self-lockout");
	refused(w, set(w, &local, "{\"required\":\"administrators\"}", 0, &after), "self-lockout");
	/* Also within grace: who sets it is ready. */
	refused(w, set(w, &anna, "{\"required\":\"all\",\"grace\":{\"sign_ins\":9}}", 0, &after),
		"self-lockout");
	ok(w, set(w, &anna, "{\"required\":\"chosen\",\"profiles\":[\"staff\"]}", 0, &after));
	assert_int_equal(after.version, 1);
	in = HERE(w, "n2 ben");
	assert_string_equal(in.refused, "2fa-not-configured");
	in = HERE(w, "n1 anna");
	assert_int_equal(in.session.stage, SESSION_FULL);
	assert_int_equal(get(w, "default").from, ENFORCE_STORE);
	assert_int_equal(get(w, "default").version, 1);
	assert_string_equal(get(w, "default").policy.profiles.items[0], "staff");
	refused(w, set(w, &anna, "{\"required\":\"nobody\"}", 2, &after), "stale-version");
	ok(w, set(w, &anna, "{\"required\":\"chosen\",\"roles\":[\"night\"]}", 1, &after));
	in = HERE(w, "n2 ben");
	assert_int_equal(in.session.stage, SESSION_FULL);
	enrol(w, 1, FACTOR_TOTP);
	refused(w,
		set(w, &anna, "{\"required\":\"all\",\"administrator_methods\":[\"webauthn\"]}", 0,
		    &after),
		"self-lockout");
	ok(w, set(w, &anna, "{\"required\":\"all\"}", 2, &after));
	in = HERE(w, "n2 ben");
	assert_string_equal(in.refused, "2fa-not-configured");
	ok(w, set(w, &root, "{\"required\":\"all\",\"methods\":[\"webauthn\"]}", 0, &after));
	assert_int_equal(audited(w, "second-factor.set", "before"), 4);
	/* As stored, after a start. */
	world_close(w);
	open_world(w, BASE);
	in = HERE(w, "n1 anna");
	assert_string_equal(in.refused, "2fa-not-configured");
	world_check_audit(w);
}

static void test_file_says(void **state)
{
	struct world *w = *state;
	struct enforce_change change = { .organization = "acme" };
	struct enforce_state after;

	open_world(w,
		   BASE "second_factor: {required: administrators}\n"
			"organizations: [{name: acme, second_factor: {required: all}}, other]\n");
	assert_int_equal(get(w, "acme").policy.required, FACTOR_FOR_ALL);
	assert_int_equal(get(w, "acme").from, ENFORCE_FILE);
	assert_int_equal(get(w, "other").policy.required, FACTOR_FOR_ADMINISTRATORS);
	assert_int_equal(get(w, "default").policy.required, FACTOR_FOR_ADMINISTRATORS);
	refused(w, change_enforce_set(w->changer, &test_person, &change, w->arena, &after, &w->err),
		"managed-by-config");
	change.organization = "nowhere";
	assert_int_equal(
		change_enforce_set(w->changer, &test_person, &change, w->arena, &after, &w->err),
		-1);
	assert_int_equal(w->err.code, ERR_NOT_FOUND);
}

/* A reload puts another policy in force at once. */
static void test_reload(void **state)
{
	struct world *w = *state;
	struct login_outcome in;

	open_world(w, BASE);
	world_sync(w, "corp", PEOPLE, 0, NULL);
	in = HERE(w, "n2 ben");
	assert_int_equal(in.session.stage, SESSION_FULL);
	world_reload(w, BASE ALL, NULL);
	in = HERE(w, "n2 ben");
	assert_string_equal(in.refused, "2fa-not-configured");
	world_reload(w, BASE, NULL);
	in = HERE(w, "n2 ben");
	assert_int_equal(in.session.stage, SESSION_FULL);
}

static struct enforce_preview preview(struct world *w, const char *body, int64_t after,
				      size_t limit)
{
	AUTO(store) struct store *store = world_read(w);
	struct setup *setup = changer_setup(w->changer);
	struct factor_policy policy;
	struct enforce_preview out = { .required = -1 };
	int result = factor_policy_read(body, strlen(body), w->arena, &policy, &w->err);

	if (result == 0)
		result = change_enforce_preview(setup, store, "default", &policy, after, limit,
						w->arena, &out, &w->err);
	setup_release(setup);
	ok(w, result);
	return out;
}

static void test_preview(void **state)
{
	struct world *w = *state;
	struct enforce_preview out;

	open_world(
		w, RULES WIDE
		"sources: [{name: corp, type: ldif}, {name: idp, type: saml, proves_factor: true, "
		"link: {attribute: uid, source: corp, other: uid}}]\n");
	world_sync(w, "corp",
		   "k1 anna @admins\nk2 ben @sales\nk3 cleo\nk4 dora\nk5 eve !disabled\n", 0, NULL);
	HERE(w, "n3 cleo");
	enrol(w, 4, FACTOR_SMS);
	out = preview(w, "{\"required\":\"all\"}", 0, 10);
	assert_int_equal(out.required, 4);
	assert_int_equal(out.ready, 1);
	assert_int_equal(out.idp, 1);
	assert_int_equal(out.locked_out, 2);
	assert_int_equal(out.locked_out_administrators, 1);
	assert_int_equal(out.count, 3);
	assert_int_equal(out.next, 0);
	assert_string_equal(out.people[0].username, "anna");
	assert_true(out.people[0].is_administrator);
	assert_string_equal(out.people[2].username, "cleo");
	assert_true(out.people[2].idp);
	out = preview(w, "{\"required\":\"all\",\"methods\":[\"totp\"]}", 0, 2);
	assert_int_equal(out.locked_out, 3);
	assert_int_equal(out.count, 2);
	assert_int_equal(out.next, out.people[1].user_id);
	out = preview(w, "{\"required\":\"all\",\"methods\":[\"totp\"]}", out.next, 2);
	assert_int_equal(out.locked_out, 3);
	assert_int_equal(out.count, 2);
	assert_int_equal(out.next, 0);
	assert_string_equal(out.people[1].username, "dora");
	assert_int_equal(out.people[1].enrolled, FACTOR_BIT(FACTOR_SMS));
	out = preview(w, "{\"required\":\"chosen\",\"roles\":[\"sales\"]}", 0, 10);
	assert_int_equal(out.required, 1);
	assert_string_equal(out.people[0].username, "ben");
	out = preview(w, "{\"required\":\"nobody\"}", 0, 10);
	assert_int_equal(out.required, 0);
}

static void test_step_up_of_permissions(void **state)
{
	struct world *w = *state;
	struct setup *setup;
	int64_t age = 0;

	open_world(w,
		   BASE "second_factor: {step_up: [{permissions: ['users:*@all'], max_age: 10m}, "
			"{permissions: ['users:delete@all', 'roles:update@all'], max_age: 2m}]}\n");
	setup = changer_setup(w->changer);
	assert_true(change_step_up_max_age(setup, "users:update@all", &age));
	assert_int_equal(age, 600);
	assert_true(change_step_up_max_age(setup, "users:delete@all", &age));
	assert_int_equal(age, 120);
	assert_true(change_step_up_max_age(setup, "roles:update@all", &age));
	assert_false(change_step_up_max_age(setup, "roles:read@all", &age));

	static const char *const wide[] = { "roles:read@all", "*:*@all" };
	static const char *const narrow[] = { "roles:read@all", "users:read@own" };

	assert_true(change_step_up_within(setup, wide, 2, &age));
	assert_int_equal(age, 120);
	assert_true(change_step_up_within(setup, narrow, 2, &age));
	assert_int_equal(age, 600);
	assert_false(change_step_up_within(setup, narrow, 1, &age));
	assert_false(change_step_up_within(setup, narrow, 0, &age));
	setup_release(setup);
	/* That alone does not say who must prove one. */
	assert_int_equal(get(w, "default").from, ENFORCE_DEFAULT);
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
		TEST(test_administrators_keys),
		TEST(test_link_and_keys),
		TEST(test_grace),
		TEST(test_grace_by_date),
		TEST(test_grace_of_the_asked),
		TEST(test_devices),
		TEST(test_devices_end),
		TEST(test_no_devices_by_policy),
		TEST(test_set),
		TEST(test_file_says),
		TEST(test_reload),
		TEST(test_preview),
		TEST(test_step_up_of_permissions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
