/*
 * People of a directory that is followed, read by themselves (see fetch.c).
 */
#ifndef SOURCE_LDAP_FETCH_H
#define SOURCE_LDAP_FETCH_H

#include <stdbool.h>

#include "follow.h"

void fetch_init(struct fetch *fetch);
void fetch_finish(struct fetch *fetch);
/* Does anybody wait, or the core for a batch? */
bool fetch_is_due(const struct fetch *fetch);
/* All that wait, as one batch. -1 as a feed's functions. */
int fetch_all(struct follow *follow);
/* What was on the way when they were read has come. */
void fetch_clear(struct follow *follow);

#endif
