/*
 * The metadata of one identity provider (SAML Metadata 2.0) out of a document that may
 * hold thousands. Enters: bytes from a file or the network. Leaves: keys, addresses,
 * scopes and times of one entity. Fails with the reasons of saml_metadata_read.
 *
 * An entity may have several roles (service provider too, SAML 1): only its
 * IDPSSODescriptors for SAML 2.0 count. What expires above it expires for it.
 */
#include "metadata.h"

#include <limits.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>

#include "encoding.h"
#include "gate.h"
#include "verify.h"
#include "xml.h"

#define NS_DS11 "http://www.w3.org/2009/xmldsig11#"
#define NS_SHIBMD "urn:mace:shibboleth:metadata:1.0"
#define PROTOCOL_SAML2 NS_SAMLP
#define BINDING_REDIRECT "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
#define BINDING_POST "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
#define WHITE_SPACE " \t\r\n"
#define KEY_BYTES_MAX 65536
#define URL_MAX 2048
#define ENTITY_ID_MAX 1024
#define ENDPOINTS_MAX 16
#define SCOPES_MAX 256

/* Of the element in hand and of all around it: the earliest end, the shortest time. 0: none. */
struct lifetime {
	int64_t valid_until_s, cache_duration_s;
};

struct search {
	const struct saml_metadata_job *job;
	struct arena *arena;
	struct err *err;
	uint64_t entities;
	xmlNode *found;
	size_t found_count;
	struct lifetime found_lifetime;
};

/* value: what was found, as it stands there; "": nothing to show. */
static int malformed(struct err *err, const char *what, const char *value)
{
	if (*value)
		return err_refuse(err, ERR_INVALID, "metadata-malformed", "%s: %s", what, value);
	return err_refuse(err, ERR_INVALID, "metadata-malformed", "%s", what);
}

/* --- times --- */

/* Digits at *text, moved over; -1: none, or too many for any use. */
static int64_t take_number(const char **text)
{
	const size_t digits = strspn(*text, "0123456789");
	int64_t value = 0;

	if (digits == 0 || digits > 9)
		return -1;
	for (size_t i = 0; i < digits; i++)
		value = value * 10 + (*(*text)++ - '0');
	return value;
}

/* xs:duration without sign; months of 30 days, years of 365. -1: malformed. */
static int64_t parse_duration(const char *text)
{
	static const struct {
		char unit;
		bool time;
		int64_t seconds;
	} units[] = { { 'Y', false, 365 * 86400 }, { 'M', false, 30 * 86400 },
		      { 'D', false, 86400 },	   { 'H', true, 3600 },
		      { 'M', true, 60 },	   { 'S', true, 1 } };
	size_t next = 0;
	int64_t total = 0;
	bool time = false, any = false;

	if (*text++ != 'P')
		return -1;
	while (*text) {
		int64_t value;
		if (*text == 'T' && !time) {
			time = true;
			any = false;
			text++;
			continue;
		}
		value = take_number(&text);
		if (value >= 0 && time && *text == '.') {
			text++;
			if (take_number(&text) < 0 || *text != 'S')
				return -1;
		}
		while (next < ARRAY_LEN(units) &&
		       (units[next].unit != *text || units[next].time != time))
			next++;
		if (value < 0 || next == ARRAY_LEN(units))
			return -1;
		total += value * units[next++].seconds;
		any = true;
		text++;
	}
	return any ? total : -1;
}

static void keep_earlier(int64_t *kept, int64_t value)
{
	if (*kept == 0 || value < *kept)
		*kept = value;
}

/* What this element says of its own end, together with what was said around it. */
static int lifetime_narrow(const xmlNode *node, struct lifetime *lifetime, struct err *err)
{
	const char *until = xml_attribute(node, "validUntil");
	const char *cache = xml_attribute(node, "cacheDuration");
	int64_t value = 0;

	if (until) {
		if (clock_parse(until, &value, NULL) < 0)
			return malformed(err, "validUntil is not a time", until);
		/* The first second of 1970 is also over, and is not "none". */
		keep_earlier(&lifetime->valid_until_s, value > 0 ? value : 1);
	}
	if (cache) {
		value = parse_duration(cache);
		if (value < 0)
			return malformed(err, "cacheDuration is not a duration", cache);
		keep_earlier(&lifetime->cache_duration_s, value > 0 ? value : 1);
	}
	return 0;
}

/* --- which entity --- */

/* A word in a list separated by white space. */
static bool list_has(const char *list, const char *word)
{
	const size_t size = strlen(word);

	while (list && *list) {
		size_t length;
		list += strspn(list, WHITE_SPACE);
		length = strcspn(list, WHITE_SPACE);
		if (length == size && memcmp(list, word, size) == 0)
			return true;
		list += length;
	}
	return false;
}

static bool is_idp_role(const xmlNode *node)
{
	return xml_is(node, NS_METADATA, "IDPSSODescriptor") &&
	       list_has(xml_attribute(node, "protocolSupportEnumeration"), PROTOCOL_SAML2);
}

static bool is_idp(const xmlNode *entity)
{
	for (const xmlNode *role = xml_first(entity); role; role = xml_next(role))
		if (is_idp_role(role))
			return true;
	return false;
}

static int see_entity(struct search *search, xmlNode *node, struct lifetime lifetime)
{
	const char *wanted = search->job->entity_id;
	const char *id = xml_attribute(node, "entityID");

	search->entities++;
	if (!id || *id == '\0')
		return malformed(search->err, "an EntityDescriptor has no entityID", "");
	if ((*wanted && strcmp(wanted, id) != 0) || !is_idp(node))
		return 0;
	if (lifetime_narrow(node, &lifetime, search->err) < 0)
		return -1;
	search->found_count++;
	search->found = node;
	search->found_lifetime = lifetime;
	return 0;
}

/* Depth is bounded by the gate. */
static int see_element(struct search *search, xmlNode *node, struct lifetime lifetime)
{
	if (xml_is(node, NS_METADATA, "EntityDescriptor"))
		return see_entity(search, node, lifetime);
	if (!xml_is(node, NS_METADATA, "EntitiesDescriptor"))
		return 0;
	if (lifetime_narrow(node, &lifetime, search->err) < 0)
		return -1;
	for (xmlNode *child = xml_first(node); child; child = xml_next(child))
		if (see_element(search, child, lifetime) < 0)
			return -1;
	return 0;
}

static int find_entity(struct search *search, xmlNode *root)
{
	const char *wanted = search->job->entity_id;

	if (see_element(search, root, (struct lifetime){ 0 }) < 0)
		return -1;
	if (search->found_count == 0 && *wanted)
		return err_refuse(search->err, ERR_INVALID, "entity-missing",
				  "the metadata has no identity provider '%s'", wanted);
	if (search->found_count == 0)
		return err_refuse(search->err, ERR_INVALID, "entity-missing",
				  "the metadata has no SAML 2.0 identity provider");
	if (search->found_count > 1)
		return err_refuse(search->err, ERR_INVALID, "entity-ambiguous",
				  *wanted ? "the metadata has '%s' several times"
					  : "the metadata has several identity providers: say "
					    "which in entity_id%s",
				  wanted);
	return 0;
}

/* --- keys --- */

struct keys {
	struct saml_blob items[VERIFY_KEYS_MAX];
	size_t count;
};

static bool keys_have(const struct keys *keys, const struct saml_blob *key)
{
	for (size_t i = 0; i < keys->count; i++)
		if (keys->items[i].size == key->size &&
		    memcmp(keys->items[i].data, key->data, key->size) == 0)
			return true;
	return false;
}

/* A key that cannot be used (too short, of another kind) is as if it were not there. */
static int keys_add(struct keys *keys, const struct saml_blob *key, struct err *err)
{
	struct err ignored = { 0 };
	struct verify_key *usable;

	if (keys_have(keys, key))
		return 0;
	usable = verify_key_create(key->data, key->size, &ignored);
	if (!usable)
		return ignored.code == ERR_MEMORY ? err_set(err, ERR_MEMORY, "out of memory") : 0;
	verify_key_destroy(usable);
	if (keys->count == ARRAY_LEN(keys->items))
		return malformed(err, "more signing keys than can be held", "");
	keys->items[keys->count++] = *key;
	return 0;
}

static bool decode_text(const xmlNode *node, struct arena *arena, struct bytes_view *ret_bytes)
{
	const char *text = node ? xml_text(node, arena) : NULL;
	struct saml_refusal refusal;

	return text &&
	       base64_decode(text, strlen(text), KEY_BYTES_MAX, arena, ret_bytes, &refusal) == 0;
}

static EVP_PKEY *rsa_from_numbers(const struct bytes_view *modulus,
				  const struct bytes_view *exponent)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
	BIGNUM *n = BN_bin2bn((const unsigned char *)modulus->data, (int)modulus->size, NULL);
	BIGNUM *e = BN_bin2bn((const unsigned char *)exponent->data, (int)exponent->size, NULL);
	OSSL_PARAM *params = NULL;
	EVP_PKEY *key = NULL;

	if (context && builder && n && e &&
	    OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n) &&
	    OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e) &&
	    (params = OSSL_PARAM_BLD_to_param(builder)) && EVP_PKEY_fromdata_init(context) > 0 &&
	    EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params) <= 0)
		key = NULL;
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(builder);
	BN_free(n);
	BN_free(e);
	EVP_PKEY_CTX_free(context);
	return key;
}

/* ds:RSAKeyValue as SubjectPublicKeyInfo. */
static bool key_from_rsa_value(const xmlNode *value, struct arena *arena, struct saml_blob *ret_key)
{
	struct bytes_view modulus, exponent;
	unsigned char *der = NULL;
	EVP_PKEY *key;
	int size;

	if (!decode_text(xml_child(value, NS_DS, "Modulus"), arena, &modulus) ||
	    !decode_text(xml_child(value, NS_DS, "Exponent"), arena, &exponent))
		return false;
	key = rsa_from_numbers(&modulus, &exponent);
	size = key ? i2d_PUBKEY(key, &der) : -1;
	if (size > 0)
		*ret_key =
			(struct saml_blob){ arena_memdup(arena, der, (size_t)size), (size_t)size };
	OPENSSL_free(der);
	EVP_PKEY_free(key);
	return size > 0 && ret_key->data;
}

/* The first form of the key that is understood: certificate, DER, modulus and exponent. */
static bool key_from_info(const xmlNode *info, struct arena *arena, struct saml_blob *ret_key)
{
	const xmlNode *data = xml_child(info, NS_DS, "X509Data");
	const xmlNode *value = xml_child(info, NS_DS, "KeyValue");
	struct bytes_view bytes;

	if (decode_text(data ? xml_child(data, NS_DS, "X509Certificate") : NULL, arena, &bytes) ||
	    decode_text(xml_child(info, NS_DS11, "DEREncodedKeyValue"), arena, &bytes)) {
		*ret_key = (struct saml_blob){ bytes.data, bytes.size };
		return true;
	}
	value = value ? xml_child(value, NS_DS, "RSAKeyValue") : NULL;
	return value && key_from_rsa_value(value, arena, ret_key);
}

static int read_keys(const xmlNode *role, struct arena *arena, struct keys *keys, struct err *err)
{
	const xmlNode *node = xml_child(role, NS_METADATA, "KeyDescriptor");

	for (; node; node = xml_again(node, NS_METADATA, "KeyDescriptor")) {
		const char *use = xml_attribute(node, "use");
		const xmlNode *info = xml_child(node, NS_DS, "KeyInfo");
		struct saml_blob key;
		if (use && strcmp(use, "signing") != 0)
			continue;
		if (info && key_from_info(info, arena, &key) && keys_add(keys, &key, err) < 0)
			return -1;
	}
	return 0;
}

/* --- addresses --- */

struct endpoints {
	struct saml_endpoint items[ENDPOINTS_MAX];
	size_t count;
};

/* Something a browser may be sent to: nothing that runs there, nothing that breaks a header. */
static bool is_web_address(const char *url)
{
	const char *host = strncmp(url, "https://", 8) == 0  ? url + 8
			   : strncmp(url, "http://", 7) == 0 ? url + 7
							     : "";

	if (*host == '\0' || *host == '/' || strlen(url) > URL_MAX)
		return false;
	for (; *url; url++)
		if ((unsigned char)*url <= ' ' || (unsigned char)*url >= 0x7f || *url == '#' ||
		    *url == '"' || *url == '<' || *url == '>')
			return false;
	return true;
}

static bool binding_known(const char *binding, enum saml_binding *ret_binding)
{
	if (binding && strcmp(binding, BINDING_REDIRECT) == 0)
		*ret_binding = SAML_REDIRECT;
	else if (binding && strcmp(binding, BINDING_POST) == 0)
		*ret_binding = SAML_POST;
	else
		return false;
	return true;
}

static const char *copy_address(const xmlNode *node, const char *name, struct arena *arena)
{
	const char *value = xml_attribute(node, name);

	return value && is_web_address(value) ? arena_strdup(arena, value) : NULL;
}

static void read_endpoints(const xmlNode *role, const char *name, struct arena *arena,
			   struct endpoints *endpoints)
{
	const xmlNode *node = xml_child(role, NS_METADATA, name);

	for (; node; node = xml_again(node, NS_METADATA, name)) {
		const char *response = copy_address(node, "ResponseLocation", arena);
		struct saml_endpoint endpoint = { .location = copy_address(node, "Location", arena),
						  .response_location = response ? response : "" };
		if (!binding_known(xml_attribute(node, "Binding"), &endpoint.binding) ||
		    !endpoint.location || endpoints->count == ENDPOINTS_MAX)
			continue;
		if (strcmp(endpoint.response_location, endpoint.location) == 0)
			endpoint.response_location = "";
		endpoints->items[endpoints->count++] = endpoint;
	}
}

/* --- scopes --- */

struct scopes {
	const char *items[SCOPES_MAX];
	size_t count;
	bool expressions;
};

static bool is_true(const char *value)
{
	return value && (strcmp(value, "true") == 0 || strcmp(value, "1") == 0);
}

static int read_scopes(const xmlNode *parent, struct arena *arena, struct scopes *scopes,
		       struct err *err)
{
	const xmlNode *extensions = xml_child(parent, NS_METADATA, "Extensions");
	const xmlNode *node = extensions ? xml_child(extensions, NS_SHIBMD, "Scope") : NULL;

	for (; node; node = xml_again(node, NS_SHIBMD, "Scope")) {
		const char *text = xml_trimmed_text(node, arena);
		if (is_true(xml_attribute(node, "regexp"))) {
			scopes->expressions = true;
			continue;
		}
		if (!text || *text == '\0')
			continue;
		if (scopes->count == SCOPES_MAX)
			return malformed(err, "more scopes than can be held", "");
		text = arena_strdup(arena, text);
		if (!text)
			return err_set(err, ERR_MEMORY, "out of memory");
		scopes->items[scopes->count++] = text;
	}
	return 0;
}

/* --- one entity --- */

struct collected {
	struct keys keys;
	struct endpoints sso, slo;
	struct scopes scopes;
	struct lifetime lifetime;
	bool wants_signed;
};

static int read_role(const xmlNode *role, struct arena *arena, struct collected *all,
		     struct err *err)
{
	if (lifetime_narrow(role, &all->lifetime, err) < 0 ||
	    read_keys(role, arena, &all->keys, err) < 0 ||
	    read_scopes(role, arena, &all->scopes, err) < 0)
		return -1;
	read_endpoints(role, "SingleSignOnService", arena, &all->sso);
	read_endpoints(role, "SingleLogoutService", arena, &all->slo);
	all->wants_signed |= is_true(xml_attribute(role, "WantAuthnRequestsSigned"));
	return 0;
}

static int fill_idp(const struct collected *all, const char *entity_id, uint64_t entities,
		    struct arena *arena, struct saml_idp *ret_idp, struct err *err)
{
	struct saml_idp idp = {
		.entity_id = arena_strdup(arena, entity_id),
		.valid_until_s = all->lifetime.valid_until_s,
		.cache_duration_s = all->lifetime.cache_duration_s,
		.entities = entities,
		.signing_key_count = all->keys.count,
		.sso_count = all->sso.count,
		.slo_count = all->slo.count,
		.wants_signed_requests = all->wants_signed,
		.scope_count = all->scopes.count,
	};

	idp.signing_keys =
		arena_memdup(arena, all->keys.items, all->keys.count * sizeof(all->keys.items[0]));
	idp.sso = arena_memdup(arena, all->sso.items, all->sso.count * sizeof(all->sso.items[0]));
	idp.slo = arena_memdup(arena, all->slo.items, all->slo.count * sizeof(all->slo.items[0]));
	idp.scopes = arena_memdup(arena, all->scopes.items,
				  all->scopes.count * sizeof(all->scopes.items[0]));
	if (arena_failed(arena))
		return err_set(err, ERR_MEMORY, "out of memory for metadata");
	*ret_idp = idp;
	return 0;
}

static int check_collected(const struct collected *all, const char *entity_id, int64_t now_s,
			   struct err *err)
{
	char until[CLOCK_TEXT_SIZE];

	if (strlen(entity_id) > ENTITY_ID_MAX)
		return malformed(err, "an entityID is longer than 1024 characters", "");
	if (all->lifetime.valid_until_s && all->lifetime.valid_until_s <= now_s) {
		clock_format(all->lifetime.valid_until_s, until);
		return err_refuse(err, ERR_INVALID, "metadata-expired",
				  "the metadata of '%s' was valid until %s", entity_id, until);
	}
	if (all->keys.count == 0)
		return err_refuse(err, ERR_INVALID, "no-signing-key",
				  "the metadata of '%s' has no signing key that can be used",
				  entity_id);
	if (all->sso.count == 0)
		return err_refuse(
			err, ERR_INVALID, "no-sso-endpoint",
			"the metadata of '%s' has no sign-in address for redirect or POST",
			entity_id);
	return 0;
}

static int read_entity(const struct search *search, struct saml_idp *ret_idp)
{
	const char *entity_id = xml_attribute(search->found, "entityID");
	struct collected all = { .lifetime = search->found_lifetime };

	if (read_scopes(search->found, search->arena, &all.scopes, search->err) < 0)
		return -1;
	for (const xmlNode *role = xml_first(search->found); role; role = xml_next(role))
		if (is_idp_role(role) && read_role(role, search->arena, &all, search->err) < 0)
			return -1;
	/* Expressions are not understood: with nothing else, no scope is this provider's. */
	if (all.scopes.count == 0 && all.scopes.expressions)
		all.scopes.items[all.scopes.count++] = "";
	if (check_collected(&all, entity_id, search->job->now_s, search->err) < 0)
		return -1;
	return fill_idp(&all, entity_id, search->entities, search->arena, ret_idp, search->err);
}

/* --- the pin --- */

static int check_signature(const struct gated *gated, const struct saml_blob *certificate,
			   struct err *err)
{
	struct saml_refusal refusal = { 0 };
	struct verify_key *key;
	int refused;

	if (certificate->size == 0)
		return 0;
	if (!gated->root_signature || !gated->id)
		return err_refuse(err, ERR_INVALID, "metadata-unsigned",
				  "the metadata is not signed, and a signature is demanded");
	key = verify_key_create(certificate->data, certificate->size, err);
	if (!key)
		return err_wrap(err, "cannot use the certificate for metadata");
	refused = verify_signature(gated->doc, gated->root, gated->id, gated->root_signature,
				   (const struct verify_key *const[]){ key }, 1, false, &refusal);
	verify_key_destroy(key);
	if (refused < 0)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (refused)
		return err_refuse(err, ERR_INVALID, "metadata-signature",
				  "the signature of the metadata is not good: %s", refusal.detail);
	return 0;
}

int metadata_parse(const struct saml_metadata_job *job, struct arena *arena,
		   struct saml_idp *ret_idp, struct err *err)
{
	const struct gate_rules rules = { .allow_sha1 = false };
	struct search search = { .job = job, .arena = arena, .err = err };
	struct saml_refusal refusal = { 0 };
	struct gated gated;
	int status;

	status = gate_parse(GATE_METADATA, &rules, job->xml, job->size, &gated, &refusal);
	if (status < 0)
		return err_set(err, ERR_MEMORY, "out of memory for metadata");
	if (status > 0)
		return malformed(err, "the metadata cannot be read", refusal.detail);
	status = check_signature(&gated, &job->certificate, err);
	if (status == 0)
		status = find_entity(&search, gated.root);
	if (status == 0)
		status = read_entity(&search, ret_idp);
	gated_finish(&gated);
	return status;
}
