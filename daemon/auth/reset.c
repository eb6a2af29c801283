/* The letter with the link that sets a new password. Enters: a reset. Leaves: subject and body. Nothing fails but the buffers. */
#include <rolebridge/auth/reset.h>

#include <sodium.h>

#include <rolebridge/base/clock.h>

void reset_letter_write(struct tickets *tickets, const struct reset_letter *letter,
			struct strbuf *subject, struct strbuf *body)
{
	char link[TICKET_INVITE_SIZE], until[CLOCK_TEXT_SIZE];
	const char *url = letter->public_url;
	const char *host = strstr(url, "://");

	ticket_reset(tickets, &letter->reset, letter->generation, link);
	clock_format(letter->expires_s, until);
	strbuf_printf(subject, "A new password for %s", host ? host + 3 : url);
	strbuf_printf(body, letter->name[0] ? "Hello %s,\n\n" : "Hello%s,\n\n", letter->name);
	strbuf_printf(
		body,
		"a new password was asked for, for your account '%s' at %s.\n\n"
		"Open this page to set it:\n\n%s/password/reset/%s\n\n"
		"The link is good once, until %.10s %.5s (UTC), and for you alone: please do not "
		"hand it on. Until then your password stays as it is. If you did not ask for this, "
		"there is nothing to do.\n",
		letter->username, url, url, link, until, until + 11);
	sodium_memzero(link, sizeof(link));
}
