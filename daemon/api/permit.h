/*
 * What people may do, kept from request to request: a look at one permission costs no read of the store. Kept
 * with the person as sessions know them, who is another one after each change, and with the setup.
 * Safe from any thread.
 */
#ifndef API_PERMIT_H
#define API_PERMIT_H

#include <rolebridge/auth/sessions.h>
#include <rolebridge/change/authority.h>

struct permits;

struct permits *permits_create(void); /* NULL: out of memory */
void permits_destroy(struct permits *permits);
/* Does it cover the permission, and the scope (NULL: all) too? 1, 0, -1. */
int permits_ask(struct permits *permits, struct setup *setup, const struct principal *principal,
		const char *const *scope, size_t scope_count, const char *permission,
		struct err *err);

#endif
