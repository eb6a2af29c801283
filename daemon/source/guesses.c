/* Wrong passwords that were passed on (see guesses.h). A ring of times for each person; those without any go when room is needed. */
#include <rolebridge/source/guesses.h>

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>

struct person {
	struct hash128 who;
	int64_t at_s[GUESSES_OF_ONE_MAX]; /* 0: none */
};

struct guesses {
	struct hash_table *index;
	struct person *people;
	size_t count, capacity;
	int64_t window_s; /* the longest that was asked for: older times say nothing */
};

struct guesses *guesses_create(void)
{
	struct guesses *guesses = alloc_zeroed(1, sizeof(*guesses));

	if (!guesses)
		return NULL;
	hash_prepare();
	guesses->index = hash_table_create(16, GUESSES_PEOPLE_MAX);
	if (guesses->index)
		return guesses;
	free(guesses);
	return NULL;
}

void guesses_destroy(struct guesses *guesses)
{
	if (!guesses)
		return;
	hash_table_destroy(guesses->index);
	free(guesses->people);
	free(guesses);
}

static bool is_live(const struct person *person, int64_t since_s)
{
	for (size_t i = 0; i < GUESSES_OF_ONE_MAX; i++)
		if (person->at_s[i] > since_s)
			return true;
	return false;
}

/* Whose guesses are all too old to count makes room. */
static void compact(struct guesses *guesses, int64_t now_s)
{
	struct hash_table *index = hash_table_create(guesses->count, GUESSES_PEOPLE_MAX);
	int64_t since_s = now_s - guesses->window_s;
	size_t kept = 0;
	uint32_t *slot;

	if (!index)
		return;
	for (size_t i = 0; i < guesses->count; i++) {
		if (!is_live(&guesses->people[i], since_s))
			continue;
		if (hash_table_put(index, guesses->people[i].who, &slot) < 0) {
			hash_table_destroy(index);
			return;
		}
		*slot = (uint32_t)kept++;
	}
	kept = 0;
	for (size_t i = 0; i < guesses->count; i++)
		if (is_live(&guesses->people[i], since_s))
			guesses->people[kept++] = guesses->people[i];
	hash_table_destroy(guesses->index);
	guesses->index = index;
	guesses->count = kept;
}

static bool make_room(struct guesses *guesses, int64_t now_s)
{
	size_t capacity = guesses->capacity ? 2 * guesses->capacity : 16;
	void *people;

	if (guesses->count == GUESSES_PEOPLE_MAX)
		compact(guesses, now_s);
	if (guesses->count < guesses->capacity)
		return true;
	if (guesses->count == GUESSES_PEOPLE_MAX)
		return false;
	people = alloc_resize(guesses->people, capacity * sizeof(*guesses->people));
	if (!people)
		return false;
	guesses->people = people;
	guesses->capacity = capacity;
	return true;
}

static struct person *find(struct guesses *guesses, struct hash128 who)
{
	uint32_t number;

	return hash_table_get(guesses->index, who, &number) ? &guesses->people[number] : NULL;
}

static struct person *add(struct guesses *guesses, struct hash128 who, int64_t now_s)
{
	uint32_t *slot;

	if (!make_room(guesses, now_s) || hash_table_put(guesses->index, who, &slot) != 1)
		return NULL;
	*slot = (uint32_t)guesses->count;
	guesses->people[guesses->count] = (struct person){ .who = who };
	return &guesses->people[guesses->count++];
}

bool guesses_take(struct guesses *guesses, struct hash128 who, size_t limit, int64_t window_s,
		  int64_t now_s)
{
	struct person *person = find(guesses, who);
	size_t lately = 0, oldest = 0;

	if (window_s > guesses->window_s)
		guesses->window_s = window_s;
	if (!person)
		person = add(guesses, who, now_s);
	if (!person)
		return false;
	for (size_t i = 0; i < GUESSES_OF_ONE_MAX; i++) {
		lately += person->at_s[i] != 0 && person->at_s[i] > now_s - window_s;
		if (person->at_s[i] < person->at_s[oldest])
			oldest = i;
	}
	if (lately >= limit || lately >= GUESSES_OF_ONE_MAX)
		return false;
	person->at_s[oldest] = now_s;
	return true;
}

void guesses_right(struct guesses *guesses, struct hash128 who)
{
	struct person *person = find(guesses, who);

	if (person)
		memset(person->at_s, 0, sizeof(person->at_s));
}

void guesses_return(struct guesses *guesses, struct hash128 who, int64_t now_s)
{
	struct person *person = find(guesses, who);

	for (size_t i = 0; person && i < GUESSES_OF_ONE_MAX; i++) {
		if (person->at_s[i] != now_s)
			continue;
		person->at_s[i] = 0;
		return;
	}
}
