/*
 * The list of findings. Enters: findings in any order. Leaves: the first 1,000
 * of them in order of file, line and column; the rest is counted. Nothing may
 * fail: a finding that finds no memory is counted like one past the bound, so
 * that bad input never looks good.
 */
#include <rolebridge/config/document.h>

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>

#define KEPT_MAX 1000
#define TEXT_MAX 1024
#define TEXT_BYTES_MAX ((size_t)KEPT_MAX * 2 * (TEXT_MAX + 64))

struct diagnostics {
	struct arena *texts;
	struct diagnostic *items; /* sorted */
	size_t count, capacity;
	size_t errors, warnings; /* all, kept or not */
	size_t lost_errors;
	struct diagnostic more; /* stands for those not kept */
	char more_text[64];
};

struct diagnostics *diagnostics_create(void)
{
	struct diagnostics *list = alloc_zeroed(1, sizeof(*list));

	if (!list)
		return NULL;
	list->texts = arena_create(TEXT_BYTES_MAX);
	if (!list->texts) {
		free(list);
		return NULL;
	}
	return list;
}

void diagnostics_destroy(struct diagnostics *list)
{
	if (!list)
		return;
	arena_destroy(list->texts);
	free(list->items);
	free(list);
}

static int position_compare(const struct position *a, const struct position *b)
{
	if (a->file != b->file)
		return a->file < b->file ? -1 : 1;
	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	if (a->column != b->column)
		return a->column < b->column ? -1 : 1;
	return 0;
}

/* Cut a text to what a finding may hold, between two characters. */
static const char *text_bounded(struct arena *arena, const char *text)
{
	size_t size = strnlen(text, TEXT_MAX);

	if (size < TEXT_MAX)
		return arena_strndup(arena, text, size);
	size = TEXT_MAX - sizeof("...");
	while (size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80)
		size--;
	return arena_printf(arena, "%.*s...", (int)size, text);
}

static bool reserve_item(struct diagnostics *list)
{
	if (list->count < list->capacity)
		return true;
	if (list->count >= KEPT_MAX)
		return false;

	size_t capacity = list->capacity ? list->capacity * 2 : 16;
	struct diagnostic *items = alloc_resize(list->items, capacity * sizeof(*items));

	if (!items)
		return false;
	list->items = items;
	list->capacity = capacity;
	return true;
}

/* After those of the same position: the order of finding is kept among them. */
static void insert_item(struct diagnostics *list, const struct diagnostic *item)
{
	size_t low = 0, high = list->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (position_compare(&list->items[middle].at, &item->at) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	memmove(&list->items[low + 1], &list->items[low],
		(list->count - low) * sizeof(list->items[0]));
	list->items[low] = *item;
	list->count++;
}

static void count_lost(struct diagnostics *list, enum severity severity)
{
	if (severity == SEVERITY_ERROR)
		list->lost_errors++;
	snprintf(list->more_text, sizeof(list->more_text), "%zu more findings are not shown",
		 list->errors + list->warnings - list->count);
	list->more = (struct diagnostic){
		.severity = list->lost_errors ? SEVERITY_ERROR : SEVERITY_WARNING,
		.code = "too-many-findings",
		.message = list->more_text,
	};
}

void diagnostics_add(struct diagnostics *list, enum severity severity, const char *code,
		     struct position at, const char *hint, const char *format, ...)
{
	/* One byte more than is kept shows that there was more. */
	char message[TEXT_MAX + 1];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);

	if (severity == SEVERITY_ERROR)
		list->errors++;
	else
		list->warnings++;
	if (list->count >= KEPT_MAX || !reserve_item(list)) {
		count_lost(list, severity);
		return;
	}

	struct diagnostic item = { .severity = severity,
				   .at = at,
				   .code = arena_strdup(list->texts, code),
				   .message = text_bounded(list->texts, message),
				   .hint = hint ? text_bounded(list->texts, hint) : NULL };

	if (!item.code || !item.message)
		count_lost(list, severity);
	else
		insert_item(list, &item);
}

struct position located_at(const struct located *text, size_t offset, size_t width)
{
	struct position at = text->at;

	if (!text->verbatim || !text->text)
		return at;

	size_t size = strlen(text->text);

	if (offset > size)
		offset = size;
	if (width > size - offset)
		width = size - offset;
	at.column += (unsigned)offset;
	at.width = width ? (unsigned)width : 1;
	return at;
}

size_t diagnostics_errors(const struct diagnostics *list)
{
	return list->errors;
}

size_t diagnostics_warnings(const struct diagnostics *list)
{
	return list->warnings;
}

static bool has_lost(const struct diagnostics *list)
{
	return list->errors + list->warnings > list->count;
}

size_t diagnostics_count(const struct diagnostics *list)
{
	return list->count + (has_lost(list) ? 1 : 0);
}

const struct diagnostic *diagnostics_get(const struct diagnostics *list, size_t index)
{
	if (index < list->count)
		return &list->items[index];
	return index == list->count && has_lost(list) ? &list->more : NULL;
}
