/*
 * Tests of sources (see trial.h). Enters: a source, who wants to see what. Leaves: steps with what they found
 * out, counts, a few people as rules would see them. Fails as our own side does. The store is not even opened.
 *
 * A directory is tested by ldap_source_test. A file is read as a sync would read it, up to a bound.
 */
#include "trial.h"

#include <string.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>
#include <rolebridge/identity/record.h>
#include <rolebridge/source/file.h>
#include <rolebridge/source/ldap.h>

#include "sources.h"

#define WANTED_MAX_BYTES (256u * 1024 * 1024)
#define PERSON_MAX_BYTES (64u * 1024 * 1024)
#define STEPS_MAX_BYTES (1024u * 1024)
#define SAMPLE_MAX_BYTES (8u * 1024 * 1024)
#define REASONS_MAX 32
#define VALUES_SHOWN 100
#define FILE_MOST 100000
#define FILE_US 10000000

struct trial {
	struct configuration *running;
	const struct test_request *request;
	const struct source_settings *source;
	struct run *run;
	struct arena *person;
	/* Elements with commas between. */
	struct strbuf steps, sample, quarantine;
	struct {
		char reason[64];
		int64_t count;
	} reasons[REASONS_MAX];
	size_t reason_count, shown, listed;
	int64_t people, quarantined, until_us;
	bool failed, left_out, cut;
};

/* --- what comes --- */

static void put_fact(struct json *json, const struct source_test_fact *fact)
{
	switch (fact->is.form) {
	case SOURCE_FACT_TEXT: json_string(json, fact->is.name, fact->text); break;
	case SOURCE_FACT_NUMBER: json_int(json, fact->is.name, fact->number); break;
	case SOURCE_FACT_BOOL: json_bool(json, fact->is.name, fact->number != 0); break;
	case SOURCE_FACT_TIME: json_time(json, fact->is.name, fact->number); break;
	}
}

static int on_step(void *context, const struct source_test_step *step, struct err *err)
{
	struct trial *trial = context;
	struct json json = JSON(&trial->steps);

	trial->failed |= !step->ok;
	if (trial->steps.size > STEPS_MAX_BYTES / 2)
		return 0;
	if (trial->steps.size > 0)
		strbuf_putc(&trial->steps, ',');
	json_object(&json);
	json_string(&json, "step", step->step);
	json_string(&json, "server", step->server);
	json_bool(&json, "ok", step->ok);
	json_string(&json, "reason", step->reason);
	json_string(&json, "detail", step->detail);
	json_int(&json, "duration_us", step->duration_us);
	for (size_t i = 0; i < step->fact_count; i++)
		put_fact(&json, &step->facts[i]);
	json_end(&json);
	return strbuf_failed(&trial->steps) ? err_set(err, ERR_MEMORY, "out of memory") : 0;
}

static void put_attribute(const struct trial *trial, struct json *json,
			  const struct attribute *attribute)
{
	const struct schema_attribute *known = schema_get(trial->running->schema, attribute->id);

	json_array_key(json, known->name);
	if (known->sensitive && !trial->request->show_sensitive)
		json_string(json, NULL, "(hidden)");
	else
		for (uint32_t i = 0; i < attribute->count && i < VALUES_SHOWN; i++)
			json_string(json, NULL, attribute->values[i]);
	json_end(json);
}

static void put_person(const struct trial *trial, struct json *json,
		       const struct identity *identity)
{
	json_object(json);
	json_string(json, "key", identity->key);
	json_string(json, "dn", identity->dn);
	json_bool(json, "disabled", identity_is_disabled(identity, clock_now_s()));
	json_string(json, "disabled_by", identity->disabled_by);
	json_time(json, "disabled_from", identity->disabled_from_s);
	json_object_key(json, "attributes");
	for (size_t i = 0; i < identity->attribute_count; i++)
		put_attribute(trial, json, &identity->attributes[i]);
	json_end(json);
	json_array_key(json, "groups");
	for (size_t i = 0; i < identity->group_count; i++) {
		const struct group *group =
			group_registry_get(trial->running->registry, identity->groups[i]);

		if (group)
			json_string(json, NULL, group->name);
	}
	json_end(json);
	json_bool(json, "groups_complete", identity->groups_complete);
	json_end(json);
}

/* One that is too long to be shown with the others is left out, and that is said. */
static int on_identity(void *context, const void *record, size_t size, struct err *err)
{
	struct trial *trial = context;
	struct json json = JSON(&trial->sample);
	struct identity identity;

	trial->people++;
	if (trial->shown >= trial->request->samples)
		return 0;
	if (trial->sample.size + 8 * size > SAMPLE_MAX_BYTES) {
		trial->left_out = true;
		return 0;
	}
	arena_reset(trial->person);
	if (record_decode(record, size, trial->running->schema, 0, trial->person, &identity, err) <
	    0)
		return -1;
	if (trial->shown++ > 0)
		strbuf_putc(&trial->sample, ',');
	put_person(trial, &json, &identity);
	return 0;
}

static void count_reason(struct trial *trial, const char *reason)
{
	for (size_t i = 0; i < trial->reason_count; i++)
		if (strcmp(trial->reasons[i].reason, reason) == 0) {
			trial->reasons[i].count++;
			return;
		}
	if (trial->reason_count == REASONS_MAX)
		return;
	snprintf(trial->reasons[trial->reason_count].reason, sizeof(trial->reasons[0].reason), "%s",
		 reason);
	trial->reasons[trial->reason_count++].count = 1;
}

static int on_quarantine(void *context, const struct quarantined *entry, struct err *err)
{
	struct trial *trial = context;
	struct json json = JSON(&trial->quarantine);

	(void)err;
	trial->quarantined++;
	count_reason(trial, entry->reason);
	if (trial->listed >= trial->request->samples ||
	    trial->quarantine.size > SAMPLE_MAX_BYTES / 2)
		return 0;
	if (trial->listed++ > 0)
		strbuf_putc(&trial->quarantine, ',');
	json_object(&json);
	json_string(&json, "locator", entry->locator);
	json_string(&json, "key", entry->key);
	json_string(&json, "reason", entry->reason);
	json_string(&json, "detail", entry->detail);
	json_end(&json);
	return 0;
}

static int on_group(void *context, uint32_t group_id, bool found, uint64_t members, struct err *err)
{
	(void)context;
	(void)group_id;
	(void)found;
	(void)members;
	(void)err;
	return 0;
}

static void on_progress(void *context, uint64_t read, uint64_t total)
{
	const struct trial *trial = context;

	run_progress(trial->run, "testing", read, total);
}

static bool is_cancelled(void *context)
{
	struct trial *trial = context;

	if (trial->until_us != 0 && (trial->people + trial->quarantined >= FILE_MOST ||
				     clock_monotonic_us() >= trial->until_us))
		trial->cut = true;
	return trial->cut || run_cancelled(trial->run);
}

/* --- the kinds --- */

struct wanting {
	struct wanted_attribute *attributes;
	struct wanted_group *groups;
	size_t attribute_count, group_count;
};

static int try_ldap(struct trial *trial, const struct wanting *wanting, const struct intake *intake,
		    struct err *err)
{
	const struct source_test_intake test = { .people = *intake, .step = on_step };

	return ldap_source_test((const struct ldap_source *)(const void *)trial->source,
				wanting->attributes, wanting->attribute_count, wanting->groups,
				wanting->group_count, trial->request->samples, &test, err);
}

static int tell_file(struct trial *trial, const struct read_result *result, int64_t begun_us,
		     struct err *err)
{
	const struct source_test_fact facts[] = {
		{ .is = { "count", SOURCE_FACT_NUMBER }, .number = trial->people },
		{ .is = { "bad", SOURCE_FACT_NUMBER }, .number = trial->quarantined },
		{ .is = { "groups", SOURCE_FACT_NUMBER }, .number = (int64_t)result->groups },
		{ .is = { "at_least", SOURCE_FACT_BOOL },
		  .number = trial->cut || !result->complete },
	};
	const struct source_test_step step = { .step = "read",
					       .server = "",
					       .ok = result->complete || trial->cut,
					       .reason = trial->cut ? "" : result->reason,
					       .detail = trial->cut ? "" : result->detail,
					       .duration_us = clock_monotonic_us() - begun_us,
					       .facts = facts,
					       .fact_count = ARRAY_LEN(facts) };

	return on_step(trial, &step, err);
}

static int try_file(struct trial *trial, const struct wanting *wanting, const struct intake *intake,
		    struct err *err)
{
	const void *source = trial->source;
	int64_t begun_us = clock_monotonic_us();
	struct read_result result = { 0 };
	int status;

	trial->until_us = begun_us + FILE_US;
	if (strcmp(trial->source->type.text, ldif_source_table.name) == 0)
		status = ldif_read(source, wanting->attributes, wanting->attribute_count,
				   wanting->groups, wanting->group_count, intake, &result, err);
	else
		status = csv_read(source, wanting->attributes, wanting->attribute_count,
				  wanting->groups, wanting->group_count, intake, &result, err);
	/* We ended it ourselves. */
	if (status < 0 && !(trial->cut && err->code == ERR_CANCELLED))
		return -1;
	return tell_file(trial, &result, begun_us, err);
}

static int try_it(struct trial *trial, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(WANTED_MAX_BYTES);
	struct wanting wanting;
	const struct intake intake = { .context = trial,
				       .identity = on_identity,
				       .quarantine = on_quarantine,
				       .group = on_group,
				       .progress = on_progress,
				       .cancelled = is_cancelled };
	bool is_directory = strcmp(trial->source->type.text, ldap_source_table.name) == 0;

	if (!arena)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (source_wanted_attributes(trial->source, trial->running->schema, trial->running->needed,
				     arena, &wanting.attributes, &wanting.attribute_count,
				     err) < 0 ||
	    configuration_wanted_groups(trial->running, trial->source, arena, &wanting.groups,
					&wanting.group_count, err) < 0)
		return -1;
	return (is_directory ? try_ldap : try_file)(trial, &wanting, &intake, err);
}

/* --- the outcome --- */

static void put_list(struct json *json, const char *key, const struct strbuf *elements)
{
	AUTO(strbuf) struct strbuf list = STRBUF(elements->max + 8);

	strbuf_putc(&list, '[');
	strbuf_append(&list, elements->data, elements->size);
	strbuf_putc(&list, ']');
	json_raw(json, key, strbuf_text(&list));
}

static const char *follow_word(const struct source_settings *source)
{
	static const char *const modes[] = { "off", "auto", "sync", "usn", "timestamp" };
	const struct ldap_source *ldap = (const struct ldap_source *)(const void *)source;
	size_t mode = (size_t)ldap->follow.mode;

	return mode < ARRAY_LEN(modes) ? modes[mode] : "";
}

static void put_bind(const struct trial *trial, struct json *json)
{
	static const char *const methods[] = { "simple", "external", "anonymous", "gssapi" };
	const struct ldap_source *ldap = (const struct ldap_source *)(const void *)trial->source;
	size_t method = (size_t)ldap->bind.method;

	json_object_key(json, "bind");
	json_string(json, "method", method < ARRAY_LEN(methods) ? methods[method] : "");
	json_string(json, "dn", ldap->bind.dn.text ? ldap->bind.dn.text : "");
	json_end(json);
	json_string(json, "follow", follow_word(trial->source));
}

static int put_outcome(const struct trial *trial, struct strbuf *result, struct err *err)
{
	struct json json = JSON(result);

	json_object(&json);
	json_string(&json, "source", trial->source->name.text);
	json_string(&json, "type", trial->source->type.text);
	json_bool(&json, "enabled", trial->source->enabled);
	json_bool(&json, "ok", !trial->failed);
	if (strcmp(trial->source->type.text, ldap_source_table.name) == 0)
		put_bind(trial, &json);
	put_list(&json, "steps", &trial->steps);
	put_list(&json, "sample", &trial->sample);
	json_bool(&json, "left_out", trial->left_out);
	json_object_key(&json, "quarantine");
	for (size_t i = 0; i < trial->reason_count; i++)
		json_int(&json, trial->reasons[i].reason, trial->reasons[i].count);
	json_end(&json);
	put_list(&json, "quarantined", &trial->quarantine);
	json_end(&json);
	if (strbuf_failed(result) || strbuf_failed(&trial->sample) ||
	    strbuf_failed(&trial->quarantine))
		return err_set(err, ERR_TOO_LARGE, "the outcome is too long");
	return 0;
}

int source_try(struct configuration *running, const struct test_request *request, struct run *run,
	       struct strbuf *result, struct err *err)
{
	struct trial trial = { .running = running,
			       .request = request,
			       .source = setup_find_source(&running->setup, request->source),
			       .run = run,
			       .steps = STRBUF(STEPS_MAX_BYTES),
			       .sample = STRBUF(2 * SAMPLE_MAX_BYTES),
			       .quarantine = STRBUF(SAMPLE_MAX_BYTES) };
	AUTO(arena) struct arena *person = arena_create(PERSON_MAX_BYTES);
	int status = -1;

	trial.person = person;
	if (!trial.source)
		err_set(err, ERR_NOT_FOUND, "there is no source '%s'", request->source);
	else if (!person)
		err_set(err, ERR_MEMORY, "out of memory");
	else if (!source_is_read(trial.source))
		err_refuse(err, ERR_CONFLICT, "source-not-read",
			   "source '%s' is of type '%s': its people come when they sign in",
			   request->source, trial.source->type.text);
	else
		status = try_it(&trial, err);
	if (status == 0)
		status = put_outcome(&trial, result, err);
	strbuf_finish(&trial.steps);
	strbuf_finish(&trial.sample);
	strbuf_finish(&trial.quarantine);
	return status;
}
