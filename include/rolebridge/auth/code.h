/*
 * Codes that are sent by mail and SMS: made of what the challenge's row says and the key of tickets, made again when one
 * comes back. So nothing of them is stored, and who reads the store knows none.
 *
 * Six digits are guessed at once in a million: the caller bounds the tries of each.
 */
#ifndef ROLEBRIDGE_AUTH_CODE_H
#define ROLEBRIDGE_AUTH_CODE_H

#include <stdbool.h>
#include <stdint.h>

#include <rolebridge/auth/ticket.h>
#include <rolebridge/base/ids.h>

#define CODE_DIGITS 6
#define CODE_TEXT (CODE_DIGITS + 1) /* with NUL */

/* What a code is for; another one has another code. */
struct code_subject {
	int64_t session_id;
	struct uuid factor;
	int64_t generation;
	int64_t until_s;
};

/* Wipe it after use. */
void code_make(struct tickets *tickets, const struct code_subject *subject,
	       char ret_code[static CODE_TEXT]);
/* Is it that one? Blanks and dashes, which people type, do not count. In constant time over the digits. */
bool code_check(struct tickets *tickets, const struct code_subject *subject, const char *text);

#endif
