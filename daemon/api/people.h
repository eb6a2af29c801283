/* Files of people: what import reads and export writes. */
#ifndef API_PEOPLE_H
#define API_PEOPLE_H

#include <rolebridge/change/import.h>

enum people_format { PEOPLE_CSV, PEOPLE_JSON };

#define PEOPLE_LIST_SEPARATOR ';'

/* The columns, in the order in which they are written. */
enum people_column {
	PEOPLE_USER_ID,
	PEOPLE_EXTERNAL_ID,
	PEOPLE_USERNAME,
	PEOPLE_EMAIL,
	PEOPLE_DISPLAY_NAME,
	PEOPLE_ORGANIZATION,
	PEOPLE_PROFILE,
	PEOPLE_ROLES,
	PEOPLE_PERSONAS,
	PEOPLE_GROUPS,
	PEOPLE_ACCOUNTS,
	PEOPLE_STATE,
	PEOPLE_COLUMNS,
};
const char *people_column_name(enum people_column column);
/* Of lists: roles, personas, groups; GRANT_KINDS for others. */
enum grant_kind people_column_kind(enum people_column column);
/* Append the header line of a CSV file. */
void people_csv_header(struct strbuf *out);

/*
 * Append an item of a list of a CSV file; first: none was before it. What would part it or be trimmed off stands
 * there as %3B and the like.
 */
void people_put_item(struct strbuf *out, const char *text, bool first);
/*
 * Rows out of a body, one after the other. What is wrong with the whole (header, JSON) fails; what is wrong with one row is
 * in *result, whose code is set then.
 */
struct people_reader;
/* Borrows the body. ERR_INVALID with *ret_field: an unknown or doubled column, not CSV or JSON of ours. */
struct people_reader *people_open(enum people_format format, const char *body, size_t size,
				  struct arena *arena, const char **ret_field, struct err *err);
void people_close(struct people_reader *reader);
/* 1 a row, whose texts live in the arena; 0 at the end; -1. */
int people_next(struct people_reader *reader, struct arena *arena, struct import_row *ret_row,
		struct import_result *ret_result, struct err *err);
/* Bytes read so far. */
size_t people_offset(const struct people_reader *reader);

#endif
