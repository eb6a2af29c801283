/*
 * Mail: one message to one person, composed strictly and handed to one SMTP server. TLS with a checked
 * certificate is required wherever the server is not on loopback.
 */
#ifndef ROLEBRIDGE_CLIENT_MAIL_H
#define ROLEBRIDGE_CLIENT_MAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rolebridge/base/err.h>
#include <rolebridge/base/strbuf.h>
#include <rolebridge/config/options.h>

/* The table mail: of the configuration. */
struct mail_settings {
	struct position at;
	struct located url; /* "smtp://mail.example.com:587", "smtps://…"; NULL: no mail is sent */
	struct located from;	  /* address */
	struct located from_name; /* NULL: none */
	struct located username, password_file;
	struct located ca_file;
	int64_t timeout_s;	    /* 30 */
	struct located_list alarms; /* "administrators", "none" alone, addresses */
};
#define MAIL_ALARMS_ADMINISTRATORS "administrators"
#define MAIL_ALARMS_NONE "none"
extern const struct option_table mail_table;

struct mail_message {
	const char *from, *from_name; /* name NULL or "": none */
	const char *to, *to_name;
	const char *subject;
	const char *body; /* UTF-8, lines end with '\n' */
	const char
		*message_id; /* without <>: letters, digits, '.', '-'; the domain of from follows */
	int64_t date_s;
};

/*
 * An address as SMTP takes it: as email_normalize has it, and ASCII. ERR_INVALID.
 */
int mail_check_address(const char *address, struct err *err);

/* A name or a subject: UTF-8 without control characters, not too long. ERR_INVALID. */
int mail_check_text(const char *what, const char *text, struct err *err);

/*
 * Append the message (RFC 5322, MIME): CRLF, lines of at most 76 bytes in the body, encoded words where a header needs
 * them. ERR_INVALID: an address, a name or subject with control characters, text that is not UTF-8.
 */
int mail_compose(const struct mail_message *message, struct strbuf *out, struct err *err);

/* What a mail server's URL says. ERR_INVALID with what is wrong. */
int mail_check_url(const char *url, struct err *err);

struct mail_delivery {
	const struct mail_settings *server;
	const char *from, *to;
	const struct strbuf *message;
	/* Asked about once a second; true: give up. May be NULL. */
	bool (*cancelled)(void *context);
	void *context;
};
/*
 * 0: the server has taken it over. ERR_DENIED "mail-refused": it will never take it for this address (5xx to the
 * recipient or to the message). ERR_UNAVAILABLE: not reached, TLS, sign-in, 4xx, 5xx to us. ERR_CANCELLED.
 */
int mail_send(const struct mail_delivery *delivery, struct err *err);

#endif
