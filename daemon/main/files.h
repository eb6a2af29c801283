/* The files that a configuration names: can they be used? */
#ifndef ROLEBRIDGE_MAIN_FILES_H
#define ROLEBRIDGE_MAIN_FILES_H

#include "configuration.h"

/* Adds findings to the list. Starts worker processes and waits for them, a second or so. */
void configuration_check_files(const struct configuration *config, struct diagnostics *list);

#endif
