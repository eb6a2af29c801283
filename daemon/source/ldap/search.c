/*
 * Paged search (see search.h). Enters: what a directory answers. Leaves:
 * entries. Ends well only when every page came with result 0; a page without the cookie
 * that was asked for, a reference to another server (unless ignored), any other
 * result and any loss of the connection are noted in the outcome.
 */
#include "search.h"

#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/source/ldap.h>

/* Entries worked on between two looks at the socket. */
#define LOOK_EVERY 16
/* The same where the end of a page is not near. */
#define LOOK_SELDOM 128
/* So many entries before the end of a page its result may come at any moment. */
#define PAGE_END_NEAR 128
#define GATHER_NS 200000
#define QUEUE_FIRST 1024

static int search_fail(struct search *search)
{
	search->failed = true;
	search->partial = true;
	search->ended = true;
	return -1;
}

static int out_of_memory(struct search *search)
{
	outcome_note(search->session->outcome, "out-of-memory", "no memory for the search of %s",
		     search->name);
	return search_fail(search);
}

int search_scope(const struct job_search *what)
{
	switch (what->scope) {
	case LDAP_SOURCE_ONE_LEVEL: return LDAP_SCOPE_ONELEVEL;
	case LDAP_SOURCE_BASE_ONLY: return LDAP_SCOPE_BASE;
	default: return LDAP_SCOPE_SUBTREE;
	}
}

static int send_request(struct search *search)
{
	struct session *session = search->session;
	LDAPControl *page = NULL;
	LDAPControl *controls[SEARCH_CONTROLS_MAX + 2] = { NULL };
	size_t count = 0;
	int code;

	search->received = 0;
	if (session->job->page_size > 0) {
		code = ldap_create_page_control(session->ld, (ber_int_t)session->job->page_size,
						&search->cookie, 1, &page);
		if (code != LDAP_SUCCESS)
			return out_of_memory(search);
		controls[count++] = page;
	}
	for (size_t i = 0; i < SEARCH_CONTROLS_MAX && search->controls[i]; i++)
		controls[count++] = search->controls[i];
	code = ldap_search_ext(session->ld, search->what->base, search_scope(search->what),
			       search->what->filter, search->attributes, 0, controls, NULL, NULL,
			       LDAP_NO_LIMIT, &search->message_id);
	if (page)
		ldap_control_free(page);
	if (code == LDAP_SUCCESS)
		return 0;
	if (code == LDAP_FILTER_ERROR)
		session_note(session, code, NULL, search->name);
	else
		session_note_last(session, "cannot ask for the next page");
	return search_fail(search);
}

int search_start(struct search *search)
{
	search->started = true;
	return send_request(search);
}

static int queue_push(struct search *search, LDAPMessage *entry)
{
	if (search->queue.count == search->queue.capacity && search->queue.head > 0) {
		search->queue.count -= search->queue.head;
		memmove(search->queue.items, search->queue.items + search->queue.head,
			search->queue.count * sizeof(LDAPMessage *));
		search->queue.head = 0;
	}
	if (search->queue.count == search->queue.capacity) {
		size_t capacity = search->queue.capacity ? 2 * search->queue.capacity : QUEUE_FIRST;
		void *items = alloc_resize(search->queue.items, capacity * sizeof(LDAPMessage *));
		if (!items) {
			ldap_msgfree(entry);
			return out_of_memory(search);
		}
		search->queue.items = items;
		search->queue.capacity = capacity;
	}
	search->queue.items[search->queue.count++] = entry;
	search->received++;
	return 0;
}

static bool queue_is_empty(const struct search *search)
{
	return search->queue.head == search->queue.count;
}

static LDAPMessage *queue_pop(struct search *search)
{
	LDAPMessage *entry = search->queue.items[search->queue.head++];

	if (queue_is_empty(search))
		search->queue.head = search->queue.count = 0;
	return entry;
}

/* The cookie for the next page; an empty one ends the search. */
static int take_cookie(struct search *search, LDAPControl **controls)
{
	LDAPControl *page = ldap_control_find(LDAP_CONTROL_PAGEDRESULTS, controls, NULL);
	ber_int_t estimate = 0;

	if (search->cookie.bv_val)
		ldap_memfree(search->cookie.bv_val);
	search->cookie = (struct berval){ 0 };
	if (search->session->job->page_size == 0)
		return 0;
	if (!page || ldap_parse_pageresponse_control(search->session->ld, page, &estimate,
						     &search->cookie) != LDAP_SUCCESS) {
		outcome_note(search->session->outcome, "paging-refused",
			     "server answered the search of %s without a page cookie",
			     search->name);
		return search_fail(search);
	}
	return 0;
}

static int page_ended(struct search *search, LDAPMessage *message)
{
	LDAPControl **controls = NULL;
	char *text = NULL;
	int code = LDAP_OTHER;
	int parsed = ldap_parse_result(search->session->ld, message, &code, NULL, &text, NULL,
				       &controls, 1);
	int status;

	if (parsed != LDAP_SUCCESS)
		code = parsed;
	if (code != LDAP_SUCCESS) {
		char doing[64];
		snprintf(doing, sizeof(doing), "search of %s ended early", search->name);
		session_note(search->session, code, text, doing);
		status = search_fail(search);
	} else {
		status = take_cookie(search, controls);
	}
	ldap_memfree(text);
	ldap_controls_free(controls);
	if (status < 0)
		return -1;
	if (search->cookie.bv_len > 0)
		return send_request(search);
	search->ended = true;
	return 0;
}

static int note_referral(struct search *search)
{
	search->partial = true;
	outcome_note(search->session->outcome, "referral",
		     "server refers to another one for some of the %s", search->name);
	return 0;
}

static int take_message(struct search *search, LDAPMessage *message)
{
	switch (ldap_msgtype(message)) {
	case LDAP_RES_SEARCH_ENTRY: return queue_push(search, message);
	case LDAP_RES_SEARCH_RESULT: return page_ended(search, message);
	case LDAP_RES_SEARCH_REFERENCE:
		ldap_msgfree(message);
		return search->session->job->ignore_referrals ? 0 : note_referral(search);
	case LDAP_RES_INTERMEDIATE: ldap_msgfree(message); return 0;
	default:
		ldap_msgfree(message);
		search->session->broken = true;
		outcome_note(search->session->outcome, "protocol-error",
			     "unexpected answer to the search of %s", search->name);
		return search_fail(search);
	}
}

/* Take what is there without waiting. A failure shows when the queue is empty. */
static void look(struct search *search)
{
	size_t most = 2 * (size_t)search->session->job->page_size + LOOK_EVERY;

	while (!search->ended && search->queue.count - search->queue.head < most) {
		struct timeval none = { 0 };
		LDAPMessage *message = NULL;
		int type = ldap_result(search->session->ld, search->message_id, LDAP_MSG_ONE, &none,
				       &message);
		if (type == 0)
			return;
		if (type < 0) {
			session_note_last(search->session, "connection to the server failed");
			search_fail(search);
			return;
		}
		take_message(search, message);
	}
}

static bool page_end_is_near(const struct search *search)
{
	return search->received + PAGE_END_NEAR > search->session->job->page_size;
}

/*
 * Servers send each entry by itself, and being woken for each costs both sides more than the entry:
 * let some come together. Not when a page ends soon: the server would wait for the next request.
 */
static void let_entries_gather(struct search *search)
{
	struct timespec pause = { .tv_nsec = GATHER_NS };

	if (page_end_is_near(search))
		return;
	clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
	look(search);
}

static bool is_beyond(const struct search *search)
{
	return (search->most != 0 && search->handed_out >= search->most) ||
	       (search->until_us != 0 && clock_monotonic_us() >= search->until_us);
}

static void cut(struct search *search)
{
	if (!search->ended)
		ldap_abandon_ext(search->session->ld, search->message_id, NULL, NULL);
	while (!queue_is_empty(search))
		ldap_msgfree(queue_pop(search));
	search->cut = search->partial = search->ended = true;
}

int search_next(struct search *search, LDAPMessage **ret_entry)
{
	struct session *session = search->session;

	if (search->until_look-- == 0) {
		look(search);
		search->until_look = page_end_is_near(search) ? LOOK_EVERY : LOOK_SELDOM;
	}
	if (queue_is_empty(search) && !search->ended)
		let_entries_gather(search);
	while (queue_is_empty(search) && !search->ended) {
		LDAPMessage *message;
		if (session_await(session, search->message_id, &message) < 0)
			search_fail(search);
		else
			take_message(search, message);
	}
	if (!queue_is_empty(search) && is_beyond(search))
		cut(search);
	if (search->ended && search->then && !search->then->started && !session->broken)
		search_start(search->then);
	if (queue_is_empty(search) || session->out->failed)
		return search->failed || session->out->failed ? -1 : 0;
	*ret_entry = queue_pop(search);
	search->handed_out++;
	return 1;
}

void search_finish(struct search *search)
{
	while (!queue_is_empty(search))
		ldap_msgfree(queue_pop(search));
	free(search->queue.items);
	if (search->cookie.bv_val)
		ldap_memfree(search->cookie.bv_val);
	search->queue.items = NULL;
	search->cookie = (struct berval){ 0 };
}
