/* Whom a file's word on second factors would lock out: said when it is checked and when it is read anew. */
#ifndef MAIN_LOCKOUT_H
#define MAIN_LOCKOUT_H

#include "configuration.h"

/*
 * For each organization of which a file requires a second factor: a warning "second-factor-lockout" when there are
 * people without one, at the place where it says so. What cannot be read is a store that is not there yet, and nobody.
 */
void lockout_warn(const char *store_path, struct configuration *config, struct diagnostics *list);
/* The same in the log. */
void lockout_log(const char *store_path, struct configuration *config);

#endif
