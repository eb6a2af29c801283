/* The helper's loop: connections of the core, one message at a time, and what runs beside them. */
#ifndef ROLEBRIDGE_ACCOUNTS_SERVE_H
#define ROLEBRIDGE_ACCOUNTS_SERVE_H

#include <stdbool.h>
#include <sys/types.h>

#include <rolebridge/base/err.h>

#include "account.h"

struct service {
	struct helper *helper;
	int listener;	     /* non-blocking */
	uid_t core;	     /* whose connections are accepted */
	int64_t idle_exit_s; /* 0: never */
};

/* Until SIGTERM or SIGINT (both blocked by the caller), or idle for too long. */
int serve(const struct service *service, struct err *err);

#endif
