/*
 * Recovery codes: ten on paper, or one that an administrator gives. Twelve letters and digits that are not mistaken for
 * each other, in groups of four: the first says in which slot the code stands, so that one hash is
 * computed; the others are 55 random bits.
 */
#ifndef ROLEBRIDGE_AUTH_RECOVERY_H
#define ROLEBRIDGE_AUTH_RECOVERY_H

#include <stdbool.h>

#include <rolebridge/store/factor.h>

#define RECOVERY_TEXT 15 /* "XXXX-XXXX-XXXX", with NUL */
#define RECOVERY_CODE 13 /* without the dashes: what is hashed */

/* A new one for this slot (0 to RECOVERY_SLOT_ISSUED). Wipe it after use. */
void recovery_make(int slot, char ret_text[static RECOVERY_TEXT]);
/*
 * As people type it: any case, spaces and dashes anywhere, O for 0, I and L for 1. false: none of ours. Wipe the code
 * after use.
 */
bool recovery_parse(const char *text, int *ret_slot, char ret_code[static RECOVERY_CODE]);

#endif
