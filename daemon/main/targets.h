/* Targets: which kinds there are, and what the API asks about them. */
#ifndef MAIN_TARGETS_H
#define MAIN_TARGETS_H

#include <rolebridge/api/api.h>
#include <rolebridge/target/target.h>

#include "configuration.h"

/* NULL-terminated. */
extern const struct target_kind *const target_kinds[];

/* Fills setup.targets from the settings. */
int targets_configure(struct configuration *config, struct diagnostics *list);

/* Creates them and starts their threads. NULL on failure. */
struct targets *targets_begin(struct changer *changer, struct err *err);

void targets_write_metrics(struct targets *targets, struct changer *changer, struct strbuf *out);

/* --- ports of the API --- */
int targets_show(struct targets *targets, struct store *store, const char *name, bool *ret_found,
		 struct json *json, struct err *err);
int targets_compare(struct targets *targets, struct changer *changer, struct run *run,
		    const struct target_request *request, const struct actor *actor,
		    struct strbuf *result, struct err *err);

#endif
