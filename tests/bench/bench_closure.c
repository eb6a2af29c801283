/*
 * What the closure of nested groups costs: static (a full read) and dynamic (a directory that is followed).
 *
 *	bench_closure [USERS [static]]
 *
 * The shape of generate.py: 0.05 groups and 10.7 memberships a user, sizes by a power law, chains of eight
 * groups of which every tenth is a cycle, 600 wanted groups. CPU time of one core; bytes are
 * the allocator's. Exit 0 always: goals are reported, a noisy machine fails nothing.
 */
#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rolebridge/base/util.h>
#include <rolebridge/source/closure.h>

#define WANTED 600
#define CHAIN 8
#define DOZENS 64
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

struct shape {
	uint32_t users, groups;
	uint32_t *sizes;
	uint32_t largest;
};

static _Noreturn void stop(const char *what)
{
	fprintf(stderr, "bench_closure: %s\n", what);
	exit(1);
}

static double cpu_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static size_t allocated(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}

static struct hash128 user_name(uint32_t number)
{
	uint64_t text[2] = { number, 1 };

	return fingerprint128(text, sizeof(text));
}

static struct hash128 group_name(uint32_t number)
{
	uint64_t text[2] = { number, 2 };

	return fingerprint128(text, sizeof(text));
}

static void make_shape(struct shape *shape, uint32_t users)
{
	double sum = 0;

	shape->users = users;
	shape->groups = users / 20;
	shape->sizes = calloc(shape->groups, sizeof(*shape->sizes));
	if (!shape->sizes)
		stop("out of memory");
	for (uint32_t g = 0; g < shape->groups; g++)
		sum += pow(g + 8, -0.9);
	for (uint32_t g = 0; g < shape->groups; g++) {
		double size = users * 10.7 / sum * pow(g + 8, -0.9);

		shape->sizes[g] = (uint32_t)MIN(MAX(size, 2.0), users / 5.0);
	}
	shape->largest = shape->sizes[0];
}

/* Members of a group: a stride through the users, and the next of its chain. */
static uint32_t list_members(const struct shape *shape, uint32_t group, struct hash128 *members)
{
	static const uint32_t steps[] = { 1, 3, 7, 11, 13 };
	uint32_t start = group * 2654435761u % shape->users, step = steps[group % 5];
	uint32_t count = 0;

	for (uint32_t i = 0; i < shape->sizes[group]; i++)
		members[count++] =
			user_name((uint32_t)((start + (uint64_t)i * step) % shape->users));
	if (group % CHAIN < CHAIN - 1 && group + 1 < shape->groups)
		members[count++] = group_name(group + 1);
	else if (group / CHAIN % 10 == 0)
		members[count++] = group_name(group - group % CHAIN);
	return count;
}

static void fill(struct closure *closure, const struct shape *shape, struct hash128 *members)
{
	uint32_t stride = shape->groups / WANTED, group;

	for (uint32_t g = 0; g < shape->groups; g++) {
		uint32_t count = list_members(shape, g, members);

		if (closure_add_group(closure, group_name(g), &group, NULL) < 0)
			stop("cannot add a group");
		if (g % stride == 0 && closure_want(closure, group, g + 1, NULL) < 0)
			stop("cannot want a group");
		for (uint32_t i = 0; i < count; i += DOZENS)
			if (closure_add_members(closure, group, members + i, MIN(count - i, DOZENS),
						NULL) < 0)
				stop("cannot add members");
	}
	if (closure_finish(closure, NULL) < 0)
		stop("cannot finish");
}

static uint64_t ask_all(struct closure *closure, uint32_t users)
{
	struct closure_answer answer;
	uint64_t total = 0;

	for (uint32_t u = 0; u < users; u++) {
		struct hash128 name = user_name(u);

		if (closure_user(closure, &name, 1, NULL, 0, &answer, NULL) < 0)
			stop("cannot answer");
		total += answer.count;
	}
	return total;
}

static struct closure *read_all(const struct shape *shape, struct hash128 *members, bool dynamic)
{
	size_t before = allocated();
	struct closure *closure = closure_create();
	double start = cpu_ms(), filled, asked;
	uint64_t effective;

	if (!closure)
		stop("out of memory");
	if (dynamic)
		closure_set_dynamic(closure);
	fill(closure, shape, members);
	filled = cpu_ms();
	effective = ask_all(closure, shape->users);
	asked = cpu_ms();
	printf("  %s: %.1f ms to fill and finish, %.0f ns a user asked (%.1f ids each), "
	       "%.1f bytes a membership, %.0f bytes a name\n",
	       dynamic ? "dynamic" : "static ", filled - start,
	       (asked - filled) * 1e6 / shape->users, (double)effective / shape->users,
	       (double)(allocated() - before) / (double)closure_membership_count(closure),
	       (double)(allocated() - before) / (shape->users + shape->groups));
	return closure;
}

/* --- changes --- */

struct told {
	struct closure *closure;
	uint64_t names, ids;
};

static int count_told(void *context, struct hash128 name, struct err *err)
{
	struct told *told = context;

	(void)name, (void)err;
	told->names++;
	return 0;
}

/* As a worker does: ask for everybody who is told. */
static int ask_told(void *context, struct hash128 name, struct err *err)
{
	struct told *told = context;
	struct closure_answer answer;

	if (closure_user(told->closure, &name, 1, NULL, 0, &answer, err) < 0)
		return -1;
	told->names++;
	told->ids += answer.count;
	return 0;
}

static void update(struct closure *closure, const char *what, closure_touched_fn *each,
		   double changed_ms)
{
	struct told told = { .closure = closure };
	double start = cpu_ms();

	if (closure_update(closure, each, &told, NULL) < 0)
		stop("cannot update");
	printf("  %-46s %7.3f ms to change, %7.3f ms to update, %6llu told%s\n", what, changed_ms,
	       cpu_ms() - start, (unsigned long long)told.names,
	       each == ask_told ? " and asked" : "");
}

static void change(struct closure *closure, const char *what, uint32_t group,
		   const struct hash128 *members, uint32_t count, closure_touched_fn *each)
{
	double start = cpu_ms();

	if (closure_change_members(closure, group, members, count, NULL) < 0)
		stop("cannot change");
	update(closure, what, each, cpu_ms() - start);
}

/* A subgroup of 10,000 people joins and leaves the last of a chain of eight under a wanted group. */
static void change_nesting(struct closure *closure, const struct shape *shape,
			   struct hash128 *members)
{
	static struct hash128 people[10000];
	uint32_t chain = shape->groups / 2 / CHAIN * CHAIN, last = chain + CHAIN - 1;
	uint32_t count, subgroup;

	for (uint32_t i = 0; i < 10000; i++)
		people[i] = user_name((uint32_t)(i * (uint64_t)7919 % shape->users));
	if (closure_want(closure, chain, shape->groups + 1, NULL) < 0 ||
	    closure_add_group(closure, group_name(shape->groups), &subgroup, NULL) < 0)
		stop("cannot add a group");
	change(closure, "a group of 10,000 that gives nothing", subgroup, people, 10000,
	       count_told);
	count = list_members(shape, last, members);
	members[count] = group_name(shape->groups);
	change(closure, "it joins a chain of eight", last, members, count + 1, count_told);
	change(closure, "it leaves it", last, members, count, count_told);
	change(closure, "it joins again", last, members, count + 1, ask_told);
	change(closure, "it leaves again", last, members, count, ask_told);
	change(closure, "it joins a chain that gives nothing", last + 2, members, count + 1,
	       count_told);
}

static void change_one(struct closure *closure, const struct shape *shape, struct hash128 *members)
{
	uint32_t largest = 0, small = shape->groups - 1, count;
	double start;

	count = list_members(shape, largest, members);
	change(closure, "one leaves the largest group, whole list", largest, members + 1, count - 1,
	       count_told);
	change(closure, "it comes back", largest, members, count, count_told);
	start = cpu_ms();
	if (closure_add_member(closure, largest, user_name(shape->users), NULL) < 0)
		stop("cannot add a member");
	update(closure, "a newcomer joins the largest group, alone", count_told, cpu_ms() - start);
	count = list_members(shape, small, members);
	change(closure, "one leaves a small group", small, members + 1, count - 1, count_told);
}

static void change_many(struct closure *closure, const struct shape *shape, struct hash128 *members)
{
	size_t before = allocated();
	double start = cpu_ms();

	for (uint32_t i = 0; i < shape->groups; i++) {
		uint32_t group = i * 7919u % shape->groups;
		uint32_t count = list_members(shape, group, members);

		for (uint32_t m = 0; m < count; m += 1 + i % 7)
			members[m] = user_name((i * 31 + m * 17) % shape->users);
		if (closure_change_members(closure, group, members, count, NULL) < 0)
			stop("cannot change");
	}
	update(closure, "all groups, a part of each list", count_told, cpu_ms() - start);
	printf("  %.1f bytes a membership more than before\n",
	       ((double)allocated() - (double)before) / (double)closure_membership_count(closure));
}

int main(int argc, char **argv)
{
	uint32_t users = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 100000;
	bool only_static = argc > 2 && strcmp(argv[2], "static") == 0;
	struct closure *closure;
	struct shape shape;
	struct hash128 *members;

	make_shape(&shape, MAX(users, 20000u));
	members = calloc(shape.largest + 2, sizeof(*members));
	if (!members)
		stop("out of memory");
	printf("%u users, %u groups, largest %u\n", shape.users, shape.groups, shape.largest);
	closure_destroy(read_all(&shape, members, false));
	if (!only_static) {
		closure = read_all(&shape, members, true);
		change_one(closure, &shape, members);
		change_nesting(closure, &shape, members);
		change_many(closure, &shape, members);
		closure_destroy(closure);
	}
	free(members);
	free(shape.sizes);
	return 0;
}
