/*
 * Request bodies: JSON objects described by a table of fields. What the table
 * does not know is refused, and so are wrong types, long texts, control
 * characters, keys given twice. Errors name the field ("files[2].text").
 *
 *	static const struct field fields[] = {
 *		{ "reason", FIELD_TEXT, 0, offsetof(struct disable, reason), 500, NULL, 0 },
 *	};
 *	struct disable asked = { 0 };
 *	if (request_read(request, fields, ARRAY_LEN(fields), &asked, err) < 0) …
 */
#ifndef API_READER_H
#define API_READER_H

#include <stddef.h>

#include <rolebridge/http/request.h>

enum field_type {
	FIELD_TEXT, /* const char *; one line; NULL when absent */
	FIELD_BLOB, /* const char *; any text without NUL, kept as it is; NULL when absent */
	FIELD_BOOL, /* bool */
	FIELD_DATE, /* int64_t: "2026-01-31" (the end of that day, UTC) or an RFC 3339 time; 0 when absent */
	FIELD_INT,  /* int64_t: a whole number from 0 to max */
	FIELD_LIST, /* struct field_list of objects described by items */
	FIELD_OBJECT, /* described by items, whose offsets count from this field's; as it was when absent */
	FIELD_TEXTS, /* struct field_list of const char *, each as FIELD_TEXT and at most item_size bytes */
};

#define FIELD_REQUIRED (1u << 0)
/* Of a text: null is "", as in a JSON merge patch (RFC 7396). Without it null is "not given". */
#define FIELD_NULL_REMOVES (1u << 1)

/* Of a list: an item that is refused stops no other. Items begin with a struct field_refusal, and are else empty then. */
#define FIELD_EACH (1u << 2)
/* Of a number: 0 is refused. */
#define FIELD_POSITIVE (1u << 3)

struct field_refusal {
	const char *message; /* NULL: well */
	const char *field;   /* of the item; NULL: the item as a whole */
};

struct field_list {
	size_t count;
	void *items; /* item_size bytes each */
};

struct field {
	const char *name;
	enum field_type type;
	unsigned flags;
	size_t offset;
	size_t max;		   /* bytes of a text, items of a list */
	const struct field *items; /* FIELD_LIST; ends with a NULL name */
	size_t item_size;
};

/* Fill what is given; the rest of *target stays. An empty body is {}. Texts live in the request's arena. */
int request_read(struct http_request *request, const struct field *fields, size_t count,
		 void *target, struct err *err);

/* For bodies that are read otherwise: ERR_INVALID "unsupported-media-type". */
int request_require_json(const struct http_request *request, struct err *err);

#endif
