/* Enters: code points of a password. Leaves: their period; what was worked with is wiped. Nothing fails. */
#include "period.h"

#include <sodium.h>

/*
 * The failure function of Knuth, Morris and Pratt: border[i] is how much of the beginning ends at i, too. Each step goes
 * forward or takes off what one before has put on.
 */
size_t period_find(const uint32_t *at, size_t count, size_t *ret_compared)
{
	uint16_t border[PERIOD_TEXT_MAX];
	size_t size = 0, compared = 0;

	_Static_assert(PERIOD_TEXT_MAX <= UINT16_MAX, "so long a border is a number");
	border[0] = 0;
	for (size_t i = 1; i < count; i++) {
		while (compared++, size > 0 && at[i] != at[size])
			size = border[size - 1];
		size += at[i] == at[size];
		border[i] = (uint16_t)size;
	}
	sodium_memzero(border, count * sizeof(*border));
	if (ret_compared)
		*ret_compared = compared;
	return 2 * size >= count ? count - size : count;
}
