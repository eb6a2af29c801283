/* Texts kept once (see intern.h). */
#include <rolebridge/base/intern.h>

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>

const char *intern(struct interned **list, const char *text)
{
	size_t size = strlen(text) + 1;
	struct interned *name;

	for (name = *list; name; name = name->next)
		if (strcmp(name->text, text) == 0)
			return name->text;
	name = alloc_zeroed(1, sizeof(*name) + size);
	if (!name)
		return NULL;
	memcpy(name->text, text, size);
	name->next = *list;
	*list = name;
	return name->text;
}

void intern_finish(struct interned **list)
{
	while (*list) {
		struct interned *name = *list;

		*list = name->next;
		free(name);
	}
}
