/*
 * Alarms by mail: what was raised since the last time is noted in the outbox, one row for each recipient.
 *
 * All of them go to the administrators of the organization "default", whose the daemon is, and to the addresses; that an
 * administrator was lost, to those of their organization, too. That mail fails is told nobody by mail.
 */
#ifndef ROLEBRIDGE_CHANGE_ALARM_MAIL_H
#define ROLEBRIDGE_CHANGE_ALARM_MAIL_H

#include <rolebridge/change/changer.h>
#include <rolebridge/store/invite.h>

struct alarm_recipients {
	bool administrators;
	const char *const *addresses;
	size_t address_count;
};

/* Has anything been raised since alarms were noted last: 1, 0, -1. Costs next to nothing. */
int change_alarms_new(struct store *store, struct err *err);
/* All of it is noted, or, without recipients, taken for told. *ret_letters: rows of the outbox. */
int change_alarms_note(struct changer *changer, const struct alarm_recipients *recipients,
		       size_t *ret_letters, struct err *err);

/* --- how often --- */
#define ALARM_LETTERS_AN_HOUR 12
/* When the last letters were noted, monotonic. Zeroed at first. */
struct alarm_pace {
	int64_t noted_us[ALARM_LETTERS_AN_HOUR];
	size_t next;
};
/* A minute after the last ones, and not the thirteenth time in an hour. */
bool alarm_pace_allows(const struct alarm_pace *pace, int64_t now_us);
void alarm_pace_note(struct alarm_pace *pace, int64_t now_us);

/* --- rows of the outbox of kind "alarms" --- */
#define OUTBOX_ALARMS "alarms"
#define ALARMS_TOLD_MAX 50

struct alarm_letter {
	const char *address;
	const char *name;		/* "" */
	const struct alarm_row *alarms; /* at most ALARMS_TOLD_MAX */
	size_t count, more;
};
/* What the row is about, as it is now: 1; 0: nobody is to be told (any more); -1. */
int change_alarms_letter(struct changer *changer, struct store *store, const struct outbox_row *row,
			 struct arena *arena, struct alarm_letter *ret_letter, struct err *err);

#endif
