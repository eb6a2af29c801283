/* Addresses and networks: one spelling each, and what leads inside is recognised in every disguise. */
#include <rolebridge/base/address.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include <rolebridge/base/util.h>

static void test_parse(void **state)
{
	static const struct {
		const char *text, *canonical; /* NULL: refused */
	} cases[] = {
		{ "192.0.2.1", "192.0.2.1" },
		{ "0.0.0.0", "0.0.0.0" },
		{ "::1", "::1" },
		{ "2001:DB8::0:1", "2001:db8::1" },
		{ "::ffff:10.0.0.1", "10.0.0.1" },
		{ "::FFFF:0a00:0001", "10.0.0.1" },
		{ "", NULL },
		{ "127.1", NULL },
		{ "0x7f.0.0.1", NULL },
		{ "127.0.0.01", NULL },
		{ "0177.0.0.1", NULL },
		{ "2130706433", NULL },
		{ "256.0.0.1", NULL },
		{ "1.2.3.4 ", NULL },
		{ " 1.2.3.4", NULL },
		{ "[::1]", NULL },
		{ "fe80::1%eth0", NULL },
		{ "localhost", NULL },
		{ "1:2:3:4:5:6:7:8:9", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[ADDRESS_TEXT_SIZE] = "";
		struct address address;
		struct err err = { 0 };
		int result = address_parse(cases[i].text, &address, &err);

		if (result == 0)
			address_format(&address, text);
		if ((result == 0) != (cases[i].canonical != NULL) ||
		    (cases[i].canonical && strcmp(text, cases[i].canonical) != 0))
			fail_msg("'%s' became '%s'", cases[i].text, text);
		if (result < 0)
			assert_int_equal(ERR_INVALID, err.code);
	}
}

static void test_port(void **state)
{
	static const struct {
		const char *text;
		int port; /* -1: refused */
		bool v6;
	} cases[] = {
		{ "127.0.0.1:80", 80, false },
		{ "[::]:443", 443, true },
		{ "[::1]:0", 0, true },
		{ "0.0.0.0:65535", 65535, false },
		{ "127.0.0.1", -1, false },
		{ "127.0.0.1:", -1, false },
		{ "127.0.0.1:65536", -1, false },
		{ "127.0.0.1:080", -1, false },
		{ "127.0.0.1:+80", -1, false },
		{ "127.0.0.1:80 ", -1, false },
		{ "::1:80", -1, false },
		{ "[::1]", -1, false },
		{ "[::1]80", -1, false },
		{ "[127.0.0.1]:80", -1, false },
		{ ":80", -1, false },
		{ "localhost:80", -1, false },
		{ "[]:80", -1, false },
		{ "[", -1, false },
		{ "[:80", -1, false },
		{ "", -1, false },
		{ "[::1:80", -1, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct address address;
		struct err err = { 0 };
		uint16_t port = 1;
		int result = address_parse_port(cases[i].text, &address, &port, &err);

		if ((result == 0) != (cases[i].port >= 0))
			fail_msg("'%s': %d", cases[i].text, result);
		if (result == 0 && (port != cases[i].port || address.v6 != cases[i].v6))
			fail_msg("'%s': port %u", cases[i].text, port);
	}
}

static void test_special(void **state)
{
	static const struct {
		const char *text, *kind; /* "": public */
	} cases[] = {
		{ "0.0.0.0", "unspecified" },
		{ "0.1.2.3", "unspecified" },
		{ "10.255.0.1", "private" },
		{ "11.0.0.1", "" },
		{ "100.64.0.1", "shared" },
		{ "100.127.255.255", "shared" },
		{ "100.128.0.1", "" },
		{ "127.255.255.254", "loopback" },
		{ "169.254.169.254", "link-local" },
		{ "172.15.255.255", "" },
		{ "172.16.0.1", "private" },
		{ "172.31.255.255", "private" },
		{ "172.32.0.1", "" },
		{ "192.168.1.1", "private" },
		{ "198.19.255.255", "reserved" },
		{ "203.0.113.7", "reserved" },
		{ "224.0.0.1", "multicast" },
		{ "255.255.255.255", "reserved" },
		{ "8.8.8.8", "" },
		{ "::", "unspecified" },
		{ "::1", "loopback" },
		{ "::2", "reserved" },
		{ "::127.0.0.1", "reserved" },
		{ "::ffff:127.0.0.1", "loopback" },
		{ "::ffff:8.8.8.8", "" },
		{ "64:ff9b::7f00:1", "loopback" },
		{ "64:ff9b::808:808", "" },
		{ "64:ff9b:1::1", "private" },
		{ "2002:0a00:0001::1", "private" },
		{ "2002:808:808::1", "" },
		{ "2001::1", "reserved" },
		{ "2001:db8::1", "reserved" },
		{ "2001:4860:4860::8888", "" },
		{ "fc00::1", "private" },
		{ "fdff::1", "private" },
		{ "fe80::1", "link-local" },
		{ "febf::1", "link-local" },
		{ "fec0::1", "private" },
		{ "ff02::1", "multicast" },
		{ "2a00:1450::1", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct address address;

		assert_int_equal(0, address_parse(cases[i].text, &address, NULL));

		const char *kind = address_special(&address);

		if (strcmp(kind ? kind : "", cases[i].kind) != 0)
			fail_msg("%s: '%s'", cases[i].text, kind ? kind : "");
		assert_int_equal(!kind, address_is_public(&address));
		assert_int_equal(strcmp(cases[i].kind, "loopback") == 0,
				 address_is_loopback(&address));
	}
}

static void test_networks(void **state)
{
	static const struct {
		const char *network, *address;
		int inside; /* -1: the network is refused */
	} cases[] = {
		{ "10.0.0.0/8", "10.255.255.255", 1 },
		{ "10.0.0.0/8", "11.0.0.0", 0 },
		{ "10.0.0.0/8", "::ffff:10.1.2.3", 1 },
		{ "192.0.2.128/25", "192.0.2.127", 0 },
		{ "192.0.2.128/25", "192.0.2.128", 1 },
		{ "192.0.2.1", "192.0.2.1", 1 },
		{ "192.0.2.1", "192.0.2.2", 0 },
		{ "192.0.2.1/32", "192.0.2.1", 1 },
		{ "0.0.0.0/0", "255.1.2.3", 1 },
		{ "0.0.0.0/0", "2001:db8::1", 0 },
		{ "::/0", "2001:db8::1", 1 },
		{ "::/0", "10.0.0.1", 0 },
		{ "fd00::/8", "fdff::1", 1 },
		{ "fd00::/8", "fe00::1", 0 },
		{ "2001:db8::/33", "2001:db8:8000::", 0 },
		{ "::1", "::1", 1 },
		{ "10.0.0.1/8", NULL, -1 },
		{ "10.0.0.0/33", NULL, -1 },
		{ "::/129", NULL, -1 },
		{ "10.0.0.0/", NULL, -1 },
		{ "10.0.0.0/08", NULL, -1 },
		{ "10.0.0.0/-1", NULL, -1 },
		{ "10.0.0.0/8/8", NULL, -1 },
		{ "10/8", NULL, -1 },
		{ "::ffff:10.0.0.0/104", NULL, -1 },
		{ "::ffff:10.0.0.0/8", NULL, -1 },
		{ "fd00::1/8", NULL, -1 },
		{ "", NULL, -1 },
		{ "/8", NULL, -1 },
		{ "localhost", NULL, -1 },
		{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/8", NULL,
		  -1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct address address;
		struct cidr cidr;
		struct err err = { 0 };
		int result = cidr_parse(cases[i].network, &cidr, &err);

		if ((result < 0) != (cases[i].inside < 0))
			fail_msg("'%s': %d %s", cases[i].network, result, err.text);
		if (result < 0)
			continue;
		assert_int_equal(0, address_parse(cases[i].address, &address, NULL));
		if (cidr_contains(&cidr, &address) != (cases[i].inside == 1))
			fail_msg("'%s' and '%s'", cases[i].network, cases[i].address);
	}
}

static void test_socket(void **state)
{
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr other = { .sa_family = AF_UNIX };
	struct address address, same;

	(void)state;
	v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_true(address_from_socket((struct sockaddr *)&v4, &address));
	assert_true(address_is_loopback(&address));
	assert_int_equal(1, inet_pton(AF_INET6, "::ffff:127.0.0.1", &v6.sin6_addr));
	assert_true(address_from_socket((struct sockaddr *)&v6, &same));
	assert_true(address_equal(&address, &same));
	assert_false(address_from_socket(&other, &address));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),	cmocka_unit_test(test_port),
		cmocka_unit_test(test_special), cmocka_unit_test(test_networks),
		cmocka_unit_test(test_socket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
