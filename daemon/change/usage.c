/*
 * Reports (see usage.h). Enters: what is asked for, a snapshot, a setup. Leaves: groups with their counts. Fails:
 * store, memory.
 *
 * People are walked in order of their number; what each did and holds is read where it is needed: whoever did nothing
 * in the window costs one look. A group knows whom it counted last, so that somebody who comes to it by two
 * roles counts once.
 */
#include <rolebridge/change/usage.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/util.h>
#include <rolebridge/change/select.h>
#include <rolebridge/store/activity.h>

#include "internal.h"

#define PAGE_USERS 1000
#define PAGE_BYTES ((size_t)64 * 1024 * 1024)
#define GROUPS_MAX 1000000
#define CELLS_MAX 1000000
#define NO_GROUP UINT32_MAX

static const char *const by_names[USAGE_BYS] = { "profile",	   "role",    "persona",
						 "classification", "segment", "application",
						 "feature" };

const char *usage_by_name(enum usage_by by)
{
	return by_names[by];
}

/* A saved filter, and the group of whom it finds. */
struct chooser {
	struct selection *selection;
	uint32_t group;
};

struct usage {
	const struct usage_query *query;
	struct store *store;
	struct setup *setup;
	struct arena *arena;  /* the report's */
	struct arena *person; /* of one person */
	struct usage_report *report;
	uint16_t *periods; /* of a day, from the first */
	size_t capacity;   /* of report->groups */
	struct hash_table *places, *roles;
	struct chooser *choosers;
	size_t chooser_count;
	/* Of a feature's number: its group, or NO_GROUP; wanted at all. */
	uint32_t *feature_groups;
	bool *feature_wanted;
	int64_t feature_last;
	struct sign_ins *sign_ins;
	struct feature_use *feature_use;
	/* of the person */
	uint32_t *mine;
	size_t mine_count, mine_capacity;
};

static int no_memory(struct err *err)
{
	return err_set(err, ERR_MEMORY, "no memory for a report");
}

/* --- periods --- */

/* The first day of the period that a day is of. */
static int64_t period_start(enum usage_every every, int64_t day)
{
	time_t at = (time_t)(day * DAY_S);
	struct tm parts;

	switch (every) {
	case USAGE_DAY: return day;
	case USAGE_WEEK: return day - (day + 3) % 7; /* day 0 was a Thursday */
	case USAGE_MONTH: return gmtime_r(&at, &parts) ? day - (parts.tm_mday - 1) : day;
	case USAGE_WHOLE: break;
	}
	return 0;
}

static int make_periods(struct usage *usage, struct err *err)
{
	const struct usage_query *query = usage->query;
	struct usage_report *report = usage->report;
	int64_t days = query->to_day - query->from_day;

	if (days < 1 || days > USAGE_DAYS_MAX)
		return err_set(err, ERR_INVALID, "a report is of 1 to %d days", USAGE_DAYS_MAX);
	report->periods = arena_alloc_array(usage->arena, (size_t)days, sizeof(*report->periods));
	usage->periods = arena_alloc_array(usage->arena, (size_t)days, sizeof(*usage->periods));
	if (!report->periods || !usage->periods)
		return no_memory(err);
	for (int64_t i = 0, last = -1; i < days; i++) {
		int64_t start = period_start(query->every, query->from_day + i);

		if (i == 0 || start != last)
			report->periods[report->period_count++].from_day = query->from_day + i;
		last = start;
		report->periods[report->period_count - 1].to_day = query->from_day + i + 1;
		usage->periods[i] = (uint16_t)(report->period_count - 1);
	}
	if (report->period_count > USAGE_PERIODS_MAX)
		return err_set(err, ERR_INVALID, "more than %d periods: ask for weeks or months",
			       USAGE_PERIODS_MAX);
	return 0;
}

/* --- groups --- */

static bool is_by(const struct usage *usage, enum usage_by by)
{
	return usage->query->by & 1u << by;
}

static int group_init(struct usage *usage, struct usage_group *group, enum usage_by by,
		      const char *name, struct err *err)
{
	*group = (struct usage_group){ .by = by };
	group->name = arena_strdup(usage->arena, name);
	group->cells =
		arena_alloc_array(usage->arena, usage->report->period_count, sizeof(*group->cells));
	return group->name && group->cells ? 0 : no_memory(err);
}

static int add_group(struct usage *usage, enum usage_by by, const char *name, struct err *err)
{
	struct usage_report *report = usage->report;

	if (report->group_count * report->period_count >= CELLS_MAX)
		return err_set(err, ERR_TOO_LARGE, "too many groups: ask for fewer periods");
	if (report->group_count == usage->capacity) {
		size_t capacity = usage->capacity ? usage->capacity * 2 : 64;
		struct usage_group *groups =
			alloc_resize(report->groups, capacity * sizeof(*groups));

		if (!groups)
			return no_memory(err);
		report->groups = groups;
		usage->capacity = capacity;
	}
	if (group_init(usage, &report->groups[report->group_count], by, name, err) < 0)
		return -1;
	report->group_count++;
	return 0;
}

static int group_of(struct usage *usage, enum usage_by by, const char *name, uint32_t *ret_group,
		    struct err *err)
{
	struct fingerprint_prefix prefix;
	uint32_t *slot;
	int added;

	fingerprint_start(by_names[by], strlen(by_names[by]), &prefix);
	added = hash_table_put(usage->places, fingerprint_finish(&prefix, name, strlen(name)),
			       &slot);
	if (added < 0)
		return no_memory(err);
	if (added > 0) {
		*slot = (uint32_t)usage->report->group_count;
		*ret_group = *slot;
		return add_group(usage, by, name, err);
	}
	*ret_group = *slot;
	return 0;
}

/* What the organization does not have is none of its groups. */
static bool is_seen(const struct usage *usage, const char *owner)
{
	return catalogue_is_for(owner, usage->query->organization);
}

static int list_names(struct usage *usage, enum usage_by by, const struct located_list *names,
		      struct err *err)
{
	uint32_t group;

	for (size_t i = 0; i < names->count; i++)
		if (group_of(usage, by, names->items[i].text, &group, err) < 0)
			return -1;
	return 0;
}

static int list_roles(struct usage *usage, const struct catalogue_settings *catalogue,
		      struct err *err)
{
	const struct role_settings *roles = catalogue->roles.items;
	uint32_t group, *slot;

	for (size_t i = 0; i < catalogue->roles.count; i++) {
		const char *name = roles[i].name.text;

		if (hash_table_put(usage->roles, fingerprint128(name, strlen(name)), &slot) < 0)
			return no_memory(err);
		*slot = (uint32_t)i;
		if (is_by(usage, USAGE_BY_ROLE) && is_seen(usage, roles[i].organization) &&
		    group_of(usage, USAGE_BY_ROLE, name, &group, err) < 0)
			return -1;
	}
	return 0;
}

/* Also those that nobody holds. */
static int list_declared(struct usage *usage, struct err *err)
{
	const struct catalogue_settings *catalogue = usage->setup->catalogue;
	const struct profile_settings *profiles;
	const struct persona_settings *personas;
	uint32_t group;

	if (!catalogue)
		return 0;
	profiles = catalogue->profiles.items;
	personas = catalogue->personas.items;
	if (list_roles(usage, catalogue, err) < 0)
		return -1;
	for (size_t i = 0; is_by(usage, USAGE_BY_PROFILE) && i < catalogue->profiles.count; i++)
		if (is_seen(usage, profiles[i].organization) &&
		    group_of(usage, USAGE_BY_PROFILE, profiles[i].name.text, &group, err) < 0)
			return -1;
	for (size_t i = 0; is_by(usage, USAGE_BY_PERSONA) && i < catalogue->personas.count; i++)
		if (is_seen(usage, personas[i].organization) &&
		    group_of(usage, USAGE_BY_PERSONA, personas[i].name.text, &group, err) < 0)
			return -1;
	if (is_by(usage, USAGE_BY_CLASSIFICATION) &&
	    list_names(usage, USAGE_BY_CLASSIFICATION, &catalogue->classifications, err) < 0)
		return -1;
	return is_by(usage, USAGE_BY_SEGMENT)
		       ? list_names(usage, USAGE_BY_SEGMENT, &catalogue->segments, err)
		       : 0;
}

/* --- saved filters --- */

/* One that cannot be read any more, or not by whoever asks, is left out. */
static int add_chooser(struct usage *usage, const struct segment_settings *segment, struct err *err)
{
	const struct selection_options options = { .now_s = usage->query->now_s,
						   .sensitive = usage->query->sensitive,
						   .application = usage->query->accounts_of };
	struct chooser *chooser = &usage->choosers[usage->chooser_count];
	struct err problem = { 0 };

	if (selection_of_segment(usage->setup, usage->store, usage->query->organization,
				 segment->name.text, &options, &chooser->selection, &problem) < 0) {
		if (problem.code == ERR_DENIED || problem.code == ERR_INVALID ||
		    problem.code == ERR_NOT_FOUND)
			return 0;
		if (err)
			*err = problem;
		return -1;
	}
	usage->chooser_count++;
	if (selection_begin(chooser->selection, usage->store, err) < 0)
		return -1;
	return group_of(usage, USAGE_BY_SEGMENT, segment->name.text, &chooser->group, err);
}

static int list_choosers(struct usage *usage, struct err *err)
{
	const struct catalogue_settings *catalogue = usage->setup->catalogue;
	const struct segment_settings *segments;

	if (!catalogue || !is_by(usage, USAGE_BY_SEGMENT))
		return 0;
	segments = catalogue->segment_filters.items;
	usage->choosers = arena_alloc_array(usage->arena, catalogue->segment_filters.count + 1,
					    sizeof(*usage->choosers));
	if (!usage->choosers)
		return no_memory(err);
	for (size_t i = 0; i < catalogue->segment_filters.count; i++)
		if (is_seen(usage, segments[i].organization) &&
		    add_chooser(usage, &segments[i], err) < 0)
			return -1;
	return 0;
}

/* --- features --- */

static int feature_group(struct usage *usage, const struct feature *feature, uint32_t *ret_group,
			 struct err *err)
{
	const char *name;

	if (is_by(usage, USAGE_BY_APPLICATION))
		return group_of(usage, USAGE_BY_APPLICATION, feature->application, ret_group, err);
	if (!is_by(usage, USAGE_BY_FEATURE))
		return 0;
	name = arena_printf(usage->arena, "%s/%s", feature->application, feature->name);
	return name ? group_of(usage, USAGE_BY_FEATURE, name, ret_group, err) : no_memory(err);
}

static int list_features(struct usage *usage, struct err *err)
{
	const struct usage_query *query = usage->query;
	struct feature *features;
	size_t count;

	if (store_feature_list(usage->store, query->application, query->feature, usage->arena,
			       &features, &count, err) < 0)
		return -1;
	usage->feature_last = count ? features[count - 1].id : 0;
	usage->feature_groups = arena_alloc_array(usage->arena, (size_t)usage->feature_last + 1,
						  sizeof(*usage->feature_groups));
	usage->feature_wanted = arena_alloc_array(usage->arena, (size_t)usage->feature_last + 1,
						  sizeof(*usage->feature_wanted));
	if (!usage->feature_groups || !usage->feature_wanted)
		return no_memory(err);
	for (size_t i = 0; i < count; i++) {
		uint32_t *group = &usage->feature_groups[features[i].id];

		*group = NO_GROUP;
		usage->feature_wanted[features[i].id] = true;
		if (feature_group(usage, &features[i], group, err) < 0)
			return -1;
	}
	return 0;
}

static bool is_wanted(const struct usage *usage, int64_t feature)
{
	return feature <= usage->feature_last && usage->feature_wanted[feature];
}

/* --- what somebody holds --- */

static int add_mine(struct usage *usage, enum usage_by by, const char *name, struct err *err)
{
	uint32_t group;

	if (group_of(usage, by, name, &group, err) < 0)
		return -1;
	if (usage->mine_count == usage->mine_capacity) {
		size_t capacity = usage->mine_capacity ? usage->mine_capacity * 2 : 64;
		uint32_t *mine = alloc_resize(usage->mine, capacity * sizeof(*mine));

		if (!mine)
			return no_memory(err);
		usage->mine = mine;
		usage->mine_capacity = capacity;
	}
	usage->mine[usage->mine_count++] = group;
	return 0;
}

static int add_labels(struct usage *usage, enum usage_by by, const struct located_list *labels,
		      struct err *err)
{
	for (size_t i = 0; is_by(usage, by) && i < labels->count; i++)
		if (add_mine(usage, by, labels->items[i].text, err) < 0)
			return -1;
	return 0;
}

static int add_role(struct usage *usage, const char *name, struct err *err)
{
	const struct role_settings *roles;
	uint32_t place;

	if (is_by(usage, USAGE_BY_ROLE) && add_mine(usage, USAGE_BY_ROLE, name, err) < 0)
		return -1;
	if (!hash_table_get(usage->roles, fingerprint128(name, strlen(name)), &place))
		return 0;
	roles = usage->setup->catalogue->roles.items;
	if (add_labels(usage, USAGE_BY_CLASSIFICATION, &roles[place].classifications, err) < 0)
		return -1;
	return add_labels(usage, USAGE_BY_SEGMENT, &roles[place].segments, err);
}

static int add_grants(struct usage *usage, const struct user *user, struct err *err)
{
	struct grant *grants;
	size_t count;

	if (store_grants_of(usage->store, user->id, usage->person, &grants, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (grants[i].expires_s && grants[i].expires_s <= usage->query->now_s)
			continue;
		if (grants[i].kind == GRANT_ROLE && add_role(usage, grants[i].name, err) < 0)
			return -1;
		if (grants[i].kind == GRANT_PERSONA && is_by(usage, USAGE_BY_PERSONA) &&
		    add_mine(usage, USAGE_BY_PERSONA, grants[i].name, err) < 0)
			return -1;
	}
	return 0;
}

static int add_chosen(struct usage *usage, const struct user *user, struct err *err)
{
	for (size_t i = 0; i < usage->chooser_count; i++) {
		bool matches;

		if (selection_matches(usage->choosers[i].selection, usage->store, user,
				      usage->person, &matches, err) < 0)
			return -1;
		if (matches &&
		    add_mine(usage, USAGE_BY_SEGMENT,
			     usage->report->groups[usage->choosers[i].group].name, err) < 0)
			return -1;
	}
	return 0;
}

static int find_mine(struct usage *usage, const struct user *user, struct err *err)
{
	const unsigned by_grants = 1u << USAGE_BY_ROLE | 1u << USAGE_BY_PERSONA |
				   1u << USAGE_BY_CLASSIFICATION | 1u << USAGE_BY_SEGMENT;

	usage->mine_count = 0;
	if (is_by(usage, USAGE_BY_PROFILE) && user->profile[0] &&
	    add_mine(usage, USAGE_BY_PROFILE, user->profile, err) < 0)
		return -1;
	if (usage->query->by & by_grants && add_grants(usage, user, err) < 0)
		return -1;
	return add_chosen(usage, user, err);
}

/* --- counting --- */

struct person_days {
	int64_t user_id;
	struct sign_ins_of sign_ins;
	const struct feature_day *uses;
	size_t use_count;
};

static void count_cell(struct usage_cell *cell, int64_t user_id, int64_t count)
{
	cell->people += cell->last_user != user_id;
	cell->last_user = user_id;
	cell->count += count;
}

static void count_day(struct usage *usage, struct usage_group *group, int64_t user_id, int64_t day,
		      int64_t count)
{
	count_cell(&group->total, user_id, count);
	count_cell(&group->cells[usage->periods[day - usage->query->from_day]], user_id, count);
}

static int64_t count_wanted(const struct usage *usage, const struct person_days *days)
{
	int64_t wanted = 0;

	for (size_t i = 0; i < days->use_count; i++)
		wanted += is_wanted(usage, days->uses[i].feature);
	return wanted;
}

static void count_in(struct usage *usage, struct usage_group *group, const struct person_days *days)
{
	/* By two roles, or twice. */
	if (group->last_user == days->user_id)
		return;
	group->last_user = days->user_id;
	switch (usage->query->kind) {
	case USAGE_SIGN_INS:
		for (size_t i = 0; i < days->sign_ins.day_count; i++)
			count_day(usage, group, days->user_id, days->sign_ins.days[i].day,
				  days->sign_ins.days[i].count);
		break;
	case USAGE_FEATURES:
		for (size_t i = 0; i < days->use_count; i++)
			if (is_wanted(usage, days->uses[i].feature))
				count_day(usage, group, days->user_id, days->uses[i].day,
					  days->uses[i].count);
		break;
	case USAGE_ADOPTION:
	case USAGE_LAST_SEEN:
		group->holders++;
		group->signed_in += days->sign_ins.count > 0;
		group->users += count_wanted(usage, days) > 0;
		if (days->sign_ins.last_s > group->last_s)
			group->last_s = days->sign_ins.last_s;
		break;
	}
}

static void count_features(struct usage *usage, const struct person_days *days)
{
	for (size_t i = 0; i < days->use_count; i++) {
		const struct feature_day *use = &days->uses[i];

		if (is_wanted(usage, use->feature))
			count_day(usage,
				  &usage->report->groups[usage->feature_groups[use->feature]],
				  days->user_id, use->day, use->count);
	}
}

static int read_days(struct usage *usage, int64_t user_id, struct person_days *ret_days,
		     struct err *err)
{
	const struct usage_query *query = usage->query;

	*ret_days = (struct person_days){ .user_id = user_id };
	if (query->kind != USAGE_FEATURES &&
	    store_sign_ins_of(usage->sign_ins, user_id, query->from_day, query->to_day,
			      &ret_days->sign_ins, err) < 0)
		return -1;
	if ((query->kind == USAGE_FEATURES || query->kind == USAGE_ADOPTION) &&
	    usage->feature_last &&
	    store_feature_use_of(usage->feature_use, user_id, query->from_day, query->to_day,
				 &ret_days->uses, &ret_days->use_count, err) < 0)
		return -1;
	return 0;
}

static bool did_nothing(const struct usage *usage, const struct person_days *days)
{
	if (usage->query->kind == USAGE_SIGN_INS)
		return days->sign_ins.day_count == 0;
	return usage->query->kind == USAGE_FEATURES && count_wanted(usage, days) == 0;
}

static int count_person(struct usage *usage, const struct user *user, struct err *err)
{
	struct person_days days;

	arena_reset(usage->person);
	if (read_days(usage, user->id, &days, err) < 0)
		return -1;
	if (did_nothing(usage, &days))
		return 0;
	count_in(usage, &usage->report->all, &days);
	if (usage->query->by & (1u << USAGE_BY_APPLICATION | 1u << USAGE_BY_FEATURE)) {
		count_features(usage, &days);
		return 0;
	}
	if (find_mine(usage, user, err) < 0)
		return -1;
	for (size_t i = 0; i < usage->mine_count; i++)
		count_in(usage, &usage->report->groups[usage->mine[i]], &days);
	return 0;
}

static int count_people(struct usage *usage, struct err *err)
{
	AUTO(arena) struct arena *page = arena_create(PAGE_BYTES);
	bool active = usage->query->kind == USAGE_ADOPTION || usage->query->kind == USAGE_LAST_SEEN;
	struct user_query query = { .organization = usage->query->organization,
				    .active = active ? 1 : -1,
				    .limit = PAGE_USERS };
	struct user *users;
	size_t count = PAGE_USERS;

	if (!page)
		return no_memory(err);
	while (count == PAGE_USERS) {
		arena_reset(page);
		if (store_user_list(usage->store, &query, page, &users, &count, err) < 0)
			return -1;
		for (size_t i = 0; i < count; i++)
			if (count_person(usage, &users[i], err) < 0)
				return -1;
		if (count > 0)
			query.after_id = users[count - 1].id;
	}
	return 0;
}

/* --- the whole --- */

static int compare_groups(const void *a, const void *b)
{
	const struct usage_group *x = a, *y = b;

	return x->by != y->by ? (x->by > y->by) - (x->by < y->by) : strcmp(x->name, y->name);
}

/* What applications tell of is no organization's: one sees what its own people used. */
static bool is_told(const struct usage *usage, const struct usage_group *group)
{
	return !usage->query->organization || group->total.count > 0 ||
	       (group->by != USAGE_BY_APPLICATION && group->by != USAGE_BY_FEATURE);
}

static int make_report(struct usage *usage, struct err *err)
{
	struct usage_report *report = usage->report;
	struct usage_group *groups;
	size_t told = 0;

	if (make_periods(usage, err) < 0 ||
	    group_init(usage, &report->all, USAGE_BYS, "", err) < 0 ||
	    list_declared(usage, err) < 0 || list_choosers(usage, err) < 0 ||
	    list_features(usage, err) < 0 || count_people(usage, err) < 0)
		return -1;
	groups = arena_alloc_array(usage->arena, report->group_count + 1, sizeof(*groups));
	if (!groups)
		return no_memory(err);
	for (size_t i = 0; i < report->group_count; i++)
		if (is_told(usage, &report->groups[i]))
			groups[told++] = report->groups[i];
	if (told)
		qsort(groups, told, sizeof(*groups), compare_groups);
	free(report->groups);
	report->groups = groups;
	report->group_count = told;
	return 0;
}

static void usage_finish(struct usage *usage)
{
	for (size_t i = 0; i < usage->chooser_count; i++)
		selection_free(usage->choosers[i].selection);
	store_sign_ins_close(usage->sign_ins);
	store_feature_use_close(usage->feature_use);
	hash_table_destroy(usage->places);
	hash_table_destroy(usage->roles);
	arena_destroy(usage->person);
	free(usage->mine);
}

int usage_run(const struct usage_query *query, struct store *store, struct setup *setup,
	      struct arena *arena, struct usage_report *ret_report, struct err *err)
{
	struct usage_report report = { .group_count = 0 };
	struct usage usage = {
		.query = query, .store = store, .setup = setup, .arena = arena, .report = &report
	};
	int result = -1;

	usage.person = arena_create(PERSON_BYTES_MAX);
	usage.places = hash_table_create(256, GROUPS_MAX);
	usage.roles = hash_table_create(256, GROUPS_MAX);
	if (!usage.person || !usage.places || !usage.roles) {
		no_memory(err);
	} else {
		usage.sign_ins = store_sign_ins_open(store, err);
		if (usage.sign_ins)
			usage.feature_use = store_feature_use_open(store, err);
		if (usage.feature_use)
			result = make_report(&usage, err);
	}
	if (result < 0)
		free(report.groups);
	else
		*ret_report = report;
	usage_finish(&usage);
	return result;
}
