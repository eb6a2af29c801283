/* Names of the reasons for which a user is disabled. Pure; nothing can fail. */
#include <rolebridge/model/user.h>

#include <rolebridge/base/util.h>

const char *disable_reason_name(uint32_t single_bit)
{
	static const struct {
		uint32_t bit;
		const char *name;
	} reasons[] = {
		{ DISABLED_BY_SOURCE, "source" },
		{ DISABLED_MISSING, "missing" },
		{ DISABLED_BY_HAND, "hand" },
		{ DISABLED_STALE, "stale" },
		{ DISABLED_NO_PROFILE, "no-profile" },
		{ DISABLED_DELETED, "deleted" },
		{ DISABLED_GONE, "gone" },
		{ SUSPENDED_SIGN_IN, "sign-in-suspended" },
	};

	for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
		if (reasons[i].bit == single_bit)
			return reasons[i].name;
	return "unknown";
}
