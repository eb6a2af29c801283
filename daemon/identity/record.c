/*
 * Identity records: the canonical bytes of one identity.
 *
 * Enters: an identity, or the pieces a worker holds. Leaves: bytes that are equal
 * exactly when the identities are. Decoding fails on whatever encoding would not
 * have written: order, repetition, empty lists, invalid UTF-8, a byte too many.
 *
 * Encoding fails through the strbuf (cap, memory) and by pieces out of order,
 * which is a bug of the caller.
 */
#include <rolebridge/identity/record.h>

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/message.h>
#include <rolebridge/base/text.h>

#define RECORD_VERSION 1
#define FLAG_GROUPS_COMPLETE 1u
#define FLAG_DISABLED 2u
#define FLAG_DISABLED_FROM 4u
#define FLAGS_ALL (FLAG_GROUPS_COMPLETE | FLAG_DISABLED | FLAG_DISABLED_FROM)

#define SORT_ON_STACK 64

/* --- encoding --- */

void record_write_head(struct strbuf *out, const char *key, const char *dn, bool groups_complete,
		       bool disabled, const char *disabled_by, int64_t disabled_from_s,
		       size_t attribute_count)
{
	put_u8(out, RECORD_VERSION);
	put_u8(out, (uint8_t)((groups_complete ? FLAG_GROUPS_COMPLETE : 0) |
			      (disabled ? FLAG_DISABLED : 0) |
			      (disabled_from_s ? FLAG_DISABLED_FROM : 0)));
	put_text(out, key);
	put_text(out, dn);
	put_text(out, disabled || disabled_from_s ? disabled_by : "");
	if (disabled_from_s)
		put_varint(out, disabled_from_s < 0 ? 1 : (uint64_t)disabled_from_s);
	put_varint(out, attribute_count);
}

struct slice {
	const char *data;
	size_t size;
};

static int compare_slices(const void *a, const void *b)
{
	const struct slice *left = a, *right = b;
	size_t common = left->size < right->size ? left->size : right->size;
	int order = memcmp(left->data, right->data, common);

	if (order != 0)
		return order;
	return (left->size > right->size) - (left->size < right->size);
}

/* Sort and drop repetitions; returns how many are left. Short lists are the rule. */
static size_t sort_unique(struct slice *slices, size_t count)
{
	size_t kept = 1;

	if (count > SORT_ON_STACK) {
		qsort(slices, count, sizeof(*slices), compare_slices);
	} else {
		for (size_t i = 1; i < count; i++) {
			struct slice moving = slices[i];
			size_t j = i;

			for (; j > 0 && compare_slices(&slices[j - 1], &moving) > 0; j--)
				slices[j] = slices[j - 1];
			slices[j] = moving;
		}
	}
	for (size_t i = 1; i < count; i++)
		if (compare_slices(&slices[kept - 1], &slices[i]) != 0)
			slices[kept++] = slices[i];
	return kept;
}

void record_write_attribute(struct strbuf *out, const char *name, const char **values,
			    const size_t *sizes, size_t count)
{
	struct slice on_stack[SORT_ON_STACK];
	struct slice *slices = on_stack;

	/* An attribute without values is not there: the head's count would be wrong. */
	if (count == 0) {
		strbuf_fail(out);
		return;
	}
	put_text(out, name);
	if (count > SORT_ON_STACK) {
		slices = alloc_zeroed(count, sizeof(*slices));
		if (!slices) {
			strbuf_fail(out);
			return;
		}
	}
	for (size_t i = 0; i < count; i++)
		slices[i] = (struct slice){ values[i], sizes ? sizes[i] : strlen(values[i]) };
	if (count > 1)
		count = sort_unique(slices, count);
	put_varint(out, count);
	for (size_t i = 0; i < count; i++)
		put_bytes(out, slices[i].data, slices[i].size);
	if (slices != on_stack)
		free(slices);
}

void record_write_groups(struct strbuf *out, const uint32_t *ascending_ids, size_t count)
{
	uint32_t last = 0;

	put_varint(out, count);
	for (size_t i = 0; i < count; i++) {
		if (ascending_ids[i] <= last) {
			strbuf_fail(out);
			return;
		}
		put_varint(out, ascending_ids[i] - last);
		last = ascending_ids[i];
	}
}

void record_encode(const struct identity *identity, const struct schema *schema, struct strbuf *out)
{
	record_write_head(out, identity->key, identity->dn, identity->groups_complete,
			  identity->disabled, identity->disabled_by, identity->disabled_from_s,
			  identity->attribute_count);
	/* Ids are numbered in the order of names, so ascending ids are ascending names. */
	for (size_t i = 0; i < identity->attribute_count; i++) {
		const struct attribute *attribute = &identity->attributes[i];
		const struct schema_attribute *known = schema_get(schema, attribute->id);

		if (!known || (i > 0 && identity->attributes[i - 1].id >= attribute->id)) {
			strbuf_fail(out);
			return;
		}
		record_write_attribute(out, known->name, (const char **)attribute->values, NULL,
				       attribute->count);
	}
	record_write_groups(out, identity->groups, identity->group_count);
}

/* --- decoding --- */

static int malformed(struct err *err, const char *what)
{
	return err_set(err, ERR_PROTOCOL, "identity record is malformed: %s", what);
}

static size_t left(const struct reader *in)
{
	return (size_t)(in->end - in->at);
}

static int read_start(struct reader *in, const void *data, size_t size, unsigned *ret_flags,
		      struct err *err)
{
	unsigned version;

	if (size > RECORD_MAX)
		return malformed(err, "too long");
	*in = reader_init(data, size);
	version = get_u8(in);
	*ret_flags = get_u8(in);
	if (in->failed)
		return malformed(err, "cut short");
	if (version != RECORD_VERSION)
		return malformed(err, "unknown version");
	if (*ret_flags & ~FLAGS_ALL)
		return malformed(err, "unknown flags");
	return 0;
}

bool record_groups_complete(const void *data, size_t size)
{
	struct reader in;
	unsigned flags;

	return read_start(&in, data, size, &flags, NULL) == 0 && (flags & FLAG_GROUPS_COMPLETE);
}

int64_t record_disabled_from(const void *data, size_t size)
{
	struct reader in;
	unsigned flags;
	size_t text_size;
	int64_t from_s;

	if (read_start(&in, data, size, &flags, NULL) < 0 || !(flags & FLAG_DISABLED_FROM))
		return 0;
	for (int text = 0; text < 3; text++)
		get_bytes(&in, &text_size);
	from_s = (int64_t)get_count(&in, INT64_MAX);
	return in.failed ? 0 : from_s;
}

static void skip_values(struct reader *in)
{
	size_t count = (size_t)get_count(in, left(in)), size;

	for (size_t i = 0; i < count && !in->failed; i++)
		get_bytes(in, &size);
}

/* To where the groups begin; what stands there was checked when it was stored. */
static void skip_to_groups(struct reader *in, unsigned flags)
{
	size_t count, size;

	for (int text = 0; text < 3; text++)
		get_bytes(in, &size);
	if (flags & FLAG_DISABLED_FROM)
		get_count(in, INT64_MAX);
	count = (size_t)get_count(in, left(in));
	for (size_t i = 0; i < count && !in->failed; i++) {
		get_bytes(in, &size);
		skip_values(in);
	}
}

int record_replace_groups(const void *data, size_t size, const uint32_t *ascending_ids,
			  size_t count, bool groups_complete, struct strbuf *out, struct err *err)
{
	struct reader in;
	unsigned flags;
	size_t kept;

	if (read_start(&in, data, size, &flags, err) < 0)
		return -1;
	skip_to_groups(&in, flags);
	if (in.failed)
		return malformed(err, "cut short");
	kept = size - left(&in);
	flags = (flags & ~FLAG_GROUPS_COMPLETE) | (groups_complete ? FLAG_GROUPS_COMPLETE : 0);
	put_u8(out, RECORD_VERSION);
	put_u8(out, (uint8_t)flags);
	strbuf_append(out, (const char *)data + 2, kept - 2);
	record_write_groups(out, ascending_ids, count);
	return strbuf_failed(out) ? err_set(err, ERR_MEMORY, "no memory for an identity record")
				  : 0;
}

int record_key(const void *data, size_t size, const char **ret_key, size_t *ret_key_size,
	       struct err *err)
{
	struct reader in;
	unsigned flags;
	const char *key;
	size_t key_size;

	if (read_start(&in, data, size, &flags, err) < 0)
		return -1;
	key = get_bytes(&in, &key_size);
	if (in.failed || key_size == 0)
		return malformed(err, "no key");
	*ret_key = key;
	*ret_key_size = key_size;
	return 0;
}

/* The schema id of a name, searched from `from` on because names ascend; -1 when unknown. */
static int find_from(const struct schema *schema, size_t from, const char *name, size_t size)
{
	size_t low = from, high = schema_count(schema);

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const char *here = schema_get(schema, (uint16_t)middle)->name;
		int order = strncmp(here, name, size);

		if (order == 0 && here[size] != '\0')
			order = 1;
		if (order == 0)
			return (int)middle;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return -1;
}

/*
 * The values of one attribute: valid UTF-8, ascending, each once. Not known to the schema: checked
 * all the same, but not kept (*ret_values stays).
 */
static int read_values(struct reader *in, bool keep, struct arena *arena, uint32_t *ret_count,
		       const char *const **ret_values, struct err *err)
{
	size_t count = (size_t)get_count(in, left(in));
	const char **values = NULL;
	struct slice last = { NULL, 0 };

	if (in->failed || count == 0)
		return malformed(err, "attribute without values");
	if (keep) {
		values = arena_alloc_array(arena, count, sizeof(*values));
		if (!values)
			return err_set(err, ERR_MEMORY, "no memory for an identity record");
	}
	for (size_t i = 0; i < count; i++) {
		struct slice value;

		value.data = get_bytes(in, &value.size);
		if (in->failed || !text_is_utf8(value.data, value.size))
			return malformed(err, "value is not UTF-8");
		if (i > 0 && compare_slices(&last, &value) >= 0)
			return malformed(err, "values out of order");
		last = value;
		if (keep && !(values[i] = arena_strndup(arena, value.data, value.size)))
			return err_set(err, ERR_MEMORY, "no memory for an identity record");
	}
	if (keep) {
		*ret_count = (uint32_t)count;
		*ret_values = values;
	}
	return 0;
}

static int read_attributes(struct reader *in, const struct schema *schema, struct arena *arena,
			   struct identity *identity, struct err *err)
{
	/* Each takes four bytes at least: name and value with their lengths, and the count. */
	size_t count = (size_t)get_count(in, left(in) / 3 + 1);
	struct slice last = { NULL, 0 };
	struct attribute *attributes;
	size_t next_id = 0;

	if (in->failed)
		return malformed(err, "cut short");
	attributes = arena_alloc_array(arena, count + 1, sizeof(*attributes));
	if (!attributes)
		return err_set(err, ERR_MEMORY, "no memory for an identity record");
	for (size_t i = 0; i < count; i++) {
		struct attribute *attribute = &attributes[identity->attribute_count];
		struct slice name;
		int id;

		name.data = get_bytes(in, &name.size);
		if (in->failed || name.size == 0 || !text_is_utf8(name.data, name.size))
			return malformed(err, "attribute name");
		if (i > 0 && compare_slices(&last, &name) >= 0)
			return malformed(err, "attributes out of order");
		last = name;
		id = find_from(schema, next_id, name.data, name.size);
		if (read_values(in, id >= 0, arena, &attribute->count, &attribute->values, err) < 0)
			return -1;
		if (id < 0)
			continue;
		attribute->id = (uint16_t)id;
		next_id = (size_t)id + 1;
		identity->attribute_count++;
	}
	identity->attributes = attributes;
	return 0;
}

static int read_groups(struct reader *in, struct arena *arena, struct identity *identity,
		       struct err *err)
{
	size_t count = (size_t)get_count(in, left(in));
	uint32_t last = 0;
	uint32_t *groups;

	if (in->failed)
		return malformed(err, "cut short");
	groups = arena_alloc_array(arena, count + 1, sizeof(*groups));
	if (!groups)
		return err_set(err, ERR_MEMORY, "no memory for an identity record");
	for (size_t i = 0; i < count; i++) {
		uint64_t delta = get_count(in, UINT32_MAX - last);

		if (in->failed || delta == 0)
			return malformed(err, "groups out of order");
		last += (uint32_t)delta;
		groups[i] = last;
	}
	identity->groups = groups;
	identity->group_count = count;
	return 0;
}

int record_decode(const void *data, size_t size, const struct schema *schema, uint16_t source,
		  struct arena *arena, struct identity *ret_identity, struct err *err)
{
	struct identity identity = { .source = source };
	struct reader in;
	unsigned flags;

	if (read_start(&in, data, size, &flags, err) < 0)
		return -1;
	identity.key = get_utf8(&in, arena);
	identity.dn = get_utf8(&in, arena);
	identity.disabled_by = get_utf8(&in, arena);
	identity.groups_complete = (flags & FLAG_GROUPS_COMPLETE) != 0;
	identity.disabled = (flags & FLAG_DISABLED) != 0;
	if (arena_failed(arena))
		return err_set(err, ERR_MEMORY, "no memory for an identity record");
	if (in.failed || identity.key[0] == '\0')
		return malformed(err, "no key, or a text that is not UTF-8");
	if (flags & FLAG_DISABLED_FROM) {
		identity.disabled_from_s = (int64_t)get_count(&in, INT64_MAX);
		if (in.failed || identity.disabled_from_s == 0)
			return malformed(err, "no time to be disabled from");
	}
	if (identity.disabled_by[0] != '\0' && !identity.disabled && identity.disabled_from_s == 0)
		return malformed(err, "a reason for being disabled without being so");
	if (read_attributes(&in, schema, arena, &identity, err) < 0 ||
	    read_groups(&in, arena, &identity, err) < 0)
		return -1;
	if (!reader_done(&in))
		return malformed(err, "bytes are left over");
	*ret_identity = identity;
	return 0;
}
