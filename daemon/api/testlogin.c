/*
 * A test login by an administrator: everything that was checked, received and concluded, and no session. Enters: a
 * response that answers a test, verified or refused. Leaves: a page; request and assertion are used up.
 *
 * The IdP's POST comes from another site, so the administrator's own cookie does not come with it: the page posts
 * the same form once more from here. Who shows it must hold the very session that began the test.
 */
#include "site.h"

#include <rolebridge/decision/decide.h>

static int post_again(struct arena *arena, struct http_response *response, const struct site *site,
		      const struct test_answer *answer)
{
	const struct {
		const char *name, *value;
	} fields[] = { { "SAMLResponse", answer->message->encoded },
		       { "RelayState", answer->relay_state },
		       { "again", "1" } };

	page_begin_with(response, &(struct page){ .title = "One moment", .script = "post.js" });
	page_form_begin(response, arena_printf(arena, "%s/saml/%s/acs", site->url, answer->source),
			NULL);
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		page_hidden(response, fields[i].name, fields[i].value);
	page_submit(response, "Continue");
	page_form_end(response);
	page_end(response);
	return 0;
}

static void show_checks(struct http_response *response, const struct test_answer *answer)
{
	static const char *const columns[] = { "result", "check", "detail" };

	page_text(response, "h2", "Checks");
	page_table_begin(response, columns, ARRAY_LEN(columns));
	for (size_t i = 0; i < answer->assertion->check_count; i++) {
		const struct saml_check *check = &answer->assertion->checks[i];
		const char *result = check->skipped  ? "not reached"
				     : check->passed ? "passed"
						     : "failed";
		const char *tone = check->skipped ? "quiet" : check->passed ? "ok" : "bad";

		page_table_row(response, tone,
			       (const char *const[]){ result, check->name, check->detail }, 3);
	}
	page_table_end(response);
}

/* A source that is gone meanwhile cannot say what it hides. */
static bool is_hidden(const struct setup *setup, const char *source,
		      const struct saml_attribute *attribute)
{
	const char *const names[] = { attribute->name, attribute->received, attribute->friendly };
	const struct source_settings *settings = setup_find_source(setup, source);

	return !settings || schema_hides(setup->decision.schema, settings, names, ARRAY_LEN(names));
}

/* One below the other. NULL: out of memory. */
static const char *join_values(struct arena *arena, const struct saml_attribute *attribute)
{
	AUTO(strbuf) struct strbuf out = STRBUF(HTTP_RESPONSE_MAX);

	strbuf_puts(&out, "");
	for (size_t i = 0; i < attribute->count; i++) {
		strbuf_puts(&out, i > 0 ? "\n" : "");
		strbuf_puts(&out, attribute->values[i]);
	}
	return strbuf_failed(&out) ? NULL : arena_strdup(arena, strbuf_text(&out));
}

static void show_attributes(struct http_request *request, struct http_response *response,
			    const struct setup *setup, const struct test_answer *answer)
{
	static const char *const columns[] = { "received", "in rules", "values" };

	page_text(response, "h2", "Attributes");
	page_table_begin(response, columns, ARRAY_LEN(columns));
	for (size_t i = 0; i < answer->assertion->attribute_count; i++) {
		const struct saml_attribute *attribute = &answer->assertion->attributes[i];
		const char *values = is_hidden(setup, answer->source, attribute)
					     ? "(hidden)"
					     : join_values(request->arena, attribute);

		page_table_row(
			response, NULL,
			(const char *const[]){ attribute->received, attribute->name, values }, 3);
	}
	page_table_end(response);
}

static void show_trace(struct http_response *response, const struct trace_node *nodes, size_t count)
{
	static const char *const columns[] = { "condition", "because" };

	page_table_begin(response, columns, ARRAY_LEN(columns));
	for (size_t i = 0; i < count; i++)
		page_table_row(response, NULL,
			       (const char *const[]){ nodes[i].text, nodes[i].because }, 2);
	page_table_end(response);
}

static int show_rules(struct http_request *request, struct http_response *response,
		      const struct setup *setup, const struct person *person, struct err *err)
{
	const struct decision_setup *decision = &setup->decision;
	size_t matched = 0;

	page_text(response, "h2", "Rules that matched");
	for (size_t i = 0; i < ruleset_count(decision->rules); i++) {
		const struct rule *rule = ruleset_rule(decision->rules, i);
		const struct trace_node *nodes;
		enum match match;
		size_t count;

		if (rule_explain(decision->rules, rule, person, decision->groups, clock_now_s(),
				 false, request->arena, &match, &nodes, &count, err) < 0)
			return -1;
		if (match != MATCH_YES)
			continue;
		matched++;
		page_text(response, "h3", rule->id);
		show_trace(response, nodes, count);
	}
	if (matched == 0)
		page_text(response, "p", "None.");
	return 0;
}

static int show_decision(struct http_request *request, struct http_response *response,
			 const struct setup *setup, struct store *store,
			 const struct person *person, int64_t user_id, struct err *err)
{
	struct decide_input input = { .person = person, .now_s = clock_now_s() };
	static const char *const columns[] = { "kind", "name" };
	struct decision decision;
	struct grant *grants = NULL;
	struct user user;

	if (user_id != 0) {
		if (store_user_get(store, user_id, request->arena, &user, err) < 0 ||
		    store_grants_of(store, user_id, request->arena, &grants, &input.grant_count,
				    err) < 0)
			return -1;
		input.user = &user;
		input.grants = grants;
	}
	if (decide(&setup->decision, &input, request->arena, &decision, err) < 0)
		return -1;
	page_text(response, "h2", "Decision");
	page_text(response, "p",
		  user_id != 0 ? arena_printf(request->arena, "Known as '%s'.", user.username)
			       : "Nobody who is known.");
	page_table_begin(response, columns, ARRAY_LEN(columns));
	page_table_row(response, NULL,
		       (const char *const[]){ "profile", decision.profile[0] ? decision.profile
									     : "none: no access" },
		       2);
	for (size_t i = 0; i < decision.grant_count; i++) {
		const struct grant *grant = &decision.grants[i];

		if (grant->kind != GRANT_PROFILE)
			page_table_row(
				response, NULL,
				(const char *const[]){ grant_kind_name(grant->kind), grant->name },
				2);
	}
	page_table_end(response);
	return 0;
}

/* What the login would have come to. */
static int show_outcome(struct http_request *request, struct http_response *response,
			const struct login *login, struct err *err)
{
	AUTO(reading_view) struct reading_view view = { 0 };
	struct web *web = request->context;
	const char *refused = "";
	struct person person;
	int64_t user_id = 0;

	if (store_view_open(web->settings.changer, web->pool, request->arena, &view, err) < 0 ||
	    change_login_preview(view.setup, view.store, login, request->arena, &user_id, &person,
				 &refused, err) < 0)
		return -1;
	if (refused && refused[0]) {
		page_text(response, "h2", "Decision");
		page_text(response, "p",
			  arena_printf(request->arena, "The login would be refused: %s.", refused));
		return 0;
	}
	if (show_rules(request, response, view.setup, &person, err) < 0)
		return -1;
	return show_decision(request, response, view.setup, view.store, &person, user_id, err);
}

/* What is refused by a test has its row in the audit log as anything else. */
static int use_up(struct changer *changer, const struct actor *actor, const struct login *login,
		  const struct test_answer *answer, struct http_request *request,
		  struct login_outcome *ret_outcome, struct err *err)
{
	const struct saml_refusal *refusal = answer->refusal;
	const char *detail;

	if (!refusal)
		return change_login(changer, actor, login, request->arena, ret_outcome, err);
	detail = arena_printf(request->arena, "test login: %s", refusal->detail);
	return change_login_refused(changer, actor, answer->source, refusal->reason,
				    detail ? detail : refusal->detail, login->address, err);
}

int testlogin_show(struct http_request *request, struct http_response *response, struct site *site,
		   const struct test_answer *answer, struct err *err)
{
	struct web *web = request->context;
	const struct actor actor = source_actor(request, answer->source);
	struct login login = {
		.source = answer->source,
		.assertion = answer->assertion,
		.just_in_time = answer->just_in_time,
		.request_id = answer->pending->request_id,
		.request_until_s = answer->pending->until_s,
		.address = http_client_text(request),
		.agent = "",
		.now_s = clock_now_s(),
		.test = true,
		.setup = answer->setup,
	};
	struct login_outcome outcome = { 0 };
	struct session_view session;
	int found = site_session(request, site, &session, err);
	bool allowed;

	if (found < 0)
		return -1;
	if (found == 0) {
		if (!answer->again)
			return post_again(request->arena, response, site, answer);
		return err_refuse(err, ERR_DENIED, "not-allowed", "nobody is signed in");
	}
	allowed = session.principal->is_administrator &&
		  session.session_id == answer->pending->test_session_id;
	session_view_release(&session);
	if (!allowed)
		return err_refuse(err, ERR_DENIED, "not-allowed",
				  "this test belongs to another administrator");
	if (use_up(web->settings.changer, &actor, &login, answer, request, &outcome, err) < 0)
		return -1;
	page_begin_with(response, &(struct page){ .title = "Test login", .wide = true });
	if (answer->refusal || outcome.refused[0]) {
		const char *reason = answer->refusal ? answer->refusal->reason : outcome.refused;
		const char *detail = answer->refusal ? answer->refusal->detail : outcome.detail;
		const char *text = arena_printf(request->arena, "Refused: %s. %s", reason, detail);

		page_notice(response, PAGE_BAD, text ? text : reason);
	} else {
		page_notice(response, PAGE_GOOD, "The answer was accepted.");
	}
	show_checks(response, answer);
	show_attributes(request, response, site->setup, answer);
	if (!answer->refusal && show_outcome(request, response, &login, err) < 0)
		return -1;
	page_end(response);
	return 0;
}
