/*
 * Where the web side is served. A listener that cannot be had, for its address is taken or its certificate is no good, keeps
 * nothing else from working: an alarm says so, and it is tried again until it is there.
 */
#ifndef ROLEBRIDGE_MAIN_LISTENERS_H
#define ROLEBRIDGE_MAIN_LISTENERS_H

#include <rolebridge/api/web.h>
#include <rolebridge/http/router.h>

#include "configuration.h"

struct listeners;

/* None yet. Borrows all three. NULL: out of memory. */
struct listeners *listeners_create(struct changer *changer, struct web *web,
				   const struct http_router *router);
void listeners_destroy(struct listeners *listeners); /* NULL is fine */

/* Those of this configuration, which stay to the end. Fails without memory alone. */
int listeners_start(struct listeners *listeners, struct configuration *config, struct err *err);
/* After a reload: certificates are read anew; what else has changed needs a restart, which is told. */
void listeners_configure(struct listeners *listeners, struct configuration *config);
/* Timer, every few seconds: those that could not be had are tried again. */
void listeners_tick(struct listeners *listeners);
/* Running requests may end for at most drain_ms each. */
void listeners_stop(struct listeners *listeners, int64_t drain_ms);
/* Is there any that answers? Before listeners_start it is taken for granted. */
bool listeners_any(struct listeners *listeners);

#endif
