/*
 * Alarms that others than plans raise: metadata that cannot be had, workers that die. Enters: what
 * is wrong, or that it is right again. Leaves: the alarm's row. Fails: store.
 */
#include "internal.h"

#include <rolebridge/base/clock.h>

struct alarm_job {
	const char *kind, *subject, *text;
	const char *cause;
};

static int alarm_job(struct changer *changer, struct job *job, struct err *err)
{
	const struct alarm_job *alarm = job->context;
	int64_t now_s = change_now_s();
	int result = alarm->text ? store_alarm_raise(changer->store, alarm->kind, alarm->subject,
						     alarm->text, now_s, err)
				 : store_alarm_clear(changer->store, alarm->kind, alarm->subject,
						     alarm->cause, now_s, err);

	return result < 0 ? -1 : 0;
}

int change_alarm_raise(struct changer *changer, const char *kind, const char *subject,
		       const char *text, struct err *err)
{
	struct alarm_job alarm = { .kind = kind, .subject = subject, .text = text };

	return writer_request(changer, alarm_job, &alarm, err);
}

int change_alarm_end(struct changer *changer, const char *kind, const char *subject,
		     const char *cause, struct err *err)
{
	struct alarm_job alarm = { .kind = kind, .subject = subject, .cause = cause };

	return writer_request(changer, alarm_job, &alarm, err);
}
