/* What the files of change/ share about deliveries to targets. */
#ifndef CHANGE_TARGETS_H
#define CHANGE_TARGETS_H

#include <rolebridge/change/targets.h>

/* Detail of a row (include/rolebridge/change/targets.h). change NULL: nothing happened, this is what holds. */
int targets_write_detail(struct store *store, const struct user *user,
			 const struct person_change *change, const char *cause, struct arena *arena,
			 struct strbuf *out, struct err *err);
/* In the writer, inside a transaction. next_s 0: at once. The target's thread is woken after the commit. */
int targets_queue(struct changer *changer, const struct target_setup *target, int64_t user_id,
		  enum delivery_event event, const char *detail, int64_t now_s, int64_t next_s,
		  struct err *err);

#endif
