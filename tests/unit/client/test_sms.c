/* SMS: numbers as people write them, what a gateway is sent, what it may answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/util.h>
#include <rolebridge/client/sms.h>

#include "gateway.h"

#define TAKEN "HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}"

static void test_numbers(void **state)
{
	static const struct {
		const char *text, *number; /* NULL: none */
	} cases[] = {
		{ "+491701234567", "+491701234567" },
		{ " +49 (170) 123-45.67 ", "+491701234567" },
		{ "0049 170/1234567", "+491701234567" },
		{ "+1 2345678", "+12345678" },
		{ "+123456789012345", "+123456789012345" },
		{ "+1234567890123456", NULL },
		{ "00999999999999999999", NULL },
		{ "+1234567", "+1234567" },
		{ "+123456", NULL },
		{ "0170 1234567", NULL },
		{ "1701234567", NULL },
		{ "+0491701234567", NULL },
		{ "++491701234567", NULL },
		{ "+49170123456x", NULL },
		{ "+49170;1234567", NULL },
		{ "+49 170 1234567\n", NULL },
		{ "+", NULL },
		{ "", NULL },
		{ "00", NULL },
		{ "+４９１７０１２３４５６７", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char number[SMS_NUMBER_SIZE] = "before";
		struct err err = { 0 };
		int status = sms_number_read(cases[i].text, number, &err);

		if ((status == 0) != (cases[i].number != NULL))
			fail_msg("'%s': %d", cases[i].text, status);
		assert_string_equal(number, cases[i].number ? cases[i].number : "before");
		if (status < 0)
			assert_string_equal(err.reason, "invalid-number");
	}
}

/* --- with a gateway --- */

#define TEXT(value) ((struct located){ .text = (value) })
#define VALUES(...) \
	{ \
		sizeof((const struct located[]){ __VA_ARGS__ }) / sizeof(struct located), \
			(const struct located[]) \
		{ \
			__VA_ARGS__ \
		} \
	}

struct sent {
	struct sms_settings settings;
	char url[64];
	struct located network;
	struct located_list networks;
	struct sms_delivery delivery;
};

static void prepare(struct sent *sent, uint16_t port)
{
	*sent = (struct sent){ .network = TEXT("127.0.0.0/8") };
	snprintf(sent->url, sizeof(sent->url), "http://127.0.0.1:%u/send?v=1", port);
	sent->settings.url.text = sent->url;
	sent->settings.timeout_s = 600; /* nothing here waits for it */
	sent->networks = (struct located_list){ 1, &sent->network };
	sent->delivery = (struct sms_delivery){ .gateway = &sent->settings,
						.allowed_networks = &sent->networks,
						.number = "+491701234567",
						.text = "123456 is & \"yours\" {to}" };
}

static const char *body_of(struct gateway *gateway)
{
	const char *end = strstr(gateway_request(gateway), "\r\n\r\n");

	assert_non_null(end);
	return end + 4;
}

static void send_well(struct sent *sent)
{
	struct err err = { 0 };

	if (sms_send(&sent->delivery, &err) < 0)
		fail_msg("%s", err.text);
}

static void test_requests(void **state)
{
	const struct pair fields[] = {
		{ .name = { .text = "To" }, .values = VALUES(TEXT("tel:{to}")) },
		{ .name = { .text = "a&b" }, .values = VALUES(TEXT("{text}")) },
		{ .name = { .text = "all" }, .values = VALUES(TEXT("{to}"), TEXT("x{sender}")) },
		{ .name = { .text = "none" }, .values = { 0, NULL } },
	};
	struct gateway *gateway = gateway_start(TAKEN);
	struct sent sent;

	(void)state;
	prepare(&sent, gateway_port(gateway));
	send_well(&sent);
	assert_memory_equal(gateway_request(gateway), "POST /send?v=1 HTTP/1.1\r\n", 25);
	assert_non_null(strstr(gateway_request(gateway), "\r\nContent-Type: application/json\r\n"));
	assert_null(strstr(gateway_request(gateway), "Authorization"));
	assert_string_equal(
		body_of(gateway),
		"{\"to\":\"+491701234567\",\"text\":\"123456 is & \\\"yours\\\" {to}\"}");

	sent.settings.sender.text = "Acme";
	send_well(&sent);
	assert_string_equal(body_of(gateway), "{\"to\":\"+491701234567\",\"text\":\"123456 is & "
					      "\\\"yours\\\" {to}\",\"sender\":\"Acme\"}");

	sent.settings.fields = (struct pair_list){ .count = ARRAY_LEN(fields), .items = fields };
	send_well(&sent);
	assert_string_equal(body_of(gateway),
			    "{\"To\":\"tel:+491701234567\",\"a&b\":\"123456 is & \\\"yours\\\" "
			    "{to}\",\"all\":[\"+491701234567\",\"xAcme\"],\"none\":[]}");

	sent.settings.format = SMS_FORM;
	send_well(&sent);
	assert_non_null(strstr(gateway_request(gateway),
			       "\r\nContent-Type: application/x-www-form-urlencoded\r\n"));
	assert_string_equal(body_of(gateway),
			    "To=tel%3A%2B491701234567&a%26b=123456%20is%20%26%20%22yours%22%20%"
			    "7Bto%7D&all=%2B491701234567&all=xAcme");
	gateway_stop(gateway);
}

static void write_token(char *path, const char *text)
{
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(fchmod(fd, 0600), 0);
	close(fd);
}

static void test_tokens(void **state)
{
	char path[] = "/tmp/rolebridge-token-XXXXXX";
	struct gateway *gateway = gateway_start(TAKEN);
	struct err err = { 0 };
	struct sent sent;

	(void)state;
	write_token(path, "someone:s3cret\n");
	prepare(&sent, gateway_port(gateway));
	sent.settings.token_file.text = path;
	send_well(&sent);
	assert_non_null(
		strstr(gateway_request(gateway), "\r\nAuthorization: Bearer someone:s3cret\r\n"));
	sent.settings.scheme.text = "Basic";
	send_well(&sent);
	assert_non_null(strstr(gateway_request(gateway),
			       "\r\nAuthorization: Basic c29tZW9uZTpzM2NyZXQ=\r\n"));
	/* Nothing is sent with a token that cannot be read, or is no header. */
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(sms_send(&sent.delivery, &err), -1);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_null(strstr(err.text, "s3cret"));
	unlink(path);
	memcpy(strrchr(path, '-'), "-XXXXXX", 8);
	write_token(path, "s3cret\r\nX-Evil: 1");
	sent.settings.scheme.text = "Bearer";
	assert_int_equal(sms_send(&sent.delivery, &err), -1);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_null(strstr(err.text, "s3cret"));
	assert_int_equal(gateway_count(gateway), 2);
	unlink(path);
	gateway_stop(gateway);
}

static void test_answers(void **state)
{
	static const struct {
		const char *answer;
		bool taken;
	} cases[] = {
		{ "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true },
		{ "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", true },
		{ "HTTP/1.1 204 No Content\r\n\r\n", true },
		{ "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n",
		  false },
		{ "HTTP/1.1 400 Bad\r\nContent-Length: 10\r\n\r\ntop secret", false },
		{ "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", false },
		{ "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", false },
		{ "no HTTP at all", false },
		{ "", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct gateway *gateway = gateway_start(cases[i].answer);
		struct err err = { 0 };
		struct sent sent;
		int status;

		prepare(&sent, gateway_port(gateway));
		status = sms_send(&sent.delivery, &err);
		if ((status == 0) != cases[i].taken)
			fail_msg("'%s': %d %s", cases[i].answer, status, err.text);
		if (status < 0) {
			assert_int_equal(err.code, ERR_UNAVAILABLE);
			assert_null(strstr(err.text, "top secret"));
			assert_null(strstr(err.text, "491701234567"));
			assert_null(strstr(err.text, "123456"));
		}
		assert_int_equal(gateway_count(gateway), 1);
		gateway_stop(gateway);
	}
}

static bool always(void *context)
{
	(void)context;
	return true;
}

static void test_refused(void **state)
{
	struct gateway *gateway = gateway_start(NULL);
	struct err err = { 0 };
	char huge[SMS_TEXT_MAX + 2];
	struct sent sent;

	(void)state;
	memset(huge, 'x', sizeof(huge));
	huge[sizeof(huge) - 1] = '\0';
	prepare(&sent, gateway_port(gateway));
	/* Loopback is private: only where it is allowed. */
	sent.networks.count = 0;
	assert_int_equal(sms_send(&sent.delivery, &err), -1);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	prepare(&sent, gateway_port(gateway));
	sent.delivery.number = "0170 1234567";
	assert_int_equal(sms_send(&sent.delivery, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	sent.delivery.number = "+491701234567";
	sent.delivery.text = huge;
	assert_int_equal(sms_send(&sent.delivery, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	sent.delivery.text = "\xff";
	assert_int_equal(sms_send(&sent.delivery, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	sent.delivery.text = "fine";
	sent.settings.url.text = NULL;
	assert_int_equal(sms_send(&sent.delivery, &err), -1);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_int_equal(gateway_count(gateway), 0);
	/* Asked to give up while it waits. */
	sent.settings.url.text = sent.url;
	sent.delivery.cancelled = always;
	assert_int_equal(sms_send(&sent.delivery, &err), -1);
	assert_int_equal(err.code, ERR_CANCELLED);
	gateway_stop(gateway);
}

static void test_no_memory(void **state)
{
	struct gateway *gateway = gateway_start(TAKEN);
	struct sent sent;
	bool failed = true;

	(void)state;
	prepare(&sent, gateway_port(gateway));
	for (long n = 0; failed && n < 100; n++) {
		struct err err = { 0 };
		int status;

		alloc_fail_after(n);
		status = sms_send(&sent.delivery, &err);
		failed = alloc_fail_after(-1) < 0;
		if (failed && status < 0)
			assert_int_equal(err.code, ERR_UNAVAILABLE);
		if (!failed)
			assert_int_equal(status, 0);
	}
	assert_false(failed);
	gateway_stop(gateway);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers), cmocka_unit_test(test_requests),
		cmocka_unit_test(test_tokens),	cmocka_unit_test(test_answers),
		cmocka_unit_test(test_refused), cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
