/*
 * The hot path of forward-auth without HTTP: N sessions of N people are opened, found in random order
 * by one thread and by two, and ended. Says what a look-up takes beside the one BLAKE2b in it, what a
 * session weighs, and what is left when all have ended. Usage: bench_sessions [N [look-ups]]
 */
#include "../../daemon/main/configuration.h"

#include <ftw.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rolebridge/auth/sessions.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>

#include "../../daemon/auth/table.h"

#define NOW 1800000000

static struct changer *changer;
static struct sessions *sessions;
static char (*tokens)[SESSION_TOKEN_TEXT];
static int64_t *users;
static size_t count, look_ups;

static void die_unless(bool fine, const char *what, const struct err *err)
{
	if (fine)
		return;
	fprintf(stderr, "%s: %s\n", what, err->text);
	exit(1);
}

static int remove_entry(const char *path, const struct stat *info UNUSED, int flag UNUSED,
			struct FTW *at UNUSED)
{
	return remove(path);
}

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static long resident_kib(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	long pages = 0;

	if (file && fscanf(file, "%*d %ld", &pages) != 1)
		pages = 0;
	if (file)
		fclose(file);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static size_t allocated(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}

static void make_users(const char *path)
{
	struct err err = { 0 };
	struct store *store = store_open(path, STORE_WRITE, &err);
	char name[32], email[48];

	die_unless(store && store_begin(store, &err) == 0 &&
			   store_organization_ensure(store, "default", &err) == 0,
		   "store", &err);
	for (size_t i = 0; i < count; i++) {
		struct user user = { .uuid = uuid_create(NOW * 1000LL),
				     .organization = "default",
				     .username = name,
				     .email = email,
				     .display_name = "Anna Maria Example",
				     .profile = "staff",
				     .version = 1 };
		struct grant grant = { .kind = GRANT_ROLE,
				       .name = i % 2 ? "sales" : "ops",
				       .origin = ORIGIN_HAND,
				       .origin_id = "unix:root",
				       .origin_source = "" };

		snprintf(name, sizeof(name), "user%zu", i);
		snprintf(email, sizeof(email), "user%zu@acme.example", i);
		die_unless(store_user_insert(store, &user, &err) == 0 &&
				   store_grant_add(store, user.id, &grant, &err) == 0,
			   "user", &err);
		users[i] = user.id;
	}
	die_unless(store_commit(store, &err) == 0, "commit", &err);
	store_close(store);
}

static void open_sessions(void)
{
	struct err err = { 0 };

	for (size_t i = 0; i < count; i++) {
		struct session session = { .id = (int64_t)i + 1,
					   .uuid = uuid_create(NOW * 1000LL),
					   .user_id = users[i],
					   .source = "corp",
					   .created_s = NOW,
					   .seen_s = NOW,
					   .until_s = NOW + 10000 };
		struct hash256 hash;

		session_token_hash(tokens[i], &hash);
		die_unless(sessions_add(sessions, &session, &hash, &err) == 0, "add", &err);
	}
}

static void find_one(size_t i)
{
	struct session_view view;
	struct err err;

	die_unless(sessions_find(sessions, tokens[i], "", NOW + 1, &view, &err) == 0, "find", &err);
	session_view_release(&view);
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* One thread's look-ups in random order; returns nanoseconds each, sorted. */
static void *find_many(void *context)
{
	uint64_t random = (uint64_t)(uintptr_t)context * 2654435761u + 1;
	int64_t *took = calloc(look_ups, sizeof(*took));

	for (size_t i = 0; took && i < look_ups; i++) {
		int64_t begun;

		random = random * 6364136223846793005u + 1442695040888963407u;
		begun = now_ns();
		find_one((size_t)(random >> 33) % count);
		took[i] = now_ns() - begun;
	}
	if (took)
		qsort(took, look_ups, sizeof(*took), compare);
	return took;
}

static void find_by(size_t threads)
{
	pthread_t thread[8];
	int64_t begun = now_ns(), wall;
	int64_t *took[8];

	for (uintptr_t i = 0; i < threads; i++)
		if (pthread_create(&thread[i], NULL, find_many, (void *)(i + 1)) != 0)
			exit(1);
	for (size_t i = 0; i < threads; i++)
		pthread_join(thread[i], (void **)&took[i]);
	wall = now_ns() - begun;
	printf("found by %zu thread(s): p50 %lld ns, p99 %lld ns, %.2f million a second\n", threads,
	       (long long)took[0][look_ups / 2], (long long)took[0][look_ups / 100 * 99],
	       (double)(look_ups * threads) * 1e3 / (double)wall);
	for (size_t i = 0; i < threads; i++)
		free(took[i]);
}

static void hash_alone(void)
{
	int64_t begun = now_ns();
	struct hash256 hash;
	unsigned sum = 0;

	for (size_t i = 0; i < look_ups; i++) {
		session_token_hash(tokens[i % count], &hash);
		sum += hash.byte[0];
	}
	printf("the hash alone: %.0f ns%s\n", (double)(now_ns() - begun) / (double)look_ups,
	       sum ? "" : " ");
}

static void end_all(void)
{
	struct change_observer tell = table_observer(sessions);
	int64_t begun = now_ns();
	struct err err = { 0 };

	die_unless(sessions_tick(sessions, NOW + 2, &err) == 0, "tick", &err);
	printf("timer, all seen: %.0f ms\n", (double)(now_ns() - begun) / 1e6);
	begun = now_ns();
	for (size_t i = 0; i < count; i++)
		tell.ended(tell.context, (int64_t)i + 1);
	printf("ended: %.0f ns a session\n", (double)(now_ns() - begun) / (double)count);
	die_unless(sessions_tick(sessions, NOW + 100, &err) == 0, "tick", &err);
}

static void measure(void)
{
	size_t empty = allocated(), opened, known;
	long resident = resident_kib(), left;
	int64_t begun = now_ns();

	open_sessions();
	opened = allocated();
	printf("opened: %.0f ns, %zu bytes a session\n", (double)(now_ns() - begun) / (double)count,
	       (opened - empty) / count);
	begun = now_ns();
	for (size_t i = 0; i < count; i++)
		find_one(i);
	known = allocated();
	printf("found first, the person read from the store: %.1f us, %zu bytes a person\n",
	       (double)(now_ns() - begun) / 1e3 / (double)count, (known - opened) / count);
	hash_alone();
	find_by(1);
	find_by(2);
	end_all();
	left = (long)allocated() - (long)empty;
	printf("all ended: %ld KiB allocated more than before, %ld KiB resident more\n",
	       left / 1024, resident_kib() - resident);
}

int main(int argc, char **argv)
{
	static const char yaml[] =
		"profiles: [{name: administrator}, {name: staff}]\nsegments: [Core]\n"
		"roles:\n  - {name: sales, classifications: [Sales], segments: [Core]}\n"
		"  - {name: ops, classifications: [Support], segments: [Core]}\n"
		"policy: {default_profile: staff}\n";
	struct document_file file = { "bench.yaml", yaml, strlen(yaml) };
	AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
	struct configuration *config = configuration_load("bench.yaml", &file, 1, NULL, list, NULL);
	struct sessions_settings settings = { .idle_s = 3600, .absolute_s = 43200 };
	char folder[] = "/tmp/rolebridge-bench-XXXXXX", path[64];
	struct err err = { 0 };
	struct hash256 hash;

	count = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000;
	look_ups = argc > 2 ? strtoul(argv[2], NULL, 10) : 1000000;
	tokens = calloc(count + 1, sizeof(*tokens));
	users = calloc(count + 1, sizeof(*users));
	if (!config || !mkdtemp(folder) || !tokens || !users || count == 0 || look_ups == 0) {
		diagnostics_print(list, NULL, stderr);
		return 1;
	}
	snprintf(path, sizeof(path), "%s/store.db", folder);
	for (size_t i = 0; i < count; i++)
		session_token_make(tokens[i], &hash);
	make_users(path);
	changer = changer_open(path, &config->setup, &err);
	die_unless(changer, "open", &err);
	sessions = sessions_create(changer, &settings, &err);
	die_unless(sessions, "sessions", &err);
	printf("%zu sessions\n", count);
	measure();
	changer_close(changer);
	sessions_destroy(sessions);
	setup_release(&config->setup);
	free(tokens);
	free(users);
	nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	return 0;
}
