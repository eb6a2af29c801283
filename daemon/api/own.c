/*
 * One's own password, and the browsers that are remembered. Enters: requests of somebody in a session of theirs. Leaves:
 * what became of it. Guesses at the present password are throttled like those at the door: whoever found an open
 * session, or a script in one, may not find out the password as well.
 */
#include <rolebridge/base/clock.h>
#include <rolebridge/change/device.h>
#include <rolebridge/change/password.h>

#include "factors.h"
#include "signin/signin.h"

/* --------------------------------------------------------------------- password -- */

struct password_body {
	const char *present, *password;
};

static const struct field password_fields[] = {
	{ "current", FIELD_BLOB, 0, offsetof(struct password_body, present), PASSWORD_MAX, NULL,
	  0 },
	{ "new", FIELD_BLOB, FIELD_REQUIRED, offsetof(struct password_body, password), PASSWORD_MAX,
	  NULL, 0 },
};

/* Who they are, and what stands in the store. ERR_CONFLICT "passwords-off", "managed-by-idp". */
static int read_present(struct http_request *request, const struct own *own, struct user *ret_user,
			struct password_candidate *ret_candidate, struct err *err)
{
	const struct api *api = request->context;
	struct web *web = api->settings.web;
	AUTO(reading_view) struct reading_view view = { 0 };
	const char *source;

	if (!passwords_on(web, own->site))
		return err_refuse(err, ERR_CONFLICT, "passwords-off", "no passwords are kept here");
	if (view_open(request, &view, err) < 0 ||
	    store_user_get(view.store, own->asker.user_id, view.arena, ret_user, err) < 0 ||
	    change_user_managed(own->parts.changer, view.store, own->asker.user_id, view.arena,
				&source, err) < 0)
		return -1;
	if (source)
		return err_refuse(err, ERR_CONFLICT, "managed-by-idp", "they sign in through '%s'",
				  source);
	return change_password_of(own->parts.changer, view.store, own->asker.user_id, view.arena,
				  ret_candidate, err);
}

static int refuse_wrong(struct http_request *request, const struct own *own, struct err *err)
{
	if (change_login_local_refused(own->parts.changer, &own->actor, own->asker.user_id,
				       "wrong-password", own->asker.address, err) < 0)
		return -1;
	request->error_field = "current";
	return err_refuse(err, ERR_DENIED, "wrong-password", "this is not the present password");
}

/* Whoever has none yet proves by a fresh sign-in that it is them. */
static int check_fresh(const struct own *own, struct err *err)
{
	int64_t age_s = own->asker.now_s - own->caller->signed_in_s;

	if (age_s >= 0 && age_s <= SESSION_FRESH_S)
		return 0;
	return err_refuse(err, ERR_DENIED, "fresh-sign-in-required",
			  "sign in again: this needs a sign-in of the last minutes");
}

static int check_present(struct http_request *request, const struct own *own,
			 const struct password_candidate *candidate, const char *present,
			 struct err *err)
{
	struct throttle_attempt attempt = { .kind = THROTTLE_ACCOUNT, .account = candidate->uuid };
	struct throttle *throttle = own->parts.throttle;
	struct throttle_refusal refusal;
	struct address address;
	bool good;

	if (!candidate->hash)
		return check_fresh(own, err);
	if (http_client_address(request, &address))
		attempt.address = &address;
	if (throttle_take(throttle, &attempt, clock_monotonic_us(), &refusal, err) < 0) {
		request->retry_after_s = refusal.retry_after_s;
		if (refusal.tell)
			change_login_local_refused(own->parts.changer, &own->actor,
						   own->asker.user_id, "rate-limited",
						   own->asker.address, NULL);
		return -1;
	}
	if (hasher_verify(own->parts.hasher, candidate->hash, present, strlen(present), &good, NULL,
			  err) < 0) {
		throttle_return(throttle, &attempt, clock_monotonic_us());
		if (err->code == ERR_UNAVAILABLE)
			request->retry_after_s = HASHER_RETRY_S;
		return -1;
	}
	if (!good)
		return refuse_wrong(request, own, err);
	throttle_right(throttle, &attempt, clock_monotonic_us());
	return 0;
}

static int put_password(struct http_request *request, struct http_response *response,
			const struct own *own, const struct password_body *body, struct err *err)
{
	const struct api *api = request->context;
	struct json json = api_json(response);
	struct password_candidate candidate;
	struct password_owner owner;
	struct user user;
	char hash[HASH_TEXT];
	size_t ended;

	if (read_present(request, own, &user, &candidate, err) < 0 ||
	    check_present(request, own, &candidate, body->present ? body->present : "", err) < 0)
		return -1;
	owner = (struct password_owner){ .username = user.username,
					 .email = user.email,
					 .display_name = user.display_name,
					 .organization = user.organization };
	if (password_hash(api->settings.web, request, body->password, &owner, hash, err) < 0) {
		request->error_field = err->code == ERR_INVALID ? "new" : NULL;
		return -1;
	}

	const struct password_change change = { .user_id = own->asker.user_id,
						.session_id = own->asker.session_id,
						.version = candidate.version,
						.hash = hash };

	if (change_password_set(own->parts.changer, &own->actor, &change, &ended, err) < 0)
		return -1;
	json_object(&json);
	json_int(&json, "ended", (int64_t)ended);
	json_end(&json);
	return 0;
}

int me_password_put(struct http_request *request, struct http_response *response, struct err *err)
{
	struct password_body body = { 0 };
	struct own own;
	int result = own_begin(request, &own, err);

	if (result == 0)
		result = request_read(request, password_fields, ARRAY_LEN(password_fields), &body,
				      err);
	if (result == 0)
		result = put_password(request, response, &own, &body, err);
	text_wipe(body.present);
	text_wipe(body.password);
	body_wipe(request);
	own_finish(&own);
	return result;
}

/* --------------------------------------------------------------------- browsers -- */

static void show_device(struct json *json, const struct device_row *row)
{
	char uuid[UUID_TEXT_SIZE];

	uuid_format(&row->uuid, uuid);
	json_object(json);
	json_string(json, "id", uuid);
	json_string(json, "agent", row->agent);
	json_string(json, "address", row->address);
	json_string(json, "method", factor_method_name(row->method));
	json_time(json, "proven", row->proven_s);
	json_time(json, "created", row->created_s);
	json_time(json, "seen", row->seen_s);
	json_time(json, "until", row->until_s);
	json_end(json);
}

int me_devices_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { NULL };
	AUTO(reading_view) struct reading_view view = { 0 };
	struct json json = api_json(response);
	struct device_row *rows;
	int64_t user_id = 0;
	size_t count;

	if (http_query_allow(request, names, err) < 0 || own_user(request, &user_id, err) < 0 ||
	    view_open(request, &view, err) < 0 ||
	    store_device_list(view.store, user_id, view.arena, &rows, &count, err) < 0)
		return -1;
	json_object(&json);
	json_array_key(&json, "devices");
	for (size_t i = 0; i < count; i++)
		if (clock_now_s() < rows[i].until_s)
			show_device(&json, &rows[i]);
	json_end(&json);
	json_end(&json);
	return 0;
}

/* In a session, whatever the scope of a token: who has only that is asked for a second factor nowhere. */
static int forget(struct http_request *request, struct http_response *response,
		  const struct uuid *device, struct err *err)
{
	struct json json = api_json(response);
	struct own own;
	size_t count;
	int result = own_begin(request, &own, err);

	if (result == 0)
		result = change_device_forget(own.parts.changer, &own.actor, own.asker.user_id,
					      device, &count, err);
	own_finish(&own);
	if (result < 0)
		return -1;
	json_object(&json);
	json_int(&json, "forgotten", (int64_t)count);
	json_end(&json);
	return 0;
}

int me_devices_delete(struct http_request *request, struct http_response *response, struct err *err)
{
	return forget(request, response, NULL, err);
}

int me_device_delete(struct http_request *request, struct http_response *response, struct err *err)
{
	struct uuid device;

	if (!uuid_parse(http_parameter(request, "device"), &device))
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such device");
	return forget(request, response, &device, err);
}
