/*
 * Followed or read: the same. Two worlds see the same directory change at random, from fixed seeds: one is
 * told what changed, is read as a whole now and then, and killed in between; the other is read as a whole
 * each time. After each step both know the same people with the same grants and the same records; whoever
 * was told gone in the one is missing in the other.
 */
#include "support.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern void (*change_test_hook)(const char *step);
extern size_t change_batch_people;

#define PEOPLE 16
#define STEPS 70

static uint64_t seed;

static unsigned pick(unsigned below)
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return (unsigned)((seed * 2685821657736338717u) >> 33) % below;
}

static bool chance(unsigned percent)
{
	return pick(100) < percent;
}

/* --- the directory --- */

static struct entry {
	bool there;
	unsigned key; /* grows when somebody is created again */
	bool groups[3], disabled, cut;
	unsigned title, name;
} people[PEOPLE];

static const char *const group_names[] = { "@admins", "@managers", "@sales" };
static const char *const titles[] = { "", " title=ops", " title=lead", " title=ops_lead" };

static void put_groups(const struct entry *entry, struct strbuf *out)
{
	for (size_t i = 0; i < ARRAY_LEN(group_names); i++)
		if (entry->groups[i])
			strbuf_printf(out, " %s", group_names[i]);
	if (entry->cut)
		strbuf_puts(out, " ?");
	strbuf_putc(out, '\n');
}

static void put_record(size_t i, struct strbuf *out)
{
	const struct entry *entry = &people[i];

	strbuf_printf(out, "k%zu.%u u%zu-%u-%u%s%s", i, entry->key, i, entry->key, entry->name,
		      titles[entry->title], entry->disabled ? " !" : "");
	put_groups(entry, out);
}

static const char *whole(struct world *w)
{
	AUTO(strbuf) struct strbuf out = STRBUF(1 << 20);

	for (size_t i = 0; i < PEOPLE; i++)
		if (people[i].there)
			put_record(i, &out);
	return arena_strdup(w->arena, strbuf_text(&out));
}

/* Somebody changes; what is told of it. */
static void change_one(struct strbuf *told)
{
	size_t i = pick(PEOPLE);
	struct entry *entry = &people[i];
	bool whole_record = true;

	if (!entry->there) {
		/* The same key again, or another person in the same place. */
		entry->there = true;
		entry->key += chance(40);
	} else if (chance(15)) {
		entry->there = false;
		strbuf_printf(told, "-k%zu.%u\n", i, entry->key);
		return;
	} else if (chance(60)) {
		entry->groups[pick(3)] ^= true;
		entry->cut = chance(5);
		whole_record = chance(20);
	} else {
		switch (pick(3)) {
		case 0: entry->title = pick(ARRAY_LEN(titles)); break;
		case 1: entry->disabled = chance(40); break;
		default: entry->name++; break;
		}
	}
	if (whole_record) {
		put_record(i, told);
		return;
	}
	strbuf_printf(told, "~k%zu.%u", i, entry->key);
	put_groups(entry, told);
}

/* --- both worlds --- */

static const char *const rules[] = {
	RULES WIDE SOURCES,
	"profiles: [{name: administrator}, {name: manager}, {name: staff}]\n"
	"segments: [Core]\n"
	"roles:\n"
	"  - {name: sales, classifications: [Sales], segments: [Core]}\n"
	"  - {name: ops, classifications: [Support], segments: [Core]}\n"
	"  - {name: night, classifications: [Support], segments: [Core]}\n"
	"personas: [{name: lead, title: Lena}]\n"
	"rules:\n"
	"  - {id: managers, groups: ['cn=managers,dc=x'], grant: {profile: manager}}\n"
	"  - {id: admins, groups: ['cn=admins,dc=x'], grant: {profile: administrator}}\n"
	"  - {id: no, when: '(!(title=*))', grant: {roles: [night]}}\n"
	"  - {id: sales, groups: ['cn=sales,dc=x'], grant: {roles: [sales], personas: [lead]}}\n" WIDE
		SOURCES,
};
static unsigned in_force;

/* Told gone is missing; how often somebody was missed is not the same. */
static const char *normal_dump(struct world *w)
{
	AUTO(strbuf) struct strbuf out = STRBUF(1 << 26);
	char *text = arena_strdup(w->arena, world_dump(w)), *line;

	while ((line = strsep(&text, "\n")) != NULL) {
		char *gone = strstr(line, "disabled(gone)"), *runs;

		if (strncmp(line, "  = ", 4) == 0) {
			bool missing = strstr(line, " missing") != NULL;

			runs = strchr(strchr(strchr(line + 4, ' ') + 1, ' ') + 1, ' ');
			*runs = '\0';
			strbuf_printf(&out, "%s%s\n", line, missing ? " missing" : "");
			continue;
		}
		if (gone) {
			*gone = '\0';
			strbuf_printf(&out, "%sdisabled(missing)%s\n", line,
				      gone + strlen("disabled(gone)"));
			continue;
		}
		strbuf_printf(&out, "%s\n", line);
	}
	return arena_strdup(w->arena, strbuf_text(&out));
}

/* More than one administrator lost waits, however wide the limits; who waits counts in a whole read alone. */
static void apply_what_waits(struct world *w)
{
	AUTO(store) struct store *store = world_read(w);
	struct plan_row *plans;
	size_t count;

	ok(w, store_plan_list(store, PLAN_HELD, w->arena, &plans, &count, &w->err));
	for (size_t i = 0; i < count; i++)
		ok(w, plan_apply(w->changer, &test_person, plans[i].id, NULL, NULL, &w->err));
}

static int steps_left;

static void die_in_time(const char *step UNUSED)
{
	if (steps_left-- == 0)
		raise(SIGKILL);
}

/* Whoever died in the midst of it is told the same again, as after a new connection. */
static void die_first(struct world *w, const char *told)
{
	int status;
	pid_t pid;

	world_close(w);
	steps_left = (int)pick(40);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		world_open(w, rules[in_force]);
		change_test_hook = die_in_time;
		world_changes(w, "corp", told, NULL);
		apply_what_waits(w);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	world_open(w, rules[in_force]);
}

static void tell(struct world *w, const char *told, bool may_die)
{
	struct sync *aborted;

	if (may_die && chance(12))
		die_first(w, told);
	if (chance(10)) {
		aborted = world_begin_changes(w, "corp");
		ok(w, world_feed(w, aborted, "corp", told));
		sync_abort(aborted);
	}
	if (chance(15))
		world_sync(w, "corp", whole(w), 0, NULL);
	else
		world_changes(w, "corp", told, NULL);
}

static void hand(struct world *told, struct world *read)
{
	size_t i = pick(PEOPLE);
	char user[32];

	snprintf(user, sizeof(user), "u%zu-%u-%u", i, people[i].key, people[i].name);
	/* Who is unknown in the one is so in the other. */
	change_grant_add(told->changer, &test_person, user, GRANT_ROLE, "ops", 0, &told->err);
	change_grant_add(read->changer, &test_person, user, GRANT_ROLE, "ops", 0, &read->err);
}

static void step(struct world *told, struct world *read, bool may_die)
{
	AUTO(strbuf) struct strbuf what = STRBUF(1 << 20);
	unsigned changes = 1 + (chance(30) ? pick(10) : 0);

	if (chance(8))
		hand(told, read);
	if (chance(6)) {
		in_force ^= 1;
		world_reload(told, rules[in_force], NULL);
		world_reload(read, rules[in_force], NULL);
	}
	for (unsigned i = 0; i < changes; i++)
		change_one(&what);
	if (chance(10))
		strbuf_puts(&what, "-nobody\n");
	tell(told, arena_strdup(told->arena, strbuf_text(&what)), may_die);
	apply_what_waits(told);
	world_sync(read, "corp", whole(read), 0, NULL);
	apply_what_waits(read);
}

static void compare(struct world *told, struct world *read, uint64_t number, int at)
{
	const char *one = normal_dump(told), *other = normal_dump(read);
	size_t same = 0;

	if (strcmp(one, other) == 0)
		return;
	while (one[same] == other[same])
		same++;
	/* From the line of the person on. */
	while (same > 0 && !(one[same - 1] == '\n' && one[same] == 'u'))
		same--;
	fail_msg("seed %llu step %d\n--- told\n%.400s\n--- read\n%.400s",
		 (unsigned long long)number, at, one + same, other + same);
}

static void run_seed(uint64_t number, bool may_die)
{
	struct world *told, *read;
	void *one, *other;

	world_set_up(&one);
	world_set_up(&other);
	told = one;
	read = other;
	seed = number * 0x9e3779b97f4a7c15u + 1;
	in_force = 0;
	for (size_t i = 0; i < PEOPLE; i++)
		people[i] = (struct entry){ .there = chance(70), .groups = { i < 3, 0, i % 2 } };
	/* Somebody who stays administrator whatever the directory says: the last one is kept by order. */
	world_open(told, rules[0]);
	world_open(read, rules[0]);
	for (int twice = 0; twice < 2; twice++) {
		struct world *w = twice ? read : told;
		struct new_user root = { .username = "root",
					 .email = "",
					 .display_name = "root",
					 .organization = "default",
					 .profile = "administrator" };
		struct uuid uuid;

		ok(w, change_user_create(w->changer, &test_person, &root, &uuid, &w->err));
		root.username = "boss";
		ok(w, change_user_create(w->changer, &test_person, &root, &uuid, &w->err));
		world_sync(w, "corp", whole(w), 0, NULL);
	}
	for (int at = 0; at < STEPS; at++) {
		if (arena_used(told->arena) > 100u << 20)
			arena_reset(told->arena);
		if (arena_used(read->arena) > 100u << 20)
			arena_reset(read->arena);
		step(told, read, may_die);
		compare(told, read, number, at);
		world_check_sane(told, true);
	}
	world_sync(told, "corp", whole(told), 0, NULL);
	compare(told, read, number, STEPS);
	world_check_audit(told);
	world_tear_down(&one);
	world_tear_down(&other);
}

static uint64_t seeds(void)
{
	const char *text = getenv("ROLEBRIDGE_TEST_SEEDS");

	return text ? strtoull(text, NULL, 10) : 8;
}

static void test_told_or_read(void **state UNUSED)
{
	for (uint64_t number = 1; number <= seeds(); number++)
		run_seed(number, false);
}

/* The same with batches of two people, so that most runs take several, and deaths in between. */
static void test_killed(void **state UNUSED)
{
	if (getenv("ROLEBRIDGE_VALGRIND")) {
		print_message("not under valgrind\n");
		return;
	}
	change_batch_people = 3;
	for (uint64_t number = 101; number <= 100 + seeds(); number++)
		run_seed(number, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_told_or_read),
					    cmocka_unit_test(test_killed) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
