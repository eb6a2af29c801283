/*
 * Tickets as browsers may send them back: nothing but what was sealed opens, whatever is done to it.
 * The first byte picks the ticket and what is done; the rest is the text, or where to change it.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rolebridge/auth/ticket.h>
#include <rolebridge/base/util.h>

#define NOW 1800000000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct tickets *tickets;
static struct strbuf sealed[3] = { STRBUF(4096), STRBUF(4096), STRBUF(4096) };

static void require(bool fine)
{
	if (!fine)
		abort();
}

static void prepare(void)
{
	char folder[] = "/tmp/rolebridge-fuzz-XXXXXX", path[64];
	struct pending_login login = { .request_id = "_1",
				       .source = "corp",
				       .return_url = "https://a.example/",
				       .created_s = NOW,
				       .until_s = NOW + 60 };
	struct pending_logout logout = { "_1", "corp", "", NOW + 60 };
	struct handoff handoff = { 5, "a.example", "https://a.example/", "00", NOW + 30 };

	require(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/key", folder);
	tickets = tickets_create(path, NULL);
	require(tickets);
	unlink(path);
	rmdir(folder);
	require(ticket_seal_login(tickets, &login, &sealed[0], NULL) == 0);
	require(ticket_seal_logout(tickets, &logout, &sealed[1], NULL) == 0);
	require(ticket_seal_handoff(tickets, &handoff, &sealed[2], NULL) == 0);
}

/* How many kinds of ticket it opens as. */
static unsigned open_all(const char *text, struct arena *arena)
{
	struct pending_login login;
	struct pending_logout logout;
	struct handoff handoff;

	return (ticket_open_login(tickets, text, NOW, arena, &login, NULL) == 0) * 1u +
	       (ticket_open_logout(tickets, text, NOW, arena, &logout, NULL) == 0) * 2u +
	       (ticket_open_handoff(tickets, text, NOW, arena, &handoff, NULL) == 0) * 4u;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	const struct strbuf *ticket;
	char text[8192];
	size_t length;

	if (!tickets)
		prepare();
	if (size < 2)
		return 0;
	ticket = &sealed[data[0] % 3];
	if (data[0] & 0x80) {
		/* Alone. */
		length = size - 1 < sizeof(text) ? size - 1 : sizeof(text) - 1;
		memcpy(text, data + 1, length);
	} else {
		/* A sealed one with pairs of place and byte changed. */
		length = ticket->size;
		memcpy(text, ticket->data, length);
		for (size_t i = 1; i + 1 < size; i += 2)
			text[data[i] % length] = (char)data[i + 1];
	}
	text[length] = 0;
	if (strcmp(text, ticket->data) != 0)
		require(open_all(text, arena) == 0);
	return 0;
}
