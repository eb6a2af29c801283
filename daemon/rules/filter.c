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

struct filter *filter_compile(const struct located *text, const struct schema *schema,
			      struct diagnostics *list)
{
	struct filter *filter = alloc_zeroed(1, sizeof(*filter));

	if (filter == NULL || program_init(&filter->program, schema, NULL) < 0) {
		diagnostics_add(list, SEVERITY_ERROR, "out-of-memory", text->at, NULL,
				"out of memory while compiling a filter");
		filter_destroy(filter);
		return NULL;
	}
	if (program_compile(&filter->program, NULL, text, &filter->root, list) == 0)
		return filter;
	filter_destroy(filter);
	return NULL;
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
	struct scratch scratch;
	struct evaluation evaluation = { .program = &filter->program,
					 .person = person,
					 .scratch = &scratch };
	struct truth truth;

	scratch_init(&scratch);
	truth = evaluate_condition(&evaluation, filter->root);
	scratch_finish(&scratch);
	return scratch.failed ? MATCH_UNKNOWN : truth.match;
}
