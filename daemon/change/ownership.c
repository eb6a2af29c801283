/*
 * Resources: what applications tell of their things, as trees.
 *
 * Enters: who asks, how a resource shall be. Leaves: the row, its audit row, a note for those who decide in
 * memory. Refused: names that cannot be, parents and owners that are not there, what would stand below
 * itself or too deep, trees of two organizations, owners who are not active. Fails: store, memory.
 *
 * A tree is of one application and one organization; so a resource keeps its organization while anything is
 * above or below it. Who reads the store, or the copy in memory, may rely on that every chain of
 * parents ends within RESOURCE_DEPTH_MAX steps.
 */
#include "ownership.h"

#include <stdio.h>
#include <string.h>

#include <rolebridge/base/hash.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>
#include <rolebridge/identity/names.h>
#include <rolebridge/rules/permission.h>

#include "accounts.h"
#include "refusal.h"

#define DETAIL_MAX (1u << 20)
/* Rows of a list in one transaction. */
#define ROWS_AT_ONCE 500
/* Times that a large tree is measured before it is moved. */
#define MEASURES 3

int64_t ownership_small_tree = 2000;
uint64_t ownership_looked_at;

const char *const ownership_outcome_names[] = { [OWNERSHIP_CREATED] = "created",
						[OWNERSHIP_UPDATED] = "updated",
						[OWNERSHIP_UNCHANGED] = "unchanged" };

/* --- shared --- */

int owning_refuse(struct owning *owning, const char *field, const char *reason, const char *text,
		  struct err *err)
{
	owning->refused = field;
	return err_refuse(err, ERR_INVALID, reason, "%s", text);
}

int owning_begin(struct owning *owning, const char *permission, struct err *err)
{
	owning->now_s = change_now_s();
	if (authority_of_actor(owning->changer->store, &owning->setup->setup, owning->actor,
			       owning->now_s, owning->arena, &owning->authority, err) < 0)
		return -1;
	return authority_require(&owning->authority, permission, err);
}

int owning_check_application(const struct owning *owning, const char *application, struct err *err)
{
	if (!owning->actor->application || strcmp(owning->actor->application, application) == 0)
		return 0;
	return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such application");
}

int owning_check_version(int64_t wanted, int64_t present, struct err *err)
{
	if (wanted == 0 || wanted == present)
		return 0;
	if (present == 0)
		return err_refuse(err, ERR_CONFLICT, "stale-version", "it is not there any more");
	return err_refuse(err, ERR_CONFLICT, "stale-version",
			  "it was changed meanwhile and has version %lld", (long long)present);
}

bool resource_id_is_valid(const char *id)
{
	size_t size = strlen(id);

	if (size == 0 || size > RESOURCE_ID_MAX || strcmp(id, ".") == 0 || strcmp(id, "..") == 0)
		return false;
	for (size_t i = 0; i < size; i++)
		if ((unsigned char)id[i] < 0x20 || id[i] == 0x7f)
			return false;
	return text_is_utf8(id, size);
}

/* What may stand for a type in a permission. */
static bool type_is_valid(const char *type)
{
	char permission[sizeof("@all:read") + 64];

	if (!slug_is_valid(type) || type[0] == '*')
		return false;
	snprintf(permission, sizeof(permission), "%s:read@all", type);
	return permission_check(permission, NULL) == 0;
}

int owning_check_key(struct owning *owning, const char *application, const char *second_name,
		     const char *second, const char *id, struct err *err)
{
	if (!slug_is_valid(application))
		return owning_refuse(owning, "application", "invalid-request",
				     "the application's name is not one: lower-case letters, "
				     "digits, '.', '_' and '-', at most 64",
				     err);
	if (!type_is_valid(second))
		return owning_refuse(owning, second_name, "invalid-request",
				     "not a name: a lower-case letter, then letters, digits, '.', "
				     "'_' and '-', at most 64",
				     err);
	if (!resource_id_is_valid(id))
		return owning_refuse(owning, "id", "invalid-request",
				     "an id is 1 to 256 bytes of UTF-8 without control characters, "
				     "and not '.' or '..'",
				     err);
	return 0;
}

int owning_check_text(struct owning *owning, const char *field, const char *text, struct err *err)
{
	size_t size = strlen(text);

	for (size_t i = 0; i < size; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return owning_refuse(owning, field, "invalid-request",
					     "it holds a control character", err);
	if (size <= RESOURCE_TITLE_MAX && text_is_utf8(text, size))
		return 0;
	return owning_refuse(owning, field, "invalid-request",
			     "it is longer than 1024 bytes, or not UTF-8", err);
}

int owning_find_user(struct owning *owning, const char *field, const char *name,
		     const char *organization, int64_t before, struct user *ret_user,
		     struct err *err)
{
	struct store *store = owning->changer->store;
	const char *own = owning->authority.organization;
	struct err missing;
	struct user user;

	err_clear(&missing);
	if (user_resolve(store, name, owning->arena, &user, &missing) < 0 &&
	    missing.code != ERR_NOT_FOUND) {
		if (err)
			*err = missing;
		return -1;
	}
	/* Somebody of another organization looks like nobody. */
	if (missing.code != ERR_NONE || user.disabled & DISABLED_DELETED ||
	    (organization && strcmp(user.organization, organization) != 0) ||
	    (own && strcmp(user.organization, own) != 0))
		return owning_refuse(owning, field, "not-found", "there is no such user here", err);
	if (!user_is_active(&user) && user.id != before) {
		owning->refused = field;
		return err_refuse(err, ERR_CONFLICT, "user-disabled",
				  "'%s' is disabled and cannot become responsible for anything",
				  user.username);
	}
	*ret_user = user;
	return 0;
}

int owning_audit(struct owning *owning, const char *action, const char *what,
		 const struct resource_key *key, const struct strbuf *detail, struct err *err)
{
	AUTO(strbuf) struct strbuf object = STRBUF(1024);

	strbuf_printf(&object, "%s:%s/%s/%s", what, key->application, key->type, key->id);
	if (strbuf_failed(&object) || strbuf_failed(detail))
		return err_set(err, ERR_MEMORY, "no memory for an audit row");
	return audit_write(owning->changer->store, owning->now_s, owning->actor, action,
			   strbuf_text(&object), strbuf_text(detail), err);
}

/* --- writing one --- */

static void write_key(struct json *json, const char *name, const char *type, const char *id)
{
	if (id[0] == '\0') {
		json_null(json, name);
		return;
	}
	json_object_key(json, name);
	json_string(json, "type", type);
	json_string(json, "id", id);
	json_end(json);
}

static void write_owner(struct json *json, const struct resource *resource)
{
	char uuid[UUID_TEXT_SIZE];

	uuid_format(&resource->owner_uuid, uuid);
	json_string(json, "owner", resource->owner ? uuid : NULL);
}

/* What differs from the other; all when there is none. */
static void write_side(struct json *json, const char *name, const struct resource *resource,
		       const struct resource *other)
{
	json_object_key(json, name);
	if (!other || resource->parent_row != other->parent_row)
		write_key(json, "parent", resource->parent_type, resource->parent_id);
	if (!other || resource->owner != other->owner)
		write_owner(json, resource);
	if (!other || strcmp(resource->title, other->title) != 0)
		json_string(json, "title", resource->title);
	if (!other || strcmp(resource->organization, other->organization) != 0)
		json_string(json, "organization", resource->organization);
	json_end(json);
}

/* people: how many belonged to an account that is removed; their ties end with it. */
static int write_audit(struct owning *owning, const char *action, const struct resource *before,
		       const struct resource *after, int64_t people, struct err *err)
{
	AUTO(strbuf) struct strbuf detail = STRBUF(DETAIL_MAX);
	struct json json = JSON(&detail);

	json_object(&json);
	if (before)
		write_side(&json, "before", before, after);
	if (after)
		write_side(&json, "after", after, before);
	if (people > 0)
		json_int(&json, "people", people);
	json_end(&json);
	return owning_audit(owning, action, "resource", after ? &after->key : &before->key, &detail,
			    err);
}

/*
 * Whatever was measured does not count any more: not for who comes later in this transaction, and, once it is
 * committed, not for who has measured without it meanwhile.
 */
static void note_tree(struct changer *changer)
{
	__atomic_add_fetch(&changer->tree_changes, 1, __ATOMIC_RELEASE);
	changer->tree_changed = true;
}

int resource_write(struct owning *owning, struct resource *after, const struct resource *before,
		   struct err *err)
{
	int64_t lost = before && before->owner != after->owner ? before->owner : 0;

	after->version = before ? before->version + 1 : 1;
	after->updated_s = owning->now_s;
	after->created_s = before ? before->created_s : owning->now_s;
	if (store_resource_put(owning->changer->store, after, err) < 0 ||
	    write_audit(owning, before ? "resource.update" : "resource.create", before, after, 0,
			err) < 0)
		return -1;
	if (after->parent_row && (!before || before->parent_row != after->parent_row))
		note_tree(owning->changer);
	notice_resource(owning->changer, after, false);
	return lost ? owning_follow(owning, lost, err) : 0;
}

/* --- what a wish means --- */

struct putting {
	struct owning *owning;
	const struct resource_wish *wish;
	struct resource before; /* row 0: somebody new */
	struct resource after;
	struct resource parent; /* row 0: none */
	struct user owner;	/* id 0: none */
};

static bool given(const char *text)
{
	return text && text[0] != '\0';
}

static int find_before(struct putting *putting, const char *application, struct err *err)
{
	struct owning *owning = putting->owning;
	const struct resource_key key = { application, putting->wish->type, putting->wish->id };
	struct err missing;

	err_clear(&missing);
	putting->after.key = key;
	if (store_resource_find(owning->changer->store, &key, owning->arena, &putting->before,
				&missing) == 0)
		return authority_require_organization(
			&owning->authority, putting->before.organization, "such resource", err);
	putting->before = (struct resource){ .parent_type = "", .parent_id = "" };
	if (missing.code == ERR_NOT_FOUND)
		return 0;
	if (err)
		*err = missing;
	return -1;
}

static int find_parent(struct putting *putting, struct err *err)
{
	const struct resource_wish *wish = putting->wish;
	struct owning *owning = putting->owning;
	const struct resource_key key = { putting->after.key.application, wish->parent_type,
					  wish->parent_id };
	struct err missing;

	if (!given(wish->parent_type) && !given(wish->parent_id))
		return 0;
	if (!given(wish->parent_type) ||
	    !resource_id_is_valid(wish->parent_id ? wish->parent_id : ""))
		return owning_refuse(owning, "parent", "invalid-request",
				     "a parent has a type and an id", err);
	err_clear(&missing);
	/* Of another organization: it is not there. */
	if (store_resource_find(owning->changer->store, &key, owning->arena, &putting->parent,
				&missing) == 0 &&
	    authority_require_organization(&owning->authority, putting->parent.organization,
					   "parent", &missing) == 0)
		return 0;
	if (missing.code == ERR_NOT_FOUND)
		return owning_refuse(owning, "parent", "not-found", "there is no such parent", err);
	if (err)
		*err = missing;
	return -1;
}

/* Where a tree of its own belongs when nobody says so. */
static const char *natural_organization(const struct putting *putting)
{
	const struct authority *authority = &putting->owning->authority;

	if (putting->before.row)
		return putting->before.organization;
	if (putting->owner.id)
		return putting->owner.organization;
	return authority->organization ? authority->organization : "default";
}

/* An account stays where its people are. */
static int check_people(struct owning *owning, const struct resource *account, struct err *err)
{
	int64_t people;

	if (store_account_people_count(owning->changer->store, account->row, &people, err) < 0)
		return -1;
	if (people == 0)
		return 0;
	return owning_refuse(owning, "organization", "other-organization",
			     "users of its organization belong to it", err);
}

static int find_organization(struct putting *putting, struct err *err)
{
	const char *wanted = putting->wish->organization;
	struct owning *owning = putting->owning;
	const struct resource *before = &putting->before;
	const char *organization;

	if (putting->parent.row)
		organization = putting->parent.organization;
	else
		organization = given(wanted) ? wanted : natural_organization(putting);
	if (given(wanted) && strcmp(wanted, organization) != 0)
		return owning_refuse(owning, "organization", "other-organization",
				     "a resource is of its parent's organization", err);
	if (authority_require_organization(&owning->authority, organization, "organization", err) <
		    0 ||
	    change_check_organization(&owning->setup->setup, organization, err) < 0) {
		owning->refused = "organization";
		return -1;
	}
	if (before->row && strcmp(before->organization, organization) != 0) {
		int children =
			store_resource_has_children(owning->changer->store, before->row, err);

		if (children < 0)
			return -1;
		if (children == 0 && !putting->parent.row && check_people(owning, before, err) < 0)
			return -1;
		if (children > 0 || putting->parent.row)
			return owning_refuse(
				owning, putting->parent.row ? "parent" : "organization",
				"other-organization", "a tree stays in its organization", err);
	}
	putting->after.organization = organization;
	return 0;
}

static int find_owner(struct putting *putting, struct err *err)
{
	const char *name = putting->wish->owner;
	const char *organization = putting->parent.row ? putting->parent.organization
				   : putting->before.row && !given(putting->wish->organization)
					   ? putting->before.organization
				   : given(putting->wish->organization)
					   ? putting->wish->organization
					   : NULL;

	if (!given(name))
		return 0;
	return owning_find_user(putting->owning, "owner", name, organization, putting->before.owner,
				&putting->owner, err);
}

/* Levels from the root to what stands below `above`. *ret_itself: row is among those above. */
static int find_depth(struct putting *putting, struct resource above, int64_t row,
		      int64_t *ret_depth, bool *ret_itself, struct err *err)
{
	struct owning *owning = putting->owning;
	int64_t depth = 1;

	*ret_itself = false;
	while (above.row) {
		*ret_itself |= above.row == row;
		depth++;
		if (depth > RESOURCE_DEPTH_MAX + 1)
			return err_refuse(err, ERR_IO, "store-damaged", "a tree has no end");
		if (!above.parent_row)
			break;
		if (store_resource_get(owning->changer->store, above.parent_row, owning->arena,
				       &above, err) < 0)
			return -1;
	}
	*ret_depth = depth;
	return 0;
}

/*
 * How many levels are below it. Of a large tree that is not counted where all wait for it: whoever asked is sent
 * back once, to count it outside.
 */
static int find_height(struct owning *owning, int64_t row, int64_t *ret_height, struct err *err)
{
	struct changer *changer = owning->changer;
	int64_t limit = owning->measures_all ? -1 : ownership_small_tree, count;

	if (owning->measured.row == row &&
	    owning->measured.tree_changes ==
		    __atomic_load_n(&changer->tree_changes, __ATOMIC_ACQUIRE)) {
		*ret_height = owning->measured.height;
		return 0;
	}
	if (store_resource_height(changer->store, row, RESOURCE_DEPTH_MAX, limit, ret_height,
				  &count, err) < 0)
		return -1;
	ownership_looked_at += (uint64_t)count;
	if (count != limit)
		return 0;
	owning->unmeasured = row;
	return err_set(err, ERR_UNAVAILABLE, "the tree has to be measured first");
}

/* Nothing stands below itself, and no chain is longer than everybody relies on. */
static int check_place(struct putting *putting, struct err *err)
{
	struct resource above = { .row = 0 };
	int64_t depth, depth_before = 0, height = 0;
	bool itself;

	if (find_depth(putting, putting->parent, putting->before.row, &depth, &itself, err) < 0)
		return -1;
	if (itself && putting->before.row)
		return owning_refuse(putting->owning, "parent", "resource-cycle",
				     "it would stand below itself", err);
	if (putting->before.parent_row &&
	    store_resource_get(putting->owning->changer->store, putting->before.parent_row,
			       putting->owning->arena, &above, err) < 0)
		return -1;
	if (putting->before.row && find_depth(putting, above, 0, &depth_before, &itself, err) < 0)
		return -1;
	/* What stands no deeper than before has room below it. */
	if (depth > depth_before && putting->before.row &&
	    find_height(putting->owning, putting->before.row, &height, err) < 0)
		return -1;
	if (depth + height <= RESOURCE_DEPTH_MAX || (putting->before.row && depth <= depth_before))
		return 0;
	return owning_refuse(putting->owning, "parent", "resource-depth",
			     "a tree has at most 32 levels", err);
}

static int check_names(struct putting *putting, const char *application, struct err *err)
{
	const struct resource_wish *wish = putting->wish;

	if (owning_check_application(putting->owning, application, err) < 0 ||
	    owning_check_key(putting->owning, application, "type", wish->type, wish->id, err) < 0 ||
	    (given(wish->title) &&
	     owning_check_text(putting->owning, "title", wish->title, err) < 0))
		return -1;
	return 0;
}

static bool is_same(const struct resource *a, const struct resource *b)
{
	return a->row && a->parent_row == b->parent_row && a->owner == b->owner &&
	       strcmp(a->title, b->title) == 0 && strcmp(a->organization, b->organization) == 0;
}

static void fill_after(struct putting *putting)
{
	struct resource *after = &putting->after;

	after->row = putting->before.row;
	after->parent_row = putting->parent.row;
	after->parent_type = putting->parent.row ? putting->parent.key.type : "";
	after->parent_id = putting->parent.row ? putting->parent.key.id : "";
	after->owner = putting->owner.id;
	after->owner_uuid = putting->owner.uuid;
	after->owner_name = putting->owner.id ? putting->owner.username : "";
	after->title = putting->wish->title ? putting->wish->title : "";
}

static int put_one(struct owning *owning, const char *application, const struct resource_wish *wish,
		   int64_t version, enum ownership_outcome *ret_outcome, struct err *err)
{
	struct putting putting = { .owning = owning, .wish = wish };

	owning->refused = NULL;
	if (check_names(&putting, application, err) < 0 ||
	    find_before(&putting, application, err) < 0 ||
	    owning_check_version(version, putting.before.version, err) < 0 ||
	    find_parent(&putting, err) < 0 || find_owner(&putting, err) < 0 ||
	    find_organization(&putting, err) < 0)
		return -1;
	fill_after(&putting);
	if (is_same(&putting.before, &putting.after)) {
		*ret_outcome = OWNERSHIP_UNCHANGED;
		return 0;
	}
	if (putting.parent.row && putting.parent.row != putting.before.parent_row &&
	    check_place(&putting, err) < 0)
		return -1;
	if (resource_write(owning, &putting.after, putting.before.row ? &putting.before : NULL,
			   err) < 0)
		return -1;
	*ret_outcome = putting.before.row ? OWNERSHIP_UPDATED : OWNERSHIP_CREATED;
	return 0;
}

/* --- one --- */

struct put_job {
	struct owning owning;
	const char *application;
	const struct resource_wish *wish;
	int64_t version;
	enum ownership_outcome outcome;
};

static int put_job(struct changer *changer, struct job *job, struct err *err)
{
	struct put_job *put = job->context;
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);

	put->owning.changer = changer;
	put->owning.arena = arena;
	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory for a request");
	if (owning_begin(&put->owning, "resources:write@all", err) < 0)
		return -1;
	return put_one(&put->owning, put->application, put->wish, put->version, &put->outcome, err);
}

/* A large tree, as it is in a snapshot that nobody waits for. */
static int measure(struct changer *changer, struct owning *owning, struct err *err)
{
	uint64_t changes = __atomic_load_n(&changer->tree_changes, __ATOMIC_ACQUIRE);
	AUTO(store) struct store *store = store_open(changer->path, STORE_READ, err);
	int64_t height, count;

	if (!store || store_resource_height(store, owning->unmeasured, RESOURCE_DEPTH_MAX, -1,
					    &height, &count, err) < 0)
		return -1;
	owning->measured = (struct measured){ owning->unmeasured, height, changes };
	owning->unmeasured = 0;
	return 0;
}

/* Where trees change without pause it is measured by the writer after all. */
static int put_measured(struct changer *changer, struct put_job *put, struct err *err)
{
	int result = -1;

	for (int attempt = 0; attempt < MEASURES; attempt++) {
		put->owning.measures_all = attempt + 1 == MEASURES;
		result = writer_request(changer, put_job, put, err);
		if (result == 0 || !put->owning.unmeasured)
			break;
		err_clear(err);
		if (measure(changer, &put->owning, err) < 0)
			return -1;
	}
	return result;
}

int change_resource_put(struct changer *changer, const struct actor *actor, const char *application,
			const struct resource_wish *wish, int64_t version,
			enum ownership_outcome *ret_outcome, const char **ret_field,
			struct err *err)
{
	struct live_setup *setup = changer_live_setup(changer, NULL);
	struct put_job put = { .owning = { .setup = setup, .actor = actor },
			       .application = application,
			       .wish = wish,
			       .version = version };
	int result = put_measured(changer, &put, err);

	setup_release(&setup->setup);
	*ret_field = result < 0 ? put.owning.refused : NULL;
	if (result == 0)
		*ret_outcome = put.outcome;
	return result;
}

/* --- many --- */

struct listing {
	struct owning owning;
	const char *application;
	const struct resource_wish *wishes;
	const size_t *order; /* of those of this transaction */
	size_t count;
	struct arena *results_arena;
	struct resource_result *results;
};

static int note_refusal(struct listing *listing, struct resource_result *result,
			const struct err *problem, struct err *err)
{
	result->code = refusal_code(problem);
	result->message = arena_strdup(listing->results_arena, problem->text);
	result->field = listing->owning.refused;
	return result->message ? 0 : err_set(err, ERR_MEMORY, "no memory for results");
}

static int list_job(struct changer *changer, struct job *job, struct err *err)
{
	struct listing *listing = job->context;
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	struct err problem;

	listing->owning.changer = changer;
	listing->owning.arena = arena;
	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory for a request");
	if (owning_begin(&listing->owning, "resources:write@all", err) < 0)
		return -1;
	for (size_t i = 0; i < listing->count; i++) {
		size_t place = listing->order[i];
		struct resource_result *result = &listing->results[place];

		err_clear(&problem);
		*result = (struct resource_result){ .code = NULL };
		if (put_one(&listing->owning, listing->application, &listing->wishes[place], 0,
			    &result->outcome, &problem) == 0)
			continue;
		/* What is not the row's own fault ends the list. */
		if (!is_refusal(&problem)) {
			if (err)
				*err = problem;
			return -1;
		}
		if (note_refusal(listing, result, &problem, err) < 0)
			return -1;
	}
	return 0;
}

static struct hash128 wish_print(const char *type, const char *id)
{
	struct fingerprint_prefix prefix;

	fingerprint_start(type ? type : "", type ? strlen(type) : 0, &prefix);
	return fingerprint_finish(&prefix, id ? id : "", id ? strlen(id) : 0);
}

enum { ORDER_NEW, ORDER_WAITS, ORDER_DONE };

/* Parents come before children; in a circle somebody has to begin, and is refused for it. */
static int order_wishes(const struct resource_wish *wishes, size_t count, struct arena *arena,
			size_t **ret_order, struct err *err)
{
	AUTO(hash_table) struct hash_table *places = hash_table_create(count, count + 1);
	size_t *order = arena_alloc_array(arena, count + 1, sizeof(*order));
	size_t *stack = arena_alloc_array(arena, count + 1, sizeof(*stack));
	unsigned char *states = arena_alloc_array(arena, count + 1, 1);
	size_t done = 0;
	uint32_t *slot, parent;

	if (!places || !order || !stack || !states)
		return err_set(err, ERR_MEMORY, "no memory for a list");
	for (size_t i = 0; i < count; i++) {
		if (hash_table_put(places, wish_print(wishes[i].type, wishes[i].id), &slot) < 0)
			return err_set(err, ERR_MEMORY, "no memory for a list");
		*slot = (uint32_t)i;
	}
	for (size_t i = 0; i < count; i++) {
		size_t depth = 0, at = i;

		while (states[at] == ORDER_NEW) {
			states[at] = ORDER_WAITS;
			stack[depth++] = at;
			if (given(wishes[at].parent_id) &&
			    hash_table_get(places,
					   wish_print(wishes[at].parent_type, wishes[at].parent_id),
					   &parent))
				at = parent;
		}
		while (depth > 0) {
			states[stack[depth - 1]] = ORDER_DONE;
			order[done++] = stack[--depth];
		}
	}
	*ret_order = order;
	return 0;
}

int change_resources_put(struct changer *changer, const struct actor *actor,
			 const char *application, const struct resource_wish *wishes, size_t count,
			 struct arena *arena, struct resource_result *results, struct err *err)
{
	struct live_setup *setup;
	size_t *order = NULL;
	int result = 0;

	if (order_wishes(wishes, count, arena, &order, err) < 0)
		return -1;
	setup = changer_live_setup(changer, NULL);
	for (size_t i = 0; result == 0 && i < count; i += ROWS_AT_ONCE) {
		struct listing listing = {
			.owning = { .setup = setup, .actor = actor, .measures_all = true },
			.application = application,
			.wishes = wishes,
			.order = order + i,
			.count = count - i < ROWS_AT_ONCE ? count - i : ROWS_AT_ONCE,
			.results_arena = arena,
			.results = results,
		};

		result = writer_bulk(changer, list_job, &listing, err);
	}
	setup_release(&setup->setup);
	return result;
}

/* --- removing --- */

struct removal {
	struct owning owning;
	const struct resource_key *key;
	int64_t version;
	bool recursive, ties_left;
	size_t removed, untied;
};

/* *ret_people: who belonged to it. */
static int untie_people(struct removal *removal, const struct resource *resource,
			int64_t *ret_people, struct err *err)
{
	struct store *store = removal->owning.changer->store;
	size_t limit;
	int left;

	*ret_people = 0;
	if (strcmp(resource->key.type, RESOURCE_ACCOUNTS) != 0)
		return 0;
	if (store_account_people_count(store, resource->row, ret_people, err) < 0)
		return -1;
	if (*ret_people == 0)
		return 0;
	limit = ACCOUNT_TIES_AT_ONCE - removal->untied;
	left = store_account_clear(store, resource->row, limit, err);
	removal->untied += (size_t)*ret_people < limit ? (size_t)*ret_people : limit;
	removal->ties_left |= left > 0;
	return left < 0 ? -1 : 0;
}

static int remove_row(struct removal *removal, int64_t row, struct err *err)
{
	struct owning *owning = &removal->owning;
	struct resource resource;
	int64_t people;

	if (store_resource_get(owning->changer->store, row, owning->arena, &resource, err) < 0 ||
	    untie_people(removal, &resource, &people, err) < 0 ||
	    store_resource_remove(owning->changer->store, row, err) < 0 ||
	    write_audit(owning, "resource.delete", &resource, NULL, people, err) < 0)
		return -1;
	notice_resource(owning->changer, &resource, true);
	removal->removed++;
	return resource.owner ? owning_follow(owning, resource.owner, err) : 0;
}

static int remove_job(struct changer *changer, struct job *job, struct err *err)
{
	struct removal *removal = job->context;
	struct owning *owning = &removal->owning;
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	struct resource resource;
	int64_t *rows;
	size_t count;

	owning->changer = changer;
	owning->arena = arena;
	removal->removed = removal->untied = 0;
	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory for a request");
	if (owning_begin(owning, "resources:write@all", err) < 0 ||
	    owning_check_application(owning, removal->key->application, err) < 0 ||
	    store_resource_find(changer->store, removal->key, arena, &resource, err) < 0 ||
	    authority_require_organization(&owning->authority, resource.organization,
					   "such resource", err) < 0 ||
	    owning_check_version(removal->version, resource.version, err) < 0 ||
	    store_resource_subtree(changer->store, resource.row,
				   removal->recursive ? RESOURCE_REMOVE_MAX : 1, arena, &rows,
				   &count, err) < 0)
		return -1;
	if (count > 1 && !removal->recursive)
		return err_refuse(err, ERR_CONFLICT, "resource-has-children",
				  "there are resources below it");
	if (count > RESOURCE_REMOVE_MAX)
		return err_refuse(err, ERR_CONFLICT, "too-many-children",
				  "more than 10,000 resources would be removed at once");
	while (count > 0)
		if (remove_row(removal, rows[--count], err) < 0)
			return -1;
	return 0;
}

int change_resource_remove(struct changer *changer, const struct actor *actor,
			   const struct resource_key *key, int64_t version, bool recursive,
			   size_t *ret_removed, struct err *err)
{
	struct live_setup *setup = changer_live_setup(changer, NULL);
	struct removal removal = { .owning = { .setup = setup, .actor = actor },
				   .key = key,
				   .version = version,
				   .recursive = recursive };
	int result = recursive ? writer_bulk(changer, remove_job, &removal, err)
			       : writer_request(changer, remove_job, &removal, err);

	setup_release(&setup->setup);
	if (result < 0)
		return -1;
	*ret_removed = removal.removed;
	/* Nobody sees them any more: what is cut off here goes with the next one, or the next start. */
	if (removal.ties_left)
		change_accounts_prune(changer, NULL);
	return 0;
}
