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

/* --- heads --- */

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

static bool take_hash(const char *hex, struct hash256 *ret_hash)
{
	struct hash256 hash;

	for (size_t i = 0; i < sizeof(hash.byte); i++) {
		int high = hex_value(hex[2 * i]);
		int low = high < 0 ? -1 : hex_value(hex[2 * i + 1]);

		if (low < 0)
			return false;
		hash.byte[i] = (unsigned char)(high << 4 | low);
	}
	*ret_hash = hash;
	return true;
}

/* Digits without a sign, followed by the character. */
static bool take_number(const char **at, char end, int64_t *ret_number)
{
	int64_t number = 0;
	const char *digit = *at;

	for (; *digit >= '0' && *digit <= '9'; digit++)
		if (__builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, *digit - '0', &number))
			return false;
	if (digit == *at || *digit != end)
		return false;
	*at = digit + 1;
	*ret_number = number;
	return true;
}

int audit_head_parse(const char *text, int64_t *ret_seq, struct hash256 *ret_hash, struct err *err)
{
	const char *at = text;
	int64_t seq = -1;

	if (strchr(text, ':') && !take_number(&at, ':', &seq))
		at = "";
	if (!take_hash(at, ret_hash) || at[2 * sizeof(ret_hash->byte)])
		return err_set(err, ERR_INVALID,
			       "'%.80s' is no head: 64 hex digits, after the row's number and a "
			       "colon if it is known",
			       text);
	*ret_seq = seq;
	return 0;
}

const char *audit_head_state_name(enum audit_head_state state)
{
	static const char *const names[] = {
		[AUDIT_HEAD_NOT_ASKED] = "not-asked", [AUDIT_HEAD_MET] = "met",
		[AUDIT_HEAD_GONE] = "gone",	      [AUDIT_HEAD_UNKNOWN] = "unknown",
		[AUDIT_HEAD_MISSING] = "missing",
	};

	return names[state];
}

/* --- rows that went --- */

void audit_pruning_write(const struct audit_pruning *pruning, struct strbuf *out)
{
	char before[65], hash[65];

	hash256_hex(&pruning->before, before);
	hash256_hex(&pruning->hash, hash);
	strbuf_printf(out, "{\"from\":%lld,\"to\":%lld,\"before\":\"%s\",\"hash\":\"%s\"}",
		      (long long)pruning->from, (long long)pruning->to, before, hash);
}

static bool take_word(const char **at, const char *word)
{
	size_t size = strlen(word);

	if (strncmp(*at, word, size) != 0)
		return false;
	*at += size;
	return true;
}

static bool take_member(const char **at, const char *word, struct hash256 *ret_hash)
{
	if (!take_word(at, word) || !take_hash(*at, ret_hash))
		return false;
	*at += 2 * sizeof(ret_hash->byte);
	return true;
}

bool audit_pruning_parse(const char *detail, struct audit_pruning *ret_pruning)
{
	struct audit_pruning pruning;
	const char *at = detail;

	if (!take_word(&at, "{\"from\":") || !take_number(&at, ',', &pruning.from) ||
	    !take_word(&at, "\"to\":") || !take_number(&at, ',', &pruning.to) ||
	    !take_member(&at, "\"before\":\"", &pruning.before) ||
	    !take_member(&at, "\",\"hash\":\"", &pruning.hash) || strcmp(at, "\"}") != 0)
		return false;
	*ret_pruning = pruning;
	return true;
}

/* --- verify --- */

struct walk {
	const struct audit_check *check;
	struct hash256 wanted_head; /* the head noted earlier */
	int64_t wanted_seq;	    /* -1: not known */
	bool met_head;
	bool has_pruning; /* the last one met */
	struct audit_pruning pruning;
	struct strbuf scratch;
};

static void walk_meet(struct walk *walk, int64_t seq, const struct hash256 *hash)
{
	if (walk->check->head && hash_equal(hash, &walk->wanted_head) &&
	    (walk->wanted_seq < 0 || walk->wanted_seq == seq))
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

static bool pruning_follows(const struct walk *walk, const struct audit_pruning *pruning)
{
	static const struct hash256 zero;

	if (walk->has_pruning)
		return pruning->from == walk->pruning.to + 1 &&
		       hash_equal(&pruning->before, &walk->pruning.hash);
	/* The one before it went, unless this is the first. */
	return pruning->from >= 1 && (pruning->from > 1 || hash_equal(&pruning->before, &zero));
}

static void walk_pruning(struct walk *walk, const struct audit_row *row,
			 struct audit_verdict *verdict)
{
	struct audit_pruning pruning;

	if (!audit_pruning_parse(row->detail ? row->detail : "", &pruning) ||
	    pruning.from > pruning.to || pruning.to >= row->seq)
		verdict_break(verdict, row->seq, "row %lld tells nothing that could have gone",
			      (long long)row->seq);
	else if (!pruning_follows(walk, &pruning))
		verdict_break(verdict, row->seq,
			      "what row %lld tells to have gone does not follow what went before",
			      (long long)row->seq);
	else if (!walk->check->is_archive && pruning.to > walk->check->anchor.seq)
		verdict_break(verdict, row->seq,
			      "row %lld tells that rows up to %lld went, and they are here from "
			      "%lld on",
			      (long long)row->seq, (long long)pruning.to,
			      (long long)walk->check->anchor.seq + 1);
	walk->pruning = pruning;
	walk->has_pruning = true;
}

/* One row against the verdict so far. 0, or -1 without memory. */
static int walk_row(struct walk *walk, const struct audit_row *row, struct audit_verdict *verdict,
		    struct err *err)
{
	struct hash256 hash, detail = detail_digest(row);
	int64_t expected = verdict->last_seq + 1;

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
	if (row->action && strcmp(row->action, AUDIT_ACTION_PRUNE) == 0)
		walk_pruning(walk, row, verdict);
	if (!verdict->intact)
		return 0;
	verdict->rows++;
	verdict->last_seq = row->seq;
	verdict->head = hash;
	walk_meet(walk, row->seq, &hash);
	return 0;
}

/* The anchor is what the log itself tells. */
static void check_anchor(const struct walk *walk, struct audit_verdict *verdict)
{
	const struct audit_anchor *anchor = &walk->check->anchor;

	if (walk->check->is_archive || (anchor->seq == 0 && !walk->has_pruning))
		return;
	if (walk->has_pruning && walk->pruning.to == anchor->seq &&
	    hash_equal(&walk->pruning.hash, &anchor->hash))
		return;
	verdict_break(verdict, anchor->seq + 1,
		      "rows up to %lld are missing, and the log does not tell that they went",
		      (long long)anchor->seq);
}

static void judge_head(const struct walk *walk, struct audit_verdict *verdict)
{
	int64_t anchor = walk->check->anchor.seq;

	if (!walk->check->head)
		return;
	if (walk->met_head) {
		verdict->head_state = AUDIT_HEAD_MET;
	} else if (anchor > 0 && walk->wanted_seq >= 0 && walk->wanted_seq < anchor) {
		verdict->head_state = AUDIT_HEAD_GONE;
		snprintf(verdict->problem, sizeof(verdict->problem),
			 "the head noted earlier is of row %lld, which went by retention: rows "
			 "are kept from %lld on",
			 (long long)walk->wanted_seq, (long long)anchor + 1);
	} else if (anchor > 0 && walk->wanted_seq < 0) {
		verdict->head_state = AUDIT_HEAD_UNKNOWN;
		snprintf(verdict->problem, sizeof(verdict->problem),
			 "the head noted earlier is of no row that is kept: of one that went "
			 "before row %lld, or rows were cut off; SEQ:HASH would tell",
			 (long long)anchor + 1);
	} else {
		verdict->head_state = AUDIT_HEAD_MISSING;
		verdict_break(
			verdict, verdict->last_seq + 1,
			"the head noted earlier is not in the log: rows were cut off or replaced");
	}
}

static int walk_all(struct walk *walk, const struct audit_iterator *rows,
		    struct audit_verdict *verdict, struct err *err)
{
	struct audit_row row;
	int more = 1;

	while (verdict->intact && (more = rows->next(rows->context, &row, err)) > 0)
		if (walk_row(walk, &row, verdict, err) < 0)
			return -1;
	if (more < 0)
		return -1;
	if (verdict->intact)
		check_anchor(walk, verdict);
	if (verdict->intact)
		judge_head(walk, verdict);
	return 0;
}

int audit_verify(const struct audit_iterator *rows, const struct audit_check *check,
		 struct audit_verdict *ret_verdict, struct err *err)
{
	struct audit_verdict verdict = { .intact = true,
					 .last_seq = check->anchor.seq,
					 .head = check->anchor.hash };
	struct walk walk = { .check = check, .scratch = STRBUF(ROW_MAX) };
	int result = check->head ? audit_head_parse(check->head, &walk.wanted_seq,
						    &walk.wanted_head, err)
				 : 0;

	if (result == 0) {
		walk_meet(&walk, check->anchor.seq, &check->anchor.hash);
		result = walk_all(&walk, rows, &verdict, err);
	}
	strbuf_finish(&walk.scratch);
	if (result == 0)
		*ret_verdict = verdict;
	return result;
}
