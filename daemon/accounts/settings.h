/*
 * accounts.conf: what the helper may do at all, whatever the core asks. "key = value" lines, '#' begins a
 * comment line; lists are separated by spaces. An unknown key, a key twice or a bad value refuses the file.
 * The file must belong to root (or to who runs the helper) and be writable by nobody else.
 */
#ifndef ROLEBRIDGE_ACCOUNTS_SETTINGS_H
#define ROLEBRIDGE_ACCOUNTS_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rolebridge/accounts/range.h>
#include <rolebridge/base/arena.h>
#include <rolebridge/base/err.h>
#include <rolebridge/base/strbuf.h>

#define SETTINGS_FILE ACCOUNTS_CONFIG

enum home_on_delete { HOME_KEEP, HOME_ARCHIVE, HOME_REMOVE };

struct word_list {
	const char *const *items;
	size_t count;
};

struct settings {
	const char *core_user; /* name or number */
	int64_t uid_min, uid_max;
	int64_t gid_min, gid_max; /* of groups the helper makes */
	const char *home_base;
	int64_t home_mode;
	bool create_home;
	const char *skeleton;
	const char *default_shell;
	struct word_list allowed_shells;
	struct word_list allowed_groups; /* names, or a beginning and '*' */
	bool create_groups;
	struct word_list protected_names; /* beside those built in */
	bool end_sessions;
	int64_t delete_grace_s;
	enum home_on_delete home_on_delete;
	const char *archive_directory;
	const char *state_directory;
	int64_t command_timeout_s;
	int64_t idle_exit_s; /* 0: never; only when the socket came from systemd */
};

/* Everything lies in the arena. -1: ERR_INVALID with "file:line: …", ERR_NOT_FOUND, ERR_DENIED, ERR_IO. */
int settings_read(const char *path, struct arena *arena, struct settings *ret_settings,
		  struct err *err);
/* The same from text; path is for messages. */
int settings_parse(const char *path, const char *text, struct arena *arena,
		   struct settings *ret_settings, struct err *err);
/* The file with all keys commented out at their defaults. */
void settings_print(struct strbuf *out);

bool word_list_has(const struct word_list *list, const char *word);
/* allowed_groups: by name, or by a beginning ("app-*"). *ret_by_name: was it spelled out? */
bool settings_allow_group(const struct settings *settings, const char *group, bool *ret_by_name);
/* Built in or configured. */
bool settings_protect_name(const struct settings *settings, const char *name);

#endif
