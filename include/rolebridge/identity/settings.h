/*
 * What every source has in the configuration, whatever its type, and the
 * option rows for it. A source type's struct embeds struct source_settings first.
 */
#ifndef ROLEBRIDGE_IDENTITY_SETTINGS_H
#define ROLEBRIDGE_IDENTITY_SETTINGS_H

#include <rolebridge/config/options.h>
#include <rolebridge/identity/factor.h>

enum attribute_syntax {
	SYNTAX_STRING,	     /* caseIgnoreMatch */
	SYNTAX_STRING_EXACT, /* caseExactMatch */
	SYNTAX_INTEGER,	     /* integerMatch, integerOrderingMatch; 64 bit */
	SYNTAX_BOOLEAN,	     /* TRUE, FALSE (RFC 4517) */
	SYNTAX_DN,	     /* distinguishedNameMatch */
	SYNTAX_TIME,	     /* generalizedTimeMatch and ordering */
	SYNTAX_AUTO, /* settings only: not given; the built-in's, or string. Never in a schema. */
};

/* "string", "string-exact", "integer", "boolean", "dn", "time" */
const char *attribute_syntax_name(enum attribute_syntax syntax);

/* sources[].attributes[]: one declared attribute. Shorthand: its name. */
struct attribute_settings {
	struct position at;
	struct located name; /* as rules call it */
	struct located from; /* as the source calls it; default: the same */
	int syntax;	     /* enum attribute_syntax; SYNTAX_AUTO: not given */
	bool sensitive;
	int absent; /* 0: no, 1: unknown */
};

/* sources[].may_grant: NULL lists mean "anything" unless `restricted` (the key was given). */
struct may_grant_settings {
	struct position at; /* file 0: the mapping was not given: everything allowed */
	struct located_list profiles, roles, personas, groups; /* "*" allows all */
};

struct link_settings {
	struct position at;	  /* file 0: no link */
	struct located attribute; /* this source's attribute */
	struct located source;	  /* the other source */
	struct located other;	  /* its attribute; default "key": its immutable key */
};

struct source_settings {
	struct position at;
	struct located name; /* slug: [a-z0-9-]{1,32} */
	struct located type;
	struct located organization; /* default "default" */
	bool enabled;
	/* Of the store, and what it needs is not declared any more: switched off, and not looked at any further. */
	bool broken;
	bool proves_factor;	       /* its second factor counts: set by a type's check */
	struct struct_list attributes; /* struct attribute_settings */
	struct link_settings link;
	struct located_list authoritative_domains;
	struct may_grant_settings may_grant;
	int64_t interval_s;   /* between scheduled reads; 0: only on demand */
	bool interval_given;  /* otherwise a type's check may set another one */
	bool takes_passwords; /* at sign-in: a directory that people bind to as themselves */
	struct located_list
		canaries; /* keys or DNs that must be present, else the read counts as incomplete */
};

/* Whose groups are known by DN or immutable id: what rules name without a source is found in these. */
bool source_is_directory(const struct source_settings *source);

/* Does it speak when somebody signs in, and is never read? Nobody is missing there. */
bool source_signs_in(const struct source_settings *source);

/* Is a password, given here, theirs there? */
static inline bool source_takes_passwords(const struct source_settings *source)
{
	return source->takes_passwords && !source->broken;
}

/* Whose people it speaks of. */
static inline const char *source_organization(const struct source_settings *source)
{
	return source->organization.text ? source->organization.text : "default";
}

extern const struct option_table source_base_table; /* rows shared by all types */

/* organizations[] */
struct organization_settings {
	struct position at;
	struct located name;
	struct located_list domains;
	struct located_list segments; /* enabled for its own roles; none: those that are for all */
	struct factor_settings second_factor;
};
extern const struct option_table organization_table;

/* identity: which attributes become the user's fields, and attribute precedence. */
struct identity_settings {
	struct position at;
	struct located username;	  /* default "uid" */
	struct located email;		  /* default "mail" */
	struct located_list display_name; /* first present; default displayName, cn */
	struct pair_list
		precedence; /* attribute: [source, …]; else sources in configuration order */
};
extern const struct option_table identity_table;

/*
 * What concerns several of them at once: an organization or domain named twice, a source in an
 * organization that does not exist ("default" always does), an authoritative domain that
 * belongs to another organization. Findings go to list.
 */
void organizations_check(const struct organization_settings *organizations, size_t count,
			 const struct source_settings *const *sources, size_t source_count,
			 struct diagnostics *list);
/* The check of source_base_table; tables based on it need not call it. */
void source_settings_check(void *item, struct diagnostics *list);

#endif
