/*
 * Links that let an administrator in. Enters: root, on the control socket, and whom it names. Leaves: the link, once, in the
 * answer. It leads to the web side, or to a door on loopback (struct ports) where there is no web side, or when it is asked for.
 */
#include <sodium.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/change/login_link.h>

#include "access.h"
#include "reader.h"

#define NAME_MAX_BYTES 320
#define ADDRESS_MAX_BYTES 64
#define URL_MAX_BYTES 4096

struct link_body {
	const char *user;
	bool local;
	const char *listen;
};

static const struct field link_fields[] = {
	{ "user", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct link_body, user), NAME_MAX_BYTES,
	  NULL, 0 },
	{ "local", FIELD_BOOL, 0, offsetof(struct link_body, local), 0, NULL, 0 },
	{ "listen", FIELD_TEXT, 0, offsetof(struct link_body, listen), ADDRESS_MAX_BYTES, NULL, 0 },
};

/* The kernel says so; whoever sends a token wants to be no more than it lets them. */
static int require_root(const struct http_request *request, struct err *err)
{
	const struct caller *caller = api_caller(request);

	if (caller && !caller->token && !caller->actor.limited && request->peer.known &&
	    request->peer.uid == 0)
		return 0;
	return err_refuse(err, ERR_DENIED, "not-allowed",
			  "only root makes such links, on the control socket");
}

/* Where the link leads, up to its text. */
static int put_base(struct http_request *request, const struct link_body *body, int64_t until_s,
		    struct strbuf *url, bool *ret_local, struct err *err)
{
	const struct api *api = request->context;
	const struct ports *ports = &api->settings.ports;
	bool local = body->local || body->listen || !ports->is_served(ports->context);

	if (local || !web_url(api->settings.web, "", url)) {
		local = true;
		if (ports->door(ports->context, body->listen, until_s, url, err) < 0) {
			request->error_field = body->listen ? "listen" : NULL;
			return -1;
		}
	}
	*ret_local = local;
	return 0;
}

static void show_link(struct json *json, const struct login_link_row *link, const struct user *user,
		      const char *url, bool local)
{
	char uuid[UUID_TEXT_SIZE];

	uuid_format(&user->uuid, uuid);
	json_object(json);
	json_object_key(json, "user");
	json_string(json, "id", uuid);
	json_string(json, "username", user->username);
	json_end(json);
	json_string(json, "url", url);
	json_bool(json, "local", local);
	json_time(json, "expires", link->until_s);
	json_end(json);
}

static int make_link(struct http_request *request, struct http_response *response,
		     const struct link_body *body, struct strbuf *url, struct err *err)
{
	const struct api *api = request->context;
	const struct actor actor = api_actor(request);
	struct json json = api_json(response);
	char text[TICKET_INVITE_SIZE];
	struct login_link_row link;
	struct user user;
	bool local;

	/* First: a link that leads nowhere makes the one before it void for nothing. */
	if (put_base(request, body, clock_now_s() + LOGIN_LINK_LIFETIME_S, url, &local, err) < 0 ||
	    change_login_link_make(api->settings.changer, &actor, body->user, request->arena, &link,
				   &user, err) < 0)
		return -1;
	ticket_login_link(web_tickets(api->settings.web), &link.uuid, text);
	strbuf_printf(url, "/login/link/%s", text);
	sodium_memzero(text, sizeof(text));
	if (strbuf_failed(url))
		return err_set(err, ERR_MEMORY, "out of memory");
	response->status = 201;
	http_response_header(response, "Cache-Control", "no-store");
	show_link(&json, &link, &user, strbuf_text(url), local);
	return 0;
}

int login_links_post(struct http_request *request, struct http_response *response, struct err *err)
{
	AUTO(strbuf) struct strbuf url = STRBUF(URL_MAX_BYTES);
	struct link_body body = { 0 };

	if (require_root(request, err) < 0 ||
	    request_read(request, link_fields, ARRAY_LEN(link_fields), &body, err) < 0)
		return -1;
	return make_link(request, response, &body, &url, err);
}
