/*
 * The configuration's catalogue (profiles, roles, personas, segments,
 * classifications, local groups), rules and rule tests, as option tables and
 * the structs they fill.
 */
#ifndef ROLEBRIDGE_RULES_SETTINGS_H
#define ROLEBRIDGE_RULES_SETTINGS_H

#include <rolebridge/config/options.h>
#include <rolebridge/identity/settings.h>
#include <rolebridge/model/grant.h>

struct profile_settings {
	struct position at;
	struct located name; /* slug */
	struct located description;
	struct located_list permissions; /* resource:verb@scope */
	const char *organization;	 /* it alone has it; NULL: all. Set by main, as below. */
};

struct role_settings {
	struct position at;
	struct located name;
	struct located description;
	struct located_list classifications; /* at least one */
	struct located_list segments;	     /* at least one */
	struct located_list permissions;
	/* Of the store, and unchanged: labels that are not enabled any more are warned of, not refused. */
	bool lenient;
	const char *organization;
};

struct persona_settings {
	struct position at;
	struct located name;
	struct located title;
	bool primary;
	struct located_list objectives, frustrations, watering_holes;
	struct located technical_sophistication; /* low, medium, high */
	int64_t review_due_s;			 /* 0: none */
	const char *organization;
};

struct grant_settings {
	struct position at;
	struct located profile;
	struct located_list roles, personas, groups; /* groups: local groups */
};

/* A saved filter over people; its name counts as an enabled segment. */
struct segment_settings {
	struct position at;
	struct located name; /* slug */
	struct located description;
	struct located filter;	  /* RFC 4515 */
	const char *organization; /* it alone has it; NULL: all */
	bool lenient; /* of the store, and unchanged: what cannot be read any more is warned of, and is nobody's */
	bool sensitive; /* reads attributes that are; known once it is compiled */
};

struct rule_settings {
	struct position at;
	struct located id; /* slug, unique */
	struct located description;
	struct located_list groups; /* any of these, and */
	struct located when;	    /* this RFC 4515 filter */
	struct grant_settings grant;
	struct grant_settings deny; /* beats every grant */
	int64_t expires_s;	    /* grants end at the end of that UTC day; 0: never */
	bool trial;		    /* evaluated and reported, not applied */
	/* Of the store, and unchanged: names that nothing declares any more are warned of, not refused. */
	bool lenient;
	const char *organization; /* for its people alone; NULL: for everybody */
};

struct rule_test_settings {
	struct position at;
	struct located name;
	/* attribute or `groups`, `groups_complete`, `attr;x-SOURCE` to values */
	struct pair_list identity;
	/* profile, roles, personas, groups: exact sets; a key not given is not compared; `profile: none` */
	struct pair_list expect;
};

struct catalogue_settings {
	struct position at;
	struct struct_list profiles, roles, personas, rules, tests;
	struct located_list
		classifications;      /* allowed; default the shipped list (Admin, Sales, …) */
	struct located_list segments; /* enabled ones */
	struct struct_list segment_filters; /* struct segment_settings, and these */
	struct located_list
		local_groups; /* slugs of local groups rules may grant; empty: any slug */
	/* Those that have segments of their own. Set by main. */
	const struct organization_settings *organizations;
	size_t organization_count;
	/* Files of this number and above hold what the store defines; 0: nothing does. Set by main. */
	unsigned store_file;
};
/* Is what stands there defined in the store, not in a file? */
static inline bool catalogue_is_stored(const struct catalogue_settings *catalogue,
				       struct position at)
{
	return catalogue->store_file != 0 && at.file >= catalogue->store_file;
}

/* One profile, role or persona. */
struct catalogue_item {
	const char *organization;		/* NULL: all organizations share it */
	const struct located_list *permissions; /* NULL: it is of a kind that has none */
};
/* false: nothing of this name is defined. Local groups are not looked for. */
bool catalogue_find(const struct catalogue_settings *catalogue, enum grant_kind kind,
		    const char *name, struct catalogue_item *ret_item);
/* Is what belongs to the one (NULL: to all) there for the other (NULL: whoever sees everything)? */
bool catalogue_is_for(const char *owner, const char *organization);

/* Rows named profiles, roles, personas, rules, tests, classifications, segments, segment_filters, local_groups at the root. */
extern const struct option_table catalogue_table;

#endif
