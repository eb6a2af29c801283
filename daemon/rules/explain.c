/*
 * What a trace says about an atom: how it reads and what the person has.
 *
 * In: the evaluation and the truth it found. Out: texts in the trace's arena;
 * NULL without memory. Values of sensitive attributes are left out, and so is
 * what the rule compares them with: beside the truth it would tell them.
 */
#include "program.h"

#include <rolebridge/base/util.h>

#define VALUES_SHOWN 5
#define VALUE_SHOWN_BYTES 200
#define TEXT_MAX ((size_t)1024 * 1024)

static const char *take_text(const struct evaluation *e, struct strbuf *text)
{
	if (strbuf_failed(text))
		return NULL;
	return arena_strndup(e->trace->arena, strbuf_text(text), text->size);
}

static void put_sources(const struct evaluation *e, struct strbuf *out, source_mask sources)
{
	const char *separator = "";

	for (uint16_t i = 0; i < schema_source_count(e->program->schema); i++)
		if (sources >> i & 1) {
			strbuf_printf(out, "%s%s", separator,
				      schema_source_name(e->program->schema, i));
			separator = ", ";
		}
}

static bool is_hidden(const struct evaluation *e, const struct atom *atom)
{
	return atom->test != TEST_GROUP && atom->test != TEST_UNKNOWN &&
	       !e->trace->show_sensitive &&
	       schema_get(e->program->schema, atom->attribute)->sensitive;
}

const char *explain_atom_text(const struct evaluation *e, const struct atom *atom)
{
	AUTO(strbuf) struct strbuf out = STRBUF(TEXT_MAX);

	if (!is_hidden(e, atom) || atom->test == TEST_PRESENT)
		return atom_detail_of(e->program, atom)->written;
	strbuf_printf(&out, "(%s (hidden))", schema_get(e->program->schema, atom->attribute)->name);
	return take_text(e, &out);
}

static void explain_group(const struct evaluation *e, const struct atom *atom,
			  const struct truth *truth, struct strbuf *out)
{
	if (truth->match == MATCH_YES) {
		strbuf_puts(out, "member (source ");
		put_sources(e, out, truth->support);
		strbuf_putc(out, ')');
	} else if (truth->match == MATCH_NO) {
		strbuf_puts(out, "not a member");
	} else if (e->groups == NULL || atom->group >= e->groups->count ||
		   e->groups->unknown[atom->group] != 0) {
		strbuf_puts(out, "the group has vanished or was not read yet");
	} else {
		strbuf_puts(out, "groups not completely delivered by ");
		put_sources(e, out, truth->support);
	}
}

static void put_value(struct strbuf *out, const char *value)
{
	size_t size = strnlen(value, VALUE_SHOWN_BYTES + 1);
	bool cut = size > VALUE_SHOWN_BYTES;

	if (cut)
		size = VALUE_SHOWN_BYTES;
	while (cut && size > 0 && ((unsigned char)value[size] & 0xc0) == 0x80)
		size--;
	strbuf_putc(out, '\'');
	strbuf_append(out, value, size);
	strbuf_puts(out, cut ? "…'" : "'");
}

/* At most a few values, those that pass first. */
static void explain_values(const struct evaluation *e, const struct atom *atom,
			   const struct view *view, struct strbuf *out)
{
	const struct attribute *attribute = view->attribute;
	const char *separator = "";
	uint32_t shown = 0;

	for (int passing = 1; passing >= 0; passing--)
		for (uint32_t i = 0; i < attribute->count && shown < VALUES_SHOWN; i++) {
			struct prepared value;
			bool passes = value_prepare(atom->comparison, attribute->values[i],
						    e->scratch, &value) &&
				      value_passes(atom, &value);

			if (passes != (passing == 1))
				continue;
			strbuf_puts(out, separator);
			put_value(out, attribute->values[i]);
			separator = ", ";
			shown++;
		}
	if (attribute->count > shown)
		strbuf_printf(out, " and %u more", (unsigned)(attribute->count - shown));
}

static void explain_attribute(const struct evaluation *e, const struct atom *atom,
			      const struct truth *truth, struct strbuf *out)
{
	const char *name = schema_get(e->program->schema, atom->attribute)->name;
	struct view view;

	view_attribute(e->person, e->program->schema, atom->attribute, atom->source, &view);
	if (truth->match == MATCH_UNKNOWN) {
		strbuf_puts(out, "not delivered by ");
		put_sources(e, out, truth->support);
		return;
	}
	if (view.state != VIEW_VALUES) {
		strbuf_printf(out, "%s is absent", name);
		if (atom->source >= 0)
			strbuf_printf(out, " (source %s)", e->program->sources[atom->source]);
		return;
	}
	strbuf_printf(out, "%s is ", name);
	if (is_hidden(e, atom))
		strbuf_puts(out, "(hidden)");
	else
		explain_values(e, atom, &view, out);
	strbuf_puts(out, " (source ");
	put_sources(e, out, view.sources);
	strbuf_putc(out, ')');
}

const char *explain_atom_because(const struct evaluation *e, const struct atom *atom,
				 const struct truth *truth, bool by_dn)
{
	AUTO(strbuf) struct strbuf out = STRBUF(TEXT_MAX);

	if (atom->test == TEST_UNKNOWN) {
		strbuf_puts(&out, "the condition names what nothing declares any more");
	} else if (atom->test == TEST_GROUP) {
		explain_group(e, atom, truth, &out);
	} else if (by_dn) {
		strbuf_puts(&out, "named so by the entry's DN (source ");
		put_sources(e, &out, truth->support);
		strbuf_putc(&out, ')');
	} else {
		explain_attribute(e, atom, truth, &out);
	}
	return take_text(e, &out);
}
