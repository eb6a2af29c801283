/*
 * How sources say that a person is disabled. A marker is the name of an attribute whose meaning
 * is known here, "attribute=value", or "attribute=*" for any value. Pure: values go in, out comes
 * whether they disable, or from when on: whether that has passed is asked when it is decided.
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
	"administrator), accountExpires, shadowExpire, pwdEndTime, krbPrincipalExpiration, " \
	"`attribute=value`, or `attribute=*` for any value."

struct disabled_marker {
	const char *text;      /* as configured: "nsAccountLock", "loginDisabled=TRUE" */
	size_t attribute_size; /* of the attribute's name at the start of text */
	const struct disabled_kind *kind;
};

/* false when the text is neither a known attribute nor attribute=value. Borrows text. */
bool disabled_marker_parse(const char *text, struct disabled_marker *ret_marker);
#define DISABLED_NEVER 0
#define DISABLED_ALWAYS INT64_MIN
/* From when on this value of the marker's attribute disables: never, always, or seconds since the epoch, > 0. */
int64_t disabled_marker_from_s(const struct disabled_marker *marker, const char *value,
			       size_t size);

/* What all values of a person say together; begins zeroed. */
struct disabled_state {
	bool always;
	int64_t from_s; /* else the earliest time; 0: none */
	const char *by; /* the marker; NULL: nothing disables */
};
void disabled_state_add(struct disabled_state *state, const struct disabled_marker *marker,
			const char *value, size_t size);

/* --- the option: a list of markers; "none" alone: no marker; not given: those of all vendors --- */

size_t disabled_count(const struct located_list *option);
const char *disabled_text(const struct located_list *option, size_t index);
void disabled_check(const struct located_list *option, struct diagnostics *list);

#endif
