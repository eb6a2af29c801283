/*
 * An identity: one normalised record from one source. Plain data; who made it
 * owns the memory (usually an arena). Text is valid UTF-8 without NUL.
 */
#ifndef ROLEBRIDGE_MODEL_IDENTITY_H
#define ROLEBRIDGE_MODEL_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Sources are numbered by their place in the configuration; a set of them is a bit mask. */
#define SOURCES_MAX 64
/* How many may be configured: one is left for what the store itself says of a person. */
#define SOURCES_CONFIGURED_MAX (SOURCES_MAX - 1)
typedef uint64_t source_mask;

struct attribute {
	uint16_t id; /* place in the attribute schema */
	uint32_t count;
	const char *const *values; /* count texts, never 0 of them */
};

struct identity {
	uint16_t source;
	const char *key; /* immutable in its source: entryUUID, objectGUID text, NameID … */
	const char *dn;	 /* as the source spells it; "" where the source has none */
	const struct attribute *attributes; /* ascending by id, each id once */
	size_t attribute_count;
	/* Effective (nested) memberships: group registry ids, ascending. Only groups that rules name. */
	const uint32_t *groups;
	size_t group_count;
	bool groups_complete; /* false: groups may be missing; absence is then unknown, not no */
	bool disabled;	      /* the source says so explicitly */
	const char *
		disabled_by; /* "nsAccountLock", "accountExpires" …, also of the time below; else "" */
	int64_t disabled_from_s; /* it says: disabled from then on; 0 never */
};

static inline bool identity_is_disabled(const struct identity *identity, int64_t now_s)
{
	return identity->disabled ||
	       (identity->disabled_from_s != 0 && identity->disabled_from_s <= now_s);
}

/* An entry that cannot be processed: counted, listed, never silently dropped. */
struct quarantined {
	const char *locator; /* DN, "file.ldif:120", NameID; escaped for display */
	const char *key;     /* the identity's key when it is known, else "" */
	const char *reason;  /* stable word: "invalid-utf8", "duplicate-key" … */
	const char *detail;  /* for people */
	const char *dn; /* the entry's name when it is known, as the source spells it, else "" */
	bool is_group;	/* certainly nobody's entry: it says nothing about who is gone */
};

#endif
