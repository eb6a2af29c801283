/*
 * Which attributes a source has to deliver. Enters: settings, schema and what the rules
 * need. Leaves: a list in the order of records. Fails only out of memory.
 */
#include <rolebridge/source/source.h>

#include <string.h>

#include <rolebridge/base/text.h>

static bool is_field(const struct schema *schema, size_t id)
{
	size_t count;
	const uint16_t *names = schema_display_name(schema, &count);

	if ((int)id == schema_username(schema) || (int)id == schema_email(schema))
		return true;
	for (size_t i = 0; i < count; i++)
		if (names[i] == id)
			return true;
	return false;
}

static bool is_link(const struct source_settings *source, const struct schema *schema, size_t id)
{
	const char *name = source->link.attribute.text;

	return source->link.at.file != 0 && name &&
	       schema_find(schema, name, strlen(name)) == (int)id;
}

static const struct attribute_settings *declaration(const struct source_settings *source,
						    const struct schema *schema, size_t id)
{
	const struct attribute_settings *given = source->attributes.items;

	for (size_t i = 0; i < source->attributes.count; i++) {
		const char *name = given[i].name.text;

		if (name && schema_find(schema, name, strlen(name)) == (int)id)
			return &given[i];
	}
	return NULL;
}

/* As the source calls the attribute; NULL when it does not deliver it. */
static const char *name_at_source(const struct source_settings *source, const struct schema *schema,
				  size_t id)
{
	const struct attribute_settings *given = declaration(source, schema, id);

	if (given)
		return given->from.text ? given->from.text : given->name.text;
	return schema_get(schema, (uint16_t)id)->builtin ? schema_get(schema, (uint16_t)id)->name
							 : NULL;
}

int source_wanted_attributes(const struct source_settings *source, const struct schema *schema,
			     const bool *needed, struct arena *arena,
			     struct wanted_attribute **ret_wanted, size_t *ret_count,
			     struct err *err)
{
	size_t count = 0;
	struct wanted_attribute *wanted =
		arena_alloc_array(arena, schema_count(schema) + 1, sizeof(*wanted));

	if (!wanted)
		return err_set(err, ERR_MEMORY, "no memory for the list of attributes");
	/* Ids ascend with the names: the list comes out sorted. */
	for (size_t id = 0; id < schema_count(schema); id++) {
		const char *from;

		if (needed && !needed[id] && !is_field(schema, id) && !is_link(source, schema, id))
			continue;
		from = name_at_source(source, schema, id);
		if (!from)
			continue;
		wanted[count].name = arena_strdup(arena, schema_get(schema, (uint16_t)id)->name);
		wanted[count].from = arena_strdup(arena, from);
		if (!wanted[count].name || !wanted[count].from)
			return err_set(err, ERR_MEMORY, "no memory for the list of attributes");
		count++;
	}
	*ret_wanted = wanted;
	*ret_count = count;
	return 0;
}
