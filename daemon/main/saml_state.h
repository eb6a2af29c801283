/* What the files of the SAML side share: the service, and what of it is in force. Inside main/ only. */
#ifndef ROLEBRIDGE_MAIN_SAML_STATE_H
#define ROLEBRIDGE_MAIN_SAML_STATE_H

#include <pthread.h>

#include <rolebridge/source/saml.h>

#include "idp.h"
#include "saml.h"

/* What is in force; immutable, counted. */
struct saml_state {
	unsigned references;	/* by lock */
	struct setup *setup;	/* keeps the settings alive */
	struct saml_pool *pool; /* NULL: there are no sources, or it could not be made */
	size_t count;
	const struct saml_source **sources;
	struct saml_source_view *views;
	int64_t *until_s; /* of what the pool has of each; 0: no end */
};

struct saml_service {
	struct changer *changer;
	pthread_mutex_t building;
	struct idp **idps; /* by building; parallel to the sources of the present state */
	size_t idp_count;
	bool stale; /* by building: the pool is not of what the IdPs say now */
	struct setup *
		waiting; /* by building: of a configuration that no pool could be made of; NULL: none */
	bool settled;	   /* by building: that all is well with the pool is known in the store */
	char problem[512]; /* by building: why not */
	int64_t retry_us;  /* by building: when a pool that could not be made is tried again */
	int64_t wait_retry_us; /* by building: when a configuration that waits is tried again */
	pthread_mutex_t lock;
	struct saml_state *state;
	pthread_cond_t wake;
	pthread_t thread;
	bool started, stopping; /* by lock */
	/* Of the refresh thread: workers lost, in the present pool and lately in all. */
	uint64_t deaths_seen, deaths_lately;
	int64_t death_s;
	const struct saml_pool *deaths_of;
	bool deaths_alarmed, alarm_may_stand; /* the latter: from before a restart, too */
};

/* The present state, with a reference to be given back; NULL: none yet. */
struct saml_state *saml_state_take(struct saml_service *service);
void saml_state_give(struct saml_service *service, struct saml_state *state);
/* The sources of a configuration, without a pool. NULL, or not whole: out of memory. */
struct saml_state *saml_state_create(struct configuration *config);
bool saml_state_is_whole(const struct saml_state *state);
/* Workers that know what the IdPs, parallel to the sources, say now: those of `before` (NULL: none) if they do. */
int saml_state_make_pool(struct configuration *config, struct saml_state *state,
			 const struct saml_state *before, struct idp **idps, struct err *err);
/* Takes over the reference; NULL: nothing is in force any more. */
void saml_state_replace(struct saml_service *service, struct saml_state *state);

#endif
