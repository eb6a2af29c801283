/*
 * RFC 4515 filter text to a syntax tree.
 *
 *	filter     = "(" ( "&" *filter / "|" *filter / "!" filter / item ) ")"
 *	item       = description ( "=" / ">=" / "<=" / "~=" ) value
 *		   / [ description ] [ ":dn" ] [ ":" rule ] ":=" value
 *
 * "(&)" and "(|)" are the absolute true and false filters (RFC 4526). White
 * space is taken between filters, so that long conditions can stand on several
 * lines; inside an item it belongs to the value.
 *
 * In: a located text. Out: nodes in the arena. Fails with one diagnostic.
 */
#include "filter_syntax.h"

#include <stdarg.h>

#include <rolebridge/base/text.h>

struct parser {
	const struct located *text;
	const char *data;
	size_t size, at;
	size_t nodes;
	unsigned depth;
	struct arena *arena;
	struct diagnostics *list;
};

static void *parse_fail(struct parser *in, size_t offset, size_t width, const char *hint,
			const char *format, ...) __attribute__((format(printf, 5, 6)));

static void *parse_fail(struct parser *in, size_t offset, size_t width, const char *hint,
			const char *format, ...)
{
	char message[256];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	diagnostics_add(in->list, SEVERITY_ERROR, "filter-syntax",
			located_at(in->text, offset, width), hint, "%s", message);
	return NULL;
}

static void *parse_fail_memory(struct parser *in)
{
	return parse_fail(in, 0, 1, NULL, "out of memory while reading a filter");
}

static int parse_peek(const struct parser *in)
{
	return in->at < in->size ? (unsigned char)in->data[in->at] : -1;
}

static void parse_skip_space(struct parser *in)
{
	while (in->at < in->size && strchr(" \t\r\n", in->data[in->at]) != NULL)
		in->at++;
}

static bool is_description_byte(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '.' || c == '_';
}

/* Letters, digits, '-', '.', '_': names and OIDs. May be empty. */
static int parse_word(struct parser *in, bool with_semicolon, struct filter_piece *ret)
{
	size_t begin = in->at;

	while (is_description_byte(parse_peek(in)) || (with_semicolon && parse_peek(in) == ';'))
		in->at++;
	ret->offset = begin;
	ret->size = in->at - begin;
	ret->width = ret->size;
	ret->data = arena_strndup(in->arena, in->data + begin, ret->size);
	if (ret->data == NULL) {
		parse_fail_memory(in);
		return -1;
	}
	return 0;
}

/* Two hex digits behind a backslash at in->at. */
static int parse_escape(struct parser *in, char *ret_byte)
{
	size_t left = in->size - in->at;
	int high = left > 1 ? text_hex_digit((unsigned char)in->data[in->at + 1]) : -1;
	int low = left > 2 ? text_hex_digit((unsigned char)in->data[in->at + 2]) : -1;

	if (high < 0 || low < 0) {
		parse_fail(in, in->at, left < 3 ? left : 3,
			   "Write \\28 for '(', \\29 for ')', \\2a for '*' and \\5c for '\\'.",
			   "bad escape: '\\' is followed by two hex digits");
		return -1;
	}
	*ret_byte = (char)(high * 16 + low);
	in->at += 3;
	return 0;
}

/* One piece of a value, up to ')' or (where stars separate) '*'. Not empty-checked. */
static int parse_piece(struct parser *in, bool stars, struct filter_piece *ret)
{
	size_t begin = in->at, count = 0;
	char *out = arena_alloc(in->arena, strcspn(in->data + begin, stars ? ")*(" : ")(") + 1);
	int c;

	if (out == NULL) {
		parse_fail_memory(in);
		return -1;
	}
	while ((c = parse_peek(in)) >= 0 && c != ')' && !(stars && c == '*')) {
		if (c == '*' || c == '(') {
			parse_fail(in, in->at, 1, NULL, "'%c' inside a value is written \\%02x", c,
				   c);
			return -1;
		}
		if (c == '\\') {
			if (parse_escape(in, &out[count++]) < 0)
				return -1;
			continue;
		}
		out[count++] = (char)c;
		in->at++;
	}
	if (memchr(out, '\0', count) != NULL || !text_is_utf8(out, count)) {
		parse_fail(in, begin, in->at - begin, NULL, "value is not UTF-8 text without NUL");
		return -1;
	}
	out[count] = '\0';
	ret->data = out;
	ret->size = count;
	ret->offset = begin;
	ret->width = in->at > begin ? in->at - begin : 1;
	return 0;
}

static size_t count_stars(const struct parser *in)
{
	size_t stars = 0;

	for (size_t at = in->at; at < in->size && in->data[at] != ')'; at++)
		stars += in->data[at] == '*';
	return stars;
}

/* After '=': presence, equality or substrings. */
static struct filter_node *parse_equality(struct parser *in, struct filter_node *node)
{
	size_t stars = count_stars(in);

	if (stars == 0) {
		node->kind = FILTER_EQUAL;
		return parse_piece(in, false, &node->value) < 0 ? NULL : node;
	}
	if (stars == 1 && in->size - in->at >= 2 && in->data[in->at + 1] == ')' &&
	    in->data[in->at] == '*') {
		node->kind = FILTER_PRESENT;
		in->at++;
		return node;
	}
	node->kind = FILTER_SUBSTRINGS;
	node->part_count = stars + 1;
	node->parts = arena_alloc_array(in->arena, node->part_count, sizeof(*node->parts));
	if (node->parts == NULL)
		return parse_fail_memory(in);
	for (size_t i = 0; i <= stars; i++) {
		if (parse_piece(in, true, &node->parts[i]) < 0)
			return NULL;
		if (node->parts[i].size == 0 && i > 0 && i < stars)
			return parse_fail(in, in->at - 1, 2, NULL,
					  "nothing stands between two '*'");
		if (i < stars)
			in->at++;
	}
	return node;
}

/* ":dn", ":rule", then ":=". in->at is on the first ':'. */
static struct filter_node *parse_extensible(struct parser *in, struct filter_node *node)
{
	node->kind = FILTER_EXTENSIBLE;
	while (parse_peek(in) == ':') {
		struct filter_piece word;

		in->at++;
		if (parse_peek(in) == '=') {
			in->at++;
			return parse_piece(in, false, &node->value) < 0 ? NULL : node;
		}
		if (parse_word(in, false, &word) < 0)
			return NULL;
		if (word.size == 0)
			break;
		if (!node->dn && node->rule.data == NULL &&
		    text_ascii_equal_caseless(word.data, "dn"))
			node->dn = true;
		else if (node->rule.data == NULL)
			node->rule = word;
		else
			return parse_fail(in, word.offset, word.width, NULL,
					  "only one matching rule can be named");
	}
	return parse_fail(in, in->at, 1, NULL, "':=' expected");
}

static struct filter_node *parse_value(struct parser *in, struct filter_node *node)
{
	static const struct {
		char first;
		enum filter_kind kind;
	} pairs[] = { { '>', FILTER_GREATER }, { '<', FILTER_LESS }, { '~', FILTER_APPROX } };
	int c = parse_peek(in);

	if (c == '=') {
		in->at++;
		return parse_equality(in, node);
	}
	if (c == ':')
		return parse_extensible(in, node);
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		if (c != pairs[i].first)
			continue;
		if (in->size - in->at < 2 || in->data[in->at + 1] != '=')
			return parse_fail(in, in->at, 1, NULL, "'%c=' expected", c);
		in->at += 2;
		node->kind = pairs[i].kind;
		return parse_piece(in, false, &node->value) < 0 ? NULL : node;
	}
	return parse_fail(in, in->at, 1, NULL, "'=', '>=', '<=', '~=' or ':=' expected");
}

static struct filter_node *parse_item(struct parser *in, struct filter_node *node)
{
	if (parse_word(in, false, &node->attribute) < 0)
		return NULL;
	if (parse_peek(in) == ';') {
		in->at++;
		if (parse_word(in, true, &node->options) < 0)
			return NULL;
	}
	if (node->attribute.size == 0 && parse_peek(in) != ':')
		return parse_fail(in, in->at, 1, NULL, "attribute name expected");
	return parse_value(in, node);
}

static struct filter_node *parse_filter(struct parser *in);

/* Children up to the closing ')'; at most max of them. */
static int parse_children(struct parser *in, struct filter_node *node, size_t max)
{
	struct filter_node **tail = &node->first_child;

	in->at++;
	for (size_t count = 0;; count++) {
		parse_skip_space(in);
		if (parse_peek(in) != '(' || count == max)
			break;
		*tail = parse_filter(in);
		if (*tail == NULL)
			return -1;
		tail = &(*tail)->next;
	}
	if (max == 1 && node->first_child == NULL) {
		parse_fail(in, in->at, 1, NULL, "'!' needs one filter: (!(title=x))");
		return -1;
	}
	return 0;
}

static struct filter_node *parse_body(struct parser *in, struct filter_node *node)
{
	static const struct {
		char sign;
		enum filter_kind kind;
		size_t max;
	} signs[] = { { '&', FILTER_AND, SIZE_MAX },
		      { '|', FILTER_OR, SIZE_MAX },
		      { '!', FILTER_NOT, 1 } };

	parse_skip_space(in);
	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++)
		if (parse_peek(in) == signs[i].sign) {
			node->kind = signs[i].kind;
			return parse_children(in, node, signs[i].max) < 0 ? NULL : node;
		}
	return parse_item(in, node);
}

static struct filter_node *parse_filter(struct parser *in)
{
	size_t begin = in->at;
	struct filter_node *node;

	if (parse_peek(in) != '(')
		return parse_fail(in, in->at, 1,
				  "A filter stands in parentheses: (department=Sales).",
				  "'(' expected");
	if (++in->depth > FILTER_DEPTH_MAX)
		return parse_fail(in, begin, 1, NULL, "filter nested deeper than %d",
				  FILTER_DEPTH_MAX);
	if (++in->nodes > FILTER_NODES_MAX)
		return parse_fail(in, begin, 1, NULL, "filter with more than %d parts",
				  FILTER_NODES_MAX);
	node = arena_alloc(in->arena, sizeof(*node));
	if (node == NULL)
		return parse_fail_memory(in);
	in->at++;
	if (parse_body(in, node) == NULL)
		return NULL;
	if (parse_peek(in) < 0)
		return parse_fail(in, begin, 1, NULL,
				  "unbalanced parentheses: '(' is never closed");
	if (parse_peek(in) != ')')
		return parse_fail(in, in->at, 1, NULL, "')' expected");
	in->at++;
	in->depth--;
	node->offset = begin;
	node->width = in->at - begin;
	return node;
}

struct filter_node *filter_parse(const struct located *text, struct arena *arena,
				 struct diagnostics *list)
{
	struct parser in = { .text = text,
			     .data = text->text,
			     .size = strlen(text->text),
			     .arena = arena,
			     .list = list };
	struct filter_node *node;

	if (in.size > FILTER_TEXT_MAX)
		return parse_fail(&in, 0, 1, NULL, "filter longer than 64 KiB");
	parse_skip_space(&in);
	if (in.at == in.size)
		return parse_fail(&in, 0, 1, "A filter for everybody is written (&).",
				  "filter is empty");
	node = parse_filter(&in);
	if (node == NULL)
		return NULL;
	parse_skip_space(&in);
	if (parse_peek(&in) == ')')
		return parse_fail(&in, in.at, 1, NULL, "unbalanced parentheses: ')' too many");
	if (in.at < in.size)
		return parse_fail(&in, in.at, in.size - in.at,
				  "Join filters with (&(…)(…)) or (|(…)(…)).",
				  "text after the end of the filter");
	return node;
}
