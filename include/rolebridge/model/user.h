/* A user: the local person, linked to one or more identities. */
#ifndef ROLEBRIDGE_MODEL_USER_H
#define ROLEBRIDGE_MODEL_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rolebridge/base/ids.h>
#include <rolebridge/model/grant.h>

/*
 * Why a user is disabled: each reason stands alone and is lifted only by what
 * set it (re-enabling undoes only one's own disabling). A user with no
 * reason is active. Stored as a bit mask: never renumber.
 */
enum disable_reason {
	DISABLED_BY_SOURCE = 1 << 0,  /* the directory or IdP says disabled */
	DISABLED_MISSING = 1 << 1,    /* gone from its sources after grace */
	DISABLED_BY_HAND = 1 << 2,    /* a person did it */
	DISABLED_STALE = 1 << 3,      /* stale_after passed */
	DISABLED_NO_PROFILE = 1 << 4, /* no rule gives a profile and there is no default */
	DISABLED_DELETED = 1 << 5,    /* tombstone */
	/*
	 * A directory tells changes as they happen and said that the entry is gone, which may mean deleted or
	 * out of sight: sign-in is suspended. Lifted when they are seen again; full reads decide
	 * whether it becomes DISABLED_MISSING.
	 */
	DISABLED_GONE = 1 << 6,
	/* Not a disable: sign-in ended for the last administrator whom the source disabled. */
	SUSPENDED_SIGN_IN = 1 << 8,
};
#define DISABLED_ANY 0xffu

struct user {
	int64_t id; /* row; 0: not stored yet */
	struct uuid uuid;
	const char *organization;
	const char *username; /* normalised, unique */
	const char *email;    /* normalised, unique; "" when unknown */
	const char *display_name;
	const char *profile; /* effective; "" only while DISABLED_NO_PROFILE or deleted */
	uint32_t disabled;   /* enum disable_reason bits */
	bool is_protected;   /* policy.protected_users: syncs never disable them */
	int64_t version;     /* grows with every change: ETag and optimistic check */
	int64_t created_s, updated_s;
};

/* A stored identity's head, as the store knows it. */
struct identity_row {
	const char *source;
	const char *key;
	int64_t user_id;
	const void *record; /* identity record (identity/record.h) */
	size_t record_size;
	int64_t read_s;	       /* when this content was first read */
	int64_t missing_s;     /* first complete read without it; 0: present */
	uint32_t missing_runs; /* whole reads without it, and the flag below */
};
/* In missing_runs: it was told gone, as a change (DISABLED_GONE). */
#define MISSING_TOLD UINT32_C(0x80000000)
static inline uint32_t missing_runs_counted(uint32_t missing_runs)
{
	return missing_runs & ~MISSING_TOLD;
}

static inline bool user_is_active(const struct user *user)
{
	return (user->disabled & DISABLED_ANY) == 0;
}

const char *disable_reason_name(uint32_t single_bit); /* "source", "missing", "hand" … */

#endif
