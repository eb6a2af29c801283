/*
 * Distinguished names (RFC 4514) in one normal form.
 *
 * Enters: what a directory, a file or a rule wrote. Leaves: bytes that are
 * equal exactly when the names are. Fails: on what the grammar does not allow and
 * past the limits, with the byte offset.
 *
 * Two roads give the same result. A name of ASCII without hex strings, long attribute
 * types and AVAs out of order is rewritten in one pass (a sync asks for more than a
 * million of them). Everything else takes the general parser: per RDN it
 * unescapes each value, prepares and folds it, escapes it in the one way used here, and
 * sorts the AVAs.
 *
 * Fingerprints are taken of the parent and then the first RDN, so that the names below one
 * parent share the beginning: its state is kept by the parent's raw bytes, and only the
 * RDN is normalised and hashed.
 *
 * Normal form escapes '"' '+' ',' ';' '<' '>' '\' by a backslash wherever they stand
 * and '#' at the start of a value. Folding leaves neither control characters
 * nor spaces at the ends, so nothing else ever needs an escape.
 */
#include <rolebridge/identity/dn.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

#define DN_RDNS_MAX 128
#define DN_AVAS_MAX 16
#define DN_SYNONYM_MIN 6 /* no shorter attribute type has a second name */
#define PARENTS 64	 /* kept; a power of two */
#define PARENT_MAX 256	 /* bytes of one; a longer one is not kept */

/* Attribute types of RFC 4519 (and uid, dc) under their other names, all lower case. */
static const struct synonym {
	const char *other, *name;
} synonyms[] = {
	{ "0.9.2342.19200300.100.1.1", "uid" },
	{ "0.9.2342.19200300.100.1.25", "dc" },
	{ "2.5.4.3", "cn" },
	{ "2.5.4.4", "sn" },
	{ "2.5.4.5", "serialnumber" },
	{ "2.5.4.6", "c" },
	{ "2.5.4.7", "l" },
	{ "2.5.4.8", "st" },
	{ "2.5.4.9", "street" },
	{ "2.5.4.10", "o" },
	{ "2.5.4.11", "ou" },
	{ "2.5.4.12", "title" },
	{ "2.5.4.13", "description" },
	{ "2.5.4.15", "businesscategory" },
	{ "2.5.4.17", "postalcode" },
	{ "2.5.4.41", "name" },
	{ "2.5.4.42", "givenname" },
	{ "2.5.4.43", "initials" },
	{ "2.5.4.44", "generationqualifier" },
	{ "2.5.4.45", "x500uniqueidentifier" },
	{ "2.5.4.46", "dnqualifier" },
	{ "2.5.4.51", "houseidentifier" },
	{ "commonname", "cn" },
	{ "countryname", "c" },
	{ "domaincomponent", "dc" },
	{ "localityname", "l" },
	{ "organizationalunitname", "ou" },
	{ "organizationname", "o" },
	{ "stateorprovincename", "st" },
	{ "surname", "sn" },
	{ "userid", "uid" },
};

enum { PLAIN_STOP = 0 }; /* in plain[]: ends or complicates a value */

/* A byte of a plain value in lower case; PLAIN_STOP for what ends or complicates one. */
static const unsigned char plain[256] = {
	['!'] = '!', ['$'] = '$', ['%'] = '%', ['&'] = '&', ['\''] = '\'', ['('] = '(', [')'] = ')',
	['*'] = '*', ['-'] = '-', ['.'] = '.', ['/'] = '/', ['0'] = '0',   ['1'] = '1', ['2'] = '2',
	['3'] = '3', ['4'] = '4', ['5'] = '5', ['6'] = '6', ['7'] = '7',   ['8'] = '8', ['9'] = '9',
	[':'] = ':', ['='] = '=', ['?'] = '?', ['@'] = '@', ['A'] = 'a',   ['B'] = 'b', ['C'] = 'c',
	['D'] = 'd', ['E'] = 'e', ['F'] = 'f', ['G'] = 'g', ['H'] = 'h',   ['I'] = 'i', ['J'] = 'j',
	['K'] = 'k', ['L'] = 'l', ['M'] = 'm', ['N'] = 'n', ['O'] = 'o',   ['P'] = 'p', ['Q'] = 'q',
	['R'] = 'r', ['S'] = 's', ['T'] = 't', ['U'] = 'u', ['V'] = 'v',   ['W'] = 'w', ['X'] = 'x',
	['Y'] = 'y', ['Z'] = 'z', ['['] = '[', [']'] = ']', ['^'] = '^',   ['_'] = '_', ['`'] = '`',
	['a'] = 'a', ['b'] = 'b', ['c'] = 'c', ['d'] = 'd', ['e'] = 'e',   ['f'] = 'f', ['g'] = 'g',
	['h'] = 'h', ['i'] = 'i', ['j'] = 'j', ['k'] = 'k', ['l'] = 'l',   ['m'] = 'm', ['n'] = 'n',
	['o'] = 'o', ['p'] = 'p', ['q'] = 'q', ['r'] = 'r', ['s'] = 's',   ['t'] = 't', ['u'] = 'u',
	['v'] = 'v', ['w'] = 'w', ['x'] = 'x', ['y'] = 'y', ['z'] = 'z',   ['{'] = '{', ['|'] = '|',
	['}'] = '}', ['~'] = '~',
};

static bool is_alpha(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(unsigned char c)
{
	return c >= '0' && c <= '9';
}

static char to_lower(unsigned char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

/* --- the single pass --- */

/* One "type=" at *at; false: not plain. Advances both. */
static bool plain_type(const unsigned char **at, const unsigned char *end, char **to)
{
	const unsigned char *start = *at;
	const unsigned char *in = start;
	char *out = *to;

	if (in == end || !is_alpha(*in))
		return false;
	while (in < end && (is_alpha(*in) || is_digit(*in) || *in == '-'))
		*out++ = to_lower(*in++);
	if (in == end || *in != '=' || in - start >= DN_SYNONYM_MIN)
		return false;
	*out++ = '=';
	*at = in + 1;
	*to = out;
	return true;
}

/* The byte an escape in a plain value stands for, in ASCII; 0: not plain, or no escape. */
static unsigned char plain_escape(const unsigned char **at, const unsigned char *end)
{
	const unsigned char *in = *at;

	if (end - in >= 2 && text_hex_digit(in[0]) >= 0 && text_hex_digit(in[1]) >= 0) {
		*at = in + 2;
		return (unsigned char)(text_hex_digit(in[0]) << 4 | text_hex_digit(in[1]));
	}
	if (in == end || *in == '\0' || !strchr(" \"#+,;<=>\\", *in))
		return 0;
	*at = in + 1;
	return *in;
}

/* A value up to ',', '+' or the end, spaces collapsed; false: not plain. Never longer than it was. */
static bool plain_value(const unsigned char **at, const unsigned char *end, char **to)
{
	const unsigned char *in = *at;
	char *const begin = *to;
	char *out = begin;

	for (;;) {
		unsigned char c;

		while (in < end && plain[*in] != PLAIN_STOP)
			*out++ = (char)plain[*in++];
		if (in == end || *in == ',' || *in == '+')
			break;
		c = *in++;
		if (c == '\\') {
			c = plain_escape(&in, end);
			if (plain[c] != PLAIN_STOP || (c == '#' && out > begin)) {
				*out++ = c == '#' ? '#' : (char)plain[c];
				continue;
			}
			if (c != '\0' && strchr("\"#+,;<>\\", c)) {
				*out++ = '\\';
				*out++ = (char)c;
				continue;
			}
		}
		if (c != ' ')
			return false;
		if (out > begin && out[-1] != ' ')
			*out++ = ' ';
	}
	if (out > begin && out[-1] == ' ')
		out--;
	*at = in;
	*to = out;
	return true;
}

/* AVAs up to ',' or the end; false: not plain, or not in the order of the normal form. */
static bool plain_rdn(const unsigned char **at, const unsigned char *end, char **to)
{
	const unsigned char *in = *at;
	char *out = *to;
	const char *last = NULL;
	size_t last_type = 0;

	for (size_t avas = 1; avas <= DN_AVAS_MAX; avas++) {
		const char *ava = out;
		size_t type_size;

		while (in < end && *in == ' ')
			in++;
		if (!plain_type(&in, end, &out))
			return false;
		/* With their "=", so that no type is the beginning of another. */
		type_size = (size_t)(out - ava);
		if (last && memcmp(last, ava, last_type < type_size ? last_type : type_size) >= 0)
			return false;
		if (!plain_value(&in, end, &out))
			return false;
		if (in == end || *in == ',') {
			*at = in;
			*to = out;
			return true;
		}
		last = ava;
		last_type = type_size;
		*out++ = (char)*in++;
	}
	return false;
}

/* Write the normal form, at most size bytes, to `to`; 0 when the name is not plain. */
static size_t normalize_plain(const unsigned char *in, size_t size, char *to)
{
	const unsigned char *end = in + size;
	char *out = to;

	for (size_t rdns = 1; rdns <= DN_RDNS_MAX; rdns++) {
		if (!plain_rdn(&in, end, &out))
			return 0;
		if (in == end)
			return (size_t)(out - to);
		*out++ = (char)*in++;
	}
	return 0;
}

/* --- the general road --- */

struct ava {
	size_t at, type_size, size; /* in parser.normal */
};

struct parser {
	const unsigned char *start, *at, *end;
	struct strbuf value; /* unescaped, then BER text */
	struct strbuf folded;
	struct strbuf normal; /* the AVAs of the present RDN, one after another */
	struct ava avas[DN_AVAS_MAX];
	size_t ava_count;
	struct err *err;
};

static int malformed(struct parser *p, const unsigned char *at, const char *what)
{
	return err_set(p->err, ERR_INVALID, "malformed DN at byte %zu: %s", (size_t)(at - p->start),
		       what);
}

static void skip_spaces(struct parser *p)
{
	while (p->at < p->end && *p->at == ' ')
		p->at++;
}

/* descr (RFC 4512 1.4) */
static bool scan_descr(struct parser *p)
{
	if (p->at == p->end || !is_alpha(*p->at))
		return false;
	while (p->at < p->end && (is_alpha(*p->at) || is_digit(*p->at) || *p->at == '-'))
		p->at++;
	return true;
}

/* numericoid: at least two arcs, no leading zeros */
static bool scan_oid(struct parser *p)
{
	for (size_t arcs = 1;; arcs++) {
		const unsigned char *arc = p->at;

		while (p->at < p->end && is_digit(*p->at))
			p->at++;
		if (p->at == arc || (*arc == '0' && p->at - arc > 1))
			return false;
		if (p->at == p->end || *p->at != '.')
			return arcs > 1;
		p->at++;
	}
}

static bool has_oid_prefix(const struct parser *p)
{
	return p->end - p->at > 4 && to_lower(p->at[0]) == 'o' && to_lower(p->at[1]) == 'i' &&
	       to_lower(p->at[2]) == 'd' && p->at[3] == '.';
}

static void write_type(struct strbuf *out, const unsigned char *type, size_t size)
{
	size_t begin = out->size;

	for (size_t i = 0; i < size; i++)
		strbuf_putc(out, to_lower(type[i]));
	if (size < DN_SYNONYM_MIN || strbuf_failed(out))
		return;
	for (size_t i = 0; i < ARRAY_LEN(synonyms); i++) {
		if (strcmp(out->data + begin, synonyms[i].other) != 0)
			continue;
		out->size = begin;
		strbuf_puts(out, synonyms[i].name);
		return;
	}
}

/* attributeType, "=": appended to normal. */
static int parse_type(struct parser *p)
{
	const unsigned char *start, *stop;

	skip_spaces(p);
	if (has_oid_prefix(p))
		p->at += 4;
	start = p->at;
	if (start == p->end)
		return malformed(p, start, "an attribute type is missing");
	if (is_digit(*start) ? !scan_oid(p) : !scan_descr(p))
		return malformed(p, p->at, "not an attribute type");
	stop = p->at;
	skip_spaces(p);
	if (p->at == p->end || *p->at != '=')
		return malformed(p, p->at, "'=' expected after the attribute type");
	p->at++;
	write_type(&p->normal, start, (size_t)(stop - start));
	return 0;
}

/* The text of a BER string that fills all of data; false: not a string we read as text. */
static bool ber_text(const unsigned char *data, size_t size, size_t *ret_at)
{
	size_t at = 2, length;

	if (size < 2)
		return false;
	if (data[0] != 0x0c && data[0] != 0x13 && data[0] != 0x16 && data[0] != 0x04)
		return false;
	length = data[1];
	if (length & 0x80) {
		size_t octets = length & 0x7f;

		if (octets == 0 || octets > 2 || size < 2 + octets)
			return false;
		length = 0;
		for (; at < 2 + octets; at++)
			length = length << 8 | data[at];
	}
	if (length != size - at || !text_is_utf8(data + at, length))
		return false;
	for (size_t i = at; data[0] != 0x0c && data[0] != 0x04 && i < size; i++)
		if (data[i] >= 0x80)
			return false;
	*ret_at = at;
	return true;
}

static void write_value(struct parser *p, const char *text, size_t size)
{
	strbuf_clear(&p->folded);
	text_fold(&p->folded, text, size);
	for (size_t i = 0; i < p->folded.size; i++) {
		char c = p->folded.data[i];

		if (strchr("\"+,;<>\\", c) || (c == '#' && i == 0))
			strbuf_putc(&p->normal, '\\');
		strbuf_putc(&p->normal, c);
	}
	if (strbuf_failed(&p->folded))
		strbuf_fail(&p->normal);
}

/* "#" hexpair…: a string is read as text, anything else stays, in lower case. */
static int parse_hex(struct parser *p)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *start = p->at++;
	size_t text_at;

	while (p->at < p->end && text_hex_digit(*p->at) >= 0) {
		if (p->end - p->at < 2 || text_hex_digit(p->at[1]) < 0)
			return malformed(p, p->at, "hex digits come in pairs");
		strbuf_putc(&p->value,
			    (char)(text_hex_digit(p->at[0]) << 4 | text_hex_digit(p->at[1])));
		p->at += 2;
	}
	if (p->value.size == 0)
		return malformed(p, start, "hex digits expected after '#'");
	if (ber_text((const unsigned char *)p->value.data, p->value.size, &text_at)) {
		write_value(p, p->value.data + text_at, p->value.size - text_at);
		return 0;
	}
	strbuf_putc(&p->normal, '#');
	for (size_t i = 0; i < p->value.size; i++) {
		unsigned char c = (unsigned char)p->value.data[i];

		strbuf_putc(&p->normal, digits[c >> 4]);
		strbuf_putc(&p->normal, digits[c & 15]);
	}
	return 0;
}

/* After the backslash: a special character, or two hex digits. */
static int parse_escape(struct parser *p)
{
	const unsigned char *at = p->at;

	if (at == p->end)
		return malformed(p, at, "nothing follows the backslash");
	if (p->end - at >= 2 && text_hex_digit(at[0]) >= 0 && text_hex_digit(at[1]) >= 0) {
		strbuf_putc(&p->value, (char)(text_hex_digit(at[0]) << 4 | text_hex_digit(at[1])));
		p->at += 2;
		return 0;
	}
	if (*at == '\0' || !strchr(" \"#+,;<=>\\", *at))
		return malformed(p, at, "not an escape");
	strbuf_putc(&p->value, (char)*at);
	p->at++;
	return 0;
}

static int parse_string(struct parser *p)
{
	const unsigned char *start = p->at;

	while (p->at < p->end && *p->at != ',' && *p->at != '+') {
		if (*p->at == '\\') {
			p->at++;
			if (parse_escape(p) < 0)
				return -1;
			continue;
		}
		if (*p->at == '\0' || strchr("\";<>", *p->at))
			return malformed(p, p->at, "character must be escaped");
		strbuf_putc(&p->value, (char)*p->at++);
	}
	if (p->value.size > 0 && !text_is_utf8(p->value.data, p->value.size))
		return malformed(p, start, "value is not UTF-8 without NUL");
	write_value(p, strbuf_text(&p->value), p->value.size);
	return 0;
}

static int parse_ava(struct parser *p)
{
	const unsigned char *start = p->at;
	struct ava *ava = &p->avas[p->ava_count];

	if (p->ava_count == DN_AVAS_MAX)
		return malformed(p, start, "more than 16 values in an RDN");
	ava->at = p->normal.size;
	if (parse_type(p) < 0)
		return -1;
	ava->type_size = p->normal.size - ava->at;
	strbuf_putc(&p->normal, '=');
	skip_spaces(p);
	strbuf_clear(&p->value);
	if ((p->at < p->end && *p->at == '#' ? parse_hex(p) : parse_string(p)) < 0)
		return -1;
	skip_spaces(p);
	if (p->at < p->end && *p->at != ',' && *p->at != '+')
		return malformed(p, p->at, "',' or '+' expected");
	if (strbuf_failed(&p->value))
		strbuf_fail(&p->normal);
	ava->size = p->normal.size - ava->at;
	for (size_t i = 0; i < p->ava_count && !strbuf_failed(&p->normal); i++)
		if (p->avas[i].type_size == ava->type_size &&
		    memcmp(p->normal.data + p->avas[i].at, p->normal.data + ava->at,
			   ava->type_size) == 0)
			return malformed(p, start, "attribute type twice in one RDN");
	p->ava_count++;
	return 0;
}

/* Types are unique within an RDN, and "=" ends them: sorting whole AVAs sorts by type. */
static void write_rdn(struct parser *p, struct strbuf *out)
{
	bool done[DN_AVAS_MAX] = { false };

	if (strbuf_failed(&p->normal)) {
		strbuf_fail(out);
		return;
	}
	for (size_t n = 0; n < p->ava_count; n++) {
		const struct ava *least = NULL;

		for (size_t i = 0; i < p->ava_count; i++) {
			const struct ava *a = &p->avas[i];
			size_t common;
			int order;

			if (done[i])
				continue;
			if (!least) {
				least = a;
				continue;
			}
			common = a->size < least->size ? a->size : least->size;
			order = memcmp(p->normal.data + a->at, p->normal.data + least->at, common);
			if (order < 0)
				least = a;
		}
		done[least - p->avas] = true;
		if (n > 0)
			strbuf_putc(out, '+');
		strbuf_append(out, p->normal.data + least->at, least->size);
	}
}

static int parse_rdn(struct parser *p, struct strbuf *out)
{
	p->ava_count = 0;
	strbuf_clear(&p->normal);
	for (;;) {
		if (parse_ava(p) < 0)
			return -1;
		if (p->at == p->end || *p->at == ',')
			break;
		p->at++;
	}
	write_rdn(p, out);
	return 0;
}

static int parse_dn(struct parser *p, struct strbuf *out)
{
	for (size_t rdns = 1;; rdns++) {
		if (rdns > DN_RDNS_MAX)
			return malformed(p, p->at, "more than 128 RDNs");
		if (parse_rdn(p, out) < 0)
			return -1;
		if (p->at == p->end)
			return 0;
		p->at++;
		strbuf_putc(out, ',');
	}
}

static int normalize_any(const char *text, size_t size, struct strbuf *out, struct err *err)
{
	struct parser p = {
		.start = (const unsigned char *)text,
		.at = (const unsigned char *)text,
		.end = (const unsigned char *)text + size,
		/* NFKC makes at most 18 bytes of one code point's two, 33 of three. */
		.value = STRBUF(DN_MAX),
		.folded = STRBUF(DN_MAX * 16),
		.normal = STRBUF(DN_MAX * 32),
		.err = err,
	};
	size_t begin = out->size;
	int result = parse_dn(&p, out);

	strbuf_finish(&p.value);
	strbuf_finish(&p.folded);
	strbuf_finish(&p.normal);
	if (result < 0)
		strbuf_truncate(out, begin);
	return result;
}

int dn_normalize(const char *text, size_t size, struct strbuf *out, struct err *err)
{
	char *room;
	size_t used = 0;

	if (size > DN_MAX)
		return err_set(err, ERR_INVALID, "DN of %zu bytes is longer than %d", size, DN_MAX);
	while (used < size && text[used] == ' ')
		used++;
	if (used == size)
		return 0;
	room = strbuf_reserve(out, size + 1);
	if (!room)
		return err_set(err, ERR_TOO_LARGE, "no room for a DN of %zu bytes", size);
	used = normalize_plain((const unsigned char *)text, size, room);
	if (used > 0) {
		strbuf_advance(out, used);
		return 0;
	}
	out->data[out->size] = '\0';
	if (normalize_any(text, size, out, err) < 0)
		return -1;
	if (strbuf_failed(out))
		return err_set(err, ERR_TOO_LARGE, "no room for a DN of %zu bytes", size);
	return 0;
}

/* --- fingerprints --- */

struct parent {
	size_t size; /* of raw; 0: free */
	char raw[PARENT_MAX];
	struct fingerprint_prefix prefix;
};

struct dn_parents {
	struct parent items[PARENTS];
};

struct dn_parents *dn_parents_create(void)
{
	return alloc_zeroed(1, sizeof(struct dn_parents));
}

void dn_parents_destroy(struct dn_parents *parents)
{
	free(parents);
}

/* Where the parent of a name begins: behind the first comma that is not escaped. size: it has none. */
static size_t parent_at(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (text[i] == '\\')
			i++;
		else if (text[i] == ',')
			return i + 1;
	}
	return size;
}

struct hash128 dn_fingerprint_normal(const char *normal, size_t size)
{
	size_t at = parent_at(normal, size);
	struct fingerprint_prefix prefix;

	fingerprint_start(normal + at, size - at, &prefix);
	return fingerprint_finish(&prefix, normal, at);
}

/* The place of a parent: what directories' parents differ in is their first bytes and size. */
static struct parent *place_of(struct dn_parents *parents, const char *raw, size_t size)
{
	uint64_t first = 0;

	memcpy(&first, raw, size < sizeof(first) ? size : sizeof(first));
	first = (first + size) * UINT64_C(0x9e3779b97f4a7c15);
	return &parents->items[first >> 32 & (PARENTS - 1)];
}

static const struct parent *find_parent(struct dn_parents *parents, const char *raw, size_t size)
{
	const struct parent *parent = place_of(parents, raw, size);

	return size > 0 && parent->size == size && memcmp(parent->raw, raw, size) == 0 ? parent
										       : NULL;
}

/* raw: what follows the first RDN of a whole name that was accepted; normal: its normal form. */
static void keep_parent(struct dn_parents *parents, const char *raw, size_t size,
			const char *normal, size_t normal_size)
{
	struct parent *parent = place_of(parents, raw, size);

	if (size == 0 || size > PARENT_MAX)
		return;
	memcpy(parent->raw, raw, size);
	parent->size = size;
	fingerprint_start(normal, normal_size, &parent->prefix);
}

/*
 * The normal form of the first RDN with its comma, into scratch, when its parent is among those
 * kept: NULL when it is not, or the RDN is malformed (the whole name then tells where).
 */
static const struct parent *normalize_below(struct dn_parents *parents, const char *text,
					    size_t size, struct strbuf *scratch)
{
	const unsigned char *in = (const unsigned char *)text;
	const struct parent *parent;
	char *room, *out;
	size_t at;

	if (size > DN_MAX || !(room = strbuf_reserve(scratch, size + 1)))
		return NULL;
	out = room;
	if (plain_rdn(&in, in + size, &out)) {
		at = (size_t)((const char *)in - text) + 1;
		if (at >= size || !(parent = find_parent(parents, text + at, size - at)))
			return NULL;
		*out++ = ',';
		strbuf_advance(scratch, (size_t)(out - room));
		return parent;
	}
	at = parent_at(text, size);
	parent = find_parent(parents, text + at, size - at);
	if (!parent || normalize_any(text, at - 1, scratch, NULL) < 0)
		return NULL;
	strbuf_putc(scratch, ',');
	return strbuf_failed(scratch) ? NULL : parent;
}

int dn_fingerprint(struct dn_parents *parents, const char *text, size_t size,
		   struct strbuf *scratch, struct hash128 *ret_hash, struct err *err)
{
	const struct parent *known;
	const char *normal;
	size_t at, raw_at;

	strbuf_clear(scratch);
	known = parents ? normalize_below(parents, text, size, scratch) : NULL;
	if (known) {
		*ret_hash = fingerprint_finish(&known->prefix, scratch->data, scratch->size);
		return 0;
	}
	strbuf_clear(scratch);
	if (dn_normalize(text, size, scratch, err) < 0)
		return -1;
	normal = strbuf_text(scratch);
	*ret_hash = dn_fingerprint_normal(normal, scratch->size);
	if (!parents)
		return 0;
	at = parent_at(normal, scratch->size);
	raw_at = parent_at(text, size);
	keep_parent(parents, text + raw_at, size - raw_at, normal + at, scratch->size - at);
	return 0;
}

bool dn_is_within(const char *dn, const char *base)
{
	size_t dn_size = strlen(dn);
	size_t base_size = strlen(base);
	size_t comma, escapes = 0;

	if (base_size == 0)
		return true;
	if (dn_size <= base_size)
		return dn_size == base_size && memcmp(dn, base, dn_size) == 0;
	comma = dn_size - base_size - 1;
	if (dn[comma] != ',' || memcmp(dn + comma + 1, base, base_size) != 0)
		return false;
	while (escapes < comma && dn[comma - 1 - escapes] == '\\')
		escapes++;
	return escapes % 2 == 0;
}

bool dn_looks_like(const char *text)
{
	while (*text == ' ')
		text++;
	if (!is_alpha((unsigned char)*text) && !is_digit((unsigned char)*text))
		return false;
	while (is_alpha((unsigned char)*text) || is_digit((unsigned char)*text) || *text == '-' ||
	       *text == '.')
		text++;
	while (*text == ' ')
		text++;
	return *text == '=';
}
