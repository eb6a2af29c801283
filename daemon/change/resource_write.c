/*
 * A resource into the store, with its audit row and a note for those who decide in memory.
 *
 * Enters: how it is, how it was. Leaves: the row, its audit row, what is noted. Fails: store, memory.
 */
#include "ownership.h"

#include <string.h>

#include <rolebridge/base/util.h>

#define DETAIL_MAX (1u << 20)

static void write_key(struct json *json, const char *name, const char *type, const char *id)
{
	if (id[0] == '\0') {
		json_null(json, name);
		return;
	}
	json_object_key(json, name);
	json_string(json, "type", type);
	json_string(json, "id", id);
	json_end(json);
}

static void write_owner(struct json *json, const struct resource *resource)
{
	char uuid[UUID_TEXT_SIZE];

	uuid_format(&resource->owner_uuid, uuid);
	json_string(json, "owner", resource->owner ? uuid : NULL);
}

/* What differs from the other; all when there is none. */
static void write_side(struct json *json, const char *name, const struct resource *resource,
		       const struct resource *other)
{
	json_object_key(json, name);
	if (!other || resource->parent_row != other->parent_row)
		write_key(json, "parent", resource->parent_type, resource->parent_id);
	if (!other || resource->owner != other->owner)
		write_owner(json, resource);
	if (!other || strcmp(resource->title, other->title) != 0)
		json_string(json, "title", resource->title);
	if (!other || strcmp(resource->organization, other->organization) != 0)
		json_string(json, "organization", resource->organization);
	json_end(json);
}

int resource_audit(struct owning *owning, const char *action, const struct resource *before,
		   const struct resource *after, int64_t people, struct err *err)
{
	AUTO(strbuf) struct strbuf detail = STRBUF(DETAIL_MAX);
	struct json json = JSON(&detail);

	json_object(&json);
	if (before)
		write_side(&json, "before", before, after);
	if (after)
		write_side(&json, "after", after, before);
	if (people > 0)
		json_int(&json, "people", people);
	json_end(&json);
	return owning_audit(owning, action, "resource", after ? &after->key : &before->key, &detail,
			    err);
}

/*
 * Whatever was measured does not count any more: not for who comes later in this transaction, and, once it is
 * committed, not for who has measured without it meanwhile.
 */
static void note_tree(struct changer *changer)
{
	__atomic_add_fetch(&changer->tree_changes, 1, __ATOMIC_RELEASE);
	changer->tree_changed = true;
}

int resource_write(struct owning *owning, struct resource *after, const struct resource *before,
		   struct err *err)
{
	int64_t lost = before && before->owner != after->owner ? before->owner : 0;

	after->version = before ? before->version + 1 : 1;
	after->updated_s = owning->now_s;
	after->created_s = before ? before->created_s : owning->now_s;
	if (store_resource_put(owning->changer->store, after, err) < 0 ||
	    resource_audit(owning, before ? "resource.update" : "resource.create", before, after, 0,
			   err) < 0)
		return -1;
	if (after->parent_row && (!before || before->parent_row != after->parent_row))
		note_tree(owning->changer);
	notice_resource(owning->changer, after, false);
	return lost ? owning_follow(owning, lost, err) : 0;
}
