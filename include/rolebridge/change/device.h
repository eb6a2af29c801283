/*
 * Browsers that a person told to remember, so that they are not asked for the second factor there for a while: a row,
 * and a ticket in a cookie that names it (auth/ticket.h). What it stands for is the proof that it was made after, which
 * grows old like any other. And the way past enrolling while grace lasts.
 */
#ifndef ROLEBRIDGE_CHANGE_DEVICE_H
#define ROLEBRIDGE_CHANGE_DEVICE_H

#include <rolebridge/change/login.h>
#include <rolebridge/store/device.h>

/*
 * This browser of a full session, which proved a second factor here within the last SESSION_FRESH_S by something other
 * than a recovery code. The oldest one goes when there are more than policy allows. ERR_DENIED "not-allowed": policy
 * remembers none, or nothing was proven. Audited. Texts of *ret_row live in the arena.
 */
int change_device_remember(struct changer *changer, const struct actor *actor, int64_t session_id,
			   int64_t now_s, struct arena *arena, struct device_row *ret_row,
			   struct err *err);
/* One of a person, or all (device NULL). ERR_NOT_FOUND; *ret_count (may be NULL) how many. Audited. */
int change_device_forget(struct changer *changer, const struct actor *actor, int64_t user_id,
			 const struct uuid *device, size_t *ret_count, struct err *err);

/*
 * On from SESSION_ENROL without a method, while grace lasts; the sign-in counts against it. The session becomes full with
 * this token. ERR_DENIED "2fa-not-configured": it does not last, or an administrator's code led here. Audited.
 */
int change_enrol_later(struct changer *changer, const struct actor *actor, int64_t session_id,
		       const struct hash256 *token, int64_t now_s, struct arena *arena,
		       struct session *ret_session, struct err *err);

/* For the pages of signing in: what a person may do, in this session (0: in none in particular). Any handle. */
struct factor_answer;
int change_stage_read(struct changer *changer, struct store *store, int64_t user_id,
		      int64_t session_id, int64_t now_s, struct arena *arena,
		      struct factor_answer *ret_answer, unsigned *ret_enrolled, struct err *err);

#endif
