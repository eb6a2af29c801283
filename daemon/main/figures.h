/*
 * Figures of the process and of the daemon as a whole, for /metrics. Those of the process have the names that other
 * programs give them, too.
 */
#ifndef ROLEBRIDGE_MAIN_FIGURES_H
#define ROLEBRIDGE_MAIN_FIGURES_H

#include <stdbool.h>
#include <stdint.h>

#include <rolebridge/base/strbuf.h>
#include <rolebridge/change/changer.h>

/* A configuration was put in force, or refused. */
void figures_note_reload(bool done);
void figures_write(struct changer *changer, int64_t started_s, struct strbuf *out);

#endif
