/*
 * What belongs to one organization alone, while a ruleset is compiled. Enters: the catalogue. Leaves: owners by kind and
 * name; nothing is looked up where all is shared. Fails: memory.
 */
#include "program.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>

struct owners {
	const char **names; /* in the program's arena */
	size_t count;
	struct hash_table *table; /* by kind and name: place in names; NULL: everything is shared */
};

static struct hash128 owner_key(enum grant_kind kind, const char *name)
{
	struct hash128 key = fingerprint128(name, strlen(name));

	key.word[0] ^= (uint64_t)kind + 1;
	return key;
}

/* Organizations are few: each is kept once. -1: out of memory. */
static int owner_place(struct ruleset *rules, const char *organization, uint32_t *ret_place)
{
	struct owners *owners = rules->owners;
	size_t i = 0;

	while (i < owners->count && strcmp(owners->names[i], organization) != 0)
		i++;
	if (i == owners->count) {
		const char **grown =
			alloc_resize(owners->names, (owners->count + 1) * sizeof(*grown));

		if (grown == NULL)
			return -1;
		owners->names = grown;
		grown[owners->count++] = arena_strdup(rules->program.arena, organization);
	}
	*ret_place = (uint32_t)i;
	return 0;
}

static int own(struct ruleset *rules, enum grant_kind kind, const struct located *name,
	       const char *organization)
{
	uint32_t place, *slot;

	if (organization == NULL || name->text == NULL)
		return 0;
	if (owner_place(rules, organization, &place) < 0 ||
	    hash_table_put(rules->owners->table, owner_key(kind, name->text), &slot) < 0)
		return -1;
	*slot = place;
	return 0;
}

int owners_list(struct ruleset *rules, const struct catalogue_settings *settings)
{
	const struct profile_settings *profiles = settings->profiles.items;
	const struct role_settings *roles = settings->roles.items;
	const struct persona_settings *personas = settings->personas.items;
	size_t max = settings->profiles.count + settings->roles.count + settings->personas.count;
	int result = 0;

	rules->owners = alloc_zeroed(1, sizeof(*rules->owners));
	if (rules->owners == NULL ||
	    (rules->owners->table = hash_table_create(16, max + 1)) == NULL)
		return -1;
	for (size_t i = 0; result == 0 && i < settings->profiles.count; i++)
		result = own(rules, GRANT_PROFILE, &profiles[i].name, profiles[i].organization);
	for (size_t i = 0; result == 0 && i < settings->roles.count; i++)
		result = own(rules, GRANT_ROLE, &roles[i].name, roles[i].organization);
	for (size_t i = 0; result == 0 && i < settings->personas.count; i++)
		result = own(rules, GRANT_PERSONA, &personas[i].name, personas[i].organization);
	return result;
}

void owners_forget(struct ruleset *rules)
{
	if (rules->owners != NULL) {
		hash_table_destroy(rules->owners->table);
		free(rules->owners->names);
	}
	free(rules->owners);
	rules->owners = NULL;
}

/* NULL: everybody's. */
const char *owner_of(const struct ruleset *rules, enum grant_kind kind, const char *name)
{
	uint32_t place;

	if (rules->owners->count == 0 ||
	    !hash_table_get(rules->owners->table, owner_key(kind, name), &place))
		return NULL;
	return rules->owners->names[place];
}
