/*
 * What the first import costs in the store: users with identity, one or two
 * grants and an audit row each, in batches of 500 per transaction, in order of
 * key. Then reads by random key, all heads, searches by prefix, and counts.
 *
 *	bench_store [USERS [FOLDER]]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>
#include <rolebridge/store/store.h>

#define BATCH 500
#define RECORD_SIZE 320

static const char *const first_names[] = { "Anna",  "Bela", "Chidi", "Dora", "Emeka", "Farah",
					   "Goran", "Hana", "Ivo",   "Jane", "Kofi",  "Lena",
					   "Mila",  "Nuri", "Olga",  "Pia" };
static const char *const last_names[] = { "Adler",  "Braun",  "Costa",	"Dumas",  "Evans", "Fuchs",
					  "Garcia", "Horvat", "Ito",	"Jansen", "Khan",  "Lopez",
					  "Moreau", "Novak",  "Okafor", "Petrov" };

static uint64_t mix(uint64_t x)
{
	x ^= x >> 31;
	x *= UINT64_C(0x9e3779b97f4a7c15);
	x ^= x >> 29;
	x *= UINT64_C(0xbf58476d1ce4e5b9);
	return x ^ x >> 32;
}

struct timing {
	int64_t wall_us;
	struct rusage usage;
};

static struct timing timing_now(void)
{
	struct timing now = { .wall_us = clock_monotonic_us() };

	getrusage(RUSAGE_SELF, &now.usage);
	return now;
}

static double seconds(struct timeval a, struct timeval b)
{
	return (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_usec - a.tv_usec) / 1e6;
}

static void report(const char *what, struct timing from, int64_t n)
{
	struct timing to = timing_now();
	double wall = (double)(to.wall_us - from.wall_us) / 1e6;

	printf("%-34s %8.3f s wall  %6.3f user  %6.3f sys  %9.2f us each\n", what, wall,
	       seconds(from.usage.ru_utime, to.usage.ru_utime),
	       seconds(from.usage.ru_stime, to.usage.ru_stime), wall * 1e6 / (double)n);
}

static void check(int result, const struct err *err)
{
	if (result < 0) {
		fprintf(stderr, "bench_store: %s\n", err->text);
		exit(1);
	}
}

/* Time-ordered keys, as a directory's entryUUIDs of entries made one after the other. */
static void key_of(int64_t i, char ret_key[static UUID_TEXT_SIZE])
{
	struct uuid uuid;
	uint64_t high = (uint64_t)i << 16 | 0x7000, low = mix((uint64_t)i);

	for (size_t b = 0; b < 8; b++) {
		uuid.byte[b] = (unsigned char)(high >> (56 - 8 * b));
		uuid.byte[8 + b] = (unsigned char)(low >> (56 - 8 * b));
	}
	uuid_format(&uuid, ret_key);
}

static int64_t add_user(struct store *store, int64_t i, struct err *err)
{
	uint64_t r = mix((uint64_t)i + 77);
	const char *first = first_names[r % ARRAY_LEN(first_names)];
	const char *last = last_names[(r >> 8) % ARRAY_LEN(last_names)];
	char username[64], email[96], display[96];

	snprintf(username, sizeof(username), "%c%s%" PRIu64, first[0] | 0x20, last,
		 (r >> 16) % 1000 * 1000000 + (uint64_t)i);
	for (char *at = username; *at; at++)
		if (*at >= 'A' && *at <= 'Z')
			*at = (char)(*at | 0x20);
	snprintf(email, sizeof(email), "%s@acme.example", username);
	snprintf(display, sizeof(display), "%s %s", first, last);

	struct user user = {
		.uuid = uuid_create(1700000000000 + i),
		.organization = "default",
		.username = username,
		.email = email,
		.display_name = display,
		.profile = i % 1000 == 0 ? "administrator" : "analyst",
		.version = 1,
		.created_s = 1700000000,
		.updated_s = 1700000000,
	};

	check(store_user_insert(store, &user, err), err);
	return user.id;
}

static void add_identity(struct store *store, int64_t i, int64_t user_id, struct err *err)
{
	unsigned char record[RECORD_SIZE];
	char key[UUID_TEXT_SIZE];
	struct hash128 digest;

	for (size_t at = 0; at < sizeof(record); at += 8) {
		uint64_t word = mix((uint64_t)i * 64 + at);

		memcpy(record + at, &word, sizeof(word));
	}
	key_of(i, key);
	digest = digest128(record, sizeof(record));

	struct identity_row row = {
		.source = "corp",
		.key = key,
		.user_id = user_id,
		.record = record,
		.record_size = sizeof(record),
		.read_s = 1700000000,
	};

	check(store_identity_put(store, &row, &digest, err), err);
}

static void add_grants(struct store *store, int64_t i, int64_t user_id, struct err *err)
{
	char role[32], rule[32];
	struct grant profile = {
		.kind = GRANT_PROFILE,
		.name = "analyst",
		.origin = ORIGIN_DEFAULT,
		.origin_id = "",
		.origin_source = "",
		.given_s = 1700000000,
	};
	struct grant given = {
		.kind = GRANT_ROLE,
		.name = role,
		.origin = ORIGIN_RULE,
		.origin_id = rule,
		.origin_source = "corp",
		.given_s = 1700000000,
	};

	snprintf(role, sizeof(role), "role-%d", (int)(mix((uint64_t)i) % 200));
	snprintf(rule, sizeof(rule), "rule-%d", (int)(mix((uint64_t)i) % 200));
	check(store_grants_change(store, user_id, NULL, 0, (struct grant[]){ profile, given },
				  i % 2 ? 2 : 1, err),
	      err);
}

static void add_audit(struct store *store, int64_t i, struct err *err)
{
	char object[64] = "user:";
	struct uuid uuid = uuid_create(1700000000000 + i);

	uuid_format(&uuid, object + 5);

	struct audit_row row = {
		.at_s = 1700000000,
		.actor = "sync:corp",
		.action = "user.create",
		.object = object,
		.request = "6f0c9a3c1d5e4b7a8f90aabbccddeeff6f0c9a3c1d5e4b7a8f90aabbccddeeff",
		.detail = "{\"after\":{\"username\":\"jdoe1\",\"email\":\"jdoe1@acme.example\","
			  "\"display_name\":\"Jane Doe\",\"profile\":\"analyst\"},"
			  "\"added\":[\"profile:analyst\"],\"why\":\"sync corp\"}",
	};

	check(store_audit_append(store, &row, err), err);
}

/* Where the time of the import goes. */
enum step { STEP_USER, STEP_IDENTITY, STEP_GRANTS, STEP_AUDIT, STEP_COMMIT, STEPS };
static const char *const step_names[STEPS] = { "user", "identity", "grants", "audit", "commit" };

struct import_times {
	int64_t step_us[STEPS];
	int64_t longest_us;
};

static int64_t step_end(struct import_times *times, enum step step, int64_t since_us)
{
	int64_t now_us = clock_monotonic_us();

	times->step_us[step] += now_us - since_us;
	return now_us;
}

static void import_batch(struct store *store, int64_t from, int64_t to, struct import_times *times,
			 struct err *err)
{
	int64_t ids[BATCH];
	int64_t start = clock_monotonic_us(), at = start;

	check(store_begin(store, err), err);
	for (int64_t i = from; i < to; i++)
		ids[i - from] = add_user(store, i, err);
	at = step_end(times, STEP_USER, at);
	for (int64_t i = from; i < to; i++)
		add_identity(store, i, ids[i - from], err);
	at = step_end(times, STEP_IDENTITY, at);
	for (int64_t i = from; i < to; i++)
		add_grants(store, i, ids[i - from], err);
	at = step_end(times, STEP_GRANTS, at);
	for (int64_t i = from; i < to; i++)
		add_audit(store, i, err);
	at = step_end(times, STEP_AUDIT, at);
	check(store_commit(store, err), err);
	at = step_end(times, STEP_COMMIT, at);
	if (at - start > times->longest_us)
		times->longest_us = at - start;
}

static int64_t bytes_written(void)
{
	FILE *file = fopen("/proc/self/io", "re");
	long long bytes = 0;
	char line[128];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "wchar: %lld", &bytes) == 1)
			break;
	if (file)
		fclose(file);
	return bytes;
}

static void import(struct store *store, int64_t users, struct err *err)
{
	struct import_times times = { 0 };
	struct timing start = timing_now();
	int64_t before = bytes_written();

	for (int64_t at = 0; at < users; at += BATCH)
		import_batch(store, at, at + BATCH < users ? at + BATCH : users, &times, err);
	report("import, batches of 500", start, users);
	for (size_t i = 0; i < STEPS; i++)
		printf("    %-30s %8.3f s\n", step_names[i], (double)times.step_us[i] / 1e6);
	printf("    %-30s %8.3f ms\n", "longest batch", (double)times.longest_us / 1e3);
	printf("    %-30s %8.1f MB\n", "written", (double)(bytes_written() - before) / 1e6);
}

static int count_head(void *context, const char *key, struct hash128 digest, int64_t user_id,
		      int64_t missing_s, uint32_t missing_runs)
{
	int64_t *count = context;

	(void)key, (void)digest, (void)user_id, (void)missing_s, (void)missing_runs;
	(*count)++;
	return 0;
}

static void read_random(struct store *store, int64_t users, int64_t reads, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(1024 * 1024);

	for (int64_t i = 0; i < reads; i++) {
		struct identity_row row;
		char key[UUID_TEXT_SIZE];

		key_of((int64_t)(mix((uint64_t)i) % (uint64_t)users), key);
		arena_reset(arena);
		check(store_identity_get(store, "corp", key, arena, &row, err), err);
	}
}

static void search(struct store *store, const char *prefix, int64_t n, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(16 * 1024 * 1024);
	struct user_query query = { .prefix = prefix, .active = -1, .limit = 100 };
	struct timing start = timing_now();
	struct user *rows;
	size_t count = 0;
	char what[64];

	for (int64_t i = 0; i < n; i++) {
		arena_reset(arena);
		check(store_user_list(store, &query, arena, &rows, &count, err), err);
	}
	snprintf(what, sizeof(what), "search '%s' (%zu found)", prefix, count);
	report(what, start, n);
}

static void update_some(struct store *store, int64_t users, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(1024 * 1024);
	struct timing start = timing_now();
	int64_t n = users / 100;

	check(store_begin(store, err), err);
	for (int64_t i = 0; i < n; i++) {
		struct user user;

		arena_reset(arena);
		check(store_user_get(store, (int64_t)(mix((uint64_t)i) % (uint64_t)users) + 1,
				     arena, &user, err),
		      err);
		user.version++;
		check(store_user_update(store, &user, err), err);
		add_identity(store, user.id - 1, user.id, err);
		add_audit(store, user.id, err);
	}
	check(store_commit(store, err), err);
	report("change 1 % at random, one commit", start, n ? n : 1);
}

static void measure(struct store *store, const char *path, int64_t users, struct err *err)
{
	int64_t count = 0;
	struct timing start;
	struct stat status;

	check(store_begin(store, err), err);
	check(store_source_ensure(store, "corp", err), err);
	check(store_commit(store, err), err);
	import(store, users, err);
	search(store, "jpetrov1230", 100, err);
	start = timing_now();
	for (int more = 1; more > 0;)
		check(more = store_tidy(store, err), err);
	report("indexes filled in idle time", start, users);
	start = timing_now();
	check(store_checkpoint(store, err), err);
	report("checkpoint of the rest", start, 1);
	if (stat(path, &status) == 0)
		printf("%-34s %8.1f MB\n", "database", (double)status.st_size / 1e6);
	start = timing_now();
	read_random(store, users, 100000, err);
	report("read identity, random key", start, 100000);
	start = timing_now();
	check(store_identity_each(store, "corp", count_head, &count, err), err);
	report("all heads", start, count ? count : 1);
	start = timing_now();
	check(store_active_of_source(store, "corp", &count, err), err);
	report("active users of the source", start, 1);
	start = timing_now();
	check(store_grant_holders(store, GRANT_PROFILE, "analyst", &count, err), err);
	report("holders of a grant all have", start, 1);
	start = timing_now();
	for (int i = 0; i < 1000; i++)
		check(store_active_with_profile(store, "default", "administrator", 1, &count, err),
		      err);
	report("active administrators", start, 1000);
	search(store, "jpetrov1230", 100, err);
	search(store, "j", 100, err);
	update_some(store, users, err);
}

int main(int argc, char **argv)
{
	int64_t users = argc > 1 ? strtoll(argv[1], NULL, 10) : 100000;
	const char *folder = argc > 2 ? argv[2] : "/var/tmp";
	char path[4096], name[4200];
	struct err err = { 0 };
	struct store *store;

	snprintf(path, sizeof(path), "%s/rolebridge-bench-XXXXXX", folder);
	if (!mkdtemp(path)) {
		perror(path);
		return 1;
	}
	snprintf(name, sizeof(name), "%s/store.db", path);
	store = store_open(name, STORE_WRITE, &err);
	if (!store) {
		fprintf(stderr, "bench_store: %s\n", err.text);
		return 1;
	}
	printf("%lld users in %s\n", (long long)users, path);
	measure(store, name, users, &err);
	store_close(store);
	unlink(name);
	rmdir(path);
	return 0;
}
