/*
 * Attributes (see attributes.h). Enters: an assertion that passed the gate. Leaves: texts borrowed from the
 * document or the arena, an identity record in the arena. Fails on values that are more than text, and
 * out of memory.
 */
#include "attributes.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>
#include <rolebridge/identity/groups.h>
#include <rolebridge/identity/record.h>

#include "refusal.h"
#include "xml.h"

#define KEY_MAX 1024
#define GROUP_TEXT_MAX ((size_t)64 * 1024)

static const char transient_format[] = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient";
/* Sent instead of the groups when a person has more than fit into an assertion. */
static const char groups_elsewhere[] = "http://schemas.microsoft.com/claims/groups.link";

/*
 * Names on the wire and what everybody calls them, ascending by wire name. Sources: RFC 4519, 4524, 2798
 * (with their OIDs), eduPerson, SCHAC, SAML subject identifier attributes, Microsoft's claim types.
 */
static const struct known_name {
	const char *wire, *usual;
} known_names[] = {
	{ "http://schemas.microsoft.com/identity/claims/displayname", "displayName" },
	{ "http://schemas.microsoft.com/identity/claims/objectidentifier", "objectidentifier" },
	{ "http://schemas.microsoft.com/identity/claims/tenantid", "tenantid" },
	{ "http://schemas.microsoft.com/ws/2008/06/identity/claims/groups", "groups" },
	{ "http://schemas.microsoft.com/ws/2008/06/identity/claims/role", "role" },
	{ "http://schemas.microsoft.com/ws/2008/06/identity/claims/windowsaccountname",
	  "sAMAccountName" },
	{ "http://schemas.xmlsoap.org/claims/CommonName", "cn" },
	{ "http://schemas.xmlsoap.org/claims/EmailAddress", "mail" },
	{ "http://schemas.xmlsoap.org/claims/Group", "groups" },
	{ "http://schemas.xmlsoap.org/claims/UPN", "userPrincipalName" },
	{ "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress", "mail" },
	{ "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/givenname", "givenName" },
	{ "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name", "userPrincipalName" },
	{ "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/surname", "sn" },
	{ "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn", "userPrincipalName" },
	{ "urn:mace:dir:attribute-def:cn", "cn" },
	{ "urn:mace:dir:attribute-def:displayName", "displayName" },
	{ "urn:mace:dir:attribute-def:eduPersonAffiliation", "eduPersonAffiliation" },
	{ "urn:mace:dir:attribute-def:eduPersonEntitlement", "eduPersonEntitlement" },
	{ "urn:mace:dir:attribute-def:eduPersonPrincipalName", "eduPersonPrincipalName" },
	{ "urn:mace:dir:attribute-def:eduPersonScopedAffiliation", "eduPersonScopedAffiliation" },
	{ "urn:mace:dir:attribute-def:eduPersonTargetedID", "eduPersonTargetedID" },
	{ "urn:mace:dir:attribute-def:givenName", "givenName" },
	{ "urn:mace:dir:attribute-def:isMemberOf", "isMemberOf" },
	{ "urn:mace:dir:attribute-def:mail", "mail" },
	{ "urn:mace:dir:attribute-def:sn", "sn" },
	{ "urn:mace:dir:attribute-def:uid", "uid" },
	{ "urn:oasis:names:tc:SAML:attribute:pairwise-id", "pairwise-id" },
	{ "urn:oasis:names:tc:SAML:attribute:subject-id", "subject-id" },
	{ "urn:oid:0.9.2342.19200300.100.1.1", "uid" },
	{ "urn:oid:0.9.2342.19200300.100.1.10", "manager" },
	{ "urn:oid:0.9.2342.19200300.100.1.20", "homePhone" },
	{ "urn:oid:0.9.2342.19200300.100.1.3", "mail" },
	{ "urn:oid:0.9.2342.19200300.100.1.39", "homePostalAddress" },
	{ "urn:oid:0.9.2342.19200300.100.1.41", "mobile" },
	{ "urn:oid:0.9.2342.19200300.100.1.42", "pager" },
	{ "urn:oid:0.9.2342.19200300.100.1.6", "roomNumber" },
	{ "urn:oid:1.2.840.113556.1.2.102", "memberOf" },
	{ "urn:oid:1.2.840.113556.1.4.221", "sAMAccountName" },
	{ "urn:oid:1.2.840.113556.1.4.656", "userPrincipalName" },
	{ "urn:oid:1.3.6.1.4.1.25178.1.2.10", "schacHomeOrganizationType" },
	{ "urn:oid:1.3.6.1.4.1.25178.1.2.9", "schacHomeOrganization" },
	{ "urn:oid:1.3.6.1.4.1.5923.1.1.1.1", "eduPersonAffiliation" },
	{ "urn:oid:1.3.6.1.4.1.5923.1.1.1.10", "eduPersonTargetedID" },
	{ "urn:oid:1.3.6.1.4.1.5923.1.1.1.11", "eduPersonAssurance" },
	{ "urn:oid:1.3.6.1.4.1.5923.1.1.1.13", "eduPersonUniqueId" },
	{ "urn:oid:1.3.6.1.4.1.5923.1.1.1.16", "eduPersonOrcid" },
	{ "urn:oid:1.3.6.1.4.1.5923.1.1.1.2", "eduPersonNickname" },
	{ "urn:oid:1.3.6.1.4.1.5923.1.1.1.3", "eduPersonOrgDN" },
	{ "urn:oid:1.3.6.1.4.1.5923.1.1.1.4", "eduPersonOrgUnitDN" },
	{ "urn:oid:1.3.6.1.4.1.5923.1.1.1.5", "eduPersonPrimaryAffiliation" },
	{ "urn:oid:1.3.6.1.4.1.5923.1.1.1.6", "eduPersonPrincipalName" },
	{ "urn:oid:1.3.6.1.4.1.5923.1.1.1.7", "eduPersonEntitlement" },
	{ "urn:oid:1.3.6.1.4.1.5923.1.1.1.8", "eduPersonPrimaryOrgUnitDN" },
	{ "urn:oid:1.3.6.1.4.1.5923.1.1.1.9", "eduPersonScopedAffiliation" },
	{ "urn:oid:1.3.6.1.4.1.5923.1.5.1.1", "isMemberOf" },
	{ "urn:oid:2.16.840.1.113730.3.1.1", "carLicense" },
	{ "urn:oid:2.16.840.1.113730.3.1.2", "departmentNumber" },
	{ "urn:oid:2.16.840.1.113730.3.1.241", "displayName" },
	{ "urn:oid:2.16.840.1.113730.3.1.3", "employeeNumber" },
	{ "urn:oid:2.16.840.1.113730.3.1.39", "preferredLanguage" },
	{ "urn:oid:2.16.840.1.113730.3.1.4", "employeeType" },
	{ "urn:oid:2.5.4.10", "o" },
	{ "urn:oid:2.5.4.11", "ou" },
	{ "urn:oid:2.5.4.12", "title" },
	{ "urn:oid:2.5.4.13", "description" },
	{ "urn:oid:2.5.4.15", "businessCategory" },
	{ "urn:oid:2.5.4.16", "postalAddress" },
	{ "urn:oid:2.5.4.17", "postalCode" },
	{ "urn:oid:2.5.4.18", "postOfficeBox" },
	{ "urn:oid:2.5.4.19", "physicalDeliveryOfficeName" },
	{ "urn:oid:2.5.4.20", "telephoneNumber" },
	{ "urn:oid:2.5.4.23", "facsimileTelephoneNumber" },
	{ "urn:oid:2.5.4.3", "cn" },
	{ "urn:oid:2.5.4.4", "sn" },
	{ "urn:oid:2.5.4.42", "givenName" },
	{ "urn:oid:2.5.4.43", "initials" },
	{ "urn:oid:2.5.4.5", "serialNumber" },
	{ "urn:oid:2.5.4.6", "c" },
	{ "urn:oid:2.5.4.7", "l" },
	{ "urn:oid:2.5.4.8", "st" },
	{ "urn:oid:2.5.4.9", "street" },
};

static int compare_known(const void *key, const void *row)
{
	return strcmp(key, ((const struct known_name *)row)->wire);
}

const char *attribute_usual_name(const char *name)
{
	const struct known_name *row = bsearch(name, known_names, ARRAY_LEN(known_names),
					       sizeof(*known_names), compare_known);

	return row ? row->usual : NULL;
}

/* --- reading --- */

static const char *read_value(const xmlNode *value, struct arena *arena)
{
	const xmlNode *inside = xml_first(value);

	/* eduPersonTargetedID, and nothing else known, has an element. */
	if (inside && xml_is(inside, NS_SAML, "NameID") && !xml_next(inside)) {
		for (const xmlNode *n = value->children; n; n = n->next)
			if (n != inside && n->content &&
			    n->content[strspn((const char *)n->content, " \t\r\n")] != '\0')
				return NULL;
		return xml_text(inside, arena);
	}
	return xml_text(value, arena);
}

static bool is_empty(const char *text)
{
	return text[strspn(text, " \t\r\n")] == '\0';
}

static size_t count_elements(const xmlNode *parent)
{
	size_t count = 0;

	for (const xmlNode *child = xml_first(parent); child; child = xml_next(child))
		count++;
	return count;
}

static int read_one(const xmlNode *attribute, struct arena *arena, struct received *ret_item,
		    struct saml_refusal *ret_refusal)
{
	const char *friendly = xml_attribute(attribute, "FriendlyName");
	const char *name = xml_attribute(attribute, "Name");
	const char *usual = attribute_usual_name(name);
	struct received item = { .name = name,
				 .friendly = friendly ? friendly : "",
				 .usual = usual ? usual : name,
				 .is_known = usual != NULL };

	item.values = arena_alloc_array(arena, count_elements(attribute) + 1, sizeof(*item.values));
	if (!item.values)
		return -1;
	for (const xmlNode *v = xml_first(attribute); v; v = xml_next(v)) {
		const char *text = read_value(v, arena);

		if (arena_failed(arena))
			return -1;
		if (!text)
			return refuse(ret_refusal, "attribute-malformed",
				      "attribute '%.200s' has a value that is more than text",
				      item.name);
		if (!is_empty(text))
			item.values[item.count++] = text;
	}
	*ret_item = item;
	return 0;
}

int attributes_read(const xmlNode *assertion, struct arena *arena, struct received_list *ret_list,
		    struct saml_refusal *ret_refusal)
{
	struct received_list list = { 0 };
	const xmlNode *statement = xml_child(assertion, NS_SAML, "AttributeStatement");
	size_t total = 0;

	for (const xmlNode *s = statement; s; s = xml_again(s, NS_SAML, "AttributeStatement"))
		total += count_elements(s);
	list.items = arena_alloc_array(arena, total + 1, sizeof(*list.items));
	if (!list.items)
		return -1;
	for (const xmlNode *s = statement; s; s = xml_again(s, NS_SAML, "AttributeStatement"))
		for (const xmlNode *a = xml_first(s); a; a = xml_next(a)) {
			int result = read_one(a, arena, &list.items[list.count], ret_refusal);

			if (result != 0)
				return result;
			list.count++;
		}
	*ret_list = list;
	return 0;
}

/* --- finding --- */

/* What is looked for, and whether a Name has it: then friendly names do not count. */
struct sought {
	const char *from, *usual;
};

static struct sought seek(const char *from)
{
	const char *usual = attribute_usual_name(from);

	return (struct sought){ from, usual ? usual : from };
}

/* Each attribute is looked for among all: most differ in their first letter. */
static bool is_same_name(const char *a, const char *b)
{
	return ((a[0] ^ b[0]) & ~0x20) == 0 && text_ascii_equal_caseless(a, b);
}

static bool is_by_name(const struct received *item, const struct sought *sought)
{
	return is_same_name(item->usual, sought->usual) || is_same_name(item->name, sought->from);
}

static bool is_by_friendly(const struct received *item, const struct sought *sought)
{
	return !item->is_known && item->friendly[0] != '\0' &&
	       is_same_name(item->friendly, sought->usual);
}

static bool any_by_name(const struct received_list *list, const struct sought *sought)
{
	for (size_t i = 0; i < list->count; i++)
		if (is_by_name(&list->items[i], sought))
			return true;
	return false;
}

const struct received *attributes_find(const struct received_list *list, const char *from,
				       size_t *at)
{
	struct sought sought = seek(from);
	bool by_name = any_by_name(list, &sought);

	while (*at < list->count) {
		const struct received *item = &list->items[(*at)++];

		if (by_name ? is_by_name(item, &sought) : is_by_friendly(item, &sought))
			return item;
	}
	return NULL;
}

bool attribute_is_scoped(const struct received *item)
{
	static const char *const scoped[] = { "eduPersonPrincipalName",
					      "eduPersonScopedAffiliation", "eduPersonUniqueId",
					      "pairwise-id", "subject-id" };

	for (size_t i = 0; i < ARRAY_LEN(scoped); i++)
		if (text_ascii_equal_caseless(item->usual, scoped[i]) ||
		    (!item->is_known && text_ascii_equal_caseless(item->friendly, scoped[i])))
			return true;
	return false;
}

bool attributes_have_value(const struct received_list *list, const char *from,
			   struct text_list values)
{
	const struct received *item;
	size_t at = 0;

	while ((item = attributes_find(list, from, &at)))
		for (size_t i = 0; i < item->count; i++)
			for (size_t v = 0; v < values.count; v++)
				if (strcmp(item->values[i], values.items[v]) == 0)
					return true;
	return false;
}

/* --- key --- */

static bool is_space_or_control(unsigned char c)
{
	return c <= 0x20 || c == 0x7f;
}

/* Exactly as the IdP says it; two spellings of one key would be two people, or one person of two. */
static int check_key(const char *key, struct saml_refusal *ret_refusal)
{
	size_t size = strlen(key);

	if (size > KEY_MAX)
		return refuse(ret_refusal, "key-malformed", "longer than %d bytes", KEY_MAX);
	if (is_space_or_control((unsigned char)key[0]) ||
	    is_space_or_control((unsigned char)key[size - 1]))
		return refuse(ret_refusal, "key-malformed", "white space around '%.200s'", key);
	for (const unsigned char *c = (const unsigned char *)key; *c; c++)
		if (*c < 0x20 || *c == 0x7f)
			return refuse(ret_refusal, "key-malformed", "a control character in it");
	return 0;
}

static int key_by_attribute(const struct judge_provider *provider, const struct received_list *list,
			    const char **ret_key, struct saml_refusal *ret_refusal)
{
	const struct received *item;
	const char *key = NULL, *from = provider->key;
	size_t at = 0;

	/* The key may be named as rules call it. */
	for (size_t i = 0; i < provider->attribute_count; i++)
		if (text_ascii_equal_caseless(provider->attributes[i].name, from))
			from = provider->attributes[i].from;
	while ((item = attributes_find(list, from, &at)))
		for (size_t i = 0; i < item->count; i++) {
			if (key && strcmp(key, item->values[i]) != 0)
				return refuse(ret_refusal, "key-ambiguous",
					      "attribute '%s' has several values", provider->key);
			key = item->values[i];
		}
	if (!key)
		return refuse(ret_refusal, "key-missing", "there is no attribute '%s'",
			      provider->key);
	*ret_key = key;
	return 0;
}

int attributes_key(const struct judge_provider *provider, const struct received_list *list,
		   const char *name_id, const char *name_id_format, const char **ret_key,
		   struct saml_refusal *ret_refusal)
{
	const char *key = name_id;

	if (strcmp(provider->key, "name-id") != 0) {
		if (key_by_attribute(provider, list, &key, ret_refusal) != 0)
			return 1;
	} else if (is_empty(name_id)) {
		return refuse(ret_refusal, "name-id-empty", "the NameID is empty or missing");
	} else if (strcmp(name_id_format, transient_format) == 0) {
		return refuse(ret_refusal, "name-id-transient",
			      "a transient NameID is another one each time and cannot be the key");
	}
	if (check_key(key, ret_refusal) != 0)
		return 1;
	*ret_key = key;
	return 0;
}

/* --- groups --- */

static int compare_groups(const void *a, const void *b)
{
	const struct wanted_group *left = a, *right = b;
	int order = strcmp(left->name, right->name);

	return order ? order : (left->id > right->id) - (left->id < right->id);
}

void judge_provider_prepare(struct judge_provider *provider)
{
	if (provider->group_count > 1)
		qsort(provider->groups, provider->group_count, sizeof(*provider->groups),
		      compare_groups);
}

struct memberships {
	const struct judge_provider *provider;
	bool *hits; /* parallel to provider->groups */
	size_t count;
	struct strbuf name;
	bool failed; /* a lost group would be a wrong decision */
};

/* The first of its name. */
static size_t find_group(const struct judge_provider *provider, const char *name)
{
	size_t low = 0, high = provider->group_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(provider->groups[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void add_group(struct memberships *m, const char *text)
{
	const struct judge_provider *provider = m->provider;
	struct err err;

	strbuf_clear(&m->name);
	/* What is no group's name is no group that rules name. */
	if (group_local_normalize(text, strlen(text), &m->name, &err) < 0) {
		m->failed = m->failed || err.code != ERR_INVALID;
		return;
	}
	for (size_t i = find_group(provider, strbuf_text(&m->name));
	     i < provider->group_count &&
	     strcmp(provider->groups[i].name, strbuf_text(&m->name)) == 0;
	     i++) {
		m->count += !m->hits[i];
		m->hits[i] = true;
	}
}

static void add_groups(struct memberships *m, const struct received_list *list, const char *from)
{
	const struct received *item;
	size_t at = 0;

	while ((item = attributes_find(list, from, &at)))
		for (size_t i = 0; i < item->count; i++)
			add_group(m, item->values[i]);
}

static int compare_ids(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

	return (left > right) - (left < right);
}

/* Ascending ids, each once. -1: out of memory. */
static int collect_groups(const struct judge_provider *provider, const struct received_list *list,
			  struct arena *arena, uint32_t **ret_ids, size_t *ret_count)
{
	static const char *const usual[] = { "groups", "isMemberOf", "memberOf" };
	struct memberships m = { .provider = provider, .name = STRBUF(GROUP_TEXT_MAX) };
	uint32_t *ids;
	size_t count = 0;

	m.hits = arena_alloc_array(arena, provider->group_count + 1, sizeof(*m.hits));
	if (!m.hits)
		return -1;
	if (provider->groups_from)
		add_groups(&m, list, provider->groups_from);
	for (size_t i = 0; i < ARRAY_LEN(usual) && !provider->groups_from; i++)
		add_groups(&m, list, usual[i]);
	strbuf_finish(&m.name);
	ids = arena_alloc_array(arena, m.count + 1, sizeof(*ids));
	if (m.failed || !ids)
		return -1;
	for (size_t i = 0; i < provider->group_count; i++)
		if (m.hits[i])
			ids[count++] = provider->groups[i].id;
	qsort(ids, count, sizeof(*ids), compare_ids);
	*ret_ids = ids;
	*ret_count = count;
	return 0;
}

static bool has_all_groups(const struct received_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->items[i].name, groups_elsewhere) == 0)
			return false;
	return true;
}

/* --- record --- */

/* All values of what a wanted attribute is called here; in the arena. */
static int collect_values(const struct received_list *list, const char *from, struct arena *arena,
			  const char ***ret_values, size_t *ret_count)
{
	const struct received *item;
	const char **values;
	size_t count = 0, at = 0;

	while ((item = attributes_find(list, from, &at)))
		count += item->count;
	values = arena_alloc_array(arena, count + 1, sizeof(*values));
	if (!values)
		return -1;
	count = at = 0;
	while ((item = attributes_find(list, from, &at))) {
		memcpy(values + count, item->values, item->count * sizeof(*values));
		count += item->count;
	}
	*ret_values = values;
	*ret_count = count;
	return 0;
}

struct mapped {
	const char *name;
	const char **values;
	size_t count;
};

static int map_all(const struct judge_provider *provider, const struct received_list *list,
		   struct arena *arena, struct mapped **ret_mapped, size_t *ret_count)
{
	struct mapped *mapped =
		arena_alloc_array(arena, provider->attribute_count + 1, sizeof(*mapped));
	size_t count = 0;

	if (!mapped)
		return -1;
	for (size_t i = 0; i < provider->attribute_count; i++) {
		struct mapped *m = &mapped[count];

		m->name = provider->attributes[i].name;
		if (collect_values(list, provider->attributes[i].from, arena, &m->values,
				   &m->count) < 0)
			return -1;
		if (m->count > 0)
			count++;
	}
	*ret_mapped = mapped;
	*ret_count = count;
	return 0;
}

int attributes_record(const struct judge_provider *provider, const struct received_list *list,
		      const char *key, struct arena *arena, struct saml_assertion *ret_assertion)
{
	AUTO(strbuf) struct strbuf record = STRBUF(RECORD_MAX);
	struct mapped *mapped;
	uint32_t *groups;
	size_t count, group_count;
	void *copy;

	if (map_all(provider, list, arena, &mapped, &count) < 0 ||
	    collect_groups(provider, list, arena, &groups, &group_count) < 0)
		return -1;
	record_write_head(&record, key, "", has_all_groups(list), false, "", 0, count);
	for (size_t i = 0; i < count; i++)
		record_write_attribute(&record, mapped[i].name, mapped[i].values, NULL,
				       mapped[i].count);
	record_write_groups(&record, groups, group_count);
	if (strbuf_failed(&record))
		return -1;
	copy = arena_memdup(arena, record.data, record.size);
	if (!copy)
		return -1;
	ret_assertion->record = copy;
	ret_assertion->record_size = record.size;
	return 0;
}

/* --- explaining --- */

static bool is_same(const struct received_list *list, const char *from, const struct received *item)
{
	const struct received *found;
	size_t at = 0;

	while ((found = attributes_find(list, from, &at)))
		if (found == item)
			return true;
	return false;
}

static const char *name_in_rules(const struct judge_provider *provider,
				 const struct received_list *list, const struct received *item)
{
	for (size_t i = 0; i < provider->attribute_count; i++)
		if (is_same(list, provider->attributes[i].from, item))
			return provider->attributes[i].name;
	return "";
}

static const char **copy_values(const struct received *item, struct arena *arena)
{
	const char **values = arena_alloc_array(arena, item->count + 1, sizeof(*values));

	for (size_t i = 0; values && i < item->count; i++)
		values[i] = arena_strdup(arena, item->values[i]);
	return values;
}

int attributes_explain(const struct judge_provider *provider, const struct received_list *list,
		       struct arena *arena, struct saml_assertion *ret_assertion)
{
	struct saml_attribute *attributes =
		arena_alloc_array(arena, list->count + 1, sizeof(*attributes));

	for (size_t i = 0; attributes && i < list->count; i++) {
		const struct received *item = &list->items[i];

		attributes[i] = (struct saml_attribute){
			.received = arena_strdup(arena, item->name),
			.friendly = arena_strdup(arena, item->friendly[0] ? item->friendly
							: item->is_known  ? item->usual
									  : ""),
			.name = arena_strdup(arena, name_in_rules(provider, list, item)),
			.values = copy_values(item, arena),
			.count = item->count,
		};
	}
	if (arena_failed(arena))
		return -1;
	ret_assertion->attributes = attributes;
	ret_assertion->attribute_count = list->count;
	return 0;
}
