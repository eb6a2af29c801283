/*
 * Who must prove a second factor, by what, and what becomes of a sign-in. Pure: the policy in force for an
 * organization, what is known of the person and their sign-in, and the time are arguments.
 */
#ifndef ROLEBRIDGE_POLICY_FACTOR_H
#define ROLEBRIDGE_POLICY_FACTOR_H

#include <rolebridge/base/arena.h>
#include <rolebridge/base/err.h>
#include <rolebridge/base/json.h>
#include <rolebridge/identity/factor.h>
#include <rolebridge/model/factor.h>

enum factor_required {
	FACTOR_FOR_NOBODY, /* whoever enrolled one is asked for it */
	FACTOR_FOR_ADMINISTRATORS,
	FACTOR_FOR_CHOSEN, /* who has one of the profiles, roles or groups; administrators among them only if named */
	FACTOR_FOR_ALL,
};
const char *factor_required_name(enum factor_required required);

struct factor_names {
	const char *const *items;
	size_t count;
};

struct factor_policy {
	enum factor_required required;
	struct factor_names profiles, roles, groups; /* FACTOR_FOR_CHOSEN */
	unsigned
		methods; /* that count, of FACTOR_ALL_METHODS; an IdP's proof does where its source says so */
	/*
	 * Of administrators, who are asked for these alone: with FACTOR_BIT(FACTOR_IDP) and
	 * FACTOR_BIT(FACTOR_RECOVERY) where such proof is good enough. 0: as for others.
	 */
	unsigned administrator_methods;
	/* People without a method may come in to enrol: until then; so often. 0: is no bound; both 0: no grace. */
	int64_t grace_until_s, grace_sign_ins;
	int64_t device_s; /* a browser is remembered so long; 0: none is */
	int64_t devices;  /* of one person at most */
};
/* Nobody is required; all methods; no grace; no devices. */
extern const struct factor_policy factor_policy_none;

struct factor_question {
	bool is_administrator;
	const char *profile;
	struct factor_names roles, groups; /* any order */
	unsigned enrolled; /* FACTOR_BIT of each method; FACTOR_RECOVERY: codes are left */
	int64_t idp_s;	   /* the identity provider proved one at; 0: it did not */
	bool idp_asked;	   /* it was asked to: when it did not, a factor is required here */
	int64_t device_s;  /* a remembered browser: the proof that it stands for; 0: it is none */
	enum factor_method device_by; /* that proof's method */
	int64_t sign_ins;	      /* without a method since one is required */
	int64_t now_s;
};

enum factor_kind {
	FACTOR_NOT_NEEDED,
	FACTOR_PROVEN,	/* by IdP or device */
	FACTOR_ASK,	/* one of methods */
	FACTOR_GRACE,	/* may come in without for now, is led to enrol one of methods */
	FACTOR_REFUSED, /* "2fa-not-configured" */
};
struct factor_answer {
	enum factor_kind kind;
	bool required;	       /* by policy, or because the IdP was asked for it */
	enum factor_method by; /* FACTOR_PROVEN */
	int64_t proven_s;      /* FACTOR_PROVEN */
	unsigned methods;      /* FACTOR_ASK: to prove; else: that would count */
	bool counts_sign_in;   /* this one counts against grace */
	int64_t grace_until_s; /* of FACTOR_GRACE; 0: no end by date */
	int64_t sign_ins_left; /* of FACTOR_GRACE, this one among them; -1: no bound by number */
};

/* Does the policy require it of them? */
bool factor_is_required(const struct factor_policy *policy, const struct factor_question *question);
/* FACTOR_BIT of each that counts for them: enrolled here, FACTOR_IDP, FACTOR_RECOVERY. */
unsigned factor_methods_that_count(const struct factor_policy *policy, bool is_administrator);
void factor_judge(const struct factor_policy *policy, const struct factor_question *question,
		  struct factor_answer *ret_answer);
/*
 * What a full session of theirs must have been proven by: FACTOR_BIT of each that would do; 0: it need not have been, for
 * none is required, or grace lasts. Grace by number is about coming in: who came in by the last of it stays. Where no
 * browser is remembered FACTOR_BIT(FACTOR_DEVICE) is missing, also of whom nothing else is asked, but who have a factor.
 * *ret_until_s: the answer is another one from then on; INT64_MAX: never by time.
 */
unsigned factor_demand(const struct factor_policy *policy, const struct factor_question *question,
		       int64_t *ret_until_s);
/* Does what a session was proven by meet that? proven_by: of FACTOR_DEVICE what the browser stands for. */
static inline bool factor_meets(unsigned demand, enum factor_method factor,
				enum factor_method proven_by)
{
	return demand == 0 || ((demand & FACTOR_BIT(proven_by)) &&
			       (factor != FACTOR_DEVICE || (demand & FACTOR_BIT(FACTOR_DEVICE))));
}

/* Was it proven, no longer than max_age_s ago (0: whenever)? second_factor_s 0: never. */
bool factor_is_fresh(int64_t second_factor_s, int64_t max_age_s, int64_t now_s);

/* --- as options, and as text for the store and the API --- */
/* Names are borrowed from the settings, which say `required`. ERR_MEMORY. */
int factor_policy_make(const struct factor_settings *settings, struct arena *arena,
		       struct factor_policy *ret_policy, struct err *err);
/* The members of an object, all of them: {"required": "all", "profiles": [], …}; times in seconds. */
void factor_policy_write(const struct factor_policy *policy, struct json *json);
/*
 * From such an object, in which anything but "required" may be missing. Texts live in the arena. ERR_INVALID
 * "invalid-request" with what is wrong.
 */
int factor_policy_read(const char *text, size_t size, struct arena *arena,
		       struct factor_policy *ret_policy, struct err *err);

#endif
