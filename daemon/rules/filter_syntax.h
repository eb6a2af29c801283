/*
 * The syntax tree of an RFC 4515 filter, with the place of every piece.
 *
 * In: the filter's text. Out: a tree in the caller's arena; values are
 * unescaped. What may fail: syntax (one diagnostic, at its column; nothing
 * after it is read), text over 64 KiB, nesting over 64, more than 10,000
 * nodes, memory. Names and values are not judged here.
 */
#ifndef ROLEBRIDGE_RULES_FILTER_SYNTAX_H
#define ROLEBRIDGE_RULES_FILTER_SYNTAX_H

#include <stddef.h>

#include <rolebridge/config/document.h>

#define FILTER_TEXT_MAX (64u * 1024)
#define FILTER_DEPTH_MAX 64
#define FILTER_NODES_MAX 10000

enum filter_kind {
	FILTER_AND,
	FILTER_OR,
	FILTER_NOT,
	FILTER_PRESENT,
	FILTER_EQUAL,
	FILTER_APPROX,
	FILTER_GREATER, /* >= */
	FILTER_LESS,	/* <= */
	FILTER_SUBSTRINGS,
	FILTER_EXTENSIBLE,
};

/* A piece of the filter. data NULL: not there. offset and width are of the written form. */
struct filter_piece {
	const char *data; /* NUL-terminated, unescaped; may hold any other byte */
	size_t size;
	size_t offset, width;
};

struct filter_node {
	enum filter_kind kind;
	size_t offset, width; /* with its parentheses */
	struct filter_node *first_child, *next;
	struct filter_piece attribute; /* without options */
	struct filter_piece options;   /* "x-corp;lang-de": without the first ';' */
	struct filter_piece rule;      /* of an extensible match */
	bool dn;		       /* ":dn" was given */
	struct filter_piece value;
	/* Substrings: pieces between the stars; first and last have size 0 when open. */
	struct filter_piece *parts;
	size_t part_count;
};

/* NULL when a diagnostic was added. list may not be NULL. */
struct filter_node *filter_parse(const struct located *text, struct arena *arena,
				 struct diagnostics *list);

#endif
