/*
 * Judges SAML messages as a worker does, for tests: settings and messages on stdin, one line of JSON on
 * stdout for each message.
 *
 *	set NAME VALUE          a setting (see settings below); lists are added to by each line
 *	key FILE                a signing key of the IdP: DER certificate or public key
 *	decrypt FILE            a private key, PEM
 *	attribute NAME FROM     wanted; in ascending order of NAME
 *	group ID NAME           wanted; the rest of the line, in its normal form
 *	request ID [FORCED_S]   waits for an answer
 *	reset                   forget all of the above
 *	judge KIND COUNT SIZE   followed by SIZE bytes and a line break: the message as the browser sent it;
 *	                        KIND: response, logout (POST) or redirect; COUNT: how often
 *
 * Ends with 0 at the end of stdin, 2 when a line is not understood.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <rolebridge/base/file.h>
#include <rolebridge/base/json.h>
#include <rolebridge/base/message.h>
#include <rolebridge/base/util.h>

#include "../../daemon/source/saml/judge.h"

#define LIST_MAX 512
#define MESSAGE_MAX ((size_t)4 * 1024 * 1024)

struct list {
	const char *items[LIST_MAX];
	size_t count;
};

static struct tool {
	struct arena *settings; /* texts of the settings */
	struct judge judge;
	struct judge_provider provider;
	struct saml_question question;
	struct list contexts, domains, scopes, factor_contexts, factor_values, requests;
	int64_t forced[LIST_MAX];
	const struct verify_key *keys[VERIFY_KEYS_MAX], *decryption_keys[VERIFY_KEYS_MAX];
	struct wanted_attribute attributes[LIST_MAX];
	struct wanted_group groups[LIST_MAX];
} tool;

__attribute__((noreturn)) static void stop(const char *what, const char *which)
{
	fprintf(stderr, "saml_judge: %s '%s'\n", what, which);
	exit(2);
}

/* --- settings --- */

/* A second verifier that always agrees: for the shapes it is never asked about. */
static int agree(void *context UNUSED, const struct judge_view *view UNUSED,
		 struct saml_refusal *ret_refusal UNUSED)
{
	return 0;
}

static void drop_keys(const struct verify_key **keys, size_t count)
{
	for (size_t i = 0; i < count; i++)
		verify_key_destroy((struct verify_key *)(uintptr_t)keys[i]);
}

static void reset(void)
{
	drop_keys(tool.keys, tool.provider.signing_key_count);
	drop_keys(tool.decryption_keys, tool.judge.decryption_key_count);
	arena_destroy(tool.settings);
	tool = (struct tool){
		.settings = arena_create(16 * 1024 * 1024),
		.judge = { .skew_s = 180, .decryption_keys = tool.decryption_keys },
		.provider = { .idp_entity_id = "",
			      .sp_entity_id = "",
			      .acs_url = "",
			      .slo_url = "",
			      .signing_keys = tool.keys,
			      .key = "name-id",
			      .second_factor = { .max_age_s = 43200 },
			      .attributes = tool.attributes,
			      .groups = tool.groups },
	};
}

static void add(struct list *list, const char *value)
{
	if (list->count == LIST_MAX)
		stop("too many", value);
	list->items[list->count++] = value;
}

static bool set_text(const char *name, const char *value)
{
	const struct {
		const char *name;
		const char **field;
	} texts[] = {
		{ "idp", &tool.provider.idp_entity_id },
		{ "sp", &tool.provider.sp_entity_id },
		{ "acs", &tool.provider.acs_url },
		{ "slo", &tool.provider.slo_url },
		{ "key_from", &tool.provider.key },
		{ "groups_from", &tool.provider.groups_from },
		{ "email", &tool.provider.email_attribute },
		{ "factor_attribute", &tool.provider.second_factor.attribute },
	};
	const struct {
		const char *name;
		struct list *list;
	} lists[] = {
		{ "context", &tool.contexts },
		{ "domain", &tool.domains },
		{ "scope", &tool.scopes },
		{ "factor_context", &tool.factor_contexts },
		{ "factor_value", &tool.factor_values },
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (strcmp(name, texts[i].name) == 0) {
			*texts[i].field = value;
			return true;
		}
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		if (strcmp(name, lists[i].name) == 0) {
			add(lists[i].list, value);
			return true;
		}
	return false;
}

static bool set_number(const char *name, int64_t value)
{
	if (strcmp(name, "now") == 0)
		tool.question.now_s = value;
	else if (strcmp(name, "skew") == 0)
		tool.judge.skew_s = value;
	else if (strcmp(name, "factor_age") == 0)
		tool.provider.second_factor.max_age_s = value;
	else if (strcmp(name, "allow_sha1") == 0)
		tool.provider.allow_sha1 = value != 0;
	else if (strcmp(name, "idp_initiated") == 0)
		tool.provider.idp_initiated = value != 0;
	else if (strcmp(name, "force_authn") == 0)
		tool.provider.force_authn = value != 0;
	else if (strcmp(name, "require_signed") == 0)
		tool.provider.require_signed = (enum saml_required_signature)value;
	else if (strcmp(name, "explain") == 0)
		tool.question.explain = value != 0;
	else if (strcmp(name, "agree") == 0)
		tool.judge.second = value ? agree : NULL;
	else
		return false;
	return true;
}

static const struct verify_key *load_key(const char *path, bool private)
{
	AUTO(strbuf) struct strbuf data = STRBUF(1024 * 1024);
	struct verify_key *key;
	struct err err;

	if (file_read(path, 1024 * 1024, &data, &err) < 0)
		stop("cannot read", err.text);
	key = private ? verify_private_key_create(data.data, data.size, &err)
		      : verify_key_create(data.data, data.size, &err);
	if (!key)
		stop(err.text, path);
	return key;
}

/* "A B" in two; B is "" when there is none. */
static char *split(char *text)
{
	char *space = strchr(text, ' ');

	if (!space)
		return text + strlen(text);
	*space = '\0';
	return space + 1;
}

static void configure(const char *verb, char *rest)
{
	char *value = strcmp(verb, "key") == 0 || strcmp(verb, "decrypt") == 0 ? NULL : split(rest);

	if (strcmp(verb, "set") == 0) {
		if (!set_text(rest, value) && !set_number(rest, strtoll(value, NULL, 10)))
			stop("unknown setting", rest);
	} else if (strcmp(verb, "key") == 0 && tool.provider.signing_key_count < VERIFY_KEYS_MAX) {
		tool.keys[tool.provider.signing_key_count++] = load_key(rest, false);
	} else if (strcmp(verb, "decrypt") == 0 &&
		   tool.judge.decryption_key_count < VERIFY_KEYS_MAX) {
		tool.decryption_keys[tool.judge.decryption_key_count++] = load_key(rest, true);
	} else if (strcmp(verb, "attribute") == 0 && tool.provider.attribute_count < LIST_MAX) {
		tool.attributes[tool.provider.attribute_count++] =
			(struct wanted_attribute){ rest, value };
	} else if (strcmp(verb, "group") == 0 && tool.provider.group_count < LIST_MAX) {
		tool.groups[tool.provider.group_count++] =
			(struct wanted_group){ (uint32_t)strtoul(rest, NULL, 10), value };
	} else if (strcmp(verb, "request") == 0) {
		tool.forced[tool.requests.count] = strtoll(value, NULL, 10);
		add(&tool.requests, rest);
	} else {
		stop("unknown line", verb);
	}
}

static struct text_list view(const struct list *list)
{
	return (struct text_list){ list->items, list->count };
}

static void settle(void)
{
	tool.provider.authn_contexts = view(&tool.contexts);
	tool.provider.allowed_domains = view(&tool.domains);
	tool.provider.allowed_scopes = view(&tool.scopes);
	tool.provider.second_factor.contexts = view(&tool.factor_contexts);
	tool.provider.second_factor.values = view(&tool.factor_values);
	tool.question.request_ids = tool.requests.items;
	tool.question.request_count = tool.requests.count;
	tool.question.forced_since_s = tool.forced;
	judge_provider_prepare(&tool.provider);
}

/* --- output --- */

static void show_record(struct json *json, const struct saml_assertion *a, struct arena *arena)
{
	struct reader in = reader_init(a->record, a->record_size);
	uint64_t id = 0;

	get_u8(&in);
	json_bool(json, "groups_complete", get_u8(&in) & 1);
	json_string(json, "key", get_utf8(&in, arena));
	get_utf8(&in, arena);
	get_utf8(&in, arena);
	json_object_key(json, "attributes");
	for (uint64_t n = get_varint(&in); n > 0 && !in.failed; n--) {
		json_array_key(json, get_utf8(&in, arena));
		for (uint64_t values = get_varint(&in); values > 0 && !in.failed; values--)
			json_string(json, NULL, get_utf8(&in, arena));
		json_end(json);
	}
	json_end(json);
	json_array_key(json, "groups");
	for (uint64_t n = get_varint(&in); n > 0 && !in.failed; n--) {
		id += get_varint(&in);
		json_int(json, NULL, (int64_t)id);
	}
	json_end(json);
	if (!reader_done(&in))
		stop("a record that cannot be read", "");
}

static void show_checks(struct json *json, const struct saml_assertion *a)
{
	json_object_key(json, "checks");
	for (size_t i = 0; i < a->check_count; i++)
		json_string(json, a->checks[i].name,
			    a->checks[i].skipped  ? "skipped"
			    : a->checks[i].passed ? "passed"
						  : a->checks[i].detail);
	json_end(json);
	json_array_key(json, "received");
	for (size_t i = 0; i < a->attribute_count; i++) {
		json_object(json);
		json_string(json, "name", a->attributes[i].received);
		json_string(json, "friendly", a->attributes[i].friendly);
		json_string(json, "mapped", a->attributes[i].name);
		json_int(json, "values", (int64_t)a->attributes[i].count);
		json_end(json);
	}
	json_end(json);
}

static void show_assertion(struct json *json, const struct saml_assertion *a, struct arena *arena)
{
	json_string(json, "response_id", a->response_id);
	json_string(json, "assertion_id", a->assertion_id);
	json_string(json, "in_response_to", a->in_response_to);
	json_string(json, "issuer", a->issuer);
	json_string(json, "name_id", a->name_id);
	json_string(json, "name_id_format", a->name_id_format);
	json_string(json, "session_index", a->session_index);
	json_int(json, "authn_instant", a->authn_instant_s);
	json_int(json, "session_until", a->session_until_s);
	json_int(json, "replay_until", a->replay_until_s);
	json_string(json, "authn_context", a->authn_context);
	json_int(json, "second_factor", a->second_factor_s);
	if (a->record)
		show_record(json, a, arena);
	if (a->check_count > 0)
		show_checks(json, a);
}

static void show_logout(struct json *json, const struct saml_logout *l)
{
	json_bool(json, "is_request", l->is_request);
	json_string(json, "id", l->id);
	json_string(json, "in_response_to", l->in_response_to);
	json_bool(json, "success", l->success);
	json_string(json, "name_id", l->name_id);
	json_string(json, "relay_state", l->relay_state);
	json_int(json, "replay_until", l->replay_until_s);
	json_array_key(json, "session_indexes");
	for (size_t i = 0; i < l->session_index_count; i++)
		json_string(json, NULL, l->session_indexes[i]);
	json_end(json);
}

/* --- judging --- */

static int64_t cpu_us(void)
{
	struct rusage use;

	getrusage(RUSAGE_SELF, &use);
	return (use.ru_utime.tv_sec + use.ru_stime.tv_sec) * (int64_t)1000000 +
	       use.ru_utime.tv_usec + use.ru_stime.tv_usec;
}

/* Pages in memory. Sanitizers hold freed ones back, and look for leaks themselves. */
static int64_t memory_kib(void)
{
#ifdef RB_SANITIZE
	return 0;
#endif
	FILE *file = fopen("/proc/self/statm", "re");
	long size = 0, resident = 0;

	if (!file || fscanf(file, "%ld %ld", &size, &resident) != 2)
		stop("cannot read", "/proc/self/statm");
	fclose(file);
	return resident * 4;
}

static void judge_one(const char *kind, const struct saml_message *message, bool last)
{
	AUTO(arena) struct arena *arena = arena_create(64 * 1024 * 1024);
	AUTO(strbuf) struct strbuf text = STRBUF(64 * 1024 * 1024);
	struct json json = JSON(&text);
	struct saml_refusal refusal = { "", "" };
	struct saml_assertion assertion = { .response_id = NULL };
	struct saml_logout logout = { .id = NULL };
	bool response = strcmp(kind, "response") == 0;
	int result = response ? judge_response(&tool.judge, &tool.provider, &tool.question, message,
					       arena, &assertion, &refusal)
			      : judge_logout(&tool.judge, &tool.provider, &tool.question, message,
					     arena, &logout, &refusal);

	if (!last)
		return;
	json_object(&json);
	json_string(&json, "verdict",
		    result == 0	  ? "accepted"
		    : result == 1 ? "refused"
				  : "failed");
	json_string(&json, "reason", refusal.reason);
	json_string(&json, "detail", refusal.detail);
	if (assertion.response_id)
		show_assertion(&json, &assertion, arena);
	if (logout.id)
		show_logout(&json, &logout);
	json_end(&json);
	if (strbuf_failed(&text))
		stop("cannot show a verdict", kind);
	printf("%s\n", strbuf_text(&text));
}

static void judge_many(const char *kind, long count, const char *data, size_t size)
{
	bool redirect = strcmp(kind, "redirect") == 0;
	struct saml_message message = { .binding = redirect ? SAML_REDIRECT : SAML_POST };
	int64_t memory = 0, cpu = cpu_us();

	message.encoded = message.query = data;
	message.encoded_size = message.query_size = size;
	settle();
	for (long i = 0; i < count; i++) {
		judge_one(kind, &message, i == count - 1);
		if (i == count / 10)
			memory = memory_kib();
	}
	if (count > 1)
		printf("{\"cpu_us\":%lld,\"grown_kib\":%lld}\n", (long long)(cpu_us() - cpu),
		       (long long)(memory_kib() - memory));
	fflush(stdout);
}

static void read_and_judge(char *rest)
{
	char *count = split(rest), *size_text = split(count);
	size_t size = strtoul(size_text, NULL, 10);
	char *data = size <= MESSAGE_MAX ? malloc(size + 1) : NULL;

	if (!data || fread(data, 1, size + 1, stdin) != size + 1)
		stop("a message that is cut", size_text);
	judge_many(rest, strtol(count, NULL, 10), data, size);
	free(data);
}

int main(void)
{
	char line[8192];
	struct err err;

	if (verify_prepare(&err) < 0)
		stop(err.text, "");
	reset();
	while (fgets(line, sizeof(line), stdin)) {
		char *text, *rest;

		line[strcspn(line, "\n")] = '\0';
		text = arena_strdup(tool.settings, line);
		if (!text)
			stop("no memory", line);
		rest = split(text);
		if (strcmp(text, "reset") == 0)
			reset();
		else if (strcmp(text, "judge") == 0)
			read_and_judge(rest);
		else
			configure(text, rest);
	}
	reset();
	arena_destroy(tool.settings);
	return 0;
}
