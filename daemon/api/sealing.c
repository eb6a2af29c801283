/*
 * The key that seals factors' secrets. Enters: who asks. Leaves: which keys there are by their names, and how many secrets
 * are sealed under each, never a key; a new key in front of the others; a run that seals everything under it.
 */
#include <stdlib.h>

#include <rolebridge/auth/seal.h>
#include <rolebridge/base/alloc.h>
#include <rolebridge/store/factor.h>

#include "access.h"
#include "site.h"

static struct seal *seal_of(const struct api *api)
{
	return api->settings.web->settings.seal;
}

static int64_t rows_under(const struct sealed_count *counts, size_t count, int64_t key_id)
{
	for (size_t i = 0; i < count; i++)
		if (counts[i].key_id == key_id)
			return counts[i].rows;
	return 0;
}

static void show_key(struct json *json, int64_t id, bool present, bool seals, int64_t rows)
{
	char name[SEAL_KEY_NAME];

	seal_key_name(id, name);
	json_object(json);
	json_string(json, "id", name);
	json_bool(json, "present", present);
	json_bool(json, "seals", seals);
	json_int(json, "secrets", rows);
	json_end(json);
}

/* Those that are there, then those that something is sealed under and that are not. */
static int show_keys(struct seal *seal, const struct reading_view *view, struct json *json,
		     struct err *err)
{
	struct seal_key keys[SEAL_KEYS_MAX];
	size_t key_count = seal_keys(seal, keys), count;
	struct sealed_count *counts;

	if (store_factor_keys(view->store, view->arena, &counts, &count, err) < 0)
		return -1;
	json_array_key(json, "keys");
	for (size_t i = 0; i < key_count; i++)
		show_key(json, keys[i].id, true, keys[i].seals,
			 rows_under(counts, count, keys[i].id));
	for (size_t i = 0; i < count; i++) {
		bool present = false;

		for (size_t j = 0; j < key_count; j++)
			present |= keys[j].id == counts[i].key_id;
		if (!present)
			show_key(json, counts[i].key_id, false, false, counts[i].rows);
	}
	json_end(json);
	return 0;
}

static int show_status(struct http_request *request, struct http_response *response,
		       struct err *err)
{
	AUTO(reading_view) struct reading_view view = { 0 };
	struct json json = api_json(response);
	struct seal *seal = seal_of(request->context);

	if (view_open(request, &view, err) < 0)
		return -1;
	json_object(&json);
	json_bool(&json, "own", seal_is_own(seal));
	if (show_keys(seal, &view, &json, err) < 0)
		return -1;
	json_end(&json);
	return 0;
}

int sealing_key_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { NULL };

	return http_query_allow(request, names, err) < 0 ? -1 : show_status(request, response, err);
}

int sealing_key_rotate_post(struct http_request *request, struct http_response *response,
			    struct err *err)
{
	const struct api *api = request->context;
	const struct actor actor = api_actor(request);
	int64_t key_id;

	if (seal_rotate(seal_of(api), api->settings.changer, &actor, &key_id, err) < 0)
		return -1;
	return show_status(request, response, err);
}

int sealing_key_forget_post(struct http_request *request, struct http_response *response,
			    struct err *err)
{
	const struct api *api = request->context;
	const struct actor actor = api_actor(request);
	size_t forgotten;

	if (seal_forget_unused(seal_of(api), api->settings.changer, &actor, &forgotten, err) < 0)
		return -1;
	return show_status(request, response, err);
}

/* ---------------------------------------------------------------------- reseal -- */

struct resealing {
	struct seal *seal;
	struct changer *changer;
	struct arena *arena;
	struct actor actor;
};

static void resealing_finish(void *context)
{
	struct resealing *resealing = context;

	arena_destroy(resealing->arena);
	free(resealing);
}

static void show_resealed(void *context, size_t resealed)
{
	run_progress(context, "resealing", resealed, 0);
}

static int reseal(struct run *run, void *context, struct err *err)
{
	const struct reseal_progress progress = { .resealed = show_resealed, .context = run };
	struct resealing *resealing = context;
	struct strbuf result = STRBUF(4096);
	struct json json = JSON(&result);
	struct reseal_outcome outcome;
	char name[SEAL_KEY_NAME];

	run_progress(run, "resealing", 0, 0);
	if (seal_reseal(resealing->seal, resealing->changer, &resealing->actor, &progress, &outcome,
			err) < 0)
		return -1;
	seal_key_name(outcome.key_id, name);
	json_object(&json);
	json_string(&json, "key", name);
	json_int(&json, "resealed", (int64_t)outcome.resealed);
	json_int(&json, "unreadable", (int64_t)outcome.unreadable);
	json_end(&json);
	return run_set_result(run, &result, err);
}

static struct resealing *resealing_make(const struct api *api, const struct actor *actor,
					struct err *err)
{
	struct resealing *resealing = alloc_zeroed(1, sizeof(*resealing));

	if (!resealing) {
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	resealing->seal = seal_of(api);
	resealing->changer = api->settings.changer;
	resealing->arena = arena_create(1u << 20);
	if (resealing->arena && actor_keep(resealing->arena, actor, &resealing->actor, err) == 0)
		return resealing;
	if (!resealing->arena)
		err_set(err, ERR_MEMORY, "out of memory");
	resealing_finish(resealing);
	return NULL;
}

int sealing_key_reseal_post(struct http_request *request, struct http_response *response,
			    struct err *err)
{
	const struct api *api = request->context;
	const struct actor actor = api_actor(request);
	struct resealing *resealing = resealing_make(api, &actor, err);
	char id[UUID_TEXT_SIZE];

	if (!resealing)
		return -1;
	if (runs_start(api->settings.runs, "reseal", "", actor.name, reseal, resealing,
		       resealing_finish, id, err) < 0)
		return -1;
	return answer_run(response, id, err);
}
