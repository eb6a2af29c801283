/*
 * Delivers what changes have noted in the store's outbox, at least once, in a thread of its own and outside of any
 * transaction: asks for what is due, has the message made, hands it over, notes the outcome.
 *
 *	outbox_create → outbox_start → … → outbox_stop → outbox_destroy
 */
#ifndef ROLEBRIDGE_TARGET_OUTBOX_H
#define ROLEBRIDGE_TARGET_OUTBOX_H

#include <rolebridge/change/changer.h>
#include <rolebridge/client/mail.h>
#include <rolebridge/store/invite.h>

/* Filled by main; called in the outbox's thread. */
struct outbox_ports {
	void *context;
	/*
	 * The server to be used now, and the setup that holds its settings: release it. false: none is configured.
	 */
	bool (*server)(void *context, const struct mail_settings **ret_server,
		       struct setup **ret_setup);
	/*
	 * The message of a row: 1; 0: it shall not be sent any more; -1. from, message_id and date are set
	 * before. Texts live in the arena or the buffers.
	 */
	int (*compose)(void *context, struct store *store, const struct outbox_row *row,
		       struct arena *arena, struct mail_message *message, struct strbuf *subject,
		       struct strbuf *body, struct err *err);
	/* What is to be noted in the outbox first: called once a second or so, with a handle to read. May be NULL. */
	int (*collect)(void *context, struct store *store, struct err *err);
};

struct outbox;

/* Borrows changer. NULL: out of memory. */
struct outbox *outbox_create(struct changer *changer, const struct outbox_ports *ports);
int outbox_start(struct outbox *outbox, struct err *err);
/* Gives up what is under way: it is tried again. NULL is fine, also for the next. */
void outbox_stop(struct outbox *outbox);
void outbox_destroy(struct outbox *outbox);
/* Lines of /metrics. */
void outbox_metrics(struct outbox *outbox, struct strbuf *out);

#endif
