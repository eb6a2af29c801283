/*
 * Passwords by mail. Enters: a name, from anybody, or the link of a letter. Leaves: always the same answer to a name; for a
 * link a form, then, after a POST, a new password. A look uses nothing up, for mail scanners look. No session is
 * opened: whoever has the mailbox signs in, and proves what else is asked.
 */
#include <rolebridge/change/password.h>

#include <rolebridge/base/log.h>

#include "signin.h"

#define NAME_MAX_BYTES 320

/* ----------------------------------------------------------------- asking for one -- */

static bool letters_on(const struct web *web, const struct site *site)
{
	return passwords_on(web, site) && site->options->mail.url.text;
}

static int not_here(struct err *err)
{
	return err_refuse(err, ERR_NOT_FOUND, "not-found", "no passwords are reset here");
}

static int show_forgot(struct http_request *request, struct http_response *response,
		       const struct site *site, const struct landing *landing, const char *name,
		       const char *problem, struct err *err)
{
	const char *token = form_token(request, response, site, err);

	if (!token)
		return -1;
	page_begin_with(response,
			&(struct page){ .title = "Forgotten your password?", .problem = problem });
	page_text(
		response, "p",
		"You are sent a message with a link that sets a new one. It is good for an hour.");
	page_form_begin(response, "/password/forgot", token);
	landing_hidden(response, landing);
	page_field(response, &(struct page_field){ .name = "username",
						   .label = "User name or e-mail address",
						   .value = name,
						   .autocomplete = "username",
						   .focus = true,
						   .exact = true });
	page_submit(response, "Send the link");
	page_form_end(response);
	page_link(response, landing_path(request->arena, "/login", landing), "Back to sign in");
	page_end(response);
	return 0;
}

int password_forgot_get(struct http_request *request, struct http_response *response,
			struct err *err)
{
	static const char *const names[] = { "return", "nonce", NULL };
	AUTO(site) struct site *site = site_take(request->context, err);
	struct landing landing;

	if (!site || http_query_allow(request, names, err) < 0 ||
	    landing_read(request, site, http_query(request, "return"), http_query(request, "nonce"),
			 &landing, err) < 0)
		return -1;
	if (!letters_on(request->context, site))
		return not_here(err);
	return show_forgot(request, response, site, &landing, NULL, NULL, err);
}

/* Whether or not there is such a person. */
static void show_sent(struct http_request *request, struct http_response *response,
		      const struct landing *landing)
{
	page_begin(response, "Look into your mailbox");
	page_text(
		response, "p",
		"If there is an account of that name that signs in with a password here, a link is on "
		"its way to its e-mail address.");
	page_text(response, "p",
		  "Nothing there after some minutes? Look among unwanted messages, or ask your "
		  "administrator.");
	page_link_button(response, landing_path(request->arena, "/login", landing),
			 "Back to sign in");
	page_end(response);
}

/* One letter, or a hint that there were many: whoever floods a mailbox has to wait as guessers do. */
static int send_letter(struct http_request *request, struct http_response *response,
		       const struct site *site, const struct landing *landing, const char *name,
		       struct err *err)
{
	const struct web *web = request->context;
	struct throttle_attempt attempt = { .kind = THROTTLE_SEND, .account = name };
	struct throttle_refusal refusal;
	struct address address;
	struct err problem = { 0 };

	if (http_client_address(request, &address))
		attempt.address = &address;
	if (throttle_take(web->settings.throttle, &attempt, clock_monotonic_us(), &refusal,
			  &problem) < 0) {
		const char *wait = arena_printf(request->arena, "%u", refusal.retry_after_s);

		if (!wait)
			return err_set(err, ERR_MEMORY, "out of memory");
		http_response_header(response, "Retry-After", wait);
		response->status = 429;
		return show_forgot(request, response, site, landing, name,
				   "Too many messages were asked for. Please wait a while.", err);
	}
	if (change_password_forgotten(web->settings.changer, request->id, name,
				      http_client_text(request), err) < 0) {
		throttle_return(web->settings.throttle, &attempt, clock_monotonic_us());
		return -1;
	}
	show_sent(request, response, landing);
	return 0;
}

int password_forgot_post(struct http_request *request, struct http_response *response,
			 struct err *err)
{
	AUTO(site) struct site *site = site_take(request->context, err);
	struct landing landing;
	struct http_form form;
	struct err problem = { 0 };
	const char *name;

	if (!site || http_form_read(request, &form, err) < 0 ||
	    landing_read(request, site, http_form_value(&form, "return"),
			 http_form_value(&form, "nonce"), &landing, err) < 0)
		return -1;
	if (!letters_on(request->context, site))
		return not_here(err);
	name = http_form_value(&form, "username");
	if (form_check(request, site, &form, &problem) < 0) {
		response->status = 403;
		return show_forgot(request, response, site, &landing, name, FORM_TOO_OLD, err);
	}
	if (!name || !name[0] || strlen(name) > NAME_MAX_BYTES) {
		response->status = 422;
		return show_forgot(request, response, site, &landing, name,
				   "Please give your user name or e-mail address.", err);
	}
	return send_letter(request, response, site, &landing, name, err);
}

/* ------------------------------------------------------------------- the link -- */

struct reset {
	struct uuid uuid;
	int64_t generation;
	struct user user;
};

static const struct {
	const char *reason, *title, *text, *url, *link;
} refusals[] = {
	{ "not-found", "This link is not good",
	  "It may not be whole. Please open it again from the message, or have another one sent.",
	  "/password/forgot", "Send another link" },
	{ "reset-expired", "This link has expired", "Please ask for another one.",
	  "/password/forgot", "Send another link" },
	{ "reset-superseded", "There is a newer link",
	  "You were sent another one since. Please use the link in the newest message.", "/login",
	  "Sign in" },
	{ "reset-used", "This link was used",
	  "It is good once. If you did not use it yourself, tell your administrator.", "/login",
	  "Sign in" },
	{ "managed-by-idp", "You sign in elsewhere",
	  "Your account signs in with your organization's account and has no password here.",
	  "/login", "Sign in" },
	{ "user-disabled", "No access", "This account is disabled.", "/login", "Sign in" },
};

/* 0 with a page where people can do something about it; else -1. */
static int refuse(struct http_request *request, struct http_response *response,
		  const struct err *problem, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		if (strcmp(err_reason(problem), refusals[i].reason) != 0)
			continue;
		page_refused_with(request, response, http_error_status(problem, false),
				  refusals[i].title, refusals[i].text, refusals[i].url,
				  refusals[i].link);
		return 0;
	}
	*err = *problem;
	return -1;
}

static int open_link(struct http_request *request, struct reset *reset, struct err *err)
{
	struct web *web = request->context;
	struct store *store;
	int result;

	if (http_limit_take(web->invite_limit, request, err) < 0)
		return -1;
	if (!ticket_reset_open(web->settings.tickets, http_parameter(request, "token"),
			       &reset->uuid, &reset->generation))
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such link");
	store = store_pool_take(web->pool, err);
	if (!store)
		return -1;
	result = change_password_reset_check(web->settings.changer, store, &reset->uuid,
					     reset->generation, clock_now_s(), request->arena,
					     &reset->user, err);
	store_pool_give(web->pool, store);
	return result;
}

static int show_reset(struct http_request *request, struct http_response *response,
		      const struct reset *reset, const struct err *wrong)
{
	const struct web *web = request->context;

	page_begin_with(response,
			&(struct page){ .title = "Set a new password",
					.problem = wrong ? "The password was not set." : NULL });
	page_text(response, "p",
		  arena_printf(request->arena, "For the account %s.", reset->user.username));
	page_form_begin(response, NULL, NULL);
	new_password_fields(request, response, web->settings.policy, reset->user.username, wrong);
	page_submit(response, "Set password");
	page_form_end(response);
	page_small(response, "You are signed out everywhere when it is set.");
	page_end(response);
	return 0;
}

int password_reset_get(struct http_request *request, struct http_response *response,
		       struct err *err)
{
	AUTO(site) struct site *site = site_take(request->context, err);
	struct err problem = { 0 };
	struct reset reset;

	if (!site)
		return -1;
	if (!passwords_on(request->context, site))
		return not_here(err);
	if (open_link(request, &reset, &problem) < 0)
		return refuse(request, response, &problem, err);
	return show_reset(request, response, &reset, NULL);
}

static int use_link(struct http_request *request, struct http_response *response,
		    const struct reset *reset, const char *hash, struct err *err)
{
	const struct web *web = request->context;
	struct err problem = { 0 };

	if (change_password_reset_use(web->settings.changer, request->id, &reset->uuid,
				      reset->generation, hash, &problem) < 0)
		return refuse(request, response, &problem, err);
	page_begin(response, "Your password is set");
	page_text(response, "p", "You can sign in with it now.");
	page_link_button(response, "/login", "Sign in");
	page_end(response);
	return 0;
}

static int set_password(struct http_request *request, struct http_response *response,
			const struct site *site, const struct http_form *form, struct err *err)
{
	struct err problem = { 0 };
	char hash[HASH_TEXT];
	struct reset reset;

	if (!passwords_on(request->context, site))
		return not_here(err);
	if (open_link(request, &reset, &problem) < 0)
		return refuse(request, response, &problem, err);

	const struct password_owner owner = { .username = reset.user.username,
					      .email = reset.user.email,
					      .display_name = reset.user.display_name,
					      .organization = reset.user.organization };

	if (new_password_read(request, form, &owner, hash, &problem) == 0)
		return use_link(request, response, &reset, hash, err);
	if (problem.code != ERR_INVALID) {
		*err = problem;
		return -1;
	}
	response->status = 422;
	return show_reset(request, response, &reset, &problem);
}

int password_reset_post(struct http_request *request, struct http_response *response,
			struct err *err)
{
	AUTO(site) struct site *site = site_take(request->context, err);
	struct http_form form;
	int result;

	if (!site || http_form_read(request, &form, err) < 0 || form_is_own(request, site, err) < 0)
		return -1;
	result = set_password(request, response, site, &form, err);
	new_password_wipe(request, &form);
	return result;
}
