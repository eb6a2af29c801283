/*
 * Log lines: a fixed event name and typed fields; never a secret.
 *
 *	log_info("user.disabled", F_STR("user", id), F_STR("origin", origin), F_INT("sessions", n));
 *
 * Under systemd (JOURNAL_STREAM matches stderr) each field becomes a journal
 * field ROLEBRIDGE_<NAME> besides MESSAGE and PRIORITY; elsewhere one readable
 * line goes to stderr, coloured on a terminal. Values are escaped: no line
 * break or control character of a peer reaches the log. Library code does not
 * log; requests, jobs and main do. Thread-safe.
 */
#ifndef ROLEBRIDGE_BASE_LOG_H
#define ROLEBRIDGE_BASE_LOG_H

#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

struct log_field {
	const char *name;
	const char *text; /* NULL: number */
	int64_t number;
};

static inline struct log_field log_field_text(const char *name, const char *text)
{
	return (struct log_field){ name, text ? text : "", 0 };
}

static inline struct log_field log_field_number(const char *name, int64_t number)
{
	return (struct log_field){ name, NULL, number };
}

/* NULL is logged as empty. */
#define F_STR(name, value) log_field_text((name), (value))
#define F_INT(name, value) log_field_number((name), (int64_t)(value))
/* An err's text and reason as field "error". */
#define F_ERR(err_pointer) F_STR("error", (err_pointer)->text)

#define log_error(...) LOG_EVENT_(LOG_LEVEL_ERROR, __VA_ARGS__, { NULL, NULL, 0 })
#define log_warning(...) LOG_EVENT_(LOG_LEVEL_WARNING, __VA_ARGS__, { NULL, NULL, 0 })
#define log_info(...) LOG_EVENT_(LOG_LEVEL_INFO, __VA_ARGS__, { NULL, NULL, 0 })
#define log_debug(...) LOG_EVENT_(LOG_LEVEL_DEBUG, __VA_ARGS__, { NULL, NULL, 0 })

#define LOG_EVENT_(level, event, ...) \
	log_event((level), (event), (const struct log_field[]){ __VA_ARGS__ })

/* fields end with a NULL name. */
void log_event(enum log_level level, const char *event, const struct log_field *fields);

/* Lines above this level are dropped. Default LOG_LEVEL_INFO. */
void log_set_level(enum log_level level);
/* Decide journal or terminal; call once at start. A worker does not: its filter has no journal socket. */
void log_init(const char *identifier);

#endif
