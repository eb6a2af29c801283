/*
 * People who have not signed in (see usage.h). Enters: since when. Leaves: who, page by page. Fails: store, memory.
 */
#include <rolebridge/change/usage.h>

#include <rolebridge/base/util.h>
#include <rolebridge/store/activity.h>

#define PAGE_USERS 1000
#define PAGE_BYTES ((size_t)64 * 1024 * 1024)

struct looking {
	const struct inactive_query *query;
	struct sign_ins *sign_ins;
	struct arena *arena;
	struct inactive *people;
	size_t count;
};

/* Pages of people are let go; those who are told stay. */
static int tell(struct looking *looking, const struct user *user, int64_t last_s, struct err *err)
{
	struct inactive *told = &looking->people[looking->count++];
	struct arena *arena = looking->arena;

	*told = (struct inactive){ .user = *user, .last_s = last_s };
	told->user.organization = arena_strdup(arena, user->organization);
	told->user.username = arena_strdup(arena, user->username);
	told->user.email = arena_strdup(arena, user->email);
	told->user.display_name = arena_strdup(arena, user->display_name);
	told->user.profile = arena_strdup(arena, user->profile);
	return arena_failed(arena) ? err_set(err, ERR_MEMORY, "no memory for a list") : 0;
}

static int look_at(struct looking *looking, const struct user *user, struct err *err)
{
	struct sign_ins_of found;

	/* Of no day: the last one alone is read. */
	if (store_sign_ins_of(looking->sign_ins, user->id, INT64_MAX, INT64_MAX, &found, err) < 0)
		return -1;
	return found.last_s < looking->query->before_s ? tell(looking, user, found.last_s, err) : 0;
}

static int look_through(struct looking *looking, struct store *store, int64_t *ret_next,
			struct err *err)
{
	struct user_query query = { .organization = looking->query->organization,
				    .active = looking->query->with_disabled ? -1 : 1,
				    .after_id = looking->query->after_id,
				    .limit = PAGE_USERS };
	AUTO(arena) struct arena *page = arena_create(PAGE_BYTES);
	struct user *users;
	size_t count = PAGE_USERS, looked_at = 0;

	if (!page)
		return err_set(err, ERR_MEMORY, "no memory for a list");
	/* A page that is not full has looked at many others, or at the last. */
	while (count == PAGE_USERS) {
		arena_reset(page);
		if (store_user_scan(store, &query, page, &users, &count, ret_next, err) < 0)
			return -1;
		for (size_t i = 0; i < count; i++) {
			if (look_at(looking, &users[i], err) < 0)
				return -1;
			if (looking->count == looking->query->limit ||
			    ++looked_at == looking->query->looked_at) {
				*ret_next = users[i].id;
				return 0;
			}
		}
		query.after_id = *ret_next;
		if (*ret_next == 0)
			return 0;
	}
	return 0;
}

int usage_inactive(const struct inactive_query *query, struct store *store, struct arena *arena,
		   struct inactive **ret_people, size_t *ret_count, int64_t *ret_next,
		   struct err *err)
{
	struct looking looking = { .query = query, .arena = arena };
	int result;

	looking.people = arena_alloc_array(arena, query->limit + 1, sizeof(*looking.people));
	if (!looking.people)
		return err_set(err, ERR_MEMORY, "no memory for a list");
	looking.sign_ins = store_sign_ins_open(store, err);
	if (!looking.sign_ins)
		return -1;
	result = look_through(&looking, store, ret_next, err);
	store_sign_ins_close(looking.sign_ins);
	if (result < 0)
		return -1;
	*ret_people = looking.people;
	*ret_count = looking.count;
	return 0;
}
