/*
 * The ledger's file. Enters: lines of its own. Leaves: the same accounts after any crash. Fails closed on
 * damage.
 *
 *	rolebridge-accounts 1
 *	CHECKSUM claim UUID UID NAME HOME
 *	CHECKSUM made|enable|keep|archived|gone UUID
 *	CHECKSUM disable UUID EXPIRE_BEFORE LOCKED_BEFORE
 *	CHECKSUM delete UUID TIME
 *	CHECKSUM clocks REAL BOOT SHIFT        where they stood, and by what it moved the deletions above that wait
 *
 * CHECKSUM is the CRC-32 of the rest of the line, eight hex digits: it tells a torn line from a whole
 * one. Who can write the file is root and needs no more than that. A write that fails is taken back by
 * cutting the file to what it was; when even that fails, nothing is written any more.
 *
 * When it has grown to many times what it says, it is written anew at the next start.
 */
#include "ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rolebridge/accounts/protocol.h>
#include <rolebridge/base/alloc.h>
#include <rolebridge/base/arena.h>
#include <rolebridge/base/file.h>
#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/util.h>

#define HEAD "rolebridge-accounts 1\n"
#define FILE_MAX (512u << 20)
#define LINE_MAX_SIZE 1024
#define WORDS_MAX 8
/* Lines beyond three for each account before the file is written anew. */
#define SLACK_LINES 4096
/* Seconds in which a clock may be: 30,000 years. */
#define CLOCK_MAX (INT64_C(1) << 40)

struct ledger {
	char *path;
	int fd; /* -1 after a failure that could not be taken back */
	off_t size;
	struct account *accounts;
	size_t count, capacity, lines;
	struct clocks clocks;
	bool has_clocks;
};

/* --- lines --- */

static uint32_t crc32_of(const char *data, size_t size)
{
	uint32_t crc = 0xffffffff;

	for (size_t i = 0; i < size; i++) {
		crc ^= (unsigned char)data[i];
		for (unsigned bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return ~crc;
}

static int write_failed(struct err *err, const struct ledger *ledger)
{
	int problem = errno;

	err_set_errno(err, ERR_IO, problem, "cannot write '%s'", ledger->path);
	if (err && (problem == ENOSPC || problem == EDQUOT || problem == EFBIG))
		err->reason = "disk-full";
	return -1;
}

/* Whole or not at all. */
static int append(struct ledger *ledger, const struct strbuf *text, struct err *err)
{
	if (ledger->fd < 0)
		return err_set(err, ERR_IO, "'%s' could not be written before; start anew",
			       ledger->path);
	if (strbuf_failed(text))
		return err_set(err, ERR_MEMORY, "no room for a line of '%s'", ledger->path);

	ssize_t written = pwrite(ledger->fd, text->data, text->size, ledger->size);
	bool whole = written == (ssize_t)text->size;

	if (whole && fdatasync(ledger->fd) == 0) {
		ledger->size += written;
		ledger->lines++;
		return 0;
	}
	if (written >= 0 && !whole)
		errno = ENOSPC;
	write_failed(err, ledger);
	/* After a failed sync nobody knows what is on the disk. */
	if (whole || ftruncate(ledger->fd, ledger->size) < 0) {
		close(ledger->fd);
		ledger->fd = -1;
	}
	return -1;
}

static int append_line(struct ledger *ledger, struct err *err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int append_line(struct ledger *ledger, struct err *err, const char *format, ...)
{
	AUTO(strbuf) struct strbuf line = STRBUF(LINE_MAX_SIZE);
	AUTO(strbuf) struct strbuf text = STRBUF(LINE_MAX_SIZE + 16);
	va_list args;

	va_start(args, format);
	strbuf_vprintf(&line, format, args);
	va_end(args);
	if (strbuf_failed(&line))
		strbuf_fail(&text);
	strbuf_printf(&text, "%08" PRIx32 " %s\n", crc32_of(strbuf_text(&line), line.size),
		      strbuf_text(&line));
	return append(ledger, &text, err);
}

/* --- in memory --- */

/* Where user is, or would be. */
static size_t place_of(const struct ledger *ledger, const struct uuid *user)
{
	size_t low = 0, high = ledger->count;

	/* Ids grow with time: the last is the likely one. */
	if (high &&
	    memcmp(ledger->accounts[high - 1].user.byte, user->byte, sizeof(user->byte)) < 0)
		return high;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (memcmp(ledger->accounts[middle].user.byte, user->byte, sizeof(user->byte)) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct account *ledger_find(struct ledger *ledger, const struct uuid *user)
{
	size_t place = place_of(ledger, user);

	if (place == ledger->count ||
	    memcmp(ledger->accounts[place].user.byte, user->byte, sizeof(user->byte)) != 0)
		return NULL;
	return &ledger->accounts[place];
}

struct account *ledger_accounts(struct ledger *ledger, size_t *ret_count)
{
	*ret_count = ledger->count;
	return ledger->accounts;
}

size_t ledger_owned(const struct ledger *ledger)
{
	size_t owned = 0;

	for (size_t i = 0; i < ledger->count; i++)
		owned += !ledger->accounts[i].gone;
	return owned;
}

const struct account *ledger_find_name(const struct ledger *ledger, const char *name)
{
	for (size_t i = 0; i < ledger->count; i++)
		if (strcmp(ledger->accounts[i].name, name) == 0)
			return &ledger->accounts[i];
	return NULL;
}

const struct account *ledger_find_uid(const struct ledger *ledger, uint32_t uid)
{
	for (size_t i = 0; i < ledger->count; i++)
		if (ledger->accounts[i].uid == uid)
			return &ledger->accounts[i];
	return NULL;
}

const struct account *ledger_find_home(const struct ledger *ledger, const char *home)
{
	for (size_t i = 0; i < ledger->count; i++)
		if (strcmp(ledger->accounts[i].home, home) == 0)
			return &ledger->accounts[i];
	return NULL;
}

uint32_t ledger_last_uid(const struct ledger *ledger, uint32_t min, uint32_t max)
{
	uint32_t last = 0;

	for (size_t i = 0; i < ledger->count; i++) {
		uint32_t uid = ledger->accounts[i].uid;

		if (uid >= min && uid <= max && uid > last)
			last = uid;
	}
	return last;
}

/* Room first, so that nothing can fail once a line is written. */
static int make_room(struct ledger *ledger, struct err *err)
{
	if (ledger->count < ledger->capacity)
		return 0;

	size_t capacity = ledger->capacity ? ledger->capacity * 2 : 64;
	struct account *more = alloc_resize(ledger->accounts, capacity * sizeof(*more));

	if (!more)
		return err_set(err, ERR_MEMORY, "no room for another account");
	ledger->accounts = more;
	ledger->capacity = capacity;
	return 0;
}

static struct account *insert(struct ledger *ledger, const struct account *account)
{
	size_t place = place_of(ledger, &account->user);
	struct account *at = &ledger->accounts[place];

	memmove(at + 1, at, (ledger->count - place) * sizeof(*at));
	*at = *account;
	ledger->count++;
	return at;
}

/* --- writing --- */

static void account_finish(struct account *account)
{
	free(account->name);
	free(account->home);
}

static int account_init(struct account *account, const struct uuid *user, const char *name,
			uint32_t uid, const char *home, struct err *err)
{
	*account = (struct account){ .user = *user, .uid = uid, .expire_before = EXPIRE_NONE };
	account->name = strdup(name);
	account->home = strdup(home);
	if (account->name && account->home)
		return 0;
	account_finish(account);
	return err_set(err, ERR_MEMORY, "no room for an account");
}

int ledger_claim(struct ledger *ledger, const struct uuid *user, const char *name, uint32_t uid,
		 const char *home, struct account **ret_account, struct err *err)
{
	struct account account;
	char id[UUID_TEXT_SIZE];

	if (ledger_find(ledger, user) || ledger_find_name(ledger, name) ||
	    ledger_find_uid(ledger, uid))
		return err_set(err, ERR_CONFLICT, "'%s' (%u) is claimed already", name, uid);
	if (make_room(ledger, err) < 0 || account_init(&account, user, name, uid, home, err) < 0)
		return -1;
	uuid_format(user, id);
	if (append_line(ledger, err, "claim %s %u %s %s", id, uid, name, home) < 0) {
		account_finish(&account);
		return -1;
	}
	*ret_account = insert(ledger, &account);
	return 0;
}

static int append_verb(struct ledger *ledger, const struct account *account, const char *verb,
		       struct err *err)
{
	char id[UUID_TEXT_SIZE];

	uuid_format(&account->user, id);
	return append_line(ledger, err, "%s %s", verb, id);
}

int ledger_made(struct ledger *ledger, struct account *account, struct err *err)
{
	if (append_verb(ledger, account, "made", err) < 0)
		return -1;
	account->made = true;
	return 0;
}

int ledger_disable(struct ledger *ledger, struct account *account, int64_t expire_before,
		   bool locked_before, struct err *err)
{
	char id[UUID_TEXT_SIZE];

	uuid_format(&account->user, id);
	if (append_line(ledger, err, "disable %s %" PRId64 " %d", id, expire_before,
			locked_before) < 0)
		return -1;
	account->disabled = true;
	account->expire_before = expire_before;
	account->locked_before = locked_before;
	return 0;
}

int ledger_enable(struct ledger *ledger, struct account *account, struct err *err)
{
	if (append_verb(ledger, account, "enable", err) < 0)
		return -1;
	account->disabled = false;
	return 0;
}

int ledger_delete(struct ledger *ledger, struct account *account, int64_t delete_s, struct err *err)
{
	char id[UUID_TEXT_SIZE];

	uuid_format(&account->user, id);
	if (append_line(ledger, err, "delete %s %" PRId64, id, delete_s) < 0)
		return -1;
	account->delete_s = delete_s;
	return 0;
}

int ledger_keep(struct ledger *ledger, struct account *account, struct err *err)
{
	if (append_verb(ledger, account, "keep", err) < 0)
		return -1;
	account->delete_s = 0;
	account->archived = account->unnoted = false;
	return 0;
}

int ledger_archived(struct ledger *ledger, struct account *account, struct err *err)
{
	if (append_verb(ledger, account, "archived", err) < 0)
		return -1;
	account->archived = true;
	return 0;
}

int ledger_gone(struct ledger *ledger, struct account *account, struct err *err)
{
	if (append_verb(ledger, account, "gone", err) < 0)
		return -1;
	account->gone = true;
	return 0;
}

static bool waits(const struct account *account)
{
	return account->delete_s && !account->gone;
}

bool ledger_waits(const struct ledger *ledger)
{
	for (size_t i = 0; i < ledger->count; i++)
		if (waits(&ledger->accounts[i]))
			return true;
	return false;
}

const struct clocks *ledger_clocks(const struct ledger *ledger)
{
	return ledger->has_clocks ? &ledger->clocks : NULL;
}

static void take_clocks(struct ledger *ledger, const struct clocks *clocks, int64_t shift_s)
{
	ledger->clocks = *clocks;
	ledger->has_clocks = true;
	for (size_t i = 0; i < ledger->count; i++) {
		int64_t *delete_s = &ledger->accounts[i].delete_s;

		if (!waits(&ledger->accounts[i]))
			continue;
		if (__builtin_add_overflow(*delete_s, shift_s, delete_s))
			*delete_s = INT64_MAX;
		/* 0 would be none. */
		if (*delete_s < 1)
			*delete_s = 1;
	}
}

int ledger_note_clocks(struct ledger *ledger, const struct clocks *clocks, int64_t shift_s,
		       struct err *err)
{
	const struct clocks noted = *clocks;

	if (append_line(ledger, err, "clocks %" PRId64 " %" PRId64 " %" PRId64, noted.real_s,
			noted.boot_s, shift_s) < 0)
		return -1;
	take_clocks(ledger, &noted, shift_s);
	return 0;
}

/* --- reading --- */

static size_t split(char *line, char *words[static WORDS_MAX])
{
	size_t count = 0;

	for (;;) {
		char *space = strchr(line, ' ');

		words[count++] = line;
		if (!space || count == WORDS_MAX)
			return count;
		*space = 0;
		line = space + 1;
	}
}

static bool read_int(const char *text, int64_t min, int64_t max, int64_t *ret_value)
{
	char *end;
	long long value;

	errno = 0;
	value = strtoll(text, &end, 10);
	if (errno || end == text || *end || value < min || value > max)
		return false;
	*ret_value = value;
	return true;
}

static int replay_claim(struct ledger *ledger, const struct uuid *user, char **words, size_t count,
			struct err *err)
{
	struct account account;
	int64_t uid;

	if (count != 5 || !read_int(words[2], 1, UINT32_MAX - 1, &uid) ||
	    !accounts_name_is_valid(words[3]) || !accounts_path_is_valid(words[4]) ||
	    ledger_find(ledger, user))
		return err_set(err, ERR_INVALID, "not a claim");
	if (make_room(ledger, err) < 0 ||
	    account_init(&account, user, words[3], (uint32_t)uid, words[4], err) < 0)
		return -1;
	insert(ledger, &account);
	return 0;
}

static bool replay_disable(struct account *account, char **words, size_t count)
{
	int64_t locked;

	if (count != 4 || !read_int(words[2], EXPIRE_NONE, INT64_MAX, &account->expire_before) ||
	    !read_int(words[3], 0, 1, &locked))
		return false;
	account->locked_before = locked;
	account->disabled = true;
	return true;
}

static bool replay_verb(struct account *account, const char *verb)
{
	if (strcmp(verb, "made") == 0) {
		account->made = true;
	} else if (strcmp(verb, "enable") == 0) {
		account->disabled = false;
	} else if (strcmp(verb, "keep") == 0) {
		account->delete_s = 0;
		account->archived = false;
	} else if (strcmp(verb, "archived") == 0) {
		account->archived = true;
	} else if (strcmp(verb, "gone") == 0) {
		account->gone = true;
	} else {
		return false;
	}
	return true;
}

static int replay_clocks(struct ledger *ledger, char **words, size_t count, struct err *err)
{
	struct clocks clocks;
	int64_t shift_s;

	if (count != 4 || !read_int(words[1], -CLOCK_MAX, CLOCK_MAX, &clocks.real_s) ||
	    !read_int(words[2], 0, CLOCK_MAX, &clocks.boot_s) ||
	    !read_int(words[3], -2 * CLOCK_MAX, 2 * CLOCK_MAX, &shift_s))
		return err_set(err, ERR_INVALID, "not clocks");
	take_clocks(ledger, &clocks, shift_s);
	return 0;
}

/* line: writable, without checksum and end. */
static int replay(struct ledger *ledger, char *line, struct err *err)
{
	char *words[WORDS_MAX];
	size_t count = split(line, words);
	struct uuid user;
	struct account *account;
	bool understood;

	if (strcmp(words[0], "clocks") == 0)
		return replay_clocks(ledger, words, count, err);
	if (count < 2 || !uuid_parse(words[1], &user))
		return err_set(err, ERR_INVALID, "no user");
	if (strcmp(words[0], "claim") == 0)
		return replay_claim(ledger, &user, words, count, err);
	account = ledger_find(ledger, &user);
	if (!account)
		return err_set(err, ERR_INVALID, "a user without a claim");
	if (strcmp(words[0], "disable") == 0)
		understood = replay_disable(account, words, count);
	else if (strcmp(words[0], "delete") == 0)
		understood = count == 3 && read_int(words[2], 1, INT64_MAX, &account->delete_s);
	else
		understood = count == 2 && replay_verb(account, words[0]);
	return understood ? 0 : err_set(err, ERR_INVALID, "not understood");
}

static bool checksum_holds(const char *line, size_t size)
{
	char expected[16];

	if (size < 10 || line[8] != ' ')
		return false;
	snprintf(expected, sizeof(expected), "%08" PRIx32, crc32_of(line + 9, size - 9));
	return memcmp(expected, line, 8) == 0;
}

/*
 * text: writable. ret_good: bytes up to the end of the last whole line. Only the very last line may be
 * torn: without an end, or (blocks reach the disk in any order) with a wrong checksum.
 */
static int replay_all(struct ledger *ledger, char *text, size_t size, size_t *ret_good,
		      struct err *err)
{
	size_t at = sizeof(HEAD) - 1, number = 1;

	if (size < at || memcmp(text, HEAD, at) != 0)
		return err_set(err, ERR_INVALID, "'%s' is not a ledger of this version",
			       ledger->path);
	while (at < size) {
		char *end = memchr(text + at, '\n', size - at);
		size_t length = end ? (size_t)(end - (text + at)) : 0;

		number++;
		if (!end)
			break;
		*end = 0;
		if (strlen(text + at) != length || !checksum_holds(text + at, length)) {
			if (end + 1 == text + size)
				break;
			return err_set(err, ERR_INVALID, "'%s' is damaged in line %zu",
				       ledger->path, number);
		}
		if (replay(ledger, text + at + 9, err) < 0)
			return err_wrap(err, "'%s' is damaged in line %zu", ledger->path, number);
		at += length + 1;
	}
	*ret_good = at;
	ledger->lines = number;
	return 0;
}

static int read_ledger(struct ledger *ledger, struct err *err)
{
	AUTO(strbuf) struct strbuf text = STRBUF(FILE_MAX);
	struct err problem = { 0 };
	size_t good = 0;

	if (file_read(ledger->path, FILE_MAX, &text, &problem) < 0) {
		if (problem.code != ERR_NOT_FOUND) {
			if (err)
				*err = problem;
			return -1;
		}
		/* Complete from the first moment on. */
		if (file_write_atomic(ledger->path, HEAD, sizeof(HEAD) - 1, 0600, err) < 0)
			return -1;
		ledger->size = sizeof(HEAD) - 1;
		return 0;
	}
	if (replay_all(ledger, text.data, text.size, &good, err) < 0)
		return -1;
	ledger->size = (off_t)good;
	return 0;
}

static void dump_line(struct strbuf *out, const char *line)
{
	strbuf_printf(out, "%08" PRIx32 " %s\n", crc32_of(line, strlen(line)), line);
}

static void dump(struct strbuf *out, const struct account *account)
{
	char id[UUID_TEXT_SIZE], line[LINE_MAX_SIZE];

	uuid_format(&account->user, id);
	snprintf(line, sizeof(line), "claim %s %u %s %s", id, account->uid, account->name,
		 account->home);
	dump_line(out, line);
	if (account->disabled) {
		snprintf(line, sizeof(line), "disable %s %" PRId64 " %d", id,
			 account->expire_before, account->locked_before);
		dump_line(out, line);
	}
	if (account->delete_s) {
		snprintf(line, sizeof(line), "delete %s %" PRId64, id, account->delete_s);
		dump_line(out, line);
	}
	const struct {
		const char *verb;
		bool holds;
	} verbs[] = { { "made", account->made },
		      { "archived", account->archived },
		      { "gone", account->gone } };

	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		snprintf(line, sizeof(line), "%s %s", verbs[i].verb, id);
		if (verbs[i].holds)
			dump_line(out, line);
	}
}

static void dump_clocks(struct strbuf *out, const struct ledger *ledger)
{
	char line[LINE_MAX_SIZE];

	snprintf(line, sizeof(line), "clocks %" PRId64 " %" PRId64 " 0", ledger->clocks.real_s,
		 ledger->clocks.boot_s);
	if (ledger->has_clocks)
		dump_line(out, line);
}

static int rewrite(struct ledger *ledger, struct err *err)
{
	AUTO(strbuf) struct strbuf text = STRBUF(FILE_MAX);

	strbuf_puts(&text, HEAD);
	for (size_t i = 0; i < ledger->count; i++)
		dump(&text, &ledger->accounts[i]);
	dump_clocks(&text, ledger);
	if (strbuf_failed(&text))
		return err_set(err, ERR_MEMORY, "no room to write '%s' anew", ledger->path);
	if (file_write_atomic(ledger->path, text.data, text.size, 0600, err) < 0)
		return -1;
	ledger->size = (off_t)text.size;
	return 0;
}

static int open_file(struct ledger *ledger, struct err *err)
{
	ledger->fd = open(ledger->path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	/* What was torn goes away before anything is written behind it. */
	if (ledger->fd < 0 || ftruncate(ledger->fd, ledger->size) < 0)
		return err_set_errno(err, ERR_IO, errno, "cannot open '%s'", ledger->path);
	return 0;
}

struct ledger *ledger_open(const char *directory, struct err *err)
{
	AUTO(strbuf) struct strbuf path = STRBUF(ACCOUNTS_PATH_MAX + 16);
	struct ledger *ledger = alloc_zeroed(1, sizeof(*ledger));

	strbuf_printf(&path, "%s/ledger", directory);
	if (ledger) {
		ledger->fd = -1;
		ledger->path = strbuf_take(&path);
	}
	if (!ledger || !ledger->path) {
		ledger_close(ledger);
		err_set(err, ERR_MEMORY, "no room for the ledger");
		return NULL;
	}
	if (read_ledger(ledger, err) < 0 ||
	    (ledger->lines > ledger->count * 3 + SLACK_LINES && rewrite(ledger, err) < 0) ||
	    open_file(ledger, err) < 0) {
		ledger_close(ledger);
		return NULL;
	}
	return ledger;
}

void ledger_close(struct ledger *ledger)
{
	if (!ledger)
		return;
	for (size_t i = 0; i < ledger->count; i++)
		account_finish(&ledger->accounts[i]);
	free(ledger->accounts);
	if (ledger->fd >= 0)
		close(ledger->fd);
	free(ledger->path);
	free(ledger);
}
