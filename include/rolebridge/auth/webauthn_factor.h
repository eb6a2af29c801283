/*
 * Security keys as pages and API ask for them: one call each, from what the browser answered to what was changed, as
 * factor.h has it for codes. Throttling, the look at the answer, its use and the audit of refusals are in here.
 */
#ifndef ROLEBRIDGE_AUTH_WEBAUTHN_FACTOR_H
#define ROLEBRIDGE_AUTH_WEBAUTHN_FACTOR_H

#include <rolebridge/auth/factor.h>
#include <rolebridge/auth/webauthn.h>

/*
 * What the browser is to be asked so that they prove one of their keys: JSON, appended (webauthn_options_get).
 * ERR_NOT_FOUND: they have none. store: any handle to read with, here and below.
 */
int factor_ask_webauthn(const struct factor_parts *parts, const struct factor_asker *asker,
			const struct webauthn_site *site, struct store *store, struct arena *arena,
			struct strbuf *out, struct err *err);
/* Errors of change_factor_prove, of webauthn_prove, and ERR_UNAVAILABLE "rate-limited" as in factor.h. */
int factor_prove_webauthn(const struct factor_parts *parts, const struct factor_asker *asker,
			  const struct webauthn_site *site, struct store *store,
			  const struct webauthn_answer *answer, struct arena *arena,
			  struct session *ret_session, int64_t *ret_wait_s, struct err *err);

/* What the browser is to be asked so that a new one is made (webauthn_options_create). */
int factor_offer_webauthn(const struct factor_parts *parts, const struct factor_asker *asker,
			  const struct webauthn_site *site, struct store *store,
			  struct arena *arena, struct strbuf *out, struct err *err);
/*
 * Theirs from now on. name "": as the method is called. Errors of change_factor_add, of webauthn_register, and
 * "rate-limited". The session as in change_factor_add.
 */
int factor_enrol_webauthn(const struct factor_parts *parts, const struct factor_asker *asker,
			  const struct webauthn_site *site, struct store *store, const char *name,
			  const struct webauthn_answer *answer, struct arena *arena,
			  struct uuid *ret_uuid, struct session *ret_session, int64_t *ret_wait_s,
			  struct err *err);

#endif
