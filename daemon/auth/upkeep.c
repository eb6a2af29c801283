/*
 * What the timer does with sessions: write when they were seen, drop those that ended by time, let go
 * of what was read of people who were not here for a while. In: the table. Out: change/, in bulk.
 * Fails as change/ does; what could not be written is written the next time.
 *
 * All are looked at once a minute, a slice of the buckets at a time, so that requests wait for microseconds.
 * A table that grows or shrinks meanwhile may have some looked at twice or only the next time.
 */
#include <rolebridge/auth/sessions.h>

#include <malloc.h>
#include <stdlib.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/util.h>

#include "principal.h"
#include "table.h"

#define UPKEEP_PAUSE_S 60
#define SLICE_BUCKETS 1024
#define BATCH 4096
#define UNUSED_AFTER_S 600
#define FREED_MANY 4096 /* entries that are worth giving memory back for */
/* The store hears of a session being seen one pause late, and once more when a write fails. */
#define PRUNE_SLACK_S (3 * UPKEEP_PAUSE_S)

struct batch {
	struct session seen[BATCH];
	size_t seen_count;
	int64_t over[BATCH];
	size_t over_count;
};

static void look_at(struct sessions *sessions, const struct session_entry *session, int64_t now_s,
		    struct batch *batch)
{
	int64_t seen_s = atomic_load_explicit(&session->seen_s, memory_order_relaxed);

	if (table_session_is_over(sessions, session, now_s)) {
		/* One from the future is refused, but kept: the clock may be set right. */
		if (now_s >= session->created_s && batch->over_count < BATCH)
			batch->over[batch->over_count++] = session->id;
	} else if (seen_s != session->written_s && batch->seen_count < BATCH) {
		batch->seen[batch->seen_count++] =
			(struct session){ .id = session->id,
					  .uuid = session->uuid,
					  .user_id = session->person->id,
					  .source = session->source,
					  .name_id = "",
					  .name_id_format = "",
					  .session_index = "",
					  .address = "",
					  .agent = "",
					  .created_s = session->created_s,
					  .seen_s = seen_s,
					  .until_s = session->until_s,
					  .second_factor_s = session->second_factor_s };
	}
}

/* Returns the bucket to go on with; the number of buckets or more at the end. */
static size_t gather(struct sessions *sessions, size_t from, int64_t now_s, struct batch *batch)
{
	size_t size, end;

	pthread_rwlock_rdlock(&sessions->lock);
	size = sessions->entries.size;
	end = size > from && size - from > SLICE_BUCKETS ? from + SLICE_BUCKETS : size;
	for (size_t i = from; i < end; i++)
		for (struct map_link *at = sessions->entries.buckets[i]; at; at = at->next)
			look_at(sessions, MAP_THING(at, struct session_entry, by_id), now_s, batch);
	pthread_rwlock_unlock(&sessions->lock);
	return end;
}

static void drop_over(struct sessions *sessions, int64_t now_s, struct batch *batch)
{
	pthread_rwlock_wrlock(&sessions->lock);
	for (size_t i = 0; i < batch->over_count; i++) {
		struct session_entry *session = table_session(sessions, batch->over[i]);

		/* It may have been used again since. */
		if (session && table_session_is_over(sessions, session, now_s))
			table_session_drop(sessions, session);
	}
	pthread_rwlock_unlock(&sessions->lock);
	batch->over_count = 0;
}

static int write_seen(struct sessions *sessions, struct batch *batch, struct err *err)
{
	size_t count = batch->seen_count;

	batch->seen_count = 0;
	if (count == 0)
		return 0;
	if (change_sessions_seen(sessions->changer, batch->seen, count, err) < 0)
		return -1;
	pthread_rwlock_wrlock(&sessions->lock);
	for (size_t i = 0; i < count; i++) {
		struct session_entry *session = table_session(sessions, batch->seen[i].id);

		if (session)
			session->written_s = batch->seen[i].seen_s;
	}
	pthread_rwlock_unlock(&sessions->lock);
	return 0;
}

static int upkeep_sessions(struct sessions *sessions, int64_t now_s, struct batch *batch,
			   struct err *err)
{
	size_t bucket = 0, size;

	do {
		bucket = gather(sessions, bucket, now_s, batch);
		if (batch->over_count)
			drop_over(sessions, now_s, batch);
		pthread_rwlock_rdlock(&sessions->lock);
		size = sessions->entries.size;
		pthread_rwlock_unlock(&sessions->lock);
		/* A slice holds about as many sessions as buckets, at most twice that with luck against us. */
		if ((batch->seen_count >= BATCH / 2 || bucket >= size) &&
		    write_seen(sessions, batch, err) < 0)
			return -1;
	} while (bucket < size);
	return 0;
}

static void forget_unused(struct person_entry *person, int64_t now_s)
{
	int64_t used_s = atomic_load_explicit(&person->used_s, memory_order_relaxed);

	if (person->state != PERSON_KNOWN || now_s - used_s <= UNUSED_AFTER_S)
		return;
	principal_release(person->principal);
	person->principal = NULL;
	person->state = PERSON_STALE;
}

/* Removing may shrink the map: what is to go is gathered first. Callers hold the lock alone. */
static void look_at_persons(struct sessions *sessions, size_t from, size_t end, int64_t now_s)
{
	struct person_entry *idle[256];
	size_t count = 0;

	for (size_t i = from; i < end; i++)
		for (struct map_link *at = sessions->persons.buckets[i]; at; at = at->next) {
			struct person_entry *person = MAP_THING(at, struct person_entry, by_id);

			forget_unused(person, now_s);
			if (person->sessions == 0 && count < ARRAY_LEN(idle))
				idle[count++] = person;
		}
	while (count)
		table_person_drop_unused(sessions, idle[--count]);
}

/* Principals of those who were not here for a while, and persons without sessions. */
static void upkeep_persons(struct sessions *sessions, int64_t now_s)
{
	size_t size, end = 0;

	do {
		size_t from = end;

		pthread_rwlock_wrlock(&sessions->lock);
		size = sessions->persons.size;
		end = size > from && size - from > SLICE_BUCKETS ? from + SLICE_BUCKETS : size;
		look_at_persons(sessions, from, end, now_s);
		pthread_rwlock_unlock(&sessions->lock);
	} while (end < size);
}

/* free() keeps what lies between things in use; what was many sessions goes back to the system. */
static void give_back(struct sessions *sessions)
{
	bool many;

	pthread_rwlock_wrlock(&sessions->lock);
	many = sessions->freed >= FREED_MANY;
	if (many)
		sessions->freed = 0;
	pthread_rwlock_unlock(&sessions->lock);
	if (!many)
		return;
	/* With its cache, which holds pages of all those people; it is opened anew when one is read. */
	pthread_mutex_lock(&sessions->reading);
	store_close(sessions->store);
	sessions->store = NULL;
	pthread_mutex_unlock(&sessions->reading);
	malloc_trim(0);
}

static int upkeep(struct sessions *sessions, int64_t now_s, struct err *err)
{
	struct batch *batch = alloc_zeroed(1, sizeof(*batch));
	int64_t idle_s = atomic_load_explicit(&sessions->idle_s, memory_order_relaxed);
	int status;

	if (!batch)
		return err_set(err, ERR_MEMORY, "out of memory");
	status = upkeep_sessions(sessions, now_s, batch, err);
	free(batch);
	upkeep_persons(sessions, now_s);
	give_back(sessions);
	/* Only after all was written: the store may take for idle what is in use. */
	if (status == 0)
		status = change_sessions_prune(sessions->changer, now_s,
					       now_s - idle_s - PRUNE_SLACK_S, err);
	return status;
}

int sessions_tick(struct sessions *sessions, int64_t now_s, struct err *err)
{
	int status = 0;

	pthread_mutex_lock(&sessions->upkeep);
	if (now_s - sessions->upkeep_s >= UPKEEP_PAUSE_S || now_s < sessions->upkeep_s) {
		sessions->upkeep_s = now_s;
		status = upkeep(sessions, now_s, err);
	}
	pthread_mutex_unlock(&sessions->upkeep);
	return status;
}
