/*
 * Whose account is whose: user ↔ name ↔ uid, for ever. A file of lines that only grows; the folder is
 * root's alone. Names and uids of accounts that are gone stay in it, so that nobody else gets them.
 *
 * A claim is on disk before the account is made and a disabling before it is carried out, so that after
 * a crash at any point the ledger says what may be there; what is really there says the rest.
 */
#ifndef ROLEBRIDGE_ACCOUNTS_LEDGER_H
#define ROLEBRIDGE_ACCOUNTS_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rolebridge/base/err.h>
#include <rolebridge/base/ids.h>

#define EXPIRE_NONE (-1) /* days since the epoch otherwise */

struct account {
	struct uuid user;
	char *name, *home;
	uint32_t uid;
	bool made;     /* it was complete once; otherwise what is there is a beginning of ours */
	bool gone;     /* removed: name and uid stay taken */
	bool disabled; /* by the helper; the next two are what it found before */
	bool locked_before;
	int64_t expire_before;
	int64_t delete_s; /* when it may be removed; 0: not deleted */
	bool archived;	  /* what was in its home is kept: the home may be removed */
	bool unnoted;	  /* it is, and only this process knows it yet */
};

struct clocks {
	int64_t real_s, boot_s; /* since the epoch; since the machine started */
};

struct ledger;

/*
 * Reads DIRECTORY/ledger, or begins it. A last line that was cut is forgotten; any other damage is
 * ERR_INVALID: who does not know what is theirs may touch nothing.
 */
struct ledger *ledger_open(const char *directory, struct err *err);
void ledger_close(struct ledger *ledger);

/* All, ascending by user; pointers hold until the next claim. */
struct account *ledger_accounts(struct ledger *ledger, size_t *ret_count);
size_t ledger_owned(const struct ledger *ledger); /* those that are not gone */
struct account *ledger_find(struct ledger *ledger, const struct uuid *user);
const struct account *ledger_find_name(const struct ledger *ledger, const char *name);
const struct account *ledger_find_uid(const struct ledger *ledger, uint32_t uid);
const struct account *ledger_find_home(const struct ledger *ledger, const char *home);
/* The highest uid ever claimed within the range; 0: none. */
uint32_t ledger_last_uid(const struct ledger *ledger, uint32_t min, uint32_t max);

/*
 * Each is on disk and in the account when 0 comes back;
 * otherwise neither. ERR_IO, reason "disk-full" when that is why.
 */
int ledger_claim(struct ledger *ledger, const struct uuid *user, const char *name, uint32_t uid,
		 const char *home, struct account **ret_account, struct err *err);
int ledger_made(struct ledger *ledger, struct account *account, struct err *err);
int ledger_disable(struct ledger *ledger, struct account *account, int64_t expire_before,
		   bool locked_before, struct err *err);
int ledger_enable(struct ledger *ledger, struct account *account, struct err *err);
int ledger_delete(struct ledger *ledger, struct account *account, int64_t delete_s,
		  struct err *err);
int ledger_keep(struct ledger *ledger, struct account *account, struct err *err);
int ledger_archived(struct ledger *ledger, struct account *account, struct err *err);
int ledger_gone(struct ledger *ledger, struct account *account, struct err *err);

/* Some deletion waits for its time. */
bool ledger_waits(const struct ledger *ledger);
/* Where the clocks stood; NULL: nobody said. */
const struct clocks *ledger_clocks(const struct ledger *ledger);
/* Both in one: where the clocks stand, and that all deletions that wait come so much later (negative: sooner). */
int ledger_note_clocks(struct ledger *ledger, const struct clocks *clocks, int64_t shift_s,
		       struct err *err);

static inline void ledger_auto(struct ledger **ledger)
{
	ledger_close(*ledger);
}

#endif
