/*
 * The ruleset: rules of the configuration, compiled, indexed, evaluated.
 *
 * In: settings, schema and registry; then persons. Out: the rules that are not
 * NO for a person, and why. What may fail: bad configuration (diagnostics),
 * memory. Evaluation takes memory from the caller's arena for its result only.
 */
#include <rolebridge/rules/ruleset.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/message.h>
#include <rolebridge/base/util.h>

#include "program.h"

#define DIGEST_TEXT_MAX ((size_t)1024 * 1024 * 1024)
/* Grows when the same rules would decide otherwise. */
#define SEMANTICS_VERSION 2

/* --- compiling --- */

static void fail_memory(struct diagnostics *list)
{
	diagnostics_add(list, SEVERITY_ERROR, "out-of-memory", (struct position){ 0 }, NULL,
			"out of memory while compiling rules");
}

static const char *copy_text(struct ruleset *rules, const char *text)
{
	return arena_strdup(rules->program.arena, text ? text : "");
}

static void copy_names(struct ruleset *rules, enum grant_kind kind,
		       const struct located_list *names, struct rule_grant *out, size_t *count)
{
	for (size_t i = 0; i < names->count; i++)
		out[(*count)++] =
			(struct rule_grant){ kind, copy_text(rules, names->items[i].text),
					     owner_of(rules, kind, names->items[i].text) };
}

static const struct rule_grant *copy_grants(struct ruleset *rules,
					    const struct grant_settings *settings,
					    size_t *ret_count)
{
	struct located_list profile = { settings->profile.text != NULL, &settings->profile };
	size_t max = 1 + settings->roles.count + settings->personas.count + settings->groups.count;
	struct rule_grant *grants = arena_alloc_array(rules->program.arena, max, sizeof(*grants));

	*ret_count = 0;
	if (grants == NULL)
		return NULL;
	copy_names(rules, GRANT_PROFILE, &profile, grants, ret_count);
	copy_names(rules, GRANT_ROLE, &settings->roles, grants, ret_count);
	copy_names(rules, GRANT_PERSONA, &settings->personas, grants, ret_count);
	copy_names(rules, GRANT_GROUP, &settings->groups, grants, ret_count);
	return grants;
}

/* Its findings are warnings: the rule gains nobody and keeps what it gave, as when its group had vanished. */
static int compile_leniently(struct ruleset *rules, const struct rule_settings *settings,
			     uint32_t *ret_root, struct diagnostics *list)
{
	AUTO(diagnostics) struct diagnostics *findings = diagnostics_create();
	int result;

	if (findings == NULL) {
		fail_memory(list);
		return -1;
	}
	result = program_compile(&rules->program, &settings->groups, &settings->when, ret_root,
				 findings);
	for (size_t i = 0; i < diagnostics_count(findings); i++) {
		const struct diagnostic *finding = diagnostics_get(findings, i);
		bool memory = strcmp(finding->code, "out-of-memory") == 0;

		diagnostics_add(list, memory ? SEVERITY_ERROR : SEVERITY_WARNING, finding->code,
				finding->at, finding->hint, "%s", finding->message);
	}
	return result == 0 ? 0 : program_leave_open(&rules->program, ret_root, list);
}

static void compile_rule(struct ruleset *rules, const struct rule_settings *settings,
			 struct diagnostics *list)
{
	uint32_t order = rules->count;
	struct rule *rule = &rules->rules[order];

	*rule = (struct rule){ .id = copy_text(rules, settings->id.text),
			       .description = copy_text(rules, settings->description.text),
			       .order = order,
			       .expires_s = settings->expires_s,
			       .trial = settings->trial,
			       .organization = settings->organization
						       ? copy_text(rules, settings->organization)
						       : NULL,
			       .when = copy_text(rules, settings->when.text),
			       .at = settings->at };
	/* The date is its first second; the grants hold until the day is over. */
	if (settings->expires_s != 0)
		rule->expires_s += 24 * 60 * 60;
	rules->entries[order].expires_s = rule->expires_s;
	rules->entries[order].organization = rule->organization;
	rule->grants = copy_grants(rules, &settings->grant, &rule->grant_count);
	rule->denies = copy_grants(rules, &settings->deny, &rule->deny_count);
	if (settings->groups.count == 0 && settings->when.text == NULL) {
		diagnostics_add(list, SEVERITY_ERROR, "rule-without-condition", settings->at,
				"A rule for everybody says so: when: \"(&)\".",
				"rule '%s' has neither groups nor when", rule->id);
		return;
	}
	if (settings->lenient
		    ? compile_leniently(rules, settings, &rules->entries[order].root, list) == 0
		    : program_compile(&rules->program, &settings->groups, &settings->when,
				      &rules->entries[order].root, list) == 0)
		rules->count++;
}

static int compare_numbers(const void *left, const void *right)
{
	uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

	return (a > b) - (a < b);
}

static int collect_groups(struct ruleset *rules)
{
	const struct program *program = &rules->program;
	size_t kept = 0;

	rules->groups = alloc_zeroed(program->atom_count + (size_t)1, sizeof(*rules->groups));
	if (rules->groups == NULL)
		return -1;
	for (uint32_t i = 0; i < program->atom_count; i++)
		if (program->atoms[i].test == TEST_GROUP)
			rules->groups[rules->group_count++] = program->atoms[i].group;
	qsort(rules->groups, rules->group_count, sizeof(*rules->groups), compare_numbers);
	for (size_t i = 0; i < rules->group_count; i++)
		if (i == 0 || rules->groups[i] != rules->groups[i - 1])
			rules->groups[kept++] = rules->groups[i];
	rules->group_count = kept;
	return 0;
}

static int name_rules(struct ruleset *rules)
{
	rules->by_id = hash_table_create(rules->count, rules->count + (size_t)1);
	if (rules->by_id == NULL)
		return -1;
	for (uint32_t i = 0; i < rules->count; i++) {
		const char *id = rules->rules[i].id;
		uint32_t *slot;

		if (hash_table_put(rules->by_id, fingerprint128(id, strlen(id)), &slot) < 0)
			return -1;
		*slot = i;
	}
	return 0;
}

static void serialize_grants(const struct rule_grant *grants, size_t count, struct strbuf *out)
{
	put_varint(out, count);
	for (size_t i = 0; i < count; i++) {
		put_u8(out, (uint8_t)grants[i].kind);
		put_text(out, grants[i].name);
	}
}

static void serialize_attributes(const struct ruleset *rules, struct strbuf *out)
{
	const struct schema *schema = rules->program.schema;

	for (uint16_t i = 0; i < schema_source_count(schema); i++)
		put_u8(out, schema_source_is_directory(schema, i));
	for (uint16_t id = 0; id < schema_count(schema); id++) {
		const struct schema_attribute *info = schema_get(schema, id);

		if (!rules->program.reads[id])
			continue;
		put_text(out, info->name);
		put_u8(out, (uint8_t)info->syntax);
		for (size_t i = 0; i < schema_source_count(schema); i++) {
			put_text(out, schema_source_name(schema, info->order[i]));
			put_u8(out, info->absent_unknown >> info->order[i] & 1);
		}
	}
}

static void serialize_owners(const struct rule_grant *grants, size_t count, uint32_t order,
			     struct strbuf *out)
{
	for (size_t i = 0; i < count; i++)
		if (grants[i].organization != NULL) {
			put_varint(out, order);
			put_u8(out, (uint8_t)grants[i].kind);
			put_text(out, grants[i].name);
			put_text(out, grants[i].organization);
		}
}

/* Behind all the rest, so that without organizations the digest is what it always was. */
static void serialize_organizations(const struct ruleset *rules, struct strbuf *out)
{
	for (uint32_t i = 0; i < rules->count; i++) {
		const struct rule *rule = &rules->rules[i];

		if (rule->organization != NULL) {
			put_varint(out, i);
			put_text(out, rule->organization);
		}
		serialize_owners(rule->grants, rule->grant_count, i, out);
		serialize_owners(rule->denies, rule->deny_count, i, out);
	}
}

static int digest_rules(struct ruleset *rules, const char *default_profile)
{
	AUTO(strbuf) struct strbuf out = STRBUF(DIGEST_TEXT_MAX);

	put_u8(&out, SEMANTICS_VERSION);
	put_text(&out, default_profile);
	serialize_attributes(rules, &out);
	for (uint32_t i = 0; i < rules->count; i++) {
		const struct rule *rule = &rules->rules[i];

		put_text(&out, rule->id);
		put_i64(&out, rule->expires_s);
		put_u8(&out, rule->trial);
		serialize_grants(rule->grants, rule->grant_count, &out);
		serialize_grants(rule->denies, rule->deny_count, &out);
		program_serialize(&rules->program, rules->entries[i].root, &out);
	}
	serialize_organizations(rules, &out);
	if (strbuf_failed(&out))
		return -1;
	rules->digest = digest128(out.data, out.size);
	return 0;
}

static struct ruleset *ruleset_create(const struct schema *schema, struct group_registry *registry,
				      size_t max)
{
	struct ruleset *rules = alloc_zeroed(1, sizeof(*rules));

	if (rules == NULL || max >= UINT32_MAX ||
	    program_init(&rules->program, schema, registry) < 0) {
		ruleset_destroy(rules);
		return NULL;
	}
	rules->rules = alloc_zeroed(max + 1, sizeof(*rules->rules));
	rules->entries = alloc_zeroed(max + 1, sizeof(*rules->entries));
	if (rules->rules != NULL && rules->entries != NULL)
		return rules;
	ruleset_destroy(rules);
	return NULL;
}

static int ruleset_finish_compile(struct ruleset *rules, const char *default_profile)
{
	if (arena_failed(rules->program.arena) || collect_groups(rules) < 0 ||
	    name_rules(rules) < 0 || digest_rules(rules, default_profile) < 0)
		return -1;
	rules->program.registry = NULL; /* the caller's, from here on */
	rules->index = rule_index_create(&rules->program, rules->entries, rules->count);
	return rules->index ? 0 : -1;
}

struct ruleset *ruleset_compile(const struct catalogue_settings *settings,
				const struct schema *schema, const char *default_profile,
				struct group_registry *registry, struct diagnostics *list)
{
	const struct rule_settings *items = settings->rules.items;
	size_t errors = diagnostics_errors(list);
	struct ruleset *rules = ruleset_create(schema, registry, settings->rules.count);

	if (rules == NULL) {
		fail_memory(list);
		return NULL;
	}
	catalogue_check(settings, default_profile, list);
	if (owners_list(rules, settings) < 0)
		fail_memory(list);
	for (size_t i = 0; rules->owners && i < settings->rules.count; i++)
		compile_rule(rules, &items[i], list);
	owners_forget(rules);
	if (diagnostics_errors(list) == errors &&
	    ruleset_finish_compile(rules, default_profile) < 0)
		fail_memory(list);
	if (diagnostics_errors(list) == errors) {
		ruleset_lint_conditions(settings, rules, list);
		return rules;
	}
	ruleset_destroy(rules);
	return NULL;
}

void ruleset_destroy(struct ruleset *rules)
{
	if (rules == NULL)
		return;
	owners_forget(rules);
	rule_index_destroy(rules->index);
	hash_table_destroy(rules->by_id);
	program_finish(&rules->program);
	free(rules->groups);
	free(rules->rules);
	free(rules->entries);
	free(rules);
}

/* --- looking up --- */

size_t ruleset_count(const struct ruleset *rules)
{
	return rules->count;
}

const struct rule *ruleset_rule(const struct ruleset *rules, size_t order)
{
	return order < rules->count ? &rules->rules[order] : NULL;
}

const struct rule *ruleset_find(const struct ruleset *rules, const char *id)
{
	uint32_t order;

	if (!hash_table_get(rules->by_id, fingerprint128(id, strlen(id)), &order))
		return NULL;
	return &rules->rules[order];
}

bool rule_concerns(const struct rule *rule, const char *organization)
{
	return rule->organization == NULL || organization == NULL ||
	       strcmp(rule->organization, organization) == 0;
}

bool ruleset_reads(const struct ruleset *rules, uint16_t attribute)
{
	return attribute < schema_count(rules->program.schema) && rules->program.reads[attribute];
}

const uint32_t *ruleset_groups(const struct ruleset *rules, size_t *ret_count)
{
	*ret_count = rules->group_count;
	return rules->groups;
}

struct hash128 ruleset_digest(const struct ruleset *rules)
{
	return rules->digest;
}

int64_t ruleset_next_expiry(const struct ruleset *rules, int64_t now_s)
{
	int64_t next = 0;

	for (uint32_t i = 0; i < rules->count; i++) {
		int64_t expires_s = rules->rules[i].expires_s;

		if (expires_s > now_s && (next == 0 || expires_s < next))
			next = expires_s;
	}
	return next;
}

/* More unknown groups than this, and looking at each named one is cheaper than a list. */
#define UNKNOWN_LISTED_MAX 256

int group_states_build(const struct group_registry *registry, struct arena *arena,
		       struct group_states *ret, struct err *err)
{
	size_t count = group_registry_count(registry);
	uint32_t next = 1, listed = 0;
	uint8_t *unknown;
	uint32_t *ids;

	for (size_t i = 0; i < count; i++)
		next = group_registry_at(registry, i)->id + 1;
	unknown = arena_alloc(arena, next);
	ids = arena_alloc_array(arena, UNKNOWN_LISTED_MAX, sizeof(*ids));
	if (unknown == NULL || ids == NULL)
		return err_set(err, ERR_MEMORY, "out of memory for %zu groups", count);
	/* A number that no group has any more says nothing about anybody. */
	memset(unknown, 1, next);
	for (size_t i = 0; i < count; i++) {
		const struct group *group = group_registry_at(registry, i);

		unknown[group->id] = !group->released && (!group->found || group->vanished);
	}
	for (uint32_t id = 0; id < next; id++)
		if (unknown[id] != 0 && listed++ < UNKNOWN_LISTED_MAX)
			ids[listed - 1] = id;
	*ret = (struct group_states){ unknown, next, listed <= UNKNOWN_LISTED_MAX, ids, listed };
	return 0;
}

/* --- evaluating --- */

#define STACK_WORDS 256 /* candidates of 16,384 rules */
#define STACK_MATCHES 64

struct match_list {
	struct rule_match stack[STACK_MATCHES];
	struct rule_match *items;
	size_t count, capacity;
};

static int match_list_add(struct match_list *list, struct rule_match match)
{
	if (list->count == list->capacity) {
		size_t capacity = list->capacity * 2;
		struct rule_match *items = alloc_resize(
			list->items == list->stack ? NULL : list->items, capacity * sizeof(*items));

		if (items == NULL)
			return -1;
		if (list->items == list->stack)
			memcpy(items, list->stack, sizeof(list->stack));
		list->items = items;
		list->capacity = capacity;
	}
	list->items[list->count++] = match;
	return 0;
}

static bool concerns(const char *organization, const struct person *person)
{
	return organization == NULL ||
	       (person->organization != NULL && strcmp(organization, person->organization) == 0);
}

static int evaluate_rule(const struct ruleset *rules, struct evaluation *evaluation, uint32_t order,
			 int64_t now_s, struct match_list *list)
{
	const struct rule_entry *entry = &rules->entries[order];
	struct truth truth;

	if ((entry->expires_s != 0 && now_s >= entry->expires_s) ||
	    !concerns(entry->organization, evaluation->person))
		return 0;
	truth = evaluate_condition(evaluation, entry->root);
	if (evaluation->scratch->failed)
		return -1;
	if (truth.match == MATCH_NO)
		return 0;
	return match_list_add(
		list, (struct rule_match){ &rules->rules[order], truth.match, truth.support });
}

/*
 * The few rules of one person lie far apart in memory: ask for all of them
 * before the first is needed. Without this, cost grows with the cache misses that
 * many rules bring.
 */
static void prefetch_rules(const struct ruleset *rules, const uint32_t *orders, size_t count)
{
	const struct program *program = &rules->program;

	for (size_t i = 0; i < count; i++)
		__builtin_prefetch(&rules->entries[orders[i]]);
	for (size_t i = 0; i < count; i++)
		__builtin_prefetch(&program->nodes[rules->entries[orders[i]].root]);
	for (size_t i = 0; i < count; i++) {
		uint32_t at = rules->entries[orders[i]].root, end = program->nodes[at].end;

		while (at < end && program->nodes[at].kind != NODE_ATOM)
			at++;
		if (at < end)
			__builtin_prefetch(&program->atoms[program->nodes[at].atom]);
	}
}

#define BATCH 64

static int evaluate_batch(const struct ruleset *rules, struct evaluation *evaluation,
			  const uint32_t *orders, size_t count, int64_t now_s,
			  struct match_list *list)
{
	prefetch_rules(rules, orders, count);
	for (size_t i = 0; i < count; i++)
		if (evaluate_rule(rules, evaluation, orders[i], now_s, list) < 0)
			return -1;
	return 0;
}

/* Takes the candidates out, in rule order. */
static int evaluate_candidates(const struct ruleset *rules, struct evaluation *evaluation,
			       const struct candidates *candidates, int64_t now_s,
			       struct match_list *list)
{
	size_t summaries = summary_words(rule_index_words(rules->index)), count = 0;
	uint32_t orders[BATCH];

	for (size_t s = 0; s < summaries; s++)
		for (uint64_t marks = candidates->summary[s]; marks != 0; marks &= marks - 1) {
			size_t word = s * 64 + (size_t)__builtin_ctzll(marks);

			for (uint64_t bits = candidates->words[word]; bits != 0; bits &= bits - 1) {
				orders[count++] =
					(uint32_t)(word * 64) + (uint32_t)__builtin_ctzll(bits);
				if (count < BATCH)
					continue;
				if (evaluate_batch(rules, evaluation, orders, count, now_s, list) <
				    0)
					return -1;
				count = 0;
			}
		}
	return evaluate_batch(rules, evaluation, orders, count, now_s, list);
}

/* The result, from the arena; never NULL on success. */
static const struct rule_match *keep_matches(const struct match_list *list, struct arena *arena)
{
	static const struct rule_match none;

	if (list->count == 0)
		return &none;
	return arena_memdup(arena, list->items, list->count * sizeof(*list->items));
}

int ruleset_evaluate(const struct ruleset *rules, const struct person *person,
		     const struct group_states *groups, int64_t now_s, struct arena *arena,
		     const struct rule_match **ret_matches, size_t *ret_count, struct err *err)
{
	uint64_t stack[STACK_WORDS + STACK_WORDS / 64], *room = stack;
	size_t words = rule_index_words(rules->index), all = words + summary_words(words);
	const struct rule_match *matches = NULL;
	struct candidates candidates;
	struct scratch scratch;
	struct match_list list;
	struct evaluation evaluation = {
		.program = &rules->program, .person = person, .groups = groups, .scratch = &scratch
	};

	if (words > STACK_WORDS && (room = alloc_zeroed(all, sizeof(*room))) == NULL)
		return err_set(err, ERR_MEMORY, "out of memory while evaluating rules");
	memset(room, 0, all * sizeof(*room));
	candidates = (struct candidates){ room, room + words };
	scratch_init(&scratch);
	list.items = list.stack;
	list.capacity = STACK_MATCHES;
	list.count = 0;
	rule_index_candidates(rules->index, person, groups, &scratch, &candidates);
	if (!scratch.failed &&
	    evaluate_candidates(rules, &evaluation, &candidates, now_s, &list) == 0)
		matches = keep_matches(&list, arena);
	scratch_finish(&scratch);
	if (room != stack)
		free(room);
	if (matches != NULL) {
		*ret_matches = matches;
		*ret_count = list.count;
	}
	if (list.items != list.stack)
		free(list.items);
	return matches ? 0 : err_set(err, ERR_MEMORY, "out of memory while evaluating rules");
}

/* --- explaining --- */

/* A node before the tree: why the rule is NO whatever the tree says. */
static void trace_out(const char *text, const char *because, struct trace *trace)
{
	trace->nodes = alloc_zeroed(1, sizeof(*trace->nodes));
	if (trace->nodes == NULL) {
		trace->failed = true;
		return;
	}
	trace->capacity = trace->count = 1;
	trace->nodes[0] = (struct trace_node){
		.match = MATCH_NO,
		.text = text,
		.because = because,
	};
}

static void trace_expiry(const struct rule *rule, struct trace *trace)
{
	char day[CLOCK_TEXT_SIZE];

	clock_format(rule->expires_s - 1, day);
	trace_out(arena_printf(trace->arena, "expires: %.10s", day), "the rule has expired", trace);
}

int rule_explain(const struct ruleset *rules, const struct rule *rule, const struct person *person,
		 const struct group_states *groups, int64_t now_s, bool show_sensitive,
		 struct arena *arena, enum match *ret_match, const struct trace_node **ret_nodes,
		 size_t *ret_count, struct err *err)
{
	struct trace trace = { .arena = arena, .show_sensitive = show_sensitive };
	struct scratch scratch;
	struct evaluation evaluation = { .program = &rules->program,
					 .person = person,
					 .groups = groups,
					 .scratch = &scratch,
					 .trace = &trace };
	bool expired = rule->expires_s != 0 && now_s >= rule->expires_s;
	bool elsewhere = !concerns(rule->organization, person);
	const struct trace_node *nodes = NULL;
	struct truth truth;

	scratch_init(&scratch);
	if (elsewhere)
		trace_out("organization", "the rule is for people of another one", &trace);
	else if (expired)
		trace_expiry(rule, &trace);
	truth = evaluate_condition(&evaluation, rules->entries[rule->order].root);
	scratch_finish(&scratch);
	if (!scratch.failed && !trace.failed)
		nodes = arena_memdup(arena, trace.nodes, trace.count * sizeof(*trace.nodes));
	free(trace.nodes);
	if (nodes == NULL || arena_failed(arena))
		return err_set(err, ERR_MEMORY, "out of memory while explaining rule '%s'",
			       rule->id);
	*ret_match = expired || elsewhere ? MATCH_NO : truth.match;
	*ret_nodes = nodes;
	*ret_count = trace.count;
	return 0;
}
