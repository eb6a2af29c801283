/* What follows from what is known of personas. Pure; nothing can fail. */
#include <rolebridge/model/persona.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DAY_S INT64_C(86400)
#define KINDS_MAX 5

static const char *const kinds[PERSONA_RECORD_TYPES][KINDS_MAX] = {
	[PERSONA_RESEARCH] = { "", "interview", "ticket", "usage", "crm" },
	[PERSONA_VALIDATION] = { "", "yes", "partly", "no" },
	[PERSONA_LINK] = { "", "story", "review", "ticket" },
};

const char *persona_kind_name(enum persona_record_type type, int kind)
{
	if ((size_t)type >= PERSONA_RECORD_TYPES || kind < 0 || kind >= KINDS_MAX ||
	    !kinds[type][kind])
		return "";
	return kinds[type][kind];
}

int persona_kind_count(enum persona_record_type type)
{
	int count = 0;

	while (count + 1 < KINDS_MAX && kinds[type][count + 1])
		count++;
	return count;
}

int persona_kind_find(enum persona_record_type type, const char *name)
{
	for (int kind = 1; kind < KINDS_MAX && kinds[type][kind]; kind++)
		if (strcmp(kinds[type][kind], name) == 0)
			return kind;
	return 0;
}

/* A year after 29 February is 1 March. */
int64_t persona_year_after(int64_t time_s)
{
	time_t given = (time_t)time_s;
	struct tm day;

	if (!gmtime_r(&given, &day))
		return time_s;
	day.tm_year++;
	day.tm_hour = day.tm_min = day.tm_sec = 0;
	return (int64_t)timegm(&day);
}

int64_t persona_review_due(int64_t declared_s, const struct persona_facts *facts)
{
	int64_t due_s = declared_s;

	if (!facts)
		return due_s;
	if (facts->next_due_s > due_s)
		due_s = facts->next_due_s;
	if (due_s != 0)
		return due_s;
	if (facts->reviewed_s > facts->noted_s)
		return persona_year_after(facts->reviewed_s);
	return facts->noted_s ? persona_year_after(facts->noted_s) : 0;
}

bool persona_is_overdue(int64_t due_s, int64_t now_s)
{
	return due_s != 0 && now_s - due_s >= DAY_S;
}

bool persona_lacks_research(bool primary, const struct persona_facts *facts)
{
	return primary && (!facts || facts->counts[PERSONA_INTERVIEWS] < PERSONA_INTERVIEWS_NEEDED);
}

bool persona_is_validated(const struct persona_facts *facts)
{
	return facts && facts->counts[PERSONA_YES] >= PERSONA_YES_NEEDED;
}

static int compare_name(const void *name, const void *facts)
{
	return strcmp(name, ((const struct persona_facts *)facts)->name);
}

const struct persona_facts *persona_facts_find(const struct persona_facts *facts, size_t count,
					       const char *name)
{
	if (count == 0)
		return NULL;
	return bsearch(name, facts, count, sizeof(*facts), compare_name);
}
