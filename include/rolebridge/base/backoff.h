/* Pauses between attempts at what failed. */
#ifndef ROLEBRIDGE_BASE_BACKOFF_H
#define ROLEBRIDGE_BASE_BACKOFF_H

#include <stdint.h>

/* The most that is waited after so many failures in a row (0: none, no pause): first, doubled with each, at most `most`. */
int64_t backoff_most(int64_t failures, int64_t first, int64_t most);
/*
 * Of that between three quarters and all, as chance (0 to UINT32_MAX) has it, so that those who failed together do not
 * come again together. In whatever unit; first at least 1 gives at least 1.
 */
int64_t backoff_after(int64_t failures, int64_t first, int64_t most, uint32_t chance);

#endif
