/*
 * Links: which user is someone new of a source?
 *
 * Enters: a decoded identity that no user has yet. Leaves: the user it belongs to, nobody, or a
 * reason for quarantine. Fails: store, memory.
 *
 * A source's link names an attribute here and the immutable key, or an attribute, of another source:
 * exactly one user must match. An e-mail address links only when this source and one that the user has
 * both list its domain as theirs, and the user is no administrator. All within the organization.
 */
#include "link.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>
#include <rolebridge/identity/names.h>

#define INDEX_MAX 100000000u
#define AMBIGUOUS UINT32_MAX

struct linker {
	const struct live_setup *setup;
	const struct source_settings *source;
	struct store *store;
	int attribute; /* ours; -1: no link */
	int other;     /* the other source's number */
	bool by_key;
	uint16_t other_attribute;
	/* Folded value of the other source's attribute → index of a user id. */
	struct hash_table *index;
	int64_t *users;
	size_t user_count, user_capacity;
	struct hash_table *taken; /* users who got an identity of this source in this run */
};

static int find_attribute(const struct schema *schema, const char *name)
{
	return name ? schema_find(schema, name, strlen(name)) : -1;
}

struct linker *linker_create(const struct live_setup *setup, const struct source_settings *source,
			     struct store *store)
{
	const struct schema *schema = setup->setup.decision.schema;
	const struct link_settings *link = &source->link;
	struct linker *linker = calloc(1, sizeof(*linker));
	int other;

	if (!linker)
		return NULL;
	linker->setup = setup;
	linker->source = source;
	linker->store = store;
	linker->attribute = -1;
	linker->taken = hash_table_create(16, INDEX_MAX);
	if (!linker->taken) {
		free(linker);
		return NULL;
	}
	if (link->at.file == 0 || !link->source.text)
		return linker;
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
	return linker;
}

void linker_destroy(struct linker *linker)
{
	if (!linker)
		return;
	hash_table_destroy(linker->index);
	hash_table_destroy(linker->taken);
	free(linker->users);
	free(linker);
}

bool linker_links(const struct linker *linker)
{
	return linker->attribute >= 0 || linker->source->authoritative_domains.count > 0;
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
	struct linker *linker;
	struct arena *arena;
	struct strbuf scratch;
	struct err *err;
};

static int index_value(struct indexing *indexing, const char *value, int64_t user_id)
{
	struct linker *linker = indexing->linker;
	struct hash128 hash;
	uint32_t *slot;
	int fresh;

	if (fold(value, &indexing->scratch, &hash, indexing->err) < 0)
		return -1;
	fresh = hash_table_put(linker->index, hash, &slot);
	if (fresh < 0)
		return no_memory(indexing->err);
	if (fresh == 0) {
		if (*slot != AMBIGUOUS && linker->users[*slot] != user_id)
			*slot = AMBIGUOUS;
		return 0;
	}
	if (linker->user_count == linker->user_capacity) {
		size_t capacity = linker->user_capacity ? linker->user_capacity * 2 : 256;
		int64_t *users = reallocarray(linker->users, capacity, sizeof(*users));

		if (!users)
			return no_memory(indexing->err);
		linker->users = users;
		linker->user_capacity = capacity;
	}
	*slot = (uint32_t)linker->user_count;
	linker->users[linker->user_count++] = user_id;
	return 0;
}

static int index_identity(void *context, const char *key, struct hash128 digest UNUSED,
			  int64_t user_id, int64_t missing_s UNUSED, uint32_t missing_runs UNUSED)
{
	struct indexing *indexing = context;
	struct linker *linker = indexing->linker;
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

static int build_index(struct linker *linker, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	struct indexing indexing = {
		.linker = linker, .arena = arena, .scratch = STRBUF(RECORD_MAX), .err = err
	};
	int result;

	linker->index = hash_table_create(1024, INDEX_MAX);
	if (!arena || !linker->index)
		return no_memory(err);
	result = store_identity_each(
		linker->store,
		schema_source_name(linker->setup->setup.decision.schema, (uint16_t)linker->other),
		index_identity, &indexing, err);
	strbuf_finish(&indexing.scratch);
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

	if (!linker->index && build_index(linker, err) < 0)
		return -1;
	if (fold(value, &scratch, &hash, err) < 0)
		return -1;
	if (!hash_table_get(linker->index, hash, &at))
		return 0;
	if (at == AMBIGUOUS)
		*ret_ambiguous = true;
	else
		*ret_user = linker->users[at];
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

static bool lists_domain(const struct source_settings *source, const char *domain)
{
	for (size_t i = 0; i < source->authoritative_domains.count; i++)
		if (text_equal_caseless(source->authoritative_domains.items[i].text, domain))
			return true;
	return false;
}

/* Does a source of the user vouch for the domain as well? */
static int vouched_for(struct linker *linker, int64_t user_id, const char *domain,
		       struct arena *arena, bool *ret_vouched, struct err *err)
{
	struct identity_row *rows;
	size_t count;

	*ret_vouched = false;
	if (store_identities_of(linker->store, user_id, arena, &rows, &count, err) < 0)
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
	if (vouched_for(linker, user.id, email_domain(fields.email), arena, &vouched, err) < 0)
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
	fresh = hash_table_put(linker->taken, fingerprint128(&user_id, sizeof(user_id)), &slot);
	if (fresh < 0)
		return no_memory(err);
	if (fresh == 0)
		*ret_reason = "duplicate-link";
	if (*ret_reason)
		*ret_detail = "the user it would link to has an identity of this source already";
	return 0;
}

int linker_find(struct linker *linker, const struct identity *identity, struct arena *arena,
		int64_t *ret_user, const char **ret_reason, const char **ret_detail,
		struct err *err)
{
	bool ambiguous = false;
	int64_t user = 0;

	*ret_user = 0;
	*ret_reason = NULL;
	if (linker->attribute >= 0 &&
	    match_link(linker, identity, arena, &user, &ambiguous, err) < 0)
		return -1;
	if (ambiguous) {
		*ret_reason = "link-ambiguous";
		*ret_detail = "the link attribute matches more than one user";
		return 0;
	}
	if (user == 0 && match_email(linker, identity, arena, &user, err) < 0)
		return -1;
	if (user != 0 && check_user(linker, user, arena, ret_reason, ret_detail, err) < 0)
		return -1;
	if (!*ret_reason)
		*ret_user = user;
	return 0;
}
