/*
 * Which account is whose. Enters: what the helper told. Leaves: a user and a uid for a name. Fails: memory, and then
 * nothing is known, so that nobody gets a key.
 *
 * A name is looked up before the keys of anybody are given out: a person whose username is that of a service of this
 * machine would else sign in as that service.
 */
#include "accounts_internal.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/hash.h>
#include <rolebridge/base/util.h>

#define PAUSE_US INT64_C(1000000)
#define ACCOUNTS_MAX 4000000
#define PAGE_ARENA_MAX ((size_t)64 * 1024 * 1024)

struct page_list {
	struct owned_account *items;
	size_t count, capacity;
	struct hash_table *names; /* fingerprint of the name to the place */
};

struct book {
	struct book *next;
	char *socket;
	struct page_list list;
	int64_t read_us; /* 0: never, or not as it is now */
	bool reading, learning;
	bool good; /* the last reading */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t done = PTHREAD_COND_INITIALIZER;
static struct book *books;

/* Under the lock. */
static struct book *book_of(const char *socket)
{
	struct book *book;

	for (book = books; book; book = book->next)
		if (strcmp(book->socket, socket) == 0)
			return book;
	book = calloc(1, sizeof(*book));
	if (!book || !(book->socket = strdup(socket))) {
		free(book);
		return NULL;
	}
	book->next = books;
	books = book;
	return book;
}

static void list_finish(struct page_list *list)
{
	free(list->items);
	hash_table_destroy(list->names);
	*list = (struct page_list){ 0 };
}

static int list_put(struct page_list *list, const char *name, const struct owned_account *account)
{
	uint32_t *place;
	int fresh;

	if (!list->names && !(list->names = hash_table_create(64, ACCOUNTS_MAX)))
		return -1;
	if (list->count == list->capacity) {
		size_t capacity = list->capacity ? list->capacity * 2 : 64;
		struct owned_account *grown =
			reallocarray(list->items, capacity, sizeof(*list->items));

		if (!grown)
			return -1;
		list->items = grown;
		list->capacity = capacity;
	}
	fresh = hash_table_put(list->names, fingerprint128(name, strlen(name)), &place);
	if (fresh < 0)
		return -1;
	if (fresh)
		*place = (uint32_t)list->count++;
	list->items[*place] = *account;
	return 0;
}

bool book_find(const char *socket, const char *name, struct owned_account *ret_account)
{
	bool found = false;
	struct book *book;
	uint32_t place;

	pthread_mutex_lock(&lock);
	book = book_of(socket);
	if (book && book->list.names &&
	    hash_table_get(book->list.names, fingerprint128(name, strlen(name)), &place)) {
		*ret_account = book->list.items[place];
		found = true;
	}
	pthread_mutex_unlock(&lock);
	return found;
}

void book_learn(const char *socket, const char *name, const struct owned_account *account)
{
	struct book *book;

	pthread_mutex_lock(&lock);
	book = book_of(socket);
	/* Without memory it is asked for again. */
	if (book) {
		(void)list_put(&book->list, name, account);
		book->learning = true;
	}
	pthread_mutex_unlock(&lock);
}

/* --- reading --- */

static int add_page(const struct accounts_page *page, struct page_list *list)
{
	for (size_t i = 0; i < page->count; i++) {
		const struct accounts_entry *entry = &page->entries[i];
		struct owned_account account = { entry->user, entry->uid };

		/* Another's account, or none: no key opens it. */
		if (entry->state == ACCOUNTS_FOREIGN || entry->state == ACCOUNTS_MISSING)
			continue;
		if (list_put(list, entry->name, &account) < 0)
			return -1;
	}
	return 0;
}

static int read_all(const char *socket, const struct helper_patience *patience,
		    struct page_list *list, struct err *err)
{
	AUTO(helper) struct helper *helper = helper_open(socket, patience, err);
	AUTO(arena) struct arena *arena = arena_create(PAGE_ARENA_MAX);
	struct uuid after = { 0 };
	struct accounts_page page;

	if (!helper)
		return -1;
	if (!arena)
		return err_set(err, ERR_MEMORY, "out of memory");
	do {
		arena_reset(arena);
		if (helper_list(helper, &after, ACCOUNTS_PAGE_MAX, arena, &page, err) < 0)
			return -1;
		if (add_page(&page, list) < 0)
			return err_set(err, ERR_MEMORY, "no memory for the list of accounts");
		if (page.count > 0)
			after = page.entries[page.count - 1].user;
	} while (page.more && page.count > 0);
	return 0;
}

/*
 * One at a time, and not one for each name that somebody tries: 1 read it; 0 another one has, meanwhile or a moment ago,
 * well or not.
 */
static int may_read(struct book *book, bool *ret_good)
{
	int64_t now_us = clock_monotonic_us();

	if (book->reading) {
		while (book->reading)
			pthread_cond_wait(&done, &lock);
		*ret_good = book->good;
		return 0;
	}
	if (book->read_us != 0 && now_us - book->read_us < PAUSE_US) {
		*ret_good = book->good;
		return 0;
	}
	book->reading = true;
	book->learning = false;
	return 1;
}

/* What was learnt meanwhile may be missing: the next one reads again at once. */
static struct page_list put_list(struct book *book, const struct page_list *list, bool good)
{
	struct page_list old = *list;

	book->reading = false;
	book->good = good;
	book->read_us = book->learning ? 0 : clock_monotonic_us();
	if (good) {
		old = book->list;
		book->list = *list;
	}
	pthread_cond_broadcast(&done);
	return old;
}

int book_read(const char *socket, const struct helper_patience *patience, struct err *err)
{
	struct page_list list = { 0 };
	struct book *book;
	bool good = false;
	int may;

	pthread_mutex_lock(&lock);
	book = book_of(socket);
	may = book ? may_read(book, &good) : 0;
	pthread_mutex_unlock(&lock);
	if (!book)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (may == 0)
		return good ? 0
			    : err_set(err, ERR_UNAVAILABLE,
				      "the accounts helper could not be asked a moment ago");
	good = read_all(socket, patience, &list, err) == 0;
	pthread_mutex_lock(&lock);
	list = put_list(book, &list, good);
	pthread_mutex_unlock(&lock);
	list_finish(&list);
	return good ? 0 : -1;
}
