/* Texts of which there are few, such as names from the configuration: each is kept once, to the end. */
#ifndef ROLEBRIDGE_BASE_INTERN_H
#define ROLEBRIDGE_BASE_INTERN_H

/* The list begins as NULL. */
struct interned {
	struct interned *next;
	char text[];
};

/* The same pointer for the same text, until intern_finish. NULL: out of memory. */
const char *intern(struct interned **list, const char *text);
void intern_finish(struct interned **list);

#endif
