/* Request bodies: a reader that takes one must have filled what it promised, within its bounds. */
#include "../../daemon/api/reader.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

struct item {
	const char *path, *text;
};

struct target {
	const char *name, *reason;
	bool full;
	int64_t expires_s;
	struct field_list files;
};

static const struct field item_fields[] = {
	{ "path", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct item, path), 64, NULL, 0 },
	{ "text", FIELD_BLOB, FIELD_REQUIRED, offsetof(struct item, text), 4096, NULL, 0 },
	{ NULL, FIELD_TEXT, 0, 0, 0, NULL, 0 },
};

static const struct field fields[] = {
	{ "name", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct target, name), 64, NULL, 0 },
	{ "reason", FIELD_TEXT, 0, offsetof(struct target, reason), 64, NULL, 0 },
	{ "full", FIELD_BOOL, 0, offsetof(struct target, full), 0, NULL, 0 },
	{ "expires", FIELD_DATE, 0, offsetof(struct target, expires_s), 0, NULL, 0 },
	{ "files", FIELD_LIST, 0, offsetof(struct target, files), 4, item_fields,
	  sizeof(struct item) },
};

static void check_text(const char *text, size_t max, bool one_line)
{
	size_t size = strlen(text);

	if (size > max || !text_is_utf8(text, size))
		abort();
	for (size_t i = 0; one_line && i < size; i++)
		if ((unsigned char)text[i] < 0x20)
			abort();
}

static void check(const struct target *target)
{
	const struct item *items = target->files.items;

	check_text(target->name, 64, true);
	if (target->reason)
		check_text(target->reason, 64, true);
	if (target->expires_s < 0 || target->files.count > 4)
		abort();
	for (size_t i = 0; i < target->files.count; i++) {
		check_text(items[i].path, 64, true);
		check_text(items[i].text, 4096, false);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(arena) struct arena *arena = arena_create((size_t)16 * 1024 * 1024);
	struct http_request request = { .arena = arena, .body_size = size };
	struct target target = { 0 };
	struct err err = { 0 };

	if (!arena)
		return 0;
	/* An exact copy, so that a byte too far is seen. */
	request.body = malloc(size ? size : 1);
	if (!request.body)
		return 0;
	memcpy((char *)(uintptr_t)request.body, data, size);
	if (request_read(&request, fields, ARRAY_LEN(fields), &target, &err) == 0)
		check(&target);
	else if (err.code == ERR_NONE || !err.text[0])
		abort();
	free((char *)(uintptr_t)request.body);
	return 0;
}
