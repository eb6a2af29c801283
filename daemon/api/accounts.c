/*
 * Who belongs to which account of an application. Enters: a user, an account by application and id. Leaves: accounts of a
 * user; people of an account with what they have, and how many of each persona, page by page. Changes go
 * through change/, which asks policy and audits.
 */
#include <stdlib.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/hash.h>
#include <rolebridge/change/account.h>
#include <rolebridge/store/account.h>

#include "internal.h"
#include "reader.h"

#define PEOPLE_MAX 1000
/* People looked through for one answer about personas. */
#define COUNTED_MAX 10000
#define PERSONAS_MAX 1000000

static void show_account(struct json *json, const struct account_row *account)
{
	json_object(json);
	json_string(json, "application", account->application);
	json_string(json, "id", account->id);
	json_string(json, "title", account->title);
	json_time(json, "since", account->since_s);
	json_end(json);
}

/* A token of one application sees its accounts alone. */
static const char *own_application(const struct http_request *request, const char *asked)
{
	const char *own = api_actor(request).application;

	return own ? own : asked && asked[0] ? asked : NULL;
}

int show_accounts(const struct http_request *request, const struct reading_view *view,
		  struct json *json, const struct user *user, struct err *err)
{
	struct account_row *accounts;
	size_t count;

	if (store_accounts_of(view->store, user->id, own_application(request, NULL), 0,
			      ACCOUNTS_OF_USER_MAX, view->arena, &accounts, &count, err) < 0)
		return -1;
	json_array_key(json, "accounts");
	for (size_t i = 0; i < count; i++)
		show_account(json, &accounts[i]);
	json_end(json);
	return 0;
}

/* ------------------------------------------------------------------ of a user -- */

int user_accounts_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { "application", "after", "limit", NULL };
	AUTO(reading_view) struct reading_view view = { 0 };
	const char *asked = http_query(request, "application");
	const char *application = own_application(request, asked);
	struct json json = api_json(response);
	struct account_row *accounts;
	struct user user;
	int64_t after;
	size_t count, limit;

	if (http_query_allow(request, names, err) < 0 ||
	    query_page(request, PEOPLE_MAX, 100, &after, &limit, err) < 0 ||
	    view_open(request, &view, err) < 0 ||
	    view_find_user(request, &view, http_parameter(request, "user"), &user, err) < 0)
		return -1;
	/* Another application than the token's own one: nothing is there. */
	if (asked && asked[0] && strcmp(asked, application) != 0)
		after = INT64_MAX;
	if (store_accounts_of(view.store, user.id, application, after, limit, view.arena, &accounts,
			      &count, err) < 0)
		return -1;
	json_object(&json);
	json_array_key(&json, "accounts");
	for (size_t i = 0; i < count; i++)
		show_account(&json, &accounts[i]);
	json_end(&json);
	show_next(&json, count == limit ? accounts[count - 1].row : 0);
	json_end(&json);
	return 0;
}

static int answer_tie(struct http_request *request, struct http_response *response,
		      const struct uuid *user, bool tied, bool changed)
{
	struct json json = api_json(response);
	char uuid[UUID_TEXT_SIZE];

	uuid_format(user, uuid);
	json_object(&json);
	json_string(&json, "user", uuid);
	json_string(&json, "application", http_parameter(request, "application"));
	json_string(&json, "id", http_parameter(request, "id"));
	json_bool(&json, "tied", tied);
	json_bool(&json, "changed", changed);
	json_end(&json);
	return 0;
}

int user_account_put(struct http_request *request, struct http_response *response, struct err *err)
{
	struct api *api = request->context;
	struct actor actor = api_actor(request);
	struct uuid uuid;
	bool changed;

	if (change_account_tie(api->settings.changer, &actor, http_parameter(request, "user"),
			       http_parameter(request, "application"),
			       http_parameter(request, "id"), &uuid, &changed, err) < 0)
		return -1;
	if (changed)
		response->status = 201;
	return answer_tie(request, response, &uuid, true, changed);
}

int user_account_delete(struct http_request *request, struct http_response *response,
			struct err *err)
{
	struct api *api = request->context;
	struct actor actor = api_actor(request);
	struct uuid uuid;
	bool changed;

	if (change_account_untie(api->settings.changer, &actor, http_parameter(request, "user"),
				 http_parameter(request, "application"),
				 http_parameter(request, "id"), &uuid, &changed, err) < 0)
		return -1;
	return answer_tie(request, response, &uuid, false, changed);
}

/* --------------------------------------------------------------- of an account -- */

/* Of another organization, or application than the token's: it is not there. */
static int find_account(const struct http_request *request, const struct reading_view *view,
			int64_t *ret_row, struct err *err)
{
	const char *application = http_parameter(request, "application");
	const char *own = api_organization(request), *bound = own_application(request, application);
	const char *organization;

	if (store_account_find(view->store, application, http_parameter(request, "id"), view->arena,
			       ret_row, &organization, err) < 0)
		return -1;
	if (*ret_row == 0 || strcmp(bound, application) != 0 ||
	    (own && strcmp(own, organization) != 0))
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such account");
	return 0;
}

/* Grants are in order of kind and name: the same from two origins stand side by side. */
static bool counts(const struct grant *grants, size_t i, enum grant_kind kind, int64_t now_s)
{
	if (grants[i].kind != kind || (grants[i].expires_s && grants[i].expires_s <= now_s))
		return false;
	while (i > 0 && grants[i - 1].kind == kind &&
	       strcmp(grants[i - 1].name, grants[i].name) == 0) {
		i--;
		if (!grants[i].expires_s || grants[i].expires_s > now_s)
			return false;
	}
	return true;
}

static void show_names(struct json *json, const char *key, enum grant_kind kind,
		       const struct grant *grants, size_t count, int64_t now_s)
{
	json_array_key(json, key);
	for (size_t i = 0; i < count; i++)
		if (counts(grants, i, kind, now_s))
			json_string(json, NULL, grants[i].name);
	json_end(json);
}

static int show_person(const struct reading_view *view, struct json *json, const struct user *user,
		       int64_t now_s, struct err *err)
{
	struct grant *grants;
	size_t count;

	if (store_grants_of(view->store, user->id, view->arena, &grants, &count, err) < 0)
		return -1;
	json_object(json);
	show_user_members(json, user);
	show_names(json, "roles", GRANT_ROLE, grants, count, now_s);
	show_names(json, "personas", GRANT_PERSONA, grants, count, now_s);
	json_end(json);
	return 0;
}

int account_users_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { "after", "limit", NULL };
	AUTO(reading_view) struct reading_view view = { 0 };
	struct json json = api_json(response);
	int64_t account, after, now_s = clock_now_s();
	size_t count, limit;
	struct user *users;

	if (http_query_allow(request, names, err) < 0 ||
	    query_page(request, PEOPLE_MAX, 100, &after, &limit, err) < 0 ||
	    view_open(request, &view, err) < 0 || find_account(request, &view, &account, err) < 0 ||
	    store_account_people(view.store, account, after, limit, view.arena, &users, &count,
				 err) < 0)
		return -1;
	json_object(&json);
	json_array_key(&json, "users");
	for (size_t i = 0; i < count; i++)
		if (show_person(&view, &json, &users[i], now_s, err) < 0)
			return -1;
	json_end(&json);
	show_next(&json, count == limit ? users[count - 1].id : 0);
	json_end(&json);
	return 0;
}

/* --- how many of each persona --- */

struct tally {
	struct hash_table *places;
	struct tallied {
		const char *name;
		int64_t users;
	} * rows;
	size_t count, capacity;
	int64_t people;
};

static int tally_add(struct tally *tally, const char *name, struct arena *arena, struct err *err)
{
	uint32_t *place;
	int added = hash_table_put(tally->places, fingerprint128(name, strlen(name)), &place);

	if (added < 0)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (added > 0) {
		if (tally->count == tally->capacity) {
			size_t capacity = tally->capacity ? 2 * tally->capacity : 64;
			struct tallied *rows = arena_alloc_array(arena, capacity, sizeof(*rows));

			if (!rows)
				return err_set(err, ERR_MEMORY, "out of memory");
			if (tally->count > 0)
				memcpy(rows, tally->rows, tally->count * sizeof(*rows));
			tally->rows = rows;
			tally->capacity = capacity;
		}
		*place = (uint32_t)tally->count;
		tally->rows[tally->count++] = (struct tallied){ name, 0 };
	}
	tally->rows[*place].users++;
	return 0;
}

/* Whoever may not work is none of the people that personas are about. */
static int tally_person(struct tally *tally, const struct reading_view *view,
			const struct user *user, int64_t now_s, struct err *err)
{
	struct grant *grants;
	size_t count;

	if (!user_is_active(user))
		return 0;
	if (store_grants_of(view->store, user->id, view->arena, &grants, &count, err) < 0)
		return -1;
	tally->people++;
	for (size_t i = 0; i < count; i++)
		if (counts(grants, i, GRANT_PERSONA, now_s) &&
		    tally_add(tally, grants[i].name, view->arena, err) < 0)
			return -1;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct tallied *)a)->name, ((const struct tallied *)b)->name);
}

static void show_tally(struct json *json, const struct tally *tally, int64_t next)
{
	json_object(json);
	json_array_key(json, "personas");
	for (size_t i = 0; i < tally->count; i++) {
		json_object(json);
		json_string(json, "name", tally->rows[i].name);
		json_int(json, "users", tally->rows[i].users);
		json_end(json);
	}
	json_end(json);
	json_int(json, "users", tally->people);
	show_next(json, next);
	json_end(json);
}

int account_personas_get(struct http_request *request, struct http_response *response,
			 struct err *err)
{
	static const char *const names[] = { "after", "limit", NULL };
	AUTO(reading_view) struct reading_view view = { 0 };
	AUTO(hash_table) struct hash_table *places = hash_table_create(64, PERSONAS_MAX);
	struct tally tally = { .places = places };
	struct json json = api_json(response);
	int64_t account, after, now_s = clock_now_s();
	size_t count, limit;
	struct user *users;

	if (!places)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (http_query_allow(request, names, err) < 0 ||
	    query_page(request, COUNTED_MAX, COUNTED_MAX, &after, &limit, err) < 0 ||
	    view_open(request, &view, err) < 0 || find_account(request, &view, &account, err) < 0 ||
	    store_account_people(view.store, account, after, limit, view.arena, &users, &count,
				 err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		if (tally_person(&tally, &view, &users[i], now_s, err) < 0)
			return -1;
	if (tally.count > 0)
		qsort(tally.rows, tally.count, sizeof(*tally.rows), by_name);
	show_tally(&json, &tally, count == limit ? users[count - 1].id : 0);
	return 0;
}
