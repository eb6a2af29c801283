#include "support.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <rolebridge/base/util.h>
#include <rolebridge/identity/record.h>

#define FILES_MAX 16

static char folder[] = "/tmp/rolebridge-source-XXXXXX";
static bool made;
static char *paths[FILES_MAX];
static size_t path_count;

const char *support_folder(void)
{
	if (!made)
		assert_non_null(mkdtemp(folder));
	made = true;
	return folder;
}

void support_remove(void)
{
	for (size_t i = 0; i < path_count; i++) {
		unlink(paths[i]);
		free(paths[i]);
	}
	path_count = 0;
	if (made)
		rmdir(folder);
}

static const char *path_of(const char *name)
{
	char *path;

	assert_true(asprintf(&path, "%s/%s", support_folder(), name) > 0);
	for (size_t i = 0; i < path_count; i++) {
		if (strcmp(paths[i], path) != 0)
			continue;
		free(path);
		return paths[i];
	}
	assert_true(path_count < FILES_MAX);
	return paths[path_count++] = path;
}

const char *support_write(const char *name, const char *data, size_t size)
{
	const char *path = path_of(name);
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	if (size == 0)
		size = strlen(data);
	assert_int_equal(fwrite(data, 1, size, file), size);
	assert_int_equal(fclose(file), 0);
	return path;
}

struct source_settings support_source(const char *name)
{
	return (struct source_settings){
		.name = LOCATED(name),
		.organization = LOCATED("default"),
		.enabled = true,
	};
}

struct seen *support_seen(void)
{
	struct identity_settings identity = { .username = LOCATED("uid"),
					      .email = LOCATED("mail") };
	struct attribute_settings own[] = { { .name = LOCATED("trainings"), .syntax = SYNTAX_AUTO },
					    { .name = LOCATED("costCenter"),
					      .syntax = SYNTAX_AUTO } };
	struct source_settings source = support_source("one");
	const struct source_settings *sources[] = { &source };
	AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
	struct seen *seen = calloc(1, sizeof(*seen));

	source.attributes = (struct struct_list){ ARRAY_LEN(own), own };
	assert_non_null(seen);
	seen->schema = schema_create(&identity, sources, 1, list);
	assert_non_null(seen->schema);
	seen->identities = seen->quarantined = seen->groups = STRBUF(256u * 1024 * 1024);
	seen->fail_after = -1;
	return seen;
}

void support_seen_clear(struct seen *seen)
{
	strbuf_clear(&seen->identities);
	strbuf_clear(&seen->quarantined);
	strbuf_clear(&seen->groups);
}

void support_seen_free(struct seen *seen)
{
	strbuf_finish(&seen->identities);
	strbuf_finish(&seen->quarantined);
	strbuf_finish(&seen->groups);
	schema_destroy(seen->schema);
	free(seen);
}

static int may_fail(struct seen *seen, struct err *err)
{
	if (seen->fail_after == 0)
		return err_set(err, ERR_DENIED, "the test says no");
	if (seen->fail_after > 0)
		seen->fail_after--;
	return 0;
}

static int on_identity(void *context, const void *record, size_t size, struct err *err)
{
	struct seen *seen = context;
	AUTO(arena) struct arena *arena = arena_create(RECORD_MAX * 4u);
	struct identity identity;

	/* Every record that is handed over must be one that can be read. */
	if (record_decode(record, size, seen->schema, 0, arena, &identity, err) < 0)
		fail_msg("%s", err->text);
	strbuf_printf(&seen->identities, "%s", identity.key);
	for (size_t i = 0; i < identity.attribute_count; i++) {
		const struct attribute *attribute = &identity.attributes[i];

		strbuf_printf(&seen->identities,
			      " %s=", schema_get(seen->schema, attribute->id)->name);
		for (uint32_t v = 0; v < attribute->count; v++)
			strbuf_printf(&seen->identities, "%s%s", v ? "|" : "",
				      attribute->values[v]);
	}
	strbuf_puts(&seen->identities, " [");
	for (size_t i = 0; i < identity.group_count; i++)
		strbuf_printf(&seen->identities, "%s%u", i ? "," : "", identity.groups[i]);
	strbuf_printf(&seen->identities, "]%s", identity.groups_complete ? "" : " groups?");
	if (identity.disabled)
		strbuf_printf(&seen->identities, " disabled:%s", identity.disabled_by);
	else if (identity.disabled_from_s != 0)
		strbuf_printf(&seen->identities, " disabled:%s@%" PRId64, identity.disabled_by,
			      identity.disabled_from_s);
	strbuf_putc(&seen->identities, '\n');
	return may_fail(seen, err);
}

static int on_quarantine(void *context, const struct quarantined *entry, struct err *err)
{
	struct seen *seen = context;
	const char *line = strrchr(entry->locator, ':');

	assert_non_null(line);
	assert_true(entry->detail[0] != '\0');
	assert_memory_equal(entry->locator, folder, strlen(folder));
	strbuf_printf(&seen->quarantined, "%s %s%s%s\n", line + 1, entry->reason,
		      entry->key[0] ? " " : "", entry->key);
	return may_fail(seen, err);
}

static int on_group(void *context, uint32_t group_id, bool found, uint64_t members, struct err *err)
{
	struct seen *seen = context;

	strbuf_printf(&seen->groups, "%u %s %llu\n", group_id, found ? "found" : "gone",
		      (unsigned long long)members);
	return may_fail(seen, err);
}

static bool on_cancelled(void *context)
{
	return ((struct seen *)context)->cancel;
}

struct intake support_intake(struct seen *seen)
{
	return (struct intake){
		.context = seen,
		.identity = on_identity,
		.quarantine = on_quarantine,
		.group = on_group,
		.cancelled = on_cancelled,
	};
}

static int count_record(void *context, const void *record, size_t size, struct err *err)
{
	(void)record;
	(void)size;
	(void)err;
	++*(int *)context;
	return 0;
}

static int drop_entry(void *context, const struct quarantined *entry, struct err *err)
{
	(void)context;
	(void)entry;
	(void)err;
	return 0;
}

static int drop_group(void *context, uint32_t group_id, bool found, uint64_t members,
		      struct err *err)
{
	(void)context;
	(void)group_id;
	(void)found;
	(void)members;
	(void)err;
	return 0;
}

struct intake support_counting_intake(int *identities)
{
	return (struct intake){
		.context = identities,
		.identity = count_record,
		.quarantine = drop_entry,
		.group = drop_group,
	};
}
