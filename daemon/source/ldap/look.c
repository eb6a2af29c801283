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

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>
#include <rolebridge/source/ldap.h>

#include "entry.h"
#include "index.h"

#define SHOW_DELETED "1.2.840.113556.1.4.417"
#define NO_REFERENCES "1.2.840.113556.1.4.1339" /* MS-ADTS 3.1.1.3.4.1.7 */
#define FILTER_MAX (256u * 1024)
/* More at once are read anew as fast, without holding them all. */
#define CHANGES_MAX 10000
#define BYTES_MAX ((size_t)64 * 1024 * 1024)
#define DOUBTS_MAX 1000
#define OVERLAP_S 60
#define VALUE_MAX (1024u * 1024)
#define SETS_MAX (1u << 24)

struct doubt {
	enum entry_kind kind;
	struct hash128 id;
	char *value; /* of the id attribute, as a filter writes it */
};

/* Somebody, or a group, that has another name now. */
struct renamed {
	char *dn; /* as a filter writes it */
};

struct messages {
	LDAPMessage **items;
	size_t count, capacity;
};

/* One look at the directory. */
struct look {
	size_t bytes; /* of the messages held */
	struct follow *follow;
	struct poll *poll;
	struct outcome outcome;
	int64_t now_s; /* ours */
	struct messages found[KINDS];
	struct hash_table *ids[KINDS]; /* of these, told or not */
	struct hash_table *again;      /* ids of groups read once more */
	struct hash_table *any;	       /* ids of what changed, whatever it is */
	struct doubt *doubts;
	size_t doubt_count, doubt_capacity;
	struct renamed *renamed;
	size_t renamed_count, renamed_capacity;
	const char *restart; /* why only a full read helps */
};

static int look_out_of_memory(struct look *look)
{
	outcome_note(&look->outcome, "out-of-memory", "no memory for a look at what changed");
	return -1;
}

static int set_add(struct hash_table *set, struct hash128 key)
{
	uint32_t *slot;
	int added = hash_table_put(set, key, &slot);

	if (added > 0)
		*slot = 1;
	return added;
}

/* --- one entry --- */

struct facts {
	struct hash128 id;
	struct berval id_value; /* points into the message */
	bool has_id, is_container, is_deleted, has_name;
	struct hash128 name;
	struct berval dn; /* points into the message */
	uint64_t created_usn;
	int64_t created_s, modified_s;
	size_t size; /* about, in bytes */
};

static bool text_is(const struct berval *value, const char *text)
{
	return value->bv_len == strlen(text) &&
	       strncasecmp(value->bv_val, text, value->bv_len) == 0;
}

static bool is_container_class(const struct berval *value)
{
	static const char *const classes[] = { "organizationalUnit", "container",
					       "organization",	     "domain",
					       "dcObject",	     "country",
					       "locality",	     "builtinDomain",
					       "nsContainer" };

	for (size_t i = 0; i < ARRAY_LEN(classes); i++) {
		if (text_is(value, classes[i]))
			return true;
	}
	return false;
}

static uint64_t number_of(const struct berval *value)
{
	uint64_t number = 0;

	if (value->bv_len > 19)
		return UINT64_MAX;
	for (size_t i = 0; i < value->bv_len; i++) {
		if (value->bv_val[i] < '0' || value->bv_val[i] > '9')
			return UINT64_MAX;
		number = number * 10 + (uint64_t)(value->bv_val[i] - '0');
	}
	return number;
}

static void take_fact(const struct poll *poll, const struct berval *name,
		      const struct berval *value, struct facts *facts)
{
	if (entry_name_is(name, poll->id_attribute, strlen(poll->id_attribute))) {
		facts->id = fingerprint128(value->bv_val, value->bv_len);
		facts->id_value = *value;
		facts->has_id = true;
	} else if (text_is(name, "objectClass")) {
		facts->is_container |= is_container_class(value);
	} else if (text_is(name, "isDeleted")) {
		facts->is_deleted = text_is(value, "TRUE");
	} else if (text_is(name, "uSNCreated")) {
		facts->created_usn = number_of(value);
	} else if (text_is(name, "createTimestamp")) {
		facts->created_s = told_time(value);
	} else if (text_is(name, TIME_ATTRIBUTE)) {
		facts->modified_s = told_time(value);
	}
}

/* An entry that does not decode has no id: whoever takes it tells. */
static struct facts facts_of(struct poll *poll, struct session *session, LDAPMessage *message)
{
	/* One that does not decode may be of any size. */
	struct facts facts = { .created_usn = UINT64_MAX, .size = VALUE_MAX };
	struct attribute_values values;
	struct berval name, value;
	struct entry entry;

	if (entry_open(session->ld, message, &entry) == 0) {
		if (entry.at)
			facts.size = (size_t)(entry.end - entry.at);
		facts.dn = entry.dn;
		facts.has_name = entry.dn.bv_len > 0 &&
				 dn_fingerprint(poll->parents, entry.dn.bv_val, entry.dn.bv_len,
						&poll->scratch, &facts.name, NULL) == 0;
		while (entry_next(&entry, &name, &values) > 0) {
			while (attribute_next_value(&values, &value))
				take_fact(poll, &name, &value, &facts);
		}
	}
	entry_close(&entry);
	return facts;
}

/* --- searches --- */

typedef int take_fn(struct look *look, LDAPMessage *message, void *context);

struct question {
	const char *name, *base, *filter;
	uint8_t scope;
	char **attributes;
	const char *controls[SEARCH_CONTROLS_MAX];
	take_fn *take;
	void *context;
};

/* Every entry goes to `take`, which consumes it. The outcome is the look's own. */
static int ask(struct look *look, const struct question *question)
{
	struct session *session = look->follow->session;
	struct outcome *kept = session->outcome;
	struct job_search what = { question->base, question->filter, question->scope };
	struct search search = { .session = session,
				 .what = &what,
				 .name = question->name,
				 .attributes = question->attributes };
	LDAPControl controls[SEARCH_CONTROLS_MAX];
	LDAPMessage *message;
	int more = -1, taken = 0;

	for (size_t i = 0; i < SEARCH_CONTROLS_MAX && question->controls[i]; i++) {
		controls[i] = (LDAPControl){ .ldctl_oid = (char *)question->controls[i] };
		search.controls[i] = &controls[i];
	}
	session->outcome = &look->outcome;
	if (search_start(&search) == 0) {
		while (taken == 0 && !look->restart && (more = search_next(&search, &message)) > 0)
			taken = question->take(look, message, question->context);
	}
	if (search.partial)
		more = -1;
	search_finish(&search);
	session->outcome = kept;
	/* Pages nobody reads any more would be taken for those of the next search. */
	if (look->restart)
		return 0;
	return taken < 0 || more < 0 ? -1 : 0;
}

/* filter may be without parentheses, as libldap takes it. */
static void put_filter(struct strbuf *out, const char *filter)
{
	bool bare = filter[0] != '(';

	strbuf_printf(out, bare ? "(%s)" : "%s", filter);
}

static int64_t look_from_s(const struct poll *poll)
{
	return poll->newest_s > OVERLAP_S ? poll->newest_s - OVERLAP_S : 0;
}

/* What changed since the cursor. */
static void put_since(const struct poll *poll, struct strbuf *out)
{
	char text[CLOCK_TEXT_SIZE];

	if (poll->by_usn) {
		strbuf_printf(out, "(" USN_ATTRIBUTE ">=%" PRIu64 ")", poll->usn + 1);
		return;
	}
	clock_format(look_from_s(poll), text);
	strbuf_printf(out, "(" TIME_ATTRIBUTE ">=%.4s%.2s%.2s%.2s%.2s%.2sZ)", text, text + 5,
		      text + 8, text + 11, text + 14, text + 17);
}

static int messages_add(struct look *look, struct messages *list, LDAPMessage *message, size_t size)
{
	if (list->count == list->capacity) {
		size_t capacity = 2 * list->capacity + 16;
		void *items = alloc_resize(list->items, capacity * sizeof(LDAPMessage *));
		if (!items) {
			ldap_msgfree(message);
			return look_out_of_memory(look);
		}
		list->items = items;
		list->capacity = capacity;
	}
	list->items[list->count++] = message;
	look->bytes += size;
	if (list->count > CHANGES_MAX || look->bytes > BYTES_MAX)
		look->restart = "many-changes";
	return 0;
}

static void messages_finish(struct messages *list)
{
	for (size_t i = 0; i < list->count; i++) {
		if (list->items[i])
			ldap_msgfree(list->items[i]);
	}
	free(list->items);
	*list = (struct messages){ 0 };
}

/* --- what changed --- */

static char *escaped_value(const struct berval *value)
{
	AUTO(strbuf) struct strbuf escaped = STRBUF(4 * VALUE_MAX);

	for (size_t i = 0; i < value->bv_len; i++)
		strbuf_printf(&escaped, "\\%02x", (unsigned char)value->bv_val[i]);
	return strbuf_failed(&escaped) ? NULL : strdup(strbuf_text(&escaped));
}

static bool is_renamed(const struct follow *follow, const struct facts *facts)
{
	uint32_t person = index_find(follow->index, facts->id), group;
	const struct hash128 *names;
	size_t count;

	if (!person)
		return follow->reader && group_reader_knows(follow->reader, facts->id) &&
		       !closure_find_group(follow->groupings.closure, facts->name, &group);
	if (index_names(follow->index, person, &names, &count) < 0)
		return true;
	for (size_t i = 0; i < count; i++) {
		if (memcmp(&names[i], &facts->name, sizeof(names[i])) == 0)
			return false;
	}
	return true;
}

static int renamed_add(struct look *look, const struct berval *dn)
{
	if (look->renamed_count == look->renamed_capacity) {
		size_t capacity = 2 * look->renamed_capacity + 16;
		void *items = alloc_resize(look->renamed, capacity * sizeof(*look->renamed));
		if (!items)
			return look_out_of_memory(look);
		look->renamed = items;
		look->renamed_capacity = capacity;
	}
	look->renamed[look->renamed_count].dn = escaped_value(dn);
	if (!look->renamed[look->renamed_count].dn)
		return look_out_of_memory(look);
	if (++look->renamed_count > DOUBTS_MAX)
		look->restart = "many-changes";
	return 0;
}

static int add_entry(struct look *look, const struct facts *facts, LDAPMessage *message,
		     struct messages *list)
{
	if (facts->has_id && facts->has_name && look->follow->reader &&
	    is_renamed(look->follow, facts) && renamed_add(look, &facts->dn) < 0) {
		ldap_msgfree(message);
		return -1;
	}
	return messages_add(look, list, message, facts->size);
}

/* Once, and in addition to one that was read before the names in it changed. */
static int take_group_again(struct look *look, LDAPMessage *message, void *context)
{
	struct facts facts = facts_of(look->poll, look->follow->session, message);
	int added = facts.has_id ? set_add(look->again, facts.id) : 1;

	(void)context;
	if (added > 0)
		return messages_add(look, &look->found[KIND_GROUP], message, facts.size);
	ldap_msgfree(message);
	return added < 0 ? look_out_of_memory(look) : 0;
}

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
	struct facts facts = facts_of(look->poll, follow->session, message);

	if (facts.has_id && set_add(look->ids[*kind], facts.id) < 0) {
		ldap_msgfree(message);
		return look_out_of_memory(look);
	}
	note_time(look, &facts);
	if (follow->told && told_again(follow->told, *kind, follow->session->ld, message)) {
		ldap_msgfree(message);
		return 0;
	}
	return add_entry(look, &facts, message, &look->found[*kind]);
}

static const char *name_of(enum entry_kind kind)
{
	return kind == KIND_PERSON ? "users" : "groups";
}

static const struct job_search *where_are(const struct look *look, enum entry_kind kind)
{
	const struct job *job = look->follow->job;

	return kind == KIND_PERSON ? &job->users : &job->groups;
}

static char **attributes_of(const struct look *look, enum entry_kind kind)
{
	return kind == KIND_PERSON ? people_search(look->follow->people)->attributes
				   : group_reader_request(look->follow->reader);
}

static int ask_changed(struct look *look, enum entry_kind kind)
{
	const struct job_search *where = where_are(look, kind);
	AUTO(strbuf) struct strbuf filter = STRBUF(FILTER_MAX);

	strbuf_puts(&filter, "(&");
	put_filter(&filter, where->filter);
	put_since(look->poll, &filter);
	strbuf_putc(&filter, ')');
	if (strbuf_failed(&filter))
		return look_out_of_memory(look);
	return ask(look, &(struct question){ .name = name_of(kind),
					     .base = where->base,
					     .filter = strbuf_text(&filter),
					     .scope = where->scope,
					     .attributes = attributes_of(look, kind),
					     .take = take_changed,
					     .context = &kind });
}

/* --- containers --- */

static struct hash128 container_under_name(const struct facts *facts)
{
	struct hash128 both[2] = { facts->id, facts->name };

	return fingerprint128(both, sizeof(both));
}

static int container_learn(struct look *look, const struct facts *facts)
{
	if (set_add(look->poll->containers, facts->id) < 0 ||
	    set_add(look->poll->container_names, container_under_name(facts)) < 0)
		return look_out_of_memory(look);
	return 0;
}

/* Made after the cursor: nobody can be in it who did not come by it. */
static bool container_is_new(const struct poll *poll, const struct facts *facts)
{
	if (poll->by_usn)
		return facts->created_usn != UINT64_MAX && facts->created_usn > poll->usn;
	return facts->created_s >= poll->newest_s - OVERLAP_S;
}

static int container_changed(struct look *look, const struct facts *facts)
{
	struct poll *poll = look->poll;

	if (!facts->has_name)
		return 0;
	if (hash_table_get(poll->container_names, container_under_name(facts), NULL))
		return 0;
	if (hash_table_get(poll->containers, facts->id, NULL))
		look->restart = "container-renamed";
	else if (!container_is_new(poll, facts))
		look->restart = "container-appeared";
	return container_learn(look, facts);
}

static int take_container(struct look *look, LDAPMessage *message, void *context)
{
	struct facts facts = facts_of(look->poll, look->follow->session, message);

	(void)context;
	ldap_msgfree(message);
	return facts.has_id && facts.has_name ? container_learn(look, &facts) : 0;
}

static int ask_containers(struct look *look, const char *base)
{
	static const char filter[] =
		"(|(objectClass=organizationalUnit)(objectClass=container)"
		"(objectClass=organization)(objectClass=domain)(objectClass=dcObject)"
		"(objectClass=country)(objectClass=locality)(objectClass=builtinDomain)"
		"(objectClass=nsContainer))";
	char *attributes[] = { (char *)look->poll->id_attribute, NULL };

	return ask(look,
		   &(struct question){ .name = "containers",
				       .base = base,
				       .filter = filter,
				       .scope = LDAP_SOURCE_SUBTREE,
				       .attributes = attributes,
				       .controls = { look->poll->by_usn ? NO_REFERENCES : NULL },
				       .take = take_container });
}

/* --- who is gone --- */

static bool is_known(const struct follow *follow, enum entry_kind kind, struct hash128 id)
{
	if (kind == KIND_PERSON)
		return index_find(follow->index, id) != 0;
	return follow->reader && group_reader_knows(follow->reader, id);
}

static int doubt_add(struct look *look, enum entry_kind kind, const struct facts *facts)
{
	struct doubt *doubt;

	if (look->doubt_count == look->doubt_capacity) {
		size_t capacity = 2 * look->doubt_capacity + 16;
		void *items = alloc_resize(look->doubts, capacity * sizeof(*look->doubts));
		if (!items)
			return look_out_of_memory(look);
		look->doubts = items;
		look->doubt_capacity = capacity;
	}
	doubt = &look->doubts[look->doubt_count++];
	*doubt = (struct doubt){ kind, facts->id, escaped_value(&facts->id_value) };
	if (look->doubt_count > DOUBTS_MAX)
		look->restart = "many-changes";
	return doubt->value ? 0 : look_out_of_memory(look);
}

/* Known as this, and its filter did not find it. */
static int doubt_unfound(struct look *look, const struct facts *facts)
{
	for (enum entry_kind kind = KIND_PERSON; kind < KINDS; kind++) {
		if (!hash_table_get(look->ids[kind], facts->id, NULL) &&
		    is_known(look->follow, kind, facts->id) && doubt_add(look, kind, facts) < 0)
			return -1;
	}
	return 0;
}

/* Something changed; which filter it matches is not known. */
static int take_any(struct look *look, LDAPMessage *message, void *context)
{
	struct facts facts = facts_of(look->poll, look->follow->session, message);
	/* Bases overlap. */
	int status = facts.has_id ? set_add(look->any, facts.id) : 0;

	(void)context;
	if (status > 0) {
		status = 0;
		if (facts.is_container && !facts.is_deleted)
			status = container_changed(look, &facts);
		if (status == 0)
			status = doubt_unfound(look, &facts);
	} else if (status < 0) {
		look_out_of_memory(look);
	}
	ldap_msgfree(message);
	return status;
}

static int ask_any(struct look *look, const char *base)
{
	struct poll *poll = look->poll;
	AUTO(strbuf) struct strbuf filter = STRBUF(FILTER_MAX);
	char *attributes[] = { (char *)poll->id_attribute, (char *)"objectClass",
			       (char *)"isDeleted",
			       (char *)(poll->by_usn ? "uSNCreated" : "createTimestamp"), NULL };
	bool deleted = poll->by_usn && look->follow->root.show_deleted;

	put_since(poll, &filter);
	if (strbuf_failed(&filter))
		return look_out_of_memory(look);
	return ask(look, &(struct question){ .name = "changes",
					     .base = base,
					     .filter = strbuf_text(&filter),
					     .scope = LDAP_SOURCE_SUBTREE,
					     .attributes = attributes,
					     .controls = { poll->by_usn ? NO_REFERENCES : NULL,
							   deleted ? SHOW_DELETED : NULL },
					     .take = take_any });
}

/* Below this entry is everything there is, where the server says so; else what we read from. */
static int ask_for_all_bases(struct look *look,
			     int (*question)(struct look *look, const char *base))
{
	const struct job *job = look->follow->job;
	const char *root = look->follow->root.default_context;

	if (look->poll->by_usn && root[0] != '\0')
		return question(look, root);
	if (question(look, job->users.base) < 0)
		return -1;
	if (!look->follow->reader || look->restart ||
	    strcmp(job->groups.base, job->users.base) == 0)
		return 0;
	return question(look, job->groups.base);
}

/* context: the list it goes to. */
static int take_doubt(struct look *look, LDAPMessage *message, void *context)
{
	struct facts facts = facts_of(look->poll, look->follow->session, message);

	return add_entry(look, &facts, message, context);
}

static int ask_doubt(struct look *look, const struct doubt *doubt)
{
	const struct job_search *where = where_are(look, doubt->kind);
	AUTO(strbuf) struct strbuf filter = STRBUF(FILTER_MAX);

	strbuf_puts(&filter, "(&");
	put_filter(&filter, where->filter);
	strbuf_printf(&filter, "(%s=%s))", look->poll->id_attribute, doubt->value);
	if (strbuf_failed(&filter))
		return look_out_of_memory(look);
	return ask(look, &(struct question){ .name = name_of(doubt->kind),
					     .base = where->base,
					     .filter = strbuf_text(&filter),
					     .scope = where->scope,
					     .attributes = attributes_of(look, doubt->kind),
					     .take = take_doubt,
					     .context = &look->found[doubt->kind] });
}

/*
 * Was found by no filter, but may have changed only after those searches: looked for by itself. It
 * stays a doubt when it is not there.
 */
static int settle_doubt(struct look *look, struct doubt *doubt)
{
	const struct messages *list = &look->found[doubt->kind];
	size_t before = list->count;

	if (ask_doubt(look, doubt) < 0)
		return -1;
	if (list->count > before) {
		free(doubt->value);
		doubt->value = NULL;
	}
	return 0;
}

/* --- names in member lists --- */

/* All groups whose lists name this one: they have the new name, we know the old one. */
static int ask_groups_of(struct look *look, const struct renamed *renamed)
{
	struct follow *follow = look->follow;
	const struct job *job = follow->job;
	AUTO(strbuf) struct strbuf filter = STRBUF(FILTER_MAX + 4 * VALUE_MAX);

	strbuf_puts(&filter, "(&");
	put_filter(&filter, job->groups.filter);
	strbuf_puts(&filter, "(|");
	for (size_t i = 0; i < job->members.count; i++)
		strbuf_printf(&filter, "(%s=%s)", job->members.items[i], renamed->dn);
	strbuf_puts(&filter, "))");
	if (strbuf_failed(&filter))
		return look_out_of_memory(look);
	return ask(look, &(struct question){ .name = "groups of who has another name",
					     .base = job->groups.base,
					     .filter = strbuf_text(&filter),
					     .scope = job->groups.scope,
					     .attributes = group_reader_request(follow->reader),
					     .take = take_group_again });
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
		messages_finish(&look->found[kind]);
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
	if (ask_for_all_bases(look, ask_any) < 0)
		return -1;
	for (size_t i = 0; i < look->doubt_count && !look->restart; i++) {
		if (settle_doubt(look, &look->doubts[i]) < 0)
			return -1;
	}
	for (size_t i = 0; i < look->renamed_count && !look->restart; i++) {
		if (ask_groups_of(look, &look->renamed[i]) < 0)
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
	int status = look_init(&look, follow) < 0 ? look_failed(&look) : tell_changes(&look);

	look_finish(&look);
	return status;
}

/* --- before the full read --- */

static int take_time(struct look *look, LDAPMessage *message, void *context)
{
	struct facts facts = facts_of(look->poll, look->follow->session, message);

	(void)context;
	note_time(look, &facts);
	ldap_msgfree(message);
	return 0;
}

static int ask_times(struct look *look, enum entry_kind kind)
{
	const struct job_search *where = where_are(look, kind);
	AUTO(strbuf) struct strbuf filter = STRBUF(FILTER_MAX);
	char *attributes[] = { (char *)TIME_ATTRIBUTE, NULL };

	strbuf_puts(&filter, "(&");
	put_filter(&filter, where->filter);
	put_since(look->poll, &filter);
	strbuf_putc(&filter, ')');
	if (strbuf_failed(&filter))
		return look_out_of_memory(look);
	return ask(look, &(struct question){ .name = name_of(kind),
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
	return ask_for_all_bases(look, ask_containers);
}

int look_learn_containers(struct follow *follow)
{
	return look_before(follow, ask_all_containers);
}

int look_find_newest(struct follow *follow)
{
	return look_before(follow, find_newest);
}
