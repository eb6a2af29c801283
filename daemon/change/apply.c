/*
 * Apply: the change of one person into the store, whole or not at all.
 *
 * Enters: one person's change, of a plan or of a request, inside the writer's transaction. Leaves:
 * users, identities, grants, audit rows, alarms, what sessions and targets follow. Refused: what may
 * not be given, the last administrator (where somebody waits for the answer). Fails: store, memory.
 *
 * Asked for each person: is the user still as planned (else they are evaluated again, and no more is
 * done than both agree on); does an active administrator remain; is a name taken. Where the outcome
 * differs from what the source's record says, the identity's digest is stored as zero, so that the next
 * run looks at it again.
 */
#include "ceiling.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>
#include <rolebridge/store/token.h>

#include "accounts.h"

static void user_object(const struct uuid *uuid, char ret_object[static UUID_TEXT_SIZE + 5])
{
	memcpy(ret_object, "user:", 5);
	uuid_format(uuid, ret_object + 5);
}

static bool is_administrator(const struct apply_context *context, const struct user *user)
{
	return user->id != 0 && user_is_active(user) &&
	       strcmp(user->profile, context->setup->setup.decision.administrator_profile) == 0;
}

/* The record is to be looked at again in the next run. */
static int look_again(struct apply_context *context, struct person_change *change, struct err *err)
{
	struct identity_change *identities;

	if (change->identity_count == 0)
		return 0;
	identities = arena_memdup(context->arena, change->identities,
				  change->identity_count * sizeof(*identities));
	if (!identities)
		return err_set(err, ERR_MEMORY, "no memory to apply a change");
	for (size_t i = 0; i < change->identity_count; i++)
		identities[i].digest = (struct hash128){ { 0 } };
	change->identities = identities;
	return 0;
}

/* The user is not as planned any more: what both the plan and the present state want. */
static int plan_again(struct apply_context *context, struct person_change *change, struct err *err)
{
	struct evaluation evaluation = { .setup = context->setup,
					 .store = context->changer->store,
					 .arena = context->arena,
					 .now_s = context->now_s,
					 .cause = change->cause };
	struct person_change fresh;
	enum evaluated outcome;
	const char *problem;

	if (evaluate_user(&evaluation, change->before.id,
			  change->identity_count ? &change->identities[0] : NULL, &fresh, &outcome,
			  &problem, err) < 0 ||
	    plan_intersect(change, &fresh, context->arena, change, err) < 0)
		return -1;
	return look_again(context, change, err);
}

/* Returns 1 when there is something to do, 0 when the user is gone, -1 on failure. */
static int check_version(struct apply_context *context, struct person_change *change,
			 bool *ret_modified, struct err *err)
{
	struct user present;
	struct err missing;

	if (change->before.id == 0 || !person_change_is_visible(change))
		return 1;
	err_clear(&missing);
	if (store_user_get(context->changer->store, change->before.id, context->arena, &present,
			   &missing) < 0) {
		if (missing.code == ERR_NOT_FOUND)
			return 0;
		if (err)
			*err = missing;
		return -1;
	}
	if (present.version == change->before.version)
		return 1;
	*ret_modified = true;
	return plan_again(context, change, err) < 0 ? -1 : 1;
}

static int quarantine(struct apply_context *context, const struct person_change *change,
		      const char *reason, const char *detail, struct err *err)
{
	const struct identity_change *identity = change->identities;
	struct quarantine_row row = { .source = context->source,
				      .reason = reason,
				      .detail = detail,
				      .since_s = context->now_s,
				      .seen_s = context->now_s };
	struct identity decoded;

	/* Without an identity nothing of a source is at fault. */
	if (change->identity_count == 0)
		return 0;
	row.source = identity->source;
	row.locator = row.key = identity->key;
	if (identity->record &&
	    record_decode(identity->record, identity->record_size,
			  context->setup->setup.decision.schema, 0, context->arena, &decoded,
			  NULL) == 0 &&
	    decoded.dn[0] != '\0')
		row.locator = decoded.dn;
	context->applied->quarantined++;
	return store_quarantine_put(context->changer->store, &row, err);
}

/* A name that someone else has or claims: a known user keeps the old one. */
static int keep_name(struct apply_context *context, struct person_change *change, bool email,
		     const char *reason, struct err *err)
{
	const char *wanted = email ? change->after.email : change->after.username;
	const char *detail = arena_printf(context->arena,
					  "%s '%s' belongs to, or is claimed by, "
					  "somebody else",
					  email ? "e-mail address" : "username", wanted);

	if (!detail)
		return err_set(err, ERR_MEMORY, "no memory to apply a change");
	if (quarantine(context, change, reason, detail, err) < 0)
		return -1;
	if (email)
		change->after.email = change->before.email;
	else
		change->after.username = change->before.username;
	return look_again(context, change, err);
}

/* Names that several people of the run claim. Returns 1 to go on, 0 to leave out, -1. */
static int check_claims(struct apply_context *context, struct person_change *change,
			bool *ret_modified, struct err *err)
{
	const struct user *before = &change->before, *after = &change->after;
	const struct {
		bool email;
		char what;
		const char *before, *after, *reason;
	} names[] = { { false, 'u', before->username, after->username, "username-conflict" },
		      { true, 'e', before->email, after->email, "email-conflict" } };

	if (!plan_holds_conflicts(context->holds))
		return 1;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (names[i].after[0] == '\0' || strcmp(names[i].before, names[i].after) == 0 ||
		    !plan_holds_conflict(context->holds,
					 plan_name_digest(names[i].what, names[i].after)))
			continue;
		*ret_modified = true;
		if (keep_name(context, change, names[i].email, names[i].reason, err) < 0)
			return -1;
		if (before->id == 0)
			return 0;
	}
	return 1;
}

/* Drop grants of kind profile from both lists: the profile stays as it is. */
static int keep_profile(struct apply_context *context, struct person_change *change,
			struct err *err)
{
	struct grant *added =
		arena_alloc_array(context->arena, change->added_count + 1, sizeof(*added));
	struct grant *removed =
		arena_alloc_array(context->arena, change->removed_count + 1, sizeof(*removed));
	size_t counts[2] = { 0 }, firsts[2] = { 0 };

	if (!added || !removed)
		return err_set(err, ERR_MEMORY, "no memory to apply a change");
	for (size_t i = 0; i < change->added_count; i++)
		if (change->added[i].kind != GRANT_PROFILE) {
			added[counts[0]++] = change->added[i];
			firsts[0] += i < change->gained_count;
		}
	for (size_t i = 0; i < change->removed_count; i++)
		if (change->removed[i].kind != GRANT_PROFILE) {
			removed[counts[1]++] = change->removed[i];
			firsts[1] += i < change->lost_count;
		}
	change->added = added;
	change->added_count = counts[0];
	change->gained_count = firsts[0];
	change->removed = removed;
	change->removed_count = counts[1];
	change->lost_count = firsts[1];
	change->after.profile = change->before.profile;
	return 0;
}

/*
 * The last administrator stays on record. When the source disabled them explicitly, their
 * sign-in ends all the same.
 */
static int clamp(struct apply_context *context, struct person_change *change, struct err *err)
{
	uint32_t by_source = change->after.disabled & DISABLED_BY_SOURCE;
	char uuid[UUID_TEXT_SIZE];

	if (keep_profile(context, change, err) < 0 || look_again(context, change, err) < 0)
		return -1;
	change->after.disabled = (change->before.disabled & DISABLED_ANY) |
				 (change->after.disabled & SUSPENDED_SIGN_IN) |
				 (by_source ? (uint32_t)SUSPENDED_SIGN_IN : 0);
	uuid_format(&change->after.uuid, uuid);
	return store_alarm_raise(
		       context->changer->store, "last-administrator", uuid,
		       by_source ? "the source disabled the last administrator: kept on record, "
				   "sign-in suspended"
				 : "the last administrator would have been lost and was kept",
		       context->now_s, err) < 0
		       ? -1
		       : 0;
}

static int check_administrator(struct apply_context *context, struct person_change *change,
			       bool *ret_modified, struct err *err)
{
	const char *profile = context->setup->setup.decision.administrator_profile;
	struct administrator_question question = {
		.before = is_administrator(context, &change->before),
		/* Of the organization that is left. */
		.after = is_administrator(context, &change->after) && !person_change_moves(change),
		.by_person = context->refuse,
	};
	enum administrator_verdict verdict;

	if (!question.before || question.after)
		return 0;
	if (store_active_with_profile(context->changer->store, change->before.organization, profile,
				      change->before.id, &question.others, err) < 0 ||
	    policy_last_administrator(&question, &verdict, err) < 0)
		return -1;
	if (verdict == ADMINISTRATOR_CLAMPED) {
		*ret_modified = true;
		return clamp(context, change, err);
	}
	if (!context->actor->is_person) {
		char uuid[UUID_TEXT_SIZE];
		const char *text =
			arena_printf(context->arena, "'%s' is no longer an administrator (%s)",
				     change->before.username, change->cause);

		uuid_format(&change->after.uuid, uuid);
		if (!text)
			return err_set(err, ERR_MEMORY, "no memory for an alarm");
		if (store_alarm_raise(context->changer->store, "administrator-lost", uuid, text,
				      context->now_s, err) < 0)
			return -1;
	}
	return 0;
}

static bool is_email_reason(const char *reason)
{
	return reason && strncmp(reason, "email", 5) == 0;
}

/* Is the row the same but for its version? */
static bool is_same_row(const struct user *before, const struct user *after)
{
	return before->disabled == after->disabled && before->is_protected == after->is_protected &&
	       before->created_s == after->created_s &&
	       strcmp(before->username, after->username) == 0 &&
	       strcmp(before->email, after->email) == 0 &&
	       strcmp(before->display_name, after->display_name) == 0 &&
	       strcmp(before->profile, after->profile) == 0 &&
	       strcmp(before->organization, after->organization) == 0 &&
	       memcmp(&before->uuid, &after->uuid, sizeof(after->uuid)) == 0;
}

/* Returns 1 written, 0 left out (a name is taken), -1. */
static int write_user(struct apply_context *context, struct person_change *change,
		      bool *ret_modified, struct err *err)
{
	struct store *store = context->changer->store;
	struct err conflict;
	int written;

	if (change->before.id == 0) {
		err_clear(&conflict);
		written = store_user_insert(store, &change->after, &conflict);
		if (written == 0)
			return 1;
		if (conflict.code == ERR_CONFLICT && !context->refuse && !context->sign_in)
			return quarantine(context, change, err_reason(&conflict), conflict.text,
					  err);
		if (err)
			*err = conflict;
		return -1;
	}
	if (person_change_is_visible(change) && is_same_row(&change->before, &change->after))
		return store_user_touch(store, &change->after, err) < 0 ? -1 : 1;
	/* At most once more for each of the two names. */
	for (int attempt = 0; attempt < 3; attempt++) {
		if (!person_change_is_visible(change))
			return 1;
		err_clear(&conflict);
		if (store_user_update(store, &change->after, &conflict) == 0)
			return 1;
		if (conflict.code != ERR_CONFLICT || context->refuse ||
		    strcmp(err_reason(&conflict), "stale-version") == 0)
			break;
		*ret_modified = true;
		if (keep_name(context, change, is_email_reason(conflict.reason),
			      err_reason(&conflict), err) < 0)
			return -1;
	}
	if (err)
		*err = conflict;
	return -1;
}

static int touch(struct apply_context *context, const struct identity_change *identity,
		 int64_t user_id, struct err *err)
{
	if (!context->table || strcmp(identity->source, context->source) != 0)
		return 0;
	if (context->touched_count == context->touched_capacity) {
		size_t capacity = context->touched_capacity ? context->touched_capacity * 2 : 64;
		struct touched *grown = reallocarray(context->touched, capacity, sizeof(*grown));

		if (!grown)
			return err_set(err, ERR_MEMORY, "no memory to apply a change");
		context->touched = grown;
		context->touched_capacity = capacity;
	}
	context->touched[context->touched_count++] = (struct touched){
		.key = fingerprint128(identity->key, strlen(identity->key)),
		.digest = identity->digest,
		.user_id = user_id,
		.missing = identity->record == NULL,
	};
	return 0;
}

/*
 * The source will disable them at a time, and nothing will come to say so when it does. Also when the
 * time has passed meanwhile, or the disabling is held: who is due is looked at again, and no more.
 */
static int note_due(struct apply_context *context, const struct identity_change *identity,
		    const struct user *user, struct err *err)
{
	struct changer *changer = context->changer;
	int64_t from_s = record_disabled_from(identity->record, identity->record_size);

	if (from_s == 0 || user->disabled & DISABLED_BY_SOURCE)
		return 0;
	if (store_due_add(changer->store, identity->source, user->id, from_s, err) < 0)
		return -1;
	due_note(changer, from_s);
	return 0;
}

static int write_identities(struct apply_context *context, const struct person_change *change,
			    struct err *err)
{
	struct store *store = context->changer->store;

	for (size_t i = 0; i < change->identity_count; i++) {
		const struct identity_change *identity = &change->identities[i];
		struct identity_row row = { .source = identity->source,
					    .key = identity->key,
					    .user_id = change->after.id,
					    .record = identity->record,
					    .record_size = identity->record_size,
					    .read_s = identity->read_s };
		int written = identity->record
				      ? store_identity_put(store, &row, &identity->digest, err)
				      : store_identity_set_missing(
						store, identity->source, identity->key,
						identity->missing_s, identity->missing_runs, err);

		if (written < 0 || touch(context, identity, change->after.id, err) < 0 ||
		    (identity->record && note_due(context, identity, &change->after, err) < 0))
			return -1;
		context->changer->notices.links |= identity->record && !context->sign_in;
	}
	return 0;
}

static int write_audit(struct apply_context *context, const struct person_change *change,
		       const struct change_detail *detail, struct err *err)
{
	AUTO(strbuf) struct strbuf text = STRBUF(PERSON_BYTES_MAX);
	char object[UUID_TEXT_SIZE + 5];

	user_object(&change->after.uuid, object);
	if (detail)
		return audit_write_detail(context->changer->store, context->now_s, context->actor,
					  detail_action(change), object, detail, err);
	detail_write(change, &text);
	if (strbuf_failed(&text))
		return err_set(err, ERR_MEMORY, "no memory for an audit row");
	return audit_write(context->changer->store, context->now_s, context->actor,
			   detail_action(change), object, strbuf_text(&text), err);
}

static int clear_alarm(struct apply_context *context, const struct person_change *change,
		       struct err *err)
{
	char uuid[UUID_TEXT_SIZE];

	if ((change->before.disabled & ~change->after.disabled & SUSPENDED_SIGN_IN) == 0)
		return 0;
	uuid_format(&change->after.uuid, uuid);
	return store_alarm_clear(context->changer->store, "last-administrator", uuid,
				 context->actor->name, context->now_s, err) < 0
		       ? -1
		       : 0;
}

void apply_count(struct applied *applied, const struct person_change *change)
{
	bool is_new = change->before.id == 0 && change->before.username[0] == '\0';
	bool was = !is_new && user_is_active(&change->before);
	bool is = user_is_active(&change->after);
	bool profile = strcmp(change->before.profile, change->after.profile) != 0;

	if (!person_change_is_visible(change))
		return;
	if (is_new)
		applied->created++;
	else
		applied->updated++;
	applied->disabled += was && !is;
	applied->enabled += !is_new && !was && is;
	applied->granted += profile && change->after.profile[0] != '\0';
	applied->revoked += profile && change->before.profile[0] != '\0';
	for (size_t i = 0; i < change->gained_count; i++)
		applied->granted += change->added[i].kind != GRANT_PROFILE;
	for (size_t i = 0; i < change->lost_count; i++)
		applied->revoked += change->removed[i].kind != GRANT_PROFILE;
}

/* What a person would notice: the row of the user, grants, audit, counts. Returns as write_user. */
static int write_visible(struct apply_context *context, struct person_change *change,
			 const struct change_detail *detail, bool modified, struct err *err)
{
	int written;

	if (!user_may_sign_in(&change->after) && change->before.id != 0)
		notice_disabling(context->changer, change->before.id);
	written = write_user(context, change, &modified, err);
	change_step("user");
	if (written <= 0 || !person_change_is_visible(change))
		return written;
	if (store_grants_change(context->changer->store, change->after.id, change->removed,
				change->removed_count, change->added, change->added_count, err) < 0)
		return -1;
	change_step("grants");
	if (write_audit(context, change, modified ? NULL : detail, err) < 0 ||
	    clear_alarm(context, change, err) < 0 || orphaning_follow(context, change, err) < 0 ||
	    accounts_follow(context, change, err) < 0 ||
	    sessions_follow(context, change, err) < 0 || targets_follow(context, change, err) < 0)
		return -1;
	change_step("audit");
	if (context->windows && plan_totals_count(context->windows, &context->setup->setup.decision,
						  context->source, change, err) < 0)
		return -1;
	apply_count(context->applied, change);
	context->written = true;
	return 1;
}

/* Who leaves a group and loses nothing by it has left it all the same: they leave one by one, too. */
static int count_quiet(struct apply_context *context, const struct person_change *change,
		       struct err *err)
{
	if (!context->windows || context->written || change->groups_lost_count == 0)
		return 0;
	return plan_totals_count(context->windows, &context->setup->setup.decision, context->source,
				 change, err);
}

int apply_person(struct apply_context *context, const struct person_change *planned,
		 const struct change_detail *detail, struct err *err)
{
	struct person_change change = *planned;
	bool modified = false;
	int go;

	context->written = false;
	context->user_id = 0;
	if ((context->refuse && change_check_given(&context->setup->setup, planned, err) < 0) ||
	    ceiling_change(context, planned, err) < 0)
		return -1;
	go = check_version(context, &change, &modified, err);
	if (go > 0)
		go = check_claims(context, &change, &modified, err);
	if (go <= 0)
		return go;
	if (check_administrator(context, &change, &modified, err) < 0 ||
	    ceiling_self(context, &change, err) < 0 || orphaning_check(context, &change, err) < 0)
		return -1;
	if (person_change_is_visible(&change)) {
		go = write_visible(context, &change, detail, modified, err);
		if (go <= 0)
			return go;
	}
	if (change.before.id == 0 && actor_is_service(context->actor) &&
	    store_service_made(context->changer->store, change.after.id, context->actor->name,
			       err) < 0)
		return -1;
	if (write_identities(context, &change, err) < 0 || count_quiet(context, &change, err) < 0 ||
	    targets_follow_records(context, &change, err) < 0)
		return -1;
	context->user_id = change.after.id;
	change_step("identity");
	return 0;
}
