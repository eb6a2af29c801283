/*
 * Backups by hand, without a daemon. Enters: files. Leaves: a backup; a store that was put in place of another. Fails, with
 * everything as it was, when a daemon has the store.
 */
#ifndef ROLEBRIDGE_MAIN_RESTORE_H
#define ROLEBRIDGE_MAIN_RESTORE_H

#include <stdbool.h>

#include <rolebridge/base/err.h>
#include <rolebridge/base/strbuf.h>

struct restore_options {
	const char *config;
	const char *file;
	const char *head; /* NULL */
	bool keep_tokens, dry_run, json;
};
/* --backup FILE, --restore FILE: what was done to standard output; exit status. */
int command_backup(const struct restore_options *options);
int command_restore(const struct restore_options *options);

/*
 * Under the store's lock, before it is opened: what a restore began goes to its end. aside (or NULL): where the store that was is
 * now. 1: one did; 0: none was under way; -1.
 */
int restore_finish(const char *store_path, struct strbuf *aside, struct err *err);

#endif
