/*
 * How the daemon is: status for people and programs, figures for Prometheus. Enters: one snapshot of the store, and
 * what main knows of sources. Fails as the store does.
 */
#include <string.h>

#include <rolebridge/change/restore.h>
#include <rolebridge/store/audit.h>
#include <rolebridge/store/factor.h>
#include <rolebridge/store/invite.h>
#include <rolebridge/store/ownership.h>

#include "internal.h"
#include "personas.h"

int overview_read(const struct reading_view *view, struct overview *ret_overview, struct err *err)
{
	struct overview overview = { .view = view };

	if (store_quarantine_counts(view->store, view->arena, &overview.quarantined,
				    &overview.quarantined_count, err) < 0 ||
	    store_plan_list(view->store, PLAN_HELD, view->arena, &overview.held,
			    &overview.held_count, err) < 0)
		return -1;
	*ret_overview = overview;
	return 0;
}

static int64_t quarantined_of(const struct overview *overview, const char *source)
{
	int64_t total = 0;

	for (size_t i = 0; i < overview->quarantined_count; i++) {
		if (!source || strcmp(overview->quarantined[i].source, source) == 0)
			total += overview->quarantined[i].count;
	}
	return total;
}

static void show_quarantined(const struct overview *overview, struct json *json, const char *source)
{
	json_int(json, "quarantined", quarantined_of(overview, source));
	json_array_key(json, "quarantine_reasons");
	for (size_t i = 0; i < overview->quarantined_count; i++) {
		const struct quarantine_count *count = &overview->quarantined[i];

		if (strcmp(count->source, source) != 0)
			continue;
		json_object(json);
		json_string(json, "reason", count->reason);
		json_int(json, "count", count->count);
		json_end(json);
	}
	json_end(json);
}

static const char *held_plan_of(const struct overview *overview, const char *source)
{
	for (size_t i = 0; i < overview->held_count; i++) {
		if (strcmp(overview->held[i].source, source) == 0)
			return overview->held[i].id;
	}
	return NULL;
}

/* One that was never read has no row yet. */
static int source_state(const struct reading_view *view, const char *name,
			struct source_state *ret_state, int64_t *ret_active, struct err *err)
{
	struct source_state state = { .last_problem = "", .server = "" };
	struct err missing = { 0 };

	*ret_active = 0;
	if (store_source_get(view->store, name, view->arena, &state, &missing) < 0 &&
	    missing.code != ERR_NOT_FOUND) {
		*err = missing;
		return -1;
	}
	if (state.last_read_s != 0 &&
	    store_active_of_source(view->store, name, ret_active, err) < 0)
		return -1;
	*ret_state = state;
	return 0;
}

int show_source_members(const struct overview *overview, struct json *json,
			const struct source_settings *source, struct err *err)
{
	const struct reading_view *view = overview->view;
	const struct ports *ports = &view->api->settings.ports;
	const char *name = source->name.text;
	struct source_state state;
	int64_t active;

	if (source_state(view, name, &state, &active, err) < 0)
		return -1;
	json_string(json, "name", name);
	json_string(json, "type", source->type.text);
	json_bool(json, "enabled", source->enabled);
	json_int(json, "interval_s", source->interval_s);
	json_time(json, "last_read", state.last_read_s);
	json_time(json, "last_complete", state.last_complete_s);
	json_int(json, "entries", state.entries);
	json_int(json, "active_users", active);
	json_string(json, "problem", state.last_problem ? state.last_problem : "");
	json_string(json, "server", state.server ? state.server : "");
	show_quarantined(overview, json, name);
	json_string(json, "held_plan", held_plan_of(overview, name));
	if (ports->source_status)
		ports->source_status(ports->context, name, json);
	return 0;
}

static int show_source(const struct overview *overview, struct json *json,
		       const struct source_settings *source, struct err *err)
{
	json_object(json);
	if (show_source_members(overview, json, source, err) < 0)
		return -1;
	json_end(json);
	return 0;
}

static int show_row(struct store *store, struct json *json, const char *name, bool newest,
		    struct err *err)
{
	const struct audit_query query = { .newest_first = newest, .limit = 1 };
	struct store_audit_cursor *cursor = store_audit_open(store, &query, err);
	struct audit_iterator rows;
	struct audit_row row = { 0 };
	int more;

	if (!cursor)
		return -1;
	rows = store_audit_iterator(cursor);
	more = rows.next(rows.context, &row, err);
	store_audit_close(cursor);
	json_object_key(json, name);
	json_int(json, "seq", row.seq);
	json_time(json, "at", row.at_s);
	json_end(json);
	return more < 0 ? -1 : 0;
}

static int show_audit(struct store *store, struct json *json, struct err *err)
{
	struct audit_anchor anchor;
	struct hash256 head;
	int64_t seq;
	char hex[65];

	if (store_audit_head(store, &seq, &head, err) < 0 ||
	    store_audit_anchor(store, &anchor, err) < 0)
		return -1;
	hash256_hex(&head, hex);
	json_object_key(json, "audit");
	json_int(json, "rows", seq - anchor.seq);
	json_string(json, "head", hex);
	if (show_row(store, json, "first", false, err) < 0 ||
	    show_row(store, json, "last", true, err) < 0)
		return -1;
	audit_anchor_show(json, &anchor);
	json_end(json);
	return 0;
}

static int show_counts(const struct overview *overview, struct json *json, struct err *err)
{
	const struct reading_view *view = overview->view;
	struct user_counts counts;
	struct orphaning_counts orphaned;

	if (store_user_counts(view->store, NULL, &counts, err) < 0 ||
	    store_orphaning_counts(view->store, &orphaned, err) < 0)
		return -1;
	json_object_key(json, "users");
	json_int(json, "total", counts.total);
	json_int(json, "active", counts.active);
	json_int(json, "disabled", counts.disabled);
	json_end(json);
	json_int(json, "quarantined", quarantined_of(overview, NULL));
	json_object_key(json, "orphaned");
	json_int(json, "users", orphaned.users);
	json_int(json, "references", orphaned.references);
	json_end(json);
	if (show_persona_figures(view, json, err) < 0)
		return -1;
	return show_audit(view->store, json, err);
}

static void show_held_plans(const struct overview *overview, struct json *json)
{
	json_array_key(json, "held_plans");
	for (size_t i = 0; i < overview->held_count; i++) {
		json_object(json);
		json_string(json, "id", overview->held[i].id);
		json_string(json, "source", overview->held[i].source);
		json_time(json, "created", overview->held[i].created_s);
		json_end(json);
	}
	json_end(json);
}

static int show_targets(const struct reading_view *view, struct json *json, struct err *err)
{
	const struct ports *ports = &view->api->settings.ports;
	bool found;

	json_array_key(json, "targets");
	if (ports->targets &&
	    ports->targets(ports->context, view->store, NULL, &found, json, err) < 0)
		return -1;
	json_end(json);
	return 0;
}

int status_show(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { NULL };
	AUTO(reading_view) struct reading_view view = { 0 };
	struct json json = api_json(response);
	const struct ports *ports;
	struct overview overview;

	if (http_query_allow(request, names, err) < 0 || view_open(request, &view, err) < 0 ||
	    overview_read(&view, &overview, err) < 0)
		return -1;
	ports = &view.api->settings.ports;
	json_object(&json);
	if (ports->status)
		ports->status(ports->context, &json);
	if (show_counts(&overview, &json, err) < 0)
		return -1;
	json_array_key(&json, "sources");
	for (size_t i = 0; i < view.setup->source_count; i++) {
		if (show_source(&overview, &json, view.setup->sources[i], err) < 0)
			return -1;
	}
	json_end(&json);
	show_held_plans(&overview, &json);
	if (show_targets(&view, &json, err) < 0 || show_alarms(&view, &json, true, err) < 0)
		return -1;
	json_end(&json);
	return 0;
}

/* --------------------------------------------------------------- metrics -- */

struct source_figures {
	const char *name;
	struct source_state state;
	int64_t active, quarantined;
	bool held;
};

/* One metric of all sources. Their names are slugs: nothing in a label needs an escape. */
static void source_metric(struct strbuf *out, const struct source_figures *figures, size_t count,
			  const char *name, const char *help,
			  int64_t (*value)(const struct source_figures *))
{
	if (count == 0)
		return;
	strbuf_printf(out, "# HELP rolebridge_source_%s %s\n# TYPE rolebridge_source_%s gauge\n",
		      name, help, name);
	for (size_t i = 0; i < count; i++)
		strbuf_printf(out, "rolebridge_source_%s{source=\"%s\"} %lld\n", name,
			      figures[i].name, (long long)value(&figures[i]));
}

static int64_t figure_entries(const struct source_figures *figures)
{
	return figures->state.entries;
}

static int64_t figure_active(const struct source_figures *figures)
{
	return figures->active;
}

static int64_t figure_read(const struct source_figures *figures)
{
	return figures->state.last_read_s;
}

static int64_t figure_complete(const struct source_figures *figures)
{
	return figures->state.last_complete_s;
}

static int64_t figure_quarantined(const struct source_figures *figures)
{
	return figures->quarantined;
}

static int64_t figure_held(const struct source_figures *figures)
{
	return figures->held;
}

static const struct {
	const char *name, *help;
	int64_t (*value)(const struct source_figures *);
} source_metrics[] = {
	{ "entries", "People in the last whole read.", figure_entries },
	{ "active_users", "Active users that have an identity there.", figure_active },
	{ "read_timestamp_seconds", "When the last read ended, whole or not.", figure_read },
	{ "complete_timestamp_seconds", "When the last whole read ended.", figure_complete },
	{ "quarantined", "Entries that could not be processed.", figure_quarantined },
	{ "plan_held", "1 while a plan of this source waits for a person.", figure_held },
};

static int read_figures(const struct overview *overview, struct source_figures **ret_figures,
			size_t *ret_count, struct err *err)
{
	const struct setup *setup = overview->view->setup;
	struct source_figures *figures =
		arena_alloc_array(overview->view->arena, setup->source_count + 1, sizeof(*figures));

	if (!figures)
		return err_set(err, ERR_MEMORY, "out of memory");
	for (size_t i = 0; i < setup->source_count; i++) {
		const char *name = setup->sources[i]->name.text;

		figures[i].name = name;
		figures[i].quarantined = quarantined_of(overview, name);
		figures[i].held = held_plan_of(overview, name) != NULL;
		if (source_state(overview->view, name, &figures[i].state, &figures[i].active, err) <
		    0)
			return -1;
	}
	*ret_figures = figures;
	*ret_count = setup->source_count;
	return 0;
}

/* How many are open of each kind; kinds are words of ours. They come in the order in which they were raised. */
static void alarm_metric(struct strbuf *out, const struct alarm_row *alarms, size_t count)
{
	static const char name[] = "rolebridge_alarms_open";

	strbuf_printf(out, "# HELP %s Open alarms, by kind.\n# TYPE %s gauge\n", name, name);
	for (size_t i = 0; i < count; i++) {
		size_t first = 0, same = 0;

		while (strcmp(alarms[first].kind, alarms[i].kind) != 0)
			first++;
		for (size_t j = i; j < count; j++)
			same += strcmp(alarms[j].kind, alarms[i].kind) == 0;
		if (first == i)
			strbuf_printf(out, "%s{kind=\"%s\"} %zu\n", name, alarms[i].kind, same);
	}
}

static int audit_metrics(const struct reading_view *view, struct strbuf *out, struct err *err)
{
	struct audit_anchor anchor;
	struct hash256 head;
	int64_t seq, made_s;

	if (store_audit_head(view->store, &seq, &head, err) < 0 ||
	    store_audit_anchor(view->store, &anchor, err) < 0 ||
	    change_backup_last(view->store, view->arena, &made_s, err) < 0)
		return -1;
	metric_gauge(out, "rolebridge_audit_rows", "Rows of the audit log that are kept.",
		     seq - anchor.seq);
	metric_gauge(out, "rolebridge_backup_timestamp_seconds",
		     "When the daemon last made a backup that was examined; 0: never.", made_s);
	return 0;
}

static void factor_metric(struct strbuf *out, const int64_t counts[static FACTOR_METHODS])
{
	static const char name[] = "rolebridge_factors";

	strbuf_printf(out, "# HELP %s Second factors that people have enrolled.\n# TYPE %s gauge\n",
		      name, name);
	for (enum factor_method method = FACTOR_TOTP; method < FACTOR_RECOVERY; method++)
		strbuf_printf(out, "%s{method=\"%s\"} %lld\n", name, factor_method_name(method),
			      (long long)counts[method]);
}

int status_metrics(const struct reading_view *view, struct strbuf *out, struct err *err)
{
	struct overview overview;
	struct source_figures *figures = NULL;
	struct user_counts users;
	struct orphaning_counts orphaned;
	struct persona_figures personas;
	struct alarm_row *alarms;
	size_t count = 0, alarm_count;
	struct outbox_counts outbox;
	int64_t factors[FACTOR_METHODS];

	if (overview_read(view, &overview, err) < 0 ||
	    store_factor_totals(view->store, factors, err) < 0 ||
	    store_user_counts(view->store, NULL, &users, err) < 0 ||
	    store_orphaning_counts(view->store, &orphaned, err) < 0 ||
	    personas_count(view, &personas, err) < 0 ||
	    store_alarm_list(view->store, true, view->arena, &alarms, &alarm_count, err) < 0 ||
	    store_outbox_counts(view->store, &outbox, err) < 0 ||
	    read_figures(&overview, &figures, &count, err) < 0)
		return -1;
	metric_gauge(out, "rolebridge_users_active", "Active users.", users.active);
	metric_gauge(out, "rolebridge_users_disabled", "Disabled users.", users.disabled);
	metric_gauge(out, "rolebridge_references_orphaned",
		     "References and resources of users who are disabled.", orphaned.references);
	metric_gauge(out, "rolebridge_personas_review_overdue", "Personas whose review is overdue.",
		     personas.overdue);
	metric_gauge(out, "rolebridge_personas_insufficient_research",
		     "Primary personas that rest on too few interviews.", personas.unresearched);
	metric_gauge(out, "rolebridge_alarms", "Alarms that need a person.", (int64_t)alarm_count);
	metric_gauge(out, "rolebridge_plans_held", "Plans that wait for a person.",
		     (int64_t)overview.held_count);
	metric_gauge(out, "rolebridge_outbox_waiting", "Messages that wait to be sent.",
		     outbox.waiting);
	metric_gauge(out, "rolebridge_outbox_failing",
		     "Messages that wait since an attempt to send them failed.", outbox.failing);
	alarm_metric(out, alarms, alarm_count);
	factor_metric(out, factors);
	for (size_t i = 0; i < ARRAY_LEN(source_metrics); i++)
		source_metric(out, figures, count, source_metrics[i].name, source_metrics[i].help,
			      source_metrics[i].value);
	return audit_metrics(view, out, err) < 0 ? -1 : activity_metrics(view, out, err);
}
