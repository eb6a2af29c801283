/*
 * Security keys and passkeys: what is asked, and whether an answer is good (Web Authentication, 7.1 and 7.2, step by step).
 * Enters: who is asked, answers of browsers, stored credentials. Leaves: options as JSON, credentials, proofs. Fails
 * as webauthn.h says; nothing changes state.
 */
#include <rolebridge/auth/webauthn.h>

#include <string.h>

#include <sodium.h>

#include <rolebridge/base/address.h>
#include <rolebridge/base/base64.h>
#include <rolebridge/base/json.h>
#include <rolebridge/base/util.h>

#include "url.h"
#include "webauthn_parts.h"

#define BASE64 sodium_base64_VARIANT_URLSAFE_NO_PADDING
#define CHALLENGE_LIFE_S 900	/* as long as a sign-in may take */
#define BROWSER_WAITS_MS 300000 /* for somebody to find their key */

/* In the order of our preference; all that webauthn_key.c knows. */
static const int algorithms[] = { -7, -8, -257 };

static int malformed(struct err *err)
{
	return err_refuse(err, ERR_DENIED, "webauthn-malformed", "the answer is malformed");
}

/* -------------------------------------------------------------------- the site */

/* A name that browsers take for a relying party's id: no address, and secure. */
static bool takes_credentials(const struct url *url, const char *name)
{
	struct address address;

	if (name[0] == '[' || address_parse(name, &address, NULL) == 0)
		return false;
	return url->is_https || url_host_is_loopback(name);
}

int webauthn_site_make(const char *public_url, struct arena *arena, struct webauthn_site *ret_site,
		       struct err *err)
{
	struct webauthn_site site;
	struct url url;

	if (url_parse(public_url, &url, err) < 0)
		return -1;
	site.id = site.name = arena_strndup(arena, url.host, url_host_name_size(url.host));
	site.origin = arena_printf(arena, "%s://%s", url.is_https ? "https" : "http", url.host);
	if (!site.id || !site.origin)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (!takes_credentials(&url, site.id))
		return err_refuse(err, ERR_UNAVAILABLE, "webauthn-unavailable",
				  "browsers know no security keys at '%s'", site.origin);
	*ret_site = site;
	return 0;
}

/* ------------------------------------------------------------------ the question */

static void show_bytes(struct json *json, const char *key, const unsigned char *data, size_t size)
{
	char text[sodium_base64_ENCODED_LEN(WEBAUTHN_ID_MAX, BASE64)];

	if (size > WEBAUTHN_ID_MAX) {
		strbuf_fail(json->out);
		return;
	}
	sodium_bin2base64(text, sizeof(text), data, size, BASE64);
	json_string(json, key, text);
}

static void show_credentials(struct json *json, const char *key, const struct webauthn_bytes *known,
			     size_t count)
{
	json_array_key(json, key);
	for (size_t i = 0; i < count; i++) {
		json_object(json);
		json_string(json, "type", "public-key");
		show_bytes(json, "id", known[i].data, known[i].size);
		json_end(json);
	}
	json_end(json);
}

static void show_challenge(struct json *json, const struct webauthn_asking *asking,
			   enum challenge_purpose purpose)
{
	char challenge[TICKET_CHALLENGE_TEXT];

	ticket_challenge(asking->tickets, purpose, asking->session_id,
			 asking->now_s + CHALLENGE_LIFE_S, challenge);
	json_string(json, "challenge", challenge);
	json_int(json, "timeout", BROWSER_WAITS_MS);
}

static void show_person(struct json *json, const struct webauthn_person *person)
{
	json_object_key(json, "user");
	show_bytes(json, "id", person->uuid.byte, sizeof(person->uuid.byte));
	json_string(json, "name", person->username);
	json_string(json, "displayName",
		    person->display_name[0] ? person->display_name : person->username);
	json_end(json);
}

static void show_algorithms(struct json *json)
{
	json_array_key(json, "pubKeyCredParams");
	for (size_t i = 0; i < ARRAY_LEN(algorithms); i++) {
		json_object(json);
		json_string(json, "type", "public-key");
		json_int(json, "alg", algorithms[i]);
		json_end(json);
	}
	json_end(json);
}

static int show_end(struct json *json, struct err *err)
{
	json_end(json);
	return strbuf_failed(json->out)
		       ? err_set(err, ERR_TOO_LARGE, "no room for what the browser is asked")
		       : 0;
}

int webauthn_options_create(const struct webauthn_asking *asking,
			    const struct webauthn_person *person,
			    const struct webauthn_bytes *known, size_t count, struct strbuf *out,
			    struct err *err)
{
	struct json json = JSON(out);

	json_object(&json);
	show_challenge(&json, asking, CHALLENGE_ENROL);
	json_object_key(&json, "rp");
	json_string(&json, "id", asking->site->id);
	json_string(&json, "name", asking->site->name);
	json_end(&json);
	show_person(&json, person);
	show_algorithms(&json);
	show_credentials(&json, "excludeCredentials", known, count);
	json_object_key(&json, "authenticatorSelection");
	json_string(&json, "residentKey", "preferred");
	json_bool(&json, "requireResidentKey", false);
	json_string(&json, "userVerification", "preferred");
	json_end(&json);
	json_string(&json, "attestation", "none");
	return show_end(&json, err);
}

int webauthn_options_get(const struct webauthn_asking *asking, const struct webauthn_bytes *known,
			 size_t count, struct strbuf *out, struct err *err)
{
	struct json json = JSON(out);

	if (count == 0)
		return err_set(err, ERR_NOT_FOUND, "no security key is enrolled");
	json_object(&json);
	show_challenge(&json, asking, CHALLENGE_PROVE);
	json_string(&json, "rpId", asking->site->id);
	show_credentials(&json, "allowCredentials", known, count);
	json_string(&json, "userVerification", "preferred");
	return show_end(&json, err);
}

/* ------------------------------------------------------------------- the answer */

/* base64url as it is written by browsers, of at most max bytes; not empty. */
static int decode(const char *text, size_t max, struct arena *arena,
		  struct webauthn_bytes *ret_bytes, struct err *err)
{
	size_t text_size = text ? strnlen(text, max / 3 * 4 + 5) : 0, size;
	unsigned char *bytes;

	if (text_size == 0 || text_size > (max + 2) / 3 * 4)
		return malformed(err);
	bytes = arena_alloc(arena, text_size);
	if (!bytes)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (base64_to_bytes(BASE64_URL, text, text_size, NULL, bytes, text_size, &size) < 0 ||
	    size == 0 || size > max)
		return malformed(err);
	*ret_bytes = (struct webauthn_bytes){ bytes, size };
	return 0;
}

int webauthn_answer_id(const struct webauthn_answer *answer, struct arena *arena,
		       struct webauthn_bytes *ret_id, struct err *err)
{
	return decode(answer->id, WEBAUTHN_ID_MAX, arena, ret_id, err);
}

static bool same_bytes(struct webauthn_bytes a, struct webauthn_bytes b)
{
	return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

/* The client data: looked at, and its hash, which the authenticator signed. */
static int take_client(const struct webauthn_asking *asking, const struct webauthn_answer *answer,
		       enum challenge_purpose purpose, struct arena *arena,
		       struct webauthn_used *ret_used, struct webauthn_signed *what,
		       struct err *err)
{
	struct webauthn_bytes client;

	if (decode(answer->client_data, WEBAUTHN_CLIENT_MAX, arena, &client, err) < 0 ||
	    webauthn_client_check(asking, purpose, client, ret_used, err) < 0)
		return -1;
	what->site = asking->site;
	crypto_hash_sha256(what->client_hash, client.data, client.size);
	return 0;
}

/* Authenticator data of a new credential, with its key. */
static int take_made(const struct webauthn_signed *what, const struct webauthn_answer *answer,
		     unsigned char room[static WEBAUTHN_KEY_MAX], struct arena *arena,
		     struct webauthn_data *ret_data, struct webauthn_key *ret_key, struct err *err)
{
	struct webauthn_bytes id;

	if (webauthn_data_read(what->data, ret_data, err) < 0 ||
	    webauthn_data_check(ret_data, what->site, err) < 0 ||
	    webauthn_answer_id(answer, arena, &id, err) < 0)
		return -1;
	if (!(ret_data->flags & WEBAUTHN_ATTESTED) || !same_bytes(id, ret_data->id))
		return malformed(err);
	return webauthn_key_read(ret_data->cose, room, ret_key, err);
}

static int fill_credential(const struct webauthn_data *data, const struct webauthn_key *key,
			   struct arena *arena, struct webauthn_credential *credential,
			   struct err *err)
{
	credential->id.data = arena_memdup(arena, data->id.data, data->id.size);
	credential->id.size = data->id.size;
	if (!credential->id.data)
		return err_set(err, ERR_MEMORY, "out of memory");
	credential->counter = data->counter;
	credential->user_verified = (data->flags & WEBAUTHN_VERIFIED) != 0;
	credential->backed_up = (data->flags & WEBAUTHN_BACKUP_ELIGIBLE) != 0;
	memcpy(credential->model.byte, data->model, sizeof(credential->model.byte));
	return webauthn_key_pack(key, arena, &credential->key, err);
}

int webauthn_register(const struct webauthn_asking *asking, const struct webauthn_answer *answer,
		      struct arena *arena, struct webauthn_credential *ret_credential,
		      struct err *err)
{
	struct webauthn_credential credential = { .counter = 0 };
	unsigned char room[WEBAUTHN_KEY_MAX];
	struct webauthn_statement statement;
	struct webauthn_bytes object;
	struct webauthn_signed what;
	struct webauthn_data data;
	struct webauthn_key key;

	if (take_client(asking, answer, CHALLENGE_ENROL, arena, &credential.used, &what, err) < 0 ||
	    decode(answer->attestation, WEBAUTHN_DATA_MAX, arena, &object, err) < 0 ||
	    webauthn_attestation_read(object, &statement, &what.data, err) < 0 ||
	    take_made(&what, answer, room, arena, &data, &key, err) < 0 ||
	    webauthn_attestation_verify(&what, &statement, &key, err) < 0 ||
	    fill_credential(&data, &key, arena, &credential, err) < 0)
		return -1;
	*ret_credential = credential;
	return 0;
}

static int foreign(struct err *err)
{
	return err_refuse(err, ERR_DENIED, "webauthn-credential",
			  "the answer is of another's security key");
}

/* Is it the credential that stands there, and of the one who asks? */
static int check_owner(const struct webauthn_answer *answer, const struct uuid *user,
		       const struct webauthn_credential *stored, struct arena *arena,
		       struct err *err)
{
	struct webauthn_bytes id, handle;

	if (webauthn_answer_id(answer, arena, &id, err) < 0)
		return -1;
	if (!same_bytes(id, stored->id))
		return foreign(err);
	if (!answer->user_handle || !answer->user_handle[0])
		return 0;
	if (decode(answer->user_handle, WEBAUTHN_ID_MAX, arena, &handle, err) < 0)
		return -1;
	if (!same_bytes(handle, (struct webauthn_bytes){ user->byte, sizeof(user->byte) }))
		return foreign(err);
	return 0;
}

static int check_counter(uint32_t before, uint32_t now, struct err *err)
{
	if (now > before || (now == 0 && before == 0))
		return 0;
	return err_refuse(err, ERR_DENIED, "webauthn-counter",
			  "the key's counter did not grow: it may have been copied");
}

int webauthn_prove(const struct webauthn_asking *asking, const struct webauthn_answer *answer,
		   const struct uuid *user, const struct webauthn_credential *stored,
		   struct arena *arena, struct webauthn_proof *ret_proof, struct err *err)
{
	struct webauthn_proof proof = { .counter = 0 };
	struct webauthn_bytes signature;
	struct webauthn_signed what;
	struct webauthn_data data;
	struct webauthn_key key;

	if (check_owner(answer, user, stored, arena, err) < 0 ||
	    take_client(asking, answer, CHALLENGE_PROVE, arena, &proof.used, &what, err) < 0 ||
	    decode(answer->authenticator_data, WEBAUTHN_DATA_MAX, arena, &what.data, err) < 0 ||
	    decode(answer->signature, WEBAUTHN_SIGNATURE_MAX, arena, &signature, err) < 0 ||
	    webauthn_data_read(what.data, &data, err) < 0 ||
	    webauthn_data_check(&data, asking->site, err) < 0 ||
	    webauthn_key_unpack(stored->key, &key, err) < 0 ||
	    webauthn_signature_verify(&what, &key, signature, err) < 0 ||
	    /* After the signature: anybody could claim a counter. */
	    check_counter(stored->counter, data.counter, err) < 0)
		return -1;
	proof.counter = data.counter;
	proof.user_verified = (data.flags & WEBAUTHN_VERIFIED) != 0;
	*ret_proof = proof;
	return 0;
}
