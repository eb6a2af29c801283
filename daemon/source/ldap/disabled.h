/*
 * How directories say that a person is disabled. A marker is the name of an
 * attribute whose meaning is known here, or "attribute=value" for any other.
 * Pure: values and the time go in, yes or no comes out.
 */
#ifndef SOURCE_LDAP_DISABLED_H
#define SOURCE_LDAP_DISABLED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct disabled_marker {
	const char *text;      /* as configured: "nsAccountLock", "loginDisabled=TRUE" */
	size_t attribute_size; /* of the attribute's name at the start of text */
	const struct disabled_kind *kind;
};

/* The usual markers of all vendors, used where the configuration names none. */
extern const char *const disabled_default[];
extern const size_t disabled_default_count;

/* false when the text is neither a known attribute nor attribute=value. Borrows text. */
bool disabled_marker_parse(const char *text, struct disabled_marker *ret_marker);
/* Does this value of the marker's attribute say disabled? now_s: seconds since the epoch. */
bool disabled_marker_matches(const struct disabled_marker *marker, const char *value, size_t size,
			     int64_t now_s);

#endif
