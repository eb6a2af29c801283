/*
 * Conditions, compiled: flat arrays of nodes and atoms over one schema.
 *
 * A program is written by the compiler only (compile.c) and read by the
 * evaluator (evaluate.c), the candidate index (index.c) and lint (lint.c).
 * It is immutable once compiled and may be shared by threads. What may fail
 * is said at each function; errors of the configuration become diagnostics.
 */
#ifndef ROLEBRIDGE_RULES_PROGRAM_H
#define ROLEBRIDGE_RULES_PROGRAM_H

#include <rolebridge/base/arena.h>
#include <rolebridge/base/hash.h>
#include <rolebridge/base/strbuf.h>
#include <rolebridge/rules/ruleset.h>

/* How two values are compared. */
enum comparison {
	COMPARE_CASELESS,
	COMPARE_EXACT,
	COMPARE_INTEGER,
	COMPARE_BOOLEAN,
	COMPARE_DN,
	COMPARE_TIME,
};

enum test {
	TEST_PRESENT,
	TEST_EQUAL,
	TEST_SUBSTRINGS,
	TEST_GREATER,  /* or equal */
	TEST_LESS,     /* or equal */
	TEST_BITS_ALL, /* 1.2.840.113556.1.4.803 */
	TEST_BITS_ANY, /* 1.2.840.113556.1.4.804 */
	TEST_GROUP,
	TEST_UNKNOWN, /* what stood there cannot be read any more */
};

/* A value as its comparison sees it: number for integers, booleans and times, else text. */
struct prepared {
	const char *text; /* NULL: a number */
	size_t size;
	int64_t number;
};

/*
 * 24 bytes, so that what a person's rules need stays in the cache. What the unions hold follows
 * from test and comparison: a group, parts of a substring match, else one prepared value.
 */
struct atom {
	uint8_t test;		   /* enum test */
	uint8_t comparison;	   /* enum comparison */
	bool with_dn;		   /* the naming values of the entry's DN count too */
	bool open_start, open_end; /* substrings: begins, ends with a star */
	uint16_t attribute;
	int16_t source; /* -1: the merged view */
	union {
		uint32_t group; /* registry id */
		uint32_t size;	/* of text */
		uint32_t part_count;
	};
	union {
		source_mask group_sources; /* sources that could say so */
		const char *text;
		int64_t number;
		const struct prepared *parts;
	};
};

/* What only explaining, ":dn" and canonical forms need; parallel to the atoms. */
struct atom_detail {
	const char *name; /* of the group, canonical; of with_dn's naming attribute, lower case */
	const char *written; /* as in the filter */
};

static inline bool comparison_is_number(uint8_t comparison)
{
	return comparison == COMPARE_INTEGER || comparison == COMPARE_BOOLEAN ||
	       comparison == COMPARE_TIME;
}

/* The asserted value; neither for groups nor for substrings. */
static inline struct prepared atom_value(const struct atom *atom)
{
	if (comparison_is_number(atom->comparison))
		return (struct prepared){ .number = atom->number };
	return (struct prepared){ .text = atom->text, .size = atom->size };
}

enum node_kind { NODE_AND, NODE_OR, NODE_NOT, NODE_ATOM };

/* Preorder; children of i begin at i + 1, the subtree ends before end. */
struct node {
	enum node_kind kind;
	uint32_t end;
	uint32_t atom;
};

struct program {
	struct arena *arena;
	const struct schema *schema;
	struct group_registry *registry; /* while compiling; NULL: no groups allowed */
	struct node *nodes;
	struct atom *atoms;
	struct atom_detail *details; /* parallel */
	uint32_t node_count, atom_count;
	uint32_t node_capacity, atom_capacity;
	const char **sources; /* names, for group_name_normalize */
	bool *reads;	      /* per schema id */
	int64_t now_s; /* over people: what times like -30d are relative to; 0: a rule, which has none */
};

#define NO_NODE UINT32_MAX

static inline const struct atom_detail *atom_detail_of(const struct program *program,
						       const struct atom *atom)
{
	return &program->details[atom - program->atoms];
}

/* 0 or -1 (memory). Borrows schema and registry. */
int program_init(struct program *program, const struct schema *schema,
		 struct group_registry *registry);
void program_finish(struct program *program);
/*
 * Compile (any of groups) AND when; either may be missing, not both. *ret_root is
 * the condition's first node. -1 when something was wrong: diagnostics were added.
 */
int program_compile(struct program *program, const struct located_list *groups,
		    const struct located *when, uint32_t *ret_root, struct diagnostics *list);
/* A condition that is unknown for everybody; -1: out of memory, said in list. */
int program_leave_open(struct program *program, uint32_t *ret_root, struct diagnostics *list);

/* --- values (value.c) --- */

/* Room for prepared values during one evaluation; falls back to the heap for long or non-ASCII ones. */
struct scratch {
	char fast[512];
	struct strbuf text, dn;
	bool failed; /* out of memory: the result is void */
};

void scratch_init(struct scratch *scratch);
void scratch_finish(struct scratch *scratch);
/*
 * A stored value as the comparison sees it, valid until the next call; false when it is no
 * value of that syntax (or memory ran out: scratch->failed).
 */
bool value_prepare(enum comparison comparison, const char *value, struct scratch *scratch,
		   struct prepared *ret_prepared);
/* "-30d", "+12h" as a time: units s, m, h, d, w. false: it is none. */
bool value_relative_time(const char *text, int64_t now_s, struct prepared *ret_prepared);
/* Replaces out; false: not a DN, or out of memory (scratch->failed). */
bool value_normalize_dn(const char *value, struct strbuf *out, struct scratch *scratch);
/* Does one prepared value pass the test of the atom? */
bool value_passes(const struct atom *atom, const struct prepared *value);
/* Comparison of an attribute of this syntax. */
enum comparison comparison_of(enum attribute_syntax syntax);
const char *comparison_noun(enum comparison comparison); /* "an integer", for messages */
bool comparison_is_text(enum comparison comparison);	 /* substrings exist */
bool comparison_is_ordered(enum comparison comparison);

/* --- canonical form, for lint and the digest (canonical.c) --- */

/* Equal for conditions that mean the same up to order and nesting of & and |. */
struct hash128 program_hash(const struct program *program, uint32_t root);
/* Write everything about the condition that can change its truth. */
void program_serialize(const struct program *program, uint32_t root, struct strbuf *out);

/* --- evaluation (evaluate.c) --- */

/* What a person has for one attribute, merged or of one source. */
enum view_state { VIEW_VALUES, VIEW_ABSENT, VIEW_UNKNOWN };
struct view {
	enum view_state state;
	const struct attribute *attribute; /* VIEW_VALUES */
	source_mask sources;		   /* who delivered it, was asked, or owes it */
};
void view_attribute(const struct person *person, const struct schema *schema, uint16_t attribute,
		    int source, struct view *ret_view);

struct truth {
	enum match match;
	source_mask support;
};

struct trace {
	struct arena *arena;
	struct trace_node *nodes; /* heap */
	size_t count, capacity;
	bool show_sensitive;
	bool failed;
};

struct evaluation {
	const struct program *program;
	const struct person *person;
	const struct group_states *groups;
	struct scratch *scratch;
	struct trace *trace; /* NULL: only decide */
	unsigned depth;
};

/*
 * The one evaluator. A YES that rests on nobody's data ("(&)") is supported by all sources of
 * the person. Void when scratch->failed or trace->failed afterwards.
 */
struct truth evaluate_condition(struct evaluation *evaluation, uint32_t root);
/* Is the person a member? group_sources: sources that could say so. */
struct truth evaluate_group(const struct person *person, const struct group_states *groups,
			    uint32_t group, source_mask group_sources);
/* What to write beside an atom of a trace (explain.c); NULL: out of memory. */
const char *explain_atom_text(const struct evaluation *evaluation, const struct atom *atom);
const char *explain_atom_because(const struct evaluation *evaluation, const struct atom *atom,
				 const struct truth *truth, bool by_dn);

/* --- candidate index (index.c) --- */

struct rule_index;

/* What evaluation needs of a rule before it matches. */
struct rule_entry {
	int64_t expires_s;
	const char *organization; /* NULL: for everybody */
	uint32_t root;
};

/* NULL: out of memory. entries[i]: rule i. */
struct rule_index *rule_index_create(const struct program *program,
				     const struct rule_entry *entries, uint32_t count);
void rule_index_destroy(struct rule_index *index);

/* Candidates of one person: bit i for rule i, and a bit for every word that may hold some. */
struct candidates {
	uint64_t *words, *summary;
};

/* Words and summary words that rule_index_candidates needs. */
size_t rule_index_words(const struct rule_index *index);
static inline size_t summary_words(size_t words)
{
	return (words + 63) / 64;
}
/*
 * Find every rule that may be other than NO. The words must be zero before; whoever
 * takes the candidates out leaves them so.
 */
void rule_index_candidates(const struct rule_index *index, const struct person *person,
			   const struct group_states *groups, struct scratch *scratch,
			   const struct candidates *candidates);

/* --- the ruleset itself (ruleset.c) --- */

struct ruleset {
	struct program program;
	struct rule *rules;
	struct rule_entry *entries; /* parallel */
	uint32_t count;
	uint32_t *groups; /* ascending */
	size_t group_count;
	struct hash_table *by_id;
	struct owners *owners; /* while it is compiled; else NULL */
	struct rule_index *index;
	struct hash128 digest;
};

/* --- whose what rules give is (owners.c) --- */

/* -1: out of memory. */
int owners_list(struct ruleset *rules, const struct catalogue_settings *settings);
void owners_forget(struct ruleset *rules);
/* NULL: everybody's. Between the two. */
const char *owner_of(const struct ruleset *rules, enum grant_kind kind, const char *name);

/* --- checks (check.c) and lint (lint.c) --- */

void catalogue_check(const struct catalogue_settings *settings, const char *default_profile,
		     struct diagnostics *list);
void ruleset_lint_conditions(const struct catalogue_settings *settings, const struct ruleset *rules,
			     struct diagnostics *list);
/* Static truth: 1 always, 0 never, -1 it depends. */
int program_static_truth(const struct program *program, uint32_t root);

#endif
