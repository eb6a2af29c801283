/*
 * Tokens of sessions: 256 random bits as base64url. What is stored and compared is the BLAKE2b of the
 * text, so that another spelling of the same bits is another token, and none of ours.
 */
#include <rolebridge/auth/sessions.h>

#include <string.h>

#include <sodium.h>

#include <rolebridge/base/base64.h>

void session_token_make(char ret_text[static SESSION_TOKEN_TEXT], struct hash256 *ret_hash)
{
	unsigned char bits[SESSION_TOKEN_BYTES];

	hash_prepare();
	randombytes_buf(bits, sizeof(bits));
	sodium_bin2base64(ret_text, SESSION_TOKEN_TEXT, bits, sizeof(bits),
			  sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	*ret_hash = digest256(ret_text, SESSION_TOKEN_TEXT - 1);
	sodium_memzero(bits, sizeof(bits));
}

bool session_token_hash(const char *text, struct hash256 *ret_hash)
{
	if (strnlen(text, SESSION_TOKEN_TEXT) != SESSION_TOKEN_TEXT - 1)
		return false;
	if (!base64_letters(BASE64_URL, text, SESSION_TOKEN_TEXT - 1))
		return false;
	*ret_hash = digest256(text, SESSION_TOKEN_TEXT - 1);
	return true;
}
