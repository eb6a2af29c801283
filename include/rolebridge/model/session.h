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
#include <rolebridge/model/factor.h>

/*
 * How far signing in has come. Only a full session is good for anything but the pages that lead to one. Stored:
 * never renumber.
 */
enum session_stage {
	SESSION_FULL = 0,
	SESSION_FACTOR = 1, /* the first factor was given, a second one is to be proven */
	SESSION_ENROL = 2,  /* may only enrol a factor */
};
const char *session_stage_name(enum session_stage stage); /* "full", "factor", "enrol" */
/* A session that is not full ends so long after its stage began. */
#define SESSION_STAGE_S 900
/* So long after a first factor was given the sign-in is fresh, as enrolling a factor needs it. */
#define SESSION_FRESH_S 300

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
	enum session_stage stage;
	enum factor_method factor; /* that proved it, or FACTOR_NONE */
	enum factor_method
		device_by; /* of FACTOR_DEVICE: what the browser stands for; FACTOR_NONE: not known */
	int64_t full_until_s; /* the end that it will have once it is full; 0: until_s */
	int64_t signed_in_s;  /* the first factor was last given; 0: when it was created */
	bool idp_asked; /* to prove a second factor: when it did not, what counts is asked for here */
	bool by_link;	/* root's: good also while sign-in is suspended (SUSPENDED_SIGN_IN) */
};

static inline int64_t session_signed_in_s(const struct session *session)
{
	return session->signed_in_s ? session->signed_in_s : session->created_s;
}

/* What the second factor was proven by, in the end: FACTOR_NONE where it was not. */
static inline enum factor_method session_proven_by(const struct session *session)
{
	if (session->second_factor_s == 0)
		return FACTOR_NONE;
	return session->factor == FACTOR_DEVICE ? session->device_by : session->factor;
}

/* host "": the daemon's own pages; else the application host, as normalised in the configuration. */
struct session_token {
	struct hash256 hash;
	int64_t session_id;
	const char *host;
	int64_t created_s;
};

#endif
