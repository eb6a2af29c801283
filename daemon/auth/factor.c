/*
 * Proving second factors by codes: of an app, by mail or SMS, and recovery codes. Enters: what somebody typed. Leaves: the
 * session that got on. Refused: wrong codes, used ones, too many. Fails: store, hashes, memory, a sealing key that
 * is not there.
 *
 * A code is looked at outside of any transaction; the change that follows reads again all that it stood on.
 */
#include <rolebridge/auth/factor.h>

#include <string.h>

#include <sodium.h>

#include <rolebridge/auth/code.h>
#include <rolebridge/auth/hasher.h>
#include <rolebridge/base/clock.h>

#include "factor_codes.h"
#include "guess.h"

static int wrong_code(struct err *err)
{
	return err_refuse(err, ERR_DENIED, "code-wrong", "this code is not right");
}

static struct factor_proof proof_of(const struct factor_asker *asker, enum factor_method method)
{
	return (struct factor_proof){ .method = method,
				      .user_id = asker->user_id,
				      .session_id = asker->session_id,
				      .token = asker->token };
}

static struct factor_proof proof_by(const struct factor_asker *asker, const struct factor_row *row)
{
	struct factor_proof proof = proof_of(asker, row->method);

	proof.factor = row->uuid;
	proof.version = row->version;
	return proof;
}

/* --- authenticator apps --- */

int factor_check_step(const struct factor_parts *parts, const struct factor_row *row,
		      const char *code, int64_t now_s, int64_t *ret_step, struct err *err)
{
	char digits[TOTP_DIGITS + 1];
	struct secret secret = { 0 };
	bool replayed = false, good;

	if (!totp_code_normalise(code, digits))
		return wrong_code(err);
	if (seal_open(parts->seal, factor_method_name(FACTOR_TOTP), &row->uuid, row->sealed,
		      row->sealed_size, &secret, err) < 0)
		return -1;
	good = totp_check((const unsigned char *)secret.data, secret.size, digits, now_s,
			  row->counter, ret_step, &replayed);
	secret_finish(&secret);
	sodium_memzero(digits, sizeof(digits));
	if (good)
		return 0;
	return replayed ? err_refuse(err, ERR_DENIED, "code-used", "this code was used already")
			: wrong_code(err);
}

/* Of two that failed, what tells more: used before wrong before a key that is not there. */
static int rank(const struct err *problem)
{
	const char *reason = err_reason(problem);

	return strcmp(reason, "code-used") == 0 ? 3 : strcmp(reason, "code-wrong") == 0 ? 2 : 1;
}

/* Any of theirs: people do not say which app they took the code from. */
static int prove_totp(const struct factor_parts *parts, const struct factor_asker *asker,
		      struct store *store, const char *code, struct arena *arena,
		      struct factor_row *ret_row, struct session *session, struct err *err)
{
	struct err problem = { 0 }, worst = { 0 };
	struct factor_row *rows;
	size_t count;

	err_refuse(&worst, ERR_NOT_FOUND, "not-found", "no authenticator app is enrolled");
	if (store_factor_list(store, asker->user_id, false, arena, &rows, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		struct factor_proof proof = proof_by(asker, &rows[i]);

		if (rows[i].method != FACTOR_TOTP)
			continue;
		if (factor_check_step(parts, &rows[i], code, asker->now_s, &proof.counter,
				      &problem) == 0) {
			*ret_row = rows[i];
			return change_factor_prove(parts->changer, asker->actor, &proof, arena,
						   session, err);
		}
		if (worst.code == ERR_NOT_FOUND || rank(&problem) > rank(&worst))
			worst = problem;
	}
	*err = worst;
	return -1;
}

int factor_prove_totp(const struct factor_parts *parts, const struct factor_asker *asker,
		      struct store *store, const char *code, struct arena *arena,
		      struct session *ret_session, int64_t *ret_wait_s, struct err *err)
{
	struct session session = { .id = 0 };
	struct factor_row row = { .id = 0 };
	struct err problem = { 0 };
	struct guess guess;
	int status;

	if (guess_begin(&guess, parts, asker, FACTOR_TOTP, store, arena, ret_wait_s, err) < 0)
		return -1;
	status = prove_totp(parts, asker, store, code, arena, &row, &session, &problem);
	if (guess_end(&guess, row.id ? &row.uuid : NULL, status, &problem, err) < 0)
		return -1;
	*ret_session = session;
	return 0;
}

/* --- codes that were sent --- */

int factor_own_row(const struct factor_asker *asker, struct store *store, const struct uuid *factor,
		   struct arena *arena, struct factor_row *ret_row, struct err *err)
{
	struct factor_row row;

	if (store_factor_get(store, factor, arena, &row, err) < 0)
		return -1;
	if (row.user_id != asker->user_id ||
	    (row.confirmed_s == 0 &&
	     (row.session_id != asker->session_id || row.until_s <= asker->now_s)))
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such factor");
	*ret_row = row;
	return 0;
}

int factor_check_sent(const struct factor_parts *parts, const struct factor_asker *asker,
		      const struct factor_row *row, const char *code, int64_t *ret_generation,
		      struct err *err)
{
	struct challenge_row sent;
	struct code_subject subject;

	if (change_challenge_try(parts->changer, asker->session_id, &row->uuid, &sent, err) < 0)
		return -1;
	subject = (struct code_subject){ .session_id = sent.session_id,
					 .factor = row->uuid,
					 .generation = sent.generation,
					 .until_s = sent.until_s };
	if (!code_check(parts->tickets, &subject, code))
		return wrong_code(err);
	*ret_generation = sent.generation;
	return 0;
}

static int prove_sent(const struct factor_parts *parts, const struct factor_asker *asker,
		      const struct factor_row *row, const char *code, struct arena *arena,
		      struct session *session, struct err *err)
{
	struct factor_proof proof = proof_by(asker, row);

	if (factor_check_sent(parts, asker, row, code, &proof.generation, err) < 0)
		return -1;
	return change_factor_prove(parts->changer, asker->actor, &proof, arena, session, err);
}

int factor_guess(const struct factor_parts *parts, const struct factor_asker *asker,
		 struct store *store, const struct factor_row *row, const char *code,
		 factor_look *look, struct arena *arena, struct session *ret_session,
		 int64_t *ret_wait_s, struct err *err)
{
	struct session session = { .id = 0 };
	struct err problem = { 0 };
	struct guess guess;
	int status;

	if (guess_begin(&guess, parts, asker, row->method, store, arena, ret_wait_s, err) < 0)
		return -1;
	status = look(parts, asker, row, code, arena, &session, &problem);
	if (guess_end(&guess, &row->uuid, status, &problem, err) < 0)
		return -1;
	*ret_session = session;
	return 0;
}

int factor_prove_sent(const struct factor_parts *parts, const struct factor_asker *asker,
		      struct store *store, const struct uuid *factor, const char *code,
		      struct arena *arena, struct session *ret_session, int64_t *ret_wait_s,
		      struct err *err)
{
	struct factor_row row;

	if (ret_wait_s)
		*ret_wait_s = 0;
	if (factor_own_row(asker, store, factor, arena, &row, err) < 0)
		return -1;
	if (row.method != FACTOR_EMAIL && row.method != FACTOR_SMS)
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such factor");
	return factor_guess(parts, asker, store, &row, code, prove_sent, arena, ret_session,
			    ret_wait_s, err);
}

/* --- recovery codes --- */

/* The row that the code says it stands in; one hash, also when there is no such row. */
static int check_recovery(const struct factor_parts *parts, int64_t user_id, struct store *store,
			  int slot, const char *code, struct arena *arena, int64_t *ret_id,
			  struct err *err)
{
	struct recovery_row row = { .hash = "" };
	struct err cause = { 0 };
	bool good = false;

	if (!parts->hasher)
		return err_refuse(err, ERR_UNAVAILABLE, "busy",
				  "recovery codes are not taken here");
	if (store_recovery_get(store, user_id, slot, arena, &row, &cause) < 0 &&
	    cause.code != ERR_NOT_FOUND)
		return *err = cause, -1;
	if (hasher_verify(parts->hasher, row.hash[0] ? row.hash : NULL, code, strlen(code), &good,
			  NULL, err) < 0)
		return -1;
	if (!good)
		return row.used_s ? err_refuse(err, ERR_DENIED, "code-used",
					       "this code was used already, or is not right")
				  : wrong_code(err);
	*ret_id = row.id;
	return 0;
}

static int prove_recovery(const struct factor_parts *parts, const struct factor_asker *asker,
			  struct store *store, const char *text, struct arena *arena,
			  struct session *session, struct err *err)
{
	struct factor_proof proof = proof_of(asker, FACTOR_RECOVERY);
	char code[RECOVERY_CODE];
	int slot, result;

	if (!recovery_parse(text, &slot, code))
		return wrong_code(err);
	result = check_recovery(parts, asker->user_id, store, slot, code, arena, &proof.recovery_id,
				err);
	sodium_memzero(code, sizeof(code));
	return result < 0 ? -1
			  : change_factor_prove(parts->changer, asker->actor, &proof, arena,
						session, err);
}

int factor_prove_recovery(const struct factor_parts *parts, const struct factor_asker *asker,
			  struct store *store, const char *code, struct arena *arena,
			  struct session *ret_session, int64_t *ret_wait_s, struct err *err)
{
	struct session session = { .id = 0 };
	struct err problem = { 0 };
	struct guess guess;
	int status;

	if (guess_begin(&guess, parts, asker, FACTOR_RECOVERY, store, arena, ret_wait_s, err) < 0)
		return -1;
	status = prove_recovery(parts, asker, store, code, arena, &session, &problem);
	if (guess_end(&guess, NULL, status, &problem, err) < 0)
		return -1;
	*ret_session = session;
	return 0;
}

static int make_one(struct hasher *hasher, int slot, char ret_text[static RECOVERY_TEXT],
		    char ret_hash[static HASH_TEXT], struct err *err)
{
	char text[RECOVERY_TEXT], code[RECOVERY_CODE] = "";
	int parsed, result;

	if (!hasher)
		return err_refuse(err, ERR_UNAVAILABLE, "busy", "recovery codes are not made here");
	recovery_make(slot, text);
	result = recovery_parse(text, &parsed, code)
			 ? hasher_make(hasher, code, strlen(code), ret_hash, err)
			 : err_set(err, ERR_INTERNAL, "a recovery code is none");
	sodium_memzero(code, sizeof(code));
	if (result == 0)
		memcpy(ret_text, text, sizeof(text));
	sodium_memzero(text, sizeof(text));
	return result;
}

static int make_all(const struct factor_parts *parts, const struct factor_asker *asker,
		    struct recovery_codes *codes, struct err *err)
{
	char hashes[RECOVERY_PRINTED][HASH_TEXT];
	const char *list[RECOVERY_PRINTED];

	for (int slot = 0; slot < RECOVERY_PRINTED; slot++) {
		if (make_one(parts->hasher, slot, codes->text[slot], hashes[slot], err) < 0)
			return -1;
		list[slot] = hashes[slot];
	}
	return change_recovery_put(parts->changer, asker->actor, asker->user_id, asker->session_id,
				   list, err);
}

/* Ten hashes each time: whoever asks again and again leaves none for those who sign in. */
int factor_make_codes(const struct factor_parts *parts, const struct factor_asker *asker,
		      struct recovery_codes *ret_codes, int64_t *ret_wait_s, struct err *err)
{
	const struct throttle_attempt attempt = { .kind = THROTTLE_PRINT,
						  .account = asker->actor->name,
						  .account_only = true };
	struct recovery_codes codes;
	int result;

	if (ret_wait_s)
		*ret_wait_s = 0;
	if (change_recovery_may_put(parts->changer, asker->actor, asker->user_id, asker->session_id,
				    err) < 0 ||
	    guess_take(parts, asker, &attempt, ret_wait_s, err) < 0)
		return -1;
	result = make_all(parts, asker, &codes, err);
	if (result == 0)
		*ret_codes = codes;
	else if (parts->throttle)
		throttle_return(parts->throttle, &attempt, clock_monotonic_us());
	sodium_memzero(&codes, sizeof(codes));
	return result;
}

int factor_issue_code(const struct factor_parts *parts, const struct actor *actor,
		      struct store *store, const char *user, int64_t lifetime_s,
		      char ret_code[static RECOVERY_TEXT], struct uuid *ret_uuid,
		      int64_t *ret_until_s, struct err *err)
{
	int64_t life_s = lifetime_s ? lifetime_s : RECOVERY_DEFAULT_S;
	char text[RECOVERY_TEXT], hash[HASH_TEXT];
	int result;

	if (change_recovery_may_issue(parts->changer, store, actor, user, life_s, err) < 0 ||
	    make_one(parts->hasher, RECOVERY_SLOT_ISSUED, text, hash, err) < 0)
		return -1;
	result = change_recovery_issue(parts->changer, actor, user, hash, life_s, ret_uuid,
				       ret_until_s, err);
	if (result == 0)
		memcpy(ret_code, text, sizeof(text));
	sodium_memzero(text, sizeof(text));
	return result;
}
