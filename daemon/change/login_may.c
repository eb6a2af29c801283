/*
 * What becomes of somebody who signs in. Enters: the user as stored, their identity. Leaves: the change that is theirs
 * now; what is over a limit, or waits in a held plan, is left out of it. Refused: whoever may not sign in. Fails:
 * store, memory.
 */
#include "login.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>

/* --- may they? --- */

static int judge_user(struct attempt *attempt, const struct user *user, uint32_t reasons)
{
	uint32_t disabled = user->disabled & reasons;

	if (disabled & DISABLED_DELETED)
		return attempt_refuse(attempt, "deleted", "the user was deleted");
	if (disabled & DISABLED_ANY & ~(uint32_t)DISABLED_NO_PROFILE)
		return attempt_refuse(attempt, "disabled", "disabled: %s",
				      disable_reason_name(disabled & -disabled));
	if (disabled & DISABLED_NO_PROFILE)
		return attempt_refuse(attempt, "no-profile", "no rule gives a profile");
	if (disabled & SUSPENDED_SIGN_IN)
		return attempt_refuse(attempt, "suspended", "sign-in is suspended");
	return 0;
}

/* As they stand: only the lack of a profile is what this sign-in may change. */
int attempt_judge(struct attempt *attempt, struct err *err)
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
			       .source = attempt_counts_as(attempt),
			       .now_s = attempt->login->now_s,
			       .totals = plan_totals_create() };
	struct plan_holds *holds = NULL;
	struct person_change held;
	struct run_report report;
	int result = -1;

	run_report_init(&report);
	if (!draft.totals || !report.arena)
		login_no_memory(err);
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

int attempt_evaluate(struct attempt *attempt, struct person_change *ret_change, struct err *err)
{
	struct evaluation evaluation = {
		.setup = attempt->setup,
		.store = attempt->changer->store,
		.arena = attempt->arena,
		.now_s = attempt->login->now_s,
		.cause = arena_printf(attempt->arena, "login %s",
				      attempt->login->source[0] ? attempt->login->source : "local")
	};
	enum evaluated outcome;
	const char *problem = "";

	if (!evaluation.cause)
		return login_no_memory(err);
	if (evaluate_user(&evaluation, attempt->user_id, attempt->local ? NULL : &attempt->stored,
			  ret_change, &outcome, &problem, err) < 0)
		return -1;
	if (outcome == EVALUATED_OUT)
		return attempt_refuse(attempt, "no-profile", "no rule gives a profile");
	if (outcome == EVALUATED_UNUSABLE)
		return attempt_refuse(attempt, "no-username", "%.200s", problem);
	if (restrain(attempt, ret_change, err) < 0)
		return -1;
	/* Someone new who would be administrator, held, with no other profile. */
	if (attempt->user_id == 0 && ret_change->after.username[0] == '\0')
		return attempt_refuse(attempt, "no-profile",
				      "their profile needs a person's consent");
	return judge_user(attempt, &ret_change->after, ~0u);
}
