/*
 * Remembered browsers, sign-ins that were counted against grace, and who must prove a second factor where no file says
 * it. As store.h: a write needs a transaction; returned texts live in the arena.
 */
#ifndef ROLEBRIDGE_STORE_DEVICE_H
#define ROLEBRIDGE_STORE_DEVICE_H

#include <rolebridge/model/factor.h>
#include <rolebridge/store/store.h>

struct device_row {
	int64_t id; /* 0: not stored yet */
	struct uuid uuid;
	int64_t user_id;
	enum factor_method method; /* that was proven */
	int64_t proven_s;
	const char *agent, *address; /* of the browser when it was remembered; "" */
	int64_t created_s, seen_s, until_s;
};

/* Sets row->id. */
int store_device_insert(struct store *store, struct device_row *row, struct err *err);
/* ERR_NOT_FOUND. */
int store_device_find(struct store *store, const struct uuid *uuid, struct arena *arena,
		      struct device_row *ret_row, struct err *err);
int store_device_seen(struct store *store, int64_t id, int64_t seen_s, struct err *err);
/* In order of id. */
int store_device_list(struct store *store, int64_t user_id, struct arena *arena,
		      struct device_row **ret_rows, size_t *ret_count, struct err *err);
/* ERR_NOT_FOUND. */
int store_device_delete(struct store *store, int64_t id, struct err *err);
/* All of a person: how many, -1. */
int store_devices_drop(struct store *store, int64_t user_id, struct err *err);
/* Past their end, at most limit: how many, -1. */
int store_device_prune(struct store *store, int64_t now_s, size_t limit, struct err *err);

/* Sign-ins of a person without a method while one was required since since_s; 0 when since_s is another. */
int store_grace_get(struct store *store, int64_t user_id, int64_t since_s, int64_t *ret_sign_ins,
		    struct err *err);
int store_grace_put(struct store *store, int64_t user_id, int64_t since_s, int64_t sign_ins,
		    struct err *err);
int store_grace_drop(struct store *store, int64_t user_id, struct err *err);

/* Of an organization, as policy/factor.h writes it. */
struct factor_policy_row {
	const char *organization, *body;
	int64_t version; /* grows */
	int64_t set_s;
};
/* ERR_NOT_FOUND. */
int store_factor_policy_get(struct store *store, const char *organization, struct arena *arena,
			    struct factor_policy_row *ret_row, struct err *err);
/* Inserted or replaced, with this version. */
int store_factor_policy_put(struct store *store, const struct factor_policy_row *row,
			    struct err *err);

#endif
