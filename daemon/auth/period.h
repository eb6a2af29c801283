/* The period of a text: what guessers of passwords take for one word written several times. */
#ifndef ROLEBRIDGE_AUTH_PERIOD_H
#define ROLEBRIDGE_AUTH_PERIOD_H

#include <stddef.h>
#include <stdint.h>

#include <rolebridge/auth/password.h>

#define PERIOD_TEXT_MAX (18 * PASSWORD_MAX) /* a password as NFKC may grow it (UAX 15) */

/*
 * How long the text of at most PERIOD_TEXT_MAX characters is that `at` repeats; count when it repeats none. *ret_compared
 * (NULL: nobody asks): how often it was looked whether two characters are the same, at most twice count, whatever
 * they are: they come from anybody.
 */
size_t period_find(const uint32_t *at, size_t count, size_t *ret_compared);

#endif
