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
	BerElement *ber;
	struct berval dn;
	const unsigned char *at, *end; /* the attributes to come; at NULL: they do not decode */
	struct berval attribute;       /* that of the last entry_next, undivided: attribute_split */
};

/* The next BER element when it has this tag and ends before `end`: its content. *at goes behind it. */
bool element_take(const unsigned char **at, const unsigned char *end, unsigned char tag,
		  struct berval *ret_content);

/* Values of one attribute, read one after another. */
struct attribute_values {
	const unsigned char *at, *end;
	size_t count; /* of all */
};

/*
 * The content of a PartialAttribute (RFC 4511 4.1.7): description and set of values. -1 when it is not
 * exactly that; no value fails later on.
 */
int attribute_split(const void *data, size_t size, struct berval *ret_name,
		    struct attribute_values *ret_values);
bool attribute_next_value(struct attribute_values *values, struct berval *ret_value);

/* -1: the entry does not decode. entry_close also after that. */
int entry_open(LDAP *ld, LDAPMessage *message, struct entry *ret_entry);
/* 1 with the next attribute, 0 at the end, -1 when it does not decode. */
int entry_next(struct entry *entry, struct berval *ret_name, struct attribute_values *ret_values);
void entry_close(struct entry *entry);

/* Caseless (ASCII) comparison of a description with a name. */
bool entry_name_is(const struct berval *name, const char *wanted, size_t wanted_size);

#endif
