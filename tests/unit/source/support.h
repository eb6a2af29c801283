/* Sources' tests: files in a folder of their own, and an intake that writes down what it gets. */
#ifndef ROLEBRIDGE_TESTS_SOURCE_SUPPORT_H
#define ROLEBRIDGE_TESTS_SOURCE_SUPPORT_H

#include <rolebridge/base/strbuf.h>
#include <rolebridge/identity/schema.h>
#include <rolebridge/source/source.h>

#define LOCATED(words) ((struct located){ .text = (words), .at = { 1, 1, 1, 1 } })

/* A new folder; gone, with its files, at support_remove. */
const char *support_folder(void);
void support_remove(void);
/* Writes size bytes (0: a text) to a file in the folder; the path lives until support_remove. */
const char *support_write(const char *name, const char *data, size_t size);

/* What an intake got, one line each: "key dn attr=v,v groups=1,2 flags" … */
struct seen {
	struct strbuf identities;  /* "key" "[groups]" … */
	struct strbuf quarantined; /* "line reason key\n" */
	struct strbuf groups;	   /* "id found members\n" */
	struct schema *schema;
	long fail_after; /* calls until one fails; negative: never */
	bool cancel;
};

struct seen *support_seen(void);
void support_seen_free(struct seen *seen);
void support_seen_clear(struct seen *seen);
struct intake support_intake(struct seen *seen);

/* Only counts identities; allocates nothing. */
struct intake support_counting_intake(int *identities);

struct source_settings support_source(const char *name);

#endif
