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

/* Digits up to a size no group reaches; NULL otherwise. */
static const char *scan_number(const char *at, const char *end, unsigned long *ret_number)
{
	unsigned long number = 0;
	const char *begin = at;

	for (; at < end && *at >= '0' && *at <= '9' && at - begin < 10; at++)
		number = number * 10 + (unsigned long)(*at - '0');
	*ret_number = number;
	return at > begin ? at : NULL;
}

bool entry_name_range(const struct berval *name, struct berval *ret_base, bool *ret_last,
		      unsigned long *ret_first, unsigned long *ret_next)
{
	static const char option[] = ";range=";
	const char *end = name->bv_val + name->bv_len;
	const char *semicolon = memchr(name->bv_val, ';', name->bv_len);
	const char *at;
	unsigned long last = 0;

	if (!semicolon || (size_t)(end - semicolon) < sizeof(option) ||
	    strncasecmp(semicolon, option, sizeof(option) - 1) != 0)
		return false;
	ret_base->bv_val = name->bv_val;
	ret_base->bv_len = (ber_len_t)(semicolon - name->bv_val);
	*ret_last = false;
	*ret_next = 0;
	at = scan_number(semicolon + sizeof(option) - 1, end, ret_first);
	if (!at || at + 1 >= end || *at != '-') {
		*ret_first = 0;
		return true;
	}
	if (at + 2 == end && at[1] == '*')
		*ret_last = true;
	else if (scan_number(at + 1, end, &last) == end && last >= *ret_first)
		*ret_next = last + 1;
	return true;
}

bool entry_guid_text(const struct berval *value, char ret_text[static UUID_TEXT_SIZE])
{
	static const unsigned char order[] = {
		3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15
	};
	struct uuid uuid;

	if (value->bv_len != sizeof(uuid.byte))
		return false;
	for (size_t i = 0; i < sizeof(uuid.byte); i++)
		uuid.byte[i] = (unsigned char)value->bv_val[order[i]];
	uuid_format(&uuid, ret_text);
	return true;
}
