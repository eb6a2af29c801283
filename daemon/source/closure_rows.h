/*
 * Many lists of numbers that change, in one piece of memory: four bytes a number, eight a list.
 *
 *	row_lists_expect(&rows, list) for every number to come; row_lists_lay(&rows); row_lists_put(&rows, list, number)
 *	row_lists_add / row_lists_remove / row_lists_set, any time after
 *
 * A list that outgrows its place moves to the end with some room to spare, and what it leaves is a
 * hole that the list before it may grow into. When a quarter of all is holes, the lists are
 * copied together. Numbers are below UINT32_MAX. A failure (out of memory, 4 G numbers) changes nothing.
 */
#ifndef SOURCE_CLOSURE_ROWS_H
#define SOURCE_CLOSURE_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct row {
	uint32_t at, count;
};

struct row_lists {
	struct row *rows;
	size_t row_count;
	uint32_t *items;
	size_t used, capacity; /* of items */
	size_t live;	       /* items that are no holes */
};

/* At least that many lists, new ones empty. */
int row_lists_reserve(struct row_lists *rows, size_t count);
void row_lists_finish(struct row_lists *rows);

static inline void row_lists_expect(struct row_lists *rows, size_t row)
{
	rows->rows[row].count++;
}

/* Room for what was expected; every list is empty then. */
int row_lists_lay(struct row_lists *rows);

/* Only what was expected. */
static inline void row_lists_put(struct row_lists *rows, size_t row, uint32_t number)
{
	struct row *r = &rows->rows[row];

	rows->items[r->at + r->count++] = number;
	rows->live++;
}

static inline const uint32_t *row_lists_items(const struct row_lists *rows, size_t row)
{
	return rows->items + rows->rows[row].at;
}

/* The list is cut after its first count numbers. */
void row_lists_cut(struct row_lists *rows, size_t row, uint32_t count);
int row_lists_add(struct row_lists *rows, size_t row, uint32_t number);
/* One occurrence; false when it is not there. The order of the others may change. */
bool row_lists_remove(struct row_lists *rows, size_t row, uint32_t number);
int row_lists_set(struct row_lists *rows, size_t row, const uint32_t *numbers, size_t count);

#endif
