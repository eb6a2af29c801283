/*
 * fetch_url [-c CA] [-a NETWORK]... [-h] [-e ETAG] [-t MS] [-m BYTES] URL: prints "STATUS ETAG" and the body, or
 * "error CODE REASON: TEXT".
 */
#include <rolebridge/client/fetch.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <rolebridge/base/util.h>

#define NETWORKS_MAX 8

static int run(const struct fetch_request *request)
{
	AUTO(arena) struct arena *arena = arena_create(65536);
	AUTO(strbuf) struct strbuf body = STRBUF((size_t)16 * 1024 * 1024);
	struct fetch_response response;
	struct err err = { 0 };

	if (!arena)
		return 1;
	strbuf_puts(&body, "before:");
	if (fetch(request, arena, &response, &body, &err) < 0) {
		printf("error %d %s: %s\n%s", (int)err.code, err_reason(&err), err.text,
		       strbuf_text(&body));
		return 1;
	}
	printf("%d %s\n%s", response.status, response.etag, strbuf_text(&body));
	return 0;
}

int main(int argc, char **argv)
{
	const char *networks[NETWORKS_MAX];
	struct fetch_request request = { .allowed_networks = networks,
					 .timeout_ms = 5000,
					 .size_max = 100000 };

	for (int option; (option = getopt(argc, argv, "c:a:he:t:m:")) != -1;) {
		switch (option) {
		case 'c': request.ca_file = optarg; break;
		case 'a':
			if (request.allowed_network_count < NETWORKS_MAX)
				networks[request.allowed_network_count++] = optarg;
			break;
		case 'h': request.allow_http = true; break;
		case 'e': request.etag = optarg; break;
		case 't': request.timeout_ms = strtol(optarg, NULL, 10); break;
		case 'm': request.size_max = strtoul(optarg, NULL, 10); break;
		default: return 2;
		}
	}
	if (optind != argc - 1)
		return 2;
	request.url = argv[optind];
	return run(&request);
}
