/* Codes that are sent by mail and SMS. Enters: what one is for, and what somebody typed. Leaves: six digits, yes or no. */
#include <rolebridge/auth/code.h>

#include <endian.h>
#include <string.h>

#include <sodium.h>

#include <rolebridge/base/hash.h>

void code_make(struct tickets *tickets, const struct code_subject *subject,
	       char ret_code[static CODE_TEXT])
{
	struct {
		uint64_t session_id, generation, until_s;
		unsigned char factor[16];
	} bound = { .session_id = htole64((uint64_t)subject->session_id),
		    .generation = htole64((uint64_t)subject->generation),
		    .until_s = htole64((uint64_t)subject->until_s) };
	struct hash256 hash;
	uint64_t number = 0;

	memcpy(bound.factor, subject->factor.byte, sizeof(bound.factor));
	ticket_code_hash(tickets, &bound, sizeof(bound), &hash);
	/* 64 bits over a million: no digit is likelier than another by more than 2^-44. */
	for (size_t i = 0; i < sizeof(number); i++)
		number = number << 8 | hash.byte[i];
	for (size_t i = CODE_DIGITS; i-- > 0; number /= 10)
		ret_code[i] = (char)('0' + number % 10);
	ret_code[CODE_DIGITS] = '\0';
	sodium_memzero(&hash, sizeof(hash));
}

/* false: not six digits. */
static bool read_code(const char *text, char ret_code[static CODE_TEXT])
{
	size_t count = 0;

	for (; *text; text++) {
		if (*text == ' ' || *text == '-' || *text == '\t')
			continue;
		if (*text < '0' || *text > '9' || count == CODE_DIGITS)
			return false;
		ret_code[count++] = *text;
	}
	ret_code[count] = '\0';
	return count == CODE_DIGITS;
}

bool code_check(struct tickets *tickets, const struct code_subject *subject, const char *text)
{
	char wanted[CODE_TEXT], given[CODE_TEXT];
	bool same;

	if (!read_code(text, given))
		return false;
	code_make(tickets, subject, wanted);
	same = sodium_memcmp(wanted, given, CODE_DIGITS) == 0;
	sodium_memzero(wanted, sizeof(wanted));
	sodium_memzero(given, sizeof(given));
	return same;
}
