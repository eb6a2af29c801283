/* Links of new identities to users. Inside change/ only. */
#ifndef CHANGE_LINK_H
#define CHANGE_LINK_H

#include "internal.h"

struct linker;
/*
 * Who has which value of the attribute that a source links to. Made once and shared: it holds as
 * long as nobody writes such an identity (changer->identity_version).
 */
struct link_index;
/* In any thread but the writer's. NULL in *ret_index: this source needs none. */
int link_index_get(struct changer *changer, const char *source, struct link_index **ret_index,
		   struct err *err);
void link_index_release(struct link_index *index);
/* Those nobody asked for since the last call: gone. */
void link_indexes_tidy(struct changer *changer);
void link_indexes_drop(struct changer *changer);

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

/*
 * For one sign-in, with an index of that version and setup, or none. *ret_lacking: it takes an index
 * that holds now; nothing else is said then. fallback: make one here, whatever it costs.
 */
struct link_lookup {
	struct changer *changer;
	const struct live_setup *setup;
	uint64_t generation; /* of the setup */
	const struct source_settings *source;
	struct link_index *index;
	bool fallback;
};
int link_lookup(const struct link_lookup *lookup, const struct identity *identity,
		struct arena *arena, int64_t *ret_user, bool *ret_lacking, const char **ret_reason,
		const char **ret_detail, struct err *err);
/* Does an entry that the identity would link to, by its key, lie in quarantine? 1, 0, -1. */
int link_to_quarantined(const struct link_lookup *lookup, const struct identity *identity,
			struct err *err);

#endif
