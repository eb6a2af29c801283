/*
 * Numbers, durations, sizes, percents and dates. Enters: text. Leaves: int64_t
 * in the unit of the type. Fails on anything but the exact form, on overflow too.
 */
#include "values.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>

struct unit {
	const char *name;
	int64_t factor;
};

/* Largest first: written durations name each at most once, in this order. */
static const struct unit time_units[] = {
	{ "w", 7 * 86400 }, { "d", 86400 }, { "h", 3600 }, { "m", 60 }, { "s", 1 },
};

static const struct unit byte_units[] = {
	{ "TiB", INT64_C(1) << 40 }, { "GiB", 1 << 30 }, { "MiB", 1 << 20 },
	{ "KiB", 1 << 10 },	     { "B", 1 },
};

/* Decimal digits; *text moves past them. */
static bool read_digits(const char **text, int64_t *ret_value)
{
	const char *c = *text;
	int64_t value = 0;

	if (*c < '0' || *c > '9')
		return false;
	for (; *c >= '0' && *c <= '9'; c++)
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, *c - '0', &value))
			return false;
	*text = c;
	*ret_value = value;
	return true;
}

static bool read_int(const char *text, int64_t *ret_value)
{
	bool negative = *text == '-';
	int64_t value;

	if (*text == '-' || *text == '+')
		text++;
	if (!read_digits(&text, &value) || *text)
		return false;
	*ret_value = negative ? -value : value;
	return true;
}

/* The first unit from *index on whose name the text begins with; *index moves past it. */
static bool read_unit(const char **text, const struct unit *units, size_t count, size_t *index,
		      int64_t *ret_factor)
{
	for (size_t i = *index; i < count; i++) {
		size_t size = strlen(units[i].name);

		if (strncmp(*text, units[i].name, size) != 0)
			continue;
		*text += size;
		*index = i + 1;
		*ret_factor = units[i].factor;
		return true;
	}
	return false;
}

static bool read_seconds(const char *text, int64_t *ret_value)
{
	int64_t total = 0;
	size_t unit = 0;

	if (read_int(text, ret_value))
		return *text >= '0' && *text <= '9';
	do {
		int64_t value, factor;

		if (!read_digits(&text, &value) ||
		    !read_unit(&text, time_units, ARRAY_LEN(time_units), &unit, &factor) ||
		    __builtin_mul_overflow(value, factor, &value) ||
		    __builtin_add_overflow(total, value, &total))
			return false;
	} while (*text);
	*ret_value = total;
	return true;
}

static bool read_bytes(const char *text, int64_t *ret_value)
{
	int64_t value, factor = 1;
	size_t unit = 0;

	if (!read_digits(&text, &value))
		return false;
	if (*text &&
	    (!read_unit(&text, byte_units, ARRAY_LEN(byte_units), &unit, &factor) || *text))
		return false;
	return !__builtin_mul_overflow(value, factor, ret_value);
}

static bool read_percent(const char *text, int64_t *ret_value)
{
	int64_t value;

	if (!read_digits(&text, &value) || (*text && strcmp(text, "%") != 0))
		return false;
	*ret_value = value;
	return true;
}

static bool read_date(const char *text, int64_t *ret_value)
{
	return clock_parse_date(text, ret_value, NULL) == 0;
}

static void write_int(int64_t value, char ret_text[static 32])
{
	snprintf(ret_text, 32, "%" PRId64, value);
}

static void write_percent(int64_t value, char ret_text[static 32])
{
	snprintf(ret_text, 32, "%" PRId64 "%%", value);
}

/* In the largest unit that divides it. */
static void write_units(int64_t value, const struct unit *units, size_t count,
			char ret_text[static 32])
{
	size_t i = 0;

	while (i + 1 < count && (value == 0 || value % units[i].factor != 0))
		i++;
	snprintf(ret_text, 32, "%" PRId64 "%s", value / units[i].factor, units[i].name);
}

static void write_seconds(int64_t value, char ret_text[static 32])
{
	write_units(value, time_units, ARRAY_LEN(time_units), ret_text);
}

static void write_bytes(int64_t value, char ret_text[static 32])
{
	write_units(value, byte_units, ARRAY_LEN(byte_units), ret_text);
}

static void write_date(int64_t value, char ret_text[static 32])
{
	char text[CLOCK_TEXT_SIZE];

	clock_format(value, text);
	snprintf(ret_text, 32, "%.10s", text);
}

static const struct value_form forms[] = {
	[OPTION_INT] = { "a whole number", "42", NULL, read_int, write_int, INT64_MIN, INT64_MAX },
	[OPTION_SECONDS] = { "a duration", "90s, 5m, 1h30m or 2d",
			     "^([0-9]+|(?=.)([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?)$",
			     read_seconds, write_seconds, 0, INT64_MAX },
	[OPTION_BYTES] = { "a size", "64KiB or 8MiB", "^[0-9]+(B|KiB|MiB|GiB|TiB)?$", read_bytes,
			   write_bytes, 0, INT64_MAX },
	[OPTION_PERCENT] = { "a whole percent", "5%", "^[0-9]+%?$", read_percent, write_percent, 0,
			     100 },
	/* years 0 to 9999 */
	[OPTION_DATE] = { "a date", "2027-01-31", "^[0-9]{4}-[0-9]{2}-[0-9]{2}$", read_date,
			  write_date, INT64_MIN, INT64_MAX },
};

const struct value_form *value_form(enum option_type type)
{
	return (size_t)type < ARRAY_LEN(forms) && forms[type].read ? &forms[type] : NULL;
}

void option_range(const struct option *option, int64_t *ret_min, int64_t *ret_max)
{
	const struct value_form *form = value_form(option->type);
	bool given = option->min || option->max;

	*ret_min = given ? option->min : form->min;
	*ret_max = given && option->max >= option->min ? option->max : form->max;
}
