/*
 * The root entry of a server (RFC 4512 5.1): what it is, what it can, how far it has come.
 */
#ifndef SOURCE_LDAP_ROOT_H
#define SOURCE_LDAP_ROOT_H

#include <stdbool.h>
#include <stdint.h>

#include "session.h"

enum root_vendor { VENDOR_OTHER, VENDOR_OPENLDAP, VENDOR_389DS, VENDOR_ACTIVE_DIRECTORY };

struct root {
	enum root_vendor vendor;
	bool sync;	   /* offers RFC 4533 */
	bool paged;	   /* offers RFC 2696 */
	char version[256]; /* vendorVersion, in its own words; "" */
	bool show_deleted; /* offers deleted objects (1.2.840.113556.1.4.417) */
	bool has_usn;
	uint64_t highest_usn; /* highestCommittedUSN */
	char identity[512]; /* a cursor is good for one only; URL where the server tells nothing */
	char service_name[512];	   /* dsServiceName, the DN of its settings; "" */
	char default_context[512]; /* defaultNamingContext; "" */
};

/*
 * One base search, awaited. identity is the URL of the job, for Active Directory dsServiceName and
 * the invocationId found there, the former alone where that may not be read. -1: outcome says why.
 */
int root_read(struct session *session, struct root *ret_root);
/* highestCommittedUSN alone. */
int root_read_usn(struct session *session, uint64_t *ret_usn);
const char *root_vendor_name(enum root_vendor vendor);

#endif
