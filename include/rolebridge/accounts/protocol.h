/*
 * What the core and the accounts helper say to each other over a unix stream socket, framed by
 * base/message. The core asks, the helper answers each message by exactly one, in order; several may be
 * sent before the first answer. The first message of a connection is HELLO.
 *
 *	core                         helper
 *	HELLO version            →   WELCOME version, uid range, owned
 *	ENSURE account           →   RESULT
 *	DISABLE | ENABLE | DELETE user → RESULT
 *	LIST after, max          →   PAGE entries, more
 *
 * All are statements of state, not of difference: said twice, the second changes nothing (RESULT
 * changed = false). Whatever is malformed, unknown or over a bound here is answered by a RESULT
 * "malformed" and the connection ends; nothing of it was carried out. What is well formed and forbidden
 * is answered by its code; the connection goes on.
 *
 * The helper believes the core in nothing: ranges, shells, groups, homes and protected names are
 * checked against its own configuration, so a code below can come back for any request.
 *
 * accounts_put_*: append one whole frame to out (failure sticks there).
 * accounts_get_*: read a message's body to the last byte; texts and arrays are copied into the arena.
 * 0, or -1 with ERR_PROTOCOL (ERR_MEMORY), *ret untouched.
 */
#ifndef ROLEBRIDGE_ACCOUNTS_PROTOCOL_H
#define ROLEBRIDGE_ACCOUNTS_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rolebridge/base/arena.h>
#include <rolebridge/base/err.h>
#include <rolebridge/base/ids.h>
#include <rolebridge/base/message.h>
#include <rolebridge/base/strbuf.h>

#define ACCOUNTS_SOCKET "/run/rolebridge-accounts/accounts.sock"
#define ACCOUNTS_VERSION 1

/* Bounds of the wire, both ways; over one is malformed. */
#define ACCOUNTS_REQUEST_MAX (32 * 1024)
#define ACCOUNTS_ANSWER_MAX (1024 * 1024)
#define ACCOUNTS_NAME_MAX 32 /* user and group names, as useradd has it */
#define ACCOUNTS_GECOS_MAX 255
#define ACCOUNTS_PATH_MAX 255 /* shell, home */
#define ACCOUNTS_GROUPS_MAX 256
#define ACCOUNTS_PAGE_MAX 256

enum accounts_message {
	ACCOUNTS_HELLO = 1,
	ACCOUNTS_ENSURE = 2,
	ACCOUNTS_DISABLE = 3,
	ACCOUNTS_ENABLE = 4,
	ACCOUNTS_DELETE = 5,
	ACCOUNTS_LIST = 6,
	ACCOUNTS_WELCOME = 0x101,
	ACCOUNTS_RESULT = 0x102,
	ACCOUNTS_PAGE = 0x103,
};

/*
 * The account of a user shall be there, like this. Made when it is not, otherwise changed where it
 * differs. Names are ASCII, [a-z] then [a-z0-9_.-]; texts are UTF-8 without NUL, ':', '=' or control
 * characters.
 */
struct accounts_ensure {
	struct uuid user;
	const char *name;  /* cannot change later: "name-changed" */
	uint32_t uid;	   /* 0: the helper chooses once, the same for ever */
	const char *gecos; /* "": none */
	const char *shell; /* "": the helper's default_shell */
	const char *home;  /* "": home_base/name; else home_base/SOMETHING, only when it is made */
	const char *primary; /* "": a group of its own, named as the account, gid = uid */
	/*
	 * Supplementary. Memberships in other groups of the helper's allowed_groups end; those in
	 * groups that are not allowed are nobody's business here and stay.
	 */
	const char *const *groups;
	size_t group_count;
	/* false: as DISABLE, and made so that it never was open. true: as ENABLE. */
	bool enabled;
};

/* Body of DISABLE, ENABLE, DELETE:
 * DISABLE  locked, expired, login sessions and processes ended (if end_sessions); unknown user: done.
 * ENABLE   undoes the helper's own disabling only: what root locked stays ("locked" in LIST).
 * DELETE   as DISABLE at once; removed after the helper's delete_grace; ENSURE before then takes it
 *	    back. Unknown user: done. Name and uid are never given to anybody else.
 */
struct accounts_user {
	struct uuid user;
};

/* The helper's own accounts in the order of their user ids, from the first one after 'after' on. */
struct accounts_list {
	struct uuid after; /* all zero: from the first */
	uint32_t max;	   /* 1 to ACCOUNTS_PAGE_MAX; fewer may come */
};

struct accounts_welcome {
	uint32_t version; /* ACCOUNTS_VERSION; another one: hang up */
	uint32_t uid_min, uid_max;
	uint32_t owned; /* accounts in LIST */
};

enum accounts_status {
	ACCOUNTS_DONE = 0,
	ACCOUNTS_AGAIN = 1,   /* try again later: disk full, database locked, a command failed */
	ACCOUNTS_REFUSED = 2, /* for good, until somebody changes something: a conflict to report */
};

struct accounts_result {
	enum accounts_status status;
	bool changed;	    /* something was really done */
	uint32_t uid;	    /* of the account; 0 when there is none */
	const char *code;   /* "" when done; else one of accounts_codes */
	const char *detail; /* for people, one line; "" when done */
};

/* What LIST finds really there, whatever was asked before. */
enum accounts_state {
	ACCOUNTS_ENABLED = 0,
	ACCOUNTS_DISABLED = 1, /* by this helper: expired and locked */
	ACCOUNTS_LOCKED = 2,   /* by somebody else: it is expired, and not by this helper */
	ACCOUNTS_DELETING = 3, /* disabled, waiting for the end of the grace */
	ACCOUNTS_MISSING = 4,  /* owned, but no such account (removed by hand, or not made yet) */
	ACCOUNTS_FOREIGN = 5,  /* the name is there with another uid: not ours, not touched */
};

struct accounts_entry {
	struct uuid user;
	const char *name;
	uint32_t uid;
	enum accounts_state state;
	/* "" and none when missing or foreign */
	const char *gecos, *shell, *home;
	const char *primary;	   /* "" when it is the account's own group */
	const char *const *groups; /* supplementary, only those of allowed_groups */
	size_t group_count;
};

struct accounts_page {
	const struct accounts_entry *entries;
	size_t count;
	bool more;
};

/*
 * Every code a RESULT may carry, for tests and documentation; sorted, ends with NULL.
 * what: a sentence for people.
 */
struct accounts_code {
	const char *code;
	enum accounts_status status;
	const char *what;
};
extern const struct accounts_code accounts_codes[];
/* The row of a code, NULL when there is none. */
const struct accounts_code *accounts_code_find(const char *code);

/* "enabled", "disabled", "locked", "deleting", "missing", "foreign" */
const char *accounts_state_name(enum accounts_state state);

/* --- the core's side --- */
void accounts_put_hello(struct strbuf *out, uint32_t version);
void accounts_put_ensure(struct strbuf *out, const struct accounts_ensure *ensure);
/* type: ACCOUNTS_DISABLE, ACCOUNTS_ENABLE or ACCOUNTS_DELETE */
void accounts_put_user(struct strbuf *out, enum accounts_message type, const struct uuid *user);
void accounts_put_list(struct strbuf *out, const struct accounts_list *list);
/* Also when the message is of another type than the one named: ERR_PROTOCOL. */
int accounts_get_welcome(const struct message *message, struct accounts_welcome *ret_welcome,
			 struct err *err);
int accounts_get_result(const struct message *message, struct arena *arena,
			struct accounts_result *ret_result, struct err *err);
int accounts_get_page(const struct message *message, struct arena *arena,
		      struct accounts_page *ret_page, struct err *err);

/* --- the helper's side --- */
int accounts_get_hello(const struct message *message, uint32_t *ret_version, struct err *err);
int accounts_get_ensure(const struct message *message, struct arena *arena,
			struct accounts_ensure *ret_ensure, struct err *err);
int accounts_get_user(const struct message *message, struct uuid *ret_user, struct err *err);
int accounts_get_list(const struct message *message, struct accounts_list *ret_list,
		      struct err *err);
void accounts_put_welcome(struct strbuf *out, const struct accounts_welcome *welcome);
void accounts_put_result(struct strbuf *out, const struct accounts_result *result);
void accounts_put_page(struct strbuf *out, const struct accounts_page *page);

/*
 * Names and texts that may stand in the account databases at all, whatever a configuration says; for
 * both sides: the core can tell early, the helper believes nobody.
 */
bool accounts_name_is_valid(const char *name);
bool accounts_text_is_valid(const char *text, size_t max); /* GECOS: UTF-8, no ':', '=', control */
bool accounts_path_is_valid(
	const char *path); /* absolute, plain characters, no "." or ".." or "//" */

#endif
