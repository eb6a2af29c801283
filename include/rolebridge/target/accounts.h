/*
 * Linux accounts of this machine as a target (`type: accounts`): who of the users has one, and what it looks like. Made
 * and changed by the privileged helper (accounts/protocol.h), which believes none of it; the keys of these accounts
 * are answered here, to sshd (target/keys.h).
 *
 * An account belongs to a user for ever and keeps the name that it was made with.
 */
#ifndef ROLEBRIDGE_TARGET_ACCOUNTS_H
#define ROLEBRIDGE_TARGET_ACCOUNTS_H

#include <rolebridge/accounts/protocol.h>
#include <rolebridge/rules/settings.h>
#include <rolebridge/target/target.h>

/* Holders of any of these; "*" among the profiles: whoever has one. */
struct accounts_holders {
	struct located_list profiles, roles, groups; /* groups: local ones */
};

struct accounts_users {
	struct position at;
	struct accounts_holders holders;
	struct located_list organizations; /* and of one of these; none given: of any */
};

struct accounts_group {
	struct position at;
	struct located name; /* of the group on this machine */
	struct accounts_holders holders;
};

/* Attributes of people; a NULL name: none. */
struct accounts_attributes {
	struct position at;
	struct located name, uid, shell, ssh_keys;
};

struct accounts_keys {
	struct position at; /* file 0: sshd is answered nothing */
	struct located socket;
	struct located_list users; /* local users that may ask, beside root and our own */
};

enum accounts_deleted { ACCOUNTS_DELETED_DISABLE, ACCOUNTS_DELETED_REMOVE };

struct accounts_target {
	struct target_settings target; /* first */
	struct located socket;
	struct accounts_users users;
	struct struct_list groups; /* struct accounts_group */
	struct located primary_group;
	struct located shell;
	struct accounts_attributes attributes;
	struct accounts_keys keys;
	int deleted; /* enum accounts_deleted */
};

extern const struct option_table accounts_target_table;
extern const struct target_kind accounts_target_kind;

/*
 * What the table cannot say: names of the catalogue, attributes that are declared. needed (may be NULL): per id of the
 * schema, set where this target reads it. Findings go to list.
 */
void accounts_target_check(const struct accounts_target *target,
			   const struct catalogue_settings *catalogue, const struct schema *schema,
			   bool *needed, struct diagnostics *list);

/* --- mapping --- */

/* A user as the store has them. person is read when attributes are mapped, else all zero. */
struct accounts_subject {
	struct user user;
	const struct grant *grants;
	size_t grant_count;
	struct person person;
};
/* ERR_NOT_FOUND: no such user. */
int accounts_subject_load(const struct accounts_target *target, struct setup *setup,
			  struct store *store, int64_t user_id, int64_t now_s, struct arena *arena,
			  struct accounts_subject *ret_subject, struct err *err);

/* Has an account, which is open: active, of these users. */
bool accounts_is_wanted(const struct accounts_target *target,
			const struct accounts_subject *subject, int64_t now_s);
/*
 * The account as it shall be. kept_name: the name that it has already; NULL: the one it gets. Groups ascending, each
 * once. 0, or -1 ERR_INVALID with reason: "name-invalid", "uid-invalid", "shell-invalid": it cannot be like that on any
 * machine.
 */
int accounts_map(const struct accounts_target *target, const struct accounts_subject *subject,
		 int64_t now_s, const char *kept_name, struct arena *arena,
		 struct accounts_ensure *ret_account, struct err *err);
/*
 * The keys of a person, each "type base64" and once; KEYS_MAX at most. *ret_refused: values that are no keys that may be
 * used. -1: memory.
 */
int accounts_keys_of(const struct accounts_target *target, const struct accounts_subject *subject,
		     struct arena *arena, const char *const **ret_keys, size_t *ret_count,
		     size_t *ret_refused, struct err *err);

#endif
