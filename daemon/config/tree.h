/*
 * Inside config/ only: the tree a document is made of.
 *
 * Nodes are compact and live in the document's arena; nothing of libfyaml
 * outlives the parse. Children lie side by side: the items of a sequence, or
 * key, value, key, value … of a mapping. Keys are always scalars, each once.
 */
#ifndef CONFIG_TREE_H
#define CONFIG_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rolebridge/base/arena.h>
#include <rolebridge/config/document.h>

#define DOCUMENT_FILE_BYTES_MAX (8u * 1024 * 1024)
#define DOCUMENT_BYTES_MAX (64u * 1024 * 1024) /* of all files together */
#define DOCUMENT_FILES_MAX 256u
#define DOCUMENT_DEPTH_MAX 64u
#define DOCUMENT_NODES_MAX 4000000u
#define DOCUMENT_LINE_MAX (256u * 1024) /* libfyaml queues tokens per line, 200 bytes each */

enum node_type {
	NODE_NULL,
	NODE_SCALAR,
	NODE_SEQUENCE,
	NODE_MAPPING,
	NODE_BAD, /* already reported: it says nothing more */
};

struct node {
	unsigned char type; /* enum node_type */
	bool plain;	    /* a scalar without quotes */
	bool verbatim;	    /* see struct located */
	bool incomplete;    /* reading stopped inside: what is missing may only be unread */
	struct position at;
	uint32_t count; /* bytes of a scalar, items of a sequence, pairs of a mapping */
	union {
		const char *text;	  /* NUL-terminated */
		const struct node *items; /* count nodes, or 2 * count in a mapping */
	};
};

struct source_file {
	unsigned index; /* from 1, as in struct position; 0: text without positions */
	const char *path;
	const char *text; /* NUL-terminated, without byte order mark */
	size_t size;
};

struct document {
	struct arena *arena;
	struct source_file *files[DOCUMENT_FILES_MAX + DOCUMENT_APPENDED_MAX];
	unsigned file_count;
	unsigned appended; /* the last so many of them */
	size_t bytes;	   /* of all files */
	size_t nodes;
	struct node root; /* always a mapping */
};

/* Walks the lines of a text; cheap as long as offsets grow. */
struct line_cursor {
	const char *text;
	size_t size;
	size_t start; /* of the present line */
	size_t width; /* of the present line without its end (LF or CR LF) */
	size_t next;  /* start of the next line; past size: there is none */
	unsigned line;
};

struct line_cursor line_cursor_start(const struct source_file *file);
/* Put the cursor on the line that holds offset. */
void line_cursor_seek(struct line_cursor *cursor, size_t offset);
/* Put the cursor on a line by its number; false when there is none. */
bool line_cursor_find(struct line_cursor *cursor, unsigned line);

/*
 * Refuse what no YAML reader should see: bytes that are not UTF-8, control
 * characters, endless lines, directives, a second document. The first one
 * found is reported. Returns the bytes that may be parsed: all of them, those
 * of the first document, or 0.
 */
size_t source_check(const struct source_file *file, struct diagnostics *list);

/*
 * Parse one text into nodes; counter: nodes of the whole document so far.
 * Never fails without a finding: *ret_root is then marked incomplete.
 */
void source_parse(const struct source_file *file, struct arena *arena, size_t *counter,
		  struct diagnostics *list, struct node *ret_root);

/*
 * Put the pairs of a mapping in order: drop keys that are no plain texts and
 * keys given twice, both reported. Works in place and returns the new count.
 */
uint32_t mapping_settle(struct node *nodes, uint32_t pairs, struct diagnostics *list);

/* NULL when absent. */
const struct node *mapping_get(const struct node *mapping, const char *key);

/* "a list", "a mapping" … for messages. */
const char *node_kind(const struct node *node);

/*
 * Count a file of size bytes against the bounds. Returns NULL, or what is
 * wrong with it, to follow "cannot read 'path': ".
 */
const char *document_check_size(struct document *document, size_t size);

/* Copy a text in as the next file, without its byte order mark. NULL: out of memory. */
struct source_file *document_add_file(struct document *document, const char *path, const char *text,
				      size_t size);

/*
 * Add the files that the value of `include` names, in order. Returns false when
 * some could not be read: the reason is in list, the document is incomplete.
 */
bool document_include(struct document *document, const struct node *include,
		      struct diagnostics *list);

/* A path that a file names, made absolute: relative ones start at the file's folder. */
const char *document_path(const struct document *document, unsigned file, const char *path,
			  struct arena *arena);

#endif
