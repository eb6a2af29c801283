/*
 * Definitions of the store as part of a configuration.
 *
 * What administrators define through API and CLI stands in the store as JSON, which is YAML 1.2: it is
 * rendered as texts behind the configuration's files, one definition a line, and from there on takes the
 * road of everything else. What a file declares with the same name wins.
 */
#ifndef ROLEBRIDGE_MAIN_DEFINITIONS_H
#define ROLEBRIDGE_MAIN_DEFINITIONS_H

#include <rolebridge/config/document.h>
#include <rolebridge/rules/ruleset.h>
#include <rolebridge/store/definition.h>

#include "settings.h"

/* What diagnostics show for a file of theirs. */
#define DEFINITIONS_PATH "store"

/* What can be defined, in the order in which it is rendered: one row each. */
struct definition_kind {
	const char *kind, *list; /* "role"; "roles", the list of a configuration */
	size_t items;		 /* that list in struct settings */
	size_t size, name;	 /* of one item; of its name in it */
	size_t organization;	 /* where its owner is told; 0: nowhere */
	bool pointers;		 /* the list holds pointers to items (variants) */
};
/* NULL: no such kind. */
const struct definition_kind *definition_kind(const char *kind);
/* Number i of what the settings have of it, files and store together; NULL: no more. */
const void *definition_item(const struct definition_kind *kind, const struct settings *settings,
			    size_t i);
const char *definition_item_name(const struct definition_kind *kind, const void *item);

/* One that is to be in force, and where it stands in the configuration. */
struct placed_definition {
	const char *kind, *name, *body;
	const char *organization; /* NULL: all share it */
	bool changing;		  /* about to be stored: no leniency */
	bool shadowed;		  /* left out: a file declares the name */
	unsigned file, line;
};

struct definition_list {
	struct placed_definition *items;
	size_t count;
	/*
	 * Rules that are not changing may name what nothing declares any more: it has no permissions. Sources
	 * may, too: they are switched off.
	 */
	bool lenient;
	struct persona_knowledge personas; /* for findings */
};

/* Those of the rows that are in force. */
int definitions_of_rows(const struct definition *rows, size_t count, struct arena *arena,
			struct definition_list *ret_list, struct err *err);

/*
 * Rows of a store that may not be there yet; nothing is written. *ret_seeded false: the shipped ones
 * were never put there (no store, or one of an older schema).
 */
int definitions_read(const char *store_path, struct arena *arena, struct definition **ret_rows,
		     size_t *ret_count, bool *ret_seeded, struct err *err);
/* What the store knows of personas, for warnings. */
int definitions_know_personas(const char *store_path, struct arena *arena,
			      struct definition_list *list, struct err *err);
/* On an open handle. */
int definitions_seeded(struct store *store, struct arena *arena, bool *ret_seeded, struct err *err);
/* Once, inside a transaction. */
int definitions_seed(struct store *store, const struct definition_list *seeds, int64_t now_s,
		     struct err *err);

/* The shipped profiles and roles that fit these settings (seeds.c). */
int seeds_list(const struct catalogue_settings *catalogue, struct arena *arena,
	       struct definition_list *ret_list, struct err *err);

/* Behind the document's files; fills file and line. -1: said in findings. */
int definitions_append(struct definition_list *list, struct document *document, struct arena *arena,
		       struct diagnostics *findings);

/* Places alone, as definitions_append would fill them behind these files. */
void definitions_place(struct definition_list *list, const struct document *document);

/*
 * After the settings were read: what a file declares too is left out with a warning, and stored roles whose
 * classifications or segments are not enabled any more are not refused for it.
 */
int definitions_settle(struct definition_list *list, const struct document *document,
		       struct settings *settings, struct diagnostics *findings);

/* The definition that a finding is about; NULL: none. */
const struct placed_definition *definitions_at(const struct definition_list *list,
					       struct position at);
/* "permissions[2]" or "" from a place in its line; from the arena, NULL: out of memory. */
const char *definition_field(const struct placed_definition *definition, struct position at,
			     struct arena *arena);

#endif
