/* What personas add to the answers of definitions, status and metrics. */
#ifndef API_PERSONAS_H
#define API_PERSONAS_H

#include <rolebridge/store/definition.h>
#include <rolebridge/store/persona.h>

#include "internal.h"

struct persona_settings;

/* Members of a persona: its definition, and what is known of it. */
int show_persona(const struct reading_view *view, struct json *json, const void *item,
		 struct err *err);
/* Is its review overdue? */
int persona_overdue(const struct reading_view *view, const void *item, bool *ret_overdue,
		    struct err *err);

/* Of all in force that the caller sees; where nobody asks, of all. */
struct persona_figures {
	int64_t total, primary, overdue, unresearched, validated;
};
int personas_count(const struct reading_view *view, struct persona_figures *ret_figures,
		   struct err *err);
/* Member "personas". */
int show_persona_figures(const struct reading_view *view, struct json *json, struct err *err);

#endif
