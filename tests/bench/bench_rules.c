/*
 * What evaluating rules costs per person, and how that grows with the rules.
 *
 * Deterministic data: 100,000 persons with ten attributes and seven groups
 * that rules name. Two measures, CPU time of one core, best of several
 * interleaved rounds:
 *
 *	1,000 mixed rules for all persons			goal 0.25 s
 *	10,000 rules against 100, the same number of matches	goal ratio 1.5
 *
 * Mixed: groups, groups with a filter, equality in a conjunction, alternatives
 * of equalities, and 2 % that no index helps with (substrings, negation, order).
 * Exit 0 always: goals are reported, a noisy machine fails nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/util.h>
#include <rolebridge/rules/ruleset.h>

#define PERSONS 100000
#define ROUNDS 5
#define GROUPS_EACH 7
#define ARENA_MAX ((size_t)2 << 30)

/* One set of rules and the persons that fit it. */
struct set {
	const char *name;
	unsigned rules, groups, departments, unindexed;
	struct arena *arena;
	struct schema *schema;
	struct group_registry *registry;
	struct ruleset *ruleset;
	struct group_states states;
	struct person *persons;
	uint64_t matches;
	double best_s;
};

static void stop(const char *what)
{
	fprintf(stderr, "bench_rules: %s\n", what);
	exit(1);
}

static uint64_t random_state = UINT64_C(0x9e3779b97f4a7c15);

static unsigned random_below(unsigned limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (unsigned)(random_state >> 33) % limit;
}

/* --- rules --- */

static void put_condition(struct strbuf *out, const struct set *set, unsigned number)
{
	unsigned kind = number % 10;

	if (number < set->unindexed) {
		static const char *const shapes[] = {
			"when: '(title=*chief %u*)'",
			"when: '(!(employeeType=kind%u))'",
			"when: '(employeeNumber>=9999%u)'",
		};

		strbuf_printf(out, shapes[number % 3], number % 3 == 1 ? 0 : number);
	} else if (kind < 5) {
		strbuf_printf(out, "groups: 'cn=g%u,ou=groups,dc=acme,dc=example'",
			      number % set->groups);
	} else if (kind < 7) {
		strbuf_printf(out,
			      "groups: 'cn=g%u,ou=groups,dc=acme,dc=example',"
			      " when: '(&(employeeType=kind1)(!(l=city%u)))'",
			      number % set->groups, number % 50);
	} else if (kind < 9) {
		strbuf_printf(out, "when: '(&(department=Department %u)(employeeType=kind%u))'",
			      number % set->departments, number % 4);
	} else {
		strbuf_printf(out, "when: '(|(department=Department %u)(title=Nobody %u))'",
			      number % set->departments, number);
	}
}

static void compile_rules(struct set *set)
{
	AUTO(strbuf) struct strbuf yaml = STRBUF(64 << 20);
	AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
	struct catalogue_settings settings;
	struct document_file file = { .path = "rules.yaml" };
	struct document *document;

	strbuf_puts(&yaml,
		    "segments: [Core]\nroles:\n"
		    "  - {name: ops, classifications: [Support], segments: [Core]}\nrules:\n");
	for (unsigned i = 0; i < set->rules; i++) {
		strbuf_printf(&yaml, "  - {id: r%u, ", i);
		put_condition(&yaml, set, i);
		strbuf_puts(&yaml, ", grant: {roles: [ops]}}\n");
	}
	file.text = strbuf_text(&yaml);
	file.size = yaml.size;
	document = document_load_files(&file, 1, list);
	if (document == NULL)
		stop("rules cannot be read");
	options_parse(&catalogue_table, document, set->arena, &settings, list);
	set->ruleset = ruleset_compile(&settings, set->schema, "", set->registry, list);
	if (set->ruleset == NULL)
		stop(diagnostics_get(list, 0)->message);
	document_destroy(document);
}

/* --- persons --- */

struct value {
	uint16_t id;
	const char *text;
};

static int compare_values(const void *left, const void *right)
{
	const struct value *a = left, *b = right;

	return (a->id > b->id) - (a->id < b->id);
}

static uint16_t attribute_id(const struct set *set, const char *name)
{
	int id = schema_find(set->schema, name, strlen(name));

	if (id < 0)
		stop(name);
	return (uint16_t)id;
}

static void fill_attributes(struct set *set, unsigned number, struct identity *identity)
{
	struct arena *arena = set->arena;
	struct value values[] = {
		{ attribute_id(set, "uid"), arena_printf(arena, "user%u", number) },
		{ attribute_id(set, "cn"), arena_printf(arena, "Given Family%u", number) },
		{ attribute_id(set, "sn"), arena_printf(arena, "Family%u", number) },
		{ attribute_id(set, "givenName"), "Given" },
		{ attribute_id(set, "mail"), arena_printf(arena, "user%u@acme.example", number) },
		{ attribute_id(set, "title"), arena_printf(arena, "Worker %u", number % 2000) },
		{ attribute_id(set, "l"), arena_printf(arena, "City%u", random_below(50)) },
		{ attribute_id(set, "employeeType"), arena_printf(arena, "Kind%u", number % 4) },
		{ attribute_id(set, "employeeNumber"), arena_printf(arena, "%u", number) },
		{ attribute_id(set, "department"),
		  arena_printf(arena, "Department %u", random_below(set->departments)) },
	};
	struct attribute *attributes =
		arena_alloc_array(arena, ARRAY_LEN(values), sizeof(*attributes));

	qsort(values, ARRAY_LEN(values), sizeof(*values), compare_values);
	for (size_t i = 0; attributes != NULL && i < ARRAY_LEN(values); i++)
		attributes[i] = (struct attribute){ values[i].id, 1,
						    arena_memdup(arena, &values[i].text,
								 sizeof(values[i].text)) };
	identity->attributes = attributes;
	identity->attribute_count = ARRAY_LEN(values);
}

static int compare_numbers(const void *left, const void *right)
{
	uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

	return (a > b) - (a < b);
}

static bool is_among(const uint32_t *groups, size_t count, uint32_t group)
{
	for (size_t i = 0; i < count; i++)
		if (groups[i] == group)
			return true;
	return false;
}

static void fill_groups(struct set *set, struct identity *identity)
{
	size_t known, count = 0;
	const uint32_t *ids = ruleset_groups(set->ruleset, &known);
	uint32_t *groups = arena_alloc_array(set->arena, GROUPS_EACH, sizeof(*groups));

	if (groups == NULL || known < GROUPS_EACH)
		stop("out of memory");
	while (count < GROUPS_EACH) {
		uint32_t group = ids[random_below((unsigned)known)];

		if (!is_among(groups, count, group))
			groups[count++] = group;
	}
	qsort(groups, count, sizeof(*groups), compare_numbers);
	identity->groups = groups;
	identity->group_count = count;
}

static void make_persons(struct set *set)
{
	struct identity *identities = arena_alloc_array(set->arena, PERSONS, sizeof(*identities));

	set->persons = arena_alloc_array(set->arena, PERSONS, sizeof(*set->persons));
	if (identities == NULL || set->persons == NULL)
		stop("out of memory");
	for (unsigned i = 0; i < PERSONS; i++) {
		identities[i] = (struct identity){
			.key = "key", .dn = "", .groups_complete = true, .disabled_by = ""
		};
		fill_attributes(set, i, &identities[i]);
		fill_groups(set, &identities[i]);
		if (person_merge(set->schema, &identities[i], 1, set->arena, &set->persons[i],
				 NULL) < 0)
			stop("persons cannot be merged");
	}
}

static struct located located(const char *text)
{
	return (struct located){ .text = text, .at = { 1, 1, 1, 1 } };
}

static void prepare(struct set *set)
{
	struct identity_settings identity = { .username = located("uid"),
					      .email = located("mail") };
	struct attribute_settings number = { .name = located("employeeNumber"),
					     .from = located("employeeNumber"),
					     .syntax = SYNTAX_STRING };
	struct source_settings source = { .name = located("acme"),
					  .type = located("ldif"),
					  .organization = located("default"),
					  .enabled = true,
					  .attributes = { 1, &number } };
	const struct source_settings *sources[] = { &source };
	AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
	size_t count;
	const uint32_t *groups;

	set->arena = arena_create(ARENA_MAX);
	set->schema = schema_create(&identity, sources, 1, list);
	set->registry = group_registry_create();
	if (set->arena == NULL || set->schema == NULL || set->registry == NULL)
		stop("out of memory");
	compile_rules(set);
	groups = ruleset_groups(set->ruleset, &count);
	for (size_t i = 0; i < count; i++)
		group_registry_set_state(set->registry, groups[i], true, false, false);
	if (group_states_build(set->registry, set->arena, &set->states, NULL) < 0)
		stop("out of memory");
	make_persons(set);
}

/* --- measuring --- */

static double cpu_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void measure(struct set *set, struct arena *arena)
{
	double begin_s = cpu_s(), took_s;

	set->matches = 0;
	for (size_t i = 0; i < PERSONS; i++) {
		const struct rule_match *matches;
		size_t count;

		if (ruleset_evaluate(set->ruleset, &set->persons[i], &set->states, 1, arena,
				     &matches, &count, NULL) < 0)
			stop("evaluation failed");
		set->matches += count;
		if (i % 500 == 499)
			arena_reset(arena);
	}
	took_s = cpu_s() - begin_s;
	if (set->best_s <= 0 || took_s < set->best_s)
		set->best_s = took_s;
}

static void print_set(const struct set *set)
{
	printf("%-24s %8u %8zu %10.2f %10.3f %10.2f\n", set->name, set->rules, (size_t)PERSONS,
	       (double)set->matches / PERSONS, set->best_s, set->best_s * 1e6 / PERSONS);
}

static void finish(struct set *set)
{
	ruleset_destroy(set->ruleset);
	group_registry_destroy(set->registry);
	schema_destroy(set->schema);
	arena_destroy(set->arena);
}

int main(void)
{
	struct set sets[] = {
		{ .name = "mixed",
		  .rules = 1000,
		  .groups = 700,
		  .departments = 150,
		  .unindexed = 20 },
		{ .name = "same matches, few",
		  .rules = 100,
		  .groups = 70,
		  .departments = 20,
		  .unindexed = 3 },
		{ .name = "same matches, many",
		  .rules = 10000,
		  .groups = 7000,
		  .departments = 2000,
		  .unindexed = 3 },
	};
	struct arena *arena = arena_create(ARENA_MAX);

	if (arena == NULL)
		stop("out of memory");
	for (size_t i = 0; i < ARRAY_LEN(sets); i++)
		prepare(&sets[i]);
	for (size_t round = 0; round < ROUNDS; round++)
		for (size_t i = 0; i < ARRAY_LEN(sets); i++)
			measure(&sets[i], arena);
	printf("%-24s %8s %8s %10s %10s %10s\n", "rules", "rules", "persons", "matches", "seconds",
	       "us/person");
	for (size_t i = 0; i < ARRAY_LEN(sets); i++)
		print_set(&sets[i]);
	printf("\n%-58s %8s %8s\n", "measure", "value", "goal");
	printf("%-58s %8.3f %8.3f\n", "1,000 rules for 100,000 persons, one core, seconds",
	       sets[0].best_s, 0.25);
	printf("%-58s %8.2f %8.2f\n", "cost per person, 10,000 rules to 100",
	       sets[2].best_s / sets[1].best_s, 1.5);
	for (size_t i = 0; i < ARRAY_LEN(sets); i++)
		finish(&sets[i]);
	arena_destroy(arena);
	return 0;
}
