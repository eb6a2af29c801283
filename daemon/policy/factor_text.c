/*
 * A policy from options, and as text. Enters: settings, or a JSON object with the same keys, as the store and the API have
 * it. Leaves: the policy; the object. Refused: what the options' checks find. Fails: memory.
 */
#include <rolebridge/policy/factor.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

#include <rolebridge/base/util.h>

#define DAY_S 86400

/* --- from options --- */

static enum factor_required find_required(const char *name)
{
	enum factor_required required = FACTOR_FOR_NOBODY;

	while (required < FACTOR_FOR_ALL && strcmp(factor_required_name(required), name) != 0)
		required++;
	return required;
}

static int take_names(const struct located_list *list, struct arena *arena,
		      struct factor_names *names, struct err *err)
{
	const char **items = arena_alloc_array(arena, list->count + 1, sizeof(*items));

	if (!items)
		return err_set(err, ERR_MEMORY, "no memory for a policy");
	for (size_t i = 0; i < list->count; i++)
		items[i] = list->items[i].text;
	*names = (struct factor_names){ items, list->count };
	return 0;
}

static unsigned take_methods(const struct located_list *list)
{
	unsigned methods = 0;

	for (size_t i = 0; i < list->count; i++)
		methods |= FACTOR_BIT(factor_method_find(list->items[i].text));
	return methods & ~FACTOR_BIT(FACTOR_NONE);
}

int factor_policy_make(const struct factor_settings *settings, struct arena *arena,
		       struct factor_policy *ret_policy, struct err *err)
{
	struct factor_policy policy = {
		.required = find_required(settings->required.text),
		.methods = settings->methods.count ? take_methods(&settings->methods)
						   : FACTOR_ALL_METHODS,
		.administrator_methods = take_methods(&settings->administrator_methods),
		.grace_until_s = settings->grace.until_s ? settings->grace.until_s + DAY_S : 0,
		.grace_sign_ins = settings->grace.sign_ins,
		.device_s = settings->remember.at.file ? settings->remember.time_s : 0,
		.devices = settings->remember.devices,
	};

	if (take_names(&settings->profiles, arena, &policy.profiles, err) < 0 ||
	    take_names(&settings->roles, arena, &policy.roles, err) < 0 ||
	    take_names(&settings->groups, arena, &policy.groups, err) < 0)
		return -1;
	*ret_policy = policy;
	return 0;
}

/* --- as text --- */

static void write_names(struct json *json, const char *key, const struct factor_names *names)
{
	json_array_key(json, key);
	for (size_t i = 0; i < names->count; i++)
		json_string(json, NULL, names->items[i]);
	json_end(json);
}

static void write_methods(struct json *json, const char *key, unsigned methods)
{
	json_array_key(json, key);
	for (enum factor_method i = FACTOR_TOTP; i <= FACTOR_ISSUED; i++)
		if (methods & FACTOR_BIT(i))
			json_string(json, NULL, factor_method_name(i));
	json_end(json);
}

static void write_grace(struct json *json, const struct factor_policy *policy)
{
	json_object_key(json, "grace");
	if (policy->grace_until_s) {
		time_t last = (time_t)(policy->grace_until_s - DAY_S);
		struct tm day;
		char text[32] = "";

		gmtime_r(&last, &day);
		strftime(text, sizeof(text), "%Y-%m-%d", &day);
		json_string(json, "until", text);
	} else {
		json_null(json, "until");
	}
	json_int(json, "sign_ins", policy->grace_sign_ins);
	json_end(json);
}

void factor_policy_write(const struct factor_policy *policy, struct json *json)
{
	json_string(json, "required", factor_required_name(policy->required));
	write_names(json, "profiles", &policy->profiles);
	write_names(json, "roles", &policy->roles);
	write_names(json, "groups", &policy->groups);
	write_methods(json, "methods", policy->methods);
	write_methods(json, "administrator_methods", policy->administrator_methods);
	write_grace(json, policy);
	json_object_key(json, "remember");
	json_int(json, "time", policy->device_s);
	json_int(json, "devices", policy->devices ? policy->devices : 1);
	json_end(json);
}

static int refuse_findings(const struct diagnostics *list, struct err *err)
{
	for (size_t i = 0; i < diagnostics_count(list); i++) {
		const struct diagnostic *found = diagnostics_get(list, i);

		if (found->severity == SEVERITY_ERROR)
			return err_refuse(err, ERR_INVALID, "invalid-request", "%s",
					  found->message);
	}
	return err_set(err, ERR_MEMORY, "no memory for a policy");
}

int factor_policy_read(const char *text, size_t size, struct arena *arena,
		       struct factor_policy *ret_policy, struct err *err)
{
	AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
	const struct document_file file = { .path = "policy", .text = text, .size = size };
	AUTO(document) struct document *document = NULL;
	struct factor_settings settings;

	if (list)
		document = document_load_files(&file, 1, list);
	if (!list || !document)
		return list ? refuse_findings(list, err)
			    : err_set(err, ERR_MEMORY, "no memory for a policy");
	options_parse(&factor_table, document, arena, &settings, list);
	if (diagnostics_errors(list) > 0)
		return refuse_findings(list, err);
	if (!settings.required.text)
		return err_refuse(err, ERR_INVALID, "invalid-request", "'required' is missing");
	return factor_policy_make(&settings, arena, ret_policy, err);
}
