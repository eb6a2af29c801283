/*
 * Text. Enters: bytes. Leaves: the form in which directories compare them
 * (RFC 4518). Fails on invalid UTF-8 and without memory, through the strbuf.
 *
 * Nearly all directory text is ASCII: one pass folds it straight into the
 * buffer, and the first byte beyond ASCII sends the whole value down the slow
 * path, which maps, then lets libunistring fold and normalise, then squeezes
 * white space. Both give the same for ASCII, so a value and its pieces compare.
 */
#include <rolebridge/base/text.h>

#include <stdlib.h>
#include <string.h>

#include <unicase.h>
#include <uninorm.h>

#include <rolebridge/base/util.h>

/* --- UTF-8 --- */

size_t text_next_char(const void *data, size_t size, uint32_t *ret_char)
{
	/* The least code point that needs so many bytes: less is an overlong form. */
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *at = data;

	if (size == 0)
		return 0;

	size_t length = at[0] < 0x80   ? 1
			: at[0] < 0xc0 ? 0
			: at[0] < 0xe0 ? 2
			: at[0] < 0xf0 ? 3
				       : 4;

	if (length == 0 || length > size || at[0] > 0xf4)
		return 0;

	uint32_t c = length == 1 ? at[0] : at[0] & (0xffu >> (length + 1));

	for (size_t i = 1; i < length; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (at[i] & 0x3fu);
	}
	if (c < least[length] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	if (ret_char)
		*ret_char = c;
	return length;
}

#define EVERY_BYTE UINT64_C(0x0101010101010101)
#define HIGH_BITS UINT64_C(0x8080808080808080)

bool text_is_utf8(const void *data, size_t size)
{
	const unsigned char *at = data, *end = at + size;

	while (at < end) {
		uint64_t word;

		/* Eight bytes from 0x01 to 0x7f: subtracting 1 from each sets a high bit only for 0. */
		while (end - at >= 8) {
			memcpy(&word, at, sizeof(word));
			if (((word - EVERY_BYTE) | word) & HIGH_BITS)
				break;
			at += 8;
		}
		if (at == end)
			break;
		if (*at > 0 && *at < 0x80) {
			at++;
			continue;
		}

		size_t length = *at ? text_next_char(at, (size_t)(end - at), NULL) : 0;

		if (length == 0)
			return false;
		at += length;
	}
	return true;
}

/* --- preparation (RFC 4518) --- */

/* 2.2 for ASCII: line and tab controls are a SPACE, the other controls nothing. */
static inline bool ascii_is_space(unsigned char c)
{
	return c == ' ' || (c >= 0x09 && c <= 0x0d);
}

static inline bool ascii_is_visible(unsigned char c)
{
	return c > ' ' && c < 0x7f;
}

static inline unsigned char ascii_fold(unsigned char c, bool fold)
{
	return fold && c >= 'A' && c <= 'Z' ? (unsigned char)(c | 0x20) : c;
}

/* Walks ASCII text as prepared: white space squeezed, none at the ends. */
struct ascii_walk {
	const unsigned char *at, *end;
	bool fold;
	bool begun;
	int held; /* the character after a space, given next; 0: none */
};

/* The next prepared character, 0 at the end, -1 at a byte beyond ASCII. */
static int ascii_walk_next(struct ascii_walk *walk)
{
	bool space = false;
	int held = walk->held;

	if (held) {
		walk->held = 0;
		return held;
	}
	while (walk->at < walk->end) {
		if (*walk->at >= 0x80)
			return -1;

		unsigned char c = ascii_fold(*walk->at++, walk->fold);

		if (!ascii_is_visible(c)) {
			space |= walk->begun && ascii_is_space(c);
			continue;
		}
		walk->begun = true;
		if (!space)
			return c;
		walk->held = c;
		return ' ';
	}
	return 0;
}

/* RFC 4518 2.2, beyond ASCII: 0 maps to nothing, ' ' to SPACE, else itself. */
static uint32_t map_char(uint32_t c)
{
	static const struct {
		uint32_t first, last, to;
	} ranges[] = {
		{ 0x00, 0x08, 0 },	 { 0x09, 0x0d, ' ' },	  { 0x0e, 0x1f, 0 },
		{ 0x7f, 0x84, 0 },	 { 0x85, 0x85, ' ' },	  { 0x86, 0x9f, 0 },
		{ 0xa0, 0xa0, ' ' },	 { 0xad, 0xad, 0 },	  { 0x34f, 0x34f, 0 },
		{ 0x6dd, 0x6dd, 0 },	 { 0x70f, 0x70f, 0 },	  { 0x1680, 0x1680, ' ' },
		{ 0x1806, 0x1806, 0 },	 { 0x180b, 0x180e, 0 },	  { 0x2000, 0x200a, ' ' },
		{ 0x200b, 0x200f, 0 },	 { 0x2028, 0x2029, ' ' }, { 0x202a, 0x202e, 0 },
		{ 0x202f, 0x202f, ' ' }, { 0x205f, 0x205f, ' ' }, { 0x2060, 0x2063, 0 },
		{ 0x206a, 0x206f, 0 },	 { 0x3000, 0x3000, ' ' }, { 0xfe00, 0xfe0f, 0 },
		{ 0xfeff, 0xfeff, 0 },	 { 0xfff9, 0xfffc, 0 },	  { 0x1d173, 0x1d17a, 0 },
		{ 0xe0001, 0xe0001, 0 }, { 0xe0020, 0xe007f, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(ranges) && ranges[i].first <= c; i++)
		if (c <= ranges[i].last)
			return ranges[i].to;
	return c;
}

/* Map each character; false on invalid UTF-8. What maps stays or gets shorter. */
static bool map_text(const unsigned char *text, size_t size, unsigned char *ret_mapped,
		     size_t *ret_size)
{
	unsigned char *out = ret_mapped;

	for (size_t at = 0; at < size;) {
		uint32_t c;
		size_t length = text_next_char(text + at, size - at, &c);

		if (length == 0)
			return false;

		uint32_t mapped = map_char(c);

		if (mapped == c && c != 0) {
			memcpy(out, text + at, length);
			out += length;
		} else if (mapped) {
			*out++ = ' ';
		}
		at += length;
	}
	*ret_size = (size_t)(out - ret_mapped);
	return true;
}

static void append_squeezed(struct strbuf *out, const unsigned char *text, size_t size)
{
	size_t at = 0;
	bool begun = false;

	while (at < size) {
		size_t start = at;

		while (at < size && text[at] != ' ')
			at++;
		if (at > start) {
			if (begun)
				strbuf_putc(out, ' ');
			strbuf_append(out, text + start, at - start);
			begun = true;
		}
		while (at < size && text[at] == ' ')
			at++;
	}
}

static void prepare_unicode(struct strbuf *out, const char *text, size_t size, bool fold)
{
	unsigned char *mapped = malloc(size);
	size_t mapped_size, normal_size;
	uint8_t *normal = NULL;

	if (!mapped || !map_text((const unsigned char *)text, size, mapped, &mapped_size)) {
		free(mapped);
		strbuf_fail(out);
		return;
	}
	/* libunistring answers NULL for an empty text on some paths: nothing to do for it. */
	if (mapped_size)
		normal = fold ? u8_casefold(mapped, mapped_size, NULL, UNINORM_NFKC, NULL,
					    &normal_size)
			      : u8_normalize(UNINORM_NFKC, mapped, mapped_size, NULL, &normal_size);
	if (normal)
		append_squeezed(out, normal, normal_size);
	else if (mapped_size)
		strbuf_fail(out);
	free(normal);
	free(mapped);
}

/* The hot loop: the end of what was written, or NULL at a byte beyond ASCII. */
static inline char *prepare_ascii(const unsigned char *at, size_t size, bool fold, char *to)
{
	const unsigned char *end = at + size;
	const char *start = to;
	bool space = false;

	while (at < end) {
		unsigned char c = *at++;

		if (ascii_is_visible(c)) {
			if (space)
				*to++ = ' ';
			space = false;
			*to++ = (char)ascii_fold(c, fold);
		} else if (c >= 0x80) {
			return NULL;
		} else if (ascii_is_space(c)) {
			space = to != start;
		}
	}
	return to;
}

static inline void prepare_text(struct strbuf *out, const char *text, size_t size, bool fold)
{
	/* Refused for its length before it is read, also where white space would have shortened it. */
	char *start = strbuf_reserve(out, size);

	if (!start)
		return;

	char *end = prepare_ascii((const unsigned char *)text, size, fold, start);

	if (end) {
		strbuf_advance(out, (size_t)(end - start));
		return;
	}
	/* What was written so far does not count; the text ends where it did. */
	*start = 0;
	prepare_unicode(out, text, size, fold);
}

void text_fold(struct strbuf *out, const char *text, size_t size)
{
	prepare_text(out, text, size, true);
}

void text_prepare(struct strbuf *out, const char *text, size_t size)
{
	prepare_text(out, text, size, false);
}

static bool equal_folded(const char *a, size_t a_size, const char *b, size_t b_size)
{
	AUTO(strbuf) struct strbuf folded_a = STRBUF(SIZE_MAX);
	AUTO(strbuf) struct strbuf folded_b = STRBUF(SIZE_MAX);

	text_fold(&folded_a, a, a_size);
	text_fold(&folded_b, b, b_size);
	return !strbuf_failed(&folded_a) && !strbuf_failed(&folded_b) &&
	       folded_a.size == folded_b.size &&
	       memcmp(strbuf_text(&folded_a), strbuf_text(&folded_b), folded_a.size) == 0;
}

bool text_equal_caseless(const char *a, const char *b)
{
	size_t a_size = strlen(a), b_size = strlen(b);
	const unsigned char *a_at = (const unsigned char *)a, *b_at = (const unsigned char *)b;
	struct ascii_walk walk_a = { .at = a_at, .end = a_at + a_size, .fold = true };
	struct ascii_walk walk_b = { .at = b_at, .end = b_at + b_size, .fold = true };
	int c, d;

	do {
		c = ascii_walk_next(&walk_a);
		d = ascii_walk_next(&walk_b);
		if (c < 0 || d < 0)
			return equal_folded(a, a_size, b, b_size);
	} while (c == d && c);
	/* Bases that differ in ASCII stay different, whatever combines with them. */
	return c == d;
}

int text_hex_digit(unsigned char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static char ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

bool text_ascii_equal_caseless(const char *a, const char *b)
{
	while (*a && ascii_lower(*a) == ascii_lower(*b)) {
		a++;
		b++;
	}
	return ascii_lower(*a) == ascii_lower(*b);
}

/* --- help for people --- */

/* Longer words are nobody's typing error of each other, and would cost size squared. */
#define WORD_MAX 64

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Insertions, deletions, replacements and swaps of neighbours (optimal string alignment). */
static unsigned edit_distance(const char *a, size_t a_size, const char *b, size_t b_size)
{
	unsigned rows[3][WORD_MAX + 1];
	unsigned *before = rows[0], *last = rows[1], *now = rows[2];

	for (size_t j = 0; j <= b_size; j++)
		last[j] = (unsigned)j;
	for (size_t i = 1; i <= a_size; i++) {
		now[0] = (unsigned)i;
		for (size_t j = 1; j <= b_size; j++) {
			char x = ascii_lower(a[i - 1]), y = ascii_lower(b[j - 1]);

			now[j] = least(least(last[j], now[j - 1]) + 1, last[j - 1] + (x != y));
			if (i > 1 && j > 1 && x == ascii_lower(b[j - 2]) &&
			    y == ascii_lower(a[i - 2]))
				now[j] = least(now[j], before[j - 2] + 1);
		}

		unsigned *spare = before;

		before = last;
		last = now;
		now = spare;
	}
	return last[b_size];
}

const char *text_nearest(const char *word, const char *const *candidates, size_t count)
{
	size_t size = strnlen(word, WORD_MAX + 1);
	unsigned limit = size < 6 ? 1 : (unsigned)(size / 3);
	unsigned best = limit + 1;
	const char *nearest = NULL;

	if (size == 0 || size > WORD_MAX)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		size_t candidate_size = strnlen(candidates[i], WORD_MAX + 1);

		if (candidate_size > WORD_MAX)
			continue;

		unsigned distance = edit_distance(word, size, candidates[i], candidate_size);

		/* A word of which no letter is left is no correction. */
		if (distance < best && distance < candidate_size) {
			best = distance;
			nearest = candidates[i];
		}
	}
	return nearest;
}

void text_join(struct strbuf *out, const char *const *items, size_t count, const char *separator)
{
	for (size_t i = 0; i < count; i++) {
		if (i)
			strbuf_puts(out, separator);
		strbuf_puts(out, items[i]);
	}
}
