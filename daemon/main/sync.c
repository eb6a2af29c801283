/*
 * Sources, read because the schedule or somebody asked: one, all, or what is known of one person.
 *
 * Enters: the request, with files or the draft of a rule for a preview. Leaves: the run's reports. Fails as the first source
 * that could not be read did; the others are read all the same.
 */
#include "service_parts.h"

#include <string.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/log.h>
#include <rolebridge/base/util.h>
#include <rolebridge/change/authority.h>

#include "define.h"
#include "follow.h"
#include "schedule.h"
#include "sources.h"

#define PERSON_MAX_BYTES (64u * 1024 * 1024)

/* Did this read the source for good? A dry run, or one refused beside another, moves no schedule. */
static bool is_read(const struct sync_request *request, int result, const struct err *err)
{
	bool refused = result < 0 && err->reason && strcmp(err->reason, "sync-running") == 0;

	return !request->dry_run && !refused;
}

/* Who follows a source reads it too, when asked. A dry run changes nothing: it has its own eyes. */
static bool is_followers(struct configuration *running, const struct sync_request *request,
			 const char *source)
{
	const struct source_settings *settings = setup_find_source(&running->setup, source);

	return settings && !request->dry_run && source_is_followed(settings);
}

static int sync_one(struct service *service, struct configuration *running,
		    struct configuration *preview, const char *source,
		    const struct sync_request *request, const struct actor *actor, struct run *run,
		    struct err *err)
{
	struct run_report report;
	int result;

	if (is_followers(running, request, source))
		return follow_sync(service->follow, source, NULL, run, err);
	run_report_init(&report);
	run_watch_applying(run, &report);
	result = source_sync(service->changer, running, preview, source, actor, request->dry_run,
			     run, &report, err);
	if (result == 0) {
		source_log_run(source, &report);
		result = run_add_report(run, source, &report, err);
	} else {
		log_error("sync.failed", F_STR("source", source), F_ERR(err));
	}
	if (is_read(request, result, err))
		schedule_note(service->schedule, source, result == 0 && report.complete);
	run_report_finish(&report);
	return result;
}

static int sync_all(struct service *service, struct configuration *running,
		    struct configuration *preview, const struct sync_request *request,
		    const struct actor *actor, struct run *run, struct err *err)
{
	const struct configuration *config = preview ? preview : running;
	struct err first = { 0 };
	int result = 0;

	for (size_t i = 0; i < config->setup.source_count && !run_cancelled(run); i++) {
		const struct source_settings *source = config->setup.sources[i];

		if (!source->enabled || !source_is_read(source))
			continue;
		err_clear(err);
		if (sync_one(service, running, preview, source->name.text, request, actor, run,
			     err) == 0)
			continue;
		/* One source that fails must not keep the others from being read. */
		if (result == 0)
			first = *err;
		result = -1;
	}
	if (result < 0)
		*err = first;
	else if (run_cancelled(run))
		return err_set(err, ERR_CANCELLED, "not every source was read");
	return result;
}

/* --- one person --- */

static int sync_person_of(struct service *service, struct configuration *running,
			  const struct sync_request *request, const struct identity_row *identity,
			  const struct actor *actor, struct run *run, struct err *err)
{
	struct run_report report;
	int result;

	if (is_followers(running, request, identity->source))
		return follow_sync(service->follow, identity->source, identity->key, run, err);
	run_report_init(&report);
	result = source_sync_person(service->changer, running, identity->source, identity->key,
				    actor, run, &report, err);
	if (result == 0)
		result = run_add_report(run, identity->source, &report, err);
	run_report_finish(&report);
	return result;
}

/* And what is theirs by a person's word alone, never read so far. */
static int add_links(struct store *store, int64_t user_id, struct arena *arena,
		     struct identity_row **rows, size_t *count, struct err *err)
{
	struct identity_row *all;
	struct link_row *links;
	size_t link_count;

	if (store_links_of(store, user_id, arena, &links, &link_count, err) < 0)
		return -1;
	all = arena_alloc_array(arena, *count + link_count + 1, sizeof(*all));
	if (!all)
		return err_set(err, ERR_MEMORY, "out of memory");
	for (size_t i = 0; i < *count; i++)
		all[i] = (*rows)[i];
	for (size_t i = 0; i < link_count; i++)
		all[(*count)++] =
			(struct identity_row){ .source = links[i].source, .key = links[i].key };
	*rows = all;
	return 0;
}

/* Somebody of another organization is not there for who asks. */
static int check_person(struct service *service, struct store *store, const struct actor *actor,
			const struct user *user, struct arena *arena, struct err *err)
{
	struct setup *setup = changer_setup(service->changer);
	struct authority authority;
	int result = authority_of_actor(store, setup, actor, clock_now_s(), arena, &authority, err);

	if (result == 0)
		result = authority_require_organization(&authority, user->organization, "such user",
							err);
	setup_release(setup);
	return result;
}

/* Identities of the person, as the store has them. */
static int find_person(struct service *service, const char *user, const struct actor *actor,
		       struct arena *arena, struct identity_row **ret_rows, size_t *ret_count,
		       struct err *err)
{
	struct store *store = store_open(changer_store_path(service->changer), STORE_READ, err);
	struct user found;
	int result = -1;

	if (!store)
		return -1;
	if (user_resolve(store, user, arena, &found, err) == 0 &&
	    check_person(service, store, actor, &found, arena, err) == 0 &&
	    store_identities_of(store, found.id, arena, ret_rows, ret_count, err) == 0)
		result = add_links(store, found.id, arena, ret_rows, ret_count, err);
	store_close(store);
	return result;
}

/* May this source be asked for one person? Others are read as a whole, or speak at sign-in. */
static bool is_asked_for_person(const struct configuration *running,
				const struct sync_request *request, const char *name)
{
	const struct source_settings *source;

	if (request->source)
		return strcmp(request->source, name) == 0;
	source = setup_find_source(&running->setup, name);
	return source && source->enabled && strcmp(source->type.text, "ldap") == 0;
}

static int sync_person(struct service *service, struct configuration *running,
		       const struct sync_request *request, const struct actor *actor,
		       struct run *run, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(PERSON_MAX_BYTES);
	struct identity_row *rows = NULL;
	size_t count = 0, asked = 0;

	if (!arena)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (find_person(service, request->user, actor, arena, &rows, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (!is_asked_for_person(running, request, rows[i].source))
			continue;
		asked++;
		if (sync_person_of(service, running, request, &rows[i], actor, run, err) < 0)
			return err_wrap(err, "source '%s'", rows[i].source);
	}
	if (asked == 0)
		return err_refuse(err, ERR_NOT_FOUND, "not-found",
				  "'%s' comes from no directory that could be asked",
				  request->user);
	return 0;
}

/* --- as it was asked --- */

int service_sync(void *context, struct run *run, const struct sync_request *request,
		 const struct actor *actor, struct err *err)
{
	struct service *service = context;
	struct configuration *running, *preview = NULL;
	struct setup *setup;
	int result;

	if (request->file_count > 0 &&
	    service_load_files(service, request->files, request->file_count, run, &preview, err) <
		    0)
		return -1;
	if (request->rule && define_preview(service->changer, service->config_path, request->rule,
					    &preview, err) < 0)
		return -1;
	setup = changer_setup(service->changer);
	running = configuration_of(setup);
	if (request->user)
		result = sync_person(service, running, request, actor, run, err);
	else if (request->source)
		result = sync_one(service, running, preview, request->source, request, actor, run,
				  err);
	else
		result = sync_all(service, running, preview, request, actor, run, err);
	setup_release(setup);
	if (preview)
		setup_release(&preview->setup);
	return result;
}
