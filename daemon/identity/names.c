/*
 * E-mail addresses, user names, slugs. Enters: any valid UTF-8. Leaves: the one
 * form under which a name is unique. Fails: on what could not be told apart
 * by a person, or not be put into a header, a path or a list unquoted.
 *
 * ASCII is folded in one pass. Anything else goes through libunistring until folding
 * changes nothing more, so that a normal form is its own normal form.
 */
#include <rolebridge/identity/names.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <unicase.h>
#include <unictype.h>
#include <uninorm.h>
#include <unistr.h>

#include <rolebridge/base/text.h>

#define EMAIL_MAX 254 /* RFC 5321 4.5.3.1.3, less the angle brackets */
#define LABEL_MAX 63
#define USERNAME_MAX 128
#define NAME_INPUT_MAX 4096
#define FOLD_ROUNDS_MAX 4

static bool is_ascii(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if ((unsigned char)text[i] >= 0x80)
			return false;
	return true;
}

static bool is_ascii_alnum(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Case-fold and normalise into a heap text; NULL when out of memory. */
static uint8_t *fold_once(const uint8_t *text, size_t size, uninorm_t form, size_t *ret_size)
{
	return u8_casefold(text, size, NULL, form, NULL, ret_size);
}

static int fold_unicode(const char *text, size_t size, uninorm_t form, struct strbuf *out,
			struct err *err)
{
	uint8_t *now = fold_once((const uint8_t *)text, size, form, &size);

	for (int round = 0; now && round < FOLD_ROUNDS_MAX; round++) {
		size_t next_size;
		uint8_t *next = fold_once(now, size, form, &next_size);
		bool same = next && next_size == size && memcmp(now, next, size) == 0;

		free(now);
		now = next;
		size = next_size;
		if (same)
			break;
	}
	if (!now)
		return err_set(err, ERR_MEMORY, "out of memory");
	strbuf_append(out, now, size);
	free(now);
	return 0;
}

static int fold_name(const char *text, size_t size, uninorm_t form, struct strbuf *out,
		     struct err *err)
{
	char *room;

	if (size > NAME_INPUT_MAX)
		return err_set(err, ERR_INVALID, "longer than %d bytes", NAME_INPUT_MAX);
	if (!text_is_utf8(text, size))
		return err_set(err, ERR_INVALID, "not UTF-8");
	if (!is_ascii(text, size))
		return fold_unicode(text, size, form, out, err);
	room = strbuf_reserve(out, size);
	if (!room)
		return err_set(err, ERR_TOO_LARGE, "no room for a name of %zu bytes", size);
	for (size_t i = 0; i < size; i++)
		room[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] + 32 : text[i]);
	strbuf_advance(out, size);
	return 0;
}

/* Controls, format characters (bidi, zero width), every kind of space, private use, unassigned. */
static bool is_invisible(ucs4_t c)
{
	return uc_is_general_category_withtable(c, UC_CATEGORY_MASK_C | UC_CATEGORY_MASK_Z) ||
	       uc_is_property_default_ignorable_code_point(c);
}

/* The first invisible character, or 0. */
static ucs4_t find_invisible(const char *text, size_t size)
{
	const uint8_t *at = (const uint8_t *)text;
	const uint8_t *end = at + size;

	while (at < end) {
		ucs4_t c;
		int length = u8_mbtouc(&c, at, (size_t)(end - at));

		if (c < 0x80 ? (c <= ' ' || c == 0x7f) : is_invisible(c))
			return c ? c : 0xfffd;
		at += length;
	}
	return 0;
}

/* --- e-mail --- */

static const char *check_local(const char *local, size_t size)
{
	if (size == 0)
		return "nothing before '@'";
	if (local[0] == '"')
		return "quoted local parts are not supported";
	if (local[0] == '.' || local[size - 1] == '.')
		return "a dot at the start or the end of the local part";
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)local[i];

		if (c == '.' && local[i + 1] == '.')
			return "two dots in a row";
		/* c is not NUL: text_is_utf8 refuses it */
		if (c < 0x80 && c != '.' && !is_ascii_alnum(c) && !strchr("!#$%&'*+-/=?^_`{|}~", c))
			return "a character that the local part may not hold";
	}
	return NULL;
}

static const char *check_label(const char *label, size_t size)
{
	if (size == 0)
		return "an empty label in the domain";
	if (size > LABEL_MAX)
		return "a label of the domain longer than 63 bytes";
	if (label[0] == '-' || label[size - 1] == '-')
		return "a hyphen at the edge of a label of the domain";
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)label[i];

		if (c < 0x80 && !is_ascii_alnum(c) && c != '-')
			return "a character that a domain may not hold";
	}
	return NULL;
}

static const char *check_domain(const char *domain)
{
	const char *problem;

	for (;;) {
		size_t size = strcspn(domain, ".");

		problem = check_label(domain, size);
		if (problem || domain[size] == '\0')
			return problem;
		domain += size + 1;
	}
}

static const char *check_email(const char *text, size_t size)
{
	const char *at = strchr(text, '@');
	const char *problem;

	if (size > EMAIL_MAX)
		return "longer than 254 bytes";
	if (find_invisible(text, size))
		return "a space, control or invisible character";
	if (!at)
		return "no '@'";
	if (strchr(at + 1, '@'))
		return "more than one '@'";
	problem = check_local(text, (size_t)(at - text));
	return problem ? problem : check_domain(at + 1);
}

/* Fold, then check what came out; out is restored when the check says no. */
static int normalize_checked(const char *text, size_t size, uninorm_t form,
			     const char *(*check)(const char *, size_t), const char *what,
			     struct strbuf *out, struct err *err)
{
	size_t begin = out->size;
	const char *problem;

	if (size == 0)
		return err_set(err, ERR_INVALID, "%s is empty", what);
	if (fold_name(text, size, form, out, err) < 0)
		return err_wrap(err, "%s '%.*s'", what, size > 64 ? 64 : (int)size, text);
	if (strbuf_failed(out))
		return err_set(err, ERR_TOO_LARGE, "no room for a name of %zu bytes", size);
	problem = check(strbuf_text(out) + begin, out->size - begin);
	if (!problem)
		return 0;
	strbuf_truncate(out, begin);
	return err_set(err, ERR_INVALID, "%s '%.*s': %s", what, size > 256 ? 256 : (int)size, text,
		       problem);
}

int email_normalize(const char *text, struct strbuf *out, struct err *err)
{
	size_t size;

	text += strspn(text, " \t\r\n");
	size = strlen(text);
	while (size > 0 && strchr(" \t\r\n", text[size - 1]))
		size--;
	return normalize_checked(text, size, UNINORM_NFC, check_email, "e-mail address", out, err);
}

const char *email_domain(const char *normalized)
{
	const char *at = strrchr(normalized, '@');

	return at ? at + 1 : "";
}

/* --- user names --- */

static const char *check_username(const char *text, size_t size)
{
	ucs4_t first = 0;

	if (size == 0)
		return "nothing but characters without width";
	if (size > USERNAME_MAX)
		return "longer than 128 bytes";
	if (find_invisible(text, size))
		return "a space, control or invisible character";
	if (strpbrk(text, ",:/\"\\<>"))
		return "one of , : / \" \\ < >";
	u8_mbtouc(&first, (const uint8_t *)text, size);
	if (first != '_' &&
	    !(first < 0x80 ? is_ascii_alnum((unsigned char)first)
			   : uc_is_general_category_withtable(first, UC_CATEGORY_MASK_L |
									     UC_CATEGORY_MASK_N)))
		return "must start with a letter, a digit or '_'";
	return NULL;
}

int username_normalize(const char *text, struct strbuf *out, struct err *err)
{
	return normalize_checked(text, strlen(text), UNINORM_NFKC, check_username, "user name", out,
				 err);
}

int display_name_normalize(const char *text, struct strbuf *out, struct err *err)
{
	size_t begin = out->size;

	if (!text_is_utf8(text, strlen(text)))
		return err_set(err, ERR_INVALID, "display name is not UTF-8");
	text_prepare(out, text, strlen(text));
	if (strbuf_failed(out))
		return err_set(err, ERR_TOO_LARGE, "no room for a display name");
	if (out->size == begin)
		return err_set(err, ERR_INVALID, "display name is empty");
	return 0;
}

/* --- configuration words --- */

static bool word_is_valid(const char *text, size_t max, const char *inner)
{
	size_t size = strlen(text);

	if (size == 0 || size > max)
		return false;
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)text[i];
		bool edge = i == 0 || i == size - 1;

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') &&
		    (edge || !strchr(inner, c)))
			return false;
	}
	return true;
}

bool slug_is_valid(const char *text)
{
	return word_is_valid(text, 64, "._-");
}

bool source_name_is_valid(const char *text)
{
	return word_is_valid(text, 32, "-");
}

bool attribute_name_is_valid(const char *text)
{
	size_t size = strlen(text);
	bool oid = text[0] >= '0' && text[0] <= '9';

	if (size == 0 || size > 128 || !is_ascii_alnum((unsigned char)text[0]))
		return false;
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)text[i];

		if (oid ? !(c >= '0' && c <= '9') && c != '.'
			: !is_ascii_alnum(c) && c != '-' && c != '_')
			return false;
	}
	return !oid || (strchr(text, '.') && text[size - 1] != '.' && !strstr(text, ".."));
}
