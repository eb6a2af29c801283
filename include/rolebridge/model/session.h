/*
 * A session: somebody has signed in. The token itself is known to the browser
 * alone; here is its hash. A session has one token for the daemon's own pages and one for
 * each application host that asked for one.
 */
#ifndef ROLEBRIDGE_MODEL_SESSION_H
#define ROLEBRIDGE_MODEL_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include <rolebridge/base/hash.h>
#include <rolebridge/base/ids.h>

struct session {
	int64_t id;	  /* row; 0: not stored yet */
	struct uuid uuid; /* how people name it: sessions list, sessions end */
	int64_t user_id;
	const char *source;  /* that signed in; "" for local sign-in */
	const char *name_id; /* at the source, for logout; "" */
	const char *name_id_format;
	const char *session_index; /* "" */
	const char *address;	   /* of the browser; "" */
	const char *agent;	   /* User-Agent, cut to 200 bytes; "" */
	int64_t created_s, seen_s;
	int64_t until_s;	 /* absolute end: own limit and the IdP's, whichever is first */
	int64_t second_factor_s; /* proven at; 0: not */
};

/* host "": the daemon's own pages; else the application host, as normalised in the configuration. */
struct session_token {
	struct hash256 hash;
	int64_t session_id;
	const char *host;
	int64_t created_s;
};

#endif
