/* Methods of a second factor, and what else a session may have been proven by. Plain numbers and names. */
#ifndef ROLEBRIDGE_MODEL_FACTOR_H
#define ROLEBRIDGE_MODEL_FACTOR_H

/* Stored: never renumber. */
enum factor_method {
	FACTOR_NONE = 0,
	FACTOR_TOTP = 1,
	FACTOR_WEBAUTHN = 2,
	FACTOR_EMAIL = 3,
	FACTOR_SMS = 4,
	FACTOR_RECOVERY = 5, /* printed codes: a spare, nobody has a factor by it alone */
	FACTOR_METHODS,	     /* one more than the last */
	/* No methods that are enrolled here, but ways in which a session came by its second factor. */
	FACTOR_IDP = 16,    /* the identity provider says so */
	FACTOR_DEVICE = 17, /* this browser is remembered */
	FACTOR_ISSUED = 18, /* an administrator's code, or root's link: it can only enrol */
};

/* In sets of methods, of both kinds. */
#define FACTOR_BIT(method) (1u << (method))
/* What somebody can have, and enrols. */
#define FACTOR_ALL_METHODS \
	(FACTOR_BIT(FACTOR_TOTP) | FACTOR_BIT(FACTOR_WEBAUTHN) | FACTOR_BIT(FACTOR_EMAIL) | \
	 FACTOR_BIT(FACTOR_SMS))

/* "totp", "webauthn", "email", "sms", "recovery", "idp", "device", "issued"; "" of FACTOR_NONE. */
const char *factor_method_name(enum factor_method method);
/* FACTOR_NONE: nothing is called so. */
enum factor_method factor_method_find(const char *name);

#endif
