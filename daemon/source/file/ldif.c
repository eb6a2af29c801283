/*
 * LDIF (RFC 2849), content records only.
 *
 * Enters: a file, which may hold anything. Leaves: people as records, groups through the
 * closure, bad entries in quarantine with the line of their first fault. Fails only for
 * our own reasons; what is wrong with the file as a whole makes the read incomplete.
 *
 * Two passes over the same open file: the first collects groups and their members (as
 * fingerprints), the second hands over people, so that neither people nor members are kept
 * in memory. A line that is wrong does not end its entry: the lines after it may still say which entry
 * it is, and whether it is a group whose members are now in doubt.
 *
 * Nothing is ever fetched: a value given as a URL (attr:< file:///…) is refused.
 */
#include <rolebridge/source/file.h>

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/hash.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>
#include <rolebridge/identity/dn.h>
#include <rolebridge/source/closure.h>

#include "../directory.h"
#include "bytes.h"
#include "delivery.h"
#include "lines.h"

#define ENTRIES_MAX (1u << 28)
#define PAUSE_MASK 511u
#define IDS_MAX 4

static const char *const usual_user_classes[] = { "inetOrgPerson", "organizationalPerson",
						  "person",	   "posixAccount",
						  "account",	   "user" };
static const char *const usual_group_classes[] = { "groupOfNames", "groupOfUniqueNames",
						   "groupOfMembers", "posixGroup", "group" };

/* The first thing that is wrong with an entry. */
struct problem {
	const char *reason; /* NULL: nothing */
	uint64_t line;
	char detail[160];
};

struct ldif {
	const struct ldif_source *source;
	struct delivery d;
	struct bytes bytes;
	struct lines lines;
	struct closure *closure;
	struct hash_table
		*names;	      /* DNs of people and groups seen in the second pass, to their lines */
	bool second;	      /* pass */
	bool groups_in_doubt; /* a group was lost: any membership may be missing */
	bool key_is_dn;
	uint64_t entries;   /* of any kind, begun in this pass */
	struct strbuf base; /* normal */

	uint32_t key, object_class, uid;
	uint32_t ids[IDS_MAX]; /* parallel to directory_ids */
	uint32_t member, unique_member, member_uid;

	/* the present entry */
	bool open;
	uint64_t line;
	size_t line_count;
	bool has_dn, valid_dn;
	struct strbuf dn, normal; /* as spelled; in normal form */
	struct problem problem;
	bool members_in_doubt;
	struct hash128 *members;
	size_t member_count, member_capacity;

	struct strbuf decoded, scratch;
};

static void note_problem(struct ldif *ldif, uint64_t line, const char *reason, const char *format,
			 ...) __attribute__((format(printf, 4, 5)));

static void note_problem(struct ldif *ldif, uint64_t line, const char *reason, const char *format,
			 ...)
{
	va_list args;

	if (ldif->problem.reason)
		return;
	ldif->problem.reason = reason;
	ldif->problem.line = line;
	va_start(args, format);
	vsnprintf(ldif->problem.detail, sizeof(ldif->problem.detail), format, args);
	va_end(args);
}

/* --- values --- */

static int base64_digit(unsigned char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Strict: whole quads, padding only at the end, no bits left over (RFC 4648 3.5). 0, -1 bad. */
static int base64_decode(const char *text, size_t size, struct strbuf *out)
{
	strbuf_clear(out);
	if (size % 4 != 0)
		return -1;
	for (size_t at = 0; at < size; at += 4) {
		bool last = at + 4 == size;
		size_t pad = !last ? 0
				   : (text[at + 3] == '=') +
					     (size_t)(text[at + 3] == '=' && text[at + 2] == '=');
		unsigned long quad = 0;
		char bytes[3];

		for (size_t i = 0; i < 4; i++) {
			int digit = i >= 4 - pad ? 0 : base64_digit((unsigned char)text[at + i]);

			if (digit < 0)
				return -1;
			quad = quad << 6 | (unsigned)digit;
		}
		if (quad & ((1ul << (pad * 8)) - 1))
			return -1;
		bytes[0] = (char)(quad >> 16);
		bytes[1] = (char)(quad >> 8);
		bytes[2] = (char)quad;
		strbuf_append(out, bytes, 3 - pad);
	}
	return 0;
}

/* One line in parts. */
struct attrval {
	const char *name;
	size_t name_size; /* without options */
	const char *value;
	size_t size;
	bool decoded; /* was base64 */
	bool cut;     /* the name has a range: not all values are here */
	bool url;
};

/* RFC 2849, with '_' as some servers have it, and with "range=0-*" among the options. */
static bool is_name(const char *text, size_t size)
{
	bool option = false;

	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)text[i];

		option = option || c == ';';
		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
		    c != '-' && c != '.' && c != '_' && c != ';' &&
		    !(option && (c == '=' || c == '*')))
			return false;
	}
	return size > 0 && text[0] != ';' && text[0] != '-';
}

static bool is_named(const struct attrval *a, const char *name)
{
	return a->name_size == strlen(name) && strncasecmp(a->name, name, a->name_size) == 0;
}

static bool is_member_field(const struct ldif *ldif, uint32_t field)
{
	return field == ldif->member || field == ldif->unique_member || field == ldif->member_uid;
}

/* What the line is about could not be read: in a group, it may have been a member. */
static void note_lost_line(struct ldif *ldif, const struct line *line, const char *reason,
			   const char *detail)
{
	ldif->members_in_doubt = true;
	note_problem(ldif, line->number, reason, "%s", detail);
}

/* name [;options] ":" …; false: the line is lost. */
static bool split_line(struct ldif *ldif, const struct line *line, struct attrval *a)
{
	const char *colon = line->size ? memchr(line->text, ':', line->size) : NULL;
	const char *end = line->text + line->size;
	struct directory_range range;
	const char *semicolon;

	if (line->too_long) {
		note_lost_line(ldif, line, "line-too-long", "a line is longer than 8 MiB");
		return false;
	}
	if (!colon || !is_name(line->text, (size_t)(colon - line->text))) {
		note_lost_line(ldif, line, "malformed-line", "a line is not 'attribute: value'");
		return false;
	}
	a->name = line->text;
	a->name_size = (size_t)(colon - line->text);
	a->cut = directory_name_range(a->name, a->name_size, &range) &&
		 !directory_range_is_whole(&range);
	semicolon = memchr(a->name, ';', a->name_size);
	if (semicolon)
		a->name_size = (size_t)(semicolon - a->name);
	a->value = colon + 1;
	a->decoded = a->value < end && *a->value == ':';
	a->url = a->value < end && *a->value == '<';
	if (a->decoded || a->url)
		a->value++;
	while (a->value < end && *a->value == ' ')
		a->value++;
	a->size = (size_t)(end - a->value);
	return true;
}

static bool is_text(struct ldif *ldif, const struct line *line, const struct attrval *a)
{
	if (text_is_utf8(a->value, a->size))
		return true;
	note_problem(ldif, line->number,
		     memchr(a->value, '\0', a->size) ? "nul-byte" : "invalid-utf8",
		     "the value of '%.*s' is not UTF-8 text",
		     a->name_size > 64 ? 64 : (int)a->name_size, a->name);
	return false;
}

/* The value's bytes; false: a problem was noted. */
static bool read_value(struct ldif *ldif, const struct line *line, struct attrval *a)
{
	if (a->url) {
		note_problem(ldif, line->number, "url-refused",
			     "the value of '%.*s' is a URL, which is never fetched",
			     a->name_size > 64 ? 64 : (int)a->name_size, a->name);
		return false;
	}
	if (!a->decoded)
		return is_text(ldif, line, a);
	while (a->size > 0 && a->value[a->size - 1] == ' ')
		a->size--;
	if (base64_decode(a->value, a->size, &ldif->decoded) < 0) {
		note_problem(ldif, line->number, "bad-base64", "the value of '%.*s' is not base64",
			     a->name_size > 64 ? 64 : (int)a->name_size, a->name);
		return false;
	}
	a->value = strbuf_text(&ldif->decoded);
	a->size = ldif->decoded.size;
	return true;
}

/* A base64 value that is used must be text as well. */
static bool check_text(struct ldif *ldif, const struct line *line, const struct attrval *a)
{
	return !a->decoded || is_text(ldif, line, a);
}

/* --- lines of an entry --- */

static void set_dn(struct ldif *ldif, const struct line *line, const struct attrval *a)
{
	struct err cause;

	ldif->has_dn = true;
	if (!check_text(ldif, line, a))
		return;
	strbuf_append(&ldif->dn, a->value, a->size);
	if (a->size == 0)
		note_problem(ldif, line->number, "invalid-dn", "the DN is empty");
	else if (dn_normalize(a->value, a->size, &ldif->normal, &cause) < 0)
		note_problem(ldif, line->number, "invalid-dn", "%.150s", cause.text);
	else
		ldif->valid_dn = true;
}

static int add_member(struct ldif *ldif, uint32_t field, const struct attrval *a, struct err *err)
{
	struct err problem = { 0 };
	struct hash128 name;
	size_t size = field == ldif->unique_member ? directory_unique_name_size(a->value, a->size)
						   : a->size;
	int named = field == ldif->member_uid
			    ? closure_uid_name(a->value, size, &ldif->scratch, &name, &problem)
			    : dn_fingerprint(NULL, a->value, size, &ldif->scratch, &name, &problem);

	if (named < 0 && problem.code != ERR_INVALID)
		return err_set(err, ERR_MEMORY, "%s", problem.text);
	/* No entry that can be read has this name: it is nobody's membership. */
	if (named < 0)
		return 0;
	if (ldif->member_count == ldif->member_capacity) {
		size_t capacity = ldif->member_capacity ? ldif->member_capacity * 2 : 256;
		struct hash128 *members = alloc_resize(ldif->members, capacity * sizeof(*members));

		if (!members)
			return err_set(err, ERR_MEMORY, "no memory for the members of a group");
		ldif->members = members;
		ldif->member_capacity = capacity;
	}
	ldif->members[ldif->member_count++] = name;
	return 0;
}

static bool is_id_field(const struct ldif *ldif, uint32_t field)
{
	for (size_t i = 0; i < directory_id_count; i++)
		if (field == ldif->ids[i])
			return true;
	return false;
}

/* Of the groups' pass only what tells, names and fills a group matters, of the other all but members. */
static bool is_asked_for(const struct ldif *ldif, uint32_t field)
{
	if (field == FIELD_NONE)
		return false;
	if (!ldif->second)
		return is_member_field(ldif, field) || field == ldif->object_class ||
		       is_id_field(ldif, field);
	return !is_member_field(ldif, field) || ldif->d.fields[field].wanted;
}

/* The server sent a part of the values: the others are not gone. */
static void note_cut(struct ldif *ldif, const struct line *line, const struct attrval *a,
		     uint32_t field)
{
	if (is_member_field(ldif, field))
		ldif->members_in_doubt = true;
	note_problem(ldif, line->number, "attribute-cut",
		     "only a part of the values of '%.*s' is in the file",
		     a->name_size > 64 ? 64 : (int)a->name_size, a->name);
}

/*
 * A value that is used, as text. Active Directory's objectGUID is bytes, in base64 or not as they
 * happen to be; guid: room for its text.
 */
static bool read_text(struct ldif *ldif, const struct line *line, struct attrval *a,
		      char guid[static UUID_TEXT_SIZE])
{
	if (!is_named(a, "objectGUID") || !directory_guid_text(a->value, a->size, guid))
		return check_text(ldif, line, a);
	a->value = guid;
	a->size = UUID_TEXT_SIZE - 1;
	return true;
}

static int add_attribute(struct ldif *ldif, const struct line *line, struct attrval *a,
			 struct err *err)
{
	char guid[UUID_TEXT_SIZE];
	uint32_t field = delivery_find_field(&ldif->d, a->name, a->name_size);
	bool asked_for = is_asked_for(ldif, field);

	if (a->cut && field != FIELD_NONE)
		note_cut(ldif, line, a, field);
	/* What is not asked for is looked at once, for its form. */
	if (!asked_for && !ldif->second)
		return 0;
	if (!read_value(ldif, line, a) || (asked_for && !read_text(ldif, line, a, guid))) {
		if (is_member_field(ldif, field))
			ldif->members_in_doubt = true;
		return 0;
	}
	if (!asked_for || a->size == 0)
		return 0;
	if (is_member_field(ldif, field) && !ldif->second)
		return add_member(ldif, field, a, err);
	if (delivery_add_value(&ldif->d, field, a->value, a->size, err) == 0)
		return 0;
	if (err && err->code != ERR_TOO_LARGE)
		return -1;
	note_problem(ldif, line->number, "too-large", "the entry is longer than 64 MiB");
	return 0;
}

static void begin_entry(struct ldif *ldif, uint64_t line)
{
	ldif->open = true;
	ldif->entries++;
	ldif->line = line;
	ldif->line_count = 0;
	ldif->has_dn = ldif->valid_dn = false;
	ldif->problem.reason = NULL;
	ldif->members_in_doubt = false;
	ldif->member_count = 0;
	strbuf_clear(&ldif->dn);
	strbuf_clear(&ldif->normal);
	delivery_begin(&ldif->d);
}

static int add_line(struct ldif *ldif, const struct line *line, struct err *err)
{
	struct attrval a;

	if (!ldif->open)
		begin_entry(ldif, line->number);
	ldif->line_count++;
	if (!split_line(ldif, line, &a))
		return 0;
	if (!is_named(&a, "dn") && ldif->line_count == 1)
		note_problem(ldif, line->number, "missing-dn",
			     "the entry does not begin with 'dn:'");
	if (is_named(&a, "dn") && ldif->has_dn) {
		note_problem(ldif, line->number, "malformed-line", "a second 'dn:' in an entry");
		return 0;
	}
	if (is_named(&a, "dn")) {
		if (read_value(ldif, line, &a))
			set_dn(ldif, line, &a);
		return 0;
	}
	if (is_named(&a, "changetype") || is_named(&a, "control")) {
		note_problem(ldif, line->number, "change-record",
			     "this is a change record; export the content of the directory "
			     "instead");
		return 0;
	}
	return add_attribute(ldif, line, &a, err);
}

/* --- what an entry is --- */

static bool is_in(const char *text, const struct located_list *configured, const char *const *usual,
		  size_t usual_count)
{
	for (size_t i = 0; i < configured->count; i++)
		if (text_ascii_equal_caseless(text, configured->items[i].text))
			return true;
	for (size_t i = 0; configured->count == 0 && i < usual_count; i++)
		if (text_ascii_equal_caseless(text, usual[i]))
			return true;
	return false;
}

enum { IS_PERSON = 1, IS_GROUP = 2 };

static unsigned classify(const struct ldif *ldif)
{
	const struct delivery *d = &ldif->d;
	const struct ldif_source *source = ldif->source;
	unsigned kind = 0;
	bool computer = false;

	for (uint32_t v = d->fields[ldif->object_class].first; v != FIELD_NONE;
	     v = d->values[v].next) {
		size_t size;
		const char *text = delivery_value(d, v, &size);

		if (is_in(text, &source->user_classes, usual_user_classes,
			  ARRAY_LEN(usual_user_classes)))
			kind |= IS_PERSON;
		if (is_in(text, &source->group_classes, usual_group_classes,
			  ARRAY_LEN(usual_group_classes)))
			kind |= IS_GROUP;
		computer = computer || text_ascii_equal_caseless(text, "computer");
	}
	if (computer && source->user_classes.count == 0)
		kind &= ~(unsigned)IS_PERSON;
	return kind;
}

static bool is_in_base(const struct ldif *ldif)
{
	return dn_is_within(strbuf_text(&ldif->normal), strbuf_text(&ldif->base));
}

/* --- first pass: groups --- */

static int want_by_name(struct ldif *ldif, uint32_t group, const char *name, struct err *err)
{
	size_t count;
	const struct wanted_group *wanted = delivery_find_groups(&ldif->d, name, &count);

	for (size_t i = 0; i < count; i++)
		if (closure_want(ldif->closure, group, wanted[i].id, err) < 0)
			return -1;
	return 0;
}

/* An id with '=' would answer for the group of that DN. */
static int want_by_id(struct ldif *ldif, uint32_t group, const char *id, struct err *err)
{
	if (!id || strchr(id, '='))
		return 0;
	strbuf_clear(&ldif->scratch);
	text_fold(&ldif->scratch, id, strlen(id));
	return want_by_name(ldif, group, strbuf_text(&ldif->scratch), err);
}

static int add_group(struct ldif *ldif, struct err *err)
{
	struct hash128 name = dn_fingerprint_normal(strbuf_text(&ldif->normal), ldif->normal.size);
	uint32_t group;

	/* Which of two entries of one name is right is not known: their members are in doubt. */
	if (closure_find_group(ldif->closure, name, &group)) {
		closure_set_incomplete(ldif->closure, group);
		return 0;
	}
	if (closure_add_group(ldif->closure, name, &group, err) < 0 ||
	    want_by_name(ldif, group, strbuf_text(&ldif->normal), err) < 0)
		return -1;
	for (size_t i = 0; i < directory_id_count; i++)
		if (want_by_id(ldif, group, delivery_first(&ldif->d, ldif->ids[i]), err) < 0)
			return -1;
	for (size_t i = 0; i < ldif->member_count; i++)
		if (closure_add_member(ldif->closure, group, ldif->members[i], err) < 0)
			return -1;
	if (ldif->members_in_doubt)
		closure_set_incomplete(ldif->closure, group);
	ldif->d.result->groups++;
	return 0;
}

static int finish_in_first(struct ldif *ldif, struct err *err)
{
	unsigned kind = classify(ldif);

	if (kind & IS_PERSON)
		ldif->d.total++;
	/* Damaged, with members: the line that is lost may be the one that says it is a group. */
	if (ldif->problem.reason && !(kind & IS_PERSON) && ldif->member_count > 0)
		kind |= IS_GROUP;
	if (!(kind & IS_GROUP))
		return 0;
	if (!ldif->valid_dn) {
		ldif->groups_in_doubt = true;
		return 0;
	}
	return is_in_base(ldif) ? add_group(ldif, err) : 0;
}

/* --- second pass: people --- */

/* The key as it identifies a person: caseless, or the DN. "" when there is not exactly one. */
static const char *make_key(struct ldif *ldif, size_t *ret_values)
{
	const struct delivery *d = &ldif->d;
	const char *text;

	if (ldif->key_is_dn) {
		*ret_values = ldif->valid_dn;
		return strbuf_text(&ldif->normal);
	}
	*ret_values = d->fields[ldif->key].count;
	if (*ret_values != 1)
		return "";
	text = delivery_first(d, ldif->key);
	strbuf_clear(&ldif->decoded);
	text_fold(&ldif->decoded, text, strlen(text));
	if (ldif->decoded.size == 0)
		*ret_values = 0;
	return strbuf_text(&ldif->decoded);
}

/* All names under which member lists may know the person: the DN and each uid. */
static int find_groups(struct ldif *ldif, struct closure_answer *ret_answer, struct err *err)
{
	const struct delivery *d = &ldif->d;

	struct err problem = { 0 };

	/* The array of the first pass is free to be used again. */
	ldif->member_count = 0;
	if (ldif->member_capacity < d->fields[ldif->uid].count + 1) {
		size_t capacity = d->fields[ldif->uid].count + 16;
		struct hash128 *names = alloc_resize(ldif->members, capacity * sizeof(*names));

		if (!names)
			return err_set(err, ERR_MEMORY, "no memory for the names of a person");
		ldif->members = names;
		ldif->member_capacity = capacity;
	}
	ldif->members[ldif->member_count++] =
		dn_fingerprint_normal(strbuf_text(&ldif->normal), ldif->normal.size);
	for (uint32_t v = d->fields[ldif->uid].first; v != FIELD_NONE; v = d->values[v].next) {
		size_t size;
		const char *uid = delivery_value(d, v, &size);

		if (closure_uid_name(uid, size, &ldif->scratch, &ldif->members[ldif->member_count],
				     &problem) == 0)
			ldif->member_count++;
		else if (problem.code != ERR_INVALID)
			return err_set(err, ERR_MEMORY, "%s", problem.text);
	}
	return closure_user(ldif->closure, ldif->members, ldif->member_count, NULL, 0, ret_answer,
			    err);
}

static int deliver_person(struct ldif *ldif, struct err *err)
{
	struct delivered given = { .line = ldif->line };
	struct closure_answer answer;
	size_t values;
	const char *key = make_key(ldif, &values);

	if (values == 0)
		return delivery_quarantine(&ldif->d, ldif->line, "", "missing-key", err,
					   "no value for the key '%s'", ldif->source->key.text);
	if (values > 1)
		return delivery_quarantine(&ldif->d, ldif->line, "", "ambiguous-key", err,
					   "%zu values for the key '%s'", values,
					   ldif->source->key.text);
	if (find_groups(ldif, &answer, err) < 0)
		return -1;
	given.key = key;
	given.dn = strbuf_text(&ldif->dn);
	given.disabled = delivery_disabled(&ldif->d);
	given.groups = answer.ids;
	given.group_count = answer.count;
	given.groups_complete = answer.complete && !ldif->groups_in_doubt;
	return delivery_identity(&ldif->d, &given, err);
}

/* The line at which the DN came before; 0: it is new. */
static int note_name(struct ldif *ldif, uint32_t *ret_earlier, struct err *err)
{
	struct hash128 name = fingerprint128(strbuf_text(&ldif->normal), ldif->normal.size);
	uint32_t *slot;

	if (hash_table_put(ldif->names, name, &slot) < 0)
		return err_set(err, ERR_MEMORY, "no memory to read '%s'", ldif->d.path);
	*ret_earlier = *slot;
	if (*slot == 0)
		*slot = ldif->line > UINT32_MAX ? UINT32_MAX : (uint32_t)ldif->line;
	return 0;
}

static int finish_in_second(struct ldif *ldif, struct err *err)
{
	unsigned kind = classify(ldif);
	size_t values;
	uint32_t earlier;

	if (ldif->valid_dn && !is_in_base(ldif))
		return 0;
	ldif->d.dn = ldif->valid_dn ? strbuf_text(&ldif->dn) : "";
	if (ldif->problem.reason) {
		/* Its name and key are taken: a second entry is no better than a damaged first one. */
		if (ldif->valid_dn && note_name(ldif, &earlier, err) < 0)
			return -1;
		return delivery_quarantine(&ldif->d, ldif->problem.line, make_key(ldif, &values),
					   ldif->problem.reason, err, "%s", ldif->problem.detail);
	}
	if (!ldif->valid_dn || kind == 0)
		return 0;
	if (note_name(ldif, &earlier, err) < 0)
		return -1;
	if (earlier != 0)
		return delivery_quarantine(
			&ldif->d, ldif->line, make_key(ldif, &values), "duplicate-dn", err,
			"'%.200s' stands at line %u already", strbuf_text(&ldif->dn), earlier);
	delivery_see(&ldif->d, strbuf_text(&ldif->normal), ldif->normal.size);
	return kind & IS_PERSON ? deliver_person(ldif, err) : 0;
}

/* --- passes --- */

static int finish_entry(struct ldif *ldif, struct err *err)
{
	if (!ldif->open)
		return 0;
	ldif->open = false;
	if (strbuf_failed(&ldif->dn) || strbuf_failed(&ldif->normal) ||
	    strbuf_failed(&ldif->decoded) || strbuf_failed(&ldif->scratch))
		return err_set(err, ERR_MEMORY, "no memory to read '%s'", ldif->d.path);
	if ((ldif->entries & PAUSE_MASK) == 0 && delivery_pause(&ldif->d, err) < 0)
		return -1;
	return ldif->second ? finish_in_second(ldif, err) : finish_in_first(ldif, err);
}

/* "version: 1" before everything else. 1 it was one, 0 it was not, -1 another version. */
static int read_version(struct ldif *ldif, const struct line *line)
{
	static const char word[] = "version:";
	size_t at = sizeof(word) - 1;

	if (ldif->open || ldif->entries > 0 || line->size < at ||
	    strncasecmp(line->text, word, at) != 0)
		return 0;
	while (at < line->size && line->text[at] == ' ')
		at++;
	if (line->size - at == 1 && line->text[at] == '1')
		return 1;
	delivery_incomplete(&ldif->d, "unsupported-version",
			    "line %llu: only LDIF version 1 is known",
			    (unsigned long long)line->number);
	return -1;
}

static bool begins_dn(const struct line *line)
{
	return line->size > 3 && strncasecmp(line->text, "dn:", 3) == 0;
}

/*
 * A "dn:" inside an entry: the empty line before it is missing. Where the first entry ends is a
 * guess, so both are quarantined, each under its own name.
 */
static int split_entry(struct ldif *ldif, const struct line *line, struct err *err)
{
	static const char detail[] = "no empty line before 'dn:'";

	note_problem(ldif, line->number, "malformed-line", "%s", detail);
	if (finish_entry(ldif, err) < 0)
		return -1;
	begin_entry(ldif, line->number);
	note_problem(ldif, line->number, "malformed-line", "%s", detail);
	return 0;
}

/* 1 goes on, 0 the file cannot be read on, -1 failed. */
static int read_line(struct ldif *ldif, const struct line *line, struct err *err)
{
	int version;

	if (line->size == 0 && !line->too_long && !line->unended)
		return finish_entry(ldif, err) < 0 ? -1 : 1;
	version = read_version(ldif, line);
	if (version != 0 && !line->unended)
		return version > 0;
	if (ldif->open && ldif->has_dn && begins_dn(line) && split_entry(ldif, line, err) < 0)
		return -1;
	if (add_line(ldif, line, err) < 0)
		return -1;
	if (line->unended) {
		/* Every line ends with a break (RFC 2849): this is where something stopped writing. */
		note_lost_line(ldif, line, "cut-short", "the file ends without a line break");
		delivery_incomplete(&ldif->d, "cut-short",
				    "line %llu: the file ends without a line break",
				    (unsigned long long)line->number);
	}
	return 1;
}

static int read_pass(struct ldif *ldif, struct err *err)
{
	struct err cause;
	struct line line;
	int result;

	ldif->entries = 0;
	ldif->open = false;
	result = lines_start(&ldif->lines, &ldif->bytes, &cause);
	while (result >= 0) {
		result = lines_next(&ldif->lines, &line, &cause);
		if (result <= 0)
			break;
		result = read_line(ldif, &line, err);
		if (result < 0)
			return -1;
		if (result == 0)
			return 0;
	}
	if (result < 0)
		return delivery_broken(&ldif->d, &ldif->bytes, &cause, err);
	return finish_entry(ldif, err);
}

/* --- life --- */

static int set_fields(struct ldif *ldif, struct err *err)
{
	const struct ldif_source *source = ldif->source;
	struct {
		uint32_t *field;
		const char *name;
	} const names[] = {
		{ &ldif->key, source->key.text },
		{ &ldif->object_class, "objectClass" },
		{ &ldif->uid, "uid" },
		{ &ldif->member, "member" },
		{ &ldif->unique_member, "uniqueMember" },
		{ &ldif->member_uid, "memberUid" },
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		*names[i].field = delivery_field(&ldif->d, names[i].name);
		if (*names[i].field == FIELD_NONE)
			return err_set(err, ERR_MEMORY, "no memory to read '%s'", ldif->d.path);
	}
	for (size_t i = 0; i < directory_id_count && i < IDS_MAX; i++) {
		ldif->ids[i] = delivery_field(&ldif->d, directory_ids[i].name);
		if (ldif->ids[i] == FIELD_NONE)
			return err_set(err, ERR_MEMORY, "no memory to read '%s'", ldif->d.path);
	}
	if (delivery_set_disabled(&ldif->d, &source->disabled, err) < 0)
		return -1;
	return delivery_index_fields(&ldif->d, err);
}

static int ldif_init(struct ldif *ldif, struct err *err)
{
	const struct ldif_source *source = ldif->source;

	ldif->key_is_dn = strcmp(source->key.text, "dn") == 0;
	ldif->closure = closure_create();
	ldif->names = hash_table_create(1024, ENTRIES_MAX);
	if (!ldif->closure || !ldif->names)
		return err_set(err, ERR_MEMORY, "no memory to read '%s'", source->path.text);
	if (source->base.text &&
	    dn_normalize(source->base.text, strlen(source->base.text), &ldif->base, err) < 0)
		return -1;
	return set_fields(ldif, err);
}

static void ldif_finish(struct ldif *ldif)
{
	bytes_close(&ldif->bytes);
	closure_destroy(ldif->closure);
	hash_table_destroy(ldif->names);
	free(ldif->members);
	strbuf_finish(&ldif->base);
	strbuf_finish(&ldif->dn);
	strbuf_finish(&ldif->normal);
	strbuf_finish(&ldif->decoded);
	strbuf_finish(&ldif->scratch);
}

static int tell_groups(struct ldif *ldif, struct err *err)
{
	const struct delivery *d = &ldif->d;

	for (size_t i = 0; i < d->group_count; i++) {
		uint64_t members = 0;
		bool found = closure_wanted(ldif->closure, d->groups[i].id, &members);

		if (d->intake->group(d->intake->context, d->groups[i].id, found, members, err) < 0)
			return -1;
	}
	return 0;
}

static int read_file(struct ldif *ldif, struct err *err)
{
	struct err cause;

	if (bytes_open(&ldif->bytes, ldif->d.path, &cause) < 0)
		return delivery_broken(&ldif->d, &ldif->bytes, &cause, err);
	if (read_pass(ldif, err) < 0 || closure_finish(ldif->closure, err) < 0)
		return -1;
	ldif->second = true;
	if (read_pass(ldif, err) < 0 || tell_groups(ldif, err) < 0)
		return -1;
	delivery_conclude(&ldif->d, &ldif->bytes);
	return 0;
}

int ldif_read(const struct ldif_source *source, const struct wanted_attribute *attributes,
	      size_t attribute_count, const struct wanted_group *groups, size_t group_count,
	      const struct intake *intake, struct read_result *ret_result, struct err *err)
{
	struct ldif ldif = {
		.source = source,
		.bytes = { .fd = -1 },
		.base = STRBUF(DN_MAX * 32),
		.dn = STRBUF(FILE_LINE_MAX),
		.normal = STRBUF(DN_MAX * 32),
		/* Folding may make a value longer. */
		.decoded = STRBUF((size_t)FILE_LINE_MAX * 16),
		.scratch = STRBUF((size_t)FILE_LINE_MAX * 16),
	};
	struct read_result result;
	int status = delivery_init(&ldif.d, &source->common, source->path.text, attributes,
				   attribute_count, groups, group_count, intake, &result, err);

	if (status == 0)
		status = ldif_init(&ldif, err);
	if (status == 0)
		status = read_file(&ldif, err);
	ldif_finish(&ldif);
	delivery_finish(&ldif.d);
	if (status == 0)
		*ret_result = result;
	return status;
}
