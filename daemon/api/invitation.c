/*
 * Whoever opens the link of an invite. Enters: the link, from anybody. Leaves: a page that asks, then, after a
 * POST, a user. A look uses nothing up, for mail scanners look; and no other form can post here, for the link itself
 * is the secret. The same as JSON. One answer for all links that were never ours.
 */
#include <rolebridge/change/invite.h>

#include "reader.h"
#include "site.h"

#define TOKEN_MAX 200

static int not_found(struct err *err)
{
	return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such invite");
}

/* ------------------------------------------------------------------- the link -- */

struct invitation {
	struct uuid uuid;
	int64_t generation;
};

static int open_link(struct web *web, struct http_request *request, const char *token,
		     struct invitation *ret_invitation, struct err *err)
{
	if (http_limit_take(web->invite_limit, request, err) < 0)
		return -1;
	if (!ticket_invite_open(web->settings.tickets, token, &ret_invitation->uuid,
				&ret_invitation->generation))
		return not_found(err);
	return 0;
}

static int accept(struct web *web, struct http_request *request, const char *token,
		  struct uuid *ret_user, struct err *err)
{
	struct invitation invitation;

	if (open_link(web, request, token, &invitation, err) < 0)
		return -1;
	return change_invite_accept(web->settings.changer, request->id, &invitation.uuid,
				    invitation.generation, NULL, ret_user, err);
}

/* ---------------------------------------------------------------------- pages -- */

static const struct {
	const char *reason, *title, *text;
} refusals[] = {
	{ "invite-expired", "This invite has expired",
	  "Please ask whoever invited you to send it again." },
	{ "invite-superseded", "There is a newer invite",
	  "You were sent another one since. Please use the link in the newest message." },
	{ "invite-used", "This invite was used",
	  "You can sign in now. If you did not accept it yourself, tell your administrator." },
	{ "invite-revoked", "This invite was withdrawn", "Please ask whoever invited you." },
	{ "invite-not-allowed", "This invite is not good any more",
	  "Whoever invited you may not do so any more. Please ask for a new invite." },
	{ "email-taken", "There is an account already",
	  "Somebody has this e-mail address here. Try to sign in, or ask your administrator." },
	{ "email-in-other-organization", "This did not work",
	  "This e-mail address cannot be used here. Please ask your administrator." },
	{ "username-taken", "This did not work",
	  "Somebody else has this user name by now. Please ask for a new invite." },
	{ "name-reserved", "This did not work",
	  "This user name cannot be given any more. Please ask for a new invite." },
};

/* 0 with a page where people can do something about it; else -1. */
static int refuse(struct http_request *request, struct http_response *response,
		  const struct err *problem, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		if (strcmp(err_reason(problem), refusals[i].reason) != 0)
			continue;
		page_refused(request, response, http_error_status(problem, false),
			     refusals[i].title, refusals[i].text);
		return 0;
	}
	*err = *problem;
	return -1;
}

/* What the page may tell: it is for whoever holds the link, and nobody knows yet who that is. */
struct greeting {
	const char *inviter, *email, *organization;
};

static int read_greeting(struct web *web, struct http_request *request,
			 const struct invitation *invitation, struct greeting *ret_greeting,
			 struct err *err)
{
	AUTO(reading_view) struct reading_view view = { 0 };
	struct invite_row invite;
	struct user user;

	if (store_view_open(web->settings.changer, web->pool, request->arena, &view, err) < 0 ||
	    store_invite_get(view.store, &invitation->uuid, view.arena, &invite, err) < 0 ||
	    change_invite_check(&invite, invitation->generation, clock_now_s(), err) < 0)
		return -1;
	*ret_greeting = (struct greeting){ "An administrator", invite.email, invite.organization };
	if (invite.inviter_id != 0 &&
	    store_user_get(view.store, invite.inviter_id, view.arena, &user, NULL) == 0)
		ret_greeting->inviter = user.display_name;
	return 0;
}

int invitation_get(struct http_request *request, struct http_response *response, struct err *err)
{
	struct web *web = request->context;
	AUTO(site) struct site *site = site_take(web, err);
	struct err problem = { 0 };
	struct invitation invitation;
	struct greeting greeting;

	if (!site ||
	    open_link(web, request, http_parameter(request, "token"), &invitation, err) < 0)
		return -1;
	if (read_greeting(web, request, &invitation, &greeting, &problem) < 0)
		return refuse(request, response, &problem, err);
	page_begin(response, "You are invited");
	page_text(response, "p",
		  arena_printf(request->arena, "%s invites you to %s, as %s.", greeting.inviter,
			       site->url, greeting.email));
	page_button_form(response, NULL, NULL, PAGE_BUTTON_MAIN, "Accept", NULL);
	page_text(response, "p", "The link is good once and for you alone.");
	page_end(response);
	return 0;
}

/* Is there anybody whom people could sign in with? */
static bool can_sign_in(struct web *web, struct arena *arena)
{
	const struct saml_ports *saml = web_saml(web);
	struct saml_source_view source;

	for (size_t i = 0; saml->source(saml->context, i, arena, &source); i++)
		if (source.ready && source.enabled)
			return true;
	return false;
}

int invitation_post(struct http_request *request, struct http_response *response, struct err *err)
{
	struct web *web = request->context;
	AUTO(site) struct site *site = site_take(web, err);
	struct err problem = { 0 };
	struct uuid user;

	if (!site)
		return -1;
	if (accept(web, request, http_parameter(request, "token"), &user, &problem) < 0)
		return refuse(request, response, &problem, err);
	page_begin(response, "Welcome");
	page_text(response, "p", "Your account is ready.");
	if (can_sign_in(web, request->arena)) {
		page_text(response, "p",
			  "Sign in with the account of your organization that has the address "
			  "this invite was sent to.");
		page_link_button(response, "/login", "Sign in");
	} else {
		page_text(response, "p", "Your administrator will tell you how to sign in.");
	}
	page_end(response);
	return 0;
}

/* ----------------------------------------------------------------------- JSON -- */

struct accept_body {
	const char *token;
};

static const struct field accept_fields[] = {
	{ "token", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct accept_body, token), TOKEN_MAX, NULL,
	  0 },
};

static int accept_json(struct web *web, struct http_request *request,
		       struct http_response *response, struct err *err)
{
	struct json json = api_json(response);
	struct accept_body body = { 0 };
	char id[UUID_TEXT_SIZE];
	struct uuid user;

	if (request_read(request, accept_fields, ARRAY_LEN(accept_fields), &body, err) < 0 ||
	    accept(web, request, body.token, &user, err) < 0)
		return -1;
	uuid_format(&user, id);
	json_object(&json);
	json_string(&json, "user", id);
	json_bool(&json, "sign_in", can_sign_in(web, request->arena));
	json_end(&json);
	return 0;
}

int invite_accept_post(struct http_request *request, struct http_response *response,
		       struct err *err)
{
	struct api *api = request->context;

	return accept_json(api->settings.web, request, response, err);
}

int invitation_accept_post(struct http_request *request, struct http_response *response,
			   struct err *err)
{
	return accept_json(request->context, request, response, err);
}

bool web_invites(struct web *web, int64_t *ret_lifetime_s)
{
	AUTO(site) struct site *site = site_take(web, NULL);

	if (!site || !site->options->mail.url.text)
		return false;
	*ret_lifetime_s = site->options->invites.lifetime_s;
	return true;
}
