/*
 * The requests: what is to be, what the ledger knows, what is there → at most one change by shadow-utils,
 * then a look whether it took. A failure leaves what was there before, or nothing; what cannot even be
 * taken back is a beginning of ours in the ledger and is cleared away at the next try or start.
 *
 * Errors carry a code of accounts_codes as their reason; without one they are "internal".
 */
#ifndef ROLEBRIDGE_ACCOUNTS_ACCOUNT_H
#define ROLEBRIDGE_ACCOUNTS_ACCOUNT_H

#include <rolebridge/accounts/protocol.h>
#include <rolebridge/base/arena.h>
#include <rolebridge/base/err.h>

#include "ledger.h"
#include "present.h"
#include "sessions.h"
#include "settings.h"

struct helper {
	const struct settings *settings;
	struct ledger *ledger;
	struct endings endings;
	struct uuid removing; /* whose account is being removed just now; all zero: nobody's */
	int64_t shift_s; /* deletions were moved by so much since it was said in the log: a clock was set */
};

/* What was done, for answer and log. */
struct done {
	const char *what; /* "created", "changed", "disabled", … NULL: nothing had to be done */
	uint32_t uid;
	const char *name; /* the arena's; "" when there is no account */
};

int account_ensure(struct helper *helper, struct arena *arena, struct accounts_ensure *wanted,
		   struct done *ret_done, struct err *err);
int account_disable(struct helper *helper, struct arena *arena, const struct uuid *user,
		    struct done *ret_done, struct err *err);
int account_enable(struct helper *helper, struct arena *arena, const struct uuid *user,
		   struct done *ret_done, struct err *err);
int account_delete(struct helper *helper, struct arena *arena, const struct uuid *user,
		   const struct clocks *now, struct done *ret_done, struct err *err);
int account_list(struct helper *helper, struct arena *arena, const struct accounts_list *list,
		 struct accounts_page *ret_page, struct err *err);

/*
 * At start: beginnings are completed in the ledger or taken back, whoever it has as disabled is closed, and their processes
 * are ended.
 * What fails is tried again with the next request for that user; *ret_failed counts them.
 */
int accounts_recover(struct helper *helper, size_t *ret_failed, struct err *err);

/* --- for account files --- */

enum standing {
	STANDING_MISSING, /* no such account (perhaps its group) */
	STANDING_PARTIAL, /* ours, and not whole */
	STANDING_FOREIGN,
	STANDING_THERE,
};

/* What is there of one account. */
int account_look(struct helper *helper, struct arena *arena, const struct account *account,
		 const struct present **ret_present, enum standing *ret_standing, struct err *err);
/* Take back what was begun and never whole: account, group, home. */
int account_undo(struct helper *helper, struct arena *arena, const struct account *account,
		 struct err *err);
/* Make it, its claim being in the ledger. Taken back when it does not become whole. */
int account_create(struct helper *helper, struct arena *arena, struct account *account,
		   const struct accounts_ensure *wanted, struct err *err);
/* The group gid = uid of an account: there with the right number, or made. */
int account_own_group(struct helper *helper, const struct account *account,
		      const struct present *present, struct err *err);
/* Lock and expire now; also ends what runs. *ret_changed: it was open. */
int account_close(struct helper *helper, struct arena *arena, struct account *account,
		  const struct present *present, bool *ret_changed, struct err *err);

bool account_is_closed(const struct present *present);
void uuid_text(const struct uuid *user, char ret_text[static UUID_TEXT_SIZE]);

/* Everything of the skeleton is in the home. */
bool home_is_whole(const char *home, const char *skeleton, uint32_t uid);
bool home_is_there(const char *home);
/* A folder of uid, not a link to one. */
bool home_belongs_to(const char *home, uint32_t uid);
/* rm --recursive, staying on its file system. */
int home_remove(const struct settings *settings, const char *home, struct err *err);

#endif
