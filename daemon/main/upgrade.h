/*
 * A store of an older version is copied before it is brought to this one's schema: whoever must go back has something to go
 * back to. The copy is FILE.before-upgrade-TIME beside the store, and nobody's but the operator's to remove.
 */
#ifndef ROLEBRIDGE_MAIN_UPGRADE_H
#define ROLEBRIDGE_MAIN_UPGRADE_H

#include <rolebridge/base/err.h>
#include <rolebridge/base/strbuf.h>

/*
 * The caller holds the store's lock. 1: it was older and is this version's now, *ret_copy (appended to) names the copy; 0: nothing was
 * to be done, also when there is no store; -1: as it was, or (a migration that failed half-way) a version between that
 * a newer try goes on from, with the copy named.
 */
int upgrade_store(const char *path, struct strbuf *ret_copy, struct err *err);

/* One process at a time: held while *ret_fd is open. ERR_CONFLICT "in-use". */
int upgrade_lock(const char *path, int *ret_fd, struct err *err);

struct arena;
/*
 * The same for the store that a configuration names, which may hold any number of errors. *ret_store: its path, from the arena, and
 * *ret_lock_fd: held from here on; NULL and -1 when there is no store.
 */
int upgrade_configured(const char *config_path, struct arena *arena, const char **ret_store,
		       int *ret_lock_fd, struct strbuf *ret_copy, struct err *err);

#endif
