/*
 * Codes of authenticator apps. Enters: secrets, what people typed, the time. Leaves: codes recognised, and the secret
 * in the forms that an app takes: base32 (RFC 4648), a URI, a QR code. Fails: memory; a text too long for a QR code.
 */
#include <rolebridge/auth/totp.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <oath.h>
#include <qrencode.h>
#include <sodium.h>

#include <rolebridge/base/hash.h>

#define URI_ROOM 2048
#define QUIET_ZONE 4 /* modules around the symbol (ISO/IEC 18004, 6.3.8) */

static void prepare_once(void)
{
	hash_prepare();
	oath_init();
}

static void prepare(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, prepare_once);
}

/* --- the secret --- */

void totp_secret_make(unsigned char ret_secret[static TOTP_SECRET_BYTES])
{
	prepare();
	randombytes_buf(ret_secret, TOTP_SECRET_BYTES);
}

static const char base32[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/* No padding: no app wants it. */
static void write_base32(const unsigned char *secret, size_t size, bool grouped, struct strbuf *out)
{
	uint32_t bits = 0;
	unsigned count = 0, written = 0;

	for (size_t i = 0; i < size || count > 0;) {
		while (count < 5 && i < size) {
			bits = bits << 8 | secret[i++];
			count += 8;
		}
		if (count < 5) { /* at the end: filled up with zeros */
			bits <<= 5 - count;
			count = 5;
		}
		if (grouped && written > 0 && written % 4 == 0)
			strbuf_putc(out, ' ');
		count -= 5;
		strbuf_putc(out, base32[bits >> count & 31]);
		written++;
	}
}

void totp_secret_text(const unsigned char *secret, size_t size, struct strbuf *out)
{
	/* At once, so that no copy stays behind where the text grew. */
	strbuf_reserve(out, size * 2 + 8);
	write_base32(secret, size, true, out);
}

/* RFC 3986, 2.3: all but unreserved characters. */
static void write_percent(const char *text, struct strbuf *out)
{
	for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
		if ((*at >= '0' && *at <= '9') || (*at >= 'A' && *at <= 'Z') ||
		    (*at >= 'a' && *at <= 'z') || strchr("-._~", *at))
			strbuf_putc(out, (char)*at);
		else
			strbuf_printf(out, "%%%02X", *at);
	}
}

void totp_uri(const unsigned char *secret, size_t size, const char *issuer, const char *account,
	      struct strbuf *out)
{
	strbuf_reserve(out, URI_ROOM);
	strbuf_puts(out, "otpauth://totp/");
	write_percent(issuer, out);
	strbuf_putc(out, ':');
	write_percent(account, out);
	strbuf_puts(out, "?secret=");
	write_base32(secret, size, false, out);
	strbuf_puts(out, "&issuer=");
	write_percent(issuer, out);
	strbuf_printf(out, "&algorithm=SHA1&digits=%d&period=%d", TOTP_DIGITS, TOTP_STEP_S);
}

/* --- as a picture --- */

/* Dark modules that lie side by side are one bar. */
static void write_row(const unsigned char *row, int width, int y, struct strbuf *out)
{
	for (int x = 0; x < width;) {
		int begin = x;

		while (x < width && (row[x] & 1))
			x++;
		if (x > begin)
			strbuf_printf(out, "M%d %dh%dv1h-%dz", begin + QUIET_ZONE, y + QUIET_ZONE,
				      x - begin, x - begin);
		else
			x++;
	}
}

int qr_svg(const char *text, struct strbuf *out, struct err *err)
{
	QRcode *code =
		QRcode_encodeData((int)strlen(text), (const unsigned char *)text, 0, QR_ECLEVEL_M);
	int side;

	if (!code)
		return errno == ERANGE ? err_set(err, ERR_TOO_LARGE, "too long for a QR code")
				       : err_set(err, ERR_MEMORY, "no memory for a QR code");
	side = code->width + 2 * QUIET_ZONE;
	strbuf_reserve(out, (size_t)code->width * (size_t)code->width * 12 + 512);
	strbuf_printf(out,
		      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" "
		      "width=\"%d\" height=\"%d\" shape-rendering=\"crispEdges\" role=\"img\" "
		      "aria-label=\"QR code\"><path fill=\"#fff\" d=\"M0 0h%dv%dH0z\"/>"
		      "<path fill=\"#000\" d=\"",
		      side, side, side * 5, side * 5, side, side);
	for (int y = 0; y < code->width; y++)
		write_row(code->data + (size_t)y * (size_t)code->width, code->width, y, out);
	strbuf_puts(out, "\"/></svg>");
	sodium_memzero(code->data, (size_t)code->width * (size_t)code->width);
	QRcode_free(code);
	return strbuf_failed(out) ? err_set(err, ERR_MEMORY, "no memory for a QR code") : 0;
}

/* --- codes --- */

bool totp_code_normalise(const char *text, char ret_code[static TOTP_DIGITS + 1])
{
	char code[TOTP_DIGITS + 1] = "";
	size_t count = 0;

	for (; *text; text++) {
		if (*text == ' ' || *text == '-' || *text == '\t')
			continue;
		if (*text < '0' || *text > '9' || count == TOTP_DIGITS)
			return false;
		code[count++] = *text;
	}
	if (count != TOTP_DIGITS)
		return false;
	memcpy(ret_code, code, sizeof(code));
	sodium_memzero(code, sizeof(code));
	return true;
}

bool totp_check(const unsigned char *secret, size_t size, const char *code, int64_t now_s,
		int64_t after_step, int64_t *ret_step, bool *ret_replayed)
{
	int64_t now = now_s / TOTP_STEP_S, found = -1;
	bool seen = false;

	prepare();
	*ret_replayed = false;
	if (strlen(code) != TOTP_DIGITS || now < TOTP_WINDOW)
		return false;
	for (int64_t step = now - TOTP_WINDOW; step <= now + TOTP_WINDOW; step++) {
		char wanted[TOTP_DIGITS + 1] = "";
		bool same;

		if (oath_hotp_generate((const char *)secret, size, (uint64_t)step, TOTP_DIGITS,
				       false, OATH_HOTP_DYNAMIC_TRUNCATION, wanted) != OATH_OK)
			return false;
		same = sodium_memcmp(wanted, code, TOTP_DIGITS) == 0;
		sodium_memzero(wanted, sizeof(wanted));
		seen |= same;
		if (same && step > after_step && found < 0)
			found = step;
	}
	*ret_replayed = seen && found < 0;
	if (found >= 0)
		*ret_step = found;
	return found >= 0;
}
