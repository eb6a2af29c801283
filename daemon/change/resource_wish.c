/*
 * What an application's wish about a resource means: the row that it asks for, if it may be.
 *
 * Enters: who asks, how a resource shall be. Leaves: the row. Refused: names that cannot be, parents and
 * owners that are not there, what would stand below itself or too deep, trees of two organizations,
 * owners who are not active. Fails: store, memory.
 *
 * A tree is of one application and one organization; so a resource keeps its organization while anything is
 * above or below it. Who reads the store, or the copy in memory, may rely on that every chain of
 * parents ends within RESOURCE_DEPTH_MAX steps.
 */
#include "ownership.h"

#include <string.h>

#include "accounts.h"

int64_t ownership_small_tree = 2000;
uint64_t ownership_looked_at;

struct putting {
	struct owning *owning;
	const struct resource_wish *wish;
	struct resource before; /* row 0: somebody new */
	struct resource after;
	struct resource parent; /* row 0: none */
	struct user owner;	/* id 0: none */
};

static int find_before(struct putting *putting, const char *application, struct err *err)
{
	struct owning *owning = putting->owning;
	const struct resource_key key = { application, putting->wish->type, putting->wish->id };
	struct err missing;

	err_clear(&missing);
	putting->after.key = key;
	if (store_resource_find(owning->changer->store, &key, owning->arena, &putting->before,
				&missing) == 0)
		return authority_require_organization(
			&owning->authority, putting->before.organization, "such resource", err);
	putting->before = (struct resource){ .parent_type = "", .parent_id = "" };
	if (missing.code == ERR_NOT_FOUND)
		return 0;
	if (err)
		*err = missing;
	return -1;
}

static int find_parent(struct putting *putting, struct err *err)
{
	const struct resource_wish *wish = putting->wish;
	struct owning *owning = putting->owning;
	const struct resource_key key = { putting->after.key.application, wish->parent_type,
					  wish->parent_id };
	struct err missing;

	if (!owning_is_given(wish->parent_type) && !owning_is_given(wish->parent_id))
		return 0;
	if (!owning_is_given(wish->parent_type) ||
	    !resource_id_is_valid(wish->parent_id ? wish->parent_id : ""))
		return owning_refuse(owning, "parent", "invalid-request",
				     "a parent has a type and an id", err);
	err_clear(&missing);
	/* Of another organization: it is not there. */
	if (store_resource_find(owning->changer->store, &key, owning->arena, &putting->parent,
				&missing) == 0 &&
	    authority_require_organization(&owning->authority, putting->parent.organization,
					   "parent", &missing) == 0)
		return 0;
	if (missing.code == ERR_NOT_FOUND)
		return owning_refuse(owning, "parent", "not-found", "there is no such parent", err);
	if (err)
		*err = missing;
	return -1;
}

/* Where a tree of its own belongs when nobody says so. */
static const char *natural_organization(const struct putting *putting)
{
	const struct authority *authority = &putting->owning->authority;

	if (putting->before.row)
		return putting->before.organization;
	if (putting->owner.id)
		return putting->owner.organization;
	return authority->organization ? authority->organization : "default";
}

/* An account stays where its people are. */
static int check_people(struct owning *owning, const struct resource *account, struct err *err)
{
	int64_t people;

	if (store_account_people_count(owning->changer->store, account->row, &people, err) < 0)
		return -1;
	if (people == 0)
		return 0;
	return owning_refuse(owning, "organization", "other-organization",
			     "users of its organization belong to it", err);
}

static int find_organization(struct putting *putting, struct err *err)
{
	const char *wanted = putting->wish->organization;
	struct owning *owning = putting->owning;
	const struct resource *before = &putting->before;
	const char *organization;

	if (putting->parent.row)
		organization = putting->parent.organization;
	else
		organization = owning_is_given(wanted) ? wanted : natural_organization(putting);
	if (owning_is_given(wanted) && strcmp(wanted, organization) != 0)
		return owning_refuse(owning, "organization", "other-organization",
				     "a resource is of its parent's organization", err);
	if (authority_require_organization(&owning->authority, organization, "organization", err) <
		    0 ||
	    change_check_organization(&owning->setup->setup, organization, err) < 0) {
		owning->refused = "organization";
		return -1;
	}
	if (before->row && strcmp(before->organization, organization) != 0) {
		int children =
			store_resource_has_children(owning->changer->store, before->row, err);

		if (children < 0)
			return -1;
		if (children == 0 && !putting->parent.row && check_people(owning, before, err) < 0)
			return -1;
		if (children > 0 || putting->parent.row)
			return owning_refuse(
				owning, putting->parent.row ? "parent" : "organization",
				"other-organization", "a tree stays in its organization", err);
	}
	putting->after.organization = organization;
	return 0;
}

static int find_owner(struct putting *putting, struct err *err)
{
	const char *name = putting->wish->owner;
	const char *organization =
		putting->parent.row ? putting->parent.organization
		: putting->before.row && !owning_is_given(putting->wish->organization)
			? putting->before.organization
		: owning_is_given(putting->wish->organization) ? putting->wish->organization
							       : NULL;

	if (!owning_is_given(name))
		return 0;
	return owning_find_user(putting->owning, "owner", name, organization, putting->before.owner,
				&putting->owner, err);
}

/* Levels from the root to what stands below `above`. *ret_itself: row is among those above. */
static int find_depth(struct putting *putting, struct resource above, int64_t row,
		      int64_t *ret_depth, bool *ret_itself, struct err *err)
{
	struct owning *owning = putting->owning;
	int64_t depth = 1;

	*ret_itself = false;
	while (above.row) {
		*ret_itself |= above.row == row;
		depth++;
		if (depth > RESOURCE_DEPTH_MAX + 1)
			return err_refuse(err, ERR_IO, "store-damaged", "a tree has no end");
		if (!above.parent_row)
			break;
		if (store_resource_get(owning->changer->store, above.parent_row, owning->arena,
				       &above, err) < 0)
			return -1;
	}
	*ret_depth = depth;
	return 0;
}

/*
 * How many levels are below it. Of a large tree that is not counted where all wait for it: whoever asked is sent
 * back once, to count it outside.
 */
static int find_height(struct owning *owning, int64_t row, int64_t *ret_height, struct err *err)
{
	struct changer *changer = owning->changer;
	int64_t limit = owning->measures_all ? -1 : ownership_small_tree, count;

	if (owning->measured.row == row &&
	    owning->measured.tree_changes ==
		    __atomic_load_n(&changer->tree_changes, __ATOMIC_ACQUIRE)) {
		*ret_height = owning->measured.height;
		return 0;
	}
	if (store_resource_height(changer->store, row, RESOURCE_DEPTH_MAX, limit, ret_height,
				  &count, err) < 0)
		return -1;
	ownership_looked_at += (uint64_t)count;
	if (count != limit)
		return 0;
	owning->unmeasured = row;
	return err_set(err, ERR_UNAVAILABLE, "the tree has to be measured first");
}

/* Nothing stands below itself, and no chain is longer than everybody relies on. */
static int check_place(struct putting *putting, struct err *err)
{
	struct resource above = { .row = 0 };
	int64_t depth, depth_before = 0, height = 0;
	bool itself;

	if (find_depth(putting, putting->parent, putting->before.row, &depth, &itself, err) < 0)
		return -1;
	if (itself && putting->before.row)
		return owning_refuse(putting->owning, "parent", "resource-cycle",
				     "it would stand below itself", err);
	if (putting->before.parent_row &&
	    store_resource_get(putting->owning->changer->store, putting->before.parent_row,
			       putting->owning->arena, &above, err) < 0)
		return -1;
	if (putting->before.row && find_depth(putting, above, 0, &depth_before, &itself, err) < 0)
		return -1;
	/* What stands no deeper than before has room below it. */
	if (depth > depth_before && putting->before.row &&
	    find_height(putting->owning, putting->before.row, &height, err) < 0)
		return -1;
	if (depth + height <= RESOURCE_DEPTH_MAX || (putting->before.row && depth <= depth_before))
		return 0;
	return owning_refuse(putting->owning, "parent", "resource-depth",
			     "a tree has at most 32 levels", err);
}

static int check_names(struct putting *putting, const char *application, struct err *err)
{
	const struct resource_wish *wish = putting->wish;

	if (owning_check_application(putting->owning, application, err) < 0 ||
	    owning_check_key(putting->owning, application, "type", wish->type, wish->id, err) < 0 ||
	    (owning_is_given(wish->title) &&
	     owning_check_text(putting->owning, "title", wish->title, err) < 0))
		return -1;
	return 0;
}

static bool is_same(const struct resource *a, const struct resource *b)
{
	return a->row && a->parent_row == b->parent_row && a->owner == b->owner &&
	       strcmp(a->title, b->title) == 0 && strcmp(a->organization, b->organization) == 0;
}

static void fill_after(struct putting *putting)
{
	struct resource *after = &putting->after;

	after->row = putting->before.row;
	after->parent_row = putting->parent.row;
	after->parent_type = putting->parent.row ? putting->parent.key.type : "";
	after->parent_id = putting->parent.row ? putting->parent.key.id : "";
	after->owner = putting->owner.id;
	after->owner_uuid = putting->owner.uuid;
	after->owner_name = putting->owner.id ? putting->owner.username : "";
	after->title = putting->wish->title ? putting->wish->title : "";
}

int resource_put_one(struct owning *owning, const char *application,
		     const struct resource_wish *wish, int64_t version,
		     enum ownership_outcome *ret_outcome, struct err *err)
{
	struct putting putting = { .owning = owning, .wish = wish };

	owning->refused = NULL;
	if (check_names(&putting, application, err) < 0 ||
	    find_before(&putting, application, err) < 0 ||
	    owning_check_version(version, putting.before.version, err) < 0 ||
	    find_parent(&putting, err) < 0 || find_owner(&putting, err) < 0 ||
	    find_organization(&putting, err) < 0)
		return -1;
	fill_after(&putting);
	if (is_same(&putting.before, &putting.after)) {
		*ret_outcome = OWNERSHIP_UNCHANGED;
		return 0;
	}
	if (putting.parent.row && putting.parent.row != putting.before.parent_row &&
	    check_place(&putting, err) < 0)
		return -1;
	if (resource_write(owning, &putting.after, putting.before.row ? &putting.before : NULL,
			   err) < 0)
		return -1;
	*ret_outcome = putting.before.row ? OWNERSHIP_UPDATED : OWNERSHIP_CREATED;
	return 0;
}
