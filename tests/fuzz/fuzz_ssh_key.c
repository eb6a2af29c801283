/* SSH public keys: what is written of a key is one line that is the same key again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/ssh_key.h>
#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/util.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int holds)
{
	if (!holds)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(strbuf) struct strbuf first = STRBUF(SSH_KEY_LINE_MAX + 64);
	AUTO(strbuf) struct strbuf second = STRBUF(SSH_KEY_LINE_MAX + 64);
	struct err err = { 0 };
	struct ssh_key key;

	if (ssh_key_parse((const char *)data, size, &key, &err) < 0) {
		check(err.reason != NULL);
		return 0;
	}
	ssh_key_write(&key, &first);
	check(!strbuf_failed(&first) && strlen(strbuf_text(&first)) == first.size);
	for (size_t i = 0; i < first.size; i++)
		check(first.data[i] >= 0x20 && first.data[i] < 0x7f);
	check(ssh_key_parse(first.data, first.size, &key, &err) == 0);
	ssh_key_write(&key, &second);
	check(first.size == second.size && memcmp(first.data, second.data, first.size) == 0);
	return 0;
}
