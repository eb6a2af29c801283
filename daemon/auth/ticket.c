/*
 * Sealed state in the browser's hands. Enter: structs of texts, and texts from browsers. Leave:
 * base64url of nonce and box (XSalsa20, Poly1305), and what was sealed. Fails with ERR_INVALID for
 * all that is not a box of ours, ERR_DENIED "expired", ERR_CONFLICT "used".
 *
 * Each kind of ticket is sealed under a key of its own, derived from the key file, so that one is
 * never taken for another. A hand-off's key is not derived but drawn: codes of an earlier process,
 * whose list of used ones is gone, open no more. It is drawn anew when the clock steps back, for then
 * a code that was used, and forgotten since it had expired, would be good again.
 */
#include <rolebridge/auth/ticket.h>

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/base64.h>
#include <rolebridge/base/file.h>
#include <rolebridge/base/hash.h>
#include <rolebridge/base/message.h>
#include <rolebridge/base/util.h>

#define TEXT_MAX 3072
#define OVERHEAD (crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES)
#define SEALED_MAX (TEXT_MAX / 4 * 3)
#define PLAIN_MAX (SEALED_MAX - OVERHEAD)
#define CONTEXT "rbticket"
#define BASE64 sodium_base64_VARIANT_URLSAFE_NO_PADDING
#define CSRF_BYTES 32

#define HANDOFF_LIFE_S 30
#define CLOCK_SLACK_S 5 /* between threads that asked the clock */
#define USED_MAX 65536 /* hand-offs in HANDOFF_AGE_S; each needs a session and a redirect of ours */
#define HANDOFF_AGE_S (HANDOFF_LIFE_S + 2 * CLOCK_SLACK_S)

/* The numbers of the derived keys: never renumber, never reuse. */
enum ticket_kind {
	TICKET_LOGIN = 1,
	TICKET_LOGOUT = 2,
	TICKET_CSRF = 3,
	TICKET_INVITE = 4,
	TICKET_LOGIN_LINK = 5,
	TICKET_RESET = 6,
	TICKET_DEVICE = 7,
	TICKET_CHALLENGE = 10,
	TICKET_CODE = 11,
	TICKET_KINDS
};
#define TICKET_HANDOFF 0 /* drawn */

struct keys {
	unsigned char key[TICKET_KINDS][crypto_secretbox_KEYBYTES];
};

struct tickets {
	struct keys *keys; /* guarded memory; [TICKET_HANDOFF] changes under the lock */
	pthread_mutex_t lock;
	/* Hand-offs used in this period and in the one before; each is as long as a code can live. */
	struct hash_table *used[2];
	int64_t period_s; /* when the first began */
	int64_t newest_s; /* the latest time a hand-off was opened at */
};

/* ---------------------------------------------------------------------- key */

static int check_key_file(const char *path, const struct stat *info, struct err *err)
{
	if (info->st_uid != geteuid())
		return err_set(err, ERR_INVALID, "key file '%s' belongs to another user", path);
	if (info->st_mode & 0077)
		return err_set(err, ERR_INVALID, "key file '%s' is open to others: mode %04o", path,
			       (unsigned)(info->st_mode & 07777));
	if (info->st_size != crypto_kdf_KEYBYTES)
		return err_set(err, ERR_INVALID, "key file '%s' has %lld bytes instead of %d", path,
			       (long long)info->st_size, (int)crypto_kdf_KEYBYTES);
	return 0;
}

static int read_key(const char *path, unsigned char ret_key[crypto_kdf_KEYBYTES], struct err *err)
{
	struct stat info;
	AUTO(fd) int fd = file_open(path, &info, err);
	size_t size = 0;

	if (fd < 0 || check_key_file(path, &info, err) < 0)
		return -1;
	while (size < crypto_kdf_KEYBYTES) {
		ssize_t got = read(fd, ret_key + size, crypto_kdf_KEYBYTES - size);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return err_set_errno(err, ERR_IO, got < 0 ? errno : EIO,
					     "cannot read key file '%s'", path);
		size += (size_t)got;
	}
	return 0;
}

static int make_key(const char *path, unsigned char ret_key[crypto_kdf_KEYBYTES], struct err *err)
{
	crypto_kdf_keygen(ret_key);
	return file_write_atomic(path, ret_key, crypto_kdf_KEYBYTES, 0600, err);
}

static int load_key(const char *path, unsigned char ret_key[crypto_kdf_KEYBYTES], struct err *err)
{
	struct err cause = { 0 };

	if (read_key(path, ret_key, &cause) == 0)
		return 0;
	if (cause.code == ERR_NOT_FOUND)
		return make_key(path, ret_key, err);
	return err ? (*err = cause, -1) : -1;
}

static int derive_keys(struct tickets *tickets, const char *path, struct err *err)
{
	unsigned char *master = sodium_malloc(crypto_kdf_KEYBYTES);
	int status;

	tickets->keys = sodium_malloc(sizeof(*tickets->keys));
	status = master && tickets->keys ? load_key(path, master, err)
					 : err_set(err, ERR_MEMORY, "out of memory");
	if (status == 0) {
		for (int kind = TICKET_LOGIN; kind < TICKET_KINDS; kind++)
			crypto_kdf_derive_from_key(tickets->keys->key[kind],
						   sizeof(tickets->keys->key[kind]), (uint64_t)kind,
						   CONTEXT, master);
		crypto_secretbox_keygen(tickets->keys->key[TICKET_HANDOFF]);
	}
	sodium_free(master);
	return status;
}

struct tickets *tickets_create(const char *key_path, struct err *err)
{
	struct tickets *tickets = alloc_zeroed(1, sizeof(*tickets));

	if (!tickets) {
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	hash_prepare();
	pthread_mutex_init(&tickets->lock, NULL);
	if (derive_keys(tickets, key_path, err) == 0)
		return tickets;
	tickets_destroy(tickets);
	return NULL;
}

void tickets_destroy(struct tickets *tickets)
{
	if (!tickets)
		return;
	sodium_free(tickets->keys);
	hash_table_destroy(tickets->used[0]);
	hash_table_destroy(tickets->used[1]);
	pthread_mutex_destroy(&tickets->lock);
	free(tickets);
}

/* --------------------------------------------------------- sealing, opening */

struct sealed {
	unsigned char nonce[crypto_secretbox_NONCEBYTES];
	unsigned char box[SEALED_MAX - crypto_secretbox_NONCEBYTES];
};

static void copy_key(struct tickets *tickets, int kind,
		     unsigned char ret_key[crypto_secretbox_KEYBYTES])
{
	pthread_mutex_lock(&tickets->lock);
	memcpy(ret_key, tickets->keys->key[kind], crypto_secretbox_KEYBYTES);
	pthread_mutex_unlock(&tickets->lock);
}

/* Nothing is appended on failure. */
static int seal(struct tickets *tickets, int kind, const struct strbuf *plain, struct strbuf *out,
		struct err *err)
{
	unsigned char key[crypto_secretbox_KEYBYTES];
	struct sealed sealed;
	size_t size = OVERHEAD + plain->size;
	size_t text_size = sodium_base64_ENCODED_LEN(size, BASE64);
	char *text;

	if (strbuf_failed(plain))
		return err_set(err, ERR_TOO_LARGE, "more than fits into a ticket");
	text = strbuf_reserve(out, text_size);
	if (!text)
		return err_set(err, ERR_TOO_LARGE, "no room for a ticket");
	randombytes_buf(sealed.nonce, sizeof(sealed.nonce));
	copy_key(tickets, kind, key);
	crypto_secretbox_easy(sealed.box, (const unsigned char *)plain->data, plain->size,
			      sealed.nonce, key);
	sodium_memzero(key, sizeof(key));
	sodium_bin2base64(text, text_size, (const unsigned char *)&sealed, size, BASE64);
	strbuf_advance(out, text_size - 1);
	return 0;
}

static int not_ours(struct err *err)
{
	return err_set(err, ERR_INVALID, "not a ticket of ours");
}

/* The texts of a ticket lie in the arena. *ret_nonce (may be NULL) names it. */
static int open_box(struct tickets *tickets, int kind, const char *text, struct arena *arena,
		    struct reader *ret_reader, struct hash128 *ret_name, struct err *err)
{
	unsigned char key[crypto_secretbox_KEYBYTES];
	struct sealed sealed;
	size_t size, text_size = strnlen(text, TEXT_MAX + 1);
	unsigned char *plain;
	int status;

	if (text_size > TEXT_MAX ||
	    base64_to_bytes(BASE64_URL, text, text_size, NULL, &sealed, sizeof(sealed), &size) <
		    0 ||
	    size < OVERHEAD)
		return not_ours(err);
	plain = arena_alloc(arena, PLAIN_MAX);
	if (!plain)
		return err_set(err, ERR_MEMORY, "out of memory");
	copy_key(tickets, kind, key);
	status = crypto_secretbox_open_easy(plain, sealed.box, size - sizeof(sealed.nonce),
					    sealed.nonce, key);
	sodium_memzero(key, sizeof(key));
	if (status != 0)
		return not_ours(err);
	*ret_reader = reader_init(plain, size - OVERHEAD);
	if (ret_name)
		*ret_name = fingerprint128(sealed.nonce, sizeof(sealed.nonce));
	return 0;
}

static int expired(struct err *err)
{
	return err_refuse(err, ERR_DENIED, "expired", "the ticket has expired");
}

/* What begins in times to come has not expired either. */
static int check_read(const struct reader *in, const struct arena *arena, int64_t until_s,
		      int64_t now_s, struct err *err)
{
	if (arena_failed(arena))
		return err_set(err, ERR_MEMORY, "out of memory");
	if (!reader_done(in))
		return not_ours(err);
	return now_s >= until_s ? expired(err) : 0;
}

/* -------------------------------------------------------------------- kinds */

int ticket_seal_login(struct tickets *tickets, const struct pending_login *pending,
		      struct strbuf *out, struct err *err)
{
	AUTO(strbuf) struct strbuf plain = STRBUF(PLAIN_MAX);

	put_text(&plain, pending->request_id);
	put_text(&plain, pending->source);
	put_text(&plain, pending->return_url);
	put_u8(&plain, pending->test);
	put_i64(&plain, pending->test_session_id);
	put_i64(&plain, pending->session_id);
	put_i64(&plain, pending->created_s);
	put_i64(&plain, pending->until_s);
	return seal(tickets, TICKET_LOGIN, &plain, out, err);
}

int ticket_open_login(struct tickets *tickets, const char *text, int64_t now_s, struct arena *arena,
		      struct pending_login *ret_pending, struct err *err)
{
	struct pending_login pending;
	struct reader in;

	if (open_box(tickets, TICKET_LOGIN, text, arena, &in, NULL, err) < 0)
		return -1;
	pending.request_id = get_text(&in, arena);
	pending.source = get_text(&in, arena);
	pending.return_url = get_text(&in, arena);
	pending.test = get_u8(&in) != 0;
	pending.test_session_id = get_i64(&in);
	pending.session_id = get_i64(&in);
	pending.created_s = get_i64(&in);
	pending.until_s = get_i64(&in);
	if (check_read(&in, arena, pending.until_s, now_s, err) < 0)
		return -1;
	*ret_pending = pending;
	return 0;
}

int ticket_seal_logout(struct tickets *tickets, const struct pending_logout *pending,
		       struct strbuf *out, struct err *err)
{
	AUTO(strbuf) struct strbuf plain = STRBUF(PLAIN_MAX);

	put_text(&plain, pending->request_id);
	put_text(&plain, pending->source);
	put_text(&plain, pending->return_url);
	put_i64(&plain, pending->until_s);
	return seal(tickets, TICKET_LOGOUT, &plain, out, err);
}

int ticket_open_logout(struct tickets *tickets, const char *text, int64_t now_s,
		       struct arena *arena, struct pending_logout *ret_pending, struct err *err)
{
	struct pending_logout pending;
	struct reader in;

	if (open_box(tickets, TICKET_LOGOUT, text, arena, &in, NULL, err) < 0)
		return -1;
	pending.request_id = get_text(&in, arena);
	pending.source = get_text(&in, arena);
	pending.return_url = get_text(&in, arena);
	pending.until_s = get_i64(&in);
	if (check_read(&in, arena, pending.until_s, now_s, err) < 0)
		return -1;
	*ret_pending = pending;
	return 0;
}

/* ----------------------------------------------------------------- hand-off */

int ticket_seal_handoff(struct tickets *tickets, const struct handoff *handoff, struct strbuf *out,
			struct err *err)
{
	AUTO(strbuf) struct strbuf plain = STRBUF(PLAIN_MAX);

	put_i64(&plain, handoff->session_id);
	put_text(&plain, handoff->host);
	put_text(&plain, handoff->return_url);
	put_text(&plain, handoff->nonce_hash);
	put_i64(&plain, handoff->until_s);
	return seal(tickets, TICKET_HANDOFF, &plain, out, err);
}

static void forget_used(struct tickets *tickets, size_t which)
{
	hash_table_destroy(tickets->used[which]);
	tickets->used[which] = NULL;
}

/* Drop what can no longer be opened. Callers hold the lock. */
static void pass_time(struct tickets *tickets, int64_t now_s)
{
	if (now_s < tickets->newest_s - CLOCK_SLACK_S) {
		crypto_secretbox_keygen(tickets->keys->key[TICKET_HANDOFF]);
		forget_used(tickets, 0);
		forget_used(tickets, 1);
		tickets->newest_s = tickets->period_s = now_s;
	}
	if (now_s > tickets->newest_s)
		tickets->newest_s = now_s;
	if (now_s - tickets->period_s <= HANDOFF_AGE_S)
		return;
	forget_used(tickets, 1);
	/* Nobody came for two periods: the newer one is old as well. */
	if (now_s - tickets->period_s > 2 * HANDOFF_AGE_S)
		forget_used(tickets, 0);
	tickets->used[1] = tickets->used[0];
	tickets->used[0] = NULL;
	tickets->period_s = now_s;
}

/* Callers hold the lock. */
static int use_up(struct tickets *tickets, struct hash128 name, struct err *err)
{
	uint32_t *slot;
	int status;

	if (!tickets->used[0])
		tickets->used[0] = hash_table_create(16, USED_MAX);
	if (!tickets->used[0])
		return err_set(err, ERR_MEMORY, "out of memory");
	if (tickets->used[1] && hash_table_get(tickets->used[1], name, NULL))
		status = 0;
	else
		status = hash_table_put(tickets->used[0], name, &slot);
	if (status < 0)
		return err_refuse(err, ERR_UNAVAILABLE, "rate-limited",
				  "too many hand-offs at a time");
	return status == 1 ? 0 : err_refuse(err, ERR_CONFLICT, "used", "the code was used before");
}

int ticket_open_handoff(struct tickets *tickets, const char *text, int64_t now_s,
			struct arena *arena, struct handoff *ret_handoff, struct err *err)
{
	struct handoff handoff;
	struct hash128 name;
	struct reader in;
	int status;

	pthread_mutex_lock(&tickets->lock);
	pass_time(tickets, now_s);
	pthread_mutex_unlock(&tickets->lock);
	if (open_box(tickets, TICKET_HANDOFF, text, arena, &in, &name, err) < 0)
		return -1;
	handoff.session_id = get_i64(&in);
	handoff.host = get_text(&in, arena);
	handoff.return_url = get_text(&in, arena);
	handoff.nonce_hash = get_text(&in, arena);
	handoff.until_s = get_i64(&in);
	if (check_read(&in, arena, handoff.until_s, now_s, err) < 0)
		return -1;
	/* Used ones are remembered no longer than that. */
	if (handoff.until_s > now_s + HANDOFF_LIFE_S + CLOCK_SLACK_S)
		return expired(err);
	pthread_mutex_lock(&tickets->lock);
	status = use_up(tickets, name, err);
	pthread_mutex_unlock(&tickets->lock);
	if (status == 0)
		*ret_handoff = handoff;
	return status;
}

/* --------------------------------------------------------------------- CSRF */

void ticket_csrf(struct tickets *tickets, int64_t session_id, char ret_text[static 44])
{
	uint64_t wire = htole64((uint64_t)session_id);
	unsigned char hash[CSRF_BYTES];

	crypto_generichash(hash, sizeof(hash), (const unsigned char *)&wire, sizeof(wire),
			   tickets->keys->key[TICKET_CSRF], crypto_secretbox_KEYBYTES);
	sodium_bin2base64(ret_text, 44, hash, sizeof(hash), BASE64);
	sodium_memzero(hash, sizeof(hash));
}

bool ticket_csrf_check(struct tickets *tickets, int64_t session_id, const char *text)
{
	char wanted[44];
	bool same;

	if (strnlen(text, sizeof(wanted)) != sizeof(wanted) - 1)
		return false;
	ticket_csrf(tickets, session_id, wanted);
	same = sodium_memcmp(wanted, text, sizeof(wanted) - 1) == 0;
	sodium_memzero(wanted, sizeof(wanted));
	return same;
}

/* --------------------------------------------------------------------- codes */

void ticket_code_hash(struct tickets *tickets, const void *data, size_t size,
		      struct hash256 *ret_hash)
{
	unsigned char key[crypto_secretbox_KEYBYTES];

	copy_key(tickets, TICKET_CODE, key);
	crypto_generichash(ret_hash->byte, sizeof(ret_hash->byte), data, size, key, sizeof(key));
	sodium_memzero(key, sizeof(key));
}

/* ------------------------------------------------------------------- invites */

#define INVITE_MAC 24

struct invite_link {
	unsigned char uuid[16];
	unsigned char generation[4];
	unsigned char mac[INVITE_MAC];
};

static void sign_link(struct tickets *tickets, enum ticket_kind kind, struct invite_link *link)
{
	unsigned char key[crypto_secretbox_KEYBYTES];

	copy_key(tickets, (int)kind, key);
	crypto_generichash(link->mac, sizeof(link->mac), (const unsigned char *)link,
			   offsetof(struct invite_link, mac), key, sizeof(key));
	sodium_memzero(key, sizeof(key));
}

static void make_link(struct tickets *tickets, enum ticket_kind kind, const struct uuid *uuid,
		      int64_t generation, char ret_text[static TICKET_INVITE_SIZE])
{
	struct invite_link link;

	static_assert(sodium_base64_ENCODED_LEN(sizeof(link), BASE64) == TICKET_INVITE_SIZE,
		      "the link's text");
	memcpy(link.uuid, uuid->byte, sizeof(link.uuid));
	for (size_t i = 0; i < sizeof(link.generation); i++)
		link.generation[i] = (unsigned char)(generation >> (24 - 8 * i));
	sign_link(tickets, kind, &link);
	sodium_bin2base64(ret_text, TICKET_INVITE_SIZE, (const unsigned char *)&link, sizeof(link),
			  BASE64);
}

/* All of what is signed, and nothing else. */
static bool read_signed(const char *text, void *ret_bytes, size_t size)
{
	size_t text_size = sodium_base64_ENCODED_LEN(size, BASE64) - 1, got;

	return strnlen(text, text_size + 1) == text_size &&
	       base64_to_bytes(BASE64_URL, text, text_size, NULL, ret_bytes, size, &got) == 0 &&
	       got == size;
}

static bool open_link(struct tickets *tickets, enum ticket_kind kind, const char *text,
		      struct uuid *ret_uuid, int64_t *ret_generation)
{
	struct invite_link link, ours;

	if (!read_signed(text, &link, sizeof(link)))
		return false;
	ours = link;
	sign_link(tickets, kind, &ours);
	if (sodium_memcmp(ours.mac, link.mac, sizeof(link.mac)) != 0)
		return false;
	memcpy(ret_uuid->byte, link.uuid, sizeof(link.uuid));
	*ret_generation = 0;
	for (size_t i = 0; i < sizeof(link.generation); i++)
		*ret_generation = *ret_generation << 8 | link.generation[i];
	return true;
}

void ticket_invite(struct tickets *tickets, const struct uuid *invite, int64_t generation,
		   char ret_text[static TICKET_INVITE_SIZE])
{
	make_link(tickets, TICKET_INVITE, invite, generation, ret_text);
}

bool ticket_invite_open(struct tickets *tickets, const char *text, struct uuid *ret_invite,
			int64_t *ret_generation)
{
	return open_link(tickets, TICKET_INVITE, text, ret_invite, ret_generation);
}

void ticket_login_link(struct tickets *tickets, const struct uuid *link,
		       char ret_text[static TICKET_INVITE_SIZE])
{
	make_link(tickets, TICKET_LOGIN_LINK, link, 1, ret_text);
}

bool ticket_login_link_open(struct tickets *tickets, const char *text, struct uuid *ret_link)
{
	int64_t generation;

	return open_link(tickets, TICKET_LOGIN_LINK, text, ret_link, &generation);
}

void ticket_reset(struct tickets *tickets, const struct uuid *reset, int64_t generation,
		  char ret_text[static TICKET_INVITE_SIZE])
{
	make_link(tickets, TICKET_RESET, reset, generation, ret_text);
}

bool ticket_reset_open(struct tickets *tickets, const char *text, struct uuid *ret_reset,
		       int64_t *ret_generation)
{
	return open_link(tickets, TICKET_RESET, text, ret_reset, ret_generation);
}

void ticket_device(struct tickets *tickets, const struct uuid *device,
		   char ret_text[static TICKET_INVITE_SIZE])
{
	make_link(tickets, TICKET_DEVICE, device, 1, ret_text);
}

bool ticket_device_open(struct tickets *tickets, const char *text, struct uuid *ret_device)
{
	int64_t generation;

	return open_link(tickets, TICKET_DEVICE, text, ret_device, &generation);
}

/* ---------------------------------------------------------------- challenges */

struct challenge {
	unsigned char nonce[16];
	unsigned char until[8];
	unsigned char mac[24];
};

static void sign_challenge(struct tickets *tickets, struct challenge *challenge,
			   enum challenge_purpose purpose, int64_t session_id)
{
	unsigned char key[crypto_secretbox_KEYBYTES];
	struct {
		uint64_t purpose, session_id;
	} bound = { htole64((uint64_t)purpose), htole64((uint64_t)session_id) };
	crypto_generichash_state state;

	copy_key(tickets, TICKET_CHALLENGE, key);
	crypto_generichash_init(&state, key, sizeof(key), sizeof(challenge->mac));
	crypto_generichash_update(&state, (const unsigned char *)&bound, sizeof(bound));
	crypto_generichash_update(&state, (const unsigned char *)challenge,
				  offsetof(struct challenge, mac));
	crypto_generichash_final(&state, challenge->mac, sizeof(challenge->mac));
	sodium_memzero(key, sizeof(key));
	sodium_memzero(&state, sizeof(state));
}

void ticket_challenge(struct tickets *tickets, enum challenge_purpose purpose, int64_t session_id,
		      int64_t until_s, char ret_text[static TICKET_CHALLENGE_TEXT])
{
	uint64_t until = htobe64((uint64_t)until_s);
	struct challenge challenge;

	static_assert(sodium_base64_ENCODED_LEN(sizeof(challenge), BASE64) == TICKET_CHALLENGE_TEXT,
		      "the challenge's text");
	randombytes_buf(challenge.nonce, sizeof(challenge.nonce));
	memcpy(challenge.until, &until, sizeof(challenge.until));
	sign_challenge(tickets, &challenge, purpose, session_id);
	sodium_bin2base64(ret_text, TICKET_CHALLENGE_TEXT, (const unsigned char *)&challenge,
			  sizeof(challenge), BASE64);
}

int ticket_challenge_open(struct tickets *tickets, const char *text, enum challenge_purpose purpose,
			  int64_t session_id, int64_t now_s, int64_t *ret_until_s, struct err *err)
{
	struct challenge challenge, ours;
	uint64_t until;

	if (!read_signed(text, &challenge, sizeof(challenge)))
		return not_ours(err);
	ours = challenge;
	sign_challenge(tickets, &ours, purpose, session_id);
	if (sodium_memcmp(ours.mac, challenge.mac, sizeof(ours.mac)) != 0)
		return not_ours(err);
	memcpy(&until, challenge.until, sizeof(until));
	if (now_s >= (int64_t)be64toh(until))
		return expired(err);
	*ret_until_s = (int64_t)be64toh(until);
	return 0;
}
