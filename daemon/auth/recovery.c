/*
 * Recovery codes as texts. Enters: slots, what people typed. Leaves: codes. The letters are Crockford's base 32:
 * without I, L, O and U.
 */
#include <rolebridge/auth/recovery.h>

#include <string.h>

#include <sodium.h>

#include <rolebridge/base/hash.h>

#define CODE_SIZE (RECOVERY_CODE - 1)

static const char letters[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

void recovery_make(int slot, char ret_text[static RECOVERY_TEXT])
{
	unsigned char drawn[CODE_SIZE];
	size_t at = 0;

	hash_prepare();
	randombytes_buf(drawn, sizeof(drawn));
	drawn[0] = (unsigned char)slot;
	for (size_t i = 0; i < CODE_SIZE; i++) {
		if (i > 0 && i % 4 == 0)
			ret_text[at++] = '-';
		ret_text[at++] = letters[drawn[i] & 31];
	}
	ret_text[at] = '\0';
	sodium_memzero(drawn, sizeof(drawn));
}

/* -1: none of ours */
static int letter_value(char c)
{
	const char *found;

	if (c >= 'a' && c <= 'z')
		c = (char)(c - 'a' + 'A');
	if (c == 'O')
		c = '0';
	if (c == 'I' || c == 'L')
		c = '1';
	found = c ? strchr(letters, c) : NULL;
	return found ? (int)(found - letters) : -1;
}

bool recovery_parse(const char *text, int *ret_slot, char ret_code[static RECOVERY_CODE])
{
	char code[RECOVERY_CODE] = "";
	size_t count = 0;
	bool good = true;

	for (; *text && good; text++) {
		int value;

		if (*text == ' ' || *text == '-' || *text == '\t')
			continue;
		value = letter_value(*text);
		good = value >= 0 && count < CODE_SIZE;
		if (good)
			code[count++] = letters[value];
	}
	good = good && count == CODE_SIZE && letter_value(code[0]) <= RECOVERY_SLOT_ISSUED;
	if (good) {
		*ret_slot = letter_value(code[0]);
		memcpy(ret_code, code, sizeof(code));
	}
	sodium_memzero(code, sizeof(code));
	return good;
}
