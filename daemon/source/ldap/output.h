/*
 * The worker's way out: frames gathered into large writes, counts, and how the
 * read went. Nothing else of the worker writes to the core.
 */
#ifndef SOURCE_LDAP_OUTPUT_H
#define SOURCE_LDAP_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rolebridge/base/strbuf.h>

#include "protocol.h"

/* Frames are sent when this much is gathered. */
#define OUTPUT_GATHER (128u * 1024)
/* Or when this long nothing was sent: the core then knows that the directory still answers. */
#define OUTPUT_PULSE_US 500000

struct output {
	int socket;
	struct strbuf frames;
	/*
	 * Quarantine of the group phase, sent with the first of the users: as long as the core has
	 * handed nothing over it can still turn to the next server.
	 */
	struct strbuf held;
	bool holding;
	bool failed; /* the core is gone: nothing more can be told */
	int64_t last_sent_us;
	unsigned pulses;
	uint64_t entries, groups, quarantined;
	uint64_t changes; /* identities, other groups and gone: what COMMIT counts */
	/* Followed: what is told belongs to a batch, begun with the first of it. */
	bool following, batch_open;
	uint64_t changes_before; /* the batch */
	int64_t batch_us;
};

struct output output_init(int socket);
void output_finish(struct output *out);
/* Send what is gathered. */
void output_flush(struct output *out);
void output_phase(struct output *out, enum protocol_phase phase);
/* To be called often: sends by size and by time. */
void output_pulse(struct output *out);
/* End of the group phase: what was held goes out. */
void output_release(struct output *out);
/*
 * Quarantine an entry. name: its DN as the directory sent it, any bytes. key may be NULL; dn: the name
 * when it is valid, else ""; NULL: a group's entry. detail is text of ours.
 */
void output_quarantine(struct output *out, const void *name, size_t size, const char *key,
		       const char *dn, const char *reason, const char *detail);
/* The batch is open. Called by itself before whatever belongs to one. */
void output_begin_batch(struct output *out);
/* COMMIT, if one is open. */
void output_commit(struct output *out);
/* Room for an identity of at most `size` bytes beside what is gathered. */
void output_make_room(struct output *out, size_t size);

/* How the read went: the first problem is the one that is told. */
struct outcome {
	bool incomplete;
	char reason[PROTOCOL_REASON_MAX + 1];
	char detail[512];
};

/* detail may hold a server's bytes: it is escaped for display. */
void outcome_note(struct outcome *outcome, const char *reason, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Bytes of a peer for display: control characters, NUL and invalid UTF-8 as \xHH. */
void display_escape(struct strbuf *out, const void *data, size_t size);

#endif
