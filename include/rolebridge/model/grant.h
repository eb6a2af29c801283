/* Grants and their origins. */
#ifndef ROLEBRIDGE_MODEL_GRANT_H
#define ROLEBRIDGE_MODEL_GRANT_H

#include <stdbool.h>
#include <stdint.h>

enum grant_kind { GRANT_PROFILE, GRANT_ROLE, GRANT_PERSONA, GRANT_GROUP, GRANT_KINDS };

/*
 * In order of precedence for the profile: a person's hand, SCIM,
 * import or invite, rules, default. Values are stored: never renumber.
 */
enum origin_kind {
	ORIGIN_HAND = 1,
	ORIGIN_SCIM = 2,
	ORIGIN_IMPORT = 3,
	ORIGIN_INVITE = 4,
	ORIGIN_RULE = 5,
	ORIGIN_DEFAULT = 6,
};

struct grant {
	enum grant_kind kind;
	const char *name; /* slug of the profile, role, persona or local group */
	enum origin_kind origin;
	const char *origin_id; /* rule id; or actor ("unix:anna"), import id …; "" for default */
	const char *origin_source; /* rule: name of the source that made it true; else "" */
	int64_t given_s;
	int64_t expires_s; /* 0: never */
};

const char *grant_kind_name(enum grant_kind kind);     /* "profile" … */
const char *origin_kind_name(enum origin_kind origin); /* "hand" … */

/* Same kind, name and origin (times are not compared). */
bool grant_same(const struct grant *a, const struct grant *b);
/* Order by kind, name, origin, origin_id, origin_source. */
int grant_compare(const struct grant *a, const struct grant *b);

#endif
