/*
 * Invites, and the outbox: what is to be delivered, noted in the transaction that wants it. Fails as the
 * store does.
 */
#ifndef ROLEBRIDGE_STORE_INVITE_H
#define ROLEBRIDGE_STORE_INVITE_H

#include <rolebridge/store/store.h>

/* Stored: never renumber. */
enum invite_end { INVITE_OPEN = 0, INVITE_ACCEPTED = 1, INVITE_REVOKED = 2 };
/* As people see it. */
enum invite_state { STATE_PENDING, STATE_EXPIRED, STATE_ACCEPTED, STATE_REVOKED, INVITE_STATES };

struct invite_grant {
	enum grant_kind kind;
	const char *name;
};

struct invite_row {
	int64_t id; /* 0: not stored yet */
	struct uuid uuid;
	const char *organization, *email, *username, *display_name;
	const struct invite_grant *grants; /* one profile among them */
	size_t grant_count;
	int64_t generation; /* of the link that is good */
	/* Whose authority it stands on, as in struct actor. */
	const char *actor;
	int64_t inviter_id;
	bool limited;
	const char *service;	  /* the organization of a service; NULL: none */
	const char *const *scope; /* NULL: none */
	size_t scope_count;
	int64_t created_s, sent_s, expires_s;
	int64_t mailed_s; /* this generation; 0: not yet */
	const char *mail_problem;
	enum invite_end ended;
	int64_t ended_s;
	int64_t user_id; /* who came of it; 0 */
};

enum invite_state invite_state_of(const struct invite_row *invite, int64_t now_s);
const char *invite_state_name(enum invite_state state); /* "pending" … */

/* Insert; sets invite->id. */
int store_invite_insert(struct store *store, struct invite_row *invite, struct err *err);
/* All but uuid, names, grants and creation, by id. */
int store_invite_update(struct store *store, const struct invite_row *invite, struct err *err);
/* ERR_NOT_FOUND. */
int store_invite_get(struct store *store, const struct uuid *uuid, struct arena *arena,
		     struct invite_row *ret_invite, struct err *err);
/* One that is pending, in the organization, for the address: 1, 0, -1. */
int store_invite_pending(struct store *store, const char *organization, const char *email,
			 int64_t now_s, int64_t except_id, struct err *err);
/* Did the user come of an invite to this address: 1, 0, -1. */
int store_invite_proves(struct store *store, int64_t user_id, const char *email, struct err *err);

struct invite_query {
	const char *organization; /* NULL: any */
	int state;		  /* enum invite_state, -1: any */
	int64_t now_s;
	const char *email; /* normalised; NULL: any */
	int64_t after_id;
	size_t limit;
};
/* In order of id. */
int store_invite_list(struct store *store, const struct invite_query *query, struct arena *arena,
		      struct invite_row **ret_invites, size_t *ret_count, struct err *err);

/* --- outbox --- */
struct outbox_row {
	int64_t id;
	const char *kind, *subject; /* "invite", its uuid */
	int64_t number;		    /* its generation */
	const char *message_id;
	int64_t created_s, attempts, next_s;
	const char *problem; /* of the last attempt; "" */
};
int store_outbox_add(struct store *store, const struct outbox_row *row, struct err *err);
/* The first that is due at now_s, after these: 1, 0, -1. */
int store_outbox_next(struct store *store, int64_t now_s, struct arena *arena,
		      struct outbox_row *ret_row, struct err *err);
/* 1, 0 when it is gone, -1. */
int store_outbox_get(struct store *store, int64_t id, struct arena *arena,
		     struct outbox_row *ret_row, struct err *err);
/* attempts, next_s, problem. */
int store_outbox_update(struct store *store, const struct outbox_row *row, struct err *err);
int store_outbox_remove(struct store *store, int64_t id, struct err *err);
/* All of a subject. */
int store_outbox_drop(struct store *store, const char *kind, const char *subject, struct err *err);
struct outbox_counts {
	int64_t waiting, failing; /* failing: of those, tried before */
};
int store_outbox_counts(struct store *store, struct outbox_counts *ret_counts, struct err *err);

/* --- ids that files of people give --- */
/* 0 in *ret_user: nobody. */
int store_external_find(struct store *store, const char *organization, const char *id,
			int64_t *ret_user, struct err *err);
/* "" when there is none. */
int store_external_of(struct store *store, int64_t user_id, struct arena *arena,
		      const char **ret_id, struct err *err);
/* Replaces what the user had. ERR_CONFLICT "external-id-taken". */
int store_external_put(struct store *store, const char *organization, const char *id,
		       int64_t user_id, struct err *err);

#endif
