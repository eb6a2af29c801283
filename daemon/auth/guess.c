/*
 * Attempts at second factors. Enters: who attempts, and how it ended. Leaves: whether it may be made. Fails with
 * "rate-limited", or with what the attempt failed with; that a refusal could not be told changes nothing of it.
 */
#include "guess.h"

#include <string.h>

#include <rolebridge/base/clock.h>

static struct throttle_attempt attempt_of(const struct guess *guess)
{
	return (struct throttle_attempt){
		.kind = guess->method == FACTOR_RECOVERY ? THROTTLE_RECOVERY : THROTTLE_CODE,
		.account = guess->account,
		.address = guess->has_address ? &guess->address : NULL,
	};
}

static void tell(const struct guess *guess, const struct uuid *factor, const char *reason,
		 uint64_t count)
{
	const struct factor_refusal refusal = {
		.user_id = guess->asker->user_id,
		.session_id = guess->asker->session_id,
		.method = guess->method,
		.factor = factor,
		.reason = reason,
		.address = guess->asker->address,
		.count = (int64_t)count,
	};

	change_factor_refused(guess->parts->changer, guess->asker->actor, &refusal, NULL);
}

int guess_take(const struct factor_parts *parts, const struct factor_asker *asker,
	       const struct throttle_attempt *attempt, int64_t *ret_wait_s, struct err *err)
{
	const struct guess guess = { .parts = parts, .asker = asker };
	struct throttle_refusal refused = { 0 };

	if (!parts->throttle ||
	    throttle_take(parts->throttle, attempt, clock_monotonic_us(), &refused, err) == 0)
		return 0;
	if (ret_wait_s)
		*ret_wait_s = refused.retry_after_s;
	if (refused.tell)
		tell(&guess, NULL, "rate-limited", refused.untold);
	return -1;
}

int guess_begin(struct guess *guess, const struct factor_parts *parts,
		const struct factor_asker *asker, enum factor_method method, struct store *store,
		struct arena *arena, int64_t *ret_wait_s, struct err *err)
{
	struct throttle_refusal refused = { 0 };
	struct throttle_attempt attempt;
	struct user user;

	if (ret_wait_s)
		*ret_wait_s = 0;
	if (store_user_get(store, asker->user_id, arena, &user, err) < 0)
		return -1;
	*guess = (struct guess){
		.parts = parts, .asker = asker, .method = method, .user = user.uuid
	};
	uuid_format(&user.uuid, guess->account);
	guess->has_address = address_parse(asker->address, &guess->address, NULL) == 0;
	attempt = attempt_of(guess);
	if (!parts->throttle ||
	    throttle_take(parts->throttle, &attempt, clock_monotonic_us(), &refused, err) == 0)
		return 0;
	if (ret_wait_s)
		*ret_wait_s = refused.retry_after_s;
	if (refused.tell)
		tell(guess, NULL, "rate-limited", refused.untold);
	return -1;
}

/*
 * A code that came back was sent to somebody who is here: its sending counts no longer where many share an address, and who
 * has codes sent to them elsewhere does not make them wait here.
 */
static void give_back(const struct guess *guess, struct throttle *throttle, int64_t now_us)
{
	struct throttle_attempt sending = { .kind = THROTTLE_SEND,
					    .address =
						    guess->has_address ? &guess->address : NULL };

	if (guess->method != FACTOR_EMAIL && guess->method != FACTOR_SMS)
		return;
	throttle_return(throttle, &sending, now_us);
	sending.account = guess->account;
	throttle_met(throttle, &sending, now_us);
}

static bool was_wrong(const char *reason)
{
	return strncmp(reason, "code-", 5) == 0 || strncmp(reason, "webauthn-", 9) == 0 ||
	       strcmp(reason, "replayed") == 0;
}

int guess_end(const struct guess *guess, const struct uuid *factor, int status,
	      const struct err *problem, struct err *err)
{
	const struct throttle_attempt attempt = attempt_of(guess);
	struct throttle *throttle = guess->parts->throttle;

	if (status < 0 && was_wrong(err_reason(problem)))
		tell(guess, factor, err_reason(problem), 1);
	else if (throttle && status == 0)
		throttle_right(throttle, &attempt, clock_monotonic_us());
	else if (throttle)
		throttle_return(throttle, &attempt, clock_monotonic_us());
	if (throttle && status == 0)
		give_back(guess, throttle, clock_monotonic_us());
	if (status < 0 && err)
		*err = *problem;
	return status;
}
