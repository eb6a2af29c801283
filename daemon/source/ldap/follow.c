/*
 * Following, the common part (see follow.h). Enters: entries a feed hands over, and
 * the core's commands. Leaves: batches. Fails by LOST, when the connection is what failed, and by
 * RESTART, when what is known here cannot be made right by changes.
 *
 * What was told of a batch is true by itself, so that one which ends with the connection still
 * counts; only the feed's cursor stays where it was.
 */
#include "follow.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/ids.h>
#include <rolebridge/base/util.h>
#include <rolebridge/source/ldap.h>

#include "fetch.h"
#include "index.h"

/* A batch ends after so many changes or so long, though more is waiting. */
#define BATCH_CHANGES 2000
#define BATCH_US 100000
/* Between two signs of life to the core. */
#define PULSE_US 500000
/* So many messages are taken before the core is listened to again. */
#define TAKE_AT_ONCE 4096
#define COMMAND_TEXTS_MAX (64u * 1024)

/* --- what goes wrong --- */

static int tell_trouble(struct follow *follow, enum protocol_type type, const char *reason,
			const char *detail)
{
	trouble_encode(type, reason, detail, &follow->out->frames);
	output_flush(follow->out);
	follow->condition = type == PROTOCOL_LOST ? FOLLOW_IS_LOST : FOLLOW_IS_OVER;
	return -1;
}

/* As the outcome shows its texts: whatever a server said is escaped. */
static void explain(struct outcome *ret_outcome, const char *reason, const char *format,
		    va_list args)
{
	char text[sizeof(ret_outcome->detail)];

	vsnprintf(text, sizeof(text), format, args);
	*ret_outcome = (struct outcome){ 0 };
	outcome_note(ret_outcome, reason, "%s", text);
}

int follow_restart(struct follow *follow, const char *reason, const char *format, ...)
{
	struct outcome why;
	va_list args;

	if (follow->condition != FOLLOW_GOES_ON)
		return -1;
	va_start(args, format);
	explain(&why, reason, format, args);
	va_end(args);
	follow->out->batch_open = false;
	return tell_trouble(follow, PROTOCOL_RESTART, why.reason, why.detail);
}

int follow_lost(struct follow *follow, const char *reason, const char *format, ...)
{
	struct outcome why;
	va_list args;

	if (follow->condition != FOLLOW_GOES_ON)
		return -1;
	va_start(args, format);
	explain(&why, reason, format, args);
	va_end(args);
	follow->session->broken = true;
	groupings_tell_moved(&follow->groupings, follow->out);
	output_commit(follow->out);
	/* What signing in needs was locked away after the first time. */
	return tell_trouble(follow,
			    follow->job->bind_method == LDAP_SOURCE_BIND_GSSAPI ? PROTOCOL_RESTART
										: PROTOCOL_LOST,
			    why.reason, why.detail);
}

/* Something returned -1: whatever it was, it is told once. */
static void settle(struct follow *follow)
{
	struct outcome *outcome = follow->session->outcome;

	if (follow->out->failed)
		follow->condition = FOLLOW_IS_OVER;
	if (follow->condition == FOLLOW_GOES_ON && !outcome->incomplete)
		outcome_note(outcome, "internal", "following failed without a reason");
	if (follow->condition == FOLLOW_GOES_ON && follow->session->broken)
		follow_lost(follow, outcome->reason, "%s", outcome->detail);
	else if (follow->condition == FOLLOW_GOES_ON)
		follow_restart(follow, outcome->reason, "%s", outcome->detail);
	*outcome = (struct outcome){ 0 };
}

void follow_pulse(struct follow *follow)
{
	int64_t now_us = clock_monotonic_us();

	if (now_us < follow->pulse_us || follow->out->batch_open ||
	    follow->session->heard_us < follow->pulse_us - PULSE_US)
		return;
	follow->pulse_us = now_us + PULSE_US;
	empty_encode(PROTOCOL_PULSE, &follow->out->frames);
	output_flush(follow->out);
}

/* --- batches --- */

bool follow_batch_is_full(const struct follow *follow)
{
	const struct output *out = follow->out;

	return out->batch_open && (out->changes - out->changes_before >= BATCH_CHANGES ||
				   clock_monotonic_us() - out->batch_us >= BATCH_US);
}

/* Everybody whom this name means: most names are nobody's here, or one person's. */
static int tell_touched(void *context, struct hash128 name, struct err *err)
{
	struct follow *follow = context;
	struct index_cursor cursor = { 0 };
	uint32_t person;

	while ((person = index_named(follow->index, name, &cursor)) != 0) {
		if (people_tell_groups(follow->people, person) < 0)
			return err_set(err, ERR_MEMORY, "no memory for changed groups");
	}
	return 0;
}

static int update_closure(struct follow *follow)
{
	struct err err = { 0 };
	int doubts;

	if (!follow->closure_changed)
		return 0;
	follow->closure_changed = false;
	doubts = closure_update(follow->groupings.closure, tell_touched, follow, &err);
	if (doubts < 0)
		return follow_restart(follow, "out-of-memory", "%s", err.text);
	if (doubts > 0)
		return follow_restart(follow, "groups-doubtful",
				      "it changed how far member lists can be trusted");
	return 0;
}

int follow_commit(struct follow *follow)
{
	if (follow->condition != FOLLOW_GOES_ON || update_closure(follow) < 0)
		return -1;
	groupings_tell_moved(&follow->groupings, follow->out);
	if (strbuf_failed(&follow->out->frames))
		return follow_restart(follow, "out-of-memory", "no memory for a batch");
	output_commit(follow->out);
	if (follow->ops->committed)
		follow->ops->committed(follow);
	return follow->out->failed ? -1 : 0;
}

/* --- entries --- */

int follow_key_conflict(struct follow *follow)
{
	return follow_restart(follow, "duplicate-key",
			      "two entries have, or had, a say about one key");
}

/*
 * An entry has its name alone: whoever else is known by it has another one now, or was deleted, and is
 * looked for, as not every feed tells.
 */
static int doubt_namesakes(struct follow *follow, uint32_t person)
{
	struct index_cursor cursor = { 0 };
	const struct hash128 *names;
	struct hash128 name;
	uint32_t other;
	size_t count;

	if (!person || index_names(follow->index, person, &names, &count) < 0 || count == 0)
		return 0;
	name = names[0];
	while ((other = index_named(follow->index, name, &cursor)) != 0) {
		size_t size;
		const char *key = index_key(follow->index, other, &size);
		if (other != person && follow_fetch(follow, key, size) < 0)
			return -1;
	}
	return 0;
}

int follow_person(struct follow *follow, const struct hash128 *id, LDAPMessage *entry)
{
	uint32_t known = id ? index_find(follow->index, *id) : 0;
	int status;

	if (follow->condition != FOLLOW_GOES_ON || update_closure(follow) < 0) {
		ldap_msgfree(entry);
		return -1;
	}
	if (known && (index_flags(follow->index, known) & INDEX_FETCHED)) {
		size_t size;
		const char *key = index_key(follow->index, known, &size);
		follow_fetch(follow, key, size);
	}
	status = people_take(follow->people, id, entry);
	if (status == 0)
		return doubt_namesakes(follow, people_last(follow->people));
	return status > 0 ? follow_key_conflict(follow) : status;
}

int follow_person_gone(struct follow *follow, struct hash128 id)
{
	uint32_t person = index_find(follow->index, id);
	int status;

	if (follow->condition != FOLLOW_GOES_ON || update_closure(follow) < 0)
		return -1;
	if (!person)
		return 0;
	if (people_is_canary(follow->people, person))
		return follow_restart(follow, "canary-missing", "a canary entry is gone");
	status = people_gone(follow->people, person);
	return status > 0 ? follow_key_conflict(follow) : status;
}

static int group_changed(struct follow *follow, int status, const char *reason)
{
	follow->closure_changed = true;
	if (status <= 0)
		return status;
	return follow_restart(follow, reason, "groups changed in a way that needs a full read");
}

int follow_group(struct follow *follow, const struct hash128 *id, LDAPMessage *entry)
{
	const char *reason = NULL;
	int status;

	if (follow->condition != FOLLOW_GOES_ON || !follow->reader) {
		ldap_msgfree(entry);
		return follow->condition == FOLLOW_GOES_ON ? 0 : -1;
	}
	status = group_reader_change(follow->reader, id, entry, &reason);
	return group_changed(follow, status, reason);
}

int follow_group_gone(struct follow *follow, struct hash128 id)
{
	const char *reason = NULL;
	int status;

	if (follow->condition != FOLLOW_GOES_ON)
		return -1;
	if (!follow->reader || !group_reader_knows(follow->reader, id))
		return 0;
	status = group_reader_gone(follow->reader, id, &reason);
	return group_changed(follow, status, reason);
}

/* --- who was seen --- */

void follow_unmark(struct follow *follow)
{
	index_unmark(follow->index);
	if (follow->reader)
		group_reader_unmark(follow->reader);
}

void follow_mark_person(struct follow *follow, struct hash128 id)
{
	uint32_t person = index_find(follow->index, id);

	if (person)
		index_mark(follow->index, person);
}

void follow_mark_group(struct follow *follow, struct hash128 id)
{
	if (follow->reader)
		group_reader_mark(follow->reader, id);
}

/* Before anybody is told as gone: is this a directory that hides, not one that was tidied up? */
static int judge_unmarked(struct follow *follow)
{
	size_t gone = 0;

	for (uint32_t at = 0; (at = index_next_unmarked(follow->index, at)) != 0; gone++) {
		if (people_is_canary(follow->people, at))
			return follow_restart(follow, "canary-missing", "a canary entry is gone");
	}
	if (gone > 0 && gone == index_count(follow->index))
		return follow_restart(follow, "empty-result", "nobody of %zu is left", gone);
	return 0;
}

int follow_drop_unmarked_groups(struct follow *follow)
{
	const char *reason = NULL;

	if (follow->condition != FOLLOW_GOES_ON)
		return -1;
	if (!follow->reader)
		return 0;
	return group_changed(follow, group_reader_drop_unmarked(follow->reader, &reason), reason);
}

int follow_drop_unmarked_people(struct follow *follow)
{
	uint32_t next;

	if (follow->condition != FOLLOW_GOES_ON || judge_unmarked(follow) < 0)
		return -1;
	for (uint32_t at = index_next_unmarked(follow->index, 0); at != 0; at = next) {
		next = index_next_unmarked(follow->index, at);
		if (follow_person_gone(follow, index_id(follow->index, at)) < 0)
			return -1;
	}
	return 0;
}

/* --- whom to read again --- */

/* What these people's entries say of groups has changed, and the directory does not tell. */
static int fetch_moved(void *context, struct hash128 member)
{
	struct follow *follow = context;
	struct index_cursor cursor = { 0 };
	uint32_t person;

	while ((person = index_named(follow->index, member, &cursor)) != 0) {
		size_t size;
		const char *key = index_key(follow->index, person, &size);
		if (follow_fetch(follow, key, size) < 0)
			return -1;
	}
	return 0;
}

/* --- the full read --- */

enum follow_mode follow_mode_of(const struct root *root)
{
	if (root->vendor == VENDOR_ACTIVE_DIRECTORY)
		return FOLLOW_USN;
	return root->sync ? FOLLOW_SYNC : FOLLOW_TIMESTAMP;
}

static const struct feed_ops *choose(const struct follow *follow)
{
	switch (follow->job->follow) {
	case FOLLOW_SYNC: return &sync_feed;
	case FOLLOW_USN: return &usn_feed;
	case FOLLOW_TIMESTAMP: return &timestamp_feed;
	default: break;
	}
	switch (follow_mode_of(&follow->root)) {
	case FOLLOW_USN: return &usn_feed;
	case FOLLOW_SYNC: return &sync_feed;
	default: return &timestamp_feed;
	}
}

int follow_choose(struct follow *follow)
{
	if (follow->job->follow == FOLLOW_OFF)
		return 0;
	if (root_read(follow->session, &follow->root) < 0)
		return -1;
	follow->ops = choose(follow);
	return 0;
}

/*
 * memberOf as an attribute: OpenLDAP and Active Directory change it with the group, without a trace
 * in the person's entry. 389 Directory Server writes the entry, and tells.
 */
static bool reads_member_of(const struct follow *follow)
{
	static const char *const names[] = { "memberOf", "isMemberOf" };
	const struct job *job = follow->job;

	for (size_t i = 0; follow->ops && i < job->attribute_count; i++) {
		for (size_t n = 0; n < ARRAY_LEN(names); n++) {
			if (strcasecmp(job->attributes[i].from, names[n]) == 0)
				return follow->root.vendor != VENDOR_389DS;
		}
	}
	return false;
}

static int prepare(struct follow *follow)
{
	struct session *session = follow->session;
	bool wanted = session->job->wanted_count > 0, watched = reads_member_of(follow);
	bool with_groups = wanted || watched;
	const char *id_attribute = NULL;
	struct err err = { 0 };

	if (follow->ops && follow->ops->identity_attribute)
		id_attribute = follow->ops->identity_attribute(&follow->root);
	if (canaries_init(&follow->canaries, session->job, with_groups, &err) < 0) {
		outcome_note(session->outcome, "out-of-memory", "%s", err.text);
		return -1;
	}
	if (follow->ops && !(follow->index = index_create())) {
		outcome_note(session->outcome, "out-of-memory", "no memory for the users");
		return -1;
	}
	if (follow->ops && follow->ops->by_time && !(follow->told = told_create(id_attribute))) {
		outcome_note(session->outcome, "out-of-memory", "no memory to look for changes");
		return -1;
	}
	follow->people = people_create(session, &follow->canaries, follow->index, id_attribute,
				       follow->told);
	if (!follow->people)
		return -1;
	if (with_groups) {
		follow->reader =
			group_reader_create(session, &follow->canaries, &follow->groupings,
					    follow->ops != NULL, id_attribute, follow->told);
		if (wanted)
			people_use_groups(follow->people, &follow->groupings);
		if (watched && follow->reader)
			group_reader_watch(follow->reader, fetch_moved, follow);
	}
	return with_groups && !follow->reader ? -1 : 0;
}

static void forget(struct follow *follow)
{
	if (follow->feed && follow->ops->destroy)
		follow->ops->destroy(follow->feed);
	follow->feed = NULL;
	people_destroy(follow->people);
	follow->people = NULL;
	group_reader_destroy(follow->reader);
	follow->reader = NULL;
	groupings_finish(&follow->groupings);
	index_destroy(follow->index);
	follow->index = NULL;
	told_destroy(follow->told);
	follow->told = NULL;
	canaries_finish(&follow->canaries);
}

static int read_paged(struct follow *follow)
{
	if (follow->reader) {
		output_phase(follow->out, PHASE_GROUPS);
		follow->out->holding = true;
		if (group_reader_read(follow->reader, people_search(follow->people)) < 0)
			return -1;
	}
	output_phase(follow->out, PHASE_USERS);
	output_release(follow->out);
	return people_read(follow->people);
}

/* What no search knows by itself. */
static void judge_read(struct follow *follow)
{
	const struct session *session = follow->session;
	const char *missing = canaries_missing(&follow->canaries);

	if (missing)
		outcome_note(session->outcome, "canary-missing",
			     "entry '%s' was not among those read", missing);
	if (follow->out->entries + follow->out->quarantined == 0)
		outcome_note(session->outcome, "empty-result", "no user was found below '%s'",
			     session->job->users.base);
}

static int read_once(struct follow *follow)
{
	if (prepare(follow) < 0)
		return -1;
	if (follow->ops && follow->ops->start && follow->ops->start(follow) < 0)
		return -1;
	if (follow->ops && follow->ops->read)
		return follow->ops->read(follow);
	return read_paged(follow);
}

void follow_read(struct follow *follow)
{
	int status = read_once(follow);

	/* Announced, but not for this database. */
	if (status == 1 && follow->job->follow == FOLLOW_AUTO) {
		forget(follow);
		*follow->session->outcome = (struct outcome){ 0 };
		follow->ops = &timestamp_feed;
		status = read_once(follow);
	}
	if (status == 0) {
		judge_read(follow);
	} else {
		/* A closure that is not finished answers nothing. */
		if (!follow->session->outcome->incomplete)
			outcome_note(follow->session->outcome, "directory-error",
				     "the read failed");
		groupings_finish(&follow->groupings);
	}
}

int follow_sample(struct follow *follow, size_t people, size_t groups, int64_t until_us)
{
	if (prepare(follow) < 0)
		return -1;
	people_search(follow->people)->most = people;
	if (follow->reader)
		group_reader_bound(follow->reader, groups, until_us);
	return read_paged(follow);
}

void follow_finish(struct follow *follow)
{
	forget(follow);
	fetch_finish(&follow->fetch);
	arena_destroy(follow->command_texts);
}

/* --- the connection --- */

static int ask_for_life(struct follow *follow)
{
	static char nothing[] = LDAP_NO_ATTRS;
	char *attributes[] = { nothing, NULL };

	if (ldap_search_ext(follow->session->ld, "", LDAP_SCOPE_BASE, "(objectClass=*)", attributes,
			    0, NULL, NULL, NULL, LDAP_NO_LIMIT, &follow->ping_id) != LDAP_SUCCESS) {
		session_note_last(follow->session, "cannot ask the server for a sign of life");
		return -1;
	}
	follow->ping_end_us = clock_monotonic_us() + (int64_t)follow->job->answer_ms * 1000;
	return 0;
}

/* RFC 4511 4.4.1: the server says why it closes the connection. */
static int take_notice(struct follow *follow, LDAPMessage *message)
{
	int code = LDAP_UNAVAILABLE;
	char *text = NULL;

	ldap_parse_result(follow->session->ld, message, &code, NULL, &text, NULL, NULL, 1);
	session_note(follow->session, code == LDAP_SUCCESS ? LDAP_UNAVAILABLE : code, text,
		     "server closes the connection");
	ldap_memfree(text);
	follow->session->broken = true;
	return -1;
}

static int take_message(struct follow *follow, LDAPMessage *message)
{
	int id = ldap_msgid(message);

	follow->session->heard_us = clock_monotonic_us();
	if (id == LDAP_RES_UNSOLICITED)
		return take_notice(follow, message);
	if (follow->ping_id != 0 && id == follow->ping_id) {
		if (ldap_msgtype(message) == LDAP_RES_SEARCH_RESULT)
			follow->ping_id = 0;
		ldap_msgfree(message);
		return 0;
	}
	if (follow->ops->take)
		return follow->ops->take(follow, message);
	ldap_msgfree(message);
	return 0;
}

/* 1 and the message, 0 when nothing is waiting, -1: the connection is lost. */
static int next_message(struct follow *follow, LDAPMessage **ret_message)
{
	struct session *session = follow->session;
	Sockbuf *socket = NULL;

	for (int tries = 0; tries < 8; tries++) {
		struct timeval none = { 0 };
		int type = ldap_result(session->ld, LDAP_RES_ANY, LDAP_MSG_ONE, &none, ret_message);

		if (type > 0)
			return 1;
		if (type < 0) {
			session_note_last(session, "connection to the server failed");
			return -1;
		}
		/* A part of a message may have come; what is buffered does not wake poll. */
		if (ldap_get_option(session->ld, LDAP_OPT_SOCKBUF, &socket) != LDAP_OPT_SUCCESS ||
		    !ber_sockbuf_ctrl(socket, LBER_SB_OPT_DATA_READY, NULL))
			return 0;
	}
	return 0;
}

/* Take what is there. 1: there is more. */
static int take_waiting(struct follow *follow)
{
	LDAPMessage *message = NULL;
	int more = 0;

	for (int taken = 0; taken < TAKE_AT_ONCE; taken++) {
		more = next_message(follow, &message);
		if (more <= 0)
			break;
		if (take_message(follow, message) < 0)
			return -1;
	}
	return more;
}

/* --- commands of the core --- */

static int resume(struct follow *follow, const struct protocol_resume *to, int fd)
{
	struct root root;

	follow->condition = FOLLOW_GOES_ON;
	follow->ping_id = 0;
	follow->job->transport = to->transport;
	follow->job->url = to->url;
	if (session_reconnect(follow->session, fd) < 0 || root_read(follow->session, &root) < 0)
		return -1;
	if (strcmp(root.identity, follow->root.identity) != 0)
		return follow_restart(follow, "other-server",
				      "changes cannot be followed from '%s' to '%s'",
				      follow->root.identity, root.identity);
	follow->root = root;
	return follow->ops->resume(follow);
}

static void take_resume(struct follow *follow, struct message *message, int fd)
{
	struct protocol_resume to;

	if (!follow->command_texts)
		follow->command_texts = arena_create(COMMAND_TEXTS_MAX);
	/* The job's URL lies there too: nobody reads it any more. */
	if (follow->command_texts)
		arena_reset(follow->command_texts);
	if (follow->condition != FOLLOW_IS_LOST || fd < 0 || !follow->command_texts ||
	    resume_decode(&message->body, follow->command_texts, &to, NULL) < 0) {
		if (fd >= 0)
			close(fd);
		follow->condition = FOLLOW_IS_OVER;
		return;
	}
	/* It cannot be told apart from a connection that failed. */
	if (resume(follow, &to, fd) < 0) {
		follow->session->broken |= follow->condition == FOLLOW_GOES_ON;
		settle(follow);
	}
}

static void take_fetch(struct follow *follow, struct message *message)
{
	const char *key;
	size_t size;

	if (key_decode(&message->body, &key, &size, NULL) < 0) {
		follow->condition = FOLLOW_IS_OVER;
		return;
	}
	follow_fetch(follow, key, size);
	follow->fetch.asked = true;
}

/* One command, if there is one. Whatever is not a command ends it: the core knows better. */
static void listen(struct follow *follow)
{
	struct message message;
	struct err err = { 0 };
	int fd = -1;
	int received = message_receive(follow->commands, 1, &message, &fd, &err);

	if (received < 0 && err.code == ERR_UNAVAILABLE)
		return;
	if (received <= 0)
		follow->condition = FOLLOW_IS_OVER;
	else if (message.type == PROTOCOL_RESUME)
		take_resume(follow, &message, fd);
	else if (message.type == PROTOCOL_FETCH && fd < 0)
		take_fetch(follow, &message);
	else
		follow->condition = FOLLOW_IS_OVER;
}

/* --- the loop --- */

static int64_t next_wake_us(const struct follow *follow)
{
	const struct feed_ops *ops = follow->ops;
	int64_t keepalive_us = (int64_t)follow->job->keepalive_ms * 1000;
	int64_t wake_us = ops->due_us ? ops->due_us(follow) : INT64_MAX;
	int64_t life_us =
		follow->ping_id ? follow->ping_end_us : follow->session->heard_us + keepalive_us;

	if (!follow->ping_id && keepalive_us == 0)
		life_us = INT64_MAX;
	return wake_us < life_us ? wake_us : life_us;
}

/* What has come due. */
static int keep_time(struct follow *follow)
{
	const struct feed_ops *ops = follow->ops;
	int64_t now_us = clock_monotonic_us();
	int64_t keepalive_us = (int64_t)follow->job->keepalive_ms * 1000;

	if (ops->due_us && ops->due_us(follow) <= now_us && ops->tick(follow) < 0)
		return -1;
	if (follow->ping_id && now_us >= follow->ping_end_us)
		return follow_lost(follow, "timeout", "no answer within %u s",
				   (unsigned)(follow->job->answer_ms / 1000));
	if (!follow->ping_id && keepalive_us > 0 &&
	    now_us >= follow->session->heard_us + keepalive_us)
		return ask_for_life(follow);
	return 0;
}

/* What can be done without waiting. 1: more is there, but the core comes first. */
static int work(struct follow *follow)
{
	int more = take_waiting(follow);

	if (more < 0 || follow->out->failed)
		return -1;
	follow_pulse(follow);
	if (more > 0)
		return 1;
	if (follow->ops->idle && follow->ops->idle(follow) < 0)
		return -1;
	if (follow->fetch.read.size > 0)
		fetch_clear(follow);
	if (fetch_is_due(&follow->fetch) && fetch_all(follow) < 0)
		return -1;
	return keep_time(follow);
}

static void wait_for_something(struct follow *follow)
{
	int fd = -1, timeout_ms = -1;
	struct pollfd ready[2] = { { .fd = follow->out->socket, .events = POLLIN },
				   { .fd = -1, .events = POLLIN } };

	if (follow->condition == FOLLOW_GOES_ON) {
		int64_t wake_us = next_wake_us(follow);
		int64_t now_us = clock_monotonic_us();

		if (ldap_get_option(follow->session->ld, LDAP_OPT_DESC, &fd) == LDAP_OPT_SUCCESS)
			ready[1].fd = fd;
		/* Read by a search that was waited for, and not taken yet; or found to be read. */
		if (wake_us <= now_us || follow->fetch.read.size > 0 ||
		    fetch_is_due(&follow->fetch))
			timeout_ms = 0;
		else if (wake_us - now_us < INT64_C(1000) * 3600 * 1000)
			timeout_ms = (int)((wake_us - now_us + 999) / 1000);
		else
			timeout_ms = 3600 * 1000;
	}
	poll(ready, ARRAY_LEN(ready), timeout_ms);
}

/* Every command that is there. */
static void listen_to_all(struct follow *follow)
{
	do
		listen(follow);
	while (follow->condition != FOLLOW_IS_OVER && message_pending(follow->commands));
}

void follow_run(struct follow *follow, struct message_stream *commands)
{
	follow->commands = commands;
	fetch_init(&follow->fetch);
	follow->out->following = true;
	people_follow(follow->people);
	if (follow->reader)
		group_reader_follow(follow->reader);
	if (follow->ops->begin && follow->ops->begin(follow) < 0)
		settle(follow);
	while (follow->condition != FOLLOW_IS_OVER) {
		int more = 0;

		listen_to_all(follow);
		if (follow->condition == FOLLOW_GOES_ON && (more = work(follow)) < 0)
			settle(follow);
		/* What is gathered goes out with its batch as long as more is coming. */
		if (more <= 0)
			output_flush(follow->out);
		if (follow->out->failed)
			follow->condition = FOLLOW_IS_OVER;
		if (more <= 0 && follow->condition != FOLLOW_IS_OVER)
			wait_for_something(follow);
	}
}
