/*
 * Who is told of changes: sessions in memory follow what is committed.
 *
 * Enters: users and sessions that a transaction of the writer changes. Leaves, after its commit: calls
 * of the observer, before whoever asked gets the answer. Disabling alone is told before the commit:
 * it holds in memory whatever becomes of the commit. All in the writer thread.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/util.h>
#include <rolebridge/change/login.h>

#include "policies.h"

struct noted_resource {
	struct resource_note note;
	struct noted_resource *next;
	char texts[];
};

struct rotation {
	struct session session;
	struct hash256 token;
	bool has_token;
};

void changer_observe_as(struct changer *changer, enum observer_kind kind,
			const struct change_observer *observer)
{
	changer->observers[kind] = *observer;
	changer->observed = true;
}

void changer_observe_deliveries(struct changer *changer, const struct delivery_observer *observer)
{
	changer->delivery_observer = *observer;
}

static void tell_queued(struct changer *changer)
{
	const struct delivery_observer *observer = &changer->delivery_observer;
	struct notices *notices = &changer->notices;

	if (notices->queued && observer->queued)
		observer->queued(observer->context, notices->queued_urgent);
	notices->queued = notices->queued_urgent = false;
}

void notice_disabling(struct changer *changer, int64_t user_id)
{
	for (size_t i = 0; i < OBSERVERS; i++)
		if (changer->observers[i].disabling)
			changer->observers[i].disabling(changer->observers[i].context, user_id);
}

void notice_token(struct changer *changer, const struct token_row *row)
{
	const struct change_observer *observer = &changer->observers[OBSERVER_TOKENS];

	if (observer->token)
		observer->token(observer->context, row);
}

void notice_token_ended(struct changer *changer, int64_t token_id)
{
	const struct change_observer *observer = &changer->observers[OBSERVER_TOKENS];

	if (observer->token_ended)
		observer->token_ended(observer->context, token_id);
}

static bool list_add(struct notice_list *list, int64_t id)
{
	if (list->count == list->capacity) {
		size_t capacity = list->capacity ? list->capacity * 2 : 64;
		int64_t *grown = reallocarray(list->ids, capacity, sizeof(*grown));

		if (!grown)
			return false;
		list->ids = grown;
		list->capacity = capacity;
	}
	list->ids[list->count++] = id;
	return true;
}

void notice_changed(struct changer *changer, int64_t user_id)
{
	/* Whom there is no room to name is among everybody. */
	if (changer->observed && !list_add(&changer->notices.changed, user_id))
		changer->notices.anybody = true;
}

int notice_ended(struct changer *changer, int64_t session_id, struct err *err)
{
	if (changer->observed && !list_add(&changer->notices.ended, session_id))
		return err_set(err, ERR_MEMORY, "no memory to end a session");
	return 0;
}

int notice_rotated(struct changer *changer, const struct session *session,
		   const struct hash256 *token, struct err *err)
{
	struct notices *notices = &changer->notices;
	struct rotation *rotation;

	if (!changer->observed)
		return 0;
	if (notices->rotation_count == notices->rotation_capacity) {
		size_t capacity = notices->rotation_capacity ? notices->rotation_capacity * 2 : 16;
		struct rotation *grown = reallocarray(notices->rotations, capacity, sizeof(*grown));

		if (!grown)
			return err_set(err, ERR_MEMORY, "no memory to change a session");
		notices->rotations = grown;
		notices->rotation_capacity = capacity;
	}
	rotation = &notices->rotations[notices->rotation_count++];
	*rotation = (struct rotation){ .session = *session, .has_token = token != NULL };
	if (token)
		rotation->token = *token;
	rotation->session.source = rotation->session.name_id = "";
	rotation->session.name_id_format = rotation->session.session_index = "";
	rotation->session.address = rotation->session.agent = "";
	return 0;
}

static const char *put_copy(char **at, const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = *at;

	memcpy(copy, text, size);
	*at += size;
	return copy;
}

static struct noted_resource *keep(const struct resource *resource, bool removed)
{
	const char *const texts[] = { resource->key.application, resource->key.type,
				      resource->key.id,		 resource->parent_type,
				      resource->parent_id,	 resource->organization };
	struct noted_resource *noted;
	size_t size = 0;
	char *at;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		size += strlen(texts[i]) + 1;
	noted = alloc_zeroed(1, sizeof(*noted) + size);
	if (!noted)
		return NULL;
	at = noted->texts;
	noted->note.removed = removed;
	noted->note.resource = *resource;
	noted->note.resource.key =
		(struct resource_key){ put_copy(&at, texts[0]), put_copy(&at, texts[1]),
				       put_copy(&at, texts[2]) };
	noted->note.resource.parent_type = put_copy(&at, texts[3]);
	noted->note.resource.parent_id = put_copy(&at, texts[4]);
	noted->note.resource.organization = put_copy(&at, texts[5]);
	/* Of no use to anybody who decides, and not kept. */
	noted->note.resource.owner_name = noted->note.resource.title = "";
	return noted;
}

void notice_resource(struct changer *changer, const struct resource *resource, bool removed)
{
	struct notices *notices = &changer->notices;
	struct noted_resource *noted;

	if (!changer->observers[OBSERVER_DECISIONS].resources)
		return;
	noted = keep(resource, removed);
	if (!noted) {
		notices->any_resource = true;
		return;
	}
	if (!notices->resources)
		notices->resources_end = &notices->resources;
	*notices->resources_end = noted;
	notices->resources_end = &noted->next;
	notices->resource_count++;
}

/* Those after the first so many go. */
static void resources_cut(struct notices *notices, size_t count)
{
	struct noted_resource **at = &notices->resources, *noted;

	for (size_t i = 0; i < count && *at; i++)
		at = &(*at)->next;
	while ((noted = *at) != NULL) {
		*at = noted->next;
		free(noted);
		notices->resource_count--;
	}
	notices->resources_end = at;
}

static void tell_resources(struct changer *changer)
{
	const struct change_observer *observer = &changer->observers[OBSERVER_DECISIONS];
	struct notices *notices = &changer->notices;

	for (struct noted_resource *noted = notices->resources; noted; noted = noted->next)
		noted->note.next = noted->next ? &noted->next->note : NULL;
	if (observer->resources && (notices->resources || notices->any_resource))
		observer->resources(observer->context,
				    notices->any_resource ? NULL : &notices->resources->note);
	notices->any_resource = false;
}

struct notice_mark notices_mark(const struct changer *changer)
{
	return (struct notice_mark){ changer->notices.changed.count, changer->notices.ended.count,
				     changer->notices.rotation_count,
				     changer->notices.resource_count };
}

void notices_undo(struct changer *changer, struct notice_mark mark)
{
	changer->notices.changed.count = mark.changed;
	changer->notices.ended.count = mark.ended;
	changer->notices.rotation_count = mark.rotations;
	resources_cut(&changer->notices, mark.resources);
	if (mark.changed == 0)
		changer->notices.anybody = false;
}

static void tell(const struct change_observer *observer, const struct notices *notices)
{
	/* First: one that ended after it stays ended. */
	for (size_t i = 0; observer->rotated && i < notices->rotation_count; i++) {
		const struct rotation *at = &notices->rotations[i];

		observer->rotated(observer->context, &at->session,
				  at->has_token ? &at->token : NULL);
	}
	for (size_t i = 0; observer->ended && i < notices->ended.count; i++)
		observer->ended(observer->context, notices->ended.ids[i]);
	for (size_t i = 0; observer->changed && i < notices->changed.count; i++)
		observer->changed(observer->context, notices->changed.ids[i]);
	if (observer->changed && notices->anybody)
		observer->changed(observer->context, 0);
}

void notices_tell(struct changer *changer)
{
	struct notices *notices = &changer->notices;

	if (changer->notices.links) {
		__atomic_add_fetch(&changer->identity_version, 1, __ATOMIC_RELEASE);
		changer->notices.links = false;
	}
	if (changer->tree_changed) {
		__atomic_add_fetch(&changer->tree_changes, 1, __ATOMIC_RELEASE);
		changer->tree_changed = false;
	}
	if (changer->policies_changed)
		policies_forget(changer);
	tell_queued(changer);
	if (!changer->observed)
		return;
	for (size_t i = 0; i < OBSERVERS; i++)
		tell(&changer->observers[i], notices);
	tell_resources(changer);
	notices_undo(changer, (struct notice_mark){ 0 });
}

/* What people must prove is of the setup, too. */
void notices_setup(struct changer *changer)
{
	const struct change_observer *observer = &changer->observers[OBSERVER_SESSIONS];

	if (observer->changed)
		observer->changed(observer->context, 0);
}

void notices_finish(struct changer *changer)
{
	free(changer->notices.changed.ids);
	free(changer->notices.ended.ids);
	free(changer->notices.rotations);
	resources_cut(&changer->notices, 0);
}
