/*
 * A person: several sources' identities seen as one. Enters: decoded identities.
 * Leaves: groups with the sources that say so, attributes by precedence, the user's
 * fields. Fails: two identities of one source, out of memory.
 */
#include <rolebridge/identity/person.h>

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>
#include <rolebridge/identity/names.h>

#define FIELD_MAX (64u * 1024)

static source_mask bit_of(uint16_t source)
{
	return (source_mask)1 << source;
}

static int compare_sources(const void *a, const void *b)
{
	const struct identity *left = a, *right = b;

	return (left->source > right->source) - (left->source < right->source);
}

static int set_sources(struct person *person, struct err *err)
{
	for (size_t i = 0; i < person->identity_count; i++) {
		const struct identity *identity = &person->identities[i];

		if (identity->source >= SOURCES_MAX)
			return err_set(err, ERR_INVALID, "identity of source number %u",
				       identity->source);
		if (person->sources & bit_of(identity->source))
			return err_set(err, ERR_CONFLICT,
				       "a person has two identities of source '%s'",
				       schema_source_name(person->schema, identity->source));
		person->sources |= bit_of(identity->source);
		if (!identity->groups_complete)
			person->groups_incomplete |= bit_of(identity->source);
	}
	return 0;
}

/* The lists are ascending: take the least head, from whoever has it, until all are empty. */
static void merge_groups(const struct person *person, size_t *heads, uint32_t *groups,
			 source_mask *says, size_t *ret_count)
{
	size_t count = 0;

	for (;;) {
		uint32_t least = UINT32_MAX;
		source_mask mask = 0;

		for (size_t i = 0; i < person->identity_count; i++) {
			const struct identity *identity = &person->identities[i];

			if (heads[i] == identity->group_count || identity->groups[heads[i]] > least)
				continue;
			if (identity->groups[heads[i]] < least)
				mask = 0;
			least = identity->groups[heads[i]];
			mask |= bit_of(identity->source);
		}
		if (mask == 0)
			break;
		for (size_t i = 0; i < person->identity_count; i++)
			if (mask & bit_of(person->identities[i].source))
				heads[i]++;
		groups[count] = least;
		says[count++] = mask;
	}
	*ret_count = count;
}

static int set_groups(struct person *person, struct arena *arena, struct err *err)
{
	size_t heads[SOURCES_MAX] = { 0 };
	size_t total = 0;
	uint32_t *groups;
	source_mask *says;

	for (size_t i = 0; i < person->identity_count; i++)
		total += person->identities[i].group_count;
	groups = arena_alloc_array(arena, total + 1, sizeof(*groups));
	says = arena_alloc_array(arena, total + 1, sizeof(*says));
	if (!groups || !says)
		return err_set(err, ERR_MEMORY, "no memory for a person's groups");
	merge_groups(person, heads, groups, says, &person->group_count);
	person->groups = groups;
	person->group_sources = says;
	return 0;
}

int person_merge(const struct schema *schema, struct identity *identities, size_t count,
		 struct arena *arena, struct person *ret_person, struct err *err)
{
	struct person person = {
		.schema = schema,
		.identities = identities,
		.identity_count = count,
	};

	if (count > 1)
		qsort(identities, count, sizeof(*identities), compare_sources);
	if (set_sources(&person, err) < 0 || set_groups(&person, arena, err) < 0)
		return -1;
	*ret_person = person;
	return 0;
}

static const struct attribute *find_attribute(const struct identity *identity, uint16_t id)
{
	size_t low = 0, high = identity->attribute_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (identity->attributes[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == identity->attribute_count || identity->attributes[low].id != id)
		return NULL;
	return &identity->attributes[low];
}

const struct attribute *person_attribute_of(const struct person *person, uint16_t id,
					    uint16_t source)
{
	size_t index;

	if (source >= SOURCES_MAX || !(person->sources & bit_of(source)))
		return NULL;
	/* Identities ascend by source, one for each bit. */
	index = (size_t)__builtin_popcountll(person->sources & (bit_of(source) - 1));
	return find_attribute(&person->identities[index], id);
}

const struct attribute *person_attribute(const struct person *person, uint16_t id,
					 uint16_t *ret_source)
{
	const struct schema_attribute *known = schema_get(person->schema, id);
	size_t sources = schema_source_count(person->schema);

	for (size_t i = 0; known && i < sources; i++) {
		const struct attribute *attribute =
			person_attribute_of(person, id, known->order[i]);

		if (!attribute)
			continue;
		if (ret_source)
			*ret_source = known->order[i];
		return attribute;
	}
	return NULL;
}

/* --- the user's fields --- */

typedef int normalizer(const char *text, struct strbuf *out, struct err *err);

/*
 * The first of the values (they are sorted, so the choice is the same at each read) that can be
 * used. *ret_problem: why the first one cannot, when none can.
 */
static int choose_value(const struct attribute *attribute, normalizer *normalize,
			struct arena *arena, const char **ret_text, const char **ret_problem,
			struct err *err)
{
	AUTO(strbuf) struct strbuf normal = STRBUF(FIELD_MAX);

	for (uint32_t i = 0; i < attribute->count; i++) {
		struct err problem;

		strbuf_clear(&normal);
		if (normalize(attribute->values[i], &normal, &problem) == 0) {
			*ret_text = arena_strndup(arena, normal.data, normal.size);
			*ret_problem = "";
			break;
		}
		if (problem.code == ERR_MEMORY)
			return err_set(err, ERR_MEMORY, "%s", problem.text);
		if (i == 0)
			*ret_problem = arena_strdup(arena, problem.text);
	}
	if (arena_failed(arena))
		return err_set(err, ERR_MEMORY, "no memory for a person's fields");
	return 0;
}

static int choose_field(const struct person *person, int id, normalizer *normalize,
			struct arena *arena, const char **ret_text, const char **ret_problem,
			struct err *err)
{
	const struct attribute *attribute =
		id >= 0 ? person_attribute(person, (uint16_t)id, NULL) : NULL;

	if (!attribute)
		return 0;
	return choose_value(attribute, normalize, arena, ret_text, ret_problem, err);
}

int person_fields(const struct person *person, struct arena *arena,
		  struct person_fields *ret_fields, struct err *err)
{
	struct person_fields fields = { "", "", "", "", "" };
	const char *unused = "";
	const uint16_t *names;
	size_t count;

	if (choose_field(person, schema_username(person->schema), username_normalize, arena,
			 &fields.username, &fields.username_problem, err) < 0 ||
	    choose_field(person, schema_email(person->schema), email_normalize, arena,
			 &fields.email, &fields.email_problem, err) < 0)
		return -1;
	names = schema_display_name(person->schema, &count);
	for (size_t i = 0; i < count && fields.display_name[0] == '\0'; i++)
		if (choose_field(person, names[i], display_name_normalize, arena,
				 &fields.display_name, &unused, err) < 0)
			return -1;
	*ret_fields = fields;
	return 0;
}
