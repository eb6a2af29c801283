/* Messages between core and ldap worker: what is sent comes back; what is cut, longer or odd is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <rolebridge/base/util.h>
#include <rolebridge/source/ldap.h>

#include "../../../daemon/source/ldap/output.h"
#include "../../../daemon/source/ldap/protocol.h"

static const struct wanted_attribute attributes[] = { { "cn", "cn" }, { "mail", "rfc822Mailbox" } };
static const struct wanted_group groups[] = { { 3, "cn=a" }, { 1, "cn=b" }, { 7, "" } };
static const char *members[] = { "member", "memberUid" };
static const char *disabled[] = { "nsAccountLock" };

static struct job sample_job(void)
{
	return (struct job){
		.now_s = -5,
		.transport = TRANSPORT_LDAPS,
		.url = "ldaps://ldap.example",
		.ca = "/etc/ca.pem",
		.bind_method = LDAP_SOURCE_BIND_EXTERNAL,
		.bind_dn = "cn=reader",
		.password_file = "secret",
		.certificate = "",
		.private_key = "",
		.users = { "ou=p", "(a=b)", LDAP_SOURCE_ONE_LEVEL },
		.groups = { "ou=g", "(c=d)", LDAP_SOURCE_BASE_ONLY },
		.key = "entryUUID",
		.members = { ARRAY_LEN(members), members },
		.disabled = { ARRAY_LEN(disabled), disabled },
		.page_size = 1000,
		.answer_ms = 30000,
		.ignore_referrals = true,
		.follow = FOLLOW_SYNC,
		.poll_ms = 1000,
		.keepalive_ms = 30000,
		.attributes = attributes,
		.attribute_count = ARRAY_LEN(attributes),
		.wanted = groups,
		.wanted_count = ARRAY_LEN(groups),
	};
}

/* The message's body, without its frame; type is checked. */
static struct reader body_of(const struct strbuf *frame, uint16_t type)
{
	struct reader in = reader_init(frame->data, frame->size);

	assert_false(strbuf_failed(frame));
	assert_int_equal(get_u32(&in), frame->size - 4);
	assert_int_equal(get_u16(&in), type);
	return in;
}

static void test_job_round_trip(void **state)
{
	AUTO(strbuf) struct strbuf frame = STRBUF(4096);
	AUTO(strbuf) struct strbuf again = STRBUF(4096);
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	struct job job = sample_job(), decoded;
	struct reader in;

	(void)state;
	job_encode(&job, &frame);
	in = body_of(&frame, PROTOCOL_JOB);
	assert_int_equal(job_decode(&in, arena, &decoded, NULL), 0);
	job_encode(&decoded, &again);
	assert_int_equal(again.size, frame.size);
	assert_memory_equal(again.data, frame.data, frame.size);
	assert_string_equal(decoded.attributes[1].from, "rfc822Mailbox");
	assert_int_equal(decoded.wanted[0].id, 3);
	assert_int_equal(decoded.now_s, -5);
}

static void test_job_cut_and_longer(void **state)
{
	AUTO(strbuf) struct strbuf frame = STRBUF(4096);
	struct job job = sample_job();
	struct reader whole;

	(void)state;
	job_encode(&job, &frame);
	strbuf_putc(&frame, '\0');
	whole = reader_init(frame.data + MESSAGE_HEADER_SIZE, frame.size - MESSAGE_HEADER_SIZE);
	for (const unsigned char *end = whole.at; end <= whole.end; end++) {
		AUTO(arena) struct arena *arena = arena_create(1 << 20);
		struct reader in = reader_init(whole.at, (size_t)(end - whole.at));
		struct job decoded = { .url = "untouched" };
		int expected = end == whole.end - 1 ? 0 : -1;
		assert_int_equal(job_decode(&in, arena, &decoded, NULL), expected);
		if (expected < 0)
			assert_string_equal(decoded.url, "untouched");
	}
}

static void test_job_refuses_disorder(void **state)
{
	static const struct wanted_attribute turned[] = { { "mail", "m" }, { "cn", "c" } };
	static const struct wanted_attribute twice[] = { { "cn", "m" }, { "cn", "c" } };
	static const struct wanted_attribute *const lists[] = { turned, twice };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		AUTO(strbuf) struct strbuf frame = STRBUF(4096);
		AUTO(arena) struct arena *arena = arena_create(1 << 20);
		struct job job = sample_job(), decoded;
		struct reader in;
		job.attributes = lists[i];
		job_encode(&job, &frame);
		in = body_of(&frame, PROTOCOL_JOB);
		assert_int_equal(job_decode(&in, arena, &decoded, NULL), -1);
	}
}

static void test_job_of_hostile_size(void **state)
{
	/* Claims a million wanted groups in a message of a few bytes. */
	AUTO(strbuf) struct strbuf frame = STRBUF(4096);
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	struct job job = sample_job(), decoded;
	struct err err = { 0 };
	struct reader in;

	(void)state;
	job.wanted_count = 0;
	job_encode(&job, &frame);
	frame.size--;
	put_varint(&frame, PROTOCOL_GROUPS_MAX);
	in = reader_init(frame.data + MESSAGE_HEADER_SIZE, frame.size - MESSAGE_HEADER_SIZE);
	assert_int_equal(job_decode(&in, arena, &decoded, &err), -1);
	frame.size -= 3;
	put_varint(&frame, (uint64_t)1 << 60);
	in = reader_init(frame.data + MESSAGE_HEADER_SIZE, frame.size - MESSAGE_HEADER_SIZE);
	assert_int_equal(job_decode(&in, arena, &decoded, &err), -1);
}

/* --- from the worker --- */

static int decode_any(uint16_t type, struct reader *in)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 16);
	enum protocol_phase phase;
	struct quarantined entry;
	struct protocol_group group;
	struct protocol_end end;
	struct protocol_mode mode;
	struct protocol_groups memberships;
	struct protocol_resume resume;
	struct protocol_step step;
	const char *key, *detail;
	size_t key_size;
	uint64_t entries;

	switch (type) {
	case PROTOCOL_MODE: return mode_decode(in, arena, &mode, NULL);
	case PROTOCOL_GROUPS: return groups_decode(in, arena, &memberships, NULL);
	case PROTOCOL_RESUME: return resume_decode(in, arena, &resume, NULL);
	case PROTOCOL_STEP: return step_decode(in, arena, &step, NULL);
	case PROTOCOL_BEGIN:
	case PROTOCOL_PULSE: return empty_decode(in, NULL);
	case PROTOCOL_GONE:
	case PROTOCOL_FETCH: return key_decode(in, &key, &key_size, NULL);
	case PROTOCOL_COMMIT: return commit_decode(in, &entries, NULL);
	case PROTOCOL_LOST:
	case PROTOCOL_RESTART: return trouble_decode(in, arena, &key, &detail, NULL);
	case PROTOCOL_PHASE: return phase_decode(in, &phase, NULL);
	case PROTOCOL_PROGRESS: return progress_decode(in, &entries, NULL);
	case PROTOCOL_QUARANTINE: return quarantine_decode(in, arena, &entry, NULL);
	case PROTOCOL_GROUP: return group_decode(in, &group, NULL);
	default: return end_decode(in, arena, &end, NULL);
	}
}

static void test_worker_messages_cut_and_longer(void **state)
{
	const struct quarantined entry = {
		"uid=a", "key", "invalid-utf8", "a value", "uid=a", false
	};
	const struct protocol_group group = { 5, true, 77 };
	const struct protocol_end end = { false, "size-limit", "server said so", 1, 2, 3 };
	const struct protocol_mode mode = { FOLLOW_USN, "active-directory", "cn=dc1 00ff" };
	static const uint32_t ids[] = { 0, 7, 4000, UINT32_MAX };
	const struct protocol_groups memberships = { "key", 3, true, ids, ARRAY_LEN(ids) };
	const struct protocol_resume resume = { TRANSPORT_LDAPS, "ldaps://b.example" };
	const struct protocol_step step = { STEP_TLS,
					    false,
					    "certificate-expired",
					    "it is over",
					    12,
					    { { FACT_SUBJECT, "cn=a", 0 },
					      { FACT_EXPIRES, NULL, -7 },
					      { FACT_COUNT, NULL, 3 } },
					    3 };
	static const uint16_t types[] = { PROTOCOL_PHASE,  PROTOCOL_PROGRESS, PROTOCOL_QUARANTINE,
					  PROTOCOL_GROUP,  PROTOCOL_END,      PROTOCOL_MODE,
					  PROTOCOL_GROUPS, PROTOCOL_GONE,     PROTOCOL_COMMIT,
					  PROTOCOL_LOST,   PROTOCOL_RESTART,  PROTOCOL_PULSE,
					  PROTOCOL_BEGIN,  PROTOCOL_FETCH,    PROTOCOL_RESUME,
					  PROTOCOL_STEP };
	struct strbuf frames[ARRAY_LEN(types)];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(frames); i++)
		frames[i] = STRBUF(4096);
	phase_encode(PHASE_USERS, &frames[0]);
	progress_encode(99, &frames[1]);
	quarantine_encode(&entry, &frames[2]);
	group_encode(&group, &frames[3]);
	end_encode(&end, &frames[4]);
	mode_encode(&mode, &frames[5]);
	groups_encode(&memberships, &frames[6]);
	key_encode(PROTOCOL_GONE, "key", 3, &frames[7]);
	commit_encode(12, &frames[8]);
	trouble_encode(PROTOCOL_LOST, "timeout", "no answer", &frames[9]);
	trouble_encode(PROTOCOL_RESTART, "group-vanished", "", &frames[10]);
	empty_encode(PROTOCOL_PULSE, &frames[11]);
	empty_encode(PROTOCOL_BEGIN, &frames[12]);
	key_encode(PROTOCOL_FETCH, "key", 3, &frames[13]);
	resume_encode(&resume, &frames[14]);
	step_encode(&step, &frames[15]);
	for (size_t i = 0; i < ARRAY_LEN(frames); i++) {
		struct reader body = body_of(&frames[i], types[i]);
		size_t size = (size_t)(body.end - body.at);
		strbuf_putc(&frames[i], '\0');
		for (size_t cut = 0; cut <= size + 1; cut++) {
			struct reader in = reader_init(frames[i].data + MESSAGE_HEADER_SIZE, cut);
			assert_int_equal(decode_any(types[i], &in), cut == size ? 0 : -1);
		}
		strbuf_finish(&frames[i]);
	}
}

static void put_step(struct strbuf *out, uint8_t kind, uint8_t ok, const char *reason)
{
	put_u8(out, kind);
	put_u8(out, ok);
	put_text(out, reason);
	put_text(out, "");
	put_u64(out, 1);
}

static void put_number(struct strbuf *out, uint8_t kind, int64_t number)
{
	put_u8(out, kind);
	put_i64(out, number);
}

static void test_step_of_a_hostile_worker(void **state)
{
	static const struct {
		const char *name;
		uint8_t kind, ok;
		const char *reason;
		struct {
			uint8_t kind;
			int64_t number;
		} facts[2];
		size_t count;
		int expected;
	} cases[] = {
		{ "well", STEP_ROOT, 1, "", { { 0 } }, 0, 0 },
		{ "not well", STEP_SAMPLE, 0, "busy", { { 0 } }, 0, 0 },
		{ "well, yet a reason", STEP_ROOT, 1, "busy", { { 0 } }, 0, -1 },
		{ "not well, without one", STEP_ROOT, 0, "", { { 0 } }, 0, -1 },
		{ "no such step", STEP_KINDS, 1, "", { { 0 } }, 0, -1 },
		{ "neither", STEP_ROOT, 2, "", { { 0 } }, 0, -1 },
		{ "facts", STEP_PEOPLE, 1, "", { { FACT_COUNT, 5 }, { FACT_AT_LEAST, 1 } }, 2, 0 },
		{ "facts out of order",
		  STEP_PEOPLE,
		  1,
		  "",
		  { { FACT_AT_LEAST, 1 }, { FACT_COUNT, 5 } },
		  2,
		  -1 },
		{ "one twice",
		  STEP_PEOPLE,
		  1,
		  "",
		  { { FACT_COUNT, 5 }, { FACT_COUNT, 5 } },
		  2,
		  -1 },
		{ "no such fact", STEP_PEOPLE, 1, "", { { FACT_KINDS, 5 } }, 1, -1 },
		{ "fewer than none", STEP_PEOPLE, 1, "", { { FACT_COUNT, -1 } }, 1, -1 },
		{ "neither yes nor no", STEP_PEOPLE, 1, "", { { FACT_AT_LEAST, 2 } }, 1, -1 },
		{ "a time before the epoch", STEP_TLS, 1, "", { { FACT_EXPIRES, -1 } }, 1, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(strbuf) struct strbuf body = STRBUF(4096);
		AUTO(arena) struct arena *arena = arena_create(1 << 16);
		struct protocol_step step;
		struct reader in;

		put_step(&body, cases[i].kind, cases[i].ok, cases[i].reason);
		put_varint(&body, cases[i].count);
		for (size_t f = 0; f < cases[i].count; f++)
			put_number(&body, cases[i].facts[f].kind, cases[i].facts[f].number);
		in = reader_init(body.data, body.size);
		if (step_decode(&in, arena, &step, NULL) != cases[i].expected)
			fail_msg("%s", cases[i].name);
	}
}

static void put_end(struct strbuf *out, uint8_t complete, const char *reason, const char *detail)
{
	put_u8(out, complete);
	put_text(out, reason);
	put_text(out, detail);
	for (int i = 0; i < 3; i++)
		put_u64(out, 0);
}

static void test_end_of_a_hostile_worker(void **state)
{
	static const struct {
		const char *name;
		uint8_t complete;
		const char *reason, *detail;
		int expected;
	} cases[] = {
		{ "complete", 1, "", "", 0 },
		{ "complete with a detail", 1, "", "two tries", 0 },
		{ "incomplete", 0, "size-limit", "x", 0 },
		{ "complete, yet a reason", 1, "size-limit", "", -1 },
		{ "incomplete without reason", 0, "", "x", -1 },
		{ "neither", 2, "x", "x", -1 },
		{ "reason with markup", 0, "<b>", "x", -1 },
		{ "reason in capitals", 0, "Size", "x", -1 },
		{ "reason too long", 0,
		  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "x", -1 },
		{ "detail with escape", 0, "busy", "\x1b[31m", -1 },
		{ "detail with line break", 0, "busy", "a\nb", -1 },
		{ "detail of invalid UTF-8", 0, "busy", "\xff", -1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(strbuf) struct strbuf body = STRBUF(4096);
		struct reader in;
		put_end(&body, cases[i].complete, cases[i].reason, cases[i].detail);
		in = reader_init(body.data, body.size);
		if (decode_any(PROTOCOL_END, &in) != cases[i].expected)
			fail_msg("%s", cases[i].name);
	}
}

static void test_odd_values(void **state)
{
	static const struct {
		const char *name;
		uint16_t type;
		unsigned char bytes[16];
		size_t size;
	} cases[] = {
		{ "unknown phase", PROTOCOL_PHASE, { PHASE_COUNT }, 1 },
		{ "group found twice over", PROTOCOL_GROUP, { 1, 0, 0, 0, 2 }, 13 },
		{ "members of a group not found", PROTOCOL_GROUP, { 1, 0, 0, 0, 0, 9 }, 13 },
		{ "quarantine without reason", PROTOCOL_QUARANTINE, { 0, 0, 0, 0 }, 4 },
		{ "mode off", PROTOCOL_MODE, { FOLLOW_OFF, 1, 'a', 0 }, 4 },
		{ "mode auto", PROTOCOL_MODE, { FOLLOW_AUTO, 1, 'a', 0 }, 4 },
		{ "mode unknown", PROTOCOL_MODE, { FOLLOW_TIMESTAMP + 1, 1, 'a', 0 }, 4 },
		{ "mode without vendor", PROTOCOL_MODE, { FOLLOW_SYNC, 0, 0 }, 3 },
		{ "groups of nobody", PROTOCOL_GROUPS, { 0, 1, 0 }, 3 },
		{ "groups neither complete nor not", PROTOCOL_GROUPS, { 1, 'k', 2, 0 }, 4 },
		{ "a group twice", PROTOCOL_GROUPS, { 1, 'k', 1, 2, 5, 0 }, 6 },
		{ "more groups than the message has", PROTOCOL_GROUPS, { 1, 'k', 1, 3, 5, 1 }, 6 },
		{ "ids past 32 bits",
		  PROTOCOL_GROUPS,
		  { 1, 'k', 1, 2, 0xff, 0xff, 0xff, 0xff, 0x0f, 1 },
		  10 },
		{ "a million groups in a few bytes",
		  PROTOCOL_GROUPS,
		  { 1, 'k', 1, 0x80, 0x80, 0x40, 0, 0 },
		  8 },
		{ "key of no byte", PROTOCOL_GONE, { 0 }, 1 },
		{ "key with NUL", PROTOCOL_GONE, { 2, 'a', 0 }, 3 },
		{ "key of invalid UTF-8", PROTOCOL_GONE, { 1, 0xff }, 2 },
		{ "lost without reason", PROTOCOL_LOST, { 0, 1, 'x' }, 3 },
		{ "restart with markup", PROTOCOL_RESTART, { 1, '<', 0 }, 3 },
		{ "resume by unknown transport", PROTOCOL_RESUME, { TRANSPORT_LOCAL + 1, 0 }, 2 },
		{ "text longer than the message", PROTOCOL_QUARANTINE, { 200, 1, 'a' }, 3 },
		{ "text of 2^63 bytes",
		  PROTOCOL_QUARANTINE,
		  { 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1 },
		  10 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct reader in = reader_init(cases[i].bytes, cases[i].size);
		if (decode_any(cases[i].type, &in) == 0)
			fail_msg("%s", cases[i].name);
	}
}

static void test_keys_have_a_limit(void **state)
{
	(void)state;
	for (size_t size = PROTOCOL_KEY_MAX; size <= PROTOCOL_KEY_MAX + 1; size++) {
		AUTO(strbuf) struct strbuf frame = STRBUF(4096);
		char key[PROTOCOL_KEY_MAX + 1];
		struct reader in;
		memset(key, 'k', sizeof(key));
		key_encode(PROTOCOL_GONE, key, size, &frame);
		in = body_of(&frame, PROTOCOL_GONE);
		assert_int_equal(decode_any(PROTOCOL_GONE, &in), size > PROTOCOL_KEY_MAX ? -1 : 0);
	}
}

static void test_groups_round_trip(void **state)
{
	static const uint32_t ids[] = { 3, 4, 300, UINT32_MAX };
	const struct protocol_groups sent = { "key", 3, false, ids, ARRAY_LEN(ids) };
	AUTO(strbuf) struct strbuf frame = STRBUF(4096);
	AUTO(arena) struct arena *arena = arena_create(1 << 16);
	struct protocol_groups got;
	struct reader in;

	(void)state;
	groups_encode(&sent, &frame);
	in = body_of(&frame, PROTOCOL_GROUPS);
	assert_int_equal(groups_decode(&in, arena, &got, NULL), 0);
	assert_int_equal(got.key_size, 3);
	assert_memory_equal(got.key, "key", 3);
	assert_false(got.complete);
	assert_int_equal(got.count, ARRAY_LEN(ids));
	assert_memory_equal(got.ids, ids, sizeof(ids));
}

static void test_long_texts_are_cut_between_characters(void **state)
{
	AUTO(strbuf) struct strbuf frame = STRBUF(1 << 16);
	AUTO(arena) struct arena *arena = arena_create(1 << 16);
	char text[PROTOCOL_TEXT_MAX + 16];
	struct protocol_end end = { .reason = "busy", .detail = text }, decoded;
	struct reader in;

	(void)state;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	memcpy(text + PROTOCOL_TEXT_MAX - 1, "\xc3\xa4", 2);
	end_encode(&end, &frame);
	in = body_of(&frame, PROTOCOL_END);
	assert_int_equal(end_decode(&in, arena, &decoded, NULL), 0);
	assert_int_equal(strlen(decoded.detail), PROTOCOL_TEXT_MAX - 1);
}

static void test_login_messages(void **state)
{
	static const struct {
		const char *name, *password;
		size_t size;
		int result;
	} cases[] = {
		{ "one byte", "x", 1, 0 },
		{ "not UTF-8", "\xff\xfe", 2, 0 },
		{ "none", "", 0, -1 },
		{ "with NUL", "a\0b", 3, -1 },
	};
	AUTO(strbuf) struct strbuf longest = STRBUF(1 << 16);
	const void *password;
	struct reader in;
	size_t size;
	bool right;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(strbuf) struct strbuf frame = STRBUF(1 << 16);

		login_encode(cases[i].password, cases[i].size, &frame);
		in = body_of(&frame, PROTOCOL_LOGIN);
		if (login_decode(&in, &password, &size, NULL) != cases[i].result)
			fail_msg("%s", cases[i].name);
		if (cases[i].result == 0)
			assert_memory_equal(password, cases[i].password, size);
	}
	for (size_t more = 0; more < 2; more++) {
		AUTO(strbuf) struct strbuf frame = STRBUF(1 << 16);

		for (strbuf_clear(&longest); longest.size < PROTOCOL_PASSWORD_MAX + more;)
			strbuf_puts(&longest, "x");
		login_encode(longest.data, longest.size, &frame);
		in = body_of(&frame, PROTOCOL_LOGIN);
		assert_int_equal(login_decode(&in, &password, &size, NULL), more ? -1 : 0);
	}
	for (unsigned char byte = 0; byte < 4; byte++) {
		in = reader_init(&byte, 1);
		assert_int_equal(verdict_decode(&in, &right, NULL), byte > 1 ? -1 : 0);
		if (byte <= 1)
			assert_int_equal(right, byte);
	}
	in = reader_init("\1\1", 2);
	assert_int_equal(verdict_decode(&in, &right, NULL), -1);
}

static void test_display(void **state)
{
	static const struct {
		const char *bytes;
		size_t size;
		const char *shown;
	} cases[] = {
		{ "cn=Zo\xc3\xab", 7, "cn=Zo\xc3\xab" },
		{ "a\nb\x7f", 4, "a\\x0ab\\x7f" },
		{ "a\0b", 3, "a\\x00b" },
		{ "\xff\xc3\xab", 3, "\\xff\\xc3\\xab" },
		{ "\xc2\x9b"
		  "31m",
		  5, "\\xc2\\x9b31m" },
		{ "", 0, "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(strbuf) struct strbuf shown = STRBUF(256);
		display_escape(&shown, cases[i].bytes, cases[i].size);
		assert_string_equal(strbuf_text(&shown), cases[i].shown);
	}
}

static void test_outcome_keeps_the_first_problem(void **state)
{
	struct outcome outcome = { 0 };

	(void)state;
	outcome_note(&outcome, "size-limit", "server said %s", "'no\n'");
	outcome_note(&outcome, "busy", "later");
	assert_true(outcome.incomplete);
	assert_string_equal(outcome.reason, "size-limit");
	assert_string_equal(outcome.detail, "server said 'no\\x0a'");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_job_round_trip),
		cmocka_unit_test(test_job_cut_and_longer),
		cmocka_unit_test(test_job_refuses_disorder),
		cmocka_unit_test(test_job_of_hostile_size),
		cmocka_unit_test(test_worker_messages_cut_and_longer),
		cmocka_unit_test(test_step_of_a_hostile_worker),
		cmocka_unit_test(test_end_of_a_hostile_worker),
		cmocka_unit_test(test_odd_values),
		cmocka_unit_test(test_keys_have_a_limit),
		cmocka_unit_test(test_groups_round_trip),
		cmocka_unit_test(test_long_texts_are_cut_between_characters),
		cmocka_unit_test(test_login_messages),
		cmocka_unit_test(test_display),
		cmocka_unit_test(test_outcome_keeps_the_first_problem),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
