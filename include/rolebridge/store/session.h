/*
 * Sessions, their tokens, and identifiers that may be used once. As store.h: a write needs a
 * transaction; returned texts live in the arena.
 */
#ifndef ROLEBRIDGE_STORE_SESSION_H
#define ROLEBRIDGE_STORE_SESSION_H

#include <rolebridge/model/session.h>
#include <rolebridge/store/store.h>

/* Sets session->id, never used before. The user, and the source if any, must be there: ERR_NOT_FOUND. */
int store_session_insert(struct store *store, struct session *session, struct err *err);
/*
 * The same; and the identity of its source with this key was read again, unchanged, when the session was
 * opened. store_identity_confirm in effect, but its read_s follows in idle time (store_tidy).
 */
int store_session_insert_confirming(struct store *store, struct session *session, const char *key,
				    struct err *err);
/* The hash must be new to the session: ERR_CONFLICT. ERR_NOT_FOUND: the session has ended. */
int store_session_token_add(struct store *store, const struct session_token *token,
			    struct err *err);
/* Which session has a uuid: as store_session_get. */
int store_session_find(struct store *store, const struct uuid *uuid, struct arena *arena,
		       struct session *ret_session, struct err *err);
/* Write until_s, second_factor_s, stage, factor, full_until_s, signed_in_s. ERR_NOT_FOUND. */
int store_session_update(struct store *store, const struct session *session, struct err *err);
/* The same of one that was full and is not any more: what there was of it to count as a sign-in is counted now. */
int store_session_put_back(struct store *store, const struct session *session, struct err *err);
/* ERR_NOT_FOUND. */
int store_session_seen(struct store *store, int64_t id, int64_t seen_s, struct err *err);
/* All tokens of a session end. */
int store_session_tokens_drop(struct store *store, int64_t session_id, struct err *err);
/* With its tokens. ERR_NOT_FOUND. */
int store_session_delete(struct store *store, int64_t id, struct err *err);
int store_session_get(struct store *store, int64_t id, struct arena *arena,
		      struct session *ret_session, struct err *err);

struct session_query {
	int64_t user_id;	   /* 0: any */
	const char *source;	   /* NULL: any */
	const char *name_id;	   /* NULL: any; with source */
	const char *session_index; /* NULL: any */
	int64_t after_id;
	size_t limit; /* 1 to 10,000 */
};
/* In order of id. */
int store_session_list(struct store *store, const struct session_query *query, struct arena *arena,
		       struct session **ret_sessions, size_t *ret_count, struct err *err);
/* All tokens, in order of session; for start-up. The callback returns -1 to stop: ERR_CANCELLED. */
int store_session_tokens_each(struct store *store,
			      int (*each)(void *context, const struct session_token *token),
			      void *context, struct err *err);
/* Sessions past their end, or unseen since idle_before_s, at most limit: deleted; their ids. */
int store_session_prune(struct store *store, int64_t now_s, int64_t idle_before_s, size_t limit,
			struct arena *arena, int64_t **ret_ids, size_t *ret_count, struct err *err);

/*
 * What may be used once: assertion ids ("assertion"), requests of ours that were answered ("request"),
 * logout requests of an IdP ("logout"). ERR_CONFLICT "replayed": used before; the transaction goes
 * on. What is void since until_s is refused all the same until it is pruned.
 */
int store_used_add(struct store *store, const char *kind, const char *source, const char *id,
		   int64_t until_s, struct err *err);
/* Rows void before before_s are gone, at most limit. Returns how many, -1. */
int store_used_prune(struct store *store, int64_t before_s, size_t limit, struct err *err);

#endif
