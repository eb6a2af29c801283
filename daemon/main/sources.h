/*
 * One read of one source, from its files or its worker to a sync run.
 */
#ifndef ROLEBRIDGE_MAIN_SOURCES_H
#define ROLEBRIDGE_MAIN_SOURCES_H

#include <rolebridge/api/runs.h>
#include <rolebridge/change/sync.h>

#include "configuration.h"

/*
 * Read the source and plan or apply what comes of it. configuration: the one
 * that describes the source; preview: pass it on to the plan (dry_run only).
 * run gets the progress and may cancel. A read that ended early is no failure: the
 * report says so. -1: our own side failed, or a run of this source is under way.
 */
int source_sync(struct changer *changer, struct configuration *configuration, bool preview,
		const char *source, const struct actor *actor, bool dry_run, struct run *run,
		struct run_report *ret_report, struct err *err);

#endif
