/*
 * One-time codes on their way to people, now: by mail or by SMS. Not through the outbox: a code is no good later, and
 * who waits for one wants to know that it will not come. Only so many at a time, each for a short while, so that
 * a server that hangs keeps nobody else waiting. Blocks: for handlers in slow threads. Safe from any thread.
 */
#ifndef ROLEBRIDGE_AUTH_COURIER_H
#define ROLEBRIDGE_AUTH_COURIER_H

#include <stdbool.h>
#include <stdint.h>

#include <rolebridge/auth/settings.h>
#include <rolebridge/base/strbuf.h>
#include <rolebridge/change/changer.h>

#define COURIER_AT_ONCE 8 /* of each way */

enum courier_way { COURIER_MAIL, COURIER_SMS, COURIER_WAYS };

/* For one, or less where the configuration says less: 10. Longer only in tests. */
extern int64_t courier_timeout_s;

struct courier;

struct courier *courier_create(struct err *err);
void courier_destroy(struct courier *courier); /* NULL is fine */
/* Options in force; they live in the setup, of which a reference is kept until the next call. */
void courier_configure(struct courier *courier, struct setup *setup,
		       const struct web_settings *web);
/* Who sends gives up within a second or so; nothing is sent any more. */
void courier_stop(struct courier *courier);

/* Is there a server, and a public_url to be named? Else the method is not to be offered. */
bool courier_has(struct courier *courier, enum courier_way way);

struct courier_code {
	enum courier_way way;
	const char *to;	     /* address, or number as sms_number_read gives it */
	const char *to_name; /* "": none */
	const char *code;
	int64_t valid_s;
};
/*
 * ERR_UNAVAILABLE "mail-unavailable", "sms-unavailable": not configured, too many at once, not reached, refused, told to stop.
 * The error's text says why, for logs: no code, no address is in it. ERR_INVALID: an address or number that is none.
 */
int courier_send(struct courier *courier, const struct courier_code *code, struct err *err);

struct courier_counts {
	uint64_t sent[COURIER_WAYS], failed[COURIER_WAYS];
	unsigned running[COURIER_WAYS];
};
void courier_counts(struct courier *courier, struct courier_counts *ret_counts);
/* Lines of /metrics. */
void courier_metrics(struct courier *courier, struct strbuf *out);

static inline void courier_auto(struct courier **courier)
{
	courier_destroy(*courier);
}

#endif
