/*
 * The evaluator: one condition, one person, three values.
 *
 * In: a compiled condition, a person, the states of groups. Out: YES, NO or
 * UNKNOWN and the sources that made it so. What may fail: memory, which sticks
 * in scratch or trace; the caller then throws the result away.
 *
 * Kleene logic: "and" is NO as soon as one part is, UNKNOWN when one is
 * unknown and none is NO. With a trace attached every node is visited and
 * written down; without one, parts that can change neither the value nor the
 * sources that carry it are left out. There is no second interpreter.
 *
 * What is unknown: an attribute declared `absent: unknown` that its source did
 * not deliver. In the merged view a value that a source of higher precedence
 * owes hides those of lower precedence: what the person has is then not known.
 */
#include "program.h"

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/util.h>

static source_mask source_bit(unsigned source)
{
	return (source_mask)1 << source;
}

static void view_source(const struct person *person, const struct schema_attribute *info,
			uint16_t attribute, unsigned source, struct view *ret)
{
	const struct attribute *found = person_attribute_of(person, attribute, (uint16_t)source);
	bool owed = (info->absent_unknown & source_bit(source)) != 0;

	*ret = (struct view){ found  ? VIEW_VALUES
			      : owed ? VIEW_UNKNOWN
				     : VIEW_ABSENT,
			      found, source_bit(source) };
}

/* Sources before `source` in precedence (all, when none delivers) that owe the attribute. */
static source_mask sources_owing(const struct person *person, const struct schema *schema,
				 const struct schema_attribute *info, bool delivered,
				 uint16_t source)
{
	source_mask owing = info->absent_unknown & person->sources, before = 0;

	if (!delivered || owing == 0)
		return owing;
	for (size_t i = 0; i < schema_source_count(schema) && info->order[i] != source; i++)
		before |= source_bit(info->order[i]);
	return owing & before;
}

void view_attribute(const struct person *person, const struct schema *schema, uint16_t attribute,
		    int source, struct view *ret)
{
	const struct schema_attribute *info = schema_get(schema, attribute);
	const struct attribute *found;
	uint16_t from = 0;
	source_mask owing;

	if (source >= 0) {
		view_source(person, info, attribute, (unsigned)source, ret);
		return;
	}
	found = person_attribute(person, attribute, &from);
	owing = sources_owing(person, schema, info, found != NULL, from);
	if (owing != 0)
		*ret = (struct view){ VIEW_UNKNOWN, NULL, owing };
	else if (found == NULL)
		*ret = (struct view){ VIEW_ABSENT, NULL, person->sources };
	else
		*ret = (struct view){ VIEW_VALUES, found, source_bit(from) };
}

struct truth evaluate_group(const struct person *person, const struct group_states *groups,
			    uint32_t group, source_mask group_sources)
{
	size_t low = 0, high = person->group_count;
	source_mask incomplete = person->groups_incomplete & group_sources;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (person->groups[middle] == group)
			return (struct truth){ MATCH_YES, person->group_sources[middle] };
		if (person->groups[middle] < group)
			low = middle + 1;
		else
			high = middle;
	}
	if (groups == NULL || group >= groups->count || groups->unknown[group] != 0)
		return (struct truth){ MATCH_UNKNOWN, person->sources & group_sources };
	if (incomplete != 0)
		return (struct truth){ MATCH_UNKNOWN, incomplete };
	return (struct truth){ MATCH_NO, person->sources & group_sources };
}

/* --- naming attributes of the entry's DN (":dn") --- */

/*
 * Cut the next "type=value" from a normalised DN and unescape the value in
 * place. NULL at the end.
 */
static char *dn_next_value(char **at, const char **ret_type)
{
	char *in = *at, *out, *value;

	if (*in == '\0')
		return NULL;
	*ret_type = in;
	in += strcspn(in, "=");
	if (*in == '\0')
		return NULL;
	*in++ = '\0';
	value = out = in;
	while (*in != '\0' && *in != ',' && *in != '+') {
		if (*in == '\\' && in[1] != '\0') {
			static const char digits[] = "0123456789abcdef";
			const char *high = strchr(digits, in[1] | 0x20);
			const char *low = in[2] ? strchr(digits, in[2] | 0x20) : NULL;

			in++;
			if (high != NULL && low != NULL && *high != '\0' && *low != '\0') {
				*out++ = (char)((high - digits) * 16 + (low - digits));
				in += 2;
				continue;
			}
		}
		*out++ = *in++;
	}
	*at = *in == '\0' ? in : in + 1;
	*out = '\0';
	return value;
}

static bool dn_names_value(const struct evaluation *e, const struct atom *atom, const char *dn)
{
	struct scratch *scratch = e->scratch;
	const char *type;
	char *at, *value;

	if (!value_normalize_dn(dn, &scratch->dn, scratch))
		return false;
	if (scratch->dn.size == 0)
		return false;
	at = scratch->dn.data;
	while ((value = dn_next_value(&at, &type)) != NULL) {
		struct prepared prepared;

		if (strcmp(type, atom_detail_of(e->program, atom)->name) == 0 &&
		    value_prepare(atom->comparison, value, scratch, &prepared) &&
		    value_passes(atom, &prepared))
			return true;
	}
	return false;
}

static source_mask sources_naming(const struct evaluation *e, const struct atom *atom)
{
	source_mask sources = 0;

	for (size_t i = 0; i < e->person->identity_count; i++) {
		const struct identity *identity = &e->person->identities[i];

		if ((atom->source < 0 || atom->source == identity->source) &&
		    dn_names_value(e, atom, identity->dn))
			sources |= source_bit(identity->source);
	}
	return sources;
}

/* --- atoms --- */

static bool any_value_passes(const struct evaluation *e, const struct atom *atom,
			     const struct attribute *attribute)
{
	struct prepared prepared;

	if (atom->test == TEST_PRESENT)
		return true;
	for (uint32_t i = 0; i < attribute->count; i++)
		if (value_prepare(atom->comparison, attribute->values[i], e->scratch, &prepared) &&
		    value_passes(atom, &prepared))
			return true;
	return false;
}

static struct truth evaluate_atom(const struct evaluation *e, const struct atom *atom,
				  bool *ret_by_dn)
{
	struct view view;
	source_mask naming = 0;

	*ret_by_dn = false;
	if (atom->test == TEST_UNKNOWN)
		return (struct truth){ MATCH_UNKNOWN, e->person->sources };
	if (atom->test == TEST_GROUP)
		return evaluate_group(e->person, e->groups, atom->group, atom->group_sources);
	view_attribute(e->person, e->program->schema, atom->attribute, atom->source, &view);
	if (view.state == VIEW_VALUES && any_value_passes(e, atom, view.attribute))
		return (struct truth){ MATCH_YES, view.sources };
	if (atom->with_dn)
		naming = sources_naming(e, atom);
	*ret_by_dn = naming != 0;
	if (naming != 0)
		return (struct truth){ MATCH_YES, naming };
	return (struct truth){ view.state == VIEW_UNKNOWN ? MATCH_UNKNOWN : MATCH_NO,
			       view.sources };
}

/* --- trace --- */

static size_t trace_open(const struct evaluation *e)
{
	struct trace *trace = e->trace;

	if (trace->count == trace->capacity) {
		size_t capacity = trace->capacity ? trace->capacity * 2 : 16;
		struct trace_node *nodes =
			alloc_resize(trace->nodes, capacity * sizeof(*trace->nodes));

		if (nodes == NULL) {
			trace->failed = true;
			return 0;
		}
		trace->nodes = nodes;
		trace->capacity = capacity;
	}
	trace->nodes[trace->count] = (struct trace_node){ .depth = e->depth };
	return trace->count++;
}

static void trace_close(const struct evaluation *e, size_t slot, const struct truth *truth,
			const char *text, const char *because)
{
	struct trace *trace = e->trace;

	if (text == NULL || because == NULL)
		trace->failed = true;
	if (trace->failed)
		return;
	trace->nodes[slot].match = truth->match;
	trace->nodes[slot].text = text;
	trace->nodes[slot].because = because;
}

/* --- the tree --- */

static struct truth evaluate_node(struct evaluation *e, uint32_t at, bool negated);

/* "&" and "|" are the same walk: the decisive value ends it, else UNKNOWN, else the other. */
static struct truth evaluate_children(struct evaluation *e, uint32_t at, bool negated)
{
	const struct node *nodes = e->program->nodes;
	bool is_and = nodes[at].kind == NODE_AND;
	enum match decisive = is_and ? MATCH_NO : MATCH_YES;
	enum match other = is_and ? MATCH_YES : MATCH_NO;
	/* Under an odd number of "!" it is NO that carries the grant, else YES. */
	bool may_stop = e->trace == NULL && decisive != (negated ? MATCH_NO : MATCH_YES);
	source_mask support[3] = { 0 };
	unsigned seen = 0;

	for (uint32_t child = at + 1; child < nodes[at].end; child = nodes[child].end) {
		struct truth truth = evaluate_node(e, child, negated);

		support[truth.match] |= truth.support;
		seen |= 1u << truth.match;
		if (truth.match == decisive && may_stop)
			break;
	}
	if (seen & 1u << decisive)
		return (struct truth){ decisive, support[decisive] };
	if (seen & 1u << MATCH_UNKNOWN)
		return (struct truth){ MATCH_UNKNOWN, support[MATCH_UNKNOWN] };
	return (struct truth){ other, support[other] };
}

static struct truth evaluate_negation(struct evaluation *e, uint32_t at, bool negated)
{
	struct truth truth = evaluate_node(e, at + 1, !negated);

	if (truth.match != MATCH_UNKNOWN)
		truth.match = truth.match == MATCH_YES ? MATCH_NO : MATCH_YES;
	return truth;
}

static struct truth evaluate_node(struct evaluation *e, uint32_t at, bool negated)
{
	static const char *const signs[] = { "&", "|", "!" };
	const struct node *node = &e->program->nodes[at];
	const struct atom *atom = node->kind == NODE_ATOM ? &e->program->atoms[node->atom] : NULL;
	size_t slot = e->trace ? trace_open(e) : 0;
	struct truth truth;
	bool by_dn;

	e->depth++;
	if (atom != NULL)
		truth = evaluate_atom(e, atom, &by_dn);
	else if (node->kind == NODE_NOT)
		truth = evaluate_negation(e, at, negated);
	else
		truth = evaluate_children(e, at, negated);
	e->depth--;
	if (e->trace != NULL && atom != NULL)
		trace_close(e, slot, &truth, explain_atom_text(e, atom),
			    explain_atom_because(e, atom, &truth, by_dn));
	else if (e->trace != NULL)
		trace_close(e, slot, &truth, signs[node->kind], "");
	return truth;
}

struct truth evaluate_condition(struct evaluation *e, uint32_t root)
{
	struct truth truth = evaluate_node(e, root, false);

	if (truth.match == MATCH_YES && truth.support == 0)
		truth.support = e->person->sources;
	return truth;
}
