/*
 * A test of an ldap source, the core's side. Enters: a source as the configuration declares it. Leaves: steps, one by one,
 * and the people of a sample. Fails only as our own side does: memory, no worker process, cancelled.
 *
 * Each server is tried by a worker of its own; the first that lets us in is also asked for people. When TLS fails a
 * second connection, of which nothing else is made, says what is wrong with the certificate.
 */
#include <rolebridge/source/ldap.h>

#include <string.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/file.h>
#include <rolebridge/base/util.h>

#include "client.h"

/* However long a read of it may take. */
#define TEST_US (INT64_C(120) * 1000000)

struct tester {
	struct client client;
	const struct source_test_intake *intake;
	uint32_t samples;
	bool signed_in;	 /* some server let us in */
	bool looks;	 /* at a certificate */
	bool tls_failed; /* kept until it is known why */
	int64_t tls_us;
	char reason[PROTOCOL_REASON_MAX + 1], detail[512];
};

static int tell(struct tester *tester, const struct source_test_step *step, struct err *err)
{
	return tester->intake->step(tester->intake->people.context, step, err);
}

/* A step of the core's own. server NULL: of all. reason NULL: it went well. */
static int tell_own(struct tester *tester, const char *name, const struct server *server,
		    int64_t begun_us, const char *reason, const char *detail, struct err *err)
{
	const struct source_test_step step = { .step = name,
					       .server = server ? server->url : "",
					       .ok = reason == NULL,
					       .reason = reason ? reason : "",
					       .detail = detail,
					       .duration_us = clock_monotonic_us() - begun_us };

	return tell(tester, &step, err);
}

static int tell_workers(struct tester *tester, const struct protocol_step *told, int64_t before_us,
			struct err *err)
{
	struct source_test_fact facts[FACT_KINDS];
	const struct source_test_step step = {
		.step = protocol_step_names[told->kind],
		.server = tester->client.server.url,
		.ok = told->ok,
		.reason = told->reason,
		.detail = told->detail,
		.duration_us = (int64_t)told->duration_us + before_us,
		.facts = facts,
		.fact_count = told->fact_count,
	};

	for (size_t i = 0; i < told->fact_count; i++)
		facts[i] = (struct source_test_fact){
			.is = protocol_fact_forms[told->facts[i].kind],
			.text = told->facts[i].text ? told->facts[i].text : "",
			.number = told->facts[i].number,
		};
	return tell(tester, &step, err);
}

static int on_step(void *context, const struct protocol_step *step, struct err *err)
{
	struct tester *tester = context;

	/* Whatever the look itself ran into, TLS failed as it did before. */
	if (tester->looks && strncmp(step->reason, "certificate-", 12) != 0)
		return 0;
	if (!tester->looks && step->kind == STEP_TLS && strcmp(step->reason, "tls-failed") == 0) {
		tester->tls_failed = true;
		tester->tls_us = (int64_t)step->duration_us;
		snprintf(tester->reason, sizeof(tester->reason), "%s", step->reason);
		tester->detail[0] = '\0';
		append_text(tester->detail, sizeof(tester->detail), "%s", step->detail);
		return 0;
	}
	if (step->kind == STEP_BIND && step->ok)
		tester->signed_in = true;
	if (tester->looks)
		tester->tls_failed = false;
	return tell_workers(tester, step, tester->looks ? tester->tls_us : 0, err);
}

/* --- one server --- */

static int run_on(struct tester *tester, int fd, uint8_t test, struct err *err)
{
	struct client *client = &tester->client;
	int64_t end_us = client->attempt.end_us;

	attempt_reset(&client->attempt);
	client->attempt.end_us = end_us;
	client->attempt.identities = client->attempt.quarantined = 0;
	client->job.url = client->server.url;
	client->job.transport = client_transport(client->attempt.source, &client->server);
	client->job.test = test;
	client->job.samples = test == TEST_READ ? tester->samples : 0;
	tester->looks = test == TEST_CERTIFICATE;
	return attempt_run_on(&client->attempt, fd, err);
}

/* TLS failed: why? When nothing can be seen, as libldap said it. */
static int explain_tls(struct tester *tester, struct err *err)
{
	struct client *client = &tester->client;
	AUTO(fd) int fd = -1;
	struct err unheard = { 0 };
	const struct protocol_step failed = { .kind = STEP_TLS,
					      .reason = tester->reason,
					      .detail = tester->detail,
					      .duration_us = (uint64_t)tester->tls_us };

	if (attempt_connect(&client->attempt, &client->server, &fd, &unheard) == 0 &&
	    run_on(tester, fd, TEST_CERTIFICATE, err) < 0)
		return -1;
	tester->looks = false;
	if (!tester->tls_failed)
		return 0;
	return tell_workers(tester, &failed, 0, err);
}

/* The worker ended without having said so in a step of its own. */
static int tell_rest(struct tester *tester, int64_t begun_us, struct err *err)
{
	const struct attempt *attempt = &tester->client.attempt;

	if (attempt->result.complete || attempt->step_failed)
		return 0;
	return tell_own(tester, attempt->last_step < 0 ? "prepare" : "worker",
			&tester->client.server, begun_us, attempt->result.reason,
			attempt->result.detail, err);
}

static int connect_server(struct tester *tester, int *ret_fd, struct err *err)
{
	const struct server *server = &tester->client.server;
	const struct intake *intake = tester->client.attempt.intake;
	int64_t begun_us = clock_monotonic_us();
	char addresses[512];

	if (server_resolve(server, intake->cancelled, intake->context, addresses, sizeof(addresses),
			   err) < 0)
		return err->code == ERR_CANCELLED ? -1
						  : tell_own(tester, "resolve", server, begun_us,
							     "unresolved", err->text, err);
	if (tell_own(tester, "resolve", server, begun_us, NULL, addresses, err) < 0)
		return -1;
	begun_us = clock_monotonic_us();
	if (attempt_connect(&tester->client.attempt, server, ret_fd, err) == 0)
		return tell_own(tester, "connect", server, begun_us, NULL, "", err);
	if (err->code == ERR_CANCELLED)
		return -1;
	return tell_own(tester, "connect", server, begun_us, "connect-failed", err->text, err);
}

static int test_server(struct tester *tester, struct err *err)
{
	int64_t begun_us;
	AUTO(fd) int fd = -1;

	if (connect_server(tester, &fd, err) < 0)
		return -1;
	if (fd < 0)
		return 0;
	begun_us = clock_monotonic_us();
	tester->tls_failed = false;
	if (run_on(tester, fd, tester->signed_in ? TEST_SIGN_IN : TEST_READ, err) < 0)
		return -1;
	if (tester->tls_failed)
		return explain_tls(tester, err);
	return tell_rest(tester, begun_us, err);
}

static int test_servers(struct tester *tester, const struct server_list *servers, int64_t begun_us,
			struct err *err)
{
	struct attempt *attempt = &tester->client.attempt;

	if (servers->problem[0] &&
	    tell_own(tester, "resolve", NULL, begun_us, "unresolved", servers->problem, err) < 0)
		return -1;
	for (size_t i = 0; i < servers->count; i++) {
		if (clock_monotonic_us() >= attempt->end_us)
			return tell_own(tester, "servers", NULL, begun_us, "timeout",
					"there was no time for all servers", err);
		tester->client.server = servers->items[i];
		if (test_server(tester, err) < 0)
			return -1;
	}
	return 0;
}

static int test_source(struct tester *tester, const struct ldap_source *source, struct err *err)
{
	struct attempt *attempt = &tester->client.attempt;
	int64_t begun_us = clock_monotonic_us(), total_us = source->timeouts.total_s * 1000000;
	struct server_list servers = { 0 };
	int status;

	attempt->step = on_step;
	attempt->step_context = tester;
	attempt->end_us = begun_us + (total_us < TEST_US ? total_us : TEST_US);
	if (server_list(&source->servers, &servers, err) < 0)
		return -1;
	status = test_servers(tester, &servers, begun_us, err);
	if (status == 0 && servers.count == 0 && !servers.problem[0])
		status = tell_own(tester, "resolve", NULL, begun_us, "invalid-settings",
				  "no server is configured", err);
	server_list_finish(&servers);
	return status;
}

int ldap_source_test(const struct ldap_source *source, const struct wanted_attribute *attributes,
		     size_t attribute_count, const struct wanted_group *groups, size_t group_count,
		     uint32_t samples, const struct source_test_intake *intake, struct err *err)
{
	struct tester tester = { .intake = intake, .samples = samples };
	struct err own_err = { 0 };
	int status;

	if (!err)
		err = &own_err;
	if (samples > LDAP_TEST_SAMPLES_MAX)
		return err_set(err, ERR_INVALID, "at most %d people", LDAP_TEST_SAMPLES_MAX);
	status = client_init(&tester.client, source, attributes, attribute_count, groups,
			     group_count, &intake->people, err);
	if (status == 0) {
		/* A few are not all. */
		tester.client.job.canaries.count = 0;
		status = test_source(&tester, source, err);
	}
	client_finish(&tester.client);
	return status;
}
