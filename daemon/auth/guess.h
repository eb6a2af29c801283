/*
 * Around every attempt at a second factor: too many wait, what was wrong is counted and told in the audit log in
 * bounded number, and what could not be judged counts as never made.
 *
 *	if (guess_begin(&guess, …, err) < 0)
 *		return -1;
 *	status = look at it and use it up (…, &problem);
 *	if (guess_end(&guess, factor, status, &problem, err) < 0) …
 */
#ifndef ROLEBRIDGE_AUTH_GUESS_H
#define ROLEBRIDGE_AUTH_GUESS_H

#include <rolebridge/auth/factor.h>
#include <rolebridge/auth/throttle.h>

struct guess {
	const struct factor_parts *parts;
	const struct factor_asker *asker;
	enum factor_method method;
	struct uuid user; /* whose second factor it is */
	char account[UUID_TEXT_SIZE];
	struct address address;
	bool has_address;
};

/*
 * Borrows parts and asker until guess_end. Without a throttle, as at a door that root opened, nobody waits. ERR_UNAVAILABLE "rate-limited": it may not be made now; told, and
 * *ret_wait_s (may be NULL) says how long. It is 0 otherwise.
 */
int guess_begin(struct guess *guess, const struct factor_parts *parts,
		const struct factor_asker *asker, enum factor_method method, struct store *store,
		struct arena *arena, int64_t *ret_wait_s, struct err *err);
/*
 * status 0: it was right. Else problem says why not, and becomes *err: "code-…", "webauthn-…" and "replayed" were
 * wrong and are told, with the factor where it is known (else NULL). Returns status.
 */
int guess_end(const struct guess *guess, const struct uuid *factor, int status,
	      const struct err *problem, struct err *err);

/*
 * No guess, but something that costs others: may it be done? Told when it may not. *ret_wait_s (may be NULL) as above. Where
 * it could not be done, throttle_return.
 */
int guess_take(const struct factor_parts *parts, const struct factor_asker *asker,
	       const struct throttle_attempt *attempt, int64_t *ret_wait_s, struct err *err);

#endif
