/* Refusals (see refusal.h). Enters: any text. Leaves: one line of UTF-8 without control characters. */
#include "refusal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <rolebridge/base/text.h>

/* Does the text end inside a character? */
static bool is_cut(const char *text, size_t left)
{
	unsigned char lead = (unsigned char)text[0];
	size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;

	if (lead < 0xc2 || lead > 0xf4 || left >= length)
		return false;
	for (size_t i = 1; i < left; i++)
		if (((unsigned char)text[i] & 0xc0) != 0x80)
			return false;
	return true;
}

/* Cut texts end between characters; what would steer a terminal or end a line becomes '?'. */
static void make_plain(char *text)
{
	size_t size = strlen(text);

	for (size_t i = 0; i < size;) {
		size_t length = text_next_char(text + i, size - i, NULL);
		bool control = length == 1 && ((unsigned char)text[i] < 0x20 || text[i] == 0x7f);
		bool control_c1 = length == 2 && (unsigned char)text[i] == 0xc2 &&
				  (unsigned char)text[i + 1] < 0xa0;

		if (length == 0 && is_cut(text + i, size - i)) {
			text[i] = '\0';
			return;
		}
		if (length == 0)
			length = 1;
		if (control || control_c1 || (length == 1 && (unsigned char)text[i] >= 0x80))
			memset(text + i, '?', length);
		i += length;
	}
}

int refuse(struct saml_refusal *refusal, const char *reason, const char *format, ...)
{
	va_list args;

	snprintf(refusal->reason, sizeof(refusal->reason), "%s", reason);
	va_start(args, format);
	vsnprintf(refusal->detail, sizeof(refusal->detail), format, args);
	va_end(args);
	make_plain(refusal->detail);
	return 1;
}
