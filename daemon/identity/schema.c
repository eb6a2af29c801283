/*
 * The attribute schema. Enters: built-in names and what the configuration declares.
 * Leaves: one immutable table, numbered in the byte order of the names, which
 * is the order of attributes in a record. Fails only out of memory; what is
 * wrong in the configuration goes to the diagnostics and is left out.
 */
#include <rolebridge/identity/schema.h>

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <rolebridge/base/arena.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

#define ATTRIBUTES_MAX 1000
#define SCHEMA_BYTES_MAX (64u * 1024 * 1024)
#define DISPLAY_NAMES_MAX 16

struct schema {
	struct arena *arena;
	struct schema_attribute *attributes; /* ascending by name, bytewise */
	uint16_t *caseless;		     /* ids, ascending by name, caseless */
	size_t count;
	const char **names; /* parallel to attributes, for did-you-mean */
	const char **sources;
	size_t source_count;
	source_mask directories;
	int username, email;
	uint16_t display_name[DISPLAY_NAMES_MAX];
	size_t display_name_count;
};

struct builtin {
	enum attribute_syntax syntax;
	const char *names; /* separated by spaces */
};

/* RFC 4519, 4524, 2798, 2307, 4530, eduPerson, Active Directory, 389 Directory Server. */
static const struct builtin builtins[] = {
	{ SYNTAX_STRING,
	  "businessCategory c carLicense cn co comment company department departmentNumber "
	  "description destinationIndicator displayName division eduPersonAffiliation "
	  "eduPersonAssurance eduPersonNickname eduPersonPrimaryAffiliation "
	  "eduPersonPrincipalName eduPersonScopedAffiliation eduPersonUniqueId employeeID "
	  "employeeNumber employeeType entryUUID extensionAttribute1 extensionAttribute2 "
	  "extensionAttribute3 extensionAttribute4 extensionAttribute5 extensionAttribute6 "
	  "extensionAttribute7 extensionAttribute8 extensionAttribute9 extensionAttribute10 "
	  "extensionAttribute11 extensionAttribute12 extensionAttribute13 extensionAttribute14 "
	  "extensionAttribute15 facsimileTelephoneNumber gecos generationQualifier givenName "
	  "homePhone homePostalAddress host houseIdentifier info initials ipPhone ipaUniqueID "
	  "l labeledURI mail mailLocalAddress mailNickname mobile name nsAccountLock nsUniqueId o "
	  "objectClass objectGUID objectSid organizationalStatus otherMailbox ou pager "
	  "personalTitle physicalDeliveryOfficeName postOfficeBox postalAddress postalCode "
	  "preferredLanguage proxyAddresses roomNumber sAMAccountName schacHomeOrganization "
	  "schacHomeOrganizationType serialNumber servicePrincipalName sn st street "
	  "streetAddress structuralObjectClass telephoneNumber title uid uniqueIdentifier "
	  "userPrincipalName" },
	{ SYNTAX_STRING_EXACT,
	  "eduPersonEntitlement eduPersonTargetedID homeDirectory loginShell sshPublicKey" },
	{ SYNTAX_INTEGER,
	  "accountExpires adminCount badPwdCount codePage countryCode gidNumber groupType "
	  "instanceType lastLogon lastLogonTimestamp lockoutTime logonCount primaryGroupID "
	  "pwdLastSet sAMAccountType shadowExpire shadowFlag shadowInactive shadowLastChange "
	  "shadowMax shadowMin shadowWarning uSNChanged uSNCreated uidNumber "
	  "userAccountControl" },
	{ SYNTAX_BOOLEAN,
	  "hasSubordinates isCriticalSystemObject msExchHideFromAddressLists pwdReset" },
	{ SYNTAX_DN, "assistant creatorsName directReports distinguishedName eduPersonOrgDN "
		     "eduPersonOrgUnitDN eduPersonPrimaryOrgUnitDN entryDN isMemberOf managedBy "
		     "managedObjects manager member memberOf modifiersName objectCategory owner "
		     "roleOccupant secretary seeAlso uniqueMember" },
	{ SYNTAX_TIME, "authTimestamp createTimestamp krbLastSuccessfulAuth krbPasswordExpiration "
		       "krbPrincipalExpiration modifyTimestamp pwdAccountLockedTime pwdChangedTime "
		       "pwdEndTime pwdLastSuccess pwdStartTime whenChanged whenCreated" },
};

/* Other names of the same attribute (RFC 4519, 4524). */
static const struct alias {
	const char *other, *name;
} aliases[] = {
	{ "commonName", "cn" },
	{ "countryName", "c" },
	{ "localityName", "l" },
	{ "organizationName", "o" },
	{ "organizationalUnitName", "ou" },
	{ "rfc822Mailbox", "mail" },
	{ "stateOrProvinceName", "st" },
	{ "surname", "sn" },
	{ "userid", "uid" },
	{ "mobileTelephoneNumber", "mobile" },
	{ "homeTelephoneNumber", "homePhone" },
	{ "pagerTelephoneNumber", "pager" },
};

/* --- collecting --- */

struct builder {
	struct schema *schema;
	struct diagnostics *list;
	size_t capacity;
};

static const char *canonical_name(const char *name, size_t size)
{
	for (size_t i = 0; i < ARRAY_LEN(aliases); i++)
		if (strlen(aliases[i].other) == size &&
		    strncasecmp(aliases[i].other, name, size) == 0)
			return aliases[i].name;
	return NULL;
}

static struct schema_attribute *collected(struct schema *schema, const char *name)
{
	const char *canonical = canonical_name(name, strlen(name));

	if (canonical)
		name = canonical;
	for (size_t i = 0; i < schema->count; i++)
		if (strcasecmp(schema->attributes[i].name, name) == 0)
			return &schema->attributes[i];
	return NULL;
}

static struct schema_attribute *collect(struct schema *schema, const char *name, size_t size,
					enum attribute_syntax syntax)
{
	struct schema_attribute *attribute = &schema->attributes[schema->count];

	attribute->name = arena_strndup(schema->arena, name, size);
	if (!attribute->name)
		return NULL;
	attribute->syntax = syntax;
	schema->count++;
	return attribute;
}

static int collect_builtins(struct schema *schema)
{
	for (size_t i = 0; i < ARRAY_LEN(builtins); i++) {
		const char *at = builtins[i].names;

		while (*at) {
			size_t size = strcspn(at, " ");
			struct schema_attribute *attribute =
				collect(schema, at, size, builtins[i].syntax);

			if (!attribute)
				return -1;
			attribute->builtin = true;
			at += size;
			at += strspn(at, " ");
		}
	}
	return 0;
}

/* One declaration of one source. -1 only out of memory. */
static int declare(struct schema *schema, const struct attribute_settings *given, uint16_t source,
		   struct diagnostics *list)
{
	struct schema_attribute *attribute;
	bool any = given->syntax == SYNTAX_AUTO;

	if (!given->name.text)
		return 0;
	attribute = collected(schema, given->name.text);
	if (!attribute && schema->count == ATTRIBUTES_MAX) {
		diagnostics_add(list, SEVERITY_ERROR, "too-many-attributes", given->name.at, NULL,
				"more than %d attributes", ATTRIBUTES_MAX);
		return 0;
	}
	if (!attribute) {
		attribute = collect(schema, given->name.text, strlen(given->name.text),
				    any ? SYNTAX_STRING : (enum attribute_syntax)given->syntax);
		if (!attribute)
			return -1;
	} else if (!any && given->syntax != (int)attribute->syntax) {
		diagnostics_add(list, SEVERITY_ERROR, "syntax-conflict", given->name.at,
				"Give it another name and the source's spelling in 'from'.",
				"attribute '%s' has syntax %s elsewhere, not %s", attribute->name,
				attribute_syntax_name(attribute->syntax),
				attribute_syntax_name((enum attribute_syntax)given->syntax));
	}
	attribute->sensitive = attribute->sensitive || given->sensitive;
	if (given->absent == 1)
		attribute->absent_unknown |= (source_mask)1 << source;
	return 0;
}

/* Explicit syntaxes first, so that an `auto` of an earlier source agrees with them. */
static int collect_declared(struct schema *schema, const struct source_settings *const *sources,
			    struct diagnostics *list)
{
	for (int round = 0; round < 2; round++) {
		for (size_t s = 0; s < schema->source_count; s++) {
			const struct attribute_settings *given = sources[s]->attributes.items;

			for (size_t i = 0; i < sources[s]->attributes.count; i++)
				if ((given[i].syntax == SYNTAX_AUTO) == (round == 1) &&
				    declare(schema, &given[i], (uint16_t)s, list) < 0)
					return -1;
		}
	}
	return 0;
}

static int compare_attributes(const void *a, const void *b)
{
	const struct schema_attribute *left = a, *right = b;

	return strcmp(left->name, right->name);
}

static int compare_caseless(const void *a, const void *b, void *context)
{
	const struct schema *schema = context;

	return strcasecmp(schema->attributes[*(const uint16_t *)a].name,
			  schema->attributes[*(const uint16_t *)b].name);
}

static int build_indexes(struct schema *schema)
{
	qsort(schema->attributes, schema->count, sizeof(*schema->attributes), compare_attributes);
	schema->caseless = arena_alloc_array(schema->arena, schema->count, sizeof(uint16_t));
	schema->names = arena_alloc_array(schema->arena, schema->count, sizeof(char *));
	if (!schema->caseless || !schema->names)
		return -1;
	for (size_t i = 0; i < schema->count; i++) {
		schema->caseless[i] = (uint16_t)i;
		schema->names[i] = schema->attributes[i].name;
	}
	qsort_r(schema->caseless, schema->count, sizeof(uint16_t), compare_caseless, schema);
	return 0;
}

/* --- precedence --- */

static const struct pair *find_precedence(const struct identity_settings *identity,
					  const struct schema *schema, size_t id)
{
	for (size_t i = 0; i < identity->precedence.count; i++) {
		const char *name = identity->precedence.items[i].name.text;

		if (schema_find(schema, name, strlen(name)) == (int)id)
			return &identity->precedence.items[i];
	}
	return NULL;
}

/* The sources that the pair names, each once, then the others in the order of the configuration. */
static uint16_t *order_of(struct schema *schema, const struct pair *pair)
{
	uint16_t *order =
		arena_alloc_array(schema->arena, schema->source_count + 1, sizeof(*order));
	source_mask placed = 0;
	size_t count = 0;

	for (size_t i = 0; order && pair && i < pair->values.count; i++) {
		const char *name = pair->values.items[i].text;
		int source = schema_find_source(schema, name, strlen(name));

		if (source < 0 || placed & (source_mask)1 << source)
			continue;
		placed |= (source_mask)1 << source;
		order[count++] = (uint16_t)source;
	}
	for (size_t s = 0; order && s < schema->source_count; s++)
		if (!(placed & (source_mask)1 << s))
			order[count++] = (uint16_t)s;
	return order;
}

static int set_orders(struct schema *schema, const struct identity_settings *identity)
{
	const uint16_t *usual = order_of(schema, NULL);

	if (!usual)
		return -1;
	for (size_t id = 0; id < schema->count; id++) {
		const struct pair *pair = find_precedence(identity, schema, id);

		schema->attributes[id].order = pair ? order_of(schema, pair) : usual;
		if (!schema->attributes[id].order)
			return -1;
	}
	return 0;
}

/* --- what the configuration says by name --- */

static void report_unknown(const struct schema *schema, struct diagnostics *list,
			   const struct located *name)
{
	const char *nearest = schema_nearest(schema, name->text);
	char hint[256] = "Attributes are declared in sources[].attributes.";

	if (nearest)
		snprintf(hint, sizeof(hint),
			 "Did you mean '%s'? Attributes are declared in sources[].attributes.",
			 nearest);
	diagnostics_add(list, SEVERITY_ERROR, "unknown-attribute", name->at, hint,
			"unknown attribute '%s'", name->text);
}

static void report_unknown_source(const struct schema *schema, struct diagnostics *list,
				  const struct located *name)
{
	const char *nearest = text_nearest(name->text, schema->sources, schema->source_count);
	char hint[128] = "";

	if (nearest)
		snprintf(hint, sizeof(hint), "Did you mean '%s'?", nearest);
	diagnostics_add(list, SEVERITY_ERROR, "unknown-source", name->at, nearest ? hint : NULL,
			"unknown source '%s'", name->text);
}

static int find_named(const struct schema *schema, const struct located *name,
		      struct diagnostics *list)
{
	int id = name->text ? schema_find(schema, name->text, strlen(name->text)) : -1;

	if (name->text && id < 0)
		report_unknown(schema, list, name);
	return id;
}

static void set_fields(struct schema *schema, const struct identity_settings *identity,
		       struct diagnostics *list)
{
	static const struct located usual[] = { { .text = "displayName" }, { .text = "cn" } };
	const struct located *names = identity->display_name.items;
	size_t count = identity->display_name.count;

	schema->username = find_named(schema, &identity->username, list);
	schema->email = find_named(schema, &identity->email, list);
	if (count == 0) {
		names = usual;
		count = ARRAY_LEN(usual);
	}
	for (size_t i = 0; i < count && schema->display_name_count < DISPLAY_NAMES_MAX; i++) {
		int id = find_named(schema, &names[i], list);

		if (id >= 0)
			schema->display_name[schema->display_name_count++] = (uint16_t)id;
	}
}

static void check_precedence(const struct schema *schema, const struct identity_settings *identity,
			     struct diagnostics *list)
{
	for (size_t i = 0; i < identity->precedence.count; i++) {
		const struct pair *pair = &identity->precedence.items[i];

		find_named(schema, &pair->name, list);
		for (size_t j = 0; j < pair->values.count; j++) {
			const struct located *source = &pair->values.items[j];

			if (schema_find_source(schema, source->text, strlen(source->text)) < 0)
				report_unknown_source(schema, list, source);
		}
	}
}

static void check_link(const struct schema *schema, const struct source_settings *source,
		       struct diagnostics *list)
{
	const struct link_settings *link = &source->link;

	if (link->at.file == 0)
		return;
	find_named(schema, &link->attribute, list);
	if (link->other.text && strcmp(link->other.text, "key") != 0)
		find_named(schema, &link->other, list);
	if (!link->source.text)
		return;
	if (schema_find_source(schema, link->source.text, strlen(link->source.text)) < 0)
		report_unknown_source(schema, list, &link->source);
	else if (source->name.text && strcmp(source->name.text, link->source.text) == 0)
		diagnostics_add(list, SEVERITY_ERROR, "self-link", link->source.at, NULL,
				"source '%s' links to itself", source->name.text);
}

static void check_sources(const struct schema *schema, const struct source_settings *const *sources,
			  struct diagnostics *list)
{
	for (size_t i = 0; i < schema->source_count; i++) {
		const char *name = schema->sources[i];

		if (*name && schema_find_source(schema, name, strlen(name)) < (int)i)
			diagnostics_add(list, SEVERITY_ERROR, "duplicate-source",
					sources[i]->name.at, NULL, "two sources are named '%s'",
					name);
		check_link(schema, sources[i], list);
	}
}

/* --- life --- */

static int set_sources(struct schema *schema, const struct source_settings *const *sources,
		       size_t count, struct diagnostics *list)
{
	if (count > SOURCES_CONFIGURED_MAX) {
		diagnostics_add(list, SEVERITY_ERROR, "too-many-sources",
				sources[SOURCES_CONFIGURED_MAX]->at, NULL, "more than %d sources",
				SOURCES_CONFIGURED_MAX);
		count = SOURCES_CONFIGURED_MAX;
	}
	schema->sources = arena_alloc_array(schema->arena, count + 1, sizeof(char *));
	if (!schema->sources)
		return -1;
	schema->source_count = count;
	for (size_t i = 0; i < count; i++) {
		const char *name = sources[i]->name.text;

		schema->sources[i] = arena_strdup(schema->arena, name ? name : "");
		if (!schema->sources[i])
			return -1;
		if (source_is_directory(sources[i]))
			schema->directories |= (source_mask)1 << i;
	}
	return 0;
}

struct schema *schema_create(const struct identity_settings *identity,
			     const struct source_settings *const *sources, size_t source_count,
			     struct diagnostics *list)
{
	struct arena *arena = arena_create(SCHEMA_BYTES_MAX);
	struct schema *schema = arena ? arena_alloc(arena, sizeof(*schema)) : NULL;

	if (!schema) {
		arena_destroy(arena);
		return NULL;
	}
	schema->arena = arena;
	schema->attributes = arena_alloc_array(arena, ATTRIBUTES_MAX, sizeof(*schema->attributes));
	if (!schema->attributes || set_sources(schema, sources, source_count, list) < 0 ||
	    collect_builtins(schema) < 0 || collect_declared(schema, sources, list) < 0 ||
	    build_indexes(schema) < 0 || set_orders(schema, identity) < 0) {
		arena_destroy(arena);
		return NULL;
	}
	set_fields(schema, identity, list);
	check_precedence(schema, identity, list);
	check_sources(schema, sources, list);
	return schema;
}

/* --- with what the store knows --- */

struct extension {
	struct schema *schema;
	const struct schema *base;
	const uint16_t *from, *order; /* the last order that was made, and of which */
};

/* The base's sources as they were, and behind them the new one. */
static const uint16_t *extended_order(struct extension *extension, const uint16_t *from)
{
	size_t count = extension->base->source_count;
	uint16_t *order;

	if (extension->from && extension->from == from)
		return extension->order;
	order = arena_alloc_array(extension->schema->arena, count + 1, sizeof(*order));
	for (size_t i = 0; order && i < count; i++)
		order[i] = from[i];
	if (order)
		order[count] = (uint16_t)count;
	extension->from = from;
	extension->order = order;
	return order;
}

static int extend_sources(struct extension *extension, const char *source)
{
	struct schema *schema = extension->schema;
	const struct schema *base = extension->base;

	schema->sources = arena_alloc_array(schema->arena, base->source_count + 2, sizeof(char *));
	if (!schema->sources || base->source_count >= SOURCES_MAX)
		return -1;
	for (size_t i = 0; i < base->source_count; i++)
		schema->sources[i] = base->sources[i];
	schema->sources[base->source_count] = source;
	schema->source_count = base->source_count + 1;
	schema->directories = base->directories;
	return 0;
}

static int extend_attributes(struct extension *extension, bool with_sensitive)
{
	struct schema *schema = extension->schema;

	for (size_t i = 0; i < extension->base->count; i++) {
		struct schema_attribute *attribute = &schema->attributes[schema->count];

		*attribute = extension->base->attributes[i];
		if (attribute->sensitive && !with_sensitive)
			continue;
		attribute->order = extended_order(extension, attribute->order);
		if (!attribute->order)
			return -1;
		schema->count++;
	}
	return 0;
}

static int extend_fact(struct extension *extension, const struct schema_fact *fact)
{
	struct schema *schema = extension->schema;
	struct schema_attribute *attribute = collected(schema, fact->name);

	if (attribute && fact->shared)
		return 0;
	if (attribute) {
		attribute->elsewhere = true;
	} else {
		const uint16_t *usual = extension->base->attributes[0].order;

		attribute = collect(schema, fact->name, strlen(fact->name), fact->syntax);
		if (!attribute || !(attribute->order = extended_order(extension, usual)))
			return -1;
	}
	attribute->syntax = fact->syntax;
	attribute->only = (uint16_t)schema->source_count;
	attribute->absent_unknown = 0;
	return 0;
}

struct schema *schema_extend(const struct schema *base, const char *source,
			     const struct schema_fact *facts, size_t fact_count,
			     bool with_sensitive)
{
	struct arena *arena = arena_create(SCHEMA_BYTES_MAX);
	struct schema *schema = arena ? arena_alloc(arena, sizeof(*schema)) : NULL;
	struct extension extension = { .schema = schema, .base = base };

	if (!schema) {
		arena_destroy(arena);
		return NULL;
	}
	*schema = (struct schema){ .arena = arena, .username = -1, .email = -1 };
	schema->attributes =
		arena_alloc_array(arena, base->count + fact_count, sizeof(*schema->attributes));
	if (!schema->attributes || extend_sources(&extension, source) < 0 ||
	    extend_attributes(&extension, with_sensitive) < 0) {
		arena_destroy(arena);
		return NULL;
	}
	for (size_t i = 0; i < fact_count; i++) {
		if (extend_fact(&extension, &facts[i]) < 0) {
			arena_destroy(arena);
			return NULL;
		}
	}
	if (build_indexes(schema) < 0) {
		arena_destroy(arena);
		return NULL;
	}
	return schema;
}

void schema_destroy(struct schema *schema)
{
	if (schema)
		arena_destroy(schema->arena);
}

/* --- asking --- */

size_t schema_count(const struct schema *schema)
{
	return schema->count;
}

const struct schema_attribute *schema_get(const struct schema *schema, uint16_t id)
{
	return id < schema->count ? &schema->attributes[id] : NULL;
}

static int find_caseless(const struct schema *schema, const char *name, size_t size)
{
	size_t low = 0, high = schema->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const char *here = schema->attributes[schema->caseless[middle]].name;
		int order = strncasecmp(name, here, size);

		if (order == 0 && here[size] != '\0')
			order = -1;
		if (order == 0)
			return schema->caseless[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return -1;
}

int schema_find(const struct schema *schema, const char *name, size_t size)
{
	const char *canonical;
	int id;

	if (size == 0 || memchr(name, '\0', size))
		return -1;
	id = find_caseless(schema, name, size);
	if (id >= 0)
		return id;
	canonical = canonical_name(name, size);
	return canonical ? find_caseless(schema, canonical, strlen(canonical)) : -1;
}

const char *schema_nearest(const struct schema *schema, const char *name)
{
	return text_nearest(name, schema->names, schema->count);
}

size_t schema_source_count(const struct schema *schema)
{
	return schema->source_count;
}

const char *schema_source_name(const struct schema *schema, uint16_t source)
{
	return source < schema->source_count ? schema->sources[source] : "";
}

bool schema_source_is_directory(const struct schema *schema, uint16_t source)
{
	return source < schema->source_count && (schema->directories >> source & 1);
}

int schema_find_source(const struct schema *schema, const char *name, size_t size)
{
	for (size_t i = 0; i < schema->source_count; i++)
		if (strlen(schema->sources[i]) == size &&
		    memcmp(schema->sources[i], name, size) == 0)
			return (int)i;
	return -1;
}

int schema_username(const struct schema *schema)
{
	return schema->username;
}

int schema_email(const struct schema *schema)
{
	return schema->email;
}

const uint16_t *schema_display_name(const struct schema *schema, size_t *ret_count)
{
	*ret_count = schema->display_name_count;
	return schema->display_name;
}

static bool source_hides(const struct source_settings *source, const char *name)
{
	const struct attribute_settings *declared = source->attributes.items;

	for (size_t i = 0; i < source->attributes.count; i++) {
		const char *from =
			declared[i].from.text ? declared[i].from.text : declared[i].name.text;

		if (declared[i].sensitive && from && text_ascii_equal_caseless(from, name))
			return true;
	}
	return false;
}

bool schema_hides(const struct schema *schema, const struct source_settings *source,
		  const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int id = names[i] && names[i][0] ? schema_find(schema, names[i], strlen(names[i]))
						 : -1;

		if (id >= 0 && schema_get(schema, (uint16_t)id)->sensitive)
			return true;
		if (names[i] && names[i][0] && source_hides(source, names[i]))
			return true;
	}
	return false;
}
