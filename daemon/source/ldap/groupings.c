/*
 * Group phase (see groupings.h). Enters: group entries. Leaves: the finished
 * closure. A member value that is no DN names nobody: it is counted and told once
 * per group. A group whose own DN does not parse, or whose entry does not decode, makes every
 * answer of the closure doubtful: `complete` is false then.
 *
 * Followed, a group's entry that comes again replaces its list. Whatever would change which
 * groups answer to which wanted ids, or how far answers can be trusted, is left to a full read.
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
#define GROUPS_MAX (1u << 24)
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

/* Groups of a read that is followed, by their ids. */
struct known_group {
	struct hash128 id, name;
	uint32_t group;
	uint32_t wants; /* its wanted ids: from here in group_reader.want_ids */
	uint32_t want_count;
	bool group_is_set;
	bool gone;
	bool marked;
	bool bad; /* could not be taken in: the answers of this read are doubtful for it */
};

struct numbers {
	uint32_t *items;
	size_t count, capacity;
};

struct group_reader {
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
	char **request;
	const char *id_attribute;

	/* when it is followed */
	bool keeps;		/* ids */
	bool following;		/* the read is over: lists are gathered whole */
	struct hash_table *ids; /* → index into known + 1 */
	struct known_group *known;
	size_t known_count, known_capacity;
	struct numbers want_ids;
	/* of the group at hand */
	struct hash128 id;
	bool has_id, bad, cut;
	struct numbers wants;
	struct hash128 *gathered;
	size_t gathered_count, gathered_capacity;
	/* who wants to know of joining and leaving */
	group_moved_fn *moved;
	void *moved_context;
	struct hash128 *before;
	size_t before_count, before_capacity;
};

static int out_of_memory(struct group_reader *reading)
{
	outcome_note(reading->session->outcome, "out-of-memory", "no memory for the groups");
	return -1;
}

static int numbers_add(struct numbers *list, uint32_t number)
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
static void numbers_sort(struct numbers *list)
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
			return out_of_memory(reading);
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
		return out_of_memory(reading);
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
		return out_of_memory(reading);
	if (named < 0) {
		reading->bad_members++;
		return 0;
	}
	if (++reading->waiting_count < ARRAY_LEN(reading->waiting))
		return 0;
	return flush_members(reading, group);
}

static int remember_unfinished(struct group_reader *reading, uint32_t group,
			       const struct berval *dn, size_t member, unsigned long next)
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

static const struct member_attribute *find_member(const struct group_reader *reading,
						  const struct berval *name)
{
	for (size_t i = 0; i < reading->member_count; i++) {
		if (entry_name_is(name, reading->members[i].name, reading->members[i].size))
			return &reading->members[i];
	}
	return NULL;
}

static void list_is_cut(struct group_reader *reading, uint32_t group, const struct berval *dn)
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

static int add_members(struct group_reader *reading, uint32_t group, enum member_kind kind,
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
		if ((reading->keeps && numbers_add(&reading->wants, id) < 0) ||
		    (!reading->following &&
		     closure_want(reading->groupings->closure, group, id, NULL) < 0))
			out_of_memory(reading);
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
			return out_of_memory(reading);
		quarantine_group(reading, entry, "invalid-dn", err.text);
		return 0;
	}
	*ret_name = name;
	if (!reading->following &&
	    closure_add_group(reading->groupings->closure, name, &group, &err) < 0) {
		if (err.code != ERR_CONFLICT)
			return out_of_memory(reading);
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

static struct known_group *find_known(struct group_reader *reading)
{
	uint32_t found;

	return hash_table_get(reading->ids, reading->id, &found) ? &reading->known[found - 1]
								 : NULL;
}

/* A place for the group at hand; one that came back has its old one. NULL: out of memory. */
static struct known_group *make_known(struct group_reader *reading)
{
	struct known_group *known = find_known(reading);
	uint32_t *slot;

	if (known)
		return known;
	if (reading->known_count == reading->known_capacity) {
		size_t capacity = 2 * reading->known_capacity + 64;
		void *larger = alloc_resize(reading->known, capacity * sizeof(*reading->known));
		if (!larger)
			return NULL;
		reading->known = larger;
		reading->known_capacity = capacity;
	}
	if (hash_table_put(reading->ids, reading->id, &slot) < 0)
		return NULL;
	reading->known[reading->known_count] = (struct known_group){ .id = reading->id };
	*slot = (uint32_t)++reading->known_count;
	return &reading->known[reading->known_count - 1];
}

/* Which ids the group at hand answers to. */
static int keep_wants(struct group_reader *reading, struct known_group *known)
{
	known->wants = (uint32_t)reading->want_ids.count;
	known->want_count = (uint32_t)reading->wants.count;
	for (size_t i = 0; i < reading->wants.count; i++) {
		if (numbers_add(&reading->want_ids, reading->wants.items[i]) < 0)
			return out_of_memory(reading);
	}
	return 0;
}

static int keep_group(struct group_reader *reading, struct hash128 name, uint32_t group)
{
	bool again = find_known(reading) != NULL;
	struct known_group *known = make_known(reading);

	if (!known)
		return out_of_memory(reading);
	/* Under another name, or it would be a group that came twice: what it was stays in the closure. */
	if (again && !reading->bad)
		outcome_note(reading->session->outcome, "directory-changed",
			     "a group was renamed while groups were read");
	*known = (struct known_group){ .id = reading->id,
				       .name = name,
				       .group = group,
				       .group_is_set = !reading->bad,
				       .bad = reading->bad };
	return keep_wants(reading, known);
}

/* id NULL: by attribute, else by name. */
static void begin_group(struct group_reader *reading, const struct hash128 *id)
{
	reading->bad_members = reading->all_members = 0;
	reading->has_id = id != NULL;
	if (id)
		reading->id = *id;
	reading->bad = reading->cut = false;
	reading->wants.count = 0;
	reading->gathered_count = 0;
}

static int take_message(struct group_reader *reading, LDAPMessage *message,
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
	ldap_msgfree(message);
	if (!reading->has_id)
		reading->id = *ret_name;
	numbers_sort(&reading->wants);
	output_pulse(reading->session->out);
	return status;
}

int group_reader_take(struct group_reader *reading, const struct hash128 *id, LDAPMessage *message)
{
	struct hash128 name;
	uint32_t group;

	begin_group(reading, id);
	if (take_message(reading, message, &name, &group) < 0)
		return -1;
	return reading->keeps ? keep_group(reading, name, group) : 0;
}

/* --- ranges (Active Directory: MS-ADTS 3.1.1.3.1.3.3) --- */

/* The next piece of a list; ret_next 0: it was the last one. -1: no use to go on. */
static int take_piece(struct group_reader *reading, struct unfinished *list, LDAPMessage *message,
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
static int fetch_piece(struct group_reader *reading, struct unfinished *list,
		       unsigned long *ret_next)
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

static void fetch_rest(struct group_reader *reading, struct unfinished *list)
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
static char **request_of(struct group_reader *reading)
{
	const struct job *job = reading->session->job;
	bool by_id = false;
	size_t count = 0;
	char **names = alloc_zeroed(reading->member_count + directory_id_count + 4, sizeof(*names));

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

struct group_reader *group_reader_create(struct session *session, struct canaries *canaries,
					 struct groupings *groupings, bool keeps,
					 const char *id_attribute)
{
	struct group_reader *reading = alloc_zeroed(1, sizeof(*reading));

	groupings->complete = true;
	if (!reading) {
		outcome_note(session->outcome, "out-of-memory", "no memory for the groups");
		return NULL;
	}
	reading->session = session;
	reading->groupings = groupings;
	reading->canaries = canaries;
	reading->keeps = keeps;
	reading->id_attribute = id_attribute;
	/* The longest normal form: room is never what fails, only memory. */
	reading->scratch = STRBUF(32 * DN_MAX);
	if (keeps)
		reading->ids = hash_table_create(1024, GROUPS_MAX);
	if (prepare(reading) < 0 || (keeps && !reading->ids) ||
	    !(reading->request = request_of(reading))) {
		out_of_memory(reading);
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

static void fetch_unfinished(struct group_reader *reading)
{
	for (size_t i = 0; i < reading->unfinished_count; i++) {
		fetch_rest(reading, &reading->unfinished[i]);
		free(reading->unfinished[i].dn);
	}
	reading->unfinished_count = 0;
}

int group_reader_end(struct group_reader *reading, bool partial)
{
	fetch_unfinished(reading);
	if (partial)
		reading->groupings->complete = false;
	if (reading->session->broken || reading->session->out->failed)
		return -1;
	if (closure_finish(reading->groupings->closure, NULL) < 0)
		return out_of_memory(reading);
	return 0;
}

int group_reader_read(struct group_reader *reading, struct search *then)
{
	struct search search = { .session = reading->session,
				 .what = &reading->session->job->groups,
				 .name = "groups",
				 .attributes = reading->request,
				 .then = then };
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

/* --- followed --- */

void group_reader_follow(struct group_reader *reading)
{
	reading->following = true;
	reading->groupings->following = true;
}

void group_reader_watch(struct group_reader *reading, group_moved_fn *moved, void *context)
{
	reading->moved = moved;
	reading->moved_context = context;
}

static int keep_before(void *context, struct hash128 name, struct err *err)
{
	struct group_reader *reading = context;

	if (reading->before_count == reading->before_capacity) {
		size_t capacity = 2 * reading->before_capacity + 64;
		void *larger = alloc_resize(reading->before, capacity * sizeof(*reading->before));
		if (!larger)
			return err_set(err, ERR_MEMORY, "no memory for a member list");
		reading->before = larger;
		reading->before_capacity = capacity;
	}
	reading->before[reading->before_count++] = name;
	return 0;
}

/* Who is on the list before it changes. */
static int look_before(struct group_reader *reading, const struct known_group *known)
{
	reading->before_count = 0;
	if (!reading->moved || !known || known->gone || !known->group_is_set)
		return 0;
	if (closure_members(reading->groupings->closure, known->group, keep_before, reading, NULL) <
	    0)
		return out_of_memory(reading);
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	const struct hash128 *left = a, *right = b;

	if (left->word[0] != right->word[0])
		return left->word[0] < right->word[0] ? -1 : 1;
	return (left->word[1] > right->word[1]) - (left->word[1] < right->word[1]);
}

static void sort_names(struct hash128 *names, size_t count)
{
	if (count > 1)
		qsort(names, count, sizeof(*names), compare_names);
}

/* Those on one list only; on either one when the group itself has another name now. */
static int tell_moved(struct group_reader *reading, bool all)
{
	size_t b = 0, a = 0;

	if (!reading->moved)
		return 0;
	sort_names(reading->before, reading->before_count);
	sort_names(reading->gathered, reading->gathered_count);
	while (b < reading->before_count || a < reading->gathered_count) {
		const struct hash128 *before = &reading->before[b], *after = &reading->gathered[a];
		int order = b == reading->before_count	   ? 1
			    : a == reading->gathered_count ? -1
							   : compare_names(before, after);
		b += order <= 0;
		a += order >= 0;
		if ((order != 0 || all) &&
		    reading->moved(reading->moved_context, order <= 0 ? *before : *after) < 0)
			return -1;
	}
	return 0;
}

static bool same_wants(const struct group_reader *reading, const struct known_group *known)
{
	const uint32_t *before = known ? reading->want_ids.items + known->wants : NULL;
	size_t count = known && !known->gone ? known->want_count : 0;

	return count == reading->wants.count &&
	       (count == 0 || memcmp(before, reading->wants.items, count * sizeof(*before)) == 0);
}

/* Wanted ids change hands, or answers change their worth. NULL: neither. */
static const char *full_read_for(const struct group_reader *reading,
				 const struct known_group *known)
{
	bool was_there = known && !known->gone;

	if (reading->bad && was_there && known->bad)
		return NULL;
	if (reading->bad || (was_there && known->bad))
		return "malformed-group";
	if (reading->cut)
		return "range-cut";
	if (same_wants(reading, known))
		return NULL;
	return was_there ? "group-renamed" : "group-appeared";
}

/* The group under its present name. 1: another one has that name. */
static int name_group(struct group_reader *reading, struct hash128 name, struct known_group *known)
{
	struct closure *closure = reading->groupings->closure;
	bool was_there = known->group_is_set && !known->gone;
	struct err err = { 0 };
	uint32_t group;

	if (was_there && hash128_equal(known->name, name))
		return 0;
	if (was_there && closure_drop_group(closure, known->group, NULL) < 0)
		return out_of_memory(reading);
	if (closure_add_group(closure, name, &group, &err) < 0)
		return err.code == ERR_CONFLICT ? 1 : out_of_memory(reading);
	for (size_t i = 0; i < reading->wants.count; i++) {
		if (closure_want(closure, group, reading->wants.items[i], NULL) < 0)
			return out_of_memory(reading);
	}
	known->name = name;
	known->group = group;
	known->group_is_set = true;
	known->gone = false;
	return 0;
}

int group_reader_change(struct group_reader *reading, const struct hash128 *id,
			LDAPMessage *message, const char **ret_reason)
{
	struct known_group *known;
	struct hash128 name;
	uint32_t group;
	bool renamed;
	int status;

	begin_group(reading, id);
	if (take_message(reading, message, &name, &group) < 0)
		return -1;
	fetch_unfinished(reading);
	if (reading->session->broken)
		return -1;
	*ret_reason = full_read_for(reading, find_known(reading));
	if (*ret_reason)
		return 1;
	if (reading->bad)
		return 0;
	known = make_known(reading);
	if (!known || look_before(reading, known) < 0)
		return out_of_memory(reading);
	renamed = !hash128_equal(known->name, name);
	status = name_group(reading, name, known);
	if (status == 1)
		*ret_reason = "group-conflict";
	if (status == 0 && tell_moved(reading, renamed) < 0)
		return -1;
	if (status == 0 &&
	    closure_change_members(reading->groupings->closure, known->group, reading->gathered,
				   reading->gathered_count, NULL) < 0)
		return out_of_memory(reading);
	return status;
}

int group_reader_gone(struct group_reader *reading, struct hash128 id, const char **ret_reason)
{
	struct known_group *known;

	reading->id = id;
	known = find_known(reading);
	if (!known || known->gone)
		return 0;
	*ret_reason = known->bad ? "malformed-group" : "group-vanished";
	if (known->bad || known->want_count > 0 || canaries_have(reading->canaries, known->name))
		return 1;
	reading->gathered_count = 0;
	if (look_before(reading, known) < 0 ||
	    closure_drop_group(reading->groupings->closure, known->group, NULL) < 0)
		return out_of_memory(reading);
	known->gone = true;
	return tell_moved(reading, true);
}

bool group_reader_knows(const struct group_reader *reading, struct hash128 id)
{
	uint32_t found;

	return hash_table_get(reading->ids, id, &found) && !reading->known[found - 1].gone;
}

void group_reader_unmark(struct group_reader *reading)
{
	for (size_t i = 0; i < reading->known_count; i++)
		reading->known[i].marked = false;
}

void group_reader_mark(struct group_reader *reading, struct hash128 id)
{
	uint32_t found;

	if (hash_table_get(reading->ids, id, &found))
		reading->known[found - 1].marked = true;
}

int group_reader_drop_unmarked(struct group_reader *reading, const char **ret_reason)
{
	for (size_t i = 0; i < reading->known_count; i++) {
		struct known_group *known = &reading->known[i];
		int status = 0;

		if (!known->gone && !known->marked)
			status = group_reader_gone(reading, known->id, ret_reason);
		if (status != 0)
			return status;
	}
	return 0;
}

/* The same few ids again and again: they are put together before room is made. */
static int moved_reserve(struct groupings *groupings)
{
	struct numbers list = { groupings->moved, groupings->moved_count, 0 };
	size_t capacity = 2 * groupings->moved_capacity + 256;
	void *larger;

	numbers_sort(&list);
	groupings->moved_count = list.count;
	if (list.count < groupings->moved_capacity / 2)
		return 0;
	larger = alloc_resize(groupings->moved, capacity * sizeof(*groupings->moved));
	if (!larger)
		return -1;
	groupings->moved = larger;
	groupings->moved_capacity = capacity;
	return 0;
}

int groupings_count(struct groupings *groupings, const uint32_t *before, size_t before_count,
		    const uint32_t *after, size_t after_count)
{
	size_t b = 0, a = 0;

	closure_count(groupings->closure, before, before_count, after, after_count);
	if (!groupings->following)
		return 0;
	while (b < before_count || a < after_count) {
		uint32_t id;
		if (b < before_count && a < after_count && before[b] == after[a]) {
			b++;
			a++;
			continue;
		}
		if (a == after_count || (b < before_count && before[b] < after[a]))
			id = before[b++];
		else
			id = after[a++];
		if (groupings->moved_count == groupings->moved_capacity &&
		    moved_reserve(groupings) < 0)
			return -1;
		groupings->moved[groupings->moved_count++] = id;
	}
	return 0;
}

void groupings_tell_moved(struct groupings *groupings, struct output *out)
{
	struct numbers list = { groupings->moved, groupings->moved_count, 0 };

	numbers_sort(&list);
	groupings->moved_count = 0;
	if (list.count > 0)
		output_begin_batch(out);
	for (size_t i = 0; i < list.count; i++) {
		struct protocol_group group = { .id = list.items[i] };
		group.found = closure_wanted(groupings->closure, group.id, &group.members);
		if (!group.found)
			group.members = 0;
		group_encode(&group, &out->frames);
		output_pulse(out);
	}
}

void groupings_finish(struct groupings *groupings)
{
	closure_destroy(groupings->closure);
	free(groupings->moved);
	*groupings = (struct groupings){ 0 };
}
