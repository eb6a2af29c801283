/*
 * Parts of the follower that stand for themselves, for its tests.
 */
#ifndef SOURCE_LDAP_FOLLOWER_H
#define SOURCE_LDAP_FOLLOWER_H

#include <stddef.h>
#include <stdint.h>

/*
 * Pause before the next try after so many failures in a row: none after 0, then doubling from
 * first_us for each round of `width` tries, at most most_us; of that, between half and all as
 * chance (0 to UINT32_MAX) has it.
 */
int64_t backoff_us(unsigned failures, size_t width, int64_t first_us, int64_t most_us,
		   uint32_t chance);

#endif
