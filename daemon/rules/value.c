/*
 * Values and how they compare, by syntax.
 *
 * Asserted values are prepared once, when a condition is compiled; stored
 * ones whenever they are looked at, so nearly all of them (short, ASCII) must
 * be prepared without memory of their own: they are folded into a fixed
 * buffer, and whatever else goes through the same base functions into a
 * growing one. What may fail: memory, which sticks in the scratch.
 *
 * White space in substrings: a value has single spaces inside and none at its
 * ends; a part keeps a space at an edge that faces a star, so "(cn=anna *)" asks
 * for a word after "anna". OpenLDAP does the same. RFC 4518 2.6.1 would put a
 * space around every value, and "(cn=* *)" would be true of everybody.
 */
#include "program.h"

#include <rolebridge/base/clock.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>
#include <rolebridge/identity/dn.h>

#define SCRATCH_MAX ((size_t)256 * 1024 * 1024)

void scratch_init(struct scratch *scratch)
{
	scratch->text = STRBUF(SCRATCH_MAX);
	scratch->dn = STRBUF(SCRATCH_MAX);
	scratch->failed = false;
}

void scratch_finish(struct scratch *scratch)
{
	strbuf_finish(&scratch->text);
	strbuf_finish(&scratch->dn);
}

static const struct {
	const char *noun;
	bool text, ordered;
} comparisons[] = {
	[COMPARE_CASELESS] = { "text", true, true },
	[COMPARE_EXACT] = { "text", true, true },
	[COMPARE_INTEGER] = { "an integer of 64 bits", false, true },
	[COMPARE_BOOLEAN] = { "TRUE or FALSE", false, false },
	[COMPARE_DN] = { "a DN", false, false },
	[COMPARE_TIME] = { "a generalized time (20270131120000Z)", false, true },
};

enum comparison comparison_of(enum attribute_syntax syntax)
{
	switch (syntax) {
	case SYNTAX_STRING: return COMPARE_CASELESS;
	case SYNTAX_STRING_EXACT: return COMPARE_EXACT;
	case SYNTAX_INTEGER: return COMPARE_INTEGER;
	case SYNTAX_BOOLEAN: return COMPARE_BOOLEAN;
	case SYNTAX_DN: return COMPARE_DN;
	case SYNTAX_TIME: return COMPARE_TIME;
	case SYNTAX_AUTO: break; /* in settings only */
	}
	return COMPARE_EXACT;
}

const char *comparison_noun(enum comparison comparison)
{
	return comparisons[comparison].noun;
}

bool comparison_is_text(enum comparison comparison)
{
	return comparisons[comparison].text;
}

bool comparison_is_ordered(enum comparison comparison)
{
	return comparisons[comparison].ordered;
}

/* Printable ASCII, white space squeezed; false: take the slow way. */
static bool fold_plain(const char *value, bool fold, struct scratch *scratch, struct prepared *ret)
{
	char *out = scratch->fast;
	char *end = out + sizeof(scratch->fast) - 1;
	bool space = false;

	for (const unsigned char *at = (const unsigned char *)value; *at != '\0'; at++) {
		unsigned char c = *at;

		if (c < 0x20 || c >= 0x7f || out >= end - 1)
			return false;
		if (c == ' ') {
			space = out != scratch->fast;
			continue;
		}
		if (space)
			*out++ = ' ';
		space = false;
		*out++ = (char)(fold && c >= 'A' && c <= 'Z' ? c | 0x20 : c);
	}
	*ret = (struct prepared){ .text = scratch->fast, .size = (size_t)(out - scratch->fast) };
	return true;
}

static bool prepare_text(const char *value, bool fold, struct scratch *scratch,
			 struct prepared *ret)
{
	size_t size;

	if (fold_plain(value, fold, scratch, ret))
		return true;
	size = strlen(value);
	if (!text_is_utf8(value, size))
		return false;
	strbuf_clear(&scratch->text);
	if (fold)
		text_fold(&scratch->text, value, size);
	else
		text_prepare(&scratch->text, value, size);
	if (strbuf_failed(&scratch->text)) {
		scratch->failed = true;
		return false;
	}
	*ret = (struct prepared){ .text = strbuf_text(&scratch->text), .size = scratch->text.size };
	return true;
}

/* RFC 4517 3.3.16; leading zeros are let pass, what 64 bits do not hold is no integer here. */
static bool prepare_integer(const char *value, struct prepared *ret)
{
	bool negative = value[0] == '-';
	int64_t number = 0;

	if (value[negative] == '\0')
		return false;
	for (const char *at = value + negative; *at != '\0'; at++) {
		if (*at < '0' || *at > '9' || __builtin_mul_overflow(number, 10, &number) ||
		    __builtin_sub_overflow(number, *at - '0', &number))
			return false;
	}
	if (!negative && __builtin_sub_overflow((int64_t)0, number, &number))
		return false;
	*ret = (struct prepared){ .number = number };
	return true;
}

static bool prepare_boolean(const char *value, struct prepared *ret)
{
	bool is_true = text_ascii_equal_caseless(value, "TRUE");

	*ret = (struct prepared){ .number = is_true };
	return is_true || text_ascii_equal_caseless(value, "FALSE");
}

bool value_normalize_dn(const char *value, struct strbuf *out, struct scratch *scratch)
{
	struct err err;

	strbuf_clear(out);
	err.code = ERR_NONE;
	if (dn_normalize(value, strlen(value), out, &err) == 0 && !strbuf_failed(out))
		return true;
	if (err.code != ERR_INVALID)
		scratch->failed = true;
	return false;
}

static bool prepare_dn(const char *value, struct scratch *scratch, struct prepared *ret)
{
	if (!value_normalize_dn(value, &scratch->text, scratch))
		return false;
	*ret = (struct prepared){ .text = strbuf_text(&scratch->text), .size = scratch->text.size };
	return true;
}

bool value_relative_time(const char *text, int64_t now_s, struct prepared *ret)
{
	static const char units[] = "smhdw";
	static const int64_t seconds[] = { 1, 60, 3600, 86400, 7 * 86400 };
	size_t digits = text[0] == '-' || text[0] == '+' ? strspn(text + 1, "0123456789") : 0;
	const char *unit = digits > 0 && digits <= 9 ? text + 1 + digits : "";
	const char *found = unit[0] != '\0' && unit[1] == '\0' ? strchr(units, unit[0]) : NULL;
	int64_t away;

	if (found == NULL)
		return false;
	away = strtoll(text + 1, NULL, 10) * seconds[found - units];
	*ret = (struct prepared){ .number = text[0] == '-' ? now_s - away : now_s + away };
	return true;
}

bool value_prepare(enum comparison comparison, const char *value, struct scratch *scratch,
		   struct prepared *ret)
{
	switch (comparison) {
	case COMPARE_CASELESS: return prepare_text(value, true, scratch, ret);
	case COMPARE_EXACT: return prepare_text(value, false, scratch, ret);
	case COMPARE_INTEGER: return prepare_integer(value, ret);
	case COMPARE_BOOLEAN: return prepare_boolean(value, ret);
	case COMPARE_DN: return prepare_dn(value, scratch, ret);
	case COMPARE_TIME:
		*ret = (struct prepared){ 0 };
		return clock_parse_generalized(value, &ret->number, NULL) == 0;
	}
	return false;
}

static int value_order(const struct prepared *a, const struct prepared *b)
{
	size_t common = a->size < b->size ? a->size : b->size;
	int order;

	if (a->text == NULL)
		return (a->number > b->number) - (a->number < b->number);
	order = memcmp(a->text, b->text, common);
	return order != 0 ? order : (a->size > b->size) - (a->size < b->size);
}

static bool value_equal(const struct prepared *a, const struct prepared *b)
{
	if (a->text == NULL)
		return a->number == b->number;
	return a->size == b->size && memcmp(a->text, b->text, a->size) == 0;
}

/* First part at the start and last at the end unless open; the others anywhere, in order. */
static bool text_has_parts(const struct atom *atom, const char *text, size_t size)
{
	size_t first = 0, last = atom->part_count;

	if (!atom->open_start && last > 0) {
		const struct prepared *part = &atom->parts[first++];

		if (part->size > size || memcmp(text, part->text, part->size) != 0)
			return false;
		text += part->size;
		size -= part->size;
	}
	if (!atom->open_end && last > first) {
		const struct prepared *part = &atom->parts[--last];

		if (part->size > size ||
		    memcmp(text + size - part->size, part->text, part->size) != 0)
			return false;
		size -= part->size;
	}
	for (size_t i = first; i < last; i++) {
		const struct prepared *part = &atom->parts[i];
		const char *found = memmem(text, size, part->text, part->size);

		if (found == NULL)
			return false;
		size -= (size_t)(found - text) + part->size;
		text = found + part->size;
	}
	return true;
}

bool value_passes(const struct atom *atom, const struct prepared *value)
{
	struct prepared asserted;

	if (atom->test == TEST_SUBSTRINGS)
		return text_has_parts(atom, value->text, value->size);
	asserted = atom_value(atom);
	switch ((enum test)atom->test) {
	case TEST_EQUAL: return value_equal(value, &asserted);
	case TEST_GREATER: return value_order(value, &asserted) >= 0;
	case TEST_LESS: return value_order(value, &asserted) <= 0;
	case TEST_BITS_ALL: return (value->number & asserted.number) == asserted.number;
	case TEST_BITS_ANY: return (value->number & asserted.number) != 0;
	case TEST_PRESENT: return true;
	case TEST_SUBSTRINGS:
	case TEST_UNKNOWN:
	case TEST_GROUP: return false;
	}
	return false;
}
