/* The region that libxml2 allocates from: contents, order, its end, pieces given back twice. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <libxml/parser.h>

#include <rolebridge/base/util.h>

#include "../../../daemon/source/saml/memory.h"

#define PIECES 4096

static struct {
	unsigned char *memory;
	size_t size;
	unsigned char filled;
} pieces[PIECES];

static uint32_t draw(void)
{
	static uint32_t state = 1;

	state = state * 1664525u + 1013904223u;
	return state >> 8;
}

static void check_piece(size_t i)
{
	for (size_t k = 0; k < pieces[i].size; k++)
		assert_int_equal(pieces[i].memory[k], pieces[i].filled);
}

static void fill(size_t i)
{
	assert_non_null(pieces[i].memory);
	assert_int_equal((uintptr_t)pieces[i].memory % 16, 0);
	pieces[i].filled = (unsigned char)draw();
	memset(pieces[i].memory, pieces[i].filled, pieces[i].size);
}

/* More at a time than the region holds, so that both kinds are met. */
static void keeps_what_is_in_pieces(void **state UNUSED)
{
	for (size_t round = 0; round < 100000; round++) {
		size_t i = draw() % PIECES, size = draw() % (draw() % 8 ? 300 : 5000);

		if (!pieces[i].memory) {
			pieces[i].memory = memory_take(size);
			pieces[i].size = size;
			fill(i);
			continue;
		}
		check_piece(i);
		if (draw() % 2) {
			memory_give(pieces[i].memory);
			pieces[i].memory = NULL;
			continue;
		}
		if (size == 0)
			continue;
		pieces[i].memory = memory_resize(pieces[i].memory, size);
		pieces[i].size = size < pieces[i].size ? size : pieces[i].size;
		check_piece(i);
		pieces[i].size = size;
		fill(i);
	}
	for (size_t i = 0; i < PIECES; i++) {
		if (pieces[i].memory)
			check_piece(i);
		memory_give(pieces[i].memory);
		pieces[i].memory = NULL;
	}
}

static void takes_what_it_did_not_make(void **state UNUSED)
{
	char *foreign = malloc(32), *own = memory_resize(NULL, 20);

	memset(foreign, 'x', 32);
	foreign = memory_resize(foreign, 64);
	assert_int_equal(foreign[31], 'x');
	assert_false(memory_owns(foreign));
	memory_give(foreign);
	memory_give(NULL);
	memory_give(own);
#ifndef RB_SANITIZE
	assert_null(memory_take(SIZE_MAX));
	assert_null(memory_take(SIZE_MAX - 20));
#endif
}

static void serves_libxml2(void **state UNUSED)
{
	static const char xml[] = "<a b='c'><d>text</d></a>";

	for (int i = 0; i < 1000; i++) {
		xmlDoc *doc = xmlReadMemory(xml, sizeof(xml) - 1, NULL, NULL, XML_PARSE_NONET);
		xmlNode *root = xmlDocGetRootElement(doc);

		assert_non_null(root);
#ifndef RB_SANITIZE
		assert_true(memory_owns(root));
#endif
		xmlFreeDoc(doc);
	}
}

#ifndef RB_SANITIZE

static void give_twice(void)
{
	void *piece = memory_take(40);

	memory_give(piece);
	memory_give(piece);
}

static void give_overwritten(void)
{
	unsigned char *piece = memory_take(40);

	memset(piece - 16, 'x', 16);
	memory_give(piece);
}

static void resize_given(void)
{
	void *piece = memory_take(40);

	memory_give(piece);
	memory_resize(piece, 400);
}

/* A piece that is not one ends the process: nothing is made of it. */
static void ends_on_broken_pieces(void **state UNUSED)
{
	static void (*const breaks[])(void) = { give_twice, give_overwritten, resize_given };

	for (size_t i = 0; i < ARRAY_LEN(breaks); i++) {
		int status = 0;
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0) {
			setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
			signal(SIGABRT, SIG_DFL);
			breaks[i]();
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGABRT);
	}
}

static void has_an_end(void **state UNUSED)
{
	static void *taken[2048];
	size_t own = 0;

	for (size_t i = 0; i < ARRAY_LEN(taken); i++) {
		taken[i] = memory_take(2000);
		assert_non_null(taken[i]);
		own += memory_owns(taken[i]);
	}
	assert_true(own <= 1024 * 1024 / 2000);
	for (size_t i = 0; i < ARRAY_LEN(taken); i++)
		memory_give(taken[i]);
}

#endif

static int set_up(void **state UNUSED)
{
	struct err err;

	return memory_prepare(&err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(serves_libxml2),
		cmocka_unit_test(keeps_what_is_in_pieces),
		cmocka_unit_test(takes_what_it_did_not_make),
#ifndef RB_SANITIZE
		cmocka_unit_test(ends_on_broken_pieces),
		cmocka_unit_test(has_an_end),
#endif
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
