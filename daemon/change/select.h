/* What others of change/ need of select.c. */
#ifndef CHANGE_SELECT_H
#define CHANGE_SELECT_H

#include <rolebridge/change/select.h>

/* NULL: none with a filter. */
const struct segment_settings *segment_find(const struct setup *setup, const char *name);
/* Does it read an attribute that is sensitive? */
bool selection_is_sensitive(const struct selection *selection);

#endif
