/* What changes of definitions and records of personas share. */
#ifndef CHANGE_PERSONA_H
#define CHANGE_PERSONA_H

#include <rolebridge/change/define.h>
#include <rolebridge/change/persona.h>

#include "internal.h"

/*
 * Inside the transaction that writes a definition: a new one is noted, what was known of one that goes is
 * forgotten, and a day of review that was set now holds. *ret_records: how many records went; -1: none could.
 */
int persona_follow(struct changer *changer, const struct setup *before, const struct setup *after,
		   const struct definition_write *write, bool found, int64_t *ret_records,
		   struct err *err);

#endif
