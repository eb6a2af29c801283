/*
 * Option table of `type: ldap` and the checks across its fields. What goes in
 * is the configuration as options_parse filled it; what comes out are
 * diagnostics. Nothing is resolved, opened or connected.
 */
#include <rolebridge/source/ldap.h>

#include <string.h>

#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/util.h>
#include <rolebridge/identity/dn.h>

#include "../disabled.h"
#include "protocol.h"
#include "server.h"

/* Between full reads of what is followed: nightly. */
#define FULL_READ_S (24 * 60 * 60)

static const char *const tls_choices[] = { "starttls", "ldaps", "none", NULL };
static const char *const bind_choices[] = { "simple", "external", "anonymous", "gssapi", NULL };
/* In the order of enum follow_mode. */
static const char *const follow_choices[] = { "off", "auto", "sync", "usn", "timestamp", NULL };
static const char *const scope_choices[] = { "sub", "one", "base", NULL };

static const struct option bind_options[] = {
	{ "method", OPTION_ENUM, 0, OPTION_FIELD(struct ldap_bind_settings, method), 0, 0, "simple",
	  bind_choices, NULL,
	  "How to sign in: `simple` with dn and password_file, `external` as the peer of an "
	  "ldapi:// socket or with a TLS client certificate, `anonymous`, or `gssapi` through "
	  "Kerberos with keytab, over TLS." },
	{ "dn", OPTION_STRING, OPTION_NOT_EMPTY, OPTION_FIELD(struct ldap_bind_settings, dn), 0,
	  DN_MAX, NULL, NULL, NULL,
	  "Name to bind as, for `simple`: a DN; at Active Directory also user@domain or DOMAIN\\user." },
	{ "password_file", OPTION_STRING, OPTION_NOT_EMPTY,
	  OPTION_FIELD(struct ldap_bind_settings, password_file), 0, 4095, NULL, NULL, NULL,
	  "File with the password, for `simple`: an absolute path, or the name of a systemd "
	  "credential." },
	{ "certificate", OPTION_PATH, 0, OPTION_FIELD(struct ldap_bind_settings, certificate), 0,
	  4095, NULL, NULL, NULL, "TLS client certificate (PEM)." },
	{ "private_key", OPTION_PATH, 0, OPTION_FIELD(struct ldap_bind_settings, private_key), 0,
	  4095, NULL, NULL, NULL, "Private key of the TLS client certificate (PEM)." },
	{ "keytab", OPTION_PATH, 0, OPTION_FIELD(struct ldap_bind_settings, keytab), 0, 4095, NULL,
	  NULL, NULL, "Keytab, for `gssapi`; its first principal signs in." },
	{ "kerberos_config", OPTION_PATH, 0,
	  OPTION_FIELD(struct ldap_bind_settings, kerberos_config), 0, 4095, NULL, NULL, NULL,
	  "Kerberos configuration, for `gssapi`; not given: the system's krb5.conf." },
	{ 0 },
};

static const struct option_table bind_table = {
	.name = "sources[].bind",
	.help = "How the daemon signs in at the directory.",
	.struct_size = sizeof(struct ldap_bind_settings),
	.options = bind_options,
};

static const struct option users_options[] = {
	{ "base", OPTION_STRING, OPTION_REQUIRED, OPTION_FIELD(struct ldap_users_settings, base), 0,
	  DN_MAX, NULL, NULL, NULL, "Where the people are." },
	{ "scope", OPTION_ENUM, 0, OPTION_FIELD(struct ldap_users_settings, scope), 0, 0, "sub",
	  scope_choices, NULL, "How deep to search below the base." },
	{ "filter", OPTION_STRING, OPTION_NOT_EMPTY,
	  OPTION_FIELD(struct ldap_users_settings, filter), 0, 65535, "(objectClass=person)", NULL,
	  NULL, "RFC 4515 filter that selects the people." },
	{ "key", OPTION_STRING, OPTION_NOT_EMPTY, OPTION_FIELD(struct ldap_users_settings, key), 0,
	  255, "entryUUID", NULL, NULL,
	  "Attribute that never changes for a person: entryUUID (OpenLDAP), objectGUID (Active "
	  "Directory), nsUniqueId (389 Directory Server)." },
	{ "disabled", OPTION_STRINGS, 0, OPTION_FIELD(struct ldap_users_settings, disabled), 0,
	  DISABLED_MARKERS_MAX, NULL, NULL, NULL,
	  "What says that a person is disabled: " DISABLED_HELP
	  " Not given: all the named ones; `none`: nothing does." },
	{ 0 },
};

static const struct option_table users_table = {
	.name = "sources[].users",
	.help = "Which entries are people.",
	.struct_size = sizeof(struct ldap_users_settings),
	.options = users_options,
};

static const struct option groups_options[] = {
	{ "base", OPTION_STRING, 0, OPTION_FIELD(struct ldap_groups_settings, base), 0, DN_MAX,
	  NULL, NULL, NULL, "Where the groups are; not given: where the people are." },
	{ "scope", OPTION_ENUM, 0, OPTION_FIELD(struct ldap_groups_settings, scope), 0, 0, "sub",
	  scope_choices, NULL, "How deep to search below the base." },
	{ "filter", OPTION_STRING, OPTION_NOT_EMPTY,
	  OPTION_FIELD(struct ldap_groups_settings, filter), 0, 65535,
	  "(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames)(objectClass=posixGroup)"
	  "(objectClass=group))",
	  NULL, NULL,
	  "RFC 4515 filter that selects the groups. Groups between a person and a group that "
	  "rules name must be among them." },
	{ "members", OPTION_STRINGS, OPTION_NOT_EMPTY,
	  OPTION_FIELD(struct ldap_groups_settings, members), 0, 16, NULL, NULL, NULL,
	  "Attributes that list members by DN, or memberUid, which lists them by uid. Not "
	  "given: member, uniqueMember, memberUid." },
	{ 0 },
};

static const struct option_table groups_table = {
	.name = "sources[].groups",
	.help = "Which entries are groups. They are read only when a rule names a group.",
	.struct_size = sizeof(struct ldap_groups_settings),
	.options = groups_options,
};

static const struct option timeout_options[] = {
	{ "connect", OPTION_SECONDS, 0, OPTION_FIELD(struct ldap_timeout_settings, connect_s), 1,
	  300, "5s", NULL, NULL, "Longest wait for a connection, for each address of a server." },
	{ "answer", OPTION_SECONDS, 0, OPTION_FIELD(struct ldap_timeout_settings, answer_s), 1,
	  3600, "30s", NULL, NULL, "Longest silence of a server that was asked something." },
	{ "total", OPTION_SECONDS, 0, OPTION_FIELD(struct ldap_timeout_settings, total_s), 1, 86400,
	  "1h", NULL, NULL, "Longest time for a whole read." },
	{ 0 },
};

static const struct option_table timeout_table = {
	.name = "sources[].timeouts",
	.help = "How long to wait for a directory.",
	.struct_size = sizeof(struct ldap_timeout_settings),
	.options = timeout_options,
};

static const struct option follow_options[] = {
	{ "mode", OPTION_ENUM, 0, OPTION_FIELD(struct ldap_follow_settings, mode), 0, 0, "auto",
	  follow_choices, NULL,
	  "How changes are learned between full reads. `sync`: the server tells them (RFC 4533; "
	  "OpenLDAP with syncprov, 389 Directory Server with its content synchronization "
	  "plug-in). `usn`: by uSNChanged (Active Directory). `timestamp`: by modifyTimestamp. "
	  "`auto`: what the server says it can. `off`: not at all." },
	{ "poll", OPTION_SECONDS, 0, OPTION_FIELD(struct ldap_follow_settings, poll_s), 1, 3600,
	  "1s", NULL, NULL, "Pause between two looks, for `usn` and `timestamp`." },
	{ "keepalive", OPTION_SECONDS, 0, OPTION_FIELD(struct ldap_follow_settings, keepalive_s), 1,
	  3600, "30s", NULL, NULL,
	  "A connection on which nothing came for so long is tried by a small search." },
	{ "alarm_after", OPTION_SECONDS, 0, OPTION_FIELD(struct ldap_follow_settings, alarm_s), 1,
	  30 * 24 * 60 * 60, "10m", NULL, NULL,
	  "When no server answered for so long, the alarm source-unreachable is raised; contact ends "
	  "it." },
	{ 0 },
};

static const struct option_table follow_table = {
	.name = "sources[].follow",
	.help = "Following what changes in the directory between two full reads, which `interval` "
		"sets. People that were deleted cannot sign in from then on; what becomes of them "
		"is decided by full reads. With `interval: 0` and mode `auto` nothing is followed: "
		"the directory is read on demand only.",
	.struct_size = sizeof(struct ldap_follow_settings),
	.options = follow_options,
};

static const struct option ldap_options[] = {
	{ "servers", OPTION_STRINGS, OPTION_REQUIRED | OPTION_NOT_EMPTY,
	  OPTION_FIELD(struct ldap_source, servers), 1, 16, NULL, NULL, NULL,
	  "URLs in order of preference: ldap://HOST[:PORT], ldaps://HOST[:PORT], ldapi://PATH "
	  "with each / written %2F, or ldap+srv://DOMAIN and ldaps+srv://DOMAIN for the servers "
	  "that the domain's DNS names (RFC 2782: _ldap._tcp, _ldaps._tcp). DNS itself is not "
	  "trusted more than a network is: it can name any server whose certificate `ca` "
	  "accepts, so let that CA sign for directories alone." },
	{ "tls", OPTION_ENUM, 0, OPTION_FIELD(struct ldap_source, tls), 0, 0, "starttls",
	  tls_choices, NULL,
	  "For ldap:// servers: `starttls`, or `none` together with allow_cleartext. `ldaps` "
	  "allows ldaps:// servers only; these use TLS from the first byte whatever stands "
	  "here." },
	{ "allow_cleartext", OPTION_BOOL, 0, OPTION_FIELD(struct ldap_source, allow_cleartext), 0,
	  0, "false", NULL, NULL,
	  "Accept that password and answers cross the network unprotected with `tls: none`." },
	{ "ca", OPTION_PATH, 0, OPTION_FIELD(struct ldap_source, ca), 0, 4095, NULL, NULL, NULL,
	  "File with the CA certificates (PEM) that may have signed the servers' "
	  "certificates. No other is trusted." },
	{ "bind", OPTION_TABLE, 0, OPTION_FIELD(struct ldap_source, bind), 0, 0, NULL, NULL,
	  &bind_table, "How the daemon signs in." },
	{ "users", OPTION_TABLE, OPTION_REQUIRED, OPTION_FIELD(struct ldap_source, users), 0, 0,
	  NULL, NULL, &users_table, "Which entries are people." },
	{ "groups", OPTION_TABLE, 0, OPTION_FIELD(struct ldap_source, groups), 0, 0, NULL, NULL,
	  &groups_table, "Which entries are groups." },
	{ "page_size", OPTION_INT, 0, OPTION_FIELD(struct ldap_source, page_size), 0, 100000,
	  "1000", NULL, NULL, "Entries asked for at once (RFC 2696); 0: all at once." },
	{ "ignore_referrals", OPTION_BOOL, 0, OPTION_FIELD(struct ldap_source, ignore_referrals), 0,
	  0, "false", NULL, NULL,
	  "Count a read as complete although the server pointed to other servers, which are "
	  "never followed. Active Directory does so when the base is the domain itself." },
	{ "login", OPTION_BOOL, 0, OPTION_FIELD(struct ldap_source, common.takes_passwords), 0, 0,
	  "false", NULL, NULL,
	  "People of this source sign in on the login page with their password of the directory: the "
	  "daemon binds as their entry. It needs TLS, or ldapi:// servers." },
	{ "login_failures", OPTION_INT, 0, OPTION_FIELD(struct ldap_source, login_failures), 1,
	  LDAP_LOGIN_FAILURES_MAX, "4", NULL, NULL,
	  "So many wrong passwords of one person within `login_window` are passed on; then nobody is "
	  "asked until the first of them is so old. Stay below what the directory locks people out "
	  "for." },
	{ "login_window", OPTION_SECONDS, 0, OPTION_FIELD(struct ldap_source, login_window_s), 1,
	  24 * 60 * 60, "30m", NULL, NULL,
	  "How long a wrong password counts: as long as the directory counts it." },
	{ "timeouts", OPTION_TABLE, 0, OPTION_FIELD(struct ldap_source, timeouts), 0, 0, NULL, NULL,
	  &timeout_table, "How long to wait." },
	{ "follow", OPTION_TABLE, 0, OPTION_FIELD(struct ldap_source, follow), 0, 0, NULL, NULL,
	  &follow_table, "How changes are learned between full reads." },
	{ 0 },
};

static void complain(struct diagnostics *list, const char *code, const struct located *text,
		     const char *hint, const struct err *err)
{
	diagnostics_add(list, SEVERITY_ERROR, code, text->at, hint, "%s", err->text);
}

static bool given(const struct located *text)
{
	return text->text && text->text[0] != '\0';
}

static void check_dn(const struct located *dn, struct diagnostics *list)
{
	AUTO(strbuf) struct strbuf normal = STRBUF(4 * DN_MAX);
	struct err err = { 0 };

	if (dn->text && dn_normalize(dn->text, strlen(dn->text), &normal, &err) < 0)
		complain(list, "invalid-dn", dn, NULL, &err);
}

/* Active Directory signs in by names that are no DN, too: user@domain and DOMAIN\user (MS-ADTS 5.1.1.1.1). */
static void check_bind_name(const struct located *name, struct diagnostics *list)
{
	const char *mark = name->text ? strpbrk(name->text, "@\\=") : NULL;

	if (!mark || *mark == '=' || mark == name->text || mark[1] == '\0' ||
	    strpbrk(mark + 1, "@\\=,"))
		check_dn(name, list);
}

/* Parentheses only: the directory is the judge of the rest. */
static void check_filter(const struct located *filter, struct diagnostics *list)
{
	long depth = 0;
	bool balanced = true;

	if (!filter->text)
		return;
	for (const char *c = filter->text; *c && balanced; c++) {
		depth += (*c == '(') - (*c == ')');
		balanced = depth >= 0;
	}
	if (depth != 0 || !balanced)
		diagnostics_add(list, SEVERITY_ERROR, "invalid-filter", filter->at,
				"A parenthesis that belongs to a value is written \\28 or \\29.",
				"parentheses of the filter do not match");
}

static bool attribute_name_is_valid(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-.;";

	return *name != '\0' && name[strspn(name, allowed)] == '\0';
}

static void check_attribute_name(const struct located *name, struct diagnostics *list)
{
	if (name->text && !attribute_name_is_valid(name->text))
		diagnostics_add(list, SEVERITY_ERROR, "invalid-attribute", name->at, NULL,
				"'%s' is no attribute name", name->text);
}

static bool server_has_tls(const struct ldap_source *source, const struct server *server)
{
	return server->scheme == SERVER_LDAPS ||
	       (server->scheme == SERVER_LDAP && source->tls != LDAP_SOURCE_CLEARTEXT);
}

static void check_tls_of(const struct ldap_source *source, const struct located *url,
			 const struct server *server, struct diagnostics *list)
{
	if (server->scheme == SERVER_LDAP && source->tls == LDAP_SOURCE_LDAPS)
		diagnostics_add(list, SEVERITY_ERROR, "tls-contradiction", url->at,
				"Write ldaps:// or use tls: starttls.",
				"server '%s' does not begin with TLS as tls: ldaps demands",
				url->text);
	if (server->scheme == SERVER_LDAPS && source->tls == LDAP_SOURCE_CLEARTEXT)
		diagnostics_add(list, SEVERITY_ERROR, "tls-contradiction", url->at,
				"Leave out tls: none.",
				"server '%s' uses TLS, tls: none forbids it", url->text);
	if (server->srv && !server_has_tls(source, server))
		diagnostics_add(list, SEVERITY_ERROR, "tls-contradiction", url->at,
				"Use tls: starttls, or name the servers.",
				"without TLS nothing shows that DNS named the right servers for "
				"'%s'",
				url->text);
	else if (server->scheme == SERVER_LDAP && source->tls == LDAP_SOURCE_CLEARTEXT &&
		 !source->allow_cleartext)
		diagnostics_add(list, SEVERITY_ERROR, "cleartext", url->at,
				"Use tls: starttls, or accept the risk with allow_cleartext: true.",
				"server '%s' would be asked without TLS", url->text);
	if (server->scheme != SERVER_LDAPI && source->tls != LDAP_SOURCE_CLEARTEXT &&
	    strcasecmp(server->host, "localhost") == 0)
		diagnostics_add(list, SEVERITY_WARNING, "localhost-certificate", url->at,
				"Write 127.0.0.1 or the name that stands in the certificate.",
				"libldap compares the certificate of 'localhost' with this "
				"machine's own name");
}

static void check_servers(const struct ldap_source *source, struct diagnostics *list)
{
	bool needs_ca = false, all_local = true, all_tls = true, all_remote_tls = true;

	for (size_t i = 0; i < source->servers.count; i++) {
		const struct located *url = &source->servers.items[i];
		struct server server;
		struct err err = { 0 };
		if (!url->text)
			continue;
		if (server_parse(url->text, &server, &err) < 0) {
			complain(list, "invalid-url", url, NULL, &err);
			continue;
		}
		check_tls_of(source, url, &server, list);
		needs_ca |= server_has_tls(source, &server);
		all_local &= server.scheme == SERVER_LDAPI;
		all_tls &= server_has_tls(source, &server) || server.scheme == SERVER_LDAPI;
		all_remote_tls &= server_has_tls(source, &server);
	}
	if (source->common.takes_passwords && !all_tls)
		diagnostics_add(list, SEVERITY_ERROR, "cleartext", source->common.at,
				"Use tls: starttls, or ldaps:// or ldapi:// servers.",
				"with 'login' people's passwords would cross the network without "
				"TLS");
	if (source->bind.method == LDAP_SOURCE_BIND_GSSAPI && !all_remote_tls)
		diagnostics_add(list, SEVERITY_ERROR, "bind-incomplete", source->bind.at,
				"Name servers by the host of their Kerberos principal, with TLS.",
				"bind method 'gssapi' needs TLS, and no ldapi:// servers");
	if (needs_ca && !given(&source->ca))
		diagnostics_add(list, SEVERITY_ERROR, "missing-ca", source->common.at,
				"Name the file with the CA that signed the servers' certificates.",
				"a source that uses TLS needs 'ca'");
	if (source->bind.method != LDAP_SOURCE_BIND_EXTERNAL || all_local)
		return;
	if (!given(&source->bind.certificate) || !all_tls)
		diagnostics_add(list, SEVERITY_ERROR, "bind-incomplete", source->bind.at,
				"Over the network, external means a TLS client certificate.",
				"bind method 'external' needs 'certificate' and TLS, or ldapi:// "
				"servers only");
}

static void check_bind(const struct ldap_bind_settings *bind, struct position at,
		       struct diagnostics *list)
{
	struct position place = bind->at.file ? bind->at : at;
	bool simple = bind->method == LDAP_SOURCE_BIND_SIMPLE;

	/* RFC 4513 5.1.2: a name without a password binds as nobody, and succeeds. */
	if (simple && (!given(&bind->dn) || !given(&bind->password_file)))
		diagnostics_add(list, SEVERITY_ERROR, "bind-incomplete", place,
				"Give both, or choose method: external or anonymous.",
				"bind method 'simple' needs 'dn' and 'password_file'");
	if (!simple && (given(&bind->dn) || given(&bind->password_file)))
		diagnostics_add(list, SEVERITY_ERROR, "bind-contradiction", place, NULL,
				"'dn' and 'password_file' belong to bind method 'simple'");
	if (given(&bind->certificate) != given(&bind->private_key))
		diagnostics_add(list, SEVERITY_ERROR, "bind-incomplete", place, NULL,
				"'certificate' and 'private_key' belong together");
	if ((bind->method == LDAP_SOURCE_BIND_GSSAPI) != given(&bind->keytab))
		diagnostics_add(list, SEVERITY_ERROR, "bind-incomplete", place, NULL,
				"'keytab' and bind method 'gssapi' belong together");
	if (bind->method != LDAP_SOURCE_BIND_GSSAPI && given(&bind->kerberos_config))
		diagnostics_add(list, SEVERITY_ERROR, "bind-contradiction", place, NULL,
				"'kerberos_config' belongs to bind method 'gssapi'");
	if (given(&bind->password_file) && strchr(bind->password_file.text, '/') &&
	    bind->password_file.text[0] != '/')
		diagnostics_add(list, SEVERITY_ERROR, "invalid-path", bind->password_file.at,
				"Write an absolute path, or the name of a systemd credential.",
				"password file '%s' is a relative path", bind->password_file.text);
	check_bind_name(&bind->dn, list);
}

bool ldap_source_follows(const struct ldap_source *source)
{
	const struct source_settings *common = &source->common;

	if (source->follow.mode == FOLLOW_AUTO)
		return !common->interval_given || common->interval_s > 0;
	return source->follow.mode != FOLLOW_OFF;
}

static void ldap_source_check(void *item, struct diagnostics *list)
{
	struct ldap_source *source = item;

	if (ldap_source_follows(source) && !source->common.interval_given)
		source->common.interval_s = FULL_READ_S;
	check_servers(source, list);
	check_bind(&source->bind, source->common.at, list);
	check_dn(&source->users.base, list);
	check_dn(&source->groups.base, list);
	check_filter(&source->users.filter, list);
	check_filter(&source->groups.filter, list);
	check_attribute_name(&source->users.key, list);
	for (size_t i = 0; i < source->groups.members.count; i++)
		check_attribute_name(&source->groups.members.items[i], list);
	const struct attribute_settings *attributes = source->common.attributes.items;
	for (size_t i = 0; i < source->common.attributes.count; i++)
		check_attribute_name(
			attributes[i].from.text ? &attributes[i].from : &attributes[i].name, list);
	disabled_check(&source->users.disabled, list);
}

const struct option_table ldap_source_table = {
	.name = "ldap",
	.help = "A directory read over LDAP: OpenLDAP, Active Directory, 389 Directory Server. "
		"People and groups are read in pages by a worker process that can do nothing "
		"else.",
	.struct_size = sizeof(struct ldap_source),
	.options = ldap_options,
	.base = &source_base_table,
	.check = ldap_source_check,
};
