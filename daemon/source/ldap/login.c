/*
 * Signing somebody in (see login.h). Enters: a job whose users' filter is about one person, and, once this process is
 * locked up, a password. Leaves: a verdict. The daemon's own account finds the entry; then the same connection
 * binds as it.
 *
 * Where there is not exactly one entry a bind is asked for all the same, as somebody who cannot be there: whoever
 * measures learns no more than whoever reads. No answer of the server makes it right then.
 */
#include "login.h"

#include <string.h>
#include <sys/random.h>
#include <sys/time.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>

#include "search.h"

#define NOBODY_BYTES 16

/* Codes of a bind that say no; every other one says that nobody knows. */
static const int refusals[] = {
	LDAP_INVALID_CREDENTIALS,  LDAP_INAPPROPRIATE_AUTH,
	LDAP_NO_SUCH_OBJECT,	   LDAP_UNWILLING_TO_PERFORM, /* locked, at 389 Directory Server */
	LDAP_CONSTRAINT_VIOLATION,			      /* too many wrong ones, there */
	LDAP_INVALID_DN_SYNTAX,	   LDAP_INSUFFICIENT_ACCESS,
};

/* --- whose --- */

static void keep_name(struct session *session, LDAPMessage *message, char **name, size_t *count)
{
	if (++*count > 1)
		return;
	*name = ldap_get_dn(session->ld, message);
}

/* The name of the one entry; NULL: there is none, or more than one. */
static int take_entries(struct session *session, int message_id, char **ret_name)
{
	LDAPMessage *message;
	char *name = NULL;
	size_t count = 0;
	int code = LDAP_OTHER, type;

	do {
		if (session_await(session, message_id, &message) < 0) {
			ldap_memfree(name);
			return -1;
		}
		type = ldap_msgtype(message);
		if (type == LDAP_RES_SEARCH_ENTRY)
			keep_name(session, message, &name, &count);
		if (type != LDAP_RES_SEARCH_RESULT)
			ldap_msgfree(message);
	} while (type != LDAP_RES_SEARCH_RESULT);
	if (ldap_parse_result(session->ld, message, &code, NULL, NULL, NULL, NULL, 1) !=
	    LDAP_SUCCESS)
		code = LDAP_PROTOCOL_ERROR;
	if (code == LDAP_SUCCESS && count == 1) {
		*ret_name = name;
		return 0;
	}
	ldap_memfree(name);
	*ret_name = NULL;
	if (code == LDAP_SUCCESS || (code == LDAP_SIZELIMIT_EXCEEDED && count > 1))
		return 0;
	session_note(session, code, NULL, "cannot look for a user");
	return -1;
}

static int find_entry(struct session *session, char **ret_name)
{
	static char none[] = LDAP_NO_ATTRS;
	char *attributes[] = { none, NULL };
	const struct job_search *users = &session->job->users;
	int message_id = 0;

	if (ldap_search_ext(session->ld, users->base, search_scope(users), users->filter,
			    attributes, 0, NULL, NULL, NULL, 2, &message_id) == LDAP_SUCCESS)
		return take_entries(session, message_id, ret_name);
	session_note_last(session, "cannot ask for a user");
	return -1;
}

/* --- whether --- */

/* Nobody guesses it, and nobody has it. */
static void name_nobody(const struct job *job, struct strbuf *out)
{
	unsigned char bytes[NOBODY_BYTES] = { 0 };

	(void)!getrandom(bytes, sizeof(bytes), 0);
	strbuf_puts(out, "cn=");
	for (size_t i = 0; i < sizeof(bytes); i++)
		strbuf_printf(out, "%02x", bytes[i]);
	strbuf_printf(out, "%s%s", job->users.base[0] ? "," : "", job->users.base);
}

static int bind_as(struct session *session, const char *name, const void *password, size_t size,
		   bool *ret_right)
{
	AUTO(strbuf) struct strbuf nobody = STRBUF(2 * PROTOCOL_TEXT_MAX);
	bool is_one = name && name[0] != '\0';
	int code = LDAP_OTHER;

	if (!is_one)
		name_nobody(session->job, &nobody);
	if (strbuf_failed(&nobody)) {
		outcome_note(session->outcome, "out-of-memory", "no memory for a name");
		return -1;
	}
	if (is_one)
		output_phase(session->out, PHASE_LOGIN);
	if (session_bind_as(session, is_one ? name : strbuf_text(&nobody), password, size, &code) <
	    0)
		return -1;
	*ret_right = is_one && code == LDAP_SUCCESS;
	if (code == LDAP_SUCCESS)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++)
		if (code == refusals[i])
			return 0;
	session_note(session, code, NULL, "the server does not let people sign in");
	return -1;
}

/* It waits already: the core sends it after the job. */
static int receive_password(struct session *session, struct message_stream *commands,
			    const void **ret_password, size_t *ret_size)
{
	int64_t end_us = clock_monotonic_us() + (int64_t)session->job->answer_ms * 1000;
	struct message message;
	struct err err = { 0 };

	if (message_receive(commands, end_us, &message, NULL, &err) == 1 &&
	    message.type == PROTOCOL_LOGIN &&
	    login_decode(&message.body, ret_password, ret_size, &err) == 0)
		return 0;
	outcome_note(session->outcome, "protocol-error", "no password came");
	session->broken = true;
	return -1;
}

static void judge(struct session *session, struct message_stream *commands)
{
	const void *password;
	size_t size;
	char *name = NULL;
	bool right = false;

	if (find_entry(session, &name) < 0)
		return;
	if (receive_password(session, commands, &password, &size) == 0) {
		if (bind_as(session, name, password, size, &right) == 0)
			verdict_encode(right, &session->out->frames);
		/* It lies in the stream's own buffer. */
		explicit_bzero((void *)(uintptr_t)password, size);
	}
	ldap_memfree(name);
}

void login_directory(struct session *session, int (*sign_in)(struct session *session),
		     struct message_stream *commands)
{
	output_phase(session->out, PHASE_TLS);
	if (session_secure(session) < 0)
		return;
	output_phase(session->out, PHASE_BIND);
	if (sign_in(session) < 0)
		return;
	output_phase(session->out, PHASE_USERS);
	judge(session, commands);
}
