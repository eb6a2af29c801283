/*
 * A web listener for tests: web_server ADDRESS [CERTIFICATE KEY [DEADLINE_MS]]. Prints its port, then reloads the
 * pair at SIGHUP (prints "reloaded" or the error) and ends at SIGTERM. Serves GET and POST /echo. A request has to
 * arrive before the deadline.
 */
#include <rolebridge/http/server.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <rolebridge/base/log.h>
#include <rolebridge/base/util.h>

static int echo(struct http_request *request, struct http_response *response, struct err *err)
{
	(void)err;
	response->content_type = "text/plain";
	strbuf_printf(&response->body, "tls=%d client=%s size=%zu\n", request->tls,
		      http_client_text(request), request->body_size);
	return 0;
}

static const struct http_route routes[] = {
	{ "GET", "/echo", echo, 0, 0, NULL },
	{ "POST", "/echo", echo, 0, 0, NULL },
	{ "GET", "/slow", echo, HTTP_ROUTE_SLOW, 0, NULL },
};

static int serve(struct http_server *server, const struct http_settings *settings,
		 const sigset_t *signals)
{
	struct err err = { 0 };
	int number;

	while (sigwait(signals, &number) == 0 && number == SIGHUP) {
		if (http_server_reload_tls(server, settings->certificate_path, settings->key_path,
					   &err) < 0)
			printf("error: %s\n", err.text);
		else
			printf("reloaded\n");
		fflush(stdout);
	}
	http_server_stop(server, 1000);
	return 0;
}

int main(int argc, char **argv)
{
	struct http_settings settings = { .name = "test",
					  .threading = HTTP_POOL,
					  .threads = 2,
					  .request_deadline_ms =
						  argc > 4 ? strtol(argv[4], NULL, 10) : 0,
					  .web = true,
					  .hsts = argc > 2 };
	struct http_router *router = http_router_create();
	struct err err = { 0 };
	sigset_t signals;

	if (argc != 2 && argc != 4 && argc != 5)
		return 2;
	sigemptyset(&signals);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL); /* also in the threads that follow */
	log_set_level(LOG_LEVEL_ERROR);
	settings.certificate_path = argc > 2 ? argv[2] : NULL;
	settings.key_path = argc > 2 ? argv[3] : NULL;
	settings.router = router;
	if (!router || http_router_add(router, routes, ARRAY_LEN(routes), NULL, NULL, &err) < 0 ||
	    http_listen_tcp(argv[1], &settings.listen_fd, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}

	unsigned port = http_listen_port(settings.listen_fd);
	struct http_server *server = http_server_start(&settings, &err);

	if (!server) {
		fprintf(stderr, "%s\n", err.text);
		http_router_destroy(router);
		return 1;
	}
	printf("%u\n", port);
	fflush(stdout);

	int result = serve(server, &settings, &signals);

	http_router_destroy(router);
	return result;
}
