/*
 * A server's certificate, taken apart for people: never what trust is decided by, which libldap does.
 */
#ifndef SOURCE_LDAP_CERTIFICATE_H
#define SOURCE_LDAP_CERTIFICATE_H

#include <stdbool.h>
#include <stdint.h>

#include <ldap.h>

#include <rolebridge/base/strbuf.h>

struct certificate {
	bool read; /* there was one, and it is one */
	char protocol[32];
	char subject[1024], issuer[1024]; /* RFC 4514, escaped for display */
	int64_t not_before_s, expires_s;
	struct berval der; /* owned */
};

/* Of the connection, which has TLS. What cannot be had stays empty. */
void certificate_read(LDAP *ld, struct certificate *ret_certificate);
/* Why it was refused, as far as it can be told from itself: a stable word, and a sentence of ours. */
void certificate_judge(const struct certificate *certificate, const char *url, int64_t now_s,
		       const char **ret_reason, const char **ret_detail);
void certificate_finish(struct certificate *certificate);

#endif
