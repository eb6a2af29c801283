/*
 * What the follower's intake is told of the directory's state. Enter: what the parts of the follower find out: a server, a sign
 * of life, a problem. Leaves: follow_state, at the intake. Fails: nothing; a text that is too long is cut.
 */
#include "follower_state.h"

#include <stdio.h>
#include <string.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>

static void tell_state(struct follower *f)
{
	if (f->out->state)
		f->out->state(f->out->context, &f->state);
}

void follower_note_problem(struct follower *f, const char *format, ...)
{
	char text[sizeof(f->problem)];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	f->problem[0] = '\0';
	append_text(f->problem, sizeof(f->problem), "%s", text);
	f->state.connected = f->beside && f->link == LINK_UP;
	tell_state(f);
}

static const char *mode_name(uint8_t mode)
{
	static const char *const names[] = {
		[FOLLOW_SYNC] = "sync", [FOLLOW_USN] = "usn", [FOLLOW_TIMESTAMP] = "timestamp"
	};

	return mode >= FOLLOW_SYNC && mode < ARRAY_LEN(names) ? names[mode] : "";
}

void follower_note_server(struct follower *f)
{
	snprintf(f->server, sizeof(f->server), "%s", f->client->server.url);
	f->state.mode = mode_name(f->client->attempt.mode);
}

void follower_note_connected(struct follower *f)
{
	follower_note_server(f);
	f->link = LINK_UP;
	f->state.connected = true;
	f->state.contact_s = clock_now_s();
	f->problem[0] = '\0';
	f->lost_in_a_row = 0;
	f->up_us = clock_monotonic_us();
	tell_state(f);
}

void follower_note_contact(struct follower *f)
{
	int64_t now_s = clock_now_s();

	if (f->state.contact_s == now_s)
		return;
	f->state.contact_s = now_s;
	tell_state(f);
}

void follower_read_anew(struct follower *f, bool polite, const char *reason, const char *detail)
{
	f->anew = true;
	f->polite = polite;
	follower_note_problem(f, "%s%s%s", reason, detail[0] ? ": " : "", detail);
}

int follower_cancelled(struct follower *f, struct err *err)
{
	if (!f->out->cancelled || !f->out->cancelled(f->out->context))
		return 0;
	return err_set(err, ERR_CANCELLED, "following '%s' ended",
		       f->source->common.name.text ? f->source->common.name.text : "");
}

void follower_fetch_again(struct follower *f)
{
	if (f->fetch == FETCH_SENT)
		f->fetch = FETCH_WAITS;
	f->telling.sought = NULL;
	f->telling.found = false;
	f->wanted_sent = false;
}
