/*
 * `include:`. Enters: paths and globs as written in the main file. Leaves: the
 * files they name, read, each once, sorted by name within each glob. What
 * cannot be read is a finding where the include stands.
 *
 * A path without wildcards must exist; a pattern may match nothing. A folder that
 * cannot be listed is an error: a rule that silently is not there would be a
 * wrong decision.
 */
#include "tree.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <rolebridge/base/err.h>
#include <rolebridge/base/file.h>
#include <rolebridge/base/util.h>

struct seen_file {
	dev_t device;
	ino_t inode;
};

struct include {
	struct document *document;
	struct diagnostics *list;
	struct seen_file seen[DOCUMENT_FILES_MAX];
	unsigned seen_count;
	bool complete;
};

static void include_failed(struct include *include, const struct node *where, const char *text)
{
	diagnostics_add(include->list, SEVERITY_ERROR, "include-unreadable", where->at, NULL, "%s",
			text);
	include->complete = false;
}

/* Whether the file was taken before, under whatever name; it is remembered. */
static bool seen_before(struct include *include, const char *path)
{
	struct stat info;

	if (stat(path, &info) < 0)
		return false; /* reading it will say why */
	for (unsigned i = 0; i < include->seen_count; i++)
		if (include->seen[i].device == info.st_dev && include->seen[i].inode == info.st_ino)
			return true;
	if (include->seen_count < DOCUMENT_FILES_MAX)
		include->seen[include->seen_count++] =
			(struct seen_file){ info.st_dev, info.st_ino };
	return false;
}

static void include_file(struct include *include, const struct node *where, const char *path)
{
	AUTO(strbuf) struct strbuf text = STRBUF(DOCUMENT_FILE_BYTES_MAX + 1);
	struct err err = { 0 };

	if (seen_before(include, path))
		return;
	if (file_read(path, DOCUMENT_FILE_BYTES_MAX, &text, &err) < 0) {
		include_failed(include, where, err.text);
		return;
	}

	const char *problem = document_check_size(include->document, text.size);

	if (!problem && !document_add_file(include->document, path, strbuf_text(&text), text.size))
		problem = "not enough memory";
	if (problem) {
		err_set(&err, ERR_TOO_LARGE, "cannot read '%s': %s", path, problem);
		include_failed(include, where, err.text);
	}
}

/* glob() knows no context argument; one include at a time per thread. */
static _Thread_local int glob_errno;

static int note_glob_error(const char *path, int error)
{
	(void)path;
	if (error == ENOENT || error == ENOTDIR)
		return 0; /* nothing there is "no match" */
	glob_errno = error;
	return 1;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The main file's folder, its own wildcards made literal, and the pattern. */
static char *full_pattern(struct include *include, const char *pattern)
{
	const char *main_path = document_file_path(include->document, 1);
	const char *slash = strrchr(main_path, '/');
	AUTO(strbuf) struct strbuf full = STRBUF(64 * 1024);

	if (pattern[0] != '/' && slash)
		for (const char *c = main_path; c <= slash; c++) {
			if (strchr("*?[]\\", *c))
				strbuf_putc(&full, '\\');
			strbuf_putc(&full, *c);
		}
	strbuf_puts(&full, pattern);
	return strbuf_take(&full);
}

static void include_glob(struct include *include, const struct node *where, const char *pattern)
{
	char *full = full_pattern(include, pattern);
	glob_t matches = { 0 };
	struct err err = { 0 };

	glob_errno = 0;

	int result = full ? glob(full, GLOB_NOSORT, note_glob_error, &matches) : GLOB_NOSPACE;

	/* A folder that is empty as yet is no mistake. */
	if (result != 0 && result != GLOB_NOMATCH) {
		err_set_errno(&err, ERR_IO, glob_errno ? glob_errno : ENOMEM,
			      "cannot list files for '%s'", pattern);
		include_failed(include, where, err.text);
	} else if (result == 0) {
		qsort(matches.gl_pathv, matches.gl_pathc, sizeof(char *), compare_names);
		for (size_t i = 0; i < matches.gl_pathc; i++)
			include_file(include, where, matches.gl_pathv[i]);
	}
	globfree(&matches);
	free(full);
}

static void include_path(struct include *include, const struct node *where)
{
	const char *path = where->text;

	if (where->type == NODE_BAD)
		return;
	if (where->type != NODE_SCALAR || !*path) {
		diagnostics_add(include->list, SEVERITY_ERROR, "wrong-type", where->at, NULL,
				"'include' must be a list of paths, not %s",
				where->type == NODE_SCALAR ? "an empty text" : node_kind(where));
		include->complete = false;
		return;
	}
	if (strpbrk(path, "*?[")) {
		include_glob(include, where, path);
		return;
	}

	const char *slash = strrchr(document_file_path(include->document, 1), '/');
	const char *main_path = document_file_path(include->document, 1);
	int folder = path[0] == '/' || !slash ? 0 : (int)(slash - main_path + 1);
	const char *full =
		arena_printf(include->document->arena, "%.*s%s", folder, main_path, path);

	if (full)
		include_file(include, where, full);
	else
		include_failed(include, where, "not enough memory");
}

bool document_include(struct document *document, const struct node *value, struct diagnostics *list)
{
	struct include include = { .document = document, .list = list, .complete = true };

	if (value->type == NODE_NULL)
		return true;
	seen_before(&include, document_file_path(document, 1));
	if (value->type != NODE_SEQUENCE)
		include_path(&include, value);
	for (uint32_t i = 0; value->type == NODE_SEQUENCE && i < value->count; i++)
		include_path(&include, &value->items[i]);
	return include.complete;
}
