/* The letter that invites somebody. */
#ifndef ROLEBRIDGE_AUTH_INVITE_H
#define ROLEBRIDGE_AUTH_INVITE_H

#include <rolebridge/auth/ticket.h>

struct invite_letter {
	const char *public_url; /* without a slash at its end */
	const char *inviter;	/* display name; "": none is told */
	const char *name;	/* of who is invited; "": none */
	struct uuid invite;
	int64_t generation;
	int64_t expires_s;
};
/* Append subject and body (UTF-8, lines end with '\n'). The body holds the link: never logged, never stored. */
void invite_letter_write(struct tickets *tickets, const struct invite_letter *letter,
			 struct strbuf *subject, struct strbuf *body);

#endif
