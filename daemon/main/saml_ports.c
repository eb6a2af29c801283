/*
 * The questions of the web side. Enters: questions by the name of a source. Leaves: answers of workers. Fails: there
 * is no such source, it has no workers, or the IdP's metadata has ended.
 */
#include <stdio.h>
#include <string.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>

#include "saml_state.h"
#include "trace.h"

/* The present state and the number of a source in it. ERR_NOT_FOUND, ERR_UNAVAILABLE: there are no workers. */
static struct saml_state *find(struct saml_service *service, const char *source, size_t *ret_number,
			       struct err *err)
{
	struct saml_state *state = saml_state_take(service);

	for (size_t i = 0; state && i < state->count; i++) {
		if (strcmp(state->views[i].name, source) != 0)
			continue;
		if (state->pool) {
			*ret_number = i;
			return state;
		}
		saml_state_give(service, state);
		err_refuse(err, ERR_UNAVAILABLE, "saml-unavailable",
			   "there are no SAML workers: the service provider's key "
			   "cannot be used");
		return NULL;
	}
	saml_state_give(service, state);
	err_refuse(err, ERR_NOT_FOUND, "not-found", "there is no SAML source '%s'", source);
	return NULL;
}

static bool has_expired(const struct saml_state *state, size_t i)
{
	return state->until_s[i] != 0 && clock_now_s() >= state->until_s[i];
}

/* As find, for what needs the IdP: at the very second, not only when workers are made anew. */
static struct saml_state *find_valid(struct saml_service *service, const char *source,
				     size_t *ret_number, struct err *err)
{
	struct saml_state *state = find(service, source, ret_number, err);

	if (!state || !has_expired(state, *ret_number))
		return state;
	saml_state_give(service, state);
	err_refuse(err, ERR_UNAVAILABLE, "idp-unavailable", "the IdP's metadata has expired");
	return NULL;
}

static bool port_source(void *context, size_t i, struct arena *arena,
			struct saml_source_view *ret_view)
{
	struct saml_service *service = context;
	struct saml_state *state = saml_state_take(service);
	bool found = state && i < state->count;

	if (found) {
		*ret_view = state->views[i];
		ret_view->name = arena_strdup(arena, state->views[i].name);
		found = ret_view->name != NULL;
	}
	saml_state_give(service, state);
	return found;
}

static int refuse_expired(struct saml_assertion *ret_assertion, struct saml_refusal *ret_refusal)
{
	*ret_assertion = (struct saml_assertion){ 0 };
	*ret_refusal = (struct saml_refusal){ .reason = "idp-unavailable",
					      .detail = "the IdP's metadata has expired" };
	return 1;
}

static int port_verify(void *context, const char *source, const struct pending_login *waiting,
		       const struct saml_message *message, struct arena *arena,
		       struct saml_assertion *ret_assertion, struct saml_refusal *ret_refusal,
		       struct setup **ret_setup, struct err *err)
{
	struct saml_service *service = context;
	int64_t since_s = waiting ? waiting->created_s : 0;
	struct saml_question question = { .now_s = clock_now_s(),
					  .request_ids = waiting ? &waiting->request_id : NULL,
					  .request_count = waiting != NULL,
					  .explain = waiting && waiting->test };
	struct saml_state *state = find(service, source, &question.provider, err);
	const struct saml_source *settings;
	int result;

	if (!state)
		return -1;
	settings = state->sources[question.provider];
	question.explain |= settings->trace;
	if (waiting && (waiting->test || settings->force_authn))
		question.forced_since_s = &since_s;
	result = has_expired(state, question.provider)
			 ? refuse_expired(ret_assertion, ret_refusal)
			 : saml_pool_verify(state->pool, &question, message, arena, ret_assertion,
					    ret_refusal, err);
	if (result >= 0 && settings->trace)
		trace_response(configuration_of(state->setup)->schema, &settings->common,
			       ret_assertion, result == 0 ? NULL : ret_refusal);
	if (result >= 0)
		*ret_setup = setup_acquire(state->setup);
	saml_state_give(service, state);
	return result;
}

static int port_login(void *context, const char *source, const char *id, const char *relay_state,
		      bool force, struct arena *arena, struct saml_outgoing *ret_outgoing,
		      struct err *err)
{
	struct saml_service *service = context;
	struct saml_login_request request = {
		.now_s = clock_now_s(), .id = id, .relay_state = relay_state, .force_authn = force
	};
	struct saml_state *state = find_valid(service, source, &request.provider, err);
	int result;

	if (!state)
		return -1;
	result = saml_pool_login(state->pool, &request, arena, ret_outgoing, err);
	saml_state_give(service, state);
	return result;
}

static int port_logout_start(void *context, const struct session *session, const char *id,
			     struct arena *arena, struct saml_outgoing *ret_outgoing,
			     struct err *err)
{
	struct saml_service *service = context;
	struct saml_logout_start start = { .now_s = clock_now_s(),
					   .id = id,
					   .name_id = session->name_id,
					   .name_id_format = session->name_id_format,
					   .session_index = session->session_index,
					   .relay_state = "" };
	struct saml_state *state = find_valid(service, session->source, &start.provider, err);
	int result;

	if (!state)
		return -1;
	result = saml_pool_logout_start(state->pool, &start, arena, ret_outgoing, err);
	saml_state_give(service, state);
	return result;
}

static int port_logout_receive(void *context, const char *source, const char *const *request_ids,
			       size_t request_count, const struct saml_message *message,
			       struct arena *arena, struct saml_logout *ret_logout,
			       struct saml_refusal *ret_refusal, struct err *err)
{
	struct saml_service *service = context;
	struct saml_question question = { .now_s = clock_now_s(),
					  .request_ids = request_ids,
					  .request_count = request_count };
	struct saml_state *state = find_valid(service, source, &question.provider, err);
	int result;

	if (!state)
		return -1;
	result = saml_pool_logout_receive(state->pool, &question, message, arena, ret_logout,
					  ret_refusal, err);
	saml_state_give(service, state);
	return result;
}

static int port_logout_answer(void *context, const char *source, const char *id,
			      const struct saml_logout *request, bool success, struct arena *arena,
			      struct saml_outgoing *ret_outgoing, struct err *err)
{
	struct saml_service *service = context;
	size_t provider;
	struct saml_state *state = find_valid(service, source, &provider, err);
	int result;

	if (!state)
		return -1;
	result = saml_pool_logout_answer(state->pool, provider, clock_now_s(), id, request, success,
					 arena, ret_outgoing, err);
	saml_state_give(service, state);
	return result;
}

static int port_metadata(void *context, const char *source, struct arena *arena,
			 const char **ret_xml, struct err *err)
{
	struct saml_service *service = context;
	size_t provider;
	struct saml_state *state = find(service, source, &provider, err);
	int result;

	if (!state)
		return -1;
	result = saml_pool_metadata(state->pool, provider, arena, ret_xml, err);
	saml_state_give(service, state);
	return result;
}

static void endpoints_json(const char *key, const struct saml_endpoint *endpoints, size_t count,
			   struct json *json)
{
	json_array_key(json, key);
	for (size_t i = 0; i < count; i++) {
		json_object(json);
		json_string(json, "binding",
			    endpoints[i].binding == SAML_POST ? "post" : "redirect");
		json_string(json, "location", endpoints[i].location);
		json_end(json);
	}
	json_end(json);
}

/* building is held: do the workers know valid metadata of this source? */
static bool is_in_force(const struct saml_service *service, const struct idp *idp)
{
	const struct saml_state *state = service->state;

	for (size_t i = 0; state && state->pool && i < state->count; i++) {
		if (strcmp(state->views[i].name, idp->source) == 0)
			return state->views[i].ready && idp_is_ready(idp, clock_now_s());
	}
	return false;
}

static void port_status(void *context, const char *source, struct json *json)
{
	struct saml_service *service = context;

	pthread_mutex_lock(&service->building);
	for (size_t i = 0; i < service->idp_count; i++) {
		const struct idp *idp = service->idps[i];

		if (strcmp(idp->source, source) != 0)
			continue;
		json_bool(json, "ready", is_in_force(service, idp));
		json_string(json, "problem", service->problem[0] ? service->problem : idp->problem);
		json_time(json, "refreshed", idp->refreshed_s);
		json_time(json, "next", idp->next_s);
		if (!idp->arena)
			continue;
		json_string(json, "idp", idp->facts.entity_id);
		json_int(json, "signing_keys", (int64_t)idp->facts.signing_key_count);
		json_time(json, "valid_until", idp->facts.valid_until_s);
		endpoints_json("sign_in", idp->facts.sso, idp->facts.sso_count, json);
		endpoints_json("logout", idp->facts.slo, idp->facts.slo_count, json);
	}
	pthread_mutex_unlock(&service->building);
}

static const char *port_problem(void *context, struct arena *arena)
{
	struct saml_service *service = context;
	const char *problem = NULL;

	pthread_mutex_lock(&service->building);
	if (service->problem[0]) {
		problem = arena_strdup(arena, service->problem);
		problem = problem ? problem : "out of memory";
	}
	pthread_mutex_unlock(&service->building);
	return problem;
}

static void port_metrics(void *context, struct strbuf *out)
{
	struct saml_service *service = context;
	struct saml_state *state = saml_state_take(service);
	struct saml_pool_counts counts = { 0 };
	size_t first = 0;

	if (state && state->pool)
		saml_pool_counts(state->pool, &counts);
	strbuf_printf(out,
		      "# HELP rolebridge_saml_workers SAML worker processes.\n"
		      "# TYPE rolebridge_saml_workers gauge\n"
		      "rolebridge_saml_workers %llu\n"
		      "# HELP rolebridge_saml_worker_deaths_total Workers that died or overran.\n"
		      "# TYPE rolebridge_saml_worker_deaths_total counter\n"
		      "rolebridge_saml_worker_deaths_total %llu\n",
		      (unsigned long long)counts.workers,
		      (unsigned long long)(counts.deaths + counts.timeouts));
	for (size_t i = 0; state && i < state->count; i++) {
		if (!state->views[i].enabled)
			continue;
		strbuf_printf(
			out, "%srolebridge_saml_source_ready{source=\"%s\"} %d\n",
			first++ == 0
				? "# HELP rolebridge_saml_source_ready Valid metadata is there.\n"
				  "# TYPE rolebridge_saml_source_ready gauge\n"
				: "",
			state->views[i].name, state->views[i].ready);
	}
	saml_state_give(service, state);
}

struct saml_ports saml_service_ports(struct saml_service *service)
{
	return (struct saml_ports){
		.context = service,
		.source = port_source,
		.verify = port_verify,
		.login = port_login,
		.logout_start = port_logout_start,
		.logout_receive = port_logout_receive,
		.logout_answer = port_logout_answer,
		.metadata = port_metadata,
		.status = port_status,
		.problem = port_problem,
		.metrics = port_metrics,
	};
}
