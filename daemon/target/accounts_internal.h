/* Inside the target of Linux accounts: the talk with the helper, and what is known of whose accounts are whose. */
#ifndef ROLEBRIDGE_TARGET_ACCOUNTS_INTERNAL_H
#define ROLEBRIDGE_TARGET_ACCOUNTS_INTERNAL_H

#include <rolebridge/base/clock.h>
#include <rolebridge/target/accounts.h>

static inline const struct accounts_target *target_of(const struct target_call *call)
{
	return (const struct accounts_target *)(const void *)call->settings;
}

static inline int accounts_load(const struct target_call *call, int64_t user_id,
				struct accounts_subject *ret_subject, struct err *err)
{
	return accounts_subject_load(target_of(call), call->setup, call->store, user_id,
				     clock_now_s(), call->arena, ret_subject, err);
}

/* --- comparing (accounts_compare.c): of struct target_kind --- */
int accounts_compare_open(const struct target_call *call, void **ret_instance, struct err *err);
void accounts_compare_close(void *instance);
int accounts_want(void *instance, const struct target_call *call, const struct user *user,
		  struct target_item *ret_item, struct err *err);
int accounts_has(void *instance, const struct target_call *call, const char *cursor,
		 const struct target_item **ret_items, size_t *ret_count, const char **ret_cursor,
		 struct err *err);

/* --- the helper (accounts_helper.c) --- */

/* How long one answer may take: the databases may be locked by somebody else for a while. */
#define HELPER_ANSWER_MS 120000

/* Somebody waits for it, and may be told to stop. */
struct helper_patience {
	int answer_ms;
	bool (*cancelled)(void *context);
	void *context;
};

struct helper;
/*
 * Connects and greets. Any failure here or in a talk is ERR_UNAVAILABLE or ERR_PROTOCOL, and ends the connection;
 * ERR_CANCELLED when the daemon ends.
 */
struct helper *helper_open(const char *path, const struct helper_patience *patience,
			   struct err *err);
/* For as long as deliveries may take. */
struct helper *helper_open_for(const struct target_call *call, struct err *err);
void helper_close(struct helper *helper); /* NULL is fine */
static inline void helper_auto(struct helper **helper)
{
	helper_close(*helper);
}
/* Questions gather until they are sent; each is answered by one message, in order. */
struct strbuf *helper_questions(struct helper *helper);
int helper_send(struct helper *helper, struct err *err);
/* Texts live in the arena. */
int helper_result(struct helper *helper, struct arena *arena, struct accounts_result *ret_result,
		  struct err *err);
/* One page, asked and answered. */
int helper_list(struct helper *helper, const struct uuid *after, uint32_t max, struct arena *arena,
		struct accounts_page *ret_page, struct err *err);
/* What it has of one user: 1, 0 nothing, -1. */
int helper_find(struct helper *helper, const struct uuid *user, struct arena *arena,
		struct accounts_entry *ret_entry, struct err *err);

/* --- whose account is it (accounts_book.c) --- */

/*
 * Accounts that are ours, by name: as the helper told, of one helper each (its socket). Held in memory for those who
 * ask for keys; learnt from each answer, and read anew when somebody is asked for who is not in it. Safe from any
 * thread.
 */
struct owned_account {
	struct uuid user;
	uint32_t uid;
};
/* false: not known, which is no proof that it is not ours. */
bool book_find(const char *socket, const char *name, struct owned_account *ret_account);
void book_learn(const char *socket, const char *name, const struct owned_account *account);
/* All of it, from the helper, once a second at most: 0 when it was read a moment ago. */
int book_read(const char *socket, const struct helper_patience *patience, struct err *err);

#endif
