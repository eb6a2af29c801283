/*
 * Permissions made for asking. In: texts resource:verb@scope. Out: scopes, by four look-ups: the thing
 * itself, and with '*' in each half. Fails for lack of memory; and for questions that are none.
 */
#include "permset.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/util.h>
#include <rolebridge/rules/permission.h>

const char *const scope_names[3] = { "own", "unassigned", "all" };

static uint64_t both(struct word resource, struct word verb)
{
	return resource.hash * UINT64_C(0x9e3779b97f4a7c15) ^ verb.hash;
}

static int compare_word(struct word a, struct word b)
{
	int order = memcmp(a.text, b.text, a.size < b.size ? a.size : b.size);

	return order ? order : (a.size > b.size) - (a.size < b.size);
}

static int compare_item(const void *a, const void *b)
{
	const struct permset_item *x = a, *y = b;
	int order = (x->hash > y->hash) - (x->hash < y->hash);

	if (order == 0)
		order = compare_word(x->resource, y->resource);
	return order ? order : compare_word(x->verb, y->verb);
}

static unsigned scope_bit(const char *text)
{
	for (unsigned i = 0; i < ARRAY_LEN(scope_names); i++)
		if (strcmp(text, scope_names[i]) == 0)
			return 1u << i;
	return 0;
}

/* Of a well-formed one. */
static struct permset_item split(const char *text)
{
	const char *colon = strchr(text, ':'), *at = strchr(colon, '@');

	struct permset_item item = { .resource = word_make(text, (size_t)(colon - text)),
				     .verb = word_make(colon + 1, (size_t)(at - colon - 1)),
				     .scopes = scope_bit(at + 1) };

	item.hash = both(item.resource, item.verb);
	return item;
}

static void merge(struct permset *set)
{
	size_t used = 0;

	if (set->count)
		qsort(set->items, set->count, sizeof(*set->items), compare_item);
	for (size_t i = 0; i < set->count; i++)
		if (used && compare_item(&set->items[used - 1], &set->items[i]) == 0)
			set->items[used - 1].scopes |= set->items[i].scopes;
		else
			set->items[used++] = set->items[i];
	set->count = used;
}

struct permset *permset_create(const char *const *permissions, size_t count)
{
	struct permset *set;
	size_t size = 0;
	char *texts;

	for (size_t i = 0; i < count; i++)
		size += strlen(permissions[i]) + 1;
	set = alloc_zeroed(1, sizeof(*set) + count * sizeof(*set->items) + size);
	if (!set)
		return NULL;
	set->items = (struct permset_item *)(set + 1);
	texts = (char *)(set->items + count);
	for (size_t i = 0; i < count; i++) {
		size = strlen(permissions[i]) + 1;
		memcpy(texts, permissions[i], size);
		if (permission_check(texts, NULL) == 0)
			set->items[set->count++] = split(texts);
		texts += size;
	}
	merge(set);
	return set;
}

void permset_destroy(struct permset *set)
{
	free(set);
}

static const struct permset_item *find(const struct permset *set, struct word resource,
				       struct word verb)
{
	uint64_t hash = both(resource, verb);
	size_t low = 0, high = set->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (set->items[middle].hash < hash)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < set->count && set->items[low].hash == hash; low++)
		if (word_same(set->items[low].resource, resource) &&
		    word_same(set->items[low].verb, verb))
			return &set->items[low];
	return NULL;
}

static void find_all(const struct permset *set, struct word resource, struct word verb,
		     const struct permset_item *ret_items[4])
{
	const struct word any = word_make("*", 1);

	ret_items[0] = find(set, resource, verb);
	ret_items[1] = find(set, resource, any);
	ret_items[2] = find(set, any, verb);
	ret_items[3] = find(set, any, any);
}

unsigned permset_scopes(const struct permset *set, struct word resource, struct word verb)
{
	const struct permset_item *items[4];
	unsigned scopes = 0;

	if (!set)
		return 0;
	find_all(set, resource, verb, items);
	for (size_t i = 0; i < ARRAY_LEN(items); i++)
		scopes |= items[i] ? items[i]->scopes : 0;
	return scopes;
}

const struct permset_item *permset_which(const struct permset *set, struct word resource,
					 struct word verb, unsigned scopes)
{
	const struct permset_item *items[4];

	if (!set)
		return NULL;
	find_all(set, resource, verb, items);
	for (size_t i = 0; i < ARRAY_LEN(items); i++)
		if (items[i] && items[i]->scopes & scopes)
			return items[i];
	return NULL;
}

int asked_parse(const char *text, struct asked *ret_asked, struct err *err)
{
	char whole[256];
	size_t size = strlen(text);
	const char *at = strchr(text, '@');
	struct permset_item item;

	if (size > sizeof(whole) - sizeof("@all"))
		return err_set(err, ERR_INVALID, "the permission is too long");
	memcpy(whole, text, size + 1);
	if (!at)
		memcpy(whole + size, "@all", sizeof("@all"));
	/* Nobody asks whether somebody may do anything to anything: '*' stands in what is granted. */
	if (permission_check(whole, err) < 0)
		return -1;
	if (strchr(text, '*'))
		return err_set(err, ERR_INVALID, "'*' stands in grants, not in questions");
	item = split(whole);
	*ret_asked = (struct asked){ word_make(text, item.resource.size),
				     word_make(text + item.resource.size + 1, item.verb.size),
				     at ? item.scopes : 0 };
	return 0;
}
