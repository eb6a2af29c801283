/*
 * Permissions: resource:verb@scope, scope own, unassigned or all; '*' allowed
 * per field of resource and verb. "@all" may be left out in none: all three fields are written.
 */
#ifndef ROLEBRIDGE_RULES_PERMISSION_H
#define ROLEBRIDGE_RULES_PERMISSION_H

#include <stdbool.h>

#include <rolebridge/base/err.h>

/* ERR_INVALID with the cause when malformed. Fields: [a-z][a-z0-9_.-]{0,63} or '*'. */
int permission_check(const char *text, struct err *err);
/* Does holding `held` include `asked`? Scope all includes own and unassigned; both well-formed. */
bool permission_covers(const char *held, const char *asked);
/* Is there anything that both include? Both well-formed. */
bool permission_meets(const char *one, const char *other);

#endif
