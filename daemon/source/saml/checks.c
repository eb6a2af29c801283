/*
 * Named checks (see checks.h). Enters: a tree that passed the gate and whose assertion is verified, and what the
 * core told. Leaves: 0, or 1 with the reason of the first check that failed; -1: out of memory.
 * Absence is never consent: what must be there and is not is refused.
 */
#include "checks.h"

#include <stdio.h>
#include <string.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>
#include <rolebridge/identity/names.h>

#include "refusal.h"
#include "xml.h"

static const char success[] = "urn:oasis:names:tc:SAML:2.0:status:Success";
static const char bearer[] = "urn:oasis:names:tc:SAML:2.0:cm:bearer";
static const char email_format[] = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress";

/* Beside 0, 1 and -1: nothing to check. */
#define SKIPPED 2

#define EMAIL_MAX 1024

/* --- times --- */

static bool has_form(const char *text, const char *form)
{
	for (; *form; form++, text++)
		if (*form == '0' ? *text < '0' || *text > '9' : *text != *form)
			return false;
	return true;
}

bool saml_time_parse(const char *text, int64_t *ret_time_s)
{
	static const char form[] = "0000-00-00T00:00:00";
	char plain[CLOCK_TEXT_SIZE];
	const char *rest;

	if (!text || !has_form(text, form))
		return false;
	rest = text + strlen(form);
	if (*rest == '.') {
		size_t digits = strspn(rest + 1, "0123456789");

		if (digits == 0 || digits > 32)
			return false;
		rest += 1 + digits;
	}
	if (strcmp(rest, "Z") != 0)
		return false;
	snprintf(plain, sizeof(plain), "%.19sZ", text);
	return clock_parse(plain, ret_time_s, NULL) == 0;
}

/* An attribute that is a time. 0 there, SKIPPED absent, 1 refused. */
static int read_time(const xmlNode *node, const char *name, int64_t *ret_time_s,
		     struct saml_refusal *refusal)
{
	const char *text = xml_attribute(node, name);

	if (!text)
		return SKIPPED;
	if (!saml_time_parse(text, ret_time_s))
		return refuse(refusal, "time-unparsable", "%s of '%s' is '%.64s'", name, node->name,
			      text);
	return 0;
}

/* NotBefore and NotOnOrAfter, where they are given; the latter lowers *until_s. */
static int check_window(const struct checked *c, const xmlNode *node, int64_t *until_s,
			struct saml_refusal *refusal)
{
	int64_t now_s = c->question->now_s, skew_s = c->judge->skew_s, from_s = 0, to_s = 0;
	int from = read_time(node, "NotBefore", &from_s, refusal);
	int to = from == 1 ? 1 : read_time(node, "NotOnOrAfter", &to_s, refusal);

	if (from == 1 || to == 1)
		return 1;
	if (from == 0 && now_s + skew_s < from_s)
		return refuse(refusal, "not-yet-valid", "NotBefore of '%s' is %s, %lld s ahead",
			      node->name, xml_attribute(node, "NotBefore"),
			      (long long)(from_s - now_s));
	if (to == 0 && now_s - skew_s >= to_s)
		return refuse(refusal, "expired", "NotOnOrAfter of '%s' is %s, %lld s ago",
			      node->name, xml_attribute(node, "NotOnOrAfter"),
			      (long long)(now_s - to_s));
	if (to == 0 && to_s < *until_s)
		*until_s = to_s;
	return 0;
}

/* --- the checks --- */

int check_status(const xmlNode *response, struct arena *arena, struct saml_refusal *ret_refusal)
{
	const xmlNode *status = xml_child(response, NS_SAMLP, "Status");
	const xmlNode *code = xml_child(status, NS_SAMLP, "StatusCode");
	const xmlNode *inner = xml_child(code, NS_SAMLP, "StatusCode");
	const xmlNode *message = xml_child(status, NS_SAMLP, "StatusMessage");
	const char *text = message ? xml_text(message, arena) : NULL;

	if (strcmp(xml_attribute(code, "Value"), success) == 0)
		return 0;
	return refuse(ret_refusal, "status-not-success", "%.120s%s%.120s%s%.200s",
		      xml_attribute(code, "Value"), inner ? ", " : "",
		      inner ? xml_attribute(inner, "Value") : "", text ? ": " : "",
		      text ? text : "");
}

static int run_status(struct checked *c, struct saml_refusal *refusal)
{
	return check_status(c->response, c->arena, refusal);
}

static int check_issuer_of(const struct checked *c, const xmlNode *node,
			   struct saml_refusal *refusal)
{
	const xmlNode *issuer = xml_child(node, NS_SAML, "Issuer");
	const char *text = issuer ? xml_trimmed_text(issuer, c->arena) : NULL;
	const char *format = issuer ? xml_attribute(issuer, "Format") : NULL;

	if (arena_failed(c->arena))
		return -1;
	if (!text || strcmp(text, c->provider->idp_entity_id) != 0)
		return refuse(refusal, "issuer-mismatch", "'%s' of '%.200s', not of '%.200s'",
			      node->name, text ? text : "", c->provider->idp_entity_id);
	if (format && strcmp(format, "urn:oasis:names:tc:SAML:2.0:nameid-format:entity") != 0)
		return refuse(refusal, "issuer-mismatch", "an Issuer of format '%.200s'", format);
	return 0;
}

static int run_issuer(struct checked *c, struct saml_refusal *refusal)
{
	bool named = xml_child(c->response, NS_SAML, "Issuer") != NULL;
	int result = 0;

	/* Profiles 4.1.4.2: only an unsigned Response may leave it out. */
	if (named || c->response_signed)
		result = check_issuer_of(c, c->response, refusal);
	if (result == 0)
		result = check_issuer_of(c, c->assertion, refusal);
	if (result != 0)
		return result;
	c->assertion_facts->issuer = arena_strdup(c->arena, c->provider->idp_entity_id);
	return 0;
}

static int run_destination(struct checked *c, struct saml_refusal *refusal)
{
	const char *destination = xml_attribute(c->response, "Destination");

	/* Bindings 3.5.5.2: a signed message has one. An unsigned one is bound by its Recipient. */
	if (!destination && !c->response_signed)
		return SKIPPED;
	if (!destination || strcmp(destination, c->provider->acs_url) != 0)
		return refuse(refusal, "destination-mismatch", "'%.200s', not '%.200s'",
			      destination ? destination : "", c->provider->acs_url);
	return 0;
}

static int check_issued(const struct checked *c, const xmlNode *node, int64_t *ret_issued_s,
			struct saml_refusal *refusal)
{
	int64_t now_s = c->question->now_s, skew_s = c->judge->skew_s;

	if (read_time(node, "IssueInstant", ret_issued_s, refusal) != 0)
		return 1;
	if (*ret_issued_s > now_s + skew_s)
		return refuse(refusal, "not-yet-valid", "'%s' was issued %lld s ahead", node->name,
			      (long long)(*ret_issued_s - now_s));
	if (*ret_issued_s + JUDGE_ASSERTION_AGE_S <= now_s - skew_s)
		return refuse(refusal, "expired", "'%s' was issued %lld s ago", node->name,
			      (long long)(now_s - *ret_issued_s));
	return 0;
}

static int run_issue_instant(struct checked *c, struct saml_refusal *refusal)
{
	int64_t response_s, assertion_s;

	if (check_issued(c, c->response, &response_s, refusal) != 0 ||
	    check_issued(c, c->assertion, &assertion_s, refusal) != 0)
		return 1;
	/* What ends earlier is found by the next checks. */
	c->assertion_facts->replay_until_s = assertion_s + JUDGE_ASSERTION_AGE_S;
	return 0;
}

/* Each one that is present must be understood. */
static int run_conditions(struct checked *c, struct saml_refusal *refusal)
{
	static const char *const understood[] = { "AudienceRestriction", "OneTimeUse",
						  "ProxyRestriction" };
	const xmlNode *conditions = xml_child(c->assertion, NS_SAML, "Conditions");

	if (!conditions)
		return refuse(refusal, "conditions-missing", "there are no Conditions");
	for (const xmlNode *n = xml_first(conditions); n; n = xml_next(n)) {
		bool known = false;

		for (size_t i = 0; i < ARRAY_LEN(understood); i++)
			known = known || xml_is(n, NS_SAML, understood[i]);
		if (!known)
			return refuse(refusal, "condition-unknown", "'%.200s'", n->name);
	}
	return 0;
}

static int run_validity(struct checked *c, struct saml_refusal *refusal)
{
	const xmlNode *conditions = xml_child(c->assertion, NS_SAML, "Conditions");

	if (!conditions)
		return refuse(refusal, "conditions-missing", "there are no Conditions");
	return check_window(c, conditions, &c->assertion_facts->replay_until_s, refusal);
}

/* One of them is ours. */
static bool names_us(const struct checked *c, const xmlNode *restriction)
{
	for (const xmlNode *a = xml_first(restriction); a; a = xml_next(a)) {
		const char *text =
			xml_is(a, NS_SAML, "Audience") ? xml_trimmed_text(a, c->arena) : NULL;

		if (text && strcmp(text, c->provider->sp_entity_id) == 0)
			return true;
	}
	return false;
}

/* Core 2.5.1.4: within a restriction any, of the restrictions all. */
static int run_audience(struct checked *c, struct saml_refusal *refusal)
{
	const xmlNode *conditions = xml_child(c->assertion, NS_SAML, "Conditions");
	const xmlNode *r =
		conditions ? xml_child(conditions, NS_SAML, "AudienceRestriction") : NULL;

	if (!r)
		return refuse(refusal, "audience-missing", "there is no AudienceRestriction");
	for (; r; r = xml_again(r, NS_SAML, "AudienceRestriction")) {
		const xmlNode *first = xml_child(r, NS_SAML, "Audience");
		const char *text = first ? xml_trimmed_text(first, c->arena) : NULL;

		if (!names_us(c, r))
			return arena_failed(c->arena)
				       ? -1
				       : refuse(refusal, "audience-mismatch",
						"'%.200s', not '%.200s'", text ? text : "",
						c->provider->sp_entity_id);
	}
	return 0;
}

/* --- subject confirmation --- */

static bool was_asked(const struct checked *c, const char *id)
{
	for (size_t i = 0; i < c->question->request_count; i++)
		if (strcmp(c->question->request_ids[i], id) == 0)
			return true;
	return false;
}

static int check_confirmation_request(const struct checked *c, const xmlNode *data,
				      struct saml_refusal *refusal)
{
	const char *inner = xml_attribute(data, "InResponseTo");
	const char *outer = xml_attribute(c->response, "InResponseTo");

	if (!inner && !outer) {
		if (c->provider->idp_initiated)
			return 0;
		return refuse(refusal, "in-response-to-missing",
			      "nobody asked for it, and idp_initiated is off");
	}
	if (!inner || !outer || strcmp(inner, outer) != 0)
		return refuse(refusal, "in-response-to-mismatch",
			      "'%.200s' in the Response, '%.200s' in the assertion",
			      outer ? outer : "", inner ? inner : "");
	if (!was_asked(c, inner))
		return refuse(refusal, "in-response-to-unknown",
			      "'%.200s' is no request of this browser that waits", inner);
	return 0;
}

/* Profiles 4.1.4.2. */
static int check_confirmation(const struct checked *c, const xmlNode *confirmation,
			      struct saml_refusal *refusal)
{
	const xmlNode *data = xml_child(confirmation, NS_SAML, "SubjectConfirmationData");
	const char *recipient = data ? xml_attribute(data, "Recipient") : NULL;
	int64_t until_s = INT64_MAX;
	int result;

	if (!data)
		return refuse(refusal, "confirmation-missing", "no SubjectConfirmationData");
	if (!recipient || strcmp(recipient, c->provider->acs_url) != 0)
		return refuse(refusal, "recipient-mismatch", "'%.200s', not '%.200s'",
			      recipient ? recipient : "", c->provider->acs_url);
	if (xml_attribute(data, "NotBefore"))
		return refuse(refusal, "confirmation-not-before",
			      "SubjectConfirmationData has a NotBefore");
	if (!xml_attribute(data, "NotOnOrAfter"))
		return refuse(refusal, "confirmation-endless",
			      "SubjectConfirmationData has no NotOnOrAfter");
	result = check_window(c, data, &until_s, refusal);
	if (result == 0)
		result = check_confirmation_request(c, data, refusal);
	return result;
}

/* When a confirmation ends, whatever else it says; INT64_MIN: it never holds. */
static int64_t confirmation_end(const xmlNode *confirmation)
{
	const xmlNode *data = xml_child(confirmation, NS_SAML, "SubjectConfirmationData");
	int64_t end_s;

	if (!data || !saml_time_parse(xml_attribute(data, "NotOnOrAfter"), &end_s))
		return INT64_MIN;
	return end_s;
}

/*
 * One bearer confirmation holds. Another one may hold later, for another request: so the longest counts
 * for replays. When none holds the first one's failure is told.
 */
static int run_confirmation(struct checked *c, struct saml_refusal *refusal)
{
	const xmlNode *subject = xml_child(c->assertion, NS_SAML, "Subject");
	const xmlNode *n = xml_child(subject, NS_SAML, "SubjectConfirmation"), *good = NULL;
	struct saml_refusal first = { "", "" }, other;
	int64_t longest_s = INT64_MIN, end_s;

	for (; n; n = xml_again(n, NS_SAML, "SubjectConfirmation")) {
		const char *method = xml_attribute(n, "Method");

		if (!method || strcmp(method, bearer) != 0)
			continue;
		end_s = confirmation_end(n);
		longest_s = end_s > longest_s ? end_s : longest_s;
		if (!good && check_confirmation(c, n, first.reason[0] ? &other : &first) == 0)
			good = n;
	}
	if (!good) {
		if (!first.reason[0])
			return refuse(refusal, "confirmation-missing",
				      "no SubjectConfirmation of method bearer");
		*refusal = first;
		return 1;
	}
	if (longest_s < c->assertion_facts->replay_until_s)
		c->assertion_facts->replay_until_s = longest_s;
	n = xml_child(good, NS_SAML, "SubjectConfirmationData");
	if (xml_attribute(n, "InResponseTo"))
		c->assertion_facts->in_response_to =
			arena_strdup(c->arena, xml_attribute(n, "InResponseTo"));
	return 0;
}

/* --- authentication --- */

static const xmlNode *authn_statement(const struct checked *c)
{
	return xml_child(c->assertion, NS_SAML, "AuthnStatement");
}

static int run_authn_statement(struct checked *c, struct saml_refusal *refusal)
{
	const xmlNode *statement = authn_statement(c);
	const char *index = statement ? xml_attribute(statement, "SessionIndex") : NULL;

	if (!statement)
		return refuse(refusal, "authn-statement-missing", "there is no AuthnStatement");
	if (xml_again(statement, NS_SAML, "AuthnStatement"))
		return refuse(refusal, "authn-statement-several", "several AuthnStatements");
	if (index)
		c->assertion_facts->session_index = arena_strdup(c->arena, index);
	return 0;
}

/* When a fresh sign-in was asked for with this answer's request; INT64_MIN: it was not. */
static int64_t forced_since(const struct checked *c)
{
	const struct saml_question *question = c->question;
	int64_t since_s = INT64_MIN;

	if (c->provider->force_authn)
		since_s = question->now_s - JUDGE_FORCED_AGE_S;
	for (size_t i = 0; question->forced_since_s && i < question->request_count; i++)
		if (question->forced_since_s[i] != 0 &&
		    strcmp(question->request_ids[i], c->assertion_facts->in_response_to) == 0)
			since_s = question->forced_since_s[i];
	return since_s;
}

static int run_authn_instant(struct checked *c, struct saml_refusal *refusal)
{
	const xmlNode *statement = authn_statement(c);
	int64_t now_s = c->question->now_s, since_s = forced_since(c), instant_s = 0;

	if (!statement)
		return refuse(refusal, "authn-statement-missing", "there is no AuthnStatement");
	if (read_time(statement, "AuthnInstant", &instant_s, refusal) != 0)
		return xml_attribute(statement, "AuthnInstant")
			       ? 1
			       : refuse(refusal, "time-unparsable", "there is no AuthnInstant");
	if (instant_s > now_s + c->judge->skew_s)
		return refuse(refusal, "not-yet-valid", "AuthnInstant is %lld s ahead",
			      (long long)(instant_s - now_s));
	if (since_s != INT64_MIN && instant_s < since_s - c->judge->skew_s)
		return refuse(refusal, "authn-too-old",
			      "a fresh sign-in was asked for, this one was %lld s ago",
			      (long long)(now_s - instant_s));
	c->assertion_facts->authn_instant_s = instant_s;
	return 0;
}

static int run_session_end(struct checked *c, struct saml_refusal *refusal)
{
	const xmlNode *statement = authn_statement(c);
	int64_t until_s;
	int result;

	if (!statement)
		return SKIPPED;
	result = read_time(statement, "SessionNotOnOrAfter", &until_s, refusal);
	if (result != 0)
		return result;
	if (c->question->now_s - c->judge->skew_s >= until_s)
		return refuse(refusal, "session-expired", "SessionNotOnOrAfter is %lld s ago",
			      (long long)(c->question->now_s - until_s));
	c->assertion_facts->session_until_s = until_s;
	return 0;
}

static bool is_listed(struct text_list list, const char *text)
{
	for (size_t i = 0; i < list.count; i++)
		if (strcmp(list.items[i], text) == 0)
			return true;
	return false;
}

/* One of what was asked for is what proves a second factor. */
static bool asks_for_factor(const struct judge_provider *provider)
{
	for (size_t i = 0; i < provider->authn_contexts.count; i++)
		if (is_listed(provider->second_factor.contexts, provider->authn_contexts.items[i]))
			return true;
	return false;
}

/* Less than the second factor that was asked for is no refusal: the core asks for it here. */
static int run_authn_context(struct checked *c, struct saml_refusal *refusal)
{
	const xmlNode *statement = authn_statement(c);
	const xmlNode *context = statement ? xml_child(statement, NS_SAML, "AuthnContext") : NULL;
	const xmlNode *class = context ? xml_child(context, NS_SAML, "AuthnContextClassRef") : NULL;
	const char *text = class ? xml_trimmed_text(class, c->arena) : "";

	if (!text)
		return -1;
	c->assertion_facts->authn_context = arena_strdup(c->arena, text);
	if (c->provider->authn_contexts.count == 0)
		return SKIPPED;
	c->assertion_facts->second_factor_asked = asks_for_factor(c->provider);
	if (!is_listed(c->provider->authn_contexts, text) &&
	    !c->assertion_facts->second_factor_asked)
		return refuse(refusal, "authn-context-mismatch",
			      "'%.200s' is not what was asked for", text);
	return 0;
}

/* --- the person --- */

static int run_name_id(struct checked *c, struct saml_refusal *refusal)
{
	const xmlNode *subject = xml_child(c->assertion, NS_SAML, "Subject");
	const xmlNode *name = xml_child(subject, NS_SAML, "NameID");
	const char *text = name ? xml_text(name, c->arena) : "";
	const char *format = name ? xml_attribute(name, "Format") : NULL;

	if (!text)
		return -1;
	c->assertion_facts->name_id = arena_strdup(c->arena, text);
	c->assertion_facts->name_id_format = arena_strdup(c->arena, format ? format : "");
	if (strcmp(c->provider->key, "name-id") != 0)
		return SKIPPED;
	return attributes_key(c->provider, c->attributes, text, format ? format : "", &c->key,
			      refusal);
}

static int run_key(struct checked *c, struct saml_refusal *refusal)
{
	if (strcmp(c->provider->key, "name-id") == 0)
		return SKIPPED;
	return attributes_key(c->provider, c->attributes, "", "", &c->key, refusal);
}

static bool is_listed_caseless(struct text_list list, const char *text)
{
	for (size_t i = 0; i < list.count; i++)
		if (text_equal_caseless(list.items[i], text))
			return true;
	return false;
}

static int check_scopes_of(const struct checked *c, const struct received *item,
			   struct saml_refusal *refusal)
{
	for (size_t i = 0; i < item->count; i++) {
		const char *at = strchr(item->values[i], '@');

		/* Exactly one '@': two readers must not find two scopes. */
		if (!at || strchr(at + 1, '@') ||
		    !is_listed_caseless(c->provider->allowed_scopes, at + 1))
			return refuse(refusal, "scope-not-allowed", "'%.200s' of '%.100s'",
				      item->values[i], item->name);
	}
	return 0;
}

static int run_scope(struct checked *c, struct saml_refusal *refusal)
{
	if (c->provider->allowed_scopes.count == 0)
		return SKIPPED;
	for (size_t i = 0; i < c->attributes->count; i++)
		if (attribute_is_scoped(&c->attributes->items[i]) &&
		    check_scopes_of(c, &c->attributes->items[i], refusal) != 0)
			return 1;
	return 0;
}

static int check_domain(const struct checked *c, const char *address, struct saml_refusal *refusal)
{
	AUTO(strbuf) struct strbuf normal = STRBUF(EMAIL_MAX);
	struct err ignored;

	if (email_normalize(address, &normal, &ignored) == 0 &&
	    is_listed_caseless(c->provider->allowed_domains, email_domain(strbuf_text(&normal))))
		return 0;
	return refuse(refusal, "domain-not-allowed", "'%.200s'", address);
}

/* What this source calls the e-mail address. */
static const char *email_source(const struct judge_provider *provider)
{
	const char *name = provider->email_attribute ? provider->email_attribute : "mail";

	for (size_t i = 0; i < provider->attribute_count; i++)
		if (text_ascii_equal_caseless(provider->attributes[i].name, name))
			return provider->attributes[i].from;
	return name;
}

static int run_domain(struct checked *c, struct saml_refusal *refusal)
{
	const struct saml_assertion *facts = c->assertion_facts;
	const struct received *item;
	size_t at = 0;

	if (c->provider->allowed_domains.count == 0)
		return SKIPPED;
	while ((item = attributes_find(c->attributes, email_source(c->provider), &at)))
		for (size_t i = 0; i < item->count; i++)
			if (check_domain(c, item->values[i], refusal) != 0)
				return 1;
	if (strcmp(facts->name_id_format, email_format) == 0 && facts->name_id[0] != '\0')
		return check_domain(c, facts->name_id, refusal);
	return 0;
}

/* No proof is no failure: the core asks for the factor itself. */
static int run_second_factor(struct checked *c, struct saml_refusal *refusal UNUSED)
{
	const struct judge_factor *factor = &c->provider->second_factor;
	struct saml_assertion *facts = c->assertion_facts;
	bool proved = is_listed(factor->contexts, facts->authn_context);
	int64_t age_s = c->question->now_s - facts->authn_instant_s;

	if (factor->contexts.count == 0 && !factor->attribute)
		return SKIPPED;
	if (!proved && factor->attribute)
		proved = attributes_have_value(c->attributes, factor->attribute, factor->values);
	if (!proved || facts->authn_instant_s == 0 || age_s > factor->max_age_s)
		return SKIPPED;
	facts->second_factor_s = facts->authn_instant_s;
	return 0;
}

/* --- the table --- */

static const struct check {
	const char *name;
	int (*run)(struct checked *c, struct saml_refusal *refusal);
} checks[] = {
	{ "status", run_status },
	{ "issuer", run_issuer },
	{ "destination", run_destination },
	{ "issue-instant", run_issue_instant },
	{ "conditions", run_conditions },
	{ "validity", run_validity },
	{ "audience", run_audience },
	{ "subject-confirmation", run_confirmation }, /* recipient, in-response-to, its end */
	{ "authn-statement", run_authn_statement },
	{ "authn-instant", run_authn_instant },
	{ "session-end", run_session_end },
	{ "authn-context", run_authn_context },
	{ "name-id", run_name_id },
	{ "key", run_key },
	{ "scope", run_scope },
	{ "email-domain", run_domain },
	{ "second-factor", run_second_factor },
};

_Static_assert(ARRAY_LEN(checks) < CHECKS_MAX, "no room for a line of each check");

const char *const *checks_names(void)
{
	static const char *names[ARRAY_LEN(checks) + 1];

	for (size_t i = 0; i < ARRAY_LEN(checks); i++)
		names[i] = checks[i].name;
	return names;
}

static void note(struct checked *c, struct saml_check *line, const struct check *check, int result,
		 const struct saml_refusal *refusal)
{
	*line = (struct saml_check){
		.name = check->name,
		.passed = result == 0,
		.skipped = result == SKIPPED,
		.detail = result == 1 ? arena_printf(c->arena, "%s: %s", refusal->reason,
						     refusal->detail)
				      : "",
	};
}

int checks_run(struct checked *c, struct saml_check *lines, size_t *ret_lines,
	       struct saml_refusal *ret_refusal)
{
	struct saml_refusal refusal;
	bool refused = false;

	*ret_lines = 0;
	for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
		int result = checks[i].run(c, &refusal);

		if (result < 0 || arena_failed(c->arena))
			return -1;
		if (result == 1 && !refused)
			*ret_refusal = refusal;
		refused = refused || result == 1;
		if (refused && !c->question->explain)
			return 1;
		if (c->question->explain)
			note(c, &lines[(*ret_lines)++], &checks[i], result, &refusal);
	}
	/* Until then another host's clock may still find it good. */
	c->assertion_facts->replay_until_s += c->judge->skew_s;
	return refused ? 1 : 0;
}
