/*
 * Errors as HTTP says them. Enters: an err. Leaves: a status, a stable code
 * word and the JSON body. Nothing fails but the buffer.
 */
#include <rolebridge/http/request.h>

#include <string.h>

#include <rolebridge/base/json.h>
#include <rolebridge/base/util.h>

static const struct http_error_kind kinds[] = {
	{ ERR_INVALID, 400, "invalid-request" },
	{ ERR_DENIED, 403, "not-allowed" },
	{ ERR_NOT_FOUND, 404, "not-found" },
	{ ERR_CONFLICT, 409, "conflict" },
	{ ERR_TOO_LARGE, 413, "too-large" },
	{ ERR_UNAVAILABLE, 503, "unavailable" },
	{ ERR_CANCELLED, 503, "cancelled" },
	{ ERR_PROTOCOL, 500, "protocol" },
	{ ERR_IO, 500, "io" },
	{ ERR_MEMORY, 500, "out-of-memory" },
	{ ERR_INTERNAL, 500, "internal" },
};

/* Reasons whose status is not the one of their code. */
static const struct {
	const char *reason;
	int status;
} reasons[] = {
	{ "not-signed-in", 401 },    { "method-not-allowed", 405 },
	{ "stale-version", 412 },    { "unsupported-media-type", 415 },
	{ "invalid-config", 422 },   { "rule-test-failed", 422 },
	{ "missing-key", 422 },	     { "rate-limited", 429 },
	{ "invite-expired", 410 },   { "invite-superseded", 410 },
	{ "invite-used", 410 },	     { "invite-revoked", 410 },
	{ "profile-required", 422 },
};

static const struct http_error_kind *error_kind(const struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (kinds[i].code == err->code)
			return &kinds[i];
	}
	return &kinds[ARRAY_LEN(kinds) - 1];
}

int http_error_status(const struct err *err, bool has_field)
{
	for (size_t i = 0; err->reason && i < ARRAY_LEN(reasons); i++) {
		if (strcmp(reasons[i].reason, err->reason) == 0)
			return reasons[i].status;
	}
	/* Well-formed, but a field says what it may not (RFC 9110 15.5.21). */
	if (err->code == ERR_INVALID && has_field)
		return 422;
	return error_kind(err)->status;
}

const char *http_error_code(const struct err *err)
{
	return err->reason ? err->reason : error_kind(err)->name;
}

void http_error_json(const struct err *err, const char *field, const char *details,
		     const char *request_id, struct strbuf *out)
{
	struct json json = JSON(out);

	json_object(&json);
	json_string(&json, "code", http_error_code(err));
	json_string(&json, "message", err->text);
	if (field)
		json_string(&json, "field", field);
	if (details)
		json_raw(&json, "details", details);
	json_string(&json, "request_id", request_id);
	json_end(&json);
}
