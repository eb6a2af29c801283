/*
 * Answers of security keys as a browser may make them up. The first byte picks the part that is the input's; all others
 * are as they should be. A new credential may be taken, and is then one that can be asked for; nothing proves anything, for
 * nothing was signed.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

#include <rolebridge/auth/webauthn.h>
#include <rolebridge/base/util.h>

#define NOW 1800000000
#define SESSION 1
#define BASE64 sodium_base64_VARIANT_URLSAFE_NO_PADDING

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The corpus names this site and this credential. */
static const unsigned char credential_id[] = "fuzz";
#define CREDENTIAL_ID_SIZE (sizeof(credential_id) - 1)

static struct tickets *tickets;
static struct arena *kept;
static struct webauthn_site site;
static struct webauthn_asking asking;
static struct webauthn_answer made, got;
static struct webauthn_credential stored;
static const struct uuid user;

static void require(bool fine)
{
	if (!fine)
		abort();
}

static const char *encoded(struct arena *arena, const void *data, size_t size)
{
	size_t room = sodium_base64_ENCODED_LEN(size, BASE64);
	char *text = arena_alloc(arena, room);

	require(text);
	return sodium_bin2base64(text, room, size ? data : (const unsigned char *)"", size, BASE64);
}

static const char *client_data(const char *type, enum challenge_purpose purpose)
{
	char challenge[TICKET_CHALLENGE_TEXT];
	const char *text;

	ticket_challenge(tickets, purpose, SESSION, NOW + 60, challenge);
	text = arena_printf(kept,
			    "{\"type\":\"%s\",\"challenge\":\"%s\",\"origin\":\"%s\","
			    "\"crossOrigin\":false}",
			    type, challenge, site.origin);
	require(text);
	return encoded(kept, text, strlen(text));
}

static void prepare(void)
{
	/* Our form of an Ed25519 key: the curve's base point. */
	static unsigned char key[34] = { 1, 2, 0x58 };
	char folder[] = "/tmp/rolebridge-fuzz-XXXXXX", path[64];

	require(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/key", folder);
	tickets = tickets_create(path, NULL);
	kept = arena_create(1 << 20);
	require(tickets && kept);
	unlink(path);
	rmdir(folder);
	require(webauthn_site_make("https://login.example.com", kept, &site, NULL) == 0);
	asking = (struct webauthn_asking){ &site, tickets, SESSION, NOW };
	made.client_data = client_data("webauthn.create", CHALLENGE_ENROL);
	got.client_data = client_data("webauthn.get", CHALLENGE_PROVE);
	made.id = got.id = encoded(kept, credential_id, CREDENTIAL_ID_SIZE);
	memset(key + 3, 0x66, sizeof(key) - 3);
	stored.id = (struct webauthn_bytes){ credential_id, CREDENTIAL_ID_SIZE };
	stored.key = (struct webauthn_bytes){ key, sizeof(key) };
}

static void proves_nothing(const struct webauthn_credential *credential,
			   const struct webauthn_answer *answer, struct arena *arena)
{
	struct webauthn_proof proof;

	require(webauthn_prove(&asking, answer, &user, credential, arena, &proof, NULL) < 0);
}

static void enrols(const struct webauthn_answer *answer, const void *data, size_t size,
		   struct arena *arena)
{
	struct webauthn_credential credential;
	struct webauthn_answer next = got;
	struct err err = { 0 };

	if (webauthn_register(&asking, answer, arena, &credential, &err) < 0) {
		require(err.code == ERR_DENIED);
		return;
	}
	require(credential.key.size <= WEBAUTHN_KEY_MAX && credential.id.size <= WEBAUTHN_ID_MAX);
	next.id = encoded(arena, credential.id.data, credential.id.size);
	next.authenticator_data = next.signature = encoded(arena, data, size);
	proves_nothing(&credential, &next, arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 22);
	struct webauthn_answer answer;
	const char *text;

	if (!tickets)
		prepare();
	if (size == 0 || size > 20000 || !arena)
		return 0;
	text = encoded(arena, data + 1, size - 1);
	switch (data[0] % 4) {
	case 0:
		answer = made;
		answer.attestation = text;
		enrols(&answer, data + 1, size - 1, arena);
		break;
	case 1:
		answer = got;
		answer.authenticator_data = text;
		answer.signature = encoded(arena, data, size);
		proves_nothing(&stored, &answer, arena);
		break;
	case 2:
		answer = got;
		answer.client_data = text;
		answer.authenticator_data = answer.signature = text;
		proves_nothing(&stored, &answer, arena);
		break;
	default:
		answer = got;
		answer.id = answer.user_handle =
			arena_strndup(arena, (const char *)data + 1, size - 1);
		proves_nothing(&stored, &answer, arena);
	}
	return 0;
}
