/* The option table of sms, and what rows cannot say. In: parsed settings. Out: findings. Nothing else can fail. */
#include <rolebridge/client/sms.h>

#include <string.h>

#define FIELDS_MAX 32

static void check_fields(const struct sms_settings *settings, struct diagnostics *list)
{
	bool has_to = false, has_text = false;

	if (settings->fields.count == 0)
		return;
	for (size_t i = 0; i < settings->fields.count; i++) {
		const struct located_list *values = &settings->fields.items[i].values;

		for (size_t j = 0; j < values->count; j++) {
			has_to = has_to || strstr(values->items[j].text, "{to}");
			has_text = has_text || strstr(values->items[j].text, "{text}");
		}
	}
	if (!has_to || !has_text)
		diagnostics_add(list, SEVERITY_ERROR, "invalid-value", settings->fields.at,
				"As {Body: \"{text}\", To: \"{to}\"}.", "no field holds '%s'",
				has_to ? "{text}" : "{to}");
	if (settings->fields.count > FIELDS_MAX)
		diagnostics_add(list, SEVERITY_ERROR, "invalid-value", settings->fields.at, NULL,
				"more than %d fields", FIELDS_MAX);
}

static void check_settings(void *item, struct diagnostics *list)
{
	const struct sms_settings *settings = item;
	const struct located *url = &settings->url, *scheme = &settings->scheme;

	check_fields(settings, list);
	if (url->text && strncmp(url->text, "https://", 8) != 0 &&
	    strncmp(url->text, "http://", 7) != 0)
		diagnostics_add(list, SEVERITY_ERROR, "invalid-url", url->at,
				"As https://sms.example.com/send.",
				"the URL of the SMS gateway is not https");
	for (const char *at = scheme->text ? scheme->text : ""; *at; at++) {
		if (*at > 0x20 && *at < 0x7f)
			continue;
		diagnostics_add(list, SEVERITY_ERROR, "invalid-value", scheme->at, NULL,
				"'authorization' is one word");
		return;
	}
}

static const char *const format_names[] = { "json", "form", NULL };

static const struct option sms_options[] = {
	{ .name = "url",
	  .type = OPTION_STRING,
	  .flags = OPTION_REQUIRED | OPTION_NOT_EMPTY,
	  .max = 2048,
	  .offset = OPTION_FIELD(struct sms_settings, url),
	  .help = "Where the gateway takes messages, by POST: 'https://sms.example.com/send'. http only within "
		  "'outgoing.allowed_networks'." },
	{ .name = "format",
	  .type = OPTION_ENUM,
	  .choices = format_names,
	  .offset = OPTION_FIELD(struct sms_settings, format),
	  .default_text = "json",
	  .help = "What is posted: one JSON object, or a form as browsers send it." },
	{ .name = "fields",
	  .type = OPTION_PAIRS,
	  .offset = OPTION_FIELD(struct sms_settings, fields),
	  .help = "Its members by name; {to}, {text} and {sender} stand for the number (+491701234567), the message and "
		  "'sender'. A list of texts becomes an array, or several fields. Not given: to, text, and sender where "
		  "there is one." },
	{ .name = "sender",
	  .type = OPTION_STRING,
	  .flags = OPTION_NOT_EMPTY,
	  .max = 100,
	  .offset = OPTION_FIELD(struct sms_settings, sender),
	  .help = "Whom messages come from: a number or a name, as the gateway allows it." },
	{ .name = "authorization",
	  .type = OPTION_STRING,
	  .flags = OPTION_NOT_EMPTY,
	  .max = 64,
	  .offset = OPTION_FIELD(struct sms_settings, scheme),
	  .default_text = "Bearer",
	  .help = "What stands before the token in the header Authorization. 'Basic': the file holds user:password." },
	{ .name = "token_file",
	  .type = OPTION_STRING,
	  .flags = OPTION_NOT_EMPTY,
	  .max = 4096,
	  .offset = OPTION_FIELD(struct sms_settings, token_file),
	  .help = "File with the token alone, not readable by others; a name without '/' is a credential of systemd. "
		  "Read at each message. Not given: no such header is sent." },
	{ .name = "ca_file",
	  .type = OPTION_PATH,
	  .offset = OPTION_FIELD(struct sms_settings, ca_file),
	  .help = "Certificates in PEM that vouch for the gateway, instead of the system's." },
	{ .name = "timeout",
	  .type = OPTION_SECONDS,
	  .min = 1,
	  .max = 60,
	  .offset = OPTION_FIELD(struct sms_settings, timeout_s),
	  .default_text = "10s",
	  .help = "For one message. Of a code, which somebody waits for, it is at most 10 s." },
	{ .name = NULL },
};

const struct option_table sms_table = {
	.name = "sms",
	.help = "An HTTP gateway that sends SMS: codes for signing in. Without it none are, and nobody can be asked for one.",
	.struct_size = sizeof(struct sms_settings),
	.options = sms_options,
	.check = check_settings,
};
