/* Who may make which change of a definition. Inside of changes of definitions only. */
#ifndef CHANGE_DEFINE_CEILING_H
#define CHANGE_DEFINE_CEILING_H

#include <rolebridge/change/define.h>

#include "ceiling.h"

/* Of which kind of grant it is; false: nobody is given it. */
bool definition_grant(const char *kind, enum grant_kind *ret_kind);
bool definition_is_source(const char *kind);

/* ERR_NOT_FOUND; returns -1. */
int define_not_found(const struct definition_write *write, struct err *err);
/* Is it theirs to change? row: as it is; NULL: something new. */
int define_check_owner(const struct authority *authority, const struct setup *setup,
		       const struct definition_write *write, const struct definition *row,
		       struct err *err);
/* Before and after lie within what the actor may do. */
int define_check_ceiling(const struct define_order *order, const struct setup *before,
			 struct store *store, const struct authority *authority,
			 const struct definition_write *write, struct arena *arena,
			 struct err *err);

#endif
