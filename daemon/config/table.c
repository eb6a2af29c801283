/* Walking option tables. Enters: static tables. Leaves: rows. Nothing fails. */
#include "table.h"

#include <string.h>

const struct option include_option = {
	.name = "include",
	.type = OPTION_STRINGS,
	.help = "Further files, as paths or globs relative to this one, read in order of their "
		"names. In the main file only.",
};

static void chain_add(struct chain *chain, const struct option_table *table)
{
	for (; table; table = table->base) {
		for (size_t i = 0; i < chain->count; i++)
			if (chain->tables[i] == table)
				return;
		if (chain->count < CHAIN_MAX)
			chain->tables[chain->count++] = table;
	}
}

struct chain chain_of(const struct option_table *table, const struct option_table *list)
{
	struct chain chain = { .count = 0 };

	chain_add(&chain, table);
	chain_add(&chain, list);
	return chain;
}

const struct option *chain_find(const struct chain *chain, const char *name)
{
	for (size_t i = 0; i < chain->count; i++)
		for (const struct option *o = chain->tables[i]->options; o && o->name; o++)
			if (strcmp(o->name, name) == 0)
				return o;
	return NULL;
}

const struct option *option_table_find(const struct option_table *table, const char *name)
{
	struct chain chain = chain_of(table, NULL);

	return chain_find(&chain, name);
}

size_t option_choices(const struct option *option)
{
	size_t count = 0;

	while (option->choices && option->choices[count])
		count++;
	return count;
}
