/* Letters about alarms: when they are noted, by the configuration in force, and what they say. */
#ifndef ROLEBRIDGE_MAIN_ALARM_MAIL_H
#define ROLEBRIDGE_MAIN_ALARM_MAIL_H

#include <rolebridge/change/alarm_mail.h>
#include <rolebridge/client/mail.h>

int alarm_mail_collect(struct alarm_pace *pace, struct changer *changer, struct store *store,
		       struct err *err);
/* As outbox_ports.compose. */
int alarm_mail_compose(struct changer *changer, struct store *store, const struct outbox_row *row,
		       struct arena *arena, struct mail_message *message, struct strbuf *subject,
		       struct strbuf *body, struct err *err);

#endif
