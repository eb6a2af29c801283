/*
 * Source `ldap`: a directory read in full over LDAP v3 (RFC 4511).
 *
 * In goes the configuration of one source and what rules want of it; out come
 * identities as canonical records. The core resolves and connects; a worker
 * process (its own binary as `--worker ldap`) gets the connected socket, locks
 * itself up and alone speaks TLS and LDAP. The core believes the worker no
 * more than the protocol allows: every message is checked.
 *
 * A server that fails is followed by the next one as long as nothing was handed to
 * the intake; after that the read ends incomplete, with the reason.
 */
#ifndef ROLEBRIDGE_SOURCE_LDAP_H
#define ROLEBRIDGE_SOURCE_LDAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rolebridge/base/hash.h>
#include <rolebridge/identity/settings.h>
#include <rolebridge/source/source.h>

enum ldap_source_tls {
	LDAP_SOURCE_STARTTLS,
	LDAP_SOURCE_LDAPS,
	LDAP_SOURCE_CLEARTEXT,
};

enum ldap_source_bind {
	LDAP_SOURCE_BIND_SIMPLE,
	LDAP_SOURCE_BIND_EXTERNAL,
	LDAP_SOURCE_BIND_ANONYMOUS,
	LDAP_SOURCE_BIND_GSSAPI,
};

enum ldap_source_scope {
	LDAP_SOURCE_SUBTREE,
	LDAP_SOURCE_ONE_LEVEL,
	LDAP_SOURCE_BASE_ONLY,
};

struct ldap_bind_settings {
	struct position at;
	int method; /* enum ldap_source_bind */
	struct located dn, password_file;
	struct located certificate, private_key;
	struct located keytab, kerberos_config;
};

struct ldap_users_settings {
	struct position at;
	struct located base;
	int scope; /* enum ldap_source_scope */
	struct located filter;
	struct located key;
	struct located_list disabled; /* none given: the usual markers of all vendors */
};

struct ldap_groups_settings {
	struct position at;
	struct located base; /* not given: the users' base */
	int scope;
	struct located filter;
	struct located_list members; /* none given: member, uniqueMember, memberUid */
};

struct ldap_timeout_settings {
	struct position at;
	int64_t connect_s; /* for each address of a server */
	int64_t answer_s;  /* longest silence of the server */
	int64_t total_s;   /* whole read */
};

struct ldap_follow_settings {
	struct position at;
	int mode;	     /* enum follow_mode: off, auto, sync, usn, timestamp */
	int64_t poll_s;	     /* where the server does not tell by itself */
	int64_t keepalive_s; /* an idle connection is tried after this long */
	int64_t alarm_s;     /* no server answered for so long: a person should know */
};

#define LDAP_LOGIN_FAILURES_MAX 16

struct ldap_source {
	struct source_settings common;
	struct located_list servers;
	int tls; /* enum ldap_source_tls; for ldap:// servers */
	bool allow_cleartext;
	struct located ca;
	struct ldap_bind_settings bind;
	struct ldap_users_settings users;
	struct ldap_groups_settings groups;
	int64_t page_size; /* 0: no paging */
	bool ignore_referrals;
	struct ldap_timeout_settings timeouts;
	struct ldap_follow_settings follow;
	int64_t login_failures, login_window_s;
};

extern const struct option_table ldap_source_table; /* variant "ldap" of sources[] */

/*
 * Read the whole directory. 0 and *ret_result however the read ended; its
 * reason is one of the words below when it is not complete. -1 when our own
 * side failed: a callback, memory, no worker process, or cancelled (ERR_CANCELLED).
 *
 * Reasons: all-servers-failed (no server could be asked; detail says why for each),
 * connect-failed, connection-lost, timeout, worker-died, tls-failed, bind-refused, protocol-error,
 * time-limit, size-limit, admin-limit, busy, unavailable, access-denied, no-such-base,
 * referral, paging-refused, directory-error, range-cut, canary-missing, empty-result,
 * invalid-filter, invalid-settings, out-of-memory.
 *
 * With a single server its own reason stands instead of all-servers-failed.
 * Groups are reported to the intake after the last identity; in an incomplete read only those
 * found. Blocks the calling thread; name resolution takes as long as the system's resolver does.
 */
int ldap_source_read(const struct ldap_source *source, const struct wanted_attribute *attributes,
		     size_t attribute_count, const struct wanted_group *groups, size_t group_count,
		     const struct intake *intake, struct read_result *ret_result, struct err *err);

/* Is this source followed by its configuration? Otherwise it is read every interval. */
bool ldap_source_follows(const struct ldap_source *source);
/*
 * Follow the directory until cancelled: a full read, then what changes, with reconnects, failover
 * and new full reads as needed. Blocks the calling thread, which keeps the worker alive.
 * 0 when cancelled; -1 when our own side cannot go on (memory, no worker process).
 */
int ldap_source_follow(const struct ldap_source *source, const struct wanted_attribute *attributes,
		       size_t attribute_count, const struct wanted_group *groups,
		       size_t group_count, const struct follow_intake *intake, struct err *err);
/* What of all that makes a follower what it is: with another one it must be started anew. */
int ldap_source_follow_id(const struct ldap_source *source,
			  const struct wanted_attribute *attributes, size_t attribute_count,
			  const struct wanted_group *groups, size_t group_count,
			  struct hash256 *ret_id, struct err *err);
/*
 * Read the groups and one person, found by key: the intake gets one identity, or none. For
 * `sync --user` where nothing follows. Otherwise as ldap_source_read.
 */
int ldap_source_read_one(const struct ldap_source *source, const char *key,
			 const struct wanted_attribute *attributes, size_t attribute_count,
			 const struct wanted_group *groups, size_t group_count,
			 const struct intake *intake, struct read_result *ret_result,
			 struct err *err);

/*
 * Try each server of the source: name, connection, TLS, sign-in; at the first that lets us in, what it is and can, how many
 * people and groups there are (bounded), and up to `samples` people as a read would deliver them. Reasons are those of
 * ldap_source_read, and: unresolved, invalid-credentials, certificate-expired, certificate-not-yet-valid,
 * certificate-name, certificate-untrusted. 0 also when steps failed; -1 when our own side did, or cancelled.
 */
#define LDAP_TEST_SAMPLES_MAX 100
int ldap_source_test(const struct ldap_source *source, const struct wanted_attribute *attributes,
		     size_t attribute_count, const struct wanted_group *groups, size_t group_count,
		     uint32_t samples, const struct source_test_intake *intake, struct err *err);

/*
 * Is this the password of whoever has this key? The entry is looked up as reads find it, by key, and the worker binds as
 * it (RFC 4513 5.1.3); referrals are not followed. key NULL: nobody's, for as long as it would take; the password stays
 * here. An empty one is refused before anybody is asked. 0: *ret_right; false when there is not exactly one such entry.
 * -1 with ERR_UNAVAILABLE "directory-unavailable": no server could say. Blocks for LDAP_SIGN_IN_S at most. *ret_asked, also
 * then: how many binds as them were sent, each of which a server may have counted.
 */
#define LDAP_SIGN_IN_S 15
int ldap_source_sign_in(const struct ldap_source *source, const char *key, const void *password,
			size_t size, bool *ret_right, unsigned *ret_asked, struct err *err);

/* The worker's side: called by main for `--worker ldap`. Returns the exit status. */
int ldap_worker_main(int socket);

#endif
