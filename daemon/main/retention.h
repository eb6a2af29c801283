/*
 * The thread that lets old rows of the audit log go, by what the configuration in force says, and tells the journal the
 * head of the chain. Alone, for the folder of an archive may hang.
 */
#ifndef ROLEBRIDGE_MAIN_RETENTION_H
#define ROLEBRIDGE_MAIN_RETENTION_H

#include <rolebridge/change/changer.h>

struct retainer;

/* Borrows changer. NULL with err. */
struct retainer *retainer_start(struct changer *changer, struct err *err);
void retainer_stop(struct retainer *retainer); /* the thread has ended afterwards; NULL is fine */
void retainer_destroy(struct retainer *retainer);

#endif
