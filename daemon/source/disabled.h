/*
 * How sources say that a person is disabled. A marker is the name of an attribute whose meaning
 * is known here, "attribute=value", or "attribute=*" for any value. Pure: values and
 * the time go in, yes or no comes out.
 */
#ifndef SOURCE_DISABLED_H
#define SOURCE_DISABLED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rolebridge/config/options.h>

#define DISABLED_MARKERS_MAX 64
/* What an option of markers is about, for the help of all kinds of sources. */
#define DISABLED_HELP \
	"nsAccountLock, userAccountControl (bit 2), pwdAccountLockedTime (locked by an " \
	"administrator), accountExpires, shadowExpire, `attribute=value`, or `attribute=*` for " \
	"any value."

struct disabled_marker {
	const char *text;      /* as configured: "nsAccountLock", "loginDisabled=TRUE" */
	size_t attribute_size; /* of the attribute's name at the start of text */
	const struct disabled_kind *kind;
};

/* false when the text is neither a known attribute nor attribute=value. Borrows text. */
bool disabled_marker_parse(const char *text, struct disabled_marker *ret_marker);
/* Does this value of the marker's attribute say disabled? now_s: seconds since the epoch. */
bool disabled_marker_matches(const struct disabled_marker *marker, const char *value, size_t size,
			     int64_t now_s);

/* --- the option: a list of markers; "none" alone: no marker; not given: those of all vendors --- */

size_t disabled_count(const struct located_list *option);
const char *disabled_text(const struct located_list *option, size_t index);
void disabled_check(const struct located_list *option, struct diagnostics *list);

#endif
