/*
 * Secrets. Enters: a file or bytes. Leaves: guarded memory that is wiped at
 * its end. Fails without ever naming a byte of the content.
 */
#include <rolebridge/base/secret.h>

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include <rolebridge/base/file.h>
#include <rolebridge/base/hash.h>
#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/util.h>

#define SECRET_MAX (64 * 1024)
/* What systemd puts before the file names of a folder that it hands over: LoadCredential=rolebridge:FOLDER. */
#define FOLDER_PREFIX "rolebridge_"

/* One that was handed over by its own name, else one of our folder, else where it should be. */
static void find_credential(const char *folder, const char *name, struct strbuf *ret_path)
{
	static const char *const prefixes[] = { "", FOLDER_PREFIX, "" };
	AUTO(strbuf) struct strbuf path = STRBUF(PATH_MAX);

	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
		strbuf_clear(&path);
		strbuf_printf(&path, "%s/%s%s", folder, prefixes[i], name);
		if (!strbuf_failed(&path) && access(strbuf_text(&path), F_OK) == 0)
			break;
	}
	if (strbuf_failed(&path))
		strbuf_fail(ret_path);
	strbuf_puts(ret_path, strbuf_text(&path));
}

int secret_resolve(const char *path, struct strbuf *ret_path, struct err *err)
{
	const char *folder = getenv("CREDENTIALS_DIRECTORY");

	if (strchr(path, '/')) {
		strbuf_puts(ret_path, path);
	} else if (folder && *folder) {
		find_credential(folder, path, ret_path);
	} else {
		return err_set(err, ERR_NOT_FOUND,
			       "no credential '%s': started without CREDENTIALS_DIRECTORY; "
			       "a file of your own is named with its whole path",
			       path);
	}
	if (strbuf_failed(ret_path))
		return err_set(err, ERR_INVALID, "path of the secret is too long");
	return 0;
}

/* Straight into guarded memory: an ordinary buffer would keep a copy. Returns the size, or -1. */
static ssize_t secret_fill(int fd, char *memory, size_t room)
{
	size_t used = 0;

	while (used < room) {
		ssize_t size = read(fd, memory + used, room - used);

		if (size < 0 && errno == EINTR)
			continue;
		if (size < 0)
			return -1;
		if (size == 0)
			break;
		used += (size_t)size;
	}
	return (ssize_t)used;
}

static size_t without_line_break(const char *data, size_t size)
{
	if (size && data[size - 1] == '\n')
		size--;
	else
		return size;
	return size && data[size - 1] == '\r' ? size - 1 : size;
}

static int secret_read_fd(int fd, const char *path, struct secret *ret_secret, struct err *err)
{
	hash_prepare();

	char *memory = sodium_malloc(SECRET_MAX + 1);

	if (!memory)
		return err_set(err, ERR_MEMORY, "no locked memory for '%s'", path);

	ssize_t size = secret_fill(fd, memory, SECRET_MAX + 1);
	int result;

	if (size < 0)
		result = err_set_errno(err, ERR_IO, errno, "cannot read '%s'", path);
	else if (size > SECRET_MAX)
		result = err_set(err, ERR_TOO_LARGE, "secret '%s' is larger than 64 KiB", path);
	else if (without_line_break(memory, (size_t)size) == 0)
		result = err_set(err, ERR_INVALID, "secret '%s' is empty", path);
	else
		result = secret_copy(memory, without_line_break(memory, (size_t)size), ret_secret,
				     err);
	sodium_free(memory);
	return result;
}

int secret_read_file(const char *path, struct secret *ret_secret, struct err *err)
{
	AUTO(strbuf) struct strbuf resolved = STRBUF(PATH_MAX);
	struct stat status;

	if (secret_resolve(path, &resolved, err) < 0)
		return -1;

	AUTO(fd) int fd = file_open(strbuf_text(&resolved), &status, err);

	if (fd < 0)
		return -1;
	if (status.st_mode & 0007)
		return err_set(err, ERR_DENIED,
			       "secret '%s' is open to everybody on this machine: chmod o= it",
			       strbuf_text(&resolved));
	return secret_read_fd(fd, strbuf_text(&resolved), ret_secret, err);
}

int secret_copy(const void *data, size_t size, struct secret *ret_secret, struct err *err)
{
	if (size == 0)
		return err_set(err, ERR_INVALID, "secret is empty");
	if (size > SECRET_MAX)
		return err_set(err, ERR_TOO_LARGE, "secret is larger than 64 KiB");
	hash_prepare();

	char *memory = sodium_malloc(size + 1);

	if (!memory)
		return err_set(err, ERR_MEMORY, "no locked memory for a secret");
	memcpy(memory, data, size);
	memory[size] = 0;
	sodium_mprotect_readonly(memory);
	*ret_secret = (struct secret){ .data = memory, .size = size };
	return 0;
}

void secret_finish(struct secret *secret)
{
	/* sodium_free wipes, and takes NULL. */
	sodium_free(secret->data);
	*secret = (struct secret){ 0 };
}
