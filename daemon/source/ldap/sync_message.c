/* Controls and messages of RFC 4533 (see sync_message.h). Nothing fails but by answer. */
#include "sync_message.h"

#include "entry.h"

#define TAG_BOOLEAN 0x01
#define TAG_OCTET_STRING 0x04
#define TAG_ENUMERATED 0x0a
#define TAG_SEQUENCE 0x30
#define TAG_SET 0x31
#define TAG_NEW_COOKIE 0x80
#define TAG_REFRESH_DELETE 0xa1
#define TAG_REFRESH_PRESENT 0xa2
#define TAG_ID_SET 0xa3
#define MODE_REFRESH_AND_PERSIST 3

struct cursor {
	const unsigned char *at, *end;
};

static struct cursor cursor_of(const struct berval *value)
{
	const unsigned char *at =
		value->bv_len ? (const unsigned char *)value->bv_val : (const unsigned char *)"";

	return (struct cursor){ at, at + value->bv_len };
}

static bool next_is(const struct cursor *in, unsigned char tag)
{
	return in->at < in->end && *in->at == tag;
}

/* The content of the one element that the value is. */
static bool open_whole(const struct berval *value, unsigned char tag, struct cursor *ret_content)
{
	struct cursor in = cursor_of(value);
	struct berval content;

	if (!element_take(&in.at, in.end, tag, &content) || in.at != in.end)
		return false;
	*ret_content = cursor_of(&content);
	return true;
}

static bool cookie_is_good(const struct berval *cookie)
{
	return cookie->bv_len <= SYNC_COOKIE_MAX;
}

/* OPTIONAL */
static bool take_cookie(struct cursor *in, struct sync_cookie *ret_cookie)
{
	*ret_cookie = (struct sync_cookie){ 0 };
	if (!next_is(in, TAG_OCTET_STRING))
		return true;
	ret_cookie->given = true;
	return element_take(&in->at, in->end, TAG_OCTET_STRING, &ret_cookie->value) &&
	       cookie_is_good(&ret_cookie->value);
}

/* DEFAULT: *value stays when it is left out. */
static bool take_boolean(struct cursor *in, bool *value)
{
	struct berval content;

	if (!next_is(in, TAG_BOOLEAN))
		return true;
	if (!element_take(&in->at, in->end, TAG_BOOLEAN, &content) || content.bv_len != 1)
		return false;
	*value = content.bv_val[0] != 0;
	return true;
}

int sync_state_parse(const struct berval *value, struct sync_state *ret_state)
{
	struct sync_state state = { 0 };
	struct berval kind, uuid;
	struct cursor in;

	if (!open_whole(value, TAG_SEQUENCE, &in) ||
	    !element_take(&in.at, in.end, TAG_ENUMERATED, &kind) || kind.bv_len != 1 ||
	    (unsigned char)kind.bv_val[0] > SYNC_DELETE ||
	    !element_take(&in.at, in.end, TAG_OCTET_STRING, &uuid) ||
	    uuid.bv_len != SYNC_UUID_SIZE || !take_cookie(&in, &state.cookie) || in.at != in.end)
		return -1;
	state.kind = (enum sync_state_kind)kind.bv_val[0];
	state.uuid = (const unsigned char *)uuid.bv_val;
	*ret_state = state;
	return 0;
}

int sync_done_parse(const struct berval *value, struct sync_done *ret_done)
{
	struct sync_done done = { 0 };
	struct cursor in;

	if (!open_whole(value, TAG_SEQUENCE, &in) || !take_cookie(&in, &done.cookie) ||
	    !take_boolean(&in, &done.deletes) || in.at != in.end)
		return -1;
	*ret_done = done;
	return 0;
}

static int parse_phase(struct cursor *in, struct sync_info *info)
{
	info->refresh_done = true;
	return take_cookie(in, &info->cookie) && take_boolean(in, &info->refresh_done) &&
			       in->at == in->end
		       ? 0
		       : -1;
}

static int parse_id_set(struct cursor *in, struct sync_info *info)
{
	struct berval set, uuid;
	struct cursor uuids;

	if (!take_cookie(in, &info->cookie) || !take_boolean(in, &info->deletes) ||
	    !element_take(&in->at, in->end, TAG_SET, &set) || in->at != in->end)
		return -1;
	uuids = cursor_of(&set);
	info->at = uuids.at;
	info->end = uuids.end;
	for (; uuids.at < uuids.end; info->count++) {
		if (!element_take(&uuids.at, uuids.end, TAG_OCTET_STRING, &uuid) ||
		    uuid.bv_len != SYNC_UUID_SIZE)
			return -1;
	}
	return 0;
}

int sync_info_parse(const struct berval *value, struct sync_info *ret_info)
{
	struct sync_info info = { 0 };
	struct cursor in = cursor_of(value), content;
	int status = -1;

	if (next_is(&in, TAG_NEW_COOKIE)) {
		info.kind = SYNC_NEW_COOKIE;
		info.cookie.given = true;
		if (element_take(&in.at, in.end, TAG_NEW_COOKIE, &info.cookie.value) &&
		    in.at == in.end && cookie_is_good(&info.cookie.value))
			status = 0;
	} else if (open_whole(value, TAG_REFRESH_DELETE, &content)) {
		info.kind = SYNC_REFRESH_DELETE;
		status = parse_phase(&content, &info);
	} else if (open_whole(value, TAG_REFRESH_PRESENT, &content)) {
		info.kind = SYNC_REFRESH_PRESENT;
		status = parse_phase(&content, &info);
	} else if (open_whole(value, TAG_ID_SET, &content)) {
		info.kind = SYNC_ID_SET;
		status = parse_id_set(&content, &info);
	}
	if (status == 0)
		*ret_info = info;
	return status;
}

const unsigned char *sync_info_next(struct sync_info *info)
{
	struct berval uuid;

	if (info->at >= info->end || !element_take(&info->at, info->end, TAG_OCTET_STRING, &uuid))
		return NULL;
	return (const unsigned char *)uuid.bv_val;
}

/* Tag and length; lengths of at most four octets. */
static void put_head(struct strbuf *out, unsigned char tag, size_t size)
{
	strbuf_putc(out, (char)tag);
	if (size < 0x80) {
		strbuf_putc(out, (char)size);
		return;
	}
	strbuf_putc(out, (char)0x84);
	for (int shift = 24; shift >= 0; shift -= 8)
		strbuf_putc(out, (char)(unsigned char)(size >> shift));
}

static size_t head_size(size_t size)
{
	return size < 0x80 ? 2 : 6;
}

void sync_request_encode(const struct berval *cookie, struct strbuf *out)
{
	size_t size = 3;

	if (cookie)
		size += head_size(cookie->bv_len) + cookie->bv_len;
	put_head(out, TAG_SEQUENCE, size);
	put_head(out, TAG_ENUMERATED, 1);
	strbuf_putc(out, MODE_REFRESH_AND_PERSIST);
	if (cookie) {
		put_head(out, TAG_OCTET_STRING, cookie->bv_len);
		strbuf_append(out, cookie->bv_val, cookie->bv_len);
	}
}
