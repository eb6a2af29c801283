/* See ticket_world.h. */
#include "ticket_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int ticket_world_set_up(void **state)
{
	struct ticket_world *world = calloc(1, sizeof(*world));

	assert_non_null(world);
	snprintf(world->folder, sizeof(world->folder), "/tmp/rolebridge-tickets-XXXXXX");
	assert_non_null(mkdtemp(world->folder));
	snprintf(world->path, sizeof(world->path), "%s/key", world->folder);
	world->tickets = tickets_create(world->path, &world->err);
	world->arena = arena_create((size_t)1 << 30);
	assert_non_null(world->tickets);
	assert_int_equal(webauthn_site_make("https://Login.Example.com:443/", world->arena,
					    &world->site, &world->err),
			 0);
	memcpy(world->user.byte, "sixteen bytes of", 16);
	*state = world;
	return 0;
}

int ticket_world_tear_down(void **state)
{
	struct ticket_world *world = *state;

	tickets_destroy(world->tickets);
	arena_destroy(world->arena);
	unlink(world->path);
	rmdir(world->folder);
	free(world);
	return 0;
}
