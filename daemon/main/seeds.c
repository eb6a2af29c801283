/*
 * The profiles and roles that every store begins with. They are put there once; from then on they are
 * administrators' to change and to delete.
 *
 * Enters: the classifications and segments that are enabled. Leaves: definitions. Fails: memory.
 */
#include "definitions.h"

#include <string.h>

#include <rolebridge/base/json.h>
#include <rolebridge/base/util.h>

#define BODY_MAX ((size_t)128 * 1024)

struct seed {
	const char *kind, *name, *description;
	const char *classification; /* of a role */
	const char *const *permissions;
};

static const char *const everything[] = { "*:*@all", NULL };

static const struct seed seeds[] = {
	{ "profile", "administrator", "Everything.", NULL, everything },
	{ "profile", "super-manager", "Accounts, segments and playbooks; no settings.", NULL,
	  (const char *const[]){ "accounts:*@all", "segments:*@all", "playbooks:*@all", NULL } },
	{ "profile", "customer-success-manager",
	  "Own and unassigned accounts and their records; no segments or playbooks.", NULL,
	  (const char *const[]){ "accounts:*@own", "accounts:*@unassigned", NULL } },
	{ "profile", "developer",
	  "The developer console in a limited manner; creates and views all records.", NULL,
	  (const char *const[]){ "developer-console:read@all", "accounts:create@all",
				 "accounts:read@all", "records:create@all", "records:read@all",
				 NULL } },
	{ "role", "admin",
	  "Everything, including users, permissions, billing, single sign-on and second factors.",
	  "Admin", everything },
	{ "role", "developer",
	  "Integration, API configuration, API logs and webhooks in full; cases and workflows to read.",
	  "Support",
	  (const char *const[]){ "integration:*@all", "api-configuration:*@all", "api-logs:*@all",
				 "webhooks:*@all", "cases:read@all", "workflows:read@all", NULL } },
	{ "role", "analyst", "Inquiries, accounts, lists, cases and workflows to read.",
	  "Compliance",
	  (const char *const[]){ "inquiries:read@all", "accounts:read@all", "lists:read@all",
				 "cases:read@all", "workflows:read@all", NULL } },
};

static const char *enabled_or_first(const struct located_list *list, const char *wanted)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->items[i].text, wanted) == 0)
			return wanted;
	return list->items[0].text;
}

static void write_texts(struct json *json, const char *key, const char *const *texts)
{
	json_array_key(json, key);
	for (size_t i = 0; texts[i]; i++)
		json_string(json, NULL, texts[i]);
	json_end(json);
}

static void write_role(struct json *json, const struct seed *seed,
		       const struct catalogue_settings *catalogue)
{
	const struct located_list *segments = &catalogue->segments;

	json_array_key(json, "classifications");
	json_string(json, NULL,
		    enabled_or_first(&catalogue->classifications, seed->classification));
	json_end(json);
	json_array_key(json, "segments");
	for (size_t i = 0; i < segments->count; i++)
		json_string(json, NULL, segments->items[i].text);
	json_end(json);
}

static const char *seed_body(const struct seed *seed, const struct catalogue_settings *catalogue,
			     struct arena *arena)
{
	AUTO(strbuf) struct strbuf text = STRBUF(BODY_MAX);
	struct json json = JSON(&text);

	json_object(&json);
	json_string(&json, "name", seed->name);
	json_string(&json, "description", seed->description);
	if (seed->classification)
		write_role(&json, seed, catalogue);
	write_texts(&json, "permissions", seed->permissions);
	json_end(&json);
	return strbuf_failed(&text) ? NULL : arena_strdup(arena, strbuf_text(&text));
}

#define DECLARED(list, type) \
	is_declared((list).items, (list).count, sizeof(struct type), offsetof(struct type, name), \
		    name)

static bool is_declared(const void *items, size_t count, size_t size, size_t offset,
			const char *name)
{
	for (size_t i = 0; i < count; i++) {
		const struct located *declared =
			(const void *)((const char *)items + i * size + offset);

		if (declared->text && strcmp(declared->text, name) == 0)
			return true;
	}
	return false;
}

/* No role can be without a classification and a segment. */
static bool is_wanted(const struct seed *seed, const struct catalogue_settings *catalogue)
{
	const char *name = seed->name;

	if (!seed->classification)
		return !DECLARED(catalogue->profiles, profile_settings);
	return catalogue->classifications.count > 0 && catalogue->segments.count > 0 &&
	       !DECLARED(catalogue->roles, role_settings);
}

int seeds_list(const struct catalogue_settings *catalogue, struct arena *arena,
	       struct definition_list *ret_list, struct err *err)
{
	struct definition_list list = { 0 };

	list.items = arena_alloc_array(arena, ARRAY_LEN(seeds), sizeof(*list.items));
	for (size_t i = 0; list.items && i < ARRAY_LEN(seeds); i++) {
		const char *body = seed_body(&seeds[i], catalogue, arena);

		if (!body)
			return err_set(err, ERR_MEMORY, "no memory for the shipped definitions");
		if (is_wanted(&seeds[i], catalogue))
			list.items[list.count++] = (struct placed_definition){
				.kind = seeds[i].kind, .name = seeds[i].name, .body = body
			};
	}
	if (!list.items)
		return err_set(err, ERR_MEMORY, "no memory for the shipped definitions");
	*ret_list = list;
	return 0;
}
