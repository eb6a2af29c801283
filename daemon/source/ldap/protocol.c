/*
 * Messages between core and ldap worker (see protocol.h). Encoding cannot
 * fail but in the buffer; decoding refuses whatever is cut, too long, of an
 * unknown value, or followed by more.
 */
#include "protocol.h"

#include <string.h>

#include <rolebridge/base/text.h>
#include <rolebridge/source/ldap.h>

#define JOB_VERSION 3

/* --- from the core --- */

static void search_encode(const struct job_search *search, struct strbuf *out)
{
	put_text(out, search->base);
	put_text(out, search->filter);
	put_u8(out, search->scope);
}

static void texts_encode(const struct job_texts *texts, struct strbuf *out)
{
	put_varint(out, texts->count);
	for (size_t i = 0; i < texts->count; i++)
		put_text(out, texts->items[i]);
}

void job_encode(const struct job *job, struct strbuf *out)
{
	size_t begin = message_begin(out, PROTOCOL_JOB);

	put_u8(out, JOB_VERSION);
	put_i64(out, job->now_s);
	put_u8(out, job->transport);
	put_text(out, job->url);
	put_text(out, job->ca);
	put_u8(out, job->bind_method);
	put_text(out, job->bind_dn);
	put_text(out, job->password_file);
	put_text(out, job->certificate);
	put_text(out, job->private_key);
	put_text(out, job->keytab);
	put_text(out, job->kerberos_config);
	search_encode(&job->users, out);
	search_encode(&job->groups, out);
	put_text(out, job->key);
	texts_encode(&job->members, out);
	texts_encode(&job->disabled, out);
	texts_encode(&job->canaries, out);
	put_u32(out, job->page_size);
	put_u32(out, job->answer_ms);
	put_u8(out, job->ignore_referrals);
	put_u8(out, job->test);
	put_u32(out, job->samples);
	put_u8(out, job->follow);
	put_u32(out, job->poll_ms);
	put_u32(out, job->keepalive_ms);
	put_varint(out, job->attribute_count);
	for (size_t i = 0; i < job->attribute_count; i++) {
		put_text(out, job->attributes[i].name);
		put_text(out, job->attributes[i].from);
	}
	put_varint(out, job->wanted_count);
	for (size_t i = 0; i < job->wanted_count; i++) {
		put_u32(out, job->wanted[i].id);
		put_text(out, job->wanted[i].name);
	}
	message_end(out, begin);
}

/* A value of an enum that has `count` members. */
static uint8_t get_choice(struct reader *in, uint8_t count)
{
	uint8_t value = get_u8(in);

	if (value < count)
		return value;
	in->failed = true;
	return 0;
}

static bool get_bool(struct reader *in)
{
	return get_choice(in, 2) == 1;
}

static struct job_search search_decode(struct reader *in, struct arena *arena)
{
	struct job_search search;

	search.base = get_utf8(in, arena);
	search.filter = get_utf8(in, arena);
	search.scope = get_choice(in, LDAP_SOURCE_BASE_ONLY + 1);
	return search;
}

static struct job_texts texts_decode(struct reader *in, struct arena *arena)
{
	struct job_texts texts = { .count = get_count(in, PROTOCOL_LIST_MAX) };

	texts.items = arena_alloc_array(arena, texts.count + 1, sizeof(*texts.items));
	if (!texts.items) {
		in->failed = true;
		texts.count = 0;
	}
	for (size_t i = 0; i < texts.count && !in->failed; i++)
		texts.items[i] = get_utf8(in, arena);
	return texts;
}

static void attributes_decode(struct reader *in, struct arena *arena, struct job *job)
{
	size_t count = get_count(in, PROTOCOL_ATTRIBUTES_MAX);
	struct wanted_attribute *items = arena_alloc_array(arena, count + 1, sizeof(*items));

	if (!items)
		in->failed = true;
	for (size_t i = 0; i < count && !in->failed; i++) {
		items[i].name = get_utf8(in, arena);
		items[i].from = get_utf8(in, arena);
		/* The order is the record's, which the worker writes without sorting names. */
		if (i > 0 && strcmp(items[i - 1].name, items[i].name) >= 0)
			in->failed = true;
	}
	job->attributes = items;
	job->attribute_count = count;
}

static void wanted_decode(struct reader *in, struct arena *arena, struct job *job)
{
	size_t count = get_count(in, PROTOCOL_GROUPS_MAX);
	struct wanted_group *items = arena_alloc_array(arena, count + 1, sizeof(*items));

	if (!items)
		in->failed = true;
	for (size_t i = 0; i < count && !in->failed; i++) {
		items[i].id = get_u32(in);
		items[i].name = get_utf8(in, arena);
	}
	job->wanted = items;
	job->wanted_count = count;
}

int job_decode(struct reader *in, struct arena *arena, struct job *ret_job, struct err *err)
{
	struct job job = { 0 };

	if (get_u8(in) != JOB_VERSION)
		return err_set(err, ERR_PROTOCOL, "job of another version");
	job.now_s = get_i64(in);
	job.transport = get_choice(in, TRANSPORT_LOCAL + 1);
	job.url = get_utf8(in, arena);
	job.ca = get_utf8(in, arena);
	job.bind_method = get_choice(in, LDAP_SOURCE_BIND_GSSAPI + 1);
	job.bind_dn = get_utf8(in, arena);
	job.password_file = get_utf8(in, arena);
	job.certificate = get_utf8(in, arena);
	job.private_key = get_utf8(in, arena);
	job.keytab = get_utf8(in, arena);
	job.kerberos_config = get_utf8(in, arena);
	job.users = search_decode(in, arena);
	job.groups = search_decode(in, arena);
	job.key = get_utf8(in, arena);
	job.members = texts_decode(in, arena);
	job.disabled = texts_decode(in, arena);
	job.canaries = texts_decode(in, arena);
	job.page_size = get_u32(in);
	job.answer_ms = get_u32(in);
	job.ignore_referrals = get_bool(in);
	job.test = get_choice(in, TEST_LOGIN + 1);
	job.samples = get_u32(in);
	job.follow = get_choice(in, FOLLOW_TIMESTAMP + 1);
	if (job.test != TEST_NONE && job.follow != FOLLOW_OFF)
		in->failed = true;
	job.poll_ms = get_u32(in);
	job.keepalive_ms = get_u32(in);
	attributes_decode(in, arena, &job);
	wanted_decode(in, arena, &job);
	if (arena_failed(arena))
		return err_set(err, ERR_MEMORY, "out of memory");
	if (!reader_done(in))
		return err_set(err, ERR_PROTOCOL, "malformed job");
	*ret_job = job;
	return 0;
}

void resume_encode(const struct protocol_resume *resume, struct strbuf *out)
{
	size_t begin = message_begin(out, PROTOCOL_RESUME);

	put_u8(out, resume->transport);
	put_text(out, resume->url);
	message_end(out, begin);
}

int resume_decode(struct reader *in, struct arena *arena, struct protocol_resume *ret_resume,
		  struct err *err)
{
	struct protocol_resume resume;

	resume.transport = get_choice(in, TRANSPORT_LOCAL + 1);
	resume.url = get_utf8(in, arena);
	if (arena_failed(arena))
		return err_set(err, ERR_MEMORY, "out of memory");
	if (!reader_done(in))
		return err_set(err, ERR_PROTOCOL, "malformed resume message");
	*ret_resume = resume;
	return 0;
}

void login_encode(const void *password, size_t size, struct strbuf *out)
{
	size_t begin = message_begin(out, PROTOCOL_LOGIN);

	put_bytes(out, password, size);
	message_end(out, begin);
}

/* One without a password binds as nobody, and succeeds (RFC 4513 5.1.2): it is none. */
int login_decode(struct reader *in, const void **ret_password, size_t *ret_size, struct err *err)
{
	size_t size;
	const void *password = get_bytes(in, &size);

	if (!reader_done(in) || size == 0 || size > PROTOCOL_PASSWORD_MAX ||
	    memchr(password, '\0', size))
		return err_set(err, ERR_PROTOCOL, "malformed login message");
	*ret_password = password;
	*ret_size = size;
	return 0;
}

/* --- from the worker --- */

void verdict_encode(bool right, struct strbuf *out)
{
	size_t begin = message_begin(out, PROTOCOL_VERDICT);

	put_u8(out, right);
	message_end(out, begin);
}

int verdict_decode(struct reader *in, bool *ret_right, struct err *err)
{
	bool right = get_bool(in);

	if (!reader_done(in))
		return err_set(err, ERR_PROTOCOL, "malformed verdict message");
	*ret_right = right;
	return 0;
}

/* At most PROTOCOL_TEXT_MAX bytes, cut between characters. */
static void put_short_text(struct strbuf *out, const char *text)
{
	size_t size = text ? strlen(text) : 0;

	if (size > PROTOCOL_TEXT_MAX) {
		size = PROTOCOL_TEXT_MAX;
		while (size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80)
			size--;
	}
	put_bytes(out, text ? text : "", size);
}

void phase_encode(enum protocol_phase phase, struct strbuf *out)
{
	size_t begin = message_begin(out, PROTOCOL_PHASE);

	put_u8(out, (uint8_t)phase);
	message_end(out, begin);
}

void progress_encode(uint64_t entries, struct strbuf *out)
{
	size_t begin = message_begin(out, PROTOCOL_PROGRESS);

	put_u64(out, entries);
	message_end(out, begin);
}

void quarantine_encode(const struct quarantined *entry, struct strbuf *out)
{
	size_t begin = message_begin(out, PROTOCOL_QUARANTINE);

	put_short_text(out, entry->locator);
	put_short_text(out, entry->key);
	put_short_text(out, entry->reason);
	put_short_text(out, entry->detail);
	/* A name that was cut would be another name: rather none. */
	put_text(out, entry->dn && strlen(entry->dn) <= DN_MAX ? entry->dn : "");
	put_u8(out, entry->is_group);
	message_end(out, begin);
}

void group_encode(const struct protocol_group *group, struct strbuf *out)
{
	size_t begin = message_begin(out, PROTOCOL_GROUP);

	put_u32(out, group->id);
	put_u8(out, group->found);
	put_u64(out, group->members);
	message_end(out, begin);
}

void end_encode(const struct protocol_end *end, struct strbuf *out)
{
	size_t begin = message_begin(out, PROTOCOL_END);

	put_u8(out, end->complete);
	put_short_text(out, end->reason);
	put_short_text(out, end->detail);
	put_u64(out, end->entries);
	put_u64(out, end->groups);
	put_u64(out, end->quarantined);
	message_end(out, begin);
}

void mode_encode(const struct protocol_mode *mode, struct strbuf *out)
{
	size_t begin = message_begin(out, PROTOCOL_MODE);

	put_u8(out, mode->mode);
	put_short_text(out, mode->vendor);
	put_short_text(out, mode->identity);
	message_end(out, begin);
}

/* As in a record: the first id, then each one's distance from the one before. */
void groups_encode(const struct protocol_groups *groups, struct strbuf *out)
{
	size_t begin = message_begin(out, PROTOCOL_GROUPS);
	uint32_t before = 0;

	put_bytes(out, groups->key, groups->key_size);
	put_u8(out, groups->complete);
	put_varint(out, groups->count);
	for (size_t i = 0; i < groups->count; i++) {
		put_varint(out, groups->ids[i] - before);
		before = groups->ids[i];
	}
	message_end(out, begin);
}

void key_encode(enum protocol_type type, const char *key, size_t size, struct strbuf *out)
{
	size_t begin = message_begin(out, (uint16_t)type);

	put_bytes(out, key, size);
	message_end(out, begin);
}

void commit_encode(uint64_t changes, struct strbuf *out)
{
	size_t begin = message_begin(out, PROTOCOL_COMMIT);

	put_u64(out, changes);
	message_end(out, begin);
}

void empty_encode(enum protocol_type type, struct strbuf *out)
{
	message_end(out, message_begin(out, (uint16_t)type));
}

void trouble_encode(enum protocol_type type, const char *reason, const char *detail,
		    struct strbuf *out)
{
	size_t begin = message_begin(out, (uint16_t)type);

	put_short_text(out, reason);
	put_short_text(out, detail);
	message_end(out, begin);
}

const char *const protocol_step_names[STEP_KINDS] = {
	[STEP_TLS] = "tls",	  [STEP_BIND] = "bind",	    [STEP_ROOT] = "root",
	[STEP_PEOPLE] = "people", [STEP_GROUPS] = "groups", [STEP_LIMITS] = "limits",
	[STEP_SAMPLE] = "sample",
};

const struct source_test_form protocol_fact_forms[FACT_KINDS] = {
	[FACT_PROTOCOL] = { "protocol", SOURCE_FACT_TEXT },
	[FACT_SUBJECT] = { "subject", SOURCE_FACT_TEXT },
	[FACT_ISSUER] = { "issuer", SOURCE_FACT_TEXT },
	[FACT_NOT_BEFORE] = { "not_before", SOURCE_FACT_TIME },
	[FACT_EXPIRES] = { "expires", SOURCE_FACT_TIME },
	[FACT_BOUND_AS] = { "bound_as", SOURCE_FACT_TEXT },
	[FACT_VENDOR] = { "vendor", SOURCE_FACT_TEXT },
	[FACT_VERSION] = { "version", SOURCE_FACT_TEXT },
	[FACT_PAGED_RESULTS] = { "paged_results", SOURCE_FACT_BOOL },
	[FACT_SYNC] = { "sync", SOURCE_FACT_BOOL },
	[FACT_FOLLOW] = { "follow", SOURCE_FACT_TEXT },
	[FACT_COUNT] = { "count", SOURCE_FACT_NUMBER },
	[FACT_AT_LEAST] = { "at_least", SOURCE_FACT_BOOL },
};

void step_encode(const struct protocol_step *step, struct strbuf *out)
{
	size_t begin = message_begin(out, PROTOCOL_STEP);

	put_u8(out, (uint8_t)step->kind);
	put_u8(out, step->ok);
	put_short_text(out, step->reason);
	put_short_text(out, step->detail);
	put_u64(out, step->duration_us);
	put_varint(out, step->fact_count);
	for (size_t i = 0; i < step->fact_count; i++) {
		const struct protocol_fact *fact = &step->facts[i];

		put_u8(out, (uint8_t)fact->kind);
		if (protocol_fact_forms[fact->kind].form == SOURCE_FACT_TEXT)
			put_short_text(out, fact->text);
		else
			put_i64(out, fact->number);
	}
	message_end(out, begin);
}

static int finish(const struct reader *in, const char *what, struct err *err)
{
	if (reader_done(in))
		return 0;
	return err_set(err, ERR_PROTOCOL, "the worker sent a malformed %s message", what);
}

/* Stable words go to interfaces and alarms: letters, digits and hyphens only. */
static const char *get_reason(struct reader *in, struct arena *arena, bool may_be_empty)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
	const char *reason = get_utf8(in, arena);
	size_t size = strlen(reason);

	if (size > PROTOCOL_REASON_MAX || strspn(reason, allowed) != size ||
	    (size == 0 && !may_be_empty))
		in->failed = true;
	return reason;
}

/* Shown to people: no control characters, not longer than any sender makes it. */
static const char *get_short_text(struct reader *in, struct arena *arena)
{
	const char *text = get_utf8(in, arena);

	if (strlen(text) > PROTOCOL_TEXT_MAX)
		in->failed = true;
	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		if (*c < 0x20 || *c == 0x7f)
			in->failed = true;
	}
	return text;
}

int phase_decode(struct reader *in, enum protocol_phase *ret_phase, struct err *err)
{
	enum protocol_phase phase = get_choice(in, PHASE_COUNT);

	if (finish(in, "phase", err) < 0)
		return -1;
	*ret_phase = phase;
	return 0;
}

int progress_decode(struct reader *in, uint64_t *ret_entries, struct err *err)
{
	uint64_t entries = get_u64(in);

	if (finish(in, "progress", err) < 0)
		return -1;
	*ret_entries = entries;
	return 0;
}

int quarantine_decode(struct reader *in, struct arena *arena, struct quarantined *ret_entry,
		      struct err *err)
{
	struct quarantined entry;

	entry.locator = get_short_text(in, arena);
	entry.key = get_utf8(in, arena);
	entry.reason = get_reason(in, arena, false);
	entry.detail = get_short_text(in, arena);
	entry.dn = get_utf8(in, arena);
	entry.is_group = get_bool(in);
	if (strlen(entry.dn) > DN_MAX)
		in->failed = true;
	if (finish(in, "quarantine", err) < 0)
		return -1;
	*ret_entry = entry;
	return 0;
}

int group_decode(struct reader *in, struct protocol_group *ret_group, struct err *err)
{
	struct protocol_group group;

	group.id = get_u32(in);
	group.found = get_bool(in);
	group.members = get_u64(in);
	if (!group.found && group.members > 0)
		in->failed = true;
	if (finish(in, "group", err) < 0)
		return -1;
	*ret_group = group;
	return 0;
}

int end_decode(struct reader *in, struct arena *arena, struct protocol_end *ret_end,
	       struct err *err)
{
	struct protocol_end end;

	end.complete = get_bool(in);
	end.reason = get_reason(in, arena, end.complete);
	end.detail = get_short_text(in, arena);
	end.entries = get_u64(in);
	end.groups = get_u64(in);
	end.quarantined = get_u64(in);
	if (end.complete && end.reason[0] != '\0')
		in->failed = true;
	if (finish(in, "end", err) < 0)
		return -1;
	*ret_end = end;
	return 0;
}

int mode_decode(struct reader *in, struct arena *arena, struct protocol_mode *ret_mode,
		struct err *err)
{
	struct protocol_mode mode;

	mode.mode = get_choice(in, FOLLOW_TIMESTAMP + 1);
	mode.vendor = get_reason(in, arena, false);
	mode.identity = get_short_text(in, arena);
	if (mode.mode < FOLLOW_SYNC)
		in->failed = true;
	if (finish(in, "mode", err) < 0)
		return -1;
	*ret_mode = mode;
	return 0;
}

/* Borrowed from the message: not empty, of an identity's size, UTF-8 without NUL. */
static const char *get_key(struct reader *in, size_t *ret_size)
{
	size_t size;
	const char *key = get_bytes(in, &size);

	if (!key || size == 0 || size > PROTOCOL_KEY_MAX || !text_is_utf8(key, size)) {
		reader_fail(in);
		key = "";
		size = 0;
	}
	*ret_size = size;
	return key;
}

/* An id takes a byte at least: no count reserves more than four times the message. */
static const uint32_t *get_ids(struct reader *in, struct arena *arena, size_t *ret_count)
{
	size_t count = get_count(in, PROTOCOL_GROUPS_MAX);
	uint32_t *ids = NULL;
	uint64_t id = 0;

	*ret_count = 0;
	if (count <= reader_left(in))
		ids = arena_alloc_array(arena, count + 1, sizeof(*ids));
	if (!ids)
		reader_fail(in);
	for (size_t i = 0; i < count && !in->failed; i++) {
		uint64_t step = get_count(in, UINT32_MAX);
		id += step;
		if (id > UINT32_MAX || (i > 0 && step == 0))
			reader_fail(in);
		else
			ids[i] = (uint32_t)id;
	}
	*ret_count = count;
	return ids;
}

int groups_decode(struct reader *in, struct arena *arena, struct protocol_groups *ret_groups,
		  struct err *err)
{
	struct protocol_groups groups;

	groups.key = get_key(in, &groups.key_size);
	groups.complete = get_bool(in);
	groups.ids = get_ids(in, arena, &groups.count);
	if (arena_failed(arena))
		return err_set(err, ERR_MEMORY, "out of memory");
	if (finish(in, "groups", err) < 0)
		return -1;
	*ret_groups = groups;
	return 0;
}

int key_decode(struct reader *in, const char **ret_key, size_t *ret_size, struct err *err)
{
	size_t size;
	const char *key = get_key(in, &size);

	if (!reader_done(in))
		return err_set(err, ERR_PROTOCOL, "malformed message of a key");
	*ret_key = key;
	*ret_size = size;
	return 0;
}

int commit_decode(struct reader *in, uint64_t *ret_changes, struct err *err)
{
	uint64_t changes = get_u64(in);

	if (finish(in, "commit", err) < 0)
		return -1;
	*ret_changes = changes;
	return 0;
}

int trouble_decode(struct reader *in, struct arena *arena, const char **ret_reason,
		   const char **ret_detail, struct err *err)
{
	const char *reason = get_reason(in, arena, false);
	const char *detail = get_short_text(in, arena);

	if (finish(in, "trouble", err) < 0)
		return -1;
	*ret_reason = reason;
	*ret_detail = detail;
	return 0;
}

/* In the order of their kinds, each once; what a number means bounds it. */
static struct protocol_fact get_fact(struct reader *in, struct arena *arena, int after)
{
	struct protocol_fact fact = { .kind = get_choice(in, FACT_KINDS), .text = "" };

	if ((int)fact.kind <= after)
		in->failed = true;
	if (protocol_fact_forms[fact.kind].form == SOURCE_FACT_TEXT) {
		fact.text = get_short_text(in, arena);
		return fact;
	}
	fact.number = get_i64(in);
	if ((protocol_fact_forms[fact.kind].form == SOURCE_FACT_BOOL && fact.number != 0 &&
	     fact.number != 1) ||
	    (protocol_fact_forms[fact.kind].form == SOURCE_FACT_NUMBER && fact.number < 0))
		in->failed = true;
	return fact;
}

int step_decode(struct reader *in, struct arena *arena, struct protocol_step *ret_step,
		struct err *err)
{
	struct protocol_step step = { .kind = get_choice(in, STEP_KINDS) };
	int last = -1;

	step.ok = get_bool(in);
	step.reason = get_reason(in, arena, step.ok);
	step.detail = get_short_text(in, arena);
	step.duration_us = get_u64(in);
	step.fact_count = get_count(in, FACT_KINDS);
	for (size_t i = 0; i < step.fact_count && !in->failed; i++) {
		step.facts[i] = get_fact(in, arena, last);
		last = (int)step.facts[i].kind;
	}
	if ((step.ok && step.reason[0] != '\0') || step.duration_us > INT64_MAX)
		in->failed = true;
	if (arena_failed(arena))
		return err_set(err, ERR_MEMORY, "out of memory");
	if (finish(in, "step", err) < 0)
		return -1;
	*ret_step = step;
	return 0;
}

int empty_decode(const struct reader *in, struct err *err)
{
	return finish(in, "empty", err);
}
