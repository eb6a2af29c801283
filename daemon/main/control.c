/*
 * The control socket, and what the API behind it asks of main (ports).
 *
 * Enters: the parts of the daemon that answer. Leaves: a server that speaks the API to whom the socket lets in. Fails when the
 * socket cannot be had; that its group cannot have it is only logged.
 */
#include "service_parts.h"

#include <rolebridge/base/clock.h>
#include <rolebridge/base/log.h>
#include <rolebridge/base/version.h>
#include <rolebridge/http/server.h>

#include "follow.h"
#include "idp.h"
#include "inherited.h"
#include "schedule.h"
#include "sources.h"
#include "targets.h"
#include "trial.h"
#include "website.h"

/* --- ports --- */

static int port_test(void *context, struct run *run, const struct test_request *request,
		     struct strbuf *result, struct err *err)
{
	struct service *service = context;
	struct setup *setup = changer_setup(service->changer);
	int status = source_try(configuration_of(setup), request, run, result, err);

	setup_release(setup);
	return status;
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

/* --- the socket --- */

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

static int listen_control(struct service *service, const char *group, struct err *err)
{
	const char *path = service->control_path.text;

	service->control_inherited = inherited_has("control");
	return service->control_inherited
		       ? inherited_open_unix("control", path, &service->control_fd, err)
		       : http_listen_unix(path, group, &service->control_fd, err);
}

int control_open(struct service *service, const struct settings *settings, struct err *err)
{
	const struct api_settings api_settings = {
		.changer = service->changer,
		.runs = service->runs,
		.ports = { .context = service,
			   .sync = service_sync,
			   .test = port_test,
			   .reload = service_reload,
			   .check = service_check,
			   .define = service_define,
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

void control_close(struct service *service, int64_t drain_ms)
{
	if (service->control && !service->control_inherited)
		http_unlisten_unix(service->control_path.text, service->control_fd);
	http_server_stop(service->control, drain_ms);
}
