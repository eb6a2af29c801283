/* Option tables of `type: ldif` and `type: csv`, and the checks across their fields. */
#include <rolebridge/source/file.h>

#include <limits.h>
#include <string.h>

#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/util.h>
#include <rolebridge/identity/dn.h>

#include "../disabled.h"

/* --- ldif --- */

static void check_ldif(void *item, struct diagnostics *list)
{
	const struct ldif_source *source = item;
	AUTO(strbuf) struct strbuf normal = STRBUF(DN_MAX * 32);
	struct err err;

	if (source->base.text &&
	    dn_normalize(source->base.text, strlen(source->base.text), &normal, &err) < 0)
		diagnostics_add(list, SEVERITY_ERROR, "invalid-dn", source->base.at, NULL, "%s",
				err.text);
	disabled_check(&source->disabled, list);
}

static const struct option ldif_options[] = {
	{ "path", OPTION_PATH, OPTION_REQUIRED | OPTION_NOT_EMPTY,
	  OPTION_FIELD(struct ldif_source, path), 0, PATH_MAX - 1, NULL, NULL, NULL,
	  "The file (RFC 2849, content records)." },
	{ "key", OPTION_STRING, OPTION_NOT_EMPTY, OPTION_FIELD(struct ldif_source, key), 0, 512,
	  "entryUUID", NULL, NULL,
	  "Attribute that never changes for a person. `dn` where there is none: then a rename makes "
	  "a new person." },
	{ "base", OPTION_STRING, 0, OPTION_FIELD(struct ldif_source, base), 0, DN_MAX, NULL, NULL,
	  NULL, "Only entries at or below this DN." },
	{ "user_classes", OPTION_STRINGS, 0, OPTION_FIELD(struct ldif_source, user_classes), 0, 64,
	  NULL, NULL, NULL,
	  "Object classes of people. Default: inetOrgPerson, organizationalPerson, person, "
	  "posixAccount, account and user, but no computer." },
	{ "group_classes", OPTION_STRINGS, 0, OPTION_FIELD(struct ldif_source, group_classes), 0,
	  64, NULL, NULL, NULL,
	  "Object classes of groups. Default: groupOfNames, groupOfUniqueNames, groupOfMembers, "
	  "posixGroup and group." },
	{ "disabled", OPTION_STRINGS, 0, OPTION_FIELD(struct ldif_source, disabled), 0,
	  DISABLED_MARKERS_MAX, NULL, NULL, NULL,
	  "What says that a person is disabled: " DISABLED_HELP
	  " Not given: all the named ones; `none`: nothing does." },
	{ NULL, OPTION_BOOL, 0, 0, 0, 0, NULL, NULL, NULL, NULL },
};

const struct option_table ldif_source_table = {
	.name = "ldif",
	.help = "An LDIF file with people and groups, as slapcat and ldapsearch write it.",
	.struct_size = sizeof(struct ldif_source),
	.options = ldif_options,
	.base = &source_base_table,
	.check = check_ldif,
};

/* --- csv --- */

static void check_csv(void *item, struct diagnostics *list)
{
	const struct csv_source *source = item;
	const char *delimiter = source->delimiter.text;

	if (delimiter && (strlen(delimiter) != 1 || strchr("\"\r\n", delimiter[0]) ||
			  (unsigned char)delimiter[0] >= 0x80))
		diagnostics_add(
			list, SEVERITY_ERROR, "invalid-delimiter", source->delimiter.at,
			"Write \",\", \";\" or \"\\t\".",
			"the delimiter must be one ASCII character, no quote or line break");
	disabled_check(&source->disabled, list);
}

static const struct option csv_options[] = {
	{ "path", OPTION_PATH, OPTION_REQUIRED | OPTION_NOT_EMPTY,
	  OPTION_FIELD(struct csv_source, path), 0, PATH_MAX - 1, NULL, NULL, NULL,
	  "The file (RFC 4180, UTF-8, first line with column names)." },
	{ "key", OPTION_STRING, OPTION_NOT_EMPTY, OPTION_FIELD(struct csv_source, key), 0, 512,
	  "id", NULL, NULL, "Column that never changes for a person." },
	{ "groups", OPTION_STRING, OPTION_NOT_EMPTY, OPTION_FIELD(struct csv_source, groups), 0,
	  512, "groups", NULL, NULL,
	  "Column with the names of groups; rules call them SOURCE:name." },
	{ "separator", OPTION_STRING, OPTION_NOT_EMPTY, OPTION_FIELD(struct csv_source, separator),
	  0, 16, ";", NULL, NULL, "Between several values in one field." },
	{ "delimiter", OPTION_STRING, OPTION_NOT_EMPTY, OPTION_FIELD(struct csv_source, delimiter),
	  0, 1, ",", NULL, NULL, "Between fields." },
	{ "multivalued", OPTION_STRINGS, 0, OPTION_FIELD(struct csv_source, multivalued), 0, 1000,
	  NULL, NULL, NULL, "Columns that hold several values between separators." },
	{ "disabled", OPTION_STRINGS, 0, OPTION_FIELD(struct csv_source, disabled), 0,
	  DISABLED_MARKERS_MAX, NULL, NULL, NULL,
	  "What says that a person is disabled, by the names of columns: " DISABLED_HELP
	  " Not given: nothing does." },
	{ NULL, OPTION_BOOL, 0, 0, 0, 0, NULL, NULL, NULL, NULL },
};

const struct option_table csv_source_table = {
	.name = "csv",
	.help = "A CSV file with one person in each row. Columns are attributes by their names.",
	.struct_size = sizeof(struct csv_source),
	.options = csv_options,
	.base = &source_base_table,
	.check = check_csv,
};
