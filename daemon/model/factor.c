/* Names of methods of a second factor, and of the stages of signing in. Pure; nothing can fail. */
#include <rolebridge/model/factor.h>

#include <stddef.h>
#include <string.h>

#include <rolebridge/base/util.h>
#include <rolebridge/model/session.h>

static const struct {
	enum factor_method method;
	const char *name;
} methods[] = {
	{ FACTOR_TOTP, "totp" },     { FACTOR_WEBAUTHN, "webauthn" }, { FACTOR_EMAIL, "email" },
	{ FACTOR_SMS, "sms" },	     { FACTOR_RECOVERY, "recovery" }, { FACTOR_IDP, "idp" },
	{ FACTOR_DEVICE, "device" }, { FACTOR_ISSUED, "issued" },
};

const char *factor_method_name(enum factor_method method)
{
	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		if (methods[i].method == method)
			return methods[i].name;
	return "";
}

enum factor_method factor_method_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		if (strcmp(methods[i].name, name) == 0)
			return methods[i].method;
	return FACTOR_NONE;
}

const char *session_stage_name(enum session_stage stage)
{
	static const char *const names[] = { "full", "factor", "enrol" };

	return (size_t)stage < ARRAY_LEN(names) ? names[stage] : "";
}
