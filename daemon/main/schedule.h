/*
 * When sources are read by themselves: at start, each interval, sooner again
 * after a read that failed (backoff with jitter, at most the interval), and when grants expire.
 * One thread. Reads are runs like those people ask for.
 */
#ifndef ROLEBRIDGE_MAIN_SCHEDULE_H
#define ROLEBRIDGE_MAIN_SCHEDULE_H

#include <rolebridge/api/api.h>

struct schedule;

typedef int (*schedule_sync)(void *context, struct run *run, const struct sync_request *request,
			     const struct actor *actor, struct err *err);

/* Borrows all. NULL: out of memory. */
struct schedule *schedule_create(struct changer *changer, struct runs *runs, schedule_sync sync,
				 void *context);
int schedule_start(struct schedule *schedule, struct err *err);
void schedule_stop(struct schedule *schedule); /* the thread has ended afterwards; NULL is fine */
void schedule_destroy(struct schedule *schedule);

/* A read of the source ended; whoever asked for it. */
void schedule_note(struct schedule *schedule, const char *source, bool complete);
/* Another configuration is in force: new groups want a read soon. */
void schedule_reload(struct schedule *schedule);
/* Members "next" and "failures" of a source's status. */
void schedule_source_json(struct schedule *schedule, const char *source, struct json *json);

#endif
