/*
 * Decoding and resolving of paths. In: bytes from outside. Out: see path.h. What cannot be
 * told is a state, not an error.
 *
 * Sources: RFC 3986 5.2.4 (dot segments) and 6.2.2 (normal form); nginx merge_slashes; path
 * parameters of RFC 3986 3.3, which Java servers drop before they look.
 */
#include "path.h"

#include <string.h>

#include <rolebridge/base/text.h>

static int hex_pair(const char *text, size_t left)
{
	int high = left >= 2 ? text_hex_digit((unsigned char)text[0]) : -1;
	int low = left >= 2 ? text_hex_digit((unsigned char)text[1]) : -1;

	return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static void raise_state(enum path_state *state, enum path_state to)
{
	if (*state < to)
		*state = to;
}

/* One decoded byte; encoded says that it was written as %xx. */
static void add_byte(struct path *path, unsigned char c, bool encoded)
{
	if (c < 0x20 || c == 0x7f || (c == '#' && !encoded))
		raise_state(&path->state, PATH_BAD);
	else if (c == '\\' || (c == '/' && encoded))
		raise_state(&path->state, PATH_AMBIGUOUS);
	else if (c == ';')
		path->has_parameters = true;
	path->text[path->size++] = (char)c;
}

enum path_state path_decode(const char *text, size_t size, struct path *ret_path)
{
	struct path *path = ret_path;
	bool dot_encoded = false;

	path->state = PATH_PLAIN;
	path->has_dots = path->has_empty = path->has_parameters = false;
	path->size = 0;
	if (size == 0 || size > PATH_BYTES_MAX || text[0] != '/')
		return path->state = PATH_BAD;
	for (size_t i = 0; i < size; i++) {
		int c = (unsigned char)text[i];
		bool encoded = c == '%';

		if (encoded) {
			c = hex_pair(text + i + 1, size - i - 1);
			if (c < 0)
				return path->state = PATH_BAD;
			i += 2;
			/* "%2561" becomes "%61", and whoever decodes twice sees an "a". */
			if (c == '%' && hex_pair(text + i + 1, size - i - 1) >= 0)
				raise_state(&path->state, PATH_AMBIGUOUS);
			dot_encoded |= c == '.';
		}
		add_byte(path, (unsigned char)c, encoded);
	}
	path->text[path->size] = 0;
	if (!text_is_utf8(path->text, path->size))
		raise_state(&path->state, PATH_BAD);
	path->has_empty = strstr(path->text, "//") != NULL;
	path->has_dots = strstr(path->text, "/.") != NULL;
	/* No browser sends an encoded dot that matters, and servers disagree on those. */
	if (dot_encoded && path->has_dots)
		raise_state(&path->state, PATH_AMBIGUOUS);
	return path->state;
}

/* How a server may read: what happens to "." and "..", and to ";…". */
static const struct reading {
	bool resolve, empty_counts, drop_parameters;
} readings[PATH_READINGS] = {
	{ true, false, false }, { false, false, false }, { true, true, false },
	{ true, false, true },	{ false, false, true },	 { true, true, true },
};

static bool reading_differs(const struct path *path, const struct reading *reading)
{
	return (!reading->drop_parameters || path->has_parameters) &&
	       (reading->resolve || path->has_dots) &&
	       (!reading->empty_counts || (path->has_dots && path->has_empty));
}

/* Drop the last segment of out, which ends in '/'. false: there is none. */
static bool drop_segment(char *out, size_t *size)
{
	size_t end = *size - 1;

	if (end == 0)
		return false;
	while (out[end - 1] != '/')
		end--;
	*size = end;
	return true;
}

static void merge_slashes(char *text)
{
	char *to = text;

	for (const char *from = text; *from; from++)
		if (*from != '/' || to == text || to[-1] != '/')
			*to++ = *from;
	*to = 0;
}

bool path_read(const struct path *path, unsigned reading, char ret_text[PATH_BYTES_MAX + 2],
	       enum path_state *ret_state)
{
	const struct reading *how = &readings[reading];
	const char *at = path->text + 1, *end = path->text + path->size;
	size_t size = 1;

	if (!reading_differs(path, how))
		return false;
	*ret_state = PATH_PLAIN;
	ret_text[0] = '/';
	/* Invariant: what was written ends in '/'; the last segment alone may come without. */
	while (at < end) {
		const char *slash = memchr(at, '/', (size_t)(end - at));
		const char *stop = slash ? slash : end;
		const char *semicolon =
			how->drop_parameters ? memchr(at, ';', (size_t)(stop - at)) : NULL;
		size_t length = (size_t)((semicolon ? semicolon : stop) - at);
		bool one = length == 1 && at[0] == '.';
		bool two = length == 2 && at[0] == '.' && at[1] == '.';

		if (how->resolve && two && !drop_segment(ret_text, &size))
			*ret_state = PATH_AMBIGUOUS;
		if (!how->resolve || (!one && !two)) {
			memcpy(ret_text + size, at, length);
			size += length;
			if (slash && (length || how->empty_counts))
				ret_text[size++] = '/';
		}
		at = stop + 1;
	}
	ret_text[size] = 0;
	merge_slashes(ret_text);
	return true;
}

int path_pattern(const char *text, size_t size, char ret_text[PATH_BYTES_MAX + 2], struct err *err)
{
	struct path path;
	enum path_state state;

	if (size == 0)
		return path_pattern("/", 1, ret_text, err);
	if (path_decode(text, size, &path) == PATH_BAD)
		return err_set(err, ERR_INVALID, "its path is no path");
	if (path.state != PATH_PLAIN || path.has_dots || path.has_empty || path.has_parameters)
		return err_set(err, ERR_INVALID,
			       "its path may not have '//', '/.', ';', '\\', %%2F or %%25xx");
	path_read(&path, 0, ret_text, &state);
	return 0;
}
