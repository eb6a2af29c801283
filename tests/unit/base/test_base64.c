/* base64: one spelling of each value, and no byte that is none of its letters. */
#include <rolebridge/base/base64.h>

#include <string.h>

#include <rolebridge/base/util.h>

#include "cmocka_all.h"

/* RFC 4648, 10. */
static void test_good(void **state)
{
	static const struct {
		enum base64_kind kind;
		const char *text, *ignore, *bytes;
	} cases[] = {
		{ BASE64_PADDED, "", NULL, "" },
		{ BASE64_PADDED, "Zg==", NULL, "f" },
		{ BASE64_PADDED, "Zm8=", NULL, "fo" },
		{ BASE64_PADDED, "Zm9vYmFy", NULL, "foobar" },
		{ BASE64_PADDED, "++//", NULL, "\xfb\xef\xff" },
		{ BASE64_PADDED, "Zm9v\r\nYmFy\n", "\r\n", "foobar" },
		{ BASE64_URL, "Zg", NULL, "f" },
		{ BASE64_URL, "Zm9vYmE", NULL, "fooba" },
		{ BASE64_URL, "--__", NULL, "\xfb\xef\xff" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char bytes[16];
		size_t size = 99;

		assert_int_equal(base64_to_bytes(cases[i].kind, cases[i].text,
						 strlen(cases[i].text), cases[i].ignore, bytes,
						 sizeof(bytes), &size),
				 0);
		assert_int_equal(size, strlen(cases[i].bytes));
		assert_memory_equal(bytes, cases[i].bytes, size);
	}
}

static void test_bad(void **state)
{
	static const struct {
		enum base64_kind kind;
		const char *name, *text;
		size_t size, max;
	} cases[] = {
		{ BASE64_PADDED, "no padding", "Zg", 2, 16 },
		{ BASE64_PADDED, "too little padding", "Zg=", 3, 16 },
		{ BASE64_PADDED, "more behind padding", "Zg==Zg==", 8, 16 },
		{ BASE64_PADDED, "bits that are left", "Zh==", 4, 16 },
		{ BASE64_PADDED, "of the other alphabet", "-_-_", 4, 16 },
		{ BASE64_PADDED, "white space", "Zm9v YmFy", 9, 16 },
		{ BASE64_PADDED, "nul", "Zm9v\0", 5, 16 },
		{ BASE64_PADDED, "more than there is room for", "Zm9vYmFy", 8, 5 },
		{ BASE64_URL, "padding", "Zg==", 4, 16 },
		{ BASE64_URL, "bits that are left", "Zh", 2, 16 },
		{ BASE64_URL, "one letter", "Z", 1, 16 },
		{ BASE64_URL, "of the other alphabet", "+/+/", 4, 16 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char bytes[16];
		size_t size = 99;

		if (base64_to_bytes(cases[i].kind, cases[i].text, cases[i].size, NULL, bytes,
				    cases[i].max, &size) == 0)
			fail_msg("%s", cases[i].name);
		assert_int_equal(size, 99);
	}
}

/* A letter in the middle: 64 bytes of all, and each another value. */
static void test_each_byte(void **state)
{
	static const enum base64_kind kinds[] = { BASE64_PADDED, BASE64_URL };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		bool seen[64] = { false };
		int letters = 0;

		for (int byte = 0; byte < 256; byte++) {
			char text[] = "AAAA";
			unsigned char bytes[3];
			size_t size;

			text[1] = (char)byte;
			assert_int_equal(base64_letters(kinds[i], text, 4),
					 base64_to_bytes(kinds[i], text, 4, NULL, bytes,
							 sizeof(bytes), &size) == 0);
			if (!base64_letters(kinds[i], text, 4))
				continue;
			letters++;
			assert_false(seen[(bytes[0] & 3) << 4 | bytes[1] >> 4]);
			seen[(bytes[0] & 3) << 4 | bytes[1] >> 4] = true;
		}
		assert_int_equal(letters, 64);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_each_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
