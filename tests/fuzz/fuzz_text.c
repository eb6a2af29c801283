/* Text of a directory: folding holds what it promises for any bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int holds)
{
	if (!holds)
		abort();
}

static void check_folded(const struct strbuf *folded)
{
	const char *text = strbuf_text(folded);

	check(strlen(text) == folded->size);
	check(text_is_utf8(text, folded->size));
	check(folded->size == 0 || (text[0] != ' ' && text[folded->size - 1] != ' '));
	check(!strstr(text, "  "));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(strbuf) struct strbuf folded = STRBUF(1 << 20);
	AUTO(strbuf) struct strbuf prepared = STRBUF(1 << 20);
	bool good = text_is_utf8(data, size);

	text_fold(&folded, (const char *)data, size);
	text_prepare(&prepared, (const char *)data, size);
	if (!good)
		return 0;
	check(!strbuf_failed(&folded) && !strbuf_failed(&prepared));
	check_folded(&folded);
	check_folded(&prepared);
	/* What compares equal once prepared compares equal folded. */
	check(text_equal_caseless(strbuf_text(&prepared), strbuf_text(&folded)) ==
	      text_equal_caseless(strbuf_text(&folded), strbuf_text(&prepared)));
	return 0;
}
