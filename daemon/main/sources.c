/*
 * Which kind of source is read by which function, and the intake between a
 * source and a sync run. Fails as the read function or the run fails; a failed
 * run leaves nothing behind.
 */
#include "sources.h"

#include <string.h>

#include <rolebridge/base/util.h>
#include <rolebridge/source/file.h>
#include <rolebridge/source/ldap.h>
#include <rolebridge/source/source.h>

/* Names and groups of one read; a few MiB at 100,000 rules. */
#define READ_MAX_BYTES (256u * 1024 * 1024)

typedef int (*read_function)(const struct source_settings *source,
			     const struct wanted_attribute *attributes, size_t attribute_count,
			     const struct wanted_group *groups, size_t group_count,
			     const struct intake *intake, struct read_result *ret_result,
			     struct err *err);

static int read_ldap(const struct source_settings *source,
		     const struct wanted_attribute *attributes, size_t attribute_count,
		     const struct wanted_group *groups, size_t group_count,
		     const struct intake *intake, struct read_result *ret_result, struct err *err)
{
	return ldap_source_read((const struct ldap_source *)(const void *)source, attributes,
				attribute_count, groups, group_count, intake, ret_result, err);
}

static int read_ldif(const struct source_settings *source,
		     const struct wanted_attribute *attributes, size_t attribute_count,
		     const struct wanted_group *groups, size_t group_count,
		     const struct intake *intake, struct read_result *ret_result, struct err *err)
{
	return ldif_read((const struct ldif_source *)(const void *)source, attributes,
			 attribute_count, groups, group_count, intake, ret_result, err);
}

static int read_csv(const struct source_settings *source, const struct wanted_attribute *attributes,
		    size_t attribute_count, const struct wanted_group *groups, size_t group_count,
		    const struct intake *intake, struct read_result *ret_result, struct err *err)
{
	return csv_read((const struct csv_source *)(const void *)source, attributes,
			attribute_count, groups, group_count, intake, ret_result, err);
}

static const struct {
	const char *type;
	read_function read;
} source_types[] = {
	{ "ldap", read_ldap },
	{ "ldif", read_ldif },
	{ "csv", read_csv },
};

static read_function find_read_function(const char *type)
{
	for (size_t i = 0; i < ARRAY_LEN(source_types); i++)
		if (strcmp(source_types[i].type, type) == 0)
			return source_types[i].read;
	return NULL;
}

static const struct source_settings *find_source(const struct configuration *configuration,
						 const char *name)
{
	for (size_t i = 0; i < configuration->setup.source_count; i++)
		if (strcmp(configuration->setup.sources[i]->name.text, name) == 0)
			return configuration->setup.sources[i];
	return NULL;
}

/* The intake's context: the run, and who watches it. */
struct feed {
	struct sync *sync;
	struct run *run;
};

static int feed_identity(void *context, const void *record, size_t size, struct err *err)
{
	struct feed *feed = context;

	return sync_identity(feed->sync, record, size, err);
}

static int feed_quarantine(void *context, const struct quarantined *entry, struct err *err)
{
	struct feed *feed = context;

	return sync_quarantine(feed->sync, entry, err);
}

static int feed_group(void *context, uint32_t group_id, bool found, uint64_t members,
		      struct err *err)
{
	struct feed *feed = context;

	return sync_group(feed->sync, group_id, found, members, err);
}

static void feed_progress(void *context, uint64_t read, uint64_t total)
{
	struct feed *feed = context;

	run_progress(feed->run, "reading", read, total);
}

static bool feed_cancelled(void *context)
{
	struct feed *feed = context;

	return run_cancelled(feed->run);
}

static int read_into(struct configuration *configuration, const struct source_settings *source,
		     struct feed *feed, struct read_result *ret_result, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(READ_MAX_BYTES);
	struct wanted_attribute *attributes;
	struct wanted_group *groups;
	size_t attribute_count, group_count;
	read_function read = find_read_function(source->type.text);
	struct intake intake = {
		.context = feed,
		.identity = feed_identity,
		.quarantine = feed_quarantine,
		.group = feed_group,
		.progress = feed_progress,
		.cancelled = feed_cancelled,
	};

	if (!arena)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (!read)
		return err_set(err, ERR_INTERNAL, "no reader for sources of type '%s'",
			       source->type.text);
	if (source_wanted_attributes(source, configuration->schema, configuration->needed, arena,
				     &attributes, &attribute_count, err) < 0 ||
	    configuration_wanted_groups(configuration, source, arena, &groups, &group_count, err) <
		    0)
		return -1;
	return read(source, attributes, attribute_count, groups, group_count, &intake, ret_result,
		    err);
}

int source_sync(struct changer *changer, struct configuration *configuration, bool preview,
		const char *source, const struct actor *actor, bool dry_run, struct run *run,
		struct run_report *ret_report, struct err *err)
{
	const struct source_settings *settings = find_source(configuration, source);
	struct read_result result = { 0 };
	struct feed feed = { .run = run };

	if (!settings)
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "there is no source '%s'",
				  source);
	run_progress(run, "reading", 0, 0);
	feed.sync = sync_begin(changer, preview ? &configuration->setup : NULL, source, actor,
			       dry_run, err);
	if (!feed.sync)
		return -1;
	if (read_into(configuration, settings, &feed, &result, err) < 0) {
		sync_abort(feed.sync);
		return err_wrap(err, "source '%s'", source);
	}
	run_progress(run, dry_run ? "planning" : "applying", 0, 0);
	return sync_finish(feed.sync, result.complete, result.complete ? "" : result.detail,
			   result.server, ret_report, err);
}
