/*
 * Policy beside limits: the last administrator, protected users, the grace of missing people.
 *
 * Enters: settings, counts and facts taken by the caller. Leaves: verdicts; refusals with
 * stable codes.
 */
#include <rolebridge/policy/policy.h>

#include <string.h>

#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/util.h>
#include <rolebridge/identity/names.h>

int policy_last_administrator(const struct administrator_question *question,
			      enum administrator_verdict *ret_verdict, struct err *err)
{
	if (!question->before || question->after || question->others > 0) {
		*ret_verdict = ADMINISTRATOR_ALLOWED;
		return 0;
	}
	if (question->by_person)
		return err_refuse(err, ERR_CONFLICT, "last-administrator",
				  "the organization would be left without an active administrator");
	*ret_verdict = ADMINISTRATOR_CLAMPED;
	return 0;
}

bool policy_is_protected(const struct policy_settings *policy, const char *username)
{
	for (size_t i = 0; i < policy->protected_users.count; i++) {
		AUTO(strbuf) struct strbuf normal = STRBUF(1024);
		const char *text = policy->protected_users.items[i].text;

		if (text && username_normalize(text, &normal, NULL) == 0)
			text = strbuf_text(&normal);
		if (text && strcmp(text, username) == 0)
			return true;
	}
	return false;
}

bool policy_missing_disables(const struct policy_settings *policy, uint32_t missing_runs,
			     int64_t missing_s, int64_t now_s)
{
	return missing_s != 0 && missing_runs_counted(missing_runs) >= policy->missing_runs &&
	       now_s - missing_s >= policy->missing_grace_s;
}
