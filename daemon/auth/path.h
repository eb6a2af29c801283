/*
 * A request's path, in every way a server behind the proxy may read it. Servers differ: some resolve
 * "..", merge "//" or drop ";parameters", some do not, and who compares in one way only can be slipped
 * past in another. So a path has one or more readings, and a rule holds only where all agree.
 *
 * Enters: a path from outside, to its '?'. Leaves: readings, decoded, without empty segments.
 */
#ifndef ROLEBRIDGE_AUTH_PATH_H
#define ROLEBRIDGE_AUTH_PATH_H

#include <stdbool.h>
#include <stddef.h>

#include <rolebridge/base/err.h>

#define PATH_BYTES_MAX 8192

enum path_state {
	PATH_PLAIN,
	PATH_AMBIGUOUS, /* an encoded separator, double encoding, ".." above the root: nobody knows */
	PATH_BAD, /* no path at all: broken encoding, control characters, not UTF-8, too long */
};

struct path {
	enum path_state state;
	bool has_dots, has_empty, has_parameters;
	size_t size;
	char text[PATH_BYTES_MAX + 1]; /* decoded */
};

#define PATH_READINGS 6

/* Returns path->state; the rest is only set for PATH_PLAIN. */
enum path_state path_decode(const char *text, size_t size, struct path *ret_path);
/*
 * Reading number `reading` (0 is the usual one: all resolved). false: the same as one before.
 * ret_text begins with '/'; a last '/' stands where the path names a folder. *ret_state may become PATH_AMBIGUOUS.
 */
bool path_read(const struct path *path, unsigned reading, char ret_text[PATH_BYTES_MAX + 2],
	       enum path_state *ret_state);

/*
 * A path of the configuration, which must have one reading: "" and "/" are "/". ERR_INVALID otherwise.
 */
int path_pattern(const char *text, size_t size, char ret_text[PATH_BYTES_MAX + 2], struct err *err);

#endif
