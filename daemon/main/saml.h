/*
 * The SAML side of the daemon: metadata of every IdP, kept fresh, and the pool of workers made of it.
 *
 * A document comes from a file or a URL. What was good is kept beside the store, so that a restart
 * does not need the network; an emptied, expired, shrunk or unreadable document keeps the last good copy
 * and raises an alarm. Each change makes a new pool; the old one ends with its last job.
 */
#ifndef ROLEBRIDGE_MAIN_SAML_H
#define ROLEBRIDGE_MAIN_SAML_H

#include <rolebridge/api/web.h>

#include "configuration.h"

struct saml_service;

/* Borrows the changer. NULL on failure. */
struct saml_service *saml_service_create(struct changer *changer, struct err *err);
/*
 * Sources, keys and rules of a configuration come into force: reads metadata (files, kept copies; URLs that
 * have no kept copy are fetched in the background) and starts workers. When they cannot be had (a bad
 * key) an alarm says so and the old pool stays in force: -1. Where there was none, as at start-up, the sources
 * answer ERR_UNAVAILABLE, it is tried again by itself, and 0 is returned: directories are read all the same. Blocks
 * for as long as workers take to start.
 */
int saml_service_configure(struct saml_service *service, struct configuration *config,
			   struct err *err);
/* The thread that refreshes metadata. Stopping it takes a second at most, also while a server is asked. */
int saml_service_start(struct saml_service *service, struct err *err);
void saml_service_stop(struct saml_service *service);
void saml_service_destroy(struct saml_service *service);

/* What the web side asks. */
struct saml_ports saml_service_ports(struct saml_service *service);

#endif
