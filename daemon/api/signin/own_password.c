/*
 * Somebody changes their own password. Enters: the present one, from within a full session, and the new one twice.
 * Leaves: a new hash, and all their other sessions ended. Guesses at the present one are throttled like those at
 * the door: whoever found an open session may not find out the password as well.
 */
#include <rolebridge/change/password.h>

#include "step.h"

#define STAGE_OWN STAGE_BIT(SESSION_FULL)

/* Whose it is, and what stands in the store. */
struct own_password {
	struct password_candidate candidate;
	bool is_theirs; /* passwords are on, and they do not sign in elsewhere */
};

static int read_own(struct http_request *request, const struct step *step,
		    struct own_password *ret_own, struct err *err)
{
	struct web *web = request->context;
	AUTO(reading_view) struct reading_view view = { 0 };
	struct own_password own = { 0 };
	const char *source;

	if (!passwords_on(web, step->site)) {
		*ret_own = own;
		return 0;
	}
	if (store_view_open(web->settings.changer, web->pool, request->arena, &view, err) < 0 ||
	    change_user_managed(web->settings.changer, view.store, step->asker.user_id, view.arena,
				&source, err) < 0 ||
	    change_password_of(web->settings.changer, view.store, step->asker.user_id, view.arena,
			       &own.candidate, err) < 0)
		return -1;
	own.is_theirs = source == NULL;
	*ret_own = own;
	return 0;
}

int own_password_is_theirs(struct http_request *request, const struct step *step, bool *ret_theirs,
			   struct err *err)
{
	struct own_password own;

	if (read_own(request, step, &own, err) < 0)
		return -1;
	*ret_theirs = own.is_theirs;
	return 0;
}

/* present: what is wrong with the present password; wrong: with the new one. NULL: nothing yet. */
static int show_form(struct http_request *request, struct http_response *response,
		     const struct step *step, const struct own_password *own, const char *present,
		     const struct err *wrong)
{
	const struct web *web = request->context;

	page_begin_with(response,
			&(struct page){ .title = "Change password",
					.problem = present || wrong
							   ? "The password was not changed."
							   : NULL,
					.user = step_person(step) });
	step_form_begin(response, step, "/security/password");
	if (own->candidate.hash)
		page_field(response, &(struct page_field){ .name = "password",
							   .label = "Present password",
							   .type = "password",
							   .autocomplete = "current-password",
							   .max = PASSWORD_MAX,
							   .focus = !wrong,
							   .error = present });
	else if (present)
		page_notice(response, PAGE_BAD, present);
	new_password_fields(request, response, web->settings.policy, step->view.principal->username,
			    wrong);
	page_submit(response, "Change password");
	page_form_end(response);
	page_small(response, "You are signed out everywhere else when it is changed.");
	page_link(response, "/security", "Back");
	page_end(response);
	return 0;
}

/* 1: theirs to change; 0: told; -1. */
static int begin(struct http_request *request, struct http_response *response,
		 const struct step *step, struct own_password *ret_own, struct err *err)
{
	if (read_own(request, step, ret_own, err) < 0)
		return -1;
	if (!ret_own->is_theirs)
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no password is kept here");
	/* Nothing to prove that it is them but when they signed in. */
	if (!ret_own->candidate.hash && !step_is_fresh(step))
		return step_not_fresh(request, response, step, "/security/password", err);
	return 1;
}

int own_password_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { NULL };
	struct own_password own;
	struct step step = { 0 };
	int result = http_query_allow(request, names, err);

	if (result == 0)
		result = step_begin(request, response, STAGE_OWN, &step, err);
	if (result > 0)
		result = begin(request, response, &step, &own, err);
	if (result > 0)
		result = show_form(request, response, &step, &own, NULL, NULL);
	step_finish(request, &step);
	return result;
}

/* 1 right; 0: shown what is wrong; -1. */
static int check_present(struct http_request *request, struct http_response *response,
			 struct step *step, const struct own_password *own, struct err *err)
{
	const struct web *web = request->context;
	const char *password = http_form_value(&step->form, "password");
	struct throttle_attempt attempt = { .kind = THROTTLE_ACCOUNT,
					    .account = step->view.principal->uuid };
	struct throttle_refusal refusal;
	struct err problem = { 0 };
	struct address address;
	bool good = false;

	if (!own->candidate.hash)
		return 1;
	if (http_client_address(request, &address))
		attempt.address = &address;
	if (throttle_take(web->settings.throttle, &attempt, clock_monotonic_us(), &refusal,
			  &problem) < 0) {
		if (refusal.tell && change_login_local_refused(web->settings.changer, &step->actor,
							       step->asker.user_id, "rate-limited",
							       step->asker.address, err) < 0)
			return -1;
		response->status = 429;
		return show_form(
			request, response, step, own,
			wait_shown(request, response, "Too many attempts.", refusal.retry_after_s),
			NULL);
	}
	if (!password)
		password = "";
	if (strlen(password) <= PASSWORD_MAX &&
	    hasher_verify(web->settings.hasher, own->candidate.hash, password, strlen(password),
			  &good, NULL, &problem) < 0) {
		throttle_return(web->settings.throttle, &attempt, clock_monotonic_us());
		if (problem.code == ERR_UNAVAILABLE)
			request->retry_after_s = HASHER_RETRY_S;
		*err = problem;
		return -1;
	}
	if (good) {
		throttle_right(web->settings.throttle, &attempt, clock_monotonic_us());
		return 1;
	}
	if (change_login_local_refused(web->settings.changer, &step->actor, step->asker.user_id,
				       "wrong-password", step->asker.address, err) < 0)
		return -1;
	response->status = 403;
	return show_form(request, response, step, own, "This is not your present password.", NULL);
}

static int put(struct http_request *request, struct http_response *response, struct step *step,
	       const struct own_password *own, const char *hash, struct err *err)
{
	const struct web *web = request->context;
	const struct password_change change = { .user_id = step->asker.user_id,
						.session_id = step->asker.session_id,
						.version = own->candidate.version,
						.hash = hash };
	struct err problem = { 0 };

	if (change_password_set(web->settings.changer, &step->actor, &change, NULL, &problem) == 0)
		return step_to(request, response, step, "/security?done=password", err);
	if (problem.code == ERR_NOT_FOUND)
		return step_ended(request, response, step, err);
	if (strcmp(err_reason(&problem), "stale-version") != 0) {
		*err = problem;
		return -1;
	}
	response->status = 409;
	return show_form(request, response, step, own,
			 "Your password was changed meanwhile. Please try again.", NULL);
}

static int change(struct http_request *request, struct http_response *response, struct step *step,
		  struct err *err)
{
	const struct principal *principal = step->view.principal;
	const struct password_owner owner = { .username = principal->username,
					      .email = principal->email,
					      .display_name = principal->display_name,
					      .organization = principal->organization };
	struct err problem = { 0 };
	struct own_password own;
	char hash[HASH_TEXT];
	int result = begin(request, response, step, &own, err);

	if (result > 0)
		result = check_present(request, response, step, &own, err);
	if (result <= 0)
		return result;
	if (new_password_read(request, &step->form, &owner, hash, &problem) == 0)
		return put(request, response, step, &own, hash, err);
	if (problem.code != ERR_INVALID) {
		*err = problem;
		return -1;
	}
	response->status = 422;
	return show_form(request, response, step, &own, NULL, &problem);
}

int own_password_post(struct http_request *request, struct http_response *response, struct err *err)
{
	struct step step;
	int result = step_begin(request, response, STAGE_OWN, &step, err);

	if (result > 0)
		result = change(request, response, &step, err);
	if (step.posted) {
		form_wipe(request, &step.form, "password");
		new_password_wipe(request, &step.form);
	}
	step_finish(request, &step);
	return result;
}
