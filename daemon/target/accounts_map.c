/*
 * From a user to an account. Enters: a user with their grants and attributes, the target's options. Leaves: the account
 * as the helper shall make it. Fails: what no machine takes, with a stable reason. Nothing here asks the
 * machine; what it allows the helper knows.
 */
#include <rolebridge/target/accounts.h>

#include <string.h>

#include <rolebridge/base/ssh_key.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>
#include <rolebridge/keys/protocol.h>

static int no_memory(struct err *err)
{
	return err_set(err, ERR_MEMORY, "out of memory");
}

static bool reads_attributes(const struct accounts_attributes *attributes)
{
	return attributes->name.text || attributes->uid.text || attributes->shell.text ||
	       attributes->ssh_keys.text;
}

int accounts_subject_load(const struct accounts_target *target, struct setup *setup,
			  struct store *store, int64_t user_id, int64_t now_s, struct arena *arena,
			  struct accounts_subject *ret_subject, struct err *err)
{
	struct accounts_subject subject = { 0 };
	struct grant *grants;

	if (store_user_get(store, user_id, arena, &subject.user, err) < 0 ||
	    store_grants_of(store, user_id, arena, &grants, &subject.grant_count, err) < 0)
		return -1;
	subject.grants = grants;
	if (reads_attributes(&target->attributes) && user_is_active(&subject.user) &&
	    change_person_load(setup, store, user_id, now_s, arena, &subject.person, err) < 0)
		return -1;
	*ret_subject = subject;
	return 0;
}

/* --- who --- */

static bool is_listed(const struct located_list *names, const char *name)
{
	for (size_t i = 0; i < names->count; i++)
		if (strcmp(names->items[i].text, name) == 0)
			return true;
	return false;
}

/* The profile is the one that counts; the others are whatever holds now. */
static bool holds(const struct accounts_holders *holders, const struct accounts_subject *subject,
		  int64_t now_s)
{
	const char *profile = subject->user.profile;

	if (profile[0] &&
	    (is_listed(&holders->profiles, "*") || is_listed(&holders->profiles, profile)))
		return true;
	for (size_t i = 0; i < subject->grant_count; i++) {
		const struct grant *grant = &subject->grants[i];

		if (grant->expires_s != 0 && grant->expires_s <= now_s)
			continue;
		if ((grant->kind == GRANT_ROLE && is_listed(&holders->roles, grant->name)) ||
		    (grant->kind == GRANT_GROUP && is_listed(&holders->groups, grant->name)))
			return true;
	}
	return false;
}

bool accounts_is_wanted(const struct accounts_target *target,
			const struct accounts_subject *subject, int64_t now_s)
{
	const struct located_list *organizations = &target->users.organizations;

	if (!user_is_active(&subject->user) || subject->user.disabled & SUSPENDED_SIGN_IN)
		return false;
	if (organizations->items && !is_listed(organizations, subject->user.organization))
		return false;
	return holds(&target->users.holders, subject, now_s);
}

/* --- what --- */

/* NULL: none. */
static const struct attribute *values_of(const struct accounts_subject *subject,
					 const struct located *name)
{
	const struct schema *schema = subject->person.schema;
	int id = name->text && schema ? schema_find(schema, name->text, strlen(name->text)) : -1;

	return id >= 0 ? person_attribute(&subject->person, (uint16_t)id, NULL) : NULL;
}

/* *ret_text NULL: no value. Of several none is the right one. */
static int only_value(const struct accounts_subject *subject, const struct located *name,
		      const char *reason, const char **ret_text, struct err *err)
{
	const struct attribute *values = values_of(subject, name);

	if (values && values->count > 1)
		return err_refuse(err, ERR_INVALID, reason, "attribute '%s' has %u values",
				  name->text, values->count);
	*ret_text = values ? values->values[0] : NULL;
	return 0;
}

static int map_name(const struct accounts_target *target, const struct accounts_subject *subject,
		    struct accounts_ensure *account, struct err *err)
{
	const struct located *attribute = &target->attributes.name;
	const char *name = subject->user.username;

	if (attribute->text && only_value(subject, attribute, "name-invalid", &name, err) < 0)
		return -1;
	if (!name)
		return err_refuse(err, ERR_INVALID, "name-invalid",
				  "attribute '%s', which names the account, has no value",
				  attribute->text);
	if (!accounts_name_is_valid(name))
		return err_refuse(err, ERR_INVALID, "name-invalid",
				  "'%s' cannot be the name of a Linux account", name);
	account->name = name;
	return 0;
}

static int map_uid(const struct accounts_target *target, const struct accounts_subject *subject,
		   struct accounts_ensure *account, struct err *err)
{
	const char *text = NULL;
	uint64_t uid = 0;

	if (only_value(subject, &target->attributes.uid, "uid-invalid", &text, err) < 0)
		return -1;
	if (!text)
		return 0;
	for (const char *at = text; *at; at++) {
		if (*at < '0' || *at > '9' || uid > UINT32_MAX)
			return err_refuse(err, ERR_INVALID, "uid-invalid", "'%s' is no uid", text);
		uid = uid * 10 + (uint64_t)(*at - '0');
	}
	/* 0 would let the helper choose, and the last one means none. */
	if (uid == 0 || uid >= UINT32_MAX)
		return err_refuse(err, ERR_INVALID, "uid-invalid", "'%s' is no uid of a person",
				  text);
	account->uid = (uint32_t)uid;
	return 0;
}

static int map_shell(const struct accounts_target *target, const struct accounts_subject *subject,
		     struct accounts_ensure *account, struct err *err)
{
	const char *shell = NULL;

	if (only_value(subject, &target->attributes.shell, "shell-invalid", &shell, err) < 0)
		return -1;
	account->shell = shell ? shell : target->shell.text;
	if (!accounts_path_is_valid(account->shell))
		return err_refuse(err, ERR_INVALID, "shell-invalid",
				  "'%s' cannot be the path of a shell", account->shell);
	return 0;
}

/* What a password file cannot hold is a space there: it names people, it does not tell them apart. */
static int map_gecos(const struct accounts_subject *subject, struct arena *arena,
		     struct accounts_ensure *account, struct err *err)
{
	const char *text = subject->user.display_name;
	size_t size = strlen(text), kept = 0;
	char *gecos = arena_alloc(arena, ACCOUNTS_GECOS_MAX + 1);

	if (!gecos)
		return no_memory(err);
	while (kept < size) {
		size_t next = text_next_char(text + kept, size - kept, NULL);

		if (next == 0 || kept + next > ACCOUNTS_GECOS_MAX)
			break;
		memcpy(gecos + kept, text + kept, next);
		if (strchr(":=\\", gecos[kept]) || (unsigned char)gecos[kept] < 0x20 ||
		    gecos[kept] == 0x7f)
			gecos[kept] = ' ';
		kept += next;
	}
	gecos[kept] = '\0';
	account->gecos = accounts_text_is_valid(gecos, ACCOUNTS_GECOS_MAX) ? gecos : "";
	return 0;
}

static size_t add_group(const char **groups, size_t count, const char *name)
{
	size_t at = 0;

	while (at < count && strcmp(groups[at], name) < 0)
		at++;
	if (at < count && strcmp(groups[at], name) == 0)
		return count;
	memmove(groups + at + 1, groups + at, (count - at) * sizeof(*groups));
	groups[at] = name;
	return count + 1;
}

static int map_groups(const struct accounts_target *target, const struct accounts_subject *subject,
		      int64_t now_s, struct arena *arena, struct accounts_ensure *account,
		      struct err *err)
{
	const struct accounts_group *items = target->groups.items;
	const char **groups = arena_alloc_array(arena, target->groups.count + 1, sizeof(*groups));
	size_t count = 0;

	if (!groups)
		return no_memory(err);
	for (size_t i = 0; i < target->groups.count; i++)
		if (holds(&items[i].holders, subject, now_s))
			count = add_group(groups, count, items[i].name.text);
	account->groups = groups;
	account->group_count = count;
	return 0;
}

int accounts_map(const struct accounts_target *target, const struct accounts_subject *subject,
		 int64_t now_s, const char *kept_name, struct arena *arena,
		 struct accounts_ensure *ret_account, struct err *err)
{
	struct accounts_ensure account = {
		.user = subject->user.uuid,
		.name = kept_name,
		.home = "",
		.primary = target->primary_group.text ? target->primary_group.text : "",
		.enabled = true,
	};

	if ((!kept_name && map_name(target, subject, &account, err) < 0) ||
	    map_uid(target, subject, &account, err) < 0 ||
	    map_shell(target, subject, &account, err) < 0 ||
	    map_gecos(subject, arena, &account, err) < 0 ||
	    map_groups(target, subject, now_s, arena, &account, err) < 0)
		return -1;
	*ret_account = account;
	return 0;
}

/* --- keys --- */

static bool is_there(const char *const *keys, size_t count, const char *key)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(keys[i], key) == 0)
			return true;
	return false;
}

static const char *key_text(const char *value, struct arena *arena)
{
	AUTO(strbuf) struct strbuf text = STRBUF(SSH_KEY_LINE_MAX + 64);
	struct err unheard = { 0 };
	struct ssh_key key;

	if (ssh_key_parse(value, strlen(value), &key, &unheard) < 0)
		return NULL;
	ssh_key_write(&key, &text);
	return strbuf_failed(&text) ? NULL : arena_strdup(arena, strbuf_text(&text));
}

int accounts_keys_of(const struct accounts_target *target, const struct accounts_subject *subject,
		     struct arena *arena, const char *const **ret_keys, size_t *ret_count,
		     size_t *ret_refused, struct err *err)
{
	const struct attribute *values = values_of(subject, &target->attributes.ssh_keys);
	const char **keys = arena_alloc_array(arena, KEYS_MAX, sizeof(*keys));
	size_t count = 0, refused = 0;

	if (!keys)
		return no_memory(err);
	for (size_t i = 0; values && i < values->count; i++) {
		const char *key = count < KEYS_MAX ? key_text(values->values[i], arena) : NULL;

		if (!key)
			refused++;
		else if (!is_there(keys, count, key))
			keys[count++] = key;
	}
	if (arena_failed(arena))
		return no_memory(err);
	*ret_keys = keys;
	*ret_count = count;
	*ret_refused = refused;
	return 0;
}
