/*
 * Who may be gone, and who has another name (see look.c). Enters: everything that changed, ids only. Leaves:
 * doubts, which stay when nobody was found by their id; groups read once more because of names in
 * their lists. Fails as searches do.
 */
#include "look_state.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/util.h>
#include <rolebridge/source/ldap.h>

#include "index.h"

#define SHOW_DELETED "1.2.840.113556.1.4.417"

/* --- who is gone --- */

static bool is_known(const struct follow *follow, enum entry_kind kind, struct hash128 id)
{
	if (kind == KIND_PERSON)
		return index_find(follow->index, id) != 0;
	return follow->reader && group_reader_knows(follow->reader, id);
}

static int doubt_add(struct look *look, enum entry_kind kind, const struct facts *facts)
{
	struct doubt *doubt;

	if (look->doubt_count == look->doubt_capacity) {
		size_t capacity = 2 * look->doubt_capacity + 16;
		void *items = alloc_resize(look->doubts, capacity * sizeof(*look->doubts));
		if (!items)
			return look_out_of_memory(look);
		look->doubts = items;
		look->doubt_capacity = capacity;
	}
	doubt = &look->doubts[look->doubt_count++];
	*doubt = (struct doubt){ kind, facts->id, look_escaped(&facts->id_value) };
	if (look->doubt_count > LOOK_DOUBTS_MAX)
		look->restart = "many-changes";
	return doubt->value ? 0 : look_out_of_memory(look);
}

/* Known as this, and its filter did not find it. */
static int doubt_unfound(struct look *look, const struct facts *facts)
{
	for (enum entry_kind kind = KIND_PERSON; kind < KINDS; kind++) {
		if (!hash_table_get(look->ids[kind], facts->id, NULL) &&
		    is_known(look->follow, kind, facts->id) && doubt_add(look, kind, facts) < 0)
			return -1;
	}
	return 0;
}

/* Something changed; which filter it matches is not known. */
static int take_any(struct look *look, LDAPMessage *message, void *context)
{
	struct facts facts = look_facts_of(look, message);
	/* Bases overlap. */
	int status = facts.has_id ? look_set_add(look->any, facts.id) : 0;

	(void)context;
	if (status > 0) {
		status = 0;
		if (facts.is_container && !facts.is_deleted)
			status = look_container_changed(look, &facts);
		if (status == 0)
			status = doubt_unfound(look, &facts);
	} else if (status < 0) {
		look_out_of_memory(look);
	}
	ldap_msgfree(message);
	return status;
}

int look_ask_any(struct look *look, const char *base)
{
	struct poll *poll = look->poll;
	AUTO(strbuf) struct strbuf filter = STRBUF(LOOK_FILTER_MAX);
	char *attributes[] = { (char *)poll->id_attribute, (char *)"objectClass",
			       (char *)"isDeleted",
			       (char *)(poll->by_usn ? "uSNCreated" : "createTimestamp"), NULL };
	bool deleted = poll->by_usn && look->follow->root.show_deleted;

	look_put_since(poll, &filter);
	if (strbuf_failed(&filter))
		return look_out_of_memory(look);
	return look_ask(look,
			&(struct question){ .name = "changes",
					    .base = base,
					    .filter = strbuf_text(&filter),
					    .scope = LDAP_SOURCE_SUBTREE,
					    .attributes = attributes,
					    .controls = { poll->by_usn ? LOOK_NO_REFERENCES : NULL,
							  deleted ? SHOW_DELETED : NULL },
					    .take = take_any });
}

/* context: the list it goes to. */
static int take_doubt(struct look *look, LDAPMessage *message, void *context)
{
	struct facts facts = look_facts_of(look, message);

	return look_add_entry(look, &facts, message, context);
}

static int ask_doubt(struct look *look, const struct doubt *doubt)
{
	const struct job_search *where = look_where(look, doubt->kind);
	AUTO(strbuf) struct strbuf filter = STRBUF(LOOK_FILTER_MAX);

	strbuf_puts(&filter, "(&");
	look_put_filter(&filter, where->filter);
	strbuf_printf(&filter, "(%s=%s))", look->poll->id_attribute, doubt->value);
	if (strbuf_failed(&filter))
		return look_out_of_memory(look);
	return look_ask(look,
			&(struct question){ .name = look_name_of(doubt->kind),
					    .base = where->base,
					    .filter = strbuf_text(&filter),
					    .scope = where->scope,
					    .attributes = look_attributes_of(look, doubt->kind),
					    .take = take_doubt,
					    .context = &look->found[doubt->kind] });
}

int look_settle_doubt(struct look *look, struct doubt *doubt)
{
	const struct messages *list = &look->found[doubt->kind];
	size_t before = list->count;

	if (ask_doubt(look, doubt) < 0)
		return -1;
	if (list->count > before) {
		free(doubt->value);
		doubt->value = NULL;
	}
	return 0;
}

/* --- names in member lists --- */

static bool is_renamed(const struct follow *follow, const struct facts *facts)
{
	uint32_t person = index_find(follow->index, facts->id), group;
	const struct hash128 *names;
	size_t count;

	if (!person)
		return follow->reader && group_reader_knows(follow->reader, facts->id) &&
		       !closure_find_group(follow->groupings.closure, facts->name, &group);
	if (index_names(follow->index, person, &names, &count) < 0)
		return true;
	for (size_t i = 0; i < count; i++) {
		if (memcmp(&names[i], &facts->name, sizeof(names[i])) == 0)
			return false;
	}
	return true;
}

static int renamed_add(struct look *look, const struct berval *dn)
{
	if (look->renamed_count == look->renamed_capacity) {
		size_t capacity = 2 * look->renamed_capacity + 16;
		void *items = alloc_resize(look->renamed, capacity * sizeof(*look->renamed));
		if (!items)
			return look_out_of_memory(look);
		look->renamed = items;
		look->renamed_capacity = capacity;
	}
	look->renamed[look->renamed_count].dn = look_escaped(dn);
	if (!look->renamed[look->renamed_count].dn)
		return look_out_of_memory(look);
	if (++look->renamed_count > LOOK_DOUBTS_MAX)
		look->restart = "many-changes";
	return 0;
}

int look_add_entry(struct look *look, const struct facts *facts, LDAPMessage *message,
		   struct messages *list)
{
	if (facts->has_id && facts->has_name && look->follow->reader &&
	    is_renamed(look->follow, facts) && renamed_add(look, &facts->dn) < 0) {
		ldap_msgfree(message);
		return -1;
	}
	return look_messages_add(look, list, message, facts->size);
}

/* Once, and in addition to one that was read before the names in it changed. */
static int take_group_again(struct look *look, LDAPMessage *message, void *context)
{
	struct facts facts = look_facts_of(look, message);
	int added = facts.has_id ? look_set_add(look->again, facts.id) : 1;

	(void)context;
	if (added > 0)
		return look_messages_add(look, &look->found[KIND_GROUP], message, facts.size);
	ldap_msgfree(message);
	return added < 0 ? look_out_of_memory(look) : 0;
}

int look_ask_groups_of(struct look *look, const struct renamed *renamed)
{
	struct follow *follow = look->follow;
	const struct job *job = follow->job;
	AUTO(strbuf) struct strbuf filter = STRBUF(LOOK_FILTER_MAX + 4 * LOOK_VALUE_MAX);

	strbuf_puts(&filter, "(&");
	look_put_filter(&filter, job->groups.filter);
	strbuf_puts(&filter, "(|");
	for (size_t i = 0; i < job->members.count; i++)
		strbuf_printf(&filter, "(%s=%s)", job->members.items[i], renamed->dn);
	strbuf_puts(&filter, "))");
	if (strbuf_failed(&filter))
		return look_out_of_memory(look);
	return look_ask(look,
			&(struct question){ .name = "groups of who has another name",
					    .base = job->groups.base,
					    .filter = strbuf_text(&filter),
					    .scope = job->groups.scope,
					    .attributes = group_reader_request(follow->reader),
					    .take = take_group_again });
}
