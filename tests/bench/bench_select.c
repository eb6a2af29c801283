/*
 * What choosing people by filter costs, beside a plain walk over them: N people with ten attributes, a role each
 * third, read once. Usage: bench_select [N]. CPU time of one core, the best of some rounds, and what the process grew
 * by meanwhile. Exit 0 always: goals are reported.
 *
 *	store facts alone	goal 2 times the walk
 *	grants, sign-ins	goal 4 times
 *	attributes		goal 10 times
 */
#include "../../daemon/main/configuration.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>
#include <rolebridge/change/sync.h>
#include <rolebridge/identity/record.h>

#define ROUNDS 5

static const char config_text[] =
	"store: store.db\n"
	"profiles: [{name: administrator}, {name: staff}]\n"
	"segments: [Core]\n"
	"roles: [{name: third, classifications: [Sales], segments: [Core]}]\n"
	"rules:\n"
	"  - {id: third, when: '(departmentNumber=0)', grant: {roles: [third]}}\n"
	"  - {id: other, when: '(&(title=nobody)(l=nowhere)(employeeType=x)(givenName=x)(sn=x))', "
	"grant: {roles: [third]}}\n"
	"policy: {default_profile: staff}\n"
	"sources: [{name: corp, type: ldif, path: /nowhere.ldif}]\n";

static void die_unless(bool fine, const struct err *err)
{
	if (fine)
		return;
	fprintf(stderr, "bench_select: %s\n", err->text);
	exit(1);
}

static int remove_entry(const char *path, const struct stat *info UNUSED, int flag UNUSED,
			struct FTW *at UNUSED)
{
	return remove(path);
}

static void send_person(struct sync *sync, const struct schema *schema, size_t i)
{
	static const char *const names[] = { "cn",	    "departmentNumber",
					     "displayName", "employeeType",
					     "givenName",   "l",
					     "mail",	    "sn",
					     "title",	    "uid" };
	AUTO(strbuf) struct strbuf bytes = STRBUF(1 << 16);
	struct attribute attributes[ARRAY_LEN(names)];
	char values[ARRAY_LEN(names)][64], key[64], dn[96];
	const char *texts[ARRAY_LEN(names)];
	struct identity identity = {
		.key = key, .dn = dn, .disabled_by = "", .groups_complete = true
	};
	size_t count = 0;
	struct err err = { 0 };

	snprintf(key, sizeof(key), "%08zx-0000-4000-8000-%012zx", i, i);
	snprintf(dn, sizeof(dn), "uid=user%zu,ou=people,dc=acme,dc=example", i);
	for (size_t n = 0; n < ARRAY_LEN(names); n++) {
		int id = schema_find(schema, names[n], strlen(names[n]));
		size_t at = count++;

		snprintf(values[n], sizeof(values[n]), "%s %zu", names[n], i);
		if (n == 1)
			snprintf(values[n], sizeof(values[n]), "%zu", i % 3);
		if (n == 6)
			snprintf(values[n], sizeof(values[n]), "user%zu@acme.example", i);
		if (n == 9)
			snprintf(values[n], sizeof(values[n]), "user%zu", i);
		texts[n] = values[n];
		for (; at > 0 && attributes[at - 1].id > id; at--)
			attributes[at] = attributes[at - 1];
		attributes[at] = (struct attribute){ (uint16_t)id, 1, &texts[n] };
	}
	identity.attributes = attributes;
	identity.attribute_count = count;
	record_encode(&identity, schema, &bytes);
	die_unless(sync_identity(sync, bytes.data, bytes.size, &err) == 0, &err);
}

static void fill(struct changer *changer, const struct schema *schema, size_t people)
{
	static const struct actor reader = { .name = "sync:corp", .request = "" };
	struct run_report report;
	struct err err = { 0 };
	struct sync *sync = sync_begin(changer, NULL, "corp", &reader, false, &err);

	die_unless(sync, &err);
	run_report_init(&report);
	for (size_t i = 0; i < people; i++)
		send_person(sync, schema, i);
	die_unless(sync_finish(sync, true, "", "", &report, &err) == 0, &err);
	run_report_finish(&report);
}

static double cpu_s(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6 +
	       (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6;
}

static long peak_kib(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_maxrss;
}

static int count_one(void *context, const struct user *user UNUSED, struct arena *arena UNUSED,
		     struct err *err UNUSED)
{
	++*(int64_t *)context;
	return 0;
}

static double plain_walk(struct store *store)
{
	double best = 1e9;

	for (int round = 0; round < ROUNDS; round++) {
		struct user_query query = { .active = -1, .limit = 500 };
		double begun = cpu_s();
		size_t count;

		do {
			AUTO(arena) struct arena *arena = arena_create(64 << 20);
			struct user *users;
			struct err err = { 0 };

			die_unless(store_user_list(store, &query, arena, &users, &count, &err) == 0,
				   &err);
			query.after_id = count ? users[count - 1].id : 0;
		} while (count == query.limit);
		best = cpu_s() - begun < best ? cpu_s() - begun : best;
	}
	return best;
}

static double choose(struct setup *setup, struct store *store, const char *filter,
		     int64_t *ret_chosen)
{
	const struct selection_options options = { .now_s = clock_now_s(), .sensitive = true };
	double best = 1e9;

	for (int round = 0; round < ROUNDS; round++) {
		AUTO(selection) struct selection *selection = NULL;
		struct selection_walk walk = { .query = { .active = -1 }, .scan_max = SIZE_MAX };
		double begun = cpu_s();
		struct err err = { 0 };

		*ret_chosen = 0;
		die_unless(selection_compile(setup, store, filter, &options, &selection, NULL,
					     &err) == 0 &&
				   selection_walk(selection, store, &walk, count_one, ret_chosen,
						  &err) == 0,
			   &err);
		best = cpu_s() - begun < best ? cpu_s() - begun : best;
	}
	return best;
}

static const struct measured {
	const char *filter;
	double goal;
} filters[] = {
	{ "(state=active)", 2 },	{ "(&(username=*99)(created>=-30d))", 2 },
	{ "(role=third)", 4 },		{ "(lastSignIn>=-30d)", 4 },
	{ "(departmentNumber=0)", 10 }, { "(|(title=*9)(&(l=l 7*)(role=third)))", 10 },
};

int main(int argc, char **argv)
{
	size_t people = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000;
	const struct document_file file = { "bench.yaml", config_text, sizeof(config_text) - 1 };
	AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
	char folder[] = "/tmp/rolebridge-bench-XXXXXX", path[64];
	struct configuration *config =
		configuration_load("bench.yaml", &file, 1, NULL, NULL, list, NULL);
	struct changer *changer;
	struct store *store;
	struct err err = { 0 };
	double walk;

	if (!config || !mkdtemp(folder))
		exit(1);
	snprintf(path, sizeof(path), "%s/store.db", folder);
	changer = changer_open(path, &config->setup, &err);
	die_unless(changer, &err);
	fill(changer, config->schema, people);
	store = store_open(path, STORE_READ, &err);
	die_unless(store && store_begin(store, &err) == 0, &err);
	walk = plain_walk(store);
	printf("plain walk over %zu people: %.2f us each\n", people, walk * 1e6 / (double)people);
	for (size_t i = 0; i < ARRAY_LEN(filters); i++) {
		long before = peak_kib();
		int64_t chosen;
		double took = choose(&config->setup, store, filters[i].filter, &chosen);

		printf("%-40s %8lld chosen  %.2f us each, %.0f people/s, %.1f times the walk (goal "
		       "%.0f), grew %ld KiB\n",
		       filters[i].filter, (long long)chosen, took * 1e6 / (double)people,
		       (double)people / took, took / walk, filters[i].goal, peak_kib() - before);
	}
	store_rollback(store);
	store_close(store);
	changer_close(changer);
	setup_release(&config->setup);
	nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	return 0;
}
