/*
 * Group phase (see groupings.h). Enters: group entries. Leaves: the finished
 * closure. A member value that is no DN names nobody: it is counted and told once
 * per group. A group whose own DN does not parse, or whose entry does not decode, makes every
 * answer of the closure doubtful: `complete` is false then.
 *
 * Long lists are fetched to their end in groupings_range.c; what happens to groups afterwards is in
 * groupings_change.c.
 */
#include "groupings.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/util.h>
#include <rolebridge/identity/dn.h>

#include "../directory.h"
#include "entry.h"
#include "groupings_state.h"
#include "primary.h"

#define GROUPS_MAX (1u << 24)

int group_reader_out_of_memory(struct group_reader *reading)
{
	outcome_note(reading->session->outcome, "out-of-memory", "no memory for the groups");
	return -1;
}

int group_numbers_add(struct numbers *list, uint32_t number)
{
	if (list->count == list->capacity) {
		size_t capacity = 2 * list->capacity + 16;
		void *items = alloc_resize(list->items, capacity * sizeof(*list->items));

		if (!items)
			return -1;
		list->items = items;
		list->capacity = capacity;
	}
	list->items[list->count++] = number;
	return 0;
}

static int compare_numbers(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

	return (left > right) - (left < right);
}

/* Ascending, each once. */
void group_numbers_sort(struct numbers *list)
{
	size_t kept = 0;

	if (list->count > 1)
		qsort(list->items, list->count, sizeof(*list->items), compare_numbers);
	for (size_t i = 0; i < list->count; i++) {
		if (i == 0 || list->items[i] != list->items[i - 1])
			list->items[kept++] = list->items[i];
	}
	list->count = kept;
}

/* --- members --- */

/* Those of a group that is followed replace its list: they are gathered first. */
static int gather_members(struct group_reader *reading, size_t count)
{
	size_t needed = reading->gathered_count + count;

	if (needed > reading->gathered_capacity) {
		void *larger =
			alloc_resize(reading->gathered, 2 * needed * sizeof(*reading->gathered));
		if (!larger)
			return group_reader_out_of_memory(reading);
		reading->gathered = larger;
		reading->gathered_capacity = 2 * needed;
	}
	memcpy(reading->gathered + reading->gathered_count, reading->waiting,
	       count * sizeof(*reading->waiting));
	reading->gathered_count = needed;
	return 0;
}

/* Members wait here until there are enough for the closure to take at once. */
static int flush_members(struct group_reader *reading, uint32_t group)
{
	size_t count = reading->waiting_count;

	reading->waiting_count = 0;
	if (reading->following)
		return gather_members(reading, count);
	if (closure_add_members(reading->groupings->closure, group, reading->waiting, count, NULL) <
	    0)
		return group_reader_out_of_memory(reading);
	return 0;
}

static int add_member(struct group_reader *reading, uint32_t group, enum member_kind kind,
		      const struct berval *value)
{
	struct err err = { .code = ERR_INVALID };
	struct hash128 *name = &reading->waiting[reading->waiting_count];
	size_t size = value->bv_len;
	int named = -1;

	reading->all_members++;
	if (kind == MEMBER_UNIQUE)
		size = directory_unique_name_size(value->bv_val, size);
	if (kind == MEMBER_UID)
		named = closure_uid_name(value->bv_val, size, &reading->scratch, name, &err);
	else if (size > 0)
		named = dn_fingerprint(reading->parents, value->bv_val, size, &reading->scratch,
				       name, &err);
	if (named < 0 && err.code != ERR_INVALID)
		return group_reader_out_of_memory(reading);
	if (named < 0) {
		reading->bad_members++;
		return 0;
	}
	if (++reading->waiting_count < ARRAY_LEN(reading->waiting))
		return 0;
	return flush_members(reading, group);
}

static const struct member_attribute *find_member(const struct group_reader *reading,
						  const struct berval *name)
{
	for (size_t i = 0; i < reading->member_count; i++) {
		if (entry_name_is(name, reading->members[i].name, reading->members[i].size))
			return &reading->members[i];
	}
	return NULL;
}

void group_reader_cut(struct group_reader *reading, uint32_t group, const struct berval *dn)
{
	if (reading->following) {
		reading->cut = true;
		return;
	}
	closure_set_incomplete(reading->groupings->closure, group);
	outcome_note(reading->session->outcome, "range-cut",
		     "member list of '%.*s' could not be read to its end",
		     (int)(dn->bv_len < 256 ? dn->bv_len : 256), dn->bv_val);
}

int group_reader_add_members(struct group_reader *reading, uint32_t group, enum member_kind kind,
			     struct attribute_values *values)
{
	struct berval value;

	while (attribute_next_value(values, &value)) {
		if (add_member(reading, group, kind, &value) < 0)
			return -1;
	}
	return flush_members(reading, group);
}

/* --- one group entry --- */

static bool name_is_id(const char *name)
{
	return strchr(name, '=') == NULL;
}

/* Rules may ask for one name under several numbers: "cn=a", and "corp:cn=a" of this source. */
static void answer_wanted(struct group_reader *reading, uint32_t group, struct hash128 name)
{
	const struct job *job = reading->session->job;
	uint32_t found;

	if (!hash_table_get(reading->wanted, name, &found))
		return;
	for (; found != 0; found = reading->same_name[found - 1]) {
		uint32_t id = job->wanted[found - 1].id;
		if ((reading->keeps && group_numbers_add(&reading->wants, id) < 0) ||
		    (!reading->following &&
		     closure_want(reading->groupings->closure, group, id, NULL) < 0))
			group_reader_out_of_memory(reading);
	}
}

/* values: their first one counts. */
static void answer_to_id(struct group_reader *reading, uint32_t group, const struct berval *name,
			 struct attribute_values *values)
{
	struct berval value;

	if (!attribute_next_value(values, &value))
		return;
	for (size_t i = 0; i < directory_id_count; i++) {
		const char *wanted = directory_ids[i].name;
		char text[UUID_TEXT_SIZE];
		if (!entry_name_is(name, wanted, strlen(wanted)))
			continue;
		if (directory_ids[i].guid) {
			if (!directory_guid_text(value.bv_val, value.bv_len, text))
				continue;
		} else {
			/* An id with '=' would answer for the group of that DN. */
			if (value.bv_len >= sizeof(text) || memchr(value.bv_val, '=', value.bv_len))
				continue;
			for (size_t c = 0; c < value.bv_len; c++) {
				char upper = value.bv_val[c];
				bool fold = upper >= 'A' && upper <= 'Z';
				text[c] = fold ? (char)(upper | 0x20) : upper;
			}
			text[value.bv_len] = '\0';
		}
		answer_wanted(reading, group, fingerprint128(text, strlen(text)));
	}
}

/* Those whose primary group it is are members, though no list says so. */
static int add_primary(struct group_reader *reading, uint32_t group,
		       struct attribute_values *values)
{
	struct berval sid;

	if (!attribute_next_value(values, &sid) || !primary_group_name(&sid, &reading->waiting[0]))
		return 0;
	reading->waiting_count = 1;
	return flush_members(reading, group);
}

/* The attribute that identifies entries, where messages do not. */
static void take_id(struct group_reader *reading, const struct berval *name,
		    struct attribute_values values)
{
	struct berval value;

	if (!reading->id_attribute || reading->has_id ||
	    !entry_name_is(name, reading->id_attribute, strlen(reading->id_attribute)) ||
	    !attribute_next_value(&values, &value))
		return;
	reading->id = fingerprint128(value.bv_val, value.bv_len);
	reading->has_id = true;
}

static void take_time(struct group_reader *reading, const struct berval *name,
		      struct attribute_values values)
{
	struct berval value;

	if (!reading->told || !entry_name_is(name, TIME_ATTRIBUTE, strlen(TIME_ATTRIBUTE)))
		return;
	while (attribute_next_value(&values, &value))
		reading->late |= told_is_late(reading->told, &value);
}

static int take_attribute(struct group_reader *reading, uint32_t group, const struct berval *dn,
			  const struct berval *name, struct attribute_values *values)
{
	const struct member_attribute *member = find_member(reading, name);
	struct directory_range range = { .last = true };

	if (!member && directory_name_range(name->bv_val, name->bv_len, &range))
		member = find_member(reading, &(struct berval){ range.base_size, name->bv_val });
	if (!member && entry_name_is(name, PRIMARY_SID_ATTRIBUTE, strlen(PRIMARY_SID_ATTRIBUTE)))
		return add_primary(reading, group, values);
	if (!member) {
		take_id(reading, name, *values);
		take_time(reading, name, *values);
		answer_to_id(reading, group, name, values);
		return 0;
	}
	if (group_reader_add_members(reading, group, member->kind, values) < 0)
		return -1;
	if (directory_range_is_whole(&range))
		return 0;
	if (range.last || range.first != 0 || range.next == 0) {
		group_reader_cut(reading, group, dn);
		return 0;
	}
	return group_reader_remember_rest(reading, group, dn, (size_t)(member - reading->members),
					  range.next);
}

/* A group that has no name of its own cannot be found in other groups: what it gives is unknown. */
static void quarantine_group(struct group_reader *reading, const struct entry *entry,
			     const char *reason, const char *detail)
{
	reading->bad = true;
	if (!reading->following)
		reading->groupings->complete = false;
	output_quarantine(reading->session->out, entry->dn.bv_val, entry->dn.bv_len, NULL, NULL,
			  reason, detail);
}

static int take_attributes(struct group_reader *reading, uint32_t group, struct entry *entry)
{
	struct attribute_values values;
	struct berval name;
	int more;

	while ((more = entry_next(entry, &name, &values)) > 0) {
		if (take_attribute(reading, group, &entry->dn, &name, &values) < 0)
			return -1;
	}
	if (more < 0)
		quarantine_group(reading, entry, "malformed-entry", "group entry does not decode");
	return 0;
}

static void tell_bad_members(struct group_reader *reading, const struct entry *entry)
{
	char detail[128];

	if (reading->bad_members == 0)
		return;
	snprintf(detail, sizeof(detail), "%" PRIu64 " of %" PRIu64 " members are no valid names",
		 reading->bad_members, reading->all_members);
	output_quarantine(reading->session->out, entry->dn.bv_val, entry->dn.bv_len, NULL, NULL,
			  "invalid-member", detail);
}

static int take_group(struct group_reader *reading, struct entry *entry, struct hash128 *ret_name,
		      uint32_t *ret_group)
{
	struct err err = { 0 };
	struct hash128 name;
	uint32_t group = 0;

	if (entry->dn.bv_len == 0) {
		quarantine_group(reading, entry, "invalid-dn", "name is empty");
		return 0;
	}
	if (dn_fingerprint(reading->parents, entry->dn.bv_val, entry->dn.bv_len, &reading->scratch,
			   &name, &err) < 0) {
		if (err.code != ERR_INVALID)
			return group_reader_out_of_memory(reading);
		quarantine_group(reading, entry, "invalid-dn", err.text);
		return 0;
	}
	*ret_name = name;
	if (!reading->following &&
	    closure_add_group(reading->groupings->closure, name, &group, &err) < 0) {
		if (err.code != ERR_CONFLICT)
			return group_reader_out_of_memory(reading);
		quarantine_group(reading, entry, "duplicate-dn", "the group came twice");
		return 0;
	}
	*ret_group = group;
	canaries_see(reading->canaries, name);
	answer_wanted(reading, group, name);
	if (take_attributes(reading, group, entry) < 0)
		return -1;
	tell_bad_members(reading, entry);
	return 0;
}

/* id NULL: by attribute, else by name. */
void group_reader_begin(struct group_reader *reading, const struct hash128 *id)
{
	reading->bad_members = reading->all_members = 0;
	reading->has_id = id != NULL;
	if (id)
		reading->id = *id;
	reading->bad = reading->cut = reading->late = false;
	reading->wants.count = 0;
	reading->gathered_count = 0;
}

int group_reader_take_message(struct group_reader *reading, LDAPMessage *message,
			      struct hash128 *ret_name, uint32_t *ret_group)
{
	struct entry entry;
	int status = 0;

	*ret_name = (struct hash128){ 0 };
	*ret_group = 0;
	if (entry_open(reading->session->ld, message, &entry) < 0) {
		quarantine_group(reading, &entry, "malformed-entry", "entry does not decode");
	} else {
		status = take_group(reading, &entry, ret_name, ret_group);
		reading->session->out->groups++;
	}
	entry_close(&entry);
	if (status == 0 && reading->told && (reading->late || reading->following))
		told_note(reading->told, KIND_GROUP, reading->session->ld, message);
	ldap_msgfree(message);
	if (!reading->has_id)
		reading->id = *ret_name;
	group_numbers_sort(&reading->wants);
	output_pulse(reading->session->out);
	return status;
}

int group_reader_take(struct group_reader *reading, const struct hash128 *id, LDAPMessage *message)
{
	struct hash128 name;
	uint32_t group;

	group_reader_begin(reading, id);
	if (group_reader_take_message(reading, message, &name, &group) < 0)
		return -1;
	return reading->keeps ? group_reader_keep(reading, name, group) : 0;
}

/* --- the whole phase --- */

/* The attributes to ask for: members, and ids when a rule names a group by its id. */
static char **request_of(struct group_reader *reading)
{
	const struct job *job = reading->session->job;
	bool by_id = false;
	size_t count = 0;
	char **names = alloc_zeroed(reading->member_count + directory_id_count + 5, sizeof(*names));

	if (!names)
		return NULL;
	for (size_t i = 0; i < reading->member_count; i++)
		names[count++] = (char *)reading->members[i].name;
	for (size_t i = 0; i < job->wanted_count && !by_id; i++)
		by_id = name_is_id(job->wanted[i].name);
	for (size_t i = 0; by_id && i < directory_id_count; i++)
		names[count++] = (char *)directory_ids[i].name;
	if (reading->id_attribute)
		names[count++] = (char *)reading->id_attribute;
	if (primary_is_asked(job->key))
		names[count++] = (char *)PRIMARY_SID_ATTRIBUTE;
	if (reading->told)
		names[count++] = (char *)TIME_ATTRIBUTE;
	/* An empty list would ask for all attributes (RFC 4511 4.5.1.8). */
	if (count == 0)
		names[count++] = (char *)LDAP_NO_ATTRS;
	return names;
}

static int prepare(struct group_reader *reading)
{
	const struct job *job = reading->session->job;
	uint32_t *slot;

	for (size_t i = 0; i < job->members.count; i++) {
		struct member_attribute *member = &reading->members[reading->member_count++];
		member->name = job->members.items[i];
		member->size = strlen(member->name);
		member->kind = strcasecmp(member->name, "memberUid") == 0      ? MEMBER_UID
			       : strcasecmp(member->name, "uniqueMember") == 0 ? MEMBER_UNIQUE
									       : MEMBER_DN;
	}
	reading->groupings->closure = closure_create();
	reading->wanted = hash_table_create(job->wanted_count, job->wanted_count);
	reading->same_name = alloc_zeroed(job->wanted_count + 1, sizeof(*reading->same_name));
	reading->parents = dn_parents_create();
	if (!reading->groupings->closure || !reading->wanted || !reading->same_name ||
	    !reading->parents)
		return group_reader_out_of_memory(reading);
	for (size_t i = 0; i < job->wanted_count; i++) {
		const char *text = job->wanted[i].name;
		struct hash128 name = name_is_id(text) ? fingerprint128(text, strlen(text))
						       : dn_fingerprint_normal(text, strlen(text));
		if (hash_table_put(reading->wanted, name, &slot) < 0)
			return group_reader_out_of_memory(reading);
		reading->same_name[i] = *slot;
		*slot = (uint32_t)i + 1;
	}
	return 0;
}

struct group_reader *group_reader_create(struct session *session, struct canaries *canaries,
					 struct groupings *groupings, bool keeps,
					 const char *id_attribute, struct told *told)
{
	struct group_reader *reading = alloc_zeroed(1, sizeof(*reading));

	groupings->complete = true;
	if (!reading) {
		outcome_note(session->outcome, "out-of-memory", "no memory for the groups");
		return NULL;
	}
	reading->round = 1;
	reading->session = session;
	reading->groupings = groupings;
	reading->canaries = canaries;
	reading->keeps = keeps;
	reading->id_attribute = id_attribute;
	reading->told = told;
	/* The longest normal form: room is never what fails, only memory. */
	reading->scratch = STRBUF(32 * DN_MAX);
	if (keeps)
		reading->ids = hash_table_create(1024, GROUPS_MAX);
	if (prepare(reading) < 0 || (keeps && !reading->ids) ||
	    !(reading->request = request_of(reading))) {
		group_reader_out_of_memory(reading);
		group_reader_destroy(reading);
		return NULL;
	}
	if (keeps)
		closure_set_dynamic(groupings->closure);
	return reading;
}

void group_reader_destroy(struct group_reader *reading)
{
	if (!reading)
		return;
	free(reading->request);
	for (size_t i = 0; i < reading->unfinished_count; i++)
		free(reading->unfinished[i].dn);
	free(reading->unfinished);
	hash_table_destroy(reading->wanted);
	free(reading->same_name);
	dn_parents_destroy(reading->parents);
	strbuf_finish(&reading->scratch);
	hash_table_destroy(reading->ids);
	free(reading->known);
	free(reading->want_ids.items);
	free(reading->wants.items);
	free(reading->gathered);
	free(reading->before);
	free(reading);
}

char **group_reader_request(struct group_reader *reading)
{
	return reading->request;
}

int group_reader_end(struct group_reader *reading, bool partial)
{
	group_reader_fetch_rest(reading);
	if (partial)
		reading->groupings->complete = false;
	if (reading->session->broken || reading->session->out->failed)
		return -1;
	if (closure_finish(reading->groupings->closure, NULL) < 0)
		return group_reader_out_of_memory(reading);
	return 0;
}

void group_reader_bound(struct group_reader *reading, size_t most, int64_t until_us)
{
	reading->most = most;
	reading->until_us = until_us;
}

int group_reader_read(struct group_reader *reading, struct search *then)
{
	struct search search = { .session = reading->session,
				 .what = &reading->session->job->groups,
				 .name = "groups",
				 .attributes = reading->request,
				 .then = then,
				 .most = reading->most,
				 .until_us = reading->until_us };
	LDAPMessage *message;
	int status = 0;

	search_start(&search);
	while (status == 0 && search_next(&search, &message) > 0)
		status = group_reader_take(reading, NULL, message);
	if (status == 0)
		status = group_reader_end(reading, search.partial);
	search_finish(&search);
	return status;
}

void groupings_finish(struct groupings *groupings)
{
	closure_destroy(groupings->closure);
	free(groupings->moved);
	*groupings = (struct groupings){ 0 };
}
