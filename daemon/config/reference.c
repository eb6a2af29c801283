/*
 * The reference of all options, for the manual (mdoc) and as plain text, out
 * of option tables. Enters: tables. Leaves: one section for each table, each
 * followed by those it names. Fails only with its buffer.
 */
#include <stdio.h>
#include <string.h>

#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

#include "table.h"
#include "values.h"

#define SECTIONS_MAX 256
#define TEXT_COLUMNS 78

struct section {
	const struct option_table *table;
	const struct option_table *list; /* whose variant it is; NULL: none */
};

/* How one format writes. */
struct writer {
	void (*section)(struct strbuf *out, const struct section *section);
	void (*item)(struct strbuf *out, const struct option *option);
	void (*section_end)(struct strbuf *out, bool had_items);
};

struct reference {
	struct section sections[SECTIONS_MAX];
	size_t count;
};

/* ------------------------------------------------------------ what is said */

static const char *const type_names[] = {
	[OPTION_BOOL] = "true or false",
	[OPTION_INT] = "number",
	[OPTION_SECONDS] = "duration",
	[OPTION_BYTES] = "size",
	[OPTION_PERCENT] = "percent",
	[OPTION_DATE] = "date",
	[OPTION_ENUM] = "word",
	[OPTION_STRING] = "text",
	[OPTION_PATH] = "path",
	[OPTION_STRINGS] = "list of texts",
	[OPTION_TABLE] = "mapping",
	[OPTION_LIST] = "list of mappings",
	[OPTION_PAIRS] = "mapping of names to texts",
};

static void describe_range(struct strbuf *out, const struct option *option)
{
	const struct value_form *form = value_form(option->type);
	int64_t min, max;
	char low[32], high[32];

	if (!form || (!option->min && !option->max))
		return;
	option_range(option, &min, &max);
	form->write(min, low);
	form->write(max, high);
	if (max == INT64_MAX)
		strbuf_printf(out, ", at least %s", low);
	else
		strbuf_printf(out, ", %s to %s", low, high);
}

/* "duration, 30s to 1d, default 5m" */
static void describe_type(struct strbuf *out, const struct option *option)
{
	strbuf_puts(out, type_names[option->type]);
	if (option->type == OPTION_ENUM && option->choices) {
		strbuf_puts(out, ": ");
		text_join(out, option->choices, option_choices(option), ", ");
	}
	describe_range(out, option);
	if (option->flags & OPTION_REQUIRED)
		strbuf_puts(out, ", required");
	else if (option->default_text)
		strbuf_printf(out, ", default %s",
			      *option->default_text ? option->default_text : "empty");
	if (option->flags & OPTION_NOT_EMPTY)
		strbuf_puts(out, ", not empty");
}

static void section_title(struct strbuf *out, const struct section *section)
{
	if (section->list)
		strbuf_printf(out, "%s of type %s", section->list->name, section->table->name);
	else
		strbuf_puts(out, section->table->name);
}

/* -------------------------------------------------------------------- mdoc */

/* Text in mdoc: no escapes, no request at the beginning of a line. */
static void mdoc_text(struct strbuf *out, const char *text)
{
	bool line_start = true;

	for (const char *c = text; *c; c++) {
		if (line_start && (*c == '.' || *c == '\''))
			strbuf_puts(out, "\\&");
		if (*c == '\\')
			strbuf_puts(out, "\\e");
		else
			strbuf_putc(out, *c);
		line_start = *c == '\n';
	}
}

/* One sentence to a line: mandoc spaces sentences by line ends. */
static void mdoc_sentences(struct strbuf *out, const char *text)
{
	const char *rest = text, *end;

	while ((end = strstr(rest, ". ")) != NULL) {
		char sentence[1024];

		snprintf(sentence, sizeof(sentence), "%.*s", (int)(end - rest + 1), rest);
		mdoc_text(out, sentence);
		strbuf_putc(out, '\n');
		for (rest = end + 2; *rest == ' '; rest++)
			;
	}
	mdoc_text(out, rest);
	strbuf_putc(out, '\n');
}

/* An argument of a macro line. */
static void mdoc_argument(struct strbuf *out, const char *text)
{
	strbuf_putc(out, '"');
	for (const char *c = text; *c; c++) {
		if (*c == '\\')
			strbuf_puts(out, "\\e");
		else if (*c == '"')
			strbuf_puts(out, "\\(dq");
		else
			strbuf_putc(out, *c);
	}
	strbuf_putc(out, '"');
}

static void mdoc_section(struct strbuf *out, const struct section *section)
{
	AUTO(strbuf) struct strbuf title = STRBUF(1024);

	section_title(&title, section);
	strbuf_puts(out, ".Ss ");
	mdoc_argument(out, strbuf_text(&title));
	strbuf_putc(out, '\n');
	if (section->table->help)
		mdoc_sentences(out, section->table->help);
}

static void mdoc_item(struct strbuf *out, const struct option *option)
{
	AUTO(strbuf) struct strbuf type = STRBUF(4096);

	if (!option) {
		strbuf_puts(out, ".Bl -tag -width Ds\n");
		return;
	}
	describe_type(&type, option);
	strbuf_puts(out, ".It Ic ");
	mdoc_argument(out, option->name);
	strbuf_puts(out, " Pq ");
	mdoc_argument(out, strbuf_text(&type));
	strbuf_putc(out, '\n');
	if (option->help)
		mdoc_sentences(out, option->help);
}

static void mdoc_section_end(struct strbuf *out, bool had_items)
{
	if (had_items)
		strbuf_puts(out, ".El\n");
}

static const struct writer mdoc_writer = { mdoc_section, mdoc_item, mdoc_section_end };

/* -------------------------------------------------------------- plain text */

/* Words in lines of TEXT_COLUMNS, each indented. */
static void text_wrapped(struct strbuf *out, const char *text, int indent)
{
	int column = 0;

	while (*text) {
		size_t size = strcspn(text, " \n");

		if (column && column + 1 + (int)size > TEXT_COLUMNS) {
			strbuf_putc(out, '\n');
			column = 0;
		}
		if (column)
			strbuf_putc(out, ' ');
		else
			strbuf_printf(out, "%*s", indent, "");
		column += column ? 1 : indent;
		strbuf_append(out, text, size);
		column += (int)size;
		text += size + strspn(text + size, " \n");
	}
	strbuf_putc(out, '\n');
}

static void text_section(struct strbuf *out, const struct section *section)
{
	if (out->size)
		strbuf_putc(out, '\n');
	section_title(out, section);
	strbuf_putc(out, '\n');
	if (section->table->help)
		text_wrapped(out, section->table->help, 2);
}

static void text_item(struct strbuf *out, const struct option *option)
{
	AUTO(strbuf) struct strbuf type = STRBUF(4096);

	if (!option)
		return;
	describe_type(&type, option);
	strbuf_printf(out, "\n  %s (%s)\n", option->name, strbuf_text(&type));
	if (option->help)
		text_wrapped(out, option->help, 6);
}

static void text_section_end(struct strbuf *out, bool had_items)
{
	(void)out, (void)had_items;
}

static const struct writer text_writer = { text_section, text_item, text_section_end };

/* ---------------------------------------------------------------- the walk */

/* Returns false when it is there already, or there is no room. */
static bool add_section(struct reference *reference, const struct option_table *table,
			const struct option_table *list)
{
	for (size_t i = 0; i < reference->count; i++)
		if (reference->sections[i].table == table)
			return false;
	if (reference->count == SECTIONS_MAX)
		return false;
	reference->sections[reference->count++] = (struct section){ table, list };
	return true;
}

/*
 * The rows a section shows: those of its table and bases; a variant's bases
 * are shown with the list already.
 */
static struct chain section_rows(const struct section *section)
{
	struct chain all = chain_of(section->table, NULL), rows = { .count = 0 };
	struct chain shown = { .count = 0 };

	if (section->list)
		shown = chain_of(section->list, NULL);
	for (size_t i = 0; i < all.count; i++) {
		bool known = false;

		for (size_t k = 0; k < shown.count; k++)
			known = known || shown.tables[k] == all.tables[i];
		if (!known)
			rows.tables[rows.count++] = all.tables[i];
	}
	return rows;
}

/* A table, its variants, then the tables its rows name, each followed by its own. */
static void collect_sections(struct reference *reference, const struct option_table *table,
			     const struct option_table *list)
{
	struct section section = { table, list };
	struct chain rows = section_rows(&section);

	if (!add_section(reference, table, list))
		return;
	for (size_t i = 0; table->variants && table->variants[i]; i++)
		collect_sections(reference, table->variants[i], table);
	for (size_t i = 0; i < rows.count; i++)
		for (const struct option *o = rows.tables[i]->options; o && o->name; o++)
			if (o->table)
				collect_sections(reference, o->table, NULL);
}

static void write_section(const struct writer *writer, const struct section *section,
			  const struct chain *rows, const struct option *extra, struct strbuf *out)
{
	bool begun = false;

	writer->section(out, section);
	for (size_t i = 0; i < rows->count; i++)
		for (const struct option *o = rows->tables[i]->options; o && o->name; o++) {
			if (!begun)
				writer->item(out, NULL);
			begun = true;
			writer->item(out, o);
		}
	if (extra) {
		if (!begun)
			writer->item(out, NULL);
		begun = true;
		writer->item(out, extra);
	}
	writer->section_end(out, begun);
}

static void write_reference(const struct option_table *root, const struct writer *writer,
			    struct strbuf *out)
{
	struct reference reference = { .count = 0 };

	collect_sections(&reference, root, NULL);
	for (size_t i = 0; i < reference.count; i++) {
		struct chain rows = section_rows(&reference.sections[i]);
		bool needs_include = i == 0 && !chain_find(&rows, include_option.name);

		write_section(writer, &reference.sections[i], &rows,
			      needs_include ? &include_option : NULL, out);
	}
}

void options_print_mdoc(const struct option_table *root, struct strbuf *out)
{
	write_reference(root, &mdoc_writer, out);
}

void options_print_help(const struct option_table *root, struct strbuf *out)
{
	write_reference(root, &text_writer, out);
}
