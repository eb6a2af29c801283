/*
 * SSH public keys. Enters: a line of a directory, any bytes. Leaves: its type and base64, checked to the last byte.
 * Fails: whatever is not exactly one key; it never repairs.
 *
 * The blob inside the base64 is a sequence of strings with a 32-bit length, big endian (RFC 4253 6.6; RFC 5656 3.1;
 * RFC 8709 4; OpenSSH's PROTOCOL.u2f), the first of which is the type again: sshd believes that one.
 */
#include <rolebridge/base/ssh_key.h>

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <sodium.h>

#include <rolebridge/base/base64.h>
#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/util.h>

struct blob {
	const unsigned char *at, *end;
	bool failed;
};

struct piece {
	const unsigned char *data;
	size_t size;
};

struct key_type {
	const char *name;
	const char *curve; /* ECDSA: its name, which comes again; else NULL */
	size_t point_size; /* of the public point */
	unsigned bits;
	int (*read)(struct blob *blob, const struct key_type *type, unsigned *ret_bits,
		    struct err *err);
	bool on_token; /* a FIDO authenticator's: the application follows */
};

static struct piece blob_string(struct blob *blob)
{
	size_t left = (size_t)(blob->end - blob->at);
	struct piece piece = { 0 };
	uint32_t size = 0;

	if (!blob->failed && left >= sizeof(size)) {
		memcpy(&size, blob->at, sizeof(size));
		size = be32toh(size);
		left -= sizeof(size);
	} else {
		blob->failed = true;
	}
	if (blob->failed || size > left) {
		blob->failed = true;
		return piece;
	}
	piece = (struct piece){ blob->at + sizeof(size), size };
	blob->at = piece.data + size;
	return piece;
}

static int malformed(struct err *err)
{
	return err_refuse(err, ERR_INVALID, "key-malformed",
			  "public key is not one whole key of its type");
}

static int weak(struct err *err, const char *why)
{
	return err_refuse(err, ERR_INVALID, "key-weak", "public key is too weak: %s", why);
}

static bool piece_is(struct piece piece, const char *text)
{
	return piece.size == strlen(text) && memcmp(piece.data, text, piece.size) == 0;
}

/* A positive mpint (RFC 4251 5) in its shortest form: its bits; 0 otherwise. */
static size_t mpint_bits(struct piece number)
{
	size_t bits;

	if (number.size > 0 && number.data[0] == 0) {
		/* The zero is there for the sign only. */
		if (number.size < 2 || !(number.data[1] & 0x80))
			return 0;
		number.data++;
		number.size--;
	} else if (number.size == 0 || number.data[0] & 0x80) {
		return 0;
	}
	bits = (number.size - 1) * 8;
	for (unsigned top = number.data[0]; top; top >>= 1)
		bits++;
	return bits;
}

static bool is_odd(struct piece number)
{
	return number.size > 0 && number.data[number.size - 1] & 1;
}

static int read_rsa(struct blob *blob, const struct key_type *type, unsigned *ret_bits,
		    struct err *err)
{
	struct piece exponent = blob_string(blob), modulus = blob_string(blob);
	size_t exponent_bits, modulus_bits;

	(void)type;
	if (blob->failed)
		return malformed(err);
	exponent_bits = mpint_bits(exponent);
	modulus_bits = mpint_bits(modulus);
	if (exponent_bits == 0 || exponent_bits > 64 || modulus_bits == 0 ||
	    modulus_bits > SSH_KEY_RSA_BITS_MAX)
		return malformed(err);
	if (exponent_bits < 2 || !is_odd(exponent) || !is_odd(modulus))
		return weak(err, "no RSA key has such numbers");
	if (modulus_bits < SSH_KEY_RSA_BITS_MIN)
		return weak(err, "an RSA key needs 2048 bits or more");
	*ret_bits = (unsigned)modulus_bits;
	return 0;
}

/* Whoever sees a point of small order can sign for it. */
static int read_ed25519(struct blob *blob, const struct key_type *type, unsigned *ret_bits,
			struct err *err)
{
	struct piece point = blob_string(blob);

	if (blob->failed || point.size != type->point_size)
		return malformed(err);
	if (!crypto_core_ed25519_is_valid_point(point.data))
		return weak(err, "no Ed25519 key has such a point");
	*ret_bits = type->bits;
	return 0;
}

/* Uncompressed points only (SEC 1 2.3.3), as RFC 5656 has them. */
static int read_ecdsa(struct blob *blob, const struct key_type *type, unsigned *ret_bits,
		      struct err *err)
{
	struct piece curve = blob_string(blob), point = blob_string(blob);

	if (blob->failed || !piece_is(curve, type->curve) || point.size != type->point_size ||
	    point.data[0] != 0x04)
		return malformed(err);
	*ret_bits = type->bits;
	return 0;
}

/* No DSA, which sshd refuses itself, and no certificates, whose options sshd would follow. */
static const struct key_type types[] = {
	{ "ssh-ed25519", NULL, 32, 256, read_ed25519, false },
	{ "ssh-rsa", NULL, 0, 0, read_rsa, false },
	{ "ecdsa-sha2-nistp256", "nistp256", 65, 256, read_ecdsa, false },
	{ "ecdsa-sha2-nistp384", "nistp384", 97, 384, read_ecdsa, false },
	{ "ecdsa-sha2-nistp521", "nistp521", 133, 521, read_ecdsa, false },
	{ "sk-ssh-ed25519@openssh.com", NULL, 32, 256, read_ed25519, true },
	{ "sk-ecdsa-sha2-nistp256@openssh.com", "nistp256", 65, 256, read_ecdsa, true },
};

static const struct key_type *find_type(const char *name, size_t size)
{
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (strlen(types[i].name) == size && memcmp(types[i].name, name, size) == 0)
			return &types[i];
	return NULL;
}

/* What a token signs for: "ssh:" and what its owner put behind. */
static bool is_application(struct piece application)
{
	if (application.size < 4 || application.size > 255 ||
	    memcmp(application.data, "ssh:", 4) != 0)
		return false;
	for (size_t i = 0; i < application.size; i++)
		if (application.data[i] <= 0x20 || application.data[i] >= 0x7f)
			return false;
	return true;
}

static int read_blob(const unsigned char *data, size_t size, const struct key_type *type,
		     unsigned *ret_bits, struct err *err)
{
	struct blob blob = { .at = data, .end = data + size };
	struct piece name = blob_string(&blob);

	if (blob.failed || !piece_is(name, type->name))
		return malformed(err);
	if (type->read(&blob, type, ret_bits, err) < 0)
		return -1;
	if (type->on_token) {
		struct piece application = blob_string(&blob);

		if (blob.failed || !is_application(application))
			return malformed(err);
	}
	return blob.at == blob.end ? 0 : malformed(err);
}

/* A line break or tab inside could begin another line, or a word, that sshd reads. */
static int check_bytes(const char *line, size_t size, struct err *err)
{
	if (size == 0 || size > SSH_KEY_LINE_MAX)
		return err_refuse(err, ERR_INVALID, "key-lines",
				  "public key is empty, or longer than %d bytes", SSH_KEY_LINE_MAX);
	for (size_t i = 0; i < size; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			return err_refuse(err, ERR_INVALID, "key-lines",
					  "public key is more than one line, or has control "
					  "characters");
	return 0;
}

static void trim(const char **line, size_t *size)
{
	static const char space[] = " \t\r\n";

	while (*size > 0 && memchr(space, **line, sizeof(space) - 1)) {
		(*line)++;
		(*size)--;
	}
	while (*size > 0 && memchr(space, (*line)[*size - 1], sizeof(space) - 1))
		(*size)--;
}

/* The next word, ended by a space or the end; at its end. */
static struct piece word(const char **at, const char *end)
{
	struct piece found;

	while (*at < end && **at == ' ')
		(*at)++;
	found = (struct piece){ (const unsigned char *)*at, 0 };
	while (*at < end && **at != ' ') {
		(*at)++;
		found.size++;
	}
	return found;
}

int ssh_key_parse(const char *line, size_t size, struct ssh_key *ret_key, struct err *err)
{
	unsigned char blob[SSH_KEY_LINE_MAX];
	struct piece name, base64;
	const struct key_type *type;
	size_t blob_size = 0;
	unsigned bits = 0;
	const char *end;

	trim(&line, &size);
	if (check_bytes(line, size, err) < 0)
		return -1;
	end = line + size;
	name = word(&line, end);
	type = find_type((const char *)name.data, name.size);
	if (!type)
		return err_refuse(err, ERR_INVALID, "key-type",
				  "public key does not begin with the name of a known type of key");
	base64 = word(&line, end);
	/* Its trailing bits and padding too: each key has one spelling. */
	if (base64_to_bytes(BASE64_PADDED, (const char *)base64.data, base64.size, NULL, blob,
			    sizeof(blob), &blob_size) < 0)
		return err_refuse(err, ERR_INVALID, "key-encoding", "public key is not base64");
	if (read_blob(blob, blob_size, type, &bits, err) < 0)
		return -1;
	*ret_key = (struct ssh_key){ type->name, (const char *)base64.data, base64.size, bits };
	return 0;
}

void ssh_key_write(const struct ssh_key *key, struct strbuf *out)
{
	strbuf_puts(out, key->type);
	strbuf_putc(out, ' ');
	strbuf_append(out, key->base64, key->base64_size);
}
