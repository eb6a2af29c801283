/*
 * What a source does with what it reads: hand it over, one by one. The
 * receiver (wired by main) evaluates while the source reads. Calls come from
 * one thread. A callback that returns -1 ends the read.
 */
#ifndef ROLEBRIDGE_SOURCE_SOURCE_H
#define ROLEBRIDGE_SOURCE_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rolebridge/base/arena.h>
#include <rolebridge/base/err.h>
#include <rolebridge/identity/schema.h>
#include <rolebridge/identity/settings.h>
#include <rolebridge/model/identity.h>

struct intake {
	void *context;
	/* One identity as its canonical record (identity/record.h); borrowed for the call. */
	int (*identity)(void *context, const void *record, size_t size, struct err *err);
	int (*quarantine)(void *context, const struct quarantined *entry, struct err *err);
	/* For each group asked for: was it found, and how many effective members were counted. */
	int (*group)(void *context, uint32_t group_id, bool found, uint64_t members,
		     struct err *err);
	/* Now and then, for progress bars: entries read; total 0 when unknown. May be NULL. */
	void (*progress)(void *context, uint64_t read, uint64_t total);
	/* Asked now and then: true ends the read (shutdown). May be NULL. */
	bool (*cancelled)(void *context);
};

/* A group to look for. name: normal DN, uuid, or folded name, by source type. */
struct wanted_group {
	uint32_t id;
	const char *name;
};

/* An attribute to deliver: as rules call it, and as this source calls it. */
struct wanted_attribute {
	const char *name;
	const char *from;
};

/*
 * The attributes a source has to deliver, ascending by name (strcmp, the record's order), each
 * name once; two may share a `from`. needed: for each schema id, whether a rule (or another source's link)
 * asks for it; NULL: all. The user's fields and the source's own link attribute are always in.
 * A source delivers a built-in attribute under its own name and what it declares itself;
 * what only another source declares is not read from this one. The list comes from the arena.
 */
int source_wanted_attributes(const struct source_settings *source, const struct schema *schema,
			     const bool *needed, struct arena *arena,
			     struct wanted_attribute **ret_wanted, size_t *ret_count,
			     struct err *err);

/*
 * How a read ended. Only complete reads may take something away. The read
 * function itself returns -1 only when our own side failed (callback, memory).
 */
struct read_result {
	bool complete;
	char reason
		[64]; /* stable word when not complete: "size-limit", "connection-lost" … ; "" otherwise */
	char detail[512]; /* for people */
	char server[256]; /* which server or file answered; "" */
	uint64_t entries, groups, quarantined;
};

/* What is known of a source that is followed; texts are valid for the call. */
struct follow_state {
	const char *mode;     /* "sync", "usn", "timestamp"; "" before the first answer */
	const char *vendor;   /* "openldap", "389ds", "active-directory", "other"; "" */
	const char *server;   /* in use, or last tried */
	const char *identity; /* of that server: a cursor is good for one only */
	bool connected;
	const char *problem; /* why not connected; "" */
	int64_t full_s;	     /* end of the last complete full read; 0: none yet */
	int64_t change_s;    /* last batch of changes that was committed; 0: none yet */
	int64_t contact_s;   /* last sign of life of the server */
	uint64_t reconnects, restarts, batches, changes;
	int64_t lag_us; /* of the last batch: from its first message in the core to the commit */
};

/*
 * What is done with what a followed source tells. Calls come from one thread: begin, then any
 * of the others, then end or abort; state at any time. A callback that returns -1 (but with
 * ERR_CANCELLED) makes the follower try anew with a full read, later and later.
 */
struct follow_intake {
	void *context;
	/* full: everything comes, and who does not come is missing. Otherwise only changes. */
	int (*begin)(void *context, bool full, struct err *err);
	int (*identity)(void *context, const void *record, size_t size, struct err *err);
	int (*quarantine)(void *context, const struct quarantined *entry, struct err *err);
	int (*group)(void *context, uint32_t group_id, bool found, uint64_t members,
		     struct err *err);
	/* Other groups of somebody whose entry did not change. Only changes. */
	int (*groups)(void *context, const char *key, size_t key_size, const uint32_t *ids,
		      size_t count, bool complete, struct err *err);
	/* Deleted, or no longer found by the search. Only changes. */
	int (*gone)(void *context, const char *key, size_t key_size, struct err *err);
	/* 0 when committed. result: how a full read ended; NULL for changes. */
	int (*end)(void *context, const struct read_result *result, struct err *err);
	/*
	 * Would end be done at once with these changes? 1; 0: it would wait, ask again soon, more may come
	 * meanwhile; -1 as end. May be NULL: it would.
	 */
	int (*ready)(void *context, struct err *err);
	/* Who was to be told again is among this run of changes, or does not exist. May be NULL. */
	void (*fetched)(void *context);
	void (*abort)(void *context); /* nothing since begin counts */
	void (*progress)(void *context, uint64_t read, uint64_t total);
	void (*state)(void *context, const struct follow_state *state);
	bool (*cancelled)(void *context);
	/*
	 * Asked between batches, and often while waiting: is a full read wanted now, or somebody to be told
	 * again? *ret_key borrowed until the next call. May be NULL. After FULL a full read is begun and
	 * told, however it ends. FETCH is done when there is a connection; the latest is, when there are several.
	 */
	enum follow_wish {
		FOLLOW_ON,
		FOLLOW_FULL,
		FOLLOW_FETCH
	} (*wish)(void *context, const char **ret_key);
	/*
	 * Asked between batches while there is a connection, until it says NULL: who else is to be told as a
	 * whole? Borrowed until the next call. Told as changes; of whom a lost connection leaves open is asked
	 * again when the intake says so again. May be NULL.
	 */
	const char *(*wanted)(void *context);
	/* Readable when wish or cancelled have something new to say, until wish was asked; -1: none. */
	int wake_fd;
};

/*
 * What a test of a source finds out, step by step; texts are valid for the call. Nothing is believed before it
 * was tried: a step that was not reached is not told.
 */
struct source_test_form {
	const char *name; /* as interfaces call it: "expires" */
	enum { SOURCE_FACT_TEXT, SOURCE_FACT_NUMBER, SOURCE_FACT_BOOL, SOURCE_FACT_TIME } form;
};
struct source_test_fact {
	struct source_test_form is;
	const char *text;
	int64_t number; /* of the others; times in seconds since the epoch */
};
struct source_test_step {
	const char *step;   /* "resolve", "connect", "tls", "bind" … */
	const char *server; /* "": of all */
	bool ok;
	const char *reason; /* stable word, "" when ok */
	const char *detail; /* for people */
	int64_t duration_us;
	const struct source_test_fact *facts;
	size_t fact_count;
};
struct source_test_intake {
	struct intake people; /* the sample: identity, quarantine; and cancelled */
	int (*step)(void *context, const struct source_test_step *step, struct err *err);
};

#endif
