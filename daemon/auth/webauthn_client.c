/*
 * What the browser says it asked the authenticator (Web Authentication, 5.8.1 and 7.1, 7.2). Enters: JSON text of a browser.
 * Leaves: the challenge that it answers. Fails with a reason for each thing that is not as it should be. Apart from
 * the rest, since jansson and our writer name their functions alike.
 */
#include "webauthn_parts.h"

#include <string.h>

#include <jansson.h>

static int malformed(struct err *err)
{
	return err_refuse(err, ERR_DENIED, "webauthn-malformed", "the client data is malformed");
}

/* NULL: not there, no text, or one with NUL in it. */
static const char *text_of(const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);
	const char *text = json_string_value(value);

	return text && strlen(text) == json_string_length(value) ? text : NULL;
}

static int check_origin(const struct webauthn_site *site, const json_t *client, struct err *err)
{
	const json_t *crossed = json_object_get(client, "crossOrigin");
	const char *origin = text_of(client, "origin");

	if (!origin || (crossed && !json_is_boolean(crossed)))
		return malformed(err);
	if (strcmp(origin, site->origin) != 0)
		return err_refuse(err, ERR_DENIED, "webauthn-origin",
				  "the answer was made at another origin");
	if (json_is_true(crossed) || json_object_get(client, "topOrigin"))
		return err_refuse(err, ERR_DENIED, "webauthn-origin",
				  "the answer was made within another site's page");
	return 0;
}

static int check_challenge(const struct webauthn_asking *asking, enum challenge_purpose purpose,
			   const json_t *client, struct webauthn_used *ret_used, struct err *err)
{
	const char *challenge = text_of(client, "challenge");

	if (!challenge)
		return malformed(err);
	if (ticket_challenge_open(asking->tickets, challenge, purpose, asking->session_id,
				  asking->now_s, &ret_used->until_s, NULL) < 0)
		return err_refuse(err, ERR_DENIED, "webauthn-challenge",
				  "the answer is to no question of this sign-in, or too late");
	memcpy(ret_used->name, challenge, sizeof(ret_used->name));
	return 0;
}

static int check_client(const struct webauthn_asking *asking, enum challenge_purpose purpose,
			const json_t *client, struct webauthn_used *ret_used, struct err *err)
{
	const char *wanted = purpose == CHALLENGE_ENROL ? "webauthn.create" : "webauthn.get";
	const char *type = text_of(client, "type");

	if (!type)
		return malformed(err);
	if (strcmp(type, wanted) != 0)
		return err_refuse(err, ERR_DENIED, "webauthn-type",
				  "the answer is to another kind of question");
	if (check_origin(asking->site, client, err) < 0)
		return -1;
	return check_challenge(asking, purpose, client, ret_used, err);
}

int webauthn_client_check(const struct webauthn_asking *asking, enum challenge_purpose purpose,
			  struct webauthn_bytes raw, struct webauthn_used *ret_used,
			  struct err *err)
{
	json_t *client = raw.size > WEBAUTHN_CLIENT_MAX
				 ? NULL
				 : json_loadb((const char *)raw.data, raw.size,
					      JSON_REJECT_DUPLICATES, NULL);
	struct webauthn_used used = { .until_s = 0 };
	int status = json_is_object(client) ? check_client(asking, purpose, client, &used, err)
					    : malformed(err);

	json_decref(client);
	if (status == 0)
		*ret_used = used;
	return status;
}
