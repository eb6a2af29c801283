/*
 * Option tables of `type: saml` and of `saml:`, and the checks across their
 * fields. What goes in is the configuration as options_parse filled it; what comes
 * out are diagnostics. No file is opened and nothing is resolved.
 */
#include <rolebridge/source/saml.h>

#include <string.h>

#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>
#include <rolebridge/identity/names.h>

#define MINUTE_S ((int64_t)60)
#define DAY_S (24 * 60 * MINUTE_S)
#define PATH_LONGEST 4095
/* SAML Core 8.3.6: the longest entity identifier. */
#define ENTITY_ID_MAX 1024

static const char *const signature_choices[] = { "any", "assertion", "response", "both", NULL };
static const char *const binding_choices[] = { "redirect", "post", NULL };
static const char *const verification_choices[] = { "agree", "fast", NULL };

/* --- sources[] of type saml --- */

static const struct option idp_options[] = {
	{ "entity_id", OPTION_STRING, OPTION_NOT_EMPTY,
	  OPTION_FIELD(struct saml_idp_settings, entity_id), 0, ENTITY_ID_MAX, NULL, NULL, NULL,
	  "Which entity of the metadata is meant; needed where the document has several identity "
	  "providers." },
	{ "metadata_file", OPTION_PATH, OPTION_NOT_EMPTY,
	  OPTION_FIELD(struct saml_idp_settings, metadata_file), 0, PATH_LONGEST, NULL, NULL, NULL,
	  "File with the metadata. Either this or metadata_url." },
	{ "metadata", OPTION_STRING, OPTION_NOT_EMPTY,
	  OPTION_FIELD(struct saml_idp_settings, metadata), 0, 128, NULL, NULL, NULL,
	  "Metadata that was handed over to the daemon, by its fingerprint. Only for sources that "
	  "are defined by API or command, where the document itself is given in its place." },
	{ "metadata_url", OPTION_STRING, OPTION_NOT_EMPTY,
	  OPTION_FIELD(struct saml_idp_settings, metadata_url), 0, 2048, NULL, NULL, NULL,
	  "Where the metadata is fetched from: an https:// address, or http:// at this machine "
	  "itself." },
	{ "metadata_certificate", OPTION_PATH, OPTION_NOT_EMPTY,
	  OPTION_FIELD(struct saml_idp_settings, metadata_certificate), 0, PATH_LONGEST, NULL, NULL,
	  NULL,
	  "File with a certificate (PEM). When given, the metadata must be signed with its key." },
	{ "metadata_signer", OPTION_STRING, OPTION_NOT_EMPTY,
	  OPTION_FIELD(struct saml_idp_settings, metadata_signer), 0, 16384, NULL, NULL, NULL,
	  "That certificate (PEM) itself, instead of a file." },
	{ "refresh", OPTION_SECONDS, 0, OPTION_FIELD(struct saml_idp_settings, refresh_s), 10,
	  30 * DAY_S, "1h", NULL, NULL,
	  "How often the metadata is fetched or the file looked at again; sooner where the "
	  "document's own cacheDuration says so." },
	{ "ca", OPTION_PATH, OPTION_NOT_EMPTY, OPTION_FIELD(struct saml_idp_settings, ca), 0,
	  PATH_LONGEST, NULL, NULL, NULL,
	  "File with the CA certificates (PEM) for metadata_url. Not given: the system's." },
	{ 0 },
};

static const struct option_table idp_table = {
	.name = "sources[].idp",
	.help = "The identity provider: its keys and addresses come from its metadata.",
	.struct_size = sizeof(struct saml_idp_settings),
	.options = idp_options,
};

static const struct option second_factor_options[] = {
	{ "contexts", OPTION_STRINGS, OPTION_NOT_EMPTY,
	  OPTION_FIELD(struct saml_factor_settings, contexts), 0, 32, NULL, NULL, NULL,
	  "Values of AuthnContextClassRef that say so, such as "
	  "https://refeds.org/profile/mfa." },
	{ "attribute", OPTION_STRING, OPTION_NOT_EMPTY,
	  OPTION_FIELD(struct saml_factor_settings, attribute), 0, 512, NULL, NULL, NULL,
	  "Attribute that says so, by its name or friendly name." },
	{ "values", OPTION_STRINGS, OPTION_NOT_EMPTY,
	  OPTION_FIELD(struct saml_factor_settings, values), 0, 32, NULL, NULL, NULL,
	  "Any of these values of the attribute." },
	{ "max_age", OPTION_SECONDS, 0, OPTION_FIELD(struct saml_factor_settings, max_age_s),
	  MINUTE_S, 30 * DAY_S, "12h", NULL, NULL,
	  "How long the proof holds, counted from the sign-in at the identity provider." },
	{ 0 },
};

static const struct option_table proof_table = {
	.name = "sources[].second_factor",
	.help = "What proves that the identity provider asked for a second factor. Not given: "
		"nothing does.",
	.struct_size = sizeof(struct saml_factor_settings),
	.options = second_factor_options,
};

static const struct option saml_source_options[] = {
	{ "idp", OPTION_TABLE, OPTION_REQUIRED, OPTION_FIELD(struct saml_source, idp), 0, 0, NULL,
	  NULL, &idp_table, "The identity provider." },
	{ "entity_id", OPTION_STRING, OPTION_NOT_EMPTY, OPTION_FIELD(struct saml_source, entity_id),
	  0, ENTITY_ID_MAX, NULL, NULL, NULL,
	  "Our own entity id for this provider. Not given: the address of our metadata, "
	  "PUBLIC_URL/saml/NAME/metadata." },
	{ "key", OPTION_STRING, OPTION_NOT_EMPTY, OPTION_FIELD(struct saml_source, key), 0, 512,
	  "name-id", NULL, NULL,
	  "What never changes for a person: `name-id`, or the name of an attribute. A name-id is "
	  "only good when the provider sends a persistent one." },
	{ "groups", OPTION_STRING, OPTION_NOT_EMPTY, OPTION_FIELD(struct saml_source, groups), 0,
	  512, NULL, NULL, NULL,
	  "Attribute whose values are group names; rules call them SOURCE:name. Not given: groups, "
	  "isMemberOf, memberOf and the Microsoft claim." },
	{ "allowed_domains", OPTION_STRINGS, OPTION_NOT_EMPTY,
	  OPTION_FIELD(struct saml_source, allowed_domains), 0, 1000, NULL, NULL, NULL,
	  "Mail domains this provider may speak for; an assertion with another one is refused. "
	  "Not given: any." },
	{ "allowed_scopes", OPTION_STRINGS, OPTION_NOT_EMPTY,
	  OPTION_FIELD(struct saml_source, allowed_scopes), 0, 1000, NULL, NULL, NULL,
	  "What may stand behind the @ of scoped attributes. Not given: the scopes of the "
	  "metadata, or any when it has none." },
	{ "idp_initiated", OPTION_BOOL, 0, OPTION_FIELD(struct saml_source, idp_initiated), 0, 0,
	  "false", NULL, NULL,
	  "Accept responses nobody here asked for. They can be used to log somebody in as another "
	  "person." },
	{ "just_in_time", OPTION_BOOL, 0, OPTION_FIELD(struct saml_source, just_in_time), 0, 0,
	  "false", NULL, NULL,
	  "Make a user of a person whom no other source knows; what such a user may get is "
	  "bounded by may_grant, and nothing when that is not given." },
	{ "require_signed", OPTION_ENUM, 0, OPTION_FIELD(struct saml_source, require_signed), 0, 0,
	  "any", signature_choices, NULL, "Which element the provider has to sign." },
	{ "force_authn", OPTION_BOOL, 0, OPTION_FIELD(struct saml_source, force_authn), 0, 0,
	  "false", NULL, NULL,
	  "Ask the provider to let people sign in anew each time, and refuse an older sign-in." },
	{ "is_passive", OPTION_BOOL, 0, OPTION_FIELD(struct saml_source, is_passive), 0, 0, "false",
	  NULL, NULL, "Ask the provider to show nothing: only who is signed in there gets in." },
	{ "authn_contexts", OPTION_STRINGS, OPTION_NOT_EMPTY,
	  OPTION_FIELD(struct saml_source, authn_contexts), 0, 32, NULL, NULL, NULL,
	  "Ask for exactly one of these ways of signing in (RequestedAuthnContext), and refuse "
	  "any other; but where one of them proves a second factor (second_factor.contexts), any "
	  "other is taken, and the second factor is asked for here. Not given: none is asked for; "
	  "many providers refuse what they cannot serve." },
	{ "name_id_format", OPTION_STRING, OPTION_NOT_EMPTY,
	  OPTION_FIELD(struct saml_source, name_id_format), 0, 255, NULL, NULL, NULL,
	  "Ask for this format of name (NameIDPolicy). Not given: the provider chooses." },
	{ "request_binding", OPTION_ENUM, 0, OPTION_FIELD(struct saml_source, request_binding), 0,
	  0, "redirect", binding_choices, NULL,
	  "How requests travel, where the provider takes both." },
	{ "sign_requests", OPTION_BOOL, 0, OPTION_FIELD(struct saml_source, sign_requests), 0, 0,
	  "true", NULL, NULL, "Sign sign-in requests. Logout messages are always signed." },
	{ "second_factor", OPTION_TABLE, 0, OPTION_FIELD(struct saml_source, second_factor), 0, 0,
	  NULL, NULL, &proof_table, "What proves a second factor at the provider." },
	{ "trace", OPTION_BOOL, 0, OPTION_FIELD(struct saml_source, trace), 0, 0, "false", NULL,
	  NULL, "Log what was received, without secrets, for finding out why something fails." },
	{ "allow_sha1", OPTION_BOOL, 0, OPTION_FIELD(struct saml_source, allow_sha1), 0, 0, "false",
	  NULL, NULL, "Accept signatures with SHA-1, which can be forged by those with means." },
	{ 0 },
};

static bool given(const struct located *text)
{
	return text->text && text->text[0] != '\0';
}

/* Letters, digits and punctuation of URIs: nothing that would break a line or a header. */
static bool is_plain(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text <= ' ' || (unsigned char)*text == 0x7f)
			return false;
	return true;
}

static bool has_prefix(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* "http://HOST[:PORT][/…]" without a user in front of another host. */
static bool is_loopback_http(const char *url)
{
	static const char *const hosts[] = { "http://127.0.0.1", "http://[::1]",
					     "http://localhost" };

	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		const char *rest = url + strlen(hosts[i]);
		if (!has_prefix(url, hosts[i]))
			continue;
		if (*rest == ':')
			rest += 1 + strspn(rest + 1, "0123456789");
		if (*rest == '/' || *rest == '\0')
			return true;
	}
	return false;
}

static bool is_https(const char *url)
{
	return has_prefix(url, "https://") && url[8] != '\0' && url[8] != '/' && is_plain(url);
}

static void check_entity_id(const struct located *id, struct diagnostics *list)
{
	if (given(id) && !is_plain(id->text))
		diagnostics_add(list, SEVERITY_ERROR, "invalid-entity-id", id->at,
				"An entity id is a URI.", "'%s' cannot be an entity id", id->text);
}

static void check_idp(const struct saml_source *source, struct diagnostics *list)
{
	const struct saml_idp_settings *idp = &source->idp;
	const struct position at = idp->at;
	const struct located *url = &idp->metadata_url;

	/* It is missing, or something else: that was said. */
	if (!at.file)
		return;
	if (given(&idp->metadata_file) + given(url) + given(&idp->metadata) != 1)
		diagnostics_add(list, SEVERITY_ERROR, "metadata-contradiction", at,
				"Give exactly one of them.", "%s",
				given(&idp->metadata) ? "'metadata' and another one are given"
				: given(url)
					? "both 'metadata_file' and 'metadata_url' are given"
					: "neither 'metadata_file' nor 'metadata_url' is given");
	if (given(&idp->metadata_certificate) && given(&idp->metadata_signer))
		diagnostics_add(list, SEVERITY_ERROR, "metadata-contradiction",
				idp->metadata_signer.at, "Give one of them.",
				"both 'metadata_certificate' and 'metadata_signer' are given");
	if (given(url) && !is_https(url->text) &&
	    !(is_loopback_http(url->text) && is_plain(url->text)))
		diagnostics_add(list, SEVERITY_ERROR, "invalid-url", url->at,
				"Metadata brings the keys that are trusted: use https://.",
				"'%s' is not an https address", url->text);
	if (given(&idp->ca) && !given(url))
		diagnostics_add(list, SEVERITY_ERROR, "metadata-contradiction", idp->ca.at, NULL,
				"'ca' belongs to 'metadata_url'");
	check_entity_id(&idp->entity_id, list);
}

static void check_second_factor(const struct saml_factor_settings *factor, struct diagnostics *list)
{
	if (!factor->at.file)
		return;
	if (given(&factor->attribute) != (factor->values.count > 0))
		diagnostics_add(list, SEVERITY_ERROR, "second-factor-incomplete", factor->at, NULL,
				"'attribute' and 'values' belong together");
	else if (factor->contexts.count == 0 && !given(&factor->attribute))
		diagnostics_add(list, SEVERITY_ERROR, "second-factor-incomplete", factor->at,
				"Give contexts, or attribute and values.",
				"nothing would ever prove a second factor");
}

static bool is_domain(const char *text)
{
	AUTO(strbuf) struct strbuf address = STRBUF(512);
	AUTO(strbuf) struct strbuf normal = STRBUF(1024);
	struct err err;

	strbuf_printf(&address, "x@%s", text);
	return !strbuf_failed(&address) &&
	       email_normalize(strbuf_text(&address), &normal, &err) == 0;
}

static void check_domains(const struct located_list *domains, const char *what,
			  struct diagnostics *list)
{
	for (size_t i = 0; i < domains->count; i++)
		if (domains->items[i].text && !is_domain(domains->items[i].text))
			diagnostics_add(list, SEVERITY_ERROR, "invalid-domain",
					domains->items[i].at, "Leave out the @.",
					"'%s' is not a %s", domains->items[i].text, what);
}

/* Class references and formats are URIs; a word like `password` would never match. */
static void check_uris(const struct located *items, size_t count, const char *code,
		       struct diagnostics *list)
{
	for (size_t i = 0; i < count; i++)
		if (given(&items[i]) && (!is_plain(items[i].text) || !strchr(items[i].text, ':')))
			diagnostics_add(list, SEVERITY_ERROR, code, items[i].at,
					"Write the whole URI, such as urn:oasis:names:tc:SAML:….",
					"'%s' is not a URI", items[i].text);
}

static void check_saml_source(void *item, struct diagnostics *list)
{
	struct saml_source *source = item;
	const struct position at = source->common.at;

	source->common.proves_factor = source->second_factor.at.file != 0;
	check_idp(source, list);
	check_entity_id(&source->entity_id, list);
	check_second_factor(&source->second_factor, list);
	check_domains(&source->allowed_domains, "mail domain", list);
	check_domains(&source->allowed_scopes, "scope", list);
	check_uris(source->authn_contexts.items, source->authn_contexts.count,
		   "invalid-authn-context", list);
	check_uris(source->second_factor.contexts.items, source->second_factor.contexts.count,
		   "invalid-authn-context", list);
	check_uris(&source->name_id_format, 1, "invalid-name-id-format", list);
	if (source->force_authn && source->is_passive)
		diagnostics_add(list, SEVERITY_WARNING, "passive-and-forced", at, NULL,
				"with both 'force_authn' and 'is_passive' few providers let "
				"anybody in");
	if (source->allow_sha1)
		diagnostics_add(list, SEVERITY_WARNING, "weak-signatures", at,
				"Ask whoever runs the provider for SHA-256.",
				"'allow_sha1' accepts signatures that can be forged");
	if (source->just_in_time && !source->common.may_grant.at.file)
		diagnostics_add(list, SEVERITY_WARNING, "nothing-to-grant", at,
				"Say in may_grant what they may get.",
				"people made just in time get nothing without 'may_grant'");
}

const struct option_table saml_source_table = {
	.name = "saml",
	.help = "A SAML 2.0 identity provider. Its messages are read by worker processes that can "
		"do nothing else.",
	.struct_size = sizeof(struct saml_source),
	.options = saml_source_options,
	.base = &source_base_table,
	.check = check_saml_source,
};

/* --- saml: --- */

#define KEY_HELP \
	": an absolute path, or the name of a systemd credential. Only the workers read it; it " \
	"may not be readable by others."

/* An absolute path or the name of a credential, as secret_read_file takes them. */
static void check_key_path(const struct located *path, struct diagnostics *list)
{
	if (given(path) && strchr(path->text, '/') && path->text[0] != '/')
		diagnostics_add(list, SEVERITY_ERROR, "invalid-path", path->at,
				"Write an absolute path, or the name of a systemd credential.",
				"private key '%s' is a relative path", path->text);
}

static void check_decryption_key(void *item, struct diagnostics *list)
{
	const struct saml_key_settings *key = item;

	check_key_path(&key->private_key, list);
}

static const struct option decryption_key_options[] = {
	{ "certificate", OPTION_PATH, OPTION_REQUIRED | OPTION_NOT_EMPTY,
	  OPTION_FIELD(struct saml_key_settings, certificate), 0, PATH_LONGEST, NULL, NULL, NULL,
	  "Certificate (PEM), announced for encryption beside the present one." },
	{ "private_key", OPTION_STRING, OPTION_REQUIRED | OPTION_NOT_EMPTY,
	  OPTION_FIELD(struct saml_key_settings, private_key), 0, PATH_LONGEST, NULL, NULL, NULL,
	  "Its private key (PEM)" KEY_HELP },
	{ 0 },
};

static const struct option_table decryption_key_table = {
	.name = "saml.decryption_keys[]",
	.help = "Further key pairs that may decrypt: the old one for a while after a change.",
	.struct_size = sizeof(struct saml_key_settings),
	.options = decryption_key_options,
	.check = check_decryption_key,
};

static const struct option saml_options[] = {
	{ "certificate", OPTION_PATH, OPTION_NOT_EMPTY,
	  OPTION_FIELD(struct saml_settings, certificate), 0, PATH_LONGEST, NULL, NULL, NULL,
	  "Our certificate (PEM), for signatures and encryption. It may be self-signed." },
	{ "private_key", OPTION_STRING, OPTION_NOT_EMPTY,
	  OPTION_FIELD(struct saml_settings, private_key), 0, PATH_LONGEST, NULL, NULL, NULL,
	  "Its private key (RSA, PEM)" KEY_HELP },
	{ "decryption_keys", OPTION_LIST, 0, OPTION_FIELD(struct saml_settings, decryption_keys), 0,
	  8, NULL, NULL, &decryption_key_table, "Further keys that may decrypt." },
	{ "next_certificates", OPTION_STRINGS, OPTION_NOT_EMPTY,
	  OPTION_FIELD(struct saml_settings, next_certificates), 0, 8, NULL, NULL, NULL,
	  "Certificates (PEM, absolute paths) that our metadata announces for signatures before "
	  "they are used." },
	{ "verification", OPTION_ENUM, 0, OPTION_FIELD(struct saml_settings, verification), 0, 0,
	  "agree", verification_choices, NULL,
	  "`agree`: each response is verified twice, by independent code that has to agree. "
	  "`fast`: once." },
	{ "workers", OPTION_INT, 0, OPTION_FIELD(struct saml_settings, workers), 0, 64, "0", NULL,
	  NULL, "Worker processes; 0: one for each processor." },
	{ "skew", OPTION_SECONDS, 0, OPTION_FIELD(struct saml_settings, skew_s), 0, 300, "3m", NULL,
	  NULL, "How far the provider's clock may be off." },
	{ "organization_name", OPTION_STRING, OPTION_NOT_EMPTY,
	  OPTION_FIELD(struct saml_settings, organization_name), 0, 256, NULL, NULL, NULL,
	  "Name of the organization in our metadata; together with organization_url." },
	{ "organization_url", OPTION_STRING, OPTION_NOT_EMPTY,
	  OPTION_FIELD(struct saml_settings, organization_url), 0, 1024, NULL, NULL, NULL,
	  "Its web address." },
	{ "contact_name", OPTION_STRING, OPTION_NOT_EMPTY,
	  OPTION_FIELD(struct saml_settings, contact_name), 0, 256, NULL, NULL, NULL,
	  "Technical contact in our metadata." },
	{ "contact_email", OPTION_STRING, OPTION_NOT_EMPTY,
	  OPTION_FIELD(struct saml_settings, contact_email), 0, 256, NULL, NULL, NULL,
	  "Mail address of the technical contact." },
	{ 0 },
};

static void check_next_certificates(const struct located_list *paths, struct diagnostics *list)
{
	for (size_t i = 0; i < paths->count; i++)
		if (paths->items[i].text && paths->items[i].text[0] != '/')
			diagnostics_add(list, SEVERITY_ERROR, "invalid-path", paths->items[i].at,
					"Write an absolute path.",
					"certificate '%s' is a relative path",
					paths->items[i].text);
}

static void check_saml(void *item, struct diagnostics *list)
{
	const struct saml_settings *saml = item;
	const struct located *url = &saml->organization_url, *email = &saml->contact_email;

	AUTO(strbuf) struct strbuf normal = STRBUF(1024);
	struct err err = { 0 };

	if (given(&saml->certificate) != given(&saml->private_key))
		diagnostics_add(list, SEVERITY_ERROR, "key-incomplete", saml->at, NULL,
				"'certificate' and 'private_key' belong together");
	check_key_path(&saml->private_key, list);
	check_next_certificates(&saml->next_certificates, list);
	if (given(&saml->organization_name) != given(url))
		diagnostics_add(list, SEVERITY_ERROR, "organization-incomplete", saml->at, NULL,
				"'organization_name' and 'organization_url' belong together");
	if (given(url) && !is_https(url->text) &&
	    !(has_prefix(url->text, "http://") && is_plain(url->text)))
		diagnostics_add(list, SEVERITY_ERROR, "invalid-url", url->at, NULL,
				"'%s' is not a web address", url->text);
	if (given(email) && email_normalize(email->text, &normal, &err) < 0)
		diagnostics_add(list, SEVERITY_ERROR, "invalid-email", email->at, NULL, "%s",
				err.text);
}

const struct option_table saml_table = {
	.name = "saml",
	.help = "This daemon as a SAML 2.0 service provider: one key for all sources of type saml.",
	.struct_size = sizeof(struct saml_settings),
	.options = saml_options,
	.check = check_saml,
};
