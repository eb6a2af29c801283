/*
 * People read by themselves, because the core asked for them or because what their entries show has changed
 * with another entry: all that wait together, one batch.
 *
 * Enters: keys. Leaves: whole records; of somebody who is not found any more, that they are gone. Fails as
 * a feed's functions do; whoever was not read then waits for the next connection.
 *
 * What a search answers may be newer than the news of the same people that a feed has yet to
 * bring: those who were read carry INDEX_FETCHED until nothing is on the way, and are read once more when older
 * news of them comes.
 */
#include "fetch.h"

#include <string.h>
#include <strings.h>

#include <rolebridge/base/ids.h>
#include <rolebridge/base/util.h>

#include "index.h"

#define FETCHES_MAX (4u * 1024 * 1024)
/* People asked for in one search. */
#define FETCH_AT_ONCE 50
/* Others, to see whether the server finds anybody by key. */
#define WITNESSES 8
#define FILTER_MAX (1024u * 1024)

void fetch_init(struct fetch *fetch)
{
	*fetch = (struct fetch){ .waiting = STRBUF(FETCHES_MAX), .read = STRBUF(FETCHES_MAX) };
}

void fetch_finish(struct fetch *fetch)
{
	strbuf_finish(&fetch->waiting);
	strbuf_finish(&fetch->read);
}

bool fetch_is_due(const struct fetch *fetch)
{
	return fetch->waiting.size > 0 || fetch->asked;
}

static int judge_room(struct follow *follow)
{
	if (!strbuf_failed(&follow->fetch.waiting))
		return 0;
	return follow_restart(follow, "too-many-changes",
			      "more people are to be read again than at once can be");
}

int follow_fetch(struct follow *follow, const char *key, size_t size)
{
	if (size == 0)
		return 0;
	put_bytes(&follow->fetch.waiting, key, size);
	return judge_room(follow);
}

/* --- the filter --- */

/* RFC 4515 3: every byte may be written so. */
static void put_escaped(struct strbuf *out, const void *data, size_t size)
{
	const unsigned char *bytes = data;

	for (size_t i = 0; i < size; i++)
		strbuf_printf(out, "\\%02x", bytes[i]);
}

/* The bytes behind the text of an objectGUID (directory_guid_text). false: it is none. */
static bool guid_bytes(const char *key, size_t size, unsigned char ret_bytes[static 16])
{
	static const unsigned char order[16] = { 3, 2, 1,  0,  5,  4,  7,  6,
						 8, 9, 10, 11, 12, 13, 14, 15 };
	char text[UUID_TEXT_SIZE];
	struct uuid uuid;
	unsigned char plain[16];

	_Static_assert(sizeof(uuid) == sizeof(plain), "a UUID is its bytes");
	if (size != UUID_TEXT_SIZE - 1)
		return false;
	memcpy(text, key, size);
	text[size] = '\0';
	if (!uuid_parse(text, &uuid))
		return false;
	memcpy(plain, &uuid, sizeof(plain));
	for (size_t i = 0; i < sizeof(plain); i++)
		ret_bytes[i] = plain[order[i]];
	return true;
}

static void put_key(struct follow *follow, struct strbuf *filter, const char *key, size_t size)
{
	unsigned char guid[16];

	strbuf_printf(filter, "(%s=", follow->job->key);
	if (strcasecmp(follow->job->key, "objectGUID") == 0 && guid_bytes(key, size, guid))
		put_escaped(filter, guid, sizeof(guid));
	else
		put_escaped(filter, key, size);
	strbuf_putc(filter, ')');
}

/* Up to FETCH_AT_ONCE of those waiting. */
static void make_filter(struct follow *follow, struct reader *keys, struct strbuf *filter)
{
	const char *users = follow->job->users.filter;

	strbuf_printf(filter, users[0] == '(' ? "(&%s(|" : "(&(%s)(|", users);
	for (size_t i = 0; i < FETCH_AT_ONCE && reader_left(keys) > 0; i++) {
		size_t size;
		const char *key = get_bytes(keys, &size);
		put_key(follow, filter, key, size);
	}
	strbuf_puts(filter, "))");
}

/* --- the search --- */

/* News of these people are no older than what was read of them. */
static void clear_flags(struct follow *follow, struct reader keys)
{
	while (reader_left(&keys) > 0) {
		size_t size;
		const char *key = get_bytes(&keys, &size);
		uint32_t person = index_find_key(follow->index, key, size);

		if (person)
			index_set_flags(follow->index, person,
					index_flags(follow->index, person) &
						~(unsigned)INDEX_FETCHED);
	}
}

/* Of one search: did every entry belong to somebody who was asked for, as far as is known? */
struct answers {
	bool unclear;
};

/* Whoever came without one may be anybody who was asked for. */
static bool has_key(struct follow *follow, uint32_t person)
{
	size_t size;

	index_key(follow->index, person, &size);
	return size > 0;
}

/* Older news of these people may be on the way: then they are read once more. */
static int take_fetched(struct follow *follow, LDAPMessage *message, struct answers *answers)
{
	uint32_t person;
	int status = people_take(follow->people, NULL, message);

	if (status > 0)
		return follow_key_conflict(follow);
	person = status == 0 ? people_last(follow->people) : 0;
	if (person)
		index_set_flags(follow->index, person,
				index_flags(follow->index, person) | INDEX_FETCHED);
	if (person && has_key(follow, person))
		follow->fetch.works = true;
	else
		answers->unclear = true;
	return status;
}

static int take_answers(struct follow *follow, int message_id, struct answers *answers)
{
	struct session *session = follow->session;
	LDAPMessage *message;
	int code = LDAP_OTHER;

	for (;;) {
		if (session_await(session, message_id, &message) < 0)
			return -1;
		if (ldap_msgtype(message) == LDAP_RES_SEARCH_RESULT)
			break;
		if (ldap_msgtype(message) == LDAP_RES_SEARCH_ENTRY) {
			if (take_fetched(follow, message, answers) < 0)
				return -1;
			continue;
		}
		answers->unclear = true;
		ldap_msgfree(message);
	}
	if (ldap_parse_result(session->ld, message, &code, NULL, NULL, NULL, NULL, 1) !=
	    LDAP_SUCCESS)
		code = LDAP_PROTOCOL_ERROR;
	if (code == LDAP_SUCCESS)
		return 0;
	session_note(session, code, NULL, "cannot read a user");
	return -1;
}

static int run_search(struct follow *follow, const char *filter, struct answers *answers)
{
	const struct job_search *users = &follow->job->users;
	int message_id = 0;

	if (ldap_search_ext(follow->session->ld, users->base, search_scope(users), filter,
			    people_search(follow->people)->attributes, 0, NULL, NULL, NULL,
			    LDAP_NO_LIMIT, &message_id) == LDAP_SUCCESS)
		return take_answers(follow, message_id, answers);
	session_note_last(follow->session, "cannot ask for a user");
	return -1;
}

static bool is_among(struct reader keys, const char *key, size_t size)
{
	while (reader_left(&keys) > 0) {
		size_t one_size;
		const char *one = get_bytes(&keys, &one_size);

		if (one_size == size && memcmp(one, key, size) == 0)
			return true;
	}
	return false;
}

/*
 * A filter over an attribute that has no equality, or that the server does not know, finds nobody, with
 * success (RFC 4511 4.5.1.7): then it says nothing of anybody.
 */
static int call_witnesses(struct follow *follow, struct reader asked)
{
	AUTO(strbuf) struct strbuf keys = STRBUF(FILTER_MAX);
	AUTO(strbuf) struct strbuf filter = STRBUF(FILTER_MAX);
	struct answers answers = { 0 };
	struct reader in;
	uint32_t person = 0;
	int status;

	for (size_t i = 0; i < WITNESSES && (person = index_next(follow->index, person)) != 0;) {
		size_t size;
		const char *key = index_key(follow->index, person, &size);

		if (index_flags(follow->index, person) == 0 && !is_among(asked, key, size)) {
			put_bytes(&keys, key, size);
			i++;
		}
	}
	if (keys.size == 0)
		return 0;
	in = reader_init(keys.data, keys.size);
	make_filter(follow, &in, &filter);
	if (strbuf_failed(&keys) || strbuf_failed(&filter))
		return follow_restart(follow, "out-of-memory", "no memory for a filter");
	status = run_search(follow, strbuf_text(&filter), &answers);
	clear_flags(follow, reader_init(keys.data, keys.size));
	return status;
}

/* Known by this key, and not among those who were found; 0: nobody. */
static uint32_t find_unfound(const struct follow *follow, struct reader *keys)
{
	size_t size;
	const char *key = get_bytes(keys, &size);
	uint32_t person = index_find_key(follow->index, key, size);

	return person && !(index_flags(follow->index, person) & INDEX_FETCHED) ? person : 0;
}

/* Whoever the directory had no entry of, though it answered for all of them. */
static int tell_unfound(struct follow *follow, struct reader keys, const unsigned char *end)
{
	const struct reader asked = reader_init(keys.at, (size_t)(end - keys.at));

	while (keys.at < end) {
		uint32_t person = find_unfound(follow, &keys);

		if (person && !follow->fetch.works && call_witnesses(follow, asked) < 0)
			return -1;
		if (person && !follow->fetch.works)
			return 0;
		if (person && follow_person_gone(follow, index_id(follow->index, person)) < 0)
			return -1;
	}
	return 0;
}

/* Up to FETCH_AT_ONCE of those waiting. */
static int fetch_some(struct follow *follow, struct reader *keys)
{
	AUTO(strbuf) struct strbuf filter = STRBUF(FILTER_MAX);
	struct reader asked = *keys;
	struct answers answers = { 0 };

	make_filter(follow, keys, &filter);
	if (strbuf_failed(&filter))
		return follow_restart(follow, "out-of-memory", "no memory for a filter");
	if (run_search(follow, strbuf_text(&filter), &answers) < 0)
		return -1;
	return answers.unclear ? 0 : tell_unfound(follow, asked, keys->at);
}

/* --- all of them --- */

void fetch_clear(struct follow *follow)
{
	struct strbuf *read = &follow->fetch.read;

	clear_flags(follow, reader_init(read->data, read->size));
	strbuf_clear(read);
}

/* The connection broke: nobody else would tell that they have to be read. */
static int wait_again(struct follow *follow)
{
	struct fetch *fetch = &follow->fetch;

	strbuf_append(&fetch->waiting, fetch->read.data, fetch->read.size);
	fetch_clear(follow);
	judge_room(follow);
	return -1;
}

int fetch_all(struct follow *follow)
{
	struct fetch *fetch = &follow->fetch;
	struct strbuf keys = fetch->waiting;
	struct reader in;

	fetch_clear(follow);
	fetch->waiting = fetch->read;
	fetch->read = keys;
	in = reader_init(keys.data, keys.size);
	if (fetch->asked)
		output_begin_batch(follow->out);
	fetch->asked = false;
	while (reader_left(&in) > 0) {
		if (fetch_some(follow, &in) < 0)
			return wait_again(follow);
	}
	return follow_commit(follow);
}
