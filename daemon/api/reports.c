/*
 * Reports. Enters: what to group by, which days. Leaves: JSON or CSV. Whoever is bound to an organization is told of its
 * people alone. Reports tell of groups; who has not signed in tells of people, and asks for the right to read them.
 */
#include "reports.h"

#include <rolebridge/base/clock.h>
#include <rolebridge/base/csv.h>
#include <rolebridge/change/usage.h>
#include <rolebridge/store/activity.h>

#include "access.h"

#define REPORT_BYTES ((size_t)192 * 1024 * 1024)
#define DAYS_DEFAULT 30
/* Each takes a core for as long as it runs. */
#define REPORTS_AT_ONCE 4
#define DATE_TEXT sizeof("2026-01-31")

struct wish {
	struct usage_query query;
	int64_t days;
	bool csv;
};

/* --- what is asked for --- */

static int refuse(struct http_request *request, const char *field, const char *message,
		  struct err *err)
{
	request->error_field = field;
	return err_set(err, ERR_INVALID, "'%s' %s", field, message);
}

int report_format(struct http_request *request, bool *ret_csv, struct err *err)
{
	const char *format = http_query(request, "format");
	const char *accept = http_header(request, "Accept");

	*ret_csv = format ? strcmp(format, "csv") == 0
			  : accept && strncmp(accept, "text/csv", strlen("text/csv")) == 0;
	if (!format || *ret_csv || strcmp(format, "json") == 0)
		return 0;
	return refuse(request, "format", "must be json or csv", err);
}

static int read_by(struct http_request *request, unsigned allowed, unsigned *ret_by,
		   struct err *err)
{
	AUTO(strbuf) struct strbuf names = STRBUF(1024);
	const char *text = http_query(request, "by");

	for (int by = 0; by < USAGE_BYS; by++) {
		const char *name = usage_by_name((enum usage_by)by);

		if (!(allowed & 1u << by))
			continue;
		if (text && strcmp(text, name) == 0) {
			*ret_by = 1u << by;
			return 0;
		}
		strbuf_printf(&names, "%s%s", names.size ? ", " : "must be one of ", name);
	}
	return refuse(request, "by", strbuf_text(&names), err);
}

static int read_every(struct http_request *request, enum usage_every *ret_every, struct err *err)
{
	static const char *const words[] = { "day", "week", "month" };
	const char *text = http_query(request, "every");

	*ret_every = USAGE_WHOLE;
	if (!text)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcmp(text, words[i]) == 0) {
			*ret_every = (enum usage_every)(USAGE_DAY + i);
			return 0;
		}
	return refuse(request, "every", "must be day, week or month", err);
}

static int read_day(struct http_request *request, const char *name, int64_t fallback,
		    int64_t *ret_day, struct err *err)
{
	const char *text = http_query(request, name);
	int64_t time_s;

	*ret_day = fallback;
	if (!text)
		return 0;
	if (clock_parse_date(text, &time_s, NULL) < 0 || time_s < 0)
		return refuse(request, name, "must be a day like 2026-01-31", err);
	*ret_day = time_s / DAY_S;
	return 0;
}

/* Both ends are of it. */
static int read_window(struct http_request *request, struct usage_query *query, struct err *err)
{
	int64_t today = query->now_s / DAY_S, last;

	if (read_day(request, "to", today, &last, err) < 0 ||
	    read_day(request, "from", last - DAYS_DEFAULT + 1, &query->from_day, err) < 0)
		return -1;
	query->to_day = last + 1;
	if (query->from_day < 0)
		query->from_day = 0;
	if (query->from_day > last)
		return refuse(request, "from", "is after 'to'", err);
	if (query->to_day - query->from_day > USAGE_DAYS_MAX)
		return refuse(request, "from", "is too long ago: a report is of ten years at most",
			      err);
	return 0;
}

/* `@all` ends at the organization; another one, asked for by name, is not there. */
int report_organization(struct http_request *request, const char **ret_organization,
			struct err *err)
{
	const char *own = api_organization(request), *asked = http_query(request, "organization");

	*ret_organization = asked && asked[0] ? asked : own;
	if (!own || strcmp(*ret_organization, own) == 0)
		return 0;
	request->error_field = "organization";
	return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such organization");
}

static const char *given(const char *text)
{
	return text && text[0] ? text : NULL;
}

#define BY_HELD \
	(1u << USAGE_BY_PROFILE | 1u << USAGE_BY_ROLE | 1u << USAGE_BY_PERSONA | \
	 1u << USAGE_BY_CLASSIFICATION | 1u << USAGE_BY_SEGMENT)
#define BY_USED (1u << USAGE_BY_APPLICATION | 1u << USAGE_BY_FEATURE)

static int read_common(struct http_request *request, struct wish *wish, struct err *err)
{
	wish->query.now_s = clock_now_s();
	if (report_format(request, &wish->csv, err) < 0 ||
	    report_organization(request, &wish->query.organization, err) < 0)
		return -1;
	return 0;
}

/* A token of one application is told of no other one's events. */
static int read_events(struct http_request *request, struct usage_query *query, struct err *err)
{
	const char *own = api_actor(request).application;

	query->application = given(http_query(request, "application"));
	query->feature = given(http_query(request, "feature"));
	if (own && query->application && strcmp(own, query->application) != 0) {
		request->error_field = "application";
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such application");
	}
	if (own)
		query->application = arena_strdup(request->arena, own);
	return own && !query->application ? err_set(err, ERR_MEMORY, "out of memory") : 0;
}

static int read_wish(struct http_request *request, struct wish *wish, struct err *err)
{
	static const char *const names[USAGE_LAST_SEEN][10] = {
		[USAGE_SIGN_INS] = { "by", "from", "to", "every", "organization", "format", NULL },
		[USAGE_FEATURES] = { "by", "from", "to", "every", "organization", "format",
				     "application", "feature", NULL },
		[USAGE_ADOPTION] = { "by", "from", "to", "organization", "format", "application",
				     "feature", NULL },
	};
	struct usage_query *query = &wish->query;
	unsigned allowed = query->kind == USAGE_FEATURES ? BY_HELD | BY_USED : BY_HELD;

	if (http_query_allow(request, names[query->kind], err) < 0 ||
	    read_common(request, wish, err) < 0 || read_by(request, allowed, &query->by, err) < 0 ||
	    read_window(request, query, err) < 0 || read_every(request, &query->every, err) < 0)
		return -1;
	return read_events(request, query, err);
}

/* --- running --- */

static int run_report(struct http_request *request, struct wish *wish, struct arena *arena,
		      struct usage_report *ret_report, struct err *err)
{
	AUTO(reading_view) struct reading_view view = { 0 };
	struct api *api = request->context;
	struct authority authority;
	int result = -1;

	if (atomic_fetch_add(&api->reporting, 1) >= REPORTS_AT_ONCE) {
		request->retry_after_s = 1;
		err_refuse(err, ERR_UNAVAILABLE, "busy", "other reports are being made");
	} else if (view_open(request, &view, err) == 0 &&
		   api_authority(request, &view, &authority, err) == 0) {
		wish->query.sensitive = authority_allows(&authority, "attributes:read@all");
		wish->query.accounts_of = api_actor(request).application;
		result = usage_run(&wish->query, view.store, view.setup, arena, ret_report, err);
	}
	atomic_fetch_sub(&api->reporting, 1);
	if (result < 0 && err->code == ERR_INVALID)
		request->error_field = wish->query.every == USAGE_WHOLE ? "from" : "every";
	return result;
}

static struct arena *report_arena(struct err *err)
{
	struct arena *arena = arena_create(REPORT_BYTES);

	if (!arena)
		err_set(err, ERR_MEMORY, "out of memory");
	return arena;
}

/* --- writing --- */

static const char *day_text(int64_t day, char text[static CLOCK_TEXT_SIZE])
{
	clock_format(day * DAY_S, text);
	text[DATE_TEXT - 1] = '\0';
	return text;
}

static void show_day(struct json *json, const char *name, int64_t day)
{
	char text[CLOCK_TEXT_SIZE];

	json_string(json, name, day_text(day, text));
}

/* "0.4375"; nobody of nobody is no share. */
static const char *share_text(int64_t part, int64_t whole, char text[static 32])
{
	if (whole == 0)
		return NULL;
	snprintf(text, 32, "%.4f", (double)part / (double)whole);
	return text;
}

static void show_share(struct json *json, const char *name, int64_t part, int64_t whole)
{
	char text[32];

	json_raw(json, name, whole ? share_text(part, whole, text) : "null");
}

static void put_number(struct strbuf *out, int64_t number)
{
	strbuf_printf(out, ",%lld", (long long)number);
}

static void put_day(struct strbuf *out, int64_t day)
{
	char text[CLOCK_TEXT_SIZE];

	strbuf_printf(out, ",%s", day_text(day, text));
}

void report_put_time(struct strbuf *out, int64_t time_s)
{
	char text[CLOCK_TEXT_SIZE] = "";

	if (time_s)
		clock_format(time_s, text);
	strbuf_printf(out, ",%s", text);
}

static void put_name(struct strbuf *out, const struct usage_group *group)
{
	strbuf_printf(out, "%s,", group->by == USAGE_BYS ? "all" : usage_by_name(group->by));
	csv_put_text(out, group->name, ',');
}

/* --- sign-ins, feature use --- */

static void show_cell(struct json *json, const struct wish *wish, const struct usage_cell *cell)
{
	json_int(json, "people", cell->people);
	json_int(json, wish->query.kind == USAGE_SIGN_INS ? "sign_ins" : "uses", cell->count);
}

/* Members of a group. Periods in which nothing happened are left out. */
static void show_counts(struct json *json, const struct wish *wish,
			const struct usage_report *report, const struct usage_group *group)
{
	show_cell(json, wish, &group->total);
	if (wish->query.every == USAGE_WHOLE)
		return;
	json_array_key(json, "periods");
	for (size_t i = 0; i < report->period_count; i++) {
		if (group->cells[i].count == 0)
			continue;
		json_object(json);
		show_day(json, "from", report->periods[i].from_day);
		show_day(json, "to", report->periods[i].to_day - 1);
		show_cell(json, wish, &group->cells[i]);
		json_end(json);
	}
	json_end(json);
}

static void put_counts(struct strbuf *out, const struct wish *wish,
		       const struct usage_report *report, const struct usage_group *group)
{
	for (size_t i = 0; i < report->period_count; i++) {
		const struct usage_cell *cell = &group->cells[i];

		if (wish->query.every != USAGE_WHOLE && cell->count == 0)
			continue;
		put_name(out, group);
		put_day(out, report->periods[i].from_day);
		put_day(out, report->periods[i].to_day - 1);
		put_number(out, cell->people);
		put_number(out, cell->count);
		strbuf_puts(out, "\r\n");
	}
}

/* --- adoption --- */

static void show_adoption(struct json *json, const struct wish *wish,
			  const struct usage_report *report, const struct usage_group *group)
{
	(void)wish;
	(void)report;
	json_int(json, "holders", group->holders);
	json_int(json, "signed_in", group->signed_in);
	show_share(json, "signed_in_share", group->signed_in, group->holders);
	json_int(json, "used", group->users);
	show_share(json, "used_share", group->users, group->holders);
}

static void put_share(struct strbuf *out, int64_t part, int64_t whole)
{
	char text[32];

	strbuf_printf(out, ",%s", whole ? share_text(part, whole, text) : "");
}

static void put_adoption(struct strbuf *out, const struct wish *wish,
			 const struct usage_report *report, const struct usage_group *group)
{
	(void)wish;
	(void)report;
	put_name(out, group);
	put_number(out, group->holders);
	put_number(out, group->signed_in);
	put_share(out, group->signed_in, group->holders);
	put_number(out, group->users);
	put_share(out, group->users, group->holders);
	strbuf_puts(out, "\r\n");
}

/* --- reports by group --- */

static const struct style {
	const char *header;
	void (*show)(struct json *, const struct wish *, const struct usage_report *,
		     const struct usage_group *);
	void (*put)(struct strbuf *, const struct wish *, const struct usage_report *,
		    const struct usage_group *);
} styles[] = {
	[USAGE_SIGN_INS] = { "by,name,from,to,people,sign_ins", show_counts, put_counts },
	[USAGE_FEATURES] = { "by,name,from,to,people,uses", show_counts, put_counts },
	[USAGE_ADOPTION] = { "by,name,holders,signed_in,signed_in_share,used,used_share",
			     show_adoption, put_adoption },
};

static void show_report(struct json *json, const struct wish *wish,
			const struct usage_report *report, const char *by)
{
	const struct style *style = &styles[wish->query.kind];

	json_object(json);
	json_string(json, "by", by);
	show_day(json, "from", wish->query.from_day);
	show_day(json, "to", wish->query.to_day - 1);
	json_array_key(json, "groups");
	for (size_t i = 0; i < report->group_count; i++) {
		json_object(json);
		json_string(json, "name", report->groups[i].name);
		style->show(json, wish, report, &report->groups[i]);
		json_end(json);
	}
	json_end(json);
	json_object_key(json, "all");
	style->show(json, wish, report, &report->all);
	json_end(json);
	json_end(json);
}

static void begin_csv(struct http_response *response, const char *header)
{
	response->content_type = "text/csv; charset=utf-8";
	strbuf_printf(&response->body, "%s\r\n", header);
}

static int answer_report(struct http_request *request, struct http_response *response,
			 enum usage_kind kind, struct err *err)
{
	struct wish wish = { .query = { .kind = kind } };
	const struct style *style = &styles[kind];
	AUTO(arena) struct arena *arena = report_arena(err);
	struct usage_report report;
	struct json json = api_json(response);

	if (!arena || read_wish(request, &wish, err) < 0 ||
	    run_report(request, &wish, arena, &report, err) < 0)
		return -1;
	if (!wish.csv) {
		show_report(&json, &wish, &report, http_query(request, "by"));
		return 0;
	}
	begin_csv(response, style->header);
	style->put(&response->body, &wish, &report, &report.all);
	for (size_t i = 0; i < report.group_count; i++)
		style->put(&response->body, &wish, &report, &report.groups[i]);
	return 0;
}

int report_sign_ins_get(struct http_request *request, struct http_response *response,
			struct err *err)
{
	return answer_report(request, response, USAGE_SIGN_INS, err);
}

int report_feature_use_get(struct http_request *request, struct http_response *response,
			   struct err *err)
{
	return answer_report(request, response, USAGE_FEATURES, err);
}

int report_adoption_get(struct http_request *request, struct http_response *response,
			struct err *err)
{
	return answer_report(request, response, USAGE_ADOPTION, err);
}

/* --- what nobody uses --- */

/* NULL: it is used. */
static const char *unused_reason(const struct wish *wish, const struct usage_group *group)
{
	if (group->holders == 0)
		return "nobody-holds-it";
	return group->last_s < wish->query.now_s - wish->days * DAY_S ? "nobody-signed-in" : NULL;
}

static void show_unused(struct json *json, const struct usage_group *group, const char *reason)
{
	json_object(json);
	json_string(json, "kind", usage_by_name(group->by));
	json_string(json, "name", group->name);
	json_string(json, "reason", reason);
	json_int(json, "holders", group->holders);
	json_time(json, "last_sign_in", group->last_s);
	json_end(json);
}

static void put_unused(struct strbuf *out, const struct usage_group *group, const char *reason)
{
	put_name(out, group);
	strbuf_printf(out, ",%s", reason);
	put_number(out, group->holders);
	report_put_time(out, group->last_s);
	strbuf_puts(out, "\r\n");
}

static int read_days(struct http_request *request, struct wish *wish, struct err *err)
{
	if (http_query_int(request, "days", 1, USAGE_DAYS_MAX, 90, &wish->days, err) < 0)
		return -1;
	return read_common(request, wish, err);
}

int report_unused_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { "days", "organization", "format", NULL };
	struct wish wish = { .query = { .kind = USAGE_LAST_SEEN,
					.by = 1u << USAGE_BY_ROLE | 1u << USAGE_BY_PERSONA } };
	AUTO(arena) struct arena *arena = report_arena(err);
	struct usage_report report;
	struct json json = api_json(response);

	if (!arena || http_query_allow(request, names, err) < 0 ||
	    read_days(request, &wish, err) < 0)
		return -1;
	wish.query.from_day = wish.query.now_s / DAY_S;
	wish.query.to_day = wish.query.from_day + 1;
	if (run_report(request, &wish, arena, &report, err) < 0)
		return -1;
	if (wish.csv) {
		begin_csv(response, "kind,name,reason,holders,last_sign_in");
	} else {
		json_object(&json);
		json_int(&json, "days", wish.days);
		json_array_key(&json, "unused");
	}
	for (size_t i = 0; i < report.group_count; i++) {
		const char *reason = unused_reason(&wish, &report.groups[i]);

		if (reason && wish.csv)
			put_unused(&response->body, &report.groups[i], reason);
		else if (reason)
			show_unused(&json, &report.groups[i], reason);
	}
	if (!wish.csv) {
		json_end(&json);
		json_end(&json);
	}
	return 0;
}

/* --- metrics --- */

static void metric_counter(struct strbuf *out, const char *name, const char *help, int64_t value)
{
	strbuf_printf(out, "# HELP %s %s\n# TYPE %s counter\n%s %lld\n", name, help, name, name,
		      (long long)value);
}

int activity_metrics(const struct reading_view *view, struct strbuf *out, struct err *err)
{
	struct activity_totals totals;

	if (store_activity_totals(view->store, &totals, err) < 0)
		return -1;
	metric_counter(out, "rolebridge_sign_ins_total", "Sessions that were opened.",
		       totals.sign_ins);
	metric_counter(out, "rolebridge_events_total", "Events of applications that were counted.",
		       totals.events);
	metric_counter(out, "rolebridge_events_refused_total",
		       "Events of applications that were refused.", totals.refused);
	return 0;
}
