/* CSV source: any file is read to its end, and every record is one that can be read. */
#include "file_source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct located many[] = { LOCATED("mail") };
	struct csv_source source = {
		.common = { .name = LOCATED("one") },
		.path = LOCATED(fuzz_file(data, size)),
		.key = LOCATED("id"),
		.groups = LOCATED("groups"),
		.separator = LOCATED(";"),
		.delimiter = LOCATED(","),
		.multivalued = { 1, many },
	};
	struct read_result result;
	struct err err;

	if (csv_read(&source, fuzz_attributes, ARRAY_LEN(fuzz_attributes), fuzz_groups,
		     ARRAY_LEN(fuzz_groups), &fuzz_intake, &result, &err) < 0)
		abort();
	return 0;
}
