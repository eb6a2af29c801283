/*
 * A change of definitions while it is worked out: the rows of the store as they would be. Inside main/define only.
 */
#ifndef ROLEBRIDGE_MAIN_DEFINE_ROWS_H
#define ROLEBRIDGE_MAIN_DEFINE_ROWS_H

#include <rolebridge/api/api.h>
#include <rolebridge/change/define.h>

#include "configuration.h"

struct defining {
	struct changer *changer;
	const struct define_request *request;
	struct configuration *running;
	const char *viewer;  /* organization of a limited actor; NULL: they see all */
	const char *refused; /* the field that a refusal is about */
	struct arena *arena;
	struct definition *rows; /* as they would be: room for each change */
	size_t count;
	bool *changing; /* per row */
	struct definition_write *writes;
	size_t write_count;
	bool kept;    /* drafts alone */
	bool drafted; /* a draft that is there is written over, or discarded */
};

/* From the store, with room for the request's changes. */
int defining_load(struct defining *defining, struct err *err);
/* One change, and all of the request. ERR_NOT_FOUND, ERR_CONFLICT and so on, with `refused`. */
int defining_apply(struct defining *defining, const struct definition_change *change,
		   struct err *err);
int defining_apply_all(struct defining *defining, struct err *err);
/* Those in force, in order. */
int defining_list(const struct defining *defining, struct definition_list *ret_list,
		  struct err *err);
/* NULL: it is not there for who asks. */
struct definition *defining_see(const struct defining *defining, const char *kind, const char *name,
				bool draft);
/* Does a file declare it? */
bool defining_is_of_file(const struct defining *defining, const char *kind, const char *name);

#endif
