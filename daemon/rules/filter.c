/*
 * One filter by itself, for saved filters and tests: a program with a single
 * condition and no groups. In: text and schema; persons. Out: a match. What
 * may fail: as compile.c; matching without memory is UNKNOWN.
 */
#include "program.h"

#include <rolebridge/base/alloc.h>

struct filter {
	struct program program;
	uint32_t root;
};

struct filter *filter_compile_people(const struct located *text, const struct schema *schema,
				     struct group_registry *registry, int64_t now_s,
				     struct diagnostics *list)
{
	struct filter *filter = alloc_zeroed(1, sizeof(*filter));

	if (filter == NULL || program_init(&filter->program, schema, registry) < 0) {
		diagnostics_add(list, SEVERITY_ERROR, "out-of-memory", text->at, NULL,
				"out of memory while compiling a filter");
		filter_destroy(filter);
		return NULL;
	}
	filter->program.now_s = now_s;
	if (program_compile(&filter->program, NULL, text, &filter->root, list) == 0)
		return filter;
	filter_destroy(filter);
	return NULL;
}

struct filter *filter_compile(const struct located *text, const struct schema *schema,
			      struct diagnostics *list)
{
	return filter_compile_people(text, schema, NULL, 0, list);
}

bool filter_reads(const struct filter *filter, uint16_t attribute)
{
	return filter->program.reads[attribute];
}

bool filter_reads_beyond(const struct filter *filter, uint16_t attribute, uint16_t source)
{
	for (uint32_t i = 0; i < filter->program.atom_count; i++) {
		const struct atom *atom = &filter->program.atoms[i];

		if (atom->test != TEST_GROUP && atom->attribute == attribute &&
		    atom->source != (int16_t)source)
			return true;
	}
	return false;
}

bool filter_reads_others(const struct filter *filter, uint16_t source)
{
	for (uint32_t i = 0; i < filter->program.atom_count; i++)
		if (filter->program.atoms[i].source != (int16_t)source)
			return true;
	return false;
}

size_t filter_size(const struct filter *filter)
{
	const struct program *program = &filter->program;

	/* A condition of many parts and few atoms is walked, too. */
	return program->node_count / 2 > program->atom_count ? program->node_count / 2
							     : program->atom_count;
}

bool filter_next_group(const struct filter *filter, size_t *at, uint32_t *ret_group)
{
	while (*at < filter->program.atom_count) {
		const struct atom *atom = &filter->program.atoms[(*at)++];

		if (atom->test != TEST_GROUP)
			continue;
		*ret_group = atom->group;
		return true;
	}
	return false;
}

void filter_destroy(struct filter *filter)
{
	if (filter == NULL)
		return;
	program_finish(&filter->program);
	free(filter);
}

enum match filter_match(const struct filter *filter, const struct person *person)
{
	return filter_match_people(filter, person, NULL);
}

enum match filter_match_people(const struct filter *filter, const struct person *person,
			       const struct group_states *groups)
{
	struct scratch scratch;
	struct evaluation evaluation = {
		.program = &filter->program, .person = person, .groups = groups, .scratch = &scratch
	};
	struct truth truth;

	scratch_init(&scratch);
	truth = evaluate_condition(&evaluation, filter->root);
	scratch_finish(&scratch);
	return scratch.failed ? MATCH_UNKNOWN : truth.match;
}
