/*
 * Enrolling factors that live by codes: apps, addresses. Enters: what somebody wants, addresses, first codes. Leaves: what
 * an app needs, shown once; codes on their way; factors. Refused: what is no address, too many messages. Fails: store,
 * memory, a server that takes no mail or SMS.
 */
#include <string.h>

#include <sodium.h>

#include <rolebridge/auth/code.h>
#include <rolebridge/auth/courier.h>
#include <rolebridge/auth/factor.h>
#include <rolebridge/auth/throttle.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>
#include <rolebridge/client/mail.h>
#include <rolebridge/client/sms.h>
#include <rolebridge/identity/names.h>

#include "factor_codes.h"
#include "guess.h"

#define URI_MAX 8192
#define SVG_MAX ((size_t)1024 * 1024)
#define SEND_ARENA_MAX ((size_t)1024 * 1024)

/* --- authenticator apps --- */

static void wipe(struct strbuf *text)
{
	if (text->data)
		sodium_memzero(text->data, text->capacity);
}

static int describe(const unsigned char *secret, size_t size, const char *issuer,
		    const char *account, struct arena *arena, struct totp_enrolment *enrolment,
		    struct err *err)
{
	AUTO(strbuf) struct strbuf text = STRBUF(URI_MAX);
	AUTO(strbuf) struct strbuf uri = STRBUF(URI_MAX);
	AUTO(strbuf) struct strbuf svg = STRBUF(SVG_MAX);
	int result;

	totp_secret_text(secret, size, &text);
	totp_uri(secret, size, issuer, account, &uri);
	result = strbuf_failed(&text) || strbuf_failed(&uri)
			 ? err_set(err, ERR_TOO_LARGE, "names are too long for an app")
			 : qr_svg(strbuf_text(&uri), &svg, err);
	if (result == 0) {
		enrolment->secret = arena_strdup(arena, strbuf_text(&text));
		enrolment->uri = arena_strdup(arena, strbuf_text(&uri));
		enrolment->svg = arena_strdup(arena, strbuf_text(&svg));
	}
	wipe(&text);
	wipe(&uri);
	wipe(&svg);
	if (result == 0 && (!enrolment->secret || !enrolment->uri || !enrolment->svg))
		return err_set(err, ERR_MEMORY, "no memory to enrol an app");
	return result;
}

static struct new_factor factor_of(const struct factor_asker *asker, enum factor_method method,
				   const char *name)
{
	return (struct new_factor){ .user_id = asker->user_id,
				    .session_id = asker->session_id,
				    .uuid = uuid_create(asker->now_s * 1000),
				    .method = method,
				    .name = name,
				    .hint = "" };
}

/* Noted, with what is secret of it sealed. */
static int begin(const struct factor_parts *parts, const struct factor_asker *asker,
		 struct new_factor *factor, const void *secret, size_t size, struct arena *arena,
		 struct err *err)
{
	if (seal_close(parts->seal, factor_method_name(factor->method), &factor->uuid, secret, size,
		       arena, &factor->sealed, &factor->sealed_size, &factor->key_id, err) < 0)
		return -1;
	return change_factor_begin(parts->changer, asker->actor, factor, err);
}

int factor_enrol_totp(const struct factor_parts *parts, const struct factor_asker *asker,
		      const char *name, const char *issuer, const char *account,
		      struct arena *arena, struct totp_enrolment *ret_enrolment, struct err *err)
{
	struct new_factor factor = factor_of(asker, FACTOR_TOTP, name);
	struct totp_enrolment enrolment = { .uuid = factor.uuid,
					    .until_s = asker->now_s + FACTOR_PENDING_S };
	unsigned char secret[TOTP_SECRET_BYTES];
	int result;

	totp_secret_make(secret);
	result = describe(secret, sizeof(secret), issuer, account, arena, &enrolment, err);
	if (result == 0)
		result = begin(parts, asker, &factor, secret, sizeof(secret), arena, err);
	sodium_memzero(secret, sizeof(secret));
	if (result == 0)
		*ret_enrolment = enrolment;
	return result;
}

int factor_pending_totp(const struct factor_parts *parts, const struct factor_asker *asker,
			struct store *store, const struct uuid *factor, const char *issuer,
			const char *account, struct arena *arena,
			struct totp_enrolment *ret_enrolment, struct err *err)
{
	struct totp_enrolment enrolment = { .uuid = *factor };
	struct secret secret = { 0 };
	struct factor_row row;
	int result;

	if (factor_own_row(asker, store, factor, arena, &row, err) < 0)
		return -1;
	/* One that is theirs already is shown to nobody any more. */
	if (row.method != FACTOR_TOTP || row.confirmed_s != 0)
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such factor");
	if (seal_open(parts->seal, factor_method_name(FACTOR_TOTP), &row.uuid, row.sealed,
		      row.sealed_size, &secret, err) < 0)
		return -1;
	enrolment.until_s = row.until_s;
	result = describe((const unsigned char *)secret.data, secret.size, issuer, account, arena,
			  &enrolment, err);
	secret_finish(&secret);
	if (result == 0)
		*ret_enrolment = enrolment;
	return result;
}

/* --- sending codes --- */

static int deliver(const struct factor_parts *parts, const struct factor_row *row,
		   const struct challenge_row *sent, struct err *err)
{
	const struct code_subject subject = { .session_id = sent->session_id,
					      .factor = row->uuid,
					      .generation = sent->generation,
					      .until_s = sent->until_s };
	bool is_mail = row->method == FACTOR_EMAIL;
	char code[CODE_TEXT];
	struct courier_code letter = { .way = is_mail ? COURIER_MAIL : COURIER_SMS,
				       .to_name = "",
				       .code = code,
				       .valid_s = sent->until_s - sent->sent_s };
	struct secret address = { 0 };
	int result;

	if (seal_open(parts->seal, factor_method_name(row->method), &row->uuid, row->sealed,
		      row->sealed_size, &address, err) < 0)
		return -1;
	letter.to = address.data;
	code_make(parts->tickets, &subject, code);
	result = courier_send(parts->courier, &letter, err);
	sodium_memzero(code, sizeof(code));
	secret_finish(&address);
	return result;
}

static int send_row(const struct factor_parts *parts, const struct factor_asker *asker,
		    const struct factor_row *row, struct throttle_attempt *attempt,
		    int64_t *ret_until_s, int64_t *ret_wait_s, struct err *err)
{
	struct challenge_row sent;

	if (!parts->courier)
		return err_refuse(err, ERR_UNAVAILABLE,
				  row->method == FACTOR_EMAIL ? "mail-unavailable"
							      : "sms-unavailable",
				  "no codes are sent here");
	/* Letters and messages cost others: whoever has many sent waits. */
	if (guess_take(parts, asker, attempt, ret_wait_s, err) < 0)
		return -1;
	if (change_challenge_send(parts->changer, asker->actor, asker->user_id, asker->session_id,
				  &row->uuid, &sent, ret_wait_s, err) < 0) {
		if (parts->throttle)
			throttle_return(parts->throttle, attempt, clock_monotonic_us());
		return -1;
	}
	if (deliver(parts, row, &sent, err) < 0)
		return -1;
	*ret_until_s = sent.until_s;
	return 0;
}

/* row: as it is in the store, or was put there a moment ago, which store need not see yet. */
static int send_to(const struct factor_parts *parts, const struct factor_asker *asker,
		   struct store *store, const struct factor_row *row, struct arena *arena,
		   int64_t *ret_until_s, int64_t *ret_wait_s, struct err *err)
{
	char account[UUID_TEXT_SIZE];
	struct address address;
	struct throttle_attempt attempt = { .kind = THROTTLE_SEND, .account = account };
	struct user user;

	if (store_user_get(store, asker->user_id, arena, &user, err) < 0)
		return -1;
	uuid_format(&user.uuid, account);
	if (address_parse(asker->address, &address, NULL) == 0)
		attempt.address = &address;
	return send_row(parts, asker, row, &attempt, ret_until_s, ret_wait_s, err);
}

int factor_send(const struct factor_parts *parts, const struct factor_asker *asker,
		struct store *store, const struct uuid *factor, int64_t *ret_until_s,
		int64_t *ret_wait_s, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(SEND_ARENA_MAX);
	struct factor_row row;

	if (ret_wait_s)
		*ret_wait_s = 0;
	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory to send a code");
	if (factor_own_row(asker, store, factor, arena, &row, err) < 0)
		return -1;
	if (row.method != FACTOR_EMAIL && row.method != FACTOR_SMS)
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such factor");
	return send_to(parts, asker, store, &row, arena, ret_until_s, ret_wait_s, err);
}

/* --- addresses --- */

/* "a…@example.com": the person knows the rest. */
static const char *hint_of_mail(const char *address, struct arena *arena)
{
	uint32_t first;
	size_t size = text_next_char(address, strlen(address), &first);

	return arena_printf(arena, "%.*s…@%s", (int)size, address, email_domain(address));
}

static const char *hint_of_number(const char *number, struct arena *arena)
{
	return arena_printf(arena, "…%s", number + strlen(number) - 2);
}

static int no_address(const struct err *why, struct err *err)
{
	return err_refuse(err, ERR_INVALID, "invalid-request", "%s", why->text);
}

/* As it is sealed: normalised. */
static int read_address(enum factor_method method, const char *text, struct arena *arena,
			const char **ret_address, const char **ret_hint, struct err *err)
{
	AUTO(strbuf) struct strbuf mail = STRBUF(1024);
	char number[SMS_NUMBER_SIZE];
	struct err why = { 0 };

	if (method == FACTOR_EMAIL) {
		if (email_normalize(text, &mail, &why) < 0 ||
		    mail_check_address(strbuf_text(&mail), &why) < 0)
			return no_address(&why, err);
		*ret_address = arena_strdup(arena, strbuf_text(&mail));
		*ret_hint = *ret_address ? hint_of_mail(*ret_address, arena) : NULL;
	} else {
		if (sms_number_read(text, number, &why) < 0)
			return no_address(&why, err);
		*ret_address = arena_strdup(arena, number);
		*ret_hint = hint_of_number(number, arena);
	}
	return *ret_address && *ret_hint ? 0 : err_set(err, ERR_MEMORY, "no memory for an address");
}

static int begin_address(const struct factor_parts *parts, const struct factor_asker *asker,
			 struct new_factor *factor, const char *address, struct arena *arena,
			 struct err *err)
{
	const char *normal = NULL;

	if (read_address(factor->method, address, arena, &normal, &factor->hint, err) < 0)
		return -1;
	return begin(parts, asker, factor, normal, strlen(normal), arena, err);
}

int factor_enrol_address(const struct factor_parts *parts, const struct factor_asker *asker,
			 struct store *store, enum factor_method method, const char *name,
			 const char *address, struct uuid *ret_uuid, int64_t *ret_until_s,
			 int64_t *ret_wait_s, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(SEND_ARENA_MAX);
	struct new_factor factor = factor_of(asker, method, name);
	struct factor_row row;

	if (ret_wait_s)
		*ret_wait_s = 0;
	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory for an address");
	if (method != FACTOR_EMAIL && method != FACTOR_SMS)
		return err_set(err, ERR_INTERNAL, "codes are sent by mail and SMS alone");
	if (begin_address(parts, asker, &factor, address, arena, err) < 0)
		return -1;
	*ret_uuid = factor.uuid;
	row = (struct factor_row){ .uuid = factor.uuid,
				   .method = method,
				   .sealed = factor.sealed,
				   .sealed_size = factor.sealed_size };
	return send_to(parts, asker, store, &row, arena, ret_until_s, ret_wait_s, err);
}

/* --- confirming --- */

static int confirm(const struct factor_parts *parts, const struct factor_asker *asker,
		   const struct factor_row *row, const char *code, struct arena *arena,
		   struct session *session, struct err *err)
{
	struct factor_proof proof = { .method = row->method,
				      .user_id = asker->user_id,
				      .session_id = asker->session_id,
				      .factor = row->uuid,
				      .version = row->version,
				      .token = asker->token };
	int result =
		row->method == FACTOR_TOTP
			? factor_check_step(parts, row, code, asker->now_s, &proof.counter, err)
			: factor_check_sent(parts, asker, row, code, &proof.generation, err);

	if (result < 0)
		return -1;
	return change_factor_confirm(parts->changer, asker->actor, &proof, arena, session, err);
}

int factor_confirm(const struct factor_parts *parts, const struct factor_asker *asker,
		   struct store *store, const struct uuid *factor, const char *code,
		   struct arena *arena, struct session *ret_session, int64_t *ret_wait_s,
		   struct err *err)
{
	struct factor_row row;

	if (ret_wait_s)
		*ret_wait_s = 0;
	if (factor_own_row(asker, store, factor, arena, &row, err) < 0)
		return -1;
	if (row.confirmed_s != 0)
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "nothing waits to be confirmed");
	return factor_guess(parts, asker, store, &row, code, confirm, arena, ret_session,
			    ret_wait_s, err);
}
