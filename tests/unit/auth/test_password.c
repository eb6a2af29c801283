/* Which passwords may be chosen: a table; lists from files; texts that say nothing of what they are about. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rolebridge/auth/password.h>
#include <rolebridge/base/alloc.h>
#include <rolebridge/base/util.h>

static const struct password_owner anna = { .username = "anna.schmidt",
					    .email = "a.schmidt@mail.example-corp.com",
					    .display_name = "Anna-Lena Schmidt",
					    .organization = "acme-bank" };

static struct password_policy *make_policy(int64_t min_length, const char *common_file)
{
	struct passwords_settings settings = { .min_length = min_length,
					       .common_file = { .text = common_file } };
	struct err err = { 0 };
	struct password_policy *policy = password_policy_create(&settings, &err);

	if (!policy)
		fail_msg("%s", err.text);
	return policy;
}

static const char *judge(struct password_policy *policy, const char *text,
			 const struct password_owner *owner)
{
	struct err err = { 0 };

	if (password_check(policy, text, strlen(text), owner, &err) == 0)
		return "fine";
	assert_int_equal(err.code, ERR_INVALID);
	if (text[0])
		assert_null(strstr(err.text, text));
	return err_reason(&err);
}

static void test_table(void **state)
{
	static const struct {
		const char *text, *verdict;
	} cases[] = {
		/* fine */
		{ "correct horse battery staple", "fine" },
		{ "tr0ub4dor&3xyzzy", "fine" },
		{ "kJ8#mQ2$vL5w", "fine" },
		{ "uibqzmwkfhxo", "fine" },
		{ "Zwölf Boxkämpfer", "fine" },
		{ "annapurna expedition", "fine" },
		{ "the schmidt who painted barns", "fine" },
		{ "passwords are a nuisance to me", "fine" },
		{ "пароль из четырёх слов", "fine" },
		{ "密码密語合言葉語彙十二文字", "fine" },
		/* length, in characters */
		{ "kJ8#mQ2$vL5", "password-too-short" },
		{ "öäüßöäüßöäü", "password-too-short" },
		{ "", "password-too-short" },
		/* no UTF-8 */
		{ "kJ8#mQ2$vL5w\xff", "invalid" },
		/* foreseeable */
		{ "aaaaaaaaaaaaaaaa", "password-too-common" },
		{ "abababababababab", "password-too-common" },
		{ "123456789012", "password-too-common" },
		{ "987654321098", "password-too-common" },
		{ "abcdefghijklm", "password-too-common" },
		{ "qwertyuiop[]", "password-too-common" },
		{ "qwertzuiop12", "password-too-common" },
		{ "1q2w3e4r5t6y", "password-too-common" },
		{ "qazwsxedcrfv", "password-too-common" },
		{ "abc123abc123", "password-too-common" },
		{ "xk9vxk9vxk9v", "password-too-common" },
		{ "asdfghjkl;123", "password-too-common" },
		/* repeated, also cut off, and what looks so for a while */
		{ "xk9vxk9vxk9vx", "password-too-common" },
		{ "uibqzmwkuibqzmwkuibq", "password-too-common" },
		{ "uibquibzuibquibz", "password-too-common" },
		{ "xk9v2xk9v3xk9v2xk9v3xk", "password-too-common" },
		{ "uibquibzuibquibx", "fine" },
		{ "uibqzmwkuibqzmwx", "fine" },
		{ "zmwkuibqzmwkuibqzmwk!", "fine" },
		{ "uibqzmwkfhxodjuibqzmwkfhxodj", "fine" },
		/* words with endings and in disguise */
		{ "password1234", "password-too-common" },
		{ "Password!!!!", "password-too-common" },
		{ "P@ssw0rd2024!", "password-too-common" },
		{ "1234password", "password-too-common" },
		{ "passwordpassword", "password-too-common" },
		{ "Pa55w0rdPa55w0rd", "password-too-common" },
		{ "iloveyouforever", "password-too-common" },
		{ "letmeinplease1", "password-too-common" },
		{ "administrator", "password-too-common" },
		{ "Administrator1!", "password-too-common" },
		{ "Summer-2024-Winter", "password-too-common" },
		{ "welcome home london", "password-too-common" },
		{ "love123monkey", "password-too-common" },
		{ "ＰＡＳＳＷＯＲＤ１２３４", "password-too-common" },
		{ "SommerSonne2024", "fine" },
		{ "passwort19991231", "password-too-common" },
		/* but not with an ending that is a secret of its own */
		{ "password83619472056", "fine" },
		/* names */
		{ "anna.schmidt", "password-is-name" },
		{ "AnnaSchmidt2024", "password-is-name" },
		{ "4nn4$chm1dt2024", "password-is-name" },
		{ "schmidtannalena", "password-is-name" },
		{ "acme-bank-2024", "password-is-name" },
		{ "ACMEbankACMEbank", "password-is-name" },
		{ "example-corp1", "password-is-name" },
		{ "a.schmidt@mail.example-corp.com", "password-is-name" },
		{ "schmidtPassword1", "password-is-name" },
		{ "schmidt-kJ8#mQ2$vL", "fine" },
	};
	AUTO(password_policy) struct password_policy *policy = make_policy(12, NULL);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *verdict = judge(policy, cases[i].text, &anna);

		if (strcmp(verdict, cases[i].verdict) != 0)
			fail_msg("'%s': %s instead of %s", cases[i].text, verdict,
				 cases[i].verdict);
	}
}

static void test_nobody_known(void **state)
{
	AUTO(password_policy) struct password_policy *policy = make_policy(12, NULL);
	const struct password_owner nobody = { 0 }, empty = { "", "", "", "" };

	(void)state;
	assert_string_equal(judge(policy, "annaschmidt2024x", &nobody), "fine");
	assert_string_equal(judge(policy, "annaschmidt2024x", &empty), "fine");
	assert_string_equal(judge(policy, "annaschmidt2024x", &anna), "password-is-name");
}

static void test_length(void **state)
{
	AUTO(password_policy) struct password_policy *policy = make_policy(8, NULL);
	char text[PASSWORD_MAX + 2];
	struct err err = { 0 };

	(void)state;
	assert_int_equal(password_min_length(policy), 8);
	assert_string_equal(judge(policy, "kJ8#mQ2$", &anna), "fine");
	assert_string_equal(judge(policy, "kJ8#mQ2", &anna), "password-too-short");
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)('!' + (i * i * 31 + i / 7) % 90);
	assert_int_equal(password_check(policy, text, PASSWORD_MAX, &anna, &err), 0);
	assert_int_equal(password_check(policy, text, PASSWORD_MAX + 1, &anna, &err), -1);
	assert_string_equal(err.reason, "password-too-long");
	text[5] = '\0';
	assert_int_equal(password_check(policy, text, 20, &anna, &err), -1);
	assert_string_equal(err_reason(&err), "invalid");
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fputs(text, file) < 0, 0);
	assert_int_equal(fclose(file), 0);
}

static void test_file(void **state)
{
	char path[] = "/tmp/rolebridge-common-XXXXXX";
	int fd = mkstemp(path);
	struct passwords_settings settings = { .min_length = 12, .common_file = { .text = path } };
	struct err err = { 0 };

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	write_file(path,
		   "Zuckerwatte\n\xff\xfe broken\nhüttenkäse\r\nh7-kq93-bz-42\n\nlast one here");

	AUTO(password_policy) struct password_policy *policy = make_policy(12, path);

	assert_string_equal(judge(policy, "zuckerwatte2024!", &anna), "password-too-common");
	assert_string_equal(judge(policy, "HÜTTENKÄSE1999", &anna), "password-too-common");
	assert_string_equal(judge(policy, "H7-KQ93-BZ-42", &anna), "password-too-common");
	assert_string_equal(judge(policy, "Last one here!", &anna), "password-too-common");
	assert_string_equal(judge(policy, "zuckerwatte und kuchen", &anna), "fine");
	/* A file that went missing leaves what was. */
	unlink(path);
	assert_int_equal(password_policy_configure(policy, &settings, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_string_equal(judge(policy, "zuckerwatte2024!", &anna), "password-too-common");
	settings.common_file.text = NULL;
	settings.min_length = 14;
	assert_int_equal(password_policy_configure(policy, &settings, &err), 0);
	assert_string_equal(judge(policy, "zuckerwatte2024!", &anna), "fine");
	assert_string_equal(judge(policy, "kJ8#mQ2$vL5w", &anna), "password-too-short");
}

/* Out of memory anywhere: an error, never "fine". */
static void test_no_memory(void **state)
{
	AUTO(password_policy) struct password_policy *policy = make_policy(12, NULL);
	bool failed = true;

	(void)state;
	for (long n = 0; failed; n++) {
		struct err err = { 0 };
		int status;

		alloc_fail_after(n);
		status = password_check(policy, "AnnaSchmidt2024", 15, &anna, &err);
		failed = alloc_fail_after(-1) < 0;
		assert_int_equal(status, -1);
		if (failed)
			assert_int_equal(err.code, ERR_MEMORY);
		else
			assert_string_equal(err.reason, "password-is-name");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),	  cmocka_unit_test(test_nobody_known),
		cmocka_unit_test(test_length),	  cmocka_unit_test(test_file),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
