/*
 * Tokens of the API as rows, and whom services made. As store.h says of handles, errors and arenas.
 */
#ifndef ROLEBRIDGE_STORE_TOKEN_H
#define ROLEBRIDGE_STORE_TOKEN_H

#include <rolebridge/store/store.h>

struct token_row {
	int64_t id; /* 0: not stored yet */
	struct uuid uuid;
	struct hash256 hash;
	const char *name;
	int64_t user_id;	  /* whose; 0: a service's */
	const char *service;	  /* whose; "": a person's */
	const char *organization; /* of the owner when it was made */
	const char *application;  /* whose resources it is for; "": no matter whose */
	/* Permissions that it leaves of the person's, or that the service has; NULL: all of the person's. */
	const char *const *scope;
	size_t scope_count;
	int64_t created_s;
	const char *created_by; /* actor */
	int64_t expires_s;
	int64_t used_s;	   /* 0: never; coarse */
	int64_t revoked_s; /* 0: it is not */
};

/* Sets row->id. ERR_CONFLICT "name-taken": the owner has one of that name that is not revoked; nothing was written. */
int store_token_insert(struct store *store, struct token_row *row, struct err *err);
/* ERR_NOT_FOUND: unknown, or revoked already. */
/* Of the row's owner, those that are neither revoked nor expired. */
int store_token_living(struct store *store, const struct token_row *row, int64_t now_s,
		       int64_t *ret_count, struct err *err);
int store_token_revoke(struct store *store, int64_t id, int64_t now_s, struct err *err);
int store_token_used(struct store *store, int64_t id, int64_t used_s, struct err *err);
/* ERR_NOT_FOUND. */
int store_token_find(struct store *store, const struct uuid *uuid, struct arena *arena,
		     struct token_row *ret_row, struct err *err);

struct token_query {
	const char *organization; /* NULL: any */
	int64_t user_id;	  /* 0: any */
	const char *service;	  /* NULL: any */
	bool all;		  /* also revoked and expired ones */
	int64_t now_s;		  /* for that */
	int64_t after_id;
	size_t limit; /* 1 to 1,000 */
};
/* In order of id. */
int store_token_list(struct store *store, const struct token_query *query, struct arena *arena,
		     struct token_row **ret_rows, size_t *ret_count, struct err *err);
/* Tokens that expired, or were revoked, before are gone: at most so many; returns how many, -1. */
int store_token_prune(struct store *store, int64_t before_s, size_t limit, struct err *err);

/* Was a token of the same owner and name, which was there at at_s, revoked then or since: 1, 0, -1. */
int store_token_was_revoked(struct store *store, const struct token_row *token, int64_t at_s,
			    struct err *err);

/* --- whom services made --- */
int store_service_made(struct store *store, int64_t user_id, const char *service, struct err *err);
/* As if no service had. */
int store_service_forget(struct store *store, int64_t user_id, struct err *err);
/* *ret_service "": no service did. */
int store_service_of(struct store *store, int64_t user_id, struct arena *arena,
		     const char **ret_service, struct err *err);

#endif
