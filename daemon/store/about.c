/*
 * Keys of audit rows. Enters: details and objects, as they were written. Leaves: UUIDs of people. A text that is none of ours
 * has none; nothing can fail but the registration.
 *
 * A detail is compact JSON, so that a member is found by its bytes: inside of a string a quote has a
 * backslash before it.
 */
#include "about.h"

#include <string.h>

#include "db.h"

#define MENTIONS_MAX 4

static bool take_uuid(const char *text, unsigned char ret_uuid[16])
{
	char part[UUID_TEXT_SIZE];

	if (strnlen(text, UUID_TEXT_SIZE - 1) < UUID_TEXT_SIZE - 1)
		return false;
	memcpy(part, text, UUID_TEXT_SIZE - 1);
	part[UUID_TEXT_SIZE - 1] = '\0';
	return compact_uuid(part, ret_uuid);
}

bool about_user_of(const char *text, unsigned char ret_uuid[16])
{
	const char *end;

	if (strncmp(text, OBJECT_USER, sizeof(OBJECT_USER) - 1) != 0 ||
	    !take_uuid(text + sizeof(OBJECT_USER) - 1, ret_uuid))
		return false;
	end = text + sizeof(OBJECT_USER) - 1 + UUID_TEXT_SIZE - 1;
	return *end == '\0' || *end == '/';
}

/* The member before the value that begins at *value. */
static bool names_person(const char *detail, const char *value)
{
	static const char *const members[] = { "\"user\":\"", "\"owner\":\"", "\"to\":\"" };

	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		size_t size = strlen(members[i]);

		if ((size_t)(value - detail) >= size && memcmp(value - size, members[i], size) == 0)
			return true;
	}
	return false;
}

/* The next one from *at on. */
static bool next_mention(const char *detail, const char **at, unsigned char ret_uuid[16])
{
	while ((*at = strstr(*at, "\":\"")) != NULL) {
		*at += 3;
		if (names_person(detail, *at) && take_uuid(*at, ret_uuid) &&
		    (*at)[UUID_TEXT_SIZE - 1] == '"')
			return true;
	}
	return false;
}

/* The nth, from 0. */
static bool find_mention(const char *detail, const char *object, int64_t n,
			 unsigned char ret_uuid[16])
{
	const char *at = detail;

	if (n >= MENTIONS_MAX)
		return false;
	if (about_user_of(object, ret_uuid) && n-- == 0)
		return true;
	for (int64_t i = 0; next_mention(detail, &at, ret_uuid); i++)
		if (i == n)
			return true;
	return false;
}

bool about_mentions(const char *detail, const char *object, const unsigned char uuid[16])
{
	unsigned char mentioned[16];

	for (int64_t n = 0; find_mention(detail, object, n, mentioned); n++)
		if (memcmp(mentioned, uuid, sizeof(mentioned)) == 0)
			return true;
	return false;
}

/* --- SQL --- */

static const char *text_of(sqlite3_value *value)
{
	const char *text = sqlite3_value_type(value) == SQLITE_TEXT
				   ? (const char *)sqlite3_value_text(value)
				   : NULL;

	return text ? text : "";
}

static void give(sqlite3_context *context, bool found, const unsigned char *uuid)
{
	if (found)
		sqlite3_result_blob(context, uuid, 16, SQLITE_TRANSIENT);
	else
		sqlite3_result_null(context);
}

static void user_of(sqlite3_context *context, int count, sqlite3_value **values)
{
	unsigned char uuid[16];

	(void)count;
	give(context, about_user_of(text_of(values[0]), uuid), uuid);
}

static void user_mention(sqlite3_context *context, int count, sqlite3_value **values)
{
	unsigned char uuid[16];
	/* Each text by itself: the other may move it. */
	const char *detail = text_of(values[0]), *object = text_of(values[1]);

	(void)count;
	give(context, find_mention(detail, object, sqlite3_value_int64(values[2]), uuid), uuid);
}

int about_register(struct store *store, struct err *err)
{
	const int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_DIRECTONLY;
	int rc = sqlite3_create_function(store->db, "user_of", 1, flags, NULL, user_of, NULL, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_create_function(store->db, "user_mention", 3, flags, NULL,
					     user_mention, NULL, NULL);
	return rc == SQLITE_OK ? 0 : store_error(store, rc, err);
}
