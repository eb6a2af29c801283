/*
 * Sources in files: LDIF (RFC 2849) and CSV (RFC 4180). The file is read from
 * end to end; nothing is ever fetched from a URL or another file. A bad entry goes to
 * quarantine with "path:line" and the rest proceeds. A file that cannot be
 * read, ends in mid-entry or changes while it is read is an incomplete read.
 *
 * Option tables: rows of sources[] with `type: ldif` and `type: csv`.
 */
#ifndef ROLEBRIDGE_SOURCE_FILE_H
#define ROLEBRIDGE_SOURCE_FILE_H

#include <rolebridge/identity/schema.h>
#include <rolebridge/identity/settings.h>
#include <rolebridge/source/source.h>

/* Longest logical line of LDIF, largest record of CSV. */
#define FILE_LINE_MAX (8u * 1024 * 1024)

struct ldif_source {
	struct source_settings common;
	struct located path;
	struct located key;  /* attribute, or "dn"; default entryUUID */
	struct located base; /* only entries at or below; not given: all */
	struct located_list user_classes, group_classes; /* objectClass values */
	struct located_list disabled; /* none given: the usual markers of all vendors */
};

struct csv_source {
	struct source_settings common;
	struct located path;
	struct located key;		 /* column; default "id" */
	struct located groups;		 /* column; default "groups" */
	struct located separator;	 /* between groups; default ";" */
	struct located delimiter;	 /* one byte; default "," */
	struct located_list multivalued; /* columns that hold several values between separators */
	struct located_list disabled;	 /* attributes are columns; none given: nobody is */
};

extern const struct option_table ldif_source_table; /* name "ldif" */
extern const struct option_table csv_source_table;  /* name "csv" */

/*
 * Read the file and hand over every identity, quarantined entry and wanted group.
 * wanted groups: for LDIF a normal DN or an entryUUID, for CSV a folded group name.
 * 0 and *ret_result however the read ended; -1 only when our own side failed
 * (callback, memory, cancelled).
 */
int ldif_read(const struct ldif_source *source, const struct wanted_attribute *attributes,
	      size_t attribute_count, const struct wanted_group *groups, size_t group_count,
	      const struct intake *intake, struct read_result *ret_result, struct err *err);
int csv_read(const struct csv_source *source, const struct wanted_attribute *attributes,
	     size_t attribute_count, const struct wanted_group *groups, size_t group_count,
	     const struct intake *intake, struct read_result *ret_result, struct err *err);

#endif
