/* What proving and enrolling by codes share (factor.c, factor_enrol.c). */
#ifndef AUTH_FACTOR_CODES_H
#define AUTH_FACTOR_CODES_H

#include <rolebridge/auth/factor.h>

/* Theirs, confirmed or begun in this session. ERR_NOT_FOUND. */
int factor_own_row(const struct factor_asker *asker, struct store *store, const struct uuid *factor,
		   struct arena *arena, struct factor_row *ret_row, struct err *err);
/* The code of an app: ERR_DENIED "code-wrong", "code-used"; ERR_UNAVAILABLE "sealing-key-missing". */
int factor_check_step(const struct factor_parts *parts, const struct factor_row *row,
		      const char *code, int64_t now_s, int64_t *ret_step, struct err *err);
/* The code that was sent last; a try is counted. Errors of change_challenge_try, and "code-wrong". */
int factor_check_sent(const struct factor_parts *parts, const struct factor_asker *asker,
		      const struct factor_row *row, const char *code, int64_t *ret_generation,
		      struct err *err);

/* What looks at a code and uses it up; and that as a guess, which is throttled and told. */
typedef int factor_look(const struct factor_parts *parts, const struct factor_asker *asker,
			const struct factor_row *row, const char *code, struct arena *arena,
			struct session *session, struct err *err);
int factor_guess(const struct factor_parts *parts, const struct factor_asker *asker,
		 struct store *store, const struct factor_row *row, const char *code,
		 factor_look *look, struct arena *arena, struct session *ret_session,
		 int64_t *ret_wait_s, struct err *err);

#endif
