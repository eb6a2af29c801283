/*
 * Option tables: one row drives parsing, default, range, --help, man page and
 * JSON Schema. Each folder exports its table; main lists them in the root table.
 *
 * A table describes a YAML mapping and the C struct it fills. The struct's
 * first member is `struct position at;` (where the mapping stands). Unknown
 * keys are errors with a did-you-mean.
 *
 * `key:` with nothing behind it (YAML's null) counts as not given, so that the
 * default holds; but a list, a mapping, strings and pairs are then given and
 * empty: `may_grant:` with all lines below it commented out allows nothing.
 *
 * What was not given: a located text has at.file 0 (and the default's text, or
 * NULL), lists have items NULL, an embedded table has at.file 0 and its
 * defaults. Lists that were given have items, though count may be 0.
 */
#ifndef ROLEBRIDGE_CONFIG_OPTIONS_H
#define ROLEBRIDGE_CONFIG_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rolebridge/base/arena.h>
#include <rolebridge/config/document.h>

enum option_type {
	OPTION_BOOL,	/* bool: true/false only (YAML 1.2 core) */
	OPTION_INT,	/* int64_t; plain decimal digits */
	OPTION_SECONDS, /* int64_t: "90", "5m", "1h30m", "2d"; s m h d w */
	OPTION_BYTES,	/* int64_t: "64KiB", "8MiB", plain bytes */
	OPTION_PERCENT, /* int64_t whole percent: "5%" or "5" */
	OPTION_DATE,	/* int64_t seconds: YYYY-MM-DD, UTC */
	OPTION_ENUM,	/* int: index into choices */
	OPTION_STRING,	/* struct located */
	OPTION_PATH,	/* struct located; relative to the file that names it: made absolute */
	OPTION_STRINGS, /* struct located_list: a list of scalars, or one scalar */
	OPTION_TABLE,	/* a nested mapping: the nested struct is embedded at offset */
	OPTION_LIST,	/* struct struct_list of table's struct: a list of mappings */
	OPTION_PAIRS,	/* struct pair_list: a free mapping of name to scalar or list of scalars */
};

struct located_list {
	size_t count;
	const struct located *items;
};

struct struct_list {
	size_t count;
	void *items; /* array of table->struct_size bytes each; with variants: array of pointers */
};

struct pair {
	struct located name;
	struct located_list values;
};

struct pair_list {
	struct position at;
	size_t count;
	const struct pair *items;
};

#define OPTION_REQUIRED (1u << 0)  /* must be given */
#define OPTION_NOT_EMPTY (1u << 1) /* a string or list may not be empty */
/* A number: not given is -1, and the table's check sets what holds; default_text is only told. */
#define OPTION_MARK_ABSENT (1u << 2)

struct option_table;

struct option {
	const char *name; /* NULL ends a table */
	enum option_type type;
	unsigned flags;
	size_t offset; /* of the field: OPTION_FIELD(struct x, y) */
	/*
	 * Numbers: inclusive range (both 0: what the type can hold, percents 0 to 100; max below
	 * min: no upper bound). Strings: length in bytes (0 max: 64 KiB). Lists: count (0 max: any).
	 */
	int64_t min, max;
	const char *default_text;   /* parsed like the YAML text, flow style; NULL: zero/absent */
	const char *const *choices; /* OPTION_ENUM: NULL-terminated */
	const struct option_table *table; /* OPTION_TABLE, OPTION_LIST */
	const char *help; /* one or two sentences, for --help, man page and schema */
};

#define OPTION_FIELD(type, member) offsetof(type, member)

struct option_table {
	const char *name; /* "sources[]", for the manual */
	const char *help; /* paragraph for the manual */
	size_t struct_size;
	const struct option *options;
	/* Rows shared with other tables (struct embedded first); may be NULL. */
	const struct option_table *base;
	/* In an OPTION_LIST: a scalar item stands for {shorthand: scalar}; may be NULL. */
	const char *shorthand;
	/*
	 * In an OPTION_LIST: the key `type` picks the table of each item by its name; NULL-terminated; the
	 * table itself then only carries what all have (its rows are the variants' base, and may hold
	 * `type` as OPTION_STRING). An item of unknown type has room for the largest variant.
	 */
	const struct option_table *const *variants;
	/*
	 * Called after an item was filled, base first, for checks across fields; adds diagnostics.
	 * Also after findings: a required text may be NULL. Not for tables that were not given, nor
	 * where reading stopped inside. May be NULL.
	 */
	void (*check)(void *item, struct diagnostics *list);
};

/*
 * Fill *config (table->struct_size bytes, zeroed by the callee) from the
 * document's root. Texts borrow the arena. Defaults are set even where errors
 * were found, so that further checks can run. All findings go to list.
 */
void options_parse(const struct option_table *root, const struct document *document,
		   struct arena *arena, void *ret_config, struct diagnostics *list);

/* The row of that name, in the table or its bases; NULL when absent. */
const struct option *option_table_find(const struct option_table *table, const char *name);

/* Generators, held to the tables by a test. */
struct strbuf;
/* JSON Schema 2020-12, indented, one newline at the end. */
void options_print_schema(const struct option_table *root, struct strbuf *out);
/* Body of the man page: one subsection (.Ss) for each table, with a list of its keys. */
void options_print_mdoc(const struct option_table *root, struct strbuf *out);
/* The same as plain text. */
void options_print_help(const struct option_table *root, struct strbuf *out);

#endif
