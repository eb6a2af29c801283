/* The option table of mail, and what rows cannot say. In: parsed settings. Out: findings. Nothing else can fail. */
#include <rolebridge/client/mail.h>

#include <string.h>

static void check_alarms(const struct located_list *alarms, struct diagnostics *list)
{
	struct err err = { 0 };

	for (size_t i = 0; i < alarms->count; i++) {
		const struct located *item = &alarms->items[i];

		if (strcmp(item->text, MAIL_ALARMS_ADMINISTRATORS) == 0)
			continue;
		if (strcmp(item->text, MAIL_ALARMS_NONE) == 0) {
			if (alarms->count > 1)
				diagnostics_add(list, SEVERITY_ERROR, "invalid-value", item->at,
						NULL, "'" MAIL_ALARMS_NONE "' stands alone");
		} else if (mail_check_address(item->text, &err) < 0) {
			diagnostics_add(list, SEVERITY_ERROR, "invalid-address", item->at,
					"Or '" MAIL_ALARMS_ADMINISTRATORS "', or '" MAIL_ALARMS_NONE
					"'.",
					"%s", err.text);
		}
	}
}

static void check_settings(void *item, struct diagnostics *list)
{
	const struct mail_settings *settings = item;
	struct err err = { 0 };

	if (settings->url.text && mail_check_url(settings->url.text, &err) < 0)
		diagnostics_add(list, SEVERITY_ERROR, "invalid-url", settings->url.at, NULL, "%s",
				err.text);
	if (settings->from.text && mail_check_address(settings->from.text, &err) < 0)
		diagnostics_add(list, SEVERITY_ERROR, "invalid-address", settings->from.at, NULL,
				"%s", err.text);
	if (settings->from_name.text &&
	    mail_check_text("the sender's name", settings->from_name.text, &err) < 0)
		diagnostics_add(list, SEVERITY_ERROR, "invalid-value", settings->from_name.at, NULL,
				"%s", err.text);
	check_alarms(&settings->alarms, list);
	if ((settings->username.text == NULL) != (settings->password_file.text == NULL))
		diagnostics_add(list, SEVERITY_ERROR, "missing-key", settings->at, NULL,
				"'username' and 'password_file' are given both or not at all");
}

static const struct option mail_options[] = {
	{ .name = "url",
	  .type = OPTION_STRING,
	  .flags = OPTION_REQUIRED | OPTION_NOT_EMPTY,
	  .max = 512,
	  .offset = OPTION_FIELD(struct mail_settings, url),
	  .help = "The server that takes mail: 'smtp://mail.example.com:587' (STARTTLS is required unless it is "
		  "on loopback) or 'smtps://mail.example.com'." },
	{ .name = "from",
	  .type = OPTION_STRING,
	  .flags = OPTION_REQUIRED | OPTION_NOT_EMPTY,
	  .max = 254,
	  .offset = OPTION_FIELD(struct mail_settings, from),
	  .help = "The address that mail comes from." },
	{ .name = "from_name",
	  .type = OPTION_STRING,
	  .flags = OPTION_NOT_EMPTY,
	  .max = 200,
	  .offset = OPTION_FIELD(struct mail_settings, from_name),
	  .help = "The name that mail comes from." },
	{ .name = "username",
	  .type = OPTION_STRING,
	  .flags = OPTION_NOT_EMPTY,
	  .max = 512,
	  .offset = OPTION_FIELD(struct mail_settings, username),
	  .help = "Who signs in at the server. Not given: nobody does." },
	{ .name = "password_file",
	  .type = OPTION_STRING,
	  .flags = OPTION_NOT_EMPTY,
	  .max = 4096,
	  .offset = OPTION_FIELD(struct mail_settings, password_file),
	  .help = "File with the password alone, not readable by others; a name without '/' is a credential of "
		  "systemd. Read at each message." },
	{ .name = "ca_file",
	  .type = OPTION_PATH,
	  .offset = OPTION_FIELD(struct mail_settings, ca_file),
	  .help = "Certificates in PEM that vouch for the server, instead of the system's." },
	{ .name = "timeout",
	  .type = OPTION_SECONDS,
	  .min = 1,
	  .max = 600,
	  .offset = OPTION_FIELD(struct mail_settings, timeout_s),
	  .default_text = "30s",
	  .help = "For one message, from connecting to the server's answer." },
	{ .name = "alarms",
	  .type = OPTION_STRINGS,
	  .max = 100,
	  .offset = OPTION_FIELD(struct mail_settings, alarms),
	  .default_text = MAIL_ALARMS_ADMINISTRATORS,
	  .help = "Who is told of new alarms: 'administrators' (those of the organization 'default', and of the "
		  "one that loses an administrator), addresses, or both; or 'none'. What comes within a minute is "
		  "one letter, and there are at most twelve in an hour." },
	{ .name = NULL },
};

const struct option_table mail_table = {
	.name = "mail",
	.help = "How mail is sent: invites and alarms. Without it none is, and nobody can be invited.",
	.struct_size = sizeof(struct mail_settings),
	.options = mail_options,
	.check = check_settings,
};
