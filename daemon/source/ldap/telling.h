/*
 * What a worker tells that follows, as runs at the intake: a full read, then batches of changes.
 *
 * A batch is held back until its COMMIT, so that several that wait together make one run and a
 * lost connection takes away none but the one that it cut. One too large for that gets a run of
 * its own, which is aborted when it is cut.
 */
#ifndef SOURCE_LDAP_TELLING_H
#define SOURCE_LDAP_TELLING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rolebridge/base/message.h>
#include <rolebridge/source/source.h>

struct batch {
	bool open;	    /* BEGIN came, COMMIT did not */
	bool streamed;	    /* goes straight into its run */
	uint64_t changes;   /* counted as COMMIT will */
	int64_t begin_us;   /* when BEGIN came */
	struct strbuf held; /* its messages: u32 size, u16 type, body */
};

struct telling {
	const struct follow_intake *out;
	struct follow_state *state; /* counted there what is committed */
	struct arena *scratch;	    /* of one message */
	uint32_t *wanted;	    /* ids, ascending */
	size_t wanted_count;
	bool run_open; /* at the intake */
	uint64_t run_changes;
	int64_t run_begin_us;
	int64_t postponed_us; /* when the intake last was not ready for its end; 0: never */
	struct batch batch;
	const char *sought; /* who was asked for; NULL: nobody. Borrowed */
	bool found;	    /* and was told, or nobody was, in the batch that was committed last */
};

/* Borrows all. telling_finish also after a failure. */
int telling_init(struct telling *telling, const struct follow_intake *out,
		 struct follow_state *state, struct arena *scratch,
		 const struct wanted_group *groups, size_t count, struct err *err);
void telling_finish(struct telling *telling);

/* --- runs: one at a time --- */
/* When none is open. */
int telling_open(struct telling *telling, bool full, struct err *err);
/* The run of changes, if there is one, is committed. */
int telling_end(struct telling *telling, struct err *err);
/* The same, but when the intake is not ready for it the run stays open and goes on. */
int telling_try_end(struct telling *telling, struct err *err);
/* The full one, which is opened when nothing came that did. */
int telling_end_full(struct telling *telling, const struct read_result *result, struct err *err);
/* If there is one, nothing of it counts. */
void telling_abort(struct telling *telling);
/* Has it waited for further batches long enough? */
bool telling_is_due(const struct telling *telling);

/* --- messages --- */
int telling_begin(struct telling *telling, const struct message *message, struct err *err);
/* IDENTITY, GROUPS, GONE, QUARANTINE, GROUP. */
int telling_change(struct telling *telling, const struct message *message, struct err *err);
/* An empty batch makes a run only when somebody was sought: there is nobody of that key. */
int telling_commit(struct telling *telling, struct message *message, struct err *err);
/* The open batch is cut: nothing of it counts. */
void telling_drop(struct telling *telling);
int telling_out_of_place(uint16_t type, struct err *err);

#endif
