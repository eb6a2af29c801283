/* Tickets under a key in a folder of their own, the site that keys of people are for, and one of the people. */
#ifndef TESTS_AUTH_TICKET_WORLD_H
#define TESTS_AUTH_TICKET_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <rolebridge/auth/ticket.h>
#include <rolebridge/auth/webauthn.h>

struct ticket_world {
	char folder[64], path[80]; /* of the key */
	struct tickets *tickets;
	struct arena *arena;
	struct webauthn_site site;
	struct uuid user;
	struct err err;
};

int ticket_world_set_up(void **state);
int ticket_world_tear_down(void **state);

#endif
