/*
 * A read of all servers of a source, for whoever needs one: the job, and the attempts.
 */
#ifndef SOURCE_LDAP_CLIENT_H
#define SOURCE_LDAP_CLIENT_H

#include "attempt.h"
#include "srv.h"

struct client {
	struct attempt attempt;
	struct job job;
	struct server server; /* asked last */
	struct arena *arena;
	char failures[512]; /* of the servers before the one that answered */
	size_t failed;
};

/* Borrows all but err. client_finish also after a failure. The job does not follow. */
int client_init(struct client *client, const struct ldap_source *source,
		const struct wanted_attribute *attributes, size_t attribute_count,
		const struct wanted_group *groups, size_t group_count, const struct intake *intake,
		struct err *err);
/* As ldap_source_read; when the job follows and the read is complete the worker is still there. */
int client_read(struct client *client, struct read_result *ret_result, struct err *err);
void client_finish(struct client *client);
/*
 * (&FILTER(KEY=VALUE)) of the job's users: whoever has this key. ERR_INVALID: no entry can have it. The text is
 * out's.
 */
int client_filter_one(const struct job *job, const char *key, struct strbuf *out, struct err *err);

uint8_t client_transport(const struct ldap_source *source, const struct server *server);

#endif
