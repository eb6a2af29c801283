/*
 * Letters for the outbox. Enters: a row that is due, the store, the configuration in force. Leaves: the letter, made
 * anew at each attempt, for its link is kept nowhere. What it was about may have ended meanwhile: then there is none.
 */
#include "mailer.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/auth/factor_letter.h>
#include <rolebridge/auth/invite.h>
#include <rolebridge/auth/reset.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/log.h>
#include <rolebridge/base/util.h>
#include <rolebridge/change/alarm_mail.h>
#include <rolebridge/change/invite.h>
#include <rolebridge/change/password.h>

#include "alarm_mail.h"
#include "configuration.h"

struct mailer {
	struct changer *changer;
	struct tickets *tickets;
	struct outbox *outbox;
	struct alarm_pace pace; /* the outbox's thread's */
};

static bool find_server(void *context, const struct mail_settings **ret_server,
			struct setup **ret_setup)
{
	struct mailer *mailer = context;
	struct setup *setup = changer_setup(mailer->changer);
	const struct mail_settings *settings = &configuration_of(setup)->settings.web.mail;

	if (!settings->url.text) {
		setup_release(setup);
		return false;
	}
	*ret_server = settings;
	*ret_setup = setup;
	return true;
}

static int copy_public_url(struct mailer *mailer, struct arena *arena, const char **ret_url,
			   struct err *err)
{
	struct setup *setup = changer_setup(mailer->changer);
	const char *text = configuration_of(setup)->settings.web.public_url.text;
	char *url = text ? arena_strdup(arena, text) : NULL;
	size_t size = url ? strlen(url) : 0;

	setup_release(setup);
	if (!url)
		return err_set(err, ERR_UNAVAILABLE, "no public_url is configured");
	while (size > 0 && url[size - 1] == '/')
		url[--size] = '\0';
	*ret_url = url;
	return 0;
}

/* Somebody of the store, by the name that people know; nobody else is named. */
static const char *inviter_name(struct store *store, const struct invite_row *invite,
				struct arena *arena)
{
	struct user user;

	if (invite->inviter_id == 0 ||
	    store_user_get(store, invite->inviter_id, arena, &user, NULL) < 0)
		return "";
	return user.display_name;
}

static int write_invite(struct mailer *mailer, struct store *store, const struct invite_row *invite,
			struct arena *arena, struct mail_message *message, struct strbuf *subject,
			struct strbuf *body, struct err *err)
{
	struct invite_letter letter = { .inviter = inviter_name(store, invite, arena),
					.name = invite->display_name,
					.invite = invite->uuid,
					.generation = invite->generation,
					.expires_s = invite->expires_s };

	if (copy_public_url(mailer, arena, &letter.public_url, err) < 0)
		return -1;
	message->to = invite->email;
	message->to_name = invite->display_name;
	invite_letter_write(mailer->tickets, &letter, subject, body);
	return 1;
}

/* An error of what ended meanwhile: there is no letter. */
static int ended_meanwhile(const struct err *problem, struct err *err)
{
	if (problem->code == ERR_NOT_FOUND || problem->code == ERR_CONFLICT)
		return 0;
	*err = *problem;
	return -1;
}

static int compose_invite(struct mailer *mailer, struct store *store, const struct outbox_row *row,
			  struct arena *arena, struct mail_message *message, struct strbuf *subject,
			  struct strbuf *body, struct err *err)
{
	struct invite_row invite;
	struct err problem = { 0 };
	struct uuid uuid;

	if (!uuid_parse(row->subject, &uuid))
		return 0;
	if (store_invite_get(store, &uuid, arena, &invite, &problem) < 0 ||
	    change_invite_check(&invite, row->number, clock_now_s(), &problem) < 0)
		return ended_meanwhile(&problem, err);
	return write_invite(mailer, store, &invite, arena, message, subject, body, err);
}

static int compose_reset(struct mailer *mailer, struct store *store, const struct outbox_row *row,
			 struct arena *arena, struct mail_message *message, struct strbuf *subject,
			 struct strbuf *body, struct err *err)
{
	struct reset_letter letter = { .generation = row->number };
	struct reset_row reset;
	struct err problem = { 0 };
	struct user user;

	if (!uuid_parse(row->subject, &letter.reset))
		return 0;
	if (change_password_reset_check(mailer->changer, store, &letter.reset, row->number,
					clock_now_s(), arena, &user, &problem) < 0 ||
	    store_reset_get(store, &letter.reset, arena, &reset, &problem) < 0)
		return ended_meanwhile(&problem, err);
	if (copy_public_url(mailer, arena, &letter.public_url, err) < 0)
		return -1;
	letter.name = user.display_name;
	letter.username = user.username;
	letter.expires_s = reset.expires_s;
	message->to = reset.email;
	message->to_name = user.display_name;
	reset_letter_write(mailer->tickets, &letter, subject, body);
	return 1;
}

/* Somebody should know at once; after so long it is no news, and the audit log has it. */
#define FACTOR_NEWS_S (7 * (int64_t)86400)

static int compose_factor(struct mailer *mailer, struct store *store, const struct outbox_row *row,
			  struct arena *arena, struct mail_message *message, struct strbuf *subject,
			  struct strbuf *body, struct err *err)
{
	struct factor_letter letter = { .at_s = row->created_s };
	struct err problem = { 0 };
	struct user user;
	int method;

	if (clock_now_s() - row->created_s > FACTOR_NEWS_S)
		return 0;
	if (user_resolve(store, row->subject, arena, &user, &problem) < 0)
		return ended_meanwhile(&problem, err);
	if (user.email[0] == '\0')
		return 0;
	if (copy_public_url(mailer, arena, &letter.public_url, err) < 0)
		return -1;
	letter.name = user.display_name;
	letter.username = user.username;
	letter.event = factor_event_of(row->number, &method);
	letter.method = (enum factor_method)method;
	message->to = user.email;
	message->to_name = user.display_name;
	return factor_letter_write(&letter, subject, body);
}

static int compose_alarms(struct mailer *mailer, struct store *store, const struct outbox_row *row,
			  struct arena *arena, struct mail_message *message, struct strbuf *subject,
			  struct strbuf *body, struct err *err)
{
	return alarm_mail_compose(mailer->changer, store, row, arena, message, subject, body, err);
}

/* 1 a letter, 0 there is none any more, -1. */
static const struct {
	const char *kind;
	int (*compose)(struct mailer *mailer, struct store *store, const struct outbox_row *row,
		       struct arena *arena, struct mail_message *message, struct strbuf *subject,
		       struct strbuf *body, struct err *err);
} letters[] = {
	{ OUTBOX_ALARMS, compose_alarms },
	{ "invite", compose_invite },
	{ OUTBOX_RESET, compose_reset },
	{ OUTBOX_FACTOR, compose_factor },
};

static int compose(void *context, struct store *store, const struct outbox_row *row,
		   struct arena *arena, struct mail_message *message, struct strbuf *subject,
		   struct strbuf *body, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(letters); i++)
		if (strcmp(row->kind, letters[i].kind) == 0)
			return letters[i].compose(context, store, row, arena, message, subject,
						  body, err);
	return 0;
}

/* Alarms that cannot be told of keep no other letter. */
static int collect(void *context, struct store *store, struct err *err)
{
	struct mailer *mailer = context;

	if (alarm_mail_collect(&mailer->pace, mailer->changer, store, err) < 0) {
		log_error("mail.alarms.failed", F_ERR(err));
		err_clear(err);
	}
	return 0;
}

struct mailer *mailer_start(struct changer *changer, struct tickets *tickets, struct err *err)
{
	struct mailer *mailer = calloc(1, sizeof(*mailer));
	struct outbox_ports ports = {
		.context = mailer, .server = find_server, .compose = compose, .collect = collect
	};

	if (mailer) {
		mailer->changer = changer;
		mailer->tickets = tickets;
		mailer->outbox = outbox_create(changer, &ports);
	}
	if (!mailer || !mailer->outbox)
		err_set(err, ERR_MEMORY, "out of memory");
	else if (outbox_start(mailer->outbox, err) == 0)
		return mailer;
	mailer_destroy(mailer);
	return NULL;
}

void mailer_stop(struct mailer *mailer)
{
	if (mailer)
		outbox_stop(mailer->outbox);
}

void mailer_destroy(struct mailer *mailer)
{
	if (!mailer)
		return;
	outbox_destroy(mailer->outbox);
	free(mailer);
}

void mailer_metrics(struct mailer *mailer, struct strbuf *out)
{
	outbox_metrics(mailer->outbox, out);
}
