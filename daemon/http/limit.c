/*
 * Token buckets by address. Enters: an address and the time. Leaves: allowed, or seconds to wait. Cannot fail after
 * create. Places are found by a keyed hash (nobody can choose addresses that collide) and kept in
 * order of use; a newcomer in a full table takes the place that was not used for longest.
 *
 * A bucket counts in microseconds of its refill, so that nothing is rounded: a request costs cost_us, a full
 * bucket has burst times as much, and time that passes is added as it is. What is charged afterwards may leave less
 * than nothing, down to an empty bucket's worth of debt.
 */
#include <rolebridge/http/limit.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/hash.h>

#define NONE UINT32_MAX
#define KEY_SIZE 9 /* a byte for the kind, then IPv4 or the first half of IPv6 */
#define ADDRESSES_MAX ((size_t)1 << 24)

struct bucket {
	unsigned char key[KEY_SIZE];
	uint32_t chain;	       /* next of the same slot */
	uint32_t newer, older; /* order of use */
	int64_t saved_us, seen_us;
};

struct http_limit {
	pthread_mutex_t lock;
	struct bucket *buckets;
	uint32_t *slots;
	uint32_t count, max, slot_mask;
	uint32_t newest, oldest;
	int64_t cost_us, full_us;
};

struct http_limit *http_limit_create(unsigned per_minute, unsigned burst, size_t addresses_max)
{
	struct http_limit *limit;
	uint32_t slots = 1;

	if (per_minute == 0 || burst == 0 || addresses_max == 0 || addresses_max > ADDRESSES_MAX)
		return NULL;
	while (slots < addresses_max)
		slots *= 2;
	limit = alloc_zeroed(1, sizeof(*limit));
	if (!limit)
		return NULL;
	limit->buckets = alloc_zeroed(addresses_max, sizeof(*limit->buckets));
	limit->slots = alloc_zeroed(slots, sizeof(*limit->slots));
	if (!limit->buckets || !limit->slots) {
		free(limit->buckets);
		free(limit->slots);
		free(limit);
		return NULL;
	}
	memset(limit->slots, 0xff, slots * sizeof(*limit->slots));
	limit->max = (uint32_t)addresses_max;
	limit->slot_mask = slots - 1;
	limit->newest = limit->oldest = NONE;
	limit->cost_us = (int64_t)60000000 / per_minute;
	if (limit->cost_us == 0)
		limit->cost_us = 1;
	limit->full_us = limit->cost_us * burst;
	pthread_mutex_init(&limit->lock, NULL);
	return limit;
}

void http_limit_destroy(struct http_limit *limit)
{
	if (!limit)
		return;
	pthread_mutex_destroy(&limit->lock);
	free(limit->buckets);
	free(limit->slots);
	free(limit);
}

static void key_make(const struct address *address, unsigned char key[static KEY_SIZE])
{
	memset(key, 0, KEY_SIZE);
	if (!address)
		return;
	key[0] = address->v6 ? 6 : 4;
	memcpy(key + 1, address->byte, address->v6 ? 8 : 4);
}

static uint32_t *slot_of(struct http_limit *limit, const unsigned char *key)
{
	return &limit->slots[fingerprint128(key, KEY_SIZE).word[0] & limit->slot_mask];
}

/* --- order of use --- */

static void order_remove(struct http_limit *limit, const struct bucket *bucket)
{
	if (bucket->newer != NONE)
		limit->buckets[bucket->newer].older = bucket->older;
	else
		limit->newest = bucket->older;
	if (bucket->older != NONE)
		limit->buckets[bucket->older].newer = bucket->newer;
	else
		limit->oldest = bucket->newer;
}

static void order_add(struct http_limit *limit, uint32_t index)
{
	struct bucket *bucket = &limit->buckets[index];

	bucket->newer = NONE;
	bucket->older = limit->newest;
	if (limit->newest != NONE)
		limit->buckets[limit->newest].newer = index;
	else
		limit->oldest = index;
	limit->newest = index;
}

/* A free place, or the one not used for longest, out of all lists. */
static uint32_t place_take(struct http_limit *limit)
{
	if (limit->count < limit->max)
		return limit->count++;

	uint32_t index = limit->oldest;
	struct bucket *bucket = &limit->buckets[index];
	uint32_t *at = slot_of(limit, bucket->key);

	while (*at != index)
		at = &limit->buckets[*at].chain;
	*at = bucket->chain;
	order_remove(limit, bucket);
	return index;
}

static struct bucket *bucket_find(struct http_limit *limit, const unsigned char *key,
				  int64_t now_us)
{
	uint32_t *slot = slot_of(limit, key), index = *slot;

	while (index != NONE && memcmp(limit->buckets[index].key, key, KEY_SIZE) != 0)
		index = limit->buckets[index].chain;
	if (index != NONE) {
		order_remove(limit, &limit->buckets[index]);
		order_add(limit, index);
		return &limit->buckets[index];
	}
	index = place_take(limit);

	struct bucket *bucket = &limit->buckets[index];

	memcpy(bucket->key, key, KEY_SIZE);
	bucket->saved_us = limit->full_us;
	bucket->seen_us = now_us;
	bucket->chain = *slot;
	*slot = index;
	order_add(limit, index);
	return bucket;
}

static struct bucket *bucket_at(struct http_limit *limit, const struct address *address,
				int64_t now_us)
{
	unsigned char key[KEY_SIZE];
	struct bucket *bucket;
	int64_t passed_us;

	key_make(address, key);
	bucket = bucket_find(limit, key, now_us);
	passed_us = now_us - bucket->seen_us;
	if (passed_us > 0) {
		bucket->seen_us = now_us;
		bucket->saved_us = passed_us >= limit->full_us - bucket->saved_us
					   ? limit->full_us
					   : bucket->saved_us + passed_us;
	}
	return bucket;
}

unsigned http_limit_take_address(struct http_limit *limit, const struct address *address,
				 int64_t now_us)
{
	unsigned wait_s = 0;

	pthread_mutex_lock(&limit->lock);

	struct bucket *bucket = bucket_at(limit, address, now_us);

	if (bucket->saved_us >= limit->cost_us)
		bucket->saved_us -= limit->cost_us;
	else
		wait_s = (unsigned)((limit->cost_us - bucket->saved_us + 999999) / 1000000);
	pthread_mutex_unlock(&limit->lock);
	return wait_s;
}

void http_limit_charge_address(struct http_limit *limit, const struct address *address,
			       unsigned count, int64_t now_us)
{
	pthread_mutex_lock(&limit->lock);

	struct bucket *bucket = bucket_at(limit, address, now_us);
	int64_t most_us = bucket->saved_us + limit->full_us;

	bucket->saved_us -= count < most_us / limit->cost_us ? count * limit->cost_us : most_us;
	pthread_mutex_unlock(&limit->lock);
}

void http_limit_charge(struct http_limit *limit, const struct http_request *request, unsigned count)
{
	struct address address;
	bool known = http_client_address(request, &address);

	http_limit_charge_address(limit, known ? &address : NULL, count, clock_monotonic_us());
}

int http_limit_take(struct http_limit *limit, struct http_request *request, struct err *err)
{
	struct address address;
	bool known = http_client_address(request, &address);
	unsigned wait_s =
		http_limit_take_address(limit, known ? &address : NULL, clock_monotonic_us());

	if (wait_s == 0)
		return 0;
	request->retry_after_s = wait_s;
	return err_refuse(err, ERR_UNAVAILABLE, "rate-limited",
			  "too many requests; try again in %u s", wait_s);
}
