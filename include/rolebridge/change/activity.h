/*
 * What people use, as applications tell: counted by person, day (UTC), application and feature, so that it grows
 * with people and days, not with events. Counts are of nobody's rights, and no row of the audit log.
 */
#ifndef ROLEBRIDGE_CHANGE_ACTIVITY_H
#define ROLEBRIDGE_CHANGE_ACTIVITY_H

#include <rolebridge/base/hash.h>
#include <rolebridge/change/changer.h>

#define EVENTS_AT_ONCE_MAX 10000
#define EVENT_COUNT_MAX 1000000
#define FEATURE_NAME_MAX 128
/* Of one application. */
#define FEATURES_MAX 1000
/* A request with a name is known so long, and so many of them. */
#define EVENT_BATCH_KEPT_S INT64_C(86400)
#define EVENT_BATCHES_KEPT 100000
/* Clocks of applications may be ahead. */
#define EVENT_AHEAD_S 300

struct event {
	const char *user, *feature;
	const char *at; /* RFC 3339, or a day; NULL: now */
	int64_t count;	/* 0: 1 */
	/* Refused as it was read: it is not counted, and this is said. NULL: well-formed. */
	const char *problem, *problem_field;
};

struct event_result {
	/* NULL: counted. Else why not. Of the arena. */
	const char *code, *message, *field;
};

struct event_request {
	const char *application; /* NULL: the token's */
	const char *batch;	 /* the same name again: nothing is counted twice; NULL: none */
	struct hash128 content;	 /* of the request: another one of that name is refused */
	const struct event *events;
	size_t count;
};

struct event_outcome {
	int64_t accepted, refused;
	bool repeated; /* all of it had been counted before */
};

/*
 * Some hundred are one transaction. Who is not there, or of another organization, is refused as "not-found", like
 * what cannot be: it stops no other. ERR_INVALID, with *ret_field: the request as a whole; ERR_CONFLICT
 * "batch-reused".
 */
int change_events_add(struct changer *changer, const struct actor *actor,
		      const struct event_request *request, struct arena *arena,
		      struct event_result *results, struct event_outcome *ret_outcome,
		      const char **ret_field, struct err *err);

/* By the timer: days that are older than the setup keeps; some of the people at each call, once a day. */
int change_activity_prune(struct changer *changer, int64_t now_s, struct err *err);

#endif
