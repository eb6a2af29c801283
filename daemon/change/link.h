/* Links of new identities to users. Inside change/ only. */
#ifndef CHANGE_LINK_H
#define CHANGE_LINK_H

#include "internal.h"

struct linker;
/* One run of one source; borrows all. NULL: out of memory. */
struct linker *linker_create(const struct live_setup *setup, const struct source_settings *source,
			     struct store *store);
void linker_destroy(struct linker *linker);
/* Could anything of this source ever link? */
bool linker_links(const struct linker *linker);
/* *ret_user 0: nobody. *ret_reason not NULL: quarantine. */
int linker_find(struct linker *linker, const struct identity *identity, struct arena *arena,
		int64_t *ret_user, const char **ret_reason, const char **ret_detail,
		struct err *err);

#endif
