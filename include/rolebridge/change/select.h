/*
 * People chosen by an RFC 4515 filter: saved segments, searches, bulk changes, reports.
 *
 * A filter names what rules name (attributes of the person's identities, `attr;x-SOURCE`, membership as
 * (groups=NAME)), and what the store knows of the user, which hides attributes of these names:
 *
 *	id username email organization state disabledBy created updated
 *	profile role persona localGroup origin rule classification segment source account
 *	lastSignIn signIns7d signIns30d signIns90d
 *	mail displayName		where no source says them
 *
 * Times may be told from now on: (created>=-30d). Absent is "no", unknown is not chosen. An attribute that sources
 * are not asked for by anything is refused: nobody would be found by it.
 */
#ifndef ROLEBRIDGE_CHANGE_SELECT_H
#define ROLEBRIDGE_CHANGE_SELECT_H

#include <rolebridge/change/changer.h>

struct selection;

/*
 * When a configuration is read: do the filters of its segments compile? What is wrong goes to list, as a warning where
 * the segment is lenient. Groups are added to the registry. -1: out of memory, said in list.
 */
struct segments_needs {
	bool *attributes; /* by number in the schema: some filter reads it */
	uint32_t *groups; /* ascending, each once */
	size_t group_count;
};
int segments_compile(const struct catalogue_settings *catalogue, const struct schema *schema,
		     struct group_registry *registry, struct arena *arena,
		     struct segments_needs *ret_needs, struct diagnostics *list);
/* How many roles carry the segment. */
size_t segment_roles(const struct catalogue_settings *catalogue, const char *segment);

/* What is wrong with a filter, for people: where, and what they may have meant. */
struct selection_fault {
	const char *
		code; /* "filter-syntax", "unknown-attribute", "attribute-unread" …; NULL: nothing */
	size_t offset, width; /* bytes of the filter, from 0 */
	char message[512];
	char hint[512]; /* "" when none */
};

struct selection_options {
	int64_t now_s;
	bool sensitive; /* attributes that are sensitive may be named; else they are not there */
	const char *application; /* whose accounts are seen; NULL: of any */
	bool may_unread; /* to look at a filter that is not in force: what no source is asked for counts as absent */
};

/*
 * Acquires the setup. store: for the states of groups; a selection is good for as long as the request.
 * ERR_INVALID "invalid-filter", with *ret_fault (may be NULL) filled.
 */
int selection_compile(struct setup *setup, struct store *store, const char *filter,
		      const struct selection_options *options, struct selection **ret_selection,
		      struct selection_fault *ret_fault, struct err *err);
/*
 * Of a segment with a filter. ERR_NOT_FOUND: none of that name; ERR_DENIED "not-allowed": it names what is sensitive.
 */
int selection_of_segment(struct setup *setup, struct store *store, const char *organization,
			 const char *segment, const struct selection_options *options,
			 struct selection **ret_selection, struct err *err);
void selection_free(struct selection *selection); /* NULL is fine */
static inline void selection_auto(struct selection **selection)
{
	selection_free(*selection);
}

/* So many of people_max, fewer where the filter is long: what takes about the same time. At least 1. */
size_t selection_fair(const struct selection *selection, size_t people_max);

/*
 * Before many calls of selection_matches within one snapshot, and after, while it lasts: what they all need is read
 * once. selection_walk does so by itself.
 */
int selection_begin(struct selection *selection, struct store *store, struct err *err);
void selection_end(struct selection *selection);
/* Is this one chosen? arena: of what is read. */
int selection_matches(const struct selection *selection, struct store *store,
		      const struct user *user, struct arena *arena, bool *ret_matches,
		      struct err *err);

/* Told of each, in order of id; user and arena are good until it returns. 0: go on, 1: enough, -1: failed. */
typedef int selection_each(void *context, const struct user *user, struct arena *arena,
			   struct err *err);
struct selection_walk {
	/* Who is looked at: organization, prefix, state, profile, grant. after_id: whom the last call ended with. */
	struct user_query query;
	size_t scan_max;  /* looks at no more than so many; query.limit is not used */
	size_t looked_at; /* by this call */
	/* Where to go on, query.after_id of the next call; 0: there is nobody behind. */
	int64_t next_after;
};
/*
 * One piece, within one snapshot of the store, which must be begun. Tombstones are nobody. Memory does not grow with
 * the number of people.
 */
int selection_walk(const struct selection *selection, struct store *store,
		   struct selection_walk *walk, selection_each *each, void *context,
		   struct err *err);

#endif
