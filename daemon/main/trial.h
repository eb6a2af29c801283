/*
 * A test of a source, as the configuration in force declares it: what a read would meet, with nothing of it kept.
 */
#ifndef ROLEBRIDGE_MAIN_TRIAL_H
#define ROLEBRIDGE_MAIN_TRIAL_H

#include <rolebridge/api/api.h>

#include "configuration.h"

/*
 * Append the outcome to result, as a JSON object. 0 also when steps failed. ERR_CONFLICT "source-not-read" for a type that
 * is not read, ERR_CANCELLED.
 */
int source_try(struct configuration *running, const struct test_request *request, struct run *run,
	       struct strbuf *result, struct err *err);

#endif
