/*
 * Which passwords people may choose: long enough, not common, not their own name. Nothing else is asked (NIST SP
 * 800-63B 5.1.1.2): no kinds of characters, no expiry. Safe from any thread.
 */
#ifndef ROLEBRIDGE_AUTH_PASSWORD_H
#define ROLEBRIDGE_AUTH_PASSWORD_H

#include <stddef.h>

#include <rolebridge/auth/settings.h>
#include <rolebridge/base/err.h>

#define PASSWORD_MAX 1024 /* bytes */

struct password_policy;

/* Reads passwords.common_file, where there is one. */
struct password_policy *password_policy_create(const struct passwords_settings *settings,
					       struct err *err);
void password_policy_destroy(struct password_policy *policy);
/* After a reload. On failure the old one stays in force. */
int password_policy_configure(struct password_policy *policy,
			      const struct passwords_settings *settings, struct err *err);

/* Whose it is to be; texts may be NULL or "". */
struct password_owner {
	const char *username, *email, *display_name, *organization;
};
/*
 * ERR_INVALID with a reason: "password-too-short", "password-too-long", "password-too-common", "password-is-name"
 * (a name and little else); "invalid-request": not UTF-8. The text of the error holds nothing of the password.
 */
int password_check(struct password_policy *policy, const char *text, size_t size,
		   const struct password_owner *owner, struct err *err);
/* In characters, to be told on pages. */
size_t password_min_length(struct password_policy *policy);

static inline void password_policy_auto(struct password_policy **policy)
{
	password_policy_destroy(*policy);
}

#endif
