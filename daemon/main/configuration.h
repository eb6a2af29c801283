/*
 * A configuration in force or on trial: everything made from the files, in
 * one object with one lifetime.
 *
 * Enter: a path, or the texts of files. Leave: a struct setup for change/, or
 * findings. Reading a configuration has no effect outside its own memory.
 */
#ifndef ROLEBRIDGE_MAIN_CONFIGURATION_H
#define ROLEBRIDGE_MAIN_CONFIGURATION_H

#include <rolebridge/change/changer.h>
#include <rolebridge/change/select.h>

#include "definitions.h"
#include "settings.h"

struct configuration {
	struct setup setup; /* setup.owner is this */
	struct arena *arena;
	struct document *document;
	struct settings settings;
	struct schema *schema;
	struct ruleset *rules;
	struct group_registry *registry;
	struct group_states states; /* as known when it was read; change/ keeps the live ones */
	const bool *needed; /* per schema id: attributes that rules, segments or links read */
	struct segments_needs segments; /* what these read */
	size_t tests_run;
	struct definition_list definitions; /* of the store, or the shipped ones */
};

/*
 * Read, check, compile, run the rule tests. registry: group numbers known so far (copied; NULL:
 * none). files NULL: read from path and the disk. definitions: what the store defines (copied); NULL: the
 * shipped ones, as at the first start. All findings go to list.
 * *ret_document (may be NULL) gets the document for printing findings, owned by the caller, only when NULL is returned.
 * Returns a configuration with one reference (setup_release its setup), or NULL when anything was wrong.
 */
struct configuration *configuration_load(const char *path, const struct document_file *files,
					 size_t file_count, const struct group_registry *registry,
					 const struct definition_list *definitions,
					 struct diagnostics *list, struct document **ret_document);

/* What was found, if anything, to standard error. document: the configuration's, or the one that was refused. */
void configuration_report(const struct diagnostics *list, const struct document *document);
/*
 * What the store that a configuration names defines, before it is read for good. *ret_definitions NULL: nothing
 * yet, the shipped ones will be put there. On failure too the shipped ones stand for them.
 */
int configuration_definitions(const char *path, struct arena *arena,
			      struct definition_list **ret_definitions, struct err *err);

/* The store that a configuration names, which may hold any number of errors: "" when it does not say, or cannot be read that far. */
const char *configuration_store(const char *path, struct arena *arena);

static inline struct configuration *configuration_of(struct setup *setup)
{
	return setup->owner;
}

/*
 * Groups to look for in a source, under the names the source knows, for its read
 * function; from the arena.
 */
struct wanted_group;
int configuration_wanted_groups(const struct configuration *configuration,
				const struct source_settings *source, struct arena *arena,
				struct wanted_group **ret_groups, size_t *ret_count,
				struct err *err);

#endif
