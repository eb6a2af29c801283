/*
 * A test of a directory, the worker's side: one step after another, each told as soon as it is done. Nothing
 * is asked of the directory that a read would not ask, and no more of it than is said here.
 */
#ifndef SOURCE_LDAP_PROBE_H
#define SOURCE_LDAP_PROBE_H

#include "follow.h"

/* As the job's test says. sign_in: session_bind, and what goes with it in this worker. */
void probe_directory(struct follow *follow, int (*sign_in)(struct session *session));

#endif
