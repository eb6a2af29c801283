/*
 * rolebridgectl inside: one table of commands drives parsing, --help, the man
 * page's list and the completion; a test holds them together.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <jansson.h>

#include <rolebridge/base/arena.h>
#include <rolebridge/base/err.h>
#include <rolebridge/base/strbuf.h>

#define CLI_ARGUMENTS_MAX 4
#define CLI_OPTIONS_MAX 12
#define CLI_DEFAULT_CONFIG "/etc/rolebridge/rolebridge.yaml"
#define CLI_DEFAULT_SOCKET "/run/rolebridge/control.sock"

enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

struct cli;
struct client;

struct cli_option {
	const char *name;     /* without "--"; NULL ends the list */
	const char *argument; /* NULL: a flag */
	const char *help;
};

struct cli_command {
	const char *words;     /* "users list" */
	const char *arguments; /* synopsis: "USER [GRANT]"; brackets make optional */
	const char *help;
	const struct cli_option *options; /* may be NULL */
	int (*run)(struct cli *cli);
};

struct cli {
	const char *config; /* NULL: not given */
	const char *socket;
	bool json;
	const struct cli_command *command;
	const char *arguments[CLI_ARGUMENTS_MAX]; /* NULL where not given */
	const char *values[CLI_OPTIONS_MAX];	  /* by place in command->options; "" for a flag */
	struct arena *arena;
	struct client *client;
	int64_t version; /* of what the next request changes: it is for no other; 0: whichever */
	FILE *out, *progress;
	bool colour, utf8;
	unsigned width; /* of the terminal; 0: not one */
};

extern const struct cli_option cli_global_options[];
const struct cli_command *cli_commands(size_t *ret_count);

/* --- parse.c --- */
/* Fill cli from the words behind the program's name. 0, or CLI_USAGE after a message on standard error. */
enum cli_parsed { CLI_PARSED_COMMAND, CLI_PARSED_HELP, CLI_PARSED_VERSION };
int cli_parse(struct cli *cli, int count, char *const *words, enum cli_parsed *ret_parsed);
/* Value of a command's option; NULL: not given. */
const char *cli_value(const struct cli *cli, const char *option);
/* --if-match into cli->version, where it is given; false after a message. */
bool cli_read_version(struct cli *cli);
/* All commands, or those that begin with prefix. */
void cli_print_help(const char *prefix, FILE *out);
void cli_print_command_help(const struct cli_command *command, FILE *out);
/* Generated parts of the man page and of the completion. */
void cli_print_mdoc(struct strbuf *out);
void cli_print_completion(struct strbuf *out);
int cli_main(int argc, char *const *argv);

/* --- output.c --- */
enum colour { PLAIN, BOLD, RED, GREEN, YELLOW, DIM };
/*
 * Text for a terminal, in the arena: control and invisible characters and invalid UTF-8 become
 * escapes. NULL is "".
 */
const char *shown(const struct cli *cli, const char *text);
/* printf, with colour where the terminal takes it. Arguments are shown() already. */
void put(const struct cli *cli, enum colour colour, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

struct table;
/* Headers end with NULL. A header that begins with '<' may be cut where the terminal is narrow. */
struct table *table_create(struct cli *cli, const char *const *headers);
void table_row(struct table *table);
/* Next cell of the row: raw text, escaped here. */
void table_cell(struct table *table, enum colour colour, const char *text);
void table_number(struct table *table, json_int_t number);
/* Prints and empties it. */
void table_print(struct table *table);
/* Columns that a text takes on a terminal. */
size_t text_width(const char *text);

/* --- session.c --- */
/* "text" of a member; "" when absent or no text. */
const char *member(const json_t *object, const char *key);
json_int_t member_int(const json_t *object, const char *key);
bool member_bool(const json_t *object, const char *key);
/*
 * One request; the answer as JSON, owned by the caller. NULL after a message on standard
 * error when the daemon refused or could not be asked. Prints the answer when --json was given and
 * printing is set.
 */
json_t *ask(struct cli *cli, const char *method, const char *path, json_t *body, bool printing);
/* With "next", on standard error: how to go on. */
void say_more(const json_t *answer);
/* value NULL: left out. An argument that is not UTF-8 makes all of the body fail: false after a message. */
bool body_text(json_t *body, const char *name, const char *value);
/* The same for commands whose answer is not shown but by --json. Returns the exit status. */
int ask_done(struct cli *cli, const char *method, const char *path, json_t *body);
/* "/api/v1/users/" and an escaped name and so on: format takes only %s, each escaped. */
const char *api_path(struct cli *cli, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Append "?name=value" or "&name=value" when value is not NULL. */
const char *path_query(struct cli *cli, const char *path, const char *name, const char *value);
/* Start a run and wait for its end, with a progress bar on a terminal; the run as JSON, or NULL. */
json_t *run_to_end(struct cli *cli, const char *path, json_t *body);
/* The same of one that was started. */
json_t *run_follow(struct cli *cli, const json_t *started);
/* POST of a file as it is; the answer, or NULL after a message. */
json_t *ask_file(struct cli *cli, const char *path, const char *type, const struct strbuf *body);
/* GET to standard output; the exit status. */
int ask_stream(struct cli *cli, const char *path);
void json_print(struct cli *cli, const json_t *value);
/* catalogue.c */
/* "a, b": texts without spaces around them. */
json_t *split_texts(const char *text, char separator);
/* An object of a file; "-" is standard input. NULL after a message. */
json_t *read_object(const char *path);
/* A change of a definition, with --dry-run; says what became of it. Takes the body over. */
int change_definition(struct cli *cli, const char *method, const char *path, json_t *body,
		      const char *what);
/* signin.c: what is known of an IdP. */
void print_idp(struct cli *cli, const json_t *saml);
/* A line of what is shown of one thing; nothing when there is no value. */
void print_fact(struct cli *cli, const char *name, const char *value);
/* work.c: what a run did, or would do. */
void print_report(struct cli *cli, const json_t *report, bool with_read);
/* targets.c */
void print_targets(struct cli *cli, const json_t *targets);
/* accounts.c: those of a user, when there are any. */
void print_accounts(struct cli *cli, const json_t *accounts);
int connect_daemon(struct cli *cli, struct err *err);
/* Path and text of a configuration and of what it includes, as the API's "files". NULL after a message. */
json_t *config_files(const char *path);
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

static inline void json_auto(json_t **json)
{
	json_decref(*json);
}

/* --- commands, by file --- */
int run_status(struct cli *);
int run_check(struct cli *);
int run_reload(struct cli *);
int run_sync(struct cli *);
int run_sources_test(struct cli *);
int run_plan(struct cli *);
int run_apply(struct cli *);
int run_plans_list(struct cli *);
int run_plans_show(struct cli *);
int run_runs_list(struct cli *);
int run_users_list(struct cli *);
int run_users_search(struct cli *);
int run_users_show(struct cli *);
int run_users_create(struct cli *);
int run_users_set(struct cli *);
int run_users_move(struct cli *);
int run_users_delete(struct cli *);
int run_users_link(struct cli *);
int run_users_unlink(struct cli *);
int run_users_grant(struct cli *);
int run_users_revoke(struct cli *);
int run_users_disable(struct cli *);
int run_users_enable(struct cli *);
int run_users_reassign(struct cli *);
int run_resources_list(struct cli *);
int run_resources_show(struct cli *);
int run_resources_children(struct cli *);
int run_resources_put(struct cli *);
int run_resources_delete(struct cli *);
int run_resources_import(struct cli *);
int run_resources_visible(struct cli *);
int run_references_list(struct cli *);
int run_references_show(struct cli *);
int run_references_put(struct cli *);
int run_references_delete(struct cli *);
int run_decide(struct cli *);
int run_users_bulk(struct cli *);
int run_users_tie(struct cli *);
int run_users_untie(struct cli *);
int run_accounts_users(struct cli *);
int run_accounts_personas(struct cli *);
int run_why(struct cli *);
int run_rules_list(struct cli *);
int run_rules_show(struct cli *);
int run_rules_release(struct cli *);
int run_profiles_list(struct cli *);
int run_profiles_show(struct cli *);
int run_profiles_create(struct cli *);
int run_profiles_update(struct cli *);
int run_profiles_delete(struct cli *);
int run_roles_list(struct cli *);
int run_roles_show(struct cli *);
int run_roles_create(struct cli *);
int run_roles_update(struct cli *);
int run_roles_delete(struct cli *);
int run_personas_list(struct cli *);
int run_personas_show(struct cli *);
int run_personas_create(struct cli *);
int run_personas_update(struct cli *);
int run_personas_delete(struct cli *);
int run_personas_assign(struct cli *);
int run_personas_unassign(struct cli *);
int run_personas_research_list(struct cli *);
int run_personas_research_add(struct cli *);
int run_personas_research_remove(struct cli *);
int run_personas_validations_list(struct cli *);
int run_personas_validations_add(struct cli *);
int run_personas_validations_remove(struct cli *);
int run_personas_review(struct cli *);
int run_personas_reviews(struct cli *);
int run_personas_links_list(struct cli *);
int run_personas_links_add(struct cli *);
int run_personas_links_remove(struct cli *);
int run_segments_list(struct cli *);
int run_segments_show(struct cli *);
int run_segments_create(struct cli *);
int run_segments_update(struct cli *);
int run_segments_delete(struct cli *);
int run_segments_count(struct cli *);
int run_segments_users(struct cli *);
int run_segments_export(struct cli *);
int run_roles_copy(struct cli *);
int run_roles_bulk_update(struct cli *);
int run_rules_draft(struct cli *);
int run_rules_preview(struct cli *);
int run_rules_activate(struct cli *);
int run_rules_delete(struct cli *);
int run_rules_order(struct cli *);
int run_audit_list(struct cli *);
int run_audit_export(struct cli *);
int run_audit_verify(struct cli *);
int run_backup(struct cli *);
int run_restore(struct cli *);
int run_restored_show(struct cli *);
int run_restored_release(struct cli *);
int run_alarms_list(struct cli *);
int run_alarms_clear(struct cli *);
int run_quarantine_list(struct cli *);
int run_quarantine_show(struct cli *);
int run_invites_create(struct cli *);
int run_invites_list(struct cli *);
int run_invites_show(struct cli *);
int run_invites_resend(struct cli *);
int run_invites_revoke(struct cli *);
int run_import_users(struct cli *);
int run_import_sample(struct cli *);
int run_export_users(struct cli *);
int run_report_sign_ins(struct cli *);
int run_report_feature_use(struct cli *);
int run_report_adoption(struct cli *);
int run_report_unused(struct cli *);
int run_report_inactive(struct cli *);
int run_tokens_create(struct cli *);
int run_tokens_list(struct cli *);
int run_tokens_revoke(struct cli *);
int run_sessions_list(struct cli *);
int run_sessions_end(struct cli *);
int run_login_link(struct cli *);
int run_factors_list(struct cli *);
int run_factors_reset(struct cli *);
int run_recovery_code_issue(struct cli *);
int run_users_password_reset(struct cli *);
int run_second_factor_show(struct cli *);
int run_second_factor_preview(struct cli *);
int run_second_factor_set(struct cli *);
int run_sealing_key_status(struct cli *);
int run_sealing_key_rotate(struct cli *);
int run_sealing_key_reseal(struct cli *);
int run_sealing_key_forget(struct cli *);
int run_targets_list(struct cli *);
int run_targets_show(struct cli *);
int run_targets_retry(struct cli *);
int run_targets_drop(struct cli *);
int run_targets_plan(struct cli *);
int run_targets_reconcile(struct cli *);
int run_idp_test(struct cli *);
int run_saml_metadata(struct cli *);
int run_sources_list(struct cli *);
int run_sources_show(struct cli *);
int run_sources_create(struct cli *);
int run_sources_update(struct cli *);
int run_sources_enable(struct cli *);
int run_sources_disable(struct cli *);
int run_sources_delete(struct cli *);

/* --- kept.c --- */
/* --keep; false after a message. */
bool kept_count(const char *text, size_t *ret_count);
/* Where the next one goes, in the arena; NULL: no folder. */
const char *kept_next(struct cli *cli, const char *folder, struct err *err);
/* Remove the oldest, until so many are there with the newest, which is one of them. */
int kept_prune(const char *folder, const char *newest, size_t keep, size_t *ret_removed,
	       struct err *err);

#endif
