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

#endif
