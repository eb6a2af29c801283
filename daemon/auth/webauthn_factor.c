/*
 * Security keys from what a browser answered to what was changed. Enters: who stands before us and their answer. Leaves: what
 * the browser is to be asked, and sessions that went on. Fails as the answer, the throttle and change/ do; what speaks of
 * an attack is told in the audit log.
 */
#include <rolebridge/auth/webauthn_factor.h>

#include <string.h>

#include <rolebridge/base/util.h>

#include "guess.h"

/* ------------------------------------------------------------- what there is -- */

/* Those of their rows that are security keys, at the front; the rest is not to be looked at. */
static int list_keys(struct store *store, int64_t user_id, struct arena *arena,
		     struct factor_row **ret_rows, size_t *ret_count, struct err *err)
{
	struct factor_row *rows;
	size_t count, kept = 0;

	if (store_factor_list(store, user_id, false, arena, &rows, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		if (rows[i].method == FACTOR_WEBAUTHN)
			rows[kept++] = rows[i];
	*ret_rows = rows;
	*ret_count = kept;
	return 0;
}

static int list_ids(struct store *store, int64_t user_id, struct arena *arena,
		    struct webauthn_bytes **ret_ids, size_t *ret_count, struct err *err)
{
	struct webauthn_bytes *ids;
	struct factor_row *rows;
	size_t count;

	if (list_keys(store, user_id, arena, &rows, &count, err) < 0)
		return -1;
	ids = arena_alloc_array(arena, count + 1, sizeof(*ids));
	if (!ids)
		return err_set(err, ERR_MEMORY, "out of memory");
	for (size_t i = 0; i < count; i++)
		ids[i] = (struct webauthn_bytes){ rows[i].credential, rows[i].credential_size };
	*ret_ids = ids;
	*ret_count = count;
	return 0;
}

static struct webauthn_asking asking_of(const struct factor_parts *parts,
					const struct factor_asker *asker,
					const struct webauthn_site *site)
{
	return (struct webauthn_asking){ .site = site,
					 .tickets = parts->tickets,
					 .session_id = asker->session_id,
					 .now_s = asker->now_s };
}

int factor_ask_webauthn(const struct factor_parts *parts, const struct factor_asker *asker,
			const struct webauthn_site *site, struct store *store, struct arena *arena,
			struct strbuf *out, struct err *err)
{
	const struct webauthn_asking asking = asking_of(parts, asker, site);
	struct webauthn_bytes *ids;
	size_t count;

	if (list_ids(store, asker->user_id, arena, &ids, &count, err) < 0)
		return -1;
	return webauthn_options_get(&asking, ids, count, out, err);
}

int factor_offer_webauthn(const struct factor_parts *parts, const struct factor_asker *asker,
			  const struct webauthn_site *site, struct store *store,
			  struct arena *arena, struct strbuf *out, struct err *err)
{
	const struct webauthn_asking asking = asking_of(parts, asker, site);
	struct webauthn_bytes *ids;
	struct user user;
	size_t count;

	if (store_user_get(store, asker->user_id, arena, &user, err) < 0 ||
	    list_ids(store, asker->user_id, arena, &ids, &count, err) < 0)
		return -1;
	return webauthn_options_create(
		&asking,
		&(struct webauthn_person){ .uuid = user.uuid,
					   .username = user.username,
					   .display_name = user.display_name },
		ids, count, out, err);
}

/* ------------------------------------------------------------------- answers -- */

/* The row of the key that answered: theirs. */
static int find_row(const struct factor_asker *asker, struct store *store,
		    const struct webauthn_answer *answer, struct arena *arena,
		    struct factor_row *ret_row, struct err *err)
{
	struct webauthn_bytes id;
	struct factor_row row;
	struct err cause = { 0 };
	int status;

	if (webauthn_answer_id(answer, arena, &id, err) < 0)
		return -1;
	status = store_factor_by_credential(store, id.data, id.size, arena, &row, &cause);
	if (status < 0 && cause.code != ERR_NOT_FOUND)
		return *err = cause, -1;
	if (status < 0 || row.user_id != asker->user_id || row.method != FACTOR_WEBAUTHN)
		return err_refuse(err, ERR_DENIED, "webauthn-credential",
				  "the answer is of another's security key");
	*ret_row = row;
	return 0;
}

static struct webauthn_credential credential_of(const struct factor_row *row)
{
	return (struct webauthn_credential){
		.id = { row->credential, row->credential_size },
		.key = { row->public_key, row->public_key_size },
		.counter = (uint32_t)row->counter,
	};
}

struct proving {
	const struct webauthn_site *site;
	struct store *store;
	const struct webauthn_answer *answer;
	struct session *session;
};

static int prove(const struct factor_parts *parts, const struct guess *guess,
		 const struct proving *proving, struct factor_row *row, struct arena *arena,
		 struct err *err)
{
	const struct factor_asker *asker = guess->asker;
	const struct webauthn_asking asking = asking_of(parts, asker, proving->site);
	struct webauthn_credential stored;
	struct webauthn_proof proof;

	if (find_row(asker, proving->store, proving->answer, arena, row, err) < 0)
		return -1;
	stored = credential_of(row);
	if (webauthn_prove(&asking, proving->answer, &guess->user, &stored, arena, &proof, err) < 0)
		return -1;
	return change_factor_prove(parts->changer, asker->actor,
				   &(struct factor_proof){
					   .method = FACTOR_WEBAUTHN,
					   .user_id = asker->user_id,
					   .session_id = asker->session_id,
					   .factor = row->uuid,
					   .version = row->version,
					   .counter = proof.counter,
					   .challenge = proof.used.name,
					   .challenge_until_s = proof.used.until_s,
					   .token = asker->token,
				   },
				   arena, proving->session, err);
}

int factor_prove_webauthn(const struct factor_parts *parts, const struct factor_asker *asker,
			  const struct webauthn_site *site, struct store *store,
			  const struct webauthn_answer *answer, struct arena *arena,
			  struct session *ret_session, int64_t *ret_wait_s, struct err *err)
{
	struct session session = { .id = 0 };
	const struct proving proving = { site, store, answer, &session };
	struct factor_row row = { .id = 0 };
	struct err problem = { 0 };
	struct guess guess;
	int status;

	if (guess_begin(&guess, parts, asker, FACTOR_WEBAUTHN, store, arena, ret_wait_s, err) < 0)
		return -1;
	status = prove(parts, &guess, &proving, &row, arena, &problem);
	if (guess_end(&guess, row.id ? &row.uuid : NULL, status, &problem, err) < 0)
		return -1;
	*ret_session = session;
	return 0;
}

static int enrol(const struct factor_parts *parts, const struct guess *guess,
		 const struct webauthn_site *site, const char *name,
		 const struct webauthn_answer *answer, struct arena *arena, struct uuid *uuid,
		 struct session *session, struct err *err)
{
	const struct factor_asker *asker = guess->asker;
	const struct webauthn_asking asking = asking_of(parts, asker, site);
	struct webauthn_credential made;

	if (webauthn_register(&asking, answer, arena, &made, err) < 0)
		return -1;
	return change_factor_add(parts->changer, asker->actor,
				 &(struct new_factor){
					 .user_id = asker->user_id,
					 .session_id = asker->session_id,
					 .uuid = *uuid,
					 .method = FACTOR_WEBAUTHN,
					 .name = name,
					 .hint = "",
					 .credential = made.id.data,
					 .credential_size = made.id.size,
					 .public_key = made.key.data,
					 .public_key_size = made.key.size,
					 .model = made.model,
					 .user_verified = made.user_verified,
					 .backed_up = made.backed_up,
					 .counter = made.counter,
					 .challenge = made.used.name,
					 .challenge_until_s = made.used.until_s,
					 .token = asker->token,
				 },
				 arena, session, err);
}

int factor_enrol_webauthn(const struct factor_parts *parts, const struct factor_asker *asker,
			  const struct webauthn_site *site, struct store *store, const char *name,
			  const struct webauthn_answer *answer, struct arena *arena,
			  struct uuid *ret_uuid, struct session *ret_session, int64_t *ret_wait_s,
			  struct err *err)
{
	struct uuid uuid = uuid_create(asker->now_s * 1000);
	struct session session = { .id = 0 };
	struct err problem = { 0 };
	struct guess guess;
	int status;

	if (guess_begin(&guess, parts, asker, FACTOR_WEBAUTHN, store, arena, ret_wait_s, err) < 0)
		return -1;
	status = enrol(parts, &guess, site, name, answer, arena, &uuid, &session, &problem);
	if (guess_end(&guess, NULL, status, &problem, err) < 0)
		return -1;
	*ret_uuid = uuid;
	*ret_session = session;
	return 0;
}
