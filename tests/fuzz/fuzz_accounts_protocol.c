/*
 * Both ends of the accounts helper's socket: what is taken was meant, and says the same when it is written again. The first
 * byte is the message's type.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/accounts/protocol.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OUT_MAX (2 << 20)

static void check(bool holds)
{
	if (!holds)
		abort();
}

/* The body that was read, once more. */
static void check_same(const struct message *message, const struct strbuf *out)
{
	size_t size = reader_left(&message->body);

	check(!strbuf_failed(out) && out->size == size + MESSAGE_HEADER_SIZE);
	check(memcmp(out->data + MESSAGE_HEADER_SIZE, message->body.at, size) == 0);
}

static void check_texts(const struct accounts_ensure *ensure)
{
	check(strlen(ensure->name) <= ACCOUNTS_NAME_MAX &&
	      text_is_utf8(ensure->name, strlen(ensure->name)));
	check(strlen(ensure->gecos) <= ACCOUNTS_GECOS_MAX &&
	      strlen(ensure->home) <= ACCOUNTS_PATH_MAX);
	check(ensure->group_count <= ACCOUNTS_GROUPS_MAX);
	if (accounts_name_is_valid(ensure->name))
		check(!strpbrk(ensure->name, ":/\n ,") && ensure->name[0] >= 'a');
	if (accounts_text_is_valid(ensure->gecos, ACCOUNTS_GECOS_MAX))
		check(!strpbrk(ensure->gecos, ":\n\r\t"));
	if (accounts_path_is_valid(ensure->home))
		check(ensure->home[0] == '/' && !strstr(ensure->home, "/../") &&
		      !strstr(ensure->home, "//"));
}

static void read_request(const struct message *message, struct arena *arena, struct strbuf *out)
{
	struct accounts_ensure ensure;
	struct accounts_list list;
	struct uuid user;
	uint32_t version;

	if (accounts_get_ensure(message, arena, &ensure, NULL) == 0) {
		check_texts(&ensure);
		accounts_put_ensure(out, &ensure);
	} else if (accounts_get_user(message, &user, NULL) == 0) {
		accounts_put_user(out, message->type, &user);
	} else if (accounts_get_list(message, &list, NULL) == 0) {
		check(list.max >= 1 && list.max <= ACCOUNTS_PAGE_MAX);
		accounts_put_list(out, &list);
	} else if (accounts_get_hello(message, &version, NULL) == 0) {
		accounts_put_hello(out, version);
	}
}

static void read_answer(const struct message *message, struct arena *arena, struct strbuf *out)
{
	struct accounts_welcome welcome;
	struct accounts_result result;
	struct accounts_page page;

	if (accounts_get_welcome(message, &welcome, NULL) == 0)
		accounts_put_welcome(out, &welcome);
	else if (accounts_get_result(message, arena, &result, NULL) == 0)
		accounts_put_result(out, &result);
	else if (accounts_get_page(message, arena, &page, NULL) == 0)
		accounts_put_page(out, &page);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(arena) struct arena *arena = arena_create(8 << 20);
	AUTO(strbuf) struct strbuf out = STRBUF(OUT_MAX);

	if (size == 0)
		return 0;

	struct message message = { .type = data[0] & 0x80 ? (uint16_t)(0x100 | (data[0] & 0xf))
							  : data[0],
				   .body = reader_init(data + 1, size - 1) };

	read_request(&message, arena, &out);
	read_answer(&message, arena, &out);
	if (out.size)
		check_same(&message, &out);
	return 0;
}
