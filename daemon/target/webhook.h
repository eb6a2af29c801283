/* Between the files of the webhook: events and signatures. */
#ifndef ROLEBRIDGE_TARGET_WEBHOOK_INTERNAL_H
#define ROLEBRIDGE_TARGET_WEBHOOK_INTERNAL_H

#include <rolebridge/base/secret.h>
#include <rolebridge/target/webhook.h>

/* --- webhook_event.c --- */

#define WEBHOOK_DETAIL_MAX (4 * 1024 * 1024)

/*
 * Append the event of a row as JSON: 1; 0: this endpoint does not want it, and out is as it was; -1: ERR_INVALID
 * "event-damaged" when the row's detail is none, ERR_TOO_LARGE "event-too-large", ERR_MEMORY. Time and user are the row's: the same bytes at each attempt.
 */
int webhook_event_make(const struct webhook_settings *settings, const struct delivery_row *row,
		       struct strbuf *out, struct err *err);

/* --- webhook_sign.c --- */

#define WEBHOOK_SECRETS_MAX 2
#define WEBHOOK_SECRET_MIN 24
#define WEBHOOK_ID_SIZE UUID_TEXT_SIZE
/* "v1,", 44 characters of base64, a space or the end; for each secret. */
#define WEBHOOK_SIGNATURES_SIZE (WEBHOOK_SECRETS_MAX * 48)

struct webhook_secrets {
	struct secret keys[WEBHOOK_SECRETS_MAX];
	size_t count;
};
/* Read the files: text, or "whsec_" and base64 of the key's bytes. Finish also after a failure. ERR_INVALID: too short. */
int webhook_secrets_read(const struct located_list *files, struct webhook_secrets *secrets,
			 struct err *err);
void webhook_secrets_finish(struct webhook_secrets *secrets);
/* What the header webhook-signature says: of each secret HMAC-SHA256 over "ID.TIME.BODY". */
void webhook_sign(const struct webhook_secrets *secrets, const char *id, int64_t time_s,
		  const void *body, size_t size,
		  char ret_signatures[static WEBHOOK_SIGNATURES_SIZE]);

static inline void webhook_secrets_auto(struct webhook_secrets *secrets)
{
	webhook_secrets_finish(secrets);
}

#endif
