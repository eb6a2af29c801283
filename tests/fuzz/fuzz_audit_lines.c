/* Lines of an archive: whatever they hold, a row that is read is written as the same line again. */
#include <stdlib.h>
#include <string.h>

#include <rolebridge/audit/archive.h>
#include <rolebridge/base/util.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct audit_lines lines = AUDIT_LINES((const char *)data, size);
	struct audit_iterator rows = audit_lines_iterator(&lines);
	struct audit_pruning pruning;
	struct audit_row row;
	struct err err = { 0 };
	size_t before = 0;

	while (rows.next(rows.context, &row, &err) > 0) {
		AUTO(strbuf) struct strbuf again = STRBUF((size_t)64 * 1024 * 1024);

		audit_format_row(&row, AUDIT_JSON_LINES, &again);
		if (again.size != lines.at - before ||
		    memcmp(again.data, data + before, again.size) != 0)
			abort();
		audit_pruning_parse(row.detail, &pruning);
		before = lines.at;
	}
	audit_lines_auto(&lines);
	return 0;
}
