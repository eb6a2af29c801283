/*
 * Whoever opens the link of an invite. Enters: the link, from anybody. Leaves: a page that asks, then, after a
 * POST, a user. A look uses nothing up, for mail scanners look; and no other form can post here, for the link itself
 * is the secret. The same as JSON. One answer for all links that were never ours.
 */
#include <rolebridge/change/invite.h>

#include "reader.h"
#include "signin/signin.h"

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
		  const char *hash, struct uuid *ret_user, struct err *err)
{
	struct invitation invitation;

	if (open_link(web, request, token, &invitation, err) < 0)
		return -1;
	return change_invite_accept(web->settings.changer, request->id, &invitation.uuid,
				    invitation.generation, hash, ret_user, err);
}

/* ---------------------------------------------------------------------- pages -- */

static const struct {
	const char *reason, *title, *text;
	bool sign_in; /* they can go on there */
} refusals[] = {
	{ "not-found", "This link is not good",
	  "It may not be whole. Please open it again from the message, or ask whoever invited you "
	  "to send it again.",
	  false },
	{ "invite-expired", "This invite has expired",
	  "Please ask whoever invited you to send it again.", false },
	{ "invite-superseded", "There is a newer invite",
	  "You were sent another one since. Please use the link in the newest message.", false },
	{ "invite-used", "This invite was used",
	  "You can sign in now. If you did not accept it yourself, tell your administrator.",
	  true },
	{ "invite-revoked", "This invite was withdrawn", "Please ask whoever invited you.", false },
	{ "invite-not-allowed", "This invite is not good any more",
	  "Whoever invited you may not do so any more. Please ask for a new invite.", false },
	{ "email-taken", "There is an account already",
	  "Somebody has this e-mail address here. Try to sign in, or ask your administrator.",
	  true },
	{ "email-in-other-organization", "This did not work",
	  "This e-mail address cannot be used here. Please ask your administrator.", false },
	{ "username-taken", "This did not work",
	  "Somebody else has this user name by now. Please ask for a new invite.", false },
	{ "name-reserved", "This did not work",
	  "This user name cannot be given any more. Please ask for a new invite.", false },
};

/* 0 with a page where people can do something about it; else -1. */
static int refuse(struct http_request *request, struct http_response *response,
		  const struct err *problem, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		if (strcmp(err_reason(problem), refusals[i].reason) != 0)
			continue;
		if (refusals[i].sign_in)
			page_refused_with(request, response, http_error_status(problem, false),
					  refusals[i].title, refusals[i].text, "/login", "Sign in");
		else
			page_refused(request, response, http_error_status(problem, false),
				     refusals[i].title, refusals[i].text);
		return 0;
	}
	*err = *problem;
	return -1;
}

/* What the page may tell: it is for whoever holds the link, and nobody knows yet who that is. */
struct greeting {
	const char *inviter;
	struct invite_row invite;
};

static int read_greeting(struct web *web, struct http_request *request,
			 const struct invitation *invitation, struct greeting *ret_greeting,
			 struct err *err)
{
	AUTO(reading_view) struct reading_view view = { 0 };
	struct user user;

	ret_greeting->inviter = "An administrator";
	if (store_view_open(web->settings.changer, web->pool, request->arena, &view, err) < 0 ||
	    store_invite_get(view.store, &invitation->uuid, view.arena, &ret_greeting->invite,
			     err) < 0 ||
	    change_invite_check(&ret_greeting->invite, invitation->generation, clock_now_s(), err) <
		    0)
		return -1;
	if (ret_greeting->invite.inviter_id != 0 &&
	    store_user_get(view.store, ret_greeting->invite.inviter_id, view.arena, &user, NULL) ==
		    0)
		ret_greeting->inviter = user.display_name;
	return 0;
}

/* Is there an IdP that people could sign in with? */
static bool has_idp(struct web *web, struct arena *arena)
{
	const struct saml_ports *saml = web_saml(web);
	struct saml_source_view source;

	for (size_t i = 0; saml->source(saml->context, i, arena, &source); i++)
		if (source.ready && source.enabled)
			return true;
	return false;
}

/* wrong: what is wrong with the password that was sent; NULL: nothing yet. */
static void show_invite(struct http_request *request, struct http_response *response,
			const struct site *site, const struct greeting *greeting,
			const struct err *wrong)
{
	struct web *web = request->context;
	const struct invite_row *invite = &greeting->invite;
	bool passwords = passwords_on(web, site);

	page_begin_with(response,
			&(struct page){ .title = "You are invited",
					.problem = wrong ? "The password was not set." : NULL });
	page_text(response, "p",
		  arena_printf(request->arena, "%s invites you to %s, as %s.", greeting->inviter,
			       site->url, invite->email));
	page_form_begin(response, NULL, NULL);
	if (passwords) {
		page_text(response, "p",
			  arena_printf(request->arena, "Your user name is %s.", invite->username));
		new_password_fields(request, response, web->settings.policy, invite->username,
				    wrong);
	}
	page_submit(response, passwords ? "Accept and set password" : "Accept");
	page_form_end(response);
	if (passwords && has_idp(web, request->arena)) {
		page_text(response, "h2", "Without a password");
		page_text(response, "p", "Sign in with the account of your organization instead.");
		page_form_begin(response, NULL, NULL);
		page_button(response, PAGE_BUTTON_OTHER, "Accept without a password", NULL,
			    "without", "password");
		page_form_end(response);
	}
	page_small(response, "The link is good once and for you alone.");
	page_end(response);
}

int invitation_get(struct http_request *request, struct http_response *response, struct err *err)
{
	struct web *web = request->context;
	AUTO(site) struct site *site = site_take(web, err);
	struct err problem = { 0 };
	struct invitation invitation;
	struct greeting greeting;

	if (!site)
		return -1;
	if (open_link(web, request, http_parameter(request, "token"), &invitation, &problem) < 0 ||
	    read_greeting(web, request, &invitation, &greeting, &problem) < 0)
		return refuse(request, response, &problem, err);
	show_invite(request, response, site, &greeting, NULL);
	return 0;
}

static void show_welcome(struct http_request *request, struct http_response *response,
			 bool with_password)
{
	page_begin(response, "Welcome");
	page_text(response, "p", "Your account is ready.");
	if (with_password)
		page_text(response, "p", "Sign in with the password that you have just set.");
	else if (has_idp(request->context, request->arena))
		page_text(response, "p",
			  "Sign in with the account of your organization that has the address "
			  "this invite was sent to.");
	else
		page_text(response, "p", "Your administrator will tell you how to sign in.");
	if (with_password || has_idp(request->context, request->arena))
		page_link_button(response, "/login", "Sign in");
	page_end(response);
}

static struct password_owner owner_of(const struct invite_row *invite)
{
	return (struct password_owner){ .username = invite->username,
					.email = invite->email,
					.display_name = invite->display_name,
					.organization = invite->organization };
}

/* 0 with the hash, or "" for who needs none; 1: the form was shown again; -1. */
static int read_password(struct http_request *request, struct http_response *response,
			 const struct site *site, const struct http_form *form,
			 char ret_hash[static HASH_TEXT], struct err *err)
{
	struct web *web = request->context;
	struct err problem = { 0 };
	struct invitation invitation;
	struct greeting greeting;

	ret_hash[0] = '\0';
	if (!passwords_on(web, site) ||
	    (http_form_value(form, "without") && has_idp(web, request->arena)))
		return 0;
	if (open_link(web, request, http_parameter(request, "token"), &invitation, &problem) < 0 ||
	    read_greeting(web, request, &invitation, &greeting, &problem) < 0)
		return refuse(request, response, &problem, err) < 0 ? -1 : 1;

	const struct password_owner owner = owner_of(&greeting.invite);

	if (new_password_read(request, form, &owner, ret_hash, &problem) == 0)
		return 0;
	if (problem.code != ERR_INVALID) {
		*err = problem;
		return -1;
	}
	response->status = 422;
	show_invite(request, response, site, &greeting, &problem);
	return 1;
}

static int accept_form(struct http_request *request, struct http_response *response,
		       const struct site *site, const struct http_form *form, struct err *err)
{
	struct web *web = request->context;
	struct err problem = { 0 };
	char hash[HASH_TEXT];
	struct uuid user;
	int answered = read_password(request, response, site, form, hash, err);

	if (answered != 0)
		return answered < 0 ? -1 : 0;
	if (accept(web, request, http_parameter(request, "token"), hash[0] ? hash : NULL, &user,
		   &problem) < 0)
		return refuse(request, response, &problem, err);
	show_welcome(request, response, hash[0] != '\0');
	return 0;
}

int invitation_post(struct http_request *request, struct http_response *response, struct err *err)
{
	AUTO(site) struct site *site = site_take(request->context, err);
	struct http_form form = { .count = 0 };
	int result;

	/* Who needs no password sends nothing, or a form of nothing. */
	if (!site || form_is_own(request, site, err) < 0 ||
	    (request->body_size > 0 && http_form_read(request, &form, err) < 0))
		return -1;
	result = accept_form(request, response, site, &form, err);
	new_password_wipe(request, &form);
	return result;
}

/* ----------------------------------------------------------------------- JSON -- */

struct accept_body {
	const char *token, *password;
};

static const struct field accept_fields[] = {
	{ "token", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct accept_body, token), TOKEN_MAX, NULL,
	  0 },
	{ "password", FIELD_TEXT, 0, offsetof(struct accept_body, password), PASSWORD_MAX, NULL,
	  0 },
};

/* The hash of the password that was sent. */
static int hash_password(struct web *web, struct http_request *request,
			 const struct accept_body *body, char ret_hash[static HASH_TEXT],
			 struct err *err)
{
	AUTO(site) struct site *site = site_take(web, err);
	struct invitation invitation;
	struct greeting greeting;

	if (!site || open_link(web, request, body->token, &invitation, err) < 0 ||
	    read_greeting(web, request, &invitation, &greeting, err) < 0)
		return -1;
	request->error_field = "password";
	if (!passwords_on(web, site))
		return err_refuse(err, ERR_INVALID, "passwords-off",
				  "nobody signs in with a password here");

	const struct password_owner owner = owner_of(&greeting.invite);

	if (password_hash(web, request, body->password, &owner, ret_hash, err) < 0)
		return -1;
	request->error_field = NULL;
	return 0;
}

static int accept_body(struct web *web, struct http_request *request,
		       struct http_response *response, const struct accept_body *body,
		       struct err *err)
{
	struct json json = api_json(response);
	char id[UUID_TEXT_SIZE], hash[HASH_TEXT];
	bool with = body->password != NULL;
	struct uuid user;

	if ((with && hash_password(web, request, body, hash, err) < 0) ||
	    accept(web, request, body->token, with ? hash : NULL, &user, err) < 0)
		return -1;
	uuid_format(&user, id);
	json_object(&json);
	json_string(&json, "user", id);
	json_bool(&json, "sign_in", with || has_idp(web, request->arena));
	json_end(&json);
	return 0;
}

static int accept_json(struct web *web, struct http_request *request,
		       struct http_response *response, struct err *err)
{
	struct accept_body body = { 0 };
	int result = request_read(request, accept_fields, ARRAY_LEN(accept_fields), &body, err) < 0
			     ? -1
			     : accept_body(web, request, response, &body, err);

	text_wipe(body.password);
	body_wipe(request);
	return result;
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
