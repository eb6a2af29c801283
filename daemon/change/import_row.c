/*
 * A row of a file of people, before the writer sees it. Enters: texts as the file has them. Leaves: texts as the
 * store has them, what is to be given; or what is wrong with the row by itself. Fails: memory.
 */
#include "importing.h"

#include <string.h>

#include <rolebridge/base/util.h>
#include <rolebridge/identity/names.h>
#include <rolebridge/store/account.h>

#include "edit.h"
#include "refusal.h"

#define EXTERNAL_ID_MAX 255

/* In the order of enum grant_kind. */
const char *const import_kind_fields[GRANT_KINDS] = { "profile", "roles", "personas", "groups" };

/* --- a row as the store has it --- */

int import_normal(struct import *import,
		  int (*normalize)(const char *text, struct strbuf *out, struct err *err),
		  const char **text, struct err *err)
{
	if (!*text || (*text)[0] == '\0')
		return 0;
	strbuf_clear(&import->text);
	if (normalize(*text, &import->text, err) < 0)
		return err_wrap(err, "'%s'", *text);
	*text = arena_strndup(import->texts, import->text.data, import->text.size);
	return *text ? 0 : import_no_memory(err);
}

static int check_external_id(const char *text, struct strbuf *out, struct err *err)
{
	size_t size = strlen(text);

	for (size_t i = 0; i < size; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return err_set(err, ERR_INVALID, "holds a control character");
	if (size > EXTERNAL_ID_MAX)
		return err_set(err, ERR_INVALID, "longer than %d bytes", EXTERNAL_ID_MAX);
	strbuf_puts(out, text);
	return 0;
}

static int prepare_texts(struct import *import, struct prepared *prepared, const char **refused,
			 struct err *err)
{
	struct import_row *row = &prepared->row;
	const char *state = row->state;

	*refused = "user_id";
	if (row->user_id && row->user_id[0] && !uuid_parse(row->user_id, &prepared->id))
		return err_set(err, ERR_INVALID, "'%s' is not a user's id", row->user_id);
	prepared->has_id = row->user_id && row->user_id[0];
	*refused = "external_id";
	if (import_normal(import, check_external_id, &row->external_id, err) < 0)
		return -1;
	*refused = "username";
	if (import_normal(import, username_normalize, &row->username, err) < 0)
		return -1;
	*refused = "email";
	if (import_normal(import, email_normalize, &row->email, err) < 0)
		return -1;
	*refused = "display_name";
	if (import_normal(import, display_name_normalize, &row->display_name, err) < 0)
		return -1;
	*refused = "organization";
	if (import->actor->limited && row->organization && row->organization[0] &&
	    change_check_own_organization(&import->setup->setup, import->actor, row->organization,
					  err) < 0)
		return -1;
	*refused = "state";
	if (state && state[0] && strcmp(state, "active") != 0 && strcmp(state, "disabled") != 0)
		return err_set(err, ERR_INVALID, "state '%s' is neither active nor disabled",
			       state);
	return 0;
}

static int add_wanted(struct import *import, struct prepared *prepared, enum grant_kind kind,
		      const char *name, const char **refused, struct err *err)
{
	*refused = import_kind_fields[kind];
	if (change_check_grant(&import->setup->setup, kind, name,
			       import->actor->limited ? import->actor->organization : NULL,
			       err) < 0)
		return -1;
	prepared->wanted[prepared->wanted_count++] =
		(struct grant){ .kind = kind,
				.name = name,
				.origin = ORIGIN_IMPORT,
				.origin_id = import->actor->name,
				.origin_source = "",
				.given_s = change_now_s() };
	return 0;
}

static bool is_wanted(const struct prepared *prepared, enum grant_kind kind, const char *name)
{
	for (size_t i = 0; i < prepared->wanted_count; i++)
		if (prepared->wanted[i].kind == kind && strcmp(prepared->wanted[i].name, name) == 0)
			return true;
	return false;
}

static int prepare_grants(struct import *import, struct prepared *prepared, const char **refused,
			  struct err *err)
{
	const struct import_row *row = &prepared->row;
	size_t room = 1;

	for (int kind = 0; kind < GRANT_KINDS; kind++)
		room += row->names[kind].count;
	prepared->wanted = arena_alloc_array(import->texts, room, sizeof(*prepared->wanted));
	if (!prepared->wanted)
		return import_no_memory(err);
	if (row->profile && row->profile[0] &&
	    add_wanted(import, prepared, GRANT_PROFILE, row->profile, refused, err) < 0)
		return -1;
	for (int kind = GRANT_ROLE; kind < GRANT_KINDS; kind++)
		for (size_t i = 0; i < row->names[kind].count; i++) {
			const char *name = row->names[kind].names[i];

			if (!is_wanted(prepared, (enum grant_kind)kind, name) &&
			    add_wanted(import, prepared, (enum grant_kind)kind, name, refused,
				       err) < 0)
				return -1;
		}
	return 0;
}

/* "crm/42": the first '/' parts them, for an id may hold others. */
static int prepare_accounts(struct import *import, struct prepared *prepared, const char **refused,
			    struct err *err)
{
	const struct import_names *names = &prepared->row.accounts;

	prepared->accounts = arena_alloc_array(import->texts, names->count ? names->count : 1,
					       sizeof(*prepared->accounts));
	if (!prepared->accounts)
		return import_no_memory(err);
	*refused = "accounts";
	for (size_t i = 0; i < names->count; i++) {
		const char *slash = strchr(names->names[i], '/');
		struct account_row *account = &prepared->accounts[prepared->account_count++];

		if (!slash || slash == names->names[i] || !slash[1])
			return err_set(err, ERR_INVALID, "'%.100s' is not like APPLICATION/ID",
				       names->names[i]);
		*account = (struct account_row){
			.application = arena_strndup(import->texts, names->names[i],
						     (size_t)(slash - names->names[i])),
			.id = slash + 1,
		};
		if (!account->application)
			return import_no_memory(err);
	}
	return 0;
}

/* --- what a row that is refused says --- */

int import_refused(struct import_result *result, const struct err *problem, const char *refused,
		   struct arena *arena, struct err *err)
{
	const char *field = edit_refused_name(problem);

	if (!is_refusal(problem)) {
		*err = *problem;
		return -1;
	}
	if (problem->reason && strcmp(problem->reason, "profile-required") == 0)
		field = "profile";
	if (problem->reason && strcmp(problem->reason, "external-id-taken") == 0)
		field = "external_id";
	result->status = IMPORT_FAILED;
	result->code = refusal_code(problem);
	result->field = refused ? refused : field;
	result->message = arena_strdup(arena, problem->text);
	return result->message ? 0 : import_no_memory(err);
}

int import_prepare(struct import *import, const struct import_row *row, struct prepared *prepared,
		   struct import_result *result, struct arena *arena, struct err *err)
{
	const char *refused = NULL;
	struct err problem;

	*prepared = (struct prepared){ .row = *row };
	/* Whoever read the row found it wrong. */
	if (result->code)
		return 0;
	err_clear(&problem);
	if (prepare_texts(import, prepared, &refused, &problem) < 0 ||
	    prepare_grants(import, prepared, &refused, &problem) < 0 ||
	    prepare_accounts(import, prepared, &refused, &problem) < 0)
		return import_refused(result, &problem, refused, arena, err);
	return 0;
}
