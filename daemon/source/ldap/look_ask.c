/*
 * The searches of a look (see look_state.h): filters, and what holds the entries until all ended well.
 * Leaves: entries, to whoever asked. Fails as searches do; then nothing was told.
 */
#include "look_state.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>
#include <rolebridge/source/ldap.h>

/* More at once are read anew as fast, without holding them all. */
#define CHANGES_MAX 10000
#define BYTES_MAX ((size_t)64 * 1024 * 1024)

int look_out_of_memory(struct look *look)
{
	outcome_note(&look->outcome, "out-of-memory", "no memory for a look at what changed");
	return -1;
}

int look_set_add(struct hash_table *set, struct hash128 key)
{
	uint32_t *slot;
	int added = hash_table_put(set, key, &slot);

	if (added > 0)
		*slot = 1;
	return added;
}

/* --- what is asked --- */

const char *look_name_of(enum entry_kind kind)
{
	return kind == KIND_PERSON ? "users" : "groups";
}

const struct job_search *look_where(const struct look *look, enum entry_kind kind)
{
	const struct job *job = look->follow->job;

	return kind == KIND_PERSON ? &job->users : &job->groups;
}

char **look_attributes_of(const struct look *look, enum entry_kind kind)
{
	return kind == KIND_PERSON ? people_search(look->follow->people)->attributes
				   : group_reader_request(look->follow->reader);
}

int64_t look_from_s(const struct poll *poll)
{
	return poll->newest_s > LOOK_OVERLAP_S ? poll->newest_s - LOOK_OVERLAP_S : 0;
}

void look_put_since(const struct poll *poll, struct strbuf *out)
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

void look_put_filter(struct strbuf *out, const char *filter)
{
	bool bare = filter[0] != '(';

	strbuf_printf(out, bare ? "(%s)" : "%s", filter);
}

char *look_escaped(const struct berval *value)
{
	AUTO(strbuf) struct strbuf escaped = STRBUF(4 * LOOK_VALUE_MAX);

	for (size_t i = 0; i < value->bv_len; i++)
		strbuf_printf(&escaped, "\\%02x", (unsigned char)value->bv_val[i]);
	return strbuf_failed(&escaped) ? NULL : strdup(strbuf_text(&escaped));
}

/* --- asking --- */

/* A server that answers slowly, and goes on to, is none that is silent. */
static void say_alive(const struct look *look)
{
	if (clock_monotonic_us() < look->alive_until_us)
		follow_pulse(look->follow);
}

int look_ask(struct look *look, const struct question *question)
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
		while (taken == 0 && !look->restart &&
		       (more = search_next(&search, &message)) > 0) {
			taken = question->take(look, message, question->context);
			say_alive(look);
		}
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

/* Below this entry is everything there is, where the server says so; else what we read from. */
int look_ask_all_bases(struct look *look, int (*question)(struct look *look, const char *base))
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

/* --- entries that wait --- */

int look_messages_add(struct look *look, struct messages *list, LDAPMessage *message, size_t size)
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

void look_messages_finish(struct messages *list)
{
	for (size_t i = 0; i < list->count; i++) {
		if (list->items[i])
			ldap_msgfree(list->items[i]);
	}
	free(list->items);
	*list = (struct messages){ 0 };
}
