/* Work on the store by hand is done by whoever owns its folder, so that what is made is theirs. */
#ifndef ROLEBRIDGE_MAIN_OWNER_H
#define ROLEBRIDGE_MAIN_OWNER_H

#include <stdbool.h>

#include <rolebridge/base/err.h>

/* for_good: no way back to root. Else there is one, owner_leave. */
int owner_become(const char *store_path, bool for_good, struct err *err);
int owner_leave(struct err *err);

#endif
