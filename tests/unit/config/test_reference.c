/* What is generated from tables: schema, manual, help. Golden parts, and rules for all rows. */
#include "sample.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/util.h>

static void assert_contains(const struct strbuf *text, const char *part)
{
	if (!strstr(strbuf_text(text), part))
		fail_msg("missing\n%s\nin\n%s", part, strbuf_text(text));
}

static void test_schema(void **state)
{
	AUTO(strbuf) struct strbuf text = STRBUF(1024 * 1024);
	AUTO(strbuf) struct strbuf again = STRBUF(1024 * 1024);

	(void)state;
	options_print_schema(&sample_table, &text);
	options_print_schema(&sample_table, &again);
	assert_false(strbuf_failed(&text));
	assert_string_equal(strbuf_text(&text), strbuf_text(&again));
	assert_contains(&text, "{\n"
			       "  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n"
			       "  \"title\": \"sample.yaml\",\n"
			       "  \"description\": \"A sample. It has every type.\",\n"
			       "  \"type\": [\"object\", \"null\"],\n"
			       "  \"properties\": {\n"
			       "    \"title\": {\n"
			       "      \"description\": \"Shown above.\",\n"
			       "      \"type\": [\"string\", \"number\", \"boolean\", \"null\"],\n"
			       "      \"maxLength\": 40,\n"
			       "      \"default\": \"untitled\"\n"
			       "    },\n");
	assert_contains(&text, "    \"port\": {\n"
			       "      \"description\": \"Where it listens.\",\n"
			       "      \"type\": [\"integer\", \"null\"],\n"
			       "      \"minimum\": 1,\n"
			       "      \"maximum\": 65535,\n"
			       "      \"default\": 8080\n"
			       "    },\n"
			       "    \"level\": {\n"
			       "      \"description\": \"How much.\",\n"
			       "      \"enum\": [\"low\", \"medium\", \"high\", null],\n"
			       "      \"default\": \"medium\"\n"
			       "    },\n");
	assert_contains(&text, "          \"default\": [\"root\", \"o'hara\"]\n");
	assert_contains(&text, "            \"required\": [\"type\", \"servers\", \"name\"],\n"
			       "            \"properties\": {\n"
			       "              \"type\": {\n"
			       "                \"const\": \"ldap\"\n"
			       "              },\n");
	assert_contains(&text, "                \"pattern\": \"^([0-9]+|(?=.)([0-9]+w)?([0-9]+d)?"
			       "([0-9]+h)?([0-9]+m)?([0-9]+s)?)$\",\n"
			       "                \"default\": \"5m\"\n");
	assert_contains(&text, "          \"expires\": {\n"
			       "            \"description\": \"Last day, UTC.\",\n"
			       "            \"type\": [\"string\", \"null\"],\n"
			       "            \"pattern\": \"^[0-9]{4}-[0-9]{2}-[0-9]{2}$\"\n"
			       "          },\n");
	/* required and not empty: nothing behind the colon is no grant */
	assert_contains(&text, "          \"grant\": {\n"
			       "            \"description\": \"What it gives.\",\n"
			       "            \"type\": \"object\",\n"
			       "            \"minProperties\": 1,\n");
	assert_contains(&text, "    \"include\": {\n");
	assert_contains(&text, "  \"additionalProperties\": false\n}\n");
}

static void test_mdoc(void **state)
{
	AUTO(strbuf) struct strbuf text = STRBUF(1024 * 1024);

	(void)state;
	options_print_mdoc(&sample_table, &text);
	assert_false(strbuf_failed(&text));
	assert_contains(&text, ".Ss \"sample.yaml\"\n"
			       "A sample.\n"
			       "It has every type.\n"
			       ".Bl -tag -width Ds\n"
			       ".It Ic \"title\" Pq \"text, default untitled\"\n"
			       "Shown above.\n");
	assert_contains(&text, ".It Ic \"level\" Pq \"word: low, medium, high, default medium\"\n");
	assert_contains(&text, ".It Ic \"admins\" Pq \"list of texts, default [root, "
			       "\\(dqo'hara\\(dq]\"\n");
	assert_contains(&text, "Lines starting with\n\\&.dots and \"quotes\" or C:\\e are nothing "
			       "special.\n.El\n");
	assert_contains(&text, ".Ss \"sources[] of type ldap\"\n");
	assert_contains(&text, ".It Ic \"include\" ");
}

static void test_help(void **state)
{
	AUTO(strbuf) struct strbuf text = STRBUF(1024 * 1024);
	const char *grant, *rules;

	(void)state;
	options_print_help(&sample_table, &text);
	assert_false(strbuf_failed(&text));
	assert_contains(&text, "sample.yaml\n"
			       "  A sample. It has every type.\n"
			       "\n"
			       "  title (text, default untitled)\n"
			       "      Shown above.\n");
	assert_contains(&text, "  interval (duration, 30s to 1d, default 5m)\n");
	assert_contains(&text, "  body (size, 1KiB to 1MiB, default 64KiB)\n");
	assert_contains(&text,
			"      The file. Lines starting with .dots and \"quotes\" or C:\\ are "
			"nothing\n      special.\n");
	/* what a table names follows it */
	rules = strstr(strbuf_text(&text), "\nrules[]\n");
	grant = strstr(strbuf_text(&text), "\nrules[].grant\n");
	assert_true(rules && grant && rules < grant);
	/* the rows all variants have are said once */
	assert_null(strstr(strstr(strbuf_text(&text), "interval (") + 1, "interval ("));
}

static void test_no_room(void **state)
{
	AUTO(strbuf) struct strbuf text = STRBUF(100);

	(void)state;
	options_print_schema(&sample_table, &text);
	assert_true(strbuf_failed(&text));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_schema),
		cmocka_unit_test(test_mdoc),
		cmocka_unit_test(test_help),
		cmocka_unit_test(test_no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
