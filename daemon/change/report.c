/* The report of a run: lines for people, exact counts. Fails only when memory runs out. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>

#define REPORT_BYTES_MAX (256u * 1024 * 1024)

void run_report_init(struct run_report *report)
{
	*report = (struct run_report){
		.arena = arena_create(REPORT_BYTES_MAX),
		.problem = "",
		.server = "",
		.plan_id = "",
	};
}

void run_report_finish(struct run_report *report)
{
	arena_destroy(report->arena);
	free(report->changes);
	free(report->holds);
	*report = (struct run_report){ .problem = "", .server = "", .plan_id = "" };
}

void report_watch(struct run_report *report, const struct run_report *from)
{
	report->organization = from ? from->organization : NULL;
	report->progress = from ? from->progress : NULL;
	report->progress_context = from ? from->progress_context : NULL;
}

int report_give(struct run_report *report, int result, struct run_report *ret_report)
{
	if (result == 0 && ret_report) {
		run_report_finish(ret_report);
		*ret_report = *report;
	} else {
		run_report_finish(report);
	}
	return result;
}

static int add_line(struct run_report *report, const struct report_change *line, struct err *err)
{
	report->changes_total++;
	if (report->change_count == PLAN_LISTED_MAX)
		return 0;
	if ((report->change_count & (report->change_count - 1)) == 0) {
		size_t capacity = report->change_count ? report->change_count * 2 : 16;
		struct report_change *grown =
			reallocarray(report->changes, capacity, sizeof(*grown));

		if (!grown)
			return err_set(err, ERR_MEMORY, "no memory for the report");
		report->changes = grown;
	}
	report->changes[report->change_count++] = *line;
	return 0;
}

struct lines {
	struct run_report *report;
	struct report_change base;
};

/* Texts are copied only for lines that are kept. */
static int line(struct lines *lines, const char *what, const char *kind, const char *before,
		const char *after, const char *why, struct err *err)
{
	struct run_report *report = lines->report;
	struct report_change change = lines->base;

	if (report->change_count < PLAN_LISTED_MAX) {
		if (!change.username) {
			report->changes_total++;
			return err_set(err, ERR_MEMORY, "no memory for the report");
		}
		change.what = what;
		change.kind = kind;
		change.before = arena_strdup(report->arena, before);
		change.after = arena_strdup(report->arena, after);
		change.why = arena_strdup(report->arena, why);
		if (!change.before || !change.after || !change.why)
			return err_set(err, ERR_MEMORY, "no memory for the report");
	}
	return add_line(report, &change, err);
}

static const char *why_grant(const struct grant *grant)
{
	return grant->origin_id[0] ? grant->origin_id : origin_kind_name(grant->origin);
}

/* The first reason that is new (or gone). */
static const char *reason_name(uint32_t bits)
{
	return bits ? disable_reason_name(bits & -bits) : "";
}

static const char *why_profile(const struct person_change *change)
{
	for (size_t i = 0; i < change->added_count; i++)
		if (change->added[i].kind == GRANT_PROFILE &&
		    strcmp(change->added[i].name, change->after.profile) == 0)
			return why_grant(&change->added[i]);
	return change->cause;
}

static int report_grants(struct lines *lines, const struct person_change *change, struct err *err)
{
	for (size_t i = 0; i < change->gained_count; i++)
		if (change->added[i].kind != GRANT_PROFILE &&
		    line(lines, "grant", grant_kind_name(change->added[i].kind), "",
			 change->added[i].name, why_grant(&change->added[i]), err) < 0)
			return -1;
	for (size_t i = 0; i < change->lost_count; i++)
		if (change->removed[i].kind != GRANT_PROFILE &&
		    line(lines, "revoke", grant_kind_name(change->removed[i].kind),
			 change->removed[i].name, "", why_grant(&change->removed[i]), err) < 0)
			return -1;
	return 0;
}

static int report_fields(struct lines *lines, const struct person_change *change, struct err *err)
{
	const struct user *b = &change->before, *a = &change->after;
	const struct {
		const char *name, *before, *after;
	} fields[] = { { "username", b->username, a->username },
		       { "email", b->email, a->email },
		       { "display-name", b->display_name, a->display_name } };

	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (strcmp(fields[i].before, fields[i].after) != 0 &&
		    line(lines, "update", fields[i].name, fields[i].before, fields[i].after,
			 change->cause, err) < 0)
			return -1;
	return 0;
}

static struct lines start_lines(struct run_report *report, const struct user *after, bool held)
{
	struct lines lines = { .report = report,
			       .base = { .username = "",
					 .display_name = "",
					 .uuid = after->uuid,
					 .what = "",
					 .kind = "",
					 .before = "",
					 .after = "",
					 .why = "",
					 .held = held } };

	if (report->change_count < PLAN_LISTED_MAX) {
		lines.base.username = arena_strdup(report->arena, after->username);
		lines.base.display_name = arena_strdup(report->arena, after->display_name);
		if (!lines.base.display_name)
			lines.base.username = NULL;
	}
	return lines;
}

static bool is_listed(const struct run_report *report, const struct person_change *change)
{
	return !report->organization ||
	       strcmp(report->organization, change->after.organization) == 0;
}

static void count_listed(struct run_report *report, const struct person_change *change, bool held)
{
	struct applied applied = { 0 };

	if (held)
		report->listed.held++;
	else
		apply_count(&applied, change);
	report->listed.created += applied.created;
	report->listed.updated += applied.updated;
	report->listed.disabled += applied.disabled;
	report->listed.enabled += applied.enabled;
	report->listed.granted += applied.granted;
	report->listed.revoked += applied.revoked;
}

void run_report_narrow(struct run_report *report)
{
	if (!report->organization)
		return;
	report->created = report->listed.created;
	report->updated = report->listed.updated;
	report->disabled = report->listed.disabled;
	report->enabled = report->listed.enabled;
	report->granted = report->listed.granted;
	report->revoked = report->listed.revoked;
	report->held = report->listed.held;
	report->hold_count = 0;
	report->unchanged = report->entries = 0;
}

int report_conflict(struct run_report *report, const struct person_change *change, const char *kind,
		    const char *before, const char *after, const char *why, struct err *err)
{
	struct lines lines;

	if (!is_listed(report, change))
		return 0;
	lines = start_lines(report, &change->after, false);
	return line(&lines, "conflict", kind, before, after, why, err);
}

int run_report_person(struct run_report *report, const struct person_change *change, bool held,
		      struct err *err)
{
	const struct user *before = &change->before, *after = &change->after;
	struct lines lines;
	bool is_new = before->id == 0 && !held;
	bool was = before->id != 0 && user_is_active(before), is = user_is_active(after);

	if (!person_change_is_visible(change) || !is_listed(report, change))
		return 0;
	count_listed(report, change, held);
	lines = start_lines(report, after, held);
	if (is_new && line(&lines, "create", "", "", after->username, change->cause, err) < 0)
		return -1;
	if (was && !is &&
	    line(&lines, "disable", "", "active", "disabled",
		 reason_name(after->disabled & DISABLED_ANY & ~before->disabled), err) < 0)
		return -1;
	if (!was && is && before->id != 0 &&
	    line(&lines, "enable", "", "disabled", "active",
		 reason_name(before->disabled & ~after->disabled), err) < 0)
		return -1;
	if (strcmp(before->profile, after->profile) != 0 &&
	    line(&lines, "profile", "profile", before->profile, after->profile, why_profile(change),
		 err) < 0)
		return -1;
	if (report_grants(&lines, change, err) < 0)
		return -1;
	return is_new ? 0 : report_fields(&lines, change, err);
}

int report_hold(struct run_report *report, const char *kind, const char *subject, const char *text,
		int64_t count, struct err *err)
{
	struct report_hold *grown =
		report->organization
			? report->holds
			: reallocarray(report->holds, report->hold_count + 1, sizeof(*grown));

	if (report->organization)
		return 0;
	if (!grown)
		return err_set(err, ERR_MEMORY, "no memory for the report");
	report->holds = grown;
	grown += report->hold_count;
	grown->kind = kind;
	grown->subject = arena_strdup(report->arena, subject);
	grown->text = arena_strdup(report->arena, text);
	grown->count = count;
	if (!grown->subject || !grown->text)
		return err_set(err, ERR_MEMORY, "no memory for the report");
	report->hold_count++;
	return 0;
}

static int compare_lines(const void *a, const void *b)
{
	const struct report_change *left = a, *right = b;
	int order = strcmp(left->username, right->username);

	if (order == 0)
		order = memcmp(left->uuid.byte, right->uuid.byte, sizeof(left->uuid.byte));
	if (order == 0)
		order = strcmp(left->what, right->what);
	if (order == 0)
		order = strcmp(left->kind, right->kind);
	if (order == 0)
		order = strcmp(left->after, right->after);
	if (order == 0)
		order = strcmp(left->before, right->before);
	if (order == 0)
		order = strcmp(left->why, right->why);
	return order == 0 ? (int)left->held - (int)right->held : order;
}

void run_report_sort(struct run_report *report)
{
	if (report->change_count > 1)
		qsort(report->changes, report->change_count, sizeof(*report->changes),
		      compare_lines);
}
