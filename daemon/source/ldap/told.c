/*
 * What was told last (see told.h): by entry, the print of its content. Enters: entries with any bytes. Leaves:
 * whether one of them is news.
 *
 * The print covers the name and each attribute as it came. Attributes have no order, so theirs
 * are added up; values are left in the order they have, which servers keep. An entry whose content is
 * not at hand in full has no print: one that does not decode to its end, and one with a list of which the server sent
 * a piece (member;range=0-1499), as what follows may change while the piece and the time stay.
 *
 * Cost: an entry that is kept has 36 bytes and what tables leave free.
 */
#include "told.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/strbuf.h>
#include <rolebridge/identity/dn.h>

#include "../directory.h"
#include "entry.h"

#define TOLD_MAX (1u << 24)
/* YYYYMMDDHHMMSS */
#define SECOND_DIGITS 14

/* By entry; a print of zero equals none. */
struct prints_table {
	struct hash_table *places; /* → index into prints + 1; NULL: nothing is kept */
	struct hash128 *prints;
	size_t count, capacity;
};

struct told {
	const char *id_attribute;
	struct dn_parents *parents;
	struct strbuf scratch;
	int64_t from_s;
	char from[CLOCK_TEXT_SIZE]; /* SECOND_DIGITS of it */
	struct prints_table last[KINDS];
	struct prints_table found[KINDS]; /* by the present look, and told before */
};

/* --- the table --- */

static void table_init(struct prints_table *table)
{
	*table = (struct prints_table){ .places = hash_table_create(64, TOLD_MAX) };
}

static void table_finish(struct prints_table *table)
{
	hash_table_destroy(table->places);
	free(table->prints);
	*table = (struct prints_table){ 0 };
}

/* NULL: not kept. */
static struct hash128 *table_find(const struct prints_table *table, struct hash128 name)
{
	uint32_t place;

	if (!table->places || !hash_table_get(table->places, name, &place) || place == 0)
		return NULL;
	return &table->prints[place - 1];
}

static void table_add(struct prints_table *table, struct hash128 name, struct hash128 print)
{
	uint32_t *place;

	if (!table->places)
		return;
	if (table->count == table->capacity) {
		size_t capacity = 2 * table->capacity + 64;
		void *prints = alloc_resize(table->prints, capacity * sizeof(*table->prints));
		if (!prints)
			return;
		table->prints = prints;
		table->capacity = capacity;
	}
	if (hash_table_put(table->places, name, &place) < 0)
		return;
	table->prints[table->count++] = print;
	*place = (uint32_t)table->count;
}

/* --- one entry --- */

struct content {
	struct hash128 name;  /* which entry it is */
	struct hash128 print; /* zero: has none */
};

static bool print_is_none(struct hash128 print)
{
	return hash128_equal(print, (struct hash128){ 0 });
}

static void print_add(struct hash128 *sum, const void *data, size_t size)
{
	struct hash128 print = fingerprint128(data, size);

	sum->word[0] += print.word[0];
	sum->word[1] += print.word[1];
}

static struct hash128 name_of_dn(struct told *told, const struct berval *dn)
{
	struct hash128 name;

	if (dn->bv_len > 0 &&
	    dn_fingerprint(told->parents, dn->bv_val, dn->bv_len, &told->scratch, &name, NULL) == 0)
		return name;
	return fingerprint128(dn->bv_val, dn->bv_len);
}

/* What of it does not decode is not at hand. */
static void read_attributes(const struct told *told, struct entry *entry, struct hash128 *ret_id,
			    struct hash128 *ret_sum)
{
	struct attribute_values values;
	struct berval name, value;
	struct directory_range range;
	bool whole = true;
	int more;

	while ((more = entry_next(entry, &name, &values)) > 0) {
		print_add(ret_sum, entry->attribute.bv_val, entry->attribute.bv_len);
		whole &= !directory_name_range(name.bv_val, name.bv_len, &range);
		if (entry_name_is(&name, told->id_attribute, strlen(told->id_attribute)) &&
		    values.count == 1 && attribute_next_value(&values, &value))
			*ret_id = fingerprint128(value.bv_val, value.bv_len);
	}
	if (more < 0 || !whole)
		*ret_sum = (struct hash128){ 0 };
}

static struct content content_of(struct told *told, LDAP *ld, LDAPMessage *message)
{
	struct content content = { 0 };
	struct hash128 both[2] = { { { 0 } } };
	struct entry entry;

	if (entry_open(ld, message, &entry) == 0) {
		read_attributes(told, &entry, &content.name, &both[0]);
		both[1] = fingerprint128(entry.dn.bv_val, entry.dn.bv_len);
		if (hash128_equal(content.name, (struct hash128){ 0 }))
			content.name = name_of_dn(told, &entry.dn);
		if (!print_is_none(both[0]))
			content.print = fingerprint128(both, sizeof(both));
	}
	entry_close(&entry);
	return content;
}

/* --- times --- */

int64_t told_time(const struct berval *value)
{
	char text[40];
	int64_t time_s;

	if (value->bv_len >= sizeof(text) || memchr(value->bv_val, '\0', value->bv_len))
		return 0;
	memcpy(text, value->bv_val, value->bv_len);
	text[value->bv_len] = '\0';
	return clock_parse_generalized(text, &time_s, NULL) == 0 && time_s > 0 ? time_s : 0;
}

void told_set_from(struct told *told, int64_t from_s)
{
	char text[CLOCK_TEXT_SIZE];

	clock_format(from_s, text);
	told->from_s = from_s;
	snprintf(told->from, sizeof(told->from), "%.4s%.2s%.2s%.2s%.2s%.2s", text, text + 5,
		 text + 8, text + 11, text + 14, text + 17);
}

/* Nearly all are of one form, and compare as texts. What is no time counts as late: it does no harm. */
bool told_is_late(const struct told *told, const struct berval *time)
{
	int64_t time_s;

	if (time->bv_len > SECOND_DIGITS && time->bv_val[time->bv_len - 1] == 'Z')
		return memcmp(time->bv_val, told->from, SECOND_DIGITS) >= 0;
	time_s = told_time(time);
	return time_s == 0 || time_s >= told->from_s;
}

/* --- what is told --- */

struct told *told_create(const char *id_attribute)
{
	struct told *told = alloc_zeroed(1, sizeof(*told));

	if (!told)
		return NULL;
	told->id_attribute = id_attribute;
	told->scratch = STRBUF(32 * DN_MAX);
	told->parents = dn_parents_create();
	told_set_from(told, 0);
	for (size_t kind = 0; kind < KINDS; kind++)
		table_init(&told->last[kind]);
	if (!told->parents) {
		told_destroy(told);
		return NULL;
	}
	return told;
}

void told_destroy(struct told *told)
{
	if (!told)
		return;
	for (size_t kind = 0; kind < KINDS; kind++) {
		table_finish(&told->last[kind]);
		table_finish(&told->found[kind]);
	}
	dn_parents_destroy(told->parents);
	strbuf_finish(&told->scratch);
	free(told);
}

void told_note(struct told *told, enum entry_kind kind, LDAP *ld, LDAPMessage *message)
{
	struct content content = content_of(told, ld, message);
	struct hash128 *last = table_find(&told->last[kind], content.name);

	if (last)
		*last = content.print;
	else if (!print_is_none(content.print))
		table_add(&told->last[kind], content.name, content.print);
}

void told_doubt(struct told *told, enum entry_kind kind, LDAP *ld, LDAPMessage *message)
{
	told_forget(told, kind, content_of(told, ld, message).name);
}

void told_forget(struct told *told, enum entry_kind kind, struct hash128 name)
{
	struct hash128 *last = table_find(&told->last[kind], name);

	if (last)
		*last = (struct hash128){ 0 };
}

void told_look_begin(struct told *told)
{
	for (size_t kind = 0; kind < KINDS; kind++) {
		table_finish(&told->found[kind]);
		table_init(&told->found[kind]);
	}
}

bool told_again(struct told *told, enum entry_kind kind, LDAP *ld, LDAPMessage *message)
{
	struct content content = content_of(told, ld, message);
	const struct hash128 *last = table_find(&told->last[kind], content.name);
	bool again = last && !print_is_none(*last) && hash128_equal(*last, content.print);

	if (again && !table_find(&told->found[kind], content.name))
		table_add(&told->found[kind], content.name, content.print);
	return again;
}

void told_look_end(struct told *told)
{
	for (size_t kind = 0; kind < KINDS; kind++) {
		table_finish(&told->last[kind]);
		told->last[kind] = told->found[kind];
		told->found[kind] = (struct prints_table){ 0 };
	}
}
