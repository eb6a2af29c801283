/*
 * The ldap worker: one process, one read of one server, and what changes after it. In comes
 * the job with a connected socket; out go identities, how the read ended, and, when the
 * job says to follow, changes. After worker_lock it can read, write, wait and allocate: nothing else.
 */
#include <rolebridge/source/ldap.h>

#include <signal.h>
#include <string.h>
#include <sys/syscall.h>

#include <rolebridge/base/file.h>
#include <rolebridge/base/message.h>
#include <rolebridge/base/util.h>
#include <rolebridge/base/worker.h>

#include "follow.h"
#include "login.h"
#include "probe.h"
#include "sasl.h"

/* A million users with ten million memberships need about a tenth. */
#define WORKER_MEMORY_MAX ((size_t)4 * 1024 * 1024 * 1024)
#define JOB_MEMORY_MAX (4 * (size_t)PROTOCOL_JOB_MAX)

/* Beside the common ones, what libldap, GnuTLS and malloc need after the lock. */
static const int syscalls[] = {
	WORKER_COMMON_SYSCALLS, SYS_readv,    SYS_writev,  SYS_recvfrom,
	SYS_shutdown,		SYS_mprotect, SYS_munlock, SYS_gettid,
	SYS_gettimeofday,	SYS_time,     SYS_sysinfo, /* qsort asks how much memory there is */
	SYS_clock_nanosleep,
};

/* After the last user, when the counts are known. In an incomplete read only what was found. */
static void tell_groups(const struct job *job, const struct groupings *groupings,
			const struct outcome *outcome, struct output *out)
{
	for (size_t i = 0; i < job->wanted_count && groupings->closure; i++) {
		struct protocol_group group = { .id = job->wanted[i].id };
		group.found = closure_wanted(groupings->closure, group.id, &group.members);
		if (!group.found)
			group.members = 0;
		if (group.found || !outcome->incomplete)
			group_encode(&group, &out->frames);
		output_pulse(out);
	}
}

static void tell_end(const struct outcome *outcome, struct output *out)
{
	struct protocol_end end = { .complete = !outcome->incomplete,
				    .reason = outcome->reason,
				    .detail = outcome->detail,
				    .entries = out->entries,
				    .groups = out->groups,
				    .quarantined = out->quarantined };

	end_encode(&end, &out->frames);
	output_flush(out);
}

static int lock(struct err *err)
{
	return worker_lock(syscalls, ARRAY_LEN(syscalls), WORKER_MEMORY_MAX, err);
}

/* Up to the lock: everything that needs files. */
static int prepare(struct session *session, int fd, struct err *err)
{
	hash_prepare();
	if (session_prepare(session, fd, err) < 0)
		return -1;
	if (session->job->bind_method == LDAP_SOURCE_BIND_GSSAPI)
		return sasl_lock(WORKER_MEMORY_MAX, err);
	return lock(err);
}

/* Who needed more to sign in needs it no longer. */
static int sign_in(struct session *session)
{
	struct err err = { 0 };

	if (session_bind(session) < 0)
		return -1;
	if (session->job->bind_method != LDAP_SOURCE_BIND_GSSAPI || lock(&err) == 0)
		return 0;
	outcome_note(session->outcome, "worker-died", "%s", err.text);
	session->broken = true;
	return -1;
}

static void tell_mode(const struct follow *follow)
{
	struct protocol_mode mode = { .mode = (uint8_t)follow->ops->mode,
				      .vendor = root_vendor_name(follow->root.vendor),
				      .identity = follow->root.identity };

	mode_encode(&mode, &follow->out->frames);
}

static void read_directory(struct follow *follow)
{
	struct session *session = follow->session;

	output_phase(follow->out, PHASE_TLS);
	if (session_secure(session) < 0)
		return;
	output_phase(follow->out, PHASE_BIND);
	if (sign_in(session) < 0 || follow_choose(follow) < 0)
		return;
	follow_read(follow);
	if (follow->ops && !session->outcome->incomplete)
		tell_mode(follow);
}

static void run_job(struct job *job, int fd, struct output *out, struct message_stream *commands)
{
	struct outcome outcome = { 0 };
	struct session session = { .job = job, .out = out, .outcome = &outcome };
	struct follow follow = { .job = job, .session = &session, .out = out };
	struct err err = { 0 };

	if (prepare(&session, fd, &err) < 0) {
		outcome_note(&outcome, "invalid-settings", "%s", err.text);
		/* The lock may not be in place: this connection is not used. */
		session.broken = true;
	} else if (job->test == TEST_LOGIN) {
		login_directory(&session, sign_in, commands);
	} else if (job->test != TEST_NONE) {
		probe_directory(&follow, sign_in);
	} else {
		read_directory(&follow);
	}
	if (job->test == TEST_NONE)
		tell_groups(job, &follow.groupings, &outcome, out);
	tell_end(&outcome, out);
	if (follow.ops && !outcome.incomplete && !out->failed)
		follow_run(&follow, commands);
	session_finish(&session);
	follow_finish(&follow);
}

static int receive_job(struct message_stream *commands, struct arena *arena, struct job *ret_job,
		       int *ret_fd)
{
	struct message message;
	struct err err = { 0 };

	if (message_receive(commands, 0, &message, ret_fd, &err) != 1 ||
	    message.type != PROTOCOL_JOB || *ret_fd < 0)
		return -1;
	return job_decode(&message.body, arena, ret_job, &err);
}

int ldap_worker_main(int socket)
{
	struct arena *arena = arena_create(JOB_MEMORY_MAX);
	struct message_stream *commands = message_stream_create(socket, PROTOCOL_JOB_MAX);
	struct output out = output_init(socket);
	struct job job;
	int fd = -1, status = 1;

	/* A directory that goes away shows as an error of write, not as a signal. */
	signal(SIGPIPE, SIG_IGN);
	if (arena && commands && receive_job(commands, arena, &job, &fd) == 0) {
		run_job(&job, fd, &out, commands);
		status = out.failed ? 1 : 0;
	}
	output_finish(&out);
	message_stream_destroy(commands);
	arena_destroy(arena);
	return status;
}
