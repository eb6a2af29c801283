/*
 * Following a directory, the common part: what is known of people and groups,
 * batches, the core's commands, an idle connection that is tried, lost and
 * resumed. How changes are found is a feed's matter: sync.c (RFC 4533), poll.c
 * (uSNChanged, modifyTimestamp).
 *
 *	worker.c: session secured and bound
 *	follow_choose()		reads the root entry, picks the mode and its feed
 *	ops->start()		the mark before the full read
 *	ops->read(), or the paged read where it is NULL
 *	GROUPs, MODE, END	by worker.c
 *	follow_run()		from then on: take, tick, resume
 *
 * A feed hands over entries in the directory's order; follow.c says what came of them. A batch is
 * opened by the first thing that has to be told, and closed by follow_commit, after which
 * the feed's cursor counts (ops->committed).
 */
#ifndef SOURCE_LDAP_FOLLOW_H
#define SOURCE_LDAP_FOLLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ldap.h>

#include <rolebridge/base/hash.h>
#include <rolebridge/base/message.h>

#include "canary.h"
#include "groupings.h"
#include "people.h"
#include "root.h"
#include "session.h"
#include "told.h"

struct index;
struct follow;

/*
 * Every function: 0, or -1 when following cannot go on like this: follow_lost or follow_restart was
 * called, the session is broken (then its outcome says why and follow.c makes LOST of it), or the
 * core is gone. Searches of a feed may wait for their answers (session_await).
 */
struct feed_ops {
	enum follow_mode mode;
	/*
	 * The attribute that identifies an entry through renames, where messages do not: asked for with
	 * every entry, its value's fingerprint is the id. NULL: entries come with their ids.
	 */
	const char *(*identity_attribute)(const struct root *root);
	/* It looks by modifyTimestamp, back beyond its cursor: follow->told is kept for it. */
	bool by_time;
	/* Before the full read: the cursor from which changes are asked for later. */
	int (*start)(struct follow *follow);
	/*
	 * The full read: groups into the reader, then people, in the phases of output_phase. NULL: the paged
	 * searches. How it went is in the outcome. 1: this server cannot do it, and nothing was told.
	 */
	int (*read)(struct follow *follow);
	/* After a full read that is complete. */
	int (*begin)(struct follow *follow);
	/* A message of this connection that nobody waits for; consumed. NULL: there are none. */
	int (*take)(struct follow *follow, LDAPMessage *message);
	/* Nothing is waiting on the connection for now: a batch may end. NULL: not of interest. */
	int (*idle)(struct follow *follow);
	/* When tick wants to be called next, clock_monotonic_us; INT64_MAX: not by time. NULL: never. */
	int64_t (*due_us)(const struct follow *follow);
	int (*tick)(struct follow *follow);
	/* follow->session is a new connection, bound; follow->root is of its server. */
	int (*resume)(struct follow *follow);
	/* All that was told since the last commit counts now: the cursor may advance. */
	void (*committed)(struct follow *follow);
	void (*destroy)(void *feed);
};

extern const struct feed_ops sync_feed;
extern const struct feed_ops usn_feed;
extern const struct feed_ops timestamp_feed;

enum follow_condition {
	FOLLOW_GOES_ON,
	FOLLOW_IS_LOST, /* until the core sends another connection */
	FOLLOW_IS_OVER,
};

/* Who is to be read by themselves (fetch.c): keys, as put_bytes does. */
struct fetch {
	struct strbuf waiting;
	struct strbuf read; /* the last time: older news of them may be on the way */
	bool asked;	    /* the core waits for a batch */
	bool works;	    /* somebody was found by key: the server can search for it */
};

struct follow {
	struct job *job; /* its server is that of the present connection */
	struct session *session;
	struct output *out;
	struct root root;	    /* of the server that is connected */
	const struct feed_ops *ops; /* NULL: not followed, only read */
	void *feed;		    /* the feed's own; made in start, given to destroy */
	struct canaries canaries;
	struct people *people;
	struct groupings groupings;  /* closure NULL: no group is wanted */
	struct group_reader *reader; /* NULL likewise */
	struct index *index;	     /* NULL: not followed */
	struct told *told;	     /* NULL: not looked for by time */
	bool closure_changed;	     /* closure_update is due */
	enum follow_condition condition;
	/* Beyond this it is follow.c's own. */
	struct message_stream *commands;
	struct arena *command_texts; /* of the last RESUME */
	struct fetch fetch;
	int ping_id;
	int64_t ping_end_us, pulse_us;
};

/* --- for worker.c --- */

/* Which feed it will be, if the job says to follow. -1: outcome says why. */
int follow_choose(struct follow *follow);
/* The full read. How it went is in the outcome. */
void follow_read(struct follow *follow);
/* After a complete read. Returns when nothing is left to do: the core is gone, or RESTART was told. */
void follow_run(struct follow *follow, struct message_stream *commands);
/* So many people, with what groups can be read until then. -1: outcome says why. Never followed. */
int follow_sample(struct follow *follow, size_t people, size_t groups, int64_t until_us);
/* Which feed it would be where the configuration leaves it to us. */
enum follow_mode follow_mode_of(const struct root *root);
void follow_finish(struct follow *follow);

/* --- for feeds --- */

/*
 * An entry that was added or changed, or that may have been; the message is consumed. id NULL: by the
 * identity attribute.
 */
int follow_person(struct follow *follow, const struct hash128 *id, LDAPMessage *entry);
int follow_group(struct follow *follow, const struct hash128 *id, LDAPMessage *entry);
/* Deleted, or not found by the search any more. Unknown ids do no harm. */
int follow_person_gone(struct follow *follow, struct hash128 id);
int follow_group_gone(struct follow *follow, struct hash128 id);
/* End of what belongs together. Without anything to tell only the cursor advances. */
int follow_commit(struct follow *follow);
/* Time to end a batch though more is waiting? */
bool follow_batch_is_full(const struct follow *follow);
/* Read this person again (memberOf changed …): asked for when nothing else is waiting (fetch.c). */
int follow_fetch(struct follow *follow, const char *key, size_t size);
/* Marks for those who were seen: the rest is gone. For feeds that hear of everybody. */
void follow_unmark(struct follow *follow);
void follow_mark_person(struct follow *follow, struct hash128 id);
void follow_mark_group(struct follow *follow, struct hash128 id);
int follow_drop_unmarked_groups(struct follow *follow);
int follow_drop_unmarked_people(struct follow *follow);
/* Only a new full read helps. -1. reason: a stable word. */
int follow_restart(struct follow *follow, const char *reason, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Two entries have, or had, a say about one key. -1. */
int follow_key_conflict(struct follow *follow);
/* The connection is of no use any more. -1. */
int follow_lost(struct follow *follow, const char *reason, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* The directory answered: the core is told, now and then. */
void follow_pulse(struct follow *follow);

#endif
