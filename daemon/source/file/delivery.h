/*
 * What reading LDIF and CSV have in common: how values are gathered into a record, what was
 * seen before, canaries, quarantine, and the result.
 */
#ifndef SOURCE_FILE_DELIVERY_H
#define SOURCE_FILE_DELIVERY_H

#include <stdarg.h>

#include <rolebridge/base/hash.h>
#include <rolebridge/base/strbuf.h>
#include <rolebridge/source/file.h>

#include "../disabled.h"
#include "bytes.h"

#define FIELD_NONE UINT32_MAX

/* An attribute or column that somebody asks for. */
struct field {
	const char *name; /* as the file spells it, caseless */
	size_t size;
	uint32_t first, last; /* its values in the present entry; FIELD_NONE: none */
	size_t count;
	bool wanted; /* stands in records */
};

/* One value of the present entry. */
struct value {
	uint32_t next;
	size_t at, size; /* in delivery.text */
};

struct delivery {
	const struct source_settings *settings;
	const char *path;
	const struct intake *intake;
	struct read_result *result;

	struct field *fields;
	size_t field_count, field_capacity;
	uint32_t *field_slots; /* open addressing over fields, by name; see delivery_index_fields */
	size_t slot_mask;

	const struct wanted_attribute *attributes; /* attribute i is field wanted[i] */
	size_t attribute_count;
	uint32_t *wanted;

	struct field_marker {
		struct disabled_marker rule;
		uint32_t field;
	} markers[DISABLED_MARKERS_MAX];
	size_t marker_count;

	struct arena *names; /* of fields that stand nowhere else */

	struct wanted_group *groups; /* ascending by name, then id */
	size_t group_count;

	struct strbuf text; /* values of the present entry, each with a NUL after it */
	struct value *values;
	size_t value_count, value_capacity;
	const char **pointers;
	size_t *sizes;
	size_t pointer_capacity;

	struct strbuf record;
	struct strbuf scratch;
	struct hash_table *keys; /* every key seen */
	struct hash_table *canaries;
	size_t canaries_left;
	const char *dn; /* of the present entry, lent for quarantine; NULL: files without names */
	uint64_t delivered;
	uint64_t total; /* entries to come, 0: unknown */
};

/* Everything is borrowed. delivery_finish is due in any case. */
int delivery_init(struct delivery *d, const struct source_settings *settings, const char *path,
		  const struct wanted_attribute *attributes, size_t attribute_count,
		  const struct wanted_group *groups, size_t group_count,
		  const struct intake *intake, struct read_result *result, struct err *err);
void delivery_finish(struct delivery *d);

/* A field by name, added when new; all before delivery_index_fields. FIELD_NONE: out of memory. */
uint32_t delivery_field(struct delivery *d, const char *name);
int delivery_index_fields(struct delivery *d, struct err *err);
/* FIELD_NONE when nobody asked for it. */
uint32_t delivery_find_field(const struct delivery *d, const char *name, size_t size);

/* The markers of the option `disabled`, as fields; before delivery_index_fields. */
int delivery_set_disabled(struct delivery *d, const struct located_list *option, struct err *err);

/* The present entry: begin, values, then one of identity or quarantine. */
void delivery_begin(struct delivery *d);
/* Copies; d->text or d->values failing means out of memory. */
int delivery_add_value(struct delivery *d, uint32_t field, const char *data, size_t size,
		       struct err *err);
const char *delivery_value(const struct delivery *d, uint32_t index, size_t *ret_size);
/* First value of a field, NULL when there is none. */
const char *delivery_first(const struct delivery *d, uint32_t field);

/* The ids of the groups of that name, ascending. */
const struct wanted_group *delivery_find_groups(const struct delivery *d, const char *name,
						size_t *ret_count);

struct delivered {
	const char *key, *dn;
	struct disabled_state disabled;
	const uint32_t *groups;
	size_t group_count;
	bool groups_complete;
	uint64_t line;
};
/* Hand over the present entry; one whose key came before is quarantined. */
int delivery_identity(struct delivery *d, const struct delivered *given, struct err *err);
int delivery_quarantine(struct delivery *d, uint64_t line, const char *key, const char *reason,
			struct err *err, const char *format, ...)
	__attribute__((format(printf, 6, 7)));

/* A canary by the fingerprint of its key or normal DN was seen. */
void delivery_see(struct delivery *d, const char *name, size_t size);
/* The marker that says that the present entry is disabled; NULL: none does. */
struct disabled_state delivery_disabled(const struct delivery *d);
/* From time to time: -1 with ERR_CANCELLED when asked to stop. */
int delivery_pause(struct delivery *d, struct err *err);

/* The read did not end whole; the first reason stays. */
void delivery_incomplete(struct delivery *d, const char *reason, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* A failed read of the file: incomplete, or -1 when the failure was ours. */
int delivery_broken(struct delivery *d, const struct bytes *bytes, const struct err *cause,
		    struct err *err);
/* At the end: the file is what it was, all canaries were seen. */
void delivery_conclude(struct delivery *d, const struct bytes *bytes);

#endif
