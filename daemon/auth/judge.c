/*
 * May they? In: who holds what, what is asked, a resource. Out: yes, or why not.
 *
 * Ownership counts at the account alone: whose a task is makes no difference. Each account above is judged for
 * itself, so that one inside of another is hidden with it.
 */
#include "judge.h"

#include <string.h>

#include <rolebridge/base/util.h>

/* The scopes that this account is in for somebody. */
static unsigned scopes_at(const struct holder *holder, const struct tree_node *account)
{
	if (account->owner == 0)
		return SCOPE_ALL | SCOPE_UNASSIGNED;
	return account->owner == holder->user ? SCOPE_ALL | SCOPE_OWN : SCOPE_ALL;
}

static const struct tree_node *account_of(const struct tree_node *node)
{
	while (!node->kind->is_account && node->parent)
		node = node->parent;
	return node;
}

static bool is_readable(const struct holder *holder, const struct tree_node *account)
{
	return permset_scopes(holder->permissions, account->kind->word, word_make("read", 4)) &
	       scopes_at(holder, account);
}

/* Nothing unknown above, and no account that is hidden. The account of the node itself counts unless it is the node. */
static bool is_visible(const struct holder *holder, const struct tree_node *node,
		       const struct tree_node *account)
{
	if (account != node && !is_readable(holder, account))
		return false;
	for (const struct tree_node *at = node; at; at = at->parent)
		if (at->row == 0 || (at != node && at != account && at->kind->is_account &&
				     !is_readable(holder, at)))
			return false;
	return true;
}

static void note(struct ground *ground, const struct holder *holder, struct word resource,
		 struct word verb, unsigned scopes)
{
	/* The widest first: it says most. */
	for (unsigned scope = SCOPE_ALL; ground && !ground->item && scope; scope >>= 1)
		if (scopes & scope) {
			ground->item = permset_which(holder->permissions, resource, verb, scope);
			ground->scope = scope;
		}
}

enum decision_reason judge_resource(const struct holder *holder, const struct asked *asked,
				    const struct tree_node *node, struct ground *ground)
{
	const struct tree_node *account = account_of(node);
	bool covered = account != node && word_same(asked->resource, node->kind->word);
	struct word type = account->kind->word;
	unsigned present = scopes_at(holder, account), direct, above, wanted;

	if (strcmp(holder->organization, node->organization) != 0)
		return DECISION_OTHER_ORGANIZATION;
	if (!is_visible(holder, node, account))
		return DECISION_ACCOUNT_NOT_READABLE;
	direct = permset_scopes(holder->permissions, asked->resource, asked->verb);
	above = covered ? permset_scopes(holder->permissions, type, asked->verb) : 0;
	/* With a scope that is named: granted in that one or in all, and the account is in it. */
	wanted = asked->scope ? asked->scope | SCOPE_ALL : present;
	if (!((direct | above) & wanted))
		return (direct | above) ? DECISION_SCOPE : DECISION_NOT_GRANTED;
	if (!((direct | above) & wanted & present) || (asked->scope && !(present & asked->scope)))
		return DECISION_SCOPE;
	note(ground, holder, asked->resource, asked->verb, direct & wanted & present);
	note(ground, holder, type, asked->verb, above & wanted & present);
	return DECISION_GRANTED;
}

enum decision_reason judge_general(const struct holder *holder, const struct asked *asked,
				   struct ground *ground)
{
	unsigned granted = permset_scopes(holder->permissions, asked->resource, asked->verb);
	unsigned wanted = asked->scope | SCOPE_ALL;

	if (granted & wanted) {
		note(ground, holder, asked->resource, asked->verb, granted & wanted);
		return DECISION_GRANTED;
	}
	return granted ? DECISION_SCOPE : DECISION_NOT_GRANTED;
}
