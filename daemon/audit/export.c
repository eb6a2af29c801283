/*
 * Rows as lines. Enters: a row. Leaves: one line, newline included. Fails
 * through the strbuf alone.
 *
 * The texts of a row reach spreadsheets and terminals of administrators, and
 * some of them were chosen by strangers (a user name that was refused).
 */
#include <rolebridge/audit/audit.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/csv.h>
#include <rolebridge/base/json.h>
#include <rolebridge/base/util.h>

#include "syntax.h"

static void format_json(const struct audit_row *row, const char *hash, struct strbuf *out)
{
	struct json json = JSON(out);
	const char *detail = row->detail ? row->detail : "";

	json_object(&json);
	json_int(&json, "seq", row->seq);
	json_time(&json, "at", row->at_s);
	json_string(&json, "actor", row->actor);
	json_string(&json, "action", row->action);
	json_string(&json, "object", row->object);
	json_string(&json, "request", row->request);
	/* What begins so was no text: it can be read again. */
	if ((detail[0] == '{' || detail[0] == '[') && json_line_is_valid(detail))
		json_raw(&json, "detail", detail);
	else
		json_string(&json, "detail", detail);
	json_string(&json, "hash", hash);
	json_end(&json);
	strbuf_putc(out, '\n');
}

static void format_csv(const struct audit_row *row, const char *hash, struct strbuf *out)
{
	const char *const cells[] = { row->actor,   row->action, row->object,
				      row->request, row->detail, hash };
	char at[CLOCK_TEXT_SIZE];

	clock_format(row->at_s, at);
	strbuf_printf(out, "%lld,%s", (long long)row->seq, at);
	for (size_t i = 0; i < ARRAY_LEN(cells); i++) {
		strbuf_putc(out, ',');
		csv_put_text(out, cells[i] ? cells[i] : "", ',');
	}
	strbuf_puts(out, "\r\n");
}

const char *audit_csv_header(void)
{
	return "seq,at,actor,action,object,request,detail,hash\r\n";
}

void audit_format_row(const struct audit_row *row, enum audit_format format, struct strbuf *out)
{
	char hash[65];

	hash256_hex(&row->hash, hash);
	if (format == AUDIT_CSV)
		format_csv(row, hash, out);
	else
		format_json(row, hash, out);
}
