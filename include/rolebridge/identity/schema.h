/*
 * The attribute schema: every attribute name the rules may use, with its
 * syntax, in one immutable table made from the configuration. Built-in are the
 * usual names of inetOrgPerson and of Active Directory people; sources
 * declare more. A name declared twice must agree in syntax.
 */
#ifndef ROLEBRIDGE_IDENTITY_SCHEMA_H
#define ROLEBRIDGE_IDENTITY_SCHEMA_H

#include <rolebridge/identity/settings.h>
#include <rolebridge/model/identity.h>

struct schema_attribute {
	const char *name; /* canonical spelling */
	enum attribute_syntax syntax;
	bool sensitive;
	bool builtin;		    /* every source delivers it under this name */
	source_mask absent_unknown; /* sources that declare absence as unknown */
	/* Sources in order of precedence for this attribute; all sources appear. */
	const uint16_t *order;
	/* A name without a source means what this one says (its number plus 1), no other; 0: all by precedence. */
	uint16_t only;
	bool elsewhere; /* of such a name: other sources have it, too; `name;x-SOURCE` reads theirs */
};

struct schema;

/*
 * sources: array of pointers to the embedded settings, in configuration order. At most
 * SOURCES_CONFIGURED_MAX sources and 1,000 attributes. Findings go to list.
 * NULL only when out of memory.
 */
struct schema *schema_create(const struct identity_settings *identity,
			     const struct source_settings *const *sources, size_t source_count,
			     struct diagnostics *list);
void schema_destroy(struct schema *schema);

/*
 * The same with one more source, the last, that is no source of the configuration, and what it says. A fact hides
 * attributes of its name, but for `name;x-SOURCE`; a shared one is what it says where no other source says
 * anything. Without with_sensitive what is declared sensitive is not there. base and texts must outlive it. It has
 * no fields of users. NULL: out of memory, or SOURCES_MAX.
 */
struct schema_fact {
	const char *name;
	enum attribute_syntax syntax;
	bool shared;
};
struct schema *schema_extend(const struct schema *base, const char *source,
			     const struct schema_fact *facts, size_t fact_count,
			     bool with_sensitive);

size_t schema_count(const struct schema *schema);
const struct schema_attribute *schema_get(const struct schema *schema, uint16_t id);
/* Caseless by name; -1 when not declared. size: bytes of name. */
int schema_find(const struct schema *schema, const char *name, size_t size);
/*
 * Are values of an attribute that goes by one of these names (as rules or this source call it; NULL and ""
 * are passed over) not to be shown?
 */
bool schema_hides(const struct schema *schema, const struct source_settings *source,
		  const char *const *names, size_t count);
/* Nearest declared name, for "Did you mean"; NULL when none is near. */
const char *schema_nearest(const struct schema *schema, const char *name);
size_t schema_source_count(const struct schema *schema);
const char *schema_source_name(const struct schema *schema, uint16_t source);
bool schema_source_is_directory(const struct schema *schema, uint16_t source);
int schema_find_source(const struct schema *schema, const char *name, size_t size); /* -1: none */

/* Schema ids of the attributes that become username, email; -1 when not declared. display_name: *ret_count ids. */
int schema_username(const struct schema *schema);
int schema_email(const struct schema *schema);
const uint16_t *schema_display_name(const struct schema *schema, size_t *ret_count);

#endif
