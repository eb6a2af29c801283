/*
 * One pass over bytes that claim to be CBOR (RFC 8949). Enters: bytes of a browser. Leaves: how many of them are one
 * item in canonical form, or 0. Nothing is allocated. The order of keys is not asked for: some authenticators
 * have it wrong in their statements.
 */
#include "cbor_gate.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <rolebridge/base/text.h>

#define NESTED_MAX 4
#define ELEMENTS_MAX 64

enum major { MAJOR_UINT, MAJOR_NEGATIVE, MAJOR_BYTES, MAJOR_TEXT, MAJOR_ARRAY, MAJOR_MAP };
#define MAJOR_SIMPLE 7
#define SIMPLE_FALSE 20
#define SIMPLE_NULL 22

struct walk {
	const unsigned char *at, *end;
};

/* The number of an item's head, in its shortest form. */
static bool read_number(struct walk *walk, unsigned info, uint64_t *ret_number)
{
	static const uint64_t shorter[] = { 24, UINT8_MAX + 1, UINT16_MAX + 1,
					    (uint64_t)UINT32_MAX + 1 };
	uint64_t number = 0;
	size_t size;

	if (info < 24) {
		*ret_number = info;
		return true;
	}
	if (info > 27)
		return false;
	size = (size_t)1 << (info - 24);
	if ((size_t)(walk->end - walk->at) < size)
		return false;
	for (size_t i = 0; i < size; i++)
		number = number << 8 | *walk->at++;
	*ret_number = number;
	return number >= shorter[info - 24];
}

static bool skip_item(struct walk *walk, unsigned nested);

static bool skip_elements(struct walk *walk, uint64_t count, unsigned nested)
{
	if (nested == 0 || count > ELEMENTS_MAX)
		return false;
	for (uint64_t i = 0; i < count; i++)
		if (!skip_item(walk, nested - 1))
			return false;
	return true;
}

static bool skip_map(struct walk *walk, uint64_t count, unsigned nested)
{
	struct {
		const unsigned char *data;
		size_t size;
	} keys[ELEMENTS_MAX];

	if (nested == 0 || count > ELEMENTS_MAX)
		return false;
	for (size_t i = 0; i < count; i++) {
		keys[i].data = walk->at;
		/* Keys are numbers or texts. */
		if (walk->at == walk->end || *walk->at >> 5 > MAJOR_TEXT || !skip_item(walk, 0))
			return false;
		keys[i].size = (size_t)(walk->at - keys[i].data);
		for (size_t j = 0; j < i; j++)
			if (keys[j].size == keys[i].size &&
			    memcmp(keys[j].data, keys[i].data, keys[i].size) == 0)
				return false;
		if (!skip_item(walk, nested - 1))
			return false;
	}
	return true;
}

static bool skip_bytes(struct walk *walk, uint64_t size, bool text)
{
	if (size > (uint64_t)(walk->end - walk->at))
		return false;
	if (text && !text_is_utf8(walk->at, (size_t)size))
		return false;
	walk->at += size;
	return true;
}

/* nested: how many levels of arrays and maps may begin here. */
static bool skip_item(struct walk *walk, unsigned nested)
{
	unsigned major, info;
	uint64_t number;

	if (walk->at == walk->end)
		return false;
	major = *walk->at >> 5;
	info = *walk->at++ & 31;
	if (major == MAJOR_SIMPLE)
		return info >= SIMPLE_FALSE && info <= SIMPLE_NULL;
	if (!read_number(walk, info, &number))
		return false;
	switch (major) {
	case MAJOR_UINT:
	case MAJOR_NEGATIVE: return true;
	case MAJOR_BYTES:
	case MAJOR_TEXT: return skip_bytes(walk, number, major == MAJOR_TEXT);
	case MAJOR_ARRAY: return skip_elements(walk, number, nested);
	case MAJOR_MAP: return skip_map(walk, number, nested);
	default: /* a tag */ return false;
	}
}

size_t cbor_gate(const unsigned char *data, size_t size)
{
	struct walk walk = { .at = data, .end = data + size };

	return skip_item(&walk, NESTED_MAX) ? (size_t)(walk.at - data) : 0;
}
