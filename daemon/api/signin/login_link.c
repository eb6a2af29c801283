/*
 * The link that root made for an administrator. Enters: a browser with the link. Leaves: a page that asks, then, after a
 * POST, a session, or the way to prove a second factor. A look uses nothing up, and no other form can post here, for the
 * link itself is the secret. One answer for all links that are not good.
 */
#include <rolebridge/change/login_link.h>

#include <sodium.h>

#include <rolebridge/base/log.h>

#include "signin.h"

/* Whoever repairs a server by an address of its own makes another link when that is over. */
#define DOOR_SESSION_S 3600

static int void_link(struct err *err)
{
	return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such link");
}

static int open_link(struct http_request *request, struct uuid *ret_link, struct err *err)
{
	struct web *web = request->context;

	if (http_limit_take(web->invite_limit, request, err) < 0)
		return -1;
	return ticket_login_link_open(web->settings.tickets, http_parameter(request, "token"),
				      ret_link)
		       ? 0
		       : void_link(err);
}

static void show_refusal(struct http_request *request, struct http_response *response,
			 const char *reason)
{
	if (strcmp(reason, "administrators-only") == 0)
		page_refused(request, response, 403, "This link is not good any more",
			     "Such links are for administrators alone.");
	else if (strcmp(reason, "user-disabled") == 0)
		page_refused(request, response, 403, "This link is not good any more",
			     "This account is disabled.");
	else
		page_refused(request, response, 404, "This link is not good any more",
			     "It was used, a newer one was made, or its time is over. Whoever made "
			     "it can make another one.");
}

/* 0 with a page; else -1. */
static int refuse(struct http_request *request, struct http_response *response,
		  const struct err *problem, struct err *err)
{
	if (problem->code != ERR_NOT_FOUND && problem->code != ERR_DENIED &&
	    problem->code != ERR_CONFLICT) {
		*err = *problem;
		return -1;
	}
	show_refusal(request, response, err_reason(problem));
	return 0;
}

static int read_user(struct http_request *request, const struct uuid *link, struct user *ret_user,
		     struct err *err)
{
	struct web *web = request->context;
	AUTO(reading_view) struct reading_view view = { 0 };

	return store_view_open(web->settings.changer, web->pool, request->arena, &view, err) < 0
		       ? -1
		       : change_login_link_read(view.store, view.setup, link, clock_now_s(),
						view.arena, ret_user, err);
}

int login_link_get(struct http_request *request, struct http_response *response, struct err *err)
{
	AUTO(site) struct site *site = site_take(request->context, err);
	struct err problem = { 0 };
	struct uuid link;
	struct user user;

	if (!site)
		return -1;
	if (open_link(request, &link, &problem) < 0 ||
	    read_user(request, &link, &user, &problem) < 0)
		return refuse(request, response, &problem, err);
	page_begin(response, "Sign in");
	page_text(response, "p",
		  arena_printf(request->arena, "You are about to sign in as %s.", user.username));
	page_form_begin(response, NULL, NULL);
	page_submit(response, "Sign in");
	page_form_end(response);
	page_small(response, "The link is good once, and for a few minutes.");
	page_end(response);
	return 0;
}

static int sign_in(struct http_request *request, struct http_response *response,
		   const struct site *site, const struct uuid *link, struct err *err)
{
	struct web *web = request->context;
	const struct actor actor = { .name = "login-link", .request = request->id };
	struct login_link_use use = { .link = *link,
				      .address = http_client_text(request),
				      .agent = agent_of(request),
				      .now_s = clock_now_s() };
	int64_t life_s = site->options->sessions.absolute_s;
	char token[SESSION_TOKEN_TEXT];
	struct login_outcome outcome;
	int result;

	if (web_is_door(web) && life_s > DOOR_SESSION_S)
		life_s = DOOR_SESSION_S;
	use.until_s = use.now_s + life_s;
	session_token_make(token, &use.token);
	result = change_login_link_use(web->settings.changer, request->id, &use, request->arena,
				       &outcome, err);
	if (result == 0 && outcome.refused[0]) {
		log_warning("login.refused", F_STR("reason", outcome.refused),
			    F_STR("request", request->id),
			    F_STR("address", http_client_text(request)));
		show_refusal(request, response, outcome.refused);
	} else if (result == 0) {
		result = session_give(request, response, site, &outcome.session, &use.token, token,
				      0, "/", err);
		if (result < 0)
			change_sessions_end(web->settings.changer, &actor, &outcome.session.id, 1,
					    "not-delivered", NULL, NULL);
		else
			web_door_used(web, outcome.session.id, use.until_s);
	}
	sodium_memzero(token, sizeof(token));
	return result;
}

int login_link_post(struct http_request *request, struct http_response *response, struct err *err)
{
	AUTO(site) struct site *site = site_take(request->context, err);
	struct err problem = { 0 };
	struct uuid link;

	if (!site)
		return -1;
	if (open_link(request, &link, &problem) < 0)
		return refuse(request, response, &problem, err);
	return sign_in(request, response, site, &link, err);
}
