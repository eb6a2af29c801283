/*
 * Guesses slowed down. Enter: attempts and the time. Leave: go on, or so many seconds to wait. Cannot fail after create.
 *
 * Places lie in sets of eight, by keyed hash, so that nobody can choose names that meet in one set. A place counts what
 * turned out wrong, or has not turned out yet: an attempt counts from its beginning on, so that many at the same moment
 * are not all the first. A newcomer takes the place of the smallest count in its set: names made up to push others
 * out push out one another. Pairs of an account and an address where it was right have a table of their own, which only
 * those who sign in can fill. Their attempts do not touch the address's count, else one's own right password there would
 * pay for guesses at others'.
 *
 * Wrong ones are forgotten one by one while time passes. The delay follows the last attempt that was let pass, never
 * one that was refused: hammering makes nobody wait longer.
 */
#include <rolebridge/auth/throttle.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/hash.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

#define SET_SIZE 8
#define SETS 8192 /* with 8 places of 56 bytes: 3.5 MiB */
#define FAMILIAR_SETS 4096
#define SECOND_US ((int64_t)1000000)
/* Many may share an address: what one of them does must not cost the others a quarter of an hour. */
#define ADDRESS_DELAY_MAX_S 60
#define ACCOUNT_BYTES_MAX 1024
/* Of all refusals so many are told in the audit log: at once, and then in a minute. */
#define TELL_BURST 60
#define TELL_PER_MINUTE 10

/* What a place counts, beside the kinds of accounts. */
enum {
	KEY_ADDRESS = THROTTLE_KINDS, /* the address */
	KEY_FAMILIAR,		      /* + kind: an account at an address where it was right */
};

struct place {
	struct hash128 key; /* 0: free */
	int64_t until_us;   /* no attempt before */
	int64_t forgot_us;  /* wrong ones were forgotten up to this time */
	int64_t seen_us;
	uint32_t wrong;
	uint32_t untold; /* refusals */
	bool told;	 /* of this delay */
	bool is_address;
};

struct limits {
	uint32_t attempts;
	int64_t delay_us, delay_max_us;
	int64_t forget_us; /* one wrong attempt in so long */
};

struct table {
	struct place *places;
	size_t sets;
};

struct throttle {
	pthread_mutex_t lock;
	struct limits account, address;
	struct table table, familiar;
	int64_t tell_us, tell_saved_us; /* a token bucket over time */
	uint64_t attempts, refused_account, refused_address;
};

/* --- begin and end --- */

static void apply(struct throttle *throttle, const struct throttle_settings *settings)
{
	int64_t max_s = settings->delay_max_s;
	int64_t address_max_s = max_s < ADDRESS_DELAY_MAX_S ? max_s : ADDRESS_DELAY_MAX_S;

	throttle->account = (struct limits){
		.attempts = (uint32_t)settings->attempts,
		.delay_us = settings->delay_s * SECOND_US,
		.delay_max_us = max_s * SECOND_US,
		.forget_us = max_s * SECOND_US,
	};
	throttle->address = (struct limits){
		.attempts = (uint32_t)settings->address_attempts,
		.delay_us = settings->delay_s * SECOND_US,
		.delay_max_us = address_max_s * SECOND_US,
		.forget_us = max_s * SECOND_US / settings->address_attempts,
	};
	if (throttle->address.delay_us > throttle->address.delay_max_us)
		throttle->address.delay_us = throttle->address.delay_max_us;
}

static int table_make(struct table *table, size_t sets, struct err *err)
{
	table->places = alloc_zeroed(sets * SET_SIZE, sizeof(*table->places));
	table->sets = sets;
	return table->places ? 0 : err_set(err, ERR_MEMORY, "out of memory");
}

struct throttle *throttle_create(const struct throttle_settings *settings, struct err *err)
{
	struct throttle *throttle = alloc_zeroed(1, sizeof(*throttle));

	if (!throttle || table_make(&throttle->table, SETS, err) < 0 ||
	    table_make(&throttle->familiar, FAMILIAR_SETS, err) < 0) {
		if (throttle)
			free(throttle->table.places);
		else
			err_set(err, ERR_MEMORY, "out of memory");
		free(throttle);
		return NULL;
	}
	pthread_mutex_init(&throttle->lock, NULL);
	apply(throttle, settings);
	return throttle;
}

void throttle_destroy(struct throttle *throttle)
{
	if (!throttle)
		return;
	pthread_mutex_destroy(&throttle->lock);
	free(throttle->table.places);
	free(throttle->familiar.places);
	free(throttle);
}

void throttle_configure(struct throttle *throttle, const struct throttle_settings *settings)
{
	pthread_mutex_lock(&throttle->lock);
	apply(throttle, settings);
	pthread_mutex_unlock(&throttle->lock);
}

/* --- keys --- */

struct key_text {
	unsigned char kind;
	unsigned char address[9]; /* a byte for the kind, then IPv4 or the first half of IPv6 */
};

struct keys {
	bool has_account, has_address;
	struct hash128 account, address, familiar;
};

static void put_address(const struct address *address, struct key_text *text)
{
	if (!address)
		return;
	text->address[0] = address->v6 ? 6 : 4;
	memcpy(text->address + 1, address->byte, address->v6 ? 8 : 4);
}

static struct hash128 hash_key(unsigned kind, const struct address *address, const char *account,
			       size_t size)
{
	unsigned char buffer[sizeof(struct key_text) + ACCOUNT_BYTES_MAX];
	struct key_text text = { .kind = (unsigned char)kind };

	put_address(address, &text);
	memcpy(buffer, &text, sizeof(text));
	memcpy(buffer + sizeof(text), account, size);
	return fingerprint128(buffer, sizeof(text) + size);
}

/* Names are compared caseless, as at signing in; one that is longer than any, or cannot be folded, is cut. */
static void make_keys(const struct throttle_attempt *attempt, struct keys *keys)
{
	AUTO(strbuf) struct strbuf folded = STRBUF((size_t)16 * ACCOUNT_BYTES_MAX);
	const char *account = attempt->account ? attempt->account : "";
	size_t size = strnlen(account, ACCOUNT_BYTES_MAX);

	text_fold(&folded, account, size);
	if (!strbuf_failed(&folded)) {
		account = strbuf_text(&folded);
		size = folded.size < ACCOUNT_BYTES_MAX ? folded.size : ACCOUNT_BYTES_MAX;
	}
	keys->has_account = attempt->account != NULL;
	keys->has_address = !attempt->account_only;
	keys->account = hash_key(attempt->kind, NULL, account, size);
	keys->address = hash_key(KEY_ADDRESS, attempt->address, "", 0);
	keys->familiar =
		hash_key(KEY_FAMILIAR + (unsigned)attempt->kind, attempt->address, account, size);
}

/* --- places --- */

static const struct limits *limits_of(const struct throttle *throttle, const struct place *place)
{
	return place->is_address ? &throttle->address : &throttle->account;
}

static void forget(const struct throttle *throttle, struct place *place, int64_t now_us)
{
	const struct limits *limits = limits_of(throttle, place);
	int64_t passed_us = now_us - place->forgot_us;
	int64_t count = passed_us > 0 && limits->forget_us > 0 ? passed_us / limits->forget_us : 0;

	if (count >= place->wrong) {
		place->wrong = 0;
		place->forgot_us = now_us;
		return;
	}
	place->wrong -= (uint32_t)count;
	place->forgot_us += count * limits->forget_us;
}

static struct place *set_of(const struct table *table, struct hash128 key)
{
	return &table->places[(key.word[0] % table->sets) * SET_SIZE];
}

static struct place *find(const struct table *table, struct hash128 key)
{
	struct place *set = set_of(table, key);

	for (size_t i = 0; i < SET_SIZE; i++) {
		if (set[i].seen_us && hash128_equal(set[i].key, key))
			return &set[i];
	}
	return NULL;
}

/* Less worth keeping: free, then of fewer wrong ones, then not seen for longer. */
static bool is_less(const struct place *a, const struct place *b)
{
	if ((a->seen_us == 0) != (b->seen_us == 0))
		return a->seen_us == 0;
	if (a->wrong != b->wrong)
		return a->wrong < b->wrong;
	return a->seen_us < b->seen_us;
}

static struct place *find_or_add(const struct throttle *throttle, const struct table *table,
				 struct hash128 key, bool is_address, int64_t now_us)
{
	struct place *place = find(table, key), *set = set_of(table, key);

	if (place) {
		forget(throttle, place, now_us);
		return place;
	}
	place = set;
	for (size_t i = 0; i < SET_SIZE; i++) {
		if (set[i].seen_us)
			forget(throttle, &set[i], now_us);
		if (is_less(&set[i], place))
			place = &set[i];
	}
	*place = (struct place){ .key = key, .forgot_us = now_us, .is_address = is_address };
	return place;
}

static unsigned wait_of(const struct place *place, int64_t now_us)
{
	if (!place || place->until_us <= now_us)
		return 0;
	return (unsigned)((place->until_us - now_us + SECOND_US - 1) / SECOND_US);
}

static int64_t delay_of(const struct limits *limits, uint32_t wrong)
{
	int64_t delay_us = limits->delay_us;

	if (wrong < limits->attempts)
		return 0;
	for (uint32_t n = limits->attempts; n < wrong && delay_us < limits->delay_max_us; n++)
		delay_us *= 2;
	return delay_us < limits->delay_max_us ? delay_us : limits->delay_max_us;
}

/* Beyond the count that has the longest delay there is nothing to count. */
static bool is_at_most(const struct limits *limits, uint32_t wrong)
{
	return wrong > limits->attempts && delay_of(limits, wrong) >= limits->delay_max_us;
}

static void count_wrong(const struct throttle *throttle, struct place *place, int64_t now_us)
{
	const struct limits *limits = limits_of(throttle, place);
	int64_t delay_us;

	if (place->wrong == 0)
		place->forgot_us = now_us;
	if (!is_at_most(limits, place->wrong))
		place->wrong++;
	place->seen_us = now_us > 0 ? now_us : 1;
	delay_us = delay_of(limits, place->wrong);
	/* Without a delay no time at all: somebody else's now may be a little older. */
	place->until_us = delay_us > 0 ? now_us + delay_us : 0;
	/* While it waits nothing is forgotten. */
	if (delay_us > 0)
		place->forgot_us = place->until_us;
	place->told = false;
}

/* One that counted did not happen; the delay that it began ends. */
static void uncount(const struct throttle *throttle, struct place *place, int64_t now_us)
{
	if (!place)
		return;
	forget(throttle, place, now_us);
	if (place->wrong > 0)
		place->wrong--;
	place->until_us = 0;
	if (place->forgot_us > now_us)
		place->forgot_us = now_us;
}

/* --- attempts --- */

/* A minute's worth of refusals to tell is saved up at most. */
static bool may_tell(struct throttle *throttle, int64_t now_us)
{
	const int64_t cost_us = 60 * SECOND_US / TELL_PER_MINUTE, full_us = TELL_BURST * cost_us;
	int64_t passed_us = throttle->tell_us ? now_us - throttle->tell_us : full_us;

	if (passed_us > 0) {
		throttle->tell_us = now_us;
		throttle->tell_saved_us = passed_us >= full_us - throttle->tell_saved_us
						  ? full_us
						  : throttle->tell_saved_us + passed_us;
	}
	if (throttle->tell_saved_us < cost_us)
		return false;
	throttle->tell_saved_us -= cost_us;
	return true;
}

static int refuse(struct throttle *throttle, struct place *place, bool by_address, int64_t now_us,
		  struct throttle_refusal *ret_refusal, struct err *err)
{
	struct throttle_refusal refusal = { .retry_after_s = wait_of(place, now_us),
					    .by_address = by_address };

	*(by_address ? &throttle->refused_address : &throttle->refused_account) += 1;
	if (place->untold < UINT32_MAX)
		place->untold++;
	if (!place->told && may_tell(throttle, now_us)) {
		refusal.tell = place->told = true;
		refusal.untold = place->untold;
		place->untold = 0;
	}
	*ret_refusal = refusal;
	return err_refuse(err, ERR_UNAVAILABLE, "rate-limited",
			  "too many attempts; try again in %u s", refusal.retry_after_s);
}

static int take(struct throttle *throttle, const struct keys *keys, int64_t now_us,
		struct throttle_refusal *ret_refusal, struct err *err)
{
	struct place *familiar =
		keys->has_account ? find(&throttle->familiar, keys->familiar) : NULL;
	struct place *account = familiar	    ? familiar
				: keys->has_account ? find(&throttle->table, keys->account)
						    : NULL;
	struct place *address =
		familiar || !keys->has_address ? NULL : find(&throttle->table, keys->address);

	if (wait_of(account, now_us))
		return refuse(throttle, account, false, now_us, ret_refusal, err);
	if (wait_of(address, now_us))
		return refuse(throttle, address, true, now_us, ret_refusal, err);
	throttle->attempts += keys->has_address;
	if (familiar) {
		forget(throttle, familiar, now_us);
		count_wrong(throttle, familiar, now_us);
		return 0;
	}
	if (keys->has_account)
		count_wrong(throttle,
			    find_or_add(throttle, &throttle->table, keys->account, false, now_us),
			    now_us);
	if (keys->has_address)
		count_wrong(throttle,
			    find_or_add(throttle, &throttle->table, keys->address, true, now_us),
			    now_us);
	return 0;
}

int throttle_take(struct throttle *throttle, const struct throttle_attempt *attempt, int64_t now_us,
		  struct throttle_refusal *ret_refusal, struct err *err)
{
	struct keys keys;
	int status;

	make_keys(attempt, &keys);
	pthread_mutex_lock(&throttle->lock);
	status = take(throttle, &keys, now_us, ret_refusal, err);
	pthread_mutex_unlock(&throttle->lock);
	return status;
}

static void begin_afresh(struct place *place, int64_t now_us)
{
	if (!place)
		return;
	place->wrong = 0;
	place->until_us = 0;
	place->forgot_us = now_us;
	place->untold = 0;
	place->told = false;
}

static void make_familiar(struct throttle *throttle, const struct keys *keys, int64_t now_us)
{
	struct place *place =
		find_or_add(throttle, &throttle->familiar, keys->familiar, false, now_us);

	begin_afresh(place, now_us);
	place->seen_us = now_us > 0 ? now_us : 1;
}

void throttle_right(struct throttle *throttle, const struct throttle_attempt *attempt,
		    int64_t now_us)
{
	struct keys keys;

	make_keys(attempt, &keys);
	pthread_mutex_lock(&throttle->lock);
	if (keys.has_account && find(&throttle->familiar, keys.familiar)) {
		/* Others' guesses at the account go on counting. */
		make_familiar(throttle, &keys, now_us);
	} else {
		if (keys.has_address)
			uncount(throttle, find(&throttle->table, keys.address), now_us);
		if (keys.has_account) {
			begin_afresh(find(&throttle->table, keys.account), now_us);
			make_familiar(throttle, &keys, now_us);
		}
	}
	pthread_mutex_unlock(&throttle->lock);
}

void throttle_met(struct throttle *throttle, const struct throttle_attempt *attempt, int64_t now_us)
{
	struct keys keys;

	make_keys(attempt, &keys);
	pthread_mutex_lock(&throttle->lock);
	make_familiar(throttle, &keys, now_us);
	pthread_mutex_unlock(&throttle->lock);
}

void throttle_return(struct throttle *throttle, const struct throttle_attempt *attempt,
		     int64_t now_us)
{
	struct keys keys;
	struct place *familiar;

	make_keys(attempt, &keys);
	pthread_mutex_lock(&throttle->lock);
	familiar = keys.has_account ? find(&throttle->familiar, keys.familiar) : NULL;
	if (familiar) {
		uncount(throttle, familiar, now_us);
	} else {
		if (keys.has_address)
			uncount(throttle, find(&throttle->table, keys.address), now_us);
		if (keys.has_account)
			uncount(throttle, find(&throttle->table, keys.account), now_us);
	}
	pthread_mutex_unlock(&throttle->lock);
}

/* --- counts --- */

void throttle_counts(struct throttle *throttle, struct throttle_counts *ret_counts)
{
	pthread_mutex_lock(&throttle->lock);
	*ret_counts = (struct throttle_counts){ .attempts = throttle->attempts,
						.refused_account = throttle->refused_account,
						.refused_address = throttle->refused_address };
	pthread_mutex_unlock(&throttle->lock);
}

void throttle_metrics(struct throttle *throttle, struct strbuf *out)
{
	struct throttle_counts counts;

	throttle_counts(throttle, &counts);
	strbuf_printf(
		out,
		"# HELP rolebridge_throttle_attempts_total Attempts to sign in that were looked at.\n"
		"# TYPE rolebridge_throttle_attempts_total counter\n"
		"rolebridge_throttle_attempts_total %llu\n"
		"# HELP rolebridge_throttle_refused_total Attempts that came too soon after wrong ones, by whose count.\n"
		"# TYPE rolebridge_throttle_refused_total counter\n"
		"rolebridge_throttle_refused_total{by=\"account\"} %llu\n"
		"rolebridge_throttle_refused_total{by=\"address\"} %llu\n",
		(unsigned long long)counts.attempts, (unsigned long long)counts.refused_account,
		(unsigned long long)counts.refused_address);
}
