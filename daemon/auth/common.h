/* Words that guessers try first. Internal to auth. */
#ifndef DAEMON_AUTH_COMMON_H
#define DAEMON_AUTH_COMMON_H

/* Lower case, at least three letters each, separated by one space; ends with NULL. */
extern const char *const common_words[];

#endif
