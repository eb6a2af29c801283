/*
 * One source that is followed: its thread, which keeps the worker alive, what the source tells
 * as runs of change/, what is known of it, and who waits for it.
 */
#ifndef ROLEBRIDGE_MAIN_FOLLOWED_H
#define ROLEBRIDGE_MAIN_FOLLOWED_H

#include <rolebridge/api/runs.h>
#include <rolebridge/base/json.h>
#include <rolebridge/source/source.h>

#include "configuration.h"

/* Somebody who waits for a full read, or for one person. Lives on the waiting thread's stack. */
struct follow_request {
	struct follow_request *next;
	struct run *run;
	const char *key; /* NULL: everybody */
	bool asked;	 /* the follower has heard of it */
	bool done;
	bool incomplete; /* the read was not whole */
	int result;
	struct err err;
};

/* What is known; texts copied. */
struct follow_view {
	char mode[16], vendor[64], server[256], identity[256], problem[512];
	bool connected;
	int64_t full_s, change_s, contact_s, lag_us;
	uint64_t reconnects, restarts, batches, changes;
	unsigned failures; /* full reads in a row that were not whole */
};

struct followed;

/*
 * Start following it; the configuration is kept until the end. id: of ldap_source_follow_id. NULL:
 * our own side failed.
 */
struct followed *followed_start(struct changer *changer, struct configuration *config,
				const struct source_settings *source, struct err *err);
/* Ask it to end; followed_destroy waits for that. */
void followed_stop(struct followed *followed);
/* NULL is fine. Those who wait are answered with ERR_CANCELLED. */
void followed_destroy(struct followed *followed);

const char *followed_name(const struct followed *followed);
/* Would it be started with the same in this configuration? -1: our own side failed. */
int followed_is_same(const struct followed *followed, struct configuration *config,
		     const struct source_settings *source, bool *ret_same, struct err *err);
/* Wait until it is answered; -1 with ERR_CANCELLED when the run is. */
int followed_ask(struct followed *followed, struct follow_request *request, struct err *err);
void followed_view(struct followed *followed, struct follow_view *ret_view);

#endif
