/*
 * The worker's connection to a directory. With search.c and entry.c the only
 * user of libldap. Two stages: session_prepare and session_attach read files and run
 * before the lock, everything else meets the network and runs behind it.
 */
#ifndef SOURCE_LDAP_SESSION_H
#define SOURCE_LDAP_SESSION_H

#include <ldap.h>

#include <rolebridge/base/secret.h>

#include "output.h"
#include "protocol.h"

struct session {
	LDAP *ld;
	const struct job *job;
	struct output *out;
	struct outcome *outcome;
	struct secret password;
	bool keeps_password; /* to sign in again; else it is wiped after the bind */
	int64_t heard_us;    /* the last answer, clock_monotonic_us */
	int last_code;	     /* of the last result that was noted */
	bool broken; /* the connection cannot be used any more: libldap would try to make a new one */
};

/* Read CA, client certificate and password; make the global TLS context; take the socket. */
int session_prepare(struct session *session, int fd, struct err *err);
/* TLS, as the job says. -1: outcome says why. */
int session_secure(struct session *session);
/* Sign in, then wipe the password if it is not kept. -1: outcome says why. */
int session_bind(struct session *session);
/*
 * Sign in as somebody else, who has a name and a password, neither empty. 0: the server answered, with this result
 * code; -1: outcome says why not.
 */
int session_bind_as(struct session *session, const char *dn, const void *password, size_t size,
		    int *ret_code);
/*
 * The next message for this operation, within the job's time for an answer; what is gathered goes
 * out while waiting. -1: outcome says why, the session is broken.
 */
int session_await(struct session *session, int message_id, LDAPMessage **ret_message);
/* Note in the outcome what this LDAP result code (protocol or libldap's own) means. doing: "cannot bind". */
void session_note(struct session *session, int code, const char *text, const char *doing);
/* The same for libldap's last error; the session is broken. */
void session_note_last(struct session *session, const char *doing);
/*
 * The next connection, to the server that the job names now: fd is taken over, secured and bound.
 * -1: outcome says why.
 */
int session_reconnect(struct session *session, int fd);
void session_finish(struct session *session);

#endif
