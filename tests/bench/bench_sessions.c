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

/* Without the pages of files, which the system takes back as it likes. */
static long resident_kib(void)
{
	FILE *file = fopen("/proc/self/status", "r");
	char line[128];
	long kib = 0;

	while (file && fgets(line, sizeof(line), file))
		if (strncmp(line, "RssAnon:", 8) == 0)
			kib = strtol(line + 8, NULL, 10);
	if (file)
		fclose(file);
	return kib;
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

/* How many look-ups took so many times 10 ns; the last one: or more. */
struct histogram {
	uint64_t seed;
	size_t took[10000];
};

static void *find_many(void *context)
{
	struct histogram *histogram = context;
	uint64_t random = histogram->seed * 2654435761u + 1;

	for (size_t i = 0; i < look_ups; i++) {
		size_t slot;
		int64_t begun;

		random = random * 6364136223846793005u + 1442695040888963407u;
		begun = now_ns();
		find_one((size_t)(random >> 33) % count);
		slot = (size_t)(now_ns() - begun) / 10;
		histogram->took[slot < 10000 ? slot : 9999]++;
	}
	return NULL;
}

static long percentile(const struct histogram *histogram, size_t percent)
{
	size_t slot = 0;

	for (size_t seen = 0; slot < 9999; slot++) {
		seen += histogram->took[slot];
		if (seen >= look_ups / 100 * percent)
			break;
	}
	return (long)slot * 10;
}

static void find_by(size_t threads)
{
	static struct histogram histograms[8];
	pthread_t thread[8];
	int64_t begun = now_ns(), wall;

	memset(histograms, 0, sizeof(histograms));
	for (size_t i = 0; i < threads; i++) {
		histograms[i].seed = i + 1;
		if (pthread_create(&thread[i], NULL, find_many, &histograms[i]) != 0)
			exit(1);
	}
	for (size_t i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	wall = now_ns() - begun;
	printf("found by %zu thread(s): p50 %ld ns, p99 %ld ns, %.2f million a second\n", threads,
	       percentile(&histograms[0], 50), percentile(&histograms[0], 99),
	       (double)(look_ups * threads) * 1e3 / (double)wall);
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

/* The writer's idle jobs over the new users move memory, too: wait until they are done. */
static size_t allocated_at_rest(void)
{
	size_t before, now = allocated();

	do {
		before = now;
		usleep(500000);
		now = allocated();
	} while (now != before);
	malloc_trim(0);
	return now;
}

static void measure(void)
{
	size_t empty = allocated_at_rest(), opened, known;
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
	struct configuration *config =
		configuration_load("bench.yaml", &file, 1, NULL, NULL, list, NULL);
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
	sessions_destroy(sessions);
	changer_close(changer);
	setup_release(&config->setup);
	free(tokens);
	free(users);
	nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	return 0;
}
