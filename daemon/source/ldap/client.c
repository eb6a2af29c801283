/*
 * A read of all servers in order, until one answers: the job made from the configuration,
 * attempt after attempt. A server that fails is followed by the next one as long as
 * nothing was handed to the intake.
 */
#include "client.h"

#include <string.h>
#include <strings.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>

#include "../directory.h"
#include "../disabled.h"

/* Decoded texts of one message from the worker. */
#define SCRATCH_MAX (64 * 1024)
#define SETTINGS_MEMORY_MAX (256 * 1024)

/* --- the job --- */

static const char *text_or_empty(const struct located *text)
{
	return text->text ? text->text : "";
}

static struct job_texts list_or_default(const struct located_list *list, const char *const *usual,
					size_t usual_count, struct arena *arena)
{
	struct job_texts texts = { .count = list->count ? list->count : usual_count };

	texts.items = arena_alloc_array(arena, texts.count + 1, sizeof(*texts.items));
	if (!texts.items)
		return (struct job_texts){ 0 };
	for (size_t i = 0; i < texts.count; i++)
		texts.items[i] = list->count ? text_or_empty(&list->items[i]) : usual[i];
	return texts;
}

static struct job_texts disabled_texts(const struct located_list *option, struct arena *arena)
{
	struct job_texts texts = { .count = disabled_count(option) };

	texts.items = arena_alloc_array(arena, texts.count + 1, sizeof(*texts.items));
	if (!texts.items)
		return (struct job_texts){ 0 };
	for (size_t i = 0; i < texts.count; i++)
		texts.items[i] = disabled_text(option, i);
	return texts;
}

static void fill_bind(const struct ldap_bind_settings *bind, struct job *job)
{
	job->bind_method = (uint8_t)bind->method;
	job->bind_dn = text_or_empty(&bind->dn);
	job->password_file = text_or_empty(&bind->password_file);
	job->certificate = text_or_empty(&bind->certificate);
	job->private_key = text_or_empty(&bind->private_key);
	job->keytab = text_or_empty(&bind->keytab);
	job->kerberos_config = text_or_empty(&bind->kerberos_config);
}

/* What is the same for every server. */
static int fill_job(const struct ldap_source *source, struct arena *arena, struct job *job,
		    struct err *err)
{
	static const char *const members[] = { "member", "uniqueMember", "memberUid" };
	const char *groups_base = text_or_empty(&source->groups.base);

	job->now_s = clock_now_s();
	job->ca = text_or_empty(&source->ca);
	fill_bind(&source->bind, job);
	job->users = (struct job_search){ text_or_empty(&source->users.base),
					  text_or_empty(&source->users.filter),
					  (uint8_t)source->users.scope };
	job->groups = (struct job_search){ groups_base[0] ? groups_base : job->users.base,
					   text_or_empty(&source->groups.filter),
					   (uint8_t)source->groups.scope };
	job->key = text_or_empty(&source->users.key);
	job->members = list_or_default(&source->groups.members, members, ARRAY_LEN(members), arena);
	job->disabled = disabled_texts(&source->users.disabled, arena);
	job->canaries = list_or_default(&source->common.canaries, NULL, 0, arena);
	job->page_size = (uint32_t)source->page_size;
	job->answer_ms = (uint32_t)(source->timeouts.answer_s * 1000);
	job->ignore_referrals = source->ignore_referrals;
	job->poll_ms = (uint32_t)(source->follow.poll_s * 1000);
	job->keepalive_ms = (uint32_t)(source->follow.keepalive_s * 1000);
	if (arena_failed(arena))
		return err_set(err, ERR_MEMORY, "out of memory");
	return 0;
}

uint8_t client_transport(const struct ldap_source *source, const struct server *server)
{
	if (server->scheme == SERVER_LDAPI)
		return TRANSPORT_LOCAL;
	if (server->scheme == SERVER_LDAPS)
		return TRANSPORT_LDAPS;
	/* A configuration that was not checked must not end in clear text. */
	if (source->tls == LDAP_SOURCE_CLEARTEXT && source->allow_cleartext)
		return TRANSPORT_CLEAR;
	return TRANSPORT_STARTTLS;
}

/* --- all servers --- */

static void note_failure(struct client *client, const char *url)
{
	const struct read_result *result = &client->attempt.result;

	append_text(client->failures, sizeof(client->failures), "%s%s: %s: %s",
		    client->failed ? "; " : "", url, result->reason, result->detail);
	client->failed++;
}

static void finish_result(struct client *client, bool answered, struct read_result *ret_result)
{
	struct read_result result = client->attempt.result;

	if (answered) {
		snprintf(result.server, sizeof(result.server), "%s", client->server.url);
		if (client->failed)
			append_text(result.detail, sizeof(result.detail), "%sfailed before: %s",
				    result.detail[0] ? "; " : "", client->failures);
	} else {
		if (client->failed > 1)
			snprintf(result.reason, sizeof(result.reason), "all-servers-failed");
		result.detail[0] = '\0';
		append_text(result.detail, sizeof(result.detail), "%s", client->failures);
	}
	result.entries = client->attempt.identities;
	result.quarantined = client->attempt.quarantined;
	*ret_result = result;
}

/* Nothing of an earlier read counts any more. */
static void begin_read(struct client *client)
{
	client->failures[0] = '\0';
	client->failed = 0;
	client->attempt.identities = client->attempt.quarantined = 0;
	client->attempt.delivered = client->attempt.own_failure = false;
	client->attempt.next_look_us = 0;
	client->attempt.end_us =
		clock_monotonic_us() + client->attempt.source->timeouts.total_s * 1000000;
	client->job.now_s = clock_now_s();
	attempt_reset(&client->attempt);
}

int client_read(struct client *client, struct read_result *ret_result, struct err *err)
{
	struct attempt *attempt = &client->attempt;
	struct server_list servers = { 0 };

	begin_read(client);
	if (server_list(&attempt->source->servers, &servers, err) < 0)
		return -1;
	for (size_t i = 0; i < servers.count; i++) {
		attempt_reset(attempt);
		client->server = servers.items[i];
		client->job.url = client->server.url;
		client->job.transport = client_transport(attempt->source, &client->server);
		if (attempt_run(attempt, &client->server, err) < 0) {
			server_list_finish(&servers);
			return err_wrap(err, "source '%s'",
					text_or_empty(&attempt->source->common.name));
		}
		if (attempt->result.complete || attempt->delivered) {
			server_list_finish(&servers);
			finish_result(client, true, ret_result);
			return 0;
		}
		note_failure(client, client->server.url);
		if (clock_monotonic_us() >= attempt->end_us)
			break;
	}
	if (!client->failed) {
		/* None configured, or no name of a service could be resolved. */
		attempt_end(attempt, servers.problem[0] ? "connect-failed" : "invalid-settings",
			    "%s", servers.problem[0] ? servers.problem : "no server is configured");
		append_text(client->failures, sizeof(client->failures), "%s",
			    attempt->result.detail);
	}
	server_list_finish(&servers);
	finish_result(client, false, ret_result);
	return 0;
}

int client_init(struct client *client, const struct ldap_source *source,
		const struct wanted_attribute *attributes, size_t attribute_count,
		const struct wanted_group *groups, size_t group_count, const struct intake *intake,
		struct err *err)
{
	*client = (struct client){
		.attempt = { .source = source, .intake = intake, .job = &client->job },
		.job = { .attributes = attributes,
			 .attribute_count = attribute_count,
			 .wanted = groups,
			 .wanted_count = group_count },
		.arena = arena_create(SETTINGS_MEMORY_MAX + 64 * group_count),
	};
	client->attempt.scratch = arena_create(SCRATCH_MAX + 8 * group_count);
	attempt_reset(&client->attempt);
	if (client->arena)
		client->attempt.groups = arena_alloc_array(client->arena, group_count + 1,
							   sizeof(*client->attempt.groups));
	if (!client->attempt.groups || !client->attempt.scratch)
		return err_set(err, ERR_MEMORY, "out of memory");
	return fill_job(source, client->arena, &client->job, err);
}

void client_finish(struct client *client)
{
	attempt_stop(&client->attempt);
	arena_destroy(client->attempt.scratch);
	arena_destroy(client->arena);
}

int ldap_source_read(const struct ldap_source *source, const struct wanted_attribute *attributes,
		     size_t attribute_count, const struct wanted_group *groups, size_t group_count,
		     const struct intake *intake, struct read_result *ret_result, struct err *err)
{
	struct err own_err = { 0 };
	struct client client;
	int status;

	if (!err)
		err = &own_err;
	status = client_init(&client, source, attributes, attribute_count, groups, group_count,
			     intake, err);
	if (status == 0)
		status = client_read(&client, ret_result, err);
	client_finish(&client);
	return status;
}

/* --- one person --- */

/* RFC 4515: what is no letter or digit is written as its bytes. */
static void put_escaped(struct strbuf *out, const void *value, size_t size)
{
	const unsigned char *bytes = value;

	for (size_t i = 0; i < size; i++) {
		bool plain = (bytes[i] >= '0' && bytes[i] <= '9') ||
			     (bytes[i] >= 'a' && bytes[i] <= 'z') ||
			     (bytes[i] >= 'A' && bytes[i] <= 'Z') || bytes[i] == '-';
		strbuf_printf(out, plain ? "%c" : "\\%02x", bytes[i]);
	}
}

static bool key_is_guid(const char *name)
{
	for (size_t i = 0; i < directory_id_count; i++)
		if (directory_ids[i].guid && strcasecmp(directory_ids[i].name, name) == 0)
			return true;
	return false;
}

/* The bytes of which directory_guid_text makes this text: swapping them twice gives them back. */
static bool guid_stored(const char *text, char ret_bytes[static sizeof(struct uuid)])
{
	char swapped[UUID_TEXT_SIZE];
	struct uuid uuid;

	if (!uuid_parse(text, &uuid) ||
	    !directory_guid_text(uuid.byte, sizeof(uuid.byte), swapped) ||
	    !uuid_parse(swapped, &uuid))
		return false;
	memcpy(ret_bytes, uuid.byte, sizeof(uuid.byte));
	return true;
}

/* A key that is a GUID in text is looked for by its bytes. */
int client_filter_one(const struct job *job, const char *key, struct strbuf *out, struct err *err)
{
	const char *filter = job->users.filter;
	bool bare = filter[0] != '(';
	char stored[sizeof(struct uuid)];

	strbuf_printf(out, bare ? "(&(%s)(%s=" : "(&%s(%s=", filter, job->key);
	if (key_is_guid(job->key)) {
		if (!guid_stored(key, stored))
			return err_set(err, ERR_INVALID, "'%s' is no GUID", key);
		put_escaped(out, stored, sizeof(stored));
	} else {
		put_escaped(out, key, strlen(key));
	}
	strbuf_puts(out, "))");
	return strbuf_failed(out) ? err_set(err, ERR_TOO_LARGE, "search filter too long") : 0;
}

int ldap_source_read_one(const struct ldap_source *source, const char *key,
			 const struct wanted_attribute *attributes, size_t attribute_count,
			 const struct wanted_group *groups, size_t group_count,
			 const struct intake *intake, struct read_result *ret_result,
			 struct err *err)
{
	AUTO(strbuf) struct strbuf filter = STRBUF(256 * 1024);
	struct err own_err = { 0 };
	struct read_result result;
	struct client client;
	int status;

	if (!err)
		err = &own_err;
	status = client_init(&client, source, attributes, attribute_count, groups, group_count,
			     intake, err);
	if (status == 0)
		status = client_filter_one(&client.job, key, &filter, err);
	if (status == 0) {
		client.job.users.filter = strbuf_text(&filter);
		/* Others are not looked for. */
		client.job.canaries.count = 0;
		status = client_read(&client, &result, err);
	}
	client_finish(&client);
	if (status < 0)
		return -1;
	/* That nobody is there is an answer. */
	if (strcmp(result.reason, "empty-result") == 0) {
		result.complete = true;
		result.reason[0] = result.detail[0] = '\0';
	}
	*ret_result = result;
	return 0;
}
