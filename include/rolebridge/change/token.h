/*
 * Tokens of the API, made and revoked by people: one audit row each. What a token may is asked with each
 * request anew; what is asked here is whether the one who makes it may give so much.
 *
 *	a person's own	tokens:create@own; another's: by administrators
 *	a service's	tokens:create@all; its scope is all it has
 *
 * The scope lies within the permissions of whoever makes it, and a token made with a token within that one's.
 */
#ifndef ROLEBRIDGE_CHANGE_TOKEN_H
#define ROLEBRIDGE_CHANGE_TOKEN_H

#include <rolebridge/change/login.h>
#include <rolebridge/store/token.h>

/* Of one person or service, neither revoked nor expired. */
#define TOKENS_OF_OWNER_MAX 100

struct new_token {
	struct hash256 hash; /* of the text, which nobody else sees */
	const char *name;
	const char *user;	  /* whose: uuid, username or e-mail; NULL: the actor's own */
	const char *service;	  /* or this service's; NULL */
	const char *organization; /* of a service; NULL: the actor's, or "default" */
	const char *application;  /* NULL: no matter whose resources */
	const char *const *scope; /* NULL: all that the person may; only of one's own */
	size_t scope_count;
	int64_t expires_s;
};

/*
 * ERR_DENIED "not-allowed"; ERR_CONFLICT "name-taken", "too-many-tokens"; ERR_INVALID with *ret_field (also on failure; NULL:
 * none). Valid from the moment this returns.
 */
int change_token_create(struct changer *changer, const struct actor *actor,
			const struct new_token *token, struct uuid *ret_uuid,
			const char **ret_field, struct err *err);
/*
 * Refused from now on, also when the commit fails. One's own, or with tokens:revoke@all one of whom the actor
 * may touch. ERR_NOT_FOUND: unknown, revoked, another organization's.
 */
int change_token_revoke(struct changer *changer, const struct actor *actor, const struct uuid *uuid,
			struct err *err);

struct token_use {
	int64_t id, used_s;
};
/* Not audited. */
int change_tokens_used(struct changer *changer, const struct token_use *uses, size_t count,
		       struct err *err);
/* Timer: those that ended before are gone, a bounded number a call. */
int change_tokens_prune(struct changer *changer, int64_t before_s, struct err *err);

#endif
