/*
 * Signatures of events. Enters: files with secrets, an event. Leaves: the header's text. Fails where a file cannot be read or
 * holds what is too short to be a secret.
 *
 * Standard Webhooks 1.0: HMAC-SHA256 over the id, a dot, the time in seconds, a dot and the body, in base64 behind "v1,". While
 * a secret is being replaced both sign, one behind the other, so that the receiver may change at any time.
 */
#include "webhook.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include <rolebridge/base/base64.h>
#include <rolebridge/base/util.h>

#define PREFIX "whsec_"
#define KEY_MAX 1024

/* The key's bytes out of the file's text. */
static int key_decode(const struct secret *text, const char *path, struct secret *ret_key,
		      struct err *err)
{
	unsigned char bytes[KEY_MAX];
	size_t prefix = strlen(PREFIX), size = 0;
	int result;

	if (text->size <= prefix || memcmp(text->data, PREFIX, prefix) != 0)
		return secret_copy(text->data, text->size, ret_key, err);
	if (base64_to_bytes(BASE64_PADDED, text->data + prefix, text->size - prefix, NULL, bytes,
			    sizeof(bytes), &size) < 0)
		result = err_set(err, ERR_INVALID, "'%.200s' holds no base64 behind " PREFIX, path);
	else
		result = size == 0 ? err_set(err, ERR_INVALID, "'%.200s' holds no secret", path)
				   : secret_copy(bytes, size, ret_key, err);
	sodium_memzero(bytes, sizeof(bytes));
	return result;
}

static int key_read(const char *path, struct secret *ret_key, struct err *err)
{
	AUTO(secret) struct secret text = { 0 };

	if (secret_read_file(path, &text, err) < 0 || key_decode(&text, path, ret_key, err) < 0)
		return -1;
	if (ret_key->size < WEBHOOK_SECRET_MIN)
		return err_set(err, ERR_INVALID, "the secret in '%.200s' is shorter than %d bytes",
			       path, WEBHOOK_SECRET_MIN);
	return 0;
}

int webhook_secrets_read(const struct located_list *files, struct webhook_secrets *secrets,
			 struct err *err)
{
	if (files->count == 0 || files->count > WEBHOOK_SECRETS_MAX)
		return err_set(err, ERR_INVALID, "one or two secrets sign events");
	for (size_t i = 0; i < files->count; i++) {
		if (key_read(files->items[i].text, &secrets->keys[i], err) < 0)
			return -1;
		secrets->count = i + 1;
	}
	return 0;
}

void webhook_secrets_finish(struct webhook_secrets *secrets)
{
	for (size_t i = 0; i < WEBHOOK_SECRETS_MAX; i++)
		secret_finish(&secrets->keys[i]);
	secrets->count = 0;
}

void webhook_sign(const struct webhook_secrets *secrets, const char *id, int64_t time_s,
		  const void *body, size_t size,
		  char ret_signatures[static WEBHOOK_SIGNATURES_SIZE])
{
	char head[WEBHOOK_ID_SIZE + 32];
	char *out = ret_signatures;

	snprintf(head, sizeof(head), "%s.%" PRId64 ".", id, time_s);
	for (size_t i = 0; i < secrets->count; i++) {
		unsigned char sum[crypto_auth_hmacsha256_BYTES];
		crypto_auth_hmacsha256_state state;

		crypto_auth_hmacsha256_init(&state, (const unsigned char *)secrets->keys[i].data,
					    secrets->keys[i].size);
		crypto_auth_hmacsha256_update(&state, (const unsigned char *)head, strlen(head));
		crypto_auth_hmacsha256_update(&state, body, size);
		crypto_auth_hmacsha256_final(&state, sum);
		sodium_memzero(&state, sizeof(state));
		memcpy(out, i > 0 ? " v1," : "v1,", i > 0 ? 4 : 3);
		out += i > 0 ? 4 : 3;
		sodium_bin2base64(
			out, sodium_base64_ENCODED_LEN(sizeof(sum), sodium_base64_VARIANT_ORIGINAL),
			sum, sizeof(sum), sodium_base64_VARIANT_ORIGINAL);
		out += strlen(out);
	}
	*out = '\0';
}
