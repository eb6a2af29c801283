/*
 * The bytes of a document (see scan.h). Enters: anything. Leaves: counts, or a refusal. No memory is
 * used. What this reader takes for a tag libxml2 takes for one too, or it ends in an error there: both
 * find the next '<', and a quoted value ends at its quote.
 */
#include "scan.h"

#include <string.h>

#include <rolebridge/base/text.h>

#include "refusal.h"

struct scan {
	const char *at, *end;
	const struct scan_limits *limits;
	struct saml_refusal *refusal;
	size_t depth, elements, attributes;
	size_t in_scope[SCAN_DEPTH_MAX + 1]; /* namespaces, by depth */
};

static int malformed(struct scan *s, const char *what)
{
	return refuse(s->refusal, "xml-malformed", "%s", what);
}

static int too_complex(struct scan *s, const char *what, size_t limit)
{
	return refuse(s->refusal, "xml-too-complex", "more than %zu %s", limit, what);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static bool starts(const struct scan *s, const char *word)
{
	size_t size = strlen(word);

	return (size_t)(s->end - s->at) >= size && memcmp(s->at, word, size) == 0;
}

static void skip_spaces(struct scan *s)
{
	while (s->at < s->end && is_space(*s->at))
		s->at++;
}

/* To behind the next `word`. */
static int skip_past(struct scan *s, const char *word)
{
	const char *found = memmem(s->at, (size_t)(s->end - s->at), word, strlen(word));

	if (!found)
		return malformed(s, "something is not closed");
	s->at = found + strlen(word);
	return 0;
}

/* Name, '=', quoted value. *ret_namespace: it declares one. */
static int scan_attribute(struct scan *s, bool *ret_namespace)
{
	const char *name = s->at, *close;
	size_t size;

	while (s->at < s->end && !is_space(*s->at) && *s->at != '=' && *s->at != '>' &&
	       *s->at != '<' && *s->at != '"' && *s->at != '\'')
		s->at++;
	size = (size_t)(s->at - name);
	*ret_namespace =
		size >= 5 && memcmp(name, "xmlns", 5) == 0 && (size == 5 || name[5] == ':');
	skip_spaces(s);
	if (size == 0 || s->at == s->end || *s->at != '=')
		return malformed(s, "an attribute has no value");
	s->at++;
	skip_spaces(s);
	if (s->at == s->end || (*s->at != '"' && *s->at != '\''))
		return malformed(s, "an attribute's value is not quoted");
	close = memchr(s->at + 1, *s->at, (size_t)(s->end - s->at - 1));
	if (!close)
		return malformed(s, "an attribute's value is not closed");
	s->at = close + 1;
	return 0;
}

static int begin_element(struct scan *s, size_t attributes, size_t namespaces, bool empty)
{
	s->attributes += attributes;
	if (attributes > s->limits->attributes_each)
		return too_complex(s, "attributes of an element", s->limits->attributes_each);
	if (++s->elements > s->limits->elements)
		return too_complex(s, "elements", s->limits->elements);
	if (s->attributes > s->limits->attributes)
		return too_complex(s, "attributes", s->limits->attributes);
	if (s->depth == s->limits->depth)
		return too_complex(s, "levels", s->limits->depth);
	if (s->in_scope[s->depth] + namespaces > s->limits->namespaces_in_scope)
		return too_complex(s, "namespaces in one place", s->limits->namespaces_in_scope);
	if (!empty) {
		s->in_scope[s->depth + 1] = s->in_scope[s->depth] + namespaces;
		s->depth++;
	}
	return 0;
}

/* Behind "<". */
static int scan_start_tag(struct scan *s)
{
	size_t attributes = 0, namespaces = 0;

	while (s->at < s->end && !is_space(*s->at) && *s->at != '>' && *s->at != '/')
		s->at++;
	for (;;) {
		bool is_namespace, empty;
		int result;

		skip_spaces(s);
		if (s->at == s->end)
			return malformed(s, "a tag is not closed");
		empty = *s->at == '/';
		if (empty && (++s->at == s->end || *s->at != '>'))
			return malformed(s, "a tag is not closed");
		if (*s->at == '>') {
			s->at++;
			return begin_element(s, attributes, namespaces, empty);
		}
		result = scan_attribute(s, &is_namespace);
		if (result != 0)
			return result;
		attributes++;
		namespaces += is_namespace;
	}
}

static int scan_end_tag(struct scan *s)
{
	if (s->depth == 0)
		return malformed(s, "an end without a beginning");
	s->depth--;
	return skip_past(s, ">");
}

/* "<!…" or "<?…". */
static int scan_special(struct scan *s)
{
	static const struct special {
		const char *begin, *end, *reason, *what;
	} specials[] = {
		{ "<!--", "-->", "xml-comment", "a comment" },
		{ "<![CDATA[", "]]>", "xml-cdata", "a CDATA section" },
		{ "<?", "?>", "xml-instruction", "a processing instruction" },
	};

	for (size_t i = 0; i < sizeof(specials) / sizeof(*specials); i++) {
		if (!starts(s, specials[i].begin))
			continue;
		if (!s->limits->lax)
			return refuse(s->refusal, specials[i].reason, "%s", specials[i].what);
		s->at += strlen(specials[i].begin);
		return skip_past(s, specials[i].end);
	}
	return refuse(s->refusal, "xml-doctype", "a document type or entity declaration");
}

static int scan_markup(struct scan *s)
{
	if (s->end - s->at < 2)
		return malformed(s, "a tag is not closed");
	if (s->at[1] == '!' || s->at[1] == '?')
		return scan_special(s);
	if (s->at[1] == '/')
		return scan_end_tag(s);
	s->at++;
	return scan_start_tag(s);
}

static int count_references(struct scan *s)
{
	const char *at = s->at;
	size_t count = 0;

	while ((at = memchr(at, '&', (size_t)(s->end - at)))) {
		if (++count > s->limits->references)
			return too_complex(s, "references", s->limits->references);
		at++;
	}
	return 0;
}

/* The declaration says nothing but version 1.0 and UTF-8; libxml2 never sees it. */
static int skip_declaration(struct scan *s)
{
	static const char *const spellings[] = { "encoding=\"utf-8\"", "encoding='utf-8'" };
	char text[128] = "";
	const char *begin = s->at, *encoding;
	size_t size;

	if (!starts(s, "<?xml") || s->end - s->at < 6 || !is_space(s->at[5]))
		return 0;
	if (skip_past(s, "?>") != 0)
		return 1;
	size = (size_t)(s->at - begin);
	if (size >= sizeof(text))
		return malformed(s, "the XML declaration is too long");
	for (size_t i = 0; i < size; i++)
		text[i] = (char)(begin[i] >= 'A' && begin[i] <= 'Z' ? begin[i] + 32 : begin[i]);
	if (!strstr(text, "version=\"1.0\"") && !strstr(text, "version='1.0'"))
		return malformed(s, "not XML 1.0");
	encoding = strstr(text, "encoding");
	if (encoding && strncmp(encoding, spellings[0], strlen(spellings[0])) != 0 &&
	    strncmp(encoding, spellings[1], strlen(spellings[1])) != 0)
		return refuse(s->refusal, "xml-encoding", "declared as something else than UTF-8");
	return 0;
}

int scan_document(const void *data, size_t size, const struct scan_limits *limits,
		  struct scanned *ret_scanned, struct saml_refusal *ret_refusal)
{
	struct scan s = { .at = data,
			  .end = (const char *)data + size,
			  .limits = limits,
			  .refusal = ret_refusal };
	struct scanned scanned;

	if (!text_is_utf8(data, size))
		return refuse(ret_refusal, "xml-encoding", "not UTF-8, or with a NUL");
	if (starts(&s, "\xef\xbb\xbf"))
		s.at += 3;
	if (skip_declaration(&s) != 0)
		return 1;
	scanned = (struct scanned){ .data = s.at, .size = (size_t)(s.end - s.at) };
	if (count_references(&s) != 0)
		return 1;
	while ((s.at = memchr(s.at, '<', (size_t)(s.end - s.at)))) {
		if (scan_markup(&s) != 0)
			return 1;
	}
	if (s.depth != 0 || s.elements == 0)
		return malformed(&s, s.depth ? "the end is missing" : "there is no element");
	scanned.elements = s.elements;
	*ret_scanned = scanned;
	return 0;
}
