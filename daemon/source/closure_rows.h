/*
 * Many lists of numbers that change, in one piece of memory: four bytes a number, eight a list.
 *
 *	rows_expect(&rows, list) for every number to come; rows_lay(&rows); rows_put(&rows, list, number)
 *	rows_add / rows_remove / rows_set, any time after
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

struct rows {
	struct row *rows;
	size_t row_count;
	uint32_t *items;
	size_t used, capacity; /* of items */
	size_t live;	       /* items that are no holes */
};

/* At least that many lists, new ones empty. */
int rows_reserve(struct rows *rows, size_t count);
void rows_finish(struct rows *rows);

static inline void rows_expect(struct rows *rows, size_t row)
{
	rows->rows[row].count++;
}

/* Room for what was expected; every list is empty then. */
int rows_lay(struct rows *rows);

/* Only what was expected. */
static inline void rows_put(struct rows *rows, size_t row, uint32_t number)
{
	struct row *r = &rows->rows[row];

	rows->items[r->at + r->count++] = number;
	rows->live++;
}

static inline const uint32_t *rows_items(const struct rows *rows, size_t row)
{
	return rows->items + rows->rows[row].at;
}

/* The list is cut after its first count numbers. */
void rows_cut(struct rows *rows, size_t row, uint32_t count);
int rows_add(struct rows *rows, size_t row, uint32_t number);
/* One occurrence; false when it is not there. The order of the others may change. */
bool rows_remove(struct rows *rows, size_t row, uint32_t number);
int rows_set(struct rows *rows, size_t row, const uint32_t *numbers, size_t count);

#endif
