/*
 * Inside config/ only: the written forms of numbers. One row per type holds
 * what reading, messages, manual and schema need, so that they cannot differ.
 */
#ifndef CONFIG_VALUES_H
#define CONFIG_VALUES_H

#include <stdbool.h>
#include <stdint.h>

#include <rolebridge/config/options.h>

struct value_form {
	const char *name;    /* "a duration" */
	const char *example; /* to follow "such as" */
	const char *pattern; /* of the text form, ECMA-262; NULL: plain numbers only */
	bool (*read)(const char *text, int64_t *ret_value);
	/* The shortest way to write the value; the buffer is large enough for all. */
	void (*write)(int64_t value, char ret_text[static 32]);
	int64_t min, max; /* where the row gives no range */
};

/* NULL for types that are not numbers. */
const struct value_form *value_form(enum option_type type);

/* The range that holds for an option with a number form. */
void option_range(const struct option *option, int64_t *ret_min, int64_t *ret_max);

#endif
