/* Schemas, rules and persons for tests, from short texts. */
#ifndef ROLEBRIDGE_TESTS_RULES_SUPPORT_H
#define ROLEBRIDGE_TESTS_RULES_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <rolebridge/rules/ruleset.h>

/* A text where a scalar would stand: file 1, line 1, column 1, verbatim. */
struct located support_located(const char *text);
/*
 * Sources hr (0) and corp (1). Beside the built-in attributes: code (exact), level (integer),
 * active (boolean), boss (DN), hired (time), ssn (sensitive), clearance (absent unknown in hr).
 */
struct schema *support_schema(void);
/* The type of hr: "ldif" unless a test says otherwise. */
extern const char *support_hr_type;
/*
 * Lines "source name=value" ("hr title=Intern"). Names: attributes, group (known to the
 * registry or dropped), dn, incomplete (any value). Sources appear by being named.
 */
void support_person(const struct schema *schema, const struct group_registry *registry,
		    const char *lines, struct arena *arena, struct person *ret_person);

/* A parsed catalogue and what was compiled from it. */
struct support_rules {
	struct arena *arena;
	struct document *document;
	struct diagnostics *list;
	struct catalogue_settings settings;
	struct schema *schema;
	struct group_registry *registry;
	struct ruleset *rules; /* NULL: refused */
	uint8_t *unknown;
	struct group_states states; /* all groups known */
};

/* YAML of the catalogue; default profile "basic" when profiles declare it. */
void support_rules_init(struct support_rules *ret_rules, const char *yaml);
void support_rules_finish(struct support_rules *rules);
/* The first finding with that code; NULL: none. */
const struct diagnostic *support_find(const struct diagnostics *list, const char *code);
void support_print(const struct diagnostics *list);

/* Profiles basic, staff, admin, roles sales, ops, persona lead: head of most tests' YAML. */
#define CATALOGUE \
	"profiles: [{name: basic}, {name: staff}, {name: admin}]\n" \
	"segments: [Core]\n" \
	"roles:\n" \
	"  - {name: sales, classifications: [Sales], segments: [Core]}\n" \
	"  - {name: ops, classifications: [Support], segments: [Core]}\n" \
	"personas: [{name: lead, title: Lena}]\n"

#endif
