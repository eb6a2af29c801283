/*
 * The meaning of the vendors' disabled markers (see disabled.h). A value
 * that cannot be read says nothing: it neither disables nor enables.
 */
#include "disabled.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <rolebridge/base/util.h>

/* Active Directory counts 100 ns since 1601-01-01; the distance to 1970 in seconds. */
#define FILETIME_EPOCH_S 11644473600LL
#define FILETIME_NEVER INT64_MAX
#define ACCOUNTDISABLE 2
#define DAY_S 86400

struct disabled_kind {
	const char *attribute; /* NULL: the value after '=' decides */
	bool (*says_disabled)(const char *value, size_t size, int64_t now_s);
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

static bool is_true(const char *value, size_t size, int64_t now_s)
{
	(void)now_s;
	return size == 4 && strncasecmp(value, "true", 4) == 0;
}

static bool is_account_disable(const char *value, size_t size, int64_t now_s)
{
	int64_t flags;

	(void)now_s;
	return parse_integer(value, size, &flags) && (flags & ACCOUNTDISABLE);
}

/*
 * Only the value for "until an administrator unlocks" counts. A time is a
 * lock-out after wrong passwords, which anybody can cause: it must not disable people.
 */
static bool is_permanent_lock(const char *value, size_t size, int64_t now_s)
{
	static const char permanent[] = "000001010000Z";

	(void)now_s;
	return size == sizeof(permanent) - 1 && memcmp(value, permanent, size) == 0;
}

static bool is_past_filetime(const char *value, size_t size, int64_t now_s)
{
	int64_t time;

	if (!parse_integer(value, size, &time) || time <= 0 || time == FILETIME_NEVER)
		return false;
	return time / 10000000 - FILETIME_EPOCH_S <= now_s;
}

/* Days since the epoch; the account ends at the beginning of that day. */
static bool is_past_day(const char *value, size_t size, int64_t now_s)
{
	int64_t day;

	return parse_integer(value, size, &day) && day > 0 && day <= now_s / DAY_S;
}

static const struct disabled_kind known[] = {
	{ "nsAccountLock", is_true },
	{ "userAccountControl", is_account_disable },
	{ "pwdAccountLockedTime", is_permanent_lock },
	{ "accountExpires", is_past_filetime },
	{ "shadowExpire", is_past_day },
};

static const struct disabled_kind by_value = { NULL, NULL };

const char *const disabled_default[] = { "nsAccountLock", "userAccountControl",
					 "pwdAccountLockedTime", "accountExpires", "shadowExpire" };
const size_t disabled_default_count = ARRAY_LEN(disabled_default);

static bool name_is_plausible(const char *name, size_t size)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-.;";

	return size > 0 && strspn(name, allowed) >= size;
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

bool disabled_marker_matches(const struct disabled_marker *marker, const char *value, size_t size,
			     int64_t now_s)
{
	if (marker->kind->says_disabled)
		return marker->kind->says_disabled(value, size, now_s);
	const char *wanted = marker->text + marker->attribute_size + 1;
	return size == strlen(wanted) && strncasecmp(value, wanted, size) == 0;
}
