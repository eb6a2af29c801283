/*
 * One entry of a search result, taken apart without copying: names and values
 * point into the message. Bytes are the directory's: any length, any content.
 */
#ifndef SOURCE_LDAP_ENTRY_H
#define SOURCE_LDAP_ENTRY_H

#include <stdbool.h>
#include <stddef.h>

#include <ldap.h>

struct entry {
	LDAPMessage *message; /* borrowed */
	BerElement *ber;
	struct berval dn;
};

/* -1: the entry does not decode. entry_close also after that. */
int entry_open(LDAP *ld, LDAPMessage *message, struct entry *ret_entry);
/*
 * 1 with the next attribute, 0 at the end, -1 when it does not decode. *ret_values ends with a
 * NULL bv_val, may be NULL (no values), and is given back with ber_memfree; the values are borrowed.
 */
int entry_next(LDAP *ld, struct entry *entry, struct berval *ret_name, struct berval **ret_values);
void entry_close(struct entry *entry);

/* Caseless (ASCII) comparison of a description with a name. */
bool entry_name_is(const struct berval *name, const char *wanted, size_t wanted_size);

#endif
