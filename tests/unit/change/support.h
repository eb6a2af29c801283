/* A store in a folder of its own, setups from YAML, syncs from short texts, states as text. */
#ifndef TESTS_CHANGE_SUPPORT_H
#define TESTS_CHANGE_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <rolebridge/base/util.h>
#include <rolebridge/change/login.h>
#include <rolebridge/change/sync.h>
#include <rolebridge/identity/record.h>

#include "setup.h"

struct world {
	char folder[64];
	char path[96];
	struct changer *changer; /* open after world_open */
	struct arena *arena;
	struct err err;
	uint64_t members; /* that world_groups tells of each group */
	/* Of each setup that is made from now on. */
	const struct target_setup *targets;
	size_t target_count;
};

int world_set_up(void **state);
int world_tear_down(void **state);

/* Fails the test with the text of the error. */
#define ok(world, call) \
	do { \
		if ((call) < 0) \
			fail_msg("%s: %s", #call, (world)->err.text); \
	} while (0)
#define refused(world, call, reason_text) \
	do { \
		err_clear(&(world)->err); \
		assert_int_equal((call), -1); \
		assert_string_equal(err_reason(&(world)->err), (reason_text)); \
	} while (0)

/* Profiles administrator, manager, staff; roles sales, ops, night; persona lead; rules by group. */
#define RULES \
	"profiles: [{name: administrator}, {name: manager}, {name: staff}]\n" \
	"segments: [Core]\n" \
	"roles:\n" \
	"  - {name: sales, classifications: [Sales], segments: [Core]}\n" \
	"  - {name: ops, classifications: [Support], segments: [Core]}\n" \
	"  - {name: night, classifications: [Support], segments: [Core]}\n" \
	"personas: [{name: lead, title: Lena}]\n" \
	"rules:\n" \
	"  - {id: admins, groups: ['cn=admins,dc=x'], grant: {profile: administrator}}\n" \
	"  - {id: managers, groups: ['cn=managers,dc=x'], grant: {profile: manager}}\n" \
	"  - {id: sales, groups: ['cn=sales,dc=x'], grant: {roles: [sales]}}\n" \
	"  - {id: titles, when: '(title=ops*)', grant: {roles: [ops]}}\n" \
	"  - {id: leads, when: '(title=*lead)', grant: {personas: [lead]}}\n" \
	"  - {id: external, when: '(employeeType=external)', grant: {roles: [night]}, " \
	"deny: {roles: [sales]}}\n"
#define POLICY "policy: {default_profile: staff}\n"
/* Nothing is ever held by number; administrators may come and go as the last one allows. */
#define WIDE \
	"policy: {default_profile: staff, missing_runs: 1, missing_grace: 0s, limits: {" \
	"disables_max: 100000, disables_min: 100000, removals_min: 100000, group_size_min: 100000, " \
	"new_administrators: 100000, first_sync_administrators: true}}\n"
#define SOURCES \
	"sources: [{name: corp, type: ldif}, " \
	"{name: hr, type: ldif, link: {attribute: uid, source: corp, other: uid}}]\n"

/* One reference; groups known to the store keep their numbers. */
struct setup *world_setup(struct world *world, const char *yaml);
/* Open (again) with this configuration. */
void world_open(struct world *world, const char *yaml);
void world_close(struct world *world);
void world_reload(struct world *world, const char *yaml, struct run_report *ret_report);

/*
 * Lines of people: "key uid attribute=value attribute=value @group @group !disabled ?incomplete
 * ^second-from-which-disabled".
 * '_' in a value is a space; mail is uid@x.example unless given.
 */
struct sync *world_begin(struct world *world, const char *source, bool dry_run);
int world_feed(struct world *world, struct sync *sync, const char *source, const char *lines);
/* The record of one such line. */
void world_record(struct world *world, struct setup *setup, const char *source, const char *line,
		  struct strbuf *record);
/* Reports every group of the rules, found unless named in "lost". */
void world_groups(struct world *world, struct sync *sync, const char *source, const char *lost);
/* All of it. flags: see below. report may be NULL. */
enum { PARTIAL = 1, DRY = 2 };
void world_sync(struct world *world, const char *source, const char *lines, unsigned flags,
		struct run_report *ret_report);
void world_sync_lost(struct world *world, const char *source, const char *lines, const char *lost,
		     struct run_report *ret_report);

/*
 * The same for a run of changes, where lines may also be "~key @group @group" (groups alone), "-key" (gone)
 * and "#key" (cannot be processed).
 */
struct sync *world_begin_changes(struct world *world, const char *source);
void world_changes(struct world *world, const char *source, const char *lines,
		   struct run_report *ret_report);

/* A sign-in at source idp by one such line, and all that goes with it; finish the record. */
struct sent {
	struct login login;
	struct saml_assertion assertion;
	struct strbuf record;
};

#define TEST_NOW INT64_C(2000000000)
void world_send(struct world *world, struct sent *sent, const char *line, const char *id);

/* The state as text: users by username, their grants and identities; no times, ids or uuids. */
const char *world_dump(struct world *world);
/* One user: "staff active sales:rule night:hand" or "manager disabled(hand)"; "" when unknown. */
const char *world_user(struct world *world, const char *username);
struct store *world_read(struct world *world);
/* Somebody new, by test_person. */
void world_create(struct world *world, const char *username, const char *profile);
/* Fails the test when there is nobody of that name. */
struct user world_find(struct world *world, const char *name);
/* Audit rows of this action, oldest first, a line each: actor, kind of the object, detail. */
const char *world_audit(struct world *world, const char *action);
/* How many of these lines hold that. */
size_t world_audited(struct world *world, const char *action, const char *part);
void world_check_audit(struct world *world);
/* How many there are. */
size_t world_sessions(struct world *world);
/* Every active user has one profile; an organization has an administrator. */
void world_check_sane(struct world *world, bool administrator);
/* The id of the only plan that waits. */
const char *world_held(struct world *world);
int64_t world_alarms(struct world *world, const char *kind);

extern const struct actor test_sync;

#endif
