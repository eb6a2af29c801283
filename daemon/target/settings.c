/* What all targets have in the configuration. Findings leave through diagnostics; nothing else can fail. */
#include <rolebridge/target/target.h>

#include <string.h>

#include <rolebridge/identity/names.h>

#include "internal.h"

static void check_target(void *item, struct diagnostics *list)
{
	const struct target_settings *target = item;

	if (target->name.text && !slug_is_valid(target->name.text))
		diagnostics_add(list, SEVERITY_ERROR, "invalid-name", target->name.at,
				"Use lower-case letters, digits, '.', '_' and '-'.",
				"target name '%s' is not allowed", target->name.text);
	if (target->retry_max_s < target->retry_min_s)
		diagnostics_add(list, SEVERITY_ERROR, "invalid-value", target->at, NULL,
				"retry_max is shorter than retry_min");
}

static const struct option target_options[] = {
	{ .name = "name",
	  .type = OPTION_STRING,
	  .flags = OPTION_REQUIRED | OPTION_NOT_EMPTY,
	  .max = TARGET_NAME_MAX,
	  .offset = OPTION_FIELD(struct target_settings, name),
	  .help = "Short name, in commands, logs and metrics. Another name is another target: what "
		  "waits for the former one stays until it is dropped." },
	{ .name = "type",
	  .type = OPTION_STRING,
	  .flags = OPTION_REQUIRED,
	  .offset = OPTION_FIELD(struct target_settings, type),
	  .help = "The kind of target." },
	{ .name = "enabled",
	  .type = OPTION_BOOL,
	  .default_text = "true",
	  .offset = OPTION_FIELD(struct target_settings, enabled),
	  .help = "Whether it is told anything. While it is false nothing is queued, and what waits "
		  "stays; afterwards `rolebridgectl targets reconcile` tells it what holds." },
	{ .name = "retry_min",
	  .type = OPTION_SECONDS,
	  .min = 1,
	  .max = 3600,
	  .default_text = "5s",
	  .offset = OPTION_FIELD(struct target_settings, retry_min_s),
	  .help = "Pause after the first failure. It doubles with each further one, with jitter." },
	{ .name = "retry_max",
	  .type = OPTION_SECONDS,
	  .min = 1,
	  .max = 86400,
	  .default_text = "10m",
	  .offset = OPTION_FIELD(struct target_settings, retry_max_s),
	  .help = "Longest pause between attempts." },
	{ .name = "give_up_after",
	  .type = OPTION_SECONDS,
	  .max = 31536000,
	  .default_text = "7d",
	  .offset = OPTION_FIELD(struct target_settings, give_up_s),
	  .help = "A delivery that failed by itself eight times and waits for so long is a dead "
		  "letter: it is not tried again until somebody says so. 0: never." },
	{ .name = "alarm_after",
	  .type = OPTION_SECONDS,
	  .min = 10,
	  .max = 31536000,
	  .default_text = "15m",
	  .offset = OPTION_FIELD(struct target_settings, alarm_after_s),
	  .help = "What waits for so long raises the alarm target-behind." },
	{ .name = NULL },
};

const struct option_table target_base_table = {
	.name = "targets[]",
	.help = "Where decisions are carried out outside of the store. Each type has further keys.",
	.struct_size = sizeof(struct target_settings),
	.options = target_options,
	.check = check_target,
};

void targets_settings_check(const struct target_settings *const *targets, size_t count,
			    struct diagnostics *list)
{
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < i && targets[i]->name.text; j++)
			if (targets[j]->name.text &&
			    strcmp(targets[i]->name.text, targets[j]->name.text) == 0) {
				diagnostics_add(
					list, SEVERITY_ERROR, "duplicate-name", targets[i]->name.at,
					"Give each target a name of its own.",
					"target '%s' is declared twice", targets[i]->name.text);
				break;
			}
}

/* Not errors: what the store holds of the catalogue may go, and the files stay as they are. */
void target_check_names(const struct catalogue_settings *catalogue, enum grant_kind kind,
			const struct located_list *names, struct diagnostics *list)
{
	struct catalogue_item unused;

	for (size_t i = 0; i < names->count; i++) {
		const struct located *name = &names->items[i];

		if (!catalogue_find(catalogue, kind, name->text, &unused))
			diagnostics_add(list, SEVERITY_WARNING,
					kind == GRANT_PROFILE ? "unknown-profile" : "unknown-role",
					name->at, NULL, "no %s '%s' is declared",
					grant_kind_name(kind), name->text);
	}
}
