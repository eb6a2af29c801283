/*
 * Option tables of signing in with passwords and of throttling guesses. In: parsed settings. Out: findings. Nothing
 * else can fail.
 */
#include <rolebridge/auth/settings.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define MIB ((int64_t)1024 * 1024)

/* What OWASP's cheat sheet on storing passwords names as the least, as memory times passes. */
#define WEAK_BELOW (38 * MIB)

static void check_passwords(void *item, struct diagnostics *list)
{
	const struct passwords_settings *settings = item;

	/* A warning: it may be checked elsewhere than where it will run. There, nothing begins without it. */
	if (settings->common_file.text && access(settings->common_file.text, R_OK) < 0)
		diagnostics_add(list, SEVERITY_WARNING, "unreadable-file", settings->common_file.at,
				NULL, "cannot read '%s': %s", settings->common_file.text,
				strerror(errno));
	if (settings->memory * settings->operations < WEAK_BELOW)
		diagnostics_add(
			list, SEVERITY_WARNING, "weak-hashing", settings->at,
			"At least 19MiB of memory and 2 operations.",
			"hashes of passwords are cheap enough to be guessed from a stolen store");
}

static const struct option passwords_options[] = {
	{ .name = "enabled",
	  .type = OPTION_BOOL,
	  .offset = OPTION_FIELD(struct passwords_settings, enabled),
	  .default_text = "false",
	  .help = "People that no IdP manages sign in with a password kept here. Off unless said, so that nobody who "
		  "relies on an IdP finds a second door; passwords that are set stay while it is off." },
	{ .name = "min_length",
	  .type = OPTION_INT,
	  .min = 8,
	  .max = 128,
	  .offset = OPTION_FIELD(struct passwords_settings, min_length),
	  .default_text = "12",
	  .help = "Characters that a new password has at least. At most are 1,024 bytes." },
	{ .name = "common_file",
	  .type = OPTION_PATH,
	  .offset = OPTION_FIELD(struct passwords_settings, common_file),
	  .help = "Words, one in a line of UTF-8, that are too common for a password, with simple endings or without, "
		  "besides those that the daemon knows. Read at start and reload." },
	{ .name = "memory",
	  .type = OPTION_BYTES,
	  .min = 8 * MIB,
	  .max = 4096 * MIB,
	  .offset = OPTION_FIELD(struct passwords_settings, memory),
	  .default_text = "64MiB",
	  .help = "Memory of one Argon2id hash. Passwords are hashed anew when their owners sign in after a change." },
	{ .name = "operations",
	  .type = OPTION_INT,
	  .min = 1,
	  .max = 100,
	  .offset = OPTION_FIELD(struct passwords_settings, operations),
	  .default_text = "3",
	  .help = "Passes of one hash over its memory." },
	{ .name = "workers",
	  .type = OPTION_INT,
	  .min = 0,
	  .max = 16,
	  .offset = OPTION_FIELD(struct passwords_settings, workers),
	  .default_text = "0",
	  .help = "Hashes that are made at the same time. 0: half as many as there are cores." },
	{ .name = "waiting",
	  .type = OPTION_INT,
	  .min = 1,
	  .max = 24,
	  .offset = OPTION_FIELD(struct passwords_settings, waiting),
	  .default_text = "16",
	  .help = "Requests that may wait for a hash; further ones are answered with 503 and Retry-After." },
	{ .name = NULL },
};

const struct option_table passwords_table = {
	.name = "passwords",
	.help = "Signing in with a password, for people that no IdP manages. Hashes are Argon2id.",
	.struct_size = sizeof(struct passwords_settings),
	.options = passwords_options,
	.check = check_passwords,
};

static void check_throttle(void *item, struct diagnostics *list)
{
	const struct throttle_settings *settings = item;

	if (settings->delay_s > settings->delay_max_s)
		diagnostics_add(list, SEVERITY_ERROR, "invalid-value", settings->at, NULL,
				"'delay' is longer than 'delay_max'");
}

static const struct option throttle_options[] = {
	{ .name = "attempts",
	  .type = OPTION_INT,
	  .min = 1,
	  .max = 100,
	  .offset = OPTION_FIELD(struct throttle_settings, attempts),
	  .default_text = "5",
	  .help = "Wrong passwords or codes for one account before the next must wait." },
	{ .name = "delay",
	  .type = OPTION_SECONDS,
	  .min = 1,
	  .max = 3600,
	  .offset = OPTION_FIELD(struct throttle_settings, delay_s),
	  .default_text = "1s",
	  .help = "The first delay. Each further wrong one doubles it; a right one ends it." },
	{ .name = "delay_max",
	  .type = OPTION_SECONDS,
	  .min = 1,
	  .max = 86400,
	  .offset = OPTION_FIELD(struct throttle_settings, delay_max_s),
	  .default_text = "15m",
	  .help = "The longest delay: no account is locked for longer. One wrong attempt is forgotten in each such "
		  "time. Of an address it is at most a minute, for many may share one." },
	{ .name = "address_attempts",
	  .type = OPTION_INT,
	  .min = 1,
	  .max = 1000000,
	  .offset = OPTION_FIELD(struct throttle_settings, address_attempts),
	  .default_text = "100",
	  .help = "Wrong ones from one address (IPv6: /64) before the next must wait; so many are forgotten in each "
		  "'delay_max'." },
	{ .name = NULL },
};

const struct option_table throttle_table = {
	.name = "throttle",
	.help = "Guessing passwords and codes: how it is slowed down, by account and by address. Who signed in from an "
		"address before is not kept out there by others' guesses.",
	.struct_size = sizeof(struct throttle_settings),
	.options = throttle_options,
	.check = check_throttle,
};
