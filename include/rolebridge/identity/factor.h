/*
 * Options about second factors: `second_factor:` at the top level, and of each organization. What they mean for a person
 * is decided in policy/.
 */
#ifndef ROLEBRIDGE_IDENTITY_FACTOR_H
#define ROLEBRIDGE_IDENTITY_FACTOR_H

#include <rolebridge/config/options.h>

struct factor_grace_settings {
	struct position at;
	int64_t until_s; /* the first second of that day, UTC, which is the last one; 0: not given */
	int64_t sign_ins;
};

struct factor_remember_settings {
	struct position at;
	int64_t time_s; /* 0: none is remembered */
	int64_t devices;
};

struct factor_settings {
	struct position at;
	struct located required; /* "nobody", "administrators", "chosen", "all"; NULL: not said */
	struct located_list profiles, roles, groups;
	struct located_list methods, administrator_methods;
	struct factor_grace_settings grace;
	struct factor_remember_settings remember;
};
/* organizations[].second_factor; as JSON also what the store holds. */
extern const struct option_table factor_table;

struct step_up_settings {
	struct position at;
	struct located_list permissions;
	int64_t max_age_s;
};
/* second_factor: for all organizations that say nothing, and what is the same for all. */
struct second_factor_settings {
	struct factor_settings policy; /* first; its position is that of all */
	struct struct_list step_up;    /* struct step_up_settings */
};
extern const struct option_table second_factor_table;

#endif
