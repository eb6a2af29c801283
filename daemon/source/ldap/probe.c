/*
 * Steps of a test (see probe.h). Enters: a job, a connection. Leaves: a STEP for each, a few people. The first
 * step that fails is how the test went; what depends on it is not tried.
 *
 * TEST_CERTIFICATE is for after TLS failed: libldap does not say why. The connection is made without
 * verification, nothing is sent over it and it is closed when the certificate was seen.
 */
#include "probe.h"

#include <stdio.h>
#include <string.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>
#include <rolebridge/source/ldap.h>

#include "certificate.h"

#define COUNT_MOST 100000
#define COUNT_US 10000000
#define WARN_BEFORE_S (30 * 86400)

struct probe {
	struct follow *follow;
	struct session *session;
	struct outcome *whole;	/* how the test went */
	struct outcome outcome; /* of the step */
	struct outcome limit;	/* of the counts: the server sent no more */
	struct protocol_step step;
	int64_t begun_us;
	/* Texts of facts live until the step is told. */
	struct certificate certificate;
	struct strbuf bound_as;
};

static void begin(struct probe *probe, enum protocol_step_kind kind)
{
	probe->outcome = (struct outcome){ 0 };
	probe->session->outcome = &probe->outcome;
	probe->step = (struct protocol_step){ .kind = kind, .detail = "" };
	probe->begun_us = clock_monotonic_us();
}

static void add_fact(struct probe *probe, struct protocol_fact fact)
{
	probe->step.facts[probe->step.fact_count++] = fact;
}

static void add_text(struct probe *probe, enum protocol_fact_kind kind, const char *text)
{
	if (text && text[0] != '\0')
		add_fact(probe, (struct protocol_fact){ .kind = kind, .text = text });
}

static void add_number(struct probe *probe, enum protocol_fact_kind kind, int64_t number)
{
	add_fact(probe, (struct protocol_fact){ .kind = kind, .number = number });
}

/* May the test go on? */
static bool tell(struct probe *probe)
{
	struct session *session = probe->session;
	struct protocol_step *step = &probe->step;

	step->ok = !probe->outcome.incomplete;
	step->reason = step->ok ? "" : probe->outcome.reason;
	if (!step->ok)
		step->detail = probe->outcome.detail;
	step->duration_us = (uint64_t)(clock_monotonic_us() - probe->begun_us);
	step_encode(step, &session->out->frames);
	output_flush(session->out);
	if (!step->ok && !probe->whole->incomplete)
		*probe->whole = probe->outcome;
	session->outcome = probe->whole;
	return step->ok && !session->broken && !session->out->failed;
}

/* --- TLS --- */

static void add_certificate(struct probe *probe)
{
	const struct certificate *certificate = &probe->certificate;

	add_text(probe, FACT_PROTOCOL, certificate->protocol);
	add_text(probe, FACT_SUBJECT, certificate->subject);
	add_text(probe, FACT_ISSUER, certificate->issuer);
	if (!certificate->read)
		return;
	add_number(probe, FACT_NOT_BEFORE, certificate->not_before_s);
	add_number(probe, FACT_EXPIRES, certificate->expires_s);
}

static bool has_tls(const struct probe *probe)
{
	return probe->session->job->transport != TRANSPORT_CLEAR &&
	       probe->session->job->transport != TRANSPORT_LOCAL;
}

static bool probe_tls(struct probe *probe)
{
	const struct job *job = probe->session->job;

	output_phase(probe->session->out, PHASE_TLS);
	begin(probe, STEP_TLS);
	if (session_secure(probe->session) == 0 && has_tls(probe)) {
		certificate_read(probe->session->ld, &probe->certificate);
		if (probe->certificate.expires_s - job->now_s < WARN_BEFORE_S)
			probe->step.detail = "the certificate expires within 30 days";
	} else if (job->transport == TRANSPORT_CLEAR) {
		probe->step.detail = "none: the configuration allows clear text";
	} else if (job->transport == TRANSPORT_LOCAL) {
		probe->step.detail = "none: a socket of this machine";
	}
	add_certificate(probe);
	return tell(probe);
}

/* The certificate of a server with which TLS failed: what is wrong with it? */
static void look_at_certificate(struct probe *probe)
{
	struct session *session = probe->session;
	const char *reason, *detail;

	begin(probe, STEP_TLS);
	if (session_secure(session) == 0) {
		certificate_read(session->ld, &probe->certificate);
		certificate_judge(&probe->certificate, session->job->url, session->job->now_s,
				  &reason, &detail);
		outcome_note(&probe->outcome, reason, "%s", detail);
	}
	add_certificate(probe);
	tell(probe);
}

/* --- bind --- */

/* RFC 4532. A server that does not say it is none that fails. */
static void ask_who(struct probe *probe)
{
	struct session *session = probe->session;
	struct outcome unheard = { 0 };
	struct berval *name = NULL;
	LDAPMessage *answer;
	int message_id = 0;

	session->outcome = &unheard;
	if (ldap_whoami(session->ld, NULL, NULL, &message_id) != LDAP_SUCCESS)
		session_note_last(session, "cannot ask who we are");
	else if (session_await(session, message_id, &answer) == 0) {
		if (ldap_parse_whoami(session->ld, answer, &name) == LDAP_SUCCESS && name)
			display_escape(&probe->bound_as, name->bv_val,
				       name->bv_len < 1024 ? name->bv_len : 1024);
		ber_bvfree(name);
		ldap_msgfree(answer);
	}
	session->outcome = &probe->outcome;
	if (session->broken)
		outcome_note(&probe->outcome, unheard.reason, "%s", unheard.detail);
}

static bool probe_bind(struct probe *probe, int (*sign_in)(struct session *session))
{
	struct session *session = probe->session;

	output_phase(session->out, PHASE_BIND);
	begin(probe, STEP_BIND);
	session->last_code = LDAP_SUCCESS;
	if (sign_in(session) == 0)
		ask_who(probe);
	else if (session->last_code == LDAP_INVALID_CREDENTIALS)
		snprintf(probe->outcome.reason, sizeof(probe->outcome.reason),
			 "invalid-credentials");
	add_text(probe, FACT_BOUND_AS, strbuf_text(&probe->bound_as));
	return tell(probe);
}

/* --- the root entry --- */

static const char *mode_name(enum follow_mode mode)
{
	return mode == FOLLOW_SYNC ? "sync" : mode == FOLLOW_USN ? "usn" : "timestamp";
}

static bool probe_root(struct probe *probe)
{
	struct root *root = &probe->follow->root;
	AUTO(strbuf) struct strbuf version = STRBUF(2048);

	begin(probe, STEP_ROOT);
	if (root_read(probe->session, root) == 0) {
		display_escape(&version, root->version, strlen(root->version));
		add_text(probe, FACT_VENDOR, root_vendor_name(root->vendor));
		add_text(probe, FACT_VERSION, strbuf_text(&version));
		add_number(probe, FACT_PAGED_RESULTS, root->paged);
		add_number(probe, FACT_SYNC, root->sync);
		add_text(probe, FACT_FOLLOW, mode_name(follow_mode_of(root)));
		if (!root->paged && probe->session->job->page_size > 0)
			probe->step.detail = "paged results are not announced; see page_size";
	}
	return tell(probe);
}

/* --- counts --- */

static bool is_limit(const struct outcome *outcome)
{
	static const char *const limits[] = { "size-limit", "time-limit", "admin-limit",
					      "paging-refused" };

	for (size_t i = 0; i < ARRAY_LEN(limits); i++)
		if (strcmp(outcome->reason, limits[i]) == 0)
			return true;
	return false;
}

/* How many a read would find, up to a bound. */
static bool probe_count(struct probe *probe, enum protocol_step_kind kind,
			const struct job_search *what, bool may_be_none)
{
	static char nothing[] = LDAP_NO_ATTRS;
	char *attributes[] = { nothing, NULL };
	struct search search = { .session = probe->session,
				 .what = what,
				 .name = protocol_step_names[kind],
				 .attributes = attributes,
				 .most = COUNT_MOST,
				 .until_us = clock_monotonic_us() + COUNT_US };
	LDAPMessage *message;

	begin(probe, kind);
	search_start(&search);
	while (search_next(&search, &message) > 0) {
		ldap_msgfree(message);
		output_pulse(probe->session->out);
	}
	if (search.handed_out == 0 && !search.failed && !may_be_none)
		outcome_note(&probe->outcome, "empty-result", "nobody was found below '%s'",
			     what->base);
	if (probe->outcome.incomplete && is_limit(&probe->outcome) && !probe->limit.incomplete)
		probe->limit = probe->outcome;
	add_number(probe, FACT_COUNT, (int64_t)search.handed_out);
	add_number(probe, FACT_AT_LEAST, search.cut || probe->outcome.incomplete);
	search_finish(&search);
	return tell(probe);
}

static bool probe_limits(struct probe *probe)
{
	begin(probe, STEP_LIMITS);
	if (probe->limit.incomplete)
		outcome_note(&probe->outcome, probe->limit.reason, "%s", probe->limit.detail);
	else
		probe->step.detail = "the server ended no search early";
	return tell(probe);
}

/* --- people --- */

static void probe_sample(struct probe *probe)
{
	struct session *session = probe->session;

	begin(probe, STEP_SAMPLE);
	if (follow_sample(probe->follow, session->job->samples, COUNT_MOST,
			  clock_monotonic_us() + COUNT_US) < 0 &&
	    !probe->outcome.incomplete)
		outcome_note(&probe->outcome, "directory-error", "the read failed");
	add_number(probe, FACT_COUNT, (int64_t)(session->out->entries + session->out->quarantined));
	tell(probe);
}

static void probe_entries(struct probe *probe)
{
	const struct job *job = probe->session->job;
	bool people = probe_count(probe, STEP_PEOPLE, &job->users, false);

	if (probe->session->broken)
		return;
	probe_count(probe, STEP_GROUPS, &job->groups, true);
	if (probe->session->broken)
		return;
	probe_limits(probe);
	if (people && job->samples > 0)
		probe_sample(probe);
}

void probe_directory(struct follow *follow, int (*sign_in)(struct session *session))
{
	struct probe probe = { .follow = follow,
			       .session = follow->session,
			       .whole = follow->session->outcome,
			       .bound_as = STRBUF(8192) };
	uint8_t test = follow->job->test;

	if (test == TEST_CERTIFICATE)
		look_at_certificate(&probe);
	else if (probe_tls(&probe) && probe_bind(&probe, sign_in) && probe_root(&probe) &&
		 test == TEST_READ)
		probe_entries(&probe);
	certificate_finish(&probe.certificate);
	strbuf_finish(&probe.bound_as);
	follow->session->outcome = probe.whole;
}
