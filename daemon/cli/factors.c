/*
 * Commands about signing in with a second factor: what people have, help for who is locked out, who must have one, and the
 * key that seals secrets. A code is all that goes to standard output, this once.
 */
#include "cli.h"

#include <string.h>

#include <rolebridge/base/util.h>

/* ---------------------------------------------------------------------- factors -- */

static void put_factors(struct cli *cli, const json_t *answer)
{
	static const char *const headers[] = { "ID",	  "METHOD", "<NAME", "<ADDRESS",
					       "CREATED", "USED",   NULL };
	const json_t *codes = json_object_get(answer, "recovery_codes");
	struct table *table = table_create(cli, headers);
	json_t *factor;
	size_t i;

	json_array_foreach(json_object_get(answer, "factors"), i, factor) {
		table_row(table);
		table_cell(table, PLAIN, member(factor, "id"));
		table_cell(table, BOLD, member(factor, "method"));
		table_cell(table, PLAIN, member(factor, "name"));
		table_cell(table, PLAIN, member(factor, "address"));
		table_cell(table, PLAIN, member(factor, "created"));
		table_cell(table, PLAIN,
			   member(factor, "used")[0] ? member(factor, "used") : "never");
	}
	table_print(table);
	if (i == 0)
		put(cli, PLAIN, "No second factor.\n");
	put(cli, PLAIN, "Recovery codes left: %lld\n", (long long)member_int(codes, "left"));
	if (member(answer, "issued_code_expires")[0])
		put(cli, YELLOW, "A code of an administrator is good until %s.\n",
		    shown(cli, member(answer, "issued_code_expires")));
}

int run_factors_list(struct cli *cli)
{
	AUTO(json)
	json_t *answer =
		ask(cli, "GET", api_path(cli, "/users/%s/factors", cli->arguments[0]), NULL, true);

	if (answer && !cli->json)
		put_factors(cli, answer);
	return answer ? CLI_OK : CLI_FAILED;
}

int run_factors_reset(struct cli *cli)
{
	const char *user = cli->arguments[0], *factor = cli->arguments[1];
	const char *path = factor ? api_path(cli, "/users/%s/factors/%s", user, factor)
				  : api_path(cli, "/users/%s/factors", user);
	AUTO(json) json_t *answer = ask(cli, "DELETE", path, NULL, true);

	if (answer && !cli->json)
		put(cli, PLAIN,
		    "Reset: %lld. Sessions go on: rolebridgectl sessions end --user %s\n",
		    (long long)member_int(answer, "reset"), shown(cli, user));
	return answer ? CLI_OK : CLI_FAILED;
}

/* "30m", "2h", "7d", or seconds; 0: not understood. */
static json_int_t read_duration(const char *text)
{
	static const struct {
		char unit;
		json_int_t seconds;
	} units[] = { { '\0', 1 }, { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
	size_t digits = strspn(text, "0123456789");
	json_int_t number = 0;

	if (digits == 0 || digits > 9 || (text[digits] && text[digits + 1]))
		return 0;
	for (size_t i = 0; i < digits; i++)
		number = number * 10 + (text[i] - '0');
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (text[digits] == units[i].unit)
			return number * units[i].seconds;
	return 0;
}

int run_recovery_code_issue(struct cli *cli)
{
	const char *lifetime = cli_value(cli, "lifetime");
	json_int_t seconds = lifetime ? read_duration(lifetime) : 0;
	AUTO(json) json_t *answer = NULL;
	json_t *body = json_object();

	if (lifetime && seconds == 0) {
		complain("'%s' is no duration, such as 2h or 7d", shown(cli, lifetime));
		json_decref(body);
		return CLI_USAGE;
	}
	if (lifetime)
		json_object_set_new(body, "lifetime", json_integer(seconds));
	answer = ask(cli, "POST", api_path(cli, "/users/%s/recovery-code", cli->arguments[0]), body,
		     true);
	if (!answer || cli->json)
		return answer ? CLI_OK : CLI_FAILED;
	put(cli, PLAIN, "%s\n", shown(cli, member(answer, "code")));
	fprintf(stderr,
		"It is shown this once, and good once until %s, in place of the second factor. With it "
		"they enrol another one.\n",
		shown(cli, member(answer, "expires")));
	return CLI_OK;
}

int run_users_password_reset(struct cli *cli)
{
	AUTO(json)
	json_t *answer =
		ask(cli, "POST", api_path(cli, "/users/%s/password-reset", cli->arguments[0]), NULL,
		    true);

	if (answer && !cli->json)
		put(cli, PLAIN, "A link is on its way to %s, good once until %s.\n",
		    shown(cli, member(answer, "email")), shown(cli, member(answer, "expires")));
	return answer ? CLI_OK : CLI_FAILED;
}

/* ----------------------------------------------------------------------- policy -- */

static const char *organization_of(const struct cli *cli)
{
	return cli->arguments[0] ? cli->arguments[0] : "default";
}

static const char *policy_path(struct cli *cli)
{
	return api_path(cli, "/second-factor/%s", organization_of(cli));
}

static void put_texts(struct cli *cli, const char *name, const json_t *list)
{
	AUTO(strbuf) struct strbuf text = STRBUF((size_t)1024 * 1024);
	const json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
		strbuf_printf(&text, "%s%s", i ? ", " : "", json_string_value(item));
	print_fact(cli, name, strbuf_text(&text));
}

static void put_number(struct cli *cli, const char *name, json_int_t number)
{
	if (number != 0)
		put(cli, PLAIN, "  %-14s %lld\n", name, (long long)number);
}

static void put_policy(struct cli *cli, const json_t *answer)
{
	static const char *const lists[] = { "profiles", "roles", "groups", "methods",
					     "administrator_methods" };
	static const char *const names[] = { "profiles", "roles", "groups", "methods",
					     "administrators" };
	const json_t *policy = json_object_get(answer, "policy");
	const json_t *grace = json_object_get(policy, "grace");
	const json_t *remember = json_object_get(policy, "remember");

	put(cli, BOLD, "%s", shown(cli, member(answer, "organization")));
	put(cli, PLAIN, ": required of %s", shown(cli, member(policy, "required")));
	put(cli, DIM, " (%s)\n", shown(cli, member(answer, "from")));
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		put_texts(cli, names[i], json_object_get(policy, lists[i]));
	print_fact(cli, "grace until", member(grace, "until"));
	put_number(cli, "grace sign-ins", member_int(grace, "sign_ins"));
	put_number(cli, "remembered s", member_int(remember, "time"));
	put_number(cli, "version", member_int(answer, "version"));
}

int run_second_factor_show(struct cli *cli)
{
	AUTO(json) json_t *answer = ask(cli, "GET", policy_path(cli), NULL, true);

	if (answer && !cli->json)
		put_policy(cli, answer);
	return answer ? CLI_OK : CLI_FAILED;
}

static void put_locked_out(struct cli *cli, const json_t *answer)
{
	static const char *const headers[] = { "USERNAME", "<NAME", "ADMINISTRATOR",
					       "<HAS",	   "IDP",   NULL };
	struct table *table = table_create(cli, headers);
	json_t *person;
	size_t i;

	json_array_foreach(json_object_get(answer, "people"), i, person) {
		AUTO(strbuf) struct strbuf has = STRBUF(1024);
		const json_t *method;
		size_t j;

		json_array_foreach(json_object_get(person, "enrolled"), j, method)
			strbuf_printf(&has, "%s%s", j ? ", " : "", json_string_value(method));
		table_row(table);
		table_cell(table, BOLD, member(person, "username"));
		table_cell(table, PLAIN, member(person, "display_name"));
		table_cell(table, YELLOW, member_bool(person, "administrator") ? "yes" : "");
		table_cell(table, PLAIN, strbuf_text(&has));
		table_cell(table, PLAIN, member_bool(person, "idp") ? "yes" : "");
	}
	table_print(table);
	put(cli, PLAIN,
	    "Required of %lld, of whom %lld are ready and %lld may prove it at their IdP.\n",
	    (long long)member_int(answer, "required"), (long long)member_int(answer, "ready"),
	    (long long)member_int(answer, "idp"));
	put(cli, member_int(answer, "locked_out") ? RED : GREEN,
	    "Locked out: %lld, of whom %lld are administrators\n",
	    (long long)member_int(answer, "locked_out"),
	    (long long)member_int(answer, "locked_out_administrators"));
	say_more(answer);
}

/* "a,b" as a list in body; "" is none. */
static void set_list(json_t *body, const char *name, const char *text)
{
	if (text)
		json_object_set_new(body, name, split_texts(text, ','));
}

static bool set_number(struct cli *cli, json_t *object, const char *name, const char *text,
		       bool duration)
{
	json_int_t number;

	if (!text)
		return true;
	number = read_duration(text);
	if ((number == 0 && strcmp(text, "0") != 0) ||
	    (!duration && strspn(text, "0123456789") != strlen(text))) {
		complain("'%s' is no %s", shown(cli, text),
			 duration ? "duration, such as 30d" : "number");
		return false;
	}
	json_object_set_new(object, name, json_integer(number));
	return true;
}

static json_t *object_in(json_t *body, const char *name)
{
	json_t *object = json_object_get(body, name);

	if (json_is_object(object))
		return object;
	json_object_set_new(body, name, json_object());
	return json_object_get(body, name);
}

/* The policy in force with what the options say instead. NULL after a message. */
static json_t *make_policy(struct cli *cli, json_t **ret_state)
{
	static const char *const names[] = { "profiles", "roles", "groups" };
	json_t *state = ask(cli, "GET", policy_path(cli), NULL, false), *body;
	const char *until = cli_value(cli, "grace-until"), *whom = cli_value(cli, "required");

	if (!state)
		return NULL;
	body = json_deep_copy(json_object_get(state, "policy"));
	if (!body_text(body, "required", cli_value(cli, "required")) ||
	    !set_number(cli, object_in(body, "grace"), "sign_ins", cli_value(cli, "grace-sign-ins"),
			false) ||
	    !set_number(cli, object_in(body, "remember"), "time", cli_value(cli, "remember"),
			true) ||
	    !set_number(cli, object_in(body, "remember"), "devices", cli_value(cli, "devices"),
			false)) {
		json_decref(body);
		json_decref(state);
		return NULL;
	}
	/* Who was chosen before is nobody in particular any more. */
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const char *given = cli_value(cli, names[i]);

		set_list(body, names[i],
			 !given && whom && strcmp(whom, "chosen") != 0 ? "" : given);
	}
	set_list(body, "methods", cli_value(cli, "methods"));
	set_list(body, "administrator_methods", cli_value(cli, "administrator-methods"));
	if (until)
		json_object_set_new(object_in(body, "grace"), "until",
				    until[0] ? json_string(until) : json_null());
	*ret_state = state;
	return body;
}

int run_second_factor_preview(struct cli *cli)
{
	const char *path = path_query(cli, policy_path(cli), "dry_run", "true");
	AUTO(json) json_t *answer = NULL;
	json_t *state, *body = make_policy(cli, &state);

	if (!body)
		return CLI_FAILED;
	json_decref(state);
	path = path_query(cli, path, "after", cli_value(cli, "after"));
	path = path_query(cli, path, "limit", cli_value(cli, "limit"));
	answer = ask(cli, "PUT", path, body, true);
	if (answer && !cli->json)
		put_locked_out(cli, answer);
	return answer ? CLI_OK : CLI_FAILED;
}

/* What somebody else set in between is not lost: the version that was read must still be the one. */
int run_second_factor_set(struct cli *cli)
{
	AUTO(json) json_t *answer = NULL;
	json_t *state, *body;

	if (!cli_read_version(cli))
		return CLI_USAGE;
	body = make_policy(cli, &state);
	if (!body)
		return CLI_FAILED;
	if (cli->version == 0)
		cli->version = member_int(state, "version");
	json_decref(state);
	answer = ask(cli, "PUT", policy_path(cli), body, true);
	if (answer && !cli->json)
		put_policy(cli, answer);
	return answer ? CLI_OK : CLI_FAILED;
}

/* ------------------------------------------------------------------ sealing key -- */

static void put_keys(struct cli *cli, const json_t *answer)
{
	static const char *const headers[] = { "KEY", "STATE", "SECRETS", NULL };
	struct table *table = table_create(cli, headers);
	json_t *key;
	size_t i;

	json_array_foreach(json_object_get(answer, "keys"), i, key) {
		bool present = member_bool(key, "present"), seals = member_bool(key, "seals");

		table_row(table);
		table_cell(table, BOLD, member(key, "id"));
		table_cell(table, present ? seals ? GREEN : PLAIN : RED,
			   !present ? "missing"
			   : seals  ? "seals"
				    : "opens");
		table_number(table, member_int(key, "secrets"));
	}
	table_print(table);
}

static int run_keys(struct cli *cli, const char *method, const char *path)
{
	AUTO(json) json_t *answer = ask(cli, method, path, NULL, true);

	if (answer && !cli->json)
		put_keys(cli, answer);
	return answer ? CLI_OK : CLI_FAILED;
}

int run_sealing_key_status(struct cli *cli)
{
	return run_keys(cli, "GET", "/api/v1/sealing-key");
}

int run_sealing_key_rotate(struct cli *cli)
{
	return run_keys(cli, "POST", "/api/v1/sealing-key/rotate");
}

int run_sealing_key_forget(struct cli *cli)
{
	return run_keys(cli, "POST", "/api/v1/sealing-key/forget-unused");
}

int run_sealing_key_reseal(struct cli *cli)
{
	AUTO(json) json_t *run = run_to_end(cli, "/api/v1/sealing-key/reseal", NULL);
	const json_t *result = json_object_get(run, "result");

	if (!run)
		return CLI_FAILED;
	if (!cli->json)
		put(cli, PLAIN, "Sealed anew: %lld; could not be opened: %lld\n",
		    (long long)member_int(result, "resealed"),
		    (long long)member_int(result, "unreadable"));
	return member_int(result, "unreadable") == 0 ? CLI_OK : CLI_FAILED;
}
