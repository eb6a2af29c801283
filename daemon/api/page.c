/*
 * Pages for people: few, plain, whole without scripts. Enters: texts, never trusted. Leaves: HTML in Bootstrap's classes.
 * Every text is escaped here.
 */
#include "page.h"

#include <string.h>

#include "site.h"

static void text_add(struct strbuf *out, const char *text)
{
	/* NULL: out of memory where it was made. */
	http_html_escape(out, text ? text : "");
}

static void attribute_add(struct strbuf *out, const char *name, const char *value)
{
	strbuf_printf(out, " %s=\"", name);
	text_add(out, value);
	strbuf_putc(out, '"');
}

/* ------------------------------------------------------------------- the page -- */

static void head_add(struct http_response *response, const struct page *page)
{
	struct strbuf *out = &response->body;

	strbuf_puts(out,
		    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
		    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
		    "<meta name=\"color-scheme\" content=\"light dark\">\n"
		    "<link rel=\"icon\" href=\"data:,\">\n<link rel=\"stylesheet\" href=\"");
	page_asset_url(response, "bootstrap.css");
	strbuf_puts(out, "\">\n<link rel=\"stylesheet\" href=\"");
	page_asset_url(response, "style.css");
	strbuf_puts(out, "\">\n");
	if (page->script) {
		strbuf_puts(out, "<script defer src=\"");
		page_asset_url(response, page->script);
		strbuf_puts(out, "\"></script>\n");
	}
	strbuf_puts(out, page->problem ? "<title>Problem: " : "<title>");
	text_add(out, page->title);
	strbuf_puts(out, "</title></head>\n");
}

static void user_add(struct strbuf *out, const char *user)
{
	strbuf_puts(out,
		    "<header><nav class=\"page-head\" aria-label=\"Account\"><span class=\"who\">");
	text_add(out, user);
	strbuf_puts(out, "</span><a href=\"/\">Start</a><a href=\"/security\">Security</a>"
			 "<a href=\"/logout\">Sign out</a></nav></header>\n");
}

void page_begin_with(struct http_response *response, const struct page *page)
{
	struct strbuf *out = &response->body;

	response->content_type = "text/html; charset=utf-8";
	head_add(response, page);
	strbuf_puts(out, "<body>\n");
	if (page->user)
		user_add(out, page->user);
	strbuf_printf(out,
		      "<main class=\"container page%s\"><div class=\"card shadow-sm\">"
		      "<div class=\"card-body\">\n",
		      page->wide ? " wide" : "");
	page_text(response, "h1", page->title);
	if (page->problem)
		page_notice(response, PAGE_BAD, page->problem);
	if (page->done)
		page_notice(response, PAGE_GOOD, page->done);
}

void page_begin(struct http_response *response, const char *title)
{
	page_begin_with(response, &(struct page){ .title = title });
}

void page_end(struct http_response *response)
{
	strbuf_puts(&response->body, "</div></div></main>\n</body></html>\n");
}

void page_text(struct http_response *response, const char *tag, const char *text)
{
	struct strbuf *out = &response->body;

	strbuf_printf(out, "<%s>", tag);
	text_add(out, text);
	strbuf_printf(out, "</%s>\n", tag);
}

void page_small(struct http_response *response, const char *text)
{
	strbuf_puts(&response->body, "<p class=\"quiet\">");
	text_add(&response->body, text);
	strbuf_puts(&response->body, "</p>\n");
}

void page_notice(struct http_response *response, enum page_tone tone, const char *text)
{
	static const char *const tones[] = {
		[PAGE_INFO] = "alert-info\" role=\"note",
		[PAGE_GOOD] = "alert-success\" role=\"status",
		[PAGE_WARNING] = "alert-warning\" role=\"note",
		[PAGE_BAD] = "alert-danger\" role=\"alert",
	};

	strbuf_printf(&response->body, "<div class=\"alert %s\">", tones[tone]);
	text_add(&response->body, text);
	strbuf_puts(&response->body, "</div>\n");
}

static void link_add(struct strbuf *out, const char *class, const char *url, const char *text)
{
	strbuf_puts(out, "<p><a");
	if (class)
		attribute_add(out, "class", class);
	attribute_add(out, "href", url);
	strbuf_putc(out, '>');
	text_add(out, text);
	strbuf_puts(out, "</a></p>\n");
}

void page_link_button(struct http_response *response, const char *url, const char *text)
{
	link_add(&response->body, "btn btn-primary", url, text);
}

void page_link(struct http_response *response, const char *url, const char *text)
{
	link_add(&response->body, NULL, url, text);
}

void page_section_begin(struct http_response *response, const char *heading)
{
	strbuf_puts(&response->body, "<section>\n");
	page_text(response, "h2", heading);
}

void page_section_end(struct http_response *response)
{
	strbuf_puts(&response->body, "</section>\n");
}

void page_code(struct http_response *response, const char *label, const char *code)
{
	struct strbuf *out = &response->body;

	strbuf_puts(out, "<p>");
	if (label) {
		text_add(out, label);
		strbuf_puts(out, " ");
	}
	strbuf_puts(out, "<code class=\"code\">");
	text_add(out, code);
	strbuf_puts(out, "</code></p>\n");
}

void page_svg(struct http_response *response, const char *svg, const char *alt)
{
	struct strbuf *out = &response->body;

	strbuf_puts(out, "<img class=\"picture\"");
	attribute_add(out, "alt", alt);
	strbuf_puts(out, " src=\"data:image/svg+xml,");
	http_url_escape(out, svg ? svg : "");
	strbuf_puts(out, "\">\n");
}

/* -------------------------------------------------------------------- lists -- */

void page_facts_begin(struct http_response *response)
{
	strbuf_puts(&response->body, "<dl>\n");
}

void page_fact(struct http_response *response, const char *name, const char *value)
{
	page_text(response, "dt", name);
	page_text(response, "dd", value);
}

void page_facts_end(struct http_response *response)
{
	strbuf_puts(&response->body, "</dl>\n");
}

void page_list_begin(struct http_response *response, const char *label)
{
	strbuf_puts(&response->body, "<ul class=\"items\"");
	attribute_add(&response->body, "aria-label", label);
	strbuf_puts(&response->body, ">\n");
}

void page_item_begin(struct http_response *response, const char *name, const char *detail)
{
	struct strbuf *out = &response->body;

	strbuf_puts(out, "<li><div class=\"name\">");
	text_add(out, name);
	strbuf_puts(out, "</div>\n");
	if (detail)
		page_small(response, detail);
	strbuf_puts(out, "<div class=\"ways\">\n");
}

void page_item_end(struct http_response *response)
{
	strbuf_puts(&response->body, "</div></li>\n");
}

void page_list_end(struct http_response *response)
{
	strbuf_puts(&response->body, "</ul>\n");
}

void page_table_begin(struct http_response *response, const char *const *columns, size_t count)
{
	struct strbuf *out = &response->body;

	strbuf_puts(out, "<table>\n<thead><tr>");
	for (size_t i = 0; i < count; i++) {
		strbuf_puts(out, "<th scope=\"col\">");
		text_add(out, columns[i]);
		strbuf_puts(out, "</th>");
	}
	strbuf_puts(out, "</tr></thead>\n<tbody>\n");
}

void page_table_row(struct http_response *response, const char *tone, const char *const *cells,
		    size_t count)
{
	struct strbuf *out = &response->body;

	strbuf_puts(out, "<tr>");
	for (size_t i = 0; i < count; i++) {
		strbuf_puts(out, "<td");
		if (tone && i == 0)
			attribute_add(out, "class", tone);
		strbuf_putc(out, '>');
		text_add(out, cells[i]);
		strbuf_puts(out, "</td>");
	}
	strbuf_puts(out, "</tr>\n");
}

void page_table_end(struct http_response *response)
{
	strbuf_puts(&response->body, "</tbody></table>\n");
}

/* -------------------------------------------------------------------- forms -- */

void page_form_begin(struct http_response *response, const char *action, const char *csrf)
{
	struct strbuf *out = &response->body;

	strbuf_puts(out, "<form method=\"post\"");
	if (action)
		attribute_add(out, "action", action);
	strbuf_puts(out, ">\n");
	if (csrf)
		page_hidden(response, "csrf", csrf);
}

void page_form_end(struct http_response *response)
{
	strbuf_puts(&response->body, "</form>\n");
}

void page_hidden(struct http_response *response, const char *name, const char *value)
{
	struct strbuf *out = &response->body;

	strbuf_puts(out, "<input type=\"hidden\"");
	attribute_add(out, "name", name);
	attribute_add(out, "value", value);
	strbuf_puts(out, ">\n");
}

/* What else a field says of itself, to those who see it and to those who do not. */
static void field_attributes(struct strbuf *out, const struct page_field *field)
{
	if (field->value)
		attribute_add(out, "value", field->value);
	if (field->autocomplete)
		attribute_add(out, "autocomplete", field->autocomplete);
	if (field->inputmode)
		attribute_add(out, "inputmode", field->inputmode);
	if (field->min)
		strbuf_printf(out, " minlength=\"%zu\"", field->min);
	if (field->max)
		strbuf_printf(out, " maxlength=\"%zu\"", field->max);
	if (!field->optional)
		strbuf_puts(out, " required");
	if (field->code || field->exact)
		strbuf_puts(out, " autocapitalize=\"none\" spellcheck=\"false\"");
	if (field->error)
		strbuf_puts(out, " aria-invalid=\"true\"");
	if (field->error || field->focus)
		strbuf_puts(out, " autofocus");
}

/* The label's text is in the page's language; what follows it belongs to it by the ids. */
static void field_note(struct strbuf *out, const char *class, const char *id, const char *ending,
		       const char *text)
{
	strbuf_printf(out, "<div class=\"%s\" id=\"", class);
	text_add(out, id);
	strbuf_printf(out, "%s\">", ending);
	text_add(out, text);
	strbuf_puts(out, "</div>\n");
}

static void described_by(struct strbuf *out, const struct page_field *field, const char *id)
{
	if (!field->error && !field->hint)
		return;
	strbuf_puts(out, " aria-describedby=\"");
	if (field->error) {
		text_add(out, id);
		strbuf_puts(out, field->hint ? "-error " : "-error");
	}
	if (field->hint) {
		text_add(out, id);
		strbuf_puts(out, "-hint");
	}
	strbuf_putc(out, '"');
}

void page_field(struct http_response *response, const struct page_field *field)
{
	struct strbuf *out = &response->body;
	const char *id = field->id ? field->id : field->name;

	strbuf_puts(out, "<div class=\"mb-3\"><label class=\"form-label\"");
	attribute_add(out, "for", id);
	strbuf_putc(out, '>');
	text_add(out, field->label);
	strbuf_printf(out, "</label>\n<input class=\"form-control%s%s\"",
		      field->code ? " code" : "", field->error ? " is-invalid" : "");
	attribute_add(out, "type", field->type ? field->type : "text");
	attribute_add(out, "name", field->name);
	attribute_add(out, "id", id);
	field_attributes(out, field);
	described_by(out, field, id);
	strbuf_puts(out, ">\n");
	if (field->error)
		field_note(out, "invalid-feedback", id, "-error", field->error);
	if (field->hint)
		field_note(out, "form-text", id, "-hint", field->hint);
	strbuf_puts(out, "</div>\n");
}

void page_username(struct http_response *response, const char *username)
{
	struct strbuf *out = &response->body;

	strbuf_puts(out,
		    "<input type=\"text\" name=\"username\" autocomplete=\"username\" readonly "
		    "hidden");
	attribute_add(out, "value", username);
	strbuf_puts(out, ">\n");
}

/* A box or a radio button: id is name and value. */
static void tick_add(struct strbuf *out, const char *type, const char *name, const char *value,
		     bool checked, bool described)
{
	strbuf_puts(out, "<div class=\"form-check mb-2\"><input class=\"form-check-input\"");
	attribute_add(out, "type", type);
	attribute_add(out, "name", name);
	attribute_add(out, "value", value);
	strbuf_puts(out, " id=\"");
	text_add(out, name);
	strbuf_putc(out, '-');
	text_add(out, value);
	strbuf_putc(out, '"');
	if (described) {
		strbuf_puts(out, " aria-describedby=\"");
		text_add(out, name);
		strbuf_putc(out, '-');
		text_add(out, value);
		strbuf_puts(out, "-hint\"");
	}
	strbuf_puts(out, checked ? " checked>\n" : ">\n");
}

static void tick_label(struct strbuf *out, const char *name, const char *value, const char *label)
{
	strbuf_puts(out, "<label class=\"form-check-label\" for=\"");
	text_add(out, name);
	strbuf_putc(out, '-');
	text_add(out, value);
	strbuf_puts(out, "\">");
	text_add(out, label);
	strbuf_puts(out, "</label>\n");
}

void page_check(struct http_response *response, const char *name, const char *value,
		const char *label, bool checked)
{
	tick_add(&response->body, "checkbox", name, value, checked, false);
	tick_label(&response->body, name, value, label);
	strbuf_puts(&response->body, "</div>\n");
}

void page_choices(struct http_response *response, const char *name, const char *question,
		  const struct page_choice *choices, size_t count, const char *chosen)
{
	struct strbuf *out = &response->body;

	strbuf_puts(out, "<fieldset class=\"mb-3\"><legend class=\"fs-6\">");
	text_add(out, question);
	strbuf_puts(out, "</legend>\n");
	for (size_t i = 0; i < count; i++) {
		const struct page_choice *choice = &choices[i];

		tick_add(out, "radio", name, choice->value,
			 chosen && strcmp(chosen, choice->value) == 0, choice->hint != NULL);
		tick_label(out, name, choice->value, choice->label);
		if (choice->hint) {
			strbuf_puts(out, "<div class=\"form-text\" id=\"");
			text_add(out, name);
			strbuf_putc(out, '-');
			text_add(out, choice->value);
			strbuf_puts(out, "-hint\">");
			text_add(out, choice->hint);
			strbuf_puts(out, "</div>\n");
		}
		strbuf_puts(out, "</div>\n");
	}
	strbuf_puts(out, "</fieldset>\n");
}

void page_submit(struct http_response *response, const char *label)
{
	page_button(response, PAGE_BUTTON_MAIN, label, NULL, NULL, NULL);
}

void page_button(struct http_response *response, enum page_button kind, const char *label,
		 const char *what, const char *name, const char *value)
{
	static const char *const kinds[] = {
		[PAGE_BUTTON_MAIN] = "btn-primary",
		[PAGE_BUTTON_OTHER] = "btn-outline-secondary",
		[PAGE_BUTTON_DANGER] = "btn-danger",
	};
	struct strbuf *out = &response->body;

	strbuf_printf(out, "<button type=\"submit\" class=\"btn %s\"", kinds[kind]);
	if (name) {
		attribute_add(out, "name", name);
		attribute_add(out, "value", value);
	}
	strbuf_putc(out, '>');
	text_add(out, label);
	if (what) {
		strbuf_puts(out, "<span class=\"visually-hidden\"> ");
		text_add(out, what);
		strbuf_puts(out, "</span>");
	}
	strbuf_puts(out, "</button>\n");
}

void page_button_form(struct http_response *response, const char *action, const char *csrf,
		      enum page_button kind, const char *label, const char *what)
{
	page_form_begin(response, action, csrf);
	page_button(response, kind, label, what, NULL, NULL);
	page_form_end(response);
}

void page_go_on(struct http_response *response, const char *url)
{
	struct strbuf *out = &response->body;

	response->content_type = "text/html; charset=utf-8";
	strbuf_puts(out,
		    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
		    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
		    "<meta name=\"color-scheme\" content=\"light dark\">\n"
		    "<meta http-equiv=\"refresh\" content=\"0;url=");
	text_add(out, url);
	strbuf_puts(out,
		    "\">\n<title>One moment</title></head><body><main><h1>One moment</h1><p><a");
	attribute_add(out, "href", url);
	strbuf_puts(out, ">Continue</a></p></main></body></html>\n");
}

/* ------------------------------------------------------------------ refusals -- */

void page_refused(struct http_request *request, struct http_response *response, int status,
		  const char *title, const char *text)
{
	page_refused_with(request, response, status, title, text, NULL, NULL);
}

void page_refused_with(struct http_request *request, struct http_response *response, int status,
		       const char *title, const char *text, const char *url, const char *link)
{
	response->status = status;
	page_begin(response, title);
	page_text(response, "p", text);
	if (url)
		page_link_button(response, url, link);
	page_reference(request, response);
	page_end(response);
}

void page_reference(struct http_request *request, struct http_response *response)
{
	strbuf_puts(&response->body, "<p class=\"quiet\">If you need help, tell your administrator "
				     "this reference: <code>");
	text_add(&response->body, request->id);
	strbuf_puts(&response->body, "</code></p>\n");
}
