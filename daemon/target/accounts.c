/*
 * Linux accounts of this machine, as a target. Enters: rows of people of whom something changed. Leaves: their accounts
 * as they shall be now. Fails: a helper that does not answer, all of it, to be tried again; what the helper or
 * the machine refuses for good, that person alone.
 *
 * What is told is composed from the store at this moment: twice the same does nothing the second time. A connection
 * lives for one call.
 */
#include <rolebridge/target/accounts.h>

#include <string.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>

#include "accounts_internal.h"

/* Little: somebody who is disabled waits for at most so many commands of the helper. */
#define BATCH_MAX 4

/* One row's question. */
struct order {
	struct delivery_result *result;
	uint16_t question;		/* enum accounts_message; 0: none, the result stands */
	struct accounts_ensure account; /* of any other than ENSURE the user alone */
};

static void note(struct delivery_result *result, enum delivery_outcome outcome, const char *code,
		 const char *problem)
{
	*result = (struct delivery_result){ .outcome = outcome, .code = code, .problem = problem };
}

/*
 * An account keeps the name it was made with: one that is renamed would take files, crontabs and mail of its old name from
 * its owner. What else changes of somebody who has another name now shall hold all the same. *ret_name NULL: there is
 * no account.
 */
static int find_kept_name(const struct target_call *call, struct helper *helper,
			  const struct uuid *user, const char **ret_name, struct err *err)
{
	struct accounts_entry entry;
	int found = helper_find(helper, user, call->arena, &entry, err);

	*ret_name = found > 0 ? entry.name : NULL;
	return found < 0 ? -1 : 0;
}

static int map(const struct target_call *call, struct helper *helper,
	       const struct accounts_subject *subject, struct order *order, struct err *err)
{
	const struct accounts_target *target = target_of(call);
	const char *kept;
	int64_t now_s = clock_now_s();

	if (accounts_map(target, subject, now_s, NULL, call->arena, &order->account, err) == 0)
		return 0;
	if (err->code != ERR_INVALID || strcmp(err->reason, "name-invalid") != 0)
		return -1;
	if (find_kept_name(call, helper, &subject->user.uuid, &kept, err) < 0 || !kept)
		return -1;
	err_clear(err);
	return accounts_map(target, subject, now_s, kept, call->arena, &order->account, err);
}

/* Whoever may not have an account that is open must not wait for what else is wrong with it. */
static void order_closed(const struct target_call *call, const struct accounts_subject *subject,
			 struct order *order)
{
	bool remove = subject->user.disabled & DISABLED_DELETED &&
		      target_of(call)->deleted == ACCOUNTS_DELETED_REMOVE;

	order->question = remove ? ACCOUNTS_DELETE : ACCOUNTS_DISABLE;
	order->account = (struct accounts_ensure){ .user = subject->user.uuid };
}

/* Nothing is under way at the helper yet: it may be asked beside. */
static int prepare(const struct target_call *call, struct helper *helper,
		   const struct delivery_row *row, struct order *order, struct err *err)
{
	struct accounts_subject subject;
	struct err problem = { 0 };

	if (accounts_load(call, row->user_id, &subject, &problem) < 0) {
		if (problem.code == ERR_NOT_FOUND) {
			note(order->result, DELIVERY_SENT, NULL, NULL);
			return 0;
		}
	} else if (!accounts_is_wanted(target_of(call), &subject, clock_now_s())) {
		order_closed(call, &subject, order);
		return 0;
	} else if (map(call, helper, &subject, order, &problem) == 0) {
		order->question = ACCOUNTS_ENSURE;
		return 0;
	}
	if (problem.code != ERR_INVALID) {
		*err = problem;
		return -1;
	}
	note(order->result, DELIVERY_REFUSED, problem.reason,
	     arena_strdup(call->arena, problem.text));
	return 0;
}

static void ask(struct helper *helper, const struct order *order)
{
	if (order->question == ACCOUNTS_ENSURE)
		accounts_put_ensure(helper_questions(helper), &order->account);
	else if (order->question != 0)
		accounts_put_user(helper_questions(helper), order->question, &order->account.user);
}

/* --- what came of it --- */

static void learn(const struct target_call *call, const struct order *order,
		  const struct accounts_result *result)
{
	struct owned_account account = { order->account.user, result->uid };

	if (order->question == ACCOUNTS_ENSURE && result->status == ACCOUNTS_DONE &&
	    result->uid != 0)
		book_learn(target_of(call)->socket.text, order->account.name, &account);
}

static int ask_by_kept_name(const struct target_call *call, struct helper *helper,
			    struct order *order, struct accounts_result *result, struct err *err)
{
	const char *kept;

	if (find_kept_name(call, helper, &order->account.user, &kept, err) < 0)
		return -1;
	if (!kept)
		return 0;
	order->account.name = kept;
	ask(helper, order);
	return helper_send(helper, err) < 0 ? -1 : helper_result(helper, call->arena, result, err);
}

static int settle(const struct target_call *call, struct helper *helper, struct order *order,
		  struct accounts_result *result, struct err *err)
{
	if (order->question == ACCOUNTS_ENSURE && result->status == ACCOUNTS_REFUSED &&
	    strcmp(result->code, "name-changed") == 0 &&
	    ask_by_kept_name(call, helper, order, result, err) < 0)
		return -1;
	learn(call, order, result);
	switch (result->status) {
	case ACCOUNTS_DONE: note(order->result, DELIVERY_SENT, NULL, NULL); break;
	case ACCOUNTS_REFUSED:
		note(order->result, DELIVERY_REFUSED, result->code, result->detail);
		break;
	case ACCOUNTS_AGAIN:
		note(order->result, DELIVERY_RETRY, result->code, result->detail);
		break;
	}
	return 0;
}

static int exchange(const struct target_call *call, struct helper *helper, struct order *orders,
		    size_t count, struct err *err)
{
	struct accounts_result *results =
		arena_alloc_array(call->arena, count + 1, sizeof(*results));
	size_t answered;
	int result = 0;

	if (!results)
		return err_set(err, ERR_MEMORY, "out of memory");
	for (size_t i = 0; i < count; i++)
		ask(helper, &orders[i]);
	if (helper_send(helper, err) < 0)
		return -1;
	/* All of it first: a second question would mix with answers that are under way. */
	for (answered = 0; answered < count && result == 0; answered++)
		if (orders[answered].question != 0)
			result = helper_result(helper, call->arena, &results[answered], err);
	/* What was answered holds, also when the next one was not. */
	if (result < 0)
		answered--;
	for (size_t i = 0; i < answered; i++) {
		struct err problem = { 0 };

		if (orders[i].question == 0 ||
		    settle(call, helper, &orders[i], &results[i], &problem) == 0)
			continue;
		*err = problem;
		result = -1;
	}
	return result;
}

static int accounts_deliver(void *instance, const struct target_call *call,
			    const struct delivery_row *rows, size_t count,
			    struct delivery_result *results, struct err *err)
{
	struct order *orders = arena_alloc_array(call->arena, count + 1, sizeof(*orders));
	AUTO(helper) struct helper *helper = NULL;

	(void)instance;
	if (!orders)
		return err_set(err, ERR_MEMORY, "out of memory");
	helper = helper_open_for(call, err);
	if (!helper)
		return -1;
	for (size_t i = 0; i < count; i++) {
		orders[i].result = &results[i];
		if (prepare(call, helper, &rows[i], &orders[i], err) < 0)
			return -1;
	}
	return exchange(call, helper, orders, count, err);
}

const struct target_kind accounts_target_kind = {
	.name = "accounts",
	.keeps_state = true,
	.follows_records = true,
	.batch_max = BATCH_MAX,
	.open = accounts_compare_open,
	.close = accounts_compare_close,
	.deliver = accounts_deliver,
	.want = accounts_want,
	.has = accounts_has,
};
