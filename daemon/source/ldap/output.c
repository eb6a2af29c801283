/*
 * The worker's way out (see output.h). A failed send is remembered: the core
 * has gone or has given up on this worker, and the read ends at the next look.
 */
#include "output.h"

#include <stdarg.h>
#include <string.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

#define HELD_MAX (4u * 1024 * 1024)
/* Entries between two looks: a look costs as much as an attribute. */
#define LOOK_AT_CLOCK_EVERY 16
#define ESCAPED_MAX (4 * PROTOCOL_TEXT_MAX)

struct output output_init(int socket)
{
	return (struct output){
		.socket = socket,
		.frames = STRBUF(OUTPUT_GATHER + PROTOCOL_FRAME_MAX + HELD_MAX),
		.held = STRBUF(HELD_MAX),
		.last_sent_us = clock_monotonic_us(),
	};
}

void output_finish(struct output *out)
{
	strbuf_finish(&out->frames);
	strbuf_finish(&out->held);
}

void output_flush(struct output *out)
{
	out->last_sent_us = clock_monotonic_us();
	if (out->frames.size == 0 && !strbuf_failed(&out->frames))
		return;
	if (message_send(out->socket, &out->frames, -1, NULL) < 0)
		out->failed = true;
	strbuf_clear(&out->frames);
}

void output_phase(struct output *out, enum protocol_phase phase)
{
	phase_encode(phase, &out->frames);
	output_flush(out);
}

void output_pulse(struct output *out)
{
	bool look = ++out->pulses % LOOK_AT_CLOCK_EVERY == 0;

	if (out->frames.size < OUTPUT_GATHER &&
	    (!look || clock_monotonic_us() - out->last_sent_us < OUTPUT_PULSE_US))
		return;
	progress_encode(out->entries, &out->frames);
	output_flush(out);
}

void output_release(struct output *out)
{
	out->holding = false;
	strbuf_append(&out->frames, out->held.data, out->held.size);
	strbuf_finish(&out->held);
}

void output_quarantine(struct output *out, const void *name, size_t size, const char *key,
		       const char *dn, const char *reason, const char *detail)
{
	AUTO(strbuf) struct strbuf locator = STRBUF(ESCAPED_MAX + 8);
	struct quarantined entry = { .key = key ? key : "",
				     .reason = reason,
				     .detail = detail,
				     .dn = dn ? dn : "",
				     .is_group = !dn };

	output_begin_batch(out);
	display_escape(&locator, name, size < PROTOCOL_TEXT_MAX ? size : PROTOCOL_TEXT_MAX);
	entry.locator = strbuf_text(&locator);
	if (out->holding && out->held.size > HELD_MAX / 2)
		output_release(out);
	quarantine_encode(&entry, out->holding ? &out->held : &out->frames);
	out->quarantined++;
}

void output_begin_batch(struct output *out)
{
	if (!out->following || out->batch_open)
		return;
	empty_encode(PROTOCOL_BEGIN, &out->frames);
	out->batch_open = true;
	out->changes_before = out->changes;
	out->batch_us = clock_monotonic_us();
}

void output_commit(struct output *out)
{
	if (!out->batch_open)
		return;
	commit_encode(out->changes - out->changes_before, &out->frames);
	out->batch_open = false;
	output_flush(out);
}

void output_make_room(struct output *out, size_t size)
{
	output_begin_batch(out);
	if (out->frames.size > OUTPUT_GATHER || size > out->frames.max - out->frames.size)
		output_flush(out);
}

void outcome_note(struct outcome *outcome, const char *reason, const char *format, ...)
{
	char text[sizeof(outcome->detail)];
	AUTO(strbuf) struct strbuf shown = STRBUF(4 * sizeof(text) + 8);
	va_list args;

	if (outcome->incomplete)
		return;
	outcome->incomplete = true;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	display_escape(&shown, text, strlen(text));
	snprintf(outcome->reason, sizeof(outcome->reason), "%s", reason);
	snprintf(outcome->detail, sizeof(outcome->detail), "%s", strbuf_text(&shown));
	/* Cut between characters. */
	size_t size = strlen(outcome->detail);
	while (!text_is_utf8(outcome->detail, size))
		outcome->detail[--size] = '\0';
}

void display_escape(struct strbuf *out, const void *data, size_t size)
{
	const unsigned char *bytes = data;
	bool utf8 = text_is_utf8(data, size);

	for (size_t i = 0; i < size; i++) {
		bool control = bytes[i] < 0x20 || bytes[i] == 0x7f;
		/* U+0080 to U+009F steer terminals too. */
		bool control_c1 = utf8 && bytes[i] == 0xc2 && bytes[i + 1] < 0xa0;
		if (control_c1) {
			strbuf_printf(out, "\\xc2\\x%02x", bytes[++i]);
		} else if (control || (bytes[i] >= 0x80 && !utf8)) {
			strbuf_printf(out, "\\x%02x", bytes[i]);
		} else {
			strbuf_append(out, &bytes[i], 1);
		}
	}
}
