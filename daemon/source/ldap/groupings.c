/*
 * Group phase (see groupings.h). Enters: group entries. Leaves: the finished
 * closure. A member value that is no DN names nobody: it is counted and told once
 * per group. A group whose own DN does not parse, or whose entry does not decode, makes every
 * answer of the closure doubtful: `complete` is false then.
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
#include "primary.h"

/* Answers to one group's ranges; with 1,500 members each that is past 10 million. */
#define RANGES_MAX 10000
#define UNFINISHED_MAX (1u << 20)
/* Enough for their places in memory to be on the way together. */
#define MEMBERS_AT_ONCE 64

enum member_kind { MEMBER_DN, MEMBER_UNIQUE, MEMBER_UID };

struct member_attribute {
	const char *name;
	size_t size;
	enum member_kind kind;
};

/* A member list that goes on. */
struct unfinished {
	uint32_t group;
	char *dn;
	size_t member; /* index of the attribute */
	unsigned long next;
};

struct reading {
	struct session *session;
	struct groupings *groupings;
	struct canaries *canaries;
	struct hash_table *wanted; /* fingerprint of the name → index into job->wanted + 1 */
	uint32_t *same_name;	   /* parallel to job->wanted: the next of that name + 1; 0: none */
	struct member_attribute members[PROTOCOL_LIST_MAX];
	size_t member_count;
	struct dn_parents *parents;
	struct strbuf scratch;
	struct hash128 waiting[MEMBERS_AT_ONCE];
	size_t waiting_count;
	struct unfinished *unfinished;
	size_t unfinished_count, unfinished_capacity;
	uint64_t bad_members, all_members; /* of the group at hand */
};

static int out_of_memory(struct reading *reading)
{
	outcome_note(reading->session->outcome, "out-of-memory", "no memory for the groups");
	return -1;
}

/* --- members --- */

/* Members wait here until there are enough for the closure to take at once. */
static int flush_members(struct reading *reading, uint32_t group)
{
	size_t count = reading->waiting_count;

	reading->waiting_count = 0;
	if (closure_add_members(reading->groupings->closure, group, reading->waiting, count, NULL) <
	    0)
		return out_of_memory(reading);
	return 0;
}

static int add_member(struct reading *reading, uint32_t group, enum member_kind kind,
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
		return out_of_memory(reading);
	if (named < 0) {
		reading->bad_members++;
		return 0;
	}
	if (++reading->waiting_count < ARRAY_LEN(reading->waiting))
		return 0;
	return flush_members(reading, group);
}

static int remember_unfinished(struct reading *reading, uint32_t group, const struct berval *dn,
			       size_t member, unsigned long next)
{
	struct unfinished *item;

	if (reading->unfinished_count == reading->unfinished_capacity) {
		size_t capacity = 2 * reading->unfinished_capacity + 16;
		void *items = alloc_resize(reading->unfinished, capacity * sizeof(*item));
		if (!items || capacity > UNFINISHED_MAX)
			return out_of_memory(reading);
		reading->unfinished = items;
		reading->unfinished_capacity = capacity;
	}
	item = &reading->unfinished[reading->unfinished_count];
	*item = (struct unfinished){ group, strndup(dn->bv_val, dn->bv_len), member, next };
	if (!item->dn)
		return out_of_memory(reading);
	reading->unfinished_count++;
	return 0;
}

static const struct member_attribute *find_member(const struct reading *reading,
						  const struct berval *name)
{
	for (size_t i = 0; i < reading->member_count; i++) {
		if (entry_name_is(name, reading->members[i].name, reading->members[i].size))
			return &reading->members[i];
	}
	return NULL;
}

static void list_is_cut(struct reading *reading, uint32_t group, const struct berval *dn)
{
	closure_set_incomplete(reading->groupings->closure, group);
	outcome_note(reading->session->outcome, "range-cut",
		     "member list of '%.*s' could not be read to its end",
		     (int)(dn->bv_len < 256 ? dn->bv_len : 256), dn->bv_val);
}

static int add_members(struct reading *reading, uint32_t group, enum member_kind kind,
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
static void answer_wanted(struct reading *reading, uint32_t group, struct hash128 name)
{
	const struct job *job = reading->session->job;
	uint32_t found;

	if (!hash_table_get(reading->wanted, name, &found))
		return;
	for (; found != 0; found = reading->same_name[found - 1])
		if (closure_want(reading->groupings->closure, group, job->wanted[found - 1].id,
				 NULL) < 0)
			out_of_memory(reading);
}

/* values: their first one counts. */
static void answer_to_id(struct reading *reading, uint32_t group, const struct berval *name,
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
static int add_primary(struct reading *reading, uint32_t group, struct attribute_values *values)
{
	struct berval sid;
	struct hash128 name;

	if (!attribute_next_value(values, &sid) || !primary_group_name(&sid, &name))
		return 0;
	if (closure_add_members(reading->groupings->closure, group, &name, 1, NULL) < 0)
		return out_of_memory(reading);
	return 0;
}

static int take_attribute(struct reading *reading, uint32_t group, const struct berval *dn,
			  const struct berval *name, struct attribute_values *values)
{
	const struct member_attribute *member = find_member(reading, name);
	struct directory_range range = { .last = true };

	if (!member && directory_name_range(name->bv_val, name->bv_len, &range))
		member = find_member(reading, &(struct berval){ range.base_size, name->bv_val });
	if (!member && entry_name_is(name, PRIMARY_SID_ATTRIBUTE, strlen(PRIMARY_SID_ATTRIBUTE)))
		return add_primary(reading, group, values);
	if (!member) {
		answer_to_id(reading, group, name, values);
		return 0;
	}
	if (add_members(reading, group, member->kind, values) < 0)
		return -1;
	if (directory_range_is_whole(&range))
		return 0;
	if (range.last || range.first != 0 || range.next == 0) {
		list_is_cut(reading, group, dn);
		return 0;
	}
	return remember_unfinished(reading, group, dn, (size_t)(member - reading->members),
				   range.next);
}

static int take_attributes(struct reading *reading, uint32_t group, struct entry *entry)
{
	struct attribute_values values;
	struct berval name;
	int more;

	while ((more = entry_next(entry, &name, &values)) > 0) {
		if (take_attribute(reading, group, &entry->dn, &name, &values) < 0)
			return -1;
	}
	if (more < 0) {
		output_quarantine(reading->session->out, entry->dn.bv_val, entry->dn.bv_len, NULL,
				  NULL, "malformed-entry", "group entry does not decode");
		reading->groupings->complete = false;
	}
	return 0;
}

static void tell_bad_members(struct reading *reading, const struct entry *entry)
{
	char detail[128];

	if (reading->bad_members == 0)
		return;
	snprintf(detail, sizeof(detail), "%" PRIu64 " of %" PRIu64 " members are no valid names",
		 reading->bad_members, reading->all_members);
	output_quarantine(reading->session->out, entry->dn.bv_val, entry->dn.bv_len, NULL, NULL,
			  "invalid-member", detail);
}

/* A group that has no name of its own cannot be found in other groups: what it gives is unknown. */
static void quarantine_group(struct reading *reading, const struct entry *entry, const char *reason,
			     const char *detail)
{
	reading->groupings->complete = false;
	output_quarantine(reading->session->out, entry->dn.bv_val, entry->dn.bv_len, NULL, NULL,
			  reason, detail);
}

static int take_group(struct reading *reading, struct entry *entry)
{
	struct err err = { 0 };
	struct hash128 name;
	uint32_t group;

	reading->bad_members = reading->all_members = 0;
	if (entry->dn.bv_len == 0) {
		quarantine_group(reading, entry, "invalid-dn", "name is empty");
		return 0;
	}
	if (dn_fingerprint(reading->parents, entry->dn.bv_val, entry->dn.bv_len, &reading->scratch,
			   &name, &err) < 0) {
		if (err.code != ERR_INVALID)
			return out_of_memory(reading);
		quarantine_group(reading, entry, "invalid-dn", err.text);
		return 0;
	}
	if (closure_add_group(reading->groupings->closure, name, &group, &err) < 0) {
		if (err.code != ERR_CONFLICT)
			return out_of_memory(reading);
		quarantine_group(reading, entry, "duplicate-dn", "the group came twice");
		return 0;
	}
	canaries_see(reading->canaries, name);
	answer_wanted(reading, group, name);
	if (take_attributes(reading, group, entry) < 0)
		return -1;
	tell_bad_members(reading, entry);
	return 0;
}

static int take_message(struct reading *reading, LDAPMessage *message)
{
	struct entry entry;
	int status = 0;

	if (entry_open(reading->session->ld, message, &entry) < 0) {
		quarantine_group(reading, &entry, "malformed-entry", "entry does not decode");
	} else {
		status = take_group(reading, &entry);
		reading->session->out->groups++;
	}
	entry_close(&entry);
	ldap_msgfree(message);
	output_pulse(reading->session->out);
	return status;
}

/* --- ranges (Active Directory: MS-ADTS 3.1.1.3.1.3.3) --- */

/* The next piece of a list; ret_next 0: it was the last one. -1: no use to go on. */
static int take_piece(struct reading *reading, struct unfinished *list, LDAPMessage *message,
		      unsigned long *ret_next)
{
	const struct member_attribute *member = &reading->members[list->member];
	struct entry entry;
	struct attribute_values values;
	struct berval name;
	int status = -1;

	if (entry_open(reading->session->ld, message, &entry) == 0) {
		while (entry_next(&entry, &name, &values) > 0) {
			struct directory_range range;
			if (directory_name_range(name.bv_val, name.bv_len, &range) &&
			    entry_name_is(&(struct berval){ range.base_size, name.bv_val },
					  member->name, member->size) &&
			    range.first == list->next && (range.last || range.next > range.first)) {
				status = add_members(reading, list->group, member->kind, &values);
				*ret_next = range.next;
			}
		}
	}
	entry_close(&entry);
	return status;
}

/* One base search; the entry and a result 0 must come. */
static int fetch_piece(struct reading *reading, struct unfinished *list, unsigned long *ret_next)
{
	struct session *session = reading->session;
	const struct member_attribute *member = &reading->members[list->member];
	char attribute[320], *attributes[] = { attribute, NULL };
	LDAPMessage *message;
	int message_id = 0, code = LDAP_OTHER, status = -1;

	snprintf(attribute, sizeof(attribute), "%.*s;range=%lu-*", 255, member->name, list->next);
	if (ldap_search_ext(session->ld, list->dn, LDAP_SCOPE_BASE, "(objectClass=*)", attributes,
			    0, NULL, NULL, NULL, LDAP_NO_LIMIT, &message_id) != LDAP_SUCCESS) {
		session_note_last(session, "cannot ask for the rest of a group");
		return -1;
	}
	for (;;) {
		if (session_await(session, message_id, &message) < 0)
			return -1;
		if (ldap_msgtype(message) == LDAP_RES_SEARCH_RESULT)
			break;
		if (ldap_msgtype(message) == LDAP_RES_SEARCH_ENTRY)
			status = take_piece(reading, list, message, ret_next);
		ldap_msgfree(message);
	}
	if (ldap_parse_result(session->ld, message, &code, NULL, NULL, NULL, NULL, 1) !=
	    LDAP_SUCCESS)
		return -1;
	return code == LDAP_SUCCESS ? status : -1;
}

static void fetch_rest(struct reading *reading, struct unfinished *list)
{
	struct berval dn = { strlen(list->dn), list->dn };

	for (size_t i = 0; i < RANGES_MAX; i++) {
		unsigned long next = 0;
		if (reading->session->broken || fetch_piece(reading, list, &next) < 0)
			break;
		if (next == 0)
			return;
		list->next = next;
	}
	list_is_cut(reading, list->group, &dn);
}

/* --- the whole phase --- */

/* The attributes to ask for: members, and ids when a rule names a group by its id. */
static char **request_of(struct reading *reading)
{
	const struct job *job = reading->session->job;
	bool by_id = false;
	size_t count = 0;
	char **names = alloc_zeroed(reading->member_count + directory_id_count + 3, sizeof(*names));

	if (!names)
		return NULL;
	for (size_t i = 0; i < reading->member_count; i++)
		names[count++] = (char *)reading->members[i].name;
	for (size_t i = 0; i < job->wanted_count && !by_id; i++)
		by_id = name_is_id(job->wanted[i].name);
	for (size_t i = 0; by_id && i < directory_id_count; i++)
		names[count++] = (char *)directory_ids[i].name;
	if (primary_is_asked(job->key))
		names[count++] = (char *)PRIMARY_SID_ATTRIBUTE;
	/* An empty list would ask for all attributes (RFC 4511 4.5.1.8). */
	if (count == 0)
		names[count++] = (char *)LDAP_NO_ATTRS;
	return names;
}

static int prepare(struct reading *reading)
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
		return out_of_memory(reading);
	for (size_t i = 0; i < job->wanted_count; i++) {
		const char *text = job->wanted[i].name;
		struct hash128 name = name_is_id(text) ? fingerprint128(text, strlen(text))
						       : dn_fingerprint_normal(text, strlen(text));
		if (hash_table_put(reading->wanted, name, &slot) < 0)
			return out_of_memory(reading);
		reading->same_name[i] = *slot;
		*slot = (uint32_t)i + 1;
	}
	return 0;
}

static int read_groups(struct reading *reading, struct search *search)
{
	LDAPMessage *message;
	int more;

	search_start(search);
	while ((more = search_next(search, &message)) > 0) {
		if (take_message(reading, message) < 0)
			return -1;
	}
	for (size_t i = 0; i < reading->unfinished_count; i++)
		fetch_rest(reading, &reading->unfinished[i]);
	if (search->partial)
		reading->groupings->complete = false;
	if (reading->session->broken || reading->session->out->failed)
		return -1;
	if (closure_finish(reading->groupings->closure, NULL) < 0)
		return out_of_memory(reading);
	return 0;
}

int groupings_read(struct session *session, struct search *then, struct canaries *canaries,
		   struct groupings *groupings)
{
	struct reading *reading = alloc_zeroed(1, sizeof(*reading));
	struct search search = {
		.session = session, .what = &session->job->groups, .name = "groups", .then = then
	};
	int status = -1;

	groupings->complete = true;
	if (!reading) {
		outcome_note(session->outcome, "out-of-memory", "no memory for the groups");
		return -1;
	}
	reading->session = session;
	reading->groupings = groupings;
	reading->canaries = canaries;
	/* The longest normal form: room is never what fails, only memory. */
	reading->scratch = STRBUF(32 * DN_MAX);
	if (prepare(reading) == 0 && (search.attributes = request_of(reading)))
		status = read_groups(reading, &search);
	search_finish(&search);
	free(search.attributes);
	for (size_t i = 0; i < reading->unfinished_count; i++)
		free(reading->unfinished[i].dn);
	free(reading->unfinished);
	hash_table_destroy(reading->wanted);
	free(reading->same_name);
	dn_parents_destroy(reading->parents);
	strbuf_finish(&reading->scratch);
	free(reading);
	/* A closure that is not finished answers nothing. */
	if (status < 0)
		groupings_finish(groupings);
	return status;
}

void groupings_finish(struct groupings *groupings)
{
	closure_destroy(groupings->closure);
	groupings->closure = NULL;
}
