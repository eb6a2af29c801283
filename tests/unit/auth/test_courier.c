/* Codes on their way: what is sent, what is said when it cannot be, how many at once, reload and stop meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rolebridge/auth/courier.h>
#include <rolebridge/base/util.h>

#include "../client/gateway.h"

#define TAKEN "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"

struct options {
	struct setup setup;
	struct web_settings web;
	struct located network;
	char sms_url[64], mail_url[64];
	bool destroyed;
};

static void destroy(struct setup *setup)
{
	((struct options *)setup->owner)->destroyed = true;
}

/* Port 0: not configured. */
static void options_make(struct options *options, uint16_t sms_port, uint16_t mail_port)
{
	*options = (struct options){ .network = { .text = "127.0.0.0/8" } };
	options->setup = (struct setup){ .references = 1, .destroy = destroy, .owner = options };
	options->web.public_url.text = "https://login.example.com/";
	options->web.outgoing.allowed_networks = (struct located_list){ 1, &options->network };
	options->web.sms.timeout_s = options->web.mail.timeout_s = courier_timeout_s;
	options->web.mail.from.text = "bridge@example.com";
	snprintf(options->sms_url, sizeof(options->sms_url), "http://127.0.0.1:%u/", sms_port);
	snprintf(options->mail_url, sizeof(options->mail_url), "smtp://127.0.0.1:%u", mail_port);
	if (sms_port)
		options->web.sms.url.text = options->sms_url;
	if (mail_port)
		options->web.mail.url.text = options->mail_url;
}

static const struct courier_code by_sms = {
	.way = COURIER_SMS, .to = "+491701234567", .code = "123456", .valid_s = 600
};
static const struct courier_code by_mail = { .way = COURIER_MAIL,
					     .to = "ada@example.com",
					     .to_name = "Ada",
					     .code = "123456",
					     .valid_s = 600 };

static struct courier *make_courier(struct options *options)
{
	struct err err = { 0 };
	struct courier *courier = courier_create(&err);

	assert_non_null(courier);
	courier_configure(courier, &options->setup, &options->web);
	return courier;
}

static void refused(struct courier *courier, const struct courier_code *code, const char *reason,
		    const char *about)
{
	struct err err = { 0 };

	assert_int_equal(courier_send(courier, code, &err), -1);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_string_equal(err.reason, reason);
	if (!strstr(err.text, about))
		fail_msg("%s", err.text);
	assert_null(strstr(err.text, "123456"));
	assert_null(strstr(err.text, "491701234567"));
}

static void test_sms(void **state)
{
	struct gateway *gateway = gateway_start(TAKEN);
	AUTO(strbuf) struct strbuf out = STRBUF(4096);
	struct options options;
	struct courier *courier;
	struct err err = { 0 };

	(void)state;
	options_make(&options, gateway_port(gateway), 0);
	courier = make_courier(&options);
	assert_true(courier_has(courier, COURIER_SMS));
	assert_false(courier_has(courier, COURIER_MAIL));
	if (courier_send(courier, &by_sms, &err) < 0)
		fail_msg("%s", err.text);
	assert_non_null(strstr(gateway_request(gateway),
			       "{\"to\":\"+491701234567\",\"text\":\"123456 is your code for "
			       "login.example.com. Please tell it to no one.\"}"));
	refused(courier, &by_mail, "mail-unavailable", "not configured");
	courier_metrics(courier, &out);
	assert_non_null(strstr(strbuf_text(&out), "rolebridge_codes_sent_total{by=\"sms\"} 1\n"));
	assert_non_null(
		strstr(strbuf_text(&out), "rolebridge_codes_failed_total{by=\"mail\"} 1\n"));
	courier_destroy(courier);
	assert_false(options.destroyed);
	setup_release(&options.setup);
	assert_true(options.destroyed);
	gateway_stop(gateway);
}

/* A port that is taken, and where nobody answers. */
static int closed_port(uint16_t *ret_port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	*ret_port = ntohs(address.sin_port);
	return fd;
}

static void test_down(void **state)
{
	struct gateway *gateway = gateway_start("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n");
	struct options failing, options;
	struct courier *courier;
	struct err err = { 0 };
	struct courier_code code = by_sms;
	uint16_t port;
	int fd = closed_port(&port);

	(void)state;
	options_make(&failing, gateway_port(gateway), 0);
	courier = make_courier(&failing);
	refused(courier, &by_sms, "sms-unavailable", "status 500");
	gateway_stop(gateway);
	options_make(&options, port, port);
	courier_configure(courier, &options.setup, &options.web);
	refused(courier, &by_sms, "sms-unavailable", "");
	refused(courier, &by_mail, "mail-unavailable", "");
	/* What is no number is that, whoever is there. */
	code.to = "not a number";
	assert_int_equal(courier_send(courier, &code, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	code = by_mail;
	code.to = "a@b@c\r\n";
	assert_int_equal(courier_send(courier, &code, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	courier_destroy(courier);
	close(fd);
}

static void test_not_configured(void **state)
{
	struct options options;
	struct courier *courier = courier_create(NULL);

	(void)state;
	assert_non_null(courier);
	assert_false(courier_has(courier, COURIER_SMS));
	refused(courier, &by_sms, "sms-unavailable", "not configured");
	options_make(&options, 9, 9);
	options.web.public_url.text = NULL;
	courier_configure(courier, &options.setup, &options.web);
	assert_false(courier_has(courier, COURIER_SMS));
	refused(courier, &by_sms, "sms-unavailable", "not configured");
	courier_destroy(courier);
}

struct sender {
	struct courier *courier;
	pthread_t thread;
	int status;
	struct err err;
};

static void *send_one(void *context)
{
	struct sender *sender = context;

	sender->status = courier_send(sender->courier, &by_sms, &sender->err);
	return NULL;
}

/* A gateway that hangs keeps so many waiting and no more; a reload or a stop meanwhile harms nobody. */
static void test_hangs(void **state)
{
	struct gateway *gateway = gateway_start(NULL), *other = gateway_start(TAKEN);
	struct sender senders[COURIER_AT_ONCE];
	struct options options, changed;
	struct courier *courier;
	struct courier_counts counts;
	struct err err = { 0 };

	(void)state;
	options_make(&options, gateway_port(gateway), 0);
	options_make(&changed, gateway_port(other), 0);
	courier = make_courier(&options);
	for (size_t i = 0; i < ARRAY_LEN(senders); i++) {
		senders[i] = (struct sender){ .courier = courier };
		assert_int_equal(pthread_create(&senders[i].thread, NULL, send_one, &senders[i]),
				 0);
	}
	gateway_wait(gateway, COURIER_AT_ONCE);
	refused(courier, &by_sms, "sms-unavailable", "as many as may be");
	courier_configure(courier, &changed.setup, &changed.web);
	setup_release(&options.setup);
	assert_false(options.destroyed);
	refused(courier, &by_sms, "sms-unavailable", "as many as may be");
	courier_counts(courier, &counts);
	assert_int_equal(counts.running[COURIER_SMS], COURIER_AT_ONCE);
	gateway_stop(gateway);
	for (size_t i = 0; i < ARRAY_LEN(senders); i++) {
		pthread_join(senders[i].thread, NULL);
		assert_int_equal(senders[i].status, -1);
		assert_string_equal(senders[i].err.reason, "sms-unavailable");
	}
	assert_true(options.destroyed);
	if (courier_send(courier, &by_sms, &err) < 0)
		fail_msg("%s", err.text);
	courier_destroy(courier);
	gateway_stop(other);
}

static void test_stop(void **state)
{
	struct gateway *gateway = gateway_start(NULL);
	struct sender sender;
	struct options options;

	(void)state;
	options_make(&options, gateway_port(gateway), 0);
	sender = (struct sender){ .courier = make_courier(&options) };
	assert_int_equal(pthread_create(&sender.thread, NULL, send_one, &sender), 0);
	gateway_wait(gateway, 1);
	courier_stop(sender.courier);
	pthread_join(sender.thread, NULL);
	assert_string_equal(sender.err.reason, "sms-unavailable");
	refused(sender.courier, &by_sms, "sms-unavailable", "stopping");
	assert_int_equal(gateway_count(gateway), 1);
	courier_destroy(sender.courier);
	gateway_stop(gateway);
}

int main(void)
{
	courier_timeout_s = 600; /* nothing here waits for it */

	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sms),
		cmocka_unit_test(test_down),
		cmocka_unit_test(test_not_configured),
		cmocka_unit_test(test_hangs),
		cmocka_unit_test(test_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
