/*
 * One look of a polling feed at a directory (see look.h). Everything of the groups and the people that
 * changed since the cursor is gathered first and told only when all searches ended well, so that a
 * look that fails has told nothing. Then:
 *
 * - Who does not match the filter any more, was moved away or deleted is in no answer to our filters. So
 *   everything that changed is asked for once more without them, ids only; known ones that no filter
 *   found are looked for by id, and only when they are really not there they are gone. What is deleted and
 *   not shown to us is found by the next full read.
 * - Who lives below a container that got another name has another DN, and no mark of it on the entry
 *   (nor have groups that name them). Containers are remembered; a renamed one is a reason to read anew.
 * - Active Directory keeps the names in member lists true, as OpenLDAP's memberof overlay does, and
 *   neither leaves a mark of that on the groups: the groups of whoever got another name are read again.
 *
 * Enters: entries with any bytes, times with any text. Cost: what changed, where the server has an index
 * on the attribute.
 */
#include "look.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>

#include "look_state.h"

#define SETS_MAX (1u << 24)
/* A look that takes longer is given up, however alive the server is. */
#define LOOK_US (600 * INT64_C(1000000))

/* --- what changed --- */

/*
 * One that is still to come, as a clock that was wrong has left it, is no place for the cursor: all that
 * changes until then would lie before it.
 */
static void note_time(struct look *look, const struct facts *facts)
{
	struct poll *poll = look->poll;

	if (facts->modified_s > 0)
		poll->shows_times = true;
	if (facts->modified_s > poll->next_newest_s && facts->modified_s <= look->now_s)
		poll->next_newest_s = facts->modified_s;
}

/* context: which kind. */
static int take_changed(struct look *look, LDAPMessage *message, void *context)
{
	const enum entry_kind *kind = context;
	struct follow *follow = look->follow;
	struct facts facts = look_facts_of(look, message);

	if (facts.has_id && look_set_add(look->ids[*kind], facts.id) < 0) {
		ldap_msgfree(message);
		return look_out_of_memory(look);
	}
	note_time(look, &facts);
	if (follow->told && told_again(follow->told, *kind, follow->session->ld, message)) {
		ldap_msgfree(message);
		return 0;
	}
	return look_add_entry(look, &facts, message, &look->found[*kind]);
}

static int ask_changed(struct look *look, enum entry_kind kind)
{
	const struct job_search *where = look_where(look, kind);
	AUTO(strbuf) struct strbuf filter = STRBUF(LOOK_FILTER_MAX);

	strbuf_puts(&filter, "(&");
	look_put_filter(&filter, where->filter);
	look_put_since(look->poll, &filter);
	strbuf_putc(&filter, ')');
	if (strbuf_failed(&filter))
		return look_out_of_memory(look);
	return look_ask(look, &(struct question){ .name = look_name_of(kind),
						  .base = where->base,
						  .filter = strbuf_text(&filter),
						  .scope = where->scope,
						  .attributes = look_attributes_of(look, kind),
						  .take = take_changed,
						  .context = &kind });
}

/* --- one look --- */

static int look_init(struct look *look, struct follow *follow)
{
	*look = (struct look){ .follow = follow, .poll = follow->feed, .now_s = clock_now_s() };
	for (size_t kind = 0; kind < KINDS; kind++) {
		look->ids[kind] = hash_table_create(64, SETS_MAX);
		if (!look->ids[kind])
			return look_out_of_memory(look);
	}
	look->again = hash_table_create(64, SETS_MAX);
	look->any = hash_table_create(64, SETS_MAX);
	return look->again && look->any ? 0 : look_out_of_memory(look);
}

static void look_finish(struct look *look)
{
	for (size_t kind = 0; kind < KINDS; kind++) {
		look_messages_finish(&look->found[kind]);
		hash_table_destroy(look->ids[kind]);
	}
	for (size_t i = 0; i < look->doubt_count; i++)
		free(look->doubts[i].value);
	free(look->doubts);
	for (size_t i = 0; i < look->renamed_count; i++)
		free(look->renamed[i].dn);
	free(look->renamed);
	hash_table_destroy(look->again);
	hash_table_destroy(look->any);
}

static int look_gather(struct look *look)
{
	if (look->follow->reader && ask_changed(look, KIND_GROUP) < 0)
		return -1;
	if (look->restart)
		return 0;
	if (ask_changed(look, KIND_PERSON) < 0)
		return -1;
	if (look->restart)
		return 0;
	if (look_ask_all_bases(look, look_ask_any) < 0)
		return -1;
	for (size_t i = 0; i < look->doubt_count && !look->restart; i++) {
		if (look_settle_doubt(look, &look->doubts[i]) < 0)
			return -1;
	}
	for (size_t i = 0; i < look->renamed_count && !look->restart; i++) {
		if (look_ask_groups_of(look, &look->renamed[i]) < 0)
			return -1;
	}
	return 0;
}

static int look_tell_gone(struct look *look, const struct doubt *doubt)
{
	struct follow *follow = look->follow;

	if (!doubt->value)
		return 0;
	return doubt->kind == KIND_PERSON ? follow_person_gone(follow, doubt->id)
					  : follow_group_gone(follow, doubt->id);
}

static int look_tell(struct look *look)
{
	struct messages *groups = &look->found[KIND_GROUP], *people = &look->found[KIND_PERSON];

	for (size_t i = 0; i < groups->count; i++) {
		LDAPMessage *message = groups->items[i];
		groups->items[i] = NULL;
		if (follow_group(look->follow, NULL, message) < 0)
			return -1;
	}
	for (size_t i = 0; i < people->count; i++) {
		LDAPMessage *message = people->items[i];
		people->items[i] = NULL;
		if (follow_person(look->follow, NULL, message) < 0)
			return -1;
	}
	for (size_t i = 0; i < look->doubt_count; i++) {
		if (look_tell_gone(look, &look->doubts[i]) < 0)
			return -1;
	}
	return 0;
}

/* Nothing was told of this look. */
static int look_failed(struct look *look)
{
	const char *reason = look->outcome.reason[0] ? look->outcome.reason : "directory-error";

	return follow_lost(look->follow, reason, "%s", look->outcome.detail);
}

static int tell_changes(struct look *look)
{
	struct follow *follow = look->follow;

	if (follow->told)
		told_look_begin(follow->told);
	if (look_gather(look) < 0)
		return look_failed(look);
	if (look->restart)
		return follow_restart(follow, look->restart, "%s",
				      strcmp(look->restart, "many-changes") == 0
					      ? "more changed at once than is followed one by one"
					      : "people or groups below it have other names now");
	if (follow->told)
		told_look_end(follow->told);
	return look_tell(look) < 0 ? -1 : follow_commit(follow);
}

int look_at_changes(struct follow *follow)
{
	struct look look;
	int status = look_init(&look, follow);

	look.alive_until_us = clock_monotonic_us() + LOOK_US;
	status = status < 0 ? look_failed(&look) : tell_changes(&look);
	look_finish(&look);
	return status;
}

/* --- before the full read --- */

static int take_time(struct look *look, LDAPMessage *message, void *context)
{
	struct facts facts = look_facts_of(look, message);

	(void)context;
	note_time(look, &facts);
	ldap_msgfree(message);
	return 0;
}

static int ask_times(struct look *look, enum entry_kind kind)
{
	const struct job_search *where = look_where(look, kind);
	AUTO(strbuf) struct strbuf filter = STRBUF(LOOK_FILTER_MAX);
	char *attributes[] = { (char *)TIME_ATTRIBUTE, NULL };

	strbuf_puts(&filter, "(&");
	look_put_filter(&filter, where->filter);
	look_put_since(look->poll, &filter);
	strbuf_putc(&filter, ')');
	if (strbuf_failed(&filter))
		return look_out_of_memory(look);
	return look_ask(look, &(struct question){ .name = look_name_of(kind),
						  .base = where->base,
						  .filter = strbuf_text(&filter),
						  .scope = where->scope,
						  .attributes = attributes,
						  .take = take_time });
}

/* Often something changed lately: then not everybody has to be asked. Our clock only guesses. */
static int find_newest(struct look *look)
{
	static const int64_t windows_s[] = { 3600, 86400, 30 * 86400, INT64_MAX };
	const struct job *job = look->follow->job;
	struct poll *poll = look->poll;

	for (size_t i = 0; i < ARRAY_LEN(windows_s) && poll->next_newest_s == 0; i++) {
		poll->newest_s = job->now_s > windows_s[i] ? job->now_s - windows_s[i] : 0;
		if (ask_times(look, KIND_PERSON) < 0 ||
		    (look->follow->reader && ask_times(look, KIND_GROUP) < 0))
			return -1;
	}
	poll->newest_s = poll->next_newest_s;
	told_set_from(look->follow->told, look_from_s(poll));
	return 0;
}

/* What goes wrong before the full read is how the read went. */
static int start_failed(struct look *look)
{
	outcome_note(look->follow->session->outcome, look->outcome.reason, "%s",
		     look->outcome.detail);
	return -1;
}

/* Takes place before anything is told. */
static int look_before(struct follow *follow, int (*question)(struct look *look))
{
	struct look look;
	int status = 0;

	if (look_init(&look, follow) < 0 || question(&look) < 0)
		status = start_failed(&look);
	look_finish(&look);
	return status;
}

static int ask_all_containers(struct look *look)
{
	return look_ask_all_bases(look, look_ask_containers);
}

int look_learn_containers(struct follow *follow)
{
	return look_before(follow, ask_all_containers);
}

int look_find_newest(struct follow *follow)
{
	return look_before(follow, find_newest);
}
