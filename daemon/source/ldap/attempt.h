/*
 * One server asked once: a connection, a worker process that gets it, the job, and what the
 * worker says until END. When the job follows and the read is complete the worker lives on, and
 * whoever asked goes on with it; otherwise it has ended when attempt_run returns.
 */
#ifndef SOURCE_LDAP_ATTEMPT_H
#define SOURCE_LDAP_ATTEMPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rolebridge/base/message.h>
#include <rolebridge/base/worker.h>
#include <rolebridge/source/ldap.h>

#include "protocol.h"
#include "server.h"

/* The worker notes a silent directory itself; past this the worker is what hangs. */
#define ATTEMPT_MARGIN_US 2000000

struct attempt {
	const struct ldap_source *source;
	const struct intake *intake;
	const struct job *job;
	struct worker worker;
	struct message_stream *stream; /* of the worker; NULL: there is none */
	struct arena *scratch;	       /* of one message */
	int64_t end_us;		       /* of the whole read */
	int64_t next_look_us;	       /* when to ask again whether to go on */
	enum protocol_phase phase;
	bool delivered; /* the intake has got something */
	bool ended;	/* END came */
	bool mode_told; /* MODE came */
	bool own_failure;
	/* Of a job that tests; each is called with step_context. */
	int (*step)(void *context, const struct protocol_step *step, struct err *err);
	void *step_context;
	int last_step; /* -1: none was told */
	bool step_failed;
	/* Of a job that signs somebody in: sent after it, borrowed; and what came of it. */
	const void *password;
	size_t password_size;
	bool verdict_told, right;
	unsigned asked;		       /* binds as somebody that servers were sent, all together */
	struct protocol_group *groups; /* job->wanted_count of them */
	size_t group_count, next_wanted;
	uint64_t identities, quarantined;
	/* What MODE said. */
	uint8_t mode;
	char vendor[PROTOCOL_REASON_MAX + 1], identity[PROTOCOL_TEXT_MAX + 1];
	struct read_result result;
};

/* Before each server. What was counted and delivered before stays. */
void attempt_reset(struct attempt *attempt);
/* Ask the server. 0: attempt->result says how it went; -1: our own side failed, or cancelled. */
int attempt_run(struct attempt *attempt, const struct server *server, struct err *err);
/* The same with a connection at hand. */
int attempt_run_on(struct attempt *attempt, int fd, struct err *err);
/* The connection alone. -1 with ERR_UNAVAILABLE or ERR_CANCELLED. */
int attempt_connect(const struct attempt *attempt, const struct server *server, int *ret_fd,
		    struct err *err);
/* End the worker, if there is one, at once. */
void attempt_stop(struct attempt *attempt);
/* The stream ended or broke: what became of the process, in words. It has ended then. */
void attempt_worker_status(struct attempt *attempt, char *ret_text, size_t size);
/* MODE: before END, or on another connection. */
int attempt_take_mode(struct attempt *attempt, struct message *message, struct err *err);

void attempt_end(struct attempt *attempt, const char *reason, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Append to text of size bytes; what does not fit is cut between characters. */
void append_text(char *text, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
