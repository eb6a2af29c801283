/*
 * Whose a sign-in is. Enters: a verified assertion, the store. Leaves: the identity as it will be stored, and the user
 * it belongs to, or that it is somebody new; for a test's page the person as source and rules would have them. Refused:
 * identities that cannot be, or belong to somebody who does not come by themselves. Fails: store, memory.
 */
#include "login.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>

#define NAME_MAX_BYTES 2048

/* --- whose identity it is --- */

/* What was verified for another configuration was not asked for groups that rules name now. */
static int mark_incomplete(struct attempt *attempt, struct err *err)
{
	AUTO(strbuf) struct strbuf record = STRBUF(RECORD_MAX);

	attempt->identity.groups_complete = false;
	record_encode(&attempt->identity, attempt->setup->setup.decision.schema, &record);
	if (strbuf_failed(&record))
		return login_no_memory(err);
	attempt->stored.record = arena_memdup(attempt->arena, record.data, record.size);
	attempt->stored.record_size = record.size;
	return attempt->stored.record ? 0 : login_no_memory(err);
}

static bool is_of_setup(const struct attempt *attempt)
{
	const struct setup *setup = attempt->login->setup;

	return !setup || setup == attempt->setup->origin || setup == &attempt->setup->setup ||
	       setup->registry == attempt->setup->setup.registry;
}

/* What is stored of each session has a bound, whatever the IdP calls people and sessions. */
static bool fits(const struct saml_assertion *assertion)
{
	return strlen(assertion->name_id) <= NAME_MAX_BYTES &&
	       strlen(assertion->name_id_format) <= NAME_MAX_BYTES &&
	       strlen(assertion->session_index) <= NAME_MAX_BYTES;
}

int attempt_decode(struct attempt *attempt, struct err *err)
{
	const struct login *login = attempt->login;
	const struct schema *schema = attempt->setup->setup.decision.schema;
	int number = schema_find_source(schema, login->source, strlen(login->source));
	struct err problem;

	err_clear(&problem);
	if (number < 0 ||
	    record_decode(login->assertion->record, login->assertion->record_size, schema,
			  (uint16_t)number, attempt->arena, &attempt->identity, &problem) < 0) {
		if (problem.code == ERR_MEMORY)
			return login_no_memory(err);
		return attempt_refuse(attempt, "invalid-record", "%.200s", problem.text);
	}
	if (attempt->identity.key[0] == '\0')
		return attempt_refuse(attempt, "invalid-record", "the identity has no key");
	if (!fits(login->assertion))
		return attempt_refuse(attempt, "invalid-record",
				      "a name or an index is too long to keep");
	attempt->stored = (struct identity_change){ .source = login->source,
						    .key = attempt->identity.key,
						    .record = login->assertion->record,
						    .record_size = login->assertion->record_size,
						    .read_s = login->now_s };
	if (!is_of_setup(attempt) && mark_incomplete(attempt, err) < 0)
		return -1;
	attempt->stored.digest = digest128(attempt->stored.record, attempt->stored.record_size);
	if (attempt->identity.disabled)
		return attempt_refuse(attempt, "disabled", "the source says so");
	return 0;
}

/* 1 known, 0, -1. */
static int find_known(struct attempt *attempt, struct err *err)
{
	struct identity_row row;
	struct err missing;

	err_clear(&missing);
	if (store_identity_get(attempt->changer->store, attempt->login->source,
			       attempt->identity.key, attempt->arena, &row, &missing) < 0) {
		if (missing.code == ERR_NOT_FOUND)
			return 0;
		if (err)
			*err = missing;
		return -1;
	}
	attempt->known = true;
	attempt->user_id = row.user_id;
	attempt->read_s = row.read_s;
	attempt->unchanged = row.record_size == attempt->stored.record_size &&
			     memcmp(row.record, attempt->stored.record, row.record_size) == 0;
	return 1;
}

static const char *link_refusal(const char *reason)
{
	return strcmp(reason, "link-ambiguous") == 0 ? "ambiguous-link" : reason;
}

static int find_newcomer(struct attempt *attempt, struct err *err)
{
	const struct link_lookup lookup = { .changer = attempt->changer,
					    .setup = attempt->setup,
					    .source = attempt->source,
					    .generation = attempt->generation,
					    .index = attempt->index,
					    .fallback = attempt->fallback };
	const char *reason, *detail;
	int found = store_quarantine_has_key(attempt->changer->store, attempt->login->source,
					     attempt->identity.key, err);

	if (found == 0)
		found = link_to_quarantined(&lookup, &attempt->identity, err);
	if (found < 0)
		return -1;
	if (found > 0)
		return attempt_refuse(attempt, "quarantined", "their identity lies in quarantine");
	if (link_lookup(&lookup, &attempt->identity, attempt->arena, &attempt->user_id,
			&attempt->lacking, &reason, &detail, err) < 0)
		return -1;
	if (attempt->lacking)
		return err_set(err, ERR_UNAVAILABLE, "links are being looked up");
	if (reason)
		return attempt_refuse(attempt, link_refusal(reason), "%.200s", detail);
	attempt->linked = attempt->user_id != 0;
	if (!attempt->linked && !attempt->login->just_in_time)
		return attempt_refuse(attempt, "not-provisioned", "no user has identity '%.100s'",
				      attempt->identity.key);
	return 0;
}

int attempt_find_user(struct attempt *attempt, struct err *err)
{
	int known = find_known(attempt, err);

	if (known != 0)
		return known < 0 ? -1 : 0;
	return find_newcomer(attempt, err);
}

/* --- a test's page --- */

static int preview_user(struct attempt *attempt, struct store *store, struct err *err)
{
	struct linker *linker;
	const char *reason, *detail;
	int known = find_known(attempt, err), result;

	if (known != 0)
		return known < 0 ? -1 : 0;
	linker = linker_create(attempt->setup, attempt->source, store);
	if (!linker)
		return login_no_memory(err);
	result = linker_find(linker, &attempt->identity, attempt->arena, &attempt->user_id, &reason,
			     &detail, err);
	linker_destroy(linker);
	if (result == 0 && reason)
		return attempt_refuse(attempt, link_refusal(reason), "%.200s", detail);
	if (result == 0 && attempt->user_id == 0 && !attempt->login->just_in_time)
		return attempt_refuse(attempt, "not-provisioned", "nobody has this identity");
	return result;
}

static int preview(struct attempt *attempt, struct store *store, struct person *ret_person,
		   struct err *err)
{
	struct evaluation evaluation = { .setup = attempt->setup,
					 .store = store,
					 .arena = attempt->arena,
					 .now_s = attempt->login->now_s,
					 .cause = "" };

	if (attempt_find_source(attempt) < 0)
		return -1;
	if (attempt_is_refused(attempt))
		return 0;
	if (attempt_decode(attempt, err) < 0)
		return -1;
	if (attempt->stored.record == NULL)
		return 0;
	if (!attempt_is_refused(attempt) && preview_user(attempt, store, err) < 0)
		return -1;
	if (evaluate_person_as(&evaluation, attempt->user_id, &attempt->stored, ret_person, err) <
	    0)
		return -1;
	return attempt_is_refused(attempt) ? 0 : attempt_judge(attempt, err);
}

int change_login_preview(struct setup *setup, struct store *store, const struct login *login,
			 struct arena *arena, int64_t *ret_user_id, struct person *ret_person,
			 const char **ret_refused, struct err *err)
{
	/* The road of a real one, on the reader's handle. */
	struct changer reader = { .store = store };
	struct login_outcome outcome = { .created = false };
	struct person person = { .schema = setup->decision.schema };
	struct attempt attempt = { .login = login,
				   .outcome = &outcome,
				   .answer = arena,
				   .arena = arena,
				   .changer = &reader,
				   .setup = live_setup_create(setup, store, err) };
	int result = attempt.setup ? preview(&attempt, store, &person, err) : -1;

	if (result == 0) {
		*ret_refused = arena_strdup(arena, outcome.refused);
		if (!*ret_refused)
			result = login_no_memory(err);
	}
	if (result == 0) {
		*ret_user_id = attempt.user_id;
		*ret_person = person;
	}
	if (attempt.setup)
		setup_release(&attempt.setup->setup);
	return result;
}
