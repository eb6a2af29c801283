/*
 * Second factors as rows, the codes that were sent for them, and recovery codes. As store.h: a write needs a
 * transaction; returned texts live in the arena. Secrets are sealed before they come here (auth/seal.h), codes are
 * Argon2id hashes: show neither to anybody.
 */
#ifndef ROLEBRIDGE_STORE_FACTOR_H
#define ROLEBRIDGE_STORE_FACTOR_H

#include <rolebridge/model/factor.h>
#include <rolebridge/store/store.h>

#define FACTOR_NAME_MAX 64 /* bytes of what somebody calls one */
#define FACTORS_MAX 20	   /* of one person, those that wait to be confirmed among them */

struct factor_row {
	int64_t id; /* 0: not stored yet */
	struct uuid uuid;
	int64_t user_id;
	enum factor_method method; /* never FACTOR_RECOVERY */
	const char *name;	   /* as the person calls it */
	int64_t version;	   /* grows with each change but of counter and used_s */
	/* 0: waits to be confirmed, which makes it nobody's factor; in this session, until then. */
	int64_t confirmed_s;
	int64_t session_id, until_s;
	/* TOTP: the secret; EMAIL, SMS: the address. Sealed, and under which key. Empty for WEBAUTHN. */
	const void *sealed;
	size_t sealed_size;
	int64_t key_id;
	const char *
		hint; /* EMAIL, SMS: what may be shown of the address, "a…@example.com", "…42"; "" */
	int64_t counter; /* TOTP: the last step that was used; WEBAUTHN: the last sign count */
	/* WEBAUTHN. */
	const void *credential; /* its id, unique among all people's */
	size_t credential_size;
	const void *public_key;
	size_t public_key_size;
	struct uuid model; /* AAGUID */
	bool user_verified, backed_up;
	int64_t created_s;
	int64_t used_s; /* 0: never */
};

/* Sets row->id. ERR_CONFLICT "credential-taken": a credential id that is there already. */
int store_factor_insert(struct store *store, struct factor_row *row, struct err *err);
/* name, version, confirmed_s, session_id, until_s, sealed, key_id, counter, used_s, by id. ERR_NOT_FOUND. */
int store_factor_update(struct store *store, const struct factor_row *row, struct err *err);
/* With its challenge. ERR_NOT_FOUND. */
int store_factor_delete(struct store *store, int64_t id, struct err *err);
/* ERR_NOT_FOUND. */
int store_factor_get(struct store *store, const struct uuid *uuid, struct arena *arena,
		     struct factor_row *ret_row, struct err *err);
/* By credential id, confirmed. ERR_NOT_FOUND. */
int store_factor_by_credential(struct store *store, const void *credential, size_t size,
			       struct arena *arena, struct factor_row *ret_row, struct err *err);
/* All of one person, in order of id; unconfirmed ones when asked for. */
int store_factor_list(struct store *store, int64_t user_id, bool unconfirmed, struct arena *arena,
		      struct factor_row **ret_rows, size_t *ret_count, struct err *err);
/* Which methods somebody has confirmed: 1 << method of each; and beside one 1 << FACTOR_RECOVERY: printed codes are left. */
int store_factor_methods(struct store *store, int64_t user_id, unsigned *ret_methods,
			 struct err *err);
/* The same of many: those after a user, in order, who have any, at most limit. */
struct factor_holder {
	int64_t user_id;
	unsigned methods;
};
int store_factor_holders(struct store *store, int64_t after_user, size_t limit, struct arena *arena,
			 struct factor_holder **ret_holders, size_t *ret_count, struct err *err);
/* Confirmed ones by method, for status and metrics. */
struct factor_counts {
	int64_t by_method[FACTOR_METHODS]; /* of FACTOR_RECOVERY: people who have codes left */
	int64_t issued;			   /* administrators' codes that are good */
};
/* The first alone, without a look at each row; ret_counts by method. */
int store_factor_totals(struct store *store, int64_t ret_counts[static FACTOR_METHODS],
			struct err *err);
int store_factor_counts(struct store *store, int64_t now_s, struct factor_counts *ret_counts,
			struct err *err);
/* All of a person: factors, challenges, recovery codes. For who is deleted. */
int store_factors_drop(struct store *store, int64_t user_id, struct err *err);
/*
 * Unconfirmed ones, used challenges and issued codes past their end, codes that were sent a day ago, letters of theirs that
 * could not be sent for a week;
 * at most limit of each: how many, -1.
 */
int store_factor_prune(struct store *store, int64_t now_s, size_t limit, struct err *err);

/* --- sealing keys --- */
/* Those that rows are sealed under, and how many of each. */
struct sealed_count {
	int64_t key_id, rows;
};
int store_factor_keys(struct store *store, struct arena *arena, struct sealed_count **ret_counts,
		      size_t *ret_count, struct err *err);
/* Rows that are sealed under another key than this one, after an id, in order, at most limit. */
int store_factor_sealed_otherwise(struct store *store, int64_t key_id, int64_t after_id,
				  size_t limit, struct arena *arena, struct factor_row **ret_rows,
				  size_t *ret_count, struct err *err);

/* Other bytes for the same secret, under this key, where the old ones still stand: 1; 0: they do not; -1. */
int store_factor_reseal(struct store *store, int64_t id, const void *before, size_t before_size,
			const void *after, size_t after_size, int64_t key_id, struct err *err);

/* --- codes by mail and SMS --- */
/* One for each factor and session: the last code that was sent, by its number; the code itself is kept nowhere. */
struct challenge_row {
	int64_t factor_id;
	int64_t session_id; /* that asked for it, and alone may use it */
	int64_t generation; /* with until_s never the same again for both */
	int64_t sent_s, until_s;
	int64_t tries; /* of this generation */
	int64_t sends; /* lately, without one that was right */
	bool used;
};
/* ERR_NOT_FOUND: none was sent yet. */
int store_challenge_get(struct store *store, int64_t factor_id, int64_t session_id,
			struct challenge_row *ret_row, struct err *err);
int store_challenge_put(struct store *store, const struct challenge_row *row, struct err *err);

/*
 * A challenge that an authenticator signed is used up, by its name. ERR_CONFLICT "replayed": it was before; nothing is
 * spoilt. After until_s nobody takes it any more, and its row goes.
 */
int store_challenge_use(struct store *store, const char *name, int64_t until_s, struct err *err);

/* --- recovery codes --- */
#define RECOVERY_PRINTED 10	/* slots 0 to 9 */
#define RECOVERY_SLOT_ISSUED 10 /* an administrator's */
struct recovery_row {
	int64_t id; /* never given twice */
	int64_t user_id;
	int slot;
	const char *hash; /* Argon2id; "" once it was used */
	int64_t created_s;
	int64_t used_s;	    /* 0: not yet */
	int64_t until_s;    /* 0: for ever */
	const char *issuer; /* actor; "" of printed ones */
};
/* Of a slot. ERR_NOT_FOUND. */
int store_recovery_get(struct store *store, int64_t user_id, int slot, struct arena *arena,
		       struct recovery_row *ret_row, struct err *err);
/* All of a person, used ones among them, in order of slot. */
int store_recovery_list(struct store *store, int64_t user_id, struct arena *arena,
			struct recovery_row **ret_rows, size_t *ret_count, struct err *err);
/* Insert; replaces what stands in the slot. Sets row->id. */
int store_recovery_put(struct store *store, struct recovery_row *row, struct err *err);
/* Used up: the hash goes. 1; 0: it is not there, or was used; -1. */
int store_recovery_use(struct store *store, int64_t id, int64_t now_s, struct err *err);
/* Slots from first to last of a person are empty. */
int store_recovery_drop(struct store *store, int64_t user_id, int first, int last, struct err *err);

#endif
