/*
 * Another configuration in force: files read again, or what people defined in the store.
 *
 * Enters: a request of the API or a signal. Leaves: the configuration in force, and every part of the daemon told of it. Fails
 * with what was in force before. What a part cannot follow of a new one is logged, and it goes on with what it had.
 */
#include "service_parts.h"

#include <string.h>
#include <systemd/sd-daemon.h>

#include <rolebridge/auth/decisions.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/log.h>
#include <rolebridge/base/util.h>

#include "authorized_keys.h"
#include "define.h"
#include "definitions.h"
#include "figures.h"
#include "follow.h"
#include "lockout.h"
#include "schedule.h"
#include "sources.h"
#include "targets.h"
#include "website.h"

#define DEFINITIONS_MAX_BYTES (512u * 1024 * 1024)

/* --- read, and not yet in force --- */

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

int service_load_files(struct service *service, const struct document_file *files, size_t count,
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
		configuration_report(list, document);
	return err_refuse(err, ERR_INVALID, "invalid-config", "the configuration has %zu error(s)",
			  diagnostics_errors(list));
}

int service_check(void *context, const struct document_file *files, size_t count,
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

/* --- in force --- */

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

static void put_in_force(struct service *service, struct configuration *config)
{
	website_configure(service->website, config);
	authorized_keys_configure(service->authorized_keys, config);
	configure_decisions(service, config);
	follow_configure(service->follow, config);
	schedule_reload(service->schedule);
	configure_targets(service);
}

/* It ends with the first start or reload for which all is declared. */
void service_alarm_definitions(struct service *service, bool broken, const char *cause)
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

	if (service_load_files(service, NULL, 0, run, &config, err) < 0)
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
		put_in_force(service, config);
		if (service->definitions_incomplete)
			service_alarm_definitions(service, false, "reload");
	}
	run_report_finish(&report);
	setup_release(&config->setup);
	return result;
}

/* While it starts the lock is not to be had; once it ends there is nothing any more to be told of a configuration. */
static int check_running(const struct service *service, struct err *err)
{
	return atomic_load(&service->ready) ? 0 : err_set(err, ERR_UNAVAILABLE, "the daemon ends");
}

int service_reload(void *context, struct run *run, const struct actor *actor, struct err *err)
{
	struct service *service = context;
	int result;

	pthread_mutex_lock(&service->reload_lock);
	service->reload_asked = false;
	result = check_running(service, err);
	if (result == 0) {
		sd_notifyf(
			0,
			"RELOADING=1\nMONOTONIC_USEC=%lld\nSTATUS=Reading the configuration again",
			(long long)clock_monotonic_us());
		result = reload_locked(service, run, actor, err);
		figures_note_reload(result == 0);
		if (atomic_load(&service->ready))
			sd_notify(0,
				  result == 0
					  ? "READY=1\nSTATUS=Running"
					  : "READY=1\nSTATUS=Running; the last reload was refused, "
					    "the log says why");
	}
	pthread_mutex_unlock(&service->reload_lock);
	if (result < 0)
		log_error("reload.refused", F_ERR(err));
	else
		log_info("reload.done", F_STR("actor", actor->name));
	return result;
}

int service_define(void *context, const struct define_request *request, const struct actor *actor,
		   struct define_result *ret_result, struct err *err)
{
	struct service *service = context;
	struct configuration *config = NULL;
	int result;

	pthread_mutex_lock(&service->reload_lock);
	result = check_running(service, err);
	if (result == 0)
		result = define_carry_out(service->changer, service->config_path, request, actor,
					  ret_result, &config, err);
	if (config) {
		put_in_force(service, config);
		setup_release(&config->setup);
	}
	pthread_mutex_unlock(&service->reload_lock);
	return result;
}

/* --- asked for by a signal --- */

static int reload_run(struct run *run, void *context, struct err *err)
{
	struct actor actor = { .name = "signal:HUP", .request = run_id(run) };

	return service_reload(context, run, &actor, err);
}

/* One reload that has not begun answers for every signal until then: a storm of them is two reloads. */
void service_start_reload(struct service *service)
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
