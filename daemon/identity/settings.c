/*
 * Option tables that every source shares, of organizations and of identity, and what
 * can be checked without knowing the other sections. Findings go to the diagnostics.
 */
#include <rolebridge/identity/settings.h>

#include <string.h>

#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>
#include <rolebridge/identity/names.h>

#define DAY_S (24 * 60 * 60)
#define INTERVAL_S (60 * 60)

static const char *const syntaxes[] = { "string", "string-exact", "integer", "boolean",
					"dn",	  "time",	  "auto",    NULL };
static const char *const absences[] = { "no", "unknown", NULL };

const char *attribute_syntax_name(enum attribute_syntax syntax)
{
	return (size_t)syntax < ARRAY_LEN(syntaxes) - 1 ? syntaxes[syntax] : "unknown";
}

/* What nobody may read into a record: it would stand in the store, in plans and explanations. */
static const char *const secret_attributes[] = {
	"userPassword",
	"unicodePwd",
	"authPassword",
	"pwdHistory",
	"ntPwdHistory",
	"lmPwdHistory",
	"dBCSPwd",
	"sambaNTPassword",
	"sambaLMPassword",
	"krbPrincipalKey",
	"supplementalCredentials",
	"ms-Mcs-AdmPwd",
	"passwordHistory",
	"ipaNTHash",
};

/* Words that rule tests and explanations use beside attribute names. */
static const char *const reserved_names[] = { "groups", "key", "dn" };

static bool is_one_of(const char *text, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (text_ascii_equal_caseless(text, words[i]))
			return true;
	return false;
}

static void check_attribute(void *item, struct diagnostics *list)
{
	struct attribute_settings *attribute = item;
	const char *from;

	if (!attribute->name.text)
		return;
	if (!attribute->from.text)
		attribute->from = attribute->name;
	from = attribute->from.text;
	if (!attribute_name_is_valid(attribute->name.text))
		diagnostics_add(
			list, SEVERITY_ERROR, "invalid-name", attribute->name.at,
			"Rules can use letters, digits and hyphens; give the source's spelling in 'from'.",
			"'%s' is not an attribute name", attribute->name.text);
	else if (is_one_of(attribute->name.text, reserved_names, ARRAY_LEN(reserved_names)))
		diagnostics_add(list, SEVERITY_ERROR, "reserved-name", attribute->name.at,
				"Choose another name and give the source's spelling in 'from'.",
				"attribute name '%s' is reserved", attribute->name.text);
	if (is_one_of(from, secret_attributes, ARRAY_LEN(secret_attributes)))
		diagnostics_add(list, SEVERITY_ERROR, "secret-attribute", attribute->from.at, NULL,
				"attribute '%s' holds secrets and is never read", from);
}

static const struct option attribute_options[] = {
	{ "name", OPTION_STRING, OPTION_REQUIRED | OPTION_NOT_EMPTY,
	  OPTION_FIELD(struct attribute_settings, name), 0, 128, NULL, NULL, NULL,
	  "Name as rules use it." },
	{ "from", OPTION_STRING, OPTION_NOT_EMPTY, OPTION_FIELD(struct attribute_settings, from), 0,
	  512, NULL, NULL, NULL, "Name as the source spells it. Default: the same as name." },
	{ "syntax", OPTION_ENUM, 0, OPTION_FIELD(struct attribute_settings, syntax), 0, 0, "auto",
	  syntaxes, NULL,
	  "How values compare. auto: as the built-in attribute of that name, else string (caseless)." },
	{ "sensitive", OPTION_BOOL, 0, OPTION_FIELD(struct attribute_settings, sensitive), 0, 0,
	  "false", NULL, NULL,
	  "Values are shown to nobody without the permission attributes:read." },
	{ "absent", OPTION_ENUM, 0, OPTION_FIELD(struct attribute_settings, absent), 0, 0, "no",
	  absences, NULL,
	  "What it means when the source delivers no value: no, or unknown where access rights may hide it." },
	{ NULL, OPTION_BOOL, 0, 0, 0, 0, NULL, NULL, NULL, NULL },
};

static const struct option_table attribute_table = {
	.name = "sources[].attributes[]",
	.help = "Attributes beyond the built-in ones, or built-in ones under another name. "
		"A plain name stands for {name: it}.",
	.struct_size = sizeof(struct attribute_settings),
	.options = attribute_options,
	.shorthand = "name",
	.check = check_attribute,
};

static const struct option link_options[] = {
	{ "attribute", OPTION_STRING, OPTION_REQUIRED | OPTION_NOT_EMPTY,
	  OPTION_FIELD(struct link_settings, attribute), 0, 128, NULL, NULL, NULL,
	  "This source's attribute." },
	{ "source", OPTION_STRING, OPTION_REQUIRED | OPTION_NOT_EMPTY,
	  OPTION_FIELD(struct link_settings, source), 0, 32, NULL, NULL, NULL,
	  "The other source." },
	{ "other", OPTION_STRING, OPTION_NOT_EMPTY, OPTION_FIELD(struct link_settings, other), 0,
	  128, "key", NULL, NULL, "The other source's attribute; key: its immutable key." },
	{ NULL, OPTION_BOOL, 0, 0, 0, 0, NULL, NULL, NULL, NULL },
};

static const struct option_table link_table = {
	.name = "sources[].link",
	.help = "How a person of this source is found among those of another one. Exactly one match links.",
	.struct_size = sizeof(struct link_settings),
	.options = link_options,
};

static const struct option may_grant_options[] = {
	{ "profiles", OPTION_STRINGS, 0, OPTION_FIELD(struct may_grant_settings, profiles), 0, 0,
	  NULL, NULL, NULL, "Profiles; \"*\" allows all." },
	{ "roles", OPTION_STRINGS, 0, OPTION_FIELD(struct may_grant_settings, roles), 0, 0, NULL,
	  NULL, NULL, "Roles; \"*\" allows all." },
	{ "personas", OPTION_STRINGS, 0, OPTION_FIELD(struct may_grant_settings, personas), 0, 0,
	  NULL, NULL, NULL, "Personas; \"*\" allows all." },
	{ "groups", OPTION_STRINGS, 0, OPTION_FIELD(struct may_grant_settings, groups), 0, 0, NULL,
	  NULL, NULL, "Local groups; \"*\" allows all." },
	{ NULL, OPTION_BOOL, 0, 0, 0, 0, NULL, NULL, NULL, NULL },
};

static const struct option_table may_grant_table = {
	.name = "sources[].may_grant",
	.help = "The most that this source can cause, whatever the rules say. Not given: everything.",
	.struct_size = sizeof(struct may_grant_settings),
	.options = may_grant_options,
};

static void check_domain(const struct located *domain, struct diagnostics *list)
{
	char text[256 + 2] = "x@";
	size_t size = strlen(domain->text);

	AUTO(strbuf) struct strbuf normal = STRBUF(1024);
	struct err err;

	if (size < sizeof(text) - 2) {
		memcpy(text + 2, domain->text, size + 1);
		if (email_normalize(text, &normal, &err) == 0)
			return;
	}
	diagnostics_add(list, SEVERITY_ERROR, "invalid-domain", domain->at, NULL,
			"'%s' is not a mail domain", domain->text);
}

void source_settings_check(void *item, struct diagnostics *list)
{
	struct source_settings *source = item;
	const struct attribute_settings *attributes = source->attributes.items;

	source->interval_given = source->interval_s >= 0;
	if (!source->interval_given)
		source->interval_s = INTERVAL_S;
	if (source->name.text && !source_name_is_valid(source->name.text))
		diagnostics_add(list, SEVERITY_ERROR, "invalid-name", source->name.at,
				"Use lower-case letters, digits and hyphens, at most 32.",
				"source name '%s' is not allowed", source->name.text);
	for (size_t i = 0; i < source->attributes.count; i++) {
		for (size_t j = 0; attributes[i].name.text && j < i; j++) {
			if (!attributes[j].name.text ||
			    !text_ascii_equal_caseless(attributes[i].name.text,
						       attributes[j].name.text))
				continue;
			diagnostics_add(list, SEVERITY_ERROR, "duplicate-attribute",
					attributes[i].name.at, NULL,
					"attribute '%s' is declared twice in this source",
					attributes[i].name.text);
			break;
		}
	}
	for (size_t i = 0; i < source->authoritative_domains.count; i++)
		check_domain(&source->authoritative_domains.items[i], list);
}

bool source_signs_in(const struct source_settings *source)
{
	return source->type.text && strcmp(source->type.text, "saml") == 0;
}

bool source_is_directory(const struct source_settings *source)
{
	static const char *const directories[] = { "ldap", "ldif" };

	for (size_t i = 0; i < ARRAY_LEN(directories); i++)
		if (source->type.text && strcmp(source->type.text, directories[i]) == 0)
			return true;
	return false;
}

static const struct option source_options[] = {
	{ "name", OPTION_STRING, OPTION_REQUIRED | OPTION_NOT_EMPTY,
	  OPTION_FIELD(struct source_settings, name), 0, 64, NULL, NULL, NULL,
	  "Short name: lower-case letters, digits, hyphens. People are keyed on it: keep it." },
	{ "type", OPTION_STRING, OPTION_REQUIRED | OPTION_NOT_EMPTY,
	  OPTION_FIELD(struct source_settings, type), 0, 32, NULL, NULL, NULL, "Kind of source." },
	{ "organization", OPTION_STRING, OPTION_NOT_EMPTY,
	  OPTION_FIELD(struct source_settings, organization), 0, 64, "default", NULL, NULL,
	  "Organization its people belong to." },
	{ "enabled", OPTION_BOOL, 0, OPTION_FIELD(struct source_settings, enabled), 0, 0, "true",
	  NULL, NULL,
	  "false: it is not read or followed, and nobody signs in through it but for an administrator's "
	  "test; what it gave before stays. Sessions that were begun stay, too." },
	{ "attributes", OPTION_LIST, 0, OPTION_FIELD(struct source_settings, attributes), 0, 1000,
	  NULL, NULL, &attribute_table,
	  "Attributes that rules may use, beyond the built-in ones." },
	{ "link", OPTION_TABLE, 0, OPTION_FIELD(struct source_settings, link), 0, 0, NULL, NULL,
	  &link_table, "How its people are found among those of another source." },
	{ "authoritative_domains", OPTION_STRINGS, 0,
	  OPTION_FIELD(struct source_settings, authoritative_domains), 0, 1000, NULL, NULL, NULL,
	  "Mail domains this source vouches for; only these may link people by e-mail." },
	{ "may_grant", OPTION_TABLE, 0, OPTION_FIELD(struct source_settings, may_grant), 0, 0, NULL,
	  NULL, &may_grant_table, "Bounds what this source can cause." },
	{ "interval", OPTION_SECONDS, OPTION_MARK_ABSENT,
	  OPTION_FIELD(struct source_settings, interval_s), 0, 30 * DAY_S, "1h", NULL, NULL,
	  "Pause between scheduled full reads; 0: only on demand. A directory that is followed: 1d "
	  "when not given." },
	{ "canaries", OPTION_STRINGS, 0, OPTION_FIELD(struct source_settings, canaries), 0, 1000,
	  NULL, NULL, NULL,
	  "Keys or DNs that every complete read must contain; without them it counts as incomplete." },
	{ NULL, OPTION_BOOL, 0, 0, 0, 0, NULL, NULL, NULL, NULL },
};

const struct option_table source_base_table = {
	.name = "sources[]",
	.help = "Where identities come from. Each type has further keys.",
	.struct_size = sizeof(struct source_settings),
	.options = source_options,
	.check = source_settings_check,
};

/* --- organizations --- */

static void check_organization(void *item, struct diagnostics *list)
{
	const struct organization_settings *organization = item;

	if (organization->name.text && !slug_is_valid(organization->name.text))
		diagnostics_add(list, SEVERITY_ERROR, "invalid-name", organization->name.at,
				"Use lower-case letters, digits, '.', '_' and '-'.",
				"organization name '%s' is not allowed", organization->name.text);
	for (size_t i = 0; i < organization->domains.count; i++)
		check_domain(&organization->domains.items[i], list);
}

static const struct option organization_options[] = {
	{ "name", OPTION_STRING, OPTION_REQUIRED | OPTION_NOT_EMPTY,
	  OPTION_FIELD(struct organization_settings, name), 0, 64, NULL, NULL, NULL,
	  "Short name; default always exists." },
	{ "domains", OPTION_STRINGS, 0, OPTION_FIELD(struct organization_settings, domains), 0,
	  1000, NULL, NULL, NULL, "Its mail domains." },
	{ "segments", OPTION_STRINGS, 0, OPTION_FIELD(struct organization_settings, segments), 0,
	  1000, NULL, NULL, NULL,
	  "Segments that its own roles may carry. Not given: those of segments." },
	{ "second_factor", OPTION_TABLE, 0,
	  OPTION_FIELD(struct organization_settings, second_factor), 0, 0, NULL, NULL,
	  &factor_table,
	  "Who of it must prove a second factor. Not given: as second_factor says." },
	{ NULL, OPTION_BOOL, 0, 0, 0, 0, NULL, NULL, NULL, NULL },
};

const struct option_table organization_table = {
	.name = "organizations[]",
	.help = "Isolation boundaries. Every source and user belongs to one. A plain name stands for {name: it}.",
	.struct_size = sizeof(struct organization_settings),
	.options = organization_options,
	.shorthand = "name",
	.check = check_organization,
};

/* Index of the organization that lists the domain, before `end`; end when none does. */
static size_t domain_owner(const struct organization_settings *organizations, size_t end,
			   const char *domain)
{
	for (size_t i = 0; i < end; i++)
		for (size_t j = 0; j < organizations[i].domains.count; j++)
			if (text_ascii_equal_caseless(organizations[i].domains.items[j].text,
						      domain))
				return i;
	return end;
}

static const struct organization_settings *find_organization(
	const struct organization_settings *organizations, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (organizations[i].name.text && strcmp(organizations[i].name.text, name) == 0)
			return &organizations[i];
	return NULL;
}

static void check_source_organization(const struct organization_settings *organizations,
				      size_t count, const struct source_settings *source,
				      struct diagnostics *list)
{
	const char *name = source->organization.text;

	if (!name)
		return;
	if (strcmp(name, "default") != 0 && !find_organization(organizations, count, name))
		diagnostics_add(list, SEVERITY_ERROR, "unknown-organization",
				source->organization.at,
				"Organizations are declared in organizations[].",
				"unknown organization '%s'", name);
	for (size_t i = 0; i < source->authoritative_domains.count; i++) {
		const struct located *domain = &source->authoritative_domains.items[i];
		size_t owner = domain_owner(organizations, count, domain->text);

		if (owner < count && organizations[owner].name.text &&
		    strcmp(organizations[owner].name.text, name) != 0)
			diagnostics_add(list, SEVERITY_ERROR, "foreign-domain", domain->at, NULL,
					"domain '%s' belongs to organization '%s', not to '%s'",
					domain->text, organizations[owner].name.text, name);
	}
}

void organizations_check(const struct organization_settings *organizations, size_t count,
			 const struct source_settings *const *sources, size_t source_count,
			 struct diagnostics *list)
{
	for (size_t i = 0; i < count; i++) {
		if (organizations[i].name.text &&
		    find_organization(organizations, i, organizations[i].name.text))
			diagnostics_add(list, SEVERITY_ERROR, "duplicate-organization",
					organizations[i].name.at, NULL,
					"organization '%s' is declared twice",
					organizations[i].name.text);
		for (size_t j = 0; j < organizations[i].domains.count; j++) {
			const struct located *domain = &organizations[i].domains.items[j];

			if (domain_owner(organizations, i, domain->text) < i)
				diagnostics_add(
					list, SEVERITY_ERROR, "duplicate-domain", domain->at, NULL,
					"domain '%s' belongs to another organization already",
					domain->text);
		}
	}
	for (size_t i = 0; i < source_count; i++)
		check_source_organization(organizations, count, sources[i], list);
}

/* --- identity --- */

static const struct option identity_options[] = {
	{ "username", OPTION_STRING, OPTION_NOT_EMPTY,
	  OPTION_FIELD(struct identity_settings, username), 0, 128, "uid", NULL, NULL,
	  "Attribute that becomes the user name." },
	{ "email", OPTION_STRING, OPTION_NOT_EMPTY, OPTION_FIELD(struct identity_settings, email),
	  0, 128, "mail", NULL, NULL, "Attribute that becomes the e-mail address." },
	{ "display_name", OPTION_STRINGS, OPTION_NOT_EMPTY,
	  OPTION_FIELD(struct identity_settings, display_name), 0, 16, NULL, NULL, NULL,
	  "Attributes for the display name; the first one present is taken. Default: displayName, cn." },
	{ "precedence", OPTION_PAIRS, 0, OPTION_FIELD(struct identity_settings, precedence), 0,
	  1000, NULL, NULL, NULL,
	  "For an attribute, the order of sources that is asked. Sources not named follow in the order of the configuration." },
	{ NULL, OPTION_BOOL, 0, 0, 0, 0, NULL, NULL, NULL, NULL },
};

const struct option_table identity_table = {
	.name = "identity",
	.help = "Which attributes become the user's fields, and which source is believed first.",
	.struct_size = sizeof(struct identity_settings),
	.options = identity_options,
};
