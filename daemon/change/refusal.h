/* Where many are changed and each stands for itself: what one is refused for, and what is our own failure. */
#ifndef CHANGE_REFUSAL_H
#define CHANGE_REFUSAL_H

#include <stdbool.h>

#include <rolebridge/base/err.h>

static inline bool is_refusal(const struct err *err)
{
	return err->code == ERR_INVALID || err->code == ERR_CONFLICT ||
	       err->code == ERR_NOT_FOUND || err->code == ERR_DENIED;
}

/* Of a refusal; static. */
static inline const char *refusal_code(const struct err *err)
{
	if (err->reason)
		return err->reason;
	switch (err->code) {
	case ERR_DENIED: return "not-allowed";
	case ERR_NOT_FOUND: return "not-found";
	case ERR_CONFLICT: return "conflict";
	default: return "invalid-request";
	}
}

#endif
