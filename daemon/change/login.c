/*
 * Signing in: one job of the writer, which shares its commit with others that wait.
 *
 * Enters: a verified assertion, the request it answers, a token for the browser. Leaves: request and
 * assertion used up; the person as source and rules have them now; a session with its token; an audit
 * row "login". Refused: the same uses, and an audit row "login.refused"; nothing else. Fails (store,
 * memory): nothing at all.
 *
 * The order: use up, find the user, ask whether they may sign in, evaluate, decide what of it may
 * happen here, ask again, write. Whoever may not sign in is not touched.
 *
 * A sign-in enables nobody and disables nobody. It gives, and takes within the limits; what is over a
 * limit, or waits in a held plan, is left for the run with a person's consent. Nobody signs in as a second
 * user of a person whom another source knows: names are unique, also those of who is gone.
 */
#include <rolebridge/change/login.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>
#include <rolebridge/store/session.h>

#include "internal.h"
#include "link.h"

#define DETAIL_MAX (1u << 20)
#define AGENT_MAX 200
#define ATTEMPTS 3
#define NAME_MAX_BYTES 2048
#define CONFIRMED_LATER_S 86400

struct attempt {
	const struct login *login;
	const struct actor *actor;
	struct login_outcome *outcome; /* texts in the arena of who asked */
	struct arena *answer;
	struct link_index *index;
	bool fallback; /* the index is made here, whatever it costs */
	bool lacking;  /* to be done again with an index that holds now */
	/* In the writer. */
	struct changer *changer;
	struct live_setup *setup;
	uint64_t generation;
	const struct source_settings *source;
	struct arena *arena;
	struct identity identity;
	struct identity_change stored; /* what will be stored of it */
	int64_t user_id;	       /* 0: someone new */
	bool known, unchanged, linked, written;
	bool confirms;	/* the session stands for having read the identity again */
	int64_t read_s; /* when it was read before */
};

static int no_memory(struct err *err)
{
	return err_set(err, ERR_MEMORY, "no memory to sign somebody in");
}

/* --- refusals --- */

static bool is_refused(const struct attempt *attempt)
{
	return attempt->outcome->refused[0] != '\0';
}

static int refuse(struct attempt *attempt, const char *reason, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int refuse(struct attempt *attempt, const char *reason, const char *format, ...)
{
	struct login_outcome *outcome = attempt->outcome;
	va_list args;

	snprintf(outcome->refused, sizeof(outcome->refused), "%s", reason);
	va_start(args, format);
	vsnprintf(outcome->detail, sizeof(outcome->detail), format, args);
	va_end(args);
	return 0;
}

/* --- audit --- */

static void write_texts(const struct attempt *attempt, struct json *json)
{
	const struct login *login = attempt->login;
	const struct saml_assertion *assertion = login->assertion;

	json_string(json, "source", login->source);
	if (login->request_id[0])
		json_string(json, "request", login->request_id);
	json_string(json, "assertion", assertion->assertion_id);
	if (assertion->name_id[0])
		json_string(json, "name", assertion->name_id);
	if (login->address[0])
		json_string(json, "address", login->address);
}

static int audit_attempt(const struct attempt *attempt, const char *action, struct strbuf *detail,
			 struct err *err)
{
	char object[UUID_TEXT_SIZE + 64];

	if (attempt->outcome->user.id != 0) {
		memcpy(object, "user:", 5);
		uuid_format(&attempt->outcome->user.uuid, object + 5);
	} else {
		snprintf(object, sizeof(object), "source:%.48s", attempt->login->source);
	}
	if (strbuf_failed(detail))
		return no_memory(err);
	return audit_write(attempt->changer->store, attempt->login->now_s, attempt->actor, action,
			   object, strbuf_text(detail), err);
}

static int audit_refusal(const struct attempt *attempt, struct err *err)
{
	AUTO(strbuf) struct strbuf detail = STRBUF(DETAIL_MAX);
	struct json json = JSON(&detail);

	json_object(&json);
	json_string(&json, "reason", attempt->outcome->refused);
	if (attempt->outcome->detail[0])
		json_string(&json, "detail", attempt->outcome->detail);
	write_texts(attempt, &json);
	if (attempt->login->test)
		json_bool(&json, "test", true);
	json_end(&json);
	return audit_attempt(attempt, "login.refused", &detail, err);
}

static int audit_test(const struct attempt *attempt, struct err *err)
{
	AUTO(strbuf) struct strbuf detail = STRBUF(DETAIL_MAX);
	struct json json = JSON(&detail);

	json_object(&json);
	write_texts(attempt, &json);
	json_end(&json);
	return audit_attempt(attempt, "login.test", &detail, err);
}

static int audit_login(const struct attempt *attempt, struct err *err)
{
	AUTO(strbuf) struct strbuf detail = STRBUF(DETAIL_MAX);
	const struct session *session = &attempt->outcome->session;
	struct json json = JSON(&detail);
	char uuid[UUID_TEXT_SIZE];

	uuid_format(&session->uuid, uuid);
	json_object(&json);
	json_string(&json, "session", uuid);
	write_texts(attempt, &json);
	if (session->second_factor_s)
		json_time(&json, "second_factor", session->second_factor_s);
	if (attempt->linked)
		json_bool(&json, "linked", true);
	json_end(&json);
	return audit_attempt(attempt, "login", &detail, err);
}

/* --- what may be used once --- */

/* 1 used up now, 0 it was before, -1. */
static int use_up(const struct attempt *attempt, const char *kind, const char *id, int64_t until_s,
		  struct err *err)
{
	struct err used;

	err_clear(&used);
	if (store_used_add(attempt->changer->store, kind, attempt->login->source, id, until_s,
			   &used) == 0)
		return 1;
	if (used.code == ERR_CONFLICT)
		return 0;
	if (err)
		*err = used;
	return -1;
}

/* Both are used up, whichever was used before: neither is good for anything any more. */
static int use_up_both(struct attempt *attempt, struct err *err)
{
	const struct login *login = attempt->login;
	const struct saml_assertion *assertion = login->assertion;
	int request = 1, fresh;

	fresh = use_up(attempt, "assertion", assertion->assertion_id, assertion->replay_until_s,
		       err);
	if (fresh >= 0 && login->request_id[0])
		request =
			use_up(attempt, "request", login->request_id, login->request_until_s, err);
	if (fresh < 0 || request < 0)
		return -1;
	change_step("used");
	if (fresh == 0)
		return refuse(attempt, "replayed", "assertion '%.64s' was used before",
			      assertion->assertion_id);
	if (request == 0)
		return refuse(attempt, "request-used", "request '%.64s' was answered before",
			      login->request_id);
	return 0;
}

/* --- whose identity it is --- */

/* What was verified for another configuration was not asked for groups that rules name now. */
static int mark_incomplete(struct attempt *attempt, struct err *err)
{
	AUTO(strbuf) struct strbuf record = STRBUF(RECORD_MAX);

	attempt->identity.groups_complete = false;
	record_encode(&attempt->identity, attempt->setup->setup.decision.schema, &record);
	if (strbuf_failed(&record))
		return no_memory(err);
	attempt->stored.record = arena_memdup(attempt->arena, record.data, record.size);
	attempt->stored.record_size = record.size;
	return attempt->stored.record ? 0 : no_memory(err);
}

static bool is_of_setup(const struct attempt *attempt)
{
	const struct setup *setup = attempt->login->setup;

	return !setup || setup == attempt->setup->origin || setup == &attempt->setup->setup ||
	       setup->registry == attempt->setup->setup.registry;
}

/* What is stored of each session has a bound, whatever the IdP calls people and sessions. */
static bool fits(const struct saml_assertion *assertion)
{
	return strlen(assertion->name_id) <= NAME_MAX_BYTES &&
	       strlen(assertion->name_id_format) <= NAME_MAX_BYTES &&
	       strlen(assertion->session_index) <= NAME_MAX_BYTES;
}

static int decode(struct attempt *attempt, struct err *err)
{
	const struct login *login = attempt->login;
	const struct schema *schema = attempt->setup->setup.decision.schema;
	int number = schema_find_source(schema, login->source, strlen(login->source));
	struct err problem;

	err_clear(&problem);
	if (number < 0 ||
	    record_decode(login->assertion->record, login->assertion->record_size, schema,
			  (uint16_t)number, attempt->arena, &attempt->identity, &problem) < 0) {
		if (problem.code == ERR_MEMORY)
			return no_memory(err);
		return refuse(attempt, "invalid-record", "%.200s", problem.text);
	}
	if (attempt->identity.key[0] == '\0')
		return refuse(attempt, "invalid-record", "the identity has no key");
	if (!fits(login->assertion))
		return refuse(attempt, "invalid-record", "a name or an index is too long to keep");
	attempt->stored = (struct identity_change){ .source = login->source,
						    .key = attempt->identity.key,
						    .record = login->assertion->record,
						    .record_size = login->assertion->record_size,
						    .read_s = login->now_s };
	if (!is_of_setup(attempt) && mark_incomplete(attempt, err) < 0)
		return -1;
	attempt->stored.digest = digest128(attempt->stored.record, attempt->stored.record_size);
	if (attempt->identity.disabled)
		return refuse(attempt, "disabled", "the source says so");
	return 0;
}

/* 1 known, 0, -1. */
static int find_known(struct attempt *attempt, struct err *err)
{
	struct identity_row row;
	struct err missing;

	err_clear(&missing);
	if (store_identity_get(attempt->changer->store, attempt->login->source,
			       attempt->identity.key, attempt->arena, &row, &missing) < 0) {
		if (missing.code == ERR_NOT_FOUND)
			return 0;
		if (err)
			*err = missing;
		return -1;
	}
	attempt->known = true;
	attempt->user_id = row.user_id;
	attempt->read_s = row.read_s;
	attempt->unchanged = row.record_size == attempt->stored.record_size &&
			     memcmp(row.record, attempt->stored.record, row.record_size) == 0;
	return 1;
}

static const char *link_refusal(const char *reason)
{
	return strcmp(reason, "link-ambiguous") == 0 ? "ambiguous-link" : reason;
}

static int find_newcomer(struct attempt *attempt, struct err *err)
{
	const struct link_lookup lookup = { .changer = attempt->changer,
					    .setup = attempt->setup,
					    .source = attempt->source,
					    .generation = attempt->generation,
					    .index = attempt->index,
					    .fallback = attempt->fallback };
	const char *reason, *detail;
	int found = store_quarantine_has_key(attempt->changer->store, attempt->login->source,
					     attempt->identity.key, err);

	if (found == 0)
		found = link_to_quarantined(&lookup, &attempt->identity, err);
	if (found < 0)
		return -1;
	if (found > 0)
		return refuse(attempt, "quarantined", "their identity lies in quarantine");
	if (link_lookup(&lookup, &attempt->identity, attempt->arena, &attempt->user_id,
			&attempt->lacking, &reason, &detail, err) < 0)
		return -1;
	if (attempt->lacking)
		return err_set(err, ERR_UNAVAILABLE, "links are being looked up");
	if (reason)
		return refuse(attempt, link_refusal(reason), "%.200s", detail);
	attempt->linked = attempt->user_id != 0;
	if (!attempt->linked && !attempt->login->just_in_time)
		return refuse(attempt, "not-provisioned", "no user has identity '%.100s'",
			      attempt->identity.key);
	return 0;
}

static int find_user(struct attempt *attempt, struct err *err)
{
	int known = find_known(attempt, err);

	if (known != 0)
		return known < 0 ? -1 : 0;
	return find_newcomer(attempt, err);
}

/* --- may they? --- */

static int judge_user(struct attempt *attempt, const struct user *user, uint32_t reasons)
{
	uint32_t disabled = user->disabled & reasons;

	if (disabled & DISABLED_DELETED)
		return refuse(attempt, "deleted", "the user was deleted");
	if (disabled & DISABLED_ANY & ~(uint32_t)DISABLED_NO_PROFILE)
		return refuse(attempt, "disabled", "disabled: %s",
			      disable_reason_name(disabled & -disabled));
	if (disabled & DISABLED_NO_PROFILE)
		return refuse(attempt, "no-profile", "no rule gives a profile");
	if (disabled & SUSPENDED_SIGN_IN)
		return refuse(attempt, "suspended", "sign-in is suspended");
	return 0;
}

/* As they stand: only the lack of a profile is what this sign-in may change. */
static int judge_present(struct attempt *attempt, struct err *err)
{
	struct user user;

	if (attempt->user_id == 0)
		return 0;
	if (store_user_get(attempt->changer->store, attempt->user_id, attempt->arena, &user, err) <
	    0)
		return -1;
	attempt->outcome->user = user;
	return judge_user(attempt, &user, ~(uint32_t)DISABLED_NO_PROFILE);
}

/* --- what they should have --- */

static int compare_ids(const void *a, const void *b)
{
	const int64_t *left = a, *right = b;

	return (*left > *right) - (*left < *right);
}

static int load_waiting(struct changer *changer, struct err *err)
{
	int64_t *ids;
	size_t count;

	if (held_ids_load(changer->store, &ids, &count, err) < 0)
		return -1;
	if (count > 1)
		qsort(ids, count, sizeof(*ids), compare_ids);
	free(changer->waiting_ids);
	changer->waiting_ids = ids;
	changer->waiting_count = count;
	changer->waiting_known = true;
	return 0;
}

/* Does something of them wait for a person's consent? 1, 0, -1. */
static int waits(struct changer *changer, int64_t user_id, struct err *err)
{
	if (!changer->waiting_known && load_waiting(changer, err) < 0)
		return -1;
	return changer->waiting_count > 0 && user_id != 0 &&
	       bsearch(&user_id, changer->waiting_ids, changer->waiting_count, sizeof(user_id),
		       compare_ids) != NULL;
}

static bool is_administrator(const struct attempt *attempt, const struct user *user)
{
	return user_is_active(user) &&
	       strcmp(user->profile, attempt->setup->setup.decision.administrator_profile) == 0;
}

static bool has_limit(const struct attempt *attempt, const struct person_change *change)
{
	return person_change_takes_away(change) || (!is_administrator(attempt, &change->before) &&
						    is_administrator(attempt, &change->after));
}

/* What of the change is within the limits; the rest does not happen here. */
static int ask_limits(struct attempt *attempt, struct person_change *change, struct err *err)
{
	AUTO(strbuf) struct strbuf bytes = STRBUF(1u << 20);
	struct draft draft = { .changer = attempt->changer,
			       .setup = attempt->setup,
			       .store = attempt->changer->store,
			       .source = attempt->login->source,
			       .now_s = attempt->login->now_s,
			       .totals = plan_totals_create() };
	struct plan_holds *holds = NULL;
	struct person_change held;
	struct run_report report;
	int result = -1;

	run_report_init(&report);
	if (!draft.totals || !report.arena)
		no_memory(err);
	else if (plan_totals_count(draft.totals, &attempt->setup->setup.decision, draft.source,
				   change, err) == 0 &&
		 limits_ask(&draft, &report, &holds, &bytes, err) == 0)
		result = plan_split(&attempt->setup->setup.decision, draft.source, change, holds,
				    attempt->arena, change, &held, err);
	plan_holds_destroy(holds);
	plan_totals_destroy(draft.totals);
	run_report_finish(&report);
	return result;
}

/* Other sources' word on being disabled, and a person's, stand as they are. */
static void leave_disabled(struct person_change *change)
{
	const uint32_t own = DISABLED_NO_PROFILE;

	if (change->before.id != 0)
		change->after.disabled =
			(change->before.disabled & ~own) | (change->after.disabled & own);
	/* Groups of the IdP have no known size that a loss could be measured by. */
	change->groups_lost_count = 0;
}

static int restrain(struct attempt *attempt, struct person_change *change, struct err *err)
{
	int waiting;

	leave_disabled(change);
	if (!person_change_is_visible(change))
		return 0;
	waiting = waits(attempt->changer, change->before.id, err);
	if (waiting < 0 ||
	    (waiting > 0 && plan_keep_additions(change, attempt->arena, change, err) < 0))
		return -1;
	return has_limit(attempt, change) ? ask_limits(attempt, change, err) : 0;
}

static int evaluate(struct attempt *attempt, struct person_change *ret_change, struct err *err)
{
	struct evaluation evaluation = { .setup = attempt->setup,
					 .store = attempt->changer->store,
					 .arena = attempt->arena,
					 .now_s = attempt->login->now_s,
					 .cause = arena_printf(attempt->arena, "login %s",
							       attempt->login->source) };
	enum evaluated outcome;
	const char *problem = "";

	if (!evaluation.cause)
		return no_memory(err);
	if (evaluate_user(&evaluation, attempt->user_id, &attempt->stored, ret_change, &outcome,
			  &problem, err) < 0)
		return -1;
	if (outcome == EVALUATED_OUT)
		return refuse(attempt, "no-profile", "no rule gives a profile");
	if (outcome == EVALUATED_UNUSABLE)
		return refuse(attempt, "no-username", "%.200s", problem);
	if (restrain(attempt, ret_change, err) < 0)
		return -1;
	/* Someone new who would be administrator, held, with no other profile. */
	if (attempt->user_id == 0 && ret_change->after.username[0] == '\0')
		return refuse(attempt, "no-profile", "their profile needs a person's consent");
	return judge_user(attempt, &ret_change->after, ~0u);
}

/* --- writing --- */

static int take_conflict(struct attempt *attempt, const struct err *conflict, struct err *err)
{
	const char *reason = err_reason(conflict);

	if (conflict->code != ERR_CONFLICT || attempt->user_id != 0) {
		if (err)
			*err = *conflict;
		return -1;
	}
	if (strcmp(reason, "username-taken") == 0)
		reason = "username-conflict";
	else if (strcmp(reason, "email-taken") == 0)
		reason = "email-conflict";
	return refuse(attempt, reason, "%.200s", conflict->text);
}

static int apply(struct attempt *attempt, const struct person_change *change,
		 struct plan_totals *windows, struct err *err)
{
	struct applied applied = { 0 };
	struct apply_context context = { .changer = attempt->changer,
					 .setup = attempt->setup,
					 .arena = attempt->arena,
					 .actor = attempt->actor,
					 .source = attempt->login->source,
					 .sign_in = true,
					 .windows = windows,
					 .now_s = attempt->login->now_s,
					 .applied = &applied };
	struct err conflict;

	err_clear(&conflict);
	if (apply_person(&context, change, NULL, &conflict) < 0)
		return take_conflict(attempt, &conflict, err);
	return windows ? apply_windows(
				 attempt->changer, windows,
				 setup_steady_s(&attempt->setup->setup, attempt->login->now_s), err)
		       : 0;
}

/*
 * May it be told in idle time that the identity was read again? Only when nothing is decided by the
 * difference until then: whether somebody is stale, or was asked for groups that rules name now.
 */
static bool may_confirm_later(const struct attempt *attempt)
{
	const struct live_setup *setup = attempt->setup;
	int number = schema_find_source(setup->setup.decision.schema, attempt->login->source,
					strlen(attempt->login->source));
	int64_t age_s = attempt->login->now_s - attempt->read_s;
	int64_t stale_s = setup->setup.policy->stale_after_s;

	if (stale_s > 0 && age_s >= stale_s / 2)
		return false;
	return number >= 0 && attempt->read_s > setup->groups_since_s[number] && age_s >= 0 &&
	       age_s < CONFIRMED_LATER_S;
}

static int confirm(struct attempt *attempt, struct err *err)
{
	attempt->confirms = may_confirm_later(attempt);
	return attempt->confirms
		       ? 0
		       : store_identity_confirm(attempt->changer->store, attempt->login->source,
						attempt->identity.key, attempt->login->now_s, err);
}

static int write_person(struct attempt *attempt, struct person_change *change, struct err *err)
{
	bool visible = person_change_is_visible(change);
	struct plan_totals *windows = NULL;
	int result;

	if (attempt->unchanged) {
		change->identity_count = 0;
		if (confirm(attempt, err) < 0)
			return -1;
	}
	if (visible) {
		windows = plan_totals_create();
		if (!windows)
			return no_memory(err);
	}
	attempt->written = !person_change_is_empty(change);
	result = attempt->written ? apply(attempt, change, windows, err) : 0;
	plan_totals_destroy(windows);
	return result;
}

/* As they are in the store now: names may have been kept, the last administrator too. */
static int read_back(struct attempt *attempt, const struct person_change *change, struct err *err)
{
	struct store *store = attempt->changer->store;
	char uuid[UUID_TEXT_SIZE];

	if (attempt->user_id != 0 && !attempt->written)
		return 0; /* judge_present has read them */
	if (attempt->user_id != 0)
		return store_user_get(store, attempt->user_id, attempt->arena,
				      &attempt->outcome->user, err);
	uuid_format(&change->after.uuid, uuid);
	attempt->outcome->created = true;
	return store_user_find(store, USER_BY_UUID, uuid, attempt->arena, &attempt->outcome->user,
			       err);
}

/* At most AGENT_MAX bytes, cut between characters. */
static const char *cut_agent(const char *agent, struct arena *arena)
{
	size_t size = strlen(agent);

	if (size <= AGENT_MAX)
		return agent;
	size = AGENT_MAX;
	while (size > 0 && ((unsigned char)agent[size] & 0xc0) == 0x80)
		size--;
	return arena_strndup(arena, agent, size);
}

static int open_session(struct attempt *attempt, struct err *err)
{
	const struct login *login = attempt->login;
	const struct saml_assertion *assertion = login->assertion;
	struct session session = {
		.uuid = uuid_create(login->now_s * 1000),
		.user_id = attempt->outcome->user.id,
		.source = login->source,
		.name_id = assertion->name_id,
		.name_id_format = assertion->name_id_format,
		.session_index = assertion->session_index,
		.address = login->address,
		.agent = cut_agent(login->agent, attempt->arena),
		.created_s = login->now_s,
		.seen_s = login->now_s,
		.until_s = login->until_s,
		.second_factor_s = assertion->second_factor_s,
	};
	struct session_token token = { .hash = login->token,
				       .host = "",
				       .created_s = login->now_s };

	if (assertion->session_until_s != 0 && assertion->session_until_s < session.until_s)
		session.until_s = assertion->session_until_s;
	if (!session.agent)
		return no_memory(err);
	if ((attempt->confirms ? store_session_insert_confirming(attempt->changer->store, &session,
								 attempt->identity.key, err)
			       : store_session_insert(attempt->changer->store, &session, err)) < 0)
		return -1;
	token.session_id = session.id;
	attempt->outcome->session = session;
	return store_session_token_add(attempt->changer->store, &token, err);
}

/* --- all of it --- */

static int admit(struct attempt *attempt, struct err *err)
{
	struct person_change change;

	if (decode(attempt, err) < 0)
		return -1;
	if (is_refused(attempt))
		return 0;
	if (find_user(attempt, err) < 0)
		return -1;
	if (is_refused(attempt))
		return 0;
	if (judge_present(attempt, err) < 0)
		return -1;
	if (is_refused(attempt))
		return 0;
	if (evaluate(attempt, &change, err) < 0)
		return -1;
	if (is_refused(attempt))
		return 0;
	if (write_person(attempt, &change, err) < 0)
		return -1;
	if (is_refused(attempt))
		return 0;
	change_step("signed-in");
	if (read_back(attempt, &change, err) < 0 || open_session(attempt, err) < 0)
		return -1;
	change_step("session");
	return audit_login(attempt, err);
}

static int find_source(struct attempt *attempt)
{
	attempt->source = setup_find_source(&attempt->setup->setup, attempt->login->source);
	if (attempt->source && source_signs_in(attempt->source) &&
	    (attempt->source->enabled || attempt->login->test))
		return 0;
	return refuse(attempt, "source-disabled", "source '%.48s' signs nobody in any more",
		      attempt->login->source);
}

static int sign_in(struct attempt *attempt, struct err *err)
{
	if (find_source(attempt) < 0 || use_up_both(attempt, err) < 0)
		return -1;
	if (!is_refused(attempt) && attempt->login->test)
		return audit_test(attempt, err);
	if (!is_refused(attempt) && admit(attempt, err) < 0)
		return -1;
	return is_refused(attempt) ? audit_refusal(attempt, err) : 0;
}

static int keep_text(struct arena *arena, const char **text)
{
	*text = *text ? arena_strdup(arena, *text) : "";
	return *text ? 0 : -1;
}

/* What is told outlives the writer's memory. */
static int keep_answer(struct attempt *attempt, struct err *err)
{
	struct user *user = &attempt->outcome->user;
	struct session *session = &attempt->outcome->session;
	const char **texts[] = {
		&user->organization, &user->username,	       &user->email,
		&user->display_name, &user->profile,	       &session->source,
		&session->name_id,   &session->name_id_format, &session->session_index,
		&session->address,   &session->agent
	};

	if (user->id == 0)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (keep_text(attempt->answer, texts[i]) < 0)
			return no_memory(err);
	return 0;
}

static int login_job(struct changer *changer, struct job *job, struct err *err)
{
	struct attempt *attempt = job->context;
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	int result;

	if (!arena)
		return no_memory(err);
	*attempt->outcome = (struct login_outcome){ .created = false };
	attempt->changer = changer;
	attempt->arena = arena;
	attempt->user_id = 0;
	attempt->known = attempt->unchanged = attempt->linked = false;
	attempt->lacking = attempt->written = attempt->confirms = false;
	attempt->setup = changer_coming_setup(changer, &attempt->generation);
	result = sign_in(attempt, err);
	if (result == 0)
		result = keep_answer(attempt, err);
	setup_release(&attempt->setup->setup);
	return result;
}

static int check_login(const struct login *login, struct err *err)
{
	if (login->assertion->assertion_id[0] != '\0' && login->now_s > 0)
		return 0;
	return err_set(err, ERR_INTERNAL, "a sign-in without an assertion's id");
}

int change_login(struct changer *changer, const struct actor *actor, const struct login *login,
		 struct arena *arena, struct login_outcome *ret_outcome, struct err *err)
{
	struct login_outcome outcome = { .created = false };
	struct attempt attempt = {
		.login = login, .actor = actor, .outcome = &outcome, .answer = arena
	};
	int result = check_login(login, err);

	for (int i = 0; result == 0; i++) {
		attempt.fallback = i == ATTEMPTS;
		result = writer_request(changer, login_job, &attempt, err);
		if (result == 0 || !attempt.lacking || i == ATTEMPTS)
			break;
		link_index_release(attempt.index);
		attempt.index = NULL;
		result = link_index_get(changer, login->source, &attempt.index, err);
	}
	link_index_release(attempt.index);
	if (result == 0)
		*ret_outcome = outcome;
	return result;
}

/* --- a test's page --- */

static int preview_user(struct attempt *attempt, struct store *store, struct err *err)
{
	struct linker *linker;
	const char *reason, *detail;
	int known = find_known(attempt, err), result;

	if (known != 0)
		return known < 0 ? -1 : 0;
	linker = linker_create(attempt->setup, attempt->source, store);
	if (!linker)
		return no_memory(err);
	result = linker_find(linker, &attempt->identity, attempt->arena, &attempt->user_id, &reason,
			     &detail, err);
	linker_destroy(linker);
	if (result == 0 && reason)
		return refuse(attempt, link_refusal(reason), "%.200s", detail);
	if (result == 0 && attempt->user_id == 0 && !attempt->login->just_in_time)
		return refuse(attempt, "not-provisioned", "nobody has this identity");
	return result;
}

static int preview(struct attempt *attempt, struct store *store, struct person *ret_person,
		   struct err *err)
{
	struct evaluation evaluation = { .setup = attempt->setup,
					 .store = store,
					 .arena = attempt->arena,
					 .now_s = attempt->login->now_s,
					 .cause = "" };

	if (find_source(attempt) < 0)
		return -1;
	if (is_refused(attempt))
		return 0;
	if (decode(attempt, err) < 0)
		return -1;
	if (attempt->stored.record == NULL)
		return 0;
	if (!is_refused(attempt) && preview_user(attempt, store, err) < 0)
		return -1;
	if (evaluate_person_as(&evaluation, attempt->user_id, &attempt->stored, ret_person, err) <
	    0)
		return -1;
	return is_refused(attempt) ? 0 : judge_present(attempt, err);
}

int change_login_preview(struct setup *setup, struct store *store, const struct login *login,
			 struct arena *arena, int64_t *ret_user_id, struct person *ret_person,
			 const char **ret_refused, struct err *err)
{
	/* The road of a real one, on the reader's handle. */
	struct changer reader = { .store = store };
	struct login_outcome outcome = { .created = false };
	struct person person = { .schema = setup->decision.schema };
	struct attempt attempt = { .login = login,
				   .outcome = &outcome,
				   .answer = arena,
				   .arena = arena,
				   .changer = &reader,
				   .setup = live_setup_create(setup, store, err) };
	int result = attempt.setup ? preview(&attempt, store, &person, err) : -1;

	if (result == 0) {
		*ret_refused = arena_strdup(arena, outcome.refused);
		if (!*ret_refused)
			result = no_memory(err);
	}
	if (result == 0) {
		*ret_user_id = attempt.user_id;
		*ret_person = person;
	}
	if (attempt.setup)
		setup_release(&attempt.setup->setup);
	return result;
}

/* --- those that never came so far --- */

struct refusal {
	const struct actor *actor;
	const char *action, *object, *detail;
};

static int refusal_job(struct changer *changer, struct job *job, struct err *err)
{
	const struct refusal *refusal = job->context;

	return audit_write(changer->store, change_now_s(), refusal->actor, refusal->action,
			   refusal->object, refusal->detail, err);
}

static int audit_unheard(struct changer *changer, const struct actor *actor, const char *action,
			 const char *source, const char *reason, const char *detail,
			 const char *address, struct err *err)
{
	AUTO(strbuf) struct strbuf text = STRBUF(DETAIL_MAX), object = STRBUF(256);
	struct json json = JSON(&text);
	struct refusal refusal = { .actor = actor, .action = action };

	json_object(&json);
	json_string(&json, "reason", reason);
	if (detail && detail[0])
		json_string(&json, "detail", detail);
	if (address && address[0])
		json_string(&json, "address", address);
	json_end(&json);
	strbuf_printf(&object, "source:%s", source);
	if (strbuf_failed(&text) || strbuf_failed(&object))
		return err_set(err, ERR_TOO_LARGE, "a refusal longer than its audit row may be");
	refusal.object = strbuf_text(&object);
	refusal.detail = strbuf_text(&text);
	return writer_request(changer, refusal_job, &refusal, err);
}

int change_login_refused(struct changer *changer, const struct actor *actor, const char *source,
			 const char *reason, const char *detail, const char *address,
			 struct err *err)
{
	return audit_unheard(changer, actor, "login.refused", source, reason, detail, address, err);
}

int change_logout_refused(struct changer *changer, const struct actor *actor, const char *source,
			  const char *reason, const char *detail, const char *address,
			  struct err *err)
{
	return audit_unheard(changer, actor, "logout.refused", source, reason, detail, address,
			     err);
}
