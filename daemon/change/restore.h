/* What waits since a restore, for the other files of change/. */
#ifndef CHANGE_RESTORE_INTERNAL_H
#define CHANGE_RESTORE_INTERNAL_H

#include <rolebridge/change/restore.h>

#include "internal.h"

/* Before anything is asked of the changer. */
int restore_begin(struct changer *changer, struct err *err);
/* May something that began at begun_s have been used up, and the restored store not know it? */
bool restore_forgot(const struct changer *changer, int64_t begun_s, int64_t now_s);
/* In the transaction that ends a whole read. */
int restore_note_read(struct changer *changer, const char *source, struct err *err);

#endif
