/*
 * A factor is added: by whoever may come no further without one, or from somebody's security page. Enters: people
 * with a session that is full or may only enrol. Leaves: a factor that was proven once, and their way on.
 *
 * What is begun is nobody's factor yet and stands in the store, sealed: the page that shows it can be loaded again,
 * until it is confirmed or forgotten.
 */
#include "step.h"

#include <string.h>

#include <rolebridge/auth/courier.h>
#include <rolebridge/change/device.h>
#include <rolebridge/change/enforce.h>

#include "webauthn.h"

#define STAGES_ENROL (STAGE_BIT(SESSION_FULL) | STAGE_BIT(SESSION_ENROL))
#define CODE_MAX 64
#define ADDRESS_MAX 254 /* RFC 5321, 4.5.3.1.3 */

static const struct {
	enum factor_method method;
	const char *title, *text;
} offers[] = {
	{ FACTOR_WEBAUTHN, "Security key or passkey",
	  "A key that you plug in or hold to your device, or your device itself: its screen lock, "
	  "finger or face. The safest way." },
	{ FACTOR_TOTP, "Authenticator app",
	  "An app on your phone that shows a new code every half a minute. Works without a network." },
	{ FACTOR_EMAIL, "Code by e-mail", "A code is sent to you each time." },
	{ FACTOR_SMS, "Code by text message", "A code is sent to your phone each time." },
};

/* ------------------------------------------------------------------- what there is -- */

bool method_offered(struct http_request *request, const struct site *site, unsigned counting,
		    enum factor_method method)
{
	const struct web *web = request->context;
	struct courier *courier = web->settings.courier;

	if ((counting & FACTOR_BIT(method)) == 0)
		return false;
	switch (method) {
	case FACTOR_WEBAUTHN: return webauthn_usable(request, site);
	case FACTOR_EMAIL: return courier && courier_has(courier, COURIER_MAIL);
	case FACTOR_SMS: return courier && courier_has(courier, COURIER_SMS);
	default: return method == FACTOR_TOTP;
	}
}

int methods_counting(struct http_request *request, const struct step *step, unsigned *ret_methods,
		     struct err *err)
{
	struct web *web = request->context;
	AUTO(reading_view) struct reading_view view = { 0 };
	struct enforce_state state;

	if (store_view_open(web->settings.changer, web->pool, request->arena, &view, err) < 0 ||
	    change_enforce_get(view.setup, view.store, step->view.principal->organization,
			       view.arena, &state, err) < 0)
		return -1;
	*ret_methods =
		factor_methods_that_count(&state.policy, step->view.principal->is_administrator);
	return 0;
}

size_t offers_show(struct http_request *request, struct http_response *response,
		   const struct step *step, unsigned counting)
{
	size_t count = 0;

	page_list_begin(response, "Methods");
	for (size_t i = 0; i < ARRAY_LEN(offers); i++) {
		const char *path = arena_printf(request->arena, "/security/add/%s",
						factor_method_name(offers[i].method));
		const char *url = path ? step_path(request, step, path) : NULL;

		if (!method_offered(request, step->site, counting, offers[i].method))
			continue;
		page_item_begin(response, offers[i].title, offers[i].text);
		page_link_button(
			response, url ? url : "/security",
			arena_printf(request->arena, "Add %s", method_shown(offers[i].method)));
		page_item_end(response);
		count++;
	}
	page_list_end(response);
	return count;
}

/* ------------------------------------------------------------------ who must enrol -- */

static const char *grace_text(const struct http_request *request,
			      const struct factor_answer *answer)
{
	/* This sign-in is one of them. */
	int64_t left = answer->sign_ins_left - 1;
	const char *until = answer->grace_until_s > 0
				    ? time_shown(request->arena, answer->grace_until_s)
				    : NULL;

	if (until && answer->sign_ins_left >= 0)
		return arena_printf(request->arena,
				    "You can do that later: until %s, and %lld more time%s after "
				    "this one.",
				    until, (long long)left, left == 1 ? "" : "s");
	if (until)
		return arena_printf(request->arena, "You can do that later: until %s.", until);
	return arena_printf(request->arena,
			    "You can do that later: %lld more time%s after this one.",
			    (long long)left, left == 1 ? "" : "s");
}

static int show_enrol(struct http_request *request, struct http_response *response,
		      struct step *step, struct err *err)
{
	struct web *web = request->context;
	AUTO(reading_view) struct reading_view view = { 0 };
	struct factor_answer answer;
	unsigned enrolled, counting;

	if (methods_counting(request, step, &counting, err) < 0 ||
	    store_view_open(web->settings.changer, web->pool, request->arena, &view, err) < 0 ||
	    change_stage_read(web->settings.changer, view.store, step->asker.user_id,
			      step->asker.session_id, step->asker.now_s, view.arena, &answer,
			      &enrolled, err) < 0)
		return -1;
	page_begin(response, "Add a second factor");
	page_text(response, "p",
		  "To sign in you need something besides your password or your organization's "
		  "account, so that nobody else can use it. Please choose what.");
	if (offers_show(request, response, step, counting) == 0)
		page_notice(response, PAGE_BAD,
			    "There is no method that you could add here. Please ask your "
			    "administrator.");
	if (answer.kind == FACTOR_GRACE) {
		page_text(response, "p", grace_text(request, &answer));
		step_form_begin(response, step, "/login/enrol/later");
		page_button(response, PAGE_BUTTON_OTHER, "Later", NULL, NULL, NULL);
		page_form_end(response);
	}
	step_form_begin(response, step, "/login/factor/cancel");
	page_button(response, PAGE_BUTTON_OTHER, "Sign in as somebody else", NULL, NULL, NULL);
	page_form_end(response);
	page_end(response);
	return 0;
}

int enrol_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { "return", "nonce", NULL };
	struct step step = { 0 };
	int result = http_query_allow(request, names, err);

	if (result == 0)
		result = step_begin(request, response, STAGE_BIT(SESSION_ENROL), &step, err);
	if (result > 0)
		result = show_enrol(request, response, &step, err);
	step_finish(request, &step);
	return result;
}

static int go_later(struct http_request *request, struct http_response *response, struct step *step,
		    struct err *err)
{
	const struct web *web = request->context;
	struct err problem = { 0 };
	struct session session;

	if (change_enrol_later(web->settings.changer, &step->actor, step->asker.session_id,
			       &step->asker.token, step->asker.now_s, request->arena, &session,
			       &problem) == 0)
		return factor_proven(request, response, step, err);
	if (problem.code == ERR_NOT_FOUND)
		return step_ended(request, response, step, err);
	if (strcmp(err_reason(&problem), "2fa-not-configured") != 0) {
		*err = problem;
		return -1;
	}
	page_refused_with(request, response, 403, "Not any more",
			  "The time in which you could come in without a second factor is over. "
			  "Please add one.",
			  step_path(request, step, "/login/enrol"), "Add a second factor");
	return 0;
}

int enrol_later_post(struct http_request *request, struct http_response *response, struct err *err)
{
	struct step step;
	int result = step_begin(request, response, STAGE_BIT(SESSION_ENROL), &step, err);

	if (result > 0)
		result = go_later(request, response, &step, err);
	step_finish(request, &step);
	return result;
}

/* -------------------------------------------------------------------------- begin -- */

static const char *add_path(const struct http_request *request)
{
	return arena_printf(request->arena, "/security/add/%s", http_parameter(request, "method"));
}

/* Enough for what needs a fresh sign-in? Told before somebody fills in a form for nothing. */
bool step_is_fresh(const struct step *step)
{
	return step->view.stage == SESSION_ENROL ||
	       (step->view.factor != FACTOR_DEVICE &&
		step->asker.now_s - step->view.signed_in_s <= SESSION_FRESH_S);
}

static void address_fields(const struct http_request *request, struct http_response *response,
			   const struct step *step, enum factor_method method)
{
	const char *given = step_value(request, step, "address");

	if (method == FACTOR_EMAIL)
		page_field(response, &(struct page_field){
					     .name = "address",
					     .label = "E-mail address",
					     .type = "email",
					     .value = given ? given : step->view.principal->email,
					     .autocomplete = "email",
					     .max = ADDRESS_MAX,
					     .focus = true,
					     .hint = "A code is sent there now." });
	if (method == FACTOR_SMS)
		page_field(response,
			   &(struct page_field){
				   .name = "address",
				   .label = "Phone number",
				   .type = "tel",
				   .value = given,
				   .autocomplete = "tel",
				   .max = 40,
				   .focus = true,
				   .hint = "With the country's number, such as "
					   "+49 170 1234567. A code is sent there now." });
}

int factor_add_show(struct http_request *request, struct http_response *response, struct step *step,
		    enum factor_method method, const char *problem, struct err *err)
{
	const char *title = arena_printf(request->arena, "Add %s", method_shown(method));
	int result = 0;

	page_begin_with(
		response,
		&(struct page){ .title = title ? title : "Add a method",
				.problem = problem,
				.script = method == FACTOR_WEBAUTHN ? "webauthn.js" : NULL });
	if (method == FACTOR_WEBAUTHN) {
		struct http_pair fields[STEP_FIELDS];

		result = webauthn_enrol_form(request, response, step->site, &step->view, step->csrf,
					     fields, step_fields(step, fields), err);
	} else {
		step_form_begin(response, step, add_path(request));
		address_fields(request, response, step, method);
		page_field(
			response,
			&(struct page_field){
				.name = "name",
				.label = "Name",
				.value = step_value(request, step, "name"),
				.autocomplete = "off",
				.max = FACTOR_NAME_MAX,
				.optional = true,
				.focus = method == FACTOR_TOTP,
				.hint = "By which you know it again, such as \"My phone\". May stay empty." });
		page_submit(response, "Continue");
		page_form_end(response);
	}
	page_link(response,
		  step_path(request, step,
			    step->view.stage == SESSION_ENROL ? "/login/enrol" : "/security"),
		  "Choose another method");
	page_end(response);
	return result < 0 ? -1 : 0;
}

/* 1: the method of the address, which is offered to them; 0: told; -1. */
static int read_method(struct http_request *request, struct http_response *response,
		       const struct step *step, enum factor_method *ret_method, struct err *err)
{
	enum factor_method method = factor_method_find(http_parameter(request, "method"));
	unsigned counting;

	if (methods_counting(request, step, &counting, err) < 0)
		return -1;
	if (method == FACTOR_NONE || method >= FACTOR_METHODS ||
	    !method_offered(request, step->site, counting, method))
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such method here");
	if (!step_is_fresh(step))
		return step_not_fresh(request, response, step, add_path(request), err);
	*ret_method = method;
	return 1;
}

int factor_add_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { "return", "nonce", NULL };
	struct step step = { 0 };
	enum factor_method method;
	int result = http_query_allow(request, names, err);

	if (result == 0)
		result = step_begin(request, response, STAGES_ENROL, &step, err);
	if (result > 0)
		result = read_method(request, response, &step, &method, err);
	if (result > 0)
		result = factor_add_show(request, response, &step, method, NULL, err);
	step_finish(request, &step);
	return result;
}

/* Names of what an app shows: whose account, where. */
static const char *issuer_of(const struct http_request *request, const struct site *site)
{
	const char *host = strstr(site->url, "://");

	host = host ? host + 3 : site->url;
	return arena_strndup(request->arena, host, strcspn(host, ":/"));
}

static int begin(struct http_request *request, struct step *step, enum factor_method method,
		 struct uuid *ret_factor, int64_t *ret_wait_s, struct err *err)
{
	const char *name = step_name(request, step);
	const char *address = http_form_value(&step->form, "address");
	const char *issuer = issuer_of(request, step->site);
	struct totp_enrolment enrolment;
	int64_t until_s;

	if (!issuer)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (method == FACTOR_TOTP) {
		if (factor_enrol_totp(&step->parts, &step->asker, name, issuer,
				      step->view.principal->username, request->arena, &enrolment,
				      err) < 0)
			return -1;
		*ret_factor = enrolment.uuid;
		return 0;
	}
	if (!step_store(request, step, err))
		return -1;
	return factor_enrol_address(&step->parts, &step->asker, step->store, method, name,
				    address ? address : "", ret_factor, &until_s, ret_wait_s, err);
}

static const char *confirm_path(const struct http_request *request, const struct uuid *factor,
				const char *more)
{
	char text[UUID_TEXT_SIZE];

	uuid_format(factor, text);
	return arena_printf(request->arena, "/security/confirm/%s%s", text, more);
}

static int refuse_add(struct http_request *request, struct http_response *response,
		      struct step *step, enum factor_method method, const struct err *problem,
		      int64_t wait_s, struct err *err)
{
	const char *text = step_problem(request, response, problem, wait_s);

	if (step_wants_more(problem))
		return step_not_fresh(request, response, step, add_path(request), err);
	if (strcmp(err_reason(problem), "sign-in-ended") == 0)
		return step_ended(request, response, step, err);
	if (!text && problem->code == ERR_INVALID)
		text = method == FACTOR_TOTP ? "This name cannot be used."
		       : method == FACTOR_SMS
			       ? "This is no phone number that a message can be sent to."
			       : "This is no e-mail address that a message can be sent to.";
	if (!text) {
		*err = *problem;
		return -1;
	}
	response->status = step_status(problem);
	return factor_add_show(request, response, step, method, text, err);
}

static int add(struct http_request *request, struct http_response *response, struct step *step,
	       struct err *err)
{
	struct err problem = { 0 };
	enum factor_method method;
	struct uuid factor;
	int64_t wait_s = 0;
	int result = read_method(request, response, step, &method, err);

	if (result <= 0)
		return result;
	if (method == FACTOR_WEBAUTHN)
		return err_set(err, ERR_INVALID, "a security key is added by a script");
	if (begin(request, step, method, &factor, &wait_s, &problem) < 0)
		return refuse_add(request, response, step, method, &problem, wait_s, err);
	return step_to(request, response, step, confirm_path(request, &factor, ""), err);
}

int factor_add_post(struct http_request *request, struct http_response *response, struct err *err)
{
	struct step step;
	int result = step_begin(request, response, STAGES_ENROL, &step, err);

	if (result > 0)
		result = add(request, response, &step, err);
	step_finish(request, &step);
	return result;
}

/* ------------------------------------------------------------------------ confirm -- */

/* What was begun in this session. */
static int read_pending(struct http_request *request, const struct step *step,
			const struct reading_view *view, struct factor_row *ret_row,
			struct err *err)
{
	const char *id = http_parameter(request, "factor");
	struct factor_row row;
	struct uuid factor;

	if (uuid_parse(id, &factor) &&
	    store_factor_get(view->store, &factor, view->arena, &row, err) == 0 &&
	    row.user_id == step->asker.user_id && row.session_id == step->asker.session_id &&
	    row.confirmed_s == 0 && row.until_s > step->asker.now_s) {
		*ret_row = row;
		return 0;
	}
	return err_refuse(err, ERR_NOT_FOUND, "not-found", "nothing like that was begun");
}

static int show_secret(struct http_request *request, struct http_response *response,
		       struct step *step, const struct reading_view *view,
		       const struct factor_row *row, struct err *err)
{
	const char *issuer = issuer_of(request, step->site);
	struct totp_enrolment enrolment;

	if (!issuer)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (factor_pending_totp(&step->parts, &step->asker, view->store, &row->uuid, issuer,
				step->view.principal->username, request->arena, &enrolment,
				err) < 0)
		return -1;
	page_text(response, "p", "Scan this with your authenticator app, or type the key into it.");
	page_svg(response, enrolment.svg, "QR code with the key that stands below it");
	page_code(response, "Key:", enrolment.secret);
	return 0;
}

static void confirm_form(struct http_request *request, struct http_response *response,
			 const struct step *step, const struct factor_row *row)
{
	bool is_totp = row->method == FACTOR_TOTP;

	step_form_begin(response, step, confirm_path(request, &row->uuid, ""));
	page_field(response,
		   &(struct page_field){ .name = "code",
					 .label = is_totp ? "Code that the app shows now" : "Code",
					 .hint = is_totp ? "Six digits."
							 : arena_printf(request->arena,
									"Six digits, sent to %s.",
									row->hint),
					 .autocomplete = "one-time-code",
					 .inputmode = "numeric",
					 .max = CODE_MAX,
					 .focus = true,
					 .code = true });
	page_submit(response, "Confirm");
	page_form_end(response);
	if (!is_totp) {
		step_form_begin(response, step, confirm_path(request, &row->uuid, "/send"));
		page_button(response, PAGE_BUTTON_OTHER, "Send a new code", NULL, NULL, NULL);
		page_form_end(response);
	}
}

static int show_confirm(struct http_request *request, struct http_response *response,
			struct step *step, const char *problem, struct err *err)
{
	struct web *web = request->context;
	AUTO(reading_view) struct reading_view view = { 0 };
	struct factor_row row;
	const char *title;

	if (store_view_open(web->settings.changer, web->pool, request->arena, &view, err) < 0)
		return -1;
	if (read_pending(request, step, &view, &row, err) < 0) {
		page_refused_with(
			request, response, 404, "This is over",
			"It was confirmed already, or it took too long.",
			step_path(request, step,
				  step->view.stage == SESSION_ENROL ? "/login/enrol" : "/security"),
			"Go on");
		return 0;
	}
	title = arena_printf(request->arena, "Add %s", method_shown(row.method));
	page_begin_with(response, &(struct page){ .title = title ? title : "Add a method",
						  .problem = problem });
	if (row.method == FACTOR_TOTP && show_secret(request, response, step, &view, &row, err) < 0)
		return -1;
	confirm_form(request, response, step, &row);
	page_link(response,
		  step_path(request, step,
			    step->view.stage == SESSION_ENROL ? "/login/enrol" : "/security"),
		  "Choose another method");
	page_end(response);
	return 0;
}

int factor_confirm_get(struct http_request *request, struct http_response *response,
		       struct err *err)
{
	static const char *const names[] = { "return", "nonce", NULL };
	struct step step = { 0 };
	int result = http_query_allow(request, names, err);

	if (result == 0)
		result = step_begin(request, response, STAGES_ENROL, &step, err);
	if (result > 0)
		result = show_confirm(request, response, &step, NULL, err);
	step_finish(request, &step);
	return result;
}

static int refuse_confirm(struct http_request *request, struct http_response *response,
			  struct step *step, const struct err *problem, int64_t wait_s,
			  struct err *err)
{
	const char *text;

	if (strcmp(err_reason(problem), "sign-in-ended") == 0)
		return step_ended(request, response, step, err);
	if (step_wants_more(problem))
		return step_not_fresh(request, response, step, "/security", err);
	text = step_problem(request, response, problem, wait_s);
	if (!text && problem->code != ERR_NOT_FOUND) {
		*err = *problem;
		return -1;
	}
	response->status = step_status(problem);
	return show_confirm(request, response, step, text, err);
}

int enrol_done(struct http_request *request, struct http_response *response, struct step *step,
	       struct err *err)
{
	struct web *web = request->context;
	AUTO(reading_view) struct reading_view view = { 0 };
	unsigned methods;

	/* Theirs, but another one is asked for. */
	if (step->view.stage != SESSION_FULL)
		return step_elsewhere(request, response, step, err);
	if (store_view_open(web->settings.changer, web->pool, request->arena, &view, err) < 0 ||
	    store_factor_methods(view.store, step->asker.user_id, &methods, err) < 0)
		return -1;
	if ((methods & FACTOR_BIT(FACTOR_RECOVERY)) == 0)
		return step_to(request, response, step, "/security/recovery-codes?new=1", err);
	if (step->landing.return_url)
		return step_leave(request, response, step, err);
	return step_to(request, response, step, "/security?done=added", err);
}

static int confirm(struct http_request *request, struct http_response *response, struct step *step,
		   struct err *err)
{
	const char *code = http_form_value(&step->form, "code");
	struct err problem = { 0 };
	struct session session;
	int64_t wait_s = 0;
	struct uuid factor;

	if (!uuid_parse(http_parameter(request, "factor"), &factor))
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "nothing like that was begun");
	if (!step_store(request, step, err))
		return -1;
	if (factor_confirm(&step->parts, &step->asker, step->store, &factor, code ? code : "",
			   request->arena, &session, &wait_s, &problem) < 0)
		return refuse_confirm(request, response, step, &problem, wait_s, err);
	if (step_rotate(request, response, step, err) < 0)
		return -1;
	return enrol_done(request, response, step, err);
}

int factor_confirm_post(struct http_request *request, struct http_response *response,
			struct err *err)
{
	struct step step;
	int result = step_begin(request, response, STAGES_ENROL, &step, err);

	if (result > 0)
		result = confirm(request, response, &step, err);
	step_finish(request, &step);
	return result;
}

static int send_again(struct http_request *request, struct http_response *response,
		      struct step *step, struct err *err)
{
	struct err problem = { 0 };
	int64_t until_s, wait_s = 0;
	struct uuid factor;

	if (!uuid_parse(http_parameter(request, "factor"), &factor))
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "nothing like that was begun");
	if (!step_store(request, step, err))
		return -1;
	if (factor_send(&step->parts, &step->asker, step->store, &factor, &until_s, &wait_s,
			&problem) < 0)
		return refuse_confirm(request, response, step, &problem, wait_s, err);
	return step_to(request, response, step, confirm_path(request, &factor, ""), err);
}

int factor_confirm_send_post(struct http_request *request, struct http_response *response,
			     struct err *err)
{
	struct step step;
	int result = step_begin(request, response, STAGES_ENROL, &step, err);

	if (result > 0)
		result = send_again(request, response, &step, err);
	step_finish(request, &step);
	return result;
}
