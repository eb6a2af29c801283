/*
 * /healthz: the process answers. /readyz: what answers need is up. /metrics: figures in Prometheus' text
 * format, for this machine and the trusted networks; not for those on whose behalf a proxy asks.
 */
#include "site.h"

static int say(struct http_response *response, int status, const char *text)
{
	response->status = status;
	response->content_type = "text/plain; charset=utf-8";
	strbuf_puts(&response->body, text);
	return 0;
}

int health_get(struct http_request *request, struct http_response *response, struct err *err)
{
	(void)request;
	(void)err;
	return say(response, 200, "ok\n");
}

int ready_get(struct http_request *request, struct http_response *response, struct err *err)
{
	const struct web *web = request->context;

	(void)err;
	return web->settings.ready(web->settings.context) ? say(response, 200, "ready\n")
							  : say(response, 503, "not ready\n");
}

void metric_gauge(struct strbuf *out, const char *name, const char *help, int64_t value)
{
	strbuf_printf(out, "# HELP %s %s\n# TYPE %s gauge\n%s %lld\n", name, help, name, name,
		      (long long)value);
}

static bool is_insider(const struct http_request *request)
{
	struct address address;

	if (!http_client_address(request, &address))
		return http_header_count(request, "X-Forwarded-For") == 0 &&
		       http_header_count(request, "X-Forwarded-Host") == 0;
	if (address_is_loopback(&address))
		return true;
	for (size_t i = 0; i < request->trusted_count; i++) {
		if (cidr_contains(&request->trusted[i], &address))
			return true;
	}
	return false;
}

int metrics_get(struct http_request *request, struct http_response *response, struct err *err)
{
	const struct web *web = request->context;
	const struct saml_ports *saml = web_saml(web);
	AUTO(reading_view) struct reading_view view = { 0 };
	struct sessions_counts counts;

	if (!is_insider(request))
		return err_set(err, ERR_NOT_FOUND, "not here");
	sessions_counts(web->settings.sessions, &counts);
	response->content_type = "text/plain; version=0.0.4; charset=utf-8";
	metric_gauge(&response->body, "rolebridge_sessions", "Sessions that are signed in.",
		     (int64_t)counts.sessions);
	metric_gauge(&response->body, "rolebridge_session_tokens", "Tokens of sessions, by host.",
		     (int64_t)counts.tokens);
	metric_gauge(&response->body, "rolebridge_principals",
		     "People of these sessions in memory.", (int64_t)counts.principals);
	saml->metrics(saml->context, &response->body);
	hasher_metrics(web->settings.hasher, &response->body);
	if (web->settings.directory.metrics)
		web->settings.directory.metrics(web->settings.directory.context, &response->body);
	throttle_metrics(web->settings.throttle, &response->body);
	courier_metrics(web->settings.courier, &response->body);
	if (web->settings.metrics)
		web->settings.metrics(web->settings.context, &response->body);
	if (store_view_open(web->settings.changer, web->pool, request->arena, &view, err) < 0)
		return -1;
	return status_metrics(&view, &response->body, err);
}
