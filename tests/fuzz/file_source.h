/* Feeds the bytes of a fuzzer to a file source, through a file in memory, and checks what comes out. */
#ifndef ROLEBRIDGE_FUZZ_FILE_SOURCE_H
#define ROLEBRIDGE_FUZZ_FILE_SOURCE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rolebridge/base/util.h>
#include <rolebridge/identity/record.h>
#include <rolebridge/source/file.h>

#define LOCATED(words) ((struct located){ .text = (words), .at = { 1, 1, 1, 1 } })

static struct schema *fuzz_schema;

static int fuzz_identity(void *context, const void *record, size_t size, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(256u * 1024 * 1024);
	struct identity identity;

	(void)context;
	if (record_decode(record, size, fuzz_schema, 0, arena, &identity, err) < 0)
		abort();
	return 0;
}

static int fuzz_quarantine(void *context, const struct quarantined *entry, struct err *err)
{
	(void)context;
	(void)err;
	if (entry->reason[0] == '\0' || entry->detail[0] == '\0')
		abort();
	return 0;
}

static int fuzz_group(void *context, uint32_t group_id, bool found, uint64_t members,
		      struct err *err)
{
	(void)context;
	(void)err;
	if (group_id == 0 || (!found && members > 0))
		abort();
	return 0;
}

static const struct intake fuzz_intake = {
	.identity = fuzz_identity,
	.quarantine = fuzz_quarantine,
	.group = fuzz_group,
};

static const struct wanted_attribute fuzz_attributes[] = { { "cn", "cn" }, { "mail", "mail" } };
static const struct wanted_group fuzz_groups[] = { { 1, "cn=a,dc=x" }, { 2, "sales" } };

/* The path of a file in memory that holds the bytes. */
static const char *fuzz_file(const uint8_t *data, size_t size)
{
	static char path[64];
	static int fd = -1;

	if (fd < 0) {
		struct identity_settings identity = { .username = LOCATED("uid"),
						      .email = LOCATED("mail") };
		struct diagnostics *list = diagnostics_create();

		fuzz_schema = schema_create(&identity, NULL, 0, list);
		diagnostics_destroy(list);
		fd = memfd_create("fuzz", MFD_CLOEXEC);
		if (fd < 0 || !fuzz_schema)
			abort();
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	if (ftruncate(fd, 0) < 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
	return path;
}

#endif
