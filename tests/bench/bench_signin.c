/*
 * Signing in but for Argon2: N people whose password was right are given a session that asks for a second factor, and
 * prove it with a code of their authenticator app, which gives them another token. Both are transactions with audit rows;
 * many at once share commits, as requests do. CPU of the whole process, for one core. Usage: bench_signin [N [threads]]
 */
#include "../../daemon/main/configuration.h"

#include <ftw.h>
#include <inttypes.h>
#include <liboath/oath.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <rolebridge/auth/factor.h>
#include <rolebridge/auth/sessions.h>
#include <rolebridge/auth/throttle.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>
#include <rolebridge/change/password.h>

#define GOAL 2000

static struct changer *changer;
static struct sessions *sessions;
static struct factor_parts parts;
static char path[96];
static int64_t now_s;
static size_t count, thread_count;

struct one {
	int64_t user_id, session_id;
	unsigned char secret[TOTP_SECRET_BYTES];
	char token[SESSION_TOKEN_TEXT];
};
static struct one *people;

static void die_unless(bool fine, const char *what, const struct err *err)
{
	if (fine)
		return;
	fprintf(stderr, "%s: %s\n", what, err->text);
	exit(1);
}

static int remove_entry(const char *name, const struct stat *info UNUSED, int flag UNUSED,
			struct FTW *at UNUSED)
{
	return remove(name);
}

static void add_factor(struct store *store, struct one *one, struct arena *arena)
{
	struct factor_row row = { .uuid = uuid_create(now_s * 1000),
				  .user_id = one->user_id,
				  .method = FACTOR_TOTP,
				  .name = "App",
				  .version = 1,
				  .confirmed_s = now_s,
				  .hint = "",
				  .credential = "",
				  .public_key = "",
				  .created_s = now_s };
	struct err err = { 0 };

	totp_secret_make(one->secret);
	die_unless(seal_close(parts.seal, factor_method_name(FACTOR_TOTP), &row.uuid, one->secret,
			      sizeof(one->secret), arena, &row.sealed, &row.sealed_size,
			      &row.key_id, &err) == 0 &&
			   store_factor_insert(store, &row, &err) == 0,
		   "factor", &err);
}

static void make_people(void)
{
	struct err err = { 0 };
	struct store *store = store_open(path, STORE_WRITE, &err);
	AUTO(arena) struct arena *arena = arena_create((size_t)1 << 30);
	char name[32], email[48];

	die_unless(store && arena && store_begin(store, &err) == 0 &&
			   store_organization_ensure(store, "default", &err) == 0,
		   "store", &err);
	for (size_t i = 0; i < count; i++) {
		struct user user = { .uuid = uuid_create(now_s * 1000),
				     .organization = "default",
				     .username = name,
				     .email = email,
				     .display_name = "Anna Maria Example",
				     .profile = "staff",
				     .version = 1 };
		struct password_row password = { .hash = "$argon2id$",
						 .version = 1,
						 .set_s = now_s };

		snprintf(name, sizeof(name), "user%zu", i);
		snprintf(email, sizeof(email), "user%zu@acme.example", i);
		die_unless(store_user_insert(store, &user, &err) == 0, "user", &err);
		password.user_id = people[i].user_id = user.id;
		die_unless(store_password_put(store, &password, &err) == 0, "password", &err);
		add_factor(store, &people[i], arena);
	}
	die_unless(store_commit(store, &err) == 0, "commit", &err);
	store_close(store);
}

/* --- the two steps --- */

static void sign_in(struct one *one, struct store *store, struct arena *arena)
{
	const struct actor actor = { .name = "local", .request = "" };
	struct local_login login = { .user_id = one->user_id,
				     .version = 1,
				     .address = "192.0.2.1",
				     .agent = "bench",
				     .until_s = now_s + 3600,
				     .now_s = now_s };
	struct login_outcome outcome;
	struct err err = { 0 };

	(void)store;
	session_token_make(one->token, &login.token);
	die_unless(change_login_local(changer, &actor, &login, arena, &outcome, &err) == 0, "login",
		   &err);
	if (outcome.refused[0] || outcome.session.stage != SESSION_FACTOR) {
		fprintf(stderr, "stage %d, refused '%s'\n", (int)outcome.session.stage,
			outcome.refused);
		exit(1);
	}
	one->session_id = outcome.session.id;
	die_unless(sessions_add(sessions, &outcome.session, &login.token, &err) == 0, "session",
		   &err);
}

static void prove(struct one *one, struct store *store, struct arena *arena)
{
	const struct actor actor = { .name = "user", .request = "" };
	struct factor_asker asker = { .actor = &actor,
				      .user_id = one->user_id,
				      .session_id = one->session_id,
				      .address = "192.0.2.1",
				      .now_s = now_s };
	char code[TOTP_DIGITS + 1], token[SESSION_TOKEN_TEXT];
	struct session session;
	struct session_view view;
	struct err err = { 0 };

	oath_totp_generate((const char *)one->secret, sizeof(one->secret), (time_t)now_s, 0, 0,
			   TOTP_DIGITS, code);
	session_token_make(token, &asker.token);
	die_unless(factor_prove_totp(&parts, &asker, store, code, arena, &session, NULL, &err) == 0,
		   "code", &err);
	die_unless(sessions_find(sessions, token, "", now_s, &view, &err) == 0, "new token", &err);
	session_view_release(&view);
	if (sessions_find(sessions, one->token, "", now_s, &view, &err) == 0) {
		fprintf(stderr, "the old token is good\n");
		exit(1);
	}
}

static atomic_size_t next_one;
static void (*step)(struct one *one, struct store *store, struct arena *arena);

static void *work(void *context UNUSED)
{
	struct err err = { 0 };
	struct store *store = store_open(path, STORE_READ, &err);
	size_t i;

	die_unless(store, "store", &err);
	while ((i = atomic_fetch_add(&next_one, 1)) < count) {
		AUTO(arena) struct arena *arena = arena_create((size_t)1 << 20);

		step(&people[i], store, arena);
	}
	store_close(store);
	return NULL;
}

static double cpu_us(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

/* CPU in microseconds of one. */
static double run(const char *what, void (*what_step)(struct one *, struct store *, struct arena *))
{
	pthread_t threads[64];
	double cpu = cpu_us();
	int64_t wall_us = clock_monotonic_us();

	step = what_step;
	atomic_store(&next_one, 0);
	for (size_t i = 0; i < thread_count; i++)
		if (pthread_create(&threads[i], NULL, work, NULL) != 0)
			exit(1);
	for (size_t i = 0; i < thread_count; i++)
		pthread_join(threads[i], NULL);
	cpu = (cpu_us() - cpu) / (double)count;
	wall_us = clock_monotonic_us() - wall_us;
	printf("%-44s %6.0f us CPU, %6.0f a second and core; %6.0f a second by the wall\n", what,
	       cpu, 1e6 / cpu, (double)count * 1e6 / (double)wall_us);
	return cpu;
}

/* The look at a code alone: the secret unsealed, three steps compared. */
static void check_alone(void)
{
	int64_t step_found, begun = clock_monotonic_us();
	char code[TOTP_DIGITS + 1];
	bool replayed;

	oath_totp_generate((const char *)people[0].secret, sizeof(people[0].secret), (time_t)now_s,
			   0, 0, TOTP_DIGITS, code);
	for (int i = 0; i < 10000; i++)
		if (!totp_check(people[0].secret, sizeof(people[0].secret), code, now_s, 0,
				&step_found, &replayed))
			exit(1);
	printf("%-44s %6.1f us\n", "a code looked at, without its seal",
	       (double)(clock_monotonic_us() - begun) / 1e4);
}

static void open_parts(const char *folder, struct configuration *config)
{
	const struct sessions_settings settings = { .idle_s = 3600, .absolute_s = 43200 };
	/* All come from one address, which nobody does. */
	const struct throttle_settings throttle = {
		.attempts = 5, .delay_s = 1, .delay_max_s = 900, .address_attempts = 1000000
	};
	char key[96];
	struct err err = { 0 };

	snprintf(path, sizeof(path), "%s/store.db", folder);
	snprintf(key, sizeof(key), "%s/sealing.key", folder);
	parts.seal = seal_create(key, true, &err);
	die_unless(parts.seal, "seal", &err);
	parts.throttle = throttle_create(&throttle, &err);
	die_unless(parts.throttle, "throttle", &err);
	make_people();
	changer = parts.changer = changer_open(path, &config->setup, &err);
	die_unless(changer, "open", &err);
	sessions = sessions_create(changer, &settings, &err);
	die_unless(sessions, "sessions", &err);
}

int main(int argc, char **argv)
{
	static const char yaml[] = "profiles: [{name: administrator}, {name: staff}]\n"
				   "policy: {default_profile: staff}\n"
				   "second_factor: {required: all}\n";
	struct document_file file = { "bench.yaml", yaml, strlen(yaml) };
	AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
	struct configuration *config =
		configuration_load("bench.yaml", &file, 1, NULL, NULL, list, NULL);
	char folder[] = "/tmp/rolebridge-bench-XXXXXX";
	double cpu;

	count = argc > 1 ? strtoul(argv[1], NULL, 10) : 5000;
	thread_count = argc > 2 ? strtoul(argv[2], NULL, 10) : 32;
	people = calloc(count + 1, sizeof(*people));
	if (!config || !mkdtemp(folder) || !people || count == 0 || thread_count - 1 >= 64) {
		diagnostics_print(list, NULL, stderr);
		return 1;
	}
	now_s = clock_now_s();
	open_parts(folder, config);
	check_alone();
	cpu = run("session after the first factor", sign_in);
	cpu += run("code proven, session complete, new token", prove);
	printf("%-44s %6.0f us CPU, %6.0f a second and core (goal %d)\n", "both", cpu, 1e6 / cpu,
	       GOAL);
	sessions_destroy(sessions);
	changer_close(changer);
	throttle_destroy(parts.throttle);
	seal_destroy(parts.seal);
	setup_release(&config->setup);
	free(people);
	nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	return 0;
}
