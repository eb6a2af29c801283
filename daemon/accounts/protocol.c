/*
 * The messages of the accounts helper, both ways. Enters: frames of base/message. Leaves: records in an
 * arena, or frames. Fails with ERR_PROTOCOL on a wrong type, a bound passed, bytes missing or left over.
 */
#include <rolebridge/accounts/protocol.h>

#include <string.h>

#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

const struct accounts_code accounts_codes[] = {
	{ "account-deleted", ACCOUNTS_REFUSED,
	  "the user's account was deleted and does not come back" },
	{ "account-foreign", ACCOUNTS_REFUSED,
	  "the account's name now belongs to another uid: somebody replaced it" },
	{ "busy", ACCOUNTS_AGAIN, "another program holds the account databases" },
	{ "command-failed", ACCOUNTS_AGAIN, "a command of shadow-utils failed" },
	{ "disk-full", ACCOUNTS_AGAIN,
	  "no space for the databases, the home or the helper's state" },
	{ "gecos-invalid", ACCOUNTS_REFUSED, "the full name cannot stand in the account database" },
	{ "group-invalid", ACCOUNTS_REFUSED, "a group's name has characters that Linux refuses" },
	{ "group-missing", ACCOUNTS_REFUSED, "a group does not exist and create_groups is off" },
	{ "group-not-allowed", ACCOUNTS_REFUSED, "a group is not in allowed_groups" },
	{ "group-taken", ACCOUNTS_REFUSED,
	  "the account's own group would have the name or number of "
	  "a group that exists" },
	{ "home-changed", ACCOUNTS_REFUSED, "the home of an account does not change" },
	{ "home-not-allowed", ACCOUNTS_REFUSED, "the home is not directly below home_base" },
	{ "home-taken", ACCOUNTS_REFUSED, "the home exists already or is another account's" },
	{ "internal", ACCOUNTS_AGAIN, "the helper ran out of memory or could not read a database" },
	{ "malformed", ACCOUNTS_REFUSED, "the message is not one of this protocol" },
	{ "name-changed", ACCOUNTS_REFUSED, "the account exists under another name" },
	{ "name-invalid", ACCOUNTS_REFUSED, "the name has characters that Linux refuses" },
	{ "name-protected", ACCOUNTS_REFUSED, "the name is reserved for the system" },
	{ "name-taken", ACCOUNTS_REFUSED,
	  "an account of that name exists and is not the helper's" },
	{ "name-used", ACCOUNTS_REFUSED,
	  "the name belongs, or belonged, to another user's account" },
	{ "shell-missing", ACCOUNTS_REFUSED, "the shell does not exist or cannot be executed" },
	{ "shell-not-allowed", ACCOUNTS_REFUSED, "the shell is not in allowed_shells" },
	{ "uid-changed", ACCOUNTS_REFUSED, "the account exists with another uid" },
	{ "uid-outside-range", ACCOUNTS_REFUSED, "the uid is not within uid_min and uid_max" },
	{ "uid-range-exhausted", ACCOUNTS_REFUSED,
	  "no free uid is left between uid_min and uid_max" },
	{ "uid-taken", ACCOUNTS_REFUSED, "the uid is another account's, or was" },
	{ "unknown-account", ACCOUNTS_REFUSED, "the helper has no account of this user" },
	{ NULL, ACCOUNTS_DONE, NULL },
};

const struct accounts_code *accounts_code_find(const char *code)
{
	for (const struct accounts_code *row = accounts_codes; row->code; row++)
		if (strcmp(row->code, code) == 0)
			return row;
	return NULL;
}

static const char *const state_names[] = {
	[ACCOUNTS_ENABLED] = "enabled", [ACCOUNTS_DISABLED] = "disabled",
	[ACCOUNTS_LOCKED] = "locked",	[ACCOUNTS_DELETING] = "deleting",
	[ACCOUNTS_MISSING] = "missing", [ACCOUNTS_FOREIGN] = "foreign",
};

const char *accounts_state_name(enum accounts_state state)
{
	return (size_t)state < ARRAY_LEN(state_names) ? state_names[state] : "unknown";
}

/* --- names and texts --- */

bool accounts_name_is_valid(const char *name)
{
	size_t size = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_.-");

	/* A dot or hyphen at the end is easily lost by who reads or quotes it. */
	return *name >= 'a' && *name <= 'z' && !name[size] && size <= ACCOUNTS_NAME_MAX &&
	       name[size - 1] != '.' && name[size - 1] != '-' && !strstr(name, "..");
}

bool accounts_text_is_valid(const char *text, size_t max)
{
	size_t size = strlen(text), length;
	uint32_t c;

	if (size > max)
		return false;
	for (const char *at = text; *at; at += length) {
		length = text_next_char(at, size - (size_t)(at - text), &c);
		/*
		 * C1 controls and the Unicode line ends break lines elsewhere; "pri=-20" and "ulimit=" are
		 * orders to pam_umask and login.
		 */
		if (!length || c < 0x20 || (c >= 0x7f && c < 0xa0) || c == ':' || c == '=' ||
		    c == 0x2028 || c == 0x2029)
			return false;
	}
	return true;
}

bool accounts_path_is_valid(const char *path)
{
	size_t size = strspn(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "0123456789_.-/+");

	if (*path != '/' || path[size] || size > ACCOUNTS_PATH_MAX || size < 2)
		return false;
	while (*path) {
		size_t part = strcspn(++path, "/");

		if (part == 0 || (part == 1 && path[0] == '.') ||
		    (part == 2 && path[0] == '.' && path[1] == '.'))
			return false;
		path += part;
	}
	return true;
}

/* --- parts of messages --- */

static void put_uuid(struct strbuf *out, const struct uuid *uuid)
{
	strbuf_append(out, uuid->byte, sizeof(uuid->byte));
}

static struct uuid get_uuid(struct reader *in)
{
	struct uuid uuid = { 0 };

	reader_copy(in, uuid.byte, sizeof(uuid.byte));
	return uuid;
}

/* A flag is 0 or 1, nothing else. */
static bool get_flag(struct reader *in)
{
	uint8_t value = get_u8(in);

	if (value > 1)
		reader_fail(in);
	return value == 1;
}

/* The length is asked before anything is copied. */
static const char *get_bounded(struct reader *in, size_t max, struct arena *arena)
{
	struct reader ahead = *in;
	size_t size;

	if (!get_bytes(&ahead, &size) || size > max)
		reader_fail(in);
	return get_utf8(in, arena);
}

static void put_texts(struct strbuf *out, const char *const *texts, size_t count)
{
	put_varint(out, count);
	for (size_t i = 0; i < count; i++)
		put_text(out, texts[i]);
}

static const char *const *get_names(struct reader *in, size_t *ret_count, struct arena *arena)
{
	size_t count = (size_t)get_count(in, ACCOUNTS_GROUPS_MAX);
	const char **names = arena_alloc_array(arena, count + 1, sizeof(*names));

	*ret_count = names ? count : 0;
	for (size_t i = 0; names && i < count; i++)
		names[i] = get_bounded(in, ACCOUNTS_NAME_MAX, arena);
	return names;
}

static int check_type(const struct message *message, enum accounts_message type, struct err *err)
{
	if (message->type != type)
		return err_set(err, ERR_PROTOCOL, "message of type %u where %u was expected",
			       message->type, (unsigned)type);
	return 0;
}

static int check_end(const struct reader *in, const struct arena *arena, const char *what,
		     struct err *err)
{
	if (arena && arena_failed(arena))
		return err_set(err, ERR_MEMORY, "no room for %s", what);
	if (!reader_done(in))
		return err_set(err, ERR_PROTOCOL, "%s is malformed", what);
	return 0;
}

/* --- requests --- */

void accounts_put_hello(struct strbuf *out, uint32_t version)
{
	size_t begin = message_begin(out, ACCOUNTS_HELLO);

	put_u32(out, version);
	message_end(out, begin);
}

int accounts_get_hello(const struct message *message, uint32_t *ret_version, struct err *err)
{
	struct reader in = message->body;
	uint32_t version = get_u32(&in);

	if (check_type(message, ACCOUNTS_HELLO, err) < 0 ||
	    check_end(&in, NULL, "a greeting", err) < 0)
		return -1;
	*ret_version = version;
	return 0;
}

void accounts_put_ensure(struct strbuf *out, const struct accounts_ensure *ensure)
{
	size_t begin = message_begin(out, ACCOUNTS_ENSURE);

	put_uuid(out, &ensure->user);
	put_text(out, ensure->name);
	put_u32(out, ensure->uid);
	put_text(out, ensure->gecos);
	put_text(out, ensure->shell);
	put_text(out, ensure->home);
	put_text(out, ensure->primary);
	put_texts(out, ensure->groups, ensure->group_count);
	put_u8(out, ensure->enabled);
	message_end(out, begin);
}

int accounts_get_ensure(const struct message *message, struct arena *arena,
			struct accounts_ensure *ret_ensure, struct err *err)
{
	struct reader in = message->body;
	struct accounts_ensure ensure = { .user = get_uuid(&in) };

	ensure.name = get_bounded(&in, ACCOUNTS_NAME_MAX, arena);
	ensure.uid = get_u32(&in);
	ensure.gecos = get_bounded(&in, ACCOUNTS_GECOS_MAX, arena);
	ensure.shell = get_bounded(&in, ACCOUNTS_PATH_MAX, arena);
	ensure.home = get_bounded(&in, ACCOUNTS_PATH_MAX, arena);
	ensure.primary = get_bounded(&in, ACCOUNTS_NAME_MAX, arena);
	ensure.groups = get_names(&in, &ensure.group_count, arena);
	ensure.enabled = get_flag(&in);
	if (check_type(message, ACCOUNTS_ENSURE, err) < 0 ||
	    check_end(&in, arena, "an account", err) < 0)
		return -1;
	*ret_ensure = ensure;
	return 0;
}

void accounts_put_user(struct strbuf *out, enum accounts_message type, const struct uuid *user)
{
	size_t begin = message_begin(out, (uint16_t)type);

	put_uuid(out, user);
	message_end(out, begin);
}

int accounts_get_user(const struct message *message, struct uuid *ret_user, struct err *err)
{
	struct reader in = message->body;
	struct uuid user = get_uuid(&in);

	if (message->type != ACCOUNTS_DISABLE && message->type != ACCOUNTS_ENABLE)
		if (check_type(message, ACCOUNTS_DELETE, err) < 0)
			return -1;
	if (check_end(&in, NULL, "a request for one user", err) < 0)
		return -1;
	*ret_user = user;
	return 0;
}

void accounts_put_list(struct strbuf *out, const struct accounts_list *list)
{
	size_t begin = message_begin(out, ACCOUNTS_LIST);

	put_uuid(out, &list->after);
	put_u32(out, list->max);
	message_end(out, begin);
}

int accounts_get_list(const struct message *message, struct accounts_list *ret_list,
		      struct err *err)
{
	struct reader in = message->body;
	struct accounts_list list = { .after = get_uuid(&in) };

	list.max = get_u32(&in);
	if (list.max < 1 || list.max > ACCOUNTS_PAGE_MAX)
		reader_fail(&in);
	if (check_type(message, ACCOUNTS_LIST, err) < 0 || check_end(&in, NULL, "a list", err) < 0)
		return -1;
	*ret_list = list;
	return 0;
}

/* --- answers --- */

void accounts_put_welcome(struct strbuf *out, const struct accounts_welcome *welcome)
{
	size_t begin = message_begin(out, ACCOUNTS_WELCOME);

	put_u32(out, welcome->version);
	put_u32(out, welcome->uid_min);
	put_u32(out, welcome->uid_max);
	put_u32(out, welcome->owned);
	message_end(out, begin);
}

int accounts_get_welcome(const struct message *message, struct accounts_welcome *ret_welcome,
			 struct err *err)
{
	struct reader in = message->body;
	struct accounts_welcome welcome = { .version = get_u32(&in) };

	welcome.uid_min = get_u32(&in);
	welcome.uid_max = get_u32(&in);
	welcome.owned = get_u32(&in);
	if (check_type(message, ACCOUNTS_WELCOME, err) < 0 ||
	    check_end(&in, NULL, "a welcome", err) < 0)
		return -1;
	*ret_welcome = welcome;
	return 0;
}

#define CODE_MAX 64

void accounts_put_result(struct strbuf *out, const struct accounts_result *result)
{
	size_t begin = message_begin(out, ACCOUNTS_RESULT);

	put_u8(out, (uint8_t)result->status);
	put_u8(out, result->changed);
	put_u32(out, result->uid);
	put_text(out, result->code);
	put_text(out, result->detail);
	message_end(out, begin);
}

int accounts_get_result(const struct message *message, struct arena *arena,
			struct accounts_result *ret_result, struct err *err)
{
	struct reader in = message->body;
	struct accounts_result result = { .status = get_u8(&in) };

	if (result.status > ACCOUNTS_REFUSED)
		reader_fail(&in);
	result.changed = get_flag(&in);
	result.uid = get_u32(&in);
	result.code = get_bounded(&in, CODE_MAX, arena);
	result.detail = get_bounded(&in, ERR_TEXT_MAX, arena);
	/* Done has no code, everything else has one. */
	if ((result.status == ACCOUNTS_DONE) != (*result.code == 0))
		reader_fail(&in);
	if (check_type(message, ACCOUNTS_RESULT, err) < 0 ||
	    check_end(&in, arena, "a result", err) < 0)
		return -1;
	*ret_result = result;
	return 0;
}

static void put_entry(struct strbuf *out, const struct accounts_entry *entry)
{
	put_uuid(out, &entry->user);
	put_text(out, entry->name);
	put_u32(out, entry->uid);
	put_u8(out, (uint8_t)entry->state);
	put_text(out, entry->gecos);
	put_text(out, entry->shell);
	put_text(out, entry->home);
	put_text(out, entry->primary);
	put_texts(out, entry->groups, entry->group_count);
}

static struct accounts_entry get_entry(struct reader *in, struct arena *arena)
{
	struct accounts_entry entry = { .user = get_uuid(in) };

	entry.name = get_bounded(in, ACCOUNTS_NAME_MAX, arena);
	entry.uid = get_u32(in);
	entry.state = get_u8(in);
	if (entry.state > ACCOUNTS_FOREIGN)
		reader_fail(in);
	/* Root may have written anything there: no tighter bound than the message's. */
	entry.gecos = get_utf8(in, arena);
	entry.shell = get_utf8(in, arena);
	entry.home = get_utf8(in, arena);
	entry.primary = get_bounded(in, ACCOUNTS_NAME_MAX, arena);
	entry.groups = get_names(in, &entry.group_count, arena);
	return entry;
}

void accounts_put_page(struct strbuf *out, const struct accounts_page *page)
{
	size_t begin = message_begin(out, ACCOUNTS_PAGE);

	put_u8(out, page->more);
	put_varint(out, page->count);
	for (size_t i = 0; i < page->count; i++)
		put_entry(out, &page->entries[i]);
	message_end(out, begin);
}

int accounts_get_page(const struct message *message, struct arena *arena,
		      struct accounts_page *ret_page, struct err *err)
{
	struct reader in = message->body;
	bool more = get_flag(&in);
	size_t count = (size_t)get_count(&in, ACCOUNTS_PAGE_MAX);
	struct accounts_entry *entries = arena_alloc_array(arena, count + 1, sizeof(*entries));

	for (size_t i = 0; entries && i < count && !in.failed; i++)
		entries[i] = get_entry(&in, arena);
	if (check_type(message, ACCOUNTS_PAGE, err) < 0 || check_end(&in, arena, "a page", err) < 0)
		return -1;
	*ret_page = (struct accounts_page){ .entries = entries, .count = count, .more = more };
	return 0;
}
