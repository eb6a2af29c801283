/*
 * Start-up, signals, reload, drain, and what the API asks of main (ports).
 *
 * Order of start-up: configuration → store (rolls forward what a crash left)
 * → control socket → ready → schedule. Nothing is answered before the store is whole. Drain is
 * the reverse: runs are cancelled, the socket ends, accepted changes are committed.
 */
#include "service.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <rolebridge/api/api.h>
#include <rolebridge/auth/decisions.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/file.h>
#include <rolebridge/base/log.h>
#include <rolebridge/base/util.h>
#include <rolebridge/base/version.h>
#include <rolebridge/change/authority.h>
#include <rolebridge/http/server.h>

#include "authorized_keys.h"
#include "configuration.h"
#include "define.h"
#include "figures.h"
#include "follow.h"
#include "idp.h"
#include "inherited.h"
#include "lockout.h"
#include "mailer.h"
#include "retention.h"
#include "schedule.h"
#include "sources.h"
#include "targets.h"
#include "trial.h"
#include "upgrade.h"
#include "website.h"

#define DRAIN_MS 10000
#define REGISTRY_MAX_BYTES (64u * 1024 * 1024)
#define DEFINITIONS_MAX_BYTES (512u * 1024 * 1024)
#define PERSON_MAX_BYTES (64u * 1024 * 1024)

struct service {
	const char *config_path;
	int64_t started_s;
	struct changer *changer;
	struct runs *runs;
	struct api *api;
	struct http_router *router;
	struct http_server *control;
	struct schedule *schedule;
	struct follow *follow;
	struct website *website;
	struct decisions *decisions;
	struct mailer *mailer;
	struct targets *targets;
	struct retainer *retainer;
	struct authorized_keys *authorized_keys;
	struct located control_path; /* of the listening socket: kept across reloads */
	int control_fd;
	bool control_inherited;	     /* systemd's: its file stays */
	int lock_fd;		     /* beside the store: one daemon at a time */
	pthread_mutex_t reload_lock; /* one reload at a time */
	atomic_bool ready;	     /* everything is up */
	atomic_bool reload_asked;    /* by a signal, and no reload has begun to read since */
	bool definitions_incomplete; /* by reload_lock */
};

/* --- the configuration in force --- */

static int load_known_groups(struct store *store, struct group_registry *registry, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(REGISTRY_MAX_BYTES);
	struct group_registry_row *rows;
	uint32_t next_id;
	size_t count;

	if (!arena)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (store_groups_load(store, arena, &rows, &count, &next_id, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		struct group group = {
			.id = rows[i].id,
			.name = rows[i].name,
			.found = rows[i].found,
			.vanished = rows[i].vanished,
			.released = rows[i].released,
		};

		if (group_registry_load(registry, &group, err) < 0)
			return -1;
	}
	group_registry_set_next_id(registry, next_id);
	return 0;
}

static void report_findings(const struct diagnostics *list, const struct document *document)
{
	if (diagnostics_count(list) > 0)
		diagnostics_print(list, document, stderr);
}

/* Files may drop what rules of the store name. A reload is refused then; a start has nothing to go on with. */
static struct configuration *load_leniently(const char *path, struct definition_list *definitions)
{
	AUTO(diagnostics) struct diagnostics *unheard = diagnostics_create();

	definitions->lenient = true;
	return unheard ? configuration_load(path, NULL, 0, NULL, definitions, unheard, NULL) : NULL;
}

/* Only the store's path is needed before group numbers can be read: two passes over the files. */
static struct configuration *load_first(const char *path, struct err *err)
{
	AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
	AUTO(document) struct document *document = NULL;
	AUTO(arena) struct arena *arena = arena_create(DEFINITIONS_MAX_BYTES);
	struct definition_list *definitions;
	struct configuration *config;

	if (!list || !arena) {
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	if (configuration_definitions(path, arena, &definitions, err) < 0)
		return NULL;
	config = configuration_load(path, NULL, 0, NULL, definitions, list, &document);
	if (!config && definitions)
		config = load_leniently(path, definitions);
	if (config)
		return config;
	report_findings(list, document);
	err_refuse(err, ERR_INVALID, "invalid-config", "configuration '%s' has %zu error(s)", path,
		   diagnostics_errors(list));
	return NULL;
}

/*
 * What is known of identities is kept in memory: a second daemon on the same store would lie to both. And what an
 * older version defined in it must be there before the files are read, which may name it.
 */
static int prepare_store(const char *config_path, struct arena *arena, const char **ret_store,
			 int *ret_lock_fd, struct err *err)
{
	AUTO(strbuf) struct strbuf copy = STRBUF(PATH_MAX);
	int result = upgrade_configured(config_path, arena, ret_store, ret_lock_fd, &copy, err);

	if (copy.size > 0)
		log_info("start.store-copied", F_STR("copy", strbuf_text(&copy)));
	return result < 0 ? -1 : 0;
}

/* What the store defines; the first time, what we ship is put there. */
static int load_definitions(struct store *store, const struct definition_list *seeds,
			    struct arena *arena, struct definition_list *ret_list, struct err *err)
{
	struct definition *rows;
	bool seeded;
	size_t count;

	if (store_begin(store, err) < 0)
		return -1;
	if (definitions_seeded(store, arena, &seeded, err) < 0 ||
	    (!seeded && definitions_seed(store, seeds, clock_now_s(), err) < 0) ||
	    store_definitions_load(store, arena, &rows, &count, err) < 0 ||
	    store_commit(store, err) < 0) {
		store_rollback(store);
		return -1;
	}
	return definitions_of_rows(rows, count, arena, ret_list, err);
}

static struct configuration *load_with_groups(const char *path, int *ret_lock_fd, struct err *err)
{
	struct group_registry *registry = group_registry_create();
	struct configuration *first = NULL, *config = NULL;
	AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
	AUTO(arena) struct arena *arena = arena_create(DEFINITIONS_MAX_BYTES);
	struct definition_list definitions;
	struct store *store = NULL;
	const char *locked = NULL;

	if (!registry || !list || !arena) {
		err_set(err, ERR_MEMORY, "out of memory");
		goto out;
	}
	if (prepare_store(path, arena, &locked, ret_lock_fd, err) < 0 ||
	    !(first = load_first(path, err)))
		goto out;
	if (!locked && upgrade_lock(first->settings.store.text, ret_lock_fd, err) < 0)
		goto out;
	if (locked && strcmp(locked, first->settings.store.text) != 0) {
		err_refuse(err, ERR_INVALID, "invalid-config",
			   "configuration '%s' changed while it was read", path);
		goto out;
	}
	store = store_open(first->settings.store.text, STORE_WRITE, err);
	if (!store || load_known_groups(store, registry, err) < 0 ||
	    load_definitions(store, &first->definitions, arena, &definitions, err) < 0)
		goto out;
	definitions.lenient = first->definitions.lenient;
	config = configuration_load(path, NULL, 0, registry, &definitions, list, NULL);
	if (config && strcmp(config->settings.store.text, first->settings.store.text) != 0) {
		/* The lock is on the other store. */
		setup_release(&config->setup);
		config = NULL;
	}
	if (!config)
		err_refuse(err, ERR_INVALID, "invalid-config",
			   "configuration '%s' changed while it was read", path);
	else
		report_findings(list, config->document);
out:
	store_close(store);
	group_registry_destroy(registry);
	if (first)
		setup_release(&first->setup);
	return config;
}

/* --- ports: what the API asks of main --- */

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

/* As it is now; the store that is open counts, whatever files say. */
static int present_definitions(struct service *service, struct arena *arena,
			       struct definition_list *ret_list, struct err *err)
{
	struct definition *rows;
	bool seeded;
	size_t count;

	if (definitions_read(changer_store_path(service->changer), arena, &rows, &count, &seeded,
			     err) < 0)
		return -1;
	if (definitions_of_rows(rows, count, arena, ret_list, err) < 0)
		return -1;
	return definitions_know_personas(changer_store_path(service->changer), arena, ret_list,
					 err);
}

static int load_files(struct service *service, const struct document_file *files, size_t count,
		      struct run *run, struct configuration **ret_config, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(DEFINITIONS_MAX_BYTES);
	struct definition_list definitions;
	AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
	AUTO(document) struct document *document = NULL;
	AUTO(strbuf) struct strbuf findings = STRBUF(4 * 1024 * 1024);
	struct setup *setup;

	if (!list || !arena)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (present_definitions(service, arena, &definitions, err) < 0)
		return -1;
	setup = changer_setup(service->changer);
	*ret_config = configuration_load(service->config_path, files, count, setup->registry,
					 &definitions, list, &document);
	setup_release(setup);
	diagnostics_json(list, *ret_config ? (*ret_config)->document : document, &findings);
	if (!strbuf_failed(&findings))
		run_set_diagnostics(run, strbuf_text(&findings));
	if (*ret_config)
		return 0;
	if (!files)
		report_findings(list, document);
	return err_refuse(err, ERR_INVALID, "invalid-config", "the configuration has %zu error(s)",
			  diagnostics_errors(list));
}

static int port_sync(void *context, struct run *run, const struct sync_request *request,
		     const struct actor *actor, struct err *err)
{
	struct service *service = context;
	struct configuration *running, *preview = NULL;
	struct setup *setup;
	int result;

	if (request->file_count > 0 &&
	    load_files(service, request->files, request->file_count, run, &preview, err) < 0)
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

static int port_test(void *context, struct run *run, const struct test_request *request,
		     struct strbuf *result, struct err *err)
{
	struct service *service = context;
	struct setup *setup = changer_setup(service->changer);
	int status = source_try(configuration_of(setup), request, run, result, err);

	setup_release(setup);
	return status;
}

/* Paths that belong to what is open cannot change while running: say so, keep the old ones. */
static void warn_of_fixed(const struct service *service, const struct configuration *config)
{
	if (strcmp(config->settings.store.text, changer_store_path(service->changer)) != 0)
		log_warning("reload.needs-restart", F_STR("option", "store"));
	if (strcmp(config->settings.control_socket.text, service->control_path.text) != 0)
		log_warning("reload.needs-restart", F_STR("option", "control_socket"));
}

static void configure_decisions(struct service *service, struct configuration *config)
{
	struct err err = { 0 };

	if (decisions_configure(service->decisions, &config->settings.web, &err) < 0)
		log_error("reload.decisions", F_ERR(&err));
}

/* What follows a new setup, whether files or definitions made it. */
static void configure_targets(struct service *service)
{
	struct err err = { 0 };

	if (service->targets && targets_reload(service->targets, &err) < 0)
		log_error("targets.failed", F_ERR(&err));
}

static void follow_configuration(struct service *service, struct configuration *config)
{
	website_configure(service->website, config);
	authorized_keys_configure(service->authorized_keys, config);
	configure_decisions(service, config);
	follow_configure(service->follow, config);
	schedule_reload(service->schedule);
	configure_targets(service);
}

/* It ends with the first start or reload for which all is declared. */
static void alarm_definitions(struct service *service, bool broken, const char *cause)
{
	struct err err = { 0 };
	int result;

	result = broken ? change_alarm_raise(
				  service->changer, "definitions-incomplete", "store",
				  "definitions of the store name what nothing declares any "
				  "more; reloads are refused until that is put right, "
				  "and 'rolebridged --check' says what it is",
				  &err)
			: change_alarm_end(service->changer, "definitions-incomplete", "store",
					   cause, &err);
	if (result < 0)
		log_error("definitions.alarm", F_ERR(&err));
	service->definitions_incomplete = broken;
}

static int reload_locked(struct service *service, struct run *run, const struct actor *actor,
			 struct err *err)
{
	struct configuration *config;
	struct run_report report;
	int result;

	if (load_files(service, NULL, 0, run, &config, err) < 0)
		return -1;
	warn_of_fixed(service, config);
	lockout_log(changer_store_path(service->changer), config);
	run_progress(run, "applying", 0, 0);
	run_report_init(&report);
	run_watch_applying(run, &report);
	result = changer_reload(service->changer, &config->setup, actor, &report, err);
	if (result == 0) {
		log_set_level((enum log_level)config->settings.log_level);
		source_log_run("rules", &report);
		result = run_add_report(run, "rules", &report, err);
		follow_configuration(service, config);
		if (service->definitions_incomplete)
			alarm_definitions(service, false, "reload");
	}
	run_report_finish(&report);
	setup_release(&config->setup);
	return result;
}

static int port_reload(void *context, struct run *run, const struct actor *actor, struct err *err)
{
	struct service *service = context;
	int result;

	sd_notify(0, "RELOADING=1");
	pthread_mutex_lock(&service->reload_lock);
	service->reload_asked = false;
	result = reload_locked(service, run, actor, err);
	pthread_mutex_unlock(&service->reload_lock);
	sd_notify(0, "READY=1");
	figures_note_reload(result == 0);
	if (result < 0)
		log_error("reload.refused", F_ERR(err));
	else
		log_info("reload.done", F_STR("actor", actor->name));
	return result;
}

static int port_define(void *context, const struct define_request *request,
		       const struct actor *actor, struct define_result *ret_result, struct err *err)
{
	struct service *service = context;
	struct configuration *config;
	int result;

	pthread_mutex_lock(&service->reload_lock);
	result = define_carry_out(service->changer, service->config_path, request, actor,
				  ret_result, &config, err);
	if (config) {
		follow_configuration(service, config);
		setup_release(&config->setup);
	}
	pthread_mutex_unlock(&service->reload_lock);
	return result;
}

static int port_metadata(void *context, const struct metadata_question *question,
			 struct arena *arena, struct metadata_answer *ret_answer, struct err *err)
{
	const struct saml_blob xml = { question->xml, question->size };
	char fingerprint[IDP_FINGERPRINT_SIZE];
	struct saml_idp idp;

	(void)context;
	if (idp_judge(&xml, question->entity_id, question->signer, clock_now_s(), arena, &idp,
		      err) < 0)
		return -1;
	idp_fingerprint(question->xml, question->size, fingerprint);
	ret_answer->entity_id = idp.entity_id;
	ret_answer->fingerprint = arena_strdup(arena, fingerprint);
	return ret_answer->fingerprint ? 0 : err_set(err, ERR_MEMORY, "out of memory");
}

static int port_check(void *context, const struct document_file *files, size_t count,
		      struct strbuf *findings, struct err *err)
{
	struct service *service = context;
	AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
	AUTO(document) struct document *document = NULL;
	AUTO(arena) struct arena *arena = arena_create(DEFINITIONS_MAX_BYTES);
	struct definition_list definitions;
	struct configuration *config;

	if (!list || !arena)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (present_definitions(service, arena, &definitions, err) < 0)
		return -1;
	config = configuration_load(service->config_path, files, count, NULL, &definitions, list,
				    &document);
	if (config)
		lockout_warn(changer_store_path(service->changer), config, list);
	diagnostics_json(list, config ? config->document : document, findings);
	if (!config)
		return err_refuse(err, ERR_INVALID, "invalid-config",
				  "the configuration has %zu error(s)", diagnostics_errors(list));
	setup_release(&config->setup);
	return 0;
}

static void port_status(void *context, struct json *json)
{
	struct service *service = context;
	struct setup *setup = changer_setup(service->changer);

	json_string(json, "version", ROLEBRIDGE_VERSION);
	json_time(json, "started", service->started_s);
	json_string(json, "config", service->config_path);
	json_int(json, "rules", (int64_t)ruleset_count(configuration_of(setup)->rules));
	setup_release(setup);
}

static void port_source_status(void *context, const char *source, struct json *json)
{
	struct service *service = context;

	schedule_source_json(service->schedule, source, json);
	follow_source_json(service->follow, source, json);
}

static int port_targets(void *context, struct store *store, const char *name, bool *ret_found,
			struct json *json, struct err *err)
{
	struct service *service = context;

	return targets_show(service->targets, store, name, ret_found, json, err);
}

static int port_compare_target(void *context, struct run *run, const struct target_request *request,
			       const struct actor *actor, struct strbuf *result, struct err *err)
{
	struct service *service = context;

	return targets_compare(service->targets, service->changer, run, request, actor, result,
			       err);
}

static bool port_config_path(void *context, unsigned file, struct strbuf *out)
{
	struct service *service = context;
	struct setup *setup = changer_setup(service->changer);
	const char *path = document_file_path(configuration_of(setup)->document, file);

	if (path)
		strbuf_puts(out, path);
	setup_release(setup);
	return path != NULL;
}

/* --- signals --- */

static int reload_run(struct run *run, void *context, struct err *err)
{
	struct actor actor = { .name = "signal:HUP", .request = run_id(run) };

	return port_reload(context, run, &actor, err);
}

/* One reload that has not begun answers for every signal until then: a storm of them is two reloads. */
static void start_reload(struct service *service)
{
	char id[UUID_TEXT_SIZE];
	struct err err = { 0 };

	if (atomic_exchange(&service->reload_asked, true))
		return;
	if (runs_start(service->runs, "reload", "", "signal:HUP", reload_run, service, NULL, id,
		       &err) == 0)
		return;
	service->reload_asked = false;
	log_error("reload.refused", F_ERR(&err));
}

/* Blocked in every thread from the start; read from a descriptor by the first. */
static int open_signals(struct err *err)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	signal(SIGPIPE, SIG_IGN);
	/* Whoever started us may have ignored it, and workers are waited for. */
	signal(SIGCHLD, SIG_DFL);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (fd < 0)
		return err_set_errno(err, ERR_IO, errno, "cannot open signalfd");
	return fd;
}

/* Until SIGTERM or SIGINT. The watchdog is fed only while this loop lives. */
static void wait_for_end(struct service *service, int signals)
{
	uint64_t watchdog_us = 0;
	int timeout_ms = -1;
	struct signalfd_siginfo info;

	if (sd_watchdog_enabled(0, &watchdog_us) > 0)
		timeout_ms = (int)(watchdog_us / 2000);
	for (;;) {
		struct pollfd ready = { .fd = signals, .events = POLLIN };
		int events = poll(&ready, 1, timeout_ms);

		sd_notify(0, "WATCHDOG=1");
		if (events <= 0)
			continue;
		if (read(signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
			continue;
		if (info.ssi_signo != SIGHUP)
			return;
		start_reload(service);
	}
}

/* --- start and end --- */

/*
 * The group does not exist, or we are no member of it, or the socket unit says another one: its people would be refused
 * without a word.
 */
static void warn_of_private_socket(const struct service *service, const char *group)
{
	if (!http_unix_is_open_to(service->control_path.text, group))
		log_warning("start.socket-private", F_STR("socket", service->control_path.text),
			    F_STR("group", group));
}

static int port_door(void *context, const char *address, int64_t until_s, struct strbuf *url,
		     struct err *err)
{
	struct service *service = context;
	struct setup *setup = changer_setup(service->changer);
	int result = website_open_door(service->website, configuration_of(setup), address, until_s,
				       url, err);

	setup_release(setup);
	return result;
}

static bool port_is_served(void *context)
{
	struct service *service = context;

	return website_is_served(service->website);
}

static int listen_control(struct service *service, const char *group, struct err *err)
{
	const char *path = service->control_path.text;

	service->control_inherited = inherited_has("control");
	return service->control_inherited
		       ? inherited_open_unix("control", path, &service->control_fd, err)
		       : http_listen_unix(path, group, &service->control_fd, err);
}

static int open_control(struct service *service, const struct settings *settings, struct err *err)
{
	const struct api_settings api_settings = {
		.changer = service->changer,
		.runs = service->runs,
		.ports = { .context = service,
			   .sync = port_sync,
			   .test = port_test,
			   .reload = port_reload,
			   .check = port_check,
			   .define = port_define,
			   .metadata = port_metadata,
			   .status = port_status,
			   .source_status = port_source_status,
			   .targets = port_targets,
			   .compare_target = port_compare_target,
			   .config_path = port_config_path,
			   .door = port_door,
			   .is_served = port_is_served },
		.admin_group = settings->control_group.text,
		.web = website_web(service->website),
		.bearers = website_bearers(service->website),
		.decisions = service->decisions,
	};
	struct http_settings http_settings = {
		.name = "control",
		.threading = HTTP_THREAD_PER_CONNECTION,
	};

	service->api = api_create(&api_settings, err);
	service->router = service->api ? http_router_create() : NULL;
	if (!service->router)
		return service->api ? err_set(err, ERR_MEMORY, "out of memory") : -1;
	if (api_add_control_routes(service->api, service->router, err) < 0 ||
	    website_add_api(service->website, service->api, err) < 0 ||
	    website_add_door(service->website, &api_settings, err) < 0 ||
	    listen_control(service, settings->control_group.text, err) < 0)
		return -1;
	warn_of_private_socket(service, settings->control_group.text);
	http_settings.listen_fd = service->control_fd;
	http_settings.router = service->router;
	service->control = http_server_start(&http_settings, err);
	return service->control ? 0 : -1;
}

static bool is_ready(void *context)
{
	struct service *service = context;

	return atomic_load(&service->ready);
}

/* Rules that changed while the daemon was down: everybody is looked at again, under the same limits. */
static int reevaluate_if_due(struct service *service, struct configuration *config, struct err *err)
{
	const struct actor actor = { .name = "start", .request = "" };
	struct run_report report;
	bool due;
	int result;

	if (changer_reload_due(service->changer, &due, err) < 0)
		return -1;
	if (!due)
		return 0;
	run_report_init(&report);
	result = changer_reload(service->changer, &config->setup, &actor, &report, err);
	if (result == 0)
		source_log_run("rules", &report);
	run_report_finish(&report);
	return result;
}

static void write_metrics(void *context, struct strbuf *out)
{
	struct service *service = context;

	figures_write(service->changer, service->started_s, out);
	follow_metrics(service->follow, out);
	if (service->mailer)
		mailer_metrics(service->mailer, out);
	targets_write_metrics(service->targets, service->changer, out);
	authorized_keys_metrics(service->authorized_keys, out);
}

static int start_authorized_keys(struct service *service, struct configuration *config,
				 struct err *err)
{
	service->authorized_keys =
		authorized_keys_create(service->changer, website_sessions(service->website));
	if (!service->authorized_keys)
		return err_set(err, ERR_MEMORY, "out of memory");
	authorized_keys_configure(service->authorized_keys, config);
	return 0;
}

static int start(struct service *service, struct err *err)
{
	struct configuration *config =
		load_with_groups(service->config_path, &service->lock_fd, err);
	char *control_path;
	int result = -1;

	if (!config)
		return -1;
	log_set_level((enum log_level)config->settings.log_level);
	control_path = strdup(config->settings.control_socket.text);
	service->control_path.text = control_path;
	service->changer = changer_open(config->settings.store.text, &config->setup, err);
	service->runs = runs_create();
	if (!service->changer || reevaluate_if_due(service, config, err) < 0)
		goto out;
	alarm_definitions(service, config->definitions.lenient, "start");
	service->schedule = schedule_create(service->changer, service->runs, port_sync, service);
	service->follow = follow_create(service->changer);
	if (!control_path || !service->runs || !service->schedule || !service->follow) {
		err_set(err, ERR_MEMORY, "out of memory");
		goto out;
	}
	service->website =
		website_create(service->changer, config, is_ready, write_metrics, service, err);
	if (!service->website)
		goto out;
	service->decisions = decisions_create(service->changer, &config->settings.web, err);
	if (!service->decisions || start_authorized_keys(service, config, err) < 0)
		goto out;
	service->targets = targets_begin(service->changer, err);
	if (!service->targets)
		goto out;
	result = open_control(service, &config->settings, err);
	if (result == 0)
		result = schedule_start(service->schedule, err);
	if (result == 0)
		follow_configure(service->follow, config);
	if (result == 0) {
		service->mailer =
			mailer_start(service->changer, website_tickets(service->website), err);
		result = service->mailer ? 0 : -1;
	}
	if (result == 0) {
		service->retainer = retainer_start(service->changer, err);
		result = service->retainer ? 0 : -1;
	}
	if (result == 0)
		result = website_start(service->website, config, err);
	if (result == 0)
		atomic_store(&service->ready, true);
out:
	setup_release(&config->setup);
	return result;
}

static void stop(struct service *service)
{
	atomic_store(&service->ready, false);
	changer_stop(service->changer);
	schedule_stop(service->schedule);
	follow_stop(service->follow);
	mailer_stop(service->mailer);
	targets_stop(service->targets);
	retainer_stop(service->retainer);
	authorized_keys_stop(service->authorized_keys);
	/* First: whoever waits for a run to end is waited for. */
	if (service->runs)
		runs_cancel(service->runs);
	website_stop(service->website, DRAIN_MS);
	if (service->control && !service->control_inherited)
		http_unlisten_unix(service->control_path.text, service->control_fd);
	http_server_stop(service->control, DRAIN_MS);
	runs_destroy(service->runs);
	api_destroy(service->api);
	http_router_destroy(service->router);
	schedule_destroy(service->schedule);
	follow_destroy(service->follow);
	mailer_destroy(service->mailer);
	retainer_destroy(service->retainer);
	authorized_keys_destroy(service->authorized_keys);
	website_destroy(service->website);
	decisions_destroy(service->decisions);
	changer_close(service->changer);
	/* Told of what is queued until then. */
	targets_destroy(service->targets);
	free((char *)(uintptr_t)service->control_path.text);
	pthread_mutex_destroy(&service->reload_lock);
	if (service->lock_fd >= 0)
		close(service->lock_fd);
}

int service_run(const char *config_path)
{
	struct service service = {
		.config_path = config_path,
		.started_s = clock_now_s(),
		.control_fd = -1,
		.lock_fd = -1,
		.reload_lock = PTHREAD_MUTEX_INITIALIZER,
	};
	struct err err = { 0 };
	AUTO(fd) int signals = open_signals(&err);
	int status = 1;

	if (signals < 0 || start(&service, &err) < 0) {
		log_error("start.failed", F_ERR(&err));
	} else {
		log_info("start.ready", F_STR("version", ROLEBRIDGE_VERSION),
			 F_STR("socket", service.control_path.text));
		sd_notify(0, "READY=1");
		wait_for_end(&service, signals);
		log_info("stop.draining");
		sd_notify(0, "STOPPING=1");
		status = 0;
	}
	stop(&service);
	if (status == 0)
		log_info("stop.done");
	return status;
}
