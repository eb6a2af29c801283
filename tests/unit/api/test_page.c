/* What the page helpers write: nothing of what they are given becomes markup, and what belongs together is tied. */
#include "../../../daemon/api/page.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rolebridge/base/util.h>

#define HOSTILE "<script>alert('1')</script>\" onload=\"x&amp;\n"

static struct http_response response;

static const char *text(void)
{
	return strbuf_text(&response.body);
}

static size_t count(const char *what)
{
	size_t found = 0;

	for (const char *at = strstr(text(), what); at; at = strstr(at + 1, what))
		found++;
	return found;
}

static int begin(void **state)
{
	(void)state;
	response = (struct http_response){ .body = STRBUF(HTTP_RESPONSE_MAX) };
	return 0;
}

static int end(void **state)
{
	(void)state;
	strbuf_finish(&response.body);
	return 0;
}

static const struct page_field hostile_field = { .name = HOSTILE,
						 .label = HOSTILE,
						 .id = HOSTILE,
						 .type = HOSTILE,
						 .value = HOSTILE,
						 .autocomplete = HOSTILE,
						 .inputmode = HOSTILE,
						 .hint = HOSTILE,
						 .error = HOSTILE };
static const struct page_choice hostile_choices[] = { { HOSTILE, HOSTILE, HOSTILE },
						      { HOSTILE, HOSTILE, NULL } };

static void write_all(const char *evil)
{
	const char *const cells[] = { evil, evil };

	page_begin_with(&response, &(struct page){ .title = evil,
						   .problem = evil,
						   .done = evil,
						   .user = evil,
						   .wide = true,
						   .script = "post.js" });
	page_text(&response, "p", evil);
	page_small(&response, evil);
	page_notice(&response, PAGE_WARNING, evil);
	page_link(&response, evil, evil);
	page_link_button(&response, evil, evil);
	page_section_begin(&response, evil);
	page_section_end(&response);
	page_code(&response, evil, evil);
	page_svg(&response, evil, evil);
	page_facts_begin(&response);
	page_fact(&response, evil, evil);
	page_facts_end(&response);
	page_list_begin(&response, evil);
	page_item_begin(&response, evil, evil);
	page_item_end(&response);
	page_list_end(&response);
	page_table_begin(&response, cells, ARRAY_LEN(cells));
	page_table_row(&response, evil, cells, ARRAY_LEN(cells));
	page_table_end(&response);
	page_form_begin(&response, evil, evil);
	page_hidden(&response, evil, evil);
	page_field(&response, &hostile_field);
	page_username(&response, evil);
	page_check(&response, evil, evil, evil, true);
	page_choices(&response, evil, evil, hostile_choices, ARRAY_LEN(hostile_choices), evil);
	page_button(&response, PAGE_BUTTON_DANGER, evil, evil, evil, evil);
	page_button_form(&response, evil, evil, PAGE_BUTTON_OTHER, evil, evil);
	page_form_end(&response);
	page_end(&response);
	page_go_on(&response, evil);
}

static void test_nothing_becomes_markup(void **state)
{
	(void)state;
	write_all(HOSTILE);
	assert_false(response.failed);
	assert_null(strstr(text(), "<script>"));
	assert_null(strstr(text(), "alert('"));
	assert_null(strstr(text(), "\" onload"));
	/* Escaped once, not twice, nor passed as it came. */
	assert_non_null(strstr(text(), "x&amp;amp;"));
	assert_int_equal(count("<h1>"), 2);
	assert_int_equal(count("<html"), 2);
}

/* Texts that were made without memory. */
static void test_nothing_is_written_for_nothing(void **state)
{
	(void)state;
	page_begin(&response, NULL);
	page_text(&response, "p", NULL);
	page_link(&response, NULL, NULL);
	page_code(&response, NULL, NULL);
	page_svg(&response, NULL, NULL);
	page_notice(&response, PAGE_BAD, NULL);
	page_go_on(&response, NULL);
	assert_null(strstr(text(), "(null)"));
}

static const struct {
	const char *name;
	struct page_field field;
	const char *there[4], *absent[4];
} field_cases[] = {
	{ "plain",
	  { .name = "a", .label = "A" },
	  { "<label class=\"form-label\" for=\"a\">A</label>", "id=\"a\"", " required" },
	  { "aria-describedby", "autofocus", "aria-invalid", "value=" } },
	{ "hint",
	  { .name = "a", .label = "A", .hint = "H" },
	  { " aria-describedby=\"a-hint\"", "id=\"a-hint\">H<" },
	  { "a-error", "aria-invalid" } },
	{ "error",
	  { .name = "a", .label = "A", .error = "E" },
	  { " aria-describedby=\"a-error\"", "id=\"a-error\">E<", " aria-invalid=\"true\"",
	    " autofocus" },
	  { "a-hint" } },
	{ "both",
	  { .name = "a", .label = "A", .hint = "H", .error = "E" },
	  { " aria-describedby=\"a-error a-hint\"", "id=\"a-error\"", "id=\"a-hint\"" },
	  { NULL } },
	{ "a name that stands twice",
	  { .name = "a", .id = "b", .label = "A", .hint = "H" },
	  { "name=\"a\"", "id=\"b\"", "for=\"b\"", "aria-describedby=\"b-hint\"" },
	  { "id=\"a\"" } },
	{ "optional",
	  { .name = "a", .label = "A", .optional = true, .focus = true },
	  { " autofocus" },
	  { "required" } },
	{ "lengths",
	  { .name = "a", .label = "A", .min = 12, .max = 1024 },
	  { " minlength=\"12\"", " maxlength=\"1024\"" },
	  { NULL } },
};

static void test_what_belongs_to_a_field_is_tied_to_it(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(field_cases); i++) {
		begin(state);
		page_field(&response, &field_cases[i].field);
		for (size_t n = 0; n < 4 && field_cases[i].there[n]; n++) {
			if (!strstr(text(), field_cases[i].there[n]))
				fail_msg("%s: no %s in %s", field_cases[i].name,
					 field_cases[i].there[n], text());
		}
		for (size_t n = 0; n < 4 && field_cases[i].absent[n]; n++) {
			if (strstr(text(), field_cases[i].absent[n]))
				fail_msg("%s: %s in %s", field_cases[i].name,
					 field_cases[i].absent[n], text());
		}
		end(state);
	}
}

static void test_a_problem_is_told_in_the_title_and_at_once(void **state)
{
	(void)state;
	page_begin_with(&response, &(struct page){ .title = "T", .problem = "P" });
	assert_non_null(strstr(text(), "<title>Problem: T</title>"));
	assert_non_null(strstr(text(), "role=\"alert\">P</div>"));
	assert_non_null(strstr(text(), "<h1>T</h1>"));
}

static void test_forms_carry_their_token(void **state)
{
	(void)state;
	page_form_begin(&response, NULL, NULL);
	assert_null(strstr(text(), "csrf"));
	page_form_begin(&response, "/there", "tok");
	assert_non_null(strstr(text(), "<form method=\"post\" action=\"/there\">"));
	assert_non_null(strstr(text(), "name=\"csrf\" value=\"tok\""));
}

static void test_assets_have_their_content_in_their_address(void **state)
{
	(void)state;
	page_asset_url(&response, "style.css");
	assert_false(response.failed);
	assert_int_equal(strlen(text()), strlen("/.rolebridge/style-0123456789abcdef.css"));
	assert_int_equal(strncmp(text(), "/.rolebridge/style-", 19), 0);
	assert_string_equal(text() + strlen(text()) - 4, ".css");
	/* A page that names one that is not there is no page. */
	page_asset_url(&response, "nothing.css");
	assert_true(response.failed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_nothing_becomes_markup, begin, end),
		cmocka_unit_test_setup_teardown(test_nothing_is_written_for_nothing, begin, end),
		cmocka_unit_test(test_what_belongs_to_a_field_is_tied_to_it),
		cmocka_unit_test_setup_teardown(test_a_problem_is_told_in_the_title_and_at_once,
						begin, end),
		cmocka_unit_test_setup_teardown(test_forms_carry_their_token, begin, end),
		cmocka_unit_test_setup_teardown(test_assets_have_their_content_in_their_address,
						begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
