/*
 * Backups of the store, and what waits since a restore. Enters: root, or the daemon's own user, on the control socket.
 * Leaves: a run that makes a copy and examines it; the copy, once, piece by piece; what waits, and letting go of it. Fails
 * as the store does, and on a full disk.
 *
 * A copy has no name: it is gone when it was fetched, when the next one is made, when the daemon ends, and is given to nobody
 * after ten minutes.
 */
#include "backups.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/file.h>
#include <rolebridge/change/restore.h>

#include "access.h"
#include "reader.h"

#define KEPT_US (600 * (int64_t)1000000)
#define PIECE ((size_t)1024 * 1024)

static const char *const no_query[] = { NULL };

struct backups {
	pthread_mutex_t lock;
	int fd; /* -1: none waits to be fetched */
	char id[UUID_TEXT_SIZE];
	int64_t until_us;
};

struct backups *backups_create(void)
{
	struct backups *backups = alloc_zeroed(1, sizeof(*backups));

	if (!backups)
		return NULL;
	pthread_mutex_init(&backups->lock, NULL);
	backups->fd = -1;
	return backups;
}

/* With the lock. */
static void drop(struct backups *backups)
{
	if (backups->fd >= 0)
		close(backups->fd);
	backups->fd = -1;
}

void backups_destroy(struct backups *backups)
{
	if (!backups)
		return;
	drop(backups);
	pthread_mutex_destroy(&backups->lock);
	free(backups);
}

static void keep(struct backups *backups, int fd, const char *id)
{
	pthread_mutex_lock(&backups->lock);
	drop(backups);
	backups->fd = fd;
	memcpy(backups->id, id, sizeof(backups->id));
	backups->until_us = clock_monotonic_us() + KEPT_US;
	pthread_mutex_unlock(&backups->lock);
}

/* The descriptor is the caller's then; -1: there is none of that name. */
static int take(struct backups *backups, const char *id)
{
	int fd = -1;

	pthread_mutex_lock(&backups->lock);
	if (backups->fd >= 0 && clock_monotonic_us() > backups->until_us)
		drop(backups);
	if (backups->fd >= 0 && strcmp(backups->id, id) == 0) {
		fd = backups->fd;
		backups->fd = -1;
	}
	pthread_mutex_unlock(&backups->lock);
	return fd;
}

/* All that anybody has in here, hashes of passwords too: for whoever could read the file anyway. */
static int require_owner(const struct http_request *request, struct err *err)
{
	const struct caller *caller = api_caller(request);

	if (caller && !caller->token && !caller->actor.limited && request->peer.known &&
	    (request->peer.uid == 0 || request->peer.uid == geteuid()))
		return 0;
	return err_refuse(err, ERR_DENIED, "not-allowed",
			  "only root makes backups, on the control socket");
}

/* --- making one --- */

struct work {
	struct api *api;
	struct arena *arena;
	struct actor actor;
};

static void work_finish(void *context)
{
	struct work *work = context;

	arena_destroy(work->arena);
	free(work);
}

static struct work *work_make(struct api *api, const struct actor *actor, struct err *err)
{
	struct work *work = alloc_zeroed(1, sizeof(*work));
	struct arena *arena = arena_create(1u << 20);

	if (work && arena && actor_keep(arena, actor, &work->actor, err) == 0) {
		work->api = api;
		work->arena = arena;
		return work;
	}
	arena_destroy(arena);
	free(work);
	err_set(err, ERR_MEMORY, "out of memory");
	return NULL;
}

static bool go_on(void *context, const char *phase, uint64_t done, uint64_t total)
{
	struct run *run = context;

	run_progress(run, phase, done, total);
	return !run_cancelled(run);
}

static int tell(struct run *run, const struct backup_result *backup, struct err *err)
{
	struct strbuf text = STRBUF(4096);
	struct json json = JSON(&text);
	struct hash256 digest;
	char hex[65], head[96];

	/* Of what the other end will get, so that it can tell whether it got it. */
	if (file_digest(backup->fd, &digest, err) < 0)
		return -1;
	json_object(&json);
	json_time(&json, "made", backup->about.made_s);
	json_int(&json, "size", backup->about.size);
	hash256_hex(&digest, hex);
	json_string(&json, "digest", hex);
	json_int(&json, "schema", backup->about.schema);
	json_int(&json, "users", backup->about.users);
	json_int(&json, "audit_rows", backup->about.audit.rows);
	hash256_hex(&backup->about.audit.head, hex);
	snprintf(head, sizeof(head), "%lld:%s", (long long)backup->about.audit.last_seq, hex);
	json_string(&json, "head", head);
	json_end(&json);
	return run_set_result(run, &text, err);
}

static int make_backup(struct run *run, void *context, struct err *err)
{
	struct work *work = context;
	const struct store_progress progress = { go_on, run };
	struct actor actor = work->actor;
	struct backup_result backup;

	actor.request = run_id(run);
	if (change_backup(work->api->settings.changer, &actor, &progress, &backup, err) < 0)
		return -1;
	if (tell(run, &backup, err) < 0) {
		close(backup.fd);
		return -1;
	}
	keep(work->api->backups, backup.fd, run_id(run));
	return 0;
}

int backups_post(struct http_request *request, struct http_response *response, struct err *err)
{
	struct api *api = request->context;
	const struct actor actor = api_actor(request);
	char id[UUID_TEXT_SIZE];
	struct work *work;

	if (require_owner(request, err) < 0)
		return -1;
	work = work_make(api, &actor, err);
	if (!work)
		return -1;
	if (runs_start(api->settings.runs, "backup", "", actor.name, make_backup, work, work_finish,
		       id, err) < 0)
		return -1;
	return answer_run(response, id, err);
}

/* --- fetching it --- */

static int next_piece(void *context, struct strbuf *out, struct err *err)
{
	int fd = (int)(intptr_t)context;
	char *piece = malloc(PIECE);
	ssize_t size;

	if (!piece)
		return err_set(err, ERR_MEMORY, "out of memory");
	do
		size = read(fd, piece, PIECE);
	while (size < 0 && errno == EINTR);
	if (size > 0)
		strbuf_append(out, piece, (size_t)size);
	free(piece);
	return size < 0 ? err_set_errno(err, ERR_IO, errno, "cannot read the backup") : 0;
}

static void close_backup(void *context)
{
	close((int)(intptr_t)context);
}

int backup_get(struct http_request *request, struct http_response *response, struct err *err)
{
	const struct api *api = request->context;
	const char *id = http_parameter(request, "id");
	int fd;

	if (http_query_allow(request, no_query, err) < 0 || require_owner(request, err) < 0)
		return -1;
	fd = take(api->backups, id);
	if (fd < 0)
		return err_refuse(err, ERR_NOT_FOUND, "not-found",
				  "no backup '%s' waits to be fetched", id);
	response->content_type = "application/octet-stream";
	response->stream = (struct http_stream){ next_piece, close_backup, (void *)(intptr_t)fd };
	return 0;
}

/* --- what waits since a restore --- */

static void show_hold(struct json *json, const char *name, const struct restoration *restoration,
		      int64_t open_s)
{
	json_object_key(json, name);
	json_bool(json, "held", restoration->at_s != 0 && open_s == 0);
	json_time(json, "released", open_s);
	json_end(json);
}

static int show_restored(struct http_request *request, struct http_response *response,
			 struct err *err)
{
	AUTO(reading_view) struct reading_view view = { 0 };
	struct json json = api_json(response);
	struct restore_state state;

	if (view_open(request, &view, err) < 0 ||
	    change_restore_state(view.store, view.setup, request->arena, &state, err) < 0)
		return -1;
	json_object(&json);
	json_time(&json, "at", state.restoration.at_s);
	json_time(&json, "made", state.restoration.made_s);
	show_hold(&json, "sign_in", &state.restoration, state.restoration.sign_in_open_s);
	show_hold(&json, "delivery", &state.restoration, state.restoration.delivery_open_s);
	json_array_key(&json, "waits_for");
	for (size_t i = 0; i < state.waits_count; i++)
		json_string(&json, NULL, state.waits_for[i]);
	json_end(&json);
	json_end(&json);
	return 0;
}

int restored_get(struct http_request *request, struct http_response *response, struct err *err)
{
	return http_query_allow(request, no_query, err) < 0 ? -1
							    : show_restored(request, response, err);
}

struct release_body {
	bool sign_in, delivery;
};

static const struct field release_fields[] = {
	{ "sign_in", FIELD_BOOL, 0, offsetof(struct release_body, sign_in), 0, NULL, 0 },
	{ "delivery", FIELD_BOOL, 0, offsetof(struct release_body, delivery), 0, NULL, 0 },
};

int restored_release_post(struct http_request *request, struct http_response *response,
			  struct err *err)
{
	const struct api *api = request->context;
	const struct actor actor = api_actor(request);
	struct release_body body = { 0 };
	unsigned holds = 0;

	if (request_read(request, release_fields, ARRAY_LEN(release_fields), &body, err) < 0)
		return -1;
	holds |= body.sign_in ? RESTORE_HOLDS_SIGN_IN : 0;
	holds |= body.delivery ? RESTORE_HOLDS_DELIVERY : 0;
	if (change_restore_release(api->settings.changer, &actor, holds, err) < 0)
		return -1;
	return show_restored(request, response, err);
}
