/* Security keys: what is asked, answers that are good, and every way in which one is not. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "authenticator.h"
#include "ticket_world.h"

#define NOW 1800000000
#define SESSION 77
#define LATER (NOW + 899)

static struct webauthn_asking asking(struct ticket_world *world)
{
	return (struct webauthn_asking){ &world->site, world->tickets, SESSION, NOW };
}

static const char *asked(struct ticket_world *world, enum challenge_purpose purpose)
{
	AUTO(strbuf) struct strbuf out = STRBUF(8192);
	struct webauthn_person person = { world->user, "anna", "Anna" };
	struct webauthn_bytes known = { (const unsigned char *)"abc", 3 };
	struct webauthn_asking ask = asking(world);

	if (purpose == CHALLENGE_ENROL)
		assert_int_equal(webauthn_options_create(&ask, &person, &known, 1, &out, NULL), 0);
	else
		assert_int_equal(webauthn_options_get(&ask, &known, 1, &out, NULL), 0);
	return challenge_of(strbuf_text(&out), world->arena);
}

/* Enrolled, as it would stand in the store. */
static struct webauthn_credential enrolled(struct ticket_world *world,
					   struct authenticator *authenticator)
{
	struct saying saying = { .challenge = asked(world, CHALLENGE_ENROL) };
	struct webauthn_credential credential;
	struct webauthn_asking ask = asking(world);
	struct webauthn_answer answer;

	authenticator_create(authenticator, &world->site, &saying, world->arena, &answer);
	if (webauthn_register(&ask, &answer, world->arena, &credential, &world->err) < 0)
		fail_msg("%s", world->err.text);
	return credential;
}

/* ------------------------------------------------------------------------ site */

static void test_site(void **state)
{
	static const struct {
		const char *url, *origin, *id; /* origin NULL: no credentials there */
	} rows[] = {
		{ "https://login.example.com", "https://login.example.com", "login.example.com" },
		{ "https://LOGIN.example.com:8443/x", "https://login.example.com:8443",
		  "login.example.com" },
		{ "http://localhost:8080", "http://localhost:8080", "localhost" },
		{ "http://login.localhost", "http://login.localhost", "login.localhost" },
		{ "http://login.example.com", NULL, NULL },
		{ "https://192.0.2.1", NULL, NULL },
		{ "https://[2001:db8::1]:8443", NULL, NULL },
		{ "http://127.0.0.1:8080", NULL, NULL },
	};
	struct ticket_world *world = *state;
	struct webauthn_site site;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int status = webauthn_site_make(rows[i].url, world->arena, &site, &world->err);

		if (rows[i].origin) {
			assert_int_equal(status, 0);
			assert_string_equal(site.origin, rows[i].origin);
			assert_string_equal(site.id, rows[i].id);
		} else {
			assert_int_equal(status, -1);
			assert_string_equal(err_reason(&world->err), "webauthn-unavailable");
		}
	}
}

/* --------------------------------------------------------------------- options */

static void test_options_create(void **state)
{
	struct ticket_world *world = *state;
	AUTO(strbuf) struct strbuf out = STRBUF(8192);
	struct webauthn_person person = { world->user, "anna", "" };
	struct webauthn_bytes known = { (const unsigned char *)"abc", 3 };
	struct webauthn_asking ask = asking(world);
	const char *text;

	assert_int_equal(webauthn_options_create(&ask, &person, &known, 1, &out, NULL), 0);
	text = strbuf_text(&out);
	assert_non_null(strstr(text, "\"rp\":{\"id\":\"login.example.com\""));
	assert_non_null(strstr(text,
			       "\"user\":{\"id\":\"c2l4dGVlbiBieXRlcyBvZg\",\"name\":\"anna\","
			       "\"displayName\":\"anna\"}"));
	assert_non_null(
		strstr(text, "\"excludeCredentials\":[{\"type\":\"public-key\",\"id\":\"YWJj\"}]"));
	assert_non_null(strstr(text, "{\"type\":\"public-key\",\"alg\":-7}"));
	assert_non_null(strstr(text, "{\"type\":\"public-key\",\"alg\":-8}"));
	assert_non_null(strstr(text, "{\"type\":\"public-key\",\"alg\":-257}"));
	assert_non_null(strstr(text, "\"attestation\":\"none\""));
}

static void test_options_get(void **state)
{
	struct ticket_world *world = *state;
	AUTO(strbuf) struct strbuf out = STRBUF(8192), small = STRBUF(100);
	struct webauthn_bytes known = { (const unsigned char *)"abc", 3 };
	struct webauthn_bytes long_id = { (const unsigned char *)"", WEBAUTHN_ID_MAX + 1 };
	struct webauthn_asking ask = asking(world);

	assert_int_equal(webauthn_options_get(&ask, NULL, 0, &out, &world->err), -1);
	assert_int_equal(world->err.code, ERR_NOT_FOUND);
	assert_int_equal(out.size, 0);
	assert_int_equal(webauthn_options_get(&ask, &known, 1, &out, NULL), 0);
	assert_non_null(strstr(strbuf_text(&out),
			       "\"rpId\":\"login.example.com\",\"allowCredentials\":"
			       "[{\"type\":\"public-key\",\"id\":\"YWJj\"}]"));
	assert_int_equal(webauthn_options_get(&ask, &known, 1, &small, &world->err), -1);
	assert_int_equal(world->err.code, ERR_TOO_LARGE);
	assert_int_equal(webauthn_options_get(&ask, &long_id, 1, &out, &world->err), -1);
	assert_int_equal(world->err.code, ERR_TOO_LARGE);
}

/* ------------------------------------------------------------------- challenges */

static void test_challenges(void **state)
{
	struct ticket_world *world = *state;
	char text[TICKET_CHALLENGE_TEXT], other[TICKET_CHALLENGE_TEXT];
	int64_t until = 0;

	ticket_challenge(world->tickets, CHALLENGE_PROVE, SESSION, NOW + 10, text);
	ticket_challenge(world->tickets, CHALLENGE_PROVE, SESSION, NOW + 10, other);
	assert_string_not_equal(text, other);
	assert_int_equal(ticket_challenge_open(world->tickets, text, CHALLENGE_PROVE, SESSION,
					       NOW + 9, &until, NULL),
			 0);
	assert_int_equal(until, NOW + 10);
	assert_int_equal(ticket_challenge_open(world->tickets, text, CHALLENGE_PROVE, SESSION,
					       NOW + 10, &until, &world->err),
			 -1);
	assert_string_equal(err_reason(&world->err), "expired");
	assert_int_equal(ticket_challenge_open(world->tickets, text, CHALLENGE_ENROL, SESSION, NOW,
					       &until, NULL),
			 -1);
	assert_int_equal(ticket_challenge_open(world->tickets, text, CHALLENGE_PROVE, SESSION + 1,
					       NOW, &until, NULL),
			 -1);
	assert_int_equal(ticket_challenge_open(world->tickets, "", CHALLENGE_PROVE, SESSION, NOW,
					       &until, NULL),
			 -1);
	for (size_t i = 0; text[i]; i++) {
		char was = text[i];

		text[i] = was == 'A' ? 'B' : 'A';
		assert_int_equal(ticket_challenge_open(world->tickets, text, CHALLENGE_PROVE,
						       SESSION, NOW, &until, NULL),
				 -1);
		text[i] = was;
	}
}

/* ----------------------------------------------------------------- registration */

static void test_register(void **state)
{
	static const int algorithms[] = { -7, -8, -257 };
	static const unsigned flags[] = { 0, SAY_PACKED, SAY_CERTIFIED, SAY_UV | SAY_EXTENSIONS };
	struct ticket_world *world = *state;
	struct webauthn_asking ask = asking(world);

	for (size_t i = 0; i < ARRAY_LEN(algorithms) * ARRAY_LEN(flags); i++) {
		struct authenticator authenticator;
		struct webauthn_credential credential;
		struct webauthn_answer answer;
		struct saying saying = { .challenge = asked(world, CHALLENGE_ENROL),
					 .flags = flags[i % ARRAY_LEN(flags)] };

		authenticator_init(&authenticator, algorithms[i / ARRAY_LEN(flags)]);
		authenticator.counter = 9;
		authenticator_create(&authenticator, &world->site, &saying, world->arena, &answer);
		err_clear(&world->err);
		if (webauthn_register(&ask, &answer, world->arena, &credential, &world->err) < 0)
			fail_msg("%zu: %s", i, world->err.text);
		assert_int_equal(credential.id.size, 32);
		assert_memory_equal(credential.id.data, authenticator.id, 32);
		assert_int_equal(credential.counter, 9);
		assert_int_equal(credential.user_verified, (saying.flags & SAY_UV) != 0);
		assert_memory_equal(credential.model.byte, "0123456789abcdef", 16);
		assert_true(credential.key.size <= WEBAUTHN_KEY_MAX);
		assert_string_equal(credential.used.name, saying.challenge);
		assert_int_equal(credential.used.until_s, NOW + 900);
		authenticator_finish(&authenticator);
	}
}

/* COSE keys that were not asked for, of 32 bytes of nothing. */
#define ZERO32 "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
#define COSE(text) (const unsigned char *)(text), sizeof(text) - 1
static const char es384[] =
	"\xa5\x01\x02\x03\x38\x22\x20\x02\x21\x58\x20" ZERO32 "\x22\x58\x20" ZERO32;
static const char off_curve[] =
	"\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20" ZERO32 "\x22\x58\x20" ZERO32;
static const char wrong_curve[] =
	"\xa5\x01\x02\x03\x26\x20\x02\x21\x58\x20" ZERO32 "\x22\x58\x20" ZERO32;
static const char short_point[] = "\xa5\x01\x02\x03\x26\x20\x01\x21\x41\x00\x22\x58\x20" ZERO32;
static const char no_algorithm[] = "\xa2\x01\x02\x20\x01";
static const char open_length[] = "\xbf\x01\x02\xff";
static const char key_twice[] = "\xa3\x01\x01\x03\x27\x01\x01";

struct spoilt {
	const char *name;
	struct saying saying;
	const char *reason;
};

static const struct spoilt spoilt_creations[] = {
	{ "another type", { .type = "webauthn.get" }, "webauthn-type" },
	{ "another origin", { .origin = "https://login.example.org" }, "webauthn-origin" },
	{ "plain http", { .origin = "http://login.example.com" }, "webauthn-origin" },
	{ "another port", { .origin = "https://login.example.com:8443" }, "webauthn-origin" },
	{ "a domain above", { .origin = "https://example.com" }, "webauthn-origin" },
	{ "origin's beginning", { .origin = "https://login.example.com.evil" }, "webauthn-origin" },
	{ "framed", { .more = ",\"crossOrigin\":true" }, "webauthn-origin" },
	{ "framed by", { .more = ",\"topOrigin\":\"https://evil\"" }, "webauthn-origin" },
	{ "crossOrigin a text", { .more = ",\"crossOrigin\":\"no\"" }, "webauthn-malformed" },
	{ "type twice", { .more = ",\"type\":\"webauthn.create\"" }, "webauthn-malformed" },
	{ "no challenge of ours", { .challenge = "AAAA" }, "webauthn-challenge" },
	{ "client data empty", { .client = "{}" }, "webauthn-malformed" },
	{ "client data a list", { .client = "[]" }, "webauthn-malformed" },
	{ "client data broken", { .client = "{\"type\":" }, "webauthn-malformed" },
	{ "another RP", { .rp_id = "example.com" }, "webauthn-rp" },
	{ "nobody there", { .flags = SAY_NO_UP }, "webauthn-not-present" },
	{ "a byte too many", { .flags = SAY_LEFTOVER }, "webauthn-malformed" },
	{ "backed up, not eligible", { .flags = SAY_BACKED_UP }, "webauthn-malformed" },
	{ "format unknown", { .format = "fido-u2f" }, "webauthn-attestation" },
	{ "format none, with a statement",
	  { .format = "none", .flags = SAY_PACKED },
	  "webauthn-attestation" },
	{ "format packed, without", { .format = "packed" }, "webauthn-attestation" },
	{ "attestation: bad signature",
	  { .flags = SAY_PACKED | SAY_BAD_SIGN },
	  "webauthn-attestation" },
	{ "certified: bad signature",
	  { .flags = SAY_CERTIFIED | SAY_BAD_SIGN },
	  "webauthn-attestation" },
	{ "attestation: client data changed",
	  { .flags = SAY_PACKED | SAY_LATE_EDIT },
	  "webauthn-attestation" },
	{ "attestation: by another algorithm",
	  { .flags = SAY_PACKED, .statement_algorithm = -257 },
	  "webauthn-attestation" },
	{ "attestation: by SHA-1",
	  { .flags = SAY_CERTIFIED, .statement_algorithm = -65535 },
	  "webauthn-attestation" },
	{ "ES384", { .cose = COSE(es384) }, "webauthn-algorithm" },
	{ "off the curve", { .cose = COSE(off_curve) }, "webauthn-algorithm" },
	{ "another curve", { .cose = COSE(wrong_curve) }, "webauthn-algorithm" },
	{ "a short point", { .cose = COSE(short_point) }, "webauthn-algorithm" },
	{ "no algorithm", { .cose = COSE(no_algorithm) }, "webauthn-algorithm" },
	{ "key of open length", { .cose = COSE(open_length) }, "webauthn-malformed" },
	{ "label twice", { .cose = COSE(key_twice) }, "webauthn-malformed" },
};

static void test_register_refused(void **state)
{
	struct ticket_world *world = *state;
	struct webauthn_asking ask = asking(world);
	struct authenticator authenticator;

	authenticator_init(&authenticator, -7);
	for (size_t i = 0; i < ARRAY_LEN(spoilt_creations); i++) {
		const struct spoilt *row = &spoilt_creations[i];
		struct saying saying = row->saying;
		struct webauthn_credential credential = { .counter = 4711 };
		struct webauthn_answer answer;

		if (!saying.challenge)
			saying.challenge = asked(world, CHALLENGE_ENROL);
		authenticator_create(&authenticator, &world->site, &saying, world->arena, &answer);
		err_clear(&world->err);
		if (webauthn_register(&ask, &answer, world->arena, &credential, &world->err) == 0)
			fail_msg("%s: not refused", row->name);
		if (strcmp(err_reason(&world->err), row->reason) != 0)
			fail_msg("%s: %s instead of %s", row->name, err_reason(&world->err),
				 row->reason);
		assert_int_equal(world->err.code, ERR_DENIED);
		assert_int_equal(credential.counter, 4711);
	}
	authenticator_finish(&authenticator);
}

/* Asked of others, or too long ago. */
static void test_challenge_of_others(void **state)
{
	static const struct {
		enum challenge_purpose purpose;
		int64_t session, now;
		bool good;
	} rows[] = {
		{ CHALLENGE_ENROL, SESSION, LATER, true },
		{ CHALLENGE_ENROL, SESSION, LATER + 1, false },
		{ CHALLENGE_ENROL, SESSION + 1, NOW, false },
		{ CHALLENGE_PROVE, SESSION, NOW, false },
	};
	struct ticket_world *world = *state;
	struct authenticator authenticator;

	authenticator_init(&authenticator, -8);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct saying saying = { .challenge = asked(world, rows[i].purpose) };
		struct webauthn_asking ask = asking(world);
		struct webauthn_credential credential;
		struct webauthn_answer answer;
		int status;

		ask.session_id = rows[i].session;
		ask.now_s = rows[i].now;
		authenticator_create(&authenticator, &world->site, &saying, world->arena, &answer);
		status = webauthn_register(&ask, &answer, world->arena, &credential, &world->err);
		assert_int_equal(status, rows[i].good ? 0 : -1);
		if (!rows[i].good)
			assert_string_equal(err_reason(&world->err), "webauthn-challenge");
	}
	authenticator_finish(&authenticator);
}

/* ------------------------------------------------------------------------ proof */

static void test_prove(void **state)
{
	static const int algorithms[] = { -7, -8, -257 };
	struct ticket_world *world = *state;
	struct webauthn_asking ask = asking(world);

	for (size_t i = 0; i < ARRAY_LEN(algorithms); i++) {
		struct saying saying = { .challenge = asked(world, CHALLENGE_PROVE),
					 .handle = "sixteen bytes of",
					 .flags = SAY_UV };
		struct authenticator authenticator;
		struct webauthn_credential credential;
		struct webauthn_answer answer;
		struct webauthn_bytes id;
		struct webauthn_proof proof;

		authenticator_init(&authenticator, algorithms[i]);
		credential = enrolled(world, &authenticator);
		authenticator.counter = 5;
		authenticator_get(&authenticator, &world->site, &saying, world->arena, &answer);
		assert_int_equal(webauthn_answer_id(&answer, world->arena, &id, NULL), 0);
		assert_memory_equal(id.data, authenticator.id, id.size);
		if (webauthn_prove(&ask, &answer, &world->user, &credential, world->arena, &proof,
				   &world->err) < 0)
			fail_msg("%zu: %s", i, world->err.text);
		assert_int_equal(proof.counter, 5);
		assert_true(proof.user_verified);
		assert_string_equal(proof.used.name, saying.challenge);
		authenticator_finish(&authenticator);
	}
}

static const struct spoilt spoilt_proofs[] = {
	{ "another type", { .type = "webauthn.create" }, "webauthn-type" },
	{ "another origin", { .origin = "https://login.example.org" }, "webauthn-origin" },
	{ "framed", { .more = ",\"crossOrigin\":true" }, "webauthn-origin" },
	{ "no challenge of ours", { .challenge = "AAAA" }, "webauthn-challenge" },
	{ "another RP", { .rp_id = "example.com" }, "webauthn-rp" },
	{ "nobody there", { .flags = SAY_NO_UP }, "webauthn-not-present" },
	{ "a byte too many", { .flags = SAY_LEFTOVER }, "webauthn-malformed" },
	{ "bad signature", { .flags = SAY_BAD_SIGN }, "webauthn-signature" },
	{ "client data changed", { .flags = SAY_LATE_EDIT }, "webauthn-signature" },
	{ "another's handle", { .handle = "sixteen bytes ok" }, "webauthn-credential" },
};

static void test_prove_refused(void **state)
{
	static const int algorithms[] = { -7, -8, -257 };
	struct ticket_world *world = *state;
	struct webauthn_asking ask = asking(world);

	for (size_t i = 0; i < ARRAY_LEN(spoilt_proofs) * ARRAY_LEN(algorithms); i++) {
		const struct spoilt *row = &spoilt_proofs[i / ARRAY_LEN(algorithms)];
		struct saying saying = row->saying;
		struct authenticator authenticator;
		struct webauthn_credential credential;
		struct webauthn_answer answer;
		struct webauthn_proof proof = { .counter = 4711 };

		authenticator_init(&authenticator, algorithms[i % ARRAY_LEN(algorithms)]);
		credential = enrolled(world, &authenticator);
		if (!saying.challenge)
			saying.challenge = asked(world, CHALLENGE_PROVE);
		authenticator.counter++;
		authenticator_get(&authenticator, &world->site, &saying, world->arena, &answer);
		if (webauthn_prove(&ask, &answer, &world->user, &credential, world->arena, &proof,
				   &world->err) == 0)
			fail_msg("%s: not refused", row->name);
		if (strcmp(err_reason(&world->err), row->reason) != 0)
			fail_msg("%s: %s instead of %s", row->name, err_reason(&world->err),
				 row->reason);
		assert_int_equal(proof.counter, 4711);
		authenticator_finish(&authenticator);
	}
}

static void test_counter(void **state)
{
	static const struct {
		uint32_t before, now;
		bool good;
	} rows[] = {
		{ 0, 0, true },	 { 0, 1, true },
		{ 5, 6, true },	 { UINT32_MAX - 1, UINT32_MAX, true },
		{ 5, 5, false }, { 5, 4, false },
		{ 5, 0, false }, { UINT32_MAX, 0, false },
	};
	struct ticket_world *world = *state;
	struct webauthn_asking ask = asking(world);
	struct authenticator authenticator;
	struct webauthn_credential credential;

	authenticator_init(&authenticator, -7);
	credential = enrolled(world, &authenticator);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct saying saying = { .challenge = asked(world, CHALLENGE_PROVE) };
		struct webauthn_answer answer;
		struct webauthn_proof proof;
		int status;

		credential.counter = rows[i].before;
		authenticator.counter = rows[i].now;
		authenticator_get(&authenticator, &world->site, &saying, world->arena, &answer);
		status = webauthn_prove(&ask, &answer, &world->user, &credential, world->arena,
					&proof, &world->err);
		assert_int_equal(status, rows[i].good ? 0 : -1);
		if (!rows[i].good)
			assert_string_equal(err_reason(&world->err), "webauthn-counter");
	}
	authenticator_finish(&authenticator);
}

/* Another key under the same id, and another id. */
static void test_foreign_credential(void **state)
{
	struct ticket_world *world = *state;
	struct webauthn_asking ask = asking(world);
	struct authenticator mine, theirs;
	struct webauthn_credential credential;
	struct webauthn_answer answer;
	struct webauthn_proof proof;
	struct saying saying = { .challenge = asked(world, CHALLENGE_PROVE) };

	authenticator_init(&mine, -7);
	authenticator_init(&theirs, -7);
	credential = enrolled(world, &mine);
	authenticator_get(&theirs, &world->site, &saying, world->arena, &answer);
	assert_int_equal(webauthn_prove(&ask, &answer, &world->user, &credential, world->arena,
					&proof, &world->err),
			 -1);
	assert_string_equal(err_reason(&world->err), "webauthn-credential");
	memcpy(theirs.id, mine.id, sizeof(mine.id));
	authenticator_get(&theirs, &world->site, &saying, world->arena, &answer);
	assert_int_equal(webauthn_prove(&ask, &answer, &world->user, &credential, world->arena,
					&proof, &world->err),
			 -1);
	assert_string_equal(err_reason(&world->err), "webauthn-signature");
	authenticator_finish(&mine);
	authenticator_finish(&theirs);
}

/* Each field missing, empty, cut at every length, of other characters, and too long. */
static void test_malformed_fields(void **state)
{
	struct ticket_world *world = *state;
	struct webauthn_asking ask = asking(world);
	struct authenticator authenticator;
	struct webauthn_credential credential, ignored;
	struct webauthn_answer made, got;
	struct webauthn_proof proof;
	struct saying saying = { .challenge = asked(world, CHALLENGE_ENROL), .flags = SAY_PACKED };
	char *huge = arena_alloc(world->arena, 100000);
	const char *field;

	memset(huge, 'A', 99999);
	authenticator_init(&authenticator, -7);
	authenticator_create(&authenticator, &world->site, &saying, world->arena, &made);
	credential = enrolled(world, &authenticator);
	saying.challenge = asked(world, CHALLENGE_PROVE);
	authenticator_get(&authenticator, &world->site, &saying, world->arena, &got);

#define create_refused() \
	assert_int_equal(webauthn_register(&ask, &made, world->arena, &ignored, NULL), -1)
#define get_refused() \
	assert_int_equal( \
		webauthn_prove(&ask, &got, &world->user, &credential, world->arena, &proof, NULL), \
		-1)
#define spoil(answer, member, refused) \
	do { \
		const char *bad[] = { NULL, "", "A", "AA==", "A A", "\xc3\xa4", huge }; \
		field = (answer).member; \
		for (size_t i = 0; i < ARRAY_LEN(bad); i++) { \
			(answer).member = bad[i]; \
			refused(); \
		} \
		for (size_t i = 0; i < strlen(field); i++) { \
			(answer).member = arena_strndup(world->arena, field, i); \
			refused(); \
		} \
		(answer).member = field; \
	} while (0)
	spoil(made, id, create_refused);
	spoil(made, client_data, create_refused);
	spoil(made, attestation, create_refused);
	spoil(got, id, get_refused);
	spoil(got, client_data, get_refused);
	spoil(got, authenticator_data, get_refused);
	spoil(got, signature, get_refused);
	got.user_handle = "A A";
	get_refused();
	got.user_handle = NULL;
	/* What was refused is good as it came. */
	assert_int_equal(webauthn_register(&ask, &made, world->arena, &ignored, NULL), 0);
	assert_int_equal(
		webauthn_prove(&ask, &got, &world->user, &credential, world->arena, &proof, NULL),
		0);
	authenticator_finish(&authenticator);
}

/* Every bit of what was signed counts. */
static void test_every_bit(void **state)
{
	struct ticket_world *world = *state;
	struct webauthn_asking ask = asking(world);
	struct authenticator authenticator;
	struct webauthn_credential credential;
	struct webauthn_answer answer;
	struct webauthn_proof proof;
	struct saying saying = { .challenge = asked(world, CHALLENGE_PROVE) };
	char *text;

	authenticator_init(&authenticator, -8);
	credential = enrolled(world, &authenticator);
	authenticator_get(&authenticator, &world->site, &saying, world->arena, &answer);
	text = arena_strdup(world->arena, answer.authenticator_data);
	answer.authenticator_data = text;
	for (size_t i = 0; text[i]; i++) {
		char was = text[i];

		text[i] = was == 'A' ? 'B' : 'A';
		assert_int_equal(webauthn_prove(&ask, &answer, &world->user, &credential,
						world->arena, &proof, NULL),
				 -1);
		text[i] = was;
	}
	assert_int_equal(webauthn_prove(&ask, &answer, &world->user, &credential, world->arena,
					&proof, NULL),
			 0);
	authenticator_finish(&authenticator);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define entry(name) \
	cmocka_unit_test_setup_teardown(name, ticket_world_set_up, ticket_world_tear_down)
		entry(test_site),
		entry(test_options_create),
		entry(test_options_get),
		entry(test_challenges),
		entry(test_register),
		entry(test_register_refused),
		entry(test_challenge_of_others),
		entry(test_prove),
		entry(test_prove_refused),
		entry(test_counter),
		entry(test_foreign_credential),
		entry(test_malformed_fields),
		entry(test_every_bit),
	};

	return cmocka_run_group_tests_name("webauthn", tests, NULL, NULL);
}
