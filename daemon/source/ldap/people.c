/*
 * User phase (see people.h). Enters: entries with any bytes. Leaves: records
 * whose texts are UTF-8 without NUL, in the record's order, no larger than
 * RECORD_MAX. An entry with a bad DN, key or value is quarantined; the rest goes on.
 *
 * Attributes asked for are gathered in slots, one per distinct name. A
 * description with options that nobody asked for ("cn;lang-de", sent for "cn") is
 * another attribute and is left out.
 *
 * Who is known from one entry to the next is in people_known.c.
 */
#include "people.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>
#include <rolebridge/identity/dn.h>

#include "../directory.h"
#include "../disabled.h"
#include "entry.h"
#include "people_state.h"
#include "primary.h"

#define VALUE_MAX (1024u * 1024)
#define PEOPLE_MAX (1u << 28)
int people_out_of_memory(struct people *people)
{
	outcome_note(people->session->outcome, "out-of-memory", "no memory for the users");
	return -1;
}

/* --- preparation --- */

static size_t slot_for(struct people *people, const char *name, size_t size)
{
	struct slot *slot = people->slots;

	for (size_t i = 0; i < people->slot_count; i++, slot++) {
		if (slot->size == size && strncasecmp(slot->name, name, size) == 0)
			return i;
	}
	*slot = (struct slot){ .name = name, .size = size };
	if (size == strlen("objectGUID") && strncasecmp(name, "objectGUID", size) == 0)
		slot->form = VALUE_GUID;
	if (size == strlen("objectSid") && strncasecmp(name, "objectSid", size) == 0)
		slot->form = VALUE_SID;
	return people->slot_count++;
}

static int prepare_slots(struct people *people, const struct job *job)
{
	size_t most = job->attribute_count + job->disabled.count + 6;

	people->slots = alloc_zeroed(most, sizeof(*people->slots));
	people->attribute_slot = alloc_zeroed(job->attribute_count + 1, sizeof(size_t));
	people->markers = alloc_zeroed(job->disabled.count + 1, sizeof(*people->markers));
	if (!people->slots || !people->attribute_slot || !people->markers)
		return people_out_of_memory(people);
	people->key_slot = slot_for(people, job->key, strlen(job->key));
	for (size_t i = 0; i < job->attribute_count; i++) {
		const char *from = job->attributes[i].from;
		people->attribute_slot[i] = slot_for(people, from, strlen(from));
		people->slots[people->attribute_slot[i]].wanted = true;
		people->names_bound += strlen(job->attributes[i].name) + 2 * TEXT_OVERHEAD;
	}
	for (size_t i = 0; i < job->disabled.count; i++) {
		struct marker *marker = &people->markers[people->marker_count];
		if (!disabled_marker_parse(job->disabled.items[i], &marker->rule))
			continue;
		marker->slot = slot_for(people, marker->rule.text, marker->rule.attribute_size);
		people->marker_count++;
	}
	for (size_t i = 0; i < job->members.count && job->wanted_count > 0; i++)
		people->uses_uid |= strcasecmp(job->members.items[i], "memberUid") == 0;
	if (people->uses_uid)
		people->uid_slot = slot_for(people, "uid", strlen("uid"));
	people->uses_primary = job->wanted_count > 0 && primary_is_asked(job->key);
	if (people->uses_primary) {
		people->sid_slot =
			slot_for(people, PRIMARY_SID_ATTRIBUTE, strlen(PRIMARY_SID_ATTRIBUTE));
		people->primary_slot = slot_for(people, PRIMARY_NUMBER_ATTRIBUTE,
						strlen(PRIMARY_NUMBER_ATTRIBUTE));
	}
	people->has_id = people->id_attribute != NULL;
	if (people->has_id)
		people->id_slot =
			slot_for(people, people->id_attribute, strlen(people->id_attribute));
	if (people->told)
		people->time_slot = slot_for(people, TIME_ATTRIBUTE, strlen(TIME_ATTRIBUTE));
	return 0;
}

/* Names with options or of markers are not NUL-terminated where the slot ends: copies. */
static int prepare_request(struct people *people)
{
	people->request = alloc_zeroed(people->slot_count + 1, sizeof(*people->request));
	if (!people->request)
		return people_out_of_memory(people);
	for (size_t i = 0; i < people->slot_count; i++) {
		people->request[i] = strndup(people->slots[i].name, people->slots[i].size);
		if (!people->request[i])
			return people_out_of_memory(people);
	}
	return 0;
}

struct people *people_create(struct session *session, struct canaries *canaries,
			     struct index *index, const char *id_attribute, struct told *told)
{
	struct people *people = alloc_zeroed(1, sizeof(*people));

	if (!people) {
		outcome_note(session->outcome, "out-of-memory", "no memory for the users");
		return NULL;
	}
	people->session = session;
	people->canaries = canaries;
	people->index = index;
	people->id_attribute = id_attribute;
	people->told = told;
	/* The longest normal form: room is never what fails, only memory. */
	people->scratch = STRBUF(32 * DN_MAX);
	people->dn = STRBUF(VALUE_MAX);
	people->key = STRBUF(KEY_MAX + 1);
	people->guids = STRBUF(VALUE_MAX);
	people->keys = index ? NULL : hash_table_create(1024, PEOPLE_MAX);
	people->parents = dn_parents_create();
	if ((!people->keys && !index) || !people->parents) {
		people_out_of_memory(people);
	} else if (prepare_slots(people, session->job) == 0 && prepare_request(people) == 0) {
		people->search = (struct search){ .session = session,
						  .what = &session->job->users,
						  .name = "users",
						  .attributes = people->request };
		return people;
	}
	people_destroy(people);
	return NULL;
}

struct search *people_search(struct people *people)
{
	return &people->search;
}

void people_destroy(struct people *people)
{
	if (!people)
		return;
	search_finish(&people->search);
	for (size_t i = 0; people->request && people->request[i]; i++)
		free(people->request[i]);
	free(people->request);
	free(people->slots);
	free(people->attribute_slot);
	free(people->markers);
	hash_table_destroy(people->keys);
	dn_parents_destroy(people->parents);
	strbuf_finish(&people->scratch);
	strbuf_finish(&people->dn);
	strbuf_finish(&people->key);
	strbuf_finish(&people->guids);
	free(people->gathered);
	free(people->values);
	free(people->sizes);
	free(people->names);
	free(people);
}

/* --- one entry: gather --- */

static void problem_set(struct problem *problem, const char *reason, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void problem_set(struct problem *problem, const char *reason, const char *format, ...)
{
	va_list args;

	if (problem->reason)
		return;
	problem->reason = reason;
	va_start(args, format);
	vsnprintf(problem->detail, sizeof(problem->detail), format, args);
	va_end(args);
}

static struct slot *find_slot(struct people *people, const struct berval *name)
{
	for (size_t tried = 0; tried < people->slot_count; tried++) {
		size_t i = people->next_slot + tried;
		if (i >= people->slot_count)
			i -= people->slot_count;
		if (entry_name_is(name, people->slots[i].name, people->slots[i].size)) {
			people->next_slot = i + 1 < people->slot_count ? i + 1 : 0;
			return &people->slots[i];
		}
	}
	return NULL;
}

static void clear_slots(struct people *people)
{
	for (size_t i = 0; i < people->slot_count; i++) {
		people->slots[i].present = false;
		people->slots[i].values = NULL;
		people->slots[i].first = people->slots[i].count = 0;
	}
	people->next_slot = 0;
	people->gathered_count = 0;
}

/*
 * "title;range=0-1499": more values than the server sends at once. Taken for another attribute, those
 * that came would count as none.
 */
static const struct slot *find_cut_slot(struct people *people, const struct berval *name)
{
	struct directory_range range;
	struct berval base = { .bv_val = name->bv_val };

	if (!directory_name_range(name->bv_val, name->bv_len, &range))
		return NULL;
	base.bv_len = range.base_size;
	return find_slot(people, &base);
}

static int gather_values(struct people *people, struct slot *slot, struct attribute_values *values)
{
	size_t needed = people->gathered_count + values->count;

	if (needed > people->gathered_capacity) {
		void *larger = alloc_resize(people->gathered, 2 * needed * sizeof(struct berval));
		if (!larger)
			return people_out_of_memory(people);
		people->gathered = larger;
		people->gathered_capacity = 2 * needed;
	}
	slot->present = true;
	slot->first = people->gathered_count;
	while (attribute_next_value(values, &people->gathered[people->gathered_count]))
		people->gathered_count++;
	slot->count = people->gathered_count - slot->first;
	return 0;
}

/* All attributes into their slots; says what is wrong with the entry's form. */
static int gather(struct people *people, struct entry *entry, struct problem *problem)
{
	struct attribute_values values;
	struct berval name;
	int more;

	while ((more = entry_next(entry, &name, &values)) > 0) {
		struct slot *slot = find_slot(people, &name);
		const struct slot *cut = slot ? NULL : find_cut_slot(people, &name);
		if (cut)
			problem_set(problem, "attribute-cut",
				    "the server sent a part of the values of '%.*s'",
				    (int)cut->size, cut->name);
		if (slot && slot->present)
			problem_set(problem, "malformed-entry", "attribute '%.*s' came twice",
				    (int)slot->size, slot->name);
		if (slot && !slot->present && gather_values(people, slot, &values) < 0)
			return -1;
	}
	if (more < 0)
		problem_set(problem, "malformed-entry", "entry does not decode");
	for (size_t i = 0; i < people->slot_count; i++) {
		if (people->slots[i].count > 0)
			people->slots[i].values = people->gathered + people->slots[i].first;
	}
	return 0;
}

/* --- key and name --- */

static bool utf8_text(const struct berval *value)
{
	return text_is_utf8(value->bv_val, value->bv_len);
}

/* What is no text as it comes is written as one. The most it takes, with NUL. */
static size_t form_size(const struct slot *slot)
{
	static const size_t sizes[] = {
		[VALUE_TEXT] = 0, [VALUE_GUID] = UUID_TEXT_SIZE, [VALUE_SID] = SID_TEXT_SIZE
	};

	return sizes[slot->form];
}

/* text: form_size bytes. false: the value is not of this form. */
static bool form_text(const struct slot *slot, const struct berval *value, char *text)
{
	return slot->form == VALUE_GUID ? directory_guid_text(value->bv_val, value->bv_len, text)
					: directory_sid_text(value->bv_val, value->bv_len, text);
}

/* UUIDs are compared without regard to case (RFC 4530 2.3): one spelling for all. */
static void lower_uuid(struct strbuf *key)
{
	struct uuid uuid;
	char text[UUID_TEXT_SIZE];
	bool upper = false;

	for (size_t i = 0; i < key->size; i++)
		upper |= key->data[i] >= 'A' && key->data[i] <= 'F';
	if (upper && key->size == UUID_TEXT_SIZE - 1 && uuid_parse(strbuf_text(key), &uuid)) {
		uuid_format(&uuid, text);
		strbuf_clear(key);
		strbuf_puts(key, text);
	}
}

static void take_key(struct people *people, struct problem *problem)
{
	const struct slot *slot = &people->slots[people->key_slot];
	char text[SID_TEXT_SIZE];

	strbuf_clear(&people->key);
	if (slot->count != 1) {
		problem_set(problem, slot->count ? "ambiguous-key" : "missing-key",
			    "%zu values of key attribute '%s'", slot->count,
			    people->session->job->key);
		return;
	}
	if (slot->form != VALUE_TEXT) {
		if (form_text(slot, &slot->values[0], text))
			strbuf_puts(&people->key, text);
		else
			problem_set(problem, "invalid-key", "key is no %s",
				    slot->form == VALUE_GUID ? "GUID of 16 bytes" : "SID");
		return;
	}
	if (slot->values[0].bv_len == 0 || slot->values[0].bv_len > KEY_MAX ||
	    !utf8_text(&slot->values[0])) {
		problem_set(problem, "invalid-key",
			    "key is empty, longer than %u bytes or not valid UTF-8", KEY_MAX);
		return;
	}
	strbuf_append(&people->key, slot->values[0].bv_val, slot->values[0].bv_len);
	lower_uuid(&people->key);
}

static int check_key_is_new(struct people *people, struct problem *problem)
{
	struct hash128 name = fingerprint128(people->key.data, people->key.size);
	uint32_t *slot;

	people->taken = false;
	if (people->key.size == 0)
		return 0;
	canaries_see(people->canaries, name);
	if (people->index) {
		people->taken = people_key_is_taken(people);
	} else {
		int added = hash_table_put(people->keys, name, &slot);
		if (added < 0)
			return people_out_of_memory(people);
		people->taken = added == 0;
	}
	if (people->taken)
		problem_set(problem, "duplicate-key", "another entry has the same key");
	return 0;
}

static int take_dn(struct people *people, const struct entry *entry, struct problem *problem)
{
	struct hash128 name;
	struct err err = { 0 };

	if (!utf8_text(&entry->dn)) {
		problem_set(problem, "invalid-dn", "name is not valid UTF-8");
		return 0;
	}
	/* The root's name: no person has it, and no member list could name them. */
	if (entry->dn.bv_len == 0) {
		problem_set(problem, "invalid-dn", "name is empty");
		return 0;
	}
	if (dn_fingerprint(people->parents, entry->dn.bv_val, entry->dn.bv_len, &people->scratch,
			   &name, &err) < 0) {
		if (err.code != ERR_INVALID)
			return people_out_of_memory(people);
		problem_set(problem, "invalid-dn", "%s", err.text);
		return 0;
	}
	canaries_see(people->canaries, name);
	people->names[people->name_count++] = name;
	strbuf_append(&people->dn, entry->dn.bv_val, entry->dn.bv_len);
	return strbuf_failed(&people->dn) ? people_out_of_memory(people) : 0;
}

/* --- values --- */

static bool value_is_good(const struct slot *slot, const struct berval *value)
{
	char text[SID_TEXT_SIZE];

	return slot->form == VALUE_TEXT ? utf8_text(value) : form_text(slot, value, text);
}

static void check_values(const struct slot *slot, struct problem *problem)
{
	for (size_t i = 0; i < slot->count && !problem->reason; i++) {
		const struct berval *value = &slot->values[i];
		if (value->bv_len > VALUE_MAX)
			problem_set(problem, "value-too-large",
				    "a value of attribute '%.*s' has %zu bytes", (int)slot->size,
				    slot->name, (size_t)value->bv_len);
		else if (!value_is_good(slot, value))
			problem_set(problem, "invalid-utf8",
				    "a value of attribute '%.*s' is not valid UTF-8 text",
				    (int)slot->size, slot->name);
	}
}

static struct disabled_state disabled_state_of(const struct people *people)
{
	struct disabled_state state = { 0 };

	for (size_t i = 0; i < people->marker_count; i++) {
		const struct marker *marker = &people->markers[i];
		const struct slot *slot = &people->slots[marker->slot];
		for (size_t v = 0; v < slot->count; v++)
			disabled_state_add(&state, &marker->rule, slot->values[v].bv_val,
					   slot->values[v].bv_len);
	}
	return state;
}

/* An upper bound of the record without its groups. */
static size_t record_bound(const struct people *people)
{
	const struct job *job = people->session->job;
	size_t bound =
		HEAD_OVERHEAD + people->key.size + people->dn.size + KEY_MAX + people->names_bound;

	for (size_t i = 0; i < job->attribute_count; i++) {
		const struct slot *slot = &people->slots[people->attribute_slot[i]];
		for (size_t v = 0; v < slot->count; v++)
			bound += slot->values[v].bv_len + TEXT_OVERHEAD + form_size(slot);
	}
	return bound;
}

static int make_lists(struct people *people, size_t count)
{
	void *values, *sizes;

	if (count <= people->list_capacity)
		return 0;
	values = alloc_resize(people->values, 2 * count * sizeof(*people->values));
	if (values)
		people->values = values;
	sizes = alloc_resize(people->sizes, 2 * count * sizeof(*people->sizes));
	if (sizes)
		people->sizes = sizes;
	if (!values || !sizes)
		return people_out_of_memory(people);
	people->list_capacity = 2 * count;
	return 0;
}

static int write_attribute(struct people *people, const char *name, const struct slot *slot)
{
	if (make_lists(people, slot->count) < 0)
		return -1;
	strbuf_clear(&people->guids);
	/* Room first: the texts must not move once they are pointed at. */
	if (slot->form != VALUE_TEXT &&
	    !strbuf_reserve(&people->guids, slot->count * form_size(slot)))
		return people_out_of_memory(people);
	for (size_t i = 0; i < slot->count; i++) {
		people->values[i] = slot->values[i].bv_val;
		people->sizes[i] = slot->values[i].bv_len;
		if (slot->form != VALUE_TEXT) {
			char *text = people->guids.data + i * form_size(slot);
			form_text(slot, &slot->values[i], text);
			people->values[i] = text;
			people->sizes[i] = strlen(text);
		}
	}
	record_write_attribute(&people->session->out->frames, name, people->values, people->sizes,
			       slot->count);
	return 0;
}

/* --- groups --- */

/* By login names too, where groups use them. */
static int take_uids(struct people *people)
{
	const struct slot *uid = &people->slots[people->uid_slot];
	struct err err = { 0 };

	for (size_t i = 0; people->uses_uid && i < uid->count; i++) {
		if (closure_uid_name(uid->values[i].bv_val, uid->values[i].bv_len, &people->scratch,
				     &people->names[people->name_count], &err) == 0)
			people->name_count++;
		else if (err.code != ERR_INVALID)
			return people_out_of_memory(people);
	}
	return 0;
}

/* And under that of the primary group, of which no member list tells. */
static void take_primary(struct people *people, struct problem *problem)
{
	const struct slot *sid = &people->slots[people->sid_slot];
	const struct slot *number = &people->slots[people->primary_slot];

	if (!people->uses_primary || sid->count == 0 || number->count == 0)
		return;
	if (sid->count == 1 && number->count == 1 &&
	    primary_person_name(&sid->values[0], &number->values[0],
				&people->names[people->name_count]))
		people->name_count++;
	else
		problem_set(problem, "invalid-primary-group",
			    "objectSid and primaryGroupID name no group");
}

/* Room for the names of the entry at hand; it has none yet. */
static int begin_names(struct people *people)
{
	size_t most = 2 + (people->uses_uid ? people->slots[people->uid_slot].count : 0);
	void *names;

	people->name_count = 0;
	if (most > people->name_capacity) {
		names = alloc_resize(people->names, 2 * most * sizeof(*people->names));
		if (!names)
			return people_out_of_memory(people);
		people->names = names;
		people->name_capacity = 2 * most;
	}
	people->names[0] = (struct hash128){ 0 };
	return 0;
}

int people_effective_groups(struct people *people, const struct hash128 *names, size_t count,
			    struct closure_answer *ret_answer)
{
	if (!people->groupings) {
		*ret_answer = (struct closure_answer){ .complete = true };
		return 0;
	}
	if (closure_user(people->groupings->closure, names, count, NULL, 0, ret_answer, NULL) < 0)
		return people_out_of_memory(people);
	ret_answer->complete &= people->groupings->complete;
	return 0;
}

/* --- one entry: give out --- */

static int write_record(struct people *people, const struct closure_answer *groups)
{
	const struct job *job = people->session->job;
	struct strbuf *frames = &people->session->out->frames;
	struct disabled_state disabled = disabled_state_of(people);
	size_t attributes = 0, begin;

	for (size_t i = 0; i < job->attribute_count; i++)
		attributes += people->slots[people->attribute_slot[i]].count > 0;
	begin = message_begin(frames, PROTOCOL_IDENTITY);
	record_write_head(frames, strbuf_text(&people->key), strbuf_text(&people->dn),
			  groups->complete, disabled.always, disabled.by, disabled.from_s,
			  attributes);
	for (size_t i = 0; i < job->attribute_count; i++) {
		const struct slot *slot = &people->slots[people->attribute_slot[i]];
		if (slot->count > 0 && write_attribute(people, job->attributes[i].name, slot) < 0)
			return -1;
	}
	record_write_groups(frames, groups->ids, groups->count);
	message_end(frames, begin);
	people->session->out->entries++;
	people->session->out->changes++;
	return strbuf_failed(frames) ? people_out_of_memory(people) : 0;
}

static int give_out(struct people *people, struct problem *problem)
{
	struct closure_answer groups;
	size_t bound;

	if (people_effective_groups(people, people->names, people->name_count, &groups) < 0)
		return -1;
	bound = record_bound(people) + groups.count * TEXT_OVERHEAD;
	if (bound > RECORD_MAX) {
		problem_set(problem, "record-too-large", "entry has about %zu bytes", bound);
		return 0;
	}
	output_make_room(people->session->out, bound + KEY_MAX + 2 * MESSAGE_HEADER_SIZE);
	if (people->index && people_leave_key(people) < 0)
		return -1;
	if (write_record(people, &groups) < 0)
		return -1;
	return people->index ? people_remember(people, 0, &groups) : 0;
}

static int take_user(struct people *people, struct entry *entry, const struct hash128 *id,
		     struct problem *problem)
{
	if (gather(people, entry, problem) < 0 || begin_names(people) < 0 ||
	    take_dn(people, entry, problem) < 0 || take_uids(people) < 0)
		return -1;
	take_primary(people, problem);
	take_key(people, problem);
	if (people->index)
		people_identify(people, id);
	if (people->stranger)
		return 0;
	if (check_key_is_new(people, problem) < 0)
		return -1;
	for (size_t i = 0; i < people->slot_count && !problem->reason; i++) {
		if (people->slots[i].wanted)
			check_values(&people->slots[i], problem);
	}
	return problem->reason ? 0 : give_out(people, problem);
}

static int quarantine(struct people *people, const struct entry *entry,
		      const struct problem *problem)
{
	unsigned flags = INDEX_QUARANTINED | (people->taken ? INDEX_DUPLICATE : 0);

	if (people->index && (people_keep_old_key(people) < 0 || people_leave_key(people) < 0 ||
			      people_remember(people, flags, NULL) < 0))
		return -1;
	output_quarantine(people->session->out, entry->dn.bv_val, entry->dn.bv_len,
			  strbuf_text(&people->key), strbuf_text(&people->dn), problem->reason,
			  problem->detail);
	return 0;
}

/* The entry does not decode: what is known of it is its id at most. */
static int take_id_alone(struct people *people, const struct hash128 *id)
{
	if (begin_names(people) < 0)
		return -1;
	if (people->index)
		people_identify(people, id);
	return 0;
}

/* May a look find it? */
static bool changed_lately(const struct people *people)
{
	const struct slot *time = &people->slots[people->time_slot];

	for (size_t i = 0; i < time->count; i++) {
		if (told_is_late(people->told, &time->values[i]))
			return true;
	}
	return false;
}

/* In the full read most entries are none that a look will find, and none of them came before. */
static void note_told(struct people *people, LDAPMessage *message)
{
	LDAP *ld = people->session->ld;

	if (!people->told || people->stranger)
		return;
	if (people->again && !people->following)
		told_doubt(people->told, KIND_PERSON, ld, message);
	else if (people->following || changed_lately(people))
		told_note(people->told, KIND_PERSON, ld, message);
}

int people_take_message(struct people *people, const struct hash128 *id, LDAPMessage *message)
{
	struct problem problem = { 0 };
	struct entry entry;
	int status;

	strbuf_clear(&people->key);
	strbuf_clear(&people->dn);
	people->conflict = people->taken = people->stranger = people->again = false;
	people->known = 0;
	if (entry_open(people->session->ld, message, &entry) < 0) {
		problem_set(&problem, "malformed-entry", "entry does not decode");
		status = take_id_alone(people, id);
	} else {
		status = take_user(people, &entry, id, &problem);
	}
	if (people->stranger)
		people->known = 0;
	else if (status == 0 && problem.reason)
		status = quarantine(people, &entry, &problem);
	if (status == 0)
		note_told(people, message);
	clear_slots(people);
	entry_close(&entry);
	ldap_msgfree(message);
	output_pulse(people->session->out);
	return status;
}

void people_use_groups(struct people *people, struct groupings *groupings)
{
	people->groupings = groupings;
}

int people_read(struct people *people)
{
	LDAPMessage *message;
	int more;

	if (!people->search.started)
		search_start(&people->search);
	while ((more = search_next(&people->search, &message)) > 0) {
		if (people_take(people, NULL, message) < 0)
			return -1;
	}
	return people->session->out->failed ? -1 : 0;
}
