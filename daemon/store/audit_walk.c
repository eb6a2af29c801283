/*
 * Reading the audit log. Enters: what is asked for. Leaves: rows in their order. Fails as the store does.
 *
 * SQL brings the rows in order: all, or by audit_about those of one object, actor or person, with the latest
 * rows, which are in no index yet. Here each is looked at whether it is asked for, so that it is known
 * how many were, and where a query that looked at enough of them is to go on.
 */
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>

#include "about.h"
#include "db.h"

#define KEYS_MAX 20
#define INVITES_MAX "16"

/* A name asked for: exact by its number, or by its beginning. The last number that was looked at is remembered. */
struct wanted_name {
	const char *text; /* NULL: any */
	size_t size;	  /* of the beginning */
	bool is_prefix;
	int64_t id; /* -1: nobody has it */
	int64_t seen_id;
	bool seen;
};

struct wanted_person {
	bool given;
	unsigned char uuid[16];
	int64_t local;	       /* number of unix:NAME; -1 */
	struct strbuf invites; /* "invite:UUID", each with its NUL */
};

/* A key of audit_about. */
struct key {
	enum { KEY_UUID, KEY_NAME, KEY_TEXT } type;
	unsigned char uuid[16];
	int64_t number;
	const char *text;
};

struct store_audit_cursor {
	struct query query;
	struct audit_query wanted;
	struct wanted_name actor, action, request;
	struct wanted_person person;
	unsigned char object_uuid[16], request_uuid[16];
	bool object_is_user, object_is_prefix, request_is_uuid;
	struct key keys[KEYS_MAX];
	size_t key_count;
	size_t looked_at, given;
	int64_t last_seq; /* looked at */
	bool ended;
	struct strbuf texts; /* of the present row */
};

/* --- what is asked for --- */

static bool ends_in_star(const char *text)
{
	size_t size = text ? strlen(text) : 0;

	return size > 0 && text[size - 1] == '*';
}

static int want_name(struct store *store, const char *text, bool may_star,
		     struct wanted_name *ret_name, struct err *err)
{
	struct wanted_name name = { .text = text, .id = -1, .seen_id = -1 };

	if (may_star && ends_in_star(text)) {
		name.is_prefix = true;
		name.size = strlen(text) - 1;
	} else if (text && names_find(store, NAMES_GENERAL, text, &name.id, err) < 0) {
		return -1;
	}
	*ret_name = name;
	return 0;
}

static int read_invites(struct store *store, int64_t user_id, struct strbuf *out, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(store, "SELECT uuid FROM invite WHERE user = ?1 "
						  "AND user <> 0 ORDER BY id LIMIT " INVITES_MAX);
	struct compact buffer;
	int row;

	query_int(&query, user_id);
	while ((row = query_row(&query, err)) > 0) {
		strbuf_printf(out, "invite:%s", column_compact(&query, 0, &buffer));
		strbuf_putc(out, '\0');
	}
	if (row == 0 && strbuf_failed(out))
		return err_set(err, ERR_MEMORY, "out of memory");
	return row;
}

/* On the control socket one is the user of one's name, but for root. */
static int find_local(struct store *store, const char *username, int64_t *ret_id, struct err *err)
{
	AUTO(strbuf) struct strbuf name = STRBUF(4096);

	*ret_id = -1;
	if (strcmp(username, "root") == 0)
		return 0;
	strbuf_printf(&name, "unix:%s", username);
	if (strbuf_failed(&name))
		return err_set(err, ERR_MEMORY, "out of memory");
	return names_find(store, NAMES_GENERAL, strbuf_text(&name), ret_id, err) < 0 ? -1 : 0;
}

static int want_person(struct store *store, const struct user *user,
		       struct wanted_person *ret_person, struct err *err)
{
	struct wanted_person person = { .given = true, .invites = STRBUF(4096) };

	memcpy(person.uuid, &user->uuid, sizeof(person.uuid));
	if (find_local(store, user->username, &person.local, err) < 0 ||
	    read_invites(store, user->id, &person.invites, err) < 0) {
		strbuf_finish(&person.invites);
		return -1;
	}
	*ret_person = person;
	return 0;
}

static struct key *add_key(struct store_audit_cursor *cursor)
{
	return &cursor->keys[cursor->key_count++];
}

static void keys_of_person(struct store_audit_cursor *cursor)
{
	const struct strbuf *invites = &cursor->person.invites;
	struct key *key = add_key(cursor);

	key->type = KEY_UUID;
	memcpy(key->uuid, cursor->person.uuid, sizeof(key->uuid));
	if (cursor->person.local >= 0)
		*add_key(cursor) = (struct key){ .type = KEY_NAME, .number = cursor->person.local };
	for (size_t at = 0; at < invites->size; at += strlen(invites->data + at) + 1)
		*add_key(cursor) = (struct key){ .type = KEY_TEXT, .text = invites->data + at };
}

/* The narrowest that audit_about knows; none: all rows are walked through. */
static void find_keys(struct store_audit_cursor *cursor)
{
	const struct audit_query *wanted = &cursor->wanted;

	if (wanted->object && cursor->object_is_user) {
		struct key *key = add_key(cursor);

		key->type = KEY_UUID;
		memcpy(key->uuid, cursor->object_uuid, sizeof(key->uuid));
	} else if (wanted->object && !cursor->object_is_prefix) {
		*add_key(cursor) = (struct key){ .type = KEY_TEXT, .text = wanted->object };
	} else if (cursor->person.given) {
		keys_of_person(cursor);
	} else if (wanted->actor && !cursor->actor.is_prefix &&
		   (strncmp(wanted->actor, OBJECT_USER, 5) == 0 ||
		    strncmp(wanted->actor, "unix:", 5) == 0)) {
		*add_key(cursor) = (struct key){ .type = KEY_NAME, .number = cursor->actor.id };
	}
}

/* --- SQL --- */

#define ROW_COLUMNS "at_s, actor, action, a.object, request, detail, hash, request_uuid"
#define FIRST_KEY 3

/* Ordered by the column that the index is, and with one lower bound: else SQLite sorts, or walks through all. */
static void write_sql(const struct store_audit_cursor *cursor, struct strbuf *sql)
{
	for (size_t i = 0; i < cursor->key_count; i++)
		strbuf_printf(sql,
			      "SELECT o.seq, " ROW_COLUMNS
			      " FROM audit_about o CROSS JOIN audit a ON a.seq = o.seq "
			      "WHERE o.object = ?%zu AND o.seq > ?1 AND o.seq < ?2 "
			      "AND o.seq <= " INDEXED_AUDIT " UNION ALL ",
			      i + FIRST_KEY);
	strbuf_puts(sql,
		    "SELECT a.seq, " ROW_COLUMNS " FROM audit a WHERE a.seq < ?2 AND a.seq > ");
	strbuf_puts(sql, cursor->key_count ? "max(?1, " INDEXED_AUDIT ")" : "?1");
	strbuf_puts(sql, cursor->wanted.newest_first ? " ORDER BY 1 DESC" : " ORDER BY 1");
}

static void bind_key(struct query *query, const struct key *key)
{
	switch (key->type) {
	case KEY_UUID: query_blob(query, key->uuid, sizeof(key->uuid)); break;
	case KEY_NAME: query_int(query, key->number); break;
	case KEY_TEXT: query_text(query, key->text); break;
	}
}

static int cursor_prepare(struct store *store, struct store_audit_cursor *cursor, struct err *err)
{
	const struct audit_query *wanted = &cursor->wanted;
	AUTO(strbuf) struct strbuf sql = STRBUF(64 * 1024);

	write_sql(cursor, &sql);
	if (strbuf_failed(&sql))
		return err_set(err, ERR_MEMORY, "out of memory");
	cursor->query = query_prepare(store, strbuf_text(&sql));
	query_int(&cursor->query, wanted->after_seq);
	query_int(&cursor->query, wanted->before_seq ? wanted->before_seq : INT64_MAX);
	for (size_t i = 0; i < cursor->key_count; i++)
		bind_key(&cursor->query, &cursor->keys[i]);
	return 0;
}

static int cursor_fill(struct store *store, struct store_audit_cursor *cursor, struct err *err)
{
	const struct audit_query *wanted = &cursor->wanted;
	const char *object = wanted->object;

	if (want_name(store, wanted->actor, true, &cursor->actor, err) < 0 ||
	    want_name(store, wanted->action, true, &cursor->action, err) < 0 ||
	    want_name(store, wanted->request, false, &cursor->request, err) < 0 ||
	    (wanted->person && want_person(store, wanted->person, &cursor->person, err) < 0))
		return -1;
	cursor->object_is_prefix = ends_in_star(object);
	cursor->object_is_user =
		object && strncmp(object, OBJECT_USER, sizeof(OBJECT_USER) - 1) == 0 &&
		compact_uuid(object + sizeof(OBJECT_USER) - 1, cursor->object_uuid);
	cursor->request_is_uuid =
		wanted->request && compact_uuid(wanted->request, cursor->request_uuid);
	find_keys(cursor);
	return cursor_prepare(store, cursor, err);
}

struct store_audit_cursor *store_audit_open(struct store *store, const struct audit_query *query,
					    struct err *err)
{
	struct store_audit_cursor *cursor = alloc_zeroed(1, sizeof(*cursor));

	if (!cursor) {
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	if (query)
		cursor->wanted = *query;
	cursor->last_seq =
		cursor->wanted.newest_first ? cursor->wanted.before_seq : cursor->wanted.after_seq;
	cursor->texts = STRBUF(1024 * 1024);
	cursor->query.owned = true;
	if (cursor_fill(store, cursor, err) == 0)
		return cursor;
	store_audit_close(cursor);
	err_wrap(err, "cannot read the audit log");
	return NULL;
}

/* --- is the row asked for? --- */

/* 1, 0, -1. */
static int name_matches(struct store_audit_cursor *cursor, struct wanted_name *name, int column,
			struct err *err)
{
	int64_t id = column_int(&cursor->query, column);
	const char *text;

	if (!name->text)
		return 1;
	if (!name->is_prefix)
		return id == name->id;
	if (id != name->seen_id) {
		text = names_text(cursor->query.store, NAMES_GENERAL, id, err);
		if (!text)
			return -1;
		name->seen = strncmp(text, name->text, name->size) == 0;
		name->seen_id = id;
	}
	return name->seen;
}

/* A UUID too may have a number: before version 3 of the schema it had. */
static bool request_matches(const struct store_audit_cursor *cursor)
{
	const void *uuid;
	size_t size;

	if (!cursor->wanted.request)
		return true;
	if (cursor->request.id > 0)
		if (column_int(&cursor->query, 5) == cursor->request.id)
			return true;
	uuid = column_blob(&cursor->query, 8, &size);
	if (cursor->request_is_uuid)
		return size == 16 && memcmp(uuid, cursor->request_uuid, 16) == 0;
	return cursor->request.id == 0 && column_int(&cursor->query, 5) == 0 && size == 0;
}

static bool object_is_uuid(const struct store_audit_cursor *cursor, const unsigned char uuid[16])
{
	size_t size;
	const void *blob;

	if (sqlite3_column_type(cursor->query.statement, 4) != SQLITE_BLOB)
		return false;
	blob = column_blob(&cursor->query, 4, &size);
	return size == 16 && memcmp(blob, uuid, 16) == 0;
}

/* As people see it: "user:UUID" stands as 16 bytes. */
static void put_object(const struct store_audit_cursor *cursor, struct strbuf *out)
{
	struct compact buffer;
	const char *object = column_compact(&cursor->query, 4, &buffer);

	if (object == buffer.text)
		strbuf_puts(out, OBJECT_USER);
	strbuf_append(out, object, strlen(object) + 1);
}

static bool object_matches(struct store_audit_cursor *cursor)
{
	const char *wanted = cursor->wanted.object;

	if (!wanted)
		return true;
	if (cursor->object_is_user)
		return object_is_uuid(cursor, cursor->object_uuid);
	strbuf_clear(&cursor->texts);
	put_object(cursor, &cursor->texts);
	if (strbuf_failed(&cursor->texts))
		return false;
	if (cursor->object_is_prefix)
		return strncmp(cursor->texts.data, wanted, strlen(wanted) - 1) == 0;
	return strcmp(cursor->texts.data, wanted) == 0;
}

static bool is_invite_of(const struct wanted_person *person, const char *object)
{
	const struct strbuf *invites = &person->invites;

	for (size_t at = 0; at < invites->size; at += strlen(invites->data + at) + 1)
		if (strcmp(invites->data + at, object) == 0)
			return true;
	return false;
}

static int actor_is_person(struct store_audit_cursor *cursor, struct err *err)
{
	int64_t id = column_int(&cursor->query, 2);
	unsigned char uuid[16];
	const char *text;

	if (id == cursor->person.local)
		return 1;
	text = names_text(cursor->query.store, NAMES_GENERAL, id, err);
	if (!text)
		return -1;
	return about_user_of(text, uuid) && memcmp(uuid, cursor->person.uuid, 16) == 0;
}

static int detail_may_mention(struct store_audit_cursor *cursor, struct err *err)
{
	const char *action;

	if (sqlite3_column_type(cursor->query.statement, 4) == SQLITE_TEXT)
		return 1;
	action = names_text(cursor->query.store, NAMES_GENERAL, column_int(&cursor->query, 3), err);
	return action ? strcmp(action, "user.reassign") == 0 : -1;
}

/* By the index or not: the same is asked of each row. */
static int person_matches(struct store_audit_cursor *cursor, struct err *err)
{
	const struct wanted_person *person = &cursor->person;
	int matches;

	if (!person->given || object_is_uuid(cursor, person->uuid))
		return 1;
	matches = actor_is_person(cursor, err);
	if (matches != 0)
		return matches;
	matches = detail_may_mention(cursor, err);
	if (matches <= 0)
		return matches;

	const char *object = sqlite3_column_type(cursor->query.statement, 4) == SQLITE_TEXT
				     ? column_text(&cursor->query, 4)
				     : "";

	return is_invite_of(person, object) ||
	       about_mentions(column_text(&cursor->query, 6), object, person->uuid);
}

static bool time_matches(const struct store_audit_cursor *cursor)
{
	int64_t at_s = column_int(&cursor->query, 1);

	return (!cursor->wanted.from_s || at_s >= cursor->wanted.from_s) &&
	       (!cursor->wanted.to_s || at_s < cursor->wanted.to_s);
}

static int row_matches(struct store_audit_cursor *cursor, struct err *err)
{
	int matches;

	if (!time_matches(cursor) || !request_matches(cursor))
		return 0;
	if ((matches = name_matches(cursor, &cursor->actor, 2, err)) <= 0 ||
	    (matches = name_matches(cursor, &cursor->action, 3, err)) <= 0)
		return matches;
	return object_matches(cursor) ? person_matches(cursor, err) : 0;
}

/* --- rows --- */

/* Copies a name into the row's texts; the caller turns offsets into pointers at the end. */
static int copy_name(struct store_audit_cursor *cursor, int column, size_t *ret_offset,
		     struct err *err)
{
	const char *text = names_text(cursor->query.store, NAMES_GENERAL,
				      column_int(&cursor->query, column), err);

	if (!text)
		return -1;
	*ret_offset = cursor->texts.size;
	strbuf_append(&cursor->texts, text, strlen(text) + 1);
	return 0;
}

static int copy_request(struct store_audit_cursor *cursor, size_t *ret_offset, struct err *err)
{
	struct compact buffer;

	if (sqlite3_column_type(cursor->query.statement, 8) == SQLITE_NULL)
		return copy_name(cursor, 5, ret_offset, err);

	const char *request = column_compact(&cursor->query, 8, &buffer);

	*ret_offset = cursor->texts.size;
	strbuf_append(&cursor->texts, request, strlen(request) + 1);
	return 0;
}

static int cursor_row(struct store_audit_cursor *cursor, struct audit_row *ret_row, struct err *err)
{
	size_t actor, action, request, object, size;
	const void *hash = column_blob(&cursor->query, 7, &size);
	struct audit_row row = {
		.seq = column_int(&cursor->query, 0),
		.at_s = column_int(&cursor->query, 1),
		.detail = column_text(&cursor->query, 6),
	};

	/* Another size: left at zero, which does not verify. */
	if (size == sizeof(row.hash.byte))
		memcpy(row.hash.byte, hash, size);
	strbuf_clear(&cursor->texts);
	if (copy_name(cursor, 2, &actor, err) < 0 || copy_name(cursor, 3, &action, err) < 0 ||
	    copy_request(cursor, &request, err) < 0)
		return -1;
	object = cursor->texts.size;
	put_object(cursor, &cursor->texts);
	if (strbuf_failed(&cursor->texts))
		return err_set(err, ERR_MEMORY, "out of memory");
	row.actor = cursor->texts.data + actor;
	row.action = cursor->texts.data + action;
	row.request = cursor->texts.data + request;
	row.object = cursor->texts.data + object;
	*ret_row = row;
	return 0;
}

static bool has_enough(const struct store_audit_cursor *cursor)
{
	const struct audit_query *wanted = &cursor->wanted;

	return (wanted->limit && cursor->given >= wanted->limit) ||
	       (wanted->scan && cursor->looked_at >= wanted->scan);
}

/* The next row that was not looked at yet: 1, 0 at the end, -1. Two keys may bring the same one. */
static int cursor_step(struct store_audit_cursor *cursor, struct err *err)
{
	int row;

	do {
		row = query_row(&cursor->query, err);
	} while (row > 0 && cursor->looked_at > 0 &&
		 column_int(&cursor->query, 0) == cursor->last_seq);
	if (row > 0) {
		cursor->last_seq = column_int(&cursor->query, 0);
		cursor->looked_at++;
	}
	return row;
}

static int next_row(struct store_audit_cursor *cursor, struct audit_row *ret_row, struct err *err)
{
	int row = 0, matches = 0;

	while (matches == 0 && !has_enough(cursor) && (row = cursor_step(cursor, err)) > 0)
		matches = row_matches(cursor, err);
	if (row < 0 || matches < 0)
		return -1;
	if (matches == 0) {
		cursor->ended |= !has_enough(cursor);
		return 0;
	}
	cursor->given++;
	return cursor_row(cursor, ret_row, err) < 0 ? -1 : 1;
}

static int cursor_next(void *context, struct audit_row *ret_row, struct err *err)
{
	int row = next_row(context, ret_row, err);

	return row < 0 ? err_wrap(err, "cannot read the audit log") : row;
}

struct audit_iterator store_audit_iterator(struct store_audit_cursor *cursor)
{
	return (struct audit_iterator){ .next = cursor_next, .context = cursor };
}

int64_t store_audit_place(const struct store_audit_cursor *cursor)
{
	return cursor->ended ? 0 : cursor->last_seq;
}

void store_audit_close(struct store_audit_cursor *cursor)
{
	if (!cursor)
		return;
	query_auto(&cursor->query);
	strbuf_finish(&cursor->person.invites);
	strbuf_finish(&cursor->texts);
	free(cursor);
}
