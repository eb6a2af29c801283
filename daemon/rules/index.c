/*
 * Candidate index: which rules can be other than NO for this person?
 *
 * Each rule is filed under keys such that, whenever its condition is not NO,
 * the person hits at least one of them. A key is a group, or one value of one
 * attribute as seen merged or in one source (a "column"). Which keys a
 * condition needs follows from its shape:
 *
 *	equality, group		its own key
 *	and			those of one part: the one with the fewest rules beside it
 *	or			those of all parts together
 *	anything else		none: such a rule is looked at for everybody
 *
 * A person hits a group's key by membership, or when membership cannot be
 * ruled out (incomplete list, frozen group), and an attribute's key by having
 * the value; when the whole column is unknown, every rule filed in it is a
 * candidate. So unknown data only ever adds candidates, and the evaluator has
 * the last word. For the same reason the table holds 32-bit hashes alone: two
 * keys with one hash cost a needless look.
 *
 * In: a program and the roots of its rules. Out: an immutable index. What may
 * fail: memory.
 */
#include "program.h"

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/util.h>

#define NEVER_CHEAP UINT32_MAX

#define MANY_RULES (1u << 31)

/*
 * Eight bytes, so that a table of many rules still fits the cache. value: the only rule, so
 * that it needs no second look, or MANY_RULES + place in the postings: count, rules ...
 */
struct slot {
	uint32_t key; /* 0: free */
	uint32_t value;
};

struct table {
	struct slot *slots;
	size_t mask;
};

struct column {
	uint16_t attribute;
	int16_t source;
	uint8_t comparison;
	uint64_t seed;
	uint64_t *rules; /* bit set: all rules filed in this column */
};

struct filing {
	uint32_t key;
	uint32_t rule;
};

struct rule_index {
	const struct schema *schema;
	size_t words;
	struct table table;
	uint32_t *postings;
	uint32_t *always; /* rules without keys */
	size_t always_count;
	uint64_t *group_rules; /* rules filed under groups */
	struct column *columns;
	size_t column_count;
	uint32_t *groups; /* groups that are keys, ascending */
	size_t group_count;
};

/* Only while building. */
struct builder {
	const struct program *program;
	struct rule_index *index;
	struct table counts; /* key to number of atoms that have it */
	struct filing *filings;
	size_t filing_count, filing_capacity;
	size_t group_capacity;
	bool failed;
};

/* --- hashing --- */

static uint64_t mix(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
	return hash ^ hash >> 29;
}

static uint32_t key_of(uint64_t hash)
{
	uint32_t key = (uint32_t)(hash >> 32);

	return key != 0 ? key : 1;
}

static uint32_t hash_prepared(uint64_t seed, const struct prepared *value)
{
	uint64_t hash = mix(seed, value->text ? value->size : (uint64_t)value->number), word;
	size_t at = 0;

	for (; at + sizeof(word) <= value->size; at += sizeof(word)) {
		memcpy(&word, value->text + at, sizeof(word));
		hash = mix(hash, word);
	}
	if (at < value->size) {
		word = 0;
		memcpy(&word, value->text + at, value->size - at);
		hash = mix(hash, word);
	}
	return key_of(mix(hash, hash >> 32));
}

static uint32_t hash_group(uint32_t group)
{
	return key_of(mix(mix(UINT64_C(0x67726f7570), group), 1));
}

static uint64_t column_seed(uint16_t attribute, int16_t source, uint8_t comparison)
{
	return mix(UINT64_C(0x636f6c),
		   (uint64_t)attribute << 32 | (uint64_t)(uint16_t)source << 8 | comparison);
}

/* --- table --- */

static int table_init(struct table *table, size_t entries)
{
	size_t size = 16;

	while (size < entries * 2)
		size *= 2;
	table->slots = alloc_zeroed(size, sizeof(*table->slots));
	table->mask = size - 1;
	return table->slots ? 0 : -1;
}

/* The slot of the key, or the free one where it belongs. */
static struct slot *table_slot(const struct table *table, uint32_t key)
{
	size_t at = key & table->mask;

	while (table->slots[at].key != 0 && table->slots[at].key != key)
		at = (at + 1) & table->mask;
	return &table->slots[at];
}

/* --- keys of a condition --- */

static bool atom_has_key(const struct atom *atom)
{
	return atom->test == TEST_GROUP || (atom->test == TEST_EQUAL && !atom->with_dn);
}

static uint32_t atom_key(const struct atom *atom)
{
	struct prepared value;

	if (atom->test == TEST_GROUP)
		return hash_group(atom->group);
	value = atom_value(atom);
	return hash_prepared(column_seed(atom->attribute, atom->source, atom->comparison), &value);
}

static const struct atom *node_atom(const struct builder *b, uint32_t at)
{
	return &b->program->atoms[b->program->nodes[at].atom];
}

/* What filing a condition would cost: rules that share its keys; NEVER_CHEAP: it has none. */
static uint32_t node_cost(const struct builder *b, uint32_t at)
{
	const struct node *nodes = b->program->nodes;
	uint64_t sum = 0;
	uint32_t best = NEVER_CHEAP;

	if (nodes[at].kind == NODE_NOT)
		return NEVER_CHEAP;
	if (nodes[at].kind == NODE_ATOM) {
		const struct atom *atom = node_atom(b, at);

		return atom_has_key(atom) ? table_slot(&b->counts, atom_key(atom))->value
					  : NEVER_CHEAP;
	}
	for (uint32_t child = at + 1; child < nodes[at].end; child = nodes[child].end) {
		uint32_t cost = node_cost(b, child);

		best = cost < best ? cost : best;
		sum = cost == NEVER_CHEAP ? UINT32_MAX : sum + cost;
		sum = sum < UINT32_MAX ? sum : UINT32_MAX;
		if (nodes[at].kind == NODE_OR && sum == UINT32_MAX)
			return NEVER_CHEAP;
	}
	return nodes[at].kind == NODE_AND ? best : (uint32_t)sum;
}

static struct column *find_column(struct builder *b, const struct atom *atom)
{
	struct rule_index *index = b->index;
	struct column *columns;

	for (size_t i = 0; i < index->column_count; i++)
		if (index->columns[i].attribute == atom->attribute &&
		    index->columns[i].source == atom->source &&
		    index->columns[i].comparison == atom->comparison)
			return &index->columns[i];
	columns = alloc_resize(index->columns, (index->column_count + 1) * sizeof(*columns));
	if (columns == NULL)
		return NULL;
	index->columns = columns;
	columns += index->column_count;
	*columns = (struct column){
		.attribute = atom->attribute,
		.source = atom->source,
		.comparison = atom->comparison,
		.seed = column_seed(atom->attribute, atom->source, atom->comparison),
		.rules = alloc_zeroed(index->words, sizeof(uint64_t)),
	};
	if (columns->rules == NULL)
		return NULL;
	index->column_count++;
	return columns;
}

static void set_bit(uint64_t *bits, uint32_t at)
{
	bits[at / 64] |= UINT64_C(1) << at % 64;
}

static void add_filing(struct builder *b, uint32_t key, uint32_t rule)
{
	if (b->filing_count == b->filing_capacity) {
		size_t capacity = b->filing_capacity ? b->filing_capacity * 2 : 256;
		struct filing *filings = alloc_resize(b->filings, capacity * sizeof(*filings));

		if (filings == NULL) {
			b->failed = true;
			return;
		}
		b->filings = filings;
		b->filing_capacity = capacity;
	}
	b->filings[b->filing_count++] = (struct filing){ key, rule };
}

static void add_group(struct builder *b, uint32_t group)
{
	struct rule_index *index = b->index;

	if (index->group_count == b->group_capacity) {
		size_t capacity = b->group_capacity ? b->group_capacity * 2 : 256;
		uint32_t *groups = alloc_resize(index->groups, capacity * sizeof(*groups));

		if (groups == NULL) {
			b->failed = true;
			return;
		}
		index->groups = groups;
		b->group_capacity = capacity;
	}
	index->groups[index->group_count++] = group;
}

static void file_atom(struct builder *b, const struct atom *atom, uint32_t rule)
{
	struct column *column;

	add_filing(b, atom_key(atom), rule);
	if (atom->test == TEST_GROUP) {
		add_group(b, atom->group);
		set_bit(b->index->group_rules, rule);
		return;
	}
	column = find_column(b, atom);
	if (column == NULL)
		b->failed = true;
	else
		set_bit(column->rules, rule);
}

/* File the rule under the keys that node_cost has found; at has some. */
static void file_node(struct builder *b, uint32_t at, uint32_t rule)
{
	const struct node *nodes = b->program->nodes;
	uint32_t best = at + 1, best_cost = NEVER_CHEAP;

	if (nodes[at].kind == NODE_ATOM) {
		file_atom(b, node_atom(b, at), rule);
		return;
	}
	for (uint32_t child = at + 1; child < nodes[at].end; child = nodes[child].end) {
		uint32_t cost = nodes[at].kind == NODE_AND ? node_cost(b, child) : 0;

		if (nodes[at].kind == NODE_OR)
			file_node(b, child, rule);
		else if (cost < best_cost) {
			best = child;
			best_cost = cost;
		}
	}
	if (nodes[at].kind == NODE_AND)
		file_node(b, best, rule);
}

static int compare_filings(const void *left, const void *right)
{
	const struct filing *a = left, *b = right;

	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	return (a->rule > b->rule) - (a->rule < b->rule);
}

static int compare_numbers(const void *left, const void *right)
{
	uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

	return (a > b) - (a < b);
}

/* Sorted filings of one key: their number of different rules, written to out. */
static uint32_t take_rules(const struct filing *filings, size_t count, uint32_t *out)
{
	uint32_t kept = 0;

	for (size_t i = 0; i < count; i++)
		if (i == 0 || filings[i].rule != filings[i - 1].rule)
			out[kept++] = filings[i].rule;
	return kept;
}

static int build_postings(struct builder *b)
{
	struct rule_index *index = b->index;
	uint32_t used = 0, kept;

	if (b->filing_count >= MANY_RULES / 2)
		return -1;
	/* Each key has at least one filing: twice their number holds counts and rules. */
	index->postings = alloc_zeroed(2 * b->filing_count + 1, sizeof(*index->postings));
	if (index->postings == NULL || table_init(&index->table, b->filing_count) < 0)
		return -1;
	if (b->filing_count > 0)
		qsort(b->filings, b->filing_count, sizeof(*b->filings), compare_filings);
	for (size_t i = 0, end; i < b->filing_count; i = end) {
		uint32_t key = b->filings[i].key;

		for (end = i; end < b->filing_count && b->filings[end].key == key;)
			end++;
		kept = take_rules(&b->filings[i], end - i, &index->postings[used + 1]);
		index->postings[used] = kept;
		*table_slot(&index->table, key) =
			(struct slot){ key, kept == 1 ? b->filings[i].rule : MANY_RULES + used };
		if (kept > 1)
			used += kept + 1;
	}
	return 0;
}

static void sort_groups(struct rule_index *index)
{
	size_t kept = 0;

	if (index->group_count > 0)
		qsort(index->groups, index->group_count, sizeof(*index->groups), compare_numbers);
	for (size_t i = 0; i < index->group_count; i++)
		if (i == 0 || index->groups[i] != index->groups[i - 1])
			index->groups[kept++] = index->groups[i];
	index->group_count = kept;
}

/* How many atoms of the program have each key: the measure of node_cost. */
static int count_keys(struct builder *b)
{
	if (table_init(&b->counts, b->program->atom_count) < 0)
		return -1;
	for (uint32_t i = 0; i < b->program->atom_count; i++)
		if (atom_has_key(&b->program->atoms[i])) {
			uint32_t key = atom_key(&b->program->atoms[i]);
			struct slot *slot = table_slot(&b->counts, key);

			slot->key = key;
			slot->value++;
		}
	return 0;
}

static int build_index(struct builder *b, const struct rule_entry *entries, uint32_t count)
{
	struct rule_index *index = b->index;

	index->always = alloc_zeroed(count + (size_t)1, sizeof(*index->always));
	index->group_rules = alloc_zeroed(index->words, sizeof(uint64_t));
	if (index->always == NULL || index->group_rules == NULL || count_keys(b) < 0)
		return -1;
	for (uint32_t i = 0; i < count && !b->failed; i++) {
		if (node_cost(b, entries[i].root) == NEVER_CHEAP)
			index->always[index->always_count++] = i;
		else
			file_node(b, entries[i].root, i);
	}
	sort_groups(index);
	return b->failed ? -1 : build_postings(b);
}

struct rule_index *rule_index_create(const struct program *program,
				     const struct rule_entry *entries, uint32_t count)
{
	struct builder b = { .program = program,
			     .index = alloc_zeroed(1, sizeof(struct rule_index)) };
	int built;

	if (b.index == NULL)
		return NULL;
	b.index->schema = program->schema;
	b.index->words = (count + (size_t)63) / 64;
	built = build_index(&b, entries, count);
	free(b.counts.slots);
	free(b.filings);
	if (built == 0)
		return b.index;
	rule_index_destroy(b.index);
	return NULL;
}

void rule_index_destroy(struct rule_index *index)
{
	if (index == NULL)
		return;
	for (size_t i = 0; i < index->column_count; i++)
		free(index->columns[i].rules);
	free(index->columns);
	free(index->groups);
	free(index->table.slots);
	free(index->postings);
	free(index->always);
	free(index->group_rules);
	free(index);
}

size_t rule_index_words(const struct rule_index *index)
{
	return index->words;
}

/* --- asking --- */

static void add_rule(const struct candidates *candidates, uint32_t rule)
{
	set_bit(candidates->words, rule);
	set_bit(candidates->summary, rule / 64);
}

static void add_all(const struct rule_index *index, const uint64_t *rules,
		    const struct candidates *candidates)
{
	for (uint32_t i = 0; i < index->words; i++) {
		candidates->words[i] |= rules[i];
		if (rules[i] != 0)
			set_bit(candidates->summary, i);
	}
}

static void add_key(const struct rule_index *index, uint32_t key,
		    const struct candidates *candidates)
{
	const struct slot *slot = table_slot(&index->table, key);
	const uint32_t *posting;

	if (slot->key == 0)
		return;
	if (slot->value < MANY_RULES) {
		add_rule(candidates, slot->value);
		return;
	}
	posting = &index->postings[slot->value - MANY_RULES];
	for (uint32_t i = 1; i <= posting[0]; i++)
		add_rule(candidates, posting[i]);
}

#define KEYS_AHEAD 32

/* The slots lie anywhere in a big table: ask for a few dozen, then look. */
static void add_member_groups(const struct rule_index *index, const struct person *person,
			      const struct candidates *candidates)
{
	uint32_t keys[KEYS_AHEAD];

	for (size_t i = 0; i < person->group_count; i += KEYS_AHEAD) {
		size_t count = person->group_count - i;

		count = count < KEYS_AHEAD ? count : KEYS_AHEAD;
		for (size_t k = 0; k < count; k++) {
			keys[k] = hash_group(person->groups[i + k]);
			__builtin_prefetch(&index->table.slots[keys[k] & index->table.mask]);
		}
		for (size_t k = 0; k < count; k++)
			add_key(index, keys[k], candidates);
	}
}

static void add_column(const struct rule_index *index, const struct column *column,
		       const struct person *person, struct scratch *scratch,
		       const struct candidates *candidates)
{
	struct view view;
	struct prepared value;

	view_attribute(person, index->schema, column->attribute, column->source, &view);
	if (view.state == VIEW_UNKNOWN)
		add_all(index, column->rules, candidates);
	if (view.state != VIEW_VALUES)
		return;
	for (uint32_t i = 0; i < view.attribute->count; i++)
		if (value_prepare(column->comparison, view.attribute->values[i], scratch, &value))
			add_key(index, hash_prepared(column->seed, &value), candidates);
}

/* All marked ids from first to last, eight at a time where none is. */
static void add_marked_groups(const struct rule_index *index, const uint8_t *unknown,
			      uint32_t first, uint32_t last, const struct candidates *candidates)
{
	uint64_t eight;

	for (uint64_t id = first; id <= last; id++) {
		while (id + sizeof(eight) <= (uint64_t)last + 1) {
			memcpy(&eight, &unknown[id], sizeof(eight));
			if (eight != 0)
				break;
			id += sizeof(eight);
		}
		if (id <= last && unknown[id] != 0)
			add_key(index, hash_group((uint32_t)id), candidates);
	}
}

/* Groups that nobody can be said not to be in: rules under them are open for everybody. */
static void add_unknown_groups(const struct rule_index *index, const struct group_states *states,
			       const struct candidates *candidates)
{
	uint32_t known = states ? states->count : 0;
	size_t high = index->group_count;

	for (; high > 0 && index->groups[high - 1] >= known; high--)
		add_key(index, hash_group(index->groups[high - 1]), candidates);
	if (high == 0)
		return;
	if (!states->listed) {
		add_marked_groups(index, states->unknown, index->groups[0], index->groups[high - 1],
				  candidates);
		return;
	}
	for (uint32_t i = 0; i < states->unknown_id_count; i++)
		add_key(index, hash_group(states->unknown_ids[i]), candidates);
}

void rule_index_candidates(const struct rule_index *index, const struct person *person,
			   const struct group_states *groups, struct scratch *scratch,
			   const struct candidates *candidates)
{
	for (size_t i = 0; i < index->always_count; i++)
		add_rule(candidates, index->always[i]);
	if (index->group_count > 0) {
		add_member_groups(index, person, candidates);
		if (person->groups_incomplete != 0)
			add_all(index, index->group_rules, candidates);
		else
			add_unknown_groups(index, groups, candidates);
	}
	for (size_t i = 0; i < index->column_count; i++)
		add_column(index, &index->columns[i], person, scratch, candidates);
}
