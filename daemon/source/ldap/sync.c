/*
 * The feed of RFC 4533: searches with refresh and persist, on one connection: groups
 * and users, each with its own cookie, and the branches they live in (sync_branch.c).
 *
 * The full read is their refresh without a cookie: all groups first, because a record says
 * which it has; what groups tell meanwhile waits. After a lost connection both are
 * asked again with their cookies, and all that comes waits until both refreshes have ended well: of
 * one that is cut nothing has happened here. Then first those who are gone (so that somebody made anew
 * under the same key does not meet the old one), then the rest in order, as one batch.
 *
 * Enters: messages of any content. Fails: by RESTART where the protocol was not kept or the server
 * wants a new full read, by LOST where the connection failed or the server ends a search.
 */
#include "sync_state.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>
#include <rolebridge/source/ldap.h>

#include "sync_message.h"

/* More changes than this are read faster anew. */
#define WAITING_MAX 50000
#define WAITING_BYTES_MAX ((size_t)256 * 1024 * 1024)
#define GATHER_NS 200000
#define BRANCHES_MAX (1u << 24)
/* --- what waits --- */

static void drop_waiting(struct sync *sync)
{
	for (size_t i = 0; i < sync->count; i++)
		ldap_msgfree(sync->items[i].message);
	sync->count = sync->bytes = 0;
}

static size_t size_of_info(const struct follow *follow, LDAPMessage *message)
{
	struct berval *value = NULL;
	size_t size = 0;

	if (ldap_parse_intermediate(follow->session->ld, message, NULL, &value, NULL, 0) ==
		    LDAP_SUCCESS &&
	    value)
		size = value->bv_len;
	ber_bvfree(value);
	return size;
}

static size_t size_of(const struct follow *follow, LDAPMessage *message)
{
	struct berval dn;
	BerElement *ber = NULL;
	ber_len_t size = 0;

	if (ldap_msgtype(message) == LDAP_RES_INTERMEDIATE)
		return size_of_info(follow, message);
	if (ldap_get_dn_ber(follow->session->ld, message, &ber, &dn) == LDAP_SUCCESS)
		ber_get_option(ber, LBER_OPT_BER_TOTAL_BYTES, &size);
	if (ber)
		ber_free(ber, 0);
	return size;
}

static int wait_with(struct follow *follow, LDAPMessage *message, bool of_refresh)
{
	struct sync *sync = sync_of(follow);

	if (sync->count == sync->capacity) {
		size_t capacity = sync->capacity ? 2 * sync->capacity : 64;
		void *items = alloc_resize(sync->items, capacity * sizeof(*sync->items));
		if (!items) {
			ldap_msgfree(message);
			outcome_note(follow->session->outcome, "out-of-memory",
				     "no memory for changes");
			return -1;
		}
		sync->items = items;
		sync->capacity = capacity;
	}
	sync->items[sync->count++] = (struct waiting){ message, of_refresh };
	sync->bytes += size_of(follow, message);
	if (sync->count <= WAITING_MAX && sync->bytes <= WAITING_BYTES_MAX)
		return 0;
	outcome_note(follow->session->outcome, "too-many-changes",
		     "more has changed than is read at once");
	return -1;
}

/* --- requests --- */

static int send_search(struct follow *follow, struct sync_search *search)
{
	struct session *session = follow->session;
	AUTO(strbuf) struct strbuf value = STRBUF(SYNC_COOKIE_MAX + 64);
	struct berval cookie = { search->cookie.size, search->cookie.data };
	LDAPControl control = { .ldctl_oid = (char *)LDAP_CONTROL_SYNC, .ldctl_iscritical = 1 };
	LDAPControl *controls[] = { &control, NULL };

	sync_request_encode(search->has_cookie ? &cookie : NULL, &value);
	if (strbuf_failed(&value)) {
		outcome_note(session->outcome, "out-of-memory", "no memory for a request");
		return -1;
	}
	control.ldctl_value = (struct berval){ value.size, value.data };
	search->phase = SEARCH_REFRESH;
	search->heard = search->partial = search->present_phase = false;
	if (ldap_search_ext(session->ld, search->what.base, search_scope(&search->what),
			    search->what.filter, search->attributes, 0, controls, NULL, NULL,
			    LDAP_NO_LIMIT, &search->message_id) == LDAP_SUCCESS)
		return 0;
	session_note_last(session, "cannot ask for changes");
	return -1;
}

static struct sync_search *search_of(struct sync *sync, int message_id)
{
	for (size_t i = 0; i < sync->search_count; i++) {
		struct sync_search *search = &sync->searches[i];
		if (search->phase != SEARCH_OFF && search->message_id == message_id)
			return search;
	}
	return NULL;
}

static int take_cookie(struct follow *follow, struct sync_search *search,
		       const struct sync_cookie *cookie)
{
	if (!cookie->given)
		return 0;
	strbuf_clear(&search->next_cookie);
	strbuf_append(&search->next_cookie, cookie->value.bv_val, cookie->value.bv_len);
	search->has_next = true;
	if (!strbuf_failed(&search->next_cookie))
		return 0;
	outcome_note(follow->session->outcome, "out-of-memory", "no memory for a cookie");
	return -1;
}

static int malformed(struct follow *follow, const char *what)
{
	outcome_note(follow->session->outcome, "protocol-error", "the server sent a malformed %s",
		     what);
	return -1;
}

/* --- parts of messages --- */

/* What a control's value says; the control list owns the texts. */
static int parse_state(struct follow *follow, LDAPMessage *message, LDAPControl ***ret_controls,
		       struct sync_state *ret_state)
{
	const LDAPControl *control = NULL;

	*ret_controls = NULL;
	if (ldap_get_entry_controls(follow->session->ld, message, ret_controls) == LDAP_SUCCESS)
		control = ldap_control_find(LDAP_CONTROL_SYNC_STATE, *ret_controls, NULL);
	if (control && sync_state_parse(&control->ldctl_value, ret_state) == 0)
		return 0;
	ldap_controls_free(*ret_controls);
	*ret_controls = NULL;
	return malformed(follow, "state of an entry");
}

/* 1: a message of RFC 4533; 0: of another kind, to be let be. */
static int parse_info(struct follow *follow, LDAPMessage *message, struct berval **ret_value,
		      struct sync_info *ret_info)
{
	char *oid = NULL;
	bool ours;

	*ret_value = NULL;
	if (ldap_parse_intermediate(follow->session->ld, message, &oid, ret_value, NULL, 0) !=
	    LDAP_SUCCESS)
		return malformed(follow, "intermediate message");
	ours = oid && strcmp(oid, LDAP_SYNC_INFO) == 0;
	ldap_memfree(oid);
	if (ours && *ret_value && sync_info_parse(*ret_value, ret_info) == 0)
		return 1;
	ber_bvfree(*ret_value);
	*ret_value = NULL;
	return ours ? malformed(follow, "sync info message") : 0;
}

/* Chosen by whoever writes the directory: a table over them needs the process's own hash. */
static struct hash128 id_of(const unsigned char *uuid)
{
	return fingerprint128(uuid, SYNC_UUID_SIZE);
}

/* --- what messages do --- */

static int give_gone(struct follow *follow, const struct sync_search *search, struct hash128 id)
{
	switch (search->kind) {
	case OF_GROUPS: return follow_group_gone(follow, id);
	case OF_PEOPLE: return follow_person_gone(follow, id);
	/* OpenLDAP's log of a session names all that is gone or of another kind, whatever it was. */
	default:
		return hash_table_get(sync_of(follow)->branch_ids, id, NULL)
			       ? sync_branch_is_gone(follow)
			       : 0;
	}
}

static int give_entry(struct follow *follow, const struct sync_search *search, struct hash128 id,
		      LDAPMessage *message)
{
	switch (search->kind) {
	case OF_GROUPS: return follow_group(follow, &id, message);
	case OF_PEOPLE: return follow_person(follow, &id, message);
	default: return sync_take_branch(follow, id, message);
	}
}

static int read_entry(struct follow *follow, const struct sync_search *search, struct hash128 id,
		      LDAPMessage *message)
{
	switch (search->kind) {
	case OF_GROUPS: return group_reader_take(follow->reader, &id, message);
	case OF_PEOPLE: return people_take(follow->people, &id, message);
	default: return sync_take_branch(follow, id, message);
	}
}

static void mark(struct follow *follow, const struct sync_search *search, struct hash128 id)
{
	struct sync *sync = sync_of(follow);
	uint32_t branch;

	if (search->kind == OF_GROUPS)
		follow_mark_group(follow, id);
	else if (search->kind == OF_PEOPLE)
		follow_mark_person(follow, id);
	else if (hash_table_get(sync->branch_ids, id, &branch))
		sync->branches[branch - 1].marked = true;
}

/* message is consumed. */
/*
 * 389 Directory Server sends what changed since a cookie with all user attributes, whatever was asked
 * for, and no operational ones: without nsAccountLock somebody disabled would look enabled. What it
 * tells right after such a refresh may have been on the way before, so it counts no more.
 */
static bool entries_lack_attributes(const struct follow *follow)
{
	return follow->root.vendor == VENDOR_389DS && sync_of(follow)->resumed;
}

static int restart_for_whole_entries(struct follow *follow)
{
	return follow_restart(follow, "partial-entries",
			      "the server does not send what changed with all its attributes");
}

static int apply_entry(struct follow *follow, struct sync_search *search, LDAPMessage *message)
{
	struct sync_state state;
	LDAPControl **controls;
	int status = 0;

	if (parse_state(follow, message, &controls, &state) < 0) {
		ldap_msgfree(message);
		return -1;
	}
	if (state.kind == SYNC_ADD || state.kind == SYNC_MODIFY) {
		if (entries_lack_attributes(follow)) {
			ldap_msgfree(message);
			status = restart_for_whole_entries(follow);
		} else {
			status = give_entry(follow, search, id_of(state.uuid), message);
		}
	} else {
		if (state.kind == SYNC_DELETE)
			status = give_gone(follow, search, id_of(state.uuid));
		ldap_msgfree(message);
	}
	if (status == 0)
		status = take_cookie(follow, search, &state.cookie);
	ldap_controls_free(controls);
	return status;
}

static int apply_info(struct follow *follow, struct sync_search *search, LDAPMessage *message)
{
	struct berval *value;
	struct sync_info info;
	const unsigned char *uuid;
	int status = parse_info(follow, message, &value, &info);

	ldap_msgfree(message);
	if (status <= 0)
		return status;
	status = 0;
	while (status == 0 && info.kind == SYNC_ID_SET && info.deletes &&
	       (uuid = sync_info_next(&info)))
		status = give_gone(follow, search, id_of(uuid));
	if (status == 0)
		status = take_cookie(follow, search, &info.cookie);
	ber_bvfree(value);
	return status;
}

static int apply(struct follow *follow, LDAPMessage *message)
{
	struct sync_search *search = search_of(sync_of(follow), ldap_msgid(message));

	if (search && ldap_msgtype(message) == LDAP_RES_SEARCH_ENTRY)
		return apply_entry(follow, search, message);
	if (search && ldap_msgtype(message) == LDAP_RES_INTERMEDIATE)
		return apply_info(follow, search, message);
	ldap_msgfree(message);
	return 0;
}

/* --- as they arrive --- */

static int note_reference(struct follow *follow, struct sync_search *search)
{
	if (follow->job->ignore_referrals)
		return 0;
	search->partial = true;
	outcome_note(follow->session->outcome, "referral",
		     "server refers to another one for some of the %s", search->name);
	return sync_of(follow)->begun ? -1 : 0;
}

/* How far it came, where the server says so with the end; all before it has been told. */
static int take_last_cookie(struct follow *follow, struct sync_search *search,
			    LDAPControl **controls)
{
	const LDAPControl *control = ldap_control_find(LDAP_CONTROL_SYNC_DONE, controls, NULL);
	struct sync_done done;

	if (sync_of(follow)->refreshing)
		return 0;
	if (control && sync_done_parse(&control->ldctl_value, &done) == 0 &&
	    take_cookie(follow, search, &done.cookie) < 0)
		return -1;
	return follow_commit(follow);
}

/* What is left of the connection, and of the read, after a search ended with this code. */
static int judge_end(struct follow *follow, const struct sync_search *search, bool persisted,
		     int code)
{
	struct session *session = follow->session;

	/* As the end of any other search of a full read: incomplete. */
	if (!sync_of(follow)->begun && !persisted)
		return search->refused ? -1 : 0;
	/* A new connection goes on with the cookie; unless a full read is what is asked for. */
	if (persisted && code != LDAP_SYNC_REFRESH_REQUIRED && code != LDAP_NO_SUCH_OBJECT)
		session->broken = true;
	if (code == LDAP_BUSY || code == LDAP_UNAVAILABLE)
		session->broken = true;
	return -1;
}

/* The end of a search that was to last. */
static int search_ended(struct follow *follow, struct sync_search *search, LDAPMessage *message)
{
	struct session *session = follow->session;
	bool persisted = search->phase == SEARCH_PERSIST;
	LDAPControl **controls = NULL;
	char *text = NULL, doing[64];
	int code = LDAP_OTHER, status = 0;
	int parsed =
		ldap_parse_result(session->ld, message, &code, NULL, &text, NULL, &controls, 1);

	if (parsed != LDAP_SUCCESS)
		code = parsed;
	if (persisted && sync_of(follow)->begun)
		status = take_last_cookie(follow, search, controls);
	search->phase = SEARCH_OFF;
	search->partial = true;
	search->refused = code == LDAP_UNAVAILABLE_CRITICAL_EXTENSION && !search->heard;
	snprintf(doing, sizeof(doing), "search for changes of %s ended", search->name);
	if (search->refused)
		outcome_note(session->outcome, "sync-refused", "%s: %s", doing,
			     ldap_err2string(code));
	else
		session_note(session, code == LDAP_SUCCESS ? LDAP_PROTOCOL_ERROR : code, text,
			     doing);
	ldap_memfree(text);
	ldap_controls_free(controls);
	return status < 0 ? -1 : judge_end(follow, search, persisted, code);
}

/* Phases and marks count at once, also while the rest waits. */
static int note_info(struct follow *follow, struct sync_search *search, LDAPMessage *message)
{
	struct berval *value;
	struct sync_info info;
	const unsigned char *uuid;
	int status = parse_info(follow, message, &value, &info);

	if (status <= 0)
		return status;
	if (info.kind == SYNC_ID_SET && !info.deletes) {
		while (sync_of(follow)->refreshing && (uuid = sync_info_next(&info)))
			mark(follow, search, id_of(uuid));
	}
	if (info.kind == SYNC_REFRESH_PRESENT && search->phase == SEARCH_REFRESH)
		search->present_phase = true;
	if ((info.kind == SYNC_REFRESH_PRESENT || info.kind == SYNC_REFRESH_DELETE) &&
	    info.refresh_done)
		search->phase = SEARCH_PERSIST;
	ber_bvfree(value);
	return 0;
}

static int note_entry(struct follow *follow, struct sync_search *search, LDAPMessage *message)
{
	struct sync_state state;
	LDAPControl **controls;

	if (parse_state(follow, message, &controls, &state) < 0)
		return -1;
	if (state.kind != SYNC_DELETE)
		mark(follow, search, id_of(state.uuid));
	ldap_controls_free(controls);
	return 0;
}

/* An entry of the full read. */
static int take_read(struct follow *follow, struct sync_search *search, LDAPMessage *message)
{
	struct sync_state state;
	LDAPControl **controls;
	struct hash128 id;
	int status;

	if (parse_state(follow, message, &controls, &state) < 0) {
		ldap_msgfree(message);
		return -1;
	}
	id = id_of(state.uuid);
	status = take_cookie(follow, search, &state.cookie);
	if (status < 0 || state.kind == SYNC_DELETE || state.kind == SYNC_PRESENT)
		ldap_msgfree(message);
	else
		status = read_entry(follow, search, id, message);
	ldap_controls_free(controls);
	return status;
}

static int arrive(struct follow *follow, LDAPMessage *message)
{
	struct sync *sync = sync_of(follow);
	struct sync_search *search = search_of(sync, ldap_msgid(message));
	int type = ldap_msgtype(message), status = 0;
	bool of_refresh = search && search->phase == SEARCH_REFRESH;

	if (!search) {
		ldap_msgfree(message);
		return 0;
	}
	if (type == LDAP_RES_SEARCH_RESULT)
		return search_ended(follow, search, message);
	search->heard = true;
	if (type == LDAP_RES_SEARCH_REFERENCE) {
		ldap_msgfree(message);
		return note_reference(follow, search);
	}
	/* libldap takes any other type for the end of the search and drops what comes after. */
	if (type != LDAP_RES_SEARCH_ENTRY && type != LDAP_RES_INTERMEDIATE) {
		ldap_msgfree(message);
		return malformed(follow, "answer to a search");
	}
	if (type == LDAP_RES_SEARCH_ENTRY && of_refresh && !sync->begun)
		return take_read(follow, search, message);
	if (type == LDAP_RES_INTERMEDIATE)
		status = note_info(follow, search, message);
	else if (type == LDAP_RES_SEARCH_ENTRY && sync->refreshing)
		status = note_entry(follow, search, message);
	if (status < 0) {
		ldap_msgfree(message);
		return -1;
	}
	if (sync->refreshing || (!sync->begun && !of_refresh))
		return wait_with(follow, message, of_refresh);
	return apply(follow, message);
}

/* --- the full read --- */

/* Being woken for each entry costs more than the entry: let some come together. */
static int next_of_read(struct follow *follow, LDAPMessage **ret_message)
{
	struct timespec pause = { .tv_nsec = GATHER_NS };
	struct timeval none = { 0 };
	LDAP *ld = follow->session->ld;

	if (ldap_result(ld, LDAP_RES_ANY, LDAP_MSG_ONE, &none, ret_message) > 0)
		return 0;
	clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
	return session_await(follow->session, LDAP_RES_ANY, ret_message);
}

static int read_search(struct follow *follow, struct sync_search *search)
{
	LDAPMessage *message;

	if (send_search(follow, search) < 0)
		return -1;
	while (search->phase == SEARCH_REFRESH) {
		if (next_of_read(follow, &message) < 0 || arrive(follow, message) < 0)
			return -1;
		if (follow->out->failed)
			return -1;
	}
	return 0;
}

static void commit_cookie(struct sync_search *search)
{
	struct strbuf old = search->cookie;

	if (!search->has_next)
		return;
	search->cookie = search->next_cookie;
	search->next_cookie = old;
	search->has_cookie = true;
	search->has_next = false;
}

static void committed(struct follow *follow)
{
	struct sync *sync = sync_of(follow);

	for (size_t i = 0; i < sync->search_count; i++)
		commit_cookie(&sync->searches[i]);
}

void sync_add_search(struct sync *sync, enum search_kind kind, const struct job_search *what,
		     const char *name, char **attributes)
{
	sync->searches[sync->search_count++] =
		(struct sync_search){ .kind = kind,
				      .what = *what,
				      .name = name,
				      .attributes = attributes,
				      .cookie = STRBUF(SYNC_COOKIE_MAX),
				      .next_cookie = STRBUF(SYNC_COOKIE_MAX) };
}

static int start(struct follow *follow)
{
	const struct job *job = follow->job;
	struct sync *sync = alloc_zeroed(1, sizeof(*sync));

	follow->feed = sync;
	if (sync)
		sync->branch_ids = hash_table_create(64, BRANCHES_MAX);
	if (!sync || !sync->branch_ids) {
		outcome_note(follow->session->outcome, "out-of-memory", "no memory to follow");
		return -1;
	}
	sync->scratch = STRBUF(32 * DN_MAX);
	sync_add_branches(follow, sync);
	if (follow->reader)
		sync_add_search(sync, OF_GROUPS, &job->groups, "groups",
				group_reader_request(follow->reader));
	sync_add_search(sync, OF_PEOPLE, &job->users, "users",
			people_search(follow->people)->attributes);
	return 0;
}

/* Only a search that ran: what would be wrong with the first is wrong with all. */
static int read_one(struct follow *follow, struct sync_search *search)
{
	if (search->kind == OF_GROUPS) {
		output_phase(follow->out, PHASE_GROUPS);
		follow->out->holding = true;
	}
	if (search->kind == OF_PEOPLE) {
		output_phase(follow->out, PHASE_USERS);
		output_release(follow->out);
	}
	if (read_search(follow, search) < 0)
		return -1;
	return search->kind == OF_GROUPS ? group_reader_end(follow->reader, search->partial) : 0;
}

/* Before this search: of branches nothing is. */
static bool nothing_told(const struct sync *sync, size_t search)
{
	return search == 0 || sync->searches[search].kind == OF_BRANCHES;
}

static int read_all(struct follow *follow)
{
	struct sync *sync = sync_of(follow);

	for (size_t i = 0; i < sync->search_count; i++) {
		if (read_one(follow, &sync->searches[i]) < 0)
			return sync->searches[i].refused && nothing_told(sync, i) ? 1 : -1;
	}
	committed(follow);
	return 0;
}

/* --- following --- */

static int apply_waiting(struct follow *follow)
{
	struct sync *sync = sync_of(follow);
	int status = 0;

	for (size_t i = 0; i < sync->count && status == 0; i++) {
		LDAPMessage *message = sync->items[i].message;
		sync->items[i].message = NULL;
		if (message)
			status = apply(follow, message);
	}
	drop_waiting(sync);
	return status;
}

static int begin(struct follow *follow)
{
	struct sync *sync = sync_of(follow);

	sync->begun = true;
	return apply_waiting(follow) < 0 ? -1 : follow_commit(follow);
}

static int drop_unseen(struct follow *follow)
{
	struct sync *sync = sync_of(follow);
	bool all_branches = true;
	int status = 0;

	for (size_t i = 0; i < sync->search_count && status == 0; i++) {
		const struct sync_search *search = &sync->searches[i];
		if (!search->present_phase)
			all_branches &= search->kind != OF_BRANCHES;
		else if (search->kind == OF_GROUPS)
			status = follow_drop_unmarked_groups(follow);
		else if (search->kind == OF_PEOPLE)
			status = follow_drop_unmarked_people(follow);
	}
	if (status == 0 && all_branches && sync_branch_is_missing(sync))
		status = sync_branch_is_gone(follow);
	return status;
}

/* Those whom the refresh says to be gone. A set of them has nothing else to say. */
static int apply_deletes(struct follow *follow)
{
	struct sync *sync = sync_of(follow);

	for (size_t i = 0; i < sync->count; i++) {
		struct waiting *item = &sync->items[i];
		LDAPMessage *message = item->message;
		if (!item->of_refresh || ldap_msgtype(message) != LDAP_RES_INTERMEDIATE)
			continue;
		item->message = NULL;
		if (apply(follow, message) < 0)
			return -1;
	}
	return 0;
}

static bool refresh_has_entries(const struct follow *follow)
{
	const struct sync *sync = sync_of(follow);

	for (size_t i = 0; i < sync->count; i++) {
		if (sync->items[i].of_refresh &&
		    ldap_msgtype(sync->items[i].message) == LDAP_RES_SEARCH_ENTRY)
			return true;
	}
	return false;
}

static int end_refresh(struct follow *follow)
{
	struct sync *sync = sync_of(follow);

	for (size_t i = 0; i < sync->search_count; i++) {
		if (sync->searches[i].phase == SEARCH_REFRESH)
			return 0;
	}
	if (refresh_has_entries(follow) && entries_lack_attributes(follow))
		return restart_for_whole_entries(follow);
	sync->refreshing = false;
	output_begin_batch(follow->out);
	if (drop_unseen(follow) < 0 || apply_deletes(follow) < 0 || apply_waiting(follow) < 0)
		return -1;
	return follow_commit(follow);
}

static int take(struct follow *follow, LDAPMessage *message)
{
	if (arrive(follow, message) < 0)
		return -1;
	if (sync_of(follow)->refreshing)
		return end_refresh(follow);
	return follow_batch_is_full(follow) ? follow_commit(follow) : 0;
}

static int idle(struct follow *follow)
{
	return sync_of(follow)->refreshing ? 0 : follow_commit(follow);
}

static int64_t due_us(const struct follow *follow)
{
	if (!sync_of(follow)->refreshing)
		return INT64_MAX;
	return follow->session->heard_us + (int64_t)follow->job->answer_ms * 1000;
}

static int tick(struct follow *follow)
{
	return follow_lost(follow, "timeout", "no answer within %u s",
			   (unsigned)(follow->job->answer_ms / 1000));
}

static int resume_search(struct follow *follow, struct sync_search *search)
{
	search->has_next = false;
	if (!search->has_cookie)
		return follow_restart(follow, "no-cookie",
				      "the server never said how far the %s have come",
				      search->name);
	return send_search(follow, search);
}

static int resume(struct follow *follow)
{
	struct sync *sync = sync_of(follow);

	drop_waiting(sync);
	sync->refreshing = sync->resumed = true;
	for (size_t i = 0; i < sync->search_count; i++)
		sync->searches[i].phase = SEARCH_OFF;
	for (size_t i = 0; i < sync->branch_count; i++)
		sync->branches[i].marked = false;
	follow_unmark(follow);
	for (size_t i = 0; i < sync->search_count; i++) {
		if (resume_search(follow, &sync->searches[i]) < 0)
			return -1;
	}
	return 0;
}

static void destroy(void *feed)
{
	struct sync *sync = feed;

	drop_waiting(sync);
	free(sync->items);
	for (size_t i = 0; i < sync->search_count; i++) {
		strbuf_finish(&sync->searches[i].cookie);
		strbuf_finish(&sync->searches[i].next_cookie);
	}
	hash_table_destroy(sync->branch_ids);
	free(sync->branches);
	strbuf_finish(&sync->scratch);
	free(sync);
}

const struct feed_ops sync_feed = {
	.mode = FOLLOW_SYNC,
	.start = start,
	.read = read_all,
	.begin = begin,
	.take = take,
	.idle = idle,
	.due_us = due_us,
	.tick = tick,
	.resume = resume,
	.committed = committed,
	.destroy = destroy,
};
