/* See stages.h. */
#include "stages.h"

#include <string.h>

#include <rolebridge/store/factor.h>

#include "../../../daemon/change/stage.h"

void people_open(struct world *w, const char *yaml)
{
	world_open(w, yaml);
	world_sync(w, "corp", "k1 anna @admins\nk2 ben @sales\n", 0, NULL);
}

struct put {
	struct factor_row factor;
	struct recovery_row code;
};

static int put_job(struct changer *changer, struct job *job, struct err *err)
{
	struct put *put = job->context;

	if (put->factor.user_id && store_factor_insert(changer->store, &put->factor, err) < 0)
		return -1;
	return put->code.user_id ? store_recovery_put(changer->store, &put->code, err) : 0;
}

static void put(struct world *w, struct put *put)
{
	ok(w, writer_request(w->changer, put_job, put, &w->err));
}

void enrol(struct world *w, int64_t user_id, enum factor_method method)
{
	static unsigned char last;
	const unsigned char number = ++last;
	struct put it = { .factor = { .uuid = { { number } },
				      .user_id = user_id,
				      .method = method,
				      .name = arena_printf(w->arena, "factor %u", number),
				      .version = 1,
				      .confirmed_s = NOW,
				      .hint = "",
				      .created_s = NOW } };

	if (method == FACTOR_WEBAUTHN) {
		it.factor.credential = &number;
		it.factor.credential_size = 1;
		it.factor.public_key = "key";
		it.factor.public_key_size = 3;
	} else {
		it.factor.sealed = "sealed";
		it.factor.sealed_size = 6;
		it.factor.key_id = 1;
	}
	put(w, &it);
}

void give_code(struct world *w, int64_t user_id, int slot, int64_t until_s)
{
	struct put it = { .code = { .user_id = user_id,
				    .slot = slot,
				    .hash = "hash",
				    .created_s = NOW,
				    .until_s = until_s,
				    .issuer = "" } };

	put(w, &it);
}

struct stepping {
	struct stage_step step;
	struct arena *arena;
	struct session session;
};

static int step_job(struct changer *changer, struct job *job, struct err *err)
{
	struct stepping *stepping = job->context;

	return stage_complete(changer, &stepping->step, stepping->arena, &stepping->session, err);
}

int complete(struct world *w, int64_t session_id, enum factor_method method, int64_t now_s,
	     const char *token, struct session *ret_session)
{
	struct stepping stepping = { .step = { .session_id = session_id,
					       .method = method,
					       .token = digest256(token, strlen(token)),
					       .now_s = now_s },
				     .arena = w->arena };
	int result = writer_request(w->changer, step_job, &stepping, &w->err);

	if (result == 0)
		*ret_session = stepping.session;
	return result;
}

static unsigned next_id;

struct login_outcome sign_in(struct world *w, const char *line, struct way way)
{
	struct login_outcome outcome;
	struct sent sent;

	world_send(w, &sent, line, arena_printf(w->arena, "_a%u", ++next_id));
	sent.assertion.second_factor_s = way.idp_s;
	sent.assertion.second_factor_asked = way.idp_asked;
	sent.assertion.session_until_s = way.session_until_s;
	sent.login.device = way.device;
	if (way.now_s) {
		sent.login.now_s = way.now_s;
		sent.login.until_s = way.now_s + 3600;
	}
	ok(w, change_login(w->changer, &test_sync, &sent.login, w->arena, &outcome, &w->err));
	strbuf_finish(&sent.record);
	return outcome;
}
