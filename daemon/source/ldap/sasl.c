/*
 * The exchange of SASL messages in bind requests (see sasl.h). Enters: a server's challenges, which the
 * library alone reads, and what the KDC says. Leaves: a connection that is signed in, or the cause in words.
 *
 * libldap has the same as one call. It is not used because it asks the name service for the server's name: what
 * the ticket is for is the host that the configuration names, and nothing else.
 */
#include "sasl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include <sasl/sasl.h>

#include <rolebridge/base/util.h>
#include <rolebridge/base/worker.h>

#include "server.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LEAKS_ARE_TOLD
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define LEAKS_ARE_TOLD
#endif
#ifdef LEAKS_ARE_TOLD
#include <sanitizer/lsan_interface.h>
#else
#define __lsan_disable() ((void)0)
#define __lsan_enable() ((void)0)
#endif

#define MECHANISM "GSSAPI"
/* Two round trips and the layer's offer are usual. */
#define STEPS_MAX 16
#define CHALLENGE_MAX (64 * 1024)

/*
 * Until it is signed in: files for reading, sockets to the KDC, plug-ins. No programs, no processes, nothing is
 * written but to what is open.
 */
static const int wide_syscalls[] = {
	WORKER_COMMON_SYSCALLS,
	SYS_readv,
	SYS_writev,
	SYS_pread64,
	SYS_recvfrom,
	SYS_recvmmsg,
	SYS_sendmmsg,
	SYS_socket,
	SYS_connect,
	SYS_bind,
	SYS_shutdown,
	SYS_getsockname,
	SYS_getpeername,
	SYS_getsockopt,
	SYS_setsockopt,
	SYS_ioctl,
	SYS_fcntl,
	SYS_lseek,
	SYS_access,
	SYS_faccessat,
	SYS_faccessat2,
	SYS_stat,
	SYS_lstat,
	SYS_fstat,
	SYS_statx,
	SYS_fstatfs,
	SYS_statfs,
	SYS_readlink,
	SYS_readlinkat,
	SYS_getdents64,
	SYS_getcwd,
	SYS_ppoll,
	SYS_select,
	SYS_pselect6,
	SYS_epoll_create1,
	SYS_epoll_ctl,
	SYS_epoll_wait,
	SYS_getuid,
	SYS_geteuid,
	SYS_getgid,
	SYS_getegid,
	SYS_getresuid,
	SYS_getresgid,
	SYS_getgroups,
	SYS_gettid,
	SYS_getppid,
	SYS_umask,
	SYS_uname,
	SYS_sysinfo,
	SYS_gettimeofday,
	SYS_time,
	SYS_clock_nanosleep,
	SYS_clock_getres,
	SYS_rt_sigaction,
	SYS_rt_sigprocmask,
	SYS_mlock,
	SYS_munlock,
	SYS_prlimit64,
	SYS_sched_yield,
	/* For the second lock. */
	SYS_prctl,
	SYS_seccomp,
	SYS_setrlimit,
};

static int set_file(const char *name, const char *prefix, const char *path, struct err *err)
{
	AUTO(strbuf) struct strbuf value = STRBUF(8192);

	strbuf_printf(&value, "%s%s", prefix, path);
	if (strbuf_failed(&value) || setenv(name, strbuf_text(&value), 1) < 0)
		return err_set(err, ERR_MEMORY, "cannot set the environment");
	return 0;
}

int sasl_prepare(const struct job *job, struct err *err)
{
	/* Tickets are nobody else's and end with the process. */
	if (set_file("KRB5_CLIENT_KTNAME", "FILE:", job->keytab, err) < 0 ||
	    set_file("KRB5CCNAME", "MEMORY:", "rolebridge", err) < 0)
		return -1;
	if (job->kerberos_config[0] != '\0' &&
	    set_file("KRB5_CONFIG", "", job->kerberos_config, err) < 0)
		return -1;
	return 0;
}

int sasl_lock(size_t max_memory, struct err *err)
{
	return worker_lock_wide(wide_syscalls, ARRAY_LEN(wide_syscalls), max_memory, err);
}

static int note_library(struct session *session, sasl_conn_t *exchange, const char *doing)
{
	outcome_note(session->outcome, "bind-refused", "%s: %s", doing,
		     exchange ? sasl_errdetail(exchange) : "no memory");
	return -1;
}

/* One request and its answer. 0: signed in, 1: goes on with *ret_challenge, -1: outcome says why. */
static int send_step(struct session *session, const char *data, unsigned size,
		     struct berval **ret_challenge)
{
	struct berval credentials = { .bv_len = size };
	char empty[] = "", *text = NULL;
	LDAPMessage *answer;
	int message_id = 0, code = LDAP_OTHER, parsed;

	memcpy(&credentials.bv_val, &data, sizeof(data));
	if (!data)
		credentials.bv_val = empty;
	*ret_challenge = NULL;
	if (ldap_sasl_bind(session->ld, NULL, MECHANISM, &credentials, NULL, NULL, &message_id) !=
	    LDAP_SUCCESS) {
		session_note_last(session, "cannot ask to bind");
		return -1;
	}
	if (session_await(session, message_id, &answer) < 0)
		return -1;
	parsed = ldap_parse_sasl_bind_result(session->ld, answer, ret_challenge, 0);
	ldap_parse_result(session->ld, answer, &code, NULL, &text, NULL, NULL, 1);
	if (parsed != LDAP_SUCCESS && parsed != LDAP_SASL_BIND_IN_PROGRESS && code == LDAP_SUCCESS)
		code = parsed;
	if (code != LDAP_SUCCESS && code != LDAP_SASL_BIND_IN_PROGRESS)
		session_note(session, code, text, "server refused the bind");
	ldap_memfree(text);
	if (code == LDAP_SUCCESS)
		return 0;
	return code == LDAP_SASL_BIND_IN_PROGRESS ? 1 : -1;
}

/* The library's answer to a challenge of at most CHALLENGE_MAX bytes. */
static int answer_challenge(struct session *session, sasl_conn_t *exchange,
			    const struct berval *challenge, const char **ret_data,
			    unsigned *ret_size)
{
	const char *data = challenge ? challenge->bv_val : NULL;
	size_t size = challenge ? challenge->bv_len : 0;
	int status;

	if (size > CHALLENGE_MAX) {
		outcome_note(session->outcome, "bind-refused", "a challenge of %zu bytes", size);
		return -1;
	}
	status = sasl_client_step(exchange, data, (unsigned)size, NULL, ret_data, ret_size);
	if (status == SASL_OK || status == SASL_CONTINUE)
		return status;
	return note_library(session, exchange, "cannot answer the server");
}

/*
 * The first message to the server. When no layer of its own is wanted, the plug-in (Cyrus SASL 2.1.28) acquires a
 * credential in every step up to the server's proof, two in all, and each time into the same place: the second
 * overwrites the first, and sasl_dispose releases the second. The first, 17,290 bytes in 24 pieces, no file and no
 * socket, can be reached by nobody and ends with the process; a worker signs in only once (take_lost in
 * follower_message.c). What is acquired here is the first, so leaks of this one call are not told, and those of every
 * other are. To allow a layer, with TLS given as the one in place, loses nothing, but the plug-in does what it
 * does because a ticket that offers one may be refused within TLS by Active Directory.
 */
static int start_exchange(sasl_conn_t *exchange, const char **ret_data, unsigned *ret_size)
{
	const char *mechanism = NULL;
	int status;

	__lsan_disable();
	status = sasl_client_start(exchange, MECHANISM, NULL, ret_data, ret_size, &mechanism);
	__lsan_enable();
	return status;
}

/*
 * The server's proof of itself is in its last challenge: only when both sides are content are we signed in
 * (RFC 4513 5.2.1.4, RFC 4752 3.1).
 */
static int run_exchange(struct session *session, sasl_conn_t *exchange)
{
	const char *data = NULL;
	unsigned size = 0;
	int library;

	library = start_exchange(exchange, &data, &size);
	if (library != SASL_OK && library != SASL_CONTINUE)
		return note_library(session, exchange, "no ticket for the server");
	for (int step = 0; step < STEPS_MAX; step++) {
		struct berval *challenge;
		int server = send_step(session, data, size, &challenge);
		bool more = server == 1 || (server == 0 && library == SASL_CONTINUE);

		if (server >= 0 && more)
			library = answer_challenge(session, exchange, challenge, &data, &size);
		ber_bvfree(challenge);
		if (server < 0 || library < 0)
			return -1;
		if (server == 0 && library == SASL_OK)
			return 0;
		if (server == 0)
			break;
	}
	outcome_note(session->outcome, "bind-refused", "the exchange did not come to its end");
	return -1;
}

static sasl_conn_t *begin_exchange(struct session *session)
{
	const sasl_security_properties_t plain = { .max_ssf = 0, .maxbufsize = 0 };
	struct server server;
	sasl_conn_t *exchange = NULL;
	struct err err = { 0 };

	if (server_parse(session->job->url, &server, &err) < 0) {
		outcome_note(session->outcome, "invalid-settings", "%s", err.text);
		return NULL;
	}
	if (sasl_client_init(NULL) != SASL_OK ||
	    sasl_client_new("ldap", server.host, NULL, NULL, NULL, 0, &exchange) != SASL_OK ||
	    sasl_setprop(exchange, SASL_SEC_PROPS, &plain) != SASL_OK) {
		note_library(session, exchange, "cannot use the SASL library");
		sasl_dispose(&exchange);
		return NULL;
	}
	return exchange;
}

int sasl_bind(struct session *session)
{
	sasl_conn_t *exchange = begin_exchange(session);
	int result = exchange ? run_exchange(session, exchange) : -1;

	if (exchange)
		sasl_dispose(&exchange);
	return result;
}
