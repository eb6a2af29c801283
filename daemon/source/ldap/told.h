/*
 * What was told last of entries that changed lately, for looks by modifyTimestamp (look.c): those go back
 * beyond their cursor, so they come past entries that were told before. Such an entry is known by all it
 * says, and only by what was told of it last: one that changed and changed back within a second
 * is news when what lay between was told, and is none when it was not.
 *
 *	told_create, told_set_from	before the full read
 *	told_note, told_doubt		by whoever tells an entry: the full read, a look, a search for one person
 *	told_forget			by whoever tells that it is gone
 *	told_look_begin
 *	told_again			for each entry that the look finds
 *	told_look_end			nothing failed: what this look did not find is forgotten
 *	told_note			what was found and not told before is told now
 *
 * Nothing fails here: what finds no room is not kept, and so told again.
 */
#ifndef SOURCE_LDAP_TOLD_H
#define SOURCE_LDAP_TOLD_H

#include <stdbool.h>
#include <stdint.h>

#include <ldap.h>

#include <rolebridge/base/hash.h>

#define TIME_ATTRIBUTE "modifyTimestamp"

/* An entry may be of both, and says other things then. */
enum entry_kind { KIND_PERSON, KIND_GROUP, KINDS };

struct told;

/* id_attribute: what identifies an entry through renames, borrowed. NULL: out of memory. */
struct told *told_create(const char *id_attribute);
void told_destroy(struct told *told);
/* Looks go back to this time, in seconds; 0, as at first: to the beginning. */
void told_set_from(struct told *told, int64_t from_s);
/* May a look find an entry with this modifyTimestamp? */
bool told_is_late(const struct told *told, const struct berval *time);
/* This was told, or quarantined. All attributes that are asked for count, and the name. */
void told_note(struct told *told, enum entry_kind kind, LDAP *ld, LDAPMessage *message);
/* The full read told this entry before: which of the two counts is not ours to say, so it is told again. */
void told_doubt(struct told *told, enum entry_kind kind, LDAP *ld, LDAPMessage *message);
/* Told as gone. name: its id, or that of its DN (dn_fingerprint) for one that shows no id. */
void told_forget(struct told *told, enum entry_kind kind, struct hash128 name);
void told_look_begin(struct told *told);
/* Was exactly this told last of this entry? */
bool told_again(struct told *told, enum entry_kind kind, LDAP *ld, LDAPMessage *message);
void told_look_end(struct told *told);

/* A time as servers write it; 0: it is none. */
int64_t told_time(const struct berval *value);

#endif
