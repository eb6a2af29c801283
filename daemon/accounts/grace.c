/*
 * Grace against a clock that is set. Enters: where the clocks stand, and where they stood by the ledger. Leaves: deletions
 * that come no sooner than asked for. Fails with the ledger.
 */
#include "grace.h"

#include <time.h>

static int64_t seconds_of(clockid_t clock)
{
	struct timespec now = { 0 };

	clock_gettime(clock, &now);
	return now.tv_sec;
}

struct clocks grace_clocks(void)
{
	return (struct clocks){ .real_s = seconds_of(CLOCK_REALTIME),
				.boot_s = seconds_of(CLOCK_BOOTTIME) };
}

/*
 * What surely has passed. The machine, or another one, may have started since: then it is at most what it runs for. Without
 * that being seen (it runs longer than the one before did) it is less than that.
 */
static int64_t time_passed(const struct clocks *then, const struct clocks *now)
{
	int64_t real_s = now->real_s - then->real_s;
	int64_t boot_s = now->boot_s - (now->boot_s >= then->boot_s ? then->boot_s : 0);
	int64_t passed_s = real_s < boot_s ? real_s : boot_s;

	return passed_s > 0 ? passed_s : 0;
}

int grace_look(struct ledger *ledger, const struct clocks *now, int64_t *ret_shift_s,
	       struct err *err)
{
	const struct clocks *then = ledger_clocks(ledger);
	struct clocks note = *now;
	int64_t passed_s, ahead_s;

	*ret_shift_s = 0;
	/* Nothing waits: it begins here. */
	if (!then || !ledger_waits(ledger))
		return ledger_note_clocks(ledger, now, 0, err);
	passed_s = time_passed(then, now);
	ahead_s = now->real_s - then->real_s - passed_s;
	if (ahead_s >= -GRACE_TOLERANCE_S && ahead_s <= GRACE_TOLERANCE_S) {
		if (passed_s < GRACE_NOTE_S && now->boot_s >= then->boot_s)
			return 0;
		/* Small steps add up: what was gained stays gained. */
		note.real_s = then->real_s + passed_s;
		return ledger_note_clocks(ledger, &note, 0, err);
	}
	if (ledger_note_clocks(ledger, now, ahead_s, err) < 0)
		return -1;
	*ret_shift_s = ahead_s;
	return 0;
}
