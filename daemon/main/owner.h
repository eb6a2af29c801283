/* Work on the store by hand is done by whoever owns its folder, so that what is made is theirs. */
#ifndef ROLEBRIDGE_MAIN_OWNER_H
#define ROLEBRIDGE_MAIN_OWNER_H

#include <rolebridge/base/err.h>

/* No way leads back to root. */
int owner_become(const char *store_path, struct err *err);

#endif
