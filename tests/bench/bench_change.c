/*
 * What planning and applying cost per person, without a directory: N people with ten attributes and
 * some groups, first sync, nothing changed, 1 % changed, from records made before the clock starts.
 * Memory is what the process grew by. Usage: bench_change
 * [N [rules [WORD...]]]; hand: a person disables and enables somebody meanwhile; sorted: people come in
 * the order of their keys, not in random order; once: the first sync alone; changes: after it what a
 * followed directory tells: one change at a time, bursts of 100, 10,000 people whose groups change, the same
 * beside a held plan of 60 % of all people.
 */
#include "../../daemon/main/configuration.h"

#include <dirent.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>
#include <rolebridge/change/sync.h>
#include <rolebridge/identity/record.h>

struct records {
	struct strbuf bytes;
	size_t *ends;
	size_t count;
};

static struct group_registry *registry;
static bool sorted, once, changes;
static struct changer *changer;
static const struct actor reader_actor = { .name = "sync:corp", .request = "" };
static const struct actor person_actor = { .name = "unix:root", .request = "", .is_person = true };

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

static void make_record(struct records *records, const struct schema *schema, size_t i,
			unsigned generation)
{
	static const char *const names[] = { "cn",	    "departmentNumber",
					     "displayName", "employeeType",
					     "givenName",   "l",
					     "mail",	    "sn",
					     "title",	    "uid" };
	struct attribute attributes[ARRAY_LEN(names)];
	char values[ARRAY_LEN(names)][64], key[40];
	const char *texts[ARRAY_LEN(names)];
	uint32_t groups[8];
	size_t count = 0, group_count = 0;
	struct identity identity = { .key = key, .disabled_by = "", .groups_complete = true };
	char dn[96];

	snprintf(key, sizeof(key), "%08zx-0000-4000-8000-%012zx",
		 sorted ? i : i * 2654435761u % 0xffffffff, i);
	snprintf(dn, sizeof(dn), "uid=user%zu,ou=people,dc=acme,dc=example", i);
	identity.dn = dn;
	for (size_t n = 0; n < ARRAY_LEN(names); n++) {
		int id = schema_find(schema, names[n], strlen(names[n]));
		size_t at = count;

		if (id < 0)
			continue;
		snprintf(values[n], sizeof(values[n]), "%s %zu", names[n], n == 1 ? i % 300 : i);
		if (strcmp(names[n], "uid") == 0)
			snprintf(values[n], sizeof(values[n]), "user%zu", i);
		if (strcmp(names[n], "mail") == 0)
			snprintf(values[n], sizeof(values[n]), "user%zu@acme.example", i);
		if (strcmp(names[n], "title") == 0)
			snprintf(values[n], sizeof(values[n]), "%s %u",
				 i % 7 ? "engineer" : "intern", generation);
		texts[n] = values[n];
		while (at > 0 && attributes[at - 1].id > id) {
			attributes[at] = attributes[at - 1];
			at--;
		}
		attributes[at] = (struct attribute){ (uint16_t)id, 1, &texts[n] };
		count++;
	}
	for (size_t g = 0; g < group_registry_count(registry) && group_count < 3; g++)
		if ((i + g) % 97 == 0 || (i * 31 + g) % 211 == 0)
			groups[group_count++] = group_registry_at(registry, g)->id;
	identity.attributes = attributes;
	identity.attribute_count = count;
	identity.groups = groups;
	identity.group_count = group_count;
	record_encode(&identity, schema, &records->bytes);
	records->ends[records->count++] = records->bytes.size;
}

static const char *make_rules(int count)
{
	static struct strbuf yaml = { .max = 64 << 20 };

	strbuf_clear(&yaml);
	strbuf_puts(&yaml, "profiles: [{name: administrator}, {name: manager}, {name: staff}]\n"
			   "segments: [Core]\nroles:\n");
	for (int i = 0; i < 20; i++)
		strbuf_printf(&yaml,
			      "  - {name: r%d, classifications: [Sales], segments: [Core]}\n", i);
	strbuf_puts(&yaml, "rules:\n");
	for (int i = 0; i < count; i++)
		strbuf_printf(
			&yaml,
			i % 5 ? "  - {id: g%d, groups: ['cn=g%d,dc=x'], grant: {roles: [r%d]}}\n"
			      : "  - {id: a%d, when: '(departmentNumber=departmentNumber %d)', "
				"grant: {roles: [r%d]}}\n",
			i, i, i % 20);
	strbuf_puts(&yaml, changes ? "policy: {default_profile: staff, limits: {removals_min: "
				     "1000000, group_size_min: 1000000}}\n"
				   : "policy: {default_profile: staff}\n");
	strbuf_puts(&yaml, "sources: [{name: corp, type: ldif, path: /nowhere.ldif}]\n");
	return strbuf_text(&yaml);
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

static double cpu_s(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6 +
	       (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6;
}

static double thread_cpu_s(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6 +
	       (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6;
}

/* Of the thread that writes. */
static double writer_cpu_s(void)
{
	AUTO(strbuf) struct strbuf path = STRBUF(1024);
	DIR *tasks = opendir("/proc/self/task");
	unsigned long long ns = 0;

	for (struct dirent *task; tasks && (task = readdir(tasks));) {
		char name[16] = "";
		FILE *file;

		strbuf_clear(&path);
		strbuf_printf(&path, "/proc/self/task/%s/comm", task->d_name);
		file = fopen(strbuf_text(&path), "re");
		if (!file)
			continue;
		if (!fgets(name, sizeof(name), file))
			name[0] = 0;
		fclose(file);
		if (strcmp(name, "writer\n") != 0)
			continue;
		strbuf_clear(&path);
		strbuf_printf(&path, "/proc/self/task/%s/schedstat", task->d_name);
		file = fopen(strbuf_text(&path), "re");
		if (file && fscanf(file, "%llu", &ns) != 1)
			ns = 0;
		if (file)
			fclose(file);
	}
	if (tasks)
		closedir(tasks);
	return (double)ns / 1e9;
}

static struct {
	bool stop, wanted;
	int64_t worst_us, count;
} hand;

/* A person's requests while the plan is applied. */
static void *disable_now_and_then(void *context UNUSED)
{
	while (!__atomic_load_n(&hand.stop, __ATOMIC_ACQUIRE) && hand.wanted) {
		int64_t begun = clock_monotonic_us(), took;
		struct err err;

		if (change_user_disable(changer, &person_actor, "user1", "", &err) == 0) {
			change_user_enable(changer, &person_actor, "user1", &err);
			took = (clock_monotonic_us() - begun) / 2;
			hand.worst_us = took > hand.worst_us ? took : hand.worst_us;
			hand.count++;
		}
		usleep(5000);
	}
	return NULL;
}

static struct sync *read_all(const struct records *records)
{
	struct err err = { 0 };
	struct sync *sync = sync_begin(changer, NULL, "corp", &reader_actor, false, &err);

	die_unless(sync, "begin", &err);
	for (size_t i = 0, at = 0; i < records->count; at = records->ends[i++])
		die_unless(sync_identity(sync, records->bytes.data + at, records->ends[i] - at,
					 &err) == 0,
			   "identity", &err);
	for (size_t i = 0; i < group_registry_count(registry); i++)
		die_unless(sync_group(sync, group_registry_at(registry, i)->id, true, 1000, &err) ==
				   0,
			   "group", &err);
	return sync;
}

static void run(const char *what, const struct records *records)
{
	long before = resident_kib(), middle;
	int64_t begun = clock_monotonic_us(), read;
	double cpu = cpu_s(), reader = thread_cpu_s(), reader_end, driver;
	double writer = writer_cpu_s(), drafted, written;
	struct sync *sync = read_all(records);
	struct run_report report;
	struct err err = { 0 };
	pthread_t thread;

	reader_end = driver = thread_cpu_s();
	drafted = writer_cpu_s();
	read = clock_monotonic_us();
	middle = resident_kib();
	run_report_init(&report);
	hand.stop = false;
	hand.worst_us = hand.count = 0;
	if (pthread_create(&thread, NULL, disable_now_and_then, NULL) != 0)
		exit(1);
	die_unless(sync_finish(sync, true, "", "", &report, &err) == 0, "finish", &err);
	driver = thread_cpu_s() - driver;
	written = writer_cpu_s();
	__atomic_store_n(&hand.stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	printf("%-12s plan %.2f us/person, finish %.2f; cpu: reader %.2f, its writer %.2f, driver "
	       "%.2f, writer %.2f, all %.2f; created %lld changed %lld held %lld; grew %ld B/person; "
	       "hand: worst %.1f ms of %lld\n",
	       what, (double)(read - begun) / (double)records->count,
	       (double)(clock_monotonic_us() - read) / (double)records->count,
	       (reader_end - reader) * 1e6 / (double)records->count,
	       (drafted - writer) * 1e6 / (double)records->count,
	       driver * 1e6 / (double)records->count,
	       (written - drafted) * 1e6 / (double)records->count,
	       (cpu_s() - cpu) * 1e6 / (double)records->count, (long long)report.created,
	       (long long)report.updated, (long long)report.held,
	       (middle - before) * 1024 / (long)records->count, (double)hand.worst_us / 1000,
	       (long long)hand.count);
	run_report_finish(&report);
}

/* --- a followed directory --- */

enum told { TOLD_RECORD, TOLD_GROUPS, TOLD_GONE, TOLD_BACK };

static void key_of(const struct records *records, size_t i, const char **ret_key, size_t *ret_size)
{
	size_t at = i ? records->ends[i - 1] : 0;
	struct err err = { 0 };

	die_unless(record_key(records->bytes.data + at, records->ends[i] - at, ret_key, ret_size,
			      &err) == 0,
		   "key", &err);
}

static void tell_one(struct sync *sync, const struct records *records, const struct schema *schema,
		     size_t i, enum told told, unsigned generation)
{
	AUTO(strbuf) struct strbuf bytes = STRBUF(1 << 20);
	size_t end, at = i ? records->ends[i - 1] : 0, size;
	struct records fresh = { .bytes = bytes, .ends = &end };
	uint32_t group = group_registry_at(registry, generation % 16)->id;
	struct err err = { 0 };
	const char *key;

	key_of(records, i, &key, &size);
	switch (told) {
	case TOLD_RECORD:
		make_record(&fresh, schema, i, generation);
		bytes = fresh.bytes;
		die_unless(sync_identity(sync, bytes.data, bytes.size, &err) == 0, "record", &err);
		return;
	case TOLD_GROUPS:
		die_unless(sync_groups(sync, key, size, &group, 1, true, &err) == 0, "groups",
			   &err);
		return;
	case TOLD_GONE: die_unless(sync_gone(sync, key, size, &err) == 0, "gone", &err); return;
	case TOLD_BACK:
		die_unless(sync_identity(sync, records->bytes.data + at, records->ends[i] - at,
					 &err) == 0,
			   "back", &err);
	}
}

static int compare_times(const void *a, const void *b)
{
	const int64_t *left = a, *right = b;

	return (*left > *right) - (*left < *right);
}

#define TIMES_MAX 1000

static void tell(const char *what, const struct records *records, const struct schema *schema,
		 size_t times, size_t people, enum told told)
{
	/* 60 % may be gone: those in front. */
	size_t present = told == TOLD_GONE ? records->count : records->count * 4 / 10;
	static unsigned generation = 10;
	static int64_t took[TIMES_MAX];
	double cpu = cpu_s();
	int64_t held = 0, updated = 0;

	for (size_t t = 0; t < times; t++) {
		int64_t begun = clock_monotonic_us();
		struct err err = { 0 };
		struct sync *sync = sync_begin_changes(changer, "corp", &reader_actor, &err);
		struct run_report report;

		die_unless(sync, "begin", &err);
		generation++;
		for (size_t i = 0; i < people; i++)
			tell_one(sync, records, schema,
				 told == TOLD_GONE ? i
						   : records->count - 1 - (t * 7919 + i) % present,
				 told, generation);
		run_report_init(&report);
		die_unless(sync_finish(sync, true, "", "", &report, &err) == 0, "finish", &err);
		held += report.held;
		updated += report.updated;
		run_report_finish(&report);
		took[t] = clock_monotonic_us() - begun;
	}
	qsort(took, times, sizeof(*took), compare_times);
	printf("%-22s %5zu x %6zu: wall median %.3f ms, p95 %.3f, worst %.3f; %.1f us/person; cpu "
	       "%.1f us/person; changed %lld, held %lld\n",
	       what, times, people, (double)took[times / 2] / 1000,
	       (double)took[times * 95 / 100] / 1000, (double)took[times - 1] / 1000,
	       (double)took[times / 2] / (double)people,
	       (cpu_s() - cpu) * 1e6 / (double)(times * people), (long long)updated,
	       (long long)held);
}

static void follow(const struct records *records, const struct schema *schema)
{
	size_t large = records->count < 25000 ? records->count * 4 / 10 : 10000;

	/* What waits for idle time (indexes) is not what is measured. */
	sleep(3);
	tell("nothing", records, schema, 500, 1, TOLD_BACK);
	tell("one record", records, schema, 500, 1, TOLD_RECORD);
	tell("one, groups", records, schema, 500, 1, TOLD_GROUPS);
	tell("burst of 100 records", records, schema, 50, 100, TOLD_RECORD);
	tell("burst of 100, groups", records, schema, 50, 100, TOLD_GROUPS);
	tell("500, groups", records, schema, 20, 500, TOLD_GROUPS);
	tell("10,000, groups", records, schema, 5, large, TOLD_GROUPS);
	tell("60 % gone", records, schema, 1, records->count * 6 / 10, TOLD_GONE);
	tell("one, groups", records, schema, 500, 1, TOLD_GROUPS);
	tell("burst of 100, groups", records, schema, 50, 100, TOLD_GROUPS);
}

int main(int argc, char **argv)
{
	size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000;
	int rules = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 1000;
	struct records records = { .bytes = STRBUF((size_t)4 << 30) };
	char folder[] = "/tmp/rolebridge-bench-XXXXXX", path[64];
	AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
	struct document_file file = { .path = "bench.yaml" };
	struct configuration *config;
	struct err err = { 0 };

	for (int i = 3; i < argc; i++) {
		hand.wanted |= strcmp(argv[i], "hand") == 0;
		sorted |= strcmp(argv[i], "sorted") == 0;
		once |= strcmp(argv[i], "once") == 0;
		changes |= strcmp(argv[i], "changes") == 0;
	}
	file.text = make_rules(rules);
	file.size = strlen(file.text);
	config = configuration_load("bench.yaml", &file, 1, NULL, NULL, list, NULL);
	if (!config || !mkdtemp(folder)) {
		diagnostics_print(list, NULL, stderr);
		return 1;
	}
	snprintf(path, sizeof(path), "%s/store.db", folder);
	changer = changer_open(path, &config->setup, &err);
	die_unless(changer, "open", &err);
	registry = config->registry;
	records.ends = calloc(count, sizeof(*records.ends));
	for (size_t i = 0; i < count; i++)
		make_record(&records, config->schema, i, 0);
	printf("%zu people, %d rules, %zu bytes a record\n", count, rules,
	       records.bytes.size / count);
	run("first", &records);
	if (changes)
		follow(&records, config->schema);
	if (!once && !changes) {
		run("unchanged", &records);
		strbuf_clear(&records.bytes);
		records.count = 0;
		for (size_t i = 0; i < count; i++)
			make_record(&records, config->schema, i, i % 100 == 0);
		run("1 % changed", &records);
	}
	changer_close(changer);
	setup_release(&config->setup);
	free(records.ends);
	strbuf_finish(&records.bytes);
	nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	return 0;
}
