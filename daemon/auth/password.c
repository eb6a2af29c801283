/*
 * Judging new passwords. Enter: a text, and whose it is to be. Leave: fine, or a refusal with a reason. Fails for want
 * of memory, and at loading the file of further words.
 *
 * A password is too common when what is not foreseeable in it is little: one that repeats a short text or runs along
 * the alphabet, the digits or a keyboard; or up to three common words with an ending that is no longer than a date,
 * however letters are dressed up as digits. It is a name when little is left after the owner's names are taken out of it.
 *
 * What is judged is the text as caseIgnoreMatch compares it; working copies lie on the stack and are wiped.
 */
#include <rolebridge/auth/password.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/file.h>
#include <rolebridge/base/hash.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

#include "common.h"
#include "period.h"

#define FILE_MAX ((size_t)64 * 1024 * 1024)
#define WORDS_MAX ((size_t)8 * 1024 * 1024)
#define WORD_LENGTH_MIN 3
#define WORD_LENGTH_MAX 32
#define WORDS_TOGETHER 3
#define LETTERS_MAX 48 /* longer ones are no three words */
#define ENDING_MAX 8   /* characters that cannot be foreseen: a date */
#define LEFT_MIN 8     /* the same, beside names */
#define DISTINCT_MIN 5
#define FORESEEABLE_MAX 6
#define NAMES_MAX 32
#define FOLDED_MAX PERIOD_TEXT_MAX

enum { WORD_OURS = 1, WORD_OF_FILE = 2 };

struct words {
	struct hash_table *table;
	size_t min_length;
};

struct password_policy {
	pthread_rwlock_t lock;
	struct words words;
};

/* Code points of a text that is folded. */
struct chars {
	size_t count;
	uint32_t at[FOLDED_MAX];
};

/* --- characters --- */

static void chars_of(const char *text, size_t size, struct chars *ret_chars)
{
	ret_chars->count = 0;
	while (size > 0 && ret_chars->count < FOLDED_MAX) {
		size_t step = text_next_char(text, size, &ret_chars->at[ret_chars->count]);

		if (step == 0)
			return;
		ret_chars->count++;
		text += step;
		size -= step;
	}
}

static bool is_digit(uint32_t c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(uint32_t c)
{
	return (c >= 'a' && c <= 'z') || c >= 0x80;
}

/* Letters that look alike, and what stands for them, as one. 0: for no letter. */
static uint32_t plain(uint32_t c)
{
	static const char from[] = "1!|l0@4385$67+29", to[] = "iiiioaaebssgttzg";
	const char *found = c > 0 && c < 0x80 ? strchr(from, (int)c) : NULL;

	if (found)
		return (unsigned char)to[found - from];
	return is_letter(c) ? c : 0;
}

/* Its place on a keyboard; neighbours differ by one, rows are apart. 0: none. */
static uint32_t key_of(uint32_t c)
{
	static const char keys[] = "1234567890-=  qwertyuiop[]  asdfghjkl;'  zxcvbnm,./";
	const char *found = c > 0x20 && c < 0x80 ? strchr(keys, (int)c) : NULL;

	return found ? (uint32_t)(found - keys) + 1 : 0;
}

/* c follows b as b followed a: the same again, one further, or one back, in the alphabet or on the keyboard. */
static bool goes_on(uint32_t a, uint32_t b, uint32_t c)
{
	uint32_t step = b - a, key_a = key_of(a), key_b = key_of(b), key_c = key_of(c);

	if (c - b == step && step + 1 <= 2)
		return true;
	return key_a && key_b && key_c && key_b - key_a == key_c - key_b && key_b - key_a + 1 <= 2;
}

/* Characters that do not follow from those before, one, two or three places back (1q2w3e, qazwsx). */
static size_t count_unforeseen(const uint32_t *at, size_t count)
{
	size_t unforeseen = 0;

	for (size_t i = 0; i < count; i++) {
		bool foreseen = false;

		for (size_t back = 1; back <= 3 && 2 * back <= i && !foreseen; back++)
			foreseen = goes_on(at[i - 2 * back], at[i - back], at[i]);
		unforeseen += !foreseen;
	}
	return unforeseen;
}

/* --- the text alone --- */

static size_t count_distinct(const struct chars *chars)
{
	size_t distinct = 0;

	for (size_t i = 0; i < chars->count && distinct < DISTINCT_MIN; i++) {
		size_t j = 0;

		while (j < i && chars->at[j] != chars->at[i])
			j++;
		distinct += j == i;
	}
	return distinct;
}

static bool is_foreseeable(const struct chars *chars, size_t min_length)
{
	size_t period = period_find(chars->at, chars->count, NULL);
	size_t unforeseen = count_unforeseen(chars->at, chars->count);

	return count_distinct(chars) < DISTINCT_MIN ||
	       (period < chars->count && period < min_length) ||
	       (unforeseen <= FORESEEABLE_MAX && 2 * unforeseen <= chars->count);
}

/* --- words --- */

static struct hash128 word_key(char kind, const uint32_t *letters, size_t count)
{
	uint32_t text[WORD_LENGTH_MAX + 1];
	struct hash128 key;

	text[0] = (unsigned char)kind;
	memcpy(text + 1, letters, count * sizeof(*letters));
	key = fingerprint128(text, (count + 1) * sizeof(*text));
	sodium_memzero(text, sizeof(text));
	return key;
}

/* 0, WORD_OURS or WORD_OF_FILE. */
static uint32_t word_kind(const struct words *words, const uint32_t *letters, size_t count)
{
	uint32_t kind = 0;

	if (count >= WORD_LENGTH_MIN && count <= WORD_LENGTH_MAX)
		hash_table_get(words->table, word_key('w', letters, count), &kind);
	return kind;
}

/* Is it so many common words and nothing else? */
static bool is_words(const struct words *words, const uint32_t *letters, size_t count,
		     unsigned left)
{
	if (word_kind(words, letters, count) == WORD_OURS)
		return true;
	for (size_t size = WORD_LENGTH_MIN; left > 1 && size + WORD_LENGTH_MIN <= count; size++) {
		if (word_kind(words, letters, size) == WORD_OURS &&
		    is_words(words, letters + size, count - size, left - 1))
			return true;
	}
	return false;
}

static bool is_common_stem(const struct words *words, const uint32_t *letters, size_t count)
{
	return word_kind(words, letters, count) != 0 ||
	       (count <= LETTERS_MAX && is_words(words, letters, count, WORDS_TOGETHER));
}

/* The part from first to end with look-alikes read as letters; others in it are left out. */
static bool is_dressed_word(const struct words *words, const struct chars *chars, size_t first,
			    size_t end)
{
	uint32_t letters[PASSWORD_MAX];
	size_t count = 0;
	bool found;

	if (end <= first || end - first > PASSWORD_MAX)
		return false;
	if (count_unforeseen(chars->at, first) +
		    count_unforeseen(chars->at + end, chars->count - end) >
	    ENDING_MAX)
		return false;
	for (size_t i = first; i < end; i++) {
		letters[count] = plain(chars->at[i]);
		count += letters[count] != 0;
	}
	found = is_common_stem(words, letters, count);
	sodium_memzero(letters, count * sizeof(*letters));
	return found;
}

/* Its letters alone, wherever digits and signs stand among them. */
static bool is_scattered_word(const struct words *words, const struct chars *chars)
{
	uint32_t letters[PASSWORD_MAX] = { 0 }, others[PASSWORD_MAX] = { 0 };
	size_t count = 0, other_count = 0;
	bool found;

	if (chars->count > PASSWORD_MAX)
		return false;
	for (size_t i = 0; i < chars->count; i++) {
		if (is_letter(chars->at[i]))
			letters[count++] = plain(chars->at[i]);
		else
			others[other_count++] = chars->at[i];
	}
	found = count_unforeseen(others, other_count) <= ENDING_MAX &&
		is_common_stem(words, letters, count);
	sodium_memzero(letters, count * sizeof(*letters));
	sodium_memzero(others, other_count * sizeof(*others));
	return found;
}

static bool is_listed(const struct words *words, const struct chars *chars)
{
	uint32_t kind = 0;

	return chars->count <= WORD_LENGTH_MAX &&
	       hash_table_get(words->table, word_key('=', chars->at, chars->count), &kind);
}

static bool is_common(const struct words *words, const struct chars *chars)
{
	size_t first = 0, end = chars->count, signless = chars->count;

	while (first < end && !is_letter(chars->at[first]))
		first++;
	while (end > first && !is_letter(chars->at[end - 1]))
		end--;
	while (signless > end && !is_digit(chars->at[signless - 1]))
		signless--;
	return is_foreseeable(chars, words->min_length) || is_listed(words, chars) ||
	       is_scattered_word(words, chars) || is_dressed_word(words, chars, first, end) ||
	       is_dressed_word(words, chars, 0, end) ||
	       is_dressed_word(words, chars, first, signless) ||
	       is_dressed_word(words, chars, 0, chars->count);
}

/* --- names --- */

struct names {
	size_t count;
	struct {
		size_t size;
		uint32_t letters[WORD_LENGTH_MAX];
	} at[NAMES_MAX];
};

static void add_name(struct names *names, const uint32_t *letters, size_t count)
{
	if (count < WORD_LENGTH_MIN || count > WORD_LENGTH_MAX || names->count == NAMES_MAX)
		return;
	memcpy(names->at[names->count].letters, letters, count * sizeof(*letters));
	names->at[names->count++].size = count;
}

/* Each word of a name, with look-alikes as letters. */
static int add_names(struct names *names, const char *text, size_t size, struct err *err)
{
	AUTO(strbuf) struct strbuf folded = STRBUF(FOLDED_MAX);
	uint32_t word[WORD_LENGTH_MAX + 1], c;
	size_t count = 0;

	text_fold(&folded, text, size);
	if (strbuf_failed(&folded))
		return folded.size < FOLDED_MAX / 2 ? err_set(err, ERR_MEMORY, "out of memory") : 0;
	for (size_t i = 0, step; i <= folded.size; i += step ? step : 1) {
		bool is_inside;

		step = i < folded.size ? text_next_char(folded.data + i, folded.size - i, &c) : 0;
		is_inside = step && (is_letter(c) || is_digit(c));
		if (is_inside && count <= WORD_LENGTH_MAX)
			word[count++] = plain(c) ? plain(c) : c;
		if (!is_inside) {
			add_name(names, word, count);
			count = 0;
		}
	}
	return 0;
}

/* An address by its local part and what stands before its last dot: the top level is no name. */
static int add_address(struct names *names, const char *email, struct err *err)
{
	const char *dot = strrchr(email, '.');

	return add_names(names, email,
			 dot && strchr(email, '@') ? (size_t)(dot - email) : strlen(email), err);
}

static int collect_names(const struct password_owner *owner, struct names *names, struct err *err)
{
	const char *const texts[] = { owner->username, owner->display_name, owner->organization };

	names->count = 0;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		if (texts[i] && strlen(texts[i]) <= PASSWORD_MAX &&
		    add_names(names, texts[i], strlen(texts[i]), err) < 0)
			return -1;
	}
	if (!owner->email || strlen(owner->email) > PASSWORD_MAX)
		return 0;
	return add_address(names, owner->email, err);
}

static bool stands_at(const struct chars *chars, size_t i, const uint32_t *letters, size_t size)
{
	if (size > chars->count - i)
		return false;
	for (size_t j = 0; j < size; j++) {
		uint32_t c = chars->at[i + j];

		if ((plain(c) ? plain(c) : c) != letters[j])
			return false;
	}
	return true;
}

/* The longest name that begins there; 0: none. */
static size_t name_at(const struct names *names, const struct chars *chars, size_t i)
{
	size_t longest = 0;

	for (size_t n = 0; n < names->count; n++) {
		if (names->at[n].size > longest &&
		    stands_at(chars, i, names->at[n].letters, names->at[n].size))
			longest = names->at[n].size;
	}
	return longest;
}

/* What is left of chars without the names and what holds them together. */
static void take_out(const struct names *names, const struct chars *chars, struct chars *ret_left)
{
	ret_left->count = 0;
	for (size_t i = 0; i < chars->count;) {
		size_t size = name_at(names, chars, i);
		uint32_t c = chars->at[i];

		if (size == 0 && (c > 0x7f || !strchr(" ._-@+", (int)c)))
			ret_left->at[ret_left->count++] = c;
		i += size ? size : 1;
	}
}

static int judge_names(const struct words *words, const struct chars *chars,
		       const struct password_owner *owner, struct chars *left, struct err *err)
{
	struct names names;
	bool has_name = false;

	if (collect_names(owner, &names, err) < 0)
		return -1;
	for (size_t i = 0; i < chars->count && !has_name; i++)
		has_name = name_at(&names, chars, i) > 0;
	if (!has_name)
		return 0;
	take_out(&names, chars, left);
	if (count_unforeseen(left->at, left->count) >= LEFT_MIN && !is_common(words, left))
		return 0;
	return err_refuse(err, ERR_INVALID, "password-is-name",
			  "the password is a name of yours, or of where you work, and little else");
}

/* --- judging --- */

struct work {
	struct chars chars, left;
	char folded[FOLDED_MAX + 1];
};

static int judge_folded(const struct words *words, struct work *work,
			const struct password_owner *owner, struct err *err)
{
	if (judge_names(words, &work->chars, owner, &work->left, err) < 0)
		return -1;
	if (!is_common(words, &work->chars))
		return 0;
	return err_refuse(err, ERR_INVALID, "password-too-common",
			  "the password is one of the first that would be guessed");
}

/* Folds into work; the buffer of strbuf is wiped before it is given back. */
static int fold(const char *text, size_t size, struct work *work, struct err *err)
{
	struct strbuf folded = STRBUF(FOLDED_MAX);
	bool failed;

	/* At once, so that no copy stays behind where it grew. */
	(void)strbuf_reserve(&folded, FOLDED_MAX - 1);
	text_fold(&folded, text, size);
	failed = strbuf_failed(&folded);
	if (!failed)
		chars_of(strbuf_text(&folded), folded.size, &work->chars);
	if (folded.data)
		sodium_memzero(folded.data, folded.capacity);
	strbuf_finish(&folded);
	return failed ? err_set(err, ERR_MEMORY, "out of memory") : 0;
}

static int check_length(const char *text, size_t size, size_t min_length, struct err *err)
{
	size_t count = 0;

	if (size > PASSWORD_MAX)
		return err_refuse(err, ERR_INVALID, "password-too-long",
				  "a password has at most %d bytes", PASSWORD_MAX);
	for (size_t i = 0, step; i < size; i += step, count++) {
		step = text_next_char(text + i, size - i, NULL);
		if (step == 0 || text[i] == '\0')
			return err_set(err, ERR_INVALID, "a password is UTF-8 text without NUL");
	}
	if (count < min_length)
		return err_refuse(err, ERR_INVALID, "password-too-short",
				  "a password has at least %zu characters", min_length);
	return 0;
}

int password_check(struct password_policy *policy, const char *text, size_t size,
		   const struct password_owner *owner, struct err *err)
{
	struct work *work;
	int status;

	pthread_rwlock_rdlock(&policy->lock);
	status = check_length(text, size, policy->words.min_length, err);
	work = status == 0 ? sodium_malloc(sizeof(*work)) : NULL;
	if (status == 0 && !work)
		status = err_set(err, ERR_MEMORY, "out of memory");
	if (status == 0)
		status = fold(text, size, work, err);
	if (status == 0)
		status = judge_folded(&policy->words, work, owner, err);
	pthread_rwlock_unlock(&policy->lock);
	sodium_free(work);
	return status;
}

size_t password_min_length(struct password_policy *policy)
{
	size_t min_length;

	pthread_rwlock_rdlock(&policy->lock);
	min_length = policy->words.min_length;
	pthread_rwlock_unlock(&policy->lock);
	return min_length;
}

/* --- the words in force --- */

static int put_word(struct words *words, char kind, const uint32_t *letters, size_t count,
		    uint32_t value, struct err *err)
{
	uint32_t *slot;
	int put;

	if (count < WORD_LENGTH_MIN || count > WORD_LENGTH_MAX)
		return 0;
	put = hash_table_put(words->table, word_key(kind, letters, count), &slot);
	if (put < 0)
		return err_set(err, ERR_MEMORY, "no room for so many words");
	if (put > 0)
		*slot = value;
	return 0;
}

static int put_plain(struct words *words, const struct chars *chars, uint32_t value,
		     struct err *err)
{
	uint32_t letters[WORD_LENGTH_MAX];
	size_t count = 0;

	for (size_t i = 0; i < chars->count; i++) {
		uint32_t c = plain(chars->at[i]);

		if (!c)
			continue;
		if (count == WORD_LENGTH_MAX)
			return 0;
		letters[count++] = c;
	}
	return put_word(words, 'w', letters, count, value, err);
}

static int load_ours(struct words *words, struct chars *chars, struct err *err)
{
	for (size_t i = 0; common_words[i]; i++) {
		const char *at = common_words[i];

		while (*at) {
			size_t size = strcspn(at, " ");

			chars_of(at, size, chars);
			if (put_plain(words, chars, WORD_OURS, err) < 0)
				return -1;
			at += size + (at[size] == ' ');
		}
	}
	return 0;
}

/* What is no UTF-8, or longer than any password, is passed over: such lists are what they are. */
static int load_line(struct words *words, const char *line, size_t size, struct chars *chars,
		     struct err *err)
{
	AUTO(strbuf) struct strbuf folded = STRBUF(FOLDED_MAX);

	if (size > PASSWORD_MAX || !text_is_utf8(line, size))
		return 0;
	text_fold(&folded, line, size);
	if (strbuf_failed(&folded))
		return err_set(err, ERR_MEMORY, "out of memory");
	chars_of(strbuf_text(&folded), folded.size, chars);
	if (put_word(words, '=', chars->at, chars->count, WORD_OF_FILE, err) < 0)
		return -1;
	return put_plain(words, chars, WORD_OF_FILE, err);
}

static int load_file(struct words *words, const char *path, struct chars *chars, struct err *err)
{
	AUTO(strbuf) struct strbuf text = STRBUF(FILE_MAX);

	if (file_read(path, FILE_MAX, &text, err) < 0)
		return err_wrap(err, "passwords.common_file");
	for (size_t i = 0; i < text.size;) {
		const char *line = text.data + i;
		const char *end = memchr(line, '\n', text.size - i);
		size_t size = end ? (size_t)(end - line) : text.size - i;

		if (load_line(words, line, size, chars, err) < 0)
			return err_wrap(err, "common passwords '%s'", path);
		i += size + 1;
	}
	return 0;
}

static int words_load(const struct passwords_settings *settings, struct words *ret_words,
		      struct err *err)
{
	struct words words = { .table = hash_table_create(2048, WORDS_MAX),
			       .min_length = (size_t)settings->min_length };
	struct chars *chars = alloc_zeroed(1, sizeof(*chars));
	int status = words.table && chars ? load_ours(&words, chars, err)
					  : err_set(err, ERR_MEMORY, "out of memory");

	if (status == 0 && settings->common_file.text)
		status = load_file(&words, settings->common_file.text, chars, err);
	free(chars);
	if (status < 0)
		hash_table_destroy(words.table);
	else
		*ret_words = words;
	return status;
}

struct password_policy *password_policy_create(const struct passwords_settings *settings,
					       struct err *err)
{
	struct password_policy *policy = alloc_zeroed(1, sizeof(*policy));

	if (!policy) {
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	if (words_load(settings, &policy->words, err) < 0) {
		free(policy);
		return NULL;
	}
	pthread_rwlock_init(&policy->lock, NULL);
	return policy;
}

void password_policy_destroy(struct password_policy *policy)
{
	if (!policy)
		return;
	pthread_rwlock_destroy(&policy->lock);
	hash_table_destroy(policy->words.table);
	free(policy);
}

int password_policy_configure(struct password_policy *policy,
			      const struct passwords_settings *settings, struct err *err)
{
	struct words words, old;

	if (words_load(settings, &words, err) < 0)
		return -1;
	pthread_rwlock_wrlock(&policy->lock);
	old = policy->words;
	policy->words = words;
	pthread_rwlock_unlock(&policy->lock);
	hash_table_destroy(old.table);
	return 0;
}
