/* Pauses that grow. Enters: failures so far, bounds, chance. Leaves: a pause. Cannot fail. */
#include <rolebridge/base/backoff.h>

int64_t backoff_most(int64_t failures, int64_t first, int64_t most)
{
	int64_t pause = first;

	if (failures <= 0)
		return 0;
	/* No further than the bound: doubled often enough anything overflows. */
	for (int64_t i = 1; i < failures && pause < most; i++)
		pause = pause > most / 2 ? most : pause * 2;
	return pause < most ? pause : most;
}

int64_t backoff_after(int64_t failures, int64_t first, int64_t most, uint32_t chance)
{
	int64_t pause = backoff_most(failures, first, most), quarter = pause / 4;

	return pause - quarter + (int64_t)((unsigned __int128)quarter * chance / UINT32_MAX);
}
