/*
 * Alarms by mail. Enters: new alarms, the configuration in force. Leaves: rows of the outbox; letters. Fails as the store does.
 *
 * The first alarm is told at once, what comes in the minute after it together, and after twelve letters in an
 * hour the rest waits, together, for the hour to end. Where no mail is configured, or nobody wants it, alarms are
 * taken for told, so that nobody gets old ones when it is.
 */
#include "alarm_mail.h"

#include <string.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

#include "configuration.h"

/* --- who --- */

static int read_recipients(const struct setup *setup, struct arena *arena,
			   struct alarm_recipients *ret_recipients, struct err *err)
{
	const struct configuration *config = setup->owner;
	const struct mail_settings *mail = &config->settings.web.mail;
	const char **addresses =
		arena_alloc_array(arena, mail->alarms.count + 1, sizeof(*addresses));
	struct alarm_recipients recipients = { .addresses = addresses };

	if (!addresses)
		return err_set(err, ERR_MEMORY, "out of memory");
	for (size_t i = 0; mail->url.text && i < mail->alarms.count; i++) {
		const char *text = mail->alarms.items[i].text;

		if (strcmp(text, MAIL_ALARMS_ADMINISTRATORS) == 0)
			recipients.administrators = true;
		else if (strcmp(text, MAIL_ALARMS_NONE) != 0)
			addresses[recipients.address_count++] = text;
	}
	*ret_recipients = recipients;
	return 0;
}

int alarm_mail_collect(struct alarm_pace *pace, struct changer *changer, struct store *store,
		       struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create((size_t)64 * 1024);
	struct alarm_recipients recipients;
	int64_t now_us = clock_monotonic_us();
	struct setup *setup;
	size_t letters = 0;
	int result;

	if (!arena)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (!alarm_pace_allows(pace, now_us))
		return 0;
	result = change_alarms_new(store, err);
	if (result <= 0)
		return result;
	setup = changer_setup(changer);
	result = read_recipients(setup, arena, &recipients, err);
	if (result == 0)
		result = change_alarms_note(changer, &recipients, &letters, err);
	setup_release(setup);
	if (letters > 0)
		alarm_pace_note(pace, now_us);
	return result;
}

/* --- what --- */

/* Texts hold names that directories chose, and what servers said: a letter must not fail for that. */
static void put_line(struct strbuf *out, const char *text)
{
	size_t left = strlen(text);

	while (left > 0) {
		size_t size = text_next_char(text, left, NULL);
		bool plain = size > 0 && (unsigned char)*text >= 0x20 && *text != 0x7f;

		if (plain)
			strbuf_append(out, text, size);
		else
			strbuf_putc(out, size > 0 ? ' ' : '?');
		size += size == 0;
		text += size;
		left -= size;
	}
}

static void put_alarm(struct strbuf *body, const struct alarm_row *alarm)
{
	char since[CLOCK_TEXT_SIZE];

	clock_format(alarm->since_s, since);
	strbuf_printf(body, "%s ", since);
	put_line(body, alarm->kind);
	strbuf_putc(body, ' ');
	put_line(body, alarm->subject);
	strbuf_puts(body, alarm->cleared_s ? " (over)\n    " : "\n    ");
	put_line(body, alarm->text);
	strbuf_puts(body, "\n\n");
}

static void write_letter(const struct alarm_letter *letter, const char *url, struct strbuf *subject,
			 struct strbuf *body)
{
	const char *host = url ? strstr(url, "://") : NULL;
	const char *where = host ? host + 3 : url ? url : "rolebridge";

	if (letter->count == 1)
		strbuf_printf(subject, "Alarm of %s: %s", where, letter->alarms[0].kind);
	else
		strbuf_printf(subject, "%zu alarms of %s", letter->count + letter->more, where);
	for (size_t i = 0; i < letter->count; i++)
		put_alarm(body, &letter->alarms[i]);
	if (letter->more)
		strbuf_printf(body, "and %zu more.\n\n", letter->more);
	strbuf_puts(body, "All that are open are shown by: rolebridgectl alarms list\n");
}

int alarm_mail_compose(struct changer *changer, struct store *store, const struct outbox_row *row,
		       struct arena *arena, struct mail_message *message, struct strbuf *subject,
		       struct strbuf *body, struct err *err)
{
	struct alarm_letter letter;
	struct setup *setup;
	int wanted = change_alarms_letter(changer, store, row, arena, &letter, err);

	if (wanted <= 0)
		return wanted;
	setup = changer_setup(changer);
	write_letter(&letter, configuration_of(setup)->settings.web.public_url.text, subject, body);
	setup_release(setup);
	message->to = letter.address;
	message->to_name = mail_check_text("name", letter.name, NULL) < 0 ? "" : letter.name;
	return 1;
}
