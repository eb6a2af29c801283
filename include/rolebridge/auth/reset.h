/* The letter with the link that sets a new password. */
#ifndef ROLEBRIDGE_AUTH_RESET_H
#define ROLEBRIDGE_AUTH_RESET_H

#include <rolebridge/auth/ticket.h>

struct reset_letter {
	const char *public_url; /* without a slash at its end */
	const char *name;	/* of whose it is; "": none */
	const char *username;
	struct uuid reset;
	int64_t generation;
	int64_t expires_s;
};
/* Append subject and body (UTF-8, lines end with '\n'). The body holds the link: never logged, never stored. */
void reset_letter_write(struct tickets *tickets, const struct reset_letter *letter,
			struct strbuf *subject, struct strbuf *body);

#endif
