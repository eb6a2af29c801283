#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rolebridge/base/hash.h>
#include <rolebridge/store/session.h>

const struct actor test_sync = { .name = "sync", .request = "" };

/* --- world --- */

int world_set_up(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	assert_non_null(world);
	snprintf(world->folder, sizeof(world->folder), "/tmp/rolebridge-change-XXXXXX");
	assert_non_null(mkdtemp(world->folder));
	snprintf(world->path, sizeof(world->path), "%s/store.db", world->folder);
	world->arena = arena_create((size_t)1 << 30);
	world->members = 20;
	*state = world;
	return 0;
}

int world_tear_down(void **state)
{
	struct world *world = *state;

	world_close(world);
	arena_destroy(world->arena);
	test_folder_remove(world->folder);
	free(world);
	return 0;
}

/* --- setups --- */

struct setup *world_setup(struct world *world, const char *yaml)
{
	struct setup *setup = test_setup_create(world->path, yaml);

	setup->targets = world->targets;
	setup->target_count = world->target_count;
	return setup;
}

void world_open(struct world *world, const char *yaml)
{
	struct setup *setup;

	world_close(world);
	setup = world_setup(world, yaml);
	world->changer = changer_open(world->path, setup, &world->err);
	setup_release(setup);
	if (!world->changer)
		fail_msg("cannot open: %s", world->err.text);
}

void world_close(struct world *world)
{
	changer_close(world->changer);
	world->changer = NULL;
}

void world_reload(struct world *world, const char *yaml, struct run_report *ret_report)
{
	struct setup *setup = world_setup(world, yaml);
	struct run_report report;

	run_report_init(&report);
	ok(world, changer_reload(world->changer, setup, &test_person, &report, &world->err));
	setup_release(setup);
	if (ret_report)
		*ret_report = report;
	else
		run_report_finish(&report);
}

/* --- syncs --- */

struct sync *world_begin(struct world *world, const char *source, bool dry_run)
{
	struct sync *sync =
		sync_begin(world->changer, NULL, source, &test_sync, dry_run, &world->err);

	if (!sync)
		fail_msg("cannot begin: %s", world->err.text);
	return sync;
}

struct words {
	struct setup *setup;
	struct identity identity;
	struct attribute attributes[16];
	const char *values[16];
	uint32_t groups[16];
};

static void add_attribute(struct words *words, const char *name, const char *value)
{
	int id = schema_find(words->setup->decision.schema, name, strlen(name));
	size_t at = words->identity.attribute_count;

	if (id < 0)
		fail_msg("attribute '%s'", name);
	while (at > 0 && words->attributes[at - 1].id > id) {
		words->attributes[at] = words->attributes[at - 1];
		at--;
	}
	words->values[words->identity.attribute_count] = value;
	words->attributes[at] =
		(struct attribute){ (uint16_t)id, 1,
				    &words->values[words->identity.attribute_count] };
	words->identity.attribute_count++;
}

static void add_group(struct words *words, const char *name)
{
	char full[128];
	const struct group *group;
	size_t at = words->identity.group_count;

	/* "idp:sales" is a group of that source. */
	snprintf(full, sizeof(full), strchr(name, ':') ? "%s" : "cn=%s,dc=x", name);
	group = group_registry_find(words->setup->registry, full);
	if (!group)
		return;
	while (at > 0 && words->groups[at - 1] > group->id) {
		words->groups[at] = words->groups[at - 1];
		at--;
	}
	words->groups[at] = group->id;
	words->identity.group_count++;
}

static void make_record(struct world *world, struct setup *setup, uint16_t source, char *line,
			struct strbuf *record)
{
	struct words words = { .setup = setup };
	char *word, *rest = line, mail[128];
	bool has_mail = false;
	unsigned count = 0;

	words.identity = (struct identity){
		.source = source, .dn = "", .groups_complete = true, .disabled_by = "", .key = ""
	};
	words.identity.attributes = words.attributes;
	words.identity.groups = words.groups;
	while ((word = strsep(&rest, " ")) != NULL) {
		char *value = strchr(word, '=');

		if (!*word)
			continue;
		count++;
		if (count == 1) {
			words.identity.key = word;
			words.identity.dn = arena_printf(world->arena, "uid=%s,dc=x", word);
		} else if (count == 2) {
			if (strcmp(word, "-") == 0) {
				has_mail = true;
				continue;
			}
			add_attribute(&words, "uid", word);
			snprintf(mail, sizeof(mail), "%s@x.example", word);
		} else if (*word == '@') {
			add_group(&words, word + 1);
		} else if (*word == '!') {
			words.identity.disabled = true;
			words.identity.disabled_by = "test";
		} else if (*word == '^') {
			words.identity.disabled_from_s = strtoll(word + 1, NULL, 10);
			words.identity.disabled_by = "time";
		} else if (*word == '?') {
			words.identity.groups_complete = false;
		} else {
			assert_non_null(value);
			*value++ = '\0';
			for (char *at = value; *at; at++)
				*at = *at == '_' ? ' ' : *at;
			has_mail |= strcmp(word, "mail") == 0;
			add_attribute(&words, word, value);
		}
	}
	if (!has_mail)
		add_attribute(&words, "mail", mail);
	record_encode(&words.identity, setup->decision.schema, record);
	assert_false(strbuf_failed(record));
}

void world_record(struct world *world, struct setup *setup, const char *source, const char *line,
		  struct strbuf *record)
{
	int number = schema_find_source(setup->decision.schema, source, strlen(source));
	char *text = arena_strdup(world->arena, line);

	assert_true(number >= 0);
	make_record(world, setup, (uint16_t)number, text, record);
}

static int feed_groups(struct world *world, struct sync *sync, struct setup *setup, char *line)
{
	struct words words = { .setup = setup };
	char *rest = line, *key = strsep(&rest, " "), *word;
	bool complete = true;

	while ((word = strsep(&rest, " ")) != NULL)
		if (*word == '@')
			add_group(&words, word + 1);
		else
			complete &= *word != '?';
	return sync_groups(sync, key, strlen(key), words.groups, words.identity.group_count,
			   complete, &world->err);
}

static int feed_line(struct world *world, struct sync *sync, struct setup *setup, uint16_t source,
		     char *line)
{
	AUTO(strbuf) struct strbuf record = STRBUF(1 << 20);

	if (*line == '~')
		return feed_groups(world, sync, setup, line + 1);
	if (*line == '-')
		return sync_gone(sync, line + 1, strlen(line + 1), &world->err);
	if (*line == '#') {
		struct quarantined entry = {
			.locator = line, .key = line + 1, .reason = "test", .detail = "", .dn = ""
		};

		return sync_quarantine(sync, &entry, &world->err);
	}
	make_record(world, setup, source, line, &record);
	return sync_identity(sync, record.data, record.size, &world->err);
}

int world_feed(struct world *world, struct sync *sync, const char *source, const char *lines)
{
	struct setup *setup = changer_setup(world->changer);
	int number = schema_find_source(setup->decision.schema, source, strlen(source));
	char *text = strdup(lines), *rest = text, *line;
	int result = 0;

	assert_true(number >= 0);
	while (result == 0 && (line = strsep(&rest, "\n")) != NULL)
		if (*line)
			result = feed_line(world, sync, setup, (uint16_t)number, line);
	free(text);
	setup_release(setup);
	return result;
}

void world_groups(struct world *world, struct sync *sync, const char *source UNUSED,
		  const char *lost)
{
	struct setup *setup = changer_setup(world->changer);

	for (size_t i = 0; i < group_registry_count(setup->registry); i++) {
		const struct group *group = group_registry_at(setup->registry, i);
		bool found = !lost || !strstr(group->name, lost);

		ok(world,
		   sync_group(sync, group->id, found, found ? world->members : 0, &world->err));
	}
	setup_release(setup);
}

static void sync_all(struct world *world, const char *source, const char *lines, unsigned flags,
		     const char *lost, struct run_report *ret_report)
{
	struct sync *sync = world_begin(world, source, flags & DRY);
	struct run_report report;

	run_report_init(&report);
	ok(world, world_feed(world, sync, source, lines));
	world_groups(world, sync, source, lost);
	ok(world, sync_finish(sync, !(flags & PARTIAL), flags & PARTIAL ? "size-limit" : "", "test",
			      &report, &world->err));
	if (ret_report)
		*ret_report = report;
	else
		run_report_finish(&report);
}

void world_sync(struct world *world, const char *source, const char *lines, unsigned flags,
		struct run_report *ret_report)
{
	sync_all(world, source, lines, flags, NULL, ret_report);
}

struct sync *world_begin_changes(struct world *world, const char *source)
{
	struct sync *sync = sync_begin_changes(world->changer, source, &test_sync, &world->err);

	if (!sync)
		fail_msg("cannot begin: %s", world->err.text);
	return sync;
}

void world_changes(struct world *world, const char *source, const char *lines,
		   struct run_report *ret_report)
{
	struct sync *sync = world_begin_changes(world, source);
	struct run_report report;

	run_report_init(&report);
	ok(world, world_feed(world, sync, source, lines));
	ok(world, sync_finish(sync, true, "", "test", &report, &world->err));
	if (ret_report)
		*ret_report = report;
	else
		run_report_finish(&report);
}

void world_sync_lost(struct world *world, const char *source, const char *lines, const char *lost,
		     struct run_report *ret_report)
{
	sync_all(world, source, lines, 0, lost, ret_report);
}

const char *world_held(struct world *world)
{
	struct store *store = world_read(world);
	struct plan_row *plans;
	size_t count;

	ok(world, store_plan_list(store, PLAN_HELD, world->arena, &plans, &count, &world->err));
	store_close(store);
	assert_int_equal(count, 1);
	return plans[0].id;
}

/* --- signing in --- */

void world_send(struct world *w, struct sent *sent, const char *line, const char *id)
{
	struct setup *setup = changer_setup(w->changer);

	*sent = (struct sent){ .record = STRBUF(1 << 20) };
	world_record(w, setup, "idp", line, &sent->record);
	setup_release(setup);
	sent->assertion = (struct saml_assertion){ .response_id = "_r",
						   .assertion_id = id,
						   .in_response_to = "",
						   .issuer = "https://idp.example",
						   .name_id = "name-1",
						   .name_id_format = "urn:persistent",
						   .session_index = "index-1",
						   .authn_instant_s = TEST_NOW,
						   .replay_until_s = TEST_NOW + 600,
						   .authn_context = "",
						   .second_factor_s = TEST_NOW - 3,
						   .record = sent->record.data,
						   .record_size = sent->record.size };
	sent->login = (struct login){ .source = "idp",
				      .assertion = &sent->assertion,
				      .request_id = "",
				      .token = digest256(id, strlen(id)),
				      .address = "192.0.2.1",
				      .agent = "agent",
				      .until_s = TEST_NOW + 3600,
				      .now_s = TEST_NOW };
}

/* --- the state as text --- */

struct store *world_read(struct world *world)
{
	struct store *store = store_open(world->path, STORE_READ, &world->err);

	if (!store)
		fail_msg("cannot read: %s", world->err.text);
	return store;
}

static void dump_disabled(struct strbuf *out, uint32_t disabled)
{
	if (disabled == 0)
		strbuf_puts(out, " active");
	for (uint32_t bit = 1; bit <= SUSPENDED_SIGN_IN; bit <<= 1)
		if (disabled & bit)
			strbuf_printf(out, " disabled(%s)", disable_reason_name(bit));
}

static void dump_grants(struct world *world, struct store *store, int64_t id, bool brief,
			struct strbuf *out)
{
	struct grant *grants;
	size_t count;

	ok(world, store_grants_of(store, id, world->arena, &grants, &count, &world->err));
	for (size_t i = 0; i < count; i++) {
		if (!brief)
			strbuf_printf(out, "\n  %s %s %s %s %s", grant_kind_name(grants[i].kind),
				      grants[i].name, origin_kind_name(grants[i].origin),
				      grants[i].origin_id, grants[i].origin_source);
		else if (grants[i].kind != GRANT_PROFILE)
			strbuf_printf(out, " %s:%s", grants[i].name,
				      origin_kind_name(grants[i].origin));
	}
}

static void dump_identities(struct world *world, struct store *store, int64_t id,
			    struct strbuf *out)
{
	struct identity_row *rows;
	size_t count;

	ok(world, store_identities_of(store, id, world->arena, &rows, &count, &world->err));
	for (size_t i = 0; i < count; i++)
		strbuf_printf(
			out, "\n  = %s %s %016llx %u%s", rows[i].source, rows[i].key,
			(unsigned long long)digest128(rows[i].record, rows[i].record_size).word[0],
			rows[i].missing_runs, rows[i].missing_s ? " missing" : "");
}

static int compare_names(const void *a, const void *b)
{
	const struct user *left = a, *right = b;

	return strcmp(left->username, right->username);
}

const char *world_dump(struct world *world)
{
	AUTO(store) struct store *store = world_read(world);
	AUTO(strbuf) struct strbuf out = STRBUF(1 << 28);
	struct user_query query = { .active = -1, .limit = 10000 };
	struct user *users;
	size_t count;

	ok(world, store_user_list(store, &query, world->arena, &users, &count, &world->err));
	qsort(users, count, sizeof(*users), compare_names);
	for (size_t i = 0; i < count; i++) {
		strbuf_printf(&out, "%s <%s> %s %s", users[i].username, users[i].email,
			      users[i].display_name, users[i].profile);
		dump_disabled(&out, users[i].disabled);
		dump_grants(world, store, users[i].id, false, &out);
		dump_identities(world, store, users[i].id, &out);
		strbuf_putc(&out, '\n');
	}
	return arena_strdup(world->arena, strbuf_text(&out));
}

const char *world_user(struct world *world, const char *username)
{
	AUTO(store) struct store *store = world_read(world);
	AUTO(strbuf) struct strbuf out = STRBUF(1 << 20);
	struct user user;

	if (store_user_find(store, USER_BY_USERNAME, username, world->arena, &user, &world->err) <
	    0)
		return "";
	strbuf_puts(&out, user.profile);
	dump_disabled(&out, user.disabled);
	dump_grants(world, store, user.id, true, &out);
	return arena_strdup(world->arena, strbuf_text(&out));
}

const char *world_audit(struct world *world, const char *action)
{
	AUTO(store) struct store *store = world_read(world);
	AUTO(strbuf) struct strbuf out = STRBUF(1 << 26);
	struct audit_query query = { .action = action };
	struct store_audit_cursor *cursor = store_audit_open(store, &query, &world->err);
	struct audit_iterator iterator = store_audit_iterator(cursor);
	struct audit_row row;

	assert_non_null(cursor);
	while (iterator.next(iterator.context, &row, &world->err) > 0)
		strbuf_printf(&out, "%s %.*s %s\n", row.actor, (int)strcspn(row.object, ":"),
			      row.object, row.detail);
	store_audit_close(cursor);
	return arena_strdup(world->arena, strbuf_text(&out));
}

size_t world_audited(struct world *world, const char *action, const char *part)
{
	const char *line = world_audit(world, action), *end;
	size_t count = 0;

	for (; (end = strchr(line, '\n')) != NULL; line = end + 1) {
		const char *found = strstr(line, part);

		count += found != NULL && found <= end;
	}
	return count;
}

size_t world_sessions(struct world *world)
{
	AUTO(store) struct store *store = world_read(world);
	struct session_query query = { .limit = 10000 };
	struct session *list;
	size_t count;

	ok(world, store_session_list(store, &query, world->arena, &list, &count, &world->err));
	return count;
}

void world_check_audit(struct world *world)
{
	AUTO(store) struct store *store = world_read(world);
	struct audit_query query = { 0 };
	struct store_audit_cursor *cursor = store_audit_open(store, &query, &world->err);
	struct audit_iterator rows;
	struct audit_verdict verdict;

	assert_non_null(cursor);
	rows = store_audit_iterator(cursor);
	ok(world, audit_verify(&rows, &(struct audit_check){ 0 }, &verdict, &world->err));
	store_audit_close(cursor);
	if (!verdict.intact)
		fail_msg("audit chain: %s at %lld", verdict.problem, (long long)verdict.broken_seq);
}

void world_check_sane(struct world *world, bool administrator)
{
	AUTO(store) struct store *store = world_read(world);
	struct user_query query = { .active = 1, .limit = 10000 };
	struct user *users;
	size_t count, administrators = 0;

	ok(world, store_user_list(store, &query, world->arena, &users, &count, &world->err));
	for (size_t i = 0; i < count; i++) {
		struct grant *grants;
		size_t n;
		bool granted = false;

		assert_string_not_equal(users[i].profile, "");
		ok(world,
		   store_grants_of(store, users[i].id, world->arena, &grants, &n, &world->err));
		for (size_t j = 0; j < n; j++)
			granted |= grants[j].kind == GRANT_PROFILE &&
				   strcmp(grants[j].name, users[i].profile) == 0;
		if (!granted)
			fail_msg("'%s' has profile '%s' from nowhere", users[i].username,
				 users[i].profile);
		administrators += strcmp(users[i].profile, "administrator") == 0;
	}
	if (administrator)
		assert_true(administrators > 0);
}

int64_t world_alarms(struct world *world, const char *kind)
{
	AUTO(store) struct store *store = world_read(world);
	struct alarm_row *rows;
	size_t count;
	int64_t found = 0;

	ok(world, store_alarm_list(store, true, world->arena, &rows, &count, &world->err));
	for (size_t i = 0; i < count; i++)
		found += strcmp(rows[i].kind, kind) == 0;
	return found;
}

void world_create(struct world *world, const char *username, const char *profile)
{
	struct new_user user = { .username = username, .profile = profile };
	struct uuid uuid;

	ok(world, change_user_create(world->changer, &test_person, &user, &uuid, &world->err));
}

struct user world_find(struct world *world, const char *name)
{
	AUTO(store) struct store *store = world_read(world);
	struct user user;

	ok(world, user_resolve(store, name, world->arena, &user, &world->err));
	return user;
}
