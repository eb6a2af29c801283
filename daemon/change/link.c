/*
 * Links: which user is someone new of a source?
 *
 * Enters: a decoded identity that no user has yet. Leaves: the user it belongs to, nobody, or a
 * reason for quarantine. Fails: store, memory.
 *
 * A source's link names an attribute here and the immutable key, or an attribute, of another source:
 * exactly one user must match. An e-mail address links only when this source and one that the user has
 * both list its domain as theirs, and the user is no administrator. All within the organization. Before
 * all of that goes what a person said: whose it shall be, and whose not.
 */
#include "link.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>
#include <rolebridge/identity/names.h>
#include <rolebridge/store/invite.h>

#define INDEX_MAX 100000000u
#define AMBIGUOUS UINT32_MAX

struct linker {
	const struct live_setup *setup;
	const struct source_settings *source;
	struct store *store;
	bool wanted; /* a person said whose some identity of the source is, and it was not read since */
	int attribute; /* ours; -1: no link */
	int other;     /* the other source's number */
	bool by_key;
	uint16_t other_attribute;
	struct link_index *index; /* NULL: not made yet */
	struct hash_table *
		taken; /* users who got an identity of this source in this run; NULL: one sign-in */
};

struct link_index {
	struct link_index *next;
	char *source;
	uint64_t generation, version; /* of the setup, of the identities */
	bool used;		      /* since the last tidying */
	int references;		      /* atomic */
	/* Folded value of the other source's attribute → place of a user id. */
	struct hash_table *table;
	int64_t *users;
	size_t count, capacity;
};

static int find_attribute(const struct schema *schema, const char *name)
{
	return name ? schema_find(schema, name, strlen(name)) : -1;
}

static void linker_init(struct linker *linker, const struct live_setup *setup,
			const struct source_settings *source, struct store *store)
{
	const struct schema *schema = setup->setup.decision.schema;
	const struct link_settings *link = &source->link;
	int other;

	*linker = (struct linker){
		.setup = setup, .source = source, .store = store, .attribute = -1
	};
	if (link->at.file == 0 || !link->source.text)
		return;
	linker->attribute = find_attribute(schema, link->attribute.text);
	linker->other = schema_find_source(schema, link->source.text, strlen(link->source.text));
	linker->by_key = !link->other.text || strcmp(link->other.text, "key") == 0;
	if (!linker->by_key) {
		other = find_attribute(schema, link->other.text);
		if (other < 0)
			linker->attribute = -1;
		else
			linker->other_attribute = (uint16_t)other;
	}
	if (linker->other < 0)
		linker->attribute = -1;
}

/* What cannot be asked now is asked for each newcomer, and fails there. */
static void ask_wanted(struct linker *linker)
{
	linker->wanted = store_link_any(linker->store, linker->source->name.text, NULL) != 0;
}

struct linker *linker_create(const struct live_setup *setup, const struct source_settings *source,
			     struct store *store)
{
	struct linker *linker = malloc(sizeof(*linker));

	if (!linker)
		return NULL;
	linker_init(linker, setup, source, store);
	ask_wanted(linker);
	linker->taken = hash_table_create(16, INDEX_MAX);
	if (!linker->taken) {
		free(linker);
		return NULL;
	}
	return linker;
}

void linker_destroy(struct linker *linker)
{
	if (!linker)
		return;
	link_index_release(linker->index);
	hash_table_destroy(linker->taken);
	free(linker);
}

bool linker_links(const struct linker *linker)
{
	return linker->wanted || linker->attribute >= 0 ||
	       linker->source->authoritative_domains.count > 0;
}

static int no_memory(struct err *err)
{
	return err_set(err, ERR_MEMORY, "no memory to link identities");
}

static int fold(const char *value, struct strbuf *out, struct hash128 *ret_hash, struct err *err)
{
	strbuf_clear(out);
	text_fold(out, value, strlen(value));
	if (strbuf_failed(out))
		return no_memory(err);
	*ret_hash = fingerprint128(strbuf_text(out), out->size);
	return 0;
}

/* --- the other source's attribute, read once --- */

struct indexing {
	const struct linker *linker;
	struct link_index *index;
	struct arena *arena;
	struct strbuf scratch;
	struct err *err;
};

static int index_value(struct indexing *indexing, const char *value, int64_t user_id)
{
	struct link_index *index = indexing->index;
	struct hash128 hash;
	uint32_t *slot;
	int fresh;

	if (fold(value, &indexing->scratch, &hash, indexing->err) < 0)
		return -1;
	if (index->count == index->capacity) {
		size_t capacity = index->capacity ? index->capacity * 2 : 256;
		int64_t *users = reallocarray(index->users, capacity, sizeof(*users));

		if (!users)
			return no_memory(indexing->err);
		index->users = users;
		index->capacity = capacity;
	}
	fresh = hash_table_put(index->table, hash, &slot);
	if (fresh < 0)
		return no_memory(indexing->err);
	if (fresh == 0) {
		if (*slot != AMBIGUOUS && index->users[*slot] != user_id)
			*slot = AMBIGUOUS;
		return 0;
	}
	*slot = (uint32_t)index->count;
	index->users[index->count++] = user_id;
	return 0;
}

static int index_identity(void *context, const char *key, struct hash128 digest UNUSED,
			  int64_t user_id, int64_t missing_s UNUSED, uint32_t missing_runs UNUSED)
{
	struct indexing *indexing = context;
	const struct linker *linker = indexing->linker;
	const struct schema *schema = linker->setup->setup.decision.schema;
	struct identity_row row;
	struct identity identity;

	arena_reset(indexing->arena);
	if (store_identity_get(linker->store, schema_source_name(schema, (uint16_t)linker->other),
			       key, indexing->arena, &row, indexing->err) < 0 ||
	    record_decode(row.record, row.record_size, schema, (uint16_t)linker->other,
			  indexing->arena, &identity, indexing->err) < 0)
		return -1;
	for (size_t i = 0; i < identity.attribute_count; i++)
		for (uint32_t j = 0; identity.attributes[i].id == linker->other_attribute &&
				     j < identity.attributes[i].count;
		     j++)
			if (index_value(indexing, identity.attributes[i].values[j], user_id) < 0)
				return -1;
	return 0;
}

void link_index_release(struct link_index *index)
{
	if (!index || __atomic_sub_fetch(&index->references, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	hash_table_destroy(index->table);
	free(index->users);
	free(index->source);
	free(index);
}

static struct link_index *index_create(void)
{
	struct link_index *index = calloc(1, sizeof(*index));

	if (!index)
		return NULL;
	index->references = 1;
	index->table = hash_table_create(1024, INDEX_MAX);
	if (index->table)
		return index;
	free(index);
	return NULL;
}

static int build_index(const struct linker *linker, struct link_index **ret_index, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	struct indexing indexing = { .linker = linker,
				     .index = index_create(),
				     .arena = arena,
				     .scratch = STRBUF(RECORD_MAX),
				     .err = err };
	int result;

	if (!arena || !indexing.index) {
		link_index_release(indexing.index);
		return no_memory(err);
	}
	result = store_identity_each(
		linker->store,
		schema_source_name(linker->setup->setup.decision.schema, (uint16_t)linker->other),
		index_identity, &indexing, err);
	strbuf_finish(&indexing.scratch);
	if (result == 0)
		*ret_index = indexing.index;
	else
		link_index_release(indexing.index);
	return result;
}

/* --- matching --- */

static int match_key(struct linker *linker, const char *value, struct arena *arena,
		     int64_t *ret_user, struct err *err)
{
	const struct schema *schema = linker->setup->setup.decision.schema;
	struct identity_row row;
	struct err missing;

	err_clear(&missing);
	if (store_identity_get(linker->store, schema_source_name(schema, (uint16_t)linker->other),
			       value, arena, &row, &missing) == 0) {
		*ret_user = row.user_id;
		return 0;
	}
	if (missing.code == ERR_NOT_FOUND)
		return 0;
	if (err)
		*err = missing;
	return -1;
}

static int match_attribute(struct linker *linker, const char *value, int64_t *ret_user,
			   bool *ret_ambiguous, struct err *err)
{
	AUTO(strbuf) struct strbuf scratch = STRBUF(RECORD_MAX);
	struct hash128 hash;
	uint32_t at;

	if (!linker->index && build_index(linker, &linker->index, err) < 0)
		return -1;
	if (fold(value, &scratch, &hash, err) < 0)
		return -1;
	if (!hash_table_get(linker->index->table, hash, &at))
		return 0;
	if (at == AMBIGUOUS)
		*ret_ambiguous = true;
	else
		*ret_user = linker->index->users[at];
	return 0;
}

static int match_link(struct linker *linker, const struct identity *identity, struct arena *arena,
		      int64_t *ret_user, bool *ret_ambiguous, struct err *err)
{
	for (size_t i = 0; i < identity->attribute_count; i++) {
		const struct attribute *attribute = &identity->attributes[i];

		for (uint32_t j = 0; attribute->id == linker->attribute && j < attribute->count;
		     j++) {
			int64_t user = 0;
			int matched = linker->by_key ? match_key(linker, attribute->values[j],
								 arena, &user, err)
						     : match_attribute(linker, attribute->values[j],
								       &user, ret_ambiguous, err);

			if (matched < 0)
				return -1;
			if (user != 0 && *ret_user != 0 && *ret_user != user)
				*ret_ambiguous = true;
			if (user != 0)
				*ret_user = user;
		}
	}
	return 0;
}

static bool is_listed(const struct located_list *domains, const char *domain)
{
	for (size_t i = 0; i < domains->count; i++)
		if (text_equal_caseless(domains->items[i].text, domain))
			return true;
	return false;
}

static bool lists_domain(const struct source_settings *source, const char *domain)
{
	return is_listed(&source->authoritative_domains, domain);
}

/* An invite is a source, too: whoever came by it has read what was sent to the address. */
static int invite_vouches(struct linker *linker, const struct user *user, const char *domain,
			  bool *ret_vouched, struct err *err)
{
	const struct located_list *domains = linker->setup->setup.invited_domains;
	int proved = domains && is_listed(domains, domain)
			     ? store_invite_proves(linker->store, user->id, user->email, err)
			     : 0;

	*ret_vouched = proved > 0;
	return proved < 0 ? -1 : 0;
}

/* Does a source of the user vouch for the domain as well? */
static int vouched_for(struct linker *linker, const struct user *user, const char *domain,
		       struct arena *arena, bool *ret_vouched, struct err *err)
{
	struct identity_row *rows;
	size_t count;

	if (invite_vouches(linker, user, domain, ret_vouched, err) < 0)
		return -1;
	if (*ret_vouched)
		return 0;
	if (store_identities_of(linker->store, user->id, arena, &rows, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		const struct source_settings *source =
			setup_find_source(&linker->setup->setup, rows[i].source);

		if (rows[i].missing_s == 0 && source && lists_domain(source, domain))
			*ret_vouched = true;
	}
	return 0;
}

static int match_email(struct linker *linker, const struct identity *identity, struct arena *arena,
		       int64_t *ret_user, struct err *err)
{
	const struct schema *schema = linker->setup->setup.decision.schema;
	struct identity copy = *identity;
	struct person_fields fields;
	struct person person;
	struct user user;
	struct err missing;
	bool vouched;

	if (linker->source->authoritative_domains.count == 0)
		return 0;
	if (person_merge(schema, &copy, 1, arena, &person, err) < 0 ||
	    person_fields(&person, arena, &fields, err) < 0)
		return -1;
	if (fields.email[0] == '\0' || !lists_domain(linker->source, email_domain(fields.email)))
		return 0;
	err_clear(&missing);
	if (store_user_find(linker->store, USER_BY_EMAIL, fields.email, arena, &user, &missing) <
	    0) {
		if (missing.code == ERR_NOT_FOUND)
			return 0;
		if (err)
			*err = missing;
		return -1;
	}
	/* An administrator's account is never taken over by an address. */
	if (strcmp(user.profile, linker->setup->setup.decision.administrator_profile) == 0)
		return 0;
	if (vouched_for(linker, &user, email_domain(fields.email), arena, &vouched, err) < 0)
		return -1;
	if (vouched)
		*ret_user = user.id;
	return 0;
}

/* A user has at most one identity of a source. */
static int check_user(struct linker *linker, int64_t user_id, struct arena *arena,
		      const char **ret_reason, const char **ret_detail, struct err *err)
{
	const char *organization = linker->source->organization.text;
	struct identity_row *rows;
	struct user user;
	size_t count;
	uint32_t *slot;
	int fresh;

	if (store_user_get(linker->store, user_id, arena, &user, err) < 0 ||
	    store_identities_of(linker->store, user_id, arena, &rows, &count, err) < 0)
		return -1;
	if (strcmp(user.organization, organization ? organization : "default") != 0) {
		*ret_reason = "other-organization";
		*ret_detail = "the user it would link to belongs to another organization";
		return 0;
	}
	for (size_t i = 0; i < count; i++)
		if (strcmp(rows[i].source, linker->source->name.text) == 0)
			*ret_reason = "duplicate-link";
	fresh = !linker->taken ? 1
			       : hash_table_put(linker->taken,
						fingerprint128(&user_id, sizeof(user_id)), &slot);
	if (fresh < 0)
		return no_memory(err);
	if (fresh == 0)
		*ret_reason = "duplicate-link";
	if (*ret_reason)
		*ret_detail = "the user it would link to has an identity of this source already";
	return 0;
}

/* Whom a person took it from does not get it by a rule. */
static int leave_out_refused(struct linker *linker, const char *key, int64_t *user, struct err *err)
{
	int refused = *user == 0 ? 0
				 : store_link_refused(linker->store, linker->source->name.text, key,
						      *user, err);

	if (refused > 0)
		*user = 0;
	return refused < 0 ? -1 : 0;
}

/* By what rules say. */
static int match_rules(struct linker *linker, const struct identity *identity, struct arena *arena,
		       int64_t *ret_user, bool *ret_ambiguous, struct err *err)
{
	if (linker->attribute >= 0 &&
	    match_link(linker, identity, arena, ret_user, ret_ambiguous, err) < 0)
		return -1;
	if (*ret_ambiguous)
		return 0;
	if (leave_out_refused(linker, identity->key, ret_user, err) < 0)
		return -1;
	if (*ret_user == 0 && match_email(linker, identity, arena, ret_user, err) < 0)
		return -1;
	return leave_out_refused(linker, identity->key, ret_user, err);
}

int linker_find(struct linker *linker, const struct identity *identity, struct arena *arena,
		int64_t *ret_user, const char **ret_reason, const char **ret_detail,
		struct err *err)
{
	bool ambiguous = false;
	int64_t user = 0;

	*ret_user = 0;
	*ret_reason = NULL;
	if (linker->wanted && store_link_wanted(linker->store, linker->source->name.text,
						identity->key, &user, err) < 0)
		return -1;
	if (user == 0 && match_rules(linker, identity, arena, &user, &ambiguous, err) < 0)
		return -1;
	if (ambiguous) {
		*ret_reason = "link-ambiguous";
		*ret_detail = "the link attribute matches more than one user";
		return 0;
	}
	if (user != 0 && check_user(linker, user, arena, ret_reason, ret_detail, err) < 0)
		return -1;
	if (!*ret_reason)
		*ret_user = user;
	return 0;
}

/* --- one sign-in --- */

static bool needs_index(const struct linker *linker)
{
	return linker->attribute >= 0 && !linker->by_key;
}

/* What a sign-in writes is not counted in the version: who links to such a source asks the store. */
static bool can_be_shared(const struct linker *linker)
{
	return !(linker->setup->sign_in & (source_mask)1 << linker->other);
}

static bool holds_now(const struct link_lookup *lookup)
{
	const struct link_index *index = lookup->index;
	const struct changer *changer = lookup->changer;

	return index && index->generation == lookup->generation &&
	       strcmp(index->source, lookup->source->name.text) == 0 &&
	       index->version == __atomic_load_n(&changer->identity_version, __ATOMIC_ACQUIRE);
}

int link_lookup(const struct link_lookup *lookup, const struct identity *identity,
		struct arena *arena, int64_t *ret_user, bool *ret_lacking, const char **ret_reason,
		const char **ret_detail, struct err *err)
{
	struct linker linker;
	int result;

	linker_init(&linker, lookup->setup, lookup->source, lookup->changer->store);
	ask_wanted(&linker);
	*ret_user = 0;
	*ret_reason = NULL;
	*ret_lacking = false;
	if (!linker_links(&linker))
		return 0;
	if (needs_index(&linker) && can_be_shared(&linker) && !lookup->fallback) {
		if (!holds_now(lookup)) {
			*ret_lacking = true;
			return 0;
		}
		linker.index = lookup->index;
	}
	result = linker_find(&linker, identity, arena, ret_user, ret_reason, ret_detail, err);
	if (linker.index != lookup->index)
		link_index_release(linker.index);
	return result;
}

int link_to_quarantined(const struct link_lookup *lookup, const struct identity *identity,
			struct err *err)
{
	const struct schema *schema = lookup->setup->setup.decision.schema;
	struct linker linker;
	int64_t wanted = 0;
	int found = 0;

	linker_init(&linker, lookup->setup, lookup->source, lookup->changer->store);
	if (linker.attribute < 0 || !linker.by_key)
		return 0;
	/* A person's word goes before the rule. */
	if (store_link_wanted(linker.store, linker.source->name.text, identity->key, &wanted, err) <
	    0)
		return -1;
	if (wanted != 0)
		return 0;
	for (size_t i = 0; i < identity->attribute_count; i++) {
		const struct attribute *attribute = &identity->attributes[i];

		for (uint32_t j = 0;
		     found == 0 && attribute->id == linker.attribute && j < attribute->count; j++)
			found = store_quarantine_has_key(
				linker.store, schema_source_name(schema, (uint16_t)linker.other),
				attribute->values[j], err);
	}
	return found;
}

/* --- the shared ones --- */

static struct link_index *find_shared(struct changer *changer, const char *source,
				      uint64_t generation, uint64_t version)
{
	struct link_index *index = changer->link_indexes;

	while (index && (index->generation != generation || index->version != version ||
			 strcmp(index->source, source) != 0))
		index = index->next;
	return index;
}

/* Those that the predicate names leave the list. */
static void drop_shared(struct changer *changer, const char *source, bool unused)
{
	struct link_index **at = &changer->link_indexes;

	while (*at) {
		struct link_index *index = *at;
		bool goes = unused ? !index->used : !source || strcmp(index->source, source) == 0;

		if (unused)
			index->used = false;
		if (goes) {
			*at = index->next;
			link_index_release(index);
		} else {
			at = &index->next;
		}
	}
}

static int make_shared(struct changer *changer, const struct live_setup *setup, const char *source,
		       uint64_t generation, struct link_index **ret_index, struct err *err)
{
	const struct source_settings *settings = setup_find_source(&setup->setup, source);
	uint64_t version = __atomic_load_n(&changer->identity_version, __ATOMIC_ACQUIRE);
	AUTO(store) struct store *store = NULL;
	struct link_index *index = NULL;
	struct linker linker;

	*ret_index = find_shared(changer, source, generation, version);
	if (*ret_index || !settings)
		return 0;
	store = store_open(changer->path, STORE_READ, err);
	if (!store)
		return -1;
	linker_init(&linker, setup, settings, store);
	if (!needs_index(&linker) || !can_be_shared(&linker))
		return 0;
	if (build_index(&linker, &index, err) < 0)
		return -1;
	index->source = strdup(source);
	if (!index->source) {
		link_index_release(index);
		return no_memory(err);
	}
	index->generation = generation;
	index->version = version;
	drop_shared(changer, source, false);
	index->next = changer->link_indexes;
	changer->link_indexes = index;
	*ret_index = index;
	return 0;
}

int link_index_get(struct changer *changer, const char *source, struct link_index **ret_index,
		   struct err *err)
{
	uint64_t generation;
	struct live_setup *setup = changer_coming_setup(changer, &generation);
	struct link_index *index = NULL;
	int result;

	pthread_mutex_lock(&changer->link_lock);
	result = make_shared(changer, setup, source, generation, &index, err);
	if (index) {
		index->used = true;
		__atomic_add_fetch(&index->references, 1, __ATOMIC_RELAXED);
	}
	pthread_mutex_unlock(&changer->link_lock);
	setup_release(&setup->setup);
	if (result == 0)
		*ret_index = index;
	return result;
}

void link_indexes_tidy(struct changer *changer)
{
	pthread_mutex_lock(&changer->link_lock);
	drop_shared(changer, NULL, true);
	pthread_mutex_unlock(&changer->link_lock);
}

void link_indexes_drop(struct changer *changer)
{
	drop_shared(changer, NULL, false);
}
