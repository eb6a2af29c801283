/* Canaries (see canary.h). */
#include "canary.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/ids.h>
#include <rolebridge/base/util.h>
#include <rolebridge/identity/dn.h>

/* A group is not looked for when no rule names one: it cannot be missed then. */
static bool is_only_among_groups(const struct job *job, const char *normal)
{
	AUTO(strbuf) struct strbuf users = STRBUF(4 * DN_MAX);
	AUTO(strbuf) struct strbuf groups = STRBUF(4 * DN_MAX);

	if (dn_normalize(job->users.base, strlen(job->users.base), &users, NULL) < 0 ||
	    dn_normalize(job->groups.base, strlen(job->groups.base), &groups, NULL) < 0)
		return false;
	return dn_is_within(normal, strbuf_text(&groups)) &&
	       !dn_is_within(normal, strbuf_text(&users));
}

static int put_name(struct canaries *canaries, struct hash128 name, size_t index, struct err *err)
{
	uint32_t *slot;

	if (hash_table_put(canaries->table, name, &slot) < 0)
		return err_set(err, ERR_MEMORY, "no memory for canaries");
	/* The same name twice: one entry satisfies both. */
	if (*slot)
		canaries->seen[index] = true;
	else
		*slot = (uint32_t)index + 1;
	return 0;
}

static int add(struct canaries *canaries, const struct job *job, bool groups_read, size_t index,
	       struct err *err)
{
	const char *text = canaries->texts->items[index];
	AUTO(strbuf) struct strbuf normal = STRBUF(4 * DN_MAX);
	char lower[UUID_TEXT_SIZE];
	struct uuid uuid;

	if (dn_looks_like(text) && dn_normalize(text, strlen(text), &normal, NULL) == 0) {
		if (!groups_read && is_only_among_groups(job, strbuf_text(&normal)))
			canaries->seen[index] = true;
		return put_name(canaries, dn_fingerprint_normal(strbuf_text(&normal), normal.size),
				index, err);
	}
	/* As the keys of entries are spelled: people.c. */
	if (uuid_parse(text, &uuid)) {
		uuid_format(&uuid, lower);
		text = lower;
	}
	return put_name(canaries, fingerprint128(text, strlen(text)), index, err);
}

int canaries_init(struct canaries *canaries, const struct job *job, bool groups_read,
		  struct err *err)
{
	size_t count = job->canaries.count;

	*canaries = (struct canaries){ .texts = &job->canaries };
	if (count == 0)
		return 0;
	canaries->table = hash_table_create(2 * count, 2 * count);
	canaries->seen = alloc_zeroed(count, sizeof(*canaries->seen));
	if (!canaries->table || !canaries->seen)
		return err_set(err, ERR_MEMORY, "no memory for canaries");
	for (size_t i = 0; i < count; i++) {
		if (add(canaries, job, groups_read, i, err) < 0)
			return -1;
	}
	return 0;
}

bool canaries_have(const struct canaries *canaries, struct hash128 name)
{
	return canaries->table && hash_table_get(canaries->table, name, NULL);
}

void canaries_see(struct canaries *canaries, struct hash128 name)
{
	uint32_t found;

	if (canaries->table && hash_table_get(canaries->table, name, &found))
		canaries->seen[found - 1] = true;
}

const char *canaries_missing(const struct canaries *canaries)
{
	for (size_t i = 0; i < canaries->texts->count; i++) {
		if (!canaries->seen[i])
			return canaries->texts->items[i];
	}
	return NULL;
}

void canaries_finish(struct canaries *canaries)
{
	hash_table_destroy(canaries->table);
	free(canaries->seen);
	*canaries = (struct canaries){ 0 };
}
