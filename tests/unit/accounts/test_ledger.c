/* The ledger: what it says after each step and after every cut of its file. */
#include "../../../daemon/accounts/ledger.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/file.h>
#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/util.h>

#include "../base/cmocka_all.h"

#define FILE_MAX (1 << 20)

struct place {
	char folder[64], file[80];
};

static int make_place(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	snprintf(place->folder, sizeof(place->folder), "/tmp/ledger-XXXXXX");
	assert_non_null(mkdtemp(place->folder));
	snprintf(place->file, sizeof(place->file), "%s/ledger", place->folder);
	*state = place;
	return 0;
}

static int remove_place(void **state)
{
	struct place *place = *state;

	unlink(place->file);
	rmdir(place->folder);
	free(place);
	return 0;
}

static struct uuid user(unsigned char number)
{
	return (struct uuid){ { number, 1, 2 } };
}

static struct account *claim(struct ledger *ledger, unsigned char number, const char *name,
			     uint32_t uid)
{
	struct uuid id = user(number);
	struct account *account = NULL;
	char home[64];
	struct err err = { 0 };

	snprintf(home, sizeof(home), "/home/%s", name);
	if (ledger_claim(ledger, &id, name, uid, home, &account, &err) < 0)
		fail_msg("%s", err.text);
	return account;
}

static struct ledger *open_ledger(const struct place *place)
{
	struct err err = { 0 };
	struct ledger *ledger = ledger_open(place->folder, &err);

	if (!ledger)
		fail_msg("%s", err.text);
	return ledger;
}

/* A bit of everything. */
static void live(struct ledger *ledger)
{
	struct account *a = claim(ledger, 5, "anna", 70000);

	assert_int_equal(ledger_made(ledger, a, NULL), 0);
	assert_int_equal(ledger_disable(ledger, a, 17000, true, NULL), 0);

	/* Smaller than the first: the array moves. */
	struct account *b = claim(ledger, 3, "bea", 70001);

	assert_int_equal(ledger_disable(ledger, b, EXPIRE_NONE, false, NULL), 0);
	assert_int_equal(ledger_enable(ledger, b, NULL), 0);

	struct account *c = claim(ledger, 9, "carl", 70005);

	assert_int_equal(ledger_delete(ledger, c, 1234567, NULL), 0);
	assert_int_equal(ledger_archived(ledger, c, NULL), 0);

	struct account *d = claim(ledger, 8, "dora", 70006);

	assert_int_equal(ledger_delete(ledger, d, 99, NULL), 0);
	assert_int_equal(ledger_archived(ledger, d, NULL), 0);
	assert_int_equal(ledger_keep(ledger, d, NULL), 0);

	struct account *e = claim(ledger, 7, "emil", 70007);

	assert_int_equal(ledger_gone(ledger, e, NULL), 0);
}

static void check_lived(struct ledger *ledger)
{
	size_t count;
	const struct account *all = ledger_accounts(ledger, &count);

	assert_int_equal(count, 5);
	assert_int_equal(ledger_owned(ledger), 4);
	assert_string_equal(all[0].name, "bea");
	assert_false(all[0].disabled);
	assert_false(all[0].made);
	assert_string_equal(all[1].name, "anna");
	assert_string_equal(all[1].home, "/home/anna");
	assert_int_equal(all[1].uid, 70000);
	assert_true(all[1].made && all[1].disabled && all[1].locked_before);
	assert_int_equal(all[1].expire_before, 17000);
	assert_true(all[2].gone);
	assert_int_equal(all[3].delete_s, 0);
	assert_false(all[3].archived);
	assert_true(all[4].archived);
	assert_int_equal(all[4].delete_s, 1234567);
	assert_ptr_equal(ledger_find_name(ledger, "emil"), &all[2]);
	assert_ptr_equal(ledger_find_uid(ledger, 70006), &all[3]);
	assert_ptr_equal(ledger_find_home(ledger, "/home/carl"), &all[4]);
	assert_null(ledger_find_name(ledger, "none"));
	assert_int_equal(ledger_last_uid(ledger, 70000, 70005), 70005);
	assert_int_equal(ledger_last_uid(ledger, 1, 2), 0);

	struct uuid nobody = user(4);

	assert_null(ledger_find(ledger, &nobody));
}

static void test_same_after_reading(void **state)
{
	struct place *place = *state;

	{
		AUTO(ledger) struct ledger *ledger = open_ledger(place);

		live(ledger);
		check_lived(ledger);
	}
	for (unsigned i = 0; i < 2; i++) {
		AUTO(ledger) struct ledger *ledger = open_ledger(place);

		check_lived(ledger);
	}

	struct stat status;

	assert_int_equal(stat(place->file, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0600);
}

static void test_claimed_once(void **state)
{
	AUTO(ledger) struct ledger *ledger = open_ledger(*state);
	struct account *account;
	struct uuid first = user(1), second = user(2);

	claim(ledger, 1, "anna", 70000);
	assert_int_equal(ledger_claim(ledger, &first, "bea", 70001, "/home/bea", &account, NULL),
			 -1);
	assert_int_equal(ledger_claim(ledger, &second, "anna", 70001, "/home/bea", &account, NULL),
			 -1);
	assert_int_equal(ledger_claim(ledger, &second, "bea", 70000, "/home/bea", &account, NULL),
			 -1);
}

static void write_file(const struct place *place, const char *data, size_t size)
{
	int fd = open(place->file, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_int_equal(write(fd, data, size), size);
	close(fd);
}

static size_t count_lines(const char *data, size_t size)
{
	size_t lines = 0;

	for (size_t i = 0; i < size; i++)
		lines += data[i] == '\n';
	return lines;
}

/* Cut anywhere it is what it was some whole lines ago, and goes on from there. */
static void test_every_cut(void **state)
{
	struct place *place = *state;
	AUTO(strbuf) struct strbuf whole = STRBUF(FILE_MAX);

	{
		AUTO(ledger) struct ledger *ledger = open_ledger(place);

		live(ledger);
	}
	assert_int_equal(file_read(place->file, FILE_MAX, &whole, NULL), 0);
	for (size_t cut = 0; cut < whole.size; cut++) {
		AUTO(ledger) struct ledger *ledger = NULL;
		AUTO(strbuf) struct strbuf now = STRBUF(FILE_MAX);

		write_file(place, whole.data, cut);
		ledger = ledger_open(place->folder, NULL);
		/* The head is written before the file has its name. */
		assert_int_equal(ledger != NULL, count_lines(whole.data, cut) > 0);
		if (!ledger)
			continue;
		claim(ledger, 200, "zoe", 79999);
		assert_int_equal(file_read(place->file, FILE_MAX, &now, NULL), 0);
		assert_int_equal(count_lines(now.data, now.size), count_lines(whole.data, cut) + 1);
		ledger_close(ledger);
		ledger = open_ledger(place);
		assert_non_null(ledger_find_name(ledger, "zoe"));
	}
}

/* A changed byte is found: in the last line it is a torn line, anywhere else the file is refused. */
static void test_every_byte(void **state)
{
	struct place *place = *state;
	AUTO(strbuf) struct strbuf whole = STRBUF(FILE_MAX);

	{
		AUTO(ledger) struct ledger *ledger = open_ledger(place);

		live(ledger);
	}
	assert_int_equal(file_read(place->file, FILE_MAX, &whole, NULL), 0);

	size_t last = whole.size - 1;

	while (whole.data[last - 1] != '\n')
		last--;
	for (size_t i = 0; i < whole.size; i++) {
		AUTO(ledger) struct ledger *ledger = NULL;

		whole.data[i] ^= 1;
		write_file(place, whole.data, whole.size);
		ledger = ledger_open(place->folder, NULL);
		/* An end of line that is gone before the last line joins two of them. */
		if (i + 1 == last)
			assert_true(!ledger || !ledger_find_uid(ledger, 70007));
		else if (i < last)
			assert_null(ledger);
		else
			assert_false(ledger_find_uid(ledger, 70007)->gone);
		whole.data[i] ^= 1;
	}
}

static const struct {
	const char *name, *line;
} foreign[] = {
	{ "claim without home", "claim 05010200-0000-0000-0000-000000000000 70000 anna" },
	{ "claim of root", "claim 05010200-0000-0000-0000-000000000000 0 anna /home/anna" },
	{ "claim of nobody",
	  "claim 05010200-0000-0000-0000-000000000000 4294967295 anna /home/anna" },
	{ "claim of a path", "claim 05010200-0000-0000-0000-000000000000 70000 ../x /home/x" },
	{ "claim of a relative home",
	  "claim 05010200-0000-0000-0000-000000000000 70000 anna home" },
	{ "without a claim", "made 05010200-0000-0000-0000-000000000000" },
	{ "not a user", "made 0501" },
	{ "unknown verb", "forget 03010200-0000-0000-0000-000000000000" },
	{ "one word", "made" },
	{ "too many words", "made 03010200-0000-0000-0000-000000000000 x" },
	{ "time that is none", "delete 03010200-0000-0000-0000-000000000000 soon" },
	{ "flag that is none", "disable 03010200-0000-0000-0000-000000000000 -1 2" },
	{ "claimed twice", "claim 03010200-0000-0000-0000-000000000000 70001 bea /home/bea" },
};

static uint32_t crc32_slow(const char *text)
{
	uint32_t crc = ~0u;

	for (; *text; text++)
		for (unsigned bit = 0; bit < 8; bit++) {
			unsigned low = (crc ^ ((unsigned char)*text >> bit)) & 1;

			crc = (crc >> 1) ^ (low ? 0xedb88320 : 0);
		}
	return ~crc;
}

/* With a good checksum and no sense: somebody else's file, or a newer one. */
static void test_what_it_does_not_understand(void **state)
{
	struct place *place = *state;

	for (size_t i = 0; i < ARRAY_LEN(foreign); i++) {
		static const char first[] =
			"claim 03010200-0000-0000-0000-000000000000 69999 first /home/first";
		AUTO(strbuf) struct strbuf text = STRBUF(4096);
		AUTO(ledger) struct ledger *ledger = NULL;
		struct err err = { 0 };

		strbuf_printf(&text, "rolebridge-accounts 1\n%08x %s\n%08x %s\n", crc32_slow(first),
			      first, crc32_slow(foreign[i].line), foreign[i].line);
		write_file(place, text.data, text.size);
		ledger = ledger_open(place->folder, &err);
		if (ledger)
			fail_msg("%s", foreign[i].name);
		assert_int_equal(err.code, ERR_INVALID);
		assert_non_null(strstr(err.text, "line 3"));
	}
}

/* What could not be written whole was never said. */
static void test_no_space(void **state)
{
	struct place *place = *state;
	AUTO(ledger) struct ledger *ledger = open_ledger(place);
	struct account *account = claim(ledger, 1, "anna", 70000);
	struct rlimit before, small;
	struct stat status;
	struct err err = { 0 };
	struct uuid other = user(2);

	assert_int_equal(stat(place->file, &status), 0);
	getrlimit(RLIMIT_FSIZE, &before);
	small = before;
	small.rlim_cur = (rlim_t)status.st_size + 20;
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &small);
	assert_int_equal(ledger_disable(ledger, account, 5, true, &err), -1);
	assert_string_equal(err.reason, "disk-full");
	assert_false(account->disabled);
	assert_int_equal(ledger_claim(ledger, &other, "bea", 70001, "/home/bea", &account, &err),
			 -1);
	assert_null(ledger_find(ledger, &other));
	setrlimit(RLIMIT_FSIZE, &before);
	account = ledger_find(ledger, &(struct uuid){ { 1, 1, 2 } });
	assert_int_equal(ledger_disable(ledger, account, 5, true, &err), 0);
	ledger_close(ledger);
	ledger = open_ledger(place);
	assert_true(ledger_find_name(ledger, "anna")->disabled);
}

static void test_no_memory(void **state)
{
	struct place *place = *state;
	bool failed = true;

	for (long n = 0; failed; n++) {
		AUTO(ledger) struct ledger *ledger = NULL;
		struct account *account;
		struct uuid id = user(1);

		unlink(place->file);
		alloc_fail_after(n);
		ledger = ledger_open(place->folder, NULL);
		if (ledger &&
		    ledger_claim(ledger, &id, "anna", 70000, "/home/anna", &account, NULL) == 0)
			failed = ledger_disable(ledger, account, 1, false, NULL) < 0;
		alloc_fail_after(-1);
		assert_true(n < 1000);
	}
}

/* Many changes of few accounts: the next start writes it anew, short. */
static void test_written_anew(void **state)
{
	struct place *place = *state;
	struct stat before, after;

	{
		AUTO(ledger) struct ledger *ledger = open_ledger(place);

		live(ledger);
	}

	AUTO(strbuf) struct strbuf text = STRBUF(FILE_MAX);
	static const char on[] = "disable 05010200-0000-0000-0000-000000000000 17000 1";
	uint32_t checksum = crc32_slow(on);

	assert_int_equal(file_read(place->file, FILE_MAX, &text, NULL), 0);
	for (unsigned i = 0; i < 5000; i++)
		strbuf_printf(&text, "%08x %s\n", checksum, on);
	write_file(place, text.data, text.size);
	assert_int_equal(stat(place->file, &before), 0);
	for (unsigned i = 0; i < 2; i++) {
		AUTO(ledger) struct ledger *ledger = open_ledger(place);

		check_lived(ledger);
		assert_int_equal(stat(place->file, &after), 0);
		assert_true(after.st_size < 2000 && before.st_size > 100000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define WITH_PLACE(test) cmocka_unit_test_setup_teardown(test, make_place, remove_place)
		WITH_PLACE(test_same_after_reading),
		WITH_PLACE(test_claimed_once),
		WITH_PLACE(test_every_cut),
		WITH_PLACE(test_every_byte),
		WITH_PLACE(test_what_it_does_not_understand),
		WITH_PLACE(test_no_space),
		WITH_PLACE(test_no_memory),
		WITH_PLACE(test_written_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
