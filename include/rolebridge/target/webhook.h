/*
 * The kind "webhook": what happened to people, posted to a URL as JSON (schemas/webhook-event.schema.json), each event with an
 * id of its own that stays the same at every attempt, signed as Standard Webhooks has it.
 */
#ifndef ROLEBRIDGE_TARGET_WEBHOOK_H
#define ROLEBRIDGE_TARGET_WEBHOOK_H

#include <rolebridge/target/target.h>

struct webhook_settings {
	struct target_settings target;
	struct located url;
	struct located_list secret_files;	     /* each signs; the first is the new one */
	struct located ca_file;			     /* NULL: the system's */
	int64_t timeout_s;			     /* 10: of one event */
	int64_t concurrency;			     /* 8: events under way at once */
	struct located_list events;		     /* none: all */
	struct located_list organizations, profiles; /* whose events; none: everybody's */
	/* outgoing.allowed_networks, put here by main after the whole was read; NULL: none. */
	const struct located_list *allowed_networks;
};

extern const struct option_table webhook_table;
/* What the table cannot say: warns of organizations and profiles that there are not. */
void webhook_check(const struct webhook_settings *settings, const struct setup *setup,
		   struct diagnostics *list);
extern const struct target_kind webhook_kind;

#endif
