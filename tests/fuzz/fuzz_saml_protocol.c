/*
 * Messages between core and saml worker, either of which may be broken into. The first byte
 * picks the record. What was taken in is what would be sent: written again it is the same bytes.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>

#include "../unit/source/saml_records.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ROW(member, type, function) record_##member,
static record_function *const records[] = { SAML_RECORDS(ROW) };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 24);
	AUTO(strbuf) struct strbuf again = STRBUF(1 << 24);
	record_function *wire_record;
	union record record = { 0 };
	struct reader in;
	struct wire read = { .in = &in, .arena = arena }, write = { .out = &again };

	if (size == 0 || !arena)
		return 0;
	wire_record = records[data[0] % ARRAY_LEN(records)];
	in = reader_init(data + 1, size - 1);
	wire_record(&read, &record);
	if (wire_done(&read, "record", NULL) < 0)
		return 0;
	wire_record(&write, &record);
	if (again.size != size - 1 || memcmp(strbuf_text(&again), data + 1, size - 1) != 0)
		abort();
	return 0;
}
