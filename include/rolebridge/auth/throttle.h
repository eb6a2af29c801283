/*
 * How often somebody may guess. Every attempt at an account, and every one from an address, counts as wrong until it
 * turns out right; after some the next must wait, twice as long each time, up to a limit: nobody is ever locked out
 * for good. What comes too early is refused before anything is looked up or hashed, and does not make the delay longer.
 *
 * Who was right from an address lately has a count of their own there: neither others' guesses at the account nor
 * what others do at that address keep them out.
 *
 * Accounts are counted by what was typed, so that names nobody has are throttled like all others; and once more, by their
 * UUID, however they were named. What that one refuses must look like a wrong answer, and cost as much: else it would tell
 * which names are one account's. Counts are in memory,
 * of fixed size, the least worrying are forgotten first, and all at a restart. Safe from any thread.
 */
#ifndef ROLEBRIDGE_AUTH_THROTTLE_H
#define ROLEBRIDGE_AUTH_THROTTLE_H

#include <stdbool.h>
#include <stdint.h>

#include <rolebridge/auth/settings.h>
#include <rolebridge/base/address.h>
#include <rolebridge/base/err.h>
#include <rolebridge/base/strbuf.h>

/* Each kind counts accounts of its own, so that a right password does not buy guesses at codes; addresses are of all. */
enum throttle_kind {
	THROTTLE_PASSWORD, /* account: as typed, no matter whether there is one */
	THROTTLE_ACCOUNT,  /* the same passwords; account: the user's UUID */
	THROTTLE_CODE,	   /* TOTP, e-mail, SMS, WebAuthn; account: the user's UUID */
	THROTTLE_RECOVERY, /* printed and administrators' codes; account: the user's UUID */
	/* Letters and messages that cost others: account: as typed or the UUID. Never call throttle_right. */
	THROTTLE_SEND,
	THROTTLE_PRINT, /* sets of recovery codes: ten hashes each; account: the person as an actor. The same. */
	THROTTLE_KINDS
};

struct throttle;

struct throttle *throttle_create(const struct throttle_settings *settings, struct err *err);
void throttle_destroy(struct throttle *throttle); /* NULL is fine */
/* After a reload; counts stay. */
void throttle_configure(struct throttle *throttle, const struct throttle_settings *settings);

struct throttle_attempt {
	enum throttle_kind kind;
	const char *account;	       /* caseless; NULL: none, the address alone counts */
	const struct address *address; /* http_client_address; NULL: nobody told */
	bool account_only;	       /* the address counted it already */
};
struct throttle_refusal {
	unsigned retry_after_s; /* for request->retry_after_s; at least 1 */
	bool by_address;	/* not for the account's sake */
	/* Write it to the audit log: the first of a delay, and not too many of all. */
	bool tell;
	uint64_t
		untold; /* with tell: refusals of this account or address since the last one told, this one too */
};
/*
 * Before anything else is done. 0: go on; it counts as wrong. ERR_UNAVAILABLE "rate-limited" (429): too early, and
 * *ret_refusal says more. now_us: clock_monotonic_us().
 */
int throttle_take(struct throttle *throttle, const struct throttle_attempt *attempt, int64_t now_us,
		  struct throttle_refusal *ret_refusal, struct err *err);
/* It was right: the account starts afresh, the address has this one back. */
void throttle_right(struct throttle *throttle, const struct throttle_attempt *attempt,
		    int64_t now_us);
/* Who was sent something at this account is at this address: they have a count of their own there, all others stay. */
void throttle_met(struct throttle *throttle, const struct throttle_attempt *attempt,
		  int64_t now_us);
/* It could not be judged (no hash, no store): as if it had not been made. */
void throttle_return(struct throttle *throttle, const struct throttle_attempt *attempt,
		     int64_t now_us);

struct throttle_counts {
	uint64_t attempts, refused_account, refused_address;
};
void throttle_counts(struct throttle *throttle, struct throttle_counts *ret_counts);
/* Lines of /metrics. */
void throttle_metrics(struct throttle *throttle, struct strbuf *out);

static inline void throttle_auto(struct throttle **throttle)
{
	throttle_destroy(*throttle);
}

#endif
