/* The letter that invites somebody. Enters: an invite. Leaves: subject and body. Nothing fails but the buffers. */
#include <rolebridge/auth/invite.h>

#include <sodium.h>

#include <rolebridge/base/clock.h>

#define DATE_SIZE 10 /* of the time as text */

void invite_letter_write(struct tickets *tickets, const struct invite_letter *letter,
			 struct strbuf *subject, struct strbuf *body)
{
	char link[TICKET_INVITE_SIZE], until[CLOCK_TEXT_SIZE];
	const char *url = letter->public_url;
	const char *host = strstr(url, "://");

	ticket_invite(tickets, &letter->invite, letter->generation, link);
	clock_format(letter->expires_s, until);
	strbuf_printf(subject, "You are invited to %s", host ? host + 3 : url);
	strbuf_printf(body, letter->name[0] ? "Hello %s,\n\n" : "Hello%s,\n\n", letter->name);
	strbuf_printf(body,
		      letter->inviter[0] ? "%s invites you to %s.\n\n"
					 : "%syou are invited to %s.\n\n",
		      letter->inviter, url);
	strbuf_printf(
		body,
		"Open this page to accept:\n\n%s/invite/%s\n\n"
		"The link is good once, until %.*s (UTC), and for you alone: please do not hand "
		"it on. If you did not expect it, there is nothing to do.\n",
		url, link, DATE_SIZE, until);
	sodium_memzero(link, sizeof(link));
}
