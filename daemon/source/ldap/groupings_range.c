/*
 * Member lists that Active Directory cuts (MS-ADTS 3.1.1.3.1.3.3): the rest is asked for piece by piece.
 * Enters: "member;range=1500-2999". Leaves: members. A piece that is refused or is not the next one leaves
 * the list cut.
 */
#include "groupings_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/util.h>

#include "../directory.h"

/* Answers to one group's ranges; with 1,500 members each that is past 10 million. */
#define RANGES_MAX 10000
#define UNFINISHED_MAX (1u << 20)

int group_reader_remember_rest(struct group_reader *reading, uint32_t group,
			       const struct berval *dn, size_t member, unsigned long next)
{
	struct unfinished *item;

	if (reading->unfinished_count == reading->unfinished_capacity) {
		size_t capacity = 2 * reading->unfinished_capacity + 16;
		void *items = NULL;
		if (capacity <= UNFINISHED_MAX)
			items = alloc_resize(reading->unfinished, capacity * sizeof(*item));
		if (!items)
			return group_reader_out_of_memory(reading);
		reading->unfinished = items;
		reading->unfinished_capacity = capacity;
	}
	item = &reading->unfinished[reading->unfinished_count];
	*item = (struct unfinished){ group, strndup(dn->bv_val, dn->bv_len), member, next };
	if (!item->dn)
		return group_reader_out_of_memory(reading);
	reading->unfinished_count++;
	return 0;
}

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
				status = group_reader_add_members(reading, list->group,
								  member->kind, &values);
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
	group_reader_cut(reading, list->group, &dn);
}

void group_reader_fetch_rest(struct group_reader *reading)
{
	for (size_t i = 0; i < reading->unfinished_count; i++) {
		fetch_rest(reading, &reading->unfinished[i]);
		free(reading->unfinished[i].dn);
	}
	reading->unfinished_count = 0;
}
