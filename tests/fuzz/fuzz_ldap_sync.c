/* Controls and messages of RFC 4533: what a directory sends while it is followed. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>

#include "../../daemon/source/ldap/sync_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool truth)
{
	if (!truth)
		abort();
}

/* What is borrowed lies within the message. */
static void check_within(const struct berval *all, const void *at, size_t size)
{
	const char *text = at;

	must(text >= all->bv_val && text + size <= all->bv_val + all->bv_len);
}

static void check_cookie(const struct berval *all, const struct sync_cookie *cookie)
{
	AUTO(strbuf) struct strbuf request = STRBUF(SYNC_COOKIE_MAX + 64);

	if (!cookie->given)
		return;
	must(cookie->value.bv_len <= SYNC_COOKIE_MAX);
	if (cookie->value.bv_len > 0)
		check_within(all, cookie->value.bv_val, cookie->value.bv_len);
	sync_request_encode(&cookie->value, &request);
	must(!strbuf_failed(&request));
}

static void check_info(const struct berval *all, struct sync_info *info)
{
	const unsigned char *uuid;
	size_t count = 0;

	check_cookie(all, &info->cookie);
	for (; (uuid = sync_info_next(info)); count++)
		check_within(all, uuid, SYNC_UUID_SIZE);
	must(count == info->count && (info->kind == SYNC_ID_SET || count == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct berval value = { size, (char *)data };
	struct sync_state state;
	struct sync_done done;
	struct sync_info info;

	if (sync_state_parse(&value, &state) == 0) {
		check_within(&value, state.uuid, SYNC_UUID_SIZE);
		check_cookie(&value, &state.cookie);
		must(state.kind <= SYNC_DELETE);
	}
	if (sync_done_parse(&value, &done) == 0)
		check_cookie(&value, &done.cookie);
	if (sync_info_parse(&value, &info) == 0)
		check_info(&value, &info);
	return 0;
}
