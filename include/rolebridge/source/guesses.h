/*
 * How many wrong passwords of each person were passed on lately. Enters: who, when. Leaves: whether one more may be.
 * One thread at a time. In memory: a restart forgets them.
 */
#ifndef ROLEBRIDGE_SOURCE_GUESSES_H
#define ROLEBRIDGE_SOURCE_GUESSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rolebridge/base/hash.h>

#define GUESSES_OF_ONE_MAX 16
/* People of whom is known when; more than that in a window, and whoever comes new has to wait. */
#define GUESSES_PEOPLE_MAX 65536

struct guesses;

struct guesses *guesses_create(void); /* NULL: out of memory */
void guesses_destroy(struct guesses *guesses);
/*
 * May this one be passed on? At most `limit` in any `window_s`. It counts as wrong from now on. now_s: of a clock that
 * is never set; 1 or more.
 */
bool guesses_take(struct guesses *guesses, struct hash128 who, size_t limit, int64_t window_s,
		  int64_t now_s);
/* It was right: all before are forgotten, at the directory too. */
void guesses_right(struct guesses *guesses, struct hash128 who);
/* Nobody could say: the one taken at now_s does not count. */
void guesses_return(struct guesses *guesses, struct hash128 who, int64_t now_s);

#endif
