/*
 * Talking to the daemon. Enters: a path and perhaps a body. Leaves: the answer
 * as JSON, or a message on standard error. Waits for runs, with a progress bar where
 * a person looks on.
 */
#include "cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rolebridge/base/file.h>
#include <rolebridge/base/util.h>
#include <rolebridge/client/client.h>
#include <rolebridge/config/options.h>

#define PATH_MAX_BYTES ((size_t)64 * 1024)
#define CONFIG_ARENA_MAX ((size_t)256 * 1024 * 1024)
#define CONFIG_FILE_MAX ((size_t)8 * 1024 * 1024)
#define WAIT_MS "10000"
#define WAIT_MS_TERMINAL "250"
#define BAR_WIDTH 30

void complain(const char *format, ...)
{
	va_list args;

	fputs("rolebridgectl: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

/* ------------------------------------------------------------ the socket -- */

struct socket_settings {
	struct position at;
	struct located control_socket;
};

/* The one key of the root table that concerns us; the daemon checks the rest. */
static const struct option socket_options[] = {
	{ .name = "control_socket",
	  .type = OPTION_PATH,
	  .offset = OPTION_FIELD(struct socket_settings, control_socket),
	  .default_text = CLI_DEFAULT_SOCKET },
	{ .name = NULL },
};

static const struct option_table socket_table = {
	.name = "rolebridge.yaml",
	.struct_size = sizeof(struct socket_settings),
	.options = socket_options,
};

static bool is_unreadable(const char *path)
{
	return access(path, R_OK) < 0;
}

static int socket_from_config(struct cli *cli, const char *path, struct err *err)
{
	AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
	AUTO(diagnostics) struct diagnostics *ignored = diagnostics_create();
	AUTO(document) struct document *document = NULL;
	AUTO(arena) struct arena *arena = arena_create(CONFIG_ARENA_MAX);
	struct socket_settings settings;

	if (!list || !ignored || !arena)
		return err_set(err, ERR_MEMORY, "out of memory");
	document = document_load(path, list);
	if (!document || !document_file_path(document, 1)) {
		diagnostics_print(list, document, stderr);
		return err_set(err, ERR_INVALID, "cannot read configuration '%s'", path);
	}
	/* Every other key is unknown to this table: those findings are no news. */
	options_parse(&socket_table, document, arena, &settings, ignored);
	if (!settings.control_socket.text)
		return err_set(err, ERR_INVALID, "'%s' names no usable control_socket", path);
	cli->socket = arena_strdup(cli->arena, settings.control_socket.text);
	return cli->socket ? 0 : err_set(err, ERR_MEMORY, "out of memory");
}

/* The standard configuration may be unreadable for members of the group: then the standard socket. */
static int socket_find(struct cli *cli, struct err *err)
{
	if (cli->socket)
		return 0;
	if (cli->config)
		return socket_from_config(cli, cli->config, err);
	if (!is_unreadable(CLI_DEFAULT_CONFIG))
		return socket_from_config(cli, CLI_DEFAULT_CONFIG, err);
	cli->socket = CLI_DEFAULT_SOCKET;
	return 0;
}

int connect_daemon(struct cli *cli, struct err *err)
{
	struct client_settings settings = { 0 };

	if (cli->client)
		return 0;
	if (socket_find(cli, err) < 0)
		return -1;
	settings.socket_path = cli->socket;
	cli->client = client_create(&settings, err);
	return cli->client ? 0 : -1;
}

static json_t *file_json(const char *path)
{
	AUTO(strbuf) struct strbuf text = STRBUF(CONFIG_FILE_MAX);
	struct err err = { 0 };
	json_t *file;

	if (file_read(path, CONFIG_FILE_MAX, &text, &err) < 0) {
		complain("%s", err.text);
		return NULL;
	}
	file = json_pack("{s:s, s:s#}", "path", path, "text", strbuf_text(&text), text.size);
	if (!file)
		complain("'%s' is not valid UTF-8", path);
	return file;
}

/* Relative paths in a file start at its folder: the daemon must get absolute names. */
static char *absolute_path(const char *path)
{
	char *result = realpath(path, NULL);

	if (!result)
		complain("cannot read '%s': %s", path, strerror(errno));
	return result;
}

json_t *config_files(const char *path)
{
	AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
	AUTO(document) struct document *document = NULL;
	char *absolute = absolute_path(path);
	json_t *files = absolute && list ? json_array() : NULL;
	json_t *file;

	if (files)
		document = document_load(absolute, list);
	for (unsigned i = 1; document && document_file_path(document, i); i++) {
		file = file_json(document_file_path(document, i));
		if (!file || json_array_append_new(files, file) < 0)
			goto failed;
	}
	if (files && json_array_size(files) == 0) {
		diagnostics_print(list, document, stderr);
		goto failed;
	}
	free(absolute);
	return files;
failed:
	json_decref(files);
	free(absolute);
	return NULL;
}

/* ---------------------------------------------------------------- members -- */

const char *member(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

json_int_t member_int(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

bool member_bool(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

/* ------------------------------------------------------------------ paths -- */

const char *api_path(struct cli *cli, const char *format, ...)
{
	AUTO(strbuf) struct strbuf out = STRBUF(PATH_MAX_BYTES);
	va_list args;

	strbuf_puts(&out, "/api/v1");
	va_start(args, format);
	for (const char *at = format; *at; at++) {
		if (at[0] == '%' && at[1] == 's') {
			client_escape(&out, va_arg(args, const char *));
			at++;
		} else {
			strbuf_putc(&out, *at);
		}
	}
	va_end(args);

	const char *path = strbuf_failed(&out) ? NULL : arena_strdup(cli->arena, strbuf_text(&out));

	if (!path) {
		complain("the argument is too long");
		exit(CLI_USAGE);
	}
	return path;
}

const char *path_query(struct cli *cli, const char *path, const char *name, const char *value)
{
	AUTO(strbuf) struct strbuf out = STRBUF(PATH_MAX_BYTES);

	if (!value)
		return path;
	strbuf_printf(&out, "%s%c%s=", path, strchr(path, '?') ? '&' : '?', name);
	client_escape(&out, value);

	const char *result =
		strbuf_failed(&out) ? NULL : arena_strdup(cli->arena, strbuf_text(&out));

	if (!result) {
		complain("the argument is too long");
		exit(CLI_USAGE);
	}
	return result;
}

/* ----------------------------------------------------------------- asking -- */

void json_print(struct cli *cli, const json_t *value)
{
	/* On a terminal nothing but ASCII, so that no value can play with it. */
	size_t flags = isatty(fileno(cli->out)) ? JSON_INDENT(2) | JSON_ENSURE_ASCII : JSON_COMPACT;

	json_dumpf(value, cli->out, flags | JSON_ENCODE_ANY);
	fputc('\n', cli->out);
}

/* What stands in the way of a disabling. */
static void complain_of_references(struct cli *cli, const json_t *details)
{
	json_t *reference;
	size_t i;

	json_array_foreach(json_object_get(details, "references"), i, reference) {
		const char *type = member(reference, "type");

		fprintf(stderr, "  %s %s %s%s%s  %s\n",
			shown(cli, member(reference, "application")),
			shown(cli, member(reference, "kind")), shown(cli, type), type[0] ? "/" : "",
			shown(cli, member(reference, "id")),
			shown(cli, member(reference, "label")));
	}
	if (member_int(details, "total") > (json_int_t)i)
		fprintf(stderr, "  and %lld more\n",
			(long long)(member_int(details, "total") - (json_int_t)i));
}

/* The piece of a filter where something is wrong, and a caret below. */
static void complain_of_filter(struct cli *cli, const json_t *details)
{
	const char *near = member(details, "near");
	json_int_t column = member_int(details, "position") - member_int(details, "near_position");
	json_int_t width = member_int(details, "width");

	if (!near[0])
		return;
	fprintf(stderr, "  %s\n  ", shown(cli, near));
	for (json_int_t i = 0; i <= column + width && near[i]; i++) {
		bool begins = ((unsigned char)near[i] & 0xc0) != 0x80;

		if (begins && i <= column)
			fputc(i == column ? '^' : ' ', stderr);
		else if (begins && i < column + width)
			fputc('~', stderr);
	}
	if (column >= (json_int_t)strlen(near))
		fputc('^', stderr);
	fputc('\n', stderr);
	if (member(details, "hint")[0])
		fprintf(stderr, "  hint: %s\n", shown(cli, member(details, "hint")));
}

static void print_refusal(struct cli *cli, int status, const json_t *answer)
{
	const char *field = member(answer, "field");

	if (cli->json && json_is_object(answer)) {
		json_print(cli, answer);
		return;
	}
	if (!json_is_object(answer))
		complain("the daemon answered with status %d", status);
	else
		complain("%s (%s%s%s)", shown(cli, member(answer, "message")),
			 shown(cli, member(answer, "code")), field[0] ? ", field " : "",
			 shown(cli, field));
	complain_of_references(cli, json_object_get(answer, "details"));
	complain_of_filter(cli, json_object_get(answer, "details"));
}

/* Of an exchange that took place. */
static json_t *judge(struct cli *cli, int status, const struct strbuf *text, bool printing)
{
	json_error_t problem;
	json_t *answer;

	answer = json_loadb(strbuf_text(text), text->size, JSON_REJECT_DUPLICATES, &problem);
	if (status >= 200 && status < 300 && answer) {
		if (cli->json && printing)
			json_print(cli, answer);
		return answer;
	}
	if (status >= 200 && status < 300)
		complain("the daemon's answer is no JSON: %s", problem.text);
	else
		print_refusal(cli, status, answer);
	json_decref(answer);
	return NULL;
}

json_t *ask(struct cli *cli, const char *method, const char *path, json_t *body, bool printing)
{
	AUTO(strbuf) struct strbuf text = STRBUF(CLIENT_RESPONSE_MAX);
	struct err err = { 0 };
	bool has_body = body != NULL;
	char *body_text = has_body ? json_dumps(body, JSON_COMPACT) : NULL;
	int status = 0, result = -1;

	json_decref(body);
	if (has_body && !body_text)
		err_set(&err, ERR_INVALID, "an argument is not valid UTF-8");
	else if (connect_daemon(cli, &err) == 0) {
		client_expect_version(cli->client, cli->version);
		result = client_request(cli->client, method, path, body_text, &status, &text, &err);
	}
	free(body_text);
	if (result == 0)
		return judge(cli, status, &text, printing);
	complain("%s", shown(cli, err.text));
	return NULL;
}

/* A file gets the bytes; on a terminal only line breaks stay what they are. */
static int stream_write(void *context, const void *data, size_t size)
{
	struct cli *cli = context;
	const char *at = data, *end = at + size;

	if (cli->width == 0)
		return fwrite(data, 1, size, cli->out) == size ? 0 : -1;
	while (at < end) {
		const char *line_end = memchr(at, '\n', (size_t)(end - at));
		size_t length = (size_t)((line_end ? line_end : end) - at);
		char *line = arena_strndup(cli->arena, at, length);

		if (!line || fputs(shown(cli, line), cli->out) == EOF)
			return -1;
		if (line_end)
			fputc('\n', cli->out);
		at += length + (line_end != NULL);
	}
	return 0;
}

json_t *ask_file(struct cli *cli, const char *path, const char *type, const struct strbuf *body)
{
	AUTO(strbuf) struct strbuf text = STRBUF(CLIENT_RESPONSE_MAX);
	struct err err = { 0 };
	int status = 0, result = connect_daemon(cli, &err);

	if (result == 0) {
		client_body_is(cli->client, type, body->size);
		result = client_request(cli->client, "POST", path, strbuf_text(body), &status,
					&text, &err);
	}
	if (result == 0)
		return judge(cli, status, &text, false);
	complain("%s", shown(cli, err.text));
	return NULL;
}

int ask_stream(struct cli *cli, const char *path)
{
	AUTO(strbuf) struct strbuf refusal = STRBUF((size_t)1024 * 1024);
	AUTO(json) json_t *answer = NULL;
	struct err err = { 0 };
	int status = 0;

	if (connect_daemon(cli, &err) < 0 ||
	    client_stream(cli->client, path, stream_write, cli, &status, &refusal, &err) < 0) {
		complain("the export is not whole: %s", shown(cli, err.text));
		return CLI_FAILED;
	}
	if (status == 200)
		return CLI_OK;
	answer = json_loadb(strbuf_text(&refusal), refusal.size, 0, NULL);
	complain("%s (%s)", shown(cli, member(answer, "message")),
		 shown(cli, member(answer, "code")));
	return CLI_FAILED;
}

int ask_done(struct cli *cli, const char *method, const char *path, json_t *body)
{
	AUTO(json) json_t *answer = ask(cli, method, path, body, true);

	return answer ? CLI_OK : CLI_FAILED;
}

/* ------------------------------------------------------------------- runs -- */

static void progress_bar(struct cli *cli, const json_t *run)
{
	static unsigned turn;
	json_int_t done = member_int(run, "done"), total = member_int(run, "total");
	const char *phase = shown(cli, member(run, "phase"));

	if (!cli->progress)
		return;
	if (total > 0) {
		int filled = (int)(done >= total ? BAR_WIDTH : done * BAR_WIDTH / total);

		fprintf(cli->progress, "\r\033[K%-10s [%.*s%*s] %3lld %%  %lld of %lld", phase,
			filled, "##############################", BAR_WIDTH - filled, "",
			(long long)(done >= total ? 100 : done * 100 / total), (long long)done,
			(long long)total);
	} else {
		fprintf(cli->progress, "\r\033[K%-10s %c %lld", phase, "|/-\\"[turn++ % 4],
			(long long)done);
	}
	fflush(cli->progress);
}

static void progress_end(const struct cli *cli)
{
	if (!cli->progress)
		return;
	fputs("\r\033[K", cli->progress);
	fflush(cli->progress);
}

static void print_findings(struct cli *cli, const json_t *findings)
{
	size_t i;
	json_t *finding;

	json_array_foreach(findings, i, finding) {
		const char *hint = member(finding, "hint");

		if (member(finding, "file")[0])
			fprintf(stderr, "%s:%lld:%lld: ", shown(cli, member(finding, "file")),
				(long long)member_int(finding, "line"),
				(long long)member_int(finding, "column"));
		fprintf(stderr, "%s: %s\n", shown(cli, member(finding, "severity")),
			shown(cli, member(finding, "message")));
		if (hint[0])
			fprintf(stderr, "      hint: %s\n", shown(cli, hint));
	}
}

/* NULL when it failed: its reports may tell how far it came, so --json has it all. */
static json_t *run_judge(struct cli *cli, json_t *run)
{
	const json_t *error = json_object_get(run, "error");

	if (cli->json)
		json_print(cli, run);
	else
		print_findings(cli, json_object_get(run, "diagnostics"));
	if (strcmp(member(run, "state"), "done") == 0)
		return run;
	if (!cli->json)
		complain("%s %s: %s (%s)", shown(cli, member(run, "kind")),
			 shown(cli, member(run, "state")), shown(cli, member(error, "message")),
			 shown(cli, member(error, "code")));
	json_decref(run);
	return NULL;
}

json_t *run_to_end(struct cli *cli, const char *path, json_t *body)
{
	AUTO(json) json_t *started = ask(cli, "POST", path, body, false);

	return started ? run_follow(cli, started) : NULL;
}

json_t *run_follow(struct cli *cli, const json_t *started)
{
	const char *poll;
	json_t *run;

	poll = path_query(cli, api_path(cli, "/runs/%s", member(started, "run")), "wait_ms",
			  cli->progress ? WAIT_MS_TERMINAL : WAIT_MS);
	while ((run = ask(cli, "GET", poll, NULL, false)) != NULL) {
		if (strcmp(member(run, "state"), "running") != 0)
			break;
		progress_bar(cli, run);
		json_decref(run);
	}
	progress_end(cli);
	return run ? run_judge(cli, run) : NULL;
}

void say_more(const json_t *answer)
{
	if (json_is_integer(json_object_get(answer, "next")))
		fprintf(stderr, "There may be more: --limit N, or --after %lld.\n",
			(long long)member_int(answer, "next"));
}

bool body_text(json_t *body, const char *name, const char *value)
{
	if (!value || json_object_set_new(body, name, json_string(value)) == 0)
		return true;
	complain("an argument is not valid UTF-8");
	return false;
}
