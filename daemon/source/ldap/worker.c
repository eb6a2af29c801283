/*
 * The ldap worker: one process, one server, one read. In comes the job with a
 * connected socket; out go identities and, always last, how it ended. After
 * worker_lock it can read, write, wait and allocate: nothing else.
 */
#include <rolebridge/source/ldap.h>

#include <signal.h>
#include <string.h>
#include <sys/syscall.h>

#include <rolebridge/base/file.h>
#include <rolebridge/base/message.h>
#include <rolebridge/base/util.h>
#include <rolebridge/base/worker.h>

#include "canary.h"
#include "groupings.h"
#include "people.h"
#include "sasl.h"
#include "session.h"

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

/* Behind the lock: ask, read, stream. Everything that goes wrong is in the outcome. */
static void read_directory(struct session *session, struct groupings *groupings)
{
	const struct job *job = session->job;
	bool with_groups = job->wanted_count > 0;
	struct canaries canaries;
	struct people *people = NULL;
	struct err err = { 0 };

	if (canaries_init(&canaries, job, with_groups, &err) < 0)
		outcome_note(session->outcome, "out-of-memory", "%s", err.text);
	else
		people = people_create(session, &canaries);
	if (people && with_groups) {
		output_phase(session->out, PHASE_GROUPS);
		session->out->holding = true;
		if (groupings_read(session, people_search(people), &canaries, groupings) < 0) {
			people_destroy(people);
			people = NULL;
		}
	}
	if (people) {
		output_phase(session->out, PHASE_USERS);
		output_release(session->out);
		if (people_read(people, with_groups ? groupings : NULL) == 0) {
			const char *missing = canaries_missing(&canaries);
			if (missing)
				outcome_note(session->outcome, "canary-missing",
					     "entry '%s' was not among those read", missing);
			if (session->out->entries + session->out->quarantined == 0)
				outcome_note(session->outcome, "empty-result",
					     "no user was found below '%s'", job->users.base);
		}
	}
	people_destroy(people);
	canaries_finish(&canaries);
}

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

static void run_job(const struct job *job, int fd, struct output *out)
{
	struct outcome outcome = { 0 };
	struct session session = { .job = job, .out = out, .outcome = &outcome };
	struct groupings groupings = { 0 };
	struct err err = { 0 };

	if (prepare(&session, fd, &err) < 0) {
		outcome_note(&outcome, "invalid-settings", "%s", err.text);
		/* The lock may not be in place: this connection is not used. */
		session.broken = true;
	} else {
		output_phase(out, PHASE_TLS);
		if (session_secure(&session) == 0) {
			output_phase(out, PHASE_BIND);
			if (sign_in(&session) == 0)
				read_directory(&session, &groupings);
		}
	}
	tell_groups(job, &groupings, &outcome, out);
	tell_end(&outcome, out);
	session_finish(&session);
	groupings_finish(&groupings);
}

static int receive_job(int socket, struct arena *arena, struct job *ret_job, int *ret_fd,
		       struct err *err)
{
	struct message_stream *stream = message_stream_create(socket, PROTOCOL_JOB_MAX);
	struct message message;
	int status = -1;

	if (!stream)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (message_receive(stream, 0, &message, ret_fd, err) == 1) {
		if (message.type != PROTOCOL_JOB || *ret_fd < 0)
			err_set(err, ERR_PROTOCOL, "no job with a connection came");
		else
			status = job_decode(&message.body, arena, ret_job, err);
	}
	message_stream_destroy(stream);
	return status;
}

int ldap_worker_main(int socket)
{
	struct arena *arena = arena_create(JOB_MEMORY_MAX);
	struct output out = output_init(socket);
	struct job job;
	struct err err = { 0 };
	int fd = -1, status = 1;

	/* A directory that goes away shows as an error of write, not as a signal. */
	signal(SIGPIPE, SIG_IGN);
	if (arena && receive_job(socket, arena, &job, &fd, &err) == 0) {
		run_job(&job, fd, &out);
		status = out.failed ? 1 : 0;
	}
	output_finish(&out);
	arena_destroy(arena);
	return status;
}
