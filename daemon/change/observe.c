/*
 * Who is told of changes: sessions in memory follow what is committed.
 *
 * Enters: users and sessions that a transaction of the writer changes. Leaves, after its commit: calls
 * of the observer, before whoever asked gets the answer. Disabling alone is told before the commit:
 * it holds in memory whatever becomes of the commit. All in the writer thread.
 */
#include "internal.h"

#include <stdlib.h>

#include <rolebridge/base/util.h>
#include <rolebridge/change/login.h>

void changer_observe(struct changer *changer, const struct change_observer *observer)
{
	changer->observer = *observer;
	changer->observed = true;
}

void notice_disabling(struct changer *changer, int64_t user_id)
{
	if (changer->observed && changer->observer.disabling)
		changer->observer.disabling(changer->observer.context, user_id);
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

struct notice_mark notices_mark(const struct changer *changer)
{
	return (struct notice_mark){ changer->notices.changed.count, changer->notices.ended.count };
}

void notices_undo(struct changer *changer, struct notice_mark mark)
{
	changer->notices.changed.count = mark.changed;
	changer->notices.ended.count = mark.ended;
	if (mark.changed == 0)
		changer->notices.anybody = false;
}

void notices_tell(struct changer *changer)
{
	const struct change_observer *observer = &changer->observer;
	struct notices *notices = &changer->notices;

	if (changer->notices.links) {
		__atomic_add_fetch(&changer->identity_version, 1, __ATOMIC_RELEASE);
		changer->notices.links = false;
	}
	if (!changer->observed)
		return;
	for (size_t i = 0; observer->ended && i < notices->ended.count; i++)
		observer->ended(observer->context, notices->ended.ids[i]);
	for (size_t i = 0; observer->changed && i < notices->changed.count; i++)
		observer->changed(observer->context, notices->changed.ids[i]);
	if (observer->changed && notices->anybody)
		observer->changed(observer->context, 0);
	notices_undo(changer, (struct notice_mark){ 0, 0 });
}

void notices_finish(struct changer *changer)
{
	free(changer->notices.changed.ids);
	free(changer->notices.ended.ids);
}
