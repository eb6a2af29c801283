/*
 * The branches that groups and people live in, for the feed of RFC 4533 (sync.c). Who lives in a branch that
 * gets another name, or comes or goes as a whole, has another name as well, and no entry but the branch's
 * says so: then everything is read anew. Enters: entries of branches. Fails: by RESTART, out of memory.
 */
#include "sync_state.h"

#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/identity/dn.h>
#include <rolebridge/source/ldap.h>

#include "entry.h"

#define BRANCH_CLASSES \
	"(|(objectClass=organizationalUnit)(objectClass=organization)(objectClass=container)" \
	"(objectClass=nsContainer)(objectClass=domain)(objectClass=dcObject)" \
	"(objectClass=locality)(objectClass=country))"

/* Its name, and whether anything is known to live in it. */
static int look_at_branch(struct follow *follow, LDAPMessage *message, struct hash128 *ret_name,
			  bool *ret_empty)
{
	struct attribute_values values;
	struct berval name, value;
	struct entry entry;
	struct err err = { 0 };
	int status = -1;

	*ret_empty = false;
	if (entry_open(follow->session->ld, message, &entry) == 0) {
		status = dn_fingerprint(NULL, entry.dn.bv_val, entry.dn.bv_len,
					&sync_of(follow)->scratch, ret_name, &err);
		while (entry_next(&entry, &name, &values) > 0)
			*ret_empty |= attribute_next_value(&values, &value) &&
				      (entry_name_is(&value, "FALSE", 5) ||
				       entry_name_is(&value, "0", 1));
	}
	entry_close(&entry);
	if (status < 0 && err.code == ERR_MEMORY)
		outcome_note(follow->session->outcome, "out-of-memory", "no memory for branches");
	else if (status < 0)
		outcome_note(follow->session->outcome, "protocol-error",
			     "the name of a branch does not parse");
	return status;
}

static int keep_branch(struct follow *follow, uint32_t *slot, struct hash128 name)
{
	struct sync *sync = sync_of(follow);

	if (sync->branch_count == sync->branch_capacity) {
		size_t capacity = 2 * sync->branch_capacity + 16;
		void *larger = alloc_resize(sync->branches, capacity * sizeof(*sync->branches));
		if (!larger) {
			outcome_note(follow->session->outcome, "out-of-memory",
				     "no memory for branches");
			return -1;
		}
		sync->branches = larger;
		sync->branch_capacity = capacity;
	}
	sync->branches[sync->branch_count++] = (struct branch){ .name = name };
	*slot = (uint32_t)sync->branch_count;
	return 0;
}

int sync_take_branch(struct follow *follow, struct hash128 id, LDAPMessage *message)
{
	struct sync *sync = sync_of(follow);
	struct hash128 name;
	uint32_t *slot;
	bool empty;
	int status = look_at_branch(follow, message, &name, &empty);

	ldap_msgfree(message);
	if (status < 0)
		return -1;
	if (hash_table_put(sync->branch_ids, id, &slot) < 0) {
		outcome_note(follow->session->outcome, "out-of-memory", "no memory for branches");
		return -1;
	}
	if (*slot && hash128_equal(sync->branches[*slot - 1].name, name))
		return 0;
	if (sync->begun && (*slot || !empty))
		return follow_restart(follow, "branch-moved",
				      "a branch of the directory was renamed or moved");
	return keep_branch(follow, slot, name);
}

int sync_branch_is_gone(struct follow *follow)
{
	return follow_restart(follow, "branch-moved", "a branch of the directory is gone");
}

bool sync_branch_is_missing(const struct sync *sync)
{
	for (size_t i = 0; i < sync->branch_count; i++) {
		if (!sync->branches[i].marked)
			return true;
	}
	return false;
}

/* Where not all below the base is searched, only the base itself is a branch. */
static void add_branches(struct sync *sync, const struct job_search *of)
{
	static char subordinates[] = "hasSubordinates", number[] = "numSubordinates";
	static char *attributes[] = { subordinates, number, NULL };
	bool all = of->scope == LDAP_SOURCE_SUBTREE;
	struct job_search what = { .base = of->base,
				   .filter = all ? BRANCH_CLASSES : "(objectClass=*)",
				   .scope = all ? LDAP_SOURCE_SUBTREE : LDAP_SOURCE_BASE_ONLY };

	sync_add_search(sync, OF_BRANCHES, &what, "branches", attributes);
}

/* 389 Directory Server serves ten such searches in all, and tells of everybody in a renamed branch. */
void sync_add_branches(const struct follow *follow, struct sync *sync)
{
	const struct job_search *users = &follow->job->users, *groups = &follow->job->groups;

	if (follow->root.vendor == VENDOR_389DS)
		return;
	add_branches(sync, users);
	if (follow->reader &&
	    (strcmp(users->base, groups->base) != 0 || users->scope != groups->scope))
		add_branches(sync, groups);
}
