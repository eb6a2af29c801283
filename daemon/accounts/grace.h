/*
 * The time a deleted account waits for its removal. It is noted as a time of the wall clock, and a wall clock is set: by
 * hand, by NTP, by a battery that ran empty. So it goes by the slower of two clocks, this one and that of the time since the
 * machine started: what the wall clock gains or loses against the other, all deletions that wait are moved by.
 *
 * Time in which the machine was off or a virtual one stood still therefore does not count. Too late is no harm done.
 */
#ifndef ROLEBRIDGE_ACCOUNTS_GRACE_H
#define ROLEBRIDGE_ACCOUNTS_GRACE_H

#include <stdint.h>

#include <rolebridge/base/err.h>

#include "ledger.h"

/* The two may part by so much, in all, before deletions are moved. */
#define GRACE_TOLERANCE_S 300
/* How often the ledger learns where the clocks stand; a crash of the machine costs at most so much. */
#define GRACE_NOTE_S 3600

/* CLOCK_REALTIME and CLOCK_BOOTTIME, now. */
struct clocks grace_clocks(void);

/*
 * Before anything is called due, and before a deletion is noted. *ret_shift_s: by what the deletions that wait were moved;
 * 0: not at all. -1: the ledger could not be written, nothing is due.
 */
int grace_look(struct ledger *ledger, const struct clocks *now, int64_t *ret_shift_s,
	       struct err *err);

#endif
