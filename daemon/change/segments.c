/*
 * Segments that are saved filters. Enters: what a configuration declares, files and store alike. Leaves: what their
 * filters read, and selections by name. Fails: findings, memory.
 */
#include "select.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>
#include <rolebridge/config/document.h>

static int out_of_memory(struct diagnostics *list)
{
	diagnostics_add(list, SEVERITY_ERROR, "out-of-memory", (struct position){ 0 }, NULL,
			"out of memory for segments");
	return -1;
}

/* Of the store, and right when it was stored: it must not stop the daemon now. */
static void warn_of(const struct segment_settings *segment, const struct diagnostics *found,
		    struct diagnostics *list)
{
	for (size_t i = 0; i < diagnostics_count(found); i++) {
		const struct diagnostic *finding = diagnostics_get(found, i);

		diagnostics_add(list, SEVERITY_WARNING, "segment-unusable", segment->at,
				finding->hint, "nobody is in segment '%s': %s", segment->name.text,
				finding->message);
	}
}

static int note_needs(const struct filter *filter, const struct schema *schema,
		      const struct schema *extended, struct arena *arena,
		      struct segments_needs *needs, bool *ret_sensitive)
{
	uint16_t store = (uint16_t)schema_source_count(schema);
	uint32_t group, *groups;
	size_t at = 0, more = 0;

	for (size_t i = 0; i < schema_count(extended); i++) {
		const char *name = schema_get(extended, (uint16_t)i)->name;
		int id = filter_reads_beyond(filter, (uint16_t)i, store)
				 ? schema_find(schema, name, strlen(name))
				 : -1;

		if (id >= 0)
			needs->attributes[id] = true;
		if (id >= 0 && schema_get(extended, (uint16_t)i)->sensitive)
			*ret_sensitive = true;
	}
	while (filter_next_group(filter, &at, &group))
		more++;
	groups = arena_alloc_array(arena, needs->group_count + more + 1, sizeof(*groups));
	if (!groups)
		return -1;
	for (size_t i = 0; i < needs->group_count; i++)
		groups[i] = needs->groups[i];
	needs->groups = groups;
	for (at = 0; filter_next_group(filter, &at, &group);)
		groups[needs->group_count++] = group;
	return 0;
}

static int compile_segment(struct segment_settings *segment, const struct schema *schema,
			   const struct schema *extended, struct group_registry *registry,
			   struct arena *arena, struct segments_needs *needs,
			   struct diagnostics *list)
{
	AUTO(diagnostics) struct diagnostics *own = segment->lenient ? diagnostics_create() : NULL;
	struct filter *filter;
	int result = 0;

	if (!segment->filter.text)
		return 0;
	if (segment->lenient && !own)
		return out_of_memory(list);
	/* What times are relative to changes no name in it. */
	filter = filter_compile_people(&segment->filter, extended, registry, 1, own ? own : list);
	if (filter && note_needs(filter, schema, extended, arena, needs, &segment->sensitive) < 0)
		result = out_of_memory(list);
	if (!filter && own) {
		warn_of(segment, own, list);
		/* Nobody can say what it names. */
		segment->sensitive = true;
	}
	filter_destroy(filter);
	return result;
}

static int compare_ids(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

	return (left > right) - (left < right);
}

int segments_compile(const struct catalogue_settings *catalogue, const struct schema *schema,
		     struct group_registry *registry, struct arena *arena,
		     struct segments_needs *ret_needs, struct diagnostics *list)
{
	struct segment_settings *segments = catalogue->segment_filters.items;
	struct schema *extended = facts_schema(schema, true);
	struct segments_needs needs = { 0 };
	int result = extended ? 0 : out_of_memory(list);

	needs.attributes = arena_alloc_array(arena, schema_count(schema) + 1, sizeof(bool));
	if (result == 0 && !needs.attributes)
		result = out_of_memory(list);
	for (size_t i = 0; result == 0 && i < catalogue->segment_filters.count; i++)
		result = compile_segment(&segments[i], schema, extended, registry, arena, &needs,
					 list);
	if (result == 0 && needs.group_count > 0)
		qsort(needs.groups, needs.group_count, sizeof(*needs.groups), compare_ids);
	schema_destroy(extended);
	*ret_needs = needs;
	return result;
}

/* NULL: everybody's, or no filter at all. */
static const char *segment_owner(const struct catalogue_settings *catalogue, const char *segment)
{
	const struct segment_settings *filters = catalogue->segment_filters.items;

	for (size_t i = 0; i < catalogue->segment_filters.count; i++)
		if (filters[i].name.text && strcmp(filters[i].name.text, segment) == 0)
			return filters[i].organization;
	return NULL;
}

static bool carries(const struct role_settings *role, const char *segment)
{
	for (size_t i = 0; i < role->segments.count; i++)
		if (strcmp(role->segments.items[i].text, segment) == 0)
			return true;
	return false;
}

/* Others mean something else by the name of what is one organization's alone. */
size_t segment_roles(const struct catalogue_settings *catalogue, const char *segment)
{
	const struct role_settings *roles = catalogue->roles.items;
	const char *owner = segment_owner(catalogue, segment);
	size_t count = 0;

	for (size_t i = 0; i < catalogue->roles.count; i++) {
		const char *of = roles[i].organization;

		if ((!owner || (of && strcmp(of, owner) == 0)) && carries(&roles[i], segment))
			count++;
	}
	return count;
}

const struct segment_settings *segment_find(const struct setup *setup, const char *organization,
					    const char *name)
{
	const struct struct_list *list =
		setup->catalogue ? &setup->catalogue->segment_filters : NULL;
	const struct segment_settings *segments = list ? list->items : NULL;

	for (size_t i = 0; list && i < list->count; i++)
		if (segments[i].name.text && strcmp(segments[i].name.text, name) == 0 &&
		    catalogue_is_for(segments[i].organization, organization))
			return &segments[i];
	return NULL;
}

int selection_of_segment(struct setup *setup, struct store *store, const char *organization,
			 const char *segment, const struct selection_options *options,
			 struct selection **ret_selection, struct err *err)
{
	const struct segment_settings *found = segment_find(setup, organization, segment);
	struct selection_options all = *options;
	struct selection *selection;

	if (!found)
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no segment '%s'", segment);
	if (found->sensitive && !options->sensitive)
		return err_refuse(err, ERR_DENIED, "not-allowed",
				  "segment '%s' reads attributes that are sensitive", segment);
	/* It was looked at when it was saved; what changed since is no fault of who asks. */
	all.sensitive = true;
	all.may_unread = true;
	if (selection_compile(setup, store, found->filter.text, &all, &selection, NULL, err) < 0)
		return err_wrap(err, "segment '%s'", segment);
	selection->organization = found->organization;
	*ret_selection = selection;
	return 0;
}
