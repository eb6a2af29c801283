/*
 * The only road to a write: one transaction that asks policy, writes, audits.
 *
 * A changer owns the writer thread. Requests of people go before bulk batches;
 * those that wait together share one commit (group commit), each in its own
 * savepoint, and are answered after the commit. All functions block until
 * committed or refused and may be called from any thread.
 */
#ifndef ROLEBRIDGE_CHANGE_CHANGER_H
#define ROLEBRIDGE_CHANGE_CHANGER_H

#include <rolebridge/decision/plan.h>
#include <rolebridge/policy/policy.h>
#include <rolebridge/store/store.h>

/*
 * The running configuration as change/ needs it; immutable, reference-counted,
 * swapped whole. destroy is called when the last user lets go.
 */
struct setup {
	struct decision_setup decision;
	const struct policy_settings *policy;
	const struct second_factor_settings *second_factor; /* NULL: no file says anything */
	/* What exists to be given; NULL: what rules give, the default and the administrator's profile. */
	const struct catalogue_settings *catalogue;
	struct group_registry *registry;
	/* By number in the schema: rules, segments or links name it, so that sources are asked for it; NULL: all. */
	const bool *delivered;
	const struct source_settings *const *sources;
	size_t source_count;
	/* Declared ones, beside "default" and those of sources. */
	const struct organization_settings *organizations;
	size_t organization_count;
	/* Domains whose addresses an accepted invite proves; NULL: none. */
	const struct located_list *invited_domains;
	/* Days on which people signed in and used something are kept so long. */
	int64_t activity_kept_s;
	/* Who is told of changes, and who is not for the time being. */
	const struct target_setup *targets;
	size_t target_count;
	/* By how much the wall clock was set while it ran: grace does not count it. main gives 0. */
	int64_t clock_shift_s;
	void (*destroy)(struct setup *setup);
	void *owner;	/* main's */
	int references; /* last; atomic; use setup_acquire, setup_release */
};
struct setup *setup_acquire(struct setup *setup);
void setup_release(struct setup *setup);
/* Also one that is switched off. NULL: none of that name; borrowed from the setup. */
const struct source_settings *setup_find_source(const struct setup *setup, const char *name);
/* "default", one that is declared, or a source's. */
bool change_organization_exists(const struct setup *setup, const char *name);

/*
 * Who asks. What a limited one may do is read again inside each transaction (authority.h): whoever lost it
 * a moment ago is refused.
 */
struct actor {
	const char *name;    /* "unix:root", "user:ada", "token:ci", "sync:corp", "timer" */
	const char *request; /* request or plan id for the audit row; "" */
	bool is_person;	     /* refusals instead of clamps; limits do not count */
	/* Of a limited one: what is asked for needs it. Asked again with the authority; NULL: nothing. */
	const char *permission;
	bool limited; /* false: whatever the daemon does by itself, and administrators on its socket */
	int64_t user_id; /* who it is in the store; 0: nobody there */
	bool by_link;	 /* in a session that root's link opened: their sign-in may be suspended */
	const char *organization; /* of a service (limited, user_id 0); else NULL */
	const char
		*application; /* a token bound to this application's resources alone; NULL: any */
	const char *token;    /* the name of the token that it comes by; NULL: none */
	/* What a token leaves of it, or all that a service may do: NULL: whatever the person may. */
	const char *const *scope;
	size_t scope_count;
};

/* All of it, for work that outlives the request: texts live in the arena. */
int actor_keep(struct arena *arena, const struct actor *actor, struct actor *ret_actor,
	       struct err *err);

struct changer;

/*
 * Opens the store for writing, discards drafts, rolls READY plans forward
 * (before anything else is answered), starts the writer thread.
 */
struct changer *changer_open(const char *store_path, struct setup *setup, struct err *err);
/*
 * Before the end: what is planned ends without a trace, what is applied ends after the batch under way and is
 * rolled forward at the next start. Requests of people are still answered. From any thread.
 */
void changer_stop(struct changer *changer);
void changer_close(struct changer *changer); /* finishes what was accepted */
/* Have rules or trust changed, or rules expired, since the users were last evaluated? Then reload with the same setup. */
int changer_reload_due(struct changer *changer, bool *ret_due, struct err *err);
const char *changer_store_path(const struct changer *changer);

/* The setup in force; release after use. */
struct setup *changer_setup(struct changer *changer);
/* Grows before another configuration is in force: what was worked out under the old one is void. Costs nothing. */
uint64_t changer_generation(const struct changer *changer);

/*
 * Put a new configuration (NULL: the one in force) in force: registry changes are stored, all users are
 * re-evaluated from their stored identities, and the outcome is a plan under the same limits
 * (source "rules"), which supersedes held ones. progress may be NULL.
 */
struct run_report;
int changer_reload(struct changer *changer, struct setup *setup, const struct actor *actor,
		   struct run_report *ret_report, struct err *err);

/*
 * --- changes by people ---
 * Of a limited actor each asks the ceiling (authority.h) about whom it concerns, as they are and as they
 * would be: ERR_DENIED "not-allowed", ERR_NOT_FOUND for whoever is in another organization. Nobody disables
 * themselves ("self-disable") or gives up being an administrator ("self-downgrade"); on the control
 * socket one is the user of one's name, but for root.
 */
struct new_user {
	const char *username, *email, *display_name, *organization;
	const char *profile; /* NULL or "": the default one, as long as nothing else gives one */
};
int change_user_create(struct changer *changer, const struct actor *actor,
		       const struct new_user *user, struct uuid *ret_uuid, struct err *err);
/*
 * Fields by hand. version: the one that the caller saw, 0: whichever; ERR_CONFLICT "stale-version". A field
 * that a source says: ERR_CONFLICT "managed-by-idp". Names as for someone new. *ret_field, also on
 * failure: the field a refusal is about, or NULL.
 */
struct user_fields {
	const char *username, *email, *display_name; /* NULL: as it is; "" of the last two: none */
};
int change_user_set(struct changer *changer, const struct actor *actor, const char *user,
		    int64_t version, const struct user_fields *wanted, struct uuid *ret_uuid,
		    const char **ret_field, struct err *err);
/*
 * Only who is disabled: ERR_CONFLICT. Grants end; what stays is a tombstone (DISABLED_DELETED), which no read,
 * rule or person changes any more. Its address is free.
 */
int change_user_delete(struct changer *changer, const struct actor *actor, const char *user,
		       int64_t version, struct uuid *ret_uuid, struct err *err);
/*
 * Whose an identity is by a person's word. A link counts from the next time the identity is read, or signs in.
 * ERR_CONFLICT: it is somebody else's, the source is another organization's, the user has another one of it.
 * Unlinking takes back what rules gave for it, and no rule links it to this user again; who was disabled
 * stays so, by hand. "sync-running": while the source is being read. *ret_field as above.
 */
int change_user_link(struct changer *changer, const struct actor *actor, const char *user,
		     int64_t version, const char *source, const char *key, struct uuid *ret_uuid,
		     const char **ret_field, struct err *err);
int change_user_unlink(struct changer *changer, const struct actor *actor, const char *user,
		       int64_t version, const char *source, const char *key, struct uuid *ret_uuid,
		       struct err *err);
/*
 * Into another organization, which takes permission in both: nobody who is bound to one has it. Sessions and tokens end,
 * whoever made the user is forgotten, what nobody read yet of a person's word is dropped, and so is each grant of what the
 * other organization does not have. ERR_CONFLICT "managed-by-idp": an identity is of a source that is not the other
 * one's; "user-has-references", "last-administrator", "external-id-taken", "profile-required". ERR_NOT_FOUND with
 * *ret_field: no such organization.
 */
struct user_move {
	const char *user, *organization;
	int64_t version; /* 0: whichever */
	bool dry_run;
};
struct move_outcome {
	struct uuid uuid;
	const char *organization, *profile; /* as they are now, or would be */
	const struct grant *dropped;
	size_t dropped_count;
	int64_t tokens; /* that ended, or would */
	bool moved;	/* they were elsewhere */
};
/* Texts of the outcome live in the arena. */
int change_user_move(struct changer *changer, const struct actor *actor,
		     const struct user_move *move, struct arena *arena,
		     struct move_outcome *ret_outcome, const char **ret_field, struct err *err);
/* user: uuid, username or e-mail. */
int change_user_disable(struct changer *changer, const struct actor *actor, const char *user,
			const char *reason_text, struct err *err);
int change_user_enable(struct changer *changer, const struct actor *actor, const char *user,
		       struct err *err);
/* Hand-given grant; expires_s 0: never. A profile replaces the hand-given profile before. */
int change_grant_add(struct changer *changer, const struct actor *actor, const char *user,
		     enum grant_kind kind, const char *name, int64_t expires_s, struct err *err);
int change_grant_remove(struct changer *changer, const struct actor *actor, const char *user,
			enum grant_kind kind, const char *name, struct err *err);
/* The same of the version that the caller saw, 0: whichever. ERR_CONFLICT "stale-version". */
int change_user_disable_if(struct changer *changer, const struct actor *actor, const char *user,
			   int64_t version, const char *reason_text, struct err *err);
int change_user_enable_if(struct changer *changer, const struct actor *actor, const char *user,
			  int64_t version, struct err *err);
int change_grant_add_if(struct changer *changer, const struct actor *actor, const char *user,
			int64_t version, enum grant_kind kind, const char *name, int64_t expires_s,
			struct err *err);
int change_grant_remove_if(struct changer *changer, const struct actor *actor, const char *user,
			   int64_t version, enum grant_kind kind, const char *name,
			   struct err *err);
/* Accept that a vanished group is gone: its rule is no longer frozen. */
int change_rule_release(struct changer *changer, const struct actor *actor, const char *rule_id,
			struct run_report *ret_report, struct err *err);
int change_alarm_clear(struct changer *changer, const struct actor *actor, int64_t alarm_id,
		       struct err *err);
/* Something outside of plans needs a person, or does no longer (cause: what ended it). */
int change_alarm_raise(struct changer *changer, const char *kind, const char *subject,
		       const char *text, struct err *err);
int change_alarm_end(struct changer *changer, const char *kind, const char *subject,
		     const char *cause, struct err *err);
/* Has the wall clock been set by more than 5 minutes? Then an alarm, and grace goes on without that. By the timer. */
int changer_watch_clock(struct changer *changer, struct err *err);
/* Expired grants, rules and accounts: re-evaluates those concerned. Called by the timer. */
int change_expire(struct changer *changer, int64_t now_s, struct err *err);

/* Of that the accounts alone, at once: it does not wait while a plan is being applied. */
int change_disable_due(struct changer *changer, int64_t now_s, struct err *err);

/*
 * When change_disable_due has somebody to disable next, whose account expires by what its source said; 0: nobody. A
 * time that has passed: try again soon, the source is being read. Costs nothing, and follows each commit.
 */
int64_t change_next_due(const struct changer *changer);

/*
 * A user's identities as rules see them now (for why): those missing for good left out, group lists
 * that lack a group which rules name now marked incomplete. Borrows the setup; the rest is the arena's.
 */
int change_person_load(struct setup *setup, struct store *store, int64_t user_id, int64_t now_s,
		       struct arena *arena, struct person *ret_person, struct err *err);

/* Resolve uuid, username or e-mail on any handle. ERR_NOT_FOUND otherwise. */
int user_resolve(struct store *store, const char *user, struct arena *arena, struct user *ret_user,
		 struct err *err);

#endif
