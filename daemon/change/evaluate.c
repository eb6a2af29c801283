/*
 * Evaluate one person against the store: the whole difference between what should be and
 * what is. The same function serves syncs, reloads, held plans, timers and a person's edit.
 *
 * Enters: a handle of the calling thread, a live setup, a user or someone new, the identity as
 * it will be. Leaves: a change, borrowing from the arena and the setup. Fails: store, memory,
 * records that cannot be read.
 *
 * Identities that were missing for longer than the grace no longer speak, as long as another
 * one does. When all are gone the person is disabled and otherwise left as they were:
 * who returns finds what they had.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>

struct subject {
	struct user user;
	bool known;
	struct grant *grants;
	size_t grant_count;
	struct identity *identities;
	bool *gone;
	size_t identity_count;
	int64_t signed_in_s; /* last, of sources that speak at sign-in; 0: never */
	bool kept_out;	     /* one of these is switched off: they could not have signed in */
	size_t read_count;   /* of those, of sources that are read: only these can be missing */
	struct identity previous; /* stored content of the identity that changes */
	bool has_previous;
	bool missing;
	size_t present_count; /* of those of sources that are read: not marked missing */
	bool told_gone;	      /* one of them was told gone as it happened */
	/* Of sources that are not configured any more: is there one, does one say disabled? */
	bool silent, silent_disabled;
	struct person person;
	struct person_fields fields;
};

static int no_memory(struct err *err)
{
	return err_set(err, ERR_MEMORY, "no memory to evaluate a person");
}

static bool is_gone(const struct evaluation *e, int64_t missing_s, uint32_t missing_runs)
{
	return missing_s != 0 &&
	       policy_missing_disables(e->setup->setup.policy, missing_runs, missing_s,
				       setup_steady_s(&e->setup->setup, e->now_s));
}

/* Says nothing any more; what it said of being disabled is not taken back by that. */
static void add_silent(const struct evaluation *e, struct subject *subject, const void *record,
		       size_t size, bool gone)
{
	struct identity identity;

	subject->silent = true;
	if (!gone && (record_decode(record, size, e->setup->setup.decision.schema, 0, e->arena,
				    &identity, NULL) < 0 ||
		      identity_is_disabled(&identity, e->now_s)))
		subject->silent_disabled = true;
}

/* Decode what the store or the source has; sources that are no longer configured say nothing. */
static int add_identity(const struct evaluation *e, struct subject *subject, const char *source,
			const void *record, size_t size, bool stored, int64_t read_s,
			int64_t missing_s, uint32_t missing_runs, struct err *err)
{
	const struct schema *schema = e->setup->setup.decision.schema;
	int number = schema_find_source(schema, source, strlen(source));
	struct identity *identity = &subject->identities[subject->identity_count];
	bool gone = is_gone(e, missing_s, missing_runs);

	if (number < 0) {
		add_silent(e, subject, record, size, gone);
		return 0;
	}
	if (!stored && e->groups && subject->has_previous) {
		*identity = subject->previous;
		identity->groups = e->groups->ids;
		identity->group_count = e->groups->count;
		identity->groups_complete = e->groups->complete;
	} else if (record_decode(record, size, schema, (uint16_t)number, e->arena, identity, err) <
		   0) {
		return err_wrap(err, "identity of source '%s'", source);
	}
	bool signs_in = e->setup->sign_in & (source_mask)1 << number;

	/* Stored before some group was asked for: the list may lack it. */
	if (stored && (e->setup->groups_stale & (source_mask)1 << number ||
		       (signs_in && read_s <= e->setup->groups_since_s[number])))
		identity->groups_complete = false;
	subject->gone[subject->identity_count++] = gone && !signs_in;
	subject->read_count += !signs_in;
	subject->present_count += !signs_in && missing_s == 0;
	subject->told_gone |= !signs_in && missing_s != 0 && (missing_runs & MISSING_TOLD) != 0;
	subject->kept_out |= signs_in && (size_t)number < e->setup->setup.source_count &&
			     !e->setup->setup.sources[number]->enabled;
	if (signs_in && read_s > subject->signed_in_s)
		subject->signed_in_s = read_s;
	return 0;
}

static bool is_same_identity(const struct identity_row *row, const struct identity_change *identity)
{
	return identity && strcmp(row->source, identity->source) == 0 &&
	       strcmp(row->key, identity->key) == 0;
}

static int keep_previous(const struct evaluation *e, struct subject *subject,
			 const struct identity_row *row, struct err *err)
{
	int number = schema_find_source(e->setup->setup.decision.schema, row->source,
					strlen(row->source));

	if (number < 0)
		return 0;
	subject->has_previous = true;
	return record_decode(row->record, row->record_size, e->setup->setup.decision.schema,
			     (uint16_t)number, e->arena, &subject->previous, err);
}

static int read_identities(const struct evaluation *e, struct subject *subject,
			   const struct identity_change *identity, struct err *err)
{
	const struct identity_row *rows;
	struct identity_row *stored = NULL;
	size_t count = 0;

	if (e->rows) {
		rows = e->rows;
		count = e->row_count;
	} else if (subject->known && store_identities_of(e->store, subject->user.id, e->arena,
							 &stored, &count, err) < 0) {
		return -1;
	} else {
		rows = stored;
	}
	subject->identities = arena_alloc_array(e->arena, count + 1, sizeof(struct identity));
	subject->gone = arena_alloc_array(e->arena, count + 1, sizeof(bool));
	if (!subject->identities || !subject->gone)
		return no_memory(err);
	for (size_t i = 0; i < count; i++) {
		bool same = is_same_identity(&rows[i], identity);
		bool marks = same && !identity->record;

		if (same && identity->record) {
			if (keep_previous(e, subject, &rows[i], err) < 0)
				return -1;
			continue;
		}
		if (add_identity(e, subject, rows[i].source, rows[i].record, rows[i].record_size,
				 true, rows[i].read_s,
				 marks ? identity->missing_s : rows[i].missing_s,
				 marks ? identity->missing_runs : rows[i].missing_runs, err) < 0)
			return -1;
	}
	if (identity && identity->record)
		return add_identity(e, subject, identity->source, identity->record,
				    identity->record_size, false, identity->read_s, 0, 0, err);
	return 0;
}

/* Who of the identities speaks: how many. */
static size_t keep_speaking(struct subject *subject)
{
	size_t gone = 0, kept = 0;

	for (size_t i = 0; i < subject->identity_count; i++)
		gone += subject->gone[i];
	/* Having signed in once keeps nobody here who has left every directory. */
	subject->missing = subject->read_count > 0 && gone == subject->read_count;
	for (size_t i = 0; i < subject->identity_count; i++)
		if (subject->missing || !subject->gone[i])
			subject->identities[kept++] = subject->identities[i];
	return kept;
}

static int merge(const struct evaluation *e, struct subject *subject, struct err *err)
{
	size_t kept = keep_speaking(subject);

	return person_merge(e->setup->setup.decision.schema, subject->identities, kept, e->arena,
			    &subject->person, err);
}

static const char *organization_of(const struct evaluation *e,
				   const struct identity_change *identity)
{
	const struct source_settings *source =
		setup_find_source(&e->setup->setup, identity->source);

	return source && source->organization.text ? source->organization.text : "default";
}

static int read_subject(const struct evaluation *e, int64_t user_id,
			const struct identity_change *identity, struct subject *subject,
			struct err *err)
{
	static const struct person_fields no_fields = { "", "", "", "", "" };

	subject->known = user_id != 0;
	if (subject->known &&
	    (store_user_get(e->store, user_id, e->arena, &subject->user, err) < 0 ||
	     store_grants_of(e->store, user_id, e->arena, &subject->grants, &subject->grant_count,
			     err) < 0))
		return -1;
	if (read_identities(e, subject, identity, err) < 0 || merge(e, subject, err) < 0)
		return -1;
	if (subject->known)
		subject->person.organization = subject->user.organization;
	else if (identity)
		subject->person.organization = organization_of(e, identity);
	subject->fields = no_fields;
	if (e->edit)
		return 0;
	return person_fields(&subject->person, e->arena, &subject->fields, err);
}

static bool names_grant(const struct grant *grants, size_t count, const struct grant *grant)
{
	for (size_t i = 0; i < count; i++)
		if (grants[i].kind == grant->kind && strcmp(grants[i].name, grant->name) == 0)
			return true;
	return false;
}

/*
 * What a file gave before and does not name any more goes. What it names is given only to who does not have it
 * from elsewhere: a file that was exported and comes back must not make lasting what rules gave.
 */
static size_t import_grants(const struct evaluation *e, const struct subject *subject,
			    struct grant *grants, size_t count)
{
	const struct import_edit *import = e->edit->import;
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		bool ends = grants[i].origin == ORIGIN_IMPORT && import->given[grants[i].kind] &&
			    !names_grant(import->wanted, import->count, &grants[i]);

		if (!ends)
			grants[kept++] = grants[i];
	}
	for (size_t i = 0; i < import->count; i++) {
		const struct grant *wanted = &import->wanted[i];
		bool held =
			wanted->kind == GRANT_PROFILE
				? subject->known && strcmp(subject->user.profile, wanted->name) == 0
				: false;

		if (!held && !names_grant(grants, kept, wanted))
			grants[kept++] = *wanted;
	}
	return kept;
}

/* A person's edit of the hand-given grants, before deciding. */
static int edit_grants(const struct evaluation *e, struct subject *subject, struct err *err)
{
	const struct grant *add = e->edit->add, *remove = e->edit->remove;
	struct grant *grants = arena_alloc_array(
		e->arena, subject->grant_count + 1 + (e->edit->import ? e->edit->import->count : 0),
		sizeof(*grants));
	size_t count = 0;

	if (!grants)
		return no_memory(err);
	for (size_t i = 0; i < subject->grant_count; i++) {
		const struct grant *grant = &subject->grants[i];
		bool hand = grant->origin == ORIGIN_HAND;

		if (hand && remove && grant->kind == remove->kind &&
		    strcmp(grant->name, remove->name) == 0)
			continue;
		if (hand && add && grant->kind == add->kind &&
		    (add->kind == GRANT_PROFILE || strcmp(grant->name, add->name) == 0))
			continue;
		grants[count++] = *grant;
	}
	if (add)
		grants[count++] = *add;
	if (e->edit->import)
		count = import_grants(e, subject, grants, count);
	subject->grants = grants;
	subject->grant_count = count;
	return 0;
}

static int find_groups_lost(const struct evaluation *e, const struct subject *subject,
			    struct person_change *change, struct err *err)
{
	const struct identity *before = &subject->previous, *after = NULL;
	uint32_t *lost;
	size_t count = 0, at = 0;

	for (size_t i = 0; i < subject->person.identity_count; i++)
		if (subject->person.identities[i].source == before->source)
			after = &subject->person.identities[i];
	if (!subject->has_previous || before->group_count == 0 || !after || !after->groups_complete)
		return 0;
	lost = arena_alloc_array(e->arena, before->group_count, sizeof(*lost));
	if (!lost)
		return no_memory(err);
	for (size_t i = 0; i < before->group_count; i++) {
		uint32_t id = before->groups[i];

		while (at < after->group_count && after->groups[at] < id)
			at++;
		/* A group that vanished as a whole is frozen, and counts for nobody. */
		if ((at == after->group_count || after->groups[at] != id) &&
		    id < e->setup->states.count && e->setup->states.unknown[id] == 0)
			lost[count++] = id;
	}
	change->groups_lost = lost;
	change->groups_lost_count = count;
	return 0;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Groups of both, ascending. */
static size_t unite(const struct identity *a, const struct identity *b, uint32_t *ret_groups)
{
	size_t i = 0, j = 0, count = 0;

	while (i < a->group_count || j < b->group_count) {
		uint32_t left = i < a->group_count ? a->groups[i] : UINT32_MAX;
		uint32_t right = j < b->group_count ? b->groups[j] : UINT32_MAX;

		ret_groups[count++] = left < right ? left : right;
		i += left <= right;
		j += right <= left;
	}
	return count;
}

/*
 * A record whose group list may lack some is stored with the groups known before, so that the next
 * whole read still sees what was lost.
 */
static int keep_groups(const struct evaluation *e, const struct subject *subject,
		       struct identity_change *kept, struct err *err)
{
	AUTO(strbuf) struct strbuf record = STRBUF(RECORD_MAX);
	const struct schema *schema = e->setup->setup.decision.schema;
	struct identity united;
	uint32_t *groups;

	if (!kept->record || !subject->has_previous || subject->previous.group_count == 0 ||
	    record_groups_complete(kept->record, kept->record_size))
		return 0;
	if (record_decode(kept->record, kept->record_size, schema, subject->previous.source,
			  e->arena, &united, err) < 0)
		return -1;
	groups = arena_alloc_array(e->arena, united.group_count + subject->previous.group_count,
				   sizeof(*groups));
	if (!groups)
		return no_memory(err);
	united.group_count = unite(&united, &subject->previous, groups);
	united.groups = groups;
	record_encode(&united, schema, &record);
	if (strbuf_failed(&record))
		return no_memory(err);
	kept->record = arena_memdup(e->arena, record.data, record.size);
	kept->record_size = record.size;
	return kept->record ? 0 : no_memory(err);
}

static int make_change(const struct evaluation *e, const struct subject *subject,
		       const struct decide_input *input, const struct decision *decision,
		       const struct identity_change *identity, struct person_change *ret_change,
		       struct err *err)
{
	struct person_change change;
	struct identity_change *kept = NULL;
	const char *organization =
		subject->known ? subject->user.organization : organization_of(e, identity);

	if (identity) {
		kept = arena_memdup(e->arena, identity, sizeof(*identity));
		if (!kept)
			return no_memory(err);
		if (keep_groups(e, subject, kept, err) < 0)
			return -1;
	}
	if (plan_person(&e->setup->setup.decision, input, decision, &subject->fields, kept,
			kept ? 1 : 0, organization, e->cause, e->arena, &change, err) < 0)
		return -1;
	/* Protection goes by name: no source renames somebody out of it. */
	if (subject->known && policy_is_protected(e->setup->setup.policy, change.before.username))
		change.after.username = change.before.username;
	change.after.is_protected =
		policy_is_protected(e->setup->setup.policy, change.after.username);
	if (!subject->known)
		change.before.uuid = change.after.uuid = uuid_create(now_ms());
	if (!e->edit && find_groups_lost(e, subject, &change, err) < 0)
		return -1;
	if (change.after.is_protected && !e->edit && !e->unprotected && subject->known &&
	    plan_keep_additions(&change, e->arena, &change, err) < 0)
		return -1;
	*ret_change = change;
	return 0;
}

static void nothing_to_do(const struct user *user, const char *cause,
			  struct person_change *ret_change)
{
	*ret_change = (struct person_change){ .before = *user, .after = *user, .cause = cause };
}

static uint32_t kept_reasons(const struct subject *subject)
{
	uint32_t kept = 0;

	if (subject->silent_disabled)
		kept |= DISABLED_BY_SOURCE | SUSPENDED_SIGN_IN;
	if (subject->silent && subject->read_count == 0)
		kept |= DISABLED_BY_SOURCE | DISABLED_MISSING | DISABLED_GONE | DISABLED_STALE |
			SUSPENDED_SIGN_IN;
	return kept;
}

static bool is_stale(const struct evaluation *e, const struct subject *subject)
{
	int64_t after_s = e->setup->setup.policy->stale_after_s;

	return after_s > 0 && subject->signed_in_s > 0 && subject->read_count == 0 &&
	       !subject->silent && !subject->kept_out && e->now_s - subject->signed_in_s > after_s;
}

int evaluate_user(const struct evaluation *e, int64_t user_id,
		  const struct identity_change *identity, struct person_change *ret_change,
		  enum evaluated *ret_outcome, const char **ret_problem, struct err *err)
{
	struct subject subject = { 0 };
	struct decide_input input = { .now_s = e->now_s };
	struct decision decision;
	const struct grant *present;
	size_t present_count;

	if (read_subject(e, user_id, identity, &subject, err) < 0)
		return -1;
	*ret_outcome = EVALUATED;
	if (subject.known && subject.user.disabled & DISABLED_DELETED) {
		nothing_to_do(&subject.user, e->cause, ret_change);
		return 0;
	}
	present = subject.grants;
	present_count = subject.grant_count;
	if (e->edit) {
		if (edit_grants(e, &subject, err) < 0)
			return -1;
		input.rules_frozen = true;
		input.disable_set = e->edit->disable_set;
		input.disable_clear = e->edit->disable_clear;
	}
	input.person = &subject.person;
	input.user = subject.known ? &subject.user : NULL;
	input.grants = subject.grants;
	input.grant_count = subject.grant_count;
	input.missing = subject.missing;
	/* Whom another directory still has has not left. */
	input.gone = subject.told_gone && subject.present_count == 0;
	input.stale = is_stale(e, &subject);
	input.disabled_kept = kept_reasons(&subject);
	if (decide(&e->setup->setup.decision, &input, e->arena, &decision, err) < 0)
		return -1;
	if (!decision.provisioned) {
		*ret_outcome = EVALUATED_OUT;
		return 0;
	}
	if (!subject.known && subject.fields.username[0] == '\0') {
		*ret_outcome = EVALUATED_UNUSABLE;
		*ret_problem = subject.fields.username_problem[0] ? subject.fields.username_problem
								  : "no source gives a username";
		return 0;
	}
	/* The difference is against what stands in the store, not against the edit. */
	input.grants = present;
	input.grant_count = present_count;
	return make_change(e, &subject, &input, &decision, identity, ret_change, err);
}

int evaluate_person_as(const struct evaluation *e, int64_t user_id,
		       const struct identity_change *identity, struct person *ret_person,
		       struct err *err)
{
	struct subject subject = { 0 };

	if (read_subject(e, user_id, identity, &subject, err) < 0)
		return -1;
	*ret_person = subject.person;
	return 0;
}

int evaluate_person(const struct evaluation *e, int64_t user_id, struct person *ret_person,
		    struct err *err)
{
	return evaluate_person_as(e, user_id, NULL, ret_person, err);
}

int evaluate_identities(const struct evaluation *e, int64_t user_id, const struct identity *more,
			struct person *ret_person, struct err *err)
{
	struct subject subject = { .known = true, .user = { .id = user_id } };
	size_t kept;

	if (read_identities(e, &subject, NULL, err) < 0)
		return -1;
	kept = keep_speaking(&subject);
	/* There is room for one that comes with a change, and none does. */
	subject.identities[kept++] = *more;
	return person_merge(e->setup->setup.decision.schema, subject.identities, kept, e->arena,
			    ret_person, err);
}

int change_person_load(struct setup *setup, struct store *store, int64_t user_id, int64_t now_s,
		       struct arena *arena, struct person *ret_person, struct err *err)
{
	struct live_setup *live = live_setup_create(setup, store, err);
	struct evaluation evaluation = {
		.setup = live, .store = store, .arena = arena, .now_s = now_s, .cause = ""
	};
	int result = live ? evaluate_person(&evaluation, user_id, ret_person, err) : -1;

	if (live)
		setup_release(&live->setup);
	return result;
}
