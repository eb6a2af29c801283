/* UUIDs. Enters: milliseconds since the epoch, or text. Leaves: 16 bytes. Cannot fail but by bad text. */
#include <rolebridge/base/ids.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include <rolebridge/base/hash.h>
#include <rolebridge/base/text.h>

/*
 * Random bytes of a thread, fetched in bulk: a system call for each user of a first import is a tenth of
 * planning it. They are names, not secrets. A forked child fetches its own.
 */
#define POOL_SIZE 1280
static _Thread_local struct {
	unsigned char bytes[POOL_SIZE];
	size_t left;
} pool;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

static void forget_pool(void)
{
	pool.left = 0;
}

static void watch_forks(void)
{
	/* Without it two processes could give the same names. */
	if (pthread_atfork(NULL, NULL, forget_pool) != 0)
		abort();
}

static void random_bytes(unsigned char *ret_bytes, size_t size)
{
	if (pool.left < size) {
		pthread_once(&fork_once, watch_forks);
		hash_prepare();
		randombytes_buf(pool.bytes, sizeof(pool.bytes));
		pool.left = sizeof(pool.bytes);
	}
	pool.left -= size;
	memcpy(ret_bytes, pool.bytes + pool.left, size);
}

/* RFC 9562 5.7: 48 bits of milliseconds, version 7, 12 random bits, variant 10, 62 random bits. */
struct uuid uuid_create(int64_t now_ms)
{
	struct uuid uuid;
	uint64_t time = (uint64_t)now_ms;

	for (size_t i = 0; i < 6; i++)
		uuid.byte[i] = (unsigned char)(time >> (40 - 8 * i));
	random_bytes(uuid.byte + 6, sizeof(uuid.byte) - 6);
	uuid.byte[6] = (unsigned char)(0x70 | (uuid.byte[6] & 0x0f));
	uuid.byte[8] = (unsigned char)(0x80 | (uuid.byte[8] & 0x3f));
	return uuid;
}

static size_t uuid_is_dash(size_t at)
{
	return at == 8 || at == 13 || at == 18 || at == 23;
}

void uuid_format(const struct uuid *uuid, char ret_text[static UUID_TEXT_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	size_t at = 0;

	for (size_t i = 0; i < sizeof(uuid->byte); i++) {
		if (uuid_is_dash(at))
			ret_text[at++] = '-';
		ret_text[at++] = digits[uuid->byte[i] >> 4];
		ret_text[at++] = digits[uuid->byte[i] & 15];
	}
	ret_text[at] = 0;
}

bool uuid_parse(const char *text, struct uuid *ret_uuid)
{
	struct uuid uuid;
	size_t at = 0;

	if (strnlen(text, UUID_TEXT_SIZE) != UUID_TEXT_SIZE - 1)
		return false;
	for (size_t i = 0; i < sizeof(uuid.byte); i++) {
		if (uuid_is_dash(at) && text[at++] != '-')
			return false;

		int high = text_hex_digit((unsigned char)text[at++]),
		    low = text_hex_digit((unsigned char)text[at++]);

		if (high < 0 || low < 0)
			return false;
		uuid.byte[i] = (unsigned char)(high << 4 | low);
	}
	*ret_uuid = uuid;
	return true;
}
