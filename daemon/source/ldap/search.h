/*
 * A paged search (RFC 2696) that keeps the directory busy: as soon as a page's
 * result brings the cookie the next page is asked for, before the entries just
 * received are worked on; and reading goes before working, so that a result is seen early.
 *
 * Entries wait in a queue, at most about two pages of them. OpenLDAP allows one
 * paged search per connection at a time, so the next search starts with the last
 * page of this one: `then`.
 */
#ifndef SOURCE_LDAP_SEARCH_H
#define SOURCE_LDAP_SEARCH_H

#include <stdbool.h>
#include <stddef.h>

#include <ldap.h>

#include "session.h"

#define SEARCH_CONTROLS_MAX 2

struct search {
	struct session *session;
	const struct job_search *what;
	const char *name;			    /* for messages: "groups" */
	char **attributes;			    /* NULL-terminated, borrowed */
	LDAPControl *controls[SEARCH_CONTROLS_MAX]; /* beside paging; borrowed */
	struct search *then;
	/* Not further than this: what is left is abandoned, and the search is partial. 0: to its end. */
	size_t most;
	int64_t until_us;
	size_t handed_out;
	bool cut;
	int message_id;
	bool started, ended, failed;
	bool partial; /* failed, or pointed elsewhere: not everything was seen */
	struct berval cookie;
	size_t received; /* entries of the present page */
	struct {
		LDAPMessage **items;
		size_t head, count, capacity;
	} queue;
	unsigned until_look; /* entries to hand out before the socket is looked at again */
};

/* LDAP_SCOPE_… */
int search_scope(const struct job_search *what);
/* Send the first request. -1: outcome says why. */
int search_start(struct search *search);
/*
 * 1 and the next entry (ldap_msgfree is the caller's), 0 at the end, -1 when
 * the search failed: entries received before were handed out first, outcome says why.
 */
int search_next(struct search *search, LDAPMessage **ret_entry);
void search_finish(struct search *search);

#endif
