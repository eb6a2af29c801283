#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rolebridge/base/util.h>

static const struct sessions_settings session_settings = { .idle_s = 3600, .absolute_s = 43200 };

/* -------------------------------------------------------------------- setup */

static const char yaml[] = "profiles: [{name: administrator}, {name: staff}]\n"
			   "segments: [Core]\n"
			   "roles:\n"
			   "  - {name: sales, classifications: [Sales], segments: [Core]}\n"
			   "  - {name: ops, classifications: [Support], segments: [Core]}\n"
			   "personas: [{name: lead, title: Lena}]\n"
			   "policy: {default_profile: staff}\n";

/* -------------------------------------------------------------------- world */

static void start(struct world *world)
{
	struct setup *setup = test_setup_create(world->path, yaml);

	world->changer = changer_open(world->path, setup, &world->err);
	setup_release(setup);
	if (!world->changer)
		fail_msg("%s", world->err.text);
	world->sessions = sessions_create(world->changer, &session_settings, &world->err);
	if (!world->sessions)
		fail_msg("%s", world->err.text);
	world->store = store_open(world->path, STORE_WRITE, &world->err);
	assert_non_null(world->store);
}

static void stop(struct world *world)
{
	store_close(world->store);
	sessions_destroy(world->sessions);
	changer_close(world->changer);
	world->store = NULL;
	world->changer = NULL;
	world->sessions = NULL;
}

static void make_user(struct world *world, const char *name, const char *profile)
{
	struct new_user user = { name, "", name, "default", profile };
	struct uuid uuid;

	ok(world, change_user_create(world->changer, &test_person, &user, &uuid, &world->err));
}

int world_set_up(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	assert_non_null(world);
	snprintf(world->folder, sizeof(world->folder), "/tmp/rolebridge-auth-XXXXXX");
	assert_non_null(mkdtemp(world->folder));
	snprintf(world->path, sizeof(world->path), "%s/store.db", world->folder);
	world->arena = arena_create((size_t)1 << 30);
	start(world);
	make_user(world, "anna", "administrator");
	make_user(world, "bob", "staff");
	*state = world;
	return 0;
}

int world_tear_down(void **state)
{
	struct world *world = *state;

	stop(world);
	arena_destroy(world->arena);
	test_folder_remove(world->folder);
	free(world);
	return 0;
}

void world_restart(struct world *world)
{
	stop(world);
	start(world);
}

/* ----------------------------------------------------------------- sessions */

int64_t world_user(struct world *world, const char *name)
{
	struct user user;

	ok(world,
	   store_user_find(world->store, USER_BY_USERNAME, name, world->arena, &user, &world->err));
	return user.id;
}

struct session world_store_session(struct world *world, const char *user, int64_t now_s,
				   const struct hash256 *token)
{
	struct session session = { .uuid = uuid_create(now_s * 1000),
				   .user_id = world_user(world, user),
				   .source = "",
				   .name_id = "",
				   .name_id_format = "",
				   .session_index = "",
				   .address = "127.0.0.1",
				   .agent = "test",
				   .created_s = now_s,
				   .seen_s = now_s,
				   .until_s = now_s + 36000,
				   .second_factor_s = 17 };
	struct session_token row = { *token, 0, "", now_s };

	ok(world, store_begin(world->store, &world->err));
	ok(world, store_session_insert(world->store, &session, &world->err));
	row.session_id = session.id;
	ok(world, store_session_token_add(world->store, &row, &world->err));
	ok(world, store_commit(world->store, &world->err));
	return session;
}

struct session world_sign_in(struct world *world, const char *user, int64_t now_s, char *ret_token)
{
	struct hash256 hash;
	struct session session;

	session_token_make(ret_token, &hash);
	session = world_store_session(world, user, now_s, &hash);
	ok(world, sessions_add(world->sessions, &session, &hash, &world->err));
	return session;
}

const char *world_find(struct world *world, const char *token, const char *host, int64_t now_s)
{
	struct session_view view;
	const char *text;

	err_clear(&world->err);
	if (sessions_find(world->sessions, token, host, now_s, &view, &world->err) < 0)
		return err_reason(&world->err);
	text = arena_printf(world->arena, "%s %s%s [%s] [%s] [%s]", view.principal->username,
			    view.principal->profile, view.principal->is_administrator ? "!" : "",
			    view.principal->roles_text, view.principal->personas_text,
			    view.principal->groups_text);
	session_view_release(&view);
	return text;
}
