/* Entries taken apart (see entry.h). */
#include "entry.h"

#include <string.h>
#include <strings.h>

int entry_open(LDAP *ld, LDAPMessage *message, struct entry *ret_entry)
{
	*ret_entry = (struct entry){ .message = message };
	if (ldap_get_dn_ber(ld, message, &ret_entry->ber, &ret_entry->dn) != LDAP_SUCCESS)
		return -1;
	return ret_entry->dn.bv_val ? 0 : -1;
}

int entry_next(LDAP *ld, struct entry *entry, struct berval *ret_name, struct berval **ret_values)
{
	*ret_values = NULL;
	if (ldap_get_attribute_ber(ld, entry->message, entry->ber, ret_name, ret_values) !=
	    LDAP_SUCCESS)
		return -1;
	return ret_name->bv_val ? 1 : 0;
}

void entry_close(struct entry *entry)
{
	if (entry->ber)
		ber_free(entry->ber, 0);
	entry->ber = NULL;
}

bool entry_name_is(const struct berval *name, const char *wanted, size_t wanted_size)
{
	if (name->bv_len != wanted_size)
		return false;
	return memcmp(name->bv_val, wanted, wanted_size) == 0 ||
	       strncasecmp(name->bv_val, wanted, wanted_size) == 0;
}
