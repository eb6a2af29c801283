/* What the files about choosing people share. */
#ifndef CHANGE_SELECT_H
#define CHANGE_SELECT_H

#include <rolebridge/change/select.h>
#include <rolebridge/store/activity.h>

#include "internal.h"

/* --- facts.c: what the store knows of a user, as one more identity --- */

/* As the schema's last source; no name of one. */
#define STORE_SOURCE "(store)"

enum fact {
	FACT_ID,
	FACT_USERNAME,
	FACT_EMAIL,
	FACT_MAIL,
	FACT_DISPLAY_NAME,
	FACT_ORGANIZATION,
	FACT_STATE,
	FACT_DISABLED_BY,
	FACT_CREATED,
	FACT_UPDATED,
	FACT_PROFILE,
	FACT_ROLE,
	FACT_PERSONA,
	FACT_GROUP,
	FACT_ORIGIN,
	FACT_RULE,
	FACT_CLASSIFICATION,
	FACT_SEGMENT,
	FACT_LAST_SIGN_IN,
	FACT_SIGN_INS_7,
	FACT_SIGN_INS_30,
	FACT_SIGN_INS_90,
	FACT_SOURCE,
	FACT_ACCOUNT,
	FACTS
};

/* Facts that are of the user's grants. */
#define FIRST_OF_GRANTS FACT_ROLE
#define LAST_OF_GRANTS FACT_SEGMENT
/* And of their sign-ins. */
#define FIRST_OF_SIGN_INS FACT_LAST_SIGN_IN
#define LAST_OF_SIGN_INS FACT_SIGN_INS_90

struct selection {
	struct setup *setup;
	struct live_setup *live; /* with the schema below; NULL: no source is asked */
	struct schema *schema;
	struct group_registry *registry;
	struct filter *filter;
	int64_t now_s;
	uint16_t store_source;
	/* What is read of the facts, ascending by number in the schema. */
	struct wanted_fact {
		uint16_t id;
		enum fact fact;
	} wanted[FACTS];
	size_t wanted_count;
	bool wants_grants, wants_sign_ins;
	struct sign_ins *sign_ins; /* from selection_begin to selection_end; NULL */
	char *application;	   /* whose accounts are seen; NULL: of any */
	const char *organization;  /* of a segment that belongs to one; the setup's */
};

/* One user's. */
struct facts {
	const struct selection *selection;
	struct store *store;
	const struct user *user;
	/* Only where they are wanted. */
	struct grant *grants;
	size_t grant_count;
	struct sign_ins_of sign_ins;
	struct arena *arena;
};

/* The schema with facts. NULL: out of memory. */
struct schema *facts_schema(const struct schema *schema, bool with_sensitive);
/* Its number there; -1: it is hidden. */
int fact_id(enum fact fact, const struct schema *schema);
int facts_identity(struct facts *facts, struct identity *ret_identity, struct err *err);

/* --- segments.c --- */

/* NULL: none with a filter. */
const struct segment_settings *segment_find(const struct setup *setup, const char *organization,
					    const char *name);

#endif
