/*
 * Who must prove a second factor. In: the policy in force, what is known of the person and their sign-in, the time. Out:
 * what becomes of it. Pure; nothing can fail.
 */
#include <rolebridge/policy/factor.h>

#include <string.h>

#include <rolebridge/base/util.h>

#define CLOCK_SLACK_S 300 /* between an identity provider's clock and ours */

const struct factor_policy factor_policy_none = { .required = FACTOR_FOR_NOBODY,
						  .methods = FACTOR_ALL_METHODS };

const char *factor_required_name(enum factor_required required)
{
	static const char *const names[] = { "nobody", "administrators", "chosen", "all" };

	return (size_t)required < ARRAY_LEN(names) ? names[required] : "";
}

static bool has(const struct factor_names *names, const char *name)
{
	for (size_t i = 0; i < names->count; i++)
		if (strcmp(names->items[i], name) == 0)
			return true;
	return false;
}

static bool have_one(const struct factor_names *a, const struct factor_names *b)
{
	for (size_t i = 0; i < a->count; i++)
		if (has(b, a->items[i]))
			return true;
	return false;
}

bool factor_is_required(const struct factor_policy *policy, const struct factor_question *question)
{
	switch (policy->required) {
	case FACTOR_FOR_NOBODY: return false;
	case FACTOR_FOR_ADMINISTRATORS: return question->is_administrator;
	case FACTOR_FOR_CHOSEN:
		return has(&policy->profiles, question->profile) ||
		       have_one(&policy->roles, &question->roles) ||
		       have_one(&policy->groups, &question->groups);
	case FACTOR_FOR_ALL: break;
	}
	return true;
}

unsigned factor_methods_that_count(const struct factor_policy *policy, bool is_administrator)
{
	if (is_administrator && policy->administrator_methods)
		return policy->administrator_methods;
	return (policy->methods & FACTOR_ALL_METHODS) | FACTOR_BIT(FACTOR_RECOVERY) |
	       FACTOR_BIT(FACTOR_IDP);
}

bool factor_is_fresh(int64_t second_factor_s, int64_t max_age_s, int64_t now_s)
{
	int64_t age_s = now_s - second_factor_s;

	return second_factor_s > 0 && age_s >= -CLOCK_SLACK_S &&
	       (max_age_s == 0 || age_s <= max_age_s);
}

/* By the identity provider, or a browser that is remembered for what counts. */
static bool is_proven(const struct factor_policy *policy, const struct factor_question *question,
		      unsigned counting, struct factor_answer *answer)
{
	if ((counting & FACTOR_BIT(FACTOR_IDP)) &&
	    factor_is_fresh(question->idp_s, 0, question->now_s)) {
		answer->by = FACTOR_IDP;
		answer->proven_s = question->idp_s;
		return true;
	}
	if (policy->device_s > 0 && (counting & FACTOR_BIT(question->device_by)) &&
	    factor_is_fresh(question->device_s, policy->device_s, question->now_s)) {
		answer->by = FACTOR_DEVICE;
		answer->proven_s = question->device_s;
		return true;
	}
	return false;
}

/* Each bound that is given holds: whichever ends first ends it. */
static bool grace_lasts(const struct factor_policy *policy, const struct factor_question *question,
			struct factor_answer *answer)
{
	if (policy->grace_until_s == 0 && policy->grace_sign_ins == 0)
		return false;
	if (policy->grace_until_s != 0 && question->now_s >= policy->grace_until_s)
		return false;
	if (policy->grace_sign_ins != 0 && question->sign_ins >= policy->grace_sign_ins)
		return false;
	answer->grace_until_s = policy->grace_until_s;
	answer->sign_ins_left =
		policy->grace_sign_ins ? policy->grace_sign_ins - question->sign_ins : -1;
	return true;
}

/* Of whom none is required, and who enrolled one by themselves. */
static void judge_free(const struct factor_policy *policy, const struct factor_question *question,
		       struct factor_answer *answer)
{
	unsigned own = question->enrolled & FACTOR_ALL_METHODS;

	if (own == 0)
		answer->kind = FACTOR_NOT_NEEDED;
	else if (is_proven(policy, question, own | FACTOR_BIT(FACTOR_IDP), answer))
		answer->kind = FACTOR_PROVEN;
	else
		answer->kind = FACTOR_ASK;
	/* Recovery codes are a spare for whatever is asked. */
	if (answer->kind == FACTOR_ASK)
		answer->methods = question->enrolled;
}

static void judge_required(const struct factor_policy *policy,
			   const struct factor_question *question, struct factor_answer *answer)
{
	unsigned counting = answer->methods;
	unsigned own = question->enrolled & counting;

	if (is_proven(policy, question, counting, answer)) {
		answer->kind = FACTOR_PROVEN;
	} else if (own & FACTOR_ALL_METHODS) {
		answer->kind = FACTOR_ASK;
		answer->methods = own;
	} else if (!grace_lasts(policy, question, answer)) {
		answer->kind = FACTOR_REFUSED;
	} else if (question->enrolled & FACTOR_ALL_METHODS) {
		/* What they have does not count, but nobody comes in by less than it as long as it is there. */
		answer->kind = FACTOR_ASK;
		answer->methods = question->enrolled;
		answer->counts_sign_in = true;
	} else {
		answer->kind = FACTOR_GRACE;
		answer->counts_sign_in = true;
	}
}

unsigned factor_demand(const struct factor_policy *policy, const struct factor_question *question,
		       int64_t *ret_until_s)
{
	struct factor_question stays = *question;
	struct factor_answer answer = { .grace_until_s = 0 };
	unsigned browsers = policy->device_s > 0 ? FACTOR_BIT(FACTOR_DEVICE) : 0;
	/* Of whom none is required: whoever has one is asked for it where no browser is remembered. */
	unsigned otherwise = question->enrolled & FACTOR_ALL_METHODS && !browsers
				     ? ~FACTOR_BIT(FACTOR_DEVICE)
				     : 0;

	*ret_until_s = INT64_MAX;
	if (!factor_is_required(policy, question))
		return otherwise;
	stays.sign_ins -= stays.sign_ins > 0;
	if (!grace_lasts(policy, &stays, &answer))
		return factor_methods_that_count(policy, question->is_administrator) | browsers;
	if (answer.grace_until_s != 0)
		*ret_until_s = answer.grace_until_s;
	return otherwise;
}

void factor_judge(const struct factor_policy *policy, const struct factor_question *question,
		  struct factor_answer *ret_answer)
{
	struct factor_answer answer = {
		.kind = FACTOR_REFUSED,
		.required = question->idp_asked || factor_is_required(policy, question),
		.methods = factor_methods_that_count(policy, question->is_administrator),
	};

	if (answer.required)
		judge_required(policy, question, &answer);
	else
		judge_free(policy, question, &answer);
	*ret_answer = answer;
}
