/* What tests of stages of signing in have in common: factors and codes, steps, sign-ins and what came of them. */
#ifndef TESTS_CHANGE_STAGES_H
#define TESTS_CHANGE_STAGES_H

#include "support.h"

#include <rolebridge/model/session.h>

#define NOW TEST_NOW
#define BASE \
	RULES WIDE "sources: [{name: corp, type: ldif}, {name: idp, type: saml, " \
		   "link: {attribute: uid, source: corp, other: uid}}]\n"
#define ALL "second_factor: {required: all}\n"

/* Open, with anna, an administrator, and ben: users 1 and 2 of a source corp. */
void people_open(struct world *w, const char *yaml);

void enrol(struct world *w, int64_t user_id, enum factor_method method);
void give_code(struct world *w, int64_t user_id, int slot, int64_t until_s);

/* The step from a session's stage to the next one, with what was proved; its token from there on. */
int complete(struct world *w, int64_t session_id, enum factor_method method, int64_t now_s,
	     const char *token, struct session *ret_session);

/* How somebody comes from the source idp. */
struct way {
	int64_t idp_s; /* 0: no proof */
	bool idp_asked;
	struct uuid device;
	int64_t now_s; /* 0: NOW */
	int64_t session_until_s;
};

struct login_outcome sign_in(struct world *w, const char *line, struct way way);
#define HERE(w, line) sign_in(w, line, (struct way){ .now_s = 0 })

#endif
