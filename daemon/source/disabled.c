/*
 * The meaning of disabled markers (see disabled.h). A value
 * that cannot be read says nothing: it neither disables nor enables.
 */
#include "disabled.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

/* Active Directory counts 100 ns since 1601-01-01; the distance to 1970 in seconds. */
#define FILETIME_EPOCH_S 11644473600LL
#define FILETIME_NEVER INT64_MAX
#define ACCOUNTDISABLE 2
#define DAY_S 86400

struct disabled_kind {
	const char *attribute; /* NULL: the value after '=' decides */
	int64_t (*from_s)(const char *value, size_t size);
};

/* Decimal, whole value, no rounding; false otherwise. */
static bool parse_integer(const char *value, size_t size, int64_t *ret_number)
{
	char text[24], *end;

	if (size == 0 || size >= sizeof(text) || strchr(" \t\n\v\f\r+", value[0]))
		return false;
	memcpy(text, value, size);
	text[size] = '\0';
	*ret_number = strtoll(text, &end, 10);
	return *end == '\0' && end == text + size;
}

static int64_t always_if(bool disabled)
{
	return disabled ? DISABLED_ALWAYS : DISABLED_NEVER;
}

/* Times before 1970 are long ago, and must not be taken for the two that are none. */
static int64_t time_or_long_ago(int64_t time_s)
{
	return time_s > 0 ? time_s : 1;
}

static int64_t from_true(const char *value, size_t size)
{
	return always_if(size == 4 && strncasecmp(value, "true", 4) == 0);
}

static int64_t from_account_control(const char *value, size_t size)
{
	int64_t flags;

	return always_if(parse_integer(value, size, &flags) && (flags & ACCOUNTDISABLE));
}

/*
 * Only the value for "until an administrator unlocks" counts. A time is a
 * lock-out after wrong passwords, which anybody can cause: it must not disable people.
 */
static int64_t from_permanent_lock(const char *value, size_t size)
{
	static const char permanent[] = "000001010000Z";

	return always_if(size == sizeof(permanent) - 1 && memcmp(value, permanent, size) == 0);
}

static int64_t from_filetime(const char *value, size_t size)
{
	int64_t time;

	if (!parse_integer(value, size, &time) || time <= 0 || time == FILETIME_NEVER)
		return DISABLED_NEVER;
	return time_or_long_ago(time / 10000000 - FILETIME_EPOCH_S);
}

/* Days since the epoch; the account ends at the beginning of that day. */
static int64_t from_day(const char *value, size_t size)
{
	int64_t day;

	if (!parse_integer(value, size, &day) || day <= 0 || day > INT64_MAX / DAY_S)
		return DISABLED_NEVER;
	return day * DAY_S;
}

/* The end of an account, not of its password, which says nothing about who signs in elsewhere. */
static int64_t from_generalized_time(const char *value, size_t size)
{
	char text[40];
	int64_t time_s;

	if (size == 0 || size >= sizeof(text) || memchr(value, '\0', size))
		return DISABLED_NEVER;
	memcpy(text, value, size);
	text[size] = '\0';
	if (clock_parse_generalized(text, &time_s, NULL) < 0)
		return DISABLED_NEVER;
	return time_or_long_ago(time_s);
}

static const struct disabled_kind known[] = {
	{ "nsAccountLock", from_true },
	{ "userAccountControl", from_account_control },
	{ "pwdAccountLockedTime", from_permanent_lock },
	{ "accountExpires", from_filetime },
	{ "shadowExpire", from_day },
	{ "pwdEndTime", from_generalized_time },
	{ "krbPrincipalExpiration", from_generalized_time },
};

static const struct disabled_kind by_value = { NULL, NULL };

/* Names of columns may hold spaces inside. */
static bool name_is_plausible(const char *name, size_t size)
{
	static const char refused[] = "()\"\\=*<>:,";

	return size > 0 && name[0] > ' ' && name[size - 1] != ' ' && strcspn(name, refused) >= size;
}

bool disabled_marker_parse(const char *text, struct disabled_marker *ret_marker)
{
	const char *equals = strchr(text, '=');

	if (equals) {
		size_t size = (size_t)(equals - text);

		if (!name_is_plausible(text, size) || equals[1] == '\0')
			return false;
		*ret_marker = (struct disabled_marker){ text, size, &by_value };
		return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (strcasecmp(text, known[i].attribute) == 0) {
			*ret_marker = (struct disabled_marker){ text, strlen(text), &known[i] };
			return true;
		}
	}
	return false;
}

/* As rules compare text (RFC 4518); what is no text equals nothing. */
static bool equals_prepared(const char *value, size_t size, const char *wanted)
{
	AUTO(strbuf) struct strbuf given = STRBUF(SIZE_MAX);
	AUTO(strbuf) struct strbuf asked = STRBUF(SIZE_MAX);

	text_fold(&given, value, size);
	text_fold(&asked, wanted, strlen(wanted));
	return !strbuf_failed(&given) && !strbuf_failed(&asked) && given.size == asked.size &&
	       memcmp(strbuf_text(&given), strbuf_text(&asked), given.size) == 0;
}

int64_t disabled_marker_from_s(const struct disabled_marker *marker, const char *value, size_t size)
{
	const char *wanted;

	if (marker->kind->from_s)
		return marker->kind->from_s(value, size);
	wanted = marker->text + marker->attribute_size + 1;
	return always_if(strcmp(wanted, "*") == 0 || equals_prepared(value, size, wanted));
}

void disabled_state_add(struct disabled_state *state, const struct disabled_marker *marker,
			const char *value, size_t size)
{
	int64_t from_s = disabled_marker_from_s(marker, value, size);

	if (from_s == DISABLED_NEVER || state->always)
		return;
	if (from_s == DISABLED_ALWAYS)
		*state = (struct disabled_state){ .always = true, .by = marker->text };
	else if (!state->by || from_s < state->from_s)
		*state = (struct disabled_state){ .from_s = from_s, .by = marker->text };
}

static bool says_none(const struct located_list *option)
{
	return option->count == 1 && option->items[0].text &&
	       strcmp(option->items[0].text, "none") == 0;
}

size_t disabled_count(const struct located_list *option)
{
	if (says_none(option))
		return 0;
	return option->count ? option->count : ARRAY_LEN(known);
}

const char *disabled_text(const struct located_list *option, size_t index)
{
	if (option->count == 0)
		return known[index].attribute;
	return option->items[index].text ? option->items[index].text : "";
}

void disabled_check(const struct located_list *option, struct diagnostics *list)
{
	struct disabled_marker marker;

	for (size_t i = 0; i < option->count && !says_none(option); i++) {
		const struct located *text = &option->items[i];

		if (text->text && !disabled_marker_parse(text->text, &marker))
			diagnostics_add(list, SEVERITY_ERROR, "invalid-marker", text->at,
					"For attributes without a built-in meaning write "
					"attribute=value.",
					"'%s' has no known meaning as a disabled marker",
					text->text);
	}
}
