/*
 * The stages of signing in. Enters: who gave a first factor, proofs that others verified. Leaves: sessions in their
 * stages. Refused: who has no method and must. Fails: store, memory.
 */
#include "stage.h"

#include <rolebridge/base/util.h>

int stage_judge(const struct stage_sign_in *sign_in UNUSED, struct session *session UNUSED,
		const char **ret_refused, struct err *err UNUSED)
{
	*ret_refused = NULL;
	return 0;
}

static int not_yet(struct err *err)
{
	return err_set(err, ERR_UNAVAILABLE, "second factors are not at hand");
}

int stage_complete(struct changer *changer UNUSED, const struct stage_step *step UNUSED,
		   struct arena *arena UNUSED, struct session *ret_session UNUSED, struct err *err)
{
	return not_yet(err);
}

int stage_ask(struct changer *changer UNUSED, const struct live_setup *setup UNUSED,
	      const struct user *user UNUSED, int64_t now_s UNUSED, struct arena *arena UNUSED,
	      struct factor_answer *ret_answer UNUSED, struct err *err)
{
	return not_yet(err);
}

int stage_forget_devices(struct changer *changer UNUSED, int64_t user_id UNUSED,
			 struct err *err UNUSED)
{
	return 0;
}
