/*
 * The primary group of Active Directory (MS-ADTS 3.1.1.3.1.2, attribute primaryGroupID): the one group
 * whose member list does not name the person. The person has the number, and the group's objectSid
 * is that of the person's domain with this number as its last part.
 *
 * So that nesting and changes need nothing special, both go under one more name: the group
 * has itself, as primary group, for a member, and the person is known by that name too.
 */
#ifndef SOURCE_LDAP_PRIMARY_H
#define SOURCE_LDAP_PRIMARY_H

#include <stdbool.h>

#include <lber.h>

#include <rolebridge/base/hash.h>

#define PRIMARY_SID_ATTRIBUTE "objectSid"
#define PRIMARY_NUMBER_ATTRIBUTE "primaryGroupID"

/* May a directory whose people are known by this attribute have primary groups? Others are not asked. */
bool primary_is_asked(const char *key_attribute);
/* sid: a group's objectSid. false: not of the form of MS-DTYP 2.4.2.2. */
bool primary_group_name(const struct berval *sid, struct hash128 *ret_name);
/* sid: the person's objectSid, number: its primaryGroupID. false: not readable. */
bool primary_person_name(const struct berval *sid, const struct berval *number,
			 struct hash128 *ret_name);

#endif
