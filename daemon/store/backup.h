/*
 * A file that is, or may be, a store: opened as it is. Enters: a path. Leaves: a handle for reading, no schema made nor
 * asked for.
 */
#ifndef STORE_BACKUP_H
#define STORE_BACKUP_H

#include <rolebridge/store/backup.h>

/* Of our schema or an older one; ERR_INVALID, ERR_CONFLICT "schema-newer" otherwise. store_close it. */
struct store *store_open_as_is(const char *path, int64_t *ret_version, struct err *err);
/* What migrations make of nothing, up to the version, in memory. */
struct store *store_open_reference(int64_t version, struct err *err);

/* --- migrate.c --- */
int store_read_version(struct store *store, int64_t *ret_version, struct err *err);
int store_migrate_to(struct store *store, int64_t version, struct err *err);
int64_t store_schema_version(void);

#endif
