/*
 * Passwords, as their hashes, and links that set a new one. As store.h: a write needs a transaction; returned
 * texts live in the arena, hashes among them: show those to nobody.
 */
#ifndef ROLEBRIDGE_STORE_CREDENTIAL_H
#define ROLEBRIDGE_STORE_CREDENTIAL_H

#include <rolebridge/store/store.h>

struct password_row {
	int64_t user_id;
	const char *hash; /* Argon2id with its parameters */
	int64_t version; /* grows with each password of the user, from 1; a rehash is the same password */
	/*
	 * Set with a reset link, and no factor but the mailbox was proven since, nor the first one added: a code by
	 * e-mail is no second factor beside it (sessions of source ""). store_password_proven ends that.
	 */
	bool by_mail;
	int64_t set_s;
};
/* ERR_NOT_FOUND: they have none. */
int store_password_get(struct store *store, int64_t user_id, struct arena *arena,
		       struct password_row *ret_row, struct err *err);
/* Insert or replace. ERR_NOT_FOUND: no such user. */
int store_password_put(struct store *store, const struct password_row *row, struct err *err);
/* Another hash of the same password. 1; 0: it is another version by now; -1. */
int store_password_rehash(struct store *store, int64_t user_id, int64_t version, const char *hash,
			  struct err *err);
/*
 * A factor other than the mailbox was proven, or the first one was added: by_mail ends. Nothing happens when there is no
 * password.
 */
int store_password_proven(struct store *store, int64_t user_id, struct err *err);

/* Stored: never renumber. */
enum reset_end { RESET_OPEN = 0, RESET_USED = 1, RESET_VOID = 2 };

struct reset_row {
	int64_t user_id;
	struct uuid uuid; /* of the user's resets; with the generation it makes the link */
	int64_t generation;
	const char *email; /* it went there */
	int64_t sent_s, expires_s;
	int64_t mailed_s; /* this generation; 0: not yet */
	const char *mail_problem;
	enum reset_end ended;
	int64_t ended_s;
};
/* ERR_NOT_FOUND: none was ever sent. */
int store_reset_get(struct store *store, const struct uuid *uuid, struct arena *arena,
		    struct reset_row *ret_row, struct err *err);
int store_reset_of(struct store *store, int64_t user_id, struct arena *arena,
		   struct reset_row *ret_row, struct err *err);
/* Insert or replace the user's. */
int store_reset_put(struct store *store, const struct reset_row *row, struct err *err);

/* Password and reset of somebody who was deleted. */
int store_credentials_drop(struct store *store, int64_t user_id, struct err *err);

#endif
