/* The option table of webhooks, and what rows cannot say. In: parsed settings. Out: findings. Nothing else can fail. */
#include <string.h>

#include <rolebridge/base/text.h>
#include <rolebridge/client/poster.h>

#include "internal.h"
#include "webhook.h"

static void check_url(const struct located *url, struct diagnostics *list)
{
	struct err err = { 0 };

	if (url->text && poster_check_url(url->text, &err) < 0)
		diagnostics_add(list, SEVERITY_ERROR, "invalid-url", url->at,
				"As https://app.example.com/hooks/people.", "%s", err.text);
}

static void check_events(const struct located_list *events, struct diagnostics *list)
{
	const char *names[DELIVERY_EVENTS];

	for (int i = 0; i < DELIVERY_EVENTS; i++)
		names[i] = delivery_event_name((enum delivery_event)(i + 1));
	for (size_t i = 0; i < events->count; i++) {
		const struct located *event = &events->items[i];
		const char *near;
		char hint[128];

		if (delivery_event_parse(event->text, &(enum delivery_event){ 0 }))
			continue;
		near = text_nearest(event->text, names, DELIVERY_EVENTS);
		if (near)
			snprintf(hint, sizeof(hint), "Did you mean '%s'?", near);
		diagnostics_add(list, SEVERITY_ERROR, "unknown-event", event->at,
				near ? hint : "As 'user.disabled'.", "there is no event '%.64s'",
				event->text);
	}
}

void webhook_check(const struct webhook_settings *settings, const struct setup *setup,
		   struct diagnostics *list)
{
	const struct located_list *organizations = &settings->organizations;

	target_check_names(setup->catalogue, GRANT_PROFILE, &settings->profiles, list);
	for (size_t i = 0; i < organizations->count; i++) {
		const struct located *name = &organizations->items[i];

		if (!change_organization_exists(setup, name->text))
			diagnostics_add(list, SEVERITY_WARNING, "unknown-organization", name->at,
					NULL, "there is no organization '%s'", name->text);
	}
}

static void check_settings(void *item, struct diagnostics *list)
{
	const struct webhook_settings *settings = item;

	check_url(&settings->url, list);
	check_events(&settings->events, list);
}

static const struct option webhook_options[] = {
	{ .name = "url",
	  .type = OPTION_STRING,
	  .flags = OPTION_REQUIRED | OPTION_NOT_EMPTY,
	  .max = 2048,
	  .offset = OPTION_FIELD(struct webhook_settings, url),
	  .help = "Where events are posted: 'https://app.example.com/hooks/people'. http only within "
		  "'outgoing.allowed_networks'. Redirects are not followed." },
	{ .name = "secret_files",
	  .type = OPTION_STRINGS,
	  .flags = OPTION_REQUIRED | OPTION_NOT_EMPTY,
	  .max = WEBHOOK_SECRETS_MAX,
	  .offset = OPTION_FIELD(struct webhook_settings, secret_files),
	  .help = "File with the secret alone that signs events, 24 bytes or more, or 'whsec_' and base64; not readable by "
		  "others; a name without '/' is a credential of systemd. Two while a secret is being replaced: both "
		  "sign. Read as events are sent." },
	{ .name = "ca_file",
	  .type = OPTION_PATH,
	  .offset = OPTION_FIELD(struct webhook_settings, ca_file),
	  .help = "Certificates in PEM that vouch for the receiver, instead of the system's." },
	{ .name = "timeout",
	  .type = OPTION_SECONDS,
	  .min = 1,
	  .max = 60,
	  .offset = OPTION_FIELD(struct webhook_settings, timeout_s),
	  .default_text = "10s",
	  .help = "For one event, from connecting to the answer's end." },
	{ .name = "concurrency",
	  .type = OPTION_INT,
	  .min = 1,
	  .max = 64,
	  .offset = OPTION_FIELD(struct webhook_settings, concurrency),
	  .default_text = "8",
	  .help = "Events under way at once, of as many different people; those of one person go one after the other." },
	{ .name = "events",
	  .type = OPTION_STRINGS,
	  .max = DELIVERY_EVENTS,
	  .offset = OPTION_FIELD(struct webhook_settings, events),
	  .help = "Which events it is told of: user.provisioned, user.updated, user.disabled, user.enabled, user.deleted, "
		  "grants.changed, and user.state (somebody asked to reconcile). Not given: all." },
	{ .name = "organizations",
	  .type = OPTION_STRINGS,
	  .max = 1000,
	  .offset = OPTION_FIELD(struct webhook_settings, organizations),
	  .help = "Whose people it is told of, those who leave them included. Not given: everybody." },
	{ .name = "profiles",
	  .type = OPTION_STRINGS,
	  .max = 1000,
	  .offset = OPTION_FIELD(struct webhook_settings, profiles),
	  .help = "People of which profiles it is told of, those who lose them included. Not given: everybody." },
	{ .name = NULL },
};

const struct option_table webhook_table = {
	.name = "webhook",
	.help = "Events, posted as JSON and signed as Standard Webhooks has it.",
	.struct_size = sizeof(struct webhook_settings),
	.options = webhook_options,
	.base = &target_base_table,
	.check = check_settings,
};
