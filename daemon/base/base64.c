/* base64. Enters: text, any bytes. Leaves: bytes. Fails: whatever is not exactly that; it never repairs. */
#include <rolebridge/base/base64.h>

#include <string.h>

#include <sodium.h>

static bool is_letter(enum base64_kind kind, char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (kind == BASE64_URL ? c == '-' || c == '_' : c == '+' || c == '/');
}

bool base64_letters(enum base64_kind kind, const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (!is_letter(kind, text[i]))
			return false;
	return true;
}

/* Where padding stands is for the decoder to say. */
static bool may_stand(enum base64_kind kind, char c, const char *ignore)
{
	return is_letter(kind, c) || (kind == BASE64_PADDED && c == '=') ||
	       (ignore && c != '\0' && strchr(ignore, c));
}

int base64_to_bytes(enum base64_kind kind, const char *text, size_t size, const char *ignore,
		    void *ret_bytes, size_t max, size_t *ret_size)
{
	int variant = kind == BASE64_URL ? sodium_base64_VARIANT_URLSAFE_NO_PADDING
					 : sodium_base64_VARIANT_ORIGINAL;
	size_t got;

	for (size_t i = 0; i < size; i++)
		if (!may_stand(kind, text[i], ignore))
			return -1;
	/* Without a place to tell where it ended it must be the end. */
	if (sodium_base642bin(ret_bytes, max, text, size, ignore, &got, NULL, variant) != 0)
		return -1;
	*ret_size = got;
	return 0;
}
