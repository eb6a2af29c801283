/*
 * Answers sshd's question for the keys of an account (rolebridge-authorized-keys, keys/protocol.h) over a unix socket: keys
 * of active users whose account it is, as they are in the store at that moment. Everybody else has none, and who may
 * not ask is not answered.
 *
 *	keys_server_start → … → keys_server_stop
 */
#ifndef ROLEBRIDGE_TARGET_KEYS_H
#define ROLEBRIDGE_TARGET_KEYS_H

#include <sys/types.h>

#include <rolebridge/target/accounts.h>

/* Filled by main; called in the server's threads. */
struct keys_ports {
	void *context;
	/* The target as it is configured now, and the setup that holds it: release it. false: there is none any more. */
	bool (*target)(void *context, const struct accounts_target **ret_target,
		       struct setup **ret_setup);
	/* May this user sign in, also by what is not committed yet? */
	bool (*may_sign_in)(void *context, int64_t user_id);
};

struct keys_server;
/*
 * listen_fd: a listening unix socket that anybody can connect to; taken over, also on failure. uids: who may ask, beside
 * root and whoever this process is; copied. Borrows the changer.
 */
struct keys_server *keys_server_start(struct changer *changer, int listen_fd, const uid_t *uids,
				      size_t uid_count, const struct keys_ports *ports,
				      struct err *err);
/* Who is being answered is answered. NULL is fine. */
void keys_server_stop(struct keys_server *server);
/* Lines of /metrics. server NULL: nothing. */
void keys_server_metrics(struct keys_server *server, struct strbuf *out);

#endif
