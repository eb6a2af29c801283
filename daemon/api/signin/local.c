/*
 * Signing in with a password. Enters: a form, from anybody. Leaves: a session and its cookie, or the form again. Whatever
 * was wrong with name and password, the answer is the same, and costs the same: one hash, one question to a directory
 * where one takes passwords, and one audit row.
 *
 * Before anything is looked up or hashed the throttle is asked; what the hasher has no room for was no attempt. An account
 * that several names lead to has one count, which is asked once it is known; what that refuses is wrong, whatever was typed,
 * and costs its hash: nobody learns which names are one account's. What the hasher
 * said no to was one, also when no directory could say more: else guesses cost nothing while one is silent or busy.
 */
#include <rolebridge/change/password.h>

#include <sodium.h>

#include <rolebridge/base/log.h>

#include "signin.h"

#define USERNAME_MAX 320 /* an e-mail address */
/* The second sentence is said to everybody, whether or not it was so. */
#define WRONG \
	"The user name or the password is not right. After several wrong ones even the right one " \
	"is not taken for a while."

struct attempt {
	struct site *site;
	struct landing landing;
	const char *username, *password;
	struct address address;
	struct throttle_attempt throttle;
	struct throttle_attempt owner; /* account NULL: it is nobody's, or was not counted */
	struct password_candidate candidate;
	char hash[HASH_TEXT]; /* of the same password, made anew; "" */
	bool hashed;	      /* it is none of ours */
	bool by_directory;    /* it was right there */
	bool limited;	      /* wrong, since no directory was asked any more */
	bool held;	      /* wrong, since there were too many by other names */
};

bool passwords_on(const struct web *web, const struct site *site)
{
	return web->settings.hasher && site->options->passwords.enabled;
}

bool directories_on(const struct web *web)
{
	const struct directory_ports *directory = &web->settings.directory;

	return directory->any && directory->any(directory->context);
}

bool login_form_on(const struct web *web, const struct site *site)
{
	return passwords_on(web, site) || directories_on(web);
}

static struct actor local_actor(const struct http_request *request)
{
	return (struct actor){ .name = "local", .request = request->id };
}

static int show_again(struct http_request *request, struct http_response *response,
		      const struct attempt *attempt, int status, const char *problem,
		      struct err *err)
{
	const struct login_form form = { .username = attempt->username, .problem = problem };

	response->status = status;
	return login_show(request, response, attempt->site, &attempt->landing, &form, err);
}

static int show_wait(struct http_request *request, struct http_response *response,
		     const struct attempt *attempt, int status, unsigned wait_s, const char *what,
		     struct err *err)
{
	return show_again(request, response, attempt, status,
			  wait_shown(request, response, what, wait_s), err);
}

/* ------------------------------------------------------------------- refusals -- */

static void log_refusal(const struct http_request *request, const char *user, const char *reason)
{
	log_warning("login.refused", F_STR("source", ""), F_STR("reason", reason),
		    F_STR("user", user), F_STR("request", request->id),
		    F_STR("address", http_client_text(request)));
}

/* Log and audit row. What was typed is told to nobody: it may be a password. */
static int tell_refusal(struct http_request *request, const struct attempt *attempt,
			const char *reason, struct err *err)
{
	const struct web *web = request->context;
	const struct actor actor = local_actor(request);

	log_refusal(request, attempt->candidate.uuid, reason);
	return change_login_local_refused(web->settings.changer, &actor, attempt->candidate.user_id,
					  reason, http_client_text(request), err);
}

static int find_candidate(struct http_request *request, struct attempt *attempt, struct err *err)
{
	struct web *web = request->context;
	struct store *store = store_pool_take(web->pool, err);
	int result;

	if (!store)
		return -1;
	result = change_password_find(web->settings.changer, store, attempt->username,
				      request->arena, &attempt->candidate, err);
	store_pool_give(web->pool, store);
	return result;
}

/* Too early. Of many such only some are told. */
static int refuse_early(struct http_request *request, struct http_response *response,
			struct attempt *attempt, const struct throttle_refusal *refusal,
			struct err *err)
{
	if (refusal->tell && (find_candidate(request, attempt, err) < 0 ||
			      tell_refusal(request, attempt, "rate-limited", err) < 0))
		return -1;
	return show_wait(request, response, attempt, 429, refusal->retry_after_s,
			 "Too many attempts.", err);
}

static int refuse_wrong(struct http_request *request, struct http_response *response,
			struct attempt *attempt, struct err *err)
{
	const char *reason = attempt->held	? "rate-limited"
			     : attempt->limited ? "directory-limit"
						: "wrong-password";

	if (tell_refusal(request, attempt, reason, err) < 0)
		return -1;
	return show_again(request, response, attempt, 403, WRONG, err);
}

/* The password was right; what is decided by the store said no. Audited there. */
static int refuse_outcome(struct http_request *request, struct http_response *response,
			  const struct attempt *attempt, const struct login_outcome *outcome,
			  struct err *err)
{
	log_refusal(request, attempt->candidate.uuid, outcome->refused);
	if (strcmp(outcome->refused, "password-changed") == 0)
		return show_again(request, response, attempt, 403,
				  "The password was changed meanwhile. Please try again.", err);
	login_no_access(request, response, outcome->refused);
	return 0;
}

/* -------------------------------------------------------------------- judging -- */

/* By whichever name. Held, it is judged as nobody's. At the same time as the name, so that both end their delays together. */
static void take_owner(struct http_request *request, struct attempt *attempt, int64_t now_us)
{
	const struct web *web = request->context;
	struct throttle_refusal refusal;
	struct throttle_attempt owner = { .kind = THROTTLE_ACCOUNT,
					  .account = attempt->candidate.uuid,
					  .address = attempt->throttle.address,
					  .account_only = true };

	if (attempt->candidate.user_id == 0)
		return;
	attempt->held = throttle_take(web->settings.throttle, &owner, now_us, &refusal, NULL) < 0;
	if (!attempt->held) {
		attempt->owner = owner;
		return;
	}
	attempt->candidate.hash = attempt->candidate.source = attempt->candidate.key = NULL;
}

static void end_throttle(struct http_request *request, const struct attempt *attempt,
			 void (*end)(struct throttle *throttle,
				     const struct throttle_attempt *attempt, int64_t now_us))
{
	const struct web *web = request->context;
	int64_t now_us = clock_monotonic_us();

	end(web->settings.throttle, &attempt->throttle, now_us);
	if (attempt->owner.account)
		end(web->settings.throttle, &attempt->owner, now_us);
}

/* The hash and, where it is due, a new one. 1 right, 0 wrong; -1. */
static int judge_hash(struct http_request *request, struct attempt *attempt, struct err *err)
{
	const struct web *web = request->context;
	size_t size = strlen(attempt->password);
	bool good, rehash = false;

	if (hasher_verify(web->settings.hasher, attempt->candidate.hash, attempt->password, size,
			  &good, &rehash, err) < 0)
		return -1;
	/* Another time, when there is room. */
	if (good && rehash &&
	    hasher_make(web->settings.hasher, attempt->password, size, attempt->hash, NULL) < 0)
		attempt->hash[0] = '\0';
	return good;
}

/* Nobody's is asked about, too: where a directory takes passwords all names cost the same. */
static int judge_directory(struct http_request *request, struct attempt *attempt, struct err *err)
{
	const struct directory_ports *directory =
		&((const struct web *)request->context)->settings.directory;
	const struct directory_question question = { .source = attempt->candidate.source,
						     .key = attempt->candidate.key,
						     .password = attempt->password };
	struct directory_answer answer;

	if (directory->sign_in(directory->context, &question, &answer, err) < 0)
		return -1;
	attempt->limited = answer.limited;
	attempt->by_directory = answer.right && question.source;
	return attempt->by_directory;
}

static int judge(struct http_request *request, struct attempt *attempt, struct err *err)
{
	const struct web *web = request->context;
	bool ours = passwords_on(web, attempt->site);
	int right = ours ? judge_hash(request, attempt, err) : 0;

	attempt->hashed = ours && right == 0;
	if (right != 0 || !directories_on(web))
		return right;
	return judge_directory(request, attempt, err);
}

/* One transaction opens the session. One that nobody gets is ended again. */
static int sign_in(struct http_request *request, struct http_response *response,
		   const struct attempt *attempt, struct err *err)
{
	const struct web *web = request->context;
	const struct actor actor = local_actor(request);
	struct local_login login = {
		.user_id = attempt->candidate.user_id,
		.version = attempt->candidate.version,
		.rehash = attempt->hash[0] ? attempt->hash : NULL,
		.address = http_client_text(request),
		.agent = agent_of(request),
		.device = browser_device(request, attempt->site),
		.now_s = clock_now_s(),
	};
	char token[SESSION_TOKEN_TEXT];
	struct login_outcome outcome;
	int result;

	if (attempt->by_directory) {
		login.source = attempt->candidate.source;
		login.key = attempt->candidate.key;
	}
	login.until_s = login.now_s + attempt->site->options->sessions.absolute_s;
	session_token_make(token, &login.token);
	result = change_login_local(web->settings.changer, &actor, &login, request->arena, &outcome,
				    err);
	if (result == 0 && outcome.refused[0]) {
		result = refuse_outcome(request, response, attempt, &outcome, err);
	} else if (result == 0) {
		result = session_give_landing(request, response, attempt->site, &outcome.session,
					      &login.token, token, &attempt->landing, err);
		if (result < 0)
			change_sessions_end(web->settings.changer, &actor, &outcome.session.id, 1,
					    "not-delivered", NULL, NULL);
	}
	sodium_memzero(token, sizeof(token));
	return result;
}

/* Nobody could say, or nobody could say more. Whose it would have been is told in the audit log alone. */
static int refuse_unjudged(struct http_request *request, struct http_response *response,
			   struct attempt *attempt, const struct err *problem, struct err *err)
{
	const char *reason = attempt->candidate.source ? "directory-unavailable" : "wrong-password";

	if (!attempt->hashed)
		end_throttle(request, attempt, throttle_return);
	else if (tell_refusal(request, attempt, reason, err) < 0)
		return -1;
	if (problem->code == ERR_UNAVAILABLE)
		return show_wait(request, response, attempt, 503, HASHER_RETRY_S,
				 strcmp(err_reason(problem), "busy") == 0
					 ? "Too many people are signing in."
					 : "Passwords cannot be checked at the moment.",
				 err);
	*err = *problem;
	return -1;
}

static int attempt_make(struct http_request *request, struct http_response *response,
			struct attempt *attempt, struct err *err)
{
	const struct web *web = request->context;
	int64_t now_us = clock_monotonic_us();
	struct throttle_refusal refusal;
	struct err problem = { 0 };
	int right;

	if (throttle_take(web->settings.throttle, &attempt->throttle, now_us, &refusal, &problem) <
	    0)
		return refuse_early(request, response, attempt, &refusal, err);
	right = find_candidate(request, attempt, &problem);
	if (right == 0) {
		take_owner(request, attempt, now_us);
		right = judge(request, attempt, &problem);
	}
	if (right < 0)
		return refuse_unjudged(request, response, attempt, &problem, err);
	if (!right)
		return refuse_wrong(request, response, attempt, err);
	end_throttle(request, attempt, throttle_right);
	return sign_in(request, response, attempt, err);
}

/* ----------------------------------------------------------------------- form -- */

static int read_attempt(struct http_request *request, const struct http_form *form,
			struct attempt *attempt, struct err *err)
{
	const char *username = http_form_value(form, "username");
	const char *password = http_form_value(form, "password");

	attempt->username = username ? username : "";
	attempt->password = password ? password : "";
	attempt->throttle.kind = THROTTLE_PASSWORD;
	attempt->throttle.account = attempt->username;
	if (http_client_address(request, &attempt->address))
		attempt->throttle.address = &attempt->address;
	return landing_read(request, attempt->site, http_form_value(form, "return"),
			    http_form_value(form, "nonce"), &attempt->landing, err);
}

static int judge_form(struct http_request *request, struct http_response *response,
		      struct attempt *attempt, const struct http_form *form, struct err *err)
{
	struct err problem = { 0 };

	if (form_check(request, attempt->site, form, &problem) < 0) {
		log_refusal(request, "", "csrf");
		return show_again(request, response, attempt, 403, FORM_TOO_OLD, err);
	}
	if (!attempt->username[0] || !attempt->password[0])
		return show_again(request, response, attempt, 422,
				  "Please give your user name and your password.", err);
	/* Nobody's, and nothing worth a hash. */
	if (strlen(attempt->username) > USERNAME_MAX || strlen(attempt->password) > PASSWORD_MAX)
		return show_again(request, response, attempt, 403, WRONG, err);
	return attempt_make(request, response, attempt, err);
}

int login_post(struct http_request *request, struct http_response *response, struct err *err)
{
	AUTO(site) struct site *site = site_take(request->context, err);
	struct attempt attempt = { .site = site };
	struct http_form form;
	int result;

	if (!site || http_form_read(request, &form, err) < 0)
		return -1;
	if (!login_form_on(request->context, site))
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "nobody signs in here so");
	result = read_attempt(request, &form, &attempt, err) < 0
			 ? -1
			 : judge_form(request, response, &attempt, &form, err);
	form_wipe(request, &form, "password");
	return result;
}
