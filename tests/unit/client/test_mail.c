/* Mail as far as it goes without a server: what a message is, and what is none. */
#include <rolebridge/client/mail.h>

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include <rolebridge/base/util.h>

static struct mail_message message(void)
{
	return (struct mail_message){ .from = "bridge@acme.example",
				      .from_name = "Acme",
				      .to = "ada@acme.example",
				      .to_name = "Ada",
				      .subject = "Hello",
				      .body = "One line.\n",
				      .message_id = "0-1",
				      .date_s = 1800000000 };
}

static void test_message(void **state)
{
	AUTO(strbuf) struct strbuf out = STRBUF(65536);
	const struct mail_message plain = message();
	struct err err = { 0 };

	(void)state;
	assert_int_equal(mail_compose(&plain, &out, &err), 0);
	assert_string_equal(strbuf_text(&out), "Date: Fri, 15 Jan 2027 08:00:00 +0000\r\n"
					       "From: Acme\r\n <bridge@acme.example>\r\n"
					       "To: Ada\r\n <ada@acme.example>\r\n"
					       "Subject: Hello\r\n"
					       "Message-ID: <0-1@acme.example>\r\n"
					       "Auto-Submitted: auto-generated\r\n"
					       "MIME-Version: 1.0\r\n"
					       "Content-Type: text/plain; charset=utf-8\r\n"
					       "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
					       "One line.\r\n");
}

/* Each text as the name of the recipient, and what stands for it. */
static void test_names(void **state)
{
	static const struct {
		const char *name, *written;
	} cases[] = {
		{ "", "To: <" },
		{ "Ada Lovelace", "To: Ada Lovelace\r\n <" },
		{ "Ada, Countess", "To: =?UTF-8?Q?Ada=2C_Countess?=\r\n <" },
		{ "\"Ada\" <x@y.example>",
		  "To: =?UTF-8?Q?=22Ada=22_=3Cx=40y=2Eexample=3E?=\r\n <" },
		{ "M\xc3\xbcller", "To: =?UTF-8?Q?M=C3=BCller?=\r\n <" },
		{ "=?UTF-8?Q?x?=", "To: =?UTF-8?Q?=3D=3FUTF-8=3FQ=3Fx=3F=3D?=\r\n <" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(strbuf) struct strbuf out = STRBUF(65536);
		struct mail_message named = message();
		struct err err = { 0 };

		named.to_name = cases[i].name;
		assert_int_equal(mail_compose(&named, &out, &err), 0);
		if (!strstr(strbuf_text(&out), cases[i].written))
			fail_msg("%s: %s", cases[i].name, strbuf_text(&out));
	}
}

static void check_lines(const struct strbuf *out)
{
	size_t column = 0;

	for (size_t i = 0; i < out->size; i++) {
		unsigned char c = (unsigned char)out->data[i];

		assert_true(c < 0x7f && (c >= 0x20 || c == '\r' || c == '\n' || c == '\t'));
		assert_true((c == '\n') == (i > 0 && out->data[i - 1] == '\r'));
		column = c == '\n' ? 0 : column + 1;
		/* With the carriage return. */
		assert_true(column <= 79);
	}
}

/* No line is longer than it may be, and no character is torn apart. */
static void test_long(void **state)
{
	static char name[1000], body[100001];
	AUTO(strbuf) struct strbuf out = STRBUF(1 << 20);
	struct mail_message tall = message();
	struct err err = { 0 };

	(void)state;
	for (size_t i = 0; i + 3 < sizeof(name); i += 3)
		memcpy(name + i, "\xe2\x82\xac", 3);
	for (size_t i = 0; i + 1 < sizeof(body); i++)
		body[i] = "ab =."[i % 5];
	tall.to_name = tall.subject = name;
	tall.body = body;
	assert_int_equal(mail_compose(&tall, &out, &err), 0);
	check_lines(&out);
	assert_null(strstr(strbuf_text(&out), "=E2?="));
	assert_null(strstr(strbuf_text(&out), "=82?="));
}

static void test_body(void **state)
{
	static const struct {
		const char *body, *written;
	} cases[] = {
		{ "", "\r\n\r\n" },
		{ "a\nb", "\r\n\r\na\r\nb\r\n" },
		{ "a \n\tb\t\n", "\r\n\r\na=20\r\n\tb=09\r\n" },
		{ ".\n..\n", "\r\n\r\n.\r\n..\r\n" },
		{ "a\r\nb", "\r\n\r\na=0D\r\nb\r\n" },
		{ "=\x01\xc3\xa4", "\r\n\r\n=3D=01=C3=A4\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(strbuf) struct strbuf out = STRBUF(65536);
		struct mail_message written = message();
		struct err err = { 0 };
		size_t size = strlen(cases[i].written);

		written.body = cases[i].body;
		assert_int_equal(mail_compose(&written, &out, &err), 0);
		assert_true(out.size > size);
		assert_string_equal(out.data + out.size - size, cases[i].written);
		check_lines(&out);
	}
}

static void test_refused(void **state)
{
	static const struct {
		const char *what;
		size_t offset;
		const char *text;
	} cases[] = {
#define CASE(member, text) { #member, offsetof(struct mail_message, member), text }
		CASE(to, ""),
		CASE(to, "ada"),
		CASE(to, "ada@"),
		CASE(to, "@acme.example"),
		CASE(to, "a@b@c.example"),
		CASE(to, "a b@acme.example"),
		CASE(to, "ada@acme.example\r\nBcc: x@y.example"),
		CASE(to, "ada@acme.example\n"),
		CASE(to, "ada@acme.example>"),
		CASE(to, "<ada@acme.example"),
		CASE(to, "ada..b@acme.example"),
		CASE(to, ".ada@acme.example"),
		CASE(to, "ada@acme..example"),
		CASE(to, "ada@acme.example."),
		CASE(to, "\xc3\xa4@acme.example"),
		CASE(from, "bridge"),
		CASE(from_name, "A\nB"),
		CASE(to_name, "A\r\nBcc: x@y.example"),
		CASE(to_name, "A\x7f"),
		CASE(to_name, "\xff"),
		CASE(subject, "A\nB"),
		CASE(body, "\xff"),
		CASE(message_id, ""),
		CASE(message_id, "a b"),
		CASE(message_id, "a@b"),
		CASE(message_id, "a>\r\nBcc: x"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(strbuf) struct strbuf out = STRBUF(65536);
		struct mail_message bad = message();
		struct err err = { 0 };

		strbuf_puts(&out, "before");
		*(const char **)(void *)((char *)&bad + cases[i].offset) = cases[i].text;
		if (mail_compose(&bad, &out, &err) == 0)
			fail_msg("%s '%s' was taken", cases[i].what, cases[i].text);
		assert_int_equal(err.code, ERR_INVALID);
		assert_string_equal(strbuf_text(&out), "before");
	}
}

static void test_urls(void **state)
{
	static const struct {
		const char *url;
		bool good;
	} cases[] = {
		{ "smtp://mail.acme.example", true },
		{ "smtp://mail.acme.example:587", true },
		{ "smtps://[2001:db8::1]:465", true },
		{ "smtp://127.0.0.1:25/", true },
		{ "http://mail.acme.example", false },
		{ "smtp://", false },
		{ "smtp://user@mail.acme.example", false },
		{ "smtp://user:secret@mail.acme.example", false },
		{ "smtp://mail.acme.example/path", false },
		{ "smtp://mail.acme.example?x", false },
		{ "smtp://mail.acme.example#x", false },
		{ "smtp://mail.acme.example\r\nQUIT", false },
		{ "mail.acme.example", false },
		{ "", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err = { 0 };

		if ((mail_check_url(cases[i].url, &err) == 0) != cases[i].good)
			fail_msg("'%s': %s", cases[i].url, err.text);
		assert_null(strstr(err.text, "secret"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_message), cmocka_unit_test(test_names),
		cmocka_unit_test(test_long),	cmocka_unit_test(test_body),
		cmocka_unit_test(test_refused), cmocka_unit_test(test_urls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
