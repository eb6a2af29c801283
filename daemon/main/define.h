/*
 * A change of definitions, from the request to the setup in force.
 */
#ifndef ROLEBRIDGE_MAIN_DEFINE_H
#define ROLEBRIDGE_MAIN_DEFINE_H

#include <rolebridge/api/api.h>

#include "configuration.h"

/*
 * One at a time, and not beside a reload: the caller sees to it. *ret_config: what is in force now, with
 * one reference, also after a failure on the way; NULL: it is as before.
 */
int define_carry_out(struct changer *changer, const char *config_path,
		     const struct define_request *request, const struct actor *actor,
		     struct define_result *ret_result, struct configuration **ret_config,
		     struct err *err);

/* As it would be with the draft of this rule in force, to be looked at; one reference. */
int define_preview(struct changer *changer, const char *config_path, const char *rule,
		   struct configuration **ret_config, struct err *err);

#endif
