/* The web side's options: defaults, and what each mistake is called. */
#include "support.h"

#include <string.h>

#include <rolebridge/base/util.h>

static void test_defaults(void **state)
{
	struct web_config config;
	const struct web_settings *web = &config.root.web;

	(void)state;
	web_config_load(&config, "profiles: [{name: staff}]\n");
	assert_string_equal(web_config_findings(&config), "");
	/* The catalogue's rows are read by the same table. */
	assert_int_equal(config.root.catalogue.profiles.count, 1);
	assert_null(web->public_url.text);
	assert_false(web->behind_tls_proxy);
	assert_int_equal(web->listeners.count, 0);
	assert_int_equal(web->sessions.idle_s, 3600);
	assert_int_equal(web->sessions.absolute_s, 12 * 3600);
	assert_int_equal(web->outgoing.timeout_s, 10);
	/* No second door for those who did not ask for one. */
	assert_false(web->passwords.enabled);
	assert_int_equal(web->passwords.min_length, 12);
	assert_int_equal(web->passwords.memory, 64 << 20);
	assert_int_equal(web->throttle.attempts, 5);
	assert_null(web->sms.url.text);
	web_config_finish(&config);
}

static void test_everything(void **state)
{
	struct web_config config;
	const struct listener_settings *listeners;
	const struct application_settings *application;

	(void)state;
	web_config_load(
		&config,
		"public_url: https://login.example.com/\n"
		"trusted_proxies: [10.0.0.0/8, '::1']\n"
		"listeners:\n"
		"  - unix:/run/rolebridge/web.sock\n"
		"  - {address: '[::]:443', certificate: /c.pem, private_key: /k.pem, threads: 3}\n"
		"  - {address: 'unix:/run/w2', group: www-data, connections_max: 100}\n"
		"  - systemd:web\n"
		"sessions: {idle: 10m, absolute: 1d}\n"
		"applications:\n"
		"  - name: crm\n"
		"    urls: ['https://crm.example.com', 'https://www.example.com:8443/crm/']\n"
		"    require: {profiles: [staff, manager], permissions: ['cases:read@all'],\n"
		"      second_factor: true, second_factor_max_age: 15m}\n"
		"    headers: rfc8187\n"
		"outgoing: {allowed_networks: [192.168.0.0/16], timeout: 3s}\n");
	assert_string_equal(web_config_findings(&config), "");
	listeners = config.root.web.listeners.items;
	application = config.root.web.applications.items;
	assert_int_equal(config.root.web.listeners.count, 4);
	assert_string_equal(listeners[0].address.text, "unix:/run/rolebridge/web.sock");
	assert_int_equal(listeners[0].connections_max, 4096);
	assert_int_equal(listeners[1].threads, 3);
	assert_string_equal(listeners[2].group.text, "www-data");
	assert_int_equal(config.root.web.sessions.idle_s, 600);
	assert_int_equal(application->urls.count, 2);
	assert_int_equal(application->headers, HEADER_RFC8187);
	assert_true(application->require.second_factor);
	assert_int_equal(application->require.second_factor_max_age_s, 900);
	assert_null(application->require.roles.items);
	web_config_finish(&config);
}

#define OWN "public_url: https://login.example.com\n"

static const struct {
	const char *name, *yaml, *findings;
} mistakes[] = {
	{ "http beyond loopback", "public_url: http://login.example.com\n", "1:13 https-needed\n" },
	{ "http behind a proxy", "public_url: http://login.example.com\nbehind_tls_proxy: true\n",
	  "" },
	{ "http on loopback", "public_url: http://127.0.0.1:8080\n", "" },
	{ "http on loopback by name", "public_url: http://login.localhost:8080\n", "" },
	{ "http on loopback, IPv6", "public_url: http://[::1]:8080\n", "" },
	{ "http on what begins like loopback", "public_url: http://127.0.0.1.example.com\n",
	  "1:13 https-needed\n" },
	{ "http on what begins like localhost", "public_url: http://localhost.example.com\n",
	  "1:13 https-needed\n" },
	{ "public_url with a path", "public_url: https://x.example/login\n", "1:13 invalid-url\n" },
	{ "public_url with a query", "public_url: https://x.example/?a\n", "1:13 invalid-url\n" },
	{ "public_url with a user", "public_url: https://a@x.example\n", "1:13 invalid-url\n" },
	{ "public_url without a scheme", "public_url: x.example\n", "1:13 invalid-url\n" },
	{ "listeners without public_url", "listeners: ['127.0.0.1:80']\n", "1:14 missing-key\n" },
	{ "certificate alone", OWN "listeners: [{address: '127.0.0.1:443', certificate: /c.pem}]\n",
	  "2:53 missing-key\n" },
	{ "key alone", OWN "listeners: [{address: '127.0.0.1:443', private_key: /c.pem}]\n",
	  "2:53 missing-key\n" },
	{ "address twice", OWN "listeners: ['127.0.0.1:80', '127.0.0.1:80']\n",
	  "2:30 duplicate-address\n" },
	{ "address without port", OWN "listeners: ['127.0.0.1']\n", "2:14 invalid-address\n" },
	{ "address by name", OWN "listeners: ['localhost:80']\n", "2:14 invalid-address\n" },
	{ "relative socket", OWN "listeners: ['unix:web.sock']\n", "2:14 invalid-address\n" },
	{ "group of a port", OWN "listeners: [{address: '127.0.0.1:80', group: www}]\n",
	  "2:46 invalid-value\n" },
	{ "network with host bits", "trusted_proxies: [10.0.0.1/8]\n", "1:19 invalid-network\n" },
	{ "no network", "outgoing: {allowed_networks: [intranet]}\n", "1:31 invalid-network\n" },
	{ "hashes that are cheap", "passwords: {memory: 16MiB, operations: 2}\n",
	  "1:12 weak-hashing (warning)\n" },
	{ "hashes as OWASP has them", "passwords: {memory: 19MiB, operations: 2}\n", "" },
	{ "words that are not there", "passwords: {common_file: /nonexistent/words}\n",
	  "1:26 unreadable-file (warning)\n" },
	{ "passwords of seven", "passwords: {min_length: 7}\n", "1:25 out-of-range\n" },
	{ "a queue that takes all threads", "passwords: {waiting: 25}\n", "1:22 out-of-range\n" },
	{ "delays that shrink", "throttle: {delay: 2m, delay_max: 1m}\n", "1:11 invalid-value\n" },
	{ "no attempts at all", "throttle: {attempts: 0}\n", "1:22 out-of-range\n" },
	{ "gateway without URL", "sms: {sender: Acme}\n", "1:6 missing-key\n" },
	{ "gateway by mail", "sms: {url: 'mailto:sms@example.com'}\n", "1:13 invalid-url\n" },
	{ "gateway that is told no number",
	  "sms: {url: 'https://s.example', fields: {text: '{text}'}}\n", "1:41 invalid-value\n" },
	{ "gateway that is told no text",
	  "sms: {url: 'https://s.example', fields: {a: ['{to}']}}\n", "1:41 invalid-value\n" },
	{ "gateway with fields",
	  "sms: {url: 'https://s.example', fields: {To: '{to}', m: 'x{text}'}}\n", "" },
	{ "two words of authorization",
	  "sms: {url: 'https://s.example', authorization: 'Bearer x'}\n", "1:49 invalid-value\n" },
	{ "application name twice",
	  "applications:\n- {name: a, urls: ['https://a.example']}\n"
	  "- {name: a, urls: ['https://b.example']}\n",
	  "3:10 duplicate-name\n" },
	{ "bad application name", "applications: [{name: A b, urls: ['https://a.example']}]\n",
	  "1:23 invalid-name\n" },
	{ "application without urls", "applications: [{name: a, urls: []}]\n",
	  "1:32 empty-value\n" },
	{ "url twice in two spellings",
	  "applications:\n- {name: a, urls: ['https://a.example/x/']}\n"
	  "- {name: b, urls: ['HTTPS://A.example:443/%78/']}\n",
	  "3:21 duplicate-url\n" },
	{ "the whole host twice",
	  "applications: [{name: a, urls: ['https://a.example', "
	  "'https://a.example/']}]\n",
	  "1:55 duplicate-url\n" },
	{ "a prefix and the page of that name",
	  "applications: [{name: a, urls: ['https://a.example/x', 'https://a.example/x/']}]\n",
	  "" },
	{ "http application", "applications: [{name: a, urls: ['http://a.example']}]\n",
	  "1:34 https-needed\n" },
	{ "path with dots", "applications: [{name: a, urls: ['https://a.example/x/../y/']}]\n",
	  "1:34 invalid-url\n" },
	{ "path with an encoded slash",
	  "applications: [{name: a, urls: ['https://a.example/x%2Fy']}]\n", "1:34 invalid-url\n" },
	{ "path with a query", "applications: [{name: a, urls: ['https://a.example/x?y']}]\n",
	  "1:34 invalid-url\n" },
	{ "the daemon's own host",
	  OWN "applications: [{name: a, urls: ['https://LOGIN.example.com/app/']}]\n",
	  "2:34 own-host\n" },
	{ "the daemon's own host, another port",
	  OWN "applications: [{name: a, urls: ['https://login.example.com:8443']}]\n",
	  "2:34 own-host (warning)\n" },
	{ "malformed permission",
	  "applications: [{name: a, urls: ['https://a.example'], require: {permissions: [read]}}]\n",
	  "1:79 invalid-permission\n" },
	{ "nothing to choose from",
	  "applications: [{name: a, urls: ['https://a.example'], require: {roles: []}}]\n",
	  "1:72 empty-value\n" },
	{ "age of a factor nobody asks for",
	  "applications: [{name: a, urls: ['https://a.example'], require: "
	  "{second_factor_max_age: 5m}}]\n",
	  "1:64 invalid-require\n" },
	{ "unknown encoding",
	  "applications: [{name: a, urls: ['https://a.example'], headers: latin1}]\n",
	  "1:64 unknown-value\n" },
};

static void test_mistakes(void **state)
{
	size_t failed = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(mistakes); i++) {
		struct web_config config;

		web_config_load(&config, mistakes[i].yaml);
		if (strcmp(web_config_findings(&config), mistakes[i].findings) != 0) {
			print_error("%s: found\n%s", mistakes[i].name,
				    web_config_findings(&config));
			failed++;
		}
		web_config_finish(&config);
	}
	assert_int_equal(failed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_everything),
		cmocka_unit_test(test_mistakes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
