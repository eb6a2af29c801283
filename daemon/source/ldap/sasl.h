/*
 * SASL GSSAPI (RFC 4752): signing in at a directory with a key of a keytab, through Kerberos.
 *
 * The Kerberos library needs its configuration, the keytab and the network to the KDC, and loads plug-ins. So
 * a worker that uses it is locked twice: wide until it is signed in, then as all others are.
 * Nothing of a security layer is negotiated: TLS is there already, or a local socket.
 */
#ifndef SOURCE_LDAP_SASL_H
#define SOURCE_LDAP_SASL_H

#include "session.h"

/* Before the first lock: the environment of the Kerberos library. */
int sasl_prepare(const struct job *job, struct err *err);
/* The first lock. worker_lock makes the second one, after sasl_bind. */
int sasl_lock(size_t max_memory, struct err *err);
/* Sign in; -1: outcome says why ("bind-refused", or what befell the connection). */
int sasl_bind(struct session *session);

#endif
