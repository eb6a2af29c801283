/*
 * A door: a listener on loopback of its own, by which an administrator gets in with a link of root's whatever becomes of
 * the web side: no public_url or a wrong one, no listener, a certificate that is over, a proxy that is away. It is there as
 * long as the link is good, and whoever came by it signed in.
 */
#ifndef ROLEBRIDGE_MAIN_DOOR_H
#define ROLEBRIDGE_MAIN_DOOR_H

#include <rolebridge/api/api.h>

#include "configuration.h"

struct door;

/* Closed yet. Borrows what the settings point at. NULL: out of memory. */
struct door *door_create(const struct web_settings_in *web, const struct api_settings *api);
void door_destroy(struct door *door); /* NULL is fine */

/*
 * Open it, or keep it open, until then at least. address: "127.0.0.1:8443", port 0 for any; NULL: any on 127.0.0.1. One that
 * is open elsewhere is closed, and nobody is signed in by it any more; with address NULL it stays where it is.
 * *url (appended): "http://127.0.0.1:8443". ERR_INVALID "not-loopback"; ERR_CONFLICT: the port is taken.
 */
int door_open(struct door *door, struct configuration *config, const char *address, int64_t until_s,
	      struct strbuf *url, struct err *err);
/* After a reload. */
void door_configure(struct door *door, struct configuration *config);
/* Timer, every few seconds: close it when it is time. */
void door_tick(struct door *door, int64_t now_s);
/* For good: the daemon ends. */
void door_close(struct door *door, int64_t drain_ms);

#endif
