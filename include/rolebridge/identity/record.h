/*
 * Identity record: the canonical bytes of one identity. What the ldap worker
 * sends, what the store keeps and what unchanged detection hashes are the same
 * bytes. Canonical: attributes ascending by name, values sorted bytewise and
 * unique, groups ascending; so the order of a directory's answer does not matter.
 *
 * Layout: u8 version (1), u8 flags (1 groups complete, 2 disabled, 4 disabled from a time on), text key,
 * text dn, text disabled_by, with flag 4 varint disabled_from_s (never 0), varint attributes × (text name,
 * varint values × text), varint groups × varint delta. Without flag 4 the bytes, and so the
 * digest, are those from before there was such a time.
 */
#ifndef ROLEBRIDGE_IDENTITY_RECORD_H
#define ROLEBRIDGE_IDENTITY_RECORD_H

#include <rolebridge/base/arena.h>
#include <rolebridge/base/err.h>
#include <rolebridge/base/strbuf.h>
#include <rolebridge/identity/schema.h>
#include <rolebridge/model/identity.h>

#define RECORD_MAX (16u * 1024 * 1024)

/* Append the record of an identity whose attributes are numbered by schema. */
void record_encode(const struct identity *identity, const struct schema *schema,
		   struct strbuf *out);
/*
 * For workers, which know names and not the schema: begin, then attributes
 * ascending by name, then end. Values may come unsorted and repeated; they are sorted here.
 * disabled_from_s: 0 never; whether it has passed is asked when it is decided, so that the record
 * stays the same when it passes. Before the epoch counts as long ago.
 */
void record_write_head(struct strbuf *out, const char *key, const char *dn, bool groups_complete,
		       bool disabled, const char *disabled_by, int64_t disabled_from_s,
		       size_t attribute_count);
void record_write_attribute(struct strbuf *out, const char *name, const char **values,
			    const size_t *sizes /* NULL: NUL-terminated */, size_t count);
void record_write_groups(struct strbuf *out, const uint32_t *ascending_ids, size_t count);

/* The key alone, borrowed (not NUL-terminated), without decoding the rest. */
int record_key(const void *data, size_t size, const char **ret_key, size_t *ret_key_size,
	       struct err *err);
/* Is its list of groups whole; not decoded further. Bytes that are no record: false. */
bool record_groups_complete(const void *data, size_t size);
/* From when on the source disables it, 0 never; not decoded further. Bytes that are no record: 0. */
int64_t record_disabled_from(const void *data, size_t size);
/*
 * The same identity with other groups, without decoding what stands between: byte for byte what the
 * source would have sent with them. ascending_ids as in record_write_groups.
 */
int record_replace_groups(const void *data, size_t size, const uint32_t *ascending_ids,
			  size_t count, bool groups_complete, struct strbuf *out, struct err *err);
/*
 * Decode into the arena; strict to the last byte. Attributes the schema does
 * not know are skipped (the configuration has changed since). Texts must be UTF-8.
 */
int record_decode(const void *data, size_t size, const struct schema *schema, uint16_t source,
		  struct arena *arena, struct identity *ret_identity, struct err *err);

#endif
