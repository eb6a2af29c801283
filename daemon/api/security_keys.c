/*
 * Security keys and passkeys by API. Enters: requests of somebody in a session of theirs, and what their browser answered.
 * Leaves: JSON, what the browser is to be asked, keys that are theirs.
 */
#include <rolebridge/auth/webauthn_factor.h>

#include "factors.h"
#include "signin/webauthn.h"

/* base64url of the longest part of an answer. */
#define FIELD_TEXT_MAX 24000

int me_webauthn_options_post(struct http_request *request, struct http_response *response,
			     struct err *err)
{
	AUTO(reading_view) struct reading_view reading = { 0 };
	struct webauthn_site site;
	struct own own;
	int result = own_begin(request, &own, err);

	if (result == 0)
		result = webauthn_site_make(own.site->url, request->arena, &site, err);
	if (result == 0)
		result = view_open(request, &reading, err);
	if (result == 0)
		result = factor_offer_webauthn(&own.parts, &own.asker, &site, reading.store,
					       request->arena, &response->body, err);
	own_finish(&own);
	return result;
}

struct key_body {
	const char *name, *id, *client_data, *attestation;
};

static const struct field key_fields[] = {
	{ "name", FIELD_TEXT, 0, offsetof(struct key_body, name), FACTOR_NAME_MAX, NULL, 0 },
	{ "id", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct key_body, id), FIELD_TEXT_MAX, NULL,
	  0 },
	{ "client_data", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct key_body, client_data),
	  FIELD_TEXT_MAX, NULL, 0 },
	{ "attestation", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct key_body, attestation),
	  FIELD_TEXT_MAX, NULL, 0 },
};

static int enrol_json(struct http_request *request, struct http_response *response,
		      const struct own *own, struct err *err)
{
	AUTO(reading_view) struct reading_view reading = { 0 };
	struct json json = api_json(response);
	struct key_body body = { .name = "" };
	struct webauthn_site site;
	struct session session;
	char id[UUID_TEXT_SIZE];
	struct uuid uuid;
	int64_t wait_s = 0;

	if (request_read(request, key_fields, ARRAY_LEN(key_fields), &body, err) < 0 ||
	    webauthn_site_make(own->site->url, request->arena, &site, err) < 0 ||
	    view_open(request, &reading, err) < 0)
		return -1;

	const struct webauthn_answer answer = { .id = body.id,
						.client_data = body.client_data,
						.attestation = body.attestation };

	if (factor_enrol_webauthn(&own->parts, &own->asker, &site, reading.store, body.name,
				  &answer, request->arena, &uuid, &session, &wait_s, err) < 0) {
		factor_wait(request, wait_s);
		return -1;
	}
	/* The first one that they have gives the session another token. */
	if (session.id != 0 && own_rotate(request, response, own, err) < 0)
		return -1;
	uuid_format(&uuid, id);
	response->status = 201;
	json_object(&json);
	json_string(&json, "id", id);
	json_end(&json);
	return 0;
}

int me_webauthn_post(struct http_request *request, struct http_response *response, struct err *err)
{
	struct own own;
	int result = own_begin(request, &own, err);

	if (result == 0)
		result = enrol_json(request, response, &own, err);
	own_finish(&own);
	return result;
}
