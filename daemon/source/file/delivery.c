/*
 * From the values of one entry to a record at the intake. Enters: values by field. Leaves:
 * records, quarantined entries, the result. Fails: out of memory, when the receiver fails, cancelled.
 */
#include "delivery.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>
#include <rolebridge/identity/dn.h>
#include <rolebridge/identity/record.h>

#define ENTRY_MAX (64u * 1024 * 1024)
#define ENTRIES_MAX (1u << 28)
#define KEY_MAX 1024
#define NAMES_BYTES_MAX (8u * 1024 * 1024)

static int no_memory(const struct delivery *d, struct err *err)
{
	return err_set(err, ERR_MEMORY, "no memory to read '%s'", d->path);
}

/* --- life --- */

static int compare_groups(const void *a, const void *b)
{
	const struct wanted_group *left = a, *right = b;
	int order = strcmp(left->name, right->name);

	return order ? order : (left->id > right->id) - (left->id < right->id);
}

static int set_groups(struct delivery *d, const struct wanted_group *groups, size_t count)
{
	d->groups = alloc_zeroed(count + 1, sizeof(*groups));
	if (!d->groups)
		return -1;
	if (count > 0) {
		memcpy(d->groups, groups, count * sizeof(*groups));
		qsort(d->groups, count, sizeof(*groups), compare_groups);
	}
	d->group_count = count;
	return 0;
}

/* The key as it is, or the normal DN: as delivery_see gets them. */
static struct hash128 canary_name(struct delivery *d, const char *text)
{
	strbuf_clear(&d->scratch);
	if (dn_looks_like(text) && dn_normalize(text, strlen(text), &d->scratch, NULL) == 0)
		return fingerprint128(strbuf_text(&d->scratch), d->scratch.size);
	return fingerprint128(text, strlen(text));
}

static int set_canaries(struct delivery *d)
{
	const struct located_list *list = &d->settings->canaries;

	d->canaries = hash_table_create(list->count, ENTRIES_MAX);
	if (!d->canaries)
		return -1;
	for (size_t i = 0; i < list->count; i++) {
		const char *text = list->items[i].text;
		uint32_t *slot;

		if (hash_table_put(d->canaries, canary_name(d, text), &slot) < 0)
			return -1;
		*slot = (uint32_t)i + 1;
	}
	d->canaries_left = hash_table_count(d->canaries);
	return 0;
}

static int set_wanted(struct delivery *d)
{
	d->wanted = alloc_zeroed(d->attribute_count + 1, sizeof(*d->wanted));
	if (!d->wanted)
		return -1;
	for (size_t i = 0; i < d->attribute_count; i++) {
		d->wanted[i] = delivery_field(d, d->attributes[i].from);
		if (d->wanted[i] == FIELD_NONE)
			return -1;
		d->fields[d->wanted[i]].wanted = true;
	}
	return 0;
}

int delivery_init(struct delivery *d, const struct source_settings *settings, const char *path,
		  const struct wanted_attribute *attributes, size_t attribute_count,
		  const struct wanted_group *groups, size_t group_count,
		  const struct intake *intake, struct read_result *result, struct err *err)
{
	*d = (struct delivery){
		.settings = settings,
		.path = path,
		.intake = intake,
		.result = result,
		.attributes = attributes,
		.attribute_count = attribute_count,
		.text = STRBUF(ENTRY_MAX),
		.record = STRBUF(RECORD_MAX),
		.scratch = STRBUF(ENTRY_MAX),
		.keys = hash_table_create(1024, ENTRIES_MAX),
		.names = arena_create(NAMES_BYTES_MAX),
	};
	*result = (struct read_result){ .complete = true };
	snprintf(result->server, sizeof(result->server), "%s", path);
	if (!d->keys || !d->names || set_groups(d, groups, group_count) < 0 ||
	    set_canaries(d) < 0 || set_wanted(d) < 0)
		return no_memory(d, err);
	return 0;
}

void delivery_finish(struct delivery *d)
{
	free(d->fields);
	free(d->field_slots);
	free(d->wanted);
	free(d->groups);
	free(d->values);
	free(d->pointers);
	free(d->sizes);
	strbuf_finish(&d->text);
	strbuf_finish(&d->record);
	strbuf_finish(&d->scratch);
	hash_table_destroy(d->keys);
	hash_table_destroy(d->canaries);
	arena_destroy(d->names);
}

/* --- fields --- */

static bool grow(void **items, size_t needed, size_t *capacity, size_t size)
{
	size_t larger = *capacity ? *capacity : 64;
	void *moved;

	if (needed <= *capacity)
		return true;
	while (larger < needed)
		larger *= 2;
	moved = alloc_resize(*items, larger * size);
	if (!moved)
		return false;
	*items = moved;
	*capacity = larger;
	return true;
}

uint32_t delivery_field(struct delivery *d, const char *name)
{
	struct field *field;

	for (size_t i = 0; i < d->field_count; i++)
		if (strcasecmp(d->fields[i].name, name) == 0)
			return (uint32_t)i;
	if (!grow((void **)&d->fields, d->field_count + 1, &d->field_capacity, sizeof(*d->fields)))
		return FIELD_NONE;
	field = &d->fields[d->field_count];
	*field = (struct field){ name, strlen(name), FIELD_NONE, FIELD_NONE, 0, false };
	return (uint32_t)d->field_count++;
}

/* Names are few and chosen by the administrator: any cheap spread will do. */
static size_t name_slot(const struct delivery *d, const char *name, size_t size)
{
	unsigned first = (unsigned char)name[0] | 0x20u;
	unsigned last = (unsigned char)name[size - 1] | 0x20u;

	return (size * 131 + first * 31 + last) & d->slot_mask;
}

int delivery_index_fields(struct delivery *d, struct err *err)
{
	size_t slots = 64;

	while (slots < d->field_count * 4)
		slots *= 2;
	d->field_slots = alloc_zeroed(slots, sizeof(*d->field_slots));
	if (!d->field_slots)
		return no_memory(d, err);
	d->slot_mask = slots - 1;
	for (size_t i = 0; i < d->field_count; i++) {
		size_t slot;

		if (d->fields[i].size == 0)
			continue;
		slot = name_slot(d, d->fields[i].name, d->fields[i].size);
		while (d->field_slots[slot] != 0)
			slot = (slot + 1) & d->slot_mask;
		d->field_slots[slot] = (uint32_t)i + 1;
	}
	return 0;
}

uint32_t delivery_find_field(const struct delivery *d, const char *name, size_t size)
{
	if (size == 0)
		return FIELD_NONE;
	for (size_t slot = name_slot(d, name, size); d->field_slots[slot] != 0;
	     slot = (slot + 1) & d->slot_mask) {
		const struct field *field = &d->fields[d->field_slots[slot] - 1];

		if (field->size == size && strncasecmp(field->name, name, size) == 0)
			return d->field_slots[slot] - 1;
	}
	return FIELD_NONE;
}

/* --- the present entry --- */

void delivery_begin(struct delivery *d)
{
	strbuf_clear(&d->text);
	d->value_count = 0;
	for (size_t i = 0; i < d->field_count; i++) {
		d->fields[i].first = d->fields[i].last = FIELD_NONE;
		d->fields[i].count = 0;
	}
}

int delivery_add_value(struct delivery *d, uint32_t field_index, const char *data, size_t size,
		       struct err *err)
{
	struct field *field = &d->fields[field_index];
	uint32_t index = (uint32_t)d->value_count;

	if (!grow((void **)&d->values, d->value_count + 1, &d->value_capacity, sizeof(*d->values)))
		return no_memory(d, err);
	d->values[index] = (struct value){ FIELD_NONE, d->text.size, size };
	strbuf_append(&d->text, data, size);
	strbuf_putc(&d->text, '\0');
	if (strbuf_failed(&d->text))
		return err_set(err, ERR_TOO_LARGE, "entry longer than %u bytes", ENTRY_MAX);
	d->value_count++;
	if (field->last == FIELD_NONE)
		field->first = index;
	else
		d->values[field->last].next = index;
	field->last = index;
	field->count++;
	return 0;
}

const char *delivery_value(const struct delivery *d, uint32_t index, size_t *ret_size)
{
	*ret_size = d->values[index].size;
	return d->text.data + d->values[index].at;
}

const char *delivery_first(const struct delivery *d, uint32_t field)
{
	size_t size;

	if (field == FIELD_NONE || d->fields[field].first == FIELD_NONE)
		return NULL;
	return delivery_value(d, d->fields[field].first, &size);
}

const struct wanted_group *delivery_find_groups(const struct delivery *d, const char *name,
						size_t *ret_count)
{
	size_t low = 0, high = d->group_count, count = 0;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(d->groups[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	while (low + count < d->group_count && strcmp(d->groups[low + count].name, name) == 0)
		count++;
	*ret_count = count;
	return d->groups + low;
}

int delivery_set_disabled(struct delivery *d, const struct located_list *option, struct err *err)
{
	size_t count = disabled_count(option);

	for (size_t i = 0; i < count && d->marker_count < DISABLED_MARKERS_MAX; i++) {
		struct field_marker *marker = &d->markers[d->marker_count];
		const char *name;

		if (!disabled_marker_parse(disabled_text(option, i), &marker->rule))
			continue;
		name = arena_strndup(d->names, marker->rule.text, marker->rule.attribute_size);
		marker->field = name ? delivery_field(d, name) : FIELD_NONE;
		if (marker->field == FIELD_NONE)
			return no_memory(d, err);
		d->marker_count++;
	}
	return 0;
}

struct disabled_state delivery_disabled(const struct delivery *d)
{
	struct disabled_state state = { 0 };

	for (size_t i = 0; i < d->marker_count; i++) {
		const struct field_marker *marker = &d->markers[i];

		for (uint32_t v = d->fields[marker->field].first; v != FIELD_NONE;
		     v = d->values[v].next) {
			size_t size;
			const char *value = delivery_value(d, v, &size);

			disabled_state_add(&state, &marker->rule, value, size);
		}
	}
	return state;
}

/* --- handing over --- */

int delivery_pause(struct delivery *d, struct err *err)
{
	const struct intake *intake = d->intake;

	if (intake->cancelled && intake->cancelled(intake->context))
		return err_set(err, ERR_CANCELLED, "reading '%s' was cancelled", d->path);
	if (intake->progress)
		intake->progress(intake->context, d->result->entries, d->total);
	return 0;
}

void delivery_see(struct delivery *d, const char *name, size_t size)
{
	uint32_t *slot;
	struct hash128 hash;

	if (d->canaries_left == 0)
		return;
	hash = fingerprint128(name, size);
	if (!hash_table_get(d->canaries, hash, NULL) ||
	    hash_table_put(d->canaries, hash, &slot) < 0 || *slot == 0)
		return;
	*slot = 0;
	d->canaries_left--;
}

static int write_attribute(struct delivery *d, const char *name, const struct field *field)
{
	size_t count = 0;

	if (field->count > d->pointer_capacity) {
		size_t capacity = d->pointer_capacity;

		if (!grow((void **)&d->sizes, field->count, &capacity, sizeof(*d->sizes)) ||
		    !grow((void **)&d->pointers, field->count, &d->pointer_capacity,
			  sizeof(*d->pointers)))
			return -1;
	}
	for (uint32_t v = field->first; v != FIELD_NONE; v = d->values[v].next) {
		d->pointers[count] = delivery_value(d, v, &d->sizes[count]);
		count++;
	}
	record_write_attribute(&d->record, name, d->pointers, d->sizes, count);
	return 0;
}

static int write_record(struct delivery *d, const struct delivered *given)
{
	size_t present = 0;

	for (size_t i = 0; i < d->attribute_count; i++)
		present += d->fields[d->wanted[i]].count > 0;
	strbuf_clear(&d->record);
	record_write_head(&d->record, given->key, given->dn, given->groups_complete,
			  given->disabled.always, given->disabled.by, given->disabled.from_s,
			  present);
	for (size_t i = 0; i < d->attribute_count; i++) {
		const struct field *field = &d->fields[d->wanted[i]];

		if (field->count > 0 && write_attribute(d, d->attributes[i].name, field) < 0)
			return -1;
	}
	record_write_groups(&d->record, given->groups, given->group_count);
	return 0;
}

static int tell_quarantined(struct delivery *d, uint64_t line, const char *key, const char *reason,
			    const char *detail, struct err *err)
{
	AUTO(strbuf) struct strbuf locator = STRBUF(8192);
	struct quarantined entry = {
		.key = key, .reason = reason, .detail = detail, .dn = d->dn ? d->dn : ""
	};

	strbuf_printf(&locator, "%s:%llu", d->path, (unsigned long long)line);
	entry.locator = strbuf_text(&locator);
	d->result->quarantined++;
	d->result->entries++;
	return d->intake->quarantine(d->intake->context, &entry, err);
}

int delivery_identity(struct delivery *d, const struct delivered *given, struct err *err)
{
	uint32_t *slot;
	size_t key_size = strlen(given->key);
	int added;

	if (key_size > KEY_MAX)
		return delivery_quarantine(d, given->line, "", "key-too-long", err,
					   "the key is longer than %d bytes", KEY_MAX);
	added = hash_table_put(d->keys, fingerprint128(given->key, key_size), &slot);
	if (added < 0)
		return no_memory(d, err);
	if (added == 0)
		return delivery_quarantine(d, given->line, given->key, "duplicate-key", err,
					   "key '%s' stands at line %u already", given->key, *slot);
	*slot = given->line > UINT32_MAX ? UINT32_MAX : (uint32_t)given->line;
	if (write_record(d, given) < 0)
		return no_memory(d, err);
	/* Its key is taken, by itself: told with it, so that the person does not count as gone. */
	if (strbuf_failed(&d->record))
		return tell_quarantined(d, given->line, given->key, "too-large",
					"the record would be longer than 16 MiB", err);
	delivery_see(d, given->key, key_size);
	d->result->entries++;
	d->delivered++;
	return d->intake->identity(d->intake->context, d->record.data, d->record.size, err);
}

int delivery_quarantine(struct delivery *d, uint64_t line, const char *key, const char *reason,
			struct err *err, const char *format, ...)
{
	AUTO(strbuf) struct strbuf detail = STRBUF(8192);
	uint32_t *slot;
	va_list args;

	/* A key is taken by its first entry, good or bad; a repetition says nothing about it. */
	if (key[0] != '\0') {
		int added = hash_table_put(d->keys, fingerprint128(key, strlen(key)), &slot);

		if (added < 0)
			return no_memory(d, err);
		if (added > 0)
			*slot = line > UINT32_MAX ? UINT32_MAX : (uint32_t)line;
		else
			key = "";
	}
	va_start(args, format);
	strbuf_vprintf(&detail, format, args);
	va_end(args);
	return tell_quarantined(d, line, key, reason, strbuf_text(&detail), err);
}

/* --- the result --- */

void delivery_incomplete(struct delivery *d, const char *reason, const char *format, ...)
{
	va_list args;

	if (!d->result->complete)
		return;
	d->result->complete = false;
	snprintf(d->result->reason, sizeof(d->result->reason), "%s", reason);
	va_start(args, format);
	vsnprintf(d->result->detail, sizeof(d->result->detail), format, args);
	va_end(args);
}

int delivery_broken(struct delivery *d, const struct bytes *bytes, const struct err *cause,
		    struct err *err)
{
	if (bytes->out_of_memory)
		return err_set(err, ERR_MEMORY, "%s", cause->text);
	delivery_incomplete(d, cause->code == ERR_NOT_FOUND ? "not-found" : "read-error", "%s",
			    cause->text);
	return 0;
}

void delivery_conclude(struct delivery *d, const struct bytes *bytes)
{
	struct err cause;

	if (bytes_check_unchanged(bytes, &cause) < 0)
		delivery_incomplete(d, "file-changed", "%s", cause.text);
	/* An export that failed leaves an empty file more often than a company closes. */
	if (d->result->entries == 0)
		delivery_incomplete(d, "empty-result", "there is nobody in '%s'", d->path);
	for (size_t i = 0; d->canaries_left > 0 && i < d->settings->canaries.count; i++) {
		const char *text = d->settings->canaries.items[i].text;
		uint32_t left = 0;

		if (!hash_table_get(d->canaries, canary_name(d, text), &left) || left == 0)
			continue;
		delivery_incomplete(d, "canary-missing", "'%s', which must be there, is missing",
				    text);
		break;
	}
}
