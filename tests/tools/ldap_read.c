/*
 * Reads one ldap source of a configuration file and prints what the intake got,
 * one JSON object a line: identity, quarantine, group, and at last result.
 *
 *	ldap_read CONFIG [GROUP...]	GROUP: DN or immutable id, numbered from 1
 *	ldap_read --declared CONFIG ...	asks for no attributes but the user's fields and those the
 *					source declares
 *	ldap_read --drain CONFIG ...	the same, and prints the result only
 *	ldap_read --follow CONFIG ...	follows: begin, changes and commit of each batch, and every
 *					state. Lines of standard input: "full", "fetch KEY"; its
 *					end ends it.
 *
 * Exit 0 when the read function returned 0, 1 when our own side failed, 2 for bad usage or
 * configuration. Also the worker: --worker ldap.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/json.h>
#include <rolebridge/base/util.h>
#include <rolebridge/base/worker.h>
#include <rolebridge/identity/groups.h>
#include <rolebridge/identity/record.h>
#include <rolebridge/source/ldap.h>

struct settings {
	struct position at;
	struct struct_list sources;
};

static const struct option_table *const variants[] = { &ldap_source_table, NULL };

static const struct option no_options[] = { { 0 } };

static const struct option_table sources_table = {
	.name = "sources[]",
	.help = "The source to read.",
	.struct_size = sizeof(struct source_settings),
	.options = no_options,
	.base = &source_base_table,
	.variants = variants,
};

static const struct option root_options[] = {
	{ "sources", OPTION_LIST, OPTION_REQUIRED, OPTION_FIELD(struct settings, sources), 1, 1,
	  NULL, NULL, &sources_table, "The source to read." },
	{ 0 },
};

static const struct option_table root_table = {
	.name = "",
	.help = "What ldap_read reads.",
	.struct_size = sizeof(struct settings),
	.options = root_options,
};

struct printer {
	const struct schema *schema;
	bool silent;
	uint64_t identities;
	/* when it follows */
	char line[2048]; /* of standard input */
	size_t line_size;
	char key[2048];
	bool at_end;
};

static void print_line(const struct strbuf *line)
{
	puts(strbuf_failed(line) ? "{\"error\":\"line too long\"}" : strbuf_text(line));
	fflush(stdout);
}

static void print_attributes(const struct printer *printer, const struct identity *identity,
			     struct json *json)
{
	json_object_key(json, "attributes");
	for (size_t i = 0; i < identity->attribute_count; i++) {
		const struct attribute *attribute = &identity->attributes[i];
		json_array_key(json, schema_get(printer->schema, attribute->id)->name);
		for (uint32_t v = 0; v < attribute->count; v++)
			json_string(json, NULL, attribute->values[v]);
		json_end(json);
	}
	json_end(json);
}

static void print_identity(const struct printer *printer, const struct identity *identity)
{
	AUTO(strbuf) struct strbuf line = STRBUF((size_t)8 * RECORD_MAX);
	struct json json = JSON(&line);

	json_object(&json);
	json_string(&json, "identity", identity->key);
	json_string(&json, "dn", identity->dn);
	json_bool(&json, "disabled", identity->disabled);
	json_string(&json, "disabled_by", identity->disabled_by);
	json_int(&json, "disabled_from", identity->disabled_from_s);
	json_bool(&json, "groups_complete", identity->groups_complete);
	json_array_key(&json, "groups");
	for (size_t i = 0; i < identity->group_count; i++)
		json_int(&json, NULL, identity->groups[i]);
	json_end(&json);
	print_attributes(printer, identity, &json);
	json_end(&json);
	print_line(&line);
}

static int take_identity(void *context, const void *record, size_t size, struct err *err)
{
	struct printer *printer = context;
	struct identity identity;
	AUTO(arena) struct arena *arena = NULL;

	printer->identities++;
	if (printer->silent)
		return 0;
	arena = arena_create((size_t)8 * RECORD_MAX);
	if (!arena || record_decode(record, size, printer->schema, 0, arena, &identity, err) < 0)
		return -1;
	print_identity(printer, &identity);
	return 0;
}

static int take_quarantine(void *context, const struct quarantined *entry, struct err *err)
{
	AUTO(strbuf) struct strbuf line = STRBUF(1 << 20);
	struct json json = JSON(&line);

	(void)context;
	(void)err;
	json_object(&json);
	json_string(&json, "quarantine", entry->locator);
	json_string(&json, "key", entry->key);
	json_string(&json, "reason", entry->reason);
	json_string(&json, "detail", entry->detail);
	json_end(&json);
	print_line(&line);
	return 0;
}

static int take_group(void *context, uint32_t id, bool found, uint64_t members, struct err *err)
{
	const struct printer *printer = context;

	(void)err;
	if (!printer->silent)
		printf("{\"group\":%u,\"found\":%s,\"members\":%llu}\n", (unsigned)id,
		       found ? "true" : "false", (unsigned long long)members);
	return 0;
}

static void print_result(const struct read_result *result, int64_t wall_us)
{
	AUTO(strbuf) struct strbuf line = STRBUF(1 << 20);
	struct json json = JSON(&line);
	struct rusage children;

	getrusage(RUSAGE_CHILDREN, &children);
	json_object(&json);
	json_bool(&json, "complete", result->complete);
	json_string(&json, "reason", result->reason);
	json_string(&json, "detail", result->detail);
	json_string(&json, "server", result->server);
	json_int(&json, "entries", (int64_t)result->entries);
	json_int(&json, "groups", (int64_t)result->groups);
	json_int(&json, "quarantined", (int64_t)result->quarantined);
	json_int(&json, "wall_us", wall_us);
	json_int(&json, "worker_us",
		 (children.ru_utime.tv_sec + children.ru_stime.tv_sec) * 1000000 +
			 children.ru_utime.tv_usec + children.ru_stime.tv_usec);
	json_int(&json, "worker_kib", children.ru_maxrss);
	json_end(&json);
	print_line(&line);
}

/* The names as rules would have them: normal form. */
static int want_groups(char *const *names, size_t count, struct arena *arena,
		       struct wanted_group **ret_groups, struct err *err)
{
	struct wanted_group *groups = arena_alloc_array(arena, count + 1, sizeof(*groups));
	AUTO(strbuf) struct strbuf name = STRBUF(1 << 16);

	if (!groups)
		return err_set(err, ERR_MEMORY, "out of memory");
	for (size_t i = 0; i < count; i++) {
		strbuf_clear(&name);
		if (group_name_normalize(names[i], NULL, 0, &name, err) < 0)
			return -1;
		groups[i].id = (uint32_t)i + 1;
		groups[i].name = arena_strdup(arena, strbuf_text(&name));
	}
	*ret_groups = groups;
	return 0;
}

/* By schema id. */
static bool *declared_attributes(const struct ldap_source *source, const struct schema *schema,
				 struct arena *arena)
{
	bool *needed = arena_alloc_array(arena, schema_count(schema), sizeof(*needed));
	const struct attribute_settings *declared = source->common.attributes.items;

	for (size_t i = 0; needed && i < source->common.attributes.count; i++) {
		int id = schema_find(schema, declared[i].name.text, strlen(declared[i].name.text));
		if (id >= 0)
			needed[id] = true;
	}
	return needed;
}

enum mode { READ_ALL, READ_DECLARED, READ_DRAIN, READ_FOLLOW };

/* --- following --- */

static int take_begin(void *context, bool full, struct err *err)
{
	(void)context;
	(void)err;
	printf("{\"begin\":\"%s\"}\n", full ? "full" : "changes");
	return 0;
}

static void print_ids(struct json *json, const uint32_t *ids, size_t count)
{
	json_array_key(json, "groups");
	for (size_t i = 0; i < count; i++)
		json_int(json, NULL, ids[i]);
	json_end(json);
}

static int take_groups(void *context, const char *key, size_t key_size, const uint32_t *ids,
		       size_t count, bool complete, struct err *err)
{
	AUTO(strbuf) struct strbuf line = STRBUF(1 << 20);
	AUTO(strbuf) struct strbuf text = STRBUF(1 << 16);
	struct json json = JSON(&line);

	(void)context;
	(void)err;
	strbuf_append(&text, key, key_size);
	json_object(&json);
	json_string(&json, "regrouped", strbuf_text(&text));
	json_bool(&json, "groups_complete", complete);
	print_ids(&json, ids, count);
	json_end(&json);
	print_line(&line);
	return 0;
}

static int take_gone(void *context, const char *key, size_t key_size, struct err *err)
{
	AUTO(strbuf) struct strbuf line = STRBUF(1 << 20);
	AUTO(strbuf) struct strbuf text = STRBUF(1 << 16);
	struct json json = JSON(&line);

	(void)context;
	(void)err;
	strbuf_append(&text, key, key_size);
	json_object(&json);
	json_string(&json, "gone", strbuf_text(&text));
	json_end(&json);
	print_line(&line);
	return 0;
}

static int take_end(void *context, const struct read_result *result, struct err *err)
{
	(void)context;
	(void)err;
	if (result)
		print_result(result, 0);
	puts("{\"commit\":true}");
	fflush(stdout);
	return 0;
}

static void take_abort(void *context)
{
	(void)context;
	puts("{\"abort\":true}");
	fflush(stdout);
}

static void take_state(void *context, const struct follow_state *state)
{
	AUTO(strbuf) struct strbuf line = STRBUF(1 << 20);
	struct json json = JSON(&line);

	(void)context;
	json_object(&json);
	json_string(&json, "state", state->mode);
	json_string(&json, "vendor", state->vendor);
	json_string(&json, "server", state->server);
	json_bool(&json, "connected", state->connected);
	json_string(&json, "problem", state->problem);
	json_int(&json, "reconnects", (int64_t)state->reconnects);
	json_int(&json, "restarts", (int64_t)state->restarts);
	json_int(&json, "batches", (int64_t)state->batches);
	json_int(&json, "changes", (int64_t)state->changes);
	json_end(&json);
	print_line(&line);
}

/* What has come on standard input; its first line, without the line break, stays in front. */
static void read_input(struct printer *printer)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	ssize_t size;

	while (!printer->at_end && printer->line_size < sizeof(printer->line) - 1 &&
	       poll(&input, 1, 0) > 0) {
		size = read(STDIN_FILENO, printer->line + printer->line_size,
			    sizeof(printer->line) - 1 - printer->line_size);
		if (size <= 0)
			printer->at_end = true;
		else
			printer->line_size += (size_t)size;
	}
	printer->line[printer->line_size] = '\0';
}

static bool take_cancelled(void *context)
{
	struct printer *printer = context;

	read_input(printer);
	return printer->at_end;
}

static enum follow_wish take_wish(void *context, const char **ret_key)
{
	struct printer *printer = context;
	char *end;
	bool fetch;

	read_input(printer);
	end = strchr(printer->line, '\n');
	if (!end)
		return FOLLOW_ON;
	*end++ = '\0';
	fetch = strncmp(printer->line, "fetch ", 6) == 0;
	snprintf(printer->key, sizeof(printer->key), "%s", fetch ? printer->line + 6 : "");
	printer->line_size -= (size_t)(end - printer->line);
	memmove(printer->line, end, printer->line_size + 1);
	*ret_key = printer->key;
	return fetch ? FOLLOW_FETCH : FOLLOW_FULL;
}

static int follow_source(const struct ldap_source *source, struct printer *printer,
			 const struct wanted_attribute *wanted, size_t wanted_count,
			 const struct wanted_group *groups, size_t group_count, struct err *err)
{
	struct follow_intake intake = { .context = printer,
					.begin = take_begin,
					.identity = take_identity,
					.quarantine = take_quarantine,
					.group = take_group,
					.groups = take_groups,
					.gone = take_gone,
					.end = take_end,
					.abort = take_abort,
					.state = take_state,
					.cancelled = take_cancelled,
					.wish = take_wish,
					.wake_fd = STDIN_FILENO };

	return ldap_source_follow(source, wanted, wanted_count, groups, group_count, &intake, err);
}

static int read_source(const struct ldap_source *source, const struct schema *schema,
		       enum mode mode, char *const *names, size_t name_count, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(64 * 1024 * 1024);
	struct printer printer = { .schema = schema, .silent = mode == READ_DRAIN };
	struct intake intake = { .context = &printer,
				 .identity = take_identity,
				 .quarantine = take_quarantine,
				 .group = take_group };
	struct wanted_attribute *wanted;
	struct wanted_group *groups = NULL;
	struct read_result result;
	size_t wanted_count;
	bool *needed = declared_attributes(source, schema, arena);
	int64_t begin_us = clock_monotonic_us();

	if (want_groups(names, name_count, arena, &groups, err) < 0 ||
	    source_wanted_attributes(&source->common, schema, mode == READ_ALL ? NULL : needed,
				     arena, &wanted, &wanted_count, err) < 0)
		return -1;
	if (mode == READ_FOLLOW)
		return follow_source(source, &printer, wanted, wanted_count, groups, name_count,
				     err);
	if (ldap_source_read(source, wanted, wanted_count, groups, name_count, &intake, &result,
			     err) < 0)
		return -1;
	print_result(&result, clock_monotonic_us() - begin_us);
	return 0;
}

static int run(const char *path, enum mode mode, char *const *names, size_t name_count)
{
	AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
	AUTO(document) struct document *document = document_load(path, list);
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	struct identity_settings identity = { 0 };
	struct settings settings = { 0 };
	struct schema *schema = NULL;
	struct err err = { 0 };
	int status = 2;

	if (document)
		options_parse(&root_table, document, arena, &settings, list);
	if (document && diagnostics_errors(list) == 0) {
		const struct source_settings *const *sources =
			(const struct source_settings *const *)settings.sources.items;
		schema = schema_create(&identity, sources, 1, list);
	}
	diagnostics_print(list, document, stderr);
	if (schema && diagnostics_errors(list) == 0) {
		struct ldap_source *const *sources = settings.sources.items;
		status = 0;
		if (read_source(sources[0], schema, mode, names, name_count, &err) < 0) {
			fprintf(stderr, "ldap_read: %s\n", err.text);
			status = 1;
		}
	}
	schema_destroy(schema);
	return status;
}

int main(int argc, char **argv)
{
	static const char *const options[] = {
		[READ_DECLARED] = "--declared", [READ_DRAIN] = "--drain", [READ_FOLLOW] = "--follow"
	};
	enum mode mode = READ_ALL;
	int first;

	if (argc == 3 && strcmp(argv[1], "--worker") == 0 && strcmp(argv[2], "ldap") == 0)
		return ldap_worker_main(WORKER_SOCKET);
	for (size_t i = READ_DECLARED; argc > 1 && i < ARRAY_LEN(options); i++)
		if (strcmp(argv[1], options[i]) == 0)
			mode = (enum mode)i;
	first = mode == READ_ALL ? 1 : 2;
	if (argc <= first) {
		fprintf(stderr,
			"usage: ldap_read [--declared | --drain | --follow] CONFIG [GROUP...]\n");
		return 2;
	}
	return run(argv[first], mode, argv + first + 1, (size_t)(argc - first - 1));
}
