/*
 * All sources that are followed: started, started anew and ended as the configuration in force says.
 */
#ifndef ROLEBRIDGE_MAIN_FOLLOW_H
#define ROLEBRIDGE_MAIN_FOLLOW_H

#include <rolebridge/api/runs.h>
#include <rolebridge/base/json.h>

#include "configuration.h"

struct follow;

/* Is this source followed, when enabled? Then nobody else reads it for good. */
bool source_is_followed(const struct source_settings *source);

/* Borrows changer. NULL: out of memory. Nothing is followed yet. */
struct follow *follow_create(struct changer *changer);
/*
 * Follow what this configuration says: what is as it was goes on, what changed is started anew. What
 * cannot be started is logged. From one thread at a time.
 */
void follow_configure(struct follow *follow, struct configuration *config);
/* End all: soon, and nothing is started any more. Those who wait are answered. NULL is fine. */
void follow_stop(struct follow *follow);
void follow_destroy(struct follow *follow);

/*
 * Have the source read in full now, or (key) one person told again, and give the report to the run when
 * that is applied. ERR_NOT_FOUND when it is not followed at present.
 */
int follow_sync(struct follow *follow, const char *source, const char *key, struct run *run,
		struct err *err);
/* Member "follow" of a source's status, and "failures", "next"; nothing for others. */
void follow_source_json(struct follow *follow, const char *source, struct json *json);
/* Figures of all of them for Prometheus. */
void follow_metrics(struct follow *follow, struct strbuf *out);

#endif
