/*
 * What of the SAML side is in force: sources and the pool of workers made for them. Enters: a configuration and
 * what the IdPs say. Leaves: a state, immutable and counted. Fails: memory, or workers that do not start.
 */
#include "saml_state.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>

#define WANTED_MAX ((size_t)64 * 1024 * 1024)

struct saml_state *saml_state_take(struct saml_service *service)
{
	struct saml_state *state;

	pthread_mutex_lock(&service->lock);
	state = service->state;
	if (state)
		state->references++;
	pthread_mutex_unlock(&service->lock);
	return state;
}

void saml_state_give(struct saml_service *service, struct saml_state *state)
{
	bool last;

	if (!state)
		return;
	pthread_mutex_lock(&service->lock);
	last = --state->references == 0;
	pthread_mutex_unlock(&service->lock);
	if (!last)
		return;
	saml_pool_release(state->pool);
	setup_release(state->setup);
	free(state->sources);
	free(state->views);
	free(state->until_s);
	free(state);
}

struct saml_state *saml_state_create(struct configuration *config)
{
	struct saml_state *state = calloc(1, sizeof(*state));
	size_t most = config->setup.source_count;

	if (!state)
		return NULL;
	state->references = 1;
	state->setup = setup_acquire(&config->setup);
	state->sources = calloc(most + 1, sizeof(*state->sources));
	state->views = calloc(most + 1, sizeof(*state->views));
	state->until_s = calloc(most + 1, sizeof(*state->until_s));
	for (size_t i = 0; state->sources && i < most; i++) {
		const struct source_settings *source = config->setup.sources[i];

		if (!source->broken && strcmp(source->type.text, saml_source_table.name) == 0)
			state->sources[state->count++] = (const void *)source;
	}
	for (size_t i = 0; state->sources && state->views && i < state->count; i++)
		state->views[i] = (struct saml_source_view){
			.name = state->sources[i]->common.name.text,
			.enabled = state->sources[i]->common.enabled,
			.idp_initiated = state->sources[i]->idp_initiated,
			.just_in_time = state->sources[i]->just_in_time,
		};
	return state;
}

bool saml_state_is_whole(const struct saml_state *state)
{
	return state && state->sources && state->views && state->until_s;
}

void saml_state_replace(struct saml_service *service, struct saml_state *state)
{
	struct saml_state *old;

	pthread_mutex_lock(&service->lock);
	old = service->state;
	service->state = state;
	pthread_mutex_unlock(&service->lock);
	saml_state_give(service, old);
}

static const char *own_url(const struct configuration *config, const struct saml_source *source,
			   const char *what, struct arena *arena)
{
	const char *url =
		config->settings.web.public_url.text ? config->settings.web.public_url.text : "";
	size_t size = strlen(url);

	while (size > 0 && url[size - 1] == '/')
		size--;
	return arena_printf(arena, "%.*s/saml/%s/%s", (int)size, url, source->common.name.text,
			    what);
}

static int fill_provider(struct configuration *config, const struct saml_source *source,
			 const struct idp *idp, int64_t now_s, struct arena *arena,
			 struct saml_provider *ret_provider, struct err *err)
{
	struct wanted_attribute *attributes;
	struct wanted_group *groups;
	struct saml_provider provider = {
		.settings = source,
		.idp = idp_is_ready(idp, now_s) ? &idp->facts : NULL,
		.sp_entity_id = source->entity_id.text ? source->entity_id.text
						       : own_url(config, source, "metadata", arena),
		.acs_url = own_url(config, source, "acs", arena),
		.slo_url = own_url(config, source, "slo", arena),
	};
	int email = schema_email(config->schema);

	if (email >= 0)
		provider.email_attribute = schema_get(config->schema, (uint16_t)email)->name;
	if (source_wanted_attributes(&source->common, config->schema, config->needed, arena,
				     &attributes, &provider.attribute_count, err) < 0 ||
	    configuration_wanted_groups(config, &source->common, arena, &groups,
					&provider.group_count, err) < 0)
		return -1;
	if (!provider.sp_entity_id || !provider.acs_url || !provider.slo_url)
		return err_set(err, ERR_MEMORY, "out of memory");
	provider.attributes = attributes;
	provider.groups = groups;
	*ret_provider = provider;
	return 0;
}

int saml_state_make_pool(struct configuration *config, struct saml_state *state,
			 const struct saml_state *before, struct idp **idps, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(WANTED_MAX);
	struct saml_provider *providers =
		arena ? arena_alloc_array(arena, state->count + 1, sizeof(*providers)) : NULL;
	int64_t now_s = clock_now_s();

	if (!providers)
		return err_set(err, ERR_MEMORY, "out of memory");
	for (size_t i = 0; i < state->count; i++) {
		if (fill_provider(config, state->sources[i], idps[i], now_s, arena, &providers[i],
				  err) < 0)
			return -1;
		state->views[i].ready = providers[i].idp != NULL;
		state->until_s[i] = providers[i].idp ? providers[i].idp->valid_until_s : 0;
	}
	if (state->count == 0)
		return 0;
	state->pool = saml_pool_renew(before ? before->pool : NULL, &config->settings.saml,
				      providers, state->count, err);
	return state->pool ? 0 : -1;
}
