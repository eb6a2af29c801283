/*
 * Signing somebody in, the core's side. Enters: a source, somebody's key, a password. Leaves: right or wrong. Fails when no
 * server could say, and as our own side does. One worker process each, as for a read.
 */
#include <rolebridge/source/ldap.h>

#include <stdio.h>
#include <string.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/ids.h>
#include <rolebridge/base/util.h>

#include "client.h"

#define FILTER_MAX (256u * 1024)

/* A key that no entry has, in the form of those that are told as UUIDs. */
static void make_key(char ret_text[static UUID_TEXT_SIZE])
{
	struct uuid uuid = uuid_create(clock_now_s() * 1000);

	uuid_format(&uuid, ret_text);
}

static void limit_time(struct ldap_source *source)
{
	struct ldap_timeout_settings *timeouts = &source->timeouts;

	if (timeouts->total_s > LDAP_SIGN_IN_S)
		timeouts->total_s = LDAP_SIGN_IN_S;
	/* Another server is asked after one that is silent. */
	if (timeouts->answer_s > LDAP_SIGN_IN_S / 2)
		timeouts->answer_s = LDAP_SIGN_IN_S / 2;
	if (timeouts->connect_s > LDAP_SIGN_IN_S / 3)
		timeouts->connect_s = LDAP_SIGN_IN_S / 3;
}

static int ask(struct client *client, const char *key, struct read_result *ret_result,
	       struct err *err)
{
	AUTO(strbuf) struct strbuf filter = STRBUF(FILTER_MAX);
	char nobody[UUID_TEXT_SIZE];

	make_key(nobody);
	/* Of before another attribute was made the key: no entry can have it. */
	if (key && client_filter_one(&client->job, key, &filter, NULL) < 0) {
		strbuf_clear(&filter);
		key = NULL;
	}
	if (!key && client_filter_one(&client->job, nobody, &filter, err) < 0)
		return -1;
	/* What was typed for others, or by mistake, is none of the directory's business. */
	if (!key) {
		client->attempt.password = nobody;
		client->attempt.password_size = strlen(nobody);
	}
	client->job.users.filter = strbuf_text(&filter);
	client->job.canaries.count = 0;
	client->job.test = TEST_LOGIN;
	return client_read(client, ret_result, err);
}

int ldap_source_sign_in(const struct ldap_source *source, const char *key, const void *password,
			size_t size, bool *ret_right, unsigned *ret_asked, struct err *err)
{
	const struct intake intake = { .context = NULL };
	struct ldap_source hasty = *source;
	struct read_result result;
	struct err own_err = { 0 };
	struct client client;
	int status;

	if (!err)
		err = &own_err;
	*ret_asked = 0;
	if (size == 0 || size > PROTOCOL_PASSWORD_MAX || memchr(password, '\0', size)) {
		*ret_right = false;
		return 0;
	}
	limit_time(&hasty);
	status = client_init(&client, &hasty, NULL, 0, NULL, 0, &intake, err);
	client.attempt.password = password;
	client.attempt.password_size = size;
	if (status == 0)
		status = ask(&client, key, &result, err);
	if (status == 0 && result.complete)
		*ret_right = client.attempt.right && key != NULL;
	*ret_asked = client.attempt.asked;
	client_finish(&client);
	if (status < 0)
		return -1;
	return result.complete ? 0
			       : err_refuse(err, ERR_UNAVAILABLE, "directory-unavailable", "%s: %s",
					    result.reason, result.detail);
}
