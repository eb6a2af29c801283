/*
 * Option tables of the web side and the checks that need more than one row. In: parsed
 * settings. Out: findings. Nothing else can fail.
 */
#include <rolebridge/auth/settings.h>

#include <string.h>

#include <rolebridge/base/address.h>
#include <rolebridge/base/hash.h>
#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/util.h>
#include <rolebridge/identity/names.h>
#include <rolebridge/rules/permission.h>

#include "path.h"
#include "url.h"

#define DAY_S 86400
#define LISTENERS_MAX 64
#define APPLICATIONS_MAX 1000
#define URLS_MAX 1000 /* of one application */
#define ADDRESS_BYTES_MAX 128

/* ------------------------------------------------------------------- tables */

static const struct option listener_options[] = {
	{ .name = "address",
	  .type = OPTION_STRING,
	  .flags = OPTION_REQUIRED | OPTION_NOT_EMPTY,
	  .max = ADDRESS_BYTES_MAX,
	  .offset = OPTION_FIELD(struct listener_settings, address),
	  .help = "'127.0.0.1:8080', '[::]:443', 'unix:/run/rolebridge/web.sock', or 'systemd:NAME' for a "
		  "socket that systemd hands over under that name." },
	{ .name = "certificate",
	  .type = OPTION_PATH,
	  .offset = OPTION_FIELD(struct listener_settings, certificate),
	  .help = "Certificate chain in PEM, for TLS. A changed file is taken at the next reload." },
	{ .name = "private_key",
	  .type = OPTION_PATH,
	  .offset = OPTION_FIELD(struct listener_settings, private_key),
	  .help = "The certificate's key in PEM, not readable by others." },
	{ .name = "group",
	  .type = OPTION_STRING,
	  .flags = OPTION_NOT_EMPTY,
	  .max = 32,
	  .offset = OPTION_FIELD(struct listener_settings, group),
	  .help = "Local group that may connect to a unix socket, such as the web server's. Not given: "
		  "the daemon's own user only." },
	{ .name = "threads",
	  .type = OPTION_INT,
	  .min = 0,
	  .max = 256,
	  .offset = OPTION_FIELD(struct listener_settings, threads),
	  .default_text = "0",
	  .help = "Threads that answer. 0: one for every two cores, at least 1." },
	{ .name = "connections_max",
	  .type = OPTION_INT,
	  .min = 16,
	  .max = 1000000,
	  .offset = OPTION_FIELD(struct listener_settings, connections_max),
	  .default_text = "4096",
	  .help = "Connections open at a time; those beyond are closed." },
	{ .name = NULL },
};

static const struct option_table listener_table = {
	.name = "listeners[]",
	.help = "Where sign-in, the question of the proxy and the API are served.",
	.struct_size = sizeof(struct listener_settings),
	.options = listener_options,
	.shorthand = "address",
};

static const struct option sessions_options[] = {
	{ .name = "idle",
	  .type = OPTION_SECONDS,
	  .min = 1,
	  .max = 30 * DAY_S,
	  .offset = OPTION_FIELD(struct sessions_settings, idle_s),
	  .default_text = "1h",
	  .help = "A session not used for so long has ended." },
	{ .name = "absolute",
	  .type = OPTION_SECONDS,
	  .min = 1,
	  .max = 365 * DAY_S,
	  .offset = OPTION_FIELD(struct sessions_settings, absolute_s),
	  .default_text = "12h",
	  .help = "A session this old has ended, used or not. The identity provider may say sooner." },
	{ .name = NULL },
};

static const struct option_table sessions_table = {
	.name = "sessions",
	.help = "How long people stay signed in.",
	.struct_size = sizeof(struct sessions_settings),
	.options = sessions_options,
};

static const struct option require_options[] = {
	{ .name = "profiles",
	  .type = OPTION_STRINGS,
	  .flags = OPTION_NOT_EMPTY,
	  .offset = OPTION_FIELD(struct require_settings, profiles),
	  .help = "Any of these profiles." },
	{ .name = "roles",
	  .type = OPTION_STRINGS,
	  .flags = OPTION_NOT_EMPTY,
	  .offset = OPTION_FIELD(struct require_settings, roles),
	  .help = "Any of these roles." },
	{ .name = "personas",
	  .type = OPTION_STRINGS,
	  .flags = OPTION_NOT_EMPTY,
	  .offset = OPTION_FIELD(struct require_settings, personas),
	  .help = "Any of these personas. A persona says how people work, not what they may do: better "
		  "a role." },
	{ .name = "groups",
	  .type = OPTION_STRINGS,
	  .flags = OPTION_NOT_EMPTY,
	  .offset = OPTION_FIELD(struct require_settings, groups),
	  .help = "Any of these local groups." },
	{ .name = "permissions",
	  .type = OPTION_STRINGS,
	  .flags = OPTION_NOT_EMPTY,
	  .offset = OPTION_FIELD(struct require_settings, permissions),
	  .help = "Any of these permissions (resource:verb@scope), by the profile or one of the roles." },
	{ .name = "second_factor",
	  .type = OPTION_BOOL,
	  .offset = OPTION_FIELD(struct require_settings, second_factor),
	  .default_text = "false",
	  .help = "A proven second factor." },
	{ .name = "second_factor_max_age",
	  .type = OPTION_SECONDS,
	  .min = 0,
	  .max = 365 * DAY_S,
	  .offset = OPTION_FIELD(struct require_settings, second_factor_max_age_s),
	  .default_text = "0",
	  .help = "Time since the second factor was proven. 0: any time in this session." },
	{ .name = NULL },
};

static const struct option_table require_table = {
	.name = "applications[].require",
	.help = "What a person needs: one item at least of each list that is given. Nothing given: being "
		"signed in.",
	.struct_size = sizeof(struct require_settings),
	.options = require_options,
};

/* In the order of enum header_encoding. */
static const char *const header_encodings[] = { "utf-8", "rfc8187", NULL };

static const struct option application_options[] = {
	{ .name = "name",
	  .type = OPTION_STRING,
	  .flags = OPTION_REQUIRED | OPTION_NOT_EMPTY,
	  .max = 64,
	  .offset = OPTION_FIELD(struct application_settings, name),
	  .help = "Short name: lower-case letters, digits, '.', '_', '-'." },
	{ .name = "urls",
	  .type = OPTION_STRINGS,
	  .flags = OPTION_REQUIRED | OPTION_NOT_EMPTY,
	  .max = URLS_MAX,
	  .offset = OPTION_FIELD(struct application_settings, urls),
	  .help = "What belongs to it: 'https://app.example.com' is the whole host; a path that ends in '/' "
		  "is all below it; another path is that one alone. The longest path decides." },
	{ .name = "require",
	  .type = OPTION_TABLE,
	  .table = &require_table,
	  .offset = OPTION_FIELD(struct application_settings, require),
	  .help = "What a person needs to use it." },
	{ .name = "keep_on_loss",
	  .type = OPTION_BOOL,
	  .offset = OPTION_FIELD(struct application_settings, keep_on_loss),
	  .default_text = "false",
	  .help = "Keep people signed in here who lost what is required; they are refused meanwhile. "
		  "Otherwise they sign in anew." },
	{ .name = "headers",
	  .type = OPTION_ENUM,
	  .choices = header_encodings,
	  .offset = OPTION_FIELD(struct application_settings, headers),
	  .default_text = "utf-8",
	  .help = "How names beyond ASCII stand in the Remote- headers." },
	{ .name = NULL },
};

static const struct option_table application_table = {
	.name = "applications[]",
	.help = "What stands behind the proxy, and who may use it.",
	.struct_size = sizeof(struct application_settings),
	.options = application_options,
};

static const struct option invites_options[] = {
	{ .name = "lifetime",
	  .type = OPTION_SECONDS,
	  .min = 60,
	  .max = 365 * DAY_S,
	  .offset = OPTION_FIELD(struct invites_settings, lifetime_s),
	  .default_text = "14d",
	  .help = "So long a link in an invite is good, from each sending on." },
	{ .name = "authoritative_domains",
	  .type = OPTION_STRINGS,
	  .offset = OPTION_FIELD(struct invites_settings, authoritative_domains),
	  .help = "Domains of e-mail addresses that an accepted invite proves: who came by it is linked to the "
		  "identity with this address of a source that lists the domain, too, unless they are an "
		  "administrator." },
	{ .name = NULL },
};

static const struct option_table invites_table = {
	.name = "invites",
	.help = "Invites by mail. They need 'mail' and 'public_url'.",
	.struct_size = sizeof(struct invites_settings),
	.options = invites_options,
};

static const struct option tokens_options[] = {
	{ .name = "lifetime",
	  .type = OPTION_SECONDS,
	  .min = 60,
	  .max = 3660 * DAY_S,
	  .offset = OPTION_FIELD(struct tokens_settings, lifetime_s),
	  .default_text = "90d",
	  .help = "So long a token is good when nothing is said; at most as long as max_lifetime." },
	{ .name = "max_lifetime",
	  .type = OPTION_SECONDS,
	  .min = 60,
	  .max = 3660 * DAY_S,
	  .offset = OPTION_FIELD(struct tokens_settings, max_lifetime_s),
	  .default_text = "366d",
	  .help = "No token is good for longer. Those that were made before keep their end." },
	{ .name = NULL },
};

static const struct option_table tokens_table = {
	.name = "tokens",
	.help = "Tokens of the API.",
	.struct_size = sizeof(struct tokens_settings),
	.options = tokens_options,
};

static const struct option outgoing_options[] = {
	{ .name = "allowed_networks",
	  .type = OPTION_STRINGS,
	  .max = 1000,
	  .offset = OPTION_FIELD(struct outgoing_settings, allowed_networks),
	  .help = "Private, local or reserved networks that may be asked all the same: '10.1.0.0/16'." },
	{ .name = "timeout",
	  .type = OPTION_SECONDS,
	  .min = 1,
	  .max = 300,
	  .offset = OPTION_FIELD(struct outgoing_settings, timeout_s),
	  .default_text = "10s",
	  .help = "How long one request may take." },
	{ .name = NULL },
};

static const struct option_table outgoing_table = {
	.name = "outgoing",
	.help = "Requests the daemon makes: metadata, webhooks, mail.",
	.struct_size = sizeof(struct outgoing_settings),
	.options = outgoing_options,
};

#define WEB_FIELD(member) OPTION_FIELD(struct web_root, web.member)

static const struct option web_options[] = {
	{ .name = "public_url",
	  .type = OPTION_STRING,
	  .flags = OPTION_NOT_EMPTY,
	  .max = URL_TEXT_MAX,
	  .offset = WEB_FIELD(public_url),
	  .help = "Where browsers reach sign-in, as 'https://login.example.com'. Needed with listeners." },
	{ .name = "behind_tls_proxy",
	  .type = OPTION_BOOL,
	  .offset = WEB_FIELD(behind_tls_proxy),
	  .default_text = "false",
	  .help = "Accept http in public_url and applications beyond loopback: a proxy speaks TLS." },
	{ .name = "trusted_proxies",
	  .type = OPTION_STRINGS,
	  .max = 1000,
	  .offset = WEB_FIELD(trusted_proxies),
	  .help = "Networks whose X-Forwarded- headers count: '10.0.0.5', '10.1.0.0/16'. Those that come "
		  "by a unix socket always do." },
	{ .name = "listeners",
	  .type = OPTION_LIST,
	  .table = &listener_table,
	  .max = LISTENERS_MAX,
	  .offset = WEB_FIELD(listeners),
	  .help = "Where the web side is served. Not given: nowhere." },
	{ .name = "sessions",
	  .type = OPTION_TABLE,
	  .table = &sessions_table,
	  .offset = WEB_FIELD(sessions),
	  .help = "How long people stay signed in." },
	{ .name = "applications",
	  .type = OPTION_LIST,
	  .table = &application_table,
	  .max = APPLICATIONS_MAX,
	  .offset = WEB_FIELD(applications),
	  .help = "What stands behind the proxy, and who may use it." },
	{ .name = "outgoing",
	  .type = OPTION_TABLE,
	  .table = &outgoing_table,
	  .offset = WEB_FIELD(outgoing),
	  .help = "Requests the daemon makes." },
	{ .name = "mail",
	  .type = OPTION_TABLE,
	  .table = &mail_table,
	  .offset = WEB_FIELD(mail),
	  .help = "How mail is sent. Not given: none is." },
	{ .name = "sms",
	  .type = OPTION_TABLE,
	  .table = &sms_table,
	  .offset = WEB_FIELD(sms),
	  .help = "How SMS are sent. Not given: none are." },
	{ .name = "invites",
	  .type = OPTION_TABLE,
	  .table = &invites_table,
	  .offset = WEB_FIELD(invites),
	  .help = "Invites by mail." },
	{ .name = "tokens",
	  .type = OPTION_TABLE,
	  .table = &tokens_table,
	  .offset = WEB_FIELD(tokens),
	  .help = "Tokens of the API." },
	{ .name = "passwords",
	  .type = OPTION_TABLE,
	  .table = &passwords_table,
	  .offset = WEB_FIELD(passwords),
	  .help = "Signing in with a password." },
	{ .name = "throttle",
	  .type = OPTION_TABLE,
	  .table = &throttle_table,
	  .offset = WEB_FIELD(throttle),
	  .help = "Guessing passwords and codes." },
	{ .name = "sealing_key",
	  .type = OPTION_STRING,
	  .flags = OPTION_NOT_EMPTY,
	  .max = 4096,
	  .offset = WEB_FIELD(sealing_key),
	  .help = "File with the keys that secrets of second factors are sealed under, one of 32 bytes in base64 a "
		  "line: the first seals, all open. A name without '/' is a credential of systemd. Not given: the "
		  "credential 'sealing-key' where there is one, else seal.key beside the store, which the daemon "
		  "makes." },
	{ .name = NULL },
};

const struct option_table web_table = {
	.name = "web",
	.help = "The web side.",
	.struct_size = sizeof(struct web_root),
	.options = web_options,
	.base = &catalogue_table,
};

/* --------------------------------------------------------------------- urls */

/* false: a finding was made. */
static bool read_url(const struct located *text, struct url *ret_url, struct diagnostics *list)
{
	struct err err = { 0 };

	if (url_parse(text->text, ret_url, &err) < 0) {
		diagnostics_add(list, SEVERITY_ERROR, "invalid-url", text->at,
				"A URL is written as https://host.example.com or "
				"https://host.example.com:8443/path/.",
				"bad URL '%.200s': %s", text->text, err.text);
		return false;
	}
	if (!ret_url->has_query)
		return true;
	diagnostics_add(list, SEVERITY_ERROR, "invalid-url", text->at, NULL,
			"URL '%.200s' may have neither '?' nor '#'", text->text);
	return false;
}

/* Cookies of http travel in the clear, so that anybody on the way is signed in as well. */
static void check_tls(const struct web_settings *settings, const struct located *text,
		      const struct url *url, struct diagnostics *list)
{
	if (url->is_https || settings->behind_tls_proxy || url_host_is_loopback(url->host))
		return;
	diagnostics_add(
		list, SEVERITY_ERROR, "https-needed", text->at,
		"Use https, or say behind_tls_proxy: true when a proxy in front speaks TLS.",
		"URL '%.200s' is http, and not on loopback", text->text);
}

/* false: not given or no good. */
static bool check_public_url(const struct web_settings *settings, struct url *ret_url,
			     struct diagnostics *list)
{
	const struct located *text = &settings->public_url;

	if (!text->text || !read_url(text, ret_url, list))
		return false;
	check_tls(settings, text, ret_url, list);
	if (ret_url->path_size > 1)
		diagnostics_add(
			list, SEVERITY_ERROR, "invalid-url", text->at,
			"Cookies of a path would be visible to its neighbours: give the daemon a "
			"host of its own.",
			"public_url '%.200s' may not have a path", text->text);
	return true;
}

/* ---------------------------------------------------------------- listeners */

static const char *after_word(const char *text, const char *word)
{
	size_t size = strlen(word);

	return strncmp(text, word, size) == 0 ? text + size : NULL;
}

/* NULL: fine; else what is wrong. */
static const char *address_problem(const char *text)
{
	const char *path = after_word(text, "unix:");
	const char *name = after_word(text, "systemd:");
	struct address address;
	uint16_t port;

	if (path)
		return path[0] != '/'	    ? "the path of a unix socket begins with '/'"
		       : strlen(path) > 107 ? "the path of a unix socket has at most 107 bytes"
					    : NULL;
	if (name)
		return slug_is_valid(name) ? NULL
					   : "the name of an inherited socket is a short name";
	return address_parse_port(text, &address, &port, NULL) < 0
		       ? "an address is written as 127.0.0.1:8080 or [::1]:8080"
		       : NULL;
}

static void check_listener(const struct listener_settings *listener, struct diagnostics *list)
{
	const char *problem =
		listener->address.text ? address_problem(listener->address.text) : NULL;
	bool has_certificate = listener->certificate.text, has_key = listener->private_key.text;

	if (problem)
		diagnostics_add(list, SEVERITY_ERROR, "invalid-address", listener->address.at, NULL,
				"bad address '%s': %s", listener->address.text, problem);
	if (has_certificate != has_key)
		diagnostics_add(list, SEVERITY_ERROR, "missing-key",
				has_key ? listener->private_key.at : listener->certificate.at, NULL,
				"'%s' needs '%s' beside it",
				has_key ? "private_key" : "certificate",
				has_key ? "certificate" : "private_key");
	if (listener->group.text && listener->address.text &&
	    !after_word(listener->address.text, "unix:"))
		diagnostics_add(list, SEVERITY_ERROR, "invalid-value", listener->group.at, NULL,
				"'group' is for unix sockets, not for '%s'",
				listener->address.text);
}

static void check_listeners(const struct web_settings *settings, struct diagnostics *list)
{
	const struct listener_settings *listeners = settings->listeners.items;

	for (size_t i = 0; i < settings->listeners.count; i++) {
		const struct located *address = &listeners[i].address;

		check_listener(&listeners[i], list);
		for (size_t j = 0; address->text && j < i; j++) {
			if (!listeners[j].address.text ||
			    strcmp(address->text, listeners[j].address.text) != 0)
				continue;
			diagnostics_add(list, SEVERITY_ERROR, "duplicate-address", address->at,
					NULL, "address '%s' is listened on twice", address->text);
			break;
		}
	}
	if (settings->listeners.count && !settings->public_url.text)
		diagnostics_add(
			list, SEVERITY_ERROR, "missing-key", listeners[0].at,
			"Say where browsers reach it: public_url: https://login.example.com.",
			"listeners need 'public_url'");
}

/* ------------------------------------------------------------- applications */

static void check_permissions(const struct require_settings *require, struct diagnostics *list)
{
	for (size_t i = 0; i < require->permissions.count; i++) {
		const struct located *text = &require->permissions.items[i];
		struct err err = { 0 };

		if (permission_check(text->text, &err) < 0)
			diagnostics_add(list, SEVERITY_ERROR, "invalid-permission", text->at, NULL,
					"%s", err.text);
	}
	if (require->second_factor_max_age_s && !require->second_factor)
		diagnostics_add(list, SEVERITY_ERROR, "invalid-require", require->at, NULL,
				"'second_factor_max_age' needs 'second_factor: true'");
}

/*
 * An application on the daemon's own host would be sent the cookie of the daemon's pages, which is
 * good for the API; cookies do not know ports either. On loopback that is how one tries things out.
 */
static void check_own_host(const struct located *text, const struct url *url,
			   const struct url *public_url, struct diagnostics *list)
{
	size_t size = url_host_name_size(url->host);

	if (strcmp(url->host, public_url->host) == 0)
		diagnostics_add(list, SEVERITY_ERROR, "own-host", text->at,
				"Give the daemon a host of its own, as https://login.example.com.",
				"'%.200s' is the host of public_url", text->text);
	else if (size == url_host_name_size(public_url->host) &&
		 strncmp(url->host, public_url->host, size) == 0 &&
		 !url_host_is_loopback(url->host))
		diagnostics_add(
			list, SEVERITY_WARNING, "own-host", text->at,
			"Cookies do not know ports: the application is sent that of the daemon.",
			"'%.200s' differs from public_url by its port only", text->text);
}

/* The same scheme, host and path as one before? */
static void check_unique(struct hash_table *seen, const struct located *text, const struct url *url,
			 const char *pattern, struct diagnostics *list)
{
	AUTO(strbuf) struct strbuf key = STRBUF(2 * URL_TEXT_MAX);
	uint32_t *slot;

	strbuf_printf(&key, "%d %s %s", url->is_https, url->host, pattern);
	if (seen && hash_table_put(seen, fingerprint128(strbuf_text(&key), key.size), &slot) == 1)
		return;
	diagnostics_add(list, SEVERITY_ERROR, "duplicate-url", text->at,
			"A URL belongs to one application.", "URL '%.200s' is given twice",
			text->text);
}

static void check_application_url(const struct web_settings *settings, const struct located *text,
				  const struct url *public_url, struct hash_table *seen,
				  struct diagnostics *list)
{
	struct url url;
	struct err err = { 0 };
	char pattern[PATH_BYTES_MAX + 2];

	if (!read_url(text, &url, list))
		return;
	check_tls(settings, text, &url, list);
	if (public_url)
		check_own_host(text, &url, public_url, list);
	if (path_pattern(url.path, url.path_size, pattern, &err) < 0)
		diagnostics_add(list, SEVERITY_ERROR, "invalid-url", text->at, NULL,
				"bad URL '%.200s': %s", text->text, err.text);
	else
		check_unique(seen, text, &url, pattern, list);
}

static void check_name(const struct application_settings *applications, size_t index,
		       struct diagnostics *list)
{
	const struct located *name = &applications[index].name;

	if (!name->text)
		return;
	if (!slug_is_valid(name->text)) {
		diagnostics_add(list, SEVERITY_ERROR, "invalid-name", name->at,
				"Lower-case letters, digits, '.', '_' and '-'.",
				"bad name of an application '%s'", name->text);
		return;
	}
	for (size_t i = 0; i < index; i++) {
		if (!applications[i].name.text ||
		    strcmp(applications[i].name.text, name->text) != 0)
			continue;
		diagnostics_add(list, SEVERITY_ERROR, "duplicate-name", name->at,
				"Give each application a name of its own.",
				"application '%s' is declared twice", name->text);
		return;
	}
}

static void check_applications(const struct web_settings *settings, const struct url *public_url,
			       struct diagnostics *list)
{
	const struct application_settings *applications = settings->applications.items;
	AUTO(hash_table)
	struct hash_table *seen = hash_table_create(64, APPLICATIONS_MAX * URLS_MAX);

	for (size_t i = 0; i < settings->applications.count; i++) {
		check_name(applications, i, list);
		check_permissions(&applications[i].require, list);
		for (size_t j = 0; j < applications[i].urls.count; j++)
			check_application_url(settings, &applications[i].urls.items[j], public_url,
					      seen, list);
	}
}

static void check_networks(const struct located_list *networks, struct diagnostics *list)
{
	for (size_t i = 0; i < networks->count; i++) {
		const struct located *text = &networks->items[i];
		struct cidr cidr;
		struct err err = { 0 };

		if (cidr_parse(text->text, &cidr, &err) < 0)
			diagnostics_add(list, SEVERITY_ERROR, "invalid-network", text->at, NULL,
					"bad network '%.100s': %s", text->text, err.text);
	}
}

static void check_sealing_key(const struct located *key, struct diagnostics *list)
{
	if (key->text && strchr(key->text, '/') && key->text[0] != '/')
		diagnostics_add(list, SEVERITY_ERROR, "invalid-path", key->at,
				"Write an absolute path, or the name of a systemd credential.",
				"sealing_key '%.200s' is a relative path", key->text);
}

void web_settings_check(const struct web_settings *settings, struct diagnostics *list)
{
	struct url public_url;
	bool has_public_url = check_public_url(settings, &public_url, list);

	check_listeners(settings, list);
	check_applications(settings, has_public_url ? &public_url : NULL, list);
	check_networks(&settings->trusted_proxies, list);
	check_networks(&settings->outgoing.allowed_networks, list);
	check_sealing_key(&settings->sealing_key, list);
}
