/* The option table of audit, and what rows cannot say. In: parsed settings. Out: findings. Nothing else can fail. */
#include <rolebridge/audit/settings.h>

#define DAY_S 86400

static void check_settings(void *item, struct diagnostics *list)
{
	const struct audit_settings *settings = item;

	if (settings->archive.text && settings->retention_s == 0)
		diagnostics_add(list, SEVERITY_ERROR, "missing-key", settings->archive.at, NULL,
				"'archive' takes what 'retention' lets go, which is not given");
}

static const struct option audit_options[] = {
	{ .name = "retention",
	  .type = OPTION_SECONDS,
	  .min = 30 * DAY_S,
	  .max = INT64_C(36500) * DAY_S,
	  .offset = OPTION_FIELD(struct audit_settings, retention_s),
	  .help = "How long rows of the audit log are kept, at least. Not given: for ever. Older ones go in pieces, "
		  "and at most a day later; what is left can still be verified." },
	{ .name = "archive",
	  .type = OPTION_PATH,
	  .offset = OPTION_FIELD(struct audit_settings, archive),
	  .help = "A folder that takes rows, as JSON lines, before they go. It must be there and writable by the "
		  "daemon; while it is not, no row goes." },
	{ .name = NULL },
};

const struct option_table audit_table = {
	.name = "audit",
	.help = "How long the audit log is kept.",
	.struct_size = sizeof(struct audit_settings),
	.options = audit_options,
	.check = check_settings,
};
