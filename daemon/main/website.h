/*
 * The web side as a whole: sessions, sealed tickets, SAML, routes and listeners, made, reconfigured and ended
 * together.
 */
#ifndef ROLEBRIDGE_MAIN_WEBSITE_H
#define ROLEBRIDGE_MAIN_WEBSITE_H

#include <rolebridge/api/api.h>

#include "configuration.h"

struct website;

/*
 * Make it for this configuration; nothing listens yet. ready, metrics, context: for /readyz and /metrics. Fails when
 * the store cannot be read. Without a key that can be used all is there but signing in (see saml.h).
 */
struct website *website_create(struct changer *changer, struct configuration *config,
			       bool (*ready)(void *context),
			       void (*metrics)(void *context, struct strbuf *out), void *context,
			       struct err *err);
/* Listen, and keep metadata and sessions fresh. */
int website_start(struct website *website, struct configuration *config, struct err *err);
/*
 * After a reload. Listeners stay as they are but for their certificates. What cannot be used (a key,
 * a certificate) is logged, and the old one stays.
 */
void website_configure(struct website *website, struct configuration *config);
/* Stop listening; running requests may end for at most drain_ms. */
void website_stop(struct website *website, int64_t drain_ms);
void website_destroy(struct website *website);

struct web *website_web(struct website *website);
struct tickets *website_tickets(struct website *website);
struct bearers *website_bearers(struct website *website);
struct sessions *website_sessions(struct website *website);
/* The JSON API on the web listeners, too. Before website_start. */
int website_add_api(struct website *website, struct api *api, struct err *err);
/* A door (door.h) can be opened from now on. */
int website_add_door(struct website *website, const struct api_settings *settings, struct err *err);
int website_open_door(struct website *website, struct configuration *config, const char *address,
		      int64_t until_s, struct strbuf *url, struct err *err);
/* Is there any listener? */
bool website_is_served(struct website *website);

#endif
