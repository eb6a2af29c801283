/*
 * Errors that gather context on their way out.
 *
 * A function that can fail returns 0 or -1 (or a pointer or NULL) and fills
 * the caller's struct err. Text is one line, lower case, outermost context
 * first: "cannot read group 'cn=x': server 'ldap1' closed the connection".
 * An err may be NULL where the caller does not care. Nothing here allocates.
 */
#ifndef ROLEBRIDGE_BASE_ERR_H
#define ROLEBRIDGE_BASE_ERR_H

enum err_code {
	ERR_NONE = 0,
	ERR_INVALID,   /* bad input: configuration, argument, entry */
	ERR_TOO_LARGE, /* a bound was reached */
	ERR_PROTOCOL,  /* a peer or worker sent what it may not send */
	ERR_DENIED,    /* refused by policy or permission */
	ERR_NOT_FOUND,
	ERR_CONFLICT,	 /* present state forbids it (duplicate, stale version) */
	ERR_UNAVAILABLE, /* try again later: server down, store busy */
	ERR_IO,		 /* the operating system said no: disk, socket */
	ERR_MEMORY,
	ERR_CANCELLED, /* asked to stop */
	ERR_INTERNAL,  /* a bug of ours, found at run time */
};

#define ERR_TEXT_MAX 1024

struct err {
	enum err_code code;
	/* Stable machine code, such as "last-administrator", or NULL. Static. */
	const char *reason;
	char text[ERR_TEXT_MAX]; /* longer text ends in "..." */
};

/* Replace the error. Always returns -1, so that callers can return it. */
int err_set(struct err *err, enum err_code code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The same for a policy refusal: reason is a stable code, static storage. */
int err_refuse(struct err *err, enum err_code code, const char *reason, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* The same, with ": " and the text of errno_value (strerror) at the end. */
int err_set_errno(struct err *err, enum err_code code, int errno_value, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* Put "format: " before the present text; code and reason stay. Returns -1. */
int err_wrap(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Empty, ready for reuse. */
void err_clear(struct err *err);

/* "invalid", "not-found" …: the reason, or a stable name of the code. Never NULL. */
const char *err_reason(const struct err *err);

#endif
