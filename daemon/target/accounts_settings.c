/* The options of a target of type accounts. Enters: settings. Leaves: findings. */
#include <rolebridge/target/accounts.h>

#include <stdio.h>
#include <string.h>

#include <rolebridge/base/util.h>
#include <rolebridge/keys/protocol.h>

#include "internal.h"

/* Holders stand in several tables under the same three keys. */
#define HOLDER_OPTIONS(holder, what) \
	{ .name = "profiles", \
	  .type = OPTION_STRINGS, \
	  .offset = OPTION_FIELD(struct holder, holders.profiles), \
	  .help = "Whoever has one of these profiles " what ". '*': whoever has any." }, \
		{ .name = "roles", \
		  .type = OPTION_STRINGS, \
		  .offset = OPTION_FIELD(struct holder, holders.roles), \
		  .help = "Whoever has one of these roles " what "." }, \
	{ \
		.name = "local_groups", .type = OPTION_STRINGS, \
		.offset = OPTION_FIELD(struct holder, holders.groups), \
		.help = "Whoever has one of these local groups " what "." \
	}

static const struct option users_options[] = {
	HOLDER_OPTIONS(accounts_users, "has an account"),
	{ .name = "organizations",
	  .type = OPTION_STRINGS,
	  .offset = OPTION_FIELD(struct accounts_users, organizations),
	  .help = "People of these organizations alone. Not given: of all." },
	{ .name = NULL },
};

static bool is_nobody(const struct accounts_holders *holders)
{
	return holders->profiles.count == 0 && holders->roles.count == 0 &&
	       holders->groups.count == 0;
}

static const struct option_table users_table = {
	.name = "targets[].users",
	.help = "Who has an account: active users who hold any of what is listed here.",
	.struct_size = sizeof(struct accounts_users),
	.options = users_options,
};

static const struct option group_options[] = {
	{ .name = "name",
	  .type = OPTION_STRING,
	  .flags = OPTION_REQUIRED | OPTION_NOT_EMPTY,
	  .max = ACCOUNTS_NAME_MAX,
	  .offset = OPTION_FIELD(struct accounts_group, name),
	  .help = "The group of this machine. It must exist, and the helper must allow it." },
	HOLDER_OPTIONS(accounts_group, "is a member"),
	{ .name = NULL },
};

static void check_group(void *item, struct diagnostics *list)
{
	const struct accounts_group *group = item;

	if (group->name.text && !accounts_name_is_valid(group->name.text))
		diagnostics_add(list, SEVERITY_ERROR, "invalid-value", group->name.at, NULL,
				"'%s' cannot be the name of a group", group->name.text);
	if (is_nobody(&group->holders))
		diagnostics_add(list, SEVERITY_ERROR, "missing-key", group->at,
				"Say who is a member: profiles, roles or local_groups.",
				"group '%s' is for nobody",
				group->name.text ? group->name.text : "");
}

static const struct option_table group_table = {
	.name = "targets[].groups[]",
	.help = "A supplementary group. Who holds nothing of what it lists is taken out of it.",
	.struct_size = sizeof(struct accounts_group),
	.options = group_options,
	.check = check_group,
};

static const struct option attributes_options[] = {
	{ .name = "name",
	  .type = OPTION_STRING,
	  .flags = OPTION_NOT_EMPTY,
	  .offset = OPTION_FIELD(struct accounts_attributes, name),
	  .help = "Names the account. Not given: the user's username. Who has no value gets no "
		  "account. An account keeps the name it was made with." },
	{ .name = "uid",
	  .type = OPTION_STRING,
	  .flags = OPTION_NOT_EMPTY,
	  .offset = OPTION_FIELD(struct accounts_attributes, uid),
	  .help = "The account's uid, which must be in the helper's range. Without a value the helper "
		  "chooses." },
	{ .name = "shell",
	  .type = OPTION_STRING,
	  .flags = OPTION_NOT_EMPTY,
	  .offset = OPTION_FIELD(struct accounts_attributes, shell),
	  .help = "The login shell. Without a value: shell." },
	{ .name = "ssh_keys",
	  .type = OPTION_STRING,
	  .flags = OPTION_NOT_EMPTY,
	  .offset = OPTION_FIELD(struct accounts_attributes, ssh_keys),
	  .help = "SSH public keys, one a value, as in authorized_keys but without options." },
	{ .name = NULL },
};

static const struct option_table attributes_table = {
	.name = "targets[].attributes",
	.help = "Attributes of people that an account is made of. Sources must declare them.",
	.struct_size = sizeof(struct accounts_attributes),
	.options = attributes_options,
};

static const struct option keys_options[] = {
	{ .name = "socket",
	  .type = OPTION_PATH,
	  .max = 107, /* sun_path of unix(7) */
	  .offset = OPTION_FIELD(struct accounts_keys, socket),
	  .default_text = KEYS_SOCKET_DEFAULT,
	  .help = "The unix socket that rolebridge-authorized-keys asks at." },
	{ .name = "users",
	  .type = OPTION_STRINGS,
	  .offset = OPTION_FIELD(struct accounts_keys, users),
	  .default_text = "[rolebridge-keys]",
	  .help = "Local users who may ask, beside root and the daemon's own: sshd's "
		  "AuthorizedKeysCommandUser." },
	{ .name = NULL },
};

static const struct option_table keys_table = {
	.name = "targets[].keys",
	.help = "Answers sshd's AuthorizedKeysCommand for the accounts of this target. Not given: nobody is "
		"answered.",
	.struct_size = sizeof(struct accounts_keys),
	.options = keys_options,
};

static const char *const deleted_choices[] = { "disable", "remove", NULL };

static const struct option accounts_options[] = {
	{ .name = "socket",
	  .type = OPTION_PATH,
	  .max = 107,
	  .offset = OPTION_FIELD(struct accounts_target, socket),
	  .default_text = ACCOUNTS_SOCKET,
	  .help = "The unix socket of the helper rolebridge-accounts." },
	{ .name = "users",
	  .type = OPTION_TABLE,
	  .flags = OPTION_REQUIRED,
	  .table = &users_table,
	  .offset = OPTION_FIELD(struct accounts_target, users),
	  .help = "Who has an account." },
	{ .name = "groups",
	  .type = OPTION_LIST,
	  .max = ACCOUNTS_GROUPS_MAX,
	  .table = &group_table,
	  .offset = OPTION_FIELD(struct accounts_target, groups),
	  .help = "Supplementary groups, and who is a member." },
	{ .name = "primary_group",
	  .type = OPTION_STRING,
	  .flags = OPTION_NOT_EMPTY,
	  .max = ACCOUNTS_NAME_MAX,
	  .offset = OPTION_FIELD(struct accounts_target, primary_group),
	  .help = "The primary group of all. Not given: each account has one of its own name." },
	{ .name = "shell",
	  .type = OPTION_STRING,
	  .flags = OPTION_NOT_EMPTY,
	  .max = ACCOUNTS_PATH_MAX,
	  .offset = OPTION_FIELD(struct accounts_target, shell),
	  .default_text = "/bin/bash",
	  .help = "The login shell. The helper must allow it." },
	{ .name = "attributes",
	  .type = OPTION_TABLE,
	  .table = &attributes_table,
	  .offset = OPTION_FIELD(struct accounts_target, attributes),
	  .help = "Attributes of people that an account is made of." },
	{ .name = "keys",
	  .type = OPTION_TABLE,
	  .table = &keys_table,
	  .offset = OPTION_FIELD(struct accounts_target, keys),
	  .help = "SSH keys for sshd." },
	{ .name = "deleted",
	  .type = OPTION_ENUM,
	  .choices = deleted_choices,
	  .offset = OPTION_FIELD(struct accounts_target, deleted),
	  .default_text = "disable",
	  .help = "What becomes of the account of a deleted user: it stays disabled, or is removed after "
		  "the helper's grace." },
	{ .name = NULL },
};

static void check_target(void *item, struct diagnostics *list)
{
	const struct accounts_target *target = item;

	if (target->users.at.file != 0 && is_nobody(&target->users.holders))
		diagnostics_add(
			list, SEVERITY_ERROR, "missing-key", target->users.at,
			"Say who has an account: profiles, roles or local_groups; profiles: "
			"['*'] for everybody.",
			"target '%s' is for nobody",
			target->target.name.text ? target->target.name.text : "");
	if (target->shell.text && !accounts_path_is_valid(target->shell.text))
		diagnostics_add(list, SEVERITY_ERROR, "invalid-value", target->shell.at, NULL,
				"'%s' cannot be the path of a shell", target->shell.text);
	if (target->primary_group.text && !accounts_name_is_valid(target->primary_group.text))
		diagnostics_add(list, SEVERITY_ERROR, "invalid-value", target->primary_group.at,
				NULL, "'%s' cannot be the name of a group",
				target->primary_group.text);
	if (target->keys.at.file != 0 && !target->attributes.ssh_keys.text)
		diagnostics_add(list, SEVERITY_ERROR, "missing-key", target->keys.at,
				"Add attributes: {ssh_keys: sshPublicKey}.",
				"no attribute says which keys people have");
}

const struct option_table accounts_target_table = {
	.name = "accounts",
	.help = "Linux accounts of this machine, by the helper rolebridge-accounts.",
	.struct_size = sizeof(struct accounts_target),
	.options = accounts_options,
	.base = &target_base_table,
	.check = check_target,
};

/* --- against the catalogue and the schema --- */

/* '*': any. */
static void check_profiles(const struct catalogue_settings *catalogue,
			   const struct located_list *names, struct diagnostics *list)
{
	for (size_t i = 0; i < names->count; i++) {
		const struct located_list one = { 1, &names->items[i] };

		if (strcmp(names->items[i].text, "*") != 0)
			target_check_names(catalogue, GRANT_PROFILE, &one, list);
	}
}

static void check_holders(const struct catalogue_settings *catalogue,
			  const struct accounts_holders *holders, struct diagnostics *list)
{
	check_profiles(catalogue, &holders->profiles, list);
	target_check_names(catalogue, GRANT_ROLE, &holders->roles, list);
}

/* What a plan shows of an account everybody sees who may see plans. */
static void check_attribute(const struct located *name, bool shown, const struct schema *schema,
			    bool *needed, struct diagnostics *list)
{
	char hint[256] = "Attributes are declared in sources[].attributes.";
	const char *nearest;
	int id;

	if (!name->text)
		return;
	id = schema_find(schema, name->text, strlen(name->text));
	if (id < 0) {
		nearest = schema_nearest(schema, name->text);
		if (nearest)
			snprintf(hint, sizeof(hint),
				 "Did you mean '%s'? Attributes are declared in "
				 "sources[].attributes.",
				 nearest);
		diagnostics_add(list, SEVERITY_ERROR, "unknown-attribute", name->at, hint,
				"unknown attribute '%s'", name->text);
		return;
	}
	if (shown && schema_get(schema, (uint16_t)id)->sensitive)
		diagnostics_add(list, SEVERITY_ERROR, "sensitive-attribute", name->at, NULL,
				"'%s' is sensitive: it cannot be part of an account", name->text);
	if (needed)
		needed[id] = true;
}

void accounts_target_check(const struct accounts_target *target,
			   const struct catalogue_settings *catalogue, const struct schema *schema,
			   bool *needed, struct diagnostics *list)
{
	const struct accounts_group *groups = target->groups.items;

	check_holders(catalogue, &target->users.holders, list);
	for (size_t i = 0; i < target->groups.count; i++)
		check_holders(catalogue, &groups[i].holders, list);
	check_attribute(&target->attributes.name, true, schema, needed, list);
	check_attribute(&target->attributes.uid, true, schema, needed, list);
	check_attribute(&target->attributes.shell, true, schema, needed, list);
	check_attribute(&target->attributes.ssh_keys, false, schema, needed, list);
}
