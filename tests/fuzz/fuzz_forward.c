/*
 * URLs as proxies and browsers may send them. What a path is taken for must hold for those who read it
 * in another way: an application of a part of the host is never got around by a spelling that a plain
 * resolver takes there, and whatever is allowed as a return address names a host we know.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/auth/forward.h>
#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct applications *applications;

static void require(bool fine)
{
	if (!fine)
		abort();
}

static void prepare(void)
{
	static struct located urls[] = { { .text = "https://a.example" },
					 { .text = "https://a.example/admin/" },
					 { .text = "https://a.example/status" } };
	static struct application_settings settings[] = {
		{ .name.text = "root", .urls = { 1, &urls[0] } },
		{ .name.text = "admin", .urls = { 1, &urls[1] } },
		{ .name.text = "page", .urls = { 1, &urls[2] } },
	};
	static struct web_settings web = { .public_url.text = "https://login.example",
					   .applications = { 3, settings } };
	static struct catalogue_settings catalogue;

	applications = applications_create(&web, &catalogue, NULL);
	require(applications);
}

/* A server of another kind: decodes once, folds case, merges slashes, then resolves in one pass. */
static bool reads_as_admin(const char *path)
{
	char text[4096], out[4096] = "/";
	size_t size = 0, at = 1;

	for (const char *c = path; *c && *c != '?' && size < sizeof(text) - 1; c++) {
		int high = c[0] == '%' && c[1] ? text_hex_digit((unsigned char)c[1]) : -1;
		int low = high >= 0 && c[2] ? text_hex_digit((unsigned char)c[2]) : -1;
		char byte = low >= 0 ? (char)(high * 16 + low) : *c;

		text[size++] = byte >= 'A' && byte <= 'Z' ? (char)(byte + 32) : byte;
		c += low >= 0 ? 2 : 0;
	}
	text[size] = 0;
	for (char *segment = text, *rest; segment; segment = rest) {
		size_t length = strcspn(segment, "/;\\");

		rest = strpbrk(segment, "/\\");
		rest = rest ? rest + 1 : NULL;
		if (length == 2 && memcmp(segment, "..", 2) == 0) {
			while (at > 1 && out[--at - 1] != '/')
				;
		} else if (length && !(length == 1 && segment[0] == '.')) {
			memcpy(out + at, segment, length);
			at += length;
			out[at++] = '/';
		}
	}
	out[at] = 0;
	return strncmp(out, "/admin/", 7) == 0;
}

static void check_path(const char *text)
{
	const struct application *found =
		applications_find(applications, "https", "a.example", text);
	const char *name = found ? application_name(found) : "";

	if (found && strlen(text) < 2048 && reads_as_admin(text))
		require(strcmp(name, "admin") == 0);
	if (strcmp(name, "admin") == 0 && strlen(text) < 2048)
		require(reads_as_admin(text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(strbuf) struct strbuf value = STRBUF(1 << 20);
	char *text;

	if (!applications)
		prepare();
	if (size == 0)
		return 0;
	/* By size: the sanitizer's strndup reads one byte more. */
	text = malloc(size);
	require(text);
	memcpy(text, data + 1, size - 1);
	text[size - 1] = 0;
	if (data[0] % 4 == 0) {
		check_path(text);
	} else if (data[0] % 4 == 1) {
		if (applications_allow_return(applications, text)) {
			require(strcasestr(text, "://a.example") ||
				strcasestr(text, "://login.example"));
			require(!strpbrk(text, "\\\r\n\t "));
		}
	} else if (data[0] % 4 == 2) {
		applications_find(applications, "http", text, "/");
	} else if (forward_header_value(text, (enum header_encoding)(data[0] >> 2 & 1), &value,
					NULL) == 0) {
		require(text_is_utf8(strbuf_text(&value), value.size));
		for (size_t i = 0; i < value.size; i++)
			require((unsigned char)value.data[i] >= 0x20 && value.data[i] != 0x7f);
	}
	free(text);
	return 0;
}
