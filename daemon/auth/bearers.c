/*
 * Tokens of the API. Enter: texts from clients, rows from change/. Leave: views that hold a counted entry
 * and a counted principal. May fail: the store, when a person must be read anew, and memory.
 *
 * An entry never changes but for when it was used. One that is revoked leaves the table before the commit of
 * that, and is freed with the last view. Buckets are chosen by the hash, which is random.
 */
#include <rolebridge/auth/bearers.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/base64.h>
#include <rolebridge/base/util.h>
#include <rolebridge/change/restore.h>
#include <rolebridge/change/token.h>

#include "map.h"

#define LIST_PAGE 1000
#define ARENA_BYTES_MAX ((size_t)64 << 20)
#define UPKEEP_PAUSE_S 300
/* As long as an invite that one sent may be good (settings.c): of one that was revoked it is void. */
#define ENDED_KEPT_S (366 * (int64_t)86400)
#define USES_MAX 4096

struct bearer_entry {
	struct map_link by_hash;
	atomic_uint references;
	struct hash256 hash;
	int64_t id, user_id, expires_s;
	struct uuid uuid;
	const char *name, *service, *organization, *application;
	const char **scope;
	size_t scope_count;
	_Atomic int64_t used_s;
	int64_t written_s; /* used_s in the store; of the timer */
			   /* Pointers of the scope, then the texts, follow. */
};

struct bearers {
	struct changer *changer;
	struct sessions *sessions;
	pthread_rwlock_t lock;
	struct map entries; /* by lock */
	pthread_mutex_t upkeep;
	int64_t upkeep_s;
};

/* ------------------------------------------------------------------- texts -- */

void bearer_make(char ret_text[static BEARER_TEXT], struct hash256 *ret_hash)
{
	unsigned char bits[SESSION_TOKEN_BYTES];
	size_t prefix = sizeof(BEARER_PREFIX) - 1;

	hash_prepare();
	randombytes_buf(bits, sizeof(bits));
	memcpy(ret_text, BEARER_PREFIX, prefix);
	sodium_bin2base64(ret_text + prefix, BEARER_TEXT - prefix, bits, sizeof(bits),
			  sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	*ret_hash = digest256(ret_text, BEARER_TEXT - 1);
	sodium_memzero(bits, sizeof(bits));
}

/* false: not shaped like a token of ours. */
static bool hash_text(const char *text, struct hash256 *ret_hash)
{
	size_t prefix = sizeof(BEARER_PREFIX) - 1;

	if (strnlen(text, BEARER_TEXT) != BEARER_TEXT - 1 ||
	    memcmp(text, BEARER_PREFIX, prefix) != 0 ||
	    !base64_letters(BASE64_URL, text + prefix, BEARER_TEXT - 1 - prefix))
		return false;
	*ret_hash = digest256(text, BEARER_TEXT - 1);
	return true;
}

/* ----------------------------------------------------------------- entries -- */

static const char *put(char **at, const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = *at;

	memcpy(copy, text, size);
	*at += size;
	return copy;
}

static struct bearer_entry *entry_create(const struct token_row *row)
{
	const char *const texts[] = { row->name, row->service, row->organization,
				      row->application };
	size_t size = sizeof(struct bearer_entry) + row->scope_count * sizeof(const char *);
	struct bearer_entry *entry;
	char *at;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		size += strlen(texts[i]) + 1;
	for (size_t i = 0; i < row->scope_count; i++)
		size += strlen(row->scope[i]) + 1;
	entry = alloc_zeroed(1, size);
	if (!entry)
		return NULL;
	atomic_init(&entry->references, 1);
	entry->hash = row->hash;
	entry->id = row->id;
	entry->uuid = row->uuid;
	entry->user_id = row->user_id;
	entry->expires_s = row->expires_s;
	entry->written_s = row->used_s;
	atomic_init(&entry->used_s, row->used_s);
	at = (char *)(entry + 1) + row->scope_count * sizeof(const char *);
	entry->name = put(&at, row->name);
	entry->service = put(&at, row->service);
	entry->organization = put(&at, row->organization);
	entry->application = put(&at, row->application);
	entry->scope = row->scope ? (const char **)(entry + 1) : NULL;
	entry->scope_count = row->scope_count;
	for (size_t i = 0; i < row->scope_count; i++)
		entry->scope[i] = put(&at, row->scope[i]);
	return entry;
}

static void entry_release(struct bearer_entry *entry)
{
	if (atomic_fetch_sub_explicit(&entry->references, 1, memory_order_acq_rel) == 1)
		free(entry);
}

static uint64_t bucket_of(const struct hash256 *hash)
{
	uint64_t first;

	memcpy(&first, hash->byte, sizeof(first));
	return first;
}

/* Callers hold the lock. NULL: absent. */
static struct bearer_entry *find_entry(const struct bearers *bearers, const struct hash256 *hash)
{
	struct map_link *at = map_first(&bearers->entries, bucket_of(hash));

	for (; at; at = map_next(at)) {
		struct bearer_entry *entry = MAP_THING(at, struct bearer_entry, by_hash);

		if (memcmp(entry->hash.byte, hash->byte, sizeof(hash->byte)) == 0)
			return entry;
	}
	return NULL;
}

static int add_entry(struct bearers *bearers, const struct token_row *row)
{
	struct bearer_entry *entry = entry_create(row);
	int status = -1;

	if (!entry)
		return -1;
	pthread_rwlock_wrlock(&bearers->lock);
	status = map_add(&bearers->entries, &entry->by_hash, bucket_of(&entry->hash));
	pthread_rwlock_unlock(&bearers->lock);
	if (status < 0)
		entry_release(entry);
	return status;
}

/*
 * Callers hold the lock alone. Rows are numbered anew when a commit fails, so that there may be one of that number
 * which nobody knows the text of: each of them goes. A map that shrinks puts its things elsewhere: from the front again.
 */
static void drop_id(struct bearers *bearers, int64_t id)
{
	for (size_t i = 0; i < bearers->entries.size;) {
		struct map_link *at = bearers->entries.buckets[i];

		while (at && MAP_THING(at, struct bearer_entry, by_hash)->id != id)
			at = at->next;
		if (!at) {
			i++;
			continue;
		}
		map_remove(&bearers->entries, at);
		entry_release(MAP_THING(at, struct bearer_entry, by_hash));
		i = 0;
	}
}

/* ----------------------------------------------- what change/ tells, the start -- */

static void on_token(void *context, const struct token_row *row)
{
	/* Without memory it is refused until the next start; whoever has it sees that at once. */
	add_entry(context, row);
}

static void on_token_ended(void *context, int64_t token_id)
{
	struct bearers *bearers = context;

	pthread_rwlock_wrlock(&bearers->lock);
	drop_id(bearers, token_id);
	pthread_rwlock_unlock(&bearers->lock);
}

static int load_page(struct bearers *bearers, struct store *store, struct token_query *query,
		     size_t *ret_count, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(ARENA_BYTES_MAX);
	struct token_row *rows;
	size_t count;

	if (!arena)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (store_token_list(store, query, arena, &rows, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (add_entry(bearers, &rows[i]) < 0)
			return err_set(err, ERR_MEMORY, "out of memory");
		query->after_id = rows[i].id;
	}
	*ret_count = count;
	return 0;
}

static int load_all(struct bearers *bearers, struct err *err)
{
	AUTO(store)
	struct store *store = store_open(changer_store_path(bearers->changer), STORE_READ, err);
	struct token_query query = { .limit = LIST_PAGE };
	size_t count = LIST_PAGE;

	if (!store)
		return -1;
	while (count == LIST_PAGE)
		if (load_page(bearers, store, &query, &count, err) < 0)
			return -1;
	return 0;
}

struct bearers *bearers_create(struct changer *changer, struct sessions *sessions, struct err *err)
{
	struct bearers *bearers = alloc_zeroed(1, sizeof(*bearers));
	struct change_observer observer = { .context = bearers,
					    .token = on_token,
					    .token_ended = on_token_ended };

	if (!bearers) {
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	pthread_rwlock_init(&bearers->lock, NULL);
	pthread_mutex_init(&bearers->upkeep, NULL);
	bearers->changer = changer;
	bearers->sessions = sessions;
	hash_prepare();
	if (load_all(bearers, err) < 0) {
		err_wrap(err, "cannot load tokens");
		bearers_destroy(bearers);
		return NULL;
	}
	changer_observe_as(changer, OBSERVER_TOKENS, &observer);
	return bearers;
}

void bearers_destroy(struct bearers *bearers)
{
	static const struct change_observer nobody;

	if (!bearers)
		return;
	changer_observe_as(bearers->changer, OBSERVER_TOKENS, &nobody);
	for (size_t i = 0; i < bearers->entries.size; i++) {
		struct map_link *at = bearers->entries.buckets[i];

		while (at) {
			struct map_link *next = at->next;

			entry_release(MAP_THING(at, struct bearer_entry, by_hash));
			at = next;
		}
	}
	map_finish(&bearers->entries);
	pthread_rwlock_destroy(&bearers->lock);
	pthread_mutex_destroy(&bearers->upkeep);
	free(bearers);
}

/* ----------------------------------------------------------------- finding -- */

static struct bearer_entry *take_entry(struct bearers *bearers, const struct hash256 *hash,
				       int64_t now_s)
{
	struct bearer_entry *entry;

	pthread_rwlock_rdlock(&bearers->lock);
	entry = find_entry(bearers, hash);
	if (entry && now_s >= entry->expires_s)
		entry = NULL;
	if (entry)
		atomic_fetch_add_explicit(&entry->references, 1, memory_order_relaxed);
	pthread_rwlock_unlock(&bearers->lock);
	return entry;
}

int bearers_find(struct bearers *bearers, const char *text, int64_t now_s,
		 struct bearer_view *ret_view, struct err *err)
{
	const struct principal *principal = NULL;
	struct bearer_entry *entry;
	struct hash256 hash;

	entry = hash_text(text, &hash) ? take_entry(bearers, &hash, now_s) : NULL;
	if (!entry)
		return err_set(err, ERR_NOT_FOUND, "no such token");
	/* A person's, as if they signed in: they may have left since the backup was made. */
	if (entry->user_id != 0 &&
	    (change_restore_check_sign_in(bearers->changer, err) < 0 ||
	     sessions_principal(bearers->sessions, entry->user_id, now_s, &principal, err) < 0)) {
		entry_release(entry);
		return -1;
	}
	/* Written only when it changes, so that cores do not pull the line from each other. */
	if (atomic_load_explicit(&entry->used_s, memory_order_relaxed) != now_s)
		atomic_store_explicit(&entry->used_s, now_s, memory_order_relaxed);
	*ret_view = (struct bearer_view){ .entry = entry,
					  .principal = principal,
					  .token_id = entry->id,
					  .expires_s = entry->expires_s,
					  .uuid = entry->uuid,
					  .name = entry->name,
					  .service = entry->service,
					  .organization = entry->organization,
					  .application = entry->application,
					  .scope = entry->scope,
					  .scope_count = entry->scope_count };
	return 0;
}

void bearer_view_release(struct bearer_view *view)
{
	principal_release(view->principal);
	if (view->entry)
		entry_release(view->entry);
	*view = (struct bearer_view){ 0 };
}

size_t bearers_count(struct bearers *bearers)
{
	size_t count;

	pthread_rwlock_rdlock(&bearers->lock);
	count = bearers->entries.count;
	pthread_rwlock_unlock(&bearers->lock);
	return count;
}

/* ------------------------------------------------------------------ upkeep -- */

struct batch {
	struct token_use uses[USES_MAX];
	size_t count;
};

/*
 * Callers hold the lock alone. When this cannot be written, the next use is. A map that shrinks puts its things elsewhere:
 * what is passed over so is met the next time.
 */
static void look_at(struct bearers *bearers, struct bearer_entry *entry, int64_t now_s,
		    struct batch *batch)
{
	int64_t used_s = atomic_load_explicit(&entry->used_s, memory_order_relaxed);

	if (used_s != entry->written_s && batch->count < USES_MAX) {
		batch->uses[batch->count++] = (struct token_use){ entry->id, used_s };
		entry->written_s = used_s;
	} else if (now_s >= entry->expires_s) {
		map_remove(&bearers->entries, &entry->by_hash);
		entry_release(entry);
	}
}

static void look_at_all(struct bearers *bearers, int64_t now_s, struct batch *batch)
{
	pthread_rwlock_wrlock(&bearers->lock);
	for (size_t i = 0; i < bearers->entries.size; i++)
		for (struct map_link *at = bearers->entries.buckets[i], *next; at; at = next) {
			next = at->next;
			look_at(bearers, MAP_THING(at, struct bearer_entry, by_hash), now_s, batch);
		}
	pthread_rwlock_unlock(&bearers->lock);
}

static int upkeep(struct bearers *bearers, int64_t now_s, struct err *err)
{
	struct batch *batch = alloc_zeroed(1, sizeof(*batch));
	int status = 0;

	if (!batch)
		return err_set(err, ERR_MEMORY, "out of memory");
	look_at_all(bearers, now_s, batch);
	if (batch->count)
		status = change_tokens_used(bearers->changer, batch->uses, batch->count, err);
	free(batch);
	return status < 0 ? -1 : change_tokens_prune(bearers->changer, now_s - ENDED_KEPT_S, err);
}

int bearers_tick(struct bearers *bearers, int64_t now_s, struct err *err)
{
	int status = 0;

	pthread_mutex_lock(&bearers->upkeep);
	if (now_s - bearers->upkeep_s >= UPKEEP_PAUSE_S || now_s < bearers->upkeep_s) {
		bearers->upkeep_s = now_s;
		status = upkeep(bearers, now_s, err);
	}
	pthread_mutex_unlock(&bearers->upkeep);
	return status;
}
