/*
 * What authenticators say of themselves (Web Authentication, 6.1 and 6.5). Enters: bytes of a browser. Leaves: structs
 * that borrow from them. Fails with "webauthn-malformed" for all that is not in form to the last byte, and
 * "webauthn-attestation" for statements of a format that was not asked for.
 */
#include "webauthn_parts.h"

#include <string.h>

#include <cbor.h>
#include <sodium.h>

#include <rolebridge/base/util.h>

#include "cbor_gate.h"

#define HEAD_SIZE 37 /* hash, flags, counter */
#define MODEL_SIZE 16

static int malformed(struct err *err)
{
	return err_refuse(err, ERR_DENIED, "webauthn-malformed", "the answer is malformed");
}

/* ---------------------------------------------------------- authenticator data */

/* Cut size bytes from the front; NULL: there are not so many. */
static const unsigned char *take(struct webauthn_bytes *rest, size_t size)
{
	const unsigned char *taken = rest->data;

	if (rest->size < size)
		return NULL;
	rest->data += size;
	rest->size -= size;
	return taken;
}

/* The CBOR item in front: a map. */
static bool take_map(struct webauthn_bytes *rest, struct webauthn_bytes *ret_map)
{
	size_t size = cbor_gate(rest->data, rest->size);

	if (size == 0 || rest->data[0] >> 5 != 5)
		return false;
	ret_map->size = size;
	ret_map->data = take(rest, size);
	return true;
}

static bool take_credential(struct webauthn_bytes *rest, struct webauthn_data *data)
{
	const unsigned char *size;

	data->model = take(rest, MODEL_SIZE);
	size = data->model ? take(rest, 2) : NULL;
	if (!size)
		return false;
	data->id.size = (size_t)size[0] << 8 | size[1];
	if (data->id.size == 0 || data->id.size > WEBAUTHN_ID_MAX)
		return false;
	data->id.data = take(rest, data->id.size);
	return data->id.data && take_map(rest, &data->cose);
}

int webauthn_data_read(struct webauthn_bytes raw, struct webauthn_data *ret_data, struct err *err)
{
	struct webauthn_data data = { .flags = 0 };
	struct webauthn_bytes rest = raw, extensions;
	const unsigned char *head = take(&rest, HEAD_SIZE);

	if (!head)
		return malformed(err);
	data.site_hash = head;
	data.flags = head[32];
	data.counter = (uint32_t)head[33] << 24 | (uint32_t)head[34] << 16 |
		       (uint32_t)head[35] << 8 | head[36];
	if ((data.flags & WEBAUTHN_BACKED_UP) && !(data.flags & WEBAUTHN_BACKUP_ELIGIBLE))
		return malformed(err);
	if ((data.flags & WEBAUTHN_ATTESTED) && !take_credential(&rest, &data))
		return malformed(err);
	if ((data.flags & WEBAUTHN_EXTENDED) && !take_map(&rest, &extensions))
		return malformed(err);
	if (rest.size != 0)
		return malformed(err);
	*ret_data = data;
	return 0;
}

int webauthn_data_check(const struct webauthn_data *data, const struct webauthn_site *site,
			struct err *err)
{
	unsigned char hash[crypto_hash_sha256_BYTES];

	static_assert(sizeof(hash) == WEBAUTHN_SHA256, "one hash");
	crypto_hash_sha256(hash, (const unsigned char *)site->id, strlen(site->id));
	if (memcmp(hash, data->site_hash, sizeof(hash)) != 0)
		return err_refuse(err, ERR_DENIED, "webauthn-rp",
				  "the answer was made for another site");
	if (!(data->flags & WEBAUTHN_PRESENT))
		return err_refuse(err, ERR_DENIED, "webauthn-not-present",
				  "nobody touched the key");
	return 0;
}

/* ---------------------------------------------------------- attestation objects */

static cbor_item_t *map_get(cbor_item_t *map, const char *name)
{
	for (size_t i = 0; i < cbor_map_size(map); i++) {
		const struct cbor_pair *pair = &cbor_map_handle(map)[i];

		if (cbor_isa_string(pair->key) && cbor_string_length(pair->key) == strlen(name) &&
		    memcmp(cbor_string_handle(pair->key), name, strlen(name)) == 0)
			return pair->value;
	}
	return NULL;
}

static int wrong_attestation(struct err *err)
{
	return err_refuse(err, ERR_DENIED, "webauthn-attestation",
			  "an attestation of a format that was not asked for");
}

/* "packed" (8.2): alg, sig and, where another key than the credential's signed, x5c. */
static int read_packed(cbor_item_t *statement, struct webauthn_statement *ret_statement,
		       struct err *err)
{
	cbor_item_t *algorithm = map_get(statement, "alg");
	cbor_item_t *signature = map_get(statement, "sig");
	cbor_item_t *chain = map_get(statement, "x5c");

	if (!algorithm || !cbor_isa_negint(algorithm) || !signature ||
	    !cbor_isa_bytestring(signature) || cbor_map_size(statement) != (chain ? 3 : 2))
		return wrong_attestation(err);
	if (chain && (!cbor_isa_array(chain) || cbor_array_size(chain) == 0))
		return wrong_attestation(err);
	if (cbor_get_int(algorithm) > INT32_MAX)
		return wrong_attestation(err);
	ret_statement->format = WEBAUTHN_PACKED;
	ret_statement->algorithm = -1 - (int64_t)cbor_get_int(algorithm);
	ret_statement->certified = chain != NULL;
	return 0;
}

static int read_statement(cbor_item_t *object, struct webauthn_statement *ret_statement,
			  struct err *err)
{
	cbor_item_t *format = map_get(object, "fmt");
	cbor_item_t *statement = map_get(object, "attStmt");

	if (!format || !cbor_isa_string(format) || !statement || !cbor_isa_map(statement) ||
	    cbor_map_size(object) != 3)
		return malformed(err);
	if (cbor_string_length(format) == 6 && memcmp(cbor_string_handle(format), "packed", 6) == 0)
		return read_packed(statement, ret_statement, err);
	if (cbor_string_length(format) != 4 || memcmp(cbor_string_handle(format), "none", 4) != 0 ||
	    cbor_map_size(statement) != 0)
		return wrong_attestation(err);
	ret_statement->format = WEBAUTHN_NONE;
	return 0;
}

/*
 * Where in the bytes the value of a key is: libcbor gives copies. The map is one that libcbor has read, and its head
 * is one byte.
 */
static struct webauthn_bytes raw_value(struct webauthn_bytes map, const char *name)
{
	struct webauthn_bytes rest = { map.data + 1, map.size - 1 };
	size_t name_size = strlen(name);

	while (rest.size > 0) {
		size_t key = cbor_gate(rest.data, rest.size);
		const unsigned char *at = rest.data;
		size_t value;

		take(&rest, key);
		value = cbor_gate(rest.data, rest.size);
		/* A text this short has a head of one byte. */
		if (key == name_size + 1 && at[0] == (0x60 | name_size) &&
		    memcmp(at + 1, name, name_size) == 0)
			return (struct webauthn_bytes){ rest.data, value };
		take(&rest, value);
	}
	return (struct webauthn_bytes){ NULL, 0 };
}

/* The bytes of a byte string, without its head. */
static struct webauthn_bytes without_head(struct webauthn_bytes text, size_t length)
{
	return (struct webauthn_bytes){ text.data + (text.size - length), length };
}

static int read_object(struct webauthn_bytes raw, cbor_item_t *object,
		       struct webauthn_statement *ret_statement, struct webauthn_bytes *ret_data,
		       struct err *err)
{
	struct webauthn_statement statement = { .format = WEBAUTHN_NONE };
	cbor_item_t *data = cbor_isa_map(object) ? map_get(object, "authData") : NULL;

	if (!data || !cbor_isa_bytestring(data))
		return malformed(err);
	if (read_statement(object, &statement, err) < 0)
		return -1;
	statement.raw = raw_value(raw, "attStmt");
	*ret_statement = statement;
	*ret_data = without_head(raw_value(raw, "authData"), cbor_bytestring_length(data));
	return 0;
}

int webauthn_attestation_read(struct webauthn_bytes raw, struct webauthn_statement *ret_statement,
			      struct webauthn_bytes *ret_data, struct err *err)
{
	struct cbor_load_result result;
	cbor_item_t *object;
	int status;

	if (raw.size == 0 || raw.size > WEBAUTHN_DATA_MAX ||
	    cbor_gate(raw.data, raw.size) != raw.size)
		return malformed(err);
	object = cbor_load(raw.data, raw.size, &result);
	if (!object)
		return malformed(err);
	status = read_object(raw, object, ret_statement, ret_data, err);
	cbor_decref(&object);
	return status;
}
