/*
 * Looking up what is defined. Enters: the catalogue, a name. Leaves: whose it is and what it allows. Fails:
 * never.
 */
#include <rolebridge/rules/settings.h>

#include <string.h>

#define FIND(list, type) \
	find((list).items, (list).count, sizeof(struct type), offsetof(struct type, name), name)

static const void *find(const void *items, size_t count, size_t size, size_t offset,
			const char *name)
{
	for (size_t i = 0; i < count; i++) {
		const char *item = (const char *)items + i * size;
		const struct located *located = (const void *)(item + offset);

		if (located->text && strcmp(located->text, name) == 0)
			return item;
	}
	return NULL;
}

bool catalogue_find(const struct catalogue_settings *catalogue, enum grant_kind kind,
		    const char *name, struct catalogue_item *ret_item)
{
	const struct profile_settings *profile;
	const struct role_settings *role;
	const struct persona_settings *persona;

	switch (kind) {
	case GRANT_PROFILE:
		profile = FIND(catalogue->profiles, profile_settings);
		if (profile)
			*ret_item = (struct catalogue_item){ profile->organization,
							     &profile->permissions };
		return profile != NULL;
	case GRANT_ROLE:
		role = FIND(catalogue->roles, role_settings);
		if (role)
			*ret_item =
				(struct catalogue_item){ role->organization, &role->permissions };
		return role != NULL;
	case GRANT_PERSONA:
		persona = FIND(catalogue->personas, persona_settings);
		if (persona)
			*ret_item = (struct catalogue_item){ persona->organization, NULL };
		return persona != NULL;
	case GRANT_GROUP:
	case GRANT_KINDS: break;
	}
	return false;
}

bool catalogue_is_for(const char *owner, const char *organization)
{
	return !owner || !organization || strcmp(owner, organization) == 0;
}
