/* What the store's tests share: a store in a folder of its own, short ways to rows, faults. */
#ifndef TESTS_STORE_SUPPORT_H
#define TESTS_STORE_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <rolebridge/base/util.h>
#include <rolebridge/store/store.h>

/* How many files schemas/sql/ has. */
#define TEST_SCHEMA_VERSION 23

struct fixture {
	char folder[64];
	char path[96];
	struct store *store; /* STORE_WRITE */
	struct arena *arena;
	struct err err;
};

int fixture_set_up(void **state);
int fixture_tear_down(void **state);

/* Fails the test with the text of the error. */
#define ok(fixture, call) \
	do { \
		int ok_result = (call); \
		if (ok_result < 0) \
			fail_msg("%s: %s", #call, (fixture)->err.text); \
	} while (0)
#define refused(fixture, call, expected_code, expected_reason) \
	do { \
		err_clear(&(fixture)->err); \
		assert_int_equal((call), -1); \
		assert_int_equal((fixture)->err.code, (expected_code)); \
		assert_string_equal(err_reason(&(fixture)->err), (expected_reason)); \
		assert_true((fixture)->err.text[0]); \
	} while (0)

void reopen(struct fixture *fixture);
/* A user named so, in 'default', with an address and profile 'analyst'. */
struct user make_user(const char *username, const char *email);
int64_t add_user(struct fixture *fixture, const char *username);
int put_identity(struct fixture *fixture, const char *key, int64_t user_id, const char *record);
struct grant make_grant(enum grant_kind kind, const char *name, const char *rule);
int append_audit(struct fixture *fixture, const char *action, const char *object);
void assert_audit_intact(struct fixture *fixture, int64_t rows);

/* All rows of all tables, hashed; checks integrity and foreign keys on the way. */
struct hash256 content_digest(const char *path);

/*
 * Faults in what SQLite writes: after `after` more writes (or syncs) one fails with rc; the later ones
 * too when it lasts. Installed once, before the first store is opened.
 */
enum fault_kind { FAULT_WRITE, FAULT_SYNC };
struct fault {
	enum fault_kind kind;
	int rc;
	bool lasts;
};
void faults_install(void);
void fault_arm(const struct fault *fault, long after);
/* Was it met? Disarms. */
bool fault_disarm(void);
/* The same for SQLite's memory. */
void memory_fault_arm(long after);
bool memory_fault_disarm(void);

#endif
