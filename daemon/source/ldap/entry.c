/*
 * Entries taken apart (see entry.h). libldap finds the entry in its message and the name in
 * the entry; attributes are read here, because its way to their values walks them twice and
 * allocates for each attribute. BER as RFC 4511 5.1 restricts it: definite lengths, strings in
 * one piece. Whatever is not exactly of this form does not decode.
 */
#include "entry.h"

#include <string.h>
#include <strings.h>

#define TAG_OCTET_STRING 0x04
#define TAG_SEQUENCE 0x30
#define TAG_SET 0x31

/* One element of this tag. A length may have more octets than it needs: Active Directory sends four. */
static inline bool take_element(const unsigned char **at, const unsigned char *end,
				unsigned char tag, struct berval *ret_content)
{
	const unsigned char *in = *at;
	size_t size;

	if (end - in < 2 || *in++ != tag)
		return false;
	size = *in++;
	if (size & 0x80) {
		size_t octets = size & 0x7f;

		if (octets == 0 || octets > sizeof(size) || octets > (size_t)(end - in))
			return false;
		for (size = 0; octets > 0; octets--)
			size = size << 8 | *in++;
	}
	if (size > (size_t)(end - in))
		return false;
	*ret_content = (struct berval){ size, (char *)in };
	*at = in + size;
	return true;
}

bool element_take(const unsigned char **at, const unsigned char *end, unsigned char tag,
		  struct berval *ret_content)
{
	return take_element(at, end, tag, ret_content);
}

int attribute_split(const void *data, size_t size, struct berval *ret_name,
		    struct attribute_values *ret_values)
{
	const unsigned char *at = data, *end = at + size;
	struct attribute_values values = { 0 };
	struct berval name, set, value;

	if (!take_element(&at, end, TAG_OCTET_STRING, &name) || name.bv_len == 0 ||
	    !take_element(&at, end, TAG_SET, &set) || at != end)
		return -1;
	values.at = (const unsigned char *)set.bv_val;
	values.end = values.at + set.bv_len;
	for (at = values.at; at < values.end; values.count++) {
		if (!take_element(&at, values.end, TAG_OCTET_STRING, &value))
			return -1;
	}
	*ret_name = name;
	*ret_values = values;
	return 0;
}

bool attribute_next_value(struct attribute_values *values, struct berval *ret_value)
{
	return values->at < values->end &&
	       take_element(&values->at, values->end, TAG_OCTET_STRING, ret_value);
}

/*
 * Where the attributes lie. liblber says how much is left of an element but not where it is: the first one in it
 * is skipped, and tells by its content.
 */
static void find_attributes(struct entry *entry)
{
	static const unsigned char none;
	struct berval first;
	ber_len_t all = 0, rest = 0;

	entry->at = entry->end = &none;
	if (ber_get_option(entry->ber, LBER_OPT_BER_REMAINING_BYTES, &all) == LBER_OPT_SUCCESS &&
	    all == 0)
		return;
	entry->at = entry->end = NULL;
	if (ber_skip_element(entry->ber, &first) == LBER_ERROR ||
	    ber_get_option(entry->ber, LBER_OPT_BER_REMAINING_BYTES, &rest) != LBER_OPT_SUCCESS)
		return;
	entry->at = (unsigned char *)first.bv_val - (all - rest - first.bv_len);
	entry->end = entry->at + all;
}

int entry_open(LDAP *ld, LDAPMessage *message, struct entry *ret_entry)
{
	*ret_entry = (struct entry){ 0 };
	if (ldap_get_dn_ber(ld, message, &ret_entry->ber, &ret_entry->dn) != LDAP_SUCCESS ||
	    !ret_entry->dn.bv_val)
		return -1;
	find_attributes(ret_entry);
	return 0;
}

int entry_next(struct entry *entry, struct berval *ret_name, struct attribute_values *ret_values)
{
	if (!entry->at)
		return -1;
	if (entry->at == entry->end)
		return 0;
	if (!take_element(&entry->at, entry->end, TAG_SEQUENCE, &entry->attribute) ||
	    attribute_split(entry->attribute.bv_val, entry->attribute.bv_len, ret_name,
			    ret_values) < 0)
		return -1;
	return 1;
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
