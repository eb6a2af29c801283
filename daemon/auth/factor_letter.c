/* Letters about second factors and passwords. Enters: what was done. Leaves: subject and body. Nothing fails but the buffers. */
#include <rolebridge/auth/factor_letter.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>

static const char *const method_texts[FACTOR_METHODS] = {
	[FACTOR_NONE] = "all of your second factors",
	[FACTOR_TOTP] = "an authenticator app",
	[FACTOR_WEBAUTHN] = "a security key or passkey",
	[FACTOR_EMAIL] = "codes by e-mail",
	[FACTOR_SMS] = "codes by SMS",
	[FACTOR_RECOVERY] = "recovery codes",
};

/* %s: the method. */
static const struct {
	enum factor_event event;
	const char *subject, *text, *advice;
} events[] = {
	{ FACTOR_ENROLLED, "A second factor was added",
	  "one more way in which you prove that it is you was added: %s.",
	  "If this was not you, somebody else can sign in as you: tell your administrator at once." },
	{ FACTOR_REMOVED, "A second factor was removed",
	  "one of the ways in which you prove that it is you was removed: %s.",
	  "If this was not you, tell your administrator at once." },
	{ FACTOR_RESET, "Your second factor was reset",
	  "an administrator reset: %s. It can prove nothing any more; you may be asked to add a "
	  "new one.",
	  "If you did not ask for this, tell your administrator." },
	{ FACTOR_CODES_MADE, "New recovery codes were made",
	  "new %s were made for you. Those that you had before are void.",
	  "If this was not you, tell your administrator at once." },
	{ FACTOR_CODE_ISSUED, "An administrator issued a recovery code for you",
	  "an administrator issued a recovery code with which you can add a new second factor "
	  "after signing in. Whoever issued it gives it to you; it is in no letter.",
	  "If you did not ask for this, tell your administrator at once." },
	{ FACTOR_CODE_USED, "A recovery code was used",
	  "a recovery code was used in place of your second factor.",
	  "If this was not you, somebody else is signed in as you: tell your administrator at "
	  "once." },
	{ FACTOR_PASSWORD_SET, "Your password was changed",
	  "a new password was set for your account. All other sessions were ended.",
	  "If this was not you, somebody else can sign in as you: set another one, and tell your "
	  "administrator at once." },
};

/* The text with its method; one that names none is as it is. */
static void write_text(const char *text, const char *method, struct strbuf *body)
{
	const char *place = strstr(text, "%s");

	if (!place) {
		strbuf_puts(body, text);
		return;
	}
	strbuf_append(body, text, (size_t)(place - text));
	strbuf_puts(body, method);
	strbuf_puts(body, place + 2);
}

bool factor_letter_write(const struct factor_letter *letter, struct strbuf *subject,
			 struct strbuf *body)
{
	char at[CLOCK_TEXT_SIZE];
	const char *host = strstr(letter->public_url, "://");

	for (size_t i = 0; i < ARRAY_LEN(events); i++) {
		if (events[i].event != letter->event || letter->method >= FACTOR_METHODS)
			continue;
		clock_format(letter->at_s, at);
		strbuf_printf(subject, "%s: %s", events[i].subject,
			      host ? host + 3 : letter->public_url);
		strbuf_printf(body, letter->name[0] ? "Hello %s,\n\n" : "Hello%s,\n\n",
			      letter->name);
		write_text(events[i].text, method_texts[letter->method], body);
		strbuf_printf(body,
			      "\n\nAccount: '%s' at %s\nTime: %.10s %.5s (UTC)\n\n%s\n\n"
			      "You look after your account at %s/security\n",
			      letter->username, letter->public_url, at, at + 11, events[i].advice,
			      letter->public_url);
		return true;
	}
	return false;
}
