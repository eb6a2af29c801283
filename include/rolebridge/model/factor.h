/* The methods of a second factor. */
#ifndef ROLEBRIDGE_MODEL_FACTOR_H
#define ROLEBRIDGE_MODEL_FACTOR_H

/* Stored: never renumber. */
enum factor_method {
	FACTOR_TOTP = 1,
	FACTOR_WEBAUTHN = 2,
	FACTOR_EMAIL = 3,
	FACTOR_SMS = 4,
	FACTOR_RECOVERY = 5, /* a spare: nobody has a factor by it alone */
};

#endif
