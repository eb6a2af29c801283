/*
 * Mail. Enters: addresses, names and texts, which are checked here once more whoever gave them; the configuration.
 * Leaves: one message to one recipient. Fails as the server does.
 *
 * No byte of a header comes from outside unencoded: an address is checked to be a dot-atom at a host, names
 * and subjects are refused with control characters and written as encoded words (RFC 2047) unless they are
 * plain. The body is quoted-printable (RFC 2045), so that no line is longer than SMTP allows and none begins with a
 * lone dot that means something (libcurl doubles it all the same).
 */
#include <rolebridge/client/mail.h>

#include <curl/curl.h>
#include <pthread.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <rolebridge/base/address.h>
#include <rolebridge/base/secret.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

#define ADDRESS_MAX 254
#define HEADER_TEXT_MAX 1000
#define BODY_MAX ((size_t)256 * 1024)
#define MESSAGE_ID_MAX 100
#define BODY_LINE_MAX 76
/* Of an encoded word: 75 with "=?UTF-8?Q?" and "?=", which are 12. */
#define WORD_MAX 63
/* The name of a header before the first of them, at most. */
#define HEADER_NAME_MAX 9

static const char hex_digits[] = "0123456789ABCDEF";

/* --- addresses --- */

static bool is_atom(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

static bool is_host(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       c == '-';
}

/* Words of such characters with single dots between them. */
static bool is_dotted(const char *text, size_t size, bool (*is_one)(unsigned char c))
{
	bool begun = false;

	for (size_t i = 0; i < size; i++) {
		if (text[i] == '.' ? !begun : !is_one((unsigned char)text[i]))
			return false;
		begun = text[i] != '.';
	}
	return begun;
}

int mail_check_address(const char *address, struct err *err)
{
	const char *at = strrchr(address, '@');
	size_t size = strlen(address);

	if (size > ADDRESS_MAX)
		return err_set(err, ERR_INVALID, "an e-mail address is longer than %d bytes",
			       ADDRESS_MAX);
	if (!at || !is_dotted(address, (size_t)(at - address), is_atom) ||
	    !is_dotted(at + 1, strlen(at + 1), is_host))
		return err_set(err, ERR_INVALID,
			       "'%s' is no e-mail address that mail can be sent to", address);
	return 0;
}

/* --- headers --- */

int mail_check_text(const char *what, const char *text, struct err *err)
{
	size_t size = strlen(text);

	if (size > HEADER_TEXT_MAX)
		return err_set(err, ERR_INVALID, "%s is longer than %d bytes", what,
			       HEADER_TEXT_MAX);
	if (!text_is_utf8(text, size))
		return err_set(err, ERR_INVALID, "%s is not UTF-8", what);
	for (size_t i = 0; i < size; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return err_set(err, ERR_INVALID, "%s holds a control character", what);
	return 0;
}

/* May it stand in a header as it is? Words and single spaces, short enough for one line. */
static bool is_plain(const char *text)
{
	size_t size = strlen(text);

	if (size == 0 || size > 60 || text[0] == ' ' || text[size - 1] == ' ')
		return false;
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)text[i];
		bool is_letter = is_host(c);

		if (!is_letter && c != ' ')
			return false;
	}
	return true;
}

/* RFC 2047 5 (3): what may stand for itself inside of a phrase, too. */
static bool is_word_safe(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c && strchr("!*+-/", c));
}

static size_t encoded_size(const char *at, size_t size)
{
	size_t total = 0;

	for (size_t i = 0; i < size; i++)
		total += at[i] == ' ' || is_word_safe((unsigned char)at[i]) ? 1 : 3;
	return total;
}

static void put_encoded_char(struct strbuf *out, const char *at, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)at[i];

		if (c == ' ') {
			strbuf_putc(out, '_');
		} else if (is_word_safe(c)) {
			strbuf_putc(out, (char)c);
		} else {
			strbuf_putc(out, '=');
			strbuf_putc(out, hex_digits[c >> 4]);
			strbuf_putc(out, hex_digits[c & 15]);
		}
	}
}

/* Encoded words, each on a line of its own; no character is torn apart. */
static void put_text(struct strbuf *out, const char *text)
{
	size_t left = strlen(text), room = 0, first = HEADER_NAME_MAX;
	bool open = false;

	if (is_plain(text)) {
		strbuf_puts(out, text);
		return;
	}
	while (left > 0) {
		size_t size = text_next_char(text, left, NULL);
		/* What does not fit begins the next word. */
		size_t need = encoded_size(text, size);

		if (size == 0) {
			strbuf_fail(out);
			return;
		}
		if (open && need > room) {
			strbuf_puts(out, "?=\r\n ");
			open = false;
		}
		if (!open) {
			strbuf_puts(out, "=?UTF-8?Q?");
			room = WORD_MAX - first;
			first = 0;
			open = true;
		}
		put_encoded_char(out, text, size);
		room -= need;
		text += size;
		left -= size;
	}
	if (open)
		strbuf_puts(out, "?=");
}

/* "Name" <address>, folded between the two. */
static void put_mailbox(struct strbuf *out, const char *header, const char *name,
			const char *address)
{
	strbuf_printf(out, "%s: ", header);
	if (name && name[0]) {
		put_text(out, name);
		strbuf_puts(out, "\r\n ");
	}
	strbuf_printf(out, "<%s>\r\n", address);
}

static void put_date(struct strbuf *out, int64_t date_s)
{
	static const char *const days[] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
					      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	time_t time = (time_t)date_s;
	struct tm tm;

	if (!gmtime_r(&time, &tm)) {
		strbuf_fail(out);
		return;
	}
	strbuf_printf(out, "Date: %s, %d %s %d %02d:%02d:%02d +0000\r\n", days[tm.tm_wday],
		      tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
		      tm.tm_sec);
}

/* --- body --- */

/* Quoted-printable: what stands for itself, unless it ends the line. */
static bool is_printable(unsigned char c)
{
	return c == ' ' || c == '\t' || (c > 0x20 && c < 0x7f && c != '=');
}

static void put_line(struct strbuf *out, const char *line, size_t size)
{
	size_t column = 0;

	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)line[i];
		bool is_last = i + 1 == size;
		bool as_is = is_printable(c) && !(is_last && (c == ' ' || c == '\t'));
		size_t need = as_is ? 1 : 3;

		/* One byte is kept for the '=' that says that the line goes on. */
		if (column + need > BODY_LINE_MAX - 1) {
			strbuf_puts(out, "=\r\n");
			column = 0;
		}
		if (as_is) {
			strbuf_putc(out, (char)c);
		} else {
			strbuf_putc(out, '=');
			strbuf_putc(out, hex_digits[c >> 4]);
			strbuf_putc(out, hex_digits[c & 15]);
		}
		column += need;
	}
	strbuf_puts(out, "\r\n");
}

static void put_body(struct strbuf *out, const char *body)
{
	while (*body) {
		size_t size = strcspn(body, "\n");

		put_line(out, body, size);
		body += size + (body[size] == '\n');
	}
}

/* --- the message --- */

static int check_message_id(const char *id, struct err *err)
{
	size_t size = strlen(id);

	if (size == 0 || size > MESSAGE_ID_MAX || !is_dotted(id, size, is_host))
		return err_set(err, ERR_INVALID, "'%.100s' cannot be a message id", id);
	return 0;
}

static int check(const struct mail_message *message, struct err *err)
{
	if (mail_check_address(message->from, err) < 0 ||
	    mail_check_address(message->to, err) < 0 ||
	    mail_check_text("the sender's name", message->from_name ? message->from_name : "",
			    err) < 0 ||
	    mail_check_text("the recipient's name", message->to_name ? message->to_name : "", err) <
		    0 ||
	    mail_check_text("the subject", message->subject, err) < 0 ||
	    check_message_id(message->message_id, err) < 0)
		return -1;
	if (strlen(message->body) > BODY_MAX)
		return err_set(err, ERR_TOO_LARGE, "a message is longer than %zu bytes", BODY_MAX);
	if (!text_is_utf8(message->body, strlen(message->body)))
		return err_set(err, ERR_INVALID, "a message is not UTF-8");
	return 0;
}

int mail_compose(const struct mail_message *message, struct strbuf *out, struct err *err)
{
	size_t start = out->size;

	if (check(message, err) < 0)
		return -1;
	put_date(out, message->date_s);
	put_mailbox(out, "From", message->from_name, message->from);
	put_mailbox(out, "To", message->to_name, message->to);
	strbuf_puts(out, "Subject: ");
	put_text(out, message->subject);
	strbuf_printf(out, "\r\nMessage-ID: <%s%s>\r\n", message->message_id,
		      strrchr(message->from, '@'));
	/* RFC 3834: no answering machine answers. */
	strbuf_puts(out, "Auto-Submitted: auto-generated\r\n"
			 "MIME-Version: 1.0\r\n"
			 "Content-Type: text/plain; charset=utf-8\r\n"
			 "Content-Transfer-Encoding: quoted-printable\r\n\r\n");
	put_body(out, message->body);
	if (!strbuf_failed(out))
		return 0;
	strbuf_truncate(out, start);
	return err_set(err, ERR_MEMORY, "no room for a message");
}

/* --- the server --- */

struct server {
	char *scheme, *host; /* libcurl's */
	bool tls_from_start, is_loopback;
};

static void server_finish(struct server *server)
{
	curl_free(server->scheme);
	curl_free(server->host);
}

static bool url_has(CURLU *url, CURLUPart part)
{
	char *text = NULL;
	bool has = curl_url_get(url, part, &text, 0) == CURLUE_OK && text[0] != '\0' &&
		   !(part == CURLUPART_PATH && strcmp(text, "/") == 0);

	curl_free(text);
	return has;
}

static bool host_is_loopback(const char *host)
{
	struct address address;
	char bare[ADDRESS_TEXT_SIZE];
	size_t size = strlen(host);

	if (text_ascii_equal_caseless(host, "localhost"))
		return true;
	if (host[0] == '[' && size > 2 && size - 2 < sizeof(bare)) {
		memcpy(bare, host + 1, size - 2);
		bare[size - 2] = '\0';
		host = bare;
	}
	return address_parse(host, &address, NULL) == 0 && address_is_loopback(&address);
}

static int server_parse(CURLU *url, const char *text, struct server *ret_server, struct err *err)
{
	struct server server = { 0 };

	if (curl_url_set(url, CURLUPART_URL, text, CURLU_DISALLOW_USER) != CURLUE_OK)
		/* Not shown: it may hold a password. */
		return err_set(err, ERR_INVALID, "not a URL like smtp://mail.example.com:587");
	if (curl_url_get(url, CURLUPART_SCHEME, &server.scheme, 0) != CURLUE_OK ||
	    curl_url_get(url, CURLUPART_HOST, &server.host, 0) != CURLUE_OK ||
	    (strcmp(server.scheme, "smtp") != 0 && strcmp(server.scheme, "smtps") != 0) ||
	    url_has(url, CURLUPART_PATH) || url_has(url, CURLUPART_QUERY) ||
	    url_has(url, CURLUPART_FRAGMENT) || url_has(url, CURLUPART_OPTIONS)) {
		server_finish(&server);
		return err_set(err, ERR_INVALID,
			       "a mail server is named as smtp://HOST:PORT or smtps://HOST:PORT");
	}
	server.tls_from_start = strcmp(server.scheme, "smtps") == 0;
	server.is_loopback = host_is_loopback(server.host);
	*ret_server = server;
	return 0;
}

static void curl_prepare(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

static int server_read(const char *text, struct server *ret_server, struct err *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	CURLU *url;
	int result;

	pthread_once(&once, curl_prepare);
	for (const char *at = text; *at; at++)
		if ((unsigned char)*at <= 0x20 || (unsigned char)*at >= 0x7f)
			return err_set(err, ERR_INVALID, "the URL holds a character it may not");
	url = curl_url();
	result = url ? server_parse(url, text, ret_server, err)
		     : err_set(err, ERR_MEMORY, "out of memory");
	curl_url_cleanup(url);
	return result;
}

int mail_check_url(const char *url, struct err *err)
{
	struct server server;

	if (server_read(url, &server, err) < 0)
		return -1;
	server_finish(&server);
	return 0;
}

/* --- sending --- */

struct sending {
	const struct mail_delivery *delivery;
	struct server server;
	struct secret password;
	CURL *curl;
	struct curl_slist *recipients;
	bool is_about_message; /* the server was told of the recipient: what it answers is about these two */
	size_t sent;
	char problem[CURL_ERROR_SIZE];
};

static size_t give(char *buffer, size_t unit, size_t count, void *context)
{
	struct sending *sending = context;
	const struct strbuf *message = sending->delivery->message;
	size_t room = unit * count, left = message->size - sending->sent;
	size_t size = left < room ? left : room;

	memcpy(buffer, message->data + sending->sent, size);
	sending->sent += size;
	return size;
}

static int progress(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	const struct mail_delivery *delivery = ((struct sending *)context)->delivery;

	(void)a, (void)b, (void)c, (void)d;
	return delivery->cancelled && delivery->cancelled(delivery->context);
}

/* What is said to the server; a password among it is looked at no further than for not being this. */
static int follow(CURL *curl, curl_infotype type, char *data, size_t size, void *context)
{
	static const char recipient[] = "RCPT TO:";
	struct sending *sending = context;

	(void)curl;
	if (type == CURLINFO_HEADER_OUT && size >= sizeof(recipient) - 1 &&
	    strncasecmp(data, recipient, sizeof(recipient) - 1) == 0)
		sending->is_about_message = true;
	return 0;
}

/* In the clear only where nobody else listens; and there too, if a CA is named, not. */
static long tls_wanted(const struct sending *sending)
{
	bool in_clear = sending->server.is_loopback && !sending->delivery->server->ca_file.text;

	return in_clear && !sending->server.tls_from_start ? CURLUSESSL_NONE : CURLUSESSL_ALL;
}

static void configure(struct sending *sending)
{
	const struct mail_settings *settings = sending->delivery->server;
	long timeout_ms = (long)settings->timeout_s * 1000;
	CURL *curl = sending->curl;

	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, sending->problem);
	curl_easy_setopt(curl, CURLOPT_URL, settings->url.text);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(curl, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_USE_SSL, tls_wanted(sending));
	curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
	if (settings->ca_file.text) {
		curl_easy_setopt(curl, CURLOPT_CAINFO, settings->ca_file.text);
		curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
	}
	if (settings->username.text) {
		curl_easy_setopt(curl, CURLOPT_USERNAME, settings->username.text);
		curl_easy_setopt(curl, CURLOPT_PASSWORD,
				 sending->password.data ? sending->password.data : "");
	}
	curl_easy_setopt(curl, CURLOPT_MAIL_FROM, sending->delivery->from);
	curl_easy_setopt(curl, CURLOPT_MAIL_RCPT, sending->recipients);
	curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(curl, CURLOPT_READFUNCTION, give);
	curl_easy_setopt(curl, CURLOPT_READDATA, sending);
	curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE,
			 (curl_off_t)sending->delivery->message->size);
	curl_easy_setopt(curl, CURLOPT_DEBUGFUNCTION, follow);
	curl_easy_setopt(curl, CURLOPT_DEBUGDATA, sending);
	curl_easy_setopt(curl, CURLOPT_VERBOSE, 1L);
	curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, progress);
	curl_easy_setopt(curl, CURLOPT_XFERINFODATA, sending);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, timeout_ms);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout_ms);
}

/*
 * Codes that mean this recipient or this message (RFC 5321 4.2.3), and not us or the server, of which the greeting and
 * the answer to MAIL FROM speak.
 */
static bool is_permanent(const struct sending *sending, CURLcode code, long answer)
{
	return sending->is_about_message && code != CURLE_LOGIN_DENIED &&
	       code != CURLE_PEER_FAILED_VERIFICATION && answer >= 550 && answer <= 554;
}

static int judge(struct sending *sending, CURLcode code, struct err *err)
{
	const char *problem = sending->problem[0] ? sending->problem : curl_easy_strerror(code);
	long answer = 0;

	if (code == CURLE_OK)
		return 0;
	if (code == CURLE_ABORTED_BY_CALLBACK)
		return err_set(err, ERR_CANCELLED, "mail is not sent now");
	curl_easy_getinfo(sending->curl, CURLINFO_RESPONSE_CODE, &answer);
	if (is_permanent(sending, code, answer))
		return err_refuse(err, ERR_DENIED, "mail-refused",
				  "mail server '%s' refused the message with %ld: %s",
				  sending->server.host, answer, problem);
	if (answer >= 400)
		return err_set(err, ERR_UNAVAILABLE,
			       "mail server '%s' did not take a message, with %ld: %s",
			       sending->server.host, answer, problem);
	return err_set(err, ERR_UNAVAILABLE, "mail server '%s' did not take a message: %s",
		       sending->server.host, problem);
}

static int run(struct sending *sending, struct err *err)
{
	const struct mail_delivery *delivery = sending->delivery;
	const struct mail_settings *settings = delivery->server;
	struct err problem = { 0 };

	if (server_read(settings->url.text, &sending->server, err) < 0 ||
	    mail_check_address(delivery->from, err) < 0 ||
	    mail_check_address(delivery->to, err) < 0)
		return -1;
	/* To be mended, and then the message is as good as before. */
	if (settings->password_file.text &&
	    secret_read_file(settings->password_file.text, &sending->password, &problem) < 0)
		return err_set(err, ERR_UNAVAILABLE, "mail password: %s", problem.text);
	sending->recipients = curl_slist_append(NULL, delivery->to);
	sending->curl = sending->recipients ? curl_easy_init() : NULL;
	if (!sending->curl)
		return err_set(err, ERR_MEMORY, "no memory to send mail");
	configure(sending);
	return judge(sending, curl_easy_perform(sending->curl), err);
}

int mail_send(const struct mail_delivery *delivery, struct err *err)
{
	struct sending sending = { .delivery = delivery };
	int result = run(&sending, err);

	curl_easy_cleanup(sending.curl);
	curl_slist_free_all(sending.recipients);
	secret_finish(&sending.password);
	server_finish(&sending.server);
	return result;
}
