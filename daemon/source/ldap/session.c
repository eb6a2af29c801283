/*
 * Connection, TLS and bind (see session.h). Whatever fails is noted in the
 * outcome with a stable word; nothing here continues after a failure.
 */
#include "session.h"

#include <errno.h>
#include <malloc.h>
#include <openldap.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/file.h>
#include <rolebridge/base/util.h>
#include <rolebridge/source/ldap.h>

#include "sasl.h"

#define CA_MAX (4u * 1024 * 1024)
/* Largest LDAP message taken: a group of about two million members. */
#define MESSAGE_MAX (256u * 1024 * 1024)
/* One system call then brings many small messages. */
#define READ_AHEAD (256u * 1024)
#define SLICE_MS 250

/* --- memory of liblber: wiped on free while a password may be in it --- */

static bool wipe_freed;

static void *lber_malloc(ber_len_t size, void *context)
{
	(void)context;
	return malloc(size);
}

static void *lber_calloc(ber_len_t count, ber_len_t size, void *context)
{
	(void)context;
	return calloc(count, size);
}

static void lber_free(void *memory, void *context)
{
	(void)context;
	if (memory && wipe_freed)
		explicit_bzero(memory, malloc_usable_size(memory));
	free(memory);
}

static void *lber_realloc(void *memory, ber_len_t size, void *context)
{
	void *moved;
	size_t old_size;

	if (!memory || !wipe_freed)
		return realloc(memory, size);
	moved = malloc(size);
	if (!moved)
		return NULL;
	old_size = malloc_usable_size(memory);
	memcpy(moved, memory, old_size < size ? old_size : size);
	lber_free(memory, context);
	return moved;
}

/* --- preparation, before the lock --- */

static int set_option(LDAP *ld, int option, const void *value, const char *name, struct err *err)
{
	if (ldap_set_option(ld, option, value) == LDAP_OPT_SUCCESS)
		return 0;
	return err_set(err, ERR_INVALID, "libldap refused option %s", name);
}

/* libldap's own message for a bad file is "Local error". */
static int check_file(const char *path, const char *what, struct err *err)
{
	AUTO(strbuf) struct strbuf text = STRBUF(CA_MAX);

	if (file_read(path, CA_MAX, &text, err) < 0)
		return err_wrap(err, "%s", what);
	if (!memmem(text.data, text.size, "-----BEGIN ", strlen("-----BEGIN ")))
		err_set(err, ERR_INVALID, "%s '%s' is not in PEM format", what, path);
	else
		err_clear(err);
	return err->code == ERR_NONE ? 0 : -1;
}

/* Not read here: libldap's TLS library does, and one copy in memory is enough. */
static int check_readable(const char *path, struct err *err)
{
	if (access(path, R_OK) < 0)
		return err_set_errno(err, ERR_IO, errno, "cannot read private key '%s'", path);
	return 0;
}

static int prepare_look(const int *version, struct err *err)
{
	int never = LDAP_OPT_X_TLS_NEVER, client = 0;

	if (set_option(NULL, LDAP_OPT_X_TLS_REQUIRE_CERT, &never, "never", err) < 0 ||
	    set_option(NULL, LDAP_OPT_X_TLS_PROTOCOL_MIN, version, "TLS 1.2", err) < 0 ||
	    set_option(NULL, LDAP_OPT_X_TLS_NEWCTX, &client, "context", err) < 0)
		return -1;
	return 0;
}

static int prepare_tls(const struct job *job, struct err *err)
{
	int demand = LDAP_OPT_X_TLS_DEMAND, client = 0;
	int version = LDAP_OPT_X_TLS_PROTOCOL_TLS1_2;

	/* Only looked at: on this connection nothing is said that anybody might want to know. */
	if (job->test == TEST_CERTIFICATE)
		return prepare_look(&version, err);

	if (check_file(job->ca, "CA file", err) < 0 ||
	    set_option(NULL, LDAP_OPT_X_TLS_CACERTFILE, job->ca, "ca", err) < 0 ||
	    set_option(NULL, LDAP_OPT_X_TLS_REQUIRE_CERT, &demand, "demand", err) < 0 ||
	    set_option(NULL, LDAP_OPT_X_TLS_PROTOCOL_MIN, &version, "TLS 1.2", err) < 0)
		return -1;
	if (job->certificate[0] != '\0' &&
	    (check_file(job->certificate, "client certificate", err) < 0 ||
	     check_readable(job->private_key, err) < 0 ||
	     set_option(NULL, LDAP_OPT_X_TLS_CERTFILE, job->certificate, "certificate", err) < 0 ||
	     set_option(NULL, LDAP_OPT_X_TLS_KEYFILE, job->private_key, "private_key", err) < 0))
		return -1;
	if (ldap_set_option(NULL, LDAP_OPT_X_TLS_NEWCTX, &client) != LDAP_OPT_SUCCESS)
		return err_set(err, ERR_INVALID, "cannot use CA '%s'%s%s%s", job->ca,
			       job->certificate[0] ? " with client certificate '" : "",
			       job->certificate, job->certificate[0] ? "'" : "");
	return 0;
}

static int attach(struct session *session, int fd, struct err *err)
{
	bool local = session->job->transport == TRANSPORT_LOCAL;
	int version = LDAP_VERSION3, never = LDAP_DEREF_NEVER;
	ber_len_t most = MESSAGE_MAX, ahead = READ_AHEAD;
	Sockbuf *socket = NULL;
	LDAP *ld;
	int code = ldap_init_fd(fd, local ? LDAP_PROTO_IPC : LDAP_PROTO_TCP, session->job->url,
				&session->ld);

	ld = session->ld;
	if (code != LDAP_SUCCESS)
		return err_set(err, ERR_INVALID, "libldap refused '%s': %s", session->job->url,
			       ldap_err2string(code));
	if (set_option(ld, LDAP_OPT_PROTOCOL_VERSION, &version, "version", err) < 0 ||
	    set_option(ld, LDAP_OPT_REFERRALS, LDAP_OPT_OFF, "referrals", err) < 0 ||
	    set_option(ld, LDAP_OPT_RESTART, LDAP_OPT_ON, "restart", err) < 0 ||
	    set_option(ld, LDAP_OPT_DEREF, &never, "deref", err) < 0)
		return -1;
	if (ldap_get_option(ld, LDAP_OPT_SOCKBUF, &socket) != LDAP_OPT_SUCCESS || !socket ||
	    ber_sockbuf_ctrl(socket, LBER_SB_OPT_SET_MAX_INCOMING, &most) < 1 ||
	    ber_sockbuf_add_io(socket, &ber_sockbuf_io_readahead, LBER_SBIOD_LEVEL_PROVIDER, NULL) <
		    0 ||
	    ber_sockbuf_ctrl(socket, LBER_SB_OPT_SET_READAHEAD, &ahead) < 1)
		return err_set(err, ERR_INTERNAL, "cannot set up the connection's buffer");
	return 0;
}

/* A connection made later may need TLS though the first one does not. */
static bool may_need_tls(const struct job *job)
{
	return job->transport == TRANSPORT_LDAPS || job->transport == TRANSPORT_STARTTLS ||
	       (job->follow != FOLLOW_OFF && job->ca[0] != '\0');
}

int session_prepare(struct session *session, int fd, struct err *err)
{
	static BerMemoryFunctions functions = { lber_malloc, lber_calloc, lber_realloc, lber_free };
	const struct job *job = session->job;

	/* /etc/ldap/ldap.conf could weaken TLS or cut answers: only our configuration counts. */
	if (setenv("LDAPNOINIT", "1", 1) < 0)
		return err_set_errno(err, ERR_MEMORY, errno, "cannot set the environment");
	/* Must be the first call into liblber. */
	if (ber_set_option(NULL, LBER_OPT_MEMORY_FNS, &functions) != LBER_OPT_SUCCESS)
		return err_set(err, ERR_INTERNAL, "cannot set liblber's memory functions");
	/* Large pages of entries come and go: keep the memory instead of mapping it anew. */
	mallopt(M_MMAP_THRESHOLD, 64 * 1024 * 1024);
	mallopt(M_TRIM_THRESHOLD, 128 * 1024 * 1024);
	if (may_need_tls(job) && prepare_tls(job, err) < 0)
		return -1;
	if (job->test == TEST_CERTIFICATE)
		return attach(session, fd, err);
	/* It signs in again on every new connection. */
	session->keeps_password = job->follow != FOLLOW_OFF;
	if (job->bind_method == LDAP_SOURCE_BIND_SIMPLE &&
	    secret_read_file(job->password_file, &session->password, err) < 0)
		return err_wrap(err, "password file");
	if (job->bind_method == LDAP_SOURCE_BIND_GSSAPI && sasl_prepare(job, err) < 0)
		return -1;
	return attach(session, fd, err);
}

/* --- results --- */

static const struct {
	int code;
	const char *reason;
} reasons[] = {
	{ LDAP_PROTOCOL_ERROR, "protocol-error" },
	{ LDAP_TIMELIMIT_EXCEEDED, "time-limit" },
	{ LDAP_SIZELIMIT_EXCEEDED, "size-limit" },
	{ LDAP_AUTH_METHOD_NOT_SUPPORTED, "bind-refused" },
	{ LDAP_STRONG_AUTH_REQUIRED, "bind-refused" },
	{ LDAP_REFERRAL, "referral" },
	{ LDAP_ADMINLIMIT_EXCEEDED, "admin-limit" },
	{ LDAP_UNAVAILABLE_CRITICAL_EXTENSION, "paging-refused" },
	{ LDAP_CONFIDENTIALITY_REQUIRED, "access-denied" },
	{ LDAP_NO_SUCH_OBJECT, "no-such-base" },
	{ LDAP_INVALID_DN_SYNTAX, "no-such-base" },
	{ LDAP_INAPPROPRIATE_AUTH, "bind-refused" },
	{ LDAP_INVALID_CREDENTIALS, "bind-refused" },
	{ LDAP_INSUFFICIENT_ACCESS, "access-denied" },
	{ LDAP_BUSY, "busy" },
	{ LDAP_UNAVAILABLE, "unavailable" },
	{ LDAP_SERVER_DOWN, "connection-lost" },
	{ LDAP_TIMEOUT, "timeout" },
	{ LDAP_DECODING_ERROR, "protocol-error" },
	{ LDAP_FILTER_ERROR, "invalid-filter" },
	{ LDAP_NO_MEMORY, "out-of-memory" },
	{ LDAP_SYNC_REFRESH_REQUIRED, "refresh-required" },
};

void session_note(struct session *session, int code, const char *text, const char *doing)
{
	const char *reason = "directory-error";
	bool told = text && text[0] != '\0';

	session->last_code = code;
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		if (reasons[i].code == code)
			reason = reasons[i].reason;
	}
	outcome_note(session->outcome, reason, "%s: %s%s%s%s", doing, ldap_err2string(code),
		     told ? " (" : "", told ? text : "", told ? ")" : "");
}

void session_note_last(struct session *session, const char *doing)
{
	int code = LDAP_OTHER;
	char *text = NULL;

	ldap_get_option(session->ld, LDAP_OPT_RESULT_CODE, &code);
	ldap_get_option(session->ld, LDAP_OPT_DIAGNOSTIC_MESSAGE, &text);
	session->broken = true;
	session_note(session, code == LDAP_SUCCESS ? LDAP_SERVER_DOWN : code, text, doing);
	ldap_memfree(text);
}

int session_await(struct session *session, int message_id, LDAPMessage **ret_message)
{
	uint32_t waited_ms = 0;

	while (waited_ms < session->job->answer_ms && !session->out->failed) {
		struct timeval slice = { .tv_usec = SLICE_MS * 1000 };
		LDAPMessage *message = NULL;
		int type = ldap_result(session->ld, message_id, LDAP_MSG_ONE, &slice, &message);

		if (type > 0) {
			*ret_message = message;
			session->heard_us = clock_monotonic_us();
			return 0;
		}
		if (type < 0) {
			session_note_last(session, "connection to the server failed");
			return -1;
		}
		if (session->out->frames.size > 0)
			output_flush(session->out);
		waited_ms += SLICE_MS;
	}
	session->broken = true;
	outcome_note(session->outcome, "timeout", "no answer within %u s",
		     (unsigned)(session->job->answer_ms / 1000));
	return -1;
}

/* --- TLS and bind, behind the lock --- */

/* The answer to a StartTLS or bind request. text: free with ldap_memfree, whatever came. */
static int await_code(struct session *session, int message_id, int *ret_code, char **ret_text)
{
	LDAPMessage *answer;
	int code = LDAP_OTHER, parsed;

	if (session_await(session, message_id, &answer) < 0)
		return -1;
	parsed = ldap_parse_result(session->ld, answer, &code, NULL, ret_text, NULL, NULL, 1);
	*ret_code = parsed == LDAP_SUCCESS ? code : parsed;
	return 0;
}

/* 0 when it says success. */
static int await_success(struct session *session, int message_id, const char *doing)
{
	char *text = NULL;
	int code = LDAP_OTHER;

	if (await_code(session, message_id, &code, &text) < 0)
		return -1;
	if (code != LDAP_SUCCESS)
		session_note(session, code, text, doing);
	ldap_memfree(text);
	return code == LDAP_SUCCESS ? 0 : -1;
}

/* Whatever goes wrong on the way to TLS has one word: the cause is in the detail. */
static int note_tls(struct session *session, const char *doing)
{
	struct outcome cause = { 0 };
	struct outcome *kept = session->outcome;

	session->outcome = &cause;
	session_note_last(session, doing);
	session->outcome = kept;
	outcome_note(kept, "tls-failed", "%s", cause.detail);
	return -1;
}

int session_secure(struct session *session)
{
	int message_id = 0;

	if (session->job->transport == TRANSPORT_CLEAR ||
	    session->job->transport == TRANSPORT_LOCAL)
		return 0;
	if (session->job->transport == TRANSPORT_STARTTLS) {
		if (ldap_start_tls(session->ld, NULL, NULL, &message_id) != LDAP_SUCCESS)
			return note_tls(session, "cannot ask for StartTLS");
		if (await_success(session, message_id, "server refused StartTLS") < 0) {
			/* "unavailable", "protocol-error": not the reasons of a search. */
			if (!session->broken)
				snprintf(session->outcome->reason, sizeof(session->outcome->reason),
					 "tls-failed");
			return -1;
		}
	}
	if (ldap_install_tls(session->ld) != LDAP_SUCCESS)
		return note_tls(
			session,
			"TLS failed; the certificate must be signed by 'ca', be in date and "
			"name this host");
	if (!ldap_tls_inplace(session->ld)) {
		outcome_note(session->outcome, "tls-failed", "TLS is not in place");
		return -1;
	}
	return 0;
}

int session_bind(struct session *session)
{
	const struct job *job = session->job;
	/* For EXTERNAL an empty response, not none: the directory would ask for one (RFC 4513 5.2.1). */
	char empty[] = "";
	struct berval credentials = { .bv_val = empty };
	const char *mechanism = LDAP_SASL_SIMPLE;
	int message_id = 0, status = -1;

	if (job->bind_method == LDAP_SOURCE_BIND_ANONYMOUS)
		return 0;
	if (job->bind_method == LDAP_SOURCE_BIND_GSSAPI)
		return sasl_bind(session);
	if (job->bind_method == LDAP_SOURCE_BIND_EXTERNAL) {
		mechanism = "EXTERNAL";
	} else {
		credentials.bv_val = session->password.data;
		credentials.bv_len = session->password.size;
	}
	wipe_freed = true;
	if (ldap_sasl_bind(session->ld, mechanism ? NULL : job->bind_dn, mechanism, &credentials,
			   NULL, NULL, &message_id) != LDAP_SUCCESS)
		session_note_last(session, "cannot ask to bind");
	else
		status = await_success(session, message_id, "server refused the bind");
	wipe_freed = false;
	if (!session->keeps_password)
		secret_finish(&session->password);
	if (status == 0 || session->broken)
		return status;
	/* "busy" and "unavailable" stay what they are; every other refusal is one. */
	if (strcmp(session->outcome->reason, "busy") != 0 &&
	    strcmp(session->outcome->reason, "unavailable") != 0)
		snprintf(session->outcome->reason, sizeof(session->outcome->reason),
			 "bind-refused");
	return -1;
}

int session_bind_as(struct session *session, const char *dn, const void *password, size_t size,
		    int *ret_code)
{
	char text[PROTOCOL_PASSWORD_MAX + 1];
	struct berval credentials = { .bv_val = text, .bv_len = size };
	char *said = NULL;
	int message_id = 0, status = -1;

	/* Either of them empty, and the server would let in nobody, with success (RFC 4513 5.1). */
	if (dn[0] == '\0' || size == 0 || size > PROTOCOL_PASSWORD_MAX) {
		outcome_note(session->outcome, "invalid-settings", "a bind without a password");
		return -1;
	}
	memcpy(text, password, size);
	text[size] = '\0';
	wipe_freed = true;
	if (ldap_sasl_bind(session->ld, dn, LDAP_SASL_SIMPLE, &credentials, NULL, NULL,
			   &message_id) != LDAP_SUCCESS)
		session_note_last(session, "cannot ask to bind");
	else
		status = await_code(session, message_id, ret_code, &said);
	wipe_freed = false;
	explicit_bzero(text, sizeof(text));
	ldap_memfree(said);
	return status;
}

static void disconnect(struct session *session)
{
	int fd = -1;

	if (!session->ld)
		return;
	/* A peer that does not read must not hold up the good-bye. */
	if (session->broken && ldap_get_option(session->ld, LDAP_OPT_DESC, &fd) == 0 && fd >= 0)
		shutdown(fd, SHUT_RDWR);
	/* A bind that was never answered is still kept there, with its password. */
	wipe_freed = true;
	ldap_unbind_ext(session->ld, NULL, NULL);
	wipe_freed = false;
	session->ld = NULL;
}

int session_reconnect(struct session *session, int fd)
{
	struct err err = { 0 };

	disconnect(session);
	session->broken = false;
	if (attach(session, fd, &err) < 0) {
		outcome_note(session->outcome, "invalid-settings", "%s", err.text);
		session->broken = true;
		return -1;
	}
	return session_secure(session) < 0 || session_bind(session) < 0 ? -1 : 0;
}

void session_finish(struct session *session)
{
	secret_finish(&session->password);
	disconnect(session);
}
