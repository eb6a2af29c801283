/* Inside config/ only: option tables as the parser and the generators walk them. */
#ifndef CONFIG_TABLE_H
#define CONFIG_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include <rolebridge/config/options.h>

#define CHAIN_MAX 8

/* A table with its bases, the most special first: together one mapping. */
struct chain {
	const struct option_table *tables[CHAIN_MAX];
	size_t count;
};

/* list: the list's own table when table is one of its variants, else NULL. */
struct chain chain_of(const struct option_table *table, const struct option_table *list);
const struct option *chain_find(const struct chain *chain, const char *name);

/* The row that stands for `include`, which the document itself takes; root tables need not list it. */
extern const struct option include_option;

/* How many choices an enumeration has. */
size_t option_choices(const struct option *option);

#endif
