/*
 * Somebody's own page of what protects their account. Enters: people with a full session. Leaves: lists of their
 * factors, recovery codes, remembered browsers and sessions, and what they did to them.
 */
#include "step.h"

#include <string.h>

#include <sodium.h>

#include <rolebridge/change/device.h>
#include <rolebridge/store/device.h>
#include <rolebridge/store/session.h>

#define STAGE_OWN STAGE_BIT(SESSION_FULL)
#define SESSIONS_SHOWN 100
#define SESSIONS_READ 10000 /* they come the oldest first */
#define ENDED_AT_ONCE 500
#define ENDING_ARENA_MAX ((size_t)16 << 20)
#define FEW_CODES 3

/* What was done by the form before: its word in the address. */
static const struct {
	const char *word, *text;
} deeds[] = {
	{ "added", "Your method was added." },
	{ "renamed", "The method has its new name." },
	{ "removed", "The method was removed." },
	{ "forgotten", "The device is asked for a second factor again." },
	{ "ended", "The session was ended." },
	{ "password", "Your password was changed. All other sessions were ended." },
};

static const char *deed_text(const char *word)
{
	for (size_t i = 0; word && i < ARRAY_LEN(deeds); i++)
		if (strcmp(word, deeds[i].word) == 0)
			return deeds[i].text;
	return NULL;
}

/* What the page shows, read in one snapshot. */
struct own {
	struct factor_row *factors;
	size_t factor_count;
	struct recovery_row *codes;
	size_t code_count, codes_left;
	struct device_row *devices;
	size_t device_count;
	struct session *sessions;
	size_t session_count;
};

static int own_read(struct http_request *request, const struct step *step, struct own *ret_own,
		    struct err *err)
{
	struct web *web = request->context;
	AUTO(reading_view) struct reading_view view = { 0 };
	const struct session_query query = { .user_id = step->asker.user_id,
					     .limit = SESSIONS_READ };
	struct own own = { 0 };

	if (store_view_open(web->settings.changer, web->pool, request->arena, &view, err) < 0 ||
	    store_factor_list(view.store, query.user_id, false, view.arena, &own.factors,
			      &own.factor_count, err) < 0 ||
	    store_recovery_list(view.store, query.user_id, view.arena, &own.codes, &own.code_count,
				err) < 0 ||
	    store_device_list(view.store, query.user_id, view.arena, &own.devices,
			      &own.device_count, err) < 0 ||
	    store_session_list(view.store, &query, view.arena, &own.sessions, &own.session_count,
			       err) < 0)
		return -1;
	for (size_t i = 0; i < own.code_count; i++)
		own.codes_left += own.codes[i].slot < RECOVERY_PRINTED && own.codes[i].used_s == 0;
	*ret_own = own;
	return 0;
}

/* --------------------------------------------------------------------------- parts -- */

static const char *id_path(const struct http_request *request, const char *folder,
			   const struct uuid *uuid, const char *more)
{
	char text[UUID_TEXT_SIZE];

	uuid_format(uuid, text);
	return arena_printf(request->arena, "/security/%s/%s%s", folder, text, more);
}

static const char *factor_detail(const struct http_request *request, const struct factor_row *row)
{
	const char *used = row->used_s > 0 ? arena_printf(request->arena, "last used %s",
							  time_shown(request->arena, row->used_s))
					   : "never used since";
	const char *method = method_shown(row->method);

	return arena_printf(request->arena, "%c%s%s%s, added %s, %s.",
			    method[0] >= 'a' && method[0] <= 'z' ? method[0] - 'a' + 'A'
								 : method[0],
			    method + 1, row->hint[0] ? " to " : "", row->hint,
			    time_shown(request->arena, row->created_s), used);
}

static int show_password(struct http_request *request, struct http_response *response,
			 const struct step *step, struct err *err)
{
	bool theirs;

	if (own_password_is_theirs(request, step, &theirs, err) < 0)
		return -1;
	if (!theirs)
		return 0;
	page_section_begin(response, "Password");
	page_link_button(response, "/security/password", "Change password");
	page_section_end(response);
	return 0;
}

static int show_factors(struct http_request *request, struct http_response *response,
			const struct step *step, const struct own *own, struct err *err)
{
	unsigned counting;

	if (methods_counting(request, step, &counting, err) < 0)
		return -1;
	page_section_begin(response, "Second factors");
	if (own->factor_count == 0)
		page_text(response, "p",
			  "You have none yet. Add one, so that your account is safe even "
			  "when somebody else knows your password.");
	page_list_begin(response, "Your second factors");
	for (size_t i = 0; i < own->factor_count; i++) {
		const struct factor_row *row = &own->factors[i];

		page_item_begin(response, row->name, factor_detail(request, row));
		page_link(response, id_path(request, "factors", &row->uuid, ""),
			  arena_printf(request->arena, "Change %s", row->name));
		page_item_end(response);
	}
	page_list_end(response);
	page_text(response, "h3", "Add another one");
	offers_show(request, response, step, counting);
	page_section_end(response);
	return 0;
}

static void show_codes(struct http_request *request, struct http_response *response,
		       const struct own *own)
{
	page_section_begin(response, "Recovery codes");
	if (own->factor_count == 0)
		page_text(response, "p",
			  "When you have a second factor you can print codes here "
			  "that take its place when it is lost.");
	else if (own->codes_left == 0)
		page_text(response, "p",
			  "You have none. Ten codes on paper take the place of your second "
			  "factor when it is lost.");
	else
		page_text(response, "p",
			  arena_printf(request->arena,
				       "%zu of ten are left. Each takes the place of your second "
				       "factor once.",
				       own->codes_left));
	if (own->factor_count > 0 && own->codes_left > 0 && own->codes_left <= FEW_CODES)
		page_notice(response, PAGE_WARNING, "Few codes are left. Print new ones.");
	if (own->factor_count > 0)
		page_link_button(response, "/security/recovery-codes",
				 own->codes_left > 0 ? "New recovery codes"
						     : "Make recovery codes");
	page_section_end(response);
}

static void show_devices(struct http_request *request, struct http_response *response,
			 const struct step *step, const struct own *own)
{
	if (own->device_count == 0)
		return;
	page_section_begin(response, "Remembered devices");
	page_text(response, "p", "You are not asked for a second factor there.");
	page_list_begin(response, "Remembered devices");
	for (size_t i = 0; i < own->device_count; i++) {
		const struct device_row *row = &own->devices[i];
		const char *name = row->agent[0] ? row->agent : "Unknown browser";

		page_item_begin(response, name,
				arena_printf(request->arena, "%s%sSince %s, until %s.",
					     row->address, row->address[0] ? ". " : "",
					     time_shown(request->arena, row->created_s),
					     time_shown(request->arena, row->until_s)));
		page_button_form(response, id_path(request, "devices", &row->uuid, "/forget"),
				 step->csrf, PAGE_BUTTON_OTHER, "Forget", name);
		page_item_end(response);
	}
	page_list_end(response);
	page_button_form(response, "/security/devices/forget", step->csrf, PAGE_BUTTON_DANGER,
			 "Forget all devices", NULL);
	page_section_end(response);
}

static void show_one_session(struct http_request *request, struct http_response *response,
			     const struct step *step, const struct session *row)
{
	const char *name = row->agent[0] ? row->agent : "Unknown browser";
	bool here = row->id == step->asker.session_id;

	page_item_begin(response, here ? "This browser" : name,
			arena_printf(request->arena, "%s%s%s%sSince %s, last seen %s.",
				     here ? name : "", here ? ". " : "", row->address,
				     row->address[0] ? ". " : "",
				     time_shown(request->arena, row->created_s),
				     time_shown(request->arena, row->seen_s)));
	if (!here)
		page_button_form(response, id_path(request, "sessions", &row->uuid, "/end"),
				 step->csrf, PAGE_BUTTON_OTHER, "Sign out there", name);
	page_item_end(response);
}

/* The newest first. */
static void show_sessions(struct http_request *request, struct http_response *response,
			  const struct step *step, const struct own *own)
{
	size_t shown = 0;

	page_section_begin(response, "Where you are signed in");
	page_list_begin(response, "Your sessions");
	for (size_t i = own->session_count; i > 0 && shown < SESSIONS_SHOWN; i--) {
		if (own->sessions[i - 1].stage != SESSION_FULL)
			continue;
		show_one_session(request, response, step, &own->sessions[i - 1]);
		shown++;
	}
	page_list_end(response);
	if (shown == SESSIONS_SHOWN)
		page_small(response, "There may be older ones.");
	if (own->session_count > 1)
		page_button_form(response, "/security/sessions/end", step->csrf, PAGE_BUTTON_DANGER,
				 "Sign out everywhere else", NULL);
	page_section_end(response);
}

static int show_security(struct http_request *request, struct http_response *response,
			 struct step *step, struct err *err)
{
	struct own own;

	if (own_read(request, step, &own, err) < 0)
		return -1;
	page_begin_with(response, &(struct page){ .title = "Security",
						  .done = deed_text(http_query(request, "done")),
						  .user = step_person(step),
						  .wide = true });
	if (show_password(request, response, step, err) < 0 ||
	    show_factors(request, response, step, &own, err) < 0)
		return -1;
	show_codes(request, response, &own);
	show_devices(request, response, step, &own);
	show_sessions(request, response, step, &own);
	page_end(response);
	return 0;
}

typedef int act_fn(struct http_request *request, struct http_response *response, struct step *step,
		   struct err *err);

/* A page of their own. names: what its address may say. */
static int get(struct http_request *request, struct http_response *response,
	       const char *const *names, act_fn *show, struct err *err)
{
	struct step step = { 0 };
	int result = http_query_allow(request, names, err);

	if (result == 0)
		result = step_begin(request, response, STAGE_OWN, &step, err);
	if (result > 0)
		result = show(request, response, &step, err);
	step_finish(request, &step);
	return result;
}

int security_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { "done", "return", "nonce", NULL };

	return get(request, response, names, show_security, err);
}

/* ------------------------------------------------------------------- one of the factors -- */

static int read_own_factor(struct http_request *request, const struct step *step,
			   struct factor_row *ret_row, struct err *err)
{
	struct web *web = request->context;
	AUTO(reading_view) struct reading_view view = { 0 };
	struct factor_row row;
	struct uuid factor;

	if (!uuid_parse(http_parameter(request, "factor"), &factor))
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such method");
	if (store_view_open(web->settings.changer, web->pool, request->arena, &view, err) < 0 ||
	    store_factor_get(view.store, &factor, view.arena, &row, err) < 0)
		return -1;
	if (row.user_id != step->asker.user_id || row.confirmed_s == 0)
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such method");
	*ret_row = row;
	return 0;
}

static int show_factor(struct http_request *request, struct http_response *response,
		       struct step *step, const char *problem, struct err *err)
{
	const char *name = step_value(request, step, "name");
	struct factor_row row;

	if (read_own_factor(request, step, &row, err) < 0)
		return -1;
	page_begin_with(
		response,
		&(struct page){ .title = row.name, .problem = problem, .user = step_person(step) });
	page_text(response, "p", factor_detail(request, &row));
	step_form_begin(response, step, id_path(request, "factors", &row.uuid, "/rename"));
	page_field(response, &(struct page_field){ .name = "name",
						   .label = "Name",
						   .value = name ? name : row.name,
						   .autocomplete = "off",
						   .max = FACTOR_NAME_MAX });
	page_submit(response, "Rename");
	page_form_end(response);
	page_section_begin(response, "Remove");
	page_text(response, "p",
		  "It cannot be used to sign in any more, and you are told by mail.");
	page_button_form(response, id_path(request, "factors", &row.uuid, "/remove"), step->csrf,
			 PAGE_BUTTON_DANGER, "Remove", row.name);
	page_section_end(response);
	page_link(response, "/security", "Back");
	page_end(response);
	return 0;
}

static int show_own_factor(struct http_request *request, struct http_response *response,
			   struct step *step, struct err *err)
{
	return show_factor(request, response, step, NULL, err);
}

int own_factor_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { NULL };

	return get(request, response, names, show_own_factor, err);
}

static int refuse_factor(struct http_request *request, struct http_response *response,
			 struct step *step, const struct factor_row *row, const struct err *problem,
			 struct err *err)
{
	const char *text = step_problem(request, response, problem, 0);

	if (step_wants_more(problem))
		return step_not_fresh(request, response, step,
				      id_path(request, "factors", &row->uuid, ""), err);
	if (strcmp(err_reason(problem), "sign-in-ended") == 0)
		return step_ended(request, response, step, err);
	if (!text && problem->code == ERR_INVALID)
		text = "This name cannot be used.";
	if (!text) {
		*err = *problem;
		return -1;
	}
	response->status = step_status(problem);
	return show_factor(request, response, step, text, err);
}

static int rename_factor(struct http_request *request, struct http_response *response,
			 struct step *step, struct err *err)
{
	const struct web *web = request->context;
	struct err problem = { 0 };
	struct factor_row row;

	if (read_own_factor(request, step, &row, err) < 0)
		return -1;
	if (change_factor_rename(web->settings.changer, &step->actor, step->asker.user_id,
				 &row.uuid, step_name(request, step), &problem) < 0)
		return refuse_factor(request, response, step, &row, &problem, err);
	return step_to(request, response, step, "/security?done=renamed", err);
}

static int remove_factor(struct http_request *request, struct http_response *response,
			 struct step *step, struct err *err)
{
	const struct web *web = request->context;
	struct err problem = { 0 };
	struct factor_row row;

	if (read_own_factor(request, step, &row, err) < 0)
		return -1;
	if (change_factor_remove(web->settings.changer, &step->actor, step->asker.user_id,
				 step->asker.session_id, &row.uuid, &problem) < 0)
		return refuse_factor(request, response, step, &row, &problem, err);
	return step_to(request, response, step, "/security?done=removed", err);
}

/* A form of this page that does one thing. */
static int post(struct http_request *request, struct http_response *response, act_fn *act,
		struct err *err)
{
	struct step step;
	int result = step_begin(request, response, STAGE_OWN, &step, err);

	if (result > 0)
		result = act(request, response, &step, err);
	step_finish(request, &step);
	return result;
}

int factor_rename_post(struct http_request *request, struct http_response *response,
		       struct err *err)
{
	return post(request, response, rename_factor, err);
}

int factor_remove_post(struct http_request *request, struct http_response *response,
		       struct err *err)
{
	return post(request, response, remove_factor, err);
}

/* -------------------------------------------------------------------- recovery codes -- */

static const char *onward(const struct http_request *request, const struct step *step)
{
	return step->landing.return_url ? landing_path(request->arena, "/login", &step->landing)
					: "/security";
}

static int show_offer(struct http_request *request, struct http_response *response,
		      struct step *step, struct err *err)
{
	bool is_new = http_query(request, "new") != NULL;
	struct own own;

	if (own_read(request, step, &own, err) < 0)
		return -1;
	page_begin_with(response, &(struct page){ .title = "Recovery codes",
						  .done = is_new ? deed_text("added") : NULL,
						  .user = step_person(step) });
	page_text(response, "p",
		  "Ten codes on paper, for the day on which your second factor is lost or broken. "
		  "Each is good once. Keep them where you keep other important papers.");
	if (own.codes_left > 0)
		page_notice(
			response, PAGE_WARNING,
			arena_printf(request->arena,
				     "You have %zu codes. When you make new ones, those are void.",
				     own.codes_left));
	if (own.factor_count > 0) {
		step_form_begin(response, step, "/security/recovery-codes");
		page_submit(response, "Make ten codes");
		page_form_end(response);
	} else {
		page_notice(response, PAGE_INFO, "Please add a second factor first.");
	}
	page_link(response, onward(request, step), is_new ? "Go on without" : "Back");
	page_end(response);
	return 0;
}

int recovery_codes_get(struct http_request *request, struct http_response *response,
		       struct err *err)
{
	static const char *const names[] = { "return", "nonce", "new", NULL };

	return get(request, response, names, show_offer, err);
}

static void show_made(struct http_request *request, struct http_response *response,
		      const struct step *step, const struct recovery_codes *codes)
{
	page_begin_with(response, &(struct page){ .title = "Your recovery codes",
						  .user = step_person(step) });
	page_notice(
		response, PAGE_WARNING,
		"They are shown now and never again. Please print this page, or write them down.");
	page_text(response, "p",
		  arena_printf(request->arena, "For %s at %s, made %s.",
			       step->view.principal->username, step->site->url,
			       time_shown(request->arena, step->asker.now_s)));
	for (size_t i = 0; i < RECOVERY_PRINTED; i++)
		page_code(response, NULL, codes->text[i]);
	page_link_button(response, onward(request, step), "I have them, go on");
	page_end(response);
}

static int make_codes(struct http_request *request, struct http_response *response,
		      struct step *step, struct err *err)
{
	struct err problem = { 0 };
	struct recovery_codes codes;
	int64_t wait_s = 0;
	const char *text;

	if (factor_make_codes(&step->parts, &step->asker, &codes, &wait_s, &problem) == 0) {
		show_made(request, response, step, &codes);
		sodium_memzero(&codes, sizeof(codes));
		return 0;
	}
	if (step_wants_more(&problem))
		return step_not_fresh(request, response, step, "/security/recovery-codes", err);
	if (strcmp(err_reason(&problem), "sign-in-ended") == 0)
		return step_ended(request, response, step, err);
	text = step_problem(request, response, &problem, wait_s);
	if (!text) {
		*err = problem;
		return -1;
	}
	page_refused_with(request, response, step_status(&problem), "No codes were made", text,
			  onward(request, step), "Back");
	return 0;
}

int recovery_codes_post(struct http_request *request, struct http_response *response,
			struct err *err)
{
	return post(request, response, make_codes, err);
}

/* ------------------------------------------------------------- devices and sessions -- */

static int forget(struct http_request *request, struct http_response *response, struct step *step,
		  struct err *err)
{
	const struct web *web = request->context;
	bool one = strcmp(request->route->pattern, "/security/devices/forget") != 0;
	struct err problem = { 0 };
	struct uuid device;

	if (one && !uuid_parse(http_parameter(request, "device"), &device))
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such device");
	/* Gone already: done by the other tab. */
	if (change_device_forget(web->settings.changer, &step->actor, step->asker.user_id,
				 one ? &device : NULL, NULL, &problem) < 0 &&
	    problem.code != ERR_NOT_FOUND) {
		*err = problem;
		return -1;
	}
	return step_to(request, response, step, "/security?done=forgotten", err);
}

int device_forget_post(struct http_request *request, struct http_response *response,
		       struct err *err)
{
	return post(request, response, forget, err);
}

/* All of theirs but this one, however many there are. */
static int end_others(const struct web *web, const struct step *step, struct arena *arena,
		      struct err *err)
{
	struct session_query query = { .user_id = step->asker.user_id, .limit = ENDED_AT_ONCE };
	size_t count = ENDED_AT_ONCE;

	while (count == ENDED_AT_ONCE) {
		int64_t ids[ENDED_AT_ONCE];
		struct session *rows;
		size_t others = 0;

		arena_reset(arena);
		if (store_session_list(step->store, &query, arena, &rows, &count, err) < 0)
			return -1;
		for (size_t i = 0; i < count; i++) {
			query.after_id = rows[i].id;
			if (rows[i].id != step->asker.session_id)
				ids[others++] = rows[i].id;
		}
		if (others > 0 && change_sessions_end(web->settings.changer, &step->actor, ids,
						      others, "by-person", NULL, err) < 0)
			return -1;
	}
	return 0;
}

/* Gone already: done by the other tab. */
static int end_named(const struct http_request *request, const struct step *step,
		     struct arena *arena, struct err *err)
{
	const struct web *web = request->context;
	struct err problem = { 0 };
	struct session session;
	struct uuid uuid;

	if (!uuid_parse(http_parameter(request, "session"), &uuid))
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such session");
	if (store_session_find(step->store, &uuid, arena, &session, &problem) < 0) {
		if (problem.code == ERR_NOT_FOUND)
			return 0;
		*err = problem;
		return -1;
	}
	if (session.user_id != step->asker.user_id || session.id == step->asker.session_id)
		return 0;
	return change_sessions_end(web->settings.changer, &step->actor, &session.id, 1, "by-person",
				   NULL, err);
}

static int end_sessions(struct http_request *request, struct http_response *response,
			struct step *step, struct err *err)
{
	bool one = strcmp(request->route->pattern, "/security/sessions/end") != 0;
	AUTO(arena) struct arena *arena = arena_create(ENDING_ARENA_MAX);

	if (!arena)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (!step_store(request, step, err) ||
	    (one ? end_named(request, step, arena, err)
		 : end_others(request->context, step, arena, err)) < 0)
		return -1;
	return step_to(request, response, step, "/security?done=ended", err);
}

int session_end_post(struct http_request *request, struct http_response *response, struct err *err)
{
	return post(request, response, end_sessions, err);
}
