/* Bytes of a hostile worker: no reader may read past the end, whatever is asked of it in which order. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/message.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The value asked for is chosen by a byte of the same input. */
static void ask(struct reader *in, unsigned which, struct arena *arena)
{
	size_t length;
	const void *bytes;
	const char *text;

	switch (which % 7) {
	case 0: get_u8(in); break;
	case 1: get_u16(in); break;
	case 2: get_u32(in); break;
	case 3: get_u64(in); break;
	case 4:
		if (get_count(in, 1000) > 1000)
			abort();
		break;
	case 5:
		bytes = get_bytes(in, &length);
		if (bytes && length && memchr(bytes, 0, length) == (const void *)in)
			abort();
		break;
	default:
		text = get_utf8(in, arena);
		if (!text_is_utf8(text, strlen(text)))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	size_t questions = size / 4;
	struct reader in = reader_init(data + questions, size - questions);

	for (size_t i = 0; i < questions; i++)
		ask(&in, data[i], arena);
	if (in.failed && reader_done(&in))
		abort();
	return 0;
}
