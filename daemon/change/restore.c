/*
 * Backups, and the time after one was put in the store's place. Enters: the store, a backup. Leaves: a copy that was
 * examined; a store in which what must not come back to life has ended, audit rows, an alarm, what waits.
 * Fails: disk, memory, a backup that is not good; then the store is as it was.
 */
#include <rolebridge/change/restore.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <rolebridge/base/file.h>
#include <rolebridge/base/util.h>
#include <rolebridge/store/token.h>

#include "restore.h"

#define ALARM_KIND "restored"
#define OBJECT "store"
/* No assertion is good for longer. */
#define FORGOTTEN_S 86400
#define TEXT_MAX ((size_t)4096)
#define ARENA_MAX ((size_t)16 * 1024 * 1024)

static int no_memory(struct err *err)
{
	return err_set(err, ERR_MEMORY, "no memory for the store's backup");
}

/* --- what waits --- */

unsigned change_restore_holds(const struct changer *changer)
{
	return __atomic_load_n(&changer->restore_holds, __ATOMIC_ACQUIRE);
}

int change_restore_check_sign_in(const struct changer *changer, struct err *err)
{
	if (!(change_restore_holds(changer) & RESTORE_HOLDS_SIGN_IN))
		return 0;
	return err_refuse(err, ERR_UNAVAILABLE, "restored",
			  "the store was restored from a backup: nobody signs in until each source "
			  "was read whole");
}

static void note_holds(struct changer *changer, const struct restoration *restoration)
{
	unsigned holds = 0;

	if (restoration->at_s != 0 && restoration->sign_in_open_s == 0)
		holds |= RESTORE_HOLDS_SIGN_IN;
	if (restoration->at_s != 0 && restoration->delivery_open_s == 0)
		holds |= RESTORE_HOLDS_DELIVERY;
	__atomic_store_n(&changer->restore_holds, holds, __ATOMIC_RELEASE);
	__atomic_store_n(&changer->restored_s, restoration->at_s, __ATOMIC_RELEASE);
}

int restore_begin(struct changer *changer, struct err *err)
{
	struct restoration restoration;

	if (store_restoration_get(changer->store, &restoration, err) < 0)
		return -1;
	note_holds(changer, &restoration);
	return 0;
}

bool restore_forgot(const struct changer *changer, int64_t begun_s, int64_t now_s)
{
	int64_t restored_s = __atomic_load_n(&changer->restored_s, __ATOMIC_ACQUIRE);

	return restored_s != 0 && begun_s <= restored_s && now_s < restored_s + FORGOTTEN_S;
}

int restore_note_read(struct changer *changer, const char *source, struct err *err)
{
	if (!(change_restore_holds(changer) & RESTORE_HOLDS_SIGN_IN))
		return 0;
	return store_restoration_note_read(changer->store, source, err);
}

int change_restore_state(struct store *store, const struct setup *setup, struct arena *arena,
			 struct restore_state *ret_state, struct err *err)
{
	struct restore_state state = { .waits_count = 0 };

	if (store_restoration_get(store, &state.restoration, err) < 0)
		return -1;
	state.waits_for = arena_alloc_array(arena, setup->source_count + 1, sizeof(char *));
	if (!state.waits_for)
		return no_memory(err);
	for (size_t i = 0; state.restoration.at_s != 0 && i < setup->source_count; i++) {
		const struct source_settings *source = setup->sources[i];
		int known = 1;

		if (source->enabled && !source_signs_in(source))
			known = store_restoration_was_read(store, source->name.text, err);
		if (known < 0)
			return -1;
		if (known == 0)
			state.waits_for[state.waits_count++] = source->name.text;
	}
	*ret_state = state;
	return 0;
}

/* --- letting go of it --- */

struct letting {
	const struct actor *actor;
	const char *action;
	unsigned holds;
	bool unless_awaited; /* not while a source was not read, or a plan is under way */
	struct restoration restoration;
};

static int is_awaited(struct changer *changer, bool *ret_awaited, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(ARENA_MAX);
	struct live_setup *setup;
	struct restore_state state;
	struct plan_row *plans;
	size_t count;
	int result;

	if (!arena)
		return no_memory(err);
	if (store_plan_list(changer->store, PLAN_READY, arena, &plans, &count, err) < 0)
		return -1;
	setup = changer_live_setup(changer, NULL);
	result = change_restore_state(changer->store, &setup->setup, arena, &state, err);
	setup_release(&setup->setup);
	*ret_awaited = result == 0 && (count > 0 || state.waits_count > 0);
	return result;
}

static void open_one(int64_t *open_s, bool wanted, int64_t now_s, bool *ret_changed)
{
	if (!wanted || *open_s != 0)
		return;
	*open_s = now_s;
	*ret_changed = true;
}

static int audit_letting(struct changer *changer, const struct letting *letting, bool sign_in,
			 bool delivery, struct err *err)
{
	AUTO(strbuf) struct strbuf detail = STRBUF(TEXT_MAX);
	struct json json = JSON(&detail);

	json_object(&json);
	json_bool(&json, "sign_in", sign_in);
	json_bool(&json, "delivery", delivery);
	json_end(&json);
	if (strbuf_failed(&detail))
		return no_memory(err);
	return audit_write(changer->store, change_now_s(), letting->actor, letting->action, OBJECT,
			   strbuf_text(&detail), err);
}

static int let_job(struct changer *changer, struct job *job, struct err *err)
{
	struct letting *letting = job->context;
	struct restoration *restoration = &letting->restoration;
	bool awaited = false, sign_in = false, delivery = false;
	int64_t now_s = change_now_s();

	if (store_restoration_get(changer->store, restoration, err) < 0)
		return -1;
	if (restoration->at_s == 0)
		return 0;
	if (letting->unless_awaited && is_awaited(changer, &awaited, err) < 0)
		return -1;
	open_one(&restoration->sign_in_open_s, !awaited && (letting->holds & RESTORE_HOLDS_SIGN_IN),
		 now_s, &sign_in);
	open_one(&restoration->delivery_open_s, letting->holds & RESTORE_HOLDS_DELIVERY, now_s,
		 &delivery);
	if (!sign_in && !delivery)
		return 0;
	if (store_restoration_set(changer->store, restoration, err) < 0 ||
	    audit_letting(changer, letting, sign_in, delivery, err) < 0)
		return -1;
	/* Once a person has looked. */
	return delivery && store_alarm_clear(changer->store, ALARM_KIND, OBJECT,
					     letting->actor->name, now_s, err) < 0
		       ? -1
		       : 0;
}

static int let_go(struct changer *changer, struct letting *letting, struct err *err)
{
	if (!(change_restore_holds(changer) & letting->holds))
		return 0;
	if (writer_request(changer, let_job, letting, err) < 0)
		return -1;
	note_holds(changer, &letting->restoration);
	return 0;
}

int change_restore_release(struct changer *changer, const struct actor *actor, unsigned holds,
			   struct err *err)
{
	struct letting letting = { .actor = actor, .action = "restore.release", .holds = holds };

	return let_go(changer, &letting, err);
}

int change_restore_look(struct changer *changer, struct err *err)
{
	const struct actor timer = { .name = "timer", .request = "" };
	struct letting letting = { .actor = &timer,
				   .action = "restore.open",
				   .holds = RESTORE_HOLDS_SIGN_IN,
				   .unless_awaited = true };

	return let_go(changer, &letting, err);
}

/* --- a backup --- */

static int backup_audit_job(struct changer *changer, struct job *job, struct err *err)
{
	const struct actor *actor = job->context;

	return audit_write(changer->store, change_now_s(), actor, "store.backup", OBJECT, "{}",
			   err);
}

/* From here on the file has no name: whatever becomes of us, nothing of it stays. */
static int open_and_unlink(const char *path, int *ret_fd, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		err_set_errno(err, ERR_IO, errno, "cannot open '%s'", path);
	unlink(path);
	*ret_fd = fd;
	return fd < 0 ? -1 : 0;
}

static int make_copy(struct changer *changer, const struct actor *actor, const char *copy,
		     const struct store_progress *progress, struct backup_result *result,
		     struct err *err)
{
	/* Of one that was cut off. */
	unlink(copy);
	if (writer_request(changer, backup_audit_job, (void *)(uintptr_t)actor, err) < 0 ||
	    store_copy(changer->path, copy, change_now_s(), progress, err) < 0)
		return -1;
	change_step("copied");
	if (store_examine(copy, NULL, progress, &result->about, err) < 0) {
		unlink(copy);
		return err_wrap(err, "the backup is not good");
	}
	return open_and_unlink(copy, &result->fd, err);
}

#define LAST_META "backup-made"

static int backup_note_job(struct changer *changer, struct job *job, struct err *err)
{
	const struct backup_result *result = job->context;
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)result->about.made_s);
	return store_meta_set(changer->store, LAST_META, text, err);
}

int change_backup_last(struct store *store, struct arena *arena, int64_t *ret_made_s,
		       struct err *err)
{
	const char *text;

	if (store_meta_get(store, LAST_META, arena, &text, err) < 0)
		return -1;
	*ret_made_s = text ? strtoll(text, NULL, 10) : 0;
	return 0;
}

int change_backup(struct changer *changer, const struct actor *actor,
		  const struct store_progress *progress, struct backup_result *ret_result,
		  struct err *err)
{
	struct backup_result result = { .fd = -1 };
	char *copy = NULL;
	int status;

	if (__atomic_test_and_set(&changer->backup_runs, __ATOMIC_ACQ_REL))
		return err_refuse(err, ERR_CONFLICT, "backup-running",
				  "a backup is being made already");
	if (asprintf(&copy, "%s.copy", changer->path) < 0) {
		copy = NULL;
		status = no_memory(err);
	} else {
		status = make_copy(changer, actor, copy, progress, &result, err);
	}
	if (status == 0 && writer_request(changer, backup_note_job, &result, err) < 0) {
		close(result.fd);
		status = -1;
	}
	free(copy);
	__atomic_clear(&changer->backup_runs, __ATOMIC_RELEASE);
	if (status == 0)
		*ret_result = result;
	return status;
}

/* --- a restore --- */

struct restoring {
	const struct restore_request *request;
	struct restore_outcome *outcome;
	struct store *old; /* NULL: there is none that could be read */
	struct arena *arena;
	int64_t now_s;
};

/* It goes on if it did where we come from: what was revoked since the backup was made stays so. */
static int keeps_token(void *context, const struct uuid *uuid, struct err *err)
{
	struct restoring *restoring = context;
	struct err missing = { 0 };
	struct token_row row;
	int kept;

	if (!restoring->old) {
		kept = restoring->request->keep_tokens;
	} else if (store_token_find(restoring->old, uuid, restoring->arena, &row, &missing) == 0) {
		kept = row.revoked_s == 0;
	} else if (missing.code == ERR_NOT_FOUND) {
		/* Of another store, or revoked so long ago that it is gone. */
		kept = restoring->request->keep_tokens;
	} else {
		*err = missing;
		return -1;
	}
	restoring->outcome->tokens_kept += kept;
	return kept;
}

static void write_head(struct json *json, const char *name, int64_t seq, const struct hash256 *hash)
{
	char text[96], hex[65];

	hash256_hex(hash, hex);
	snprintf(text, sizeof(text), "%lld:%s", (long long)seq, hex);
	json_string(json, name, text);
}

static int audit_restore(const struct restoring *restoring, struct store *store, struct err *err)
{
	AUTO(strbuf) struct strbuf detail = STRBUF(TEXT_MAX);
	const struct restore_outcome *outcome = restoring->outcome;
	const struct actor actor = { .name = restoring->request->actor, .request = "" };
	struct json json = JSON(&detail);
	struct hash256 hash;
	int64_t seq;

	json_object(&json);
	json_time(&json, "made", outcome->about.made_s);
	write_head(&json, "head", outcome->about.audit.last_seq, &outcome->about.audit.head);
	if (restoring->old && store_audit_head(restoring->old, &seq, &hash, NULL) == 0)
		write_head(&json, "replaced", seq, &hash);
	json_int(&json, "sessions", outcome->ended.sessions);
	json_int(&json, "devices", outcome->ended.devices);
	json_int(&json, "recovery_codes", outcome->ended.recovery_codes);
	json_int(&json, "invites", outcome->ended.invites);
	json_int(&json, "resets", outcome->ended.resets);
	json_int(&json, "login_links", outcome->ended.login_links);
	json_int(&json, "tokens", outcome->ended.tokens);
	json_int(&json, "tokens_kept", outcome->tokens_kept);
	json_end(&json);
	if (strbuf_failed(&detail))
		return no_memory(err);
	return audit_write(store, restoring->now_s, &actor, "store.restore", OBJECT,
			   strbuf_text(&detail), err);
}

static int raise_alarm(const struct restoring *restoring, struct store *store, struct err *err)
{
	AUTO(strbuf) struct strbuf text = STRBUF(TEXT_MAX);
	char made[CLOCK_TEXT_SIZE] = "an unknown time";

	if (restoring->outcome->about.made_s != 0)
		clock_format(restoring->outcome->about.made_s, made);
	strbuf_printf(
		&text,
		"the store was restored from a backup of %s: what was done by hand since is "
		"lost; nobody signs in until each source was read whole, and mail and targets "
		"wait for 'rolebridgectl restored release'",
		made);
	if (strbuf_failed(&text))
		return no_memory(err);
	return store_alarm_raise(store, ALARM_KIND, OBJECT, strbuf_text(&text), restoring->now_s,
				 err) < 0
		       ? -1
		       : 0;
}

static int write_restore(struct restoring *restoring, struct store *store, struct err *err)
{
	const struct restoration restoration = { .at_s = restoring->now_s,
						 .made_s = restoring->outcome->about.made_s };

	if (store_restore_void(store, restoring->now_s, keeps_token, restoring,
			       &restoring->outcome->ended, err) < 0 ||
	    store_restoration_set(store, &restoration, err) < 0 ||
	    raise_alarm(restoring, store, err) < 0)
		return -1;
	return audit_restore(restoring, store, err);
}

static int change_copy(struct restoring *restoring, const char *copy, struct err *err)
{
	struct store *store = store_open(copy, STORE_WRITE, err);
	int result = store ? store_begin(store, err) : -1;

	if (result == 0) {
		result = write_restore(restoring, store, err);
		if (result == 0)
			result = store_commit(store, err);
		else
			store_rollback(store);
	}
	store_close(store);
	return result;
}

/* One of an older schema is brought to ours first: only then its audit log can be verified. */
static int examine_copy(struct restoring *restoring, const char *copy, struct err *err)
{
	const struct restore_request *request = restoring->request;
	struct store_about *about = &restoring->outcome->about;
	int64_t schema;
	struct store *store;

	if (store_examine(copy, request->head, request->progress, about, err) < 0)
		return -1;
	if (about->audit.intact)
		return 0;
	schema = about->schema;
	store = store_open(copy, STORE_WRITE, err);
	store_close(store);
	if (!store || store_examine(copy, request->head, request->progress, about, err) < 0)
		return -1;
	about->schema = schema;
	return 0;
}

static void open_old(struct restoring *restoring)
{
	/* Not for writing: it is as it was until it goes. */
	if (access(restoring->request->store_path, F_OK) == 0)
		restoring->old = store_open(restoring->request->store_path, STORE_READ, NULL);
	restoring->outcome->old_readable = restoring->old != NULL;
}

static int restore(struct restoring *restoring, const char *copy, struct err *err)
{
	int result;

	change_step("taken");
	if (examine_copy(restoring, copy, err) < 0)
		return -1;
	change_step("examined");
	if (restoring->request->dry_run)
		return 0;
	open_old(restoring);
	result = change_copy(restoring, copy, err);
	store_close(restoring->old);
	change_step("changed");
	return result < 0 ? -1 : store_put_ready(restoring->request->store_path, err);
}

int change_restore(const struct restore_request *request, struct restore_outcome *ret_outcome,
		   struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(ARENA_MAX);
	struct restore_outcome outcome = { .tokens_kept = 0 };
	struct restoring restoring = {
		.request = request, .outcome = &outcome, .arena = arena, .now_s = change_now_s()
	};
	char *copy;
	int result;

	if (!arena)
		return no_memory(err);
	copy = store_take_in(request->store_path, request->fd, request->progress, err);
	if (!copy)
		return -1;
	result = restore(&restoring, copy, err);
	free(copy);
	if (result < 0 || request->dry_run)
		store_drop_taken(request->store_path, NULL);
	if (result == 0)
		*ret_outcome = outcome;
	return result;
}
