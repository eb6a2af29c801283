/*
 * Reading accounts.conf. Enters: a small file of root's. Leaves: settings whose every value is in range.
 * Fails with the first error and its line; nothing is guessed.
 */
#include "settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rolebridge/accounts/protocol.h>
#include <rolebridge/base/file.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

#define FILE_MAX (256 * 1024)
#define WORDS_MAX 4096
#define RANGE_ARENA_MAX (8u << 20)
#define WHITE " \t\r"

/* systemd's homed and dynamic users, nobody, and the two numbers that mean "none". */
#define RESERVED_MIN 60001
#define RESERVED_MAX 65535
#define ID_MIN 1000
#define ID_MAX 2147483646

enum kind {
	KIND_TEXT,
	KIND_PATH,
	KIND_NUMBER,
	KIND_OCTAL,
	KIND_SECONDS,
	KIND_BOOL,
	KIND_WORDS,
	KIND_HOME
};

struct key {
	const char *name;
	enum kind kind;
	size_t offset;
	int64_t min, max;
	const char *fallback; /* as it would be written; NULL: must be given */
	const char *what;
};

#define FIELD(name) offsetof(struct settings, name)

static const struct key keys[] = {
	{ "core_user", KIND_TEXT, FIELD(core_user), 0, 0, "rolebridge",
	  "The only user, by name or number, whose process may speak to the helper." },
	{ "uid_min", KIND_NUMBER, FIELD(uid_min), ID_MIN, ID_MAX, "70000",
	  "Accounts get a uid from uid_min to uid_max, once and for ever. The range must be the\n"
	  "helper's alone: nothing else on this server gives numbers out of it." },
	{ "uid_max", KIND_NUMBER, FIELD(uid_max), ID_MIN, ID_MAX, "99999", NULL },
	{ "gid_min", KIND_NUMBER, FIELD(gid_min), ID_MIN, ID_MAX, "65600",
	  "Groups made for create_groups get a gid from gid_min to gid_max. An account's own group\n"
	  "has the number of the account." },
	{ "gid_max", KIND_NUMBER, FIELD(gid_max), ID_MIN, ID_MAX, "69999", NULL },
	{ "home_base", KIND_PATH, FIELD(home_base), 0, 0, "/home",
	  "Homes lie directly below this folder, which must belong to root." },
	{ "home_mode", KIND_OCTAL, FIELD(home_mode), 0700, 0777, "0700",
	  "Permissions of a new home." },
	{ "create_home", KIND_BOOL, FIELD(create_home), 0, 0, "yes",
	  "Make the home with the account. \"no\": something else does." },
	{ "skeleton", KIND_PATH, FIELD(skeleton), 0, 0, "/etc/skel",
	  "What a new home begins with." },
	{ "default_shell", KIND_PATH, FIELD(default_shell), 0, 0, "/bin/bash",
	  "The shell where the core names none." },
	{ "allowed_shells", KIND_WORDS, FIELD(allowed_shells), 0, 0,
	  "/bin/bash /bin/sh /usr/sbin/nologin", "No account gets any other shell." },
	{ "allowed_groups", KIND_WORDS, FIELD(allowed_groups), 0, 0, "",
	  "Groups the core may put accounts into, and take them out of again: names, or a beginning\n"
	  "followed by '*'. A group with a gid below 1000 must be spelled out. Memberships in all\n"
	  "other groups are left as they are." },
	{ "create_groups", KIND_BOOL, FIELD(create_groups), 0, 0, "no",
	  "Make an allowed group that does not exist yet." },
	{ "protected_names", KIND_WORDS, FIELD(protected_names), 0, 0, "",
	  "Names no account gets, beside those of the system (root, daemon, www-data, ...)." },
	{ "end_sessions", KIND_BOOL, FIELD(end_sessions), 0, 0, "yes",
	  "Who is disabled is also logged out, and their processes are ended." },
	{ "delete_grace", KIND_SECONDS, FIELD(delete_grace_s), 0, 3650 * 86400LL, "30d",
	  "A deleted account is disabled at once and removed after this time (s, m, h or d)." },
	{ "home_on_delete", KIND_HOME, FIELD(home_on_delete), 0, 0, "keep",
	  "What then becomes of its home: keep, archive (into archive_directory, then remove), or\n"
	  "remove." },
	{ "archive_directory", KIND_PATH, FIELD(archive_directory), 0, 0,
	  "/var/lib/rolebridge-accounts/archive",
	  "Where archives are put, as NAME-UUID.tar.gz (or NAME-UUID-2.tar.gz: none is overwritten),\n"
	  "readable by root alone." },
	{ "state_directory", KIND_PATH, FIELD(state_directory), 0, 0,
	  "/var/lib/rolebridge-accounts",
	  "Which accounts are the helper's. Losing it means that it touches none of them any more." },
	{ "command_timeout", KIND_SECONDS, FIELD(command_timeout_s), 1, 3600, "2m",
	  "A command of shadow-utils that takes longer is ended and counts as failed." },
	{ "idle_exit", KIND_SECONDS, FIELD(idle_exit_s), 0, 86400, "5m",
	  "Started by its socket unit, the helper leaves after so long without a connection, unless a\n"
	  "deletion waits; 0: it stays." },
};

static const char *const home_words[] = {
	[HOME_KEEP] = "keep", [HOME_ARCHIVE] = "archive", [HOME_REMOVE] = "remove"
};

/*
 * Names that distributions, daemons or conventions take for granted, whether or not they exist here today; and every
 * name that begins with these.
 */
static const char *const system_names[] = {
	"root",	      "toor",	 "daemon",	  "bin",    "sys",	"sync",	    "games",
	"man",	      "lp",	 "mail",	  "news",   "uucp",	"proxy",    "www-data",
	"backup",     "list",	 "irc",		  "gnats",  "nobody",	"nogroup",  "sshd",
	"messagebus", "adm",	 "shutdown",	  "halt",   "operator", "ftp",	    "sudo",
	"wheel",      "admin",	 "administrator", "staff",  "users",	"shadow",   "disk",
	"kmem",	      "tty",	 "docker",	  "lxd",    "libvirt",	"mysql",    "postgres",
	"redis",      "nginx",	 "apache",	  "httpd",  "named",	"bind",	    "postfix",
	"exim",	      "dovecot", "ntp",		  "chrony", "cron",	"crontab",  "dbus",
	"polkitd",    "syslog",	 "utmp",	  "src",    "input",	"kvm",	    "render",
	"video",      "audio",	 "plugdev",	  "netdev", "dialout",	"cdrom",    "floppy",
	"tape",	      "voice",	 "fax",		  "sgx",    "slapd",	"openldap", "all",
	"none",	      "nologin", "localhost",
};
static const char *const system_beginnings[] = { "systemd-", "rolebridge", "debian-" };

/* --- lists --- */

bool word_list_has(const struct word_list *list, const char *word)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->items[i], word) == 0)
			return true;
	return false;
}

bool settings_allow_group(const struct settings *settings, const char *group, bool *ret_by_name)
{
	const struct word_list *list = &settings->allowed_groups;

	*ret_by_name = word_list_has(list, group);
	for (size_t i = 0; i < list->count && !*ret_by_name; i++) {
		size_t size = strlen(list->items[i]);

		if (list->items[i][size - 1] == '*' &&
		    strncmp(list->items[i], group, size - 1) == 0)
			return true;
	}
	return *ret_by_name;
}

bool settings_protect_name(const struct settings *settings, const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(system_names); i++)
		if (strcmp(system_names[i], name) == 0)
			return true;
	for (size_t i = 0; i < ARRAY_LEN(system_beginnings); i++)
		if (strncmp(system_beginnings[i], name, strlen(system_beginnings[i])) == 0)
			return true;
	return word_list_has(&settings->protected_names, name);
}

/* --- values --- */

static int parse_number(const char *value, int base, const char **ret_rest, int64_t *ret_number)
{
	char *end;

	errno = 0;
	*ret_number = strtoll(value, &end, base);
	*ret_rest = end;
	return *value >= '0' && *value <= '9' && errno == 0 ? 0 : -1;
}

static int parse_seconds(const char *value, int64_t *ret_seconds)
{
	static const struct {
		const char *unit;
		int64_t seconds;
	} units[] = { { "", 1 }, { "s", 1 }, { "m", 60 }, { "h", 3600 }, { "d", 86400 } };
	const char *rest;
	int64_t number;

	if (parse_number(value, 10, &rest, &number) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (strcmp(rest, units[i].unit) == 0)
			return __builtin_mul_overflow(number, units[i].seconds, ret_seconds) ? -1
											     : 0;
	return -1;
}

static int set_number(const struct key *key, const char *value, int64_t *ret_number,
		      struct err *err)
{
	const char *rest = "";
	int64_t number;
	int result =
		key->kind == KIND_SECONDS
			? parse_seconds(value, &number)
			: parse_number(value, key->kind == KIND_OCTAL ? 8 : 10, &rest, &number);

	if (result < 0 || *rest)
		return err_set(err, ERR_INVALID, "'%s' is not a %s", value,
			       key->kind == KIND_SECONDS ? "time such as 90s, 5m, 2h or 30d"
			       : key->kind == KIND_OCTAL ? "mode such as 0700"
							 : "number");
	if (number < key->min || number > key->max)
		return err_set(err, ERR_INVALID,
			       key->kind == KIND_OCTAL ? "'%s' is not within %04llo and %04llo"
						       : "'%s' is not within %lld and %lld",
			       value, (long long)key->min, (long long)key->max);
	*ret_number = number;
	return 0;
}

static int set_bool(const char *value, bool *ret_value, struct err *err)
{
	if (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
		return err_set(err, ERR_INVALID, "'%s' is neither yes nor no", value);
	*ret_value = *value == 'y';
	return 0;
}

static int set_home(const char *value, enum home_on_delete *ret_value, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(home_words); i++) {
		if (strcmp(value, home_words[i]) == 0) {
			*ret_value = (enum home_on_delete)i;
			return 0;
		}
	}
	return err_set(err, ERR_INVALID, "'%s' is none of keep, archive, remove", value);
}

static int set_words(const char *value, struct arena *arena, struct word_list *ret_list,
		     struct err *err)
{
	size_t max = strlen(value) / 2 + 1, count = 0;
	const char **items = arena_alloc_array(arena, max, sizeof(*items));

	if (!items || max > WORDS_MAX * ACCOUNTS_PATH_MAX)
		return err_set(err, ERR_TOO_LARGE, "too many words");
	for (value += strspn(value, WHITE); *value; value += strspn(value, WHITE)) {
		size_t size = strcspn(value, WHITE);

		items[count] = arena_strndup(arena, value, size);
		if (!items[count++])
			return err_set(err, ERR_MEMORY, "out of memory");
		value += size;
	}
	*ret_list = (struct word_list){ .items = items, .count = count };
	return 0;
}

static int set_text(const struct key *key, const char *value, struct arena *arena,
		    const char **ret_text, struct err *err)
{
	if (key->kind == KIND_PATH && !accounts_path_is_valid(value))
		return err_set(err, ERR_INVALID, "'%s' is not an absolute, plain path", value);
	if (!*value)
		return err_set(err, ERR_INVALID, "a value is missing");
	*ret_text = arena_strdup(arena, value);
	return *ret_text ? 0 : err_set(err, ERR_MEMORY, "out of memory");
}

static int set_value(const struct key *key, const char *value, struct arena *arena,
		     struct settings *settings, struct err *err)
{
	void *field = (char *)settings + key->offset;

	switch (key->kind) {
	case KIND_NUMBER:
	case KIND_OCTAL:
	case KIND_SECONDS: return set_number(key, value, field, err);
	case KIND_BOOL: return set_bool(value, field, err);
	case KIND_HOME: return set_home(value, field, err);
	case KIND_WORDS: return set_words(value, arena, field, err);
	case KIND_TEXT:
	case KIND_PATH: break;
	}
	return set_text(key, value, arena, field, err);
}

/* --- the whole --- */

static bool ranges_meet(int64_t min, int64_t max, int64_t other_min, int64_t other_max)
{
	return min <= other_max && other_min <= max;
}

static int check_range(const char *what, int64_t min, int64_t max, struct err *err)
{
	if (min > max)
		return err_set(err, ERR_INVALID, "%s_min is above %s_max", what, what);
	if (ranges_meet(min, max, RESERVED_MIN, RESERVED_MAX))
		return err_set(err, ERR_INVALID,
			       "%s_min to %s_max reaches into %d to %d, which belong to the system",
			       what, what, RESERVED_MIN, RESERVED_MAX);
	return 0;
}

static int check_groups(const struct word_list *groups, struct err *err)
{
	for (size_t i = 0; i < groups->count; i++) {
		char name[ACCOUNTS_NAME_MAX + 2] = "";
		size_t size = strlen(groups->items[i]);

		if (size <= sizeof(name) - 1)
			memcpy(name, groups->items[i], size);
		if (size >= 2 && size < sizeof(name) && name[size - 1] == '*')
			/* "app-*": so that what stands before it may end in a hyphen */
			name[size - 1] = 'x';
		if (!accounts_name_is_valid(name))
			return err_set(err, ERR_INVALID,
				       "'%s' in allowed_groups cannot be a group's name",
				       groups->items[i]);
	}
	return 0;
}

static int check_shells(const struct settings *settings, struct err *err)
{
	for (size_t i = 0; i < settings->allowed_shells.count; i++)
		if (!accounts_path_is_valid(settings->allowed_shells.items[i]))
			return err_set(err, ERR_INVALID,
				       "'%s' in allowed_shells is not an absolute, plain path",
				       settings->allowed_shells.items[i]);
	if (!word_list_has(&settings->allowed_shells, settings->default_shell))
		return err_set(err, ERR_INVALID, "default_shell '%s' is not in allowed_shells",
			       settings->default_shell);
	return 0;
}

static int check_whole(const struct settings *settings, struct err *err)
{
	if (check_range("uid", settings->uid_min, settings->uid_max, err) < 0 ||
	    check_range("gid", settings->gid_min, settings->gid_max, err) < 0)
		return -1;
	/* An account's own group has the account's number. */
	if (ranges_meet(settings->uid_min, settings->uid_max, settings->gid_min, settings->gid_max))
		return err_set(err, ERR_INVALID, "the range of gids meets the range of uids");
	if (check_shells(settings, err) < 0)
		return -1;
	return check_groups(&settings->allowed_groups, err);
}

static const struct key *find_key(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (strcmp(keys[i].name, name) == 0)
			return &keys[i];
	return NULL;
}

static int unknown_key(const char *name, struct err *err)
{
	const char *names[ARRAY_LEN(keys)];

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		names[i] = keys[i].name;

	const char *near = text_nearest(name, names, ARRAY_LEN(keys));

	return err_set(err, ERR_INVALID,
		       near ? "unknown key '%s', did you mean '%s'?" : "unknown key '%s'", name,
		       near);
}

/* line: writable, without its end. */
static int parse_line(char *line, struct arena *arena, bool *seen, struct settings *settings,
		      struct err *err)
{
	char *name = line + strspn(line, WHITE);
	char *equals = strchr(name, '=');

	if (!*name || *name == '#')
		return 0;
	if (!equals)
		return err_set(err, ERR_INVALID, "'key = value' expected");
	*equals = 0;
	name[strcspn(name, WHITE)] = 0;

	char *value = equals + 1 + strspn(equals + 1, WHITE);
	size_t size = strlen(value);

	while (size > 0 && strchr(WHITE, value[size - 1]))
		value[--size] = 0;

	const struct key *key = find_key(name);

	if (!key)
		return unknown_key(name, err);
	if (seen[key - keys])
		return err_set(err, ERR_INVALID, "'%s' is given twice", name);
	seen[key - keys] = true;
	if (set_value(key, value, arena, settings, err) < 0)
		return err_wrap(err, "%s", name);
	return 0;
}

int settings_parse(const char *path, const char *text, struct arena *arena,
		   struct settings *ret_settings, struct err *err)
{
	struct settings settings = { 0 };
	bool seen[ARRAY_LEN(keys)] = { false };
	char *line = arena_strdup(arena, text);

	if (!line)
		return err_set(err, ERR_MEMORY, "no room for '%s'", path);
	for (unsigned number = 1; *line; number++) {
		char *end = line + strcspn(line, "\n");
		bool last = !*end;

		*end = 0;
		if (parse_line(line, arena, seen, &settings, err) < 0)
			return err_wrap(err, "%s:%u", path, number);
		line = last ? end : end + 1;
	}
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (!seen[i] && set_value(&keys[i], keys[i].fallback, arena, &settings, err) < 0)
			return err_wrap(err, "%s: %s", path, keys[i].name);
	if (check_whole(&settings, err) < 0)
		return err_wrap(err, "%s", path);
	*ret_settings = settings;
	return 0;
}

static int check_owner(const char *path, const struct stat *status, struct err *err)
{
	if (status->st_uid != 0 && status->st_uid != geteuid())
		return err_set(err, ERR_DENIED, "'%s' does not belong to root", path);
	if (status->st_mode & (S_IWGRP | S_IWOTH))
		return err_set(err, ERR_DENIED, "'%s' is writable by others than its owner", path);
	return 0;
}

int settings_read(const char *path, struct arena *arena, struct settings *ret_settings,
		  struct err *err)
{
	AUTO(strbuf) struct strbuf text = STRBUF(FILE_MAX);
	struct stat status;
	AUTO(fd) int fd = file_open(path, &status, err);

	if (fd < 0 || check_owner(path, &status, err) < 0 ||
	    file_read(path, FILE_MAX, &text, err) < 0)
		return -1;
	if (memchr(strbuf_text(&text), 0, text.size))
		return err_set(err, ERR_INVALID, "'%s' is not text", path);
	return settings_parse(path, strbuf_text(&text), arena, ret_settings, err);
}

int accounts_range_read(const char *path, uint32_t *ret_min, uint32_t *ret_max, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(RANGE_ARENA_MAX);
	struct settings settings;

	if (!arena)
		return err_set(err, ERR_MEMORY, "no room for '%s'", path);
	if (settings_read(path, arena, &settings, err) < 0)
		return -1;
	*ret_min = (uint32_t)settings.uid_min;
	*ret_max = (uint32_t)settings.uid_max;
	return 0;
}

void settings_print(struct strbuf *out)
{
	strbuf_puts(
		out,
		"# rolebridge-accounts(8): what the accounts helper may do, whatever the daemon asks of it.\n"
		"# It must belong to root and be writable by nobody else; read at start.\n");
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const char *what = keys[i].what ? keys[i].what : "";

		strbuf_puts(out, *what ? "\n" : "");
		while (*what) {
			size_t size = strcspn(what, "\n");

			strbuf_printf(out, "# %.*s\n", (int)size, what);
			what += size + (what[size] != 0);
		}
		strbuf_printf(out, "#%s =%s%s\n", keys[i].name, *keys[i].fallback ? " " : "",
			      keys[i].fallback);
	}
}
