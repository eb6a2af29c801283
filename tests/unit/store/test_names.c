/*
 * Names, and keys of identities, are unique at every moment, wherever they stand: in the table, among the
 * latest users, half-way between. Random changes, undone ones among them, with pieces of tidying, other writers, starts
 * and kills in between, against a model that is a plain array.
 */
#include "support.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

#include <rolebridge/base/util.h>

#define POOL 100  /* names there are */
#define EMAILS 20 /* and addresses */
#define KEYS 40	  /* keys in each of two sources: UUIDs, short texts, texts of the size of a UUID */
#define USERS_MAX 400
#define STEPS 4000

struct model_user {
	int name, email; /* numbers in the pool; email -1: none */
	bool deleted;
	int64_t version;
};

struct model {
	struct model_user users[USERS_MAX]; /* id - 1 */
	int count;
	struct {
		int user, record; /* user from 1; 0: no identity */
	} keys[2][KEYS];
};

struct world {
	struct fixture *fixture;
	struct store *reader, *other;
	struct model now, committed, saved;
	uint64_t random;
	bool in_transaction, in_savepoint;
	int inserted, refused_names, moved_keys, dropped_keys;
};

static unsigned roll(struct world *world, unsigned below)
{
	world->random ^= world->random << 13;
	world->random ^= world->random >> 7;
	world->random ^= world->random << 17;
	return (unsigned)(world->random >> 33) % below;
}

static const char *name_text(int number)
{
	static char texts[POOL][16];

	snprintf(texts[number], sizeof(texts[number]), "name%d", number);
	return texts[number];
}

static const char *email_text(int number)
{
	static char texts[POOL][32];

	if (number < 0)
		return "";
	snprintf(texts[number], sizeof(texts[number]), "name%d@acme.example", number);
	return texts[number];
}

static const char *const source_names[] = { "corp", "other" };

static const char *key_text(int number)
{
	static char texts[KEYS][40];
	static const char *const shapes[] = { "%08x-0000-4000-8000-0123456789ab", "key%d",
					      "sixteen bytes %02d" };

	snprintf(texts[number], sizeof(texts[number]), shapes[number % 3], number);
	return texts[number];
}

/* --- the model --- */

/* The user, from 1, who has the name; 0: nobody. */
static int name_owner(const struct model *model, int name)
{
	for (int i = 0; i < model->count; i++)
		if (model->users[i].name == name)
			return i + 1;
	return 0;
}

static int email_owner(const struct model *model, int email)
{
	for (int i = 0; i < model->count; i++)
		if (email >= 0 && model->users[i].email == email && !model->users[i].deleted)
			return i + 1;
	return 0;
}

static bool is_free(const struct model *model, const struct model_user *user, int self)
{
	int name = name_owner(model, user->name);
	int email = user->deleted ? 0 : email_owner(model, user->email);

	return (name == 0 || name == self) && (email == 0 || email == self);
}

static void check_found(struct store *store, enum user_key key, const char *text, int expected)
{
	AUTO(arena) struct arena *arena = arena_create(1024 * 1024);
	struct err err = { 0 };
	struct user user;
	int found = store_user_find(store, key, text, arena, &user, &err);

	if (expected == 0 && found == 0)
		fail_msg("'%s' is nobody's, but was found", text);
	if (expected == 0 && err.code != ERR_NOT_FOUND)
		fail_msg("'%s': %s", text, err.text);
	if (expected != 0 && found < 0)
		fail_msg("'%s' is of user %d: %s", text, expected, err.text);
	if (expected != 0)
		assert_int_equal(user.id, expected);
}

static void check_key(struct store *store, const struct model *model, int source, int key)
{
	AUTO(arena) struct arena *arena = arena_create(1024 * 1024);
	int user = model->keys[source][key].user;
	struct identity_row row;
	struct err err = { 0 };
	char record[32];
	int found =
		store_identity_get(store, source_names[source], key_text(key), arena, &row, &err);

	if (found < 0 && (user || err.code != ERR_NOT_FOUND))
		fail_msg("'%s' is of user %d: %s", key_text(key), user, err.text);
	if (found == 0 && !user)
		fail_msg("'%s' is nobody's, but was found", key_text(key));
	if (found < 0)
		return;
	snprintf(record, sizeof(record), "record %d", model->keys[source][key].record);
	assert_int_equal(row.user_id, user);
	assert_string_equal(row.key, key_text(key));
	assert_int_equal(row.record_size, strlen(record));
	assert_memory_equal(row.record, record, row.record_size);
}

struct heads {
	const struct model *model;
	int source, count;
};

static int check_head(void *context, const char *key, struct hash128 digest UNUSED, int64_t user_id,
		      int64_t missing_s UNUSED, uint32_t missing_runs UNUSED)
{
	struct heads *heads = context;
	int number = 0;

	while (number < KEYS && strcmp(key_text(number), key) != 0)
		number++;
	assert_true(number < KEYS);
	assert_int_equal(heads->model->keys[heads->source][number].user, user_id);
	heads->count++;
	return 0;
}

static void check_keys(struct store *store, const struct model *model)
{
	for (int source = 0; source < 2; source++) {
		struct heads heads = { model, source, 0 };
		struct err err = { 0 };
		int count = 0;

		for (int key = 0; key < KEYS; key++) {
			check_key(store, model, source, key);
			count += model->keys[source][key].user != 0;
		}
		assert_int_equal(
			store_identity_each(store, source_names[source], check_head, &heads, &err),
			0);
		assert_int_equal(heads.count, count);
	}
}

static void check_all(struct store *store, const struct model *model)
{
	check_keys(store, model);
	for (int i = 0; i < POOL; i++) {
		check_found(store, USER_BY_USERNAME, name_text(i), name_owner(model, i));
		check_found(store, USER_BY_EMAIL, email_text(i), email_owner(model, i));
	}
}

/* --- steps --- */

static void choose_names(struct world *world, struct model_user *user)
{
	user->name = (int)roll(world, POOL);
	user->email = (int)roll(world, EMAILS + 4) - 4;
	if (user->email < 0)
		user->email = -1;
}

static struct user as_user(const struct model_user *model, int64_t id)
{
	struct user user = make_user(name_text(model->name), email_text(model->email));

	user.id = id;
	for (size_t b = 0; b < 8; b++)
		user.uuid.byte[b] = (unsigned char)(id >> (8 * b));
	memset(user.uuid.byte + 8, 7, 8);
	user.disabled = model->deleted ? DISABLED_DELETED : 0;
	user.version = model->version;
	return user;
}

/* A name that somebody has: nothing is written, and the transaction goes on. */
static void expect(struct world *world, int result, bool is_fine)
{
	struct err *err = &world->fixture->err;

	if (is_fine && result < 0)
		fail_msg("%s", err->text);
	if (is_fine)
		return;
	assert_int_equal(result, -1);
	assert_int_equal(err->code, ERR_CONFLICT);
	world->refused_names++;
}

static void step_insert(struct world *world)
{
	struct model_user new = { .version = 1 };
	struct model *model = &world->now;
	struct user user;
	bool fine;

	if (model->count == USERS_MAX)
		return;
	choose_names(world, &new);
	new.deleted = roll(world, 20) == 0;
	fine = is_free(model, &new, 0);
	user = as_user(&new, model->count + 1);
	err_clear(&world->fixture->err);
	expect(world, store_user_insert(world->fixture->store, &user, &world->fixture->err), fine);
	if (!fine)
		return;
	assert_int_equal(user.id, model->count + 1);
	model->users[model->count++] = new;
	world->inserted++;
}

static void step_update(struct world *world)
{
	struct model *model = &world->now;
	struct model_user changed;
	struct user user;
	int id;
	bool fine;

	if (model->count == 0)
		return;
	id = (int)roll(world, (unsigned)model->count) + 1;
	changed = model->users[id - 1];
	switch (roll(world, 5)) {
	case 0: choose_names(world, &changed); break;
	case 1: changed.name = (int)roll(world, POOL); break;
	case 2: changed.email = -1; break;
	default:
		/* Most become tombstones with a name of their own, so that names become free. */
		changed.deleted = !changed.deleted;
	}
	changed.version++;
	fine = is_free(model, &changed, id);
	user = as_user(&changed, id);
	err_clear(&world->fixture->err);
	expect(world, store_user_update(world->fixture->store, &user, &world->fixture->err), fine);
	if (fine)
		model->users[id - 1] = changed;
}

/* Half of them for the latest user, who may have been added a moment ago. */
static void step_identity(struct world *world)
{
	struct fixture *fixture = world->fixture;
	struct model *model = &world->now;
	int source = (int)roll(world, 2), key = (int)roll(world, KEYS), user;
	char record[32];

	if (model->count == 0)
		return;
	user = roll(world, 2) ? model->count : (int)roll(world, (unsigned)model->count) + 1;
	if (model->keys[source][key].user && roll(world, 3) == 0) {
		ok(fixture, store_identity_delete(fixture->store, source_names[source],
						  key_text(key), &fixture->err));
		model->keys[source][key].user = 0;
		world->dropped_keys++;
		return;
	}
	world->moved_keys +=
		model->keys[source][key].user != 0 && model->keys[source][key].user != user;
	model->keys[source][key].user = user;
	snprintf(record, sizeof(record), "record %d", ++model->keys[source][key].record);

	struct identity_row row = { .source = source_names[source],
				    .key = key_text(key),
				    .user_id = user,
				    .record = record,
				    .record_size = strlen(record),
				    .read_s = 1700000000 };
	struct hash128 digest = digest128(record, strlen(record));

	ok(fixture, store_identity_put(fixture->store, &row, &digest, &fixture->err));
}

static void step_end(struct world *world)
{
	struct fixture *fixture = world->fixture;

	if (world->in_savepoint && roll(world, 2)) {
		store_rollback_to(fixture->store);
		world->now = world->saved;
	} else if (world->in_savepoint) {
		ok(fixture, store_release(fixture->store, &fixture->err));
	}
	world->in_savepoint = false;
	if (roll(world, 3)) {
		ok(fixture, store_commit(fixture->store, &fixture->err));
		world->committed = world->now;
	} else {
		store_rollback(fixture->store);
		world->now = world->committed;
	}
	world->in_transaction = false;
}

static void swap_writers(struct world *world)
{
	struct store *store = world->fixture->store;

	world->fixture->store = world->other;
	world->other = store;
}

static void step_outside(struct world *world)
{
	struct fixture *fixture = world->fixture;

	switch (roll(world, 8)) {
	case 0:
		reopen(fixture);
		store_set_tidy_piece(fixture->store, 3);
		break;
	case 1: swap_writers(world); break;
	case 2:
	case 3: ok(fixture, store_tidy(fixture->store, &fixture->err)); break;
	case 4:
		check_all(fixture->store, &world->committed);
		check_all(world->reader, &world->committed);
		break;
	default:
		ok(fixture, store_begin(fixture->store, &fixture->err));
		world->in_transaction = true;
	}
}

static void step_inside(struct world *world)
{
	struct fixture *fixture = world->fixture;

	switch (roll(world, 16)) {
	case 0: step_end(world); break;
	case 1:
		if (!world->in_savepoint) {
			ok(fixture, store_savepoint(fixture->store, &fixture->err));
			world->saved = world->now;
			world->in_savepoint = true;
		}
		break;
	case 2:
		if (world->in_savepoint) {
			store_rollback_to(fixture->store);
			world->now = world->saved;
			world->in_savepoint = false;
		}
		break;
	case 3:
		check_all(fixture->store, &world->now);
		check_all(world->reader, &world->committed);
		break;
	case 4:
	case 5:
	case 6: step_insert(world); break;
	case 7:
	case 8:
	case 9:
	case 10: step_identity(world); break;
	default: step_update(world);
	}
}

static void step(struct world *world)
{
	if (world->in_transaction)
		step_inside(world);
	else
		step_outside(world);
}

static struct store *open_one(struct fixture *fixture, enum store_mode mode)
{
	struct store *store = store_open(fixture->path, mode, &fixture->err);

	if (!store)
		fail_msg("%s", fixture->err.text);
	store_set_tidy_piece(store, 3);
	return store;
}

static void world_open(struct world *world, struct fixture *fixture, uint64_t seed)
{
	*world = (struct world){ .fixture = fixture, .random = seed * 2654435761u + 1 };
	store_set_tidy_piece(fixture->store, 3);
	ok(fixture, store_begin(fixture->store, &fixture->err));
	for (size_t i = 0; i < ARRAY_LEN(source_names); i++)
		ok(fixture, store_source_ensure(fixture->store, source_names[i], &fixture->err));
	ok(fixture, store_commit(fixture->store, &fixture->err));
	world->reader = open_one(fixture, STORE_READ);
	world->other = open_one(fixture, STORE_WRITE);
}

static void world_close(struct world *world)
{
	store_close(world->reader);
	store_close(world->other);
}

static void test_against_a_model(void **state)
{
	struct fixture *fixture = *state;
	struct world *world = calloc(1, sizeof(*world));

	assert_non_null(world);
	world_open(world, fixture, 1);
	for (int i = 0; i < STEPS; i++)
		step(world);
	if (world->in_transaction)
		step_end(world);
	check_all(fixture->store, &world->committed);
	for (int more = 1; more > 0;)
		ok(fixture, more = store_tidy(fixture->store, &fixture->err));
	check_all(fixture->store, &world->committed);
	check_all(world->reader, &world->committed);
	/* It was a test of what it says. */
	assert_true(world->inserted > 50);
	assert_true(world->refused_names > 100);
	assert_true(world->moved_keys > 100);
	assert_true(world->dropped_keys > 50);
	world_close(world);
	free(world);
}

/* --- kills --- */

static int64_t count_of(const char *path, const char *sql)
{
	sqlite3_stmt *statement;
	sqlite3 *db;
	int64_t count;

	assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
	count = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	sqlite3_close(db);
	return count;
}

static void assert_unique(const char *path)
{
	assert_int_equal(count_of(path, "SELECT count(*) - count(DISTINCT username) FROM user"), 0);
	assert_int_equal(count_of(path, "SELECT count(*) - count(DISTINCT email) FROM user WHERE "
					"email <> '' AND (disabled & 32) = 0"),
			 0);
	assert_int_equal(count_of(path, "SELECT count(*) FROM (SELECT 1 FROM identity GROUP BY "
					"source, key HAVING count(*) > 1)"),
			 0);
	assert_int_equal(count_of(path, "SELECT (SELECT count(*) FROM identity) - (SELECT count(*) "
					"FROM identity i JOIN identity_record r ON r.id = i.id)"),
			 0);
	assert_int_equal(count_of(path, "SELECT count(*) FROM identity_key k LEFT JOIN identity i "
					"ON i.id = k.id WHERE i.key IS NOT k.key OR "
					"i.source IS NOT k.source"),
			 0);
	/* What login says is so. */
	assert_int_equal(count_of(path,
				  "SELECT count(*) FROM login l LEFT JOIN user u ON u.id = l.user "
				  "WHERE NOT coalesce(CASE kind WHEN 1 THEN text = username ELSE "
				  "text = email AND (disabled & 32) = 0 END, 0)"),
			 0);
}

/* Reads the model from the rows. */
static void read_model(struct fixture *fixture, struct model *model)
{
	memset(model, 0, sizeof(*model));
	for (int64_t id = 1; id <= USERS_MAX; id++) {
		struct model_user *found = &model->users[id - 1];
		struct user user;

		arena_reset(fixture->arena);
		if (store_user_get(fixture->store, id, fixture->arena, &user, &fixture->err) < 0)
			break;
		*found = (struct model_user){ .email = -1, .version = user.version };
		assert_int_equal(sscanf(user.username, "name%d", &found->name), 1);
		sscanf(user.email, "name%d@", &found->email);
		found->deleted = user.disabled & DISABLED_DELETED;
		model->count++;
	}
	for (int i = 0; i < 2 * KEYS; i++) {
		struct identity_row row;

		if (store_identity_get(fixture->store, source_names[i / KEYS], key_text(i % KEYS),
				       fixture->arena, &row, &fixture->err) < 0)
			continue;
		model->keys[i / KEYS][i % KEYS].user = (int)row.user_id;
		assert_int_equal(
			sscanf(row.record, "record %d", &model->keys[i / KEYS][i % KEYS].record),
			1);
	}
}

static void live_until_killed(struct fixture *fixture, uint64_t seed)
{
	struct world *world = calloc(1, sizeof(*world));
	int steps;

	if (!world)
		_exit(1);
	fixture->store = open_one(fixture, STORE_WRITE);
	world_open(world, fixture, seed);
	read_model(fixture, &world->committed);
	world->now = world->committed;
	steps = (int)roll(world, 60);
	for (int i = 0; i < steps; i++)
		step(world);
	raise(SIGKILL);
	_exit(1);
}

static void test_kills(void **state)
{
	struct fixture *fixture = *state;

	for (uint64_t seed = 1; seed <= 40; seed++) {
		int status;
		pid_t child;

		store_close(fixture->store);
		fixture->store = NULL;
		child = fork();
		if (child == 0)
			live_until_killed(fixture, seed);
		assert_true(child > 0);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		assert_unique(fixture->path);
		fixture->store = open_one(fixture, STORE_WRITE);
	}
	assert_true(count_of(fixture->path, "SELECT count(*) FROM user") > 5);
}

/* --- two of one name --- */

static void test_tidy_finds_damage(void **state)
{
	struct fixture *fixture = *state;
	sqlite3 *db;

	ok(fixture, store_begin(fixture->store, &fixture->err));
	add_user(fixture, "anna");
	add_user(fixture, "bela");
	ok(fixture, store_commit(fixture->store, &fixture->err));
	assert_int_equal(sqlite3_open_v2(fixture->path, &db, SQLITE_OPEN_READWRITE, NULL),
			 SQLITE_OK);
	assert_int_equal(sqlite3_exec(db,
				      "DROP TRIGGER user_login_update;"
				      "UPDATE user SET username = 'anna' WHERE id = 2",
				      NULL, NULL, NULL),
			 SQLITE_OK);
	sqlite3_close(db);
	for (int i = 0; i < 2; i++) {
		refused(fixture, store_tidy(fixture->store, &fixture->err), ERR_IO,
			"store-damaged");
		assert_non_null(
			strstr(fixture->err.text, "users 1 and 2 both have the name 'anna'"));
	}
}

static void test_tidy_finds_two_of_one_key(void **state)
{
	struct fixture *fixture = *state;
	sqlite3 *db;

	ok(fixture, store_begin(fixture->store, &fixture->err));
	ok(fixture, store_source_ensure(fixture->store, "corp", &fixture->err));
	ok(fixture, put_identity(fixture, "k1", add_user(fixture, "anna"), "r"));
	ok(fixture, put_identity(fixture, "k2", add_user(fixture, "bela"), "r"));
	ok(fixture, store_commit(fixture->store, &fixture->err));
	assert_int_equal(sqlite3_open_v2(fixture->path, &db, SQLITE_OPEN_READWRITE, NULL),
			 SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "UPDATE identity SET key = 'k1'", NULL, NULL, NULL),
			 SQLITE_OK);
	sqlite3_close(db);
	refused(fixture, store_tidy(fixture->store, &fixture->err), ERR_IO, "store-damaged");
	assert_non_null(strstr(fixture->err.text, "both have the key 'k1'"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_against_a_model),
		TEST(test_kills),
		TEST(test_tidy_finds_damage),
		TEST(test_tidy_finds_two_of_one_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
