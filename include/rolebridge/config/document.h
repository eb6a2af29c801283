/*
 * A configuration as read from YAML 1.2 files: texts with positions.
 *
 * rolebridge.yaml may name `include:` globs (all of conf.d); the files are
 * merged at the top level: lists are concatenated in file order, mappings are
 * joined (a key in two of them is an error), a scalar given twice is an error.
 * Limits: 8 MiB per file, 64 MiB in all, 256 files, depth 64, 256 KiB per
 * line. Anchors, aliases, tags, directives and a second document are refused,
 * duplicate keys are all reported. Everything said about bad input goes into
 * diagnostics, all in one go (at most one YAML syntax error per file).
 *
 * include: paths and globs are relative to the main file; matches are taken in
 * order of their names, each file once, the main file never. A glob without
 * match is a warning; a path without wildcards must exist; what cannot be read
 * is an error where the include stands.
 */
#ifndef ROLEBRIDGE_CONFIG_DOCUMENT_H
#define ROLEBRIDGE_CONFIG_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <rolebridge/base/arena.h>
#include <rolebridge/base/err.h>

/* Where something stands; the text between can be shown with a caret. */
struct position {
	unsigned file;	 /* index into the document's files, from 1; 0: no position */
	unsigned line;	 /* from 1 */
	unsigned column; /* in bytes, from 1, as compilers count */
	unsigned width;	 /* bytes of the token on that line, at least 1 */
};

/* A text of the configuration and where it stands: inside its quotes; file 0 when it is a default. */
struct located {
	const char *text; /* NULL: not given */
	struct position at;
	/*
	 * The source bytes equal the value: an offset into text is an offset from
	 * at.column (plain or simply quoted, one line).
	 */
	bool verbatim;
};

enum severity { SEVERITY_ERROR, SEVERITY_WARNING };

struct diagnostic {
	enum severity severity;
	struct position at;
	const char *code; /* stable word for tools: "unknown-attribute", "title-only-persona" */
	const char *
		message; /* lower case, no full stop; at most 1,023 bytes, longer ones end in "..." */
	const char *hint; /* full sentence or NULL; the same bound */
};

/* A growing list of findings, at most 1,000 kept (then one says how many more). */
struct diagnostics;

struct diagnostics *diagnostics_create(void);
void diagnostics_destroy(struct diagnostics *list);
void diagnostics_add(struct diagnostics *list, enum severity severity, const char *code,
		     struct position at, const char *hint /* may be NULL */, const char *format,
		     ...) __attribute__((format(printf, 6, 7)));
/* The position of byte offset `offset` (of `width` bytes) within a located text. */
struct position located_at(const struct located *text, size_t offset, size_t width);
size_t diagnostics_errors(const struct diagnostics *list);
size_t diagnostics_warnings(const struct diagnostics *list);
size_t diagnostics_count(const struct diagnostics *list);
/* In order of file, line and column. */
const struct diagnostic *diagnostics_get(const struct diagnostics *list, size_t index);

/* One parsed set of files. Nodes and texts live as long as it does. */
struct document;
struct node;

/* A file handed over as text instead of read from disk (previews through the control socket, tests, fuzzing). */
struct document_file {
	const char *path;
	const char *text;
	size_t size;
};

/*
 * Parse. Findings go to `list`; a document with errors is still returned where
 * anything could be read, so that later stages add their findings. NULL only
 * when nothing at all could be read (the reason is in `list`).
 */
struct document *document_load(const char *path, struct diagnostics *list);
struct document *document_load_files(const struct document_file *files, size_t count,
				     struct diagnostics *list);
/*
 * Put texts made elsewhere (definitions of the store) behind the files: lists at the top level continue those of the
 * files. A key whose value in the files is no list stays as it is there. They count against no limit of
 * numbers of files, and have no `include`. -1: out of memory, or DOCUMENT_APPENDED_MAX; said in list.
 */
#define DOCUMENT_APPENDED_MAX 64
int document_append(struct document *document, const struct document_file *files, size_t count,
		    struct diagnostics *list);
/* How many files there are without the appended ones: those have higher numbers. */
unsigned document_own_files(const struct document *document);
/* Their paths and texts, as read; borrowed. false: out of memory. */
bool document_texts(const struct document *document, struct arena *arena,
		    struct document_file **ret_files, size_t *ret_count);
void document_destroy(struct document *document);
/* As it was given, or found by an include; NULL when there is none. */
const char *document_file_path(const struct document *document, unsigned file);
/*
 * Reading stopped somewhere (syntax error, limit): what refers to something absent
 * may only refer to what was not read, so checks across objects should wait.
 */
bool document_incomplete(const struct document *document);

/*
 * Print all findings as `file:line:col: error: …` with source line, caret
 * and hint. document may be NULL: then without source lines. Control characters are
 * shown as '?'.
 */
void diagnostics_print(const struct diagnostics *list, const struct document *document, FILE *out);
/*
 * The same as JSON array text appended to out: severity, code, message, hint (when there
 * is one) and, when it has a position, file, line, column, width.
 */
struct strbuf;
void diagnostics_json(const struct diagnostics *list, const struct document *document,
		      struct strbuf *out);

static inline void diagnostics_auto(struct diagnostics **list)
{
	diagnostics_destroy(*list);
}
static inline void document_auto(struct document **document)
{
	document_destroy(*document);
}

#endif
