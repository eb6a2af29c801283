/* Signing somebody in, the worker's side: whose entry it is, and whether the password is theirs. */
#ifndef SOURCE_LDAP_LOGIN_H
#define SOURCE_LDAP_LOGIN_H

#include "session.h"

struct message_stream;

/* sign_in: session_bind, and what goes with it in this worker. The verdict, or why there is none in the outcome. */
void login_directory(struct session *session, int (*sign_in)(struct session *session),
		     struct message_stream *commands);

#endif
