/*
 * The hash chain. Enters: rows. Leaves: their hashes, or a verdict over them.
 * Fails only without memory or when the rows cannot be read; a broken chain is
 * no failure but a verdict.
 */
#include <rolebridge/audit/audit.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <rolebridge/base/message.h>
#include <rolebridge/base/util.h>

/* A row is bounded by what one transaction may hold; a larger one is a bug. */
#define ROW_MAX (64 * 1024 * 1024)
/* More than all of it is as a rule. */
#define ROW_SIZE 384

static struct hash256 detail_digest(const struct audit_row *row)
{
	return digest256(row->detail ? row->detail : "", row->detail ? strlen(row->detail) : 0);
}

static int row_hash(const struct audit_row *row, const struct hash256 *detail,
		    const struct hash256 *previous, struct strbuf *scratch,
		    struct hash256 *ret_hash, struct err *err)
{
	strbuf_clear(scratch);
	strbuf_reserve(scratch, ROW_SIZE);
	put_i64(scratch, row->seq);
	put_i64(scratch, row->at_s);
	put_text(scratch, row->actor);
	put_text(scratch, row->action);
	put_text(scratch, row->object);
	put_text(scratch, row->request);
	strbuf_append(scratch, detail->byte, sizeof(detail->byte));
	if (strbuf_failed(scratch))
		return err_set(err, ERR_MEMORY, "no memory left to hash audit row %lld",
			       (long long)row->seq);
	*ret_hash = digest256_pair(previous->byte, sizeof(previous->byte), scratch->data,
				   scratch->size);
	return 0;
}

int audit_seal(struct audit_row *row, const struct hash256 *previous, struct err *err)
{
	AUTO(strbuf) struct strbuf scratch = STRBUF(ROW_MAX);
	struct hash256 detail = row->detail_digest ? *row->detail_digest : detail_digest(row);

	return row_hash(row, &detail, previous, &scratch, &row->hash, err);
}

/* --- verify --- */

struct walk {
	struct hash256 expected_head; /* the head noted earlier */
	bool wants_head, met_head;
	bool from_start; /* the first row must be number 1 */
	struct strbuf scratch;
};

static bool hash_equal(const struct hash256 *a, const struct hash256 *b)
{
	return memcmp(a->byte, b->byte, sizeof(a->byte)) == 0;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int parse_head(const char *hex, struct hash256 *ret_hash, struct err *err)
{
	struct hash256 hash;

	for (size_t i = 0; i < sizeof(hash.byte); i++) {
		int high = hex_value(hex[2 * i]);
		int low = high < 0 ? -1 : hex_value(hex[2 * i + 1]);

		if (low < 0)
			return err_set(err, ERR_INVALID, "'%.80s' is no hash: 64 hex digits", hex);
		hash.byte[i] = (unsigned char)(high << 4 | low);
	}
	if (hex[2 * sizeof(hash.byte)])
		return err_set(err, ERR_INVALID, "'%.80s' is no hash: 64 hex digits", hex);
	*ret_hash = hash;
	return 0;
}

static void walk_meet(struct walk *walk, const struct hash256 *hash)
{
	if (walk->wants_head && hash_equal(hash, &walk->expected_head))
		walk->met_head = true;
}

__attribute__((format(printf, 3, 4))) static void verdict_break(struct audit_verdict *verdict,
								int64_t seq, const char *format,
								...)
{
	va_list args;

	verdict->intact = false;
	verdict->broken_seq = seq;
	va_start(args, format);
	vsnprintf(verdict->problem, sizeof(verdict->problem), format, args);
	va_end(args);
}

/* One row against the verdict so far. 0, or -1 without memory. */
static int walk_row(struct walk *walk, const struct audit_row *row, int64_t *last_seq,
		    struct audit_verdict *verdict, struct err *err)
{
	struct hash256 hash, detail = detail_digest(row);
	bool first = verdict->rows == 0;
	int64_t expected = first ? (walk->from_start ? 1 : row->seq) : *last_seq + 1;

	if (row->seq != expected) {
		verdict_break(verdict, row->seq, "row %lld stands where row %lld belongs",
			      (long long)row->seq, (long long)expected);
		return 0;
	}
	if (row_hash(row, &detail, &verdict->head, &walk->scratch, &hash, err) < 0)
		return -1;
	if (!hash_equal(&hash, &row->hash)) {
		verdict_break(verdict, row->seq,
			      "row %lld, or the one before it, is not what was written",
			      (long long)row->seq);
		return 0;
	}
	*last_seq = row->seq;
	verdict->rows++;
	verdict->head = hash;
	walk_meet(walk, &hash);
	return 0;
}

static int walk_all(struct walk *walk, const struct audit_iterator *rows,
		    struct audit_verdict *verdict, struct err *err)
{
	struct audit_row row;
	int64_t last_seq = 0;
	int more = 1;

	while (verdict->intact && (more = rows->next(rows->context, &row, err)) > 0)
		if (walk_row(walk, &row, &last_seq, verdict, err) < 0)
			return -1;
	if (more < 0)
		return -1;
	if (verdict->intact && walk->wants_head && !walk->met_head)
		verdict_break(
			verdict, last_seq + 1,
			"the head noted earlier is not in the log: rows were cut off or replaced");
	return 0;
}

int audit_verify(const struct audit_iterator *rows, const struct hash256 *start_hash,
		 const char *head_hex, struct audit_verdict *ret_verdict, struct err *err)
{
	static const struct hash256 zero;
	struct audit_verdict verdict = { .intact = true, .head = *start_hash };
	struct walk walk = {
		.wants_head = head_hex != NULL,
		.from_start = hash_equal(start_hash, &zero),
		.scratch = STRBUF(ROW_MAX),
	};
	int result = head_hex ? parse_head(head_hex, &walk.expected_head, err) : 0;

	if (result == 0) {
		walk_meet(&walk, start_hash);
		result = walk_all(&walk, rows, &verdict, err);
	}
	strbuf_finish(&walk.scratch);
	if (result == 0)
		*ret_verdict = verdict;
	return result;
}
