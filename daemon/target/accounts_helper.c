/*
 * The core's end of the talk with the accounts helper. Enters: questions. Leaves: its answers, each read to the last
 * byte. Fails: with the connection; nothing is known then of what was not answered, and is asked again.
 */
#include "accounts_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/local_socket.h>
#include <rolebridge/base/util.h>

#define LOOK_MS 200
#define QUESTIONS_MAX ((size_t)8 * 1024 * 1024)

struct helper {
	int fd;
	struct message_stream *stream;
	struct strbuf questions;
	struct helper_patience patience;
};

/* Who does not read must not hold up the thread for ever. */
static int connect_to(const char *path, int answer_ms, int *ret_fd, struct err *err)
{
	if (local_socket_connect(path, answer_ms, ret_fd, err) < 0)
		return err_wrap(err, "cannot reach the accounts helper");
	return 0;
}

/* In small pieces, so that the daemon can end. */
static int wait_for_answer(struct helper *helper, struct err *err)
{
	int64_t until_us = clock_monotonic_us() + helper->patience.answer_ms * INT64_C(1000);
	struct pollfd wait = { .fd = helper->fd, .events = POLLIN };

	while (!message_pending(helper->stream)) {
		int ready = poll(&wait, 1, LOOK_MS);

		if (ready > 0)
			return 0;
		if (ready < 0 && errno != EINTR)
			return err_set_errno(err, ERR_IO, errno, "cannot wait for the helper");
		if (helper->patience.cancelled(helper->patience.context))
			return err_set(err, ERR_CANCELLED, "asked to stop");
		if (clock_monotonic_us() >= until_us)
			return err_set(err, ERR_UNAVAILABLE, "the accounts helper does not answer");
	}
	return 0;
}

static int receive(struct helper *helper, struct message *ret_message, struct err *err)
{
	int64_t until_us = clock_monotonic_us() + helper->patience.answer_ms * INT64_C(1000);
	int got;

	if (wait_for_answer(helper, err) < 0)
		return -1;
	got = message_receive(helper->stream, until_us, ret_message, NULL, err);
	if (got < 0)
		return err_wrap(err, "the accounts helper");
	if (got == 0)
		return err_set(err, ERR_UNAVAILABLE, "the accounts helper hung up");
	return 0;
}

int helper_send(struct helper *helper, struct err *err)
{
	int result;

	if (strbuf_failed(&helper->questions))
		return err_set(err, ERR_MEMORY, "no memory for questions to the accounts helper");
	if (helper->questions.size == 0)
		return 0;
	result = message_send(helper->fd, &helper->questions, -1, err);
	strbuf_clear(&helper->questions);
	return result < 0 ? err_wrap(err, "the accounts helper") : 0;
}

/* A refusal to talk comes as a result: that of another version, or of another user than it serves. */
static int greet(struct helper *helper, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(ACCOUNTS_ANSWER_MAX);
	struct accounts_welcome welcome;
	struct accounts_result result;
	struct message message;

	accounts_put_hello(&helper->questions, ACCOUNTS_VERSION);
	if (!arena)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (helper_send(helper, err) < 0 || receive(helper, &message, err) < 0)
		return -1;
	if (message.type == ACCOUNTS_RESULT) {
		if (accounts_get_result(&message, arena, &result, err) == 0)
			err_set(err, ERR_UNAVAILABLE, "the accounts helper refuses to talk: %s",
				result.detail[0] ? result.detail : result.code);
		return -1;
	}
	if (accounts_get_welcome(&message, &welcome, err) < 0)
		return -1;
	if (welcome.version != ACCOUNTS_VERSION)
		return err_set(err, ERR_UNAVAILABLE, "the accounts helper is of another version");
	return 0;
}

struct helper *helper_open(const char *path, const struct helper_patience *patience,
			   struct err *err)
{
	struct helper *helper = calloc(1, sizeof(*helper));

	if (!helper) {
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	helper->patience = *patience;
	helper->questions = STRBUF(QUESTIONS_MAX);
	helper->fd = -1;
	if (connect_to(path, patience->answer_ms, &helper->fd, err) == 0) {
		helper->stream = message_stream_create(helper->fd, ACCOUNTS_ANSWER_MAX);
		if (!helper->stream)
			err_set(err, ERR_MEMORY, "out of memory");
		else if (greet(helper, err) == 0)
			return helper;
	}
	helper_close(helper);
	return NULL;
}

struct helper *helper_open_for(const struct target_call *call, struct err *err)
{
	const struct helper_patience patience = { .answer_ms = HELPER_ANSWER_MS,
						  .cancelled = call->cancelled,
						  .context = call->context };

	return helper_open(target_of(call)->socket.text, &patience, err);
}

void helper_close(struct helper *helper)
{
	if (!helper)
		return;
	message_stream_destroy(helper->stream);
	if (helper->fd >= 0)
		close(helper->fd);
	strbuf_finish(&helper->questions);
	free(helper);
}

struct strbuf *helper_questions(struct helper *helper)
{
	return &helper->questions;
}

int helper_result(struct helper *helper, struct arena *arena, struct accounts_result *ret_result,
		  struct err *err)
{
	struct message message;

	return receive(helper, &message, err) < 0
		       ? -1
		       : accounts_get_result(&message, arena, ret_result, err);
}

/* Who goes on after the last one would never come to an end otherwise. */
static int check_order(const struct uuid *after, const struct accounts_page *page, struct err *err)
{
	struct uuid last = *after;

	for (size_t i = 0; i < page->count; i++) {
		if (memcmp(&page->entries[i].user, &last, sizeof(last)) <= 0)
			return err_set(err, ERR_PROTOCOL,
				       "the accounts helper's list is out of order");
		last = page->entries[i].user;
	}
	if (page->more && page->count == 0)
		return err_set(err, ERR_PROTOCOL, "the accounts helper's list has no end");
	return 0;
}

int helper_list(struct helper *helper, const struct uuid *after, uint32_t max, struct arena *arena,
		struct accounts_page *ret_page, struct err *err)
{
	struct accounts_list list = { .after = *after, .max = max };
	struct accounts_page page;
	struct message message;

	accounts_put_list(&helper->questions, &list);
	if (helper_send(helper, err) < 0 || receive(helper, &message, err) < 0 ||
	    accounts_get_page(&message, arena, &page, err) < 0 ||
	    check_order(after, &page, err) < 0)
		return -1;
	*ret_page = page;
	return 0;
}

/* The largest one that is smaller: a list goes on after it. All zero stays, which is from the first. */
static struct uuid uuid_before(const struct uuid *uuid)
{
	struct uuid before = *uuid;

	for (size_t i = sizeof(before.byte); i-- > 0;)
		if (before.byte[i]-- != 0)
			return before;
	return *uuid;
}

int helper_find(struct helper *helper, const struct uuid *user, struct arena *arena,
		struct accounts_entry *ret_entry, struct err *err)
{
	struct uuid after = uuid_before(user);
	struct accounts_page page;

	if (helper_list(helper, &after, 1, arena, &page, err) < 0)
		return -1;
	if (page.count == 0 || memcmp(&page.entries[0].user, user, sizeof(*user)) != 0)
		return 0;
	*ret_entry = page.entries[0];
	return 1;
}
