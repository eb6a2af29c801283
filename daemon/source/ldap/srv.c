/*
 * SRV records and the list of servers (see srv.h). Enters: configured URLs and what
 * DNS answers. Leaves: servers. A name that does not resolve is a problem told, no failure.
 */
#include "srv.h"

#include <arpa/nameser.h>
#include <netdb.h>
#include <resolv.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/util.h>

#define ANSWER_MAX 65535
#define SRV_HEAD 6

static bool host_is_sound(const char *host)
{
	size_t size = strlen(host);

	/* "." says that the service is decidedly not there. */
	return size > 0 && size <= SRV_HOST_MAX &&
	       strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") ==
		       size &&
	       host[0] != '.';
}

/* false: not to be used. */
static bool decode_target(ns_msg *message, const ns_rr *record, struct srv_target *ret_target)
{
	const unsigned char *data = ns_rr_rdata(*record);
	struct srv_target target;
	char host[NS_MAXDNAME];

	if (ns_rr_type(*record) != ns_t_srv || ns_rr_class(*record) != ns_c_in ||
	    ns_rr_rdlen(*record) <= SRV_HEAD)
		return false;
	target.priority = (uint16_t)ns_get16(data);
	target.weight = (uint16_t)ns_get16(data + 2);
	target.port = (uint16_t)ns_get16(data + 4);
	if (ns_name_uncompress(ns_msg_base(*message), ns_msg_end(*message), data + SRV_HEAD, host,
			       sizeof(host)) < 0 ||
	    target.port == 0 || !host_is_sound(host))
		return false;
	memcpy(target.host, host, strlen(host) + 1);
	*ret_target = target;
	return true;
}

int srv_decode(const void *answer, size_t size,
	       struct srv_target ret_targets[static SRV_TARGETS_MAX], size_t *ret_count,
	       struct err *err)
{
	ns_msg message;
	ns_rr record;
	size_t count = 0;

	if (size > ANSWER_MAX || ns_initparse(answer, (int)size, &message) < 0)
		return err_set(err, ERR_PROTOCOL, "DNS answered what cannot be read");
	for (int i = 0; i < ns_msg_count(message, ns_s_an) && count < SRV_TARGETS_MAX; i++) {
		if (ns_parserr(&message, ns_s_an, i, &record) < 0)
			return err_set(err, ERR_PROTOCOL, "DNS answered what cannot be read");
		if (decode_target(&message, &record, &ret_targets[count]))
			count++;
	}
	*ret_count = count;
	return 0;
}

static int by_priority(const void *a, const void *b)
{
	const struct srv_target *x = a, *y = b;

	if (x->priority != y->priority)
		return x->priority < y->priority ? -1 : 1;
	/* RFC 2782: those of weight 0 stand first, so that they are hardly ever drawn. */
	return (x->weight > 0) - (y->weight > 0);
}

/* Draw one of the first count by weight and put it in front. */
static void draw_first(struct srv_target *targets, size_t count, uint32_t (*chance)(uint32_t below))
{
	uint32_t sum = 0, drawn;
	struct srv_target chosen;
	size_t at = 0;

	for (size_t i = 0; i < count; i++)
		sum += targets[i].weight;
	drawn = chance(sum + 1);
	for (sum = targets[0].weight; sum < drawn; sum += targets[at].weight)
		at++;
	chosen = targets[at];
	memmove(targets + 1, targets, at * sizeof(*targets));
	targets[0] = chosen;
}

void srv_order(struct srv_target *targets, size_t count, uint32_t (*chance)(uint32_t below))
{
	qsort(targets, count, sizeof(*targets), by_priority);
	for (size_t i = 0; i < count; i++) {
		size_t same = 1;
		while (i + same < count && targets[i + same].priority == targets[i].priority)
			same++;
		draw_first(targets + i, same, chance);
	}
}

/* --- looking up --- */

static const char *lookup_problem(int cause)
{
	switch (cause) {
	case HOST_NOT_FOUND: return "there is no such name";
	case NO_DATA: return "the name has no such records";
	case TRY_AGAIN: return "no name server answered";
	default: return "the name servers failed";
	}
}

static int ask(const char *name, unsigned char *answer, size_t *ret_size, struct err *err)
{
	struct __res_state state = { 0 };
	int size, cause;

	if (res_ninit(&state) < 0)
		return err_set(err, ERR_UNAVAILABLE, "cannot resolve names");
	/* A whole name: what the system's search list would add is another domain. */
	size = res_nquery(&state, name, ns_c_in, ns_t_srv, answer, ANSWER_MAX);
	cause = state.res_h_errno;
	res_nclose(&state);
	if (size < 0)
		return err_set(err, ERR_UNAVAILABLE, "cannot resolve '%s': %s", name,
			       lookup_problem(cause));
	*ret_size = size < ANSWER_MAX ? (size_t)size : ANSWER_MAX;
	return 0;
}

static int look_up(const struct server *domain, struct srv_target targets[static SRV_TARGETS_MAX],
		   size_t *ret_count, struct err *err)
{
	unsigned char *answer = alloc_resize(NULL, ANSWER_MAX);
	char name[SERVER_URL_MAX + 16];
	size_t size = 0;
	int status = -1;

	if (!answer)
		return err_set(err, ERR_MEMORY, "out of memory");
	snprintf(name, sizeof(name), "_%s._tcp.%s",
		 domain->scheme == SERVER_LDAPS ? "ldaps" : "ldap", domain->host);
	if (ask(name, answer, &size, err) == 0)
		status = srv_decode(answer, size, targets, ret_count, err);
	free(answer);
	if (status == 0 && *ret_count == 0)
		return err_set(err, ERR_UNAVAILABLE, "'%s' names no server", name);
	return status;
}

/* --- the list --- */

static int add(struct server_list *list, const struct server *server, struct err *err)
{
	struct server *items = alloc_resize(list->items, (list->count + 1) * sizeof(*list->items));

	if (!items)
		return err_set(err, ERR_MEMORY, "out of memory");
	list->items = items;
	items[list->count++] = *server;
	return 0;
}

static int add_target(struct server_list *list, const struct server *domain,
		      const struct srv_target *target, struct err *err)
{
	char url[SERVER_URL_MAX + 64];
	struct server server;

	snprintf(url, sizeof(url), "%s://%s:%u", domain->scheme == SERVER_LDAPS ? "ldaps" : "ldap",
		 target->host, (unsigned)target->port);
	/* A host too long for a URL: as if it had not been named. */
	return server_parse(url, &server, NULL) < 0 ? 0 : add(list, &server, err);
}

static int add_domain(struct server_list *list, const struct server *domain, struct err *err)
{
	struct srv_target targets[SRV_TARGETS_MAX];
	size_t count = 0;

	if (look_up(domain, targets, &count, err) < 0) {
		if (err->code == ERR_MEMORY)
			return -1;
		snprintf(list->problem, sizeof(list->problem), "%.250s", err->text);
		err_clear(err);
		return 0;
	}
	srv_order(targets, count, randombytes_uniform);
	for (size_t i = 0; i < count; i++)
		if (add_target(list, domain, &targets[i], err) < 0)
			return -1;
	return 0;
}

int server_list(const struct located_list *urls, struct server_list *ret_list, struct err *err)
{
	struct server_list list = { 0 };
	struct err own_err = { 0 };

	if (!err)
		err = &own_err;
	for (size_t i = 0; i < urls->count; i++) {
		struct server server = { 0 };
		const char *url = urls->items[i].text ? urls->items[i].text : "";
		if (server_parse(url, &server, err) < 0 ||
		    (server.srv ? add_domain(&list, &server, err) : add(&list, &server, err)) < 0) {
			server_list_finish(&list);
			return -1;
		}
	}
	*ret_list = list;
	return 0;
}

void server_list_finish(struct server_list *list)
{
	free(list->items);
	list->items = NULL;
	list->count = 0;
}
