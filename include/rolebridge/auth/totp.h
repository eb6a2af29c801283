/*
 * Codes of authenticator apps: TOTP (RFC 6238) with SHA-1, six digits, steps of 30 s, which is what every app knows.
 * Pure but for the secret, which is drawn.
 */
#ifndef ROLEBRIDGE_AUTH_TOTP_H
#define ROLEBRIDGE_AUTH_TOTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rolebridge/base/err.h>
#include <rolebridge/base/strbuf.h>

#define TOTP_SECRET_BYTES 20 /* RFC 4226, 4: as long as SHA-1's result */
#define TOTP_STEP_S 30
#define TOTP_DIGITS 6
#define TOTP_WINDOW 1 /* steps before and after now */

void totp_secret_make(unsigned char ret_secret[static TOTP_SECRET_BYTES]);
/* Base32 in groups of four, to be typed. Append; wipe out after use. */
void totp_secret_text(const unsigned char *secret, size_t size, struct strbuf *out);
/* otpauth://totp/ISSUER:ACCOUNT?secret=… for the app. Append; wipe out after use. */
void totp_uri(const unsigned char *secret, size_t size, const char *issuer, const char *account,
	      struct strbuf *out);
/* A text as QR code, an SVG image without script or style. Append; wipe out after use. */
int qr_svg(const char *text, struct strbuf *out, struct err *err);

/* Only the digits: people type spaces. false: not six digits. */
bool totp_code_normalise(const char *text, char ret_code[static TOTP_DIGITS + 1]);
/*
 * Is this the code of a step within the window? *ret_step is which; steps up to after_step, which were used, do
 * not count. *ret_replayed: it is right, but was used (or is older). Compares all in constant time.
 */
bool totp_check(const unsigned char *secret, size_t size, const char *code, int64_t now_s,
		int64_t after_step, int64_t *ret_step, bool *ret_replayed);

#endif
