/*
 * Containers (see look.c): who lives below one that got another name has another DN, and no mark of it.
 * Enters: entries that are containers. Leaves: why only a full read helps. Fails as searches do.
 */
#include "look_state.h"

#include <rolebridge/source/ldap.h>

static struct hash128 container_under_name(const struct facts *facts)
{
	struct hash128 both[2] = { facts->id, facts->name };

	return fingerprint128(both, sizeof(both));
}

static int container_learn(struct look *look, const struct facts *facts)
{
	if (look_set_add(look->poll->containers, facts->id) < 0 ||
	    look_set_add(look->poll->container_names, container_under_name(facts)) < 0)
		return look_out_of_memory(look);
	return 0;
}

/* Made after the cursor: nobody can be in it who did not come by it. */
static bool container_is_new(const struct poll *poll, const struct facts *facts)
{
	if (poll->by_usn)
		return facts->created_usn != UINT64_MAX && facts->created_usn > poll->usn;
	return facts->created_s >= poll->newest_s - LOOK_OVERLAP_S;
}

int look_container_changed(struct look *look, const struct facts *facts)
{
	struct poll *poll = look->poll;

	if (!facts->has_name)
		return 0;
	if (hash_table_get(poll->container_names, container_under_name(facts), NULL))
		return 0;
	if (hash_table_get(poll->containers, facts->id, NULL))
		look->restart = "container-renamed";
	else if (!container_is_new(poll, facts))
		look->restart = "container-appeared";
	return container_learn(look, facts);
}

static int take_container(struct look *look, LDAPMessage *message, void *context)
{
	struct facts facts = look_facts_of(look, message);

	(void)context;
	ldap_msgfree(message);
	return facts.has_id && facts.has_name ? container_learn(look, &facts) : 0;
}

int look_ask_containers(struct look *look, const char *base)
{
	static const char filter[] =
		"(|(objectClass=organizationalUnit)(objectClass=container)"
		"(objectClass=organization)(objectClass=domain)(objectClass=dcObject)"
		"(objectClass=country)(objectClass=locality)(objectClass=builtinDomain)"
		"(objectClass=nsContainer))";
	char *attributes[] = { (char *)look->poll->id_attribute, NULL };

	return look_ask(
		look,
		&(struct question){ .name = "containers",
				    .base = base,
				    .filter = filter,
				    .scope = LDAP_SOURCE_SUBTREE,
				    .attributes = attributes,
				    .controls = { look->poll->by_usn ? LOOK_NO_REFERENCES : NULL },
				    .take = take_container });
}
