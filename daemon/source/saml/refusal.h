/*
 * How judges say no: a stable reason for audit log and metrics and a detail for administrators. What an
 * attacker wrote appears in details escaped and cut.
 */
#ifndef ROLEBRIDGE_SOURCE_SAML_REFUSAL_H
#define ROLEBRIDGE_SOURCE_SAML_REFUSAL_H

#include <rolebridge/model/saml.h>

/* Always returns 1, so that callers can return it. The detail is escaped here: one line, UTF-8. */
int refuse(struct saml_refusal *refusal, const char *reason, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
