/*
 * One read of one source, from its files or its worker to a sync run.
 */
#ifndef ROLEBRIDGE_MAIN_SOURCES_H
#define ROLEBRIDGE_MAIN_SOURCES_H

#include <rolebridge/api/runs.h>
#include <rolebridge/change/sync.h>

#include "configuration.h"

/* Can sources of this type be read? People of the others come by themselves: SAML. */
bool source_is_read(const struct source_settings *source);

/*
 * Read the source and plan or apply what comes of it. running: the configuration in force, which
 * alone says where and how a source is read; preview: NULL, or the one whose rules are tried
 * (dry_run only). run gets the progress and may cancel. A read that ended early is no failure:
 * the report says so. -1: our own side failed, no such source or not enabled, or a run of this source is under way.
 */
int source_sync(struct changer *changer, struct configuration *running,
		struct configuration *preview, const char *source, const struct actor *actor,
		bool dry_run, struct run *run, struct run_report *ret_report, struct err *err);

/*
 * Read one person of a source that can be asked for one, by key: what changed for them is applied.
 * ERR_CONFLICT for a source that is only read as a whole, ERR_UNAVAILABLE when the read was not whole.
 */
int source_sync_person(struct changer *changer, struct configuration *running, const char *source,
		       const char *key, const struct actor *actor, struct run *run,
		       struct run_report *ret_report, struct err *err);

/* The log line of a read, whoever asked for it. */
void source_log_run(const char *source, const struct run_report *report);

#endif
