/*
 * Whether a request may be carried out at all, by the helper's own configuration. Touches nothing. Errors
 * carry a code of accounts_codes as their reason.
 */
#ifndef ROLEBRIDGE_ACCOUNTS_JUDGE_H
#define ROLEBRIDGE_ACCOUNTS_JUDGE_H

#include <rolebridge/accounts/protocol.h>
#include <rolebridge/base/arena.h>
#include <rolebridge/base/err.h>

#include "settings.h"

/*
 * Everything that does not depend on what is there. Fills what the core left open: shell, home. Groups come
 * back sorted, each once.
 */
int judge_account(const struct settings *settings, struct arena *arena,
		  struct accounts_ensure *account, struct err *err);
/* The shell is there and can be executed. */
int judge_shell(const char *shell, struct err *err);
/* A group by its number, as the name service gave it: small ones only when they are spelled out. */
int judge_group(const struct settings *settings, const char *group, uint32_t gid, struct err *err);
/* A membership in this group is the core's to give and to end; any other is left as it is. */
bool judge_has_membership(const struct settings *settings, const char *group, uint32_t gid);
/* Conflict with the stable code; returns -1. */
#define refuse(err, code, ...) err_refuse((err), ERR_CONFLICT, (code), __VA_ARGS__)

#endif
