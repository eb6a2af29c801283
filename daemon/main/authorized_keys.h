/*
 * Where sshd is answered: a socket for each target of type accounts that has `keys`, opened, moved and closed as the
 * configuration says.
 */
#ifndef ROLEBRIDGE_MAIN_AUTHORIZED_KEYS_H
#define ROLEBRIDGE_MAIN_AUTHORIZED_KEYS_H

#include <rolebridge/auth/sessions.h>

#include "configuration.h"

/* The name under which systemd may hand over the socket of the first such target. */
#define AUTHORIZED_KEYS_SOCKET "keys"

struct authorized_keys;

/* Borrows both. NULL: out of memory. */
struct authorized_keys *authorized_keys_create(struct changer *changer, struct sessions *sessions);
/* At start and after a reload. What cannot be opened is logged and alarmed: then nobody has keys from here. */
void authorized_keys_configure(struct authorized_keys *keys, struct configuration *config);
/* Nobody is answered any more. NULL is fine, also for the next. */
void authorized_keys_stop(struct authorized_keys *keys);
void authorized_keys_destroy(struct authorized_keys *keys);
/* Lines of /metrics, from any thread. */
void authorized_keys_metrics(struct authorized_keys *keys, struct strbuf *out);

#endif
