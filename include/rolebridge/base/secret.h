/*
 * Secrets: in guarded, locked memory (sodium_malloc), wiped when they end,
 * never in a log, an error text or a core dump.
 */
#ifndef ROLEBRIDGE_BASE_SECRET_H
#define ROLEBRIDGE_BASE_SECRET_H

#include <stddef.h>

#include <rolebridge/base/err.h>

struct strbuf;

struct secret {
	char *data; /* NUL-terminated; NULL when empty */
	size_t size;
};

/*
 * Read a secret file: at most 64 KiB, one trailing line break dropped, an
 * empty secret refused, a file readable by others refused (mode & 0007).
 * A name without '/' is looked up in $CREDENTIALS_DIRECTORY (systemd LoadCredential=NAME:FILE), there also behind
 * "rolebridge_", as systemd names the files of a folder (LoadCredential=rolebridge:FOLDER).
 * Binary secrets may hold NUL; one that may end in a line break is stored with one more.
 * Guarded memory is a syscall affair (mmap, mprotect, mlock): a worker reads its secrets
 * before it locks itself up and leaves them to its end.
 */
int secret_read_file(const char *path, struct secret *ret_secret, struct err *err);
/* Where that file is. ERR_NOT_FOUND: a credential is named and there are none. */
int secret_resolve(const char *path, struct strbuf *ret_path, struct err *err);
int secret_copy(const void *data, size_t size, struct secret *ret_secret, struct err *err);
void secret_finish(struct secret *secret);

static inline void secret_auto(struct secret *secret)
{
	secret_finish(secret);
}

#endif
