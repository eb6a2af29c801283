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

#include "login.h"
#include "restore.h"
#include "stage.h"

#define AGENT_MAX 200
#define ATTEMPTS 3
#define CONFIRMED_LATER_S 86400

/* --- refusals --- */

int attempt_refuse(struct attempt *attempt, const char *reason, const char *format, ...)
{
	struct login_outcome *outcome = attempt->outcome;
	va_list args;

	snprintf(outcome->refused, sizeof(outcome->refused), "%s", reason);
	va_start(args, format);
	vsnprintf(outcome->detail, sizeof(outcome->detail), format, args);
	va_end(args);
	return 0;
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
	/* What was used up between the backup and the restore is not known any more. */
	if (!login->request_id[0] &&
	    restore_forgot(attempt->changer, assertion->authn_instant_s, login->now_s))
		return attempt_refuse(attempt, "replayed",
				      "assertion '%.64s' may have been used before the store was "
				      "restored",
				      assertion->assertion_id);
	if (fresh == 0)
		return attempt_refuse(attempt, "replayed", "assertion '%.64s' was used before",
				      assertion->assertion_id);
	if (request == 0)
		return attempt_refuse(attempt, "request-used",
				      "request '%.64s' was answered before", login->request_id);
	return 0;
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
	return attempt_refuse(attempt, reason, "%.200s", conflict->text);
}

static int apply(struct attempt *attempt, const struct person_change *change,
		 struct plan_totals *windows, struct err *err)
{
	struct applied applied = { 0 };
	struct apply_context context = { .changer = attempt->changer,
					 .setup = attempt->setup,
					 .arena = attempt->arena,
					 .actor = attempt->actor,
					 .source = attempt_counts_as(attempt),
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
			return login_no_memory(err);
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

/*
 * How far the first factor leads. Refused: the person is written all the same, so that an administrator can help them, but
 * gets no session.
 */
static int judge_stage(struct attempt *attempt, struct session *session, struct err *err)
{
	const struct login *login = attempt->login;
	const struct stage_sign_in sign_in = { .changer = attempt->changer,
					       .setup = attempt->setup,
					       .user = &attempt->outcome->user,
					       .idp_s = login->assertion->second_factor_s,
					       .idp_asked = login->assertion->second_factor_asked,
					       .device = login->device,
					       .arena = attempt->arena,
					       .now_s = login->now_s };
	const char *refused;

	if (stage_judge(&sign_in, session, &refused, err) < 0)
		return -1;
	return refused ? attempt_refuse(attempt, refused,
					"a second factor is required, and none is enrolled")
		       : 0;
}

/* No session will tell it later. */
static int confirm_now(const struct attempt *attempt, struct err *err)
{
	return attempt->confirms
		       ? store_identity_confirm(attempt->changer->store, attempt->login->source,
						attempt->identity.key, attempt->login->now_s, err)
		       : 0;
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
	};
	struct session_token token = { .hash = login->token,
				       .host = "",
				       .created_s = login->now_s };

	if (assertion->session_until_s != 0 && assertion->session_until_s < session.until_s)
		session.until_s = assertion->session_until_s;
	if (!session.agent)
		return login_no_memory(err);
	if (judge_stage(attempt, &session, err) < 0)
		return -1;
	if (attempt_is_refused(attempt))
		return confirm_now(attempt, err);
	if ((attempt->confirms ? store_session_insert_confirming(attempt->changer->store, &session,
								 attempt->identity.key, err)
			       : store_session_insert(attempt->changer->store, &session, err)) < 0)
		return -1;
	token.session_id = session.id;
	attempt->outcome->session = session;
	return store_session_token_add(attempt->changer->store, &token, err);
}

/* --- all of it --- */

int attempt_enter(struct attempt *attempt, struct err *err)
{
	struct person_change change;

	if (attempt_judge(attempt, err) < 0)
		return -1;
	if (attempt_is_refused(attempt))
		return 0;
	if (attempt_evaluate(attempt, &change, err) < 0)
		return -1;
	if (attempt_is_refused(attempt))
		return 0;
	if (write_person(attempt, &change, err) < 0)
		return -1;
	if (attempt_is_refused(attempt))
		return 0;
	change_step("signed-in");
	if (read_back(attempt, &change, err) < 0 || open_session(attempt, err) < 0)
		return -1;
	if (attempt_is_refused(attempt))
		return 0;
	change_step("session");
	return attempt_audit(attempt, err);
}

static int admit(struct attempt *attempt, struct err *err)
{
	if (attempt_decode(attempt, err) < 0)
		return -1;
	if (attempt_is_refused(attempt))
		return 0;
	if (attempt_find_user(attempt, err) < 0)
		return -1;
	return attempt_is_refused(attempt) ? 0 : attempt_enter(attempt, err);
}

int attempt_find_source(struct attempt *attempt)
{
	attempt->source = setup_find_source(&attempt->setup->setup, attempt->login->source);
	if (attempt->source && source_signs_in(attempt->source) &&
	    (attempt->source->enabled || attempt->login->test))
		return 0;
	return attempt_refuse(attempt, "source-disabled", "source '%.48s' signs nobody in any more",
			      attempt->login->source);
}

static int sign_in(struct attempt *attempt, struct err *err)
{
	if (attempt_find_source(attempt) < 0 || use_up_both(attempt, err) < 0)
		return -1;
	if (!attempt_is_refused(attempt) && attempt->login->test)
		return attempt_audit_test(attempt, err);
	if (!attempt_is_refused(attempt) && admit(attempt, err) < 0)
		return -1;
	return attempt_is_refused(attempt) ? attempt_audit_refusal(attempt, err) : 0;
}

static int keep_text(struct arena *arena, const char **text)
{
	*text = *text ? arena_strdup(arena, *text) : "";
	return *text ? 0 : -1;
}

int attempt_keep_answer(struct attempt *attempt, struct err *err)
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
			return login_no_memory(err);
	return 0;
}

static int login_job(struct changer *changer, struct job *job, struct err *err)
{
	struct attempt *attempt = job->context;
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	int result;

	if (!arena)
		return login_no_memory(err);
	if (!attempt->login->test && change_restore_check_sign_in(changer, err) < 0)
		return -1;
	*attempt->outcome = (struct login_outcome){ .created = false };
	attempt->changer = changer;
	attempt->arena = arena;
	attempt->user_id = 0;
	attempt->known = attempt->unchanged = attempt->linked = false;
	attempt->lacking = attempt->written = attempt->confirms = false;
	attempt->setup = changer_coming_setup(changer, &attempt->generation);
	result = sign_in(attempt, err);
	if (result == 0)
		result = attempt_keep_answer(attempt, err);
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
