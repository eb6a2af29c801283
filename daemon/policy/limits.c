/*
 * Limits: is a category of a plan over what may happen without a person?
 *
 * Enters: settings and one question with its numbers. Leaves: yes or no, and a sentence.
 * Nothing can fail. Negative or huge numbers are taken as they come: a sum
 * that would overflow is over the limit.
 */
#include <rolebridge/policy/policy.h>

#include <inttypes.h>

static int64_t larger(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static int64_t smaller(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t percent_of(int64_t population, int64_t percent)
{
	int64_t product;

	if (population <= 0 || percent <= 0)
		return 0;
	if (__builtin_mul_overflow(population, percent, &product))
		return population / 100 * percent;
	return product / 100;
}

/*
 * One loss in a window, and two administrators stay. An explicit disable by the source applies
 * while another remains; that of the very last one goes through to the clamp, which keeps
 * them on record and ends their sign-in.
 */
static int64_t administrators_lost(const struct limit_question *question)
{
	bool is_explicit = question->explicit_count >= question->count;
	int64_t stay = is_explicit ? 1 : 2;

	if (is_explicit && question->population <= 1)
		return 1;
	return larger(0, smaller(1 - question->in_window, question->population - stay));
}

int64_t policy_limit(const struct limits_settings *limits, const struct limit_question *question)
{
	int64_t share;

	switch (question->kind) {
	case LIMIT_DISABLES:
		share = percent_of(question->population, limits->disables_percent);
		return smaller(limits->disables_max, larger(limits->disables_min, share));
	case LIMIT_REMOVALS:
		return larger(limits->removals_min,
			      percent_of(question->population, limits->removals_percent));
	case LIMIT_GROUP:
		if (question->population < limits->group_size_min)
			return INT64_MAX;
		return percent_of(question->population, limits->group_loss_percent);
	case LIMIT_ADMINISTRATORS_NEW:
		if (question->first_sync && !limits->first_sync_administrators)
			return 0;
		return limits->new_administrators;
	case LIMIT_ADMINISTRATORS_LOST: return administrators_lost(question);
	case LIMIT_KINDS: break;
	}
	return 0;
}

bool policy_over_limit(const struct limits_settings *limits, const struct limit_question *question)
{
	int64_t limit = policy_limit(limits, question), sum;

	if (question->count <= 0)
		return false;
	/* What the window holds is part of this limit already. */
	if (question->kind == LIMIT_ADMINISTRATORS_LOST)
		return question->count > limit;
	if (__builtin_add_overflow(question->count, question->in_window, &sum))
		return true;
	return sum > limit;
}

void policy_limit_text(const struct limits_settings *limits, const struct limit_question *question,
		       const char *subject, struct strbuf *out)
{
	int64_t limit = policy_limit(limits, question);

	switch (question->kind) {
	case LIMIT_DISABLES:
		strbuf_printf(out, "%" PRId64 " disables by '%s' are over the limit of %" PRId64,
			      question->count, subject, limit);
		break;
	case LIMIT_REMOVALS:
		strbuf_printf(out, "%" PRId64 " removals of '%s' are over the limit of %" PRId64,
			      question->count, subject, limit);
		break;
	case LIMIT_GROUP:
		strbuf_printf(out,
			      "group '%s' loses %" PRId64 " of %" PRId64
			      " members, over the limit of %" PRId64,
			      subject, question->count, question->population, limit);
		break;
	case LIMIT_ADMINISTRATORS_NEW:
		strbuf_printf(out,
			      "%" PRId64
			      " new administrators in '%s' are over the limit of %" PRId64 "%s",
			      question->count, subject, limit,
			      question->first_sync && limit == 0 ? " in a source's first sync"
								 : "");
		break;
	case LIMIT_ADMINISTRATORS_LOST:
		strbuf_printf(out,
			      "%" PRId64 " of %" PRId64
			      " administrators in '%s' would be lost, over the limit of %" PRId64,
			      question->count, question->population, subject, limit);
		break;
	case LIMIT_KINDS: break;
	}
	if (question->in_window > 0)
		strbuf_printf(out, " (%" PRId64 " more within the window)", question->in_window);
}
