/*
 * The second factor is asked for: at signing in, and again where an application wants a fresh one. Enters: people
 * whose session waits for it, codes. Leaves: the session's next stage, or a page that says what was wrong and what
 * else there is.
 *
 * The road through signing in. Where somebody is follows from their session's stage alone, which is in the store; a
 * page of another stage sends them on to their own. Where they want to go ("return", and the nonce of a hand-off)
 * travels in addresses and forms, and is looked at anew on each page.
 *
 *	first factor given (IdP, password, directory, link)   /login with where they want to go
 *	  FACTOR   /login/factor          a code or a key → FULL; an administrator's code → ENROL
 *	  ENROL    /login/enrol           → /security/add/METHOD → /security/confirm/FACTOR → FULL
 *	                                  or "later", while grace lasts → FULL
 *	  FULL     /login                 to their start page, or by hand-off to the application
 *	  FULL     /step-up               a code or a key, newer than the application asks for → back to it
 *	  FULL     /security              their own factors, recovery codes, devices, sessions, password
 *
 * Every stage that is reached gives the session another token; the one before is void.
 *
 *	reload        pages ask and change nothing; a form that worked leads on to a page
 *	back          a page whose stage is over sends on to where they wanted to go
 *	two tabs      share one session: what the one has done, the other finds done, and goes on
 *	expiry        FACTOR and ENROL end after 15 minutes: the way leads back to /login, nothing is lost but time
 *	hand-off      after a form no redirect leaves our origin (form-action 'self'): the page goes on by itself
 */
#include "step.h"

#include <string.h>

#include <rolebridge/change/device.h>
#include <rolebridge/change/enforce.h>

#include "webauthn.h"

#define CODE_MAX 64 /* people type spaces and dashes */

/* ------------------------------------------------------------------- ways there are -- */

struct way {
	enum factor_method method;
	const struct factor_row *factor; /* EMAIL, SMS: this one */
	const char *id;			 /* its uuid as text; NULL */
};

/* What somebody can be asked for, the best first. */
struct ways {
	struct way *items;
	size_t count;
	const struct way *chosen; /* of this page; NULL: there is none */
	bool remember;		  /* the browser may be remembered */
};

static bool is_step_up(const struct http_request *request)
{
	return strncmp(request->path, "/step-up", strlen("/step-up")) == 0;
}

static const char *base_path(const struct http_request *request)
{
	return is_step_up(request) ? "/step-up" : "/login/factor";
}

static const char *uuid_text(struct arena *arena, const struct uuid *uuid)
{
	char text[UUID_TEXT_SIZE];

	uuid_format(uuid, text);
	return arena_strdup(arena, text);
}

static int way_add(struct ways *ways, struct arena *arena, enum factor_method method,
		   const struct factor_row *factor, struct err *err)
{
	const char *id = factor ? uuid_text(arena, &factor->uuid) : NULL;

	if (factor && !id)
		return err_set(err, ERR_MEMORY, "out of memory");
	ways->items[ways->count++] = (struct way){ method, factor, id };
	return 0;
}

/* Apps and keys are one way each, however many there are; addresses are one each. */
static int ways_add(struct ways *ways, struct arena *arena, enum factor_method method,
		    const struct factor_row *rows, size_t count, struct err *err)
{
	for (size_t i = 0; i < count; i++) {
		bool own = method == FACTOR_EMAIL || method == FACTOR_SMS;

		if (rows[i].method != method)
			continue;
		if (way_add(ways, arena, method, own ? &rows[i] : NULL, err) < 0)
			return -1;
		if (!own)
			break;
	}
	return 0;
}

/* The one that was asked for, else the one that was used last, else the best. */
static const struct way *choose(const struct http_request *request, const struct step *step,
				const struct ways *ways, const struct factor_row *rows,
				size_t count)
{
	const char *method = step_value(request, step, "method");
	const char *factor = step_value(request, step, "factor");
	const struct way *chosen = ways->count > 0 ? &ways->items[0] : NULL;
	const struct factor_row *last = NULL;

	for (size_t i = 0; i < count; i++)
		if (rows[i].used_s > 0 && (!last || rows[i].used_s > last->used_s))
			last = &rows[i];
	for (size_t i = 0; i < ways->count; i++) {
		const struct way *way = &ways->items[i];

		if (method && strcmp(factor_method_name(way->method), method) == 0 &&
		    (!way->id || !factor || strcmp(way->id, factor) == 0))
			return way;
		if (!method && last && way->method == last->method &&
		    (!way->factor || way->factor == last))
			chosen = way;
	}
	return chosen;
}

static int ways_fill(struct http_request *request, const struct step *step,
		     const struct reading_view *view, struct ways *ways, struct err *err)
{
	static const enum factor_method order[] = { FACTOR_WEBAUTHN, FACTOR_TOTP, FACTOR_EMAIL,
						    FACTOR_SMS };
	const struct web *web = request->context;
	struct factor_answer answer;
	struct factor_row *rows;
	unsigned enrolled;
	size_t count;

	if (change_stage_read(web->settings.changer, view->store, step->asker.user_id,
			      step->asker.session_id, step->asker.now_s, view->arena, &answer,
			      &enrolled, err) < 0 ||
	    store_factor_list(view->store, step->asker.user_id, false, view->arena, &rows, &count,
			      err) < 0)
		return -1;
	/* By root's link they show what they have, and then enrol what counts. */
	if (answer.kind == FACTOR_REFUSED && step->view.by_link)
		answer.methods = enrolled;
	ways->items = arena_alloc_array(view->arena, count + 1, sizeof(*ways->items));
	if (!ways->items)
		return err_set(err, ERR_MEMORY, "out of memory");
	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		if ((answer.methods & FACTOR_BIT(order[i])) == 0 ||
		    (order[i] == FACTOR_WEBAUTHN && !webauthn_usable(request, step->site)))
			continue;
		if (ways_add(ways, view->arena, order[i], rows, count, err) < 0)
			return -1;
	}
	/* An administrator's code is taken whatever policy says of printed ones. */
	if ((!is_step_up(request) || (answer.methods & enrolled & FACTOR_BIT(FACTOR_RECOVERY))) &&
	    way_add(ways, view->arena, FACTOR_RECOVERY, NULL, err) < 0)
		return -1;
	ways->chosen = choose(request, step, ways, rows, count);
	return 0;
}

static int ways_read(struct http_request *request, const struct step *step, struct ways *ret_ways,
		     struct err *err)
{
	struct web *web = request->context;
	AUTO(reading_view) struct reading_view view = { 0 };
	struct enforce_state state;
	struct ways ways = { 0 };

	if (store_view_open(web->settings.changer, web->pool, request->arena, &view, err) < 0 ||
	    ways_fill(request, step, &view, &ways, err) < 0 ||
	    change_enforce_get(view.setup, view.store, step->view.principal->organization,
			       view.arena, &state, err) < 0)
		return -1;
	ways.remember = !is_step_up(request) && state.policy.device_s > 0;
	*ret_ways = ways;
	return 0;
}

/* ---------------------------------------------------------------------------- the page -- */

/* The address of this page with another way. */
static const char *way_path(const struct http_request *request, const struct step *step,
			    const struct way *way)
{
	const struct http_pair pairs[] = { { "method", factor_method_name(way->method) },
					   { "factor", way->id } };
	const char *path = url_with(request->arena, base_path(request), pairs, ARRAY_LEN(pairs));

	return path ? step_path(request, step, path) : NULL;
}

static const char *way_name(const struct http_request *request, const struct way *way)
{
	switch (way->method) {
	case FACTOR_WEBAUTHN: return "Security key or passkey";
	case FACTOR_TOTP: return "Authenticator app";
	case FACTOR_EMAIL:
		return arena_printf(request->arena, "Code by e-mail to %s", way->factor->hint);
	case FACTOR_SMS:
		return arena_printf(request->arena, "Code by text message to %s",
				    way->factor->hint);
	default: return "Recovery code";
	}
}

static void form_begin(struct http_response *response, const struct step *step,
		       const struct way *way, const char *action)
{
	step_form_begin(response, step, action);
	page_hidden(response, "method", factor_method_name(way->method));
	if (way->id)
		page_hidden(response, "factor", way->id);
}

/* Texts of the field in which a code is typed, by method. */
static struct page_field code_field(const struct http_request *request, const struct way *way)
{
	struct page_field field = { .name = "code",
				    .label = "Code from your authenticator app",
				    .hint = "Six digits, a new one every half a minute.",
				    .autocomplete = "one-time-code",
				    .inputmode = "numeric",
				    .max = CODE_MAX,
				    .focus = true,
				    .code = true };

	if (way->method == FACTOR_RECOVERY) {
		field.label = "Recovery code";
		field.hint = "One of the codes that you printed, or one that your administrator "
			     "gave you. Each is good once.";
		field.autocomplete = "off";
		field.inputmode = "text";
	} else if (way->method == FACTOR_EMAIL || way->method == FACTOR_SMS) {
		field.label = way->method == FACTOR_EMAIL ? "Code from the e-mail"
							  : "Code from the text message";
		field.hint =
			arena_printf(request->arena, "Six digits, sent to %s.", way->factor->hint);
	}
	return field;
}

static void code_form(struct http_request *request, struct http_response *response,
		      const struct step *step, const struct ways *ways)
{
	const struct way *way = ways->chosen;
	const struct page_field field = code_field(request, way);

	form_begin(response, step, way, base_path(request));
	page_field(response, &field);
	if (ways->remember && way->method != FACTOR_RECOVERY)
		page_check(response, "remember", "1", REMEMBER_LABEL,
			   step_value(request, step, "remember") != NULL);
	page_submit(response, "Continue");
	page_form_end(response);
}

static void send_form(struct http_request *request, struct http_response *response,
		      const struct step *step, const struct way *way, bool again)
{
	const char *action = arena_printf(request->arena, "%s/send", base_path(request));

	form_begin(response, step, way, action ? action : base_path(request));
	page_button(response, again ? PAGE_BUTTON_OTHER : PAGE_BUTTON_MAIN,
		    again ? "Send a new code"
			  : arena_printf(request->arena, "Send a code to %s", way->factor->hint),
		    NULL, NULL, NULL);
	page_form_end(response);
}

static int key_form(struct http_request *request, struct http_response *response,
		    const struct step *step, const struct ways *ways, struct err *err)
{
	struct http_pair fields[STEP_FIELDS];

	return webauthn_prove_form(request, response, step->site, &step->view, step->csrf, fields,
				   step_fields(step, fields), ways->remember, err) < 0
		       ? -1
		       : 0;
}

static int way_form(struct http_request *request, struct http_response *response,
		    const struct step *step, const struct ways *ways, struct err *err)
{
	const struct way *way = ways->chosen;
	bool is_sent = way->method == FACTOR_EMAIL || way->method == FACTOR_SMS;
	/* Whoever was sent one sees where to type it; a code that was wrong brings them back here. */
	bool was_sent = step_value(request, step, "sent") || step_value(request, step, "code");

	if (way->method == FACTOR_WEBAUTHN)
		return key_form(request, response, step, ways, err);
	if (!is_sent || was_sent)
		code_form(request, response, step, ways);
	if (is_sent)
		send_form(request, response, step, way, was_sent);
	return 0;
}

static void other_ways(struct http_request *request, struct http_response *response,
		       const struct step *step, const struct ways *ways)
{
	if (ways->count < 2)
		return;
	page_section_begin(response, "Another way");
	for (size_t i = 0; i < ways->count; i++) {
		const struct way *way = &ways->items[i];
		const char *url = way_path(request, step, way);

		if (way != ways->chosen)
			page_link(response, url ? url : base_path(request), way_name(request, way));
	}
	if (!is_step_up(request))
		page_text(response, "p",
			  "Lost it? Your administrator can give you a recovery code.");
	page_section_end(response);
}

/* Their identity provider may prove one, when it is asked anew. */
static void show_idp(struct http_request *request, struct http_response *response,
		     const struct step *step)
{
	const char *again =
		step_by_idp(request, step) ? step_again_url(request, step, &step->landing) : NULL;

	if (again)
		page_link(response, again, "Sign in again at your identity provider");
}

/* Nothing here that could be asked for: by their identity provider perhaps, or when they have added one. */
static int show_nothing(struct http_request *request, struct http_response *response,
			struct step *step, struct err *err)
{
	const char *add = step_path(request, step, "/security");
	const char *again =
		step_by_idp(request, step) ? step_again_url(request, step, &step->landing) : NULL;

	(void)err;
	response->status = 403;
	page_begin(response, again ? "Please sign in again" : "You have no second factor yet");
	page_text(response, "p", "This application asks for a second factor.");
	if (again) {
		page_text(response, "p", "Your identity provider may ask you for it:");
		page_link_button(response, again, "Sign in again");
		page_text(response, "p", "Or add one here, then go on:");
	}
	page_link_button(response, add ? add : "/security", "Add a second factor");
	page_reference(request, response);
	page_end(response);
	return 0;
}

int factor_show(struct http_request *request, struct http_response *response, struct step *step,
		const char *problem, struct err *err)
{
	bool step_up = is_step_up(request);
	struct ways ways;

	if (ways_read(request, step, &ways, err) < 0)
		return -1;
	if (!ways.chosen)
		return show_nothing(request, response, step, err);
	page_begin_with(
		response,
		&(struct page){ .title = step_up ? "Confirm that it is you" : "One more step",
				.problem = problem,
				.user = step_up ? step_person(step) : NULL,
				.script = ways.chosen->method == FACTOR_WEBAUTHN ? "webauthn.js"
										 : NULL });
	page_text(response, "p",
		  step_up ? "Where you want to go, it is asked once more that you show it is you."
			  : arena_printf(request->arena,
					 "You are signing in as %s. Please show that it is you.",
					 step_person(step)));
	if (way_form(request, response, step, &ways, err) < 0)
		return -1;
	other_ways(request, response, step, &ways);
	if (step_up || step->view.factor == FACTOR_ISSUED)
		show_idp(request, response, step);
	if (!step_up) {
		step_form_begin(response, step, "/login/factor/cancel");
		page_button(response, PAGE_BUTTON_OTHER, "Sign in as somebody else", NULL, NULL,
			    NULL);
		page_form_end(response);
	}
	page_end(response);
	return 0;
}

/* -------------------------------------------------------------------------- requests -- */

/* The page again with what was wrong; else the way of all errors. */
static int refuse(struct http_request *request, struct http_response *response, struct step *step,
		  const struct err *problem, int64_t wait_s, struct err *err)
{
	const char *text;

	if (strcmp(err_reason(problem), "sign-in-ended") == 0)
		return step_ended(request, response, step, err);
	text = step_problem(request, response, problem, wait_s);
	if (!text) {
		*err = *problem;
		return -1;
	}
	response->status = step_status(problem);
	return factor_show(request, response, step, text, err);
}

static int prove(struct http_request *request, struct step *step, struct session *ret_session,
		 int64_t *ret_wait_s, struct err *err)
{
	const char *code = http_form_value(&step->form, "code");
	const char *name = http_form_value(&step->form, "method");
	const char *id = http_form_value(&step->form, "factor");
	enum factor_method method = name ? factor_method_find(name) : FACTOR_NONE;
	struct store *store = step_store(request, step, err);
	struct uuid factor;

	if (!store)
		return -1;
	if (!code)
		return err_refuse(err, ERR_DENIED, "code-wrong", "no code was given");
	if (method == FACTOR_TOTP)
		return factor_prove_totp(&step->parts, &step->asker, store, code, request->arena,
					 ret_session, ret_wait_s, err);
	if (method == FACTOR_RECOVERY)
		return factor_prove_recovery(&step->parts, &step->asker, store, code,
					     request->arena, ret_session, ret_wait_s, err);
	if ((method == FACTOR_EMAIL || method == FACTOR_SMS) && id && uuid_parse(id, &factor))
		return factor_prove_sent(&step->parts, &step->asker, store, &factor, code,
					 request->arena, ret_session, ret_wait_s, err);
	return err_refuse(err, ERR_CONFLICT, "factor-changed", "no such method");
}

/* Is it still asked for where they want to go? Whoever comes back to this page is asked for nothing again. */
static bool is_asked_for(const struct http_request *request, const struct step *step)
{
	const struct application *application =
		step->landing.return_url
			? application_at(request->arena, step->site, step->landing.return_url)
			: NULL;
	const char *lacking;

	return !application || application_judge(application, &step->view, clock_now_s(),
						 &lacking) == FORWARD_SECOND_FACTOR;
}

static int show_page(struct http_request *request, struct http_response *response, unsigned stages,
		     struct err *err)
{
	static const char *const names[] = { "return", "nonce", "method", "factor", "sent", NULL };
	struct step step;
	int result = http_query_allow(request, names, err);

	if (result < 0)
		return -1;
	result = step_begin(request, response, stages, &step, err);
	if (result > 0 && step.view.stage == SESSION_FULL && !is_asked_for(request, &step))
		result = step_leave(request, response, &step, err);
	else if (result > 0)
		result = factor_show(request, response, &step, NULL, err);
	step_finish(request, &step);
	return result;
}

int factor_get(struct http_request *request, struct http_response *response, struct err *err)
{
	return show_page(request, response, STAGE_BIT(SESSION_FACTOR), err);
}

int step_up_get(struct http_request *request, struct http_response *response, struct err *err)
{
	return show_page(request, response, STAGE_BIT(SESSION_FULL), err);
}

static unsigned stages_of(const struct http_request *request)
{
	return is_step_up(request) ? STAGE_BIT(SESSION_FULL) : STAGE_BIT(SESSION_FACTOR);
}

static int post_code(struct http_request *request, struct http_response *response,
		     struct step *step, struct err *err)
{
	struct err problem = { 0 };
	struct session session;
	int64_t wait_s = 0;

	if (prove(request, step, &session, &wait_s, &problem) < 0)
		return refuse(request, response, step, &problem, wait_s, err);
	return factor_proven(request, response, step, err);
}

int factor_proven(struct http_request *request, struct http_response *response, struct step *step,
		  struct err *err)
{
	if (step_rotate(request, response, step, err) < 0)
		return -1;
	if (step->view.stage == SESSION_FULL && step_remember(request, response, step, err) < 0)
		return -1;
	return step_elsewhere(request, response, step, err);
}

int factor_post(struct http_request *request, struct http_response *response, struct err *err)
{
	struct step step;
	int result = step_begin(request, response, stages_of(request), &step, err);

	if (result > 0)
		result = post_code(request, response, &step, err);
	step_finish(request, &step);
	return result;
}

static int send_code(struct http_request *request, struct http_response *response,
		     struct step *step, struct err *err)
{
	const char *method = http_form_value(&step->form, "method");
	const char *id = http_form_value(&step->form, "factor");
	const struct http_pair pairs[] = { { "method", method },
					   { "factor", id },
					   { "sent", "1" } };
	struct err problem = { 0 };
	int64_t until_s, wait_s = 0;
	struct uuid factor;

	if (!method || !id || !uuid_parse(id, &factor))
		return err_set(err, ERR_INVALID, "no method was chosen");
	if (!step_store(request, step, err))
		return -1;
	if (factor_send(&step->parts, &step->asker, step->store, &factor, &until_s, &wait_s,
			&problem) < 0)
		return refuse(request, response, step, &problem, wait_s, err);
	return step_to(request, response, step,
		       url_with(request->arena, base_path(request), pairs, ARRAY_LEN(pairs)), err);
}

int factor_send_post(struct http_request *request, struct http_response *response, struct err *err)
{
	struct step step;
	int result = step_begin(request, response, stages_of(request), &step, err);

	if (result > 0)
		result = send_code(request, response, &step, err);
	step_finish(request, &step);
	return result;
}

/* Somebody else sits here now: the session that was begun is over. */
int factor_cancel_post(struct http_request *request, struct http_response *response,
		       struct err *err)
{
	const struct web *web = request->context;
	struct step step;
	int result = step_begin(request, response,
				STAGE_BIT(SESSION_FACTOR) | STAGE_BIT(SESSION_ENROL), &step, err);

	if (result > 0) {
		result = change_sessions_end(web->settings.changer, &step.actor,
					     &step.view.session_id, 1, "logout", NULL, err);
		if (result == 0)
			result = cookie_remove(request, response, step.site->secure, COOKIE_SESSION,
					       "", err);
		if (result == 0)
			result = step_to(request, response, &step, "/login", err);
	}
	step_finish(request, &step);
	return result;
}
