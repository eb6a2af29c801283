/*
 * Changes of what administrators define: profiles, roles, personas, rules, sources.
 *
 * main builds the configuration as it would be and finds out whether it loads; here it is asked who may
 * do it, whether anything stands against it, and rows, audit and setup change together: in the transaction that
 * makes the plan READY where somebody is evaluated anew, else in one of their own.
 */
#ifndef ROLEBRIDGE_CHANGE_DEFINE_H
#define ROLEBRIDGE_CHANGE_DEFINE_H

#include <rolebridge/change/sync.h>
#include <rolebridge/store/definition.h>

/* Which version must be there. Above 0: this one, else ERR_CONFLICT "stale-version". */
#define DEFINITION_PRESENT 0 /* whichever; ERR_NOT_FOUND */
#define DEFINITION_NEW (-1)  /* none: ERR_CONFLICT */
#define DEFINITION_MAYBE (-2)

struct definition_write {
	const char *kind, *name;
	bool draft;
	const char *body; /* NULL: it goes */
	int64_t position;
	int64_t version;
	const char *action; /* of the audit row: "role.update" */
	/* A document that the body names, and its text; NULL: it names none; it is there. */
	const char *fingerprint, *document;
	/* Of something new: whose it is, NULL: everybody's. What is there stays whose it was. */
	const char *organization;
	/* Asked for all the same where nothing of the row changes: others go past it. */
	bool only_asked;
};

struct define_order {
	struct setup *setup; /* with all of it; the one in force stays when `kept` is set */
	bool kept;	     /* drafts alone: nobody is evaluated anew */
	bool dry_run;
	const struct definition_write *writes;
	size_t count;
	/* Of a limited actor: with the drafts in force that are written over, for these are somebody's too; NULL: none. */
	struct setup *drafted;
	bool drafted_unknown; /* one of these does not load any more */
	const char *
		plan; /* must come out, else ERR_CONFLICT "plan-superseded"; NULL: whatever comes */
};

struct define_outcome {
	/* Who holds it, once for each definition; of rules: whose grants change; of sources: who comes from it. */
	int64_t people;
	char plan[65]; /* id of all that would change, and why; "" when nobody is evaluated */
};

/* What the administrators' profile must have and these permissions do not cover; NULL: nothing. Static. */
const char *administration_lacking(const struct located_list *permissions);
/* How many rules, policies among them, name it. */
size_t definition_uses(const struct setup *setup, const char *kind, const char *name);

/*
 * What can be refused before a configuration is made of it: who may not at all, what is not there or not theirs,
 * versions. All of it is asked again by change_define.
 */
int change_define_may(struct changer *changer, const struct actor *actor,
		      const struct definition_write *writes, size_t count, struct err *err);

/*
 * ERR_DENIED "not-allowed" above the ceiling; ERR_CONFLICT "in-use", "last-administrator", "stale-version",
 * "plan-superseded". ret_report must be initialised; filled when somebody was evaluated.
 */
int change_define(struct changer *changer, const struct actor *actor,
		  const struct define_order *order, struct define_outcome *ret_outcome,
		  struct run_report *ret_report, struct err *err);

#endif
