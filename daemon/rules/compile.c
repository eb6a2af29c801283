/*
 * Syntax trees to programs: names become numbers, asserted values are prepared.
 *
 * In: a parsed filter, a list of groups, the schema, the registry. Out: nodes
 * and atoms at the end of the program. What may fail: names nobody declared,
 * values that are none of their syntax, matches that the syntax does not
 * have, memory. All findings of one condition are reported in one go.
 */
#include "filter_syntax.h"
#include "program.h"

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

#define PROGRAM_MAX ((size_t)1024 * 1024 * 1024)

struct compiler {
	struct program *program;
	const struct located *text; /* the filter */
	struct diagnostics *list;
	struct scratch scratch;
	const char *name; /* of the atom being made: its group, or its naming attribute */
	bool failed;
};

static void compile_fail(struct compiler *c, const char *code, const struct filter_piece *piece,
			 const char *hint, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

static void compile_fail(struct compiler *c, const char *code, const struct filter_piece *piece,
			 const char *hint, const char *format, ...)
{
	char message[512];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	c->failed = true;
	diagnostics_add(c->list, SEVERITY_ERROR, code,
			located_at(c->text, piece->offset, piece->width ? piece->width : 1), hint,
			"%s", message);
}

static void compile_fail_memory(struct compiler *c)
{
	if (!c->failed)
		diagnostics_add(c->list, SEVERITY_ERROR, "out-of-memory",
				c->text ? c->text->at : (struct position){ 0 }, NULL,
				"out of memory while compiling a rule");
	c->failed = true;
}

/* --- growing the program --- */

static uint32_t push_node(struct compiler *c, enum node_kind kind, uint32_t atom)
{
	struct program *program = c->program;

	if (program->node_count == program->node_capacity) {
		uint32_t capacity = program->node_capacity ? program->node_capacity * 2 : 64;
		struct node *nodes =
			capacity < UINT32_MAX / 2
				? alloc_resize(program->nodes, capacity * sizeof(*nodes))
				: NULL;

		if (nodes == NULL) {
			compile_fail_memory(c);
			return NO_NODE;
		}
		program->nodes = nodes;
		program->node_capacity = capacity;
	}
	program->nodes[program->node_count] =
		(struct node){ .kind = kind, .end = program->node_count + 1, .atom = atom };
	return program->node_count++;
}

static void close_node(struct compiler *c, uint32_t at)
{
	if (at != NO_NODE)
		c->program->nodes[at].end = c->program->node_count;
}

static bool grow_atoms(struct program *program)
{
	uint32_t capacity = program->atom_capacity ? program->atom_capacity * 2 : 64;
	struct atom_detail *details;
	struct atom *atoms;

	if (capacity >= UINT32_MAX / 2)
		return false;
	atoms = alloc_resize(program->atoms, capacity * sizeof(*atoms));
	if (atoms == NULL)
		return false;
	program->atoms = atoms;
	details = alloc_resize(program->details, capacity * sizeof(*details));
	if (details == NULL)
		return false;
	program->details = details;
	program->atom_capacity = capacity;
	return true;
}

static void push_atom(struct compiler *c, const struct atom *atom, const char *written)
{
	struct program *program = c->program;

	if (written == NULL ||
	    (program->atom_count == program->atom_capacity && !grow_atoms(program))) {
		compile_fail_memory(c);
		return;
	}
	program->atoms[program->atom_count] = *atom;
	program->details[program->atom_count] =
		(struct atom_detail){ .name = c->name, .written = written };
	if (push_node(c, NODE_ATOM, program->atom_count) != NO_NODE)
		program->atom_count++;
}

/* --- groups --- */

/* Who could say that somebody is in the group: its source, or every directory. */
static source_mask sources_knowing(const struct schema *schema, const struct group *group)
{
	source_mask sources = 0;

	for (uint16_t i = 0; i < schema_source_count(schema); i++)
		if (group->source[0] != '\0'
			    ? strcmp(schema_source_name(schema, i), group->source) == 0
			    : schema_source_is_directory(schema, i))
			sources |= (source_mask)1 << i;
	return sources;
}

/* err says what is wrong with the name; 0 or -1. */
static int group_atom(struct compiler *c, const char *name, struct atom *ret, struct err *err)
{
	struct program *program = c->program;
	AUTO(strbuf) struct strbuf canonical = STRBUF(64 * 1024);
	const struct group *group;
	uint32_t id;

	if (group_name_normalize(name, program->sources, schema_source_count(program->schema),
				 &canonical, err) < 0)
		return -1;
	if (strbuf_failed(&canonical))
		return err_set(err, ERR_TOO_LARGE, "group name longer than 64 KiB");
	id = group_registry_add(program->registry, strbuf_text(&canonical), err);
	if (id == 0)
		return -1;
	group = group_registry_get(program->registry, id);
	*ret = (struct atom){ .test = TEST_GROUP,
			      .source = -1,
			      .group = id,
			      .group_sources = sources_knowing(program->schema, group) };
	c->name = arena_strdup(program->arena, group->name);
	if (c->name == NULL)
		return err_set(err, ERR_MEMORY, "out of memory for group '%s'", group->name);
	return 0;
}

static void compile_groups(struct compiler *c, const struct located_list *groups)
{
	uint32_t any = groups->count > 1 ? push_node(c, NODE_OR, 0) : NO_NODE;

	for (size_t i = 0; i < groups->count; i++) {
		const struct located *name = &groups->items[i];
		struct atom atom;
		struct err err = { 0 };

		if (group_atom(c, name->text, &atom, &err) < 0) {
			diagnostics_add(c->list, SEVERITY_ERROR, "bad-group", name->at,
					"A group is named by its DN, its immutable id, or "
					"SOURCE:name.",
					"%s", err.text);
			c->failed = true;
			continue;
		}
		push_atom(c, &atom, arena_printf(c->program->arena, "groups: %s", c->name));
	}
	close_node(c, any);
}

/* --- attribute descriptions --- */

static int find_attribute(struct compiler *c, const struct filter_piece *name)
{
	int id = schema_find(c->program->schema, name->data, name->size);
	const char *nearest, *declared = "Attributes are declared in sources[].attributes.";
	char hint[512];

	if (id >= 0)
		return id;
	nearest = schema_nearest(c->program->schema, name->data);
	if (nearest != NULL)
		snprintf(hint, sizeof(hint), "Did you mean '%.128s'? %s", nearest, declared);
	else if (text_ascii_equal_caseless(name->data, "memberOf"))
		snprintf(hint, sizeof(hint),
			 "Membership is asked by the rule's groups, or by "
			 "(memberOf:1.2.840.113556.1.4.1941:=DN). %s",
			 declared);
	else
		snprintf(hint, sizeof(hint), "%s", declared);
	compile_fail(c, "unknown-attribute", name, hint, "unknown attribute '%.200s'", name->data);
	return -1;
}

/* The only option is x-SOURCE. Returns the source, -1 for none, -2 when wrong. */
static int find_source(struct compiler *c, const struct filter_piece *options)
{
	const struct schema *schema = c->program->schema;
	const char *nearest;
	char hint[256];
	int source;

	if (options->data == NULL)
		return -1;
	if (strncasecmp(options->data, "x-", 2) != 0 || strchr(options->data, ';') != NULL) {
		compile_fail(c, "filter-unsupported", options,
			     "Write attribute;x-SOURCE to read one source only.",
			     "unknown attribute option ';%.128s'", options->data);
		return -2;
	}
	source = schema_find_source(schema, options->data + 2, options->size - 2);
	if (source >= 0)
		return source;
	nearest = text_nearest(options->data + 2, c->program->sources, schema_source_count(schema));
	snprintf(hint, sizeof(hint), "Did you mean '%.128s'?", nearest ? nearest : "");
	compile_fail(c, "unknown-source", options, nearest ? hint : NULL, "unknown source '%.128s'",
		     options->data + 2);
	return -2;
}

/* --- values --- */

static bool keep_prepared(struct compiler *c, const struct prepared *value, struct prepared *ret)
{
	*ret = *value;
	if (value->text != NULL) {
		ret->text = arena_strndup(c->program->arena, value->text, value->size);
		if (ret->text == NULL)
			compile_fail_memory(c);
	}
	return value->text == NULL || ret->text != NULL;
}

static bool compile_value(struct compiler *c, enum comparison comparison,
			  const struct filter_piece *piece, struct prepared *ret)
{
	struct prepared value;

	if (comparison == COMPARE_TIME && c->program->now_s != 0 &&
	    value_relative_time(piece->data, c->program->now_s, ret))
		return true;
	if (value_prepare(comparison, piece->data, &c->scratch, &value))
		return keep_prepared(c, &value, ret);
	if (c->scratch.failed)
		compile_fail_memory(c);
	else
		compile_fail(c, "filter-value", piece, NULL, "'%.200s' is not %s", piece->data,
			     comparison_noun(comparison));
	return false;
}

/* Does white space stand at the edges of a part? Preparation itself tells. */
static void find_edges(struct compiler *c, enum comparison comparison, const char *part,
		       bool *ret_before, bool *ret_after)
{
	AUTO(strbuf) struct strbuf framed = STRBUF(FILTER_TEXT_MAX + 16);
	struct prepared value;

	*ret_before = *ret_after = false;
	strbuf_printf(&framed, "x%sx", part);
	if (strbuf_failed(&framed) ||
	    !value_prepare(comparison, strbuf_text(&framed), &c->scratch, &value)) {
		compile_fail_memory(c);
		return;
	}
	*ret_before = value.size > 2 && value.text[1] == ' ';
	*ret_after = value.size > 2 && value.text[value.size - 2] == ' ';
}

/* A part keeps white space, as one space, at an edge that faces a star. */
static bool compile_part(struct compiler *c, const struct atom *atom, bool first, bool last,
			 const struct filter_piece *piece, struct prepared *ret)
{
	AUTO(strbuf) struct strbuf text = STRBUF(32 * FILTER_TEXT_MAX);
	struct prepared value;
	bool before, after;

	find_edges(c, atom->comparison, piece->data, &before, &after);
	if (c->failed || !compile_value(c, atom->comparison, piece, &value))
		return false;
	if (value.size == 0) {
		strbuf_puts(&text, before && !last ? " " : "");
	} else {
		strbuf_puts(&text, before && !first ? " " : "");
		strbuf_append(&text, value.text, value.size);
		strbuf_puts(&text, after && !last ? " " : "");
	}
	if (strbuf_failed(&text)) {
		compile_fail_memory(c);
		return false;
	}
	value = (struct prepared){ .text = strbuf_text(&text), .size = text.size };
	return keep_prepared(c, &value, ret);
}

static bool compile_substrings(struct compiler *c, const struct filter_node *node,
			       struct atom *atom)
{
	size_t last = node->part_count - 1;
	struct prepared *parts =
		arena_alloc_array(c->program->arena, node->part_count, sizeof(*parts));

	if (parts == NULL) {
		compile_fail_memory(c);
		return false;
	}
	atom->open_start = node->parts[0].size == 0;
	atom->open_end = node->parts[last].size == 0;
	for (size_t i = 0; i <= last; i++) {
		if (node->parts[i].size == 0)
			continue;
		if (!compile_part(c, atom, i == 0, i == last, &node->parts[i],
				  &parts[atom->part_count++]))
			return false;
	}
	atom->parts = parts;
	return true;
}

/* --- matching rules --- */

#define ON(syntax) (1u << (syntax))
#define ON_STRINGS (ON(SYNTAX_STRING) | ON(SYNTAX_STRING_EXACT))

static const struct matching_rule {
	const char *name, *oid;
	uint8_t comparison, test;
	unsigned syntaxes;
} matching_rules[] = {
	{ "caseIgnoreMatch", "2.5.13.2", COMPARE_CASELESS, TEST_EQUAL, ON_STRINGS },
	{ "caseExactMatch", "2.5.13.5", COMPARE_EXACT, TEST_EQUAL, ON_STRINGS },
	{ "integerMatch", "2.5.13.14", COMPARE_INTEGER, TEST_EQUAL,
	  ON_STRINGS | ON(SYNTAX_INTEGER) },
	{ "distinguishedNameMatch", "2.5.13.1", COMPARE_DN, TEST_EQUAL,
	  ON_STRINGS | ON(SYNTAX_DN) },
	{ "booleanMatch", "2.5.13.13", COMPARE_BOOLEAN, TEST_EQUAL,
	  ON_STRINGS | ON(SYNTAX_BOOLEAN) },
	{ "generalizedTimeMatch", "2.5.13.27", COMPARE_TIME, TEST_EQUAL,
	  ON_STRINGS | ON(SYNTAX_TIME) },
	{ "LDAP_MATCHING_RULE_BIT_AND", "1.2.840.113556.1.4.803", COMPARE_INTEGER, TEST_BITS_ALL,
	  ON_STRINGS | ON(SYNTAX_INTEGER) },
	{ "LDAP_MATCHING_RULE_BIT_OR", "1.2.840.113556.1.4.804", COMPARE_INTEGER, TEST_BITS_ANY,
	  ON_STRINGS | ON(SYNTAX_INTEGER) },
	{ "LDAP_MATCHING_RULE_IN_CHAIN", "1.2.840.113556.1.4.1941", COMPARE_DN, TEST_GROUP, 0 },
};

static const struct matching_rule *find_matching_rule(struct compiler *c,
						      const struct filter_piece *name)
{
	const char *names[ARRAY_LEN(matching_rules)], *nearest;
	char hint[256];

	for (size_t i = 0; i < ARRAY_LEN(matching_rules); i++) {
		names[i] = matching_rules[i].name;
		if (text_ascii_equal_caseless(names[i], name->data) ||
		    strcmp(matching_rules[i].oid, name->data) == 0)
			return &matching_rules[i];
	}
	nearest = text_nearest(name->data, names, ARRAY_LEN(names));
	snprintf(hint, sizeof(hint),
		 nearest ? "Did you mean '%s'?"
			 : "Known are caseIgnoreMatch, caseExactMatch, integerMatch, "
			   "distinguishedNameMatch, booleanMatch, generalizedTimeMatch and "
			   "1.2.840.113556.1.4.803, .804, .1941.%.0s",
		 nearest ? nearest : "");
	compile_fail(c, "filter-unsupported", name, hint, "unsupported matching rule '%.128s'",
		     name->data);
	return NULL;
}

static bool names_membership(const char *attribute)
{
	static const char *const names[] = { "memberOf", "isMemberOf", "groupMembership",
					     "member" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (text_ascii_equal_caseless(attribute, names[i]))
			return true;
	return false;
}

/* Effective membership in the group that the value names. */
static bool compile_membership(struct compiler *c, const struct filter_node *node, int source,
			       struct atom *atom)
{
	AUTO(strbuf) struct strbuf name = STRBUF(2 * FILTER_TEXT_MAX);
	struct err err = { 0 };

	if (source >= 0)
		strbuf_printf(&name, "%s:", c->program->sources[source]);
	strbuf_puts(&name, node->value.data);
	if (strbuf_failed(&name)) {
		compile_fail_memory(c);
		return false;
	}
	if (group_atom(c, strbuf_text(&name), atom, &err) < 0) {
		compile_fail(c, "bad-group", &node->value,
			     "A group is named by its DN, its immutable id, or SOURCE:name.", "%s",
			     err.text);
		return false;
	}
	return true;
}

/* "(groups=NAME)", as a rule's list has it; over people alone. */
static bool compile_groups_item(struct compiler *c, const struct filter_node *node, int source,
				struct atom *atom)
{
	if (node->kind != FILTER_EQUAL) {
		compile_fail(c, "filter-unsupported", &node->attribute,
			     "Write (groups=NAME), the name as in a rule.",
			     "of groups it is asked whether somebody is in one");
		return false;
	}
	return compile_membership(c, node, source, atom);
}

/* What the store says is not what sources say under the same name. */
static bool narrow_to_only(struct compiler *c, const struct filter_node *node, uint16_t id,
			   int *source)
{
	const struct schema_attribute *info = schema_get(c->program->schema, id);

	if (info->only == 0)
		return true;
	if (*source >= 0 && !info->elsewhere) {
		compile_fail(c, "filter-unsupported", &node->options, NULL,
			     "'%.128s' is not what a source says", node->attribute.data);
		return false;
	}
	if (*source < 0)
		*source = info->only - 1;
	return true;
}

/* "memberOf:1.2.840.113556.1.4.1941:=DN": effective membership in that group. */
static bool compile_chain(struct compiler *c, const struct filter_node *node, int source,
			  struct atom *atom)
{
	if (!names_membership(node->attribute.data)) {
		compile_fail(c, "filter-unsupported", &node->attribute,
			     "Write (memberOf:1.2.840.113556.1.4.1941:=DN of the group).",
			     "the in-chain match asks for membership, '%.128s' does not say it",
			     node->attribute.data);
		return false;
	}
	if (c->program->registry == NULL) {
		compile_fail(c, "filter-unsupported", &node->rule, NULL,
			     "the in-chain match is only possible in rules");
		return false;
	}
	return compile_membership(c, node, source, atom);
}

/* Extensible: comparison and test come from the rule, or are the attribute's equality. */
static bool apply_matching_rule(struct compiler *c, const struct filter_node *node,
				const struct matching_rule *rule, struct atom *atom)
{
	enum attribute_syntax syntax = schema_get(c->program->schema, atom->attribute)->syntax;

	atom->test = TEST_EQUAL;
	if (rule != NULL) {
		if ((rule->syntaxes & ON(syntax)) == 0) {
			compile_fail(c, "filter-unsupported", &node->rule, NULL,
				     "'%s' does not apply to '%.128s', whose syntax is %s",
				     rule->name, node->attribute.data,
				     attribute_syntax_name(syntax));
			return false;
		}
		atom->comparison = rule->comparison;
		atom->test = rule->test;
	}
	atom->with_dn = node->dn;
	if (node->dn && atom->comparison == COMPARE_EXACT) {
		compile_fail(c, "filter-unsupported", &node->attribute,
			     "Use caseIgnoreMatch or leave ':dn' out.",
			     "':dn' is not supported with caseExactMatch");
		return false;
	}
	if (node->dn) {
		char *name = arena_strdup(c->program->arena,
					  schema_get(c->program->schema, atom->attribute)->name);

		for (char *at = name; at != NULL && *at != '\0'; at++)
			*at = (char)(*at >= 'A' && *at <= 'Z' ? *at | 0x20 : *at);
		c->name = name;
		if (name == NULL)
			compile_fail_memory(c);
	}
	return !c->failed;
}

static bool check_ordering(struct compiler *c, const struct filter_node *node,
			   const struct atom *atom)
{
	if ((atom->test == TEST_GREATER || atom->test == TEST_LESS) &&
	    !comparison_is_ordered(atom->comparison)) {
		compile_fail(c, "filter-unsupported", &node->attribute, NULL,
			     "'%.128s' has no order: its syntax is %s", node->attribute.data,
			     attribute_syntax_name(
				     schema_get(c->program->schema, atom->attribute)->syntax));
		return false;
	}
	if (atom->test == TEST_SUBSTRINGS && !comparison_is_text(atom->comparison)) {
		compile_fail(c, "filter-unsupported", &node->attribute, NULL,
			     "'%.128s' cannot be matched by parts: its syntax is %s",
			     node->attribute.data,
			     attribute_syntax_name(
				     schema_get(c->program->schema, atom->attribute)->syntax));
		return false;
	}
	return true;
}

static bool compile_test(struct compiler *c, const struct filter_node *node,
			 const struct matching_rule *rule, struct atom *atom)
{
	static const uint8_t tests[] = {
		[FILTER_PRESENT] = TEST_PRESENT,  [FILTER_EQUAL] = TEST_EQUAL,
		[FILTER_APPROX] = TEST_EQUAL,	  [FILTER_GREATER] = TEST_GREATER,
		[FILTER_LESS] = TEST_LESS,	  [FILTER_SUBSTRINGS] = TEST_SUBSTRINGS,
		[FILTER_EXTENSIBLE] = TEST_EQUAL,
	};
	const struct schema_attribute *info = schema_get(c->program->schema, atom->attribute);
	struct prepared value;

	atom->test = tests[node->kind];
	atom->comparison = (uint8_t)comparison_of(info->syntax);
	if (node->kind == FILTER_EXTENSIBLE && !apply_matching_rule(c, node, rule, atom))
		return false;
	if (!check_ordering(c, node, atom))
		return false;
	if (node->kind == FILTER_PRESENT)
		return true;
	if (node->kind == FILTER_SUBSTRINGS)
		return compile_substrings(c, node, atom);
	if (!compile_value(c, atom->comparison, &node->value, &value))
		return false;
	if (comparison_is_number(atom->comparison))
		atom->number = value.number;
	else
		atom->text = value.text;
	/* A filter has at most 64 KiB; folding makes it longer, but not by that much. */
	atom->size = (uint32_t)value.size;
	return true;
}

static bool compile_atom(struct compiler *c, const struct filter_node *node, struct atom *atom)
{
	const struct matching_rule *rule = NULL;
	int source, id;

	if (node->attribute.size == 0) {
		compile_fail(c, "filter-unsupported", &node->rule,
			     "Name the attribute: (attribute:rule:=value).",
			     "a match without an attribute is not supported");
		return false;
	}
	if (node->rule.data != NULL && (rule = find_matching_rule(c, &node->rule)) == NULL)
		return false;
	source = find_source(c, &node->options);
	if (source == -2)
		return false;
	if (rule != NULL && rule->test == TEST_GROUP)
		return compile_chain(c, node, source, atom);
	if (c->program->now_s != 0 && text_ascii_equal_caseless(node->attribute.data, "groups"))
		return compile_groups_item(c, node, source, atom);
	id = find_attribute(c, &node->attribute);
	if (id < 0 || !narrow_to_only(c, node, (uint16_t)id, &source))
		return false;
	*atom = (struct atom){ .attribute = (uint16_t)id, .source = (int16_t)source };
	c->program->reads[id] = true;
	return compile_test(c, node, rule, atom);
}

static void compile_item(struct compiler *c, const struct filter_node *node)
{
	bool failed_before = c->failed;
	struct atom atom;

	c->failed = false;
	c->name = NULL;
	if (compile_atom(c, node, &atom))
		push_atom(c, &atom,
			  arena_strndup(c->program->arena, c->text->text + node->offset,
					node->width));
	c->failed |= failed_before;
}

static void compile_filter(struct compiler *c, const struct filter_node *node)
{
	static const enum node_kind kinds[] = {
		[FILTER_AND] = NODE_AND, [FILTER_OR] = NODE_OR, [FILTER_NOT] = NODE_NOT
	};
	uint32_t at;

	if (node->kind > FILTER_NOT) {
		compile_item(c, node);
		return;
	}
	at = push_node(c, kinds[node->kind], 0);
	for (const struct filter_node *child = node->first_child; child != NULL;
	     child = child->next)
		compile_filter(c, child);
	close_node(c, at);
}

static void compile_when(struct compiler *c, const struct located *when)
{
	AUTO(arena) struct arena *arena = arena_create((size_t)64 * 1024 * 1024);
	struct filter_node *tree;

	if (arena == NULL) {
		compile_fail_memory(c);
		return;
	}
	tree = filter_parse(when, arena, c->list);
	if (tree == NULL)
		c->failed = true;
	else
		compile_filter(c, tree);
}

int program_compile(struct program *program, const struct located_list *groups,
		    const struct located *when, uint32_t *ret_root, struct diagnostics *list)
{
	struct compiler c = { .program = program, .list = list };
	bool has_groups = groups != NULL && groups->count > 0;
	bool has_when = when != NULL && when->text != NULL;
	uint32_t root = program->node_count, both = NO_NODE;

	scratch_init(&c.scratch);
	c.text = when;
	if (has_groups && has_when)
		both = push_node(&c, NODE_AND, 0);
	if (has_groups)
		compile_groups(&c, groups);
	if (has_when)
		compile_when(&c, when);
	close_node(&c, both);
	scratch_finish(&c.scratch);
	if (c.failed)
		return -1;
	*ret_root = root;
	return 0;
}

int program_leave_open(struct program *program, uint32_t *ret_root, struct diagnostics *list)
{
	struct compiler c = { .program = program, .list = list, .name = "" };
	const struct atom atom = { .test = TEST_UNKNOWN, .source = -1 };
	uint32_t root = program->node_count;

	push_atom(&c, &atom, "(cannot be read)");
	if (c.failed)
		return -1;
	*ret_root = root;
	return 0;
}

int program_init(struct program *program, const struct schema *schema,
		 struct group_registry *registry)
{
	size_t sources = schema_source_count(schema);

	*program = (struct program){ .schema = schema,
				     .registry = registry,
				     .arena = arena_create(PROGRAM_MAX) };
	if (program->arena == NULL)
		return -1;
	program->reads = arena_alloc_array(program->arena, schema_count(schema) + 1, sizeof(bool));
	program->sources = arena_alloc_array(program->arena, sources + 1, sizeof(char *));
	if (program->reads == NULL || program->sources == NULL)
		return -1;
	for (size_t i = 0; i < sources; i++)
		program->sources[i] = schema_source_name(schema, (uint16_t)i);
	return 0;
}

void program_finish(struct program *program)
{
	free(program->nodes);
	free(program->atoms);
	free(program->details);
	arena_destroy(program->arena);
	*program = (struct program){ 0 };
}
