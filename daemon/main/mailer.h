/* What the outbox asks of main: the mail server in force, and letters. */
#ifndef MAIN_MAILER_H
#define MAIN_MAILER_H

#include <rolebridge/auth/ticket.h>
#include <rolebridge/target/outbox.h>

struct mailer;

/* Starts the thread. Borrows both. NULL on failure. */
struct mailer *mailer_start(struct changer *changer, struct tickets *tickets, struct err *err);
/* NULL is fine. */
void mailer_stop(struct mailer *mailer);
void mailer_destroy(struct mailer *mailer);
void mailer_metrics(struct mailer *mailer, struct strbuf *out);

#endif
