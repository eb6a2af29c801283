/*
 * Style sheets and scripts of the pages. Enters: a name, from whom a page of ours sent, or from anybody. Leaves: what the
 * build embedded, compressed. The hash in an address is of the content: what has it may be kept for good; under
 * another one, of a page of another version, comes what there is now, to be asked for again each time.
 */
#include "site.h"

#include <strings.h>
#include <zlib.h>

struct asset {
	const char *name; /* "style.css" */
	const char *hash;
	const unsigned char *data; /* gzip */
	size_t size, full_size;
};

/* assets[], made of the files by the Makefile. */
#include "assets.h"

static const struct {
	const char *ending, *type;
} types[] = {
	{ ".css", "text/css; charset=utf-8" },
	{ ".js", "text/javascript; charset=utf-8" },
};

static const struct asset *asset_find(const char *name, size_t size)
{
	for (size_t i = 0; i < ARRAY_LEN(assets); i++) {
		if (strlen(assets[i].name) == size && memcmp(assets[i].name, name, size) == 0)
			return &assets[i];
	}
	return NULL;
}

void page_asset_url(struct http_response *response, const char *name)
{
	const struct asset *asset = asset_find(name, strlen(name));
	int stem = (int)strcspn(name, ".");

	if (!asset) {
		response->failed = true;
		return;
	}
	strbuf_printf(&response->body, "/.rolebridge/%.*s-%s%s", stem, name, asset->hash,
		      name + stem);
}

/* "style-0123456789abcdef.css", or "style.css". */
static const struct asset *asset_named(struct arena *arena, const char *text, bool *ret_current)
{
	const char *end = strrchr(text, '.'), *dash = strrchr(text, '-');
	const struct asset *asset;
	const char *name;

	*ret_current = false;
	if (!end || !dash || dash > end)
		return asset_find(text, strlen(text));
	name = arena_printf(arena, "%.*s%s", (int)(dash - text), text, end);
	asset = name ? asset_find(name, strlen(name)) : NULL;
	*ret_current = asset && strlen(asset->hash) == (size_t)(end - dash - 1) &&
		       memcmp(asset->hash, dash + 1, (size_t)(end - dash - 1)) == 0;
	return asset;
}

/* RFC 9110 12.5.3, as far as browsers go: "gzip" in the list, without a weight of nothing. */
static bool takes_gzip(const struct http_request *request)
{
	const char *at = http_header(request, "Accept-Encoding");

	while (at && *at) {
		size_t size;

		at += strspn(at, " \t,");
		size = strcspn(at, " \t,;");
		if (size == 4 && strncasecmp(at, "gzip", 4) == 0)
			return strncasecmp(at + size, ";q=0", 4) != 0 || at[size + 4] == '.';
		at += strcspn(at, ",");
	}
	return false;
}

static int inflate_all(const struct asset *asset, struct arena *arena, struct strbuf *out,
		       struct err *err)
{
	unsigned char *full = arena_alloc(arena, asset->full_size);
	z_stream stream = { .next_in = (unsigned char *)(uintptr_t)asset->data,
			    .avail_in = (unsigned)asset->size,
			    .next_out = full,
			    .avail_out = (unsigned)asset->full_size };
	int result;

	if (!full || inflateInit2(&stream, MAX_WBITS + 16) != Z_OK)
		return err_set(err, ERR_MEMORY, "out of memory");
	result = inflate(&stream, Z_FINISH);
	inflateEnd(&stream);
	if (result != Z_STREAM_END || stream.avail_out != 0)
		return err_set(err, ERR_INTERNAL, "'%s' was not embedded whole", asset->name);
	strbuf_append(out, (const char *)full, asset->full_size);
	return 0;
}

int asset_get(struct http_request *request, struct http_response *response, struct err *err)
{
	bool current;
	const struct asset *asset =
		asset_named(request->arena, http_parameter(request, "asset"), &current);

	if (!asset)
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "there is no such file");
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		if (strcmp(strrchr(asset->name, '.'), types[i].ending) == 0)
			response->content_type = types[i].type;
	}
	http_response_header(response, "Cache-Control",
			     current ? "public, max-age=31536000, immutable" : "no-cache");
	http_response_header(response, "Vary", "Accept-Encoding");
	if (!takes_gzip(request))
		return inflate_all(asset, request->arena, &response->body, err);
	http_response_header(response, "Content-Encoding", "gzip");
	strbuf_append(&response->body, (const char *)asset->data, asset->size);
	return 0;
}
