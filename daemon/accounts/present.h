/*
 * What is really there: the local databases (/etc/passwd, shadow, group), read whole and looked through
 * once for any number of names. What other sources of the name service know is asked through libc.
 */
#ifndef ROLEBRIDGE_ACCOUNTS_PRESENT_H
#define ROLEBRIDGE_ACCOUNTS_PRESENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rolebridge/base/arena.h>
#include <rolebridge/base/err.h>

struct present {
	const char *name; /* what was asked for */
	bool in_passwd, in_shadow;
	uint32_t uid, gid;
	const char *gecos, *home, *shell; /* bytes as they stand there */
	bool locked;			  /* the password begins with '!' */
	bool has_password;		  /* something stands behind that */
	int64_t expire_days;		  /* EXPIRE_NONE */
	const char *primary;		  /* name of the group gid; "" when there is none */
	bool own_group;			  /* there is a group of the account's name */
	uint32_t own_gid;		  /* its number */
	const char **groups;		  /* supplementary, as in /etc/group */
	uint32_t *gids;			  /* their numbers */
	size_t group_count;
};

/*
 * names: ascending, each once. ret_present: one for each, in the arena. ERR_IO, ERR_TOO_LARGE, ERR_MEMORY: nothing
 * is known.
 */
int present_read(const char *const *names, size_t count, struct arena *arena,
		 struct present **ret_present, struct err *err);
/* The same from texts: for tests. */
int present_parse(const char *passwd, const char *shadow, const char *group,
		  const char *const *names, size_t count, struct arena *arena,
		  struct present **ret_present, struct err *err);

/* Through the name service, so also directories: 1 there, 0 not, -1 nobody could say. */
int name_service_has_user(const char *name, struct err *err);
int name_service_has_uid(uint32_t uid, struct err *err);
/* ret_gid may be NULL. */
int name_service_has_group(const char *name, uint32_t *ret_gid, struct err *err);
int name_service_has_gid(uint32_t gid, struct err *err);

/*
 * The first number of [from, to] that lies in no range of /etc/subuid and /etc/subgid; 0: none. Who is given such a
 * range could be the account there.
 */
uint32_t subordinate_skip(const char *subuid, uint32_t from, uint32_t to);

#endif
