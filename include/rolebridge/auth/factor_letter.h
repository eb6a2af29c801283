/* The letter that tells somebody what was done with their second factors. No code, no secret, no link is in it. */
#ifndef ROLEBRIDGE_AUTH_FACTOR_LETTER_H
#define ROLEBRIDGE_AUTH_FACTOR_LETTER_H

#include <rolebridge/base/strbuf.h>
#include <rolebridge/change/factor.h>

struct factor_letter {
	const char *public_url; /* without a slash at its end */
	const char *name;	/* of whose they are; "": none */
	const char *username;
	enum factor_event event;
	enum factor_method method; /* FACTOR_NONE: all */
	int64_t at_s;
};
/* Append subject and body (UTF-8, lines end with '\n'). false: nothing is to be told. */
bool factor_letter_write(const struct factor_letter *letter, struct strbuf *subject,
			 struct strbuf *body);

#endif
