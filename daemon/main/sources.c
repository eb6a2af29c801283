/*
 * Which kind of source is read by which function, and the intake between a
 * source and a sync run. Fails as the read function or the run fails; a failed
 * run leaves nothing behind.
 */
#include "sources.h"

#include <string.h>

#include <rolebridge/base/log.h>
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

bool source_is_read(const struct source_settings *source)
{
	return find_read_function(source->type.text) != NULL;
}

/* The intake's context: the run, and who watches it. */
struct feed {
	struct sync *sync;
	struct run *run;
	bool found; /* the one person that was looked for */
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

/*
 * What is read is what the configuration in force names: `source` says where and with which secrets.
 * Which attributes and groups are asked for is the word of `wanting`, whose rules are tried.
 */
static int read_into(struct configuration *wanting, const struct source_settings *declared,
		     const struct source_settings *source, struct feed *feed,
		     struct read_result *ret_result, struct err *err)
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
	if (source_wanted_attributes(declared, wanting->schema, wanting->needed, arena, &attributes,
				     &attribute_count, err) < 0 ||
	    configuration_wanted_groups(wanting, source, arena, &groups, &group_count, err) < 0)
		return -1;
	return read(source, attributes, attribute_count, groups, group_count, &intake, ret_result,
		    err);
}

/* The source as one configuration has it, if it may be read. */
static const struct source_settings *readable_source(const struct configuration *configuration,
						     const char *name, struct err *err)
{
	const struct source_settings *source = setup_find_source(&configuration->setup, name);

	if (!source) {
		err_refuse(err, ERR_NOT_FOUND, "not-found", "there is no source '%s'", name);
		return NULL;
	}
	if (!source->enabled) {
		err_refuse(err, ERR_CONFLICT, "source-disabled", "source '%s' is not enabled",
			   name);
		return NULL;
	}
	if (!source_is_read(source)) {
		err_refuse(err, ERR_CONFLICT, "source-not-read",
			   "source '%s' is of type '%s': its people come when they sign in", name,
			   source->type.text);
		return NULL;
	}
	return source;
}

/*
 * Someone who may try rules must not thereby name servers, files or secrets: a previewed source is
 * read as the one in force, and must be one.
 */
static const struct source_settings *source_in_force(const struct configuration *running,
						     const struct source_settings *declared,
						     struct err *err)
{
	const struct source_settings *source = readable_source(running, declared->name.text, err);

	if (!source) {
		err_wrap(err, "a preview reads the sources in force");
		return NULL;
	}
	if (strcmp(source->type.text, declared->type.text) != 0) {
		err_set(err, ERR_CONFLICT,
			"a preview reads the sources in force: '%s' is of type '%s' there",
			source->name.text, source->type.text);
		return NULL;
	}
	return source;
}

int source_sync(struct changer *changer, struct configuration *running,
		struct configuration *preview, const char *source, const struct actor *actor,
		bool dry_run, struct run *run, struct run_report *ret_report, struct err *err)
{
	struct configuration *wanting = preview ? preview : running;
	const struct source_settings *declared = readable_source(wanting, source, err);
	const struct source_settings *settings;
	struct read_result result = { 0 };
	struct feed feed = { .run = run };

	if (!declared)
		return -1;
	settings = preview ? source_in_force(running, declared, err) : declared;
	if (!settings)
		return -1;
	run_progress(run, "reading", 0, 0);
	feed.sync =
		sync_begin(changer, preview ? &preview->setup : NULL, source, actor, dry_run, err);
	if (!feed.sync)
		return -1;
	if (read_into(wanting, declared, settings, &feed, &result, err) < 0) {
		sync_abort(feed.sync);
		return err_wrap(err, "source '%s'", source);
	}
	run_progress(run, dry_run ? "planning" : "applying", result.entries, result.entries);
	return sync_finish(feed.sync, result.complete, result.complete ? "" : result.detail,
			   result.server, ret_report, err);
}

/* --- one person --- */

static int feed_found(void *context, const void *record, size_t size, struct err *err)
{
	struct feed *feed = context;

	feed->found = true;
	return sync_identity(feed->sync, record, size, err);
}

static int read_person(struct configuration *running, const struct source_settings *source,
		       const char *key, struct feed *feed, struct read_result *ret_result,
		       struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(READ_MAX_BYTES);
	struct wanted_attribute *attributes;
	struct wanted_group *groups;
	size_t attribute_count, group_count;
	const struct intake intake = {
		.context = feed,
		.identity = feed_found,
		.quarantine = feed_quarantine,
		.group = feed_group,
		.cancelled = feed_cancelled,
	};

	if (!arena)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (source_wanted_attributes(source, running->schema, running->needed, arena, &attributes,
				     &attribute_count, err) < 0 ||
	    configuration_wanted_groups(running, source, arena, &groups, &group_count, err) < 0)
		return -1;
	return ldap_source_read_one((const struct ldap_source *)(const void *)source, key,
				    attributes, attribute_count, groups, group_count, &intake,
				    ret_result, err);
}

/* Nobody is looked for in vain: who is not found is gone, as far as one look can say. */
static int finish_person(struct feed *feed, const char *key, const struct read_result *result,
			 struct run_report *ret_report, struct err *err)
{
	if (!result->complete) {
		sync_abort(feed->sync);
		return err_set(err, ERR_UNAVAILABLE, "%s", result->detail);
	}
	if (!feed->found && sync_gone(feed->sync, key, strlen(key), err) < 0) {
		sync_abort(feed->sync);
		return -1;
	}
	return sync_finish(feed->sync, true, "", result->server, ret_report, err);
}

int source_sync_person(struct changer *changer, struct configuration *running, const char *source,
		       const char *key, const struct actor *actor, struct run *run,
		       struct run_report *ret_report, struct err *err)
{
	const struct source_settings *settings = readable_source(running, source, err);
	struct read_result result = { 0 };
	struct feed feed = { .run = run };

	if (!settings)
		return -1;
	if (strcmp(settings->type.text, "ldap") != 0)
		return err_refuse(err, ERR_CONFLICT, "source-read-whole",
				  "source '%s' is of type '%s': it is read as a whole", source,
				  settings->type.text);
	feed.sync = sync_begin_changes(changer, source, actor, err);
	if (!feed.sync)
		return -1;
	if (read_person(running, settings, key, &feed, &result, err) < 0) {
		sync_abort(feed.sync);
		return err_wrap(err, "source '%s'", source);
	}
	return finish_person(&feed, key, &result, ret_report, err);
}

/* --- words --- */

void source_log_run(const char *source, const struct run_report *report)
{
	if (!report->complete)
		log_warning("sync.incomplete", F_STR("source", source),
			    F_STR("problem", report->problem), F_STR("server", report->server));
	log_info(report->dry_run ? "plan.computed" : "sync.finished", F_STR("source", source),
		 F_INT("entries", report->entries), F_INT("created", report->created),
		 F_INT("updated", report->updated), F_INT("disabled", report->disabled),
		 F_INT("granted", report->granted), F_INT("revoked", report->revoked),
		 F_INT("held", report->held), F_STR("plan", report->plan_id),
		 F_INT("quarantined", report->quarantined), F_INT("ms", report->duration_ms));
}
