/* Root's door closes by time: when its link is over and nobody came, when nobody is signed in any more, after an hour. */
#include "../../../daemon/main/door.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rolebridge/auth/ticket.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>
#include <rolebridge/change/login.h>
#include <rolebridge/change/login_link.h>
#include <rolebridge/store/session.h>

#define LINK_S 600
#define DOOR_S 3600

static const char yaml[] = "store: store.db\n"
			   "profiles: [{name: administrator, permissions: ['*:*@all']}]\n"
			   "policy: {default_profile: administrator}\n";
static const struct actor root = { .name = "unix:root", .request = "request-1", .is_person = true };

struct place {
	char folder[64], path[96], key[96];
	struct configuration *config;
	struct changer *changer;
	struct sessions *sessions;
	struct tickets *tickets;
	struct arena *arena;
	struct door *door;
	struct strbuf url;
	struct err err;
};

#define ok(place, call) \
	do { \
		if ((call) < 0) \
			fail_msg("%s: %s", #call, (place)->err.text); \
	} while (0)

static bool no_source(void *context UNUSED, size_t index UNUSED, struct arena *arena UNUSED,
		      struct saml_source_view *ret_view UNUSED)
{
	return false;
}

static void make_config(struct place *p)
{
	const struct document_file file = { "test.yaml", yaml, strlen(yaml) };
	struct diagnostics *list = diagnostics_create();

	p->config = configuration_load(file.path, &file, 1, NULL, NULL, list, NULL);
	assert_non_null(p->config);
	diagnostics_destroy(list);
}

static int set_up(void **state)
{
	const struct new_user anna = { "anna", "", "Anna", "default", "administrator" };
	struct place *p = calloc(1, sizeof(*p));
	struct web_settings_in web = { .saml = { .source = no_source } };
	struct api_settings api = { .admin_group = "" };
	struct uuid uuid;

	assert_non_null(p);
	snprintf(p->folder, sizeof(p->folder), "/tmp/rolebridge-door-XXXXXX");
	assert_non_null(mkdtemp(p->folder));
	snprintf(p->path, sizeof(p->path), "%s/store.db", p->folder);
	snprintf(p->key, sizeof(p->key), "%s/web.key", p->folder);
	p->url = STRBUF(256);
	p->arena = arena_create(1u << 24);
	make_config(p);
	p->changer = changer_open(p->path, &p->config->setup, &p->err);
	assert_non_null(p->changer);
	p->sessions = sessions_create(p->changer, &p->config->settings.web.sessions, &p->err);
	p->tickets = tickets_create(p->key, &p->err);
	assert_non_null(p->sessions);
	assert_non_null(p->tickets);
	ok(p, change_user_create(p->changer, &root, &anna, &uuid, &p->err));
	web.changer = api.changer = p->changer;
	web.sessions = p->sessions;
	web.tickets = p->tickets;
	p->door = door_create(&web, &api);
	assert_non_null(p->door);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;
	char command[3][128];

	door_destroy(p->door);
	sessions_destroy(p->sessions);
	changer_close(p->changer);
	tickets_destroy(p->tickets);
	setup_release(&p->config->setup);
	strbuf_finish(&p->url);
	arena_destroy(p->arena);
	snprintf(command[0], sizeof(command[0]), "%s-wal", p->path);
	snprintf(command[1], sizeof(command[1]), "%s-shm", p->path);
	snprintf(command[2], sizeof(command[2]), "%s", p->path);
	for (size_t i = 0; i < ARRAY_LEN(command); i++)
		unlink(command[i]);
	unlink(p->key);
	rmdir(p->folder);
	free(p);
	return 0;
}

/* -1: nobody is there. */
static int call_at(const struct place *p)
{
	const char *port = strrchr(strbuf_text(&p->url), ':');
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons((uint16_t)strtoul(port + 1, NULL, 10)),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -1;
}

static bool is_open(const struct place *p)
{
	int fd = call_at(p);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* Somebody comes in by a link of root's: the answer's status. */
static int come_in(struct place *p)
{
	AUTO(strbuf) struct strbuf request = STRBUF(4096);
	char link_text[TICKET_INVITE_SIZE], answer[256];
	struct login_link_row link;
	struct user user;
	ssize_t got = 0, size = 0;
	int fd = call_at(p);

	assert_true(fd >= 0);
	ok(p, change_login_link_make(p->changer, &root, "anna", p->arena, &link, &user, &p->err));
	ticket_login_link(p->tickets, &link.uuid, link_text);
	strbuf_printf(&request,
		      "POST /login/link/%s HTTP/1.1\r\nHost: %s\r\nOrigin: %s\r\n"
		      "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 0\r\n"
		      "Connection: close\r\n\r\n",
		      link_text, strbuf_text(&p->url) + strlen("http://"), strbuf_text(&p->url));
	assert_int_equal(write(fd, request.data, request.size), (ssize_t)request.size);
	while ((size_t)size < sizeof(answer) - 1 &&
	       (got = read(fd, answer + size, sizeof(answer) - 1 - (size_t)size)) > 0)
		size += got;
	assert_true(got >= 0);
	close(fd);
	answer[size] = '\0';
	assert_true(strncmp(answer, "HTTP/1.1 ", strlen("HTTP/1.1 ")) == 0);
	return (int)strtol(answer + strlen("HTTP/1.1 "), NULL, 10);
}

static void open_door(struct place *p, int64_t until_s)
{
	strbuf_clear(&p->url);
	ok(p, door_open(p->door, p->config, NULL, until_s, &p->url, &p->err));
	assert_true(is_open(p));
}

static void end_sessions(struct place *p)
{
	AUTO(store) struct store *store = store_open(p->path, STORE_READ, &p->err);
	const struct session_query query = { .limit = 10 };
	struct session *sessions;
	size_t count;

	assert_non_null(store);
	ok(p, store_session_list(store, &query, p->arena, &sessions, &count, &p->err));
	assert_int_equal(count, 1);
	ok(p, change_sessions_end(p->changer, &root, &sessions[0].id, 1, "logout", NULL, &p->err));
}

static void test_nobody_came(void **state)
{
	struct place *p = *state;
	int64_t now_s = clock_now_s();

	open_door(p, now_s + LINK_S);
	door_tick(p->door, now_s + LINK_S - 1);
	assert_true(is_open(p));
	/* A newer link is good for longer. */
	open_door(p, now_s + 2 * LINK_S);
	door_tick(p->door, now_s + LINK_S);
	assert_true(is_open(p));
	door_tick(p->door, now_s + 2 * LINK_S);
	assert_false(is_open(p));
	/* Again, elsewhere. */
	open_door(p, now_s + 3 * LINK_S);
}

static void test_until_nobody_is_signed_in(void **state)
{
	struct place *p = *state;
	int64_t now_s = clock_now_s();

	open_door(p, now_s + LINK_S);
	assert_int_equal(come_in(p), 303);
	door_tick(p->door, now_s + LINK_S);
	assert_true(is_open(p));
	end_sessions(p);
	/* Not before the link is over: they may come again. */
	door_tick(p->door, now_s + LINK_S - 1);
	assert_true(is_open(p));
	door_tick(p->door, now_s + LINK_S);
	assert_false(is_open(p));
}

static void test_after_an_hour(void **state)
{
	struct place *p = *state;
	int64_t now_s = clock_now_s();

	open_door(p, now_s + LINK_S);
	assert_int_equal(come_in(p), 303);
	door_tick(p->door, now_s + DOOR_S - 1);
	assert_true(is_open(p));
	/* However slow the machine is: an hour after they came in, whether or not they are still there. */
	door_tick(p->door, clock_now_s() + DOOR_S);
	assert_false(is_open(p));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(test_nobody_came),
					    TEST(test_until_nobody_is_signed_in),
					    TEST(test_after_an_hour) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
