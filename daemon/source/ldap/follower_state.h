/*
 * What the parts of the follower share: what is told of it (follower_state.c), the full read (follower_read.c), messages
 * (follower_message.c), the connection (follower_link.c), and what is due when (follower.c).
 */
#ifndef SOURCE_LDAP_FOLLOWER_STATE_H
#define SOURCE_LDAP_FOLLOWER_STATE_H

#include "client.h"
#include "prints.h"
#include "telling.h"

#define US_PER_S INT64_C(1000000)
/* Between connections, at most. */
#define RECONNECT_MOST_US (60 * US_PER_S)

enum link { LINK_LOST, LINK_RESUMING, LINK_UP };

struct follower {
	const struct ldap_source *source;
	const struct follow_intake *out;
	struct intake intake;	  /* of full reads */
	struct client clients[2]; /* one follows, and while it does the other may read in full */
	struct client *client;	  /* the one at hand */
	struct follow_state state;
	char server[SERVER_URL_MAX + 1], problem[512];
	struct prints files; /* as the worker at hand has read them */
	struct telling telling;
	/* The connection. */
	enum link link;
	bool beside; /* the worker at hand reads while the other one is kept */
	struct server_list servers;
	size_t next_server;
	unsigned lost_in_a_row;
	unsigned short_lived; /* good ones in a row that were lost at once */
	int64_t retry_us, resumed_us, heard_us, up_us;
	/* Full reads. */
	int64_t full_due_us; /* 0: not by itself */
	unsigned failed_reads;
	bool told; /* the intake knows that no server answers */
	bool full_wished;
	bool anew;   /* this worker has done its duty */
	bool polite; /* and that is nobody's fault */
	enum { FETCH_NOBODY, FETCH_WAITS, FETCH_SENT } fetch;
	char fetch_key[PROTOCOL_KEY_MAX + 1];
	bool wanted_sent; /* others are asked for, and no batch was committed since */
};

/* --- state --- */
void follower_note_problem(struct follower *f, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void follower_note_server(struct follower *f);
void follower_note_connected(struct follower *f);
/* A sign of life of the directory. */
void follower_note_contact(struct follower *f);
/* This worker is of no use any more. polite: a full read may follow at once. */
void follower_read_anew(struct follower *f, bool polite, const char *reason, const char *detail);
/* -1 with ERR_CANCELLED when it is. */
int follower_cancelled(struct follower *f, struct err *err);
/* Of whom a connection or worker that is gone was asked, the next one is. */
void follower_fetch_again(struct follower *f);

/* --- the full read --- */
struct intake follower_intake(struct follower *f);
int follower_read_full(struct follower *f, bool *ret_complete, struct err *err);

/* --- messages --- */
/* Is something there to be received at once? socket -1: wait for the wake only. */
bool follower_wait_readable(const struct follower *f, int socket, int timeout_ms);
bool follower_message_waits(const struct follower *f, int timeout_ms);
int follower_receive_one(struct follower *f, struct err *err);
void follower_worker_is_gone(struct follower *f, const char *cause);

/* --- the connection --- */
/* A worker that is gone is no failure. */
int follower_send(struct follower *f, const struct strbuf *frame, int fd, struct err *err);
/* The connection that the worker got is good. */
void follower_note_resumed(struct follower *f);
/* One that was good is lost. */
int follower_note_lost(struct follower *f, struct err *err);
/* A server that ends each search as soon as it has answered must not be asked without pause. */
void follower_retry_later(struct follower *f);
int follower_reconnect(struct follower *f, struct err *err);

#endif
