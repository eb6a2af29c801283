/*
 * Lint: what is allowed and still likely a mistake. Warnings, never refusals.
 *
 * In: settings and the compiled rules. Out: diagnostics. Cost is linear in the
 * size of the rules: "a rule behind another with the same condition" is
 * found by hashes of conditions and of their top-level parts.
 */
#include "program.h"

#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

#define PRIMARY_PERSONAS_MAX 4

static const struct rule_settings *rule_settings_at(const struct catalogue_settings *settings,
						    size_t i)
{
	return (const struct rule_settings *)settings->rules.items + i;
}

static const struct position *condition_at(const struct rule_settings *rule)
{
	return rule->when.text ? &rule->when.at : &rule->at;
}

/* --- truth that no person can change --- */

static bool hash_is_in(const struct hash128 *hashes, size_t count, struct hash128 hash)
{
	for (size_t i = 0; i < count; i++)
		if (hash128_equal(hashes[i], hash))
			return true;
	return false;
}

#define PARTS_COMPARED 64

/* x and !x side by side, among the first parts. */
static bool contradicts(const struct program *program, uint32_t at)
{
	const struct node *nodes = program->nodes;
	struct hash128 plain[PARTS_COMPARED], negated[PARTS_COMPARED];
	size_t plain_count = 0, negated_count = 0;

	for (uint32_t child = at + 1; child < nodes[at].end; child = nodes[child].end) {
		if (plain_count == PARTS_COMPARED || negated_count == PARTS_COMPARED)
			return false;
		if (nodes[child].kind == NODE_NOT) {
			struct hash128 hash = program_hash(program, child + 1);

			if (hash_is_in(plain, plain_count, hash))
				return true;
			negated[negated_count++] = hash;
		} else {
			struct hash128 hash = program_hash(program, child);

			if (hash_is_in(negated, negated_count, hash))
				return true;
			plain[plain_count++] = hash;
		}
	}
	return false;
}

int program_static_truth(const struct program *program, uint32_t root)
{
	const struct node *nodes = program->nodes;
	bool is_and = nodes[root].kind == NODE_AND;
	int decisive = is_and ? 0 : 1, result = !decisive;

	if (nodes[root].kind == NODE_ATOM)
		return -1;
	if (nodes[root].kind == NODE_NOT) {
		int truth = program_static_truth(program, root + 1);

		return truth < 0 ? truth : !truth;
	}
	for (uint32_t child = root + 1; child < nodes[root].end; child = nodes[child].end) {
		int truth = program_static_truth(program, child);

		if (truth == decisive)
			return decisive;
		if (truth < 0)
			result = -1;
	}
	return result < 0 && contradicts(program, root) ? decisive : result;
}

static void lint_static_truth(const struct rule *rule, const struct rule_settings *settings,
			      int truth, struct diagnostics *list)
{
	if (truth == 0)
		diagnostics_add(list, SEVERITY_WARNING, "matches-nobody", *condition_at(settings),
				NULL, "rule '%s' can match nobody", rule->id);
	if (truth == 1)
		diagnostics_add(list, SEVERITY_WARNING, "matches-everybody",
				*condition_at(settings), NULL, "rule '%s' matches everybody",
				rule->id);
}

/* --- profile rules that come too late --- */

static const char *profile_of(const struct rule *rule)
{
	for (size_t i = 0; i < rule->grant_count; i++)
		if (rule->grants[i].kind == GRANT_PROFILE)
			return rule->grants[i].name;
	return NULL;
}

struct reach {
	const struct ruleset *rules;
	struct hash_table *conditions; /* hash to order + 1 of the first profile rule with it */
	struct hash_table *denied;     /* profiles that some rule denies */
	const struct rule *always;
};

static struct hash128 hash_name(const char *name)
{
	return fingerprint128(name, strlen(name));
}

/* Out of memory: both tables NULL, and nothing is said about reach. */
static void reach_init(struct reach *reach, const struct ruleset *rules)
{
	uint32_t *slot;

	*reach = (struct reach){
		.rules = rules,
		.conditions = hash_table_create(rules->count, rules->count + (size_t)1),
		.denied = hash_table_create(rules->count, rules->count + (size_t)1)
	};
	for (size_t i = 0; reach->denied != NULL && i < rules->count; i++)
		for (size_t k = 0; k < rules->rules[i].deny_count; k++)
			if (rules->rules[i].denies[k].kind == GRANT_PROFILE)
				hash_table_put(reach->denied,
					       hash_name(rules->rules[i].denies[k].name), &slot);
}

static void reach_finish(struct reach *reach)
{
	hash_table_destroy(reach->conditions);
	hash_table_destroy(reach->denied);
}

static const struct rule *reach_find(const struct reach *reach, struct hash128 condition)
{
	uint32_t order;

	if (!hash_table_get(reach->conditions, condition, &order))
		return NULL;
	return &reach->rules->rules[order - 1];
}

/* An earlier rule that is true whenever this one is: the same condition, or one of its parts. */
static const struct rule *reach_earlier(const struct reach *reach, uint32_t root)
{
	const struct program *program = &reach->rules->program;
	const struct node *nodes = program->nodes;
	const struct rule *found = reach->always;

	if (found == NULL)
		found = reach_find(reach, program_hash(program, root));
	for (uint32_t child = root + 1;
	     found == NULL && nodes[root].kind == NODE_AND && child < nodes[root].end;
	     child = nodes[child].end) {
		found = reach_find(reach, program_hash(program, child));
		if (found == NULL && nodes[child].kind == NODE_AND)
			found = reach_earlier(reach, child);
	}
	return found;
}

static void reach_remember(struct reach *reach, const struct rule *rule, uint32_t root, int truth)
{
	uint32_t *slot;

	if (truth == 1)
		reach->always = rule;
	if (hash_table_put(reach->conditions, program_hash(&reach->rules->program, root), &slot) ==
	    1)
		*slot = rule->order + 1;
}

static void lint_reach(struct reach *reach, const struct rule *rule, int truth,
		       struct diagnostics *list)
{
	uint32_t root = reach->rules->entries[rule->order].root;
	const char *profile = profile_of(rule);
	const struct rule *earlier;

	if (profile == NULL || rule->trial || truth == 0)
		return;
	earlier = reach_earlier(reach, root);
	if (earlier != NULL)
		diagnostics_add(
			list, SEVERITY_WARNING, "unreachable-rule", rule->at,
			"The first matching rule gives the profile; put the narrower rule first.",
			"rule '%s' never gives profile '%s': rule '%s' before it matches "
			"whenever it does",
			rule->id, profile, earlier->id);
	/* One that ends, or whose profile may be denied, leaves room for later ones. */
	else if (rule->expires_s == 0 && !hash_table_get(reach->denied, hash_name(profile), NULL))
		reach_remember(reach, rule, root, truth);
}

/* --- what a condition rests on --- */

static bool grants_kind(const struct rule *rule, enum grant_kind kind)
{
	for (size_t i = 0; i < rule->grant_count; i++)
		if (rule->grants[i].kind == kind)
			return true;
	return false;
}

static bool is_title(const char *attribute)
{
	static const char *const titles[] = { "title", "jobTitle", "personalTitle" };

	for (size_t i = 0; i < ARRAY_LEN(titles); i++)
		if (text_ascii_equal_caseless(attribute, titles[i]))
			return true;
	return false;
}

static void lint_title_only(const struct ruleset *rules, const struct rule *rule,
			    const struct rule_settings *settings, struct diagnostics *list)
{
	const struct program *program = &rules->program;
	uint32_t root = rules->entries[rule->order].root;
	bool any = false;

	if (!grants_kind(rule, GRANT_PERSONA))
		return;
	for (uint32_t at = root; at < program->nodes[root].end; at++) {
		const struct atom *atom;

		if (program->nodes[at].kind != NODE_ATOM)
			continue;
		atom = &program->atoms[program->nodes[at].atom];
		if (atom->test == TEST_GROUP || atom->test == TEST_UNKNOWN ||
		    !is_title(schema_get(program->schema, atom->attribute)->name))
			return;
		any = true;
	}
	if (any)
		diagnostics_add(list, SEVERITY_WARNING, "title-only-persona",
				*condition_at(settings),
				"People with one title often have different goals; add a group or "
				"another attribute.",
				"rule '%s' gives a persona from the job title alone", rule->id);
}

/* Does a part of the top-level "and" say that the attribute is there? */
static bool requires_presence(const struct program *program, uint32_t root,
			      const struct atom *negated)
{
	const struct node *nodes = program->nodes;

	if (nodes[root].kind != NODE_AND)
		return false;
	for (uint32_t child = root + 1; child < nodes[root].end; child = nodes[child].end) {
		const struct atom *atom = &program->atoms[nodes[child].atom];

		if (nodes[child].kind == NODE_ATOM && atom->test != TEST_GROUP && !atom->with_dn &&
		    atom->attribute == negated->attribute && atom->source == negated->source)
			return true;
		if (nodes[child].kind == NODE_AND && requires_presence(program, child, negated))
			return true;
	}
	return false;
}

static const struct atom *find_negation(const struct program *program, uint32_t root, uint32_t at,
					bool negated)
{
	const struct node *nodes = program->nodes;
	const struct atom *atom, *found = NULL;

	if (nodes[at].kind == NODE_ATOM) {
		atom = &program->atoms[nodes[at].atom];
		if (!negated || atom->test == TEST_GROUP ||
		    schema_get(program->schema, atom->attribute)->absent_unknown != 0 ||
		    requires_presence(program, root, atom))
			return NULL;
		return atom;
	}
	negated ^= nodes[at].kind == NODE_NOT;
	for (uint32_t child = at + 1; found == NULL && child < nodes[at].end;
	     child = nodes[child].end)
		found = find_negation(program, root, child, negated);
	return found;
}

static void lint_negation(const struct ruleset *rules, const struct rule *rule,
			  const struct rule_settings *settings, struct diagnostics *list)
{
	uint32_t root = rules->entries[rule->order].root;
	const struct atom *atom;

	if (rule->grant_count == 0)
		return;
	atom = find_negation(&rules->program, root, root, false);
	if (atom == NULL)
		return;
	diagnostics_add(list, SEVERITY_WARNING, "grant-by-negation", *condition_at(settings),
			"Declare it with absent: unknown where the source may hide it, or also ask "
			"for its presence.",
			"rule '%s' grants to people who have no '%s' at all", rule->id,
			schema_get(rules->program.schema, atom->attribute)->name);
}

/* --- grants --- */

static bool name_before(const struct located_list *names, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (strcmp(names->items[i].text, names->items[at].text) == 0)
			return true;
	return false;
}

static void lint_names(const struct rule *rule, const char *noun, const struct located_list *names,
		       struct diagnostics *list)
{
	for (size_t i = 0; i < names->count; i++)
		if (name_before(names, i))
			diagnostics_add(list, SEVERITY_WARNING, "duplicate-grant",
					names->items[i].at, NULL, "rule '%s' names %s '%s' twice",
					rule->id, noun, names->items[i].text);
}

static void lint_grants(const struct rule *rule, const struct rule_settings *settings,
			struct diagnostics *list)
{
	const struct grant_settings *both[] = { &settings->grant, &settings->deny };

	for (size_t i = 0; i < ARRAY_LEN(both); i++) {
		lint_names(rule, "role", &both[i]->roles, list);
		lint_names(rule, "persona", &both[i]->personas, list);
		lint_names(rule, "local group", &both[i]->groups, list);
	}
	if (rule->grant_count == 0 && rule->deny_count == 0)
		diagnostics_add(list, SEVERITY_WARNING, "rule-without-effect", rule->at, NULL,
				"rule '%s' neither grants nor denies anything", rule->id);
}

/* What makes a persona of a name. The API asks for all of it. */
static void lint_description(const struct persona_settings *persona, struct diagnostics *list)
{
	const struct {
		const char *name;
		bool said;
	} parts[] = {
		{ "title", persona->title.text && persona->title.text[0] },
		{ "objectives", persona->objectives.count > 0 },
		{ "frustrations", persona->frustrations.count > 0 },
		{ "watering_holes", persona->watering_holes.count > 0 },
		{ "technical_sophistication", persona->technical_sophistication.text != NULL },
	};
	AUTO(strbuf) struct strbuf missing = STRBUF(256);

	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		if (!parts[i].said)
			strbuf_printf(&missing, "%s%s", missing.size ? ", " : "", parts[i].name);
	if (missing.size > 0)
		diagnostics_add(list, SEVERITY_WARNING, "persona-incomplete", persona->name.at,
				"A persona without goals and behaviour is a label.",
				"persona '%s' does not say: %s", persona->name.text,
				strbuf_text(&missing));
}

/* Primary ones up to this one of the same organization, those that all share among them; no more than are asked for. */
static size_t count_primary(const struct persona_settings *items, size_t last, size_t enough)
{
	const char *owner = items[last].organization;
	size_t count = 0;

	for (size_t i = 0; i <= last && count < enough; i++)
		count += items[i].primary && (!items[i].organization ||
					      (owner && strcmp(owner, items[i].organization) == 0));
	return count;
}

static void lint_personas(const struct struct_list *personas, struct diagnostics *list)
{
	const struct persona_settings *items = personas->items;
	const size_t many = PRIMARY_PERSONAS_MAX + 1;

	for (size_t i = 0; i < personas->count; i++)
		if (items[i].primary && count_primary(items, i, many + 1) == many)
			diagnostics_add(list, SEVERITY_WARNING, "persona-proliferation",
					items[i].name.at,
					"Design for few; make the others secondary.",
					"more than %d primary personas", PRIMARY_PERSONAS_MAX);
}

void ruleset_lint_conditions(const struct catalogue_settings *settings, const struct ruleset *rules,
			     struct diagnostics *list)
{
	struct reach reach;

	reach_init(&reach, rules);
	lint_personas(&settings->personas, list);
	for (uint32_t i = 0; i < rules->count; i++) {
		const struct rule_settings *written = rule_settings_at(settings, i);
		const struct rule *rule = &rules->rules[i];
		int truth = program_static_truth(&rules->program, rules->entries[i].root);

		lint_static_truth(rule, written, truth, list);
		lint_title_only(rules, rule, written, list);
		lint_negation(rules, rule, written, list);
		lint_grants(rule, written, list);
		if (reach.conditions != NULL && reach.denied != NULL)
			lint_reach(&reach, rule, truth, list);
	}
	reach_finish(&reach);
}

static void lint_persona(const struct persona_settings *persona,
			 const struct persona_knowledge *known, int64_t now_s,
			 struct diagnostics *list)
{
	const struct persona_facts *facts =
		known ? persona_facts_find(known->facts, known->count, persona->name.text) : NULL;
	int64_t interviews = facts ? facts->counts[PERSONA_INTERVIEWS] : 0;

	lint_description(persona, list);
	if (persona_is_overdue(persona_review_due(persona->review_due_s, facts), now_s))
		diagnostics_add(list, SEVERITY_WARNING, "persona-review-overdue", persona->name.at,
				"Look at it again: rolebridgectl personas review.",
				"the review of persona '%s' is overdue", persona->name.text);
	if (known && known->asked && persona_lacks_research(persona->primary, facts))
		diagnostics_add(list, SEVERITY_WARNING, "insufficient-research", persona->name.at,
				"Note them with rolebridgectl personas research add, or make it "
				"secondary.",
				"primary persona '%s' rests on %lld interviews, not on %d or more",
				persona->name.text, (long long)interviews,
				PERSONA_INTERVIEWS_NEEDED);
}

void ruleset_lint(const struct catalogue_settings *settings, const struct persona_knowledge *known,
		  int64_t now_s, struct diagnostics *list)
{
	const struct persona_settings *personas = settings->personas.items;
	const int64_t day_s = 24 * 60 * 60;

	for (size_t i = 0; i < settings->personas.count; i++)
		if (personas[i].name.text)
			lint_persona(&personas[i], known, now_s, list);
	for (size_t i = 0; i < settings->rules.count; i++) {
		const struct rule_settings *rule = rule_settings_at(settings, i);

		if (rule->expires_s != 0 && now_s >= rule->expires_s + day_s)
			diagnostics_add(list, SEVERITY_WARNING, "expired-rule", rule->id.at,
					"Remove it, or give it a new day.",
					"rule '%s' has expired and gives nothing", rule->id.text);
	}
}
