/*
 * Codes as people type them, and what apps are shown of names: whatever is typed, a code that is taken is one of ours,
 * and is taken again as it stands; a secret in a URI stays the same whatever surrounds it.
 */
#include <stdlib.h>
#include <string.h>

#include <rolebridge/auth/recovery.h>
#include <rolebridge/auth/totp.h>
#include <rolebridge/base/util.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_recovery(const char *text)
{
	char code[RECOVERY_CODE], again[RECOVERY_CODE];
	int slot, same;

	if (!recovery_parse(text, &slot, code))
		return;
	if (slot < 0 || slot > RECOVERY_SLOT_ISSUED || strlen(code) != RECOVERY_CODE - 1 ||
	    !recovery_parse(code, &same, again) || same != slot || strcmp(code, again) != 0)
		abort();
}

static void check_totp(const char *text)
{
	static const unsigned char secret[TOTP_SECRET_BYTES] = { 1, 2, 3 };
	char code[TOTP_DIGITS + 1];
	bool replayed;
	int64_t step;

	if (!totp_code_normalise(text, code))
		return;
	if (strspn(code, "0123456789") != TOTP_DIGITS || code[TOTP_DIGITS] != '\0')
		abort();
	if (totp_check(secret, sizeof(secret), code, 1800000000, 0, &step, &replayed) &&
	    (step < 1800000000 / TOTP_STEP_S - TOTP_WINDOW ||
	     step > 1800000000 / TOTP_STEP_S + TOTP_WINDOW))
		abort();
}

static void check_uri(const char *text)
{
	static const unsigned char secret[TOTP_SECRET_BYTES] = { 1, 2, 3 };
	AUTO(strbuf) struct strbuf uri = STRBUF((size_t)64 * 1024);
	AUTO(strbuf) struct strbuf svg = STRBUF((size_t)1024 * 1024);
	const char *found;

	totp_uri(secret, sizeof(secret), text, text, &uri);
	if (strbuf_failed(&uri))
		return;
	found = strchr(strbuf_text(&uri), '?');
	if (!found || strncmp(found, "?secret=AEBAGAAAAAAAAAAAAAAAAAAAAAAAAAAA&", 41) != 0 ||
	    strpbrk(strbuf_text(&uri), "\"'<> \n"))
		abort();
	qr_svg(strbuf_text(&uri), &svg, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	check_recovery(text);
	check_totp(text);
	check_uri(text);
	free(text);
	return 0;
}
