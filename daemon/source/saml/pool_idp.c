/*
 * Metadata of an IdP, read in a worker for this one message, which has no key. Enters: bytes from outside.
 * Leaves: what they say of one IdP. Fails with the reasons of the public header, or ERR_UNAVAILABLE "worker-died".
 */
#include "pool.h"

#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>

#define METADATA_DEADLINE_US (60 * SECOND_US)

static int take_idp(struct runner *runner, struct arena *arena, struct saml_idp *ret_idp,
		    struct err *err)
{
	struct message message;
	struct wire wire = { .in = &message.body, .arena = arena };
	struct saml_idp idp = { 0 };
	bool grown = false;
	char end[128];
	int received = message_receive(runner->stream, clock_monotonic_us() + METADATA_DEADLINE_US,
				       &message, NULL, err);

	if (received == 1 && message.type == SAML_FRAME_FAILED)
		return saml_runner_take_failure(&message, err);
	if (received == 1 && message.type == SAML_FRAME_IDP) {
		wire_idp(&wire, &idp);
		wire_bool(&wire, &grown);
		if (wire_done(&wire, "metadata answer", err) < 0)
			return -1;
		*ret_idp = idp;
		return 0;
	}
	saml_runner_tell_end(runner, received == 0 ? DEATH_GRACE_MS : 0, end, sizeof(end));
	return err_refuse(err, ERR_UNAVAILABLE, "worker-died",
			  "the worker that read the metadata ended with %s", end);
}

int saml_metadata_read(const void *xml, size_t size, const char *entity_id,
		       const struct saml_blob *certificate, int64_t now_s, struct arena *arena,
		       struct saml_idp *ret_idp, struct err *err)
{
	struct saml_metadata_job job = {
		.xml = xml, .size = size, .entity_id = entity_id, .now_s = now_s
	};
	AUTO(strbuf) struct strbuf frame = STRBUF(SAML_METADATA_JOB_MAX);
	struct wire wire = { .out = &frame };
	struct runner runner = { 0 };
	struct err own_err = { 0 };
	size_t begin;
	int status;

	if (!err)
		err = &own_err;
	if (size > SAML_METADATA_MAX)
		return err_refuse(err, ERR_INVALID, "metadata-malformed",
				  "the metadata is larger than %zu MiB",
				  SAML_METADATA_MAX / (1024 * 1024));
	if (certificate)
		job.certificate = *certificate;
	begin = message_begin(&frame, SAML_FRAME_READ_METADATA);
	wire_metadata_job(&wire, &job);
	message_end(&frame, begin);
	if (saml_runner_start(&runner, err) < 0)
		return -1;
	status = message_send(runner.worker.socket, &frame, -1, err);
	if (status < 0)
		err_wrap(err, "cannot tell a saml worker what to read");
	else
		status = take_idp(&runner, arena, ret_idp, err);
	saml_runner_stop(&runner, EXIT_GRACE_MS, NULL);
	return status;
}
