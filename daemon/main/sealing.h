/*
 * The sealing key: where it is, and whether it opens all that was sealed. Enters: the configuration. Leaves: keys, an
 * alarm where one is missing.
 */
#ifndef ROLEBRIDGE_MAIN_SEALING_H
#define ROLEBRIDGE_MAIN_SEALING_H

#include <rolebridge/auth/seal.h>

#include "configuration.h"

/*
 * The file that `sealing_key` names; else the credential "sealing-key", where the service manager passed one; else
 * seal.key beside the store, which is made when it is missing. NULL: it cannot be used.
 */
struct seal *sealing_open(struct changer *changer, struct configuration *config, struct err *err);
/* After a reload. A file that cannot be used is logged, and the keys stay. */
void sealing_configure(struct seal *seal, struct changer *changer, struct configuration *config);

#endif
