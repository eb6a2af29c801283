/*
 * Lists of numbers that change. Enters and leaves: numbers. Fails: out of memory,
 * more than 4 G numbers.
 *
 * A place that no list uses holds HOLE, so that a list sees by itself whether it may grow
 * where it is; whoever comes first has it.
 */
#include "closure_rows.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>

#define HOLE UINT32_MAX
#define ITEMS_MAX ((size_t)UINT32_MAX - 1) /* places are 32 bits wide */
#define STEP 1024

int row_lists_reserve(struct row_lists *rows, size_t count)
{
	size_t larger = count + count / 8;
	struct row *moved;

	if (count <= rows->row_count)
		return 0;
	if (larger > ITEMS_MAX)
		return -1;
	moved = alloc_resize(rows->rows, larger * sizeof(*moved));
	if (!moved)
		return -1;
	memset(moved + rows->row_count, 0, (larger - rows->row_count) * sizeof(*moved));
	rows->rows = moved;
	rows->row_count = larger;
	return 0;
}

void row_lists_finish(struct row_lists *rows)
{
	free(rows->rows);
	free(rows->items);
	*rows = (struct row_lists){ 0 };
}

int row_lists_lay(struct row_lists *rows)
{
	size_t total = 0;

	for (size_t r = 0; r < rows->row_count; r++)
		total += rows->rows[r].count;
	if (total > ITEMS_MAX)
		return -1;
	rows->items = alloc_resize(NULL, (total + 1) * sizeof(*rows->items));
	if (!rows->items)
		return -1;
	rows->capacity = total + 1;
	rows->used = total;
	total = 0;
	for (size_t r = 0; r < rows->row_count; r++) {
		rows->rows[r].at = (uint32_t)total;
		total += rows->rows[r].count;
		rows->rows[r].count = 0;
	}
	return 0;
}

static void dig(struct row_lists *rows, size_t at, size_t count)
{
	memset(rows->items + at, 0xff, count * sizeof(*rows->items));
}

void row_lists_cut(struct row_lists *rows, size_t row, uint32_t count)
{
	struct row *r = &rows->rows[row];

	if (count >= r->count)
		return;
	dig(rows, r->at + count, r->count - count);
	rows->live -= r->count - count;
	r->count = count;
}

/* All lists one after the other in new memory, with room for more at the end. */
static int copy_together(struct row_lists *rows, size_t more)
{
	size_t capacity = rows->live + more + rows->live / 16 + STEP;
	uint32_t *items;
	size_t used = 0;

	if (capacity > ITEMS_MAX)
		return -1;
	items = alloc_resize(NULL, capacity * sizeof(*items));
	if (!items)
		return -1;
	for (size_t r = 0; r < rows->row_count; r++) {
		struct row *row = &rows->rows[r];

		if (row->count > 0)
			memcpy(items + used, rows->items + row->at, row->count * sizeof(*items));
		row->at = (uint32_t)used;
		used += row->count;
	}
	free(rows->items);
	rows->items = items;
	rows->used = used;
	rows->capacity = capacity;
	return 0;
}

/* Room for that many at the end; lists may have moved. */
static int make_room(struct row_lists *rows, size_t count)
{
	size_t capacity = rows->used + rows->used / 8 + count + STEP;
	uint32_t *moved;

	if (count > ITEMS_MAX)
		return -1;
	if (rows->used + count <= rows->capacity)
		return 0;
	if (rows->used - rows->live > rows->used / 4 + STEP)
		return copy_together(rows, count);
	if (capacity > ITEMS_MAX)
		return -1;
	moved = alloc_resize(rows->items, capacity * sizeof(*moved));
	if (!moved)
		return -1;
	rows->items = moved;
	rows->capacity = capacity;
	return 0;
}

/* The list goes to the end, with room for count numbers and some more. */
static int move_to_end(struct row_lists *rows, size_t row, size_t count)
{
	size_t room = count + 1 + count / 8;
	struct row *r = &rows->rows[row];

	if (make_room(rows, room) < 0)
		return -1;
	dig(rows, rows->used, room);
	if (r->count > 0) {
		memcpy(rows->items + rows->used, rows->items + r->at,
		       r->count * sizeof(*rows->items));
		dig(rows, r->at, r->count);
	}
	r->at = (uint32_t)rows->used;
	rows->used += room;
	return 0;
}

/* Can the list grow to count where it is? */
static bool has_room(const struct row_lists *rows, const struct row *row, size_t count)
{
	size_t at = (size_t)row->at + row->count;

	if (count > rows->used - row->at)
		return false;
	while (at < row->at + count)
		if (rows->items[at++] != HOLE)
			return false;
	return true;
}

int row_lists_add(struct row_lists *rows, size_t row, uint32_t number)
{
	struct row *r = &rows->rows[row];

	if (!has_room(rows, r, (size_t)r->count + 1) &&
	    move_to_end(rows, row, (size_t)r->count + 1) < 0)
		return -1;
	row_lists_put(rows, row, number);
	return 0;
}

bool row_lists_remove(struct row_lists *rows, size_t row, uint32_t number)
{
	struct row *r = &rows->rows[row];
	uint32_t *items = rows->items + r->at;

	for (uint32_t i = 0; i < r->count; i++) {
		if (items[i] != number)
			continue;
		items[i] = items[r->count - 1];
		row_lists_cut(rows, row, r->count - 1);
		return true;
	}
	return false;
}

int row_lists_set(struct row_lists *rows, size_t row, const uint32_t *numbers, size_t count)
{
	struct row *r = &rows->rows[row];

	if (!has_room(rows, r, count) && move_to_end(rows, row, count) < 0)
		return -1;
	row_lists_cut(rows, row, (uint32_t)count);
	if (count > 0)
		memcpy(rows->items + r->at, numbers, count * sizeof(*numbers));
	rows->live += count - r->count;
	r->count = (uint32_t)count;
	return 0;
}
