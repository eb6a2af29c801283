/*
 * Applications behind the proxy. Enter: settings once, then URLs of requests and principals.
 * Leave: the application a URL belongs to, and verdicts. Lookups cannot fail: what cannot be told
 * apart for certain belongs to no application, and is refused.
 *
 * An application with URLs on several hosts is several here, one for each origin, since tokens are
 * bound to a host. Which profiles and roles have a required permission is worked out once.
 */
#include <rolebridge/auth/forward.h>

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>
#include <rolebridge/policy/factor.h>
#include <rolebridge/rules/permission.h>

#include "path.h"
#include "url.h"

#define ARENA_BYTES_MAX ((size_t)256 << 20)

struct names {
	const char **items;
	size_t count;
};

struct application {
	const struct application_settings *settings;
	const char *host;
	/* That have one of require.permissions. */
	struct names profiles, roles;
};

struct pattern {
	const char *path;
	size_t size;
	bool is_prefix; /* ends in '/' */
	const struct application *application;
};

struct origin {
	const char *host;
	bool is_https;
	struct pattern *patterns;
	size_t count;
	/* All of the host is this one's: nothing depends on the path. NULL: it does. */
	const struct application *sole;
};

struct applications {
	struct arena *arena;
	struct origin *origins; /* sorted by origin_compare */
	size_t count;
	struct url own; /* host "": no public_url */
};

/* ------------------------------------------------------------------- making */

static int origin_compare(const void *a, const void *b)
{
	const struct origin *x = a, *y = b;

	return x->is_https != y->is_https ? x->is_https - y->is_https : strcmp(x->host, y->host);
}

static struct origin *find_origin(const struct applications *applications, bool is_https,
				  const char *host)
{
	struct origin key = { .host = host, .is_https = is_https };

	return applications->count ? bsearch(&key, applications->origins, applications->count,
					     sizeof(key), origin_compare)
				   : NULL;
}

/* Does one of the permissions held cover one of those asked for? */
static bool covers_any(const struct located_list *held, const struct located_list *asked)
{
	for (size_t i = 0; i < held->count; i++)
		for (size_t j = 0; j < asked->count; j++)
			if (permission_covers(held->items[i].text, asked->items[j].text))
				return true;
	return false;
}

static bool collect_permitted(struct application *application,
			      const struct catalogue_settings *catalogue, struct arena *arena)
{
	const struct located_list *asked = &application->settings->require.permissions;
	const struct profile_settings *profiles = catalogue->profiles.items;
	const struct role_settings *roles = catalogue->roles.items;
	struct names *to = &application->profiles;

	to->items = arena_alloc_array(arena, catalogue->profiles.count + 1, sizeof(*to->items));
	for (size_t i = 0; to->items && i < catalogue->profiles.count; i++)
		if (profiles[i].name.text && covers_any(&profiles[i].permissions, asked))
			to->items[to->count++] = profiles[i].name.text;
	to = &application->roles;
	to->items = arena_alloc_array(arena, catalogue->roles.count + 1, sizeof(*to->items));
	for (size_t i = 0; to->items && i < catalogue->roles.count; i++)
		if (roles[i].name.text && covers_any(&roles[i].permissions, asked))
			to->items[to->count++] = roles[i].name.text;
	return !arena_failed(arena);
}

/* One URL as it is read from the settings. */
struct entry {
	struct url url;
	const struct application_settings *settings;
};

static int entry_compare(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->url.is_https != y->url.is_https)
		return x->url.is_https - y->url.is_https;
	if (strcmp(x->url.host, y->url.host) != 0)
		return strcmp(x->url.host, y->url.host);
	return (x->settings > y->settings) - (x->settings < y->settings);
}

static int read_entries(const struct web_settings *settings, struct arena *arena,
			struct entry **ret_entries, size_t *ret_count, struct err *err)
{
	const struct application_settings *applications = settings->applications.items;
	struct entry *entries;
	size_t count = 0;

	for (size_t i = 0; i < settings->applications.count; i++)
		count += applications[i].urls.count;
	entries = arena_alloc_array(arena, count + 1, sizeof(*entries));
	if (!entries)
		return err_set(err, ERR_MEMORY, "out of memory");
	count = 0;
	for (size_t i = 0; i < settings->applications.count; i++)
		for (size_t j = 0; j < applications[i].urls.count; j++) {
			const char *text = applications[i].urls.items[j].text;

			if (url_parse(text, &entries[count].url, err) < 0) {
				err_wrap(err, "bad URL '%.200s'", text);
				return -1;
			}
			entries[count++].settings = &applications[i];
		}
	qsort(entries, count, sizeof(*entries), entry_compare);
	*ret_entries = entries;
	*ret_count = count;
	return 0;
}

static struct application *make_application(const struct entry *entry, const char *host,
					    const struct catalogue_settings *catalogue,
					    struct arena *arena)
{
	struct application *application = arena_alloc(arena, sizeof(*application));

	if (!application)
		return NULL;
	application->settings = entry->settings;
	application->host = host;
	return collect_permitted(application, catalogue, arena) ? application : NULL;
}

static int add_pattern(struct origin *origin, const struct entry *entry,
		       const struct application *application, struct arena *arena, struct err *err)
{
	struct pattern *pattern = &origin->patterns[origin->count];
	char text[PATH_BYTES_MAX + 2];

	if (path_pattern(entry->url.path, entry->url.path_size, text, err) < 0)
		return -1;
	pattern->path = arena_strdup(arena, text);
	if (!pattern->path)
		return err_set(err, ERR_MEMORY, "out of memory");
	pattern->size = strlen(text);
	pattern->is_prefix = text[pattern->size - 1] == '/';
	pattern->application = application;
	origin->count++;
	return 0;
}

/* The application that has the whole host, unless another one has a part of it. */
static const struct application *sole_application(const struct origin *origin)
{
	bool whole = false;

	for (size_t i = 0; i < origin->count; i++) {
		if (origin->patterns[i].application != origin->patterns[0].application)
			return NULL;
		whole |= origin->patterns[i].size == 1;
	}
	return whole ? origin->patterns[0].application : NULL;
}

/* entries: those of one origin, in order of their application. */
static int make_origin(struct applications *applications, const struct entry *entries, size_t count,
		       const struct catalogue_settings *catalogue, struct err *err)
{
	struct origin *origin = &applications->origins[applications->count++];
	struct arena *arena = applications->arena;
	const struct application *application = NULL;

	origin->is_https = entries[0].url.is_https;
	origin->host = arena_strdup(arena, entries[0].url.host);
	origin->patterns = arena_alloc_array(arena, count, sizeof(*origin->patterns));
	for (size_t i = 0; origin->patterns && i < count; i++) {
		if (i == 0 || entries[i].settings != entries[i - 1].settings)
			application = make_application(&entries[i], origin->host, catalogue, arena);
		if (application && add_pattern(origin, &entries[i], application, arena, err) < 0)
			return -1;
	}
	if (arena_failed(arena))
		return err_set(err, ERR_MEMORY, "out of memory");
	origin->sole = sole_application(origin);
	return 0;
}

static bool same_origin(const struct url *a, const struct url *b)
{
	return a->is_https == b->is_https && strcmp(a->host, b->host) == 0;
}

static int make_origins(struct applications *applications, const struct web_settings *settings,
			const struct catalogue_settings *catalogue, struct err *err)
{
	AUTO(arena) struct arena *scratch = arena_create(ARENA_BYTES_MAX);
	struct entry *entries = NULL;
	size_t count = 0, end;

	if (!scratch)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (settings->public_url.text &&
	    url_parse(settings->public_url.text, &applications->own, err) < 0)
		return err_wrap(err, "bad public_url");
	if (read_entries(settings, scratch, &entries, &count, err) < 0)
		return -1;
	applications->origins =
		arena_alloc_array(applications->arena, count + 1, sizeof(*applications->origins));
	if (!applications->origins)
		return err_set(err, ERR_MEMORY, "out of memory");
	for (size_t i = 0; i < count; i = end) {
		for (end = i + 1; end < count && same_origin(&entries[end].url, &entries[i].url);)
			end++;
		if (make_origin(applications, entries + i, end - i, catalogue, err) < 0)
			return -1;
	}
	return 0;
}

struct applications *applications_create(const struct web_settings *settings,
					 const struct catalogue_settings *catalogue,
					 struct err *err)
{
	struct arena *arena = arena_create(ARENA_BYTES_MAX);
	struct applications *applications =
		arena ? arena_alloc(arena, sizeof(*applications)) : NULL;

	if (!applications) {
		arena_destroy(arena);
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	applications->arena = arena;
	if (make_origins(applications, settings, catalogue, err) == 0)
		return applications;
	applications_destroy(applications);
	return NULL;
}

void applications_destroy(struct applications *applications)
{
	if (applications)
		arena_destroy(applications->arena);
}

/* ------------------------------------------------------------------ finding */

static char fold(char c, bool caseless)
{
	return caseless && c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool begins(const char *text, const char *with, size_t size, bool caseless)
{
	for (size_t i = 0; i < size; i++)
		if (fold(text[i], caseless) != fold(with[i], caseless))
			return false;
	return true;
}

/*
 * How well: 0 not at all; more for more bytes of the pattern, one more for the very spelling. Most servers
 * take "/admin" and "/admin/" for the same page, so the one without a rule of its own has the other's.
 */
static size_t pattern_rank(const struct pattern *pattern, const char *text, size_t size,
			   bool caseless)
{
	size_t wanted = pattern->size;

	if (pattern->is_prefix ? size >= wanted : size == wanted)
		return begins(text, pattern->path, wanted, caseless) ? 2 * wanted + 1 : 0;
	if (pattern->is_prefix && size == wanted - 1)
		return begins(text, pattern->path, size, caseless) ? 2 * size : 0;
	if (!pattern->is_prefix && size == wanted + 1 && text[wanted] == '/')
		return begins(text, pattern->path, wanted, caseless) ? 2 * wanted : 0;
	return 0;
}

/* false: a server that folds case would see another application. *ret_application NULL: none. */
static bool match_reading(const struct origin *origin, const char *text,
			  const struct application **ret_application)
{
	const struct application *found = NULL;
	size_t size = strlen(text), best = 0;

	for (size_t i = 0; i < origin->count; i++) {
		size_t rank = pattern_rank(&origin->patterns[i], text, size, false);

		if (rank > best) {
			best = rank;
			found = origin->patterns[i].application;
		}
	}
	for (size_t i = 0; i < origin->count; i++)
		if (origin->patterns[i].application != found &&
		    pattern_rank(&origin->patterns[i], text, size, true) > best)
			return false;
	*ret_application = found;
	return true;
}

/* The one application in which every reading of the path lies. */
static const struct application *match_path(const struct origin *origin, const struct path *path)
{
	const struct application *agreed = NULL;
	char text[PATH_BYTES_MAX + 2];

	for (unsigned reading = 0; reading < PATH_READINGS; reading++) {
		const struct application *found;
		enum path_state state;

		if (!path_read(path, reading, text, &state))
			continue;
		if (state != PATH_PLAIN || !match_reading(origin, text, &found))
			return NULL;
		if (reading > 0 && found != agreed)
			return NULL;
		agreed = found;
	}
	return agreed;
}

const struct application *applications_find(const struct applications *applications,
					    const char *scheme, const char *host, const char *path)
{
	bool is_https = text_ascii_equal_caseless(scheme, "https");
	const struct origin *origin;
	char normal[URL_HOST_MAX];
	struct path read;

	if (!is_https && !text_ascii_equal_caseless(scheme, "http"))
		return NULL;
	/* Most hosts are written as they stand in the table. */
	origin = find_origin(applications, is_https, host);
	if (!origin) {
		if (url_host_normalise(is_https, host, strlen(host), normal, NULL) < 0)
			return NULL;
		origin = find_origin(applications, is_https, normal);
	}
	if (!origin || path_decode(path, strcspn(path, "?"), &read) == PATH_BAD)
		return NULL;
	if (origin->sole)
		return origin->sole;
	return read.state == PATH_PLAIN ? match_path(origin, &read) : NULL;
}

bool applications_allow_return(const struct applications *applications, const char *url)
{
	char path[URL_TEXT_MAX + 1] = "/";
	struct url read;

	if (url_parse(url, &read, NULL) < 0)
		return false;
	if (applications->own.host[0] && same_origin(&read, &applications->own))
		return true;
	if (read.path_size) {
		memcpy(path, read.path, read.path_size);
		path[read.path_size] = 0;
	}
	return applications_find(applications, read.is_https ? "https" : "http", read.host, path);
}

const char *application_name(const struct application *application)
{
	return application->settings->name.text;
}

const struct application_settings *application_settings(const struct application *application)
{
	return application->settings;
}

const char *application_host(const struct application *application)
{
	return application->host;
}

/* ------------------------------------------------------------------ judging */

static int compare_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* list is sorted. */
static bool holds(const char *const *list, size_t count, const char *name)
{
	return count && bsearch(&name, list, count, sizeof(*list), compare_text);
}

/* A list that was given and is empty lets nobody in. */
static bool any_of(const struct located_list *wanted, const char *const *held, size_t count)
{
	if (!wanted->items)
		return true;
	for (size_t i = 0; i < wanted->count; i++)
		if (holds(held, count, wanted->items[i].text))
			return true;
	return false;
}

static bool has_profile(const struct application *application, const struct principal *principal)
{
	return any_of(&application->settings->require.profiles, &principal->profile, 1);
}

static bool has_role(const struct application *application, const struct principal *principal)
{
	return any_of(&application->settings->require.roles, principal->roles,
		      principal->role_count);
}

static bool has_persona(const struct application *application, const struct principal *principal)
{
	return any_of(&application->settings->require.personas, principal->personas,
		      principal->persona_count);
}

static bool has_group(const struct application *application, const struct principal *principal)
{
	return any_of(&application->settings->require.groups, principal->groups,
		      principal->group_count);
}

static bool has_permission(const struct application *application, const struct principal *principal)
{
	if (!application->settings->require.permissions.items)
		return true;
	for (size_t i = 0; i < application->profiles.count; i++)
		if (strcmp(application->profiles.items[i], principal->profile) == 0)
			return true;
	for (size_t i = 0; i < application->roles.count; i++)
		if (holds(principal->roles, principal->role_count, application->roles.items[i]))
			return true;
	return false;
}

static const struct {
	const char *lacking;
	bool (*met)(const struct application *application, const struct principal *principal);
} requirements[] = {
	{ "profiles", has_profile },	   { "roles", has_role },
	{ "personas", has_persona },	   { "groups", has_group },
	{ "permissions", has_permission },
};

static bool has_second_factor(const struct require_settings *require,
			      const struct session_view *view, int64_t now_s)
{
	return !require->second_factor ||
	       factor_is_fresh(view->second_factor_s, require->second_factor_max_age_s, now_s);
}

enum forward_verdict application_judge(const struct application *application,
				       const struct session_view *view, int64_t now_s,
				       const char **ret_lacking)
{
	*ret_lacking = "";
	for (size_t i = 0; i < ARRAY_LEN(requirements); i++)
		if (!requirements[i].met(application, view->principal)) {
			*ret_lacking = requirements[i].lacking;
			return FORWARD_DENIED;
		}
	if (has_second_factor(&application->settings->require, view, now_s))
		return FORWARD_ALLOWED;
	*ret_lacking = "second-factor";
	return FORWARD_SECOND_FACTOR;
}

/* ------------------------------------------------------------------ headers */

static bool is_control(uint32_t c)
{
	/* C0, DEL, C1, and the line and paragraph separators. */
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029;
}

/* attr-char of RFC 8187, 3.2.1 */
static bool is_attr_char(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("!#$&+-.^_`|~", c));
}

static void put_encoded(struct strbuf *out, const char *text, size_t size)
{
	strbuf_puts(out, "UTF-8''");
	for (size_t i = 0; i < size; i++)
		if (is_attr_char((unsigned char)text[i]))
			strbuf_putc(out, text[i]);
		else
			strbuf_printf(out, "%%%02X", (unsigned char)text[i]);
}

/* Without control characters and blanks at the ends. ERR_INVALID: not UTF-8. */
static int clean(const char *text, struct strbuf *out, bool *ret_plain, struct err *err)
{
	size_t left = strlen(text), size;
	uint32_t c;

	*ret_plain = true;
	for (; left; text += size, left -= size) {
		size = text_next_char(text, left, &c);
		if (size == 0)
			return err_set(err, ERR_INVALID, "a header's text is not UTF-8");
		if (is_control(c) || (c == ' ' && out->size == 0))
			continue;
		strbuf_append(out, text, size);
		*ret_plain &= c < 0x80;
	}
	while (out->size && out->data[out->size - 1] == ' ')
		strbuf_truncate(out, out->size - 1);
	return strbuf_failed(out) ? err_set(err, ERR_TOO_LARGE, "a header's text is too long") : 0;
}

static bool looks_encoded(const char *text)
{
	char start[] = "utf-8'";

	return strlen(text) >= strlen(start) && begins(text, start, strlen(start), true);
}

int forward_header_value(const char *text, enum header_encoding encoding, struct strbuf *out,
			 struct err *err)
{
	AUTO(strbuf) struct strbuf value = STRBUF((size_t)1 << 20);
	bool plain;

	if (clean(text, &value, &plain, err) < 0)
		return -1;
	/* What merely looks encoded is encoded, too, so that nobody takes a name for another. */
	if (encoding == HEADER_RFC8187 && (!plain || looks_encoded(strbuf_text(&value))))
		put_encoded(out, value.data, value.size);
	else
		strbuf_append(out, value.data, value.size);
	return strbuf_failed(out) ? err_set(err, ERR_TOO_LARGE, "a header's text is too long") : 0;
}
