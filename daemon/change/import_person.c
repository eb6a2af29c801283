/*
 * What a row of a file of people changes: somebody new, or somebody known.
 *
 * Enters: a prepared row and whom it is about. Leaves: the person as the row says, by apply_person, or what would be
 * refused of it in a dry run; status and refused field. A refusal is told before anything of the row is written, so
 * that no row needs a savepoint. Fails: store, memory.
 */
#include "importing.h"

#include <string.h>

#include <rolebridge/base/util.h>
#include <rolebridge/identity/names.h>
#include <rolebridge/store/account.h>
#include <rolebridge/store/invite.h>

#include "ceiling.h"
#include "edit.h"

struct foresight importing_foresight(const struct importing *importing)
{
	return (struct foresight){ .store = importing->store,
				   .setup = importing->import->setup,
				   .actor = importing->import->actor,
				   .arena = importing->arena,
				   .claims = importing->import->claims,
				   .now_s = importing->now_s };
}

static int foresee(struct importing *importing, const struct person_change *change, struct err *err)
{
	struct foresight foresight = importing_foresight(importing);
	int result = foresee_change(&foresight, change, err);

	if (foresight.refused)
		importing->refused = foresight.refused;
	return result;
}

/* --- writing --- */

static int carry_out(struct importing *importing, const struct person_change *change,
		     int64_t *ret_user_id, struct err *err)
{
	if (!importing->context) {
		*ret_user_id = change->before.id;
		return foresee(importing, change, err);
	}
	if (apply_person(importing->context, change, NULL, err) < 0)
		return -1;
	*ret_user_id = importing->context->user_id;
	return 0;
}

static int write_external(struct importing *importing, const struct user *user, int64_t user_id,
			  struct err *err)
{
	const char *id = importing->prepared->row.external_id;
	int64_t owner;

	if (!id || id[0] == '\0')
		return 0;
	if (importing->context)
		return store_external_put(importing->store, user->organization, id, user_id, err);
	if (store_external_find(importing->store, user->organization, id, &owner, err) < 0)
		return -1;
	if (owner != 0 && owner != user_id)
		return err_refuse(err, ERR_CONFLICT, "external-id-taken",
				  "external id '%s' is somebody else's", id);
	return 0;
}

static const char *cause_of(const struct importing *importing)
{
	const char *id = importing->prepared->row.external_id;

	return id && id[0] ? arena_printf(importing->arena, "import %s", id) : "import";
}

/* Is all of it there, where they are? Leaves no field behind. */
static int check_wanted(struct importing *importing, const char *organization, struct err *err)
{
	const struct prepared *prepared = importing->prepared;

	for (size_t i = 0; i < prepared->wanted_count; i++) {
		importing->refused = import_kind_fields[prepared->wanted[i].kind];
		if (change_check_grant(&importing->import->setup->setup, prepared->wanted[i].kind,
				       prepared->wanted[i].name, organization, err) < 0)
			return -1;
	}
	importing->refused = NULL;
	return 0;
}

/* --- somebody new --- */

static int fill_new(struct importing *importing, struct person_change *change, struct err *err)
{
	const struct prepared *prepared = importing->prepared;
	const struct import_row *row = &prepared->row;
	const struct setup *setup = &importing->import->setup->setup;
	const char *email = row->email ? row->email : "";
	const char *username = row->username && row->username[0] ? row->username : email;
	const char *name = row->display_name ? row->display_name : "";
	const char *profile =
		row->profile && row->profile[0] ? row->profile : setup->decision.default_profile;
	bool is_disabled = row->state && strcmp(row->state, "disabled") == 0;

	importing->refused = "username";
	if (username[0] == '\0')
		return err_set(err, ERR_INVALID, "somebody new needs a user name or an address");
	if (username == email &&
	    import_normal(importing->import, username_normalize, &username, err) < 0)
		return err_wrap(err, "the address cannot be the user name");
	importing->refused = "organization";
	if (change_check_organization(setup, import_organization(importing), err) < 0 ||
	    check_wanted(importing, import_organization(importing), err) < 0)
		return -1;
	if (!profile || profile[0] == '\0')
		return err_refuse(err, ERR_INVALID, "profile-required",
				  "somebody new needs a profile, and there is no default one");
	change->after = (struct user){
		.uuid = prepared->has_id ? prepared->id : uuid_create(importing->now_s * 1000),
		.organization = import_organization(importing),
		.username = username,
		.email = email,
		.display_name = name[0] ? name : username,
		.profile = profile,
		.disabled = is_disabled ? DISABLED_BY_HAND : 0,
		.is_protected = policy_is_protected(setup->policy, username),
		.version = 1,
		.created_s = importing->now_s,
		.updated_s = importing->now_s,
	};
	change->before = (struct user){ .uuid = change->after.uuid,
					.organization = change->after.organization,
					.username = "",
					.email = "",
					.display_name = "",
					.profile = "" };
	return 0;
}

int import_create(struct importing *importing, struct err *err)
{
	const struct prepared *prepared = importing->prepared;
	struct person_change change = { .cause = cause_of(importing) };
	struct grant *grants =
		arena_alloc_array(importing->arena, prepared->wanted_count + 1, sizeof(*grants));
	bool by_default = !prepared->row.profile || prepared->row.profile[0] == '\0';
	struct import_ties ties;
	int64_t user_id;
	bool external;

	if (!grants || !change.cause)
		return import_no_memory(err);
	if (fill_new(importing, &change, err) < 0 ||
	    import_check_external(importing, change.after.organization, 0, &external, err) < 0 ||
	    import_check_accounts(importing, change.after.organization, 0, &ties, err) < 0)
		return -1;
	if (by_default)
		grants[change.added_count++] = (struct grant){ .kind = GRANT_PROFILE,
							       .name = change.after.profile,
							       .origin = ORIGIN_DEFAULT,
							       .origin_id = "",
							       .origin_source = "",
							       .given_s = importing->now_s };
	memcpy(grants + change.added_count, prepared->wanted,
	       prepared->wanted_count * sizeof(*grants));
	change.added_count += prepared->wanted_count;
	change.gained_count = change.added_count;
	change.added = grants;
	if (carry_out(importing, &change, &user_id, err) < 0 ||
	    (importing->context &&
	     (write_external(importing, &change.after, user_id, err) < 0 ||
	      import_write_accounts(importing, &ties, user_id, &change.after.uuid, err) < 0)))
		return -1;
	importing->result->status = IMPORT_CREATED;
	importing->result->user = change.after.uuid;
	importing->result->has_user = importing->context != NULL;
	return 0;
}

/* --- somebody known --- */

static void fill_edit(const struct prepared *prepared, const struct user *user,
		      struct import_edit *ret_import, struct edit *ret_edit)
{
	const struct import_row *row = &prepared->row;
	bool is_active = user_is_active(user);

	*ret_import =
		(struct import_edit){ .wanted = prepared->wanted, .count = prepared->wanted_count };
	ret_import->given[GRANT_PROFILE] = row->profile && row->profile[0];
	for (int kind = GRANT_ROLE; kind < GRANT_KINDS; kind++)
		ret_import->given[kind] = row->names[kind].given;
	*ret_edit = (struct edit){ .import = ret_import };
	if (row->state && strcmp(row->state, "disabled") == 0 && is_active)
		ret_edit->disable_set = DISABLED_BY_HAND;
	if (row->state && strcmp(row->state, "active") == 0 && !is_active)
		ret_edit->disable_clear = DISABLED_BY_HAND | DISABLED_STALE;
}

/* Of what would be new, nothing may be denied by a rule. */
static int check_denied(const struct evaluation *e, const struct importing *importing,
			const struct person_change *change, struct err *err)
{
	struct person person;

	if (importing->prepared->wanted_count == 0)
		return 0;
	if (evaluate_person(e, change->before.id, &person, err) < 0)
		return -1;
	for (size_t i = 0; person.identity_count > 0 && i < importing->prepared->wanted_count;
	     i++) {
		const struct grant *grant = &importing->prepared->wanted[i];
		enum match match;

		if (decide_denied(&e->setup->setup.decision, &person, grant->kind, grant->name,
				  e->now_s, e->arena, &match, err) < 0)
			return -1;
		if (match != MATCH_NO)
			return err_refuse(err, ERR_DENIED, "not-allowed",
					  "a rule %s %s '%s' to this person",
					  match == MATCH_YES ? "denies" : "may deny",
					  grant_kind_name(grant->kind), grant->name);
	}
	return 0;
}

static int set_fields(struct importing *importing, const struct evaluation *e,
		      struct person_change *change, struct err *err)
{
	const struct import_row *row = &importing->prepared->row;
	const struct user *before = &change->before;
	struct user *after = &change->after;
	bool changed[EDIT_FIELDS];

	if (row->username && row->username[0])
		after->username = row->username;
	if (row->email && row->email[0])
		after->email = row->email;
	if (row->display_name && row->display_name[0])
		after->display_name = row->display_name;
	changed[0] = strcmp(before->username, after->username) != 0;
	changed[1] = strcmp(before->email, after->email) != 0;
	changed[2] = strcmp(before->display_name, after->display_name) != 0;
	after->is_protected = policy_is_protected(e->setup->setup.policy, after->username);
	if (!changed[0] && !changed[1] && !changed[2])
		return 0;
	return edit_check_owners(e, before, changed, &importing->refused, err);
}

/* Before anything is said of them, in a dry run as well. */
static int check_touchable(struct importing *importing, const struct user *user, struct err *err)
{
	struct foresight foresight = importing_foresight(importing);

	if (!importing->context)
		return foresee_user(&foresight, user, err);
	return ceiling_user(importing->import->changer, &importing->import->setup->setup,
			    importing->import->actor, user, importing->arena, err);
}

static int check_known(struct importing *importing, const struct user *user, struct err *err)
{
	const struct import_row *row = &importing->prepared->row;

	importing->refused = "organization";
	if (row->organization && row->organization[0] &&
	    strcmp(row->organization, user->organization) != 0)
		return err_set(err, ERR_CONFLICT, "'%s' belongs to another organization",
			       user->username);
	return check_wanted(importing, user->organization, err);
}

static int check_after(struct importing *importing, const struct person_change *change,
		       struct err *err)
{
	const struct import_row *row = &importing->prepared->row;

	if (change->after.profile[0] == '\0' && change->before.profile[0] != '\0')
		return err_refuse(err, ERR_CONFLICT, "profile-required",
				  "'%s' would be left without a profile", change->before.username);
	if (!row->state || strcmp(row->state, "active") != 0 || user_is_active(&change->after))
		return 0;
	importing->refused = "state";
	return err_refuse(err, ERR_CONFLICT, "managed-by-idp",
			  "'%s' was not disabled by a person, and no person enables them",
			  change->before.username);
}

static int write_known(struct importing *importing, struct person_change *change, bool external,
		       const struct import_ties *ties, struct err *err)
{
	bool visible = person_change_is_visible(change);
	bool seen = visible && change->before.disabled & ~change->after.disabled & DISABLED_STALE;
	int64_t user_id = change->before.id;

	if (visible && carry_out(importing, change, &user_id, err) < 0) {
		/* Whoever was refused in memory already, before their new name was, is let in again. */
		if (importing->context)
			notice_changed(importing->import->changer, change->before.id);
		return -1;
	}
	if (seen && importing->context &&
	    stale_refresh(importing->context, change->before.id, err) < 0)
		return -1;
	if (external && write_external(importing, &change->before, change->before.id, err) < 0)
		return -1;
	if (external && !visible && importing->context) {
		char object[sizeof("user:") + UUID_TEXT_SIZE] = "user:";

		uuid_format(&change->before.uuid, object + strlen(object));
		if (audit_write(importing->store, importing->now_s, importing->import->actor,
				"user.external-id", object, "{}", err) < 0)
			return -1;
	}
	if (importing->context && import_write_accounts(importing, ties, change->before.id,
							&change->before.uuid, err) < 0)
		return -1;
	importing->result->status =
		visible || external || import_ties_any(ties) ? IMPORT_UPDATED : IMPORT_UNCHANGED;
	return 0;
}

int import_update(struct importing *importing, const struct user *user, struct err *err)
{
	struct import_edit import;
	struct edit edit;
	struct evaluation evaluation = { .setup = importing->import->setup,
					 .store = importing->store,
					 .arena = importing->arena,
					 .now_s = importing->now_s,
					 .cause = cause_of(importing),
					 .edit = &edit };
	struct person_change change;
	enum evaluated outcome;
	const char *problem;
	struct import_ties ties;
	bool external;

	if (!evaluation.cause)
		return import_no_memory(err);
	if (check_touchable(importing, user, err) < 0)
		return -1;
	importing->result->user = user->uuid;
	importing->result->has_user = true;
	fill_edit(importing->prepared, user, &import, &edit);
	if (check_known(importing, user, err) < 0 ||
	    import_check_external(importing, user->organization, user->id, &external, err) < 0 ||
	    import_check_accounts(importing, user->organization, user->id, &ties, err) < 0 ||
	    evaluate_user(&evaluation, user->id, NULL, &change, &outcome, &problem, err) < 0 ||
	    (change.added_count > 0 && check_denied(&evaluation, importing, &change, err) < 0) ||
	    set_fields(importing, &evaluation, &change, err) < 0 ||
	    check_after(importing, &change, err) < 0)
		return -1;
	change.after.version = change.before.version + 1;
	change.after.updated_s = importing->now_s;
	return write_known(importing, &change, external, &ties, err);
}
